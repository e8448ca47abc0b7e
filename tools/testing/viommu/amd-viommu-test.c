// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of vIOMMUs of the type AMD, without a VMM: a guest's device table entries, GCR3
 * tables and page tables in memory, its commands by IOMMU_HWPT_INVALIDATE, and pasid-edu
 * devices whose writes show which translation is in force. The caches of the emulated
 * IOMMU and of the devices keep what nobody invalidates.
 *
 * Expects two pasid-edu devices bound to vfio-pci, see tests/pasid-edu: one without ATS,
 * one with it. With STRICT=1 in the environment the IOMMU is one whose GN = 0 keeps the
 * entries of PASIDs, and the kernel knows it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "amd-test-lib.h"

#define EVENT_PAGE_FAULT	2
#define EVENT_DEVICE_REQUEST	8
#define F_GN			0x001
#define F_PR			0x010
#define F_RW			0x020
#define F_PE			0x040

enum { WITHOUT_ATS, WITH_ATS };

#define SETUP(nth) ({							\
	self->kmsg = kmsg_open();					\
	ASSERT_LE(0, self->kmsg);					\
	ASSERT_NE(NULL, model_map());					\
	ASSERT_EQ(AMDM_ID_VALUE, model(AMDM_ID));			\
	set_knobs(0);							\
	ASSERT_EQ(0, machine_build(&self->m, nth, 0));			\
	set_model(AMDM_RESET, 1);					\
	ASSERT_EQ(PAGE_A, lands(&self->m, NO_PASID, 0));		\
})

/* No translation of another table, no command that is none */
#define TEARDOWN() ({							\
	EXPECT_EQ(0, machine_destroy(&self->m));			\
	set_knobs(0);					\
	EXPECT_EQ(0, count(AMDM_FOREIGN_HITS));				\
	EXPECT_EQ(0, count(AMDM_ILLEGAL));				\
	EXPECT_EQ(0, kmsg_count(self->kmsg, AMD_TROUBLE));		\
	close(self->kmsg);						\
})

FIXTURE(amd)
{
	struct machine m;
	int kmsg;
};

FIXTURE_SETUP(amd)
{
	SETUP(WITHOUT_ATS);
}

FIXTURE_TEARDOWN(amd)
{
	TEARDOWN();
}

FIXTURE(ats)
{
	struct machine m;
	int kmsg;
};

FIXTURE_SETUP(ats)
{
	SETUP(WITH_ATS);
	ASSERT_TRUE(reg32(&self->m.dev, PEDU_CONFIG) & PEDU_HAS_ATS);
}

FIXTURE_TEARDOWN(ats)
{
	TEARDOWN();
}

/* What the hardware can do, as it is */
TEST_F(amd, hw_info)
{
	struct iommu_hw_info_amd info = { };
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = self->m.dev.edu.id,
		.data_len = sizeof(info),
		.data_uptr = (uintptr_t)&info,
	};

	ASSERT_EQ(0, xioctl(self->m.vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_AMD, cmd.out_data_type);
	EXPECT_EQ(sizeof(info), cmd.data_len);
	EXPECT_EQ(0x17000f000099d3ULL, info.efr);
	EXPECT_EQ(BIT(3), info.efr2);
}

/* Each kind of entry, as a replace of the others */
TEST_F(amd, entries)
{
	struct machine *m = &self->m;
	struct device *dev = &m->dev;
	struct vm *vm = &m->vm;
	uint32_t pass, none, ro;
	int round;

	/* The two states with V = 1: passes with rights, and nothing passes */
	ASSERT_EQ(0, dte_alloc(m, V | TV | IR | IW, 0, 0, 0, &pass));
	ASSERT_EQ(0, dte_alloc(m, V | TV, 0, 0, 0, &none));
	ASSERT_EQ(0, dte_alloc(m, V | TV | IR, 0, 0, 0, &ro));
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, edu_attach(&dev->edu, m->blocked));
		EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		ASSERT_EQ(0, edu_attach(&dev->edu, m->bypass));
		EXPECT_EQ(PAGE_B, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, edu_attach(&dev->edu, m->nested));
		EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		/* The parent itself, also over a nested entry and back */
		ASSERT_EQ(0, edu_attach(&dev->edu, vm->s2));
		EXPECT_EQ(PAGE_C, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_C)));
		EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, edu_attach(&dev->edu, m->nested));
		EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, edu_attach(&dev->edu, none));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		ASSERT_EQ(0, edu_attach(&dev->edu, pass));
		EXPECT_EQ(PAGE_B, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		ASSERT_EQ(0, edu_attach(&dev->edu, ro));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		/* From nothing */
		ASSERT_EQ(0, edu_detach(&dev->edu));
		EXPECT_EQ(BLOCKED, lands_at(dev, vm, NO_PASID, 0, IPA(PAGE_B)));
		ASSERT_EQ(0, edu_attach(&dev->edu, m->nested));
		EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	}
	EXPECT_LT(0, count(AMDM_NESTED));
	EXPECT_EQ(0, count(AMDM_GUEST));
	/* No change of an entry without its command */
	EXPECT_EQ(0, count(AMDM_DTE_STALE));
	EXPECT_EQ(0, destroy(vm, pass));
	EXPECT_EQ(0, destroy(vm, none));
	EXPECT_EQ(0, destroy(vm, ro));
}

/* Rights of the guest's entry apply to a nested one too */
TEST_F(amd, rights)
{
	struct machine *m = &self->m;
	uint32_t ro;

	ASSERT_EQ(0, dte_alloc(m, V | TV | GV | IR | GIOV | gcr3_low(IPA(T_GCR3)),
			       GDOM | gcr3_high(IPA(T_GCR3)), 0, 0, &ro));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, ro));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	EXPECT_EQ(0, destroy(&m->vm, ro));
}

