/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of NVIDIA's Tegra241 CMDQ-V next to the emulated SMMUv3, for tests of
 * its drivers:
 *
 *     -M virt,iommu=smmuv3 -device tegra241-cmdqv
 *
 * It is on the platform bus, with the ACPI ID NVDA200C. It executes commands
 * with the SMMUv3's own code, under its lock, so they work as in the command
 * queue. It is based on what drivers and mailing lists say about the hardware:
 * a driver that works with the model need not work with the hardware. Commands
 * execute inside the write that makes a queue run, unless delayed. CONS is
 * never written to memory, and the command filter registers of VINTFs are
 * absent.
 *
 * Properties of size: log2-vcmdqs (3), log2-vintfs (2), log2-sids (4), version
 * (1). Each VINTF gets VCMDQs as CMDQ_ALLOC says.
 *
 * Where the behaviour of the hardware is not known the model is strict. Bits of
 * the property "policy" and of the register POLICY select the other behaviour;
 * each is also a boolean property:
 *
 *   0  vmid-check       a VMID that is not the VINTF's is an error 1; else it
 *                       is replaced. Linux as a guest needs the latter.
 *   1  refuse-access    a command that HYP_OWN=0 forbids, and a reserved bit,
 *                       is an error 4 and not 1
 *   2  allow-s2         HYP_OWN=0 allows S12_VMALL and S2_IPA too
 *   3  sid-illegal      an unknown SID of ATC_INV is an error 1 and not 4
 *   4  allow-signal     a CMD_SYNC may ask for a signal, which does not come;
 *                       else error 1
 *   5  allow-reserved   HYP_OWN=0 ignores reserved bits of commands; else they
 *                       are illegal
 *   6  dead-ones        slots without a queue read as ones, and not as 0
 *   7  reset-disabled   CONFIG.EN going to 0 resets all but CONFIG and the
 *                       counters; else all is kept
 *   8  order-global     the order of allocation is one over all VINTFs, and not
 *                       one in each
 *   9  no-hyp-own       HYP_OWN is wired to 0, as a guest sees it
 *  10  quiet            order violations are counted without a warning, for
 *                       tests of this model
 *  11  take-base        a write to page 1 counts while its queue is enabled; else
 *                       it is lost, if CONFIG or STATUS says so
 *
 * With the property "left-enabled" the machine starts as after a crash of the
 * host's kernel: CMDQV is enabled, and each VINTF except the first is enabled
 * with a StreamID and one enabled queue.
 *
 * Order violations are things that a driver must not do, of the kinds of enum
 * order below. Each prints a warning, "order violation", on standard error and
 * is counted.
 *
 * The model's own registers, for test programs: 32 KiB at 0x8000 of the first
 * page, where the hardware has nothing. A program reaches them by mmap() of
 * /dev/mem; the device is NVDA200C:00 in /proc/iomem. 32 bits each, (w) can be
 * written. A queue number Q is global; 0xffff is the SMMUv3's own.
 *
 *   0x8000  0x51444d43, to recognize the model
 *   0x8004  (w) any value: resets all counters and disarms errors
 *   0x8008  (w) POLICY, bits as above
 *   0x800c  (w) STATUS_DELAY: microseconds from a CONFIG to its STATUS;
 *           0xffffffff is never
 *   0x8010  (w) STATUS_OF, to what STATUS_DELAY applies: 0 CMDQV, 1 VINTFs,
 *           2 queues, 3 when enabled, 4 when disabled; 31:16 the VINTF or
 *           queue, 0xffff is all. At first all. A change of the delay is for
 *           the next write of CONFIG
 *   0x8014  (w) RUN_DELAY: microseconds until a queue starts to execute
 *   0x8018  (w) INJECT: 7:0 error code, 31:16 queue. Code 3 appears at the next
 *           CMD_SYNC of the queue, others at the next command, which is not
 *           executed. 8 deferred: lost if the queue is disabled while the
 *           SMMUv3's own queue does a CMD_SYNC. Code 0 disarms
 *   0x801c  (w) an interrupt, as for an error of no queue
 *   0x8020  (w) LOSE_BASE: the queue whose next change of BASE is lost, as if the
 *           queue were enabled for just that long; 0xffff is none
 *   0x8024  number of VINTFs that left-enabled has enabled
 *
 *   0x8040  order violations
 *   0x8044  the last one's: 7:0 kind, 31:16 queue or VINTF
 *   0x8048  commands whose VMID was not that of the VINTF
 *   0x804c  commands refused by HYP_OWN=0
 *   0x8050  the last one's: 7:0 opcode, 31:16 queue
 *   0x8054  commands refused for a reserved bit
 *   0x8058  ATC_INVs without a SID_MATCH
 *   0x805c  CMD_SYNCs that asked for a signal
 *   0x8060  errors raised in queues
 *   0x8064  injected ones of these
 *   0x8068  deferred ones that a CMD_SYNC removed
 *   0x806c  interrupts
 *   0x8070  accesses to slots without a queue
 *   0x8074  the last ATC_INV of HYP_OWN=0: its SID
 *   0x8078  the SID in its place
 *   0x807c  changes of BASE that were lost
 *   0x8080 + 4 * kind       order violations of this kind
 *   0x8200 + 4 * opcode     commands executed by the SMMUv3's own queue;
 *                           opcodes from 0x7f on count as 0x7f
 *   0x8400 + 0x20 * Q       of one queue:
 *           +0x00 commands executed
 *           +0x04 errors
 *           +0x08 code of the last error
 *           +0x0c commands whose VMID was not that of the VINTF
 *           +0x10 commands refused by HYP_OWN=0
 *           +0x14 the last ATC_INV of HYP_OWN=0: its SID
 *           +0x18 the SID in its place
 *           +0x1c the armed error, as INJECT has it
 *   0x9000 + 0x200 * Q + 4 * opcode   commands executed by queue Q
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/irq.h"
#include "hw/qdev-properties.h"
#include "hw/sysbus.h"
#include "hw/arm/smmuv3.h"
#include "hw/arm/cmdqv.h"
#include "smmuv3-internal.h"

