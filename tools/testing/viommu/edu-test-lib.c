// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "edu-test-lib.h"
#include "../selftests/iommu/map_file_utils.h"

#define EDU_BAR_SIZE		0x100000
#define EDU_IRQ_RAISE		0x60
#define EDU_IRQ_ACK		0x64
#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98
#define EDU_DMA_RUN		BIT(0)
#define EDU_DMA_TO_RAM		BIT(1)
#define EDU_BUFFER		0x40000

/* The iommufd's ioctls */

int ioas_map(struct vm *vm, unsigned int page, unsigned int npages, uint64_t ipa)
{
	if (vm->memfd >= 0)
		return iommufd_ioas_map_file(vm->fd, vm->ioas, MAP_RW, vm->memfd,
					     page * PAGE_SIZE,
					     npages * PAGE_SIZE, ipa);
	return iommufd_ioas_map(vm->fd, vm->ioas, MAP_RW, vm_page(vm, page),
				npages * PAGE_SIZE, ipa);
}

int ioas_unmap(struct vm *vm, uint64_t ipa, uint64_t length)
{
	return iommufd_ioas_unmap(vm->fd, vm->ioas, ipa, length);
}

int hwpt_alloc(struct vm *vm, struct edu *edu, uint32_t pt_id, uint32_t flags,
	       uint32_t *id)
{
	return iommufd_hwpt_alloc(vm->fd, edu->id, pt_id, flags, id);
}

int nested_alloc(struct vm *vm, struct edu *edu, uint32_t viommu, uint64_t ste0,
		 uint64_t ste1, uint32_t *id)
{
	const struct iommu_hwpt_arm_smmuv3 data = { .ste = { ste0, ste1 } };

	return iommufd_nested_alloc(vm->fd, edu->id, viommu, 0,
				    IOMMU_HWPT_DATA_ARM_SMMUV3, &data,
				    sizeof(data), id);
}

int viommu_alloc(struct vm *vm, struct edu *edu, uint32_t s2, uint32_t *id)
{
	return iommufd_viommu_alloc(vm->fd, edu->id, s2,
				    IOMMU_VIOMMU_TYPE_ARM_SMMUV3, NULL, 0, id);
}

int vintf_alloc(struct vm *vm, struct edu *edu, uint32_t s2, uint32_t *id,
		uint64_t *page0)
{
	struct iommu_viommu_tegra241_cmdqv data = {};
	int rc = iommufd_viommu_alloc(vm->fd, edu->id, s2,
				      IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, &data,
				      sizeof(data), id);

	*page0 = data.out_vintf_mmap_offset;
	if (!rc && data.out_vintf_mmap_length != 0x10000)
		return -EPROTO;
	return rc;
}

int vdevice_alloc(struct vm *vm, struct edu *edu, uint32_t viommu,
		  uint64_t virt_id, uint32_t *id)
{
	return iommufd_vdevice_alloc(vm->fd, viommu, edu->id, virt_id, id);
}

int veventq_alloc(struct vm *vm, uint32_t depth, uint32_t *id)
{
	int event_fd;
	int rc = iommufd_veventq_alloc(vm->fd, vm->viommu,
				       IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, depth, id,
				       &event_fd);

	return rc ? rc : event_fd;
}

int destroy(struct vm *vm, uint32_t id)
{
	return iommufd_destroy(vm->fd, id);
}

int invalidate(struct vm *vm, const cmd_t *cmds, uint32_t *num)
{
	return iommufd_invalidate(vm->fd, vm->viommu,
				  IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, cmds,
				  sizeof(*cmds), num);
}

int invalidate_one(struct vm *vm, uint64_t w0, uint64_t w1)
{
	uint32_t num = 1;
	int rc = invalidate(vm, &CMD(w0, w1), &num);

	return num == !rc ? rc : -EBADMSG;
}

/* The guest's stage 1 */

void *vm_page(struct vm *vm, unsigned int page)
{
	return vm->mem + page * PAGE_SIZE;
}

static void *vm_ipa(struct vm *vm, uint64_t ipa)
{
	return vm->mem + (ipa - GUEST_IPA);
}

