// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of vIOMMUs with a VINTF of Tegra241 CMDQ-V, as edu-test.c for those
 * without: the program has a command queue in its guest's memory and rings it
 * in the mapped registers, without an ioctl.
 *
 * The registers of the model (qemu/cmdqv.c), which the program reads through
 * /dev/mem, show what the kernel has configured and what the hardware has done.
 * The model counts and warns if the kernel does something that the hardware
 * forbids; the board checks that.
 *
 * Expects edu devices bound to vfio-pci on a board with the model.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"

/* The hardware: log2 of queues and of VINTFs are 3 and 2 */
#define VINTFS			4
#define QUEUES			2		/* of each */
#define ALLOC(q)		(0x0200 + 4 * (q))
#define VINTF(v)		(0x1000 + 0x100 * (v))
#define VINTF_CONFIG		0x00
#define SID_MATCH(s)		(0x40 + 4 * (s))
#define SID_REPLACE(s)		(0x80 + 4 * (s))
#define SIDS			16
#define DIRECT_PAGE0(q)		(0x10000 + 0x80 * (q))
#define DIRECT_PAGE1(q)		(0x20000 + 0x80 * (q))

#define CONS			0x00
#define PROD			0x04
#define CONFIG			0x08
#define STATUS			0x0c
#define GERROR			0x10
#define GERRORN			0x14
#define PAGE0_SIZE		0x10000

/* The model's own registers, see the head of cmdqv.c */
#define MAGIC			0x8000
#define RESET			0x8004
#define POLICY			0x8008
#define QUIET			BIT(10)
#define TAKE_BASE		BIT(11)
#define STATUS_DELAY		0x800c
#define NEVER			0xffffffff
#define STATUS_OF		0x8010
#define OF_VINTFS		BIT(1)
#define OF_QUEUES		BIT(2)
#define OF_DISABLE		BIT(4)
#define OF(n)			((n) << 16)
#define OF_ALL			OF(0xffffu)
#define RUN_DELAY		0x8014
#define INJECT			0x8018
#define INJECT_ATC		3
#define INJECT_DEFERRED		BIT(8)
#define LOSE_BASE		0x8020
#define ORDERS			0x8040
#define VMIDS			0x8048
#define ERRORS			0x8060
#define DEFERRED_GONE		0x8068
#define LAST_VSID		0x8074
#define LAST_SID		0x8078
#define LOST_BASES		0x807c
#define MAIN_OPCODE(op)		(0x8200 + 4 * (op))
#define OPCODE(q, op)		(0x9000 + 0x200 * (q) + 4 * (op))

#define ERROR_ILL		1
#define ERROR_ACCESS		4

/* A queue of 2^8 commands is the smallest page */
#define QUEUE_LOG2		8
#define QUEUE_ENTRIES		(1 << QUEUE_LOG2)
#define QUEUE_SIZE		(QUEUE_ENTRIES * sizeof(cmd_t))

static volatile uint8_t *model;

/* The model's registers, or NULL */
static volatile uint8_t *model_map(void)
{
	unsigned long first = 0, last = 0;
	char line[128];
	void *at;
	FILE *f;
	int fd;

	f = fopen("/proc/iomem", "r");
	if (!f)
		return NULL;
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "NVDA200C:00"))
			sscanf(line, "%lx-%lx", &first, &last);
	fclose(f);
	fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	if (!last || fd < 0)
		return NULL;
	at = mmap(NULL, last - first + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  first);
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

static uint32_t get(volatile uint8_t *regs, unsigned int reg)
{
	uint32_t value = *(volatile uint32_t *)(regs + reg);

	__sync_synchronize();
	return value;
}

static void put(volatile uint8_t *regs, unsigned int reg, uint32_t value)
{
	__sync_synchronize();
	*(volatile uint32_t *)(regs + reg) = value;
}

static uint64_t direct_base(unsigned int q)
{
	return *(volatile uint64_t *)(model + DIRECT_PAGE1(q));
}

/* A VINTF without owner: its registers and those of its queues read as 0 */
static bool vintf_is_clean(unsigned int v)
{
	unsigned int q, i;

	if (get(model, VINTF(v) + VINTF_CONFIG))
		return false;
	for (i = 0; i < SIDS; i++)
		if (get(model, VINTF(v) + SID_MATCH(i)) ||
		    get(model, VINTF(v) + SID_REPLACE(i)))
			return false;
	for (q = v * QUEUES; q < (v + 1) * QUEUES; q++) {
		if (get(model, ALLOC(q)) & 1)
			return false;
		for (i = CONS; i <= STATUS; i += 4)
			if (get(model, DIRECT_PAGE0(q) + i))
				return false;
		if (get(model, DIRECT_PAGE0(q) + GERROR) !=
		    get(model, DIRECT_PAGE0(q) + GERRORN))
			return false;
		if (direct_base(q))
			return false;
	}
	return true;
}

static bool all_clean(void)
{
	unsigned int v;

	for (v = 1; v < VINTFS; v++)
		if (!vintf_is_clean(v))
			return false;
	return true;
}

/* The number of enabled VINTFs of VMs */
static unsigned int vintfs_in_use(void)
{
	unsigned int v, num = 0;

	for (v = 1; v < VINTFS; v++)
		num += get(model, VINTF(v) + VINTF_CONFIG) & 1;
	return num;
}

/* Queues in guest memory */

struct vcmdq {
	struct vm *vm;
	unsigned int index;
	uint32_t id;
	volatile uint8_t *regs;		/* of this queue */
	uint8_t *page0;
	cmd_t *ring;
	uint64_t ipa;
	uint32_t prod;
};

static int hw_queue_alloc(struct vm *vm, uint32_t viommu, uint32_t index,
			  uint64_t ipa, uint64_t length, uint32_t *id)
{
	return iommufd_hw_queue_alloc(vm->fd, viommu,
				      IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV, index,
				      ipa, length, id);
}

static int page0_map(struct vm *vm, uint8_t **at)
{
	void *map = mmap(NULL, PAGE0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vm->fd, vm->page0);

	if (map == MAP_FAILED)
		return -errno;
	*at = map;
	return 0;
}

static int vcmdq_open(struct vcmdq *q, struct vm *vm, unsigned int index,
		      unsigned int page)
{
	int rc;

	q->vm = vm;
	q->index = index;
	q->ring = vm_page(vm, page);
	q->ipa = IPA(page);
	q->prod = 0;
	rc = hw_queue_alloc(vm, vm->viommu, index, q->ipa, QUEUE_SIZE, &q->id);
	if (!rc)
		rc = page0_map(vm, &q->page0);
	if (rc)
		return rc;
	q->regs = q->page0 + 0x80 * index;
	put(q->regs, CONFIG, 1);
	return get(q->regs, STATUS) & 1 ? 0 : -EIO;
}

