// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions for IOMMU drivers: lookups of virtual devices and reports of events
 *
 * This folder is built in even if iommufd is a module, because most drivers are
 * built in. All functions may be called in any context, do not allocate, and
 * take no lock that is held across an access to user memory. On PREEMPT_RT
 * these locks sleep, so a thread must call them there.
 *
 *	iommufd_viommu::vdevs   virtual ID to virtual device
 *	dev_iommu::vdevice      device to virtual device
 *	dev_iommu::viommu       the vIOMMU whose nested domain is attached
 *
 * Locks: the lock of vdevs guards the first. The core removes a virtual device
 * under it before it calls the driver's vdevice_release, so the result of a
 * lookup stays valid while the lock is held. dev_iommu::viommu_lock guards the
 * other two, which iommufd changes under the group lock of the device. Nested
 * in it are iommufd_viommu::vevents_lock and then iommufd_vevent_ring::lock.
 */
#include <linux/export.h>
#include <linux/iommu.h>
#include <linux/iommufd_viommu.h>
#include <linux/limits.h>
#include <linux/lockdep.h>
#include <linux/string.h>
#include <trace/events/iommufd_viommu.h>

#include "../veventq.h"

/**
 * iommufd_viommu_find_vdevice() - Find a virtual device by its virtual ID
 * @viommu: The vIOMMU
 * @virt_id: The ID in the VM
 *
 * The caller holds iommufd_viommu_lock_vdevs(), and may use the result until it
 * unlocks.
 *
 * Return: the virtual device, or NULL if none has this ID.
 */
struct iommufd_vdevice *iommufd_viommu_find_vdevice(struct iommufd_viommu *viommu,
						    u64 virt_id)
{
	XA_STATE(xas, &viommu->vdevs, virt_id);
	struct iommufd_vdevice *vdev;

	lockdep_assert_held(&viommu->vdevs.xa_lock);

	if (virt_id > ULONG_MAX)
		return NULL;
	vdev = xas_load(&xas);
	return xa_is_zero(vdev) ? NULL : vdev;
}
EXPORT_SYMBOL_GPL(iommufd_viommu_find_vdevice);

static void iommufd_vevent_append(struct iommufd_vevent_ring *ring,
				  const void *payload)
{
	struct iommufd_vevent_header *header;
	unsigned long flags;
	u32 sequence;

	spin_lock_irqsave(&ring->lock, flags);
	sequence = ring->sequence;
	ring->sequence = sequence == INT_MAX ? 0 : sequence + 1;

	if (ring->count == ring->depth) {
		ring->lost = true;
		ring->lost_sequence = sequence;
	} else {
		header = iommufd_vevent_at(ring, ring->count);
		header->flags = 0;
		header->sequence = sequence;
		memcpy(header + 1, payload, ring->size - sizeof(*header));
		ring->count++;
		/* From here on the next sequence number shows the loss */
		ring->lost = false;
	}
	trace_iommufd_veventq_report(ring->id, ring->type, sequence, ring->lost);
	spin_unlock_irqrestore(&ring->lock, flags);

	wake_up_interruptible(&ring->wait);
}

/**
 * iommufd_viommu_report_event() - Report an event to the VM of a vIOMMU
 * @viommu: The vIOMMU
 * @type: enum iommu_veventq_type
 * @payload: The event in the format of @type, without any data of the host
 * @len: Its size in bytes
 *
 * If the queue of the VM is full the event is lost, and the VMM can see that.
 *
 * Return: 0, -EOPNOTSUPP if the VM has no queue for events of this type, so
 * that the host should log the event, or -EINVAL if @len does not match the
 * type.
 */
int iommufd_viommu_report_event(struct iommufd_viommu *viommu, u32 type,
				const void *payload, size_t len)
{
	struct iommufd_vevent_ring *ring;
	unsigned long flags;
	int rc = -EOPNOTSUPP;

	spin_lock_irqsave(&viommu->vevents_lock, flags);
	list_for_each_entry(ring, &viommu->vevents, item) {
		if (ring->type != type)
			continue;
		rc = -EINVAL;
		if (len == ring->size - sizeof(struct iommufd_vevent_header)) {
			iommufd_vevent_append(ring, payload);
			rc = 0;
		}
		break;
	}
	spin_unlock_irqrestore(&viommu->vevents_lock, flags);
	return rc;
}
EXPORT_SYMBOL_GPL(iommufd_viommu_report_event);

/**
 * iommufd_device_report_event() - Report an event of a device to its VM
 * @dev: The device, which its driver keeps during the call
 * @event: The event. Its payload only changes if there is a VM.
 *
 * The VM is the one whose nested domain the device is attached to, or is being
 * attached to. An event that waits in a queue of the hardware while its device
 * moves to another VM goes to that VM.
 *
 * Return: as iommufd_viommu_report_event(), or -ENOENT if the device is not
 * attached to a VM's nested domain or has no virtual device there, so that the
 * host should log the event.
 */
int iommufd_device_report_event(struct device *dev,
				const struct iommufd_device_event *event)
{
	struct dev_iommu *dev_iommu = dev->iommu;
	struct iommufd_vdevice *vdev;
	unsigned long flags;
	int rc = -ENOENT;

	spin_lock_irqsave(&dev_iommu->viommu_lock, flags);
	vdev = dev_iommu->vdevice;
	if (vdev && vdev->viommu == dev_iommu->viommu) {
		event->set_virt_id(event->payload, vdev->virt_id);
		rc = iommufd_viommu_report_event(vdev->viommu, event->type,
						 event->payload, event->len);
		trace_iommufd_device_event(dev, event->type, event->pasid, rc);
	}
	spin_unlock_irqrestore(&dev_iommu->viommu_lock, flags);
	return rc;
}
EXPORT_SYMBOL_GPL(iommufd_device_report_event);
