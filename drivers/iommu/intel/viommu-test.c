// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what a guest's PASID table entries and invalidation descriptors
 * become, and of which fault records it gets
 *
 * Fields are the numbers of the architecture, not the masks of the driver: a
 * test with a wrong mask would expect the driver's own mistake.
 */
#include <kunit/test.h>
#include <linux/iommu.h>

#include "viommu.h"

/* Capabilities that matter, by bit of CAP and ECAP */
#define CAP_PSI		BIT_ULL(39)
#define CAP_MAMV(n)	((u64)(n) << 48)
#define CAP_FL5LP	BIT_ULL(60)
#define ECAP_DT		BIT_ULL(2)
#define ECAP_SC		BIT_ULL(7)
#define ECAP_SRS	BIT_ULL(31)
#define ECAP_EAFS	BIT_ULL(34)
#define ECAP_PASID	BIT_ULL(40)
#define ECAP_DIT	BIT_ULL(41)
#define ECAP_SMPWC	BIT_ULL(48)
#define ECAP_ALL	(ECAP_DT | ECAP_SC | ECAP_SRS | ECAP_EAFS |	\
			 ECAP_PASID | ECAP_DIT | ECAP_SMPWC)
#define CAP_ALL		(CAP_PSI | CAP_MAMV(18) | CAP_FL5LP)

static const u64 ecap_bits[] = {
	ECAP_DT, ECAP_SC, ECAP_SRS, ECAP_EAFS, ECAP_PASID, ECAP_DIT, ECAP_SMPWC,
};

static u64 test_ecap(unsigned int set)
{
	u64 ecap = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ecap_bits); i++)
		if (set & BIT(i))
			ecap |= ecap_bits[i];
	return ecap;
}

#define NR_ECAPS	BIT(ARRAY_SIZE(ecap_bits))

/* PASID table entries */

#define PE_BITS		512
#define TABLE		0x123456789000ULL
#define DID		0xabcdULL

enum pe_bit {
	PE_MUST_NOT,
	PE_IGNORED,
	PE_SET,
};

/*
 * What a guest may do with a bit of a present entry with first-stage (1) or
 * pass-through (4) translation. PGTT and FLPM are tested by value.
 */
static enum pe_bit pe_bit(unsigned int bit, unsigned int pgtt, u64 ecap)
{
	switch (bit) {
	case 1:			/* FPD */
	case 2 ... 4:		/* AW */
	case 12 ... 63:		/* SLPTR */
		return PE_IGNORED;
	case 64 ... 79:		/* DID */
		return PE_SET;
	case 87:		/* PWSNP */
		return ecap & ECAP_SMPWC ? PE_IGNORED : PE_MUST_NOT;
	case 88:		/* PGSNP */
		return ecap & ECAP_SC ? PE_IGNORED : PE_MUST_NOT;
	case 128 ... 191:
		if (pgtt == 4)
			return PE_IGNORED;
		break;
	default:
		return PE_MUST_NOT;
	}

	switch (bit) {
	case 128:		/* SRE */
		return ecap & ECAP_SRS ? PE_SET : PE_MUST_NOT;
	case 132:		/* WPE */
	case 140 ... 191:	/* FLPTR */
		return PE_SET;
	case 135:		/* EAFE */
		return ecap & ECAP_EAFS ? PE_SET : PE_MUST_NOT;
	default:
		return PE_MUST_NOT;
	}
}

static void pe_flip(__le64 *pe, unsigned int bit)
{
	pe[bit / 64] ^= cpu_to_le64(BIT_ULL(bit % 64));
}

/* What @pe becomes if @bit of @base flips and is one that takes effect */
static struct intel_vpe pe_expect(const struct intel_vpe *base, unsigned int bit)
{
	struct intel_vpe vpe = *base;

