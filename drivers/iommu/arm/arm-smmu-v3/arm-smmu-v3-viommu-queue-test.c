// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what reaches the command queue: which commands of a guest's array,
 * in which order and with how many CMD_SYNCs, and what the VMM gets back when
 * the queue stops. Also what a change of a VM's stage 2 sends to each SMMU.
 *
 * A thread stands in for the SMMU. It takes commands out of a queue in memory,
 * records them, and stops where the test tells it to.
 */
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <uapi/linux/iommufd.h>

#include "arm-smmu-v3-viommu.h"

#define QUEUE_SIZE	256
#define MAX_GUEST	1024
#define MAX_HOST	8192
#define NEVER		U32_MAX

#define VMID		0x1234ULL
#define VSID_A		7ULL
#define VSID_B		0xabcd0000ULL
#define SID_A		0x42ULL
#define SID_B		0x55ULL
#define SID_C		0x66ULL
#define ADDR		0x40000000ULL

/* As in the guest's queue, and with VMID and SID set in the host's */
#define NH_VA		0x12ULL
#define NH_ALL		0x10ULL
#define NH_ASID		0x11ULL
#define CFGI_CD(sid)	(0x05ULL | (sid) << 32)
#define CFGI_CD_ALL(sid) (0x06ULL | (sid) << 32)
#define ATC_INV(sid)	(0x40ULL | (sid) << 32)
#define ATC_ALL		52ULL
#define S2_IPA		0x2aULL
#define S12_VMALL	0x28ULL
#define ILLEGAL		0x7fULL
#define OP_SYNC		0x46

struct fake {
	struct arm_smmu_device smmu;
	struct arm_smmu_viommu viommu;
	struct arm_smmu_vdevice vdevs[2];
	struct arm_smmu_master master;
	struct task_struct *thread;
	/* Its registers */
	u32 prod;
	u32 cons;
	/* Stop after this many commands */
	u32 stop;
	u32 taken;
	/* Its device that does not answer a CMD_ATC_INV; one is unanswered */
	u32 silent;
	bool unanswered;
	u64 host[MAX_HOST][2];
	/* Commands of the guest */
	u64 guest[MAX_GUEST][2];
	u32 sent;
	u32 entry_len;
	u64 __user *uptr;
};

/*
 * At a CMD_SYNC: true if it stops there once because a device has not answered,
 * and goes on when the driver has seen to it
 */
static bool fake_atc_error(struct fake *fake, u32 cons)
{
	if (!fake->unanswered)
		return false;

	fake->unanswered = false;
	WRITE_ONCE(fake->cons, cons | FIELD_PREP(CMDQ_CONS_ERR,
						 CMDQ_ERR_CERROR_ATC_INV_IDX));
	__arm_smmu_cmdq_skip_err(&fake->smmu, &fake->smmu.cmdq);
	return true;
}

static int fake_smmu(void *data)
{
	struct fake *fake = data;

	while (!kthread_should_stop()) {
		/* Pairs with the dma_wmb() between the commands and this */
		u32 prod = smp_load_acquire(&fake->prod);
		u32 cons = fake->cons & ~CMDQ_CONS_ERR;

		if (cons != prod && fake->taken < fake->stop) {
			__le64 *cmd = fake->smmu.cmdq.q.base +
				      cons % QUEUE_SIZE * 2;
			u32 i = fake->taken % MAX_HOST;

			fake->host[i][0] = le64_to_cpu(cmd[0]);
			fake->host[i][1] = le64_to_cpu(cmd[1]);
			if (fake->host[i][0] == ATC_INV((u64)fake->silent))
				fake->unanswered = true;
			if ((fake->host[i][0] & 0xff) == OP_SYNC &&
			    fake_atc_error(fake, cons))
				continue;
			fake->taken++;
			/*
			 * Publishes the commands taken before the driver sees
			 * the index
			 */
			smp_store_release(&fake->cons,
					  (cons + 1) % (2 * QUEUE_SIZE));
		}
		cond_resched();
	}
	return 0;
}

static void fake_add_vdev(struct kunit *test, struct fake *fake, int i,
			  u64 vsid, u32 sid)
{
	struct arm_smmu_vdevice *vdev = &fake->vdevs[i];

	vdev->core_vdev.viommu = &fake->viommu.core;
	vdev->core_vdev.virt_id = vsid;
	vdev->master = &fake->master;
	vdev->sid = sid;
	KUNIT_ASSERT_NULL(test, xa_store(&fake->viommu.core.vdevs, vsid,
					 &vdev->core_vdev, GFP_KERNEL));
}

