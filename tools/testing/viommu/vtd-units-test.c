// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of one VM behind two VT-d units, without a VMM: one second stage, a vIOMMU
 * of the type INTEL_VTD for each unit, and a pasid-edu device behind each. Both use
 * the same domain ID, PASIDs and addresses. A change of the second stage reaches
 * both units; what the guest sends to one vIOMMU does not reach the other's unit.
 *
 * Expects pasid-edu devices behind both units bound to vfio-pci, and one behind each of
 * two that can do less, see vtd-viommu-test.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "vtd-test-lib.h"
#include "qemu/vtd-model.h"

/* The first stages map this to SPARE_IPA, which the tests map in the second stage */
#define SPARE		(WHERE + 0x100000UL)

/* The guest's requester IDs of the two devices */
#define RID(unit)	(VRID + 8 * (unit))

/* What a VM has behind one unit: WHERE is PAGE_A behind the first, PAGE_B behind the other */
struct part {
	struct device dev;
	struct first_stage fs;
	uint32_t viommu;
	uint32_t vdevice;
	uint32_t bypass;
	uint32_t nested;
};

FIXTURE(units)
{
	struct vm vm;
	struct part part[2];
	volatile uint8_t *model[2];
	int used[2];		/* domain IDs of the units, before a device is opened */
	int bound[2];		/* and after */
	int kmsg;
};

/* How many domain IDs of a unit are in use, or a negative errno */
static int dids_used(int unit)
{
	char path[80];
	FILE *f;
	int n;

	snprintf(path, sizeof(path),
		 "/sys/class/iommu/dmar%d/intel-iommu/domains_used", unit);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%d", &n) != 1)
		n = -EIO;
	if (f)
		fclose(f);
	return n;
}

/* The first pasid-edu device behind a unit, as device_open() counts them */
static int device_behind(int unit)
{
	char path[600], link[PATH_MAX], name[16];
	int nth;

	snprintf(name, sizeof(name), "/dmar%d", unit);
	for (nth = 0; !device_sysfs(nth, path, sizeof(path)); nth++) {
		strcat(path, "/iommu");
		if (realpath(path, link) && !strcmp(strrchr(link, '/'), name))
			return nth;
	}
	return -ENODEV;
}

static uint32_t model(struct _test_data_units *self, int unit,
		      enum vtd_model_counter counter)
{
	return *(volatile uint32_t *)(self->model[unit] + VTDM_COUNTER(counter));
}

/* Descriptors that a unit has executed */
static uint32_t executed(struct _test_data_units *self, int unit)
{
	return *(volatile uint32_t *)(self->model[unit] + VTDM_LOG_COUNT);
}

static int entry(struct _test_data_units *self, int unit, uint64_t word0,
		 uint64_t did, uint64_t word2, uint32_t *id)
{
	self->vm.viommu = self->part[unit].viommu;
	return entry_alloc(&self->vm, &self->part[unit].dev, word0, did, word2, id);
}

static int descriptor(struct _test_data_units *self, int unit, desc_t desc)
{
	self->vm.viommu = self->part[unit].viommu;
	return send_desc(&self->vm, desc);
}

static int lands(struct _test_data_units *self, int unit, unsigned int pasid,
		 uint32_t mode, uint64_t iova)
{
	return lands_at(&self->part[unit].dev, &self->vm, pasid, mode, iova);
}

static void map_page(struct _test_data_units *self, int unit, unsigned int page)
{
	first_stage_map(&self->part[unit].fs, &self->vm, WHERE, page);
}

/* All of a part but its device and tables; the device is then attached */
static int part_build(struct _test_data_units *self, int unit)
{
	struct part *part = &self->part[unit];
	struct vm *vm = &self->vm;
	int rc;

	rc = iommufd_viommu_alloc(vm->fd, part->dev.edu.id, vm->s2,
				  IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0,
				  &part->viommu);
	if (!rc)
		rc = entry(self, unit, PE_P | PE_PGTT(4), 1, 0, &part->bypass);
	if (!rc)
		rc = iommufd_vdevice_alloc(vm->fd, part->viommu, part->dev.edu.id,
					   RID(unit), &part->vdevice);
	if (!rc)
		rc = entry(self, unit, PE_P | PE_PGTT(1), VDID, part->fs.ipa,
			   &part->nested);
	return rc ? rc : attach(&part->dev, NO_PASID, part->nested);
}

