// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the model of broadcast TLB maintenance in btm.c, without a kernel: a
 * program for the bare machine, which starts at EL2. Each test fills the SMMUv3's
 * IOTLB by DMA of several edu devices, changes all translations, executes one TLBI
 * and finds out by DMA which translations the SMMUv3 has forgotten.
 *
 * The machine is the one of test-btm. With btm=off no TLBI may have an effect.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(n)			(1ULL << (n))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof(*(a)))

/* The machine: virt,highmem=off */
#define UART			0x09000000
#define SMMU			0x09050000
#define CONFIG_SPACE		0x3f000000
#define BAR(dev)		(0x10000000 + 0x100000 * (dev))
#define DEVFN(dev)		(8 * (2 + (dev)))

#define IDR0			0x00
#define IDR0_BTM		BIT(5)
#define CR0			0x20
#define CR0_ENABLE		0xd	/* SMMUEN, EVENTQEN, CMDQEN */
#define CR2			0x2c
#define CR2_PTM			BIT(2)
#define STRTAB_BASE		0x80
#define STRTAB_BASE_CFG		0x88
#define CMDQ_BASE		0x90
#define CMDQ_PROD		0x98
#define CMDQ_CONS		0x9c
#define EVENTQ_BASE		0xa0
#define EVENTQ_PROD		0x100a8

/* The model's own registers and kinds, see btm.h */
#define BTM_MAGIC		0xe00
#define BTM_VMID		0xe04
#define BTM_IGNORED		0xe08
#define BTM_LATE		0xe0c
#define BTM_LAST_VMID		0xe10
#define BTM_OBEYED(kind)	(0xe40 + 4 * (kind))
#define BTM_DROPPED(kind)	(0xe80 + 4 * (kind))
enum kind { VMALL, ASID, VA, VAA, IPA, VMALLS12, ALL, EL2, NONE };

#define CFGI_ALL		0x04
#define TLBI_NSNH_ALL		0x30

/* Where the devices write to: the last bytes of a page and the first of the next */
#define V			0x05000000UL
#define GRANULE			4096UL

/* The contexts, one a device */
static const struct context {
	int vmid;
	int asid;		/* -1: stage 2 only */
	bool aset;
	bool s2;
} contexts[] = {
	{ 5, 7, false, true },
	{ 5, 8, false, true },
	{ 5, 9, true, true },
	{ 6, 7, false, true },
	{ 5, -1, false, true },
	{ 6, -1, false, true },
	{ 0, 7, false, false },
	{ 0x105, 7, false, true },
};
#define DEVICES			ARRAY_SIZE(contexts)

/* Sets of translations: a bit for the first page of a context and one for the second */
#define FIRST(dev)		BIT(2 * (dev))
#define SECOND(dev)		BIT(2 * (dev) + 1)
#define BOTH(dev)		(FIRST(dev) | SECOND(dev))
#define EVERYTHING		(BIT(2 * DEVICES) - 1)

struct page {
	uint64_t word[GRANULE / 8];
} __attribute__((aligned(4096)));

static uint64_t stream_table[256][8] __attribute__((aligned(16384)));
static struct page commands, events;
struct page stack[4];
static struct page cds[DEVICES], s1[DEVICES][3], s2[DEVICES][3];
static struct page old[DEVICES][2], new[DEVICES][2];
static unsigned int next_command;
static int number, failures;

/* Registers and the console */

static uint32_t get(unsigned int reg)
{
	return *(volatile uint32_t *)(uintptr_t)(SMMU + reg);
}

static void put(unsigned int reg, uint32_t value)
{
	asm volatile("dsb sy" ::: "memory");
	*(volatile uint32_t *)(uintptr_t)(SMMU + reg) = value;
}

static void put64(unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(uintptr_t)(SMMU + reg) = value;
}

void print(const char *text)
{
	while (*text)
		*(volatile uint32_t *)UART = *text++;
}

static void print_hex(uint64_t value)
{
	int shift;

	for (shift = 60; shift && !(value >> shift); shift -= 4)
		;
	for (; shift >= 0; shift -= 4)
		*(volatile uint32_t *)UART = "0123456789abcdef"[value >> shift & 15];
}

