// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what the AMD IOMMU driver makes of a guest's device table entries,
 * commands and events: every single bit of them, and every change of a live
 * entry. The numbers are those of the hardware, not of the driver.
 */
#include <kunit/test.h>

#include "viommu.h"

/* GLXSup 3 levels, GATS 5 levels, GIOSup, PreFSup, IASup, 9-bit PASIDs */
#define EFR	(2ULL << 14 | 1ULL << 12 | 1ULL << 48 | 1 | 1ULL << 6 | 8ULL << 32)

#define V	BIT_ULL(0)
#define TV	BIT_ULL(1)
#define GIOV	BIT_ULL(54)
#define GV	BIT_ULL(55)
#define GLX(n)	((n) << 56)
#define IR	BIT_ULL(61)
#define IW	BIT_ULL(62)
#define I	BIT_ULL(32)
#define MODE5	BIT_ULL(54)

/* A GCR3 root of 0x9abc_def0_5000 in its three pieces */
#define GCR3_A	(5ULL << 58)
#define GCR3_B	(0xbde0ULL << 16)
#define GCR3_C	(0x13579ULL << 43)
#define DOMID	0x4321ULL

/* The host's part */
#define S2	(0x123456789000ULL | 4ULL << 9)
#define HDOMID	0x89abULL
#define HAD	(3ULL << 7)
/* Fields of an entry that stay: from the firmware, for interrupts, and q3 */
#define KEEP1	(0x3feULL << 32)
#define KEEP2	(~GENMASK_ULL(55, 52))
#define KEEP3	0xfedcba9876543210ULL

enum want { ILLEGAL, BLOCKED, BYPASS, NESTED };

static const struct dev_table_entry cur_dte = {
	/* As if the fields that go were full */
	.data = { ~0ULL, ~0ULL, KEEP2 | MODE5, KEEP3 },
};

/* Checks a guest's entry, and the host's for it */
static void expect_dte(struct kunit *test, u64 efr, const u64 *dte,
		       enum want want, const char *what, unsigned int bit)
{
	static const struct amd_vdte_host hosts[] = {
		{ S2, HDOMID, false, false }, { S2, HDOMID, true, true },
	};
	struct dev_table_entry new;
	struct amd_vdte vdte;
	unsigned int i;
	u64 q0, q1, q2;
	int ret;

	ret = amd_vdte_check(efr, dte, &vdte);
	KUNIT_ASSERT_EQ_MSG(test, want == ILLEGAL ? -EIO : 0, ret, "%s %u", what,
			    bit);
	if (ret)
		return;
	for (i = 0; i < ARRAY_SIZE(hosts); i++) {
		amd_vdte_make(&vdte, &hosts[i], &cur_dte, &new);
		q0 = V | TV;
		q1 = KEEP1;
		q2 = KEEP2;
		if (want != BLOCKED) {
			q0 |= S2 | (hosts[i].dirty ? HAD : 0);
			q0 |= dte[0] & V ? dte[0] & (IR | IW) : IR | IW;
			q1 |= HDOMID | (hosts[i].ats ? I : 0);
		}
		if (want == NESTED) {
			q0 |= GV | (dte[0] & (GIOV | GLX(3ULL) | 7ULL << 58));
			q1 |= dte[1] & (0xffffULL << 16 | 0x1fffffULL << 43);
			q2 |= dte[2] & (3ULL << 54);
		}
		KUNIT_EXPECT_EQ_MSG(test, new.data[0], q0, "%s %u", what, bit);
		KUNIT_EXPECT_EQ_MSG(test, new.data[1], q1, "%s %u", what, bit);
		KUNIT_EXPECT_EQ_MSG(test, new.data[2], q2, "%s %u", what, bit);
		KUNIT_EXPECT_EQ_MSG(test, new.data[3], KEEP3, "%s %u", what, bit);
	}
	KUNIT_EXPECT_EQ_MSG(test, vdte.kind == AMD_VDTE_NESTED, want == NESTED,
			    "%s %u", what, bit);
	KUNIT_EXPECT_EQ_MSG(test, vdte.domid, dte[0] & V ? (u16)dte[1] : 0,
			    "%s %u", what, bit);
	if ((dte[0] & (V | TV)) == (V | TV))
		KUNIT_EXPECT_EQ_MSG(test, vdte.ats, !!(dte[1] & I), "%s %u",
				    what, bit);
}

