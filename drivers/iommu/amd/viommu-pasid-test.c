// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of PASIDs on the AMD IOMMU: what a device's requests are translated by
 * after each operation, and which commands the IOMMU gets.
 *
 * A thread stands in for the IOMMU. It executes the commands, and keeps a DTE of
 * each device and a translation of each (DomainID, PASID) and of each PASID in a
 * device's TLB from the first request on, until a command names exactly that. So
 * a missing or a wrong command leaves a stale translation. It takes the root of a
 * page table for the translation.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/io-pgtable.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/kthread.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <uapi/linux/iommufd.h>

#include "amd_iommu.h"
#include "viommu-test.h"

#define DEVS		2
#define PASIDS		4
#define MAX_PASIDS	BIT(16)
#define MAX_TAGS	64
#define MAX_LOG		1024
#define IOVA		0x40000000UL

/* No PASID first, then from both ends of a GCR3 table of two levels */
static const u32 pasids[PASIDS] = { 0, 1, 600, MAX_PASIDS - 1 };

#define IDENTITY	1ULL
#define BLOCKED		0ULL

struct tag {
	bool valid;
	u16 id;
	u32 pasid;
	/* Of requests without PASID; in the IOMMU if GCR3[0] does not translate */
	bool host;
	u64 pgd;
};

struct fake_dev {
	struct device dev;
	struct dev_iommu iommu;
	struct iommu_dev_data data;
	bool cached;
	struct dev_table_entry dte;
};

struct fake {
	struct amd_iommu iommu;
	struct amd_iommu_pci_seg seg;
	struct pci_dev pdev;
	struct task_struct *thread;
	void *mmio;
	u64 sem;
	struct dev_table_entry *dev_table;
	u16 alias_table[DEVS];
	struct fake_dev devs[DEVS];
	struct tag tlb[MAX_TAGS];
	struct tag dev_tlb[MAX_TAGS];
	u32 log[MAX_LOG][4];
	u32 taken;
	/* A page that must not be free when the TLB is flushed */
	struct page *watched;
	bool freed_early;
};

/* The IOMMU */

static void tags_drop(struct tag *tags, u16 id, u32 pasid, bool gn)
{
	int i;

	for (i = 0; i < MAX_TAGS; i++)
		if (tags[i].id == id && tags[i].host == !gn &&
		    (!gn || tags[i].pasid == pasid))
			tags[i].valid = false;
}

static void fake_execute(struct fake *fake, const u32 *cmd)
{
	bool gn = cmd[2] & CMD_INV_IOMMU_PAGES_GN_MASK;

	switch (cmd[1] >> 28) {
	case CMD_COMPL_WAIT:
		/* The commands before it are executed and recorded */
		smp_store_release(&fake->sem, cmd[2] | (u64)cmd[3] << 32);
		return;
	case CMD_INV_DEV_ENTRY:
		if ((u16)cmd[0] < DEVS)
			fake->devs[(u16)cmd[0]].cached = false;
		break;
	case CMD_INV_IOMMU_PAGES:
		tags_drop(fake->tlb, cmd[1], cmd[0] & GENMASK(19, 0), gn);
		if (fake->watched && !page_count(fake->watched))
			fake->freed_early = true;
		break;
	case CMD_INV_IOTLB_PAGES:
		tags_drop(fake->dev_tlb, cmd[0],
			  (cmd[0] >> 16 & 0xff) << 8 | (cmd[1] >> 16 & 0xff),
			  gn);
		break;
	}
	memcpy(fake->log[fake->taken++ % MAX_LOG], cmd, 16);
}

static int fake_iommu(void *data)
{
	struct fake *fake = data;
	u32 head = 0;

	while (!kthread_should_stop()) {
		u32 tail = readl(fake->iommu.mmio_base + MMIO_CMD_TAIL_OFFSET);

		if (head != tail) {
			fake_execute(fake, (u32 *)(fake->iommu.cmd_buf + head));
			head = (head + 16) % CMD_BUFFER_SIZE;
			writel(head, fake->iommu.mmio_base + MMIO_CMD_HEAD_OFFSET);
		}
		cond_resched();
	}
	return 0;
}

