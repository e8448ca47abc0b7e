// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replacing the page table of a PASID under DMA
 *
 * A context descriptor (CD) tags what it translates with its ASID. The ASID is in
 * word 0 of a CD and the table, TTB0, in word 1, and the SMMU may read a CD between
 * two writes. With the CD invalid in between, DMA would abort. Written one after
 * the other, the TLB could keep translations of one table under the ASID of the
 * other, for every device that uses that ASID. So the CD borrows an ASID meanwhile:
 *
 *	ASID old	TTB0 old
 *	ASID 0		TTB0 old
 *	ASID 0		TTB0 new
 *	ASID new	TTB0 new
 *
 * Each step changes one word. The driver does not assign ASID 0 to any domain.
 * arm_smmu_asid_lock has one PASID at a time borrow it, and the TLB is empty of it
 * whenever the lock is free.
 *
 * Unmaps do not take the lock. While the ASID is borrowed, each flush of a stage 1
 * also flushes ASID 0, see arm_smmu_tlb_inv_borrowed().
 *
 * The old ASID needs no flush here. Its domain may be in use elsewhere, and flushes
 * the ASID on its own changes and before the ASID is freed.
 */
#include <kunit/visibility.h>

#include "arm-smmu-v3.h"

#define CD_0_DIRTY	(CTXDESC_CD_0_TCR_HA | CTXDESC_CD_0_TCR_HD)

/**
 * arm_smmu_make_cd_between() - Make the CDs to write between two others
 * @cur: The CD in use
 * @target: The CD to change to
 * @between: The CDs to write before @target, in this order
 *
 * Return: true if each of the changes from @cur over @between to @target is of
 * one word, at most, and no table has the other's ASID in any of them. false if
 * @target needs no CDs before it, or if there are none, because the formats of
 * the two tables differ: those of a domain of user space and of a process, or
 * those of domains of other SMMUs.
 */
VISIBLE_IF_KUNIT
bool arm_smmu_make_cd_between(const struct arm_smmu_cd *cur,
			      const struct arm_smmu_cd *target,
			      struct arm_smmu_cd between[2])
{
	const __le64 may_differ = cpu_to_le64(CTXDESC_CD_0_ASID | CD_0_DIRTY);
	const __le64 changed = cur->data[0] ^ target->data[0];

	if (!(cur->data[0] & target->data[0] & cpu_to_le64(CTXDESC_CD_0_V)))
		return false;
	/* Without a table there is nothing in the TLB to keep apart */
	if ((cur->data[0] | target->data[0]) &
	    cpu_to_le64(CTXDESC_CD_0_TCR_EPD0))
		return false;
	if (!(changed & cpu_to_le64(CTXDESC_CD_0_ASID)) ||
	    cur->data[1] == target->data[1])
		return false;
	if ((changed & ~may_differ) ||
	    memcmp(&cur->data[2], &target->data[2],
		   sizeof(*cur) - offsetof(struct arm_smmu_cd, data[2])))
		return false;

	/*
	 * A table without dirty tracking is read in the same way with and
	 * without HA and HD, one with dirty tracking needs them.
	 */
	between[0] = *cur;
	between[0].data[0] &= ~cpu_to_le64(CTXDESC_CD_0_ASID);
	between[0].data[0] |= target->data[0] & cpu_to_le64(CD_0_DIRTY);
	between[1] = between[0];
	between[1].data[1] = target->data[1];
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_make_cd_between);

/**
 * arm_smmu_replace_cd() - Write the CD of a PASID that may have another one
 * @master: The device
 * @ssid: The PASID
 * @cdptr: Its CD in the CD table
 * @target: The CD to change to
 *
 * DMA with the PASID translates by either CD until this returns, if both are of
 * domains of user space.
 *
 * Context: under arm_smmu_asid_lock, which arm_smmu_attach_prepare() checks.
 */
void arm_smmu_replace_cd(struct arm_smmu_master *master, ioasid_t ssid,
			 struct arm_smmu_cd *cdptr,
			 const struct arm_smmu_cd *target)
{
	struct arm_smmu_cd between[2];
	bool borrowed;

	borrowed = arm_smmu_make_cd_between(cdptr, target, between);
	if (borrowed) {
		WRITE_ONCE(master->smmu->asid0_borrowed, true);
		/* Pairs with the barrier in arm_smmu_tlb_inv_borrowed() */
		smp_mb();
		arm_smmu_write_cd_entry(master, ssid, cdptr, &between[0]);
		arm_smmu_write_cd_entry(master, ssid, cdptr, &between[1]);
	}
	arm_smmu_write_cd_entry(master, ssid, cdptr, target);
	if (borrowed) {
		arm_smmu_tlb_inv_asid(master->smmu, 0);
		/* Nothing of ASID 0 is left, and the CD does not use it */
		smp_store_release(&master->smmu->asid0_borrowed, false);
	}
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_replace_cd);
