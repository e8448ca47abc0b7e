// SPDX-License-Identifier: GPL-2.0
/*
 * The errno of each mistake in the calls of a VMM, see edu-test.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vfio.h>

#include "edu-test-fixtures.h"

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

	/* EINVAL, "another parent helps", must not hide a missing type */
	cmd.hwpt_id = plain;
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, cmd, type, 3);
	/* The type takes no data */
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
	/* The fault object is not looked up */
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
	/* With V = 0 the other bits do not matter */
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

	/* Only a guest's stage 1 needs a vDEVICE */
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

	/*
	 * The current translation stays, even if it could not be attached any
	 * more
	 */
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &another));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, another));
	EXPECT_LANDS(PAGE_A, IOVA);
}

/* The device has no PASIDs, so there is nothing to attach them to */
TEST_F(vm, errno_pasid)
{
	struct vm *vm = &self->vm;
	struct {
		struct vfio_device_attach_iommufd_pt cmd;
		uint32_t more;
	} attach = {
		.cmd = {
			.argsz = sizeof(attach.cmd),
			.flags = VFIO_DEVICE_ATTACH_PASID,
			.pt_id = vm->s2,
			.pasid = 1,
		},
	}, cmd = attach;
	struct vfio_device_detach_iommufd_pt detach = {
		.argsz = sizeof(detach),
		.flags = VFIO_DEVICE_DETACH_PASID,
		.pasid = 1,
	};
	struct iommu_hw_info info = {
		.size = sizeof(info),
		.dev_id = self->edu.id,
	};
	const uint32_t pasids[] = { 0, 1, 0xfffff, 0x100000, 0xffffffff };
	const int fd = self->edu.fd;
	unsigned int i;

	EXPECT_EQ(16, sizeof(attach.cmd));
	EXPECT_EQ(12, sizeof(detach));
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_GET_HW_INFO, &info));
	EXPECT_EQ(0, info.out_max_pasid_log2);

	for (i = 0; i < sizeof(pasids) / sizeof(*pasids); i++) {
		cmd = attach;
		cmd.cmd.pasid = pasids[i];
		EXPECT_EQ(-EINVAL, xioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd));
		detach.pasid = pasids[i];
		EXPECT_EQ(0, xioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	}
	/* A longer structure is fine, a shorter one is not */
	cmd = attach;
	cmd.cmd.argsz = sizeof(attach);
	EXPECT_EQ(-EINVAL, xioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd));
	for (i = 0; i < sizeof(attach.cmd); i++) {
		cmd = attach;
		cmd.cmd.argsz = i;
		EXPECT_EQ(-EINVAL, xioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd));
	}
	for (i = 0; i < sizeof(detach); i++) {
		detach.argsz = i;
		EXPECT_EQ(-EINVAL, xioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	}
	detach.argsz = sizeof(detach);
	for (i = 1; i < 32; i++) {
		cmd = attach;
		cmd.cmd.flags |= BIT(i);
		EXPECT_EQ(-EINVAL, xioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd));
		detach.flags = VFIO_DEVICE_DETACH_PASID | BIT(i);
		EXPECT_EQ(-EINVAL, xioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	}
	cmd = attach;
	cmd.cmd.pt_id = 0xffff;
	EXPECT_EQ(-ENOENT, xioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd));

	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
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

	/* A vDEVICE holds its vIOMMU, a vIOMMU its parent */
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
		size_t least;
		size_t size;
	} ioctls[] = {
		{ IOMMU_VIOMMU_ALLOC, &viommu, 24, sizeof(viommu) },
		{ IOMMU_VDEVICE_ALLOC, &vdevice, 24, 24 },
		{ IOMMU_HWPT_INVALIDATE, &inval, 32, 32 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		const void *good = ioctls[i].good;
		unsigned long request = ioctls[i].request;
		size_t least = ioctls[i].least, size = ioctls[i].size;

		EXPECT_EQ(-EINVAL, resized(vm->fd, request, good, size, 0, 0));
		EXPECT_EQ(-EINVAL, resized(vm->fd, request, good, size, least - 1, 0));
		if (least < size)
			EXPECT_EQ(0, resized(vm->fd, request, good, size, least, 0));
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
	cmd_t longer[4] = { CMD(TLBI_NH_ALL, 0), CMD(0, 0), CMD(TLBI_NH_ALL, 0), CMD(0, 1) };
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

	/* Longer entries must end with zeros */
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, good, entry_len, PAGE_SIZE + 1);
	cmds[1] = CMD(1, 0);
	EXPECT_REFUSED(E2BIG, IOMMU_HWPT_INVALIDATE, good, entry_len, 24);
	cmds[1] = CMD(0, 0);
	cmd.entry_len = 24;
	EXPECT_EQ(0, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(1, cmd.entry_num);
	cmd.data_uptr = (uintptr_t)longer;
	cmd.entry_len = 32;
	cmd.entry_num = 2;
	EXPECT_EQ(-E2BIG, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(1, cmd.entry_num);
	longer[3] = CMD(0, 0);
	cmd.entry_num = 2;
	EXPECT_EQ(0, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(2, cmd.entry_num);

	/* No entries: a probe for the type */
	cmd = good;
	cmd.entry_num = 0;
	cmd.data_uptr = 0;
	EXPECT_EQ(0, xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, cmd, data_type, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_INVALIDATE, cmd, data_type, 2);

	/* Refused commands were not executed */
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

TEST_HARNESS_MAIN
