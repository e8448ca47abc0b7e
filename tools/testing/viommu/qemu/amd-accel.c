/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acceleration of the emulated AMD IOMMU: the host's IOMMU translates the
 * requests of assigned devices through the guest's own page tables.
 *
 *     -object iommufd,id=iommufd0 -device amd-iommu,intremap=on,accel=on
 *     -device vfio-pci,host=...,iommufd=iommufd0
 *
 * The guest uses v2 page tables, which the host nests in its own v1 table of
 * the guest's memory. Objects of iommufd:
 *
 *   nesting parent   VFIO's HWPT of the guest's memory, for all assigned
 *                    devices
 *   vIOMMU           one, on the nesting parent; the first device makes it, the
 *                    last destroys it
 *   bypass, blocked  HWPTs on the vIOMMU for any device: while the guest's
 *                    IOMMU is off, and for a device table entry (DTE) that
 *                    cannot be used
 *   HWPT             one for each device with a valid DTE
 *   vDEVICE          one for each device that has had one, under the guest's
 *                    DeviceID
 *   event queue      one; its records go to the guest's event log
 *
 * The host does not read the guest's device table. This file does, when the
 * guest turns its IOMMU on, at INVALIDATE_DEVTAB_ENTRY and at
 * INVALIDATE_IOMMU_ALL, and attaches the device to a HWPT with the entry as it
 * is. Other invalidations go to the host as they are. Those up to a
 * COMPLETION_WAIT are one ioctl(), also if the guest writes the tail register
 * for each: they stay in the command buffer until then, until they fill half of
 * it, or until the guest reads the head register.
 *
 * Interrupts are remapped by amd_iommu.c. Requests of emulated devices are
 * translated here, without a cache, so they need no invalidation. A and D bits
 * of their page tables are not set, and U/S is not checked.
 *
 * Not there: page requests (PPRSup is 0), migration, devices behind different
 * IOMMUs of the host.
 */
#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include <linux/vfio.h>
#include <linux/iommufd.h>
#include "qemu/bitops.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "hw/pci/pci_bus.h"
#include "hw/vfio/pci.h"
#include "hw/vfio/vfio-common.h"
#include "system/iommufd.h"
#include "amd_iommu_accel.h"
#include "trace.h"

/* Of <linux/iommufd.h>, until linux-headers/ has them */
#define IOMMU_HW_INFO_TYPE_AMD           4
#define IOMMU_HWPT_DATA_AMD_GUEST        3
#define IOMMU_VIOMMU_TYPE_AMD            0x80000001
#define IOMMU_VIOMMU_INVALIDATE_DATA_AMD 0x80000001
#define IOMMU_VEVENTQ_TYPE_AMD           0x80000001
#define IOMMU_VEVENTQ_FLAG_LOST_EVENTS   (1U << 0)
#define IOMMU_VEVENTQ_ALLOC              _IO(IOMMUFD_TYPE, 0x93)

struct iommu_hw_info_amd {
    __aligned_u64 efr;
    __aligned_u64 efr2;
};

struct iommu_veventq_alloc {
    __u32 size;
    __u32 flags;
    __u32 viommu_id;
    __u32 type;
    __u32 veventq_depth;
    __u32 out_veventq_id;
    __u32 out_veventq_fd;
    __u32 __reserved;
};

struct iommufd_vevent_header {
    __u32 flags;
    __u32 sequence;
};

#define EVENTQ_DEPTH            1024
#define EVENTS_AT_ONCE          16
/* Commands that the host waits for at once */
#define HOST_BATCH              256

/* EFR and EFR2 */
#define EFR_GT                  AMDVI_FEATURE_GT
#define EFR_GIO                 BIT_ULL(48)
#define EFR_HATS_NONE           (3ULL << 10)    /* no v1 tables */
#define EFR_GATS(efr)           extract64(efr, 12, 2)
#define EFR_GLX(efr)            extract64(efr, 14, 2)
#define EFR_PASMAX(efr)         extract64(efr, 32, 5)
#define EFR2_GCR3TRP            BIT_ULL(3)

/* DTE */
#define DTE_MODE(q)             extract64(q, 9, 3)
#define DTE_GIOV                BIT_ULL(54)
#define DTE_GV                  BIT_ULL(55)
#define DTE_GLX(q)              extract64(q, 56, 2)
#define DTE_DOMAIN(q)           extract64(q, 0, 16)
#define DTE_GUEST_MODE(q)       extract64(q, 54, 2)
/* Of quadword 2 what is not about interrupts */
#define DTE_NO_INTERRUPTS       (MAKE_64BIT_MASK(52, 4) | BIT_ULL(59))

/* v2 tables */
#define PTE_P                   BIT_ULL(0)
#define PTE_RW                  BIT_ULL(1)
#define PTE_LARGE               BIT_ULL(7)
#define PTE_ADDRESS             MAKE_64BIT_MASK(12, 40)

