// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what an SMMU shares with the CPUs: VMIDs of VMs beside its own ones,
 * and whether it could miss a TLBI.
 *
 * The test stands in for KVM: it gives each VM the number that a test sets, and
 * counts the pins.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/idr.h>

#include "arm-smmu-v3-viommu.h"

#define NR_VMS		3
#define NR_SMMUS	2

struct vmid_test {
	struct arm_smmu_device smmus[NR_SMMUS];
	/* Only the addresses of the files count; so do those of the pins */
	struct file *vms;
	u16 vmids[NR_VMS];
	int pins[NR_VMS];
	/* What KVM answers if not 0 */
	int error;
};

static struct kvm_vmid_pin *fake_pin_vmid(struct file *vm, u16 *vmid)
{
	struct vmid_test *t = kunit_get_current_test()->priv;
	size_t i = vm - t->vms;

	if (t->error)
		return ERR_PTR(t->error);
	t->pins[i]++;
	*vmid = t->vmids[i];
	return (struct kvm_vmid_pin *)&t->pins[i];
}

static void fake_unpin_vmid(struct kvm_vmid_pin *pin)
{
	(*(int *)pin)--;
}

static int vmid_test_init(struct kunit *test)
{
	struct vmid_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->vms = kunit_kcalloc(test, NR_VMS, sizeof(*t->vms), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->vms);
	for (i = 0; i < NR_SMMUS; i++) {
		t->smmus[i].vmid_bits = 16;
		ida_init(&t->smmus[i].vmid_map);
		ida_init(&t->smmus[i].vm_vmids);
	}
	for (i = 0; i < NR_VMS; i++)
		t->vmids[i] = i + 1;
	test->priv = t;
	kunit_activate_static_stub(test, arm_smmu_pin_vmid, fake_pin_vmid);
	kunit_activate_static_stub(test, arm_smmu_unpin_vmid, fake_unpin_vmid);
	return 0;
}

static void vmid_test_exit(struct kunit *test)
{
	struct vmid_test *t = test->priv;
	int i;

	for (i = 0; i < NR_SMMUS; i++) {
		ida_destroy(&t->smmus[i].vmid_map);
		ida_destroy(&t->smmus[i].vm_vmids);
	}
}

static int get(struct vmid_test *t, int smmu, int vm)
{
	struct kvm_vmid_pin *pin;

	return arm_smmu_vm_vmid_get(&t->smmus[smmu], &t->vms[vm], &pin);
}

static void put(struct vmid_test *t, int smmu, int vm)
{
	arm_smmu_vm_vmid_put(&t->smmus[smmu], t->vmids[vm],
			     (struct kvm_vmid_pin *)&t->pins[vm]);
}

/* Each number once, never 0, and not that of a VM, which comes first or later */
static void vmid_test_numbers_are_kept_apart(struct kunit *test)
{
	struct vmid_test *t = test->priv;
	struct arm_smmu_device *smmu = &t->smmus[0];
	int i, vmid;

	smmu->vmid_bits = 8;
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), 1);
	t->vmids[1] = 200;
	KUNIT_EXPECT_EQ(test, get(t, 0, 1), 200);

	for (i = 0; i < 127; i++) {
		vmid = arm_smmu_vmid_alloc(smmu);
		KUNIT_EXPECT_EQ(test, vmid, 128 + i + (128 + i >= 200));
	}
	/* A VM may come as long as the lower half is free */
	t->vmids[2] = 77;
	KUNIT_EXPECT_EQ(test, get(t, 0, 2), 77);
	for (i = 0; i < 125; i++) {
		vmid = arm_smmu_vmid_alloc(smmu);
		KUNIT_EXPECT_EQ(test, vmid, 2 + i + (2 + i >= 77));
	}
	KUNIT_EXPECT_EQ(test, arm_smmu_vmid_alloc(smmu), -ENOSPC);

	/* What a VM leaves is for others, and the reverse */
	put(t, 0, 1);
	KUNIT_EXPECT_EQ(test, t->pins[1], 0);
	KUNIT_EXPECT_EQ(test, arm_smmu_vmid_alloc(smmu), 200);
	KUNIT_EXPECT_EQ(test, get(t, 0, 1), -ENOSPC);
	KUNIT_EXPECT_EQ(test, t->pins[1], 0);
	arm_smmu_vmid_free(smmu, 200);
	KUNIT_EXPECT_EQ(test, get(t, 0, 1), 200);
	KUNIT_EXPECT_EQ(test, t->pins[1], 1);
}

