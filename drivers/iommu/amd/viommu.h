/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vIOMMU on the AMD IOMMU: shared by its files and the tests
 */
#ifndef _AMD_VIOMMU_H
#define _AMD_VIOMMU_H

#include <linux/hashtable.h>
#include <linux/iommufd_viommu.h>
#include <linux/mutex.h>

#include "amd_iommu.h"

/*
 * The most commands in one submission. Half of the command buffer: one that
 * needs all of it would wait until nobody else uses it.
 */
#define AMD_VCMD_CHUNK		(CMD_BUFFER_ENTRIES / 2)

/* The most DomainIDs of the host for one vIOMMU */
#define AMD_VIOMMU_DOMIDS	1024

/* Address bits of a nesting parent, which has a table of 4 levels */
#define AMD_VIOMMU_S2_BITS	PM_LEVEL_SHIFT(PAGE_MODE_4_LEVEL)

/**
 * enum amd_vdte_kind - What a guest's device table entry does
 * @AMD_VDTE_BLOCKED: Nothing passes
 * @AMD_VDTE_BYPASS: Requests pass the guest's IOMMU
 * @AMD_VDTE_NESTED: A GCR3 table translates, nested in the nesting parent
 */
enum amd_vdte_kind {
	AMD_VDTE_BLOCKED,
	AMD_VDTE_BYPASS,
	AMD_VDTE_NESTED,
};

/**
 * struct amd_vdte - A guest's device table entry, validated
 * @kind: What it does
 * @domid: The guest's DomainID
 * @ats: The guest invalidates the device TLB itself
 * @q0: IR and IW; with AMD_VDTE_NESTED also GLX, GIOV and bits 14:12 of the GCR3
 *	root
 * @q1: With AMD_VDTE_NESTED, bits 51:15 of the GCR3 root
 * @q2: With AMD_VDTE_NESTED, GuestPagingMode
 *
 * The words have the fields where the entry has them.
 */
struct amd_vdte {
	enum amd_vdte_kind kind;
	u16 domid;
	bool ats;
	u64 q0;
	u64 q1;
	u64 q2;
};

/**
 * struct amd_vdte_host - The host's part of a device table entry
 * @s2: Root and Mode of the nesting parent's table, as in the entry
 * @domid: DomainID of the host
 * @ats: The device uses ATS
 * @dirty: The hardware writes dirty bits of the nesting parent
 */
struct amd_vdte_host {
	u64 s2;
	u16 domid;
	bool ats;
	bool dirty;
};

/* The most writes for a change of a device table entry */
#define AMD_VDTE_STEPS		3

/**
 * struct amd_vdte_step - One write to a device table entry
 * @upper: Write the upper 128 bits, of which only GuestPagingMode changes;
 *	   otherwise the lower ones
 * @settle: Before the next step the IOMMU must not have the former entry
 * @to: What the entry then is
 */
struct amd_vdte_step {
	bool upper;
	bool settle;
	struct dev_table_entry to;
};

/**
 * enum amd_vcmd_scope - Which caches a guest's command is about
 * @AMD_VCMD_NONE: None
 * @AMD_VCMD_DEVTAB: The device table entry of a device
 * @AMD_VCMD_DOMAIN: All of a DomainID
 * @AMD_VCMD_PASID: A range of a DomainID and a PASID
 * @AMD_VCMD_DEV: A range of a device, for requests without PASID
 * @AMD_VCMD_DEV_PASID: A range of a device, for a PASID. PASID 0 includes
 *			requests without one.
 * @AMD_VCMD_VM: All of the VM on this IOMMU
 */
enum amd_vcmd_scope {
	AMD_VCMD_NONE,
	AMD_VCMD_DEVTAB,
	AMD_VCMD_DOMAIN,
	AMD_VCMD_PASID,
	AMD_VCMD_DEV,
	AMD_VCMD_DEV_PASID,
	AMD_VCMD_VM,
};

/**
 * struct amd_vcmd - A guest's command, validated
 * @scope: Which caches it is about
 * @id: The guest's DomainID or DeviceID
 * @pde: Entries of upper levels have changed, too
 * @pasid: The PASID
 * @range: Address and S as in a command
 */
struct amd_vcmd {
	enum amd_vcmd_scope scope;
	u16 id;
	bool pde;
	u32 pasid;
	u64 range;
};

/* Address and S of a range that is everything */
#define AMD_VCMD_ALL	((CMD_INV_IOMMU_ALL_PAGES_ADDRESS & PAGE_MASK) | \
			 CMD_INV_IOMMU_PAGES_SIZE_MASK)

struct amd_vcmd_batch;

/**
 * struct amd_viommu - The part of an AMD IOMMU that a VM uses
 * @core: The core's part, must be first
 * @iommu: The IOMMU
 * @s2: The nesting parent, kept alive by @core
 * @node: In &protection_domain.viommus of @s2 while there are @nr_devs, guarded by
 *	  its lock
 * @call_lock: Taken for a call of IOMMU_HWPT_INVALIDATE; guards @batch. User
 *	       memory is accessed under it.
 * @lock: Taken from the lookup of domains and devices until the commands that
 *	  result are complete. Guards @nr_domids, @hung, @silent and @vdevs;
 *	  and together with the lock of @s2, either to read and both to write,
 *	  @domids and @devs.
 * @domids: List of struct amd_vdomid, by the guest's DomainID
 * @nr_domids: How many there are
 * @devs: The attached devices, by &iommu_dev_data.list
 * @nr_devs: How many there are, and those that have just left with a DomainID that
 *	     is not flushed yet; guarded by the lock of @s2
 * @hung: Number of a COMPLETION_WAIT behind commands of the guest that timed out,
 *	  or 0
 * @silent: How many of @devs use ATS without the guest knowing
 * @vdevs: List of struct amd_vdevice
 * @batch: Buffers for one call
 */
