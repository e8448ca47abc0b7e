// SPDX-License-Identifier: GPL-2.0
/*
 * Two devices: in two VMs or in one, behind one SMMU or two, in one group
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edu-test-fixtures.h"

/* Two devices */

FIXTURE(pair)
{
	struct vm vm[2];
	struct edu edu[2];
	int kmsg;
};

FIXTURE_SETUP(pair)
{
	ASSERT_LE(2, edu_count());
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(pair)
{
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

#define ASSERT_NTH_LANDS(page, nth, in, iova) \
	ASSERT_EQ(page, edu_lands(&self->edu[nth], &self->vm[in], iova))
#define EXPECT_NTH_LANDS(page, nth, in, iova) \
	EXPECT_EQ(page, edu_lands(&self->edu[nth], &self->vm[in], iova))

/* Same addresses, same ASID, another VM */
TEST_F_TIMEOUT(pair, two_vms, 240)
{
	const cmd_t cmds[] = {
		CMD(TLBI_NSNH_ALL, 0),
		CMD(TLBI_NH_ALL, 0),
		CMD(TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID), 0),
		CMD(TLBI_NH_VAA, IOVA),
	};
	unsigned int i, j;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, vm_build(&self->vm[i], &self->edu[i], i, VM_TRANSLATES));
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		struct vm *vm = &self->vm[i % 2], *other = &self->vm[!(i % 2)];
		struct edu *edu = &self->edu[i % 2], *other_edu = &self->edu[!(i % 2)];

		for (j = 0; j < 2; j++) {
			s1_map(&self->vm[j].s1, &self->vm[j], IOVA, IPA(PAGE_A),
			       PTE_PAGE);
			ASSERT_EQ(0, invalidate_one(&self->vm[j], TLBI_NH_ALL, 0));
			ASSERT_NTH_LANDS(PAGE_A, j, j, IOVA);
			EXPECT_EQ(NOWHERE, vm_find_token(&self->vm[!j],
							 self->edu[j].token, 0));
			s1_map(&self->vm[j].s1, &self->vm[j], IOVA, IPA(PAGE_B),
			       PTE_PAGE);
		}
		EXPECT_EQ(0, invalidate_one(vm, cmds[i].cmd[0], cmds[i].cmd[1]));
		EXPECT_EQ(PAGE_B, edu_lands(edu, vm, IOVA));
		EXPECT_EQ(PAGE_A, edu_lands(other_edu, other, IOVA)) {
			TH_LOG("opcode %#x", (uint8_t)cmds[i].cmd[0]);
		}
		EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID + !(i % 2)), 0));
	}
	for (i = 0; i < 2; i++)
		vm_close(&self->vm[i], &self->edu[i]);
}

/* Add the second device to the first VM, up to the bypass of @viommu */
static int join(struct vm *vm, struct edu *edu, uint32_t viommu)
{
	uint32_t bypass;
	int rc;

	rc = nested_alloc(vm, edu, viommu, STE_BYPASS, 0, &bypass);
	if (!rc)
		rc = edu_attach(edu, bypass);
	return rc ? rc : edu_load_token(edu, vm);
}