/* Stale before each kind of command, right after it */
TEST_F(amd, invalidation)
{
	const guest_cmd_t cmds[] = {
		C_PAGES(GDOM, 0, WHERE | GN), C_PAGES(GDOM, 0, WHERE | GN | PDE),
		/* 8 KiB, 1 MiB around it */
		C_PAGES(GDOM, 0, (WHERE & ~0x1fffUL) | GN | S),
		C_PAGES(GDOM, 0, ((WHERE & ~0xfffffUL) | 0x7f000) | GN | S),
		C_PAGES(GDOM, 0, EVERYTHING | GN | S | PDE),
		/* Without GN: nothing that the guest knows is narrower than all */
		C_PAGES(GDOM, 0, WHERE), C_PAGES(GDOM, 0, NOT_MAPPED | PDE),
		C_PAGES(GDOM, 0, EVERYTHING | S | PDE),
		C_ALL,
	};
	const guest_cmd_t others[] = {
		C_PAGES(GDOM, 0, NOT_MAPPED | GN | PDE),
		C_PAGES(GDOM, 0, 0x7f000 | GN | S | PDE),
		C_PAGES(OTHER_GDOM, 0, WHERE | GN | PDE),
		C_PAGES(OTHER_GDOM, 0, EVERYTHING | S | PDE),
		C_PAGES(GDOM, PASID, WHERE | GN | PDE),
		C_IOTLB(GDEV, 0, WHERE),
	};
	struct machine *m = &self->m;
	unsigned int i, j, page = PAGE_A;

	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		unsigned int next = page == PAGE_A ? PAGE_B : PAGE_A;

		map_to(m->leaf, next);
		for (j = 0; j < sizeof(others) / sizeof(others[0]); j++)
			ASSERT_EQ(0, invalidate_cmd(m, others[j]));
		EXPECT_EQ(page, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, invalidate_cmd(m, cmds[i]));
		EXPECT_EQ(next, lands(m, NO_PASID, 0));
		page = next;
	}
	/* The host asks nothing of hardware that it does not know */
	EXPECT_EQ(0, count(AMDM_UNKNOWN_DOMAIN));
	EXPECT_EQ(0, count(AMDM_QUEUE_ID));
	EXPECT_EQ(0, invalidate_cmd(m, C_DTE(GDEV)));
	EXPECT_EQ(page, lands(m, NO_PASID, 0));
	/* PREFETCH is a hint */
	EXPECT_EQ(0, invalidate_cmd(m, GUEST_CMD(OP(6) | GDEV, WHERE)));
	EXPECT_EQ(0, model(AMDM_COMMANDS(6)));
}

/* Hardware where GN = 0 keeps the entries of PASIDs */
TEST_F(amd, strict_hardware)
{
	const guest_cmd_t cmds[] = {
		C_PAGES(GDOM, 0, WHERE | GN), C_PAGES(GDOM, 0, EVERYTHING | GN | S | PDE),
	};
	struct machine *m = &self->m;
	unsigned int i, page = PAGE_A;

	set_knobs(AMDM_KNOB_GN0_KEEPS);
	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		page = page == PAGE_A ? PAGE_B : PAGE_A;
		map_to(m->leaf, page);
		ASSERT_EQ(0, invalidate_cmd(m, cmds[i]));
		EXPECT_EQ(page, lands(m, NO_PASID, 0));
	}
	set_knobs(0);
}

/* A table of the guest goes: PDE */
TEST_F(amd, page_directories)
{
	struct machine *m = &self->m;
	volatile uint64_t *l2 = vm_page(&m->vm, T_ROOT + 2);
	uint64_t *leaf = build_tables(&m->vm, T_SPARE);

	map_to(leaf, PAGE_E);
	l2[WHERE >> 21 & 511] = IPA(T_SPARE + 3) | G_ENTRY;
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN | PDE)));
	EXPECT_EQ(PAGE_E, lands(m, NO_PASID, 0));
}

/* PASIDs of the guest's GCR3 table, of one, two and three levels */
TEST_F(amd, pasids)
{
	struct machine *m = &self->m;
	uint32_t deep[2];
	int i;

	ASSERT_TRUE(reg32(&m->dev, PEDU_CONFIG) & PEDU_HAS_PASID);
	EXPECT_EQ(PAGE_D, lands(m, PASID, 0));
	EXPECT_EQ(PAGE_A, lands(m, 0, 0));
	EXPECT_EQ(BLOCKED, lands(m, PASID + 1, 0));
	map_to(m->pasid_leaf, PAGE_E);
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, EVERYTHING | GN | S | PDE)));
	EXPECT_EQ(PAGE_D, lands(m, PASID, 0));
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, PASID, WHERE | GN)));
	EXPECT_EQ(PAGE_E, lands(m, PASID, 0));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	/* Another table for the PASID, then none */
	set_gcr3(m, T_GCR3, PASID, IPA(T_ROOT) | 1);
	EXPECT_EQ(PAGE_E, lands(m, PASID, 0));
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, PASID, EVERYTHING | GN | S | PDE)));
	EXPECT_EQ(PAGE_A, lands(m, PASID, 0));
	set_gcr3(m, T_GCR3, PASID, 0);
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, PASID, EVERYTHING | GN | S | PDE)));
	EXPECT_EQ(BLOCKED, lands(m, PASID, 0));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	set_gcr3(m, T_GCR3, PASID, IPA(T_PASID) | 1);

	set_gcr3(m, T_GCR3_L2, 0, IPA(T_GCR3) | 1);
	set_gcr3(m, T_GCR3_L2, 0x7f, IPA(T_GCR3) | 1);
	set_gcr3(m, T_GCR3_L3, 0, IPA(T_GCR3_L2) | 1);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, guest_alloc(m, OTHER_GDOM + i, T_GCR3_L2 + i,
					 GIOV | GLX(1 + i), &deep[i]));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, deep[i]));
		EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
		EXPECT_EQ(PAGE_E, lands(m, PASID, 0));
		EXPECT_EQ(PAGE_E, lands(m, 0x7f << 9 | PASID, 0));
		EXPECT_EQ(BLOCKED, lands(m, 0x7e << 9 | PASID, 0));
		map_to(m->pasid_leaf, PAGE_F);
		ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(OTHER_GDOM + i, 0x7f << 9 | PASID,
						       WHERE | GN)));
		EXPECT_EQ(PAGE_F, lands(m, 0x7f << 9 | PASID, 0));
		EXPECT_EQ(PAGE_E, lands(m, PASID, 0));
		map_to(m->pasid_leaf, PAGE_E);
	}
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, destroy(&m->vm, deep[i]));
}

/* Without GIOV the parent alone translates what has no PASID */
TEST_F(amd, no_giov)
{
	struct machine *m = &self->m;
	uint32_t id;

	ASSERT_EQ(0, guest_alloc(m, OTHER_GDOM, T_GCR3, 0, &id));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, id));
	EXPECT_EQ(PAGE_D, lands(m, PASID, 0));
	EXPECT_EQ(PAGE_B, lands_at(&m->dev, &m->vm, NO_PASID, 0, IPA(PAGE_B)));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(0, destroy(&m->vm, id));
}

