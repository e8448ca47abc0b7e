// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of invalidation through a vIOMMU: what it reaches, and the count
 */
#include "viommu_utils.h"

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
	/* Again, for entries that are not cached */
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

/* No entries of a known type: this is how a VMM probes for it */
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
 * Whatever is wrong with command n, those before it are done, those after it
 * are not, and the count is n.
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

/* A page fault is a failure as any other; unused memory is not read */
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
TEST_F_TIMEOUT(invalidate, as_many_as_a_queue_holds, 480)
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

TEST_HARNESS_MAIN
