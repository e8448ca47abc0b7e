// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the vIOMMU and vDEVICE objects of iommufd, on its mock driver
 *
 * A VMM tries, and the errno decides what it tries next. So the tests hold the
 * kernel to the errno of each mistake, to the order in which VMMs make and
 * destroy objects, and to leaving nothing behind, whoever dies first.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "viommu_utils.h"

#define VIRT_ID 0x1234
#define NO_ID 0x7ffffff0

FIXTURE(viommu)
{
	struct vm vm;
	int fd;
};

FIXTURE_SETUP(viommu)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
}

FIXTURE_TEARDOWN(viommu)
{
	vm_close(&self->vm);
	NOTHING_LEFT();
}

/* Allocation, and who holds whom */

TEST_F(viommu, alloc_loops_data_back)
{
	struct iommu_viommu_selftest data = {
		.in_data = 0xcafe,
		.out_data = 0xaa,
		.out_mmap_offset = ~0ULL,
		.out_mmap_length = ~0ULL,
	};
	__u32 id, ids[20];
	unsigned int i;

	OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, &data, &id));
	EXPECT_EQ(0xcafe, data.in_data);
	EXPECT_EQ(0xcafe, data.out_data);
	EXPECT_EQ(HELD(2, 0, 0), mock_held(self->fd));
	OK(destroy(self->fd, id));

	/* Many fit on one nesting parent, each with an ID of its own */
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, NULL,
				&ids[i]));
		ASSERT_NE(self->vm.viommu, ids[i]);
		ASSERT_NE(i ? ids[i - 1] : 0, ids[i]);
	}
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		OK(destroy(self->fd, ids[i]));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(viommu, children_hold_it_and_it_holds_its_parent)
{
	__u32 nested, vdevice;
	int fd = self->fd;

	FAILS(EBUSY, destroy(fd, self->vm.s2));
	FAILS(EBUSY, destroy(fd, self->vm.ioas));

	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &nested));
	FAILS(EBUSY, destroy(fd, self->vm.viommu));
	FAILS(EBUSY, destroy(fd, self->vm.s2));
	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID, &vdevice));
	EXPECT_EQ(HELD(1, 1, 1), mock_held(fd));
	OK(destroy(fd, nested));
	FAILS(EBUSY, destroy(fd, self->vm.viommu));
	OK(destroy(fd, vdevice));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(fd));

	/* Nothing but children holds it: not the device, not an attached S2 */
	OK(mock_attach(fd, self->vm.stdev, self->vm.s2));
	OK(destroy(fd, self->vm.viommu));
	FAILS(EBUSY, destroy(fd, self->vm.s2));
	OK(mock_attach(fd, self->vm.stdev, self->vm.ioas));
	OK(destroy(fd, self->vm.s2));
}

/* It names a slice of the IOMMU, not the device that it was made with */
TEST_F(viommu, outlives_its_device)
{
	__u32 stdev, dev, nested, vdevice;
	int fd = self->fd;

	OK(destroy(fd, self->vm.stdev));
	OK(mock_plug(fd, self->vm.ioas, 0, &stdev, &dev));
	OK(vdevice_alloc(fd, self->vm.viommu, dev, VIRT_ID, &vdevice));
	OK(nested_alloc(fd, dev, self->vm.viommu, 0, &nested));
	OK(mock_attach(fd, stdev, nested));
	self->vm.stdev = stdev;
	FAILS(EBUSY, vm_take_apart(&self->vm));
}

TEST_F(viommu, attach_needs_a_vdevice)
{
	__u32 nested, nested2, vdevice, other, other_vdevice;
	int fd = self->fd;

	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &nested));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested));

	/* One on another vIOMMU does not count */
	OK(viommu_alloc(fd, self->vm.dev, self->vm.s2, NULL, &other));
	OK(vdevice_alloc(fd, other, self->vm.dev, VIRT_ID, &other_vdevice));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested));
	OK(destroy(fd, other_vdevice));

	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID, &vdevice));
	OK(mock_attach(fd, self->vm.stdev, nested));
	FAILS(EBUSY, destroy(fd, nested));

	/* The vDEVICE may go first; the next attach misses it, and is undone */
	OK(destroy(fd, vdevice));
	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &nested2));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested2));
	OK(destroy(fd, nested2));
	FAILS(EBUSY, destroy(fd, nested));
	OK(mock_attach(fd, self->vm.stdev, self->vm.s2));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested));
	OK(destroy(fd, nested));

	/* Nested HWPTs on the parent itself need none */
	OK(nested_alloc(fd, self->vm.dev, self->vm.s2, 0, &nested));
	OK(mock_attach(fd, self->vm.stdev, nested));
	OK(mock_attach(fd, self->vm.stdev, self->vm.ioas));
	OK(destroy(fd, nested));
	OK(destroy(fd, other));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(viommu, only_page_tables_attach)
{
	__u32 vdevice;

	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &vdevice));
	FAILS(EINVAL, mock_attach(self->fd, self->vm.stdev, self->vm.viommu));
	FAILS(EINVAL, mock_attach(self->fd, self->vm.stdev, vdevice));
	FAILS(EINVAL, mock_attach(self->fd, self->vm.stdev, self->vm.dev));
	FAILS(ENOENT, mock_attach(self->fd, self->vm.stdev, NO_ID));
	OK(destroy(self->fd, vdevice));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(viommu, virtual_ids_are_unique_on_one_viommu)
{
	__u32 stdev2, dev2, vdevice, vdevice2, other;
	int fd = self->fd;

	OK(mock_plug(fd, self->vm.ioas, 0, &stdev2, &dev2));
	OK(viommu_alloc(fd, self->vm.dev, self->vm.s2, NULL, &other));
	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID, &vdevice));

	/* The device has one, on whatever vIOMMU */
	FAILS(EEXIST, vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID,
				    &vdevice2));
	FAILS(EEXIST, vdevice_alloc(fd, self->vm.viommu, self->vm.dev,
				    VIRT_ID + 1, &vdevice2));
	FAILS(EEXIST,
	      vdevice_alloc(fd, other, self->vm.dev, VIRT_ID + 1, &vdevice2));
	/* The ID is taken */
	FAILS(EEXIST,
	      vdevice_alloc(fd, self->vm.viommu, dev2, VIRT_ID, &vdevice2));
	EXPECT_EQ(HELD(2, 1, 0), mock_held(fd));
	/* The failures have left the first one working, and nobody else */
	EXPECT_EQ(0, invalidate_one(fd, self->vm.viommu, VIRT_ID, 2));
	EXPECT_EQ(0xb, mock_cached(fd, self->vm.dev));
	EXPECT_EQ(0xf, mock_cached(fd, dev2));
	FAILS(EINVAL, invalidate_one(fd, self->vm.viommu, VIRT_ID + 1, 0));

	/* Another vIOMMU is another number space */
	OK(vdevice_alloc(fd, other, dev2, VIRT_ID, &vdevice2));
	EXPECT_EQ(0, invalidate_one(fd, other, VIRT_ID, 0));
	EXPECT_EQ(0xb, mock_cached(fd, self->vm.dev));
	EXPECT_EQ(0xe, mock_cached(fd, dev2));

	/* Both device and ID are free again after a DESTROY */
	OK(destroy(fd, vdevice));
	OK(destroy(fd, vdevice2));
	FAILS(EINVAL, invalidate_one(fd, self->vm.viommu, VIRT_ID, 0));
	OK(vdevice_alloc(fd, self->vm.viommu, dev2, VIRT_ID, &vdevice2));
	OK(vdevice_alloc(fd, other, self->vm.dev, VIRT_ID, &vdevice));
	OK(destroy(fd, vdevice));
	OK(destroy(fd, vdevice2));
	OK(destroy(fd, other));
	OK(destroy(fd, stdev2));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(viommu, one_stage2_serves_two_iommus)
{
	__u32 stdev2, dev2, stdev3, dev3, viommu2, nested1, nested2, vdev1,
		vdev2;
	struct vm *vm = &self->vm;
	int fd = self->fd;
	__u32 id;

	OK(mock_plug(fd, vm->ioas, MOCK_FLAGS_DEVICE_SECOND_IOMMU, &stdev2,
		     &dev2));
	OK(mock_plug(fd, vm->ioas, 0, &stdev3, &dev3));
	OK(viommu_alloc(fd, dev2, vm->s2, NULL, &viommu2));

	/* Each device belongs to the vIOMMU of its own IOMMU */
	FAILS(EINVAL, nested_alloc(fd, vm->dev, viommu2, 0, &id));
	FAILS(EINVAL, nested_alloc(fd, dev2, vm->viommu, 0, &id));
	FAILS(EINVAL, vdevice_alloc(fd, viommu2, vm->dev, 1, &id));
	FAILS(EINVAL, vdevice_alloc(fd, vm->viommu, dev2, 1, &id));
	EXPECT_EQ(HELD(2, 0, 0), mock_held(fd));

	OK(nested_alloc(fd, vm->dev, vm->viommu, 0, &nested1));
	OK(nested_alloc(fd, dev2, viommu2, 0, &nested2));
	OK(vdevice_alloc(fd, vm->viommu, vm->dev, 1, &vdev1));
	OK(vdevice_alloc(fd, viommu2, dev2, 1, &vdev2));
	FAILS(ENOENT, mock_attach(fd, stdev2, nested1));
	FAILS(ENOENT, mock_attach(fd, vm->stdev, nested2));
	OK(mock_attach(fd, vm->stdev, nested1));
	OK(mock_attach(fd, stdev2, nested2));
	OK(mock_attach(fd, stdev3, vm->s2));

	/* A device without a vDEVICE is beside them, on the same stage 2 */
	OK(invalidate_one(fd, viommu2, 1, 3));
	EXPECT_EQ(0xf, mock_cached(fd, vm->dev));
	EXPECT_EQ(0x7, mock_cached(fd, dev2));
	EXPECT_EQ(0xf, mock_cached(fd, dev3));

	OK(destroy(fd, stdev2));
	FAILS(ENOENT, destroy(fd, vdev2));
	OK(destroy(fd, nested2));
	OK(destroy(fd, viommu2));
	OK(destroy(fd, stdev3));
	OK(destroy(fd, vdev1));
	OK(mock_attach(fd, vm->stdev, vm->ioas));
	OK(destroy(fd, nested1));
	EXPECT_EQ(0, vm_take_apart(vm));
}

