/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of devices in the I/O address spaces of user space: for drivers of
 * devices that user space owns. See drivers/iommu/iommufd/mmio.c.
 */
#ifndef __LINUX_IOMMUFD_MMIO_H
#define __LINUX_IOMMUFD_MMIO_H

#include <linux/types.h>

struct iommufd_mmio;

/**
 * struct iommufd_mmio_range - A part of a BAR
 * @start: Physical address as the CPU sees it, page aligned
 * @length: In bytes, whole pages
 */
struct iommufd_mmio_range {
	phys_addr_t start;
	size_t length;
};

struct iommufd_mmio *iommufd_mmio_alloc(bool enabled);
void iommufd_mmio_close(struct iommufd_mmio *mmio);
void iommufd_mmio_set_enabled(struct iommufd_mmio *mmio, bool enabled);
int iommufd_mmio_export(struct iommufd_mmio *mmio,
			const struct iommufd_mmio_range *ranges,
			unsigned int num, int flags);

#endif
