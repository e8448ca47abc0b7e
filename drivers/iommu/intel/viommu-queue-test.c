// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what reaches the invalidation queue: which descriptors of a guest's
 * array, in which order and with how many wait descriptors, and what the VMM
 * gets back when the queue stops.
 *
 * A thread stands in for the unit. It takes descriptors out of a queue in
 * memory, records them, and stops where the test tells it to.
 */
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/dmar.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <uapi/linux/iommufd.h>

#include "../iommu-pages.h"
#include "viommu.h"

#define MAX_GUEST	1024
#define MAX_HOST	4096
#define MAX_TAGS	16
#define NEVER		U32_MAX
#define CHUNK		126

/* Not a bit of the fault status: the driver has not seen the error yet */
#define FSTS_NEW	BIT(30)
#define FSTS_IQE	BIT(4)
#define FSTS_ITE	BIT(6)

/* IDs of the guest, and those of the host for them */
#define VDID		7ULL
#define VDID_OTHER	8ULL
#define VDID_BYPASS	1ULL
#define DID_A		0x101ULL
#define DID_B		0x102ULL
#define DID_C		0x103ULL
#define DID_OTHER	0x104ULL
#define DID_BYPASS	0x105ULL
#define DID_FAR		0x106ULL
#define PASID		0x54321ULL
#define VSID		0x0110ULL
#define SID		0x2208ULL
#define PFSID		0x2200ULL
#define QDEP		9ULL
#define ADDR		0x40000000ULL

#define TYPE(word0)	((word0) & 0xf)
#define WAIT		5
#define PIOTLB(did, pasid) (6 | 3 << 4 | (did) << 16 | (u64)(pasid) << 32)
#define PIOTLB_ALL(did, pasid) (6 | 2 << 4 | (did) << 16 | (u64)(pasid) << 32)
#define IOTLB_DID(did)	(2 | 2 << 4 | (did) << 16)
#define DEV(sid)	(3 | (sid) << 32)
#define PDEV(sid, pasid) (8 | (sid) << 16 | (pasid) << 32)
#define HOST_DEV	(DEV(SID) | QDEP << 16 | (PFSID & 0xf) << 12 |	\
			 (PFSID >> 4) << 52)
#define HOST_PDEV(pasid) (PDEV(SID, pasid) | QDEP << 4 |		\
			 (PFSID & 0xf) << 12 | (PFSID >> 4) << 52)
#define DEV_ALL		(GENMASK_ULL(62, 12) | 1)
#define PDEV_ALL	(GENMASK_ULL(62, 12) | BIT_ULL(11))
#define ILLEGAL		4

#define FAULT_REGS	8
#define FAULT_REG(i)	(0x400 + 16 * (i))

struct fake {
	struct intel_iommu iommu;
	struct q_inval qi;
	struct intel_viommu viommu;
	struct intel_viommu_domain nested[6];
	struct cache_tag tags[MAX_TAGS];
	u32 nr_tags;
	struct intel_vdevice vdev;
	struct device_domain_info info;
	struct dev_iommu dev_iommu;
	struct pci_dev pdev;
	struct pci_bus bus;
	struct pci_ops pci_ops;
	bool present;
	struct task_struct *thread;
	u8 *regs;
	/* Refuse this descriptor, counted from the start of the call */
	u32 refuse;
	/* The device does not answer this often */
	u32 silent;
	/* Somebody else's does not, this often */
	u32 foreign;
	/* The unit reads on until the queue is empty before it reports that */
	bool late;
	/*
	 * The error comes before this descriptor, counted from the start of the
	 * call, and not at a wait descriptor
	 */
	u32 early;
	/* What the error says about the device, 0 if the unit does not say */
	u16 ite_sid;
	/* Type 7 descriptors during which a domain has a tag with this ID */
	struct dmar_domain *watched;
	u16 watched_did;
	u32 seen;
	/* All fault records are full until then, in jiffies; 0 if they are empty */
	unsigned long faults_until;
	bool again;
	/* Taken in this call */
	u32 taken;
	u32 waits;
	u64 host[MAX_HOST][4];
	/* Descriptors of the guest */
	u64 guest[MAX_GUEST][4];
	u32 sent;
	u32 entry_len;
	u8 __user *uptr;
};

static u32 *fake_reg(struct fake *fake, int reg)
{
	return (u32 *)(fake->regs + reg);
}

/* Stops with an error until the driver has seen to it */
static void fake_error(struct fake *fake, u32 error, u32 head)
{
	unsigned long flags;

	WRITE_ONCE(*fake_reg(fake, DMAR_IQH_REG), head << 5);
	WRITE_ONCE(*(u64 *)fake_reg(fake, DMAR_IQER_REG),
		   (u64)fake->ite_sid << 32);
	/* The registers above are set before the error is seen */
	smp_store_release(fake_reg(fake, DMAR_FSTS_REG), error | FSTS_NEW);
	while (READ_ONCE(*fake_reg(fake, DMAR_FSTS_REG)) & FSTS_NEW) {
		if (kthread_should_stop())
			return;
		cond_resched();
	}
	/* The driver reads it and writes it back under this lock */
	raw_spin_lock_irqsave(&fake->qi.q_lock, flags);
	WRITE_ONCE(*fake_reg(fake, DMAR_FSTS_REG), 0);
	raw_spin_unlock_irqrestore(&fake->qi.q_lock, flags);
}

static void fake_watch(struct fake *fake)
{
	struct dmar_domain *domain = fake->watched;
	struct cache_tag *tag;
	unsigned long flags;

	spin_lock_irqsave(&domain->cache_lock, flags);
	list_for_each_entry(tag, &domain->cache_tags, node)
		fake->seen += tag->domain_id == fake->watched_did;
	spin_unlock_irqrestore(&domain->cache_lock, flags);
}

static void fake_end_faults(struct fake *fake)
{
	unsigned int i;

	for (i = 0; i < FAULT_REGS; i++)
		WRITE_ONCE(*fake_reg(fake, FAULT_REG(i) + 12), 0);
	WRITE_ONCE(fake->faults_until, 0);
}

static bool fake_names_device(const u64 *desc)
{
	return TYPE(desc[0]) == 3 || TYPE(desc[0]) == 8;
}

