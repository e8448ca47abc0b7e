// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the model of CMDQ-V: first that the kernel's driver puts commands
 * into the queues of VINTF 0. Then the program uses the registers in /dev/mem,
 * and the last VINTF, which nobody else uses, to test how the model handles
 * commands.
 *
 * Offsets from 0x8000 on are the model's own, see the head of cmdqv.c.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if.h>

#include "kselftest_harness.h"

#define EN			1u
#define VMID			5u
#define HYP_OWN			(1u << 17)

#define CONFIG			0x0000
#define PARAM			0x0004
#define STATUS			0x0008
#define VINTF_ERR_MAP		0x0014
#define CMDQ_ERR_MAP		0x0024
#define ALLOC(q)		(0x0200 + 4 * (q))
#define VINTF(v)		(0x1000 + 0x100 * (v))
#define SID_MATCH(s)		(0x40 + 4 * (s))
#define SID_REPLACE(s)		(0x80 + 4 * (s))
#define LVCMDQ_ERR_MAP		0xc0

#define CONS			0x00
#define PROD			0x04
#define QUEUE_CONFIG		0x08
#define QUEUE_STATUS		0x0c
#define GERROR			0x10
#define GERRORN			0x14

#define RESET			0x8004
#define POLICY			0x8008
#define QUIET			(1u << 10)
#define TAKE_BASE		(1u << 11)
#define STATUS_DELAY		0x800c
#define STATUS_OF		0x8010
#define RUN_DELAY		0x8014
#define MINUTE			60000000u	/* of a delay */
#define INJECT			0x8018
#define LOSE_BASE		0x8020
#define LEFT			0x8024
#define ORDERS			0x8040
#define VMIDS			0x8048
#define REFUSED			0x804c
#define LAST_REFUSED		0x8050
#define RESERVED		0x8054
#define UNKNOWN_SIDS		0x8058
#define SIGNALS			0x805c
#define INJECTED		0x8064
#define IRQS			0x806c
#define DEAD			0x8070
#define LAST_VSID		0x8074
#define LAST_PSID		0x8078
#define LOST_BASES		0x807c
#define ORDER(kind)		(0x8080 + 4 * (kind))
#define MAIN_OPCODE(op)		(0x8200 + 4 * (op))
#define EXECUTED(q)		(0x8400 + 0x20 * (q))
#define OPCODE(q, op)		(0x9000 + 0x200 * (q) + 4 * (op))

/* Kinds of order violations */
enum { O_ALLOC, O_FREE, O_FREE_ENABLED, O_SLOT_TWICE, O_MOVED, O_NO_VINTF, O_BASE,
       O_VINTF_QUEUE, O_VINTF_CONFIG, O_SID_REPLACE, O_SID_TWICE };

#define CFGI_STE		0x03
#define NH_ASID			0x11
#define NH_VA			0x12
#define ATC_INV			0x40
#define SYNC			0x46

struct command {
	uint64_t word[2];
};

FIXTURE(cmdqv)
{
	volatile void *base;
	uint64_t physical;		/* of the queue's page */
	volatile struct command *queue;
	unsigned int vintf;		/* the last one */
	unsigned int first;		/* its first queue */
	unsigned int queues;		/* it has */
};

static uint32_t get(FIXTURE_DATA(cmdqv) *self, unsigned int reg)
{
	return *(volatile uint32_t *)(self->base + reg);
}

/* Wait until the register has this value; returns its last value */
static uint32_t get_soon(FIXTURE_DATA(cmdqv) *self, unsigned int reg, uint32_t value)
{
	int i;

	for (i = 0; i < 20000 && get(self, reg) != value; i++)
		usleep(1000);
	return get(self, reg);
}

static void put(FIXTURE_DATA(cmdqv) *self, unsigned int reg, uint32_t value)
{
	__sync_synchronize();
	*(volatile uint32_t *)(self->base + reg) = value;
}

