// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vDEVICE object: a device under the ID that a VM knows
 *
 *	iommufd_device::vdev  <--->  iommufd_vdevice_obj::idev
 *	iommufd_viommu::vdevs, dev_iommu::vdevice  --->  iommufd_vdevice
 *
 * Owns:	its entries in the tables of the vIOMMU and of the device, a
 *		reference on the vIOMMU, a reference on the group of the device.
 * Held by:	short-term users only.
 * Locks:	the lock of the device's group guards the links to and from the
 *		device, and with them the state between the driver's
 *		vdevice_init and vdevice_release. Nested in it, the two tables
 *		have their own locks, see builtin/driver.c.
 * Dies:	by IOMMU_DESTROY, when the iommufd is closed, or with its
 *		device.
 *
 * A device does not wait for its virtual device, and user space can destroy the
 * virtual device while the device goes away. So the first of the two unlinks
 * them under the group lock, after which the virtual device is an empty shell.
 * The one that takes the ID out of use frees the shell, see
 * iommufd_object_bury().
 *
 * The destruction of a device begins with its virtual device: an ioctl of
 * another thread may hold the device for a long time, and the device's driver
 * does not wait forever. So the virtual device is unlinked first, and no other
 * one can be linked after that.
 */
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <trace/events/iommufd_viommu.h>

#include "private.h"

/* From here on events of the device find the virtual device @found */
static void iommufd_vdevice_publish(struct iommufd_vdevice *vdev,
				    struct iommufd_vdevice *found)
{
	struct dev_iommu *dev_iommu = vdev->dev->iommu;

	spin_lock_irq(&dev_iommu->viommu_lock);
	dev_iommu->vdevice = found;
	spin_unlock_irq(&dev_iommu->viommu_lock);
}

static void iommufd_vdevice_free_id(struct iommufd_vdevice *vdev)
{
	xa_cmpxchg_irq(&vdev->viommu->vdevs, vdev->virt_id, XA_ZERO_ENTRY, NULL,
		       GFP_NOWAIT);
}

static void iommufd_vdevice_unlink(struct iommufd_vdevice_obj *vdev_obj)
{
	struct iommufd_vdevice *vdev = &vdev_obj->vdev;
	struct iommufd_viommu *viommu = vdev->viommu;

	lockdep_assert_held(&vdev_obj->igroup->lock);

	trace_iommufd_vdevice_destroy(vdev_obj->obj.id,
				      to_viommu_obj(viommu)->obj.id);
	/* Hide it from lookups, but reserve its ID until the driver is done */
	iommufd_vdevice_publish(vdev, NULL);
	xa_store_irq(&viommu->vdevs, vdev->virt_id, XA_ZERO_ENTRY, GFP_NOWAIT);

	if (viommu->ops->vdevice_release)
		viommu->ops->vdevice_release(vdev);
	iommufd_vdevice_free_id(vdev);
	vdev_obj->idev->vdev = NULL;
	vdev_obj->idev = NULL;
}

/* A device of a VM is not one of another */
static bool iommufd_vm_differs(struct iommufd_viommu *viommu,
			       const struct kvm *kvm)
{
	return viommu->vm && kvm && kvm != viommu->vm->private_data;
}

static int iommufd_vdevice_link(struct iommufd_vdevice_obj *vdev_obj,
				struct iommufd_device *idev)
{
	struct iommufd_vdevice *vdev = &vdev_obj->vdev;
	struct iommufd_viommu *viommu = vdev->viommu;
	int rc;

	lockdep_assert_held(&vdev_obj->igroup->lock);

	if (idev->unbinding)
		return -ENOENT;
	if (idev->vdev)
		return -EEXIST;
	if (iommufd_vm_differs(viommu, idev->kvm))
		return -EINVAL;

	/* Reserve the ID; lookups do not find anything yet */
	rc = xa_insert_irq(&viommu->vdevs, vdev->virt_id, NULL,
			   GFP_KERNEL_ACCOUNT);
	if (rc)
		return rc == -EBUSY ? -EEXIST : rc;

	if (viommu->ops->vdevice_init) {
		rc = viommu->ops->vdevice_init(vdev);
		if (rc) {
			iommufd_vdevice_free_id(vdev);
			return rc;
		}
	}

	/* Replaces the reservation, so nothing is allocated */
	xa_store_irq(&viommu->vdevs, vdev->virt_id, vdev, GFP_NOWAIT);
	iommufd_vdevice_publish(vdev, vdev);

	vdev_obj->idev = idev;
	idev->vdev = vdev_obj;
	trace_iommufd_vdevice_alloc(vdev_obj->obj.id, to_viommu_obj(viommu)->obj.id,
				    vdev->virt_id, vdev->dev);
	return 0;
}