static int fake_unit(void *data)
{
	struct fake *fake = data;
	bool unanswered = false;
	u32 head = 0;

	while (!kthread_should_stop()) {
		/* Pairs with the order of the driver's writes and writel() */
		u32 tail = smp_load_acquire(fake_reg(fake, DMAR_IQT_REG)) >> 5;
		u64 *desc = fake->qi.desc + (head << 5);
		u32 at = fake->taken;

		if (head == tail) {
			if (READ_ONCE(fake->faults_until) &&
			    time_after(jiffies, fake->faults_until))
				fake_end_faults(fake);
			cond_resched();
			continue;
		}
		if (at == fake->refuse) {
			fake->refuse = NEVER;
			fake_error(fake, FSTS_IQE, head);
			continue;
		}

		if (at == fake->early) {
			fake->early = NEVER;
			fake_error(fake, FSTS_ITE, head);
			continue;
		}
		if (TYPE(desc[0]) == WAIT && unanswered && fake->late &&
		    (head + 1) % QI_LENGTH != tail) {
			head = (head + 1) % QI_LENGTH;
			continue;
		}
		if (TYPE(desc[0]) == WAIT && (unanswered || fake->foreign)) {
			if (!unanswered)
				fake->foreign--;
			unanswered = false;
			head = (head + 1) % QI_LENGTH;
			fake_error(fake, FSTS_ITE, head);
			continue;
		}
		if (fake_names_device(desc) && fake->silent) {
			fake->silent--;
			unanswered = true;
		}
		memcpy(fake->host[at % MAX_HOST], desc, 32);
		if (TYPE(desc[0]) == WAIT)
			fake->waits++;
		if (TYPE(desc[0]) == 7 && fake->watched)
			fake_watch(fake);
		fake->taken = at + 1;
		head = (head + 1) % QI_LENGTH;
		WRITE_ONCE(*fake_reg(fake, DMAR_IQH_REG), head << 5);
		if (TYPE(desc[0]) == WAIT && (desc[0] & BIT(5)))
			/* Publishes what was taken before the driver goes on */
			smp_store_release((u32 *)phys_to_virt(desc[1]),
					  (u32)(desc[0] >> 32));
	}
	return 0;
}

KUNIT_DEFINE_ACTION_WRAPPER(fake_stop, kthread_stop, struct task_struct *);

static void fake_domain(struct fake *fake, int i, u16 vdid,
			enum intel_vpe_kind kind)
{
	struct intel_viommu_domain *nested = &fake->nested[i];

	nested->viommu = &fake->viommu;
	nested->kind = kind;
	nested->guest_did = vdid;
	INIT_LIST_HEAD(&nested->domain.cache_tags);
	spin_lock_init(&nested->domain.cache_lock);
	hash_add(fake->viommu.nested, &nested->node, vdid);
}

/* The domain @i is in force for a PASID under a domain ID of the host */
static void fake_tag(struct kunit *test, int i, u16 did, u32 pasid,
		     enum cache_tag_type type)
{
	struct fake *fake = test->priv;
	struct cache_tag *tag;

	KUNIT_ASSERT_LT(test, fake->nr_tags, MAX_TAGS);
	tag = &fake->tags[fake->nr_tags++];
	tag->type = type;
	tag->iommu = &fake->iommu;
	tag->dev = &fake->pdev.dev;
	tag->domain_id = did;
	tag->pasid = pasid;
	list_add_tail(&tag->node, &fake->nested[i].domain.cache_tags);
}

static int fake_config_read(struct pci_bus *bus, unsigned int devfn, int where,
			    int size, u32 *val)
{
	struct fake *fake = container_of(bus, struct fake, bus);

	*val = fake->present ? 0x12348086 : ~0;
	return PCIBIOS_SUCCESSFUL;
}

static void fake_device(struct kunit *test, struct fake *fake)
{
	fake->present = true;
	fake->pci_ops.read = fake_config_read;
	fake->bus.ops = &fake->pci_ops;
	fake->pdev.bus = &fake->bus;
	fake->pdev.error_state = pci_channel_io_normal;
	fake->pdev.dev.iommu = &fake->dev_iommu;
	fake->dev_iommu.priv = &fake->info;
	fake->dev_iommu.max_pasids = PASID + 1;
	fake->info.dev = &fake->pdev.dev;
	fake->info.iommu = &fake->iommu;
	fake->info.bus = SID >> 8;
	fake->info.devfn = SID & 0xff;
	fake->info.pfsid = PFSID;
	fake->info.ats_qdep = QDEP;
	fake->info.ats_enabled = 1;
	fake->info.pasid_enabled = 1;

	fake->vdev.info = &fake->info;
	fake->vdev.core.dev = &fake->pdev.dev;
	fake->vdev.core.viommu = &fake->viommu.core;
	fake->vdev.core.virt_id = VSID;
	KUNIT_ASSERT_NULL(test, xa_store(&fake->viommu.core.vdevs, VSID,
					 &fake->vdev.core, GFP_KERNEL));
}

static void fake_queue(struct kunit *test, struct fake *fake)
{
	struct q_inval *qi = &fake->qi;

	fake->regs = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake->regs);
	qi->desc = kunit_kcalloc(test, QI_LENGTH, sizeof(struct qi_desc),
				 GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, qi->desc);
	qi->desc_status = kunit_kcalloc(test, QI_LENGTH, sizeof(int), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, qi->desc_status);
	qi->free_cnt = QI_LENGTH;
	raw_spin_lock_init(&qi->q_lock);

	fake->iommu.reg = (void __iomem __force *)fake->regs;
	fake->iommu.node = NUMA_NO_NODE;
	fake->iommu.flush.flush_iotlb = qi_flush_iotlb;
	spin_lock_init(&fake->iommu.lock);
	raw_spin_lock_init(&fake->iommu.register_lock);
	fake->iommu.qi = qi;
	/* PSI, MAMV 18, NFR, FRO; QI, DT, PASID, DIT, SMTS */
	fake->iommu.cap = BIT_ULL(39) | 18ULL << 48 |
			  (FAULT_REGS - 1ULL) << 40 |
			  (u64)FAULT_REG(0) / 16 << 24;
	fake->iommu.ecap = BIT_ULL(1) | BIT_ULL(2) | BIT_ULL(40) | BIT_ULL(41) | BIT_ULL(43);
	fake->iommu.gcmd = DMA_GCMD_TE;
	fake->iommu.device_rbtree = RB_ROOT;
	spin_lock_init(&fake->iommu.device_rbtree_lock);
}