/* A VMM's life: boot, guest STE writes, guest reset, shutdown */
TEST_F(viommu, guest_life)
{
	struct vm *vm = &self->vm;
	__u32 s1, old = 0, vdevice;
	int fd = self->fd;
	int write, boot;

	OK(mock_attach(fd, vm->stdev, vm->s2));
	for (boot = 0; boot < 3; boot++) {
		OK(vdevice_alloc(fd, vm->viommu, vm->dev, VIRT_ID, &vdevice));
		for (write = 0; write < 20; write++) {
			OK(nested_alloc(fd, vm->dev, vm->viommu, 0, &s1));
			if (write == 7) {
				/* A failure leaves the live one in place */
				OK(mock_fail(fd, MOCK_VIOMMU_FAIL_ATTACH, EIO,
					     0));
				FAILS(EIO, mock_attach(fd, vm->stdev, s1));
				FAILS(EBUSY, destroy(fd, old));
				OK(destroy(fd, s1));
				continue;
			}
			OK(mock_attach(fd, vm->stdev, s1));
			/* The old one is free at once */
			if (old)
				OK(destroy(fd, old));
			old = s1;
			OK(invalidate_one(fd, vm->viommu, VIRT_ID, 0));
			ASSERT_EQ(HELD(1, 1, 1), mock_held(fd));
		}
		OK(mock_attach(fd, vm->stdev, vm->s2));
		OK(destroy(fd, old));
		old = 0;
		OK(destroy(fd, vdevice));
	}
	OK(mock_attach(fd, vm->stdev, vm->ioas));
	EXPECT_EQ(0, vm_take_apart(vm));
}

TEST_F(viommu, nested_hwpt_takes_a_fault_queue)
{
	struct vm *vm = &self->vm;
	__u32 fault, nested, vdevice;
	int fd = self->fd;
	int fault_fd;

	OK(fault_queue_alloc(fd, &fault, &fault_fd));
	FAILS(ENOENT, nested_alloc(fd, vm->dev, vm->viommu, NO_ID, &nested));
	FAILS(ENOENT, nested_alloc(fd, vm->dev, vm->viommu, vm->dev, &nested));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(fd));
	OK(nested_alloc(fd, vm->dev, vm->viommu, fault, &nested));
	OK(vdevice_alloc(fd, vm->viommu, vm->dev, VIRT_ID, &vdevice));
	OK(mock_attach(fd, vm->stdev, nested));
	OK(mock_attach(fd, vm->stdev, vm->ioas));
	close(fault_fd);
	FAILS(EBUSY, destroy(fd, fault));
	OK(destroy(fd, nested));
	OK(destroy(fd, fault));
	OK(destroy(fd, vdevice));
	EXPECT_EQ(0, vm_take_apart(vm));
}

/* Each command of a nested HWPT on a vIOMMU works as on its parent */
TEST_F(viommu, nested_hwpt_has_its_own_cache)
{
	struct iommu_hwpt_invalidate_selftest inv = { .iotlb_id = 1 };
	struct iommu_test_cmd check = {
		.size = sizeof(check),
		.op = IOMMU_TEST_OP_MD_CHECK_IOTLB,
	};
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.data_uptr = (uintptr_t)&inv,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
		.entry_len = sizeof(inv),
		.entry_num = 1,
	};
	unsigned int i;
	__u32 nested;

	OK(nested_alloc(self->fd, self->vm.dev, self->vm.viommu, 0, &nested));
	cmd.hwpt_id = nested;
	OK(iommufd_ioctl(self->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(1, cmd.entry_num);
	check.id = nested;
	for (i = 0; i < MOCK_NESTED_DOMAIN_IOTLB_NUM; i++) {
		check.check_iotlb.id = i;
		check.check_iotlb.iotlb = i == 1 ? 0 : IOMMU_TEST_IOTLB_DEFAULT;
		EXPECT_EQ(0, iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &check));
	}
	OK(destroy(self->fd, nested));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

/* The type that needs no driver */

/* What a reader learns before it opens anything */
TEST_F(viommu, sysfs)
{
	static const struct {
		const char *file, *text;
	} expected[] = {
		{ "types", "3735928559 0\n" },
		{ "nesting", "1\n" },
		{ "ats", "0\n" },
		{ "max_pasid_log2", "0\n" },
	};
	char path[128], text[64];
	unsigned int i;
	ssize_t len;
	int fd;

	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		snprintf(path, sizeof(path),
			 "/sys/class/iommu/iommufd_selftest_iommu.0/viommu/%s",
			 expected[i].file);
		fd = open(path, O_RDWR);
		ASSERT_EQ(-1, fd);
		ASSERT_EQ(EACCES, errno);
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		len = read(fd, text, sizeof(text) - 1);
		ASSERT_LT(0, len);
		text[len] = '\0';
		EXPECT_STREQ(expected[i].text, text);
		close(fd);
	}
}

TEST_F(viommu, default_type_alloc)
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

	/* It has no data */
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

	/* The driver is not asked */
	EXPECT_EQ(HELD(1, 0, 0), mock_held(fd));
	OK(destroy(fd, id));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

/* A parent that was made for another kind of IOMMU */
TEST_F(viommu, default_type_parent_fits)
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

	/* Pages of a size that the mock has on demand only */
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

TEST_F(viommu, default_type_vdevices)
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

	/* They go as any other does */
	OK(destroy(fd, stdev2));
	FAILS(ENOENT, destroy(fd, vdevice2));
	FAILS(EBUSY, destroy(fd, viommu));
	OK(destroy(fd, vdevice));
	OK(destroy(fd, viommu));
	OK(destroy(fd, stdev3));
	EXPECT_EQ(0, vm_take_apart(vm));
}

/* Its nested HWPTs are the driver's plain ones, which need no vDEVICE */
TEST_F(viommu, default_type_nested_hwpt)
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

	/* Who holds whom */
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
	/* For the common end */
	OK(hwpt_alloc(fd, vm->dev, vm->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
		      &vm->s2));
	OK(viommu_alloc(fd, vm->dev, vm->s2, NULL, &vm->viommu));
	EXPECT_EQ(0, vm_take_apart(vm));
}

/* Invalidation */

FIXTURE(invalidate)
{
	struct vm vm;
	int fd;
	__u32 vdevice;
};

FIXTURE_SETUP(invalidate)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
	ASSERT_EQ(0xf, mock_cached(self->fd, self->vm.dev));
}

