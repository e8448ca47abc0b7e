// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of vIOMMUs on the AMD IOMMU: what a device's requests are translated by
 * after each operation, which commands reach the command buffer, and what the
 * VMM gets back when the IOMMU stops.
 *
 * A thread stands in for the IOMMU. It executes the commands, and keeps a DTE of
 * each requester ID and what requests were translated to from the first request
 * on, until a command names exactly that. So a missing or a wrong command leaves
 * a stale translation.
 */
#include <kunit/test.h>
#include <linux/io-pgtable.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <uapi/linux/iommufd.h>

#include <asm/pci.h>

#include "../iommufd/viommu/veventq.h"
#include "viommu-test.h"
#include "viommu.h"

#define MAX_GUEST	1024
#define MAX_LOG		4096
#define MAX_TAGS	64
#define NEVER		U32_MAX
#define CHUNK		256

/* Requester IDs: three devices, and an alias of the second one */
#define DEVS		3
#define ALIAS		3
#define RIDS		4
#define QDEP		32
#define PCIE_CAP	0x40
#define ATS_CAP		0x100
#define PASID_CAP	0x200

#define V		BIT_ULL(0)
#define TV		BIT_ULL(1)
#define GIOV		BIT_ULL(54)
#define GV		BIT_ULL(55)
#define IR		BIT_ULL(61)
#define IW		BIT_ULL(62)
#define IOTLB		BIT_ULL(32)
#define MODE5		BIT_ULL(54)

/* Where the requests go in the nesting parent */
#define GPA		0x40000000ULL
#define BLOCKED		0ULL
/* Must never be */
#define UNTRANSLATED	~0ULL

#define VDEV(i)		(0x110U + (i))
#define VDOMID		7U
#define OP(n)		((u32)(n) << 28)
#define CWAIT		1
#define DEVTAB		2
#define PAGES		3
#define IOTLB_PAGES	4
#define ALL		8
#define ADDR		0x12345000U

struct tag {
	bool valid;
	u16 id;
	bool gn;
	u64 root;
	u64 to;
};

struct fake_dev {
	struct pci_dev pdev;
	struct dev_iommu dev_iommu;
	struct iommu_dev_data data;
	struct amd_vdevice vdev;
};

struct fake {
	struct amd_iommu iommu;
	struct amd_iommu other;
	struct amd_iommu_pci_seg seg;
	struct pci_dev pdev;
	struct pci_bus bus;
	struct pci_ops pci_ops;
	struct amd_iommu *rlookup_table[RIDS];
	struct pci_sysdata sysdata;
	struct task_struct *thread;
	u8 *mmio;
	u64 sem;
	struct dev_table_entry *dev_table;
	u16 alias_table[RIDS];
	struct fake_dev devs[DEVS];
	struct iommu_dev_data alias;
	bool cached[RIDS];
	struct dev_table_entry dte[RIDS];
	struct tag tlb[MAX_TAGS];
	struct tag dev_tlb[MAX_TAGS];

	/* How often a device has disabled ATS, which empties its TLB */
	u32 restarts[DEVS];

	struct iommu_domain *parent;
	struct amd_viommu viommus[2];

	/* A command without GN keeps the entries of PASIDs */
	bool keeps;
	/* Execute nothing */
	bool stall;
	/* Commands for entries while device 0 is on no vIOMMU's list, if watched */
	bool watch;
	u32 unlisted;
	/* Refuse this command, counted from the start of the call */
	u32 refuse;
	/* Do not complete so many waits */
	u32 silent;
	u32 taken;
	u32 waits;
	u32 log[MAX_LOG][4];

	u32 guest[MAX_GUEST][4];
	u32 sent;
	u32 entry_len;
	u8 __user *uptr;
	u64 __user *data;
};

/* The IOMMU */

static void tags_drop(struct tag *tags, u16 id, bool gn)
{
	int i;

	/* Without GN everything of the ID goes */
	for (i = 0; i < MAX_TAGS; i++)
		if (tags[i].id == id && (!gn || tags[i].gn))
			tags[i].valid = false;
}

/* The other reading of a command without GN: that of PASIDs stays */
static void tags_drop_host(struct tag *tags, u16 id)
{
	int i;

	for (i = 0; i < MAX_TAGS; i++)
		if (tags[i].id == id && !tags[i].gn)
			tags[i].valid = false;
}

static void fake_execute(struct fake *fake, const u32 *cmd)
{
	bool gn = cmd[2] & BIT(2);

	switch (cmd[1] >> 28) {
	case CWAIT:
		fake->waits++;
		break;
	case DEVTAB:
		if (READ_ONCE(fake->watch))
			fake->unlisted += !READ_ONCE(fake->devs[0].data.nested);
		if ((u16)cmd[0] < RIDS)
			fake->cached[(u16)cmd[0]] = false;
		break;
	case PAGES:
		if (!gn && fake->keeps)
			tags_drop_host(fake->tlb, cmd[1]);
		else
			tags_drop(fake->tlb, cmd[1], gn);
		break;
	case ALL:
		memset(fake->tlb, 0, sizeof(fake->tlb));
		memset(fake->cached, 0, sizeof(fake->cached));
		break;
	case IOTLB_PAGES:
		tags_drop(fake->dev_tlb, cmd[0], gn);
		break;
	}
	memcpy(fake->log[fake->taken++ % MAX_LOG], cmd, 16);
	if (cmd[1] >> 28 == CWAIT && (cmd[0] & 1)) {
		if (fake->silent)
			fake->silent--;
		else /* What was executed is recorded before */
			smp_store_release(&fake->sem,
					  cmd[2] | (u64)cmd[3] << 32);
	}
}

static u32 fake_read(struct fake *fake, int reg)
{
	return readl(fake->iommu.mmio_base + reg);
}

static void fake_write(struct fake *fake, u32 val, int reg)
{
	writel(val, fake->iommu.mmio_base + reg);
}

/* Stops at a command until the driver has enabled the command buffer again */
static void fake_stop_at(struct fake *fake)
{
	u32 status = fake_read(fake, MMIO_STATUS_OFFSET);

	/* So that a write that enables it is seen for sure */
	fake_write(fake, fake_read(fake, MMIO_CONTROL_OFFSET) & ~BIT(12),
		   MMIO_CONTROL_OFFSET);
	fake_write(fake, status & ~BIT(4), MMIO_STATUS_OFFSET);
	while (!(fake_read(fake, MMIO_CONTROL_OFFSET) & BIT(12))) {
		if (kthread_should_stop())
			return;
		cond_resched();
	}
	fake_write(fake, status | BIT(4), MMIO_STATUS_OFFSET);
}

static int fake_iommu(void *data)
{
	struct fake *fake = data;
	u32 head = 0;

	while (!kthread_should_stop()) {
		u32 tail = fake_read(fake, MMIO_CMD_TAIL_OFFSET);

		if (head == tail || READ_ONCE(fake->stall)) {
			cond_resched();
			continue;
		}
		if (fake->taken == fake->refuse) {
			fake->refuse = NEVER;
			fake_stop_at(fake);
			continue;
		}
		fake_execute(fake, (u32 *)(fake->iommu.cmd_buf + head));
		head = (head + 16) % CMD_BUFFER_SIZE;
		fake_write(fake, head, MMIO_CMD_HEAD_OFFSET);
	}
	return 0;
}

/* Until all commands are executed, also those that nobody has to wait for */
static void fake_drain(struct fake *fake)
{
	while (!READ_ONCE(fake->stall) &&
	       fake_read(fake, MMIO_CMD_HEAD_OFFSET) !=
	       fake_read(fake, MMIO_CMD_TAIL_OFFSET))
		cond_resched();
}

static u64 dte_gcr3(const struct dev_table_entry *dte)
{
	return (dte->data[0] >> 58 & 0x7) << 12 |
	       (dte->data[1] >> 16 & 0xffff) << 15 |
	       (dte->data[1] >> 43) << 31;
}

/* The table that a request of an entry starts from: of the guest, of the host */
static u64 dte_root(const struct dev_table_entry *dte)
{
	if (!(dte->data[0] & V))
		return UNTRANSLATED;
	if (!(dte->data[0] & TV) || !(dte->data[0] & IR))
		return BLOCKED;
	if (dte->data[0] & GV)
		return dte_gcr3(dte);
	return dte->data[0] & GENMASK_ULL(51, 12);
}

static u64 tags_find(struct tag *tags, u16 id, bool gn, u64 root, u64 to)
{
	int i;

	for (i = 0; i < MAX_TAGS; i++)
		if (tags[i].valid && tags[i].id == id && tags[i].gn == gn) {
			/* For what the IOMMU has, not for what it should have */
			return tags[i].to;
		}
	if (to == BLOCKED)
		return to;
	for (i = 0; tags[i].valid; i++)
		;
	tags[i] = (struct tag){ true, id, gn, root, to };
	return to;
}

