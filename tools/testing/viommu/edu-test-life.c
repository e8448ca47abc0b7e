// SPDX-License-Identifier: GPL-2.0
/*
 * How VMs begin and end, in any order; boards without what a vIOMMU needs
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>

#include "edu-test-fixtures.h"
#include "../selftests/iommu/race.h"

/* Setup and teardown */

FIXTURE(life)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(life)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
}

FIXTURE_TEARDOWN(life)
{
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

/* The device first attaches to the abort HWPT, before it has a vDEVICE */
TEST_F(life, abort_comes_first)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_HWPTS));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->abort));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_A));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	EXPECT_LANDS(NOWHERE, IPA(PAGE_A));
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_A, IOVA);
	vm_close(vm, &self->edu);
}

enum step {
	END,
	ATTACH_PARENT,
	ATTACH_ABORT,
	DETACH,
	CLOSE_DEVICE,
	CLOSE_IOMMUFD,
	DESTROY_S1,
	DESTROY_VDEVICE,
	DESTROY_BYPASS,
	DESTROY_ABORT,
	DESTROY_VIOMMU,
	DESTROY_PARENT,
};

static int take_step(struct vm *vm, struct edu *edu, enum step step)
{
	switch (step) {
	case ATTACH_PARENT:
		return edu_attach(edu, vm->s2);
	case ATTACH_ABORT:
		return edu_attach(edu, vm->abort);
	case DETACH:
		return edu_detach(edu);
	case CLOSE_DEVICE:
		edu_close(edu);
		return 0;
	case CLOSE_IOMMUFD:
		return close(vm->fd);
	case DESTROY_S1:
		return destroy(vm, vm->s1_hwpt);
	case DESTROY_VDEVICE:
		return destroy(vm, vm->vdevice);
	case DESTROY_BYPASS:
		return destroy(vm, vm->bypass);
	case DESTROY_ABORT:
		return destroy(vm, vm->abort);
	case DESTROY_VIOMMU:
		return destroy(vm, vm->viommu);
	case DESTROY_PARENT:
		return destroy(vm, vm->s2);
	default:
		return -EINVAL;
	}
}

TEST_F(life, ends_in_any_order)
{
	static const enum step orders[][10] = {
		{ ATTACH_PARENT, DESTROY_S1, DESTROY_VDEVICE, DESTROY_BYPASS,
		  DESTROY_ABORT, DESTROY_VIOMMU, DETACH, DESTROY_PARENT },
		{ ATTACH_ABORT, DESTROY_S1, DESTROY_VDEVICE, DETACH, DESTROY_BYPASS,
		  DESTROY_ABORT, DESTROY_VIOMMU, DESTROY_PARENT },
		{ ATTACH_ABORT, DESTROY_VDEVICE, DESTROY_BYPASS, DESTROY_S1,
		  CLOSE_DEVICE, DESTROY_ABORT, DESTROY_VIOMMU, DESTROY_PARENT },
		{ DETACH, DESTROY_VDEVICE, DESTROY_ABORT, DESTROY_BYPASS, DESTROY_S1,
		  DESTROY_VIOMMU, DESTROY_PARENT, CLOSE_DEVICE },
		{ CLOSE_DEVICE, DESTROY_S1, DESTROY_BYPASS, DESTROY_ABORT,
		  DESTROY_VIOMMU, DESTROY_PARENT },
		{ CLOSE_DEVICE, CLOSE_IOMMUFD },
		{ CLOSE_IOMMUFD, CLOSE_DEVICE },
		{ DETACH, CLOSE_IOMMUFD, CLOSE_DEVICE },
		{ ATTACH_PARENT, CLOSE_IOMMUFD, CLOSE_DEVICE },
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
		ASSERT_LANDS(PAGE_A, IOVA);
		for (j = 0; orders[i][j] != END; j++) {
			EXPECT_EQ(0, take_step(&self->vm, &self->edu, orders[i][j])) {
				TH_LOG("order %u, step %u", i, j);
			}
		}
		vm_close(&self->vm, &self->edu);
	}
}

TEST_F(life, vdevice_goes_with_device)
{
	struct vm *vm = &self->vm;
	uint32_t dead, ioas;
	int i;

	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_TRANSLATES));
	dead = vm->vdevice;
	edu_close(&self->edu);
	EXPECT_EQ(-ENOENT, destroy(vm, dead));
	EXPECT_EQ(-EIO, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, iommufd_ioas_alloc(vm->fd, &ioas));
		EXPECT_NE(dead, ioas);
	}
	EXPECT_EQ(-ENOENT, destroy(vm, dead));

	/* The device comes back under the same name */
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, vm->s1_hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	EXPECT_NE(dead, vm->vdevice);
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_LANDS(PAGE_A, IOVA);
	vm_close(vm, &self->edu);
}

struct vdevice_loop {
	struct vm *vm;
	struct edu edu;
	atomic_bool stop;
	struct race_log log;
};

enum { VDEVICE_ALLOC, VDEVICE_DESTROY };

static void *vdevice_loop(void *arg)
{
	struct vdevice_loop *loop = arg;

	while (!loop->stop) {
		uint32_t id;
		int rc = vdevice_alloc(loop->vm, &loop->edu, loop->vm->viommu, VSID,
				       &id);

		/* The device may be closed, which destroys the vDEVICE */
		if (race_note(&loop->log, VDEVICE_ALLOC, rc, ENOENT))
			race_note(&loop->log, VDEVICE_DESTROY,
				  destroy(loop->vm, id), ENOENT);
	}
	return NULL;
}

