/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Building blocks of the tests of vIOMMUs on VT-d: a pasid-edu device, a guest's
 * first stage in the memory of a struct vm, and the calls that take VT-d's data.
 *
 * Functions return 0 or a negative errno unless stated otherwise.
 */
#ifndef VTD_TEST_LIB_H
#define VTD_TEST_LIB_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pasid-edu-lib.h"

#define VTD_TROUBLE	"WARNING:|BUG:|QI HEAD"

#define PASID		5U

/* The guest's names for things */
#define VRID		0x0018U
#define VDID		7U
#define OTHER_DID	8U

/* The first stage maps this to PAGE_A, and nothing else */
#define WHERE		0x12345000UL
#define NOT_MAPPED	0x12346000UL

/* Entries of a first stage: present, writable, user, accessed, dirty */
#define FS_ENTRY	(BIT(0) | BIT(1) | BIT(2) | BIT(5))
#define FS_DIRTY	BIT(6)

#define PE_P		BIT(0)
#define PE_PGTT(n)	((uint64_t)(n) << 6)

typedef struct iommu_viommu_intel_vtd_invalidate desc_t;
#define DESC(w0, w1)	((desc_t){ .desc = { (w0), (w1) } })
#define D_CC_GLOBAL	DESC(1 | 1 << 4, 0)
#define D_IOTLB_GLOBAL	DESC(2 | 1 << 4, 0)
#define D_IOTLB(did)	DESC(2 | 2 << 4 | (did) << 16, 0)
#define D_PAGE(did, pasid, iova) \
	DESC(6 | 3 << 4 | (did) << 16 | (uint64_t)(pasid) << 32, iova)
#define D_PASID(did, pasid) \
	DESC(6 | 2 << 4 | (did) << 16 | (uint64_t)(pasid) << 32, 0)
#define D_PC(did)	DESC(7 | (did) << 16, 0)
#define D_PC_GLOBAL	DESC(7 | 3 << 4, 0)
#define D_DEV(rid, iova) DESC(3 | (uint64_t)(rid) << 32, iova)
#define D_WAIT		DESC(5 | 1 << 5, 0)

/* The sysfs directory of the nth pasid-edu device bound to vfio-pci */
static inline int device_sysfs(int nth, char *path, size_t len)
{
	glob_t found;
	int rc = -ENODEV;
	size_t i;

	if (glob("/sys/bus/pci/drivers/vfio-pci/*:*", 0, NULL, &found))
		return -ENODEV;
	for (i = 0; i < found.gl_pathc && rc; i++) {
		char name[300], id[16] = "";
		FILE *f;

		snprintf(name, sizeof(name), "%s/device", found.gl_pathv[i]);
		f = fopen(name, "r");
		if (f && fgets(id, sizeof(id), f) &&
		    strtol(id, NULL, 16) == PEDU_DEVICE_ID && nth-- == 0) {
			snprintf(path, len, "%s", found.gl_pathv[i]);
			rc = 0;
		}
		if (f)
			fclose(f);
	}
	globfree(&found);
	return rc;
}

static inline int device_open(struct device *dev, int iommufd, int nth)
{
	char path[600];
	glob_t found;
	int rc;

	memset(dev, 0, sizeof(*dev));
	dev->edu.fd = -1;
	rc = device_sysfs(nth, path, sizeof(path));
	if (rc)
		return rc;
	strcat(path, "/vfio-dev/vfio*");
	if (glob(path, 0, NULL, &found))
		return -ENODEV;
	snprintf(path, sizeof(path), "/dev/vfio/devices%s",
		 strrchr(found.gl_pathv[0], '/'));
	globfree(&found);
	return device_bind(dev, path, iommufd);
}

#define BLOCKED		(-100 - PEDU_ERR_BLOCKED)