static void fake_start(struct kunit *test, struct fake *fake, unsigned int cpu)
{
	fake->refuse = NEVER;
	fake->early = NEVER;
	fake->thread = kthread_create(fake_unit, fake, "fake-vt-d");
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(fake->thread));
	kthread_bind(fake->thread, cpu);
	wake_up_process(fake->thread);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_stop,
							   fake->thread));
}

static int queue_test_init(struct kunit *test)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	unsigned int other = cpumask_any_but(cpu_online_mask, cpu);
	struct intel_viommu *viommu;
	unsigned long uaddr;
	struct fake *fake;

	/* The driver waits for the queue with interrupts off */
	if (other >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	KUNIT_ASSERT_EQ(test, 0, set_cpus_allowed_ptr(current, cpumask_of(cpu)));

	fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	test->priv = fake;
	viommu = &fake->viommu;
	viommu->iommu = &fake->iommu;
	viommu->batch = intel_vinv_batch_alloc();
	KUNIT_ASSERT_NOT_NULL(test, viommu->batch);
	mutex_init(&viommu->call_lock);
	mutex_init(&viommu->lock);
	hash_init(viommu->nested);
	xa_init_flags(&viommu->core.vdevs, XA_FLAGS_LOCK_IRQ);
	fake_queue(test, fake);
	fake_device(test, fake);
	fake_start(test, fake, other);

	/* One domain ID of the guest, and one that it uses alone */
	fake_domain(fake, 0, VDID, INTEL_VPE_NESTED);
	fake_tag(test, 0, DID_A, IOMMU_NO_PASID, CACHE_TAG_IOTLB);

	uaddr = kunit_vm_mmap(test, NULL, 0, sizeof(fake->guest),
			      PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, uaddr, 0);
	fake->uptr = (u8 __user *)uaddr;
	fake->entry_len = sizeof(fake->guest[0]);
	return 0;
}

static void queue_test_exit(struct kunit *test)
{
	struct fake *fake = test->priv;

	if (!fake)
		return;
	intel_vinv_batch_free(fake->viommu.batch);
	xa_destroy(&fake->viommu.core.vdevs);
}

static void send(struct fake *fake, u64 word0, u64 word1)
{
	fake->guest[fake->sent][0] = word0;
	fake->guest[fake->sent][1] = word1;
	fake->guest[fake->sent][2] = 0;
	fake->guest[fake->sent][3] = 0;
	fake->sent++;
}

static void send_pages(struct fake *fake, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		send(fake, PIOTLB(VDID, 0), ADDR + i * SZ_4K);
}

/*
 * Invalidate with the descriptors sent, expect @ret and @done, drop the
 * descriptors
 */
static void invalidate(struct kunit *test, int ret, u32 done)
{
	struct fake *fake = test->priv;
	struct iommu_user_data_array array = {
		.type = IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD,
		.uptr = (void __user *)fake->uptr,
		.entry_len = fake->entry_len,
		.entry_num = fake->sent,
	};
	u32 size = min_t(u32, fake->entry_len, 32);
	unsigned int i;

	KUNIT_ASSERT_LE(test, fake->sent * fake->entry_len, sizeof(fake->guest));
	for (i = 0; i < fake->sent; i++) {
		KUNIT_ASSERT_EQ(test, 0,
				copy_to_user(fake->uptr + i * fake->entry_len,
					     fake->guest[i], size));
	}
	fake->sent = 0;
	fake->taken = 0;
	fake->waits = 0;
	KUNIT_EXPECT_EQ(test, ret,
			intel_viommu_cache_invalidate(&fake->viommu.core, &array));
	KUNIT_EXPECT_EQ(test, done, array.entry_num);
}

/* The @i-th descriptor that the unit has taken */
static void expect_host(struct kunit *test, u32 i, u64 word0, u64 word1)
{
	struct fake *fake = test->priv;

	KUNIT_ASSERT_LT(test, i, fake->taken);
	KUNIT_ASSERT_EQ_MSG(test, fake->host[i][0], word0, "word 0 of %u", i);
	KUNIT_ASSERT_EQ_MSG(test, fake->host[i][1], word1, "word 1 of %u", i);
	KUNIT_ASSERT_EQ_MSG(test, fake->host[i][2] | fake->host[i][3], 0,
			    "words 2 and 3 of %u", i);
}

static void expect_wait(struct kunit *test, u32 i)
{
	struct fake *fake = test->priv;

	KUNIT_ASSERT_LT(test, i, fake->taken);
	KUNIT_ASSERT_EQ_MSG(test, TYPE(fake->host[i][0]), WAIT, "%u", i);
}

/* @n pages and a wait descriptor for each submission, from the start */
static void expect_pages(struct kunit *test, u32 n)
{
	struct fake *fake = test->priv;
	u32 i;

	KUNIT_EXPECT_EQ(test, fake->waits, DIV_ROUND_UP(n, CHUNK));
	KUNIT_EXPECT_EQ(test, fake->taken, n + DIV_ROUND_UP(n, CHUNK));
	for (i = 0; i < n; i++) {
		expect_host(test, i + i / CHUNK, PIOTLB(DID_A, 0),
			    ADDR + i * SZ_4K);
		if (i % CHUNK == CHUNK - 1 || i == n - 1)
			expect_wait(test, i + i / CHUNK + 1);
	}
}

/* Any number of descriptors: all in order, one wait a submission */
static void queue_test_lengths(struct kunit *test)
{
	static const u32 lengths[] = { 1, 2, 63, 125, 126, 127, 252, 253, 254,
				       255, 256, 257, 512, MAX_GUEST };
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		send_pages(fake, lengths[i]);
		invalidate(test, 0, lengths[i]);
		expect_pages(test, lengths[i]);
	}
	invalidate(test, 0, 0);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
}