/* The guest's IDs are swapped: each device has the physical ID of the other */
TEST_F(pair, vsids)
{
	struct vm *vm = &self->vm[0];
	int rid[] = { edu_rid(0), edu_rid(1) };
	uint32_t hwpt, id;
	struct s1 s1[2], other[2];
	int i;

	if (!edu_same_smmu(0, 1))
		SKIP(return, "needs both devices behind one SMMU");
	ASSERT_EQ(0, vm_build(vm, &self->edu[0], 0, VM_BYPASS));
	ASSERT_EQ(0, edu_open(&self->edu[1], 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));
	ASSERT_EQ(0, join(vm, &self->edu[1], vm->viommu));

	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[0], vm->viommu, rid[1], &id));
	EXPECT_EQ(-EEXIST, vdevice_alloc(vm, &self->edu[1], vm->viommu, rid[1], &id));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[1], vm->viommu, rid[0], &id));
	for (i = 0; i < 2; i++) {
		s1_init(&s1[i], vm, 10 + i);
		s1_map(&s1[i], vm, IOVA, IPA(PAGE_A + i), PTE_PAGE);
		s1_init(&other[i], vm, 10 + i);
		s1_map(&other[i], vm, IOVA, IPA(PAGE_C + i), PTE_PAGE);
		ASSERT_EQ(0, s1_hwpt_alloc(&s1[i], vm, &self->edu[i], &hwpt));
		ASSERT_EQ(0, edu_attach(&self->edu[i], hwpt));
		ASSERT_NTH_LANDS(PAGE_A + i, i, 0, IOVA);
	}

	/* Only the device with the named vSID reads its CD again */
	for (i = 0; i < 2; i++)
		s1_set_root(&s1[i], vm, other[i].root);
	EXPECT_EQ(0, invalidate_one(vm, CFGI_CD | CMD_0_SID(rid[1]), 0));
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_NTH_LANDS(PAGE_C, 0, 0, IOVA);
	EXPECT_NTH_LANDS(PAGE_B, 1, 0, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, CFGI_CD_ALL | CMD_0_SID(rid[0]), 0));
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_NTH_LANDS(PAGE_D, 1, 0, IOVA);
	edu_close(&self->edu[1]);
	vm_close(vm, &self->edu[0]);
}

/* Two vIOMMUs on one stage 2: the same ASID means another page table in each */
TEST_F_TIMEOUT(pair, two_viommus, 240)
{
	struct vm *vm = &self->vm[0], second;
	uint32_t vdevice, hwpt;
	struct s1 s1;
	int i;

	ASSERT_EQ(0, vm_build(vm, &self->edu[0], 0, VM_TRANSLATES));
	ASSERT_EQ(0, edu_open(&self->edu[1], 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));
	second = *vm;
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu[1], vm->s2, &second.viommu));
	ASSERT_EQ(0, join(vm, &self->edu[1], second.viommu));
	/* The same ID as the first device: each vIOMMU has its own IDs */
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[1], second.viommu, VSID, &vdevice));
	s1_init(&s1, &second, GUEST_ASID);
	s1_map(&s1, &second, IOVA, IPA(PAGE_B), PTE_PAGE);
	s1_map(&s1, &second, IOVA + PAGE_SIZE, SPARE_IPA, PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&s1, &second, &self->edu[1], &hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu[1], hwpt));
	vm->tables = second.tables;
	s1_map(&vm->s1, vm, IOVA + PAGE_SIZE, SPARE_IPA, PTE_PAGE);

	ASSERT_NTH_LANDS(PAGE_A, 0, 0, IOVA);
	ASSERT_NTH_LANDS(PAGE_B, 1, 0, IOVA);

	/* Commands stay within a vIOMMU */
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_C), PTE_PAGE);
	s1_map(&s1, vm, IOVA, IPA(PAGE_D), PTE_PAGE);
	EXPECT_EQ(0, invalidate_one(&second, TLBI_NSNH_ALL, 0));
	EXPECT_NTH_LANDS(PAGE_A, 0, 0, IOVA);
	EXPECT_NTH_LANDS(PAGE_D, 1, 0, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID), 0));
	EXPECT_NTH_LANDS(PAGE_C, 0, 0, IOVA);

	/* Changes of stage 2 reach all */
	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
	for (i = 0; i < 2; i++)
		ASSERT_NTH_LANDS(PAGE_E, i, 0, IOVA + PAGE_SIZE);
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	for (i = 0; i < 2; i++)
		EXPECT_NTH_LANDS(NOWHERE, i, 0, IOVA + PAGE_SIZE);
	ASSERT_EQ(0, ioas_map(vm, PAGE_F, 1, SPARE_IPA));
	for (i = 0; i < 2; i++)
		EXPECT_NTH_LANDS(PAGE_F, i, 0, IOVA + PAGE_SIZE);

	/* One of them attached to the parent itself */
	ASSERT_EQ(0, edu_attach(&self->edu[1], vm->s2));
	EXPECT_NTH_LANDS(PAGE_F, 1, 0, SPARE_IPA);
	EXPECT_NTH_LANDS(PAGE_F, 0, 0, IOVA + PAGE_SIZE);
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_NTH_LANDS(NOWHERE, 1, 0, SPARE_IPA);
	EXPECT_NTH_LANDS(NOWHERE, 0, 0, IOVA + PAGE_SIZE);
	edu_close(&self->edu[1]);
	vm_close(vm, &self->edu[0]);
}

