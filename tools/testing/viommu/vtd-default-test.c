// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of vIOMMUs of the default type on a VT-d that nests, without a VMM: nested
 * HWPTs by IOMMU_HWPT_DATA_VTD_S1 on such a vIOMMU, through which an edu and a
 * pasid-edu device move data, and each call that is refused, by its errno.
 *
 * Expects a pasid-edu and an edu device bound to vfio-pci, see tests/vtd.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "vtd-test-lib.h"

/* More objects than an iommufd of these tests ever has */
#define MAX_ID		64

/* The requester ID of the edu device in the guest; the other one has VRID */
#define EDU_VRID	0x0020U

FIXTURE(dflt)
{
	struct vm vm;
	struct device dev;
	struct edu edu;
	struct first_stage fs;
	uint32_t nested;
	uint32_t vdevice[2];
	int kmsg;
};

static int s1_alloc(struct _test_data_dflt *self, uint32_t dev, uint32_t pt,
		    uint64_t root, uint32_t *id)
{
	const struct iommu_hwpt_vtd_s1 s1 = {
		.pgtbl_addr = root,
		.addr_width = 48,
	};
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HWPT_ALLOC_PASID,
		.dev_id = dev,
		.pt_id = pt,
		.data_type = IOMMU_HWPT_DATA_VTD_S1,
		.data_len = sizeof(s1),
		.data_uptr = (uintptr_t)&s1,
	};
	int rc = xioctl(self->vm.fd, IOMMU_HWPT_ALLOC, &cmd);

	*id = cmd.out_hwpt_id;
	return rc;
}

static int default_alloc(struct _test_data_dflt *self, uint32_t dev, uint32_t s2,
			 uint32_t *id)
{
	return iommufd_viommu_alloc(self->vm.fd, dev, s2,
				    IOMMU_VIOMMU_TYPE_DEFAULT, NULL, 0, id);
}

static int lands(struct _test_data_dflt *self, unsigned int pasid)
{
	return lands_at(&self->dev, &self->vm, pasid, 0, WHERE);
}

static int edu_lands_there(struct _test_data_dflt *self)
{
	return edu_lands(&self->edu, &self->vm, WHERE);
}

static int flush(struct _test_data_dflt *self, uint32_t hwpt, uint64_t addr,
		 uint64_t npages)
{
	const struct iommu_hwpt_vtd_s1_invalidate inv = {
		.addr = addr,
		.npages = npages,
	};
	uint32_t num = 1;
	int rc = iommufd_invalidate(self->vm.fd, hwpt,
				    IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, &inv,
				    sizeof(inv), &num);

	return num == !rc ? rc : -EBADMSG;
}

/*
 * As a VMM for the guest's first entry: the vIOMMU and a nested HWPT on it; both
 * devices attached to that, and with a virtual device each
 */
FIXTURE_SETUP(dflt)
{
	struct vm *vm = &self->vm;
	struct edu none;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&self->dev, vm->fd, 0));
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_PASID, &vm->s2));
	ASSERT_EQ(0, default_alloc(self, self->dev.edu.id, vm->s2, &vm->viommu));
	first_stage_init(&self->fs, vm);
	first_stage_map(&self->fs, vm, WHERE, PAGE_A);
	ASSERT_EQ(0, s1_alloc(self, self->dev.edu.id, vm->viommu, self->fs.ipa,
			      &self->nested));
	/* No command of the guest names a device, so it needs no virtual one */
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->nested));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(PAGE_B, edu_lands(&self->edu, vm, IPA(PAGE_B)));
	ASSERT_EQ(0, edu_attach(&self->edu, self->nested));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->dev.edu.id,
					   VRID, &self->vdevice[0]));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->edu.id,
					   EDU_VRID, &self->vdevice[1]));
	ASSERT_EQ(PAGE_A, lands(self, NO_PASID));
	ASSERT_EQ(PAGE_A, edu_lands_there(self));
}