/* Each length that a descriptor may have, and wrong ones */
static void queue_test_entry_len(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_user_data_array array = {
		.type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.uptr = (void __user *)fake->uptr,
		.entry_len = 32,
		.entry_num = 1,
	};
	static const u32 good[] = { 16, 32, 24, 40, 64 };
	static const u32 bad[] = { 0, 1, 8, 15 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		KUNIT_ASSERT_EQ(test, 0, clear_user(fake->uptr,
						    sizeof(fake->guest)));
		fake->entry_len = good[i];
		send_pages(fake, 300);
		invalidate(test, 0, 300);
		expect_pages(test, 300);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fake->entry_len = bad[i];
		send_pages(fake, 3);
		invalidate(test, -EINVAL, 0);
		KUNIT_EXPECT_EQ(test, fake->taken, 0);
	}

	/* A tail that is not 0 */
	KUNIT_ASSERT_EQ(test, 0, clear_user(fake->uptr, sizeof(fake->guest)));
	fake->entry_len = 40;
	send_pages(fake, 5);
	KUNIT_ASSERT_EQ(test, 0, put_user(1, fake->uptr + 2 * 40 + 39));
	invalidate(test, -E2BIG, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 3);
	KUNIT_ASSERT_EQ(test, 0, put_user(0, fake->uptr + 2 * 40 + 39));

	/* The upper half of a descriptor of 32 bytes is reserved */
	fake->entry_len = 32;
	send_pages(fake, 5);
	fake->guest[3][2] = 1;
	invalidate(test, -EIO, 3);
	send_pages(fake, 5);
	fake->guest[4][3] = 1;
	invalidate(test, -EIO, 4);

	/* Memory that is not there, and a type of data that is another's */
	array.uptr = (void __user *)(fake->uptr + sizeof(fake->guest) - 16);
	array.type = IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD;
	KUNIT_EXPECT_EQ(test, -EFAULT,
			intel_viommu_cache_invalidate(&fake->viommu.core, &array));
	KUNIT_EXPECT_EQ(test, 0, array.entry_num);
	array.entry_num = 1;
	array.type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			intel_viommu_cache_invalidate(&fake->viommu.core, &array));
	KUNIT_EXPECT_EQ(test, 0, array.entry_num);
}

/* A bad descriptor at any place: those before it are complete, none after */
static void queue_test_bad(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int n;
	static const u64 bad[][2] = {
		{ ILLEGAL, 0 },
		/* A wait descriptor, and a page response */
		{ WAIT, 0 }, { 9, 0 },
		/* A reserved bit in a run */
		{ PIOTLB(VDID, 0), ADDR | BIT(7) },
		/* A device that the VM does not have */
		{ DEV(SID), DEV_ALL }, { PDEV(SID, 0ULL), PDEV_ALL },
	};

	for (n = 0; n < 260 * ARRAY_SIZE(bad); n++) {
		u32 at = n % 260, kind = n / 260;

		send_pages(fake, 260);
		fake->guest[at][0] = bad[kind][0];
		fake->guest[at][1] = bad[kind][1];
		invalidate(test, -EIO, at);
		expect_pages(test, at);
	}
}

/* The unit refuses a descriptor at any place */
static void queue_test_refused(struct kunit *test)
{
	static const u32 places[] = { 0, 1, 2, 63, 124, 125, 126, 127, 128, 200,
				      250, 251, 252, 253, 258, 259 };
	struct fake *fake = test->priv;
	u32 k, i;

	/* Each is printed to the log, so not at all */
	for (k = 0; k < ARRAY_SIZE(places); k++) {
		u32 at = places[k], before = at / CHUNK * CHUNK;

		send_pages(fake, 260);
		fake->refuse = at + at / CHUNK;
		invalidate(test, -EIO, at);
		/* It and the rest of its submission are fences instead */
		for (i = 0; i < at; i++)
			expect_host(test, i + i / CHUNK, PIOTLB(DID_A, 0),
				    ADDR + i * SZ_4K);
		for (i = at; i <= min(before + CHUNK, 260U); i++)
			expect_wait(test, i + before / CHUNK);
		/* The queue works */
		send_pages(fake, 3);
		invalidate(test, 0, 3);
		expect_pages(test, 3);
	}

	/* What is before it reaches the device, too */
	fake_tag(test, 0, DID_A, IOMMU_NO_PASID, CACHE_TAG_DEVTLB);
	send_pages(fake, 5);
	fake->refuse = 2;
	invalidate(test, -EIO, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 9);
	for (i = 0; i < 2; i++) {
		expect_host(test, i, PIOTLB(DID_A, 0), ADDR + i * SZ_4K);
		expect_host(test, 6 + i, HOST_DEV, ADDR + i * SZ_4K);
	}
	for (i = 2; i < 6; i++)
		expect_wait(test, i);
	expect_wait(test, 8);

	/* Nothing is before the first one; if the device fails, it is first */
	send_pages(fake, 5);
	fake->refuse = 0;
	invalidate(test, -EIO, 0);
	KUNIT_EXPECT_EQ(test, fake->taken, 6);
	send_pages(fake, 5);
	fake->refuse = 2;
	fake->silent = 6;
	invalidate(test, -ETIMEDOUT, 0);
	KUNIT_EXPECT_EQ(test, fake->silent, 0);
}

static void fake_many(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake_domain(fake, 1, VDID, INTEL_VPE_NESTED);
	fake_tag(test, 1, DID_B, PASID, CACHE_TAG_IOTLB);
	fake_domain(fake, 2, VDID, INTEL_VPE_NESTED);
	fake_tag(test, 2, DID_C, PASID, CACHE_TAG_IOTLB);
	fake_tag(test, 2, DID_C, PASID + 1, CACHE_TAG_IOTLB);
	fake_domain(fake, 3, VDID_OTHER, INTEL_VPE_NESTED);
	fake_tag(test, 3, DID_OTHER, PASID, CACHE_TAG_IOTLB);
	fake_domain(fake, 4, VDID_BYPASS, INTEL_VPE_BYPASS);
	fake_tag(test, 4, DID_BYPASS, IOMMU_NO_PASID, CACHE_TAG_IOTLB);
	/* Has the same place in the table as VDID */
	fake_domain(fake, 5, VDID + 0x40, INTEL_VPE_NESTED);
	fake_tag(test, 5, DID_FAR, IOMMU_NO_PASID, CACHE_TAG_IOTLB);
}