static void print_number(unsigned int n)
{
	if (n >= 10)
		print_number(n / 10);
	*(volatile uint32_t *)UART = '0' + n % 10;
}

static bool same(const char *what, uint64_t expected, uint64_t seen)
{
	if (expected == seen)
		return true;
	print("# ");
	print(what);
	print(": expected 0x");
	print_hex(expected);
	print(", seen 0x");
	print_hex(seen);
	print("\n");
	return false;
}

static void result(const char *name, bool good)
{
	failures += !good;
	print(good ? "ok " : "not ok ");
	print_number(++number);
	print(" ");
	print(name);
	print("\n");
}

/* The SMMUv3 and the devices */

static void command(uint64_t word0, uint64_t word1)
{
	commands.word[2 * next_command] = word0;
	commands.word[2 * next_command + 1] = word1;
	next_command++;		/* fewer than the queue has room for */
	put(CMDQ_PROD, next_command);
	while (get(CMDQ_CONS) != next_command)
		;
}

/* The entry of V, or of the page behind it */
static uint64_t *leaf(unsigned int dev, unsigned int nth)
{
	struct page *tables = contexts[dev].asid < 0 ? s2[dev] : s1[dev];

	return &tables[2].word[nth];
}

static void map_all(struct page (*pages)[2])
{
	unsigned int dev, nth;

	for (dev = 0; dev < DEVICES; dev++) {
		/* page, accessed, inner shareable; stage 1: unprivileged, not global */
		const uint64_t attrs = contexts[dev].asid < 0 ?
			3 | 0xf << 2 | 3 << 6 | 3 << 8 | BIT(10) :
			3 | BIT(6) | 3 << 8 | BIT(10) | BIT(11);

		for (nth = 0; nth < 2; nth++)
			*leaf(dev, nth) = (uintptr_t)&pages[dev][nth] | attrs;
	}
	asm volatile("dsb sy" ::: "memory");
}

static void tables_init(struct page *tables, uint64_t block_attrs)
{
	tables[0].word[0] = (uintptr_t)&tables[1] | 3;
	tables[0].word[1] = 0x40000000 | block_attrs;
	tables[1].word[V >> 21 & 511] = (uintptr_t)&tables[2] | 3;
}

static void init(void)
{
	unsigned int dev;

	for (dev = 0; dev < DEVICES; dev++) {
		const struct context *c = &contexts[dev];
		uint64_t *ste = stream_table[DEVFN(dev)];
		volatile uint32_t *config = (void *)(uintptr_t)(CONFIG_SPACE + (DEVFN(dev) << 12));
		uint64_t *cd = cds[dev].word;

		tables_init(s1[dev], 0);
		/* Stage 2 maps the machine's memory at its address */
		tables_init(s2[dev], 1 | 0xf << 2 | 3 << 6 | 3 << 8 | BIT(10));
		cd[0] = 25 | 1 << 8 | 1 << 10 | 3 << 12 | BIT(30) | BIT(31) | 2ULL << 32 |
			BIT(41) | BIT(45) | BIT(46) | (c->aset ? BIT(47) : 0) |
			(uint64_t)(c->asid & 0xffff) << 48;
		cd[1] = (uintptr_t)s1[dev];
		cd[3] = 0xff;
		ste[1] = 1ULL << 2 | 1ULL << 4 | 3ULL << 6;
		ste[2] = c->vmid;
		if (c->s2) {
			/* 39 bits from level 1 on, 40 bits of output, AArch64, record */
			ste[2] |= 25ULL << 32 | 1ULL << 38 | 1ULL << 40 | 1ULL << 42 | 3ULL << 44 |
				  2ULL << 48 | BIT(51) | BIT(58);
			ste[3] = (uintptr_t)s2[dev];
		}
		ste[0] = 1 | (c->asid < 0 ? 6 : c->s2 ? 7 : 5) << 1 | (uintptr_t)cd;

		config[4] = BAR(dev);
		config[1] = 6;		/* memory, bus master */
	}
	put(CR0, 0);
	put(CR2, 0);
	put64(STRTAB_BASE, (uintptr_t)stream_table);
	put(STRTAB_BASE_CFG, 8);
	put64(CMDQ_BASE, (uintptr_t)&commands | 8);
	put64(EVENTQ_BASE, (uintptr_t)&events | 7);
	put(CR0, CR0_ENABLE);
	command(CFGI_ALL, 31);
}