KUNIT_DEFINE_ACTION_WRAPPER(fake_stop, kthread_stop, struct task_struct *);

/* An SMMU with an empty queue and a thread that executes it */
static struct fake *fake_new(struct kunit *test)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	unsigned int other = cpumask_any_but(cpu_online_mask, cpu);
	struct arm_smmu_cmdq *cmdq;
	struct fake *fake;

	fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	fake->stop = NEVER;
	fake->silent = NEVER;

	cmdq = &fake->smmu.cmdq;
	cmdq->q.llq.max_n_shift = ilog2(QUEUE_SIZE);
	cmdq->q.ent_dwords = CMDQ_ENT_DWORDS;
	cmdq->q.base = kunit_kcalloc(test, QUEUE_SIZE, 16, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cmdq->q.base);
	cmdq->valid_map = kunit_kcalloc(test, BITS_TO_LONGS(QUEUE_SIZE),
					sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cmdq->valid_map);
	cmdq->atc_err_map = kunit_kcalloc(test, BITS_TO_LONGS(QUEUE_SIZE),
					  sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cmdq->atc_err_map);
	cmdq->q.prod_reg = (u32 __iomem __force *)&fake->prod;
	cmdq->q.cons_reg = (u32 __iomem __force *)&fake->cons;

	fake->thread = kthread_create(fake_smmu, fake, "fake-smmu");
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(fake->thread));
	kthread_bind(fake->thread, other);
	wake_up_process(fake->thread);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_stop,
							   fake->thread));
	return fake;
}

static int queue_test_init(struct kunit *test)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	unsigned long uaddr;
	struct fake *fake;

	/* The driver waits for the queue with interrupts off */
	if (cpumask_any_but(cpu_online_mask, cpu) >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	KUNIT_ASSERT_EQ(test, 0, set_cpus_allowed_ptr(current, cpumask_of(cpu)));

	fake = fake_new(test);
	fake->viommu.use.smmu = &fake->smmu;
	fake->viommu.use.vmid = VMID;
	fake->viommu.caps = (struct arm_smmu_vcmd_caps){
		.ril = true,
		.ats = true,
		.asid16 = true,
	};
	fake->master.smmu = &fake->smmu;
	fake->master.ats_on = true;
	init_rwsem(&fake->master.atc_rwsem);
	init_rwsem(&fake->viommu.atc_rwsem);
	xa_init(&fake->viommu.core.vdevs);
	test->priv = fake;
	fake_add_vdev(test, fake, 0, VSID_A, SID_A);
	fake_add_vdev(test, fake, 1, VSID_B, SID_B);

	uaddr = kunit_vm_mmap(test, NULL, 0, sizeof(fake->guest),
			      PROT_READ | PROT_WRITE,
			      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, uaddr, 0);
	fake->uptr = (u64 __user *)uaddr;
	fake->entry_len = sizeof(fake->guest[0]);
	return 0;
}

static void queue_test_exit(struct kunit *test)
{
	struct fake *fake = test->priv;

	if (fake)
		xa_destroy(&fake->viommu.core.vdevs);
}

static void send(struct fake *fake, u64 word0, u64 word1)
{
	fake->guest[fake->sent][0] = word0;
	fake->guest[fake->sent][1] = word1;
	fake->sent++;
}

static void send_vas(struct fake *fake, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		send(fake, NH_VA, ADDR + i * SZ_4K);
}

/*
 * Invalidate with the commands sent, expect @ret and @done, drop the commands
 */
static void invalidate(struct kunit *test, int ret, u32 done)
{
	struct fake *fake = test->priv;
	struct iommu_user_data_array array = {
		.type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.uptr = (void __user *)fake->uptr,
		.entry_len = fake->entry_len,
		.entry_num = fake->sent * sizeof(fake->guest[0]) /
			     fake->entry_len,
	};
	unsigned int i;

	for (i = 0; i < fake->sent * 2; i++)
		fake->guest[i / 2][i % 2] =
			(__force u64)cpu_to_le64(fake->guest[i / 2][i % 2]);
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(fake->uptr, fake->guest,
					      fake->sent * sizeof(fake->guest[0])));
	fake->sent = 0;
	fake->taken = 0;
	KUNIT_EXPECT_EQ(test, ret,
			arm_smmu_viommu_ops.cache_invalidate(&fake->viommu.core,
								   &array));
	KUNIT_EXPECT_EQ(test, done, array.entry_num);
}