/* The page that a write lands in, NOWHERE, or -100 minus a PEDU_ERR_* */
static inline int lands_at(struct device *dev, struct vm *vm, unsigned int pasid,
		    uint32_t mode, uint64_t iova)
{
	static uint64_t token = 0xed0d0c0ffee00000ULL;
	uint32_t status, code;
	int page;

	for (page = GUEST_DATA; page < GUEST_PAGES; page++)
		*(volatile uint64_t *)vm_page(vm, page) = 0;
	set64(dev, PEDU_CH(0) + PEDU_CH_ADDR, iova);
	set32(dev, PEDU_CH(0) + PEDU_CH_BUFFER, 0);
	set32(dev, PEDU_CH(0) + PEDU_CH_LENGTH, sizeof(token));
	set32(dev, PEDU_CH(0) + PEDU_CH_PASID,
	      pasid == NO_PASID ? 0 : PEDU_PASID_VALID | pasid);
	set32(dev, PEDU_CH(0) + PEDU_CH_MODE, mode);
	set64(dev, PEDU_BUFFER, ++token);
	set32(dev, PEDU_CH(0) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY);
	status = reg32(dev, PEDU_CH(0) + PEDU_CH_STATUS);
	code = PEDU_STATUS_CODE(status);
	return code ? -100 - (int)code : vm_find_token(vm, token, 0);
}

static inline int tlb_entries(struct device *dev)
{
	return reg32(dev, PEDU_TLB_COUNT);
}

/* A first stage of a guest, with its tables in the first pages of a VM's memory */
struct first_stage {
	uint64_t *root;
	uint64_t ipa;		/* of the root */
};

static inline uint64_t table_alloc(struct vm *vm)
{
	if (vm->tables + 1 == GUEST_DATA)
		abort();
	return IPA(++vm->tables);
}

static inline void first_stage_init(struct first_stage *fs, struct vm *vm)
{
	fs->ipa = table_alloc(vm);
	fs->root = vm_page(vm, vm->tables);
}

/* The entry for @iova in the last level; the levels above it are built */
static inline volatile uint64_t *first_stage_entry(struct first_stage *fs,
						   struct vm *vm, uint64_t iova)
{
	uint64_t *table = fs->root;
	int shift;

	for (shift = 39; shift > 12; shift -= 9) {
		uint64_t *entry = &table[iova >> shift & 511];

		if (!*entry)
			*entry = table_alloc(vm) | FS_ENTRY;
		table = vm_page(vm, ((*entry & GENMASK(51, 12)) - GUEST_IPA) /
				    PAGE_SIZE);
	}
	return &table[iova >> 12 & 511];
}

static inline void first_stage_map(struct first_stage *fs, struct vm *vm,
				   uint64_t iova, unsigned int page)
{
	*first_stage_entry(fs, vm, iova) = IPA(page) | FS_ENTRY | FS_DIRTY;
}

/* A nested HWPT from a guest's PASID table entry, on a vIOMMU of type INTEL_VTD */
static inline int entry_alloc(struct vm *vm, struct device *dev, uint64_t word0,
			      uint64_t word1, uint64_t word2, uint32_t *id)
{
	const struct iommu_hwpt_intel_vtd data = { .pe = { word0, word1, word2 } };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HWPT_ALLOC_PASID,
		.dev_id = dev->edu.id,
		.pt_id = vm->viommu,
		.data_type = IOMMU_HWPT_DATA_INTEL_VTD,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_ALLOC, &cmd);

	*id = cmd.out_hwpt_id;
	return rc;
}

static inline int send_descs(struct vm *vm, const desc_t *descs, uint32_t *num)
{
	return iommufd_invalidate(vm->fd, vm->viommu,
				  IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD, descs,
				  sizeof(*descs), num);
}

static inline int send_desc(struct vm *vm, desc_t desc)
{
	uint32_t num = 1;
	int rc = send_descs(vm, &desc, &num);

	return num == !rc ? rc : -EBADMSG;
}

struct record {
	struct iommufd_vevent_header header;
	uint64_t rec[2];
};

#endif
