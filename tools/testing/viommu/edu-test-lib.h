/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Building blocks of edu-test.c: a VM without a VMM, that is, guest memory and
 * the iommufd objects of one virtual SMMUv3; and QEMU's edu device, whose DMA
 * engine a program controls through registers. The memory, the IOAS and the
 * device are the same with any IOMMU: vtd-test.c goes as far as VM_BOUND.
 *
 * Functions return 0 or a negative errno unless stated otherwise.
 */
#ifndef EDU_TEST_LIB_H
#define EDU_TEST_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "../selftests/iommu/viommu_ioctl.h"

#define BIT(n)			(1ULL << (n))
#define GENMASK(high, low)	((~0ULL >> (63 - (high))) & (~0ULL << (low)))
/* The page size of the kernel: 4, 16 or 64 KiB */
#define PAGE_SIZE		((unsigned long)getpagesize())
/* The page size of the guest's stage 1, and the size of the device's buffer */
#define GRANULE			4096UL

/*
 * Guest memory: a page of context descriptors, pages for page tables, pages for
 * data. The device drives 28 address bits, so all of it, and all that stage 1
 * maps, is below 256 MiB and around the window of the MSI doorbell. What stage 1
 * maps is outside of guest memory, which ends at 48 MiB with the largest pages.
 */
#define DEVICE_END		0x10000000UL
#define GUEST_IPA		0x01000000UL
#define GUEST_PAGES		512
#define GUEST_DATA		128
#define IPA(page)		(GUEST_IPA + (page) * PAGE_SIZE)
#define MSI_WINDOW		0x08000000UL
#define MSI_WINDOW_SIZE		0x00100000UL

/* Data pages, and the result if a DMA write went to none of them */
enum { PAGE_A = GUEST_DATA, PAGE_B, PAGE_C, PAGE_D, PAGE_E, PAGE_F };
#define NOWHERE			(-1)

/* Where stage 1 maps PAGE_A from the start; the following pages are free */
#define IOVA			0x05000000UL

/* An IPA that is its own area of the IOAS, so it can be unmapped by itself */
#define SPARE_IPA		0x06000000UL

/* Descriptors of stage 1, 4K granule */
#define PTE_TABLE		3ULL
#define PTE_READONLY		BIT(7)
#define PTE_ACCESSED		BIT(10)
/* page, accessible for unprivileged, inner shareable, accessed, not global */
#define PTE_PAGE		(3ULL | BIT(6) | 3ULL << 8 | BIT(10) | BIT(11))
#define PTE_ADDR		GENMASK(47, 12)

#define STE_0_V			BIT(0)
#define STE_0_CONFIG(n)		((uint64_t)(n) << 1)
#define STE_ABORT		(STE_0_V | STE_0_CONFIG(0))
#define STE_BYPASS		(STE_0_V | STE_0_CONFIG(4))
#define STE_S1			(STE_0_V | STE_0_CONFIG(5))
#define STE_0_FIELDS		(GENMASK(51, 0) | GENMASK(63, 59))
#define STE_1_EATS(n)		((uint64_t)(n) << 28)
#define STE_1_FIELDS		(GENMASK(7, 0) | GENMASK(29, 27))
/* Context descriptors are fetched write-back and inner shareable */
#define STE_1_CD_CACHED		(1ULL << 2 | 1ULL << 4 | 3ULL << 6)

enum {
	CFGI_CD = 0x05,
	CFGI_CD_ALL = 0x06,
	TLBI_NH_ALL = 0x10,
	TLBI_NH_ASID = 0x11,
	TLBI_NH_VA = 0x12,
	TLBI_NH_VAA = 0x13,
	TLBI_NSNH_ALL = 0x30,
	ATC_INV = 0x40,
	CMD_SYNC = 0x46,
};

#define CMD_0_NUM(n)		((uint64_t)(n) << 12)
#define CMD_0_SCALE(n)		((uint64_t)(n) << 20)
#define CMD_0_VMID(n)		((uint64_t)(n) << 32)
#define CMD_0_SID(n)		((uint64_t)(n) << 32)
#define CMD_0_ASID(n)		((uint64_t)(n) << 48)
#define CMD_1_LEAF		BIT(0)
#define CMD_1_TTL(n)		((uint64_t)(n) << 8)
#define CMD_1_TG(n)		((uint64_t)(n) << 10)