/*
 * A request of a requester ID: returns where it goes, for a nested entry mixed
 * with the guest's root
 */
static u64 fake_request(struct fake *fake, int rid)
{
	const struct dev_table_entry *dte = &fake->dte[rid];
	struct iommu_domain *parent = fake->parent;
	u64 root, to = BLOCKED;
	phys_addr_t pa;
	bool gn;

	fake_drain(fake);
	if (!fake->cached[rid])
		fake->dte[rid] = fake->dev_table[rid];
	fake->cached[rid] = true;

	root = dte_root(dte);
	if (root == BLOCKED || root == UNTRANSLATED)
		return root;
	gn = dte->data[0] & GV;
	/* The host's table, also for that of the guest */
	if ((dte->data[0] & GENMASK_ULL(51, 12)) ==
	    iommu_virt_to_phys(to_pdomain(parent)->iop.root)) {
		pa = parent->ops->iova_to_phys(parent, GPA);
		if (pa)
			to = gn ? pa ^ root << 8 : pa;
	} else if (!gn) {
		to = root;
	}
	to = tags_find(fake->tlb, dte->data[1], gn, root, to);
	if (!(dte->data[1] & IOTLB))
		return to;
	return tags_find(fake->dev_tlb, rid, false, root, to);
}

/* The driver */

static struct iommu_domain *nested_alloc(struct kunit *test, int v, u32 flags,
					 const u64 *dte)
{
	struct fake *fake = test->priv;
	const struct iommu_user_data user_data = {
		.type = IOMMU_HWPT_DATA_AMD_GUEST,
		.uptr = fake->data,
		.len = sizeof(struct iommu_hwpt_amd_guest),
	};

	KUNIT_ASSERT_EQ(test, 0, copy_to_user(fake->data, dte, 32));
	return amd_viommu_ops.alloc_nested(&fake->viommus[v].core,
					   &fake->devs[0].pdev.dev, flags,
					   &user_data);
}

static struct iommu_domain *nested_new(struct kunit *test, int v, u64 q0,
				       u64 q1, u64 q2)
{
	const u64 dte[4] = { q0, q1, q2 };
	struct iommu_domain *domain = nested_alloc(test, v, 0, dte);

	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(domain));
	return domain;
}

/* With a GCR3 root of @root << 15, and ATS */
static struct iommu_domain *nested(struct kunit *test, int v, u64 root, u16 domid)
{
	return nested_new(test, v, V | TV | GV | GIOV | IR | IW,
			  root << 16 | domid | IOTLB, 0);
}

static void free_domain(struct iommu_domain *domain)
{
	domain->ops->free(domain);
}

static int attach(struct kunit *test, int dev, struct iommu_domain *domain)
{
	struct fake *fake = test->priv;

	return amd_test_attach(domain, &fake->devs[dev].pdev.dev);
}

static void block(struct kunit *test, int dev)
{
	KUNIT_ASSERT_EQ(test, 0, attach(test, dev, amd_iommu_ops.blocked_domain));
}

static u16 host_domid(struct iommu_domain *domain)
{
	return to_amd_viommu_domain(domain)->domid->host;
}

static u64 where(struct kunit *test)
{
	struct fake *fake = test->priv;

	return fake->parent->ops->iova_to_phys(fake->parent, GPA);
}

static u64 through(struct kunit *test, u64 root)
{
	return where(test) ^ root << 23;
}

static void expect_request(struct kunit *test, int rid, u64 want)
{
	KUNIT_EXPECT_EQ_MSG(test, fake_request(test->priv, rid), want,
			    "requester %d", rid);
}

static void map_gpa(struct kunit *test, u64 pa)
{
	struct fake *fake = test->priv;

	KUNIT_ASSERT_EQ(test, 0, iommu_map(fake->parent, GPA, pa, SZ_4K,
					   IOMMU_READ | IOMMU_WRITE,
					   GFP_KERNEL));
}

static void unmap_gpa(struct kunit *test)
{
	struct fake *fake = test->priv;

	KUNIT_ASSERT_EQ(test, SZ_4K, iommu_unmap(fake->parent, GPA, SZ_4K));
}

/* How many commands of @op there are in the log, for an ID; -1 for any ID */
static int count(struct kunit *test, u32 op, int id)
{
	struct fake *fake = test->priv;
	int n = 0;
	u32 i;

	fake_drain(fake);
	for (i = 0; i < fake->taken; i++) {
		const u32 *cmd = fake->log[i];

		n += cmd[1] >> 28 == op &&
		     (id < 0 || (u16)(op == PAGES ? cmd[1] : cmd[0]) == id);
	}
	return n;
}

static void forget(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake_drain(fake);
	fake->taken = 0;
	fake->waits = 0;
}

/* Attaching */

static void attach_test_states(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *v1, *v2, *states[9];
	u64 want[9];
	int from, to, dev, n = ARRAY_SIZE(states);

	v1 = amd_iommu_ops.domain_alloc_user(&fake->devs[0].pdev.dev, 0, NULL,
					     NULL);
	v2 = amd_iommu_ops.domain_alloc_user(&fake->devs[0].pdev.dev,
					     IOMMU_HWPT_ALLOC_PASID, NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(v1));
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(v2));

	states[0] = amd_iommu_ops.blocked_domain;
	want[0] = BLOCKED;
	states[1] = fake->parent;
	want[1] = where(test);
	states[2] = v1;
	want[2] = iommu_virt_to_phys(to_pdomain(v1)->iop.root);
	states[3] = nested(test, 0, 1, VDOMID);
	want[3] = through(test, 1);
	states[4] = nested(test, 0, 2, VDOMID + 1);
	want[4] = through(test, 2);
	states[5] = nested_new(test, 0, V | TV | GV | GIOV | IR | IW,
			       3 << 16 | (VDOMID + 2), MODE5);
	want[5] = through(test, 3);
	states[6] = nested(test, 1, 4, VDOMID);
	want[6] = through(test, 4);
	/* Passes, and blocks */
	states[7] = nested_new(test, 0, 0, 0, 0);
	want[7] = where(test);
	states[8] = nested_new(test, 0, V | TV, VDOMID, 0);
	want[8] = BLOCKED;

	for (dev = 0; dev < DEVS; dev++) {
		for (from = 0; from < n; from++) {
			for (to = 0; to < n; to++) {
				KUNIT_ASSERT_EQ(test, 0, attach(test, dev,
								states[from]));
				expect_request(test, dev, want[from]);
				if (dev == 1)
					expect_request(test, ALIAS, want[from]);
				KUNIT_ASSERT_EQ(test, 0, attach(test, dev,
								states[to]));
				KUNIT_EXPECT_EQ_MSG(test,
						    fake_request(fake, dev),
						    want[to],
						    "device %d from %d to %d",
						    dev, from, to);
				if (dev == 1)
					expect_request(test, ALIAS, want[to]);
			}
		}
		/* From a GCR3 table of the host, and to one */
		KUNIT_ASSERT_EQ(test, 0, attach(test, dev, v2));
		KUNIT_ASSERT_EQ(test, 0, attach(test, dev, states[5]));
		expect_request(test, dev, want[5]);
		KUNIT_ASSERT_EQ(test, 0, attach(test, dev, v2));
		KUNIT_EXPECT_EQ(test, 0, fake->dev_table[dev].data[2] & MODE5);
		KUNIT_EXPECT_NULL(test, fake->devs[dev].data.nested);
		block(test, dev);
		expect_request(test, dev, BLOCKED);
		KUNIT_EXPECT_TRUE(test, list_empty(&fake->viommus[0].devs));
		KUNIT_EXPECT_TRUE(test, list_empty(&fake->viommus[1].devs));
	}
	for (to = 3; to < n; to++)
		free_domain(states[to]);
	free_domain(v1);
	free_domain(v2);
}

