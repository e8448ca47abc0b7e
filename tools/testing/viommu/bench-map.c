// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of mapping memory into the stage 2 of a VM, by the kind of memory and
 * the size of its pages, in instructions; and the size of the page tables
 *
 * Every page is pinned, so the memory is one area of 1 GiB. Larger guests are many
 * mappings of it in a row, which costs the kernel the same as other memory would.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/memfd.h>

#include "bench.h"
#include "edu-test-lib.h"
#include "../selftests/iommu/map_file_utils.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define GIB		(1UL << 30)
#define FIRST_IPA	(4 * GIB)

static struct vm vm;
static struct edu edu;
static long pages_before;	/* of page tables */

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	printf("bench-map: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static const struct kind {
	const char *name;
	unsigned int flags;	/* of a memfd. The board has the huge pages. */
	bool anon;
	bool sparse;		/* not touched before the first mapping */
	unsigned int gib[3];
} kinds[] = {
	{ "anonymous, 4K", .anon = true, .gib = { 1, 64 } },
	{ "memfd, 4K", .gib = { 1, 64 } },
	{ "anonymous, 4K, not touched", .anon = true, .sparse = true, .gib = { 1 } },
	{ "memfd, 4K, sparse", .sparse = true, .gib = { 1 } },
	{ "memfd, 2M", .flags = MFD_HUGETLB | MFD_HUGE_2MB, .gib = { 1, 64 } },
	{ "memfd, 32M", .flags = MFD_HUGETLB | MFD_HUGE_32MB, .gib = { 1, 64 } },
	{ "memfd, 1G", .flags = MFD_HUGETLB | MFD_HUGE_1GB, .gib = { 1, 64, 512 } },
};

/* By IOMMU_IOAS_MAP_FILE, or by IOMMU_IOAS_MAP if @file is -1 */
static void measure(const char *name, int file, void *mem, unsigned int gib)
{
	uint64_t start, map, unmap;
	unsigned int i;
	long tables;
	int rc;

	start = now();
	for (i = 0; i < gib; i++) {
		uint64_t ipa = FIRST_IPA + i * GIB;

		rc = file < 0 ? iommufd_ioas_map(vm.fd, vm.ioas, MAP_RW, mem, GIB, ipa) :
				iommufd_ioas_map_file(vm.fd, vm.ioas, MAP_RW, file, 0, GIB, ipa);
		if (rc == -ENOTTY) {
			printf("%-32s the kernel has no IOMMU_IOAS_MAP_FILE\n", name);
			return;
		}
		must(rc, "map");
	}
	map = now() - start;
	tables = vmstat("nr_iommu_pages") - pages_before;
	start = now();
	must(ioas_unmap(&vm, FIRST_IPA, gib * GIB), "unmap");
	unmap = now() - start;
	printf("%-32s %6u %12.0f %12.0f %12ld\n", name, gib, map * per_tick() / gib / 1000,
	       unmap * per_tick() / gib / 1000, tables * (long)PAGE_SIZE / 1024);
}

static void bench_kind(const struct kind *kind)
{
	int file = -1;
	unsigned int i;
	void *mem;

	if (!kind->anon) {
		file = memfd(kind->flags, GIB);
		must(file < 0 ? file : 0, "memfd");
	}
	mem = mmap(NULL, GIB, PROT_READ | PROT_WRITE,
		   kind->anon ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, file, 0);
	must(mem == MAP_FAILED ? -errno : 0, "mmap");
	if (!kind->sparse)
		for (i = 0; i < GIB / PAGE_SIZE; i++)
			*((volatile char *)mem + i * PAGE_SIZE) = 1;
	for (i = 0; i < ARRAY_SIZE(kind->gib) && kind->gib[i]; i++)
		measure(kind->name, file, mem, kind->gib[i]);
	if (!kind->anon && !kind->sparse)
		measure("  the same by IOMMU_IOAS_MAP", -1, mem, 1);
	munmap(mem, GIB);
	if (file >= 0)
		close(file);
}

int main(void)
{
	unsigned int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	must(vm_build(&vm, &edu, 0, VM_BYPASS), "a VM");
	pages_before = vmstat("nr_iommu_pages");
	printf("\nMemory, thousands of instructions a GiB\n");
	printf("%-32s %6s %12s %12s %12s\n", "", "GiB", "map", "unmap", "tables, KiB");
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		bench_kind(&kinds[i]);
	vm_close(&vm, &edu);
	return 0;
}