/* All objects of a part, its device detached; returns the first error */
static int part_destroy(struct _test_data_units *self, int unit)
{
	struct part *part = &self->part[unit];
	const uint32_t ids[] = { part->vdevice, part->nested, part->bypass,
				 part->viommu };
	unsigned int i;
	int rc = detach(&part->dev, NO_PASID);

	for (i = 0; i < ARRAY_SIZE(ids) && !rc; i++)
		rc = destroy(&self->vm, ids[i]);
	return rc;
}

static int units_build(struct _test_data_units *self)
{
	struct vm *vm = &self->vm;
	struct edu none;
	int i, mem, rc;

	self->kmsg = kmsg_open();
	mem = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	if (self->kmsg < 0 || mem < 0)
		return -ENODEV;
	rc = vm_build(vm, &none, 0, VM_MEMORY);
	for (i = 0; i < 2 && !rc; i++) {
		struct part *part = &self->part[i];

		self->model[i] = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				      mem, VTDM_BASE + i * VTDM_STRIDE);
		if (self->model[i] == MAP_FAILED ||
		    *(volatile uint32_t *)(self->model[i] + VTDM_ID) != VTDM_ID_VALUE)
			return -ENODEV;
		*(volatile uint32_t *)(self->model[i] + VTDM_RESET) = 1;
		self->used[i] = dids_used(i);
		rc = device_behind(i);
		if (rc >= 0)
			rc = device_open(&part->dev, vm->fd, rc);
		self->bound[i] = dids_used(i);
		first_stage_init(&part->fs, vm);
		map_page(self, i, i ? PAGE_B : PAGE_A);
		*first_stage_entry(&part->fs, vm, SPARE) = SPARE_IPA | FS_ENTRY | FS_DIRTY;
	}
	close(mem);
	if (!rc)
		rc = hwpt_alloc(vm, &self->part[0].dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
				IOMMU_HWPT_ALLOC_PASID, &vm->s2);
	for (i = 0; i < 2 && !rc; i++)
		rc = part_build(self, i);
	return rc;
}

static void units_close(struct _test_data_units *self)
{
	int i;

	for (i = 0; i < 2; i++) {
		device_close(&self->part[i].dev);
		munmap((void *)self->model[i], PAGE_SIZE);
	}
	close(self->vm.fd);
	munmap(self->vm.mem, GUEST_PAGES * PAGE_SIZE);
}

FIXTURE_SETUP(units)
{
	ASSERT_EQ(0, units_build(self));
	ASSERT_LE(0, self->used[0]);
	ASSERT_LE(0, self->used[1]);
	EXPECT_EQ(PAGE_A, lands(self, 0, NO_PASID, 0, WHERE));
	EXPECT_EQ(PAGE_B, lands(self, 1, NO_PASID, 0, WHERE));
}

FIXTURE_TEARDOWN(units)
{
	struct vm *vm = &self->vm;
	int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, part_destroy(self, i));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	units_close(self);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(self->used[i], dids_used(i));
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

