/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of AMD's guest and nested translation for tests of its drivers: GCR3 tables,
 * guest (v2) and host (v1) page tables, PASIDs and ATS, with caches that keep what is
 * stale:
 *
 *     -device amd-iommu,intremap=on,nesting=on
 *
 * amd_iommu.c has the registers and interrupt remapping; with nesting=on this file
 * translates every request, executes the commands and logs the events. Properties of
 * amd-iommu that are for it:
 *
 *   nesting      all of this
 *   gt, gio      EFR: GTSup, GIOSup (both on)
 *   gcr3trp      EFR2: GCR3TRPModeSup (on)
 *   ppr          EFR: PPRSup and EPHSup (on). Linux uses PASIDs and ATS only with
 *                these. Page requests come from AMDM_PPR, no function sends them.
 *   ia           EFR: IASup (on)
 *   hd           EFR: HASup and HDSup (on)
 *   hats, gats   EFR: levels of host and guest tables (2: 6 levels, 1: 5 levels)
 *   glx          EFR: levels of GCR3 tables (2: 3 levels)
 *   pasid-bits   width of PASIDs, 1 to 20 (16): EFR.PASmax
 *   primary-bus  a second unit is in charge of this root bus, see below
 *
 * The IVRS names all DeviceIDs, up to 0xffff.
 *
 * A second unit, behind the host bridge that it is in charge of and ahead of the devices
 * there, has all to itself, from registers to caches and interrupt remapping:
 *
 *     -device amd-iommu,intremap=on,nesting=on
 *     -device pxb-pcie,id=pcie.2,bus_nr=8,bus=pcie.0,addr=1d
 *     -device amd-iommu,intremap=on,nesting=on,primary-bus=pcie.2
 *     -device pcie-root-port,id=port1,bus=pcie.2,chassis=1 -device pasid-edu,bus=port1
 *
 * In the IVRS it has the DeviceIDs from its bus number on, the first unit those below and
 * the IOAPIC. Its own function is 00:1e.0. KVM would remap all interrupts by the first
 * unit's table, so this is for TCG.
 *
 * Three caches, each without a limit of time: nothing leaves them unless a command of
 * the right opcode and scope says so, or the model is reset. So a missing invalidation
 * shows as a translation by the old entry.
 *
 *   cache   tagged by               dropped by
 *   DTE     DeviceID                op 2, op 8
 *   TLB     DomainID, PASID and     op 3 with GN = 1: its DomainID, PASID and range of
 *           GVA; or DomainID        GVAs. Op 3 with GN = 0: its DomainID and range of
 *           and GPA                 GPAs; with PASIDs, the entries whose GPA or whose
 *                                   tables' GPAs are in the range, and if that is
 *                                   everything, all. Op 8: all
 *   tables  as the TLB, and the     the same, but only with PDE = 1
 *           level; GCR3 entries
 *           are the highest
 *
 * A request without a PASID has PASID 0 under GIOV, and no PASID otherwise. Only what is
 * present is cached. Entries of the TLB do not name the requester. A cached translation
 * that lacks a permission, or has not set D, is looked up again. Nested translation
 * looks GPAs up in the TLB under the DTE's own DomainID. Interrupt remapping uses the
 * cached DTE too; remapping tables are not cached, and op 5 drops nothing.
 *
 * What comes from where. The layout of entries, commands, events and registers: Linux's
 * drivers/iommu/amd and QEMU's amd_iommu. The architecture specification was not at hand.
 * Silicon may differ in these points; AMDM_KNOBS of amd-model.h has other readings:
 *
 *   - It may drop any entry at any time, and caches have a size. Here a full TLB is
 *     emptied (AMDM_TLB_SIZE).
 *   - Not known: whether GN = 0 drops entries of PASIDs (AMDM_KNOB_GN0_KEEPS), and
 *     whether op 4 with GN = 0 does (AMDM_KNOB_IOTLB_PASIDS).
 *   - Not known: what an event says of a fault in the first stage of a request under
 *     GIOV. Here GN = 1 and PASID 0 (AMDM_KNOB_EVENT_DOMAIN). A fault in the second stage
 *     has GN = 0, the DomainID and the GPA.
 *   - Not known: which faults translation requests log. Here entries that are not
 *     present or lack permissions answer without permissions and log nothing.
 *   - Not known: how hardware reports a PASID where GV = 0. Here as IO_PAGE_FAULT.
 *   - An illegal command stops the ring at itself; CmdBufEn has to go off and on again.
 *   - A device TLB that does not answer holds up the next COMPLETION_WAIT for InvTimeout
 *     of the control register, for ever if that is 0. Then comes IOTLB_INV_TIMEOUT, and the
 *     ring goes on.
 *   - A DTE with TV = 0 blocks, with IO_PAGE_FAULT.
 *   - A page request without PPREn, a DTE or its PPR bit makes INVALID_PPR_REQUEST with
 *     no flags set: software answers it. Nobody answers one that finds the log full or off.
 *   - NX, exclusion ranges, SysMgt, IoCtl, vIOMMU bits of the DTE: not there, and bits of
 *     features that the EFR lacks make a DTE illegal.
 *   - Requests and commands happen one at a time: there is no request on the way that
 *     a COMPLETION_WAIT would have to drain.
 *
 * Counters, errors on demand and knobs are in a page of their own, see amd-model.h. All
 * of this runs with the BQL held.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/acpi/aml-build.h"
#include "hw/pci/pci_bus.h"
#include "amd.h"
#include "amd_model.h"

#define PAGE_MASK_4K            0xfffULL
#define ADDRESS                 MAKE_64BIT_MASK(12, 40)         /* of an entry: bits 51:12 */

/* DTE: quadword 0 */
#define DTE_V                   BIT_ULL(0)
#define DTE_TV                  BIT_ULL(1)
#define DTE_HAD                 (BIT_ULL(7) | BIT_ULL(8))
#define DTE_MODE(q)             extract64(q, 9, 3)
#define DTE_PPR                 BIT_ULL(52)
#define DTE_GPRP                BIT_ULL(53)
#define DTE_GIOV                BIT_ULL(54)
#define DTE_GV                  BIT_ULL(55)
#define DTE_GLX(q)              extract64(q, 56, 2)
#define DTE_IR                  BIT_ULL(61)
#define DTE_IW                  BIT_ULL(62)
/* 1 */
#define DTE_DOMAIN(q)           extract64(q, 0, 16)
#define DTE_I                   BIT_ULL(32)
#define DTE_SE                  BIT_ULL(33)
#define DTE_SA                  BIT_ULL(34)
/* 2 */
#define DTE_GUEST_MODE(q)       extract64(q, 54, 2)

/* Host paging entries */
#define H_PR                    BIT_ULL(0)
#define H_A                     BIT_ULL(5)
#define H_D                     BIT_ULL(6)
#define H_NEXT(e)               extract64(e, 9, 3)
#define H_IR                    DTE_IR
#define H_IW                    DTE_IW

/* Guest paging entries; GCR3 entries have P */
#define G_P                     BIT_ULL(0)
#define G_RW                    BIT_ULL(1)
#define G_US                    BIT_ULL(2)
#define G_A                     BIT_ULL(5)
#define G_D                     BIT_ULL(6)
#define G_LARGE                 BIT_ULL(7)
#define G_NX                    BIT_ULL(63)

/* Events, and their flags */
#define EVENT_ILLEGAL_DTE       1
#define EVENT_PAGE_FAULT        2
#define EVENT_DTE_HARDWARE      3
#define EVENT_TABLE_HARDWARE    4
#define EVENT_ILLEGAL_COMMAND   5
#define EVENT_COMMAND_HARDWARE  6
#define EVENT_IOTLB_TIMEOUT     7
#define EVENT_DEVICE_REQUEST    8
#define EVENT_PPR               9
#define FLAG_GN                 BIT(0)
#define FLAG_PR                 BIT(4)
#define FLAG_RW                 BIT(5)
#define FLAG_PE                 BIT(6)
#define FLAG_RZ                 BIT(7)
#define FLAG_TR                 BIT(8)
#define FLAG_PRETRANSLATED      BIT(9)          /* type 1 of EVENT_DEVICE_REQUEST */