/* The way between entries of a VM has no entry that blocks */
static void attach_test_commands(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *b = nested(test, 0, 2, VDOMID);
	struct iommu_domain *c = nested(test, 0, 3, VDOMID + 1);
	struct iommu_domain *five = nested_new(test, 0, V | TV | GV | IR | IW,
					       VDOMID, MODE5);

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, fake->parent));
	forget(test);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 0));
	KUNIT_EXPECT_EQ(test, 1, count(test, IOTLB_PAGES, 0));
	KUNIT_EXPECT_EQ(test, 0, count(test, PAGES, -1));
	KUNIT_EXPECT_EQ(test, 1, fake->waits);

	forget(test);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, b));
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 0));
	KUNIT_EXPECT_EQ(test, 0, count(test, PAGES, -1));

	/* The DomainID loses its last device, so the TLB loses it */
	forget(test);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, c));
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 0));
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host_domid(a)));
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, -1));
	KUNIT_EXPECT_EQ(test, 2, fake->waits);

	/* Another mode: the IOMMU must have the entry in between */
	forget(test);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, five));
	KUNIT_EXPECT_EQ(test, 2, count(test, DEVTAB, 0));

	forget(test);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, fake->parent));
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 0));
	expect_request(test, 0, where(test));

	/* An alias gets the same */
	forget(test);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, a));
	KUNIT_EXPECT_GE(test, count(test, DEVTAB, ALIAS), 1);
	KUNIT_EXPECT_EQ(test, 0, memcmp(&fake->dev_table[1],
					&fake->dev_table[ALIAS], 32));
	block(test, 0);
	block(test, 1);
	free_domain(a);
	free_domain(b);
	free_domain(c);
	free_domain(five);
}

static void attach_test_refusals(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *v2;
	struct iommu_dev_data *data = &fake->devs[2].data;
	const u64 illegal[4] = { V | TV | GV | 1ULL << 9 };
	const u64 legal[4] = {};

	KUNIT_EXPECT_EQ(test, -EIO, PTR_ERR(nested_alloc(test, 0, 0, illegal)));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			PTR_ERR(nested_alloc(test, 0, IOMMU_HWPT_ALLOC_PASID,
					     legal)));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			PTR_ERR(nested_alloc(test, 0,
					     IOMMU_HWPT_FAULT_ID_VALID, legal)));

	/* Another IOMMU */
	fake->devs[2].dev_iommu.iommu_dev = &fake->other.iommu;
	KUNIT_EXPECT_EQ(test, -EINVAL, attach(test, 2, a));
	fake->devs[2].dev_iommu.iommu_dev = &fake->iommu.iommu;

	/* PASIDs of the host, and for a device with a guest's table */
	v2 = amd_iommu_ops.domain_alloc_user(&fake->devs[2].pdev.dev,
					     IOMMU_HWPT_ALLOC_PASID, NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(v2));
	data->max_pasids = 16;
	KUNIT_ASSERT_EQ(test, 0, amd_test_set_pasid(v2, data->dev, 1, NULL));
	KUNIT_EXPECT_EQ(test, -EBUSY, attach(test, 2, a));
	amd_test_remove_pasid(v2, data->dev, 1);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, a));
	KUNIT_EXPECT_EQ(test, -EINVAL, amd_test_set_pasid(v2, data->dev, 1, NULL));
	expect_request(test, 2, through(test, 1));
	free_domain(v2);

	/* The device goes while it is attached */
	amd_test_release(data->dev);
	KUNIT_EXPECT_NULL(test, data->nested);
	expect_request(test, 2, BLOCKED);
	block(test, 2);
	free_domain(a);
}

#ifdef CONFIG_IRQ_REMAP
#define IRQ_TABLE	GENMASK_ULL(51, 6)

struct irq_writer {
	struct amd_iommu *iommu;
	struct irq_remap_table tables[2];
	u32 n;
	u32 lost;
};

/* Gives device 0 one interrupt table, then the other */
static int write_irqs(void *data)
{
	struct irq_writer *w = data;
	u64 *q2 = &w->iommu->pci_seg->dev_table[0].data[2];
	u64 want = 0;

	while (!kthread_should_stop()) {
		w->lost += (READ_ONCE(*q2) & IRQ_TABLE) != want;
		set_dte_irq_entry(w->iommu, 0, &w->tables[w->n & 1]);
		want = iommu_virt_to_phys(w->tables[w->n & 1].table);
		WRITE_ONCE(w->n, w->n + 1);
		cond_resched();
	}
	return 0;
}

/* Interrupts are set up while the mode changes: neither loses the other */
static void attach_test_irqs(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct dev_table_entry *dte = &fake->dev_table[0];
	struct task_struct *thread;
	struct irq_writer *writer;
	u32 lost = 0, n;
	int i;

	writer = kunit_kzalloc(test, sizeof(*writer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, writer);
	for (i = 0; i < 2; i++) {
		writer->tables[i].table = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, writer->tables[i].table);
	}
	writer->iommu = &fake->iommu;
	thread = kthread_create(write_irqs, writer, "irq-writer");
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(thread));
	kthread_bind(thread, cpumask_last(cpu_online_mask));
	wake_up_process(thread);

	/* Much of both, whichever of the two is slower */
	for (n = 0; n < 200000 || READ_ONCE(writer->n) < 200000; n++) {
		struct dev_table_entry new = {
			.data[2] = n & 1 ? MODE5 : 0,
		};

		write_dte_upper128(dte, &new);
		lost += !!(READ_ONCE(dte->data[2]) & MODE5) != (n & 1);
		cond_resched();
	}
	kthread_stop(thread);
	KUNIT_EXPECT_EQ(test, 0, lost);
	KUNIT_EXPECT_EQ(test, 0, writer->lost);
	memset(dte, 0, sizeof(*dte));
}
#endif

/* Nesting parents */

static void parent_test_alloc(struct kunit *test)
{
	static const u64 needed[] = { FEATURE_GT, FEATURE_GIOSUP };
	struct fake *fake = test->priv;
	struct device *dev = &fake->devs[0].pdev.dev;
	struct protection_domain *pdom = to_pdomain(fake->parent);
	u64 *root = pdom->iop.root;
	struct iommu_domain *domain;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, pdom->iop.mode, 4);
	KUNIT_EXPECT_EQ(test, fake->parent->geometry.aperture_end,
			BIT_ULL(48) - 1);
	KUNIT_EXPECT_EQ(test, 0, fake->parent->pgsize_bitmap >> 48);
	/* The root stays, up to the last page */
	KUNIT_ASSERT_EQ(test, 0, iommu_map(fake->parent, BIT_ULL(48) - SZ_4K,
					   SZ_4K, SZ_4K, IOMMU_READ,
					   GFP_KERNEL));
	KUNIT_EXPECT_PTR_EQ(test, root, pdom->iop.root);
	KUNIT_EXPECT_EQ(test, pdom->iop.mode, 4);
	KUNIT_EXPECT_EQ(test, SZ_4K, iommu_unmap(fake->parent,
						 BIT_ULL(48) - SZ_4K, SZ_4K));

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		amd_iommu_efr &= ~needed[i];
		domain = amd_iommu_ops.domain_alloc_user(dev,
							 IOMMU_HWPT_ALLOC_NEST_PARENT,
							 NULL, NULL);
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, PTR_ERR(domain));
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, amd_viommu_ops.supported(dev));
		amd_iommu_efr |= needed[i];
	}
	amd_iommu_efr |= 3ULL << 10;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, amd_viommu_ops.supported(dev));
	amd_iommu_efr &= ~(3ULL << 10);
	amd_iommu_efr2 = 0;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, amd_viommu_ops.supported(dev));
	amd_iommu_efr2 = BIT_ULL(3);
	KUNIT_EXPECT_EQ(test, 0, amd_viommu_ops.supported(dev));
	domain = amd_iommu_ops.domain_alloc_user(dev,
						 IOMMU_HWPT_ALLOC_NEST_PARENT |
						 IOMMU_HWPT_ALLOC_PASID,
						 NULL, NULL);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, PTR_ERR(domain));
}

/* A change of the nesting parent reaches each DomainID and each device */
static void parent_test_flush(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *b = nested(test, 1, 2, VDOMID);
	struct iommu_domain *idle = nested(test, 1, 3, VDOMID + 1);
	struct iommu_domain *pass = nested_new(test, 0, 0, 0, 0);
	struct list_head *viommus = &to_pdomain(fake->parent)->viommus;

	KUNIT_EXPECT_TRUE(test, list_empty(viommus));
	KUNIT_EXPECT_NE(test, host_domid(a), host_domid(b));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, b));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, fake->parent));
	expect_request(test, 0, through(test, 1));
	expect_request(test, 1, through(test, 2));
	expect_request(test, ALIAS, through(test, 2));
	expect_request(test, 2, where(test));

	forget(test);
	unmap_gpa(test);
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host_domid(a)));
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host_domid(b)));
	KUNIT_EXPECT_EQ(test, 0, count(test, PAGES, host_domid(idle)));
	KUNIT_EXPECT_EQ(test, 1, count(test, IOTLB_PAGES, 0));
	KUNIT_EXPECT_EQ(test, 1, fake->waits);
	expect_request(test, 0, BLOCKED);
	expect_request(test, 1, BLOCKED);
	expect_request(test, ALIAS, BLOCKED);
	expect_request(test, 2, BLOCKED);

	/* Also for a device that passes the guest's IOMMU, with ATS */
	map_gpa(test, 0x5000000);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, pass));
	expect_request(test, 0, 0x5000000);
	unmap_gpa(test);
	expect_request(test, 0, BLOCKED);
	map_gpa(test, 0x6000000);

	/* Those without a device cost a change nothing */
	KUNIT_EXPECT_EQ(test, 2, list_count_nodes(viommus));
	block(test, 0);
	KUNIT_EXPECT_TRUE(test, list_is_singular(viommus));
	KUNIT_EXPECT_PTR_EQ(test, viommus->next, &fake->viommus[1].node);

	/* With no plain attachment left the vIOMMUs get it nevertheless */
	block(test, 2);
	expect_request(test, 1, through(test, 2));
	unmap_gpa(test);
	expect_request(test, 1, BLOCKED);
	block(test, 1);
	KUNIT_EXPECT_TRUE(test, list_empty(viommus));
	free_domain(a);
	free_domain(b);
	free_domain(idle);
	free_domain(pass);
	map_gpa(test, 0x7000000);
}

