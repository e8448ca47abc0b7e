/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The vIOMMU part of the iommufd user API. Include <linux/iommufd.h>, which
 * includes this file. Its rules for sizes, flags and reserved fields apply here
 * as well.
 *
 * Values that mainline does not define stay out of its way: flags count down
 * from bit 31, enumeration values up from 0x80000001, ioctl numbers up from
 * 0xe0.
 */
#ifndef _UAPI_IOMMUFD_VIOMMU_H
#define _UAPI_IOMMUFD_VIOMMU_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * enum iommu_viommu_type - Virtual IOMMU Type
 * @IOMMU_VIOMMU_TYPE_DEFAULT: Managed by the core, without vendor state
 * @IOMMU_VIOMMU_TYPE_ARM_SMMUV3: ARM SMMUv3 driver specific type
 * @IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV: NVIDIA Tegra241 CMDQ-V (extension for ARM
 *                                    SMMUv3) driver specific type
 * @IOMMU_VIOMMU_TYPE_AMD: AMD IOMMU driver specific type
 * @IOMMU_VIOMMU_TYPE_INTEL_VTD: Intel VT-d driver specific type
 */
enum iommu_viommu_type {
	IOMMU_VIOMMU_TYPE_DEFAULT = 0,
	IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1,
	IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2,
	IOMMU_VIOMMU_TYPE_AMD = 0x80000001,
	IOMMU_VIOMMU_TYPE_INTEL_VTD = 0x80000002,
};

/**
 * enum iommu_viommu_alloc_flags - Flags of IOMMU_VIOMMU_ALLOC
 * @IOMMU_VIOMMU_ALLOC_SHARED_VMID: Only on return, with the next flag: the IOMMU
 *                                  tags the guest's translations with the VMID
 *                                  that the VM has on the CPUs
 * @IOMMU_VIOMMU_ALLOC_KVM_FD: kvm_fd names the VM
 */
enum iommu_viommu_alloc_flags {
	IOMMU_VIOMMU_ALLOC_SHARED_VMID = 1U << 30,
	IOMMU_VIOMMU_ALLOC_KVM_FD = 1U << 31,
};

/**
 * struct iommu_viommu_alloc - ioctl(IOMMU_VIOMMU_ALLOC)
 * @size: sizeof(struct iommu_viommu_alloc); 24, up to and with @out_viommu_id,
 *        is enough for a type without data
 * @flags: Combination of enum iommu_viommu_alloc_flags; also output
 * @type: Type of the virtual IOMMU, one of enum iommu_viommu_type
 * @dev_id: A device behind the physical IOMMU
 * @hwpt_id: The nesting parent: a paging HWPT allocated with
 *           IOMMU_HWPT_ALLOC_NEST_PARENT
 * @out_viommu_id: Output virtual IOMMU ID
 * @data_len: Length of the type specific data
 * @__reserved: Must be 0
 * @data_uptr: User pointer to the type specific data
 * @kvm_fd: File descriptor of the VM, with IOMMU_VIOMMU_ALLOC_KVM_FD. The
 *          virtual IOMMU holds the file, so the VM stays until it is destroyed.
 * @__reserved2: Must be 0
 *
 * Allocate a virtual IOMMU object: the part of one physical IOMMU that one VM
 * uses. It owns the identity that tags the VM's cache entries in hardware, and
 * keeps the nesting parent alive. @dev_id only names the physical IOMMU: the
 * object does not depend on the device.
 *
 * To allocate a nested HWPT on it pass its ID as the pt_id of IOMMU_HWPT_ALLOC.
 * IOMMU_HWPT_INVALIDATE passes cache invalidation commands to it, in the format
 * of the physical IOMMU.
 *
 * Errors in addition to the general ones:
 *
 * - EOPNOTSUPP: an unknown flag or type; type specific data for a type that
 *   takes none; a VM for a type that has no use for one, or from a kernel
 *   without KVM; or the IOMMU, the
 *   device or the firmware does not allow nested translation. Another nesting
 *   parent does not help.
 * - EINVAL: @hwpt_id is not a nesting parent, or this physical IOMMU cannot use
 *   it (page table format, address size, coherence). A parent that is allocated
 *   for @dev_id works. Also missing or short data for a type that takes data,
 *   or @kvm_fd is not a VM.
 * - EBADF: @kvm_fd is not an open file.
 * - ENOSPC: the physical IOMMU has no free identity, or the number that the VM
 *   has on the CPUs is taken there, does not fit, or cannot be kept.
 * - EBUSY: the VM has another virtual IOMMU with its VMID on this physical IOMMU.
 * - EBUSY on IOMMU_DESTROY: the object has children (nested HWPTs, virtual
 *   devices, event queues or hardware queues), or its registers are mapped.
 *
 * Some types have registers for the VM. Their data returns the offset and the
 * length for mmap() on the iommufd, which accepts only these. It fails with
 * EINVAL without MAP_SHARED, with EPERM for PROT_EXEC, and with ENXIO if there
 * is no such region. The mapping is uncached.
 */
