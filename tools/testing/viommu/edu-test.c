// SPDX-License-Identifier: GPL-2.0
/*
 * Test the SMMUv3 side of vIOMMUs from the outside, without a VMM: the program
 * is host user space, VMM and guest in one. It builds a guest's context
 * descriptor and page tables in memory of its own and watches where the DMA of
 * an assigned edu device goes, so a test is a statement about bytes in memory,
 * a returned value or an errno.
 *
 * Stale translations are taken for granted: this is for QEMU's SMMUv3, which
 * keeps what it has cached until it is told otherwise.
 *
 * Expects edu devices (1234:11e8) bound to vfio-pci, see tests/edu. With one,
 * the tests that need a pair are skipped. Options: see -h.
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
#include <time.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"

#define ASSERT_LANDS(page, iova) \
	ASSERT_EQ(page, edu_lands(&self->edu, &self->vm, iova))
#define EXPECT_LANDS(page, iova) \
	EXPECT_EQ(page, edu_lands(&self->edu, &self->vm, iova))

/* One device, attached to the bypass */

FIXTURE(vm)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(vm)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_BYPASS));
	ASSERT_LANDS(PAGE_B, IPA(PAGE_B));
}

FIXTURE_TEARDOWN(vm)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

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
	EXPECT_STREQ("0\n", edu_iommu_file(0, "ats"));
	EXPECT_STREQ("0\n", edu_iommu_file(0, "max_pasid_log2"));
}

/* The errno contract */

