// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of vIOMMUs of the type INTEL_VTD, without a VMM: a guest's PASID table
 * entries and first stage in memory, its descriptors by IOMMU_HWPT_INVALIDATE,
 * and a pasid-edu device whose writes show which translation is in force. The
 * caches of the emulated VT-d and of the device keep what nobody invalidates.
 *
 * Expects a pasid-edu device bound to vfio-pci, see tests/vtd.
 */
#define _GNU_SOURCE
#include <poll.h>

#include "kselftest_harness.h"
#include "vtd-test-lib.h"

FIXTURE(vtd)
{
	struct vm vm;
	struct device dev;
	volatile uint64_t *leaf;	/* the entry for WHERE */
	uint64_t root;
	uint32_t blocked;
	uint32_t bypass;
	uint32_t nested;
	int kmsg;
};

static int pe_alloc(struct _test_data_vtd *self, uint64_t word0, uint64_t word1,
		    uint64_t word2, uint32_t *id)
{
	return entry_alloc(&self->vm, &self->dev, word0, word1, word2, id);
}

static int first_stage(struct _test_data_vtd *self, uint32_t did, uint32_t *id)
{
	return pe_alloc(self, PE_P | PE_PGTT(1), did, self->root, id);
}

static void map_page(struct _test_data_vtd *self, unsigned int page)
{
	*self->leaf = IPA(page) | FS_ENTRY | FS_DIRTY;
}

static int lands(struct _test_data_vtd *self, unsigned int pasid, uint32_t mode)
{
	return lands_at(&self->dev, &self->vm, pasid, mode, WHERE);
}

static int invalidate_descs(struct _test_data_vtd *self, const desc_t *descs,
			    uint32_t *num)
{
	return send_descs(&self->vm, descs, num);
}

static int invalidate_desc(struct _test_data_vtd *self, desc_t desc)
{
	return send_desc(&self->vm, desc);
}

/* As a VMM: attached before there is a virtual device */
FIXTURE_SETUP(vtd)
{
	struct vm *vm = &self->vm;
	struct first_stage fs;
	struct edu none;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&self->dev, vm->fd, 0));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_PASID, &vm->s2));
	ASSERT_EQ(0, iommufd_viommu_alloc(vm->fd, self->dev.edu.id, vm->s2,
					  IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0,
					  &vm->viommu));
	first_stage_init(&fs, vm);
	self->root = fs.ipa;
	self->leaf = first_stage_entry(&fs, vm, WHERE);
	map_page(self, PAGE_A);
	ASSERT_EQ(0, pe_alloc(self, 0, 0, 0, &self->blocked));
	ASSERT_EQ(0, pe_alloc(self, PE_P | PE_PGTT(4), 1, 0, &self->bypass));
	ASSERT_EQ(0, first_stage(self, VDID, &self->nested));
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->bypass));
	ASSERT_EQ(-ENOENT, attach(&self->dev, NO_PASID, self->nested));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, self->dev.edu.id,
					   VRID, &vm->vdevice));
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->nested));
	ASSERT_EQ(PAGE_A, lands(self, NO_PASID, 0));
}

