// SPDX-License-Identifier: GPL-2.0
/*
 * Commands of a guest: which are taken, what each ends, and batches of them
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "edu-test-fixtures.h"

/* Commands that are accepted */

TEST_F(s1, unknown_opcodes)
{
	const uint8_t known[] = {
		CFGI_CD, CFGI_CD_ALL, TLBI_NH_ALL, TLBI_NH_ASID, TLBI_NH_VA,
		TLBI_NH_VAA, TLBI_NSNH_ALL,
	};
	struct vm *vm = &self->vm;
	unsigned int op, with_sid;

	for (op = 0; op < 256; op++) {
		if (memchr(known, op, sizeof(known)) || op == ATC_INV)
			continue;
		for (with_sid = 0; with_sid < 2; with_sid++) {
			EXPECT_EQ(-EIO, invalidate_one(vm,
					op | (with_sid ? CMD_0_SID(VSID) : 0), 0)) {
				TH_LOG("opcode %#x, SID %d", op, with_sid);
			}
		}
	}
	/* Only the SMMU of the board with CMDQ-V has ATS */
	EXPECT_EQ(edu_has_cmdqv() ? 0 : -EIO,
		  invalidate_one(vm, ATC_INV | CMD_0_SID(VSID), 52));
	EXPECT_EQ(-EIO, invalidate_one(vm, ATC_INV | CMD_0_SID(VSID + 1), 52));

	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_LANDS(PAGE_B, IOVA);
}

TEST_F(s1, reserved_bits)
{
	const uint64_t vmid = GENMASK(47, 32), asid = GENMASK(63, 48);
	const uint64_t sid = GENMASK(63, 32);
	const uint64_t range = GENMASK(16, 12) | GENMASK(24, 20);
	const uint64_t addr = GENMASK(63, 8) | CMD_1_LEAF;
	const struct {
		uint64_t cmd;
		uint64_t fields[2];
	} cmds[] = {
		{ TLBI_NSNH_ALL, { 0, 0 } },
		{ TLBI_NH_ALL, { vmid, 0 } },
		{ TLBI_NH_ASID, { vmid | asid, 0 } },
		{ TLBI_NH_VA, { vmid | asid | range, addr } },
		{ TLBI_NH_VAA, { vmid | range, addr } },
		{ CFGI_CD | CMD_0_SID(VSID), { sid, CMD_1_LEAF } },
		{ CFGI_CD_ALL | CMD_0_SID(VSID), { sid, 0 } },
	};
	struct vm *vm = &self->vm;
	unsigned int i, bit;
	uint64_t cmd[2];

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		for (bit = 8; bit < 128; bit++) {
			if (cmds[i].fields[bit / 64] & BIT(bit % 64))
				continue;
			cmd[0] = cmds[i].cmd;
			cmd[1] = 0;
			cmd[bit / 64] |= BIT(bit % 64);
			EXPECT_EQ(-EIO, invalidate_one(vm, cmd[0], cmd[1])) {
				TH_LOG("opcode %#x, bit %u of word %u",
				       (uint8_t)cmds[i].cmd, bit % 64, bit / 64);
			}
		}
		EXPECT_EQ(0, invalidate_one(vm, cmds[i].cmd, 0));
	}
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	EXPECT_LANDS(PAGE_B, IOVA);
}

TEST_F(s1, reserved_values)
{
	const uint64_t ops[] = { TLBI_NH_VA | CMD_0_ASID(GUEST_ASID), TLBI_NH_VAA };
	struct vm *vm = &self->vm;
	uint32_t i, n;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		/* A range or a level without a granule */
		for (n = 1; n < 32; n++) {
			EXPECT_EQ(-EIO, invalidate_one(vm, ops[i] | CMD_0_NUM(n), 0));
			EXPECT_EQ(-EIO, invalidate_one(vm, ops[i] | CMD_0_SCALE(n), 0));
		}
		for (n = 1; n < 4; n++)
			EXPECT_EQ(-EIO, invalidate_one(vm, ops[i], CMD_1_TTL(n)));
		/* A granule without a range and a level */
		for (n = 1; n < 4; n++)
			EXPECT_EQ(-EIO, invalidate_one(vm, ops[i], CMD_1_TG(n)));
		/* 16K has no leaves at level 1 */
		EXPECT_EQ(-EIO, invalidate_one(vm, ops[i], CMD_1_TG(2) | CMD_1_TTL(1)));

		for (n = 1; n < 4; n++) {
			EXPECT_EQ(0, invalidate_one(vm, ops[i] | CMD_0_NUM(1),
						    CMD_1_TG(n)));
			EXPECT_EQ(0, invalidate_one(vm, ops[i] | CMD_0_SCALE(1),
						    CMD_1_TG(n)));
			EXPECT_EQ(0, invalidate_one(vm, ops[i],
						    CMD_1_TG(n) | CMD_1_TTL(3)));
			EXPECT_EQ(0, invalidate_one(vm, ops[i],
						    CMD_1_TG(n) | CMD_1_TTL(2)));
		}
	}
	EXPECT_LANDS(PAGE_A, IOVA);
}