TEST_F(vm, errno_viommu_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_viommu_alloc good = {
		.size = sizeof(good),
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = self->edu.id,
		.hwpt_id = vm->s2,
	};
	struct iommu_viommu_alloc cmd = good;
	uint64_t data = 0;
	uint32_t plain;
	int bit;

	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &plain));

	/* bit 31 is an extension */
	for (bit = 0; bit < 31; bit++)
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, flags, BIT(bit));
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, __reserved, 1);
	if (!edu_has_cmdqv())
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type,
			       IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type, 3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type, 0xdeadbeef);

	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, hwpt_id, plain);
	EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, hwpt_id, vm->ioas);
	EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, hwpt_id, vm->bypass);
	EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, hwpt_id, vm->viommu);
	EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, hwpt_id, 0xffff);
	EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, dev_id, vm->s2);
	EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, dev_id, 0xffff);

	/* "Another parent helps" must not be said of a type that is not there */
	cmd.hwpt_id = plain;
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, cmd, type, 3);
	/* The type has no data */
	cmd = good;
	cmd.data_uptr = (uintptr_t)&data;
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, cmd, data_len, 8);

	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vm, errno_hwpt_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_hwpt_alloc parent = {
		.size = sizeof(parent),
		.flags = IOMMU_HWPT_ALLOC_NEST_PARENT,
		.dev_id = self->edu.id,
		.pt_id = vm->ioas,
	};
	const uint64_t ste[3] = { STE_BYPASS };
	struct iommu_hwpt_alloc nested = {
		.size = sizeof(nested),
		.dev_id = self->edu.id,
		.pt_id = vm->viommu,
		.data_type = IOMMU_HWPT_DATA_ARM_SMMUV3,
		.data_len = 16,
		.data_uptr = (uintptr_t)ste,
	};
	uint32_t vdevice;

	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vdevice));

	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, parent, flags,
		       IOMMU_HWPT_ALLOC_NEST_PARENT |
		       IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, parent, flags,
		       IOMMU_HWPT_ALLOC_NEST_PARENT | BIT(31));

	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, nested, flags,
		       IOMMU_HWPT_ALLOC_NEST_PARENT);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, nested, flags,
		       IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, nested, flags, BIT(31));
	/* The fault object is not looked for */
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, nested, flags,
		       IOMMU_HWPT_FAULT_ID_VALID);
	EXPECT_REFUSED(ENOENT, IOMMU_HWPT_ALLOC, nested, dev_id, vm->s2);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, pt_id, 0xffff);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, pt_id, vdevice);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, pt_id, vm->abort);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, data_type,
		       IOMMU_HWPT_DATA_VTD_S1);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, data_len, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, data_len, 8);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, data_len, 15);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, nested, data_len, 24);
	EXPECT_REFUSED(EFAULT, IOMMU_HWPT_ALLOC, nested, data_uptr, 8);

	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vm, errno_vste)
{
	const uint64_t fields[] = { STE_0_FIELDS, STE_1_FIELDS };
	const uint64_t bases[] = { STE_ABORT, STE_BYPASS, STE_S1 };
	struct vm *vm = &self->vm;
	uint64_t ste[2];
	uint32_t id;
	int i, bit;

	for (i = 0; i < 3; i++) {
		for (bit = 0; bit < 128; bit++) {
			if (fields[bit / 64] & BIT(bit % 64))
				continue;
			ste[0] = bases[i];
			ste[1] = 0;
			ste[bit / 64] |= BIT(bit % 64);
			EXPECT_EQ(-EIO, nested_alloc(vm, &self->edu, vm->viommu,
						     ste[0], ste[1], &id)) {
				TH_LOG("Config %d, bit %d of word %d", i ? i + 3 : 0,
				       bit % 64, bit / 64);
			}
		}
		EXPECT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu, bases[i],
					  STE_1_EATS(1), &id));
		EXPECT_EQ(-EIO, nested_alloc(vm, &self->edu, vm->viommu, bases[i],
					     STE_1_EATS(2), &id));
		EXPECT_EQ(-EIO, nested_alloc(vm, &self->edu, vm->viommu, bases[i],
					     STE_1_EATS(3), &id));
	}
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(i == 0 || i == 4 || i == 5 ? 0 : -EIO,
			  nested_alloc(vm, &self->edu, vm->viommu,
				       STE_0_V | STE_0_CONFIG(i), 0, &id)) {
			TH_LOG("Config %d", i);
		}
	}
	/* With V = 0 the rest says nothing */
	EXPECT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu, 0, 0, &id));
	EXPECT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu, ~STE_0_V, ~0ULL, &id));

	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vm, errno_vdevice_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_vdevice_alloc good = {
		.size = sizeof(good),
		.viommu_id = vm->viommu,
		.dev_id = self->edu.id,
		.virt_id = VSID,
	};

	EXPECT_REFUSED(EINVAL, IOMMU_VDEVICE_ALLOC, good, virt_id, BIT(32));
	EXPECT_REFUSED(EINVAL, IOMMU_VDEVICE_ALLOC, good, virt_id, BIT(32) + VSID);
	EXPECT_REFUSED(EINVAL, IOMMU_VDEVICE_ALLOC, good, virt_id, ~0ULL);
	EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, viommu_id, vm->s2);
	EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, viommu_id, 0xffff);
	EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, dev_id, vm->viommu);
	EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, dev_id, 0xffff);

	good.virt_id = 0xffffffff;
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_VDEVICE_ALLOC, &good));
	ASSERT_EQ(0, destroy(vm, good.out_vdevice_id));
	good.virt_id = VSID;
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_VDEVICE_ALLOC, &good));
	EXPECT_REFUSED(EEXIST, IOMMU_VDEVICE_ALLOC, good, virt_id, VSID);
	EXPECT_REFUSED(EEXIST, IOMMU_VDEVICE_ALLOC, good, virt_id, VSID + 1);

	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vm, errno_attach)
{
	struct vm *vm = &self->vm;
	uint32_t invalid, another;

	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &vm->s1_hwpt));
	ASSERT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu, 0, 0, &invalid));

	/* A guest's stage 1 needs a vDEVICE, and nothing else does */
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	EXPECT_EQ(0, edu_attach(&self->edu, vm->abort));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_B));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_B));
	EXPECT_EQ(0, edu_attach(&self->edu, invalid));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_B));
	EXPECT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));

	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, 0xffff));
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(-EINVAL, edu_attach(&self->edu, vm->viommu));
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(-EINVAL, edu_attach(&self->edu, vm->vdevice));
	EXPECT_LANDS(PAGE_A, IOVA);

	/* What is in force stays so, even if it could not be attached any more */
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &another));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, another));
	EXPECT_LANDS(PAGE_A, IOVA);
}

