// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the AMD IOMMU: device table entries (DTEs)
 *
 *	guest's DTE --> amd_vdte --> host's DTE --> steps --> device table
 *
 * Pure functions, which own nothing and take no lock.
 *
 * The IOMMU reads a DTE as 256 bits at once, and the driver writes one of its
 * halves at a time. In between the IOMMU may read the new half with the old one.
 * Of what a guest chooses only GuestPagingMode is in the upper half, and it has
 * no effect without GV. So an order of the two writes exists in which every
 * combination does what the old or the new entry does, unless both have a GCR3
 * table and different modes. Such a change goes through an entry that blocks. It
 * does not go through V=0, with which requests would pass untranslated.
 */
#include "viommu.h"

#define DTE_Q0_GLX	((u64)DTE_GLX_MASK << DTE_GLX_SHIFT)
#define DTE_Q0_GCR3	(DTE_GCR3_VAL_A(~0ULL) << DTE_GCR3_SHIFT_A)
#define DTE_Q1_GCR3	((DTE_GCR3_VAL_B(~0ULL) << DTE_GCR3_SHIFT_B) | \
			 (DTE_GCR3_VAL_C(~0ULL) << DTE_GCR3_SHIFT_C))
/* The interrupt half, which the VMM handles: all but bits 55:52 and HPTMode */
#define DTE_Q2_INTR	(DTE_DATA2_INTR_MASK & ~BIT_ULL(59))
#define DTE_XLATE	(DTE_FLAG_V | DTE_FLAG_TV)

static u64 amd_vdte_gcr3(const u64 *dte)
{
	return (dte[0] >> DTE_GCR3_SHIFT_A & DTE_GCR3_VAL_A(~0ULL)) << 12 |
	       (dte[1] >> DTE_GCR3_SHIFT_B & DTE_GCR3_VAL_B(~0ULL)) << 15 |
	       (dte[1] >> DTE_GCR3_SHIFT_C & DTE_GCR3_VAL_C(~0ULL)) << 31;
}

static int amd_vdte_check_nested(u64 efr, const u64 *dte, struct amd_vdte *vdte)
{
	u64 glx = dte[0] >> DTE_GLX_SHIFT & DTE_GLX_MASK;
	u64 mode = dte[2] & DTE_GPT_LEVEL_MASK;

	/* Of the two bits of GLXSup and of GATS, 3 and 2 are reserved */
	if (glx > 2 || glx > FIELD_GET(FEATURE_GLX, efr))
		return -EIO;
	switch (FIELD_GET(DTE_GPT_LEVEL_MASK, mode)) {
	case GUEST_PGTABLE_4_LEVEL:
		break;
	case GUEST_PGTABLE_5_LEVEL:
		if (FIELD_GET(FEATURE_GATS, efr) != GUEST_PGTABLE_5_LEVEL)
			return -EIO;
		break;
	default:
		return -EIO;
	}
	if ((dte[0] & DTE_FLAG_GIOV) && !(efr & FEATURE_GIOSUP))
		return -EIO;
	if (amd_vdte_gcr3(dte) >> AMD_VIOMMU_S2_BITS)
		return -EIO;

	vdte->kind = AMD_VDTE_NESTED;
	vdte->q0 |= dte[0] & (DTE_Q0_GLX | DTE_Q0_GCR3 | DTE_FLAG_GIOV);
	vdte->q1 = dte[1] & DTE_Q1_GCR3;
	vdte->q2 = mode;
	return 0;
}

/**
 * amd_vdte_check() - Validate a guest's DTE
 * @efr: The extended feature register
 * @dte: The guest's entry, 4 words
 * @vdte: Result
 *
 * Return: 0, or -EIO for an entry that a guest must not have.
 */
