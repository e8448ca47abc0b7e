// SPDX-License-Identifier: GPL-2.0
/*
 * VMIDs that KVM keeps for vIOMMUs while numbers run out, and the VM of a device
 * that VFIO tells late
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "edu-test-fixtures.h"
#include "edu-test-guest.h"

FIXTURE(vmid)
{
	struct vm vm;
	struct edu edu;
	int kvm;
	int kmsg;
};

FIXTURE_SETUP(vmid)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->kvm);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_S2));
}

FIXTURE_TEARDOWN(vmid)
{
	vm_close(&self->vm, &self->edu);
	close(self->kvm);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
	close(self->kmsg);
}

struct late {
	struct vm *vm;
	struct edu edu;
	uint32_t viommu;
	atomic_bool stop;
	/* The calls that found the device, and those that got a virtual device */
	unsigned int found;
	unsigned int allocated;
};

/* A virtual device as soon as the device has an ID, which is one of the lowest */
static void *late_vdevice(void *arg)
{
	struct late *late = arg;
	uint32_t id;
	int rc;

	while (!atomic_load(&late->stop)) {
		for (late->edu.id = 1; late->edu.id < late->viommu + 4; late->edu.id++) {
			rc = vdevice_alloc(late->vm, &late->edu, late->viommu, VSID, &id);
			late->found += rc != -ENOENT;
			late->allocated += !rc;
		}
	}
	return NULL;
}

/*
 * VFIO tells the VM of a device after the device has an ID. On a board where this
 * takes long, another VM's virtual device of it comes first.
 */
TEST_F(vmid, told_late)
{
	struct kvm_create_device dev = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = KVM_DEV_VFIO_FILE_ADD,
		.addr = (uintptr_t)&self->edu.fd,
	};
	int guest = guest_create(self->kvm), other = guest_create(self->kvm);
	struct late late = { .vm = &self->vm };
	pthread_t thread;
	int rc;

	ASSERT_LE(0, guest);
	ASSERT_LE(0, other);
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(&self->vm, &self->edu, other, &late.viommu));
	edu_close(&self->edu);

	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, ioctl(guest, KVM_CREATE_DEVICE, &dev));
	ASSERT_EQ(0, ioctl(dev.fd, KVM_SET_DEVICE_ATTR, &attr));
	ASSERT_EQ(0, pthread_create(&thread, NULL, late_vdevice, &late));
	rc = edu_bind(&self->edu, self->vm.fd);
	atomic_store(&late.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));

	/* Either the virtual device or the device is refused */
	TH_LOG("BIND: %d, virtual devices: %u, tries: %u", rc, late.allocated, late.found);
	EXPECT_EQ(late.allocated ? -EINVAL : 0, rc);
	EXPECT_GE(1, late.allocated);
	if (getenv("TOLD_LATE"))
		EXPECT_EQ(1, late.allocated);
	edu_close(&self->edu);
	close(dev.fd);
	EXPECT_EQ(0, destroy(&self->vm, late.viommu));

	/* Nothing is left of it */
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	EXPECT_EQ(0, edu_bind(&self->edu, self->vm.fd));
	close(guest);
	close(other);
}

/* A vCPU that executes nothing */
static int vcpu_create(int kvm, int guest)
{
	const int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	int vcpu = ioctl(guest, KVM_CREATE_VCPU, 0);
	struct kvm_vcpu_init init;
	struct kvm_run *run;

	if (vcpu < 0)
		return -errno;
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return -errno;
	run->immediate_exit = 1;
	munmap(run, size);
	if (ioctl(guest, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(vcpu, KVM_ARM_VCPU_INIT, &init))
		return -errno;
	return vcpu;
}

/* The VM has a VMID once a vCPU is loaded */
static int vcpu_load(int vcpu)
{
	return ioctl(vcpu, KVM_RUN, 0) == -1 && errno == EINTR ? 0 : -EPROTO;
}

/* New VMs without end: with 8 bits their numbers run out each 255 */
#define RACE_VMS	600

struct race {
	struct vm *vm;
	struct edu *edu;
	int kvm;
	atomic_bool stop;
	unsigned int pins;
	int rc;
};

static void *race_rollovers(void *arg)
{
	struct race *race = arg;
	int i, guest, vcpu;

	for (i = 0; i < RACE_VMS && !race->rc; i++) {
		guest = guest_create(race->kvm);
		vcpu = vcpu_create(race->kvm, guest);
		race->rc = vcpu < 0 ? vcpu : vcpu_load(vcpu);
		close(vcpu);
		close(guest);
	}
	atomic_store(&race->stop, true);
	return NULL;
}

/* Pins and unpins the VMID of a VM, which keeps it or gets another */
static void *race_pins(void *arg)
{
	struct race *race = arg;
	int guest = guest_create(race->kvm);
	int64_t flags;
	uint32_t id;

	while (!atomic_load(&race->stop) && !race->rc) {
		flags = linked_alloc(race->vm, race->edu, guest, &id);
		if (flags != IOMMU_VIOMMU_ALLOC_SHARED_VMID) {
			race->rc = flags < 0 ? flags : -EPROTO;
			break;
		}
		race->rc = destroy(race->vm, id);
		race->pins++;
	}
	close(guest);
	return NULL;
}

TEST_F_TIMEOUT(vmid, pins_race_rollovers, 480)
{
	struct vm *vm = &self->vm;
	struct race rollovers = { .kvm = self->kvm };
	/* Of two VMs, since pins race with each other as well */
	struct race pins[2] = {
		{ .vm = vm, .edu = &self->edu, .kvm = self->kvm },
		{ .vm = vm, .edu = &self->edu, .kvm = self->kvm },
	};
	int guest = guest_create(self->kvm), vcpu, vmid, loads = 0, i;
	pthread_t threads[3];

	ASSERT_LE(0, guest);
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, guest, &vm->viommu));
	vmid = vmid_of(vm, vm->viommu);
	ASSERT_LT(0, vmid);
	vcpu = vcpu_create(self->kvm, guest);
	ASSERT_LE(0, vcpu);
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, race_rollovers, &rollovers));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[1 + i], NULL, race_pins, &pins[i]));
	while (!atomic_load(&rollovers.stop)) {
		ASSERT_EQ(0, vcpu_load(vcpu));
		loads++;
	}
	for (i = 0; i < 2; i++)
		atomic_store(&pins[i].stop, true);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(0, rollovers.rc);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, pins[i].rc);
		EXPECT_LT(10, pins[i].pins);
	}
	EXPECT_LT(10, loads);
	TH_LOG("%d VMs, %u and %u pins, %d loads", RACE_VMS, pins[0].pins, pins[1].pins,
	       loads);

	/* The link of before and a new one have the number of before */
	EXPECT_EQ(vmid, vmid_of(vm, vm->viommu));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, guest, &vm->viommu));
	EXPECT_EQ(vmid, vmid_of(vm, vm->viommu));
	close(vcpu);
	close(guest);
}

TEST_HARNESS_MAIN
