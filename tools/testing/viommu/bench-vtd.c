// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of invalidations on VT-d in instructions: a guest's descriptors in one
 * call on a vIOMMU of the type INTEL_VTD, and entries on a nested HWPT, which are
 * what 6.12 has. The figures are as those of bench.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "bench.h"
#include "vtd-test-lib.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_BATCH	4096

static struct vm vm;
static uint32_t target;
static uint32_t data_type;
static uint32_t entry_len;
static const void *entries;

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	printf("bench-vtd: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void run(uint32_t batch)
{
	static struct iommu_hwpt_invalidate cmd = { .size = sizeof(cmd) };

	cmd.hwpt_id = target;
	cmd.data_uptr = (uintptr_t)entries;
	cmd.data_type = data_type;
	cmd.entry_len = entry_len;
	cmd.entry_num = batch;
	if (ioctl(vm.fd, IOMMU_HWPT_INVALIDATE, &cmd) || cmd.entry_num != batch)
		must(errno ? -errno : -EBADMSG, "IOMMU_HWPT_INVALIDATE");
}

static double measure(uint32_t batch)
{
	unsigned int i, calls = 8192 / batch + 16;
	uint64_t start, empty;

	for (i = 0; i < 4 + calls / 16; i++)
		run(batch);
	start = now();
	empty = now() - start;
	start = now();
	for (i = 0; i < calls; i++)
		run(batch);
	return (now() - start - empty) * per_tick() / calls;
}

static const uint32_t batches[] = { 1, 16, 256, MAX_BATCH };

static void row(const char *name)
{
	unsigned int b;

	printf("%-34s", name);
	for (b = 0; b < ARRAY_SIZE(batches); b++)
		printf(" %9.1f", measure(batches[b]) / batches[b]);
	printf("\n");
}

static desc_t descs[MAX_BATCH];
static struct iommu_hwpt_vtd_s1_invalidate s1_entries[MAX_BATCH];

static void on_viommu(const char *name, desc_t (*desc)(uint32_t i))
{
	uint32_t i;

	for (i = 0; i < MAX_BATCH; i++)
		descs[i] = desc(i);
	target = vm.viommu;
	data_type = IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD;
	entry_len = sizeof(descs[0]);
	entries = descs;
	row(name);
}

static desc_t desc_page(uint32_t i)
{
	return D_PAGE(VDID, 0, WHERE + i * 2 * PAGE_SIZE);
}

static desc_t desc_pasid(uint32_t i)
{
	return D_PASID(VDID, 0);
}

static desc_t desc_did(uint32_t i)
{
	return D_IOTLB(VDID);
}

/* As a guest with ATS does */
static desc_t desc_page_dev(uint32_t i)
{
	return i & 1 ? D_DEV(VRID, WHERE + (i & ~1) * PAGE_SIZE) :
		       D_PAGE(VDID, 0, WHERE + i * PAGE_SIZE);
}

static void on_hwpt(uint32_t hwpt)
{
	uint32_t i;

	for (i = 0; i < MAX_BATCH; i++) {
		s1_entries[i].addr = WHERE + i * 2 * PAGE_SIZE;
		s1_entries[i].npages = 1;
	}
	target = hwpt;
	data_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1;
	entry_len = sizeof(s1_entries[0]);
	entries = s1_entries;
	row("nested HWPT: pages");
}

int main(void)
{
	const struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = IPA(1), .addr_width = 48 };
	struct device dev;
	struct edu edu;
	uint32_t hwpt, nested, other;
	unsigned int b;

	setvbuf(stdout, NULL, _IOLBF, 0);
	must(vm_build(&vm, &edu, 0, VM_BOUND), "a VM");
	must(device_open(&dev, vm.fd, 0), "the device with ATS");
	must(hwpt_alloc(&vm, &edu, vm.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT |
			IOMMU_HWPT_ALLOC_PASID, &vm.s2), "a second stage");
	must(iommufd_viommu_alloc(vm.fd, edu.id, vm.s2, IOMMU_VIOMMU_TYPE_INTEL_VTD,
				  NULL, 0, &vm.viommu), "a vIOMMU");
	must(iommufd_nested_alloc(vm.fd, edu.id, vm.s2, 0, IOMMU_HWPT_DATA_VTD_S1, &s1,
				  sizeof(s1), &hwpt), "a nested HWPT");
	must(entry_alloc(&vm, &dev, PE_P | PE_PGTT(1), VDID, IPA(1), &nested),
	     "a nested HWPT on the vIOMMU");
	must(entry_alloc(&vm, &dev, PE_P | PE_PGTT(1), OTHER_DID, IPA(1), &other),
	     "another one");
	must(iommufd_vdevice_alloc(vm.fd, vm.viommu, edu.id, VRID + 8, &vm.vdevice),
	     "a vDEVICE");
	must(iommufd_vdevice_alloc(vm.fd, vm.viommu, dev.edu.id, VRID, &vm.vdevice),
	     "a vDEVICE");

	printf("\nIOMMU_HWPT_INVALIDATE on VT-d, instructions each\n%-34s", "descriptors");
	for (b = 0; b < ARRAY_SIZE(batches); b++)
		printf(" %9u", batches[b]);
	printf("\n");
	must(edu_attach(&edu, hwpt), "attach");
	on_hwpt(hwpt);
	must(edu_attach(&edu, nested), "attach");
	must(attach(&dev, NO_PASID, other), "attach");
	on_viommu("vIOMMU: pages", desc_page);
	on_viommu("vIOMMU: all of a PASID", desc_pasid);
	on_viommu("vIOMMU: a domain ID", desc_did);
	must(edu_attach(&edu, other), "attach");
	must(attach(&dev, NO_PASID, nested), "attach");
	on_viommu("vIOMMU, with ATS: pages", desc_page);
	on_viommu("vIOMMU, with ATS: pages, devices", desc_page_dev);
	return 0;
}