	if (bit >= 64 && bit < 80)
		vpe.did ^= BIT(bit - 64);
	if (base->kind != INTEL_VPE_NESTED)
		return vpe;
	if (bit == 128)
		vpe.s1.flags ^= IOMMU_VTD_S1_SRE;
	if (bit == 132)
		vpe.s1.flags ^= IOMMU_VTD_S1_WPE;
	if (bit == 135)
		vpe.s1.flags ^= IOMMU_VTD_S1_EAFE;
	if (bit >= 140 && bit < 192)
		vpe.s1.pgtbl_addr ^= BIT_ULL(bit - 128);
	return vpe;
}

static void expect_vpe(struct kunit *test, const struct intel_vpe *vpe,
		       const struct intel_vpe *expect, unsigned int bit)
{
	KUNIT_EXPECT_EQ_MSG(test, vpe->kind, expect->kind, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vpe->did, expect->did, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vpe->s1.flags, expect->s1.flags, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vpe->s1.pgtbl_addr, expect->s1.pgtbl_addr,
			    "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vpe->s1.addr_width, expect->s1.addr_width,
			    "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vpe->s1.__reserved, 0, "bit %u", bit);
}

/* Each bit, with and without each capability */
static void vpe_test_flip(struct kunit *test)
{
	unsigned int n;

	for (n = 0; n < 2 * NR_ECAPS * PE_BITS; n++) {
		unsigned int bit = n % PE_BITS;
		unsigned int pgtt = n / PE_BITS < NR_ECAPS ? 1 : 4;
		u64 ecap = test_ecap(n / PE_BITS % NR_ECAPS);
		__le64 pe[8] = {
			cpu_to_le64(1 | pgtt << 6),
			cpu_to_le64(DID),
			cpu_to_le64(pgtt == 1 ? TABLE : 0),
		};
		struct intel_vpe base, vpe, expect;

		/* P is set here; PGTT and FLPM are tested by value */
		if (!bit || (bit >= 6 && bit <= 8) || bit == 130 || bit == 131)
			continue;

		KUNIT_ASSERT_EQ(test, 0, intel_vpe_check(CAP_ALL, ecap, pe, &base));
		pe_flip(pe, bit);
		if (pe_bit(bit, pgtt, ecap) == PE_MUST_NOT) {
			KUNIT_EXPECT_EQ_MSG(test, -EIO,
					    intel_vpe_check(CAP_ALL, ecap, pe,
							    &vpe),
					    "PGTT %u bit %u", pgtt, bit);
			continue;
		}
		KUNIT_ASSERT_EQ_MSG(test, 0,
				    intel_vpe_check(CAP_ALL, ecap, pe, &vpe),
				    "PGTT %u bit %u ECAP %llx", pgtt, bit, ecap);
		expect = pe_expect(&base, bit);
		expect_vpe(test, &vpe, &expect, bit);
	}
}

/* Every PGTT and FLPM */
static void vpe_test_values(struct kunit *test)
{
	unsigned int n;

	for (n = 0; n < 64; n++) {
		u64 pgtt = n % 8, flpm = n / 8 % 4;
		bool five = n / 32;
		const __le64 pe[8] = {
			cpu_to_le64(1 | pgtt << 6),
			cpu_to_le64(DID),
			cpu_to_le64(TABLE | flpm << 2),
		};
		bool fits = pgtt == 4 ||
			    (pgtt == 1 && (!flpm || (flpm == 1 && five)));
		struct intel_vpe vpe;
		int ret;

		ret = intel_vpe_check(five ? CAP_FL5LP : 0, 0, pe, &vpe);
		KUNIT_EXPECT_EQ(test, ret, fits ? 0 : -EIO);
		if (ret)
			continue;
		KUNIT_EXPECT_EQ(test, vpe.did, DID);
		if (pgtt == 4) {
			KUNIT_EXPECT_EQ(test, vpe.kind, INTEL_VPE_BYPASS);
			continue;
		}
		KUNIT_EXPECT_EQ(test, vpe.kind, INTEL_VPE_NESTED);
		KUNIT_EXPECT_EQ(test, vpe.s1.pgtbl_addr, TABLE);
		KUNIT_EXPECT_EQ(test, vpe.s1.addr_width, flpm ? 57 : 48);
		KUNIT_EXPECT_EQ(test, vpe.s1.flags, 0);
	}
}

/* No bit makes an entry that is not present do anything */
static void vpe_test_absent(struct kunit *test)
{
	unsigned int bit;

	for (bit = 1; bit < PE_BITS; bit++) {
		__le64 pe[8] = {};
		struct intel_vpe vpe;

		pe_flip(pe, bit);
		KUNIT_EXPECT_EQ(test, 0, intel_vpe_check(0, 0, pe, &vpe));
		KUNIT_EXPECT_EQ(test, vpe.kind, INTEL_VPE_BLOCKED);
	}
}

/* The entry that Linux makes for its kernel's DMA, and for a process */
static void vpe_test_linux(struct kunit *test)
{
	const __le64 pe[8] = {
		cpu_to_le64(1 | 2 << 2 | 1 << 6),
		cpu_to_le64(5 | BIT_ULL(23) | BIT_ULL(24)),
		cpu_to_le64(TABLE | 1 << 2),
	};
	struct intel_vpe vpe;

	KUNIT_EXPECT_EQ(test, 0, intel_vpe_check(CAP_FL5LP, ECAP_SMPWC | ECAP_SC,
						 pe, &vpe));
	KUNIT_EXPECT_EQ(test, vpe.kind, INTEL_VPE_NESTED);
	KUNIT_EXPECT_EQ(test, vpe.did, 5);
	KUNIT_EXPECT_EQ(test, vpe.s1.addr_width, 57);
	KUNIT_EXPECT_EQ(test, vpe.s1.pgtbl_addr, TABLE);
}

/* Invalidation descriptors */

#define SID		0x1234ULL
#define PASID		0x9f00dULL
#define ADDR		0xfedcba9876543000ULL

/* The types that a guest may send, their fields and the values of G */
struct desc_row {
	u8 type;
	u64 fields[2];
	u8 granularities;
	u64 ecap;
};

static const struct desc_row desc_rows[] = {
	{
		.type = 1,
		.fields = { GENMASK_ULL(5, 4) | GENMASK_ULL(31, 16) |
			    GENMASK_ULL(47, 32) | GENMASK_ULL(49, 48) },
		.granularities = BIT(1) | BIT(2) | BIT(3),
	},
	{
		.type = 2,
		.fields = { GENMASK_ULL(7, 4) | GENMASK_ULL(31, 16),
			    GENMASK_ULL(6, 0) | GENMASK_ULL(63, 12) },
		.granularities = BIT(1) | BIT(2) | BIT(3),
	},
	{
		.type = 3,
		.fields = { GENMASK_ULL(20, 16) | GENMASK_ULL(47, 32),
			    BIT_ULL(0) | GENMASK_ULL(63, 12) },
		.ecap = ECAP_DT,
	},
	{
		.type = 6,
		.fields = { GENMASK_ULL(5, 4) | GENMASK_ULL(31, 16) |
			    GENMASK_ULL(51, 32),
			    GENMASK_ULL(6, 0) | GENMASK_ULL(63, 12) },
		.granularities = BIT(2) | BIT(3),
	},
	{
		.type = 7,
		.fields = { GENMASK_ULL(5, 4) | GENMASK_ULL(31, 16) |
			    GENMASK_ULL(51, 32) },
		.granularities = BIT(0) | BIT(1) | BIT(3),
	},
	{
		.type = 8,
		.fields = { GENMASK_ULL(8, 4) | GENMASK_ULL(31, 16) |
			    GENMASK_ULL(51, 32),
			    BIT_ULL(0) | BIT_ULL(11) | GENMASK_ULL(63, 12) },
		.ecap = ECAP_DT | ECAP_PASID,
	},
};

static const struct desc_row *desc_row(unsigned int type)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(desc_rows); i++)
		if (desc_rows[i].type == type)
			return &desc_rows[i];
	return NULL;
}

