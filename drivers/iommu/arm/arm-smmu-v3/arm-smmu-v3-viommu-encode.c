// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's stream table entries and commands in terms of the host's, and the
 * host's events in terms of the guest's
 *
 * Everything here is a function of values: no object, no lock, no hardware.
 * What a guest chooses reaches the hardware only through these functions, and
 * only in fields named here. Sections are those of the SMMUv3 architecture, Arm
 * IHI 0070.
 */
#include <kunit/visibility.h>

#include "arm-smmu-v3-viommu.h"

/* 5.2: the fields of a guest STE that the kernel takes */
#define VSTE_0_FIELDS							\
	(STRTAB_STE_0_V | STRTAB_STE_0_CFG | STRTAB_STE_0_S1FMT |	\
	 STRTAB_STE_0_S1CTXPTR_MASK | STRTAB_STE_0_S1CDMAX)
#define VSTE_1_FIELDS							\
	(STRTAB_STE_1_S1DSS | STRTAB_STE_1_S1CIR | STRTAB_STE_1_S1COR |	\
	 STRTAB_STE_1_S1CSH | STRTAB_STE_1_S1STALLD | STRTAB_STE_1_EATS)

/**
 * arm_smmu_vste_check() - Validate a guest STE
 * @vste: Words 0 and 1. On success EATS is cleared, and an STE with V=0 is
 *        cleared as a whole.
 * @enable_ats: Whether the device may use ATS under this STE
 *
 * The kernel sees a guest STE but not the guest's PCI ATS control: a guest whose
 * STE says EATS=0 sends no CMD_ATC_INV, so its device must not use ATS. Under a
 * bypass the host alone changes translations, and ATS is the host's choice.
 *
 * Return: 0, or -EIO for a field or a value that a guest may not have.
 */
int arm_smmu_vste_check(__le64 *vste, bool *enable_ats)
{
	u64 word0 = le64_to_cpu(vste[0]);
	u64 word1 = le64_to_cpu(vste[1]);
	u64 eats = FIELD_GET(STRTAB_STE_1_EATS, word1);

	*enable_ats = false;
	if (!(word0 & STRTAB_STE_0_V)) {
		vste[0] = 0;
		vste[1] = 0;
		return 0;
	}

	if ((word0 & ~VSTE_0_FIELDS) || (word1 & ~VSTE_1_FIELDS))
		return -EIO;
	if (eats != STRTAB_STE_1_EATS_ABT && eats != STRTAB_STE_1_EATS_TRANS)
		return -EIO;

	switch (FIELD_GET(STRTAB_STE_0_CFG, word0)) {
	case STRTAB_STE_0_CFG_ABORT:
		break;
	case STRTAB_STE_0_CFG_BYPASS:
		*enable_ats = true;
		break;
	case STRTAB_STE_0_CFG_S1_TRANS:
		*enable_ats = eats == STRTAB_STE_1_EATS_TRANS;
		break;
	default:
		return -EIO;
	}

	vste[1] = cpu_to_le64(word1 & ~STRTAB_STE_1_EATS);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vste_check);

/**
 * arm_smmu_make_nested_ste() - Make the physical STE for a guest STE
 * @target: The STE to make
 * @s2: The STE for stage 2 alone, with the vIOMMU's VMID and the EATS that is
 *      to be in force
 * @vste: Words 0 and 1 of the guest STE, as arm_smmu_vste_check() leaves them
 * @force_s1stalld: The stream must not stall, but the guest's CDs could make it
 *		    (3.12: only where STALL_MODEL is 0b00, else S1STALLD is
 *		    illegal)
 */
void arm_smmu_make_nested_ste(struct arm_smmu_ste *target,
			      const struct arm_smmu_ste *s2,
			      const __le64 *vste, bool force_s1stalld)
{
	const u64 nested = FIELD_PREP(STRTAB_STE_0_CFG,
				      STRTAB_STE_0_CFG_NESTED);

	switch (FIELD_GET(STRTAB_STE_0_CFG, le64_to_cpu(vste[0]))) {
	case STRTAB_STE_0_CFG_S1_TRANS:
		*target = *s2;
		target->data[0] = vste[0] & cpu_to_le64(VSTE_0_FIELDS &
							~STRTAB_STE_0_CFG);
		target->data[0] |= cpu_to_le64(nested);
		target->data[1] |= vste[1] & cpu_to_le64(VSTE_1_FIELDS &
							 ~STRTAB_STE_1_EATS);
		/* 5.2 MEV: a guest that faults in a loop fills one record */
		target->data[1] |= cpu_to_le64(STRTAB_STE_1_MEV);
		if (force_s1stalld)
			target->data[1] |= cpu_to_le64(STRTAB_STE_1_S1STALLD);
		break;
	case STRTAB_STE_0_CFG_BYPASS:
		*target = *s2;
		break;
	default:
		arm_smmu_make_abort_ste(target);
		break;
	}
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_make_nested_ste);

