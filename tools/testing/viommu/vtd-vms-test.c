// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of two VMs on one VT-d unit, without a VMM: two iommufds with a vIOMMU of
 * the type INTEL_VTD each and a pasid-edu device each. Both guests use the same
 * domain IDs, PASIDs, addresses and requester IDs. And tests of what happens to a
 * VM at the same time: a device that goes, a process that dies, objects that are
 * destroyed.
 *
 * Expects two pasid-edu devices bound to vfio-pci, see tests/vtd.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "vtd-test-lib.h"
#include "qemu/vtd-model.h"

/* A VM with its device attached, by a first stage that maps WHERE to PAGE_A */
struct side {
	struct vm vm;
	struct device dev;
	struct first_stage fs;
	uint32_t bypass;
	uint32_t nested;
};

static int first_stage_hwpt(struct side *side, uint32_t did, uint32_t *id)
{
	return entry_alloc(&side->vm, &side->dev, PE_P | PE_PGTT(1), did,
			   side->fs.ipa, id);
}

static int side_build(struct side *side, int nth, uint32_t s2_flags)
{
	struct vm *vm = &side->vm;
	struct edu none;
	int rc;

	rc = vm_build(vm, &none, 0, VM_MEMORY);
	if (!rc)
		rc = device_open(&side->dev, vm->fd, nth);
	if (!rc)
		rc = hwpt_alloc(vm, &side->dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_PASID | s2_flags, &vm->s2);
	if (!rc)
		rc = iommufd_viommu_alloc(vm->fd, side->dev.edu.id, vm->s2,
					  IOMMU_VIOMMU_TYPE_INTEL_VTD, NULL, 0,
					  &vm->viommu);
	if (!rc)
		rc = entry_alloc(vm, &side->dev, PE_P | PE_PGTT(4), 1, 0,
				 &side->bypass);
	if (!rc)
		rc = iommufd_vdevice_alloc(vm->fd, vm->viommu, side->dev.edu.id,
					   VRID, &vm->vdevice);
	if (rc)
		return rc;
	first_stage_init(&side->fs, vm);
	first_stage_map(&side->fs, vm, WHERE, PAGE_A);
	rc = first_stage_hwpt(side, VDID, &side->nested);
	return rc ? rc : attach(&side->dev, NO_PASID, side->nested);
}

/* The objects of a VM, its device detached; returns the first error */
static int side_destroy(struct side *side)
{
	struct vm *vm = &side->vm;
	const uint32_t ids[] = { vm->vdevice, side->nested, side->bypass,
				 vm->viommu, vm->s2 };
	unsigned int i;
	int rc = detach(&side->dev, NO_PASID);

	for (i = 0; i < ARRAY_SIZE(ids) && !rc; i++)
		rc = destroy(vm, ids[i]);
	return rc;
}

static void side_close(struct side *side)
{
	device_close(&side->dev);
	close(side->vm.fd);
	munmap(side->vm.mem, GUEST_PAGES * PAGE_SIZE);
}

static int lands(struct side *side, unsigned int pasid, uint32_t mode)
{
	return lands_at(&side->dev, &side->vm, pasid, mode, WHERE);
}

static void dma_forever(struct side *side, unsigned int pasid)
{
	struct device *dev = &side->dev;

	set64(dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE + 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_BUFFER, 64);
	set32(dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
	set32(dev, PEDU_CH(1) + PEDU_CH_PASID,
	      pasid == NO_PASID ? 0 : PEDU_PASID_VALID | pasid);
	set32(dev, PEDU_CH(1) + PEDU_CH_MODE, PEDU_MODE_ATS);
	set32(dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
	set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
					     PEDU_CMD_REPEAT | PEDU_CMD_ENDURE);
}

static bool dma_runs(struct side *side)
{
	uint32_t before = reg32(&side->dev, PEDU_CH(1) + PEDU_CH_ROUNDS);
	int i;

	for (i = 0; i < 10000; i++) {
		if (reg32(&side->dev, PEDU_CH(1) + PEDU_CH_ROUNDS) - before >= 3)
			return true;
		usleep(100);
	}
	return false;
}

/* How many domain IDs of the unit are in use, or a negative errno */
static int dids_used(void)
{
	FILE *f = fopen("/sys/class/iommu/dmar0/intel-iommu/domains_used", "r");
	int n;

	if (!f || fscanf(f, "%d", &n) != 1)
		n = -EIO;
	if (f)
		fclose(f);
	return n;
}

/* The domain ID in the last PASID table entry that the unit has read */
static int last_did(void)
{
	int mem = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC), did = -EIO;
	volatile uint8_t *regs = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, mem,
				      VTDM_BASE);

	if (regs != MAP_FAILED) {
		if (*(volatile uint32_t *)(regs + VTDM_ID) == VTDM_ID_VALUE)
			did = *(volatile uint64_t *)(regs + VTDM_ENTRY(1)) & 0xffff;
		munmap((void *)regs, PAGE_SIZE);
	}
	close(mem);
	return did;
}