void iommufd_vdevice_destroy(struct iommufd_object *obj)
{
	struct iommufd_vdevice_obj *vdev_obj =
		container_of(obj, struct iommufd_vdevice_obj, obj);

	mutex_lock(&vdev_obj->igroup->lock);
	if (vdev_obj->idev)
		iommufd_vdevice_unlink(vdev_obj);
	mutex_unlock(&vdev_obj->igroup->lock);

	iommufd_put_group(vdev_obj->igroup);
	refcount_dec(&to_viommu_obj(vdev_obj->vdev.viommu)->obj.users);
}

/**
 * iommufd_device_destroy_vdevice() - Destroy the virtual device of a device
 * @idev: A device that is about to be unbound. Ioctls may still use it.
 *
 * On return the device has no virtual device, and cannot get another one. The
 * object is freed here or, if user space was faster, by IOMMU_DESTROY.
 */
void iommufd_device_destroy_vdevice(struct iommufd_device *idev)
{
	struct iommufd_vdevice_obj *vdev_obj;
	bool ours = false;

	mutex_lock(&idev->igroup->lock);
	idev->unbinding = true;
	vdev_obj = idev->vdev;
	if (vdev_obj) {
		ours = iommufd_object_bury(idev->ictx, &vdev_obj->obj);
		iommufd_vdevice_unlink(vdev_obj);
	}
	mutex_unlock(&idev->igroup->lock);

	if (ours)
		iommufd_object_destroy_buried(idev->ictx, &vdev_obj->obj);
}

/**
 * iommufd_device_set_kvm() - Say which VM a device belongs to
 * @idev: The device, just bound
 * @kvm: The VM, which stays until the device is unbound, or NULL. It is only
 *       compared.
 *
 * Only a vIOMMU of the same VM, or one that was allocated without a VM, can have
 * a virtual device of it.
 *
 * Return: 0, or -EINVAL if user space was faster and the device has a virtual
 * device on a vIOMMU of another VM. The caller then unbinds the device.
 */
int iommufd_device_set_kvm(struct iommufd_device *idev, const struct kvm *kvm)
{
	int rc = 0;

	mutex_lock(&idev->igroup->lock);
	if (idev->vdev &&
	    iommufd_vm_differs(idev->vdev->vdev.viommu, kvm))
		rc = -EINVAL;
	else
		idev->kvm = kvm;
	mutex_unlock(&idev->igroup->lock);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_set_kvm, IOMMUFD);

static struct iommufd_vdevice_obj *
iommufd_vdevice_create(struct iommufd_ctx *ictx,
		       struct iommufd_viommu_obj *viommu_obj,
		       struct iommufd_device *idev, u64 virt_id)
{
	const size_t size = offsetof(struct iommufd_vdevice_obj, vdev);
	struct iommufd_viommu *viommu = &viommu_obj->viommu;
	struct iommufd_vdevice_obj *vdev_obj;
	struct iommufd_object *obj;
	size_t vdevice_size;

	vdevice_size = max(viommu->ops->vdevice_size,
			   sizeof(struct iommufd_vdevice));
	obj = _iommufd_object_alloc(ictx, size + vdevice_size,
				    IOMMUFD_OBJ_VDEVICE);
	if (IS_ERR(obj))
		return ERR_CAST(obj);
	vdev_obj = container_of(obj, struct iommufd_vdevice_obj, obj);

	kref_get(&idev->igroup->ref);
	vdev_obj->igroup = idev->igroup;
	refcount_inc(&viommu_obj->obj.users);
	vdev_obj->vdev.viommu = viommu;
	vdev_obj->vdev.dev = idev->dev;
	vdev_obj->vdev.virt_id = virt_id;
	return vdev_obj;
}

int iommufd_vdevice_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_vdevice_alloc *cmd = ucmd->cmd;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_vdevice_obj *vdev_obj;
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

	vdev_obj = iommufd_vdevice_create(ucmd->ictx, viommu_obj, idev,
					  cmd->virt_id);
	if (IS_ERR(vdev_obj)) {
		rc = PTR_ERR(vdev_obj);
		goto out_put_idev;
	}

	cmd->out_vdevice_id = vdev_obj->obj.id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		goto out_abort;

	/* A device that is unbound must find the object that it is linked to */
	mutex_lock(&idev->igroup->lock);
	rc = iommufd_vdevice_link(vdev_obj, idev);
	if (!rc)
		iommufd_object_finalize(ucmd->ictx, &vdev_obj->obj);
	mutex_unlock(&idev->igroup->lock);

out_abort:
	if (rc)
		iommufd_object_abort_and_destroy(ucmd->ictx, &vdev_obj->obj);
out_put_idev:
	iommufd_put_object(ucmd->ictx, &idev->obj);
out_put_viommu:
	iommufd_put_object(ucmd->ictx, &viommu_obj->obj);
	return rc;
}
