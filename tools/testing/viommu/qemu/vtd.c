/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of VT-d's scalable mode for tests of its drivers: with PASIDs, both
 * stages and nested translation, and with caches that keep what is stale:
 *
 *     -device intel-iommu,scalable-mode=on,nesting=on,pasid-bits=20,device-iotlb=on
 *
 * intel_iommu.c has the registers, the invalidation queue, interrupt remapping and
 * legacy mode; with scalable-mode=on this file translates every request that comes
 * while the root table is in scalable mode. Properties of intel-iommu that are for it:
 *
 *   scalable-mode  same as x-scalable-mode: SMTS and the second stage only
 *   first-stage    FLTS too: both stages, but no nested translation
 *   nesting        FLTS, SLTS and NEST, SMPWC
 *   pasid-bits     width of PASIDs, 0 is none: ECAP.PASID and PSS
 *   slads          A/D bits of the second stage: ECAP.SLADS, SMPWC
 *   fault-records  number of fault recording registers, 1 to 32 (8): CAP.NFR
 *   device-iotlb   ATS: ECAP.DT; QEMU's own
 *   primary-bus    the unit is in charge of this root bus; for all units but the first
 *
 * More units, each behind the host bridge that it is in charge of and ahead of the devices
 * there, have all to themselves, from registers to caches and interrupt remapping:
 *
 *     -device intel-iommu,...
 *     -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0
 *     -device intel-iommu,...,primary-bus=pcie.1
 *     -device pcie-root-port,id=port1,bus=pcie.1,chassis=1 -device pasid-edu,bus=port1
 *
 * The DMAR has a DRHD for each. aw-bits and snoop-control must be equal. KVM would remap
 * all interrupts by the first unit's table, so this is for TCG.
 *
 * Three caches, each without a limit of time: nothing leaves them unless a
 * descriptor of the right kind and scope says so, or the model is reset. So a
 * missing invalidation shows as a translation by the old entry.
 *
 *   cache     tagged by             dropped by
 *   context   SID                   type 1: global or domain all, device by SID and FM
 *   PASID     SID, PASID, and the   type 7: all of a DID, (DID, PASID), global
 *             DID in the entry
 *   IOTLB     (DID, PASID) first    type 2: global, DID, page; a page drops all first-
 *             stage, nested, pass-  stage and nested entries of the DID, and those of
 *             through; DID second   the second stage in the range. Type 6: all or page
 *             stage only            of (DID, PASID), but no second-stage entry; a page
 *                                   drops no pass-through entry either
 *
 * Only present, valid entries are cached, also with CAP.CM. Entries of the IOTLB do not
 * name the requester. A cached translation that lacks a permission, or has not set D, is
 * looked up again. A type 7 drops no context or IOTLB entry, a type 1 nothing but
 * contexts, and neither SRTP (CAP.ESRTPS is clear) nor TE drops anything.
 *
 * What comes from where. The layout of entries, descriptors and registers, fault
 * reasons and capability bits: Linux's drivers/iommu/intel and QEMU's intel_iommu. Which
 * invalidation drops what: the same, and QEMU's comments for types 2 and 6. The
 * architecture specification was not at hand. Silicon may differ in these points:
 *
 *   - It may drop any entry at any time, and caches have a size. Here a full IOTLB is
 *     emptied (VTDM_IOTLB_SIZE).
 *   - It may have paging-structure caches, which this model has not: a missing
 *     invalidation of a table that is taken away is not seen unless a leaf was cached.
 *     IH of types 2 and 6 is ignored.
 *   - It may tag entries by more (the requester) or by less than here. Not known:
 *     whether pass-through is cached in the IOTLB. Here it is, so that an entry turned
 *     from pass-through into another type wants type 7 and then type 6 or 2.
 *   - Not known: whether type 6 for all of a PASID drops second-stage entries. Here not.
 *   - Not known: what domain-selective type 1 does in scalable mode. Here it is global.
 *   - Not known: which faults a translation request (ATS) reports. Here those of a
 *     present table path, with too few permissions or an entry that is not present,
 *     answer without permissions and are not recorded: 0x71, 0x75 to 0x77, 0x79, 0x80
 *     to 0x86. All others are recorded, and the answer is Unsupported Request.
 *   - Not known: the rights of supervisor requests under nested translation. Here SRE
 *     and WPE act in the first stage alone, and there is no SMEP.
 *   - With translation off (TE = 0), requests with a PASID and translation requests are
 *     refused without a fault; so they are with a root table in legacy mode.
 *   - PWSNP, PGSNP, EMT, PAT, CD: accepted and without effect. EAFE, five-level tables,
 *     DIT, page requests: not there.
 *   - A time-out of a device TLB (ITE) is detected at the next wait descriptor, which is
 *     then skipped, and the queue stops until ITE is cleared.
 *   - Requests and descriptors happen one at a time: there is no request on the way
 *     that a wait would have to drain.
 *
 * Counters and errors on demand are in a page of their own, see vtd-model.h.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/acpi/aml-build.h"
#include "hw/pci/pci_bus.h"
#include "hw/i386/vtd.h"
#include "hw/i386/vtd_model.h"
#include "intel_iommu_internal.h"

#define PAGE_MASK_4K            0xfffULL
#define ADDRESS                 MAKE_64BIT_MASK(12, 40)         /* of an entry: bits 51:12 */

/* Reasons of faults that intel_iommu_internal.h lacks */
#define FR_ROOT_ACCESS          0x38
#define FR_ROOT_P               0x39
#define FR_ROOT_RSVD            0x3a
#define FR_CONTEXT_ACCESS       0x40
#define FR_CONTEXT_P            0x41
#define FR_CONTEXT_RSVD         0x42
#define FR_CONTEXT_DTE          0x44
#define FR_CONTEXT_PASIDE       0x45
#define FR_PASID_TOO_BIG        0x46
#define FR_PASID_DIR_RSVD       0x52
#define FR_PASID_RSVD           0x5a
#define FR_ERE                  0x5c
#define FR_SRE                  0x5d
#define FR_FS_BEYOND_SS         0x74
#define FR_FS_ROOT_SS           0x75
#define FR_FS_READ_SS           0x76
#define FR_FS_WRITE_SS          0x77
#define FR_SS_ACCESS            0x78
#define FR_SS_PERMISSION        0x79
#define FR_SS_RSVD              0x7a
#define FR_SS_ROOT              0x7b
#define FR_NX                   0x82
#define FR_SS_BEYOND            0x84
#define FR_READ                 0x86

/* ECAP and CAP bits that it lacks */
#define ECAP_NEST               BIT_ULL(26)
#define ECAP_ERS                BIT_ULL(30)
#define ECAP_SLADS              BIT_ULL(45)
#define ECAP_SMPWC              BIT_ULL(48)