FIXTURE_TEARDOWN(vtd)
{
	struct vm *vm = &self->vm;

	EXPECT_EQ(0, detach(&self->dev, NO_PASID));
	EXPECT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(0, destroy(vm, self->nested));
	EXPECT_EQ(0, destroy(vm, self->bypass));
	EXPECT_EQ(0, destroy(vm, self->blocked));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	device_close(&self->dev);
	close(vm->fd);
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

/* Each kind of entry, on the device and on a PASID, as a replace of the other */
TEST_F(vtd, entries)
{
	static const unsigned int pasids[] = { NO_PASID, PASID };
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	unsigned int i, round;

	ASSERT_EQ(0, attach(dev, PASID, self->blocked));
	for (i = 0; i < 2; i++)
	for (round = 0; round < 3; round++) {
		unsigned int pasid = pasids[i];

		ASSERT_EQ(0, attach(dev, pasid, self->blocked));
		EXPECT_EQ(BLOCKED, lands(self, pasid, 0));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, pasid, 0, IPA(PAGE_B)));
		ASSERT_EQ(0, attach(dev, pasid, self->bypass));
		EXPECT_EQ(PAGE_B, lands_at(dev, vm, pasid, 0, IPA(PAGE_B)));
		EXPECT_EQ(BLOCKED, lands(self, pasid, 0));
		ASSERT_EQ(0, attach(dev, pasid, self->nested));
		EXPECT_EQ(PAGE_A, lands(self, pasid, 0));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, pasid, 0, IPA(PAGE_B)));
		if (round == 1) {
			ASSERT_EQ(0, attach(dev, pasid, self->bypass));
			EXPECT_EQ(PAGE_C, lands_at(dev, vm, pasid, 0,
						   IPA(PAGE_C)));
		}
	}
	ASSERT_EQ(0, detach(dev, PASID));
}

/* Stale before each kind of descriptor, right after it */
TEST_F(vtd, invalidation)
{
	const desc_t descs[] = {
		D_PAGE(VDID, 0, WHERE), D_PASID(VDID, 0), D_IOTLB(VDID),
		D_IOTLB_GLOBAL, D_PC(VDID), D_PC_GLOBAL, D_CC_GLOBAL,
		/* A range around it */
		D_PAGE(VDID, 0, (WHERE & ~0xfffffUL) | 8),
		/* A range that no unit can do at once */
		D_PAGE(VDID, 0, 60),
	};
	const desc_t others[] = {
		D_PAGE(VDID, 0, WHERE + 0x1000), D_PAGE(OTHER_DID, 0, WHERE),
		D_PAGE(VDID, PASID, WHERE), D_IOTLB(OTHER_DID),
	};
	unsigned int i, page = PAGE_A;

	for (i = 0; i < sizeof(descs) / sizeof(descs[0]); i++) {
		unsigned int next = page == PAGE_A ? PAGE_B : PAGE_A;
		unsigned int j;

		map_page(self, next);
		for (j = 0; j < sizeof(others) / sizeof(others[0]); j++)
			ASSERT_EQ(0, invalidate_desc(self, others[j]));
		EXPECT_EQ(page, lands(self, NO_PASID, 0));
		ASSERT_EQ(0, invalidate_desc(self, descs[i]));
		EXPECT_EQ(next, lands(self, NO_PASID, 0));
		page = next;
	}
}

/* One domain ID of the guest for two HWPTs, on the device and on a PASID */
TEST_F(vtd, one_id_two_tables)
{
	uint32_t second;

	ASSERT_EQ(0, first_stage(self, VDID, &second));
	ASSERT_EQ(0, attach(&self->dev, PASID, second));
	EXPECT_EQ(PAGE_A, lands(self, PASID, 0));
	map_page(self, PAGE_B);
	ASSERT_EQ(0, invalidate_desc(self, D_PAGE(VDID, PASID, WHERE)));
	EXPECT_EQ(PAGE_B, lands(self, PASID, 0));
	EXPECT_EQ(PAGE_A, lands(self, NO_PASID, 0));
	map_page(self, PAGE_C);
	ASSERT_EQ(0, invalidate_desc(self, D_IOTLB(VDID)));
	EXPECT_EQ(PAGE_C, lands(self, PASID, 0));
	EXPECT_EQ(PAGE_C, lands(self, NO_PASID, 0));
	ASSERT_EQ(0, detach(&self->dev, PASID));
	EXPECT_EQ(BLOCKED, lands(self, PASID, 0));
	ASSERT_EQ(0, destroy(&self->vm, second));
}