static void parent_test_dirty(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *off = nested_new(test, 0, V, 0, 0);
	struct dev_table_entry *dte = fake->dev_table;
	const struct iommu_dirty_ops *ops;
	struct dev_table_entry old;
	const u64 had = 3ULL << 7;

	ops = fake->parent->dirty_ops;
	KUNIT_ASSERT_NOT_NULL(test, ops);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, a));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, off));
	old = dte[1];
	forget(test);
	KUNIT_EXPECT_EQ(test, 0, ops->set_dirty_tracking(fake->parent, true));
	KUNIT_EXPECT_GE(test, count(test, DEVTAB, 1), 1);
	KUNIT_EXPECT_GE(test, count(test, DEVTAB, ALIAS), 1);
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host_domid(a)));
	KUNIT_EXPECT_EQ(test, dte[1].data[0], old.data[0] | had);
	KUNIT_EXPECT_EQ(test, dte[1].data[1], old.data[1]);
	KUNIT_EXPECT_EQ(test, dte[ALIAS].data[0], old.data[0] | had);
	KUNIT_EXPECT_EQ(test, dte[0].data[0], V | TV);
	expect_request(test, 1, through(test, 1));

	/* From the start, too */
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	KUNIT_EXPECT_EQ(test, dte[0].data[0] & had, had);
	KUNIT_EXPECT_EQ(test, 0, ops->set_dirty_tracking(fake->parent, false));
	KUNIT_EXPECT_EQ(test, dte[0].data[0] & had, 0);
	KUNIT_EXPECT_EQ(test, 0, memcmp(&dte[1], &old, 32));
	KUNIT_EXPECT_EQ(test, 0, memcmp(&dte[ALIAS], &old, 32));
	block(test, 0);
	block(test, 1);
	free_domain(a);
	free_domain(off);
}

/* Hardware whose commands without GN keep what is of PASIDs */
static void parent_test_flush_all(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	u16 host = host_domid(a);

	fake->keeps = true;
	amd_viommu_flush_all = true;
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	expect_request(test, 0, through(test, 1));
	unmap_gpa(test);
	expect_request(test, 0, BLOCKED);
	map_gpa(test, 0x5000000);
	expect_request(test, 0, through(test, 1));

	/* The DomainID is used again */
	block(test, 0);
	free_domain(a);
	a = nested(test, 1, 2, VDOMID);
	KUNIT_ASSERT_EQ(test, host, host_domid(a));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	expect_request(test, 0, through(test, 2));
	block(test, 0);
	free_domain(a);
	amd_viommu_flush_all = false;
}

/* DomainIDs */

static void domid_test_map(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *b = nested(test, 0, 2, VDOMID);
	struct iommu_domain *c = nested(test, 0, 3, VDOMID + 64);
	struct iommu_domain *d = nested(test, 1, 4, VDOMID);
	u16 host = host_domid(a);

	KUNIT_EXPECT_EQ(test, host, host_domid(b));
	KUNIT_EXPECT_NE(test, host, host_domid(c));
	KUNIT_EXPECT_NE(test, host, host_domid(d));
	KUNIT_EXPECT_NE(test, host, to_pdomain(fake->parent)->id);

	/* With the last HWPT it is free, and with the last device flushed */
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, b));
	forget(test);
	block(test, 0);
	KUNIT_EXPECT_EQ(test, 0, count(test, PAGES, host));
	free_domain(a);
	KUNIT_EXPECT_TRUE(test, test_bit(host, amd_iommu_pd_alloc_bitmap));
	block(test, 2);
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host));
	free_domain(b);
	KUNIT_EXPECT_FALSE(test, test_bit(host, amd_iommu_pd_alloc_bitmap));

	/* Who gets it next finds nothing under it */
	a = nested(test, 1, 5, VDOMID + 9);
	KUNIT_ASSERT_EQ(test, host, host_domid(a));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	expect_request(test, 0, through(test, 5));
	block(test, 0);
	free_domain(a);
	free_domain(c);
	free_domain(d);
}

static void domid_test_limits(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain **domains, *other;
	u64 dte[4] = { V | TV | GV | IR | IW };
	unsigned long *ids;
	unsigned int i;

	domains = kunit_kcalloc(test, AMD_VIOMMU_DOMIDS, sizeof(*domains),
				GFP_KERNEL);
	ids = bitmap_alloc(MAX_DOMAIN_ID, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, domains);
	KUNIT_ASSERT_NOT_NULL(test, ids);
	for (i = 0; i < AMD_VIOMMU_DOMIDS; i++)
		domains[i] = nested(test, 0, 1, i);
	dte[1] = i;
	KUNIT_EXPECT_EQ(test, -ENOSPC, PTR_ERR(nested_alloc(test, 0, 0, dte)));
	/* One that it has, and another VM */
	other = nested(test, 0, 1, i - 1);
	free_domain(other);
	other = nested(test, 1, 1, i);
	free_domain(other);
	for (i = 0; i < AMD_VIOMMU_DOMIDS; i++)
		free_domain(domains[i]);
	KUNIT_EXPECT_EQ(test, 0, fake->viommus[0].nr_domids);

	bitmap_copy(ids, amd_iommu_pd_alloc_bitmap, MAX_DOMAIN_ID);
	bitmap_fill(amd_iommu_pd_alloc_bitmap, MAX_DOMAIN_ID);
	KUNIT_EXPECT_EQ(test, -ENOSPC, PTR_ERR(nested_alloc(test, 0, 0, dte)));
	bitmap_copy(amd_iommu_pd_alloc_bitmap, ids, MAX_DOMAIN_ID);
	bitmap_free(ids);
	KUNIT_EXPECT_EQ(test, 0, fake->viommus[0].nr_domids);
}

/* The IOMMU does not complete the flush: the DomainID is never used again */
static void domid_test_stuck(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	u16 host = host_domid(a);

	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, a));
	fake_drain(fake);
	fake->silent = 10;
	block(test, 2);
	fake->silent = 0;
	free_domain(a);
	KUNIT_EXPECT_TRUE(test, test_bit(host, amd_iommu_pd_alloc_bitmap));
	clear_bit(host, amd_iommu_pd_alloc_bitmap);
}

/* Invalidation */

static void send(struct fake *fake, u32 word0, u32 word1, u32 word2, u32 word3)
{
	u32 *cmd = fake->guest[fake->sent++];

	cmd[0] = word0;
	cmd[1] = word1;
	cmd[2] = word2;
	cmd[3] = word3;
}

static void send_pages(struct fake *fake, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		send(fake, 0, OP(PAGES) | VDOMID, (ADDR + i * SZ_4K) | BIT(2), 1);
}

/* Invalidate with the commands sent, expect @ret and @done, drop the commands */
static void invalidate(struct kunit *test, int ret, u32 done)
{
	struct fake *fake = test->priv;
	struct iommu_user_data_array array = {
		.type = IOMMU_VIOMMU_INVALIDATE_DATA_AMD,
		.uptr = (void __user *)fake->uptr,
		.entry_len = fake->entry_len,
		.entry_num = fake->sent,
	};
	unsigned int i;

	KUNIT_ASSERT_LE(test, fake->sent * fake->entry_len, sizeof(fake->guest));
	for (i = 0; i < fake->sent; i++)
		KUNIT_ASSERT_EQ(test, 0,
				copy_to_user(fake->uptr + i * fake->entry_len,
					     fake->guest[i], 16));
	fake->sent = 0;
	forget(test);
	KUNIT_EXPECT_EQ(test, ret,
			amd_viommu_cache_invalidate(&fake->viommus[0].core,
						    &array));
	KUNIT_EXPECT_EQ(test, done, array.entry_num);
}

