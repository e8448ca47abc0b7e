// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of OpenVMM: its order, and what it does after an errno
 *
 * Guest memory is a memfd. A device tries the nesting parents of a list, and
 * takes EINVAL as "try the next one". It is attached to the abort HWPT before it
 * has a vDEVICE, and its queue of events exists from the start. The guest's
 * command queue goes into one call. OpenVMM expects each IOMMU_DESTROY to
 * succeed.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "edu-test-event.h"
#include "../selftests/iommu/map_file_utils.h"

#define EVENTS		256	/* the depth of a queue */
#define READ_AT_ONCE	16
#define COMMANDS	65536	/* the length of the guest's queue */
#define NEW_VSID	0x0500
#define PINNED_KB	((long)(GUEST_PAGES * PAGE_SIZE / 1024))

/* A device behind a virtual SMMU of its own */
struct device {
	struct vm vm;		/* shares the memory with the others */
	struct edu edu;
	uint32_t s1;		/* the HWPT of its stage 1, 0 if it has none */
	uint32_t queue_id;
	int queue;
};

FIXTURE(openvmm)
{
	struct device dev[2];
	uint32_t parents[4];
	unsigned int count;	/* of parents */
	int kmsg;
};

FIXTURE_SETUP(openvmm)
{
	struct device *dev = &self->dev[0];

	ASSERT_LE(2, edu_count());
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build_memfd(&dev->vm, &dev->edu, 0, VM_BOUND));
}

FIXTURE_TEARDOWN(openvmm)
{
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE "|" SMMU_EVENT));
}

/* The index of the parent that serves the device, or -errno */
static int find_parent(FIXTURE_DATA(openvmm) *self, struct device *dev)
{
	struct vm *vm = &dev->vm;
	unsigned int i;
	int rc;

	for (i = 0; i < self->count; i++) {
		rc = viommu_alloc(vm, &dev->edu, self->parents[i], &vm->viommu);
		if (rc != -EINVAL)
			return rc ? rc : i;
	}
	rc = hwpt_alloc(vm, &dev->edu, vm->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
			&self->parents[self->count]);
	if (rc)
		return rc;
	self->count++;
	rc = viommu_alloc(vm, &dev->edu, self->parents[i], &vm->viommu);
	return rc ? rc : i;
}

/* The virtual SMMU as after its reset, on the parent with the index @parent */
static void reset_smmu(struct __test_metadata *_metadata,
		       FIXTURE_DATA(openvmm) *self, struct device *dev, int parent)
{
	struct vm *vm = &dev->vm;
	volatile uint64_t *word = vm_page(vm, PAGE_B);

	ASSERT_EQ(parent, find_parent(self, dev));
	ASSERT_EQ(0, nested_alloc(vm, &dev->edu, vm->viommu, STE_ABORT, 0, &vm->abort));
	ASSERT_EQ(0, nested_alloc(vm, &dev->edu, vm->viommu, STE_BYPASS, 0, &vm->bypass));
	dev->queue = veventq_alloc(vm, EVENTS, &dev->queue_id);
	ASSERT_LE(0, dev->queue);
	ASSERT_EQ(0, edu_attach(&dev->edu, vm->abort));

	/* Neither a read nor a write arrives. The device has another token so far. */
	dev->edu.token ^= 0xabcd;
	ASSERT_EQ(0, edu_load_token(&dev->edu, vm));
	*word = ~0ULL;
	ASSERT_EQ(0, edu_dma(&dev->edu, true, IPA(PAGE_B), sizeof(*word)));
	EXPECT_EQ(~0ULL, *word);
	ASSERT_EQ(0, edu_attach(&dev->edu, vm->bypass));
	EXPECT_EQ(NOWHERE, edu_lands(&dev->edu, vm, IPA(PAGE_B)));
	ASSERT_EQ(0, edu_load_token(&dev->edu, vm));
	EXPECT_EQ(PAGE_B, edu_lands(&dev->edu, vm, IPA(PAGE_B)));
	EXPECT_EQ(0, settle());
	EXPECT_EQ(0, wait_in(dev->queue, 0));
}