/* Tests leave what the setup has made, attached */
FIXTURE_TEARDOWN(dflt)
{
	struct vm *vm = &self->vm;
	uint32_t id;

	EXPECT_EQ(PAGE_A, lands(self, NO_PASID));
	EXPECT_EQ(PAGE_A, edu_lands_there(self));
	EXPECT_EQ(0, detach(&self->dev, NO_PASID));
	EXPECT_EQ(0, edu_detach(&self->edu));
	EXPECT_EQ(0, destroy(vm, self->vdevice[0]));
	EXPECT_EQ(0, destroy(vm, self->vdevice[1]));
	EXPECT_EQ(0, destroy(vm, self->nested));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	EXPECT_EQ(0, destroy(vm, vm->ioas));
	/* And nothing else */
	for (id = 1; id < MAX_ID; id++)
		if (id != self->dev.edu.id && id != self->edu.id)
			EXPECT_EQ(-ENOENT, destroy(vm, id));
	device_close(&self->dev);
	vm_close(vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

/* Data */

/* To and from memory, through the second stage alone and through both, and back */
TEST_F(dflt, copy)
{
	struct vm *vm = &self->vm;
	uint32_t *from = vm_page(vm, PAGE_C), *to = vm_page(vm, PAGE_D);
	const uint64_t there = WHERE + 0x1000;
	uint32_t other;
	int i;

	for (i = 0; i < (int)(GRANULE / sizeof(*from)); i++)
		from[i] = 0x9e3779b9 * (i + 1);
	first_stage_map(&self->fs, vm, there, PAGE_C);
	first_stage_map(&self->fs, vm, there + 0x1000, PAGE_D);
	ASSERT_EQ(0, edu_dma(&self->edu, false, there, GRANULE));
	ASSERT_EQ(0, edu_dma(&self->edu, true, there + 0x1000, GRANULE));
	EXPECT_EQ(0, memcmp(from, to, GRANULE));

	/* What one HWPT has, another one on the vIOMMU has not */
	ASSERT_EQ(0, s1_alloc(self, self->edu.id, vm->viommu, IPA(GUEST_DATA - 1),
			      &other));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, edu_attach(&self->edu, other));
	EXPECT_EQ(NOWHERE, edu_lands_there(self));
	EXPECT_EQ(PAGE_A, lands(self, NO_PASID));
	ASSERT_EQ(0, edu_attach(&self->edu, self->nested));
	EXPECT_EQ(PAGE_A, edu_lands_there(self));
	EXPECT_EQ(0, destroy(vm, other));
}

/* A PASID has a table of its own, beside that of the device */
TEST_F(dflt, pasid)
{
	struct vm *vm = &self->vm;
	struct first_stage fs;
	uint32_t second;

	first_stage_init(&fs, vm);
	first_stage_map(&fs, vm, WHERE, PAGE_B);
	ASSERT_EQ(0, s1_alloc(self, self->dev.edu.id, vm->viommu, fs.ipa,
			      &second));
	EXPECT_EQ(BLOCKED, lands(self, PASID));
	ASSERT_EQ(0, attach(&self->dev, PASID, second));
	EXPECT_EQ(PAGE_B, lands(self, PASID));
	EXPECT_EQ(PAGE_A, lands(self, NO_PASID));
	EXPECT_EQ(-EBUSY, destroy(vm, second));

	/* The second stage, and a replace of one table by another */
	ASSERT_EQ(0, attach(&self->dev, PASID, vm->s2));
	EXPECT_EQ(PAGE_C, lands_at(&self->dev, vm, PASID, 0, IPA(PAGE_C)));
	EXPECT_EQ(BLOCKED, lands(self, PASID));
	ASSERT_EQ(0, attach(&self->dev, PASID, self->nested));
	EXPECT_EQ(PAGE_A, lands(self, PASID));
	ASSERT_EQ(0, attach(&self->dev, PASID, second));
	EXPECT_EQ(PAGE_B, lands(self, PASID));
	ASSERT_EQ(0, detach(&self->dev, PASID));
	EXPECT_EQ(BLOCKED, lands(self, PASID));
	EXPECT_EQ(0, destroy(vm, second));
	/* This device has none */
	EXPECT_EQ(-EINVAL, xioctl(self->edu.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT,
		(&(struct vfio_device_attach_iommufd_pt){
			.argsz = sizeof(struct vfio_device_attach_iommufd_pt),
			.flags = VFIO_DEVICE_ATTACH_PASID,
			.pt_id = self->nested, .pasid = PASID })));
}

/* A change of the second stage reaches what is nested in it */
TEST_F(dflt, second_stage)
{
	struct vm *vm = &self->vm;
	const uint64_t there = WHERE + 0x1000;

	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
	*first_stage_entry(&self->fs, vm, there) = SPARE_IPA | FS_ENTRY | FS_DIRTY;
	EXPECT_EQ(PAGE_E, lands_at(&self->dev, vm, NO_PASID, 0, there));
	EXPECT_EQ(PAGE_E, edu_lands(&self->edu, vm, there));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(BLOCKED, lands_at(&self->dev, vm, NO_PASID, 0, there));
	EXPECT_EQ(NOWHERE, edu_lands(&self->edu, vm, there));
	ASSERT_EQ(0, ioas_map(vm, PAGE_F, 1, SPARE_IPA));
	EXPECT_EQ(PAGE_F, lands_at(&self->dev, vm, NO_PASID, 0, there));
	EXPECT_EQ(PAGE_F, edu_lands(&self->edu, vm, there));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	*first_stage_entry(&self->fs, vm, there) = 0;
}

/* Stale before an invalidation of the HWPT, right after it */
TEST_F(dflt, invalidate)
{
	static const struct { uint64_t addr, npages; } covers[] = {
		{ WHERE, 1 }, { WHERE & ~0xffffUL, 32 }, { WHERE - 0x1000, 3 },
		{ 0, -1ULL },
	}, misses[] = {
		{ WHERE + 0x1000, 1 }, { 0, 16 },
	};
	unsigned int i, j, page = PAGE_A;
	uint32_t other;

	ASSERT_EQ(0, s1_alloc(self, self->edu.id, self->vm.viommu, self->fs.ipa,
			      &other));
	for (i = 0; i < 2 * ARRAY_SIZE(covers); i++) {
		unsigned int next = page == PAGE_A ? PAGE_B : PAGE_A;

		first_stage_map(&self->fs, &self->vm, WHERE, next);
		for (j = 0; j < ARRAY_SIZE(misses); j++)
			ASSERT_EQ(0, flush(self, self->nested, misses[j].addr,
					   misses[j].npages));
		/* One that nothing is attached to, with the same table */
		ASSERT_EQ(0, flush(self, other, 0, -1ULL));
		EXPECT_EQ(page, lands(self, NO_PASID));
		EXPECT_EQ(page, edu_lands_there(self));
		ASSERT_EQ(0, flush(self, self->nested, covers[i / 2].addr,
				   covers[i / 2].npages));
		EXPECT_EQ(next, lands(self, NO_PASID));
		EXPECT_EQ(next, edu_lands_there(self));
		page = next;
	}
	EXPECT_EQ(0, destroy(&self->vm, other));
}

TEST_F(dflt, device_tlb)
{
	struct device *dev = &self->dev;

	ASSERT_TRUE(reg32(dev, PEDU_CONFIG) & PEDU_HAS_ATS);
	EXPECT_EQ(PAGE_A, lands_at(dev, &self->vm, NO_PASID, PEDU_MODE_ATS, WHERE));
	EXPECT_EQ(1, tlb_entries(dev));
	first_stage_map(&self->fs, &self->vm, WHERE, PAGE_B);
	EXPECT_EQ(PAGE_A, lands_at(dev, &self->vm, NO_PASID, PEDU_MODE_ATS, WHERE));
	ASSERT_EQ(0, flush(self, self->nested, WHERE, 1));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_B, lands_at(dev, &self->vm, NO_PASID, PEDU_MODE_ATS, WHERE));
	first_stage_map(&self->fs, &self->vm, WHERE, PAGE_A);
	ASSERT_EQ(0, flush(self, self->nested, 0, -1ULL));
}