static void expect_host(struct kunit *test, u32 i, u32 word0, u32 word1,
			u32 word2, u32 word3)
{
	const u32 want[4] = { word0, word1, word2, word3 };
	struct fake *fake = test->priv;
	unsigned int j;

	KUNIT_ASSERT_LT(test, i, fake->taken);
	for (j = 0; j < 4; j++)
		KUNIT_ASSERT_EQ_MSG(test, fake->log[i][j], want[j],
				    "word %u of %u", j, i);
}

static void expect_wait(struct kunit *test, u32 i)
{
	struct fake *fake = test->priv;

	KUNIT_ASSERT_LT(test, i, fake->taken);
	KUNIT_ASSERT_EQ_MSG(test, fake->log[i][1] >> 28, CWAIT, "%u", i);
}

static void expect_page(struct kunit *test, u32 i, u16 host, u32 page)
{
	expect_host(test, i, 0, OP(PAGES) | host,
		    (ADDR + page * SZ_4K) | BIT(2), 1);
}

/* @n pages and a wait for each submission, from the start */
static void expect_pages(struct kunit *test, u16 host, u32 n)
{
	struct fake *fake = test->priv;
	u32 i;

	KUNIT_EXPECT_EQ(test, fake->waits, DIV_ROUND_UP(n, CHUNK));
	KUNIT_EXPECT_EQ(test, fake->taken, n + DIV_ROUND_UP(n, CHUNK));
	for (i = 0; i < n; i++) {
		expect_page(test, i + i / CHUNK, host, i);
		if (i % CHUNK == CHUNK - 1 || i == n - 1)
			expect_wait(test, i + i / CHUNK + 1);
	}
}

static void inv_test_lengths(struct kunit *test)
{
	static const u32 lengths[] = { 1, 2, 63, 255, 256, 257, 511, 512, 513,
				       MAX_GUEST };
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		send_pages(fake, lengths[i]);
		invalidate(test, 0, lengths[i]);
		expect_pages(test, host_domid(a), lengths[i]);
	}
	invalidate(test, 0, 0);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
	free_domain(a);
}

static void inv_test_entry_len(struct kunit *test)
{
	static const u32 bad[] = { 0, 1, 8, 15 };
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;
	struct iommu_user_data_array array = {
		.type = IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD,
		.uptr = (void __user *)fake->uptr,
		.entry_len = 16,
		.entry_num = 1,
	};
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, clear_user(fake->uptr, sizeof(fake->guest)));
	fake->entry_len = 24;
	send_pages(fake, 300);
	invalidate(test, 0, 300);
	expect_pages(test, host_domid(a), 300);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fake->entry_len = bad[i];
		send_pages(fake, 3);
		invalidate(test, -EINVAL, 0);
		KUNIT_EXPECT_EQ(test, fake->taken, 0);
	}
	/* A tail that is not 0 */
	KUNIT_ASSERT_EQ(test, 0, clear_user(fake->uptr, sizeof(fake->guest)));
	fake->entry_len = 24;
	send_pages(fake, 5);
	KUNIT_ASSERT_EQ(test, 0, put_user(1, fake->uptr + 2 * 24 + 23));
	invalidate(test, -E2BIG, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 3);

	KUNIT_EXPECT_EQ(test, -EINVAL,
			amd_viommu_cache_invalidate(&fake->viommus[0].core,
						    &array));
	KUNIT_EXPECT_EQ(test, 0, array.entry_num);
	/* Memory that is not there */
	array.type = IOMMU_VIOMMU_INVALIDATE_DATA_AMD;
	array.uptr = (void __user *)(fake->uptr + sizeof(fake->guest) - 8);
	array.entry_num = 1;
	KUNIT_EXPECT_EQ(test, -EFAULT,
			amd_viommu_cache_invalidate(&fake->viommus[0].core,
						    &array));
	KUNIT_EXPECT_EQ(test, 0, array.entry_num);
	free_domain(a);
}

/* A bad command at any place: those before it are complete, none after */
static void inv_test_bad(struct kunit *test)
{
	static const u32 bad[][4] = {
		{ 0, OP(1) }, { 0, OP(5) }, { 0, OP(7) }, { 0, OP(9) },
		{ 0, OP(10) }, { 0, 0 },
		/* A reserved bit in a run, and a PASID */
		{ 0, OP(PAGES) | VDOMID, ADDR | BIT(2) | BIT(3), 1 },
		{ 0x10000, OP(PAGES) | VDOMID, ADDR | BIT(2), 1 },
		/* Devices that the VM does not have, the host's ID of one */
		{ 0, OP(DEVTAB) }, { 1, OP(IOTLB_PAGES) },
	};
	static const u32 places[] = { 0, 1, 254, 255, 256, 257, 259 };
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (j = 0; j < ARRAY_SIZE(places); j++) {
			send_pages(fake, 260);
			memcpy(fake->guest[places[j]], bad[i], 16);
			invalidate(test, -EIO, places[j]);
			expect_pages(test, host_domid(a), places[j]);
		}
	}
	free_domain(a);
}

/* The IOMMU stops at a command at any place */
static void inv_test_refused(struct kunit *test)
{
	static const u32 places[] = { 0, 1, 100, 255, 256, 259 };
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;
	u32 i, k, host = host_domid(a);

	for (k = 0; k < ARRAY_SIZE(places); k++) {
		u32 at = places[k], before = at / CHUNK * CHUNK;

		send_pages(fake, 260);
		forget(test);
		fake->refuse = at + at / CHUNK;
		invalidate(test, -EIO, at);
		KUNIT_EXPECT_EQ(test, fake->refuse, NEVER);
		for (i = 0; i < at; i++)
			expect_page(test, i + i / CHUNK, host, i);
		/* It and the rest of its submission do nothing */
		for (i = at; i <= min(before + CHUNK, 260U); i++)
			expect_wait(test, i + before / CHUNK);
		KUNIT_EXPECT_EQ(test, fake->taken,
				min(before + CHUNK, 260U) + before / CHUNK + 1);
		/* It works again, for others as well */
		send_pages(fake, 3);
		invalidate(test, 0, 3);
		expect_pages(test, host, 3);
	}
	free_domain(a);
}

/* The IOMMU does not complete, but is not stopped */
static void inv_test_timeout(struct kunit *test)
{
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;

	send_pages(fake, 300);
	fake_drain(fake);
	fake->silent = 1;
	invalidate(test, -ETIMEDOUT, 0);
	KUNIT_EXPECT_EQ(test, fake->silent, 0);
	send_pages(fake, 300);
	invalidate(test, 0, 300);
	expect_pages(test, host_domid(a), 300);
	free_domain(a);
}

/* While commands that timed out are not executed, no more fill the buffer */
static void inv_test_hung(struct kunit *test)
{
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;
	u32 tail;

	fake_drain(fake);
	WRITE_ONCE(fake->stall, true);
	send_pages(fake, 3);
	invalidate(test, -ETIMEDOUT, 0);
	tail = fake_read(fake, MMIO_CMD_TAIL_OFFSET);
	send_pages(fake, 3);
	invalidate(test, -ETIMEDOUT, 0);
	KUNIT_EXPECT_EQ(test, tail, fake_read(fake, MMIO_CMD_TAIL_OFFSET));
	WRITE_ONCE(fake->stall, false);
	fake_drain(fake);
	send_pages(fake, 3);
	invalidate(test, 0, 3);
	free_domain(a);
}

/* A quarter of the buffer is for others, whatever guests send */
static void inv_test_room(struct kunit *test)
{
	static const struct iommu_cmd cmds[AMD_VCMD_CHUNK];
	struct fake *fake = test->priv;
	u32 done, used;
	int i;

	fake_drain(fake);
	WRITE_ONCE(fake->stall, true);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, -ETIMEDOUT,
				amd_viommu_submit(&fake->iommu, cmds,
						  AMD_VCMD_CHUNK, &done));
	used = (fake_read(fake, MMIO_CMD_TAIL_OFFSET) -
		fake_read(fake, MMIO_CMD_HEAD_OFFSET)) % CMD_BUFFER_SIZE;
	KUNIT_EXPECT_EQ(test, used, (AMD_VCMD_CHUNK + 1) * 16);
	WRITE_ONCE(fake->stall, false);
	fake_drain(fake);
}

/* A change of the nesting parent finds a device until its entry is flushed */
static void attach_test_leaves_last(struct kunit *test)
{
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct fake *fake = test->priv;

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	fake_drain(fake);
	fake->unlisted = 0;
	WRITE_ONCE(fake->watch, true);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, fake->parent));
	fake_drain(fake);
	WRITE_ONCE(fake->watch, false);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	fake_drain(fake);
	WRITE_ONCE(fake->watch, true);
	amd_viommu_detach(&fake->devs[0].pdev.dev);
	fake_drain(fake);
	WRITE_ONCE(fake->watch, false);
	KUNIT_EXPECT_EQ(test, 0, fake->unlisted);
	block(test, 0);
	free_domain(a);
}

