// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of amd-iommu with accel=on in amd-accel.c, as far as they need no host: its
 * registers, the command buffer, the event log, and what an emulated device reads through
 * the guest's page tables. The program starts QEMU with its qtest interface, writes the
 * tables into the machine's memory and drives the DMA engine of edu.
 *
 *	QEMU=PROGRAM FIRMWARE=DIRECTORY test-accel
 *
 * Each page of data holds its own address, so a read tells which page it reached.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"

#define BIT(n)		(1ULL << (n))

/* The machine's memory */
#define DEVICES		0x100000	/* the device table, of 512 entries */
#define RING		0x110000	/* 256 commands */
#define RING_SIZE	0x1000
#define LOG		0x114000	/* 256 events */
#define LOG_SIZE	0x1000
#define STATUS		0x118000
#define RESULT		0x119000
#define TABLES		0x200000
#define DATA		0x1000000
#define PAGE(n)		(DATA + 0x1000ULL * (n))
#define BIG		0x4000000	/* of 2 MiB */

#define IOMMU		0xfed80000
#define CONTROL		0x18
#define EFR		0x30
#define EFR2		0x1a0
#define COMMAND_HEAD	0x2000
#define COMMAND_TAIL	0x2008
#define EVENT_HEAD	0x2010
#define EVENT_TAIL	0x2018
#define IOMMU_STATUS	0x2020
#define ENABLE		(BIT(0) | BIT(2) | BIT(12) | BIT(16))
#define COMMANDS	BIT(12)
#define OVERFLOW	BIT(0)
#define EVENT_RUN	BIT(3)
#define COMMAND_RUN	BIT(4)

#define BAR		0xe0000000
#define SID		0x0010		/* 00:02.0 */
#define IOMMU_SID	0x0008		/* 00:01.0 */

/* DTE */
#define V		BIT(0)
#define TV		BIT(1)
#define MODE(n)		((uint64_t)(n) << 9)
#define GIOV		BIT(54)
#define GV		BIT(55)
#define GLX(n)		((uint64_t)(n) << 56)
#define IR		BIT(61)
#define IW		BIT(62)
#define LEVEL5		BIT(54)		/* quadword 2 */

/* Page tables */
#define P		BIT(0)
#define W		BIT(1)
#define U		BIT(2)
#define LARGE		BIT(7)

/* Events */
#define ILLEGAL_DTE	1
#define PAGE_FAULT	2
#define ILLEGAL_COMMAND	5
#define F_RW		0x020

/* Commands */
#define OP(n)		((uint64_t)(n) << 60)

/* What QEMU lets a device read where it may not */
#define NOTHING		0
#define STALE		0xdeaddead

FIXTURE(accel)
{
	pid_t qemu;
	FILE *in;
	FILE *out;
	uint64_t next_table;
	unsigned int tail;
	unsigned int event_head;
};

typedef FIXTURE_DATA(accel) Machine;

#include "test-qtest.h"

static uint32_t config(Machine *m, uint16_t sid, unsigned int reg)
{
	ask(m, "outl 0xcf8 0x%x", 0x80000000 | sid << 8 | reg);
	return ask(m, "inl 0xcfc");
}

static void set_config(Machine *m, uint16_t sid, unsigned int reg, uint32_t value)
{
	ask(m, "outl 0xcf8 0x%x", 0x80000000 | sid << 8 | reg);
	ask(m, "outl 0xcfc 0x%x", value);
}

static void set_dte(Machine *m, uint64_t q0, uint64_t q1, uint64_t q2)
{
	uint64_t at = DEVICES + 32 * SID;

	put64(m, at + 8, q1);
	put64(m, at + 16, q2);
	put64(m, at, q0);
}

/* A DTE with @levels of GCR3 tables, whose entry for PASID 0 is @root */
static void set_guest(Machine *m, uint64_t root, int levels, uint64_t q0, uint16_t domain, uint64_t q2)
{
	uint64_t gcr3 = root;
	int i;

	for (i = 0; i < levels; i++) {
		uint64_t table = new_table(m);

		put64(m, table, gcr3 | P);
		gcr3 = table;
	}
	set_dte(m, V | TV | GV | GLX(levels - 1) | q0 | (gcr3 >> 12 & 7) << 58,
		domain | (gcr3 >> 15 & 0xffff) << 16 | (gcr3 >> 31) << 43, q2);
}

