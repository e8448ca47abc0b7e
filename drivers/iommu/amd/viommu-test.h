/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For the tests of the AMD IOMMU driver: its calls for a device, with the mutex of
 * the device's group held, as the core makes them.
 */
#ifndef AMD_VIOMMU_TEST_H
#define AMD_VIOMMU_TEST_H

#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/iommu.h>

#include "amd_iommu.h"

struct amd_test_call {
	struct iommu_domain *domain;
	struct device *dev;
	ioasid_t pasid;
	struct iommu_domain *old;
};

KUNIT_DEFINE_ACTION_WRAPPER(amd_test_group_remove, iommu_group_remove_device,
			    struct device *);

/*
 * A group for the devices of a test, until the test ends. It lists one that no
 * driver knows, which lets a test run a function with the group's mutex held.
 */
static inline struct iommu_group *amd_test_group_new(struct kunit *test)
{
	struct device *listed = kunit_device_register(test, "amd-iommu-group");
	struct iommu_group *group = iommu_group_alloc();

	KUNIT_ASSERT_FALSE(test, IS_ERR(listed));
	KUNIT_ASSERT_FALSE(test, IS_ERR(group));
	KUNIT_ASSERT_EQ(test, 0, iommu_group_add_device(group, listed));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, amd_test_group_remove,
							   listed));
	/* The device has one */
	iommu_group_put(group);
	return group;
}

static inline int amd_test_call_attach(struct device *listed, void *data)
{
	struct amd_test_call *call = data;

	return call->domain->ops->attach_dev(call->domain, call->dev);
}

static inline int amd_test_attach(struct iommu_domain *domain, struct device *dev)
{
	struct amd_test_call call = { .domain = domain, .dev = dev };

	return iommu_group_for_each_dev(dev->iommu_group, &call,
					amd_test_call_attach);
}

static inline int amd_test_call_set_pasid(struct device *listed, void *data)
{
	struct amd_test_call *call = data;

	return call->domain->ops->set_dev_pasid(call->domain, call->dev,
						call->pasid, call->old);
}

static inline int amd_test_set_pasid(struct iommu_domain *domain, struct device *dev,
				     ioasid_t pasid, struct iommu_domain *old)
{
	struct amd_test_call call = {
		.domain = domain, .dev = dev, .pasid = pasid, .old = old,
	};

	return iommu_group_for_each_dev(dev->iommu_group, &call,
					amd_test_call_set_pasid);
}

static inline int amd_test_call_remove_pasid(struct device *listed, void *data)
{
	struct amd_test_call *call = data;

	amd_iommu_ops.remove_dev_pasid(call->dev, call->pasid, call->domain);
	return 0;
}

static inline void amd_test_remove_pasid(struct iommu_domain *domain,
					 struct device *dev, ioasid_t pasid)
{
	struct amd_test_call call = {
		.domain = domain, .dev = dev, .pasid = pasid,
	};

	iommu_group_for_each_dev(dev->iommu_group, &call,
				 amd_test_call_remove_pasid);
}

static inline int amd_test_call_release(struct device *listed, void *data)
{
	struct amd_test_call *call = data;

	amd_iommu_ops.release_device(call->dev);
	return 0;
}

static inline void amd_test_release(struct device *dev)
{
	struct amd_test_call call = { .dev = dev };

	iommu_group_for_each_dev(dev->iommu_group, &call, amd_test_call_release);
}

#endif