static int vcmdq_close(struct vcmdq *q)
{
	munmap(q->page0, PAGE0_SIZE);
	return destroy(q->vm, q->id);
}

static void vcmdq_add(struct vcmdq *q, uint64_t w0, uint64_t w1)
{
	q->ring[q->prod % QUEUE_ENTRIES] = CMD(w0, w1);
	q->prod = (q->prod + 1) % (2 * QUEUE_ENTRIES);
}

static void vcmdq_ring(struct vcmdq *q)
{
	put(q->regs, PROD, q->prod);
}

/* 0 when all commands are consumed, the error code, or -ETIMEDOUT */
static int vcmdq_wait(struct vcmdq *q)
{
	uint32_t cons;
	int i;

	for (i = 0; i < 20000; i++) {
		cons = get(q->regs, CONS);
		if (get(q->regs, GERROR) != get(q->regs, GERRORN))
			return cons >> 24 & 0x7f;
		if ((cons & 0xfffff) == q->prod)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

static int vcmdq_run(struct vcmdq *q, uint64_t w0, uint64_t w1)
{
	vcmdq_add(q, w0, w1);
	vcmdq_add(q, CMD_SYNC, 0);
	vcmdq_ring(q);
	return vcmdq_wait(q);
}

/* Replace the failed command by a CMD_SYNC, and continue */
static int vcmdq_go_on(struct vcmdq *q)
{
	q->ring[get(q->regs, CONS) % QUEUE_ENTRIES] = CMD(CMD_SYNC, 0);
	put(q->regs, GERRORN, get(q->regs, GERROR));
	return vcmdq_wait(q);
}

/* Two pages of the guest without other use */
#define QUEUE_PAGE	(GUEST_PAGES - 2)

FIXTURE(cmdqv)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(cmdqv)
{
	model = model_map();
	ASSERT_NE(NULL, model);
	ASSERT_EQ(0x51444d43, get(model, MAGIC));
	put(model, RESET, 1);
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_TRUE(all_clean());
	ASSERT_EQ(0, vm_build_vintf(&self->vm, &self->edu, 0, VM_TRANSLATES));
	ASSERT_EQ(PAGE_A, edu_lands(&self->edu, &self->vm, IOVA));
}

FIXTURE_TEARDOWN(cmdqv)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_TRUE(all_clean());
	EXPECT_EQ(0, get(model, ORDERS));
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

#define LANDS(page, iova) \
	EXPECT_EQ(page, edu_lands(&self->edu, &self->vm, iova))
#define NH_VA		(TLBI_NH_VA | CMD_0_ASID(GUEST_ASID))

TEST_F(cmdqv, hw_info)
{
	struct iommu_hw_info_tegra241_cmdqv info[2];
	struct iommu_hw_info good = {
		.size = sizeof(good),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.dev_id = self->edu.id,
		.data_len = sizeof(info),
		.data_uptr = (uintptr_t)info,
		.in_data_type = IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
	};
	struct iommu_hw_info cmd = good;

	memset(info, 0xff, sizeof(info));
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV, cmd.out_data_type);
	EXPECT_EQ(8, cmd.data_len);
	EXPECT_EQ(0, info[0].flags);
	EXPECT_EQ(1, info[0].version);
	EXPECT_EQ(1, info[0].log2vcmdqs);
	EXPECT_EQ(4, info[0].log2vsids);
	EXPECT_EQ(0, info[0].__reserved);
	EXPECT_EQ(0, info[1].flags);

	/* Without a requested type the result is that of the SMMU */
	cmd = good;
	cmd.flags = 0;
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_ARM_SMMUV3, cmd.out_data_type);
	EXPECT_EQ(40, cmd.data_len);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type, 4);
	EXPECT_STREQ("1 2\n", edu_iommu_file(0, "types"));
}

TEST_F(cmdqv, errno_viommu_alloc)
{
	struct iommu_viommu_tegra241_cmdqv data[2] = {};
	struct iommu_viommu_alloc good = {
		.size = sizeof(good),
		.type = IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
		.dev_id = self->edu.id,
		.hwpt_id = self->vm.s2,
		.data_len = sizeof(data[0]),
		.data_uptr = (uintptr_t)data,
	};
	struct iommu_viommu_alloc cmd;
	uint32_t ids[VINTFS];
	uint64_t page0;
	unsigned int i;

	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, data_len, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, data_len, 15);
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, data_len, PAGE_SIZE + 1);
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, data_len, 0xffffffff);
	EXPECT_REFUSED(EFAULT, IOMMU_VIOMMU_ALLOC, good, data_uptr, 0);
	EXPECT_REFUSED(EFAULT, IOMMU_VIOMMU_ALLOC, good, data_uptr, 1);
	ASSERT_EQ(0, hwpt_alloc(&self->vm, &self->edu, self->vm.ioas, 0, &ids[0]));
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, hwpt_id, ids[0]);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, flags, 1);
	EXPECT_EQ(1, vintfs_in_use());

	/* What the kernel does not know is cleared */
	cmd = good;
	cmd.data_len = sizeof(data[0]) + 1;
	memset(data, 0xff, sizeof(data));
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_VIOMMU_ALLOC, &cmd));
	EXPECT_EQ(0x10000, data[0].out_vintf_mmap_length);
	EXPECT_EQ(~0xffULL, data[1].out_vintf_mmap_offset);
	ASSERT_EQ(0, destroy(&self->vm, cmd.out_viommu_id));

	/* All VINTFs, and no more */
	for (i = 0; i < VINTFS - 2; i++)
		ASSERT_EQ(0, vintf_alloc(&self->vm, &self->edu, self->vm.s2,
					 &ids[i], &page0));
	EXPECT_EQ(VINTFS - 1, vintfs_in_use());
	cmd = good;
	EXPECT_EQ(-ENOSPC, xioctl(self->vm.fd, IOMMU_VIOMMU_ALLOC, &cmd));
	/* The other type needs no VINTF */
	ASSERT_EQ(0, viommu_alloc(&self->vm, &self->edu, self->vm.s2, &ids[i]));
	while (i-- > 0)
		ASSERT_EQ(0, destroy(&self->vm, ids[i]));
	ASSERT_EQ(0, vintf_alloc(&self->vm, &self->edu, self->vm.s2, &ids[0],
				 &page0));
	EXPECT_EQ(2, vintfs_in_use());
}

