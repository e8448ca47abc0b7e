// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lookups from virtual ID to virtual device and from device to virtual ID
 *
 * For drivers of IOMMUs, on the path of guest invalidations and of events. This
 * file is built in even where iommufd is a module, because the drivers are
 * built in more often than not.
 *
 * A lookup takes one spinlock, that of the vIOMMU's virtual device table. The
 * core takes a virtual device out of the table under this lock before it calls
 * the driver's vdevice_release and before the device is unbound, so what is
 * found stays good for as long as the lock is held.
 */
#include <linux/export.h>
#include <linux/iommufd_viommu.h>
#include <linux/lockdep.h>
#include <linux/rbtree.h>

#include "lookup.h"

/**
 * iommufd_viommu_find_vdevice() - Find a virtual device by its virtual ID
 * @viommu: The vIOMMU
 * @virt_id: The ID in the VM
 *
 * The caller holds iommufd_viommu_lock_vdevs(), and may use the result until it
 * unlocks.
 *
 * Return: the virtual device, or NULL if there is none of this ID.
 */
struct iommufd_vdevice *iommufd_viommu_find_vdevice(struct iommufd_viommu *viommu,
						    u64 virt_id)
{
	lockdep_assert_held(&viommu->vdevs.xa_lock);

	if (virt_id > ULONG_MAX)
		return NULL;
	return xa_load(&viommu->vdevs, virt_id);
}
EXPORT_SYMBOL_GPL(iommufd_viommu_find_vdevice);

/**
 * iommufd_viommu_virt_id() - Find the virtual ID of a device
 * @viommu: The vIOMMU
 * @dev: The device
 * @virt_id: Where to store the ID, may be NULL
 *
 * Takes the lock of iommufd_viommu_lock_vdevs().
 *
 * Return: 0, or -ENOENT if the device has no virtual device on this vIOMMU.
 */
int iommufd_viommu_virt_id(struct iommufd_viommu *viommu, struct device *dev,
			   u64 *virt_id)
{
	struct rb_node *node;

	xa_lock(&viommu->vdevs);
	node = rb_find(dev, &viommu->devs, iommufd_vdevice_cmp_dev);
	if (node && virt_id)
		*virt_id = rb_entry(node, struct iommufd_vdevice, node)->virt_id;
	xa_unlock(&viommu->vdevs);
	return node ? 0 : -ENOENT;
}
EXPORT_SYMBOL_GPL(iommufd_viommu_virt_id);
