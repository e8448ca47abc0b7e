// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls of a VMM that gives its guest an SMMUv3, in the order of a VM's
 * life
 *
 *	viommu_example /dev/vfio/devices/vfioN [MILLISECONDS]
 *
 * The device is bound to its vfio driver and behind an SMMUv3 that can nest.
 * There is no guest: the program makes up the guest's stream table entries and
 * commands. With the last entry in force it waits for an event, at most that
 * long.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/*
 * The addresses of the guest's memory and of the device's BAR, and the StreamID
 * of the device in the guest
 */
#define RAM_IPA		0x40000000ULL
#define RAM_SIZE	0x200000UL
#define BAR_IPA		0x10000000ULL
#define VSID		0x10ULL
#define ASID		1ULL

/*
 * A guest's stream table entry: V and Config, and attributes of the table walk
 */
#define STE_0_BYPASS	0x9ULL
#define STE_0_S1	0xbULL
#define STE_1_CACHED	0xd4ULL

/* The guest's commands */
#define CFGI_CD		(0x05ULL | VSID << 32)
#define TLBI_NH_ASID	(0x11ULL | ASID << 48)
#define CMD_SYNC	0x46ULL

struct vm {
	int iommufd;
	int device;	/* the vfio cdev */
	int memory;	/* the file of the guest's memory */
	int events;	/* to read events from */
	/* IDs of objects; s1 is for the last STE that the guest wrote */
	__u32 dev, ioas, s2, viommu, bypass, vdevice, veventq, s1;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* An ioctl that must succeed */
#define CALL(fd, request, arg) \
	(ioctl(fd, request, arg) < 0 ? die(#request) : (void)0)

static void destroy(struct vm *vm, __u32 id)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = id };

	CALL(vm->iommufd, IOMMU_DESTROY, &destroy);
}

/*
 * Map the guest's memory in an IOAS, which needs no device. The memory is a
 * file, so another process can take over the VM: it gets the file, the iommufd
 * and the device, and calls IOMMU_IOAS_CHANGE_PROCESS.
 */
static void make_memory(struct vm *vm)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.length = RAM_SIZE,
		.iova = RAM_IPA,
	};

	/* A real VM uses huge pages: MFD_HUGETLB */
	vm->memory = memfd_create("guest memory", MFD_CLOEXEC);
	if (vm->memory < 0 || ftruncate(vm->memory, RAM_SIZE))
		die("guest memory");
	CALL(vm->iommufd, IOMMU_IOAS_ALLOC, &ioas);
	vm->ioas = ioas.out_ioas_id;
	map.ioas_id = vm->ioas;
	map.fd = vm->memory;
	CALL(vm->iommufd, IOMMU_IOAS_MAP_FILE, &map);
}

/*
 * Map the device's first BAR where the guest has it, for DMA of other devices
 * of the VM. Not every BAR can be mapped; then it is out of their reach.
 */
static void map_bar(struct vm *vm)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar) };
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_dma_buf get;
		struct vfio_region_dma_range range;
	} export = {
		.feature = {
			.argsz = sizeof(export),
			.flags = VFIO_DEVICE_FEATURE_GET |
				 VFIO_DEVICE_FEATURE_DMA_BUF,
		},
		.get = { .open_flags = O_RDWR | O_CLOEXEC, .nr_ranges = 1 },
	};
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = vm->ioas,
		.iova = BAR_IPA,
	};

	CALL(vm->device, VFIO_DEVICE_GET_REGION_INFO, &bar);
	export.range.length = bar.size;
	map.length = bar.size;
	map.fd = ioctl(vm->device, VFIO_DEVICE_FEATURE, &export);
	if (map.fd < 0) {
		printf("no mapping of the BAR: %m\n");
		return;
	}
	CALL(vm->iommufd, IOMMU_IOAS_MAP_FILE, &map);
	close(map.fd);
	printf("BAR: %#llx bytes mapped\n", (unsigned long long)bar.size);
}

