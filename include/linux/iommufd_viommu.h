/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vIOMMU: what an IOMMU driver implements and may call
 *
 * A vIOMMU is the part of one physical IOMMU that one VM uses. A driver whose
 * hardware nests points &struct iommu_ops.viommu to a &struct
 * iommufd_viommu_driver. That alone gives its devices the default type, which
 * the core manages. Types of its own are in a table. For these the driver
 * embeds the structures of this file at the start of its own and specifies
 * their size; the core allocates, numbers, counts and frees them.
 *
 * The functions for drivers are built in, even if iommufd is a module.
 */
#ifndef __LINUX_IOMMUFD_VIOMMU_H
#define __LINUX_IOMMUFD_VIOMMU_H

#include <linux/bits.h>
#include <linux/build_bug.h>
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
 * Size of a driver's structure @drv that embeds a structure of the core as
 * @member, which must be at the start
 */
#define IOMMUFD_EMBED_SIZE(drv, member) \
	(sizeof(drv) + BUILD_BUG_ON_ZERO(offsetof(drv, member)))

/*
 * Capabilities from &iommufd_viommu_driver.caps: the IOMMU nests a guest's
 * stage 1 in a stage 2; devices behind it may use ATS; TLB invalidations of the
 * CPUs reach it
 */
#define IOMMUFD_VIOMMU_CAP_NESTING	BIT(0)
#define IOMMUFD_VIOMMU_CAP_ATS		BIT(1)
#define IOMMUFD_VIOMMU_CAP_BROADCAST_TLB	BIT(2)

/**
 * struct iommufd_viommu_driver - The vIOMMU support of a driver
 * @types: Its own types of vIOMMU, terminated by NULL; or NULL if it has none
 * @no_default: It does not nest without a vIOMMU of its own type, so the core
 *              does not offer IOMMU_VIOMMU_TYPE_DEFAULT.
 * @caps: Returns the capabilities of an IOMMU, IOMMUFD_VIOMMU_CAP_*. Must not
 *        sleep for long, because user space calls it by reading sysfs.
 */
struct iommufd_viommu_driver {
	const struct iommufd_viommu_ops *const *types;
	bool no_default;
	u32 (*caps)(struct iommu_device *iommu_dev);
};

/**
 * struct iommufd_viommu - The part of a physical IOMMU that a VM uses
 * @ops: The driver's operations for this type of vIOMMU
 * @iommu_dev: The physical IOMMU
 * @parent: The stage 2 of the VM: a paging domain that the driver has allocated
 *          with IOMMU_HWPT_ALLOC_NEST_PARENT, not necessarily for @iommu_dev.
 *          The vIOMMU keeps it alive.
 * @vm: The file that user space has passed as the VM, or NULL. Only for types
 *      with &iommufd_viommu_ops.takes_vm. The vIOMMU holds a reference on it.
 * @shares_vmid: The hardware tags the guest's translations with the VMID that
 *               @vm has on the CPUs. &iommufd_viommu_ops.init sets it.
 * @mmap_offset: Offset in bytes at which user space maps the registers below by
 *               mmap() on the iommufd
 * @mmio_base: Physical address of registers for the VM, on a page boundary.
 *             &iommufd_viommu_ops.init sets it and the next member, if there
 *             are such registers.
 * @mmio_length: Their length in bytes, a number of pages below 4 GiB; 0 for
 *               none
 *
 * All members but the last two and @shares_vmid are set before &iommufd_viommu_ops.init and do
 * not change.
 */
