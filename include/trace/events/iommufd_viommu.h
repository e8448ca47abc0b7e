/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What VMMs do with vIOMMUs, and what their guests receive
 *
 * IDs are those of the iommufd that the calling process has open. For a
 * vEVENTQ, which reports in interrupt context, they are those of its VMM.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM iommufd_viommu

#if !defined(_TRACE_IOMMUFD_VIOMMU_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_IOMMUFD_VIOMMU_H

#include <linux/device.h>
#include <linux/tracepoint.h>

TRACE_EVENT(iommufd_viommu_alloc,
	    TP_PROTO(u32 id, u32 type, u32 hwpt, struct device *iommu),
	    TP_ARGS(id, type, hwpt, iommu),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u32, type)
			     __field(u32, hwpt)
			     __string(iommu, dev_name(iommu))),
	    TP_fast_assign(__entry->id = id;
			   __entry->type = type;
			   __entry->hwpt = hwpt;
			   __assign_str(iommu);),
	    TP_printk("viommu=%u type=%#x hwpt=%u iommu=%s", __entry->id,
		      __entry->type, __entry->hwpt, __get_str(iommu))
);

TRACE_EVENT(iommufd_vdevice_alloc,
	    TP_PROTO(u32 id, u32 viommu, u64 virt_id, struct device *dev),
	    TP_ARGS(id, viommu, virt_id, dev),
	    TP_STRUCT__entry(__field(u64, virt_id)
			     __field(u32, id)
			     __field(u32, viommu)
			     __string(dev, dev_name(dev))),
	    TP_fast_assign(__entry->virt_id = virt_id;
			   __entry->id = id;
			   __entry->viommu = viommu;
			   __assign_str(dev);),
	    TP_printk("vdevice=%u viommu=%u virt_id=%#llx dev=%s", __entry->id,
		      __entry->viommu, __entry->virt_id, __get_str(dev))
);

TRACE_EVENT(iommufd_viommu_hwpt_alloc,
	    TP_PROTO(u32 id, u32 viommu, struct device *dev),
	    TP_ARGS(id, viommu, dev),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u32, viommu)
			     __string(dev, dev_name(dev))),
	    TP_fast_assign(__entry->id = id;
			   __entry->viommu = viommu;
			   __assign_str(dev);),
	    TP_printk("hwpt=%u viommu=%u dev=%s", __entry->id, __entry->viommu,
		      __get_str(dev))
);

TRACE_EVENT(iommufd_hw_queue_alloc,
	    TP_PROTO(u32 id, u32 viommu, u32 type, u32 index),
	    TP_ARGS(id, viommu, type, index),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u32, viommu)
			     __field(u32, type)
			     __field(u32, index)),
	    TP_fast_assign(__entry->id = id;
			   __entry->viommu = viommu;
			   __entry->type = type;
			   __entry->index = index;),
	    TP_printk("hw_queue=%u viommu=%u type=%#x index=%u", __entry->id,
		      __entry->viommu, __entry->type, __entry->index)
);

TRACE_EVENT(iommufd_veventq_alloc,
	    TP_PROTO(u32 id, u32 viommu, u32 type, u32 depth),
	    TP_ARGS(id, viommu, type, depth),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u32, viommu)
			     __field(u32, type)
			     __field(u32, depth)),
	    TP_fast_assign(__entry->id = id;
			   __entry->viommu = viommu;
			   __entry->type = type;
			   __entry->depth = depth;),
	    TP_printk("veventq=%u viommu=%u type=%#x depth=%u", __entry->id,
		      __entry->viommu, __entry->type, __entry->depth)
);

DECLARE_EVENT_CLASS(iommufd_viommu_destroy,
		    TP_PROTO(u32 id, u32 viommu),
		    TP_ARGS(id, viommu),
		    TP_STRUCT__entry(__field(u32, id)
				     __field(u32, viommu)),
		    TP_fast_assign(__entry->id = id;
				   __entry->viommu = viommu;),
		    TP_printk("id=%u viommu=%u", __entry->id, __entry->viommu)
);