/* The guest writes an STE: attach another HWPT, destroy the one of before */
static int set_hwpt(struct device *dev, uint32_t hwpt, bool is_s1)
{
	uint32_t old = dev->s1;
	int rc = edu_attach(&dev->edu, hwpt);

	if (rc)
		return rc;
	dev->s1 = is_s1 ? hwpt : 0;
	return old ? destroy(&dev->vm, old) : 0;
}

static int set_s1(struct device *dev)
{
	uint32_t hwpt;
	int rc = s1_hwpt_alloc(&dev->vm.s1, &dev->vm, &dev->edu, &hwpt);

	return rc ? rc : set_hwpt(dev, hwpt, true);
}

static void translate(struct __test_metadata *_metadata, struct device *dev,
		      uint32_t vsid)
{
	ASSERT_EQ(0, vdevice_alloc(&dev->vm, &dev->edu, dev->vm.viommu, vsid,
				   &dev->vm.vdevice));
	ASSERT_EQ(0, set_s1(dev));
	EXPECT_EQ(PAGE_A, edu_lands(&dev->edu, &dev->vm, IOVA));
}

/* Returns what is wrong with @n records that are numbered from @sequence */
static const char *check_records(const struct record *records, unsigned int n,
				 uint32_t vsid, uint32_t sequence, uint64_t iova)
{
	static char wrong[100];
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct record *r = &records[i];

		if (!r->header.flags && r->header.sequence == sequence + i &&
		    r->evt[0] == (F_TRANSLATION | EVT_0_SID(vsid)) &&
		    r->evt[1] == EVT_1_CLASS_IN && r->evt[2] == iova + i * WORD)
			continue;
		snprintf(wrong, sizeof(wrong), "record %u: %#x %u %#llx %#llx %#llx", i,
			 r->header.flags, r->header.sequence,
			 (unsigned long long)r->evt[0],
			 (unsigned long long)r->evt[1],
			 (unsigned long long)r->evt[2]);
		return wrong;
	}
	return NULL;
}

/* One read of at most READ_AT_ONCE records returns @n */
static void read_records(struct __test_metadata *_metadata, struct device *dev,
			 unsigned int n, uint32_t vsid, uint32_t sequence,
			 uint64_t iova)
{
	struct record records[READ_AT_ONCE];
	const char *wrong;

	ASSERT_EQ((ssize_t)(n * sizeof(records[0])),
		  try_read(dev->queue, records, sizeof(records)));
	wrong = check_records(records, n, vsid, sequence, iova);
	EXPECT_EQ(NULL, wrong) {
		TH_LOG("%s", wrong);
	}
}

static void take_apart(struct __test_metadata *_metadata, struct device *dev)
{
	struct vm *vm = &dev->vm;

	ASSERT_EQ(0, set_hwpt(dev, vm->abort, false));
	EXPECT_EQ(NOWHERE, edu_lands(&dev->edu, vm, IOVA));
	EXPECT_EQ(NOWHERE, edu_lands(&dev->edu, vm, IPA(PAGE_B)));
	EXPECT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(0, settle());
	EXPECT_EQ(0, wait_in(dev->queue, 0));
	edu_close(&dev->edu);
	close(dev->queue);
	EXPECT_EQ(0, destroy(vm, dev->queue_id));
	EXPECT_EQ(0, destroy(vm, vm->bypass));
	EXPECT_EQ(0, destroy(vm, vm->abort));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
}

static int bad_command(struct device *dev, const cmd_t *cmds, uint32_t n)
{
	uint32_t num = n;
	int rc = invalidate(&dev->vm, cmds, &num);

	return rc == -EIO ? (int)num : rc ? rc : -EBADMSG;
}

