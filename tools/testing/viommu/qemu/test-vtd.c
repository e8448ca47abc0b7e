// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the model of VT-d's scalable mode in vtd.c and of pasid-edu, without a
 * kernel: the program starts QEMU with its qtest interface, writes root, context,
 * PASID and paging tables into the machine's memory, drives the invalidation queue
 * and the DMA engine, and asserts where each access goes.
 *
 *	QEMU=PROGRAM FIRMWARE=DIRECTORY test-vtd
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

#include "pasid-edu.h"
#include "vtd-model.h"

#define BIT(n)		(1ULL << (n))

/* The unit that the functions are for: 0, or 1, which is in charge of buses 8 and 9 */
static unsigned int unit;

/* The machine's memory */
#define UNIT		(0x100000 + 0x80000 * unit)
#define ROOT		UNIT
#define CONTEXTS	(UNIT + 0x1000)	/* bus 0 or 9, devices 0 to 15 */
#define QUEUE		(UNIT + 0x2000)	/* 128 descriptors of 32 bytes */
#define STATUS		(UNIT + 0x3000)
#define DIRECTORY	(UNIT + 0x40000)	/* of 128 KiB: all PASIDs */
#define TABLES		0x200000	/* pages for tables */
#define DATA		0x1000000	/* data pages */
#define PAGE(n)		(DATA + 0x1000ULL * (n))
#define BIG(n)		(0x2000000 + 0x200000ULL * (n))	/* of 2 MiB, each page marked at its start */

#define MODEL		(VTDM_BASE + VTDM_STRIDE * unit)
#define VTD		(0xfed90000 + VTDM_STRIDE * unit)
#define CAP		0x08
#define ECAP		0x10
#define GCMD		0x18
#define GSTS		0x1c
#define RTADDR		0x20
#define FSTS		0x34
#define IQH		0x80
#define IQT		0x88
#define IQA		0x90
#define FRCD(n)		(0x220 + 16 * (n))

#define BAR		0xe0000000
#define CONFIG_SPACE	0xb0000000
#define SID		0x0010		/* 00:02.0 */
#define SID2		0x0018		/* 00:03.0, a second function */
#define PORT		0x0020		/* 00:04.0, a root port */
#define BEHIND		0x0100		/* 01:00.0, a third function behind it */
#define PORT_MEMORY	0xe1000000
#define PORT_UNIT1	0x0800		/* 08:00.0, a root port of the other unit */
#define SID_UNIT1	0x0900		/* 09:00.0, behind it */
#define BAR_UNIT1	0xe2000000

#define FIRST		1
#define SECOND		2
#define NESTED		3
#define PT		4

#define R		1		/* of the second stage */
#define W		2
#define P		1		/* of the first stage */
#define RW		2
#define US		4
#define XD		BIT(63)

#define FAULT		0xdead000000000000ULL	/* | PEDU_ERR_* */
#define NO_PASID	0xffffffffu

FIXTURE(vtd)
{
	pid_t qemu;
	FILE *in;
	FILE *out;
	uint64_t next_table;
	unsigned int tail[2];
	uint32_t sequence;
	uint64_t bar;
};

typedef FIXTURE_DATA(vtd) Machine;

#include "test-qtest.h"

static uint32_t model(Machine *m, enum vtd_model_counter counter)
{
	return get32(m, MODEL + VTDM_COUNTER(counter));
}

static uint32_t edu(Machine *m, enum pasid_edu_counter counter)
{
	return get32(m, m->bar + PEDU_COUNTER(counter));
}

static void reset_counters(Machine *m)
{
	put32(m, MODEL + VTDM_RESET, 1);
	put32(m, m->bar + PEDU_CONTROL, PEDU_CONTROL_RESET_COUNTERS);
}

/* Tables */

/* The entry of @level for @addr under @root; tables between get @rights */
static uint64_t entry(Machine *m, uint64_t root, uint64_t addr, int level, uint64_t rights)
{
	uint64_t table = root, at;
	int l;

	for (l = 4; ; l--) {
		at = table + ((addr >> (12 + 9 * (l - 1))) & 0x1ff) * 8;
		if (l == level)
			return at;
		table = get64(m, at) & 0xffffffffff000ULL;
		if (!table) {
			table = new_table(m);
			put64(m, at, table | rights);
		}
	}
}

static void map(Machine *m, uint64_t root, uint64_t addr, uint64_t to, uint64_t rights)
{
	put64(m, entry(m, root, addr, 1, 7), to | rights);
}

static void map_big(Machine *m, uint64_t root, uint64_t addr, uint64_t to, uint64_t rights)
{
	put64(m, entry(m, root, addr, 2, 7), to | rights | BIT(7));
}

/* The second stage maps the tables too, each to itself */
static void map_tables(Machine *m, uint64_t root, uint64_t rights)
{
	map_big(m, root, TABLES, TABLES, rights);
}

static uint64_t pe_at(Machine *m, uint32_t pasid)
{
	uint64_t at = DIRECTORY + (pasid >> 6) * 8, table = get64(m, at) & ~0xfffULL;

	if (!table) {
		table = new_table(m);
		put64(m, at, table | 1);
	}
	return table + (pasid & 0x3f) * 64;
}

/* @first and @second are roots; SRE and ERE are set */
static void set_pe(Machine *m, uint32_t pasid, int pgtt, uint16_t did, uint64_t first, uint64_t second)
{
	uint64_t at = pe_at(m, pasid);

	put64(m, at, 0);
	put64(m, at + 8, did);
	put64(m, at + 16, first | (pgtt & 1 ? 3 : 0));
	put64(m, at, second | pgtt << 6 | 2 << 2 | 1);
}

static void set_context(Machine *m, uint16_t sid, uint64_t flags)
{
	uint64_t at = CONTEXTS + 32 * (sid & 0x7f);

	put64(m, at + 8, 0);
	put64(m, at, DIRECTORY | 7 << 9 | flags);
}

/* The queue */

static void submit(Machine *m, uint64_t lo, uint64_t hi)
{
	uint64_t at = QUEUE + 32 * m->tail[unit];

	put64(m, at, lo);
	put64(m, at + 8, hi);
	put64(m, at + 16, 0);
	put64(m, at + 24, 0);
	m->tail[unit] = (m->tail[unit] + 1) % 128;
	put64(m, VTD + IQT, m->tail[unit] << 5);
}

/* Returns whether the queue has executed all, and its wait wrote its status */
static bool wait_done(Machine *m)
{
	uint32_t value = ++m->sequence;

	submit(m, 5 | BIT(5) | (uint64_t)value << 32, STATUS);
	return get32(m, STATUS) == value && get64(m, VTD + IQH) == m->tail[unit] << 5;
}

#define submit_done(m, lo, hi) ({ submit(m, lo, hi); ASSERT_TRUE(wait_done(m)); })

static uint64_t context_cache(int g, uint16_t did, uint16_t sid, int fm)
{
	return 1 | g << 4 | (uint64_t)did << 16 | (uint64_t)sid << 32 | (uint64_t)fm << 48;
}

static uint64_t iotlb(int g, uint16_t did)
{
	return 2 | g << 4 | (uint64_t)did << 16;
}

static uint64_t pasid_iotlb(int g, uint16_t did, uint32_t pasid)
{
	return 6 | g << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32;
}

static uint64_t pasid_cache(int g, uint16_t did, uint32_t pasid)
{
	return 7 | g << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32;
}

static uint64_t device_tlb(uint16_t sid)
{
	return 3 | (uint64_t)sid << 32;
}

static uint64_t pasid_device_tlb(uint16_t sid, uint32_t pasid)
{
	return 8 | (uint64_t)sid << 16 | (uint64_t)pasid << 32;
}

#define ALL_PASIDS	1		/* of pasid_device_tlb() */
#define RANGE8		BIT(11)
#define RANGE3		1
#define EVERYTHING	0x7ffffffffffff000ULL

/* Everything is read anew */
static void flush_all(Machine *m)
{
	submit(m, context_cache(1, 0, 0, 0), 0);
	submit(m, pasid_cache(3, 0, 0), 0);
	submit(m, iotlb(1, 0), 0);
	submit(m, device_tlb(SID), EVERYTHING | RANGE3);
	submit(m, pasid_device_tlb(SID, 0), EVERYTHING | RANGE8 | ALL_PASIDS);
	if (!wait_done(m))
		_exit(1);
}

/* DMA */