/* The entry of @level for @addr, with the tables above it, below @root of @levels */
static uint64_t entry(Machine *m, uint64_t root, int levels, uint64_t addr, int level)
{
	uint64_t at, table;

	for (; ; levels--) {
		at = root + 8 * (addr >> (12 + 9 * (levels - 1)) & 0x1ff);
		if (levels == level)
			return at;
		table = get64(m, at) & ~0xfffULL;
		if (!table) {
			table = new_table(m);
			put64(m, at, table | P | W | U);
		}
		root = table;
	}
}

static void map(Machine *m, uint64_t root, int levels, uint64_t addr, uint64_t to)
{
	put64(m, entry(m, root, levels, addr, 1), to);
}

/* The edu waits before its DMA */
static void dma(Machine *m, uint64_t from, uint64_t to, uint64_t command)
{
	put64(m, BAR + 0x80, from);
	put64(m, BAR + 0x88, to);
	put64(m, BAR + 0x90, 4);
	put64(m, BAR + 0x98, command);
	ask(m, "clock_step 1000000000");
}

/*
 * What the device reads there, or NOTHING, or STALE if it does no read. Its buffer is
 * written and read back while its requests pass. 4 bytes: QEMU splits what is blocked
 * into as many.
 */
static uint32_t look(Machine *m, uint64_t iova)
{
	uint64_t at = DEVICES + 32 * SID, q0 = get64(m, at);

	put64(m, at, 0);
	put32(m, RESULT, STALE);
	dma(m, RESULT, 0x40000, 1);
	put64(m, at, q0);
	dma(m, iova, 0x40000, 1);
	put64(m, at, 0);
	dma(m, 0x40000, RESULT, 3);
	put64(m, at, q0);
	return get32(m, RESULT);
}

/* The device writes what it has read from RESULT */
static void store(Machine *m, uint64_t iova, uint32_t value)
{
	uint64_t at = DEVICES + 32 * SID, q0 = get64(m, at);

	put64(m, at, 0);
	put32(m, RESULT, value);
	dma(m, RESULT, 0x40000, 1);
	put64(m, at, q0);
	dma(m, 0x40000, iova, 3);
}

struct event {
	unsigned int type;
	unsigned int flags;
	uint16_t device;
	uint16_t domain;
	uint64_t addr;
};

/* Takes the oldest; its type is 0 if there is none */
static struct event take_event(Machine *m)
{
	struct event e = { };
	uint64_t lo;

	if (get32(m, IOMMU + EVENT_TAIL) == m->event_head)
		return e;
	lo = get64(m, LOG + m->event_head);
	e.type = lo >> 60;
	e.flags = lo >> 48 & 0xfff;
	e.domain = lo >> 32;
	e.device = lo;
	e.addr = get64(m, LOG + m->event_head + 8);
	m->event_head = (m->event_head + 16) % LOG_SIZE;
	put32(m, IOMMU + EVENT_HEAD, m->event_head);
	return e;
}

#define EXPECT_EVENT(m, type_, flags_, device_, domain_, addr_) ({	\
	struct event e_ = take_event(m);				\
	EXPECT_EQ(type_, e_.type);					\
	EXPECT_EQ(flags_, e_.flags);					\
	EXPECT_EQ(device_, e_.device);					\
	EXPECT_EQ(domain_, e_.domain);					\
	EXPECT_EQ(addr_, e_.addr);					\
})

#define EXPECT_NO_EVENT(m) EXPECT_EQ(0, take_event(m).type)

/* Puts a command into the ring, and writes the tail register */
static void submit(Machine *m, uint64_t lo, uint64_t hi)
{
	put64(m, RING + m->tail, lo);
	put64(m, RING + m->tail + 8, hi);
	m->tail = (m->tail + 16) % RING_SIZE;
	put32(m, IOMMU + COMMAND_TAIL, m->tail);
}

static void submit_wait(Machine *m, uint64_t data)
{
	submit(m, OP(1) | STATUS | 1, data);
}

