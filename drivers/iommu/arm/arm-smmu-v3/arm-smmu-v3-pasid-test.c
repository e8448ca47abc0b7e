// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the replacement of a PASID's page table: what the SMMU can read at any
 * moment in between.
 */
#include <kunit/test.h>
#include <linux/io-pgtable.h>

#include "arm-smmu-v3.h"

#define OLD_ASID	0x1234
#define NEW_ASID	0x5678
#define OLD_TTB		0x0000123456789000ULL
#define NEW_TTB		0x0000fedcba987000ULL

static struct arm_smmu_device smmu = {
	.features = ARM_SMMU_FEAT_STALLS,
};

static struct mm_struct sva_mm = {
	.pgd = (void *)0xdaedbeefdeadb000ULL,
};

static void make_cd(struct arm_smmu_cd *cd, u16 asid, u64 ttb, bool dirty)
{
	struct arm_smmu_master master = {
		.smmu = &smmu,
	};
	struct io_pgtable io_pgtable = {};
	struct arm_smmu_domain smmu_domain = {
		.pgtbl_ops = &io_pgtable.ops,
		.cd.asid = asid,
	};

	io_pgtable.cfg.quirks = dirty ? IO_PGTABLE_QUIRK_ARM_HD : 0;
	io_pgtable.cfg.arm_lpae_s1_cfg.ttbr = ttb;
	io_pgtable.cfg.arm_lpae_s1_cfg.tcr.ips = 5;
	io_pgtable.cfg.arm_lpae_s1_cfg.tcr.tg = 0;
	io_pgtable.cfg.arm_lpae_s1_cfg.tcr.sh = 3;
	io_pgtable.cfg.arm_lpae_s1_cfg.tcr.orgn = 1;
	io_pgtable.cfg.arm_lpae_s1_cfg.tcr.irgn = 1;
	io_pgtable.cfg.arm_lpae_s1_cfg.tcr.tsz = 16;
	io_pgtable.cfg.arm_lpae_s1_cfg.mair = 0xf404ffULL;
	arm_smmu_make_s1_cd(cd, &master, &smmu_domain);
}

struct cd_writer {
	struct arm_smmu_entry_writer writer;
	struct kunit *test;
	struct arm_smmu_cd cd;
	unsigned int num_syncs;
	/* The newer of the two tables needs HA and HD, and the older */
	bool new_dirty;
	bool old_dirty;
};

/* The SMMU may have read the CD after each write of a word */
static void cd_writer_sync(struct arm_smmu_entry_writer *writer)
{
	struct cd_writer *cd_writer =
		container_of(writer, struct cd_writer, writer);
	u64 word0 = le64_to_cpu(cd_writer->cd.data[0]);
	u64 ttb = le64_to_cpu(cd_writer->cd.data[1]) & CTXDESC_CD_1_TTB0_MASK;
	u64 asid = FIELD_GET(CTXDESC_CD_0_ASID, word0);
	u64 dirty = CTXDESC_CD_0_TCR_HA | CTXDESC_CD_0_TCR_HD;

	cd_writer->num_syncs++;
	KUNIT_EXPECT_TRUE(cd_writer->test, word0 & CTXDESC_CD_0_V);
	if (ttb == OLD_TTB) {
		KUNIT_EXPECT_NE(cd_writer->test, asid, NEW_ASID);
		if (cd_writer->old_dirty)
			KUNIT_EXPECT_EQ(cd_writer->test, word0 & dirty, dirty);
	} else {
		KUNIT_EXPECT_EQ(cd_writer->test, ttb, NEW_TTB);
		KUNIT_EXPECT_NE(cd_writer->test, asid, OLD_ASID);
		if (cd_writer->new_dirty)
			KUNIT_EXPECT_EQ(cd_writer->test, word0 & dirty, dirty);
	}
}

static const struct arm_smmu_entry_writer_ops cd_writer_ops = {
	.sync = cd_writer_sync,
	.get_used = arm_smmu_get_cd_used,
};