/* Registers */
#define CONTROL_COMWAIT_INT     BIT_ULL(4)
#define CONTROL_INV_TIMEOUT(v)  extract64(v, 5, 3)
#define CONTROL_PPR_LOG         BIT_ULL(13)
#define CONTROL_PPR_INT         BIT_ULL(14)
#define CONTROL_PPR             BIT_ULL(15)
#define CONTROL_GT              BIT_ULL(16)
#define CONTROL_GCR3TRP         BIT_ULL(58)
#define STATUS_OVERFLOW         BIT(0)
#define STATUS_EVENT            BIT(1)
#define STATUS_COMWAIT          BIT(2)
#define STATUS_EVENT_RUN        BIT(3)
#define STATUS_RING_RUN         BIT(4)
#define STATUS_PPR_OVERFLOW     BIT(5)
#define STATUS_PPR              BIT(6)
#define STATUS_PPR_RUN          BIT(7)

/* The type of all entries of the PPR log, of 16 bytes */
#define PPR_REQUEST             1
#define PPR_LEN                 16

#define EFR2_GCR3TRP            BIT_ULL(3)

/* Entries of an IVHD */
#define IVHD_ALL                1
#define IVHD_RANGE_START        3
#define IVHD_RANGE_END          4

#define OP_WAIT                 1
#define OP_DTE                  2
#define OP_PAGES                3
#define OP_IOTLB                4
#define OP_IRT                  5
#define OP_PREFETCH             6
#define OP_PPR                  7
#define OP_ALL                  8

typedef struct Dte {
    uint64_t q[4];
    bool faulted;               /* since it was read, for SE */
} Dte;

/* Of the TLB: @mask is one of sizes[]. Of the tables: @mask is what a table covers. */
typedef struct Tag {
    uint64_t page;              /* of the input address */
    uint64_t mask;
    uint32_t pasid;             /* PCI_NO_PASID: the page is a GPA */
    uint16_t domain;
} Tag;

/* The GPAs that a nested translation passed through: of 3 GCR3 tables, 5 guest tables and the page */
typedef struct Path {
    unsigned int n;
    struct {
        hwaddr gpa;
        hwaddr mask;
    } step[9];
} Path;

typedef struct Translation {
    hwaddr addr;                /* of the byte asked for, or in the TLB of the page */
    hwaddr mask;                /* of what the tables map as one */
    bool read;
    bool write;
    bool exec;
    bool global;
    uint64_t host;              /* root and mode of the host table that it came through */
    Path path;
} Translation;

typedef struct Table {
    hwaddr table;
    hwaddr at;                  /* SPA of the entry that says so */
    uint64_t entry;
    uint64_t rights;            /* of all entries up to it */
    Path path;                  /* up to where the entry is */
} Table;

typedef struct Fault {
    unsigned int event;
    unsigned int flags;
    bool gpa;                   /* @addr is one */
    hwaddr addr;
} Fault;

typedef struct AMDModel {
    MemoryRegion mmio;
    unsigned int unit;          /* the index in units[] */
    GHashTable *dtes;           /* by DeviceID */
    GHashTable *tlb;
    GHashTable *tables;
    GHashTable *device_tlbs;    /* PCIDeviceTLB by DeviceKey */
    bool stopped;               /* an illegal command */
    bool stalled;               /* AMDM_INJECT_STALL */
    GArray *unanswered;         /* Unanswered: op 4 that no device answers */
    QEMUTimer *timer;           /* of these, InvTimeout after the last of them */
    GArray *requests;           /* request_id() of page requests without an answer */
    hwaddr request_addr;        /* AMDM_PPR_ADDR */
    bool running;

    uint32_t tlb_size;
    uint32_t knobs;
    uint32_t inject;
    uint32_t counter[AMDM_COUNTERS];
    uint32_t commands[16];
    uint32_t dte_id;
    uint64_t dte[4];
    uint64_t event[2];
    uint32_t log_count;
    uint64_t log[AMDM_LOG_ENTRIES][2];
} AMDModel;

typedef struct Unanswered {
    uint16_t devid;
    hwaddr at;
} Unanswered;

#define COUNT(s, what)          ((s)->model->counter[AMDM_##what]++)

static AMDVIState *units[AMDM_UNITS];
static unsigned int unit_count;

/* What one translation is about */
typedef struct Walk {
    AMDVIState *s;
    const Dte *dte;
    uint32_t pasid;             /* PCI_NO_PASID: host table only */
    bool write;
    bool exec;
    bool user;
    bool update;                /* as hardware does; else just look, without caches */
    Fault fault;
} Walk;

typedef struct DeviceKey {
    PCIBus *bus;
    int devfn;
} DeviceKey;

#define CR3_LEVEL               6

static const hwaddr sizes[] = { 0xfff, 0x1fffff, 0x3fffffff };

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

    hash ^= (uint64_t)tag->pasid << 16 ^ tag->domain ^ tag->mask;
    return hash ^ hash >> 32;
}

static gboolean tag_equal(gconstpointer a, gconstpointer b)
{
    const Tag *x = a, *y = b;

    return x->page == y->page && x->mask == y->mask && x->pasid == y->pasid && x->domain == y->domain;
}

static uint64_t reg(AMDVIState *s, hwaddr addr)
{
    return ldq_le_p(&s->mmior[addr]);
}

static void set_status(AMDVIState *s, uint32_t clear, uint32_t set)
{
    stq_le_p(&s->mmior[AMDVI_MMIO_STATUS], (reg(s, AMDVI_MMIO_STATUS) & ~(uint64_t)clear) | set);
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
    return level > 5 ? UINT64_MAX : (1ULL << (12 + 9 * level)) - 1;
}

/* The index into a table of @level of 1 and more */
static unsigned int level_index(hwaddr addr, unsigned int level)
{
    unsigned int shift = 12 + 9 * (level - 1);

    return extract64(addr, shift, MIN(9, 64 - shift));
}

static uint64_t host_table(const Dte *dte)
{
    return dte->q[0] & (ADDRESS | MAKE_64BIT_MASK(9, 3));
}

static bool fail(Walk *w, unsigned int event, unsigned int flags, bool gpa, hwaddr addr)
{
    w->fault = (Fault) { event, flags, gpa, addr };
    return false;
}

/*
 * The cached table that is nearest to @addr, of level @bottom to @top: its level, or 0.
 * CR3_LEVEL is what a GCR3 entry points to.
 */
static unsigned int cached_table(Walk *w, uint32_t pasid, hwaddr addr, unsigned int bottom,
                                 unsigned int top, Table *table)
{
    AMDModel *m = w->s->model;
    uint64_t now;

    if (!w->update || (m->knobs & AMDM_KNOB_NO_TABLES)) {
        return 0;
    }
    for (unsigned int level = bottom; level <= top; level++) {
        Tag tag = {
            .page = addr & ~level_mask(level), .mask = level_mask(level), .pasid = pasid,
            .domain = DTE_DOMAIN(w->dte->q[1]),
        };
        Table *cached = g_hash_table_lookup(m->tables, &tag);

        if (cached) {
            COUNT(w->s, TABLE_HITS);
            m->counter[AMDM_TABLE_STALE] += !read_quads(cached->at, &now, 1) || ((now ^ cached->entry) & ~G_A);
            *table = *cached;
            return level;
        }
    }
    return 0;
}

static void cache_table(Walk *w, uint32_t pasid, hwaddr addr, unsigned int level, const Table *table)
{
    Tag tag = {
        .page = addr & ~level_mask(level), .mask = level_mask(level), .pasid = pasid,
        .domain = DTE_DOMAIN(w->dte->q[1]),
    };

    if (w->update && !(w->s->model->knobs & AMDM_KNOB_NO_TABLES)) {
        g_hash_table_replace(w->s->model->tables, g_memdup2(&tag, sizeof(tag)),
                             g_memdup2(table, sizeof(*table)));
    }
}

