// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translation of a guest's stream table entries to the host's
 *
 * All functions here are pure: no object, no lock, no hardware. Values that a
 * guest puts into an STE reach the hardware only through them, and only in
 * fields named here. Section numbers refer to the SMMUv3 architecture, Arm IHI
 * 0070.
 */
#include <kunit/visibility.h>

#include "arm-smmu-v3-viommu.h"

/* 5.2: the fields of a guest STE that the kernel accepts */
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
 * The kernel sees a guest STE but not the guest's PCI ATS control. A guest with
 * EATS=0 in its STE sends no CMD_ATC_INV, so its device must not use ATS. Under
 * a bypass only the host changes translations, and it decides about ATS.
 *
 * Return: 0, or -EIO for a field or a value that a guest may not use.
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
 * @s2: The STE for stage 2 alone, with the vIOMMU's VMID and the EATS to set
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
 * A change between a nested STE and the same stage 2 alone only changes word 0,
 * and is hitless. But a stage 2 has one VMID for devices attached to itself and
 * one for each vIOMMU, and VMID is in word 2. Changing two words would abort
 * transactions in between. So first change to, or away from, stage 2 alone
 * under the VMID of the nested STE. At any time the device can reach what @cur
 * or @target allows.
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