FIXTURE_SETUP(accel)
{
	static const char *const options[] = {
		"-device", "amd-iommu,accel=on", "-device", "edu,addr=2,dma_mask=0xffffffffffffffff", NULL,
	};
	int n;

	start_machine(self, options);
	self->next_table = TABLES;
	for (n = 0; n < 16; n++)
		put64(self, PAGE(n), PAGE(n));
	put64(self, BIG + 0x5000, BIG + 0x5000);

	set_config(self, SID, 0x10, BAR);
	set_config(self, SID, 0x04, 6);
	put64(self, IOMMU, DEVICES | 3);
	put64(self, IOMMU + 0x08, RING | 8ULL << 56);
	put64(self, IOMMU + 0x10, LOG | 8ULL << 56);
	put64(self, IOMMU + CONTROL, ENABLE);
	ASSERT_EQ(0x010000ed, get32(self, BAR));
}

FIXTURE_TEARDOWN(accel)
{
	stop_machine(self);
}

TEST_F(accel, features)
{
	unsigned int cap = config(self, IOMMU_SID, 0x34) & 0xff;

	/* Without a device: GTSup, GASup, HATS 3, GIOSup, PASmax 8 */
	EXPECT_EQ(BIT(4) | BIT(7) | 3 << 10 | BIT(48) | 8ULL << 32, get64(self, IOMMU + EFR));
	EXPECT_EQ(0, get64(self, IOMMU + EFR2));
	EXPECT_EQ(COMMAND_RUN | EVENT_RUN, get32(self, IOMMU + IOMMU_STATUS));
	/* The capability of an IOMMU says EFRSup and IotlbSup, not NpCache */
	while (cap && (config(self, IOMMU_SID, cap) & 0xff) != 0xf)
		cap = config(self, IOMMU_SID, cap) >> 8 & 0xff;
	ASSERT_NE(0, cap);
	EXPECT_EQ(BIT(27) | BIT(24), config(self, IOMMU_SID, cap) & (BIT(27) | BIT(26) | BIT(24)));
}

TEST_F(accel, states)
{
	/* V = 0 */
	EXPECT_EQ(PAGE(1), look(self, PAGE(1)));
	/* TV = 0 */
	set_dte(self, V | IR | IW, 5, 0);
	EXPECT_EQ(NOTHING, look(self, PAGE(1)));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 5, PAGE(1));
	/* Pass-through, with rights */
	set_dte(self, V | TV | IR, 6, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1)));
	store(self, PAGE(1) + 8, 77);
	EXPECT_EVENT(self, PAGE_FAULT, F_RW, SID, 6, PAGE(1) + 8);
	EXPECT_EQ(0, get32(self, PAGE(1) + 8));
	set_dte(self, V | TV | IR | IW, 6, 0);
	store(self, PAGE(1) + 8, 77);
	EXPECT_EQ(77, get32(self, PAGE(1) + 8));
	/* A GCR3 table without GIOV is for PASIDs */
	set_dte(self, V | TV | GV | IR | IW, 6, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1)));
	EXPECT_NO_EVENT(self);
	/* There are no v1 tables, GCR3 tables of 4 levels, page tables of 6 */
	set_dte(self, V | TV | IR | IW | MODE(4), 7, 0);
	EXPECT_EQ(NOTHING, look(self, PAGE(1)));
	EXPECT_EVENT(self, ILLEGAL_DTE, 0, SID, 0, DEVICES + 32 * SID);
	set_dte(self, V | TV | GV | GIOV | GLX(3) | IR | IW, 7, 0);
	EXPECT_EQ(NOTHING, look(self, PAGE(1)));
	EXPECT_EVENT(self, ILLEGAL_DTE, 0, SID, 0, DEVICES + 32 * SID);
	set_dte(self, V | TV | GV | GIOV | IR | IW, 7, LEVEL5 << 1);
	EXPECT_EQ(NOTHING, look(self, PAGE(1)));
	EXPECT_EVENT(self, ILLEGAL_DTE, 0, SID, 0, DEVICES + 32 * SID);
	EXPECT_NO_EVENT(self);
	/* The IOMMU is off */
	put64(self, IOMMU + CONTROL, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1)));
}