struct iommu_viommu_alloc {
	__u32 size;
	__u32 flags;
	__u32 type;
	__u32 dev_id;
	__u32 hwpt_id;
	__u32 out_viommu_id;
	__u32 data_len;
	__u32 __reserved;
	__aligned_u64 data_uptr;
	__s32 kvm_fd;
	__u32 __reserved2;
};

#define IOMMU_VIOMMU_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VIOMMU_ALLOC)

/**
 * struct iommu_vdevice_alloc - ioctl(IOMMU_VDEVICE_ALLOC)
 * @size: sizeof(struct iommu_vdevice_alloc)
 * @viommu_id: Virtual IOMMU ID to associate with the virtual device
 * @dev_id: The physical device; must be behind the physical IOMMU of @viommu_id
 * @out_vdevice_id: Output virtual device ID
 * @virt_id: The ID of the device in the VM, as the VM's IOMMU sees it: the
 *           StreamID of an ARM SMMUv3, the DeviceID of an AMD IOMMU, the
 *           requester ID of Intel VT-d
 *
 * Tell a virtual IOMMU under which ID the guest knows a device. After that
 * guest commands that name the ID reach the device, and a translating nested
 * HWPT can be attached to it.
 *
 * Closing the device's file destroys the object. Its object ID then becomes
 * invalid: IOMMU_DESTROY of it fails with ENOENT, and the ID is not used again
 * before the iommufd is closed.
 *
 * Errors in addition to the general ones:
 *
 * - EEXIST: the device has a virtual device already, or @virt_id is taken on
 *   this virtual IOMMU.
 * - EINVAL: the device is behind another physical IOMMU, or @virt_id is wider
 *   than the IDs of this kind of IOMMU, or VFIO knows the device as one of
 *   another VM than @viommu_id.
 * - EOPNOTSUPP: the IOMMU knows the device by several IDs.
 */
struct iommu_vdevice_alloc {
	__u32 size;
	__u32 viommu_id;
	__u32 dev_id;
	__u32 out_vdevice_id;
	__aligned_u64 virt_id;
};

#define IOMMU_VDEVICE_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VDEVICE_ALLOC)

/**
 * enum iommu_veventq_type - Virtual Event Queue Type
 * @IOMMU_VEVENTQ_TYPE_DEFAULT: Reserved, refused
 * @IOMMU_VEVENTQ_TYPE_ARM_SMMUV3: ARM SMMUv3 event records
 * @IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV: NVIDIA Tegra241 CMDQ-V error maps
 * @IOMMU_VEVENTQ_TYPE_AMD: AMD IOMMU event log entries
 * @IOMMU_VEVENTQ_TYPE_INTEL_VTD: Intel VT-d fault records
 */
enum iommu_veventq_type {
	IOMMU_VEVENTQ_TYPE_DEFAULT = 0,
	IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1,
	IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2,
	IOMMU_VEVENTQ_TYPE_AMD = 0x80000001,
	IOMMU_VEVENTQ_TYPE_INTEL_VTD = 0x80000002,
};