/* Registers of slot @slot of the VINTF, in the first and the second page */
static unsigned int page0(FIXTURE_DATA(cmdqv) *self, unsigned int slot, unsigned int reg)
{
	return 0x30000 + 0x20000 * self->vintf + 0x80 * slot + reg;
}

static void put_base(FIXTURE_DATA(cmdqv) *self, unsigned int slot, uint64_t base)
{
	*(volatile uint64_t *)(self->base + page0(self, slot, 0x10000)) = base;
}

static void alloc(FIXTURE_DATA(cmdqv) *self, unsigned int slot, bool on)
{
	put(self, ALLOC(self->first + slot), self->vintf << 15 | slot << 1 | on);
}

/* Slot 0 with room for 2^@log2 commands in the page */
static void start(FIXTURE_DATA(cmdqv) *self, unsigned int log2, uint32_t vintf_config)
{
	put(self, VINTF(self->vintf), vintf_config & ~EN);
	put(self, VINTF(self->vintf), vintf_config);
	alloc(self, 0, true);
	put_base(self, 0, self->physical | log2);
	put(self, page0(self, 0, QUEUE_CONFIG), EN);
}

static void command(FIXTURE_DATA(cmdqv) *self, unsigned int i, uint64_t word0, uint64_t word1)
{
	self->queue[i].word[0] = word0;
	self->queue[i].word[1] = word1;
}

/* Stop the VINTF as a driver does */
static void stop(FIXTURE_DATA(cmdqv) *self)
{
	int slot;

	put(self, STATUS_DELAY, 0);
	put(self, RUN_DELAY, 0);
	for (slot = self->queues - 1; slot >= 0; slot--) {
		unsigned int direct = 0x10000 + 0x80 * (self->first + slot);

		put(self, direct + QUEUE_CONFIG, 0);
		put(self, direct + PROD, 0);
		put(self, direct + CONS, 0);
		put(self, direct + GERRORN, get(self, direct + GERROR));
		*(volatile uint64_t *)(self->base + direct + 0x10000) = 0;
		alloc(self, slot, false);
	}
	put(self, VINTF(self->vintf), 0);
	for (slot = 0; slot < 16; slot++) {
		put(self, VINTF(self->vintf) + SID_MATCH(slot), 0);
		put(self, VINTF(self->vintf) + SID_REPLACE(slot), 0);
	}
	put(self, POLICY, 0);
	put(self, STATUS_OF, 0xffff001f);
	put(self, INJECT, self->first << 16);
}

FIXTURE_SETUP(cmdqv)
{
	unsigned long begin = 0, end = 0;
	char line[128];
	uint64_t entry;
	uint32_t param;
	FILE *iomem;
	int fd;

	iomem = fopen("/proc/iomem", "r");
	ASSERT_NE(NULL, iomem);
	while (fgets(line, sizeof(line), iomem)) {
		if (strstr(line, "NVDA200C:00"))
			sscanf(line, "%lx-%lx", &begin, &end);
	}
	fclose(iomem);
	ASSERT_NE(0, end);

	fd = open("/dev/mem", O_RDWR | O_SYNC);
	ASSERT_LE(0, fd);
	self->base = mmap(NULL, end + 1 - begin, PROT_READ | PROT_WRITE, MAP_SHARED, fd, begin);
	ASSERT_NE(MAP_FAILED, self->base);
	close(fd);
	ASSERT_EQ(0x51444d43, get(self, 0x8000));

	self->queue = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
	ASSERT_NE(MAP_FAILED, self->queue);
	fd = open("/proc/self/pagemap", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(entry), pread(fd, &entry, sizeof(entry),
				       (uintptr_t)self->queue / 4096 * sizeof(entry)));
	close(fd);
	self->physical = (entry & 0x7fffffffffffff) * 4096;
	ASSERT_NE(0, self->physical);

	param = get(self, PARAM);
	self->vintf = (1 << (param >> 8 & 0xf)) - 1;
	self->queues = 1 << ((param >> 4 & 0xf) - (param >> 8 & 0xf));
	self->first = self->vintf * self->queues;
	ASSERT_NE(0, self->vintf);
	ASSERT_LE(2, self->queues);
	ASSERT_EQ(0x30000 + 0x20000 * (self->vintf + 1), end + 1 - begin);
}

