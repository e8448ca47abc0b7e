// SPDX-License-Identifier: GPL-2.0-only
/* Tests of the vIOMMU type that the core manages without driver support */
#include "viommu_utils.h"

FIXTURE(default_type)
{
	struct vm vm;
	int fd;
};

FIXTURE_SETUP(default_type)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
}

FIXTURE_TEARDOWN(default_type)
{
	vm_close(&self->vm);
	NOTHING_LEFT();
}

TEST_F(default_type, alloc)
{
	char data[8] = "";
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = IOMMU_VIOMMU_TYPE_DEFAULT,
		.dev_id = self->vm.dev,
		.hwpt_id = self->vm.s2,
		.data_uptr = (uintptr_t)data,
	};
	int fd = self->fd;
	__u32 plain, id;

	/* It takes no data */
	for (cmd.data_len = 1; cmd.data_len <= sizeof(data); cmd.data_len++)
		FAILS(EOPNOTSUPP, iommufd_ioctl(fd, IOMMU_VIOMMU_ALLOC, &cmd));
	cmd.data_len = 0;
	OK(iommufd_ioctl(fd, IOMMU_VIOMMU_ALLOC, &cmd));
	id = cmd.out_viommu_id;
	cmd.flags = 1;
	FAILS(EOPNOTSUPP, iommufd_ioctl(fd, IOMMU_VIOMMU_ALLOC, &cmd));
	FAILS(ENOENT, viommu_alloc_default(fd, NO_ID, self->vm.s2, &plain));
	FAILS(ENOENT, viommu_alloc_default(fd, self->vm.dev, id, &plain));
	OK(hwpt_alloc(fd, self->vm.dev, self->vm.ioas, 0, &plain));
	FAILS(EINVAL, viommu_alloc_default(fd, self->vm.dev, plain, &cmd.type));
	OK(destroy(fd, plain));

	/* The core does not ask the driver */
	EXPECT_EQ(HELD(1, 0, 0), mock_held(fd));
	OK(destroy(fd, id));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

/* A parent that was allocated for another kind of IOMMU */
TEST_F(default_type, parent_fits)
{
	struct iommu_hwpt_selftest data = {
		.pagetable_type = MOCK_IOMMUPT_HUGE,
	};
	struct iommu_hwpt_alloc huge = {
		.size = sizeof(huge),
		.flags = IOMMU_HWPT_ALLOC_NEST_PARENT,
		.dev_id = self->vm.dev,
		.pt_id = self->vm.ioas,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};
	__u32 dirty, viommu, stdev2, dev2;
	struct vm *vm = &self->vm;
	int fd = self->fd;

	/* A page size that the mock only supports on demand */
	OK(iommufd_ioctl(fd, IOMMU_HWPT_ALLOC, &huge));
	FAILS(EINVAL, viommu_alloc_default(fd, vm->dev, huge.out_hwpt_id,
					   &viommu));
	OK(destroy(fd, huge.out_hwpt_id));

	OK(mock_plug(fd, vm->ioas, MOCK_FLAGS_DEVICE_NO_DIRTY, &stdev2, &dev2));
	OK(hwpt_alloc(fd, vm->dev, vm->ioas,
		      IOMMU_HWPT_ALLOC_NEST_PARENT |
			      IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		      &dirty));
	FAILS(EINVAL, viommu_alloc_default(fd, dev2, dirty, &viommu));
	OK(viommu_alloc_default(fd, vm->dev, dirty, &viommu));
	OK(destroy(fd, viommu));
	OK(viommu_alloc_default(fd, dev2, vm->s2, &viommu));
	OK(destroy(fd, viommu));
	OK(destroy(fd, dirty));
	OK(destroy(fd, stdev2));
	EXPECT_EQ(0, vm_take_apart(vm));
}

TEST_F(default_type, vdevices)
{
	__u32 viommu, stdev2, dev2, stdev3, dev3, vdevice, vdevice2;
	struct vm *vm = &self->vm;
	int fd = self->fd;

	OK(viommu_alloc_default(fd, vm->dev, vm->s2, &viommu));
	OK(mock_plug(fd, vm->ioas, 0, &stdev2, &dev2));
	OK(mock_plug(fd, vm->ioas, MOCK_FLAGS_DEVICE_SECOND_IOMMU, &stdev3,
		     &dev3));
	OK(vdevice_alloc(fd, viommu, vm->dev, VIRT_ID, &vdevice));
	FAILS(EEXIST, vdevice_alloc(fd, viommu, vm->dev, 1, &vdevice2));
	FAILS(EEXIST, vdevice_alloc(fd, viommu, dev2, VIRT_ID, &vdevice2));
	FAILS(EEXIST, vdevice_alloc(fd, vm->viommu, vm->dev, 1, &vdevice2));
	FAILS(EINVAL, vdevice_alloc(fd, viommu, dev3, 1, &vdevice2));
	OK(vdevice_alloc(fd, viommu, dev2, 1, &vdevice2));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(fd));
	FAILS(EBUSY, destroy(fd, viommu));

	/* They are destroyed as any other */
	OK(destroy(fd, stdev2));
	FAILS(ENOENT, destroy(fd, vdevice2));
	FAILS(EBUSY, destroy(fd, viommu));
	OK(destroy(fd, vdevice));
	OK(destroy(fd, viommu));
	OK(destroy(fd, stdev3));
	EXPECT_EQ(0, vm_take_apart(vm));
}