/* Let all devices write. Returns which translations are the new ones, or ~0. */
static uint64_t reached_new(void)
{
	uint64_t set = 0;
	unsigned int dev, nth;

	for (dev = 0; dev < DEVICES; dev++) {
		for (nth = 0; nth < 2; nth++) {
			old[dev][nth].word[nth ? 0 : 511] = ~0ULL;
			new[dev][nth].word[nth ? 0 : 511] = ~0ULL;
		}
	}
	for (dev = 0; dev < DEVICES; dev++) {
		volatile uint64_t *edu = (void *)(uintptr_t)(BAR(dev) + 0x80);

		/* The buffer holds zeroes */
		edu[0] = 0x40000;
		edu[1] = V + GRANULE - 8;
		edu[2] = 16;
		asm volatile("dsb sy" ::: "memory");
		edu[3] = 3;
	}
	for (dev = 0; dev < DEVICES; dev++) {
		while (*(volatile uint64_t *)(uintptr_t)(BAR(dev) + 0x98) & 1)
			;
	}
	asm volatile("dsb sy" ::: "memory");
	for (dev = 0; dev < DEVICES; dev++) {
		for (nth = 0; nth < 2; nth++) {
			const uint64_t o = *(volatile uint64_t *)&old[dev][nth].word[nth ? 0 : 511];
			const uint64_t n = *(volatile uint64_t *)&new[dev][nth].word[nth ? 0 : 511];

			if (o + n != ~0ULL)
				return ~0ULL;
			if (!n)
				set |= nth ? SECOND(dev) : FIRST(dev);
		}
	}
	return set;
}

/* The CPU */

#define SYSREG(name, text)						\
	static void set_##name(uint64_t value)				\
	{								\
		asm volatile("msr " text ", %0\n\tisb" :: "r"(value) : "memory");	\
	}
SYSREG(hcr, "hcr_el2")
SYSREG(vttbr, "vttbr_el2")
SYSREG(vtcr, "vtcr_el2")
SYSREG(vbar, "vbar_el2")
#define HCR_FB			BIT(9)
#define HCR_TGE			BIT(27)
#define HCR_RW			BIT(31)
#define HCR_E2H			BIT(34)
#define VTCR_VS			BIT(19)

typedef void (*tlbi_t)(uint64_t value);
void at_el1(tlbi_t tlbi, uint64_t value);

asm(".pushsection .text.start, \"ax\"\n"
	".globl _start\n"
	"_start: adrp x0, stack + 16384\n"
	"	mov	sp, x0\n"
	"	bl	main\n"
	"	movz	w0, #0x8400, lsl #16\n"	/* PSCI SYSTEM_OFF */
	"	movk	w0, #0x0008\n"
	"	smc	#0\n"
	"1:	b	1b\n"

	/* Calls a function that does not use the stack; it comes back by HVC */
	".globl at_el1\n"
	"at_el1: mov x9, x30\n"
	"	adr	x2, 1f\n"
	"	msr	elr_el2, x2\n"
	"	mov	x2, #0x3c5\n"		/* EL1h, exceptions masked */
	"	msr	spsr_el2, x2\n"
	"	mov	x3, x0\n"
	"	mov	x0, x1\n"
	"	eret\n"
	"1:	blr	x3\n"
	"	hvc	#0\n"

	".balign 2048\n"
	".globl vectors\n"
	"vectors:\n"
	".rept 8\n"
	"	adr	x0, died\n"
	"	bl	print\n"
	"1:	b	1b\n"
	"	.balign	128\n"
	".endr\n"
	"	mov	x30, x9\n"		/* from the lower EL: at_el1() returns */
	"	ret\n"
	".balign 128\n"
	"died: .asciz \"Bail out! an exception\\n\"\n"
	".balign 4\n"
	".popsection\n");
