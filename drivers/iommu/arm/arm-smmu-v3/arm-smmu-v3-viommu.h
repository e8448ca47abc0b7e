/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vIOMMU on the SMMUv3: shared by its files, arm-smmu-v3.c and the tests
 */
#ifndef _ARM_SMMU_V3_VIOMMU_H
#define _ARM_SMMU_V3_VIOMMU_H

#include <linux/iommufd_viommu.h>

#include "arm-smmu-v3.h"

struct kvm_vmid_pin;

/* The longest range that is sent address by address: one list of commands */
#define ARM_SMMU_VCMD_REPEAT_MAX	(CMDQ_BATCH_ENTRIES - 1)

/**
 * struct arm_smmu_vcmd_caps - The guest commands that the hardware supports
 * @ril: Range invalidation and level hints (IDR3.RIL)
 * @ats: CMD_ATC_INV (IDR0.ATS)
 * @ds: 6 bits of SCALE (IDR5.DS)
 * @asid16: 16 bits of ASID, else 8 (IDR0.ASID16)
 * @ssid_bits: Width of a SubstreamID, 0 if there is none (IDR1.SSIDSIZE)
 */
struct arm_smmu_vcmd_caps {
	bool ril;
	bool ats;
	bool ds;
	bool asid16;
	u8 ssid_bits;
};

/**
 * struct arm_smmu_btm_caps - What a TLBI of a CPU can name
 * @vmid_bits: Width of a VMID
 * @asid_bits: Width of an ASID
 * @ranges: Ranges of addresses (FEAT_TLBIRANGE; IDR3.RIL of an SMMU)
 */
struct arm_smmu_btm_caps {
	u8 vmid_bits;
	u8 asid_bits;
	bool ranges;
};

/**
 * enum arm_smmu_vcmd_kind - The remaining work on a translated command
 * @ARM_SMMU_VCMD_CFGI: Replace the virtual StreamID in bits 63:32 of word 0
 * @ARM_SMMU_VCMD_TLBI: Nothing
 * @ARM_SMMU_VCMD_ATC: As for CFGI
 *
 * In the order in which caches fill from each other: a command of one kind must
 * be complete before one of a later kind starts. Otherwise the later cache
 * could refill with stale data from the earlier one.
 */
enum arm_smmu_vcmd_kind {
	ARM_SMMU_VCMD_CFGI,
	ARM_SMMU_VCMD_TLBI,
	ARM_SMMU_VCMD_ATC,
};

/**
 * struct arm_smmu_vcmd - How to send a translated command
 * @repeat: How often to send it where the hardware knows no ranges: at most
 *	    ARM_SMMU_VCMD_REPEAT_MAX times, each for another address
 * @step: Bytes from one address to the next; set if @repeat is more than 1
 * @free: The bits of each word that were passed on unchanged and have decided
 *	  nothing, given all others. A guest that unmaps a buffer sends many
 *	  commands that differ in the address alone.
 */
struct arm_smmu_vcmd {
	u32 repeat;
	u64 step;
	u64 free[CMDQ_ENT_DWORDS];
};

/**
 * struct arm_smmu_s2_use - A stage 2 on one SMMU under one VMID
 * @s2_elm: In arm_smmu_domain::s2_uses, under its s2_uses_lock
 * @smmu: The SMMU
 * @vmid: The VMID. Before and after the life of the use no STE has it and the
 *        TLB has no entries for it.
 * @nested: TLB entries may combine it with a stage 1
 */
struct arm_smmu_s2_use {
	struct list_head s2_elm;
	struct arm_smmu_device *smmu;
	u16 vmid;
	bool nested;
};

/**
 * struct arm_smmu_viommu - The part of an SMMU that a VM uses
 * @core: The core's part, must be first
 * @s2_parent: The stage 2 of the VM, kept alive by @core
 * @use: The SMMU, and the VMID of this vIOMMU
 * @pin: What KVM keeps the VMID by, if it is that of the VM in @core
 * @caps: Commands that the SMMU supports
 * @atc_rwsem: Taken to read from the lookup of a device until a CMD_ATC_INV to
 *	       it is complete; a virtual device that goes waits for these. Under
 *	       it arm_smmu_master::atc_rwsem.
 */