FIXTURE_TEARDOWN(cmdqv)
{
	stop(self);
}

/* First what the kernel has done since it booted */
TEST_F(cmdqv, driver)
{
	const char *left = getenv("LEFT");
	unsigned int q, v, executed = 0;

	/* Everything that another kernel has left running has stopped */
	EXPECT_EQ(left ? atoi(left) : 0, get(self, LEFT));
	for (v = 1; v <= self->vintf; v++) {
		EXPECT_EQ(0, get(self, VINTF(v)));
		EXPECT_EQ(0, get(self, VINTF(v) + 4) & EN);
	}
	for (q = self->queues; q < self->first + self->queues; q++) {
		EXPECT_EQ(0, get(self, ALLOC(q)) & EN);
		EXPECT_EQ(0, get(self, 0x10000 + 0x80 * q + QUEUE_CONFIG));
		EXPECT_EQ(0, get(self, 0x10000 + 0x80 * q + QUEUE_STATUS));
	}

	EXPECT_EQ(0x4231, get(self, PARAM));
	EXPECT_EQ(1, get(self, CONFIG) & EN);
	EXPECT_EQ(1, get(self, STATUS));
	EXPECT_EQ(EN | HYP_OWN, get(self, VINTF(0)));
	EXPECT_EQ(1, get(self, VINTF(0) + 4) & EN);
	for (q = 0; q < self->queues; q++) {
		EXPECT_EQ(1, get(self, 0x10000 + 0x80 * q + QUEUE_STATUS));
		EXPECT_EQ(0, get(self, 0x10000 + 0x80 * q + GERROR));
		executed += get(self, EXECUTED(q));
		/*
		 * None without a CMD_SYNC, and all CMD_SYNCs without a signal
		 */
		if (get(self, EXECUTED(q)))
			EXPECT_NE(0, get(self, OPCODE(q, SYNC)));
	}
	EXPECT_NE(0, executed);
	EXPECT_EQ(0, get(self, SIGNALS));
	EXPECT_EQ(0, get(self, IRQS));
	EXPECT_EQ(0, get(self, ORDERS));
	EXPECT_EQ(0, get(self, VMIDS));
	EXPECT_EQ(0, get(self, REFUSED));
}

TEST_F(cmdqv, order)
{
	unsigned int v = VINTF(self->vintf);

	stop(self);
	put(self, RESET, 0);
	put(self, POLICY, QUIET);
	alloc(self, 1, true);
	EXPECT_EQ(1, get(self, ORDER(O_ALLOC)));
	alloc(self, 0, true);
	EXPECT_EQ(1, get(self, ORDERS));
	alloc(self, 0, false);
	EXPECT_EQ(1, get(self, ORDER(O_FREE)));
	alloc(self, 1, false);
	alloc(self, 0, true);
	put(self, ALLOC(self->first + 1), self->vintf << 15 | EN);
	EXPECT_EQ(1, get(self, ORDER(O_SLOT_TWICE)));
	put(self, ALLOC(self->first + 1), self->vintf << 15 | 1 << 1 | EN);
	EXPECT_EQ(1, get(self, ORDER(O_MOVED)));
	put(self, ALLOC(self->first + 1), 0);
	put(self, ALLOC(self->first + 1), 63 << 15 | EN);
	EXPECT_EQ(1, get(self, ORDER(O_NO_VINTF)));
	put(self, ALLOC(self->first + 1), 0);
	EXPECT_EQ(5, get(self, ORDERS));

	start(self, 8, VMID << 1 | EN);
	EXPECT_EQ(5, get(self, ORDERS));
	put_base(self, 0, self->physical | 7);
	EXPECT_EQ(1, get(self, ORDER(O_BASE)));
	put(self, v, (VMID + 1) << 1 | EN);
	EXPECT_EQ(1, get(self, ORDER(O_VINTF_CONFIG)));
	put(self, v, 0);
	EXPECT_EQ(1, get(self, ORDER(O_VINTF_QUEUE)));
	alloc(self, 0, false);
	EXPECT_EQ(1, get(self, ORDER(O_FREE_ENABLED)));

	put(self, v + SID_REPLACE(0), 0x20);
	put(self, v + SID_MATCH(0), 0x10 << 1 | EN);
	EXPECT_EQ(9, get(self, ORDERS));
	put(self, v + SID_REPLACE(0), 0x21);
	EXPECT_EQ(1, get(self, ORDER(O_SID_REPLACE)));
	put(self, v + SID_MATCH(1), 0x10 << 1 | EN);
	EXPECT_EQ(1, get(self, ORDER(O_SID_TWICE)));
	EXPECT_EQ(11, get(self, ORDERS));
	put(self, POLICY, 0);
	put(self, RESET, 0);
	EXPECT_EQ(0, get(self, ORDERS));
}