extern char vectors[];

/* By encoding: op1, CRn, CRm, op2 */
#define TLBI(name, op1, n, m, op2)							\
	static void name(uint64_t value)						\
	{										\
		asm volatile("dsb sy\n\t"						\
			     "sys #" #op1 ", c" #n ", c" #m ", #" #op2 ", %0\n\t"		\
			     "dsb sy" :: "r"(value) : "memory");				\
	}
TLBI(vmalle1is, 0, 8, 3, 0)
TLBI(vae1is, 0, 8, 3, 1)
TLBI(aside1is, 0, 8, 3, 2)
TLBI(vaae1is, 0, 8, 3, 3)
TLBI(vale1is, 0, 8, 3, 5)
TLBI(vaale1is, 0, 8, 3, 7)
TLBI(vmalle1os, 0, 8, 1, 0)
TLBI(vae1os, 0, 8, 1, 1)
TLBI(aside1os, 0, 8, 1, 2)
TLBI(vaae1os, 0, 8, 1, 3)
TLBI(vale1os, 0, 8, 1, 5)
TLBI(vaale1os, 0, 8, 1, 7)
TLBI(vmalle1, 0, 8, 7, 0)
TLBI(vae1, 0, 8, 7, 1)
TLBI(aside1, 0, 8, 7, 2)
TLBI(vaae1, 0, 8, 7, 3)
TLBI(vale1, 0, 8, 7, 5)
TLBI(vaale1, 0, 8, 7, 7)
TLBI(rvae1is, 0, 8, 2, 1)
TLBI(rvaae1is, 0, 8, 2, 3)
TLBI(rvale1is, 0, 8, 2, 5)
TLBI(rvaale1is, 0, 8, 2, 7)
TLBI(rvae1os, 0, 8, 5, 1)
TLBI(rvaae1os, 0, 8, 5, 3)
TLBI(rvale1os, 0, 8, 5, 5)
TLBI(rvaale1os, 0, 8, 5, 7)
TLBI(rvae1, 0, 8, 6, 1)
TLBI(vmalle1isnxs, 0, 9, 3, 0)
TLBI(vae1isnxs, 0, 9, 3, 1)
TLBI(ipas2e1is, 4, 8, 0, 1)
TLBI(ripas2e1is, 4, 8, 0, 2)
TLBI(ipas2le1is, 4, 8, 0, 5)
TLBI(ripas2le1is, 4, 8, 0, 6)
TLBI(ipas2e1os, 4, 8, 4, 0)
TLBI(ipas2e1, 4, 8, 4, 1)
TLBI(ripas2e1, 4, 8, 4, 2)
TLBI(ripas2e1os, 4, 8, 4, 3)
TLBI(ipas2le1os, 4, 8, 4, 4)
TLBI(ripas2le1os, 4, 8, 4, 7)
TLBI(alle1is, 4, 8, 3, 4)
TLBI(alle1os, 4, 8, 1, 4)
TLBI(alle1, 4, 8, 7, 4)
TLBI(vmalls12e1is, 4, 8, 3, 6)
TLBI(vmalls12e1os, 4, 8, 1, 6)
TLBI(vmalls12e1, 4, 8, 7, 6)
TLBI(alle2is, 4, 8, 3, 0)
TLBI(vae2is, 4, 8, 3, 1)
TLBI(vale2os, 4, 8, 1, 5)
TLBI(rvae2is, 4, 8, 2, 1)

#define OF(asid)		((uint64_t)(asid) << 48)
#define PAGE(address)		((address) >> 12)
#define NEXT			(V + GRANULE)
/* 2 << 5 * scale pages of 4 KiB from the address on, times num + 1 */
#define RANGE(address, num, scale) \
	(PAGE(address) | (uint64_t)(num) << 39 | (uint64_t)(scale) << 44 | 1ULL << 46)

