// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the errno of each mistake in older ioctls that take a vIOMMU
 */
#include "viommu_errno.h"

TEST_F(wrong, hwpt_alloc)
{
	struct iommu_hwpt_selftest data = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.dev_id = self->vm.dev,
		.pt_id = self->vm.viommu,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
		.fault_id = self->w.id[OBJ_FAULT],
	};
	const struct command c = {
		.nr = IOMMU_HWPT_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = offsetof(typeof(cmd), __reserved) +
		       sizeof(cmd.__reserved),
		.out_id = &cmd.out_hwpt_id,
	};
	/* Some kernels accept flag bit 3 */
	const struct wrong table[] = {
		WRONG(cmd.size, sizeof(struct iommu_hwpt_alloc), 0),
		/* Without the data */
		WRONG(cmd.size, offsetof(struct iommu_hwpt_alloc, data_type),
		      -EOPNOTSUPP),
		WRONG(cmd.size, offsetof(struct iommu_hwpt_alloc, data_len),
		      -EINVAL),
		WRONG(cmd.size, offsetof(struct iommu_hwpt_alloc, data_uptr),
		      -EFAULT),
		WRONG(cmd.size, offsetof(struct iommu_hwpt_alloc, fault_id), 0),
		WRONG(cmd.flags, IOMMU_HWPT_ALLOC_NEST_PARENT, -EOPNOTSUPP),
		WRONG(cmd.flags, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, -EOPNOTSUPP),
		WRONG(cmd.flags, 1 << 4, -EOPNOTSUPP),
		WRONG(cmd.flags, 1 << 16, -EOPNOTSUPP),
		WRONG(cmd.flags, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.flags, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.flags, IOMMU_HWPT_FAULT_ID_VALID, 0),
		WRONG(cmd.flags,
		      IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_NEST_PARENT,
		      -EOPNOTSUPP),
		WRONG(cmd.flags, IOMMU_HWPT_FAULT_ID_VALID | 0x80000000,
		      -EOPNOTSUPP),
		WRONG(cmd.dev_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.dev_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.dev_id, OBJ(STDEV), -ENOENT),
		WRONG(cmd.dev_id, OBJ(S2), -ENOENT),
		WRONG(cmd.dev_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VIOMMU), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.dev_id, OBJ(FAULT), -ENOENT),
		WRONG(cmd.dev_id, OBJ(DEV_VDEV), 0),
		WRONG(cmd.dev_id, OBJ(DEV_OTHER), -EINVAL),
		WRONG(cmd.pt_id, NO_OBJECT, -EINVAL),
		WRONG(cmd.pt_id, OBJ(DEV), -EINVAL),
		WRONG(cmd.pt_id, OBJ(STDEV), -EINVAL),
		WRONG(cmd.pt_id, OBJ(PLAIN), -EINVAL),
		WRONG(cmd.pt_id, OBJ(AUTO), -EINVAL),
		WRONG(cmd.pt_id, OBJ(NESTED), -EINVAL),
		WRONG(cmd.pt_id, OBJ(VDEVICE), -EINVAL),
		WRONG(cmd.pt_id, OBJ(FAULT), -EINVAL),
		WRONG(cmd.pt_id, OBJ(S2), 0),
		WRONG(cmd.out_hwpt_id, 0xffffffff, 0),
		WRONG(cmd.__reserved, 1, -EOPNOTSUPP),
		WRONG(cmd.__reserved, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.__reserved, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.data_type, IOMMU_HWPT_DATA_NONE, -EINVAL),
		WRONG(cmd.data_type, IOMMU_HWPT_DATA_VTD_S1, -EOPNOTSUPP),
		WRONG(cmd.data_type, IOMMU_HWPT_DATA_SELFTEST - 1, -EOPNOTSUPP),
		WRONG(cmd.data_type, IOMMU_HWPT_DATA_SELFTEST + 1, -EOPNOTSUPP),
		WRONG(cmd.data_type, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.data_type, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.data_len, 0, -EINVAL),
		WRONG(cmd.data_len, 1, -EINVAL),
		WRONG(cmd.data_len, 3, -EINVAL),
		WRONG(cmd.data_len, 4, 0),
		WRONG(cmd.data_len, sizeof(struct iommu_hwpt_selftest) + 1,
		      -EINVAL),
		WRONG(cmd.data_len, 4096, -EINVAL),
		WRONG(cmd.data_len, 0xffffffff, -EINVAL),
		WRONG(cmd.data_uptr, 0, -EFAULT),
		WRONG(cmd.data_uptr, 1, -EFAULT),
		WRONG(cmd.data_uptr, ~0ULL, -EFAULT),
		WRONG(cmd.data_uptr, MEM(NONE), -EFAULT),
		WRONG(cmd.data_uptr, MEM(RO), 0),
		/* Ignored without its flag */
		WRONG(cmd.fault_id, 0, 0),
		WRONG(cmd.fault_id, 0xffffffff, 0),
	};
	const struct wrong faults[] = {
		WRONG(cmd.fault_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.fault_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.fault_id, OBJ(DEV), -ENOENT),
		WRONG(cmd.fault_id, OBJ(S2), -ENOENT),
		WRONG(cmd.fault_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.fault_id, OBJ(VIOMMU), -ENOENT),
		WRONG(cmd.fault_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.fault_id, OBJ(FAULT), 0),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	run_sizes(_metadata, &self->w, &c);
	cmd.flags = IOMMU_HWPT_FAULT_ID_VALID;
	run_table(_metadata, &self->w, &c, faults, ARRAY_SIZE(faults));
	run_sizes(_metadata, &self->w, &c);
}