TEST_F(cmdqv, slot_without_queue)
{
	stop(self);
	put(self, RESET, 0);
	put(self, page0(self, 0, PROD), 1);
	EXPECT_EQ(0, get(self, page0(self, 0, PROD)));
	EXPECT_EQ(2, get(self, DEAD));
	alloc(self, 0, true);
	EXPECT_EQ(0, get(self, page0(self, 0, PROD)));
	put(self, page0(self, 0, PROD), 1);
	EXPECT_EQ(1, get(self, page0(self, 0, PROD)));
	EXPECT_EQ(1, get(self, 0x10000 + 0x80 * self->first + PROD));
	EXPECT_EQ(2, get(self, DEAD));
}

TEST_F(cmdqv, replace)
{
	unsigned int v = VINTF(self->vintf);

	put(self, RESET, 0);
	start(self, 8, VMID << 1 | EN);
	command(self, 0, NH_ASID | (uint64_t)1 << 48, 0);
	command(self, 1, NH_VA | (uint64_t)VMID << 32 | (uint64_t)1 << 48, 0x1000);
	command(self, 2, SYNC, 0);
	put(self, page0(self, 0, PROD), 3);
	EXPECT_EQ(3, get(self, page0(self, 0, CONS)));
	EXPECT_EQ(3, get(self, EXECUTED(self->first)));
	EXPECT_EQ(1, get(self, OPCODE(self->first, NH_ASID)));
	EXPECT_EQ(1, get(self, OPCODE(self->first, NH_VA)));
	EXPECT_EQ(1, get(self, VMIDS));

	put(self, v + SID_REPLACE(3), 0x20);
	put(self, v + SID_MATCH(3), 0x10 << 1 | EN);
	command(self, 3, ATC_INV | (uint64_t)0x10 << 32, 52);
	command(self, 4, SYNC, 0);
	put(self, page0(self, 0, PROD), 5);
	EXPECT_EQ(5, get(self, page0(self, 0, CONS)));
	EXPECT_EQ(0x10, get(self, LAST_VSID));
	EXPECT_EQ(0x20, get(self, LAST_PSID));
	EXPECT_EQ(0, get(self, UNKNOWN_SIDS));
	EXPECT_EQ(0, get(self, IRQS));
}

/*
 * The command at @i raises error @code in that queue only; a CMD_SYNC in its
 * place recovers
 */
