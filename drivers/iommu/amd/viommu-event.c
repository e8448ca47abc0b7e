// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the AMD IOMMU: events of a VM's devices
 *
 *	event log --> amd_viommu_take_event() --> event queue of the VM
 *						| host's log, with its limit
 *
 * The driver reads the event log in a thread, and offers it each event first.
 *
 * Owns:	nothing.
 * Locks:	amd_vevents_lock guards the list of virtual devices; while it is
 *		held they stay, and with them their devices. Nested in it,
 *		iommu_dev_data::mutex for what a device is attached to, or the
 *		lock of the nesting parent for the guest's DomainID.
 */
#include <linux/pci.h>
#include <uapi/linux/iommufd.h>

#include "viommu.h"

static DEFINE_MUTEX(amd_vevents_lock);
static LIST_HEAD(amd_vevents_devs);

#define EVENT_TYPE(event)	((event)[1] >> EVENT_TYPE_SHIFT)
#define EVENT_FLAGS		GENMASK(27, 16)
#define EVENT_FLAG_GN		BIT(16)
#define EVENT_FLAG_INTR		(EVENT_FLAG_I << EVENT_FLAGS_SHIFT)

/**
 * amd_vevent_to_guest() - Convert an event for a guest
 * @event: The event as the IOMMU has written it, 4 words
 * @evt: Result, in which the DeviceID is missing, and the DomainID is the host's
 *	 if the event has one
 *
 * Return: whether it is of a type that a guest gets.
 */
bool amd_vevent_to_guest(const u32 *event, u32 *evt)
{
	switch (EVENT_TYPE(event)) {
	case EVENT_TYPE_IO_FAULT:
		/* The host remaps interrupts */
		if (event[1] & EVENT_FLAG_INTR)
			return false;
		break;
	case EVENT_TYPE_INV_DEV_REQ:
		break;
	default:
		return false;
	}
	evt[0] = event[0] & EVENT_DOMID_MASK_HI;
	evt[1] = event[1];
	evt[2] = event[2];
	evt[3] = event[3];
	return true;
}

/* Only a page fault has one, and only without a PASID in its place */
static bool amd_vevent_has_domid(const u32 *event)
{
	return EVENT_TYPE(event) == EVENT_TYPE_IO_FAULT &&
	       !(event[1] & EVENT_FLAG_GN);
}

/* Which of a guest's DomainIDs @host stands for, for a device */
static bool amd_vevent_domid(struct amd_vdevice *vdev, u16 host, u16 *guest)
{
	struct amd_viommu *viommu = to_amd_viommu(vdev->core.viommu);
	struct protection_domain *s2 = viommu->s2;
	struct amd_viommu_domain *nested;
	struct amd_vdomid *domid;
	unsigned int bucket;
	bool found = false;
	unsigned long flags;

	if (!host) {
		/* That of an entry that blocks, which may be on another vIOMMU */
		mutex_lock(&vdev->dev_data->mutex);
		nested = vdev->dev_data->nested;
		found = nested && nested->viommu == viommu &&
			nested->vdte.kind == AMD_VDTE_BLOCKED;
		if (found)
			*guest = nested->vdte.domid;
		mutex_unlock(&vdev->dev_data->mutex);
		return found;
	}

	spin_lock_irqsave(&s2->lock, flags);
	hash_for_each(viommu->domids, bucket, domid, node) {
		if (domid->host == host) {
			*guest = domid->guest;
			found = true;
		}
	}
	spin_unlock_irqrestore(&s2->lock, flags);
	return found;
}

static void amd_vevent_set_virt_id(void *payload, u64 virt_id)
{
	struct iommu_vevent_amd *vevent = payload;

	vevent->evt[0] |= cpu_to_le64(virt_id);
}

static int amd_vevent_report(struct amd_vdevice *vdev, const u32 *evt)
{
	struct iommu_vevent_amd vevent;
	const struct iommufd_device_event event = {
		.type = IOMMU_VEVENTQ_TYPE_AMD,
		.pasid = IOMMU_NO_PASID,
		.payload = &vevent,
		.len = sizeof(vevent),
		.set_virt_id = amd_vevent_set_virt_id,
	};
	u32 word1 = evt[1];
	u16 guest;

	if (amd_vevent_has_domid(evt)) {
		if (!amd_vevent_domid(vdev, word1 & EVENT_DOMID_MASK_LO, &guest))
			return -ENOENT;
		word1 = (word1 & ~EVENT_DOMID_MASK_LO) | guest;
	}
	vevent.evt[0] = cpu_to_le64((u64)word1 << 32 | evt[0]);
	vevent.evt[1] = cpu_to_le64((u64)evt[3] << 32 | evt[2]);
	return iommufd_device_report_event(vdev->core.dev, &event);
}

struct amd_vevent_rid {
	u16 devid;
	bool found;
};

static void amd_vevent_match_rid(struct amd_iommu *iommu,
				 struct iommu_dev_data *rid, void *data)
{
	struct amd_vevent_rid *arg = data;

	arg->found |= rid->devid == arg->devid;
}

static bool amd_vevent_is_of(struct amd_vdevice *vdev, u16 devid)
{
	struct amd_vevent_rid arg = { .devid = devid };

	amd_iommu_for_all_rids(vdev->dev_data, amd_vevent_match_rid, &arg);
	return arg.found;
}

/**
 * amd_viommu_take_event() - Take an event that is for a guest
 * @iommu: The IOMMU
 * @event: The event in its log, complete, 4 words
 *
 * In a context that may sleep.
 *
 * Return: true if a VM got it; otherwise it is the host's.
 */
bool amd_viommu_take_event(struct amd_iommu *iommu, const u32 *event)
{
	struct amd_vdevice *vdev;
	bool taken = false;
	u32 evt[4];

	if (!amd_vevent_to_guest(event, evt))
		return false;

	mutex_lock(&amd_vevents_lock);
	list_for_each_entry(vdev, &amd_vevents_devs, event_node) {
		if (to_amd_viommu(vdev->core.viommu)->iommu != iommu ||
		    !amd_vevent_is_of(vdev, event[0] & EVENT_DEVID_MASK))
			continue;
		taken = !amd_vevent_report(vdev, evt);
		if (taken)
			break;
	}
	mutex_unlock(&amd_vevents_lock);
	return taken;
}

/* From here on events of the device are reported */
void amd_viommu_events_add(struct amd_vdevice *vdev)
{
	mutex_lock(&amd_vevents_lock);
	list_add(&vdev->event_node, &amd_vevents_devs);
	mutex_unlock(&amd_vevents_lock);
}

/* When this returns, no report uses the virtual device or its device */
void amd_viommu_events_del(struct amd_vdevice *vdev)
{
	mutex_lock(&amd_vevents_lock);
	list_del(&vdev->event_node);
	mutex_unlock(&amd_vevents_lock);
}