/* The @i-th command that a queue has taken */
static void expect_at(struct kunit *test, struct fake *fake, u32 i, u64 word0,
		      u64 word1)
{
	KUNIT_ASSERT_LT(test, i, fake->taken);
	KUNIT_ASSERT_EQ_MSG(test, fake->host[i][0], word0, "word 0 of %u", i);
	KUNIT_ASSERT_EQ_MSG(test, fake->host[i][1], word1, "word 1 of %u", i);
}

/* In the queue of the vIOMMU */
static void expect_host(struct kunit *test, u32 i, u64 word0, u64 word1)
{
	struct fake *fake = test->priv;

	expect_at(test, fake, i, word0, word1);
}

static void expect_sync_at(struct kunit *test, struct fake *fake, u32 i)
{
	KUNIT_ASSERT_LT(test, i, fake->taken);
	KUNIT_ASSERT_EQ_MSG(test, fake->host[i][0] & 0xff, OP_SYNC, "%u", i);
}

static void expect_sync(struct kunit *test, u32 i)
{
	expect_sync_at(test, test->priv, i);
}

static void expect_vas(struct kunit *test, u32 at, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		expect_host(test, at + i, NH_VA | VMID << 32, ADDR + i * SZ_4K);
}

/* Any number of commands: all in order, and one CMD_SYNC */
static void queue_test_lengths(struct kunit *test)
{
	static const u32 lengths[] = { 1, 2, 62, 63, 64, 65, 126, 127, 255, 256,
				       257, 1000, MAX_GUEST };
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		send_vas(fake, lengths[i]);
		invalidate(test, 0, lengths[i]);
		KUNIT_EXPECT_EQ(test, fake->taken, lengths[i] + 1);
		expect_vas(test, 0, lengths[i]);
		expect_sync(test, lengths[i]);
	}
}

/* A cache must be clean before the caches that fill from it are invalidated */
static void queue_test_order(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < 10; i++)
		send(fake, CFGI_CD(VSID_A), 1);
	send_vas(fake, 100);
	for (i = 0; i < 5; i++)
		send(fake, ATC_INV(VSID_B), ADDR + i * SZ_4K);
	invalidate(test, 0, 115);

	KUNIT_EXPECT_EQ(test, fake->taken, 118);
	for (i = 0; i < 10; i++)
		expect_host(test, i, CFGI_CD(SID_A), 1);
	expect_sync(test, 10);
	expect_vas(test, 11, 100);
	expect_sync(test, 111);
	for (i = 0; i < 5; i++)
		expect_host(test, 112 + i, ATC_INV(SID_B), ADDR + i * SZ_4K);
	expect_sync(test, 117);
}

/* In the other order nothing must wait */
static void queue_test_reverse_order(struct kunit *test)
{
	struct fake *fake = test->priv;

	send(fake, NH_ALL, 0);
	send(fake, CFGI_CD(VSID_B), 0);
	invalidate(test, 0, 2);
	KUNIT_EXPECT_EQ(test, fake->taken, 3);
	expect_host(test, 0, NH_ALL | VMID << 32, 0);
	expect_host(test, 1, CFGI_CD(SID_B), 0);
	expect_sync(test, 2);
}

static void queue_test_streams(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	/* Runs of one, two and more commands for a stream */
	for (i = 0; i < 200; i++)
		send(fake, CFGI_CD(i % 7 < 3 ? VSID_A : VSID_B), i & 1);
	invalidate(test, 0, 200);
	for (i = 0; i < 200; i++)
		expect_host(test, i, CFGI_CD(i % 7 < 3 ? SID_A : SID_B), i & 1);
	expect_sync(test, 200);

	/* An unknown stream in the middle of a run */
	for (i = 0; i < 70; i++)
		send(fake, CFGI_CD(i == 66 ? VSID_A + 1 : VSID_A), 0);
	invalidate(test, -EIO, 66);
	KUNIT_EXPECT_EQ(test, fake->taken, 67);
}

/* The device need not answer, and has nothing in its ATC */
static void queue_test_ats_off(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i;

	fake->master.ats_on = false;
	for (i = 0; i < 3; i++)
		send(fake, ATC_INV(VSID_A), ADDR + i * SZ_4K);
	invalidate(test, 0, 3);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);

	send(fake, NH_ALL, 0);
	for (i = 0; i < 3; i++)
		send(fake, ATC_INV(VSID_A), ADDR + i * SZ_4K);
	send(fake, NH_ALL, 0);
	invalidate(test, 0, 5);
	KUNIT_EXPECT_EQ(test, fake->taken, 4);
	expect_host(test, 0, NH_ALL | VMID << 32, 0);
	expect_sync(test, 1);
	expect_host(test, 2, NH_ALL | VMID << 32, 0);
	expect_sync(test, 3);
}