/* @gpa through the host table itself */
static bool walk_host(Walk *w, hwaddr gpa, bool write, Translation *to)
{
    AMDVIState *s = w->s;
    unsigned int top = DTE_MODE(w->dte->q[0]), level, next;
    bool had = w->dte->q[0] & DTE_HAD;
    uint64_t entry, bits;
    Table table;
    hwaddr mask;

    if (gpa & ~level_mask(top)) {
        return fail(w, EVENT_PAGE_FAULT, 0, true, gpa);
    }
again:
    level = cached_table(w, PCI_NO_PASID, gpa, 1, top - 1, &table);
    if (!level) {
        level = top;
        table = (Table) { .table = w->dte->q[0] & ADDRESS, .rights = w->dte->q[0] & (H_IR | H_IW) };
    }
    for (;;) {
        table.at = table.table + level_index(gpa, level) * 8;
        if (!read_quads(table.at, &entry, 1)) {
            return fail(w, EVENT_TABLE_HARDWARE, 0, true, table.at);
        }
        if (!(entry & H_PR)) {
            return fail(w, EVENT_PAGE_FAULT, 0, true, gpa);
        }
        table.entry = entry;
        table.rights &= entry;
        next = H_NEXT(entry);
        if (!next || next == 7) {
            break;
        }
        if (next >= level) {
            return fail(w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_RZ, true, gpa);
        }
        /* Levels may be left out, if their part of the address is 0 */
        if (gpa & level_mask(level - 1) & ~level_mask(next)) {
            return fail(w, EVENT_PAGE_FAULT, 0, true, gpa);
        }
        table.table = entry & ADDRESS;
        level = next;
        cache_table(w, PCI_NO_PASID, gpa, level, &table);
    }
    mask = next ? (0x2000ULL << cto64((entry & ADDRESS) >> 12)) - 1 : level_mask(level - 1);
    if (mask > level_mask(level) || (!next && (entry & ADDRESS & mask))) {
        return fail(w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_RZ, true, gpa);
    }
    if (!(table.rights & (write ? H_IW : H_IR))) {
        return fail(w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_PE, true, gpa);
    }
    bits = had ? H_A | (write ? H_D : 0) : 0;
    if (w->update && (bits & ~entry)) {
        switch (set_bits(table.at, entry, bits)) {
        case CHANGED:
            goto again;
        case NO_MEMORY:
            return fail(w, EVENT_TABLE_HARDWARE, 0, true, table.at);
        case SET:
            COUNT(s, HOST_AD);
            entry |= bits;
        }
    }
    *to = (Translation) {
        .addr = (entry & ADDRESS & ~mask) | (gpa & mask),
        .mask = mask,
        .read = table.rights & H_IR,
        .write = (table.rights & H_IW) && (!had || (entry & H_D)),
        .exec = table.rights & H_IR,
        .host = host_table(w->dte),
    };
    return true;
}

static Translation *tlb_lookup(Walk *w, uint32_t pasid, hwaddr addr, bool write, bool exec)
{
    AMDModel *m = w->s->model;

    for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
        Tag tag = {
            .page = addr & ~sizes[i], .mask = sizes[i], .pasid = pasid,
            .domain = DTE_DOMAIN(w->dte->q[1]),
        };
        Translation *cached = g_hash_table_lookup(m->tlb, &tag);

        if (cached && (write ? cached->write : exec ? cached->exec : cached->read)) {
            COUNT(w->s, TLB_HITS);
            m->counter[AMDM_FOREIGN_HITS] += cached->host != host_table(w->dte);
            return cached;
        }
    }
    COUNT(w->s, TLB_MISSES);
    return NULL;
}

static void tlb_insert(Walk *w, uint32_t pasid, hwaddr addr, const Translation *t)
{
    AMDModel *m = w->s->model;
    Tag tag = { .pasid = pasid, .domain = DTE_DOMAIN(w->dte->q[1]) };
    Translation *cached = g_memdup2(t, sizeof(*t));

    for (int i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= t->mask; i++) {
        tag.mask = sizes[i];
    }
    tag.page = addr & ~tag.mask;
    cached->addr &= ~tag.mask;
    if (g_hash_table_size(m->tlb) >= m->tlb_size) {
        COUNT(w->s, TLB_OVERFLOWS);
        g_hash_table_remove_all(m->tlb);
    }
    g_hash_table_replace(m->tlb, g_memdup2(&tag, sizeof(tag)), cached);
}

/* What a cached entry says of @addr. It is in a slot that may be smaller than its page. */
static void from_cached(const Translation *cached, hwaddr addr, Translation *to)
{
    hwaddr slot = sizes[0];

    for (int i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= cached->mask; i++) {
        slot = sizes[i];
    }
    *to = *cached;
    to->addr |= addr & slot;
}

/* @gpa through the host table or what the TLB has of it */
static bool host(Walk *w, hwaddr gpa, bool write, Translation *to)
{
    Translation *cached = NULL, now;

    if (w->update) {
        cached = tlb_lookup(w, PCI_NO_PASID, gpa, write, false);
    }
    if (cached) {
        Walk look = *w;

        from_cached(cached, gpa, to);
        look.update = false;
        w->s->model->counter[AMDM_TLB_STALE] +=
            !walk_host(&look, gpa, write, &now) || now.addr != to->addr;
        return true;
    }
    if (!walk_host(w, gpa, write, to)) {
        return false;
    }
    if (w->update) {
        tlb_insert(w, PCI_NO_PASID, gpa, to);
    }
    return true;
}

static void add_step(Path *path, hwaddr gpa, hwaddr mask)
{
    assert(path->n < ARRAY_SIZE(path->step));
    path->step[path->n].gpa = gpa & ~mask;
    path->step[path->n++].mask = mask;
}

/* Where an entry of the first stage is in memory, and with @write may be written */
static bool table_at(Walk *w, bool nested, hwaddr addr, bool write, Table *table)
{
    Translation to;

    table->at = addr;
    if (!nested) {
        return true;
    }
    if (!host(w, addr, write, &to)) {
        return false;
    }
    table->at = to.addr;
    if (!write) {
        add_step(&table->path, addr, PAGE_MASK_4K);
    }
    return true;
}

static hwaddr gcr3_root(const Dte *dte)
{
    return extract64(dte->q[0], 58, 3) << 12 | extract64(dte->q[1], 16, 16) << 15 |
           extract64(dte->q[1], 43, 21) << 31;
}

/* Where the first stage of the walk's PASID starts */
static bool walk_gcr3(Walk *w, Table *table)
{
    bool nested = DTE_MODE(w->dte->q[0]) && (reg(w->s, AMDVI_MMIO_CONTROL) & CONTROL_GCR3TRP);
    unsigned int level = DTE_GLX(w->dte->q[0]) + 1;
    uint64_t entry;

    if (w->pasid >> (9 * level)) {
        return fail(w, EVENT_PAGE_FAULT, 0, false, 0);
    }
    *table = (Table) { .table = gcr3_root(w->dte), .rights = G_RW | G_US };
    for (; level; level--) {
        if (!table_at(w, nested, table->table + extract32(w->pasid, 9 * (level - 1), 9) * 8, false,
                      table)) {
            return false;
        }
        if (!read_quads(table->at, &entry, 1)) {
            return fail(w, EVENT_TABLE_HARDWARE, 0, true, table->at);
        }
        if (!(entry & G_P)) {
            return fail(w, EVENT_PAGE_FAULT, 0, false, 0);
        }
        if (entry & ~(ADDRESS | G_P)) {
            return fail(w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_RZ, false, 0);
        }
        table->table = entry & ADDRESS;
    }
    table->entry = entry;
    cache_table(w, w->pasid, 0, CR3_LEVEL, table);
    return true;
}