/**
 * struct iommu_veventq_alloc - ioctl(IOMMU_VEVENTQ_ALLOC)
 * @size: sizeof(struct iommu_veventq_alloc)
 * @flags: Must be 0
 * @viommu_id: Virtual IOMMU ID to report events of
 * @type: Type of the events, one of enum iommu_veventq_type
 * @veventq_depth: Maximum number of events in the queue, 1 to 2^19
 * @out_veventq_id: Output event queue ID
 * @out_veventq_fd: Output file descriptor to read the events from. Close it
 *                  before destroying the object.
 * @__reserved: Must be 0
 *
 * Allocate a queue for one type of event of a virtual IOMMU: events that the
 * physical IOMMU raises for the VM's devices and that concern the VM. The
 * memory of the queue is allocated here and charged to the caller.
 *
 * read() returns as many whole records as there are and fit. A record is a
 * &struct iommufd_vevent_header and the payload of the type. read() does not
 * wait: it returns 0 if the queue is empty. poll() reports POLLIN while there
 * are records. A full queue loses new events. It then ends with a header
 * without payload that has IOMMU_VEVENTQ_FLAG_LOST_EVENTS set, unless a later
 * event was queued, whose sequence number shows the loss.
 *
 * Errors in addition to the general ones:
 *
 * - EOPNOTSUPP: a flag, or a type that this virtual IOMMU does not have
 * - EINVAL: a depth of 0 or above the limit
 * - EEXIST: the virtual IOMMU has a queue of this type already
 * - EBUSY on IOMMU_DESTROY: the file is open
 *
 * read() fails with EINVAL if the buffer is smaller than a header or than the
 * first record, and with EFAULT if the record cannot be copied, which leaves it
 * in the queue. The file is a stream: pread() and lseek() fail with ESPIPE.
 */
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

#define IOMMU_VEVENTQ_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VEVENTQ_ALLOC)

/**
 * enum iommu_hw_queue_type - HW Queue Type
 * @IOMMU_HW_QUEUE_TYPE_DEFAULT: Reserved, refused
 * @IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV: NVIDIA Tegra241 CMDQ-V virtual command
 *                                      queue
 */
enum iommu_hw_queue_type {
	IOMMU_HW_QUEUE_TYPE_DEFAULT = 0,
	IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1,
};

/**
 * struct iommu_hw_queue_alloc - ioctl(IOMMU_HW_QUEUE_ALLOC)
 * @size: sizeof(struct iommu_hw_queue_alloc)
 * @flags: Must be 0
 * @viommu_id: Virtual IOMMU ID to associate the queue with
 * @type: Type of the queue, one of enum iommu_hw_queue_type
 * @index: Index of the queue among the virtual IOMMU's queues of this type
 * @out_hw_queue_id: Output hardware queue ID
 * @nesting_parent_iova: Guest physical address of the queue's memory, in the
 *                       IOAS of the nesting parent, in bytes
 * @length: Length of that memory in bytes
 *
 * Let the hardware read a queue in guest memory by itself. The memory must be
 * contiguous in the host's physical memory, not only in the guest's. Back it
 * with a huge page, and show the guest a maximum queue size that fits in one.
 *
 * While the object exists the memory is pinned, and IOMMU_IOAS_UNMAP of any
 * mapping that it touches fails with EBUSY.
 *
 * The type IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV stands for the queues of the
 * virtual interface. Allocate them in the order of their index and destroy them
 * in reverse order. The length must be a power of two, at least 32 and at most
 * 16 times 2^SMMU_IDR1.CMDQS. The physical address must be a multiple of it.
 * The guest enables the queue through the registers that the VMM has mapped for
 * it.
 *
 * Errors in addition to the general ones:
 *
 * - EOPNOTSUPP: a flag, or a type that this virtual IOMMU does not have
 * - EINVAL: a length of 0; the hardware does not support the index, the length
 *   or the alignment; or the memory is being unmapped
 * - EOVERFLOW: the memory wraps around the end of the address space
 * - EEXIST: the virtual IOMMU has a queue of this index already
 * - EIO: the type is ordered and there is no queue at the index below; or the
 *   queues of the virtual IOMMU had to be stopped for good
 * - ETIMEDOUT: the hardware does not respond
 * - ENOENT: part of the memory is not mapped
 * - EPERM: the memory is mapped without IOMMU_IOAS_MAP_READABLE
 * - EFAULT: the memory is not physically contiguous
 * - EBUSY on IOMMU_DESTROY: the type is ordered and there is a queue at the
 *   index above
 */