/* Is the descriptor one that the hardware has? */
static bool desc_legal(const u64 *desc, u64 ecap)
{
	unsigned int type = (desc[0] & 0xf) | (desc[0] >> 9 & 7) << 4;
	const struct desc_row *row = desc_row(type);
	u64 field0;

	if (!row || desc[2] || desc[3] || (ecap & row->ecap) != row->ecap)
		return false;
	field0 = row->fields[0] | 0xf;
	if ((type == 3 || type == 8) && (ecap & ECAP_DIT))
		field0 |= GENMASK_ULL(15, 12) | GENMASK_ULL(63, 52);
	if ((desc[0] & ~field0) || (desc[1] & ~row->fields[1]))
		return false;
	return !row->granularities ||
	       row->granularities & BIT(desc[0] >> 4 & 3);
}

/* All types, granularities and flipped bits, with and without capabilities */
static void vinv_test_flip(struct kunit *test)
{
	static const u64 ecaps[] = {
		0, ECAP_DT, ECAP_PASID, ECAP_DIT, ECAP_DT | ECAP_PASID,
		ECAP_DT | ECAP_DIT, ECAP_PASID | ECAP_DIT,
		ECAP_DT | ECAP_PASID | ECAP_DIT,
	};
	unsigned int n, type;
	u64 desc[4];

	for (n = 0; n < 128 * 4 * ARRAY_SIZE(ecaps) * 257; n++) {
		unsigned int bit = n % 257;
		u64 ecap = ecaps[n / 257 % ARRAY_SIZE(ecaps)];
		u64 g = n / 257 / ARRAY_SIZE(ecaps) % 4;
		struct intel_vinv inv;

		type = n / 257 / ARRAY_SIZE(ecaps) / 4;
		memset(desc, 0, sizeof(desc));
		desc[0] = (type & 0xf) | (u64)(type >> 4) << 9 | g << 4;
		/* The last one is without a flip */
		if (bit < 256)
			desc[bit / 64] ^= BIT_ULL(bit % 64);
		KUNIT_ASSERT_EQ_MSG(test,
				    intel_vinv_check(CAP_ALL, ecap, desc, &inv),
				    desc_legal(desc, ecap) ? 0 : -EIO,
				    "%llx %llx ECAP %llx", desc[0], desc[1],
				    ecap);
	}
}