/* Without HYP_OWN, and each with its own VMID */
TEST_F(cmdqv, vintf_config)
{
	uint32_t config[VINTFS], id;
	unsigned int v, w;
	uint64_t page0;

	for (v = 0; v < VINTFS - 2; v++)
		ASSERT_EQ(0, vintf_alloc(&self->vm, &self->edu, self->vm.s2,
					 &id, &page0));
	EXPECT_EQ(1 | BIT(17), get(model, VINTF(0) + VINTF_CONFIG));
	for (v = 1; v < VINTFS; v++) {
		config[v] = get(model, VINTF(v) + VINTF_CONFIG);
		EXPECT_EQ(1, config[v] & 1);
		EXPECT_EQ(0, config[v] >> 17);
		EXPECT_NE(0, config[v] >> 1);
		for (w = 1; w < v; w++)
			EXPECT_NE(config[w], config[v]);
	}
	/* Only the host's queues are allocated */
	for (v = 0; v < VINTFS * QUEUES; v++)
		EXPECT_EQ(v < QUEUES, get(model, ALLOC(v)) & 1);
	/*
	 * The queues have a page of their VINTF before a guest can enable one
	 */
	for (v = 1; v < VINTFS; v++) {
		EXPECT_NE(0, direct_base(v * QUEUES));
		for (w = v * QUEUES; w < (v + 1) * QUEUES; w++)
			EXPECT_EQ(direct_base(v * QUEUES), direct_base(w));
		for (w = 1; w < v; w++)
			EXPECT_NE(direct_base(w * QUEUES), direct_base(v * QUEUES));
	}
}

TEST_F(cmdqv, sids)
{
	const struct {
		uint64_t vsid;
		int rc;
	} table[] = {
		{ 0, 0 }, { 0xfffff, 0 }, { 0x100000, -EINVAL },
		{ 0xffffffff, -EINVAL }, { BIT(32), -EINVAL },
	};
	unsigned int v = VINTF(1), i;
	struct edu second;
	uint32_t id;

	/* These devices have no ATS, see ats_decides_what_matches */
	EXPECT_EQ(0, get(model, v + SID_MATCH(0)));
	EXPECT_EQ(edu_rid(0), get(model, v + SID_REPLACE(0)));

	memset(&second, 0, sizeof(second));
	ASSERT_EQ(0, edu_open(&second, 1));
	ASSERT_EQ(0, edu_bind(&second, self->vm.fd));
	EXPECT_EQ(-EEXIST, vdevice_alloc(&self->vm, &second, self->vm.viommu,
					 VSID, &id));
	EXPECT_EQ(edu_rid(0), get(model, v + SID_REPLACE(0)));
	EXPECT_EQ(0, get(model, v + SID_REPLACE(1)));
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ASSERT_EQ(table[i].rc, vdevice_alloc(&self->vm, &second,
						     self->vm.viommu,
						     table[i].vsid, &id));
		EXPECT_EQ(0, get(model, v + SID_MATCH(1)));
		if (table[i].rc) {
			EXPECT_EQ(0, get(model, v + SID_REPLACE(1)));
			continue;
		}
		EXPECT_EQ(edu_rid(1), get(model, v + SID_REPLACE(1)));
		ASSERT_EQ(0, destroy(&self->vm, id));
		EXPECT_EQ(0, get(model, v + SID_REPLACE(1)));
	}
	/* Closing a device frees its pair */
	ASSERT_EQ(0, vdevice_alloc(&self->vm, &second, self->vm.viommu, 3, &id));
	EXPECT_EQ(edu_rid(1), get(model, v + SID_REPLACE(1)));
	edu_close(&second);
	EXPECT_EQ(0, get(model, v + SID_REPLACE(1)));
}

TEST_F(cmdqv, errno_hw_queue_alloc)
{
	struct vm *vm = &self->vm;
	uint32_t viommu = vm->viommu, id, other, plain;
	struct iommu_hw_queue_alloc good = {
		.size = sizeof(good),
		.viommu_id = viommu,
		.type = IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
		.nesting_parent_iova = IPA(QUEUE_PAGE),
		.length = PAGE_SIZE,
	};
	static const uint64_t lengths[] = {
		1, 15, 16, 24, 31, 33, 48, 4095, 4097, 16ULL << 20, 1ULL << 40,
	};
	uint64_t nothing = direct_base(QUEUES);
	unsigned int i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		EXPECT_REFUSED(EINVAL, IOMMU_HW_QUEUE_ALLOC, good, length,
			       lengths[i]);
	EXPECT_REFUSED(EINVAL, IOMMU_HW_QUEUE_ALLOC, good, length, 0);
	EXPECT_REFUSED(EOVERFLOW, IOMMU_HW_QUEUE_ALLOC, good, length, ~0ULL);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HW_QUEUE_ALLOC, good, type, 0);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HW_QUEUE_ALLOC, good, type, 2);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HW_QUEUE_ALLOC, good, flags, 1);
	EXPECT_REFUSED(EINVAL, IOMMU_HW_QUEUE_ALLOC, good, index, QUEUES);
	EXPECT_REFUSED(EIO, IOMMU_HW_QUEUE_ALLOC, good, index, 1);
	EXPECT_REFUSED(ENOENT, IOMMU_HW_QUEUE_ALLOC, good, viommu_id, vm->s2);
	EXPECT_REFUSED(ENOENT, IOMMU_HW_QUEUE_ALLOC, good, nesting_parent_iova,
		       SPARE_IPA);
	EXPECT_EQ(0, get(model, ALLOC(QUEUES)) & 1);
	EXPECT_EQ(nothing, direct_base(QUEUES));

	/* Any suitable place in a page; the smallest and the largest queue */
	ASSERT_EQ(0, hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE) + 96, 32, &id));
	EXPECT_EQ(1, get(model, ALLOC(QUEUES)) & 1);
	EXPECT_EQ(1, direct_base(QUEUES) & 0x1f);
	EXPECT_EQ(96, direct_base(QUEUES) & 0xfe0);
	ASSERT_EQ(0, destroy(vm, id));
	EXPECT_EQ(0, get(model, ALLOC(QUEUES)) & 1);
	EXPECT_EQ(nothing, direct_base(QUEUES));
	EXPECT_EQ(-EINVAL, hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE) + 32,
					  64, &id));

	/* The order */
	ASSERT_EQ(0, hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE), PAGE_SIZE,
				    &id));
	EXPECT_EQ(-EEXIST, hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE),
					  PAGE_SIZE, &other));
	ASSERT_EQ(0, hw_queue_alloc(vm, viommu, 1, IPA(QUEUE_PAGE + 1),
				    PAGE_SIZE, &other));
	EXPECT_EQ(-EBUSY, destroy(vm, id));
	EXPECT_EQ(-EBUSY, ioas_unmap(vm, GUEST_IPA, GUEST_PAGES * PAGE_SIZE));
	ASSERT_EQ(0, destroy(vm, other));
	ASSERT_EQ(0, destroy(vm, id));

	/* A vIOMMU without a VINTF has no queues */
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &plain));
	EXPECT_EQ(-EOPNOTSUPP, hw_queue_alloc(vm, plain, 0, IPA(QUEUE_PAGE),
					      PAGE_SIZE, &id));
}