/* The number of a VM is one that a stage 2 on the SMMU has already */
static void vmid_test_taken(struct kunit *test)
{
	struct vmid_test *t = test->priv;
	int vmid = arm_smmu_vmid_alloc(&t->smmus[0]);

	KUNIT_EXPECT_EQ(test, vmid, 0x8000);
	t->vmids[0] = vmid;
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), -ENOSPC);
	KUNIT_EXPECT_EQ(test, t->pins[0], 0);
	/* It is free on the other SMMU, and nothing was left behind on this one */
	KUNIT_EXPECT_EQ(test, get(t, 1, 0), 0x8000);
	KUNIT_EXPECT_EQ(test, t->pins[0], 1);
	arm_smmu_vmid_free(&t->smmus[0], vmid);
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), 0x8000);
	KUNIT_EXPECT_EQ(test, t->pins[0], 2);
	put(t, 0, 0);
	KUNIT_EXPECT_EQ(test, t->pins[0], 1);
	/* The other SMMU's is still there */
	KUNIT_EXPECT_EQ(test, get(t, 1, 0), -EBUSY);
	put(t, 1, 0);
	KUNIT_EXPECT_EQ(test, t->pins[0], 0);
}

/* A second vIOMMU of a VM on one SMMU would share the guest's ASIDs */
static void vmid_test_once_per_smmu(struct kunit *test)
{
	struct vmid_test *t = test->priv;

	KUNIT_EXPECT_EQ(test, get(t, 0, 0), 1);
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, t->pins[0], 1);
	KUNIT_EXPECT_EQ(test, get(t, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, get(t, 0, 1), 2);
	KUNIT_EXPECT_EQ(test, t->pins[0], 2);
	KUNIT_EXPECT_EQ(test, t->pins[1], 1);

	put(t, 0, 0);
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), 1);
	KUNIT_EXPECT_EQ(test, t->pins[0], 2);
}

static void vmid_test_width(struct kunit *test)
{
	struct vmid_test *t = test->priv;

	t->smmus[0].vmid_bits = 8;
	t->vmids[0] = 256;
	t->vmids[1] = 255;
	t->vmids[2] = 65535;
	KUNIT_EXPECT_EQ(test, get(t, 0, 0), -ENOSPC);
	KUNIT_EXPECT_EQ(test, get(t, 0, 1), 255);
	KUNIT_EXPECT_EQ(test, get(t, 0, 2), -ENOSPC);
	KUNIT_EXPECT_EQ(test, t->pins[0], 0);
	KUNIT_EXPECT_EQ(test, t->pins[1], 1);
	KUNIT_EXPECT_EQ(test, t->pins[2], 0);
	KUNIT_EXPECT_EQ(test, get(t, 1, 0), 256);
	KUNIT_EXPECT_EQ(test, get(t, 1, 2), 65535);
}

static void vmid_test_kvm_refuses(struct kunit *test)
{
	static const int errors[] = { -EOPNOTSUPP, -ENOSPC, -EINVAL, -ENOMEM };
	struct vmid_test *t = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		t->error = errors[i];
		KUNIT_EXPECT_EQ(test, get(t, 0, 0), errors[i]);
	}
	KUNIT_EXPECT_TRUE(test, ida_is_empty(&t->smmus[0].vmid_map));
	KUNIT_EXPECT_TRUE(test, ida_is_empty(&t->smmus[0].vm_vmids));
}

/* All combinations: the SMMU must know all that the CPUs name */
static void vmid_test_broadcasts(struct kunit *test)
{
	int i, usable = 0;

	for (i = 0; i < 64; i++) {
		const struct arm_smmu_btm_caps smmu = {
			.vmid_bits = i & 1 ? 16 : 8,
			.asid_bits = i & 2 ? 16 : 8,
			.ranges = i & 4,
		};
		const struct arm_smmu_btm_caps cpus = {
			.vmid_bits = i & 8 ? 16 : 8,
			.asid_bits = i & 16 ? 16 : 8,
			.ranges = i & 32,
		};
		bool ok = !arm_smmu_btm_obstacle(&smmu, &cpus);

		KUNIT_EXPECT_EQ_MSG(test, ok, !((i >> 3) & ~i & 7),
				    "combination %d", i);
		usable += ok;
	}
	KUNIT_EXPECT_EQ(test, usable, 27);
}

static struct kunit_case arm_smmu_v3_viommu_vmid_test_cases[] = {
	KUNIT_CASE(vmid_test_numbers_are_kept_apart),
	KUNIT_CASE(vmid_test_taken),
	KUNIT_CASE(vmid_test_once_per_smmu),
	KUNIT_CASE(vmid_test_width),
	KUNIT_CASE(vmid_test_kvm_refuses),
	KUNIT_CASE(vmid_test_broadcasts),
	{},
};

static struct kunit_suite arm_smmu_v3_viommu_vmid_test_suite = {
	.name = "arm-smmu-v3-viommu-vmid-kunit-test",
	.init = vmid_test_init,
	.exit = vmid_test_exit,
	.test_cases = arm_smmu_v3_viommu_vmid_test_cases,
};

kunit_test_suites(&arm_smmu_v3_viommu_vmid_test_suite);

MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_DESCRIPTION("KUnit tests for the VMIDs of the arm-smmu-v3 driver");
MODULE_LICENSE("GPL");
