// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vDEVICE object: a device as a VM knows it
 *
 *	iommufd_device::vdev  <--->  iommufd_vdevice_obj::idev
 *	iommufd_viommu::vdevs, ::devs  --->  iommufd_vdevice
 *
 * Owns:	its places in the tables of the vIOMMU, a user of the vIOMMU, a
 *		reference on the group of the device.
 * Held by:	nobody for long.
 * Locks:	the lock of the device's group guards the two links to and from
 *		the device and with them whether the driver's vdevice_init is in
 *		force; under it the lock of the vIOMMU's tables guards these.
 * Dies:	by IOMMU_DESTROY, when the iommufd is closed, or with its device.
 *
 * A device does not wait for its virtual device, and user space can destroy the
 * one while the other goes. So whoever comes first unlinks the two under the
 * group lock, after which the virtual device is an empty shell; who frees the
 * shell is decided by who takes its ID out of use, see iommufd_object_bury().
 * An allocation never races with the end of its device: it holds the device as
 * a short-term user, and the device is destroyed when these are gone.
 */
#include <linux/iommu.h>
#include <trace/events/iommufd_viommu.h>

#include "lookup.h"
#include "private.h"

static void iommufd_vdevice_unlink(struct iommufd_vdevice_obj *vobj)
{
	struct iommufd_vdevice *vdev = &vobj->vdev;
	struct iommufd_viommu *viommu = vdev->viommu;

	lockdep_assert_held(&vobj->igroup->lock);

	trace_iommufd_vdevice_destroy(vobj->obj.id,
				      to_viommu_obj(viommu)->obj.id);
	/* Nobody finds it, but the ID is taken until the driver is done */
	xa_lock(&viommu->vdevs);
	__xa_store(&viommu->vdevs, vdev->virt_id, XA_ZERO_ENTRY, GFP_NOWAIT);
	rb_erase(&vdev->node, &viommu->devs);
	xa_unlock(&viommu->vdevs);

	if (viommu->ops->vdevice_release)
		viommu->ops->vdevice_release(vdev);
	xa_release(&viommu->vdevs, vdev->virt_id);
	vobj->idev->vdev = NULL;
	vobj->idev = NULL;
}

static int iommufd_vdevice_link(struct iommufd_vdevice_obj *vobj,
				struct iommufd_device *idev)
{
	struct iommufd_vdevice *vdev = &vobj->vdev;
	struct iommufd_viommu *viommu = vdev->viommu;
	int rc;

	lockdep_assert_held(&vobj->igroup->lock);

	if (idev->vdev)
		return -EEXIST;

	/* Takes the ID, but nobody finds anything there yet */
	rc = xa_insert(&viommu->vdevs, vdev->virt_id, NULL, GFP_KERNEL_ACCOUNT);
	if (rc)
		return rc == -EBUSY ? -EEXIST : rc;

	if (viommu->ops->vdevice_init) {
		rc = viommu->ops->vdevice_init(vdev);
		if (rc) {
			xa_release(&viommu->vdevs, vdev->virt_id);
			return rc;
		}
	}

	/* Nobody can look between the two tables; nothing is allocated here */
	xa_lock(&viommu->vdevs);
	__xa_store(&viommu->vdevs, vdev->virt_id, vdev, GFP_NOWAIT);
	rb_find_add(&vdev->node, &viommu->devs, iommufd_vdevice_cmp_node);
	xa_unlock(&viommu->vdevs);

	vobj->idev = idev;
	idev->vdev = vobj;
	trace_iommufd_vdevice_alloc(vobj->obj.id, to_viommu_obj(viommu)->obj.id,
				    vdev->virt_id, vdev->dev);
	return 0;
}

void iommufd_vdevice_destroy(struct iommufd_object *obj)
{
	struct iommufd_vdevice_obj *vobj =
		container_of(obj, struct iommufd_vdevice_obj, obj);

	mutex_lock(&vobj->igroup->lock);
	if (vobj->idev)
		iommufd_vdevice_unlink(vobj);
	mutex_unlock(&vobj->igroup->lock);

	iommufd_put_group(vobj->igroup);
	refcount_dec(&to_viommu_obj(vobj->vdev.viommu)->obj.users);
}