struct iommu_hw_queue_alloc {
	__u32 size;
	__u32 flags;
	__u32 viommu_id;
	__u32 type;
	__u32 index;
	__u32 out_hw_queue_id;
	__aligned_u64 nesting_parent_iova;
	__aligned_u64 length;
};

#define IOMMU_HW_QUEUE_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HW_QUEUE_ALLOC)

/**
 * enum iommu_veventq_flag - Flags of struct iommufd_vevent_header
 * @IOMMU_VEVENTQ_FLAG_LOST_EVENTS: The queue was full and has lost events. No
 *                                  payload follows.
 */
enum iommu_veventq_flag {
	IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1U << 0,
};

/**
 * struct iommufd_vevent_header - Header of a record of an event queue
 * @flags: Combination of enum iommu_veventq_flag
 * @sequence: Number of the event, 0 to INT_MAX and then 0 again, including lost
 *            events. With IOMMU_VEVENTQ_FLAG_LOST_EVENTS it is the number of
 *            the last lost event.
 */
struct iommufd_vevent_header {
	__u32 flags;
	__u32 sequence;
};

/**
 * struct iommu_vevent_arm_smmuv3 - ARM SMMUv3 event record
 *                                  (IOMMU_VEVENTQ_TYPE_ARM_SMMUV3)
 * @evt: A record in the format of the SMMU's event queue, little endian. Its
 *       StreamID is the virtual one.
 *
 * The VM gets C_BAD_STE, F_STREAM_DISABLED, C_BAD_SUBSTREAMID and C_BAD_CD, and
 * F_TRANSLATION, F_ADDR_SIZE, F_ACCESS and F_PERMISSION if stage 1 faulted and
 * the transaction was terminated. Fields that the architecture leaves unknown
 * in these events, and those that belong to the host, are 0. The host keeps all
 * other events.
 */
struct iommu_vevent_arm_smmuv3 {
	__aligned_le64 evt[4];
};

/**
 * struct iommu_viommu_tegra241_cmdqv - NVIDIA Tegra241 CMDQ-V virtual interface
 *                                      (IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV)
 * @out_vintf_mmap_offset: Output offset for mmap() of the interface's page 0
 * @out_vintf_mmap_length: Output length for mmap(), 64 KiB
 *
 * The virtual IOMMU is one of IOMMU_VIOMMU_TYPE_ARM_SMMUV3 with a virtual
 * interface (VINTF) of the command queue extension: the hardware reads its
 * queues in guest memory. Page 0 of the interface has the queues' indices,
 * enable and error bits. The VMM maps it into its guest. The registers of
 * queues that are not allocated do nothing.
 *
 * The hardware executes TLBI_NH_ASID, TLBI_NH_VA, ATC_INV and CMD_SYNC without
 * a signal from such a queue. The guest's driver recognizes that by the bit
 * HYP_OWN of the interface's configuration, which the VMM must show as 0. All
 * other invalidations of the guest go through IOMMU_HWPT_INVALIDATE, as for the
 * other type.
 *
 * Each virtual device uses one of the interface's pairs of StreamIDs. &struct
 * iommu_hw_info_tegra241_cmdqv returns their number. If none is free
 * IOMMU_VDEVICE_ALLOC fails with ENOSPC. It fails with EINVAL for a virtual
 * StreamID above 0xFFFFF. IOMMU_VIOMMU_ALLOC fails with ENOSPC if the hardware
 * has no free interface, and with EINVAL without this data.
 */
