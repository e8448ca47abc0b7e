// SPDX-License-Identifier: GPL-2.0-only
/*
 * HWPTs on the PASIDs of devices
 *
 *	iommufd_group::pasids  --->  iommufd_pasid::hwpt
 *
 * A PASID of a group has one HWPT, as the group has one for requests without a
 * PASID. It is attached to all devices of the group by the first device that
 * asks for it, and detached by the last one that gives it up.
 *
 * Owns:	an iommufd_pasid for each PASID of a group that is in use, and
 *		the attach handle that the IOMMU core keeps for it.
 * References:	each device in iommufd_pasid::devices holds the HWPT.
 * Locks:	the lock of the group guards everything here.
 * Dies:	by a detach, or with the device.
 *
 * Reserved regions and MSIs only concern requests without a PASID. Page
 * requests go to the device of the attach handle. So a HWPT with a fault queue
 * only attaches to the PASIDs of one device of a group.
 */
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/slab.h>

#include "../../iommu-priv.h"
#include "private.h"

/**
 * struct iommufd_pasid - A PASID of a group that is in use
 * @hwpt: Translates it
 * @devices: The devices that have attached @hwpt to it, by object ID; each
 *           holds a reference on @hwpt
 */
struct iommufd_pasid {
	struct iommufd_hw_pagetable *hwpt;
	struct xarray devices;
};

static int iommufd_pasid_check(struct iommufd_device *idev,
			       struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_group *igroup = idev->igroup;

	lockdep_assert_held(&igroup->lock);

	if (!hwpt->for_pasids)
		return -EINVAL;
	if (igroup->hwpt && !igroup->hwpt->for_pasids)
		return -EINVAL;
	return iommufd_viommu_attach_pasid_check(idev, hwpt);
}

/* The handle is there: @pasid is attached by iommufd_pasid_map() */
static struct iommufd_attach_handle *
iommufd_pasid_handle(struct iommufd_device *idev, ioasid_t pasid)
{
	struct iommu_attach_handle *handle;

	lockdep_assert_held(&idev->igroup->lock);

	handle = iommu_attach_handle_get(idev->igroup->group, pasid, 0);
	if (WARN_ON(IS_ERR(handle)))
		return NULL;
	return to_iommufd_handle(handle);
}

static int iommufd_pasid_map(struct iommufd_device *idev, ioasid_t pasid,
			     struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_attach_handle *handle;
	int rc;

	handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT);
	if (!handle)
		return -ENOMEM;
	handle->idev = idev;

	if (hwpt->fault) {
		rc = iommufd_fault_iopf_enable(idev);
		if (rc)
			goto out_free;
	}

	rc = iommu_attach_device_pasid(hwpt->domain, idev->dev, pasid,
				       &handle->handle);
	if (rc)
		goto out_disable;
	return 0;

out_disable:
	if (hwpt->fault)
		iommufd_fault_iopf_disable(idev);
out_free:
	kfree(handle);
	return rc;
}

static void iommufd_pasid_unmap(struct iommufd_device *idev, ioasid_t pasid,
				struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_attach_handle *handle;

	handle = iommufd_pasid_handle(idev, pasid);
	iommu_detach_device_pasid(hwpt->domain, idev->dev, pasid);
	iommufd_sync_page_requests();
	if (hwpt->fault) {
		iommufd_auto_response_faults(hwpt, handle);
		iommufd_fault_iopf_disable(idev);
	}
	kfree(handle);
}

static int iommufd_pasid_remap(struct iommufd_device *idev, ioasid_t pasid,
			       struct iommufd_hw_pagetable *hwpt,
			       struct iommufd_hw_pagetable *old)
{
	struct iommufd_attach_handle *handle, *old_handle;
	int rc;

	handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT);
	if (!handle)
		return -ENOMEM;
	handle->idev = idev;

	if (hwpt->fault && !old->fault) {
		rc = iommufd_fault_iopf_enable(idev);
		if (rc)
			goto out_free;
	}

	old_handle = iommufd_pasid_handle(idev, pasid);
	rc = iommu_replace_device_pasid(hwpt->domain, idev->dev, pasid,
					&handle->handle);
	if (rc)
		goto out_disable;

	iommufd_sync_page_requests();
	if (old->fault) {
		iommufd_auto_response_faults(old, old_handle);
		if (!hwpt->fault)
			iommufd_fault_iopf_disable(idev);
	}
	kfree(old_handle);
	return 0;

out_disable:
	if (hwpt->fault && !old->fault)
		iommufd_fault_iopf_disable(idev);
out_free:
	kfree(handle);
	return rc;
}

