/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What amd_iommu.c calls of the model of nested translation, see amd.c */
#ifndef HW_I386_AMD_H
#define HW_I386_AMD_H

#include "hw/pci/pci_request.h"
#include "amd_iommu.h"

bool amd_model_check(AMDVIState *s, Error **errp);
void amd_model_realize(AMDVIState *s);
void amd_model_reset(AMDVIState *s);
uint64_t amd_model_features(AMDVIState *s);

/* Two units: where one is; whether a root bus is the second one's; its IVHD's DeviceIDs */
hwaddr amd_model_registers(AMDVIState *s);
int amd_model_devfn(AMDVIState *s);
bool amd_model_of_other(PCIBus *bus);
void amd_model_build_range(AMDVIState *s, GArray *ivhd);
/* The first unit after NULL, NULL after the last one */
AMDVIState *amd_model_next(AMDVIState *s);

PCIAnswer amd_model_request(PCIBus *bus, void *opaque, int devfn, const PCIRequest *request);
void amd_model_set_device_tlb(PCIBus *bus, void *opaque, int devfn, PCIDeviceTLB *tlb);
/* For interrupt remapping. False: there is no entry. */
bool amd_model_get_dte(AMDVIState *s, uint16_t devid, uint64_t *dte);

/* After a write to the control register */
void amd_model_control(AMDVIState *s);
void amd_model_write_status(AMDVIState *s, hwaddr addr, uint64_t value);
void amd_model_run(AMDVIState *s);
void amd_model_log_event(AMDVIState *s, const uint64_t *evt);

#endif
