// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of PASID table entries: what the entry of a nested domain is, and
 * how an entry in force becomes another one. The tests play hardware, which may
 * read the entry after each write: it must find the old or the new translation.
 */
#include <kunit/test.h>

#include "iommu.h"
#include "pasid.h"

#define DID_MASK	GENMASK_ULL(15, 0)

#define DID_A		5
#define DID_B		6
#define TABLE_A		0x123456000ULL
#define TABLE_B		0xfedcb000ULL

static struct pasid_entry first_level(u16 did, u64 table, bool five)
{
	struct pasid_entry pe = {};

	pasid_set_flptr(&pe, table);
	pasid_set_flpm(&pe, five);
	pasid_set_domain_id(&pe, did);
	pasid_set_translation_type(&pe, PASID_ENTRY_PGTT_FL_ONLY);
	pasid_set_present(&pe);
	return pe;
}

static struct pasid_entry second_level(u16 did, u64 table, bool dirty)
{
	struct pasid_entry pe = {};

	pasid_set_slptr(&pe, table);
	pasid_set_address_width(&pe, 2);
	pasid_set_domain_id(&pe, did);
	if (dirty)
		pasid_set_ssade(&pe);
	pasid_set_translation_type(&pe, PASID_ENTRY_PGTT_SL_ONLY);
	pasid_set_present(&pe);
	return pe;
}

static struct pasid_entry nested(u16 did, u64 second, u64 first, bool dirty,
				 bool sre)
{
	struct pasid_entry pe = second_level(did, second, dirty);

	pasid_set_translation_type(&pe, PASID_ENTRY_PGTT_NESTED);
	pasid_set_flptr(&pe, first);
	if (sre) {
		pasid_set_sre(&pe);
		pasid_set_wpe(&pe);
	}
	return pe;
}

static struct pasid_entry pass_through(void)
{
	struct pasid_entry pe = {};

	pasid_set_domain_id(&pe, FLPT_DEFAULT_DID);
	pasid_set_address_width(&pe, 2);
	pasid_set_translation_type(&pe, PASID_ENTRY_PGTT_PT);
	pasid_set_present(&pe);
	return pe;
}

/* Hardware translates by @pe as it would by @other, with the domain ID @did */
static bool translates_as(const struct pasid_entry *pe,
			  const struct pasid_entry *other, u16 did)
{
	const u64 pgtt = pe->val[0] >> 6 & 7;

	if (pe->val[0] != other->val[0] ||
	    pe->val[1] != ((other->val[1] & ~DID_MASK) | did))
		return false;
	if (pgtt == PASID_ENTRY_PGTT_SL_ONLY || pgtt == PASID_ENTRY_PGTT_PT)
		return true;
	return pe->val[2] == other->val[2] && pe->val[3] == other->val[3];
}

static bool hitless(const struct pasid_entry *old, const struct pasid_entry *new,
		    bool new_did, int nr, const unsigned int *part)
{
	struct pasid_entry pe = *old;
	int i;

	for (i = 0; i < nr; i++) {
		memcpy(&pe.val[2 * part[i]], &new->val[2 * part[i]], 16);
		if (translates_as(&pe, old, old->val[1] & DID_MASK) ||
		    translates_as(&pe, new, new->val[1] & DID_MASK))
			continue;
		if (!new_did || !translates_as(&pe, old, new->val[1] & DID_MASK))
			return false;
	}
	return !memcmp(&pe, new, sizeof(pe));
}

static void check_plan(struct kunit *test, const struct pasid_entry *old,
		       const struct pasid_entry *new, bool new_did)
{
	static const unsigned int orders[][2] = { { 0, 1 }, { 1, 0 } };
	unsigned int part[2] = { 9, 9 };
	int nr = pasid_entry_plan(old, new, new_did, part);
	int i, n;

	if (nr >= 0) {
		KUNIT_ASSERT_LE(test, nr, 2);
		for (i = 0; i < nr; i++)
			KUNIT_ASSERT_LE(test, part[i], 1);
		KUNIT_EXPECT_TRUE(test, hitless(old, new, new_did, nr, part));
		return;
	}
	/* No order would do either */
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		for (n = 0; n <= 2; n++)
			KUNIT_EXPECT_FALSE(test, hitless(old, new, new_did, n,
							 orders[i]));
}

