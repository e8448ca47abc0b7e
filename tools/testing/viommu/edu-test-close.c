// SPDX-License-Identifier: GPL-2.0
/*
 * The files of a VM close in any order: KVM's file of the VM, the iommufd, the
 * device, and KVM's VFIO device
 *
 * What holds what:
 *	KVM's VFIO device	the device, and the VM without its file
 *	the device		the iommufd, and the VM without its file
 *	the vIOMMU		the VM's file
 * So a file can outlive its descriptor, and the VM outlives all but the last one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "edu-test-fixtures.h"
#include "edu-test-guest.h"

enum file { GUEST, IOMMUFD, DEVICE, KVM_VFIO, FILES };

static const char *const names[FILES] = { "VM", "iommufd", "device", "KVM's VFIO device" };

FIXTURE(closing)
{
	struct vm vm;
	struct edu edu;
	int kvm;
	int guest;
	int vfio;
	unsigned int open;	/* bits of enum file */
	int kmsg;
};

/* The VMs that KVM has: each has a folder until it is destroyed */
static int guests(void)
{
	glob_t found;
	int n;

	if (access("/sys/kernel/debug/kvm", F_OK))
		return -ENOENT;
	if (glob("/sys/kernel/debug/kvm/[0-9]*-[0-9]*", 0, NULL, &found))
		return 0;
	n = found.gl_pathc;
	globfree(&found);
	return n;
}

/* All files, and a vIOMMU that is linked to the VM */
static int open_all(FIXTURE_DATA(closing) *self)
{
	int64_t flags;
	int rc;

	self->guest = guest_create(self->kvm);
	if (self->guest < 0)
		return self->guest;
	rc = vm_build(&self->vm, &self->edu, 0, VM_MEMORY);
	if (!rc)
		rc = bind_for(&self->edu, self->vm.fd, self->guest, &self->vfio);
	if (!rc)
		rc = vm_build_more(&self->vm, &self->edu, VM_S2, VM_S2);
	if (rc)
		return rc;
	self->open = BIT(FILES) - 1;
	flags = linked_alloc(&self->vm, &self->edu, self->guest, &self->vm.viommu);
	if (flags < 0)
		return flags;
	return flags == IOMMU_VIOMMU_ALLOC_SHARED_VMID ? 0 : -EPROTO;
}

/* DMA reads through both stages: the device has the token then */
static int reads(struct vm *vm, struct edu *edu)
{
	*(volatile uint64_t *)vm_page(vm, PAGE_A) = edu->token;
	return edu_dma(edu, false, IOVA, sizeof(edu->token));
}

static int open_and_translate(FIXTURE_DATA(closing) *self)
{
	int rc = open_all(self);

	if (!rc)
		rc = vm_build_more(&self->vm, &self->edu, VM_VDEVICE, VM_TRANSLATES);
	return rc ? rc : reads(&self->vm, &self->edu);
}

static void close_file(FIXTURE_DATA(closing) *self, enum file file)
{
	switch (file) {
	case GUEST:
		close(self->guest);
		break;
	case IOMMUFD:
		close(self->vm.fd);
		self->vm.fd = -1;
		break;
	case DEVICE:
		edu_close(&self->edu);
		break;
	default:
		close(self->vfio);
	}
	self->open &= ~BIT(file);
}

static void close_all(FIXTURE_DATA(closing) *self)
{
	enum file file;

	for (file = 0; file < FILES; file++)
		if (self->open & BIT(file))
			close_file(self, file);
	/* The memory */
	vm_close(&self->vm, &self->edu);
}

FIXTURE_SETUP(closing)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->kvm);
	ASSERT_EQ(0, guests());
}

FIXTURE_TEARDOWN(closing)
{
	close(self->kvm);
	EXPECT_EQ(0, guests());
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
	close(self->kmsg);
}

/* One of the 24 permutations */
static void nth_order(unsigned int nth, enum file order[FILES])
{
	enum file left[FILES] = { GUEST, IOMMUFD, DEVICE, KVM_VFIO };
	unsigned int n, i;

	for (n = FILES; n; n--) {
		i = nth % n;
		nth /= n;
		*order++ = left[i];
		memmove(&left[i], &left[i + 1], (n - i - 1) * sizeof(*left));
	}
}

