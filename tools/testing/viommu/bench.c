// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of a VMM's ioctls in instructions
 *
 * It runs on a board whose virtual counter counts instructions (-icount), and
 * only uses mainline's interface. A figure is the mean of many calls from user
 * space. It includes the way into the kernel and back, but not the work of the
 * emulated SMMU.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/iommufd.h>
#include <sys/ioctl.h>

#include "bench.h"
#include "edu-test-lib.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_BATCH	65536
#define MAX_VIOMMUS	8

static struct vm vm;
static struct edu edu;
static cmd_t cmds[MAX_BATCH];

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	printf("bench: %s: %s\n", what, strerror(-rc));
	exit(1);
}

/* The mean cost of a call of @run, after warm-up calls */
static double measure(void (*run)(uint32_t arg), uint32_t arg, unsigned int calls)
{
	uint64_t start, empty;
	unsigned int i;

	for (i = 0; i < 4 + calls / 16; i++)
		run(arg);
	start = now();
	empty = now() - start;
	start = now();
	for (i = 0; i < calls; i++)
		run(arg);
	return (now() - start - empty) * per_tick() / calls;
}

/* Invalidation */

static cmd_t cmd_nh_va(uint32_t i)
{
	return CMD(TLBI_NH_VA | CMD_0_ASID(GUEST_ASID),
		   (IOVA + i % 4096 * 2 * GRANULE) | CMD_1_LEAF);
}

static cmd_t cmd_nh_asid(uint32_t i)
{
	return CMD(TLBI_NH_ASID | CMD_0_ASID(GUEST_ASID + i % 4), 0);
}

static cmd_t cmd_nh_all(uint32_t i)
{
	return CMD(TLBI_NH_ALL, 0);
}

static cmd_t cmd_cfgi_cd(uint32_t i)
{
	return CMD(CFGI_CD | CMD_0_SID(VSID), CMD_1_LEAF);
}

/* As a guest does: a CD changes now and then, pages all the time */
static cmd_t cmd_mixed(uint32_t i)
{
	switch (i % 16) {
	case 0:
		return cmd_cfgi_cd(i);
	case 1:
		return cmd_nh_asid(i);
	case 2:
		return cmd_nh_all(i);
	}
	return cmd_nh_va(i);
}

static const struct {
	const char *name;
	cmd_t (*cmd)(uint32_t i);
} kinds[] = {
	{ "TLBI_NH_VA", cmd_nh_va },
	{ "TLBI_NH_ASID", cmd_nh_asid },
	{ "TLBI_NH_ALL", cmd_nh_all },
	{ "CFGI_CD", cmd_cfgi_cd },
	{ "mixed", cmd_mixed },
};

static const uint32_t batches[] = { 1, 4, 16, 64, 256, 1024, 4096, MAX_BATCH };

static void fill(cmd_t (*cmd)(uint32_t i))
{
	uint32_t i;

	for (i = 0; i < MAX_BATCH; i++)
		cmds[i] = cmd(i);
}

static void run_invalidate(uint32_t batch)
{
	static struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.data_uptr = (uintptr_t)cmds,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.entry_len = sizeof(cmds[0]),
	};

	cmd.hwpt_id = vm.viommu;
	cmd.entry_num = batch;
	if (ioctl(vm.fd, IOMMU_HWPT_INVALIDATE, &cmd) || cmd.entry_num != batch)
		must(errno ? -errno : -EBADMSG, "IOMMU_HWPT_INVALIDATE");
}

static double measure_batch(uint32_t batch)
{
	return measure(run_invalidate, batch, batch > 4096 ? 4 : 65536 / batch / 8 + 32);
}

static void bench_invalidate(void)
{
	double cost[ARRAY_SIZE(kinds)][ARRAY_SIZE(batches)];
	unsigned int k, b;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		fill(kinds[k].cmd);
		for (b = 0; b < ARRAY_SIZE(batches); b++)
			cost[k][b] = measure_batch(batches[b]);
	}

	for (int each = 0; each <= 1; each++) {
		printf("\nIOMMU_HWPT_INVALIDATE, instructions %s\n%-20s",
		       each ? "a command" : "a call", "commands");
		for (b = 0; b < ARRAY_SIZE(batches); b++)
			printf(" %9u", batches[b]);
		for (k = 0; k < ARRAY_SIZE(kinds); k++) {
			printf("\n%-20s", kinds[k].name);
			for (b = 0; b < ARRAY_SIZE(batches); b++)
				printf(" %9.*f", each, cost[k][b] / (each ? batches[b] : 1));
		}
		printf("\n");
	}
}

