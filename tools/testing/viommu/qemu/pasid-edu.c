/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCIe function with a DMA engine for tests. Its requests can carry a PASID,
 * and it can translate them by ATS and keep the translations in its own TLB
 * until it is told to drop them: a missing invalidation shows as DMA to where
 * the address pointed before. pasid-edu.h describes the registers.
 *
 * Requests without a PASID and without ATS go through the function's address
 * space, as those of any device of QEMU; all others through pci_request().
 *
 * A real function has limits that this one has not: it may have more than one
 * translation request on the way, merges entries, drops them at any time, and
 * answers an invalidation only after its earlier requests have ended. Here a
 * transfer happens at one point in time, so there is nothing to wait for.
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pci_request.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "pasid-edu.h"

#define TYPE_PASID_EDU "pasid-edu"
OBJECT_DECLARE_SIMPLE_TYPE(PasidEdu, PASID_EDU)

#define PAGE            0x1000
#define PCIE_CAP        0x80
#define FIRST_CAP       0x100           /* of the extended ones */

typedef struct Entry {
    uint32_t pasid;             /* or PCI_NO_PASID */
    uint32_t flags;             /* PEDU_TLB_* */
    hwaddr iova;
    hwaddr addr;
    hwaddr mask;
} Entry;

typedef struct Channel {
    PasidEdu *s;
    QEMUTimer *timer;
    uint64_t addr;
    uint32_t buffer;
    uint32_t length;
    uint32_t pasid;
    uint32_t mode;
    uint32_t cmd;
    uint32_t status;
    uint64_t error_addr;
    uint32_t bytes;
    uint32_t delay;
    uint32_t rounds;
    uint32_t errors;
    uint64_t xlat;
} Channel;

struct PasidEdu {
    PCIDevice parent_obj;
    MemoryRegion bar;
    MemoryRegion regs;
    MemoryRegion buffer;
    PCIDeviceTLB tlb;

    uint8_t pasid_bits;
    bool exec;
    bool priv;
    bool ats;
    bool pri;
    uint32_t tlb_entries;
    uint16_t pasid_cap;
    uint16_t ats_cap;
    uint16_t pri_cap;

    GArray *entries;
    Channel channel[PEDU_CHANNELS];
    uint32_t counter[PEDU_COUNTERS];
    uint32_t irq_status;
    uint32_t inv_mode;
    uint32_t select;
    uint32_t inv_pasid;
    uint32_t inv_flags;
    uint64_t inv_iova;
    uint64_t inv_size;
    uint32_t last_error;
    uint32_t last_pasid;
    uint64_t last_addr;
};

/* What the configuration space enables */
static uint32_t enabled(PasidEdu *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    uint32_t has = 0;
    uint16_t control;

    if (pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MASTER) {
        has |= PEDU_HAS_MASTER;
    }
    if (s->pasid_bits) {
        control = pci_get_word(pdev->config + s->pasid_cap + PCI_PASID_CTRL);
        if (control & PCI_PASID_CTRL_ENABLE) {
            has |= PEDU_HAS_PASID;
            has |= control & PCI_PASID_CTRL_EXEC ? PEDU_HAS_EXEC : 0;
            has |= control & PCI_PASID_CTRL_PRIV ? PEDU_HAS_PRIV : 0;
        }
    }
    if (s->ats) {
        control = pci_get_word(pdev->config + s->ats_cap + PCI_ATS_CTRL);
        has |= control & PCI_ATS_CTRL_ENABLE ? PEDU_HAS_ATS : 0;
    }
    return has;
}

static uint32_t pasid_register(uint32_t pasid)
{
    return pasid == PCI_NO_PASID ? 0 : PEDU_PASID_VALID | pasid;
}