static uint32_t dma(Machine *m, uint64_t iova, uint32_t pasid, uint32_t mode, uint32_t cmd, uint32_t length)
{
	uint64_t ch = m->bar + PEDU_CH(0);

	put64(m, ch + PEDU_CH_ADDR, iova);
	put32(m, ch + PEDU_CH_BUFFER, 0);
	put32(m, ch + PEDU_CH_LENGTH, length);
	put32(m, ch + PEDU_CH_PASID, pasid == NO_PASID ? 0 : PEDU_PASID_VALID | pasid);
	put32(m, ch + PEDU_CH_MODE, mode);
	put32(m, ch + PEDU_CH_CMD, cmd | PEDU_CMD_START);
	return get32(m, ch + PEDU_CH_STATUS);
}

/* What is there: the marker of the page, or FAULT */
static uint64_t look(Machine *m, uint64_t iova, uint32_t pasid, uint32_t mode)
{
	uint32_t status;

	put64(m, m->bar + PEDU_BUFFER, 0);
	status = dma(m, iova, pasid, mode, 0, 8);
	if (!(status & PEDU_STATUS_DONE))
		return FAULT | 0xff;
	if (status & PEDU_STATUS_ERROR)
		return FAULT | PEDU_STATUS_CODE(status);
	return get64(m, m->bar + PEDU_BUFFER);
}

/* Returns an error or 0 */
static uint32_t store(Machine *m, uint64_t iova, uint32_t pasid, uint32_t mode, uint64_t value)
{
	uint32_t status;

	put64(m, m->bar + PEDU_BUFFER, value);
	status = dma(m, iova, pasid, mode, PEDU_CMD_TO_MEMORY, 8);
	return status & PEDU_STATUS_DONE ? PEDU_STATUS_CODE(status) : 0xff;
}

/* Faults: takes the oldest record; returns its reason, 0 if there is none */
static unsigned int take_fault(Machine *m, uint64_t *lo, uint64_t *hi)
{
	uint32_t fsts = get32(m, VTD + FSTS);
	unsigned int i, n = (get64(m, VTD + CAP) >> 40 & 0xff) + 1, first = fsts >> 8 & 0xff;

	if (!(fsts & 2))
		return 0;
	for (i = 0; i < n; i++) {
		uint64_t at = VTD + FRCD((first + i) % n);

		*lo = get64(m, at);
		*hi = get64(m, at + 8);
		if (*hi & BIT(63)) {
			put32(m, at + 12, BIT(31));
			put32(m, VTD + FSTS, 1);
			return *hi >> 32 & 0xff;
		}
	}
	return 0xff;
}

static unsigned int fault(Machine *m)
{
	uint64_t lo, hi;

	return take_fault(m, &lo, &hi);
}

static void place_device(Machine *m, uint16_t sid, uint64_t bar)
{
	uint32_t config = 0x80000000 | sid << 8;

	ask(m, "outl 0xcf8 0x%x", config | 0x10);
	ask(m, "outl 0xcfc 0x%x", (uint32_t)bar);
	ask(m, "outl 0xcf8 0x%x", config | 0x14);
	ask(m, "outl 0xcfc 0x0");
	ask(m, "outl 0xcf8 0x%x", config | 0x04);
	ask(m, "outl 0xcfc 0x6");
}

static uint64_t config_at(uint16_t sid, unsigned int reg)
{
	return CONFIG_SPACE + sid * 0x1000 + reg;
}

/* A root port with @bus and a window of 1 MiB behind it */
static void place_port(Machine *m, uint16_t sid, unsigned int bus, uint32_t memory)
{
	put32(m, config_at(sid, 0x18), bus << 16 | bus << 8 | sid >> 8);
	put32(m, config_at(sid, 0x20), memory >> 16 | memory);
	put16(m, config_at(sid, 0x04), 6);
}

static void enable_unit(Machine *m)
{
	put64(m, VTD + IQA, QUEUE | BIT(11));
	put64(m, VTD + RTADDR, ROOT | BIT(10));
	put32(m, VTD + GCMD, BIT(30));
	put32(m, VTD + GCMD, BIT(26));
	put32(m, VTD + GCMD, BIT(31) | BIT(26));
}

static void start_qemu(Machine *m, const char *options)
{
	char vtd[256], other[300];
	const char *const argv[] = {
		"-device", vtd,
		"-device", "pasid-edu,addr=2", "-device", "pasid-edu,addr=3",
		"-device", "pcie-root-port,id=root1,addr=4,chassis=1", "-device", "pasid-edu,bus=root1",
		"-device", "pxb-pcie,id=pcie.1,addr=5,bus_nr=8", "-device", other,
		"-device", "pcie-root-port,id=root2,bus=pcie.1,addr=0,chassis=2",
		"-device", "pasid-edu,bus=root2", NULL,
	};
	int n;

	snprintf(vtd, sizeof(vtd), "intel-iommu,scalable-mode=on,device-iotlb=on,%s", options);
	snprintf(other, sizeof(other), "%s,primary-bus=pcie.1", vtd);
	start_machine(m, argv);
	m->next_table = TABLES;
	m->bar = BAR;
	for (n = 0; n < 64; n++)
		put64(m, PAGE(n), PAGE(n));
	for (n = 0; n < 1024; n++)
		put64(m, BIG(0) + 0x1000 * n, BIG(0) + 0x1000 * n);

	ask(m, "outl 0xcf8 0x80000060");
	ask(m, "outl 0xcfc 0x%x", CONFIG_SPACE | 1);
	place_device(m, SID, BAR);
	place_device(m, SID2, BAR + PEDU_BAR_SIZE);
	put16(m, config_at(SID, 0x106), 7);
	put16(m, config_at(SID, 0x116), 0x8000);
	put16(m, config_at(SID2, 0x106), 7);
	put16(m, config_at(SID2, 0x116), 0x8000);

	put64(m, ROOT, CONTEXTS | 1);
	set_context(m, SID, 0xd);	/* P, DTE, PASIDE */
	set_context(m, SID2, 0xd);
	enable_unit(m);
}

FIXTURE_SETUP(vtd)
{
	start_qemu(self, "nesting=on,pasid-bits=20,slads=on,fault-records=4");
	ASSERT_EQ(BIT(31) | BIT(30) | BIT(26), get32(self, VTD + GSTS));
	ASSERT_EQ(PEDU_ID_VALUE, get32(self, BAR + PEDU_ID));
	ASSERT_EQ(VTDM_ID_VALUE, get32(self, VTDM_BASE + VTDM_ID));
	ASSERT_TRUE(wait_done(self));
}

FIXTURE_TEARDOWN(vtd)
{
	stop_machine(self);
}

/* The device on its own */

TEST_F(vtd, identity)
{
	uint32_t id = get32(self, config_at(SID, 0));

	EXPECT_EQ(PEDU_DEVICE_ID << 16 | PEDU_VENDOR_ID, id);
	EXPECT_EQ(0x1001b, get32(self, config_at(SID, 0x100)) & 0xfffff);
	EXPECT_EQ(20 << 8 | 6, get16(self, config_at(SID, 0x104)));
	EXPECT_EQ(0x1000f, get32(self, config_at(SID, 0x110)) & 0xfffff);
	EXPECT_EQ(PEDU_HAS_PASID | PEDU_HAS_EXEC | PEDU_HAS_PRIV | PEDU_HAS_ATS | PEDU_HAS_MASTER,
		  get32(self, BAR + PEDU_CONFIG));
}

TEST_F(vtd, capabilities)
{
	uint64_t cap = get64(self, VTD + CAP), ecap = get64(self, VTD + ECAP);

	EXPECT_EQ(3, cap >> 40 & 0xff);
	EXPECT_NE(0, cap & BIT(56));
	EXPECT_EQ(19, ecap >> 35 & 0x1f);
	/* DT, NEST, SRS, PASID, SMTS, SLADS, SLTS, FLTS, SMPWC */
	EXPECT_EQ(0, ~ecap & (BIT(2) | BIT(26) | BIT(31) | BIT(40) | BIT(43) | BIT(45) | BIT(46) | BIT(47) | BIT(48)));
}

TEST_F(vtd, disabled_requests)
{
	set_pe(self, 0, PT, 1, 0, 0);
	set_pe(self, 5, PT, 1, 0, 0);
	put16(self, config_at(SID, 0x106), 1);
	put16(self, config_at(SID, 0x116), 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), 5, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_DISABLED, look(self, PAGE(1), 5, PEDU_MODE_PRIV));
	EXPECT_EQ(FAULT | PEDU_ERR_DISABLED, look(self, PAGE(1), 5, PEDU_MODE_EXEC));
	EXPECT_EQ(FAULT | PEDU_ERR_DISABLED, look(self, PAGE(1), 5, PEDU_MODE_ATS));
	put16(self, config_at(SID, 0x106), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_DISABLED, look(self, PAGE(1), 5, 0));
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
}