/* What is open works; returns what does not, or NULL */
static const char *broken(FIXTURE_DATA(closing) *self)
{
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = KVM_DEV_VFIO_FILE_ADD,
	};
	struct vm *vm = &self->vm;
	/* KVM's VFIO device keeps the device, so its vDEVICE stays */
	bool released = !(self->open & (BIT(DEVICE) | BIT(KVM_VFIO)));

	if (self->open & BIT(DEVICE) && edu_lands(&self->edu, vm, IOVA) != PAGE_A)
		return "DMA";
	if (self->open & BIT(IOMMUFD)) {
		if (invalidate_one(vm, TLBI_NH_ALL, 0))
			return "invalidation";
		if (invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0) !=
		    (released ? -EIO : 0))
			return released ? "the end of the vDEVICE" : "the vDEVICE";
	}
	if (self->open & BIT(GUEST) &&
	    ioctl(self->guest, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) != 1)
		return "the VM";
	if (self->open & BIT(KVM_VFIO) &&
	    ioctl(self->vfio, KVM_HAS_DEVICE_ATTR, &attr))
		return "KVM's VFIO device";
	if (guests() != (self->open ? 1 : 0))
		return self->open ? "keeping the VM" : "the end of the VM";
	return NULL;
}

/* How many more VMs can have a vIOMMU at a time, or a negative errno */
static int links(FIXTURE_DATA(closing) *self)
{
	int others[256];
	uint32_t ids[256];
	int64_t flags = 0;
	int i, n = 0;

	while (n < 256) {
		others[n] = guest_create(self->kvm);
		if (others[n] < 0)
			return others[n];
		flags = linked_alloc(&self->vm, &self->edu, others[n], &ids[n]);
		if (flags != IOMMU_VIOMMU_ALLOC_SHARED_VMID) {
			close(others[n]);
			break;
		}
		n++;
	}
	for (i = 0; i < n; i++) {
		if (destroy(&self->vm, ids[i]))
			return -EBUSY;
		close(others[i]);
	}
	return flags == -ENOSPC ? n : -EPROTO;
}

TEST_F_TIMEOUT(closing, any_order, 480)
{
	enum file order[FILES];
	const char *what;
	unsigned int n, i;

	for (n = 0; n < 24; n++) {
		nth_order(n, order);
		ASSERT_EQ(0, open_and_translate(self)) {
			TH_LOG("before order %u", n);
		}
		for (i = 0; i < FILES; i++) {
			close_file(self, order[i]);
			what = broken(self);
			EXPECT_EQ(NULL, what) {
				TH_LOG("%s, after %u files of: %s, %s, %s, %s", what, i + 1,
				       names[order[0]], names[order[1]],
				       names[order[2]], names[order[3]]);
			}
		}
		close_all(self);
	}
	/* All that was closed can be had again */
	ASSERT_EQ(0, open_and_translate(self));
	EXPECT_LANDS(PAGE_A, IOVA);
	/* Of 8 bits KVM keeps half of the numbers at most: no VM of before has one */
	if (getenv("BTM") && !strcmp(getenv("BTM"), "1"))
		EXPECT_EQ(128, 1 + links(self));
	close_all(self);
}

/* Whichever file is the last, the SMMU has not kept the VMID of a VM that lives on */
TEST_F(closing, vmid_is_free)
{
	enum file last, file;
	int vmid, other;

	ASSERT_EQ(0, open_all(self));
	vmid = vmid_of(&self->vm, self->vm.viommu);
	ASSERT_LT(0, vmid);
	for (last = 0; last < FILES; last++) {
		int keep = dup(self->guest);
		uint32_t id;

		ASSERT_LE(0, keep);
		EXPECT_EQ(-EBUSY, linked_alloc(&self->vm, &self->edu, keep, &id));
		for (file = 0; file < FILES; file++)
			if (file != last)
				close_file(self, file);
		close_file(self, last);
		close_all(self);
		EXPECT_EQ(1, guests());

		self->guest = keep;
		ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_MEMORY));
		ASSERT_EQ(0, bind_for(&self->edu, self->vm.fd, keep, &self->vfio));
		self->open = BIT(FILES) - 1;
		ASSERT_EQ(0, vm_build_more(&self->vm, &self->edu, VM_S2, VM_S2));
		ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
			  linked_alloc(&self->vm, &self->edu, keep,
				       &self->vm.viommu));
		other = vmid_of(&self->vm, self->vm.viommu);
		EXPECT_EQ(vmid, other);
	}
	close_all(self);
}

