// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stage 2 of a VM on all the SMMUs and under all the VMIDs that use it
 *
 *	arm_smmu_domain (nesting parent: tables, its own SMMU and VMID)
 *	   ::s2_uses ---> arm_smmu_s2_use (SMMU, VMID)
 *			    in an arm_smmu_viommu: the vIOMMU's VMID
 *			    by itself: plain attachments behind another SMMU
 *
 * Owns:	the uses for plain attachments, from the first such attachment
 *		to the end of the domain. A vIOMMU owns its use.
 * Locks:	s2_uses_lock orders additions and removals of uses against
 *		changes of the tables: it is taken for writing around changes of
 *		the list only, and for reading while the uses are invalidated.
 *		It can be a semaphore because only iommufd changes a nesting
 *		parent, in contexts that may sleep. arm_smmu_domain::init_mutex
 *		serializes the uses for plain attachments.
 *
 * Why no use misses a change of the tables: a change clears the descriptors
 * first and then walks the list. A use that the walk does not find was added
 * later, so all STEs with its VMID are written later, and hardware table walks
 * for them read the cleared descriptors. A removed use has flushed its VMID
 * after its last STE was gone.
 */
#include <kunit/visibility.h>
#include <linux/io-pgtable.h>

#include "arm-smmu-v3-viommu.h"

static void arm_smmu_s2_use_tlbi(struct arm_smmu_s2_use *use, u8 opcode)
{
	u64 cmd[CMDQ_ENT_DWORDS] = {
		FIELD_PREP(CMDQ_0_OP, opcode) |
			FIELD_PREP(CMDQ_TLBI_0_VMID, use->vmid),
	};

	arm_smmu_cmdq_issue_cmdlist(use->smmu, &use->smmu->cmdq, cmd, 1, true);
}

/**
 * arm_smmu_s2_use_add() - Add a use of a stage 2 on an SMMU under a VMID
 * @s2: The stage 2, a nesting parent that fits @smmu
 * @use: The use
 * @smmu: The SMMU
 * @vmid: A VMID that nothing else on @smmu has, clean in the TLB
 * @nested: Whether a stage 1 is nested on it
 */
void arm_smmu_s2_use_add(struct arm_smmu_domain *s2,
			 struct arm_smmu_s2_use *use,
			 struct arm_smmu_device *smmu, u16 vmid, bool nested)
{
	use->smmu = smmu;
	use->vmid = vmid;
	use->nested = nested;
	down_write(&s2->s2_uses_lock);
	list_add_tail(&use->s2_elm, &s2->s2_uses);
	up_write(&s2->s2_uses_lock);
}

/**
 * arm_smmu_s2_use_del() - Remove a use of a stage 2
 * @s2: The stage 2
 * @use: The use, whose VMID no STE has any more
 *
 * On return the VMID is clean in the TLB.
 */
void arm_smmu_s2_use_del(struct arm_smmu_domain *s2,
			 struct arm_smmu_s2_use *use)
{
	down_write(&s2->s2_uses_lock);
	list_del(&use->s2_elm);
	up_write(&s2->s2_uses_lock);

	arm_smmu_s2_use_tlbi(use, CMDQ_OP_TLBI_S12_VMALL);
}

/**
 * arm_smmu_s2_fits() - Check whether an SMMU can walk a stage 2 of another one
 * @s2: The stage 2
 * @smmu: The SMMU
 *
 * Return: true if @smmu supports the granule, sizes, coherence and attributes
 * of the page table.
 */
bool arm_smmu_s2_fits(struct arm_smmu_domain *s2, struct arm_smmu_device *smmu)
{
	const struct io_pgtable_cfg *cfg;

	if (s2->smmu == smmu)
		return true;

	cfg = &io_pgtable_ops_to_pgtable(s2->pgtbl_ops)->cfg;
	if (!(smmu->features & ARM_SMMU_FEAT_TRANS_S2) ||
	    (s2->domain.pgsize_bitmap & ~smmu->pgsize_bitmap))
		return false;
	if (cfg->ias > smmu->ias || cfg->oas > smmu->oas)
		return false;
	if ((cfg->quirks & IO_PGTABLE_QUIRK_ARM_S2FWB) &&
	    !(smmu->features & ARM_SMMU_FEAT_S2FWB))
		return false;
	return cfg->coherent_walk ==
	       !!(smmu->features & ARM_SMMU_FEAT_COHERENCY);
}

/* The use for plain attachments on @smmu, if that is not the domain's SMMU */
static struct arm_smmu_s2_use *arm_smmu_s2_find(struct arm_smmu_domain *s2,
						struct arm_smmu_device *smmu)
{
	struct arm_smmu_s2_use *use, *found = NULL;

	down_read(&s2->s2_uses_lock);
	list_for_each_entry(use, &s2->s2_uses, s2_elm) {
		if (!use->nested && use->smmu == smmu) {
			found = use;
			break;
		}
	}
	up_read(&s2->s2_uses_lock);
	return found;
}

/**
 * arm_smmu_s2_join() - Prepare to attach a device behind another SMMU
 * @s2: The domain
 * @master: The device, behind another SMMU than @s2 was made for
 *
 * Refuses what the attach would refuse later, so a use without attachment is
 * only left behind if memory runs out.
 *
 * Return: 0, -EINVAL if @s2 cannot be used there, -EBUSY if the device has
 * PASIDs of the host, or that of arm_smmu_vmid_alloc().
 */