TEST_F(dflt, replace_under_dma)
{
	struct device *dev = &self->dev;
	uint32_t before, old = 0, new;
	int round;

	set64(dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE);
	set32(dev, PEDU_CH(1) + PEDU_CH_BUFFER, 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
	set32(dev, PEDU_CH(1) + PEDU_CH_PASID, 0);
	set32(dev, PEDU_CH(1) + PEDU_CH_MODE, 0);
	set32(dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
					     PEDU_CMD_REPEAT);
	for (round = 0; round < 200; round++) {
		ASSERT_EQ(0, s1_alloc(self, dev->edu.id, self->vm.viommu,
				      self->fs.ipa, &new));
		ASSERT_EQ(0, attach(dev, NO_PASID, new));
		if (old)
			ASSERT_EQ(0, destroy(&self->vm, old));
		old = new;
	}
	before = reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS);
	while (reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS) - before < 3)
		ASSERT_TRUE(reg32(dev, PEDU_CH(1) + PEDU_CH_STATUS) &
			    PEDU_STATUS_BUSY);
	EXPECT_EQ(0, reg32(dev, PEDU_CH(1) + PEDU_CH_ERRORS));
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
	ASSERT_EQ(0, attach(dev, NO_PASID, self->nested));
	ASSERT_EQ(0, destroy(&self->vm, old));
}