/* @addr through the guest table itself, and what it says through the host table */
static bool walk_guest(Walk *w, hwaddr addr, Translation *to)
{
    AMDVIState *s = w->s;
    unsigned int top = DTE_GUEST_MODE(w->dte->q[2]) + 4, level;
    bool nested = DTE_MODE(w->dte->q[0]), leaf;
    uint64_t entry, bits;
    Translation second;
    Table table;

    if (sextract64(addr, 0, 12 + 9 * top) != (int64_t)addr) {
        return fail(w, EVENT_PAGE_FAULT, 0, false, addr);
    }
again:
    level = cached_table(w, w->pasid, addr, 1, top - 1, &table);
    if (!level) {
        level = top;
        if (!cached_table(w, w->pasid, addr, CR3_LEVEL, CR3_LEVEL, &table) && !walk_gcr3(w, &table)) {
            if (!w->fault.gpa) {
                w->fault.addr = addr;
            }
            return false;
        }
    }
    for (;;) {
        hwaddr entry_at = table.table + level_index(addr, level) * 8;

        if (!table_at(w, nested, entry_at, false, &table)) {
            return false;
        }
        if (!read_quads(table.at, &entry, 1)) {
            return fail(w, EVENT_TABLE_HARDWARE, 0, true, table.at);
        }
        if (!(entry & G_P)) {
            return fail(w, EVENT_PAGE_FAULT, 0, false, addr);
        }
        leaf = level == 1 || (entry & G_LARGE);
        /* PAT is bit 12 of a large page */
        if (leaf && (level > 3 || (level > 1 && (entry & ADDRESS & level_mask(level - 1) & ~BIT_ULL(12))))) {
            return fail(w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_RZ, false, addr);
        }
        table.rights &= entry;
        if (leaf && ((w->user && !(table.rights & G_US)) || (w->write && !(table.rights & G_RW)))) {
            return fail(w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_PE, false, addr);
        }
        bits = G_A | (leaf && w->write ? G_D : 0);
        if (w->update && (bits & ~entry)) {
            if (!table_at(w, nested, entry_at, true, &table)) {
                return false;
            }
            switch (set_bits(table.at, entry, bits)) {
            case CHANGED:
                goto again;
            case NO_MEMORY:
                return fail(w, EVENT_TABLE_HARDWARE, 0, true, table.at);
            case SET:
                COUNT(s, GUEST_AD);
                entry |= bits;
            }
        }
        if (leaf) {
            break;
        }
        table.entry = entry;
        table.table = entry & ADDRESS;
        level--;
        cache_table(w, w->pasid, addr, level, &table);
    }
    *to = (Translation) {
        .mask = level_mask(level - 1),
        .addr = (entry & ADDRESS & ~level_mask(level - 1)) | (addr & level_mask(level - 1)),
        .read = true,
        .write = (table.rights & G_RW) && (entry & G_D),
        .exec = true,
        .global = entry & BIT_ULL(8),
        .host = host_table(w->dte),
        .path = table.path,
    };
    if (nested) {
        if (!host(w, to->addr, w->write, &second)) {
            return false;
        }
        add_step(&to->path, to->addr, MIN(to->mask, second.mask));
        to->addr = second.addr;
        to->mask = MIN(to->mask, second.mask);
        to->read &= second.read;
        to->write &= second.write;
        to->exec &= second.exec;
    }
    return true;
}

/* @addr by what the DTE says for the walk's PASID */
static bool translate(Walk *w, hwaddr addr, Translation *to)
{
    Translation *cached = NULL, now;

    if (w->pasid == PCI_NO_PASID) {
        return host(w, addr, w->write, to);
    }
    if (w->update) {
        cached = tlb_lookup(w, w->pasid, addr, w->write, w->exec);
    }
    if (cached) {
        Walk look = *w;

        from_cached(cached, addr, to);
        look.update = false;
        w->s->model->counter[AMDM_TLB_STALE] += !walk_guest(&look, addr, &now) || now.addr != to->addr;
        return true;
    }
    if (!walk_guest(w, addr, to)) {
        return false;
    }
    if (w->update) {
        tlb_insert(w, w->pasid, addr, to);
    }
    return true;
}

void amd_model_log_event(AMDVIState *s, const uint64_t *evt)
{
    AMDModel *m = s->model;
    uint64_t size = (uint64_t)s->evtlog_len * AMDVI_EVENT_LEN;
    uint64_t le[2] = { cpu_to_le64(evt[0]), cpu_to_le64(evt[1]) };
    uint32_t next;

    m->event[0] = evt[0];
    m->event[1] = evt[1];
    if (!s->evtlog_enabled || !size || !(reg(s, AMDVI_MMIO_STATUS) & STATUS_EVENT_RUN)) {
        COUNT(s, EVENTS_LOST);
        return;
    }
    next = (s->evtlog_tail + AMDVI_EVENT_LEN) % size;
    if (next == s->evtlog_head) {
        COUNT(s, EVENTS_LOST);
        set_status(s, STATUS_EVENT_RUN, STATUS_OVERFLOW);
    } else {
        COUNT(s, EVENTS);
        address_space_write(&address_space_memory, s->evtlog + s->evtlog_tail, MEMTXATTRS_UNSPECIFIED,
                            le, sizeof(le));
        s->evtlog_tail = next;
        stq_le_p(&s->mmior[AMDVI_MMIO_EVENT_TAIL], next);
        set_status(s, 0, STATUS_EVENT);
    }
    if (s->evtlog_intr) {
        amdvi_generate_msi_interrupt(s);
    }
}

static void log_event(AMDVIState *s, unsigned int event, unsigned int flags, uint16_t devid,
                      uint32_t id, hwaddr addr)
{
    uint64_t evt[2] = {
        devid | (uint64_t)extract32(id, 16, 4) << 16 | (uint64_t)extract32(id, 0, 16) << 32 |
        (uint64_t)flags << 48 | (uint64_t)event << 60,
        addr,
    };

    amd_model_log_event(s, evt);
}

/* Whether the IOMMU can do what a DTE says */
static bool legal_dte(AMDVIState *s, const uint64_t *q)
{
    uint64_t efr = amd_model_features(s);
    uint64_t reserved = MAKE_64BIT_MASK(2, 5) | BIT_ULL(63);
    bool guest = (reg(s, AMDVI_MMIO_CONTROL) & CONTROL_GT) && s->gt;

    reserved |= s->hd ? 0 : DTE_HAD;
    reserved |= s->ppr ? 0 : DTE_PPR | DTE_GPRP;
    reserved |= s->gio ? 0 : DTE_GIOV;
    reserved |= guest ? 0 : DTE_GV | DTE_GIOV | MAKE_64BIT_MASK(56, 5);
    if ((q[0] & reserved) || (q[2] & MAKE_64BIT_MASK(52, 2)) || (q[3] & ~MAKE_64BIT_MASK(54, 10))) {
        return false;
    }
    if (!(q[0] & DTE_TV)) {
        return true;
    }
    if (DTE_MODE(q[0]) > extract64(efr, 10, 2) + 4) {
        return false;
    }
    return !(q[0] & DTE_GV) ||
           (DTE_GLX(q[0]) <= s->glx && DTE_GUEST_MODE(q[2]) <= s->gats);
}

static bool read_dte(AMDVIState *s, uint16_t devid, Dte *dte, Fault *fault)
{
    hwaddr at = s->devtab + devid * AMDVI_DEVTAB_ENTRY_SIZE;
    uint64_t again[4];

    *dte = (Dte) { };
    /* As hardware, which reads 256 bits at once: not while a CPU writes them */
    do {
        if (devid >= s->devtab_len || !read_quads(at, dte->q, 4) || !read_quads(at, again, 4)) {
            *fault = (Fault) { EVENT_DTE_HARDWARE, 0, true, at };
            return false;
        }
    } while (memcmp(dte->q, again, sizeof(again)));
    if ((dte->q[0] & DTE_V) && !legal_dte(s, dte->q)) {
        *fault = (Fault) { EVENT_ILLEGAL_DTE, FLAG_RZ, true, at };
        return false;
    }
    return true;
}

static Dte *get_dte(AMDVIState *s, uint16_t devid, Dte *now, Fault *fault)
{
    AMDModel *m = s->model;
    Dte *cached = g_hash_table_lookup(m->dtes, GSIZE_TO_POINTER(devid));
    bool ok = read_dte(s, devid, now, fault);

    if (cached && !(m->knobs & AMDM_KNOB_NO_DTE_CACHE)) {
        COUNT(s, DTE_HITS);
        m->counter[AMDM_DTE_STALE] += !ok || memcmp(now->q, cached->q, sizeof(now->q));
        return cached;
    }
    COUNT(s, DTE_MISSES);
    m->dte_id = devid;
    memcpy(m->dte, now->q, sizeof(m->dte));
    if (!ok) {
        return NULL;
    }
    /* As long as the IOMMU is off, nothing is cached */
    if (!s->enabled) {
        return now;
    }
    cached = g_memdup2(now, sizeof(*now));
    g_hash_table_replace(m->dtes, GSIZE_TO_POINTER(devid), cached);
    return cached;
}

