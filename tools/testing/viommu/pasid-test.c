// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of HWPTs on PASIDs with VT-d, without a VMM: a pasid-edu device moves
 * data through several translations at once. Each IOAS maps the same IOVA to
 * another page of the memory, so the page that a write of the device lands in
 * says which of them translated it.
 *
 * Expects a pasid-edu device bound to vfio-pci, see tests/pasid-edu.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "pasid-edu-lib.h"

#define ECAP			0x10
#define ECAP_NEST		BIT(26)

#define VTD_TROUBLE		"WARNING:|BUG:|VT-d detected|QI HEAD"
#define VTD_FAULT		"DMAR: \\[DMA (Read|Write) .* fault addr "

/* PASIDs of the tests, in more than one page of the PASID table */
#define SPACES			5
static const unsigned int numbers[SPACES] = { NO_PASID, 1, 5, 64, 1023 };

/* Where every space maps its own page: PAGE_A + its number */
#define WHERE			0x12345000UL
/* In that page, for transfers that go on beside those to WHERE */
#define ASIDE			(WHERE + 256)

struct space {
	uint32_t ioas;
	uint32_t hwpt;
};

static uint32_t counter(struct device *dev, enum pasid_edu_counter which)
{
	return reg32(dev, PEDU_COUNTER(which));
}

static unsigned int count_matches(const char *pattern, char *path, size_t len)
{
	glob_t found;
	unsigned int n = 0;

	if (!glob(pattern, 0, NULL, &found)) {
		n = found.gl_pathc;
		snprintf(path, len, "%s", found.gl_pathv[0]);
		globfree(&found);
	}
	return n;
}

static int device_open(struct device *dev, int iommufd)
{
	char path[300], cdev[300];

	memset(dev, 0, sizeof(*dev));
	dev->edu.fd = -1;
	if (count_matches("/sys/bus/pci/drivers/vfio-pci/*:*", path, sizeof(path)) != 1)
		return -ENOTUNIQ;
	snprintf(dev->edu.bdf, sizeof(dev->edu.bdf), "%s", strrchr(path, '/') + 1);
	strcat(path, "/vfio-dev/vfio*");
	if (count_matches(path, cdev, sizeof(cdev)) != 1)
		return -ENOTUNIQ;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", strrchr(cdev, '/') + 1);
	return device_bind(dev, path, iommufd);
}

/* Channel @ch moves 8 bytes at @iova; each channel has its place in the buffer */
static void dma_setup(struct device *dev, unsigned int ch, unsigned int pasid,
		      uint32_t mode, uint64_t iova, uint32_t delay)
{
	set64(dev, PEDU_CH(ch) + PEDU_CH_ADDR, iova);
	set32(dev, PEDU_CH(ch) + PEDU_CH_BUFFER, ch * 64);
	set32(dev, PEDU_CH(ch) + PEDU_CH_LENGTH, sizeof(uint64_t));
	set32(dev, PEDU_CH(ch) + PEDU_CH_PASID,
	      pasid == NO_PASID ? 0 : PEDU_PASID_VALID | pasid);
	set32(dev, PEDU_CH(ch) + PEDU_CH_MODE, mode);
	set32(dev, PEDU_CH(ch) + PEDU_CH_DELAY, delay);
}

/* Returns a PEDU_ERR_*, or -1 if it never ends */
static int dma_run(struct device *dev, unsigned int ch, uint32_t cmd)
{
	uint32_t status;
	int i;

	set32(dev, PEDU_CH(ch) + PEDU_CH_CMD, PEDU_CMD_START | cmd);
	for (i = 0; i < 10000; i++) {
		status = reg32(dev, PEDU_CH(ch) + PEDU_CH_STATUS);
		if (!(status & PEDU_STATUS_BUSY))
			return PEDU_STATUS_CODE(status);
		usleep(1000);
	}
	return -1;
}

static int dma_write(struct device *dev, unsigned int pasid, uint32_t mode,
		     uint64_t iova, uint64_t value)
{
	dma_setup(dev, 0, pasid, mode, iova, 0);
	set64(dev, PEDU_BUFFER, value);
	return dma_run(dev, 0, PEDU_CMD_TO_MEMORY);
}

static int dma_read(struct device *dev, unsigned int pasid, uint32_t mode,
		    uint64_t iova, uint64_t *value)
{
	int rc;

	set64(dev, PEDU_BUFFER, 0);
	dma_setup(dev, 0, pasid, mode, iova, 0);
	rc = dma_run(dev, 0, 0);
	*value = *(volatile uint64_t *)(dev->bar + PEDU_BUFFER);
	return rc;
}

