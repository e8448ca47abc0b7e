// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_VIOMMU_TYPE_DEFAULT: the vIOMMU type that needs no driver
 *
 * Any driver that can allocate a nested HWPT on a nesting parent has it, unless
 * it lists types of its own and this one not among them. The core keeps the
 * virtual devices and serves the lookups; nested HWPTs come from the operation
 * that allocates them without a vIOMMU, and are invalidated as those are. There
 * is no state but the core's own.
 */
#include <linux/iommu.h>

#include "../../iommu-priv.h"
#include "private.h"

static int iommufd_viommu_default_supported(struct device *dev)
{
	return dev_iommu_ops(dev)->domain_alloc_user ? 0 : -EOPNOTSUPP;
}

static int iommufd_viommu_default_init(struct iommufd_viommu *viommu,
				       struct device *dev,
				       const struct iommu_user_data *user_data)
{
	return user_data ? -EOPNOTSUPP : 0;
}

static struct iommu_domain *
iommufd_viommu_default_alloc_nested(struct iommufd_viommu *viommu,
				    struct device *dev, u32 flags,
				    const struct iommu_user_data *user_data)
{
	if (flags)
		return ERR_PTR(-EOPNOTSUPP);
	return dev_iommu_ops(dev)->domain_alloc_user(dev, flags, viommu->parent,
						     user_data);
}

const struct iommufd_viommu_ops iommufd_viommu_default_ops = {
	.type = IOMMU_VIOMMU_TYPE_DEFAULT,
	.viommu_size = sizeof(struct iommufd_viommu),
	.supported = iommufd_viommu_default_supported,
	.init = iommufd_viommu_default_init,
	.alloc_nested = iommufd_viommu_default_alloc_nested,
};