typedef struct iommu_viommu_arm_smmuv3_invalidate cmd_t;
#define CMD(w0, w1)		((cmd_t){ .cmd = { (w0), (w1) } })

/* A stage 1: a context descriptor and its page table */
struct s1 {
	uint64_t cd_ipa;
	uint64_t *cd;
	uint64_t *root;
	uint16_t asid;
};

struct vm {
	int fd;			/* the iommufd */
	uint8_t *mem;		/* GUEST_PAGES at GUEST_IPA */
	int memfd;		/* the file of mem, -1 for anonymous memory */
	unsigned int tables;	/* pages of page tables in use */
	unsigned int cds;	/* context descriptors in use */
	uint32_t ioas;
	uint32_t s2;
	uint32_t viommu;
	uint64_t page0;		/* with a VINTF: the offset of its registers */
	uint32_t bypass;
	uint32_t abort;
	uint32_t vdevice;
	struct s1 s1;		/* maps IOVA to PAGE_A */
	uint32_t s1_hwpt;
};

struct edu {
	int fd;
	uint32_t id;		/* of the iommufd device */
	volatile uint8_t *bar;
	uint64_t token;		/* what it writes */
	char bdf[16];
	char smmu[64];		/* the physical IOMMU */
};

/* How far vm_build() goes; the order is that of a VMM */
enum vm_stage {
	VM_MEMORY,		/* iommufd, IOAS and guest memory */
	VM_BOUND,		/* the device belongs to it */
	VM_S2,
	VM_VIOMMU,
	VM_HWPTS,		/* abort and bypass */
	VM_BYPASS,		/* bypass is attached, the device has its token */
	VM_VDEVICE,
	VM_S1,
	VM_TRANSLATES,		/* stage 1 is attached */
	VM_STAGES
};

#define GUEST_ASID		7
#define VSID			0x4242

int vm_build(struct vm *vm, struct edu *edu, int nth_edu, enum vm_stage upto);
/* From another stage on: the caller has done what comes before */
int vm_build_more(struct vm *vm, struct edu *edu, enum vm_stage stage,
		  enum vm_stage upto);
/* The same with a vIOMMU of the type of Tegra241 CMDQ-V */
int vm_build_vintf(struct vm *vm, struct edu *edu, int nth_edu,
		   enum vm_stage upto);
/* The same with memory from a file, as far as ioas_map() maps it */
int vm_build_memfd(struct vm *vm, struct edu *edu, int nth_edu,
		   enum vm_stage upto);
void vm_close(struct vm *vm, struct edu *edu);
void *vm_page(struct vm *vm, unsigned int page);

void s1_init(struct s1 *s1, struct vm *vm, uint16_t asid);
void s1_map(struct s1 *s1, struct vm *vm, uint64_t iova, uint64_t ipa,
	    uint64_t attrs);
void s1_set_root(struct s1 *s1, struct vm *vm, uint64_t *root);
int s1_hwpt_alloc(struct s1 *s1, struct vm *vm, struct edu *edu, uint32_t *id);

int edu_count(void);
/* Only open() and BIND, for a second device of a VM */
int edu_open(struct edu *edu, int nth);
int edu_bind(struct edu *edu, int iommufd);
/* The part of edu_bind() that does not need an iommufd */
int edu_enable(struct edu *edu);
void edu_close(struct edu *edu);
/* A dma-buf of these ranges of a BAR: its file descriptor, or a negative errno */
struct vfio_region_dma_range;
int edu_export_bar(struct edu *edu, unsigned int bar, uint32_t open_flags,
		   const struct vfio_region_dma_range *ranges, uint32_t num);
/* Let the device answer at the addresses of its BARs, or not */
int edu_memory_decode(struct edu *edu, bool on);
/* The nth device's requester ID, and whether two share an SMMU or a group */
int edu_rid(int nth);
bool edu_same_smmu(int nth, int other);
bool edu_same_group(int nth, int other);
/* Is there CMDQ-V beside the SMMU? */
bool edu_has_cmdqv(void);
/*
 * The contents of a file in the viommu directory of its IOMMU, until the next
 * call
 */
