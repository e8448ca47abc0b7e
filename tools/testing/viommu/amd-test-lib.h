/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Building blocks of the tests of vIOMMUs on the AMD IOMMU: a pasid-edu device, a
 * guest's tables in the memory of a struct vm, and the calls that take AMD's data.
 *
 * Functions return 0 or a negative errno unless stated otherwise.
 */
#ifndef AMD_TEST_LIB_H
#define AMD_TEST_LIB_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "pasid-edu-lib.h"
#include "qemu/amd-model.h"

#define AMD_TROUBLE	"WARNING:|BUG:|Completion-Wait loop|Command buffer timeout|ILLEGAL_"

#define PASID		5U

/* The guest's names for things */
#define GDEV		0x4218U
#define GDOM		7U
#define OTHER_GDOM	8U

/* What the guest's tables map, and what not */
#define WHERE		0x12345000UL
#define NOT_MAPPED	0x12346000UL

/* Pages of guest memory with tables */
enum { T_ROOT = 1, T_PASID = 5, T_SPARE = 9, T_GCR3 = 13, T_GCR3_L2, T_GCR3_L3, T_GCR3_SPARE };

/* Entries of the guest's tables: present, writable, user, accessed */
#define G_ENTRY		(BIT(0) | BIT(1) | BIT(2) | BIT(5))
#define G_DIRTY		BIT(6)

/* DTE */
#define V		BIT(0)
#define TV		BIT(1)
#define GIOV		BIT(54)
#define GV		BIT(55)
#define GLX(n)		((uint64_t)(n) << 56)
#define IR		BIT(61)
#define IW		BIT(62)
#define ATS		BIT(32)		/* quadword 1 */

#define S		BIT(0)
#define PDE		BIT(1)
#define GN		BIT(2)
#define EVERYTHING	0x7ffffffffffff000UL
typedef struct iommu_viommu_amd_invalidate guest_cmd_t;
#define GUEST_CMD(w0, w1)	((guest_cmd_t){ .cmd = { (w0), (w1) } })
#define OP(n)			((uint64_t)(n) << 60)
#define C_WAIT			GUEST_CMD(OP(1), 0)
#define C_DTE(dev)		GUEST_CMD(OP(2) | (dev), 0)
#define C_PAGES(dom, pasid, what) \
	GUEST_CMD(OP(3) | (uint64_t)(dom) << 32 | (pasid), what)
#define C_IOTLB(dev, pasid, what) \
	GUEST_CMD(OP(4) | (dev) | (uint64_t)(dev) << 32 | 1 << 24 | \
		  (uint64_t)((pasid) >> 8 & 0xff) << 16 |	      \
		  (uint64_t)((pasid) & 0xff) << 48 |		      \
		  (uint64_t)((pasid) >> 16 & 0xf) << 56, what)
#define C_ALL			GUEST_CMD(OP(8), 0)

static inline int device_open(struct device *dev, unsigned int nth, int iommufd)
{
	char path[600];
	glob_t found;

	memset(dev, 0, sizeof(*dev));
	dev->edu.fd = -1;
	if (glob("/sys/bus/pci/drivers/vfio-pci/*:*/vfio-dev/vfio*", 0, NULL, &found))
		return -ENOENT;
	if (nth < found.gl_pathc) {
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s",
			 strrchr(found.gl_pathv[nth], '/') + 1);
		sscanf(found.gl_pathv[nth], "/sys/bus/pci/drivers/vfio-pci/%12[^/]",
		       dev->edu.bdf);
	}
	globfree(&found);
	if (!dev->edu.bdf[0])
		return -ENOENT;
	return device_bind(dev, path, iommufd);
}

/* The registers of the model of a unit itself */
static inline volatile uint8_t *model_of(unsigned int unit)
{
	static volatile uint8_t *models[AMDM_UNITS];
	void *mem;
	int fd;

	if (models[unit])
		return models[unit];
	fd = open("/dev/mem", O_RDWR | O_SYNC);
	mem = mmap(NULL, AMDM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   AMDM_BASE + unit * AMDM_STRIDE);
	close(fd);
	if (mem == MAP_FAILED)
		return NULL;
	models[unit] = mem;
	return mem;
}