/* Two VMs */

FIXTURE(two)
{
	struct side side[2];
	int kmsg;
	int used;
};

FIXTURE_SETUP(two)
{
	int i;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->used = dids_used();
	ASSERT_LE(0, self->used);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, side_build(&self->side[i], i, 0));
		ASSERT_EQ(PAGE_A, lands(&self->side[i], NO_PASID, 0));
	}
}

FIXTURE_TEARDOWN(two)
{
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, side_destroy(&self->side[i]));
		side_close(&self->side[i]);
	}
	EXPECT_EQ(self->used, dids_used());
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

/* The same address, domain ID and PASID: each device gets the memory of its VM */
TEST_F(two, memory)
{
	struct side *a = &self->side[0], *b = &self->side[1];
	uint32_t second[2];
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, first_stage_hwpt(&self->side[i], VDID, &second[i]));
		ASSERT_EQ(0, attach(&self->side[i].dev, PASID, second[i]));
	}
	first_stage_map(&b->fs, &b->vm, WHERE, PAGE_B);
	ASSERT_EQ(0, send_desc(&b->vm, D_IOTLB_GLOBAL));
	for (i = 0; i < 4; i++) {
		unsigned int pasid = i & 1 ? PASID : NO_PASID;
		struct side *other = i & 2 ? a : b;
		int page;

		for (page = GUEST_DATA; page < GUEST_PAGES; page++)
			*(volatile uint64_t *)vm_page(&other->vm, page) = 0x5a5a;
		EXPECT_EQ(i & 2 ? PAGE_B : PAGE_A, lands(i & 2 ? b : a, pasid, 0));
		for (page = GUEST_DATA; page < GUEST_PAGES; page++)
			ASSERT_EQ(0x5a5a, *(volatile uint64_t *)vm_page(&other->vm, page));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, detach(&self->side[i].dev, PASID));
		ASSERT_EQ(0, destroy(&self->side[i].vm, second[i]));
	}
}

/* One VM's descriptors of any kind leave the other one's stale entries alone */
TEST_F(two, invalidation)
{
	const desc_t descs[] = {
		D_PAGE(VDID, 0, WHERE), D_PASID(VDID, 0), D_IOTLB(VDID),
		D_IOTLB_GLOBAL, D_PC(VDID), D_PC_GLOBAL, D_CC_GLOBAL,
		D_PAGE(VDID, 0, 60),
	};
	unsigned int i, page[2] = { PAGE_A, PAGE_A };
	uint32_t second[2];

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, first_stage_hwpt(&self->side[i], VDID, &second[i]));
		ASSERT_EQ(0, attach(&self->side[i].dev, PASID, second[i]));
	}
	for (i = 0; i < 2 * ARRAY_SIZE(descs); i++) {
		struct side *sender = &self->side[i & 1];
		struct side *other = &self->side[!(i & 1)];
		unsigned int *fresh = &page[i & 1], *stale = &page[!(i & 1)];

		EXPECT_EQ(*stale, lands(other, NO_PASID, 0));
		EXPECT_EQ(*stale, lands(other, PASID, 0));
		*fresh = *fresh == PAGE_A ? PAGE_B : PAGE_A;
		first_stage_map(&sender->fs, &sender->vm, WHERE, *fresh);
		first_stage_map(&other->fs, &other->vm, WHERE, PAGE_C);
		ASSERT_EQ(0, send_desc(&sender->vm, descs[i / 2]));
		EXPECT_EQ(*fresh, lands(sender, NO_PASID, 0));
		EXPECT_EQ(*stale, lands(other, NO_PASID, 0));
		EXPECT_EQ(*stale, lands(other, PASID, 0));
		/* For the next round */
		first_stage_map(&other->fs, &other->vm, WHERE, *stale);
		ASSERT_EQ(0, send_desc(&sender->vm, D_IOTLB_GLOBAL));
		ASSERT_EQ(0, send_desc(&other->vm, D_IOTLB_GLOBAL));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, detach(&self->side[i].dev, PASID));
		ASSERT_EQ(0, destroy(&self->side[i].vm, second[i]));
	}
}