TEST_F(cmdqv, largest_queue)
{
	const uint64_t ipa = 0x04000000, size = 2 << 20;
	struct vm *vm = &self->vm;
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = vm->ioas,
		.length = size,
		.iova = ipa,
	};
	uint32_t id;
	void *huge;

	/* The same page twice is not contiguous */
	ASSERT_EQ(0, ioas_map(vm, 0, 1, ipa));
	ASSERT_EQ(0, ioas_map(vm, 0, 1, ipa + PAGE_SIZE));
	EXPECT_EQ(-EFAULT, hw_queue_alloc(vm, vm->viommu, 0, ipa,
					  2 * PAGE_SIZE, &id));
	ASSERT_EQ(0, ioas_unmap(vm, ipa, 2 * PAGE_SIZE));

	huge = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, huge);
	map.user_va = (uintptr_t)huge;
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_IOAS_MAP, &map));
	ASSERT_EQ(0, hw_queue_alloc(vm, vm->viommu, 0, ipa, size, &id));
	EXPECT_EQ(17, direct_base(QUEUES) & 0x1f);
	ASSERT_EQ(0, destroy(vm, id));
	ASSERT_EQ(0, ioas_unmap(vm, ipa, size));
	munmap(huge, size);
}

/* The purpose: the stale translation is gone without an ioctl */
TEST_F(cmdqv, guest_invalidates)
{
	struct vm *vm = &self->vm;
	struct vcmdq q[QUEUES];
	uint32_t main_tlbi;
	unsigned int i;

	for (i = 0; i < QUEUES; i++)
		ASSERT_EQ(0, vcmdq_open(&q[i], vm, i, QUEUE_PAGE + i));
	main_tlbi = get(model, MAIN_OPCODE(TLBI_NH_VA));

	for (i = 0; i < QUEUES; i++) {
		s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B + 2 * i), PTE_PAGE);
		LANDS(i ? PAGE_C : PAGE_A, IOVA);
		EXPECT_EQ(0, vcmdq_run(&q[i], NH_VA, IOVA));
		LANDS(PAGE_B + 2 * i, IOVA);
		EXPECT_EQ(1, get(model, OPCODE(QUEUES + i, TLBI_NH_VA)));

		s1_map(&vm->s1, vm, IOVA, IPA(PAGE_C), PTE_PAGE);
		LANDS(PAGE_B + 2 * i, IOVA);
		/* Another ASID is not affected */
		EXPECT_EQ(0, vcmdq_run(&q[i], TLBI_NH_ASID |
				       CMD_0_ASID(GUEST_ASID + 1), 0));
		LANDS(PAGE_B + 2 * i, IOVA);
		EXPECT_EQ(0, vcmdq_run(&q[i], TLBI_NH_ASID |
				       CMD_0_ASID(GUEST_ASID), 0));
		LANDS(PAGE_C, IOVA);
	}
	EXPECT_EQ(main_tlbi, get(model, MAIN_OPCODE(TLBI_NH_VA)));

	/* The whole ring, twice around */
	for (i = 0; i < 2 * QUEUE_ENTRIES + 10; i++)
		ASSERT_EQ(0, vcmdq_run(&q[0], NH_VA, IOVA + i * PAGE_SIZE));
	for (i = 0; i < QUEUE_ENTRIES - 1; i++)
		vcmdq_add(&q[0], NH_VA, IOVA + i * PAGE_SIZE);
	vcmdq_add(&q[0], CMD_SYNC, 0);
	vcmdq_ring(&q[0]);
	EXPECT_EQ(0, vcmdq_wait(&q[0]));
	EXPECT_EQ(0, get(model, ERRORS));

	for (i = QUEUES; i--; )
		ASSERT_EQ(0, vcmdq_close(&q[i]));
}

/* VMIDs that the guest writes are ignored */
TEST_F(cmdqv, other_vms_are_out_of_reach)
{
	uint8_t *page0 = NULL;
	struct vm second;
	struct edu edu;
	struct vcmdq q;
	uint32_t vmid;

	ASSERT_EQ(0, vm_build_vintf(&second, &edu, 1, VM_TRANSLATES));
	ASSERT_EQ(PAGE_A, edu_lands(&edu, &second, IOVA));
	vmid = get(model, VINTF(2) + VINTF_CONFIG) >> 1;
	ASSERT_EQ(0, vcmdq_open(&q, &self->vm, 0, QUEUE_PAGE));

	s1_map(&second.s1, &second, IOVA, IPA(PAGE_D), PTE_PAGE);
	s1_map(&self->vm.s1, &self->vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	EXPECT_EQ(0, vcmdq_run(&q, NH_VA | CMD_0_VMID(vmid), IOVA));
	EXPECT_LT(0, get(model, VMIDS));
	LANDS(PAGE_B, IOVA);
	EXPECT_EQ(PAGE_A, edu_lands(&edu, &second, IOVA));
	EXPECT_EQ(0, vcmdq_run(&q, TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID) |
			       CMD_0_VMID(vmid), 0));
	EXPECT_EQ(PAGE_A, edu_lands(&edu, &second, IOVA));

	/* The other VM has no queue, so its slots do nothing */
	ASSERT_EQ(0, page0_map(&second, &page0));
	put(page0, CONFIG, 1);
	put(page0, PROD, 1);
	EXPECT_EQ(0, get(page0, STATUS));
	EXPECT_EQ(0, get(page0, PROD));
	EXPECT_EQ(0, get(model, DIRECT_PAGE0(2 * QUEUES) + CONFIG));
	munmap(page0, PAGE0_SIZE);
	ASSERT_EQ(0, vcmdq_close(&q));
	vm_close(&second, &edu);
}