FIXTURE_TEARDOWN(invalidate)
{
	EXPECT_EQ(0, destroy(self->fd, self->vdevice));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
	vm_close(&self->vm);
	NOTHING_LEFT();
}

TEST_F(invalidate, one_by_one)
{
	unsigned int i;

	for (i = 0; i < MOCK_DEV_CACHE_NUM; i++) {
		OK(invalidate_one(self->fd, self->vm.viommu, VIRT_ID, i));
		EXPECT_EQ(0xf & (0xe << i),
			  mock_cached(self->fd, self->vm.dev));
	}
	/* Again, of what is not cached */
	OK(invalidate_one(self->fd, self->vm.viommu, VIRT_ID, 0));
}

TEST_F(invalidate, all_of_one_device_only)
{
	struct iommu_viommu_invalidate_selftest inv = {
		.flags = IOMMU_TEST_INVALIDATE_FLAG_ALL,
		.vdev_id = VIRT_ID,
	};
	__u32 stdev2, dev2, vdevice2, num = 1;

	OK(mock_plug(self->fd, self->vm.ioas, 0, &stdev2, &dev2));
	OK(vdevice_alloc(self->fd, self->vm.viommu, dev2, VIRT_ID + 1,
			 &vdevice2));
	OK(invalidate(self->fd, self->vm.viommu, &inv, &num));
	EXPECT_EQ(1, num);
	EXPECT_EQ(0, mock_cached(self->fd, self->vm.dev));
	EXPECT_EQ(0xf, mock_cached(self->fd, dev2));
	OK(destroy(self->fd, stdev2));
}

/* No entry of a type that is known: how a VMM asks whether it is */
TEST_F(invalidate, empty_array_is_a_probe)
{
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = self->vm.viommu,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
	};

	EXPECT_EQ(0, iommufd_ioctl(self->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(0, cmd.entry_num);
	cmd.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID;
	FAILS(EINVAL, iommufd_ioctl(self->fd, IOMMU_HWPT_INVALIDATE, &cmd));
	EXPECT_EQ(0, cmd.entry_num);
	EXPECT_EQ(0xf, mock_cached(self->fd, self->vm.dev));
}

/*
 * Whatever is wrong with command n, those before it are done, those behind it
 * are not, and the count says n.
 */
TEST_F(invalidate, count_is_the_index_of_the_first_failure)
{
	static const struct {
		struct iommu_viommu_invalidate_selftest cmd;
		int rc;
	} bad[] = {
		{ { .vdev_id = VIRT_ID, .flags = 2 }, -EOPNOTSUPP },
		{ { .vdev_id = VIRT_ID, .flags = ~0U }, -EOPNOTSUPP },
		{ { .vdev_id = VIRT_ID, .flags = ~0U << 1 }, -EOPNOTSUPP },
		{ { .vdev_id = VIRT_ID, .cache_id = 4 }, -EINVAL },
		{ { .vdev_id = VIRT_ID, .cache_id = ~0U }, -EINVAL },
		{ { .vdev_id = VIRT_ID + 1 }, -EINVAL },
		{ { .vdev_id = 0 }, -EINVAL },
		{ { .vdev_id = ~0U }, -EINVAL },
	};
	struct iommu_viommu_invalidate_selftest inv[MOCK_DEV_CACHE_NUM];
	unsigned int row, n, i;
	__u32 num;

	for (row = 0; row < ARRAY_SIZE(bad); row++) {
		for (n = 0; n < ARRAY_SIZE(inv); n++) {
			/* A new device, for a full cache */
			OK(destroy(self->fd, self->vm.stdev));
			OK(mock_plug(self->fd, self->vm.ioas, 0,
				     &self->vm.stdev, &self->vm.dev));
			OK(vdevice_alloc(self->fd, self->vm.viommu,
					 self->vm.dev, VIRT_ID,
					 &self->vdevice));
			for (i = 0; i < ARRAY_SIZE(inv); i++)
				inv[i] = (typeof(inv[0])){ .vdev_id = VIRT_ID,
							   .cache_id = i };
			inv[n] = bad[row].cmd;
			num = ARRAY_SIZE(inv);
			EXPECT_EQ(bad[row].rc,
				  invalidate(self->fd, self->vm.viommu, inv,
					     &num)) {
				TH_LOG("row %u, command %u", row, n);
			}
			EXPECT_EQ(n, num);
			EXPECT_EQ(0xf & (0xf << n),
				  mock_cached(self->fd, self->vm.dev));
		}
	}
}

TEST_F(invalidate, driver_failure_in_the_middle)
{
	struct iommu_viommu_invalidate_selftest inv[MOCK_DEV_CACHE_NUM];
	unsigned int n, i;
	__u32 num;

	for (i = 0; i < ARRAY_SIZE(inv); i++)
		inv[i] = (typeof(inv[0])){ .vdev_id = VIRT_ID, .cache_id = i };
	for (n = 0; n < ARRAY_SIZE(inv); n++) {
		OK(mock_fail(self->fd, MOCK_VIOMMU_FAIL_CACHE_INVALIDATE, EIO,
			     n));
		num = ARRAY_SIZE(inv);
		FAILS(EIO, invalidate(self->fd, self->vm.viommu, inv, &num));
		EXPECT_EQ(n, num);
		EXPECT_EQ(0xf & (0xf << n),
			  mock_cached(self->fd, self->vm.dev));
		/* The rest can be sent again */
		num = ARRAY_SIZE(inv) - n;
		if (n == ARRAY_SIZE(inv) - 1)
			OK(invalidate(self->fd, self->vm.viommu, inv + n,
				      &num));
	}
	EXPECT_EQ(0, mock_cached(self->fd, self->vm.dev));
}

/* A page fault counts as any failure; memory that is not needed is not read */
TEST_F(invalidate, array_reaches_into_unmapped_memory)
{
	size_t page = sysconf(_SC_PAGE_SIZE);
	struct iommu_viommu_invalidate_selftest *inv;
	unsigned int i;
	char *mem;
	__u32 num;

	mem = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)mem);
	OK(munmap(mem + page, page));
	inv = (void *)(mem + page - 3 * sizeof(*inv) - 1);
	for (i = 0; i < 3; i++)
		inv[i] = (typeof(*inv)){ .vdev_id = VIRT_ID, .cache_id = i };
	num = 4;
	FAILS(EFAULT, invalidate(self->fd, self->vm.viommu, inv, &num));
	EXPECT_EQ(3, num);
	EXPECT_EQ(0x8, mock_cached(self->fd, self->vm.dev));
	num = 3;
	EXPECT_EQ(0, invalidate(self->fd, self->vm.viommu, inv, &num));
	EXPECT_EQ(3, num);
	munmap(mem, page);
}

/* A whole guest command queue at once, with and without a bad last command */
TEST_F_TIMEOUT(invalidate, as_many_as_a_queue_holds, 120)
{
	const __u32 max = 1 << 19;
	struct iommu_viommu_invalidate_selftest *inv;
	__u32 num, i;

	inv = calloc(max + 1, sizeof(*inv));
	ASSERT_NE(NULL, inv);
	for (i = 0; i < max + 1; i++) {
		inv[i].vdev_id = VIRT_ID;
		inv[i].cache_id = i % 3;
	}
	inv[max - 1].cache_id = 3;
	num = max + 1;
	FAILS(EINVAL, invalidate(self->fd, self->vm.viommu, inv, &num));
	EXPECT_EQ(0, num);
	EXPECT_EQ(0xf, mock_cached(self->fd, self->vm.dev));
	inv[max - 1].vdev_id++;
	num = max;
	FAILS(EINVAL, invalidate(self->fd, self->vm.viommu, inv, &num));
	EXPECT_EQ(max - 1, num);
	EXPECT_EQ(0x8, mock_cached(self->fd, self->vm.dev));
	inv[max - 1].vdev_id--;
	num = max;
	EXPECT_EQ(0, invalidate(self->fd, self->vm.viommu, inv, &num));
	EXPECT_EQ(max, num);
	EXPECT_EQ(0, mock_cached(self->fd, self->vm.dev));
	free(inv);
}