/* Entries of the device TLB for a PASID */
static int tlb_entries(struct device *dev, unsigned int pasid)
{
	const uint32_t wanted = pasid == NO_PASID ? 0 : PEDU_PASID_VALID | pasid;
	uint32_t i, n = reg32(dev, PEDU_TLB_COUNT);
	int found = 0;

	for (i = 0; i < n; i++) {
		set32(dev, PEDU_TLB_SELECT, i);
		found += reg32(dev, PEDU_TLB_PASID) == wanted;
	}
	return found;
}

/* The page that a write lands in, NOWHERE, or -100 minus a PEDU_ERR_* */
static int lands(struct device *dev, struct vm *vm, unsigned int pasid,
		 uint32_t mode)
{
	static uint64_t token = 0xed0d0c0ffee00000ULL;
	int page, rc;

	for (page = GUEST_DATA; page < GUEST_PAGES; page++)
		*(volatile uint64_t *)vm_page(vm, page) = 0;
	rc = dma_write(dev, pasid, mode, WHERE, ++token);
	return rc ? -100 - rc : vm_find_token(vm, token, 0);
}

#define BLOCKED(code)	(-100 - (code))

/* The kernel reports a blocked DMA from an interrupt, which may come late */
static bool fault_reported(int kmsg, unsigned int pasid, uint64_t iova)
{
	char regex[120];
	int i;

	snprintf(regex, sizeof(regex),
		 "DMAR: \\[DMA Write PASID %#x\\] .* fault addr %#llx ", pasid,
		 (unsigned long long)iova);
	for (i = 0; i < 10000; i++) {
		if (kmsg_count(kmsg, regex) > 0)
			return true;
		usleep(1000);
	}
	return false;
}

/* Wait until the kernel prints faults again: ten every five seconds */
static void faults_allowed(int kmsg)
{
	sleep(6);
	kmsg_count(kmsg, VTD_FAULT);
}

static int space_init(struct vm *vm, struct device *dev, struct space *space,
		      unsigned int page)
{
	const uint32_t ioas = vm->ioas;
	int rc = iommufd_ioas_alloc(vm->fd, &space->ioas);

	if (rc)
		return rc;
	vm->ioas = space->ioas;
	rc = ioas_map(vm, page, 1, WHERE);
	vm->ioas = ioas;
	return rc ? rc : hwpt_alloc(vm, &dev->edu, space->ioas,
				    IOMMU_HWPT_ALLOC_PASID, &space->hwpt);
}

FIXTURE(pasids)
{
	struct vm vm;
	struct device dev;
	struct space space[SPACES];
	int kmsg;
	int faults;
};

/* Every space is attached to its PASID, or to none */
FIXTURE_SETUP(pasids)
{
	struct edu none;
	int i;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->faults = kmsg_open();
	ASSERT_LE(0, self->faults);
	ASSERT_EQ(0, vm_build(&self->vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&self->dev, self->vm.fd));
	ASSERT_TRUE(reg32(&self->dev, PEDU_CONFIG) & PEDU_HAS_PASID);
	for (i = 0; i < SPACES; i++) {
		ASSERT_EQ(0, space_init(&self->vm, &self->dev, &self->space[i],
					PAGE_A + i));
		ASSERT_EQ(0, attach(&self->dev, numbers[i],
				    self->space[i].hwpt));
	}
}

FIXTURE_TEARDOWN(pasids)
{
	struct vm *vm = &self->vm;
	int i;

	for (i = SPACES - 1; i >= 0; i--)
		EXPECT_EQ(0, detach(&self->dev, numbers[i]));
	for (i = 0; i < SPACES; i++) {
		EXPECT_EQ(0, destroy(vm, self->space[i].hwpt));
		EXPECT_EQ(0, destroy(vm, self->space[i].ioas));
	}
	device_close(&self->dev);
	close(vm->fd);
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

/* Each PASID sees its own page, and none that of another */
TEST_F(pasids, isolation)
{
	struct vm *vm = &self->vm;
	uint64_t value;
	int i;

	faults_allowed(self->faults);
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(PAGE_A + i, lands(&self->dev, vm, numbers[i], 0));
	for (i = 0; i < SPACES; i++)
		*(uint64_t *)vm_page(vm, PAGE_A + i) = 0x1000 + i;
	for (i = 0; i < SPACES; i++) {
		EXPECT_EQ(PEDU_ERR_NONE,
			  dma_read(&self->dev, numbers[i], 0, WHERE, &value));
		EXPECT_EQ(0x1000 + i, value);
	}
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));

	/* A PASID that nobody attached, also in a page of the table in use */
	EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED), lands(&self->dev, vm, 6, 0));
	EXPECT_TRUE(fault_reported(self->faults, 6, WHERE));
	EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED), lands(&self->dev, vm, 4242, 0));
	EXPECT_TRUE(fault_reported(self->faults, 4242, WHERE));
}