TEST_F(vm, errno_destroy)
{
	struct vm *vm = &self->vm;
	uint32_t viommu, vdevice;

	EXPECT_EQ(-EBUSY, destroy(vm, vm->ioas));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->bypass));
	EXPECT_EQ(-EBUSY, destroy(vm, self->edu.id));
	EXPECT_EQ(0, destroy(vm, vm->abort));
	EXPECT_EQ(-ENOENT, destroy(vm, vm->abort));
	EXPECT_EQ(-ENOENT, destroy(vm, 0xffff));

	/* A vDEVICE alone holds its vIOMMU, a vIOMMU alone its parent */
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &viommu));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, viommu, VSID, &vdevice));
	EXPECT_EQ(-EBUSY, destroy(vm, viommu));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	ASSERT_EQ(0, edu_detach(&self->edu));
	EXPECT_EQ(0, destroy(vm, vm->bypass));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	EXPECT_EQ(0, destroy(vm, vdevice));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	EXPECT_EQ(0, destroy(vm, viommu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	EXPECT_EQ(0, destroy(vm, vm->ioas));
}

TEST_F(vm, errno_sizes)
{
	struct vm *vm = &self->vm;
	const struct iommu_viommu_alloc viommu = {
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = self->edu.id,
		.hwpt_id = vm->s2,
	};
	const struct iommu_vdevice_alloc vdevice = {
		.viommu_id = vm->viommu,
		.dev_id = self->edu.id,
		.virt_id = VSID,
	};
	const struct iommu_hwpt_invalidate inval = {
		.hwpt_id = vm->viommu,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
	};
	const struct {
		unsigned long request;
		const void *good;
		size_t size;
	} ioctls[] = {
		{ IOMMU_VIOMMU_ALLOC, &viommu, 40 },
		{ IOMMU_VDEVICE_ALLOC, &vdevice, 24 },
		{ IOMMU_HWPT_INVALIDATE, &inval, 32 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		const void *good = ioctls[i].good;
		unsigned long request = ioctls[i].request;
		size_t size = ioctls[i].size;

		EXPECT_EQ(-EINVAL, resized(vm->fd, request, good, size, 0, 0));
		EXPECT_EQ(-EINVAL, resized(vm->fd, request, good, size, size - 1, 0));
		EXPECT_EQ(-E2BIG, resized(vm->fd, request, good, size, 256, 1));
		EXPECT_EQ(0, resized(vm->fd, request, good, size, 256, 0)) {
			TH_LOG("ioctl %#lx", request & 0xff);
		}
	}
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vm, errno_invalidate)
{
	struct vm *vm = &self->vm;
	cmd_t cmds[2] = { CMD(TLBI_NH_ALL, 0) };
	struct iommu_hwpt_invalidate good = {
		.size = sizeof(good),
		.hwpt_id = vm->viommu,
		.data_uptr = (uintptr_t)cmds,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.entry_len = sizeof(cmds[0]),
		.entry_num = 1,
	};
	struct iommu_hwpt_invalidate cmd = good;

	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_INVALIDATE, good, __reserved, 1);
	EXPECT_REFUSED(ENOENT, IOMMU_HWPT_INVALIDATE, good, hwpt_id, 0xffff);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, hwpt_id, vm->ioas);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, hwpt_id, vm->s2);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, hwpt_id, self->edu.id);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_INVALIDATE, good, hwpt_id, vm->bypass);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, data_type, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, data_type, 2);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, data_uptr, 0);
	EXPECT_REFUSED(EFAULT, IOMMU_HWPT_INVALIDATE, good, data_uptr, 8);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, 8);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, 15);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_num, (1 << 19) + 1);

	/* Longer ones are refused too, even if the rest is zero */
	cmds[1] = CMD(1, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, 24);
	cmds[1] = CMD(0, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, 24);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, 32);

	/* No entries: the question whether the type is supported */
	cmd = good;
	cmd.entry_num = 0;
	cmd.data_uptr = 0;
	EXPECT_EQ(0, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, cmd, data_type, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, cmd, data_type, 2);

	/* What was refused was not done */
	cmd = good;
	cmd.data_type = 2;
	EXPECT_EQ(-EINVAL, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(0, cmd.entry_num);
	cmd = good;
	cmd.entry_num = (1 << 19) + 1;
	EXPECT_EQ(-EINVAL, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(0, cmd.entry_num);

	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

/* A device behind the guest's stage 1 */

FIXTURE(s1)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(s1)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
	ASSERT_LANDS(PAGE_A, IOVA);
}

FIXTURE_TEARDOWN(s1)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

TEST_F(s1, moves_bytes)
{
	struct vm *vm = &self->vm;
	uint8_t *from = vm_page(vm, PAGE_C), *to = vm_page(vm, PAGE_D);
	unsigned int i;

	s1_map(&vm->s1, vm, IOVA + 5 * PAGE_SIZE, IPA(PAGE_C), PTE_PAGE);
	s1_map(&vm->s1, vm, IOVA + 3 * PAGE_SIZE, IPA(PAGE_D), PTE_PAGE);
	for (i = 0; i < PAGE_SIZE; i++)
		from[i] = i * 7 + i / 256;
	memset(to, 0xee, PAGE_SIZE);

	ASSERT_EQ(0, edu_dma(&self->edu, false, IOVA + 5 * PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(0xee, to[0]);
	ASSERT_EQ(0, edu_dma(&self->edu, true, IOVA + 3 * PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(0, memcmp(from, to, PAGE_SIZE));
	for (i = 0; i < PAGE_SIZE; i++)
		ASSERT_EQ((uint8_t)(i * 7 + i / 256), from[i]);
}

TEST_F(s1, permissions)
{
	struct vm *vm = &self->vm;
	uint64_t *secret = vm_page(vm, PAGE_C), *seen = vm_page(vm, PAGE_A);

	s1_map(&vm->s1, vm, IOVA + PAGE_SIZE, IPA(PAGE_C), PTE_PAGE | PTE_READONLY);
	EXPECT_LANDS(NOWHERE, IOVA + PAGE_SIZE);
	/* not mapped in stage 1; not mapped in stage 2; an IPA is not an IOVA */
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

	/* Reads do not get through either */
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
	/* Under stage 2 alone too, and back: nothing is left of either */
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

/* Commands: which are taken */

TEST_F(s1, unknown_opcodes)
{
	const uint8_t known[] = {
		CFGI_CD, CFGI_CD_ALL, TLBI_NH_ALL, TLBI_NH_ASID, TLBI_NH_VA,
		TLBI_NH_VAA, TLBI_NSNH_ALL,
	};
	struct vm *vm = &self->vm;
	unsigned int op, with_sid;

	for (op = 0; op < 256; op++) {
		if (memchr(known, op, sizeof(known)))
			continue;
		for (with_sid = 0; with_sid < 2; with_sid++) {
			EXPECT_EQ(-EIO, invalidate_one(vm,
					op | (with_sid ? CMD_0_SID(VSID) : 0), 0)) {
				TH_LOG("opcode %#x, SID %d", op, with_sid);
			}
		}
	}
	/* The hardware has no ATS */
	EXPECT_EQ(-EIO, invalidate_one(vm, 0x40 | CMD_0_SID(VSID), 52));

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
	/* The physical one is nothing to the guest */
	ASSERT_LE(0, rid);
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(rid), 0));
	EXPECT_LANDS(PAGE_A, IOVA);

	/* Nor is a vDEVICE that is gone */
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
		/* The TLB is one place where the old table lives on */
		EXPECT_LANDS(before, IOVA);
		EXPECT_EQ(0, invalidate_one(vm, flush, 0));
		EXPECT_LANDS(before, IOVA);
		EXPECT_EQ(0, invalidate_one(vm, cmds[i] | CMD_0_SID(VSID), 0));
		EXPECT_EQ(0, invalidate_one(vm, flush, 0));
		EXPECT_LANDS(after, IOVA);
	}
}

/* Commands that end a stale translation of IOVA */

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

#define NH_VA	(TLBI_NH_VA | CMD_0_ASID(GUEST_ASID))

STALE_VARIANT(nh_va, NH_VA, IOVA);
STALE_VARIANT(nh_va_leaf, NH_VA, IOVA | CMD_1_LEAF);
STALE_VARIANT(nh_va_vmid, NH_VA | CMD_0_VMID(0xbeef), IOVA);
STALE_VARIANT(nh_va_level, NH_VA, IOVA | CMD_1_TG(1) | CMD_1_TTL(3));
STALE_VARIANT(nh_va_num, NH_VA | CMD_0_NUM(3),
	      (IOVA - 3 * PAGE_SIZE) | CMD_1_TG(1));
STALE_VARIANT(nh_va_scale, NH_VA | CMD_0_NUM(1) | CMD_0_SCALE(3),
	      (IOVA - 15 * PAGE_SIZE) | CMD_1_TG(1) | CMD_1_TTL(3) | CMD_1_LEAF);
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

	/* A page that nobody uses */
	for (i = 0; i < num; i++)
		cmds[i] = CMD(NH_VA, IOVA + 100 * PAGE_SIZE);
}

TEST_F_TIMEOUT(s1, batch_sizes, 300)
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

/* An operator sees what the VMM does, call by call */
TEST_F(s1, traces)
{
	struct vm *vm = &self->vm;
	const char *bdf = self->edu.bdf;
	uint32_t id, hwpt, vdevice = vm->vdevice, num;
	cmd_t cmds[] = {
		CMD(CFGI_CD | CMD_0_SID(VSID), 0), CMD(NH_VA, IOVA), CMD(NH_VA, IOVA),
		CMD(CMD_SYNC, 0), CMD(NH_VA, IOVA),
	};

	if (trace_start())
		SKIP(return, "no tracepoints in this kernel");

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
	EXPECT_EQ(1, traced("iommufd_device_attach", "dev=%s pt=%u ret=0", bdf, hwpt));
	EXPECT_EQ(1, traced("iommufd_device_attach", "dev=%s pt=%u ret=-22", bdf, vm->viommu));
	EXPECT_EQ(1, traced("iommufd_viommu_invalidate",
			    "viommu=%u type=0x1 num=5 done=3 ret=-5", vm->viommu));
	EXPECT_EQ(1, traced("iommufd_viommu_invalidate",
			    "viommu=%u type=0x1 num=1 done=1 ret=0", vm->viommu));
	EXPECT_EQ(1, traced("arm_smmu_viommu_cmds",
			    "smmu=[^ ]+ vmid=[1-9][0-9]* cfgi=1 tlbi=2 atc=0 done=3 ret=-5"));
	EXPECT_EQ(1, traced("arm_smmu_viommu_cmds",
			    "smmu=[^ ]+ vmid=[1-9][0-9]* cfgi=0 tlbi=1 atc=0 done=1 ret=0"));
	EXPECT_EQ(1, traced("iommufd_device_attach", "dev=%s pt=%u ret=0", bdf, vm->bypass));
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

/* A process that is killed need not wait for the end of what it asked for */
TEST_F_TIMEOUT(s1, batch_is_killed, 300)
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
	/* What the kernel says to a process that is gone can be read here */
	cmd = mmap(NULL, sizeof(*cmd), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, cmd);
	/* Each pair needs a CMD_SYNC */
	for (num = 0; num < max; num += 2) {
		cmds[num] = CMD(CFGI_CD | CMD_0_SID(VSID), 0);
		cmds[num + 1] = CMD(NH_VA, IOVA);
	}
	/*
	 * The first one is not killed. Another says nothing if it is killed before
	 * it begins or when most of it is done.
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

/* Put one bad command at an index, see that it divides the batch */
TEST_F_TIMEOUT(s1, batch_errors, 120)
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
 * Commands that end where the mapping of the VMM's buffer does. The kernel may
 * stop a little before, at a command that it could have read, but what it says
 * is what it has done.
 */
TEST_F_TIMEOUT(s1, batch_fault, 60)
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
		/* Each second time half of a command is there */
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

/* Replacement under running DMA */

struct dma_loop {
	struct vm *vm;
	struct edu *edu;
	atomic_bool stop;
	atomic_int count;
	atomic_int lost;
};

/* The IOVA that is translated to PAGE_A and PAGE_B, and is the IPA of PAGE_C */
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

TEST_F_TIMEOUT(s1, replace_under_dma, 120)
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

/* As a VMM does it: each write of the guest's STE is a new HWPT */
TEST_F_TIMEOUT(s1, replace_and_destroy, 120)
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

/* Interrupts, of a device that is only ever attached to nested HWPTs */

TEST_F(vm, msi)
{
	struct vm *vm = &self->vm;
	int event = eventfd(0, EFD_NONBLOCK);
	uint64_t addr;

	ASSERT_LE(0, event);
	ASSERT_EQ(0, edu_irq_eventfd(&self->edu, event));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));

	/* The guest's stage 1 translates the doorbell as any address */
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_EQ(0, edu_irq_raise(&self->edu, event, false));
	for (addr = MSI_WINDOW; addr < MSI_WINDOW + MSI_WINDOW_SIZE; addr += PAGE_SIZE)
		s1_map(&vm->s1, vm, addr, addr, PTE_PAGE);
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	EXPECT_LANDS(PAGE_A, IOVA);

	ASSERT_EQ(0, edu_attach(&self->edu, vm->abort));
	EXPECT_EQ(0, edu_irq_raise(&self->edu, event, false));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
}

/* An interrupt that is set up while stage 1 is on */
TEST_F(s1, msi)
{
	struct vm *vm = &self->vm;
	int event = eventfd(0, EFD_NONBLOCK);
	uint64_t addr;

	for (addr = MSI_WINDOW; addr < MSI_WINDOW + MSI_WINDOW_SIZE; addr += PAGE_SIZE)
		s1_map(&vm->s1, vm, addr, addr, PTE_PAGE);
	ASSERT_LE(0, event);
	ASSERT_EQ(0, edu_irq_eventfd(&self->edu, event));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
}

/* Beginnings and ends */

FIXTURE(life)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(life)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(life)
{
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

/* The device's first attachment is the abort, before there is any vDEVICE */
TEST_F(life, abort_comes_first)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_HWPTS));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->abort));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_A));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_A));
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_A, IOVA);
	vm_close(vm, &self->edu);
}

