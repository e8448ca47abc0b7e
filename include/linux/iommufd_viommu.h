/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vIOMMU: what an IOMMU driver implements and may call
 *
 * A vIOMMU is one VM's slice of one physical IOMMU. A driver whose hardware
 * nests points &struct iommu_ops.viommu to a &struct iommufd_viommu_driver. That
 * alone gives its devices the default type, which the core manages; types of its
 * own are a table. For these the driver embeds the structures of this file at
 * the start of its own and says how large those are; the core allocates,
 * numbers, counts and frees them.
 *
 * What a driver calls is built in, even where iommufd is a module.
 */
#ifndef __LINUX_IOMMUFD_VIOMMU_H
#define __LINUX_IOMMUFD_VIOMMU_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>
#include <uapi/linux/iommufd_viommu.h>

struct attribute_group;
struct device;
struct file;
struct iommufd_viommu_ops;

/*
 * Size of a driver's structure @drv that embeds a structure of the core, of type
 * @core, as @member. It must be at the start.
 */
#define IOMMUFD_EMBED_SIZE(drv, member, core)				\
	(sizeof(drv) +							\
	 BUILD_BUG_ON_ZERO(offsetof(drv, member)) +			\
	 BUILD_BUG_ON_ZERO(!__same_type(((drv *)NULL)->member, core)))

/*
 * What &iommufd_viommu_driver.caps says of an IOMMU: it nests a stage 1 of the
 * guest in a stage 2; devices behind it may use ATS
 */
#define IOMMUFD_VIOMMU_CAP_NESTING	BIT(0)
#define IOMMUFD_VIOMMU_CAP_ATS		BIT(1)

/**
 * struct iommufd_viommu_driver - What a driver offers
 * @types: Its own types of vIOMMU, ends with NULL. NULL if it has none.
 * @no_default: It does not nest without a vIOMMU of its own type, so the core
 *              does not offer IOMMU_VIOMMU_TYPE_DEFAULT.
 * @caps: What an IOMMU can do, IOMMUFD_VIOMMU_CAP_*. Must not sleep for long: user
 *        space asks by reading sysfs.
 */
struct iommufd_viommu_driver {
	const struct iommufd_viommu_ops *const *types;
	bool no_default;
	u32 (*caps)(struct iommu_device *iommu_dev);
};

/**
 * struct iommufd_viommu - A VM's slice of a physical IOMMU
 * @ops: The driver's operations for this type of vIOMMU
 * @iommu_dev: The physical IOMMU
 * @parent: The stage 2 of the VM: a paging domain that the driver has allocated
 *          with IOMMU_HWPT_ALLOC_NEST_PARENT, not necessarily for @iommu_dev.
 *          The vIOMMU keeps it alive.
 * @vm: The file that user space has named as the VM, if
 *      &iommufd_viommu_ops.takes_vm; NULL if it has named none. The vIOMMU holds
 *      it.
 * @mmap_offset: Where user space finds the registers below by mmap() on the
 *               iommufd, in bytes
 * @mmio_base: Physical address of registers that the VM may have, on a page
 *             boundary. Set in &iommufd_viommu_ops.init, with the next member, if
 *             there are such registers.
 * @mmio_length: Their length in bytes, a number of pages below 4 GiB; 0 for none
 *
 * All members but the last two are set before &iommufd_viommu_ops.init and do
 * not change.
 */
struct iommufd_viommu {
	const struct iommufd_viommu_ops *ops;
	struct iommu_device *iommu_dev;
	struct iommu_domain *parent;
	struct file *vm;
	u64 mmap_offset;
	phys_addr_t mmio_base;
	size_t mmio_length;

	/* private: virtual ID to struct iommufd_vdevice */
	struct xarray vdevs;
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
};

/**
 * struct iommufd_hw_queue - Guest memory that hardware accesses as a queue
 * @viommu: The vIOMMU, which the queue keeps alive
 * @iova: Where the memory is in the IOAS of the nesting parent
 * @base: Physical address of the memory if &iommufd_hw_queue_type.contiguous,
 *        otherwise 0. On any byte.
 * @length: Its length in bytes
 * @type: The type, one of enum iommu_hw_queue_type
 * @index: Which queue of this type it is; no other one of the vIOMMU has it
 *
 * The memory is mapped and pinned from before &iommufd_viommu_ops.hw_queue_init
 * until after &iommufd_viommu_ops.hw_queue_release. The members are set before
 * hw_queue_init and do not change.
 */