#define NESTED_DTE { V | TV | GV | GIOV | IR | IW | GLX(1ULL) | GCR3_A,	\
		     GCR3_B | GCR3_C | DOMID }

/* What becomes of a nested entry if a bit of it is another one */
static enum want nested_flip(unsigned int bit)
{
	switch (bit) {
	case 0: /* V */
	case 55: /* GV: IR and IW stay */
		return BYPASS;
	case 1: /* TV */
		return BLOCKED;
	case 54: /* GIOV */
	case 56: /* GLX 0 */
	case 58 ... 62: /* GCR3 and IR, IW */
	case 64 ... 79: /* DomainID */
	case 80 ... 96: /* GCR3 and I */
	case 107 ... 123: /* GCR3 bits 31 to 47 */
	case 182: /* GuestPagingMode 1 */
		return NESTED;
	case 128 ... 179: /* Interrupts */
	case 184 ... 186:
	case 188 ... 191:
		return NESTED;
	default:
		return ILLEGAL;
	}
}

/* The same for entries without GV: then GCR3, GLX and GIOV have no effect */
static enum want bypass_flip(unsigned int bit)
{
	switch (bit) {
	case 0:
		return BYPASS;
	case 1:
		return BLOCKED;
	case 55:
		return NESTED;
	case 54:
	case 56 ... 62:
	case 64 ... 96:
	case 107 ... 127:
	case 128 ... 179:
	case 182 ... 186:
	case 188 ... 191:
		return BYPASS;
	default:
		return ILLEGAL;
	}
}

static void dte_test_bits(struct kunit *test)
{
	static const u64 nested[4] = NESTED_DTE;
	static const u64 bypass[4] = { V | TV | IR | IW, DOMID };
	static const u64 blocked[4] = { V | TV, DOMID };
	static const u64 off[4] = { V, DOMID };
	static const u64 invalid[4] = {};
	unsigned int bit;
	u64 dte[4];

	expect_dte(test, EFR, nested, NESTED, "nested", 256);
	expect_dte(test, EFR, bypass, BYPASS, "bypass", 256);
	expect_dte(test, EFR, blocked, BLOCKED, "blocked", 256);
	expect_dte(test, EFR, off, BLOCKED, "off", 256);
	expect_dte(test, EFR, invalid, BYPASS, "invalid", 256);
	for (bit = 0; bit < 256; bit++) {
		memcpy(dte, nested, sizeof(dte));
		dte[bit / 64] ^= BIT_ULL(bit % 64);
		expect_dte(test, EFR, dte, nested_flip(bit), "nested", bit);

		memcpy(dte, bypass, sizeof(dte));
		dte[bit / 64] ^= BIT_ULL(bit % 64);
		expect_dte(test, EFR, dte, bypass_flip(bit), "bypass", bit);

		memcpy(dte, blocked, sizeof(dte));
		dte[bit / 64] ^= BIT_ULL(bit % 64);
		expect_dte(test, EFR, dte,
			   bit == 61 || bit == 62 || !bit ? BYPASS :
			   bit == 55 ? NESTED :
			   bypass_flip(bit) == ILLEGAL ? ILLEGAL : BLOCKED,
			   "blocked", bit);

		/* TV=0: all but V and TV have no effect */
		memcpy(dte, off, sizeof(dte));
		dte[bit / 64] ^= BIT_ULL(bit % 64);
		expect_dte(test, EFR, dte, bit ? BLOCKED : BYPASS, "off", bit);

		/* V=0: none has */
		memcpy(dte, invalid, sizeof(dte));
		dte[bit / 64] ^= BIT_ULL(bit % 64);
		expect_dte(test, EFR, dte, bit ? BYPASS : BLOCKED, "invalid",
			   bit);
	}
}

