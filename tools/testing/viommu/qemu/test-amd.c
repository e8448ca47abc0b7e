// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the model of AMD's nested translation in amd.c, without a kernel: the program
 * starts QEMU with its qtest interface, writes the device table, GCR3 tables and page
 * tables into the machine's memory, drives the command ring and the DMA engine of
 * pasid-edu, and asserts where each access goes.
 *
 *	QEMU=PROGRAM FIRMWARE=DIRECTORY test-amd
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

#include "amd-model.h"
#include "pasid-edu.h"

#define BIT(n)		(1ULL << (n))

/* The machine's memory */
#define DEVICES		0x100000	/* the device table, of 512 entries */
#define DEVICE(id)	(DEVICES + 32 * (id))
#define DEVICES2	0x120000	/* of the second unit, of 2560 */
/* Of the second unit behind that of the first one */
#define RING		0x110000	/* 256 commands */
#define RING_SIZE	0x1000
#define LOG		0x114000	/* 256 events */
#define LOG_SIZE	0x1000
#define STATUS		0x118000
#define PPR_LOG		0x119000	/* 256 page requests */
#define TABLES		0x200000	/* pages for tables */
#define DATA		0x1000000	/* data pages */
#define PAGE(n)		(DATA + 0x1000ULL * (n))
#define BIG(n)		(0x2000000 + 0x200000ULL * (n))	/* of 2 MiB, each page marked at its start */
#define GPA(spa)	((spa) + 0x100000000ULL)	/* where the nested guests have it */

#define IOMMU		0xfed80000
#define COMMAND_HEAD	0x2000
#define COMMAND_TAIL	0x2008
#define EVENT_HEAD	0x2010
#define EVENT_TAIL	0x2018
#define IOMMU_STATUS	0x2020
#define PPR_HEAD	0x2030
#define PPR_TAIL	0x2038
#define CONTROL		0x18
#define ENABLE		(BIT(0) | BIT(2) | BIT(12) | BIT(16))
#define GCR3TRP		BIT(58)

#define BAR		0xe0000000
#define CONFIG_SPACE	0xb0000000
#define SID		0x0010		/* 00:02.0 */
#define SID2		0x0018		/* 00:03.0, a second function */
#define PORT		0x0020		/* 00:04.0, a root port */
#define BEHIND		0x0100		/* 01:00.0, a third function behind it */
#define PORT_MEMORY	0xe1000000
#define FAR_PORT	0x0800		/* 08:00.0, a root port of the second unit */
#define FAR		0x0900		/* 09:00.0, a function behind it */
#define IOMMU_SID2	0x00f0		/* 00:1e.0, the function of the second unit */
#define FAR_BAR		0xe2000000

/* DTE */
#define V		BIT(0)
#define TV		BIT(1)
#define HAD		(3ULL << 7)
#define MODE(n)		((uint64_t)(n) << 9)
#define GIOV		BIT(54)
#define GV		BIT(55)
#define GLX(n)		((uint64_t)(n) << 56)
#define IR		BIT(61)
#define IW		BIT(62)
#define I		BIT(32)		/* quadword 1 */
#define SE		BIT(33)
#define SA		BIT(34)
#define LEVEL5		BIT(54)		/* quadword 2 */

/* Page tables */
#define PR		BIT(0)
#define NEXT(n)		((uint64_t)(n) << 9)
#define R		(PR | IR)
#define RW		(PR | IR | IW)
#define GR		(BIT(0) | BIT(2))	/* of the guest */
#define GRW		(BIT(0) | BIT(1) | BIT(2))
#define A		BIT(5)
#define D		BIT(6)
#define LARGE		BIT(7)

/* Events */
#define ILLEGAL_DTE	1
#define PAGE_FAULT	2
#define DTE_HARDWARE	3
#define TABLE_HARDWARE	4
#define ILLEGAL_COMMAND	5
#define COMMAND_HARDWARE 6
#define IOTLB_TIMEOUT	7
#define DEVICE_REQUEST	8
#define INVALID_PPR	9
#define F_GN		0x001
#define F_PR		0x010
#define F_RW		0x020
#define F_PE		0x040
#define F_RZ		0x080
#define F_TR		0x100

#define FAULT		0xdead000000000000ULL	/* | PEDU_ERR_* */
#define NO_PASID	0xffffffffu

FIXTURE(amd)
{
	pid_t qemu;
	FILE *in;
	FILE *out;
	uint64_t next_table;
	unsigned int unit;		/* that the functions are about */
	unsigned int tail[2];
	unsigned int event_head[2];
	uint64_t sequence;
	uint64_t bar;
};

typedef FIXTURE_DATA(amd) Machine;

#include "test-qtest.h"

/* A register of the unit, and of its model */
static uint64_t iommu(Machine *m, unsigned int offset)
{
	return IOMMU + m->unit * AMDM_STRIDE + offset;
}

static uint64_t own(Machine *m, unsigned int offset)
{
	return AMDM_BASE + m->unit * AMDM_STRIDE + offset;
}

static uint32_t model(Machine *m, enum amd_model_counter counter)
{
	return get32(m, own(m, AMDM_COUNTER(counter)));
}

static void reset_counters(Machine *m)
{
	put32(m, own(m, AMDM_RESET), 1);
	put32(m, m->bar + PEDU_CONTROL, PEDU_CONTROL_RESET_COUNTERS);
}

static void set_knobs(Machine *m, uint32_t knobs)
{
	put32(m, own(m, AMDM_KNOBS), knobs);
}

/* Tables */

static unsigned int index_of(uint64_t addr, int level)
{
	return addr >> (12 + 9 * (level - 1)) & 0x1ff;
}

/* Where the entry of @level for @addr is, in a host table of @mode levels */
static uint64_t host_entry(Machine *m, uint64_t root, int mode, uint64_t addr, int level)
{
	uint64_t table = root, at;

	for (;; mode--) {
		at = table + index_of(addr, mode) * 8;
		if (mode == level)
			return at;
		table = get64(m, at) & 0xffffffffff000ULL;
		if (!table) {
			table = new_table(m);
			put64(m, at, table | RW | NEXT(mode - 1));
		}
	}
}

static void host_map(Machine *m, uint64_t root, uint64_t addr, uint64_t to, uint64_t rights)
{
	put64(m, host_entry(m, root, 4, addr, 1), to | rights);
}

/* The same of a guest table, whose entries have @offset added to where it is */
static uint64_t guest_entry(Machine *m, uint64_t root, int levels, uint64_t addr, int level, uint64_t offset)
{
	uint64_t table = root, at;

	for (;; levels--) {
		at = table + index_of(addr, levels) * 8;
		if (levels == level)
			return at;
		table = get64(m, at) & 0xffffffffff000ULL;
		if (!table) {
			table = new_table(m) + offset;
			put64(m, at, table | GRW);
		}
		table -= offset;
	}
}

static void guest_map(Machine *m, uint64_t root, uint64_t addr, uint64_t to, uint64_t rights)
{
	put64(m, guest_entry(m, root, 4, addr, 1, 0), to | rights);
}

static void nested_map(Machine *m, uint64_t root, uint64_t addr, uint64_t to, uint64_t rights)
{
	put64(m, guest_entry(m, root, 4, addr, 1, GPA(0)), GPA(to) | rights);
}

/* A GCR3 table of one level with one PASID */
static uint64_t new_gcr3(Machine *m, uint32_t pasid, uint64_t root)
{
	uint64_t table = new_table(m);

	put64(m, table + 8 * pasid, root | 1);
	return table;
}

static void set_dte(Machine *m, uint16_t id, uint64_t q0, uint64_t q1, uint64_t q2)
{
	uint64_t at = m->unit ? DEVICES2 + 32 * id : DEVICE(id);

	put64(m, at, q0);
	put64(m, at + 8, q1);
	put64(m, at + 16, q2);
	put64(m, at + 24, 0);
}

static uint64_t gcr3_low(uint64_t gcr3)
{
	return (gcr3 >> 12 & 7) << 58;
}

static uint64_t gcr3_high(uint64_t gcr3)
{
	return (gcr3 >> 15 & 0xffff) << 16 | (gcr3 >> 31 & 0x1fffff) << 43;
}

/* @flags: of quadword 0; ATS is always on */
static void set_host(Machine *m, uint16_t id, uint16_t domain, uint64_t root, uint64_t flags)
{
	set_dte(m, id, V | TV | IR | IW | root | flags, domain | I, 0);
}

static void set_guest(Machine *m, uint16_t id, uint16_t domain, uint64_t gcr3, uint64_t flags)
{
	set_dte(m, id, V | TV | IR | IW | GV | flags | gcr3_low(gcr3), domain | I | gcr3_high(gcr3), 0);
}

/* The ring */

static void submit(Machine *m, uint64_t lo, uint64_t hi)
{
	unsigned int *tail = &m->tail[m->unit];
	uint64_t at = RING + m->unit * RING_SIZE + *tail;

	put64(m, at, lo);
	put64(m, at + 8, hi);
	*tail = (*tail + 16) % RING_SIZE;
	put32(m, iommu(m, COMMAND_TAIL), *tail);
}

/* Returns whether the ring has executed all, and its wait stored its data */
static bool wait_done(Machine *m)
{
	uint64_t value = ++m->sequence | 0x1122334400000000ULL;

	submit(m, 1ULL << 60 | STATUS | 1, value);
	return get64(m, STATUS) == value && get32(m, iommu(m, COMMAND_HEAD)) == m->tail[m->unit];
}