static uint64_t vm_table_alloc(struct vm *vm)
{
	if (vm->tables + 1 == GUEST_DATA)
		abort();
	return IPA(++vm->tables);
}

/* Write in one access, visible to the device before the caller continues */
static void guest_write(uint64_t *where, uint64_t value)
{
	__atomic_store_n(where, value, __ATOMIC_SEQ_CST);
	__sync_synchronize();
}

void s1_set_root(struct s1 *s1, struct vm *vm, uint64_t *root)
{
	s1->root = root;
	guest_write(&s1->cd[1], GUEST_IPA + ((uint8_t *)root - vm->mem));
}

void s1_init(struct s1 *s1, struct vm *vm, uint16_t asid)
{
	s1->asid = asid;
	s1->cd_ipa = GUEST_IPA + 64 * vm->cds++;
	s1->cd = vm_ipa(vm, s1->cd_ipa);
	s1->cd[3] = 0xff;			/* attribute 0: write-back */
	s1_set_root(s1, vm, vm_ipa(vm, vm_table_alloc(vm)));
	guest_write(&s1->cd[0],
		    25 |			/* 39 bits, 4K granule */
		    1 << 8 | 1 << 10 | 3 << 12 |/* walks: write-back, shareable */
		    BIT(30) |			/* no TTB1 */
		    BIT(31) |			/* valid */
		    2ULL << 32 |		/* 40 bits of IPA */
		    BIT(41) |			/* AArch64 */
		    BIT(45) | BIT(46) | BIT(47) | /* record, abort, ASID not shared */
		    CMD_0_ASID(asid));
}

void s1_map(struct s1 *s1, struct vm *vm, uint64_t iova, uint64_t ipa,
	    uint64_t attrs)
{
	uint64_t *table = s1->root, *pte;
	int shift;

	for (shift = 30; shift > 12; shift -= 9) {
		pte = &table[iova >> shift & 511];
		if (!*pte)
			guest_write(pte, vm_table_alloc(vm) | PTE_TABLE);
		table = vm_ipa(vm, *pte & PTE_ADDR);
	}
	guest_write(&table[iova >> 12 & 511], ipa | attrs);
}

int s1_hwpt_alloc(struct s1 *s1, struct vm *vm, struct edu *edu, uint32_t *id)
{
	return nested_alloc(vm, edu, vm->viommu, STE_S1 | s1->cd_ipa,
			    STE_1_CD_CACHED, id);
}

/* The device */

/* The sysfs directory of the nth edu device bound to vfio-pci */
static int edu_sysfs(int nth, char *path)
{
	unsigned int vendor, device;
	char name[PATH_MAX];
	int i, rc = -ENODEV;
	glob_t found;
	FILE *f;

	if (glob("/sys/bus/pci/devices/*/vfio-dev", 0, NULL, &found))
		return -ENODEV;
	for (i = 0; i < (int)found.gl_pathc && rc; i++) {
		*strrchr(found.gl_pathv[i], '/') = '\0';
		snprintf(name, sizeof(name), "%s/uevent", found.gl_pathv[i]);
		f = fopen(name, "r");
		if (!f)
			continue;
		while (fgets(name, sizeof(name), f)) {
			if (sscanf(name, "PCI_ID=%x:%x", &vendor, &device) == 2 &&
			    vendor == 0x1234 && device == 0x11e8 && nth-- == 0) {
				strcpy(path, found.gl_pathv[i]);
				rc = 0;
			}
		}
		fclose(f);
	}
	globfree(&found);
	return rc;
}

int edu_count(void)
{
	char path[PATH_MAX];
	int n = 0;

	while (!edu_sysfs(n, path))
		n++;
	return n;
}

int edu_rid(int nth)
{
	unsigned int bus, dev, fn;
	char path[PATH_MAX];
	int rc = edu_sysfs(nth, path);

	if (rc)
		return rc;
	if (sscanf(strrchr(path, '/'), "/%*x:%x:%x.%x", &bus, &dev, &fn) != 3)
		return -EINVAL;
	return bus << 8 | dev << 3 | fn;
}

