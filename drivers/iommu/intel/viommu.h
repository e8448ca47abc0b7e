/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vIOMMU on VT-d: shared by its files, the driver's other files and the tests
 */
#ifndef _INTEL_VIOMMU_H
#define _INTEL_VIOMMU_H

#include <linux/hashtable.h>
#include <linux/iommufd_viommu.h>
#include <linux/mutex.h>

#include "iommu.h"
#include "pasid.h"

/*
 * The most descriptors in one submission to the invalidation queue. Half of the
 * queue: one that needs all of it would wait until nobody else uses it.
 */
#define INTEL_VINV_DESCS	(QI_LENGTH / 2 - 2)

/* The part of the domain IDs of a unit that one vIOMMU may use */
#define INTEL_VIOMMU_DID_SHARE	4

/* The order of a range that is everything */
#define INTEL_VINV_ALL		(64 - VTD_PAGE_SHIFT)

/**
 * enum intel_vpe_kind - What a guest's PASID table entry does
 * @INTEL_VPE_BLOCKED: It is not present
 * @INTEL_VPE_BYPASS: It passes through, which is the second stage alone
 * @INTEL_VPE_NESTED: It has a first stage, which nests in the second
 */
enum intel_vpe_kind {
	INTEL_VPE_BLOCKED,
	INTEL_VPE_BYPASS,
	INTEL_VPE_NESTED,
};

/**
 * struct intel_vpe - A guest's PASID table entry, validated
 * @kind: What it does
 * @did: The guest's domain ID
 * @s1: Its first stage, with INTEL_VPE_NESTED
 */
struct intel_vpe {
	enum intel_vpe_kind kind;
	u16 did;
	struct iommu_hwpt_vtd_s1 s1;
};

/**
 * enum intel_vinv_scope - Which caches a guest's descriptor is about
 * @INTEL_VINV_VM: All of the VM on this IOMMU
 * @INTEL_VINV_DID: All of a guest's domain ID
 * @INTEL_VINV_PASID: A range of a guest's domain ID and PASID
 * @INTEL_VINV_DEV: A range of a device, for requests without a PASID
 * @INTEL_VINV_DEV_PASID: A range of a device and a PASID
 * @INTEL_VINV_DEV_PASIDS: A range of a device, for requests with any PASID
 */
enum intel_vinv_scope {
	INTEL_VINV_VM,
	INTEL_VINV_DID,
	INTEL_VINV_PASID,
	INTEL_VINV_DEV,
	INTEL_VINV_DEV_PASID,
	INTEL_VINV_DEV_PASIDS,
};

/**
 * struct intel_vinv - A guest's descriptor, validated
 * @scope: Which caches it is about
 * @did: The guest's domain ID, with INTEL_VINV_DID and INTEL_VINV_PASID
 * @sid: The requester ID in the VM, with INTEL_VINV_DEV and those after it
 * @order: Log2 of the number of pages of the range, INTEL_VINV_ALL if the range
 *	   is everything
 * @ih: Only leaf entries have changed
 * @pasid: The PASID
 * @addr: The start of the range, on a multiple of its size
 */
struct intel_vinv {
	enum intel_vinv_scope scope;
	u16 did;
	u16 sid;
	u8 order;
	bool ih;
	u32 pasid;
	u64 addr;
};

struct intel_vinv_batch;

/**
 * struct intel_viommu - The part of a VT-d unit that a VM uses
 * @core: The core's part, must be first
 * @iommu: The unit
 * @s2: The second stage of the VM, kept alive by @core
 * @call_lock: Taken for a call of IOMMU_HWPT_INVALIDATE; guards @batch. User
 *	       memory is accessed under it.
 * @lock: Taken from the lookup of domains and devices until the descriptors
 *	  that result are complete; guards @nested and @nr_dids
 * @nested: The nested domains, by the guest's domain ID
 * @nr_dids: How many of them use a domain ID of the unit while attached
 * @max_dids: The most that may
 * @batch: Buffers for one call
 */
struct intel_viommu {
	struct iommufd_viommu core;
	struct intel_iommu *iommu;
	struct dmar_domain *s2;
	struct mutex call_lock; /* guards batch */
	struct mutex lock; /* guards nested, nr_dids */
	DECLARE_HASHTABLE(nested, 6);
	u32 nr_dids;
	u32 max_dids;
	struct intel_vinv_batch *batch;
};

/**
 * struct intel_vdevice - A device under the requester ID that a VM knows
 * @core: The core's part, must be first
 * @info: The driver's data of the device
 * @node: In the list of the unit's devices that faults are reported for
 */
struct intel_vdevice {
	struct iommufd_vdevice core;
	struct device_domain_info *info;
	struct list_head node;
};

/**
 * struct intel_viommu_domain - A guest's PASID table entry
 * @domain: The domain, must be first. While attached it has a domain ID and cache
 *	    tags like any nested one, unless it blocks: no cache has anything of it
 *	    then.
 * @viommu: The vIOMMU that it is on, kept alive by its HWPT
 * @node: In &intel_viommu.nested
 * @kind: What the guest's entry does
 * @guest_did: The guest's domain ID
 */
struct intel_viommu_domain {
	struct dmar_domain domain;
	struct intel_viommu *viommu;
	struct hlist_node node;
	enum intel_vpe_kind kind;
	u16 guest_did;
};

static inline struct intel_viommu *to_intel_viommu(struct iommufd_viommu *core)
{
	return container_of(core, struct intel_viommu, core);
}

static inline struct intel_viommu_domain *
to_intel_viommu_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct intel_viommu_domain, domain.domain);
}

struct intel_vinv_batch *intel_vinv_batch_alloc(void);
void intel_vinv_batch_free(struct intel_vinv_batch *batch);
int intel_viommu_cache_invalidate(struct iommufd_viommu *core,
				  struct iommu_user_data_array *array);

int intel_viommu_faults_alloc(struct intel_iommu *iommu);
void intel_viommu_faults_add(struct intel_vdevice *vdev);
void intel_viommu_faults_del(struct intel_vdevice *vdev);

/* Pure functions */
int intel_vpe_check(u64 cap, u64 ecap, const __le64 *pe, struct intel_vpe *vpe);
int intel_vinv_check(u64 cap, u64 ecap, const u64 *desc, struct intel_vinv *inv);
bool intel_vfault_to_guest(u64 lo, u64 hi, __le64 *rec);

#endif /* _INTEL_VIOMMU_H */