OBJECT_DECLARE_SIMPLE_TYPE(CmdqvState, TEGRA241_CMDQV)

#define PAGE            0x10000
#define QUEUES          32      /* the counters' room */
#define VINTFS          32
#define SLOTS           128
#define SIDS            16
#define OPCODES         0x80
#define ALL             0xffff
#define NEVER           UINT32_MAX

#define EN              BIT(0)
#define CONFIG_RESET    0x00020082
#define VINTF_VMID(c)   extract32(c, 1, 16)
#define VINTF_HYP_OWN   BIT(17)
#define SID_MATCH_EN    BIT(0)
#define ALLOCATED       BIT(0)
#define ALLOC_SLOT(a)   extract32(a, 1, 7)
#define ALLOC_VINTF(a)  extract32(a, 15, 6)
#define GERROR_CMD      BIT(0)
#define GERROR_INIT     BIT(2)
#define GERROR_ALL      0x7
#define ERROR_ILL       1
#define ERROR_FETCH     2
#define ERROR_ATC       3
#define ERROR_ACCESS    4
#define INJECT_DEFERRED BIT(8)

enum policy {
    VMID_CHECK      = BIT(0),
    REFUSE_ACCESS   = BIT(1),
    ALLOW_S2        = BIT(2),
    SID_ILLEGAL     = BIT(3),
    ALLOW_SIGNAL    = BIT(4),
    ALLOW_RESERVED  = BIT(5),
    DEAD_ONES       = BIT(6),
    RESET_DISABLED  = BIT(7),
    ORDER_GLOBAL    = BIT(8),
    NO_HYP_OWN      = BIT(9),
    QUIET           = BIT(10),
    TAKE_BASE       = BIT(11),
};

enum order {
    ORDER_ALLOC,            /* slot k is allocated, k - 1 is not */
    ORDER_FREE,             /* slot k is freed, k + 1 is allocated */
    ORDER_FREE_ENABLED,     /* a queue is freed that is enabled */
    ORDER_SLOT_TWICE,       /* two queues in one slot */
    ORDER_MOVED,            /* an allocated queue gets another slot */
    ORDER_NO_VINTF,         /* a queue is allocated to a missing VINTF */
    ORDER_BASE,             /* a base is changed under an enabled queue */
    ORDER_VINTF_QUEUE,      /* a VINTF is disabled before its queues */
    ORDER_VINTF_CONFIG,     /* VMID or HYP_OWN change in an enabled VINTF */
    ORDER_SID_REPLACE,      /* SID_REPLACE changes under an enabled SID_MATCH */
    ORDER_SID_TWICE,        /* two SID_MATCHes of a VINTF match one SID */
    ORDER_LEFT,             /* the SMMUv3 works before what was left stops */
    ORDERS
};

static const char *const order_names[ORDERS] = {
    [ORDER_ALLOC]        = "queue allocated before the slot below it",
    [ORDER_FREE]         = "queue freed before the slot above it",
    [ORDER_FREE_ENABLED] = "queue freed while enabled",
    [ORDER_SLOT_TWICE]   = "queue allocated to a slot that has one",
    [ORDER_MOVED]        = "allocated queue moved to another slot",
    [ORDER_NO_VINTF]     = "queue allocated to a VINTF that is not there",
    [ORDER_BASE]         = "base changed while the queue is enabled",
    [ORDER_VINTF_QUEUE]  = "VINTF disabled while a queue of it is enabled",
    [ORDER_VINTF_CONFIG] = "VMID or HYP_OWN changed while the VINTF is enabled",
    [ORDER_SID_REPLACE]  = "SID_REPLACE changed while its SID_MATCH is enabled",
    [ORDER_SID_TWICE]    = "SID matched twice in the VINTF",
    [ORDER_LEFT]         = "SMMU used while a VINTF is as it was left",
};

enum part { CMDQV, VINTF, QUEUE };

/* A CONFIG register with its STATUS, which follows it */
typedef struct Switch {
    CmdqvState *s;
    enum part part;
    unsigned int index;
    uint32_t config;
    bool enabled;
    QEMUTimer *timer;
} Switch;

typedef struct Queue {
    Switch sw;
    uint64_t base;
    uint64_t cons_base;
    uint32_t alloc;
    uint32_t prod;
    uint32_t cons;
    uint32_t gerror;
    uint32_t gerrorn;
    QEMUTimer *timer;
    /* Not hardware: 8 registers, and commands executed */
    union {
        struct {
            uint32_t executed;
            uint32_t errors;
            uint32_t last_error;
            uint32_t vmids;
            uint32_t refused;
            uint32_t vsid;
            uint32_t psid;
            uint32_t inject;
        };
        uint32_t info[8];
    };
    uint32_t opcodes[OPCODES];
} Queue;

typedef struct Vintf {
    Switch sw;
    uint32_t match[SIDS];
    uint32_t replace[SIDS];
    bool left;              /* enabled by left-enabled, and not disabled since */
} Vintf;

struct CmdqvState {
    SysBusDevice parent_obj;
    MemoryRegion mmio;
    qemu_irq irq;
    SMMUv3State *smmu;
    Notifier cmd_done;