struct iommufd_hw_queue {
	struct iommufd_viommu *viommu;
	u64 iova;
	phys_addr_t base;
	size_t length;
	u32 type;
	u32 index;
};

/**
 * struct iommufd_hw_queue_type - One type of hardware queue
 * @type: The type, one of enum iommu_hw_queue_type
 * @size: IOMMUFD_EMBED_SIZE() of the driver's structure that starts with a
 *        &struct iommufd_hw_queue; 0 ends a table of types
 * @ordered: A queue of index n needs one of index n - 1, which the core then
 *           keeps for as long
 * @contiguous: The hardware takes the physical address of the memory, which must
 *              be contiguous in the host; otherwise it goes through the stage 2
 * @written: The hardware writes to the memory
 */
struct iommufd_hw_queue_type {
	u32 type;
	size_t size;
	bool ordered;
	bool contiguous;
	bool written;
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
 * struct iommufd_viommu_ops - One type of vIOMMU
 * @type: The type, one of enum iommu_viommu_type
 * @viommu_size: IOMMUFD_EMBED_SIZE() of the driver's structure that starts with a
 *               &struct iommufd_viommu; its alignment is at most that of u64
 * @vdevice_size: The same of its structure that starts with a &struct
 *                iommufd_vdevice, or 0 if it has none
 * @data_len: Least length in bytes of the type specific data of
 *            IOMMU_VIOMMU_ALLOC, 0 if the type takes none. The core refuses
 *            shorter data with -EINVAL, and data for a type that takes none with
 *            -EOPNOTSUPP.
 * @data_optional: User space may leave the data out
 * @takes_vm: The type makes use of the VM, so that user space may name it in
 *            IOMMU_VIOMMU_ALLOC; the core refuses it with -EOPNOTSUPP otherwise
 * @hw_queue_types: The types of hardware queue that a VM can have, or NULL
 * @veventq_types: The types of event that a VM can get, or NULL
 * @supported: Can @dev, its IOMMU and the firmware do this type? Returns 0,
 *             -EOPNOTSUPP if not, or why that cannot be found out, such as
 *             -ENOMEM. Never -EINVAL, see @init. Called only for a device whose
 *             IOMMU has IOMMUFD_VIOMMU_CAP_NESTING.
 * @offered: Can at least one of the devices behind @iommu_dev have this type? For
 *           user space that asks before it opens a device. If NULL, yes.
 * @init: Complete a new vIOMMU. @dev is one device behind the physical IOMMU.
 *        @user_data is NULL if there is none. Either completes or leaves
 *        nothing behind. Returns -EINVAL only if another nesting parent would
 *        do or for a value in @user_data.
 * @release: Undo @init. The vIOMMU has no child left.
 * @alloc_nested: Allocate a domain of type IOMMU_DOMAIN_NESTED on the vIOMMU
 *                for @dev, a device behind the same physical IOMMU. @flags is
 *                a combination of enum iommufd_hwpt_alloc_flags; refuse with
 *                -EOPNOTSUPP what is not known. The core does what
 *                IOMMU_HWPT_FAULT_ID_VALID asks for, but only a driver that has
 *                an I/O page fault queue for @dev may take it. @user_data is not
 *                NULL.
 * @nested_translates: Does a domain of @alloc_nested translate by the guest's
 *                     stage 1? The core attaches such a domain only to devices
 *                     that have a virtual device on the vIOMMU: without one the
 *                     guest could not invalidate what the device caches. If
 *                     NULL, no domain needs one.
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
 * @hw_queue_check: Can there be a queue of this index and length? -EINVAL if not.
 *                  Bounds the length: nothing was allocated for the queue yet.
 * @hw_queue_init: Let the hardware use a new queue. Either completes or leaves
 *                 nothing behind. -EINVAL refuses its address.
 * @hw_queue_release: Undo @hw_queue_init. Returns an error if the hardware may
 *                    still access the memory, which then is never given to
 *                    anybody else; everything else goes on as if it had stopped.
 *
 * @offered, @release, @nested_translates and everything from @cache_invalidate on
 * are optional, the last three if there is no @hw_queue_types. All are called in
 * process context and may sleep, but for @nested_translates. @vdevice_init,
 * @vdevice_release and @nested_translates are called with the iommufd group lock
 * of the device held, so that they do not run against an attach of the device;
 * @hw_queue_init and @hw_queue_release with a lock of the vIOMMU, so that they do
 * not run against each other; the others with no lock held.
 */
struct iommufd_viommu_ops {
	u32 type;
	size_t viommu_size;
	size_t vdevice_size;
	size_t data_len;
	bool data_optional;
	bool takes_vm;
	const struct iommufd_hw_queue_type *hw_queue_types;
	const struct iommufd_veventq_type *veventq_types;