/* What the hardware has not, a guest cannot have */
static void dte_test_features(struct kunit *test)
{
	u64 dte[4] = NESTED_DTE;
	unsigned int glx, sup, gats;

	for (sup = 0; sup < 4; sup++) {
		for (glx = 0; glx < 4; glx++) {
			dte[0] = (dte[0] & ~GLX(3ULL)) | GLX((u64)glx);
			expect_dte(test, (EFR & ~(3ULL << 14)) | (u64)sup << 14,
				   dte, glx > sup || glx == 3 ? ILLEGAL : NESTED,
				   "GLX", glx);
		}
	}
	dte[0] &= ~GLX(3ULL);
	for (gats = 0; gats < 4; gats++) {
		dte[2] = MODE5;
		expect_dte(test, (EFR & ~(3ULL << 12)) | (u64)gats << 12, dte,
			   gats == 1 ? NESTED : ILLEGAL, "GATS", gats);
		dte[2] = 0;
		expect_dte(test, (EFR & ~(3ULL << 12)) | (u64)gats << 12, dte,
			   NESTED, "GATS", gats);
	}
	expect_dte(test, EFR & ~BIT_ULL(48), dte, ILLEGAL, "GIOSup", 0);
	dte[0] &= ~GIOV;
	expect_dte(test, EFR & ~BIT_ULL(48), dte, NESTED, "GIOSup", 1);
}

/* What an entry does: all that has an effect */
struct effect {
	u64 q0;
	u64 q1;
	u64 mode;
};

static struct effect dte_effect(const struct dev_table_entry *dte)
{
	struct effect effect = { .q0 = dte->data[0], .q1 = dte->data[1] };

	if (dte->data[0] & GV)
		effect.mode = dte->data[2] & (3ULL << 54);
	return effect;
}

static bool same_effect(const struct dev_table_entry *a,
			const struct dev_table_entry *b)
{
	struct effect ea = dte_effect(a), eb = dte_effect(b);

	return ea.q0 == eb.q0 && ea.q1 == eb.q1 && ea.mode == eb.mode;
}

static bool blocks(const struct dev_table_entry *dte)
{
	return (dte->data[0] & (V | TV | GV | IR | IW)) == (V | TV);
}

#define MAX_DTES 64

/* Every change of a live entry, with a reader after each write */
static void dte_test_transitions(struct kunit *test)
{
	static const u64 guests[][4] = {
		{}, { V }, { V | TV }, { V | TV | IR }, { V | TV | IW },
		{ V | TV | IR | IW, DOMID },
		NESTED_DTE,
		{ V | TV | GV | GIOV | IR | IW, 1ULL << 16 | DOMID },
		{ V | TV | GV | GIOV | IR | IW, 1ULL << 16 | 7, MODE5 },
		{ V | TV | GV | IR | IW, 2ULL << 16 | DOMID, MODE5 },
		{ V | TV | GV | GIOV, 2ULL << 16 | DOMID, MODE5 },
	};
	struct dev_table_entry *dtes, now;
	struct amd_vdte_step steps[AMD_VDTE_STEPS];
	unsigned int i, j, k, n = 0, count;
	struct amd_vdte_host host;
	struct amd_vdte vdte;
	bool modes;

	dtes = kunit_kcalloc(test, MAX_DTES, sizeof(*dtes), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dtes);
	for (i = 0; i < ARRAY_SIZE(guests); i++) {
		KUNIT_ASSERT_EQ(test, 0, amd_vdte_check(EFR, guests[i], &vdte));
		for (j = 0; j < 4; j++) {
			host = (struct amd_vdte_host){ S2, HDOMID + i, j & 1,
						       j & 2 };
			KUNIT_ASSERT_LT(test, n, MAX_DTES);
			amd_vdte_make(&vdte, &host, &cur_dte, &dtes[n++]);
		}
	}
	/* One that blocks as the rest of the driver does, with a mode left over */
	dtes[n].data[0] = V | TV;
	dtes[n].data[1] = KEEP1 | I;
	dtes[n].data[2] = KEEP2 | MODE5;
	dtes[n++].data[3] = KEEP3;

	for (i = 0; i < n; i++) {
		for (j = 0; j < n - 1; j++) {
			now = dtes[i];
			modes = (dtes[i].data[0] & GV) && (dtes[j].data[0] & GV) &&
				dtes[i].data[2] != dtes[j].data[2];
			count = amd_vdte_plan(&dtes[i], &dtes[j], steps);
			KUNIT_ASSERT_LE(test, count, AMD_VDTE_STEPS);
			if (!memcmp(&dtes[i], &dtes[j], sizeof(now)))
				KUNIT_EXPECT_EQ(test, count, 0);
			for (k = 0; k < count; k++) {
				bool upper = steps[k].upper;
				const struct dev_table_entry *to = &steps[k].to;

				/* One half, and nothing else */
				KUNIT_EXPECT_EQ(test, 0,
						memcmp(&now.data[upper ? 0 : 2],
						       &to->data[upper ? 0 : 2],
						       16));
				KUNIT_EXPECT_NE(test, 0,
						memcmp(&now, to, sizeof(now)));
				now = *to;
				KUNIT_EXPECT_TRUE(test, now.data[0] & V);
				KUNIT_EXPECT_EQ_MSG(test,
						    same_effect(&now, &dtes[i]) ||
						    same_effect(&now, &dtes[j]) ||
						    (modes && blocks(&now)),
						    true, "%u to %u, step %u", i,
						    j, k);
				KUNIT_EXPECT_EQ(test, steps[k].settle,
						modes && !k);
				KUNIT_EXPECT_EQ(test, now.data[2] & KEEP2, KEEP2);
				KUNIT_EXPECT_EQ(test, now.data[3], KEEP3);
			}
			KUNIT_EXPECT_EQ(test, 0,
					memcmp(&now, &dtes[j], sizeof(now)));
			KUNIT_EXPECT_EQ(test, count == 3, modes);
		}
	}
}