    uint8_t version;
    uint8_t log2_vcmdqs;
    uint8_t log2_vintfs;
    uint8_t log2_sids;
    uint32_t initial_policy;
    bool left_enabled;
    unsigned int queues;
    unsigned int vintfs;
    unsigned int sids;

    Switch sw;
    uint64_t vintf_mask;
    Queue queue[QUEUES];
    Vintf vintf[VINTFS];

    uint32_t policy;
    uint32_t status_delay;
    uint32_t status_of;
    uint32_t run_delay;
    uint32_t lose_base;
    /* The registers from 0x8040 on */
    union {
        struct {
            uint32_t orders;
            uint32_t last_order;
            uint32_t vmids;
            uint32_t refused;
            uint32_t last_refused;
            uint32_t reserved;
            uint32_t unknown_sids;
            uint32_t signals;
            uint32_t errors;
            uint32_t injected;
            uint32_t flushed;
            uint32_t irqs;
            uint32_t dead;
            uint32_t vsid;
            uint32_t psid;
            uint32_t lost_bases;
            uint32_t order[ORDERS];
        };
        uint32_t count[0x40];
    };
    uint32_t main_opcodes[OPCODES];
};

static void order_violation(CmdqvState *s, enum order kind, enum part part,
                            unsigned int index)
{
    s->orders++;
    s->last_order = index << 16 | kind;
    s->order[kind]++;
    if (!(s->policy & QUIET)) {
        warn_report("%s: order violation: %s %u: %s", TYPE_TEGRA241_CMDQV,
                    part == VINTF ? "VINTF" : "VCMDQ", index,
                    order_names[kind]);
    }
}

static Queue *find_queue(CmdqvState *s, unsigned int v, unsigned int slot)
{
    for (unsigned int i = 0; i < s->queues; i++) {
        uint32_t alloc = s->queue[i].alloc;

        if ((alloc & ALLOCATED) && ALLOC_VINTF(alloc) == v &&
            ALLOC_SLOT(alloc) == slot) {
            return &s->queue[i];
        }
    }
    return NULL;
}

/* The VINTF that a queue is allocated to */
static Vintf *owner(CmdqvState *s, Queue *q)
{
    unsigned int v = ALLOC_VINTF(q->alloc);

    return (q->alloc & ALLOCATED) && v < s->vintfs ? &s->vintf[v] : NULL;
}

/* Errors */

static bool has_error(Queue *q)
{
    return q->gerror != q->gerrorn;
}

/* The error map of a VINTF, a word of 32 slots */
static uint32_t slot_errors(CmdqvState *s, unsigned int v, unsigned int word)
{
    uint32_t map = 0;

    for (unsigned int i = 0; i < s->queues; i++) {
        Queue *q = &s->queue[i];

        if (owner(s, q) == &s->vintf[v] && has_error(q) &&
            ALLOC_SLOT(q->alloc) / 32 == word) {
            map |= BIT(ALLOC_SLOT(q->alloc) % 32);
        }
    }
    return map;
}

static bool vintf_error(CmdqvState *s, unsigned int v)
{
    for (unsigned int word = 0; word < SLOTS / 32; word++) {
        if (slot_errors(s, v, word)) {
            return true;
        }
    }
    return false;
}

static void interrupt(CmdqvState *s)
{
    s->irqs++;
    qemu_irq_pulse(s->irq);
}

static void raise_error(CmdqvState *s, Queue *q, uint32_t bit,
                        unsigned int code)
{
    Vintf *v = owner(s, q);

    q->cons = deposit32(q->cons, 24, 7, code);
    q->gerror = (q->gerror & ~bit) | (~q->gerrorn & bit);
    q->errors++;
    q->last_error = code;
    s->errors++;
    if (v && !(s->vintf_mask & BIT_ULL(v->sw.index))) {
        interrupt(s);
    }
}

/* Queues */

static unsigned int log2size(Queue *q)
{
    return extract64(q->base, 0, 5);
}

static uint64_t address(Queue *q)
{
    return q->base & MAKE_64BIT_MASK(5, 43);
}

/* A queue that hardware can fetch from, in a slot that may be set up */
static bool base_is_good(Queue *q)
{
    return log2size(q) >= 1 && log2size(q) <= SMMU_CMDQS && address(q) &&
           !(address(q) & MAKE_64BIT_MASK(0, log2size(q) + 4)) &&
           !extract64(q->base, 48, 16);
}

/* Bits of a command that HYP_OWN=0 allows and that are not reserved in it */
static bool guest_bits(const Cmd *cmd, bool *allowed)
{
    uint32_t may[4] = { 0xff, UINT32_MAX, 0, 0 };

    *allowed = true;
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_TLBI_NH_ASID:
        break;
    case SMMU_CMD_TLBI_NH_VA:
        may[0] |= 0x01f1f000;
        may[2] = 0xffffff01;
        may[3] = UINT32_MAX;
        break;
    case SMMU_CMD_ATC_INV:
        may[0] |= 0xfffffa00;
        may[2] = 0xfffff03f;
        may[3] = UINT32_MAX;
        break;
    case SMMU_CMD_SYNC:
        may[0] |= 0x0fc03000;
        may[2] = UINT32_MAX;
        may[3] = UINT32_MAX;
        break;
    default:
        *allowed = false;
        return true;
    }
    return !((cmd->word[0] & ~may[0]) | (cmd->word[1] & ~may[1]) |
             (cmd->word[2] & ~may[2]) | (cmd->word[3] & ~may[3]));
}

/*
 * Translates a command of a VINTF without HYP_OWN; returns an error code or 0
 */