/* Context entry, first and second quadword */
#define CE_P                    BIT_ULL(0)
#define CE_FPD                  BIT_ULL(1)
#define CE_DTE                  BIT_ULL(2)
#define CE_PASIDE               BIT_ULL(3)
#define CE_PDTS(v)              extract64(v, 9, 3)
#define CE_RID_PASID(v)         extract64(v, 0, 20)
#define CE_RID_PRIV             BIT_ULL(20)

/* PASID-table entry: P, FPD, AW, PGTT and SSADE in quadword 0, PWSNP in 1, the others in 2 */
#define PE_P                    BIT_ULL(0)
#define PE_FPD                  BIT_ULL(1)
#define PE_AW(v)                extract64(v, 2, 3)
#define PE_PGTT(v)              extract64(v, 6, 3)
#define PE_SSADE                BIT_ULL(9)
#define PE_DID(v)               extract64(v, 0, 16)
#define PE_PWSNP                BIT_ULL(23)
#define PE_SRE                  BIT_ULL(0)
#define PE_ERE                  BIT_ULL(1)
#define PE_FLPM(v)              extract64(v, 2, 2)
#define PE_WPE                  BIT_ULL(4)
#define PE_EAFE                 BIT_ULL(7)

enum { PGTT_FIRST = 1, PGTT_SECOND, PGTT_NESTED, PGTT_PT };

/* First-stage and second-stage paging entries */
#define FS_P                    BIT_ULL(0)
#define FS_RW                   BIT_ULL(1)
#define FS_US                   BIT_ULL(2)
#define FS_A                    BIT_ULL(5)
#define FS_D                    BIT_ULL(6)
#define FS_G                    BIT_ULL(8)
#define FS_XD                   BIT_ULL(63)
#define SS_R                    BIT_ULL(0)
#define SS_W                    BIT_ULL(1)
#define SS_A                    BIT_ULL(8)
#define SS_D                    BIT_ULL(9)
#define LARGE                   BIT_ULL(7)

#define FSTS_ICE                BIT(5)
#define FSTS_ITE                BIT(6)

typedef struct Context {
    uint64_t val[4];
} Context;

typedef struct Pe {
    uint64_t val[8];
    bool dir_fpd;
} Pe;

typedef struct Tag {
    uint64_t page;              /* of the input address */
    uint64_t mask;
    uint32_t pasid;             /* PCI_NO_PASID: second stage only */
    uint16_t did;
    bool priv;
} Tag;

typedef struct Translation {
    hwaddr addr;                /* of the byte asked for, or in the IOTLB of the page */
    hwaddr mask;
    bool read;
    bool write;
    bool exec;
    bool global;
    uint8_t pgtt;
} Translation;

struct VTDModel {
    unsigned int unit;
    MemoryRegion mmio;
    GHashTable *contexts;       /* by SID */
    GHashTable *pasids;         /* by SID and PASID */
    GHashTable *iotlb;
    GHashTable *device_tlbs;    /* PCIDeviceTLB by DeviceKey */
    bool timeout;               /* a device TLB did not answer; the next wait fails */

    uint32_t iotlb_size;
    uint32_t inject;
    uint32_t counter[VTDM_COUNTERS];
    uint32_t descriptors[16][4];
    uint32_t entry_sid;
    uint32_t entry_pasid;
    uint64_t entry[8];
    uint64_t fault_lo;
    uint64_t fault_hi;
    uint32_t log_count;
    uint64_t log[VTDM_LOG_ENTRIES][2];
};

static IntelIOMMUState *units[VTDM_UNITS];
static unsigned int unit_count;

#define COUNT(s, what)          ((s)->model->counter[VTDM_##what]++)

typedef struct DeviceKey {
    PCIBus *bus;
    int devfn;
} DeviceKey;

static guint device_hash(gconstpointer v)
{
    const DeviceKey *key = v;

    return (guint)(uintptr_t)key->bus << 8 | key->devfn;
}

static gboolean device_equal(gconstpointer a, gconstpointer b)
{
    const DeviceKey *x = a, *y = b;

    return x->bus == y->bus && x->devfn == y->devfn;
}

static guint tag_hash(gconstpointer v)
{
    const Tag *tag = v;
    uint64_t hash = (tag->page >> 12) * 0x9e3779b97f4a7c15ULL;

    hash ^= (uint64_t)tag->pasid << 16 ^ tag->did ^ tag->mask;
    return hash ^ hash >> 32;
}

static gboolean tag_equal(gconstpointer a, gconstpointer b)
{
    const Tag *x = a, *y = b;

    return x->page == y->page && x->mask == y->mask && x->pasid == y->pasid &&
           x->did == y->did && x->priv == y->priv;
}

static gpointer context_key(uint16_t sid)
{
    return GSIZE_TO_POINTER(sid);
}

static gpointer pasid_key(uint16_t sid, uint32_t pasid)
{
    return GSIZE_TO_POINTER((uint64_t)sid << 20 | pasid);
}