/* Events, and flags of a page fault */
#define EVENT_ILLEGAL_DTE       1
#define EVENT_PAGE_FAULT        2
#define EVENT_DTE_HARDWARE      3
#define EVENT_ILLEGAL_COMMAND   5
#define EVENT_COMMAND_HARDWARE  6
#define EVENT_IOTLB_TIMEOUT     7
#define FLAG_RW                 BIT(5)

#define STATUS_EVENT_INT        BIT(1)
#define STATUS_RUNNING          (AMDVI_MMIO_STATUS_EVT_RUN | \
                                 AMDVI_MMIO_STATUS_CMDBUF_RUN | BIT(7))

typedef struct AMDVIAccelDevice {
    VFIODevice *vdev;
    PCIBus *bus;                /* where it is */
    int devfn;
    PCIBus *alias_bus;          /* what its requests come from */
    int alias_devfn;
    uint32_t vdevice_id;        /* 0: none */
    uint16_t virt_id;           /* of the vDEVICE */
    uint32_t hwpt_id;           /* 0: attached to bypass or blocked */
    uint64_t dte[4];            /* of the HWPT, without interrupts */
    QLIST_ENTRY(AMDVIAccelDevice) next;
} AMDVIAccelDevice;

typedef struct Command {
    uint64_t q[2];
} Command;

struct AMDVIAccel {
    QLIST_HEAD(, AMDVIAccelDevice) devices;
    AddressSpace as;            /* of all of them */
    uint64_t features;          /* EFR */

    /* The rest of these is valid while there are devices */
    IOMMUFDBackend *iommufd;
    uint32_t parent_id;
    uint32_t viommu_id;
    uint32_t bypass_id;
    uint32_t blocked_id;
    uint32_t veventq_id;
    int veventq_fd;
    uint32_t sequence;          /* of the next event */

    /* The commands at the head register, not executed yet, little endian */
    GArray *batch;
    bool stopped;               /* at the command at the head register */
    bool running;
    bool enabled;               /* the devices are attached for this IommuEn */
};

static uint64_t status(AMDVIState *s)
{
    return ldq_le_p(&s->mmior[AMDVI_MMIO_STATUS]);
}

static void set_status(AMDVIState *s, uint64_t clear, uint64_t set)
{
    stq_le_p(&s->mmior[AMDVI_MMIO_STATUS], (status(s) & ~clear) | set);
}

/* Event log */

static void lose_event(AMDVIState *s)
{
    set_status(s, AMDVI_MMIO_STATUS_EVT_RUN, AMDVI_MMIO_STATUS_EVT_OVF);
    if (s->evtlog_intr) {
        amdvi_generate_msi_interrupt(s);
    }
}

void amdvi_accel_log_event(AMDVIState *s, const uint64_t *evt)
{
    uint32_t size = s->evtlog_len * AMDVI_EVENT_LEN, next;
    uint64_t le[2] = { cpu_to_le64(evt[0]), cpu_to_le64(evt[1]) };

    trace_amdvi_accel_event(evt[0], evt[1]);
    if (!s->evtlog_enabled || !size ||
        !(status(s) & AMDVI_MMIO_STATUS_EVT_RUN)) {
        return;
    }
    next = (s->evtlog_tail + AMDVI_EVENT_LEN) % size;
    if (next == s->evtlog_head) {
        lose_event(s);
        return;
    }
    dma_memory_write(&address_space_memory, s->evtlog + s->evtlog_tail, le,
                     sizeof(le), MEMTXATTRS_UNSPECIFIED);
    s->evtlog_tail = next;
    stq_le_p(&s->mmior[AMDVI_MMIO_EVENT_TAIL], next);
    set_status(s, 0, STATUS_EVENT_INT);
    if (s->evtlog_intr) {
        amdvi_generate_msi_interrupt(s);
    }
}

static void log_event(AMDVIState *s, unsigned int event, unsigned int flags,
                      uint16_t devid, uint16_t domain, uint64_t address)
{
    uint64_t evt[2] = {
        devid | (uint64_t)domain << 32 | (uint64_t)flags << 48 |
        (uint64_t)event << 60,
        address,
    };

    amdvi_accel_log_event(s, evt);
}

/* Events of assigned devices, which the host has in the guest's terms */
static void read_events(void *opaque)
{
    AMDVIState *s = opaque;
    AMDVIAccel *a = s->accel_state;
    uint8_t buf[EVENTS_AT_ONCE *
                (sizeof(struct iommufd_vevent_header) + AMDVI_EVENT_LEN)];
    ssize_t n = read(a->veventq_fd, buf, sizeof(buf));
    struct iommufd_vevent_header header;
    uint64_t evt[2];
    ssize_t at = 0;

    while (n - at >= (ssize_t)sizeof(header)) {
        memcpy(&header, buf + at, sizeof(header));
        at += sizeof(header);
        if ((header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) ||
            header.sequence != a->sequence) {
            lose_event(s);
        }
        a->sequence = (header.sequence + 1) & INT_MAX;
        if (header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) {
            continue;
        }
        if (n - at < AMDVI_EVENT_LEN) {
            break;
        }
        evt[0] = ldq_le_p(buf + at);
        evt[1] = ldq_le_p(buf + at + 8);
        at += AMDVI_EVENT_LEN;
        amdvi_accel_log_event(s, evt);
    }
}