/* Nobody else's CMD_SYNC comes behind a CMD_ATC_INV of a guest */
static void queue_test_atcs_have_a_sync(struct kunit *test)
{
	struct fake *fake = test->priv;
	unsigned int i, at = 0, left = 200;

	for (i = 0; i < 200; i++)
		send(fake, ATC_INV(VSID_A), ADDR + i * SZ_4K);
	invalidate(test, 0, 200);
	KUNIT_EXPECT_EQ(test, fake->taken, 204);
	while (left) {
		unsigned int run = min(left, 63U);

		for (i = 0; i < run; i++)
			expect_host(test, at++, ATC_INV(SID_A),
				    ADDR + (200 - left + i) * SZ_4K);
		expect_sync(test, at++);
		left -= run;
	}

	send(fake, ATC_INV(VSID_A), ADDR);
	send(fake, ATC_INV(VSID_B), ADDR);
	send(fake, NH_ALL, 0);
	invalidate(test, 0, 3);
	KUNIT_EXPECT_EQ(test, fake->taken, 6);
	expect_host(test, 0, ATC_INV(SID_A), ADDR);
	expect_sync(test, 1);
	expect_host(test, 2, ATC_INV(SID_B), ADDR);
	expect_sync(test, 3);
	expect_host(test, 4, NH_ALL | VMID << 32, 0);
	expect_sync(test, 5);
}

/* The SMMU goes on after the error, and only who sent the command is told */
static void queue_test_atc_timeout(struct kunit *test)
{
	struct fake *fake = test->priv;
	u64 tlbi[2] = { NH_ALL | 1ULL << 32, 0 };
	unsigned int i, k;

	/* At every place of the queue, and behind each of its ends */
	for (i = 0; i < 3 * QUEUE_SIZE; i++) {
		fake->silent = SID_B;
		send(fake, NH_ALL, 0);
		send(fake, ATC_INV(VSID_A), ADDR);
		send(fake, ATC_INV(VSID_A), ADDR | SZ_4K);
		for (k = 0; k < i % 5 + 1; k++)
			send(fake, ATC_INV(VSID_B), ADDR + k * SZ_4K);
		send(fake, NH_ALL, 0);
		invalidate(test, -ETIMEDOUT, 3);
		KUNIT_ASSERT_EQ(test, fake->taken, 6 + k);
		expect_host(test, 5, ATC_INV(SID_B), ADDR);
		expect_sync(test, 5 + k);

		KUNIT_ASSERT_EQ(test, 0,
				arm_smmu_cmdq_issue_cmdlist(&fake->smmu,
							    &fake->smmu.cmdq,
							    tlbi, 1, true));
		/* The other device goes on, and so does this once it answers */
		send(fake, ATC_INV(VSID_A), ADDR);
		invalidate(test, 0, 1);
		fake->silent = NEVER;
		send(fake, ATC_INV(VSID_B), ADDR);
		invalidate(test, 0, 1);
	}
}

/* Another device of the host: each unmap invalidates its ATC too */
struct unmapper {
	struct fake *fake;
	atomic_t done;
	atomic_t failed;
};

static int unmap(void *data)
{
	struct unmapper *unmapper = data;
	struct arm_smmu_device *smmu = &unmapper->fake->smmu;

	while (!kthread_should_stop()) {
		u64 cmds[4] = { NH_ALL | 1ULL << 32, 0, ATC_INV(SID_C), ADDR };

		if (arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmds, 2, true))
			atomic_inc(&unmapper->failed);
		atomic_inc(&unmapper->done);
		cond_resched();
	}
	return 0;
}

/* The same while another CPU unmaps */
static void queue_test_atc_timeout_and_unmaps(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct unmapper *unmapper;
	struct task_struct *thread;
	unsigned int i, third;

	for_each_online_cpu(third)
		if (third != task_cpu(current) && third != task_cpu(fake->thread))
			break;
	if (third >= nr_cpu_ids)
		kunit_skip(test, "needs three CPUs");

	unmapper = kunit_kzalloc(test, sizeof(*unmapper), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, unmapper);
	unmapper->fake = fake;
	thread = kthread_create(unmap, unmapper, "unmap");
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL(thread));
	kthread_bind(thread, third);
	wake_up_process(thread);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_stop, thread));

	fake->silent = SID_B;
	for (i = 0; i < 3 * QUEUE_SIZE || atomic_read(&unmapper->done) < 3 * QUEUE_SIZE; i++) {
		send(fake, NH_ALL, 0);
		send(fake, ATC_INV(VSID_B), ADDR);
		invalidate(test, -ETIMEDOUT, 1);
		send(fake, ATC_INV(VSID_A), ADDR);
		invalidate(test, 0, 1);
	}
	kunit_release_action(test, fake_stop, thread);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&unmapper->failed));
}