TEST_F(invalidate, vdevice_is_found_while_it_lives)
{
	int fd = self->fd;

	OK(destroy(fd, self->vdevice));
	FAILS(EINVAL, invalidate_one(fd, self->vm.viommu, VIRT_ID, 0));
	EXPECT_EQ(0xf, mock_cached(fd, self->vm.dev));
	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID + 1,
			 &self->vdevice));
	FAILS(EINVAL, invalidate_one(fd, self->vm.viommu, VIRT_ID, 0));
	EXPECT_EQ(0, invalidate_one(fd, self->vm.viommu, VIRT_ID + 1, 0));
	EXPECT_EQ(0xe, mock_cached(fd, self->vm.dev));
}

/* A driver that fails is believed, and nothing is left of what it refused */

FIXTURE(driver_fails)
{
	struct vm vm;
	int fd;
	__u32 next;
};

FIXTURE_VARIANT(driver_fails)
{
	int error;
};

FIXTURE_VARIANT_ADD(driver_fails, eopnotsupp)
{
	.error = EOPNOTSUPP,
};

FIXTURE_VARIANT_ADD(driver_fails, einval)
{
	.error = EINVAL,
};

FIXTURE_VARIANT_ADD(driver_fails, eio)
{
	.error = EIO,
};

FIXTURE_VARIANT_ADD(driver_fails, ebusy)
{
	.error = EBUSY,
};

FIXTURE_VARIANT_ADD(driver_fails, enomem)
{
	.error = ENOMEM,
};

FIXTURE_SETUP(driver_fails)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	self->next = next_id(self->fd);
}

FIXTURE_TEARDOWN(driver_fails)
{
	EXPECT_EQ(self->next, next_id(self->fd));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
	vm_close(&self->vm);
	NOTHING_LEFT();
}

#define driver_fails(_call)                                        \
	ASSERT_EQ(0, mock_fail(self->fd, MOCK_VIOMMU_FAIL_##_call, \
			       variant->error, 0))

TEST_F(driver_fails, supported)
{
	__u32 id;

	driver_fails(SUPPORTED);
	EXPECT_EQ(-variant->error,
		  viommu_alloc(self->fd, self->vm.dev, self->vm.s2, NULL, &id));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->fd));
	OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, NULL, &id));
	OK(destroy(self->fd, id));
}

TEST_F(driver_fails, init)
{
	__u32 id;

	driver_fails(INIT);
	EXPECT_EQ(-variant->error,
		  viommu_alloc(self->fd, self->vm.dev, self->vm.s2, NULL, &id));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->fd));
	OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, NULL, &id));
	OK(destroy(self->fd, id));
}

TEST_F(driver_fails, alloc_nested)
{
	__u32 id;

	driver_fails(ALLOC_NESTED);
	EXPECT_EQ(-variant->error, nested_alloc(self->fd, self->vm.dev,
						self->vm.viommu, 0, &id));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->fd));
	OK(nested_alloc(self->fd, self->vm.dev, self->vm.viommu, 0, &id));
	OK(destroy(self->fd, id));
}

TEST_F(driver_fails, vdevice_init)
{
	__u32 id;

	driver_fails(VDEVICE_INIT);
	EXPECT_EQ(-variant->error, vdevice_alloc(self->fd, self->vm.viommu,
						 self->vm.dev, VIRT_ID, &id));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->fd));
	FAILS(EINVAL, invalidate_one(self->fd, self->vm.viommu, VIRT_ID, 0));
	/* The device can still go */
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &id));
	OK(destroy(self->fd, id));
}

TEST_F(driver_fails, attach)
{
	__u32 first, second, vdevice;
	int fd = self->fd;

	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID, &vdevice));
	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &first));
	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &second));

	/* From the IOAS, then from another nested HWPT; the old one stays */
	driver_fails(ATTACH);
	EXPECT_EQ(-variant->error, mock_attach(fd, self->vm.stdev, first));
	OK(destroy(fd, first));
	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &first));
	OK(mock_attach(fd, self->vm.stdev, first));
	driver_fails(ATTACH);
	EXPECT_EQ(-variant->error, mock_attach(fd, self->vm.stdev, second));
	FAILS(EBUSY, destroy(fd, first));
	OK(destroy(fd, second));
	EXPECT_EQ(HELD(1, 1, 1), mock_held(fd));
	/* So does the vDEVICE */
	EXPECT_EQ(0, invalidate_one(fd, self->vm.viommu, VIRT_ID, 0));
	OK(mock_attach(fd, self->vm.stdev, self->vm.ioas));
	OK(destroy(fd, first));
	OK(destroy(fd, vdevice));
}

TEST_F(driver_fails, cache_invalidate)
{
	__u32 vdevice;
	int fd = self->fd;

	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID, &vdevice));
	driver_fails(CACHE_INVALIDATE);
	EXPECT_EQ(-variant->error,
		  invalidate_one(fd, self->vm.viommu, VIRT_ID, 0));
	EXPECT_EQ(0xf, mock_cached(fd, self->vm.dev));
	EXPECT_EQ(0, invalidate_one(fd, self->vm.viommu, VIRT_ID, 0));
	OK(destroy(fd, vdevice));
}

/*
 * Wrong input: tables of one member set to one value in a command that works
 *
 * Values that are known at run time only are placeholders, OBJ(x) and MEM(x).
 */

enum {
	OBJ_IOAS,
	OBJ_DEV,
	OBJ_STDEV,
	OBJ_AUTO, /* the HWPT that an IOAS makes by itself */
	OBJ_PLAIN, /* a paging HWPT that is no nesting parent */
	OBJ_S2,
	OBJ_VIOMMU,
	OBJ_NESTED,
	OBJ_DEV_VDEV, /* the device with a vDEVICE */
	OBJ_VDEVICE,
	OBJ_DEV_OTHER, /* behind the other IOMMU */
	OBJ_FAULT,
	OBJ_DEAD, /* a vDEVICE that has gone with its device */
	OBJ_FREED,
	MEM_NONE,
	MEM_RO,
	OBJ_NUM,
};

#define PLACEHOLDER 0x1dea0000ULL
#define OBJ(x) (PLACEHOLDER << 32 | OBJ_##x)
#define MEM(x) (PLACEHOLDER << 32 | MEM_##x)

/* Stands for each ID under which there is no object */
#define NO_OBJECT (PLACEHOLDER << 32 | OBJ_NUM)

struct wrong {
	const char *what;
	void *member;
	size_t size;
	__u64 value;
	int rc;
};

/* Of a command that works, set one member to a value, and it returns rc */
#define WRONG(_member, _value, _rc)                                   \
	{                                                             \
		.what = #_member " = " #_value, .member = &(_member), \
		.size = sizeof(_member), .value = _value, .rc = _rc,  \
	}

/* All there is by @id; @held and @next stay as they are when a command fails */
struct wrong_vm {
	int fd;
	int held;
	__u32 next;
	__u64 id[OBJ_NUM];
};

FIXTURE(wrong)
{
	struct wrong_vm w;
	struct vm vm;
	int fd;
	int fault_fd;
	__u32 stdev2;
	__u32 stdev3;
	void *page;
};

FIXTURE_SETUP(wrong)
{
	size_t page = sysconf(_SC_PAGE_SIZE);
	struct vm *vm = &self->vm;
	__u32 stdev, id, dev2, dev3;
	int fd;

	NOTHING_LEFT();
	OK(vm_open(vm));
	fd = vm->fd;
	self->fd = fd;
	self->w.fd = fd;
	self->w.id[OBJ_IOAS] = vm->ioas;
	self->w.id[OBJ_DEV] = vm->dev;
	self->w.id[OBJ_STDEV] = vm->stdev;
	self->w.id[OBJ_S2] = vm->s2;
	self->w.id[OBJ_VIOMMU] = vm->viommu;

	/* Two that die; what comes later must not get the ID of the first */
	OK(mock_plug(fd, vm->ioas, 0, &stdev, &dev2));
	OK(vdevice_alloc(fd, vm->viommu, dev2, 1, &id));
	OK(destroy(fd, stdev));
	self->w.id[OBJ_DEAD] = id;

	OK(hwpt_alloc(fd, vm->dev, vm->ioas, 0, &id));
	self->w.id[OBJ_PLAIN] = id;
	OK(nested_alloc(fd, vm->dev, vm->viommu, 0, &id));
	self->w.id[OBJ_NESTED] = id;
	OK(mock_plug(fd, vm->ioas, 0, &self->stdev2, &dev2));
	self->w.id[OBJ_DEV_VDEV] = dev2;
	OK(vdevice_alloc(fd, vm->viommu, dev2, VIRT_ID, &id));
	self->w.id[OBJ_VDEVICE] = id;
	OK(mock_plug(fd, vm->ioas, MOCK_FLAGS_DEVICE_SECOND_IOMMU,
		     &self->stdev3, &dev3));
	self->w.id[OBJ_DEV_OTHER] = dev3;
	OK(fault_queue_alloc(fd, &id, &self->fault_fd));
	self->w.id[OBJ_FAULT] = id;
	OK(ioas_alloc(fd, &id));
	OK(destroy(fd, id));
	self->w.id[OBJ_FREED] = id;
	{
		struct iommu_test_cmd cmd = {
			.size = sizeof(cmd),
			.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
			.id = vm->stdev,
			.mock_domain_replace.pt_id = vm->ioas,
		};

		OK(iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd));
		self->w.id[OBJ_AUTO] = cmd.mock_domain_replace.pt_id;
	}

	self->page = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	OK(munmap(self->page + page, page));
	self->w.id[MEM_NONE] = (uintptr_t)self->page + page;
	memset(self->page, 0, page);
	OK(mprotect(self->page, page, PROT_READ));
	self->w.id[MEM_RO] = (uintptr_t)self->page;
	self->w.held = mock_held(fd);
	ASSERT_EQ(HELD(1, 1, 1), self->w.held);
	self->w.next = next_id(fd);
}