bool amd_model_get_dte(AMDVIState *s, uint16_t devid, uint64_t *dte)
{
    Fault fault = { };
    Dte now, *found = get_dte(s, devid, &now, &fault);

    if (!found) {
        log_event(s, fault.event, fault.flags, devid, 0, fault.addr);
        return false;
    }
    memcpy(dte, found->q, sizeof(found->q));
    return true;
}

static void report(AMDVIState *s, uint16_t devid, Dte *dte, const PCIRequest *r, const Walk *w)
{
    const Fault *fault = &w->fault;
    unsigned int flags = fault->flags | (r->write ? FLAG_RW : 0) |
                         (r->type == PCI_REQUEST_TRANSLATION ? FLAG_TR : 0);
    uint32_t id = dte ? DTE_DOMAIN(dte->q[1]) : 0;

    if (dte && fault->event == EVENT_PAGE_FAULT) {
        if ((dte->q[1] & DTE_SA) || ((dte->q[1] & DTE_SE) && dte->faulted)) {
            COUNT(s, EVENTS_SUPPRESSED);
            return;
        }
        dte->faulted = true;
    }
    if (!fault->gpa && w->pasid != PCI_NO_PASID &&
        (r->pasid != PCI_NO_PASID || !(s->model->knobs & AMDM_KNOB_EVENT_DOMAIN))) {
        flags |= FLAG_GN;
        id = w->pasid;
    }
    log_event(s, fault->event, flags, devid, id, fault->addr);
}

static PCIAnswer pass(hwaddr addr, bool read, bool write)
{
    return (PCIAnswer) { .ok = true, .addr = addr, .mask = PAGE_MASK_4K, .read = read, .write = write };
}

static PCIAnswer answer_request(AMDVIState *s, uint16_t devid, const PCIRequest *r)
{
    AMDModel *m = s->model;
    Walk w = {
        .s = s, .pasid = PCI_NO_PASID, .write = r->write, .exec = r->exec, .user = !r->priv, .update = true,
    };
    Dte now, *dte = get_dte(s, devid, &now, &w.fault);
    Translation to = { };
    bool mode, ok = false;

    switch (r->type) {
    case PCI_REQUEST_UNTRANSLATED:
        m->counter[r->pasid == PCI_NO_PASID ? AMDM_UNTRANSLATED : AMDM_UNTRANSLATED_PASID]++;
        break;
    case PCI_REQUEST_TRANSLATION:
        COUNT(s, TRANSLATION);
        break;
    case PCI_REQUEST_TRANSLATED:
        COUNT(s, TRANSLATED);
        break;
    }
    if (!dte) {
        w.fault.addr = r->addr;
        goto out;
    }
    w.dte = dte;
    if (r->type != PCI_REQUEST_UNTRANSLATED && !((dte->q[0] & DTE_V) && (dte->q[1] & DTE_I))) {
        w.pasid = r->pasid;
        fail(&w, EVENT_DEVICE_REQUEST, FLAG_PRETRANSLATED, false, r->addr);
        goto out;
    }
    if (!(dte->q[0] & DTE_V)) {
        COUNT(s, PASS_THROUGH);
        return pass(r->addr, true, true);
    }
    if (!(dte->q[0] & DTE_TV)) {
        fail(&w, EVENT_PAGE_FAULT, 0, false, r->addr);
        goto out;
    }
    if (r->type == PCI_REQUEST_TRANSLATED) {
        return pass(r->addr, true, true);
    }
    mode = DTE_MODE(dte->q[0]);
    if (r->pasid != PCI_NO_PASID || ((dte->q[0] & DTE_GV) && (dte->q[0] & DTE_GIOV))) {
        w.pasid = r->pasid == PCI_NO_PASID ? 0 : r->pasid;
        if (!(dte->q[0] & DTE_GV) || w.pasid >> s->pasid_bits) {
            fail(&w, EVENT_PAGE_FAULT, 0, false, r->addr);
            goto out;
        }
    } else if (!mode) {
        if (!(dte->q[0] & (r->write ? DTE_IW : DTE_IR))) {
            fail(&w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_PE, false, r->addr);
            goto out;
        }
        COUNT(s, PASS_THROUGH);
        return pass(r->addr, dte->q[0] & DTE_IR, dte->q[0] & DTE_IW);
    }
    if (!(dte->q[0] & (r->write ? DTE_IW : DTE_IR))) {
        fail(&w, EVENT_PAGE_FAULT, FLAG_PR | FLAG_PE, false, r->addr);
        goto out;
    }
    ok = translate(&w, r->addr, &to);
    /* A translation request asks for rights, and gets those that there are */
    if (!ok && r->type == PCI_REQUEST_TRANSLATION && r->write && w.fault.event == EVENT_PAGE_FAULT &&
        !(w.fault.flags & FLAG_RZ)) {
        w.write = false;
        ok = translate(&w, r->addr, &to);
        to.write = false;
    }
out:
    if (ok) {
        m->counter[w.pasid == PCI_NO_PASID ? AMDM_HOST : mode ? AMDM_NESTED : AMDM_GUEST]++;
        return (PCIAnswer) {
            .ok = true, .addr = to.addr, .mask = to.mask,
            .read = to.read && (dte->q[0] & DTE_IR), .write = to.write && (dte->q[0] & DTE_IW),
            .exec = to.exec && r->exec, .priv = r->priv, .global = to.global,
        };
    }
    if (r->type == PCI_REQUEST_TRANSLATION && w.fault.event == EVENT_PAGE_FAULT && !(w.fault.flags & FLAG_RZ)) {
        COUNT(s, FAULTS_ATS);
        return (PCIAnswer) { .ok = true, .mask = PAGE_MASK_4K };
    }
    report(s, devid, dte, r, &w);
    return (PCIAnswer) { };
}

PCIAnswer amd_model_request(PCIBus *bus, void *opaque, int devfn, const PCIRequest *request)
{
    AMDVIState *s = opaque;

    if (!s->nesting) {
        return (PCIAnswer) { };
    }
    if (!s->enabled) {
        return request->pasid == PCI_NO_PASID && request->type != PCI_REQUEST_TRANSLATION ?
               pass(request->addr, true, true) : (PCIAnswer) { };
    }
    return answer_request(s, PCI_BUILD_BDF(pci_bus_num(bus), devfn), request);
}

void amd_model_set_device_tlb(PCIBus *bus, void *opaque, int devfn, PCIDeviceTLB *tlb)
{
    AMDVIState *s = opaque;
    DeviceKey key = { bus, devfn };

    if (tlb) {
        g_hash_table_insert(s->model->device_tlbs, g_memdup2(&key, sizeof(key)), tlb);
    } else {
        g_hash_table_remove(s->model->device_tlbs, &key);
    }
}

/* What op 3 is for */
typedef struct Scope {
    AMDVIState *s;
    uint16_t domain;
    uint32_t pasid;             /* PCI_NO_PASID: GN is 0 */
    hwaddr addr;
    hwaddr mask;
} Scope;

static bool overlap(hwaddr a, hwaddr a_mask, hwaddr b, hwaddr b_mask)
{
    return !((a ^ b) & ~(a_mask | b_mask));
}

static bool path_in_scope(const Path *path, const Scope *scope)
{
    for (unsigned int i = 0; i < path->n; i++) {
        if (overlap(path->step[i].gpa, path->step[i].mask, scope->addr, scope->mask)) {
            return true;
        }
    }
    return false;
}

static gboolean translation_in_scope(gpointer key, gpointer value, gpointer opaque)
{
    const Scope *scope = opaque;
    const Tag *tag = key;
    const Translation *t = value;

    if (tag->domain != scope->domain) {
        return false;
    }
    if (tag->pasid == scope->pasid) {
        return overlap(tag->page, tag->mask | t->mask, scope->addr, scope->mask);
    }
    if (scope->pasid != PCI_NO_PASID || (scope->s->model->knobs & AMDM_KNOB_GN0_KEEPS)) {
        return false;
    }
    return scope->mask == UINT64_MAX || path_in_scope(&t->path, scope);
}