TEST_F(vtd, several_channels)
{
	uint64_t first = new_table(self);
	int i;

	for (i = 0; i < 4; i++) {
		uint64_t ch = BAR + PEDU_CH(i), root = i ? new_table(self) : first;

		set_pe(self, 100 + i, FIRST, 10 + i, root, 0);
		map(self, root, 0x5000, PAGE(i), P | RW | US);
		put64(self, ch + PEDU_CH_ADDR, 0x5000);
		put32(self, ch + PEDU_CH_BUFFER, 16 * i);
		put32(self, ch + PEDU_CH_LENGTH, 8);
		put32(self, ch + PEDU_CH_PASID, PEDU_PASID_VALID | (100 + i));
		put32(self, ch + PEDU_CH_DELAY, 10 * (i + 1));
		put32(self, ch + PEDU_CH_CMD, PEDU_CMD_START | (i == 3 ? PEDU_CMD_REPEAT : 0));
	}
	EXPECT_EQ(PEDU_STATUS_BUSY, get32(self, BAR + PEDU_CH(0) + PEDU_CH_STATUS));
	ask(self, "clock_step 1000000");
	for (i = 0; i < 4; i++)
		EXPECT_EQ(PAGE(i), get64(self, BAR + PEDU_BUFFER + 16 * i));
	EXPECT_EQ(PEDU_STATUS_DONE, get32(self, BAR + PEDU_CH(0) + PEDU_CH_STATUS));
	EXPECT_LT(5, get32(self, BAR + PEDU_CH(3) + PEDU_CH_ROUNDS));
	EXPECT_EQ(PEDU_STATUS_DONE | PEDU_STATUS_BUSY, get32(self, BAR + PEDU_CH(3) + PEDU_CH_STATUS));
	put32(self, BAR + PEDU_CH(3) + PEDU_CH_CMD, PEDU_CMD_STOP);
	EXPECT_EQ(PEDU_STATUS_DONE, get32(self, BAR + PEDU_CH(3) + PEDU_CH_STATUS));
}

TEST_F(vtd, flr_clears)
{
	set_pe(self, 5, PT, 1, 0, 0);
	ASSERT_EQ(PAGE(1), look(self, PAGE(1), 5, PEDU_MODE_ATS));
	ASSERT_EQ(1, get32(self, BAR + PEDU_TLB_COUNT));
	put16(self, config_at(SID, 0x88), 0x8000);
	EXPECT_EQ(0, get16(self, config_at(SID, 0x106)));
	EXPECT_EQ(0, get16(self, config_at(SID, 0x116)));
	place_device(self, SID, BAR);
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(0, get64(self, BAR + PEDU_BUFFER));
	EXPECT_EQ(0, get64(self, BAR + PEDU_CH(0) + PEDU_CH_ADDR));
	EXPECT_EQ(0, edu(self, PEDU_C_ATS_REQUESTS));
}

/* Each type of translation */

TEST_F(vtd, pass_through)
{
	set_pe(self, 0, PT, 1, 0, 0);
	EXPECT_EQ(PAGE(3), look(self, PAGE(3), NO_PASID, 0));
	EXPECT_EQ(1, model(self, VTDM_PASS_THROUGH));
	EXPECT_EQ(0, fault(self));
}

TEST_F(vtd, first_stage)
{
	uint64_t root = new_table(self);

	set_pe(self, 0, FIRST, 7, root, 0);
	map(self, root, 0x7000, PAGE(2), P | RW | US);
	map_big(self, root, 0x40000000, BIG(1), P | RW | US);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PAGE(2) | P | RW | US | BIT(5), get64(self, entry(self, root, 0x7000, 1, 0)));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 0x1234));
	EXPECT_EQ(0x1234, get64(self, PAGE(2) + 8));
	EXPECT_EQ(PAGE(2) | P | RW | US | BIT(5) | BIT(6), get64(self, entry(self, root, 0x7000, 1, 0)));
	EXPECT_EQ(BIG(1) + 0x5000, look(self, 0x40005000, NO_PASID, 0));
	/* The same translation of 2 MiB */
	reset_counters(self);
	EXPECT_EQ(BIG(1) + 0x9000, look(self, 0x40009000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, VTDM_IOTLB_HITS));
	EXPECT_EQ(1, model(self, VTDM_FIRST_STAGE));
	/* 1 GiB */
	put64(self, entry(self, root, 0x80000000, 3, 7), P | RW | US | BIT(7));
	EXPECT_EQ(PAGE(3), look(self, 0x80000000 + PAGE(3), NO_PASID, 0));
	EXPECT_EQ(PAGE(4), look(self, 0x80000000 + PAGE(4), NO_PASID, 0));
	EXPECT_EQ(2, model(self, VTDM_IOTLB_HITS));
}

TEST_F(vtd, second_stage)
{
	uint64_t root = new_table(self);

	set_pe(self, 0, SECOND, 7, 0, root);
	map(self, root, 0x7000, PAGE(2), R | W);
	map(self, root, 0x8000, PAGE(3), R);
	map(self, root, 0x9000, PAGE(4), W);
	map_big(self, root, 0x40000000, BIG(1), R | W);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 0x1234));
	EXPECT_EQ(0x1234, get64(self, PAGE(2) + 8));
	/* No A/D without SSADE */
	EXPECT_EQ(PAGE(2) | R | W, get64(self, entry(self, root, 0x7000, 1, 0)));
	EXPECT_EQ(BIG(1) + 0x5000, look(self, 0x40005000, NO_PASID, 0));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x8000, NO_PASID, 0, 1));
	EXPECT_EQ(0x79, fault(self));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x9000, NO_PASID, 0));
	EXPECT_EQ(0x79, fault(self));
	EXPECT_EQ(0, store(self, 0x9008, NO_PASID, 0, 5));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 1ULL << 48, NO_PASID, 0));
	EXPECT_EQ(0x84, fault(self));
}

TEST_F(vtd, second_stage_width)
{
	uint64_t root = new_table(self), l3;

	map(self, root, 0x7000, PAGE(2), R | W);
	l3 = get64(self, root) & ~0xfffULL;
	set_pe(self, 5, SECOND, 7, 0, 0);
	put64(self, pe_at(self, 5), l3 | SECOND << 6 | 1 << 2 | 1);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 1ULL << 39, 5, 0));
	EXPECT_EQ(0x84, fault(self));
	/* Five levels are none of SAGAW */
	set_pe(self, 6, SECOND, 7, 0, 0);
	put64(self, pe_at(self, 6), root | SECOND << 6 | 3 << 2 | 1);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 6, 0));
	EXPECT_EQ(0x5b, fault(self));
}

TEST_F(vtd, second_stage_ad)
{
	uint64_t root = new_table(self);

	set_pe(self, 0, SECOND, 7, 0, root);
	put64(self, pe_at(self, 0), get64(self, pe_at(self, 0)) | BIT(9));
	map(self, root, 0x7000, PAGE(2), R | W);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PAGE(2) | R | W | BIT(8), get64(self, entry(self, root, 0x7000, 1, 0)));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 1));
	EXPECT_EQ(PAGE(2) | R | W | BIT(8) | BIT(9), get64(self, entry(self, root, 0x7000, 1, 0)));
}

TEST_F(vtd, pasids_are_isolated)
{
	uint64_t a = new_table(self), b = new_table(self);
	uint64_t lo, hi;

	set_pe(self, 0, PT, 1, 0, 0);
	set_pe(self, 5, FIRST, 7, a, 0);
	set_pe(self, 0xfffff, FIRST, 8, b, 0);
	map(self, a, 0x7000, PAGE(2), P | RW | US);
	map(self, b, 0x7000, PAGE(3), P | RW | US);
	map(self, b, 0x8000, PAGE(4), P | RW | US);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 0xfffff, 0));
	EXPECT_EQ(PAGE(7), look(self, PAGE(7), NO_PASID, 0));
	EXPECT_EQ(PAGE(4), look(self, 0x8000, 0xfffff, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 5, 0));
	EXPECT_EQ(0x71, take_fault(self, &lo, &hi));
	EXPECT_EQ(0x8000, lo);
	EXPECT_EQ(BIT(63) | BIT(62) | 5ULL << 40 | 0x71ULL << 32 | BIT(31) | SID, hi);
	/* The other function has the same PASID table, so the same translations */
	self->bar = BAR + PEDU_BAR_SIZE;
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
}