/* Do two devices have the same @link in sysfs? */
static bool edu_same(int nth, int other, const char *link)
{
	char path[PATH_MAX], target[2][PATH_MAX];
	int i;

	for (i = 0; i < 2; i++) {
		if (edu_sysfs(i ? other : nth, path))
			return false;
		strcat(path, link);
		if (!realpath(path, target[i]))
			return false;
	}
	return !strcmp(target[0], target[1]);
}

bool edu_same_smmu(int nth, int other)
{
	return edu_same(nth, other, "/iommu");
}

bool edu_same_group(int nth, int other)
{
	return edu_same(nth, other, "/iommu_group");
}

bool edu_has_cmdqv(void)
{
	return !access("/sys/bus/acpi/devices/NVDA200C:00", F_OK);
}

const char *edu_iommu_file(int nth, const char *name)
{
	static char value[64];
	char path[PATH_MAX];
	size_t len;
	FILE *f;

	if (edu_sysfs(nth, path))
		return "no device";
	strcat(path, "/iommu/viommu/");
	strcat(path, name);
	f = fopen(path, "r");
	if (!f)
		return "no file";
	len = fread(value, 1, sizeof(value) - 1, f);
	value[len] = '\0';
	fclose(f);
	return value;
}

static void edu_write(struct edu *edu, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(edu->bar + reg) = value;
}

int edu_open(struct edu *edu, int nth)
{
	char path[PATH_MAX], link[PATH_MAX];
	glob_t found;
	int rc;

	edu->token = 0xed0d0c0ffee00000ULL + nth;
	rc = edu_sysfs(nth, path);
	if (rc)
		return rc;
	snprintf(edu->bdf, sizeof(edu->bdf), "%s", strrchr(path, '/') + 1);
	strcat(path, "/iommu");
	if (!realpath(path, link))
		return -errno;
	snprintf(edu->smmu, sizeof(edu->smmu), "%s", strrchr(link, '/') + 1);
	*strrchr(path, '/') = '\0';
	strcat(path, "/vfio-dev/vfio*");
	if (glob(path, 0, NULL, &found))
		return -ENODEV;
	snprintf(path, sizeof(path), "/dev/vfio/devices%s",
		 strrchr(found.gl_pathv[0], '/'));
	globfree(&found);

	edu->fd = open(path, O_RDWR | O_CLOEXEC);
	return edu->fd < 0 ? -errno : 0;
}

int edu_bind(struct edu *edu, int iommufd)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = iommufd,
	};
	int rc = xioctl(edu->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	edu->id = bind.out_devid;
	return rc ? rc : edu_enable(edu);
}

int edu_enable(struct edu *edu)
{
	struct vfio_region_info bar = {
		.argsz = sizeof(bar),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	void *bar_mem;
	int rc;

	rc = xioctl(edu->fd, VFIO_DEVICE_GET_REGION_INFO, &bar);
	if (!rc)
		rc = xioctl(edu->fd, VFIO_DEVICE_GET_REGION_INFO, &config);
	if (rc)
		return rc;
	if (pwrite(edu->fd, &command, sizeof(command),
		   config.offset + PCI_COMMAND) != sizeof(command))
		return -EIO;
	bar_mem = mmap(NULL, EDU_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       edu->fd, bar.offset);
	if (bar_mem == MAP_FAILED)
		return -errno;
	edu->bar = bar_mem;
	/* An earlier process may have died in the middle of a DMA */
	return edu_dma_wait(edu);
}

int edu_export_bar(struct edu *edu, unsigned int index, __u32 flags,
		      const struct vfio_region_dma_range *ranges, __u32 num)
{
	union {
		struct vfio_device_feature feature;
		__u8 bytes[sizeof(struct vfio_device_feature) +
			   sizeof(struct vfio_device_feature_dma_buf) +
			   65 * sizeof(*ranges)];
	} call = {};
	struct vfio_device_feature_dma_buf *get = (void *)call.feature.data;
	int rc;

	call.feature.argsz = sizeof(call.feature) + sizeof(*get) +
			     num * sizeof(*ranges);
	call.feature.flags = VFIO_DEVICE_FEATURE_GET |
			     VFIO_DEVICE_FEATURE_DMA_BUF;
	get->region_index = index;
	get->open_flags = flags;
	get->nr_ranges = num;
	memcpy(get->dma_ranges, ranges, num * sizeof(*ranges));
	rc = ioctl(edu->fd, VFIO_DEVICE_FEATURE, &call);
	return rc < 0 ? -errno : rc;
}

int edu_memory_decode(struct edu *edu, bool on)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command = PCI_COMMAND_MASTER | (on ? PCI_COMMAND_MEMORY : 0);
	int rc = xioctl(edu->fd, VFIO_DEVICE_GET_REGION_INFO, &config);

	if (rc)
		return rc;
	return pwrite(edu->fd, &command, sizeof(command),
		      config.offset + PCI_COMMAND) == sizeof(command) ? 0 : -EIO;
}

