/* SPDX-License-Identifier: GPL-2.0-only */
/* Commands that guests send to the SMMUv3 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM arm_smmu_v3_viommu

#if !defined(_TRACE_ARM_SMMU_V3_VIOMMU_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_ARM_SMMU_V3_VIOMMU_H

#include <linux/device.h>
#include <linux/tracepoint.h>

/*
 * An array of a guest's commands: the number of legal commands of each kind,
 * and the number of complete ones
 */
TRACE_EVENT(arm_smmu_viommu_cmds,
	    TP_PROTO(struct device *smmu, u16 vmid, u32 cfgi, u32 tlbi, u32 atc,
		     u32 done, int ret),
	    TP_ARGS(smmu, vmid, cfgi, tlbi, atc, done, ret),
	    TP_STRUCT__entry(__string(smmu, dev_name(smmu))
			     __field(u16, vmid)
			     __field(u32, cfgi)
			     __field(u32, tlbi)
			     __field(u32, atc)
			     __field(u32, done)
			     __field(int, ret)),
	    TP_fast_assign(__assign_str(smmu);
			   __entry->vmid = vmid;
			   __entry->cfgi = cfgi;
			   __entry->tlbi = tlbi;
			   __entry->atc = atc;
			   __entry->done = done;
			   __entry->ret = ret;),
	    TP_printk("smmu=%s vmid=%u cfgi=%u tlbi=%u atc=%u done=%u ret=%d",
		      __get_str(smmu), __entry->vmid, __entry->cfgi, __entry->tlbi,
		      __entry->atc, __entry->done, __entry->ret)
);

#endif /* _TRACE_ARM_SMMU_V3_VIOMMU_H */

#include <trace/define_trace.h>