/* A guest that uses ATS invalidates the device TLB itself, for another the kernel does */
TEST_F(ats, device_tlb)
{
	struct machine *m = &self->m;
	struct device *dev = &m->dev;
	uint32_t id;

	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, tlb_entries(dev));
	map_to(m->leaf, PAGE_B);
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0, count(AMDM_DEVICE_TLB_EARLY));

	/* I = 1 */
	ASSERT_EQ(0, dte_alloc(m, V | TV | GV | IR | IW | GIOV | gcr3_low(IPA(T_GCR3)),
			       OTHER_GDOM | ATS | gcr3_high(IPA(T_GCR3)), 0, 0, &id));
	ASSERT_EQ(0, edu_attach(&dev->edu, id));
	/* A new table takes the device TLB along */
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(OTHER_GDOM, 0, WHERE | GN)));
	EXPECT_EQ(1, tlb_entries(dev));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, 0, NOT_MAPPED)));
	EXPECT_EQ(1, tlb_entries(dev));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, 0, WHERE)));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, 0, EVERYTHING | S)));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(-EIO, invalidate_cmd(m, C_IOTLB(GDEV + 1, 0, WHERE)));
	EXPECT_EQ(0, count(AMDM_QUEUE_ID));

	/* PASIDs */
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(PAGE_D, lands(m, PASID, PEDU_MODE_ATS));
	EXPECT_EQ(2, tlb_entries(dev));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, PASID + 1, WHERE | GN)));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, PASID, NOT_MAPPED | GN)));
	EXPECT_EQ(2, tlb_entries(dev));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, PASID, WHERE | GN)));
	EXPECT_EQ(1, tlb_entries(dev));
	EXPECT_EQ(PAGE_D, lands(m, PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, PASID, EVERYTHING | GN | S)));
	EXPECT_EQ(1, tlb_entries(dev));
	EXPECT_EQ(PAGE_D, lands(m, PASID, PEDU_MODE_ATS));

	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, edu_attach(&dev->edu, m->bypass));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(PAGE_C, lands_at(dev, &m->vm, NO_PASID, PEDU_MODE_ATS, IPA(PAGE_C)));
	ASSERT_EQ(0, edu_attach(&dev->edu, m->nested));
	EXPECT_EQ(0, tlb_entries(dev));
	EXPECT_EQ(0, destroy(&m->vm, id));
}

/* Long batches; a bad one in them; those before it are complete */
TEST_F(amd, batch)
{
	static guest_cmd_t cmds[1000];
	const guest_cmd_t bad[] = {
		C_WAIT, GUEST_CMD(OP(0), 0), GUEST_CMD(OP(5) | GDEV, 0), GUEST_CMD(OP(7) | GDEV, 0),
		GUEST_CMD(OP(9), 0), GUEST_CMD(OP(10), 0), GUEST_CMD(OP(15), 0),
		GUEST_CMD(OP(2) | GDEV | BIT(16), 0), GUEST_CMD(OP(2) | GDEV, 1),
		GUEST_CMD(OP(3) | BIT(20), WHERE), GUEST_CMD(OP(3) | BIT(48), WHERE),
		C_PAGES(GDOM, 0, WHERE | BIT(3)), C_PAGES(GDOM, 0, WHERE | BIT(11)),
		/* PASmax is 15 */
		C_PAGES(GDOM, 0x10000, WHERE | GN),
		C_DTE(GDEV + 1), C_IOTLB(GDEV + 1, 0, WHERE), C_IOTLB(GDEV, 0, WHERE | BIT(1)),
		GUEST_CMD(OP(8) | 1, 0), GUEST_CMD(OP(8), 1),
	};
	struct machine *m = &self->m;
	unsigned int i, page = PAGE_A;
	uint32_t num;

	for (i = 0; i < 1000; i++)
		cmds[i] = C_PAGES(GDOM, 0, (WHERE + (i - 500) * 0x1000UL) | GN);
	num = 1000;
	map_to(m->leaf, PAGE_B);
	set_model(AMDM_RESET, 1);
	EXPECT_EQ(0, invalidate_cmds(m, cmds, &num));
	EXPECT_EQ(1000, num);
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	/* Not a wait each */
	EXPECT_LE(1000, model(AMDM_COMMANDS(3)));
	EXPECT_GE(20, model(AMDM_COMMANDS(1)));
	page = PAGE_B;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const guest_cmd_t saved = cmds[700];
		unsigned int next = page == PAGE_A ? PAGE_B : PAGE_A;

		/* Behind the page, then before it */
		cmds[700] = bad[i];
		map_to(m->leaf, next);
		num = 1000;
		EXPECT_EQ(-EIO, invalidate_cmds(m, cmds, &num)) {
			TH_LOG("command %u", i);
		}
		EXPECT_EQ(700, num);
		EXPECT_EQ(next, lands(m, NO_PASID, 0));
		cmds[700] = saved;
		page = next;

		cmds[499] = bad[i];
		map_to(m->leaf, page == PAGE_A ? PAGE_B : PAGE_A);
		num = 1000;
		EXPECT_EQ(-EIO, invalidate_cmds(m, cmds, &num));
		EXPECT_EQ(499, num);
		EXPECT_EQ(page, lands(m, NO_PASID, 0));
		cmds[499] = C_PAGES(GDOM, 0, (WHERE - 0x1000) | GN);
		map_to(m->leaf, page);
	}
}

/* A ring that stands, a device that does not answer: ETIMEDOUT, and nothing is lost */
TEST_F(amd, timeouts)
{
	const guest_cmd_t cmds[] = {
		C_PAGES(GDOM, 0, NOT_MAPPED | GN), C_PAGES(GDOM, 0, WHERE | GN),
	};
	struct machine *m = &self->m;
	uint32_t num = 2;

	map_to(m->leaf, PAGE_B);
	set_model(AMDM_INJECT, AMDM_INJECT_STALL | 3 << 8);
	EXPECT_EQ(-ETIMEDOUT, invalidate_cmds(m, cmds, &num));
	EXPECT_EQ(0, num);
	EXPECT_EQ(1, count(AMDM_STALLS));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	set_model(AMDM_INJECT, AMDM_INJECT_NONE);
	num = 2;
	EXPECT_EQ(0, invalidate_cmds(m, cmds, &num));
	EXPECT_EQ(2, num);
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	/* Here the timeout belongs in the log */
	EXPECT_EQ(0, kmsg_count(self->kmsg, "WARNING:|BUG:"));
}

TEST_F(ats, silent_device)
{
	const guest_cmd_t cmds[] = {
		C_PAGES(GDOM, 0, NOT_MAPPED | GN), C_PAGES(GDOM, 0, WHERE | GN),
	};
	struct machine *m = &self->m;
	uint32_t num = 2;

	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, PEDU_MODE_ATS));
	map_to(m->leaf, PAGE_B);
	set_knobs(AMDM_KNOB_HOLD);
	set32(&m->dev, PEDU_INV_MODE, PEDU_INV_SILENT);
	EXPECT_EQ(-ETIMEDOUT, invalidate_cmds(m, cmds, &num));
	EXPECT_EQ(0, num);
	set32(&m->dev, PEDU_INV_MODE, PEDU_INV_OBEY);
	/* The IOMMU gives up */
	set_knobs(0);
	EXPECT_LT(0, count(AMDM_TIMEOUTS));
	usleep(500000);
	EXPECT_LT(0, kmsg_count(self->kmsg, "IOTLB_INV_TIMEOUT"));
	num = 2;
	EXPECT_EQ(0, invalidate_cmds(m, cmds, &num));
	EXPECT_EQ(2, num);
	EXPECT_EQ(0, tlb_entries(&m->dev));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0, kmsg_count(self->kmsg, "WARNING:|BUG:"));
}