static int iommufd_pasid_first(struct iommufd_device *idev, ioasid_t pasid,
			       struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_pasid *entry;
	int rc;

	entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	if (!entry)
		return -ENOMEM;
	entry->hwpt = hwpt;
	xa_init(&entry->devices);

	rc = xa_insert(&entry->devices, idev->obj.id, idev, GFP_KERNEL_ACCOUNT);
	if (rc)
		goto out_free;
	rc = xa_insert(&igroup->pasids, pasid, entry, GFP_KERNEL_ACCOUNT);
	if (rc)
		goto out_destroy;

	/* An event can arrive before the attach returns */
	iommufd_viommu_pasid_attached(idev, hwpt);
	rc = iommufd_pasid_map(idev, pasid, hwpt);
	if (rc)
		goto out_erase;
	return 0;

out_erase:
	iommufd_viommu_pasid_detached(idev, hwpt);
	xa_erase(&igroup->pasids, pasid);
out_destroy:
	xa_destroy(&entry->devices);
out_free:
	kfree(entry);
	return rc;
}

static int iommufd_pasid_attach(struct iommufd_device *idev, ioasid_t pasid,
				struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_pasid *entry;
	int rc;

	lockdep_assert_held(&igroup->lock);

	rc = iommufd_pasid_check(idev, hwpt);
	if (rc)
		return rc;

	entry = xa_load(&igroup->pasids, pasid);
	if (entry) {
		if (entry->hwpt != hwpt)
			return -EINVAL;
		if (xa_load(&entry->devices, idev->obj.id))
			return -EBUSY;
		if (hwpt->fault)
			return -EINVAL;
		rc = xa_insert(&entry->devices, idev->obj.id, idev,
			       GFP_KERNEL_ACCOUNT);
		if (rc)
			return rc;
		iommufd_viommu_pasid_attached(idev, hwpt);
	} else {
		rc = iommufd_pasid_first(idev, pasid, hwpt);
		if (rc)
			return rc;
	}
	refcount_inc(&hwpt->obj.users);
	return 0;
}

static int iommufd_pasid_replace(struct iommufd_device *idev, ioasid_t pasid,
				 struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_hw_pagetable *old;
	struct iommufd_pasid *entry;
	struct iommufd_device *cur;
	unsigned long index;
	int rc;

	lockdep_assert_held(&idev->igroup->lock);

	entry = xa_load(&idev->igroup->pasids, pasid);
	if (!entry || !xa_load(&entry->devices, idev->obj.id))
		return -EINVAL;
	old = entry->hwpt;
	if (hwpt == old)
		return 0;

	xa_for_each(&entry->devices, index, cur) {
		rc = iommufd_pasid_check(cur, hwpt);
		if (rc)
			return rc;
		if (hwpt->fault && cur != idev)
			return -EINVAL;
	}

	xa_for_each(&entry->devices, index, cur)
		iommufd_viommu_pasid_attached(cur, hwpt);
	rc = iommufd_pasid_remap(idev, pasid, hwpt, old);
	if (!rc)
		entry->hwpt = hwpt;
	xa_for_each(&entry->devices, index, cur) {
		iommufd_viommu_pasid_detached(cur, rc ? hwpt : old);
		if (!rc) {
			refcount_inc(&hwpt->obj.users);
			refcount_dec(&old->obj.users);
		}
	}
	return rc;
}

static void iommufd_pasid_detach(struct iommufd_device *idev, ioasid_t pasid)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_hw_pagetable *hwpt;
	struct iommufd_pasid *entry;

	lockdep_assert_held(&igroup->lock);

	entry = xa_load(&igroup->pasids, pasid);
	if (!entry || !xa_erase(&entry->devices, idev->obj.id))
		return;
	hwpt = entry->hwpt;
	if (xa_empty(&entry->devices)) {
		iommufd_pasid_unmap(idev, pasid, hwpt);
		xa_erase(&igroup->pasids, pasid);
		kfree(entry);
	}
	iommufd_viommu_pasid_detached(idev, hwpt);
	refcount_dec(&hwpt->obj.users);
}

static int iommufd_pasid_change(struct iommufd_device *idev, ioasid_t pasid,
				u32 pt_id,
				int (*change)(struct iommufd_device *idev,
					      ioasid_t pasid,
					      struct iommufd_hw_pagetable *hwpt))
{
	struct iommufd_object *obj;
	int rc = -EINVAL;

	obj = iommufd_get_object(idev->ictx, pt_id, IOMMUFD_OBJ_ANY);
	if (IS_ERR(obj))
		return PTR_ERR(obj);