static void expect_replace(struct kunit *test, bool old_dirty, bool new_dirty)
{
	struct cd_writer writer = {
		.writer.ops = &cd_writer_ops,
		.test = test,
		.old_dirty = old_dirty,
		.new_dirty = new_dirty,
	};
	struct arm_smmu_cd target, between[2];
	unsigned int i;

	make_cd(&writer.cd, OLD_ASID, OLD_TTB, old_dirty);
	make_cd(&target, NEW_ASID, NEW_TTB, new_dirty);
	KUNIT_ASSERT_TRUE(test, arm_smmu_make_cd_between(&writer.cd, &target,
							 between));
	for (i = 0; i < 2; i++)
		arm_smmu_write_entry(&writer.writer, writer.cd.data,
				     between[i].data);
	arm_smmu_write_entry(&writer.writer, writer.cd.data, target.data);
	KUNIT_EXPECT_EQ(test, writer.num_syncs, 3);
	KUNIT_EXPECT_MEMEQ(test, &writer.cd, &target, sizeof(target));
}

static void pasid_test_replace(struct kunit *test)
{
	expect_replace(test, false, false);
}

static void pasid_test_replace_dirty_tracking(struct kunit *test)
{
	expect_replace(test, true, true);
	expect_replace(test, false, true);
	expect_replace(test, true, false);
}

/* The driver writes the target alone */
static void expect_direct(struct kunit *test, const struct arm_smmu_cd *cur,
			  const struct arm_smmu_cd *target)
{
	struct arm_smmu_cd between[2];

	KUNIT_EXPECT_FALSE(test,
			   arm_smmu_make_cd_between(cur, target, between));
	KUNIT_EXPECT_FALSE(test,
			   arm_smmu_make_cd_between(target, cur, between));
}

static void pasid_test_direct(struct kunit *test)
{
	struct arm_smmu_master master = {
		.smmu = &smmu,
	};
	struct arm_smmu_cd clear = {};
	struct arm_smmu_cd cd, other;

	make_cd(&cd, OLD_ASID, OLD_TTB, false);
	expect_direct(test, &clear, &cd);
	expect_direct(test, &cd, &cd);
	make_cd(&other, NEW_ASID, OLD_TTB, false);
	expect_direct(test, &cd, &other);
	make_cd(&other, OLD_ASID, NEW_TTB, false);
	expect_direct(test, &cd, &other);
	arm_smmu_make_sva_cd(&other, &master, &sva_mm, NEW_ASID);
	expect_direct(test, &cd, &other);
	arm_smmu_make_sva_cd(&other, &master, NULL, NEW_ASID);
	expect_direct(test, &cd, &other);
}

/* Each bit of the format, one at a time */
static void pasid_test_other_format(struct kunit *test)
{
	const u64 may_differ = CTXDESC_CD_0_ASID | CTXDESC_CD_0_TCR_HA |
			       CTXDESC_CD_0_TCR_HD;
	struct arm_smmu_cd cur, target, between[2];
	unsigned int bit, word;

	make_cd(&cur, OLD_ASID, OLD_TTB, false);
	for (word = 0; word < CTXDESC_CD_DWORDS; word++) {
		for (bit = 0; bit < 64; bit++) {
			bool same_format = word == 1 ||
				(word == 0 && (may_differ & BIT_ULL(bit)));

			make_cd(&target, NEW_ASID, NEW_TTB, false);
			target.data[word] ^= cpu_to_le64(BIT_ULL(bit));
			KUNIT_EXPECT_EQ_MSG(test, same_format,
					    arm_smmu_make_cd_between(&cur,
								     &target,
								     between),
					    "word %u bit %u", word, bit);
		}
	}
}

static struct kunit_case arm_smmu_v3_pasid_test_cases[] = {
	KUNIT_CASE(pasid_test_replace),
	KUNIT_CASE(pasid_test_replace_dirty_tracking),
	KUNIT_CASE(pasid_test_direct),
	KUNIT_CASE(pasid_test_other_format),
	{}
};

static struct kunit_suite arm_smmu_v3_pasid_test_suite = {
	.name = "arm-smmu-v3-pasid-kunit-test",
	.test_cases = arm_smmu_v3_pasid_test_cases,
};

kunit_test_suites(&arm_smmu_v3_pasid_test_suite);

MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_DESCRIPTION("KUnit tests of PASIDs on the SMMUv3");
MODULE_LICENSE("GPL");