/* An unmap is seen by the PASID of its IOAS only */
TEST_F(pasids, unmap)
{
	struct vm *vm = &self->vm;
	const uint32_t ioas = vm->ioas;
	int i;

	faults_allowed(self->faults);
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(PAGE_A + i, lands(&self->dev, vm, numbers[i], 0));
	vm->ioas = self->space[2].ioas;
	ASSERT_EQ(0, ioas_unmap(vm, WHERE, PAGE_SIZE));
	EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED), lands(&self->dev, vm, numbers[2], 0));
	EXPECT_TRUE(fault_reported(self->faults, numbers[2], WHERE));
	ASSERT_EQ(0, ioas_map(vm, PAGE_A + 10, 1, WHERE));
	vm->ioas = ioas;
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(PAGE_A + (i == 2 ? 10 : i),
			  lands(&self->dev, vm, numbers[i], 0));
}

/* No DMA of a running device fails or is translated by the old domain */
TEST_F(pasids, replace_under_dma)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	volatile uint64_t *former;
	uint32_t before, status;
	struct space other;
	int round, i;

	ASSERT_EQ(0, space_init(vm, dev, &other, PAGE_A + 10));
	/* Two channels of PASID 5 and one of another, until an error */
	for (i = 1; i <= 3; i++) {
		dma_setup(dev, i, i < 3 ? 5 : 64, 0, ASIDE, 20);
		set64(dev, PEDU_BUFFER + i * 64, 0x77);
		set32(dev, PEDU_CH(i) + PEDU_CH_CMD, PEDU_CMD_START |
		      PEDU_CMD_TO_MEMORY | PEDU_CMD_REPEAT);
	}
	for (round = 0; round < 100; round++) {
		const bool odd = round & 1;

		ASSERT_EQ(0, attach(dev, 5, odd ? self->space[2].hwpt :
						  other.hwpt));
		ASSERT_EQ(PAGE_A + (odd ? 2 : 10), lands(dev, vm, 5, 0));
		/* Nothing arrives in the former page any more */
		former = vm_page(vm, PAGE_A + (odd ? 10 : 2)) + ASIDE % PAGE_SIZE;
		*former = 0;
		before = reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS);
		while (reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS) - before < 3) {
			status = reg32(dev, PEDU_CH(1) + PEDU_CH_STATUS);
			ASSERT_TRUE(status & PEDU_STATUS_BUSY);
		}
		ASSERT_EQ(0, *former);
	}
	for (i = 1; i <= 3; i++) {
		EXPECT_TRUE(reg32(dev, PEDU_CH(i) + PEDU_CH_STATUS) &
			    PEDU_STATUS_BUSY);
		EXPECT_EQ(0, reg32(dev, PEDU_CH(i) + PEDU_CH_ERRORS));
		EXPECT_LT(100, reg32(dev, PEDU_CH(i) + PEDU_CH_ROUNDS));
		set32(dev, PEDU_CH(i) + PEDU_CH_CMD, PEDU_CMD_STOP);
	}
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));
	EXPECT_EQ(0, destroy(vm, other.hwpt));
	EXPECT_EQ(0, destroy(vm, other.ioas));
}

/* After a detach the PASID is blocked and the others go on */
TEST_F(pasids, detach)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;

	faults_allowed(self->faults);
	EXPECT_EQ(PAGE_A + 2, lands(dev, vm, 5, 0));
	ASSERT_EQ(0, detach(dev, 5));
	EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED), lands(dev, vm, 5, 0));
	EXPECT_TRUE(fault_reported(self->faults, 5, WHERE));
	EXPECT_EQ(PAGE_A + 1, lands(dev, vm, 1, 0));
	EXPECT_EQ(PAGE_A, lands(dev, vm, NO_PASID, 0));
	/* The RID alone is blocked, too */
	ASSERT_EQ(0, detach(dev, NO_PASID));
	EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED), lands(dev, vm, NO_PASID, 0));
	EXPECT_EQ(PAGE_A + 3, lands(dev, vm, 64, 0));
	ASSERT_EQ(0, attach(dev, NO_PASID, self->space[0].hwpt));
	ASSERT_EQ(0, attach(dev, 5, self->space[2].hwpt));
	EXPECT_EQ(PAGE_A + 2, lands(dev, vm, 5, 0));
	EXPECT_EQ(PAGE_A, lands(dev, vm, NO_PASID, 0));
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : 0;

	if (!rc && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		rc = -EIO;
	close(fd);
	return rc;
}

/*
 * Let the @nth allocation of this thread fail, or none any more with 0. Returns
 * whether the one of the last call has failed. The file stays open, as closing
 * it allocates as well.
 */
static int fail_nth(int nth)
{
	static int fd = -1;
	char text[16] = "";
	bool failed;
	int len;

	if (fd < 0)
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, text, sizeof(text) - 1, 0) < 1)
		return -EIO;
	failed = atoi(text) == 0;
	len = snprintf(text, sizeof(text), "%d", nth);
	return pwrite(fd, text, len, 0) == len ? failed : -EIO;
}

