/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of a VMM, one function each, for tests on the mock driver and for
 * those on real IOMMUs. Functions return 0 or -errno; what they return through
 * pointers is valid after success.
 */
#ifndef __SELFTEST_VIOMMU_IOCTL
#define __SELFTEST_VIOMMU_IOCTL

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/types.h>
#include <linux/iommufd.h>

static inline int iommufd_ioctl(int fd, unsigned long nr, void *cmd)
{
	return ioctl(fd, nr, cmd) < 0 ? -errno : 0;
}

/*
 * The first @len bytes of @cmd with another @size. If that is larger, the bytes
 * beyond @len are 0, except for the last one, which is @tail.
 */
static inline int iommufd_resized(int fd, unsigned long nr, const void *cmd,
				  size_t len, __u32 size, __u8 tail)
{
	__u8 copy[256] = {};

	memcpy(copy, cmd, len);
	memcpy(copy, &size, sizeof(size));
	if (size > len)
		copy[size - 1] = tail;
	return iommufd_ioctl(fd, nr, copy);
}

static inline int iommufd_destroy(int fd, __u32 id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return iommufd_ioctl(fd, IOMMU_DESTROY, &cmd);
}

static inline int iommufd_ioas_alloc(int fd, __u32 *id)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };
	int rc = iommufd_ioctl(fd, IOMMU_IOAS_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_ioas_id;
	return rc;
}

/* @flags in addition to that of a fixed IOVA */
static inline int iommufd_ioas_map(int fd, __u32 ioas, __u32 flags,
				   const void *memory, __u64 length, __u64 iova)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | flags,
		.ioas_id = ioas,
		.user_va = (uintptr_t)memory,
		.length = length,
		.iova = iova,
	};

	return iommufd_ioctl(fd, IOMMU_IOAS_MAP, &cmd);
}

static inline int iommufd_ioas_unmap(int fd, __u32 ioas, __u64 iova,
				     __u64 length)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas,
		.iova = iova,
		.length = length,
	};

	return iommufd_ioctl(fd, IOMMU_IOAS_UNMAP, &cmd);
}

static inline int iommufd_hwpt_alloc(int fd, __u32 dev, __u32 pt, __u32 flags,
				     __u32 *id)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = dev,
		.pt_id = pt,
	};
	int rc = iommufd_ioctl(fd, IOMMU_HWPT_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_hwpt_id;
	return rc;
}

/* An HWPT with data; @fault is 0 for none */
static inline int iommufd_nested_alloc(int fd, __u32 dev, __u32 pt, __u32 fault,
				       __u32 type, const void *data, __u32 len,
				       __u32 *id)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = fault ? IOMMU_HWPT_FAULT_ID_VALID : 0,
		.dev_id = dev,
		.pt_id = pt,
		.data_type = type,
		.data_len = len,
		.data_uptr = (uintptr_t)data,
		.fault_id = fault,
	};
	int rc = iommufd_ioctl(fd, IOMMU_HWPT_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_hwpt_id;
	return rc;
}

static inline int iommufd_viommu_alloc(int fd, __u32 dev, __u32 hwpt,
				       __u32 type, void *data, __u32 len,
				       __u32 *id)
{
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = type,
		.dev_id = dev,
		.hwpt_id = hwpt,
		.data_len = len,
		.data_uptr = (uintptr_t)data,
	};
	int rc = iommufd_ioctl(fd, IOMMU_VIOMMU_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_viommu_id;
	return rc;
}

static inline int iommufd_vdevice_alloc(int fd, __u32 viommu, __u32 dev,
					__u64 virt_id, __u32 *id)
{
	struct iommu_vdevice_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = viommu,
		.dev_id = dev,
		.virt_id = virt_id,
	};
	int rc = iommufd_ioctl(fd, IOMMU_VDEVICE_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_vdevice_id;
	return rc;
}

static inline int iommufd_veventq_alloc(int fd, __u32 viommu, __u32 type,
					__u32 depth, __u32 *id, int *event_fd)
{
	struct iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = viommu,
		.type = type,
		.veventq_depth = depth,
	};
	int rc = iommufd_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &cmd);

	if (!rc) {
		*id = cmd.out_veventq_id;
		*event_fd = cmd.out_veventq_fd;
	}
	return rc;
}

static inline int iommufd_hw_queue_alloc(int fd, __u32 viommu, __u32 type,
					 __u32 index, __u64 iova, __u64 length,
					 __u32 *id)
{
	struct iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = viommu,
		.type = type,
		.index = index,
		.nesting_parent_iova = iova,
		.length = length,
	};
	int rc = iommufd_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &cmd);

	if (!rc)
		*id = cmd.out_hw_queue_id;
	return rc;
}

/* On return, even after a failure, @num is the number of complete commands */
static inline int iommufd_invalidate(int fd, __u32 id, __u32 type,
				     const void *cmds, __u32 entry_len,
				     __u32 *num)
{
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = id,
		.data_uptr = (uintptr_t)cmds,
		.data_type = type,
		.entry_len = entry_len,
		.entry_num = *num,
	};
	int rc = iommufd_ioctl(fd, IOMMU_HWPT_INVALIDATE, &cmd);

	*num = cmd.entry_num;
	return rc;
}

#endif