/* Until all commands are executed, also those that nobody has to wait for */
static void fake_drain(struct fake *fake)
{
	while (readl(fake->iommu.mmio_base + MMIO_CMD_HEAD_OFFSET) !=
	       readl(fake->iommu.mmio_base + MMIO_CMD_TAIL_OFFSET))
		cond_resched();
}

static u64 dte_gcr3(const struct dev_table_entry *dte)
{
	return (dte->data[0] >> 58 & 0x7) << 12 |
	       (dte->data[1] >> 16 & 0xffff) << 15 |
	       (dte->data[1] >> 43) << 31;
}

static u64 fake_walk(const struct dev_table_entry *dte, u32 pasid)
{
	int level = dte->data[0] >> DTE_GLX_SHIFT & DTE_GLX_MASK;
	u64 entry = dte_gcr3(dte);

	for (; level >= 0; level--) {
		u64 *table = phys_to_virt(entry & GENMASK_ULL(51, 12));

		entry = table[pasid >> (9 * level) & 0x1ff];
		if (!(entry & GCR3_VALID))
			return BLOCKED;
	}
	/* The domains of the tests have a page mapped */
	if (!memchr_inv(phys_to_virt(entry & GENMASK_ULL(51, 12)), 0, PAGE_SIZE))
		return BLOCKED;
	return entry & GENMASK_ULL(51, 12);
}

static u64 tags_find(struct tag *tags, u16 id, u32 pasid, bool host, u64 pgd)
{
	int i;

	for (i = 0; i < MAX_TAGS; i++)
		if (tags[i].valid && tags[i].id == id &&
		    tags[i].pasid == pasid && tags[i].host == host)
			return tags[i].pgd;
	if (pgd == BLOCKED)
		return pgd;
	for (i = 0; tags[i].valid; i++)
		;
	tags[i] = (struct tag){ true, id, pasid, host, pgd };
	return pgd;
}

/* The device makes a request: returns IDENTITY, BLOCKED or the root of a table */
static u64 fake_request(struct fake *fake, int dev, u32 pasid)
{
	struct fake_dev *fdev = &fake->devs[dev];
	u64 pgd = BLOCKED, word0;
	bool host;

	fake_drain(fake);
	if (!fdev->cached)
		fdev->dte = fake->dev_table[dev];
	fdev->cached = true;

	word0 = fdev->dte.data[0];
	if (!(word0 & DTE_FLAG_V) || !(word0 & DTE_FLAG_TV) ||
	    !(word0 & DTE_FLAG_IR))
		return BLOCKED;
	host = !pasid && !(word0 & DTE_FLAG_GIOV);
	if (host)
		pgd = (word0 >> DEV_ENTRY_MODE_SHIFT & DEV_ENTRY_MODE_MASK) ?
			      word0 & GENMASK_ULL(51, 12) : IDENTITY;
	else if (word0 & DTE_FLAG_GV)
		pgd = fake_walk(&fdev->dte, pasid);

	pgd = tags_find(fake->tlb, fdev->dte.data[1], pasid, host, pgd);
	if (!fdev->data.ats_enabled)
		return pgd;
	/* The device does not know how requests without PASID are translated */
	return tags_find(fake->dev_tlb, dev, pasid, !pasid, pgd);
}

/* The driver */

static struct iommu_domain *domain_alloc(struct kunit *test, u32 flags)
{
	struct fake *fake = test->priv;

	return amd_iommu_ops.domain_alloc_user(&fake->devs[0].dev, flags, NULL,
					       NULL);
}

static struct iommu_domain *domain_new(struct kunit *test, u32 flags)
{
	struct iommu_domain *domain = domain_alloc(test, flags);

	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(domain));
	KUNIT_ASSERT_EQ(test, 0, iommu_map(domain, 0, SZ_2M, SZ_4K, IOMMU_READ,
					   GFP_KERNEL));
	return domain;
}

static u64 root(struct iommu_domain *domain)
{
	struct protection_domain *pdom = to_pdomain(domain);

	if (pdom->pd_mode == PD_MODE_V2)
		return iommu_virt_to_phys(pdom->iop.pgd);
	return iommu_virt_to_phys(pdom->iop.root);
}

static int attach(struct kunit *test, int dev, struct iommu_domain *domain)
{
	struct fake *fake = test->priv;

	return amd_test_attach(domain, &fake->devs[dev].dev);
}

static void block(struct kunit *test, int dev)
{
	KUNIT_ASSERT_EQ(test, 0, attach(test, dev,
					amd_iommu_ops.blocked_domain));
}