static unsigned int restrict_command(CmdqvState *s, Queue *q, Vintf *v,
                                     Cmd *cmd)
{
    unsigned int refusal = s->policy & REFUSE_ACCESS ? ERROR_ACCESS : ERROR_ILL;
    uint32_t type = CMD_TYPE(cmd);
    uint32_t vmid = VINTF_VMID(v->sw.config);
    bool allowed;
    bool good = guest_bits(cmd, &allowed);

    if (!allowed && !((s->policy & ALLOW_S2) &&
                      (type == SMMU_CMD_TLBI_S12_VMALL ||
                       type == SMMU_CMD_TLBI_S2_IPA))) {
        s->refused++;
        s->last_refused = q->sw.index << 16 | type;
        q->refused++;
        return refusal;
    }
    if (!good && !(s->policy & ALLOW_RESERVED)) {
        s->reserved++;
        return refusal;
    }
    switch (type) {
    case SMMU_CMD_SYNC:
        return 0;
    case SMMU_CMD_ATC_INV:
        s->vsid = q->vsid = CMD_SID(cmd);
        s->psid = q->psid = UINT32_MAX;
        for (unsigned int i = 0; i < s->sids; i++) {
            if ((v->match[i] & SID_MATCH_EN) &&
                extract32(v->match[i], 1, 20) == CMD_SID(cmd)) {
                cmd->word[1] = v->replace[i];
                s->psid = q->psid = CMD_SID(cmd);
                return 0;
            }
        }
        s->unknown_sids++;
        return s->policy & SID_ILLEGAL ? ERROR_ILL : ERROR_ACCESS;
    default:
        if (CMD_VMID(cmd) != vmid) {
            s->vmids++;
            q->vmids++;
            if (s->policy & VMID_CHECK) {
                return ERROR_ILL;
            }
            cmd->word[1] = deposit32(cmd->word[1], 0, 16, vmid);
        }
        return 0;
    }
}

/* Executes one command; returns an error code or 0 */
static unsigned int execute(CmdqvState *s, Queue *q, Vintf *v, Cmd cmd)
{
    uint32_t type = CMD_TYPE(&cmd);
    unsigned int code = q->inject & 0xff;

    if (code && (code != ERROR_ATC || type == SMMU_CMD_SYNC)) {
        q->inject = 0;
        s->injected++;
        return code;
    }
    if (type == SMMU_CMD_SYNC && CMD_SYNC_CS(&cmd) != CMD_SYNC_SIG_NONE) {
        s->signals++;
        if (!(s->policy & ALLOW_SIGNAL)) {
            return ERROR_ILL;
        }
        cmd.word[0] = deposit32(cmd.word[0], 12, 2, CMD_SYNC_SIG_NONE);
    }
    code = 0;
    if (!(v->sw.config & VINTF_HYP_OWN)) {
        code = restrict_command(s, q, v, &cmd);
    }
    if (!code) {
        code = smmuv3_cmd_exec(s->smmu, cmd);
    }
    if (!code) {
        q->executed++;
        q->opcodes[MIN(type, OPCODES - 1)]++;
    }
    return code;
}

static void run_queue(CmdqvState *s, Queue *q)
{
    Vintf *v = owner(s, q);

    while (s->sw.enabled && v && v->sw.enabled && q->sw.enabled &&
           !has_error(q)) {
        uint32_t mask = MAKE_64BIT_MASK(0, log2size(q) + 1);
        uint32_t index = q->cons & (mask >> 1);
        unsigned int code = ERROR_FETCH;
        Cmd cmd;

        if (!((q->prod ^ q->cons) & mask)) {
            break;
        }
        if (dma_memory_read(&address_space_memory,
                            address(q) + index * sizeof(cmd), &cmd, sizeof(cmd),
                            MEMTXATTRS_UNSPECIFIED) == MEMTX_OK) {
            for (int i = 0; i < ARRAY_SIZE(cmd.word); i++) {
                le32_to_cpus(&cmd.word[i]);
            }
            code = execute(s, q, v, cmd);
        }
        if (code) {
            raise_error(s, q, GERROR_CMD, code);
            break;
        }
        q->cons = (q->cons & ~mask) | ((q->cons + 1) & mask);
    }
}

static void queue_timer(void *opaque)
{
    Queue *q = opaque;

    run_queue(q->sw.s, q);
}

static void kick(CmdqvState *s, Queue *q)
{
    if (!s->run_delay) {
        run_queue(s, q);
    } else if (!timer_pending(q->timer)) {
        timer_mod(q->timer,
                  qemu_clock_get_us(QEMU_CLOCK_VIRTUAL) + s->run_delay);
    }
}

/* The SMMUv3's own command queue has executed a command */
static void main_queue_done(Notifier *notifier, void *data)
{
    CmdqvState *s = container_of(notifier, CmdqvState, cmd_done);
    uint32_t type = CMD_TYPE((Cmd *)data);

    s->main_opcodes[MIN(type, OPCODES - 1)]++;
    for (unsigned int i = 0; i < s->vintfs; i++) {
        if (s->vintf[i].left) {
            s->vintf[i].left = false;
            order_violation(s, ORDER_LEFT, VINTF, i);
        }
    }
    for (unsigned int i = 0; type == SMMU_CMD_SYNC && i < s->queues; i++) {
        Queue *q = &s->queue[i];

        if ((q->inject & INJECT_DEFERRED) && !q->sw.enabled) {
            q->inject = 0;
            s->flushed++;
        }
    }
}

/* CONFIG and STATUS */

static void reset_queue(Queue *q)
{
    timer_del(q->sw.timer);
    timer_del(q->timer);
    q->sw.config = 0;
    q->sw.enabled = false;
    q->base = 0;
    q->cons_base = 0;
    q->alloc = 0;
    q->prod = 0;
    q->cons = 0;
    q->gerror = 0;
    q->gerrorn = 0;
}