/* The unit has taken just these, in any order, and a wait */
static void expect_set(struct kunit *test, const u64 (*set)[2], u32 n)
{
	struct fake *fake = test->priv;
	u32 i, j;

	KUNIT_ASSERT_EQ(test, fake->taken, n + 1);
	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++)
			if (fake->host[j][0] == set[i][0] &&
			    fake->host[j][1] == set[i][1])
				break;
		KUNIT_EXPECT_LT_MSG(test, j, n, "%llx %llx", set[i][0], set[i][1]);
	}
	expect_wait(test, n);
}

#define EXPECT_SET(test, ...)						\
do {									\
	static const u64 set[][2] = { __VA_ARGS__ };			\
	expect_set(test, set, ARRAY_SIZE(set));				\
} while (0)

/* A domain ID of the guest stands for all of its domains, and for no other */
static void queue_test_ids(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake_many(test);

	send(fake, PIOTLB(VDID, PASID), ADDR | 1 << 6 | 3);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { PIOTLB(DID_B, PASID), ADDR | 1 << 6 | 3 },
		   { PIOTLB(DID_C, PASID), ADDR | 1 << 6 | 3 });

	/* An address inside the range, and a range that is too large */
	send(fake, PIOTLB(VDID, PASID + 1), ADDR + 5 * SZ_4K + 3);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { PIOTLB(DID_C, PASID + 1), ADDR | 3 });
	send(fake, PIOTLB(VDID, PASID + 1), ADDR | 19);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { PIOTLB_ALL(DID_C, PASID + 1), 0 });
	send(fake, PIOTLB_ALL(VDID, 0ULL), 0);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { PIOTLB_ALL(DID_A, 0ULL), 0 });

	/* What passes through has no first stage to name a PASID of */
	send(fake, PIOTLB(VDID_BYPASS, 0ULL), ADDR);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { IOTLB_DID(DID_BYPASS), 0 });

	send(fake, IOTLB_DID(VDID), 0);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { IOTLB_DID(DID_A), 0 }, { IOTLB_DID(DID_B), 0 },
		   { IOTLB_DID(DID_C), 0 });
	send(fake, 2 | 3 << 4 | VDID_OTHER << 16, ADDR | 2);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { IOTLB_DID(DID_OTHER), 0 });
	/* The PASID cache: by domain ID, with a PASID too */
	send(fake, 7 | 1 << 4 | VDID_OTHER << 16 | PASID << 32, 0);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { IOTLB_DID(DID_OTHER), 0 });

	/* Nothing is attached under these */
	send(fake, PIOTLB(VDID_OTHER, 0ULL), ADDR);
	send(fake, PIOTLB(99ULL, PASID), ADDR);
	send(fake, IOTLB_DID(99ULL), 0);
	invalidate(test, 0, 3);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
}

/* What is about all of the VM */
static void queue_test_all(struct kunit *test)
{
	static const u64 all[] = {
		1 | 1 << 4, 1 | 2 << 4, 1 | 3 << 4 | VSID << 32,
		2 | 1 << 4, 7 | 3 << 4,
	};
	struct fake *fake = test->priv;
	unsigned int i;

	fake_many(test);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		send(fake, all[i], 0);
		invalidate(test, 0, 1);
		EXPECT_SET(test, { IOTLB_DID(DID_A), 0 }, { IOTLB_DID(DID_B), 0 },
			   { IOTLB_DID(DID_C), 0 }, { IOTLB_DID(DID_OTHER), 0 },
			   { IOTLB_DID(DID_BYPASS), 0 },
			   { IOTLB_DID(DID_FAR), 0 });
	}
}

/* More than one submission for one descriptor of the guest */
static void queue_test_fan_out(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i, n = 0;

	fake_many(test);
	for (i = 0; i < 100; i++)
		send(fake, PIOTLB(VDID, PASID), ADDR + i * SZ_4K);
	invalidate(test, 0, 100);
	KUNIT_EXPECT_EQ(test, fake->taken, 202);
	KUNIT_EXPECT_EQ(test, fake->waits, 2);
	for (i = 0; i < fake->taken; i++)
		n += TYPE(fake->host[i][0]) == 6;
	KUNIT_EXPECT_EQ(test, n, 200);
	expect_wait(test, CHUNK);
	expect_wait(test, 201);
}

/* Caches that devices fill from come first; a guest with ATS repeats itself */
static void queue_test_devices(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	fake_tag(test, 0, DID_A, IOMMU_NO_PASID, CACHE_TAG_DEVTLB);
	for (i = 0; i < 10; i++) {
		send(fake, PIOTLB(VDID, 0ULL), (ADDR + i * SZ_4K) | 0);
		send(fake, DEV(VSID), ADDR + i * SZ_4K);
	}
	invalidate(test, 0, 20);
	KUNIT_EXPECT_EQ(test, fake->taken, 22);
	for (i = 0; i < 10; i++) {
		expect_host(test, i, PIOTLB(DID_A, 0ULL), ADDR + i * SZ_4K);
		expect_host(test, 11 + i, HOST_DEV, ADDR + i * SZ_4K);
	}
	expect_wait(test, 10);
	expect_wait(test, 21);

	/* A guest without ATS sends nothing for the device */
	send(fake, IOTLB_DID(VDID), 0);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 4);
	expect_host(test, 0, IOTLB_DID(DID_A), 0);
	expect_host(test, 2, HOST_DEV, DEV_ALL);

	/* Queue depth and PFSID are the host's, the range is the guest's */
	send(fake, DEV(VSID) | 31 << 16 | 0xabcULL << 52, ADDR | 7 << 12 | 1);
	send(fake, PDEV(VSID, PASID) | 31 << 4, ADDR | BIT(11));
	send(fake, PDEV(VSID, PASID), PDEV_ALL | 1);
	send(fake, PDEV(VSID, 0ULL), PDEV_ALL);
	invalidate(test, 0, 4);
	KUNIT_EXPECT_EQ(test, fake->taken, 5);
	expect_host(test, 0, HOST_DEV, ADDR | 7 << 12 | 1);
	expect_host(test, 1, HOST_PDEV(PASID), ADDR | BIT(11));
	expect_host(test, 2, HOST_PDEV(PASID), PDEV_ALL | 1);
	expect_host(test, 3, HOST_DEV, DEV_ALL);

	/* A device with the quirk gets each twice */
	fake->info.dtlb_extra_inval = 1;
	send(fake, DEV(VSID), ADDR);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 3);
	expect_host(test, 0, HOST_DEV, ADDR);
	expect_host(test, 1, HOST_DEV, ADDR);
	fake->info.dtlb_extra_inval = 0;

	/* A PASID that it cannot use has nothing there; all PASIDs have */
	send(fake, PDEV(VSID, PASID + 1), ADDR);
	send(fake, PDEV(VSID, PASID + 1), ADDR | 1);
	invalidate(test, 0, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 2);
	expect_host(test, 0, HOST_PDEV(PASID + 1), ADDR | 1);

	/* Nothing is sent to one that is absent or does not use ATS */
	fake->present = false;
	send(fake, DEV(VSID), ADDR);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
	fake->present = true;
	fake->pdev.error_state = pci_channel_io_perm_failure;
	send(fake, PIOTLB(VDID, 0ULL), ADDR);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 2);
	expect_host(test, 0, PIOTLB(DID_A, 0ULL), ADDR);
	expect_wait(test, 1);
	fake->pdev.error_state = pci_channel_io_normal;
	fake->info.ats_enabled = 0;
	send(fake, PDEV(VSID, PASID), ADDR);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
}