TEST_F(dflt, msi)
{
	int event = eventfd(0, EFD_NONBLOCK);

	ASSERT_LE(0, event);
	ASSERT_EQ(0, edu_irq_eventfd(&self->edu, event));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	close(event);
}

TEST_F(dflt, sysfs)
{
	EXPECT_STREQ("0 2147483650\n", edu_iommu_file(0, "types"));
	EXPECT_STREQ("1\n", edu_iommu_file(0, "nesting"));
}

/* Invalidations */

TEST_F(dflt, errno_invalidate)
{
	const struct iommu_hwpt_vtd_s1_invalidate good = { .addr = WHERE, .npages = 1 };
	struct iommu_hwpt_vtd_s1_invalidate inv[5] = { good, good, good, good, good };
	static const struct { uint64_t addr, npages; uint32_t flags, reserved; int rc; } bad[] = {
		{ WHERE, 0, 0, 0, -EINVAL },
		{ WHERE + 1, 1, 0, 0, -EINVAL },
		{ WHERE + 0x800, 1, 0, 0, -EINVAL },
		{ WHERE, -1ULL, 0, 0, -EINVAL },
		{ WHERE, 1ULL << 52, 0, 0, -EINVAL },
		{ WHERE, 1, 2, 0, -EOPNOTSUPP },
		{ WHERE, 1, 1U << 31, 0, -EOPNOTSUPP },
		{ WHERE, 1, 0, 1, -EOPNOTSUPP },
	};
	const uint32_t types[] = { IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
				   IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
				   IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD,
				   0xdeadbeef };
	struct vm *vm = &self->vm;
	uint32_t num, page = PAGE_A;
	unsigned int i;

	/* The vIOMMU takes nothing, not even no entries */
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		num = 1;
		EXPECT_EQ(-EOPNOTSUPP, iommufd_invalidate(vm->fd, vm->viommu,
							  types[i], inv,
							  sizeof(inv[0]), &num));
		EXPECT_EQ(0, num);
		EXPECT_EQ(-EOPNOTSUPP, iommufd_invalidate(vm->fd, vm->viommu,
							  types[i], NULL,
							  sizeof(inv[0]), &num));
	}
	/* The nested HWPT takes its own data only; no entries probe for that */
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		num = 1;
		EXPECT_EQ(i ? -EINVAL : 0,
			  iommufd_invalidate(vm->fd, self->nested, types[i], inv,
					     sizeof(inv[0]), &num));
		EXPECT_EQ(!i, num);
		num = 0;
		EXPECT_EQ(i ? -EINVAL : 0,
			  iommufd_invalidate(vm->fd, self->nested, types[i], NULL,
					     sizeof(inv[0]), &num));
		EXPECT_EQ(0, num);
	}
	num = 1;
	EXPECT_EQ(-EINVAL, iommufd_invalidate(vm->fd, vm->s2, types[0], inv,
					      sizeof(inv[0]), &num));
	num = 1;
	EXPECT_EQ(-EINVAL, iommufd_invalidate(vm->fd, self->nested, types[0], inv, 8,
					      &num));
	EXPECT_EQ(0, num);
	num = 1;
	EXPECT_EQ(-EINVAL, iommufd_invalidate(vm->fd, self->nested, types[0], NULL,
					      sizeof(inv[0]), &num));
	num = 1 << 20;
	EXPECT_EQ(-EINVAL, iommufd_invalidate(vm->fd, self->nested, types[0], inv,
					      sizeof(inv[0]), &num));
	num = 1;
	EXPECT_EQ(-ENOENT, iommufd_invalidate(vm->fd, MAX_ID, types[0], inv,
					      sizeof(inv[0]), &num));

	/* Those before a bad one are done, it and those after it are not */
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		unsigned int next = page == PAGE_A ? PAGE_B : PAGE_A;

		inv[2] = (struct iommu_hwpt_vtd_s1_invalidate){
			.addr = bad[i].addr, .npages = bad[i].npages,
			.flags = bad[i].flags, .__reserved = bad[i].reserved };
		first_stage_map(&self->fs, vm, WHERE, next);
		num = 5;
		EXPECT_EQ(bad[i].rc, iommufd_invalidate(vm->fd, self->nested,
							types[0], inv,
							sizeof(inv[0]), &num));
		EXPECT_EQ(2, num);
		EXPECT_EQ(next, lands(self, NO_PASID));
		page = next;

		first_stage_map(&self->fs, vm, WHERE,
				page == PAGE_A ? PAGE_B : PAGE_A);
		num = 3;
		EXPECT_EQ(bad[i].rc, iommufd_invalidate(vm->fd, self->nested,
							types[0], inv + 2,
							sizeof(inv[0]), &num));
		EXPECT_EQ(0, num);
		EXPECT_EQ(page, lands(self, NO_PASID));
		first_stage_map(&self->fs, vm, WHERE, page);
	}
	first_stage_map(&self->fs, vm, WHERE, PAGE_A);
	EXPECT_EQ(0, flush(self, self->nested, 0, -1ULL));
}

