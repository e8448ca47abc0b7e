// SPDX-License-Identifier: GPL-2.0
/*
 * vIOMMUs that belong to a VM of KVM and have its VMID
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "edu-test-fixtures.h"
#include "edu-test-guest.h"

FIXTURE(kvm)
{
	struct vm vm;
	struct edu edu;
	int kvm;
	int guest;
	int kmsg;
};

FIXTURE_SETUP(kvm)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->kvm);
	self->guest = guest_create(self->kvm);
	ASSERT_LE(0, self->guest);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_S2));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(&self->vm, &self->edu, self->guest,
			       &self->vm.viommu));
}

FIXTURE_TEARDOWN(kvm)
{
	vm_close(&self->vm, &self->edu);
	close(self->guest);
	close(self->kvm);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

TEST_F(kvm, refusals)
{
	struct iommu_viommu_alloc good = {
		.size = sizeof(good),
		.flags = IOMMU_VIOMMU_ALLOC_KVM_FD,
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = self->edu.id,
		.hwpt_id = self->vm.s2,
		.kvm_fd = self->guest,
	};
	int vcpu = ioctl(self->guest, KVM_CREATE_VCPU, 0);
	int other = guest_create(self->kvm);
	int same = dup(self->guest);
	uint32_t id, plain;

	ASSERT_LE(0, vcpu);
	ASSERT_LE(0, other);
	ASSERT_LE(0, same);
	EXPECT_REFUSED(EBADF, IOMMU_VIOMMU_ALLOC, good, kvm_fd, -1);
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, kvm_fd, self->vm.fd);
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, kvm_fd, self->kvm);
	EXPECT_REFUSED(EINVAL, IOMMU_VIOMMU_ALLOC, good, kvm_fd, vcpu);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, type,
		       IOMMU_VIOMMU_TYPE_DEFAULT);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, flags,
		       IOMMU_VIOMMU_ALLOC_KVM_FD |
		       IOMMU_VIOMMU_ALLOC_SHARED_VMID);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VIOMMU_ALLOC, good, flags,
		       IOMMU_VIOMMU_ALLOC_SHARED_VMID);

	/* A VM is its file, not its number */
	EXPECT_EQ(-EBUSY, linked_alloc(&self->vm, &self->edu, self->guest, &id));
	EXPECT_EQ(-EBUSY, linked_alloc(&self->vm, &self->edu, same, &id));

	/* Others have other VMIDs */
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(&self->vm, &self->edu, other, &id));
	ASSERT_EQ(0, viommu_alloc(&self->vm, &self->edu, self->vm.s2, &plain));
	EXPECT_LT(0, vmid_of(&self->vm, id));
	EXPECT_NE(vmid_of(&self->vm, self->vm.viommu), vmid_of(&self->vm, id));
	EXPECT_NE(vmid_of(&self->vm, self->vm.viommu),
		  vmid_of(&self->vm, plain));
	EXPECT_NE(vmid_of(&self->vm, id), vmid_of(&self->vm, plain));

	/* Nothing is left of what was refused, or was destroyed */
	EXPECT_EQ(0, destroy(&self->vm, id));
	EXPECT_EQ(0, destroy(&self->vm, self->vm.viommu));
	EXPECT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(&self->vm, &self->edu, same, &self->vm.viommu));
	close(same);
	close(other);
	close(vcpu);
}

static bool moves_data(struct vm *vm, struct edu *edu)
{
	return edu_lands(edu, vm, IOVA) == PAGE_A;
}

enum end { END_GUEST_FIRST, END_IOMMUFD_FIRST, END_DEVICE_FIRST, ENDS };

TEST_F(kvm, ends_in_any_order)
{
	struct vm *vm = &self->vm;
	enum end end;

	for (end = 0; end < ENDS; end++) {
		ASSERT_EQ(0, vm_build_more(vm, &self->edu, VM_HWPTS,
					   VM_TRANSLATES));
		EXPECT_TRUE(moves_data(vm, &self->edu));

		switch (end) {
		case END_GUEST_FIRST:
			close(self->guest);
			EXPECT_TRUE(moves_data(vm, &self->edu));
			EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
			break;
		case END_IOMMUFD_FIRST:
			EXPECT_EQ(0, edu_detach(&self->edu));
			EXPECT_EQ(0, destroy(vm, vm->s1_hwpt));
			EXPECT_EQ(0, destroy(vm, vm->vdevice));
			EXPECT_EQ(0, destroy(vm, vm->bypass));
			EXPECT_EQ(0, destroy(vm, vm->abort));
			EXPECT_EQ(0, destroy(vm, vm->viommu));
			close(self->guest);
			break;
		default:
			edu_close(&self->edu);
			close(self->guest);
		}
		vm_close(vm, &self->edu);

		/* Another VM is as the first */
		self->guest = guest_create(self->kvm);
		ASSERT_LE(0, self->guest);
		ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_S2));
		ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
			  linked_alloc(vm, &self->edu, self->guest, &vm->viommu));
	}
}

