// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of how a guest's commands and stream table entries translate to the
 * host's, and the host's events to the guest's
 *
 * Fields are the numbers of the architecture (Arm IHI 0070), not the masks of
 * the driver: a test with a wrong mask would expect the driver's own mistake.
 */
#include <kunit/test.h>
#include <linux/io-pgtable.h>
#include <linux/prandom.h>

#include "arm-smmu-v3-viommu.h"

/* Commands: chapter 4 */

#define OP_CFGI_CD	0x05
#define OP_CFGI_CD_ALL	0x06
#define OP_NH_ALL	0x10
#define OP_NH_ASID	0x11
#define OP_NH_VA	0x12
#define OP_NH_VAA	0x13
#define OP_NSNH_ALL	0x30
#define OP_ATC_INV	0x40

#define CMD0_OP		GENMASK_ULL(7, 0)
#define CMD0_GLOBAL	BIT_ULL(9)
#define CMD0_SSV	BIT_ULL(11)
#define CMD0_NUM	GENMASK_ULL(16, 12)
#define CMD0_SCALE	GENMASK_ULL(25, 20)
#define CMD0_SCALE_5	BIT_ULL(25)
#define CMD0_SSID	GENMASK_ULL(31, 12)
#define CMD0_SID	GENMASK_ULL(63, 32)
#define CMD0_VMID	GENMASK_ULL(47, 32)
#define CMD0_ASID	GENMASK_ULL(63, 48)
#define CMD0_ASID_HIGH	GENMASK_ULL(63, 56)
#define CMD1_LEAF	BIT_ULL(0)
#define CMD1_SIZE	GENMASK_ULL(5, 0)
#define CMD1_TTL	GENMASK_ULL(9, 8)
#define CMD1_TG		GENMASK_ULL(11, 10)
#define CMD1_ADDR	GENMASK_ULL(63, 12)

#define CMD0_RANGE	(CMD0_NUM | CMD0_SCALE)
#define CMD1_HINTS	(CMD1_TTL | CMD1_TG)

#define ATC_SIZE_MAX	52

/*
 * The commands that a guest may send, and their fields; other bits are reserved
 */
struct vcmd_row {
	u8 op;
	u8 kind;
	u64 fields[2];
};

static const struct vcmd_row vcmd_rows[] = {
	{
		.op = OP_CFGI_CD,
		.kind = ARM_SMMU_VCMD_CFGI,
		.fields = { CMD0_OP | CMD0_SSID | CMD0_SID, CMD1_LEAF },
	},
	{
		.op = OP_CFGI_CD_ALL,
		.kind = ARM_SMMU_VCMD_CFGI,
		.fields = { CMD0_OP | CMD0_SID, 0 },
	},
	{
		.op = OP_NH_ALL,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMD0_OP | CMD0_VMID, 0 },
	},
	{
		.op = OP_NH_ASID,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMD0_OP | CMD0_VMID | CMD0_ASID, 0 },
	},
	{
		.op = OP_NH_VA,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMD0_OP | CMD0_RANGE | CMD0_VMID | CMD0_ASID,
			    CMD1_LEAF | CMD1_HINTS | CMD1_ADDR },
	},
	{
		.op = OP_NH_VAA,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMD0_OP | CMD0_RANGE | CMD0_VMID,
			    CMD1_LEAF | CMD1_HINTS | CMD1_ADDR },
	},
	{
		.op = OP_NSNH_ALL,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMD0_OP, 0 },
	},
	{
		.op = OP_ATC_INV,
		.kind = ARM_SMMU_VCMD_ATC,
		.fields = { CMD0_OP | CMD0_GLOBAL | CMD0_SSV | CMD0_SSID |
				    CMD0_SID,
			    CMD1_SIZE | CMD1_ADDR },
	},
};

#define VCMD_NUM_CAPS	32

static struct arm_smmu_vcmd_caps vcmd_caps(unsigned int i)
{
	return (struct arm_smmu_vcmd_caps){
		.ril = i & BIT(0),
		.ats = i & BIT(1),
		.ds = i & BIT(2),
		.asid16 = i & BIT(3),
		.ssid_bits = i & BIT(4) ? 8 : 0,
	};
}

static const struct vcmd_row *vcmd_find(u64 word0)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vcmd_rows); i++)
		if (vcmd_rows[i].op == FIELD_GET(CMD0_OP, word0))
			return &vcmd_rows[i];
	return NULL;
}

/* The bits of fields in word 0 that this hardware does not have */
static u64 vcmd_absent(const struct arm_smmu_vcmd_caps *caps, u8 op)
{
	u64 asid = caps->asid16 ? 0 : CMD0_ASID_HIGH;
	u64 scale = caps->ds ? 0 : CMD0_SCALE_5;
	u64 ssid = CMD0_SSID & (U64_MAX << (12 + caps->ssid_bits));

	switch (op) {
	case OP_CFGI_CD:
		return ssid;
	case OP_NH_ASID:
		return asid;
	case OP_NH_VA:
		return asid | scale;
	case OP_NH_VAA:
		return scale;
	case OP_ATC_INV:
		return caps->ssid_bits ? ssid : ssid | CMD0_SSV | CMD0_GLOBAL;
	default:
		return 0;
	}
}

static bool vcmd_range_legal(const struct arm_smmu_vcmd_caps *caps,
			     const u64 *cmd)
{
	bool one = !(cmd[0] & CMD0_RANGE);

	switch (FIELD_GET(CMD1_TG, cmd[1])) {
	case 0:
		return one && !(cmd[1] & CMD1_TTL);
	case 2:
		if (!caps->ds && FIELD_GET(CMD1_TTL, cmd[1]) == 1)
			return false;
		fallthrough;
	default:
		return !one || (cmd[1] & CMD1_TTL);
	}
}

static bool vcmd_legal(const struct arm_smmu_vcmd_caps *caps, const u64 *cmd)
{
	const struct vcmd_row *row = vcmd_find(cmd[0]);

	if (!row || (cmd[0] & ~row->fields[0]) || (cmd[1] & ~row->fields[1]))
		return false;
	if (cmd[0] & vcmd_absent(caps, row->op))
		return false;
	if (row->op == OP_NH_VA || row->op == OP_NH_VAA)
		return vcmd_range_legal(caps, cmd);
	if (row->op == OP_ATC_INV)
		return caps->ats &&
		       FIELD_GET(CMD1_SIZE, cmd[1]) <= ATC_SIZE_MAX;
	return true;
}

/*
 * The TLB entries of one VMID that a command removes. A command for a single
 * address removes the entry that translates it, whatever its size.
 */
struct vcmd_scope {
	bool all_asids;
	u16 asid;
	bool global;
	bool all_addrs;
	bool single;
	u64 first;
	u64 last;
	bool leaf_only;
	u8 level;
	u8 granule;
};

static struct vcmd_scope vcmd_scope(const u64 *cmd)
{
	u8 op = FIELD_GET(CMD0_OP, cmd[0]);
	u64 scale = FIELD_GET(CMD0_SCALE, cmd[0]);
	u64 num = FIELD_GET(CMD0_NUM, cmd[0]) + 1;
	struct vcmd_scope scope = {
		.all_asids = op != OP_NH_ASID && op != OP_NH_VA,
		.asid = FIELD_GET(CMD0_ASID, cmd[0]),
		.global = op != OP_NH_ASID,
		.all_addrs = op != OP_NH_VA && op != OP_NH_VAA,
	};
	unsigned int shift;

	if (scope.all_addrs)
		return scope;

	scope.first = cmd[1] & CMD1_ADDR;
	scope.last = scope.first;
	scope.leaf_only = cmd[1] & CMD1_LEAF;
	scope.level = FIELD_GET(CMD1_TTL, cmd[1]);
	scope.granule = FIELD_GET(CMD1_TG, cmd[1]);
	scope.single = !scope.granule || (num == 1 && !scale);
	if (scope.single)
		return scope;

	shift = scale + 10 + 2 * scope.granule;
	if (shift >= 58 || check_add_overflow(scope.first, (num << shift) - 1,
					      &scope.last))
		scope.last = U64_MAX;
	return scope;
}

static bool vcmd_scope_covers(const struct vcmd_scope *wide,
			      const struct vcmd_scope *scope)
{
	if (!wide->all_asids &&
	    (scope->all_asids || scope->asid != wide->asid))
		return false;
	if (scope->global && !wide->global)
		return false;
	if (wide->all_addrs)
		return true;
	if (scope->all_addrs)
		return false;
	if (wide->single && !scope->single)
		return false;
	return wide->first <= scope->first && wide->last >= scope->last &&
	       (!wide->leaf_only || scope->leaf_only) &&
	       (!wide->level || wide->level == scope->level) &&
	       (!wide->granule || wide->granule == scope->granule);
}