struct test {
	const char *name;
	tlbi_t tlbi;
	uint64_t value;
	uint64_t forgotten;
	enum kind kind;
	uint64_t hcr;
	int vmid;		/* 0: 5, -1: 0 */
	bool el1;
	bool narrow;		/* VMIDs of 8 bits */
};

#define ASID7			BOTH(0)
#define STAGE1_OF_5		(BOTH(0) | BOTH(1) | BOTH(2))
#define FIRST_OF_5		(FIRST(0) | FIRST(1) | FIRST(2))
#define SECOND_OF_5		(SECOND(0) | SECOND(1) | SECOND(2))
#define T(name, ...)		{ #name, name, __VA_ARGS__ }
#define AT_EL1(name, ...)	{ #name " at EL1", name, __VA_ARGS__, .el1 = true }

static const struct test tests[] = {
	T(vmalle1is, 0, STAGE1_OF_5, VMALL),
	T(vmalle1os, 0, STAGE1_OF_5, VMALL),
	T(vmalle1isnxs, 0, STAGE1_OF_5, VMALL),
	T(vmalle1, 0, 0, NONE),
	T(aside1is, OF(7), ASID7, ASID),
	T(aside1os, OF(8), BOTH(1), ASID),
	T(aside1, OF(7), 0, NONE),
	T(vae1is, OF(7) | PAGE(V), FIRST(0), VA),
	T(vae1os, OF(7) | PAGE(NEXT), SECOND(0), VA),
	T(vale1is, OF(8) | PAGE(V), FIRST(1), VA),
	T(vale1os, OF(8) | PAGE(NEXT), SECOND(1), VA),
	T(vae1isnxs, OF(7) | PAGE(V), FIRST(0), VA),
	T(vae1, OF(7) | PAGE(V), 0, NONE),
	T(vale1, OF(7) | PAGE(V), 0, NONE),
	T(vaae1is, PAGE(V), FIRST_OF_5, VAA),
	T(vaae1os, OF(7) | PAGE(NEXT), SECOND_OF_5, VAA),
	T(vaale1is, PAGE(NEXT), SECOND_OF_5, VAA),
	T(vaale1os, PAGE(V), FIRST_OF_5, VAA),
	T(vaae1, PAGE(V), 0, NONE),
	T(vaale1, PAGE(V), 0, NONE),
	{ "vae1is of another page", vae1is, OF(7) | PAGE(V + 2 * GRANULE), 0, VA },
	{ "vae1is of a context with ASET", vae1is, OF(9) | PAGE(V), 0, VA },
	{ "aside1is of a context with ASET", aside1is, OF(9), 0, ASID },
	{ "vae1is with a TTL", vae1is, OF(7) | 7ULL << 44 | PAGE(V), FIRST(0), VA },

	T(rvae1is, OF(7) | RANGE(V, 0, 0), BOTH(0), VA),
	T(rvae1os, OF(7) | RANGE(NEXT, 0, 0), SECOND(0), VA),
	T(rvale1is, OF(8) | RANGE(V - GRANULE, 0, 0), FIRST(1), VA),
	T(rvale1os, OF(8) | RANGE(V - 2 * GRANULE, 0, 0), 0, VA),
	T(rvaae1is, RANGE(V - 62 * GRANULE, 30, 0), 0, VAA),
	T(rvaae1os, RANGE(V - 62 * GRANULE, 31, 0), STAGE1_OF_5, VAA),
	T(rvaale1is, RANGE(V - 63 * GRANULE, 0, 1), FIRST_OF_5, VAA),
	T(rvaale1os, RANGE(V + 2 * GRANULE, 31, 3), 0, VAA),
	T(rvae1, OF(7) | RANGE(V, 0, 0), 0, NONE),
	{ "rvae1is without a granule", rvae1is, (OF(7) | RANGE(V, 0, 0)) & ~BIT(46), 0, NONE },

	T(ipas2e1is, PAGE(V), FIRST(4), IPA),
	T(ipas2e1os, PAGE(NEXT), SECOND(4), IPA),
	T(ipas2le1is, PAGE(NEXT), SECOND(4), IPA),
	T(ipas2le1os, PAGE(V), FIRST(4), IPA),
	T(ipas2e1, PAGE(V), 0, NONE),
	T(ripas2e1is, RANGE(V, 0, 0), BOTH(4), IPA),
	T(ripas2e1os, RANGE(NEXT, 0, 0), SECOND(4), IPA),
	T(ripas2le1is, RANGE(V - GRANULE, 0, 0), FIRST(4), IPA),
	T(ripas2le1os, RANGE(V, 0, 0), BOTH(4), IPA),
	T(ripas2e1, RANGE(V, 0, 0), 0, NONE),
	T(vmalls12e1is, 0, STAGE1_OF_5 | BOTH(4), VMALLS12),
	T(vmalls12e1os, 0, STAGE1_OF_5 | BOTH(4), VMALLS12),
	T(vmalls12e1, 0, 0, NONE),
	T(alle1is, 0, EVERYTHING, ALL),
	T(alle1os, 0, EVERYTHING, ALL),
	T(alle1, 0, 0, NONE),

	T(alle2is, 0, 0, EL2),
	T(vae2is, OF(7) | PAGE(V), 0, EL2),
	T(vale2os, OF(7) | PAGE(V), 0, EL2),
	T(rvae2is, OF(7) | RANGE(V, 0, 0), 0, EL2),
	{ "vmalle1is of EL2&0", vmalle1is, 0, 0, EL2, HCR_E2H | HCR_TGE },
	{ "vae1is of EL2&0", vae1is, OF(7) | PAGE(V), 0, EL2, HCR_E2H | HCR_TGE },
	{ "vae1is with E2H alone", vae1is, OF(7) | PAGE(V), FIRST(0), VA, HCR_E2H },

	{ "vmalle1is of another VMID", vmalle1is, 0, BOTH(3), VMALL, .vmid = 6 },
	{ "vae1is of another VMID", vae1is, OF(7) | PAGE(V), FIRST(3), VA, .vmid = 6 },
	{ "ipas2e1is of another VMID", ipas2e1is, PAGE(V), FIRST(5), IPA, .vmid = 6 },
	{ "vmalls12e1is of another VMID", vmalls12e1is, 0, BOTH(3) | BOTH(5), VMALLS12, .vmid = 6 },
	{ "vmalls12e1is of a VMID without entries", vmalls12e1is, 0, 0, VMALLS12, .vmid = 7 },
	{ "vmalle1is of VMID 0", vmalle1is, 0, BOTH(6), VMALL, .vmid = -1 },
	{ "vmalle1is of a VMID of 16 bits", vmalle1is, 0, BOTH(7), VMALL, .vmid = 0x105 },
	{ "vmalle1is of a VMID of 8 bits", vmalle1is, 0, STAGE1_OF_5, VMALL,
	  .vmid = 0x105, .narrow = true },

	AT_EL1(vmalle1is, 0, STAGE1_OF_5, VMALL),
	AT_EL1(vae1is, OF(7) | PAGE(V), FIRST(0), VA),
	AT_EL1(vae1, OF(7) | PAGE(V), 0, NONE),
	{ "vmalle1 at EL1 with FB", vmalle1, 0, STAGE1_OF_5, VMALL, HCR_FB, .el1 = true },
	{ "aside1 at EL1 with FB", aside1, OF(7), ASID7, ASID, HCR_FB, .el1 = true },
	{ "vae1 at EL1 with FB", vae1, OF(7) | PAGE(V), FIRST(0), VA, HCR_FB, .el1 = true },
	{ "rvae1 at EL1 with FB", rvae1, OF(7) | RANGE(V, 0, 0), BOTH(0), VA, HCR_FB, .el1 = true },
	{ "vmalle1 at EL2 with FB", vmalle1, 0, 0, NONE, HCR_FB },
};

