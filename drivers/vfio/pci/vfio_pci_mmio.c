// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_FEATURE_DMA_BUF: BARs that user space maps into an IOAS
 *
 * A device has an object of iommufd for all its mappings, from the first export
 * until it is closed. vfio_pci_mmios finds it: it is not a member of struct
 * vfio_pci_core_device, because that is a part of the ABI for variant drivers.
 * memory_lock guards it, and nests outside of all locks of iommufd_mmio.
 *
 * The mappings are there while user space could access the BARs itself. They go
 * where its own mappings are zapped, and come back where memory_lock is dropped
 * with memory enabled.
 */
#include <linux/iommufd_mmio.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/vfio_pci_core.h>
#include <linux/xarray.h>

#include "vfio_pci_priv.h"

/* Ranges of one dma-buf */
#define MAX_RANGES 64

/* struct iommufd_mmio by the address of the device */
static DEFINE_XARRAY(vfio_pci_mmios);

static struct iommufd_mmio *mmio_of(struct vfio_pci_core_device *vdev)
{
	lockdep_assert_held_write(&vdev->memory_lock);

	return xa_load(&vfio_pci_mmios, (uintptr_t)vdev);
}

static bool memory_accessible(struct vfio_pci_core_device *vdev)
{
	return !vdev->pm_runtime_engaged && __vfio_pci_memory_enabled(vdev);
}

/**
 * vfio_pci_mmio_zap() - Take all mappings of BARs away
 * @vdev: The device; the caller holds memory_lock for writing
 */
void vfio_pci_mmio_zap(struct vfio_pci_core_device *vdev)
{
	struct iommufd_mmio *mmio = mmio_of(vdev);

	if (mmio)
		iommufd_mmio_set_enabled(mmio, false);
}

/**
 * vfio_pci_mmio_update() - Let mappings of BARs be what the device is
 * @vdev: The device; the caller holds memory_lock for writing, and is about to
 *        drop it
 */
void vfio_pci_mmio_update(struct vfio_pci_core_device *vdev)
{
	struct iommufd_mmio *mmio = mmio_of(vdev);

	if (mmio)
		iommufd_mmio_set_enabled(mmio, memory_accessible(vdev));
}

/**
 * vfio_pci_mmio_resume() - The device may have come from D3
 * @vdev: The device; the caller does not hold memory_lock
 */
void vfio_pci_mmio_resume(struct vfio_pci_core_device *vdev)
{
	down_write(&vdev->memory_lock);
	vfio_pci_up_write_memory_lock(vdev);
}

/**
 * vfio_pci_mmio_close() - The user is done with the device
 * @vdev: The device, before its BARs are released
 */
void vfio_pci_mmio_close(struct vfio_pci_core_device *vdev)
{
	struct iommufd_mmio *mmio;

	down_write(&vdev->memory_lock);
	mmio = xa_erase(&vfio_pci_mmios, (uintptr_t)vdev);
	if (mmio)
		iommufd_mmio_close(mmio);
	up_write(&vdev->memory_lock);
}

/* The parts of a BAR that user space asks for, as addresses of the CPU */
static int get_ranges(struct vfio_pci_core_device *vdev, unsigned int bar,
		      struct vfio_region_dma_range __user *from,
		      struct iommufd_mmio_range *ranges, unsigned int num)
{
	resource_size_t start = pci_resource_start(vdev->pdev, bar);
	u64 len = PAGE_ALIGN(pci_resource_len(vdev->pdev, bar));
	struct vfio_region_dma_range range;
	unsigned int i;
	u64 end;

	for (i = 0; i != num; i++) {
		if (copy_from_user(&range, &from[i], sizeof(range)))
			return -EFAULT;
		if (!range.length || !PAGE_ALIGNED(range.offset | range.length))
			return -EINVAL;
		if (check_add_overflow(range.offset, range.length, &end) ||
		    end > len)
			return -EINVAL;
		ranges[i].start = start + range.offset;
		ranges[i].length = range.length;
	}
	return 0;
}

/**
 * vfio_pci_core_feature_dma_buf() - VFIO_DEVICE_FEATURE_DMA_BUF
 * @device: The device
 * @flags: Of the call
 * @arg: A struct vfio_device_feature_dma_buf of user space
 * @argsz: Its size
 *
 * Return: a file descriptor, 0 for a probe, or a negative error
 */
int vfio_pci_core_feature_dma_buf(struct vfio_device *device, u32 flags,
				  struct vfio_device_feature_dma_buf __user *arg,
				  size_t argsz)
{
	struct vfio_pci_core_device *vdev =
		container_of(device, struct vfio_pci_core_device, vdev);
	struct vfio_device_feature_dma_buf get;
	struct iommufd_mmio_range *ranges;
	struct iommufd_mmio *mmio;
	int rc;

	/* With an mmap() of its own a driver shows other BARs than there are */
	if (device->ops->mmap != vfio_pci_core_mmap)
		return -ENOTTY;
	rc = vfio_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_GET,
				sizeof(get));
	if (rc != 1)
		return rc;
	if (copy_from_user(&get, arg, sizeof(get)))
		return -EFAULT;

	if (get.flags || get.open_flags & ~(O_ACCMODE | O_CLOEXEC) ||
	    !get.nr_ranges || get.nr_ranges > MAX_RANGES ||
	    get.region_index > VFIO_PCI_BAR5_REGION_INDEX)
		return -EINVAL;
	if (argsz < struct_size(&get, dma_ranges, get.nr_ranges))
		return -EINVAL;
	/* Not if it is no memory, or shares a page with other BARs */
	if (!vdev->bar_mmap_supported[get.region_index])
		return -EINVAL;
	/* As mmap() does, to own the BAR */
	rc = vfio_pci_core_setup_barmap(vdev, get.region_index);
	if (rc)
		return rc;

	ranges = kcalloc(get.nr_ranges, sizeof(*ranges), GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return -ENOMEM;
	rc = get_ranges(vdev, get.region_index, arg->dma_ranges, ranges,
			get.nr_ranges);
	if (rc)
		goto out_free;

	down_write(&vdev->memory_lock);
	mmio = mmio_of(vdev);
	if (!mmio) {
		mmio = iommufd_mmio_alloc(memory_accessible(vdev));
		if (IS_ERR(mmio)) {
			rc = PTR_ERR(mmio);
			goto out_unlock;
		}
		rc = xa_err(xa_store(&vfio_pci_mmios, (uintptr_t)vdev, mmio,
				     GFP_KERNEL_ACCOUNT));
		if (rc) {
			iommufd_mmio_close(mmio);
			goto out_unlock;
		}
	}
	rc = iommufd_mmio_export(mmio, ranges, get.nr_ranges, get.open_flags);
out_unlock:
	up_write(&vdev->memory_lock);
out_free:
	kfree(ranges);
	return rc;
}

MODULE_IMPORT_NS(IOMMUFD);
