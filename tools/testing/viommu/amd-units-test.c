// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of one VM behind two AMD IOMMUs, without a VMM: one second stage, a vIOMMU for
 * each unit, and behind each a pasid-edu device that is nested and one that has the second
 * stage alone. Both units use the same DomainID of the guest, PASIDs and addresses. A
 * change of the second stage reaches both units; what the guest sends to one vIOMMU does
 * not reach the other's unit.
 *
 * Expects two pasid-edu devices behind each unit bound to vfio-pci, the first without ATS,
 * the second with it. With LESSER=1 in the environment the second unit has no dirty bits.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "amd-test-lib.h"

enum { WITHOUT_ATS, WITH_ATS };

/* The first stages map this to SPARE_IPA, which the tests map in the second stage */
#define SPARE		(WHERE + 16 * PAGE_SIZE)

/* The guest's DeviceIDs of the two nested devices */
#define RID(unit)	(GDEV + 8 * (unit))

/* Of a translation request that is answered without permissions */
#define ATS_NONE	(-100 - PEDU_ERR_ATS_NONE)

/*
 * Of @m the VM is the same, but for the vIOMMU. WHERE is PAGE_A behind the first unit,
 * PAGE_B behind the other.
 */
FIXTURE(units)
{
	struct machine m[2];
	struct device plain[2];
	int kmsg;
};

/* The nth pasid-edu device behind a unit, as device_open() counts them */
static int device_behind(int unit, int nth)
{
	char link[PATH_MAX], name[16];
	int rc = -ENODEV;
	glob_t found;
	size_t i;

	snprintf(name, sizeof(name), "/ivhd%d", unit);
	if (glob("/sys/bus/pci/drivers/vfio-pci/*:*/iommu", 0, NULL, &found))
		return -ENODEV;
	for (i = 0; i < found.gl_pathc && rc < 0; i++)
		if (realpath(found.gl_pathv[i], link) &&
		    !strcmp(strrchr(link, '/'), name) && !nth--)
			rc = i;
	globfree(&found);
	return rc;
}

static int open_behind(struct device *dev, int unit, int nth, int iommufd)
{
	int rc = device_behind(unit, nth);

	return rc < 0 ? rc : device_open(dev, rc, iommufd);
}

static uint32_t counter(int unit, enum amd_model_counter which)
{
	return *(volatile uint32_t *)(model_of(unit) + AMDM_COUNTER(which));
}

/* Commands that a unit has executed */
static uint32_t executed(int unit)
{
	return *(volatile uint32_t *)(model_of(unit) + AMDM_LOG_COUNT);
}

static int lands_on(struct _test_data_units *self, int unit, unsigned int pasid,
		    uint32_t mode, uint64_t iova)
{
	return lands_at(&self->m[unit].dev, &self->m[unit].vm, pasid, mode, iova);
}

static unsigned int own_page(int unit)
{
	return unit ? PAGE_B : PAGE_A;
}

static int own_alloc(struct _test_data_units *self, int unit, uint32_t domain, uint32_t *id)
{
	return guest_alloc(&self->m[unit], domain, unit ? T_GCR3_SPARE : T_GCR3, GIOV, id);
}

/* All of a part but its devices and tables; the device is then attached */
static int part_build(struct _test_data_units *self, int unit)
{
	struct machine *m = &self->m[unit];
	int rc;

	rc = iommufd_viommu_alloc(m->vm.fd, m->dev.edu.id, m->vm.s2, IOMMU_VIOMMU_TYPE_AMD,
				  NULL, 0, &m->vm.viommu);
	if (!rc)
		rc = dte_alloc(m, 0, 0, 0, 0, &m->bypass);
	if (!rc)
		rc = own_alloc(self, unit, GDOM, &m->nested);
	if (!rc)
		rc = iommufd_vdevice_alloc(m->vm.fd, m->vm.viommu, m->dev.edu.id, RID(unit),
					   &m->vm.vdevice);
	return rc ? rc : edu_attach(&m->dev.edu, m->nested);
}

/* All objects of a part, its device detached; returns the first error */
static int part_destroy(struct _test_data_units *self, int unit)
{
	struct machine *m = &self->m[unit];
	const uint32_t ids[] = { m->vm.vdevice, m->nested, m->bypass, m->vm.viommu };
	unsigned int i;
	int rc = edu_detach(&m->dev.edu);

	for (i = 0; i < ARRAY_SIZE(ids) && !rc; i++)
		rc = destroy(&m->vm, ids[i]);
	return rc;
}