static int set_pasid(struct kunit *test, int dev, u32 pasid,
		     struct iommu_domain *domain, struct iommu_domain *old)
{
	struct fake *fake = test->priv;

	return amd_test_set_pasid(domain, &fake->devs[dev].dev, pasid, old);
}

static void remove_pasid(struct kunit *test, int dev, u32 pasid,
			 struct iommu_domain *domain)
{
	struct fake *fake = test->priv;

	amd_test_remove_pasid(domain, &fake->devs[dev].dev, pasid);
}

static void expect_request(struct kunit *test, int dev, u32 pasid, u64 want)
{
	KUNIT_EXPECT_EQ_MSG(test, fake_request(test->priv, dev, pasid), want,
			    "device %d PASID %u", dev, pasid);
}

/* How many commands since the last call flush a page for a device and a PASID */
static int count_flushes(struct kunit *test, int dev, u32 pasid, bool iotlb)
{
	struct fake *fake = test->priv;
	u16 domid = fake->devs[dev].data.gcr3_info.domid;
	int n = 0;
	u32 i;

	for (i = 0; i < fake->taken; i++) {
		const u32 *cmd = fake->log[i];

		if ((cmd[2] & GENMASK(31, 12)) != IOVA || cmd[3] ||
		    !(cmd[2] & CMD_INV_IOMMU_PAGES_GN_MASK))
			continue;
		if (iotlb)
			n += cmd[1] >> 28 == CMD_INV_IOTLB_PAGES &&
			     (u16)cmd[0] == dev &&
			     (cmd[0] >> 16 & 0xff) == pasid >> 8 &&
			     (cmd[1] >> 16 & 0xff) == (pasid & 0xff);
		else
			n += cmd[1] >> 28 == CMD_INV_IOMMU_PAGES &&
			     (u16)cmd[1] == domid &&
			     (cmd[0] & GENMASK(19, 0)) == pasid;
	}
	return n;
}

/* The same for the TLB of a device and its requests without PASID */
static int count_rid_flushes(struct kunit *test, int dev)
{
	struct fake *fake = test->priv;
	int n = 0;
	u32 i;

	for (i = 0; i < fake->taken; i++) {
		const u32 *cmd = fake->log[i];

		n += cmd[0] == dev && cmd[1] == (CMD_INV_IOTLB_PAGES << 28 | dev) &&
		     cmd[2] == IOVA && !cmd[3];
	}
	return n;
}

/* Maps and unmaps a page; returns the number of commands */
static u32 unmap_a_page(struct kunit *test, struct iommu_domain *domain)
{
	struct fake *fake = test->priv;

	KUNIT_EXPECT_EQ(test, 0, iommu_map(domain, IOVA, SZ_1M, SZ_4K,
					   IOMMU_READ | IOMMU_WRITE,
					   GFP_KERNEL));
	fake_drain(fake);
	fake->taken = 0;
	KUNIT_EXPECT_EQ(test, SZ_4K, iommu_unmap(domain, IOVA, SZ_4K));
	fake_drain(fake);
	return fake->taken;
}

/* Tests */

static void pasid_test_attach(struct kunit *test)
{
	struct iommu_domain *domains[PASIDS];
	int i;

	for (i = 0; i < PASIDS; i++)
		domains[i] = domain_new(test, IOMMU_HWPT_ALLOC_PASID);

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, domains[0]));
	for (i = 1; i < PASIDS; i++) {
		expect_request(test, 0, pasids[i], BLOCKED);
		KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, pasids[i],
						   domains[i], NULL));
	}
	for (i = 0; i < PASIDS; i++)
		expect_request(test, 0, pasids[i], root(domains[i]));
	expect_request(test, 1, pasids[1], BLOCKED);

	for (i = 1; i < PASIDS; i++) {
		remove_pasid(test, 0, pasids[i], domains[i]);
		expect_request(test, 0, pasids[i], BLOCKED);
	}
	expect_request(test, 0, 0, root(domains[0]));
	block(test, 0);
	expect_request(test, 0, 0, BLOCKED);
	for (i = 0; i < PASIDS; i++)
		iommu_domain_free(domains[i]);
}

