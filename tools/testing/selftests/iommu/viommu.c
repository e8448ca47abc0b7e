// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the vIOMMU and vDEVICE objects of iommufd, on its mock driver
 *
 * References between objects, attachments, and the order of a VMM's calls.
 */
#include "viommu_utils.h"

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

/* Allocation, and references between objects */

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

	/* Many vIOMMUs fit on one nesting parent, each with its own ID */
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

	/* Only children hold it: neither the device nor an attached S2 */
	OK(mock_attach(fd, self->vm.stdev, self->vm.s2));
	OK(destroy(fd, self->vm.viommu));
	FAILS(EBUSY, destroy(fd, self->vm.s2));
	OK(mock_attach(fd, self->vm.stdev, self->vm.ioas));
	OK(destroy(fd, self->vm.s2));
}

/* It belongs to the IOMMU, not to the device that it was allocated with */
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

	/* A vDEVICE on another vIOMMU does not count */
	OK(viommu_alloc(fd, self->vm.dev, self->vm.s2, NULL, &other));
	OK(vdevice_alloc(fd, other, self->vm.dev, VIRT_ID, &other_vdevice));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested));
	OK(destroy(fd, other_vdevice));

	OK(vdevice_alloc(fd, self->vm.viommu, self->vm.dev, VIRT_ID, &vdevice));
	OK(mock_attach(fd, self->vm.stdev, nested));
	FAILS(EBUSY, destroy(fd, nested));

	/*
	 * The vDEVICE may be destroyed first; the next attach fails and is
	 * undone
	 */
	OK(destroy(fd, vdevice));
	OK(nested_alloc(fd, self->vm.dev, self->vm.viommu, 0, &nested2));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested2));
	OK(destroy(fd, nested2));
	FAILS(EBUSY, destroy(fd, nested));
	OK(mock_attach(fd, self->vm.stdev, self->vm.s2));
	FAILS(ENOENT, mock_attach(fd, self->vm.stdev, nested));
	OK(destroy(fd, nested));

	/* Nested HWPTs on the parent itself need no vDEVICE */
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

	/* The device has a vDEVICE already, on any vIOMMU */
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
	/* After the failures the first one works, and there is no other */
	EXPECT_EQ(0, invalidate_one(fd, self->vm.viommu, VIRT_ID, 2));
	EXPECT_EQ(0xb, mock_cached(fd, self->vm.dev));
	EXPECT_EQ(0xf, mock_cached(fd, dev2));
	FAILS(EINVAL, invalidate_one(fd, self->vm.viommu, VIRT_ID + 1, 0));

	/* Another vIOMMU has its own IDs */
	OK(vdevice_alloc(fd, other, dev2, VIRT_ID, &vdevice2));
	EXPECT_EQ(0, invalidate_one(fd, other, VIRT_ID, 0));
	EXPECT_EQ(0xb, mock_cached(fd, self->vm.dev));
	EXPECT_EQ(0xe, mock_cached(fd, dev2));

	/* DESTROY frees both the device and the ID */
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
	FAILS(EINVAL, mock_attach(fd, stdev2, nested1));
	FAILS(EINVAL, mock_attach(fd, vm->stdev, nested2));
	OK(mock_attach(fd, vm->stdev, nested1));
	OK(mock_attach(fd, stdev2, nested2));
	OK(mock_attach(fd, stdev3, vm->s2));

	/* A device without a vDEVICE is attached to the same stage 2 */
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
				/* A failure leaves the current HWPT in place */
				OK(mock_fail(fd, MOCK_VIOMMU_FAIL_ATTACH, EIO,
					     0));
				FAILS(EIO, mock_attach(fd, vm->stdev, s1));
				FAILS(EBUSY, destroy(fd, old));
				OK(destroy(fd, s1));
				continue;
			}
			OK(mock_attach(fd, vm->stdev, s1));
			/* The old HWPT can be destroyed at once */
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

/* sysfs, before anything is opened */
TEST_F(viommu, sysfs)
{
	static const struct {
		const char *file, *text;
	} expected[] = {
		{ "types", "0 3735928559\n" },
		{ "nesting", "1\n" },
		{ "ats", "0\n" },
		{ "broadcast_tlb", "0\n" },
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

TEST_HARNESS_MAIN