/* What needs no second stage */
static int devices_build(struct _test_data_units *self)
{
	static const unsigned int roots[] = { T_ROOT, T_SPARE };
	static const unsigned int gcr3s[] = { T_GCR3, T_GCR3_SPARE };
	struct vm *vm = &self->m[0].vm;
	struct edu none;
	int i, rc;

	memset(self->m, 0, sizeof(self->m));
	rc = vm_build(vm, &none, 0, VM_MEMORY);
	for (i = 0; i < 2 && !rc; i++) {
		volatile uint8_t *model = model_of(i);
		struct machine *m = &self->m[i];

		if (!model || *(volatile uint32_t *)(model + AMDM_ID) != AMDM_ID_VALUE)
			return -ENODEV;
		rc = open_behind(&m->dev, i, WITH_ATS, vm->fd);
		if (!rc)
			rc = open_behind(&self->plain[i], i, WITHOUT_ATS, vm->fd);
		m->leaf = build_tables(vm, roots[i]);
		map_to(m->leaf, own_page(i));
		m->leaf[16] = SPARE_IPA | G_ENTRY | G_DIRTY;
		set_gcr3(&self->m[0], gcr3s[i], 0, IPA(roots[i]) | 1);
		set_gcr3(&self->m[0], gcr3s[i], PASID, IPA(roots[i]) | 1);
	}
	self->m[1].vm = *vm;
	return rc;
}

static int units_build(struct _test_data_units *self)
{
	struct vm *vm = &self->m[0].vm;
	int i, rc = devices_build(self);

	if (!rc)
		rc = hwpt_alloc(vm, &self->m[0].dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
				&vm->s2);
	self->m[1].vm = *vm;
	for (i = 0; i < 2 && !rc; i++) {
		rc = part_build(self, i);
		if (!rc)
			rc = edu_attach(&self->plain[i].edu, vm->s2);
		*(volatile uint32_t *)(model_of(i) + AMDM_RESET) = 1;
	}
	return rc;
}

static int units_close(struct _test_data_units *self)
{
	struct vm *vm = &self->m[0].vm;
	int i, rc = 0;

	for (i = 0; i < 2 && !rc; i++) {
		rc = part_destroy(self, i);
		if (!rc)
			rc = edu_detach(&self->plain[i].edu);
	}
	if (!rc)
		rc = destroy(vm, vm->s2);
	for (i = 0; i < 2; i++) {
		device_close(&self->m[i].dev);
		device_close(&self->plain[i]);
	}
	close(vm->fd);
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);
	return rc;
}

FIXTURE_SETUP(units)
{
	int i;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, units_build(self));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(reg32(&self->m[i].dev, PEDU_CONFIG) & PEDU_HAS_ATS);
		ASSERT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
	}
}

FIXTURE_TEARDOWN(units)
{
	int i;

	EXPECT_EQ(0, units_close(self));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, counter(i, AMDM_FOREIGN_HITS));
		EXPECT_EQ(0, counter(i, AMDM_QUEUE_ID));
		EXPECT_EQ(0, counter(i, AMDM_ILLEGAL));
	}
	EXPECT_EQ(0, kmsg_count(self->kmsg, AMD_TROUBLE));
	close(self->kmsg);
}

/* Each device gets what its own guest tables say, by an entry of its own unit */
TEST_F(units, translation)
{
	static const unsigned int pasids[] = { NO_PASID, PASID };
	struct vm *vm = &self->m[0].vm;
	int i, j;

	for (i = 0; i < 2; i++) {
		struct machine *m = &self->m[i];
		uint32_t before[] = { counter(i, AMDM_NESTED), counter(!i, AMDM_NESTED) };

		for (j = 0; j < 2; j++)
			EXPECT_EQ(own_page(i), lands_on(self, i, pasids[j], 0, WHERE));
		EXPECT_EQ(before[0] + 2, counter(i, AMDM_NESTED));
		EXPECT_EQ(before[1], counter(!i, AMDM_NESTED));
		EXPECT_EQ(own_page(i), lands_on(self, i, PASID, PEDU_MODE_ATS, WHERE));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, NOT_MAPPED));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, IPA(PAGE_C)));
		EXPECT_EQ(BLOCKED, lands_on(self, i, PASID + 1, 0, WHERE));

		/* The device beside has the guest's memory, and none of its tables */
		before[0] = counter(i, AMDM_HOST);
		before[1] = counter(!i, AMDM_HOST);
		EXPECT_EQ(PAGE_C, lands_at(&self->plain[i], vm, NO_PASID, 0, IPA(PAGE_C)));
		EXPECT_EQ(before[0] + 1, counter(i, AMDM_HOST));
		EXPECT_EQ(before[1], counter(!i, AMDM_HOST));
		EXPECT_EQ(BLOCKED, lands_at(&self->plain[i], vm, NO_PASID, 0, WHERE));

		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->bypass));
		EXPECT_EQ(PAGE_C, lands_on(self, i, NO_PASID, 0, IPA(PAGE_C)));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, WHERE));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
		/* No change of an entry without its command */
		EXPECT_EQ(0, counter(i, AMDM_DTE_STALE));
	}
}

/*
 * An unmap is complete for all that share the second stage when the call returns. Without
 * @beside the nested devices are its only ones.
 */
static void second_stage_changes(struct __test_metadata *_metadata,
				 struct _test_data_units *self, uint32_t mode, bool beside)
{
	const int gone = mode ? ATS_NONE : BLOCKED;
	struct vm *vm = &self->m[0].vm;
	uint32_t dropped[2];
	unsigned int page;
	int i;