static int cmdqv_veventq_alloc(struct vm *vm, uint32_t *id)
{
	int event_fd;
	int rc = iommufd_veventq_alloc(vm->fd, vm->viommu,
				       IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV, 8, id,
				       &event_fd);

	return rc ? rc : event_fd;
}

struct event {
	struct iommufd_vevent_header header;
	struct iommu_vevent_tegra241_cmdqv map;
};

/* Wait for the next event for a while */
static int event_read(int fd, struct event *event)
{
	int i, len;

	for (i = 0; i < 20000; i++) {
		len = read(fd, event, sizeof(*event));
		if (len)
			return len < 0 ? -errno : len;
		usleep(1000);
	}
	return 0;
}

TEST_F(cmdqv, errors_are_the_guests)
{
	static const struct {
		uint64_t w0, w1;
		int code;
	} bad[] = {
		{ 0, 0, ERROR_ILL },
		{ CFGI_CD_ALL | CMD_0_SID(VSID), 0, ERROR_ILL },
		{ TLBI_NH_ALL, 0, ERROR_ILL },
		{ TLBI_NSNH_ALL, 0, ERROR_ILL },
		{ TLBI_NH_VAA, IOVA, ERROR_ILL },
		{ 0xff, 0, ERROR_ILL },
		{ CMD_SYNC | BIT(12), 0, ERROR_ILL },
		{ ATC_INV | CMD_0_SID(VSID + 1), 52, ERROR_ACCESS },
		/* Its ATS is off */
		{ ATC_INV | CMD_0_SID(VSID), 52, ERROR_ACCESS },
	};
	struct vm *vm = &self->vm;
	struct vcmdq q[QUEUES];
	struct event event;
	uint32_t id, smmu_id;
	int fd, smmu_fd;
	unsigned int i;

	smmu_fd = veventq_alloc(vm, 8, &smmu_id);
	ASSERT_LE(0, smmu_fd);
	fd = cmdqv_veventq_alloc(vm, &id);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EEXIST, cmdqv_veventq_alloc(vm, &id));
	for (i = 0; i < QUEUES; i++)
		ASSERT_EQ(0, vcmdq_open(&q[i], vm, i, QUEUE_PAGE + i));

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vcmdq *bad_q = &q[i % QUEUES];

		EXPECT_EQ(bad[i].code, vcmdq_run(bad_q, bad[i].w0, bad[i].w1)) {
			TH_LOG("%#llx", (unsigned long long)bad[i].w0);
		}
		memset(&event, 0xff, sizeof(event));
		ASSERT_EQ(sizeof(event), event_read(fd, &event));
		EXPECT_EQ(0, event.header.flags);
		EXPECT_EQ(i, event.header.sequence);
		EXPECT_EQ(BIT(bad_q->index), event.map.lvcmdq_err_map[0]);
		EXPECT_EQ(0, event.map.lvcmdq_err_map[1]);

		/* The other queue continues meanwhile, then this one does */
		EXPECT_EQ(0, vcmdq_run(&q[!bad_q->index], NH_VA, IOVA));
		EXPECT_EQ(0, vcmdq_go_on(bad_q));
		EXPECT_EQ(0, vcmdq_run(bad_q, NH_VA, IOVA));
	}
	/* The SMMU's own queue never had them */
	LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, read(smmu_fd, &event, sizeof(event)));
	EXPECT_EQ(0, read(fd, &event, sizeof(event)));

	for (i = QUEUES; i--; )
		ASSERT_EQ(0, vcmdq_close(&q[i]));
	close(fd);
	close(smmu_fd);
	/* The host has logged nothing */
	EXPECT_EQ(0, kmsg_count(self->kmsg, "unexpected error"));
}

/*
 * Returns whether ATS is enabled in the device, the board's edu-ats; -1 for
 * another device
 */
static int ats_enabled(const struct edu *edu)
{
	uint16_t cap = 0, ctrl = 0;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", edu->bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pread(fd, &cap, 2, 0x100) != 2 || pread(fd, &ctrl, 2, 0x106) != 2)
		cap = 0;
	close(fd);
	return cap == 0xf ? ctrl >> 15 : -1;
}

/* No ATC_INV goes to a device whose ATS is off */
TEST_F(cmdqv, ats_decides_what_matches)
{
	int nth = edu_count() - 1;
	unsigned int v = VINTF(2);
	uint64_t vsid = VSID + nth;
	uint32_t s1;
	struct edu edu;
	struct vcmdq q;
	struct vm vm;
	int i;

	ASSERT_EQ(0, vm_build_vintf(&vm, &edu, nth, VM_TRANSLATES));
	ASSERT_EQ(0, vcmdq_open(&q, &vm, 0, QUEUE_PAGE));
	ASSERT_EQ(0, nested_alloc(&vm, &edu, vm.viommu, STE_S1 | vm.s1.cd_ipa,
				  STE_1_CD_CACHED | STE_1_EATS(1), &s1));
	for (i = 0; i < 3; i++) {
		/* The guest's STE disables it */
		EXPECT_EQ(0, ats_enabled(&edu));
		EXPECT_EQ(0, get(model, v + SID_MATCH(0)));
		EXPECT_EQ(edu_rid(nth), get(model, v + SID_REPLACE(0)));
		EXPECT_EQ(ERROR_ACCESS,
			  vcmdq_run(&q, ATC_INV | CMD_0_SID(vsid), 52));
		EXPECT_EQ(~0u, get(model, LAST_SID));
		EXPECT_EQ(0, vcmdq_go_on(&q));

		ASSERT_EQ(0, edu_attach(&edu, s1));
		EXPECT_EQ(1, ats_enabled(&edu));
		EXPECT_EQ(1 | vsid << 1, get(model, v + SID_MATCH(0)));
		EXPECT_EQ(0, vcmdq_run(&q, ATC_INV | CMD_0_SID(vsid), 52));
		EXPECT_EQ(vsid, get(model, LAST_VSID));
		EXPECT_EQ(edu_rid(nth), get(model, LAST_SID));

		/*
		 * A virtual device that is allocated later, and one that is
		 * destroyed
		 */
		ASSERT_EQ(0, destroy(&vm, vm.vdevice));
		EXPECT_EQ(0, get(model, v + SID_MATCH(0)));
		EXPECT_EQ(0, get(model, v + SID_REPLACE(0)));
		vsid++;
		ASSERT_EQ(0, vdevice_alloc(&vm, &edu, vm.viommu, vsid,
					   &vm.vdevice));
		EXPECT_EQ(1 | vsid << 1, get(model, v + SID_MATCH(0)));
		ASSERT_EQ(0, edu_attach(&edu, vm.s1_hwpt));
	}
	ASSERT_EQ(0, vcmdq_close(&q));
	vm_close(&vm, &edu);
}