/* Each errno of the type */
TEST_F(amd, errnos)
{
	static const uint64_t bad[][4] = {
		{ 1ULL << 9 }, { 4ULL << 9 }, { BIT(2) }, { BIT(7) }, { BIT(12) }, { BIT(51) },
		{ BIT(52) }, { BIT(53) }, { GLX(3) }, { BIT(63) },
		{ 0, BIT(33) }, { 0, BIT(34) }, { 0, BIT(35) }, { 0, BIT(37) }, { 0, BIT(40) }, { 0, BIT(42) },
		{ 0, 0, BIT(52) }, { 0, 0, BIT(55) }, { 0, 0, 0, BIT(15) }, { 0, 0, 0, BIT(16) },
		{ 0, 0, 0, BIT(47) }, { 0, 0, 0, BIT(63) },
		/* Beyond the second stage */
		{ 0, 1ULL << 63 },
	};
	struct machine *m = &self->m;
	struct device *dev = &m->dev;
	struct vm *vm = &m->vm;
	uint32_t id, num = 0;
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT_EQ(-EIO, dte_alloc(m, (V | TV | GV | IR | IW | GIOV | gcr3_low(IPA(T_GCR3))) |
					  bad[i][0], GDOM | gcr3_high(IPA(T_GCR3)) | bad[i][1],
					  bad[i][2], bad[i][3], &id)) {
			TH_LOG("entry %u", i);
		}
	EXPECT_EQ(-EINVAL, iommufd_nested_alloc(vm->fd, dev->edu.id, vm->viommu, 0,
						IOMMU_HWPT_DATA_ARM_SMMUV3, &id,
						sizeof(id), &id));
	EXPECT_EQ(-EOPNOTSUPP, iommufd_nested_alloc(vm->fd, dev->edu.id, vm->viommu,
						    IOMMU_HWPT_FAULT_ID_VALID,
						    IOMMU_HWPT_DATA_AMD_GUEST, bad[0],
						    sizeof(bad[0]), &id));
	EXPECT_EQ(-EEXIST, iommufd_vdevice_alloc(vm->fd, vm->viommu, dev->edu.id,
						 GDEV + 1, &id));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->viommu));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->s2));
	ASSERT_EQ(0, edu_attach(&dev->edu, m->bypass));
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(-EINVAL, iommufd_vdevice_alloc(vm->fd, vm->viommu, dev->edu.id,
						 0x10000, &id));
	EXPECT_EQ(-ENOENT, edu_attach(&dev->edu, m->nested));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, dev->edu.id, GDEV,
					   &vm->vdevice));
	EXPECT_EQ(-EOPNOTSUPP, iommufd_viommu_alloc(vm->fd, dev->edu.id, vm->s2,
						    IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
						    NULL, 0, &id));
	EXPECT_EQ(-EOPNOTSUPP, iommufd_veventq_alloc(vm->fd, vm->viommu,
						     IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
						     8, &id, &fd));
	/* The probe for a type of data */
	EXPECT_EQ(0, invalidate_cmds(m, NULL, &num));
	EXPECT_EQ(-EINVAL, iommufd_invalidate(vm->fd, vm->viommu,
					      IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
					      NULL, 16, &num));
}

#define PPR_USER_RW		(0x64ULL << 48)
#define INVALID_REQUEST		1
#define RESPONSE_FAILURE	0xf

struct record {
	struct iommufd_vevent_header header;
	uint64_t evt[2];
};

static int next_record(int fd, struct record *record)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };

	memset(record, 0xee, sizeof(*record));
	poll(&in, 1, 20000);
	return read(fd, record, sizeof(*record));
}

/* 4 bytes: QEMU splits what is blocked into as many, and each has an event */
#define EXPECT_FAULTS(fd, m, pasid, iova, type_, flags_, id_, addr_) ({		\
	struct record record_;							\
	EXPECT_EQ(PEDU_ERR_BLOCKED, write_at(&(m)->dev, pasid, 0, iova, 1, 4));	\
	ASSERT_EQ(sizeof(record_), next_record(fd, &record_));			\
	EXPECT_EQ(0, record_.header.flags);					\
	EXPECT_EQ(sequence++, record_.header.sequence);				\
	EXPECT_EQ(GDEV, record_.evt[0] & 0xffff);				\
	EXPECT_EQ(type_, record_.evt[0] >> 60);					\
	EXPECT_EQ(flags_, record_.evt[0] >> 48 & 0xfff);			\
	EXPECT_EQ(id_, (record_.evt[0] >> 32 & 0xffff) | (record_.evt[0] & 0xf0000)); \
	EXPECT_EQ(addr_, record_.evt[1]);					\
})

/* The host's messages are limited to ten in five seconds, so it may take some faults */
static int logged(struct machine *m, int kmsg, uint64_t iova)
{
	int i;

	for (i = 0; i < 200; i++) {
		uint32_t code = write_at(&m->dev, NO_PASID, 0, iova, 1, 4);

		if (code != PEDU_ERR_BLOCKED)
			return -100 - (int)code;
		usleep(50000);
		if (kmsg_count(kmsg, "IO_PAGE_FAULT") > 0)
			return 0;
	}
	return -ETIME;
}

/* Faults of what the guest translates are the guest's, with its DeviceID and DomainID */
TEST_F(amd, events)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;
	const int kmsg = kmsg_open();
	unsigned int sequence = 0;
	struct record record;
	uint32_t id;
	int fd, i;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, iommufd_veventq_alloc(vm->fd, vm->viommu, IOMMU_VEVENTQ_TYPE_AMD,
					   16, &id, &fd));
	for (i = 0; i < 5; i++)
		EXPECT_FAULTS(fd, m, NO_PASID, NOT_MAPPED + 0x10 * i, EVENT_PAGE_FAULT, F_GN | F_RW,
			      0, NOT_MAPPED + 0x10 * i);
	EXPECT_FAULTS(fd, m, PASID, NOT_MAPPED, EVENT_PAGE_FAULT, F_GN | F_RW, PASID, NOT_MAPPED);
	EXPECT_FAULTS(fd, m, PASID + 1, WHERE, EVENT_PAGE_FAULT, F_GN | F_RW, PASID + 1, WHERE);
	/* Where events have the DomainID: the guest's */
	set_knobs(AMDM_KNOB_EVENT_DOMAIN);
	EXPECT_FAULTS(fd, m, NO_PASID, NOT_MAPPED, EVENT_PAGE_FAULT, F_RW, GDOM, NOT_MAPPED);
	set_knobs(0);
	/* A page that the guest has not */
	*(volatile uint64_t *)m->leaf = 0x7000000 | G_ENTRY | G_DIRTY;
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_FAULTS(fd, m, NO_PASID, WHERE + 8, EVENT_PAGE_FAULT, F_RW, GDOM, 0x7000008);
	EXPECT_EQ(0, kmsg_count(kmsg, "Event logged"));

	/* What the parent alone translates is the host's */
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->bypass));
	EXPECT_EQ(0, logged(m, kmsg, WHERE));
	EXPECT_EQ(0, read(fd, &record, sizeof(record)));

	/* So is everything without a queue */
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	close(fd);
	ASSERT_EQ(0, destroy(vm, id));
	EXPECT_EQ(0, logged(m, kmsg, NOT_MAPPED));
	close(kmsg);
}