/* Each device gets what its own guest tables say, by a nested entry of its own unit */
TEST_F(units, translation)
{
	static const unsigned int pages[] = { PAGE_A, PAGE_B };
	uint32_t before[2];
	int i;

	for (i = 0; i < 2; i++) {
		struct part *part = &self->part[i];

		before[0] = model(self, i, VTDM_NESTED);
		before[1] = model(self, !i, VTDM_NESTED);
		ASSERT_EQ(0, attach(&part->dev, PASID, part->nested));
		EXPECT_EQ(pages[i], lands(self, i, PASID, 0, WHERE));
		/* The last PASID table entry that the unit has read: P, PGTT, and the PASID */
		EXPECT_EQ(PE_P | PE_PGTT(3),
			  *(volatile uint64_t *)(self->model[i] + VTDM_ENTRY(0)) & 0x1c1);
		EXPECT_EQ(PASID, *(volatile uint32_t *)(self->model[i] + VTDM_ENTRY_PASID));
		EXPECT_EQ(pages[i], lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(before[0] + 2, model(self, i, VTDM_NESTED));
		EXPECT_EQ(before[1], model(self, !i, VTDM_NESTED));
		EXPECT_EQ(BLOCKED, lands(self, i, PASID, 0, NOT_MAPPED));
		EXPECT_EQ(BLOCKED, lands(self, i, PASID, 0, IPA(PAGE_C)));
		ASSERT_EQ(0, attach(&part->dev, PASID, part->bypass));
		EXPECT_EQ(PAGE_C, lands(self, i, PASID, 0, IPA(PAGE_C)));
		ASSERT_EQ(0, detach(&part->dev, PASID));
		EXPECT_EQ(BLOCKED, lands(self, i, PASID, 0, WHERE));
	}
}

/* Where the devices reach the second stage's page at SPARE_IPA */
struct path {
	unsigned int pasid;
	uint32_t mode;
	uint64_t iova;
};

static void second_stage_changes(struct __test_metadata *_metadata,
				 struct _test_data_units *self,
				 const struct path *paths, unsigned int num)
{
	static const int gone[] = { BLOCKED, -100 - PEDU_ERR_ATS_NONE };
	struct vm *vm = &self->vm;
	uint32_t dropped[2];
	unsigned int i, page;
	int unit;

	for (page = PAGE_C; page <= PAGE_E; page++) {
		ASSERT_EQ(0, ioas_map(vm, page, 1, SPARE_IPA));
		for (unit = 0; unit < 2; unit++) {
			dropped[unit] = model(self, unit, VTDM_IOTLB_DROPPED);
			for (i = 0; i < num; i++)
				EXPECT_EQ(page, lands(self, unit, paths[i].pasid, paths[i].mode,
						      paths[i].iova));
		}
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		for (unit = 0; unit < 2; unit++) {
			EXPECT_LT(dropped[unit], model(self, unit, VTDM_IOTLB_DROPPED));
			for (i = 0; i < num; i++)
				EXPECT_EQ(gone[!!(paths[i].mode & PEDU_MODE_ATS)],
					  lands(self, unit, paths[i].pasid, paths[i].mode,
						paths[i].iova));
		}
	}
	for (unit = 0; unit < 2; unit++) {
		EXPECT_EQ(0, model(self, unit, VTDM_IOTLB_STALE));
		EXPECT_EQ(0, model(self, unit, VTDM_DEVICE_TLB_EARLY));
	}
}

/* An unmap is complete for both units when the call returns */
TEST_F(units, second_stage)
{
	const struct path paths[] = {
		{ NO_PASID, 0, SPARE }, { PASID, 0, SPARE }, { PASID + 1, 0, SPARE_IPA },
	};
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, attach(&self->part[i].dev, PASID, self->part[i].nested));
		ASSERT_EQ(0, attach(&self->part[i].dev, PASID + 1, self->part[i].bypass));
	}
	second_stage_changes(_metadata, self, paths, ARRAY_SIZE(paths));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, detach(&self->part[i].dev, PASID));
		ASSERT_EQ(0, detach(&self->part[i].dev, PASID + 1));
	}
}

