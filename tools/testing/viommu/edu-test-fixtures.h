/* SPDX-License-Identifier: GPL-2.0 */
/* One device of a VM: attached to the bypass, or behind the guest's stage 1 */
#ifndef EDU_TEST_FIXTURES_H
#define EDU_TEST_FIXTURES_H

#include "kselftest_harness.h"
#include "edu-test-lib.h"

#define ASSERT_LANDS(page, iova) \
	ASSERT_EQ(page, edu_lands(&self->edu, &self->vm, iova))
#define EXPECT_LANDS(page, iova) \
	EXPECT_EQ(page, edu_lands(&self->edu, &self->vm, iova))

/* One device, attached to the bypass HWPT */

FIXTURE(vm)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(vm)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_BYPASS));
	ASSERT_LANDS(PAGE_B, IPA(PAGE_B));
}

FIXTURE_TEARDOWN(vm)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

/* A device behind the guest's stage 1 */

FIXTURE(s1)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(s1)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
	ASSERT_LANDS(PAGE_A, IOVA);
}

FIXTURE_TEARDOWN(s1)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

#define NH_VA	(TLBI_NH_VA | CMD_0_ASID(GUEST_ASID))

#endif
