/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a PCIe function that QEMU has no interface for: with a PASID,
 * translation requests (ATS) and translated requests; and invalidations of the
 * function's TLB. An IOMMU's model implements these as two of its PCIIOMMUOps,
 * a function calls pci_request() and pci_set_device_tlb().
 */
#ifndef HW_PCI_PCI_REQUEST_H
#define HW_PCI_PCI_REQUEST_H

#include "exec/hwaddr.h"

typedef enum PCIRequestType {
    PCI_REQUEST_UNTRANSLATED,
    PCI_REQUEST_TRANSLATION,    /* ATS: the answer is for the device TLB */
    PCI_REQUEST_TRANSLATED,     /* the address is one that ATS gave */
} PCIRequestType;

/* A request, which touches one page of 4 KiB */
struct PCIRequest {
    PCIRequestType type;
    uint32_t pasid;             /* or PCI_NO_PASID */
    hwaddr addr;
    bool write;                 /* of a translation request: not NW */
    bool exec;
    bool priv;
};

/*
 * What an IOMMU answers. Without ok the request is blocked; for a translation
 * request that is Unsupported Request or Completer Abort. With ok, a translation
 * request may still have got neither read nor write.
 */
struct PCIAnswer {
    bool ok;
    hwaddr addr;                /* of the byte asked for */
    hwaddr mask;                /* the translation's size - 1 */
    bool read;
    bool write;
    bool exec;
    bool priv;
    bool global;
};

struct PCIDeviceTLB {
    /*
     * Drop what is in @addr to @addr | @mask, of one PASID, of PCI_NO_PASID or,
     * if @all_pasids, of every PASID. Returns false if the function does not
     * answer. Called with the BQL held.
     */
    bool (*invalidate)(PCIDeviceTLB *tlb, uint32_t pasid, bool all_pasids,
                       hwaddr addr, hwaddr mask);
};

PCIAnswer pci_request(PCIDevice *dev, const PCIRequest *request);
/* NULL ends it. Returns false if the IOMMU cannot invalidate a device TLB. */
bool pci_set_device_tlb(PCIDevice *dev, PCIDeviceTLB *tlb);

#endif