TEST_F(units, second_stage_ats)
{
	const struct path path = { NO_PASID, PEDU_MODE_ATS, SPARE };
	int i;

	second_stage_changes(_metadata, self, &path, 1);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, tlb_entries(&self->part[i].dev));
	/* Only one of the devices has anything in its TLB */
	ASSERT_EQ(0, ioas_map(&self->vm, PAGE_C, 1, SPARE_IPA));
	EXPECT_EQ(PAGE_C, lands(self, 0, NO_PASID, 0, SPARE));
	EXPECT_EQ(PAGE_C, lands(self, 1, NO_PASID, PEDU_MODE_ATS, SPARE));
	EXPECT_EQ(1, tlb_entries(&self->part[1].dev));
	ASSERT_EQ(0, ioas_unmap(&self->vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(0, tlb_entries(&self->part[1].dev));
	EXPECT_EQ(BLOCKED, lands(self, 0, NO_PASID, 0, SPARE));
	EXPECT_EQ(BLOCKED, lands(self, 1, NO_PASID, 0, SPARE));
}

/* A device on the second stage itself, beside the other one's first stage */
TEST_F(units, parent)
{
	struct vm *vm = &self->vm;
	int i;

	for (i = 0; i < 2; i++) {
		struct device *dev = &self->part[i].dev;

		ASSERT_EQ(0, attach(dev, NO_PASID, vm->s2));
		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands(self, i, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(PAGE_D, lands(self, i, NO_PASID, 0, IPA(PAGE_D)));
		EXPECT_EQ(BLOCKED, lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(PAGE_C, lands(self, !i, NO_PASID, 0, SPARE));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(BLOCKED, lands(self, i, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(BLOCKED, lands(self, !i, NO_PASID, 0, SPARE));
		ASSERT_EQ(0, attach(dev, NO_PASID, self->part[i].nested));
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
	}
}

static int set_tracking(struct vm *vm, bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {
		.size = sizeof(cmd),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = vm->s2,
	};

	return xioctl(vm->fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

/* PAGE_A and the three after it: a bit for each that is dirty, which are then cleared */
static int dirty_pages(struct vm *vm)
{
	uint64_t bitmap = 0;
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = vm->s2,
		.iova = IPA(PAGE_A),
		.length = 4 * PAGE_SIZE,
		.page_size = PAGE_SIZE,
		.data = (uintptr_t)&bitmap,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);

	return rc ? rc : (int)bitmap;
}

/* Writes through both units are in one bitmap, however the devices are attached */
TEST_F(units, dirty_tracking)
{
	struct vm *vm = &self->vm;
	int i, round;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, attach(&self->part[i].dev, PASID, self->part[i].bypass));
	ASSERT_EQ(0, set_tracking(vm, true));
	EXPECT_EQ(0, dirty_pages(vm));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
			EXPECT_EQ(1 << i, dirty_pages(vm));
			EXPECT_EQ(0, dirty_pages(vm));
			EXPECT_EQ(PAGE_C, lands(self, i, PASID, 0, IPA(PAGE_C)));
			EXPECT_EQ(4, dirty_pages(vm));
		}
		for (i = 0; i < 2; i++)
			EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(3, dirty_pages(vm));
	}
	/* Attached while it is on: the second stage itself, then the whole part again */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, detach(&self->part[i].dev, PASID));
		ASSERT_EQ(0, attach(&self->part[i].dev, NO_PASID, vm->s2));
		EXPECT_EQ(PAGE_D, lands(self, i, NO_PASID, 0, IPA(PAGE_D)));
		EXPECT_EQ(8, dirty_pages(vm));
		ASSERT_EQ(0, attach(&self->part[i].dev, NO_PASID, self->part[i].nested));
		ASSERT_EQ(0, part_destroy(self, i));
		ASSERT_EQ(0, part_build(self, i));
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(1 << i, dirty_pages(vm));
	}
	ASSERT_EQ(0, set_tracking(vm, false));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
}

/* Descriptors of any kind reach the unit of their vIOMMU and leave the other's entries alone */
TEST_F(units, invalidation)
{
	const desc_t descs[] = {
		D_PAGE(VDID, 0, WHERE), D_PASID(VDID, 0), D_IOTLB(VDID),
		D_IOTLB_GLOBAL, D_PC(VDID), D_PC_GLOBAL, D_CC_GLOBAL,
		D_PAGE(VDID, 0, 60),
	};
	unsigned int i, page[2] = { PAGE_A, PAGE_B };

	for (i = 0; i < 2 * ARRAY_SIZE(descs); i++) {
		const int sender = i & 1, other = !sender;
		unsigned int next = page[sender] == PAGE_C ? PAGE_D : PAGE_C;
		uint32_t before[2];

		map_page(self, sender, next);
		map_page(self, other, PAGE_E);
		EXPECT_EQ(page[sender], lands(self, sender, NO_PASID, 0, WHERE));
		EXPECT_EQ(page[other], lands(self, other, NO_PASID, 0, WHERE));
		before[0] = executed(self, sender);
		before[1] = executed(self, other);
		ASSERT_EQ(0, descriptor(self, sender, descs[i / 2]));
		EXPECT_LT(before[0], executed(self, sender));
		EXPECT_EQ(before[1], executed(self, other));
		EXPECT_EQ(next, lands(self, sender, NO_PASID, 0, WHERE));
		EXPECT_EQ(page[other], lands(self, other, NO_PASID, 0, WHERE));
		map_page(self, other, page[other]);
		page[sender] = next;
	}
}

/* A descriptor for a device goes to the vIOMMU that has it */
TEST_F(units, device_tlb)
{
	int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, PEDU_MODE_ATS, WHERE));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-EIO, descriptor(self, !i, D_DEV(RID(i), WHERE)));
		EXPECT_EQ(1, tlb_entries(&self->part[i].dev));
		ASSERT_EQ(0, descriptor(self, i, D_DEV(RID(i), WHERE)));
		EXPECT_EQ(0, tlb_entries(&self->part[i].dev));
		EXPECT_EQ(!i, tlb_entries(&self->part[!i].dev));
	}
}

