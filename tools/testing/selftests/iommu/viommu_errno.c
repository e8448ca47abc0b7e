// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the errno of each mistake in the ioctls of vIOMMUs
 *
 * A VMM tries, and the errno decides what it tries next.
 */
#include "viommu_errno.h"

TEST_F(wrong, viommu_alloc)
{
	struct iommu_viommu_selftest data = { .in_data = 1 };
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = IOMMU_VIOMMU_TYPE_SELFTEST,
		.dev_id = self->vm.dev,
		.hwpt_id = self->vm.s2,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};
	const struct command c = {
		.nr = IOMMU_VIOMMU_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = offsetof(typeof(cmd), data_len),
		.out_id = &cmd.out_viommu_id,
	};
	/* Some kernels accept flag bit 31 and type 0 */
	const struct wrong table[] = {
		WRONG(cmd.size, sizeof(struct iommu_viommu_alloc), 0),
		WRONG(cmd.flags, 1, -EOPNOTSUPP),
		WRONG(cmd.flags, 2, -EOPNOTSUPP),
		WRONG(cmd.flags, 1 << 16, -EOPNOTSUPP),
		WRONG(cmd.flags, 1 << 30, -EOPNOTSUPP),
		WRONG(cmd.flags, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.type, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, -EOPNOTSUPP),
		WRONG(cmd.type, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, -EOPNOTSUPP),
		WRONG(cmd.type, IOMMU_VIOMMU_TYPE_SELFTEST - 1, -EOPNOTSUPP),
		WRONG(cmd.type, IOMMU_VIOMMU_TYPE_SELFTEST + 1, -EOPNOTSUPP),
		WRONG(cmd.type, 0x7fffffff, -EOPNOTSUPP),
		WRONG(cmd.type, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.dev_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.dev_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.dev_id, OBJ(STDEV), -ENOENT),
		WRONG(cmd.dev_id, OBJ(S2), -ENOENT),
		WRONG(cmd.dev_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VIOMMU), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.dev_id, OBJ(FAULT), -ENOENT),
		WRONG(cmd.dev_id, OBJ(DEV_VDEV), 0),
		WRONG(cmd.dev_id, OBJ(DEV_OTHER), 0),
		WRONG(cmd.hwpt_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(DEV), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(STDEV), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(VIOMMU), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(FAULT), -ENOENT),
		WRONG(cmd.hwpt_id, OBJ(PLAIN), -EINVAL),
		WRONG(cmd.hwpt_id, OBJ(AUTO), -EINVAL),
		WRONG(cmd.out_viommu_id, 0xffffffff, 0),
		WRONG(cmd.data_len, 0, 0),
		WRONG(cmd.data_len, 1, -EINVAL),
		WRONG(cmd.data_len, 7, -EINVAL),
		WRONG(cmd.data_len, 8, 0),
		WRONG(cmd.data_len, sizeof(struct iommu_viommu_selftest) + 1,
		      -EINVAL),
		WRONG(cmd.data_len, 4096, -EINVAL),
		WRONG(cmd.data_len, 0x7fffffff, -EINVAL),
		WRONG(cmd.data_len, 0xffffffff, -EINVAL),
		WRONG(cmd.__reserved, 1, -EOPNOTSUPP),
		WRONG(cmd.__reserved, 0x80000000, -EOPNOTSUPP),
		WRONG(cmd.__reserved, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.data_uptr, 0, -EFAULT),
		WRONG(cmd.data_uptr, 1, -EFAULT),
		WRONG(cmd.data_uptr, ~0ULL, -EFAULT),
		WRONG(cmd.data_uptr, 1ULL << 63, -EFAULT),
		WRONG(cmd.data_uptr, MEM(NONE), -EFAULT),
		WRONG(cmd.data_uptr, MEM(RO), -EFAULT),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	run_sizes(_metadata, &self->w, &c);
}

TEST_F(wrong, hw_queue_alloc)
{
	size_t page = sysconf(_SC_PAGE_SIZE);
	struct iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = self->vm.viommu,
		.type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
		.nesting_parent_iova = MOCK_APERTURE_START,
		.length = page,
	};
	const struct command c = {
		.nr = IOMMU_HW_QUEUE_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = sizeof(cmd),
		.out_id = &cmd.out_hw_queue_id,
	};
	const __u64 end = MOCK_APERTURE_START + vm_memory_size;
	const struct wrong table[] = {
		WRONG(cmd.size, sizeof(struct iommu_hw_queue_alloc), 0),
		WRONG(cmd.flags, 1, -EOPNOTSUPP),
		WRONG(cmd.flags, 1U << 31, -EOPNOTSUPP),
		WRONG(cmd.viommu_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.viommu_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(DEV), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(S2), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.type, IOMMU_HW_QUEUE_TYPE_DEFAULT, -EOPNOTSUPP),
		WRONG(cmd.type, IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV, -EOPNOTSUPP),
		WRONG(cmd.type, 0xffffffff, -EOPNOTSUPP),
		WRONG(cmd.index, 1, -EIO),
		WRONG(cmd.index, 2, -EINVAL),
		WRONG(cmd.index, 0xffffffff, -EINVAL),
		WRONG(cmd.out_hw_queue_id, 0xffffffff, 0),
		WRONG(cmd.length, 0, -EINVAL),
		WRONG(cmd.length, 1, 0),
		WRONG(cmd.length, MOCK_HW_QUEUE_MAX_LENGTH + 1, -EINVAL),
		WRONG(cmd.length, 1ULL << 40, -EINVAL),
		WRONG(cmd.length, 0x7fffffffffffffff, -EINVAL),
		WRONG(cmd.length, -(__u64)MOCK_APERTURE_START, -EINVAL),
		WRONG(cmd.length, 1 - (__u64)MOCK_APERTURE_START, -EOVERFLOW),
		WRONG(cmd.length, 0xffffffffffffffff, -EOVERFLOW),
		WRONG(cmd.nesting_parent_iova, 0, -ENOENT),
		WRONG(cmd.nesting_parent_iova, MOCK_APERTURE_START - 1, -ENOENT),
		WRONG(cmd.nesting_parent_iova, end - page, 0),
		WRONG(cmd.nesting_parent_iova, end - page + 1, -ENOENT),
		WRONG(cmd.nesting_parent_iova, end - 1, -ENOENT),
		WRONG(cmd.nesting_parent_iova, end, -ENOENT),
		WRONG(cmd.nesting_parent_iova, -page, -ENOENT),
		WRONG(cmd.nesting_parent_iova, 1 - page, -EOVERFLOW),
		WRONG(cmd.nesting_parent_iova, 0xffffffffffffffff, -EOVERFLOW),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	run_sizes(_metadata, &self->w, &c);
}

