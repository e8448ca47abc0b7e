// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the core's checks for each type of vIOMMU and of hardware queue:
 * type specific data, the VM, and the memory of a queue
 */
#include <signal.h>

#include "viommu_utils.h"

#define BASE ((__u64)MOCK_APERTURE_START)
/* IOVAs that vm_open() does not map */
#define READONLY (BASE + (32 << 20))
#define WRITEONLY (BASE + (48 << 20))

FIXTURE(type)
{
	struct vm vm;
	int fd;
	__u64 page_size;
};

FIXTURE_SETUP(type)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	self->page_size = sysconf(_SC_PAGE_SIZE);
}

FIXTURE_TEARDOWN(type)
{
	vm_close(&self->vm);
	NOTHING_LEFT();
}

static int viommu_alloc_data(struct vm *vm, __u32 type, __u32 len)
{
	struct iommu_viommu_selftest data = { .in_data = 7 };
	__u32 id;
	int rc;

	rc = iommufd_viommu_alloc(vm->fd, vm->dev, vm->s2, type, &data, len,
				  &id);
	if (rc)
		return rc;
	if (len && data.out_data != 7)
		rc = -EPROTO;
	return destroy(vm->fd, id) ?: rc;
}

TEST_F(type, data_length)
{
	const __u32 least = offsetof(struct iommu_viommu_selftest, out_data) +
			    sizeof(__u32);
	struct vm *vm = &self->vm;
	__u32 len;

	/* Takes no data */
	OK(viommu_alloc_data(vm, IOMMU_VIOMMU_TYPE_DEFAULT, 0));
	FAILS(EOPNOTSUPP, viommu_alloc_data(vm, IOMMU_VIOMMU_TYPE_DEFAULT, 1));
	/* Data is optional */
	OK(viommu_alloc_data(vm, IOMMU_VIOMMU_TYPE_SELFTEST, 0));
	for (len = 1; len < least; len++)
		FAILS(EINVAL, viommu_alloc_data(vm, IOMMU_VIOMMU_TYPE_SELFTEST,
						len));
	FAILS(EINVAL, viommu_alloc_data(vm, IOMMU_VIOMMU_TYPE_SELFTEST, ~0));
	for (; len <= sizeof(struct iommu_viommu_selftest); len++)
		OK(viommu_alloc_data(vm, IOMMU_VIOMMU_TYPE_SELFTEST, len));
}

static int viommu_alloc_vm(struct vm *vm, __u32 type, __s32 kvm_fd, __u32 *id)
{
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_VIOMMU_ALLOC_KVM_FD,
		.type = type,
		.dev_id = vm->dev,
		.hwpt_id = vm->s2,
		.kvm_fd = kvm_fd,
	};
	int rc = iommufd_ioctl(vm->fd, IOMMU_VIOMMU_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_viommu_id;
	return rc;
}

/* Returns whether somebody holds the other end of the pipe */
static bool pipe_is_held(int write_fd)
{
	return write(write_fd, "", 1) == 1;
}

TEST_F(type, vm)
{
	struct vm *vm = &self->vm;
	int ends[2];
	__u32 id;

	signal(SIGPIPE, SIG_IGN);
	OK(pipe(ends));
	FAILS(EOPNOTSUPP, viommu_alloc_vm(vm, IOMMU_VIOMMU_TYPE_DEFAULT,
					  ends[0], &id));
	FAILS(EBADF, viommu_alloc_vm(vm, IOMMU_VIOMMU_TYPE_SELFTEST, -1, &id));
	/* Not what the mock takes for a VM */
	FAILS(EINVAL, viommu_alloc_vm(vm, IOMMU_VIOMMU_TYPE_SELFTEST, self->fd,
				      &id));
	OK(mock_fail(self->fd, MOCK_VIOMMU_FAIL_INIT, ENOMEM, 0));
	FAILS(ENOMEM, viommu_alloc_vm(vm, IOMMU_VIOMMU_TYPE_SELFTEST, ends[0],
				      &id));
	OK(viommu_alloc_vm(vm, IOMMU_VIOMMU_TYPE_SELFTEST, ends[0], &id));

	/* Only the vIOMMU holds it */
	close(ends[0]);
	EXPECT_TRUE(pipe_is_held(ends[1]));
	OK(destroy(self->fd, id));
	EXPECT_FALSE(pipe_is_held(ends[1]));
	close(ends[1]);
}

static int written_queue_alloc(struct vm *vm, __u32 index, __u64 iova,
			       __u64 length, __u32 *id)
{
	return iommufd_hw_queue_alloc(vm->fd, vm->viommu,
				      IOMMU_HW_QUEUE_TYPE_SELFTEST_WRITTEN,
				      index, iova, length, id);
}

TEST_F(type, queue_memory_and_order)
{
	const __u64 size = self->page_size;
	struct vm *vm = &self->vm;
	__u32 ordered, written, id;

	OK(ioas_map(self->fd, vm->ioas, IOMMU_IOAS_MAP_READABLE, vm_memory,
		    size, READONLY));
	OK(ioas_map(self->fd, vm->ioas, IOMMU_IOAS_MAP_WRITEABLE, vm_memory,
		    size, WRITEONLY));

	/* A queue that is only read need not be writable */
	OK(hw_queue_alloc(self->fd, vm->viommu, 0, READONLY, size, &ordered));
	FAILS(EPERM, written_queue_alloc(vm, 0, READONLY, size, &id));
	FAILS(EPERM, written_queue_alloc(vm, 0, WRITEONLY, size, &id));
	FAILS(EPERM, hw_queue_alloc(self->fd, vm->viommu, 1, WRITEONLY, size,
				    &id));

	/* Index 1 of this type needs neither index 0 nor contiguous memory */
	OK(written_queue_alloc(vm, 1, BASE, vm_memory_size, &written));
	FAILS(EEXIST, written_queue_alloc(vm, 1, BASE, size, &id));
	FAILS(EBUSY, ioas_unmap(self->fd, vm->ioas, BASE, vm_memory_size));
	OK(written_queue_alloc(vm, 0, BASE, size, &id));
	OK(destroy(self->fd, id));
	OK(destroy(self->fd, written));
	OK(ioas_unmap(self->fd, vm->ioas, BASE, vm_memory_size));

	FAILS(EOPNOTSUPP, iommufd_hw_queue_alloc(self->fd, vm->viommu,
						 0xdeadbef1, 0, READONLY, size,
						 &id));
	OK(destroy(self->fd, ordered));
}

TEST_HARNESS_MAIN