/**
 * arm_smmu_ste_between() - Find the STE that makes a change of VMID hitless
 * @cur: The STE in force
 * @target: The STE to install
 * @between: The STE to install before @target
 *
 * A change between a nested STE and the same stage 2 alone lands in word 0, and
 * is hitless. But a stage 2 has one VMID for devices attached to itself and one
 * for each vIOMMU, and VMID is in word 2: two words, a window of abort. So first
 * change to, or away from, stage 2 alone under the VMID of the nested STE. What
 * the device can reach is at each moment that of @cur or @target.
 *
 * Return: true if @between is to be installed first.
 */
bool arm_smmu_ste_between(const struct arm_smmu_ste *cur,
			  const struct arm_smmu_ste *target,
			  struct arm_smmu_ste *between)
{
	const u64 valid_cfg = STRTAB_STE_0_V | STRTAB_STE_0_CFG;
	const u64 s2_only = STRTAB_STE_0_V |
			    FIELD_PREP(STRTAB_STE_0_CFG,
				       STRTAB_STE_0_CFG_S2_TRANS);
	const u64 nested = STRTAB_STE_0_V |
			   FIELD_PREP(STRTAB_STE_0_CFG,
				      STRTAB_STE_0_CFG_NESTED);
	u64 cur_cfg = le64_to_cpu(cur->data[0]) & valid_cfg;
	u64 target_cfg = le64_to_cpu(target->data[0]) & valid_cfg;
	__le64 word2_diff = cur->data[2] ^ target->data[2];

	if (!word2_diff || (word2_diff & cpu_to_le64(~STRTAB_STE_2_S2VMID)) ||
	    cur->data[3] != target->data[3])
		return false;

	*between = *target;
	between->data[0] = cpu_to_le64(s2_only);
	between->data[1] &= cpu_to_le64(STRTAB_STE_1_S2FWB | STRTAB_STE_1_EATS |
					STRTAB_STE_1_SHCFG);
	if (cur_cfg == nested && target_cfg == s2_only) {
		between->data[2] = cur->data[2];
		return true;
	}
	return cur_cfg == s2_only && target_cfg == nested;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_ste_between);

/* The SCALE field is one bit wider with IDR5.DS (4.4.1) */
#define VCMD_TLBI_0_SCALE_DS	BIT_ULL(25)

#define VCMD_TLBI_0_RANGE						\
	(CMDQ_TLBI_0_NUM | CMDQ_TLBI_0_SCALE | VCMD_TLBI_0_SCALE_DS)
#define VCMD_TLBI_1_RANGE	(CMDQ_TLBI_1_TTL | CMDQ_TLBI_1_TG)
#define VCMD_TLBI_1_FIELDS						\
	(CMDQ_TLBI_1_LEAF | VCMD_TLBI_1_RANGE | CMDQ_TLBI_1_VA_MASK)

static u64 arm_smmu_vcmd_tlbi_all(u16 vmid)
{
	return FIELD_PREP(CMDQ_0_OP, CMDQ_OP_TLBI_NH_ALL) |
	       FIELD_PREP(CMDQ_TLBI_0_VMID, vmid);
}

/* Widest SCALE that is added up; what is wider exceeds every limit anyway */
#define VCMD_SCALE_LIMIT	16

/**
 * arm_smmu_vcmd_repeat() - How often to send a TLBI without its range
 * @caps: What the hardware takes
 * @cmd: The guest's command. For one that arm_smmu_vcmd_to_host() refuses the
 *	 result means nothing.
 * @step: Bytes from one address to the next
 *
 * Where the hardware knows no ranges, a short one is sent an address at a time:
 * by the smallest granule there is what the range is made of (4.4.1.1).
 *
 * Return: the number of commands that arm_smmu_vcmd_to_host() has translated
 * @cmd into the first of; 1 if it is the only one.
 */