/* Unmap first: the mapping keeps the device open */
void edu_close(struct edu *edu)
{
	if (edu->bar)
		munmap((void *)edu->bar, EDU_BAR_SIZE);
	edu->bar = NULL;
	if (edu->fd >= 0)
		close(edu->fd);
	edu->fd = -1;
}

void edu_dma_start(struct edu *edu, bool to_ram, uint64_t iova, size_t len)
{
	edu_write(edu, EDU_DMA_SRC, to_ram ? EDU_BUFFER : iova);
	edu_write(edu, EDU_DMA_DST, to_ram ? iova : EDU_BUFFER);
	edu_write(edu, EDU_DMA_COUNT, len);
	__sync_synchronize();
	edu_write(edu, EDU_DMA_CMD, EDU_DMA_RUN | (to_ram ? EDU_DMA_TO_RAM : 0));
}

bool edu_dma_runs(struct edu *edu)
{
	return *(volatile uint64_t *)(edu->bar + EDU_DMA_CMD) & EDU_DMA_RUN;
}

int edu_dma_wait(struct edu *edu)
{
	int i;

	/* The device takes 100 ms */
	for (i = 0; i < 10000; i++) {
		if (!edu_dma_runs(edu)) {
			__sync_synchronize();
			return 0;
		}
		usleep(1000);
	}
	return -ETIMEDOUT;
}

int edu_dma(struct edu *edu, bool to_ram, uint64_t iova, size_t len)
{
	edu_dma_start(edu, to_ram, iova, len);
	return edu_dma_wait(edu);
}

int edu_load_token(struct edu *edu, struct vm *vm)
{
	*(uint64_t *)vm_page(vm, PAGE_A) = edu->token;
	return edu_dma(edu, false, IPA(PAGE_A), sizeof(edu->token));
}

int vm_find_token(struct vm *vm, uint64_t token, size_t offset)
{
	int page;

	for (page = GUEST_DATA; page < GUEST_PAGES; page++)
		if (*(volatile uint64_t *)(vm_page(vm, page) + offset) == token)
			return page;
	return NOWHERE;
}

int edu_lands(struct edu *edu, struct vm *vm, uint64_t iova)
{
	size_t offset = iova % PAGE_SIZE;
	int page, rc;

	for (page = GUEST_DATA; page < GUEST_PAGES; page++)
		*(volatile uint64_t *)(vm_page(vm, page) + offset) = 0;
	rc = edu_dma(edu, true, iova, sizeof(edu->token));
	return rc ? rc : vm_find_token(vm, edu->token, offset);
}

int edu_attach(struct edu *edu, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.pt_id = pt_id,
	};

	return xioctl(edu->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd);
}

int edu_detach(struct edu *edu)
{
	struct vfio_device_detach_iommufd_pt cmd = { .argsz = sizeof(cmd) };

	return xioctl(edu->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd);
}

int edu_irq_eventfd(struct edu *edu, int eventfd)
{
	struct {
		struct vfio_irq_set set;
		int32_t fd;
	} cmd = {
		.set.argsz = sizeof(cmd),
		.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.set.index = VFIO_PCI_MSI_IRQ_INDEX,
		.set.count = 1,
		.fd = eventfd,
	};

	return xioctl(edu->fd, VFIO_DEVICE_SET_IRQS, &cmd);
}

