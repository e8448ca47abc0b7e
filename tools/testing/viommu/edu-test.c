// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the SMMUv3 side of vIOMMUs from the outside, without a VMM: the
 * program is host user space, VMM and guest in one. It builds a guest's context
 * descriptor and page tables in its own memory and checks where the DMA of an
 * assigned edu device goes. So each test checks bytes in memory, a returned
 * value or an errno.
 *
 * The tests rely on stale translations: QEMU's SMMUv3 keeps cached translations
 * until they are invalidated.
 *
 * Expects edu devices (1234:11e8) bound to vfio-pci, see tests/edu. With one
 * device the tests that need two are skipped. Options: see -h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>

#include "edu-test-fixtures.h"

TEST_F(vm, hw_info)
{
	uint32_t data[12];
	const struct iommu_hw_info_arm_smmuv3 *info = (void *)data;
	struct iommu_hw_info good = {
		.size = sizeof(good),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.dev_id = self->edu.id,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)data,
		.in_data_type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
	};
	struct iommu_hw_info cmd = good;

	memset(data, 0xff, sizeof(data));
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_ARM_SMMUV3, cmd.out_data_type);
	EXPECT_EQ(40, cmd.data_len);
	EXPECT_EQ(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
		  cmd.out_capabilities & IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	EXPECT_EQ(0, info->flags);
	EXPECT_EQ(0, info->__reserved);
	/* S1P, S2P, TTF AArch64, ASID16, VMID16 */
	EXPECT_EQ(0x4100b, info->idr[0] & 0x4100f);
	/* two-level stream table, TERM_MODEL, no stalls, little endian */
	EXPECT_EQ(0x0d400000, info->idr[0] & 0x1f600000);
	/* SIDSIZE, SSIDSIZE */
	EXPECT_EQ(16, info->idr[1] & 0x7ff);
	/* BBML 2, RIL */
	EXPECT_EQ(0x1400, info->idr[3] & 0x1c00);
	/* all granules, no DS, no VAX */
	EXPECT_EQ(0x70, info->idr[5] & 0xcf0);
	/* the rest of a larger buffer is cleared */
	EXPECT_EQ(0, data[10]);
	EXPECT_EQ(0, data[11]);

	cmd = good;
	cmd.flags = 0;
	cmd.in_data_type = 0;
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_ARM_SMMUV3, cmd.out_data_type);

	cmd = good;
	cmd.data_len = 16;
	data[4] = 0x5a5a5a5a;
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(40, cmd.data_len);
	EXPECT_EQ(0x5a5a5a5a, data[4]);

	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type, 1);
	if (!edu_has_cmdqv())
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good,
			       in_data_type, 3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type, 0xdeadbeef);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, flags, BIT(1));
	EXPECT_REFUSED(ENOENT, IOMMU_GET_HW_INFO, good, dev_id, self->vm.ioas);
}

TEST_F(vm, sysfs)
{
	EXPECT_STREQ(edu_has_cmdqv() ? "1 2\n" : "1\n",
		     edu_iommu_file(0, "types"));
	EXPECT_STREQ("1\n", edu_iommu_file(0, "nesting"));
	/* Only the SMMU of the board with CMDQ-V has ATS */
	EXPECT_STREQ(edu_has_cmdqv() ? "1\n" : "0\n", edu_iommu_file(0, "ats"));
	EXPECT_STREQ("0\n", edu_iommu_file(0, "max_pasid_log2"));
}

/* A device behind the guest's stage 1 */

TEST_F(s1, moves_bytes)
{
	struct vm *vm = &self->vm;
	uint8_t *from = vm_page(vm, PAGE_C), *to = vm_page(vm, PAGE_D);
	unsigned int i;

	s1_map(&vm->s1, vm, IOVA + 5 * PAGE_SIZE, IPA(PAGE_C), PTE_PAGE);
	s1_map(&vm->s1, vm, IOVA + 3 * PAGE_SIZE, IPA(PAGE_D), PTE_PAGE);
	for (i = 0; i < GRANULE; i++)
		from[i] = i * 7 + i / 256;
	memset(to, 0xee, GRANULE);

	ASSERT_EQ(0, edu_dma(&self->edu, false, IOVA + 5 * PAGE_SIZE, GRANULE));
	EXPECT_EQ(0xee, to[0]);
	ASSERT_EQ(0, edu_dma(&self->edu, true, IOVA + 3 * PAGE_SIZE, GRANULE));
	EXPECT_EQ(0, memcmp(from, to, GRANULE));
	for (i = 0; i < GRANULE; i++)
		ASSERT_EQ((uint8_t)(i * 7 + i / 256), from[i]);
}