/* An attach that fails, at whichever allocation, has no effect */
TEST_F(pasids, replace_without_memory)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	struct space other;
	int nth, rc, failures = 0;

	ASSERT_EQ(0, write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, write_file("/sys/kernel/debug/failslab/verbose", "0"));
	ASSERT_EQ(0, space_init(vm, dev, &other, PAGE_A + 10));

	for (nth = 1; nth < 100; nth++) {
		ASSERT_LE(0, fail_nth(nth));
		rc = attach(dev, 5, other.hwpt);
		if (!fail_nth(0))
			break;
		ASSERT_EQ(rc ? PAGE_A + 2 : PAGE_A + 10, lands(dev, vm, 5, 0));
		if (!rc) {
			/* It could do without */
			ASSERT_EQ(0, attach(dev, 5, self->space[2].hwpt));
			continue;
		}
		EXPECT_EQ(-ENOMEM, rc);
		failures++;
	}
	ASSERT_EQ(0, rc);
	/* In iommufd, and for the record, the domain ID and the cache tags */
	EXPECT_LE(4, failures);
	EXPECT_EQ(PAGE_A + 10, lands(dev, vm, 5, 0));
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));

	/* The same for the first attach of a PASID, which stays blocked */
	for (nth = 1, failures = 0; nth < 100; nth++) {
		ASSERT_LE(0, fail_nth(nth));
		rc = attach(dev, 7, other.hwpt);
		if (!fail_nth(0))
			break;
		ASSERT_EQ(rc ? BLOCKED(PEDU_ERR_BLOCKED) : PAGE_A + 10,
			  lands(dev, vm, 7, 0));
		if (!rc)
			ASSERT_EQ(0, detach(dev, 7));
		failures += !!rc;
	}
	ASSERT_EQ(0, rc);
	EXPECT_LE(4, failures);
	EXPECT_EQ(0, detach(dev, 7));
	EXPECT_EQ(0, attach(dev, 5, self->space[2].hwpt));
	EXPECT_EQ(0, destroy(vm, other.hwpt));
	EXPECT_EQ(0, destroy(vm, other.ioas));
}

/* The device TLB is flushed by PASID, and at each change of a translation */
TEST_F(pasids, device_tlb)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	const uint32_t ioas = vm->ioas;
	uint32_t before;
	int i;

	ASSERT_TRUE(reg32(dev, PEDU_CONFIG) & PEDU_HAS_ATS);
	for (i = 0; i < SPACES; i++) {
		EXPECT_EQ(PAGE_A + i, lands(dev, vm, numbers[i], PEDU_MODE_ATS));
		EXPECT_EQ(1, tlb_entries(dev, numbers[i]));
	}

	/* Unmap */
	before = counter(dev, PEDU_C_INV_PASID);
	vm->ioas = self->space[2].ioas;
	ASSERT_EQ(0, ioas_unmap(vm, WHERE, PAGE_SIZE));
	EXPECT_EQ(1, counter(dev, PEDU_C_INV_PASID) - before);
	EXPECT_EQ(PEDU_PASID_VALID | 5, reg32(dev, PEDU_INV_PASID));
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(i != 2, tlb_entries(dev, numbers[i]));
	EXPECT_EQ(BLOCKED(PEDU_ERR_ATS_NONE), lands(dev, vm, 5, PEDU_MODE_ATS));
	ASSERT_EQ(0, ioas_map(vm, PAGE_A + 2, 1, WHERE));
	vm->ioas = ioas;

	/* Replace */
	EXPECT_EQ(PAGE_A + 3, lands(dev, vm, 64, PEDU_MODE_ATS));
	ASSERT_EQ(0, attach(dev, 64, self->space[2].hwpt));
	EXPECT_EQ(0, tlb_entries(dev, 64));
	EXPECT_EQ(PAGE_A + 2, lands(dev, vm, 64, PEDU_MODE_ATS));
	EXPECT_EQ(PAGE_A + 2, lands(dev, vm, 5, PEDU_MODE_ATS));

	/* Detach, of a PASID and of the RID; the others stay usable by ATS */
	ASSERT_EQ(0, detach(dev, 64));
	EXPECT_EQ(0, tlb_entries(dev, 64));
	EXPECT_NE(PAGE_A + 2, lands(dev, vm, 64, PEDU_MODE_ATS));
	ASSERT_EQ(0, detach(dev, NO_PASID));
	EXPECT_EQ(0, tlb_entries(dev, NO_PASID));
	EXPECT_TRUE(reg32(dev, PEDU_CONFIG) & PEDU_HAS_ATS);
	EXPECT_EQ(PAGE_A + 1, lands(dev, vm, 1, PEDU_MODE_ATS));
	EXPECT_EQ(1, tlb_entries(dev, 1));
	ASSERT_EQ(0, attach(dev, NO_PASID, self->space[0].hwpt));
	ASSERT_EQ(0, attach(dev, 64, self->space[3].hwpt));
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(PAGE_A + i, lands(dev, vm, numbers[i], PEDU_MODE_ATS));
}