/*
 * Make a page request of the device, which is the last one of its group. Returns the
 * status that it is answered with, or -ETIME.
 */
static int page_request(struct machine *m, unsigned int pasid, unsigned int tag)
{
	const uint64_t gn = pasid == NO_PASID ? 0 : BIT(56) | pasid << 16;
	volatile uint8_t *regs = model_map();
	unsigned int bus, slot, function, i, n;
	uint64_t rid;

	if (sscanf(m->dev.edu.bdf, "%*x:%x:%x.%x", &bus, &slot, &function) != 3)
		return -EINVAL;
	rid = bus << 8 | slot << 3 | function;
	*(volatile uint64_t *)(regs + AMDM_PPR_ADDR) = WHERE;
	*(volatile uint64_t *)(regs + AMDM_PPR) =
		AMDM_PPR_LAST | PPR_USER_RW | gn | (uint64_t)tag << 32 | rid;
	for (i = 0; i < 1000 && count(AMDM_PPRS_PENDING); i++)
		usleep(10000);
	for (n = model(AMDM_LOG_COUNT); n--;) {
		volatile uint64_t *cmd = (volatile uint64_t *)
			(regs + AMDM_LOG(n % AMDM_LOG_ENTRIES));

		if (cmd[0] >> 60 == 7 && (cmd[0] & 0xffff) == rid &&
		    (cmd[1] >> 32 & 0x1ff) == tag)
			return cmd[1] >> 44;
	}
	return -ETIME;
}

/*
 * A guest gets no page requests. Those of a device make an event of the host, which the
 * kernel answers with Response Failure.
 */
TEST_F(amd, page_requests)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;
	const uint32_t hwpts[] = { m->nested, m->bypass, m->blocked };
	const int kmsg = kmsg_open();
	struct record record;
	uint32_t id;
	int fd, i;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, iommufd_veventq_alloc(vm->fd, vm->viommu, IOMMU_VEVENTQ_TYPE_AMD,
					   16, &id, &fd));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, edu_attach(&m->dev.edu, hwpts[i]));
		EXPECT_EQ(RESPONSE_FAILURE, page_request(m, PASID, 0x101 + i));
		EXPECT_EQ(i + 1, count(AMDM_PPRS_INVALID));
		EXPECT_EQ(i + 1, model(AMDM_COMMANDS(7)));
	}
	EXPECT_EQ(0, count(AMDM_PPR_UNKNOWN));
	EXPECT_EQ(0, count(AMDM_PPRS));
	EXPECT_NE(0, kmsg_count(kmsg, "INVALID_PPR_REQUEST.*pasid=0x00005"));
	EXPECT_EQ(0, read(fd, &record, sizeof(record)));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	close(fd);
	close(kmsg);
	ASSERT_EQ(0, destroy(vm, id));
}

/*
 * A device that may send page requests, with a v2 table of the host: its requests get
 * into the log, and the kernel answers them. No HWPT has a fault object.
 */
TEST_F(ats, host_page_requests)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;
	uint32_t hwpt;
	int i;

	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(vm, &m->dev.edu, vm->ioas,
					  IOMMU_HWPT_FAULT_ID_VALID, &hwpt));
	EXPECT_EQ(-EOPNOTSUPP, hwpt_alloc(vm, &m->dev.edu, vm->ioas, IOMMU_HWPT_ALLOC_PASID |
					  IOMMU_HWPT_FAULT_ID_VALID, &hwpt));
	ASSERT_EQ(0, hwpt_alloc(vm, &m->dev.edu, vm->ioas, IOMMU_HWPT_ALLOC_PASID, &hwpt));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, hwpt));
	/* More than the log has places for */
	for (i = 0; i < 600; i++)
		ASSERT_EQ(i & 1 ? INVALID_REQUEST : RESPONSE_FAILURE,
			  page_request(m, i & 1 ? PASID : NO_PASID, i & 0x1ff));
	EXPECT_EQ(600, count(AMDM_PPRS));
	EXPECT_EQ(0, count(AMDM_PPRS_INVALID));
	EXPECT_EQ(0, count(AMDM_PPR_UNKNOWN));

	/* Nested again, the host does not expect any */
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(RESPONSE_FAILURE, page_request(m, PASID, 3));
	EXPECT_EQ(1, count(AMDM_PPRS_INVALID));
	EXPECT_EQ(600, count(AMDM_PPRS));
	EXPECT_EQ(0, destroy(vm, hwpt));
}

/* Unmapping of the second stage reaches what is nested on it */
TEST_F(amd, second_stage)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;

	ASSERT_EQ(0, ioas_map(vm, PAGE_B, 1, SPARE_IPA));
	*(volatile uint64_t *)m->leaf = SPARE_IPA | G_ENTRY | G_DIRTY;
	*(volatile uint64_t *)m->pasid_leaf = SPARE_IPA | G_ENTRY | G_DIRTY;
	ASSERT_EQ(0, invalidate_cmd(m, C_ALL));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	EXPECT_EQ(PAGE_B, lands(m, PASID, 0));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
	EXPECT_EQ(BLOCKED, lands(m, PASID, 0));
	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	EXPECT_EQ(PAGE_C, lands(m, NO_PASID, 0));
	EXPECT_EQ(PAGE_C, lands(m, PASID, 0));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	/* While the parent alone translates, then nested again */
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->bypass));
	ASSERT_EQ(0, ioas_map(vm, PAGE_D, 1, SPARE_IPA));
	EXPECT_EQ(PAGE_D, lands_at(&m->dev, vm, NO_PASID, 0, SPARE_IPA));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(BLOCKED, lands_at(&m->dev, vm, NO_PASID, 0, SPARE_IPA));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
}

