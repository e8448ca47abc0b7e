// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested HWPTs on a vIOMMU
 *
 * The object is the nested HWPT of iommufd. It holds a reference on the vIOMMU
 * instead of the nesting parent, which the vIOMMU holds. Attachments, faults
 * and destruction are those of any nested HWPT. In addition the vIOMMU may
 * refuse an attachment, and gets the events of attached devices.
 */
#include <linux/iommu.h>
#include <trace/events/iommufd_viommu.h>

#include "../../iommu-priv.h"
#include "private.h"

/**
 * iommufd_viommu_hwpt_alloc() - Allocate a nested HWPT on a vIOMMU
 * @ictx: The iommufd
 * @obj: The vIOMMU, held by the caller during the call
 * @idev: A device behind the same physical IOMMU
 * @flags: enum iommufd_hwpt_alloc_flags from user space
 * @user_data: The guest's configuration, of a driver specific type
 *
 * Return: the HWPT, complete but not visible yet, or -EOPNOTSUPP for unknown
 * flags and for missing @user_data, -EINVAL for a device behind another IOMMU,
 * or the driver's error for the contents of @user_data.
 */
struct iommufd_hwpt_nested *
iommufd_viommu_hwpt_alloc(struct iommufd_ctx *ictx, struct iommufd_object *obj,
			  struct iommufd_device *idev, u32 flags,
			  const struct iommu_user_data *user_data)
{
	struct iommufd_viommu_obj *viommu_obj =
		container_of(obj, struct iommufd_viommu_obj, obj);
	struct iommufd_viommu *viommu = &viommu_obj->viommu;
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
	domain->owner = viommu->iommu_dev->ops;
	domain->nest_parent = viommu->parent;

	hwpt_nested->common.domain = domain;
	hwpt_nested->parent = viommu_obj->hwpt;
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
 * iommufd_viommu_hwpt_destroy() - Release the vIOMMU of a nested HWPT
 * @hwpt_nested: The HWPT, whose domain was freed
 */
void iommufd_viommu_hwpt_destroy(struct iommufd_hwpt_nested *hwpt_nested)
{
	trace_iommufd_viommu_hwpt_destroy(hwpt_nested->common.obj.id,
					  hwpt_nested->viommu->id);
	refcount_dec(&hwpt_nested->viommu->users);
}

/* Attachments: called by ../device.c with the group lock held */

static struct iommufd_viommu_obj *
iommufd_hwpt_viommu(struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_hwpt_nested *hwpt_nested;

	if (!hwpt || hwpt->obj.type != IOMMUFD_OBJ_HWPT_NESTED)
		return NULL;
	hwpt_nested = container_of(hwpt, struct iommufd_hwpt_nested, common);
	if (!hwpt_nested->viommu)
		return NULL;
	return container_of(hwpt_nested->viommu, struct iommufd_viommu_obj, obj);
}

static int iommufd_viommu_check(struct iommufd_device *idev,
				struct iommufd_hw_pagetable *hwpt,
				const struct iommufd_viommu_obj *other)
{
	struct iommufd_viommu_obj *viommu_obj = iommufd_hwpt_viommu(hwpt);
	const struct iommufd_viommu_ops *ops;

	lockdep_assert_held(&idev->igroup->lock);

	if (!viommu_obj)
		return 0;
	if (idev->dev->iommu->iommu_dev != viommu_obj->viommu.iommu_dev)
		return -EINVAL;
	if (other && viommu_obj != other)
		return -EINVAL;
	ops = viommu_obj->viommu.ops;
	if (!ops->nested_translates || !ops->nested_translates(hwpt->domain))
		return 0;
	if (!idev->vdev || idev->vdev->vdev.viommu != &viommu_obj->viommu)
		return -ENOENT;
	return 0;
}

/**
 * iommufd_viommu_attach_check() - Check whether a device may attach to a HWPT
 * @idev: The device; the caller holds the lock of its group
 * @hwpt: The HWPT
 *
 * A guest uses the virtual ID to invalidate what a device caches of its stage
 * 1, so a device without one must not attach to a stage 1. This only concerns
 * devices that are bound to iommufd: the bridges of a group raise no DMA of
 * their own and follow its devices.
 *
 * While PASIDs of the group have HWPTs, the device must have one that goes
 * together with them, and a device has one vIOMMU at a time.
 *
 * Return: 0, -EINVAL if @hwpt does not go together with the PASIDs or if the
 * device is behind another physical IOMMU than the vIOMMU of @hwpt, or -ENOENT
 * if it needs a virtual device and has none.
 */
int iommufd_viommu_attach_check(struct iommufd_device *idev,
				struct iommufd_hw_pagetable *hwpt)
{
	if (!hwpt->for_pasids && !xa_empty(&idev->igroup->pasids))
		return -EINVAL;
	return iommufd_viommu_check(idev, hwpt, idev->pasid_viommu);
}

/**
 * iommufd_viommu_attach_pasid_check() - Check whether a PASID may attach to a
 * HWPT
 * @idev: The device; the caller holds the lock of its group
 * @hwpt: The HWPT
 *
 * Return: as from iommufd_viommu_attach_check().
 */
int iommufd_viommu_attach_pasid_check(struct iommufd_device *idev,
				      struct iommufd_hw_pagetable *hwpt)
{
	return iommufd_viommu_check(idev, hwpt,
				    idev->rid_viommu ?: idev->pasid_viommu);
}

/**
 * iommufd_viommu_attach_group_check() - Check whether a group may attach to a
 * HWPT
 * @igroup: The group; the caller holds its lock
 * @hwpt: The HWPT
 *
 * Return: 0, or the error of iommufd_viommu_attach_check() for an attached
 * device.
 */
int iommufd_viommu_attach_group_check(struct iommufd_group *igroup,
				      struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_device *cur;
	int rc;

	lockdep_assert_held(&igroup->lock);

	list_for_each_entry(cur, &igroup->device_list, group_item) {
		rc = iommufd_viommu_attach_check(cur, hwpt);
		if (rc)
			return rc;
	}
	return 0;
}

/* Events go to the vIOMMU of the device or, without one, of its PASIDs */
static void iommufd_viommu_route(struct iommufd_device *idev)
{
	struct iommufd_viommu_obj *viommu_obj =
		idev->rid_viommu ?: idev->pasid_viommu;
	struct dev_iommu *dev_iommu = idev->dev->iommu;
	struct iommufd_viommu *viommu = NULL;

	if (viommu_obj)
		viommu = &viommu_obj->viommu;
	if (dev_iommu->viommu == viommu)
		return;
	spin_lock_irq(&dev_iommu->viommu_lock);
	dev_iommu->viommu = viommu;
	spin_unlock_irq(&dev_iommu->viommu_lock);
}

/**
 * iommufd_viommu_set_attached() - Route the events of a device
 * @idev: The device; the caller holds the lock of its group
 * @hwpt: The HWPT that the device is, or is about to be, attached to, or NULL
 *
 * Call it before an attach and a replace, because the first event can arrive
 * before they return, and undo it if they fail. Call it after a detach.
 */
void iommufd_viommu_set_attached(struct iommufd_device *idev,
				 struct iommufd_hw_pagetable *hwpt)
{
	lockdep_assert_held(&idev->igroup->lock);

	idev->rid_viommu = iommufd_hwpt_viommu(hwpt);
	iommufd_viommu_route(idev);
}

/**
 * iommufd_viommu_pasid_attached() - Route the events of a device with PASIDs
 * @idev: The device; the caller holds the lock of its group
 * @hwpt: The HWPT that one more of its PASIDs is about to be attached to
 *
 * iommufd_viommu_pasid_detached() undoes it.
 */
void iommufd_viommu_pasid_attached(struct iommufd_device *idev,
				   struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_viommu_obj *viommu_obj = iommufd_hwpt_viommu(hwpt);

	lockdep_assert_held(&idev->igroup->lock);

	if (!viommu_obj)
		return;
	idev->pasid_viommu = viommu_obj;
	idev->nr_viommu_pasids++;
	iommufd_viommu_route(idev);
}

/**
 * iommufd_viommu_pasid_detached() - Undo iommufd_viommu_pasid_attached()
 * @idev: The device; the caller holds the lock of its group
 * @hwpt: The HWPT
 */
void iommufd_viommu_pasid_detached(struct iommufd_device *idev,
				   struct iommufd_hw_pagetable *hwpt)
{
	lockdep_assert_held(&idev->igroup->lock);

	if (!iommufd_hwpt_viommu(hwpt) || --idev->nr_viommu_pasids)
		return;
	idev->pasid_viommu = NULL;
	iommufd_viommu_route(idev);
}

/**
 * iommufd_viommu_set_group_attached() - Route the events of a group
 * @igroup: The group; the caller holds its lock
 * @hwpt: As for iommufd_viommu_set_attached()
 */
void iommufd_viommu_set_group_attached(struct iommufd_group *igroup,
				       struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_device *cur;

	lockdep_assert_held(&igroup->lock);

	list_for_each_entry(cur, &igroup->device_list, group_item)
		iommufd_viommu_set_attached(cur, hwpt);
}

/**
 * __iommufd_viommu_trace_attach() - Trace the attach of a device
 * @idev: The device
 * @pasid: Its PASID, IOMMU_NO_PASID for the device itself
 * @pt_id: The ID of the object to attach to
 * @ret: The result of the attach
 */
void __iommufd_viommu_trace_attach(struct iommufd_device *idev, ioasid_t pasid,
				   u32 pt_id, int ret)
{
	trace_iommufd_device_attach(idev->dev, pasid, pt_id, ret);
}