/* For every bit of it, a field of a descriptor arrives whole */
static void vinv_test_fields(struct kunit *test)
{
	static const struct {
		u8 type;
		u8 g;
		enum intel_vinv_scope scope;
	} rows[] = {
		{ 1, 1, INTEL_VINV_VM }, { 1, 2, INTEL_VINV_VM },
		{ 1, 3, INTEL_VINV_VM }, { 2, 1, INTEL_VINV_VM },
		{ 2, 2, INTEL_VINV_DID }, { 2, 3, INTEL_VINV_DID },
		{ 6, 2, INTEL_VINV_PASID }, { 6, 3, INTEL_VINV_PASID },
		{ 7, 0, INTEL_VINV_DID }, { 7, 1, INTEL_VINV_DID },
		{ 7, 3, INTEL_VINV_VM },
	};
	struct intel_vinv inv;
	unsigned int n, i, bit;

	for (n = 0; n < 20 * ARRAY_SIZE(rows); n++) {
		u64 did, pasid, desc[4] = {};

		i = n / 20;
		bit = n % 20;
		did = bit < 16 ? BIT_ULL(bit) : 0;
		pasid = rows[i].type > 2 ? BIT_ULL(bit) : 0;
		desc[0] = rows[i].type | rows[i].g << 4 | did << 16 | pasid << 32;
		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(CAP_ALL, ECAP_ALL,
							  desc, &inv));
		KUNIT_EXPECT_EQ(test, inv.scope, rows[i].scope);
		if (inv.scope != INTEL_VINV_VM)
			KUNIT_EXPECT_EQ(test, inv.did, did);
		if (inv.scope == INTEL_VINV_PASID)
			KUNIT_EXPECT_EQ(test, inv.pasid, pasid);
		/* A page of a second stage that the hardware does not have */
		KUNIT_EXPECT_EQ(test, inv.order, rows[i].type == 6 &&
				rows[i].g == 3 ? 0 : 52);
		KUNIT_EXPECT_FALSE(test, inv.ih);
	}

	for (bit = 0; bit < 16; bit++) {
		const u64 dev[4] = { 3 | BIT_ULL(bit + 32) };
		const u64 pdev[4] = { 8 | BIT_ULL(bit + 16) | PASID << 32 };

		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(0, ECAP_ALL, dev, &inv));
		KUNIT_EXPECT_EQ(test, inv.scope, INTEL_VINV_DEV);
		KUNIT_EXPECT_EQ(test, inv.sid, BIT(bit));
		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(0, ECAP_ALL, pdev, &inv));
		KUNIT_EXPECT_EQ(test, inv.scope, INTEL_VINV_DEV_PASID);
		KUNIT_EXPECT_EQ(test, inv.sid, BIT(bit));
		KUNIT_EXPECT_EQ(test, inv.pasid, PASID);
	}
}