TEST_F(s1, unknown_vsid)
{
	struct vm *vm = &self->vm;
	const cmd_t cmds[] = {
		CMD(CFGI_CD | CMD_0_SID(VSID), 0),
		CMD(TLBI_NH_ALL, 0),
		CMD(CFGI_CD | CMD_0_SID(VSID + 1), 0),
	};
	uint32_t num = ARRAY_SIZE(cmds);
	int rid = edu_rid(0);

	EXPECT_EQ(-EIO, invalidate(vm, cmds, &num));
	EXPECT_EQ(2, num);
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD, 0));
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(0xffffffff), 0));
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD_ALL | CMD_0_SID(VSID + 1), 0));
	/* The guest cannot use the physical ID */
	ASSERT_LE(0, rid);
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(rid), 0));
	EXPECT_LANDS(PAGE_A, IOVA);

	/* Nor the ID of a destroyed vDEVICE */
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
}

TEST_F(s1, foreign_asid)
{
	struct vm *vm = &self->vm;

	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID + 1), 0));
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_VA | CMD_0_ASID(GUEST_ASID + 256), IOVA));
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID), 0));
	EXPECT_LANDS(PAGE_B, IOVA);
}

TEST_F(s1, changes_cd)
{
	const uint64_t cmds[] = { CFGI_CD, CFGI_CD_ALL };
	const uint64_t flush = TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID);
	struct vm *vm = &self->vm;
	struct s1 other;
	uint64_t *root;
	int i;

	s1_init(&other, vm, GUEST_ASID);
	s1_map(&other, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	for (i = 0; i < 2; i++) {
		int before = i ? PAGE_B : PAGE_A, after = i ? PAGE_A : PAGE_B;

		ASSERT_LANDS(before, IOVA);
		root = vm->s1.root;
		s1_set_root(&vm->s1, vm, other.root);
		other.root = root;
		/* The TLB still has the old table */
		EXPECT_LANDS(before, IOVA);
		EXPECT_EQ(0, invalidate_one(vm, flush, 0));
		EXPECT_LANDS(before, IOVA);
		EXPECT_EQ(0, invalidate_one(vm, cmds[i] | CMD_0_SID(VSID), 0));
		EXPECT_EQ(0, invalidate_one(vm, flush, 0));
		EXPECT_LANDS(after, IOVA);
	}
}

/* Commands that remove a stale translation of IOVA */

FIXTURE(stale)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_VARIANT(stale)
{
	uint64_t w0;
	uint64_t w1;
};

#define STALE_VARIANT(name, word0, word1) \
	FIXTURE_VARIANT_ADD(stale, name) { .w0 = (word0), .w1 = (word1) }

STALE_VARIANT(nh_va, NH_VA, IOVA);
STALE_VARIANT(nh_va_leaf, NH_VA, IOVA | CMD_1_LEAF);
STALE_VARIANT(nh_va_vmid, NH_VA | CMD_0_VMID(0xbeef), IOVA);
STALE_VARIANT(nh_va_level, NH_VA, IOVA | CMD_1_TG(1) | CMD_1_TTL(3));
STALE_VARIANT(nh_va_num, NH_VA | CMD_0_NUM(3),
	      (IOVA - 3 * GRANULE) | CMD_1_TG(1));
STALE_VARIANT(nh_va_scale, NH_VA | CMD_0_NUM(1) | CMD_0_SCALE(3),
	      (IOVA - 15 * GRANULE) | CMD_1_TG(1) | CMD_1_TTL(3) | CMD_1_LEAF);