enum step {
	END,
	ATTACH_PARENT,
	ATTACH_ABORT,
	DETACH,
	CLOSE_DEVICE,
	CLOSE_IOMMUFD,
	DESTROY_S1,
	DESTROY_VDEVICE,
	DESTROY_BYPASS,
	DESTROY_ABORT,
	DESTROY_VIOMMU,
	DESTROY_PARENT,
};

static int take_step(struct vm *vm, struct edu *edu, enum step step)
{
	switch (step) {
	case ATTACH_PARENT:
		return edu_attach(edu, vm->s2);
	case ATTACH_ABORT:
		return edu_attach(edu, vm->abort);
	case DETACH:
		return edu_detach(edu);
	case CLOSE_DEVICE:
		edu_close(edu);
		return 0;
	case CLOSE_IOMMUFD:
		return close(vm->fd);
	case DESTROY_S1:
		return destroy(vm, vm->s1_hwpt);
	case DESTROY_VDEVICE:
		return destroy(vm, vm->vdevice);
	case DESTROY_BYPASS:
		return destroy(vm, vm->bypass);
	case DESTROY_ABORT:
		return destroy(vm, vm->abort);
	case DESTROY_VIOMMU:
		return destroy(vm, vm->viommu);
	case DESTROY_PARENT:
		return destroy(vm, vm->s2);
	default:
		return -EINVAL;
	}
}