/* The device is closed while its vDEVICE is created and destroyed */
TEST_F_TIMEOUT(life, vdevice_races_with_device, 480)
{
	struct vm *vm = &self->vm;
	struct vdevice_loop loop = {
		.vm = vm,
		.log.ops = {
			[VDEVICE_ALLOC].name = "vdevice_alloc",
			[VDEVICE_DESTROY].name = "destroy",
		},
	};
	pthread_t thread;
	int i;

	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_VIOMMU));
	for (i = 0; i < 200; i++) {
		loop.edu = self->edu;
		loop.stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, vdevice_loop, &loop));
		usleep(i * 20);
		edu_close(&self->edu);
		loop.stop = true;
		pthread_join(thread, NULL);
		ASSERT_EQ(0, edu_open(&self->edu, 0));
		ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
	}
	RACE_EXPECT(&loop.log, 1 << VDEVICE_ALLOC | 1 << VDEVICE_DESTROY);
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	vm_close(vm, &self->edu);
}

/* Pages that are pinned for DMA */
static long pinned_pages(void)
{
	long acquired = vmstat("nr_foll_pin_acquired");

	return acquired > 0 ? acquired - vmstat("nr_foll_pin_released") : -1;
}

/* A process dies at each stage, at the later ones in the middle of a DMA */
TEST_F_TIMEOUT(life, process_dies, 480)
{
	long pinned = 0;
	int i, status;
	pid_t child;

	for (i = 0; i < 2 * VM_STAGES; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			status = vm_build(&self->vm, &self->edu, 0, i % VM_STAGES);
			if (!status && i % VM_STAGES >= VM_BYPASS)
				edu_dma_start(&self->edu, true, IOVA, 8);
			_exit(status ? 1 : 0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status) {
			TH_LOG("stage %d", i % VM_STAGES);
		}

		ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
		EXPECT_LANDS(PAGE_A, IOVA);
		vm_close(&self->vm, &self->edu);
		if (!i)
			pinned = pinned_pages();
		ASSERT_LE(0, pinned);
		EXPECT_EQ(pinned, pinned_pages());
	}
}

/* Allocate all vIOMMUs that there are, free them, and repeat */
TEST_F_TIMEOUT(life, vmids_run_out, 1200)
{
	struct vm *vm = &self->vm;
	uint32_t *viommus = calloc(1 << 16, sizeof(*viommus)), s2;
	int i, n, rc, round, before = 0;

	ASSERT_NE(NULL, viommus);
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_TRANSLATES));
	for (round = 0; round < 2; round++) {
		for (n = 0; n < 1 << 16; n++) {
			rc = viommu_alloc(vm, &self->edu, vm->s2, &viommus[n]);
			if (rc)
				break;
		}
		EXPECT_EQ(-ENOSPC, rc);
		EXPECT_EQ(round ? before : n, n);
		before = n;
		EXPECT_EQ(-ENOSPC, hwpt_alloc(vm, &self->edu, vm->ioas,
					      IOMMU_HWPT_ALLOC_NEST_PARENT, &s2));
		EXPECT_LANDS(PAGE_A, IOVA);
		for (i = 0; i < n; i++)
			ASSERT_EQ(0, destroy(vm, viommus[i]));
	}
	EXPECT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT, &s2));
	EXPECT_LANDS(PAGE_A, IOVA);
	free(viommus);
	vm_close(vm, &self->edu);
}

/*
 * Boards that cannot give a guest an SMMU, for the reason in LACKS in the
 * environment. The errno must not make a VMM try another parent.
 */
TEST_F(life, no_coherence)
{
	struct vm *vm = &self->vm;
	const char *lacks = getenv("LACKS");
	uint32_t plain, id;

	if (!lacks || strcmp(lacks, "coherence"))
		SKIP(return, "needs a board without CANWBS");
	EXPECT_STREQ("\n", edu_iommu_file(0, "types"));
	EXPECT_STREQ("1\n", edu_iommu_file(0, "nesting"));
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_S2));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &plain));
	EXPECT_EQ(-EOPNOTSUPP, viommu_alloc(vm, &self->edu, vm->s2, &id));
	EXPECT_EQ(-EOPNOTSUPP, viommu_alloc(vm, &self->edu, plain, &id));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	vm_close(vm, &self->edu);
}

TEST_F(life, no_nesting)
{
	struct vm *vm = &self->vm;
	const char *lacks = getenv("LACKS");
	uint32_t plain, id;

	if (!lacks || strcmp(lacks, "nesting"))
		SKIP(return, "needs a board without stage 2");
	EXPECT_STREQ("\n", edu_iommu_file(0, "types"));
	EXPECT_STREQ("0\n", edu_iommu_file(0, "nesting"));
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_BOUND));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &plain));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(vm, &self->edu, vm->ioas,
					  IOMMU_HWPT_ALLOC_NEST_PARENT, &id));
	EXPECT_EQ(-EOPNOTSUPP, viommu_alloc(vm, &self->edu, plain, &id));
	ASSERT_EQ(0, edu_attach(&self->edu, plain));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	vm_close(vm, &self->edu);
}

TEST_HARNESS_MAIN