/**
 * iommufd_device_destroy_vdevice() - Let the virtual device go with its device
 * @idev: A device that is being unbound: nobody finds it any more, nobody uses
 *        it for a short term
 *
 * Returns when the device is no longer used by the virtual device, which is
 * freed here or, if user space was faster, by IOMMU_DESTROY.
 */
void iommufd_device_destroy_vdevice(struct iommufd_device *idev)
{
	struct iommufd_vdevice_obj *vobj;
	bool ours = false;

	mutex_lock(&idev->igroup->lock);
	vobj = idev->vdev;
	if (vobj) {
		ours = iommufd_object_bury(idev->ictx, &vobj->obj);
		iommufd_vdevice_unlink(vobj);
	}
	mutex_unlock(&idev->igroup->lock);

	if (ours)
		iommufd_object_destroy_buried(idev->ictx, &vobj->obj);
}

static struct iommufd_vdevice_obj *
iommufd_vdevice_create(struct iommufd_ctx *ictx,
		       struct iommufd_viommu_obj *viommu_obj,
		       struct iommufd_device *idev, u64 virt_id)
{
	const size_t size = offsetof(struct iommufd_vdevice_obj, vdev);
	struct iommufd_viommu *viommu = &viommu_obj->viommu;
	struct iommufd_vdevice_obj *vobj;
	struct iommufd_object *obj;
	size_t vdevice_size;

	vdevice_size = max(viommu->ops->vdevice_size,
			   sizeof(struct iommufd_vdevice));
	obj = _iommufd_object_alloc(ictx, size + vdevice_size,
				    IOMMUFD_OBJ_VDEVICE);
	if (IS_ERR(obj))
		return ERR_CAST(obj);
	vobj = container_of(obj, struct iommufd_vdevice_obj, obj);

	kref_get(&idev->igroup->ref);
	vobj->igroup = idev->igroup;
	refcount_inc(&viommu_obj->obj.users);
	vobj->vdev.viommu = viommu;
	vobj->vdev.dev = idev->dev;
	vobj->vdev.virt_id = virt_id;
	return vobj;
}

int iommufd_vdevice_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_vdevice_alloc *cmd = ucmd->cmd;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_vdevice_obj *vobj;
	struct iommufd_device *idev;
	int rc;

	viommu_obj = iommufd_get_viommu(ucmd, cmd->viommu_id);
	if (IS_ERR(viommu_obj))
		return PTR_ERR(viommu_obj);

	idev = iommufd_get_device(ucmd, cmd->dev_id);
	if (IS_ERR(idev)) {
		rc = PTR_ERR(idev);
		goto out_put_viommu;
	}

	if (idev->dev->iommu->iommu_dev != viommu_obj->viommu.iommu_dev ||
	    cmd->virt_id > ULONG_MAX) {
		rc = -EINVAL;
		goto out_put_idev;
	}

	vobj = iommufd_vdevice_create(ucmd->ictx, viommu_obj, idev,
				      cmd->virt_id);
	if (IS_ERR(vobj)) {
		rc = PTR_ERR(vobj);
		goto out_put_idev;
	}

	mutex_lock(&idev->igroup->lock);
	rc = iommufd_vdevice_link(vobj, idev);
	mutex_unlock(&idev->igroup->lock);
	if (rc)
		goto out_abort;

	cmd->out_vdevice_id = vobj->obj.id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		goto out_abort;
	iommufd_object_finalize(ucmd->ictx, &vobj->obj);
	goto out_put_idev;

out_abort:
	iommufd_object_abort_and_destroy(ucmd->ictx, &vobj->obj);
out_put_idev:
	iommufd_put_object(ucmd->ictx, &idev->obj);
out_put_viommu:
	iommufd_put_object(ucmd->ictx, &viommu_obj->obj);
	return rc;
}
