/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What amd_iommu.c calls with accel=on, see amd_iommu_accel.c. All of it runs
 * with the BQL held.
 */
#ifndef HW_I386_AMD_IOMMU_ACCEL_H
#define HW_I386_AMD_IOMMU_ACCEL_H

#include "amd_iommu.h"

void amdvi_accel_realize(AMDVIState *s);
void amdvi_accel_reset(AMDVIState *s);

/* The EFR of the guest, without what amd_iommu.c does itself */
uint64_t amdvi_accel_features(AMDVIState *s);

/* Members of PCIIOMMUOps; without accel=on they do nothing */
bool amdvi_accel_set_iommu_device(PCIBus *bus, void *opaque, int devfn,
                                  HostIOMMUDevice *hiod, Error **errp);
void amdvi_accel_unset_iommu_device(PCIBus *bus, void *opaque, int devfn);
uint64_t amdvi_accel_get_viommu_flags(void *opaque);

/* Of a function whose requests the host's IOMMU translates, else NULL */
AddressSpace *amdvi_accel_address_space(AMDVIState *s, PCIBus *bus, int devfn);

/* A request of an emulated device */
void amdvi_accel_translate(AMDVIState *s, uint16_t devid, hwaddr addr,
                           IOMMUAccessFlags flag, IOMMUTLBEntry *ret);

/* After a write to the control register */
void amdvi_accel_control(AMDVIState *s);
void amdvi_accel_write_status(AMDVIState *s, hwaddr addr, uint64_t value);
/* Read the command buffer; with @all execute also what may wait for more */
void amdvi_accel_run(AMDVIState *s, bool all);
void amdvi_accel_log_event(AMDVIState *s, const uint64_t *evt);

#endif
