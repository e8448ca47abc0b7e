// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translation of what a guest gives to VT-d and gets from it: PASID table
 * entries, invalidation descriptors and fault records
 *
 * All functions here are pure: no object, no lock, no hardware. Values that a
 * guest chooses reach the hardware only through them, and only in fields named
 * here. Section numbers refer to the Intel VT-d architecture specification.
 */
#include <kunit/visibility.h>
#include <linux/bitfield.h>

#include "viommu.h"

/* 9.6: scalable-mode PASID table entry, bits of each quad word */
#define PE0_P		BIT_ULL(0)
#define PE0_FPD		BIT_ULL(1)
#define PE0_AW		GENMASK_ULL(4, 2)
#define PE0_PGTT	GENMASK_ULL(8, 6)
#define PE0_SLPTR	GENMASK_ULL(63, 12)
#define PE1_DID		GENMASK_ULL(15, 0)
#define PE1_PWSNP	BIT_ULL(23)
#define PE1_PGSNP	BIT_ULL(24)
#define PE2_SRE		BIT_ULL(0)
#define PE2_FLPM	GENMASK_ULL(3, 2)
#define PE2_WPE		BIT_ULL(4)
#define PE2_EAFE	BIT_ULL(7)
#define PE2_FLPTR	GENMASK_ULL(63, 12)

#define PE2_FLPM_5LEVEL	1

/**
 * intel_vpe_check() - Validate a guest's PASID table entry
 * @cap: The capability register of the unit
 * @ecap: The extended capability register of the unit
 * @pe: The entry, 8 quad words
 * @vpe: What it does, set on success
 *
 * Fields that the hardware ignores, because the entry is not present or for its
 * type of translation, are ignored here. FPD only matters to the VMM, which
 * gets the faults. PWSNP and PGSNP are set as for all entries of the host, so
 * the guest's only have to be ones that the unit supports.
 *
 * A second stage in a guest's entry would need a third one here. The VMM maps
 * it into the host's second stage, and attaches that or passes an entry that
 * passes through.
 *
 * Return: 0, or -EIO for a field or a value that a guest may not use.
 */