/* The number of addresses for a range without RIL, 0 for too many */
static unsigned int vcmd_repeat(const u64 *cmd)
{
	u64 scale = FIELD_GET(CMD0_SCALE, cmd[0]);
	u64 num = FIELD_GET(CMD0_NUM, cmd[0]) + 1;
	u64 tg = FIELD_GET(CMD1_TG, cmd[1]);

	if (scale >= 6)
		return 0;
	num <<= scale;
	if ((tg == 2 && (cmd[1] & GENMASK_ULL(13, 12))) ||
	    (tg == 3 && (cmd[1] & GENMASK_ULL(15, 12))))
		num++;
	return num < 64 ? num : 0;
}

static const char *vcmd_wrong_host(const struct arm_smmu_vcmd_caps *caps,
				   u16 vmid, const u64 *guest, const u64 *host,
				   const struct arm_smmu_vcmd *vcmd)
{
	const struct vcmd_row *row = vcmd_find(host[0]);
	u8 op = FIELD_GET(CMD0_OP, guest[0]);
	struct vcmd_scope guest_scope, host_scope;
	unsigned int expected = 1;
	u64 kept[2];

	if (!caps->ril && (op == OP_NH_VA || op == OP_NH_VAA) &&
	    FIELD_GET(CMD1_TG, guest[1]))
		expected = vcmd_repeat(guest);
	if (vcmd->repeat != (expected ?: 1))
		return "another number of commands";
	if (!expected)
		op = OP_NH_ALL;
	if (op == OP_NSNH_ALL)
		op = OP_NH_ALL;
	if (!row || row->op != op)
		return "another opcode";

	kept[0] = row->fields[0] & ~vcmd_absent(caps, op);
	kept[1] = row->fields[1];
	if (!caps->ril && (op == OP_NH_VA || op == OP_NH_VAA)) {
		kept[0] &= ~CMD0_RANGE;
		kept[1] &= ~CMD1_HINTS;
	}
	if ((host[0] & ~kept[0]) || (host[1] & ~kept[1]))
		return "a reserved bit for the host";

	if (row->kind == ARM_SMMU_VCMD_TLBI) {
		if (FIELD_GET(CMD0_VMID, host[0]) != vmid)
			return "another VMID";
		guest_scope = vcmd_scope(guest);
		host_scope = vcmd_scope(host);
		if (vcmd->repeat > 1) {
			if (vcmd->step != SZ_1K << 2 * guest_scope.granule)
				return "another step";
			host_scope.first = round_down(host_scope.first,
						      vcmd->step);
			host_scope.last = host_scope.first +
					  vcmd->repeat * vcmd->step - 1;
			if (host_scope.last < host_scope.first)
				host_scope.last = U64_MAX;
			host_scope.single = false;
		}
		if (!vcmd_scope_covers(&host_scope, &guest_scope))
			return "a narrower scope";
		kept[0] &= ~CMD0_VMID;
	}
	if (op != FIELD_GET(CMD0_OP, guest[0]))
		return NULL;
	if (((host[0] ^ guest[0]) & kept[0]) ||
	    ((host[1] ^ guest[1]) & kept[1]))
		return "a field has changed";
	return NULL;
}

static int vcmd_kind(const struct arm_smmu_vcmd_caps *caps, u16 vmid, u64 *cmd)
{
	struct arm_smmu_vcmd vcmd;

	return arm_smmu_vcmd_translate(caps, vmid, cmd, &vcmd);
}

static const char *vcmd_wrong(const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			      const u64 *guest)
{
	u64 host[2] = { guest[0], guest[1] };
	struct arm_smmu_vcmd vcmd;
	int kind = arm_smmu_vcmd_translate(caps, vmid, host, &vcmd);

	if (!vcmd_legal(caps, guest))
		return kind == -EIO ? NULL : "not refused with -EIO";
	if (kind < 0)
		return "refused";
	if (kind != vcmd_find(guest[0])->kind)
		return "another kind";
	return vcmd_wrong_host(caps, vmid, guest, host, &vcmd);
}

static void vcmd_expect(struct kunit *test,
			const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			u64 word0, u64 word1)
{
	const u64 guest[2] = { word0, word1 };
	const char *wrong = vcmd_wrong(caps, vmid, guest);

	if (wrong)
		KUNIT_FAIL_AND_ABORT(test,
				     "%016llx %016llx, VMID %04x, ril %d ats %d ds %d asid16 %d ssid_bits %u: %s",
				     word0, word1, vmid, caps->ril, caps->ats,
				     caps->ds, caps->asid16, caps->ssid_bits,
				     wrong);
}

/* Commands as words: the input and, unless it is refused, the output */
static void vcmd_test_examples(struct kunit *test)
{
	static const struct {
		const char *name;
		bool ril;
		bool refused;
		u64 guest[2];
		u64 host[2];
	} examples[] = {
		{ "CFGI_CD", true, false,
		  { 0x0000000700005005, 1 }, { 0x0000000700005005, 1 } },
		{ "CFGI_CD_ALL", true, false,
		  { 0xfffffff000000006, 0 }, { 0xfffffff000000006, 0 } },
		{ "NH_ALL", true, false,
		  { 0x0000000900000010, 0 }, { 0x0000123400000010, 0 } },
		{ "NH_ASID", true, false,
		  { 0xabcd000000000011, 0 }, { 0xabcd123400000011, 0 } },
		{ "NH_VA", true, false,
		  { 0xabcd000000000012, 0x0000ffff80001001 },
		  { 0xabcd123400000012, 0x0000ffff80001001 } },
		{ "NH_VA, 3 * 2^2 pages of 4K, level 3", true, false,
		  { 0xabcd000000202012, 0x0000ffff80000701 },
		  { 0xabcd123400202012, 0x0000ffff80000701 } },
		{ "the same without RIL, the first of 12", false, false,
		  { 0xabcd000000202012, 0x0000ffff80000701 },
		  { 0xabcd123400000012, 0x0000ffff80000001 } },
		{ "NH_VA, 32 * 2^5 pages of 4K, without RIL", false, false,
		  { 0xabcd00000051f012, 0x0000ffff80000701 },
		  { 0x0000123400000010, 0 } },
		{ "NH_VAA, one page of 64K, level 3, without RIL", false, false,
		  { 0x0000ffff00000013, 0x0000ffff80000f00 },
		  { 0x0000123400000013, 0x0000ffff80000000 } },
		{ "NSNH_ALL", true, false,
		  { 0x30, 0 }, { 0x0000123400000010, 0 } },
		{ "ATC_INV of SSID 7, Global", true, false,
		  { 0x0000000700007a40, 0x0000000012345034 },
		  { 0x0000000700007a40, 0x0000000012345034 } },
		{ "CFGI_STE", true, true, { 0x0000000700000003, 1 } },
		{ "EL2_ALL", true, true, { 0x20, 0 } },
		{ "S12_VMALL", true, true, { 0x0000123400000028, 0 } },
		{ "S2_IPA", true, true, { 0x000012340000002a, 0x1000 } },
		{ "RESUME", true, true, { 0x0000000700000044, 0 } },
		{ "SYNC", true, true, { 0x46, 0 } },
	};
	struct arm_smmu_vcmd_caps caps = vcmd_caps(VCMD_NUM_CAPS - 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(examples); i++) {
		u64 cmd[2] = { examples[i].guest[0], examples[i].guest[1] };
		int kind;

		caps.ril = examples[i].ril;
		kind = vcmd_kind(&caps, 0x1234, cmd);
		KUNIT_EXPECT_EQ_MSG(test, kind < 0, examples[i].refused, "%s",
				    examples[i].name);
		if (kind < 0)
			continue;
		KUNIT_EXPECT_MEMEQ_MSG(test, cmd, examples[i].host, sizeof(cmd),
				       "%s", examples[i].name);
	}
}

static void vcmd_test_opcodes(struct kunit *test)
{
	static const u64 others[][2] = {
		{ 0, 0 },
		{ CMD0_SID, 0 },
		{ CMD0_VMID, 0 },
		{ CMD0_SSID | CMD0_SID, CMD1_LEAF },
		{ CMD0_VMID | CMD0_ASID, CMD1_ADDR },
		{ ~CMD0_OP, U64_MAX },
	};
	unsigned int i, j, op, accepted;

	for (i = 0; i < VCMD_NUM_CAPS; i++) {
		struct arm_smmu_vcmd_caps caps = vcmd_caps(i);

		accepted = 0;
		for (op = 0; op <= U8_MAX; op++) {
			u64 cmd[2] = { op, 0 };

			if (vcmd_kind(&caps, 1, cmd) >= 0)
				accepted++;
			for (j = 0; j < ARRAY_SIZE(others); j++)
				vcmd_expect(test, &caps, 1, op | others[j][0],
					    others[j][1]);
		}
		KUNIT_EXPECT_EQ(test, accepted,
				ARRAY_SIZE(vcmd_rows) - !caps.ats);
	}
}