struct iommufd_viommu {
	const struct iommufd_viommu_ops *ops;
	struct iommu_device *iommu_dev;
	struct iommu_domain *parent;
	struct file *vm;
	bool shares_vmid;
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
 * struct iommufd_vdevice - A device under the ID that the VM knows
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
 * @iova: Address of the memory in the IOAS of the nesting parent
 * @base: Physical address of the memory if &iommufd_hw_queue_type.contiguous,
 *        otherwise 0. It may be any byte.
 * @length: Its length in bytes
 * @type: The type, one of enum iommu_hw_queue_type
 * @index: Index of the queue, unique among those of this type in @viommu
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
 * @ordered: Queue n needs queue n - 1; the core keeps that for the life of
 *           queue n
 * @contiguous: The hardware uses the physical address of the memory, which must
 *              be contiguous in the host; otherwise it uses the stage 2
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
 * @viommu_size: IOMMUFD_EMBED_SIZE() of the driver's structure that starts with
 *               a &struct iommufd_viommu; its alignment is at most that of u64
 * @vdevice_size: The same for the structure that starts with a &struct
 *                iommufd_vdevice, or 0 if there is none
 * @data_len: Minimum length in bytes of the type specific data of
 *            IOMMU_VIOMMU_ALLOC, 0 if the type takes none. The core refuses
 *            shorter data with -EINVAL, and data for a type that takes none
 *            with -EOPNOTSUPP.
 * @data_optional: User space may omit the data
 * @takes_vm: The type uses the VM, which user space may pass to
 *            IOMMU_VIOMMU_ALLOC; for other types the core refuses it with
 *            -EOPNOTSUPP
 * @is_vm: Returns whether a file is a VM that the type can use, for a type that
 *         takes others than KVM's. NULL means VMs of KVM. The core refuses other
 *         files with -EINVAL.
 * @hw_queue_types: The types of hardware queue that a VM can have, or NULL
 * @veventq_types: The types of event that a VM can get, or NULL
 * @supported: Checks whether @dev, its IOMMU and the firmware support this
 *             type. Returns 0, -EOPNOTSUPP if not, or the error that prevented
 *             the check, such as -ENOMEM. Never returns -EINVAL, see @init.
 *             Only called for a device whose IOMMU has
 *             IOMMUFD_VIOMMU_CAP_NESTING.
 * @offered: Returns whether at least one of the devices behind @iommu_dev can
 *           use this type, for user space that asks before it opens a device.
 *           NULL means yes.
 * @init: Complete a new vIOMMU. @dev is one device behind the physical IOMMU.
 *        @user_data is NULL if there is none. On failure leaves nothing behind.
 *        Returns -EINVAL only if another nesting parent would work, or for a
 *        bad value in @user_data.
 * @release: Undo @init. The vIOMMU has no children left.
 * @alloc_nested: Allocate a domain of type IOMMU_DOMAIN_NESTED on the vIOMMU
 *                for @dev, a device behind the same physical IOMMU. @flags is
 *                a combination of enum iommufd_hwpt_alloc_flags; refuse unknown
 *                flags with -EOPNOTSUPP. The core implements
 *                IOMMU_HWPT_FAULT_ID_VALID, but only a driver that has an I/O
 *                page fault queue for @dev may accept it. @user_data is not
 *                NULL.
 * @nested_translates: Returns whether a domain of @alloc_nested translates by
 *                     the guest's stage 1. The core attaches such a domain only
 *                     to devices that have a virtual device on the vIOMMU:
 *                     without one the guest could not invalidate what the
 *                     device caches. NULL means that no domain needs one.
 * @cache_invalidate: Execute commands of the guest, as
 *                    &iommu_domain_ops.cache_invalidate_user does for a domain:
 *                    &iommu_user_data_array.entry_num is the number of commands
 *                    on entry, and on return the number of commands at the
 *                    start of the array that are complete in hardware. No later
 *                    command was started. An empty array of a supported type
 *                    succeeds.
 * @vdevice_init: Complete a new virtual device, which no lookup finds yet. On
 *                failure leaves nothing behind. -EINVAL refuses the virtual ID,
 *                -EOPNOTSUPP the device.
 * @vdevice_release: Undo @vdevice_init. No lookup finds the virtual device any
 *                   more, and every lookup that found it has unlocked.
 * @hw_queue_check: Checks whether a queue of this index and length can exist;
 *                  returns -EINVAL if not. Must limit the length: nothing was
 *                  allocated for the queue yet.
 * @hw_queue_init: Let the hardware use a new queue. On failure leaves nothing
 *                 behind. -EINVAL refuses its address.
 * @hw_queue_release: Undo @hw_queue_init. Returns an error if the hardware may
 *                    still access the memory, which the core then leaks;
 *                    everything else continues as if the hardware had stopped.
 *
 * @offered, @release, @nested_translates and everything from @cache_invalidate
 * on are optional; the last three are mandatory with @hw_queue_types. All are
 * called in process context, and all except @nested_translates may sleep.
 * @vdevice_init, @vdevice_release and @nested_translates are called with the
 * iommufd group lock of the device held, so they never run concurrently with an
 * attach of the device. @hw_queue_init and @hw_queue_release are called with a
 * lock of the vIOMMU held, so they never run concurrently. The others are
 * called without locks.
 */
struct iommufd_viommu_ops {
	u32 type;
	size_t viommu_size;
	size_t vdevice_size;
	size_t data_len;
	bool data_optional;
	bool takes_vm;
	bool (*is_vm)(struct file *file);
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
 * Until iommufd_viommu_unlock_vdevs() virtual devices neither appear nor
 * disappear. Takes a spinlock of this vIOMMU, in any context.
 *
 * Return: the flags for iommufd_viommu_unlock_vdevs().
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
 * @flags: The flags from iommufd_viommu_lock_vdevs()
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
 * User space may know a shorter or a longer structure than the driver. Bytes
 * that the driver does not know are cleared.
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
 * @pasid: The PASID of the event, IOMMU_NO_PASID if none
 * @payload: The event in the format of @type, without any data of the host
 * @len: Size of @payload in bytes
 * @set_virt_id: Puts the virtual ID of the device into @payload. Called with
 *               locks held; must not sleep.
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
