// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vIOMMU capabilities of an IOMMU, in its directory of the iommu class
 *
 * Owns nothing: each attribute asks the driver when it is read. The removal of
 * an IOMMU waits for readers. Documented in
 * Documentation/ABI/testing/sysfs-class-iommu-viommu.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/iommufd_viommu.h>
#include <linux/log2.h>
#include <linux/sysfs.h>

#include "../../../iommu-priv.h"

/* iommu is NULL after removal; ops is NULL before registration */
static const struct iommufd_viommu_driver *
iommu_viommu_driver(struct iommu_device *iommu)
{
	const struct iommu_ops *ops = iommu ? READ_ONCE(iommu->ops) : NULL;

	return ops ? ops->viommu : NULL;
}

static u32 iommu_viommu_caps(struct iommu_device *iommu)
{
	const struct iommufd_viommu_driver *driver = iommu_viommu_driver(iommu);

	return driver ? driver->caps(iommu) : 0;
}

static ssize_t nesting_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	u32 caps = iommu_viommu_caps(dev_get_drvdata(dev));

	return sysfs_emit(buf, "%d\n", !!(caps & IOMMUFD_VIOMMU_CAP_NESTING));
}
static DEVICE_ATTR_RO(nesting);

static ssize_t ats_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	u32 caps = iommu_viommu_caps(dev_get_drvdata(dev));

	return sysfs_emit(buf, "%d\n", !!(caps & IOMMUFD_VIOMMU_CAP_ATS));
}
static DEVICE_ATTR_RO(ats);

static ssize_t broadcast_tlb_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	u32 caps = iommu_viommu_caps(dev_get_drvdata(dev));

	return sysfs_emit(buf, "%d\n",
			  !!(caps & IOMMUFD_VIOMMU_CAP_BROADCAST_TLB));
}
static DEVICE_ATTR_RO(broadcast_tlb);

static ssize_t max_pasid_log2_show(struct device *dev,
				   struct device_attribute *attr, char *buf)
{
	struct iommu_device *iommu = dev_get_drvdata(dev);
	u32 max_pasids = iommu ? iommu->max_pasids : 0;

	return sysfs_emit(buf, "%d\n", max_pasids ? ilog2(max_pasids) : 0);
}
static DEVICE_ATTR_RO(max_pasid_log2);

static ssize_t types_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct iommu_device *iommu = dev_get_drvdata(dev);
	const struct iommufd_viommu_driver *driver = iommu_viommu_driver(iommu);
	const struct iommufd_viommu_ops *const *type;
	int len = 0;

	if (!(iommu_viommu_caps(iommu) & IOMMUFD_VIOMMU_CAP_NESTING))
		return sysfs_emit(buf, "\n");

	if (!driver->no_default)
		len += sysfs_emit_at(buf, len, "%u", IOMMU_VIOMMU_TYPE_DEFAULT);
	for (type = driver->types; type && *type; type++)
		if (!(*type)->offered || (*type)->offered(iommu))
			len += sysfs_emit_at(buf, len, "%s%u", len ? " " : "",
					     (*type)->type);
	return len + sysfs_emit_at(buf, len, "\n");
}
static DEVICE_ATTR_RO(types);

static struct attribute *iommu_viommu_attrs[] = {
	&dev_attr_ats.attr,
	&dev_attr_broadcast_tlb.attr,
	&dev_attr_max_pasid_log2.attr,
	&dev_attr_nesting.attr,
	&dev_attr_types.attr,
	NULL
};

/* Attributes of each IOMMU, see ../../../iommu-sysfs.c */
const struct attribute_group iommu_viommu_attr_group = {
	.name = "viommu",
	.attrs = iommu_viommu_attrs,
};
