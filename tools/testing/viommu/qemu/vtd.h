/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What intel_iommu.c calls of the model of scalable mode, see vtd.c, and the other way round */
#ifndef HW_I386_VTD_H
#define HW_I386_VTD_H

#include "hw/i386/intel_iommu.h"
#include "hw/pci/pci_request.h"

union VTDInvDesc;

void vtd_model_realize(IntelIOMMUState *s);
void vtd_model_reset(IntelIOMMUState *s);
void vtd_model_capabilities(IntelIOMMUState *s);
bool vtd_model_check(IntelIOMMUState *s, Error **errp);

/* Several units: where the registers of one are; whether a root bus is another one's than the first's */
hwaddr vtd_model_registers(IntelIOMMUState *s);
bool vtd_model_of_other(PCIBus *bus);
void vtd_model_build_drhds(GArray *table, pci_bus_dev_fn insert_scope);

PCIAnswer vtd_model_request(PCIBus *bus, void *opaque, int devfn, const PCIRequest *request);
void vtd_model_set_device_tlb(PCIBus *bus, void *opaque, int devfn, PCIDeviceTLB *tlb);

/* Before a descriptor is looked at. False: it is invalid (IQE). */
bool vtd_model_fetched(IntelIOMMUState *s, const union VTDInvDesc *desc);
/* After a descriptor was found valid, and before a wait completes. False: stop the queue. */
typedef enum { VTD_MODEL_GO_ON, VTD_MODEL_INVALID, VTD_MODEL_TIMEOUT } VTDModelResult;
VTDModelResult vtd_model_descriptor(IntelIOMMUState *s, const union VTDInvDesc *desc);
void vtd_model_queue_error(IntelIOMMUState *s);
/* Register-based invalidation */
void vtd_model_drop_contexts(IntelIOMMUState *s);
void vtd_model_drop_iotlb(IntelIOMMUState *s);

/* Of intel_iommu.c */
typedef enum { VTD_RECORDED, VTD_MERGED, VTD_LOST } VTDRecorded;
VTDRecorded vtd_record_fault(IntelIOMMUState *s, uint64_t hi, uint64_t lo);

#endif