FIXTURE_TEARDOWN(wrong)
{
	static const int order[] = { OBJ_VDEVICE, OBJ_NESTED, OBJ_PLAIN,
				     OBJ_FAULT };
	unsigned int i;

	/* A reference that some wrong command has leaked shows here */
	close(self->fault_fd);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		OK(destroy(self->fd, self->w.id[order[i]]));
	FAILS(ENOENT, destroy(self->fd, self->w.id[OBJ_DEAD]));
	EXPECT_EQ(0, destroy(self->fd, self->stdev2));
	EXPECT_EQ(0, destroy(self->fd, self->stdev3));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
	vm_close(&self->vm);
	NOTHING_LEFT();
}

static __u64 resolve(const __u64 *ids, __u64 value)
{
	return value >> 32 == PLACEHOLDER ? ids[(__u32)value] : value;
}

/**
 * struct command - A command that works, and that is to be made wrong
 * @nr: The ioctl
 * @cmd: The structure
 * @size: Its size
 * @min: The smallest size that the kernel takes
 * @out_id: The member with the ID of the object that it makes, or NULL
 * @out_count: The member that says what is done, or NULL
 */
struct command {
	unsigned int nr;
	void *cmd;
	size_t size;
	size_t min;
	__u32 *out_id;
	__u32 *out_count;
};

static void run_one(struct __test_metadata *_metadata, struct wrong_vm *vm,
		    const struct command *c, const struct wrong *w, __u64 value)
{
	unsigned char right[256];
	int rc;

	ASSERT_GE(sizeof(right), c->size);
	memcpy(right, c->cmd, c->size);
	if (w->size == sizeof(__u64))
		*(__u64 *)w->member = value;
	else if (w->size == sizeof(__u32))
		*(__u32 *)w->member = value;
	else
		*(__u8 *)w->member = value;

	rc = iommufd_ioctl(vm->fd, c->nr, c->cmd);
	EXPECT_EQ(w->rc, rc) {
		TH_LOG("%s", w->what);
	}
	if (!rc && c->out_id) {
		EXPECT_EQ(0, destroy(vm->fd, *c->out_id)) {
			TH_LOG("%s", w->what);
		}
	}
	if (rc && c->out_count) {
		EXPECT_EQ(0, *c->out_count) {
			TH_LOG("%s", w->what);
		}
	}
	EXPECT_EQ(vm->held, mock_held(vm->fd)) {
		TH_LOG("%s", w->what);
	}
	EXPECT_EQ(vm->next, next_id(vm->fd)) {
		TH_LOG("%s", w->what);
	}
	memcpy(c->cmd, right, c->size);
}

static void run_table(struct __test_metadata *_metadata, struct wrong_vm *vm,
		      const struct command *c, const struct wrong *table,
		      size_t rows)
{
	const __u64 none[] = {
		0,
		NO_ID,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		vm->id[OBJ_DEAD],
		vm->id[OBJ_FREED],
	};
	unsigned int i, j;

	for (i = 0; i < rows; i++) {
		if (table[i].value != NO_OBJECT) {
			run_one(_metadata, vm, c, &table[i],
				resolve(vm->id, table[i].value));
			continue;
		}
		for (j = 0; j < ARRAY_SIZE(none); j++)
			run_one(_metadata, vm, c, &table[i], none[j]);
	}
}

/* A command with @len as its size, and @last as the last byte of these */
static int run_size(struct wrong_vm *vm, const struct command *c, void *memory,
		    __u32 len, size_t at, unsigned char last)
{
	memcpy(memory, c->cmd, c->size);
	memcpy(memory, &len, sizeof(len));
	if (at)
		((unsigned char *)memory)[at] = last;
	return iommufd_ioctl(vm->fd, c->nr, memory);
}

/*
 * The sizes that a command may have: below the smallest EINVAL, beyond its end
 * E2BIG unless all of the excess is zero; and commands in memory that cannot be
 * read or written to.
 */
static void run_sizes(struct __test_metadata *_metadata, struct wrong_vm *vm,
		      const struct command *c)
{
	static const size_t excess[] = { 1, 2, 4, 7, 8, 64, 1000, 3000 };
	size_t page = sysconf(_SC_PAGE_SIZE);
	size_t out = c->out_id ? (void *)c->out_id - c->cmd : 0;
	char *memory, *end;
	unsigned int i;
	__u32 len, id;

	memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)memory);

	for (len = 0; len < c->min; len++)
		FAILS(EINVAL, run_size(vm, c, memory, len, 0, 0));
	for (i = 0; i < ARRAY_SIZE(excess); i++) {
		len = c->size + excess[i];
		memset(memory, 0, page);
		OK(run_size(vm, c, memory, len, 0, 0));
		if (out) {
			memcpy(&id, memory + out, sizeof(id));
			OK(destroy(vm->fd, id));
		}
		FAILS(E2BIG, run_size(vm, c, memory, len, c->size, 1));
		FAILS(E2BIG, run_size(vm, c, memory, len, len - 1, 0x80));
	}
	memset(memory, 0, page);
	ASSERT_NE(0, run_size(vm, c, memory, 0x7fffffff, 0, 0));
	ASSERT_NE(0, run_size(vm, c, memory, 0xffffffff, 0, 0));

	/* One byte of it is not there, at either end of the size; all of it */
	end = memory + page;
	OK(munmap(end, page));
	FAILS(EFAULT, run_size(vm, c, end - c->size, c->size + 1, 0, 0));
	memcpy(end - c->size + 1, c->cmd, c->size - 1);
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, end - c->size + 1));
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, end));
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, NULL));

	/* The result cannot be returned: so there must be none */
	memcpy(memory, c->cmd, c->size);
	OK(mprotect(memory, page, PROT_READ));
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, memory));
	EXPECT_EQ(vm->held, mock_held(vm->fd));
	EXPECT_EQ(vm->next, next_id(vm->fd));
	munmap(memory, page);
}

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
		.min = sizeof(cmd),
		.out_id = &cmd.out_viommu_id,
	};
	/* Flag bit 31 and type 0 are not wrong on all kernels */
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
	/* Flag bit 3 is not wrong on all kernels */
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
		/* Not looked at without its flag */
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

	/* The wish counts with its flag only */
	copy = cmd;
	copy.flags = 0;
	copy.in_data_type = 0x12345678;
	OK(iommufd_ioctl(self->fd, IOMMU_GET_HW_INFO, &copy));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, copy.out_data_type);
	EXPECT_EQ(sizeof(info[0]), copy.data_len);

	/* A larger buffer is filled up with zeroes */
	memset(info, 0xaa, sizeof(info));
	copy = cmd;
	copy.data_len = sizeof(info);
	OK(iommufd_ioctl(self->fd, IOMMU_GET_HW_INFO, &copy));
	EXPECT_EQ(sizeof(info[0]), copy.data_len);
	EXPECT_EQ(IOMMU_HW_INFO_SELFTEST_REGVAL, info[0].test_reg);
	EXPECT_EQ(0, info[1].test_reg);
	EXPECT_EQ(0, info[1].flags);
}