struct arm_smmu_viommu {
	struct iommufd_viommu core;
	struct arm_smmu_domain *s2_parent;
	struct arm_smmu_s2_use use;
	struct kvm_vmid_pin *pin;
	struct arm_smmu_vcmd_caps caps;
	struct rw_semaphore atc_rwsem;
};

/**
 * struct arm_smmu_vdevice - A device under the StreamID that a VM knows
 * @core_vdev: The core's part, must be first
 * @master: The device
 * @sid: Its only StreamID
 */
struct arm_smmu_vdevice {
	struct iommufd_vdevice core_vdev;
	struct arm_smmu_master *master;
	u32 sid;
};

/**
 * struct arm_smmu_nested_domain - A guest's STE
 * @domain: The domain
 * @viommu: The vIOMMU that it is on, kept alive by its HWPT
 * @enable_ats: Whether the guest's STE lets the device use ATS
 * @ste: Words 0 and 1 of the guest's STE, valid, without EATS
 */
struct arm_smmu_nested_domain {
	struct iommu_domain domain;
	struct arm_smmu_viommu *viommu;
	bool enable_ats;
	__le64 ste[2];
};

static inline struct arm_smmu_viommu *
to_smmu_viommu(struct iommufd_viommu *viommu)
{
	return container_of(viommu, struct arm_smmu_viommu, core);
}

static inline struct arm_smmu_nested_domain *
to_smmu_nested_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct arm_smmu_nested_domain, domain);
}

/* Shared by the types of vIOMMU on this driver */
int arm_smmu_viommu_supported(struct device *dev);
bool arm_smmu_viommu_offered(struct iommu_device *iommu);
int arm_smmu_viommu_init(struct iommufd_viommu *core, struct device *dev,
			 const struct iommu_user_data *user_data);
void arm_smmu_viommu_release(struct iommufd_viommu *core);
struct iommu_domain *
arm_smmu_viommu_alloc_nested(struct iommufd_viommu *core, struct device *dev,
			     u32 flags, const struct iommu_user_data *user_data);
bool arm_smmu_viommu_nested_translates(struct iommu_domain *domain);
int arm_smmu_viommu_cache_invalidate(struct iommufd_viommu *core,
				     struct iommu_user_data_array *array);
int arm_smmu_viommu_vdevice_init(struct iommufd_vdevice *core_vdev);
void arm_smmu_viommu_vdevice_release(struct iommufd_vdevice *core_vdev);

void arm_smmu_vmid_free(struct arm_smmu_device *smmu, u16 vmid);
int arm_smmu_vm_vmid_get(struct arm_smmu_device *smmu, struct file *vm,
			 struct kvm_vmid_pin **pin);
void arm_smmu_vm_vmid_put(struct arm_smmu_device *smmu, u16 vmid,
			  struct kvm_vmid_pin *pin);
void arm_smmu_s2_use_add(struct arm_smmu_domain *s2,
			 struct arm_smmu_s2_use *use,
			 struct arm_smmu_device *smmu, u16 vmid, bool nested);
void arm_smmu_s2_use_del(struct arm_smmu_domain *s2,
			 struct arm_smmu_s2_use *use);
bool arm_smmu_s2_fits(struct arm_smmu_domain *s2, struct arm_smmu_device *smmu);

/* Pure functions */
int arm_smmu_vste_check(__le64 *vste, bool *enable_ats);
void arm_smmu_make_nested_ste(struct arm_smmu_ste *target,
			      const struct arm_smmu_ste *s2,
			      const __le64 *vste, bool force_s1stalld);
bool arm_smmu_event_to_guest(const u64 *evt, __le64 *vevt);
int arm_smmu_vcmd_translate(const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			    u64 *cmd, struct arm_smmu_vcmd *vcmd);
u32 arm_smmu_vcmd_follow(const u64 *free, const u64 *guest, const u64 *host,
			 u64 *cmds, u32 n);
const char *arm_smmu_btm_obstacle(const struct arm_smmu_btm_caps *smmu,
				  const struct arm_smmu_btm_caps *cpus);

#if IS_ENABLED(CONFIG_KUNIT)
struct kvm_vmid_pin *arm_smmu_pin_vmid(struct file *vm, u16 *vmid);
void arm_smmu_unpin_vmid(struct kvm_vmid_pin *pin);
#endif

#endif /* _ARM_SMMU_V3_VIOMMU_H */