int edu_irq_raise(struct edu *edu, int eventfd, bool expected)
{
	struct pollfd poll_in = { .fd = eventfd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&poll_in, 1, 0))
		return read(eventfd, &count, sizeof(count)) < 0 ? -EIO : -EBUSY;
	*(volatile uint32_t *)(edu->bar + EDU_IRQ_RAISE) = 1;
	if (poll(&poll_in, 1, expected ? 20000 : 500) > 0 &&
	    read(eventfd, &count, sizeof(count)) != sizeof(count))
		return -EIO;
	*(volatile uint32_t *)(edu->bar + EDU_IRQ_ACK) = 1;
	return count;
}

/* A VM, stage by stage */

/* How a VM differs from the usual one */
enum { WITH_VINTF = 1, WITH_MEMFD = 2 };

static int vm_memory(struct vm *vm, unsigned int with)
{
	const size_t size = GUEST_PAGES * PAGE_SIZE;
	int rc;

	vm->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (vm->fd < 0)
		return -errno;
	if (with & WITH_MEMFD) {
		vm->memfd = memfd(MFD_CLOEXEC, size);
		if (vm->memfd < 0)
			return vm->memfd;
	}
	vm->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | (vm->memfd < 0 ? MAP_ANONYMOUS : 0),
		       vm->memfd, 0);
	if (vm->mem == MAP_FAILED)
		return -errno;
	rc = iommufd_ioas_alloc(vm->fd, &vm->ioas);
	return rc ? rc : ioas_map(vm, 0, GUEST_PAGES, GUEST_IPA);
}

static int vm_bind(struct vm *vm, struct edu *edu, int nth)
{
	int rc = edu_open(edu, nth);

	return rc ? rc : edu_bind(edu, vm->fd);
}

static int vm_hwpts(struct vm *vm, struct edu *edu)
{
	int rc = nested_alloc(vm, edu, vm->viommu, STE_ABORT, 0, &vm->abort);

	return rc ? rc : nested_alloc(vm, edu, vm->viommu, STE_BYPASS, 0,
				      &vm->bypass);
}

static int vm_attach_bypass(struct vm *vm, struct edu *edu)
{
	int rc = edu_attach(edu, vm->bypass);

	return rc ? rc : edu_load_token(edu, vm);
}

static int vm_s1(struct vm *vm, struct edu *edu)
{
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	return s1_hwpt_alloc(&vm->s1, vm, edu, &vm->s1_hwpt);
}

static int build_more(struct vm *vm, struct edu *edu, int nth_edu,
		      enum vm_stage stage, enum vm_stage upto, unsigned int with)
{
	int rc = 0;

	for (; stage <= upto && !rc; stage++) {
		switch (stage) {
		case VM_MEMORY:
			rc = vm_memory(vm, with);
			break;
		case VM_BOUND:
			rc = vm_bind(vm, edu, nth_edu);
			break;
		case VM_S2:
			rc = hwpt_alloc(vm, edu, vm->ioas,
					IOMMU_HWPT_ALLOC_NEST_PARENT, &vm->s2);
			break;
		case VM_VIOMMU:
			if (with & WITH_VINTF)
				rc = vintf_alloc(vm, edu, vm->s2, &vm->viommu,
						 &vm->page0);
			else
				rc = viommu_alloc(vm, edu, vm->s2, &vm->viommu);
			break;
		case VM_HWPTS:
			rc = vm_hwpts(vm, edu);
			break;
		case VM_BYPASS:
			rc = vm_attach_bypass(vm, edu);
			break;
		case VM_VDEVICE:
			rc = vdevice_alloc(vm, edu, vm->viommu, VSID + nth_edu,
					   &vm->vdevice);
			break;
		case VM_S1:
			rc = vm_s1(vm, edu);
			break;
		default:
			rc = edu_attach(edu, vm->s1_hwpt);
		}
		if (rc)
			fprintf(stderr, "# the VM cannot be built, stage %d: %s\n",
				stage, strerror(-rc));
	}
	return rc;
}