#define submit_done(m, lo, hi) ({ submit(m, lo, hi); ASSERT_TRUE(wait_done(m)); })

#define OP(n)		((uint64_t)(n) << 60)
#define EVERYTHING	0x7ffffffffffff000ULL
#define S		BIT(0)
#define PDE		BIT(1)
#define GN		BIT(2)

static uint64_t inv_dte(uint16_t id)
{
	return OP(2) | id;
}

static uint64_t inv_pages(uint16_t domain, uint32_t pasid)
{
	return OP(3) | (uint64_t)domain << 32 | pasid;
}

static uint64_t inv_iotlb(uint16_t id, uint32_t pasid)
{
	return OP(4) | id | (uint64_t)id << 32 | 1ULL << 24 | (uint64_t)(pasid >> 8 & 0xff) << 16 |
	       (uint64_t)(pasid & 0xff) << 48 | (uint64_t)(pasid >> 16 & 0xf) << 56;
}

#define inv_all()	OP(8)

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

/*
 * What is there: the marker of the page, or FAULT. 4 bytes: QEMU splits what is blocked
 * into as many, and each has an event.
 */
static uint64_t look(Machine *m, uint64_t iova, uint32_t pasid, uint32_t mode)
{
	uint32_t status;

	put64(m, m->bar + PEDU_BUFFER, 0);
	status = dma(m, iova, pasid, mode, 0, 4);
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
	status = dma(m, iova, pasid, mode, PEDU_CMD_TO_MEMORY, 4);
	return status & PEDU_STATUS_DONE ? PEDU_STATUS_CODE(status) : 0xff;
}

/* Events */

struct event {
	unsigned int type;
	unsigned int flags;
	uint16_t device;
	uint32_t id;		/* DomainID or PASID */
	uint64_t addr;
};

/* Takes the oldest; returns its type, 0 if there is none */
static unsigned int take_event(Machine *m, struct event *e)
{
	unsigned int *head = &m->event_head[m->unit];
	uint64_t at = LOG + m->unit * LOG_SIZE + *head, lo;

	*e = (struct event) { };
	if (get32(m, iommu(m, EVENT_TAIL)) == *head)
		return 0;
	lo = get64(m, at);
	e->type = lo >> 60;
	e->flags = lo >> 48 & 0xfff;
	e->device = lo & 0xffff;
	e->id = (lo >> 32 & 0xffff) | (lo & 0xf0000);
	e->addr = get64(m, at + 8);
	*head = (*head + 16) % LOG_SIZE;
	put32(m, iommu(m, EVENT_HEAD), *head);
	return e->type;
}

static unsigned int event(Machine *m)
{
	struct event e;

	return take_event(m, &e);
}

#define EXPECT_EVENT(m, type_, flags_, device_, id_, addr_) ({	\
	struct event e_;					\
	EXPECT_EQ(type_, take_event(m, &e_));			\
	EXPECT_EQ(flags_, e_.flags);				\
	EXPECT_EQ(device_, e_.device);				\
	EXPECT_EQ(id_, e_.id);					\
	EXPECT_EQ(addr_, e_.addr);				\
})

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

/* A root port, and the device behind it */
static void open_port(Machine *m, uint16_t port, uint16_t sid, uint64_t memory)
{
	put32(m, config_at(port, 0x18), (sid >> 8) * 0x10100 | port >> 8);
	put16(m, config_at(port, 0x20), memory >> 16);
	put16(m, config_at(port, 0x22), memory >> 16);
	put16(m, config_at(port, 0x04), 6);
	place_device(m, sid, memory);
}

static void enable_ats(Machine *m, uint16_t sid)
{
	put16(m, config_at(sid, 0x106), 7);
	put16(m, config_at(sid, 0x116), 0x8000);
}

/* @devices: the table, and its size as the register has it */
static void start_iommu(Machine *m, uint64_t devices)
{
	put64(m, iommu(m, 0), devices);
	put64(m, iommu(m, 0x08), (RING + m->unit * RING_SIZE) | 8ULL << 56);
	put64(m, iommu(m, 0x10), (LOG + m->unit * LOG_SIZE) | 8ULL << 56);
	put64(m, iommu(m, CONTROL), ENABLE | GCR3TRP);
}

static void start_qemu(Machine *m, const char *options)
{
	char iommu[256];
	const char *const argv[] = {
		"-device", iommu,
		"-device", "pasid-edu,addr=2", "-device", "pasid-edu,addr=3",
		"-device", "pcie-root-port,id=root1,addr=4,chassis=1", "-device", "pasid-edu,bus=root1",
		"-device", "pxb-pcie,id=far,bus_nr=8,bus=pcie.0,addr=1d",
		"-device", "amd-iommu,nesting=on,primary-bus=far",
		"-device", "pcie-root-port,id=root2,bus=far,chassis=2", "-device", "pasid-edu,bus=root2", NULL,
	};
	int n;

	snprintf(iommu, sizeof(iommu), "amd-iommu,nesting=on%s", options);
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
	open_port(m, FAR_PORT, FAR, FAR_BAR);
	enable_ats(m, SID);
	enable_ats(m, SID2);
	enable_ats(m, FAR);
	start_iommu(m, DEVICES | 3);
}

FIXTURE_SETUP(amd)
{
	start_qemu(self, "");
	ASSERT_EQ(PEDU_ID_VALUE, get32(self, BAR + PEDU_ID));
	ASSERT_EQ(AMDM_ID_VALUE, get32(self, AMDM_BASE + AMDM_ID));
	ASSERT_TRUE(wait_done(self));
}

FIXTURE_TEARDOWN(amd)
{
	stop_machine(self);
}

/* A host table that has the tables and data at their GPAs */
static uint64_t new_stage2(Machine *m)
{
	uint64_t root = new_table(m);
	int n;

	put64(m, host_entry(m, root, 4, GPA(TABLES), 2), TABLES | RW);
	for (n = 0; n < 16; n++)
		host_map(m, root, GPA(PAGE(n)), PAGE(n), RW);
	return root;
}

/* Device SID nested under @stage2, its requests without a PASID too; returns the guest's root */
static uint64_t set_nested(Machine *m, uint16_t domain, uint64_t stage2)
{
	uint64_t root = new_table(m), gcr3 = new_gcr3(m, 0, GPA(root));

	set_guest(m, SID, domain, GPA(gcr3), stage2 | MODE(4) | GIOV);
	return root;
}

/* What the IOMMU says of itself */

TEST_F(amd, features)
{
	uint64_t efr = get64(self, IOMMU + 0x30);

	/* PreFSup, PPRSup, GTSup, IASup, GASup, HESup, HATS 2, GATS 1, GLXSup 2, PASmax 15, GIO, HA, EPH, HD */
	EXPECT_EQ(0x17000f000099d3ULL, efr);
	EXPECT_EQ(BIT(3), get64(self, IOMMU + 0x1a0));
	/* Neither can be written */
	put64(self, IOMMU + 0x30, 0);
	put64(self, IOMMU + 0x1a0, 0);
	EXPECT_EQ(efr, get64(self, IOMMU + 0x30));
	EXPECT_EQ(BIT(3), get64(self, IOMMU + 0x1a0));
	EXPECT_EQ(ENABLE | GCR3TRP, get64(self, IOMMU + CONTROL));
	/* Event log and command ring run */
	EXPECT_EQ(BIT(3) | BIT(4), get32(self, IOMMU + IOMMU_STATUS));
}

TEST_F(amd, states)
{
	/* V = 0 */
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	/* TV = 0 */
	set_dte(self, SID, V | IR | IW, 5, 0);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 5, PAGE(1));
	/* Pass-through, with rights */
	set_host(self, SID, 6, 0, 0);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(0, store(self, PAGE(1) + 8, NO_PASID, 0, 77));
	EXPECT_EQ(77, get64(self, PAGE(1) + 8));
	set_dte(self, SID, V | TV | IR, 6, 0);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, PAGE(1) + 8, NO_PASID, 0, 78));
	EXPECT_EVENT(self, PAGE_FAULT, F_PR | F_RW | F_PE, SID, 6, PAGE(1) + 8);
	EXPECT_EQ(77, get64(self, PAGE(1) + 8));
	/* A PASID needs GV */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), 5, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 5, PAGE(1));
	EXPECT_EQ(0, event(self));
}

TEST_F(amd, disabled)
{
	put64(self, IOMMU + CONTROL, 0);
	set_dte(self, SID, V | IR | IW, 5, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), 5, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_REFUSED, look(self, PAGE(1), NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0, model(self, AMDM_DTE_ENTRIES));
	EXPECT_EQ(0, event(self));
}

TEST_F(amd, behind_a_port)
{
	uint64_t root = new_table(self);

	open_port(self, PORT, BEHIND, PORT_MEMORY);
	self->bar = PORT_MEMORY;
	ASSERT_EQ(PEDU_ID_VALUE, get32(self, PORT_MEMORY + PEDU_ID));
	/* Its DeviceID is neither that of 00:00.0 nor that of the port */
	set_host(self, 0, 5, 0, 0);
	set_host(self, PORT, 5, 0, 0);
	set_host(self, BEHIND, 7, root, MODE(4));
	host_map(self, root, 0x7000, PAGE(2), RW);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, BEHIND, 7, 0x8000);
}

/* Host tables */