/* An entry may be longer than a command if the rest of it is zero */
static void queue_test_entry_lengths(struct kunit *test)
{
	static const u32 lengths[] = { 32, 48, 4096 };
	struct fake *fake = test->priv;
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		u32 n = min_t(u32, 100, sizeof(fake->guest) / lengths[i]);
		u32 pairs = lengths[i] / 16;

		fake->entry_len = lengths[i];
		for (k = 0; k < n * pairs; k++) {
			if (k % pairs)
				send(fake, 0, 0);
			else
				send(fake, NH_VA, ADDR + k / pairs * SZ_4K);
		}
		invalidate(test, 0, n);
		KUNIT_EXPECT_EQ(test, fake->taken, n + 1);
		expect_vas(test, 0, n);
		expect_sync(test, n);

		/* The last byte of the tail of the last but one is not */
		for (k = 0; k < n * pairs; k++) {
			if (k % pairs)
				send(fake, 0, 0);
			else
				send(fake, NH_VA, ADDR + k / pairs * SZ_4K);
		}
		fake->guest[(n - 1) * pairs - 1][1] = 1ULL << 56;
		invalidate(test, -E2BIG, n - 2);
		KUNIT_EXPECT_EQ(test, fake->taken, n - 2 ? n - 1 : 0);
	}

	fake->entry_len = 8192;
	send_vas(fake, 512);
	invalidate(test, -E2BIG, 0);
	fake->entry_len = 8;
	send_vas(fake, 1);
	invalidate(test, -EINVAL, 0);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
}

/* Others use the queue as well: a long array is completed in between */
static void queue_test_in_flight(struct kunit *test)
{
	/* 62 addresses for each command */
	const u64 range = NH_VA | 30 << 12 | 1 << 20;
	struct fake *fake = test->priv;
	u32 i, last = 0, syncs = 0;

	fake->viommu.caps.ril = false;
	for (i = 0; i < 130; i++)
		send(fake, range, ADDR | 0x700);
	invalidate(test, 0, 130);
	KUNIT_ASSERT_LT(test, fake->taken, MAX_HOST);
	for (i = 0; i < fake->taken; i++) {
		if ((fake->host[i][0] & 0xff) != OP_SYNC)
			continue;
		KUNIT_EXPECT_LT(test, i - last, 4096 + 64);
		last = i;
		syncs++;
	}
	KUNIT_EXPECT_EQ(test, last, fake->taken - 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 130 * 62 + syncs);
	KUNIT_EXPECT_GT(test, syncs, 1);
}

/* All commands before a bad one are complete, none after it was started */
static void queue_test_bad_command(struct kunit *test)
{
	static const u32 where[] = { 0, 1, 62, 63, 64, 65, 125, 126, 199 };
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		u32 k = where[i];

		send_vas(fake, 200);
		fake->guest[k][0] = ILLEGAL;
		invalidate(test, -EIO, k);
		KUNIT_EXPECT_EQ(test, fake->taken, k ? k + 1 : 0);
		expect_vas(test, 0, k);
		if (k)
			expect_sync(test, k);
	}
}

static void queue_test_ranges_without_ril(struct kunit *test)
{
	/* 3 * 2^2 pages of 4K, level 3 */
	const u64 range = NH_VA | 2 << 12 | 2 << 20;
	const u64 hints = 0x700;
	struct fake *fake = test->priv;
	unsigned int i;

	fake->viommu.caps.ril = false;
	send(fake, NH_VA, SZ_1G);
	send(fake, range, ADDR | hints);
	send(fake, NH_VA, SZ_1G);
	/* 32 * 2^5 of them are too many */
	send(fake, NH_VA | 31 << 12 | 5 << 20, ADDR | hints);
	invalidate(test, 0, 4);
	KUNIT_EXPECT_EQ(test, fake->taken, 16);
	expect_host(test, 0, NH_VA | VMID << 32, SZ_1G);
	expect_vas(test, 1, 12);
	expect_host(test, 13, NH_VA | VMID << 32, SZ_1G);
	expect_host(test, 14, NH_ALL | VMID << 32, 0);
	expect_sync(test, 15);

	send(fake, range, ADDR | hints);
	invalidate(test, 0, 1);
	KUNIT_EXPECT_EQ(test, fake->taken, 13);
	expect_vas(test, 0, 12);
	expect_sync(test, 12);

	for (i = 0; i < 300; i++)
		send(fake, range, ADDR | hints);
	send(fake, ILLEGAL, 0);
	invalidate(test, -EIO, 300);
	KUNIT_EXPECT_EQ(test, fake->taken, 300 * 12 + 1);
	for (i = 0; i < 300; i++)
		expect_vas(test, i * 12, 12);
	expect_sync(test, 300 * 12);
}

