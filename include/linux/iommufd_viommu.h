/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vIOMMU: what a driver of an IOMMU implements and may call
 *
 * A vIOMMU is one VM's slice of one physical IOMMU. A driver lists the types of
 * vIOMMU it offers in &struct iommu_ops.viommu_types. It embeds the structures
 * of this file at the start of its own and says how large those are; the core
 * allocates, numbers, counts and frees them. A driver without such a list has
 * the default type, which the core manages, if it can allocate nested domains.
 */
#ifndef __LINUX_IOMMUFD_VIOMMU_H
#define __LINUX_IOMMUFD_VIOMMU_H

#include <linux/bits.h>
#include <linux/container_of.h>
#include <linux/list.h>
#include <linux/rbtree_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>
#include <uapi/linux/iommufd_viommu.h>

struct attribute_group;
struct device;
struct iommu_device;
struct iommu_domain;
struct iommu_user_data;
struct iommu_user_data_array;
struct iommufd_viommu_ops;

/*
 * What &struct iommu_ops.viommu_caps says of an IOMMU: it nests a stage 1 of the
 * guest in a stage 2; devices behind it may use ATS
 */
#define IOMMUFD_VIOMMU_CAP_NESTING	BIT(0)
#define IOMMUFD_VIOMMU_CAP_ATS		BIT(1)

/**
 * struct iommufd_viommu - A VM's slice of a physical IOMMU
 * @ops: The driver's operations for this type of vIOMMU
 * @iommu_dev: The physical IOMMU
 * @parent: The stage 2 of the VM: a paging domain that the driver has allocated
 *          with IOMMU_HWPT_ALLOC_NEST_PARENT, not necessarily for @iommu_dev.
 *          The vIOMMU keeps it alive.
 * @mmap_offset: Where user space finds the registers below by mmap() on the
 *               iommufd, in bytes
 * @mmio_base: Physical address of registers that the VM may have, on a page
 *             boundary. Set in &iommufd_viommu_ops.init, with the next member, if
 *             there are such registers.
 * @mmio_length: Their length in bytes, a number of pages below 4 GiB; 0 for none
 *
 * But for the last two the members are set before &iommufd_viommu_ops.init and do
 * not change.
 */
struct iommufd_viommu {
	const struct iommufd_viommu_ops *ops;
	struct iommu_device *iommu_dev;
	struct iommu_domain *parent;
	u64 mmap_offset;
	phys_addr_t mmio_base;
	size_t mmio_length;

	/* private: virtual ID to struct iommufd_vdevice; its lock guards devs */
	struct xarray vdevs;
	/* The same virtual devices, ordered by their device */
	struct rb_root devs;
	/* Of struct iommufd_vevent_ring */
	struct list_head vevents;
	spinlock_t vevents_lock; /* guards vevents */
};

/**
 * struct iommufd_vdevice - A device as the VM knows it
 * @viommu: The vIOMMU, which the virtual device keeps alive
 * @dev: The physical device. Bound to iommufd for as long as a lookup can find
 *       the virtual device.
 * @virt_id: The device's ID in the VM, unique in @viommu
 *
 * The members are set before &iommufd_viommu_ops.vdevice_init and do not
 * change.
 */
struct iommufd_vdevice {
	struct iommufd_viommu *viommu;
	struct device *dev;
	u64 virt_id;

	/* private: in &iommufd_viommu.devs */
	struct rb_node node;
};

/**
 * struct iommufd_hw_queue - Guest memory that hardware reads as a queue
 * @viommu: The vIOMMU, which the queue keeps alive
 * @base: Physical address of the memory, which is contiguous and readable, and
 *        stays from before &iommufd_viommu_ops.hw_queue_init until after
 *        &iommufd_viommu_ops.hw_queue_release. On any byte.
 * @length: Its length in bytes
 * @type: The type, one of enum iommu_hw_queue_type
 * @index: Which queue of this type it is; no other one of the vIOMMU has it
 *
 * The members are set before &iommufd_viommu_ops.hw_queue_init and do not
 * change.
 */
struct iommufd_hw_queue {
	struct iommufd_viommu *viommu;
	phys_addr_t base;
	size_t length;
	u32 type;
	u32 index;
};

/**
 * struct iommufd_veventq_type - One type of event that a vIOMMU can report
 * @type: The type, one of enum iommu_veventq_type
 * @payload_size: Size of its payload in bytes; 0 ends a table of types
 */
struct iommufd_veventq_type {
	u32 type;
	u32 payload_size;
};