/* A range that is repeated, and the next one, are for the device, too */
static void queue_test_repeated(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	fake_tag(test, 0, DID_A, IOMMU_NO_PASID, CACHE_TAG_DEVTLB);
	send(fake, PIOTLB(VDID, 0ULL), ADDR);
	send(fake, PIOTLB(VDID, 0ULL), ADDR);
	send(fake, PIOTLB(VDID, 0ULL), ADDR + SZ_4K);
	invalidate(test, 0, 3);
	KUNIT_EXPECT_EQ(test, fake->taken, 7);
	for (i = 0; i < 3; i++)
		expect_host(test, i, PIOTLB(DID_A, 0ULL), ADDR + i / 2 * SZ_4K);
	expect_wait(test, 3);
	expect_host(test, 4, HOST_DEV, ADDR);
	expect_host(test, 5, HOST_DEV, ADDR + SZ_4K);
	expect_wait(test, 6);
}

/* A device that does not answer: told to its sender, who can go on */
static void queue_test_silent(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		fake->ite_sid = 0;
		send_pages(fake, 5);
		send(fake, DEV(VSID), ADDR);
		send_pages(fake, 2);
		fake->silent = 3;
		invalidate(test, -ETIMEDOUT, 5);
		KUNIT_EXPECT_EQ(test, fake->silent, 0);

		/* Three tries, of which the last one is answered */
		send_pages(fake, 5);
		send(fake, DEV(VSID), ADDR);
		fake->silent = 2;
		invalidate(test, 0, 6);

		/* It is gone, as the unit can tell */
		fake->ite_sid = SID;
		send_pages(fake, 5);
		send(fake, DEV(VSID), ADDR);
		send(fake, DEV(VSID), ADDR + SZ_4K);
		fake->silent = 3;
		invalidate(test, -ETIMEDOUT, 5);
		/* Both were asked once */
		KUNIT_EXPECT_EQ(test, fake->silent, 1);
		fake->silent = 0;
	}
}

/* Somebody else sends for a device, and lets the unit see it with the next tail */
static int fake_other_sender(struct fake *fake)
{
	const u64 descs[][4] = { { DEV(0x4444ULL), DEV_ALL }, { WAIT } };
	struct q_inval *qi = &fake->qi;
	unsigned long flags;
	int i, index;

	raw_spin_lock_irqsave(&qi->q_lock, flags);
	index = qi->free_head;
	for (i = 0; i < 2; i++) {
		memcpy(qi->desc + (qi->free_head << 5), descs[i], 32);
		qi->desc_status[qi->free_head] = QI_IN_USE;
		qi->free_head = (qi->free_head + 1) % QI_LENGTH;
	}
	qi->free_cnt -= 2;
	raw_spin_unlock_irqrestore(&qi->q_lock, flags);
	return index;
}

/* Somebody else's device does not answer, or is gone */
static void queue_test_foreign(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i, index;

	/* The unit says that it is another one, however often */
	fake->ite_sid = 0x4444;
	fake->foreign = 30;
	send(fake, DEV(VSID), ADDR);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->foreign, 0);
	/* For as long as one can bear */
	fake->foreign = 64;
	send(fake, DEV(VSID), ADDR);
	invalidate(test, -ETIMEDOUT, 0);
	KUNIT_EXPECT_EQ(test, fake->foreign, 0);

	/* It does not say, but there is nobody else */
	fake->ite_sid = 0;
	fake->foreign = 2;
	send(fake, DEV(VSID), ADDR);
	invalidate(test, 0, 1);
	fake->foreign = 3;
	send(fake, DEV(VSID), ADDR);
	invalidate(test, -ETIMEDOUT, 0);
	KUNIT_EXPECT_EQ(test, fake->foreign, 0);

	/* There is: the first of these is for both, so it is no try */
	fake->late = true;
	fake->silent = 2 + 2;
	index = fake_other_sender(fake);
	send(fake, DEV(VSID), ADDR);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->silent, 0);
	KUNIT_EXPECT_EQ(test, fake->qi.desc_status[index], QI_ABORT);
	KUNIT_EXPECT_EQ(test, fake->qi.desc_status[index + 1], QI_ABORT);
	fake->qi.desc_status[index] = QI_FREE;
	fake->qi.desc_status[index + 1] = QI_FREE;
	fake->late = false;

	/* Does not concern those who name no device */
	for (i = 0; i < 2; i++) {
		fake->ite_sid = i ? 0x4444 : 0;
		fake->foreign = 30;
		send_pages(fake, 3);
		invalidate(test, 0, 3);
		KUNIT_EXPECT_EQ(test, fake->foreign, 0);
	}
}

/* A domain that is being replaced can be cached under two IDs */
static void queue_test_two_ids(struct kunit *test)
{
	struct fake *fake = test->priv;

	fake_tag(test, 0, DID_B, IOMMU_NO_PASID, CACHE_TAG_IOTLB);
	send(fake, IOTLB_DID(VDID), 0);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { IOTLB_DID(DID_A), 0 }, { IOTLB_DID(DID_B), 0 });
	send(fake, PIOTLB(VDID, 0ULL), ADDR);
	invalidate(test, 0, 1);
	EXPECT_SET(test, { PIOTLB(DID_A, 0ULL), ADDR },
		   { PIOTLB(DID_B, 0ULL), ADDR });
}