/* A VM's memory has one page table for any number of vIOMMUs and SMMUs */
TEST_F(pair, tables_once)
{
	/* As many tables of the last level; the device only reaches some */
	const unsigned int areas = 48;
	const uint64_t first = 0x09000000, apart = PAGE_SIZE / 8 * PAGE_SIZE;
	const uint64_t reach = (DEVICE_END - 1 - first) / apart;
	const uint64_t last = first + (reach < areas ? reach : areas - 1) * apart;
	struct vm *vm = &self->vm[0];
	uint32_t viommu;
	long before, once;
	unsigned int i;

	ASSERT_EQ(0, vm_build(vm, &self->edu[0], 0, VM_BOUND));
	for (i = 0; i < areas; i++)
		ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, first + i * apart));
	before = vmstat("nr_iommu_pages");
	ASSERT_LE(0, before);
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu[0], vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT, &vm->s2));
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu[0], vm->s2, &vm->viommu));
	ASSERT_EQ(0, join(vm, &self->edu[0], vm->viommu));
	once = vmstat("nr_iommu_pages") - before;
	ASSERT_LE(areas, once);

	ASSERT_EQ(0, edu_open(&self->edu[1], 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu[1], vm->s2, &viommu));
	ASSERT_EQ(0, join(vm, &self->edu[1], viommu));
	EXPECT_EQ(once, vmstat("nr_iommu_pages") - before);
	for (i = 0; i < 2; i++)
		EXPECT_NTH_LANDS(PAGE_E, i, 0, last);

	ASSERT_EQ(0, edu_attach(&self->edu[1], vm->s2));
	EXPECT_EQ(once, vmstat("nr_iommu_pages") - before);
	EXPECT_NTH_LANDS(PAGE_E, 1, 0, first);
	edu_close(&self->edu[1]);
	vm_close(vm, &self->edu[0]);
}

/* Each device has a vIOMMU and a stage 1 that maps IOVA to SPARE_IPA */
static int pair_build(struct vm *vm, struct edu *edu, uint32_t *second)
{
	uint32_t id, hwpt;
	struct s1 s1;
	int i, rc;

	rc = vm_build(vm, &edu[0], 0, VM_VDEVICE);
	if (!rc)
		rc = edu_open(&edu[1], 1);
	if (!rc)
		rc = edu_bind(&edu[1], vm->fd);
	if (!rc)
		rc = viommu_alloc(vm, &edu[1], vm->s2, second);
	if (!rc)
		rc = join(vm, &edu[1], *second);
	if (!rc)
		rc = vdevice_alloc(vm, &edu[1], *second, VSID, &id);
	for (i = 0; i < 2 && !rc; i++) {
		struct vm slice = *vm;

		if (i)
			slice.viommu = *second;
		s1_init(&s1, &slice, GUEST_ASID);
		s1_map(&s1, &slice, IOVA, SPARE_IPA, PTE_PAGE);
		vm->tables = slice.tables;
		vm->cds = slice.cds;
		rc = s1_hwpt_alloc(&s1, &slice, &edu[i], &hwpt);
		if (!rc)
			rc = edu_attach(&edu[i], hwpt);
	}
	return rc;
}

/*
 * After an unmap returns no write that either device has started lands any more
 */