/* And the device TLB, whoever invalidates it otherwise */
TEST_F(ats, second_stage)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;
	uint32_t id[2];
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, dte_alloc(m, V | TV | GV | IR | IW | GIOV | gcr3_low(IPA(T_GCR3)),
				       OTHER_GDOM | (i ? ATS : 0) | gcr3_high(IPA(T_GCR3)),
				       0, 0, &id[i]));
		ASSERT_EQ(0, ioas_map(vm, PAGE_B, 1, SPARE_IPA));
		*(volatile uint64_t *)m->leaf = SPARE_IPA | G_ENTRY | G_DIRTY;
		ASSERT_EQ(0, edu_attach(&m->dev.edu, id[i]));
		EXPECT_EQ(PAGE_B, lands(m, NO_PASID, PEDU_MODE_ATS));
		*(volatile uint64_t *)m->pasid_leaf = SPARE_IPA | G_ENTRY | G_DIRTY;
		ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(OTHER_GDOM, PASID, WHERE | GN)));
		ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, PASID, WHERE | GN)));
		EXPECT_EQ(PAGE_B, lands(m, PASID, PEDU_MODE_ATS));
		EXPECT_EQ(2, tlb_entries(&m->dev));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(0, tlb_entries(&m->dev));
		EXPECT_EQ(-100 - PEDU_ERR_ATS_NONE, lands(m, NO_PASID, PEDU_MODE_ATS));
		EXPECT_EQ(-100 - PEDU_ERR_ATS_NONE, lands(m, PASID, PEDU_MODE_ATS));
		EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->bypass));
		ASSERT_EQ(0, destroy(vm, id[i]));
	}
	EXPECT_EQ(0, count(AMDM_DEVICE_TLB_EARLY));
	map_to(m->leaf, PAGE_A);
}

/* A v2 table of the host: the device knows requests of GIOV as ones without PASID */
TEST_F(ats, host_v2_table)
{
	const unsigned int pasids[] = { NO_PASID, 0 };
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;
	uint32_t hwpt;
	int i;

	ASSERT_EQ(0, hwpt_alloc(vm, &m->dev.edu, vm->ioas, IOMMU_HWPT_ALLOC_PASID, &hwpt));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, hwpt));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ioas_map(vm, PAGE_B, 1, SPARE_IPA));
		EXPECT_EQ(PAGE_B, lands_at(&m->dev, vm, pasids[i], PEDU_MODE_ATS, SPARE_IPA));
		EXPECT_EQ(1, tlb_entries(&m->dev));
		ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
		EXPECT_EQ(0, tlb_entries(&m->dev));
		EXPECT_EQ(-100 - PEDU_ERR_ATS_NONE,
			  lands_at(&m->dev, vm, pasids[i], PEDU_MODE_ATS, SPARE_IPA));
	}
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(0, destroy(vm, hwpt));
}

/* A device that breaks the rules of ATS does not fill the host's log */
TEST_F(ats, log_limit)
{
	struct machine *m = &self->m;
	const int kmsg = kmsg_open();
	unsigned int i, messages;

	ASSERT_LE(0, kmsg);
	/* What it has translated before does not pass either */
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->blocked));
	set_model(AMDM_RESET, 1);
	for (i = 0; i < 100; i++)
		EXPECT_EQ(PEDU_ERR_BLOCKED,
			  write_at(&m->dev, NO_PASID, PEDU_MODE_RAW, WHERE, 1, 4));
	usleep(500000);
	EXPECT_LE(100, count(AMDM_EVENTS));
	messages = kmsg_count(kmsg, "INVALID_DEVICE_REQUEST");
	EXPECT_LT(0, messages);
	EXPECT_GE(30, messages);
	close(kmsg);
}

/* A DomainID of the guest with several HWPTs, and one that comes again for another table */
TEST_F(amd, domain_ids)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;
	uint32_t same, other, id;
	int round;

	/* The same table under the same ID: what one cached serves the other */
	ASSERT_EQ(0, guest_alloc(m, GDOM, T_GCR3, GIOV, &same));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, same));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	map_to(m->leaf, PAGE_B);
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	ASSERT_EQ(0, destroy(vm, same));

	/* An ID without HWPTs is forgotten, and its entries with it */
	set_gcr3(m, T_GCR3_SPARE, 0, IPA(T_PASID) | 1);
	for (round = 0; round < 10; round++) {
		ASSERT_EQ(0, guest_alloc(m, OTHER_GDOM, T_GCR3, GIOV, &other));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, other));
		EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
		ASSERT_EQ(0, destroy(vm, other));
		/* The host's ID may be the one of before */
		ASSERT_EQ(0, guest_alloc(m, OTHER_GDOM + round, T_GCR3_SPARE, GIOV, &id));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, id));
		EXPECT_EQ(PAGE_D, lands(m, NO_PASID, 0));
		ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
		ASSERT_EQ(0, destroy(vm, id));
	}
}

/* Nothing of a VM is left for the next one, however its device left the parent */
TEST_F(amd, next_vm)
{
	enum { FROM_BYPASS, FROM_PARENT, OVER_NESTED, OVER_BLOCKED };
	int how;

	for (how = FROM_BYPASS; how <= OVER_BLOCKED; how++) {
		struct machine n;

		ASSERT_EQ(0, machine_build(&n, WITH_ATS, 0));
		ASSERT_EQ(0, edu_attach(&n.dev.edu, how == FROM_PARENT ? n.vm.s2 : n.bypass));
		EXPECT_EQ(PAGE_C, lands_at(&n.dev, &n.vm, NO_PASID, 0, IPA(PAGE_C))) {
			TH_LOG("round %d", how);
		}
		if (how == OVER_NESTED)
			ASSERT_EQ(0, edu_attach(&n.dev.edu, n.nested));
		if (how == OVER_BLOCKED)
			ASSERT_EQ(0, edu_attach(&n.dev.edu, n.blocked));
		ASSERT_EQ(0, machine_destroy(&n));

		ASSERT_EQ(0, machine_build(&n, WITH_ATS, 0));
		ASSERT_EQ(0, edu_attach(&n.dev.edu, n.bypass));
		EXPECT_EQ(PAGE_C, lands_at(&n.dev, &n.vm, NO_PASID, 0, IPA(PAGE_C))) {
			TH_LOG("after round %d", how);
		}
		ASSERT_EQ(0, machine_destroy(&n));
	}
}