	int (*supported)(struct device *dev);
	bool (*offered)(struct iommu_device *iommu_dev);
	int (*init)(struct iommufd_viommu *viommu, struct device *dev,
		    const struct iommu_user_data *user_data);
	void (*release)(struct iommufd_viommu *viommu);
	struct iommu_domain *(*alloc_nested)(struct iommufd_viommu *viommu,
					     struct device *dev, u32 flags,
					     const struct iommu_user_data *user_data);
	bool (*nested_translates)(struct iommu_domain *domain);
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
 * spinlock of this vIOMMU alone, in any context.
 *
 * Return: what iommufd_viommu_unlock_vdevs() is to be given.
 */
static inline unsigned long
iommufd_viommu_lock_vdevs(struct iommufd_viommu *viommu)
{
	unsigned long flags;

	xa_lock_irqsave(&viommu->vdevs, flags);
	return flags;
}

/**
 * iommufd_viommu_unlock_vdevs() - Undo iommufd_viommu_lock_vdevs()
 * @viommu: The vIOMMU
 * @flags: What iommufd_viommu_lock_vdevs() has returned
 */
static inline void iommufd_viommu_unlock_vdevs(struct iommufd_viommu *viommu,
					       unsigned long flags)
{
	xa_unlock_irqrestore(&viommu->vdevs, flags);
}

/**
 * iommufd_copy_data_to_user() - Return type specific data to user space
 * @user_data: The data that user space has passed
 * @data: The driver's structure for it
 * @size: Its size in bytes
 *
 * User space may know less of the structure than the driver, or more: what the
 * driver does not know is cleared.
 *
 * Return: 0 or -EFAULT.
 */
static inline int
iommufd_copy_data_to_user(const struct iommu_user_data *user_data,
			  const void *data, size_t size)
{
	if (copy_to_user(user_data->uptr, data, min(user_data->len, size)))
		return -EFAULT;
	if (user_data->len > size &&
	    clear_user(user_data->uptr + size, user_data->len - size))
		return -EFAULT;
	return 0;
}

/**
 * struct iommufd_device_event - An event of a device, on its way to a VM
 * @type: enum iommu_veventq_type
 * @pasid: The PASID that it is about, IOMMU_NO_PASID if none
 * @payload: The event in the format of @type, with nothing in it that is not the
 *           VM's business
 * @len: Size of @payload in bytes
 * @set_virt_id: Puts the virtual ID of the device in @payload. Called with locks
 *               held; must not sleep.
 */
struct iommufd_device_event {
	u32 type;
	ioasid_t pasid;
	void *payload;
	size_t len;
	void (*set_virt_id)(void *payload, u64 virt_id);
};

#ifdef CONFIG_IOMMUFD_VIOMMU
struct iommufd_vdevice *iommufd_viommu_find_vdevice(struct iommufd_viommu *viommu,
						    u64 virt_id);
int iommufd_viommu_report_event(struct iommufd_viommu *viommu, u32 type,
				const void *payload, size_t len);
int iommufd_device_report_event(struct device *dev,
				const struct iommufd_device_event *event);

extern const struct attribute_group iommu_viommu_attr_group;
#endif

#endif /* __LINUX_IOMMUFD_VIOMMU_H */