static void pasid_test_replace(struct kunit *test)
{
	struct iommu_domain *a = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *b = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *v1 = domain_new(test, 0);
	int i;

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, a));
	for (i = 1; i < PASIDS; i++)
		KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, pasids[i], a, NULL));

	for (i = 1; i < PASIDS; i++) {
		expect_request(test, 0, pasids[i], root(a));
		KUNIT_EXPECT_EQ(test, -EINVAL, set_pasid(test, 0, pasids[i], v1,
							 a));
		expect_request(test, 0, pasids[i], root(a));
		KUNIT_EXPECT_EQ(test, 0, set_pasid(test, 0, pasids[i], b, a));
		expect_request(test, 0, pasids[i], root(b));

		/* Each domain flushes what it translates, and nothing else */
		unmap_a_page(test, a);
		KUNIT_EXPECT_EQ(test, 0, count_flushes(test, 0, pasids[i],
						       false));
		unmap_a_page(test, b);
		KUNIT_EXPECT_EQ(test, 1, count_flushes(test, 0, pasids[i],
						       false));
	}
	KUNIT_EXPECT_TRUE(test, list_empty(&to_pdomain(a)->dev_data_list));
	expect_request(test, 0, 0, root(a));

	/* Also by itself */
	KUNIT_EXPECT_EQ(test, 0, set_pasid(test, 0, pasids[1], b, b));
	expect_request(test, 0, pasids[1], root(b));
	unmap_a_page(test, b);
	KUNIT_EXPECT_EQ(test, 1, count_flushes(test, 0, pasids[1], false));

	for (i = 1; i < PASIDS; i++)
		remove_pasid(test, 0, pasids[i], b);
	KUNIT_EXPECT_TRUE(test, list_empty(&to_pdomain(b)->dev_data_list));
	KUNIT_EXPECT_TRUE(test, xa_empty(&to_pdomain(b)->iommu_array));
	block(test, 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&to_pdomain(a)->iommu_array));
	iommu_domain_free(a);
	iommu_domain_free(b);
	iommu_domain_free(v1);
}

/* One domain for devices and for PASIDs, with and without ATS */
static void pasid_test_flush(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct fake *fake = test->priv;
	int dev, i;

	fake->devs[1].data.ats_enabled = 1;
	for (dev = 0; dev < DEVS; dev++) {
		KUNIT_ASSERT_EQ(test, 0, attach(test, dev, domain));
		for (i = 1; i < PASIDS; i++)
			KUNIT_ASSERT_EQ(test, 0,
					set_pasid(test, dev, pasids[i], domain,
						  NULL));
	}
	KUNIT_EXPECT_EQ(test, 3 * PASIDS + 1, unmap_a_page(test, domain));
	KUNIT_EXPECT_EQ(test, 0, count_rid_flushes(test, 0));
	KUNIT_EXPECT_EQ(test, 1, count_rid_flushes(test, 1));
	for (i = 0; i < PASIDS; i++) {
		KUNIT_EXPECT_EQ(test, 1, count_flushes(test, 0, pasids[i],
						       false));
		KUNIT_EXPECT_EQ(test, 0, count_flushes(test, 0, pasids[i],
						       true));
		KUNIT_EXPECT_EQ(test, 1, count_flushes(test, 1, pasids[i],
						       false));
		KUNIT_EXPECT_EQ(test, 1, count_flushes(test, 1, pasids[i],
						       true));
	}
	for (dev = 0; dev < DEVS; dev++) {
		for (i = 1; i < PASIDS; i++) {
			expect_request(test, dev, pasids[i], root(domain));
			remove_pasid(test, dev, pasids[i], domain);
			expect_request(test, dev, pasids[i], BLOCKED);
		}
		block(test, dev);
	}
	iommu_domain_free(domain);
}

/* The TLB of a device that cannot make requests with PASID, not even with 0 */
static void pasid_test_flush_rid(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct fake *fake = test->priv;

	fake->devs[0].data.ats_enabled = 1;
	fake->devs[0].data.pasid_enabled = 0;
	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, domain));
	KUNIT_EXPECT_EQ(test, 2, unmap_a_page(test, domain));
	KUNIT_EXPECT_EQ(test, 1, count_flushes(test, 0, 0, false));
	KUNIT_EXPECT_EQ(test, 0, count_flushes(test, 0, 0, true));
	KUNIT_EXPECT_EQ(test, 1, count_rid_flushes(test, 0));
	block(test, 0);
	iommu_domain_free(domain);
}