int arm_smmu_s2_join(struct arm_smmu_domain *s2, struct arm_smmu_master *master)
{
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_s2_use *use;
	int ret;

	lockdep_assert_held(&s2->init_mutex);

	if (!s2->nest_parent || !arm_smmu_s2_fits(s2, smmu))
		return -EINVAL;
	if (READ_ONCE(s2->enforce_cache_coherency) &&
	    !arm_smmu_master_canwbs(master))
		return -EINVAL;
	if (arm_smmu_ssids_in_use(&master->cd_table))
		return -EBUSY;
	if (arm_smmu_s2_find(s2, smmu))
		return 0;

	use = kzalloc(sizeof(*use), GFP_KERNEL_ACCOUNT);
	if (!use)
		return -ENOMEM;
	ret = arm_smmu_vmid_alloc(smmu);
	if (ret < 0) {
		kfree(use);
		return ret;
	}
	arm_smmu_s2_use_add(s2, use, smmu, ret, false);
	return 0;
}

/**
 * arm_smmu_s2_free_uses() - Free the uses for plain attachments
 * @s2: The domain, to which no device is attached
 *
 * Freeing the page table has flushed their VMIDs already, but all VMIDs are
 * freed in the same way.
 */
void arm_smmu_s2_free_uses(struct arm_smmu_domain *s2)
{
	struct arm_smmu_s2_use *use, *next;

	list_for_each_entry_safe(use, next, &s2->s2_uses, s2_elm) {
		arm_smmu_s2_use_del(s2, use);
		arm_smmu_vmid_free(use->smmu, use->vmid);
		kfree(use);
	}
}

/**
 * arm_smmu_s2_vmid() - The VMID of plain attachments to a stage 2
 * @s2: The domain
 * @smmu: An SMMU that a device is attached behind
 *
 * Return: the VMID, or 0, which no stage 2 has, if nothing is attached there.
 */
u16 arm_smmu_s2_vmid(struct arm_smmu_domain *s2, struct arm_smmu_device *smmu)
{
	struct arm_smmu_s2_use *use;

	if (!s2->nest_parent || s2->smmu == smmu)
		return s2->s2_cfg.vmid;
	use = arm_smmu_s2_find(s2, smmu);
	return use ? use->vmid : 0;
}

/**
 * arm_smmu_s2_inv_all() - Invalidate a whole stage 2
 * @s2: The stage 2
 *
 * On return the TLB entries of all its uses are gone. arm_smmu_atc_inv_domain()
 * handles the ATCs of the devices.
 */
void arm_smmu_s2_inv_all(struct arm_smmu_domain *s2)
{
	struct arm_smmu_s2_use *use;

	if (!s2->nest_parent)
		return;

	down_read(&s2->s2_uses_lock);
	list_for_each_entry(use, &s2->s2_uses, s2_elm) {
		cond_resched();
		arm_smmu_s2_use_tlbi(use, CMDQ_OP_TLBI_S12_VMALL);
	}
	up_read(&s2->s2_uses_lock);
}

/*
 * Without RIL each entry takes a command; the limit is that of a guest's range
 */
static bool arm_smmu_s2_range_is_short(struct arm_smmu_s2_use *use, size_t size,
				       size_t granule)
{
	return (use->smmu->features & ARM_SMMU_FEAT_RANGE_INV) ||
	       size / granule <= ARM_SMMU_VCMD_REPEAT_MAX;
}

/**
 * arm_smmu_s2_inv_range() - Invalidate a range of a stage 2
 * @s2: The stage 2
 * @iova: Start of the range, in bytes
 * @size: Its size, in bytes
 * @granule: Size of one of its leaf entries, in bytes
 * @leaf: Only leaf entries have changed
 *
 * Like arm_smmu_s2_inv_all(). CMD_TLBI_S2_IPA need not remove entries that
 * combine both stages (4.4.3), and the host does not know the guest addresses
 * of these. So remove all of them after the stage-2 entries. For a range that
 * would take many commands remove all stage-2 entries as well.
 */
void arm_smmu_s2_inv_range(struct arm_smmu_domain *s2, unsigned long iova,
			   size_t size, size_t granule, bool leaf)
{
	struct arm_smmu_s2_use *use;

	if (!s2->nest_parent)
		return;

	down_read(&s2->s2_uses_lock);
	list_for_each_entry(use, &s2->s2_uses, s2_elm) {
		struct arm_smmu_cmdq_ent cmd = {
			.opcode = CMDQ_OP_TLBI_S2_IPA,
			.tlbi = {
				.vmid = use->vmid,
				.leaf = leaf,
			},
		};

		/* User space decides how many uses there are */
		cond_resched();
		if (use->nested && !arm_smmu_s2_range_is_short(use, size, granule)) {
			arm_smmu_s2_use_tlbi(use, CMDQ_OP_TLBI_S12_VMALL);
			continue;
		}
		__arm_smmu_tlb_inv_range(use->smmu, &cmd, iova, size, granule,
					 s2);
		if (use->nested)
			arm_smmu_s2_use_tlbi(use, CMDQ_OP_TLBI_NH_ALL);
	}
	up_read(&s2->s2_uses_lock);
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_s2_inv_range);
