/* SPDX-License-Identifier: GPL-2.0-only */
/* The core's part of the vIOMMU objects, and functions that iommufd calls */
#ifndef __IOMMUFD_VIOMMU_PRIVATE_H
#define __IOMMUFD_VIOMMU_PRIVATE_H

#include <linux/iommufd_viommu.h>

#include "../iommufd_private.h"
#include "veventq.h"

/**
 * struct iommufd_viommu_obj - The object around a vIOMMU
 * @obj: The iommufd object; its users are the children
 * @hwpt: The nesting parent; the object holds a reference on it
 * @hw_queues: List of struct iommufd_hw_queue_obj
 * @hw_queues_lock: Guards @hw_queues, see hw_queue.c
 * @viommu: The part that the driver sees. Must be last: the driver's structure
 *          starts here and extends beyond it.
 */
struct iommufd_viommu_obj {
	struct iommufd_object obj;
	struct iommufd_hwpt_paging *hwpt;
	struct list_head hw_queues;
	struct mutex hw_queues_lock; /* guards hw_queues */
	struct iommufd_viommu viommu;
};

/**
 * struct iommufd_vdevice_obj - The object around a virtual device
 * @obj: The iommufd object
 * @igroup: The group of @idev; the object holds a reference on it. It outlives
 *          @idev, and its lock guards @idev.
 * @idev: The device, whose iommufd_device::vdev points back; NULL once the
 *        device is unbound. No reference: the device does not wait for the
 *        virtual device, but destroys it.
 * @vdev: The part that the driver sees. Must be last, as in struct
 *        iommufd_viommu_obj.
 */
struct iommufd_vdevice_obj {
	struct iommufd_object obj;
	struct iommufd_group *igroup;
	struct iommufd_device *idev;
	struct iommufd_vdevice vdev;
};

/**
 * struct iommufd_hw_queue_obj - The object around a hardware queue
 * @obj: The iommufd object; its user is the queue above it
 * @item: In &iommufd_viommu_obj.hw_queues
 * @lower: The queue with the next lower index, on which this one holds a
 *	   reference; NULL if it depends on none
 * @type: Its type, one of &iommufd_viommu_ops.hw_queue_types
 * @queue: The part that the driver sees. Must be last, as in struct
 *	   iommufd_viommu_obj.
 */
struct iommufd_hw_queue_obj {
	struct iommufd_object obj;
	struct list_head item;
	struct iommufd_hw_queue_obj *lower;
	const struct iommufd_hw_queue_type *type;
	struct iommufd_hw_queue queue;
};

/**
 * struct iommufd_veventq_obj - The object around a ring of events
 * @obj: The iommufd object
 * @ictx: The iommufd
 * @viommu_obj: The vIOMMU
 * @filep: The file that user space reads from
 * @read_lock: Serializes readers
 * @ring: The events
 */
struct iommufd_veventq_obj {
	struct iommufd_object obj;
	struct iommufd_ctx *ictx;
	struct iommufd_viommu_obj *viommu_obj;
	struct file *filep;
	struct mutex read_lock; /* serializes readers */
	struct iommufd_vevent_ring ring;
};

/*
 * The ID of a vIOMMU gives the offset of its region; a region is smaller than
 * this
 */
#define IOMMUFD_VIOMMU_MMAP_SHIFT	32

extern const struct iommufd_viommu_ops iommufd_viommu_default_ops;

int iommufd_pin_range(struct io_pagetable *iopt, unsigned long iova,
		      unsigned long length, bool write, phys_addr_t *phys);
void iommufd_unpin_range(struct io_pagetable *iopt, unsigned long iova,
			 unsigned long length);

static inline struct iommufd_viommu_obj *
to_viommu_obj(struct iommufd_viommu *viommu)
{
	return container_of(viommu, struct iommufd_viommu_obj, viommu);
}

static inline struct iommufd_viommu_obj *
iommufd_get_viommu(struct iommufd_ucmd *ucmd, u32 id)
{
	return container_of(iommufd_get_object(ucmd->ictx, id,
					       IOMMUFD_OBJ_VIOMMU),
			    struct iommufd_viommu_obj, obj);
}

#endif