TEST_F(life, ends_in_any_order)
{
	static const enum step orders[][10] = {
		{ ATTACH_PARENT, DESTROY_S1, DESTROY_VDEVICE, DESTROY_BYPASS,
		  DESTROY_ABORT, DESTROY_VIOMMU, DETACH, DESTROY_PARENT },
		{ ATTACH_ABORT, DESTROY_S1, DESTROY_VDEVICE, DETACH, DESTROY_BYPASS,
		  DESTROY_ABORT, DESTROY_VIOMMU, DESTROY_PARENT },
		{ ATTACH_ABORT, DESTROY_VDEVICE, DESTROY_BYPASS, DESTROY_S1,
		  CLOSE_DEVICE, DESTROY_ABORT, DESTROY_VIOMMU, DESTROY_PARENT },
		{ DETACH, DESTROY_VDEVICE, DESTROY_ABORT, DESTROY_BYPASS, DESTROY_S1,
		  DESTROY_VIOMMU, DESTROY_PARENT, CLOSE_DEVICE },
		{ CLOSE_DEVICE, DESTROY_S1, DESTROY_BYPASS, DESTROY_ABORT,
		  DESTROY_VIOMMU, DESTROY_PARENT },
		{ CLOSE_DEVICE, CLOSE_IOMMUFD },
		{ CLOSE_IOMMUFD, CLOSE_DEVICE },
		{ DETACH, CLOSE_IOMMUFD, CLOSE_DEVICE },
		{ ATTACH_PARENT, CLOSE_IOMMUFD, CLOSE_DEVICE },
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
		ASSERT_LANDS(PAGE_A, IOVA);
		for (j = 0; orders[i][j] != END; j++) {
			EXPECT_EQ(0, take_step(&self->vm, &self->edu, orders[i][j])) {
				TH_LOG("order %u, step %u", i, j);
			}
		}
		vm_close(&self->vm, &self->edu);
	}
}