static void vcmd_test_single_bits(struct kunit *test)
{
	/*
	 * The first row of an opcode is legal on all hardware, except for ATS
	 */
	static const u64 baselines[][2] = {
		{ OP_CFGI_CD, 0 },
		{ OP_CFGI_CD | 0x00000123000a5000, CMD1_LEAF },
		{ OP_CFGI_CD_ALL, 0 },
		{ OP_CFGI_CD_ALL | 0xfedcba9800000000, 0 },
		{ OP_NH_ALL, 0 },
		{ OP_NH_ALL | CMD0_VMID, 0 },
		{ OP_NH_ASID, 0 },
		{ OP_NH_ASID | 0x00a5ffff00000000, 0 },
		{ OP_NH_VA, 0 },
		{ OP_NH_VA | 0x00a5ffff00000000, 0xffffffffabcde001 },
		{ OP_NH_VA | 0x00a5000000000000, 0x00007fffabc00600 },
		{ OP_NH_VA | 0x00a500000031f000, 0x00007fffabc00c00 },
		{ OP_NH_VA | 0x5aa500000031f000, 0x00007fffabc00401 },
		{ OP_NH_VAA, 0 },
		{ OP_NH_VAA | 0x0000ffff00000000, 0xffffffffabcde001 },
		{ OP_NH_VAA | 0x0000000000000000, 0x00007fffabc00b00 },
		{ OP_NH_VAA | 0x000000000001f000, 0x00007fffabc00800 },
		{ OP_NSNH_ALL, 0 },
		{ OP_ATC_INV, 0 },
		{ OP_ATC_INV | 0x0000012300000000, 0x00007fffabc00034 },
		{ OP_ATC_INV | 0x00000123000a5a00, 0x00007fffabc00000 },
	};
	unsigned int i, j, bit;

	for (i = 0; i < VCMD_NUM_CAPS; i++) {
		struct arm_smmu_vcmd_caps caps = vcmd_caps(i);

		for (j = 0; j < ARRAY_SIZE(baselines); j++) {
			u64 word0 = baselines[j][0], word1 = baselines[j][1];

			vcmd_expect(test, &caps, 0xa53c, word0, word1);
			for (bit = 0; bit < 64; bit++) {
				vcmd_expect(test, &caps, 0xa53c,
					    word0 ^ BIT_ULL(bit), word1);
				vcmd_expect(test, &caps, 0xa53c, word0,
					    word1 ^ BIT_ULL(bit));
			}
		}
	}
}

static void vcmd_test_vmids(struct kunit *test)
{
	static const u64 guests[][2] = {
		{ OP_NH_ALL, 0 },
		{ OP_NH_ASID | 0x0042000000000000, 0 },
		{ OP_NH_VA | 0x0042000000000000, 0x1000 },
		{ OP_NH_VA | 0x0042000000001000, 0x1400 },
		{ OP_NH_VAA, 0x1000 },
		{ OP_NH_VAA | 0x1000, 0x1400 },
	};
	struct arm_smmu_vcmd_caps caps = vcmd_caps(VCMD_NUM_CAPS - 1);
	unsigned int i, vmid;

	for (vmid = 0; vmid <= U16_MAX; vmid += vmid < 0x100 ? 1 : 0xff) {
		for (i = 0; i < ARRAY_SIZE(guests); i++) {
			u64 word0 = guests[i][0], word1 = guests[i][1];

			caps.ril = !(vmid & 1);
			vcmd_expect(test, &caps, vmid, word0, word1);
			vcmd_expect(test, &caps, vmid, word0 | CMD0_VMID,
				    word1);
			vcmd_expect(test, &caps, vmid,
				    word0 | FIELD_PREP(CMD0_VMID, ~vmid & 0xffff),
				    word1);
		}
		vcmd_expect(test, &caps, vmid, OP_NSNH_ALL, 0);
	}
}

static void vcmd_test_ranges(struct kunit *test)
{
	unsigned int i, num, scale, hints;

	for (i = 0; i < VCMD_NUM_CAPS; i++) {
		struct arm_smmu_vcmd_caps caps = vcmd_caps(i);

		for (num = 0; num < 32; num++) {
			for (scale = 0; scale < 64; scale++) {
				u64 word0 = FIELD_PREP(CMD0_NUM, num) |
					    FIELD_PREP(CMD0_SCALE, scale);

				/* TG x TTL, and Leaf as an odd number of both */
				for (hints = 0; hints < 16; hints++) {
					u64 word1 = 0x00007f0040000000 |
						    (hints << 8) |
						    (hweight8(hints) & 1);

					vcmd_expect(test, &caps, 2,
						    word0 | OP_NH_VA |
						    0x0042000000000000, word1);
					vcmd_expect(test, &caps, 2,
						    word0 | OP_NH_VAA, word1);
				}
			}
		}
	}
}

/* Without RIL: one address after the other, or all entries of the VM */
static void vcmd_test_ranges_without_ril(struct kunit *test)
{
	struct arm_smmu_vcmd_caps caps = vcmd_caps(VCMD_NUM_CAPS - 1);
	const u64 addr = 0x00007f0040000000;
	unsigned int num, scale;

	caps.ril = false;
	for (num = 0; num < 32; num++) {
		for (scale = 0; scale < 64; scale++) {
			u64 cmd[2] = {
				OP_NH_VA | FIELD_PREP(CMD0_NUM, num) |
					FIELD_PREP(CMD0_SCALE, scale) |
					FIELD_PREP(CMD0_ASID, 0x42),
				addr | FIELD_PREP(CMD1_TG, 1) |
					FIELD_PREP(CMD1_TTL, 3),
			};
			const u64 one[2] = { 0x0042ffff00000012, addr };
			const u64 all[2] = { 0x0000ffff00000010, 0 };
			bool few = scale < 6 && (num + 1) << scale < 64;
			struct arm_smmu_vcmd vcmd;

			KUNIT_ASSERT_EQ(test,
					arm_smmu_vcmd_translate(&caps, 0xffff,
								cmd, &vcmd),
					ARM_SMMU_VCMD_TLBI);
			KUNIT_ASSERT_EQ(test, vcmd.repeat,
					few ? (num + 1) << scale : 1);
			KUNIT_ASSERT_EQ(test, vcmd.step, SZ_4K);
			KUNIT_ASSERT_MEMEQ(test, cmd, few ? one : all,
					   sizeof(cmd));
		}
	}
}

static void vcmd_test_atc_sizes(struct kunit *test)
{
	unsigned int i, size;

	for (i = 0; i < VCMD_NUM_CAPS; i++) {
		struct arm_smmu_vcmd_caps caps = vcmd_caps(i);

		for (size = 0; size < 64; size++) {
			u64 cmd[2] = { OP_ATC_INV, size };

			vcmd_expect(test, &caps, 2, OP_ATC_INV, size);
			vcmd_expect(test, &caps, 2, OP_ATC_INV | CMD0_SSV,
				    size | CMD1_ADDR);
			KUNIT_ASSERT_EQ(test,
					vcmd_kind(&caps, 2, cmd),
					caps.ats && size <= 52 ?
						ARM_SMMU_VCMD_ATC : -EIO);
		}
	}
}

static void vcmd_expect_ssid(struct kunit *test,
			     const struct arm_smmu_vcmd_caps *caps, u64 ssid)
{
	u64 field = FIELD_PREP(CMD0_SSID, ssid);
	u64 cmd[2] = { OP_CFGI_CD | field, 0 };

	KUNIT_ASSERT_EQ_MSG(test, vcmd_kind(caps, 2, cmd) < 0,
			    ssid >> caps->ssid_bits != 0,
			    "SSID %llu of %u bits", ssid, caps->ssid_bits);
	vcmd_expect(test, caps, 2, OP_CFGI_CD | field, CMD1_LEAF);
	vcmd_expect(test, caps, 2, OP_ATC_INV | field, 0x1000);
	vcmd_expect(test, caps, 2, OP_ATC_INV | field | CMD0_SSV, 0);
	vcmd_expect(test, caps, 2, OP_ATC_INV | field | CMD0_GLOBAL, 0);
	vcmd_expect(test, caps, 2,
		    OP_ATC_INV | field | CMD0_SSV | CMD0_GLOBAL, 0);
}

static void vcmd_test_ssid_limits(struct kunit *test)
{
	struct arm_smmu_vcmd_caps caps = vcmd_caps(VCMD_NUM_CAPS - 1);
	unsigned int bits, bit;

	for (bits = 0; bits <= 20; bits++) {
		caps.ssid_bits = bits;
		vcmd_expect_ssid(test, &caps, GENMASK(19, 0));
		for (bit = 0; bit < 20; bit++) {
			vcmd_expect_ssid(test, &caps, BIT(bit) - 1);
			vcmd_expect_ssid(test, &caps, BIT(bit));
			vcmd_expect_ssid(test, &caps, BIT(bit) | 1);
		}
	}
}