	for (i = 0; i < 2 && !beside; i++)
		ASSERT_EQ(0, edu_detach(&self->plain[i].edu));
	for (page = PAGE_C; page <= PAGE_E; page++) {
		ASSERT_EQ(0, ioas_map(vm, page, 1, SPARE_IPA));
		for (i = 0; i < 2; i++) {
			dropped[i] = counter(i, AMDM_TLB_DROPPED);
			EXPECT_EQ(page, lands_on(self, i, NO_PASID, mode, SPARE));
			EXPECT_EQ(page, lands_on(self, i, PASID, mode, SPARE));
			EXPECT_EQ(beside ? (int)page : BLOCKED,
				  lands_at(&self->plain[i], vm, NO_PASID, 0, SPARE_IPA));
			EXPECT_EQ(mode ? 2 : 0, tlb_entries(&self->m[i].dev));
		}
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		for (i = 0; i < 2; i++) {
			EXPECT_LT(dropped[i], counter(i, AMDM_TLB_DROPPED));
			EXPECT_EQ(0, tlb_entries(&self->m[i].dev));
			EXPECT_EQ(gone, lands_on(self, i, NO_PASID, mode, SPARE));
			EXPECT_EQ(gone, lands_on(self, i, PASID, mode, SPARE));
			EXPECT_EQ(BLOCKED, lands_at(&self->plain[i], vm, NO_PASID, 0, SPARE_IPA));
		}
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, counter(i, AMDM_TLB_STALE));
		EXPECT_EQ(0, counter(i, AMDM_TABLE_STALE));
		EXPECT_EQ(0, counter(i, AMDM_DEVICE_TLB_EARLY));
		if (!beside)
			ASSERT_EQ(0, edu_attach(&self->plain[i].edu, vm->s2));
	}
}

TEST_F(units, second_stage)
{
	second_stage_changes(_metadata, self, 0, true);
	second_stage_changes(_metadata, self, 0, false);
}

TEST_F(units, second_stage_ats)
{
	struct vm *vm = &self->m[0].vm;
	int i;

	second_stage_changes(_metadata, self, PEDU_MODE_ATS, true);
	second_stage_changes(_metadata, self, PEDU_MODE_ATS, false);
	/* Only one of the devices has anything in its TLB */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands_on(self, i, NO_PASID, PEDU_MODE_ATS, SPARE));
		EXPECT_EQ(PAGE_C, lands_on(self, !i, NO_PASID, 0, SPARE));
		EXPECT_EQ(1, tlb_entries(&self->m[i].dev));
		EXPECT_EQ(0, tlb_entries(&self->m[!i].dev));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(0, tlb_entries(&self->m[i].dev));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(BLOCKED, lands_on(self, !i, NO_PASID, 0, SPARE));
	}
}

/* Both nested devices in the guest's pass-through, and no others: by the vIOMMUs alone */
TEST_F(units, bypass)
{
	static const uint32_t modes[] = { 0, PEDU_MODE_ATS };
	struct vm *vm = &self->m[0].vm;
	unsigned int page;
	int i, j;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, edu_detach(&self->plain[i].edu));
		ASSERT_EQ(0, edu_attach(&self->m[i].dev.edu, self->m[i].bypass));
	}
	for (page = PAGE_C; page <= PAGE_D; page++) {
		ASSERT_EQ(0, ioas_map(vm, page, 1, SPARE_IPA));
		for (i = 0; i < 2; i++)
			for (j = 0; j < 2; j++)
				EXPECT_EQ(page, lands_on(self, i, NO_PASID, modes[j], SPARE_IPA));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(0, tlb_entries(&self->m[i].dev));
			EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, SPARE_IPA));
			EXPECT_EQ(ATS_NONE, lands_on(self, i, NO_PASID, PEDU_MODE_ATS, SPARE_IPA));
			EXPECT_EQ(0, counter(i, AMDM_TLB_STALE));
		}
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, edu_attach(&self->m[i].dev.edu, self->m[i].nested));
		ASSERT_EQ(0, edu_attach(&self->plain[i].edu, vm->s2));
	}
}

/* A device with ATS on the second stage itself, beside the other unit's first stage */
TEST_F(units, parent)
{
	struct vm *vm = &self->m[0].vm;
	int i;

	for (i = 0; i < 2; i++) {
		struct machine *m = &self->m[i];

		ASSERT_EQ(0, edu_attach(&m->dev.edu, vm->s2));
		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands_on(self, i, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands_on(self, i, NO_PASID, PEDU_MODE_ATS, SPARE_IPA));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(PAGE_C, lands_on(self, !i, NO_PASID, 0, SPARE));
		EXPECT_EQ(PAGE_C, lands_on(self, !i, NO_PASID, PEDU_MODE_ATS, SPARE));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(0, tlb_entries(&self->m[0].dev));
		EXPECT_EQ(0, tlb_entries(&self->m[1].dev));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(BLOCKED, lands_on(self, !i, NO_PASID, 0, SPARE));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
	}
}