TEST_F(s1, permissions)
{
	struct vm *vm = &self->vm;
	uint64_t *secret = vm_page(vm, PAGE_C), *seen = vm_page(vm, PAGE_A);

	s1_map(&vm->s1, vm, IOVA + PAGE_SIZE, IPA(PAGE_C), PTE_PAGE | PTE_READONLY);
	EXPECT_LANDS(NOWHERE, IOVA + PAGE_SIZE);
	/*
	 * not mapped in stage 1; not mapped in stage 2; an IPA, which is no
	 * IOVA
	 */
	EXPECT_LANDS(NOWHERE, IOVA + 2 * PAGE_SIZE);
	s1_map(&vm->s1, vm, IOVA + 3 * PAGE_SIZE, SPARE_IPA, PTE_PAGE);
	EXPECT_LANDS(NOWHERE, IOVA + 3 * PAGE_SIZE);
	EXPECT_LANDS(NOWHERE, IPA(PAGE_A));

	*secret = 0x5ec2e7;
	ASSERT_EQ(0, edu_dma(&self->edu, false, IOVA + PAGE_SIZE, sizeof(*secret)));
	ASSERT_EQ(0, edu_dma(&self->edu, true, IOVA, sizeof(*seen)));
	EXPECT_EQ(0x5ec2e7, *seen);
}

TEST_F(s1, bypass_and_abort)
{
	struct vm *vm = &self->vm;
	uint64_t *secret = vm_page(vm, PAGE_C), *seen = vm_page(vm, PAGE_A);
	uint32_t invalid;

	ASSERT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu, 0, 0, &invalid));

	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_LANDS(PAGE_C, IPA(PAGE_C));
	EXPECT_LANDS(NOWHERE, IOVA);
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	EXPECT_LANDS(PAGE_C, IPA(PAGE_C));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->abort));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_C));
	EXPECT_LANDS(NOWHERE, IOVA);
	ASSERT_EQ(0, edu_attach(&self->edu, invalid));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_C));
	EXPECT_LANDS(NOWHERE, IOVA);

	/* Reads fail as well */
	*secret = 0x5ec2e7;
	ASSERT_EQ(0, edu_dma(&self->edu, false, IPA(PAGE_C), sizeof(*secret)));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	ASSERT_EQ(0, edu_dma(&self->edu, true, IOVA, sizeof(*seen)));
	EXPECT_NE(0x5ec2e7, *seen);
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, edu_detach(&self->edu));
	EXPECT_LANDS(NOWHERE, IOVA);
}

TEST_F(s1, follows_stage_2)
{
	struct vm *vm = &self->vm;

	s1_map(&vm->s1, vm, IOVA + PAGE_SIZE, SPARE_IPA, PTE_PAGE);
	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
	ASSERT_LANDS(PAGE_E, IOVA + PAGE_SIZE);
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_LANDS(NOWHERE, IOVA + PAGE_SIZE);
	ASSERT_EQ(0, ioas_map(vm, PAGE_F, 1, SPARE_IPA));
	EXPECT_LANDS(PAGE_F, IOVA + PAGE_SIZE);
	/*
	 * The same under stage 2 alone, and back: nothing of either stays
	 * cached
	 */
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_LANDS(PAGE_F, SPARE_IPA);
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_LANDS(NOWHERE, SPARE_IPA);
	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
	EXPECT_LANDS(PAGE_E, SPARE_IPA);
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_E, IOVA + PAGE_SIZE);
	EXPECT_LANDS(PAGE_A, IOVA);
}

/* Replacement under running DMA */

struct dma_loop {
	struct vm *vm;
	struct edu *edu;
	atomic_bool stop;
	atomic_int count;
	atomic_int lost;
};

/* The IOVA that translates to PAGE_A and PAGE_B, and is the IPA of PAGE_C */
#define HITLESS_IOVA	IPA(PAGE_C)

static void *dma_loop(void *arg)
{
	struct dma_loop *loop = arg;

	while (!loop->stop) {
		int page = edu_lands(loop->edu, loop->vm, HITLESS_IOVA);

		if (page != PAGE_A && page != PAGE_B && page != PAGE_C)
			loop->lost++;
		loop->count++;
	}
	return NULL;
}