static bool read_quads(hwaddr addr, uint64_t *val, int n)
{
    if (address_space_read(&address_space_memory, addr, MEMTXATTRS_UNSPECIFIED, val, 8 * n)) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

/* Set bits of a paging entry as hardware does, unless it has changed since it was read */
static enum { SET, CHANGED, NO_MEMORY } set_bits(hwaddr addr, uint64_t old, uint64_t bits)
{
    hwaddr length = sizeof(old);
    uint64_t *entry = address_space_map(&address_space_memory, addr, &length, true,
                                        MEMTXATTRS_UNSPECIFIED);
    bool same;

    if (!entry) {
        return NO_MEMORY;
    }
    if (length < sizeof(old)) {
        address_space_unmap(&address_space_memory, entry, length, true, 0);
        return NO_MEMORY;
    }
    same = qatomic_cmpxchg(entry, cpu_to_le64(old), cpu_to_le64(old | bits)) == cpu_to_le64(old);
    address_space_unmap(&address_space_memory, entry, length, true, length);
    return same ? SET : CHANGED;
}

static hwaddr level_mask(unsigned int level)
{
    return (1ULL << (12 + 9 * (level - 1))) - 1;
}

/* @addr through the second stage. @update: set A/D bits. Returns the reason of a fault or 0. */
static int second_stage(IntelIOMMUState *s, const Pe *pe, hwaddr addr, bool read, bool write,
                        bool update, Translation *to)
{
    unsigned int top = PE_AW(pe->val[0]) + 2, level;
    uint64_t entry, bits, rights, reserved = MAKE_64BIT_MASK(s->aw_bits, 52 - s->aw_bits) | BIT_ULL(62);
    bool ad = pe->val[0] & PE_SSADE;
    hwaddr table, at;

    if (addr >> (12 + 9 * top)) {
        return FR_SS_BEYOND;
    }
again:
    table = pe->val[0] & ADDRESS;
    rights = SS_R | SS_W;
    for (level = top; ; level--) {
        bool leaf;

        at = table + extract64(addr, 12 + 9 * (level - 1), 9) * 8;
        if (!read_quads(at, &entry, 1)) {
            return level == top ? FR_SS_ROOT : FR_SS_ACCESS;
        }
        rights &= entry;
        if (!(entry & (SS_R | SS_W))) {
            return FR_SS_PERMISSION;
        }
        leaf = level == 1 || ((entry & LARGE) && level <= 3);
        if ((entry & reserved) || (level == 4 && (entry & LARGE)) ||
            (leaf && (entry & ADDRESS & level_mask(level)))) {
            return FR_SS_RSVD;
        }
        if (leaf && ((read && !(rights & SS_R)) || (write && !(rights & SS_W)))) {
            return FR_SS_PERMISSION;
        }
        bits = ad ? SS_A | (leaf && write ? SS_D : 0) : 0;
        if (update && (bits & ~entry)) {
            switch (set_bits(at, entry, bits)) {
            case CHANGED:
                goto again;
            case NO_MEMORY:
                return FR_SS_ACCESS;
            case SET:
                COUNT(s, SECOND_STAGE_AD);
                entry |= bits;
            }
        }
        if (leaf) {
            break;
        }
        table = entry & ADDRESS;
    }
    *to = (Translation) {
        .mask = level_mask(level),
        .addr = (entry & ADDRESS & ~level_mask(level)) | (addr & level_mask(level)),
        .read = rights & SS_R,
        .write = (rights & SS_W) && (!ad || (entry & SS_D)),
        .exec = rights & SS_R,
    };
    return 0;
}

/* Where an entry of the first stage is, and with @write may be written */
static int first_stage_entry(IntelIOMMUState *s, const Pe *pe, bool nested, hwaddr addr, bool root,
                             bool write, bool update, hwaddr *to)
{
    Translation second;
    int fault;

    *to = addr;
    if (!nested) {
        return 0;
    }
    fault = second_stage(s, pe, addr, true, write, update, &second);
    *to = second.addr;
    if (fault == FR_SS_BEYOND) {
        return FR_FS_BEYOND_SS;
    }
    if (fault == FR_SS_PERMISSION) {
        return write ? FR_FS_WRITE_SS : root ? FR_FS_ROOT_SS : FR_FS_READ_SS;
    }
    return fault;
}

static int first_stage(IntelIOMMUState *s, const Pe *pe, const PCIRequest *r, bool update,
                       Translation *to)
{
    bool nested = PE_PGTT(pe->val[0]) == PGTT_NESTED;
    uint64_t entry, bits, rights, reserved = MAKE_64BIT_MASK(s->aw_bits, 52 - s->aw_bits);
    unsigned int level;
    bool no_exec, leaf;
    hwaddr table, at;
    int fault;

    if (sextract64(r->addr, 0, 48) != (int64_t)r->addr) {
        return VTD_FR_FS_NON_CANONICAL;
    }
again:
    table = pe->val[2] & ADDRESS;
    rights = FS_RW | FS_US;
    no_exec = false;
    for (level = 4; ; level--) {
        hwaddr entry_at = table + extract64(r->addr, 12 + 9 * (level - 1), 9) * 8;

        fault = first_stage_entry(s, pe, nested, entry_at, level == 4, false, update, &at);
        if (fault) {
            return fault;
        }
        if (!read_quads(at, &entry, 1)) {
            return level == 4 ? VTD_FR_PASID_ENTRY_FSPTPTR_INV : VTD_FR_FS_PAGING_ENTRY_INV;
        }
        if (!(entry & FS_P)) {
            return VTD_FR_FS_PAGING_ENTRY_P;
        }
        leaf = level == 1 || (entry & LARGE);
        /* PAT is bit 12 of a large page */
        if ((entry & reserved) || (level == 4 && leaf) || (level == 3 && leaf && !s->fs1gp) ||
            (leaf && level > 1 && (entry & ADDRESS & level_mask(level) & ~BIT_ULL(12)))) {
            return VTD_FR_FS_PAGING_ENTRY_RSVD;
        }
        rights &= entry;
        no_exec |= !!(entry & FS_XD);
        if (leaf) {
            if (!r->priv && !(rights & FS_US)) {
                return VTD_FR_FS_PAGING_ENTRY_US;
            }
            if (r->priv && !(pe->val[2] & PE_WPE)) {
                rights |= FS_RW;
            }
            if (r->write && !(rights & FS_RW)) {
                return VTD_FR_SM_WRITE;
            }
            if (r->exec && no_exec) {
                return FR_NX;
            }
        }
        bits = FS_A | (leaf && r->write ? FS_D : 0);
        if (update && (bits & ~entry)) {
            fault = first_stage_entry(s, pe, nested, entry_at, level == 4, true, true, &at);
            if (fault) {
                return fault;
            }
            switch (set_bits(at, entry, bits)) {
            case CHANGED:
                goto again;
            case NO_MEMORY:
                return VTD_FR_FS_BIT_UPDATE_FAILED;
            case SET:
                COUNT(s, FIRST_STAGE_AD);
                entry |= bits;
            }
        }
        if (leaf) {
            break;
        }
        table = entry & ADDRESS;
    }
    *to = (Translation) {
        .mask = level_mask(level),
        .addr = (entry & ADDRESS & ~level_mask(level)) | (r->addr & level_mask(level)),
        .read = true,
        .write = (rights & FS_RW) && (entry & FS_D),
        .exec = !no_exec,
        .global = entry & FS_G,
    };
    if (nested) {
        Translation second;

        fault = second_stage(s, pe, to->addr, !r->write, r->write, update, &second);
        if (fault) {
            return fault;
        }
        to->addr = second.addr;
        to->mask = MIN(to->mask, second.mask);
        to->read &= second.read;
        to->write &= second.write;
        to->exec &= second.exec;
    }
    return 0;
}

/* By what a PASID-table entry says. @update: as hardware does, else just look. */
static int walk(IntelIOMMUState *s, const Pe *pe, const PCIRequest *r, bool update, Translation *to)
{
    unsigned int pgtt = PE_PGTT(pe->val[0]);
    int fault = 0;

    switch (pgtt) {
    case PGTT_FIRST:
    case PGTT_NESTED:
        fault = first_stage(s, pe, r, update, to);
        break;
    case PGTT_SECOND:
        fault = second_stage(s, pe, r->addr, !r->write, r->write, update, to);
        break;
    default:
        *to = (Translation) {
            .addr = r->addr, .mask = PAGE_MASK_4K, .read = true, .write = true, .exec = true,
        };
    }
    to->pgtt = pgtt;
    if (!fault && (to->addr & ~0xfffffULL) == VTD_INTERRUPT_ADDR_FIRST) {
        fault = VTD_FR_SM_INTERRUPT_ADDR;
    }
    return fault;
}

static int read_context(IntelIOMMUState *s, uint16_t sid, Context *ce)
{
    uint64_t root[2], half;
    uint64_t beyond = ~MAKE_64BIT_MASK(0, s->aw_bits);

    if (!read_quads(s->root + (sid >> 8) * 16, root, 2)) {
        return FR_ROOT_ACCESS;
    }
    half = root[!!(sid & 0x80)];
    if (!(half & 1)) {
        return FR_ROOT_P;
    }
    if (half & (0xffe | beyond)) {
        return FR_ROOT_RSVD;
    }
    if (!read_quads((half & ADDRESS) + (sid & 0x7f) * 32, ce->val, 4)) {
        return FR_CONTEXT_ACCESS;
    }
    if (!(ce->val[0] & CE_P)) {
        return FR_CONTEXT_P;
    }
    if ((ce->val[0] & (0x1e0 | beyond)) || (ce->val[1] & ~MAKE_64BIT_MASK(0, 21)) || ce->val[2] || ce->val[3]) {
        return FR_CONTEXT_RSVD;
    }
    return 0;
}

static bool second_stage_supported(IntelIOMMUState *s, const Pe *pe)
{
    unsigned int aw = PE_AW(pe->val[0]);

    return aw <= 2 && (s->cap & BIT_ULL(VTD_CAP_SAGAW_SHIFT + aw));
}

static int check_pe(IntelIOMMUState *s, const Pe *pe)
{
    bool ok;

    if ((pe->val[3] | pe->val[4] | pe->val[5] | pe->val[6] | pe->val[7]) ||
        ((pe->val[0] & PE_SSADE) && !(s->ecap & ECAP_SLADS)) ||
        ((pe->val[1] & PE_PWSNP) && !(s->ecap & ECAP_SMPWC)) ||
        ((pe->val[2] & PE_SRE) && !(s->ecap & VTD_ECAP_SRS)) || (pe->val[2] & PE_EAFE)) {
        return FR_PASID_RSVD;
    }
    switch (PE_PGTT(pe->val[0])) {
    case PGTT_FIRST:
        ok = (s->ecap & VTD_ECAP_FLTS) && !PE_FLPM(pe->val[2]);
        break;
    case PGTT_SECOND:
        ok = (s->ecap & VTD_ECAP_SLTS) && second_stage_supported(s, pe);
        break;
    case PGTT_NESTED:
        ok = (s->ecap & ECAP_NEST) && !PE_FLPM(pe->val[2]) && second_stage_supported(s, pe);
        break;
    case PGTT_PT:
        ok = s->ecap & VTD_ECAP_PT;
        break;
    default:
        ok = false;
    }
    return ok ? 0 : VTD_FR_PASID_TABLE_ENTRY_INV;
}

static int read_pe(IntelIOMMUState *s, const Context *ce, uint32_t pasid, Pe *pe)
{
    uint64_t dir;

    *pe = (Pe) { };
    if (!read_quads((ce->val[0] & ADDRESS) + (pasid >> 6) * 8, &dir, 1)) {
        return VTD_FR_PASID_DIR_ACCESS_ERR;
    }
    pe->dir_fpd = dir & BIT_ULL(1);
    if (!(dir & 1)) {
        return VTD_FR_PASID_DIR_ENTRY_P;
    }
    if (dir & (0xffc | ~MAKE_64BIT_MASK(0, s->aw_bits))) {
        return FR_PASID_DIR_RSVD;
    }
    if (!read_quads((dir & ADDRESS) + (pasid & 0x3f) * 64, pe->val, 8)) {
        return VTD_FR_PASID_TABLE_ACCESS_ERR;
    }
    if (!(pe->val[0] & PE_P)) {
        return VTD_FR_PASID_ENTRY_P;
    }
    return check_pe(s, pe);
}

static const Context *get_context(IntelIOMMUState *s, uint16_t sid, Context *ce, int *fault)
{
    VTDModel *m = s->model;
    Context *cached = g_hash_table_lookup(m->contexts, context_key(sid));

    *fault = read_context(s, sid, ce);
    if (cached) {
        COUNT(s, CONTEXT_HITS);
        m->counter[VTDM_CONTEXT_STALE] += *fault || memcmp(ce, cached, sizeof(*ce));
        *fault = 0;
        return cached;
    }
    COUNT(s, CONTEXT_MISSES);
    if (*fault) {
        return ce;
    }
    cached = g_memdup2(ce, sizeof(*ce));
    g_hash_table_insert(m->contexts, context_key(sid), cached);
    return cached;
}

static const Pe *get_pe(IntelIOMMUState *s, uint16_t sid, const Context *ce, uint32_t pasid,
                        Pe *pe, int *fault)
{
    VTDModel *m = s->model;
    Pe *cached = g_hash_table_lookup(m->pasids, pasid_key(sid, pasid));

    *fault = read_pe(s, ce, pasid, pe);
    if (cached) {
        COUNT(s, PASID_HITS);
        m->counter[VTDM_PASID_STALE] += *fault || memcmp(pe->val, cached->val, sizeof(pe->val));
        *fault = 0;
        return cached;
    }
    COUNT(s, PASID_MISSES);
    m->entry_sid = sid;
    m->entry_pasid = pasid;
    memcpy(m->entry, pe->val, sizeof(m->entry));
    if (*fault) {
        return pe;
    }
    cached = g_memdup2(pe, sizeof(*pe));
    g_hash_table_insert(m->pasids, pasid_key(sid, pasid), cached);
    return cached;
}

/* The tag in the IOTLB of what a PASID-table entry translates */
static Tag pe_tag(const Pe *pe, uint32_t pasid, bool priv)
{
    bool second = PE_PGTT(pe->val[0]) == PGTT_SECOND;

    return (Tag) {
        .did = PE_DID(pe->val[1]),
        .pasid = second ? PCI_NO_PASID : pasid,
        .priv = second ? false : priv,
    };
}

static int translate(IntelIOMMUState *s, const Pe *pe, uint32_t pasid, const PCIRequest *r,
                     Translation *to)
{
    static const hwaddr masks[] = { 0xfff, 0x1fffff, 0x3fffffff };
    VTDModel *m = s->model;
    Tag tag = pe_tag(pe, pasid, r->priv);
    Translation *cached = NULL, now;
    int fault;

    if (PE_PGTT(pe->val[0]) == PGTT_FIRST || PE_PGTT(pe->val[0]) == PGTT_NESTED) {
        if (r->priv && !(pe->val[2] & PE_SRE)) {
            return FR_SRE;
        }
        if (r->exec && !(pe->val[2] & PE_ERE)) {
            return FR_ERE;
        }
    }
    for (int i = 0; i < ARRAY_SIZE(masks) && !cached; i++) {
        tag.mask = masks[i];
        tag.page = r->addr & ~tag.mask;
        cached = g_hash_table_lookup(m->iotlb, &tag);
        if (cached && !(r->write ? cached->write : r->exec ? cached->exec : cached->read)) {
            cached = NULL;
        }
    }
    if (cached) {
        COUNT(s, IOTLB_HITS);
        *to = *cached;
        to->addr |= r->addr & to->mask;
        fault = walk(s, pe, r, false, &now);
        m->counter[VTDM_IOTLB_STALE] += fault || now.addr != to->addr;
        return 0;
    }

    COUNT(s, IOTLB_MISSES);
    fault = walk(s, pe, r, true, to);
    if (fault) {
        return fault;
    }
    if (g_hash_table_size(m->iotlb) >= m->iotlb_size) {
        COUNT(s, IOTLB_OVERFLOWS);
        g_hash_table_remove_all(m->iotlb);
    }
    tag.mask = to->mask;
    tag.page = r->addr & ~to->mask;
    cached = g_memdup2(to, sizeof(*to));
    cached->addr &= ~to->mask;
    g_hash_table_replace(m->iotlb, g_memdup2(&tag, sizeof(tag)), cached);
    return 0;
}

/* Faults that FPD disables */
static bool qualified(int fault)
{
    switch (fault) {
    case FR_ROOT_ACCESS:
    case FR_ROOT_P:
    case FR_ROOT_RSVD:
    case FR_CONTEXT_ACCESS:
    case VTD_FR_PASID_DIR_ACCESS_ERR:
    case VTD_FR_PASID_TABLE_ACCESS_ERR:
        return false;
    }
    return true;
}

/* What a translation request gets as an answer without permissions */
static bool ats_answers(int fault)
{
    switch (fault) {
    case VTD_FR_FS_PAGING_ENTRY_P:
    case FR_FS_ROOT_SS ... FR_FS_WRITE_SS:
    case FR_SS_PERMISSION:
    case VTD_FR_FS_NON_CANONICAL ... FR_READ:
        return true;
    }
    return false;
}

static void report(IntelIOMMUState *s, uint16_t sid, const PCIRequest *r, int fault, bool disabled)
{
    VTDModel *m = s->model;
    uint64_t hi = sid | (uint64_t)fault << 32 | (uint64_t)r->type << 60 | (r->write ? 0 : VTD_FRCD_T);
    uint64_t lo = r->addr & ~PAGE_MASK_4K;

    if (r->pasid != PCI_NO_PASID) {
        hi |= (uint64_t)r->pasid << 40 | VTD_FRCD_PP(1) | (uint64_t)r->exec << 30 | (uint64_t)r->priv << 29;
    }
    m->fault_lo = lo;
    m->fault_hi = hi;
    m->counter[VTDM_LAST_FAULT] = fault;
    if (disabled && qualified(fault)) {
        COUNT(s, FAULTS_DISABLED);
        return;
    }
    switch (vtd_record_fault(s, hi, lo)) {
    case VTD_RECORDED:
        COUNT(s, FAULTS);
        break;
    case VTD_MERGED:
        COUNT(s, FAULTS_MERGED);
        break;
    case VTD_LOST:
        COUNT(s, FAULTS_LOST);
        break;
    }
}

static PCIAnswer answer_request(IntelIOMMUState *s, uint16_t sid, const PCIRequest *request)
{
    static const int types[] = { 0, VTDM_FIRST_STAGE, VTDM_SECOND_STAGE, VTDM_NESTED, VTDM_PASS_THROUGH };
    PCIRequest r = *request;
    uint32_t pasid = r.pasid;
    const Context *ce;
    const Pe *pe = NULL;
    Context ce_read;
    Pe pe_read;
    Translation to = { };
    bool disabled;
    int fault;

    switch (r.type) {
    case PCI_REQUEST_UNTRANSLATED:
        s->model->counter[pasid == PCI_NO_PASID ? VTDM_UNTRANSLATED : VTDM_UNTRANSLATED_PASID]++;
        break;
    case PCI_REQUEST_TRANSLATION:
        COUNT(s, TRANSLATION);
        break;
    case PCI_REQUEST_TRANSLATED:
        COUNT(s, TRANSLATED);
        break;
    }

    ce = get_context(s, sid, &ce_read, &fault);
    disabled = (!fault || fault == FR_CONTEXT_P || fault == FR_CONTEXT_RSVD) && (ce->val[0] & CE_FPD);
    if (fault) {
        goto out;
    }
    if (r.type != PCI_REQUEST_UNTRANSLATED && !((ce->val[0] & CE_DTE) && (s->ecap & VTD_ECAP_DT))) {
        fault = FR_CONTEXT_DTE;
        goto out;
    }
    if (pasid != PCI_NO_PASID && !((ce->val[0] & CE_PASIDE) && (s->ecap & VTD_ECAP_PASID))) {
        fault = FR_CONTEXT_PASIDE;
        goto out;
    }
    if (r.type == PCI_REQUEST_TRANSLATED) {
        to = (Translation) { .addr = r.addr, .mask = PAGE_MASK_4K, .read = true, .write = true };
        if ((r.addr & ~0xfffffULL) == VTD_INTERRUPT_ADDR_FIRST) {
            fault = VTD_FR_SM_INTERRUPT_ADDR;
        }
        goto out;
    }
    if (pasid == PCI_NO_PASID) {
        pasid = CE_RID_PASID(ce->val[1]);
        r.priv = ce->val[1] & CE_RID_PRIV;
        r.exec = false;
    }
    if (pasid >> (CE_PDTS(ce->val[0]) + 7 + 6)) {
        fault = FR_PASID_TOO_BIG;
        goto out;
    }
    pe = get_pe(s, sid, ce, pasid, &pe_read, &fault);
    disabled |= pe->dir_fpd || (pe->val[0] & PE_FPD);
    if (!fault) {
        fault = translate(s, pe, pasid, &r, &to);
        /* A translation request asks for rights, and gets those that there are */
        if (r.type == PCI_REQUEST_TRANSLATION && r.write && ats_answers(fault)) {
            r.write = false;
            fault = translate(s, pe, pasid, &r, &to);
            to.write = false;
        }
    }
out:
    if (!fault) {
        if (r.type != PCI_REQUEST_TRANSLATED) {
            s->model->counter[types[to.pgtt]]++;
        }
        return (PCIAnswer) {
            .ok = true, .addr = to.addr, .mask = to.mask, .read = to.read, .write = to.write,
            .exec = to.exec && (r.exec || to.pgtt == PGTT_SECOND), .priv = r.priv, .global = to.global,
        };
    }
    if (r.type == PCI_REQUEST_TRANSLATION && ats_answers(fault)) {
        COUNT(s, FAULTS_ATS);
        s->model->counter[VTDM_LAST_FAULT] = fault;
        return (PCIAnswer) { .ok = true, .mask = PAGE_MASK_4K };
    }
    report(s, sid, request, fault, disabled);
    return (PCIAnswer) { };
}

PCIAnswer vtd_model_request(PCIBus *bus, void *opaque, int devfn, const PCIRequest *request)
{
    IntelIOMMUState *s = opaque;
    PCIAnswer answer = { };

    if (!s->dmar_enabled) {
        if (request->pasid == PCI_NO_PASID && request->type != PCI_REQUEST_TRANSLATION) {
            answer = (PCIAnswer) {
                .ok = true, .addr = request->addr, .mask = PAGE_MASK_4K, .read = true, .write = true,
            };
        }
    } else if (s->root_scalable) {
        qemu_mutex_lock(&s->iommu_lock);
        answer = answer_request(s, PCI_BUILD_BDF(pci_bus_num(bus), devfn), request);
        qemu_mutex_unlock(&s->iommu_lock);
    }
    return answer;
}

void vtd_model_set_device_tlb(PCIBus *bus, void *opaque, int devfn, PCIDeviceTLB *tlb)
{
    IntelIOMMUState *s = opaque;
    DeviceKey key = { bus, devfn };

    if (tlb) {
        g_hash_table_insert(s->model->device_tlbs, g_memdup2(&key, sizeof(key)), tlb);
    } else {
        g_hash_table_remove(s->model->device_tlbs, &key);
    }
}

/* What an invalidation is for */
typedef struct Scope {
    IntelIOMMUState *s;
    uint64_t type;
    uint64_t g;
    uint16_t sid;
    uint16_t sid_mask;
    uint16_t did;
    uint32_t pasid;
    hwaddr addr;
    hwaddr mask;
} Scope;

static gboolean context_in_scope(gpointer key, gpointer value, gpointer opaque)
{
    const Scope *scope = opaque;

    return scope->g != 3 || !((GPOINTER_TO_SIZE(key) ^ scope->sid) & ~scope->sid_mask);
}

static gboolean pe_in_scope(gpointer key, gpointer value, gpointer opaque)
{
    const Scope *scope = opaque;
    const Pe *pe = value;

    if (scope->g == 3) {
        return true;
    }
    return PE_DID(pe->val[1]) == scope->did &&
           (scope->g == 0 || (GPOINTER_TO_SIZE(key) & 0xfffff) == scope->pasid);
}

static gboolean translation_in_scope(gpointer key, gpointer value, gpointer opaque)
{
    const Scope *scope = opaque;
    const Tag *tag = key;
    const Translation *t = value;
    bool overlaps = !((tag->page ^ scope->addr) & ~(scope->mask | tag->mask));

    if (scope->type == VTD_INV_DESC_IOTLB && scope->g == 1) {
        return true;
    }
    if (tag->did != scope->did) {
        return false;
    }
    if (scope->type == VTD_INV_DESC_IOTLB) {
        return scope->g == 2 || t->pgtt == PGTT_FIRST || t->pgtt == PGTT_NESTED ||
               (t->pgtt == PGTT_SECOND && overlaps);
    }
    return tag->pasid == scope->pasid && t->pgtt != PGTT_SECOND &&
           (scope->g == 2 || (t->pgtt != PGTT_PT && overlaps));
}

/* Whether any entry in a cache has this DID */
static bool known_did(VTDModel *m, uint16_t did)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, m->pasids);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (PE_DID(((Pe *)value)->val[1]) == did) {
            return true;
        }
    }
    g_hash_table_iter_init(&iter, m->iotlb);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (((Tag *)key)->did == did) {
            return true;
        }
    }
    return false;
}