static inline volatile uint8_t *model_map(void)
{
	return model_of(0);
}

static inline uint32_t model(unsigned int offset)
{
	return *(volatile uint32_t *)(model_map() + offset);
}

static inline uint32_t count(enum amd_model_counter counter)
{
	return model(AMDM_COUNTER(counter));
}

static inline void set_model(unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(model_map() + offset) = value;
}

static inline bool strict(void)
{
	const char *value = getenv("STRICT");

	return value && *value == '1';
}

static inline void set_knobs(uint32_t knobs)
{
	set_model(AMDM_KNOBS, knobs | (strict() ? AMDM_KNOB_GN0_KEEPS : 0));
}

#define BLOCKED		(-100 - PEDU_ERR_BLOCKED)

static inline uint32_t write_at(struct device *dev, unsigned int pasid, uint32_t mode,
			 uint64_t iova, uint64_t token, uint32_t length)
{
	set64(dev, PEDU_CH(0) + PEDU_CH_ADDR, iova);
	set32(dev, PEDU_CH(0) + PEDU_CH_BUFFER, 0);
	set32(dev, PEDU_CH(0) + PEDU_CH_LENGTH, length);
	set32(dev, PEDU_CH(0) + PEDU_CH_PASID,
	      pasid == NO_PASID ? 0 : PEDU_PASID_VALID | pasid);
	set32(dev, PEDU_CH(0) + PEDU_CH_MODE, mode);
	set64(dev, PEDU_BUFFER, token);
	set32(dev, PEDU_CH(0) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY);
	return PEDU_STATUS_CODE(reg32(dev, PEDU_CH(0) + PEDU_CH_STATUS));
}

/* The page that a write lands in, NOWHERE, or -100 minus a PEDU_ERR_* */
static inline int lands_at(struct device *dev, struct vm *vm, unsigned int pasid,
		    uint32_t mode, uint64_t iova)
{
	static uint64_t token = 0xed0d0c0ffee00000ULL;
	uint32_t code;
	int page;

	for (page = GUEST_DATA; page < GUEST_PAGES; page++)
		*(volatile uint64_t *)vm_page(vm, page) = 0;
	code = write_at(dev, pasid, mode, iova, ++token, sizeof(token));
	return code ? -100 - (int)code : vm_find_token(vm, token, 0);
}

static inline int tlb_entries(struct device *dev)
{
	return reg32(dev, PEDU_TLB_COUNT);
}

/* A VM with one device */
struct machine {
	struct vm vm;
	struct device dev;
	uint64_t *leaf;		/* the entry for WHERE, of requests without a PASID */
	uint64_t *pasid_leaf;	/* of PASID */
	uint32_t blocked;
	uint32_t bypass;
	uint32_t nested;
};

static inline int dte_alloc(struct machine *m, uint64_t q0, uint64_t q1, uint64_t q2,
		     uint64_t q3, uint32_t *id)
{
	struct iommu_hwpt_amd_guest data = { .dte = { q0, q1, q2, q3 } };

	return iommufd_nested_alloc(m->vm.fd, m->dev.edu.id, m->vm.viommu, 0,
				    IOMMU_HWPT_DATA_AMD_GUEST, &data,
				    sizeof(data), id);
}

static inline uint64_t gcr3_low(uint64_t gcr3)
{
	return (gcr3 >> 12 & 7) << 58;
}

static inline uint64_t gcr3_high(uint64_t gcr3)
{
	return (gcr3 >> 15 & 0xffff) << 16 | (gcr3 >> 31 & 0x1fffff) << 43;
}

/* @flags: more of quadword 0 */
static inline int guest_alloc(struct machine *m, uint32_t domain, unsigned int gcr3,
		       uint64_t flags, uint32_t *id)
{
	return dte_alloc(m, V | TV | GV | IR | IW | gcr3_low(IPA(gcr3)) | flags,
			 domain | gcr3_high(IPA(gcr3)), 0, 0, id);
}