/* Random values in the fields, and in a quarter of the words one other bit */
static void vcmd_test_random(struct kunit *test)
{
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 2);
	for (i = 0; i < 200000; i++) {
		struct arm_smmu_vcmd_caps caps =
			vcmd_caps(prandom_u32_state(&rnd) % VCMD_NUM_CAPS);
		const struct vcmd_row *row =
			&vcmd_rows[prandom_u32_state(&rnd) %
				   ARRAY_SIZE(vcmd_rows)];
		u64 word[2];

		prandom_bytes_state(&rnd, word, sizeof(word));
		word[0] &= row->fields[0] & ~vcmd_absent(&caps, row->op);
		u64p_replace_bits(&word[0], row->op, CMD0_OP);
		word[1] &= row->fields[1];
		if (!(prandom_u32_state(&rnd) & 3))
			word[i & 1] ^= BIT_ULL(prandom_u32_state(&rnd) % 64);
		vcmd_expect(test, &caps, prandom_u32_state(&rnd), word[0],
			    word[1]);
	}
}

/*
 * A following command that only differs in free bits gets the same translation
 * as on its own. One that differs in another bit is not translated.
 */
static const char *vcmd_wrong_follow(const struct arm_smmu_vcmd_caps *caps,
				     const u64 *guest, const u64 *flips)
{
	u64 host[2] = { guest[0], guest[1] };
	u64 next[2][2] = {
		{ guest[0] ^ flips[0], guest[1] ^ flips[1] },
		{ guest[0], guest[1] },
	};
	u64 alone[2] = { next[0][0], next[0][1] };
	const u64 left[2] = { next[0][0], next[0][1] };
	struct arm_smmu_vcmd vcmd;
	bool follows;
	int kind;
	u32 n;

	kind = arm_smmu_vcmd_translate(caps, 0xa53c, host, &vcmd);
	if (kind < 0)
		return "refused";
	if (vcmd.repeat != 1)
		return caps->ril ? "several in spite of RIL" : NULL;

	follows = !(flips[0] & ~vcmd.free[0]) && !(flips[1] & ~vcmd.free[1]);
	n = arm_smmu_vcmd_follow(vcmd.free, guest, host, next[0], 2);
	if (!follows)
		return n || memcmp(next[0], left, sizeof(left)) ?
			       "followed by another" : NULL;
	if (n != 2)
		return "not followed";
	if (vcmd_kind(caps, 0xa53c, alone) != kind)
		return "another kind alone";
	if (memcmp(next[0], alone, sizeof(alone)))
		return "another command alone";
	return memcmp(next[1], host, sizeof(host)) ? "not the same again" : NULL;
}

static void vcmd_expect_follow(struct kunit *test,
			       const struct arm_smmu_vcmd_caps *caps,
			       const u64 *guest, u64 flip0, u64 flip1)
{
	const u64 flips[2] = { flip0, flip1 };
	const char *wrong = vcmd_wrong_follow(caps, guest, flips);

	if (wrong)
		KUNIT_FAIL_AND_ABORT(test,
				     "%016llx %016llx and flips %016llx %016llx, ril %d ats %d ds %d asid16 %d ssid_bits %u: %s",
				     guest[0], guest[1], flip0, flip1,
				     caps->ril, caps->ats, caps->ds,
				     caps->asid16, caps->ssid_bits, wrong);
}

static void vcmd_test_follow(struct kunit *test)
{
	unsigned int i, bit, legal = 0, most = 0;
	struct arm_smmu_vcmd vcmd;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 3);
	for (i = 0; i < 40000; i++) {
		struct arm_smmu_vcmd_caps caps = vcmd_caps(i % VCMD_NUM_CAPS);
		const struct vcmd_row *row =
			&vcmd_rows[prandom_u32_state(&rnd) %
				   ARRAY_SIZE(vcmd_rows)];
		u64 guest[2], flips[2], host[2];

		prandom_bytes_state(&rnd, guest, sizeof(guest));
		prandom_bytes_state(&rnd, flips, sizeof(flips));
		guest[0] &= row->fields[0] & ~vcmd_absent(&caps, row->op);
		u64p_replace_bits(&guest[0], row->op, CMD0_OP);
		guest[1] &= row->fields[1];
		/* Random values in these are seldom legal */
		if (i & 64)
			guest[0] &= ~CMD0_RANGE;
		if (i & 128)
			guest[1] &= ~CMD1_HINTS;
		if (!vcmd_legal(&caps, guest))
			continue;

		legal++;
		vcmd_expect_follow(test, &caps, guest, 0, 0);
		for (bit = 0; bit < 64; bit++) {
			vcmd_expect_follow(test, &caps, guest, BIT_ULL(bit), 0);
			vcmd_expect_follow(test, &caps, guest, 0, BIT_ULL(bit));
		}
		memcpy(host, guest, sizeof(host));
		arm_smmu_vcmd_translate(&caps, 0xa53c, host, &vcmd);
		vcmd_expect_follow(test, &caps, guest, flips[0] & vcmd.free[0],
				   flips[1] & vcmd.free[1]);
		most = max(most, hweight64(vcmd.free[0]) +
					 hweight64(vcmd.free[1]));
	}
	KUNIT_EXPECT_GT(test, legal, 10000);
	/* NH_VA with a level: ASID, NUM, SCALE, address, Leaf */
	KUNIT_EXPECT_EQ(test, most, 16 + 5 + 5 + 52 + 1);
}

/* Guest STEs: 5.2 */

#define STE0_V		BIT_ULL(0)
#define STE0_CFG	GENMASK_ULL(3, 1)
#define CFG_ABORT	0
#define CFG_BYPASS	4
#define CFG_S1		5
#define CFG_S2		6
#define CFG_NESTED	7
#define STE0_S1		(GENMASK_ULL(5, 4) | GENMASK_ULL(51, 6) | \
			 GENMASK_ULL(63, 59))
#define STE1_S1DSS	GENMASK_ULL(1, 0)
#define STE1_S1STALLD	BIT_ULL(27)
#define STE1_S1		(GENMASK_ULL(7, 0) | STE1_S1STALLD)
#define STE1_MEV	BIT_ULL(19)
#define STE1_S2FWB	BIT_ULL(25)
#define STE1_EATS	GENMASK_ULL(29, 28)
#define STE1_EATS_0	BIT_ULL(28)
#define STE1_EATS_1	BIT_ULL(29)
#define STE1_STRW	GENMASK_ULL(31, 30)
#define STE1_SHCFG	GENMASK_ULL(45, 44)
#define STE2_VMID	GENMASK_ULL(15, 0)
#define STE2_S2S	BIT_ULL(57)

/* Set by the driver: VTCR, S2AA64, S2ENDI, S2PTW, S2S, S2R, S2TTB */
#define STE2_S2		(GENMASK_ULL(50, 32) | GENMASK_ULL(52, 51) |	\
			 BIT_ULL(54) | GENMASK_ULL(58, 57))
#define STE3_S2		GENMASK_ULL(51, 4)

static const char *vste_wrong(u64 word0, u64 word1)
{
	__le64 vste[2] = { cpu_to_le64(word0), cpu_to_le64(word1) };
	u64 cfg = FIELD_GET(STE0_CFG, word0);
	u64 eats = FIELD_GET(STE1_EATS, word1);
	bool want_ats = (word0 & STE0_V) &&
			(cfg == CFG_BYPASS || (cfg == CFG_S1 && eats));
	bool ats = !want_ats;
	int ret;

	ret = arm_smmu_vste_check(vste, &ats);
	if (!(word0 & STE0_V)) {
		if (ret)
			return "refused without V";
		return vste[0] || vste[1] || ats ? "not cleared" : NULL;
	}
	if ((word0 & ~(STE0_V | STE0_CFG | STE0_S1)) ||
	    (word1 & ~(STE1_S1 | STE1_EATS)) || eats > 1 ||
	    (cfg != CFG_ABORT && cfg != CFG_BYPASS && cfg != CFG_S1))
		return ret == -EIO ? NULL : "not refused with -EIO";
	if (ret)
		return "refused";
	if (vste[0] != cpu_to_le64(word0) ||
	    vste[1] != cpu_to_le64(word1 & ~STE1_EATS))
		return "other words";
	return ats == want_ats ? NULL : "another ATS";
}

static void vste_expect(struct kunit *test, u64 word0, u64 word1)
{
	const char *wrong = vste_wrong(word0, word1);

	if (wrong)
		KUNIT_FAIL_AND_ABORT(test, "%016llx %016llx: %s", word0, word1,
				     wrong);
}

