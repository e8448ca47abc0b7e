/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Broadcast TLB maintenance of the emulated SMMUv3, see btm.h
 *
 * TLBIs come from the threads of the CPUs. They take the BQL, which guards the
 * registers and is held by a DMA from its translation to its end, and then the
 * SMMUv3's own lock, which guards the IOTLB.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/main-loop.h"
#include "cpu.h"
#include "target/arm/cpregs.h"
#include "target/arm/cpu-features.h"
#include "target/arm/internals.h"

#include "hw/arm/smmuv3.h"
#include "smmuv3-internal.h"
#include "smmu-internal.h"

#define BTM_MAGIC       0x314d5442
#define BTM_ALL_VMIDS   UINT32_MAX

/* All that take part. It only changes while the machine is built. */
static GPtrArray *btm_smmus;

typedef struct Broadcast {
    BTMKind kind;
    int vmid;
    int asid;
    uint64_t start;     /* of 56 bits */
    uint64_t end;       /* the last byte */
} Broadcast;

#define VA_BITS         56
#define VA_MASK         MAKE_64BIT_MASK(0, VA_BITS)

static bool names_address(const Broadcast *op, const IOMMUTLBEntry *entry)
{
    uint64_t start = entry->iova & VA_MASK;

    return start <= op->end && start + entry->addr_mask >= op->start;
}

static gboolean named(gpointer key, gpointer value, gpointer opaque)
{
    const SMMUIOTLBKey *tag = key;
    const SMMUTLBEntry *entry = value;
    const Broadcast *op = opaque;
    bool stage1 = tag->asid >= 0;

    if (op->kind != BTM_ALL && MAX(tag->vmid, 0) != op->vmid) {
        return false;
    }
    switch (op->kind) {
    case BTM_VMALL:
        return stage1;
    case BTM_ASID:
        return tag->asid == op->asid && !entry->aset;
    case BTM_VA:
        return tag->asid == op->asid && !entry->aset &&
               names_address(op, &entry->entry);
    case BTM_VAA:
        return stage1 && names_address(op, &entry->entry);
    case BTM_IPA:
        return !stage1 && names_address(op, &entry->entry);
    case BTM_VMALLS12:
    case BTM_ALL:
        return true;
    default:
        return false;
    }
}

static void btm_obey(SMMUv3State *s, Broadcast *op)
{
    bool counts = s->btm.vmid == BTM_ALL_VMIDS ||
                  s->btm.vmid == op->vmid || op->kind == BTM_ALL;
    unsigned int dropped;

    if (FIELD_EX32(s->cr[2], CR2, PTM)) {
        s->btm.ignored += counts;
        return;
    }
    WITH_QEMU_LOCK_GUARD(&s->mutex) {
        dropped = g_hash_table_foreach_remove(ARM_SMMU(s)->iotlb, named, op);
    }
    if (counts) {
        s->btm.last_vmid = op->vmid;
        s->btm.obeyed[op->kind]++;
        s->btm.dropped[op->kind] += dropped;
    }
}

static void by_page(Broadcast *op, uint64_t value, unsigned int bits)
{
    op->start = extract64(value, 0, bits) << 12;
    op->end = op->start | MAKE_64BIT_MASK(0, 12);
}

/* False if the operand names nothing */
static bool by_range(CPUARMState *env, Broadcast *op, uint64_t value)
{
    static const unsigned int page_shifts[] = { 0, 12, 14, 16 };
    unsigned int page_shift = page_shifts[extract64(value, 46, 2)];
    unsigned int exponent = 5 * extract64(value, 44, 2) + 1;
    uint64_t tcr = op->kind == BTM_IPA ? env->cp15.vtcr_el2 :
                                         env->cp15.tcr_el[1];
    bool ds = op->kind == BTM_IPA ? FIELD_EX64(tcr, VTCR, DS) :
                                    extract64(tcr, 59, 1);

    if (!page_shift) {
        return false;
    }
    op->start = extract64(value, 0, 37) << (ds ? 16 : page_shift);
    if (op->kind != BTM_IPA) {
        op->start = sextract64(value, 0, 37) << (ds ? 16 : page_shift);
    }
    op->start &= VA_MASK;
    op->end = op->start - 1 +
              ((extract64(value, 39, 5) + 1) << (exponent + page_shift));
    return true;
}

/*
 * The TLBIs of EL1&0 by opc1 = 0, and those of EL2 by opc1 = 4: CRm says
 * whether they are shareable and name a range, opc2 what they name.
 */
