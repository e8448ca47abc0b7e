// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested HWPTs that are part of a vIOMMU
 *
 * The object is the nested HWPT of iommufd. It holds a user of the vIOMMU
 * instead of one of the nesting parent, which the vIOMMU holds; all else, its
 * attachments, faults and destruction, is that of any nested HWPT.
 */
#include <linux/iommu.h>
#include <trace/events/iommufd_viommu.h>

#include "../../iommu-priv.h"
#include "private.h"

/**
 * iommufd_viommu_hwpt_alloc() - Allocate a nested HWPT on a vIOMMU
 * @ictx: The iommufd
 * @obj: The vIOMMU, held by the caller for the call
 * @idev: A device behind the same physical IOMMU
 * @flags: enum iommufd_hwpt_alloc_flags from user space
 * @user_data: What the guest wants, of a driver specific type
 *
 * Return: the HWPT, complete but not visible yet, or -EOPNOTSUPP for flags that
 * are not known and for missing @user_data, -EINVAL for a device behind another
 * IOMMU, and what the driver says of the contents of @user_data.
 */
struct iommufd_hwpt_nested *
iommufd_viommu_hwpt_alloc(struct iommufd_ctx *ictx, struct iommufd_object *obj,
			  struct iommufd_device *idev, u32 flags,
			  const struct iommu_user_data *user_data)
{
	struct iommufd_viommu_obj *vobj =
		container_of(obj, struct iommufd_viommu_obj, obj);
	struct iommufd_viommu *viommu = &vobj->viommu;
	struct iommufd_hwpt_nested *hwpt_nested;
	struct iommu_domain *domain;

	if (!user_data->len)
		return ERR_PTR(-EOPNOTSUPP);
	if (idev->dev->iommu->iommu_dev != viommu->iommu_dev)
		return ERR_PTR(-EINVAL);

	hwpt_nested = __iommufd_object_alloc(ictx, hwpt_nested,
					     IOMMUFD_OBJ_HWPT_NESTED,
					     common.obj);
	if (IS_ERR(hwpt_nested))
		return ERR_CAST(hwpt_nested);

	domain = viommu->ops->alloc_nested(viommu, idev->dev, flags, user_data);
	if (IS_ERR(domain)) {
		iommufd_object_abort(ictx, &hwpt_nested->common.obj);
		return ERR_CAST(domain);
	}
	domain->owner = dev_iommu_ops(idev->dev);
	domain->nest_parent = viommu->parent;

	hwpt_nested->common.domain = domain;
	hwpt_nested->parent = vobj->hwpt;
	hwpt_nested->viommu = obj;
	refcount_inc(&obj->users);

	if (WARN_ON_ONCE(domain->type != IOMMU_DOMAIN_NESTED)) {
		iommufd_object_abort_and_destroy(ictx,
						 &hwpt_nested->common.obj);
		return ERR_PTR(-EINVAL);
	}
	trace_iommufd_viommu_hwpt_alloc(hwpt_nested->common.obj.id, obj->id,
					idev->dev);
	return hwpt_nested;
}

/**
 * iommufd_viommu_hwpt_destroy() - The end of a nested HWPT on a vIOMMU
 * @hwpt_nested: The HWPT, whose domain is gone
 */
void iommufd_viommu_hwpt_destroy(struct iommufd_hwpt_nested *hwpt_nested)
{
	trace_iommufd_viommu_hwpt_destroy(hwpt_nested->common.obj.id,
					  hwpt_nested->viommu->id);
	refcount_dec(&hwpt_nested->viommu->users);
}

/**
 * __iommufd_viommu_trace_attach() - Trace the attach of a device
 * @idev: The device
 * @pt_id: What it was, or should have been, attached to
 * @ret: 0 or why it was not
 */
void __iommufd_viommu_trace_attach(struct iommufd_device *idev, u32 pt_id,
				   int ret)
{
	trace_iommufd_device_attach(idev->dev, pt_id, ret);
}