u32 arm_smmu_vcmd_repeat(const struct arm_smmu_vcmd_caps *caps, const u64 *cmd,
			 u64 *step)
{
	u64 op = FIELD_GET(CMDQ_0_OP, cmd[0]);
	u64 tg = FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]);
	u64 scale = FIELD_GET(CMDQ_TLBI_0_SCALE, cmd[0]);
	u64 n;

	if (caps->ril || !tg ||
	    (op != CMDQ_OP_TLBI_NH_VA && op != CMDQ_OP_TLBI_NH_VAA))
		return 1;

	/* TG is 1, 2, 3 for 4K, 16K, 64K */
	*step = BIT_ULL(10 + 2 * tg);
	n = (FIELD_GET(CMDQ_TLBI_0_NUM, cmd[0]) + 1)
	    << min_t(u64, scale, VCMD_SCALE_LIMIT);
	/* Where a range may start is not defined for all addresses */
	if (cmd[1] & CMDQ_TLBI_1_VA_MASK & (*step - 1))
		n++;
	if (n > ARM_SMMU_VCMD_REPEAT_MAX || (cmd[0] & VCMD_TLBI_0_SCALE_DS))
		return 1;
	return n;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_repeat);

/*
 * 4.4.1.1: hints and ranges belong together, and some of their combinations are
 * reserved. Without RIL a range becomes its first address, to be repeated, or if
 * it is a long one all of the VM's entries. Not those of the ASID: NH_VA hits
 * global entries as well, NH_ASID does not.
 */
static int arm_smmu_vcmd_tlbi_range(const struct arm_smmu_vcmd_caps *caps,
				    u16 vmid, u64 *cmd)
{
	u64 range = cmd[0] & VCMD_TLBI_0_RANGE;
	u64 ttl = FIELD_GET(CMDQ_TLBI_1_TTL, cmd[1]);
	u64 tg = FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]);
	u64 step;

	if ((range & VCMD_TLBI_0_SCALE_DS) && !caps->ds)
		return -EIO;
	if (!tg && (range || ttl))
		return -EIO;
	if (tg && !range && !ttl)
		return -EIO;
	/* TG 2 is 16K, which has no level 1 block without DS */
	if (tg == 2 && ttl == 1 && !caps->ds)
		return -EIO;

	if (!caps->ril && range &&
	    arm_smmu_vcmd_repeat(caps, cmd, &step) == 1) {
		cmd[0] = arm_smmu_vcmd_tlbi_all(vmid);
		cmd[1] = 0;
	} else if (!caps->ril) {
		cmd[0] &= ~VCMD_TLBI_0_RANGE;
		cmd[1] &= ~VCMD_TLBI_1_RANGE;
	}
	return ARM_SMMU_VCMD_TLBI;
}

/* The upper half of an ASID is reserved where ASIDs have 8 bits */
static u64 arm_smmu_vcmd_asid(const struct arm_smmu_vcmd_caps *caps)
{
	return caps->asid16 ? CMDQ_TLBI_0_ASID :
			      FIELD_PREP(CMDQ_TLBI_0_ASID, U8_MAX);
}

/* CFGI and ATC_INV have it in the same place */
static u64 arm_smmu_vcmd_ssid(const struct arm_smmu_vcmd_caps *caps)
{
	return FIELD_PREP(CMDQ_CFGI_0_SSID, BIT_ULL(caps->ssid_bits) - 1);
}

/* Any other bit may make the hardware stop the queue of all users (4.1.3) */
static bool arm_smmu_vcmd_has_only(const u64 *cmd, u64 fields0, u64 fields1)
{
	return !((cmd[0] & ~(fields0 | CMDQ_0_OP)) | (cmd[1] & ~fields1));
}

/**
 * arm_smmu_vcmd_to_host() - Translate a command of a guest's command queue
 * @caps: What the hardware takes
 * @vmid: The VMID of the vIOMMU
 * @cmd: The command, changed in place; not to be used after an error
 *
 * The scope is never narrower than the guest's, and never reaches another VM.
 * Fields that cannot hurt are left to the hardware: an address beyond the input
 * size hits nothing (4.1.7).
 *
 * Return: enum arm_smmu_vcmd_kind, or -EIO for a command that a guest of a
 * stage 1 SMMU may not send or that the hardware may take for illegal.
 */