TEST_F(vtd, faults_of_tables)
{
	uint64_t lo, hi;

	set_pe(self, 0, PT, 1, 0, 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 77777, 0));
	EXPECT_EQ(0x51, take_fault(self, &lo, &hi));
	EXPECT_EQ(77777, hi >> 40 & 0xfffff);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 1, 0));
	EXPECT_EQ(0x59, fault(self));
	set_pe(self, 1, 5, 1, 0, 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 1, 0));
	EXPECT_EQ(0x5b, fault(self));
	set_pe(self, 1, PT, 1, 0, 0);
	put64(self, pe_at(self, 1) + 56, 1);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 1, 0));
	EXPECT_EQ(0x5a, fault(self));
	/* None of these were cached */
	put64(self, pe_at(self, 1) + 56, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), 1, 0));

	set_context(self, SID, 1);
	submit_done(self, context_cache(3, 0, SID, 0), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 1, 0));
	EXPECT_EQ(0x45, fault(self));
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_REFUSED, look(self, 0x8000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0x44, take_fault(self, &lo, &hi));
	EXPECT_EQ(1, hi >> 60 & 3);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, PEDU_MODE_RAW));
	EXPECT_EQ(0x44, take_fault(self, &lo, &hi));
	EXPECT_EQ(2, hi >> 60 & 3);
	set_context(self, SID, 0xd);
	put64(self, CONTEXTS + 32 * SID, DIRECTORY | 0xd);
	submit_done(self, context_cache(3, 0, SID, 0), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 8192, 0));
	EXPECT_EQ(0x46, fault(self));
	put64(self, CONTEXTS + 32 * SID, 0);
	submit_done(self, context_cache(3, 0, SID, 0), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, NO_PASID, 0));
	EXPECT_EQ(0x41, take_fault(self, &lo, &hi));
	EXPECT_EQ(BIT(63) | BIT(62) | 0x41ULL << 32 | SID, hi);
	put64(self, ROOT, 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, NO_PASID, 0));
	EXPECT_EQ(0x39, fault(self));
}

TEST_F(vtd, rights)
{
	uint64_t root = new_table(self);

	set_pe(self, 5, FIRST, 7, root, 0);
	map(self, root, 0x1000, PAGE(1), P | US);
	map(self, root, 0x2000, PAGE(2), P | RW);
	map(self, root, 0x3000, PAGE(3), P | RW | US | XD);
	map(self, root, 0x4000, PAGE(4), P | RW | US | BIT(50));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x1000, 5, 0, 1));
	EXPECT_EQ(0x85, fault(self));
	/* WPE is clear: supervisors write what is read-only */
	EXPECT_EQ(0, store(self, 0x1008, 5, PEDU_MODE_PRIV, 1));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x2000, 5, 0));
	EXPECT_EQ(0x81, fault(self));
	EXPECT_EQ(PAGE(2), look(self, 0x2000, 5, PEDU_MODE_PRIV));
	/* And the entry that a supervisor's request left is none for users */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x2000, 5, 0));
	EXPECT_EQ(0x81, fault(self));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x3000, 5, PEDU_MODE_EXEC));
	EXPECT_EQ(0x82, fault(self));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x4000, 5, 0));
	EXPECT_EQ(0x72, fault(self));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 1ULL << 47, 5, 0));
	EXPECT_EQ(0x80, fault(self));
	map(self, root, 0xffff800000000000, PAGE(9), P | RW | US);
	EXPECT_EQ(PAGE(9), look(self, 0xffff800000000000, 5, 0));
	put64(self, pe_at(self, 5) + 16, root);
	submit_done(self, pasid_cache(1, 7, 5), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x2000, 5, PEDU_MODE_PRIV));
	EXPECT_EQ(0x5d, fault(self));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x3000, 5, PEDU_MODE_EXEC));
	EXPECT_EQ(0x5c, fault(self));
}

/* Fault recording registers: 4 of them */

TEST_F(vtd, fault_records)
{
	uint64_t lo, hi;
	int i;

	for (i = 1; i <= 6; i++)
		EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x1000 * i, i, 0));
	EXPECT_EQ(4, model(self, VTDM_FAULTS));
	EXPECT_EQ(2, model(self, VTDM_FAULTS_LOST));
	EXPECT_EQ(3, get32(self, VTD + FSTS) & 3);
	for (i = 1; i <= 4; i++) {
		ASSERT_EQ(0x51, take_fault(self, &lo, &hi));
		/* FRI names the first one only */
		EXPECT_EQ(i, hi >> 40 & 0xfffff);
		EXPECT_EQ(0x1000 * i, lo);
	}
	EXPECT_EQ(0, get32(self, VTD + FSTS) & 3);
	/* Equal faults are one */
	reset_counters(self);
	look(self, 0x1000, 1, 0);
	look(self, 0x1000, 1, 0);
	look(self, 0x1000, 2, 0);
	EXPECT_EQ(2, model(self, VTDM_FAULTS));
	EXPECT_EQ(1, model(self, VTDM_FAULTS_MERGED));
	ASSERT_EQ(0x51, take_fault(self, &lo, &hi));
	ASSERT_EQ(0x51, take_fault(self, &lo, &hi));
	EXPECT_EQ(0, fault(self));
	/* FPD */
	set_pe(self, 3, PT, 1, 0, 0);
	put64(self, pe_at(self, 3), PT << 6 | 2);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x1000, 3, 0));
	EXPECT_EQ(1, model(self, VTDM_FAULTS_DISABLED));
	EXPECT_EQ(0x59, model(self, VTDM_LAST_FAULT));
	EXPECT_EQ(0, fault(self));
}

/* What is stale stays until it is told to go: each wrong scope first, then the right one */

TEST_F(vtd, stale_first_stage)
{
	uint64_t root = new_table(self), at;

	set_pe(self, 5, FIRST, 7, root, 0);
	set_pe(self, 6, FIRST, 7, root, 0);
	map(self, root, 0x7000, PAGE(1), P | RW | US);
	at = entry(self, root, 0x7000, 1, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(2) | P | RW | US);

	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(3, 7, 5), 0x8000);
	submit_done(self, pasid_iotlb(3, 8, 5), 0x7000);
	submit_done(self, pasid_iotlb(3, 7, 6), 0x7000);
	submit_done(self, pasid_iotlb(2, 8, 5), 0);
	submit_done(self, pasid_iotlb(2, 7, 6), 0);
	submit_done(self, iotlb(2, 8), 0);
	submit_done(self, iotlb(3, 8), 0x7000);
	submit_done(self, pasid_cache(3, 0, 0), 0);
	submit_done(self, context_cache(1, 0, 0, 0), 0);
	submit_done(self, device_tlb(SID), EVERYTHING | RANGE3);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(2, model(self, VTDM_IOTLB_STALE));
	/* PASID 6 has no entry, so it sees what is there */
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 6, 0));

	submit_done(self, pasid_iotlb(3, 7, 5), 0x7000);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(3) | P | RW | US);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(2, 7, 5), 0);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	/* A range: 0x4000 to 0x7fff */
	put64(self, at, PAGE(4) | P | RW | US);
	submit_done(self, pasid_iotlb(3, 7, 5), 0x4000 | 1);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(3, 7, 5), 0x4000 | 2);
	EXPECT_EQ(PAGE(4), look(self, 0x7000, 5, 0));
	/* Type 2 by page: all first-stage entries of the DID, wherever they are */
	put64(self, at, PAGE(5) | P | RW | US);
	submit_done(self, iotlb(3, 7), 0x100000);
	EXPECT_EQ(PAGE(5), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(6) | P | RW | US);
	submit_done(self, iotlb(1, 0), 0);
	EXPECT_EQ(PAGE(6), look(self, 0x7000, 5, 0));
	EXPECT_EQ(0, fault(self));
}

TEST_F(vtd, stale_second_stage)
{
	uint64_t root = new_table(self), at;

	set_pe(self, 5, SECOND, 7, 0, root);
	map(self, root, 0x7000, PAGE(1), R | W);
	at = entry(self, root, 0x7000, 1, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(2) | R | W);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(3, 7), 0x8000);
	submit_done(self, iotlb(3, 8), 0x7000);
	submit_done(self, iotlb(2, 8), 0);
	submit_done(self, pasid_cache(3, 0, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	/* Type 6 is not for it, but is counted */
	submit_done(self, pasid_iotlb(3, 7, 5), 0x7000);
	submit_done(self, pasid_iotlb(2, 7, 5), 0);
	EXPECT_EQ(2, model(self, VTDM_TYPE6_SECOND_STAGE));
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(3, 7), 0x7000);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(3) | R | W);
	submit_done(self, iotlb(2, 7), 0);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	put64(self, at, 0);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(3, 7), 0x6000 | 1);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
}

