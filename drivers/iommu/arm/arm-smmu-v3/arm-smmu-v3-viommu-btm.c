// SPDX-License-Identifier: GPL-2.0-only
/*
 * Broadcast TLB maintenance: an SMMU that listens to the CPUs' TLBI instructions
 *
 * With CR2.PTM clear a TLBI that a CPU broadcasts to the inner shareable domain
 * also removes TLB entries of the SMMU. This is decided once, when the SMMU is
 * probed: ARM_SMMU_FEAT_BTM is set from then on if the SMMU listens.
 *
 * The driver itself does not rely on it. It sends the same commands in both
 * cases, and an entry is never wrong because it was removed. These are the
 * entries that a TLBI can reach:
 *
 * - Stage 1 of the host, SVA included: the CDs have ASET, so their ASIDs are the
 *   SMMU's own and only TLBIs for all ASIDs remove entries.
 * - Stage 2 with one of the SMMU's own VMIDs: TLBIs of a VM that has the same
 *   number on the CPUs. The numbers are taken from the other end, see
 *   arm-smmu-v3-viommu-vmid.c, so this is rare, and costs page table walks.
 * - A vIOMMU with the VMID of its VM: TLBIs of this VM, and of no other one.
 *
 * The last case is what it is for. The guest relies on it, so a TLBI must not
 * miss an entry; arm_smmu_btm_obstacle() says where this could happen. Nested
 * STEs are in the EL1&0 regime, which is that of the guest's TLBIs.
 */
#include <kunit/visibility.h>
#include <linux/cpufeature.h>
#include <linux/module.h>
#include <asm/sysreg.h>

#include "arm-smmu-v3-viommu.h"

static bool broadcast_tlb;
module_param(broadcast_tlb, bool, 0444);
MODULE_PARM_DESC(broadcast_tlb,
		 "Let TLB invalidations of the CPUs reach the SMMU, for guests that share their page tables with devices.");

/**
 * arm_smmu_btm_obstacle() - Could the SMMU miss a TLBI of a guest?
 * @smmu: What the SMMU compares and knows
 * @cpus: What the CPUs broadcast
 *
 * Return: why it could, or NULL if it cannot.
 */
const char *arm_smmu_btm_obstacle(const struct arm_smmu_btm_caps *smmu,
				  const struct arm_smmu_btm_caps *cpus)
{
	if (smmu->vmid_bits < cpus->vmid_bits)
		return "its VMIDs are narrower than those of the CPUs";
	if (smmu->asid_bits < cpus->asid_bits)
		return "its ASIDs are narrower than those of the CPUs";
	if (!smmu->ranges && cpus->ranges)
		return "the CPUs invalidate ranges, which it does not know";
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_btm_obstacle);

static void arm_smmu_btm_cpus(struct arm_smmu_btm_caps *cpus)
{
	u64 mmfr0 = read_sanitised_ftr_reg(SYS_ID_AA64MMFR0_EL1);
	u64 mmfr1 = read_sanitised_ftr_reg(SYS_ID_AA64MMFR1_EL1);

	cpus->vmid_bits = get_vmid_bits(mmfr1);
	cpus->asid_bits =
		SYS_FIELD_GET(ID_AA64MMFR0_EL1, ASIDBITS, mmfr0) ? 16 : 8;
	cpus->ranges = cpus_have_cap(ARM64_HAS_TLB_RANGE);
}

/**
 * arm_smmu_btm_probe() - Decide whether an SMMU listens to the CPUs' TLBIs
 * @smmu: The SMMU, with ARM_SMMU_FEAT_BTM set if it can (IDR0.BTM), unless it
 *	  has an erratum. The feature is cleared if the SMMU shall not listen.
 */
void arm_smmu_btm_probe(struct arm_smmu_device *smmu)
{
	const struct arm_smmu_btm_caps caps = {
		.vmid_bits = smmu->vmid_bits,
		.asid_bits = smmu->asid_bits,
		.ranges = smmu->features & ARM_SMMU_FEAT_RANGE_INV,
	};
	struct arm_smmu_btm_caps cpus;
	const char *obstacle;

	if (!broadcast_tlb) {
		smmu->features &= ~ARM_SMMU_FEAT_BTM;
		return;
	}

	arm_smmu_btm_cpus(&cpus);
	if (!(smmu->features & ARM_SMMU_FEAT_BTM))
		obstacle = "it does not support this";
	else if (!(smmu->features & ARM_SMMU_FEAT_NESTING))
		obstacle = "it does not nest translations";
	else
		obstacle = arm_smmu_btm_obstacle(&caps, &cpus);
	if (obstacle) {
		smmu->features &= ~ARM_SMMU_FEAT_BTM;
		dev_warn(smmu->dev, "No broadcast TLB maintenance: %s\n",
			 obstacle);
		return;
	}
	dev_info(smmu->dev, "Takes part in broadcast TLB maintenance\n");
}
