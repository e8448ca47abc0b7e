/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A pasid-edu device that VFIO hands to a test program: its registers, and its
 * attachments with and without PASIDs.
 *
 * Functions return 0 or a negative errno unless stated otherwise.
 */
#ifndef PASID_EDU_LIB_H
#define PASID_EDU_LIB_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include "edu-test-lib.h"
#include "qemu/pasid-edu.h"

/* Requests without a PASID */
#define NO_PASID	(~0U)

/**
 * struct device - A pasid-edu device
 * @edu: Its file and ID, not its registers
 * @bar: Its registers
 */
struct device {
	struct edu edu;
	volatile uint8_t *bar;
};

static inline uint32_t reg32(struct device *dev, unsigned int offset)
{
	return *(volatile uint32_t *)(dev->bar + offset);
}

static inline void set32(struct device *dev, unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(dev->bar + offset) = value;
}

static inline void set64(struct device *dev, unsigned int offset, uint64_t value)
{
	*(volatile uint64_t *)(dev->bar + offset) = value;
}

/* Open the file @cdev of the device, bind it, let it do DMA and map its registers */
static inline int device_bind(struct device *dev, const char *cdev, int iommufd)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = iommufd,
	};
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	struct vfio_region_info bar = {
		.argsz = sizeof(bar),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	void *mem;
	int rc;

	dev->edu.fd = open(cdev, O_RDWR | O_CLOEXEC);
	if (dev->edu.fd < 0)
		return -errno;
	rc = xioctl(dev->edu.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	if (!rc)
		rc = xioctl(dev->edu.fd, VFIO_DEVICE_GET_REGION_INFO, &bar);
	if (!rc)
		rc = xioctl(dev->edu.fd, VFIO_DEVICE_GET_REGION_INFO, &config);
	if (rc)
		return rc;
	dev->edu.id = bind.out_devid;
	if (pwrite(dev->edu.fd, &command, sizeof(command),
		   config.offset + PCI_COMMAND) != sizeof(command))
		return -EIO;
	mem = mmap(NULL, PEDU_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   dev->edu.fd, bar.offset);
	if (mem == MAP_FAILED)
		return -errno;
	dev->bar = mem;
	return reg32(dev, PEDU_ID) == PEDU_ID_VALUE ? 0 : -ENODEV;
}

/* Unmap first: the mapping keeps the device open */
static inline void device_close(struct device *dev)
{
	if (dev->bar)
		munmap((void *)dev->bar, PEDU_BAR_SIZE);
	dev->bar = NULL;
	if (dev->edu.fd >= 0)
		close(dev->edu.fd);
	dev->edu.fd = -1;
}

static inline int attach(struct device *dev, unsigned int pasid, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.flags = VFIO_DEVICE_ATTACH_PASID,
		.pt_id = pt,
		.pasid = pasid,
	};

	if (pasid == NO_PASID)
		return edu_attach(&dev->edu, pt);
	return xioctl(dev->edu.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd);
}

static inline int detach(struct device *dev, unsigned int pasid)
{
	struct vfio_device_detach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.flags = VFIO_DEVICE_DETACH_PASID,
		.pasid = pasid,
	};

	if (pasid == NO_PASID)
		return edu_detach(&dev->edu);
	return xioctl(dev->edu.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd);
}

#endif