/* The requests without PASID change under those with PASID */
static void pasid_test_change_rid(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *a = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *b = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *v1 = domain_new(test, 0);
	struct protection_domain *identity;
	struct iommu_domain *rid[4];
	u64 want[4];
	struct fake *fake = test->priv;
	int from, to, dev, ret;

	fake->devs[1].data.ats_enabled = 1;
	identity = protection_domain_alloc(IOMMU_DOMAIN_IDENTITY, 0);
	KUNIT_ASSERT_NOT_NULL(test, identity);
	identity->domain.type = IOMMU_DOMAIN_IDENTITY;
	identity->domain.ops = amd_iommu_ops.default_domain_ops;

	rid[0] = amd_iommu_ops.blocked_domain;
	want[0] = BLOCKED;
	rid[1] = &identity->domain;
	want[1] = IDENTITY;
	rid[2] = a;
	want[2] = root(a);
	rid[3] = b;
	want[3] = root(b);

	for (dev = 0; dev < DEVS; dev++) {
		/* Without a GCR3[0] in its table of the second level at first */
		KUNIT_ASSERT_EQ(test, 0, set_pasid(test, dev, 600, domain, NULL));
		for (from = 0; from < 4; from++) {
			for (to = 0; to < 4; to++) {
				KUNIT_ASSERT_EQ(test, 0, attach(test, dev,
								rid[from]));
				expect_request(test, dev, 0, want[from]);
				expect_request(test, dev, 600, root(domain));

				ret = attach(test, dev, v1);
				KUNIT_EXPECT_EQ(test, -EBUSY, ret);
				expect_request(test, dev, 0, want[from]);

				KUNIT_ASSERT_EQ(test, 0, attach(test, dev,
								rid[to]));
				expect_request(test, dev, 0, want[to]);
				expect_request(test, dev, 600, root(domain));
			}
		}
		/* It has got away from all but the last one */
		unmap_a_page(test, a);
		KUNIT_EXPECT_EQ(test, 0, count_flushes(test, dev, 0, false));
		unmap_a_page(test, b);
		KUNIT_EXPECT_EQ(test, 1, count_flushes(test, dev, 0, false));
		KUNIT_EXPECT_EQ(test, dev, count_flushes(test, dev, 0, true));

		remove_pasid(test, dev, 600, domain);
		expect_request(test, dev, 600, BLOCKED);
		expect_request(test, dev, 0, root(b));
		KUNIT_ASSERT_EQ(test, 0, attach(test, dev, v1));
		expect_request(test, dev, 0, root(v1));
		block(test, dev);
	}
	KUNIT_EXPECT_TRUE(test, xa_empty(&to_pdomain(a)->iommu_array));
	KUNIT_EXPECT_TRUE(test, xa_empty(&to_pdomain(b)->iommu_array));
	protection_domain_free(identity);
	iommu_domain_free(domain);
	iommu_domain_free(a);
	iommu_domain_free(b);
	iommu_domain_free(v1);
}

static unsigned int uses(struct kunit *test, struct iommu_domain *domain)
{
	struct pdom_iommu_info *info;

	info = xa_load(&to_pdomain(domain)->iommu_array, 0);
	return info ? info->refcnt : 0;
}

/* A device joins the group after the PASID of the others is attached */
static void pasid_test_join(struct kunit *test)
{
	struct iommu_domain *a = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *b = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct fake *fake = test->priv;
	int dev;

	KUNIT_ASSERT_EQ(test, 0, attach(test, 1, a));
	KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, 1, a, NULL));
	KUNIT_EXPECT_EQ(test, 2, uses(test, a));

	/* The PASID is detached without a replace before */
	remove_pasid(test, 0, 1, a);
	remove_pasid(test, 1, 1, a);
	KUNIT_EXPECT_EQ(test, 1, uses(test, a));
	KUNIT_EXPECT_EQ(test, 0, fake->devs[1].data.gcr3_info.pasid_cnt);

	KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, 1, a, NULL));
	for (dev = 0; dev < DEVS; dev++) {
		KUNIT_ASSERT_EQ(test, 0, set_pasid(test, dev, 1, b, a));
		expect_request(test, dev, 1, root(b));
		KUNIT_EXPECT_EQ(test, 1,
				fake->devs[dev].data.gcr3_info.pasid_cnt);
	}
	expect_request(test, 1, 0, root(a));
	KUNIT_EXPECT_EQ(test, 1, uses(test, a));
	KUNIT_EXPECT_EQ(test, 2, uses(test, b));

	for (dev = 0; dev < DEVS; dev++) {
		remove_pasid(test, dev, 1, b);
		expect_request(test, dev, 1, BLOCKED);
		KUNIT_EXPECT_EQ(test, 0,
				fake->devs[dev].data.gcr3_info.pasid_cnt);
	}
	KUNIT_EXPECT_NULL(test, fake->devs[0].data.domain);
	KUNIT_EXPECT_EQ(test, 0, uses(test, b));
	block(test, 1);
	KUNIT_EXPECT_EQ(test, 0, uses(test, a));
	iommu_domain_free(a);
	iommu_domain_free(b);
}