/* The guest's queue is full, and two of its commands are bad */
static void commands(struct __test_metadata *_metadata, struct device *dev)
{
	const uint32_t middle = COMMANDS / 2, last = COMMANDS - 1;
	const uint64_t va = TLBI_NH_VA | CMD_0_ASID(GUEST_ASID);
	const uint32_t where[] = { middle - 1, middle + 1, last - 1 };
	struct vm *vm = &dev->vm;
	cmd_t *cmds = calloc(COMMANDS, sizeof(*cmds));
	uint32_t num = 0;
	unsigned int i;

	ASSERT_NE(NULL, cmds);
	/* A probe for the type */
	ASSERT_EQ(0, invalidate(vm, NULL, &num));
	for (i = 0; i < COMMANDS; i++)
		cmds[i] = CMD(va, IOVA + (16 + i % 1024) * PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(where); i++)
		cmds[where[i]] = CMD(va, IOVA + i * PAGE_SIZE);
	cmds[middle] = CMD(CFGI_CD | CMD_0_SID(NEW_VSID), 0);
	cmds[last] = CMD(0xff, 0);

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		s1_map(&vm->s1, vm, IOVA + i * PAGE_SIZE, IPA(PAGE_A + i), PTE_PAGE);
		ASSERT_EQ((int)(PAGE_A + i), edu_lands(&dev->edu, vm, IOVA + i * PAGE_SIZE));
		s1_map(&vm->s1, vm, IOVA + i * PAGE_SIZE, IPA(PAGE_D + i), PTE_PAGE);
	}
	ASSERT_EQ((int)middle, bad_command(dev, cmds, COMMANDS));
	EXPECT_EQ(PAGE_D, edu_lands(&dev->edu, vm, IOVA));
	EXPECT_EQ(PAGE_B, edu_lands(&dev->edu, vm, IOVA + PAGE_SIZE));
	EXPECT_EQ(PAGE_C, edu_lands(&dev->edu, vm, IOVA + 2 * PAGE_SIZE));

	/* Go on behind it */
	ASSERT_EQ((int)(last - middle - 1),
		  bad_command(dev, cmds + middle + 1, last - middle));
	EXPECT_EQ(PAGE_E, edu_lands(&dev->edu, vm, IOVA + PAGE_SIZE));
	EXPECT_EQ(PAGE_F, edu_lands(&dev->edu, vm, IOVA + 2 * PAGE_SIZE));
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	cmds[middle] = CMD(va, IOVA);
	num = COMMANDS - 1;
	EXPECT_EQ(0, invalidate(vm, cmds, &num));
	EXPECT_EQ(COMMANDS - 1, num);
	EXPECT_EQ(PAGE_A, edu_lands(&dev->edu, vm, IOVA));
	free(cmds);
}

/* Returns the number of the next event */
static uint32_t events(struct __test_metadata *_metadata, struct device *dev)
{
	const unsigned int few = 2 * READ_AT_ONCE + 8, many = EVENTS + 44;
	struct record lost[READ_AT_ONCE];
	unsigned int i;

	ASSERT_EQ(0, fault(&dev->edu, UNMAPPED, few));
	EXPECT_EQ(POLLIN, wait_in(dev->queue, 0));
	for (i = 0; i < 2; i++)
		read_records(_metadata, dev, READ_AT_ONCE, VSID, i * READ_AT_ONCE,
			     UNMAPPED + i * READ_AT_ONCE * WORD);
	read_records(_metadata, dev, 8, VSID, 2 * READ_AT_ONCE,
		     UNMAPPED + 2 * READ_AT_ONCE * WORD);
	read_records(_metadata, dev, 0, 0, 0, 0);

	/* More than the queue holds */
	ASSERT_EQ(0, fault(&dev->edu, UNMAPPED, many));
	for (i = 0; i < EVENTS; i += READ_AT_ONCE)
		read_records(_metadata, dev, READ_AT_ONCE, VSID, few + i,
			     UNMAPPED + i * WORD);
	ASSERT_EQ((ssize_t)sizeof(lost[0].header),
		  try_read(dev->queue, lost, sizeof(lost)));
	EXPECT_EQ(IOMMU_VEVENTQ_FLAG_LOST_EVENTS, lost[0].header.flags);
	EXPECT_EQ(few + many - 1, lost[0].header.sequence);
	read_records(_metadata, dev, 0, 0, 0, 0);
	return few + many;
}