struct iommu_viommu_tegra241_cmdqv {
	__aligned_u64 out_vintf_mmap_offset;
	__aligned_u64 out_vintf_mmap_length;
};

/**
 * struct iommu_vevent_tegra241_cmdqv - NVIDIA Tegra241 CMDQ-V error map
 *                                      (IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV)
 * @lvcmdq_err_map: Queues of the interface that have an error, little endian:
 *                  bit i of word n is the queue of index 64 * n + i
 *
 * Reported whenever a queue gets an error. The guest finds the error in the
 * registers of the queue, and acknowledges it there.
 */
struct iommu_vevent_tegra241_cmdqv {
	__aligned_le64 lvcmdq_err_map[2];
};

/**
 * struct iommu_hw_info_tegra241_cmdqv - NVIDIA Tegra241 CMDQ-V hardware
 *                                       information
 *                                       (IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV)
 * @flags: 0
 * @version: Version of the extension
 * @log2vcmdqs: Log2 of the number of queues of a virtual interface
 * @log2vsids: Log2 of the number of its pairs of StreamIDs
 * @__reserved: 0
 *
 * Returned only if it is requested, with IOMMU_HW_INFO_FLAG_INPUT_TYPE.
 */
struct iommu_hw_info_tegra241_cmdqv {
	__u32 flags;
	__u8 version;
	__u8 log2vcmdqs;
	__u8 log2vsids;
	__u8 __reserved;
};

/**
 * struct iommu_hwpt_arm_smmuv3 - ARM SMMUv3 nested STE
 *                                (IOMMU_HWPT_DATA_ARM_SMMUV3)
 * @ste: The first two double words of the guest's Stream Table Entry, little
 *       endian. Allowed in word 0: V, Config, S1Fmt, S1ContextPtr (51:6) and
 *       S1CDMax; in word 1: S1DSS, S1CIR, S1COR, S1CSH, S1STALLD and EATS.
 *
 * Config may be abort, bypass or stage 1. V=0 means abort, whatever the other
 * bits are. EATS may be 0 or 1; if the device cannot use ATS, 1 is treated as
 * 0. Any other value, and any bit outside the fields above, fails with EIO: the
 * VMM clears such bits, or reports a bad STE to its guest.
 *
 * The hardware reports nothing for an STE that aborts. To show C_BAD_STE for
 * V=0 to the guest the VMM generates that event itself.
 */
struct iommu_hwpt_arm_smmuv3 {
	__aligned_le64 ste[2];
};

/**
 * struct iommu_hw_info_arm_smmuv3 - ARM SMMUv3 hardware information
 *                                   (IOMMU_HW_INFO_TYPE_ARM_SMMUV3)
 * @flags: Combination of enum iommu_hw_info_arm_smmuv3_flags
 * @__reserved: 0
 * @idr: The registers SMMU_IDR0 to SMMU_IDR5
 * @iidr: The register SMMU_IIDR
 * @aidr: The register SMMU_AIDR
 *
 * The registers have the values of the hardware, except for BTM. The VMM selects
 * what it shows to its guest. Only these fields are meaningful:
 *
 * - idr[0]: ST_LEVEL, TERM_MODEL, STALL_MODEL, TTENDIAN, CD2L, ASID16, BTM, TTF
 * - idr[1]: SIDSIZE, SSIDSIZE
 * - idr[3]: BBML, RIL
 * - idr[5]: VAX, GRAN64K, GRAN16K, GRAN4K, DS
 *
 * Treat S1P and COHACC as 1, whatever the registers say. ATS is a
 * property of each device, see IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED. HTTU and MPAM
 * are not available to a guest.
 *
 * BTM is 1 if broadcast TLB invalidations of the CPUs reach the SMMU now, not if
 * the hardware could do so. A guest can only rely on it in a vIOMMU that shares
 * the VMID of its VM, see IOMMU_VIOMMU_ALLOC_SHARED_VMID.
 */