/*
 * Requests without a PASID go on through replaces, also through those that fail, at
 * whichever allocation
 */
TEST(rid_without_memory)
{
	const int kmsg = kmsg_open();
	uint32_t hwpt[2];
	struct device dev;
	struct edu none;
	struct vm vm;
	uint32_t before;
	int nth, rc, i, failures = 0;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, write_file("/sys/kernel/debug/failslab/verbose", "0"));
	ASSERT_EQ(0, vm_build(&vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&dev, vm.fd));
	ASSERT_EQ(0, ioas_map(&vm, PAGE_A, 1, WHERE));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, hwpt_alloc(&vm, &dev.edu, vm.ioas, 0, &hwpt[i]));
	ASSERT_EQ(0, attach(&dev, NO_PASID, hwpt[0]));
	dma_setup(&dev, 1, NO_PASID, 0, WHERE, 20);
	set32(&dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
	      PEDU_CMD_REPEAT | PEDU_CMD_ENDURE);
	for (i = 0; i < 20; i++) {
		for (nth = 1; nth < 100; nth++) {
			ASSERT_LE(0, fail_nth(nth));
			rc = attach(&dev, NO_PASID, hwpt[!(i & 1)]);
			if (!fail_nth(0) || !rc)
				break;
			EXPECT_EQ(-ENOMEM, rc);
			failures++;
		}
		ASSERT_EQ(0, rc);
		before = reg32(&dev, PEDU_CH(1) + PEDU_CH_ROUNDS);
		while (reg32(&dev, PEDU_CH(1) + PEDU_CH_ROUNDS) - before < 2)
			usleep(100);
	}
	EXPECT_LE(20, failures);
	EXPECT_EQ(0, reg32(&dev, PEDU_CH(1) + PEDU_CH_ERRORS));
	set32(&dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
	device_close(&dev);
	close(vm.fd);
	EXPECT_EQ(0, kmsg_count(kmsg, VTD_TROUBLE));
}

/* A process with PASIDs in use dies: nothing stays attached */
TEST(pasid_death)
{
	const int kmsg = kmsg_open();
	struct device dev;
	struct edu none;
	struct vm vm;
	int i, status, ready[2];
	char c;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, pipe(ready));
	status = fork();
	if (!status) {
		struct space space;

		if (vm_build(&vm, &none, 0, VM_MEMORY) || device_open(&dev, vm.fd) ||
		    space_init(&vm, &dev, &space, PAGE_A))
			_exit(1);
		for (i = 0; i < SPACES; i++)
			if (attach(&dev, numbers[i], space.hwpt))
				_exit(1);
		for (i = 0; i < SPACES; i++) {
			dma_setup(&dev, i, numbers[i], 0, WHERE, 20);
			set32(&dev, PEDU_CH(i) + PEDU_CH_CMD, PEDU_CMD_START |
			      PEDU_CMD_TO_MEMORY | PEDU_CMD_REPEAT);
		}
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, kill(status, SIGKILL));
	ASSERT_EQ(status, waitpid(status, &i, 0));
	EXPECT_TRUE(WIFSIGNALED(i));

	ASSERT_EQ(0, vm_build(&vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&dev, vm.fd));
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED),
			  lands(&dev, &vm, numbers[i], 0));
	device_close(&dev);
	close(vm.fd);
	EXPECT_EQ(0, kmsg_count(kmsg, VTD_TROUBLE));
}

static void *unplug(void *bdf)
{
	char path[100];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", (char *)bdf);
	return (void *)(long)write_file(path, "1");
}