/* Two VMs whose DeviceIDs and DomainIDs are equal do not see each other's commands */
TEST_F(amd, two_vms)
{
	struct machine *m = &self->m, n;

	ASSERT_EQ(0, machine_build(&n, WITH_ATS, 0));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
	map_to(m->leaf, PAGE_B);
	map_to(n.leaf, PAGE_C);
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, EVERYTHING | S | PDE)));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	/* A kernel that has to flush everything does so for all */
	EXPECT_EQ(strict() ? PAGE_C : PAGE_A, lands(&n, NO_PASID, 0));
	map_to(m->leaf, PAGE_D);
	ASSERT_EQ(0, invalidate_cmd(m, C_ALL));
	EXPECT_EQ(PAGE_D, lands(m, NO_PASID, 0));
	EXPECT_EQ(strict() ? PAGE_C : PAGE_A, lands(&n, NO_PASID, 0));
	ASSERT_EQ(0, invalidate_cmd(&n, C_PAGES(GDOM, 0, WHERE | GN)));
	EXPECT_EQ(PAGE_C, lands(&n, NO_PASID, 0));
	EXPECT_EQ(PAGE_D, lands(m, NO_PASID, 0));
	/* A device TLB too */
	EXPECT_EQ(PAGE_C, lands(&n, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, invalidate_cmd(m, C_IOTLB(GDEV, 0, EVERYTHING | S)));
	ASSERT_EQ(0, invalidate_cmd(m, C_PAGES(GDOM, 0, EVERYTHING | S | GN | PDE)));
	EXPECT_EQ(1, tlb_entries(&n.dev));
	ASSERT_EQ(0, invalidate_cmd(&n, C_IOTLB(GDEV, 0, EVERYTHING | S)));
	EXPECT_EQ(0, tlb_entries(&n.dev));
	ASSERT_EQ(0, machine_destroy(&n));
	EXPECT_EQ(PAGE_D, lands(m, NO_PASID, 0));
}

/* Two vIOMMUs on one parent, and the parent itself: a change of it reaches all */
TEST_F(amd, one_parent)
{
	struct machine *m = &self->m, n = { .vm = m->vm };
	struct vm *vm = &m->vm;

	ASSERT_EQ(0, device_open(&n.dev, WITH_ATS, vm->fd));
	ASSERT_EQ(0, iommufd_viommu_alloc(vm->fd, n.dev.edu.id, vm->s2,
					  IOMMU_VIOMMU_TYPE_AMD, NULL, 0, &n.vm.viommu));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, n.vm.viommu, n.dev.edu.id, GDEV,
					   &n.vm.vdevice));
	ASSERT_EQ(0, guest_alloc(&n, GDOM, T_GCR3, GIOV, &n.nested));
	ASSERT_EQ(0, edu_attach(&n.dev.edu, n.nested));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));

	/* A DomainID of the one is none of the other */
	map_to(m->leaf, PAGE_B);
	ASSERT_EQ(0, invalidate_cmd(m, C_ALL));
	EXPECT_EQ(PAGE_B, lands(m, NO_PASID, 0));
	EXPECT_EQ(strict() ? PAGE_B : PAGE_A, lands(&n, NO_PASID, 0));
	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	*(volatile uint64_t *)m->leaf = SPARE_IPA | G_ENTRY | G_DIRTY;
	ASSERT_EQ(0, invalidate_cmd(m, C_ALL));
	ASSERT_EQ(0, invalidate_cmd(&n, C_ALL));
	EXPECT_EQ(PAGE_C, lands(m, NO_PASID, 0));
	EXPECT_EQ(PAGE_C, lands(&n, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
	EXPECT_EQ(BLOCKED, lands(&n, NO_PASID, 0));
	EXPECT_EQ(0, tlb_entries(&n.dev));

	ASSERT_EQ(0, edu_attach(&n.dev.edu, vm->s2));
	ASSERT_EQ(0, ioas_map(vm, PAGE_D, 1, SPARE_IPA));
	EXPECT_EQ(PAGE_D, lands(m, NO_PASID, 0));
	EXPECT_EQ(PAGE_D, lands_at(&n.dev, vm, NO_PASID, PEDU_MODE_ATS, SPARE_IPA));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
	EXPECT_EQ(0, tlb_entries(&n.dev));
	EXPECT_EQ(BLOCKED, lands_at(&n.dev, vm, NO_PASID, 0, SPARE_IPA));

	ASSERT_EQ(0, edu_detach(&n.dev.edu));
	EXPECT_EQ(0, destroy(vm, n.nested));
	EXPECT_EQ(0, destroy(vm, n.vm.vdevice));
	EXPECT_EQ(0, destroy(vm, n.vm.viommu));
	device_close(&n.dev);
}

static int set_tracking(struct vm *vm, bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = {
		.size = sizeof(cmd),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = vm->s2,
	};

	return xioctl(vm->fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

/* Whether the page is dirty, which is then cleared, or a negative errno */
static int page_dirty(struct vm *vm, unsigned int page)
{
	uint64_t bitmap = 0;
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = vm->s2,
		.iova = IPA(page),
		.length = PAGE_SIZE,
		.page_size = PAGE_SIZE,
		.data = (uintptr_t)&bitmap,
	};
	int rc = xioctl(vm->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);

	return rc ? rc : bitmap & 1;
}

/* Dirty tracking of the parent, with a second device and its nested table */
TEST_F(amd, dirty_tracking)
{
	struct machine n;

	ASSERT_EQ(0, machine_build(&n, WITH_ATS, IOMMU_HWPT_ALLOC_DIRTY_TRACKING));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	ASSERT_EQ(0, set_tracking(&n.vm, true));
	/* The entry is still a nested one */
	EXPECT_EQ(BLOCKED, lands_at(&n.dev, &n.vm, NO_PASID, 0, IPA(PAGE_B)));
	EXPECT_EQ(0, page_dirty(&n.vm, PAGE_A));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	EXPECT_EQ(1, page_dirty(&n.vm, PAGE_A));
	EXPECT_EQ(0, page_dirty(&n.vm, PAGE_A));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	EXPECT_EQ(1, page_dirty(&n.vm, PAGE_A));
	/* Attached while it is on */
	ASSERT_EQ(0, edu_attach(&n.dev.edu, n.bypass));
	EXPECT_EQ(PAGE_C, lands_at(&n.dev, &n.vm, NO_PASID, 0, IPA(PAGE_C)));
	EXPECT_EQ(1, page_dirty(&n.vm, PAGE_C));
	ASSERT_EQ(0, edu_attach(&n.dev.edu, n.nested));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	EXPECT_EQ(1, page_dirty(&n.vm, PAGE_A));
	ASSERT_EQ(0, set_tracking(&n.vm, false));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	ASSERT_EQ(0, machine_destroy(&n));
}

/* No DMA fails or is translated by the old table when a table is replaced */
TEST_F(amd, replace_under_dma)
{
	static const uint32_t knobs[] = { 0, AMDM_KNOB_NO_DTE_CACHE };
	struct machine *m = &self->m;
	struct device *dev = &m->dev;
	uint32_t before, old = m->nested, new;
	int round, i;

	for (i = 0; i < 2; i++) {
		set_knobs(knobs[i]);
		set64(dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE);
		set32(dev, PEDU_CH(1) + PEDU_CH_BUFFER, 64);
		set32(dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
		set32(dev, PEDU_CH(1) + PEDU_CH_PASID, 0);
		set32(dev, PEDU_CH(1) + PEDU_CH_MODE, 0);
		set32(dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
		set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
						     PEDU_CMD_REPEAT);
		for (round = 0; round < 1000; round++) {
			ASSERT_EQ(0, guest_alloc(m, GDOM + (round & 1), T_GCR3, GIOV, &new));
			ASSERT_EQ(0, edu_attach(&dev->edu, new));
			ASSERT_EQ(0, destroy(&m->vm, old));
			old = new;
			m->nested = new;
			if (round % 100)
				continue;
			before = reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS);
			while (reg32(dev, PEDU_CH(1) + PEDU_CH_ROUNDS) - before < 3)
				ASSERT_TRUE(reg32(dev, PEDU_CH(1) + PEDU_CH_STATUS) &
					    PEDU_STATUS_BUSY);
		}
		EXPECT_EQ(0, reg32(dev, PEDU_CH(1) + PEDU_CH_ERRORS));
		set32(dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_STOP);
	}
}

/* The device's file closes with all attached; the virtual device goes with it */
TEST_F(amd, closes)
{
	struct machine *m = &self->m;
	struct vm *vm = &m->vm;

	device_close(&m->dev);
	EXPECT_EQ(-ENOENT, destroy(vm, vm->vdevice));
	ASSERT_EQ(0, device_open(&m->dev, WITHOUT_ATS, vm->fd));
	EXPECT_EQ(BLOCKED, lands(m, NO_PASID, 0));
	EXPECT_EQ(-ENOENT, edu_attach(&m->dev.edu, m->nested));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->bypass));
	ASSERT_EQ(0, iommufd_vdevice_alloc(vm->fd, vm->viommu, m->dev.edu.id, GDEV,
					   &vm->vdevice));
	ASSERT_EQ(0, edu_attach(&m->dev.edu, m->nested));
	EXPECT_EQ(PAGE_A, lands(m, NO_PASID, 0));
}