static void expect_error(struct __test_metadata *_metadata, FIXTURE_DATA(cmdqv) *self,
			 unsigned int i, unsigned int code)
{
	unsigned int irqs = get(self, IRQS);

	put(self, page0(self, 0, PROD), i + 1);
	EXPECT_EQ(code << 24 | i, get(self, page0(self, 0, CONS)));
	EXPECT_EQ(1, get(self, page0(self, 0, GERROR)) ^ get(self, page0(self, 0, GERRORN)));
	EXPECT_EQ(1u << self->vintf, get(self, VINTF_ERR_MAP));
	EXPECT_EQ(1u << self->first, get(self, CMDQ_ERR_MAP));
	EXPECT_EQ(1, *(volatile uint64_t *)(self->base + VINTF(self->vintf) + LVCMDQ_ERR_MAP));
	EXPECT_EQ(1 << 16 | 1 << 1 | EN, get(self, VINTF(self->vintf) + 4));
	EXPECT_EQ(irqs + 1, get(self, IRQS));
	command(self, i, SYNC, 0);
	put(self, page0(self, 0, PROD), i + 1);
	EXPECT_EQ(code << 24 | i, get(self, page0(self, 0, CONS)));
	put(self, page0(self, 0, GERRORN), get(self, page0(self, 0, GERROR)));
	EXPECT_EQ(i + 1, get(self, page0(self, 0, CONS)));
	EXPECT_EQ(0, get(self, VINTF_ERR_MAP));
	EXPECT_EQ(0, get(self, CMDQ_ERR_MAP));
}

TEST_F(cmdqv, errors)
{
	stop(self);
	put(self, RESET, 0);
	start(self, 8, VMID << 1 | EN);
	command(self, 0, CFGI_STE | (uint64_t)0x10 << 32, 1);
	expect_error(_metadata, self, 0, 1);
	EXPECT_EQ(1, get(self, REFUSED));
	EXPECT_EQ(self->first << 16 | CFGI_STE, get(self, LAST_REFUSED));
	command(self, 1, NH_ASID, 1);
	expect_error(_metadata, self, 1, 1);
	EXPECT_EQ(1, get(self, RESERVED));
	command(self, 2, ATC_INV | (uint64_t)0x11 << 32, 52);
	expect_error(_metadata, self, 2, 4);
	EXPECT_EQ(1, get(self, UNKNOWN_SIDS));
	command(self, 3, SYNC | 2 << 12, 0);
	expect_error(_metadata, self, 3, 1);
	EXPECT_EQ(1, get(self, SIGNALS));

	put(self, INJECT, self->first << 16 | 3);
	command(self, 4, NH_ASID, 0);
	put(self, page0(self, 0, PROD), 5);
	EXPECT_EQ(5, get(self, page0(self, 0, CONS)));
	command(self, 5, SYNC, 0);
	expect_error(_metadata, self, 5, 3);
	EXPECT_EQ(1, get(self, INJECTED));
}

/* With HYP_OWN the VINTF accepts all commands, as the kernel's does */
TEST_F(cmdqv, hyp_own)
{
	stop(self);
	put(self, RESET, 0);
	start(self, 1, HYP_OWN | EN);
	command(self, 0, CFGI_STE | (uint64_t)0xff00 << 32, 1);
	command(self, 1, SYNC, 0);
	put(self, page0(self, 0, PROD), 2);
	EXPECT_EQ(2, get(self, page0(self, 0, CONS)));
	put(self, page0(self, 0, PROD), 0);
	EXPECT_EQ(0, get(self, page0(self, 0, CONS)));
	EXPECT_EQ(2, get(self, OPCODE(self->first, CFGI_STE)));
	EXPECT_EQ(2, get(self, OPCODE(self->first, SYNC)));
	EXPECT_EQ(0, get(self, IRQS));
}