static gboolean table_in_scope(gpointer key, gpointer value, gpointer opaque)
{
    const Scope *scope = opaque;
    const Tag *tag = key;

    if (tag->domain != scope->domain) {
        return false;
    }
    if (tag->pasid == scope->pasid) {
        return overlap(tag->page, tag->mask, scope->addr, scope->mask);
    }
    if (scope->pasid != PCI_NO_PASID || (scope->s->model->knobs & AMDM_KNOB_GN0_KEEPS)) {
        return false;
    }
    return scope->mask == UINT64_MAX || path_in_scope(&((Table *)value)->path, scope);
}

/* Whether any entry in a cache has this DomainID */
static bool known_domain(AMDModel *m, uint16_t domain)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, m->dtes);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (DTE_DOMAIN(((Dte *)value)->q[1]) == domain) {
            return true;
        }
    }
    g_hash_table_iter_init(&iter, m->tlb);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (((Tag *)key)->domain == domain) {
            return true;
        }
    }
    return false;
}

/* Whether the TLB would refill a device TLB with what is stale */
static bool refills_stale(AMDVIState *s, const Dte *dte, uint32_t pasid, hwaddr addr, hwaddr mask)
{
    GHashTableIter iter;
    gpointer key, value;

    if (pasid == PCI_NO_PASID && (dte->q[0] & DTE_GV) && (dte->q[0] & DTE_GIOV)) {
        pasid = 0;
    }
    g_hash_table_iter_init(&iter, s->model->tlb);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const Tag *tag = key;
        const Translation *t = value;
        Walk look = { .s = s, .dte = dte, .pasid = pasid };
        Translation now;

        if (tag->domain == DTE_DOMAIN(dte->q[1]) && tag->pasid == pasid &&
            overlap(tag->page, tag->mask, addr, mask) &&
            (!translate(&look, tag->page, &now) || now.addr != t->addr)) {
            return true;
        }
    }
    return false;
}

/* False: the device does not answer */
static bool invalidate_device(AMDVIState *s, uint64_t lo, uint32_t pasid, hwaddr addr, hwaddr mask)
{
    AMDModel *m = s->model;
    uint16_t devid = extract64(lo, 0, 16);
    const Dte *dte = g_hash_table_lookup(m->dtes, GSIZE_TO_POINTER(devid));
    bool answered = true, found = false;
    GHashTableIter iter;
    gpointer key, value;
    Fault fault;
    Dte now;

    m->counter[AMDM_QUEUE_ID] += extract64(lo, 32, 16) != devid || !extract64(lo, 24, 8);
    if (!dte) {
        dte = read_dte(s, devid, &now, &fault) ? &now : NULL;
    }
    if (dte) {
        m->counter[AMDM_DEVICE_TLB_EARLY] += refills_stale(s, dte, pasid, addr, mask);
    }
    g_hash_table_iter_init(&iter, m->device_tlbs);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const DeviceKey *device = key;
        PCIDeviceTLB *tlb = value;

        if (PCI_BUILD_BDF(pci_bus_num(device->bus), device->devfn) == devid) {
            found = true;
            answered = tlb->invalidate(tlb, pasid, false, addr, mask);
            if (pasid == PCI_NO_PASID && (m->knobs & AMDM_KNOB_IOTLB_PASIDS)) {
                answered &= tlb->invalidate(tlb, pasid, true, addr, mask);
            }
        }
    }
    m->counter[AMDM_DEVICE_TLB_NONE] += !found || !dte || !(dte->q[1] & DTE_I);
    return answered;
}

/* A range whose size is where the address has its lowest zero, from bit 12 on */
static hwaddr range_mask(hwaddr addr)
{
    unsigned int ones = cto64(addr >> 12);

    return ones >= 51 ? UINT64_MAX : (0x2000ULL << ones) - 1;
}

static void drop(AMDVIState *s, GHashTable *table, GHRFunc in_scope, Scope *scope,
                 enum amd_model_counter counter)
{
    s->model->counter[counter] += g_hash_table_foreach_remove(table, in_scope, scope);
}

static void drop_all(AMDVIState *s, GHashTable *table, enum amd_model_counter counter)
{
    s->model->counter[counter] += g_hash_table_size(table);
    g_hash_table_remove_all(table);
}

static bool legal_command(AMDVIState *s, uint64_t lo, uint64_t hi)
{
    static const uint64_t reserved[][2] = {
        [OP_WAIT] = { MAKE_64BIT_MASK(52, 8), 0 },
        [OP_DTE] = { MAKE_64BIT_MASK(16, 44), UINT64_MAX },
        [OP_PAGES] = { MAKE_64BIT_MASK(20, 12) | MAKE_64BIT_MASK(48, 12), MAKE_64BIT_MASK(3, 9) },
        [OP_IOTLB] = { 0, MAKE_64BIT_MASK(6, 6) | BIT_ULL(3) | BIT_ULL(1) },
        [OP_IRT] = { MAKE_64BIT_MASK(16, 44), UINT64_MAX },
        [OP_PREFETCH] = { MAKE_64BIT_MASK(52, 8), BIT_ULL(1) | BIT_ULL(3) | MAKE_64BIT_MASK(5, 7) },
        [OP_PPR] = { MAKE_64BIT_MASK(16, 16) | MAKE_64BIT_MASK(52, 8),
                     MAKE_64BIT_MASK(0, 2) | MAKE_64BIT_MASK(3, 29) | MAKE_64BIT_MASK(42, 2) |
                     MAKE_64BIT_MASK(48, 16) },
        [OP_ALL] = { MAKE_64BIT_MASK(0, 60), UINT64_MAX },
    };
    unsigned int op = extract64(lo, 60, 4);

    return op && op < ARRAY_SIZE(reserved) && !(lo & reserved[op][0]) && !(hi & reserved[op][1]) &&
           (op != OP_ALL || s->ia) && (op != OP_PPR || s->ppr);
}

/* Nobody answers an op 4 */
static void hold_up(AMDVIState *s, uint16_t devid, hwaddr at)
{
    static const uint32_t ms[] = { 0, 1, 10, 100, 1000, 10000, 100000, 0 };
    AMDModel *m = s->model;
    Unanswered u = { devid, at };
    uint32_t timeout = ms[CONTROL_INV_TIMEOUT(reg(s, AMDVI_MMIO_CONTROL))];

    g_array_append_val(m->unanswered, u);
    if (timeout && !(m->knobs & AMDM_KNOB_HOLD)) {
        timer_mod(m->timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + timeout);
    }
}

static void time_out(void *opaque)
{
    AMDVIState *s = opaque;
    AMDModel *m = s->model;

    for (guint i = 0; i < m->unanswered->len; i++) {
        const Unanswered *u = &g_array_index(m->unanswered, Unanswered, i);

        COUNT(s, TIMEOUTS);
        log_event(s, EVENT_IOTLB_TIMEOUT, 0, u->devid, 0, u->at);
    }
    g_array_set_size(m->unanswered, 0);
    amd_model_run(s);
}

static void forget_unanswered(AMDModel *m)
{
    timer_del(m->timer);
    g_array_set_size(m->unanswered, 0);
}

/* By what op 7 names a page request */
static uint32_t request_id(uint16_t devid, unsigned int tag)
{
    return devid << 9 | (tag & 0x1ff);
}