/* One that does not answer fails the queue of its own unit only */
TEST_F(units, silent_device)
{
	EXPECT_EQ(PAGE_A, lands(self, 0, NO_PASID, PEDU_MODE_ATS, WHERE));
	EXPECT_EQ(PAGE_B, lands(self, 1, NO_PASID, PEDU_MODE_ATS, WHERE));
	set32(&self->part[1].dev, PEDU_INV_MODE, PEDU_INV_SILENT);
	EXPECT_EQ(-ETIMEDOUT, descriptor(self, 1, D_DEV(RID(1), WHERE)));
	EXPECT_LT(0, model(self, 1, VTDM_ITE));
	EXPECT_EQ(0, descriptor(self, 0, D_DEV(RID(0), WHERE)));
	EXPECT_EQ(0, tlb_entries(&self->part[0].dev));
	EXPECT_EQ(0, model(self, 0, VTDM_ITE));
	set32(&self->part[1].dev, PEDU_INV_MODE, PEDU_INV_OBEY);
	EXPECT_EQ(0, descriptor(self, 1, D_DEV(RID(1), WHERE)));
	EXPECT_EQ(0, tlb_entries(&self->part[1].dev));
	EXPECT_LT(0, kmsg_count(self->kmsg, "Invalidation Time-out Error"));
}

/* A device, its objects and the vIOMMU of the other unit do not go together */
TEST_F(units, refused)
{
	struct vm *vm = &self->vm;
	uint32_t id;
	int i;

	for (i = 0; i < 2; i++) {
		struct part *part = &self->part[i], *other = &self->part[!i];
		struct device *dev = &part->dev;

		EXPECT_EQ(-EINVAL, attach(dev, NO_PASID, other->nested));
		EXPECT_EQ(-EINVAL, attach(dev, NO_PASID, other->bypass));
		EXPECT_EQ(-EINVAL, attach(dev, PASID, other->nested));
		EXPECT_EQ(-EINVAL, attach(dev, PASID, other->bypass));
		vm->viommu = other->viommu;
		EXPECT_EQ(-EINVAL, entry_alloc(vm, dev, PE_P | PE_PGTT(1), VDID,
					       part->fs.ipa, &id));
		EXPECT_EQ(-EINVAL, entry_alloc(vm, dev, 0, 0, 0, &id));
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(BLOCKED, lands(self, i, PASID, 0, WHERE));

		ASSERT_EQ(0, attach(dev, NO_PASID, part->bypass));
		ASSERT_EQ(0, destroy(vm, part->vdevice));
		EXPECT_EQ(-EINVAL, iommufd_vdevice_alloc(vm->fd, other->viommu,
							 dev->edu.id, RID(i), &id));
		/* Nor is there one now */
		EXPECT_EQ(-EIO, descriptor(self, !i, D_DEV(RID(i), WHERE)));
		EXPECT_EQ(-ENOENT, attach(dev, NO_PASID, part->nested));
		/* The other unit's device may have the same requester ID in the guest */
		ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, part->viommu, dev->edu.id,
						   RID(!i), &id));
		ASSERT_EQ(0, destroy(vm, id));
		ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, part->viommu, dev->edu.id,
						   RID(i), &part->vdevice));
		ASSERT_EQ(0, attach(dev, NO_PASID, part->nested));
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
	}
}

/*
 * Units that can do less: the third one has no dirty bits in its second stage, the
 * fourth one no first stage. A VMM makes another parent on EINVAL only.
 */