TEST_F(two, device_tlb)
{
	struct side *a = &self->side[0], *b = &self->side[1];
	const desc_t descs[] = { D_DEV(VRID, WHERE), D_IOTLB(VDID), D_IOTLB_GLOBAL };
	unsigned int i;

	EXPECT_EQ(PAGE_A, lands(b, NO_PASID, PEDU_MODE_ATS));
	for (i = 0; i < ARRAY_SIZE(descs); i++) {
		EXPECT_EQ(PAGE_A, lands(a, NO_PASID, PEDU_MODE_ATS));
		EXPECT_EQ(1, tlb_entries(&a->dev));
		ASSERT_EQ(0, send_desc(&a->vm, descs[i]));
		EXPECT_EQ(0, tlb_entries(&a->dev));
		EXPECT_EQ(1, tlb_entries(&b->dev));
	}
}

/* Faults go to the VM of the device, and to nobody else */
TEST_F(two, events)
{
	struct record record;
	uint32_t id[2];
	int fd[2], i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, iommufd_veventq_alloc(self->side[i].vm.fd,
						   self->side[i].vm.viommu,
						   IOMMU_VEVENTQ_TYPE_INTEL_VTD,
						   16, &id[i], &fd[i]));
	for (i = 0; i < 8; i++) {
		struct side *side = &self->side[i & 1];
		struct pollfd in = { .fd = fd[i & 1], .events = POLLIN };

		/* The unit raises no interrupt until the handler of the last one ends */
		usleep(150000);
		EXPECT_EQ(BLOCKED, lands_at(&side->dev, &side->vm, NO_PASID, 0,
					    NOT_MAPPED + i * PAGE_SIZE));
		ASSERT_EQ(1, poll(&in, 1, 20000));
		ASSERT_EQ(sizeof(record), read(fd[i & 1], &record, sizeof(record)));
		EXPECT_EQ(i / 2, record.header.sequence);
		EXPECT_EQ(NOT_MAPPED + i * PAGE_SIZE, record.rec[0]);
		EXPECT_EQ(VRID, record.rec[1] & 0xffff);
		EXPECT_EQ(0, read(fd[!(i & 1)], &record, sizeof(record)));
	}
	for (i = 0; i < 2; i++) {
		close(fd[i]);
		ASSERT_EQ(0, destroy(&self->side[i].vm, id[i]));
	}
}

/* One VM gets the domain ID that the other one has just freed: nothing is left in it */
TEST_F(two, did_reuse)
{
	struct side *a = &self->side[0], *b = &self->side[1];
	uint32_t new;
	int round, did;

	/* The lowest free ID is taken */
	ASSERT_EQ(0, detach(&a->dev, NO_PASID));
	for (round = 0; round < 20; round++) {
		ASSERT_EQ(0, attach(&a->dev, NO_PASID, a->nested));
		EXPECT_EQ(PAGE_A, lands(a, NO_PASID, 0));
		did = last_did();
		ASSERT_LT(1, did);
		/* The table of the other VM, at the same address, to another page */
		first_stage_map(&b->fs, &b->vm, WHERE, round & 1 ? PAGE_D : PAGE_E);
		ASSERT_EQ(0, first_stage_hwpt(b, VDID, &new));
		ASSERT_EQ(0, detach(&a->dev, NO_PASID));
		ASSERT_EQ(0, attach(&b->dev, PASID, new));
		EXPECT_EQ(round & 1 ? PAGE_D : PAGE_E, lands(b, PASID, 0));
		EXPECT_EQ(did, last_did());
		ASSERT_EQ(0, detach(&b->dev, PASID));
		ASSERT_EQ(0, destroy(&b->vm, new));
	}
	ASSERT_EQ(0, attach(&a->dev, NO_PASID, a->nested));
}