static void vste_test_single_bits(struct kunit *test)
{
	static const u8 cfgs[] = { CFG_ABORT, CFG_BYPASS, CFG_S1 };
	unsigned int i, full, bit;

	for (i = 0; i < ARRAY_SIZE(cfgs); i++) {
		for (full = 0; full < 2; full++) {
			u64 word0 = STE0_V | FIELD_PREP(STE0_CFG, cfgs[i]) |
				    (full ? STE0_S1 : 0);
			u64 word1 = full ? STE1_S1 | STE1_EATS_0 : 0;

			vste_expect(test, word0, word1);
			for (bit = 0; bit < 64; bit++) {
				vste_expect(test, word0 ^ BIT_ULL(bit), word1);
				vste_expect(test, word0, word1 ^ BIT_ULL(bit));
			}
		}
	}
}

static void vste_test_values(struct kunit *test)
{
	static const u64 others[][2] = {
		{ 0, 0 },
		{ STE0_S1, STE1_S1 },
		{ ~(STE0_V | STE0_CFG), ~STE1_EATS },
		{ BIT_ULL(52), 0 },
		{ 0, STE1_MEV },
	};
	unsigned int cfg, eats, valid, i;

	for (cfg = 0; cfg < 8; cfg++)
		for (eats = 0; eats < 4; eats++)
			for (valid = 0; valid < 2; valid++)
				for (i = 0; i < ARRAY_SIZE(others); i++)
					vste_expect(test,
						    valid | cfg << 1 |
						    others[i][0],
						    (u64)eats << 28 |
						    others[i][1]);
}

/* The accepted fields as numbers of the user API */
static void vste_test_abi_fields(struct kunit *test)
{
	__le64 vste[2];
	bool ats;

	vste[0] = cpu_to_le64(0xf80ffffffffffffb);
	vste[1] = cpu_to_le64(0x180000ff);
	KUNIT_EXPECT_EQ(test, arm_smmu_vste_check(vste, &ats), 0);
	KUNIT_EXPECT_TRUE(test, ats);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(vste[0]), 0xf80ffffffffffffb);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(vste[1]), 0x080000ff);
}

/* The physical STE of a guest STE */

#define S2_TABLE	0x0000000123456000ULL
#define S2_TABLE_OTHER	0x0000000abcdef000ULL
/* VTCR of a 4K stage 2 of 44 bits from level 0, S2AA64, S2PTW, S2R */
#define S2_WORD2	0x044c359400000000ULL
/* SHCFG: incoming */
#define S2_WORD1	BIT_ULL(44)

static void ste_set(struct arm_smmu_ste *ste, u64 word0, u64 word1, u64 word2,
		    u64 word3)
{
	memset(ste, 0, sizeof(*ste));
	ste->data[0] = cpu_to_le64(word0);
	ste->data[1] = cpu_to_le64(word1);
	ste->data[2] = cpu_to_le64(word2);
	ste->data[3] = cpu_to_le64(word3);
}

static void ste_set_s2(struct arm_smmu_ste *ste, u64 word1, u64 word2)
{
	ste_set(ste, STE0_V | FIELD_PREP(STE0_CFG, CFG_S2), word1, word2,
		S2_TABLE);
}

static const struct {
	u64 word1;
	u64 word2;
} ste_s2_variants[] = {
	{ 0, S2_WORD2 | 1 },
	{ S2_WORD1, S2_WORD2 | 2 },
	{ S2_WORD1 | STE1_EATS_0, S2_WORD2 | 0xffff },
	{ S2_WORD1 | STE1_S2FWB, S2_WORD2 | 0x8000 },
	{ S2_WORD1 | STE1_S2FWB | STE1_EATS_0, S2_WORD2 | 3 },
	{ STE1_S2FWB | STE1_EATS_0, S2_WORD2 | 4 },
	{ S2_WORD1, S2_WORD2 | STE2_S2S | 5 },
};

/* Fill @target with garbage before it is made */
static void ste_make_nested(struct arm_smmu_ste *target,
			    const struct arm_smmu_ste *s2, u64 word0,
			    u64 word1, bool force_s1stalld)
{
	const __le64 vste[2] = { cpu_to_le64(word0), cpu_to_le64(word1) };

	memset(target, 0xa5, sizeof(*target));
	arm_smmu_make_nested_ste(target, s2, vste, force_s1stalld);
}

static void ste_expect_s1(struct kunit *test, const struct arm_smmu_ste *s2,
			  u64 word0, u64 word1)
{
	struct arm_smmu_ste target, expect = *s2;
	unsigned int force;

	word0 |= STE0_V | FIELD_PREP(STE0_CFG, CFG_S1);
	expect.data[0] =
		cpu_to_le64(word0 | FIELD_PREP(STE0_CFG, CFG_NESTED));
	for (force = 0; force < 2; force++) {
		expect.data[1] = s2->data[1] |
				 cpu_to_le64(word1 | STE1_MEV |
					     (force ? STE1_S1STALLD : 0));
		ste_make_nested(&target, s2, word0, word1, force);
		KUNIT_ASSERT_MEMEQ(test, &target, &expect, sizeof(target));
	}
}

static void ste_test_make_s1(struct kunit *test)
{
	struct arm_smmu_ste s2;
	unsigned int i, bit;

	for (i = 0; i < ARRAY_SIZE(ste_s2_variants); i++) {
		ste_set_s2(&s2, ste_s2_variants[i].word1,
			   ste_s2_variants[i].word2);
		ste_expect_s1(test, &s2, 0, 0);
		ste_expect_s1(test, &s2, STE0_S1, STE1_S1);
		for (bit = 0; bit < 64; bit++) {
			ste_expect_s1(test, &s2, STE0_S1 & BIT_ULL(bit), 0);
			ste_expect_s1(test, &s2, 0, STE1_S1 & BIT_ULL(bit));
		}
	}
}

static void ste_test_make_bypass(struct kunit *test)
{
	const u64 word0 = STE0_V | FIELD_PREP(STE0_CFG, CFG_BYPASS);
	struct arm_smmu_ste s2, target;
	unsigned int i, force;

	for (i = 0; i < ARRAY_SIZE(ste_s2_variants); i++) {
		ste_set_s2(&s2, ste_s2_variants[i].word1,
			   ste_s2_variants[i].word2);
		for (force = 0; force < 2; force++) {
			ste_make_nested(&target, &s2, word0, 0, force);
			KUNIT_EXPECT_MEMEQ(test, &target, &s2, sizeof(s2));
			ste_make_nested(&target, &s2, word0 | STE0_S1, STE1_S1,
					force);
			KUNIT_EXPECT_MEMEQ(test, &target, &s2, sizeof(s2));
		}
	}
}

static void ste_test_make_abort(struct kunit *test)
{
	struct arm_smmu_ste s2, target, abort;
	unsigned int i, force;

	ste_set(&abort, STE0_V, 0, 0, 0);
	for (i = 0; i < ARRAY_SIZE(ste_s2_variants); i++) {
		ste_set_s2(&s2, ste_s2_variants[i].word1,
			   ste_s2_variants[i].word2);
		for (force = 0; force < 2; force++) {
			/* The check clears a guest STE with V=0 */
			ste_make_nested(&target, &s2, 0, 0, force);
			KUNIT_EXPECT_MEMEQ(test, &target, &abort, sizeof(s2));
			ste_make_nested(&target, &s2, STE0_V, 0, force);
			KUNIT_EXPECT_MEMEQ(test, &target, &abort, sizeof(s2));
			ste_make_nested(&target, &s2, STE0_V | STE0_S1, STE1_S1,
					force);
			KUNIT_EXPECT_MEMEQ(test, &target, &abort, sizeof(s2));
		}
	}
}

/* A domain has S2FWB if its table was built for it */
static void ste_test_s2_takes_fwb_of_table(struct kunit *test)
{
	struct arm_smmu_domain *domain;
	struct arm_smmu_master *master;
	struct arm_smmu_device *smmu;
	struct io_pgtable *pgtable;
	struct arm_smmu_ste ste;
	unsigned int fwb, feature;

	domain = kunit_kzalloc(test, sizeof(*domain), GFP_KERNEL);
	master = kunit_kzalloc(test, sizeof(*master), GFP_KERNEL);
	smmu = kunit_kzalloc(test, sizeof(*smmu), GFP_KERNEL);
	pgtable = kunit_kzalloc(test, sizeof(*pgtable), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, domain && master && smmu && pgtable);
	domain->pgtbl_ops = &pgtable->ops;
	domain->s2_cfg.vmid = 7;
	master->smmu = smmu;

	for (fwb = 0; fwb < 2; fwb++) {
		for (feature = 0; feature < 2; feature++) {
			pgtable->cfg.quirks =
				fwb ? IO_PGTABLE_QUIRK_ARM_S2FWB : 0;
			smmu->features = ARM_SMMU_FEAT_NESTING |
					 (feature ? ARM_SMMU_FEAT_S2FWB : 0);
			arm_smmu_make_s2_domain_ste(&ste, master, domain, true);
			KUNIT_EXPECT_EQ(test, le64_to_cpu(ste.data[1]),
					STE1_EATS_0 | (fwb ? STE1_S2FWB : 0));
		}
	}
}

/* The bits that the hardware uses, by Config */