#ifdef CONFIG_IRQ_REMAP
static void pasid_test_vapic(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *v1 = domain_new(test, 0);
	struct fake *fake = test->priv;
	struct iommu_dev_data *data = &fake->devs[0].data;
	int old = amd_iommu_guest_ir;

	amd_iommu_guest_ir = AMD_IOMMU_GUEST_IR_VAPIC;
	KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, 1, domain, NULL));
	KUNIT_EXPECT_EQ(test, -EBUSY, attach(test, 0, v1));
	KUNIT_EXPECT_EQ(test, 0, data->use_vapic);
	KUNIT_EXPECT_EQ(test, 0, attach(test, 0, domain));
	KUNIT_EXPECT_EQ(test, 1, data->use_vapic);
	amd_iommu_guest_ir = old;

	remove_pasid(test, 0, 1, domain);
	block(test, 0);
	iommu_domain_free(domain);
	iommu_domain_free(v1);
}
#endif

static void pasid_test_no_domid(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct fake *fake = test->priv;
	unsigned long *ids;

	ids = bitmap_alloc(MAX_DOMAIN_ID, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ids);
	bitmap_copy(ids, amd_iommu_pd_alloc_bitmap, MAX_DOMAIN_ID);
	bitmap_fill(amd_iommu_pd_alloc_bitmap, MAX_DOMAIN_ID);
	KUNIT_EXPECT_EQ(test, -ENOSPC, attach(test, 0, domain));
	KUNIT_EXPECT_NULL(test, fake->devs[0].data.domain);
	KUNIT_EXPECT_NULL(test, fake->devs[0].data.gcr3_info.gcr3_tbl);
	KUNIT_EXPECT_EQ(test, 0, uses(test, domain));
	bitmap_copy(amd_iommu_pd_alloc_bitmap, ids, MAX_DOMAIN_ID);
	bitmap_free(ids);
	block(test, 0);
	iommu_domain_free(domain);
}

/* A large page takes the place of a page of the table */
static void pasid_test_large_page(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct fake *fake = test->priv;
	u64 *table = to_pdomain(domain)->iop.pgd;
	int level;

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, domain));
	unmap_a_page(test, domain);
	KUNIT_EXPECT_EQ(test, SZ_1M - SZ_4K,
			iommu_unmap(domain, IOVA | SZ_4K, SZ_1M - SZ_4K));
	for (level = amd_iommu_gpt_level - 1; level; level--)
		table = phys_to_virt(table[PM_LEVEL_INDEX(level, IOVA)] &
				     PM_ADDR_MASK);
	KUNIT_EXPECT_NULL(test, memchr_inv(table, 0, PAGE_SIZE));
	fake_drain(fake);
	fake->taken = 0;
	fake->watched = virt_to_page(table);
	KUNIT_EXPECT_EQ(test, 0, iommu_map(domain, IOVA, SZ_2M, SZ_2M,
					   IOMMU_READ, GFP_KERNEL));
	fake_drain(fake);
	fake->watched = NULL;
	KUNIT_EXPECT_NE(test, 0, fake->taken);
	KUNIT_EXPECT_FALSE(test, fake->freed_early);
	block(test, 0);
	iommu_domain_free(domain);
}