TEST_F(units, lesser_units)
{
	const uint32_t parent = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID;
	struct vm *vm = &self->vm;
	struct device dev[2];
	uint32_t id, plain, bypass;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_LE(0, device_behind(2 + i));
		ASSERT_EQ(0, device_open(&dev[i], vm->fd, device_behind(2 + i)));
		EXPECT_EQ(i ? -EOPNOTSUPP : -EINVAL,
			  iommufd_viommu_alloc(vm->fd, dev[i].edu.id, vm->s2,
					       IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0, &id));
		EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(vm, &dev[i].edu, vm->ioas,
						  parent | IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
						  &id));
		EXPECT_EQ(-EINVAL, attach(&dev[i], NO_PASID, vm->s2));
		EXPECT_EQ(BLOCKED, lands_at(&dev[i], vm, NO_PASID, 0, IPA(PAGE_C)));
	}
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(vm, &dev[1].edu, vm->ioas, parent, &id));

	/* The other parent serves them, beside the first one */
	ASSERT_EQ(0, hwpt_alloc(vm, &dev[0].edu, vm->ioas, parent, &plain));
	ASSERT_EQ(0, iommufd_viommu_alloc(vm->fd, dev[0].edu.id, plain,
					  IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0,
					  &vm->viommu));
	ASSERT_EQ(0, entry_alloc(vm, &dev[0], PE_P | PE_PGTT(4), VDID, 0, &bypass));
	ASSERT_EQ(0, attach(&dev[0], NO_PASID, bypass));
	EXPECT_EQ(-EOPNOTSUPP, iommufd_viommu_alloc(vm->fd, dev[1].edu.id, plain,
						    IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0,
						    &id));
	ASSERT_EQ(0, attach(&dev[1], NO_PASID, plain));
	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(PAGE_C, lands_at(&dev[i], vm, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands(self, i, NO_PASID, 0, SPARE));
	}
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(BLOCKED, lands_at(&dev[i], vm, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(BLOCKED, lands(self, i, NO_PASID, 0, SPARE));
		ASSERT_EQ(0, detach(&dev[i], NO_PASID));
		device_close(&dev[i]);
	}
	ASSERT_EQ(0, destroy(vm, bypass));
	ASSERT_EQ(0, destroy(vm, vm->viommu));
	ASSERT_EQ(0, destroy(vm, plain));
}

/* Each unit has its own interrupt, and its faults go to its own vIOMMU */
TEST_F(units, events)
{
	struct record record;
	uint32_t id[2];
	int fd[2], i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, iommufd_veventq_alloc(self->vm.fd, self->part[i].viommu,
						   IOMMU_VEVENTQ_TYPE_INTEL_VTD, 16,
						   &id[i], &fd[i]));
	for (i = 0; i < 6; i++) {
		const int unit = i & 1;
		struct pollfd in = { .fd = fd[unit], .events = POLLIN };
		const uint64_t iova = NOT_MAPPED + i * PAGE_SIZE;

		/* The unit raises no interrupt until the handler of the last one ends */
		usleep(150000);
		EXPECT_EQ(BLOCKED, lands(self, unit, NO_PASID, 0, iova));
		ASSERT_EQ(1, poll(&in, 1, 20000));
		ASSERT_EQ(sizeof(record), read(fd[unit], &record, sizeof(record)));
		EXPECT_EQ(i / 2, record.header.sequence);
		EXPECT_EQ(iova, record.rec[0]);
		EXPECT_EQ(RID(unit), record.rec[1] & 0xffff);
		EXPECT_EQ(0, read(fd[!unit], &record, sizeof(record)));
	}
	for (i = 0; i < 2; i++) {
		close(fd[i]);
		ASSERT_EQ(0, destroy(&self->vm, id[i]));
	}
}