/* The guest gives the device's bus another number */
static void renumber(struct __test_metadata *_metadata, struct device *dev,
		     uint32_t sequence)
{
	struct vm *vm = &dev->vm;
	uint32_t id;

	ASSERT_EQ(0, set_hwpt(dev, vm->abort, false));
	EXPECT_EQ(NOWHERE, edu_lands(&dev->edu, vm, IOVA));
	EXPECT_EQ(-EEXIST, vdevice_alloc(vm, &dev->edu, vm->viommu, NEW_VSID, &id));
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
	translate(_metadata, dev, NEW_VSID);

	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
	EXPECT_EQ(0, invalidate_one(vm, CFGI_CD | CMD_0_SID(NEW_VSID), 0));
	ASSERT_EQ(0, fault(&dev->edu, UNMAPPED, 1));
	read_records(_metadata, dev, 1, NEW_VSID, sequence, UNMAPPED);
	read_records(_metadata, dev, 0, 0, 0, 0);
}

TEST_F_TIMEOUT(openvmm, life, 480)
{
	struct iommu_hw_info_arm_smmuv3 smmu;
	struct iommu_hw_info info = {
		.size = sizeof(info),
		.data_len = sizeof(smmu),
		.data_uptr = (uintptr_t)&smmu,
	};
	struct device *dev = &self->dev[0], *second = &self->dev[1];
	struct vm *vm = &dev->vm;

	info.dev_id = dev->edu.id;
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_GET_HW_INFO, &info));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_ARM_SMMUV3, info.out_data_type);
	/* Both stages */
	EXPECT_EQ(3, smmu.idr[0] & 3);

	/* An earlier device left a HWPT that does not serve this one */
	ASSERT_EQ(0, hwpt_alloc(vm, &dev->edu, vm->ioas, 0, &self->parents[0]));
	self->count = 1;
	EXPECT_EQ(PINNED_KB, number_in("/proc/self/status", "VmPin"));
	reset_smmu(_metadata, self, dev, 1);
	ASSERT_EQ(2, self->count);

	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	translate(_metadata, dev, VSID);
	/* Another write of the same entry */
	ASSERT_EQ(0, set_s1(dev));
	EXPECT_EQ(PAGE_A, edu_lands(&dev->edu, vm, IOVA));

	commands(_metadata, dev);
	renumber(_metadata, dev, events(_metadata, dev));

	/* The second device finds the parent in the list */
	ASSERT_EQ(0, edu_open(&second->edu, 1));
	ASSERT_EQ(0, edu_bind(&second->edu, vm->fd));
	second->vm = *vm;
	reset_smmu(_metadata, self, second, 1);
	ASSERT_EQ(2, self->count);
	s1_init(&second->vm.s1, &second->vm, GUEST_ASID);
	s1_map(&second->vm.s1, &second->vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	translate(_metadata, second, VSID);
	ASSERT_EQ(0, fault(&second->edu, UNMAPPED, 1));
	read_records(_metadata, second, 1, VSID, 0, UNMAPPED);
	read_records(_metadata, dev, 0, 0, 0, 0);
	EXPECT_EQ(PAGE_A, edu_lands(&dev->edu, vm, IOVA));
	/* One stage 2, so the memory is pinned once */
	EXPECT_EQ(PINNED_KB, number_in("/proc/self/status", "VmPin"));

	take_apart(_metadata, second);
	EXPECT_EQ(PAGE_A, edu_lands(&dev->edu, vm, IOVA));
	take_apart(_metadata, dev);
	while (self->count--)
		EXPECT_EQ(0, destroy(vm, self->parents[self->count]));
	EXPECT_EQ(0, ioas_unmap(vm, GUEST_IPA, GUEST_PAGES * PAGE_SIZE));
	EXPECT_EQ(0, destroy(vm, vm->ioas));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmPin"));
	vm_close(vm, &dev->edu);
}

TEST_HARNESS_MAIN