static bool second_stage_only(VTDModel *m, uint16_t did, uint32_t pasid)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, m->pasids);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const Pe *pe = value;

        if (PE_DID(pe->val[1]) == did && (GPOINTER_TO_SIZE(key) & 0xfffff) == pasid &&
            PE_PGTT(pe->val[0]) == PGTT_SECOND) {
            return true;
        }
    }
    return false;
}

/* Whether the IOTLB would refill a device TLB with what is stale */
static bool refills_stale(IntelIOMMUState *s, uint16_t sid, uint32_t pasid, hwaddr addr, hwaddr mask)
{
    VTDModel *m = s->model;
    const Context *ce = g_hash_table_lookup(m->contexts, context_key(sid));
    const Pe *pe;
    GHashTableIter iter;
    gpointer key, value;

    if (!ce) {
        return false;
    }
    if (pasid == PCI_NO_PASID) {
        pasid = CE_RID_PASID(ce->val[1]);
    }
    pe = g_hash_table_lookup(m->pasids, pasid_key(sid, pasid));
    if (!pe) {
        return false;
    }
    g_hash_table_iter_init(&iter, m->iotlb);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const Tag *tag = key;
        const Translation *t = value;
        Tag wanted = pe_tag(pe, pasid, tag->priv);
        PCIRequest r = { .pasid = pasid, .addr = tag->page, .priv = tag->priv };
        Translation now;

        if (tag->did == wanted.did && tag->pasid == wanted.pasid &&
            !((tag->page ^ addr) & ~(mask | tag->mask)) &&
            (walk(s, pe, &r, false, &now) || now.addr != t->addr)) {
            return true;
        }
    }
    return false;
}