static bool tlb_invalidate(PCIDeviceTLB *tlb, uint32_t pasid, bool all_pasids,
                           hwaddr addr, hwaddr mask)
{
    PasidEdu *s = container_of(tlb, PasidEdu, tlb);

    s->inv_pasid = all_pasids ? 0 : pasid_register(pasid);
    s->inv_flags = all_pasids ? PEDU_INV_GLOBAL : 0;
    s->inv_iova = addr & ~mask;
    s->inv_size = mask + 1;
    s->counter[all_pasids ? PEDU_C_INV_GLOBAL : pasid == PCI_NO_PASID ? PEDU_C_INV : PEDU_C_INV_PASID]++;
    s->counter[PEDU_C_INV_RANGE] += mask >= PAGE;
    s->counter[PEDU_C_INV_ALL] += mask == UINT64_MAX;
    if (s->inv_mode != PEDU_INV_OBEY) {
        s->counter[PEDU_C_INV_REFUSED]++;
        return s->inv_mode == PEDU_INV_IGNORE;
    }
    for (guint i = 0; i < s->entries->len; ) {
        Entry *e = &g_array_index(s->entries, Entry, i);
        bool same = all_pasids ? e->pasid != PCI_NO_PASID : e->pasid == pasid;

        if (same && !((e->iova ^ addr) & ~(mask | e->mask))) {
            s->counter[PEDU_C_INV_DROPPED]++;
            g_array_remove_index(s->entries, i);
        } else {
            i++;
        }
    }
    return true;
}

/* The device TLB's entry for a page, from a translation request if it has to */
static enum pasid_edu_error tlb_lookup(Channel *c, hwaddr iova, bool write,
                                       uint32_t pasid, hwaddr *addr)
{
    PasidEdu *s = c->s;
    bool priv = c->mode & PEDU_MODE_PRIV, exec = c->mode & PEDU_MODE_EXEC;
    PCIRequest request = {
        .type = PCI_REQUEST_TRANSLATION,
        .pasid = pasid,
        .addr = iova & ~(hwaddr)(PAGE - 1),
        .write = write && !(c->mode & PEDU_MODE_NO_WRITE),
        .exec = exec,
        .priv = priv,
    };
    uint32_t wanted = write ? PEDU_TLB_WRITE : exec ? PEDU_TLB_EXEC : PEDU_TLB_READ;
    PCIAnswer answer;
    Entry new;

    for (guint i = 0; i < s->entries->len; i++) {
        Entry *e = &g_array_index(s->entries, Entry, i);

        if (e->pasid != pasid || ((e->iova ^ iova) & ~e->mask) ||
            !!(e->flags & PEDU_TLB_PRIV) != priv) {
            continue;
        }
        if (e->flags & wanted) {
            s->counter[PEDU_C_TLB_HITS]++;
            *addr = e->addr | (iova & e->mask);
            return PEDU_ERR_NONE;
        }
        g_array_remove_index(s->entries, i--);
    }

    s->counter[PEDU_C_ATS_REQUESTS]++;
    answer = pci_request(PCI_DEVICE(s), &request);
    if (!answer.ok || !(answer.read || answer.write)) {
        s->counter[PEDU_C_ATS_FAILED]++;
        return answer.ok ? PEDU_ERR_ATS_NONE : PEDU_ERR_ATS_REFUSED;
    }
    new = (Entry) {
        .pasid = pasid,
        .flags = (answer.read ? PEDU_TLB_READ : 0) | (answer.write ? PEDU_TLB_WRITE : 0) |
                 (answer.exec ? PEDU_TLB_EXEC : 0) | (answer.global ? PEDU_TLB_GLOBAL : 0) |
                 (priv ? PEDU_TLB_PRIV : 0),
        .iova = iova & ~answer.mask,
        .addr = answer.addr & ~answer.mask,
        .mask = answer.mask,
    };
    if (s->entries->len >= s->tlb_entries) {
        s->counter[PEDU_C_TLB_EVICTED]++;
        g_array_remove_index(s->entries, 0);
    }
    g_array_append_val(s->entries, new);
    if (!(new.flags & wanted)) {
        s->counter[PEDU_C_ATS_FAILED]++;
        return PEDU_ERR_PERMISSION;
    }
    *addr = new.addr | (iova & new.mask);
    return PEDU_ERR_NONE;
}

