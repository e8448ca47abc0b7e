// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translation of the host's events for a guest, by a pure function. Section
 * numbers refer to the SMMUv3 architecture, Arm IHI 0070.
 */
#include <kunit/visibility.h>

#include "arm-smmu-v3-viommu.h"

/**
 * arm_smmu_event_to_guest() - Translate an event record for a guest
 * @evt: The record
 * @vevt: The record for the guest, complete except for its StreamID, which is 0
 *
 * A guest gets the events of its own stage 1 and of its own configuration.
 * Events with host addresses, and those from stage 2 or from the host's tables,
 * stay on the host. So do stalls, because the host must answer them.
 *
 * Stage-1 faults have CLASS IN: a fault on a fetch of the guest's tables is a
 * stage-2 fault (7.3.13), whatever the bit S2 says. Of the other words only
 * fields that these events define are passed on; IPA and STAG are unknown
 * there.
 *
 * Return: true if the event is for the guest.
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