static void bind_device(struct vm *vm)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = vm->iommufd,
	};
	struct iommu_hw_info_arm_smmuv3 smmu = {};
	struct iommu_hw_info info = {
		.size = sizeof(info),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.in_data_type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
		.data_len = sizeof(smmu),
		.data_uptr = (uintptr_t)&smmu,
	};

	CALL(vm->device, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	vm->dev = bind.out_devid;
	/* The most that the guest's SMMU may support */
	info.dev_id = vm->dev;
	CALL(vm->iommufd, IOMMU_GET_HW_INFO, &info);
	printf("SMMU: IDR0 %#x IDR1 %#x\n", smmu.idr[0], smmu.idr[1]);
}

/* Allocate the HWPT for a guest's stream table entry */
static __u32 alloc_nested(struct vm *vm, __u64 word0, __u64 word1)
{
	struct iommu_hwpt_arm_smmuv3 ste = {
		.ste = { htole64(word0), htole64(word1) },
	};
	struct iommu_hwpt_alloc hwpt = {
		.size = sizeof(hwpt),
		.dev_id = vm->dev,
		.pt_id = vm->viommu,
		.data_type = IOMMU_HWPT_DATA_ARM_SMMUV3,
		.data_len = sizeof(ste),
		.data_uptr = (uintptr_t)&ste,
	};

	CALL(vm->iommufd, IOMMU_HWPT_ALLOC, &hwpt);
	return hwpt.out_hwpt_id;
}