static void s1_pair(struct vm *vm, struct s1 s1[2])
{
	int i;

	for (i = 0; i < 2; i++) {
		s1_init(&s1[i], vm, 100 + i);
		s1_map(&s1[i], vm, HITLESS_IOVA, IPA(PAGE_A + i), PTE_PAGE);
	}
}

TEST_F_TIMEOUT(s1, replace_under_dma, 480)
{
	struct vm *vm = &self->vm;
	struct dma_loop loop = { .vm = vm, .edu = &self->edu };
	uint32_t hwpts[3] = { vm->bypass };
	struct s1 s1[2];
	pthread_t thread;
	int i, rc = 0;

	s1_pair(vm, s1);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, s1_hwpt_alloc(&s1[i], vm, &self->edu, &hwpts[i + 1]));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, pthread_create(&thread, NULL, dma_loop, &loop));
	for (i = 0; !rc && (i < 1000 || loop.count < 50); i++)
		rc = edu_attach(&self->edu, hwpts[i % 3]);
	loop.stop = true;
	pthread_join(thread, NULL);

	EXPECT_EQ(0, rc);
	EXPECT_EQ(0, loop.lost);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, edu_attach(&self->edu, hwpts[i]));
		EXPECT_LANDS(i ? PAGE_A + i - 1 : PAGE_C, HITLESS_IOVA);
	}
	EXPECT_EQ(0, kmsg_count(self->kmsg, SMMU_EVENT));
}

/* As in a VMM: each write of the guest's STE is a new HWPT */
TEST_F_TIMEOUT(s1, replace_and_destroy, 480)
{
	struct vm *vm = &self->vm;
	struct dma_loop loop = { .vm = vm, .edu = &self->edu };
	uint32_t old = vm->s1_hwpt, new;
	struct s1 s1[2];
	pthread_t thread;
	int i, rc = 0;

	s1_pair(vm, s1);
	s1_map(&vm->s1, vm, HITLESS_IOVA, IPA(PAGE_B), PTE_PAGE);
	ASSERT_EQ(0, pthread_create(&thread, NULL, dma_loop, &loop));
	for (i = 0; !rc && (i < 1000 || loop.count < 50); i++, old = new) {
		if (i % 3)
			rc = s1_hwpt_alloc(&s1[i % 2], vm, &self->edu, &new);
		else
			rc = nested_alloc(vm, &self->edu, vm->viommu, STE_BYPASS,
					  0, &new);
		if (!rc)
			rc = edu_attach(&self->edu, new);
		if (!rc)
			rc = destroy(vm, old);
	}
	loop.stop = true;
	pthread_join(thread, NULL);

	EXPECT_EQ(0, rc);
	EXPECT_EQ(0, loop.lost);
	EXPECT_EQ(0, kmsg_count(self->kmsg, SMMU_EVENT));
}

/* Interrupts of a device that only ever attaches to nested HWPTs */

TEST_F(vm, msi)
{
	struct vm *vm = &self->vm;
	int event = eventfd(0, EFD_NONBLOCK);
	uint64_t addr;

	ASSERT_LE(0, event);
	ASSERT_EQ(0, edu_irq_eventfd(&self->edu, event));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));

	/* The guest's stage 1 translates the doorbell as any other address */
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_EQ(0, edu_irq_raise(&self->edu, event, false));
	for (addr = MSI_WINDOW; addr < MSI_WINDOW + MSI_WINDOW_SIZE; addr += GRANULE)
		s1_map(&vm->s1, vm, addr, addr, PTE_PAGE);
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	EXPECT_LANDS(PAGE_A, IOVA);

	ASSERT_EQ(0, edu_attach(&self->edu, vm->abort));
	EXPECT_EQ(0, edu_irq_raise(&self->edu, event, false));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
}

/* An interrupt that is configured while stage 1 is on */
TEST_F(s1, msi)
{
	struct vm *vm = &self->vm;
	int event = eventfd(0, EFD_NONBLOCK);
	uint64_t addr;

	for (addr = MSI_WINDOW; addr < MSI_WINDOW + MSI_WINDOW_SIZE; addr += GRANULE)
		s1_map(&vm->s1, vm, addr, addr, PTE_PAGE);
	ASSERT_LE(0, event);
	ASSERT_EQ(0, edu_irq_eventfd(&self->edu, event));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
}

TEST_HARNESS_MAIN