static bool invalidate_device(IntelIOMMUState *s, uint16_t sid, uint32_t pasid, bool all,
                              hwaddr addr, hwaddr mask)
{
    VTDModel *m = s->model;
    GHashTableIter iter;
    gpointer key, value;

    qemu_mutex_lock(&s->iommu_lock);
    m->counter[VTDM_DEVICE_TLB_EARLY] += !all && refills_stale(s, sid, pasid, addr, mask);
    qemu_mutex_unlock(&s->iommu_lock);
    g_hash_table_iter_init(&iter, m->device_tlbs);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const DeviceKey *device = key;
        PCIDeviceTLB *tlb = value;

        if (PCI_BUILD_BDF(pci_bus_num(device->bus), device->devfn) == sid) {
            return tlb->invalidate(tlb, pasid, all, addr, mask);
        }
    }
    COUNT(s, DEVICE_TLB_NONE);
    return true;
}

/* A range whose size is where the address has its lowest zero, from bit 12 on */
static hwaddr range_mask(hwaddr addr)
{
    unsigned int ones = cto64(addr >> 12);

    return ones >= 51 ? UINT64_MAX : (0x2000ULL << ones) - 1;
}

static unsigned int granularity(const VTDInvDesc *desc)
{
    switch (VTD_INV_DESC_TYPE(desc->lo)) {
    case VTD_INV_DESC_CC:
    case VTD_INV_DESC_IOTLB:
    case VTD_INV_DESC_PIOTLB:
    case VTD_INV_DESC_PC:
        return extract64(desc->lo, 4, 2);
    case VTD_INV_DESC_DEVICE:
        return desc->hi & 1;
    case VTD_INV_DESC_DEV_PIOTLB:
        return extract64(desc->hi, 11, 1) | (desc->hi & 1) << 1;
    }
    return 0;
}