/* A unit without a vIOMMU, whose devices have the second stage alone; then without any */
TEST_F(units, plain_unit)
{
	static const uint32_t modes[] = { 0, PEDU_MODE_ATS };
	struct vm *vm = &self->m[0].vm;
	int i, j;

	for (i = 0; i < 2; i++) {
		struct machine *m = &self->m[i];

		ASSERT_EQ(0, part_destroy(self, i));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, vm->s2));
		for (j = 0; j < 2; j++) {
			ASSERT_EQ(0, ioas_map(vm, PAGE_C + j, 1, SPARE_IPA));
			EXPECT_EQ(PAGE_C + j, lands_on(self, i, NO_PASID, modes[j], SPARE_IPA));
			EXPECT_EQ(PAGE_C + j, lands_on(self, !i, NO_PASID, modes[j], SPARE));
			EXPECT_EQ(PAGE_C + j,
				  lands_at(&self->plain[i], vm, NO_PASID, 0, SPARE_IPA));
			ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
			EXPECT_EQ(0, tlb_entries(&self->m[0].dev));
			EXPECT_EQ(0, tlb_entries(&self->m[1].dev));
			EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, SPARE_IPA));
			EXPECT_EQ(BLOCKED, lands_on(self, !i, NO_PASID, 0, SPARE));
			EXPECT_EQ(BLOCKED,
				  lands_at(&self->plain[i], vm, NO_PASID, 0, SPARE_IPA));
		}

		/* The second stage leaves the unit with its last device, and returns */
		ASSERT_EQ(0, edu_detach(&m->dev.edu));
		ASSERT_EQ(0, edu_detach(&self->plain[i].edu));
		ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_E, lands_on(self, !i, NO_PASID, 0, SPARE));
		EXPECT_EQ(PAGE_E, lands_at(&self->plain[!i], vm, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(BLOCKED, lands_at(&self->plain[i], vm, NO_PASID, 0, SPARE_IPA));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(BLOCKED, lands_on(self, !i, NO_PASID, 0, SPARE));
		ASSERT_EQ(0, part_build(self, i));
		ASSERT_EQ(0, edu_attach(&self->plain[i].edu, vm->s2));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(BLOCKED, lands_at(&self->plain[i], vm, NO_PASID, 0, SPARE_IPA));
		EXPECT_EQ(0, counter(i, AMDM_DTE_STALE));
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

/* Pages that are areas of their own, so no entry of a table is for several of them */
#define LONE_IPA(n)	(SPARE_IPA + 2 * (n) * PAGE_SIZE)
#define LONE_PAGES	4

/* A bit for each of them that is dirty, which is then clear, or a negative errno */
static int dirty_pages(struct vm *vm)
{
	int i, rc, dirty = 0;

	for (i = 0; i < LONE_PAGES; i++) {
		uint64_t bitmap = 0;
		struct iommu_hwpt_get_dirty_bitmap cmd = {
			.size = sizeof(cmd),
			.hwpt_id = vm->s2,
			.iova = LONE_IPA(i),
			.length = PAGE_SIZE,
			.page_size = PAGE_SIZE,
			.data = (uintptr_t)&bitmap,
		};

		rc = xioctl(vm->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
		if (rc)
			return rc;
		dirty |= (bitmap & 1) << i;
	}
	return dirty;
}

/* Writes through both units are in one bitmap, however the devices are attached */
TEST_F(units, dirty_tracking)
{
	struct vm *vm = &self->m[0].vm;
	int i, round;

	for (i = 0; i < LONE_PAGES; i++)
		ASSERT_EQ(0, ioas_map(vm, PAGE_C + i, 1, LONE_IPA(i)));
	/* The first two are for the nested devices, the others for those beside */
	for (i = 0; i < 2; i++)
		self->m[i].leaf[16] = LONE_IPA(i) | G_ENTRY | G_DIRTY;
	ASSERT_EQ(0, set_tracking(vm, true));
	EXPECT_EQ(0, dirty_pages(vm));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(PAGE_C + i, lands_on(self, i, NO_PASID, 0, SPARE));
			EXPECT_EQ(1 << i, dirty_pages(vm));
			EXPECT_EQ(0, dirty_pages(vm));
			EXPECT_EQ(PAGE_E + i, lands_at(&self->plain[i], vm, NO_PASID, 0,
						       LONE_IPA(2 + i)));
			EXPECT_EQ(4 << i, dirty_pages(vm));
		}
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(PAGE_C + i, lands_on(self, i, NO_PASID, 0, SPARE));
			EXPECT_EQ(PAGE_E + i, lands_at(&self->plain[i], vm, NO_PASID, 0,
						       LONE_IPA(2 + i)));
		}
		EXPECT_EQ(15, dirty_pages(vm));
	}
	/* A part that comes while it is on */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, part_destroy(self, i));
		ASSERT_EQ(0, part_build(self, i));
		EXPECT_EQ(PAGE_C + i, lands_on(self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(1 << i, dirty_pages(vm));
	}
	ASSERT_EQ(0, set_tracking(vm, false));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(PAGE_C + i, lands_on(self, i, NO_PASID, 0, SPARE));
}

