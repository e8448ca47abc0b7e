/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Broadcast TLB maintenance of the emulated SMMUv3, for tests of its drivers:
 *
 *     -global arm-smmuv3.btm=on
 *
 * sets IDR0.BTM. While CR2.PTM is clear the SMMUv3 then drops what TLBI
 * instructions of the CPUs name: the inner and outer shareable ones, and those
 * that HCR_EL2.FB makes inner shareable. They complete inside the instruction,
 * after the DMA that is on its way.
 *
 *   - TLBIs of the non-secure EL1&0 regime drop entries of the VMID that is in
 *     VTTBR_EL2 then, also while stage 2 is off, and ALLE1 those of all. Without
 *     EL2, and in an SMMUv3 without stage 2, the VMID is 0.
 *   - Those by ASID, and by VA and ASID, leave contexts with CD.ASET set.
 *   - IPAS2E1 drops only entries of stage 2 alone, as SMMU commands do here.
 *   - TLBIs of EL2 and EL2&0 drop nothing: IDR0.HYP is 0, so all entries belong
 *     to the StreamWorld NS-EL1. This includes TLBI VAE1 with HCR_EL2.{E2H,TGE}.
 *   - Configuration caches are left alone, as by a TLBI of the architecture.
 *
 * TTL hints are ignored, global entries are entries of the ASID they were
 * cached for, and TLBIs in AArch32 state reach no SMMUv3.
 *
 * The model's own registers, for test programs, at 0xe00, which is for the
 * implementation. 32 bits each, (w) can be written. Only with btm=on.
 *
 *   0xe00       0x314d5442, to recognize the model
 *   0xe04  (w)  whose TLBIs are counted: a VMID, or 0xffffffff for all. ALLE1
 *               always counts. A write clears all counters.
 *   0xe08       TLBIs that were ignored, because CR2.PTM was set
 *   0xe0c       writes that changed CR2 while CR0.SMMUEN was set, which the
 *               architecture does not allow
 *   0xe10       VMID of the last TLBI that was counted
 *   0xe40 + 4 * kind	TLBIs that were obeyed
 *   0xe80 + 4 * kind	entries they dropped
 */
#ifndef HW_ARM_BTM_H
#define HW_ARM_BTM_H

#include "exec/memory.h"

/* Kinds of TLBIs: with, without a range and for the last level only alike */
typedef enum BTMKind {
    BTM_VMALL,          /* VMALLE1 */
    BTM_ASID,           /* ASIDE1 */
    BTM_VA,             /* VAE1, VALE1, RVAE1, RVALE1 */
    BTM_VAA,            /* VAAE1, VAALE1, RVAAE1, RVAALE1 */
    BTM_IPA,            /* IPAS2E1, IPAS2LE1, RIPAS2E1, RIPAS2LE1 */
    BTM_VMALLS12,       /* VMALLS12E1 */
    BTM_ALL,            /* ALLE1 */
    BTM_EL2,            /* of the regimes EL2 and EL2&0 */
    BTM_KINDS
} BTMKind;

typedef struct SMMUv3BTM {
    bool on;            /* the property btm */
    MemoryRegion regs;
    uint32_t vmid;      /* 0xe04 */
    uint32_t ignored;
    uint32_t late;
    uint32_t last_vmid;
    uint32_t obeyed[BTM_KINDS];
    uint32_t dropped[BTM_KINDS];
} SMMUv3BTM;

typedef struct SMMUv3State SMMUv3State;

void btm_realize(SMMUv3State *s);

/* A CPU has executed this system instruction */
void btm_sys_insn(CPUArchState *env, const struct ARMCPRegInfo *ri, uint64_t value);

#endif