static void reset_vintf(Vintf *v)
{
    timer_del(v->sw.timer);
    v->sw.config = 0;
    v->sw.enabled = false;
    memset(v->match, 0, sizeof(v->match));
    memset(v->replace, 0, sizeof(v->replace));
    v->left = false;
}

static void reset_parts(CmdqvState *s)
{
    s->vintf_mask = 0;
    for (unsigned int i = 0; i < s->queues; i++) {
        reset_queue(&s->queue[i]);
    }
    for (unsigned int i = 0; i < s->vintfs; i++) {
        reset_vintf(&s->vintf[i]);
    }
}

static void follow(Switch *sw)
{
    CmdqvState *s = sw->s;
    bool enabled = sw->config & EN;

    if (sw->enabled == enabled) {
        return;
    }
    if (!enabled && sw->part == VINTF) {
        for (unsigned int i = 0; i < s->queues; i++) {
            if (owner(s, &s->queue[i]) == &s->vintf[sw->index] &&
                s->queue[i].sw.enabled) {
                order_violation(s, ORDER_VINTF_QUEUE, VINTF, sw->index);
            }
        }
    }
    if (enabled && sw->part == QUEUE && !base_is_good(&s->queue[sw->index])) {
        raise_error(s, &s->queue[sw->index], GERROR_INIT, 0);
        return;
    }
    sw->enabled = enabled;
    if (sw->part == VINTF) {
        s->vintf[sw->index].left = false;
    }
    if (!enabled && sw->part == CMDQV && (s->policy & RESET_DISABLED)) {
        reset_parts(s);
    }
    for (unsigned int i = 0; i < s->queues; i++) {
        kick(s, &s->queue[i]);
    }
}

static void switch_timer(void *opaque)
{
    follow(opaque);
}

static void write_config(Switch *sw, uint32_t config)
{
    CmdqvState *s = sw->s;
    uint32_t of = s->status_of;
    unsigned int index = of >> 16;

    sw->config = config;
    timer_del(sw->timer);
    if (s->status_delay && (of & BIT(sw->part)) &&
        (of & (config & EN ? BIT(3) : BIT(4))) &&
        (index == ALL || index == sw->index)) {
        if (s->status_delay != NEVER) {
            timer_mod(sw->timer,
                      qemu_clock_get_us(QEMU_CLOCK_VIRTUAL) + s->status_delay);
        }
    } else {
        follow(sw);
    }
}

/* The registers of queues, the same through all apertures */

static uint32_t read_page0(Queue *q, hwaddr reg)
{
    switch (reg) {
    case 0x00:
        return q->cons;
    case 0x04:
        return q->prod;
    case 0x08:
        return q->sw.config;
    case 0x0c:
        return q->sw.enabled;
    case 0x10:
        return q->gerror;
    case 0x14:
        return q->gerrorn;
    default:
        return 0;
    }
}

static void write_page0(CmdqvState *s, Queue *q, hwaddr reg, uint32_t value)
{
    switch (reg) {
    case 0x00:
        if (!q->sw.enabled) {
            q->cons = value & 0x7f0fffff;
        }
        break;
    case 0x04:
        q->prod = value & 0xfffff;
        kick(s, q);
        break;
    case 0x08:
        write_config(&q->sw, value & EN);
        break;
    case 0x14:
        q->gerrorn = value & GERROR_ALL;
        if (!((q->gerror ^ q->gerrorn) & GERROR_CMD)) {
            q->cons = deposit32(q->cons, 24, 7, 0);
        }
        kick(s, q);
        break;
    }
}

static uint64_t read_page1(Queue *q, hwaddr reg, unsigned int size)
{
    uint64_t value;

    switch (reg & ~7) {
    case 0x00:
        value = q->base;
        break;
    case 0x08:
        value = q->cons_base;
        break;
    default:
        return 0;
    }
    return extract64(value, (reg & 4) * 8, size * 8);
}

static void write_page1(CmdqvState *s, Queue *q, hwaddr reg, uint64_t value,
                        unsigned int size)
{
    uint64_t *to = reg & 8 ? &q->cons_base : &q->base;
    bool lost = !(s->policy & TAKE_BASE) &&
                (q->sw.enabled || (q->sw.config & EN));

    if (reg >= 0x10) {
        return;
    }
    value = deposit64(*to, (reg & 4) * 8, size * 8, value);
    if (value != *to && q->sw.enabled) {
        order_violation(s, ORDER_BASE, QUEUE, q->sw.index);
    }
    if (to == &q->base && value != *to && s->lose_base == q->sw.index) {
        s->lose_base = ALL;
        lost = true;
    }
    if (!lost) {
        *to = value;
    } else if (to == &q->base && value != *to) {
        s->lost_bases++;
    }
}

static void write_alloc(CmdqvState *s, Queue *q, uint32_t value)
{
    uint32_t old = q->alloc;
    unsigned int v = ALLOC_VINTF(value);
    unsigned int slot = ALLOC_SLOT(value);
    unsigned int index = q->sw.index;
    bool global = s->policy & ORDER_GLOBAL;
    bool was = old & ALLOCATED;
    bool is = value & ALLOCATED;

    value &= 0x001f80ff;
    if (was && is && value != old) {
        order_violation(s, ORDER_MOVED, QUEUE, index);
    }
    if (is && value != old) {
        Queue *other = find_queue(s, v, slot);

        if (v >= s->vintfs) {
            order_violation(s, ORDER_NO_VINTF, QUEUE, index);
        }
        if (other && other != q) {
            order_violation(s, ORDER_SLOT_TWICE, QUEUE, index);
        }
        if (global ? index && !(s->queue[index - 1].alloc & ALLOCATED) :
                     slot && !find_queue(s, v, slot - 1)) {
            order_violation(s, ORDER_ALLOC, QUEUE, index);
        }
    }
    if (was && !is) {
        if (global ? index + 1 < s->queues &&
                     (s->queue[index + 1].alloc & ALLOCATED) :
                     !!find_queue(s, ALLOC_VINTF(old), ALLOC_SLOT(old) + 1)) {
            order_violation(s, ORDER_FREE, QUEUE, index);
        }
        if (q->sw.enabled) {
            order_violation(s, ORDER_FREE_ENABLED, QUEUE, index);
        }
    }
    q->alloc = value;
    kick(s, q);
}