static void drop(GHashTable *table, GHRFunc in_scope, Scope *scope, enum vtd_model_counter counter)
{
    scope->s->model->counter[counter] += g_hash_table_foreach_remove(table, in_scope, scope);
}

bool vtd_model_fetched(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    VTDModel *m = s->model;
    unsigned int type = VTD_INV_DESC_TYPE(desc->lo), wanted = extract32(m->inject, 8, 8);

    if (!extract32(m->inject, 0, 8) || (wanted && wanted != type)) {
        return true;
    }
    if (extract32(m->inject, 16, 16)) {
        m->inject -= 1 << 16;
        return true;
    }
    switch (extract32(m->inject, 0, 8)) {
    case VTDM_INJECT_ITE:
        m->timeout = true;
        m->inject = 0;
        return true;
    case VTDM_INJECT_ICE:
        COUNT(s, ICE);
        stl_le_p(&s->csr[DMAR_FSTS_REG], ldl_le_p(&s->csr[DMAR_FSTS_REG]) | FSTS_ICE);
        m->inject = 0;
        return true;
    default:
        m->inject = 0;
        return false;
    }
}

VTDModelResult vtd_model_descriptor(IntelIOMMUState *s, const VTDInvDesc *desc)
{
    VTDModel *m = s->model;
    unsigned int type = VTD_INV_DESC_TYPE(desc->lo), g = granularity(desc);
    static const uint16_t sid_masks[] = { 0, 4, 6, 7 };
    Scope scope = {
        .s = s, .type = type, .g = g, .did = extract64(desc->lo, 16, 16),
        .pasid = extract64(desc->lo, 32, 20), .addr = desc->hi & ~PAGE_MASK_4K,
    };
    unsigned int am = extract64(desc->hi, 0, 6);
    bool answered = true;

    switch (type) {
    case VTD_INV_DESC_CC:
    case VTD_INV_DESC_IOTLB:
        if (!g) {
            return VTD_MODEL_INVALID;
        }
        break;
    case VTD_INV_DESC_PIOTLB:
        if (g < 2) {
            return VTD_MODEL_INVALID;
        }
        break;
    case VTD_INV_DESC_PC:
        if (g == 2 || (desc->lo & 0xfff000000000f1c0ULL) || desc->hi ||
            (s->iq_dw && (desc->val[2] || desc->val[3]))) {
            return VTD_MODEL_INVALID;
        }
        break;
    }
    m->descriptors[type & 15][g & 3]++;
    m->log[m->log_count % VTDM_LOG_ENTRIES][0] = desc->lo;
    m->log[m->log_count++ % VTDM_LOG_ENTRIES][1] = desc->hi;

    if (type == VTD_INV_DESC_WAIT && m->timeout) {
        m->timeout = false;
        COUNT(s, ITE);
        return VTD_MODEL_TIMEOUT;
    }

    qemu_mutex_lock(&s->iommu_lock);
    if ((type == VTD_INV_DESC_IOTLB && g > 1) || type == VTD_INV_DESC_PIOTLB || (type == VTD_INV_DESC_PC && g < 2)) {
        m->counter[VTDM_UNKNOWN_DID] += !known_did(m, scope.did);
    }
    switch (type) {
    case VTD_INV_DESC_CC:
        scope.sid = extract64(desc->lo, 32, 16);
        scope.sid_mask = sid_masks[extract64(desc->lo, 48, 2)];
        drop(m->contexts, context_in_scope, &scope, VTDM_CONTEXT_DROPPED);
        break;
    case VTD_INV_DESC_PIOTLB:
        m->counter[VTDM_TYPE6_SECOND_STAGE] += second_stage_only(m, scope.did, scope.pasid);
        /* fall through */
    case VTD_INV_DESC_IOTLB:
        scope.mask = (0x1000ULL << am) - 1;
        drop(m->iotlb, translation_in_scope, &scope, VTDM_IOTLB_DROPPED);
        break;
    case VTD_INV_DESC_PC:
        drop(m->pasids, pe_in_scope, &scope, VTDM_PASID_DROPPED);
        break;
    }
    qemu_mutex_unlock(&s->iommu_lock);

    switch (type) {
    case VTD_INV_DESC_DEVICE:
        answered = invalidate_device(s, extract64(desc->lo, 32, 16), PCI_NO_PASID, false, scope.addr,
                                     g & 1 ? range_mask(scope.addr) : PAGE_MASK_4K);
        break;
    case VTD_INV_DESC_DEV_PIOTLB:
        answered = invalidate_device(s, extract64(desc->lo, 16, 16), scope.pasid, g & 2, scope.addr,
                                     g & 1 ? range_mask(scope.addr) : PAGE_MASK_4K);
        break;
    }
    m->timeout |= !answered;
    return VTD_MODEL_GO_ON;
}