TEST_F(vtd, stale_pasid_entry)
{
	uint64_t a = new_table(self), b = new_table(self);

	map(self, a, 0x7000, PAGE(1), P | RW | US);
	map(self, b, 0x7000, PAGE(2), P | RW | US);
	set_pe(self, 5, FIRST, 7, a, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	set_pe(self, 5, FIRST, 8, b, 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(1, 0), 0);
	submit_done(self, context_cache(1, 0, 0, 0), 0);
	/* By the DID that the cached entry has */
	submit_done(self, pasid_cache(1, 8, 5), 0);
	submit_done(self, pasid_cache(1, 7, 6), 0);
	submit_done(self, pasid_cache(0, 8, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(2, model(self, VTDM_PASID_STALE));
	submit_done(self, pasid_cache(1, 7, 5), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	set_pe(self, 5, FIRST, 9, a, 0);
	submit_done(self, pasid_cache(0, 8, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	/* Taken away: still used, until told */
	put64(self, pe_at(self, 5), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_cache(3, 0, 0), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
	EXPECT_EQ(0x59, fault(self));
	/* The same DID again without an invalidation of the IOTLB: the old translation */
	set_pe(self, 5, FIRST, 9, b, 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(2, 9, 5), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
}

TEST_F(vtd, stale_pass_through)
{
	uint64_t root = new_table(self);

	set_pe(self, 0, PT, 1, 0, 0);
	ASSERT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	map(self, root, PAGE(1), PAGE(2), R | W);
	set_pe(self, 0, SECOND, 9, 0, root);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	submit_done(self, context_cache(1, 0, 0, 0), 0);
	submit_done(self, iotlb(1, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	submit_done(self, pasid_cache(1, 1, 0), 0);
	EXPECT_EQ(PAGE(2), look(self, PAGE(1), NO_PASID, 0));
	/* And back */
	set_pe(self, 0, PT, 1, 0, 0);
	EXPECT_EQ(PAGE(2), look(self, PAGE(1), NO_PASID, 0));
	submit_done(self, pasid_cache(1, 9, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	/* To a first stage with the same DID: the IOTLB has it too; a page of type 6 does not drop it */
	root = new_table(self);
	map(self, root, PAGE(1), PAGE(3), P | RW | US);
	set_pe(self, 0, FIRST, 1, root, 0);
	submit_done(self, pasid_cache(1, 1, 0), 0);
	submit_done(self, pasid_iotlb(3, 1, 0), PAGE(1));
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	submit_done(self, pasid_iotlb(2, 1, 0), 0);
	EXPECT_EQ(PAGE(3), look(self, PAGE(1), NO_PASID, 0));
}

TEST_F(vtd, stale_context)
{
	set_pe(self, 0, PT, 1, 0, 0);
	ASSERT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	put64(self, CONTEXTS + 32 * SID, 0);
	submit_done(self, pasid_cache(3, 0, 0), 0);
	submit_done(self, iotlb(1, 0), 0);
	submit_done(self, context_cache(3, 0, SID2, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(1, model(self, VTDM_CONTEXT_STALE));
	/* Functions of one device: FM 3 */
	submit_done(self, context_cache(3, 0, SID | 5, 3), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(0x41, fault(self));
}

/* CAP.ESRTPS is clear: a new root table drops nothing, nor does translation off and on */
TEST_F(vtd, root_keeps)
{
	uint64_t root = new_table(self);

	set_pe(self, 0, PT, 1, 0, 0);
	ASSERT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	map(self, root, PAGE(1), PAGE(2), R | W);
	set_pe(self, 0, SECOND, 9, 0, root);
	put32(self, VTD + GCMD, BIT(31) | BIT(30) | BIT(26));
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	put32(self, VTD + GCMD, BIT(26));
	EXPECT_EQ(PAGE(3), look(self, PAGE(3), NO_PASID, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_REFUSED, look(self, PAGE(3), NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(3), 5, 0));
	put32(self, VTD + GCMD, BIT(31) | BIT(26));
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(0, fault(self));
	flush_all(self);
	EXPECT_EQ(PAGE(2), look(self, PAGE(1), NO_PASID, 0));
}

/* The IOTLB does not know requesters: a DID used again without an invalidation leaks */
TEST_F(vtd, iotlb_is_shared)
{
	uint64_t a = new_table(self), b = new_table(self), other = new_table(self), dir = new_table(self);

	map(self, a, 0x7000, PAGE(1), R | W);
	map(self, b, 0x7000, PAGE(2), R | W);
	set_pe(self, 0, SECOND, 7, 0, a);
	put64(self, dir, other | 1);
	put64(self, other, b | SECOND << 6 | 2 << 2 | 1);
	put64(self, other + 8, 7);
	put64(self, CONTEXTS + 32 * SID2, dir | 0xd);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	self->bar = BAR + PEDU_BAR_SIZE;
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, iotlb(2, 7), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
}

/* ATS */

TEST_F(vtd, device_tlb_keeps)
{
	uint64_t root = new_table(self), at;

	set_pe(self, 0, SECOND, 7, 0, root);
	map(self, root, 0x7000, PAGE(1), R | W);
	map_big(self, root, 0x40000000, BIG(1), R);
	at = entry(self, root, 0x7000, 1, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, edu(self, PEDU_C_ATS_REQUESTS));
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_PASID));
	EXPECT_EQ(PEDU_TLB_READ | PEDU_TLB_WRITE, get32(self, BAR + PEDU_TLB_FLAGS) & 3);
	EXPECT_EQ(0x7000, get64(self, BAR + PEDU_TLB_IOVA));
	EXPECT_EQ(PAGE(1), get64(self, BAR + PEDU_TLB_ADDR));
	EXPECT_EQ(0x1000, get64(self, BAR + PEDU_TLB_SIZE));
	put64(self, at, 0);
	submit_done(self, iotlb(1, 0), 0);
	submit_done(self, pasid_cache(3, 0, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, edu(self, PEDU_C_TLB_HITS));
	submit_done(self, device_tlb(SID2), 0x7000);
	submit_done(self, device_tlb(SID), 0x8000);
	submit_done(self, pasid_device_tlb(SID, 0), 0x7000);
	submit_done(self, pasid_device_tlb(SID, 0), EVERYTHING | RANGE8 | ALL_PASIDS);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	submit_done(self, device_tlb(SID), 0x7000);
	EXPECT_EQ(1, edu(self, PEDU_C_INV_DROPPED));
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_NONE, look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0, fault(self));
	EXPECT_EQ(1, model(self, VTDM_FAULTS_ATS));
	/* A large page, no write permission; any page of it drops it */
	EXPECT_EQ(BIG(1) + 0x3000, look(self, 0x40003000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0x200000, get64(self, BAR + PEDU_TLB_SIZE));
	EXPECT_EQ(PEDU_ERR_PERMISSION, store(self, 0x40003000, NO_PASID, PEDU_MODE_ATS, 1));
	submit_done(self, device_tlb(SID), 0x40100000);
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_COUNT));
}

TEST_F(vtd, device_tlb_ranges)
{
	uint64_t root = new_table(self);
	int i;

	set_pe(self, 5, FIRST, 7, root, 0);
	set_pe(self, 6, FIRST, 7, root, 0);
	for (i = 0; i < 8; i++)
		map(self, root, 0x10000 + 0x1000 * i, PAGE(i), P | RW | US);
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(PAGE(i), look(self, 0x10000 + 0x1000 * i, 5, PEDU_MODE_ATS));
		ASSERT_EQ(PAGE(i), look(self, 0x10000 + 0x1000 * i, 6, PEDU_MODE_ATS));
	}
	ASSERT_EQ(16, get32(self, BAR + PEDU_TLB_COUNT));
	/* One page, then S: 8 KiB, 16 KiB, then G, then all */
	submit_done(self, pasid_device_tlb(SID, 5), 0x17000);
	EXPECT_EQ(15, get32(self, BAR + PEDU_TLB_COUNT));
	submit_done(self, pasid_device_tlb(SID, 5), 0x14000 | RANGE8);
	EXPECT_EQ(13, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(0x2000, get64(self, BAR + PEDU_INV_SIZE));
	submit_done(self, pasid_device_tlb(SID, 5), 0x11000 | RANGE8);
	EXPECT_EQ(9, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(0x4000, get64(self, BAR + PEDU_INV_SIZE));
	EXPECT_EQ(0x10000, get64(self, BAR + PEDU_INV_IOVA));
	EXPECT_EQ(PEDU_PASID_VALID | 5, get32(self, BAR + PEDU_INV_PASID));
	submit_done(self, pasid_device_tlb(SID, 0), 0x16000 | ALL_PASIDS);
	EXPECT_EQ(7, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(PEDU_INV_GLOBAL, get32(self, BAR + PEDU_INV_FLAGS));
	submit_done(self, device_tlb(SID), EVERYTHING | RANGE3);
	EXPECT_EQ(7, get32(self, BAR + PEDU_TLB_COUNT));
	submit_done(self, pasid_device_tlb(SID, 6), EVERYTHING | RANGE8);
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(0, get64(self, BAR + PEDU_INV_SIZE));
	EXPECT_EQ(1, edu(self, PEDU_C_INV));
	EXPECT_EQ(4, edu(self, PEDU_C_INV_PASID));
	EXPECT_EQ(1, edu(self, PEDU_C_INV_GLOBAL));
	EXPECT_EQ(2, edu(self, PEDU_C_INV_ALL));
	EXPECT_EQ(4, edu(self, PEDU_C_INV_RANGE));
	EXPECT_EQ(16, edu(self, PEDU_C_INV_DROPPED));
	EXPECT_EQ(3, get32(self, VTDM_BASE + VTDM_DESCRIPTORS(8, 1)));
	EXPECT_EQ(1, get32(self, VTDM_BASE + VTDM_DESCRIPTORS(8, 2)));
	EXPECT_EQ(1, get32(self, VTDM_BASE + VTDM_DESCRIPTORS(3, 1)));
}

/* A device TLB that is invalidated before the IOTLB is refilled with what is stale */
TEST_F(vtd, device_tlb_order)
{
	uint64_t root = new_table(self), at;

	set_pe(self, 5, FIRST, 7, root, 0);
	map(self, root, 0x7000, PAGE(1), P | RW | US);
	at = entry(self, root, 0x7000, 1, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, PEDU_MODE_ATS));
	submit_done(self, pasid_device_tlb(SID, 5), 0x7000);
	EXPECT_EQ(0, model(self, VTDM_DEVICE_TLB_EARLY));
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, PEDU_MODE_ATS));
	put64(self, at, PAGE(2) | P | RW | US);
	submit_done(self, pasid_device_tlb(SID, 5), 0x7000);
	EXPECT_EQ(1, model(self, VTDM_DEVICE_TLB_EARLY));
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, PEDU_MODE_ATS));
	submit_done(self, pasid_iotlb(3, 7, 5), 0x7000);
	submit_done(self, pasid_device_tlb(SID, 5), 0x7000);
	EXPECT_EQ(1, model(self, VTDM_DEVICE_TLB_EARLY));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, PEDU_MODE_ATS));
}

TEST_F(vtd, device_tlb_silent)
{
	set_pe(self, 0, PT, 1, 0, 0);
	ASSERT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, PEDU_MODE_ATS));
	put32(self, BAR + PEDU_INV_MODE, PEDU_INV_IGNORE);
	submit_done(self, device_tlb(SID), PAGE(1));
	EXPECT_EQ(1, get32(self, BAR + PEDU_TLB_COUNT));
	put32(self, BAR + PEDU_INV_MODE, PEDU_INV_SILENT);
	submit(self, device_tlb(SID), PAGE(1));
	EXPECT_FALSE(wait_done(self));
	EXPECT_EQ(BIT(6), get32(self, VTD + FSTS) & 0x70);
	EXPECT_EQ(1, model(self, VTDM_ITE));
	put32(self, BAR + PEDU_INV_MODE, PEDU_INV_OBEY);
	/* The queue stands until the error is cleared */
	submit(self, device_tlb(SID), PAGE(1));
	EXPECT_FALSE(wait_done(self));
	put32(self, VTD + FSTS, BIT(6));
	EXPECT_EQ(self->tail[unit] << 5, get64(self, VTD + IQH));
	EXPECT_EQ(self->sequence, get32(self, STATUS));
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_COUNT));
}

TEST_F(vtd, queue_errors)
{
	submit(self, pasid_cache(2, 7, 5), 0);
	EXPECT_FALSE(wait_done(self));
	EXPECT_EQ(BIT(4), get32(self, VTD + FSTS) & 0x70);
	EXPECT_EQ(1, model(self, VTDM_IQE));
	/* As a driver does: replace it, then go on */
	put64(self, QUEUE + 32 * (self->tail[unit] - 2), 5 | BIT(5) | 0x77ULL << 32);
	put64(self, QUEUE + 32 * (self->tail[unit] - 2) + 8, STATUS + 8);
	put32(self, VTD + FSTS, BIT(4));
	EXPECT_EQ(0x77, get32(self, STATUS + 8));
	EXPECT_EQ(self->sequence, get32(self, STATUS));
	put32(self, VTDM_BASE + VTDM_INJECT, VTDM_INJECT_IQE | 6 << 8 | 1 << 16);
	submit_done(self, pasid_iotlb(2, 7, 5), 0);
	submit_done(self, pasid_cache(3, 7, 5), 0);
	submit(self, pasid_iotlb(2, 7, 5), 0);
	EXPECT_EQ(BIT(4), get32(self, VTD + FSTS) & 0x70);
	put32(self, VTD + FSTS, BIT(4));
	EXPECT_TRUE(wait_done(self));
	EXPECT_EQ(2, model(self, VTDM_IQE));
	/* Beyond MAMV */
	ASSERT_EQ(18, get64(self, VTD + CAP) >> 48 & 0x3f);
	submit_done(self, pasid_iotlb(3, 7, 5), 18);
	submit(self, pasid_iotlb(3, 7, 5), 19);
	EXPECT_FALSE(wait_done(self));
	EXPECT_EQ(3, model(self, VTDM_IQE));
}

TEST_F(vtd, log)
{
	uint32_t n;

	submit_done(self, pasid_iotlb(2, 7, 5), 0);
	reset_counters(self);
	submit_done(self, pasid_iotlb(3, 9, 0x12345), 0x7000 | 3);
	n = get32(self, VTDM_BASE + VTDM_LOG_COUNT);
	ASSERT_EQ(2, n);
	EXPECT_EQ(pasid_iotlb(3, 9, 0x12345), get64(self, VTDM_BASE + VTDM_LOG(0)));
	EXPECT_EQ(0x7003, get64(self, VTDM_BASE + VTDM_LOG(0) + 8));
	EXPECT_EQ(5, get64(self, VTDM_BASE + VTDM_LOG(1)) & 0xf);
	EXPECT_EQ(1, get32(self, VTDM_BASE + VTDM_DESCRIPTORS(6, 3)));
	EXPECT_EQ(1, model(self, VTDM_UNKNOWN_DID));
}

/* Nested translation: the first stage's tables and their addresses are the VM's */

TEST_F(vtd, nested)
{
	uint64_t first = new_table(self), second = new_table(self);

	map_tables(self, second, R | W);
	map(self, second, 0x10000, PAGE(1), R | W);
	map(self, second, 0x11000, PAGE(2), R);
	map_big(self, second, 0x8000000, BIG(1), R | W);
	map(self, first, 0x7000, 0x10000, P | RW | US);
	map(self, first, 0x8000, 0x11000, P | RW | US);
	map(self, first, 0x9000, 0x10000, P | US);
	map_big(self, first, 0x40000000, 0x8000000, P | RW | US);
	map(self, first, 0xa000, 0x8003000, P | RW | US);
	set_pe(self, 5, NESTED, 7, first, second);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(1, model(self, VTDM_NESTED));
	EXPECT_EQ(0, store(self, 0x7008, 5, 0, 77));
	EXPECT_EQ(77, get64(self, PAGE(1) + 8));
	EXPECT_EQ(0x10000 | P | RW | US | BIT(5) | BIT(6), get64(self, entry(self, first, 0x7000, 1, 0)));
	/* Both have to permit */
	EXPECT_EQ(PAGE(2), look(self, 0x8000, 5, 0));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x8000, 5, 0, 1));
	EXPECT_EQ(0x79, fault(self));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x9000, 5, 0, 1));
	EXPECT_EQ(0x85, fault(self));
	/* Sizes: the smaller one */
	EXPECT_EQ(BIG(1) + 0x3000, look(self, 0xa000, 5, PEDU_MODE_ATS));
	EXPECT_EQ(0x1000, get64(self, BAR + PEDU_TLB_SIZE));
	EXPECT_EQ(BIG(1) + 0x3000, look(self, 0x40003000, 5, PEDU_MODE_ATS));
	put32(self, BAR + PEDU_TLB_SELECT, 1);
	EXPECT_EQ(0x200000, get64(self, BAR + PEDU_TLB_SIZE));
}