static uint32_t read_vintf(CmdqvState *s, Vintf *v, hwaddr reg)
{
    unsigned int i, slots = 0;

    switch (reg) {
    case 0x00:
        return v->sw.config;
    case 0x04:
        for (i = 0; i < s->queues; i++) {
            slots += owner(s, &s->queue[i]) == v;
        }
        return slots << 16 | vintf_error(s, v->sw.index) << 1 | v->sw.enabled;
    case 0x40 ... 0x7f:
        return v->match[(reg - 0x40) / 4];
    case 0x80 ... 0xbf:
        return v->replace[(reg - 0x80) / 4];
    case 0xc0 ... 0xcf:
        return slot_errors(s, v->sw.index, (reg - 0xc0) / 4);
    default:
        return 0;
    }
}

static void write_vintf(CmdqvState *s, Vintf *v, hwaddr reg, uint32_t value)
{
    unsigned int pair = reg % 0x40 / 4;

    switch (reg) {
    case 0x00:
        value &= 0x3ffff;
        if (s->policy & NO_HYP_OWN) {
            value &= ~VINTF_HYP_OWN;
        }
        if (v->sw.enabled && (value & EN) &&
            ((value ^ v->sw.config) & ~EN)) {
            order_violation(s, ORDER_VINTF_CONFIG, VINTF, v->sw.index);
        }
        write_config(&v->sw, value);
        break;
    case 0x40 ... 0x7f:
        if (pair >= s->sids) {
            break;
        }
        v->match[pair] = value & 0x1fffff;
        for (unsigned int i = 0; (value & SID_MATCH_EN) && i < s->sids; i++) {
            if (i != pair && v->match[i] == v->match[pair]) {
                order_violation(s, ORDER_SID_TWICE, VINTF, v->sw.index);
            }
        }
        break;
    case 0x80 ... 0xbf:
        if (pair >= s->sids) {
            break;
        }
        value &= 0xfffff;
        if ((v->match[pair] & SID_MATCH_EN) && v->replace[pair] != value) {
            order_violation(s, ORDER_SID_REPLACE, VINTF, v->sw.index);
        }
        v->replace[pair] = value;
        break;
    }
}

/* The model's own registers */

static void reset_counters(CmdqvState *s)
{
    memset(s->count, 0, sizeof(s->count));
    memset(s->main_opcodes, 0, sizeof(s->main_opcodes));
    for (unsigned int i = 0; i < s->queues; i++) {
        memset(s->queue[i].info, 0, sizeof(s->queue[i].info));
        memset(s->queue[i].opcodes, 0, sizeof(s->queue[i].opcodes));
    }
}

static uint32_t read_own(CmdqvState *s, hwaddr reg)
{
    Queue *q;

    switch (reg) {
    case 0x8000:
        return 0x51444d43;
    case 0x8008:
        return s->policy;
    case 0x800c:
        return s->status_delay;
    case 0x8010:
        return s->status_of;
    case 0x8014:
        return s->run_delay;
    case 0x8020:
        return s->lose_base;
    case 0x8024:
        return s->left_enabled ? s->vintfs - 1 : 0;
    case 0x8040 ... 0x813f:
        return s->count[(reg - 0x8040) / 4];
    case 0x8200 ... 0x83ff:
        return s->main_opcodes[(reg - 0x8200) / 4];
    case 0x8400 ... 0x87ff:
        q = &s->queue[(reg - 0x8400) / 0x20];
        return q->info[reg % 0x20 / 4];
    case 0x9000 ... 0xcfff:
        q = &s->queue[(reg - 0x9000) / 0x200];
        return q->opcodes[reg % 0x200 / 4];
    default:
        return 0;
    }
}

static void write_own(CmdqvState *s, hwaddr reg, uint32_t value)
{
    switch (reg) {
    case 0x8004:
        reset_counters(s);
        break;
    case 0x8008:
        s->policy = value;
        break;
    case 0x800c:
        s->status_delay = value;
        break;
    case 0x8010:
        s->status_of = value;
        break;
    case 0x8014:
        s->run_delay = value;
        break;
    case 0x8018:
        if (value >> 16 < s->queues) {
            s->queue[value >> 16].inject = value & (INJECT_DEFERRED | 0xff) ?
                                           value : 0;
        }
        break;
    case 0x801c:
        interrupt(s);
        break;
    case 0x8020:
        s->lose_base = value;
        break;
    }
}

/* The configuration page */