/* A process dies while its device writes through both stages */
TEST_F(amd, dies)
{
	struct machine n;
	int ready[2], status;
	pid_t child;
	char c = 0;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (machine_build(&n, WITH_ATS, 0))
			_exit(1);
		set64(&n.dev, PEDU_CH(1) + PEDU_CH_ADDR, WHERE);
		set32(&n.dev, PEDU_CH(1) + PEDU_CH_LENGTH, 8);
		set32(&n.dev, PEDU_CH(1) + PEDU_CH_PASID, 0);
		set32(&n.dev, PEDU_CH(1) + PEDU_CH_MODE, PEDU_MODE_ATS);
		set32(&n.dev, PEDU_CH(1) + PEDU_CH_DELAY, 20);
		set32(&n.dev, PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_TO_MEMORY |
							PEDU_CMD_REPEAT | PEDU_CMD_ENDURE);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	usleep(100000);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	close(ready[0]);
	close(ready[1]);

	ASSERT_EQ(0, machine_build(&n, WITH_ATS, 0));
	EXPECT_EQ(0, tlb_entries(&n.dev));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(PAGE_A, lands(&self->m, NO_PASID, 0));
	ASSERT_EQ(0, machine_destroy(&n));
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static void *unplug(void *bdf)
{
	char path[100];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", (char *)bdf);
	return (void *)(long)write_file(path, "1");
}

/* The device is unplugged while it is nested */
TEST_F(amd, unplugs)
{
	struct machine n;
	char path[100];
	pthread_t thread;
	void *rc;

	ASSERT_EQ(0, machine_build(&n, WITH_ATS, 0));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, PEDU_MODE_ATS));
	ASSERT_EQ(0, pthread_create(&thread, NULL, unplug, n.dev.edu.bdf));
	/* It waits for the file */
	usleep(200000);
	device_close(&n.dev);
	ASSERT_EQ(0, pthread_join(thread, &rc));
	EXPECT_EQ(NULL, rc);
	EXPECT_EQ(-EIO, invalidate_cmd(&n, C_IOTLB(GDEV, 0, WHERE)));
	EXPECT_EQ(0, invalidate_cmd(&n, C_ALL));
	EXPECT_EQ(-ENOENT, destroy(&n.vm, n.vm.vdevice));
	EXPECT_EQ(0, destroy(&n.vm, n.nested));
	EXPECT_EQ(0, destroy(&n.vm, n.bypass));
	EXPECT_EQ(0, destroy(&n.vm, n.blocked));
	EXPECT_EQ(0, destroy(&n.vm, n.vm.viommu));
	EXPECT_EQ(0, destroy(&n.vm, n.vm.s2));
	close(n.vm.fd);
	munmap(n.vm.mem, GUEST_PAGES * PAGE_SIZE);

	/* It comes back */
	ASSERT_EQ(0, write_file("/sys/bus/pci/rescan", "1"));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", n.dev.edu.bdf);
	ASSERT_EQ(0, write_file(path, "vfio-pci"));
	ASSERT_EQ(0, write_file("/sys/bus/pci/drivers_probe", n.dev.edu.bdf));
	ASSERT_EQ(0, machine_build(&n, WITH_ATS, 0));
	EXPECT_EQ(PAGE_A, lands(&n, NO_PASID, 0));
	ASSERT_EQ(0, machine_destroy(&n));
}

/* An IOMMU nests only with GTSup, GIOSup and GCR3TRPModeSup */
TEST(nests)
{
	struct iommu_hw_info_amd info = { };
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.data_len = sizeof(info),
		.data_uptr = (uintptr_t)&info,
	};
	struct device dev;
	struct edu none;
	struct vm vm;
	bool nests;

	ASSERT_EQ(0, vm_build(&vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&dev, 0, vm.fd));
	cmd.dev_id = dev.edu.id;
	ASSERT_EQ(0, xioctl(vm.fd, IOMMU_GET_HW_INFO, &cmd));
	ASSERT_EQ(IOMMU_HW_INFO_TYPE_AMD, cmd.out_data_type);
	nests = (info.efr & BIT(4)) && (info.efr & BIT(48)) && (info.efr2 & BIT(3));
	TH_LOG("EFR %#llx, EFR2 %#llx", info.efr, info.efr2);
	EXPECT_EQ(nests ? 0 : -EOPNOTSUPP,
		  hwpt_alloc(&vm, &dev.edu, vm.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &vm.s2));
	/* A paging domain is there in any case */
	ASSERT_EQ(0, hwpt_alloc(&vm, &dev.edu, vm.ioas, 0, &vm.s2));
	ASSERT_EQ(0, edu_attach(&dev.edu, vm.s2));
	EXPECT_EQ(PAGE_C, lands_at(&dev, &vm, NO_PASID, 0, IPA(PAGE_C)));
	device_close(&dev);
	close(vm.fd);
}

TEST_HARNESS_MAIN
