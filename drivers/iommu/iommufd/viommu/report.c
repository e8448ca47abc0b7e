// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reporting of events to a VM
 *
 * For drivers of IOMMUs, from their threaded interrupt handlers. Built in, as
 * lookup.c is. Nothing here allocates, waits, or takes a lock that is held
 * across an access to user memory.
 */
#include <linux/export.h>
#include <linux/iommufd_viommu.h>
#include <linux/limits.h>
#include <linux/string.h>
#include <trace/events/iommufd_viommu.h>

#include "veventq.h"

static void iommufd_vevent_append(struct iommufd_vevent_ring *ring,
				  const void *payload)
{
	struct iommufd_vevent_header *header;
	u32 sequence;

	spin_lock(&ring->lock);
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
		/* From here on the jump of the sequence tells */
		ring->lost = false;
	}
	trace_iommufd_veventq_report(ring->id, ring->type, sequence, ring->lost);
	spin_unlock(&ring->lock);

	wake_up_interruptible(&ring->wait);
}

/**
 * iommufd_viommu_report_event() - Report an event to the VM of a vIOMMU
 * @viommu: The vIOMMU
 * @type: enum iommu_veventq_type
 * @payload: The event in the format of @type, with nothing in it that is not
 *           the VM's business
 * @len: Its size in bytes
 *
 * May be called in process context, such as a threaded interrupt handler, also
 * where it must not sleep. If the queue of the VM is full the event is lost and
 * the VMM told so.
 *
 * Return: 0, -EOPNOTSUPP if the VM has no queue for events of this type, so that
 * the event is the host's to log, -EINVAL for a @len that is not the type's.
 */
int iommufd_viommu_report_event(struct iommufd_viommu *viommu, u32 type,
				const void *payload, size_t len)
{
	struct iommufd_vevent_ring *ring;
	int rc = -EOPNOTSUPP;

	spin_lock(&viommu->vevents_lock);
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
	spin_unlock(&viommu->vevents_lock);
	return rc;
}
EXPORT_SYMBOL_GPL(iommufd_viommu_report_event);
