// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of invalidations on the AMD IOMMU in instructions: a guest's commands in
 * one call on a vIOMMU of the type AMD. The figures are as those of bench.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "bench.h"
#include "amd-test-lib.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_BATCH	4096

static struct machine machine;
static guest_cmd_t cmds[MAX_BATCH];

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	printf("bench-amd: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void run(uint32_t batch)
{
	static struct iommu_hwpt_invalidate cmd = { .size = sizeof(cmd) };

	cmd.hwpt_id = machine.vm.viommu;
	cmd.data_uptr = (uintptr_t)cmds;
	cmd.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_AMD;
	cmd.entry_len = sizeof(cmds[0]);
	cmd.entry_num = batch;
	if (ioctl(machine.vm.fd, IOMMU_HWPT_INVALIDATE, &cmd) || cmd.entry_num != batch)
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

static void row(const char *name, guest_cmd_t (*cmd)(uint32_t i))
{
	unsigned int b;
	uint32_t i;

	for (i = 0; i < MAX_BATCH; i++)
		cmds[i] = cmd(i);
	printf("%-34s", name);
	for (b = 0; b < ARRAY_SIZE(batches); b++)
		printf(" %9.1f", measure(batches[b]) / batches[b]);
	printf("\n");
}

static guest_cmd_t cmd_page(uint32_t i)
{
	return C_PAGES(GDOM, 0, (WHERE + i * 2 * PAGE_SIZE) | GN);
}

static guest_cmd_t cmd_pasid(uint32_t i)
{
	return C_PAGES(GDOM, i & 0xff, EVERYTHING | S | PDE | GN);
}

static guest_cmd_t cmd_domain(uint32_t i)
{
	return C_PAGES(GDOM, 0, EVERYTHING | S | PDE);
}

static guest_cmd_t cmd_entry(uint32_t i)
{
	return C_DTE(GDEV);
}

/* As a guest with ATS does */
static guest_cmd_t cmd_page_dev(uint32_t i)
{
	return i & 1 ? C_IOTLB(GDEV, 0, WHERE + (i & ~1) * PAGE_SIZE) :
		       C_PAGES(GDOM, 0, (WHERE + i * PAGE_SIZE) | GN);
}

static void build(unsigned int nth)
{
	must(machine_build(&machine, nth, 0), "a VM");
}

int main(void)
{
	uint32_t ats;
	unsigned int b;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("\nIOMMU_HWPT_INVALIDATE on the AMD IOMMU, instructions each\n%-34s", "commands");
	for (b = 0; b < ARRAY_SIZE(batches); b++)
		printf(" %9u", batches[b]);
	printf("\n");

	build(0);
	row("pages", cmd_page);
	row("all of a PASID", cmd_pasid);
	row("a DomainID", cmd_domain);
	row("a DTE", cmd_entry);
	must(machine_destroy(&machine), "the end of the VM");

	build(1);
	must(dte_alloc(&machine, V | TV | GV | IR | IW | GIOV | gcr3_low(IPA(T_GCR3)),
		       GDOM | ATS | gcr3_high(IPA(T_GCR3)), 0, 0, &ats), "a DTE with ATS");
	must(edu_attach(&machine.dev.edu, ats), "attach");
	row("with ATS: pages, devices", cmd_page_dev);
	must(edu_attach(&machine.dev.edu, machine.nested), "attach");
	row("ATS unknown to the guest: pages", cmd_page);
	return 0;
}
