// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of pinned VMIDs. vmid.c includes this file.
 *
 * They run while the kernel boots, before there is a VM. Each test starts with an
 * allocator of its own, with 8 or 16 bits, and VMs of which only the VMIDs exist.
 */
#include <kunit/test.h>

static struct {
	unsigned int bits;
	unsigned long *map;
	unsigned long *pinned;
} vmid_test_saved;

static void vmid_test_reset(unsigned int bits)
{
	int cpu;

	kvm_arm_vmid_bits = bits;
	atomic64_set(&vmid_generation, VMID_FIRST_VERSION);
	for_each_possible_cpu(cpu) {
		atomic64_set(&per_cpu(active_vmids, cpu), 0);
		per_cpu(reserved_vmids, cpu) = 0;
	}
}

static int vmid_test_init(struct kunit *test)
{
	const size_t size = BITS_TO_LONGS(1 << 16) * sizeof(long);
	unsigned long *map, *pinned;

	/* A rollover is a call of the hypervisor */
	KUNIT_ASSERT_NOT_NULL(test, vmid_map);
	map = kunit_kzalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, map);
	pinned = kunit_kzalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pinned);

	vmid_test_saved.bits = kvm_arm_vmid_bits;
	vmid_test_saved.map = vmid_map;
	vmid_test_saved.pinned = pinned_vmids;
	vmid_map = map;
	pinned_vmids = pinned;
	vmid_test_reset(8);
	return 0;
}

static void vmid_test_exit(struct kunit *test)
{
	struct kvm_vmid_pin *pin, *next;

	if (!vmid_test_saved.map)
		return;
	/* What is left if an assertion failed */
	list_for_each_entry_safe(pin, next, &vmid_pins, node)
		kfree(pin);
	INIT_LIST_HEAD(&vmid_pins);
	nr_pinned_vmids = 0;
	vmid_map = vmid_test_saved.map;
	pinned_vmids = vmid_test_saved.pinned;
	vmid_test_reset(vmid_test_saved.bits);
	vmid_test_saved.map = NULL;
}

/* A vCPU runs on this CPU for a while. Returns the VMID of the VM. */
static unsigned int vmid_test_run(struct kvm_vmid *vm)
{
	preempt_disable();
	kvm_arm_vmid_update(vm);
	kvm_arm_vmid_clear_active();
	preempt_enable();
	return vmid2idx(atomic64_read(&vm->id));
}

static struct kvm_vmid_pin *vmid_test_pin(struct kunit *test,
					  struct kvm_vmid *vm, u16 *vmid)
{
	struct kvm_vmid_pin *pin = pin_vmid(vm, vmid);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pin);
	return pin;
}

/*
 * Run @n new VMs. Returns how often one of them got @vmid. No number but those of
 * pinned VMs lives longer than a generation, in which nobody gets one twice.
 */
static unsigned int vmid_test_others(struct kunit *test, unsigned int n,
				     unsigned int vmid)
{
	unsigned long *seen = bitmap_zalloc(NUM_USER_VMIDS, GFP_KERNEL);
	u64 generation = atomic64_read(&vmid_generation);
	unsigned int i, got, hits = 0, twice = 0, pinned = 0, zero = 0;

	KUNIT_ASSERT_NOT_NULL(test, seen);
	for (i = 0; i < n; i++) {
		struct kvm_vmid vm = {};

		got = vmid_test_run(&vm);
		if (atomic64_read(&vmid_generation) != generation) {
			generation = atomic64_read(&vmid_generation);
			bitmap_zero(seen, NUM_USER_VMIDS);
		}
		zero += !got;
		hits += got == vmid;
		pinned += test_bit(got, pinned_vmids);
		twice += __test_and_set_bit(got, seen);
	}
	bitmap_free(seen);
	KUNIT_EXPECT_EQ(test, zero, 0);
	KUNIT_EXPECT_EQ(test, twice, 0);
	KUNIT_EXPECT_EQ(test, pinned, 0);
	return hits;
}