/* A process dies in the middle of a DMA, with all files open */
TEST_F(kvm, process_dies)
{
	int i, status;
	pid_t child;

	vm_close(&self->vm, &self->edu);
	for (i = 0; i < 8; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct vm vm;
			struct edu edu;
			int guest = guest_create(self->kvm);
			int rc = vm_build(&vm, &edu, 0, VM_S2);

			if (!rc && linked_alloc(&vm, &edu, guest, &vm.viommu) < 0)
				rc = -1;
			if (!rc)
				rc = vm_build_more(&vm, &edu, VM_HWPTS,
						   VM_TRANSLATES);
			if (!rc)
				edu_dma_start(&edu, true, IOVA, 8);
			if (i & 1)
				kill(getpid(), SIGKILL);
			_exit(rc ? 1 : 0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(i & 1 ? SIGKILL : 0, status);
	}

	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_S2));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(&self->vm, &self->edu, self->guest,
			       &self->vm.viommu));
	ASSERT_EQ(0, vm_build_more(&self->vm, &self->edu, VM_HWPTS,
				   VM_TRANSLATES));
	EXPECT_TRUE(moves_data(&self->vm, &self->edu));
}

TEST_F(kvm, device_of_another)
{
	struct vm *vm = &self->vm;
	int other = guest_create(self->kvm);
	uint32_t others, plain, id;
	int vfio;

	ASSERT_LE(0, other);
	edu_close(&self->edu);
	ASSERT_EQ(0, bind_for(&self->edu, vm->fd, self->guest, &vfio));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, other, &others));
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &plain));

	EXPECT_EQ(-EINVAL, vdevice_alloc(vm, &self->edu, others, VSID, &id));
	EXPECT_EQ(0, vdevice_alloc(vm, &self->edu, plain, VSID, &id));
	EXPECT_EQ(0, destroy(vm, id));
	EXPECT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &id));
	EXPECT_EQ(0, destroy(vm, id));
	EXPECT_EQ(0, destroy(vm, others));
	EXPECT_EQ(0, destroy(vm, plain));

	edu_close(&self->edu);
	close(vfio);
	close(other);
	/* VFIO knows of no VM now */
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	EXPECT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &id));
	EXPECT_EQ(0, destroy(vm, id));
}

/*
 * More VMs than an 8-bit VMID has numbers: the one of the vIOMMU is not given to
 * another VM, or the other could not have a vIOMMU here.
 */
TEST_F_TIMEOUT(kvm, many_guests, 480)
{
	struct vm *vm = &self->vm;
	const int vmid = vmid_of(vm, vm->viommu);
	int i, others = 0;

	ASSERT_LT(0, vmid);
	ASSERT_EQ(0, vm_build_more(vm, &self->edu, VM_HWPTS, VM_TRANSLATES));
	for (i = 0; i < 300; i++) {
		int guest = guest_create(self->kvm);
		uint32_t id;

		ASSERT_LE(0, guest);
		ASSERT_EQ(0, guest_run(self->kvm, guest));
		ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
			  linked_alloc(vm, &self->edu, guest, &id));
		if (i % 50 == 0) {
			int other = vmid_of(vm, id);

			EXPECT_LT(0, other);
			EXPECT_NE(vmid, other);
			others++;
		}
		ASSERT_EQ(0, destroy(vm, id));
		close(guest);
	}
	EXPECT_EQ(6, others);
	EXPECT_EQ(0, guest_run(self->kvm, self->guest));
	EXPECT_EQ(vmid, vmid_of(vm, vm->viommu));
	EXPECT_TRUE(moves_data(vm, &self->edu));

	/* The VM still has it: a second link finds the same number */
	EXPECT_EQ(0, edu_detach(&self->edu));
	EXPECT_EQ(0, destroy(vm, vm->s1_hwpt));
	EXPECT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(0, destroy(vm, vm->bypass));
	EXPECT_EQ(0, destroy(vm, vm->abort));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, self->guest, &vm->viommu));
	EXPECT_EQ(vmid, vmid_of(vm, vm->viommu));
}

TEST_HARNESS_MAIN