TEST_F(accel, tables)
{
	const uint64_t high = 0x7f1234567000;
	uint64_t root;
	int levels, gcr3;

	for (levels = 4; levels <= 5; levels++) {
		for (gcr3 = 1; gcr3 <= 3; gcr3++) {
			root = new_table(self);
			set_guest(self, root, gcr3, GIOV | IR | IW, 9, levels == 5 ? LEVEL5 : 0);
			map(self, root, levels, high, PAGE(2) | P | W | U);
			EXPECT_EQ(PAGE(2), look(self, high));
			EXPECT_EQ(NOTHING, look(self, high + 0x1000));
			EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 9, high + 0x1000);
			EXPECT_NO_EVENT(self);
		}
	}
}

TEST_F(accel, entries)
{
	uint64_t root = new_table(self);

	set_guest(self, root, 1, GIOV | IR | IW, 9, 0);
	/* Read only, at the last level and above it */
	map(self, root, 4, 0x7000, PAGE(3) | P | U);
	EXPECT_EQ(PAGE(3), look(self, 0x7000));
	store(self, 0x7008, 77);
	EXPECT_EVENT(self, PAGE_FAULT, F_RW, SID, 9, 0x7008);
	EXPECT_EQ(0, get32(self, PAGE(3) + 8));
	map(self, root, 4, 0x80007000, PAGE(4) | P | W | U);
	put64(self, entry(self, root, 4, 0x80007000, 2),
	      get64(self, entry(self, root, 4, 0x80007000, 2)) & ~W);
	EXPECT_EQ(PAGE(4), look(self, 0x80007000));
	store(self, 0x80007008, 77);
	EXPECT_EVENT(self, PAGE_FAULT, F_RW, SID, 9, 0x80007008);
	/* A change needs no command */
	map(self, root, 4, 0x7000, PAGE(5) | P | W | U);
	EXPECT_EQ(PAGE(5), look(self, 0x7000));
	store(self, 0x7008, 77);
	EXPECT_EQ(77, get32(self, PAGE(5) + 8));
	/* Large pages, of 2 MiB and of 1 GiB */
	put64(self, entry(self, root, 4, 0x40000000, 2), BIG | P | W | U | LARGE);
	EXPECT_EQ(BIG + 0x5000, look(self, 0x40005000));
	put64(self, entry(self, root, 4, 0xc0000000, 3), P | W | U | LARGE);
	EXPECT_EQ(PAGE(6), look(self, 0xc0000000 + PAGE(6)));
	/* The rights of the DTE apply too */
	set_guest(self, root, 1, GIOV | IR, 9, 0);
	store(self, 0x7008, 78);
	EXPECT_EVENT(self, PAGE_FAULT, F_RW, SID, 9, 0x7008);
	EXPECT_EQ(77, get32(self, PAGE(5) + 8));
	/* Not canonical: the last bit of 48 is 1 */
	EXPECT_EQ(NOTHING, look(self, 0x800000007000));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 9, 0x800000007000);
	EXPECT_NO_EVENT(self);
}

TEST_F(accel, commands)
{
	/* Invalidations wait for a COMPLETION_WAIT */
	submit(self, OP(3) | 5ULL << 32, 7);
	submit(self, OP(3) | 6ULL << 32, 7);
	submit_wait(self, 0x1234);
	EXPECT_EQ(0x1234, get64(self, STATUS));
	EXPECT_EQ(48, get32(self, IOMMU + COMMAND_HEAD));
	/* or for a look at the head register */
	submit(self, OP(3) | 5ULL << 32, 7);
	EXPECT_EQ(64, get32(self, IOMMU + COMMAND_HEAD));
	/* A device that is not assigned */
	submit(self, OP(2) | SID, 0);
	submit(self, OP(4) | SID, 0);
	submit(self, OP(5) | SID, 0);
	submit_wait(self, 0x5678);
	EXPECT_EQ(0x5678, get64(self, STATUS));
	EXPECT_NO_EVENT(self);
}