/* Commands of any kind reach the unit of their vIOMMU and leave the other's entries alone */
TEST_F(units, invalidation)
{
	const guest_cmd_t cmds[] = {
		C_PAGES(GDOM, 0, WHERE | GN), C_PAGES(GDOM, 0, WHERE | GN | PDE),
		C_PAGES(GDOM, 0, EVERYTHING | GN | S | PDE), C_PAGES(GDOM, 0, WHERE),
		C_PAGES(GDOM, 0, EVERYTHING | S | PDE), C_ALL,
	};
	unsigned int i, page[] = { PAGE_A, PAGE_B };

	for (i = 0; i < 2 * ARRAY_SIZE(cmds); i++) {
		const int sender = i & 1, other = !sender;
		unsigned int next = page[sender] == PAGE_C ? PAGE_D : PAGE_C;
		uint32_t before[2];

		map_to(self->m[sender].leaf, next);
		map_to(self->m[other].leaf, PAGE_E);
		EXPECT_EQ(page[sender], lands_on(self, sender, NO_PASID, 0, WHERE));
		EXPECT_EQ(page[other], lands_on(self, other, NO_PASID, 0, WHERE));
		before[0] = executed(sender);
		before[1] = executed(other);
		ASSERT_EQ(0, invalidate_cmd(&self->m[sender], cmds[i / 2]));
		EXPECT_LT(before[0], executed(sender));
		EXPECT_EQ(before[1], executed(other));
		EXPECT_EQ(next, lands_on(self, sender, NO_PASID, 0, WHERE));
		EXPECT_EQ(page[other], lands_on(self, other, NO_PASID, 0, WHERE));
		map_to(self->m[other].leaf, page[other]);
		page[sender] = next;
	}
	EXPECT_EQ(0, counter(0, AMDM_UNKNOWN_DOMAIN));
	EXPECT_EQ(0, counter(1, AMDM_UNKNOWN_DOMAIN));
}

/* A command for a device goes to the vIOMMU that has it */
TEST_F(units, device_tlb)
{
	int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, PEDU_MODE_ATS, WHERE));
	for (i = 0; i < 2; i++) {
		struct machine *m = &self->m[i], *other = &self->m[!i];
		uint32_t before[] = { executed(0), executed(1) };

		EXPECT_EQ(-EIO, invalidate_cmd(other, C_IOTLB(RID(i), 0, EVERYTHING | S)));
		EXPECT_EQ(-EIO, invalidate_cmd(other, C_DTE(RID(i))));
		EXPECT_EQ(before[0], executed(0));
		EXPECT_EQ(before[1], executed(1));
		/* Its own pages and tables, also all of them, are not the other's */
		ASSERT_EQ(0, invalidate_cmd(other, C_ALL));
		EXPECT_EQ(1, tlb_entries(&m->dev));
		EXPECT_EQ(0, tlb_entries(&other->dev));
		EXPECT_EQ(own_page(!i), lands_on(self, !i, NO_PASID, PEDU_MODE_ATS, WHERE));
		ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(RID(i), 0, WHERE)));
		EXPECT_EQ(0, tlb_entries(&m->dev));
		EXPECT_EQ(1, tlb_entries(&other->dev));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, PEDU_MODE_ATS, WHERE));
	}
}

static void set_register(int unit, unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(model_of(unit) + offset) = value;
}

/* A device that does not answer: a time-out of its own unit only */
TEST_F(units, silent_device)
{
	struct machine *m = &self->m[1], *other = &self->m[0];
	int i;

	for (i = 0; i < 2; i++)
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, PEDU_MODE_ATS, WHERE));
	set_register(1, AMDM_KNOBS, AMDM_KNOB_HOLD);
	set32(&m->dev, PEDU_INV_MODE, PEDU_INV_SILENT);
	EXPECT_EQ(-ETIMEDOUT, invalidate_cmd(m, C_IOTLB(RID(1), 0, WHERE)));
	EXPECT_EQ(1, tlb_entries(&m->dev));
	EXPECT_EQ(0, invalidate_cmd(other, C_IOTLB(RID(0), 0, WHERE)));
	EXPECT_EQ(0, tlb_entries(&other->dev));
	set32(&m->dev, PEDU_INV_MODE, PEDU_INV_OBEY);
	set_register(1, AMDM_KNOBS, 0);
	EXPECT_LT(0, counter(1, AMDM_TIMEOUTS));
	EXPECT_EQ(0, counter(0, AMDM_TIMEOUTS));
	EXPECT_EQ(0, invalidate_cmd(m, C_IOTLB(RID(1), 0, WHERE)));
	EXPECT_EQ(0, tlb_entries(&m->dev));
	usleep(500000);
	EXPECT_LT(0, kmsg_count(self->kmsg, "ivhd1.*IOTLB_INV_TIMEOUT"));
}