int arm_smmu_vcmd_to_host(const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			  u64 *cmd)
{
	u64 asid = 0;
	u64 fields0;

	switch (FIELD_GET(CMDQ_0_OP, cmd[0])) {
	case CMDQ_OP_TLBI_NSNH_ALL:
		/* On the host this is every VM; what the guest means is its own */
		if (!arm_smmu_vcmd_has_only(cmd, 0, 0))
			return -EIO;
		cmd[0] = arm_smmu_vcmd_tlbi_all(vmid);
		return ARM_SMMU_VCMD_TLBI;
	case CMDQ_OP_TLBI_NH_ASID:
		asid = arm_smmu_vcmd_asid(caps);
		fallthrough;
	case CMDQ_OP_TLBI_NH_ALL:
		if (!arm_smmu_vcmd_has_only(cmd, asid | CMDQ_TLBI_0_VMID, 0))
			return -EIO;
		u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
		return ARM_SMMU_VCMD_TLBI;
	case CMDQ_OP_TLBI_NH_VA:
		asid = arm_smmu_vcmd_asid(caps);
		fallthrough;
	case CMDQ_OP_TLBI_NH_VAA:
		fields0 = asid | CMDQ_TLBI_0_VMID;
		if (arm_smmu_vcmd_has_only(cmd, fields0,
					   CMDQ_TLBI_1_LEAF | CMDQ_TLBI_1_VA_MASK)) {
			u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
			return ARM_SMMU_VCMD_TLBI;
		}
		if (!arm_smmu_vcmd_has_only(cmd, fields0 | VCMD_TLBI_0_RANGE,
					    VCMD_TLBI_1_FIELDS))
			return -EIO;
		u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
		return arm_smmu_vcmd_tlbi_range(caps, vmid, cmd);
	case CMDQ_OP_CFGI_CD:
		fields0 = arm_smmu_vcmd_ssid(caps) | CMDQ_CFGI_0_SID;
		if (!arm_smmu_vcmd_has_only(cmd, fields0, CMDQ_CFGI_1_LEAF))
			return -EIO;
		return ARM_SMMU_VCMD_CFGI;
	case CMDQ_OP_CFGI_CD_ALL:
		if (!arm_smmu_vcmd_has_only(cmd, CMDQ_CFGI_0_SID, 0))
			return -EIO;
		return ARM_SMMU_VCMD_CFGI;
	case CMDQ_OP_ATC_INV:
		fields0 = CMDQ_ATC_0_SID;
		if (caps->ssid_bits)
			fields0 |= CMDQ_ATC_0_GLOBAL | CMDQ_0_SSV |
				   arm_smmu_vcmd_ssid(caps);
		if (!arm_smmu_vcmd_has_only(cmd, fields0, CMDQ_ATC_1_SIZE |
							  CMDQ_ATC_1_ADDR_MASK))
			return -EIO;
		if (!caps->ats ||
		    FIELD_GET(CMDQ_ATC_1_SIZE, cmd[1]) > ATC_INV_SIZE_ALL)
			return -EIO;
		return ARM_SMMU_VCMD_ATC;
	}
	return -EIO;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_to_host);

/**
 * arm_smmu_vcmd_free_bits() - In what the commands after one may differ from it
 * @caps: What the hardware takes
 * @cmd: The guest's command, legal
 * @free: The bits of each word that pass arm_smmu_vcmd_to_host() unchanged and
 *	  decide nothing there, given all others
 *
 * A guest that unmaps a buffer sends many commands that differ in the address
 * alone.
 *
 * Return: whether commands that differ in no other bits can be translated as
 * @cmd was.
 */