TEST_F(vtd, nested_faults)
{
	uint64_t first = new_table(self), second = new_table(self), l3, l2, l1;
	uint64_t lo, hi;

	map(self, first, 0x7000, 0x10000, P | RW | US);
	map(self, first, 0x8000, 0x12000, P | RW | US);
	map(self, first, 0x9000, 1ULL << 48 | 0x1000, P | RW | US);
	l3 = get64(self, first) & ~0xfffULL;
	l2 = get64(self, l3) & ~0xfffULL;
	l1 = get64(self, l2) & ~0xfffULL;
	map(self, second, 0x10000, PAGE(1), R | W);
	set_pe(self, 5, NESTED, 7, first, second);
	/* The root is outside */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
	EXPECT_EQ(0x75, take_fault(self, &lo, &hi));
	EXPECT_EQ(0x7000, lo);
	EXPECT_EQ(5, hi >> 40 & 0xfffff);
	/* It can be read, but not written: A of the root's entry cannot be set */
	map(self, second, first, first, R);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
	EXPECT_EQ(0x77, fault(self));
	map(self, second, first, first, R | W);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
	EXPECT_EQ(0x76, fault(self));
	map(self, second, l3, l3, R | W);
	map(self, second, l2, l2, R | W);
	map(self, second, l1, l1, R);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
	EXPECT_EQ(0x77, fault(self));
	/* A is set already: no write is needed to read, D is to write */
	put64(self, entry(self, first, 0x7000, 1, 0), 0x10000 | P | RW | US | BIT(5));
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x7000, 5, 0, 1));
	EXPECT_EQ(0x77, fault(self));
	map(self, second, l1, l1, R | W);
	EXPECT_EQ(0, store(self, 0x7008, 5, 0, 1));
	/* A hole under the final address */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 5, 0));
	EXPECT_EQ(0x79, fault(self));
	/* Beyond the second stage's width */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x9000, 5, 0));
	EXPECT_EQ(0x72, fault(self));
	/* Not present in the first stage, without a PASID */
	set_pe(self, 0, NESTED, 8, first, second);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x20000, NO_PASID, 0));
	EXPECT_EQ(0x71, take_fault(self, &lo, &hi));
	EXPECT_EQ(BIT(63) | BIT(62) | 0x71ULL << 32 | SID, hi);
	/* A translation request says so in its answer */
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_NONE, look(self, 0x8000, 5, PEDU_MODE_ATS));
	EXPECT_EQ(0, fault(self));
}