/* Move what is within one page */
static enum pasid_edu_error move(Channel *c, hwaddr iova, uint8_t *buffer,
                                 unsigned int length)
{
    PasidEdu *s = c->s;
    PCIDevice *pdev = PCI_DEVICE(s);
    bool write = c->cmd & PEDU_CMD_TO_MEMORY;
    bool raw = c->mode & PEDU_MODE_RAW, ats = c->mode & PEDU_MODE_ATS;
    uint32_t pasid = c->pasid & PEDU_PASID_VALID ? c->pasid & PEDU_PASID_MASK : PCI_NO_PASID;
    PCIRequest request = {
        .type = raw || ats ? PCI_REQUEST_TRANSLATED : PCI_REQUEST_UNTRANSLATED,
        .pasid = pasid,
        .addr = iova,
        .write = write,
        .exec = c->mode & PEDU_MODE_EXEC,
        .priv = c->mode & PEDU_MODE_PRIV,
    };
    MemTxAttrs attrs = { .requester_id = pci_requester_id(pdev) };
    PCIAnswer answer;
    enum pasid_edu_error error;

    if (ats) {
        error = tlb_lookup(c, iova, write, pasid, &request.addr);
        if (error) {
            return error;
        }
        c->xlat = request.addr & ~(hwaddr)(PAGE - 1);
        if (c->cmd & PEDU_CMD_LOOKUP) {
            return PEDU_ERR_NONE;
        }
    }
    s->counter[raw || ats ? PEDU_C_TRANSLATED : PEDU_C_UNTRANSLATED]++;
    if (!raw && !ats && pasid == PCI_NO_PASID) {
        return pci_dma_rw(pdev, iova, buffer, length,
                          write ? DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE,
                          attrs) ? PEDU_ERR_BLOCKED : PEDU_ERR_NONE;
    }
    answer = pci_request(pdev, &request);
    if (!answer.ok) {
        return PEDU_ERR_BLOCKED;
    }
    return address_space_rw(&address_space_memory, answer.addr, attrs, buffer, length, write) ?
           PEDU_ERR_BUS : PEDU_ERR_NONE;
}

static enum pasid_edu_error check(Channel *c)
{
    uint32_t has = enabled(c->s), needs = PEDU_HAS_MASTER;

    if (c->pasid & PEDU_PASID_VALID) {
        needs |= PEDU_HAS_PASID;
    }
    if (c->mode & PEDU_MODE_PRIV) {
        needs |= PEDU_HAS_PASID | PEDU_HAS_PRIV;
    }
    if (c->mode & PEDU_MODE_EXEC) {
        needs |= PEDU_HAS_PASID | PEDU_HAS_EXEC;
    }
    if (c->mode & (PEDU_MODE_ATS | PEDU_MODE_RAW)) {
        needs |= PEDU_HAS_ATS;
    }
    if (needs & ~has) {
        return PEDU_ERR_DISABLED;
    }
    if (!c->length || c->length > PEDU_BUFFER_SIZE || c->buffer > PEDU_BUFFER_SIZE - c->length) {
        return PEDU_ERR_RANGE;
    }
    if ((c->mode & (PEDU_MODE_PRIV | PEDU_MODE_EXEC)) && !(c->pasid & PEDU_PASID_VALID)) {
        return PEDU_ERR_RANGE;
    }
    if ((c->pasid & PEDU_PASID_VALID) && (c->pasid & PEDU_PASID_MASK) >> c->s->pasid_bits) {
        return PEDU_ERR_RANGE;
    }
    return PEDU_ERR_NONE;
}

static void update_irq(PasidEdu *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    if (!msi_enabled(pdev)) {
        pci_set_irq(pdev, !!s->irq_status);
    }
}