bool arm_smmu_vcmd_free_bits(const struct arm_smmu_vcmd_caps *caps,
			     const u64 *cmd, u64 *free)
{
	free[0] = 0;
	free[1] = 0;
	switch (FIELD_GET(CMDQ_0_OP, cmd[0])) {
	case CMDQ_OP_TLBI_NH_ASID:
		free[0] = arm_smmu_vcmd_asid(caps);
		break;
	case CMDQ_OP_TLBI_NH_VA:
		free[0] = arm_smmu_vcmd_asid(caps);
		fallthrough;
	case CMDQ_OP_TLBI_NH_VAA:
		if ((cmd[1] & CMDQ_TLBI_1_TG) && !caps->ril)
			return false;
		/* With a level no length is reserved */
		if (cmd[1] & CMDQ_TLBI_1_TTL)
			free[0] |= CMDQ_TLBI_0_NUM | CMDQ_TLBI_0_SCALE;
		free[1] = CMDQ_TLBI_1_LEAF | CMDQ_TLBI_1_VA_MASK;
		break;
	case CMDQ_OP_CFGI_CD:
		free[0] = arm_smmu_vcmd_ssid(caps);
		free[1] = CMDQ_CFGI_1_LEAF;
		break;
	case CMDQ_OP_ATC_INV:
		free[0] = arm_smmu_vcmd_ssid(caps);
		free[1] = CMDQ_ATC_1_ADDR_MASK;
		break;
	}
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_free_bits);

/**
 * arm_smmu_vcmd_follow() - Translate commands as the one before them was
 * @free: In what they may differ from it, of arm_smmu_vcmd_free_bits()
 * @guest: The one before, the guest's command
 * @host: The host's
 * @cmds: Commands of the guest, changed in place
 * @n: How many
 *
 * Return: how many were translated, all up to the first that differs.
 */
u32 arm_smmu_vcmd_follow(const u64 *free, const u64 *guest, const u64 *host,
			 u64 *cmds, u32 n)
{
	const u64 fixed0 = ~free[0], guest0 = guest[0];
	const u64 fixed1 = ~free[1], guest1 = guest[1];
	const u64 flip0 = guest[0] ^ host[0];
	const u64 flip1 = guest[1] ^ host[1];
	u32 i;

	for (i = 0; i < n; i++, cmds += CMDQ_ENT_DWORDS) {
		u64 word0 = cmds[0];
		u64 word1 = cmds[1];

		if (((word0 ^ guest0) & fixed0) | ((word1 ^ guest1) & fixed1))
			break;
		cmds[0] = word0 ^ flip0;
		cmds[1] = word1 ^ flip1;
	}
	return i;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_follow);

/**
 * arm_smmu_event_to_guest() - Translate an event record for a guest
 * @evt: The record
 * @vevt: The record for the guest, all but its StreamID, which is 0
 *
 * A guest gets the events of its own stage 1 and of its own configuration.
 * Those that carry host addresses, that stem from stage 2 or from the host's
 * tables stay. A stalled transaction waits for the host's answer, not for the
 * guest's.
 *
 * Stage-1 faults have CLASS IN: a fault on a fetch of the guest's tables is one
 * of stage 2 (7.3.13), whatever S2 says. Of the other words only what those
 * events define is passed on; IPA and STAG are unknown there.
 *
 * Return: true if the event is the guest's.
 */
bool arm_smmu_event_to_guest(const u64 *evt, __le64 *vevt)
{
	u64 word0 = EVTQ_0_ID;
	u64 word1 = 0;
	u64 word2 = 0;

	switch (FIELD_GET(EVTQ_0_ID, evt[0])) {
	case EVT_ID_BAD_STE:
	case EVT_ID_STREAM_DISABLED:
	case EVT_ID_BAD_CD:
		word0 |= EVTQ_0_SSV | EVTQ_0_SSID;
		break;
	case EVT_ID_BAD_SUBSTREAMID:
		/* The SubstreamID is always valid here, and SSV is reserved */
		word0 |= EVTQ_0_SSID;
		break;
	case EVT_ID_TRANSLATION_FAULT:
	case EVT_ID_ADDR_SIZE_FAULT:
	case EVT_ID_ACCESS_FAULT:
	case EVT_ID_PERMISSION_FAULT:
		if ((evt[1] & (EVTQ_1_STALL | EVTQ_1_S2)) ||
		    FIELD_GET(EVTQ_1_CLASS, evt[1]) != EVTQ_1_CLASS_IN)
			return false;
		word0 |= EVTQ_0_SSV | EVTQ_0_SSID;
		word1 = EVTQ_1_PnU | EVTQ_1_InD | EVTQ_1_RnW | EVTQ_1_CLASS;
		word2 = EVTQ_2_ADDR;
		break;
	default:
		return false;
	}

	vevt[0] = cpu_to_le64(evt[0] & word0);
	vevt[1] = cpu_to_le64(evt[1] & word1);
	vevt[2] = cpu_to_le64(evt[2] & word2);
	vevt[3] = 0;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_event_to_guest);