/* Virtual devices */

TEST_F(dflt, errno_vdevice)
{
	struct vm *vm = &self->vm;
	const uint32_t others[] = { 0, MAX_ID, vm->ioas, vm->s2, self->nested,
				    self->vdevice[0] };
	struct iommu_vdevice_alloc good = {
		.size = sizeof(good),
		.viommu_id = vm->viommu,
		.dev_id = self->edu.id,
		.virt_id = EDU_VRID,
	};
	struct iommu_vdevice_alloc cmd;
	uint32_t second, id;
	unsigned int i;

	/* The device has one: with another ID, on another vIOMMU */
	EXPECT_REFUSED(EEXIST, IOMMU_VDEVICE_ALLOC, good, virt_id, EDU_VRID);
	EXPECT_REFUSED(EEXIST, IOMMU_VDEVICE_ALLOC, good, virt_id, EDU_VRID + 1);
	ASSERT_EQ(0, default_alloc(self, self->edu.id, vm->s2, &second));
	EXPECT_REFUSED(EEXIST, IOMMU_VDEVICE_ALLOC, good, viommu_id, second);

	ASSERT_EQ(0, destroy(vm, self->vdevice[1]));
	/* The ID is taken, on this vIOMMU only */
	EXPECT_REFUSED(EEXIST, IOMMU_VDEVICE_ALLOC, good, virt_id, VRID);
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, second, self->edu.id, VRID, &id));
	EXPECT_EQ(-EBUSY, destroy(vm, second));
	ASSERT_EQ(0, destroy(vm, id));

	/* Wider than a requester ID */
	EXPECT_REFUSED(EINVAL, IOMMU_VDEVICE_ALLOC, good, virt_id, 0x10000);
	EXPECT_REFUSED(EINVAL, IOMMU_VDEVICE_ALLOC, good, virt_id, BIT(63) | EDU_VRID);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, viommu_id, others[i]);
		EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, dev_id, others[i]);
	}
	EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, viommu_id, self->edu.id);
	EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, good, dev_id, vm->viommu);
	EXPECT_EQ(-EINVAL, resized(vm->fd, IOMMU_VDEVICE_ALLOC, &good, sizeof(good), 23, 0));
	EXPECT_EQ(-E2BIG, resized(vm->fd, IOMMU_VDEVICE_ALLOC, &good, sizeof(good), 64, 1));

	/* The least and the greatest one */
	cmd = good;
	cmd.virt_id = 0;
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_VDEVICE_ALLOC, &cmd));
	ASSERT_EQ(0, destroy(vm, cmd.out_vdevice_id));
	cmd = good;
	cmd.virt_id = 0xffff;
	ASSERT_EQ(0, xioctl(vm->fd, IOMMU_VDEVICE_ALLOC, &cmd));
	ASSERT_EQ(0, destroy(vm, cmd.out_vdevice_id));
	/* Another one has what it had, and it translates through all of this */
	EXPECT_EQ(PAGE_A, edu_lands_there(self));
	ASSERT_EQ(0, destroy(vm, second));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->edu.id, EDU_VRID,
					   &self->vdevice[1]));
}