STALE_VARIANT(nh_va_all, NH_VA | CMD_0_NUM(31) | CMD_0_SCALE(31), CMD_1_TG(1));
STALE_VARIANT(nh_vaa, TLBI_NH_VAA, IOVA);
STALE_VARIANT(nh_vaa_vmid, TLBI_NH_VAA | CMD_0_VMID(1), IOVA | CMD_1_LEAF);
STALE_VARIANT(nh_vaa_num, TLBI_NH_VAA | CMD_0_NUM(31), IOVA | CMD_1_TG(1));
STALE_VARIANT(nh_asid, TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID), 0);
STALE_VARIANT(nh_asid_vmid,
	      TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID) | CMD_0_VMID(0xffff), 0);
STALE_VARIANT(nh_all, TLBI_NH_ALL, 0);
STALE_VARIANT(nh_all_vmid, TLBI_NH_ALL | CMD_0_VMID(2), 0);
STALE_VARIANT(nsnh_all, TLBI_NSNH_ALL, 0);

FIXTURE_SETUP(stale)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
}

FIXTURE_TEARDOWN(stale)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

TEST_F(stale, ends)
{
	ASSERT_LANDS(PAGE_A, IOVA);
	s1_map(&self->vm.s1, &self->vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	ASSERT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(&self->vm, variant->w0, variant->w1));
	EXPECT_LANDS(PAGE_B, IOVA);
}

/* Batches */

static void fill(cmd_t *cmds, uint32_t num)
{
	uint32_t i;

	/* An unused page */
	for (i = 0; i < num; i++)
		cmds[i] = CMD(NH_VA, IOVA + 100 * PAGE_SIZE);
}

TEST_F_TIMEOUT(s1, batch_sizes, 600)
{
	const uint32_t sizes[] = { 1, 2, 62, 63, 64, 65, 1000, 1 << 19 };
	const uint32_t max = sizes[ARRAY_SIZE(sizes) - 1];
	struct vm *vm = &self->vm;
	cmd_t *cmds = calloc(max, sizeof(*cmds));
	unsigned int i;
	uint32_t num;

	ASSERT_NE(NULL, cmds);
	fill(cmds, max);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		int after = i % 2 ? PAGE_A : PAGE_B;

		s1_map(&vm->s1, vm, IOVA, IPA(after), PTE_PAGE);
		num = sizes[i];
		cmds[num - 1] = CMD(NH_VA, IOVA);
		EXPECT_EQ(0, invalidate(vm, cmds, &num));
		EXPECT_EQ(sizes[i], num);
		EXPECT_LANDS(after, IOVA) {
			TH_LOG("batch of %u", sizes[i]);
		}
		fill(cmds + sizes[i] - 1, 1);
	}
	free(cmds);
}