/* PASIDs first, and last */
static void pasid_test_rid_blocked(struct kunit *test)
{
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct fake *fake = test->priv;
	struct iommu_dev_data *data = &fake->devs[0].data;

	KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, 1, domain, NULL));
	expect_request(test, 0, 1, root(domain));
	expect_request(test, 0, 0, BLOCKED);
	KUNIT_ASSERT_EQ(test, 0, set_pasid(test, 0, 2, domain, NULL));
	remove_pasid(test, 0, 1, domain);
	expect_request(test, 0, 2, root(domain));
	remove_pasid(test, 0, 2, domain);
	expect_request(test, 0, 2, BLOCKED);
	expect_request(test, 0, 0, BLOCKED);
	KUNIT_EXPECT_NULL(test, data->gcr3_info.gcr3_tbl);
	KUNIT_EXPECT_NULL(test, data->domain);
	KUNIT_EXPECT_EQ(test, 0, fake->dev_table[0].data[0] & DTE_FLAG_GV);

	/* A PASID that the device cannot have leaves it as it was */
	data->pasid_enabled = 0;
	KUNIT_EXPECT_EQ(test, -EINVAL, set_pasid(test, 0, 1, domain, NULL));
	KUNIT_EXPECT_NULL(test, data->gcr3_info.gcr3_tbl);
	KUNIT_EXPECT_NULL(test, data->domain);
	KUNIT_EXPECT_TRUE(test, list_empty(&to_pdomain(domain)->dev_data_list));
	iommu_domain_free(domain);
}

static void pasid_test_refusals(struct kunit *test)
{
	static const u32 refused[] = {
		IOMMU_HWPT_ALLOC_PASID | IOMMU_HWPT_ALLOC_NEST_PARENT,
		IOMMU_HWPT_ALLOC_PASID | IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		IOMMU_HWPT_ALLOC_PASID | 1U << 31,
	};
	static const u64 needed[] = {
		FEATURE_GT, FEATURE_PPR, FEATURE_EPHSUP, FEATURE_GIOSUP,
	};
	struct iommu_domain *domain = domain_new(test, IOMMU_HWPT_ALLOC_PASID);
	struct iommu_domain *v1 = domain_new(test, 0);
	struct fake *fake = test->priv;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, PD_MODE_V1, to_pdomain(v1)->pd_mode);
	KUNIT_EXPECT_EQ(test, (1ULL << (amd_iommu_gpt_level == 5 ? 56 : 47)) - 1,
			domain->geometry.aperture_end);
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
				PTR_ERR(domain_alloc(test, refused[i])));
	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		amd_iommu_efr &= ~needed[i];
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
				PTR_ERR(domain_alloc(test,
						     IOMMU_HWPT_ALLOC_PASID)));
		amd_iommu_efr |= needed[i];
	}

	KUNIT_EXPECT_EQ(test, -EINVAL, set_pasid(test, 0, 0, domain, NULL));
	KUNIT_EXPECT_EQ(test, -EINVAL, set_pasid(test, 0, MAX_PASIDS, domain,
						 NULL));
	KUNIT_EXPECT_EQ(test, -EINVAL, set_pasid(test, 0, 1, v1, NULL));
	KUNIT_EXPECT_NULL(test, fake->devs[0].data.domain);

	KUNIT_ASSERT_EQ(test, 0, attach(test, 0, v1));
	KUNIT_EXPECT_EQ(test, -EINVAL, set_pasid(test, 0, 1, domain, NULL));
	expect_request(test, 0, 0, root(v1));
	block(test, 0);
	iommu_domain_free(domain);
	iommu_domain_free(v1);
}

static void pasid_test_ats_capability(struct kunit *test)
{
	struct fake *fake = test->priv;

	KUNIT_EXPECT_TRUE(test, amd_iommu_ops.capable(&fake->devs[0].dev,
						      IOMMU_CAP_PCI_ATS_NOT_SUPPORTED));
	fake->devs[0].data.flags |= AMD_IOMMU_DEVICE_FLAG_ATS_SUP;
	KUNIT_EXPECT_FALSE(test, amd_iommu_ops.capable(&fake->devs[0].dev,
						       IOMMU_CAP_PCI_ATS_NOT_SUPPORTED));
}

KUNIT_DEFINE_ACTION_WRAPPER(fake_stop, kthread_stop, struct task_struct *);