int intel_vpe_check(u64 cap, u64 ecap, const __le64 *pe, struct intel_vpe *vpe)
{
	u64 word0 = le64_to_cpu(pe[0]);
	u64 word1 = le64_to_cpu(pe[1]);
	u64 word2 = le64_to_cpu(pe[2]);
	u64 allowed1 = PE1_DID;
	u64 allowed2 = PE2_FLPM | PE2_WPE | PE2_FLPTR;
	unsigned int i;

	memset(vpe, 0, sizeof(*vpe));
	vpe->kind = INTEL_VPE_BLOCKED;
	vpe->did = FIELD_GET(PE1_DID, word1);
	if (!(word0 & PE0_P))
		return 0;

	if (ecap_smpwc(ecap))
		allowed1 |= PE1_PWSNP;
	if (ecap_sc_support(ecap))
		allowed1 |= PE1_PGSNP;
	if (ecap_srs(ecap))
		allowed2 |= PE2_SRE;
	if (ecap_eafs(ecap))
		allowed2 |= PE2_EAFE;
	if ((word0 & ~(PE0_P | PE0_FPD | PE0_AW | PE0_PGTT | PE0_SLPTR)) ||
	    (word1 & ~allowed1))
		return -EIO;
	for (i = 3; i < 8; i++)
		if (pe[i])
			return -EIO;

	switch (FIELD_GET(PE0_PGTT, word0)) {
	case PASID_ENTRY_PGTT_PT:
		vpe->kind = INTEL_VPE_BYPASS;
		return 0;
	case PASID_ENTRY_PGTT_FL_ONLY:
		break;
	default:
		return -EIO;
	}

	if (word2 & ~allowed2)
		return -EIO;
	switch (FIELD_GET(PE2_FLPM, word2)) {
	case 0:
		vpe->s1.addr_width = ADDR_WIDTH_4LEVEL;
		break;
	case PE2_FLPM_5LEVEL:
		if (!cap_fl5lp_support(cap))
			return -EIO;
		vpe->s1.addr_width = ADDR_WIDTH_5LEVEL;
		break;
	default:
		return -EIO;
	}

	vpe->kind = INTEL_VPE_NESTED;
	vpe->s1.pgtbl_addr = word2 & PE2_FLPTR;
	if (word2 & PE2_SRE)
		vpe->s1.flags |= IOMMU_VTD_S1_SRE;
	if (word2 & PE2_WPE)
		vpe->s1.flags |= IOMMU_VTD_S1_WPE;
	if (word2 & PE2_EAFE)
		vpe->s1.flags |= IOMMU_VTD_S1_EAFE;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(intel_vpe_check);

/* 6.5.2: descriptors. Bits 3:0 and 11:9 of quad word 0 are the type. */
#define DESC_TYPE	(GENMASK_ULL(11, 9) | GENMASK_ULL(3, 0))
#define DESC_G		GENMASK_ULL(5, 4)
#define DESC_DID	GENMASK_ULL(31, 16)
#define DESC_PASID	GENMASK_ULL(51, 32)
#define DESC_PFSID	(GENMASK_ULL(63, 52) | GENMASK_ULL(15, 12))
#define DESC_ADDR	GENMASK_ULL(63, 12)

#define CC_SID		GENMASK_ULL(47, 32)
#define CC_FM		GENMASK_ULL(49, 48)
#define IOTLB_DRAIN	GENMASK_ULL(7, 6)
#define IOTLB_AM	GENMASK_ULL(5, 0)
#define IOTLB_IH	BIT_ULL(6)
#define DEV_MIP		GENMASK_ULL(20, 16)
#define DEV_SID		GENMASK_ULL(47, 32)
#define DEV_S		BIT_ULL(0)
#define PDEV_MIP	GENMASK_ULL(8, 4)
#define PDEV_SID	GENMASK_ULL(31, 16)
#define PDEV_G		BIT_ULL(0)
#define PDEV_S		BIT_ULL(11)

/* The values of G, 0 and those without a name are reserved */
#define CC_G_GLOBAL	1
#define CC_G_DOMAIN	2
#define CC_G_DEVICE	3
#define IOTLB_G_GLOBAL	1
#define IOTLB_G_DOMAIN	2
#define IOTLB_G_PAGE	3

/* A range of 2^@order pages around @addr */
static void intel_vinv_range(struct intel_vinv *inv, u64 addr, u8 order)
{
	inv->order = min_t(u8, order, INTEL_VINV_ALL);
	inv->addr = inv->order == INTEL_VINV_ALL ?
		    0 : addr & (~0ULL << (VTD_PAGE_SHIFT + order));
}

/*
 * 6.5.2.5: with S the lowest 0 in the address gives the size. Only ones is not
 * defined; it is taken as everything.
 */
static void intel_vinv_dev_range(struct intel_vinv *inv, u64 addr, bool s)
{
	intel_vinv_range(inv, addr, s ? ffz(addr >> VTD_PAGE_SHIFT) + 1 : 0);
}

/**
 * intel_vinv_check() - Validate a guest's invalidation descriptor
 * @cap: The capability register of the unit
 * @ecap: The extended capability register of the unit
 * @desc: The descriptor, 4 quad words
 * @inv: What it invalidates, set on success. Never less than it asks for.
 *
 * The host drains, and sets the queue depth and the PFSID of the device, so
 * these fields of the guest are ignored where the unit has them.
 *
 * - Context entries of a guest do not exist in hardware. A guest may rely on
 *   the invalidation of one to drop the translations under it, so it covers
 *   all of the VM. The same holds for its PASID table entries and all
 *   translations of their domain ID.
 * - An address in an IOTLB descriptor is one of a second stage of the guest,
 *   which the hardware does not have. So it covers the domain ID.
 *
 * Return: 0, or -EIO for a type or a value that a guest may not use, or that
 * the unit does not have.
 */
int intel_vinv_check(u64 cap, u64 ecap, const u64 *desc, struct intel_vinv *inv)
{
	u64 word0 = desc[0], word1 = desc[1];
	u64 allowed0 = DESC_TYPE, allowed1 = 0;
	u64 type = word0 & DESC_TYPE;
	u64 g = FIELD_GET(DESC_G, word0);

	if (desc[2] || desc[3])
		return -EIO;

	memset(inv, 0, sizeof(*inv));
	inv->order = INTEL_VINV_ALL;
	inv->did = FIELD_GET(DESC_DID, word0);

	switch (type) {
	case QI_CC_TYPE:
		allowed0 |= DESC_G | DESC_DID | CC_SID | CC_FM;
		inv->scope = INTEL_VINV_VM;
		if (!g)
			return -EIO;
		break;
	case QI_IOTLB_TYPE:
		allowed0 |= DESC_G | IOTLB_DRAIN | DESC_DID;
		allowed1 = IOTLB_AM | IOTLB_IH | DESC_ADDR;
		inv->scope = g == IOTLB_G_GLOBAL ? INTEL_VINV_VM :
						   INTEL_VINV_DID;
		if (!g)
			return -EIO;
		break;
	case QI_EIOTLB_TYPE:
		allowed0 |= DESC_G | DESC_DID | DESC_PASID;
		allowed1 = IOTLB_AM | IOTLB_IH | DESC_ADDR;
		inv->scope = INTEL_VINV_PASID;
		inv->pasid = FIELD_GET(DESC_PASID, word0);
		if (g == QI_GRAN_PSI_PASID) {
			u8 am = FIELD_GET(IOTLB_AM, word1);

			if (!cap_pgsel_inv(cap) || am > cap_max_amask_val(cap))
				break;
			intel_vinv_range(inv, word1 & DESC_ADDR, am);
			inv->ih = word1 & IOTLB_IH;
		} else if (g != QI_GRAN_NONG_PASID) {
			return -EIO;
		}
		break;
	case QI_PC_TYPE:
		allowed0 |= DESC_G | DESC_DID | DESC_PASID;
		inv->scope = g == QI_PC_GLOBAL ? INTEL_VINV_VM : INTEL_VINV_DID;
		if (g != QI_PC_ALL_PASIDS && g != QI_PC_PASID_SEL &&
		    g != QI_PC_GLOBAL)
			return -EIO;
		break;
	case QI_DIOTLB_TYPE:
		if (!ecap_dev_iotlb_support(ecap))
			return -EIO;
		allowed0 |= DEV_MIP | DEV_SID;
		allowed1 = DEV_S | DESC_ADDR;
		inv->scope = INTEL_VINV_DEV;
		inv->sid = FIELD_GET(DEV_SID, word0);
		intel_vinv_dev_range(inv, word1 & DESC_ADDR, word1 & DEV_S);
		break;
	case QI_DEIOTLB_TYPE:
		if (!ecap_dev_iotlb_support(ecap) || !ecap_pasid(ecap))
			return -EIO;
		allowed0 |= PDEV_MIP | PDEV_SID | DESC_PASID;
		allowed1 = PDEV_G | PDEV_S | DESC_ADDR;
		inv->sid = FIELD_GET(PDEV_SID, word0);
		inv->pasid = FIELD_GET(DESC_PASID, word0);
		if (word1 & PDEV_G)
			inv->scope = INTEL_VINV_DEV_PASIDS;
		else if (inv->pasid == IOMMU_NO_PASID)
			inv->scope = INTEL_VINV_DEV;
		else
			inv->scope = INTEL_VINV_DEV_PASID;
		intel_vinv_dev_range(inv, word1 & DESC_ADDR, word1 & PDEV_S);
		break;
	default:
		return -EIO;
	}

	if (ecap_dit(ecap) &&
	    (type == QI_DIOTLB_TYPE || type == QI_DEIOTLB_TYPE))
		allowed0 |= DESC_PFSID;
	return (word0 & ~allowed0) || (word1 & ~allowed1) ? -EIO : 0;
}
EXPORT_SYMBOL_IF_KUNIT(intel_vinv_check);

/* 11.4.14: fault recording register, the upper quad word */
#define FRCD_F		BIT_ULL(63)
#define FRCD_T1		BIT_ULL(62)
#define FRCD_AT		GENMASK_ULL(61, 60)
#define FRCD_PASID	GENMASK_ULL(59, 40)
#define FRCD_REASON	GENMASK_ULL(39, 32)
#define FRCD_PP		BIT_ULL(31)
#define FRCD_EXE	BIT_ULL(30)
#define FRCD_PRIV	BIT_ULL(29)
#define FRCD_T2		BIT_ULL(28)

/**
 * intel_vfault_to_guest() - Translate a fault record for a guest
 * @lo: Its lower quad word
 * @hi: Its upper quad word
 * @rec: The record for the guest, complete except for its requester ID, which
 *       is 0
 *
 * A guest gets the faults of its first stage, and those of a PASID that it has
 * not set up. Faults of the second stage and of the host's tables stay on the
 * host. If the second stage refuses an access to the guest's page table, the
 * guest has put the table where it has no memory: it sees that its table
 * cannot be accessed, as hardware without a second stage reports it.
 *
 * Return: true if the fault is for the guest.
 */
bool intel_vfault_to_guest(u64 lo, u64 hi, __le64 *rec)
{
	u64 reason = FIELD_GET(FRCD_REASON, hi);

	switch (reason) {
	case 0x51: /* not present: PASID directory entry */
	case 0x59: /* PASID table entry */
		if (!(hi & FRCD_PP))
			return false;
		break;
	case 0x70 ... 0x73: /* tables of the first stage */
	case 0x80 ... 0x82: /* not canonical, no user access, not executable */
	case 0x85 ... 0x87: /* no write or read access, interrupt address */
	case 0x90: /* A/D bits without snooping */
		break;
	case 0x74: /* table beyond the second stage */
	case 0x76: /* table not readable */
	case 0x77: /* table not writable */
		reason = 0x70;
		break;
	case 0x75: /* root table not readable */
		reason = 0x73;
		break;
	default:
		return false;
	}

	hi &= FRCD_T1 | FRCD_AT | FRCD_PASID | FRCD_PP | FRCD_EXE | FRCD_PRIV |
	      FRCD_T2;
	if (!(hi & FRCD_PP))
		hi &= ~(FRCD_PASID | FRCD_EXE | FRCD_PRIV);
	rec[0] = cpu_to_le64(lo & VTD_PAGE_MASK);
	rec[1] = cpu_to_le64(hi | FRCD_F | FIELD_PREP(FRCD_REASON, reason));
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(intel_vfault_to_guest);