/* The device TLB goes with the IOTLB, and by descriptors of its own */
TEST_F(vtd, device_tlb)
{
	struct device *dev = &self->dev;

	ASSERT_TRUE(reg32(dev, PEDU_CONFIG) & PEDU_HAS_ATS);
	EXPECT_EQ(PAGE_A, lands(self, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, tlb_entries(dev));
	map_page(self, PAGE_B);
	EXPECT_EQ(PAGE_A, lands(self, NO_PASID, PEDU_MODE_ATS));
	/* A guest that does not use ATS */
	ASSERT_EQ(0, invalidate_desc(self, D_PAGE(VDID, 0, WHERE)));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_B, lands(self, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, tlb_entries(dev));
	ASSERT_EQ(0, invalidate_desc(self, D_DEV(VRID, WHERE + 0x1000)));
	EXPECT_EQ(1, tlb_entries(dev));
	ASSERT_EQ(0, invalidate_desc(self, D_DEV(VRID, WHERE)));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(-EIO, invalidate_desc(self, D_DEV(VRID + 1, WHERE)));

	/* A change of the second stage reaches it as well */
	EXPECT_EQ(PAGE_B, lands(self, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, attach(dev, NO_PASID, self->bypass));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_C, lands_at(dev, &self->vm, NO_PASID, PEDU_MODE_ATS,
				   IPA(PAGE_C)));
}

/* A device that does not answer is told to the guest, and nobody waits */
TEST_F(vtd, silent_device)
{
	const desc_t descs[] = { D_PAGE(OTHER_DID, 0, WHERE), D_DEV(VRID, WHERE),
				 D_PAGE(VDID, 0, WHERE) };
	const int kmsg = self->kmsg;
	uint32_t num = 3;

	EXPECT_EQ(PAGE_A, lands(self, NO_PASID, PEDU_MODE_ATS));
	set32(&self->dev, PEDU_INV_MODE, PEDU_INV_SILENT);
	EXPECT_EQ(-ETIMEDOUT, invalidate_descs(self, descs, &num));
	EXPECT_EQ(1, num);
	EXPECT_LT(0, kmsg_count(kmsg, "Invalidation Time-out Error"));
	set32(&self->dev, PEDU_INV_MODE, PEDU_INV_OBEY);
	num = 3;
	EXPECT_EQ(0, invalidate_descs(self, descs, &num));
	EXPECT_EQ(3, num);
	EXPECT_EQ(0, tlb_entries(&self->dev));
}

/* Long batches; a bad one in them; those before it are complete */
TEST_F(vtd, batch)
{
	static desc_t descs[1000];
	const desc_t bad[] = { D_WAIT, DESC(9, 0), DESC(4, 0), DESC(0, 0),
			       D_PAGE(VDID, 0, WHERE | BIT(7)),
			       D_DEV(VRID + 1, WHERE) };
	unsigned int i, page = PAGE_A;
	uint32_t num;

	for (i = 0; i < 1000; i++)
		descs[i] = D_PAGE(VDID, 0, WHERE + (i - 500) * 0x1000UL);
	num = 1000;
	map_page(self, PAGE_B);
	EXPECT_EQ(0, invalidate_descs(self, descs, &num));
	EXPECT_EQ(1000, num);
	EXPECT_EQ(PAGE_B, lands(self, NO_PASID, 0));
	page = PAGE_B;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const desc_t saved = descs[700];
		unsigned int next = page == PAGE_A ? PAGE_B : PAGE_A;

		/* Behind the page, then before it */
		descs[700] = bad[i];
		map_page(self, next);
		num = 1000;
		EXPECT_EQ(-EIO, invalidate_descs(self, descs, &num));
		EXPECT_EQ(700, num);
		EXPECT_EQ(next, lands(self, NO_PASID, 0));
		descs[700] = saved;
		page = next;

		descs[499] = bad[i];
		map_page(self, page == PAGE_A ? PAGE_B : PAGE_A);
		num = 1000;
		EXPECT_EQ(-EIO, invalidate_descs(self, descs, &num));
		EXPECT_EQ(499, num);
		EXPECT_EQ(page, lands(self, NO_PASID, 0));
		descs[499] = D_PAGE(VDID, 0, WHERE - 0x1000);
		map_page(self, page);
	}
}