TEST_F(amd, host_table)
{
	uint64_t root = new_table(self), l2;

	set_host(self, SID, 7, root, MODE(4));
	host_map(self, root, 0x7000, PAGE(2), RW);
	host_map(self, root, 0x8000, PAGE(3), PR | IR);
	host_map(self, root, 0x9000, PAGE(4), PR | IW);
	put64(self, host_entry(self, root, 4, 0x40000000, 2), BIG(1) | RW);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 0x1234));
	EXPECT_EQ(0x1234, get64(self, PAGE(2) + 8));
	/* No A/D without HAD */
	EXPECT_EQ(PAGE(2) | RW, get64(self, host_entry(self, root, 4, 0x7000, 1)));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x8010, NO_PASID, 0, 1));
	EXPECT_EVENT(self, PAGE_FAULT, F_PR | F_PE | F_RW, SID, 7, 0x8010);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x9000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_PR | F_PE, SID, 7, 0x9000);
	EXPECT_EQ(0, store(self, 0x9008, NO_PASID, 0, 5));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0xa000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, 0xa000);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 1ULL << 48, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, 1ULL << 48);
	/* 2 MiB: one entry */
	EXPECT_EQ(BIG(1) + 0x5000, look(self, 0x40005000, NO_PASID, 0));
	reset_counters(self);
	EXPECT_EQ(BIG(1) + 0x9000, look(self, 0x40009000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_TLB_HITS));
	EXPECT_EQ(1, model(self, AMDM_HOST));
	/* 16 KiB by NextLevel 7, in four equal entries */
	l2 = host_entry(self, root, 4, 0x10000, 1);
	for (int i = 0; i < 4; i++)
		put64(self, l2 + 8 * i, PAGE(4) | 0x1000 | RW | NEXT(7));
	EXPECT_EQ(PAGE(6), look(self, 0x12000, NO_PASID, 0));
	EXPECT_EQ(PAGE(7), look(self, 0x13000, NO_PASID, 0));
	/* Levels left out: only for an address that has 0 there */
	put64(self, root + 8 * 2, get64(self, host_entry(self, root, 4, 0x7000, 2)) | RW);
	EXPECT_EQ(PAGE(2), look(self, (2ULL << 39) + 0x7000, NO_PASID, 0));
	EXPECT_EQ(0, event(self));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, (2ULL << 39) + 0x207000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, (2ULL << 39) + 0x207000);
	/* A level that does not descend */
	put64(self, root + 8 * 3, root | RW | NEXT(4));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 3ULL << 39, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_PR | F_RZ, SID, 7, 3ULL << 39);
	/* A table outside of memory */
	put64(self, root + 8 * 4, 0x4000000000ULL | RW | NEXT(3));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 4ULL << 39, NO_PASID, 0));
	EXPECT_EVENT(self, TABLE_HARDWARE, 0, SID, 7, 0x4000000000ULL);
}

TEST_F(amd, host_modes)
{
	int mode;

	for (mode = 1; mode <= 6; mode++) {
		uint64_t root = new_table(self), top = 1ULL << (12 + 9 * mode - 1);

		if (mode == 6)
			top = 1ULL << 63;
		put64(self, host_entry(self, root, mode, top, 1), PAGE(mode) | RW);
		set_host(self, SID, mode, root, MODE(mode));
		submit_done(self, inv_dte(SID), 0);
		EXPECT_EQ(PAGE(mode), look(self, top, NO_PASID, 0));
		if (mode < 6)
			EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, top << 1, NO_PASID, 0));
	}
}

TEST_F(amd, host_dirty)
{
	uint64_t root = new_table(self), at;

	set_host(self, SID, 7, root, MODE(4) | HAD);
	host_map(self, root, 0x7000, PAGE(2), RW);
	at = host_entry(self, root, 4, 0x7000, 1);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PAGE(2) | RW | A, get64(self, at));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 1));
	EXPECT_EQ(PAGE(2) | RW | A | D, get64(self, at));
	/* A cached entry with D sets it no more, until it is dropped */
	put64(self, at, PAGE(2) | RW);
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 2));
	EXPECT_EQ(PAGE(2) | RW, get64(self, at));
	submit_done(self, inv_pages(7, 0), 0x7000);
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 3));
	EXPECT_EQ(PAGE(2) | RW | A | D, get64(self, at));
	EXPECT_EQ(2, model(self, AMDM_HOST_AD) - 1);
}

/* Guest tables alone */

TEST_F(amd, guest_table)
{
	uint64_t root = new_table(self), gcr3 = new_gcr3(self, 0, root), at;

	set_guest(self, SID, 7, gcr3, GIOV);
	guest_map(self, root, 0x7000, PAGE(2), GRW);
	guest_map(self, root, 0x8000, PAGE(3), GR);
	guest_map(self, root, 0x9000, PAGE(4), BIT(0) | BIT(1));
	put64(self, guest_entry(self, root, 4, 0x40000000, 2, 0), BIG(1) | GRW | LARGE);
	at = guest_entry(self, root, 4, 0x7000, 1, 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PAGE(2) | GRW | A, get64(self, at));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 0x1234));
	EXPECT_EQ(0x1234, get64(self, PAGE(2) + 8));
	EXPECT_EQ(PAGE(2) | GRW | A | D, get64(self, at));
	EXPECT_EQ(2, model(self, AMDM_GUEST));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x8010, NO_PASID, 0, 1));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN | F_PR | F_PE | F_RW, SID, 0, 0x8010);
	/* Supervisor's */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x9000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN | F_PR | F_PE, SID, 0, 0x9000);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0xa000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 0, 0xa000);
	set_knobs(self, AMDM_KNOB_EVENT_DOMAIN);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0xa000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, 0xa000);
	set_knobs(self, 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 1ULL << 47, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 0, 1ULL << 47);
	guest_map(self, root, 0xffff800000000000, PAGE(9), GRW);
	EXPECT_EQ(PAGE(9), look(self, 0xffff800000000000, NO_PASID, 0));
	/* 2 MiB, 1 GiB */
	EXPECT_EQ(BIG(1) + 0x5000, look(self, 0x40005000, NO_PASID, 0));
	reset_counters(self);
	EXPECT_EQ(BIG(1) + 0x9000, look(self, 0x40009000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_TLB_HITS));
	put64(self, guest_entry(self, root, 4, 0x80000000, 3, 0), GRW | LARGE);
	EXPECT_EQ(PAGE(3), look(self, 0x80000000 + PAGE(3), NO_PASID, 0));
	EXPECT_EQ(PAGE(4), look(self, 0x80000000 + PAGE(4), NO_PASID, 0));
	EXPECT_EQ(2, model(self, AMDM_TLB_HITS));
	put64(self, guest_entry(self, root, 4, 0x40200000, 2, 0), BIG(1) | 0x4000 | GRW | LARGE);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x40200000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN | F_PR | F_RZ, SID, 0, 0x40200000);
	/* Without GIOV they pass; IR and IW of the DTE are for all */
	set_guest(self, SID, 7, gcr3, 0);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(9), look(self, PAGE(9), NO_PASID, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 0, 0));
	put64(self, DEVICE(SID), get64(self, DEVICE(SID)) & ~IR);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 0, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN | F_PR | F_PE, SID, 0, 0x7000);
	EXPECT_EQ(0, store(self, 0x7008, 0, 0, 1));
}

TEST_F(amd, guest_5_levels)
{
	uint64_t root = new_table(self), gcr3 = new_gcr3(self, 0, root);

	set_guest(self, SID, 7, gcr3, GIOV);
	put64(self, DEVICE(SID) + 16, LEVEL5);
	put64(self, guest_entry(self, root, 5, 0x56000000007000, 1, 0), PAGE(2) | GRW);
	EXPECT_EQ(PAGE(2), look(self, 0x56000000007000, NO_PASID, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 1ULL << 56, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 0, 1ULL << 56);
}

TEST_F(amd, gcr3_levels)
{
	uint64_t root[4], l1 = new_table(self), l2 = new_table(self), l3 = new_table(self);
	int i;

	for (i = 0; i < 4; i++) {
		root[i] = new_table(self);
		guest_map(self, root[i], 0x7000, PAGE(1 + i), GRW);
	}
	/* PASIDs 5, 0x1ff, 0x205, 0xfe05 */
	put64(self, l1 + 8 * 5, root[0] | 1);
	put64(self, l1 + 8 * 0x1ff, root[1] | 1);
	put64(self, l2, l1 | 1);
	put64(self, l2 + 8, new_gcr3(self, 5, root[2]) | 1);
	put64(self, l2 + 8 * 0x7f, new_gcr3(self, 5, root[3]) | 1);
	put64(self, l3, l2 | 1);

	set_guest(self, SID, 7, l1, 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 0x1ff, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 0x205, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 0x205, 0x7000);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 6, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 6, 0x7000);
	for (i = 1; i <= 2; i++) {
		set_guest(self, SID, 8 + i, i == 1 ? l2 : l3, GLX(i));
		submit_done(self, inv_dte(SID), 0);
		EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
		EXPECT_EQ(PAGE(2), look(self, 0x7000, 0x1ff, 0));
		EXPECT_EQ(PAGE(3), look(self, 0x7000, 0x205, 0));
		EXPECT_EQ(PAGE(4), look(self, 0x7000, 0xfe05, 0));
		EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 0x405, 0));
		EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 0x405, 0x7000);
		/* Wider than PASmax */
		EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 0x10005, 0));
		EXPECT_EVENT(self, PAGE_FAULT, F_GN, SID, 0x10005, 0x7000);
	}
	/* A reserved bit of an entry */
	put64(self, l1 + 8 * 7, root[0] | 3);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, 7, 0));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN | F_PR | F_RZ, SID, 7, 0x7000);
	EXPECT_EQ(0, event(self));
}