/* The device is unplugged while its PASIDs are attached */
TEST(pasid_unplug)
{
	const int kmsg = kmsg_open();
	struct space space[SPACES];
	char path[100];
	struct device dev;
	pthread_t thread;
	struct edu none;
	struct vm vm;
	void *rc;
	int i;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, vm_build(&vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&dev, vm.fd));
	for (i = 0; i < SPACES; i++) {
		ASSERT_EQ(0, space_init(&vm, &dev, &space[i], PAGE_A + i));
		ASSERT_EQ(0, attach(&dev, numbers[i], space[i].hwpt));
		EXPECT_EQ(PAGE_A + i, lands(&dev, &vm, numbers[i], 0));
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, unplug, dev.edu.bdf));
	/* It waits for the file */
	usleep(200000);
	device_close(&dev);
	ASSERT_EQ(0, pthread_join(thread, &rc));
	EXPECT_EQ(NULL, rc);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", dev.edu.bdf);
	EXPECT_NE(0, access(path, F_OK));
	for (i = 0; i < SPACES; i++) {
		EXPECT_EQ(0, destroy(&vm, space[i].hwpt));
		EXPECT_EQ(0, destroy(&vm, space[i].ioas));
	}
	close(vm.fd);

	/* It comes back, without anything attached */
	ASSERT_EQ(0, write_file("/sys/bus/pci/rescan", "1"));
	strcat(path, "/driver_override");
	ASSERT_EQ(0, write_file(path, "vfio-pci"));
	ASSERT_EQ(0, write_file("/sys/bus/pci/drivers_probe", dev.edu.bdf));
	ASSERT_EQ(0, vm_build(&vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&dev, vm.fd));
	for (i = 0; i < SPACES; i++)
		EXPECT_EQ(BLOCKED(PEDU_ERR_BLOCKED),
			  lands(&dev, &vm, numbers[i], 0));
	device_close(&dev);
	close(vm.fd);
	EXPECT_EQ(0, kmsg_count(kmsg, VTD_TROUBLE));
}

/* A first stage of the guest, in guest memory: 4 levels, one page mapped at WHERE */
static void first_stage_init(struct vm *vm, unsigned int tables, unsigned int page)
{
	int level;

	/* Present, writable, user, accessed, dirty */
	for (level = 0; level < 4; level++) {
		uint64_t *table = vm_page(vm, tables + level);

		memset(table, 0, PAGE_SIZE);
		table[WHERE >> (39 - 9 * level) & 0x1ff] =
			IPA(level < 3 ? tables + level + 1 : page) | 0x67;
	}
}

static int first_stage_alloc(struct vm *vm, struct device *dev, uint32_t parent,
			     struct iommu_hwpt_vtd_s1 s1, uint32_t flags, uint32_t *id)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = dev->edu.id,
		.pt_id = parent,
		.data_type = IOMMU_HWPT_DATA_VTD_S1,
		.data_len = sizeof(s1),
		.data_uptr = (uintptr_t)&s1,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_ALLOC, &cmd);

	*id = cmd.out_hwpt_id;
	return rc;
}

static int first_stage_invalidate(struct vm *vm, uint32_t hwpt, uint64_t addr,
				  uint64_t npages)
{
	struct iommu_hwpt_vtd_s1_invalidate entry = {
		.addr = addr,
		.npages = npages,
	};
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = hwpt,
		.data_uptr = (uintptr_t)&entry,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
		.entry_len = sizeof(entry),
		.entry_num = 1,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_INVALIDATE, &cmd);

	if (cmd.entry_num != !rc)
		return -EPROTO;
	return rc;
}

/* Two first stages on one second stage; the RID and PASID 5 have the second stage */
FIXTURE(nested)
{
	struct vm vm;
	struct device dev;
	uint32_t s2;
	uint32_t s1[2];
	int kmsg;
	int faults;
};

#define TABLES(n)	(4 * (n))
#define S1(n)	((struct iommu_hwpt_vtd_s1){ .pgtbl_addr = IPA(TABLES(n)), .addr_width = 48 })

FIXTURE_SETUP(nested)
{
	struct vm *vm = &self->vm;
	struct edu none;
	int i;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->faults = kmsg_open();
	ASSERT_LE(0, self->faults);
	ASSERT_EQ(0, vm_build(vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&self->dev, vm->fd));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->dev.edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT |
				IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
				IOMMU_HWPT_ALLOC_PASID, &self->s2));
	for (i = 0; i < 2; i++) {
		first_stage_init(vm, TABLES(i), PAGE_A + i);
		ASSERT_EQ(0, first_stage_alloc(vm, &self->dev, self->s2, S1(i),
					       IOMMU_HWPT_ALLOC_PASID,
					       &self->s1[i]));
	}
	ASSERT_EQ(0, attach(&self->dev, NO_PASID, self->s2));
	ASSERT_EQ(0, attach(&self->dev, 5, self->s2));
}