TEST_F_TIMEOUT(pair, unmap_under_dma, 600)
{
	struct vm *vm = &self->vm[0];
	int i, j, judged = 0;
	uint32_t second;
	bool later;

	ASSERT_EQ(0, pair_build(vm, self->edu, &second));
	for (i = 0; i < 200 && judged < 10; i++) {
		int page = i % 2 ? PAGE_E : PAGE_F;

		ASSERT_EQ(0, ioas_map(vm, page, 1, SPARE_IPA));
		/* Fills the TLBs of both */
		for (j = 0; j < 2; j++)
			ASSERT_NTH_LANDS(page, j, 0, IOVA);
		*(uint64_t *)vm_page(vm, page) = 0;
		/* The device waits before it writes */
		for (j = 0; j < 2; j++)
			edu_dma_start(&self->edu[j], true, IOVA, sizeof(self->edu[j].token));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		later = edu_dma_runs(&self->edu[0]) && edu_dma_runs(&self->edu[1]);
		for (j = 0; j < 2; j++)
			ASSERT_EQ(0, edu_dma_wait(&self->edu[j]));
		/* Writes that complete before the unmap may land */
		if (!later)
			continue;
		judged++;
		EXPECT_EQ(0, *(uint64_t *)vm_page(vm, page)) {
			TH_LOG("round %d", i);
		}
	}
	EXPECT_EQ(10, judged);
	edu_close(&self->edu[1]);
	vm_close(vm, &self->edu[0]);
}

struct join_loop {
	struct vm *vm;
	struct edu *edu;
	atomic_bool stop;
	atomic_int count;
	atomic_int rc;
};

/*
 * A device joins the VM, alternately behind a vIOMMU and without one, and
 * leaves
 */
static void *join_loop(void *arg)
{
	struct join_loop *loop = arg;
	struct vm *vm = loop->vm;
	uint32_t viommu, bypass;
	int i, rc = 0;

	for (i = 0; !loop->stop && !rc; i++) {
		if (i % 2) {
			rc = viommu_alloc(vm, loop->edu, vm->s2, &viommu);
			if (!rc)
				rc = nested_alloc(vm, loop->edu, viommu, STE_BYPASS, 0, &bypass);
			if (!rc)
				rc = edu_attach(loop->edu, bypass);
		} else {
			rc = edu_attach(loop->edu, vm->s2);
		}
		/* Most of them leave without a DMA */
		if (!rc && i % 16 < 2)
			rc = edu_dma(loop->edu, true, SPARE_IPA, sizeof(loop->edu->token));
		if (!rc)
			rc = edu_detach(loop->edu);
		if (i % 2 && !rc)
			rc = destroy(vm, bypass);
		if (i % 2 && !rc)
			rc = destroy(vm, viommu);
		loop->count++;
	}
	loop->rc = rc;
	return NULL;
}

/*
 * Stage 2 changes while uses of it are added and removed: after an unmap no
 * write of either device lands.
 */
TEST_F_TIMEOUT(pair, join_and_leave, 600)
{
	struct vm *vm = &self->vm[0];
	struct join_loop loop = { .vm = vm, .edu = &self->edu[1] };
	pthread_t thread;
	int i, j;

	ASSERT_EQ(0, vm_build(vm, &self->edu[0], 0, VM_BYPASS));
	ASSERT_EQ(0, edu_open(&self->edu[1], 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));
	ASSERT_EQ(0, edu_attach(&self->edu[1], vm->s2));
	ASSERT_EQ(0, edu_load_token(&self->edu[1], vm));
	ASSERT_EQ(0, pthread_create(&thread, NULL, join_loop, &loop));
	for (i = 0; i < 20 || (loop.count <= 20 && !loop.rc); i++) {
		volatile uint64_t *page = vm_page(vm, i % 2 ? PAGE_E : PAGE_F);

		for (j = 0; j < 100; j++) {
			ASSERT_EQ(0, ioas_map(vm, PAGE_D, 1, SPARE_IPA));
			ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		}
		ASSERT_EQ(0, ioas_map(vm, i % 2 ? PAGE_E : PAGE_F, 1, SPARE_IPA));
		ASSERT_EQ(0, edu_dma(&self->edu[0], true, SPARE_IPA, sizeof(*page)));
		EXPECT_NE(0, *page);
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		*page = 0;
		ASSERT_EQ(0, edu_dma(&self->edu[0], true, SPARE_IPA, sizeof(*page)));
		usleep(150000);
		EXPECT_EQ(0, *page) {
			TH_LOG("round %d, %#llx", i, (unsigned long long)*page);
		}
	}
	loop.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, loop.rc);
	edu_close(&self->edu[1]);
	vm_close(vm, &self->edu[0]);
}