/* Each part of the GCR3 root in the DTE */
TEST_F(amd, gcr3_root)
{
	uint64_t root = new_table(self), gcr3 = 0x7ffe000;

	put64(self, gcr3, root | 1);
	guest_map(self, root, 0x7000, PAGE(2), GRW);
	set_guest(self, SID, 7, gcr3, GIOV);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	set_guest(self, SID, 7, 0xabcdef1234000, GIOV);
	submit_done(self, inv_dte(SID), 0);
	submit_done(self, inv_all(), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, NO_PASID, 0));
	EXPECT_EVENT(self, TABLE_HARDWARE, 0, SID, 7, 0xabcdef1234000);
}

/* Nested */

TEST_F(amd, nested)
{
	uint64_t stage2 = new_stage2(self), root = set_nested(self, 7, stage2);
	uint64_t l3 = new_table(self), l2 = new_table(self), l1 = new_table(self);

	nested_map(self, root, 0x7000, PAGE(2), GRW);
	nested_map(self, root, 0x8000, PAGE(3), GR);
	nested_map(self, root, 0x9000, PAGE(20), GRW);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 0x55));
	EXPECT_EQ(0x55, get64(self, PAGE(2) + 8));
	EXPECT_EQ(2, model(self, AMDM_NESTED));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x8000, NO_PASID, 0, 1));
	EXPECT_EVENT(self, PAGE_FAULT, F_GN | F_PR | F_PE | F_RW, SID, 0, 0x8000);
	/* The second stage has no such page: GPA and DomainID */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x9018, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, GPA(PAGE(20)) + 0x18);
	host_map(self, stage2, GPA(PAGE(20)), PAGE(20), R);
	EXPECT_EQ(PAGE(20), look(self, 0x9000, NO_PASID, 0));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x9000, NO_PASID, 0, 1));
	EXPECT_EVENT(self, PAGE_FAULT, F_PR | F_PE | F_RW, SID, 7, GPA(PAGE(20)));
	/* PASIDs, through a GCR3 table of 3 levels whose tables are GPAs too */
	put64(self, l3, GPA(l2) | 1);
	put64(self, l2 + 8 * 0x7f, GPA(l1) | 1);
	put64(self, l1 + 8 * 5, GPA(root) | 1);
	set_guest(self, SID, 9, GPA(l3), stage2 | MODE(4) | GLX(2));
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 0xfe05, 0));
	/* Without GIOV what has no PASID is a GPA */
	EXPECT_EQ(PAGE(1), look(self, GPA(PAGE(1)), NO_PASID, 0));
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 9, 0x7000);
	EXPECT_EQ(0, event(self));
}

/* GCR3TRPMode: whether the GCR3 table is at a GPA; the guest tables are in any case */
TEST_F(amd, gcr3_mode)
{
	uint64_t stage2 = new_stage2(self), root = set_nested(self, 7, stage2);
	uint64_t gcr3 = new_gcr3(self, 0, GPA(root));

	nested_map(self, root, 0x7000, PAGE(2), GRW);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	set_guest(self, SID, 8, gcr3, stage2 | MODE(4) | GIOV);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, NO_PASID, 0));
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 8, gcr3);
	put64(self, IOMMU + CONTROL, ENABLE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	/* With Mode 0 it is an SPA */
	put64(self, IOMMU + CONTROL, ENABLE | GCR3TRP);
	root = new_table(self);
	guest_map(self, root, 0x7000, PAGE(4), GRW);
	set_guest(self, SID, 9, new_gcr3(self, 0, root), GIOV);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(4), look(self, 0x7000, NO_PASID, 0));
}

/* A/D of a guest table need a table page that the second stage lets write */
TEST_F(amd, nested_dirty)
{
	uint64_t stage2 = new_stage2(self), root = set_nested(self, 7, stage2), at;

	nested_map(self, root, 0x7000, PAGE(2), GRW);
	at = guest_entry(self, root, 4, 0x7000, 1, GPA(0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(GPA(PAGE(2)) | GRW | A, get64(self, at));
	EXPECT_EQ(0, store(self, 0x7008, NO_PASID, 0, 1));
	EXPECT_EQ(GPA(PAGE(2)) | GRW | A | D, get64(self, at));
	put64(self, host_entry(self, stage2, 4, GPA(TABLES), 2), TABLES | R);
	put64(self, at, GPA(PAGE(2)) | GRW | A);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PEDU_ERR_BLOCKED, store(self, 0x7008, NO_PASID, 0, 2));
	EXPECT_EVENT(self, PAGE_FAULT, F_PR | F_PE | F_RW, SID, 7, GPA(at));
}

/* What is stale stays until it is told to go: each wrong scope first, then the right one */

TEST_F(amd, stale_dte)
{
	uint64_t a = new_table(self), b = new_table(self);

	host_map(self, a, 0x7000, PAGE(1), RW);
	host_map(self, b, 0x7000, PAGE(2), RW);
	set_host(self, SID, 7, a, MODE(4));
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	set_host(self, SID, 8, b, MODE(4));
	submit_done(self, inv_dte(SID2), 0);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE);
	submit_done(self, inv_iotlb(SID, 0), EVERYTHING | S);
	submit_done(self, OP(5) | SID, 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_DTE_STALE));
	EXPECT_EQ(1, model(self, AMDM_UNKNOWN_DEVICE));
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(0, model(self, AMDM_FOREIGN_HITS));
	/* Back to the DomainID of the first one, whose entry is still there */
	set_host(self, SID, 7, b, MODE(4));
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_FOREIGN_HITS));
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_FOREIGN_HITS));
	/* Op 8 */
	set_host(self, SID, 9, a, MODE(4));
	submit_done(self, inv_all(), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	/* Hardware that keeps no DTE */
	set_host(self, SID, 10, b, MODE(4));
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	set_knobs(self, AMDM_KNOB_NO_DTE_CACHE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
}

TEST_F(amd, stale_host)
{
	uint64_t root = new_table(self), at;

	set_host(self, SID, 7, root, MODE(4));
	host_map(self, root, 0x7000, PAGE(1), RW);
	at = host_entry(self, root, 4, 0x7000, 1);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	put64(self, at, PAGE(2) | RW);
	submit_done(self, inv_pages(7, 0), 0x8000 | PDE);
	submit_done(self, inv_pages(8, 0), 0x7000 | PDE);
	submit_done(self, inv_pages(8, 0), EVERYTHING | S | PDE);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE | GN);
	submit_done(self, inv_dte(SID), 0);
	submit_done(self, inv_iotlb(SID, 0), EVERYTHING | S);
	/* S: 0x0000 to 0x3fff, 0x8000 to 0xffff */
	submit_done(self, inv_pages(7, 0), 0x1000 | S | PDE);
	submit_done(self, inv_pages(7, 0), 0xb000 | S | PDE);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_TLB_STALE));
	EXPECT_EQ(2, model(self, AMDM_UNKNOWN_DOMAIN));
	submit_done(self, inv_pages(7, 0), 0x7000);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	put64(self, at, PAGE(3) | RW);
	submit_done(self, inv_pages(7, 0), 0x6000 | S);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, NO_PASID, 0));
	put64(self, at, PAGE(4) | RW);
	submit_done(self, inv_pages(7, 0), 0x3000 | S);
	EXPECT_EQ(PAGE(4), look(self, 0x7000, NO_PASID, 0));
	put64(self, at, PAGE(5) | RW);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S);
	EXPECT_EQ(PAGE(5), look(self, 0x7000, NO_PASID, 0));
	put64(self, at, 0);
	EXPECT_EQ(PAGE(5), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_all(), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(10, get32(self, AMDM_BASE + AMDM_COMMANDS(3)));
}

TEST_F(amd, stale_guest)
{
	uint64_t root = new_table(self), gcr3 = new_gcr3(self, 5, root), at;

	put64(self, gcr3, root | 1);
	put64(self, gcr3 + 8 * 6, root | 1);
	set_guest(self, SID, 7, gcr3, GIOV);
	guest_map(self, root, 0x7000, PAGE(1), GRW);
	at = guest_entry(self, root, 4, 0x7000, 1, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(2) | GRW);
	submit_done(self, inv_pages(7, 5), 0x8000 | GN | PDE);
	submit_done(self, inv_pages(8, 5), 0x7000 | GN | PDE);
	submit_done(self, inv_pages(7, 6), 0x7000 | GN | PDE);
	submit_done(self, inv_pages(7, 0), 0x7000 | GN | PDE);
	submit_done(self, inv_pages(7, 6), EVERYTHING | S | GN | PDE);
	submit_done(self, inv_pages(8, 5), EVERYTHING | S | GN | PDE);
	submit_done(self, inv_pages(7, 0), 0x7000 | PDE);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	EXPECT_EQ(1, model(self, AMDM_TLB_STALE));
	/* PASID 6 and requests without a PASID have no entry, so they see what is there */
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 6, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_pages(7, 5), 0x7000 | GN);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));
	put64(self, at, PAGE(3) | GRW);
	submit_done(self, inv_pages(7, 5), 0x3000 | S | GN);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 5, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 6, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_pages(7, 0), 0x7000 | GN);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 6, 0));
	/* GN = 0 and everything: all PASIDs, unless the hardware is the other one */
	set_knobs(self, AMDM_KNOB_GN0_KEEPS);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 6, 0));
	set_knobs(self, 0);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, 6, 0));
	put64(self, at, PAGE(4) | GRW);
	submit_done(self, inv_all(), 0);
	EXPECT_EQ(PAGE(4), look(self, 0x7000, 6, 0));
}