/**
 * struct iommufd_viommu_ops - One type of vIOMMU that a driver offers
 * @type: The type, one of enum iommu_viommu_type
 * @viommu_size: Size of the driver's structure, which starts with a
 *               &struct iommufd_viommu; its alignment is at most that of u64
 * @vdevice_size: Size of the driver's structure that starts with a
 *                &struct iommufd_vdevice, or 0 if it has none
 * @hw_queue_size: Size of the driver's structure that starts with a
 *                 &struct iommufd_hw_queue; not used without @hw_queue_init
 * @veventq_types: The types of event that a VM can get, or NULL
 * @hw_queues_ordered: A queue of index n needs one of index n - 1 of its type,
 *                     which the core then keeps for as long
 * @supported: Can @dev, its IOMMU and the firmware do this type? Returns 0,
 *             -EOPNOTSUPP if not, or why that cannot be found out, such as
 *             -ENOMEM. Never -EINVAL, see @init. May be called for any device
 *             of the driver.
 * @offered: Can at least one of the devices behind @iommu_dev have this type? For
 *           user space that asks before it opens a device. If NULL, yes.
 * @init: Complete a new vIOMMU. @dev is one device behind the physical IOMMU.
 *        @user_data is NULL if there is none. Either completes or leaves
 *        nothing behind. Returns -EINVAL only if another nesting parent would
 *        do or for @user_data that is not as the type wants it, -EOPNOTSUPP for
 *        @user_data where the type takes none.
 * @release: Undo @init. The vIOMMU has no child left.
 * @alloc_nested: Allocate a domain of type IOMMU_DOMAIN_NESTED on the vIOMMU
 *                for @dev, a device behind the same physical IOMMU. @flags is
 *                a combination of enum iommufd_hwpt_alloc_flags; refuse with
 *                -EOPNOTSUPP what is not known. The core does what
 *                IOMMU_HWPT_FAULT_ID_VALID asks for, but only a driver that has
 *                an I/O page fault queue for @dev may take it. @user_data is not
 *                NULL.
 * @cache_invalidate: Execute commands of the guest, as
 *                    &iommu_domain_ops.cache_invalidate_user does for a domain:
 *                    &iommu_user_data_array.entry_num is the number of commands
 *                    on entry, and on return that of the commands at the front
 *                    of the array that are complete in hardware. No command
 *                    behind them was started. An array of no entry and of a
 *                    supported type succeeds.
 * @vdevice_init: Complete a new virtual device, which no lookup finds yet.
 *                Either completes or leaves nothing behind. -EINVAL refuses the
 *                virtual ID, -EOPNOTSUPP the device.
 * @vdevice_release: Undo @vdevice_init. No lookup finds the virtual device any
 *                   more and no lookup's lock section that found it lasts.
 * @hw_queue_check: Can there be such a queue? -EOPNOTSUPP refuses the type,
 *                  -EINVAL the index or the length. It bounds the length: nothing
 *                  was allocated for the queue yet.
 * @hw_queue_init: Let the hardware use a new queue. Either completes or leaves
 *                 nothing behind. -EINVAL refuses its physical address.
 * @hw_queue_release: Undo @hw_queue_init. Returns an error if the hardware may
 *                    still read the memory, which then is never given to anybody
 *                    else; everything else goes on as if it had stopped.
 *
 * @offered, @release and everything from @cache_invalidate on are optional, the
 * last three all together. All are called in process context and may sleep.
 * @vdevice_init and @vdevice_release are called with the iommufd group lock of
 * the device held, so that they do not run against an attach of the device;
 * @hw_queue_init and @hw_queue_release with a lock of the vIOMMU, so that they do
 * not run against each other; the others with no lock held.
 */
struct iommufd_viommu_ops {
	u32 type;
	size_t viommu_size;
	size_t vdevice_size;
	size_t hw_queue_size;
	const struct iommufd_veventq_type *veventq_types;
	bool hw_queues_ordered;

	int (*supported)(struct device *dev);
	bool (*offered)(struct iommu_device *iommu_dev);
	int (*init)(struct iommufd_viommu *viommu, struct device *dev,
		    const struct iommu_user_data *user_data);
	void (*release)(struct iommufd_viommu *viommu);
	struct iommu_domain *(*alloc_nested)(struct iommufd_viommu *viommu,
					     struct device *dev, u32 flags,
					     const struct iommu_user_data *user_data);
	int (*cache_invalidate)(struct iommufd_viommu *viommu,
				struct iommu_user_data_array *array);
	int (*vdevice_init)(struct iommufd_vdevice *vdev);
	void (*vdevice_release)(struct iommufd_vdevice *vdev);
	int (*hw_queue_check)(struct iommufd_viommu *viommu, u32 type,
			      u32 index, u64 length);
	int (*hw_queue_init)(struct iommufd_hw_queue *queue);
	int (*hw_queue_release)(struct iommufd_hw_queue *queue);
};

/**
 * iommufd_viommu_lock_vdevs() - Keep the virtual devices of a vIOMMU in place
 * @viommu: The vIOMMU
 *
 * Until iommufd_viommu_unlock_vdevs() virtual devices neither come nor go. A
 * spinlock of this vIOMMU alone.
 */
static inline void iommufd_viommu_lock_vdevs(struct iommufd_viommu *viommu)
{
	xa_lock(&viommu->vdevs);
}

/**
 * iommufd_viommu_unlock_vdevs() - Undo iommufd_viommu_lock_vdevs()
 * @viommu: The vIOMMU
 */
static inline void iommufd_viommu_unlock_vdevs(struct iommufd_viommu *viommu)
{
	xa_unlock(&viommu->vdevs);
}

#ifdef CONFIG_IOMMUFD_VIOMMU
extern const struct iommufd_viommu_ops iommufd_viommu_default_ops;

struct iommufd_vdevice *iommufd_viommu_find_vdevice(struct iommufd_viommu *viommu,
						    u64 virt_id);
int iommufd_viommu_virt_id(struct iommufd_viommu *viommu, struct device *dev,
			   u64 *virt_id);
int iommufd_viommu_report_event(struct iommufd_viommu *viommu, u32 type,
				const void *payload, size_t len);

extern const struct attribute_group iommu_viommu_attr_group;
#endif

#endif /* __LINUX_IOMMUFD_VIOMMU_H */