static int build(struct vm *vm, struct edu *edu, int nth_edu,
		 enum vm_stage upto, unsigned int with)
{
	memset(vm, 0, sizeof(*vm));
	memset(edu, 0, sizeof(*edu));
	edu->fd = vm->fd = vm->memfd = -1;
	return build_more(vm, edu, nth_edu, 0, upto, with);
}

int vm_build_more(struct vm *vm, struct edu *edu, enum vm_stage stage,
		  enum vm_stage upto)
{
	return build_more(vm, edu, 0, stage, upto, 0);
}

int vm_build(struct vm *vm, struct edu *edu, int nth_edu, enum vm_stage upto)
{
	return build(vm, edu, nth_edu, upto, 0);
}

int vm_build_vintf(struct vm *vm, struct edu *edu, int nth_edu,
		   enum vm_stage upto)
{
	return build(vm, edu, nth_edu, upto, WITH_VINTF);
}

int vm_build_memfd(struct vm *vm, struct edu *edu, int nth_edu,
		   enum vm_stage upto)
{
	return build(vm, edu, nth_edu, upto, WITH_MEMFD);
}

void vm_close(struct vm *vm, struct edu *edu)
{
	edu_close(edu);
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
	if (vm->memfd >= 0)
		close(vm->memfd);
	vm->memfd = -1;
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);
}

/* The system */

long vmstat(const char *counter)
{
	long value, found = -1;
	char name[64];
	FILE *f;

	/* The per-CPU counters are only accurate after a refresh */
	f = fopen("/proc/sys/vm/stat_refresh", "w");
	if (!f)
		return -1;
	fputs("1", f);
	fclose(f);

	f = fopen("/proc/vmstat", "r");
	if (!f)
		return -1;
	while (fscanf(f, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, counter))
			found = value;
	fclose(f);
	return found;
}

/* The kernel's log */

int kmsg_open(void)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0)
		return -errno;
	return kmsg;
}

int kmsg_count(int kmsg, const char *regex)
{
	char record[8192];
	regex_t pattern;
	int count = 0;
	ssize_t len;

	if (regcomp(&pattern, regex, REG_EXTENDED | REG_NOSUB))
		return -EINVAL;
	/* EPIPE: records were overwritten before they were read */
	while ((len = read(kmsg, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		record[len > 0 ? len : 0] = '\0';
		/* without the lines that name the device */
		record[strcspn(record, "\n")] = '\0';
		if (len > 0 && !regexec(&pattern, record, 0, NULL, 0)) {
			fprintf(stderr, "# kernel: %s\n", strchr(record, ';') + 1);
			count++;
		}
	}
	regfree(&pattern);
	return count;
}

/* Tracepoints */

#define TRACEFS		"/sys/kernel/tracing/"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int trace_enable(const char *on)
{
	int rc = write_file(TRACEFS "events/iommufd_viommu/enable", on);

	rc = rc ? rc : write_file(TRACEFS "events/iommu/map/enable", on);
	rc = rc ? rc : write_file(TRACEFS "events/iommu/unmap/enable", on);
	return rc ? rc : write_file(TRACEFS "events/arm_smmu_v3_viommu/enable", on);
}

int trace_start(void)
{
	int rc;

	/* It may be mounted already */
	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	rc = write_file(TRACEFS "trace", "");
	return rc ? rc : trace_enable("1");
}

int trace_stop(void)
{
	return trace_enable("0");
}

int traced(const char *name, const char *format, ...)
{
	static char line[4096];
	char text[512];
	regex_t pattern;
	va_list args;
	size_t len;
	int n = 0;
	FILE *f;

	len = snprintf(text, sizeof(text), " %s: ", name);
	va_start(args, format);
	vsnprintf(text + len, sizeof(text) - len, format, args);
	va_end(args);
	strcat(text, "$");
	if (regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB | REG_NEWLINE))
		return -EINVAL;
	f = fopen(TRACEFS "trace", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!regexec(&pattern, line, 0, NULL, 0))
			n++;
	if (f)
		fclose(f);
	regfree(&pattern);
	return n;
}
