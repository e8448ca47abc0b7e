// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of vIOMMU ioctls with a driver that fails
 *
 * The ioctls return the driver's error, and a refused object leaves nothing
 * behind.
 */
#include "viommu_utils.h"

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
	/* The device can still be destroyed */
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

TEST_HARNESS_MAIN