TEST_F(cmdqv, registers_hold_the_viommu)
{
	struct vm *vm = &self->vm;
	uint32_t viommu;
	uint8_t *page0;
	uint64_t at;

	ASSERT_EQ(0, vintf_alloc(vm, &self->edu, vm->s2, &viommu, &at));
	page0 = mmap(NULL, PAGE0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     vm->fd, at);
	ASSERT_NE(MAP_FAILED, (void *)page0);
	EXPECT_EQ(-EBUSY, destroy(vm, viommu));
	/* All of it can be mapped, or nothing. It may be a single page. */
	if (PAGE_SIZE < PAGE0_SIZE) {
		EXPECT_EQ(-1, munmap(page0, PAGE_SIZE));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(0, get(page0, STATUS));
	munmap(page0, PAGE0_SIZE);
	EXPECT_EQ(0, destroy(vm, viommu));
	/* Page 1, which has the addresses, cannot be mapped */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * PAGE0_SIZE, PROT_READ, MAP_SHARED,
				   vm->fd, vm->page0));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE0_SIZE, PROT_READ, MAP_SHARED,
				   vm->fd, vm->page0 + PAGE0_SIZE));
	EXPECT_EQ(ENXIO, errno);
}

/*
 * A queue is destroyed while it works, and the next owner finds nothing of it
 */
TEST_F(cmdqv, destroy_a_running_queue)
{
	struct vm *vm = &self->vm;
	struct vcmdq q;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, vcmdq_open(&q, vm, 0, QUEUE_PAGE));
		EXPECT_EQ(0, get(q.regs, PROD));
		EXPECT_EQ(0, get(q.regs, CONS));
		EXPECT_EQ(get(q.regs, GERROR), get(q.regs, GERRORN));
		if (i & 1) {
			/* With an unacknowledged error */
			EXPECT_EQ(ERROR_ILL, vcmdq_run(&q, 0, 0));
		} else {
			put(model, RUN_DELAY, 50000);
			vcmdq_add(&q, NH_VA, IOVA);
			vcmdq_add(&q, CMD_SYNC, 0);
			vcmdq_ring(&q);
		}
		ASSERT_EQ(0, vcmdq_close(&q));
		put(model, RUN_DELAY, 0);
		EXPECT_EQ(0, get(model, ALLOC(QUEUES)) & 1);
		EXPECT_EQ(0, get(model, DIRECT_PAGE0(QUEUES) + CONFIG));
	}
	/* Its memory can be unmapped */
	EXPECT_EQ(0, ioas_unmap(vm, GUEST_IPA, GUEST_PAGES * PAGE_SIZE));
	EXPECT_EQ(0, ioas_map(vm, 0, GUEST_PAGES, GUEST_IPA));
}

/* The next owner does not get the timeout of an ATC_INV without a CMD_SYNC */
TEST_F(cmdqv, late_errors_die_with_their_owner)
{
	struct vm *vm = &self->vm;
	struct vcmdq q;

	ASSERT_EQ(0, vcmdq_open(&q, vm, 0, QUEUE_PAGE));
	put(model, INJECT, INJECT_ATC | INJECT_DEFERRED | QUEUES << 16);
	vcmdq_add(&q, NH_VA, IOVA);
	vcmdq_ring(&q);
	EXPECT_EQ(0, vcmdq_wait(&q));
	ASSERT_EQ(0, vcmdq_close(&q));
	EXPECT_EQ(1, get(model, DEFERRED_GONE));

	ASSERT_EQ(0, vcmdq_open(&q, vm, 0, QUEUE_PAGE));
	EXPECT_EQ(0, vcmdq_run(&q, NH_VA, IOVA));
	ASSERT_EQ(0, vcmdq_close(&q));
	EXPECT_EQ(0, get(model, ERRORS));
}

TEST_F_TIMEOUT(cmdqv, a_thousand_times, 600)
{
	struct vm *vm = &self->vm;
	uint32_t viommu, queue[QUEUES];
	unsigned int i, j;
	uint64_t page0;

	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, vintf_alloc(vm, &self->edu, vm->s2, &viommu,
					 &page0));
		for (j = 0; j < QUEUES; j++)
			ASSERT_EQ(0, hw_queue_alloc(vm, viommu, j,
						    IPA(QUEUE_PAGE + j),
						    PAGE_SIZE, &queue[j]));
		while (j--)
			ASSERT_EQ(0, destroy(vm, queue[j]));
		ASSERT_EQ(0, destroy(vm, viommu));
	}
	EXPECT_EQ(1, vintfs_in_use());
}

/* The end of the process destroys everything */
TEST_F(cmdqv, process_dies)
{
	struct vm vm;
	struct edu edu;
	struct vcmdq q[QUEUES];
	unsigned int i, j;
	int status, fds[2];
	pid_t pid;
	char c;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pipe(fds));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			if (vm_build_vintf(&vm, &edu, 1, VM_TRANSLATES))
				_exit(1);
			for (j = 0; j < QUEUES; j++)
				if (vcmdq_open(&q[j], &vm, j, QUEUE_PAGE + j))
					_exit(2);
			put(model, RUN_DELAY, 100000);
			vcmdq_add(&q[0], NH_VA, IOVA);
			vcmdq_ring(&q[0]);
			if (write(fds[1], "x", 1) != 1)
				_exit(3);
			for (;;)
				pause();
		}
		close(fds[1]);
		ASSERT_EQ(1, read(fds[0], &c, 1));
		close(fds[0]);
		EXPECT_EQ(2, vintfs_in_use());
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		put(model, RUN_DELAY, 0);
		EXPECT_EQ(1, vintfs_in_use());
		EXPECT_TRUE(vintf_is_clean(2));
	}
	LANDS(PAGE_A, IOVA);
}