/* A DomainID of the guest stands for its own one, a DeviceID for its device */
static void inv_test_ids(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *b = nested(test, 0, 2, VDOMID + 64);
	struct iommu_domain *foreign = nested(test, 1, 3, VDOMID + 1);

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	send(fake, 5, OP(PAGES) | (VDOMID + 64), ADDR | 7, 2);
	send(fake, 0, OP(PAGES) | VDOMID, ~0U & ~0xff8U, ~0U);
	/* Without GN everything of it, whatever the range and the PASID are */
	send(fake, 3, OP(PAGES) | VDOMID, ADDR, 2);
	/* One that only another VM has, and the host's numbers */
	send(fake, 0, OP(PAGES) | (VDOMID + 1), ADDR | 4, 2);
	send(fake, 0, OP(PAGES) | 0xfff0, ADDR | 4, 2);
	/* A hint */
	send(fake, VDEV(0), OP(6), ADDR, 2);
	invalidate(test, 0, 6);
	KUNIT_EXPECT_EQ(test, fake->taken, 4);
	expect_host(test, 0, 5, OP(PAGES) | host_domid(b), ADDR | 7, 2);
	expect_host(test, 1, 0, OP(PAGES) | host_domid(a), 0xfffff007,
		    0x7fffffff);
	expect_host(test, 2, 0, OP(PAGES) | host_domid(a), 0xfffff003,
		    0x7fffffff);
	expect_wait(test, 3);

	/* QueueID and Maxpend are the host's, the range is the guest's */
	send(fake, 0x77000000 | VDEV(0), OP(IOTLB_PAGES) | 0x1234, ADDR | 1, 2);
	send(fake, VDEV(0), OP(IOTLB_PAGES), ADDR | BIT(2), 2);
	/* It has no PASIDs there; another one has no TLB */
	send(fake, VDEV(0), OP(IOTLB_PAGES) | 3 << 16, ADDR | BIT(2), 2);
	send(fake, VDEV(1), OP(IOTLB_PAGES), ADDR, 2);
	send(fake, VDEV(1), OP(DEVTAB), 0, 0);
	invalidate(test, 0, 5);
	KUNIT_EXPECT_GE(test, fake->taken, 5);
	expect_host(test, 0, QDEP << 24 | 0, OP(IOTLB_PAGES) | 0, ADDR | 1, 2);
	expect_host(test, 1, QDEP << 24 | 0, OP(IOTLB_PAGES) | 0, ADDR, 2);
	expect_host(test, 2, 1, OP(DEVTAB), 0, 0);
	expect_host(test, 3, ALIAS, OP(DEVTAB), 0, 0);
	KUNIT_EXPECT_EQ(test, fake->waits, 1);
	block(test, 0);
	free_domain(a);
	free_domain(b);
	free_domain(foreign);
}

/* All of a VM, and of no other */
static void inv_test_all(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *b = nested(test, 0, 2, VDOMID + 64);
	struct iommu_domain *foreign = nested(test, 1, 3, VDOMID);

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, b));
	send(fake, 0, OP(8), 0, 0);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, count(test, 8, -1));
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host_domid(a)));
	KUNIT_EXPECT_EQ(test, 1, count(test, PAGES, host_domid(b)));
	KUNIT_EXPECT_EQ(test, 2, count(test, PAGES, -1));
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 0));
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 1));
	KUNIT_EXPECT_GE(test, count(test, DEVTAB, ALIAS), 1);
	KUNIT_EXPECT_EQ(test, 1, count(test, DEVTAB, 2));
	KUNIT_EXPECT_EQ(test, 1, count(test, IOTLB_PAGES, 0));
	KUNIT_EXPECT_EQ(test, 1, count(test, IOTLB_PAGES, -1));
	KUNIT_EXPECT_EQ(test, 1, fake->waits);
	block(test, 0);
	block(test, 1);
	free_domain(a);
	free_domain(b);
	free_domain(foreign);
}

/* A device with PASIDs, whose TLB no single command empties */
static void inv_test_pasids(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *silent;
	u32 n;

	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, a));
	KUNIT_EXPECT_TRUE(test, fake->devs[2].data.pasid_enabled);
	KUNIT_EXPECT_TRUE(test, fake->devs[2].data.ats_enabled);
	n = fake->restarts[2];

	send(fake, VDEV(2) | 1 << 16, OP(IOTLB_PAGES) | 3 << 16, ADDR | BIT(2), 2);
	send(fake, VDEV(2), OP(IOTLB_PAGES), ADDR | BIT(2), 2);
	send(fake, VDEV(2), OP(IOTLB_PAGES), ADDR, 2);
	invalidate(test, 0, 3);
	KUNIT_EXPECT_EQ(test, fake->taken, 5);
	expect_host(test, 0, QDEP << 24 | 1 << 16 | 2,
		    OP(IOTLB_PAGES) | 3 << 16 | 2, ADDR | BIT(2), 2);
	expect_host(test, 1, QDEP << 24 | 2, OP(IOTLB_PAGES) | 2, ADDR, 2);
	expect_host(test, 2, QDEP << 24 | 2, OP(IOTLB_PAGES) | 2, ADDR | BIT(2),
		    2);
	expect_host(test, 3, QDEP << 24 | 2, OP(IOTLB_PAGES) | 2, ADDR, 2);
	KUNIT_EXPECT_EQ(test, fake->restarts[2], n);

	/* After the commands for what it fills from */
	send(fake, 0, OP(8), 0, 0);
	invalidate(test, 0, 1);
	/* ATS is off when the device has answered what came before */
	KUNIT_EXPECT_EQ(test, fake->waits, 2);
	KUNIT_EXPECT_EQ(test, fake->restarts[2], n + 1);
	expect_request(test, 2, through(test, 1));
	unmap_gpa(test);
	KUNIT_EXPECT_EQ(test, fake->restarts[2], n + 2);
	expect_request(test, 2, BLOCKED);
	map_gpa(test, 0x5000000);

	/* A guest that does not know of it; and one of its PASIDs */
	silent = nested_new(test, 0, V | TV | GV | GIOV | IR | IW,
			    1 << 16 | VDOMID, 0);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, silent));
	KUNIT_EXPECT_EQ(test, fake->restarts[2], n + 3);
	send(fake, 5, OP(PAGES) | VDOMID, ADDR | BIT(2), 2);
	send(fake, 0, OP(PAGES) | VDOMID, 0, 0);
	invalidate(test, 0, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 5);
	expect_host(test, 1, QDEP << 24 | 2, OP(IOTLB_PAGES) | 5 << 16 | 2,
		    ADDR | BIT(2), 2);
	KUNIT_EXPECT_EQ(test, fake->restarts[2], n + 4);

	/* The nesting parent has no PASIDs */
	KUNIT_ASSERT_EQ(test, 0, attach(test, 2, fake->parent));
	KUNIT_EXPECT_FALSE(test, fake->devs[2].data.pasid_enabled);
	KUNIT_EXPECT_TRUE(test, fake->devs[2].data.ats_enabled);
	/* Nothing of the VM is there */
	send(fake, VDEV(2), OP(IOTLB_PAGES), ADDR, 2);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
	block(test, 2);
	free_domain(a);
	free_domain(silent);
}

/* A wait is before each 17th command for the device, behind that for the domain */
static u32 silent_at(u32 n)
{
	return n + (n ? (n - 1) / 32 : 0);
}

/* A guest that does not know of the TLB of a device; the order is its own */
static void inv_test_silent(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_domain *a;
	u16 host;
	u32 i;

	a = nested_new(test, 0, V | TV | GV | GIOV | IR | IW, 1 << 16 | VDOMID, 0);
	host = host_domid(a);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	KUNIT_EXPECT_EQ(test, fake->viommus[0].silent, 1);
	send_pages(fake, 200);
	invalidate(test, 0, 200);
	/* Two each; the device has to answer 16 in one submission */
	KUNIT_EXPECT_EQ(test, fake->taken, 413);
	KUNIT_EXPECT_EQ(test, fake->waits, 13);
	for (i = 0; i < 200; i++) {
		expect_page(test, silent_at(2 * i), host, i);
		expect_host(test, silent_at(2 * i + 1), QDEP << 24,
			    OP(IOTLB_PAGES), ADDR + i * SZ_4K, 1);
	}
	send(fake, 0, OP(PAGES) | VDOMID, 0, 0);
	send(fake, 9, OP(PAGES) | VDOMID, ADDR | BIT(2), 0);
	invalidate(test, 0, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 4);
	expect_host(test, 1, QDEP << 24, OP(IOTLB_PAGES), 0xfffff001, 0x7fffffff);
	block(test, 0);
	KUNIT_EXPECT_EQ(test, fake->viommus[0].silent, 0);
	free_domain(a);
}