/* Entries that are not present take no domain ID */
TEST_F(two, blocked_dids)
{
	struct side *a = &self->side[0];
	const int used = dids_used();
	uint32_t blocked[2];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, entry_alloc(&a->vm, &a->dev, 0, VDID, 0, &blocked[i]));
	for (i = 1; i <= 20; i++) {
		ASSERT_EQ(0, attach(&a->dev, i, blocked[0]));
		EXPECT_EQ(BLOCKED, lands(a, i, 0));
		if (i & 1)
			ASSERT_EQ(0, attach(&a->dev, i, blocked[1]));
	}
	EXPECT_EQ(used, dids_used());
	ASSERT_EQ(0, attach(&a->dev, 7, a->nested));
	EXPECT_EQ(PAGE_A, lands(a, 7, 0));
	ASSERT_EQ(0, attach(&a->dev, 8, a->bypass));
	EXPECT_EQ(PAGE_C, lands_at(&a->dev, &a->vm, 8, 0, IPA(PAGE_C)));
	/* The nested one is attached already */
	EXPECT_EQ(used + 1, dids_used());
	for (i = 7; i <= 8; i++) {
		ASSERT_EQ(0, attach(&a->dev, i, blocked[0]));
		EXPECT_EQ(BLOCKED, lands(a, i, 0));
	}
	EXPECT_EQ(used, dids_used());
	for (i = 1; i <= 20; i++)
		ASSERT_EQ(0, detach(&a->dev, i));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, destroy(&a->vm, blocked[i]));
}

/* A VM gets a quarter of the domain IDs; the other one still has its own */
TEST_F(two, did_limit)
{
	struct side *a = &self->side[0], *b = &self->side[1];
	uint32_t blocked, id, *ids;
	int max, n = 0, rc = 0;
	FILE *f;

	f = fopen("/sys/class/iommu/dmar0/intel-iommu/domains_supported", "r");
	ASSERT_NE(NULL, f);
	ASSERT_EQ(1, fscanf(f, "%d", &max));
	fclose(f);
	max /= 4;
	ids = calloc(max + 1, sizeof(*ids));
	ASSERT_NE(NULL, ids);
	/* The setup has made two */
	while (n <= max && !rc)
		rc = first_stage_hwpt(a, VDID, &ids[n++]);
	n--;
	EXPECT_EQ(-ENOSPC, rc);
	EXPECT_EQ(max - 2, n);
	EXPECT_EQ(-ENOSPC, entry_alloc(&a->vm, &a->dev, PE_P | PE_PGTT(4), 1, 0, &id));
	ASSERT_EQ(0, entry_alloc(&a->vm, &a->dev, 0, 0, 0, &blocked));
	ASSERT_EQ(0, destroy(&a->vm, blocked));
	ASSERT_EQ(0, first_stage_hwpt(b, VDID, &id));
	ASSERT_EQ(0, attach(&b->dev, NO_PASID, id));
	EXPECT_EQ(PAGE_A, lands(b, NO_PASID, 0));
	ASSERT_EQ(0, attach(&b->dev, NO_PASID, b->nested));
	ASSERT_EQ(0, destroy(&b->vm, id));
	/* One that goes makes room for one */
	ASSERT_EQ(0, destroy(&a->vm, ids[n - 1]));
	ASSERT_EQ(0, first_stage_hwpt(a, VDID, &ids[n - 1]));
	EXPECT_EQ(-ENOSPC, first_stage_hwpt(a, VDID, &id));
	while (n)
		ASSERT_EQ(0, destroy(&a->vm, ids[--n]));
	free(ids);
}

static volatile unsigned int invalidated;

static void *invalidate_forever(void *arg)
{
	static const desc_t descs[] = { D_PAGE(VDID, 0, WHERE), D_DEV(VRID, WHERE) };
	struct side *side = arg;
	uint32_t num = 2;

	while (!send_descs(&side->vm, descs, &num)) {
		invalidated++;
		num = 2;
	}
	return NULL;
}