TEST_F(cmdqv, traces)
{
	struct vm *vm = &self->vm;
	uint32_t viommu, id;
	uint64_t page0;

	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, vintf_alloc(vm, &self->edu, vm->s2, &viommu, &page0));
	ASSERT_EQ(0, hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE), PAGE_SIZE,
				    &id));
	EXPECT_EQ(-EEXIST, hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE),
					  PAGE_SIZE, &(uint32_t){ 0 }));
	ASSERT_EQ(0, destroy(vm, id));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, traced("iommufd_viommu_alloc",
			    "viommu=%u type=0x2 hwpt=%u iommu=%s", viommu,
			    vm->s2, self->edu.smmu));
	EXPECT_EQ(1, traced("iommufd_hw_queue_alloc",
			    "hw_queue=%u viommu=%u type=0x1 index=0", id,
			    viommu));
	EXPECT_EQ(1, traced("iommufd_hw_queue_destroy", "id=%u viommu=%u", id,
			    viommu));
}

/* A guest enables its queue again and again while the VMM destroys it */

static atomic_bool flip_stop;
static atomic_ulong flips;

static void *flip(void *arg)
{
	volatile uint8_t *page0 = arg;

	while (!flip_stop) {
		put(page0, CONFIG, 1);
		put(page0, PROD, 3);
		put(page0, 0x80 + CONFIG, 1);
		flips++;
	}
	return NULL;
}

TEST_F_TIMEOUT(cmdqv, guest_races_with_the_end, 480)
{
	struct vm *vm = &self->vm;
	unsigned int i, lost = 0;
	uint64_t base, at;
	pthread_t thread;
	uint32_t viommu, id;
	uint8_t *page0;
	int rc;

	/* Order violations that a guest causes on its own queue do not count */
	put(model, POLICY, QUIET);
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, vintf_alloc(vm, &self->edu, vm->s2, &viommu, &at));
		page0 = mmap(NULL, PAGE0_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, vm->fd, at);
		ASSERT_NE(MAP_FAILED, (void *)page0);
		flip_stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, flip, page0));
		rc = hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE), PAGE_SIZE,
				    &id);
		if (rc) {
			ASSERT_EQ(-EIO, rc);
			lost++;
		} else {
			base = direct_base(2 * QUEUES);
			ASSERT_EQ(0, destroy(vm, id));
			/* The queue is gone, or does not run */
			if (get(model, VINTF(2) + VINTF_CONFIG) & 1) {
				EXPECT_NE(base, direct_base(2 * QUEUES));
				EXPECT_EQ(0, get(model, ALLOC(2 * QUEUES)) & 1);
			} else {
				lost++;
			}
		}
		flip_stop = true;
		pthread_join(thread, NULL);
		munmap(page0, PAGE0_SIZE);
		ASSERT_EQ(0, destroy(vm, viommu));
		ASSERT_TRUE(vintf_is_clean(2));
	}
	TH_LOG("%u of %u lost their VINTF, %lu writes", lost, i, flips);
	EXPECT_LT(0, flips);
	EXPECT_LT(lost, i);
	put(model, RESET, 1);
	put(model, POLICY, 0);
}

static void *toggle(void *arg)
{
	volatile uint8_t *page0 = arg;

	while (!flip_stop) {
		put(page0, CONFIG, 1);
		put(page0, CONFIG, 0);
	}
	return NULL;
}

/*
 * No queue that can run points to memory that a queue had, whether or not the
 * hardware accepts a base while the queue is enabled.
 */
static void toggle_one_vintf(struct __test_metadata *_metadata, struct vm *vm,
			     struct edu *edu, unsigned int *rounds,
			     unsigned int *stopped)
{
	uint64_t parking, at;
	uint32_t viommu, id;
	pthread_t thread;
	uint8_t *page0;
	int rc;

	ASSERT_EQ(0, vintf_alloc(vm, edu, vm->s2, &viommu, &at));
	page0 = mmap(NULL, PAGE0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     vm->fd, at);
	ASSERT_NE(MAP_FAILED, (void *)page0);
	parking = direct_base(2 * QUEUES);
	flip_stop = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle, page0));
	do {
		++*rounds;
		rc = hw_queue_alloc(vm, viommu, 0, IPA(QUEUE_PAGE), PAGE_SIZE,
				    &id);
		if (rc) {
			EXPECT_EQ(-EIO, rc);
		} else {
			rc = destroy(vm, id);
			EXPECT_EQ(0, rc);
		}
		if (!(get(model, VINTF(2) + VINTF_CONFIG) & 1))
			break;
		EXPECT_EQ(parking, direct_base(2 * QUEUES)) {
			rc = -EIO;
		}
		++*stopped;
	} while (!rc);
	flip_stop = true;
	pthread_join(thread, NULL);
	munmap(page0, PAGE0_SIZE);
	ASSERT_EQ(0, destroy(vm, viommu));
	ASSERT_TRUE(vintf_is_clean(2));
}

TEST_F_TIMEOUT(cmdqv, guest_toggles_its_queue, 600)
{
	static const uint32_t policies[] = { QUIET, QUIET | TAKE_BASE };
	unsigned int i, vintfs, rounds, stopped, lost;

	for (i = 0; i < 2; i++) {
		put(model, POLICY, policies[i]);
		rounds = stopped = 0;
		for (vintfs = 0; vintfs < 20; vintfs++)
			toggle_one_vintf(_metadata, &self->vm, &self->edu,
					 &rounds, &stopped);
		lost = get(model, LOST_BASES);
		TH_LOG("%u rounds, %u stopped, %u bases lost", rounds, stopped,
		       lost);
		EXPECT_EQ(!(policies[i] & TAKE_BASE), lost > 0);
		put(model, RESET, 1);
	}
	put(model, POLICY, 0);
}

/* Of 2 MiB, which need not be the default size */
static int huge_pages_free(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	int num = -1;

	if (f && fscanf(f, "%d", &num) != 1)
		num = -1;
	if (f)
		fclose(f);
	return num;
}

/*
 * A guest enables its queue just while the kernel writes the queue's base: when
 * the queue is destroyed, and when it is allocated.
 */