TEST_F(wrong, hwpt_invalidate)
{
	struct iommu_viommu_invalidate_selftest inv[2] = {
		{ .vdev_id = VIRT_ID },
		{ .vdev_id = VIRT_ID },
	};
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = self->vm.viommu,
		.data_uptr = (uintptr_t)inv,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
		.entry_len = sizeof(*inv),
		.entry_num = 1,
	};
	const struct command c = {
		.nr = IOMMU_HWPT_INVALIDATE,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = sizeof(cmd),
		.out_count = &cmd.entry_num,
	};
	const struct wrong table[] = {
		WRONG(cmd.size, sizeof(struct iommu_hwpt_invalidate), 0),
		WRONG(cmd.hwpt_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(IOAS), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(DEV), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(STDEV), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(AUTO), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(PLAIN), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(S2), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(VDEVICE), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(FAULT), -EINVAL),
		WRONG(cmd.data_uptr, 0, -EINVAL),
		WRONG(cmd.data_uptr, 1, -EFAULT),
		WRONG(cmd.data_uptr, ~0ULL, -EFAULT),
		WRONG(cmd.data_uptr, MEM(NONE), -EFAULT),
		WRONG(cmd.data_type, 0, -EINVAL),
		WRONG(cmd.data_type, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		      -EINVAL),
		WRONG(cmd.data_type,
		      IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID, -EINVAL),
		WRONG(cmd.data_type, IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST + 1,
		      -EINVAL),
		WRONG(cmd.data_type, 0xffffffff, -EINVAL),
		WRONG(cmd.entry_len, 0, -EINVAL),
		WRONG(cmd.entry_len, 1, -EINVAL),
		WRONG(cmd.entry_len, 11, -EINVAL),
		WRONG(cmd.entry_len, 13, -EINVAL),
		WRONG(cmd.entry_len, 4096, -EINVAL),
		WRONG(cmd.entry_len, 4097, -EINVAL),
		WRONG(cmd.entry_len, 0x80000000, -EINVAL),
		WRONG(cmd.entry_len, 0xffffffff, -EINVAL),
		WRONG(cmd.entry_num, 0, 0),
		WRONG(cmd.entry_num, 2, 0),
		WRONG(cmd.entry_num, (1 << 19) + 1, -EINVAL),
		WRONG(cmd.entry_num, 0x80000000, -EINVAL),
		WRONG(cmd.entry_num, 0xffffffff, -EINVAL),
		WRONG(cmd.__reserved, 1, -EOPNOTSUPP),
		WRONG(cmd.__reserved, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.__reserved, 0xffffffff, -EOPNOTSUPP),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	run_sizes(_metadata, &self->w, &c);
}

TEST_F(wrong, get_hw_info)
{
	struct iommu_test_hw_info info[2];
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.dev_id = self->vm.dev,
		.data_len = sizeof(info[0]),
		.data_uptr = (uintptr_t)info,
		.in_data_type = IOMMU_HW_INFO_TYPE_SELFTEST,
	};
	struct iommu_hw_info copy;
	const struct command c = {
		.nr = IOMMU_GET_HW_INFO,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = offsetof(typeof(cmd), __reserved) +
		       sizeof(cmd.__reserved),
	};
	const struct wrong table[] = {
		WRONG(cmd.size, sizeof(struct iommu_hw_info), 0),
		WRONG(cmd.flags, 0, 0),
		WRONG(cmd.flags, 2, -EOPNOTSUPP),
		WRONG(cmd.flags, 3, -EOPNOTSUPP),
		WRONG(cmd.flags, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.flags, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.dev_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.dev_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.dev_id, OBJ(STDEV), -ENOENT),
		WRONG(cmd.dev_id, OBJ(S2), -ENOENT),
		WRONG(cmd.dev_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VIOMMU), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.dev_id, OBJ(DEV_OTHER), 0),
		WRONG(cmd.data_len, 0, 0),
		WRONG(cmd.data_len, 1, 0),
		WRONG(cmd.data_uptr, 0, -EFAULT),
		WRONG(cmd.data_uptr, 1, -EFAULT),
		WRONG(cmd.data_uptr, ~0ULL, -EFAULT),
		WRONG(cmd.data_uptr, MEM(NONE), -EFAULT),
		WRONG(cmd.data_uptr, MEM(RO), -EFAULT),
		WRONG(cmd.in_data_type, IOMMU_HW_INFO_TYPE_DEFAULT, 0),
		WRONG(cmd.in_data_type, IOMMU_HW_INFO_TYPE_INTEL_VTD,
		      -EOPNOTSUPP),
		WRONG(cmd.in_data_type, IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
		      -EOPNOTSUPP),
		WRONG(cmd.in_data_type, IOMMU_HW_INFO_TYPE_SELFTEST - 1,
		      -EOPNOTSUPP),
		WRONG(cmd.in_data_type, IOMMU_HW_INFO_TYPE_SELFTEST + 1,
		      -EOPNOTSUPP),
		WRONG(cmd.in_data_type, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.in_data_type, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.out_max_pasid_log2, 0xff, 0),
		WRONG(cmd.__reserved[0], 1, -EOPNOTSUPP),
		WRONG(cmd.__reserved[1], 1, -EOPNOTSUPP),
		WRONG(cmd.__reserved[2], 0x80, -EOPNOTSUPP),
		WRONG(cmd.out_capabilities, ~0ULL, 0),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	run_sizes(_metadata, &self->w, &c);

	/* The requested type only counts with its flag */
	copy = cmd;
	copy.flags = 0;
	copy.in_data_type = 0x12345678;
	OK(iommufd_ioctl(self->fd, IOMMU_GET_HW_INFO, &copy));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, copy.out_data_type);
	EXPECT_EQ(sizeof(info[0]), copy.data_len);

	/* The rest of a larger buffer is zeroed */
	memset(info, 0xaa, sizeof(info));
	copy = cmd;
	copy.data_len = sizeof(info);
	OK(iommufd_ioctl(self->fd, IOMMU_GET_HW_INFO, &copy));
	EXPECT_EQ(sizeof(info[0]), copy.data_len);
	EXPECT_EQ(IOMMU_HW_INFO_SELFTEST_REGVAL, info[0].test_reg);
	EXPECT_EQ(0, info[1].test_reg);
	EXPECT_EQ(0, info[1].flags);
}