TEST_F(cmdqv, base)
{
	static const struct {
		uint64_t base;
		bool page;
		unsigned int gerror;
	} bases[] = {
		{ 1, true, 0 },
		{ 8, true, 0 },
		{ 0, true, 4 },
		{ 20, true, 4 },
		{ 9 | 0x1000, false, 4 },
		{ 8, false, 4 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		stop(self);
		start(self, 0, EN);
		put(self, page0(self, 0, QUEUE_CONFIG), 0);
		put(self, page0(self, 0, GERRORN), get(self, page0(self, 0, GERROR)));
		put_base(self, 0, bases[i].base | (bases[i].page ? self->physical : 0));
		put(self, page0(self, 0, QUEUE_CONFIG), EN);
		EXPECT_EQ(bases[i].gerror, get(self, page0(self, 0, GERROR)) ^
					   get(self, page0(self, 0, GERRORN)));
		EXPECT_EQ(!bases[i].gerror, get(self, page0(self, 0, QUEUE_STATUS)));
	}
	/* There is nothing to fetch */
	stop(self);
	put(self, RESET, 0);
	put(self, VINTF(self->vintf), EN);
	alloc(self, 0, true);
	put_base(self, 0, 1ull << 47 | 8);
	put(self, page0(self, 0, QUEUE_CONFIG), EN);
	put(self, page0(self, 0, PROD), 1);
	EXPECT_EQ(2u << 24, get(self, page0(self, 0, CONS)));
}

static uint64_t get_base(FIXTURE_DATA(cmdqv) *self, unsigned int slot)
{
	return *(volatile uint64_t *)(self->base + page0(self, slot, 0x10000));
}

/*
 * A base that is written while the queue is enabled, according to CONFIG or
 * STATUS
 */
TEST_F(cmdqv, base_while_enabled)
{
	uint64_t old = self->physical | 8, new = self->physical | 7;

	stop(self);
	put(self, RESET, 0);
	put(self, POLICY, QUIET);
	start(self, 8, EN);
	put_base(self, 0, new);
	EXPECT_EQ(old, get_base(self, 0));
	EXPECT_EQ(1, get(self, LOST_BASES));
	put(self, STATUS_DELAY, MINUTE);
	put(self, page0(self, 0, QUEUE_CONFIG), 0);
	EXPECT_EQ(1, get(self, page0(self, 0, QUEUE_STATUS)));
	put_base(self, 0, new);
	EXPECT_EQ(old, get_base(self, 0));
	put(self, STATUS_DELAY, 0);
	put(self, page0(self, 0, QUEUE_CONFIG), 0);
	put_base(self, 0, new);
	EXPECT_EQ(new, get_base(self, 0));
	put(self, STATUS_DELAY, MINUTE);
	put(self, page0(self, 0, QUEUE_CONFIG), EN);
	EXPECT_EQ(0, get(self, page0(self, 0, QUEUE_STATUS)));
	put_base(self, 0, old);
	EXPECT_EQ(new, get_base(self, 0));
	EXPECT_EQ(3, get(self, LOST_BASES));
	put(self, STATUS_DELAY, 0);

	/* The other behaviour */
	put(self, POLICY, QUIET | TAKE_BASE);
	put(self, page0(self, 0, QUEUE_CONFIG), EN);
	put_base(self, 0, old);
	EXPECT_EQ(old, get_base(self, 0));
	EXPECT_EQ(3, get(self, LOST_BASES));
	EXPECT_EQ(3, get(self, ORDER(O_BASE)));

	/* The next change, only of this queue */
	put(self, POLICY, QUIET);
	put(self, page0(self, 0, QUEUE_CONFIG), 0);
	put(self, LOSE_BASE, self->first + 1);
	put_base(self, 0, new);
	EXPECT_EQ(new, get_base(self, 0));
	put(self, LOSE_BASE, self->first);
	put_base(self, 0, new);
	put_base(self, 0, old);
	EXPECT_EQ(new, get_base(self, 0));
	put_base(self, 0, old);
	EXPECT_EQ(old, get_base(self, 0));
	EXPECT_EQ(4, get(self, LOST_BASES));
	put(self, RESET, 0);
}

TEST_F(cmdqv, delays)
{
	stop(self);
	put(self, RESET, 0);
	put(self, STATUS_DELAY, MINUTE);
	put(self, STATUS_OF, self->first << 16 | 1 << 2 | 1 << 3);
	start(self, 8, EN);
	EXPECT_EQ(1, get(self, VINTF(self->vintf) + 4) & EN);
	EXPECT_EQ(0, get(self, page0(self, 0, QUEUE_STATUS)));
	command(self, 0, SYNC, 0);
	put(self, page0(self, 0, PROD), 1);
	EXPECT_EQ(0, get(self, page0(self, 0, CONS)));
	put(self, STATUS_DELAY, 100000);
	put(self, page0(self, 0, QUEUE_CONFIG), EN);
	EXPECT_EQ(1, get_soon(self, page0(self, 0, QUEUE_STATUS), 1));
	EXPECT_EQ(1, get_soon(self, page0(self, 0, CONS), 1));

	put(self, RUN_DELAY, 100000);
	command(self, 1, SYNC, 0);
	put(self, page0(self, 0, PROD), 2);
	EXPECT_EQ(2, get_soon(self, page0(self, 0, CONS), 2));
	/* Last, because the delay continues after it is changed */
	put(self, RUN_DELAY, MINUTE);
	command(self, 2, SYNC, 0);
	put(self, page0(self, 0, PROD), 3);
	EXPECT_EQ(2, get(self, page0(self, 0, CONS)));
	put(self, RUN_DELAY, 0);
	put(self, page0(self, 0, PROD), 3);
	EXPECT_EQ(3, get(self, page0(self, 0, CONS)));

	put(self, STATUS_DELAY, ~0u);
	put(self, STATUS_OF, self->first << 16 | 1 << 2 | 1 << 4);
	put(self, page0(self, 0, QUEUE_CONFIG), 0);
	usleep(1500000);
	EXPECT_EQ(1, get(self, page0(self, 0, QUEUE_STATUS)));
	put(self, STATUS_DELAY, 0);
	put(self, page0(self, 0, QUEUE_CONFIG), 0);
	EXPECT_EQ(0, get(self, page0(self, 0, QUEUE_STATUS)));
}

/* Make the network driver map and unmap its rings on @cpu */
static int host_commands(unsigned int cpu)
{
	struct ifreq ifr = { .ifr_name = "eth0" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	cpu_set_t set;
	int rc;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	rc = sched_setaffinity(0, sizeof(set), &set);
	ifr.ifr_flags = IFF_UP;
	rc = rc ?: ioctl(fd, SIOCSIFFLAGS, &ifr);
	ifr.ifr_flags = 0;
	rc = rc ?: ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
	return rc;
}

/*
 * The kernel recovers its own queue, here that of CPU 1, and the queue
 * continues. The thread that does it runs on CPU 0 like the interrupt. If the
 * commands ran there too it would wait for threads that wait for it.
 */
TEST_F(cmdqv, repair)
{
	static const unsigned int codes[] = { 1, 4, 3, 2 };
	unsigned int i;

	for (i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		put(self, RESET, 0);
		put(self, INJECT, 1 << 16 | codes[i]);
		ASSERT_EQ(0, host_commands(1));
		EXPECT_EQ(1, get(self, INJECTED));
		EXPECT_EQ(1, get(self, IRQS));
		EXPECT_NE(0, get(self, EXECUTED(1)));
		EXPECT_EQ(0, get(self, EXECUTED(0)));
		EXPECT_EQ(get(self, 0x10080 + GERROR), get(self, 0x10080 + GERRORN));
		EXPECT_EQ(get(self, 0x10080 + PROD), get(self, 0x10080 + CONS));
	}
	put(self, RESET, 0);
	ASSERT_EQ(0, host_commands(0));
	EXPECT_EQ(0, get(self, IRQS));
	EXPECT_EQ(0, get(self, EXECUTED(1)));
	EXPECT_NE(0, get(self, EXECUTED(0)));
}

TEST_HARNESS_MAIN
