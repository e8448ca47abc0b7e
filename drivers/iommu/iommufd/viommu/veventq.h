/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring behind a vEVENTQ
 *
 * Reporters append under the lock and never wait: a full ring drops new events
 * and records the loss. Readers, one at a time, look at the first record under
 * the lock, copy it to user space without the lock and then drop the record. So
 * a reader that is stuck in a page fault delays nobody.
 */
#ifndef __IOMMUFD_VIOMMU_VEVENTQ_H
#define __IOMMUFD_VIOMMU_VEVENTQ_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <uapi/linux/iommufd.h>

/* The largest payload of all types; a reader keeps one record on its stack */
#define IOMMUFD_VEVENT_MAX_PAYLOAD	32
#define IOMMUFD_VEVENT_MAX_SIZE \
	(sizeof(struct iommufd_vevent_header) + IOMMUFD_VEVENT_MAX_PAYLOAD)

/**
 * struct iommufd_vevent_ring - Events on their way to user space
 * @item: In &iommufd_viommu.vevents, under &iommufd_viommu.vevents_lock
 * @id: ID of the vEVENTQ
 * @type: enum iommu_veventq_type
 * @size: Size of a record, header included, in bytes
 * @depth: Records that fit
 * @records: The memory of the ring, @depth times @size
 * @wait: Woken when a record can be read
 * @lock: Guards what follows. Taken under vevents_lock, in any context,
 *        never held across an access to user memory.
 * @head: Index of the first record; moved by the reader alone
 * @count: Records in the ring
 * @sequence: Sequence number of the next event, 0 to INT_MAX, lost ones
 *            included
 * @lost: Events were lost after the last record of the ring
 * @lost_sequence: Sequence number of the last lost event
 */
struct iommufd_vevent_ring {
	struct list_head item;
	u32 id;
	u32 type;
	u32 size;
	u32 depth;
	void *records;
	wait_queue_head_t wait;

	spinlock_t lock; /* guards the rest */
	u32 head;
	u32 count;
	u32 sequence;
	bool lost;
	u32 lost_sequence;
};

static inline void *iommufd_vevent_at(struct iommufd_vevent_ring *ring,
				      u32 index)
{
	u64 at = (u64)ring->head + index;

	if (at >= ring->depth)
		at -= ring->depth;
	return ring->records + at * ring->size;
}

#endif