static void expect_range(struct kunit *test, const struct intel_vinv *inv,
			 u64 addr, unsigned int order)
{
	KUNIT_EXPECT_EQ_MSG(test, inv->order, order, "order %u", order);
	KUNIT_EXPECT_EQ_MSG(test, inv->addr,
			    order < 52 ? addr & ~((4096ULL << order) - 1) : 0,
			    "order %u", order);
}

/* Every AM against every MAMV: the same range, or everything */
static void vinv_test_am(struct kunit *test)
{
	unsigned int n;

	for (n = 0; n < 64 * 64 * 4; n++) {
		u64 am = n % 64, mamv = n / 64 % 64, ih = n / 4096 % 2;
		bool psi = n / 8192;
		const u64 desc[4] = { 6 | 3 << 4 | DID << 16 | PASID << 32,
				      ADDR | ih << 6 | am };
		bool fits = psi && am <= mamv && am < 52;
		struct intel_vinv inv;

		KUNIT_ASSERT_EQ(test, 0,
				intel_vinv_check((psi ? CAP_PSI : 0) |
						 CAP_MAMV(mamv), 0, desc, &inv));
		KUNIT_EXPECT_EQ(test, inv.scope, INTEL_VINV_PASID);
		expect_range(test, &inv, ADDR, fits ? am : 52);
		if (fits)
			KUNIT_EXPECT_EQ(test, inv.ih, ih);
	}
}

/* Every size of a range in a device */
static void vinv_test_dev_range(struct kunit *test)
{
	unsigned int order, g;
	struct intel_vinv inv;

	for (order = 1; order <= 53; order++) {
		/* The lowest 0 is at order - 1; for 53 there is none */
		u64 low = order <= 52 ? (4096ULL << (order - 1)) - 4096 :
					~0ULL << 12;
		u64 addr = order < 52 ? ADDR & ~((4096ULL << order) - 1) : 0;
		const u64 dev[4] = { 3 | SID << 32, addr | low | 1 };
		const u64 pdev[4] = { 8 | SID << 16 | PASID << 32,
				      addr | low | BIT(11) };

		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(0, ECAP_ALL, dev, &inv));
		expect_range(test, &inv, addr, min(order, 52U));
		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(0, ECAP_ALL, pdev, &inv));
		expect_range(test, &inv, addr, min(order, 52U));
	}

	for (g = 0; g < 2; g++) {
		const u64 page[4] = { 8 | SID << 16 | PASID << 32, ADDR | g };
		const u64 none[4] = { 8 | SID << 16, ADDR | g };

		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(0, ECAP_ALL, page, &inv));
		expect_range(test, &inv, ADDR, 0);
		KUNIT_EXPECT_EQ(test, inv.scope, g ? INTEL_VINV_DEV_PASIDS :
						     INTEL_VINV_DEV_PASID);
		/* Requests without a PASID have 0 */
		KUNIT_ASSERT_EQ(test, 0, intel_vinv_check(0, ECAP_ALL, none, &inv));
		KUNIT_EXPECT_EQ(test, inv.scope, g ? INTEL_VINV_DEV_PASIDS :
						     INTEL_VINV_DEV);
	}
}