/* Devices and their DTEs */

static uint16_t device_id(const AMDVIAccelDevice *dev)
{
    return PCI_BUILD_BDF(pci_bus_num(dev->alias_bus), dev->alias_devfn);
}

/* Whether the host knows the device by the ID that it has now */
static bool has_vdevice(const AMDVIAccelDevice *dev)
{
    return dev->vdevice_id && dev->virt_id == device_id(dev);
}

static AMDVIAccelDevice *find_device(AMDVIState *s, uint16_t devid)
{
    AMDVIAccelDevice *dev;

    QLIST_FOREACH(dev, &s->accel_state->devices, next) {
        if (device_id(dev) == devid) {
            return dev;
        }
    }
    return NULL;
}

static bool attach(AMDVIAccelDevice *dev, uint32_t hwpt_id, Error **errp)
{
    struct vfio_device_attach_iommufd_pt arg = {
        .argsz = sizeof(arg),
        .pt_id = hwpt_id,
    };

    if (ioctl(dev->vdev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg)) {
        error_setg_errno(errp, errno, "%s: cannot attach to HWPT %u",
                         dev->vdev->name, hwpt_id);
        return false;
    }
    trace_amdvi_accel_attach(dev->vdev->name, device_id(dev), hwpt_id);
    return true;
}

/* Attach to a HWPT that is not of a DTE */
static bool park(AMDVIState *s, AMDVIAccelDevice *dev, uint32_t hwpt_id,
                 Error **errp)
{
    if (!attach(dev, hwpt_id, errp)) {
        return false;
    }
    if (dev->hwpt_id) {
        iommufd_backend_free_id(s->accel_state->iommufd, dev->hwpt_id);
        dev->hwpt_id = 0;
    }
    return true;
}

static void block(AMDVIState *s, AMDVIAccelDevice *dev)
{
    Error *err = NULL;

    if (!park(s, dev, s->accel_state->blocked_id, &err)) {
        error_report_err(err);
    }
}

static void free_vdevice(AMDVIState *s, AMDVIAccelDevice *dev)
{
    iommufd_backend_free_id(s->accel_state->iommufd, dev->vdevice_id);
    dev->vdevice_id = 0;
}

/* A bus may get another number, and so a device another ID */
static bool set_vdevice(AMDVIState *s, AMDVIAccelDevice *dev, uint16_t devid)
{
    AMDVIAccel *a = s->accel_state;
    struct iommu_vdevice_alloc arg = {
        .size = sizeof(arg),
        .viommu_id = a->viommu_id,
        .dev_id = dev->vdev->devid,
        .virt_id = devid,
    };
    AMDVIAccelDevice *other;

    if (has_vdevice(dev)) {
        return true;
    }
    QLIST_FOREACH(other, &a->devices, next) {
        if (other->vdevice_id && (other == dev || other->virt_id == devid)) {
            if (other->hwpt_id) {
                block(s, other);
            }
            free_vdevice(s, other);
        }
    }
    if (ioctl(a->iommufd->fd, IOMMU_VDEVICE_ALLOC, &arg)) {
        error_report("%s: cannot have DeviceID 0x%x: %s", dev->vdev->name,
                     devid, strerror(errno));
        return false;
    }
    dev->vdevice_id = arg.out_vdevice_id;
    dev->virt_id = devid;
    return true;
}

static bool read_dte(AMDVIState *s, uint16_t devid, uint64_t *dte)
{
    hwaddr addr = s->devtab + devid * AMDVI_DEVTAB_ENTRY_SIZE;

    if (devid >= s->devtab_len ||
        dma_memory_read(&address_space_memory, addr, dte,
                        AMDVI_DEVTAB_ENTRY_SIZE, MEMTXATTRS_UNSPECIFIED)) {
        log_event(s, EVENT_DTE_HARDWARE, 0, devid, 0, addr);
        return false;
    }
    for (int i = 0; i < 4; i++) {
        dte[i] = le64_to_cpu(dte[i]);
    }
    return true;
}