struct amd_viommu {
	struct iommufd_viommu core;
	struct amd_iommu *iommu;
	struct protection_domain *s2;
	struct list_head node;
	struct mutex call_lock; /* guards batch */
	struct mutex lock; /* see above */
	DECLARE_HASHTABLE(domids, 6);
	unsigned int nr_domids;
	struct list_head devs;
	unsigned int nr_devs;
	u64 hung;
	unsigned int silent;
	struct list_head vdevs;
	struct amd_vcmd_batch *batch;
};

/**
 * struct amd_vdomid - A DomainID of a guest, and the host's for it
 * @node: In &amd_viommu.domids
 * @guest: The guest's
 * @host: The host's, of this vIOMMU only
 * @users: Nested domains with it, guarded by &amd_viommu.lock
 * @devs: Devices attached with it, guarded as &amd_viommu.domids. Without any,
 *	  no TLB has something of it.
 * @stuck: The IOMMU did not complete a flush, so never use the host's again
 */
struct amd_vdomid {
	struct hlist_node node;
	u16 guest;
	u16 host;
	unsigned int users;
	unsigned int devs;
	bool stuck;
};

/**
 * struct amd_vdevice - A device under the DeviceID that a VM knows
 * @core: The core's part, must be first
 * @dev_data: The driver's data of the device
 * @node: In &amd_viommu.vdevs
 * @event_node: In the list of devices that events are reported for
 */
struct amd_vdevice {
	struct iommufd_vdevice core;
	struct iommu_dev_data *dev_data;
	struct list_head node;
	struct list_head event_node;
};

/**
 * struct amd_viommu_domain - A guest's device table entry as a domain
 * @domain: The domain, must be first
 * @viommu: The vIOMMU that it is on, kept alive by its HWPT
 * @vdte: The entry
 * @domid: Its DomainID, with AMD_VDTE_NESTED, otherwise NULL
 */
struct amd_viommu_domain {
	struct iommu_domain domain;
	struct amd_viommu *viommu;
	struct amd_vdte vdte;
	struct amd_vdomid *domid;
};

static inline struct amd_viommu *to_amd_viommu(struct iommufd_viommu *core)
{
	return container_of(core, struct amd_viommu, core);
}

static inline struct amd_viommu_domain *
to_amd_viommu_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct amd_viommu_domain, domain);
}

extern const struct iommufd_viommu_ops amd_viommu_ops;
extern bool amd_viommu_flush_all;

int amd_viommu_attach_dev(struct iommu_domain *domain, struct device *dev);

struct amd_vcmd_batch *amd_vcmd_batch_alloc(void);
void amd_vcmd_batch_free(struct amd_vcmd_batch *batch);
int amd_viommu_cache_invalidate(struct iommufd_viommu *core,
				struct iommu_user_data_array *array);
bool amd_viommu_hangs(struct amd_iommu *iommu, u64 seq);
int amd_viommu_submit(struct amd_iommu *iommu, const struct iommu_cmd *cmds,
		      u32 n, u32 *done);

void amd_viommu_events_add(struct amd_vdevice *vdev);
void amd_viommu_events_del(struct amd_vdevice *vdev);

/* Pure functions */
int amd_vdte_check(u64 efr, const u64 *dte, struct amd_vdte *vdte);
void amd_vdte_make(const struct amd_vdte *vdte, const struct amd_vdte_host *host,
		   const struct dev_table_entry *cur,
		   struct dev_table_entry *new);
unsigned int amd_vdte_plan(const struct dev_table_entry *cur,
			   const struct dev_table_entry *new,
			   struct amd_vdte_step *steps);
int amd_vcmd_check(u64 efr, const u32 *cmd, struct amd_vcmd *vcmd);
void amd_vcmd_make_devtab(struct iommu_cmd *cmd, u16 devid);
void amd_vcmd_make_pages(struct iommu_cmd *cmd, u16 domid,
			 const struct amd_vcmd *vcmd);
void amd_vcmd_make_domain(struct iommu_cmd *cmd, u16 domid, bool all);
void amd_vcmd_make_iotlb(struct iommu_cmd *cmd, u16 devid, int qdep, u64 range);
void amd_vcmd_make_iotlb_pasid(struct iommu_cmd *cmd, u16 devid, int qdep,
			       u64 range, u32 pasid);
bool amd_vevent_to_guest(const u32 *event, u32 *evt);

/* Make a command that drops everything of a DomainID, of each PASID as well */
static inline void amd_viommu_make_flush(struct iommu_cmd *cmd, u16 domid)
{
	amd_vcmd_make_domain(cmd, domid,
			     amd_viommu_flush_all && check_feature(FEATURE_IA));
}

#endif /* _AMD_VIOMMU_H */