TEST_F(vtd, nested_ad)
{
	uint64_t first = new_table(self), second = new_table(self), table, at;

	map(self, first, 0x7000, 0x10000, P | RW | US);
	map_tables(self, second, R | W);
	map(self, second, 0x10000, PAGE(1), R | W);
	set_pe(self, 5, NESTED, 7, first, second);
	at = pe_at(self, 5);
	put64(self, at, get64(self, at) | BIT(9));
	table = entry(self, second, TABLES, 2, 0);
	at = entry(self, second, 0x10000, 1, 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(PAGE(1) | R | W | BIT(8), get64(self, at));
	/* Setting A in the first stage writes to its table */
	EXPECT_EQ(BIT(8) | BIT(9), get64(self, table) & (BIT(8) | BIT(9)));
	EXPECT_EQ(0, store(self, 0x7008, 5, 0, 1));
	EXPECT_EQ(PAGE(1) | R | W | BIT(8) | BIT(9), get64(self, at));
	EXPECT_LT(0, model(self, VTDM_SECOND_STAGE_AD));
}

TEST_F(vtd, stale_nested)
{
	uint64_t first = new_table(self), second = new_table(self), at, under;

	map(self, first, 0x7000, 0x10000, P | RW | US);
	at = entry(self, first, 0x7000, 1, 0);
	map_tables(self, second, R | W);
	map(self, second, 0x10000, PAGE(1), R | W);
	map(self, second, 0x11000, PAGE(2), R | W);
	under = entry(self, second, 0x10000, 1, 0);
	set_pe(self, 5, NESTED, 7, first, second);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	/* The first stage changes: type 6 */
	put64(self, at, 0x11000 | P | RW | US);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(3, 8, 5), 0x7000);
	submit_done(self, pasid_iotlb(3, 7, 6), 0x7000);
	submit_done(self, pasid_iotlb(3, 7, 5), 0x10000);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(3, 7, 5), 0x7000);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	put64(self, at, 0x10000 | P | RW | US);
	submit_done(self, pasid_iotlb(2, 7, 5), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(0, model(self, VTDM_TYPE6_SECOND_STAGE));
	/* The second stage changes: type 2, by page or DID */
	put64(self, under, PAGE(3) | R | W);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(3, 8), 0x10000);
	submit_done(self, iotlb(2, 8), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(3, 7), 0x10000);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	put64(self, under, 0);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	submit_done(self, iotlb(2, 7), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 5, 0));
	EXPECT_EQ(0x79, fault(self));
}

/* From the second stage alone to nested and back, as an attach does */
TEST_F(vtd, nested_attach)
{
	uint64_t first = new_table(self), second = new_table(self);

	map_tables(self, second, R | W);
	map(self, first, 0x10000, 0x11000, P | RW | US);
	map(self, second, 0x10000, PAGE(1), R | W);
	map(self, second, 0x11000, PAGE(2), R | W);
	set_pe(self, 0, SECOND, 7, 0, second);
	ASSERT_EQ(PAGE(1), look(self, 0x10000, NO_PASID, 0));
	set_pe(self, 0, NESTED, 8, first, second);
	EXPECT_EQ(PAGE(1), look(self, 0x10000, NO_PASID, 0));
	submit_done(self, pasid_cache(1, 7, 0), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x10000, NO_PASID, 0));
	set_pe(self, 0, SECOND, 7, 0, second);
	submit_done(self, pasid_cache(1, 8, 0), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x10000, NO_PASID, 0));
}

TEST_F(vtd, interrupt_addresses)
{
	uint64_t root = new_table(self);

	set_pe(self, 5, FIRST, 7, root, 0);
	map(self, root, 0x7000, 0xfee00000, P | RW | US);
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x7000, 5, 0, 1));
	EXPECT_EQ(0x87, fault(self));
	set_pe(self, 6, PT, 7, 0, 0);
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0xfee00000, 6, 0, 1));
	EXPECT_EQ(0x87, fault(self));
	set_pe(self, 0, PT, 7, 0, 0);
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0xfee00000, NO_PASID, PEDU_MODE_RAW, 1));
	EXPECT_EQ(0x87, fault(self));
}

/* A function that is unplugged with translations in its TLB and its descriptors in the queue */
TEST_F(vtd, unplug)
{
	uint64_t root = new_table(self), cap;

	place_port(self, PORT, 1, PORT_MEMORY);
	place_device(self, BEHIND, PORT_MEMORY);
	put16(self, config_at(BEHIND, 0x106), 7);
	put16(self, config_at(BEHIND, 0x116), 0x8000);
	put64(self, ROOT + 16, new_table(self) | 1);
	cap = get64(self, ROOT + 16) & ~0xfffULL;
	put64(self, cap, DIRECTORY | 7 << 9 | 0xd);
	set_pe(self, 5, FIRST, 7, root, 0);
	map(self, root, 0x7000, PAGE(1), P | RW | US);
	self->bar = PORT_MEMORY;
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, PEDU_MODE_ATS));
	put32(self, self->bar + PEDU_CH(1) + PEDU_CH_DELAY, 100);
	put32(self, self->bar + PEDU_CH(1) + PEDU_CH_LENGTH, 8);
	put32(self, self->bar + PEDU_CH(1) + PEDU_CH_CMD, PEDU_CMD_START | PEDU_CMD_REPEAT | PEDU_CMD_ENDURE);
	submit_done(self, pasid_device_tlb(BEHIND, 5), 0x8000);
	EXPECT_EQ(0, model(self, VTDM_DEVICE_TLB_NONE));

	/* The slot's power and its indicator go off */
	for (cap = get32(self, config_at(PORT, 0x34)) & 0xff; cap; cap = get16(self, config_at(PORT, cap)) >> 8) {
		if ((get16(self, config_at(PORT, cap)) & 0xff) == 0x10)
			break;
	}
	ASSERT_NE(0, cap);
	put16(self, config_at(PORT, cap + 0x18), 0x0700);
	EXPECT_EQ(0xffffffff, get32(self, config_at(BEHIND, 0)));
	ask(self, "clock_step 1000000");
	submit_done(self, pasid_device_tlb(BEHIND, 5), 0x7000);
	submit_done(self, device_tlb(BEHIND), 0x7000);
	EXPECT_EQ(2, model(self, VTDM_DEVICE_TLB_NONE));
	/* The other function goes on, with the entry that the first one left in the IOTLB */
	self->bar = BAR;
	put64(self, entry(self, root, 0x7000, 1, 0), PAGE(2) | P | RW | US);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	submit_done(self, pasid_iotlb(2, 7, 5), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
}