TEST_F(life, vdevice_goes_with_device)
{
	struct vm *vm = &self->vm;
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	uint32_t dead;
	int i;

	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_TRANSLATES));
	dead = vm->vdevice;
	edu_close(&self->edu);
	EXPECT_EQ(-ENOENT, destroy(vm, dead));
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, xioctl(vm->fd, IOMMU_IOAS_ALLOC, &ioas));
		EXPECT_NE(dead, ioas.out_ioas_id);
	}
	EXPECT_EQ(-ENOENT, destroy(vm, dead));

	/* The device comes back under the same name */
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	EXPECT_NE(dead, vm->vdevice);
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_A, IOVA);
	vm_close(vm, &self->edu);
}

struct vdevice_loop {
	struct vm *vm;
	struct edu edu;
	atomic_bool stop;
	atomic_int wrong;
};

static void *vdevice_loop(void *arg)
{
	struct vdevice_loop *loop = arg;

	while (!loop->stop) {
		uint32_t id;
		int rc = vdevice_alloc(loop->vm, &loop->edu, loop->vm->viommu, VSID,
				       &id);

		if (!rc)
			rc = destroy(loop->vm, id);
		if (rc && rc != -ENOENT)
			loop->wrong = rc;
	}
	return NULL;
}

/* The device is closed while its vDEVICE comes and goes */
TEST_F_TIMEOUT(life, vdevice_races_with_device, 120)
{
	struct vm *vm = &self->vm;
	struct vdevice_loop loop = { .vm = vm };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_VIOMMU));
	for (i = 0; i < 200; i++) {
		loop.edu = self->edu;
		loop.stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, vdevice_loop, &loop));
		usleep(i * 20);
		edu_close(&self->edu);
		loop.stop = true;
		pthread_join(thread, NULL);
		EXPECT_EQ(0, loop.wrong);
		ASSERT_EQ(0, edu_open(&self->edu, 0));
		ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	}
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	vm_close(vm, &self->edu);
}