/* Its nested HWPTs are the plain ones of the driver, which need no vDEVICE */
TEST_F(default_type, nested_hwpt)
{
	struct iommu_hwpt_invalidate_selftest inv = {
		.flags = IOMMU_TEST_INVALIDATE_FLAG_ALL,
	};
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.data_uptr = (uintptr_t)&inv,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
		.entry_len = sizeof(inv),
		.entry_num = 1,
	};
	struct iommu_test_cmd check = {
		.size = sizeof(check),
		.op = IOMMU_TEST_OP_MD_CHECK_IOTLB,
	};
	__u32 viommu, nested, nested2, fault, vdevice, stdev2, dev2;
	struct vm *vm = &self->vm;
	int fd = self->fd;
	int fault_fd;

	OK(viommu_alloc_default(fd, vm->dev, vm->s2, &viommu));
	OK(mock_plug(fd, vm->ioas, MOCK_FLAGS_DEVICE_SECOND_IOMMU, &stdev2,
		     &dev2));
	FAILS(EINVAL, nested_alloc(fd, dev2, viommu, 0, &nested));
	FAILS(EOPNOTSUPP, hwpt_alloc(fd, vm->dev, viommu, 0, &nested));
	OK(nested_alloc(fd, vm->dev, viommu, 0, &nested));
	OK(mock_attach(fd, vm->stdev, nested));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(fd));

	/* Invalidated by itself, as without a vIOMMU */
	cmd.hwpt_id = nested;
	OK(iommufd_ioctl(fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(1, cmd.entry_num);
	check.id = nested;
	OK(iommufd_ioctl(fd, IOMMU_TEST_CMD, &check));
	cmd.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST + 1;
	FAILS(EINVAL, iommufd_ioctl(fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(0, cmd.entry_num);

	/* The vIOMMU itself has no command, not even a probe */
	cmd.hwpt_id = viommu;
	for (cmd.data_type = 0; cmd.data_type < 3; cmd.data_type++) {
		cmd.entry_num = 1;
		FAILS(EOPNOTSUPP,
		      iommufd_ioctl(fd, IOMMU_HWPT_INVALIDATE, &cmd));
		EXPECT_EQ(0, cmd.entry_num);
		cmd.entry_num = 0;
		FAILS(EOPNOTSUPP,
		      iommufd_ioctl(fd, IOMMU_HWPT_INVALIDATE, &cmd));
	}
	FAILS(EOPNOTSUPP, invalidate_one(fd, viommu, VIRT_ID, 0));

	/* With a vDEVICE and a fault queue as well, a hitless replace */
	OK(vdevice_alloc(fd, viommu, vm->dev, VIRT_ID, &vdevice));
	FAILS(EOPNOTSUPP, invalidate_one(fd, viommu, VIRT_ID, 0));
	OK(fault_queue_alloc(fd, &fault, &fault_fd));
	OK(nested_alloc(fd, vm->dev, viommu, fault, &nested2));
	OK(mock_attach(fd, vm->stdev, nested2));
	OK(destroy(fd, nested));

	/* References between objects */
	close(fault_fd);
	FAILS(EBUSY, destroy(fd, fault));
	FAILS(EBUSY, destroy(fd, nested2));
	FAILS(EBUSY, destroy(fd, viommu));
	FAILS(EBUSY, destroy(fd, vm->s2));
	OK(mock_attach(fd, vm->stdev, vm->ioas));
	FAILS(EBUSY, destroy(fd, viommu));
	OK(destroy(fd, nested2));
	OK(destroy(fd, fault));
	FAILS(EBUSY, destroy(fd, viommu));
	OK(destroy(fd, vdevice));
	OK(destroy(fd, vm->viommu));
	FAILS(EBUSY, destroy(fd, vm->s2));
	OK(destroy(fd, viommu));
	OK(destroy(fd, stdev2));
	OK(destroy(fd, vm->s2));
	/* For the common teardown */
	OK(hwpt_alloc(fd, vm->dev, vm->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
		      &vm->s2));
	OK(viommu_alloc(fd, vm->dev, vm->s2, NULL, &vm->viommu));
	EXPECT_EQ(0, vm_take_apart(vm));
}

TEST_HARNESS_MAIN