static uint32_t read_config_page(CmdqvState *s, hwaddr reg)
{
    uint64_t vintfs = 0;
    uint32_t queues = 0;

    switch (reg) {
    case 0x0000:
        return s->sw.config;
    case 0x0004:
        return s->log2_sids << 12 | s->log2_vintfs << 8 | s->log2_vcmdqs << 4 |
               s->version;
    case 0x0008:
        return s->sw.enabled;
    case 0x0014:
    case 0x0018:
        for (unsigned int i = 0; i < s->vintfs; i++) {
            vintfs |= (uint64_t)vintf_error(s, i) << i;
        }
        return reg == 0x0014 ? vintfs : vintfs >> 32;
    case 0x001c:
        return s->vintf_mask;
    case 0x0020:
        return s->vintf_mask >> 32;
    case 0x0024:
        for (unsigned int i = 0; i < s->queues; i++) {
            queues |= (uint32_t)has_error(&s->queue[i]) << i;
        }
        return queues;
    case 0x0200 ... 0x03ff:
        reg = (reg - 0x0200) / 4;
        return reg < s->queues ? s->queue[reg].alloc : 0;
    case 0x1000 ... 0x4fff:
        if ((reg - 0x1000) / 0x100 < s->vintfs) {
            return read_vintf(s, &s->vintf[(reg - 0x1000) / 0x100],
                              reg % 0x100);
        }
        return 0;
    default:
        return read_own(s, reg);
    }
}

static void write_config_page(CmdqvState *s, hwaddr reg, uint32_t value)
{
    switch (reg) {
    case 0x0000:
        write_config(&s->sw, value & 0x1fffff);
        break;
    case 0x001c:
        s->vintf_mask = deposit64(s->vintf_mask, 0, 32, value);
        break;
    case 0x0020:
        s->vintf_mask = deposit64(s->vintf_mask, 32, 32, value);
        break;
    case 0x0200 ... 0x03ff:
        reg = (reg - 0x0200) / 4;
        if (reg < s->queues) {
            write_alloc(s, &s->queue[reg], value);
        }
        break;
    case 0x1000 ... 0x4fff:
        if ((reg - 0x1000) / 0x100 < s->vintfs) {
            write_vintf(s, &s->vintf[(reg - 0x1000) / 0x100], reg % 0x100,
                        value);
        }
        break;
    default:
        write_own(s, reg, value);
        break;
    }
}

/*
 * The queue that an aperture shows at an offset, or NULL; in *page1 whether it
 * is the page with the bases.
 */
static Queue *aperture(CmdqvState *s, hwaddr offset, bool *page1)
{
    unsigned int page = offset / PAGE - 1;
    unsigned int i = offset % PAGE / 0x80;
    Queue *q;

    *page1 = page & 1;
    if (page < 2) {
        return i < s->queues ? &s->queue[i] : NULL;
    }
    q = i < SLOTS ? find_queue(s, page / 2 - 1, i) : NULL;
    if (!q) {
        s->dead++;
    }
    return q;
}

static bool wrong_size(hwaddr offset, unsigned int size, bool wide)
{
    if (size == 4 || wide) {
        return false;
    }
    qemu_log_mask(LOG_GUEST_ERROR, "%s: 64-bit access at 0x%" HWADDR_PRIx "\n",
                  TYPE_TEGRA241_CMDQV, offset);
    return true;
}

static uint64_t cmdqv_read(void *opaque, hwaddr offset, unsigned int size)
{
    CmdqvState *s = opaque;
    bool page1;
    Queue *q;

    if (offset < PAGE) {
        if (wrong_size(offset, size, offset >= 0x1000 && offset < 0x5000 &&
                                     (offset & 0xf0) == 0xc0)) {
            return 0;
        }
        return read_config_page(s, offset) | (size == 4 ? 0 :
               (uint64_t)read_config_page(s, offset + 4) << 32);
    }
    q = aperture(s, offset, &page1);
    if (!q) {
        return s->policy & DEAD_ONES ? UINT64_MAX : 0;
    }
    if (page1) {
        return read_page1(q, offset % 0x80, size);
    }
    return wrong_size(offset, size, false) ? 0 : read_page0(q, offset % 0x80);
}

static void cmdqv_write(void *opaque, hwaddr offset, uint64_t value,
                        unsigned int size)
{
    CmdqvState *s = opaque;
    bool page1;
    Queue *q;

    if (offset < PAGE) {
        if (!wrong_size(offset, size, false)) {
            write_config_page(s, offset, value);
        }
        return;
    }
    q = aperture(s, offset, &page1);
    if (!q) {
        return;
    }
    if (page1) {
        write_page1(s, q, offset % 0x80, value, size);
    } else if (!wrong_size(offset, size, false)) {
        write_page0(s, q, offset % 0x80, value);
    }
}