struct iommu_hw_info_arm_smmuv3 {
	__u32 flags;
	__u32 __reserved;
	__u32 idr[6];
	__u32 iidr;
	__u32 aidr;
};

/**
 * enum iommu_hw_info_arm_smmuv3_flags - Flags for ARM SMMUv3 hw_info
 * @IOMMU_HW_INFO_ARM_SMMUV3_TLBI_TWICE: Each batch of TLBI and CFGI commands
 *                                       must be sent a second time
 */
enum iommu_hw_info_arm_smmuv3_flags {
	IOMMU_HW_INFO_ARM_SMMUV3_TLBI_TWICE = 1 << 0,
};

/**
 * struct iommu_viommu_arm_smmuv3_invalidate - ARM SMMUv3 cache invalidation
 *                                 (IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3)
 * @cmd: One command of the guest's command queue, little endian
 *
 * The kernel accepts CMD_TLBI_NSNH_ALL, CMD_TLBI_NH_ALL, CMD_TLBI_NH_ASID,
 * CMD_TLBI_NH_VA, CMD_TLBI_NH_VAA, CMD_CFGI_CD, CMD_CFGI_CD_ALL and
 * CMD_ATC_INV. They only affect the VM: the kernel sets the VMID of the virtual
 * IOMMU and replaces a virtual StreamID by the physical one.
 *
 * Any other command, a command or field that the hardware does not have, a
 * reserved bit, and a virtual StreamID without a virtual device fail with EIO.
 * Ranges and levels however work on any hardware. entry_num then is the index
 * of that command: all commands before it are complete, none after it was
 * started. The return of the ioctl is the CMD_SYNC of the batch. Within the
 * batch commands take effect as if a CMD_SYNC stood wherever the order matters
 * to a guest: a CFGI before a TLBI before a CMD_ATC_INV.
 *
 * The entry_len of &struct iommu_hwpt_invalidate is at least the size of this
 * structure. If it is larger, which it may be up to a page, the bytes behind each
 * command must be 0; E2BIG otherwise.
 *
 * A CMD_ATC_INV for a device whose ATS is off succeeds but is not sent: there is
 * nothing to invalidate. If a device does not answer, the call fails with
 * ETIMEDOUT and entry_num is the index of the first of up to 63 CMD_ATC_INVs of
 * which at least one was not answered.
 */
struct iommu_viommu_arm_smmuv3_invalidate {
	__aligned_le64 cmd[2];
};

/**
 * struct iommu_hwpt_intel_vtd - Intel VT-d PASID table entry
 *                               (IOMMU_HWPT_DATA_INTEL_VTD)
 * @pe: The guest's scalable-mode PASID table entry, little endian
 *
 * With PGTT 1 the guest's first stage nests in the nesting parent. With PGTT 4
 * the nesting parent alone translates, and without P nothing does: these two
 * attach to a device without a virtual device. The guest's domain ID (DID) is
 * the one that its invalidations name; several HWPTs may have the same.
 *
 * Allowed besides are FPD, AW, PWSNP and PGSNP, SRE, EAFE and FLPM of 1 if the
 * hardware has them, and WPE. FPD, AW, PWSNP, PGSNP and the address of a second
 * stage have no effect, as the host's stage decides about these. Any other bit
 * and any other PGTT fails with EIO. To show a second stage to a guest the VMM
 * maps it into an IOAS, and attaches a HWPT of that.
 *
 * Hardware does not read the guest's PASID table. Whenever the guest
 * invalidates the PASID cache, read the entries that this concerns, allocate a
 * HWPT for each that has changed, and attach it in place of the former one.
 * Advertise the caching mode, or the guest will not say that it has made an
 * entry present. A HWPT for PASIDs needs IOMMU_HWPT_ALLOC_PASID, as usual.
 *
 * Other flags of IOMMU_HWPT_ALLOC fail with EOPNOTSUPP.
 */