const char *edu_iommu_file(int nth, const char *name);
void edu_dma_start(struct edu *edu, bool to_ram, uint64_t iova, size_t len);
/* Is a DMA still pending? */
bool edu_dma_runs(struct edu *edu);
int edu_dma_wait(struct edu *edu);
int edu_dma(struct edu *edu, bool to_ram, uint64_t iova, size_t len);
/* Load the token into the device from a guest page through the bypass */
int edu_load_token(struct edu *edu, struct vm *vm);
/*
 * The target of a device write to @iova: a data page of the guest, NOWHERE, or
 * -ETIMEDOUT.
 */
int edu_lands(struct edu *edu, struct vm *vm, uint64_t iova);
/* The first data page that holds the token at this offset, or NOWHERE */
int vm_find_token(struct vm *vm, uint64_t token, size_t offset);
int edu_attach(struct edu *edu, uint32_t pt_id);
int edu_detach(struct edu *edu);
int edu_irq_eventfd(struct edu *edu, int eventfd);
/*
 * Raise the interrupt; returns how often it arrived, or a negative errno.
 * -EBUSY: an interrupt of an earlier call arrived late.
 */
int edu_irq_raise(struct edu *edu, int eventfd, bool expected);

/* The calls of iommufd, for objects of a VM: see viommu_ioctl.h */
#define xioctl(...)	iommufd_ioctl(__VA_ARGS__)
#define resized(...)	iommufd_resized(__VA_ARGS__)
int ioas_map(struct vm *vm, unsigned int page, unsigned int npages,
	     uint64_t ipa);
int ioas_unmap(struct vm *vm, uint64_t ipa, uint64_t length);
int hwpt_alloc(struct vm *vm, struct edu *edu, uint32_t pt_id, uint32_t flags,
	       uint32_t *id);
int nested_alloc(struct vm *vm, struct edu *edu, uint32_t viommu, uint64_t ste0,
		 uint64_t ste1, uint32_t *id);
int viommu_alloc(struct vm *vm, struct edu *edu, uint32_t s2, uint32_t *id);
int vintf_alloc(struct vm *vm, struct edu *edu, uint32_t s2, uint32_t *id,
		uint64_t *page0);
int vdevice_alloc(struct vm *vm, struct edu *edu, uint32_t viommu,
		  uint64_t virt_id, uint32_t *id);
/* The file of the new queue, or a negative errno */
int veventq_alloc(struct vm *vm, uint32_t depth, uint32_t *id);
int destroy(struct vm *vm, uint32_t id);
/* @num is what the kernel returned as done */
int invalidate(struct vm *vm, const cmd_t *cmds, uint32_t *num);
/* One command; 1 done is part of success, 0 done of failure */
int invalidate_one(struct vm *vm, uint64_t w0, uint64_t w1);

/* A counter of the whole system, -1 if there is none */
long vmstat(const char *counter);

/* The kernel's messages from the call of kmsg_open() on */
int kmsg_open(void);
/* Returns how many of them match a regular expression, and drops them */
int kmsg_count(int kmsg, const char *regex);

/* The tracepoints of vIOMMUs, from the call of trace_start() on */
int trace_start(void);
int trace_stop(void);
/*
 * Returns how many events of this name match the regular expression from the
 * format
 */
int traced(const char *name, const char *format, ...);

/*
 * Messages that no test may trigger. The board judges those of KCSAN, which may be about
 * other code.
 */
#define KERNEL_TROUBLE \
	"WARNING:|BUG: ([^K]|K[^C])|CMDQ error|CMD_SYNC timeout|unexpected global error"
#define SMMU_EVENT	"arm-smmu-v3.*event"

/* For a test: an ioctl that is valid except for one field */
#define EXPECT_REFUSED(err, request, good, field, value)			\
	do {									\
		typeof(good) bad = good;					\
										\
		bad.field = value;						\
		EXPECT_EQ(-(err), xioctl(self->vm.fd, request, &bad)) {		\
			TH_LOG("%s with %s = %#llx", #request, #field,		\
			       (unsigned long long)(value));			\
		}								\
	} while (0)

#endif