static const u64 ste_seen_fields[8][4] = {
	{ STE0_V | STE0_CFG },
	{ STE0_V | STE0_CFG },
	{ STE0_V | STE0_CFG },
	{ STE0_V | STE0_CFG },
	[CFG_BYPASS] = { STE0_V | STE0_CFG, STE1_SHCFG },
	[CFG_S1] = { STE0_V | STE0_CFG | STE0_S1,
		     STE1_S1 | STE1_MEV | STE1_EATS | STE1_STRW,
		     STE2_VMID },
	[CFG_S2] = { STE0_V | STE0_CFG,
		     STE1_MEV | STE1_S2FWB | STE1_EATS | STE1_SHCFG,
		     STE2_VMID | STE2_S2, STE3_S2 },
	[CFG_NESTED] = { STE0_V | STE0_CFG | STE0_S1,
			 STE1_S1 | STE1_MEV | STE1_S2FWB | STE1_EATS |
				 STE1_SHCFG,
			 STE2_VMID | STE2_S2, STE3_S2 },
};

static u64 ste_word(const struct arm_smmu_ste *ste, unsigned int i)
{
	return le64_to_cpu(ste->data[i]);
}

static u64 ste_cfg(const struct arm_smmu_ste *ste)
{
	return FIELD_GET(STE0_CFG, ste_word(ste, 0));
}

static void ste_seen(const struct arm_smmu_ste *ste, u64 *fields)
{
	u64 cfg = ste_cfg(ste);
	unsigned int i;

	memset(fields, 0, STRTAB_STE_DWORDS * sizeof(*fields));
	fields[0] = STE0_V;
	if (!(ste_word(ste, 0) & STE0_V))
		return;
	for (i = 0; i < 4; i++)
		fields[i] = ste_seen_fields[cfg][i];
	if (cfg == CFG_S1 && FIELD_GET(STE1_S1DSS, ste_word(ste, 1)) == 1)
		fields[1] |= STE1_SHCFG;
}

static void ste_expect_used(struct kunit *test, const struct arm_smmu_ste *ste)
{
	__le64 used[STRTAB_STE_DWORDS] = {};
	u64 fields[STRTAB_STE_DWORDS];
	unsigned int i;

	arm_smmu_get_ste_used(ste->data, used);
	/* Stage 2 makes the hardware ignore STRW */
	if (ste_cfg(ste) == CFG_NESTED)
		used[1] &= ~cpu_to_le64(STE1_STRW);
	ste_seen(ste, fields);
	for (i = 0; i < STRTAB_STE_DWORDS; i++)
		KUNIT_EXPECT_EQ_MSG(test, le64_to_cpu(used[i]), fields[i],
				    "%016llx %016llx, word %u",
				    ste_word(ste, 0), ste_word(ste, 1), i);
}

static void ste_test_used(struct kunit *test)
{
	static const u8 cfgs[] = { CFG_ABORT, CFG_BYPASS, CFG_S1, CFG_S2,
				   CFG_NESTED };
	struct arm_smmu_ste ste;
	unsigned int i, s1dss;

	for (i = 0; i < ARRAY_SIZE(cfgs); i++) {
		for (s1dss = 0; s1dss < 4; s1dss++) {
			ste_set(&ste, FIELD_PREP(STE0_CFG, cfgs[i]), s1dss, 0,
				0);
			ste_expect_used(test, &ste);
			ste.data[0] |= cpu_to_le64(STE0_V);
			ste_expect_used(test, &ste);
		}
	}
}

/* MEV always; EATS bit 0 with neither split stage ATS nor S2S */
static void ste_test_independent(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 64; i++) {
		u64 old_eats = i & 3, new_eats = i >> 2 & 3;
		bool old_s2s = i & BIT(4), new_s2s = i & BIT(5);
		__le64 independent[STRTAB_STE_DWORDS] = {};
		__le64 expect[STRTAB_STE_DWORDS] = {};
		struct arm_smmu_ste old, new;

		ste_set_s2(&old, FIELD_PREP(STE1_EATS, old_eats),
			   S2_WORD2 | (old_s2s ? STE2_S2S : 0));
		ste_set_s2(&new, FIELD_PREP(STE1_EATS, new_eats),
			   S2_WORD2 | (new_s2s ? STE2_S2S : 0));
		expect[1] = cpu_to_le64(STE1_MEV);
		if (old_eats < 2 && new_eats < 2 && !old_s2s && !new_s2s)
			expect[1] |= cpu_to_le64(STE1_EATS_0);

		arm_smmu_get_ste_independent(old.data, new.data, independent);
		KUNIT_EXPECT_MEMEQ_MSG(test, independent, expect,
				       sizeof(expect),
				       "EATS %llu to %llu, S2S %d to %d",
				       old_eats, new_eats, old_s2s, new_s2s);
	}
}

/* Changes of the physical STE */

/*
 * Stands in for the hardware, which may read an entry at any time and its words
 * in any order. So between two syncs it may see any mix of old and new words.
 * Each mix must mean the same as one of the two ends, or be invalid (V=0).
 */
struct ste_writer {
	struct arm_smmu_entry_writer writer;
	struct arm_smmu_ste entry;
	/* The entry at the last sync */
	struct arm_smmu_ste synced;
	struct arm_smmu_ste old;
	struct arm_smmu_ste new;
	unsigned int syncs;
	/* The hardware could see V=0 */
	bool broken;
	const char *wrong;
};

static bool ste_means_same(const struct ste_writer *writer,
			   const struct arm_smmu_ste *a,
			   const struct arm_smmu_ste *b)
{
	u64 a_fields[STRTAB_STE_DWORDS], b_fields[STRTAB_STE_DWORDS];
	u64 eats = ste_word(&writer->old, 1) | ste_word(&writer->new, 1);
	u64 s2s = ste_word(&writer->old, 2) | ste_word(&writer->new, 2);
	u64 any_time = STE1_MEV;
	unsigned int i;

	if (!(eats & STE1_EATS_1) && !(s2s & STE2_S2S))
		any_time |= STE1_EATS_0;

	ste_seen(a, a_fields);
	ste_seen(b, b_fields);
	a_fields[1] &= ~any_time;
	b_fields[1] &= ~any_time;
	for (i = 0; i < STRTAB_STE_DWORDS; i++)
		if ((ste_word(a, i) & a_fields[i]) !=
		    (ste_word(b, i) & b_fields[i]))
			return false;
	return true;
}

static void ste_writer_look(struct ste_writer *writer,
			    const struct arm_smmu_ste *ste)
{
	if (!(ste_word(ste, 0) & STE0_V)) {
		writer->broken = true;
		return;
	}
	if (!ste_means_same(writer, ste, &writer->old) &&
	    !ste_means_same(writer, ste, &writer->new))
		writer->wrong = "neither the old nor the new";
	/* Full ATS is illegal with stalls in stage 2 */
	if ((ste_cfg(ste) == CFG_S2 || ste_cfg(ste) == CFG_NESTED) &&
	    (ste_word(ste, 1) & STE1_EATS_0) && (ste_word(ste, 2) & STE2_S2S))
		writer->wrong = "illegal";
}

static void ste_writer_sync(struct arm_smmu_entry_writer *entry_writer)
{
	struct ste_writer *writer =
		container_of(entry_writer, struct ste_writer, writer);
	unsigned int mix, i, changed = 0;
	struct arm_smmu_ste ste;

	for (i = 0; i < STRTAB_STE_DWORDS; i++)
		if (writer->entry.data[i] != writer->synced.data[i])
			changed |= BIT(i);

	for (mix = 0; mix < 1 << STRTAB_STE_DWORDS; mix++) {
		if (mix & ~changed)
			continue;
		for (i = 0; i < STRTAB_STE_DWORDS; i++)
			ste.data[i] = mix & BIT(i) ? writer->entry.data[i] :
						     writer->synced.data[i];
		ste_writer_look(writer, &ste);
	}
	writer->synced = writer->entry;
	writer->syncs++;
}

static const struct arm_smmu_entry_writer_ops ste_writer_ops = {
	.get_used = arm_smmu_get_ste_used,
	.get_independent = arm_smmu_get_ste_independent,
	.sync = ste_writer_sync,
};

static void ste_writer_write(struct ste_writer *writer,
			     const struct arm_smmu_ste *target)
{
	writer->old = writer->entry;
	writer->new = *target;
	arm_smmu_write_entry(&writer->writer, writer->entry.data, target->data);
	if (memcmp(&writer->entry, target, sizeof(*target)))
		writer->wrong = "not the target in the end";
	if (memcmp(&writer->entry, &writer->synced, sizeof(*target)))
		writer->wrong = "no sync in the end";
}