/* One transfer, from start to end */
static void transfer(void *opaque)
{
    Channel *c = opaque;
    PasidEdu *s = c->s;
    PCIDevice *pdev = PCI_DEVICE(s);
    uint8_t *buffer = memory_region_get_ram_ptr(&s->buffer);
    unsigned int number = c - s->channel, step;
    hwaddr iova = c->addr;
    enum pasid_edu_error error;

    c->bytes = 0;
    error = check(c);
    while (!error && c->bytes < c->length) {
        step = MIN(c->length - c->bytes, PAGE - (iova & (PAGE - 1)));
        error = move(c, iova, buffer + c->buffer + c->bytes, step);
        if (!error) {
            c->bytes += step;
            iova += step;
        }
    }
    if (c->bytes && !(c->cmd & PEDU_CMD_TO_MEMORY)) {
        memory_region_set_dirty(&s->buffer, c->buffer, c->bytes);
    }

    c->rounds++;
    c->status = PEDU_STATUS_DONE;
    if (error) {
        c->errors++;
        c->error_addr = iova;
        c->status |= PEDU_STATUS_ERROR | error << 8;
        s->counter[PEDU_C_ERRORS]++;
        s->last_error = error;
        s->last_pasid = c->pasid;
        s->last_addr = iova;
    } else {
        s->counter[PEDU_C_TRANSFERS]++;
    }
    if (c->cmd & PEDU_CMD_IRQ) {
        s->counter[PEDU_C_IRQS]++;
        s->irq_status |= BIT(number);
        if (msi_enabled(pdev)) {
            msi_notify(pdev, number % msi_nr_vectors_allocated(pdev));
        }
        update_irq(s);
    }
    if ((c->cmd & PEDU_CMD_REPEAT) && (!error || (c->cmd & PEDU_CMD_ENDURE))) {
        c->status |= PEDU_STATUS_BUSY;
        timer_mod(c->timer, qemu_clock_get_us(QEMU_CLOCK_VIRTUAL) + MAX(c->delay, 1));
    }
}

static void stop(Channel *c)
{
    timer_del(c->timer);
    c->status &= ~PEDU_STATUS_BUSY;
}

static void command(Channel *c, uint32_t cmd)
{
    if (cmd & PEDU_CMD_STOP) {
        stop(c);
    }
    if (!(cmd & PEDU_CMD_START) || (c->status & PEDU_STATUS_BUSY)) {
        return;
    }
    c->cmd = cmd;
    c->rounds = 0;
    c->errors = 0;
    c->status = PEDU_STATUS_BUSY;
    if (c->delay) {
        timer_mod(c->timer, qemu_clock_get_us(QEMU_CLOCK_VIRTUAL) + c->delay);
    } else {
        transfer(c);
    }
}

static uint64_t part(uint64_t value, unsigned int offset, unsigned int size)
{
    return size == 4 ? extract64(value, offset * 8, 32) : value;
}

/* The part of a register of 64 bits that is at @offset */
static void set_part(uint64_t *reg, unsigned int offset, unsigned int size, uint64_t value)
{
    *reg = size == 4 ? deposit64(*reg, offset * 8, 32, value) : value;
}

static uint64_t channel_read(Channel *c, hwaddr reg, unsigned int size)
{
    switch (reg) {
    case PEDU_CH_ADDR:
    case PEDU_CH_ADDR + 4:
        return part(c->addr, reg - PEDU_CH_ADDR, size);
    case PEDU_CH_BUFFER:
        return c->buffer;
    case PEDU_CH_LENGTH:
        return c->length;
    case PEDU_CH_PASID:
        return c->pasid;
    case PEDU_CH_MODE:
        return c->mode;
    case PEDU_CH_CMD:
        return c->cmd;
    case PEDU_CH_STATUS:
        return c->status;
    case PEDU_CH_ERROR_ADDR:
    case PEDU_CH_ERROR_ADDR + 4:
        return part(c->error_addr, reg - PEDU_CH_ERROR_ADDR, size);
    case PEDU_CH_BYTES:
        return c->bytes;
    case PEDU_CH_DELAY:
        return c->delay;
    case PEDU_CH_ROUNDS:
        return c->rounds;
    case PEDU_CH_ERRORS:
        return c->errors;
    case PEDU_CH_XLAT:
    case PEDU_CH_XLAT + 4:
        return part(c->xlat, reg - PEDU_CH_XLAT, size);
    }
    return 0;
}