/* Commands */

#define OP(n)	((u32)(n) << 28)
#define S	BIT(0)
#define PDE	BIT(1)
#define GN	BIT(2)

static void expect_cmd(struct kunit *test, const u32 *cmd, bool legal,
		       const struct amd_vcmd *want, unsigned int bit)
{
	struct amd_vcmd vcmd;
	int ret = amd_vcmd_check(EFR, cmd, &vcmd);

	KUNIT_ASSERT_EQ_MSG(test, ret, legal ? 0 : -EIO, "opcode %u bit %u",
			    cmd[1] >> 28, bit);
	if (ret)
		return;
	KUNIT_EXPECT_EQ_MSG(test, vcmd.scope, want->scope, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vcmd.id, want->id, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vcmd.pde, want->pde, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vcmd.pasid, want->pasid, "bit %u", bit);
	KUNIT_EXPECT_EQ_MSG(test, vcmd.range, want->range, "bit %u", bit);
}

static void cmd_test_opcodes(struct kunit *test)
{
	struct amd_vcmd vcmd;
	unsigned int op;

	for (op = 0; op < 16; op++) {
		u32 cmd[4] = { 0, OP(op) };
		bool legal = op == 2 || op == 3 || op == 4 || op == 6 || op == 8;

		KUNIT_EXPECT_EQ_MSG(test, amd_vcmd_check(EFR, cmd, &vcmd),
				    legal ? 0 : -EIO, "opcode %u", op);
		/* Without PreFSup and IASup */
		legal &= op != 6 && op != 8;
		KUNIT_EXPECT_EQ_MSG(test,
				    amd_vcmd_check(EFR & ~0x41ULL, cmd, &vcmd),
				    legal ? 0 : -EIO, "opcode %u", op);
	}
}

static void cmd_test_devtab(struct kunit *test)
{
	unsigned int bit;

	for (bit = 0; bit <= 128; bit++) {
		u32 cmd[4] = { 0x1234, OP(2) };
		struct amd_vcmd want = { .scope = AMD_VCMD_DEVTAB };

		if (bit < 128)
			cmd[bit / 32] ^= BIT(bit % 32);
		want.id = cmd[0];
		if (bit >= 60 && bit < 64) {
			/* Opcodes 3, 0, 6 and 10 */
			struct amd_vcmd vcmd;

			KUNIT_EXPECT_EQ(test, amd_vcmd_check(EFR, cmd, &vcmd),
					bit == 61 || bit == 63 ? -EIO : 0);
			continue;
		}
		expect_cmd(test, cmd, bit < 16 || bit == 128, &want, bit);
	}
}