/* Returns which translations it made the SMMUv3 forget, or ~0 */
static uint64_t forgotten(const struct test *t)
{
	int vmid = t->vmid ? t->vmid : 5;

	map_all(old);
	command(TLBI_NSNH_ALL, 0);
	if (reached_new())
		return ~0ULL;
	map_all(new);
	put(BTM_VMID, ~0u);
	set_vtcr(t->narrow ? 0 : VTCR_VS);
	set_vttbr((uint64_t)(vmid < 0 ? 0 : vmid) << 48);
	set_hcr(HCR_RW | t->hcr);
	if (t->el1)
		at_el1(t->tlbi, t->value);
	else
		t->tlbi(t->value);
	set_hcr(HCR_RW);
	return reached_new();
}

static bool counted(const struct test *t)
{
	const unsigned int set = __builtin_popcountll(t->forgotten);
	bool good = same("ignored", 0, get(BTM_IGNORED)) && same("late", 0, get(BTM_LATE));
	unsigned int kind;

	for (kind = 0; kind < NONE; kind++) {
		const unsigned int dropped = get(BTM_DROPPED(kind));

		good &= same("obeyed", kind == t->kind, get(BTM_OBEYED(kind)));
		/* Also those of stage 2 for the tables of stage 1 */
		if (kind == t->kind && (kind == VMALLS12 || kind == ALL))
			good &= dropped >= set;
		else
			good &= same("dropped", kind == t->kind ? set : 0, dropped);
	}
	return good;
}