TEST_F(wrong, destroy)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd) };

	FAILS(ENOENT, destroy(self->fd, 0));
	FAILS(ENOENT, destroy(self->fd, NO_ID));
	FAILS(ENOENT, destroy(self->fd, 0xffffffff));
	FAILS(ENOENT, destroy(self->fd, self->w.id[OBJ_DEAD]));
	FAILS(ENOENT, destroy(self->fd, self->w.id[OBJ_FREED]));
	/* Two that are in use, and a device that another object owns */
	FAILS(EBUSY, destroy(self->fd, self->w.id[OBJ_VIOMMU]));
	FAILS(EBUSY, destroy(self->fd, self->w.id[OBJ_S2]));
	FAILS(EBUSY, destroy(self->fd, self->w.id[OBJ_DEV]));
	/* Wrong sizes */
	cmd.id = self->w.id[OBJ_VDEVICE];
	cmd.size = sizeof(cmd) - 1;
	FAILS(EINVAL, iommufd_ioctl(self->fd, IOMMU_DESTROY, &cmd));
	EXPECT_EQ(self->w.held, mock_held(self->fd));
}

/* Commands that take an ID of an older kind know the new kinds by now */
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
	/* A vIOMMU makes nested HWPTs only */
	FAILS(EOPNOTSUPP,
	      hwpt_alloc(self->fd, self->vm.dev, self->vm.viommu, 0, &out));
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
	cmd.op = IOMMU_TEST_OP_HW_QUEUE_READ + 1;
	FAILS(EOPNOTSUPP, iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &cmd));
	FAILS(EINVAL, mock_fail(self->fd, MOCK_VIOMMU_FAIL_NUM, EIO, 0));
	FAILS(EINVAL, mock_fail(self->fd, 0, 4096, 0));
	FAILS(EINVAL, mock_check_cache(self->fd, self->vm.dev, 4, 0));
	FAILS(EINVAL, mock_check_cache(self->fd, self->vm.dev, 0, 1));
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

/* Teardown, in every order */

FIXTURE(take_apart)
{
};

FIXTURE_SETUP(take_apart)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(take_apart)
{
	NOTHING_LEFT();
}

enum { T_STDEV, T_NESTED, T_VDEVICE, T_VIOMMU, T_S2, T_IOAS, T_NUM };

struct full_vm {
	struct vm vm;
	__u32 id[T_NUM];
};

/* All there is, the device attached to the nested HWPT */
static int full_vm_open(struct full_vm *f)
{
	struct vm *vm = &f->vm;
	int rc;

	rc = vm_open(vm);
	if (rc)
		return rc;
	f->id[T_STDEV] = vm->stdev;
	f->id[T_VIOMMU] = vm->viommu;
	f->id[T_S2] = vm->s2;
	f->id[T_IOAS] = vm->ioas;
	rc = nested_alloc(vm->fd, vm->dev, vm->viommu, 0, &f->id[T_NESTED]);
	if (!rc)
		rc = vdevice_alloc(vm->fd, vm->viommu, vm->dev, VIRT_ID,
				   &f->id[T_VDEVICE]);
	if (!rc)
		rc = mock_attach(vm->fd, vm->stdev, f->id[T_NESTED]);
	return rc;
}

/* What DESTROY is to say, with the objects of set @gone not there any more */
static int destroy_expect(int what, unsigned int gone)
{
	static const unsigned int users[T_NUM] = {
		[T_NESTED] = 1 << T_STDEV,
		[T_VIOMMU] = 1 << T_NESTED | 1 << T_VDEVICE,
		[T_S2] = 1 << T_VIOMMU,
		[T_IOAS] = 1 << T_S2,
	};

	if (gone & 1 << what)
		return -ENOENT;
	return users[what] & ~gone ? -EBUSY : 0;
}

/* Permutation number @n of 0..T_NUM-1 */
static void permute(unsigned int n, int *order)
{
	int i, j, at;

	for (i = 0; i < T_NUM; i++) {
		at = n % (i + 1);
		n /= i + 1;
		for (j = i; j > at; j--)
			order[j] = order[j - 1];
		order[at] = i;
	}
}

/*
 * Destroy again and again in one order, for each of the 720 there are, until
 * nothing is left; every seventh closes the iommufd in the middle instead.
 */
TEST_F_TIMEOUT(take_apart, in_every_order, 300)
{
	unsigned int n, pass, gone, done;
	struct full_vm f;
	int order[T_NUM];
	int i, rc;

	for (n = 0; n < 720; n++) {
		permute(n, order);
		gone = 0;
		done = 0;
		OK(full_vm_open(&f));
		for (pass = 0; pass < T_NUM; pass++) {
			for (i = 0; i < T_NUM; i++) {
				if (n % 7 == 0 && done++ == n / 7 % 13)
					goto next;
				rc = destroy(f.vm.fd, f.id[order[i]]);
				ASSERT_EQ(destroy_expect(order[i], gone), rc) {
					TH_LOG("order %u pass %u object %d", n,
					       pass, order[i]);
				}
				if (rc)
					continue;
				gone |= 1 << order[i];
				/* It goes with its device */
				if (order[i] == T_STDEV)
					gone |= 1 << T_VDEVICE;
			}
		}
		ASSERT_EQ((1 << T_NUM) - 1, gone);
		OK(mock_held(f.vm.fd));
next:
		vm_close(&f.vm);
	}
}

/* A device goes while its vDEVICE lives */

FIXTURE(unplug)
{
	struct full_vm f;
	struct vm *vm;
	int fd;
	__u32 vdevice;
};

FIXTURE_VARIANT(unplug)
{
	bool attached;
};

FIXTURE_VARIANT_ADD(unplug, attached)
{
	.attached = true,
};

FIXTURE_VARIANT_ADD(unplug, not_attached)
{
	.attached = false,
};

FIXTURE_SETUP(unplug)
{
	NOTHING_LEFT();
	OK(full_vm_open(&self->f));
	self->vm = &self->f.vm;
	self->fd = self->vm->fd;
	self->vdevice = self->f.id[T_VDEVICE];
	if (!variant->attached)
		OK(mock_attach(self->fd, self->vm->stdev, self->vm->ioas));
}

FIXTURE_TEARDOWN(unplug)
{
	vm_close(&self->f.vm);
	NOTHING_LEFT();
}

TEST_F(unplug, id_is_dead_and_not_reused)
{
	struct vm *vm = self->vm;
	int fd = self->fd;
	unsigned int i;
	__u32 id;

	OK(destroy(fd, vm->stdev));
	EXPECT_EQ(HELD(1, 0, 1), mock_held(fd));
	FAILS(ENOENT, destroy(fd, self->vdevice));
	FAILS(ENOENT, destroy(fd, self->vdevice));
	FAILS(EINVAL, invalidate_one(fd, vm->viommu, VIRT_ID, 0));

	/* The smallest ID that is free comes first, of whatever object */
	for (i = 0; i < 300; i++) {
		OK(ioas_alloc(fd, &id));
		ASSERT_NE(self->vdevice, id);
	}
	FAILS(ENOENT, destroy(fd, self->vdevice));

	OK(destroy(fd, self->f.id[T_NESTED]));
	OK(destroy(fd, vm->viommu));
	OK(destroy(fd, vm->s2));
	OK(destroy(fd, vm->ioas));
}

TEST_F(unplug, another_device_takes_the_virtual_id)
{
	struct vm *vm = self->vm;
	__u32 vdevice, dead = self->vdevice;
	int fd = self->fd;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		OK(destroy(fd, vm->stdev));
		FAILS(ENOENT, destroy(fd, dead));
		OK(mock_plug(fd, vm->ioas, 0, &vm->stdev, &vm->dev));
		OK(vdevice_alloc(fd, vm->viommu, vm->dev, VIRT_ID, &vdevice));
		/* An ID is burnt each time, and only then */
		ASSERT_NE(dead, vdevice);
		dead = vdevice;
		if (variant->attached)
			OK(mock_attach(fd, vm->stdev, self->f.id[T_NESTED]));
		OK(invalidate_one(fd, vm->viommu, VIRT_ID, 1));
		EXPECT_EQ(0xd, mock_cached(fd, vm->dev));
		EXPECT_EQ(HELD(1, 1, 1), mock_held(fd));
	}
	OK(mock_attach(fd, vm->stdev, vm->ioas));
	OK(destroy(fd, self->f.id[T_NESTED]));
	OK(destroy(fd, vdevice));
	EXPECT_EQ(0, vm_take_apart(vm));
}

TEST_F(unplug, then_close)
{
	OK(destroy(self->fd, self->vm->stdev));
}