static void channel_write(Channel *c, hwaddr reg, unsigned int size, uint64_t value)
{
    if (reg == PEDU_CH_CMD) {
        command(c, value);
        return;
    }
    switch (reg) {
    case PEDU_CH_ADDR:
    case PEDU_CH_ADDR + 4:
        set_part(&c->addr, reg - PEDU_CH_ADDR, size, value);
        break;
    case PEDU_CH_BUFFER:
        c->buffer = value;
        break;
    case PEDU_CH_LENGTH:
        c->length = value;
        break;
    case PEDU_CH_PASID:
        c->pasid = value & (PEDU_PASID_VALID | PEDU_PASID_MASK);
        break;
    case PEDU_CH_MODE:
        c->mode = value & 0x1f;
        break;
    case PEDU_CH_DELAY:
        c->delay = value;
        break;
    }
}

static const Entry *selected(PasidEdu *s)
{
    static const Entry none;

    return s->select < s->entries->len ? &g_array_index(s->entries, Entry, s->select) : &none;
}

static uint64_t regs_read(void *opaque, hwaddr reg, unsigned int size)
{
    PasidEdu *s = opaque;

    if (reg >= PEDU_CH(0) && reg < PEDU_CH(PEDU_CHANNELS)) {
        return channel_read(&s->channel[(reg - PEDU_CH(0)) / 0x80], reg & 0x7f, size);
    }
    if (reg >= PEDU_COUNTER(0) && reg < PEDU_COUNTER(PEDU_COUNTERS)) {
        return s->counter[(reg - PEDU_COUNTER(0)) / 4];
    }
    switch (reg) {
    case PEDU_ID:
        return PEDU_ID_VALUE;
    case PEDU_CONFIG:
        return enabled(s);
    case PEDU_IRQ_STATUS:
        return s->irq_status;
    case PEDU_INV_MODE:
        return s->inv_mode;
    case PEDU_TLB_COUNT:
        return s->entries->len;
    case PEDU_TLB_SELECT:
        return s->select;
    case PEDU_TLB_PASID:
        return s->select < s->entries->len ? pasid_register(selected(s)->pasid) : UINT32_MAX;
    case PEDU_TLB_FLAGS:
        return selected(s)->flags;
    case PEDU_TLB_IOVA:
    case PEDU_TLB_IOVA + 4:
        return part(selected(s)->iova, reg - PEDU_TLB_IOVA, size);
    case PEDU_TLB_ADDR:
    case PEDU_TLB_ADDR + 4:
        return part(selected(s)->addr, reg - PEDU_TLB_ADDR, size);
    case PEDU_TLB_SIZE:
    case PEDU_TLB_SIZE + 4:
        return s->select < s->entries->len ? part(selected(s)->mask + 1, reg - PEDU_TLB_SIZE, size) : 0;
    case PEDU_INV_PASID:
        return s->inv_pasid;
    case PEDU_INV_FLAGS:
        return s->inv_flags;
    case PEDU_INV_IOVA:
    case PEDU_INV_IOVA + 4:
        return part(s->inv_iova, reg - PEDU_INV_IOVA, size);
    case PEDU_INV_SIZE:
    case PEDU_INV_SIZE + 4:
        return part(s->inv_size, reg - PEDU_INV_SIZE, size);
    case PEDU_LAST_ERROR:
        return s->last_error;
    case PEDU_LAST_PASID:
        return s->last_pasid;
    case PEDU_LAST_ADDR:
    case PEDU_LAST_ADDR + 4:
        return part(s->last_addr, reg - PEDU_LAST_ADDR, size);
    }
    return 0;
}