/* A ring that stands holds up the commands for its own unit only */
TEST_F(units, stalled_ring)
{
	struct machine *m = &self->m[0], *other = &self->m[1];

	map_to(m->leaf, PAGE_C);
	map_to(other->leaf, PAGE_D);
	set_register(0, AMDM_INJECT, AMDM_INJECT_STALL | 3 << 8);
	EXPECT_EQ(-ETIMEDOUT, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(1, counter(0, AMDM_STALLS));
	EXPECT_EQ(0, invalidate_cmd(other, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(PAGE_A, lands_on(self, 0, NO_PASID, 0, WHERE));
	EXPECT_EQ(PAGE_D, lands_on(self, 1, NO_PASID, 0, WHERE));
	set_register(0, AMDM_INJECT, AMDM_INJECT_NONE);
	EXPECT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(PAGE_C, lands_on(self, 0, NO_PASID, 0, WHERE));
	/* Here the timeout belongs in the log */
	EXPECT_EQ(0, kmsg_count(self->kmsg, "WARNING:|BUG:"));
}

/* A device, its objects and the vIOMMU of the other unit do not go together */
TEST_F(units, refused)
{
	uint32_t id;
	int i;

	for (i = 0; i < 2; i++) {
		struct machine *m = &self->m[i], *other = &self->m[!i];
		struct machine mixed = { .vm = other->vm, .dev = m->dev };
		struct vm *vm = &m->vm;

		EXPECT_EQ(-EINVAL, edu_attach(&m->dev.edu, other->nested));
		EXPECT_EQ(-EINVAL, edu_attach(&m->dev.edu, other->bypass));
		EXPECT_EQ(-EINVAL, edu_attach(&self->plain[i].edu, other->nested));
		EXPECT_EQ(-EINVAL, edu_attach(&self->plain[i].edu, other->bypass));
		EXPECT_EQ(-EINVAL, guest_alloc(&mixed, GDOM, T_GCR3, GIOV, &id));
		EXPECT_EQ(-EINVAL, dte_alloc(&mixed, 0, 0, 0, 0, &id));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(PAGE_C, lands_at(&self->plain[i], vm, NO_PASID, 0, IPA(PAGE_C)));
		EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));

		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->bypass));
		ASSERT_EQ(0, destroy(vm, vm->vdevice));
		EXPECT_EQ(-EINVAL, iommufd_vdevice_alloc(vm->fd, other->vm.viommu, m->dev.edu.id,
							 RID(i), &id));
		/* Nor is there one now */
		EXPECT_EQ(-EIO, invalidate_cmd(other, C_IOTLB(RID(i), 0, WHERE)));
		EXPECT_EQ(-ENOENT, edu_attach(&m->dev.edu, m->nested));
		/* The other unit's device may have the same DeviceID in the guest */
		ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, m->dev.edu.id, RID(!i),
						   &id));
		ASSERT_EQ(0, destroy(vm, id));
		ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, m->dev.edu.id, RID(i),
						   &vm->vdevice));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
	}
}

struct record {
	struct iommufd_vevent_header header;
	uint64_t evt[2];
};

/* Each unit has its own interrupt and log, and its faults go to its own vIOMMU */
TEST_F(units, events)
{
	struct record record;
	uint32_t id[2];
	int fd[2], i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, iommufd_veventq_alloc(self->m[i].vm.fd, self->m[i].vm.viommu,
						   IOMMU_VEVENTQ_TYPE_AMD, 16, &id[i], &fd[i]));
	for (i = 0; i < 6; i++) {
		const int unit = i & 1;
		struct pollfd in = { .fd = fd[unit], .events = POLLIN };
		const uint64_t iova = NOT_MAPPED + 0x10 * i;

		EXPECT_EQ(PEDU_ERR_BLOCKED,
			  write_at(&self->m[unit].dev, NO_PASID, 0, iova, 1, 4));
		ASSERT_EQ(1, poll(&in, 1, 20000));
		ASSERT_EQ(sizeof(record), read(fd[unit], &record, sizeof(record)));
		EXPECT_EQ(i / 2, record.header.sequence);
		EXPECT_EQ(2, record.evt[0] >> 60);
		EXPECT_EQ(RID(unit), record.evt[0] & 0xffff);
		EXPECT_EQ(iova, record.evt[1]);
		EXPECT_EQ(0, read(fd[!unit], &record, sizeof(record)));
	}
	for (i = 0; i < 2; i++) {
		close(fd[i]);
		ASSERT_EQ(0, destroy(&self->m[0].vm, id[i]));
	}
}