FIXTURE_TEARDOWN(nested)
{
	struct vm *vm = &self->vm;

	EXPECT_EQ(0, detach(&self->dev, 5));
	EXPECT_EQ(0, detach(&self->dev, NO_PASID));
	EXPECT_EQ(0, destroy(vm, self->s1[0]));
	EXPECT_EQ(0, destroy(vm, self->s1[1]));
	EXPECT_EQ(0, destroy(vm, self->s2));
	device_close(&self->dev);
	close(vm->fd);
	munmap(vm->mem, GUEST_PAGES * PAGE_SIZE);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

/* What no entry can express is refused at the allocation */
TEST_F(nested, errno_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_hwpt_vtd_s1 s1;
	uint32_t id;
	int bit;

#define REFUSED(err, field, value)						\
	do {									\
		s1 = S1(0);							\
		s1.field = value;						\
		EXPECT_EQ(-(err), first_stage_alloc(vm, &self->dev, self->s2,	\
						    s1, 0, &id));		\
	} while (0)

	for (bit = 3; bit < 64; bit++)
		REFUSED(EOPNOTSUPP, flags, BIT(bit));
	REFUSED(EOPNOTSUPP, __reserved, 1);
	REFUSED(EINVAL, addr_width, 0);
	REFUSED(EINVAL, addr_width, 39);
	REFUSED(EINVAL, addr_width, 57);
	for (bit = 0; bit < 12; bit++)
		REFUSED(EINVAL, pgtbl_addr, IPA(0) | BIT(bit));
}

TEST_F(nested, invalidate)
{
	const uint64_t all = ~0ULL;
	struct vm *vm = &self->vm;

	EXPECT_EQ(0, first_stage_invalidate(vm, self->s1[0], 0, all));
	EXPECT_EQ(0, first_stage_invalidate(vm, self->s1[0], WHERE, 1));
	EXPECT_EQ(0, first_stage_invalidate(vm, self->s1[0], 0, 1ULL << 52));
	EXPECT_EQ(0, first_stage_invalidate(vm, self->s1[0], -PAGE_SIZE, 1));
	EXPECT_EQ(-EINVAL, first_stage_invalidate(vm, self->s1[0], 0, 0));
	EXPECT_EQ(-EINVAL, first_stage_invalidate(vm, self->s1[0], WHERE, 0));
	EXPECT_EQ(-EINVAL, first_stage_invalidate(vm, self->s1[0], -PAGE_SIZE, 2));
	EXPECT_EQ(-EINVAL, first_stage_invalidate(vm, self->s1[0], PAGE_SIZE, 1ULL << 52));
	EXPECT_EQ(-EINVAL, first_stage_invalidate(vm, self->s1[0], 0, (1ULL << 52) + 1));
	EXPECT_EQ(-EINVAL, first_stage_invalidate(vm, self->s1[0], PAGE_SIZE, all));
}

/*
 * Through all kinds of replaces, each DMA of a running device is translated by
 * the former or the next domain
 */
TEST_F(nested, replace_under_dma)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	uint32_t last[2] = {};
	int round, i, n;

	/* The second stage maps the address as well, to a page of its own */
	ASSERT_EQ(0, ioas_map(vm, PAGE_A + 2, 1, WHERE));
	for (i = 1; i <= 2; i++) {
		dma_setup(dev, i, i == 1 ? 5 : NO_PASID, 0, ASIDE, 20);
		set32(dev, PEDU_CH(i) + PEDU_CH_CMD, PEDU_CMD_START |
		      PEDU_CMD_TO_MEMORY | PEDU_CMD_REPEAT);
	}
	for (round = 0; round < 60; round++) {
		n = round % 3;
		for (i = 1; i <= 2; i++) {
			const unsigned int pasid = i == 1 ? 5 : NO_PASID;
			uint32_t to = self->s2;

			/* A new HWPT each time, as a VMM does it */
			if (n < 2)
				ASSERT_EQ(0, first_stage_alloc(vm, dev, self->s2, S1(n),
							       IOMMU_HWPT_ALLOC_PASID,
							       &to));
			ASSERT_EQ(0, attach(dev, pasid, to));
			ASSERT_EQ(PAGE_A + n, lands(dev, vm, pasid, 0));
			ASSERT_TRUE(reg32(dev, PEDU_CH(i) + PEDU_CH_STATUS) &
				    PEDU_STATUS_BUSY);
			ASSERT_EQ(0, reg32(dev, PEDU_CH(i) + PEDU_CH_ERRORS));
			/* The former one has no user left */
			if (last[i - 1])
				ASSERT_EQ(0, destroy(vm, last[i - 1]));
			last[i - 1] = n < 2 ? to : 0;
		}
	}
	for (i = 1; i <= 2; i++) {
		EXPECT_LT(60, reg32(dev, PEDU_CH(i) + PEDU_CH_ROUNDS));
		set32(dev, PEDU_CH(i) + PEDU_CH_CMD, PEDU_CMD_STOP);
	}
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));
	EXPECT_EQ(0, ioas_unmap(vm, WHERE, PAGE_SIZE));
}