void vtd_model_queue_error(IntelIOMMUState *s)
{
    COUNT(s, IQE);
}

void vtd_model_drop_contexts(IntelIOMMUState *s)
{
    qemu_mutex_lock(&s->iommu_lock);
    g_hash_table_remove_all(s->model->contexts);
    qemu_mutex_unlock(&s->iommu_lock);
}

void vtd_model_drop_iotlb(IntelIOMMUState *s)
{
    qemu_mutex_lock(&s->iommu_lock);
    g_hash_table_remove_all(s->model->iotlb);
    qemu_mutex_unlock(&s->iommu_lock);
}

static uint64_t part(uint64_t value, hwaddr reg, unsigned int size)
{
    return size == 4 ? extract64(value, reg & 4 ? 32 : 0, 32) : value;
}

static uint64_t model_read(void *opaque, hwaddr reg, unsigned int size)
{
    IntelIOMMUState *s = opaque;
    VTDModel *m = s->model;

    if (reg >= VTDM_LOG(0) && reg < VTDM_LOG(VTDM_LOG_ENTRIES)) {
        return part(m->log[(reg - VTDM_LOG(0)) / 16][(reg >> 3) & 1], reg, size);
    }
    if (reg >= VTDM_COUNTER(0) && reg < VTDM_COUNTER(VTDM_COUNTERS)) {
        switch ((reg - VTDM_COUNTER(0)) / 4) {
        case VTDM_CONTEXT_ENTRIES:
            return g_hash_table_size(m->contexts);
        case VTDM_PASID_ENTRIES:
            return g_hash_table_size(m->pasids);
        case VTDM_IOTLB_ENTRIES:
            return g_hash_table_size(m->iotlb);
        }
        return m->counter[(reg - VTDM_COUNTER(0)) / 4];
    }
    if (reg >= VTDM_DESCRIPTORS(0, 0) && reg < VTDM_DESCRIPTORS(16, 0)) {
        return m->descriptors[(reg - VTDM_DESCRIPTORS(0, 0)) / 16][(reg >> 2) & 3];
    }
    if (reg >= VTDM_ENTRY(0) && reg < VTDM_ENTRY(8)) {
        return part(m->entry[(reg - VTDM_ENTRY(0)) / 8], reg, size);
    }
    switch (reg & ~7) {
    case VTDM_FAULT_LO:
        return part(m->fault_lo, reg, size);
    case VTDM_FAULT_HI:
        return part(m->fault_hi, reg, size);
    }
    switch (reg) {
    case VTDM_ID:
        return VTDM_ID_VALUE;
    case VTDM_INJECT:
        return m->inject;
    case VTDM_IOTLB_SIZE:
        return m->iotlb_size;
    case VTDM_ENTRY_SID:
        return m->entry_sid;
    case VTDM_ENTRY_PASID:
        return m->entry_pasid;
    case VTDM_LOG_COUNT:
        return m->log_count;
    }
    return 0;
}