static void pasid_entry_test_all(struct kunit *test)
{
	struct pasid_entry *pes;
	unsigned int n = 0, i, j, bits;

	pes = kunit_kcalloc(test, 64, sizeof(*pes), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pes);
	pes[n++] = pass_through();
	for (bits = 0; bits < 8; bits++)
		pes[n++] = first_level(bits & 1 ? DID_A : DID_B,
				       bits & 2 ? TABLE_A : TABLE_B, bits & 4);
	for (bits = 0; bits < 8; bits++)
		pes[n++] = second_level(bits & 1 ? DID_A : DID_B,
					bits & 2 ? TABLE_A : TABLE_B, bits & 4);
	for (bits = 0; bits < 32; bits++)
		pes[n++] = nested(bits & 1 ? DID_A : DID_B,
				  bits & 2 ? TABLE_A : TABLE_B,
				  bits & 4 ? TABLE_A : TABLE_B,
				  bits & 8, bits & 16);
	KUNIT_ASSERT_EQ(test, n, 49);

	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++) {
			check_plan(test, &pes[i], &pes[j], false);
			/* An ID that both have is not new */
			if ((pes[i].val[1] ^ pes[j].val[1]) & DID_MASK)
				check_plan(test, &pes[i], &pes[j], true);
		}
}

/* Each bit of a part alone takes one write of that part */
static void pasid_entry_test_flip(struct kunit *test)
{
	const struct pasid_entry old = nested(DID_A, TABLE_A, TABLE_B, true, true);
	unsigned int bit, part[2];

	for (bit = 1; bit < 256; bit++) {
		struct pasid_entry new = old;

		new.val[bit / 64] ^= BIT_ULL(bit % 64);
		KUNIT_EXPECT_EQ(test, pasid_entry_plan(&old, &new, false, part), 1);
		KUNIT_EXPECT_EQ(test, part[0], bit / 128);
	}
	KUNIT_EXPECT_EQ(test, pasid_entry_plan(&old, &old, false, part), 0);
}

/* What a plan must be: writes as a string of parts, or "break" */
static void expect(struct kunit *test, struct pasid_entry old,
		   struct pasid_entry new, bool new_did, const char *plan)
{
	unsigned int part[2];
	char found[8] = "break";
	int i, nr = pasid_entry_plan(&old, &new, new_did, part);

	if (nr >= 0) {
		for (i = 0; i < nr; i++)
			found[i] = '0' + part[i];
		found[nr] = 0;
	}
	KUNIT_EXPECT_STREQ(test, found, plan);
}

static void pasid_entry_test_known(struct kunit *test)
{
	const struct pasid_entry s2 = second_level(DID_A, TABLE_A, false);
	const struct pasid_entry s1 = nested(DID_B, TABLE_A, TABLE_B, false, false);

	/* A guest enables and disables its IOMMU */
	expect(test, s2, s1, false, "10");
	expect(test, s1, s2, false, "01");
	expect(test, pass_through(), s1, false, "10");
	expect(test, s1, pass_through(), false, "01");
	/* It has another first stage */
	expect(test, s1, nested(7, TABLE_A, TABLE_A, false, false), true, "01");
	expect(test, s1, nested(7, TABLE_A, TABLE_B, false, true), true, "01");
	expect(test, s1, nested(DID_B, TABLE_A, TABLE_A, false, false), false, "1");
	/* Dirty tracking, another second stage under the same first */
	expect(test, s1, nested(DID_B, TABLE_A, TABLE_B, true, false), false, "0");
	expect(test, s1, nested(7, TABLE_B, TABLE_B, false, false), false, "0");
	expect(test, s2, second_level(7, TABLE_B, true), false, "0");
	expect(test, s2, first_level(7, TABLE_B, false), false, "10");
	/* What hardware cannot do */
	expect(test, s1, nested(7, TABLE_A, TABLE_A, false, false), false, "break");
	expect(test, s1, nested(7, TABLE_B, TABLE_A, false, false), true, "break");
	expect(test, s1, nested(7, TABLE_A, TABLE_A, true, false), true, "break");
	expect(test, s1, first_level(7, TABLE_A, false), true, "break");
	expect(test, first_level(7, TABLE_A, false), s1, true, "break");
}