TEST_F(amd, stale_nested)
{
	uint64_t stage2 = new_stage2(self), root = set_nested(self, 7, stage2), at, copy, table;

	nested_map(self, root, 0x7000, PAGE(1), GRW);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	at = host_entry(self, stage2, 4, GPA(PAGE(1)), 1);
	put64(self, at, PAGE(2) | RW);
	/* Its GVA is none of the second stage, GN is wrong for that, and 8 is another domain */
	submit_done(self, inv_pages(7, 0), 0x7000 | PDE);
	submit_done(self, inv_pages(8, 0), GPA(PAGE(1)) | PDE);
	submit_done(self, inv_pages(7, 0), GPA(PAGE(1)) | PDE | GN);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	/* The GVA's entry goes, and comes again by the entry of the GPA */
	submit_done(self, inv_pages(7, 0), 0x7000 | GN);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_pages(7, 0), GPA(PAGE(1)));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	/* With the other reading that drops the entry of the GPA alone */
	set_knobs(self, AMDM_KNOB_GN0_KEEPS);
	put64(self, at, PAGE(3) | RW);
	submit_done(self, inv_pages(7, 0), GPA(PAGE(1)));
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | PDE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_all(), 0);
	EXPECT_EQ(PAGE(3), look(self, 0x7000, NO_PASID, 0));
	set_knobs(self, 0);
	/* The page of a table moves: other pages for the second stage */
	table = guest_entry(self, root, 4, 0x7000, 1, GPA(0)) & ~0xfffULL;
	copy = PAGE(30);
	put64(self, copy + 8 * 7, GPA(PAGE(5)) | GRW);
	put64(self, host_entry(self, stage2, 4, GPA(TABLES), 2), 0);
	for (int i = 0; i < 512; i++)
		host_map(self, stage2, GPA(TABLES) + 0x1000 * i, TABLES + 0x1000 * i, RW);
	host_map(self, stage2, GPA(table), copy, RW);
	submit_done(self, inv_pages(7, 0), GPA(PAGE(1)));
	EXPECT_EQ(PAGE(3), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_pages(7, 0), GPA(table) | PDE);
	EXPECT_EQ(PAGE(5), look(self, 0x7000, NO_PASID, 0));
}

/* Page directories: they are cached by themselves, and PDE drops them */
TEST_F(amd, stale_tables)
{
	uint64_t root = new_table(self), other = new_table(self), gcr3, at;

	set_host(self, SID, 7, root, MODE(4));
	host_map(self, root, 0x7000, PAGE(1), RW);
	put64(self, other + 8 * 7, PAGE(2) | RW);
	put64(self, other + 8 * 8, PAGE(3) | RW);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	put64(self, host_entry(self, root, 4, 0x7000, 2), other | RW | NEXT(1));
	submit_done(self, inv_pages(7, 0), EVERYTHING | S);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_TABLE_STALE));
	/* Also for a page that was not looked up before */
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000, NO_PASID, 0));
	submit_done(self, inv_pages(7, 0), 0x400000 | PDE);
	submit_done(self, inv_pages(7, 0), EVERYTHING | S | GN | PDE);
	submit_done(self, inv_pages(8, 0), EVERYTHING | S | PDE);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	submit_done(self, inv_pages(7, 0), 0x7000 | PDE);
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(PAGE(3), look(self, 0x8000, NO_PASID, 0));

	/* GCR3 entries */
	root = new_table(self);
	gcr3 = new_gcr3(self, 5, root);
	guest_map(self, root, 0x7000, PAGE(1), GRW);
	root = new_table(self);
	guest_map(self, root, 0x7000, PAGE(2), GRW);
	guest_map(self, root, 0x8000000000, PAGE(3), GRW);
	set_guest(self, SID, 9, gcr3, GIOV);
	submit_done(self, inv_dte(SID), 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, 5, 0));
	put64(self, gcr3 + 8 * 5, root | 1);
	submit_done(self, inv_pages(9, 5), EVERYTHING | S | GN);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000000000, 5, 0));
	submit_done(self, inv_pages(9, 6), EVERYTHING | S | GN | PDE);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x8000000000, 5, 0));
	submit_done(self, inv_pages(9, 5), EVERYTHING | S | GN | PDE);
	EXPECT_EQ(PAGE(3), look(self, 0x8000000000, 5, 0));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, 5, 0));

	/* Hardware without such a cache */
	set_knobs(self, AMDM_KNOB_NO_TABLES);
	at = guest_entry(self, root, 4, 0x7000, 2, 0);
	put64(self, at, other | GRW);
	put64(self, other + 8 * 7, PAGE(4) | GRW);
	submit_done(self, inv_pages(9, 5), EVERYTHING | S | GN);
	EXPECT_EQ(PAGE(4), look(self, 0x7000, 5, 0));
}

/* Entries of the TLB do not name the requester: two devices with one DomainID share them */
TEST_F(amd, tlb_is_shared)
{
	uint64_t a = new_table(self), b = new_table(self);

	host_map(self, a, 0x7000, PAGE(1), RW);
	host_map(self, b, 0x7000, PAGE(2), RW);
	set_host(self, SID, 7, a, MODE(4));
	set_host(self, SID2, 7, b, MODE(4));
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	self->bar = BAR + PEDU_BAR_SIZE;
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_FOREIGN_HITS));
	/* A full TLB is emptied */
	put32(self, AMDM_BASE + AMDM_TLB_SIZE, 1);
	host_map(self, b, 0x8000008000, PAGE(3), RW);
	EXPECT_EQ(PAGE(3), look(self, 0x8000008000, NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_TLB_OVERFLOWS));
	EXPECT_EQ(1, model(self, AMDM_TLB_ENTRIES));
}

/* ATS */

TEST_F(amd, device_tlb)
{
	uint64_t root = new_table(self), at;

	set_host(self, SID, 7, root, MODE(4));
	host_map(self, root, 0x7000, PAGE(1), RW);
	put64(self, host_entry(self, root, 4, 0x40000000, 2), BIG(1) | R);
	at = host_entry(self, root, 4, 0x7000, 1);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, model(self, AMDM_TRANSLATION));
	EXPECT_EQ(1, model(self, AMDM_TRANSLATED));
	EXPECT_EQ(PAGE(1), get64(self, BAR + PEDU_TLB_ADDR));
	put64(self, at, 0);
	submit_done(self, inv_all(), 0);
	submit_done(self, inv_iotlb(SID2, 0), EVERYTHING | S);
	submit_done(self, inv_iotlb(SID, 0), 0x8000);
	submit_done(self, inv_iotlb(SID, 0), 0x7000 | GN);
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0, model(self, AMDM_QUEUE_ID));
	submit_done(self, inv_iotlb(SID, 0) ^ 1ULL << 32, 0x7000);
	EXPECT_EQ(1, model(self, AMDM_QUEUE_ID));
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_NONE, look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(1, model(self, AMDM_FAULTS_ATS));
	EXPECT_EQ(0, event(self));
	EXPECT_EQ(BIG(1) + 0x3000, look(self, 0x40003000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EQ(0x200000, get64(self, BAR + PEDU_TLB_SIZE));
	EXPECT_EQ(PEDU_ERR_PERMISSION, store(self, 0x40003000, NO_PASID, PEDU_MODE_ATS, 1));
	submit_done(self, inv_iotlb(SID, 0), 0x40100000);
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_COUNT));
	/* I = 0 */
	set_dte(self, SID, V | TV | IR | IW | root | MODE(4), 7, 0);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_ATS_REFUSED, look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	EXPECT_EVENT(self, DEVICE_REQUEST, 0x200 | F_TR, SID, 7, 0x7000);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, PEDU_MODE_RAW));
	EXPECT_EVENT(self, DEVICE_REQUEST, 0x200, SID, 7, PAGE(1));
	EXPECT_EQ(1, model(self, AMDM_DEVICE_TLB_NONE));
	submit_done(self, inv_iotlb(SID, 0), EVERYTHING | S);
	EXPECT_EQ(2, model(self, AMDM_DEVICE_TLB_NONE));
}

