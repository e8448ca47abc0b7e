/* SPDX-License-Identifier: GPL-2.0 */
/* VMs of KVM that vIOMMUs belong to; negative results are an errno */
#ifndef EDU_TEST_GUEST_H
#define EDU_TEST_GUEST_H

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>

#include "edu-test-lib.h"

static inline int guest_create(int kvm)
{
	int fd = ioctl(kvm, KVM_CREATE_VM, 0);

	return fd < 0 ? -errno : fd;
}

/* Returns the flags that the kernel has set */
static inline int64_t linked_alloc(struct vm *vm, struct edu *edu, int guest,
				   uint32_t *id)
{
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_VIOMMU_ALLOC_KVM_FD,
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = edu->id,
		.hwpt_id = vm->s2,
		.kvm_fd = guest,
	};
	int rc = xioctl(vm->fd, IOMMU_VIOMMU_ALLOC, &cmd);

	*id = cmd.out_viommu_id;
	return rc ? rc : (int64_t)(cmd.flags & ~IOMMU_VIOMMU_ALLOC_KVM_FD);
}

/*
 * Open and bind a device that VFIO knows to belong to @guest; @vfio is KVM's side of
 * it
 */
static inline int bind_for(struct edu *edu, int iommufd, int guest, int *vfio)
{
	struct kvm_create_device dev = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = KVM_DEV_VFIO_FILE_ADD,
		.addr = (uintptr_t)&edu->fd,
	};
	int rc;

	rc = edu_open(edu, 0);
	if (rc)
		return rc;
	if (ioctl(guest, KVM_CREATE_DEVICE, &dev))
		return -errno;
	*vfio = dev.fd;
	if (ioctl(dev.fd, KVM_SET_DEVICE_ATTR, &attr))
		return -errno;
	return edu_bind(edu, iommufd);
}

/* A VM gets its VMID when a vCPU is loaded first, which need not execute anything */
static inline int guest_run(int kvm, int guest)
{
	const int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	int vcpu = ioctl(guest, KVM_CREATE_VCPU, 0);
	struct kvm_vcpu_init init;
	struct kvm_run *run;
	int rc = 0;

	if (vcpu < 0)
		return -errno;
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return -errno;
	run->immediate_exit = 1;
	if (ioctl(guest, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(vcpu, KVM_ARM_VCPU_INIT, &init))
		rc = -errno;
	else if (ioctl(vcpu, KVM_RUN, 0) != -1 || errno != EINTR)
		rc = -EPROTO;
	munmap(run, size);
	close(vcpu);
	return rc;
}

/* The VMID of a vIOMMU, from the trace of a command */
static inline int vmid_of(struct vm *vm, uint32_t viommu)
{
	struct vm named = *vm;
	int vmid, digit;

	named.viommu = viommu;
	if (trace_start() || invalidate_one(&named, TLBI_NH_ALL, 0) ||
	    trace_stop())
		return -1;
	for (vmid = 0; !vmid || !traced("arm_smmu_viommu_cmds", ".*vmid=%d .*", vmid);
	     vmid = vmid * 10 + digit) {
		for (digit = !vmid; digit < 10; digit++)
			if (traced("arm_smmu_viommu_cmds", ".*vmid=%d[0-9]* .*",
				   vmid * 10 + digit))
				break;
		if (digit == 10)
			return -1;
	}
	return vmid;
}

#endif