/* In any order, and never with EBUSY unless there is a user */
TEST_F(dflt, destroy_orders)
{
	struct vm *vm = &self->vm;

	EXPECT_EQ(-EBUSY, destroy(vm, self->nested));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->ioas));

	/* Virtual device before the detach */
	ASSERT_EQ(0, destroy(vm, self->vdevice[0]));
	EXPECT_EQ(-ENOENT, destroy(vm, self->vdevice[0]));
	EXPECT_EQ(PAGE_A, lands(self, NO_PASID));
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, vm->s2));
	EXPECT_EQ(PAGE_C, lands_at(&self->dev, vm, NO_PASID, 0, IPA(PAGE_C)));

	/* Detach before it; the HWPT at once after the last replace of it */
	EXPECT_EQ(-EBUSY, destroy(vm, self->nested));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, destroy(vm, self->nested));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->viommu));
	ASSERT_EQ(0, destroy(vm, self->vdevice[1]));
	ASSERT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(-ENOENT, destroy(vm, vm->viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	EXPECT_EQ(PAGE_C, edu_lands(&self->edu, vm, IPA(PAGE_C)));

	/* All of it again, with the second device's first */
	ASSERT_EQ(0, default_alloc(self, self->edu.id, vm->s2, &vm->viommu));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->edu.id,
					   VRID, &self->vdevice[1]));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->dev.edu.id,
					   EDU_VRID, &self->vdevice[0]));
	ASSERT_EQ(0, s1_alloc(self, self->edu.id, vm->viommu, self->fs.ipa,
			      &self->nested));
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->nested));
	ASSERT_EQ(0, edu_attach(&self->edu, self->nested));
}

/* The file of a device is closed, with a virtual device: its ID is dead */
TEST_F(dflt, unplug)
{
	struct vm *vm = &self->vm;
	uint32_t id, old = self->vdevice[0];

	munmap((void *)self->dev.bar, PEDU_BAR_SIZE);
	close(self->dev.edu.fd);
	EXPECT_EQ(-ENOENT, destroy(vm, old));
	EXPECT_EQ(-EBUSY, destroy(vm, self->nested));
	EXPECT_EQ(PAGE_A, edu_lands_there(self));
	ASSERT_EQ(0, device_open(&self->dev, vm->fd, 0));
	/* Its virtual ID is free */
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->dev.edu.id, VRID,
					   &self->vdevice[0]));
	EXPECT_NE(old, self->vdevice[0]);
	for (id = 1; id < MAX_ID; id++)
		EXPECT_NE(old, id == old ? -destroy(vm, id) : 0);
	EXPECT_EQ(-ENOENT, destroy(vm, old));
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->nested));
}

/* All that a VM has dies with its process, whatever is attached */
TEST_F(dflt, close_all)
{
	struct vm *vm = &self->vm;
	struct edu none;

	/* The iommufd goes first, the devices with their attachments after it */
	close(vm->fd);
	device_close(&self->dev);
	edu_close(&self->edu);
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);

	ASSERT_EQ(0, vm_build(vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&self->dev, vm->fd, 0));
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_PASID, &vm->s2));
	ASSERT_EQ(0, default_alloc(self, self->edu.id, vm->s2, &vm->viommu));
	first_stage_init(&self->fs, vm);
	first_stage_map(&self->fs, vm, WHERE, PAGE_A);
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, s1_alloc(self, self->edu.id, vm->viommu, self->fs.ipa,
			      &self->nested));
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->nested));
	ASSERT_EQ(0, edu_attach(&self->edu, self->nested));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->dev.edu.id,
					   VRID, &self->vdevice[0]));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->edu.id,
					   EDU_VRID, &self->vdevice[1]));
}

/* The vIOMMU */