static void cmd_test_pages(struct kunit *test)
{
	struct iommu_cmd host;
	unsigned int bit;

	for (bit = 0; bit <= 128; bit++) {
		u32 cmd[4] = { 0x155, OP(3) | 0x4321, 0x56789000 | PDE | GN,
			       0xfffff234 };
		struct amd_vcmd want = { .scope = AMD_VCMD_PASID };
		bool legal;

		if (bit < 128)
			cmd[bit / 32] ^= BIT(bit % 32);
		switch (bit) {
		case 0 ... 8: /* PASID of 9 bits */
		case 32 ... 47: /* DomainID */
		case 64 ... 66: /* S, PDE, GN */
		case 76 ... 128: /* Address */
			legal = true;
			break;
		case 60 ... 63: /* Opcodes 2, 1, 7 and 11 */
		default:
			legal = false;
		}
		want.id = cmd[1];
		if (cmd[2] & GN) {
			want.pasid = cmd[0] & 0xfffff;
			want.pde = cmd[2] & PDE;
			want.range = (u64)cmd[3] << 32 | (cmd[2] & ~0xffeU);
		} else {
			want.scope = AMD_VCMD_DOMAIN;
		}
		expect_cmd(test, cmd, legal, &want, bit);
		if (!legal)
			continue;

		if (want.scope == AMD_VCMD_DOMAIN) {
			amd_vcmd_make_domain(&host, 0x789a, true);
			KUNIT_EXPECT_EQ(test, host.data[0], 0);
			KUNIT_EXPECT_EQ(test, host.data[1], OP(8));
			KUNIT_EXPECT_EQ(test, host.data[2], 0);
			KUNIT_EXPECT_EQ(test, host.data[3], 0);
			amd_vcmd_make_domain(&host, 0x789a, false);
			KUNIT_EXPECT_EQ(test, host.data[0], 0);
			KUNIT_EXPECT_EQ(test, host.data[2], 0xfffff000 | S | PDE);
			KUNIT_EXPECT_EQ(test, host.data[3], 0x7fffffff);
		} else {
			amd_vcmd_make_pages(&host, 0x789a, &want);
			KUNIT_EXPECT_EQ(test, host.data[0], cmd[0]);
			KUNIT_EXPECT_EQ(test, host.data[2], cmd[2]);
			KUNIT_EXPECT_EQ(test, host.data[3], cmd[3]);
		}
		KUNIT_EXPECT_EQ(test, host.data[1], OP(3) | 0x789a);
	}
}

static void cmd_test_iotlb(struct kunit *test)
{
	struct iommu_cmd host;
	unsigned int bit;

	for (bit = 0; bit <= 128; bit++) {
		/* PASID 0x155: 0x01 and 0x55 */
		u32 cmd[4] = { 0x05011234, OP(4) | 0x550000 | 0x9999,
			       0x56789000 | GN, 0xfffff234 };
		struct amd_vcmd want = { .scope = AMD_VCMD_DEV_PASID };
		bool legal;

		if (bit < 128)
			cmd[bit / 32] ^= BIT(bit % 32);
		switch (bit) {
		case 0 ... 15: /* DeviceID */
		case 16: /* PASID bit 8 */
		case 24 ... 31: /* Maxpend */
		case 32 ... 47: /* QueueID */
		case 48 ... 55: /* PASID bits 7:0 */
		case 64: /* S */
		case 66: /* GN */
		case 76 ... 128: /* Address */
			legal = true;
			break;
		default: /* PASID above 9 bits, reserved bits, Type, opcodes */
			legal = false;
		}
		want.id = cmd[0];
		want.range = (u64)cmd[3] << 32 | (cmd[2] & ~0xffeU);
		if (cmd[2] & GN)
			want.pasid = (cmd[0] >> 16 & 1) << 8 |
				     (cmd[1] >> 16 & 0xff);
		else
			want.scope = AMD_VCMD_DEV;
		/* Opcodes 5, 6, 0 and 12: that with a valid hint is legal */
		if (bit == 61) {
			want = (struct amd_vcmd){};
			legal = true;
		}
		expect_cmd(test, cmd, legal, &want, bit);

		amd_vcmd_make_iotlb(&host, 0x789a, 0x20, want.range);
		KUNIT_EXPECT_EQ(test, host.data[0], 0x2000789a);
		KUNIT_EXPECT_EQ(test, host.data[1], OP(4) | 0x789a);
		KUNIT_EXPECT_EQ(test, host.data[2], (u32)want.range);
		KUNIT_EXPECT_EQ(test, host.data[3], (u32)(want.range >> 32));

		amd_vcmd_make_iotlb_pasid(&host, 0x789a, 0x20, want.range,
					  0xabcde);
		KUNIT_EXPECT_EQ(test, host.data[0], 0x20bc789a);
		KUNIT_EXPECT_EQ(test, host.data[1], OP(4) | 0xade789a);
		KUNIT_EXPECT_EQ(test, host.data[2], (u32)want.range | GN);
		KUNIT_EXPECT_EQ(test, host.data[3], (u32)(want.range >> 32));
	}
}