/* Attach the device; replaces the current translation without a gap */
static void attach(struct vm *vm, __u32 hwpt)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = hwpt,
	};

	CALL(vm->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

/*
 * The stage 2, a vIOMMU on it, and HWPTs for the time when the guest's SMMU is
 * off
 */
static void make_viommu(struct vm *vm)
{
	struct iommu_hwpt_alloc parent = {
		.size = sizeof(parent),
		.flags = IOMMU_HWPT_ALLOC_NEST_PARENT,
		.dev_id = vm->dev,
		.pt_id = vm->ioas,
	};
	struct iommu_viommu_alloc viommu = {
		.size = sizeof(viommu),
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = vm->dev,
	};

	CALL(vm->iommufd, IOMMU_HWPT_ALLOC, &parent);
	vm->s2 = parent.out_hwpt_id;
	viommu.hwpt_id = vm->s2;
	CALL(vm->iommufd, IOMMU_VIOMMU_ALLOC, &viommu);
	vm->viommu = viommu.out_viommu_id;
	vm->bypass = alloc_nested(vm, STE_0_BYPASS, 0);
	attach(vm, vm->bypass);
}

/* The guest enables its SMMU and its event queue, and configures the stream */
static void enable_stream(struct vm *vm)
{
	struct iommu_veventq_alloc veventq = {
		.size = sizeof(veventq),
		.viommu_id = vm->viommu,
		.type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
		.veventq_depth = 64,
	};
	struct iommu_vdevice_alloc vdevice = {
		.size = sizeof(vdevice),
		.viommu_id = vm->viommu,
		.dev_id = vm->dev,
		.virt_id = VSID,
	};

	CALL(vm->iommufd, IOMMU_VEVENTQ_ALLOC, &veventq);
	vm->veventq = veventq.out_veventq_id;
	vm->events = veventq.out_veventq_fd;
	CALL(vm->iommufd, IOMMU_VDEVICE_ALLOC, &vdevice);
	vm->vdevice = vdevice.out_vdevice_id;
}

/* The guest has written a stream table entry and sent CMD_CFGI_STE for it */
static void write_ste(struct vm *vm, __u64 word0, __u64 word1)
{
	__u32 old = vm->s1;

	vm->s1 = alloc_nested(vm, word0, word1);
	attach(vm, vm->s1);
	if (old)
		destroy(vm, old);
}

/* The guest has sent commands; returns how many are complete in hardware */
static __u32 invalidate(struct vm *vm, __u32 num,
			const struct iommu_viommu_arm_smmuv3_invalidate *cmds)
{
	struct iommu_hwpt_invalidate inv = {
		.size = sizeof(inv),
		.hwpt_id = vm->viommu,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.data_uptr = (uintptr_t)cmds,
		.entry_len = sizeof(*cmds),
		.entry_num = num,
	};

	/* EIO: the command after those is the guest's mistake */
	if (ioctl(vm->iommufd, IOMMU_HWPT_INVALIDATE, &inv) < 0 && errno != EIO)
		die("IOMMU_HWPT_INVALIDATE");
	return inv.entry_num;
}

static void send_commands(struct vm *vm)
{
	const struct iommu_viommu_arm_smmuv3_invalidate cmds[] = {
		{ { htole64(CFGI_CD), 0 } },
		{ { htole64(TLBI_NH_ASID), 0 } },
		{ { htole64(CMD_SYNC), 0 } },
	};

	/* A batch ends before a CMD_SYNC, which is not passed on */
	if (invalidate(vm, 2, cmds) != 2 || invalidate(vm, 3, cmds) != 2) {
		fprintf(stderr, "a wrong count of complete commands\n");
		exit(1);
	}
	printf("commands complete: 2 of 2, 2 of 3\n");
}

static void read_events(struct vm *vm, int timeout)
{
	struct pollfd wait = { .fd = vm->events, .events = POLLIN };
	struct {
		struct iommufd_vevent_header header;
		struct iommu_vevent_arm_smmuv3 event;
	} records[16], *r = records;
	ssize_t len;

	printf("waiting %d ms for an event\n", timeout);
	if (poll(&wait, 1, timeout) < 0)
		die("poll");
	len = read(vm->events, records, sizeof(records));
	if (len < 0)
		die("read");
	for (; len >= (ssize_t)sizeof(*r); len -= sizeof(*r), r++)
		printf("event %u: type %#x of StreamID %#x\n", r->header.sequence,
		       (__u32)le64toh(r->event.evt[0]) & 0xff,
		       (__u32)(le64toh(r->event.evt[0]) >> 32));
	/* A header without payload is the last record of a read */
	if (len && r->header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS)
		printf("events up to %u are lost\n", r->header.sequence);
}

/* In reverse order; if the process just exits the kernel does this */
static void take_apart(struct vm *vm)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	attach(vm, vm->bypass);
	destroy(vm, vm->s1);
	destroy(vm, vm->vdevice);
	if (close(vm->events))
		die("close");
	destroy(vm, vm->veventq);
	CALL(vm->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
	destroy(vm, vm->bypass);
	destroy(vm, vm->viommu);
	destroy(vm, vm->s2);
	destroy(vm, vm->ioas);
	if (close(vm->device) || close(vm->iommufd))
		die("close");
	printf("taken apart\n");
}

int main(int argc, char **argv)
{
	struct vm vm = {};

	setvbuf(stdout, NULL, _IOLBF, 0);
	vm.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	vm.device = open(argc > 1 ? argv[1] : "", O_RDWR | O_CLOEXEC);
	if (vm.iommufd < 0 || vm.device < 0)
		die("open /dev/iommu and a vfio device");
	make_memory(&vm);
	bind_device(&vm);
	map_bar(&vm);
	make_viommu(&vm);
	enable_stream(&vm);
	/* Its context descriptors are 0, here and then in the next page */
	write_ste(&vm, STE_0_S1 | RAM_IPA, STE_1_CACHED);
	write_ste(&vm, STE_0_S1 | (RAM_IPA + 0x1000), STE_1_CACHED);
	send_commands(&vm);
	read_events(&vm, argc > 2 ? atoi(argv[2]) : 0);
	take_apart(&vm);
	return 0;
}