TEST_F(amd, device_tlb_pasids)
{
	uint64_t root = new_table(self), gcr3 = new_gcr3(self, 5, root), table = new_table(self);
	int i;

	/* Three levels, so that all bits of the PASID count */
	put64(self, table, gcr3 | 1);
	put64(self, table + 8 * 0x7f, gcr3 | 1);
	set_guest(self, SID, 7, table, GLX(1));
	for (i = 0; i < 8; i++)
		guest_map(self, root, 0x10000 + 0x1000 * i, PAGE(i), GRW);
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(PAGE(i), look(self, 0x10000 + 0x1000 * i, 5, PEDU_MODE_ATS));
		ASSERT_EQ(PAGE(i), look(self, 0x10000 + 0x1000 * i, 0xfe05, PEDU_MODE_ATS));
	}
	ASSERT_EQ(16, get32(self, BAR + PEDU_TLB_COUNT));
	submit_done(self, inv_iotlb(SID, 0xfe05), 0x17000 | GN);
	EXPECT_EQ(15, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(PEDU_PASID_VALID | 0xfe05, get32(self, BAR + PEDU_INV_PASID));
	submit_done(self, inv_iotlb(SID, 0xfe05), 0x14000 | GN | S);
	EXPECT_EQ(13, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(0x2000, get64(self, BAR + PEDU_INV_SIZE));
	submit_done(self, inv_iotlb(SID, 0xfe05), 0x11000 | GN | S);
	EXPECT_EQ(9, get32(self, BAR + PEDU_TLB_COUNT));
	EXPECT_EQ(0x10000, get64(self, BAR + PEDU_INV_IOVA));
	submit_done(self, inv_iotlb(SID, 0xafe05), EVERYTHING | GN | S);
	EXPECT_EQ(PEDU_PASID_VALID | 0xafe05, get32(self, BAR + PEDU_INV_PASID));
	EXPECT_EQ(0, get64(self, BAR + PEDU_INV_SIZE));
	submit_done(self, inv_iotlb(SID, 0), EVERYTHING | S);
	EXPECT_EQ(9, get32(self, BAR + PEDU_TLB_COUNT));
	submit_done(self, inv_iotlb(SID, 5), EVERYTHING | GN | S);
	EXPECT_EQ(1, get32(self, BAR + PEDU_TLB_COUNT));
	set_knobs(self, AMDM_KNOB_IOTLB_PASIDS);
	submit_done(self, inv_iotlb(SID, 0), EVERYTHING | S);
	EXPECT_EQ(0, get32(self, BAR + PEDU_TLB_COUNT));
}

/* A device TLB that is invalidated before the TLB is refilled with what is stale */
TEST_F(amd, device_tlb_order)
{
	uint64_t root = new_table(self), gcr3 = new_gcr3(self, 0, root), at;

	set_guest(self, SID, 7, gcr3, GIOV);
	guest_map(self, root, 0x7000, PAGE(1), GRW);
	at = guest_entry(self, root, 4, 0x7000, 1, 0);
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	submit_done(self, inv_iotlb(SID, 0), 0x7000);
	EXPECT_EQ(0, model(self, AMDM_DEVICE_TLB_EARLY));
	ASSERT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	put64(self, at, PAGE(2) | GRW);
	submit_done(self, inv_iotlb(SID, 0), 0x7000);
	EXPECT_EQ(1, model(self, AMDM_DEVICE_TLB_EARLY));
	EXPECT_EQ(PAGE(1), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
	submit_done(self, inv_pages(7, 0), 0x7000 | GN);
	submit_done(self, inv_iotlb(SID, 0), 0x7000);
	EXPECT_EQ(1, model(self, AMDM_DEVICE_TLB_EARLY));
	EXPECT_EQ(PAGE(2), look(self, 0x7000, NO_PASID, PEDU_MODE_ATS));
}

TEST_F(amd, device_tlb_silent)
{
	unsigned int at;

	set_host(self, SID, 7, 0, 0);
	ASSERT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, PEDU_MODE_ATS));
	put32(self, BAR + PEDU_INV_MODE, PEDU_INV_SILENT);
	/* InvTimeout 10 ms; only a wait is held up */
	put64(self, IOMMU + CONTROL, ENABLE | 2 << 5);
	at = self->tail[0];
	submit(self, inv_iotlb(SID, 0), PAGE(1));
	submit(self, inv_pages(7, 0), 0);
	EXPECT_FALSE(wait_done(self));
	EXPECT_EQ(at + 32, get32(self, IOMMU + COMMAND_HEAD));
	ask(self, "clock_step 9000000");
	EXPECT_EQ(at + 32, get32(self, IOMMU + COMMAND_HEAD));
	EXPECT_EQ(0, event(self));
	ask(self, "clock_step 1000000");
	EXPECT_EQ(self->tail[0], get32(self, IOMMU + COMMAND_HEAD));
	EXPECT_EVENT(self, IOTLB_TIMEOUT, 0, SID, 0, RING + at);
	EXPECT_EQ(1, model(self, AMDM_TIMEOUTS));
	EXPECT_TRUE(wait_done(self));

	put32(self, BAR + PEDU_INV_MODE, PEDU_INV_OBEY);
	put32(self, AMDM_BASE + AMDM_INJECT, AMDM_INJECT_TIMEOUT | 4 << 8 | 1 << 16);
	submit_done(self, inv_iotlb(SID2, 0), PAGE(1));
	submit(self, inv_iotlb(SID2, 0), PAGE(1));
	EXPECT_FALSE(wait_done(self));
	ask(self, "clock_step 10000000");
	EXPECT_EQ(IOTLB_TIMEOUT, event(self));
	submit_done(self, inv_iotlb(SID2, 0), PAGE(1));
	EXPECT_EQ(0, event(self));
	/* Held up for as long as a test wants */
	set_knobs(self, AMDM_KNOB_HOLD);
	put32(self, AMDM_BASE + AMDM_INJECT, AMDM_INJECT_TIMEOUT);
	submit(self, inv_iotlb(SID2, 0), PAGE(1));
	EXPECT_FALSE(wait_done(self));
	ask(self, "clock_step 1000000000");
	EXPECT_NE(self->tail[0], get32(self, IOMMU + COMMAND_HEAD));
	EXPECT_EQ(0, event(self));
	set_knobs(self, 0);
	EXPECT_EQ(self->tail[0], get32(self, IOMMU + COMMAND_HEAD));
	EXPECT_EQ(IOTLB_TIMEOUT, event(self));
	/* Without InvTimeout it stands, until the ring is switched off */
	put64(self, IOMMU + CONTROL, ENABLE);
	put32(self, AMDM_BASE + AMDM_INJECT, AMDM_INJECT_TIMEOUT);
	submit(self, inv_iotlb(SID2, 0), PAGE(1));
	EXPECT_FALSE(wait_done(self));
	ask(self, "clock_step 1000000000000");
	EXPECT_NE(self->tail[0], get32(self, IOMMU + COMMAND_HEAD));
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(12));
	put64(self, IOMMU + CONTROL, ENABLE);
	EXPECT_TRUE(wait_done(self));
	EXPECT_EQ(0, event(self));
}

/* Entries that are not legal */
TEST_F(amd, illegal_dte)
{
	static const struct {
		uint64_t q[4];
	} bad[] = {
		{ { BIT(2) } }, { { BIT(6) } }, { { BIT(63) } }, { { MODE(7) } },
		{ { GV | GLX(3) } }, { { GV, 0, BIT(55) } }, { { 0, 0, BIT(52) } }, { { 0, 0, BIT(53) } },
		{ { 0, 0, 0, 1 } }, { { 0, 0, 0, BIT(15) } }, { { 0, 0, 0, BIT(16) } }, { { 0, 0, 0, BIT(53) } },
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_dte(self, SID, V | TV | IR | IW | bad[i].q[0], bad[i].q[1], bad[i].q[2]);
		put64(self, DEVICE(SID) + 24, bad[i].q[3]);
		EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, 0));
		EXPECT_EVENT(self, ILLEGAL_DTE, F_RZ, SID, 0, PAGE(1));
	}
	/* None was cached */
	set_host(self, SID, 7, 0, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	/* GV while GTEn is off */
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(16));
	set_guest(self, SID, 7, new_table(self), 0);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EVENT(self, ILLEGAL_DTE, F_RZ, SID, 0, PAGE(1));
	/* A device table that is too short */
	put64(self, IOMMU, DEVICES);
	set_host(self, SID, 7, 0, 0);
	EXPECT_EQ(PAGE(1), look(self, PAGE(1), NO_PASID, 0));
	put64(self, IOMMU, 0xabcdef1234000);
	submit_done(self, inv_dte(SID), 0);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EVENT(self, DTE_HARDWARE, 0, SID, 0, PAGE(1));
}

/* Commands */

TEST_F(amd, illegal_commands)
{
	static const uint64_t bad[][2] = {
		{ OP(0), 0 }, { OP(9), 0 }, { OP(10), 0 }, { OP(11), 0 }, { OP(15), 0 },
		{ OP(1) | BIT(52), 0 }, { OP(1) | BIT(59), 0 },
		{ OP(2) | SID | BIT(16), 0 }, { OP(2) | SID | BIT(59), 0 }, { OP(2) | SID, 1 },
		{ OP(3) | BIT(20), 0 }, { OP(3) | BIT(48), 0 }, { OP(3), BIT(3) }, { OP(3), BIT(11) },
		{ OP(4) | SID, BIT(1) }, { OP(4) | SID, BIT(3) }, { OP(4) | SID, BIT(6) }, { OP(4) | SID, BIT(11) },
		{ OP(5) | SID | BIT(16), 0 }, { OP(5) | SID, 1 },
		{ OP(6) | SID | BIT(52), 0 }, { OP(6) | SID, BIT(1) },
		{ OP(7) | SID | BIT(16), 0 }, { OP(7) | SID, 1 }, { OP(7) | SID, BIT(48) },
		{ OP(8) | 1, 0 }, { OP(8) | BIT(32), 0 }, { OP(8), 1 },
	};
	unsigned int i, at;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		at = self->tail[0];
		submit(self, bad[i][0], bad[i][1]);
		EXPECT_EVENT(self, ILLEGAL_COMMAND, 0, 0, 0, RING + at);
		EXPECT_EQ(at, get32(self, IOMMU + COMMAND_HEAD));
		EXPECT_EQ(BIT(3), get32(self, IOMMU + IOMMU_STATUS) & (BIT(3) | BIT(4)));
		/* It stands, whatever comes */
		EXPECT_FALSE(wait_done(self));
		/* As a driver does: replace it, off and on */
		put64(self, RING + at, inv_dte(SID));
		put64(self, RING + at + 8, 0);
		put64(self, IOMMU + CONTROL, ENABLE & ~BIT(12));
		put64(self, IOMMU + CONTROL, ENABLE);
		EXPECT_TRUE(wait_done(self));
		EXPECT_EQ(0, event(self));
	}
	EXPECT_EQ(i, model(self, AMDM_ILLEGAL));
	EXPECT_EQ(i, get32(self, AMDM_BASE + AMDM_COMMANDS(2)));
	put32(self, AMDM_BASE + AMDM_INJECT, AMDM_INJECT_ILLEGAL | 3 << 8);
	submit(self, inv_pages(7, 0), 0);
	EXPECT_EQ(ILLEGAL_COMMAND, event(self));
}