TEST_F(unplug, by_close)
{
}

TEST_F(unplug, after_destroy)
{
	OK(destroy(self->fd, self->vdevice));
	OK(destroy(self->fd, self->vm->stdev));
	FAILS(ENOENT, destroy(self->fd, self->vdevice));
}

/* A process that dies leaves nothing, however far it got */

FIXTURE(death)
{
};

FIXTURE_SETUP(death)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(death)
{
	NOTHING_LEFT();
}

/* @rc is that of a stage; after the last one the process dies */
static int stage(int *left, int rc)
{
	if (!rc && !(*left)--)
		kill(getpid(), SIGKILL);
	return rc;
}

/* The same for a stage that must fail with ENOENT */
static int stage_enoent(int *left, int rc)
{
	return stage(left, rc == -ENOENT ? 0 : -EPROTO);
}

/*
 * Live for @n stages, then die. Under a user of its own that may pin just the
 * memory of one VM: what a life before has left pinned is missing. Returns the
 * error of a stage, or 0 if all stages were lived.
 */
static int live(int n)
{
	struct rlimit limit = { vm_memory_size, vm_memory_size };
	struct iommu_viommu_selftest data = {};
	__u32 fault, nested, old, vdevice;
	struct vm vm = {};
	int fault_fd, rc;

	vm.fd = open("/dev/iommu", O_RDWR);
	rc = stage(&n, vm.fd < 0 ? -errno : 0);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534))
		return -errno;

	/* To a nested HWPT that is attached */
	rc = rc ?: stage(&n, ioas_alloc(vm.fd, &vm.ioas));
	rc = rc ?: stage(&n, ioas_map_memory(vm.fd, vm.ioas));
	rc = rc ?: stage(&n, mock_plug(vm.fd, vm.ioas, 0, &vm.stdev, &vm.dev));
	if (!rc && vm_pinned_kb() * 1024 != vm_memory_size)
		rc = -EPROTO;
	rc = rc	   ?:
		     stage(&n,
			   hwpt_alloc(vm.fd, vm.dev, vm.ioas,
				      IOMMU_HWPT_ALLOC_NEST_PARENT, &vm.s2));
	rc = rc	   ?:
		     stage(&n, viommu_alloc(vm.fd, vm.dev, vm.s2, &data,
					    &vm.viommu));
	rc = rc ?: stage(&n, fault_queue_alloc(vm.fd, &fault, &fault_fd));
	rc = rc	   ?:
		     stage(&n,
			   nested_alloc(vm.fd, vm.dev, vm.viommu, fault, &old));
	rc = rc	   ?:
		     stage(&n, vdevice_alloc(vm.fd, vm.viommu, vm.dev, VIRT_ID,
					     &vdevice));
	rc = rc ?: stage(&n, mock_attach(vm.fd, vm.stdev, old));

	/* To another one, and back to the S2 */
	rc = rc	   ?:
		     stage(&n,
			   nested_alloc(vm.fd, vm.dev, vm.viommu, 0, &nested));
	rc = rc ?: stage(&n, mock_attach(vm.fd, vm.stdev, nested));
	rc = rc ?: stage(&n, invalidate_one(vm.fd, vm.viommu, VIRT_ID, 0));
	rc = rc ?: stage(&n, destroy(vm.fd, old));
	rc = rc ?: stage(&n, mock_attach(vm.fd, vm.stdev, vm.s2));
	rc = rc ?: stage(&n, destroy(vm.fd, nested));

	/* To another device */
	rc = rc ?: stage(&n, destroy(vm.fd, vm.stdev));
	rc = rc ?: stage_enoent(&n, destroy(vm.fd, vdevice));
	rc = rc ?: stage(&n, mock_plug(vm.fd, vm.ioas, 0, &vm.stdev, &vm.dev));
	rc = rc	   ?:
		     stage(&n, vdevice_alloc(vm.fd, vm.viommu, vm.dev, VIRT_ID,
					     &vdevice));
	return rc ?: stage(&n, destroy(vm.fd, vdevice));
}

TEST_F_TIMEOUT(death, at_each_stage, 120)
{
	int stages, status, last = 0;
	pid_t pid;

	for (stages = 0; !last; stages++) {
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid)
			_exit(-live(stages));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		last = WIFEXITED(status);
		ASSERT_EQ(last ? 0 : SIGKILL, status) {
			TH_LOG("stage %d", stages);
		}
		ASSERT_STREQ("nothing", left_behind() ?: "nothing") {
			TH_LOG("stage %d", stages);
		}
	}
	ASSERT_LT(20, stages);
}

/* An iommufd that another process has too lives until both are gone */
TEST_F(death, of_one_of_two_owners)
{
	struct full_vm f;
	int status;
	pid_t pid;

	OK(full_vm_open(&f));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (!pid) {
		int rc = invalidate_one(f.vm.fd, f.vm.viommu, VIRT_ID, 0);

		_exit(rc ? 1 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	OK(status);
	EXPECT_EQ(HELD(1, 1, 1), mock_held(f.vm.fd));
	EXPECT_EQ(0xe, mock_cached(f.vm.fd, f.vm.dev));
	vm_close(&f.vm);
}

/* Races: for a bounded time everything at once, then nothing may be left */

#define RACE_MS 1500
#define RACE_SLOTS 8
#define RACE_MAX_THREADS 8

struct race {
	struct vm vm;
	atomic_bool stop;
	/* The last ID of each kind, for others to use and to destroy */
	atomic_uint stdev;
	atomic_uint dev;
	atomic_uint vdevice;
	atomic_uint viommu;
	atomic_uint nested[RACE_SLOTS];
	/* How often something worked, and the first error that must not be */
	atomic_ulong worked;
	atomic_bool bad;
	const char *bad_what;
	int bad_rc;
};

#define ERR(e) (1ULL << (e))

/* Note the result @rc of @what, of which the errors in @allowed are fine */
static void race_note(struct race *r, const char *what, int rc,
		      unsigned long long allowed)
{
	if (!rc) {
		atomic_fetch_add(&r->worked, 1);
	} else if ((-rc >= 64 || !(ERR(-rc) & allowed)) &&
		   !atomic_exchange(&r->bad, true)) {
		r->bad_what = what;
		r->bad_rc = rc;
	}
}

static unsigned int race_random(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
}

/* EBUSY: the object was in use by another thread for a moment */
static void *do_vdevices(void *arg)
{
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		rc = vdevice_alloc(r->vm.fd, r->vm.viommu, r->dev, VIRT_ID,
				   &id);
		if (!rc)
			r->vdevice = id;
		race_note(r, "vdevice_alloc", rc, ERR(ENOENT) | ERR(EEXIST));
	}
	return NULL;
}

static void *do_destroy_vdevice(void *arg)
{
	struct race *r = arg;
	__u32 id;

	while (!r->stop) {
		/* Once each: who has destroyed it must not use its ID again */
		id = atomic_exchange(&r->vdevice, 0);
		if (!id)
			continue;
		race_note(r, "destroy vdevice",
			  destroy_when_free(r->vm.fd, id), ERR(ENOENT));
	}
	return NULL;
}

/* Nobody else destroys devices, so that must always work in the end */
static void *do_unplug(void *arg)
{
	struct race *r = arg;
	__u32 stdev, dev;
	int rc;

	while (!r->stop) {
		rc = destroy(r->vm.fd, r->stdev);
		race_note(r, "unplug", rc, ERR(EBUSY));
		if (rc)
			continue;
		rc = mock_plug(r->vm.fd, r->vm.ioas, 0, &stdev, &dev);
		race_note(r, "plug", rc, 0);
		if (rc)
			break;
		r->stdev = stdev;
		r->dev = dev;
		usleep(200);
	}
	return NULL;
}

static void *do_invalidate(void *arg)
{
	struct race *r = arg;

	while (!r->stop)
		race_note(r, "invalidate",
			  invalidate_one(r->vm.fd, r->vm.viommu, VIRT_ID, 1),
			  ERR(EINVAL));
	return NULL;
}

static void *do_hwpts(void *arg)
{
	struct race *r = arg;
	unsigned int seed = (uintptr_t)&seed;
	unsigned int slot;
	__u32 id;
	int rc;

	while (!r->stop) {
		slot = race_random(&seed, RACE_SLOTS);
		rc = nested_alloc(r->vm.fd, r->dev, r->vm.viommu, 0, &id);
		race_note(r, "nested_alloc", rc, ERR(ENOENT));
		if (rc)
			continue;
		rc = mock_attach(r->vm.fd, r->stdev, id);
		race_note(r, "attach", rc, ERR(ENOENT) | ERR(EINVAL));
		/* Who takes an ID out of its slot is the one to destroy it */
		id = atomic_exchange(&r->nested[slot], id);
		if (!id)
			continue;
		do {
			rc = destroy(r->vm.fd, id);
			if (rc == -EBUSY)
				race_note(r, "attach ioas",
					  mock_attach(r->vm.fd, r->stdev,
						      r->vm.ioas),
					  ERR(ENOENT) | ERR(EINVAL));
		} while (rc == -EBUSY && !r->stop);
		race_note(r, "destroy nested", rc, ERR(EBUSY));
	}
	return NULL;
}

static void *do_viommus(void *arg)
{
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		rc = viommu_alloc(r->vm.fd, r->vm.dev, r->vm.s2, NULL, &id);
		race_note(r, "viommu_alloc", rc, 0);
		if (rc)
			break;
		r->viommu = id;
		race_note(r, "destroy viommu",
			  destroy_when_free(r->vm.fd, id), 0);
	}
	return NULL;
}