/* Each errno of the type */
TEST_F(vtd, errnos)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	uint32_t id, num = 0;
	int fd;

	EXPECT_EQ(-EIO, pe_alloc(self, PE_P | PE_PGTT(2), VDID, 0, &id));
	EXPECT_EQ(-EIO, pe_alloc(self, PE_P | PE_PGTT(3), VDID, self->root, &id));
	EXPECT_EQ(-EIO, pe_alloc(self, PE_P | PE_PGTT(1) | BIT(9), VDID,
				 self->root, &id));
	EXPECT_EQ(-EIO, pe_alloc(self, PE_P | PE_PGTT(1), VDID,
				 self->root | BIT(1), &id));
	EXPECT_EQ(-EINVAL, iommufd_nested_alloc(vm->fd, dev->edu.id, vm->viommu, 0,
						IOMMU_HWPT_DATA_ARM_SMMUV3, &id,
						sizeof(id), &id));
	EXPECT_EQ(-EEXIST, iommufd_vdevice_alloc(vm->fd, vm->viommu, dev->edu.id,
						 VRID + 1, &id));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	ASSERT_EQ(0, attach(dev, NO_PASID, self->bypass));
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(-EINVAL, iommufd_vdevice_alloc(vm->fd, vm->viommu, dev->edu.id,
						 0x10000, &id));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, dev->edu.id, VRID,
					   &vm->vdevice));
	EXPECT_EQ(-EOPNOTSUPP, iommufd_viommu_alloc(vm->fd, dev->edu.id, vm->s2,
						    IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
						    NULL, 0, &id));
	EXPECT_EQ(-EOPNOTSUPP, iommufd_veventq_alloc(vm->fd, vm->viommu,
						     IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
						     8, &id, &fd));
	/* The probe for a type of data */
	EXPECT_EQ(0, invalidate_descs(self, NULL, &num));
	EXPECT_EQ(-EINVAL, iommufd_invalidate(vm->fd, vm->viommu,
					      IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
					      NULL, 16, &num));
}

static int next_record(int fd, struct record *record)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };

	memset(record, 0xee, sizeof(*record));
	poll(&in, 1, 20000);
	return read(fd, record, sizeof(*record));
}

/*
 * A write that faults. The unit raises no interrupt while the handler of the last
 * one has not acknowledged it, so let that end.
 */
static int faults_at(struct _test_data_vtd *self, unsigned int pasid,
		     uint64_t iova)
{
	usleep(150000);
	return lands_at(&self->dev, &self->vm, pasid, 0, iova);
}

/* Messages are limited to ten in five seconds, so it may take some faults */
static bool logged(struct _test_data_vtd *self, int kmsg, uint64_t iova)
{
	int i;

	for (i = 0; i < 200; i++) {
		if (faults_at(self, NO_PASID, iova) != BLOCKED)
			return false;
		usleep(20000);
		if (kmsg_count(kmsg, "DMAR: \\[DMA Write") > 0)
			return true;
	}
	return false;
}