TEST_F(amd, legal_commands)
{
	unsigned int i, first;

	submit_done(self, inv_iotlb(SID, 0xfffff), EVERYTHING | S | GN | 3 << 4);
	submit_done(self, OP(6) | SID, 0);
	submit_done(self, OP(7) | SID | 0xfffffULL << 32, GN | 0x3ffULL << 32 | 0xfULL << 44);
	submit_done(self, inv_pages(0xffff, 0xfffff), EVERYTHING | S | PDE | GN);
	EXPECT_EQ(0, event(self));
	EXPECT_EQ(1, get32(self, AMDM_BASE + AMDM_COMMANDS(7)));
	/* Around the ring, and the log of the model around its */
	reset_counters(self);
	for (i = 0; i < 300; i++)
		submit_done(self, inv_pages(i, 0), 0x1000);
	EXPECT_EQ(600, get32(self, AMDM_BASE + AMDM_LOG_COUNT));
	first = 598 % AMDM_LOG_ENTRIES;
	EXPECT_EQ(inv_pages(299, 0), get64(self, AMDM_BASE + AMDM_LOG(first)));
	EXPECT_EQ(0x1000, get64(self, AMDM_BASE + AMDM_LOG(first) + 8));
	/* A wait that stores nothing but asks for an interrupt */
	submit(self, OP(1) | BIT(1), 0);
	EXPECT_EQ(BIT(2), get32(self, IOMMU + IOMMU_STATUS) & BIT(2));
	put32(self, IOMMU + IOMMU_STATUS, BIT(2));
	EXPECT_EQ(0, get32(self, IOMMU + IOMMU_STATUS) & BIT(2));
}

TEST_F(amd, stalls)
{
	put32(self, AMDM_BASE + AMDM_INJECT, AMDM_INJECT_STALL | 3 << 8 | 1 << 16);
	submit_done(self, inv_pages(7, 0), 0);
	submit(self, inv_pages(7, 0), 0);
	EXPECT_FALSE(wait_done(self));
	EXPECT_FALSE(wait_done(self));
	EXPECT_EQ(1, model(self, AMDM_STALLS));
	EXPECT_EQ(0, event(self));
	put32(self, AMDM_BASE + AMDM_INJECT, AMDM_INJECT_NONE);
	EXPECT_EQ(self->tail[0], get32(self, IOMMU + COMMAND_HEAD));
	EXPECT_EQ(2, get32(self, AMDM_BASE + AMDM_COMMANDS(3)));
	/* A ring outside of memory */
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(12));
	put64(self, IOMMU + 0x08, 0xabcdef1234000 | 8ULL << 56);
	put64(self, IOMMU + CONTROL, ENABLE);
	put32(self, IOMMU + COMMAND_TAIL, 16);
	EXPECT_EVENT(self, COMMAND_HARDWARE, 0, 0, 0, 0xabcdef1234000);
	EXPECT_EQ(0, get32(self, IOMMU + IOMMU_STATUS) & BIT(4));
}

/* The log */

TEST_F(amd, log_overflows)
{
	struct event e;
	unsigned int i;

	set_dte(self, SID, V, 7, 0);
	for (i = 0; i < 300; i++)
		EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, 0x1000 * i, NO_PASID, 0));
	EXPECT_EQ(255, model(self, AMDM_EVENTS));
	EXPECT_EQ(45, model(self, AMDM_EVENTS_LOST));
	/* Overflow and an interrupt are pending, and the log has stopped */
	EXPECT_EQ(BIT(0) | BIT(1) | BIT(4), get32(self, IOMMU + IOMMU_STATUS));
	for (i = 0; i < 255; i++) {
		ASSERT_EQ(PAGE_FAULT, take_event(self, &e));
		EXPECT_EQ(0x1000 * i, e.addr);
	}
	ASSERT_EQ(0, take_event(self, &e));
	look(self, 0, NO_PASID, 0);
	EXPECT_EQ(0, event(self));
	put32(self, IOMMU + IOMMU_STATUS, BIT(0) | BIT(1));
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(2));
	put64(self, IOMMU + CONTROL, ENABLE);
	EXPECT_EQ(BIT(3) | BIT(4), get32(self, IOMMU + IOMMU_STATUS));
	look(self, 0x5000, NO_PASID, 0);
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, 0x5000);
	EXPECT_EQ(BIT(1), get32(self, IOMMU + IOMMU_STATUS) & BIT(1));
}

static uint64_t page_request(Machine *m, uint16_t id, uint32_t pasid, uint64_t tag, uint64_t addr)
{
	uint64_t request = id | (pasid & 0xffff) << 16 | tag << 32 | (pasid >> 16 & 0xfULL) << 42 | 0x164ULL << 48;

	put64(m, AMDM_BASE + AMDM_PPR_ADDR, addr);
	put64(m, AMDM_BASE + AMDM_PPR, request);
	return request;
}

TEST_F(amd, page_requests)
{
	const uint64_t on = ENABLE | GCR3TRP | BIT(13) | BIT(15), last = 0x200, status = BIT(5) | BIT(6) | BIT(7);
	uint64_t request;
	unsigned int i;

	/* None: PPREn, the PPR bit of the DTE */
	set_dte(self, SID, V | TV | BIT(52), 7, 0);
	request = page_request(self, SID, 0x12345, 3 | last, 0x7000);
	EXPECT_EQ((request & 0xffffffffffffULL) | 9ULL << 60, get64(self, AMDM_BASE + AMDM_EVENT(0)));
	EXPECT_EQ(0x7000, get64(self, AMDM_BASE + AMDM_EVENT(1)));
	EXPECT_EQ(INVALID_PPR, event(self));
	put64(self, IOMMU + 0x38, PPR_LOG | 8ULL << 56);
	put64(self, IOMMU + CONTROL, on);
	set_dte(self, SID2, V | TV, 7, 0);
	page_request(self, SID2, 5, 3 | last, 0x7000);
	EXPECT_EQ(INVALID_PPR, event(self));
	EXPECT_EQ(2, model(self, AMDM_PPRS_INVALID));
	EXPECT_EQ(BIT(7), get32(self, IOMMU + IOMMU_STATUS) & status);

	/* In the log; only the last one of a group is to be answered */
	page_request(self, SID, 5, 4, 0x7000);
	request = page_request(self, SID, 0x12345, 4 | last, 0x8000);
	EXPECT_EQ(0, event(self));
	EXPECT_EQ(32, get32(self, IOMMU + PPR_TAIL));
	EXPECT_EQ(request | 1ULL << 60, get64(self, PPR_LOG + 16));
	EXPECT_EQ(0x8000, get64(self, PPR_LOG + 24));
	EXPECT_EQ(BIT(6) | BIT(7), get32(self, IOMMU + IOMMU_STATUS) & status);
	put32(self, IOMMU + IOMMU_STATUS, BIT(6));
	EXPECT_EQ(BIT(7), get32(self, IOMMU + IOMMU_STATUS) & status);
	EXPECT_EQ(3, model(self, AMDM_PPRS_PENDING));
	submit_done(self, OP(7) | SID, 4ULL << 32);
	submit_done(self, OP(7) | SID2, 3ULL << 32 | 0xfULL << 44);
	EXPECT_EQ(1, model(self, AMDM_PPRS_PENDING));
	EXPECT_EQ(0, model(self, AMDM_PPR_UNKNOWN));
	submit_done(self, OP(7) | SID, 4ULL << 32);
	EXPECT_EQ(1, model(self, AMDM_PPR_UNKNOWN));

	/* Overflow */
	for (i = 0; i < 300; i++)
		page_request(self, SID, 5, 1, 0x1000 * i);
	EXPECT_EQ(255, model(self, AMDM_PPRS));
	EXPECT_EQ(47, model(self, AMDM_PPRS_LOST));
	EXPECT_EQ(BIT(5) | BIT(6), get32(self, IOMMU + IOMMU_STATUS) & status);
	put32(self, IOMMU + PPR_HEAD, get32(self, IOMMU + PPR_TAIL));
	page_request(self, SID, 5, 1, 0);
	EXPECT_EQ(48, model(self, AMDM_PPRS_LOST));
	put32(self, IOMMU + IOMMU_STATUS, BIT(5) | BIT(6));
	put64(self, IOMMU + CONTROL, on & ~BIT(13));
	put64(self, IOMMU + CONTROL, on);
	EXPECT_EQ(BIT(7), get32(self, IOMMU + IOMMU_STATUS) & status);
	i = get32(self, IOMMU + PPR_TAIL);
	page_request(self, SID, 5, 1, 0x9000);
	EXPECT_EQ(0x9000, get64(self, PPR_LOG + i + 8));
	EXPECT_EQ(0, event(self));
}