/* In the way of the driver */
static void ste_writer_change(struct ste_writer *writer,
			      const struct arm_smmu_ste *from,
			      const struct arm_smmu_ste *to)
{
	struct arm_smmu_ste between;

	memset(writer, 0, sizeof(*writer));
	writer->writer.ops = &ste_writer_ops;
	writer->entry = *from;
	writer->synced = *from;
	if (arm_smmu_ste_between(&writer->entry, to, &between))
		ste_writer_write(writer, &between);
	ste_writer_write(writer, to);
}

/*
 * The STEs of one device. The first column is what the STE means, each of the
 * others is the change to the STE of this number: how many syncs it takes, or x
 * for a V=0 cycle, which takes three.
 *
 *  0 abort
 *  1 stage 2 alone, 2 with EATS
 *  3 bypass vSTE, 4 with EATS, 10 of another vIOMMU
 *  5 stage 1 vSTE, 6 with EATS, 7 with another S1DSS, 8 another CD table and
 *    EATS, 9 another CD table and S1DSS, 11 as 8 without EATS, of another vIOMMU
 * 12 another stage 2 alone, 13 stage 1 vSTE on it
 * 14 stage 1 of the host
 * 15 bypass of the host
 */
#define STE_NUM		16

#define S1_VSTE0	0x0000000f0f0f0040ULL
#define S1_VSTE0_OTHER	0x5000000e0e0e0060ULL
#define S1_VSTE1	0x000000d6ULL
#define S1_VSTE1_OTHER	0x000000d5ULL

static const struct ste_kind {
	u8 cfg;
	u16 vmid;
	bool eats;
	u64 s2;
	/* Without V, Config and EATS */
	u64 vste[2];
	const char *syncs;
} ste_kinds[STE_NUM] = {
	{ CFG_ABORT, 0, 0, 0, {}, "0222222222222222" },
	{ CFG_S2, 1, 0, S2_TABLE, {}, "201123434313xxx2" },
	{ CFG_S2, 1, 1, S2_TABLE, {}, "310214343424xxx3" },
	{ CFG_S2, 2, 0, S2_TABLE, {}, "212012222213xxx2" },
	{ CFG_S2, 2, 1, S2_TABLE, {}, "321102222224xxx3" },
	{ CFG_NESTED, 2, 0, S2_TABLE, { S1_VSTE0, S1_VSTE1 },
	  "344330112x4xxxx3" },
	{ CFG_NESTED, 2, 1, S2_TABLE, { S1_VSTE0, S1_VSTE1 },
	  "344331011x4xxxx3" },
	{ CFG_NESTED, 2, 0, S2_TABLE, { S1_VSTE0, S1_VSTE1_OTHER },
	  "34433110x14xxxx3" },
	{ CFG_NESTED, 2, 1, S2_TABLE, { S1_VSTE0_OTHER, S1_VSTE1 },
	  "3443321x0142xxx3" },
	{ CFG_NESTED, 2, 0, S2_TABLE, { S1_VSTE0_OTHER, S1_VSTE1_OTHER },
	  "34433xx1104xxxx3" },
	{ CFG_S2, 3, 0, S2_TABLE, {}, "212123434302xxx2" },
	{ CFG_NESTED, 3, 0, S2_TABLE, { S1_VSTE0_OTHER, S1_VSTE1 },
	  "34444xxx2x30xxx3" },
	{ CFG_S2, 4, 0, S2_TABLE_OTHER, {}, "2xxxxxxxxxxx03x2" },
	{ CFG_NESTED, 5, 0, S2_TABLE_OTHER, { S1_VSTE0, S1_VSTE1 },
	  "3xxxxxxxxxxx40x3" },
	{ CFG_S1, 0, 0, 0, { S1_VSTE0, S1_VSTE1 | STE1_S1STALLD },
	  "2xxxxxxxxxxxxx03" },
	{ CFG_BYPASS, 0, 0, 0, {}, "2222222222222230" },
};

struct ste_variant {
	bool fwb;
	bool s1stalld;
	bool stall;
};

static void ste_make(struct arm_smmu_ste *ste, const struct ste_kind *kind,
		     const struct ste_variant *variant)
{
	u64 eats = kind->eats ? STE1_EATS_0 : 0;
	struct arm_smmu_ste s2;

	ste_set(&s2, STE0_V | FIELD_PREP(STE0_CFG, CFG_S2),
		S2_WORD1 | eats | (variant->fwb ? STE1_S2FWB : 0),
		S2_WORD2 | kind->vmid | (variant->stall ? STE2_S2S : 0),
		kind->s2);

	switch (kind->cfg) {
	case CFG_S2:
		*ste = s2;
		break;
	case CFG_NESTED:
		ste_make_nested(ste, &s2,
				STE0_V | FIELD_PREP(STE0_CFG, CFG_S1) |
				kind->vste[0], kind->vste[1],
				variant->s1stalld);
		break;
	case CFG_BYPASS:
		ste_set(ste, STE0_V | FIELD_PREP(STE0_CFG, CFG_BYPASS),
			S2_WORD1, 0, 0);
		break;
	default:
		ste_set(ste, STE0_V | FIELD_PREP(STE0_CFG, kind->cfg) |
			kind->vste[0], kind->vste[1] | eats, 0, 0);
	}
}

/* Changes that must not leave a window without a translation */
static bool ste_must_be_hitless(const struct ste_kind *from,
				const struct ste_kind *to)
{
	bool s1_differs = from->vste[0] != to->vste[0] &&
			  from->vste[1] != to->vste[1];

	if (from->cfg == CFG_ABORT || to->cfg == CFG_ABORT)
		return true;
	if (!from->s2 || from->s2 != to->s2)
		return false;
	/*
	 * Two words change: real hardware cannot do that hitlessly for a guest
	 * either
	 */
	return from->cfg != CFG_NESTED || to->cfg != CFG_NESTED ||
	       (from->vmid == to->vmid && !s1_differs);
}

static const char *ste_change_wrong(struct ste_writer *writer,
				    const struct ste_kind *from,
				    const struct ste_kind *to,
				    const struct ste_variant *variant)
{
	struct arm_smmu_ste from_ste, to_ste;
	char syncs = from->syncs[to - ste_kinds];

	ste_make(&from_ste, from, variant);
	ste_make(&to_ste, to, variant);
	ste_writer_change(writer, &from_ste, &to_ste);
	if (writer->wrong)
		return writer->wrong;
	if (writer->broken && ste_must_be_hitless(from, to))
		return "not hitless";
	if (writer->broken != (syncs == 'x'))
		return "hitless or not, other than expected";
	if (writer->syncs != (syncs == 'x' ? 3 : syncs - '0'))
		return "another number of syncs";
	return NULL;
}