/* One vIOMMU goes and comes; the other goes on */
TEST_F(units, destroy)
{
	struct vm *vm = &self->m[0].vm;
	int i;

	for (i = 0; i < 2; i++) {
		struct machine *other = &self->m[!i];

		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands_on(self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(PAGE_C, lands_on(self, !i, NO_PASID, PEDU_MODE_ATS, SPARE));
		ASSERT_EQ(0, part_destroy(self, i));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));

		EXPECT_EQ(own_page(!i), lands_on(self, !i, NO_PASID, 0, WHERE));
		map_to(other->leaf, PAGE_D);
		ASSERT_EQ(0, invalidate_cmd(other, C_PAGES(GDOM, 0, WHERE | GN)));
		EXPECT_EQ(PAGE_D, lands_on(self, !i, NO_PASID, 0, WHERE));
		map_to(other->leaf, own_page(!i));
		ASSERT_EQ(0, invalidate_cmd(other, C_PAGES(GDOM, 0, WHERE | GN)));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(0, tlb_entries(&other->dev));
		EXPECT_EQ(BLOCKED, lands_on(self, !i, NO_PASID, 0, SPARE));

		ASSERT_EQ(0, part_build(self, i));
		EXPECT_EQ(own_page(i), lands_on(self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(BLOCKED, lands_on(self, i, NO_PASID, 0, SPARE));
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

/* The nested device behind either unit is unplugged, and comes back */
TEST_F(units, unplug)
{
	struct vm *vm = &self->m[0].vm;
	char path[100], bdf[16];
	int unit, i;

	for (unit = 0; unit < 2; unit++) {
		struct machine *m = &self->m[unit];

		snprintf(bdf, sizeof(bdf), "%s", m->dev.edu.bdf);
		ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_C, lands_on(self, unit, NO_PASID, PEDU_MODE_ATS, SPARE));
		EXPECT_EQ(PAGE_C, lands_on(self, !unit, NO_PASID, 0, SPARE));
		device_close(&m->dev);
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", bdf);
		ASSERT_EQ(0, write_file(path, "1"));

		/* The kernel has destroyed the virtual device and the attach, no more */
		EXPECT_EQ(-ENOENT, destroy(vm, m->vm.vdevice));
		EXPECT_EQ(-EIO, invalidate_cmd(m, C_IOTLB(RID(unit), 0, WHERE)));
		EXPECT_EQ(0, invalidate_cmd(m, C_ALL));
		EXPECT_EQ(own_page(!unit), lands_on(self, !unit, NO_PASID, 0, WHERE));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(BLOCKED, lands_on(self, !unit, NO_PASID, 0, SPARE));
		EXPECT_EQ(BLOCKED, lands_at(&self->plain[unit], vm, NO_PASID, 0, SPARE_IPA));

		ASSERT_EQ(0, write_file("/sys/bus/pci/rescan", "1"));
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
		for (i = 0; i < 1000 && access(path, F_OK); i++)
			usleep(1000);
		ASSERT_EQ(0, write_file(path, "vfio-pci"));
		ASSERT_EQ(0, write_file("/sys/bus/pci/drivers_probe", bdf));
		ASSERT_EQ(0, open_behind(&m->dev, unit, WITH_ATS, vm->fd));
		EXPECT_EQ(0, strcmp(bdf, m->dev.edu.bdf));
		/* The vIOMMU and its HWPTs are there for it */
		ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, m->vm.viommu, m->dev.edu.id, RID(unit),
						   &m->vm.vdevice));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
		EXPECT_EQ(own_page(unit), lands_on(self, unit, NO_PASID, 0, WHERE));
		EXPECT_EQ(BLOCKED, lands_on(self, unit, NO_PASID, 0, SPARE));
	}
}

/* Both guests' sides at work, under DMA, while the second stage changes */

#define ROUNDS	100

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
	struct machine *m = &race->self->m[race->unit];
	const guest_cmd_t cmds[] = {
		C_PAGES(GDOM, 0, WHERE | GN), C_PAGES(OTHER_GDOM, 0, WHERE | GN | PDE),
		C_IOTLB(RID(race->unit), 0, WHERE), C_PAGES(GDOM, 0, EVERYTHING | S | PDE), C_ALL,
	};

	for (; !race->stop; race->done++) {
		uint32_t num = ARRAY_SIZE(cmds);

		if (invalidate_cmds(m, cmds, &num) || num != ARRAY_SIZE(cmds))
			race->bad++;
	}
	return NULL;
}

/* From one nested HWPT to another with the same tables, the device beside from and to nothing */
static void *race_replace(void *arg)
{
	struct race *race = arg;
	struct machine *m = &race->self->m[race->unit];
	struct edu *plain = &race->self->plain[race->unit].edu;
	uint32_t other;

	for (; !race->stop; race->done++)
		if (own_alloc(race->self, race->unit, OTHER_GDOM, &other) ||
		    edu_attach(&m->dev.edu, other) || edu_detach(plain) ||
		    edu_attach(&m->dev.edu, m->nested) || edu_attach(plain, m->vm.s2) ||
		    destroy(&m->vm, other))
			race->bad++;
	return NULL;
}

/* Writes behind WHERE, over and over, by both stages */
static void dma_start(struct device *dev, uint32_t mode, uint32_t how)
{
	set64(dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE + 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_BUFFER, 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
	set32(dev, PEDU_CH(1) + PEDU_CH_PASID, PEDU_PASID_VALID | PASID);
	set32(dev, PEDU_CH(1) + PEDU_CH_MODE, mode);
	set32(dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
					     PEDU_CMD_REPEAT | how);
}

static int races_start(struct _test_data_units *self, struct race *races,
		       pthread_t *threads, uint32_t mode, uint32_t how)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < 4 && !rc; i++) {
		races[i] = (struct race){ .self = self, .unit = i & 1 };
		if (i < 2)
			dma_start(&self->m[i].dev, mode, how);
		rc = -pthread_create(&threads[i], NULL, i & 2 ? race_replace : race_invalidate,
				     &races[i]);
	}
	return rc;
}

/* Each attach has ATS off for a moment */
static int lands_in_race(struct _test_data_units *self, int unit, uint32_t mode,
			 uint64_t iova)
{
	int rc;

	do
		rc = lands_on(self, unit, NO_PASID, mode, iova);
	while (mode && rc == -100 - PEDU_ERR_DISABLED);
	return rc;
}