static const struct iommu_domain_ops no_ops;

static bool has_tag(struct dmar_domain *domain, u16 did)
{
	struct cache_tag *tag;

	list_for_each_entry(tag, &domain->cache_tags, node)
		if (tag->domain_id == did)
			return true;
	return false;
}

/* The device gets a PASID table, the unit domain IDs from 2 on */
static void fake_pasids(struct kunit *test, struct fake *fake)
{
	struct pasid_table *table;

	table = kunit_kzalloc(test, sizeof(*table), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, table);
	table->table = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	fake->iommu.domain_ids = kunit_kzalloc(test, sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, table->table && fake->iommu.domain_ids);
	table->max_pasid = 64;
	fake->info.pasid_table = table;
	fake->iommu.domain_ids[0] = 3;
}

static void fake_pasids_exit(struct fake *fake)
{
	iommu_free_page(get_pasid_table_from_pde(fake->info.pasid_table->table));
}

static struct dmar_domain *fake_second_stage(struct kunit *test)
{
	struct dmar_domain *s2 = kunit_kzalloc(test, sizeof(*s2), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s2);
	s2->pgd = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s2->pgd);
	s2->agaw = 2;
	INIT_LIST_HEAD(&s2->s1_domains);
	INIT_LIST_HEAD(&s2->cache_tags);
	spin_lock_init(&s2->s1_lock);
	spin_lock_init(&s2->cache_lock);
	return s2;
}

static struct dmar_domain *fake_first_stage(struct kunit *test,
					    struct dmar_domain *s2, u64 root)
{
	const struct iommu_hwpt_vtd_s1 s1 = {
		.addr_width = ADDR_WIDTH_4LEVEL,
		.pgtbl_addr = root,
	};
	struct dmar_domain *domain;

	domain = kunit_kzalloc(test, sizeof(*domain), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	intel_nested_domain_init(domain, s2, &s1, &no_ops);
	return domain;
}

static void fake_detach(struct fake *fake, struct dmar_domain *domain, u32 pasid)
{
	intel_pasid_tear_down_entry(&fake->iommu, &fake->pdev.dev, pasid, false);
	domain_remove_pasid(domain, &fake->pdev.dev, pasid);
}

/* It has the tags for both from before the first write until after the last flush */
static void queue_test_replace(struct kunit *test)
{
	const u32 pasid = 5;
	struct fake *fake = test->priv;
	struct device *dev = &fake->pdev.dev;
	struct dmar_domain *s2, *first, *second;
	unsigned int i, n = 0;

	fake_pasids(test, fake);
	s2 = fake_second_stage(test);
	first = fake_first_stage(test, s2, 0x1000);
	second = fake_first_stage(test, s2, 0x2000);

	KUNIT_ASSERT_EQ(test, 0, domain_set_pasid(first, dev, pasid, NULL));
	KUNIT_ASSERT_EQ(test, domain_id_iommu(first, &fake->iommu), 2);
	fake->taken = 0;
	fake->watched = first;
	fake->watched_did = 3;
	KUNIT_ASSERT_EQ(test, 0, domain_set_pasid(second, dev, pasid,
						  &first->domain));
	fake->watched = NULL;
	KUNIT_ASSERT_EQ(test, domain_id_iommu(second, &fake->iommu), 3);
	for (i = 0; i < fake->taken; i++)
		n += TYPE(fake->host[i][0]) == 7;
	/* One for each ID after each write */
	KUNIT_EXPECT_EQ(test, n, 4);
	KUNIT_EXPECT_EQ(test, fake->seen, n);
	KUNIT_EXPECT_TRUE(test, list_empty(&first->cache_tags));
	KUNIT_EXPECT_FALSE(test, has_tag(second, 2));
	KUNIT_EXPECT_TRUE(test, has_tag(second, 3));

	fake_detach(fake, second, pasid);
	KUNIT_EXPECT_EQ(test, fake->iommu.domain_ids[0], 3);
	KUNIT_EXPECT_TRUE(test, list_empty(&s2->cache_tags));
	intel_nested_domain_exit(first);
	intel_nested_domain_exit(second);
	kfree(s2->qi_batch);
	fake_pasids_exit(fake);
}

/* How many descriptors like this, all its bits or those below, a unit has taken */
static unsigned int taken(struct fake *fake, u64 word0, u64 mask)
{
	unsigned int i, n = 0;

	for (i = 0; i < fake->taken; i++)
		n += (fake->host[i][0] & mask) == word0;
	return n;
}

/*
 * A second stage under first stages behind two units: a change of it reaches both,
 * and what a guest sends for one unit only that one
 */
static void queue_test_two_units(struct kunit *test)
{
	const u64 by_did = GENMASK_ULL(31, 16) | GENMASK_ULL(3, 0);
	struct fake *units[2] = { test->priv }, *fake = test->priv;
	struct dmar_domain *s2, *nested[2];
	const u32 pasid = 5;
	unsigned int i, cpu;

	units[1] = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, units[1]);
	units[1]->iommu.seq_id = 1;
	xa_init_flags(&units[1]->viommu.core.vdevs, XA_FLAGS_LOCK_IRQ);
	fake_queue(test, units[1]);
	fake_device(test, units[1]);
	cpu = cpumask_next(task_cpu(fake->thread), cpu_online_mask);
	fake_start(test, units[1], cpu < nr_cpu_ids ? cpu : task_cpu(fake->thread));

	s2 = fake_second_stage(test);
	for (i = 0; i < 2; i++) {
		fake_pasids(test, units[i]);
		nested[i] = fake_first_stage(test, s2, 0x1000);
		/* The IDs of the units are not the same */
		units[i]->iommu.domain_ids[0] |= i << 2;
		KUNIT_ASSERT_EQ(test, 0, domain_set_pasid(nested[i],
							  &units[i]->pdev.dev,
							  pasid, NULL));
		KUNIT_ASSERT_EQ(test, domain_id_iommu(nested[i], &units[i]->iommu),
				2 + i);
		units[i]->taken = 0;
	}

