// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMIDs of an SMMU, among them those that VMs have on the CPUs
 *
 * Owns:	smmu->vmid_map holds each number that anything on this SMMU uses,
 *		and smmu->vm_vmids those of them that a VM has on the CPUs.
 * Held by:	a stage 2 (its own number), a use of one (see
 *		arm-smmu-v3-viommu-s2.c) and a vIOMMU hold one number each.
 * Locks:	those of the IDAs.
 * Dies:	with its holder, which has flushed the number before.
 *
 * The rule: on one SMMU no two stage 2 tables, and no two sets of a guest's
 * ASIDs, have the same VMID. It holds because all holders take their number
 * from vmid_map, whoever comes first, and a number has one holder there. It does
 * not matter where the number comes from: one of the SMMU's own is any free one,
 * and KVM's is taken by its value or not at all. A VM's number cannot become
 * another VM's meanwhile, since KVM keeps it until arm_smmu_vmid_free(), and
 * until then nobody else on the SMMU can get it. After that nothing in the SMMU
 * has it, so KVM may give it to another VM.
 *
 * KVM counts from 1 upwards, so the SMMU's own numbers are in the upper half as
 * long as it has free ones. This only makes it rare that a VM's number is taken.
 */
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <asm/kvm_vmid.h>

#include "arm-smmu-v3-viommu.h"

/**
 * arm_smmu_vmid_alloc() - Allocate one of an SMMU's own VMIDs
 * @smmu: The SMMU
 *
 * Return: the VMID, -ENOSPC if the SMMU has no free one, or -ENOMEM.
 */
int arm_smmu_vmid_alloc(struct arm_smmu_device *smmu)
{
	const unsigned int half = 1 << (smmu->vmid_bits - 1);
	int ret;

	ret = ida_alloc_range(&smmu->vmid_map, half, 2 * half - 1, GFP_KERNEL);
	/* VMID 0 is for STEs without a stage 2 */
	if (ret == -ENOSPC)
		ret = ida_alloc_range(&smmu->vmid_map, 1, half - 1, GFP_KERNEL);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vmid_alloc);

/**
 * arm_smmu_vmid_free() - Free one of an SMMU's own VMIDs
 * @smmu: The SMMU
 * @vmid: The VMID, which no use has any more
 */
void arm_smmu_vmid_free(struct arm_smmu_device *smmu, u16 vmid)
{
	ida_free(&smmu->vmid_map, vmid);
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vmid_free);

/* Neither symbol is there without KVM, or with a KVM that cannot pin VMIDs */
VISIBLE_IF_KUNIT
struct kvm_vmid_pin *arm_smmu_pin_vmid(struct file *vm, u16 *vmid)
{
	struct kvm_vmid_pin *(*pin_vmid)(struct file *vm, u16 *vmid);
	struct kvm_vmid_pin *pin;

	KUNIT_STATIC_STUB_REDIRECT(arm_smmu_pin_vmid, vm, vmid);
	pin_vmid = symbol_get(kvm_arm_pin_vmid);
	if (!pin_vmid)
		return ERR_PTR(-EOPNOTSUPP);
	pin = pin_vmid(vm, vmid);
	symbol_put(kvm_arm_pin_vmid);
	return pin;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_pin_vmid);

VISIBLE_IF_KUNIT
void arm_smmu_unpin_vmid(struct kvm_vmid_pin *pin)
{
	void (*unpin_vmid)(struct kvm_vmid_pin *pin);

	KUNIT_STATIC_STUB_REDIRECT(arm_smmu_unpin_vmid, pin);
	unpin_vmid = symbol_get(kvm_arm_unpin_vmid);
	if (WARN_ON(!unpin_vmid))
		return;
	unpin_vmid(pin);
	symbol_put(kvm_arm_unpin_vmid);
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_unpin_vmid);

/**
 * arm_smmu_vm_vmid_get() - Take the VMID that a VM has on the CPUs
 * @smmu: The SMMU
 * @vm: The VM's file, which the caller holds until arm_smmu_vm_vmid_put()
 * @pin: Filled in with what KVM keeps the number by
 *
 * Return: the VMID; -EBUSY if another vIOMMU on @smmu has it, which is then one
 * of the same VM; -ENOSPC if something else there has it, if @smmu has less
 * bits, or if KVM cannot keep it; -EOPNOTSUPP if it can keep none; or -ENOMEM.
 */
int arm_smmu_vm_vmid_get(struct arm_smmu_device *smmu, struct file *vm,
			 struct kvm_vmid_pin **pin)
{
	u16 vmid;
	int ret;

	*pin = arm_smmu_pin_vmid(vm, &vmid);
	if (IS_ERR(*pin))
		return PTR_ERR(*pin);

	ret = -ENOSPC;
	if (vmid >= 1 << smmu->vmid_bits)
		goto err_unpin;
	ret = ida_alloc_range(&smmu->vm_vmids, vmid, vmid, GFP_KERNEL);
	if (ret < 0) {
		if (ret == -ENOSPC)
			ret = -EBUSY;
		goto err_unpin;
	}
	ret = ida_alloc_range(&smmu->vmid_map, vmid, vmid, GFP_KERNEL);
	if (ret < 0)
		goto err_free;
	return vmid;

err_free:
	ida_free(&smmu->vm_vmids, vmid);
err_unpin:
	arm_smmu_unpin_vmid(*pin);
	return ret;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vm_vmid_get);

/**
 * arm_smmu_vm_vmid_put() - Undo arm_smmu_vm_vmid_get()
 * @smmu: The SMMU
 * @vmid: The VMID, which no STE and no cache of @smmu has any more
 * @pin: What KVM keeps the number by
 */
void arm_smmu_vm_vmid_put(struct arm_smmu_device *smmu, u16 vmid,
			  struct kvm_vmid_pin *pin)
{
	ida_free(&smmu->vmid_map, vmid);
	ida_free(&smmu->vm_vmids, vmid);
	arm_smmu_unpin_vmid(pin);
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vm_vmid_put);