static void page_request(AMDVIState *s, uint64_t request, hwaddr addr)
{
    AMDModel *m = s->model;
    uint64_t control = reg(s, AMDVI_MMIO_CONTROL), size = (uint64_t)s->pprlog_len * PPR_LEN;
    uint64_t entry[2] = { request, addr };
    uint16_t devid = extract64(request, 0, 16);
    uint32_t id = request_id(devid, extract64(request, 32, 9)), next;
    Fault fault;
    Dte now, *dte = s->enabled ? get_dte(s, devid, &now, &fault) : NULL;

    if (request & AMDM_PPR_LAST) {
        g_array_append_val(m->requests, id);
    }
    if (!(control & CONTROL_PPR) || !dte || !(dte->q[0] & DTE_V) || !(dte->q[0] & DTE_PPR)) {
        COUNT(s, PPRS_INVALID);
        entry[0] = deposit64(request, 48, 16, EVENT_PPR << 12);
        amd_model_log_event(s, entry);
        return;
    }
    if (!(control & CONTROL_PPR_LOG) || !size || !(reg(s, AMDVI_MMIO_STATUS) & STATUS_PPR_RUN)) {
        COUNT(s, PPRS_LOST);
        return;
    }
    next = (s->pprlog_tail + PPR_LEN) % size;
    if (next == s->pprlog_head) {
        COUNT(s, PPRS_LOST);
        set_status(s, STATUS_PPR_RUN, STATUS_PPR_OVERFLOW);
    } else {
        COUNT(s, PPRS);
        entry[0] = cpu_to_le64(deposit64(request, 60, 4, PPR_REQUEST));
        entry[1] = cpu_to_le64(addr);
        address_space_write(&address_space_memory, s->ppr_log + s->pprlog_tail, MEMTXATTRS_UNSPECIFIED,
                            entry, sizeof(entry));
        s->pprlog_tail = next;
        stq_le_p(&s->mmior[AMDVI_MMIO_PPR_TAIL], next);
        set_status(s, 0, STATUS_PPR);
    }
    if (control & CONTROL_PPR_INT) {
        amdvi_generate_msi_interrupt(s);
    }
}

static void answer_page_request(AMDVIState *s, uint32_t id)
{
    GArray *requests = s->model->requests;

    for (guint i = 0; i < requests->len; i++) {
        if (g_array_index(requests, uint32_t, i) == id) {
            g_array_remove_index(requests, i);
            return;
        }
    }
    COUNT(s, PPR_UNKNOWN);
}

static void execute(AMDVIState *s, uint64_t lo, uint64_t hi, hwaddr at, bool timeout)
{
    AMDModel *m = s->model;
    unsigned int op = extract64(lo, 60, 4);
    bool gn = hi & BIT_ULL(2);
    Scope scope = {
        .s = s, .domain = extract64(lo, 32, 16), .addr = hi & ~PAGE_MASK_4K,
        .mask = hi & 1 ? range_mask(hi) : PAGE_MASK_4K,
    };
    uint64_t data = cpu_to_le64(hi);
    uint32_t pasid;

    m->commands[op]++;
    m->log[m->log_count % AMDM_LOG_ENTRIES][0] = lo;
    m->log[m->log_count++ % AMDM_LOG_ENTRIES][1] = hi;

    switch (op) {
    case OP_WAIT:
        if (lo & BIT_ULL(0)) {
            address_space_write(&address_space_memory, lo & MAKE_64BIT_MASK(3, 49), MEMTXATTRS_UNSPECIFIED,
                                &data, sizeof(data));
        }
        if (lo & BIT_ULL(1)) {
            set_status(s, 0, STATUS_COMWAIT);
            if (reg(s, AMDVI_MMIO_CONTROL) & CONTROL_COMWAIT_INT) {
                amdvi_generate_msi_interrupt(s);
            }
        }
        break;
    case OP_DTE:
        if (g_hash_table_remove(m->dtes, GSIZE_TO_POINTER(extract64(lo, 0, 16)))) {
            COUNT(s, DTE_DROPPED);
        } else {
            COUNT(s, UNKNOWN_DEVICE);
        }
        break;
    case OP_PAGES:
        m->counter[AMDM_UNKNOWN_DOMAIN] += !known_domain(m, scope.domain);
        scope.pasid = gn ? extract64(lo, 0, 20) : PCI_NO_PASID;
        drop(s, m->tlb, translation_in_scope, &scope, AMDM_TLB_DROPPED);
        if (hi & BIT_ULL(1)) {
            drop(s, m->tables, table_in_scope, &scope, AMDM_TABLE_DROPPED);
        }
        break;
    case OP_IOTLB:
        pasid = extract64(lo, 48, 8) | extract64(lo, 16, 8) << 8 | extract64(lo, 56, 4) << 16;
        if (timeout || !invalidate_device(s, lo, gn ? pasid : PCI_NO_PASID, scope.addr, scope.mask)) {
            hold_up(s, extract64(lo, 0, 16), at);
        }
        break;
    case OP_IRT:
        x86_iommu_iec_notify_all(X86_IOMMU_DEVICE(s), true, 0, 0);
        break;
    case OP_PPR:
        answer_page_request(s, request_id(extract64(lo, 0, 16), extract64(hi, 32, 9)));
        break;
    case OP_ALL:
        drop_all(s, m->dtes, AMDM_DTE_DROPPED);
        drop_all(s, m->tlb, AMDM_TLB_DROPPED);
        drop_all(s, m->tables, AMDM_TABLE_DROPPED);
        x86_iommu_iec_notify_all(X86_IOMMU_DEVICE(s), true, 0, 0);
        break;
    }
}

/* The error to raise at a command */
static unsigned int injected(AMDModel *m, unsigned int op)
{
    unsigned int error = extract32(m->inject, 0, 8), wanted = extract32(m->inject, 8, 8);

    if (!error || (wanted && wanted != op)) {
        return AMDM_INJECT_NONE;
    }
    if (extract32(m->inject, 16, 16)) {
        m->inject -= 1 << 16;
        return AMDM_INJECT_NONE;
    }
    m->inject = 0;
    return error;
}

static void stop(AMDVIState *s, unsigned int event, hwaddr at)
{
    s->model->stopped = true;
    set_status(s, STATUS_RING_RUN, 0);
    log_event(s, event, 0, 0, 0, at);
}

void amd_model_run(AMDVIState *s)
{
    AMDModel *m = s->model;
    uint64_t size = s->cmdbuf_len * AMDVI_COMMAND_SIZE, cmd[2];
    unsigned int error;
    hwaddr at;

    /* A store of COMPLETION_WAIT may hit a register of this IOMMU */
    if (m->running) {
        return;
    }
    m->running = true;
    while (s->cmdbuf_enabled && !m->stopped && !m->stalled && size && s->cmdbuf_head != s->cmdbuf_tail) {
        at = s->cmdbuf + s->cmdbuf_head;
        if (!read_quads(at, cmd, 2)) {
            stop(s, EVENT_COMMAND_HARDWARE, at);
            break;
        }
        if (extract64(cmd[0], 60, 4) == OP_WAIT && m->unanswered->len) {
            break;
        }
        error = injected(m, extract64(cmd[0], 60, 4));
        if (error == AMDM_INJECT_STALL) {
            COUNT(s, STALLS);
            m->stalled = true;
            break;
        }
        if (error == AMDM_INJECT_ILLEGAL || !legal_command(s, cmd[0], cmd[1])) {
            COUNT(s, ILLEGAL);
            stop(s, EVENT_ILLEGAL_COMMAND, at);
            break;
        }
        execute(s, cmd[0], cmd[1], at, error == AMDM_INJECT_TIMEOUT);
        s->cmdbuf_head = (s->cmdbuf_head + AMDVI_COMMAND_SIZE) % size;
        stq_le_p(&s->mmior[AMDVI_MMIO_COMMAND_HEAD], s->cmdbuf_head);
    }
    m->running = false;
}

void amd_model_control(AMDVIState *s)
{
    AMDModel *m = s->model;

    if (!s->cmdbuf_enabled) {
        m->stopped = false;
        forget_unanswered(m);
    } else if (m->stopped) {
        set_status(s, STATUS_RING_RUN, 0);
    }
    /* An overflow that software has not cleared keeps the log off */
    if (reg(s, AMDVI_MMIO_STATUS) & STATUS_OVERFLOW) {
        set_status(s, STATUS_EVENT_RUN, 0);
    }
    if ((reg(s, AMDVI_MMIO_CONTROL) & CONTROL_PPR_LOG) &&
        !(reg(s, AMDVI_MMIO_STATUS) & STATUS_PPR_OVERFLOW)) {
        set_status(s, 0, STATUS_PPR_RUN);
    } else {
        set_status(s, STATUS_PPR_RUN, 0);
    }
}

/* Write 1 to clear, but for what only tells whether something runs */
void amd_model_write_status(AMDVIState *s, hwaddr addr, uint64_t value)
{
    set_status(s, (value << (8 * (addr & 7))) & ~(STATUS_EVENT_RUN | STATUS_RING_RUN | STATUS_PPR_RUN), 0);
}