/* Faults of the first stage are the guest's, with its requester ID */
TEST_F(vtd, events)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	const int kmsg = kmsg_open();
	struct record record;
	uint32_t id, far;
	int fd, i;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, iommufd_veventq_alloc(vm->fd, vm->viommu,
					   IOMMU_VEVENTQ_TYPE_INTEL_VTD, 16, &id,
					   &fd));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(BLOCKED, faults_at(self, NO_PASID, NOT_MAPPED));
		ASSERT_EQ(sizeof(record), next_record(fd, &record));
		EXPECT_EQ(0, record.header.flags);
		EXPECT_EQ(i, record.header.sequence);
		EXPECT_EQ(NOT_MAPPED, record.rec[0]);
		EXPECT_EQ(VRID, record.rec[1] & 0xffff);
		EXPECT_EQ(0x71, record.rec[1] >> 32 & 0xff);
		EXPECT_EQ(1, record.rec[1] >> 63);
	}

	/* With a PASID, one that is there and one that is not */
	ASSERT_EQ(0, attach(dev, PASID, self->nested));
	EXPECT_EQ(BLOCKED, faults_at(self, PASID, NOT_MAPPED));
	ASSERT_EQ(sizeof(record), next_record(fd, &record));
	EXPECT_EQ(0x71, record.rec[1] >> 32 & 0xff);
	EXPECT_EQ(PASID, record.rec[1] >> 40 & 0xfffff);
	EXPECT_EQ(1, record.rec[1] >> 31 & 1);
	EXPECT_EQ(BLOCKED, faults_at(self, PASID + 1, WHERE));
	ASSERT_EQ(sizeof(record), next_record(fd, &record));
	EXPECT_EQ(0x59, record.rec[1] >> 32 & 0xff);
	EXPECT_EQ(PASID + 1, record.rec[1] >> 40 & 0xfffff);
	ASSERT_EQ(0, detach(dev, PASID));

	/* Tables where the guest has no memory */
	ASSERT_EQ(0, pe_alloc(self, PE_P | PE_PGTT(1), VDID, 0x7000000, &far));
	ASSERT_EQ(0, attach(dev, NO_PASID, far));
	EXPECT_EQ(BLOCKED, faults_at(self, NO_PASID, WHERE));
	ASSERT_EQ(sizeof(record), next_record(fd, &record));
	EXPECT_EQ(0x73, record.rec[1] >> 32 & 0xff);
	EXPECT_EQ(WHERE, record.rec[0]);
	EXPECT_EQ(0, kmsg_count(kmsg, "DMAR: \\[DMA"));

	/* A hole in the second stage is the host's */
	ASSERT_EQ(0, attach(dev, NO_PASID, self->nested));
	*self->leaf = 0x7000000 | FS_ENTRY | FS_DIRTY;
	ASSERT_EQ(0, invalidate_desc(self, D_PAGE(VDID, 0, WHERE)));
	EXPECT_TRUE(logged(self, kmsg, WHERE));
	EXPECT_EQ(0, read(fd, &record, sizeof(record)));

	/* So is everything without a queue */
	close(fd);
	ASSERT_EQ(0, destroy(vm, id));
	EXPECT_TRUE(logged(self, kmsg, NOT_MAPPED));
	EXPECT_EQ(0, destroy(vm, far));
}

/* No DMA fails or is translated by the old table when a table is replaced */
TEST_F(vtd, replace_under_dma)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	uint32_t before, old = self->nested, new;
	int round;

	set64(dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE);
	set32(dev, PEDU_CH(1) + PEDU_CH_BUFFER, 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
	set32(dev, PEDU_CH(1) + PEDU_CH_PASID, 0);
	set32(dev, PEDU_CH(1) + PEDU_CH_MODE, 0);
	set32(dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
					     PEDU_CMD_REPEAT);
	for (round = 0; round < 1000; round++) {
		ASSERT_EQ(0, first_stage(self, VDID + (round & 1), &new));
		ASSERT_EQ(0, attach(dev, NO_PASID, new));
		ASSERT_EQ(0, destroy(vm, old));
		old = new;
		if (round % 100)
			continue;
		before = reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS);
		while (reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS) - before < 3)
			ASSERT_TRUE(reg32(dev, PEDU_CH(1) + PEDU_CH_STATUS) &
				    PEDU_STATUS_BUSY);
	}
	EXPECT_EQ(0, reg32(dev, PEDU_CH(1) + PEDU_CH_ERRORS));
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
	self->nested = old;
}

TEST_HARNESS_MAIN