TEST_F(units, races)
{
	static const uint32_t modes[] = { 0, PEDU_MODE_ATS };
	static const int gone[] = { BLOCKED, ATS_NONE };
	struct vm *vm = &self->m[0].vm;
	pthread_t threads[4];
	struct race races[4];
	unsigned int i, round;

	ASSERT_EQ(0, races_start(self, races, threads, 0, 0));
	for (round = 0; round < ROUNDS; round++) {
		unsigned int page = PAGE_C + round % 3;

		ASSERT_EQ(0, ioas_map(vm, page, 1, SPARE_IPA));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(page, lands_in_race(self, i & 1, modes[i / 2], SPARE));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(gone[i / 2], lands_in_race(self, i & 1, modes[i / 2], SPARE));
	}
	for (i = 0; i < 4; i++)
		races[i].stop = true;
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, races[i].bad);
		EXPECT_LT(0, races[i].done);
	}
	for (i = 0; i < 2; i++) {
		struct device *dev = &self->m[i].dev;

		EXPECT_TRUE(reg32(dev, PEDU_CH(1) + PEDU_CH_STATUS) & PEDU_STATUS_BUSY);
		EXPECT_EQ(0, reg32(dev, PEDU_CH(1) + PEDU_CH_ERRORS));
		EXPECT_LT(0, reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS));
		set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
	}
}

/*
 * The second unit may have no dirty bits: then a second stage with them is not for it. A
 * VMM makes another one on EINVAL.
 */
TEST(dirty_bits)
{
	static struct _test_data_units self;
	const char *env = getenv("LESSER");
	const bool lesser = env && *env == '1';
	struct vm *vm = &self.m[0].vm;
	struct edu *second = &self.m[1].dev.edu;
	uint32_t dirty, id;
	int i;

	ASSERT_EQ(0, devices_build(&self));
	ASSERT_EQ(0, hwpt_alloc(vm, &self.m[0].dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
				&dirty));
	EXPECT_EQ(lesser ? -EINVAL : 0,
		  iommufd_viommu_alloc(vm->fd, second->id, dirty, IOMMU_VIOMMU_TYPE_AMD, NULL, 0,
				       &id));
	if (!lesser)
		EXPECT_EQ(0, destroy(vm, id));
	EXPECT_EQ(lesser ? -EINVAL : 0, edu_attach(second, dirty));
	EXPECT_EQ(lesser ? BLOCKED : PAGE_C, lands_on(&self, 1, NO_PASID, 0, IPA(PAGE_C)));
	if (!lesser)
		EXPECT_EQ(0, edu_detach(second));
	EXPECT_EQ(lesser ? -EOPNOTSUPP : 0,
		  hwpt_alloc(vm, second, vm->ioas,
			     IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
			     &id));
	if (!lesser)
		EXPECT_EQ(0, destroy(vm, id));
	EXPECT_EQ(0, destroy(vm, dirty));

	/* One without them is for both */
	ASSERT_EQ(0, hwpt_alloc(vm, second, vm->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &vm->s2));
	self.m[1].vm = *vm;
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, part_build(&self, i));
		ASSERT_EQ(0, edu_attach(&self.plain[i].edu, vm->s2));
	}
	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(PAGE_C, lands_on(&self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(PAGE_C, lands_at(&self.plain[i], vm, NO_PASID, 0, SPARE_IPA));
	}
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(BLOCKED, lands_on(&self, i, NO_PASID, 0, SPARE));
		EXPECT_EQ(BLOCKED, lands_at(&self.plain[i], vm, NO_PASID, 0, SPARE_IPA));
	}
	EXPECT_EQ(0, units_close(&self));
}

/* The process of the VM dies in the middle of that; another VM then has all devices */
TEST(killed)
{
	static struct _test_data_units self;
	int kmsg = kmsg_open(), ready[2], status, round, i;
	char byte;
	pid_t pid;

	ASSERT_LE(0, kmsg);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct race races[4];
			pthread_t threads[4];

			close(ready[0]);
			if (units_build(&self) ||
			    races_start(&self, races, threads, PEDU_MODE_ATS, PEDU_CMD_ENDURE) ||
			    write(ready[1], "", 1) != 1)
				_exit(1);
			for (;;)
				if (ioas_map(&self.m[0].vm, PAGE_C, 1, SPARE_IPA) ||
				    ioas_unmap(&self.m[0].vm, SPARE_IPA, PAGE_SIZE))
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
	ASSERT_EQ(0, units_build(&self));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, tlb_entries(&self.m[i].dev));
		EXPECT_EQ(own_page(i), lands_on(&self, i, NO_PASID, 0, WHERE));
		EXPECT_EQ(own_page(i), lands_on(&self, i, NO_PASID, PEDU_MODE_ATS, WHERE));
		EXPECT_EQ(PAGE_C, lands_at(&self.plain[i], &self.m[0].vm, NO_PASID, 0,
					   IPA(PAGE_C)));
	}
	EXPECT_EQ(0, units_close(&self));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, counter(i, AMDM_FOREIGN_HITS));
		EXPECT_EQ(0, counter(i, AMDM_ILLEGAL));
	}
	EXPECT_EQ(0, kmsg_count(kmsg, AMD_TROUBLE));
	close(kmsg);
}

TEST_HARNESS_MAIN