TEST_F(cmdqv, base_does_not_change)
{
	const uint64_t ipa = 0x04000000, size = 2 << 20;
	struct vm *vm = &self->vm;
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = vm->ioas,
		.length = size,
		.iova = ipa,
	};
	uint32_t viommu, id;
	int free, comes;
	uint64_t at;
	void *huge;

	put(model, POLICY, QUIET);
	for (comes = 0; comes < 2; comes++) {
		free = huge_pages_free();
		ASSERT_LT(0, free);
		huge = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB |
			    MAP_HUGE_2MB, -1, 0);
		ASSERT_NE(MAP_FAILED, huge);
		map.user_va = (uintptr_t)huge;
		ASSERT_EQ(0, xioctl(vm->fd, IOMMU_IOAS_MAP, &map));
		ASSERT_EQ(0, vintf_alloc(vm, &self->edu, vm->s2, &viommu, &at));
		EXPECT_EQ(1, get(model, VINTF(2) + VINTF_CONFIG) & 1);

		if (comes) {
			put(model, LOSE_BASE, 2 * QUEUES);
			EXPECT_EQ(-EIO, hw_queue_alloc(vm, viommu, 0, ipa, size,
						       &id));
		} else {
			ASSERT_EQ(0, hw_queue_alloc(vm, viommu, 0, ipa, size,
						    &id));
			put(model, LOSE_BASE, 2 * QUEUES);
			ASSERT_EQ(0, destroy(vm, id));
		}
		EXPECT_EQ(1 + comes, get(model, LOST_BASES));
		EXPECT_EQ(0, get(model, VINTF(2) + VINTF_CONFIG) & 1);
		EXPECT_EQ(-EIO, hw_queue_alloc(vm, viommu, 0, ipa, size, &id));

		/*
		 * The guest's IOAS has released the memory, and nobody has it
		 * yet
		 */
		ASSERT_EQ(0, ioas_unmap(vm, ipa, size));
		munmap(huge, size);
		EXPECT_EQ(free - 1, huge_pages_free());
		ASSERT_EQ(0, destroy(vm, viommu));
		EXPECT_TRUE(vintf_is_clean(2));
		EXPECT_EQ(free, huge_pages_free());
	}
	put(model, RESET, 1);
	put(model, POLICY, 0);
}

/* Hardware that does not stop */

/*
 * A queue that does not stop: its VINTF is disabled, but can be allocated again
 */
TEST_F(cmdqv, queue_does_not_stop)
{
	struct vm *vm = &self->vm;
	struct vcmdq q;
	uint32_t id;

	put(model, POLICY, QUIET);
	ASSERT_EQ(0, vcmdq_open(&q, vm, 0, QUEUE_PAGE));
	put(model, STATUS_OF, OF_QUEUES | OF_DISABLE | OF(QUEUES));
	put(model, STATUS_DELAY, NEVER);
	ASSERT_EQ(0, vcmdq_close(&q));
	put(model, STATUS_DELAY, 0);
	EXPECT_LT(0, kmsg_count(self->kmsg, "failed to disable"));
	EXPECT_EQ(0, get(model, VINTF(1) + VINTF_CONFIG) & 1);
	EXPECT_EQ(0, ioas_unmap(vm, GUEST_IPA, GUEST_PAGES * PAGE_SIZE));
	EXPECT_EQ(0, ioas_map(vm, 0, GUEST_PAGES, GUEST_IPA));
	EXPECT_EQ(-EIO, hw_queue_alloc(vm, vm->viommu, 0, IPA(QUEUE_PAGE),
				       PAGE_SIZE, &id));
	/* The ioctl still works */
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	EXPECT_EQ(0, invalidate_one(vm, NH_VA, IOVA));
	LANDS(PAGE_B, IOVA);
	put(model, RESET, 1);
	put(model, POLICY, 0);
}

/* Hardware with nothing for VMs */
TEST(no_vintf)
{
	struct iommu_hw_info_tegra241_cmdqv info = {};
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.data_len = sizeof(info),
		.data_uptr = (uintptr_t)&info,
		.in_data_type = IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
	};
	const char *lacks = getenv("LACKS");
	uint64_t page0;
	struct edu edu;
	struct vm vm;
	uint32_t id;

	if (!lacks || strcmp(lacks, "vintf"))
		SKIP(return, "needs a board with one VINTF");
	ASSERT_EQ(0, vm_build(&vm, &edu, 0, VM_S2));
	EXPECT_STREQ("1\n", edu_iommu_file(0, "types"));
	cmd.dev_id = edu.id;
	ASSERT_EQ(0, xioctl(vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(3, info.log2vcmdqs);
	EXPECT_EQ(-EOPNOTSUPP, vintf_alloc(&vm, &edu, vm.s2, &id, &page0));
	EXPECT_EQ(-EOPNOTSUPP, vintf_alloc(&vm, &edu, vm.ioas, &id, &page0));
	ASSERT_EQ(0, viommu_alloc(&vm, &edu, vm.s2, &id));
	vm_close(&vm, &edu);
}

/* The last test: it leaks a VINTF and a page */
FIXTURE(last)
{
	struct vm vm;
	struct edu edu;
};

FIXTURE_SETUP(last)
{
	model = model_map();
	ASSERT_NE(NULL, model);
	put(model, POLICY, QUIET);
	ASSERT_EQ(0, vm_build_vintf(&self->vm, &self->edu, 0, VM_TRANSLATES));
}

FIXTURE_TEARDOWN(last)
{
	put(model, STATUS_DELAY, 0);
	put(model, RESET, 1);
	put(model, POLICY, 0);
}

TEST_F(last, nothing_stops)
{
	int kmsg = kmsg_open();
	uint32_t id[VINTFS];
	uint64_t page0;
	struct vcmdq q;
	int i;

	ASSERT_EQ(0, vcmdq_open(&q, &self->vm, 0, QUEUE_PAGE));
	put(model, STATUS_OF, OF_VINTFS | OF_QUEUES | OF_DISABLE | OF_ALL);
	put(model, STATUS_DELAY, NEVER);
	ASSERT_EQ(0, vcmdq_close(&q));
	EXPECT_LT(0, kmsg_count(kmsg, "did not stop, its memory is leaked"));
	EXPECT_EQ(0, ioas_unmap(&self->vm, GUEST_IPA, GUEST_PAGES * PAGE_SIZE));
	vm_close(&self->vm, &self->edu);
	EXPECT_LT(0, kmsg_count(kmsg, "VINTF1 is leaked"));
	put(model, STATUS_DELAY, 0);

	/* The others can still be allocated, but this one cannot */
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_S2));
	for (i = 0; i < VINTFS - 2; i++)
		ASSERT_EQ(0, vintf_alloc(&self->vm, &self->edu, self->vm.s2,
					 &id[i], &page0));
	EXPECT_EQ(-ENOSPC, vintf_alloc(&self->vm, &self->edu, self->vm.s2,
				       &id[i], &page0));
	vm_close(&self->vm, &self->edu);
	close(kmsg);
}

TEST_HARNESS_MAIN