/* An SMMU that stops: only commands known to be complete count */
static void queue_test_stops(struct kunit *test, u32 stop, int ret, u32 done)
{
	struct fake *fake = test->priv;
	unsigned int i;

	for (i = 0; i < 3; i++)
		send(fake, CFGI_CD(VSID_A), 0);
	send_vas(fake, 150);
	fake->stop = stop;
	invalidate(test, ret, done);
	KUNIT_EXPECT_EQ(test, fake->taken, stop);
}

static void queue_test_stops_at_once(struct kunit *test)
{
	queue_test_stops(test, 0, -ETIMEDOUT, 0);
}

static void queue_test_stops_before_a_sync(struct kunit *test)
{
	queue_test_stops(test, 3, -ETIMEDOUT, 0);
}

static void queue_test_stops_after_a_sync(struct kunit *test)
{
	queue_test_stops(test, 4, -ETIMEDOUT, 3);
}

static void queue_test_stops_before_the_end(struct kunit *test)
{
	queue_test_stops(test, 4 + 150, -ETIMEDOUT, 3);
}

/* A bad command after it does not matter: the guest does not get that far */
static void queue_test_stops_before_a_bad_one(struct kunit *test)
{
	struct fake *fake = test->priv;

	send(fake, CFGI_CD(VSID_A), 0);
	send_vas(fake, 10);
	send(fake, ILLEGAL, 0);
	fake->stop = 2;
	invalidate(test, -ETIMEDOUT, 1);
}

static void queue_test_stops_alone(struct kunit *test)
{
	struct fake *fake = test->priv;

	send(fake, NH_ALL, 0);
	fake->stop = 1;
	invalidate(test, -ETIMEDOUT, 0);
}

/* A stage 2 whose devices are behind three SMMUs, one after the other on its list */

#define SMMUS		3
#define MASTERS		7
#define SID(i)		(0x100ULL + (i))

struct shared {
	struct arm_smmu_domain s2;
	struct fake *fakes[SMMUS];
	struct arm_smmu_master masters[MASTERS];
	struct arm_smmu_stream streams[MASTERS];
	struct arm_smmu_master_domain on_list[MASTERS];
};

static struct shared *shared_new(struct kunit *test)
{
	struct shared *shared;
	int i;

	shared = kunit_kzalloc(test, sizeof(*shared), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, shared);
	for (i = 0; i < SMMUS; i++)
		shared->fakes[i] = i ? fake_new(test) : test->priv;

	INIT_LIST_HEAD(&shared->s2.devices);
	spin_lock_init(&shared->s2.devices_lock);
	for (i = 0; i < MASTERS; i++) {
		struct arm_smmu_master *master = &shared->masters[i];

		master->smmu = &shared->fakes[i % SMMUS]->smmu;
		/* The last one cannot have entries in an ATC */
		master->ste_ats_enabled = i != MASTERS - 1;
		master->num_streams = 1;
		master->streams = &shared->streams[i];
		shared->streams[i].id = SID(i);
		shared->on_list[i].master = master;
		/* The devices of the first three are under a guest's stage 1 */
		shared->on_list[i].nested = i < SMMUS;
		list_add_tail(&shared->on_list[i].devices_elm,
			      &shared->s2.devices);
	}
	atomic_set(&shared->s2.nr_ats_masters, MASTERS - 1);
	return shared;
}

/* Two ATC_INVs to each SMMU, then one wait */
static void expect_atc_invs(struct kunit *test, struct shared *shared)
{
	int i;

	for (i = 0; i < SMMUS; i++) {
		struct fake *fake = shared->fakes[i];

		KUNIT_EXPECT_EQ_MSG(test, fake->taken, 3, "SMMU %d", i);
		expect_at(test, fake, 0, ATC_INV(SID(i)), ATC_ALL);
		expect_at(test, fake, 1, ATC_INV(SID(SMMUS + i)), ADDR);
		expect_sync_at(test, fake, 2);
		fake->taken = 0;
	}
}