static bool decode(CPUARMState *env, const ARMCPRegInfo *ri, uint64_t value,
                   Broadcast *op)
{
    static const int el1[] = {
        BTM_VMALL, BTM_VA, BTM_ASID, BTM_VAA, -1, BTM_VA, -1, BTM_VAA
    };
    static const int el2[] = {
        BTM_EL2, BTM_EL2, -1, -1, BTM_ALL, BTM_EL2, BTM_VMALLS12, -1
    };
    const uint64_t hcr = arm_hcr_el2_eff(env);
    bool shareable, range;
    int kind;

    if (ri->opc1 == 4 && (ri->crm == 0 || ri->crm == 4)) {
        kind = BTM_IPA;
        shareable = ri->crm == 0 || ri->opc2 % 4 == 0 || ri->opc2 % 4 == 3;
        range = ri->opc2 % 4 >= 2;
    } else if (ri->opc1 == 0 || ri->opc1 == 4) {
        kind = ri->opc1 ? el2[ri->opc2] : el1[ri->opc2];
        range = ri->crm == 2 || ri->crm == 5 || ri->crm == 6;
        shareable = ri->crm != 6 && ri->crm != 7;
    } else {
        return false;   /* of EL3 */
    }
    if (!shareable && (arm_current_el(env) != 1 || !(hcr & HCR_FB))) {
        return false;
    }
    if (kind < 0 || arm_is_secure_below_el3(env)) {
        return false;
    }
    op->kind = kind;
    if (ri->opc1 == 0 && (~hcr & (HCR_E2H | HCR_TGE)) == 0) {
        op->kind = BTM_EL2;
    }
    op->vmid = 0;
    if (arm_is_el2_enabled(env)) {
        bool wide = FIELD_EX64(env->cp15.vtcr_el2, VTCR, VS) &&
                    FIELD_EX64(env_archcpu(env)->isar.id_aa64mmfr1,
                               ID_AA64MMFR1, VMIDBITS);

        op->vmid = extract64(env->cp15.vttbr_el2, 48, wide ? 16 : 8);
    }
    op->asid = extract64(value, 48, 16);
    switch (op->kind) {
    case BTM_VA:
    case BTM_VAA:
    case BTM_IPA:
        if (range) {
            return by_range(env, op, value);
        }
        by_page(op, value, op->kind == BTM_IPA ? 40 : 44);
        break;
    default:
        break;
    }
    return true;
}

void btm_sys_insn(CPUARMState *env, const ARMCPRegInfo *ri, uint64_t value)
{
    Broadcast op;
    unsigned int i;

    /* CRn is 9 for those with the qualifier nXS */
    if (!btm_smmus || ri->opc0 != 1 || (ri->crn & ~1) != 8 ||
        !decode(env, ri, value, &op)) {
        return;
    }
    BQL_LOCK_GUARD();
    for (i = 0; i < btm_smmus->len; i++) {
        btm_obey(g_ptr_array_index(btm_smmus, i), &op);
    }
}

static uint64_t btm_read(void *opaque, hwaddr offset, unsigned int size)
{
    SMMUv3BTM *btm = &ARM_SMMUV3(opaque)->btm;

    switch (offset) {
    case 0x00:
        return BTM_MAGIC;
    case 0x04:
        return btm->vmid;
    case 0x08:
        return btm->ignored;
    case 0x0c:
        return btm->late;
    case 0x10:
        return btm->last_vmid;
    case 0x40 ... 0x40 + 4 * (BTM_KINDS - 1):
        return btm->obeyed[(offset - 0x40) / 4];
    case 0x80 ... 0x80 + 4 * (BTM_KINDS - 1):
        return btm->dropped[(offset - 0x80) / 4];
    default:
        return 0;
    }
}

static void btm_write(void *opaque, hwaddr offset, uint64_t value,
                      unsigned int size)
{
    SMMUv3BTM *btm = &ARM_SMMUV3(opaque)->btm;

    if (offset != 0x04) {
        return;
    }
    btm->vmid = value;
    btm->ignored = 0;
    btm->late = 0;
    btm->last_vmid = 0;
    memset(btm->obeyed, 0, sizeof(btm->obeyed));
    memset(btm->dropped, 0, sizeof(btm->dropped));
}

static const MemoryRegionOps btm_ops = {
    .read = btm_read,
    .write = btm_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

void btm_realize(SMMUv3State *s)
{
    if (!s->btm.on) {
        return;
    }
    if (!btm_smmus) {
        btm_smmus = g_ptr_array_new();
    }
    g_ptr_array_add(btm_smmus, s);
    s->btm.vmid = BTM_ALL_VMIDS;
    memory_region_init_io(&s->btm.regs, OBJECT(s), &btm_ops, s, "btm", 0x100);
    memory_region_add_subregion(&ARM_SMMU(s)->iomem, 0xe00, &s->btm.regs);
}