TEST_F(accel, wrap)
{
	int n;

	for (n = 0; n < 1000; n++)
		submit(self, OP(3) | 5ULL << 32, 7);
	submit_wait(self, 0x1234);
	EXPECT_EQ(0x1234, get64(self, STATUS));
	EXPECT_EQ(1001 * 16 % RING_SIZE, get32(self, IOMMU + COMMAND_HEAD));
}

TEST_F(accel, illegal)
{
	/* Opcodes that are unknown or not for guests, IASup and PPRSup missing, reserved bits */
	static const uint64_t bad[][2] = {
		{ OP(0), 0 }, { OP(6), 0 }, { OP(7), 0 }, { OP(8), 0 }, { OP(9), 0 }, { OP(10), 0 },
		{ OP(15), 0 }, { OP(1) | BIT(52), 0 }, { OP(2) | BIT(16), 0 }, { OP(2), 1 },
		{ OP(5) | BIT(59), 0 },
	};
	unsigned int i, at;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put64(self, STATUS, 0);
		submit(self, OP(3) | 5ULL << 32, 7);
		at = self->tail;
		submit(self, bad[i][0], bad[i][1]);
		submit_wait(self, 0x1234);
		/* The ring stops at it */
		EXPECT_EVENT(self, ILLEGAL_COMMAND, 0, 0, 0, RING + at);
		EXPECT_NO_EVENT(self);
		EXPECT_EQ(at, get32(self, IOMMU + COMMAND_HEAD));
		EXPECT_EQ(0, get32(self, IOMMU + IOMMU_STATUS) & COMMAND_RUN);
		EXPECT_EQ(0, get64(self, STATUS));
		/* It runs again when it has been off, and software has repaired the command */
		put64(self, RING + at, OP(3));
		put64(self, RING + at + 8, 0);
		put64(self, IOMMU + CONTROL, ENABLE & ~COMMANDS);
		put64(self, IOMMU + CONTROL, ENABLE);
		EXPECT_EQ(COMMAND_RUN, get32(self, IOMMU + IOMMU_STATUS) & COMMAND_RUN);
		EXPECT_EQ(0x1234, get64(self, STATUS));
	}
}

TEST_F(accel, overflow)
{
	int n;

	set_dte(self, V, 5, 0);
	/* The last place stays empty */
	for (n = 0; n < 255; n++)
		look(self, PAGE(n));
	EXPECT_EQ(EVENT_RUN, get32(self, IOMMU + IOMMU_STATUS) & (EVENT_RUN | OVERFLOW));
	look(self, PAGE(255));
	EXPECT_EQ(OVERFLOW, get32(self, IOMMU + IOMMU_STATUS) & (EVENT_RUN | OVERFLOW));
	for (n = 0; n < 255; n++)
		EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 5, PAGE(n));
	EXPECT_NO_EVENT(self);
	/* It is off until software has cleared the bit, and turned it off and on */
	look(self, PAGE(1));
	EXPECT_NO_EVENT(self);
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(2));
	put64(self, IOMMU + CONTROL, ENABLE);
	look(self, PAGE(1));
	EXPECT_NO_EVENT(self);
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(2));
	put32(self, IOMMU + IOMMU_STATUS, OVERFLOW);
	put64(self, IOMMU + CONTROL, ENABLE);
	look(self, PAGE(2));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 5, PAGE(2));
}

TEST_F(accel, reset)
{
	set_dte(self, V, 5, 0);
	submit(self, OP(3) | 5ULL << 32, 7);
	submit(self, OP(9), 0);
	EXPECT_EVENT(self, ILLEGAL_COMMAND, 0, 0, 0, RING + 16);
	ask(self, "outb 0xcf9 0x6");
	ask(self, "clock_step 1000000000");
	EXPECT_EQ(0, get64(self, IOMMU + CONTROL));
	EXPECT_EQ(0, get32(self, IOMMU + COMMAND_HEAD));
	EXPECT_EQ(0, get32(self, IOMMU + EVENT_TAIL));
	EXPECT_EQ(0, get64(self, IOMMU + IOMMU_STATUS));
	EXPECT_EQ(3ULL << 10, get64(self, IOMMU + EFR) & 3 << 10);
}

TEST_HARNESS_MAIN