static uint64_t part(uint64_t value, hwaddr offset, unsigned int size)
{
    return size == 4 ? extract64(value, offset & 4 ? 32 : 0, 32) : value;
}

static uint64_t model_read(void *opaque, hwaddr offset, unsigned int size)
{
    AMDVIState *s = opaque;
    AMDModel *m = s->model;

    if (offset >= AMDM_LOG(0) && offset < AMDM_LOG(AMDM_LOG_ENTRIES)) {
        return part(m->log[(offset - AMDM_LOG(0)) / 16][(offset >> 3) & 1], offset, size);
    }
    if (offset >= AMDM_COUNTER(0) && offset < AMDM_COUNTER(AMDM_COUNTERS)) {
        switch ((offset - AMDM_COUNTER(0)) / 4) {
        case AMDM_DTE_ENTRIES:
            return g_hash_table_size(m->dtes);
        case AMDM_TLB_ENTRIES:
            return g_hash_table_size(m->tlb);
        case AMDM_TABLE_ENTRIES:
            return g_hash_table_size(m->tables);
        case AMDM_PPRS_PENDING:
            return m->requests->len;
        }
        return m->counter[(offset - AMDM_COUNTER(0)) / 4];
    }
    if (offset >= AMDM_COMMANDS(0) && offset < AMDM_COMMANDS(16)) {
        return m->commands[(offset - AMDM_COMMANDS(0)) / 4];
    }
    if (offset >= AMDM_DTE(0) && offset < AMDM_DTE(4)) {
        return part(m->dte[(offset - AMDM_DTE(0)) / 8], offset, size);
    }
    if (offset >= AMDM_EVENT(0) && offset < AMDM_EVENT(2)) {
        return part(m->event[(offset - AMDM_EVENT(0)) / 8], offset, size);
    }
    switch (offset) {
    case AMDM_ID:
        return AMDM_ID_VALUE;
    case AMDM_INJECT:
        return m->inject;
    case AMDM_TLB_SIZE:
        return m->tlb_size;
    case AMDM_KNOBS:
        return m->knobs;
    case AMDM_DTE_ID:
        return m->dte_id;
    case AMDM_LOG_COUNT:
        return m->log_count;
    }
    return 0;
}

static void set_inject(AMDVIState *s, uint32_t value)
{
    AMDModel *m = s->model;

    m->inject = value;
    if (!value && m->stalled) {
        m->stalled = false;
        amd_model_run(s);
    }
}

static void model_write(void *opaque, hwaddr offset, uint64_t value, unsigned int size)
{
    AMDVIState *s = opaque;
    AMDModel *m = s->model;
    bool held;

    switch (offset) {
    case AMDM_RESET:
        memset(m->counter, 0, sizeof(m->counter));
        memset(m->commands, 0, sizeof(m->commands));
        m->log_count = 0;
        set_inject(s, AMDM_INJECT_NONE);
        break;
    case AMDM_INJECT:
        set_inject(s, value);
        break;
    case AMDM_TLB_SIZE:
        m->tlb_size = MAX(value, 1);
        break;
    case AMDM_PPR_ADDR:
        m->request_addr = value;
        break;
    case AMDM_PPR:
        page_request(s, value, m->request_addr);
        break;
    case AMDM_KNOBS:
        held = m->knobs & ~value & AMDM_KNOB_HOLD;
        m->knobs = value;
        if (held) {
            time_out(s);
        }
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

void amd_model_realize(AMDVIState *s)
{
    AMDModel *m = s->model = g_new0(AMDModel, 1);

    m->unit = unit_count++;
    units[m->unit] = s;
    m->dtes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    m->tlb = g_hash_table_new_full(tag_hash, tag_equal, g_free, g_free);
    m->tables = g_hash_table_new_full(tag_hash, tag_equal, g_free, g_free);
    m->device_tlbs = g_hash_table_new_full(device_hash, device_equal, g_free, NULL);
    m->unanswered = g_array_new(false, false, sizeof(Unanswered));
    m->requests = g_array_new(false, false, sizeof(uint32_t));
    m->timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, time_out, s);
    if (s->nesting) {
        s->efr2 = s->gcr3trp ? EFR2_GCR3TRP : 0;
        memory_region_init_io(&m->mmio, OBJECT(s), &model_ops, s, "amd-model", AMDM_SIZE);
        memory_region_add_subregion(get_system_memory(), AMDM_BASE + m->unit * AMDM_STRIDE, &m->mmio);
    }
}

hwaddr amd_model_registers(AMDVIState *s)
{
    return AMDVI_BASE_ADDR + s->model->unit * AMDM_STRIDE;
}

/* Of the second unit's function, on the first bus: out of the way of devices */
int amd_model_devfn(AMDVIState *s)
{
    return PCI_DEVFN(0x1f - s->model->unit, 0);
}

bool amd_model_of_other(PCIBus *bus)
{
    return unit_count > 1 && units[1]->primary_bus == bus;
}

AMDVIState *amd_model_next(AMDVIState *s)
{
    unsigned int unit = s ? s->model->unit + 1 : 0;

    return unit < unit_count ? units[unit] : NULL;
}

static void build_entry(GArray *ivhd, unsigned int type, unsigned int devid)
{
    build_append_int_noprefix(ivhd, devid << 8 | type, 4);
}

/* Without nesting=on nothing: then the IVHD names functions that are there */
void amd_model_build_range(AMDVIState *s, GArray *ivhd)
{
    unsigned int second = unit_count > 1 ? PCI_BUILD_BDF(pci_bus_num(units[1]->primary_bus), 0) : 0;

    if (s->nesting && unit_count == 1) {
        build_entry(ivhd, IVHD_ALL, 0);
    } else if (s->nesting) {
        build_entry(ivhd, IVHD_RANGE_START, s->primary_bus ? second : 0);
        build_entry(ivhd, IVHD_RANGE_END, s->primary_bus ? UINT16_MAX : second - 1);
    }
}

void amd_model_reset(AMDVIState *s)
{
    AMDModel *m = s->model;

    g_hash_table_remove_all(m->dtes);
    g_hash_table_remove_all(m->tlb);
    g_hash_table_remove_all(m->tables);
    forget_unanswered(m);
    g_array_set_size(m->requests, 0);
    m->stopped = false;
    m->stalled = false;
    m->tlb_size = 65536;
    m->knobs = 0;
    model_write(s, AMDM_RESET, 1, 4);
}

uint64_t amd_model_features(AMDVIState *s)
{
    uint64_t efr = AMDVI_FEATURE_PREFETCH | AMDVI_FEATURE_GA | AMDVI_FEATURE_HE | (uint64_t)s->hats << 10;

    if (s->gt) {
        efr |= AMDVI_FEATURE_GT | (uint64_t)s->gats << 12 | (uint64_t)s->glx << 14 |
               (uint64_t)(s->pasid_bits - 1) << 32;
    }
    efr |= s->ppr ? AMDVI_FEATURE_PPR | BIT_ULL(50) : 0;
    efr |= s->ia ? AMDVI_FEATURE_IA : 0;
    efr |= s->gio ? BIT_ULL(48) : 0;
    efr |= s->hd ? BIT_ULL(49) | BIT_ULL(52) : 0;
    return efr;
}

bool amd_model_check(AMDVIState *s, Error **errp)
{
    if (s->hats > 2 || s->gats > 1 || s->glx > 2 || !s->pasid_bits || s->pasid_bits > 20) {
        error_setg(errp, "hats and glx are at most 2, gats is at most 1, pasid-bits 1 to 20");
        return false;
    }
    if (unit_count ? !s->primary_bus || !pci_bus_is_root(s->primary_bus) || s->primary_bus->iommu_ops
                   : !!s->primary_bus) {
        error_setg(errp, "a second unit needs primary-bus, a root bus without an IOMMU; the first has none");
        return false;
    }
    if (unit_count == AMDM_UNITS) {
        error_setg(errp, "there are %d units at most", AMDM_UNITS);
        return false;
    }
    if (s->primary_bus && (!s->nesting || !units[0]->nesting)) {
        error_setg(errp, "two units need nesting=on");
        return false;
    }
    if (s->nesting && s->accel) {
        error_setg(errp, "nesting=on and accel=on exclude each other");
        return false;
    }
    return true;
}