static void set_cr2(uint32_t cr2)
{
	put(CR0, 0);
	put(CR2, cr2);
	put(CR0, CR0_ENABLE);
}

/* popcount of GCC for general registers only */
int __popcountdi2(uint64_t value)
{
	int n;

	for (n = 0; value; n++)
		value &= value - 1;
	return n;
}

_Static_assert(ARRAY_SIZE(tests) < 250, "the command queue has 256 entries");

int main(void)
{
	static const struct test vmalls12 = {
		"", vmalls12e1is, 0, STAGE1_OF_5 | BOTH(4), VMALLS12
	};
	const bool on = get(IDR0) & IDR0_BTM;
	unsigned int i;
	bool good;

	set_vbar((uintptr_t)vectors);
	set_hcr(HCR_RW);
	init();
	print(on ? "# IDR0.BTM is set\n1.." : "# IDR0.BTM is clear\n1..");
	print_number(ARRAY_SIZE(tests) + (on ? 3 : 1));
	print("\n");

	result("registers of the model", same("magic", on ? 0x314d5442 : 0, get(BTM_MAGIC)));
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		good = same("forgotten", on ? tests[i].forgotten : 0, forgotten(&tests[i]));
		if (on)
			good &= counted(&tests[i]);
		result(tests[i].name, good);
	}
	if (on) {
		set_cr2(CR2_PTM);
		good = same("forgotten", 0, forgotten(&vmalls12));
		good &= same("ignored", 1, get(BTM_IGNORED));
		good &= same("obeyed", 0, get(BTM_OBEYED(VMALLS12)));
		/* In a running SMMU: effective, but counted */
		put(CR2, CR2_PTM);
		good &= same("late", 0, get(BTM_LATE));
		put(CR2, 0);
		good &= same("late", 1, get(BTM_LATE));
		good &= same("forgotten", vmalls12.forgotten, forgotten(&vmalls12));
		result("PTM", good);

		put(BTM_VMID, 6);
		set_vttbr(5ULL << 48);
		vmalle1is(0);
		good = same("obeyed", 0, get(BTM_OBEYED(VMALL)));
		set_vttbr(6ULL << 48);
		vmalle1is(0);
		good &= same("obeyed", 1, get(BTM_OBEYED(VMALL)));
		good &= same("last VMID", 6, get(BTM_LAST_VMID));
		set_vttbr(5ULL << 48);
		alle1is(0);
		good &= same("obeyed", 1, get(BTM_OBEYED(ALL)));
		result("counters of one VMID", good);
	}
	good = !get(EVENTQ_PROD);
	if (!good)
		print("Bail out! the SMMUv3 has reported an event\n");
	print(failures || !good ? "# failed\n" : "# passed\n");
	return 0;
}