static void vmid_test_keeps(struct kunit *test, unsigned int bits)
{
	const unsigned int many = 5 << (bits - 1);
	struct kvm_vmid vm = {};
	struct kvm_vmid_pin *pin;
	u64 generation;
	u16 vmid, again;

	vmid_test_reset(bits);
	/* Before its first run */
	pin = vmid_test_pin(test, &vm, &vmid);
	KUNIT_EXPECT_NE(test, vmid, 0);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&vm), vmid);

	generation = atomic64_read(&vmid_generation);
	KUNIT_EXPECT_EQ(test, vmid_test_others(test, many, vmid), 0);
	KUNIT_EXPECT_GE(test, (u64)atomic64_read(&vmid_generation),
			generation + 2 * VMID_FIRST_VERSION);

	/* Known although it has not run since, then the current generation's */
	KUNIT_EXPECT_PTR_EQ(test, vmid_test_pin(test, &vm, &again), pin);
	KUNIT_EXPECT_EQ(test, again, vmid);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&vm), vmid);
	KUNIT_EXPECT_TRUE(test, vmid_gen_match(atomic64_read(&vm.id)));

	/* One of two pins is enough */
	kvm_arm_unpin_vmid(pin);
	KUNIT_EXPECT_EQ(test, vmid_test_others(test, many, vmid), 0);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&vm), vmid);

	/* None is not */
	kvm_arm_unpin_vmid(pin);
	KUNIT_EXPECT_TRUE(test, list_empty(&vmid_pins));
	KUNIT_EXPECT_EQ(test, nr_pinned_vmids, 0);
	KUNIT_EXPECT_GT(test, vmid_test_others(test, many, vmid), 0);
}

static void vmid_test_keeps_8_bits(struct kunit *test)
{
	vmid_test_keeps(test, 8);
}

static void vmid_test_keeps_16_bits(struct kunit *test)
{
	vmid_test_keeps(test, 16);
}

/* The number that a VM has when it is pinned is the one that it runs with */
static void vmid_test_pins_what_runs(struct kunit *test)
{
	struct kvm_vmid vm = {}, stale = {};
	unsigned int before;
	u16 vmid;

	vmid_test_others(test, 10, 0);
	vmid_test_run(&stale);
	before = vmid_test_run(&vm);
	vmid_test_pin(test, &vm, &vmid);
	KUNIT_EXPECT_EQ(test, vmid, before);

	KUNIT_EXPECT_EQ(test, vmid_test_run(&vm), vmid);

	/* Its number is of a former generation */
	vmid_test_others(test, 600, 0);
	vmid_test_pin(test, &stale, &vmid);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&stale), vmid);
	KUNIT_EXPECT_EQ(test, vmid_test_others(test, 600, vmid), 0);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&stale), vmid);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&vm), before);
}

static void vmid_test_limit(struct kunit *test)
{
	const unsigned int max = max_pinned_vmids();
	struct kvm_vmid_pin **pins;
	struct kvm_vmid *vms;
	u16 vmid, *vmids;
	unsigned int i, changed = 0;

	KUNIT_ASSERT_GT(test, max, 0);
	KUNIT_ASSERT_LE(test, max, NUM_USER_VMIDS / 2);
	KUNIT_ASSERT_LE(test, max + num_possible_cpus() + 2, NUM_USER_VMIDS);
	vms = kunit_kcalloc(test, max + 1, sizeof(*vms), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vms);
	vmids = kunit_kcalloc(test, max, sizeof(*vmids), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vmids);
	pins = kunit_kcalloc(test, max, sizeof(*pins), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pins);
	for (i = 0; i < max; i++)
		pins[i] = vmid_test_pin(test, &vms[i], &vmids[i]);
	KUNIT_EXPECT_EQ(test, bitmap_weight(pinned_vmids, NUM_USER_VMIDS), max);

	KUNIT_EXPECT_EQ(test, PTR_ERR(pin_vmid(&vms[max], &vmid)), -ENOSPC);
	/* A pinned one counts once */
	KUNIT_EXPECT_PTR_EQ(test, vmid_test_pin(test, &vms[3], &vmid), pins[3]);
	KUNIT_EXPECT_EQ(test, vmid, vmids[3]);
	kvm_arm_unpin_vmid(pins[3]);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pin_vmid(&vms[max], &vmid)), -ENOSPC);

	/* Others run as ever */
	vmid_test_others(test, 2000, 0);
	for (i = 0; i < max; i++)
		changed += vmid_test_run(&vms[i]) != vmids[i];
	KUNIT_EXPECT_EQ(test, changed, 0);

	kvm_arm_unpin_vmid(pins[7]);
	pins[7] = vmid_test_pin(test, &vms[max], &vmid);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pin_vmid(&vms[7], &vmid)), -ENOSPC);
	for (i = 0; i < max; i++)
		kvm_arm_unpin_vmid(pins[i]);
	KUNIT_EXPECT_EQ(test, nr_pinned_vmids, 0);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(pinned_vmids, NUM_USER_VMIDS));
}

