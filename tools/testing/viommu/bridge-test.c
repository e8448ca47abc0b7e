// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of devices that share a group with a bridge, or a StreamID with their
 * bridge's alias. The script bridge-test builds the machine, and EDUS in the
 * environment is its number of edu devices. In the order of their addresses:
 *
 *	PLAIN		on the root complex
 *	FIRST, SECOND	behind one bridge, which is in their group
 *	ALIASED		behind a PCIe-to-PCI bridge: the IORT maps its requester
 *			ID and the alias of the bridge to one StreamID. Not with
 *			--forwarding
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"
#include "../selftests/iommu/map_file_utils.h"

enum { PLAIN, FIRST, SECOND, ALIASED };

#define F_TRANSLATION		0x10
#define EVT_0_SID(n)		((uint64_t)(n) << 32)
/* Never mapped */
#define UNMAPPED		(IOVA + 64 * PAGE_SIZE)
/* QEMU moves data that it cannot translate four bytes at a time */
#define FAULT_LEN		4

/* The vIOMMU types of the SMMU in sysfs */
#define TYPES			"1\n"

#define CLASS_PCI_BRIDGE	0x0604

struct record {
	struct iommufd_vevent_header header;
	uint64_t evt[4];
};

/* The bridges in the group of this device */
static int group_bridges(struct edu *edu)
{
	char path[PATH_MAX];
	unsigned int class;
	int bridges = 0;
	glob_t found;
	size_t i;
	FILE *f;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/iommu_group/devices/*/class", edu->bdf);
	if (glob(path, 0, NULL, &found))
		return -ENOENT;
	for (i = 0; i < found.gl_pathc; i++) {
		f = fopen(found.gl_pathv[i], "r");
		if (f && fscanf(f, "%x", &class) == 1)
			bridges += class >> 8 == CLASS_PCI_BRIDGE;
		if (f)
			fclose(f);
	}
	globfree(&found);
	return bridges;
}

/* Write to a file of PCI in sysfs, whose name may have a device in it */
static int pci_write(const char *file, const char *bdf, const char *text)
{
	char path[PATH_MAX] = "/sys/bus/pci/";
	int fd, rc;

	snprintf(path + strlen(path), sizeof(path) - strlen(path), file, bdf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
	close(fd);
	return rc;
}

/*
 * Cause one fault; returns the virtual StreamID in the event, or a negative
 * errno
 */
static int fault_sid(struct edu *edu, int queue)
{
	struct pollfd in = { .fd = queue, .events = POLLIN };
	struct record record;
	ssize_t len;
	int rc = edu_dma(edu, true, UNMAPPED, FAULT_LEN);

	if (rc)
		return rc;
	poll(&in, 1, 20000);
	len = read(queue, &record, sizeof(record));
	if (len < 0)
		return -errno;
	if (len != sizeof(record) || (record.evt[0] & 0xff) != F_TRANSLATION ||
	    record.evt[2] != UNMAPPED)
		return -EPROTO;
	return record.evt[0] >> 32;
}

FIXTURE(bridge)
{
	struct vm vm;
	struct edu edu[2];
	uint32_t queue_id;
	int kmsg;
};

FIXTURE_SETUP(bridge)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_NE(NULL, getenv("EDUS"));
	ASSERT_EQ(atoi(getenv("EDUS")), edu_count());
	self->vm.fd = -1;
	self->edu[0].fd = -1;
	self->edu[1].fd = -1;
}

FIXTURE_TEARDOWN(bridge)
{
	edu_close(&self->edu[1]);
	vm_close(&self->vm, &self->edu[0]);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

#define EXPECT_LANDS(nth, page, iova) \
	EXPECT_EQ(page, edu_lands(&self->edu[nth], &self->vm, iova))

/*
 * Both endpoints use the stage 1 without a vDEVICE for their bridge. Each of
 * them still needs its own.
 */
TEST_F_TIMEOUT(bridge, two_endpoints, 480)
{
	struct vm *vm = &self->vm;
	uint32_t id;
	int queue;

	ASSERT_EQ(0, vm_build(vm, &self->edu[0], FIRST, VM_BYPASS));
	ASSERT_EQ(1, group_bridges(&self->edu[0]));
	ASSERT_TRUE(edu_same_group(FIRST, SECOND));
	ASSERT_NE(edu_rid(FIRST), edu_rid(SECOND));
	ASSERT_EQ(0, edu_open(&self->edu[1], SECOND));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));
	ASSERT_EQ(0, edu_attach(&self->edu[1], vm->bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu[1], vm));
	EXPECT_LANDS(0, PAGE_B, IPA(PAGE_B));
	EXPECT_LANDS(1, PAGE_B, IPA(PAGE_B));

	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu[0], &vm->s1_hwpt));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu[0], vm->s1_hwpt));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[0], vm->viommu, VSID, &id));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu[0], vm->s1_hwpt));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu[1], vm->s1_hwpt));
	EXPECT_LANDS(0, PAGE_C, IPA(PAGE_C));
	EXPECT_LANDS(1, PAGE_C, IPA(PAGE_C));

	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu[1], vm->viommu, VSID + 1, &id));
	ASSERT_EQ(0, edu_attach(&self->edu[0], vm->s1_hwpt));
	EXPECT_LANDS(0, PAGE_A, IOVA);
	EXPECT_LANDS(1, PAGE_A, IOVA);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	ASSERT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_LANDS(0, PAGE_B, IOVA);
	EXPECT_LANDS(1, PAGE_B, IOVA);

	queue = veventq_alloc(vm, 16, &self->queue_id);
	ASSERT_LE(0, queue);
	EXPECT_EQ(VSID, fault_sid(&self->edu[0], queue));
	EXPECT_EQ(VSID + 1, fault_sid(&self->edu[1], queue));
	EXPECT_EQ(0, close(queue));
	EXPECT_EQ(0, edu_attach(&self->edu[1], vm->bypass));
	EXPECT_LANDS(0, PAGE_C, IPA(PAGE_C));
}