static void queue_test_atcs_of_several_smmus(struct kunit *test)
{
	struct shared *shared = shared_new(test);
	int first;

	for (first = 0; first < SMMUS; first++) {
		shared->s2.smmu = &shared->fakes[first]->smmu;
		KUNIT_EXPECT_EQ(test, 0, arm_smmu_atc_inv_domain(&shared->s2,
								 ADDR, SZ_4K));
		expect_atc_invs(test, shared);
	}
}

/* A device that does not answer is reported and does not affect the others */
static void queue_test_atcs_behind_a_stop(struct kunit *test)
{
	struct shared *shared = shared_new(test);
	int i;

	shared->s2.smmu = &shared->fakes[0]->smmu;
	shared->fakes[0]->stop = 2;
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT,
			arm_smmu_atc_inv_domain(&shared->s2, ADDR, SZ_4K));
	for (i = 1; i < SMMUS; i++)
		KUNIT_EXPECT_EQ(test, shared->fakes[i]->taken, 3);
}

/* Without RIL */
static void queue_test_stage_2_ranges(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct arm_smmu_domain *s2;
	u32 i, pages;

	s2 = kunit_kzalloc(test, sizeof(*s2), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s2);
	s2->nest_parent = true;
	init_rwsem(&s2->s2_uses_lock);
	INIT_LIST_HEAD(&s2->s2_uses);
	list_add(&fake->viommu.use.s2_elm, &s2->s2_uses);
	fake->viommu.use.nested = true;

	for (pages = 1; pages <= ARM_SMMU_VCMD_REPEAT_MAX; pages++) {
		fake->taken = 0;
		arm_smmu_s2_inv_range(s2, ADDR, pages * SZ_4K, SZ_4K, true);
		KUNIT_ASSERT_EQ(test, fake->taken, pages + 3);
		for (i = 0; i < pages; i++)
			expect_host(test, i, S2_IPA | VMID << 32,
				    (ADDR + i * SZ_4K) | CMDQ_TLBI_1_LEAF);
		expect_sync(test, pages);
		expect_host(test, pages + 1, NH_ALL | VMID << 32, 0);
		expect_sync(test, pages + 2);
	}
	/* Others must get the queue too, however long a range is */
	for (; pages < 1 << 18; pages *= 2) {
		fake->taken = 0;
		arm_smmu_s2_inv_range(s2, ADDR, pages * SZ_4K, SZ_4K, true);
		KUNIT_ASSERT_EQ(test, fake->taken, 2);
		expect_host(test, 0, S12_VMALL | VMID << 32, 0);
		expect_sync(test, 1);
	}
}

/* The TLB must forget the dirty state of pages that was cleared, of any size */
static void queue_test_clears_dirty_states(struct kunit *test)
{
	struct fake *fake = test->priv;
	struct iommu_iotlb_gather gather;
	struct iommu_dirty_bitmap dirty;
	struct arm_smmu_domain *s1;
	u32 i;

	s1 = kunit_kzalloc(test, sizeof(*s1), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s1);
	s1->smmu = &fake->smmu;
	s1->stage = ARM_SMMU_DOMAIN_S1;
	s1->cd.asid = 5;
	s1->domain.pgsize_bitmap = SZ_4K | SZ_2M;
	INIT_LIST_HEAD(&s1->devices);
	spin_lock_init(&s1->devices_lock);

	iommu_dirty_bitmap_init(&dirty, NULL, &gather);
	iommu_dirty_bitmap_record(&dirty, ADDR, SZ_4K);
	iommu_dirty_bitmap_record(&dirty, ADDR + 2 * SZ_4K, SZ_4K);
	arm_smmu_iotlb_sync(&s1->domain, &gather);
	KUNIT_ASSERT_EQ(test, fake->taken, 4);
	for (i = 0; i < 3; i++)
		expect_host(test, i, NH_VA | 5ULL << 48,
			    (ADDR + i * SZ_4K) | CMDQ_TLBI_1_LEAF);
	expect_sync(test, 3);

	fake->taken = 0;
	iommu_dirty_bitmap_init(&dirty, NULL, &gather);
	iommu_dirty_bitmap_record(&dirty, ADDR, SZ_2M);
	arm_smmu_iotlb_sync(&s1->domain, &gather);
	KUNIT_ASSERT_EQ(test, fake->taken, SZ_2M / SZ_4K + 1);
	for (i = 0; i < SZ_2M / SZ_4K; i++)
		expect_host(test, i, NH_VA | 5ULL << 48,
			    (ADDR + i * SZ_4K) | CMDQ_TLBI_1_LEAF);
	expect_sync(test, i);

	/* None was dirty, or an unmap is queued */
	fake->taken = 0;
	iommu_dirty_bitmap_init(&dirty, NULL, &gather);
	arm_smmu_iotlb_sync(&s1->domain, &gather);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
}