/* Attach a device to a new HWPT of its DTE */
static bool attach_dte(AMDVIState *s, AMDVIAccelDevice *dev, uint16_t devid,
                       uint64_t *dte)
{
    AMDVIAccel *a = s->accel_state;
    Error *err = NULL;
    uint32_t hwpt_id;

    if (!set_vdevice(s, dev, devid)) {
        return false;
    }
    if (!iommufd_backend_alloc_hwpt(a->iommufd, dev->vdev->devid, a->viommu_id,
                                    0, IOMMU_HWPT_DATA_AMD_GUEST,
                                    AMDVI_DEVTAB_ENTRY_SIZE, dte, &hwpt_id,
                                    &err)) {
        if (errno == EIO) {
            log_event(s, EVENT_ILLEGAL_DTE, 0, devid, 0,
                      s->devtab + devid * AMDVI_DEVTAB_ENTRY_SIZE);
            error_free(err);
        } else {
            error_reportf_err(err, "%s: ", dev->vdev->name);
        }
        return false;
    }
    if (!park(s, dev, hwpt_id, &err)) {
        error_report_err(err);
        iommufd_backend_free_id(a->iommufd, hwpt_id);
        return false;
    }
    dev->hwpt_id = hwpt_id;
    memcpy(dev->dte, dte, sizeof(dev->dte));
    return true;
}

/* Let the host do what the guest's registers and device table say */
static void update_device(AMDVIState *s, AMDVIAccelDevice *dev)
{
    uint16_t devid = device_id(dev);
    Error *err = NULL;
    uint64_t dte[4];

    if (s->enabled) {
        if (!read_dte(s, devid, dte)) {
            block(s, dev);
            return;
        }
        dte[2] &= DTE_NO_INTERRUPTS;
        if (dev->hwpt_id && has_vdevice(dev) &&
            !memcmp(dte, dev->dte, sizeof(dte))) {
            return;
        }
        if (dte[0] & AMDVI_DEV_VALID) {
            if (!attach_dte(s, dev, devid, dte)) {
                block(s, dev);
            }
            return;
        }
    }
    if (!park(s, dev, s->accel_state->bypass_id, &err)) {
        error_report_err(err);
    }
}

static void update_devices(AMDVIState *s)
{
    AMDVIAccelDevice *dev;

    QLIST_FOREACH(dev, &s->accel_state->devices, next) {
        update_device(s, dev);
    }
}

/* Commands */

static void stop(AMDVIState *s, unsigned int event, uint16_t devid)
{
    s->accel_state->stopped = true;
    set_status(s, AMDVI_MMIO_STATUS_CMDBUF_RUN, 0);
    log_event(s, event, 0, devid, 0, s->cmdbuf + s->cmdbuf_head);
}

static void advance(AMDVIState *s, unsigned int n)
{
    s->cmdbuf_head = (s->cmdbuf_head + n * AMDVI_COMMAND_SIZE) %
                     (s->cmdbuf_len * AMDVI_COMMAND_SIZE);
    stq_le_p(&s->mmior[AMDVI_MMIO_COMMAND_HEAD], s->cmdbuf_head);
}

static unsigned int opcode(const Command *raw)
{
    return extract64(le64_to_cpu(raw->q[0]), 60, 4);
}

/* The device that did not answer may be that of a later command than @n */
static void stop_at_timeout(AMDVIState *s, GArray *batch, unsigned int n)
{
    unsigned int end = MIN(batch->len, n + HOST_BATCH);

    for (; n < end; n++) {
        const Command *raw = &g_array_index(batch, Command, n);

        if (opcode(raw) == AMDVI_CMD_INVAL_IOTLB_PAGES) {
            stop(s, EVENT_IOTLB_TIMEOUT, le64_to_cpu(raw->q[0]));
            return;
        }
    }
    stop(s, EVENT_COMMAND_HARDWARE, 0);
}

/* Execute the batch. False: the command buffer has stopped. */
static bool flush(AMDVIState *s)
{
    AMDVIAccel *a = s->accel_state;
    struct iommu_hwpt_invalidate arg = {
        .size = sizeof(arg),
        .hwpt_id = a->viommu_id,
        .data_uptr = (uintptr_t)a->batch->data,
        .data_type = IOMMU_VIOMMU_INVALIDATE_DATA_AMD,
        .entry_len = sizeof(Command),
        .entry_num = a->batch->len,
    };
    unsigned int n = a->batch->len;
    int err = 0;

    if (!n) {
        return true;
    }
    /* Without devices nothing is cached */
    if (!QLIST_EMPTY(&a->devices) &&
        ioctl(a->iommufd->fd, IOMMU_HWPT_INVALIDATE, &arg)) {
        err = errno;
        n = MIN(arg.entry_num, n - 1);
    }
    trace_amdvi_accel_invalidate(a->batch->len, n, err);
    advance(s, n);
    switch (err) {
    case 0:
        break;
    case EIO:
        stop(s, EVENT_ILLEGAL_COMMAND, 0);
        break;
    case ETIMEDOUT:
        stop_at_timeout(s, a->batch, n);
        break;
    default:
        error_report_once("amd-iommu: cannot invalidate: %s", strerror(err));
        stop(s, EVENT_COMMAND_HARDWARE, 0);
    }
    g_array_set_size(a->batch, 0);
    return !err;
}