TEST_F(amd, suppressed)
{
	set_dte(self, SID, V, 7 | SE, 0);
	look(self, 0x5000, NO_PASID, 0);
	look(self, 0x6000, NO_PASID, 0);
	EXPECT_EVENT(self, PAGE_FAULT, 0, SID, 7, 0x5000);
	EXPECT_EQ(0, event(self));
	set_dte(self, SID, V, 7 | SA, 0);
	submit_done(self, inv_dte(SID), 0);
	look(self, 0x5000, NO_PASID, 0);
	EXPECT_EQ(0, event(self));
	EXPECT_EQ(2, model(self, AMDM_EVENTS_SUPPRESSED));
	EXPECT_EQ(2ULL << 60 | 7ULL << 32 | SID, get64(self, AMDM_BASE + AMDM_EVENT(0)));
	set_dte(self, SID, V, 7, 0);
	submit_done(self, inv_dte(SID), 0);
	put64(self, IOMMU + CONTROL, ENABLE & ~BIT(2));
	look(self, 0x5000, NO_PASID, 0);
	EXPECT_EQ(1, model(self, AMDM_EVENTS_LOST));
	EXPECT_EQ(0, event(self));
}

TEST_F(amd, last_dte)
{
	set_dte(self, SID, V, 7, BIT(0) | 9 << 1 | 2ULL << 60 | 0x200000);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(self, PAGE(1), NO_PASID, 0));
	EXPECT_EQ(1, model(self, AMDM_DTE_ENTRIES));
	EXPECT_EQ(SID, get32(self, AMDM_BASE + AMDM_DTE_ID));
	EXPECT_EQ(V, get64(self, AMDM_BASE + AMDM_DTE(0)));
	EXPECT_EQ(7, get64(self, AMDM_BASE + AMDM_DTE(1)));
	EXPECT_EQ(BIT(0) | 9 << 1 | 2ULL << 60 | 0x200000, get64(self, AMDM_BASE + AMDM_DTE(2)));
}

/* IOMMUs that lack something */

/* Two units */

/* What the functions are about from now on */
static void use_unit(Machine *m, unsigned int unit)
{
	m->unit = unit;
	m->bar = unit ? FAR_BAR : BAR;
}

/* The ring, the log, the caches and the counters of each are its own */
TEST_F(amd, two_units)
{
	static const uint16_t device[] = { SID, FAR };
	Machine *m = self;
	uint32_t commands[2];
	uint64_t at[2];
	int i;

	use_unit(m, 1);
	EXPECT_EQ(AMDM_ID_VALUE, get32(m, own(m, AMDM_ID)));
	EXPECT_EQ(get64(m, IOMMU + 0x30), get64(m, iommu(m, 0x30)));
	EXPECT_EQ(BIT(3), get64(m, iommu(m, 0x1a0)));
	/* Its function says where it is */
	EXPECT_EQ(0xf, get32(m, config_at(IOMMU_SID2, 0x40)) & 0xff);
	EXPECT_EQ(iommu(m, 0), get32(m, config_at(IOMMU_SID2, 0x44)));
	/* While it is off, nobody asks for the DTE */
	set_dte(m, FAR, V, 5, 0);
	EXPECT_EQ(PAGE(1), look(m, PAGE(1), NO_PASID, 0));
	start_iommu(m, DEVICES2 | 19);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(m, PAGE(1), NO_PASID, 0));
	EXPECT_EVENT(m, PAGE_FAULT, 0, FAR, 5, PAGE(1));
	ASSERT_TRUE(wait_done(m));
	use_unit(m, 0);
	EXPECT_EQ(0, event(m));
	EXPECT_EQ(0, model(m, AMDM_DTE_MISSES));
	EXPECT_EQ(0, model(m, AMDM_EVENTS));

	/* One DomainID, one address, on both */
	for (i = 0; i < 2; i++) {
		uint64_t root = new_table(m);

		use_unit(m, i);
		set_host(m, device[i], 7, root, MODE(4));
		submit_done(m, inv_dte(device[i]), 0);
		host_map(m, root, 0x7000, PAGE(1 + i), RW);
		at[i] = host_entry(m, root, 4, 0x7000, 1);
	}
	for (i = 0; i < 2; i++) {
		use_unit(m, i);
		reset_counters(m);
		EXPECT_EQ(PAGE(1 + i), look(m, 0x7000, NO_PASID, 0));
		EXPECT_EQ(PAGE(1 + i), look(m, 0x7000, NO_PASID, PEDU_MODE_ATS));
		EXPECT_EQ(1, model(m, AMDM_DTE_ENTRIES));
		EXPECT_EQ(1, model(m, AMDM_TLB_ENTRIES));
		EXPECT_EQ(1, model(m, AMDM_DTE_MISSES));
		EXPECT_EQ(1, get32(m, m->bar + PEDU_TLB_COUNT));
		put64(m, at[i], PAGE(3 + i) | RW);
	}
	for (i = 0; i < 2; i++) {
		const uint64_t other = i ? PAGE(3) : PAGE(2);

		use_unit(m, !i);
		commands[0] = get32(m, own(m, AMDM_LOG_COUNT));
		use_unit(m, i);
		commands[1] = get32(m, own(m, AMDM_LOG_COUNT));
		submit_done(m, inv_pages(7, 0), EVERYTHING | S | PDE);
		submit_done(m, inv_iotlb(device[!i], 0), EVERYTHING | S);
		EXPECT_EQ(1, model(m, AMDM_DEVICE_TLB_NONE));
		EXPECT_EQ(PAGE(1 + i), look(m, 0x7000, NO_PASID, PEDU_MODE_ATS));
		submit_done(m, inv_iotlb(device[i], 0), EVERYTHING | S);
		EXPECT_EQ(PAGE(3 + i), look(m, 0x7000, NO_PASID, PEDU_MODE_ATS));
		EXPECT_EQ(PAGE(3 + i), look(m, 0x7000, NO_PASID, 0));
		submit_done(m, inv_dte(device[i]), 0);
		EXPECT_EQ(0, model(m, AMDM_DTE_ENTRIES));
		EXPECT_EQ(1, model(m, AMDM_DTE_DROPPED));
		EXPECT_EQ(1, model(m, AMDM_TLB_DROPPED));
		/* Each with a wait */
		EXPECT_EQ(commands[1] + 8, get32(m, own(m, AMDM_LOG_COUNT)));
		EXPECT_EQ(PAGE(3 + i), look(m, 0x7000, NO_PASID, 0));
		/* The other one has executed nothing, and kept all */
		use_unit(m, !i);
		EXPECT_EQ(commands[0], get32(m, own(m, AMDM_LOG_COUNT)));
		EXPECT_EQ(1, model(m, AMDM_DTE_ENTRIES));
		EXPECT_EQ(1, model(m, AMDM_TLB_ENTRIES));
		EXPECT_EQ(1, get32(m, m->bar + PEDU_TLB_COUNT));
		EXPECT_EQ(other, look(m, 0x7000, NO_PASID, PEDU_MODE_ATS));
		EXPECT_EQ(other, look(m, 0x7000, NO_PASID, 0));
	}

	/* Op 8, and an illegal command */
	use_unit(m, 1);
	submit_done(m, inv_all(), 0);
	EXPECT_EQ(0, model(m, AMDM_DTE_ENTRIES));
	EXPECT_EQ(0, model(m, AMDM_TLB_ENTRIES));
	submit(m, OP(15), 0);
	EXPECT_EQ(ILLEGAL_COMMAND, event(m));
	EXPECT_EQ(0, get32(m, iommu(m, IOMMU_STATUS)) & BIT(4));
	use_unit(m, 0);
	EXPECT_EQ(1, model(m, AMDM_DTE_ENTRIES));
	EXPECT_EQ(1, model(m, AMDM_TLB_ENTRIES));
	EXPECT_EQ(0, model(m, AMDM_ILLEGAL));
	EXPECT_EQ(0, event(m));
	submit_done(m, inv_all(), 0);
	EXPECT_EQ(0, model(m, AMDM_DTE_ENTRIES));
}

FIXTURE(lacks) { };
FIXTURE_SETUP(lacks) { }
FIXTURE_TEARDOWN(lacks) { }

static uint64_t features(const char *options, uint64_t *efr2)
{
	Machine m = { };
	uint64_t efr;

	start_qemu(&m, options);
	efr = get64(&m, IOMMU + 0x30);
	*efr2 = get64(&m, IOMMU + 0x1a0);
	stop_machine(&m);
	return efr;
}

TEST_F(lacks, features)
{
	const uint64_t all = 0x17000f000099d3ULL;
	uint64_t efr2;

	EXPECT_EQ(0x170000000009c3ULL, features(",gt=off", &efr2));
	EXPECT_EQ(all & ~BIT(48), features(",gio=off", &efr2));
	EXPECT_EQ(BIT(3), efr2);
	EXPECT_EQ(all, features(",gcr3trp=off", &efr2));
	EXPECT_EQ(0, efr2);
	EXPECT_EQ(all & ~(BIT(1) | BIT(50)), features(",ppr=off", &efr2));
	EXPECT_EQ(all & ~BIT(6), features(",ia=off", &efr2));
	EXPECT_EQ(all & ~(BIT(49) | BIT(52)), features(",hd=off", &efr2));
	EXPECT_EQ(0x170013000005d3ULL, features(",hats=1,gats=0,glx=0,pasid-bits=20", &efr2));
}

TEST_F(lacks, invalidate_all)
{
	Machine m = { };

	start_qemu(&m, ",ia=off,gio=off");
	submit(&m, inv_all(), 0);
	EXPECT_EQ(ILLEGAL_COMMAND, event(&m));
	set_guest(&m, SID, 7, new_table(&m), GIOV);
	EXPECT_EQ(FAULT | PEDU_ERR_BLOCKED, look(&m, PAGE(1), NO_PASID, 0));
	EXPECT_EVENT(&m, ILLEGAL_DTE, F_RZ, SID, 0, PAGE(1));
	stop_machine(&m);
}

TEST_HARNESS_MAIN