/* A device that does not answer fails its own VM; the log has a bound */
TEST_F(two, silent_device)
{
	struct side *a = &self->side[0], *b = &self->side[1];
	const int kmsg = self->kmsg;
	pthread_t other;
	uint32_t num;
	int i;

	EXPECT_EQ(PAGE_A, lands(a, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(PAGE_A, lands(b, NO_PASID, PEDU_MODE_ATS));
	set32(&a->dev, PEDU_INV_MODE, PEDU_INV_SILENT);
	invalidated = 0;
	ASSERT_EQ(0, pthread_create(&other, NULL, invalidate_forever, b));
	for (i = 0; i < 30; i++) {
		desc_t desc = D_DEV(VRID, WHERE);

		num = 1;
		EXPECT_EQ(-ETIMEDOUT, send_descs(&a->vm, &desc, &num));
		EXPECT_EQ(0, num);
	}
	set32(&a->dev, PEDU_INV_MODE, PEDU_INV_OBEY);
	/* It has an error only now that there is no vIOMMU for its call */
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(other, NULL));
	while (invalidated < 2)
		usleep(1000);
	i = b->vm.viommu;
	b->vm.viommu = ~0;
	ASSERT_EQ(0, pthread_join(other, NULL));
	b->vm.viommu = i;
	EXPECT_LT(0, (i = kmsg_count(kmsg, "Invalidation Time-out Error")));
	/* Ten in five seconds of each of two messages */
	EXPECT_GE(60, i);
	ASSERT_EQ(0, send_desc(&a->vm, D_DEV(VRID, WHERE)));
	EXPECT_EQ(0, tlb_entries(&a->dev));
}

/* Dirty tracking of the second stage sees writes through a first stage on it */

static int set_tracking(struct vm *vm, bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {
		.size = sizeof(cmd),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = vm->s2,
	};

	return xioctl(vm->fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

/* Whether the page is dirty, which is then cleared, or a negative errno */
static int page_dirty(struct vm *vm, unsigned int page)
{
	uint64_t bitmap = 0;
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = vm->s2,
		.iova = IPA(page),
		.length = PAGE_SIZE,
		.page_size = PAGE_SIZE,
		.data = (uintptr_t)&bitmap,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);

	return rc ? rc : bitmap & 1;
}

/* One VM */

FIXTURE(one)
{
	struct side side;
	int kmsg;
	int used;
};

FIXTURE_SETUP(one)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->used = dids_used();
	ASSERT_EQ(0, side_build(&self->side, 0, IOMMU_HWPT_ALLOC_DIRTY_TRACKING));
	ASSERT_EQ(PAGE_A, lands(&self->side, NO_PASID, 0));
}

FIXTURE_TEARDOWN(one)
{
	EXPECT_EQ(PAGE_A, lands(&self->side, NO_PASID, 0));
	EXPECT_EQ(0, side_destroy(&self->side));
	side_close(&self->side);
	EXPECT_EQ(self->used, dids_used());
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

TEST_F(one, dirty_tracking)
{
	struct side *side = &self->side;
	struct vm *vm = &side->vm;
	uint32_t late;

	ASSERT_EQ(0, attach(&side->dev, PASID, side->bypass));
	ASSERT_EQ(0, set_tracking(vm, true));
	EXPECT_EQ(0, page_dirty(vm, PAGE_A));
	EXPECT_EQ(PAGE_A, lands(side, NO_PASID, 0));
	EXPECT_EQ(1, page_dirty(vm, PAGE_A));
	EXPECT_EQ(0, page_dirty(vm, PAGE_A));
	EXPECT_EQ(PAGE_B, lands_at(&side->dev, vm, PASID, 0, IPA(PAGE_B)));
	EXPECT_EQ(1, page_dirty(vm, PAGE_B));
	EXPECT_EQ(0, page_dirty(vm, PAGE_A));

	/* Attached while it is on; by a replace, and as the first one */
	ASSERT_EQ(0, first_stage_hwpt(side, OTHER_DID, &late));
	ASSERT_EQ(0, attach(&side->dev, NO_PASID, late));
	EXPECT_EQ(PAGE_A, lands(side, NO_PASID, 0));
	EXPECT_EQ(1, page_dirty(vm, PAGE_A));
	ASSERT_EQ(0, detach(&side->dev, PASID));
	ASSERT_EQ(0, attach(&side->dev, PASID, late));
	EXPECT_EQ(PAGE_A, lands(side, PASID, 0));
	EXPECT_EQ(1, page_dirty(vm, PAGE_A));

	ASSERT_EQ(0, set_tracking(vm, false));
	EXPECT_EQ(PAGE_A, lands(side, PASID, 0));
	ASSERT_EQ(0, detach(&side->dev, PASID));
	ASSERT_EQ(0, attach(&side->dev, NO_PASID, side->nested));
	ASSERT_EQ(0, destroy(vm, late));
}

/* Objects come and go in some threads, under DMA and invalidations in others */

#define ROUNDS	300

struct race {
	struct side *side;
	volatile bool stop;
	long bad;
};

static void *race_invalidate(void *arg)
{
	const desc_t descs[] = { D_PAGE(VDID, 0, WHERE), D_IOTLB(VDID), D_DEV(VRID, WHERE),
				 D_IOTLB_GLOBAL, D_PC(OTHER_DID), D_CC_GLOBAL };
	struct race *race = arg;

	while (!race->stop) {
		uint32_t num = ARRAY_SIZE(descs);
		int rc = send_descs(&race->side->vm, descs, &num);

		/* The device has no virtual one at times */
		if (rc ? rc != -EIO || num != 2 : num != ARRAY_SIZE(descs))
			race->bad++;
	}
	return NULL;
}

static void *race_destroy(void *arg)
{
	struct race *race = arg;
	struct vm *vm = &race->side->vm;

	while (!race->stop)
		if (destroy(vm, vm->viommu) != -EBUSY || destroy(vm, vm->s2) != -EBUSY)
			race->bad++;
	return NULL;
}

static void *race_vdevice(void *arg)
{
	struct race *race = arg;
	struct vm *vm = &race->side->vm;
	uint32_t id;

	while (!race->stop)
		if (iommufd_vdevice_alloc(vm->fd, vm->viommu, race->side->dev.edu.id,
					  VRID, &id) || destroy(vm, id))
			race->bad++;
	return NULL;
}

static void *race_pasids(void *arg)
{
	struct race *race = arg;
	struct side *side = race->side;
	uint32_t id;
	int round;

	for (round = 0; !race->stop; round++)
		if (entry_alloc(&side->vm, &side->dev, round % 3 ? PE_P | PE_PGTT(4) : 0,
				VDID, 0, &id) ||
		    attach(&side->dev, 9, id) || detach(&side->dev, 9) ||
		    destroy(&side->vm, id))
			race->bad++;
	return NULL;
}

TEST_F(one, races)
{
	static void *(*const run[])(void *) = { race_invalidate, race_invalidate,
						race_destroy, race_vdevice, race_pasids };
	struct race races[ARRAY_SIZE(run)] = {};
	pthread_t threads[ARRAY_SIZE(run)];
	struct side *side = &self->side;
	struct vm *vm = &side->vm;
	unsigned int i, round;
	uint32_t id;

	/* Attached as a HWPT that needs no virtual device */
	ASSERT_EQ(0, attach(&side->dev, NO_PASID, side->bypass));
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	dma_forever(side, NO_PASID);
	for (i = 0; i < ARRAY_SIZE(run); i++) {
		races[i].side = side;
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run[i], &races[i]));
	}
	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, entry_alloc(vm, &side->dev, PE_P | PE_PGTT(4), round & 7, 0,
					 &id));
		ASSERT_EQ(0, attach(&side->dev, NO_PASID, id));
		ASSERT_EQ(0, attach(&side->dev, NO_PASID, side->bypass));
		ASSERT_EQ(0, destroy(vm, id));
	}
	for (i = 0; i < ARRAY_SIZE(run); i++)
		races[i].stop = true;
	for (i = 0; i < ARRAY_SIZE(run); i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, races[i].bad) {
			TH_LOG("thread %u", i);
		}
	}
	set32(&side->dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, side->dev.edu.id, VRID,
					   &vm->vdevice));
	ASSERT_EQ(0, attach(&side->dev, NO_PASID, side->nested));
}