/*
 * Each CPU runs a VM when numbers run out, one of them a pinned one, and all
 * numbers that can be pinned are
 */
static void vmid_test_all_cpus_run(struct kunit *test)
{
	const unsigned int max = max_pinned_vmids();
	struct kvm_vmid *vms, *running;
	unsigned int cpu, others = 0, i, *was;
	u64 generation;
	u16 vmid;

	vms = kunit_kcalloc(test, max, sizeof(*vms), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vms);
	running = kunit_kcalloc(test, nr_cpu_ids, sizeof(*running), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, running);
	was = kunit_kcalloc(test, nr_cpu_ids, sizeof(*was), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, was);
	vmid_test_pin(test, &running[0], &vmid);
	for (i = 1; i < max; i++)
		vmid_test_pin(test, &vms[i], &vmid);

	for (i = 0; i < 3; i++) {
		generation = atomic64_read(&vmid_generation);
		for_each_possible_cpu(cpu)
			was[cpu] = vmid_test_run(&running[cpu]);

		raw_spin_lock_irq(&cpu_vmid_lock);
		for_each_possible_cpu(cpu)
			atomic64_set(&per_cpu(active_vmids, cpu),
				     atomic64_read(&running[cpu].id));
		while (atomic64_read(&vmid_generation) == generation) {
			struct kvm_vmid vm = {};

			new_vmid(&vm);
			others++;
		}
		raw_spin_unlock_irq(&cpu_vmid_lock);

		for_each_possible_cpu(cpu)
			KUNIT_EXPECT_EQ(test, vmid_test_run(&running[cpu]),
					was[cpu]);
	}
	KUNIT_EXPECT_GT(test, others, 0);
}

/* A VM that sleeps over rollovers does not come back with another VM's pinned one */
static void vmid_test_stale(struct kunit *test)
{
	struct kvm_vmid old = {}, vm;
	struct kvm_vmid_pin *pin;
	unsigned int vmid, i;
	u16 pinned = 0;

	vmid = vmid_test_run(&old);
	for (i = 0; i < 1000; i++) {
		vm = (struct kvm_vmid){};
		pin = vmid_test_pin(test, &vm, &pinned);
		if (pinned == vmid)
			break;
		kvm_arm_unpin_vmid(pin);
	}
	KUNIT_ASSERT_EQ(test, pinned, vmid);
	KUNIT_EXPECT_NE(test, vmid_test_run(&old), vmid);
	KUNIT_EXPECT_EQ(test, vmid_test_run(&vm), vmid);
	kvm_arm_unpin_vmid(pin);
}

static struct kunit_case vmid_test_cases[] = {
	KUNIT_CASE(vmid_test_keeps_8_bits),
	KUNIT_CASE_SLOW(vmid_test_keeps_16_bits),
	KUNIT_CASE(vmid_test_pins_what_runs),
	KUNIT_CASE(vmid_test_limit),
	KUNIT_CASE(vmid_test_all_cpus_run),
	KUNIT_CASE(vmid_test_stale),
	{},
};

static struct kunit_suite vmid_test_suite = {
	.name = "kvm-arm64-vmid-kunit-test",
	.init = vmid_test_init,
	.exit = vmid_test_exit,
	.test_cases = vmid_test_cases,
};

/* Not to be run again, when there are VMs */
kunit_test_init_section_suites(&vmid_test_suite);