/* One vIOMMU goes and comes; the other goes on */
TEST_F(units, destroy)
{
	struct vm *vm = &self->vm;
	int i;

	for (i = 0; i < 2; i++) {
		const int other = !i, used = dids_used(i);
		unsigned int page = other ? PAGE_B : PAGE_A;

		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands(self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(PAGE_C, lands(self, other, NO_PASID, 0, SPARE));
		ASSERT_EQ(0, part_destroy(self, i));
		EXPECT_EQ(self->bound[i], dids_used(i));
		EXPECT_EQ(BLOCKED, lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));

		EXPECT_EQ(page, lands(self, other, NO_PASID, 0, WHERE));
		map_page(self, other, PAGE_D);
		ASSERT_EQ(0, descriptor(self, other, D_PAGE(VDID, 0, WHERE)));
		EXPECT_EQ(PAGE_D, lands(self, other, NO_PASID, 0, WHERE));
		map_page(self, other, page);
		ASSERT_EQ(0, descriptor(self, other, D_PAGE(VDID, 0, WHERE)));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(BLOCKED, lands(self, other, NO_PASID, 0, SPARE));

		ASSERT_EQ(0, part_build(self, i));
		EXPECT_EQ(used, dids_used(i));
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(BLOCKED, lands(self, i, NO_PASID, 0, SPARE));
	}
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* The device behind either unit is unplugged, with all its objects, and comes back */
TEST_F(units, unplug)
{
	char path[600], file[700], bdf[16];
	struct vm *vm = &self->vm;
	int unit, i;

	for (unit = 0; unit < 2; unit++) {
		struct part *part = &self->part[unit];
		unsigned int page = unit ? PAGE_A : PAGE_B;

		ASSERT_EQ(0, device_sysfs(device_behind(unit), path, sizeof(path)));
		snprintf(bdf, sizeof(bdf), "%s", strrchr(path, '/') + 1);
		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands(self, unit, NO_PASID, 0, SPARE));
		EXPECT_EQ(PAGE_C, lands(self, !unit, NO_PASID, 0, SPARE));
		device_close(&part->dev);
		EXPECT_EQ(self->used[unit], dids_used(unit));
		snprintf(file, sizeof(file), "%s/remove", path);
		ASSERT_EQ(0, write_file(file, "1"));

		/* The kernel has destroyed the virtual device and the attach, no more */
		EXPECT_EQ(-ENOENT, destroy(vm, part->vdevice));
		EXPECT_EQ(-EIO, descriptor(self, unit, D_DEV(RID(unit), WHERE)));
		EXPECT_EQ(0, descriptor(self, unit, D_IOTLB_GLOBAL));
		EXPECT_EQ(page, lands(self, !unit, NO_PASID, 0, WHERE));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(BLOCKED, lands(self, !unit, NO_PASID, 0, SPARE));

		ASSERT_EQ(0, write_file("/sys/bus/pci/rescan", "1"));
		snprintf(file, sizeof(file), "/sys/bus/pci/devices/%s/driver_override", bdf);
		for (i = 0; i < 1000 && access(file, F_OK); i++)
			usleep(1000);
		ASSERT_EQ(0, write_file(file, "vfio-pci"));
		ASSERT_EQ(0, write_file("/sys/bus/pci/drivers_probe", bdf));
		ASSERT_LE(0, device_behind(unit));
		ASSERT_EQ(0, device_open(&part->dev, vm->fd, device_behind(unit)));
		/* The vIOMMU and its HWPTs are there for it */
		ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, part->viommu, part->dev.edu.id,
						   RID(unit), &part->vdevice));
		ASSERT_EQ(0, attach(&part->dev, NO_PASID, part->nested));
		EXPECT_EQ(unit ? PAGE_B : PAGE_A, lands(self, unit, NO_PASID, 0, WHERE));
		EXPECT_EQ(BLOCKED, lands(self, unit, NO_PASID, 0, SPARE));
	}
}

/* Both guests' sides at work, under DMA, while the second stage changes */

#define ROUNDS	200

struct race {
	struct _test_data_units *self;
	int unit;
	volatile bool stop;
	long bad;
	long done;
};

static void *race_invalidate(void *arg)
{
	struct race *race = arg;
	const desc_t descs[] = { D_PAGE(VDID, 0, WHERE), D_IOTLB(VDID), D_PC(VDID),
				 D_DEV(RID(race->unit), WHERE), D_IOTLB_GLOBAL };
	struct vm vm = race->self->vm;

	vm.viommu = race->self->part[race->unit].viommu;
	for (; !race->stop; race->done++) {
		uint32_t num = ARRAY_SIZE(descs);

		if (send_descs(&vm, descs, &num) || num != ARRAY_SIZE(descs))
			race->bad++;
	}
	return NULL;
}

static void *race_replace(void *arg)
{
	struct race *race = arg;
	struct part *part = &race->self->part[race->unit];

	for (; !race->stop; race->done++)
		if (attach(&part->dev, NO_PASID, part->bypass) ||
		    attach(&part->dev, NO_PASID, part->nested) ||
		    attach(&part->dev, PASID + 1, part->nested) ||
		    detach(&part->dev, PASID + 1))
			race->bad++;
	return NULL;
}