/* Objects */

static void run_replace(uint32_t arg)
{
	static unsigned int n;
	const uint32_t hwpts[] = { vm.bypass, vm.s1_hwpt };

	must(edu_attach(&edu, hwpts[n++ % 2]), "replace");
}

static void run_nested(uint32_t arg)
{
	uint32_t id;

	must(s1_hwpt_alloc(&vm.s1, &vm, &edu, &id), "nested HWPT");
	must(destroy(&vm, id), "destroy a nested HWPT");
}

/* The HWPT for an STE that the guest writes */
static void run_ste_write(uint32_t arg)
{
	static uint32_t old;
	uint32_t id;

	must(s1_hwpt_alloc(&vm.s1, &vm, &edu, &id), "nested HWPT");
	must(edu_attach(&edu, id), "replace");
	if (old)
		must(destroy(&vm, old), "destroy a nested HWPT");
	old = id;
}

static void run_viommu(uint32_t arg)
{
	uint32_t id;

	must(viommu_alloc(&vm, &edu, vm.s2, &id), "vIOMMU");
	must(destroy(&vm, id), "destroy a vIOMMU");
}

static void run_vdevice(uint32_t arg)
{
	must(vdevice_alloc(&vm, &edu, vm.viommu, VSID, &vm.vdevice), "vDEVICE");
	must(destroy(&vm, vm.vdevice), "destroy a vDEVICE");
}

static void run_map(uint32_t arg)
{
	must(ioas_map(&vm, PAGE_E, 1, SPARE_IPA), "map a page");
	must(ioas_unmap(&vm, SPARE_IPA, PAGE_SIZE), "unmap a page");
}

static void bench_objects(void)
{
	printf("\nObjects, instructions\n");
	printf("%-44s %9.0f\n", "replace, bypass and stage 1 in turn",
	       measure(run_replace, 0, 500));
	printf("%-44s %9.0f\n", "nested HWPT alloc and destroy",
	       measure(run_nested, 0, 500));
	printf("%-44s %9.0f\n", "nested HWPT alloc, replace, destroy",
	       measure(run_ste_write, 0, 500));
	printf("%-44s %9.0f\n", "vIOMMU alloc and destroy",
	       measure(run_viommu, 0, 500));
	must(edu_attach(&edu, vm.bypass), "attach the bypass");
	must(destroy(&vm, vm.vdevice), "destroy the vDEVICE");
	printf("%-44s %9.0f\n", "vDEVICE alloc and destroy",
	       measure(run_vdevice, 0, 500));
	must(vdevice_alloc(&vm, &edu, vm.viommu, VSID, &vm.vdevice), "vDEVICE");
	must(edu_attach(&edu, vm.s1_hwpt), "attach stage 1");
}

/* One stage 2 under several vIOMMUs */
static void bench_viommus(void)
{
	uint32_t ids[MAX_VIOMMUS];
	unsigned int n;

	printf("\nvIOMMUs on the stage 2, instructions\n%-8s %14s %14s %14s\n",
	       "vIOMMUs", "1 TLBI_NH_VA", "1024, each", "map and unmap");
	fill(cmd_nh_va);
	for (n = 1; n <= MAX_VIOMMUS; n++) {
		if (n > 1)
			must(viommu_alloc(&vm, &edu, vm.s2, &ids[n - 1]), "vIOMMU");
		printf("%-8u %14.0f %14.1f %14.0f\n", n, measure_batch(1),
		       measure_batch(1024) / 1024, measure(run_map, 0, 500));
	}
	while (n-- > 2)
		must(destroy(&vm, ids[n - 1]), "destroy a vIOMMU");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	must(vm_build(&vm, &edu, 0, VM_TRANSLATES), "a VM");
	bench_invalidate();
	bench_objects();
	bench_viommus();
	vm_close(&vm, &edu);
	return 0;
}