TEST_F(wrong, vdevice_alloc)
{
	struct iommu_vdevice_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = self->vm.viommu,
		.dev_id = self->vm.dev,
		.virt_id = VIRT_ID + 1,
	};
	const struct command c = {
		.nr = IOMMU_VDEVICE_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = sizeof(cmd),
		.out_id = &cmd.out_vdevice_id,
	};
	const struct wrong table[] = {
		WRONG(cmd.size, sizeof(struct iommu_vdevice_alloc), 0),
		WRONG(cmd.viommu_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.viommu_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(DEV), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(STDEV), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(S2), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(PLAIN), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.viommu_id, OBJ(FAULT), -ENOENT),
		WRONG(cmd.dev_id, NO_OBJECT, -ENOENT),
		WRONG(cmd.dev_id, OBJ(IOAS), -ENOENT),
		WRONG(cmd.dev_id, OBJ(STDEV), -ENOENT),
		WRONG(cmd.dev_id, OBJ(S2), -ENOENT),
		WRONG(cmd.dev_id, OBJ(NESTED), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VIOMMU), -ENOENT),
		WRONG(cmd.dev_id, OBJ(VDEVICE), -ENOENT),
		WRONG(cmd.dev_id, OBJ(FAULT), -ENOENT),
		WRONG(cmd.dev_id, OBJ(DEV_VDEV), -EEXIST),
		WRONG(cmd.dev_id, OBJ(DEV_OTHER), -EINVAL),
		WRONG(cmd.out_vdevice_id, 0xffffffff, 0),
		WRONG(cmd.virt_id, 0, 0),
		WRONG(cmd.virt_id, 1, 0),
		WRONG(cmd.virt_id, 0x7fffffff, 0),
		WRONG(cmd.virt_id, 0xffffffff, 0),
		WRONG(cmd.virt_id, 0x100000000ULL, -EINVAL),
		WRONG(cmd.virt_id, 1ULL << 63, -EINVAL),
		WRONG(cmd.virt_id, ~0ULL - 1, -EINVAL),
		WRONG(cmd.virt_id, ~0ULL, -EINVAL),
		WRONG(cmd.virt_id, VIRT_ID, -EEXIST),
		WRONG(cmd.virt_id, 0x100000000ULL + VIRT_ID, -EINVAL),
	};

	run_table(_metadata, &self->w, &c, table, ARRAY_SIZE(table));
	run_sizes(_metadata, &self->w, &c);
}

TEST_F(wrong, destroy)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd) };

	FAILS(ENOENT, destroy(self->fd, 0));
	FAILS(ENOENT, destroy(self->fd, NO_ID));
	FAILS(ENOENT, destroy(self->fd, 0xffffffff));
	FAILS(ENOENT, destroy(self->fd, self->w.id[OBJ_DEAD]));
	FAILS(ENOENT, destroy(self->fd, self->w.id[OBJ_FREED]));
	/* Two objects in use, and a device that another object owns */
	FAILS(EBUSY, destroy(self->fd, self->w.id[OBJ_VIOMMU]));
	FAILS(EBUSY, destroy(self->fd, self->w.id[OBJ_S2]));
	FAILS(EBUSY, destroy(self->fd, self->w.id[OBJ_DEV]));
	/* Wrong sizes */
	cmd.id = self->w.id[OBJ_VDEVICE];
	cmd.size = sizeof(cmd) - 1;
	FAILS(EINVAL, iommufd_ioctl(self->fd, IOMMU_DESTROY, &cmd));
	EXPECT_EQ(self->w.held, mock_held(self->fd));
}

TEST_F(wrong, mock_operations)
{
	struct iommu_test_cmd cmd = { .size = sizeof(cmd) };
	unsigned int op;

	for (op = IOMMU_TEST_OP_TRIGGER_VEVENT;
	     op <= IOMMU_TEST_OP_PASID_CHECK_HWPT + 2; op++) {
		cmd.op = op;
		cmd.id = NO_ID;
		EXPECT_NE(0, iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &cmd));
	}
	cmd.op = IOMMU_TEST_OP_DEVICE_EVENT + 1;
	FAILS(EOPNOTSUPP, iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &cmd));
	FAILS(EINVAL, mock_fail(self->fd, MOCK_VIOMMU_FAIL_NUM, EIO, 0));
	FAILS(EINVAL, mock_fail(self->fd, 0, 4096, 0));
	FAILS(EINVAL, mock_check_cache(self->fd, self->vm.dev, 4, 0));
	FAILS(EINVAL, mock_check_cache(self->fd, self->vm.dev, 0, 1));
}

TEST_HARNESS_MAIN
