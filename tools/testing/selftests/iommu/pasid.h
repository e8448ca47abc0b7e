/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the tests of HWPTs on PASIDs of mock devices */
#ifndef __SELFTEST_IOMMU_PASID
#define __SELFTEST_IOMMU_PASID

#include "viommu_utils.h"

/* The width of a mock device */
#define MAX_PASIDS 0x100000U
/* Every other set of this PASID fails */
#define PASID_ALTERNATES 1024

static int pasid_op(int fd, __u32 op, __u32 stdev, __u32 pasid, __u32 pt)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = op,
		.id = stdev,
		.pasid_attach = { .pasid = pasid, .pt_id = pt },
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

static inline int pasid_attach(int fd, __u32 stdev, __u32 pasid, __u32 pt)
{
	return pasid_op(fd, IOMMU_TEST_OP_PASID_ATTACH, stdev, pasid, pt);
}

static inline int pasid_replace(int fd, __u32 stdev, __u32 pasid, __u32 pt)
{
	return pasid_op(fd, IOMMU_TEST_OP_PASID_REPLACE, stdev, pasid, pt);
}

static inline int pasid_detach(int fd, __u32 stdev, __u32 pasid)
{
	return pasid_op(fd, IOMMU_TEST_OP_PASID_DETACH, stdev, pasid, 0);
}

/* 0 if the core and the device say that @pt, or nothing if 0, is attached */
static inline int pasid_check(int fd, __u32 stdev, __u32 pasid, __u32 pt)
{
	return pasid_op(fd, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, pasid, pt);
}

/* A nested HWPT for PASIDs, @fault is 0 for none */
static inline int pasid_nested_alloc(int fd, __u32 dev, __u32 pt, __u32 fault,
				     __u32 *id)
{
	struct iommu_hwpt_selftest data = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HWPT_ALLOC_PASID |
			 (fault ? IOMMU_HWPT_FAULT_ID_VALID : 0),
		.dev_id = dev,
		.pt_id = pt,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
		.fault_id = fault,
	};
	int rc = iommufd_ioctl(fd, IOMMU_HWPT_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_hwpt_id;
	return rc;
}

/* A page request with a PASID, 0 for none */
static inline int pasid_page_request(int fd, __u32 dev, __u32 pasid,
				     __u32 grpid)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_TRIGGER_IOPF,
		.trigger_iopf = {
			.dev_id = dev,
			.pasid = pasid,
			.grpid = grpid,
			.perm = IOMMU_PGFAULT_PERM_READ,
			.addr = MOCK_APERTURE_START,
		},
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

/*
 * A VM whose device has PASIDs: the device is attached to a HWPT for PASIDs
 */
struct pasid_vm {
	struct vm vm;
	/* For PASIDs: the device's, two others, and a stage 2 */
	__u32 rid;
	__u32 a;
	__u32 b;
	__u32 s2;
	/* Not for PASIDs */
	__u32 plain;
	__u32 plain_s2;
};

static inline int pasid_vm_open(struct pasid_vm *p)
{
	struct vm *vm = &p->vm;
	const struct {
		__u32 *id;
		__u32 flags;
	} hwpts[] = {
		{ &p->rid, IOMMU_HWPT_ALLOC_PASID },
		{ &p->a, IOMMU_HWPT_ALLOC_PASID },
		{ &p->b, IOMMU_HWPT_ALLOC_PASID },
		{ &p->s2, IOMMU_HWPT_ALLOC_PASID |
			  IOMMU_HWPT_ALLOC_NEST_PARENT },
		{ &p->plain, 0 },
		{ &p->plain_s2, IOMMU_HWPT_ALLOC_NEST_PARENT },
	};
	unsigned int i;
	int rc;

	vm->fd = open("/dev/iommu", O_RDWR);
	if (vm->fd < 0)
		return -errno;
	rc = ioas_alloc(vm->fd, &vm->ioas);
	if (!rc)
		rc = ioas_map_memory(vm->fd, vm->ioas);
	if (!rc)
		rc = mock_plug(vm->fd, vm->ioas, MOCK_FLAGS_DEVICE_PASID,
			       &vm->stdev, &vm->dev);
	for (i = 0; !rc && i < ARRAY_SIZE(hwpts); i++)
		rc = hwpt_alloc(vm->fd, vm->dev, vm->ioas, hwpts[i].flags,
				hwpts[i].id);
	if (!rc)
		rc = viommu_alloc(vm->fd, vm->dev, p->s2, NULL, &vm->viommu);
	if (!rc)
		rc = mock_attach(vm->fd, vm->stdev, p->rid);
	return rc;
}

/* Every object is free at once */
static inline int pasid_vm_close(struct pasid_vm *p)
{
	const __u32 ids[] = { p->vm.stdev, p->vm.viommu, p->rid, p->a, p->b,
			      p->s2, p->plain, p->plain_s2, p->vm.ioas };
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < ARRAY_SIZE(ids); i++)
		rc = destroy(p->vm.fd, ids[i]);
	if (!rc && mock_held(p->vm.fd))
		rc = -EUCLEAN;
	vm_close(&p->vm);
	return rc;
}

#endif