	/* An IOAS has no HWPT with IOMMU_HWPT_ALLOC_PASID to choose from */
	if (obj->type == IOMMUFD_OBJ_HWPT_PAGING ||
	    obj->type == IOMMUFD_OBJ_HWPT_NESTED) {
		if (pasid != IOMMU_NO_PASID &&
		    pasid < idev->dev->iommu->max_pasids) {
			mutex_lock(&idev->igroup->lock);
			rc = change(idev, pasid,
				    container_of(obj,
						 struct iommufd_hw_pagetable,
						 obj));
			mutex_unlock(&idev->igroup->lock);
		}
	}
	iommufd_put_object(idev->ictx, obj);
	iommufd_viommu_trace_attach(idev, pasid, pt_id, rc);
	return rc;
}

/**
 * iommufd_device_attach_pasid() - Attach a HWPT to a PASID of a device
 * @idev: The device
 * @pasid: The PASID
 * @pt_id: The ID of the HWPT
 *
 * The device may use the PASID when this returns. Undo it by
 * iommufd_device_detach_pasid(); iommufd_device_unbind() also does so.
 *
 * Return: 0, -EBUSY if the HWPT is attached to the PASID already, -ENOENT if
 * there is no such object or if the device needs a virtual device and has none,
 * -EOPNOTSUPP if the driver cannot attach this kind of HWPT to PASIDs, or
 * -EINVAL: the PASID is 0 or more than the device can have; the object is not a
 * HWPT, or one without IOMMU_HWPT_ALLOC_PASID; the device itself has such a
 * HWPT; another HWPT is attached to the PASID; or the HWPT is on another vIOMMU
 * than those that the device has. Other errors are those of the driver.
 */
int iommufd_device_attach_pasid(struct iommufd_device *idev, ioasid_t pasid,
				u32 pt_id)
{
	return iommufd_pasid_change(idev, pasid, pt_id, iommufd_pasid_attach);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_attach_pasid, IOMMUFD);

/**
 * iommufd_device_replace_pasid() - Replace the HWPT of a PASID of a device
 * @idev: The device
 * @pasid: A PASID that iommufd_device_attach_pasid() has attached a HWPT to
 * @pt_id: The ID of the new HWPT
 *
 * Whether DMA goes on meanwhile depends on the IOMMU and the driver.
 *
 * Return: 0, or an error as from iommufd_device_attach_pasid(), -EINVAL if the
 * device has attached nothing to the PASID. After an error the old HWPT stays.
 */
int iommufd_device_replace_pasid(struct iommufd_device *idev, ioasid_t pasid,
				 u32 pt_id)
{
	return iommufd_pasid_change(idev, pasid, pt_id, iommufd_pasid_replace);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_replace_pasid, IOMMUFD);

/**
 * iommufd_device_detach_pasid() - Detach the HWPT of a PASID of a device
 * @idev: The device
 * @pasid: The PASID; nothing happens if the device has attached nothing to it
 *
 * When this returns, DMA with the PASID is blocked, unless another device of
 * the group has attached the HWPT too.
 */
void iommufd_device_detach_pasid(struct iommufd_device *idev, ioasid_t pasid)
{
	mutex_lock(&idev->igroup->lock);
	iommufd_pasid_detach(idev, pasid);
	mutex_unlock(&idev->igroup->lock);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_detach_pasid, IOMMUFD);

/**
 * iommufd_device_has_pasid() - Does a device have a HWPT on a PASID?
 * @idev: The device
 * @pasid: The PASID
 *
 * The caller serializes this with attaches and detaches of @idev, to use the
 * answer.
 *
 * Return: true if iommufd_device_attach_pasid() has attached one.
 */
bool iommufd_device_has_pasid(struct iommufd_device *idev, ioasid_t pasid)
{
	struct iommufd_pasid *entry;
	bool has;

	mutex_lock(&idev->igroup->lock);
	entry = xa_load(&idev->igroup->pasids, pasid);
	has = entry && xa_load(&entry->devices, idev->obj.id);
	mutex_unlock(&idev->igroup->lock);
	return has;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_has_pasid, IOMMUFD);

/**
 * iommufd_device_detach_all_pasids() - Detach the HWPTs of all PASIDs
 * @idev: The device, which is about to be unbound
 */
void iommufd_device_detach_all_pasids(struct iommufd_device *idev)
{
	struct iommufd_pasid *entry;
	unsigned long pasid;

	mutex_lock(&idev->igroup->lock);
	xa_for_each(&idev->igroup->pasids, pasid, entry)
		iommufd_pasid_detach(idev, pasid);
	mutex_unlock(&idev->igroup->lock);
}