/* A VM in a process of its own, that ends under DMA, invalidations and replaces */

static void write_or_exit(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(9);
	close(fd);
}

static void vm_process(int ready)
{
	static struct side side;
	struct race races[2] = { { .side = &side }, { .side = &side } };
	pthread_t thread;
	uint32_t pair[2];
	unsigned int i;

	if (side_build(&side, 0, 0) || lands(&side, NO_PASID, 0) != PAGE_A ||
	    attach(&side.dev, PASID, side.nested) ||
	    first_stage_hwpt(&side, VDID, &pair[0]) ||
	    first_stage_hwpt(&side, OTHER_DID, &pair[1]))
		_exit(1);
	dma_forever(&side, PASID);
	for (i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, race_invalidate, &races[i]))
			_exit(2);
	if (!dma_runs(&side) || write(ready, "", 1) != 1)
		_exit(3);
	/* Until it is killed, or the device has gone */
	for (i = 0;; i++)
		if (attach(&side.dev, NO_PASID, pair[i & 1]))
			pause();
}

static pid_t vm_process_start(void)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		close(ready[0]);
		vm_process(ready[1]);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) != 1) {
		kill(pid, SIGKILL);
		pid = -1;
	}
	close(ready[0]);
	return pid;
}

FIXTURE(process)
{
	int kmsg;
	int used;
};