/* Killed in the middle of a DMA, with all files open */
TEST_F(closing, process_dies)
{
	int i, status, ready[2];
	pid_t child;
	char rc;

	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, pipe(ready));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			rc = open_and_translate(self) ? 1 : 0;
			if (!rc)
				edu_dma_start(&self->edu, true, IOVA, 8);
			if (write(ready[1], &rc, 1) == 1)
				pause();
			_exit(1);
		}
		close(ready[1]);
		rc = -1;
		EXPECT_EQ(1, read(ready[0], &rc, 1));
		EXPECT_EQ(0, rc);
		close(ready[0]);
		usleep(i * 10000);
		EXPECT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(SIGKILL, status);
		EXPECT_EQ(0, guests());
	}

	ASSERT_EQ(0, open_and_translate(self));
	EXPECT_LANDS(PAGE_A, IOVA);
	close_all(self);
}

/* The vIOMMU is the last that holds a VM which has had a vCPU */
TEST_F(closing, vm_without_files)
{
	struct vm *vm = &self->vm;
	uint32_t id;
	int vmid, other;

	ASSERT_EQ(0, open_and_translate(self));
	close_file(self, KVM_VFIO);
	/* Makes a vCPU, loads it and closes its file */
	ASSERT_EQ(0, guest_run(self->kvm, self->guest));
	vmid = vmid_of(vm, vm->viommu);
	ASSERT_LT(0, vmid);
	close_file(self, GUEST);

	EXPECT_EQ(1, guests());
	EXPECT_LANDS(PAGE_A, IOVA);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_B), PTE_PAGE);
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, NH_VA, IOVA));
	EXPECT_LANDS(PAGE_B, IOVA);
	EXPECT_EQ(vmid, vmid_of(vm, vm->viommu));

	/* Its number is not another VM's */
	other = guest_create(self->kvm);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, guest_run(self->kvm, other));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, other, &id));
	EXPECT_LT(0, vmid_of(vm, id));
	EXPECT_NE(vmid, vmid_of(vm, id));
	EXPECT_EQ(0, destroy(vm, id));
	close(other);
	EXPECT_EQ(1, guests());

	/* The VM goes with the vIOMMU, once the device does not belong to it either */
	EXPECT_EQ(0, edu_detach(&self->edu));
	EXPECT_EQ(0, destroy(vm, vm->s1_hwpt));
	EXPECT_EQ(0, destroy(vm, vm->vdevice));
	close_file(self, DEVICE);
	EXPECT_EQ(1, guests());
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(0, guests());
	EXPECT_EQ(0, destroy(vm, vm->s2));
	close_all(self);
}

/* Another VM's file with the number of the first */
TEST_F(closing, same_number)
{
	struct vm *vm = &self->vm;
	uint32_t id, others;
	int other;

	ASSERT_EQ(0, open_all(self));
	close_file(self, GUEST);
	other = guest_create(self->kvm);
	ASSERT_EQ(self->guest, other);

	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, other, &others));
	EXPECT_EQ(-EBUSY, linked_alloc(vm, &self->edu, other, &id));
	EXPECT_LT(0, vmid_of(vm, others));
	EXPECT_NE(vmid_of(vm, vm->viommu), vmid_of(vm, others));

	/* The device belongs to the first */
	EXPECT_EQ(-EINVAL, vdevice_alloc(vm, &self->edu, others, VSID, &id));
	ASSERT_EQ(0, vm_build_more(vm, &self->edu, VM_VDEVICE, VM_TRANSLATES));
	ASSERT_EQ(0, reads(vm, &self->edu));
	EXPECT_LANDS(PAGE_A, IOVA);

	/* The other one goes, and takes nothing with it */
	EXPECT_EQ(0, destroy(vm, others));
	close(other);
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	close_all(self);
}

TEST_HARNESS_MAIN
