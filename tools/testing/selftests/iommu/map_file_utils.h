/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory of files: the ioctls of a VMM that keeps the memory of its VM in a
 * file, and what the kernel says about memory
 */
#ifndef __SELFTEST_IOMMU_MAP_FILE_UTILS
#define __SELFTEST_IOMMU_MAP_FILE_UTILS

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "viommu_ioctl.h"

#define MAP_RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

/* @flags in addition to that of a fixed IOVA */
static inline int iommufd_ioas_map_file(int iommufd, __u32 ioas, __u32 flags,
					int fd, __u64 start, __u64 length,
					__u64 iova)
{
	struct iommu_ioas_map_file cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | flags,
		.ioas_id = ioas,
		.fd = fd,
		.start = start,
		.length = length,
		.iova = iova,
	};

	return iommufd_ioctl(iommufd, IOMMU_IOAS_MAP_FILE, &cmd);
}

static inline int iommufd_ioas_change_process(int iommufd)
{
	struct iommu_ioas_change_process cmd = { .size = sizeof(cmd) };

	return iommufd_ioctl(iommufd, IOMMU_IOAS_CHANGE_PROCESS, &cmd);
}

static inline int iommufd_ioas_copy(int iommufd, __u32 dst, __u64 dst_iova,
				    __u32 src, __u64 src_iova, __u64 length,
				    __u32 flags)
{
	struct iommu_ioas_copy cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | flags,
		.dst_ioas_id = dst,
		.src_ioas_id = src,
		.length = length,
		.dst_iova = dst_iova,
		.src_iova = src_iova,
	};

	return iommufd_ioctl(iommufd, IOMMU_IOAS_COPY, &cmd);
}

/* A memfd of @size bytes, or -errno */
static inline int memfd(unsigned int flags, __u64 size)
{
	int fd = syscall(SYS_memfd_create, "memory", flags | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size)) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* The number behind @name in a file of /proc or /sys, or -1 */
static inline long number_in(const char *file, const char *name)
{
	char line[200];
	long value = -1;
	FILE *f = fopen(file, "r");

	if (!f)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) &&
		    (line[strlen(name)] == ':' || line[strlen(name)] == ' '))
			value = strtol(line + strlen(name) + 1, NULL, 0);
	fclose(f);
	return value;
}

#endif
