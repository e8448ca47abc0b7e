/* SPDX-License-Identifier: GPL-2.0 */
/* VMs of KVM that vIOMMUs belong to; negative results are an errno */
#ifndef EDU_TEST_GUEST_H
#define EDU_TEST_GUEST_H

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
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