/* Writes to WHERE, over and over, by the PASID's translation */
static void dma_start(struct device *dev)
{
	set64(dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE + 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_BUFFER, 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
	set32(dev, PEDU_CH(1) + PEDU_CH_PASID, PEDU_PASID_VALID | PASID);
	set32(dev, PEDU_CH(1) + PEDU_CH_MODE, PEDU_MODE_ATS);
	set32(dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
					     PEDU_CMD_REPEAT);
}

static int races_start(struct _test_data_units *self, struct race *races,
		       pthread_t *threads)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < 4 && !rc; i++) {
		struct part *part = &self->part[i & 1];

		races[i] = (struct race){ .self = self, .unit = i & 1 };
		if (i < 2) {
			rc = attach(&part->dev, PASID, part->nested);
			dma_start(&part->dev);
		}
		if (!rc)
			rc = -pthread_create(&threads[i], NULL,
					     i & 2 ? race_replace : race_invalidate,
					     &races[i]);
	}
	return rc;
}

TEST_F(units, races)
{
	static const uint32_t modes[] = { 0, PEDU_MODE_ATS };
	static const int gone[] = { BLOCKED, -100 - PEDU_ERR_ATS_NONE };
	struct vm *vm = &self->vm;
	pthread_t threads[4];
	struct race races[4];
	unsigned int i, round;
	uint32_t status;

	ASSERT_EQ(0, races_start(self, races, threads));
	for (round = 0; round < ROUNDS; round++) {
		unsigned int page = PAGE_C + round % 3;

		ASSERT_EQ(0, ioas_map(vm, page, 1, SPARE_IPA));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(page, lands(self, i & 1, PASID, modes[i / 2], SPARE));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(gone[i / 2], lands(self, i & 1, PASID, modes[i / 2], SPARE));
	}
	for (i = 0; i < 4; i++)
		races[i].stop = true;
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, races[i].bad);
		EXPECT_LT(0, races[i].done);
	}
	for (i = 0; i < 2; i++) {
		struct device *dev = &self->part[i].dev;

		status = reg32(dev, PEDU_CH(1) + PEDU_CH_STATUS);
		EXPECT_TRUE(status & PEDU_STATUS_BUSY);
		EXPECT_FALSE(status & PEDU_STATUS_ERROR);
		EXPECT_LT(0, reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS));
		set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
		ASSERT_EQ(0, detach(dev, PASID));
	}
}

/* The process of the VM dies in the middle of that; another VM then has both devices */
TEST(killed)
{
	static struct _test_data_units self;
	const int used[] = { dids_used(0), dids_used(1) };
	int kmsg = kmsg_open(), ready[2], status, round, i;
	char byte;
	pid_t pid;

	ASSERT_LE(0, kmsg);
	ASSERT_LE(0, used[0]);
	ASSERT_LE(0, used[1]);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct race races[4];
			pthread_t threads[4];

			close(ready[0]);
			if (units_build(&self) || races_start(&self, races, threads) ||
			    write(ready[1], "", 1) != 1)
				_exit(1);
			for (;;)
				if (ioas_map(&self.vm, PAGE_C, 1, SPARE_IPA) ||
				    ioas_unmap(&self.vm, SPARE_IPA, PAGE_SIZE))
					_exit(2);
		}
		close(ready[1]);
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		close(ready[0]);
		usleep(30000 * round);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	/* The last references go with work that is deferred */
	for (i = 0; i < 1000 && (used[0] != dids_used(0) || used[1] != dids_used(1)); i++)
		usleep(1000);
	EXPECT_EQ(used[0], dids_used(0));
	EXPECT_EQ(used[1], dids_used(1));
	ASSERT_EQ(0, units_build(&self));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(&self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(i ? PAGE_B : PAGE_A, lands(&self, i, NO_PASID, PEDU_MODE_ATS, WHERE));
		EXPECT_EQ(BLOCKED, lands(&self, i, PASID, 0, WHERE));
		EXPECT_EQ(0, part_destroy(&self, i));
	}
	EXPECT_EQ(0, destroy(&self.vm, self.vm.s2));
	units_close(&self);
	EXPECT_EQ(0, kmsg_count(kmsg, VTD_TROUBLE));
}

TEST_HARNESS_MAIN