/* The SMMU sees each step before the next one, and forgets the ASID in between */
static void queue_test_replaces_a_pasid(struct kunit *test)
{
	const u64 base = CTXDESC_CD_0_V | CTXDESC_CD_0_AA64 |
			 CTXDESC_CD_0_TCR_EPD1 | CTXDESC_CD_0_A;
	const u64 ssid = 0x12345;
	struct fake *fake = test->priv;
	struct arm_smmu_stream stream = { .id = SID_A };
	struct arm_smmu_cd cd = {
		.data[0] = cpu_to_le64(base |
				       FIELD_PREP(CTXDESC_CD_0_ASID, 3)),
		.data[1] = cpu_to_le64(ADDR),
	};
	const struct arm_smmu_cd target = {
		.data[0] = cpu_to_le64(base |
				       FIELD_PREP(CTXDESC_CD_0_ASID, 4)),
		.data[1] = cpu_to_le64(2 * ADDR),
	};
	u32 i;

	fake->master.streams = &stream;
	fake->master.num_streams = 1;
	arm_smmu_replace_cd(&fake->master, ssid, &cd, &target);
	KUNIT_EXPECT_MEMEQ(test, &cd, &target, sizeof(cd));
	KUNIT_EXPECT_EQ(test, fake->taken, 8);
	for (i = 0; i < 6; i += 2) {
		expect_host(test, i, CFGI_CD(SID_A) | ssid << 12, 1);
		expect_sync(test, i + 1);
	}
	expect_host(test, 6, NH_ASID, 0);
	expect_sync(test, 7);

	/* Nothing to keep apart: one write, one CFGI_CD */
	fake->taken = 0;
	arm_smmu_replace_cd(&fake->master, ssid, &cd, &target);
	KUNIT_EXPECT_EQ(test, fake->taken, 0);
	cd.data[1] = cpu_to_le64(ADDR);
	arm_smmu_replace_cd(&fake->master, ssid, &cd, &target);
	KUNIT_EXPECT_EQ(test, fake->taken, 2);
	KUNIT_EXPECT_EQ(test, fake->master.cd_table.used_ssids, 0);
}

static struct kunit_case arm_smmu_v3_viommu_queue_test_cases[] = {
	KUNIT_CASE(queue_test_lengths),
	KUNIT_CASE(queue_test_order),
	KUNIT_CASE(queue_test_reverse_order),
	KUNIT_CASE(queue_test_streams),
	KUNIT_CASE(queue_test_ats_off),
	KUNIT_CASE(queue_test_atcs_have_a_sync),
	KUNIT_CASE(queue_test_atc_timeout),
	KUNIT_CASE(queue_test_atc_timeout_and_unmaps),
	KUNIT_CASE(queue_test_entry_lengths),
	KUNIT_CASE(queue_test_in_flight),
	KUNIT_CASE(queue_test_bad_command),
	KUNIT_CASE(queue_test_ranges_without_ril),
	KUNIT_CASE_SLOW(queue_test_stops_at_once),
	KUNIT_CASE_SLOW(queue_test_stops_before_a_sync),
	KUNIT_CASE_SLOW(queue_test_stops_after_a_sync),
	KUNIT_CASE_SLOW(queue_test_stops_before_the_end),
	KUNIT_CASE_SLOW(queue_test_stops_before_a_bad_one),
	KUNIT_CASE_SLOW(queue_test_stops_alone),
	KUNIT_CASE(queue_test_atcs_of_several_smmus),
	KUNIT_CASE_SLOW(queue_test_atcs_behind_a_stop),
	KUNIT_CASE(queue_test_stage_2_ranges),
	KUNIT_CASE(queue_test_clears_dirty_states),
	KUNIT_CASE(queue_test_replaces_a_pasid),
	{},
};

static struct kunit_suite arm_smmu_v3_viommu_queue_test_suite = {
	.name = "arm-smmu-v3-viommu-queue-kunit-test",
	.init = queue_test_init,
	.exit = queue_test_exit,
	.test_cases = arm_smmu_v3_viommu_queue_test_cases,
};

kunit_test_suites(&arm_smmu_v3_viommu_queue_test_suite);

MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_DESCRIPTION("KUnit tests for the invalidations of a vIOMMU of the arm-smmu-v3 driver");
MODULE_LICENSE("GPL");