TEST_F(pair, errno_other_smmu)
{
	struct vm *vm = &self->vm[0];
	uint32_t id;

	if (edu_same_smmu(0, 1))
		SKIP(return, "needs the devices behind two SMMUs");
	ASSERT_EQ(0, vm_build(vm, &self->edu[0], 0, VM_TRANSLATES));
	ASSERT_EQ(0, edu_open(&self->edu[1], 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));

	EXPECT_EQ(-EINVAL, nested_alloc(vm, &self->edu[1], vm->viommu, STE_BYPASS, 0, &id));
	EXPECT_EQ(-EINVAL, vdevice_alloc(vm, &self->edu[1], vm->viommu, VSID + 1, &id));
	EXPECT_EQ(-EINVAL, edu_attach(&self->edu[1], vm->bypass));
	EXPECT_EQ(-EINVAL, edu_attach(&self->edu[1], vm->abort));
	EXPECT_EQ(-EINVAL, edu_attach(&self->edu[1], vm->s1_hwpt));
	EXPECT_NTH_LANDS(PAGE_A, 0, 0, IOVA);
	edu_close(&self->edu[1]);
	vm_close(vm, &self->edu[0]);
}

/* Two functions without isolation form one group */
FIXTURE(group)
{
	struct vm vm;
	struct edu edu[2];
	int kmsg;
};

#define GROUP_FIRST	2

FIXTURE_SETUP(group)
{
	if (!edu_same_group(GROUP_FIRST, GROUP_FIRST + 1))
		SKIP(return, "needs two edu functions in one group");
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu[0], GROUP_FIRST, VM_BYPASS));
	ASSERT_EQ(0, edu_open(&self->edu[1], GROUP_FIRST + 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], self->vm.fd));
	ASSERT_EQ(0, edu_attach(&self->edu[1], self->vm.bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu[1], &self->vm));
}

FIXTURE_TEARDOWN(group)
{
	edu_close(&self->edu[1]);
	vm_close(&self->vm, &self->edu[0]);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

#define EXPECT_BOTH_LAND(page, iova)						\
	do {									\
		for (int nth = 0; nth < 2; nth++)				\
			EXPECT_EQ(page, edu_lands(&self->edu[nth], &self->vm, iova)); \
	} while (0)

/*
 * An attach covers the whole group: if one function refuses, because it has no
 * vDEVICE, the other goes back. Try both, since one of them is attached first.
 */
TEST_F_TIMEOUT(group, one_refuses, 240)
{
	struct vm *vm = &self->vm;
	uint32_t s1, ids[2];
	int i;

	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu[0], &s1));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[i], vm->viommu, VSID + i, &ids[i]));
		EXPECT_EQ(-ENOENT, edu_attach(&self->edu[i], s1));
		EXPECT_EQ(-ENOENT, edu_attach(&self->edu[!i], s1));

		/* Both have the bypass, and changes of it affect both */
		EXPECT_BOTH_LAND(PAGE_B, IPA(PAGE_B));
		ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
		EXPECT_BOTH_LAND(PAGE_E, SPARE_IPA);
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_BOTH_LAND(NOWHERE, SPARE_IPA);
		ASSERT_EQ(0, destroy(vm, ids[i]));
	}

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[i], vm->viommu, VSID + i, &ids[i]));
	ASSERT_EQ(0, edu_attach(&self->edu[1], s1));
	EXPECT_BOTH_LAND(PAGE_A, IOVA);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	ASSERT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_BOTH_LAND(PAGE_B, IOVA);
	ASSERT_EQ(0, edu_attach(&self->edu[0], vm->bypass));
	EXPECT_BOTH_LAND(PAGE_C, IPA(PAGE_C));
	EXPECT_EQ(0, destroy(vm, s1));
}

TEST_HARNESS_MAIN