/* The tracepoints show each call of the VMM */
TEST_F(s1, traces)
{
	struct vm *vm = &self->vm;
	const char *bdf = self->edu.bdf;
	uint32_t id, hwpt, vdevice = vm->vdevice, num;
	cmd_t cmds[] = {
		CMD(CFGI_CD | CMD_0_SID(VSID), 0), CMD(NH_VA, IOVA), CMD(NH_VA, IOVA),
		CMD(CMD_SYNC, 0), CMD(NH_VA, IOVA),
	};

	ASSERT_EQ(0, trace_start());

	EXPECT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &id));
	EXPECT_EQ(-ENOENT, viommu_alloc(vm, &self->edu, vm->ioas, &hwpt));
	EXPECT_EQ(0, destroy(vm, id));
	EXPECT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &hwpt));
	EXPECT_EQ(0, edu_attach(&self->edu, hwpt));
	EXPECT_EQ(-EINVAL, edu_attach(&self->edu, vm->viommu));
	num = ARRAY_SIZE(cmds);
	EXPECT_EQ(-EIO, invalidate(vm, cmds, &num));
	EXPECT_EQ(0, invalidate_one(vm, NH_VA, IOVA));
	EXPECT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_EQ(0, destroy(vm, vdevice));
	EXPECT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	EXPECT_EQ(0, destroy(vm, hwpt));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));

	EXPECT_EQ(1, traced("iommufd_viommu_alloc", "viommu=%u type=0x1 hwpt=%u iommu=%s",
			    id, vm->s2, self->edu.smmu));
	EXPECT_EQ(1, traced("iommufd_viommu_destroy", "id=%u viommu=%u", id, id));
	EXPECT_EQ(1, traced("iommufd_viommu_hwpt_alloc", "hwpt=%u viommu=%u dev=%s",
			    hwpt, vm->viommu, bdf));
	EXPECT_EQ(1, traced("iommufd_device_attach", "dev=%s pasid=0 pt=%u ret=0", bdf, hwpt));
	EXPECT_EQ(1, traced("iommufd_device_attach", "dev=%s pasid=0 pt=%u ret=-22", bdf, vm->viommu));
	EXPECT_EQ(1, traced("iommufd_viommu_invalidate",
			    "viommu=%u type=0x1 num=5 done=3 ret=-5", vm->viommu));
	EXPECT_EQ(1, traced("iommufd_viommu_invalidate",
			    "viommu=%u type=0x1 num=1 done=1 ret=0", vm->viommu));
	EXPECT_EQ(1, traced("arm_smmu_viommu_cmds",
			    "smmu=[^ ]+ vmid=[1-9][0-9]* cfgi=1 tlbi=2 atc=0 done=3 ret=-5"));
	EXPECT_EQ(1, traced("arm_smmu_viommu_cmds",
			    "smmu=[^ ]+ vmid=[1-9][0-9]* cfgi=0 tlbi=1 atc=0 done=1 ret=0"));
	EXPECT_EQ(1, traced("iommufd_device_attach", "dev=%s pasid=0 pt=%u ret=0", bdf, vm->bypass));
	EXPECT_EQ(1, traced("iommufd_vdevice_destroy", "id=%u viommu=%u", vdevice, vm->viommu));
	EXPECT_EQ(1, traced("iommufd_vdevice_alloc", "vdevice=%u viommu=%u virt_id=%#x dev=%s",
			    vm->vdevice, vm->viommu, VSID, bdf));
	EXPECT_EQ(1, traced("iommufd_viommu_hwpt_destroy", "id=%u viommu=%u", hwpt, vm->viommu));
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* A killed process need not wait for its commands to complete */
TEST_F_TIMEOUT(s1, batch_is_killed, 600)
{
	const uint32_t max = 1 << 18;
	struct vm *vm = &self->vm;
	cmd_t *cmds = calloc(max, sizeof(*cmds));
	struct iommu_hwpt_invalidate *cmd;
	uint64_t whole = 0, started;
	int status, try;
	uint32_t num;
	pid_t child;

	ASSERT_NE(NULL, cmds);
	/* The trace shows what the kernel returned to a process that is gone */
	cmd = mmap(NULL, sizeof(*cmd), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, cmd);
	/* Each pair needs a CMD_SYNC */
	for (num = 0; num < max; num += 2) {
		cmds[num] = CMD(CFGI_CD | CMD_0_SID(VSID), 0);
		cmds[num + 1] = CMD(NH_VA, IOVA);
	}
	/*
	 * The first call is not killed. Another one proves nothing if it is
	 * killed before it begins or when most of it is done.
	 */
	for (try = 0; try < 20; try++) {
		*cmd = (struct iommu_hwpt_invalidate){
			.size = sizeof(*cmd),
			.hwpt_id = vm->viommu,
			.data_uptr = (uintptr_t)cmds,
			.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
			.entry_len = sizeof(*cmds),
			.entry_num = max,
		};
		started = now_ms();
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, cmd) ||
			      cmd->entry_num != max);
		if (try) {
			usleep(whole * 100 / (1 + try % 4));
			ASSERT_EQ(0, kill(child, SIGKILL));
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		if (!try) {
			ASSERT_EQ(0, status);
			whole = now_ms() - started;
			continue;
		}
		if (status)
			ASSERT_EQ(SIGKILL, status);
		if (cmd->entry_num && cmd->entry_num < max / 2)
			break;
	}
	EXPECT_LT(try, 20) {
		TH_LOG("of %u commands %u done, %llu ms for all", max,
		       cmd->entry_num, (unsigned long long)whole);
	}
	EXPECT_LANDS(PAGE_A, IOVA);
	munmap(cmd, sizeof(*cmd));
	free(cmds);
}