static void regs_write(void *opaque, hwaddr reg, uint64_t value, unsigned int size)
{
    PasidEdu *s = opaque;

    if (reg >= PEDU_CH(0) && reg < PEDU_CH(PEDU_CHANNELS)) {
        channel_write(&s->channel[(reg - PEDU_CH(0)) / 0x80], reg & 0x7f, size, value);
        return;
    }
    switch (reg) {
    case PEDU_IRQ_STATUS:
        s->irq_status &= ~value;
        update_irq(s);
        break;
    case PEDU_CONTROL:
        if (value & PEDU_CONTROL_RESET_COUNTERS) {
            memset(s->counter, 0, sizeof(s->counter));
        }
        if (value & PEDU_CONTROL_STOP_ALL) {
            for (int i = 0; i < PEDU_CHANNELS; i++) {
                stop(&s->channel[i]);
            }
        }
        if (value & PEDU_CONTROL_DROP_TLB) {
            g_array_set_size(s->entries, 0);
        }
        break;
    case PEDU_INV_MODE:
        s->inv_mode = MIN(value, PEDU_INV_SILENT);
        break;
    case PEDU_TLB_SELECT:
        s->select = value;
        break;
    }
}

static const MemoryRegionOps regs_ops = {
    .read = regs_read,
    .write = regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

static void config_write(PCIDevice *pdev, uint32_t addr, uint32_t value, int length)
{
    PasidEdu *s = PASID_EDU(pdev);

    pci_default_write_config(pdev, addr, value, length);
    pcie_cap_flr_write_config(pdev, addr, value, length);
    if (!(enabled(s) & PEDU_HAS_ATS)) {
        g_array_set_size(s->entries, 0);
    }
}

static void reset(DeviceState *dev)
{
    PasidEdu *s = PASID_EDU(dev);
    PCIDevice *pdev = PCI_DEVICE(dev);

    for (int i = 0; i < PEDU_CHANNELS; i++) {
        Channel *c = &s->channel[i];

        timer_del(c->timer);
        *c = (Channel) { .s = s, .timer = c->timer };
    }
    if (s->ats) {
        pci_set_word(pdev->config + s->ats_cap + PCI_ATS_CTRL, 0);
    }
    if (s->pri) {
        pci_set_word(pdev->config + s->pri_cap + PCI_PRI_CTRL, 0);
    }
    if (s->pasid_bits) {
        pci_set_word(pdev->config + s->pasid_cap + PCI_PASID_CTRL, 0);
    }
    g_array_set_size(s->entries, 0);
    memset(memory_region_get_ram_ptr(&s->buffer), 0, PEDU_BUFFER_SIZE);
    memory_region_set_dirty(&s->buffer, 0, PEDU_BUFFER_SIZE);
    memset(&s->counter, 0, offsetof(PasidEdu, last_addr) + sizeof(s->last_addr) - offsetof(PasidEdu, counter));
}

static void realize(PCIDevice *pdev, Error **errp)
{
    PasidEdu *s = PASID_EDU(pdev);

    if (s->pasid_bits > 20) {
        error_setg(errp, "pasid-bits is at most 20");
        return;
    }
    if (!s->tlb_entries) {
        error_setg(errp, "tlb-entries is at least 1");
        return;
    }
    pci_config_set_interrupt_pin(pdev->config, 1);
    if (pcie_endpoint_cap_init(pdev, PCIE_CAP) < 0) {
        error_setg(errp, "pasid-edu needs PCI Express");
        return;
    }
    pcie_cap_flr_init(pdev);
    if (msi_init(pdev, 0, PEDU_CHANNELS, true, false, errp)) {
        return;
    }
    s->pasid_cap = FIRST_CAP;
    s->ats_cap = FIRST_CAP + (s->pasid_bits ? 0x10 : 0);
    if (s->pasid_bits) {
        uint16_t bits = (s->exec ? PCI_PASID_CAP_EXEC : 0) | (s->priv ? PCI_PASID_CAP_PRIV : 0);

        pcie_add_capability(pdev, PCI_EXT_CAP_ID_PASID, 1, s->pasid_cap, PCI_EXT_CAP_PASID_SIZEOF);
        pci_set_word(pdev->config + s->pasid_cap + PCI_PASID_CAP, bits | s->pasid_bits << 8);
        pci_set_word(pdev->wmask + s->pasid_cap + PCI_PASID_CTRL, bits | PCI_PASID_CTRL_ENABLE);
    }
    if (s->ats) {
        pcie_ats_init(pdev, s->ats_cap, true);
    }
    s->pri_cap = FIRST_CAP + 0x20;
    if (s->pri) {
        pcie_add_capability(pdev, PCI_EXT_CAP_ID_PRI, 1, s->pri_cap, PCI_EXT_CAP_PRI_SIZEOF);
        pci_set_word(pdev->config + s->pri_cap + PCI_PRI_STATUS, PCI_PRI_STATUS_STOPPED | PCI_PRI_STATUS_PASID);
        pci_set_long(pdev->config + s->pri_cap + PCI_PRI_MAX_REQ, 512);
        pci_set_word(pdev->wmask + s->pri_cap + PCI_PRI_CTRL, PCI_PRI_CTRL_ENABLE);
        pci_set_long(pdev->wmask + s->pri_cap + PCI_PRI_ALLOC_REQ, UINT32_MAX);
    }

    s->entries = g_array_new(false, false, sizeof(Entry));
    for (int i = 0; i < PEDU_CHANNELS; i++) {
        s->channel[i].s = s;
        s->channel[i].timer = timer_new_us(QEMU_CLOCK_VIRTUAL, transfer, &s->channel[i]);
    }
    memory_region_init(&s->bar, OBJECT(s), "pasid-edu", PEDU_BAR_SIZE);
    memory_region_init_io(&s->regs, OBJECT(s), &regs_ops, s, "pasid-edu-registers", PEDU_BUFFER);
    memory_region_add_subregion(&s->bar, 0, &s->regs);
    if (!memory_region_init_ram(&s->buffer, OBJECT(s), "pasid-edu-buffer", PEDU_BUFFER_SIZE, errp)) {
        return;
    }
    memory_region_add_subregion(&s->bar, PEDU_BUFFER, &s->buffer);
    pci_register_bar(pdev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64, &s->bar);

    s->tlb.invalidate = tlb_invalidate;
    if (s->ats) {
        pci_set_device_tlb(pdev, &s->tlb);
    }
}

static void unrealize(PCIDevice *pdev)
{
    PasidEdu *s = PASID_EDU(pdev);

    if (s->ats) {
        pci_set_device_tlb(pdev, NULL);
    }
    for (int i = 0; i < PEDU_CHANNELS; i++) {
        timer_free(s->channel[i].timer);
    }
    g_array_free(s->entries, true);
    msi_uninit(pdev);
    pcie_cap_exit(pdev);
}

static const Property properties[] = {
    DEFINE_PROP_UINT8("pasid-bits", PasidEdu, pasid_bits, 20),
    DEFINE_PROP_BOOL("exec", PasidEdu, exec, true),
    DEFINE_PROP_BOOL("priv", PasidEdu, priv, true),
    DEFINE_PROP_BOOL("ats", PasidEdu, ats, true),
    DEFINE_PROP_BOOL("pri", PasidEdu, pri, false),
    DEFINE_PROP_UINT32("tlb-entries", PasidEdu, tlb_entries, 256),
};

static const VMStateDescription vmstate = { .name = TYPE_PASID_EDU, .unmigratable = 1 };

static void class_init(ObjectClass *class, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(class);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(class);

    k->realize = realize;
    k->exit = unrealize;
    k->config_write = config_write;
    k->vendor_id = PEDU_VENDOR_ID;
    k->device_id = PEDU_DEVICE_ID;
    k->revision = 1;
    k->class_id = PCI_CLASS_OTHERS;
    dc->vmsd = &vmstate;
    device_class_set_legacy_reset(dc, reset);
    device_class_set_props(dc, properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo type = {
    .name = TYPE_PASID_EDU,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(PasidEdu),
    .class_init = class_init,
    .interfaces = (InterfaceInfo[]) { { INTERFACE_PCIE_DEVICE }, { } },
};

static void register_types(void)
{
    type_register_static(&type);
}
type_init(register_types)