FIXTURE_SETUP(process)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->used = dids_used();
}

/* The device works in a new VM, and nothing is left of the old one */
FIXTURE_TEARDOWN(process)
{
	static struct side side;
	int i;

	/* The last references go with work that is deferred */
	for (i = 0; i < 1000 && self->used != dids_used(); i++)
		usleep(1000);
	EXPECT_EQ(self->used, dids_used());
	ASSERT_EQ(0, side_build(&side, 0, 0));
	EXPECT_EQ(PAGE_A, lands(&side, NO_PASID, 0));
	EXPECT_EQ(PAGE_A, lands(&side, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0, side_destroy(&side));
	side_close(&side);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

TEST_F(process, killed)
{
	int round, status;

	for (round = 0; round < 5; round++) {
		pid_t pid = vm_process_start();

		ASSERT_LT(0, pid);
		usleep(20000 * round);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
}

struct writer {
	char path[600];
	const char *text;
};

static void *writer_run(void *arg)
{
	struct writer *writer = arg;

	write_or_exit(writer->path, writer->text);
	return NULL;
}

/* The driver lets go of a device that is in use once its user does */
static void unbind_or_remove(struct __test_metadata *_metadata, bool remove)
{
	char path[500], driver[] = "/sys/bus/pci/drivers/vfio-pci/unbind";
	struct writer writer;
	pthread_t thread;
	const char *bdf;
	int status, i;
	pid_t pid;

	ASSERT_EQ(0, device_sysfs(0, path, sizeof(path)));
	bdf = strrchr(path, '/') + 1;
	pid = vm_process_start();
	ASSERT_LT(0, pid);
	if (remove)
		snprintf(writer.path, sizeof(writer.path), "%s/remove", path);
	else
		strcpy(writer.path, driver);
	writer.text = remove ? "1" : bdf;
	ASSERT_EQ(0, pthread_create(&thread, NULL, writer_run, &writer));
	/* It waits for the VM, which goes on */
	usleep(300000);
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(thread, NULL));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	if (remove) {
		write_or_exit("/sys/bus/pci/rescan", "1");
		snprintf(writer.path, sizeof(writer.path),
			 "/sys/bus/pci/devices/%s/driver_override", bdf);
		for (i = 0; i < 1000 && access(writer.path, F_OK); i++)
			usleep(1000);
		write_or_exit(writer.path, "vfio-pci");
	}
	write_or_exit("/sys/bus/pci/drivers_probe", bdf);
	ASSERT_EQ(0, device_sysfs(0, path, sizeof(path)));
	EXPECT_STREQ(bdf, strrchr(path, '/') + 1);
}

TEST_F(process, unbound)
{
	unbind_or_remove(_metadata, false);
}

TEST_F(process, removed)
{
	unbind_or_remove(_metadata, true);
}

TEST_HARNESS_MAIN