TEST_F(dflt, errno_viommu_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_viommu_alloc good = {
		.size = sizeof(good),
		.type = IOMMU_VIOMMU_TYPE_DEFAULT,
		.dev_id = self->edu.id,
		.hwpt_id = vm->s2,
	};
	const uint32_t others[] = { 0, MAX_ID, vm->ioas, self->nested, vm->viommu,
				    self->vdevice[0] };
	uint32_t plain, id;
	unsigned int i;

	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &plain));
	/* Another parent would help */
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, hwpt_id, plain);
	ASSERT_EQ(0, destroy(vm, plain));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, hwpt_id, others[i]);
		EXPECT_REFUSED(ENOENT, IOMMU_VIOMMU_ALLOC, good, dev_id, others[i]);
	}
	/* No parent would */
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type, IOMMU_VIOMMU_TYPE_ARM_SMMUV3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type, 0x80000001);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type, 0xdeadbeef);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, data_len, 8);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, __reserved, 1);
	/* Among these that for a VM, which it has no use for */
	for (i = 0; i < 32; i++)
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, flags, BIT(i));
	EXPECT_EQ(-EINVAL, resized(vm->fd, IOMMU_VIOMMU_ALLOC, &good, sizeof(good), 23, 0));
	EXPECT_EQ(-E2BIG, resized(vm->fd, IOMMU_VIOMMU_ALLOC, &good, sizeof(good), 128, 1));

	/* Any number of them on one second stage, also beside one of VT-d's own */
	ASSERT_EQ(0, iommufd_viommu_alloc(vm->fd, self->edu.id, vm->s2,
					  IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0, &id));
	ASSERT_EQ(0, default_alloc(self, self->edu.id, vm->s2, &plain));
	ASSERT_EQ(0, destroy(vm, id));
	ASSERT_EQ(0, destroy(vm, plain));
}

TEST_F(dflt, errno_nested_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = IPA(1), .addr_width = 48 };
	struct iommu_hwpt_alloc good = {
		.size = sizeof(good),
		.dev_id = self->edu.id,
		.pt_id = vm->viommu,
		.data_type = IOMMU_HWPT_DATA_VTD_S1,
		.data_len = sizeof(s1),
		.data_uptr = (uintptr_t)&s1,
	};
	unsigned int bit;

	/* As on the nesting parent */
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, data_type, IOMMU_HWPT_DATA_ARM_SMMUV3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, data_type, IOMMU_HWPT_DATA_INTEL_VTD);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, data_type, 0xdeadbeef);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, data_len, 8);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, pt_id, MAX_ID);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, pt_id, self->edu.id);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, pt_id, self->nested);
	EXPECT_REFUSED(ENOENT, IOMMU_HWPT_ALLOC, good, dev_id, MAX_ID);
	EXPECT_REFUSED(ENOENT, IOMMU_HWPT_ALLOC, good, dev_id, vm->viommu);
	for (bit = 0; bit < 32; bit++) {
		/* The flags for faults and PASIDs are taken */
		if (BIT(bit) & (IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID))
			continue;
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags, BIT(bit));
	}
	good.data_type = IOMMU_HWPT_DATA_NONE;
	good.data_len = 0;
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags, 0);
	good.data_type = IOMMU_HWPT_DATA_VTD_S1;
	good.data_len = sizeof(s1);

	/* What the unit cannot do */
	s1.addr_width = 57;
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, flags, 0);
	s1.addr_width = 0;
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, flags, 0);
	s1.addr_width = 48;
	s1.pgtbl_addr = IPA(1) + 8;
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, flags, 0);
	s1.pgtbl_addr = IPA(1);
	s1.flags = IOMMU_VTD_S1_EAFE;
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, flags, 0);
	s1.flags = BIT(3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags, 0);
	s1.flags = 0;
	s1.__reserved = 1;
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags, 0);
}

/* It has no events and no queues */
TEST_F(dflt, errno_other_objects)
{
	const uint32_t types[] = { 0, 1, 2, IOMMU_VEVENTQ_TYPE_INTEL_VTD, 0xdeadbeef };
	struct vm *vm = &self->vm;
	unsigned int i;
	uint32_t id;
	int fd;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		EXPECT_EQ(-EOPNOTSUPP, iommufd_veventq_alloc(vm->fd, vm->viommu,
							     types[i], 8, &id, &fd));
		EXPECT_EQ(-EOPNOTSUPP, iommufd_hw_queue_alloc(vm->fd, vm->viommu,
							      types[i], 0, IPA(0),
							      PAGE_SIZE, &id));
	}
}

TEST_HARNESS_MAIN
