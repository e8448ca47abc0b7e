// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_VIOMMU_TYPE_DEFAULT: the vIOMMU type that needs no driver
 *
 * Any device has it that the driver allocates a nesting parent for, unless the
 * driver lists types of its own and this one not among them. The core keeps the
 * virtual devices and serves the lookups; nested HWPTs come from the operation
 * that allocates them without a vIOMMU, and are invalidated as those are. There
 * is no state but the core's own.
 */
#include <linux/iommu.h>

#include "../../iommu-priv.h"
#include "private.h"

/* Only the driver knows whether the hardware nests, and tells it by a parent */
static int iommufd_viommu_default_supported(struct device *dev)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_domain *domain;

	if (!ops->domain_alloc_user)
		return -EOPNOTSUPP;
	domain = ops->domain_alloc_user(dev, IOMMU_HWPT_ALLOC_NEST_PARENT, NULL,
					NULL);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	iommu_domain_free(domain);
	return 0;
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