static void *do_viommu_children(void *arg)
{
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		rc = nested_alloc(r->vm.fd, r->vm.dev, r->viommu, 0, &id);
		race_note(r, "nested_alloc", rc, ERR(EINVAL));
		if (!rc)
			race_note(r, "destroy nested",
				  destroy_when_free(r->vm.fd, id), 0);
		rc = vdevice_alloc(r->vm.fd, r->viommu, r->vm.dev, VIRT_ID,
				   &id);
		race_note(r, "vdevice_alloc", rc, ERR(ENOENT) | ERR(EEXIST));
		if (!rc) {
			race_note(r, "invalidate",
				  invalidate_one(r->vm.fd, r->viommu, VIRT_ID,
						 0),
				  ERR(ENOENT) | ERR(EINVAL));
			race_note(r, "destroy vdevice",
				  destroy_when_free(r->vm.fd, id), 0);
		}
	}
	return NULL;
}

/* Any command on any ID: only the kernel's word counts, none of the results */
static void *do_anything(void *arg)
{
	struct race *r = arg;
	unsigned int seed = (uintptr_t)&seed;
	int fd = r->vm.fd;
	__u32 id[4], out, out2;
	unsigned int i;

	while (!r->stop) {
		for (i = 0; i < ARRAY_SIZE(id); i++)
			id[i] = race_random(&seed, 40);
		switch (race_random(&seed, 12)) {
		case 0:
			mock_plug(fd, id[0], race_random(&seed, 2) << 31, &out,
				  &out2);
			break;
		case 1:
			hwpt_alloc(fd, id[0], id[1],
				   IOMMU_HWPT_ALLOC_NEST_PARENT, &out);
			break;
		case 2:
		case 3:
			viommu_alloc(fd, id[0], id[1], NULL, &out);
			break;
		case 4:
			vdevice_alloc(fd, id[0], id[1], id[2] % 4, &out);
			break;
		case 5:
		case 6:
			nested_alloc(fd, id[0], id[1], 0, &out);
			break;
		case 7:
		case 8:
			mock_attach(fd, id[0], id[1]);
			break;
		case 9:
			invalidate_one(fd, id[0], id[1] % 4, 0);
			break;
		case 10:
			if (race_random(&seed, 4))
				ioas_alloc(fd, &out);
			break;
		}
		for (i = 0; i < ARRAY_SIZE(id); i++)
			if (!race_random(&seed, 3))
				destroy(fd, id[i]);
		atomic_fetch_add(&r->worked, 1);
	}
	return NULL;
}

FIXTURE(race)
{
	struct race r;
	struct vm *vm;
};

FIXTURE_SETUP(race)
{
	NOTHING_LEFT();
	memset(&self->r, 0, sizeof(self->r));
	self->vm = &self->r.vm;
	OK(vm_open(self->vm));
	self->r.stdev = self->vm->stdev;
	self->r.dev = self->vm->dev;
}

FIXTURE_TEARDOWN(race)
{
	vm_close(self->vm);
	NOTHING_LEFT();
}

typedef void *(*race_fn)(void *arg);

static int race_start(struct race *r, const race_fn *fns, unsigned int num,
		      pthread_t *threads)
{
	unsigned int i;
	int rc;

	for (i = 0; i < num; i++) {
		rc = pthread_create(&threads[i], NULL, fns[i], r);
		if (rc)
			return -rc;
	}
	return 0;
}

static void race_run(struct __test_metadata *_metadata, struct race *r,
		     const race_fn *fns, unsigned int num)
{
	pthread_t threads[RACE_MAX_THREADS];
	unsigned int i;

	ASSERT_GE(RACE_MAX_THREADS, num);
	OK(race_start(r, fns, num, threads));
	usleep(RACE_MS * 1000);
	r->stop = true;
	for (i = 0; i < num; i++)
		OK(pthread_join(threads[i], NULL));
	EXPECT_FALSE(r->bad) {
		TH_LOG("%s: %s", r->bad_what, strerror(-r->bad_rc));
	}
	EXPECT_LT(10, r->worked);
}

TEST_F(race, vdevice_alloc_destroy_unplug)
{
	static const race_fn fns[] = { do_vdevices, do_destroy_vdevice,
				       do_unplug, do_invalidate };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	/* Whatever the outcome, the device goes and takes its vDEVICE along */
	OK(destroy(self->vm->fd, self->r.stdev));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
	OK(destroy(self->vm->fd, self->vm->viommu));
	OK(destroy(self->vm->fd, self->vm->s2));
	OK(destroy(self->vm->fd, self->vm->ioas));
}

TEST_F(race, unplug_against_alloc)
{
	static const race_fn fns[] = { do_vdevices, do_vdevices, do_unplug };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	OK(destroy(self->vm->fd, self->r.stdev));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
}

TEST_F(race, attach_destroy_unplug)
{
	static const race_fn fns[] = { do_hwpts,    do_hwpts,
				       do_vdevices, do_destroy_vdevice,
				       do_unplug,   do_invalidate };
	unsigned int i;

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	OK(destroy(self->vm->fd, self->r.stdev));
	for (i = 0; i < RACE_SLOTS; i++)
		if (self->r.nested[i])
			OK(destroy(self->vm->fd, self->r.nested[i]));
}

TEST_F(race, attach_invalidate_steady_device)
{
	static const race_fn fns[] = { do_hwpts, do_hwpts, do_vdevices,
				       do_destroy_vdevice, do_invalidate };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
}

TEST_F(race, viommu_destroy_against_children)
{
	static const race_fn fns[] = { do_viommus, do_viommus,
				       do_viommu_children, do_viommu_children };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
}

TEST_F(race, anything)
{
	static const race_fn fns[] = { do_anything, do_anything, do_anything,
				       do_anything };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
}

/* The iommufd is closed, or its process killed, in the middle of it all */
static void race_end(struct __test_metadata *_metadata, bool by_kill)
{
	static const race_fn fns[] = {
		do_vdevices, do_destroy_vdevice, do_unplug,
		do_hwpts,    do_invalidate,
	};
	pthread_t threads[RACE_MAX_THREADS];
	unsigned int i, round;
	int status;
	pid_t pid;

	for (round = 0; round < 20; round++) {
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid) {
			struct race r = {};

			if (vm_open(&r.vm))
				_exit(1);
			r.stdev = r.vm.stdev;
			r.dev = r.vm.dev;
			if (race_start(&r, fns, ARRAY_SIZE(fns), threads))
				_exit(2);
			usleep(5000 + round * 3000);
			if (by_kill)
				kill(getpid(), SIGKILL);
			close(r.vm.fd);
			r.stop = true;
			for (i = 0; i < ARRAY_SIZE(fns); i++)
				pthread_join(threads[i], NULL);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(by_kill ? SIGKILL : 0, status);
		NOTHING_LEFT();
	}
}

FIXTURE(race_end)
{
};

FIXTURE_SETUP(race_end)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(race_end)
{
	NOTHING_LEFT();
}

TEST_F_TIMEOUT(race_end, by_close, 120)
{
	race_end(_metadata, false);
}

TEST_F_TIMEOUT(race_end, by_kill, 120)
{
	race_end(_metadata, true);
}

TEST_HARNESS_MAIN