/* Commands that take IDs of older types refuse the new types */
TEST_F(wrong, older_commands)
{
	static const int kinds[] = { OBJ_VIOMMU, OBJ_VDEVICE, OBJ_DEAD };
	unsigned int i;
	__u32 id, out;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct iommu_hwpt_set_dirty_tracking dirty = {
			.size = sizeof(dirty),
		};
		struct iommu_ioas_iova_ranges ranges = {
			.size = sizeof(ranges),
		};

		id = self->w.id[kinds[i]];
		FAILS(ENOENT, ioas_map_memory(self->fd, id));
		dirty.hwpt_id = id;
		FAILS(ENOENT,
		      iommufd_ioctl(self->fd, IOMMU_HWPT_SET_DIRTY_TRACKING,
				    &dirty));
		ranges.ioas_id = id;
		FAILS(ENOENT,
		      iommufd_ioctl(self->fd, IOMMU_IOAS_IOVA_RANGES, &ranges));
		FAILS(EINVAL, hwpt_alloc(self->fd, self->vm.dev,
					 self->w.id[OBJ_VDEVICE], 0, &out));
		FAILS(ENOENT, mock_attach(self->fd, id, self->vm.ioas));
		FAILS(ENOENT, mock_check_cache(self->fd, id, 0, 0));
	}
	/* Only nested HWPTs are allocated on a vIOMMU */
	FAILS(EOPNOTSUPP,
	      hwpt_alloc(self->fd, self->vm.dev, self->vm.viommu, 0, &out));
	EXPECT_EQ(self->w.held, mock_held(self->fd));
}

/* The page table type of a paging HWPT, as data of the mock */
TEST_F(wrong, pagetable_type)
{
	struct iommu_hwpt_selftest data = {
		.pagetable_type = MOCK_IOMMUPT_HUGE,
	};
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.dev_id = self->vm.dev,
		.pt_id = self->vm.ioas,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};
	const struct command c = {
		.nr = IOMMU_HWPT_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = offsetof(typeof(cmd), __reserved) +
		       sizeof(cmd.__reserved),
		.out_id = &cmd.out_hwpt_id,
	};
	const struct wrong table[] = {
		WRONG(cmd.data_type, IOMMU_HWPT_DATA_VTD_S1, -EOPNOTSUPP),
		WRONG(cmd.data_len, 4, -EINVAL),
		WRONG(cmd.data_len, sizeof(struct iommu_hwpt_selftest) + 1,
		      -EINVAL),
		WRONG(cmd.data_uptr, MEM(NONE), -EFAULT),
		WRONG(cmd.flags, IOMMU_HWPT_ALLOC_NEST_PARENT, 0),
		WRONG(cmd.flags, 0x80000000, -EOPNOTSUPP),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	OK(iommufd_ioctl(self->fd, IOMMU_HWPT_ALLOC, &cmd));
	OK(destroy(self->fd, cmd.out_hwpt_id));
	data.pagetable_type = MOCK_IOMMUPT_DEFAULT;
	OK(iommufd_ioctl(self->fd, IOMMU_HWPT_ALLOC, &cmd));
	OK(destroy(self->fd, cmd.out_hwpt_id));
	data.pagetable_type = MOCK_IOMMUPT_HUGE + 1;
	FAILS(EOPNOTSUPP, iommufd_ioctl(self->fd, IOMMU_HWPT_ALLOC, &cmd));
}

TEST_HARNESS_MAIN
