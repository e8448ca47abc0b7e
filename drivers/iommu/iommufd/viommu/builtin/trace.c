// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints of vIOMMUs: those of driver.c, and those of iommufd, which may
 * be a module.
 */
#define CREATE_TRACE_POINTS
#include <trace/events/iommufd_viommu.h>

EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_viommu_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_viommu_destroy);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_vdevice_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_vdevice_destroy);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_viommu_hwpt_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_viommu_hwpt_destroy);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_veventq_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_veventq_destroy);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_hw_queue_alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_hw_queue_destroy);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_device_attach);
EXPORT_TRACEPOINT_SYMBOL_GPL(iommufd_viommu_invalidate);