/* A device has one stream if both of its IDs are the same */
TEST_F_TIMEOUT(bridge, aliased, 240)
{
	struct vm *vm = &self->vm;
	struct edu *edu = &self->edu[0];
	int queue, irq;

	ASSERT_EQ(0, vm_build(vm, edu, ALIASED, VM_VDEVICE));
	EXPECT_LE(1, group_bridges(edu));
	irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, irq);
	EXPECT_EQ(0, edu_irq_eventfd(edu, irq));
	EXPECT_EQ(1, edu_irq_raise(edu, irq, true));
	EXPECT_EQ(0, close(irq));

	EXPECT_EQ(0, invalidate_one(vm, CFGI_CD_ALL | CMD_0_SID(VSID + ALIASED), 0));
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, edu, &vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(edu, vm->s1_hwpt));
	EXPECT_LANDS(0, PAGE_A, IOVA);

	queue = veventq_alloc(vm, 16, &self->queue_id);
	ASSERT_LE(0, queue);
	EXPECT_EQ(VSID + ALIASED, fault_sid(edu, queue));
	EXPECT_EQ(0, close(queue));
}

/*
 * A device with two equal IDs is removed and added again: other streams remain
 */
TEST_F_TIMEOUT(bridge, remove_aliased, 480)
{
	struct vm *vm = &self->vm;
	const char *bdf = self->edu[1].bdf;
	int queue, i;

	ASSERT_EQ(0, edu_open(&self->edu[1], ALIASED));
	edu_close(&self->edu[1]);

	ASSERT_EQ(0, vm_build(vm, &self->edu[0], PLAIN, VM_TRANSLATES));
	queue = veventq_alloc(vm, 16, &self->queue_id);
	ASSERT_LE(0, queue);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pci_write("devices/%s/remove", bdf, "1"));
		ASSERT_EQ(ALIASED, edu_count());
		EXPECT_STREQ(TYPES, edu_iommu_file(PLAIN, "types"));
		EXPECT_EQ(VSID + PLAIN, fault_sid(&self->edu[0], queue));

		ASSERT_EQ(0, pci_write("rescan", bdf, "1"));
		ASSERT_EQ(0, pci_write("devices/%s/driver_override", bdf, "vfio-pci"));
		ASSERT_EQ(0, pci_write("drivers_probe", bdf, bdf));
		ASSERT_EQ(ALIASED + 1, edu_count());
		EXPECT_STREQ(TYPES, edu_iommu_file(PLAIN, "types"));
		EXPECT_EQ(VSID + PLAIN, fault_sid(&self->edu[0], queue));
	}
	EXPECT_EQ(0, close(queue));
	EXPECT_LANDS(0, PAGE_A, IOVA);
}

/* A reset of a device takes its BAR from the others, and gives it back */
TEST_F_TIMEOUT(bridge, reset_of_a_peer, 240)
{
	const struct vfio_region_dma_range all = { .length = 0x100000 };
	const uint64_t bar_ipa = 0x03000000, liveness = 4;
	struct edu *edu = &self->edu[0], *peer = &self->edu[1];
	volatile uint32_t *reg;
	int bar, i;

	if (edu_count() <= ALIASED)
		SKIP(return, "no device alone behind its bridge");
	ASSERT_EQ(0, vm_build(&self->vm, edu, PLAIN, VM_BYPASS));
	ASSERT_EQ(0, edu_open(peer, ALIASED));
	ASSERT_EQ(0, edu_bind(peer, self->vm.fd));
	reg = (void *)(peer->bar + liveness);
	bar = edu_export_bar(peer, 0, O_RDWR, &all, 1);
	ASSERT_LE(0, bar);
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   bar, 0, all.length, bar_ipa));
	ASSERT_EQ(0, trace_start());
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, edu_dma(edu, true, bar_ipa + liveness, 4));
		EXPECT_EQ(~(uint32_t)edu->token, *reg);
		ASSERT_EQ(0, xioctl(peer->fd, VFIO_DEVICE_RESET, NULL));
		EXPECT_EQ(i + 1, traced("unmap", ".*iova=0x0*3000000 .*"));
		EXPECT_EQ(i + 1, traced("map", ".*iova=0x0*3000000 .*"));
		*reg = 0;
	}
	ASSERT_EQ(0, edu_dma(edu, true, bar_ipa + liveness, 4));
	EXPECT_EQ(~(uint32_t)edu->token, *reg);
	ASSERT_EQ(0, trace_stop());
	close(bar);
}

TEST_HARNESS_MAIN