static void completion_wait(AMDVIState *s, const uint64_t *cmd)
{
    uint64_t data = cpu_to_le64(cmd[1]);

    if (cmd[0] & BIT_ULL(0)) {
        dma_memory_write(&address_space_memory,
                         cmd[0] & MAKE_64BIT_MASK(3, 49), &data, sizeof(data),
                         MEMTXATTRS_UNSPECIFIED);
    }
    if (cmd[0] & BIT_ULL(1)) {
        set_status(s, 0, AMDVI_MMIO_STATUS_COMP_INT);
        if (s->completion_wait_intr) {
            amdvi_generate_msi_interrupt(s);
        }
    }
}

/* The host checks those that it executes */
static bool legal(AMDVIState *s, unsigned int op, const uint64_t *cmd)
{
    switch (op) {
    case AMDVI_CMD_COMPLETION_WAIT:
        return !extract64(cmd[0], 52, 8);
    case AMDVI_CMD_INVAL_DEVTAB_ENTRY:
    case AMDVI_CMD_INVAL_INTR_TABLE:
        return !extract64(cmd[0], 16, 44) && !cmd[1];
    case AMDVI_CMD_INVAL_AMDVI_ALL:
        return !extract64(cmd[0], 0, 60) && !cmd[1] &&
               (s->accel_state->features & AMDVI_FEATURE_IA);
    case AMDVI_CMD_INVAL_AMDVI_PAGES:
    case AMDVI_CMD_INVAL_IOTLB_PAGES:
        return true;
    default:
        return false;
    }
}

/* Execute one command, or put it into the batch */
static void command(AMDVIState *s, const Command *raw)
{
    AMDVIAccel *a = s->accel_state;
    const uint64_t cmd[2] = {
        le64_to_cpu(raw->q[0]), le64_to_cpu(raw->q[1]),
    };
    unsigned int op = opcode(raw);
    AMDVIAccelDevice *dev = find_device(s, extract64(cmd[0], 0, 16));

    /* Not what names a device that the host does not know as the guest's */
    if (op == AMDVI_CMD_INVAL_AMDVI_PAGES ||
        (op == AMDVI_CMD_INVAL_IOTLB_PAGES && dev && has_vdevice(dev))) {
        g_array_append_val(a->batch, *raw);
        return;
    }
    if (!flush(s)) {
        return;
    }
    if (!legal(s, op, cmd)) {
        stop(s, EVENT_ILLEGAL_COMMAND, 0);
        return;
    }
    switch (op) {
    case AMDVI_CMD_COMPLETION_WAIT:
        advance(s, 1);
        completion_wait(s, cmd);
        return;
    case AMDVI_CMD_INVAL_DEVTAB_ENTRY:
        if (dev) {
            update_device(s, dev);
            if (has_vdevice(dev)) {
                g_array_append_val(a->batch, *raw);
                return;
            }
        }
        break;
    case AMDVI_CMD_INVAL_INTR_TABLE:
        x86_iommu_iec_notify_all(X86_IOMMU_DEVICE(s), true, 0, 0);
        break;
    case AMDVI_CMD_INVAL_AMDVI_ALL:
        x86_iommu_iec_notify_all(X86_IOMMU_DEVICE(s), true, 0, 0);
        update_devices(s);
        g_array_append_val(a->batch, *raw);
        return;
    }
    advance(s, 1);
}

void amdvi_accel_run(AMDVIState *s, bool all)
{
    AMDVIAccel *a = s->accel_state;
    hwaddr at;
    Command cmd;

    /* A store of COMPLETION_WAIT may hit a register of this IOMMU */
    if (a->running) {
        return;
    }
    a->running = true;
    while (s->cmdbuf_enabled && !a->stopped && s->cmdbuf_len) {
        at = (s->cmdbuf_head + a->batch->len * AMDVI_COMMAND_SIZE) %
             (s->cmdbuf_len * AMDVI_COMMAND_SIZE);
        if (at == s->cmdbuf_tail) {
            break;
        }
        if (dma_memory_read(&address_space_memory, s->cmdbuf + at, &cmd,
                            sizeof(cmd), MEMTXATTRS_UNSPECIFIED)) {
            if (flush(s)) {
                stop(s, EVENT_COMMAND_HARDWARE, 0);
            }
            break;
        }
        command(s, &cmd);
    }
    if (all || a->batch->len >= s->cmdbuf_len / 2) {
        flush(s);
    }
    a->running = false;
}

/* Registers */

void amdvi_accel_control(AMDVIState *s)
{
    AMDVIAccel *a = s->accel_state;

    flush(s);
    if (!s->cmdbuf_enabled) {
        a->stopped = false;
    } else if (a->stopped) {
        set_status(s, AMDVI_MMIO_STATUS_CMDBUF_RUN, 0);
    }
    /* An overflow that software has not cleared keeps the log off */
    if (status(s) & AMDVI_MMIO_STATUS_EVT_OVF) {
        set_status(s, AMDVI_MMIO_STATUS_EVT_RUN, 0);
    }
    if (a->enabled != s->enabled) {
        a->enabled = s->enabled;
        update_devices(s);
    }
}