int amd_vdte_check(u64 efr, const u64 *dte, struct amd_vdte *vdte)
{
	memset(vdte, 0, sizeof(*vdte));
	vdte->kind = AMD_VDTE_BYPASS;
	vdte->q0 = DTE_FLAG_IR | DTE_FLAG_IW;
	if (!(dte[0] & DTE_FLAG_V))
		return 0;

	vdte->domid = dte[1] & DEV_DOMID_MASK;
	vdte->q0 = 0;
	vdte->kind = AMD_VDTE_BLOCKED;
	if (!(dte[0] & DTE_FLAG_TV))
		return 0;

	if ((dte[0] & ~(DTE_XLATE | DTE_FLAG_GIOV | DTE_FLAG_GV | DTE_Q0_GLX |
			DTE_Q0_GCR3 | DTE_FLAG_IR | DTE_FLAG_IW)) ||
	    (dte[1] & ~(DEV_DOMID_MASK | DTE_Q1_GCR3 | DTE_FLAG_IOTLB)) ||
	    (dte[2] & ~(DTE_Q2_INTR | DTE_GPT_LEVEL_MASK)) || dte[3])
		return -EIO;

	vdte->ats = dte[1] & DTE_FLAG_IOTLB;
	vdte->q0 = dte[0] & (DTE_FLAG_IR | DTE_FLAG_IW);
	if (dte[0] & DTE_FLAG_GV)
		return amd_vdte_check_nested(efr, dte, vdte);
	if (vdte->q0)
		vdte->kind = AMD_VDTE_BYPASS;
	return 0;
}

/**
 * amd_vdte_make() - Make a DTE of the host
 * @vdte: The guest's entry
 * @host: The host's part. Without effect on one that blocks: IR and IW do not
 *	  apply to requests that a device has translated before, but I does.
 * @cur: The entry that is in the device table, which has the fields for
 *	 interrupts and those from the firmware
 * @new: Result
 */
void amd_vdte_make(const struct amd_vdte *vdte, const struct amd_vdte_host *host,
		   const struct dev_table_entry *cur,
		   struct dev_table_entry *new)
{
	new->data[0] = DTE_XLATE;
	new->data[1] = cur->data[1] & DTE_FLAG_MASK & ~DTE_FLAG_IOTLB;
	new->data[2] = cur->data[2] & ~DTE_GPT_LEVEL_MASK;
	new->data[3] = cur->data[3];
	if (vdte->kind == AMD_VDTE_BLOCKED)
		return;

	if (host->ats)
		new->data[1] |= DTE_FLAG_IOTLB;
	new->data[0] |= host->s2 | vdte->q0;
	new->data[1] |= host->domid | vdte->q1;
	new->data[2] |= vdte->q2;
	if (host->dirty)
		new->data[0] |= DTE_FLAG_HAD;
	if (vdte->kind == AMD_VDTE_NESTED)
		new->data[0] |= DTE_FLAG_GV;
}

/* The upper half has no effect on requests without it */
static bool amd_dte_has_gcr3(const struct dev_table_entry *dte)
{
	const u64 all = DTE_XLATE | DTE_FLAG_GV;

	return (dte->data[0] & all) == all;
}

/**
 * amd_vdte_plan() - Plan the change of a live DTE
 * @cur: The entry that is in the device table
 * @new: The entry that is to replace it, of amd_vdte_make()
 * @steps: Result, AMD_VDTE_STEPS elements
 *
 * Return: the number of steps, 0 if nothing changes.
 */
unsigned int amd_vdte_plan(const struct dev_table_entry *cur,
			   const struct dev_table_entry *new,
			   struct amd_vdte_step *steps)
{
	bool lower = cur->data[0] != new->data[0] ||
		     cur->data[1] != new->data[1];
	struct amd_vdte_step *step = steps;
	struct dev_table_entry dte = *cur;

	if (cur->data[2] == new->data[2]) {
		if (lower)
			*step++ = (struct amd_vdte_step){ .to = *new };
		return step - steps;
	}

	if (amd_dte_has_gcr3(cur)) {
		dte.data[0] = new->data[0];
		dte.data[1] = new->data[1];
		*step++ = (struct amd_vdte_step){ .to = dte };
		if (!amd_dte_has_gcr3(new)) {
			*step++ = (struct amd_vdte_step){ .upper = true,
							  .to = *new };
			return step - steps;
		}
		/* Block instead, until the mode is the new one */
		dte.data[0] = DTE_XLATE;
		dte.data[1] &= DTE_FLAG_MASK;
		steps[0].to = dte;
		steps[0].settle = true;
		lower = true;
	}
	dte.data[2] = new->data[2];
	*step++ = (struct amd_vdte_step){ .upper = true, .to = dte };
	if (lower)
		*step++ = (struct amd_vdte_step){ .to = *new };
	return step - steps;
}
