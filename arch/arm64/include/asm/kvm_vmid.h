/* SPDX-License-Identifier: GPL-2.0-only */
/* VMIDs of VMs that do not change while an IOMMU uses them too */
#ifndef __ARM64_KVM_VMID_H
#define __ARM64_KVM_VMID_H

#include <linux/types.h>

struct file;
struct kvm_vmid_pin;

/* Only with CONFIG_KVM_PIN_VMID. Call them by symbol_get(). */
struct kvm_vmid_pin *kvm_arm_pin_vmid(struct file *vm, u16 *vmid);
void kvm_arm_unpin_vmid(struct kvm_vmid_pin *pin);

#endif /* __ARM64_KVM_VMID_H */