/* Write 1 to clear, but for what only tells whether something runs */
void amdvi_accel_write_status(AMDVIState *s, hwaddr addr, uint64_t value)
{
    set_status(s, (value << (8 * (addr & 7))) & ~(uint64_t)STATUS_RUNNING, 0);
}

void amdvi_accel_reset(AMDVIState *s)
{
    AMDVIAccel *a = s->accel_state;

    g_array_set_size(a->batch, 0);
    a->stopped = false;
    a->enabled = false;
    update_devices(s);
}

/* Emulated devices */

static bool walk(const uint64_t *dte, hwaddr addr, IOMMUTLBEntry *ret)
{
    unsigned int levels = 4 + DTE_GUEST_MODE(dte[2]), shift;
    hwaddr table = extract64(dte[0], 58, 3) << 12 |
                   extract64(dte[1], 16, 16) << 15 |
                   extract64(dte[1], 43, 21) << 31;
    IOMMUAccessFlags perm = IOMMU_RW;
    uint64_t entry;

    /* The GCR3 table: without a PASID it is that of PASID 0 */
    for (unsigned int i = 0; i <= DTE_GLX(dte[0]); i++) {
        if (dma_memory_read(&address_space_memory, table, &entry,
                            sizeof(entry), MEMTXATTRS_UNSPECIFIED)) {
            return false;
        }
        entry = le64_to_cpu(entry);
        if (!(entry & PTE_P)) {
            return false;
        }
        table = entry & PTE_ADDRESS;
    }
    if (sextract64(addr, 0, 12 + 9 * levels) != (int64_t)addr) {
        return false;
    }
    for (shift = 12 + 9 * (levels - 1); ; shift -= 9) {
        if (dma_memory_read(&address_space_memory,
                            table + 8 * extract64(addr, shift, 9), &entry,
                            sizeof(entry), MEMTXATTRS_UNSPECIFIED)) {
            return false;
        }
        entry = le64_to_cpu(entry);
        if (!(entry & PTE_P)) {
            return false;
        }
        if (!(entry & PTE_RW)) {
            perm = IOMMU_RO;
        }
        if (shift == 12 || (shift <= 30 && (entry & PTE_LARGE))) {
            break;
        }
        table = entry & PTE_ADDRESS;
    }
    ret->addr_mask = MAKE_64BIT_MASK(0, shift);
    ret->iova = addr & ~ret->addr_mask;
    ret->translated_addr = entry & PTE_ADDRESS & ~ret->addr_mask;
    ret->perm = perm;
    return true;
}

void amdvi_accel_translate(AMDVIState *s, uint16_t devid, hwaddr addr,
                           IOMMUAccessFlags flag, IOMMUTLBEntry *ret)
{
    uint64_t dte[4];
    bool ok = true;

    ret->perm = IOMMU_NONE;
    if (!read_dte(s, devid, dte)) {
        return;
    }
    ret->addr_mask = ~AMDVI_PAGE_MASK_4K;
    ret->iova = addr & AMDVI_PAGE_MASK_4K;
    ret->translated_addr = ret->iova;
    ret->perm = IOMMU_RW;
    if (!(dte[0] & AMDVI_DEV_VALID)) {
        return;
    }
    if ((dte[0] & AMDVI_DEV_TRANSLATION_VALID) &&
        (DTE_MODE(dte[0]) || DTE_GLX(dte[0]) > 2 ||
         DTE_GUEST_MODE(dte[2]) > 1)) {
        ret->perm = IOMMU_NONE;
        log_event(s, EVENT_ILLEGAL_DTE, 0, devid, 0,
                  s->devtab + devid * AMDVI_DEVTAB_ENTRY_SIZE);
        return;
    }
    if (!(dte[0] & AMDVI_DEV_TRANSLATION_VALID)) {
        ok = false;
    } else if ((dte[0] & DTE_GV) && (dte[0] & DTE_GIOV)) {
        ok = walk(dte, addr, ret);
    }
    if (!ok) {
        ret->perm = IOMMU_NONE;
    }
    ret->perm &= IOMMU_ACCESS_FLAG(dte[0] & AMDVI_DEV_PERM_READ,
                                   dte[0] & AMDVI_DEV_PERM_WRITE);
    if ((ret->perm & flag) != flag) {
        log_event(s, EVENT_PAGE_FAULT, flag & IOMMU_WO ? FLAG_RW : 0, devid,
                  DTE_DOMAIN(dte[1]), addr);
    }
}

/* The host */

