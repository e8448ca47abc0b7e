/* SPDX-License-Identifier: GPL-2.0-only */
/* The order of &iommufd_viommu.devs, for those who search and those who add */
#ifndef __IOMMUFD_VIOMMU_LOOKUP_H
#define __IOMMUFD_VIOMMU_LOOKUP_H

#include <linux/iommufd_viommu.h>
#include <linux/rbtree.h>

static inline int iommufd_vdevice_cmp_dev(const void *dev,
					  const struct rb_node *node)
{
	const struct iommufd_vdevice *vdev =
		rb_entry(node, struct iommufd_vdevice, node);

	if ((uintptr_t)dev == (uintptr_t)vdev->dev)
		return 0;
	return (uintptr_t)dev < (uintptr_t)vdev->dev ? -1 : 1;
}

static inline int iommufd_vdevice_cmp_node(struct rb_node *node,
					   const struct rb_node *other)
{
	const struct iommufd_vdevice *vdev =
		rb_entry(node, struct iommufd_vdevice, node);

	return iommufd_vdevice_cmp_dev(vdev->dev, other);
}

#endif