	cache_tag_flush_range(s2, ADDR, ADDR + SZ_4K - 1, 0);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, taken(units[i], 2 | (2 + i) << 16, by_did), 1);
		KUNIT_EXPECT_EQ(test, taken(units[i], 2, 0xf), 1);
		units[i]->taken = 0;
	}
	/* Its device TLBs, too: what is nested in it can be anywhere */
	cache_tag_flush_all(s2);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, taken(units[i], 2 | (2 + i) << 16, by_did), 1);
		KUNIT_EXPECT_LT(test, 0, taken(units[i], 3, 0xf) +
					 taken(units[i], 8, 0xf));
		units[i]->taken = 0;
	}

	send(fake, IOTLB_DID(VDID), 0);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 2);
	KUNIT_EXPECT_EQ(test, units[1]->taken, 0);

	for (i = 0; i < 2; i++) {
		fake_detach(units[i], nested[i], pasid);
		intel_nested_domain_exit(nested[i]);
		fake_pasids_exit(units[i]);
	}
	KUNIT_EXPECT_TRUE(test, list_empty(&s2->cache_tags));
	kfree(s2->qi_batch);
	xa_destroy(&units[1]->viommu.core.vdevs);
}

static void fake_fault_timer(struct timer_list *timer)
{
	struct fake *fake = container_of(timer, struct fake, iommu.fault_timer);

	fake->again = true;
}

/* Records that are full again at once: each is read once, the rest is for later */
static void queue_test_faults(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned long until;
	unsigned int i;

	timer_setup(&fake->iommu.fault_timer, fake_fault_timer, 0);
	for (i = 0; i < FAULT_REGS; i++)
		WRITE_ONCE(*fake_reg(fake, FAULT_REG(i) + 12), DMA_FRCD_F);
	WRITE_ONCE(*fake_reg(fake, DMAR_FSTS_REG), DMA_FSTS_PPF);
	WRITE_ONCE(fake->faults_until, jiffies + HZ);
	dmar_fault(0, &fake->iommu);
	until = READ_ONCE(fake->faults_until);
	KUNIT_EXPECT_NE(test, until, 0);
	while (READ_ONCE(fake->faults_until))
		msleep(20);
	timer_shutdown_sync(&fake->iommu.fault_timer);
	KUNIT_EXPECT_TRUE(test, fake->again);

	/* One that is not where the index says */
	timer_setup(&fake->iommu.fault_timer, fake_fault_timer, 0);
	WRITE_ONCE(*fake_reg(fake, FAULT_REG(3) + 12), DMA_FRCD_F | 0x71);
	WRITE_ONCE(*fake_reg(fake, DMAR_FSTS_REG), DMA_FSTS_PPF);
	dmar_fault(0, &fake->iommu);
	timer_shutdown_sync(&fake->iommu.fault_timer);
	KUNIT_EXPECT_EQ(test, *fake_reg(fake, FAULT_REG(3) + 12), DMA_FRCD_F);

	/* There are none */
	timer_setup(&fake->iommu.fault_timer, fake_fault_timer, 0);
	fake->again = false;
	WRITE_ONCE(*fake_reg(fake, DMAR_FSTS_REG), 0);
	dmar_fault(0, &fake->iommu);
	msleep(50);
	timer_shutdown_sync(&fake->iommu.fault_timer);
	KUNIT_EXPECT_FALSE(test, fake->again);
	WRITE_ONCE(*fake_reg(fake, DMAR_FSTS_REG), 0);
}

/* An error in the middle of a submission, whose rest is executed after it */
static void queue_test_early(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	/* The device answers again: what was before the error is repeated */
	for (i = 0; i < 2; i++) {
		fake->ite_sid = i ? 0x4444 : 0;
		fake->early = 2;
		send(fake, DEV(VSID), ADDR);
		send(fake, DEV(VSID), ADDR + SZ_4K);
		send(fake, DEV(VSID), ADDR + 2 * SZ_4K);
		invalidate(test, 0, 3);
		KUNIT_EXPECT_EQ(test, fake->early, NEVER);
		KUNIT_EXPECT_EQ(test, fake->taken, 8);
		expect_wait(test, 3);
		expect_host(test, 4, HOST_DEV, ADDR);
		expect_host(test, 5, HOST_DEV, ADDR + SZ_4K);
		expect_host(test, 6, HOST_DEV, ADDR + 2 * SZ_4K);
		expect_wait(test, 7);
	}

	/* It is gone: once the wait descriptor is done its slot is free */
	fake->ite_sid = SID;
	fake->early = 2;
	send(fake, DEV(VSID), ADDR);
	send(fake, DEV(VSID), ADDR + SZ_4K);
	send(fake, DEV(VSID), ADDR + 2 * SZ_4K);
	invalidate(test, -ETIMEDOUT, 0);
	KUNIT_EXPECT_EQ(test, fake->taken, 4);
	KUNIT_EXPECT_EQ(test, fake->waits, 1);
	expect_wait(test, 3);
	for (i = 0; i < QI_LENGTH; i++)
		KUNIT_EXPECT_EQ_MSG(test, READ_ONCE(fake->qi.desc_status[i]),
				    QI_FREE, "slot %u", i);
}

static struct kunit_case queue_test_cases[] = {
	KUNIT_CASE(queue_test_lengths),
	KUNIT_CASE(queue_test_entry_len),
	KUNIT_CASE_SLOW(queue_test_bad),
	KUNIT_CASE_SLOW(queue_test_refused),
	KUNIT_CASE(queue_test_ids),
	KUNIT_CASE(queue_test_all),
	KUNIT_CASE(queue_test_fan_out),
	KUNIT_CASE(queue_test_devices),
	KUNIT_CASE(queue_test_repeated),
	KUNIT_CASE(queue_test_silent),
	KUNIT_CASE(queue_test_foreign),
	KUNIT_CASE(queue_test_early),
	KUNIT_CASE(queue_test_two_ids),
	KUNIT_CASE(queue_test_replace),
	KUNIT_CASE(queue_test_two_units),
	KUNIT_CASE_SLOW(queue_test_faults),
	{},
};

static struct kunit_suite queue_test_suite = {
	.name = "intel-viommu-queue-kunit-test",
	.init = queue_test_init,
	.exit = queue_test_exit,
	.test_cases = queue_test_cases,
};

kunit_test_suites(&queue_test_suite);

MODULE_DESCRIPTION("KUnit tests of the invalidation queue of vIOMMUs on VT-d");
MODULE_LICENSE("GPL");