uint64_t amdvi_accel_get_viommu_flags(void *opaque)
{
    AMDVIState *s = opaque;

    return s->accel ? VIOMMU_FLAG_WANT_NESTING_PARENT : 0;
}

AddressSpace *amdvi_accel_address_space(AMDVIState *s, PCIBus *bus, int devfn)
{
    PCIDevice *pdev = bus->devices[devfn];

    return pdev && object_dynamic_cast(OBJECT(pdev), TYPE_VFIO_PCI) &&
           !VFIO_PCI(pdev)->vbasedev.mdev ? &s->accel_state->as : NULL;
}

/* The most that a guest may have of the features of the host */
static uint64_t features_of(uint64_t efr)
{
    return EFR_GT | EFR_GIO | EFR_HATS_NONE | AMDVI_FEATURE_GA |
           (efr & AMDVI_FEATURE_IA) |
           MIN(EFR_GATS(efr), 1) << 12 | MIN(EFR_GLX(efr), 2) << 14 |
           EFR_PASMAX(efr) << 32;
}

uint64_t amdvi_accel_features(AMDVIState *s)
{
    return s->accel_state->features;
}

static bool check_host(AMDVIState *s, VFIODevice *vdev, Error **errp)
{
    AMDVIAccel *a = s->accel_state;
    struct iommu_hw_info_amd info = { };
    uint64_t caps, features;
    uint32_t type;

    if (!iommufd_backend_get_device_info(vdev->iommufd, vdev->devid, &type,
                                         &info, sizeof(info), &caps, errp)) {
        return false;
    }
    if (type != IOMMU_HW_INFO_TYPE_AMD) {
        error_setg(errp, "%s: accel=on needs an AMD IOMMU, and the host has "
                   "one of type %u", vdev->name, type);
        return false;
    }
    if (!(info.efr & EFR_GT) || !(info.efr & EFR_GIO) ||
        !(info.efr2 & EFR2_GCR3TRP)) {
        error_setg(errp, "%s: the host's IOMMU cannot nest: EFR 0x%" PRIx64
                   ", EFR2 0x%" PRIx64, vdev->name, (uint64_t)info.efr,
                   (uint64_t)info.efr2);
        return false;
    }
    features = features_of(info.efr);
    if (!phase_check(PHASE_MACHINE_READY) && QLIST_EMPTY(&a->devices)) {
        a->features = features;
    }
    if ((a->features & AMDVI_FEATURE_IA & ~features) ||
        EFR_GATS(a->features) > EFR_GATS(features) ||
        EFR_GLX(a->features) > EFR_GLX(features) ||
        EFR_PASMAX(a->features) > EFR_PASMAX(features)) {
        error_setg(errp, "%s: the host's IOMMU has not all features that the "
                   "guest has seen: 0x%" PRIx64 " of 0x%" PRIx64, vdev->name,
                   features, a->features);
        return false;
    }
    return true;
}

static bool alloc_fixed(AMDVIState *s, VFIODevice *vdev, uint64_t dte0,
                        uint32_t *id, Error **errp)
{
    uint64_t dte[4] = { dte0 };

    return iommufd_backend_alloc_hwpt(s->accel_state->iommufd, vdev->devid,
                                      s->accel_state->viommu_id, 0,
                                      IOMMU_HWPT_DATA_AMD_GUEST, sizeof(dte),
                                      dte, id, errp);
}

static bool alloc_viommu(AMDVIState *s, VFIODevice *vdev, Error **errp)
{
    AMDVIAccel *a = s->accel_state;
    struct iommu_viommu_alloc viommu = {
        .size = sizeof(viommu),
        .type = IOMMU_VIOMMU_TYPE_AMD,
        .dev_id = vdev->devid,
        .hwpt_id = vdev->hwpt->hwpt_id,
    };
    struct iommu_veventq_alloc veventq = {
        .size = sizeof(veventq),
        .type = IOMMU_VEVENTQ_TYPE_AMD,
        .veventq_depth = EVENTQ_DEPTH,
    };

    a->iommufd = vdev->iommufd;
    a->parent_id = vdev->hwpt->hwpt_id;
    if (ioctl(a->iommufd->fd, IOMMU_VIOMMU_ALLOC, &viommu)) {
        error_setg_errno(errp, errno, "%s: cannot allocate a vIOMMU",
                         vdev->name);
        return false;
    }
    a->viommu_id = viommu.out_viommu_id;
    if (!alloc_fixed(s, vdev, 0, &a->bypass_id, errp)) {
        goto err_viommu;
    }
    if (!alloc_fixed(s, vdev, AMDVI_DEV_VALID, &a->blocked_id, errp)) {
        goto err_bypass;
    }
    veventq.viommu_id = a->viommu_id;
    if (ioctl(a->iommufd->fd, IOMMU_VEVENTQ_ALLOC, &veventq)) {
        error_setg_errno(errp, errno, "%s: cannot allocate an event queue",
                         vdev->name);
        goto err_blocked;
    }
    a->veventq_id = veventq.out_veventq_id;
    a->veventq_fd = veventq.out_veventq_fd;
    a->sequence = 0;
    qemu_set_fd_handler(a->veventq_fd, read_events, NULL, s);
    return true;

err_blocked:
    iommufd_backend_free_id(a->iommufd, a->blocked_id);
err_bypass:
    iommufd_backend_free_id(a->iommufd, a->bypass_id);
err_viommu:
    iommufd_backend_free_id(a->iommufd, a->viommu_id);
    return false;
}