/* Fault records */

static void vfault_test_reasons(struct kunit *test)
{
	unsigned int n;

	for (n = 0; n < 512; n++) {
		u64 reason = n % 256, pp = n / 256;
		u64 hi = BIT_ULL(63) | BIT_ULL(62) | reason << 32 | pp << 31 |
			 PASID << 40 | SID;
		unsigned int guest = reason;
		__le64 rec[2];
		bool to_guest;

		switch (reason) {
		case 0x51: case 0x59:
			to_guest = pp;
			break;
		case 0x70: case 0x71: case 0x72: case 0x73:
		case 0x80: case 0x81: case 0x82:
		case 0x85: case 0x86: case 0x87: case 0x90:
			to_guest = true;
			break;
		case 0x74: case 0x76: case 0x77:
			to_guest = true;
			guest = 0x70;
			break;
		case 0x75:
			to_guest = true;
			guest = 0x73;
			break;
		default:
			to_guest = false;
			break;
		}

		KUNIT_ASSERT_EQ_MSG(test, to_guest,
				    intel_vfault_to_guest(ADDR | 0xfff, hi, rec),
				    "reason %llx", reason);
		if (!to_guest)
			continue;
		KUNIT_EXPECT_EQ(test, le64_to_cpu(rec[0]), ADDR);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(rec[1]), BIT_ULL(63) |
				BIT_ULL(62) | (u64)guest << 32 |
				(pp ? BIT_ULL(31) | PASID << 40 : 0));
	}
}

/* Which bits of a record a guest sees */
static void vfault_test_flip(struct kunit *test)
{
	const u64 base = BIT_ULL(63) | 0x71ULL << 32;
	const u64 seen = BIT_ULL(63) | GENMASK_ULL(62, 60) | BIT_ULL(31) |
			 BIT_ULL(28) | GENMASK_ULL(39, 32);
	const u64 with_pasid = GENMASK_ULL(59, 40) | GENMASK_ULL(30, 29);
	__le64 rec[2];
	unsigned int n;

	for (n = 0; n < 128; n++) {
		unsigned int bit = n % 64;
		u64 hi = (base | (n < 64 ? 0 : BIT_ULL(31))) ^ BIT_ULL(bit);
		u64 mask = seen | (hi & BIT_ULL(31) ? with_pasid : 0);

		if (bit >= 32 && bit < 40)
			continue;
		KUNIT_ASSERT_TRUE(test, intel_vfault_to_guest(ADDR, hi, rec));
		KUNIT_EXPECT_EQ_MSG(test, le64_to_cpu(rec[1]),
				    (hi & mask) | BIT_ULL(63), "bit %u", bit);
		KUNIT_ASSERT_TRUE(test, intel_vfault_to_guest(BIT_ULL(bit), base,
							      rec));
		KUNIT_EXPECT_EQ(test, le64_to_cpu(rec[0]),
				bit < 12 ? 0 : BIT_ULL(bit));
	}
}

static struct kunit_case viommu_test_cases[] = {
	KUNIT_CASE_SLOW(vpe_test_flip),
	KUNIT_CASE(vpe_test_values),
	KUNIT_CASE(vpe_test_absent),
	KUNIT_CASE(vpe_test_linux),
	KUNIT_CASE_SLOW(vinv_test_flip),
	KUNIT_CASE(vinv_test_fields),
	KUNIT_CASE(vinv_test_am),
	KUNIT_CASE(vinv_test_dev_range),
	KUNIT_CASE(vfault_test_reasons),
	KUNIT_CASE(vfault_test_flip),
	{},
};

static struct kunit_suite viommu_test_suite = {
	.name = "intel-viommu-kunit-test",
	.test_cases = viommu_test_cases,
};

kunit_test_suites(&viommu_test_suite);

MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_DESCRIPTION("KUnit tests of vIOMMUs on VT-d");
MODULE_LICENSE("GPL");