static void ste_expect_changes(struct kunit *test,
			       const struct ste_variant *variant)
{
	struct ste_writer *writer;
	unsigned int from, to;
	const char *wrong;

	writer = kunit_kzalloc(test, sizeof(*writer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, writer);

	for (from = 0; from < STE_NUM; from++) {
		for (to = 0; to < STE_NUM; to++) {
			/* Full ATS and stalls exclude each other */
			if (variant->stall && (ste_kinds[from].eats ||
					       ste_kinds[to].eats))
				continue;
			wrong = ste_change_wrong(writer, &ste_kinds[from],
						 &ste_kinds[to], variant);
			if (wrong)
				KUNIT_FAIL(test, "%u to %u, %u syncs: %s", from,
					   to, writer->syncs, wrong);
		}
	}
}

static void ste_test_changes(struct kunit *test)
{
	static const struct ste_variant variants[] = {
		{}, { .s1stalld = true },
	};

	ste_expect_changes(test, &variants[0]);
	ste_expect_changes(test, &variants[1]);
}

static void ste_test_changes_fwb(struct kunit *test)
{
	static const struct ste_variant variants[] = {
		{ .fwb = true }, { .fwb = true, .s1stalld = true },
	};

	ste_expect_changes(test, &variants[0]);
	ste_expect_changes(test, &variants[1]);
}

static void ste_test_changes_stall(struct kunit *test)
{
	static const struct ste_variant variants[] = {
		{ .stall = true }, { .stall = true, .fwb = true },
	};

	ste_expect_changes(test, &variants[0]);
	ste_expect_changes(test, &variants[1]);
}

/*
 * EATS before Config would be illegal for a moment, so the change is not
 * hitless
 */
static void ste_test_changes_eats_to_stall(struct kunit *test)
{
	struct arm_smmu_ste s1, s2;
	struct ste_writer *writer;
	unsigned int i;

	writer = kunit_kzalloc(test, sizeof(*writer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, writer);

	ste_set(&s1, STE0_V | FIELD_PREP(STE0_CFG, CFG_S1) | S1_VSTE0,
		S1_VSTE1 | STE1_EATS_0, 0, 0);
	ste_set_s2(&s2, S2_WORD1, S2_WORD2 | STE2_S2S);
	for (i = 0; i < 2; i++) {
		ste_writer_change(writer, i ? &s2 : &s1, i ? &s1 : &s2);
		KUNIT_EXPECT_PTR_EQ(test, writer->wrong, NULL);
		KUNIT_EXPECT_TRUE(test, writer->broken);
		KUNIT_EXPECT_EQ(test, writer->syncs, 3);
	}
}

/*
 * The stage 2 alone, with the VMID of the nested STE and the EATS of the new
 * one
 */
static void ste_test_between(struct kunit *test)
{
	static const struct ste_variant variant = { .fwb = true };
	struct arm_smmu_ste from_ste, to_ste, between, expect;
	unsigned int i;

	for (i = 0; i < STE_NUM * STE_NUM; i++) {
		const struct ste_kind *from = &ste_kinds[i / STE_NUM];
		const struct ste_kind *to = &ste_kinds[i % STE_NUM];
		bool nests = from->cfg == CFG_S2 && to->cfg == CFG_NESTED;
		bool leaves = from->cfg == CFG_NESTED && to->cfg == CFG_S2;
		bool needed = (nests || leaves) && from->s2 == to->s2 &&
			      from->vmid != to->vmid;

		ste_make(&from_ste, from, &variant);
		ste_make(&to_ste, to, &variant);
		memset(&between, 0xa5, sizeof(between));
		KUNIT_ASSERT_EQ_MSG(test,
				    arm_smmu_ste_between(&from_ste, &to_ste,
							 &between),
				    needed, "%u to %u", i / STE_NUM,
				    i % STE_NUM);
		if (!needed)
			continue;
		ste_set_s2(&expect,
			   S2_WORD1 | STE1_S2FWB | (to->eats ? STE1_EATS_0 : 0),
			   S2_WORD2 | (nests ? to : from)->vmid);
		expect.data[3] = cpu_to_le64(to->s2);
		KUNIT_ASSERT_MEMEQ_MSG(test, &between, &expect, sizeof(expect),
				       "%u to %u", i / STE_NUM, i % STE_NUM);
	}
}

/* If more than the VMID differs there is no such step in either direction */
static void ste_expect_no_between(struct kunit *test,
				  const struct arm_smmu_ste *ste,
				  unsigned int end, unsigned int word,
				  unsigned int bit)
{
	struct arm_smmu_ste flipped[2] = { ste[0], ste[1] }, between;

	flipped[end].data[word] ^= cpu_to_le64(BIT_ULL(bit));
	if (arm_smmu_ste_between(&flipped[0], &flipped[1], &between) ||
	    arm_smmu_ste_between(&flipped[1], &flipped[0], &between))
		KUNIT_FAIL(test, "end %u word %u bit %u", end, word, bit);
}

static void ste_test_between_other_s2(struct kunit *test)
{
	static const struct ste_variant variant = { .fwb = true };
	struct arm_smmu_ste ste[2], between;
	unsigned int end, bit;

	ste_make(&ste[0], &ste_kinds[1], &variant);
	ste_make(&ste[1], &ste_kinds[5], &variant);
	KUNIT_ASSERT_TRUE(test,
			  arm_smmu_ste_between(&ste[0], &ste[1], &between));
	KUNIT_ASSERT_TRUE(test,
			  arm_smmu_ste_between(&ste[1], &ste[0], &between));

	for (end = 0; end < 2; end++) {
		/* V and Config */
		for (bit = 0; bit < 4; bit++)
			ste_expect_no_between(test, ste, end, 0, bit);
		for (bit = 16; bit < 64; bit++)
			ste_expect_no_between(test, ste, end, 2, bit);
		for (bit = 0; bit < 64; bit++)
			ste_expect_no_between(test, ste, end, 3, bit);
	}
}

/* Events: chapter 7 */

#define EVT0_SSV	BIT_ULL(11)
#define EVT0_SSID	GENMASK_ULL(31, 12)
#define EVT1_STALL	BIT_ULL(31)
#define EVT1_S2		BIT_ULL(39)
#define EVT1_CLASS_IN	BIT_ULL(41)
#define EVT1_CLASS_TT	BIT_ULL(40)
#define EVT1_ACCESS	GENMASK_ULL(35, 33)

/* The fields of an event that a guest sees, besides its number */
struct event_row {
	u8 id;
	u64 fields[3];
};

static const struct event_row event_rows[] = {
	{ 0x04, { EVT0_SSV | EVT0_SSID } },
	{ 0x06, { EVT0_SSV | EVT0_SSID } },
	{ 0x08, { EVT0_SSID } },
	{ 0x0a, { EVT0_SSV | EVT0_SSID } },
	{ 0x10, { EVT0_SSV | EVT0_SSID, EVT1_ACCESS | EVT1_CLASS_IN, U64_MAX } },
	{ 0x11, { EVT0_SSV | EVT0_SSID, EVT1_ACCESS | EVT1_CLASS_IN, U64_MAX } },
	{ 0x12, { EVT0_SSV | EVT0_SSID, EVT1_ACCESS | EVT1_CLASS_IN, U64_MAX } },
	{ 0x13, { EVT0_SSV | EVT0_SSID, EVT1_ACCESS | EVT1_CLASS_IN, U64_MAX } },
};

static const struct event_row *event_find(u8 id)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(event_rows); i++)
		if (event_rows[i].id == id)
			return &event_rows[i];
	return NULL;
}

/*
 * Every event number, with all other bits set that do not keep it on the host
 */
static void event_test_numbers(struct kunit *test)
{
	unsigned int id, i;

	for (id = 0; id < 256; id++) {
		const struct event_row *row = event_find(id);
		u64 evt[4] = { ~0xffULL | id,
			       ~(EVT1_STALL | EVT1_S2 | EVT1_CLASS_TT), U64_MAX,
			       U64_MAX };
		__le64 vevt[4] = {};

		KUNIT_ASSERT_EQ_MSG(test, !!row,
				    arm_smmu_event_to_guest(evt, vevt),
				    "event %#x", id);
		if (!row)
			continue;
		KUNIT_EXPECT_EQ(test, le64_to_cpu(vevt[0]),
				id | row->fields[0]);
		for (i = 1; i < 3; i++)
			KUNIT_EXPECT_EQ(test, le64_to_cpu(vevt[i]),
					row->fields[i]);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(vevt[3]), 0);
	}
}

/*
 * A fault of stage 2, of a table fetch or of a stalled transaction stays on the
 * host
 */
static void event_test_faults(struct kunit *test)
{
	unsigned int id, i;

	for (id = 0x10; id <= 0x13; id++) {
		for (i = 0; i < 16; i++) {
			u64 class = i & 3;
			u64 evt[4] = { id, class << 40 };
			__le64 vevt[4];

			if (i & 4)
				evt[1] |= EVT1_S2;
			if (i & 8)
				evt[1] |= EVT1_STALL;
			KUNIT_EXPECT_EQ_MSG(test, i == 2,
					    arm_smmu_event_to_guest(evt, vevt),
					    "event %#x word 1 %#llx", id, evt[1]);
		}
	}
}

static struct kunit_case arm_smmu_v3_viommu_test_cases[] = {
	KUNIT_CASE(vcmd_test_examples),
	KUNIT_CASE(vcmd_test_opcodes),
	KUNIT_CASE(vcmd_test_single_bits),
	KUNIT_CASE(vcmd_test_vmids),
	KUNIT_CASE(vcmd_test_ranges),
	KUNIT_CASE(vcmd_test_ranges_without_ril),
	KUNIT_CASE(vcmd_test_atc_sizes),
	KUNIT_CASE(vcmd_test_ssid_limits),
	KUNIT_CASE(vcmd_test_random),
	KUNIT_CASE(vcmd_test_follow),
	KUNIT_CASE(vste_test_single_bits),
	KUNIT_CASE(vste_test_values),
	KUNIT_CASE(vste_test_abi_fields),
	KUNIT_CASE(ste_test_make_s1),
	KUNIT_CASE(ste_test_make_bypass),
	KUNIT_CASE(ste_test_make_abort),
	KUNIT_CASE(ste_test_s2_takes_fwb_of_table),
	KUNIT_CASE(ste_test_used),
	KUNIT_CASE(ste_test_independent),
	KUNIT_CASE(ste_test_changes),
	KUNIT_CASE(ste_test_changes_fwb),
	KUNIT_CASE(ste_test_changes_stall),
	KUNIT_CASE(ste_test_changes_eats_to_stall),
	KUNIT_CASE(ste_test_between),
	KUNIT_CASE(ste_test_between_other_s2),
	KUNIT_CASE(event_test_numbers),
	KUNIT_CASE(event_test_faults),
	{},
};

static struct kunit_suite arm_smmu_v3_viommu_test_suite = {
	.name = "arm-smmu-v3-viommu-kunit-test",
	.test_cases = arm_smmu_v3_viommu_test_cases,
};

kunit_test_suites(&arm_smmu_v3_viommu_test_suite);

MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_DESCRIPTION("KUnit tests for the vIOMMU of the arm-smmu-v3 driver");
MODULE_LICENSE("GPL");