static void free_viommu(AMDVIAccel *a)
{
    qemu_set_fd_handler(a->veventq_fd, NULL, NULL, NULL);
    close(a->veventq_fd);
    iommufd_backend_free_id(a->iommufd, a->veventq_id);
    iommufd_backend_free_id(a->iommufd, a->blocked_id);
    iommufd_backend_free_id(a->iommufd, a->bypass_id);
    iommufd_backend_free_id(a->iommufd, a->viommu_id);
}

bool amdvi_accel_set_iommu_device(PCIBus *bus, void *opaque, int devfn,
                                  HostIOMMUDevice *hiod, Error **errp)
{
    AMDVIState *s = opaque;
    AMDVIAccel *a = s->accel_state;
    VFIODevice *vdev = hiod->agent;
    AMDVIAccelDevice *dev;

    if (!s->accel) {
        return true;
    }
    if (!object_dynamic_cast(OBJECT(hiod),
                             TYPE_HOST_IOMMU_DEVICE_IOMMUFD_VFIO) ||
        !vdev->hwpt) {
        error_setg(errp, "%s: accel=on needs iommufd, and a device that the "
                   "host's IOMMU translates", hiod->name);
        return false;
    }
    QLIST_FOREACH(dev, &a->devices, next) {
        if (dev->alias_bus == hiod->aliased_bus &&
            dev->alias_devfn == hiod->aliased_devfn) {
            error_setg(errp, "%s has the same DeviceID as %s", vdev->name,
                       dev->vdev->name);
            return false;
        }
    }
    if (!check_host(s, vdev, errp)) {
        return false;
    }
    if (QLIST_EMPTY(&a->devices)) {
        if (!alloc_viommu(s, vdev, errp)) {
            return false;
        }
    } else if (vdev->iommufd != a->iommufd ||
               vdev->hwpt->hwpt_id != a->parent_id) {
        error_setg(errp, "%s: all devices need one iommufd and one nesting "
                   "parent", vdev->name);
        return false;
    }

    dev = g_new0(AMDVIAccelDevice, 1);
    dev->vdev = vdev;
    dev->bus = bus;
    dev->devfn = devfn;
    dev->alias_bus = hiod->aliased_bus;
    dev->alias_devfn = hiod->aliased_devfn;
    /* Fails if the device is behind another IOMMU of the host */
    if (!attach(dev, a->bypass_id, errp)) {
        g_free(dev);
        if (QLIST_EMPTY(&a->devices)) {
            free_viommu(a);
        }
        return false;
    }
    QLIST_INSERT_HEAD(&a->devices, dev, next);
    if (s->enabled) {
        flush(s);
        update_device(s, dev);
    }
    return true;
}

void amdvi_accel_unset_iommu_device(PCIBus *bus, void *opaque, int devfn)
{
    AMDVIState *s = opaque;
    AMDVIAccel *a = s->accel_state;
    AMDVIAccelDevice *dev;
    Error *err = NULL;

    if (!s->accel) {
        return;
    }
    QLIST_FOREACH(dev, &a->devices, next) {
        if (dev->bus == bus && dev->devfn == devfn) {
            break;
        }
    }
    if (!dev) {
        return;
    }
    /* They may name the device */
    flush(s);
    if (!park(s, dev, a->parent_id, &err)) {
        error_report_err(err);
    }
    if (dev->vdevice_id) {
        free_vdevice(s, dev);
    }
    QLIST_REMOVE(dev, next);
    g_free(dev);
    if (QLIST_EMPTY(&a->devices)) {
        free_viommu(a);
    }
}

void amdvi_accel_realize(AMDVIState *s)
{
    AMDVIAccel *a = s->accel_state = g_new0(AMDVIAccel, 1);

    QLIST_INIT(&a->devices);
    /* With interrupts, since QEMU sends those that were masked */
    address_space_init(&a->as, &s->mr_sys, "amd_iommu_assigned");
    a->batch = g_array_new(false, false, sizeof(Command));
    /* The least, in case the first device comes when the machine runs */
    a->features = features_of(8ULL << 32);
    /* Hardware walks the tables itself, so a new mapping needs no command */
    pci_set_long(s->pci.dev.config + s->pci.capab_offset,
                 AMDVI_CAPAB_FEATURES & ~AMDVI_CAPAB_FLAG_NPCACHE);
}
