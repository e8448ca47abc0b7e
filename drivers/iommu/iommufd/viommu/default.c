// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_VIOMMU_TYPE_DEFAULT: the vIOMMU type that needs no operations of a
 * driver
 *
 * Available on every IOMMU that can nest, unless its driver opts out. The core
 * keeps the virtual devices and serves lookups. Nested HWPTs come from the
 * operation that allocates them without a vIOMMU, and are invalidated in the
 * same way. There is no state besides the core's.
 */
#include <linux/iommu.h>
#include <linux/limits.h>
#include <linux/pci.h>

#include "../../iommu-priv.h"
#include "private.h"

static int iommufd_viommu_default_supported(struct device *dev)
{
	return dev_iommu_ops(dev)->domain_alloc_user ? 0 : -EOPNOTSUPP;
}

/*
 * The parent may have been allocated for another IOMMU of the driver. Check
 * this now rather than at an attach, so that the VMM allocates another parent:
 * compare it with the one that this device would get.
 */
static int iommufd_viommu_default_init(struct iommufd_viommu *viommu,
				       struct device *dev,
				       const struct iommu_user_data *user_data)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	const struct iommu_domain *parent = viommu->parent;
	struct iommu_domain *fit;
	int rc = 0;

	if (to_viommu_obj(viommu)->hwpt->enforce_cache_coherency &&
	    !device_iommu_capable(dev, IOMMU_CAP_ENFORCE_CACHE_COHERENCY))
		return -EINVAL;
	if (parent->dirty_ops &&
	    !device_iommu_capable(dev, IOMMU_CAP_DIRTY_TRACKING))
		return -EINVAL;

	fit = ops->domain_alloc_user(dev, IOMMU_HWPT_ALLOC_NEST_PARENT, NULL,
				     NULL);
	if (IS_ERR(fit))
		return PTR_ERR(fit);
	if (parent->geometry.aperture_end > fit->geometry.aperture_end ||
	    (parent->pgsize_bitmap & ~fit->pgsize_bitmap))
		rc = -EINVAL;
	iommu_domain_free(fit);
	return rc;
}

/*
 * A driver that identifies PCI devices by requester ID has guests that do so
 * too
 */
static int iommufd_viommu_default_vdevice_init(struct iommufd_vdevice *vdev)
{
	if (dev_is_pci(vdev->dev) && vdev->virt_id > U16_MAX)
		return -EINVAL;
	return 0;
}

static struct iommu_domain *
iommufd_viommu_default_alloc_nested(struct iommufd_viommu *viommu,
				    struct device *dev, u32 flags,
				    const struct iommu_user_data *user_data)
{
	if (flags & ~(IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID))
		return ERR_PTR(-EOPNOTSUPP);
	return dev_iommu_ops(dev)->domain_alloc_user(dev,
						     flags & IOMMU_HWPT_ALLOC_PASID,
						     viommu->parent, user_data);
}

const struct iommufd_viommu_ops iommufd_viommu_default_ops = {
	.type = IOMMU_VIOMMU_TYPE_DEFAULT,
	.viommu_size = sizeof(struct iommufd_viommu),
	.supported = iommufd_viommu_default_supported,
	.init = iommufd_viommu_default_init,
	.alloc_nested = iommufd_viommu_default_alloc_nested,
	.vdevice_init = iommufd_viommu_default_vdevice_init,
};