/* The entry of a nested domain has the guest's bits in their places only */
static void pasid_entry_test_nested(struct kunit *test)
{
	struct iommu_domain_info info = { .refcnt = 1, .did = DID_B };
	struct intel_iommu *iommu;
	struct dmar_domain *s1, *s2;
	unsigned int i;

	iommu = kunit_kzalloc(test, sizeof(*iommu), GFP_KERNEL);
	s1 = kunit_kzalloc(test, sizeof(*s1), GFP_KERNEL);
	s2 = kunit_kzalloc(test, sizeof(*s2), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, iommu);
	KUNIT_ASSERT_NOT_NULL(test, s1);
	KUNIT_ASSERT_NOT_NULL(test, s2);
	s2->pgd = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s2->pgd);
	s2->agaw = 2;
	s1->s2_domain = s2;
	s1->domain.type = IOMMU_DOMAIN_NESTED;
	s1->s1_pgtbl = TABLE_B;
	xa_init(&s1->iommu_array);
	KUNIT_ASSERT_NULL(test, xa_store(&s1->iommu_array, iommu->seq_id, &info,
					 GFP_KERNEL));

	/* SRE, EAFE and WPE; 5 levels; the capabilities of SRE, EAFE, 5 levels */
	for (i = 0; i < 256; i++) {
		const unsigned int flags = i & 7, caps = i >> 3 & 7;
		const unsigned int five = i >> 6 & 1, snoop = i >> 7;
		u64 sre = flags & 1, eafe = flags >> 1 & 1, wpe = flags >> 2;
		bool fits = sre <= (caps & 1) && eafe <= (caps >> 1 & 1) &&
			    five <= caps >> 2;
		struct pasid_entry pe;
		int ret;

		iommu->ecap = (caps & 1 ? BIT_ULL(31) : 0) |
			      (caps & 2 ? BIT_ULL(34) : 0);
		iommu->cap = caps & 4 ? BIT_ULL(60) : 0;
		s2->force_snooping = snoop;
		s1->s1_cfg.flags = flags;
		s1->s1_cfg.addr_width = five ? 57 : 48;

		memset(&pe, 0xff, sizeof(pe));
		ret = intel_pasid_make_nested(iommu, NULL, s1, &pe);
		KUNIT_EXPECT_EQ(test, ret, fits ? 0 : -EINVAL);
		if (ret)
			continue;
		KUNIT_EXPECT_EQ(test, pe.val[0], virt_to_phys(s2->pgd) |
				PASID_ENTRY_PGTT_NESTED << 6 | 2 << 2 | 1);
		KUNIT_EXPECT_EQ(test, pe.val[1], (u64)snoop << 24 | DID_B);
		KUNIT_EXPECT_EQ(test, pe.val[2], TABLE_B | eafe << 7 |
				(sre & wpe) << 4 | five << 2 | sre);
		KUNIT_EXPECT_EQ(test, pe.val[3] | pe.val[4] | pe.val[5] |
				pe.val[6] | pe.val[7], 0);
	}

	s1->s1_cfg.flags = 0;
	s1->s1_cfg.addr_width = 39;
	iommu->cap = ~0ULL;
	iommu->ecap = ~0ULL;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			intel_pasid_make_nested(iommu, NULL, s1,
						&(struct pasid_entry){}));
	xa_destroy(&s1->iommu_array);
}

static struct kunit_case pasid_entry_test_cases[] = {
	KUNIT_CASE(pasid_entry_test_all),
	KUNIT_CASE(pasid_entry_test_flip),
	KUNIT_CASE(pasid_entry_test_known),
	KUNIT_CASE(pasid_entry_test_nested),
	{},
};

static struct kunit_suite pasid_entry_test_module = {
	.name = "intel-pasid-kunit-test",
	.test_cases = pasid_entry_test_cases,
};

kunit_test_suites(&pasid_entry_test_module);

MODULE_DESCRIPTION("KUnit tests of the PASID table entries of VT-d");
MODULE_LICENSE("GPL");