/* Four levels of tables, in guest memory from page @first on; returns the entry for WHERE */
static inline uint64_t *build_tables(struct vm *vm, unsigned int first)
{
	int level;

	for (level = 3; level > 0; level--) {
		uint64_t *table = vm_page(vm, first + 3 - level);

		table[WHERE >> (12 + 9 * level) & 511] =
			IPA(first + 4 - level) | G_ENTRY;
	}
	return (uint64_t *)vm_page(vm, first + 3) + (WHERE >> 12 & 511);
}

static inline void map_to(uint64_t *leaf, unsigned int page)
{
	*(volatile uint64_t *)leaf = IPA(page) | G_ENTRY | G_DIRTY;
}

static inline void set_gcr3(struct machine *m, unsigned int table, unsigned int index, uint64_t to)
{
	((volatile uint64_t *)vm_page(&m->vm, table))[index] = to;
}

static inline int lands(struct machine *m, unsigned int pasid, uint32_t mode)
{
	return lands_at(&m->dev, &m->vm, pasid, mode, WHERE);
}

static inline int invalidate_cmds(struct machine *m, const guest_cmd_t *cmds, uint32_t *num)
{
	return iommufd_invalidate(m->vm.fd, m->vm.viommu,
				  IOMMU_VIOMMU_INVALIDATE_DATA_AMD, cmds,
				  sizeof(*cmds), num);
}

static inline int invalidate_cmd(struct machine *m, guest_cmd_t cmd)
{
	uint32_t num = 1;
	int rc = invalidate_cmds(m, &cmd, &num);

	return num == !rc ? rc : -EBADMSG;
}

/* As a VMM: attached before there is a virtual device. @flags: of the parent. */
static inline int machine_build(struct machine *m, unsigned int nth, uint32_t flags)
{
	struct vm *vm = &m->vm;
	struct edu none;
	int rc;

	memset(m, 0, sizeof(*m));
	rc = vm_build(vm, &none, 0, VM_MEMORY);
	if (!rc)
		rc = device_open(&m->dev, nth, vm->fd);
	if (!rc)
		rc = hwpt_alloc(vm, &m->dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT | flags, &vm->s2);
	if (!rc)
		rc = iommufd_viommu_alloc(vm->fd, m->dev.edu.id, vm->s2,
					  IOMMU_VIOMMU_TYPE_AMD, NULL, 0,
					  &vm->viommu);
	if (rc)
		return rc;
	m->leaf = build_tables(vm, T_ROOT);
	m->pasid_leaf = build_tables(vm, T_PASID);
	map_to(m->leaf, PAGE_A);
	map_to(m->pasid_leaf, PAGE_D);
	set_gcr3(m, T_GCR3, 0, IPA(T_ROOT) | 1);
	set_gcr3(m, T_GCR3, PASID, IPA(T_PASID) | 1);
	rc = dte_alloc(m, V, 0, 0, 0, &m->blocked);
	if (!rc)
		rc = dte_alloc(m, 0, 0, 0, 0, &m->bypass);
	if (!rc)
		rc = guest_alloc(m, GDOM, T_GCR3, GIOV, &m->nested);
	if (!rc)
		rc = edu_attach(&m->dev.edu, m->bypass);
	if (!rc && edu_attach(&m->dev.edu, m->nested) != -ENOENT)
		rc = -EBADMSG;
	if (!rc)
		rc = iommufd_vdevice_alloc(vm->fd, vm->viommu, m->dev.edu.id,
					   GDEV, &vm->vdevice);
	if (!rc)
		rc = edu_attach(&m->dev.edu, m->nested);
	return rc;
}

static inline int machine_destroy(struct machine *m)
{
	struct vm *vm = &m->vm;
	uint32_t ids[] = { vm->vdevice, m->nested, m->bypass, m->blocked, vm->viommu, vm->s2 };
	unsigned int i;
	int rc = edu_detach(&m->dev.edu);

	for (i = 0; !rc && i < sizeof(ids) / sizeof(ids[0]); i++)
		rc = destroy(vm, ids[i]);
	device_close(&m->dev);
	close(vm->fd);
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);
	return rc;
}

#endif