/* Another unit: its registers, tables, queue, caches and faults are not the first one's */
TEST_F(vtd, units)
{
	uint64_t bar[] = { BAR, BAR_UNIT1 }, first[2], lo, hi;

	place_port(self, PORT_UNIT1, 9, BAR_UNIT1);
	place_device(self, SID_UNIT1, BAR_UNIT1);
	put16(self, config_at(SID_UNIT1, 0x106), 7);
	put16(self, config_at(SID_UNIT1, 0x116), 0x8000);
	unit = 1;
	self->bar = BAR_UNIT1;
	ASSERT_EQ(PEDU_ID_VALUE, get32(self, BAR_UNIT1 + PEDU_ID));
	EXPECT_EQ(VTDM_ID_VALUE, get32(self, MODEL + VTDM_ID));
	/* Nobody has enabled it */
	EXPECT_EQ(0, get32(self, VTD + GSTS));
	EXPECT_EQ(PAGE(3), look(self, PAGE(3), NO_PASID, 0));
	put64(self, ROOT + 16 * 9, CONTEXTS | 1);
	set_context(self, SID_UNIT1, 0xd);
	enable_unit(self);
	EXPECT_EQ(BIT(31) | BIT(30) | BIT(26), get32(self, VTD + GSTS));
	ASSERT_TRUE(wait_done(self));

	/* The same DID, PASID and address */
	for (unit = 0; unit < 2; unit++) {
		self->bar = bar[unit];
		first[unit] = new_table(self);
		map(self, first[unit], 0x7000, PAGE(1 + unit), P | RW | US);
		set_pe(self, 5, FIRST, 7, first[unit], 0);
		EXPECT_EQ(PAGE(1 + unit), look(self, 0x7000, 5, 0));
		EXPECT_EQ(1, model(self, VTDM_FIRST_STAGE));
		EXPECT_EQ(1, model(self, VTDM_IOTLB_ENTRIES));
		EXPECT_EQ(1, model(self, VTDM_PASID_ENTRIES));
		EXPECT_EQ(1, model(self, VTDM_CONTEXT_ENTRIES));
		EXPECT_EQ(unit ? SID_UNIT1 : SID, get32(self, MODEL + VTDM_ENTRY_SID));
	}

	/* What either unit drops is its own */
	for (unit = 0; unit < 2; unit++) {
		put64(self, entry(self, first[unit], 0x7000, 1, 0), PAGE(3 + unit) | P | RW | US);
		reset_counters(self);
	}
	unit = 0;
	submit_done(self, context_cache(1, 0, 0, 0), 0);
	submit_done(self, pasid_cache(3, 0, 0), 0);
	submit_done(self, iotlb(1, 0), 0);
	self->bar = BAR;
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	EXPECT_EQ(1, model(self, VTDM_IOTLB_DROPPED));
	EXPECT_EQ(6, get32(self, MODEL + VTDM_LOG_COUNT));
	unit = 1;
	self->bar = BAR_UNIT1;
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	EXPECT_EQ(1, model(self, VTDM_IOTLB_STALE));
	EXPECT_EQ(0, model(self, VTDM_IOTLB_DROPPED));
	EXPECT_EQ(0, get32(self, MODEL + VTDM_LOG_COUNT));
	submit_done(self, pasid_iotlb(3, 7, 5), 0x7000);
	EXPECT_EQ(PAGE(4), look(self, 0x7000, 5, 0));
	EXPECT_EQ(0, model(self, VTDM_UNKNOWN_DID));

	/* The TLB of a device, too, is out of the other unit's reach */
	EXPECT_EQ(PAGE(4), look(self, 0x7000, 5, PEDU_MODE_ATS));
	EXPECT_EQ(1, get32(self, BAR_UNIT1 + PEDU_TLB_COUNT));
	unit = 0;
	submit_done(self, pasid_device_tlb(SID_UNIT1, 5), 0x7000);
	EXPECT_EQ(1, model(self, VTDM_DEVICE_TLB_NONE));
	EXPECT_EQ(1, get32(self, BAR_UNIT1 + PEDU_TLB_COUNT));
	unit = 1;
	submit_done(self, pasid_device_tlb(SID_UNIT1, 5), 0x7000);
	EXPECT_EQ(0, model(self, VTDM_DEVICE_TLB_NONE));
	EXPECT_EQ(0, get32(self, BAR_UNIT1 + PEDU_TLB_COUNT));

	/* Faults */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, 5, 0));
	unit = 0;
	EXPECT_EQ(0, fault(self));
	EXPECT_EQ(0, model(self, VTDM_FAULTS));
	unit = 1;
	EXPECT_EQ(0x71, take_fault(self, &lo, &hi));
	EXPECT_EQ(0x8000, lo);
	EXPECT_EQ(SID_UNIT1, hi & 0xffff);

	/* A stopped queue stops one unit */
	submit(self, pasid_cache(2, 7, 5), 0);
	EXPECT_FALSE(wait_done(self));
	unit = 0;
	EXPECT_TRUE(wait_done(self));
	EXPECT_EQ(0, get32(self, VTD + FSTS) & 0x70);
}

/* Less capable machines refuse what they have not */

FIXTURE(plain)
{
	Machine m;
};

FIXTURE_SETUP(plain)
{
	start_qemu(&self->m, "fault-records=1");
}

FIXTURE_TEARDOWN(plain)
{
	stop_machine(&self->m);
}

TEST_F(plain, second_stage_only)
{
	Machine *m = &self->m;
	uint64_t root = new_table(m), ecap = get64(m, VTD + ECAP);

	EXPECT_EQ(0, ecap & (BIT(26) | BIT(40) | BIT(45) | BIT(47) | BIT(48)));
	map(m, root, 0x7000, PAGE(1), R | W);
	set_pe(m, 0, SECOND, 7, 0, root);
	EXPECT_EQ(PAGE(1), look(m, 0x7000, NO_PASID, 0));
	flush_all(m);
	set_pe(m, 0, NESTED, 7, root, root);
	submit_done(m, pasid_cache(3, 0, 0), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(m, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0x5b, fault(m));
	set_pe(m, 0, FIRST, 7, root, 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(m, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0x5b, fault(m));
	set_pe(m, 0, SECOND, 7, 0, root);
	put64(m, pe_at(m, 0), get64(m, pe_at(m, 0)) | BIT(9));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(m, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0x5a, fault(m));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(m, 0x7000, 5, 0));
	EXPECT_EQ(0x45, fault(m));
}

/* Both stages, but not one on the other */
TEST(first_stage_without_nesting)
{
	Machine machine = { }, *m = &machine;
	uint64_t first, second;

	start_qemu(m, "first-stage=on,pasid-bits=8");
	first = new_table(m);
	second = new_table(m);
	EXPECT_EQ(7, get64(m, VTD + ECAP) >> 35 & 0x1f);
	EXPECT_EQ(BIT(46) | BIT(47), get64(m, VTD + ECAP) & (BIT(26) | BIT(46) | BIT(47)));
	map_tables(m, second, R | W);
	map(m, first, 0x7000, PAGE(1), P | RW | US);
	map(m, second, 0x7000, PAGE(2), R | W);
	set_pe(m, 5, FIRST, 7, first, 0);
	set_pe(m, 6, SECOND, 8, 0, second);
	set_pe(m, 7, NESTED, 9, first, second);
	EXPECT_EQ(PAGE(1), look(m, 0x7000, 5, 0));
	EXPECT_EQ(PAGE(2), look(m, 0x7000, 6, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(m, 0x7000, 7, 0));
	EXPECT_EQ(0x5b, fault(m));
	stop_machine(m);
}

TEST_HARNESS_MAIN