/* Events */

static void event_test_route(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct amd_viommu *viommu = &fake->viommus[0];
	struct iommu_domain *a = nested(test, 0, 1, VDOMID);
	struct iommu_domain *off = nested_new(test, 0, V, 0x555, 0);
	struct iommufd_vevent_ring ring = {
		.type = IOMMU_VEVENTQ_TYPE_AMD,
		.size = 24,
		.depth = 8,
	};
	u32 fault[4] = { 1, OP(2) | BIT(16), 0x1000, 0x2000 };
	u32 request[4] = { ALIAS, OP(8) | BIT(16) | 5, 0x3000, 0 };
	u32 domain[4] = { 1, OP(2), 0x4000, 0 };
	u32 log[4] = { 1, OP(1), 0, 0 };
	u64 *record;

	ring.records = kunit_kzalloc(test, 8 * 24, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ring.records);
	spin_lock_init(&ring.lock);
	init_waitqueue_head(&ring.wait);
	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, a));
	fake->devs[1].dev_iommu.viommu = &viommu->core;
	fake->devs[1].dev_iommu.vdevice = &fake->devs[1].vdev.core;

	/* No queue takes it, so the host logs it */
	KUNIT_EXPECT_FALSE(test, amd_viommu_take_event(&fake->iommu, fault));
	list_add(&ring.item, &viommu->core.vevents);
	KUNIT_EXPECT_TRUE(test, amd_viommu_take_event(&fake->iommu, fault));
	record = ring.records;
	KUNIT_EXPECT_EQ(test, record[1],
			(u64)(OP(2) | BIT(16)) << 32 | VDEV(1));
	KUNIT_EXPECT_EQ(test, record[2], 0x200000001000);
	/* By the alias */
	KUNIT_EXPECT_TRUE(test, amd_viommu_take_event(&fake->iommu, request));
	KUNIT_EXPECT_EQ(test, record[4],
			(u64)(OP(8) | BIT(16) | 5) << 32 | VDEV(1));
	/* The DomainID of the guest */
	domain[1] |= host_domid(a);
	KUNIT_EXPECT_TRUE(test, amd_viommu_take_event(&fake->iommu, domain));
	KUNIT_EXPECT_EQ(test, record[7],
			(u64)(OP(2) | VDOMID) << 32 | VDEV(1));

	/* The host's: other types, DomainIDs, devices and IOMMUs */
	KUNIT_EXPECT_FALSE(test, amd_viommu_take_event(&fake->iommu, log));
	domain[1] = OP(2) | to_pdomain(fake->parent)->id;
	KUNIT_EXPECT_FALSE(test, amd_viommu_take_event(&fake->iommu, domain));
	KUNIT_EXPECT_FALSE(test, amd_viommu_take_event(&fake->other, fault));
	fault[0] = 2;
	KUNIT_EXPECT_FALSE(test, amd_viommu_take_event(&fake->iommu, fault));
	domain[1] = OP(2);
	KUNIT_EXPECT_FALSE(test, amd_viommu_take_event(&fake->iommu, domain));
	KUNIT_EXPECT_EQ(test, ring.count, 3);

	/* Of an entry that blocks */
	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, off));
	KUNIT_EXPECT_TRUE(test, amd_viommu_take_event(&fake->iommu, domain));
	KUNIT_EXPECT_EQ(test, record[10],
			(u64)(OP(2) | 0x555) << 32 | VDEV(1));

	/* A full queue does not give it to the host */
	fault[0] = 1;
	while (ring.count < 8)
		KUNIT_ASSERT_TRUE(test, amd_viommu_take_event(&fake->iommu,
							      fault));
	KUNIT_EXPECT_TRUE(test, amd_viommu_take_event(&fake->iommu, fault));
	KUNIT_EXPECT_TRUE(test, ring.lost);
	list_del(&ring.item);
	block(test, 1);
	free_domain(a);
	free_domain(off);
}

/* Page requests, whose events no VM gets: the code and the tag for the device */
static void ppr_test_answer(struct kunit *test)
{
	static const u32 codes[][2] = {
		{ IOMMU_PAGE_RESP_SUCCESS, 0 },
		{ IOMMU_PAGE_RESP_INVALID, 1 },
		{ IOMMU_PAGE_RESP_FAILURE, 0xf },
	};
	struct fake *fake = test->priv;
	struct iommu_dev_data *data = &fake->devs[2].data;
	int i;

	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		forget(test);
		data->pri_tlp = i & 1;
		KUNIT_EXPECT_EQ(test, 0,
				amd_iommu_complete_ppr(data->dev, 0x12345,
						       codes[i][0], 0x3ab));
		fake_drain(fake);
		KUNIT_ASSERT_EQ(test, fake->taken, 1);
		KUNIT_EXPECT_EQ(test, fake->log[0][0], 2);
		KUNIT_EXPECT_EQ(test, fake->log[0][1],
				OP(7) | (i & 1 ? 0x12345 : 0));
		KUNIT_EXPECT_EQ(test, fake->log[0][2], i & 1 ? BIT(2) : 0);
		KUNIT_EXPECT_EQ(test, fake->log[0][3], 0x1ab | codes[i][1] << 12);
	}
	data->pri_tlp = 0;
}

/* hw_info */

static void info_test(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_hw_info_amd *info;
	u32 len, type;

	info = amd_iommu_ops.hw_info(&fake->devs[0].pdev.dev, &len, &type);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(info));
	KUNIT_EXPECT_EQ(test, len, 16);
	KUNIT_EXPECT_EQ(test, type, 4);
	KUNIT_EXPECT_EQ(test, info->efr, amd_iommu_efr);
	KUNIT_EXPECT_EQ(test, info->efr2, BIT_ULL(3));
	kfree(info);
}

static int fake_config_read(struct pci_bus *bus, unsigned int devfn, int where,
			    int size, u32 *val)
{
	/* ATS with a queue of 32, as 0 says */
	*val = 0;
	return PCIBIOS_SUCCESSFUL;
}

static int fake_config_write(struct pci_bus *bus, unsigned int devfn, int where,
			     int size, u32 val)
{
	struct fake *fake = container_of(bus, struct fake, bus);

	if (where == ATS_CAP + PCI_ATS_CTRL && !(val & PCI_ATS_CTRL_ENABLE)) {
		fake->restarts[devfn]++;
		tags_drop(fake->dev_tlb, devfn, false);
	}
	return PCIBIOS_SUCCESSFUL;
}

KUNIT_DEFINE_ACTION_WRAPPER(fake_stop, kthread_stop, struct task_struct *);

static void fake_add_dev(struct fake *fake, struct iommu_group *group, int i)
{
	struct fake_dev *dev = &fake->devs[i];

	fake->alias_table[i] = i;
	fake->rlookup_table[i] = &fake->iommu;
	mutex_init(&dev->data.mutex);
	spin_lock_init(&dev->data.dte_lock);
	dev->pdev.dev.bus = &pci_bus_type;
	dev->pdev.bus = &fake->bus;
	dev->pdev.devfn = i;
	dev->pdev.dev.iommu = &dev->dev_iommu;
	dev->pdev.dev.iommu_group = group;
	dev->dev_iommu.iommu_dev = &fake->iommu.iommu;
	dev->dev_iommu.priv = &dev->data;
	spin_lock_init(&dev->dev_iommu.viommu_lock);
	dev->data.dev = &dev->pdev.dev;
	dev->data.devid = i;
	llist_add(&dev->data.dev_data_list, &fake->seg.dev_data_list);
}

static void fake_add_viommu(struct kunit *test, int i)
{
	struct fake *fake = test->priv;
	struct iommufd_viommu *core = &fake->viommus[i].core;

	core->ops = &amd_viommu_ops;
	core->iommu_dev = &fake->iommu.iommu;
	core->parent = fake->parent;
	xa_init_flags(&core->vdevs, XA_FLAGS_LOCK_IRQ);
	INIT_LIST_HEAD(&core->vevents);
	spin_lock_init(&core->vevents_lock);
	KUNIT_ASSERT_EQ(test, 0, amd_viommu_ops.init(core, &fake->devs[0].pdev.dev,
						     NULL));
}

static void fake_add_vdev(struct kunit *test, int i)
{
	struct fake *fake = test->priv;
	struct iommufd_vdevice *core = &fake->devs[i].vdev.core;

	core->viommu = &fake->viommus[0].core;
	core->dev = &fake->devs[i].pdev.dev;
	core->virt_id = 0x10000;
	KUNIT_EXPECT_EQ(test, -EINVAL, amd_viommu_ops.vdevice_init(core));
	core->virt_id = VDEV(i);
	KUNIT_ASSERT_EQ(test, 0, amd_viommu_ops.vdevice_init(core));
	KUNIT_ASSERT_NULL(test, xa_store(&core->viommu->vdevs, VDEV(i), core,
					 GFP_KERNEL));
}