struct iommu_hwpt_intel_vtd {
	__aligned_le64 pe[8];
};

/**
 * struct iommu_viommu_intel_vtd_invalidate - Intel VT-d cache invalidation
 *                                    (IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD)
 * @desc: One descriptor of the guest's invalidation queue, little endian
 *
 * The kernel accepts descriptors for the context cache, the IOTLB, device TLBs,
 * the PASID-based IOTLB, the PASID cache and PASID-based device TLBs (types 1,
 * 2, 3, 6, 7 and 8). They only affect the VM: a domain ID stands for the HWPTs
 * of this virtual IOMMU that have it, and a requester ID for a virtual device.
 * The kernel sets the queue depth and the PFSID of the device, and drains.
 *
 * The VMM handles all other types itself: it writes the status of a wait
 * descriptor when the ioctl that has the descriptors before it has returned.
 * After an invalidation of the PASID cache or the context cache it attaches
 * what the guest's tables have now; the kernel invalidates all translations of
 * the domain ID, or of the VM.
 *
 * Another type, a field or a value that the hardware does not have, a reserved
 * bit, and a requester ID without a virtual device fail with EIO. entry_num then
 * is the index of that descriptor: all descriptors before it are complete, none
 * after it was started. The guest's descriptors take effect in an order in which
 * no cache can fill with what another one still has. The device TLBs of a HWPT
 * are invalidated with it, since the guest may not use ATS while the host does;
 * a descriptor for a device whose ATS is off succeeds and is not sent.
 *
 * The entry_len of &struct iommu_hwpt_invalidate is 16 or 32, as the guest's
 * queue has it. If it is larger, or in between, the bytes behind the descriptor
 * must be 0; E2BIG otherwise.
 *
 * If a device does not answer, the call fails with ETIMEDOUT and entry_num is
 * the index of the first of up to 126 descriptors of which at least one was not
 * answered: show the guest an invalidation time-out (ITE) there.
 */
struct iommu_viommu_intel_vtd_invalidate {
	__aligned_le64 desc[4];
};

/**
 * struct iommu_vevent_intel_vtd - Intel VT-d fault record
 *                                 (IOMMU_VEVENTQ_TYPE_INTEL_VTD)
 * @rec: A record in the format of the fault recording registers, little endian.
 *       Its source ID is the virtual one.
 *
 * The VM gets the faults of its first stage (reasons 0x70 to 0x73, 0x80 to
 * 0x82, 0x85 to 0x87, 0x90), and 0x51 and 0x59 of a request with a PASID. If
 * the guest's tables are at an address that the nesting parent does not map,
 * the reason is 0x70, for the root table 0x73. The host keeps all others.
 */
struct iommu_vevent_intel_vtd {
	__aligned_le64 rec[2];
};

/**
 * struct iommu_hw_info_amd - AMD IOMMU hardware information
 *                            (IOMMU_HW_INFO_TYPE_AMD)
 * @efr: The extended feature register (EFR)
 * @efr2: The extended feature register 2 (EFR2)
 *
 * The registers have the values that all IOMMUs of the host have in common. The
 * VMM selects what it shows to its guest: no more than GTSup, GIOSup, PPRSup,
 * EPHSup, GATS, GLXSup and PASmax of @efr, and IASup, which the kernel
 * emulates. Show HATS as 3, so that the guest only uses tables of the format
 * that nests.
 */
struct iommu_hw_info_amd {
	__aligned_u64 efr;
	__aligned_u64 efr2;
};