/* A counter of the whole system, -1 if there is none */
static long vmstat(const char *counter)
{
	long value, found = -1;
	char name[64];
	FILE *f;

	/* The counters lag behind on each CPU until they are asked not to */
	f = fopen("/proc/sys/vm/stat_refresh", "w");
	if (!f)
		return -1;
	fputs("1", f);
	fclose(f);

	f = fopen("/proc/vmstat", "r");
	if (!f)
		return -1;
	while (fscanf(f, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, counter))
			found = value;
	fclose(f);
	return found;
}

/* Pages that are pinned for DMA */
static long pinned_pages(void)
{
	long acquired = vmstat("nr_foll_pin_acquired");

	return acquired > 0 ? acquired - vmstat("nr_foll_pin_released") : -1;
}

/* A process dies at each stage, at the later ones in the middle of a DMA */
TEST_F_TIMEOUT(life, process_dies, 120)
{
	long pinned = 0;
	int i, status;
	pid_t child;

	for (i = 0; i < 2 * VM_STAGES; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			status = vm_build(&self->vm, &self->edu, 0, i % VM_STAGES);
			if (!status && i % VM_STAGES >= VM_BYPASS)
				edu_dma_start(&self->edu, true, IOVA, 8);
			_exit(status ? 1 : 0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status) {
			TH_LOG("stage %d", i % VM_STAGES);
		}

		ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
		EXPECT_LANDS(PAGE_A, IOVA);
		vm_close(&self->vm, &self->edu);
		if (!i)
			pinned = pinned_pages();
		ASSERT_LE(0, pinned);
		EXPECT_EQ(pinned, pinned_pages());
	}
}

/* Take vIOMMUs until there are no more, give them back, and again */
TEST_F_TIMEOUT(life, vmids_run_out, 1200)
{
	struct vm *vm = &self->vm;
	uint32_t *viommus = calloc(1 << 16, sizeof(*viommus)), s2;
	int i, n, rc, round, before = 0;

	ASSERT_NE(NULL, viommus);
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_TRANSLATES));
	for (round = 0; round < 2; round++) {
		for (n = 0; n < 1 << 16; n++) {
			rc = viommu_alloc(vm, &self->edu, vm->s2, &viommus[n]);
			if (rc)
				break;
		}
		EXPECT_EQ(-ENOSPC, rc);
		EXPECT_EQ(round ? before : n, n);
		before = n;
		EXPECT_EQ(-ENOSPC, hwpt_alloc(vm, &self->edu, vm->ioas,
					      IOMMU_HWPT_ALLOC_NEST_PARENT, &s2));
		EXPECT_LANDS(PAGE_A, IOVA);
		for (i = 0; i < n; i++)
			ASSERT_EQ(0, destroy(vm, viommus[i]));
	}
	EXPECT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT, &s2));
	EXPECT_LANDS(PAGE_A, IOVA);
	free(viommus);
	vm_close(vm, &self->edu);
}