static int viommu_test_init(struct kunit *test)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	unsigned int other = cpumask_any_but(cpu_online_mask, cpu);
	struct iommu_group *group;
	unsigned long uaddr;
	struct fake *fake;
	int i;

	/* The driver waits for the IOMMU with interrupts off */
	if (other >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	if (amd_iommu_efr)
		kunit_skip(test, "needs a machine without AMD IOMMU");
	KUNIT_ASSERT_EQ(test, 0, set_cpus_allowed_ptr(current, cpumask_of(cpu)));

	amd_iommu_pd_alloc_bitmap = kunit_kcalloc(test,
						  BITS_TO_LONGS(MAX_DOMAIN_ID),
						  sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, amd_iommu_pd_alloc_bitmap);
	__set_bit(0, amd_iommu_pd_alloc_bitmap);
	amd_iommu_max_glx_val = 1;

	fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	test->priv = fake;
	fake->mmio = kunit_kzalloc(test, SZ_16K, GFP_KERNEL);
	fake->iommu.cmd_buf = kunit_kzalloc(test, CMD_BUFFER_SIZE, GFP_KERNEL);
	fake->dev_table = kunit_kcalloc(test, RIDS, sizeof(*fake->dev_table),
					GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake->mmio);
	KUNIT_ASSERT_NOT_NULL(test, fake->iommu.cmd_buf);
	KUNIT_ASSERT_NOT_NULL(test, fake->dev_table);
	fake->refuse = NEVER;
	fake->entry_len = 16;

	fake->seg.dev_table = fake->dev_table;
	fake->seg.alias_table = fake->alias_table;
	fake->seg.last_bdf = RIDS - 1;
	fake->seg.rlookup_table = fake->rlookup_table;
	list_add(&fake->seg.list, &amd_iommu_pci_seg_list);
	fake->bus.sysdata = &fake->sysdata;
	fake->pci_ops.read = fake_config_read;
	fake->pci_ops.write = fake_config_write;
	fake->bus.ops = &fake->pci_ops;
	raw_spin_lock_init(&fake->iommu.lock);
	fake->iommu.dev = &fake->pdev;
	fake->iommu.pci_seg = &fake->seg;
	fake->iommu.features = FEATURE_HDSUP;
	fake->iommu.mmio_base = (u8 __iomem __force *)fake->mmio;
	fake->iommu.cmd_sem = &fake->sem;
	fake->iommu.iommu.ops = &amd_iommu_ops;
	fake_write(fake, BIT(4), MMIO_STATUS_OFFSET);
	/* CmdBufEn and GCR3TRPMode */
	writeq(BIT_ULL(12) | BIT_ULL(58),
	       fake->iommu.mmio_base + MMIO_CONTROL_OFFSET);
	group = amd_test_group_new(test);
	for (i = 0; i < DEVS; i++)
		fake_add_dev(fake, group, i);
	fake->alias_table[1] = ALIAS;
	fake->alias.devid = ALIAS;
	spin_lock_init(&fake->alias.dte_lock);
	llist_add(&fake->alias.dev_data_list, &fake->seg.dev_data_list);
	fake->devs[0].pdev.ats_cap = ATS_CAP;
	fake->devs[0].data.flags = AMD_IOMMU_DEVICE_FLAG_ATS_SUP;
	fake->devs[2].pdev.ats_cap = ATS_CAP;
	fake->devs[2].pdev.pasid_cap = PASID_CAP;
	/* An endpoint behind switches that pass on PASIDs */
	fake->devs[2].pdev.pcie_cap = PCIE_CAP;
	fake->devs[2].pdev.eetlp_prefix_path = 1;
	fake->devs[2].data.flags = AMD_IOMMU_DEVICE_FLAG_ATS_SUP |
				   AMD_IOMMU_DEVICE_FLAG_PASID_SUP;

	fake->thread = kthread_create(fake_iommu, fake, "fake-iommu");
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(fake->thread));
	kthread_bind(fake->thread, other);
	wake_up_process(fake->thread);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_stop,
							   fake->thread));
	/* IASup, PreFSup, GATS 5 levels, GLXSup 3, 16-bit PASIDs, HDSup */
	amd_iommu_efr = FEATURE_GT | FEATURE_PPR | FEATURE_EPHSUP |
			FEATURE_GIOSUP | FEATURE_IA | FEATURE_PREFETCH |
			1ULL << 12 | 2ULL << 14 | 15ULL << 32 | FEATURE_HDSUP;
	amd_iommu_efr2 = BIT_ULL(3);

	uaddr = kunit_vm_mmap(test, NULL, 0, sizeof(fake->guest) + SZ_4K,
			      PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, uaddr, 0);
	fake->data = (u64 __user *)uaddr;
	fake->uptr = (u8 __user *)uaddr + SZ_4K;

	fake->parent = amd_iommu_ops.domain_alloc_user(&fake->devs[0].pdev.dev,
						       IOMMU_HWPT_ALLOC_NEST_PARENT |
						       IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
						       NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(fake->parent));
	map_gpa(test, 0x4000000);
	for (i = 0; i < 2; i++)
		fake_add_viommu(test, i);
	for (i = 0; i < DEVS; i++)
		fake_add_vdev(test, i);
	return 0;
}

static void viommu_test_exit(struct kunit *test)
{
	struct fake *fake = test->priv;
	int i;

	if (!fake)
		return;
	for (i = 0; i < DEVS; i++) {
		xa_erase(&fake->viommus[0].core.vdevs, VDEV(i));
		amd_viommu_ops.vdevice_release(&fake->devs[i].vdev.core);
	}
	/* Nothing of the VM is left for the next user of the DomainID */
	forget(test);
	for (i = 0; i < 2; i++)
		amd_viommu_ops.release(&fake->viommus[i].core);
	KUNIT_EXPECT_EQ(test, 2, count(test, PAGES,
				       to_pdomain(fake->parent)->id));
	for (i = 0; i < MAX_TAGS; i++)
		KUNIT_EXPECT_FALSE(test, fake->tlb[i].valid);
	KUNIT_EXPECT_TRUE(test, xa_empty(&to_pdomain(fake->parent)->iommu_array));
	iommu_domain_free(fake->parent);
	list_del(&fake->seg.list);
	amd_iommu_efr = 0;
	amd_iommu_efr2 = 0;
	/* All domains are gone, and their DomainIDs free */
	KUNIT_EXPECT_EQ(test, 1, bitmap_weight(amd_iommu_pd_alloc_bitmap,
					       MAX_DOMAIN_ID));
	amd_iommu_pd_alloc_bitmap = NULL;
}

static struct kunit_case amd_viommu_queue_test_cases[] = {
	KUNIT_CASE_SLOW(attach_test_states),
	KUNIT_CASE(attach_test_commands),
	KUNIT_CASE(attach_test_refusals),
#ifdef CONFIG_IRQ_REMAP
	KUNIT_CASE(attach_test_irqs),
#endif
	KUNIT_CASE(parent_test_alloc),
	KUNIT_CASE(parent_test_flush),
	KUNIT_CASE(parent_test_dirty),
	KUNIT_CASE(parent_test_flush_all),
	KUNIT_CASE(domid_test_map),
	KUNIT_CASE(domid_test_limits),
	KUNIT_CASE_SLOW(domid_test_stuck),
	KUNIT_CASE(inv_test_lengths),
	KUNIT_CASE(inv_test_entry_len),
	KUNIT_CASE_SLOW(inv_test_bad),
	KUNIT_CASE_SLOW(inv_test_refused),
	KUNIT_CASE_SLOW(inv_test_timeout),
	KUNIT_CASE_SLOW(inv_test_hung),
	KUNIT_CASE_SLOW(inv_test_room),
	KUNIT_CASE(attach_test_leaves_last),
	KUNIT_CASE(inv_test_ids),
	KUNIT_CASE(inv_test_all),
	KUNIT_CASE(inv_test_pasids),
	KUNIT_CASE(inv_test_silent),
	KUNIT_CASE(event_test_route),
	KUNIT_CASE(ppr_test_answer),
	KUNIT_CASE(info_test),
	{}
};

static struct kunit_suite amd_viommu_queue_test_suite = {
	.name = "amd-iommu-viommu-queue-kunit-test",
	.init = viommu_test_init,
	.exit = viommu_test_exit,
	.test_cases = amd_viommu_queue_test_cases,
};

kunit_test_suites(&amd_viommu_queue_test_suite);