static void fake_add_dev(struct fake *fake, struct iommu_group *group, int i)
{
	struct fake_dev *dev = &fake->devs[i];

	fake->alias_table[i] = i;
	mutex_init(&dev->data.mutex);
	spin_lock_init(&dev->data.dte_lock);
	dev->data.dev = &dev->dev;
	dev->data.devid = i;
	dev->data.max_pasids = MAX_PASIDS;
	dev->data.pasid_enabled = 1;
	dev->data.flags = AMD_IOMMU_DEVICE_FLAG_PASID_SUP;
	dev->iommu.iommu_dev = &fake->iommu.iommu;
	dev->iommu.priv = &dev->data;
	dev->iommu.max_pasids = MAX_PASIDS;
	dev->dev.iommu = &dev->iommu;
	dev->dev.iommu_group = group;
}

static int pasid_test_init(struct kunit *test)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	unsigned int other = cpumask_any_but(cpu_online_mask, cpu);
	struct iommu_group *group;
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
	if (cpu_feature_enabled(X86_FEATURE_LA57))
		amd_iommu_gpt_level = PAGE_MODE_5_LEVEL;

	fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	test->priv = fake;
	fake->mmio = kunit_kzalloc(test, 2 * MMIO_CMD_TAIL_OFFSET, GFP_KERNEL);
	fake->iommu.cmd_buf = kunit_kzalloc(test, CMD_BUFFER_SIZE, GFP_KERNEL);
	fake->dev_table = kunit_kcalloc(test, DEVS, sizeof(*fake->dev_table),
					GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake->mmio);
	KUNIT_ASSERT_NOT_NULL(test, fake->iommu.cmd_buf);
	KUNIT_ASSERT_NOT_NULL(test, fake->dev_table);

	fake->seg.dev_table = fake->dev_table;
	fake->seg.alias_table = fake->alias_table;
	fake->seg.last_bdf = DEVS - 1;
	raw_spin_lock_init(&fake->iommu.lock);
	fake->iommu.dev = &fake->pdev;
	fake->iommu.pci_seg = &fake->seg;
	fake->iommu.mmio_base = (u8 __iomem __force *)fake->mmio;
	fake->iommu.cmd_sem = &fake->sem;
	fake->iommu.iommu.ops = &amd_iommu_ops;
	group = amd_test_group_new(test);
	for (i = 0; i < DEVS; i++)
		fake_add_dev(fake, group, i);

	fake->thread = kthread_create(fake_iommu, fake, "fake-iommu");
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(fake->thread));
	kthread_bind(fake->thread, other);
	wake_up_process(fake->thread);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_stop,
							   fake->thread));
	amd_iommu_efr = FEATURE_GT | FEATURE_PPR | FEATURE_EPHSUP |
			FEATURE_GIOSUP;
	return 0;
}

static void pasid_test_exit(struct kunit *test)
{
	if (!test->priv)
		return;
	amd_iommu_efr = 0;
	/* All domains are gone, and their DomainIDs free */
	if (amd_iommu_pd_alloc_bitmap)
		KUNIT_EXPECT_EQ(test, 1,
				bitmap_weight(amd_iommu_pd_alloc_bitmap,
					      MAX_DOMAIN_ID));
	amd_iommu_pd_alloc_bitmap = NULL;
}

static struct kunit_case amd_iommu_pasid_test_cases[] = {
	KUNIT_CASE(pasid_test_attach),
	KUNIT_CASE(pasid_test_replace),
	KUNIT_CASE(pasid_test_flush),
	KUNIT_CASE(pasid_test_flush_rid),
	KUNIT_CASE(pasid_test_change_rid),
	KUNIT_CASE(pasid_test_join),
#ifdef CONFIG_IRQ_REMAP
	KUNIT_CASE(pasid_test_vapic),
#endif
	KUNIT_CASE(pasid_test_no_domid),
	KUNIT_CASE(pasid_test_large_page),
	KUNIT_CASE(pasid_test_rid_blocked),
	KUNIT_CASE(pasid_test_refusals),
	KUNIT_CASE(pasid_test_ats_capability),
	{}
};

static struct kunit_suite amd_iommu_pasid_test_suite = {
	.name = "amd-iommu-pasid-kunit-test",
	.init = pasid_test_init,
	.exit = pasid_test_exit,
	.test_cases = amd_iommu_pasid_test_cases,
};

kunit_test_suites(&amd_iommu_pasid_test_suite);