/*
 * Boards that cannot give a guest an SMMU, as LACKS in the environment says.
 * The VMM must not be led to try another parent.
 */
TEST_F(life, no_coherence)
{
	struct vm *vm = &self->vm;
	const char *lacks = getenv("LACKS");
	uint32_t plain, id;

	if (!lacks || strcmp(lacks, "coherence"))
		SKIP(return, "needs a board without CANWBS");
	EXPECT_STREQ("\n", edu_iommu_file(0, "types"));
	EXPECT_STREQ("1\n", edu_iommu_file(0, "nesting"));
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_S2));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &plain));
	EXPECT_EQ(-EOPNOTSUPP, viommu_alloc(vm, &self->edu, vm->s2, &id));
	EXPECT_EQ(-EOPNOTSUPP, viommu_alloc(vm, &self->edu, plain, &id));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	vm_close(vm, &self->edu);
}

TEST_F(life, no_nesting)
{
	struct vm *vm = &self->vm;
	const char *lacks = getenv("LACKS");
	uint32_t plain, id;

	if (!lacks || strcmp(lacks, "nesting"))
		SKIP(return, "needs a board without stage 2");
	EXPECT_STREQ("\n", edu_iommu_file(0, "types"));
	EXPECT_STREQ("0\n", edu_iommu_file(0, "nesting"));
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_BOUND));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &plain));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(vm, &self->edu, vm->ioas,
					  IOMMU_HWPT_ALLOC_NEST_PARENT, &id));
	EXPECT_EQ(-EOPNOTSUPP, viommu_alloc(vm, &self->edu, plain, &id));
	ASSERT_EQ(0, edu_attach(&self->edu, plain));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	vm_close(vm, &self->edu);
}

/* Two devices */

FIXTURE(pair)
{
	struct vm vm[2];
	struct edu edu[2];
	int kmsg;
};

FIXTURE_SETUP(pair)
{
	if (edu_count() < 2)
		SKIP(return, "needs two edu devices");
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
TEST_F_TIMEOUT(pair, two_vms, 60)
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

/* Bring the second device into the first VM, up to the bypass of @viommu */
static int join(struct vm *vm, struct edu *edu, uint32_t viommu)
{
	uint32_t bypass;
	int rc;

	rc = nested_alloc(vm, edu, viommu, STE_BYPASS, 0, &bypass);
	if (!rc)
		rc = edu_attach(edu, bypass);
	return rc ? rc : edu_load_token(edu, vm);
}

/* The guest's IDs are crossed: each device has the physical ID of the other */
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

	/* Only the device whose vSID is named looks at its CD again */
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
TEST_F_TIMEOUT(pair, two_viommus, 60)
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
	/* The ID is that of the first device: another vIOMMU, another space */
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

	/* What happens to stage 2 reaches all */
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

/* However many vIOMMUs and SMMUs a VM has, its memory has one page table */
TEST_F(pair, tables_once)
{
	/* As many tables of the last level, below what the device can address */
	const unsigned int areas = 48;
	const uint64_t first = 0x09000000, apart = 0x200000;
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
		EXPECT_NTH_LANDS(PAGE_E, i, 0, first + (areas - 1) * apart);

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

/* When an unmap returns, what both devices have started does not land any more */
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
		/* The device takes its time before it writes */
		for (j = 0; j < 2; j++)
			edu_dma_start(&self->edu[j], true, IOVA, sizeof(self->edu[j].token));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		later = edu_dma_runs(&self->edu[0]) && edu_dma_runs(&self->edu[1]);
		for (j = 0; j < 2; j++)
			ASSERT_EQ(0, edu_dma_wait(&self->edu[j]));
		/* What is over before the unmap is may land */
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

/* A device joins the VM, in turn behind a vIOMMU and as it is, and leaves */
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
 * Stage 2 changes while uses of it come and go: after an unmap no write lands,
 * of the one device nor of the other.
 */
TEST_F_TIMEOUT(pair, join_and_leave, 200)
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

/* Two functions that nothing keeps apart: one group */
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
 * An attach is one of the whole group: where one function refuses, because it
 * has no vDEVICE, the other goes back. Either of them, for one is asked first.
 */
TEST_F_TIMEOUT(group, one_refuses, 60)
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

		/* The bypass, and what happens to it, is that of both */
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