/* Put one bad command at an index, and check that it divides the batch */
TEST_F_TIMEOUT(s1, batch_errors, 480)
{
	const uint32_t where[] = { 0, 1, 62, 63, 64, 65, 127, 199 };
	const cmd_t bad[] = {
		CMD(CMD_SYNC, 0),
		CMD(CFGI_CD | CMD_0_SID(VSID + 1), 0),
		CMD(NH_VA, CMD_1_TG(1)),
	};
	const uint64_t first = IOVA, before = IOVA + PAGE_SIZE;
	const uint64_t after = IOVA + 2 * PAGE_SIZE;
	struct vm *vm = &self->vm;
	cmd_t cmds[200];
	unsigned int i, j;
	uint32_t num;

	for (i = 0; i < ARRAY_SIZE(where); i++) {
		uint32_t k = where[i];

		fill(cmds, ARRAY_SIZE(cmds));
		if (k > 1)
			cmds[0] = CMD(NH_VA, first);
		if (k > 0)
			cmds[k - 1] = CMD(NH_VA, before);
		cmds[k] = bad[i % ARRAY_SIZE(bad)];
		if (k + 1 < ARRAY_SIZE(cmds))
			cmds[k + 1] = CMD(NH_VA, after);

		ASSERT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
		for (j = 0; j < 3; j++) {
			s1_map(&vm->s1, vm, IOVA + j * PAGE_SIZE,
			       IPA(PAGE_A + j), PTE_PAGE);
			ASSERT_LANDS((int)(PAGE_A + j), IOVA + j * PAGE_SIZE);
			s1_map(&vm->s1, vm, IOVA + j * PAGE_SIZE,
			       IPA(PAGE_D + j), PTE_PAGE);
		}

		num = ARRAY_SIZE(cmds);
		EXPECT_EQ(-EIO, invalidate(vm, cmds, &num));
		EXPECT_EQ(k, num);
		EXPECT_LANDS(k > 1 ? PAGE_D : PAGE_A, first);
		EXPECT_LANDS(k > 0 ? PAGE_E : PAGE_B, before);
		EXPECT_LANDS(PAGE_C, after) {
			TH_LOG("bad command at %u", k);
		}
	}
}

/*
 * Commands up to the end of the mapping of the VMM's buffer. The kernel may
 * stop slightly earlier, at a command that it could have read, but must return
 * what it has done.
 */
TEST_F_TIMEOUT(s1, batch_fault, 240)
{
	const uint32_t good[] = { 0, 1, 2, 63, 64, 100, 200 };
	const uint64_t last = IOVA + PAGE_SIZE;
	struct vm *vm = &self->vm;
	unsigned int i, shift;
	uint32_t num;
	uint8_t *end;

	end = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += PAGE_SIZE;
	ASSERT_EQ(0, munmap(end, PAGE_SIZE));

	for (i = 0; i < 2 * ARRAY_SIZE(good); i++) {
		uint32_t n = good[i / 2], early = n > 5 ? n - 5 : 0;
		/* Every second time half of a command is mapped */
		cmd_t *cmds = (void *)(end - i % 2 * 8 - n * sizeof(*cmds));

		ASSERT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
		for (shift = 0; shift < 4; shift += 2) {
			s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A + shift), PTE_PAGE);
			s1_map(&vm->s1, vm, last, IPA(PAGE_B + shift), PTE_PAGE);
			ASSERT_LANDS(PAGE_A, IOVA);
			ASSERT_LANDS(PAGE_B, last);
		}
		fill(cmds, n);
		if (n > 0)
			cmds[n - 1] = CMD(NH_VA, last);
		if (n > 1)
			cmds[early] = CMD(NH_VA, IOVA);

		num = 300;
		EXPECT_EQ(-EFAULT, invalidate(vm, cmds, &num));
		EXPECT_GE(n, num);
		EXPECT_LT((int)n - 4, (int)num);
		EXPECT_LANDS(n > 1 && num > early ? PAGE_C : PAGE_A, IOVA);
		EXPECT_LANDS(n > 0 && num == n ? PAGE_D : PAGE_B, last) {
			TH_LOG("%u commands, %u done", n, num);
		}
	}
}

TEST_HARNESS_MAIN