static void model_write(void *opaque, hwaddr reg, uint64_t value, unsigned int size)
{
    IntelIOMMUState *s = opaque;
    VTDModel *m = s->model;

    switch (reg) {
    case VTDM_RESET:
        memset(m->counter, 0, sizeof(m->counter));
        memset(m->descriptors, 0, sizeof(m->descriptors));
        m->inject = 0;
        m->log_count = 0;
        break;
    case VTDM_INJECT:
        m->inject = value;
        break;
    case VTDM_IOTLB_SIZE:
        m->iotlb_size = MAX(value, 1);
        break;
    }
}

static const MemoryRegionOps model_ops = {
    .read = model_read,
    .write = model_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

void vtd_model_realize(IntelIOMMUState *s)
{
    VTDModel *m = s->model = g_new0(VTDModel, 1);

    m->unit = unit_count++;
    units[m->unit] = s;
    m->contexts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    m->pasids = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    m->iotlb = g_hash_table_new_full(tag_hash, tag_equal, g_free, g_free);
    m->device_tlbs = g_hash_table_new_full(device_hash, device_equal, g_free, NULL);
    memory_region_init_io(&m->mmio, OBJECT(s), &model_ops, s, "vtd-model", VTDM_SIZE);
    memory_region_add_subregion(get_system_memory(), VTDM_BASE + m->unit * VTDM_STRIDE, &m->mmio);
}

hwaddr vtd_model_registers(IntelIOMMUState *s)
{
    return Q35_HOST_BRIDGE_IOMMU_ADDR + s->model->unit * VTDM_STRIDE;
}

bool vtd_model_of_other(PCIBus *bus)
{
    for (unsigned int i = 1; i < unit_count; i++) {
        if (units[i]->primary_bus == bus) {
            return true;
        }
    }
    return false;
}

/* For the DMAR: a remapping hardware unit definition (DRHD) for each unit but the first */
void vtd_model_build_drhds(GArray *table, pci_bus_dev_fn insert_scope)
{
    for (unsigned int i = 1; i < unit_count; i++) {
        GArray *scope = g_array_new(false, true, 1);

        pci_for_each_device_under_bus(units[i]->primary_bus, insert_scope, scope);
        build_append_int_noprefix(table, 0, 2);                 /* type */
        build_append_int_noprefix(table, 16 + scope->len, 2);   /* length */
        build_append_int_noprefix(table, 0, 4);                 /* flags, reserved, segment */
        build_append_int_noprefix(table, vtd_model_registers(units[i]), 8);
        g_array_append_vals(table, scope->data, scope->len);
        g_array_free(scope, true);
    }
}

void vtd_model_reset(IntelIOMMUState *s)
{
    VTDModel *m = s->model;

    g_hash_table_remove_all(m->contexts);
    g_hash_table_remove_all(m->pasids);
    g_hash_table_remove_all(m->iotlb);
    m->timeout = false;
    m->iotlb_size = 65536;
    model_write(s, VTDM_RESET, 1, 4);
}

void vtd_model_capabilities(IntelIOMMUState *s)
{
    s->cap |= (uint64_t)(s->fault_records - 1) << 40;
    if (s->first_stage || s->nesting) {
        s->ecap |= VTD_ECAP_FLTS | VTD_ECAP_SLTS | VTD_ECAP_SRS;
        if (s->fs1gp) {
            s->cap |= VTD_CAP_FS1GP;
        }
    }
    if (s->nesting) {
        s->ecap |= ECAP_NEST | ECAP_SMPWC;
    }
    if (s->slads) {
        s->ecap |= ECAP_SLADS | ECAP_SMPWC;
    }
    if (s->pasid_bits) {
        s->ecap |= VTD_ECAP_PASID | ECAP_ERS | (uint64_t)(s->pasid_bits - 1) << 35;
    }
}

bool vtd_model_check(IntelIOMMUState *s, Error **errp)
{
    if (unit_count ? !s->primary_bus || !pci_bus_is_root(s->primary_bus) || s->primary_bus->iommu_ops
                   : !!s->primary_bus) {
        error_setg(errp, "all units but the first need primary-bus, a root bus without an IOMMU");
        return false;
    }
    if (unit_count == VTDM_UNITS) {
        error_setg(errp, "there are %d units at most", VTDM_UNITS);
        return false;
    }
    if (s->pasid_bits > 20 || !s->fault_records || s->fault_records > DMAR_FRCD_REG_NR) {
        error_setg(errp, "pasid-bits is at most 20, fault-records 1 to %d", (int)DMAR_FRCD_REG_NR);
        return false;
    }
    if ((s->first_stage || s->nesting || s->slads || s->pasid_bits) && !s->scalable_mode) {
        error_setg(errp, "first-stage, nesting, slads and pasid-bits need scalable-mode");
        return false;
    }
    if ((s->first_stage || s->nesting) && s->aw_bits != VTD_HOST_AW_48BIT) {
        error_setg(errp, "first-stage and nesting need aw-bits=48");
        return false;
    }
    return true;
}