/* ATS works with nested domains; each change of either stage flushes the device TLB */
TEST_F(nested, device_tlb)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	int i;

	for (i = 0; i < 2; i++) {
		const unsigned int pasid = i ? 5 : NO_PASID;

		ASSERT_EQ(0, attach(dev, pasid, self->s1[0]));
		EXPECT_TRUE(reg32(dev, PEDU_CONFIG) & PEDU_HAS_ATS);
		EXPECT_EQ(PAGE_A, lands(dev, vm, pasid, PEDU_MODE_ATS));
		EXPECT_EQ(1, tlb_entries(dev, pasid));

		/* The first stage */
		first_stage_init(vm, TABLES(0), PAGE_A + 3);
		ASSERT_EQ(0, first_stage_invalidate(vm, self->s1[0], WHERE, 1));
		EXPECT_EQ(0, tlb_entries(dev, pasid));
		EXPECT_EQ(PAGE_A + 3, lands(dev, vm, pasid, PEDU_MODE_ATS));
		first_stage_init(vm, TABLES(0), PAGE_A);
		ASSERT_EQ(0, first_stage_invalidate(vm, self->s1[0], 0, ~0ULL));
		EXPECT_EQ(0, tlb_entries(dev, pasid));
		EXPECT_EQ(PAGE_A, lands(dev, vm, pasid, PEDU_MODE_ATS));

		/* The second stage: another area of the IOAS, not that of the page */
		EXPECT_EQ(1, tlb_entries(dev, pasid));
		ASSERT_EQ(0, ioas_map(vm, PAGE_A + 4, 1, SPARE_IPA));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(0, tlb_entries(dev, pasid));

		/* Another first stage */
		EXPECT_EQ(PAGE_A, lands(dev, vm, pasid, PEDU_MODE_ATS));
		ASSERT_EQ(0, attach(dev, pasid, self->s1[1]));
		EXPECT_EQ(0, tlb_entries(dev, pasid));
		EXPECT_EQ(PAGE_A + 1, lands(dev, vm, pasid, PEDU_MODE_ATS));
		ASSERT_EQ(0, attach(dev, pasid, self->s2));
	}
}

static int set_tracking(struct vm *vm, uint32_t hwpt, bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {
		.size = sizeof(cmd),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = hwpt,
	};

	return xioctl(vm->fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

/* Whether the page is dirty, which is then cleared, or a negative errno */
static int page_dirty(struct vm *vm, uint32_t hwpt, unsigned int page)
{
	uint64_t bitmap = 0;
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = hwpt,
		.iova = IPA(page),
		.length = PAGE_SIZE,
		.page_size = PAGE_SIZE,
		.data = (uintptr_t)&bitmap,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);

	return rc ? rc : bitmap & 1;
}

/* Writes of RID and PASID are tracked, by both stages too, whenever they came */
static uint32_t invalidations(struct device *dev)
{
	return counter(dev, PEDU_C_INV) + counter(dev, PEDU_C_INV_PASID) +
	       counter(dev, PEDU_C_INV_GLOBAL);
}

TEST_F(nested, dirty_tracking)
{
	struct device *dev = &self->dev;
	struct vm *vm = &self->vm;
	uint32_t before;

	ASSERT_EQ(0, attach(dev, 5, self->s1[0]));
	ASSERT_EQ(PAGE_A, lands(dev, vm, 5, 0));
	ASSERT_EQ(0, set_tracking(vm, self->s2, true));
	EXPECT_EQ(0, page_dirty(vm, self->s2, PAGE_A));
	EXPECT_EQ(PAGE_A, lands(dev, vm, 5, 0));
	before = invalidations(dev);
	EXPECT_EQ(1, page_dirty(vm, self->s2, PAGE_A));
	EXPECT_LT(before, invalidations(dev));
	/* Not for no page */
	before = invalidations(dev);
	EXPECT_EQ(0, page_dirty(vm, self->s2, PAGE_A));
	EXPECT_EQ(before, invalidations(dev));

	/* Attached while it is on: another first stage, RID, second stage */
	ASSERT_EQ(0, attach(dev, 5, self->s1[1]));
	EXPECT_EQ(PAGE_A + 1, lands(dev, vm, 5, 0));
	EXPECT_EQ(1, page_dirty(vm, self->s2, PAGE_A + 1));
	ASSERT_EQ(0, attach(dev, NO_PASID, self->s1[0]));
	EXPECT_EQ(0, page_dirty(vm, self->s2, PAGE_A));
	EXPECT_EQ(PAGE_A, lands(dev, vm, NO_PASID, 0));
	EXPECT_EQ(1, page_dirty(vm, self->s2, PAGE_A));
	ASSERT_EQ(0, attach(dev, 5, self->s2));
	EXPECT_EQ(PEDU_ERR_NONE, dma_write(dev, 5, 0, IPA(PAGE_A + 5), 1));
	EXPECT_EQ(1, page_dirty(vm, self->s2, PAGE_A + 5));

	ASSERT_EQ(0, set_tracking(vm, self->s2, false));
	EXPECT_EQ(PEDU_ERR_NONE, dma_write(dev, 5, 0, IPA(PAGE_A + 5), 1));
	ASSERT_EQ(0, set_tracking(vm, self->s2, true));
	EXPECT_EQ(0, page_dirty(vm, self->s2, PAGE_A + 5));
	ASSERT_EQ(0, set_tracking(vm, self->s2, false));
}

TEST_HARNESS_MAIN