/**
 * struct iommu_hwpt_amd_guest - AMD IOMMU device table entry
 *                               (IOMMU_HWPT_DATA_AMD_GUEST)
 * @dte: The guest's device table entry (DTE), 256 bits
 *
 * What the entry does:
 *
 * - V=0, or V=TV=1 without GV and with IR or IW: requests pass the guest's
 *   IOMMU, so the nesting parent alone translates them. IR and IW apply.
 * - V=1 and TV=0, or V=TV=1 without GV, IR and IW: nothing passes.
 * - V=TV=GV=1: the guest's GCR3 table nests in the nesting parent.
 *
 * The first two attach to a device without a virtual device. Fields that the
 * hardware does not use in a state are ignored, and so is the half for
 * interrupts. With TV=1 the kernel accepts GLX, the GCR3 root and GuestPagingMode
 * as the hardware has them, GIOV, IR, IW, I and DomainID. Mode must be 0. Any
 * other bit fails with EIO, and so does a GCR3 root beyond the address size of
 * the nesting parent.
 *
 * DomainID is the one that the guest's invalidations name: several HWPTs may
 * have the same. The host uses an ID of its own for each one of a virtual IOMMU.
 * If there are too many, IOMMU_HWPT_ALLOC fails with ENOSPC.
 *
 * I=1 says that the guest invalidates the TLB of the device itself. With I=0 the
 * kernel does so along with the DomainID, as the host may use ATS nevertheless.
 *
 * The hardware does not read the guest's device table: at each
 * INVALIDATE_DEVTAB_ENTRY of the guest read its entry, allocate a HWPT if it has
 * changed, and attach it in place of the former one. That does not disturb DMA,
 * unless GuestPagingMode changes, which aborts it for a moment.
 *
 * IOMMU_HWPT_ALLOC accepts no flags, EOPNOTSUPP otherwise.
 */
struct iommu_hwpt_amd_guest {
	__aligned_u64 dte[4];
};

/**
 * struct iommu_viommu_amd_invalidate - AMD IOMMU cache invalidation
 *                                      (IOMMU_VIOMMU_INVALIDATE_DATA_AMD)
 * @cmd: One command of the guest's command buffer, little endian
 *
 * The kernel accepts INVALIDATE_DEVTAB_ENTRY, INVALIDATE_IOMMU_PAGES,
 * INVALIDATE_IOTLB_PAGES, PREFETCH_IOMMU_PAGES and INVALIDATE_IOMMU_ALL (opcodes
 * 2, 3, 4, 6 and 8), the last two if the EFR has PreFSup and IASup. They only
 * affect the VM: a DomainID stands for the HWPTs of this virtual IOMMU that have
 * it, a DeviceID for a virtual device. A DomainID without a HWPT succeeds. So
 * does a prefetch; it is not sent.
 *
 * The VMM handles all other commands itself. It executes a COMPLETION_WAIT when
 * the ioctl that has the commands before it has returned, and an
 * INVALIDATE_DEVTAB_ENTRY before it passes that on, see &struct
 * iommu_hwpt_amd_guest.
 *
 * Another opcode, a reserved bit, a PASID that the hardware does not have, and a
 * DeviceID without a virtual device fail with EIO. entry_num then is the index
 * of that command: all commands before it are complete, none after it was
 * started.
 *
 * The entry_len of &struct iommu_hwpt_invalidate is at least the size of this
 * structure. If it is larger, the bytes behind each command must be 0; E2BIG
 * otherwise.
 *
 * If the IOMMU does not complete the commands in time, for instance since a
 * device does not answer, the call fails with ETIMEDOUT and entry_num is the
 * index of the first of up to 256 commands that may not be complete.
 */
struct iommu_viommu_amd_invalidate {
	__aligned_le64 cmd[2];
};

/**
 * struct iommu_vevent_amd - AMD IOMMU event log entry
 *                           (IOMMU_VEVENTQ_TYPE_AMD)
 * @evt: An entry in the format of the event log, little endian. Its DeviceID is
 *       the virtual one, its DomainID the guest's.
 *
 * The VM gets IO_PAGE_FAULT and INVALID_DEVICE_REQUEST of a device that is
 * attached to a nested HWPT, unless the nesting parent alone translates the
 * request. The host keeps all other events.
 */
struct iommu_vevent_amd {
	__aligned_le64 evt[2];
};

#endif /* _UAPI_IOMMUFD_VIOMMU_H */