static const MemoryRegionOps cmdqv_ops = {
    .read = cmdqv_read,
    .write = cmdqv_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

void cmdqv_add_acpi(Aml *scope, PlatformBusDevice *bus, hwaddr base,
                    uint32_t irq, unsigned int uid)
{
    Object *obj = object_resolve_path_type("", TYPE_TEGRA241_CMDQV, NULL);
    Aml *dev, *crs;
    uint64_t size;

    if (!obj) {
        return;
    }
    base += platform_bus_get_mmio_addr(bus, SYS_BUS_DEVICE(obj), 0);
    irq += platform_bus_get_irqn(bus, SYS_BUS_DEVICE(obj), 0);
    size = memory_region_size(&TEGRA241_CMDQV(obj)->mmio);

    dev = aml_device("CMDQ");
    aml_append(dev, aml_name_decl("_HID", aml_string("NVDA200C")));
    aml_append(dev, aml_name_decl("_UID", aml_int(uid)));
    aml_append(dev, aml_name_decl("_CCA", aml_int(1)));
    crs = aml_resource_template();
    aml_append(crs, aml_qword_memory(AML_POS_DECODE, AML_MIN_FIXED,
                                     AML_MAX_FIXED, AML_NON_CACHEABLE,
                                     AML_READ_WRITE, 0, base, base + size - 1,
                                     0, size));
    aml_append(crs, aml_interrupt(AML_CONSUMER, AML_EDGE, AML_ACTIVE_HIGH,
                                  AML_EXCLUSIVE, &irq, 1));
    aml_append(dev, aml_name_decl("_CRS", crs));
    aml_append(scope, dev);
}

/* Implements left-enabled */
static void leave_enabled(CmdqvState *s)
{
    s->sw.config |= EN;
    s->sw.enabled = true;
    for (unsigned int i = 1; i < s->vintfs; i++) {
        Queue *q = &s->queue[i * (s->queues / s->vintfs)];
        Vintf *v = &s->vintf[i];

        v->sw.config = i << 1 | EN;
        v->sw.enabled = true;
        v->left = true;
        v->replace[0] = i << 8;
        v->match[0] = i << 1 | SID_MATCH_EN;
        q->alloc = i << 15 | ALLOCATED;
        q->base = 1ULL << 30 | i << 12 | 8;     /* in memory */
        q->sw.config = EN;
        q->sw.enabled = true;
    }
}

static void cmdqv_reset(DeviceState *dev)
{
    CmdqvState *s = TEGRA241_CMDQV(dev);

    timer_del(s->sw.timer);
    s->sw.config = CONFIG_RESET;
    s->sw.enabled = false;
    reset_parts(s);
    s->policy = s->initial_policy;
    s->status_delay = 0;
    s->status_of = ALL << 16 | 0x1f;
    s->run_delay = 0;
    s->lose_base = ALL;
    reset_counters(s);
    if (s->left_enabled) {
        leave_enabled(s);
    }
}

static void init_switch(CmdqvState *s, Switch *sw, enum part part,
                        unsigned int index)
{
    sw->s = s;
    sw->part = part;
    sw->index = index;
    sw->timer = timer_new_us(QEMU_CLOCK_VIRTUAL, switch_timer, sw);
}

static void cmdqv_realize(DeviceState *dev, Error **errp)
{
    CmdqvState *s = TEGRA241_CMDQV(dev);
    Object *smmu = object_resolve_path_type("", TYPE_ARM_SMMUV3, NULL);

    if (!smmu) {
        error_setg(errp, "%s needs an SMMUv3", TYPE_TEGRA241_CMDQV);
        return;
    }
    if (BIT(s->log2_vcmdqs) > QUEUES || s->log2_vintfs > s->log2_vcmdqs ||
        BIT(s->log2_sids) > SIDS || s->version > 15) {
        error_setg(errp, "%s has at most %d VCMDQs, a VINTF for each, %d SIDs",
                   TYPE_TEGRA241_CMDQV, QUEUES, SIDS);
        return;
    }
    s->queues = BIT(s->log2_vcmdqs);
    s->vintfs = BIT(s->log2_vintfs);
    s->sids = BIT(s->log2_sids);
    s->smmu = ARM_SMMUV3(smmu);
    s->cmd_done.notify = main_queue_done;
    notifier_list_add(&s->smmu->cmd_done, &s->cmd_done);

    init_switch(s, &s->sw, CMDQV, 0);
    for (unsigned int i = 0; i < s->vintfs; i++) {
        init_switch(s, &s->vintf[i].sw, VINTF, i);
    }
    for (unsigned int i = 0; i < s->queues; i++) {
        init_switch(s, &s->queue[i].sw, QUEUE, i);
        s->queue[i].timer = timer_new_us(QEMU_CLOCK_VIRTUAL, queue_timer,
                                         &s->queue[i]);
    }
    memory_region_init_io(&s->mmio, OBJECT(s), &cmdqv_ops, s,
                          TYPE_TEGRA241_CMDQV, (3 + 2 * s->vintfs) * PAGE);
    sysbus_init_mmio(SYS_BUS_DEVICE(dev), &s->mmio);
    sysbus_init_irq(SYS_BUS_DEVICE(dev), &s->irq);
}

#define POLICY(name, bit) \
    DEFINE_PROP_BIT(name, CmdqvState, initial_policy, bit, false)

static const Property cmdqv_properties[] = {
    DEFINE_PROP_UINT8("version", CmdqvState, version, 1),
    DEFINE_PROP_UINT8("log2-vcmdqs", CmdqvState, log2_vcmdqs, 3),
    DEFINE_PROP_UINT8("log2-vintfs", CmdqvState, log2_vintfs, 2),
    DEFINE_PROP_UINT8("log2-sids", CmdqvState, log2_sids, 4),
    POLICY("vmid-check", 0),
    POLICY("refuse-access", 1),
    POLICY("allow-s2", 2),
    POLICY("sid-illegal", 3),
    POLICY("allow-signal", 4),
    POLICY("allow-reserved", 5),
    POLICY("dead-ones", 6),
    POLICY("reset-disabled", 7),
    POLICY("order-global", 8),
    POLICY("no-hyp-own", 9),
    POLICY("quiet", 10),
    POLICY("take-base", 11),
    DEFINE_PROP_BOOL("left-enabled", CmdqvState, left_enabled, false),
};

static void cmdqv_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = cmdqv_realize;
    dc->desc = "NVIDIA Tegra241 CMDQ-V";
    device_class_set_legacy_reset(dc, cmdqv_reset);
    device_class_set_props(dc, cmdqv_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo cmdqv_info = {
    .name = TYPE_TEGRA241_CMDQV,
    .parent = TYPE_DYNAMIC_SYS_BUS_DEVICE,
    .instance_size = sizeof(CmdqvState),
    .class_init = cmdqv_class_init,
};

static void cmdqv_register_types(void)
{
    type_register_static(&cmdqv_info);
}

type_init(cmdqv_register_types)