static void cmd_test_others(struct kunit *test)
{
	unsigned int bit;

	for (bit = 0; bit <= 128; bit++) {
		u32 all[4] = { 0, OP(8) };
		u32 hint[4] = { 0, OP(6) };
		struct amd_vcmd want = { .scope = AMD_VCMD_VM };
		struct amd_vcmd none = {};
		struct amd_vcmd vcmd;

		if (bit < 128) {
			all[bit / 32] ^= BIT(bit % 32);
			hint[bit / 32] ^= BIT(bit % 32);
		}
		/* Opcodes 9, 10, 12 and 0 */
		expect_cmd(test, all, bit == 128, &want, bit);
		if (bit < 60 || bit > 63)
			expect_cmd(test, hint, true, &none, bit);
		else /* Opcodes 7, 4, 2 and 14 */
			KUNIT_EXPECT_EQ(test, amd_vcmd_check(EFR, hint, &vcmd),
					bit == 61 || bit == 62 ? 0 : -EIO);
	}
}

/* Sizes of a range, up to everything and beyond */
static void cmd_test_sizes(struct kunit *test)
{
	unsigned int bits;

	for (bits = 12; bits <= 64; bits++) {
		u64 addr = bits == 64 ? ~0ULL : BIT_ULL(bits) - 1;
		u32 cmd[4] = { 0, OP(3), (u32)(addr & ~0xfffULL) | GN | S,
			       addr >> 32 };
		struct amd_vcmd want = { .scope = AMD_VCMD_PASID };

		want.range = (addr & ~0xfffULL) | S;
		if (bits == 64)
			want.range = 0x7ffffffffffff001;
		expect_cmd(test, cmd, true, &want, bits);
	}
}

/* Events */

static void event_test_bits(struct kunit *test)
{
	unsigned int type, bit;
	u32 evt[4];

	for (type = 0; type < 16; type++) {
		u32 event[4] = { 0, OP(type) };

		KUNIT_EXPECT_EQ_MSG(test, amd_vevent_to_guest(event, evt),
				    type == 2 || type == 8, "type %u", type);
	}
	for (bit = 0; bit <= 128; bit++) {
		u32 event[4] = { 0x1234, OP(2) | 0x210000 | 0x89ab, 0x11223344,
				 0x55667788 };
		bool guest = bit != 51 && (bit < 60 || bit > 63);

		if (bit < 128)
			event[bit / 32] ^= BIT(bit % 32);
		KUNIT_EXPECT_EQ_MSG(test, amd_vevent_to_guest(event, evt), guest,
				    "bit %u", bit);
		if (!guest)
			continue;
		/* Nothing of the host but what is replaced */
		KUNIT_EXPECT_EQ(test, evt[0], event[0] & 0xf0000);
		KUNIT_EXPECT_EQ(test, evt[1], event[1]);
		KUNIT_EXPECT_EQ(test, evt[2], event[2]);
		KUNIT_EXPECT_EQ(test, evt[3], event[3]);
	}
}

static struct kunit_case amd_viommu_test_cases[] = {
	KUNIT_CASE(dte_test_bits),
	KUNIT_CASE(dte_test_features),
	KUNIT_CASE(dte_test_transitions),
	KUNIT_CASE(cmd_test_opcodes),
	KUNIT_CASE(cmd_test_devtab),
	KUNIT_CASE(cmd_test_pages),
	KUNIT_CASE(cmd_test_iotlb),
	KUNIT_CASE(cmd_test_others),
	KUNIT_CASE(cmd_test_sizes),
	KUNIT_CASE(event_test_bits),
	{}
};

static struct kunit_suite amd_viommu_test_suite = {
	.name = "amd-iommu-viommu-kunit-test",
	.test_cases = amd_viommu_test_cases,
};

kunit_test_suites(&amd_viommu_test_suite);