DEFINE_EVENT(iommufd_viommu_destroy, iommufd_viommu_destroy,
	     TP_PROTO(u32 id, u32 viommu),
	     TP_ARGS(id, viommu)
);

/* Emitted when the vDEVICE stops working; its ID may outlive it */
DEFINE_EVENT(iommufd_viommu_destroy, iommufd_vdevice_destroy,
	     TP_PROTO(u32 id, u32 viommu),
	     TP_ARGS(id, viommu)
);

DEFINE_EVENT(iommufd_viommu_destroy, iommufd_viommu_hwpt_destroy,
	     TP_PROTO(u32 id, u32 viommu),
	     TP_ARGS(id, viommu)
);

DEFINE_EVENT(iommufd_viommu_destroy, iommufd_hw_queue_destroy,
	     TP_PROTO(u32 id, u32 viommu),
	     TP_ARGS(id, viommu)
);

DEFINE_EVENT(iommufd_viommu_destroy, iommufd_veventq_destroy,
	     TP_PROTO(u32 id, u32 viommu),
	     TP_ARGS(id, viommu)
);

/* Attach of a device to any page table, also as a replacement */
TRACE_EVENT(iommufd_device_attach,
	    TP_PROTO(struct device *dev, u32 pasid, u32 pt, int ret),
	    TP_ARGS(dev, pasid, pt, ret),
	    TP_STRUCT__entry(__field(u32, pasid)
			     __field(u32, pt)
			     __field(int, ret)
			     __string(dev, dev_name(dev))),
	    TP_fast_assign(__entry->pasid = pasid;
			   __entry->pt = pt;
			   __entry->ret = ret;
			   __assign_str(dev);),
	    TP_printk("dev=%s pasid=%u pt=%u ret=%d", __get_str(dev),
		      __entry->pasid, __entry->pt, __entry->ret)
);

/* @ret: 0 if the VM has a queue for it, else the host logs it */
TRACE_EVENT(iommufd_device_event,
	    TP_PROTO(struct device *dev, u32 type, u32 pasid, int ret),
	    TP_ARGS(dev, type, pasid, ret),
	    TP_STRUCT__entry(__field(u32, type)
			     __field(u32, pasid)
			     __field(int, ret)
			     __string(dev, dev_name(dev))),
	    TP_fast_assign(__entry->type = type;
			   __entry->pasid = pasid;
			   __entry->ret = ret;
			   __assign_str(dev);),
	    TP_printk("dev=%s type=%#x pasid=%u ret=%d", __get_str(dev),
		      __entry->type, __entry->pasid, __entry->ret)
);

/* @num commands were passed in, the first @done are complete in hardware */
TRACE_EVENT(iommufd_viommu_invalidate,
	    TP_PROTO(u32 id, u32 type, u32 num, u32 done, int ret),
	    TP_ARGS(id, type, num, done, ret),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u32, type)
			     __field(u32, num)
			     __field(u32, done)
			     __field(int, ret)),
	    TP_fast_assign(__entry->id = id;
			   __entry->type = type;
			   __entry->num = num;
			   __entry->done = done;
			   __entry->ret = ret;),
	    TP_printk("viommu=%u type=%#x num=%u done=%u ret=%d", __entry->id,
		      __entry->type, __entry->num, __entry->done, __entry->ret)
);

/* @lost: the queue was full; the VMM will miss the number @sequence */
TRACE_EVENT(iommufd_veventq_report,
	    TP_PROTO(u32 id, u32 type, u32 sequence, bool lost),
	    TP_ARGS(id, type, sequence, lost),
	    TP_STRUCT__entry(__field(u32, id)
			     __field(u32, type)
			     __field(u32, sequence)
			     __field(bool, lost)),
	    TP_fast_assign(__entry->id = id;
			   __entry->type = type;
			   __entry->sequence = sequence;
			   __entry->lost = lost;),
	    TP_printk("veventq=%u type=%#x sequence=%u%s", __entry->id,
		      __entry->type, __entry->sequence,
		      __entry->lost ? " lost" : "")
);

#endif /* _TRACE_IOMMUFD_VIOMMU_H */

#include <trace/define_trace.h>
