// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of an invalidation in instructions with more vDEVICEs than a board
 * has devices, on the mock driver. See bench.c for how it measures.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../selftests/iommu/viommu_ioctl.h"
#include "iommufd_test.h"
#include "bench.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BATCH		1024
#define CALLS		64

static int fd;
static uint32_t ioas, s2, viommu;

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	printf("bench-mock: %s: %s\n", what, strerror(-rc));
	exit(1);
}

/* A new device with vDEVICE @virt_id; the first also allocates the vIOMMU */
static void add_device(uint64_t virt_id)
{
	struct iommu_test_cmd mock = {
		.size = sizeof(mock),
		.op = IOMMU_TEST_OP_MOCK_DOMAIN,
		.id = ioas,
	};
	uint32_t dev, id;

	must(iommufd_ioctl(fd, IOMMU_TEST_CMD, &mock), "mock device");
	dev = mock.mock_domain.out_idev_id;
	if (!viommu) {
		must(iommufd_hwpt_alloc(fd, dev, ioas,
					IOMMU_HWPT_ALLOC_NEST_PARENT, &s2),
		     "nesting parent");
		must(iommufd_viommu_alloc(fd, dev, s2, IOMMU_VIOMMU_TYPE_SELFTEST,
					  NULL, 0, &viommu), "vIOMMU");
	}
	must(iommufd_vdevice_alloc(fd, viommu, dev, virt_id, &id), "vDEVICE");
}

static void invalidate(struct iommu_viommu_invalidate_selftest *entries,
		       uint32_t n)
{
	must(iommufd_invalidate(fd, viommu, IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
				entries, sizeof(*entries), &n),
	     "IOMMU_HWPT_INVALIDATE");
}

static double measure(struct iommu_viommu_invalidate_selftest *entries,
		      uint32_t n)
{
	uint64_t start;
	int i;

	for (i = 0; i < 4; i++)
		invalidate(entries, n);
	start = now();
	for (i = 0; i < CALLS; i++)
		invalidate(entries, n);
	return (now() - start) * per_tick() / CALLS;
}

int main(void)
{
	static struct iommu_viommu_invalidate_selftest entries[BATCH];
	static const unsigned int counts[] = { 1, 64, 4096 };
	unsigned int i, n = 0, c;

	fd = open("/dev/iommu", O_RDWR);
	must(fd < 0 ? -errno : 0, "/dev/iommu");
	must(iommufd_ioas_alloc(fd, &ioas), "IOAS");

	printf("\nvDEVICEs on a vIOMMU (mock driver), instructions\n%-8s %14s %14s\n",
	       "vDEVICEs", "1 invalidation", "1024, each");
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		for (; n < counts[c]; n++)
			add_device(n);
		/* Each command names another device */
		for (i = 0; i < BATCH; i++)
			entries[i].vdev_id = i * 1031 % n;
		printf("%-8u %14.0f %14.1f\n", n, measure(entries, 1),
		       measure(entries, BATCH) / BATCH);
	}
	return 0;
}
