// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of cloud-hypervisor: devices are attached to the IOAS, which has no
 * memory yet, and share the HWPT that the kernel allocates. And the calls that
 * its proposal for virtual IOMMUs makes: HWPTs that bypass and abort, allocated
 * on the nesting parent.
 */
#define _GNU_SOURCE
#include <linux/vfio.h>
#include <sys/mman.h>

#include "edu-test-event.h"
#include "../selftests/iommu/map_file_utils.h"

#define GUEST_SIZE	(GUEST_PAGES * PAGE_SIZE)
#define PINNED_KB	((long)(GUEST_SIZE / 1024))

FIXTURE(cloud)
{
	struct vm vm;
	struct edu edu;
	int kmsg;
};

FIXTURE_SETUP(cloud)
{
	struct vm *vm = &self->vm;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	vm->memfd = -1;
	vm->mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, vm->mem);
	vm->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, vm->fd);
	ASSERT_EQ(0, iommufd_ioas_alloc(vm->fd, &vm->ioas));
	ASSERT_EQ(0, edu_open(&self->edu, 0));
	ASSERT_EQ(0, edu_bind(&self->edu, vm->fd));
}

FIXTURE_TEARDOWN(cloud)
{
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

/* The ID of the HWPT, or -errno */
static int attach_ioas(struct vm *vm, struct edu *edu)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.pt_id = vm->ioas,
	};
	int rc = xioctl(edu->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd);

	return rc ? rc : (int)cmd.pt_id;
}

TEST_F(cloud, ioas)
{
	struct vm *vm = &self->vm;
	struct edu *edu = &self->edu, second;
	bool shared = edu_same_smmu(0, 1);
	int hwpt, other, log;
	uint32_t id;

	ASSERT_LE(2, edu_count());
	hwpt = attach_ioas(vm, edu);
	ASSERT_LT(0, hwpt);
	EXPECT_NE(vm->ioas, hwpt);

	/* Without memory each access is an event, and the host's */
	log = kmsg_open();
	ASSERT_LE(0, log);
	EXPECT_EQ(NOWHERE, edu_lands(edu, vm, IPA(PAGE_B)));
	ASSERT_EQ(0, settle());
	EXPECT_LT(0, kmsg_count(log, SMMU_EVENT));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmPin"));
	ASSERT_EQ(0, ioas_map(vm, 0, GUEST_PAGES, GUEST_IPA));
	EXPECT_EQ(-EEXIST, ioas_map(vm, 0, GUEST_PAGES, GUEST_IPA));
	EXPECT_EQ(PINNED_KB, number_in("/proc/self/status", "VmPin"));
	ASSERT_EQ(0, edu_load_token(edu, vm));
	EXPECT_EQ(PAGE_B, edu_lands(edu, vm, IPA(PAGE_B)));

	/* It serves no virtual IOMMU, and has users */
	EXPECT_EQ(-EINVAL, viommu_alloc(vm, edu, hwpt, &id));
	EXPECT_EQ(-ENOENT, viommu_alloc(vm, edu, vm->ioas, &id));
	EXPECT_EQ(-EBUSY, destroy(vm, hwpt));
	EXPECT_EQ(-EBUSY, destroy(vm, vm->ioas));

	/* A device is plugged in */
	ASSERT_EQ(0, edu_open(&second, 1));
	ASSERT_EQ(0, edu_bind(&second, vm->fd));
	other = attach_ioas(vm, &second);
	ASSERT_LT(0, other);
	EXPECT_EQ(shared, hwpt == other);
	ASSERT_EQ(0, edu_load_token(&second, vm));
	EXPECT_EQ(PAGE_C, edu_lands(&second, vm, IPA(PAGE_C)));
	EXPECT_EQ(PINNED_KB, number_in("/proc/self/status", "VmPin"));

	/* Memory comes and goes for both */
	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
	EXPECT_EQ(PAGE_E, edu_lands(edu, vm, SPARE_IPA));
	EXPECT_EQ(PAGE_E, edu_lands(&second, vm, SPARE_IPA));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(NOWHERE, edu_lands(edu, vm, SPARE_IPA));
	EXPECT_EQ(NOWHERE, edu_lands(&second, vm, SPARE_IPA));

	/* And one is unplugged */
	ASSERT_EQ(0, edu_detach(edu));
	EXPECT_EQ(NOWHERE, edu_lands(edu, vm, IPA(PAGE_B)));
	edu_close(edu);
	EXPECT_EQ(PAGE_C, edu_lands(&second, vm, IPA(PAGE_C)));
	ASSERT_EQ(0, ioas_unmap(vm, GUEST_IPA, GUEST_SIZE));
	EXPECT_EQ(NOWHERE, edu_lands(&second, vm, IPA(PAGE_C)));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmPin"));
	ASSERT_EQ(0, edu_detach(&second));
	/* Gone with its last device */
	EXPECT_EQ(-ENOENT, destroy(vm, hwpt));
	EXPECT_EQ(-ENOENT, destroy(vm, other));
	edu_close(&second);
	EXPECT_EQ(0, destroy(vm, vm->ioas));
}

TEST_F(cloud, proposal)
{
	struct vm *vm = &self->vm;
	struct edu *edu = &self->edu;
	uint32_t id, queue_id;
	const char *wrong;
	int queue;

	ASSERT_EQ(0, hwpt_alloc(vm, edu, vm->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
				&vm->s2));
	/* The parent is not a vIOMMU */
	EXPECT_EQ(-EOPNOTSUPP, nested_alloc(vm, edu, vm->s2, STE_BYPASS, 0, &id));
	EXPECT_EQ(-EOPNOTSUPP, nested_alloc(vm, edu, vm->s2, STE_ABORT, 0, &id));
	/* Nothing is left of the attempts */
	EXPECT_EQ(0, destroy(vm, vm->s2));

	/* What works: the parent itself is the bypass, until there is a vIOMMU */
	ASSERT_EQ(0, hwpt_alloc(vm, edu, vm->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
				&vm->s2));
	ASSERT_EQ(0, edu_attach(edu, vm->s2));
	ASSERT_EQ(0, ioas_map(vm, 0, GUEST_PAGES, GUEST_IPA));
	ASSERT_EQ(0, edu_load_token(edu, vm));
	EXPECT_EQ(PAGE_B, edu_lands(edu, vm, IPA(PAGE_B)));

	ASSERT_EQ(0, viommu_alloc(vm, edu, vm->s2, &vm->viommu));
	ASSERT_EQ(0, nested_alloc(vm, edu, vm->viommu, STE_BYPASS, 0, &vm->bypass));
	ASSERT_EQ(0, nested_alloc(vm, edu, vm->viommu, STE_ABORT, 0, &vm->abort));
	queue = veventq_alloc(vm, 16, &queue_id);
	ASSERT_LE(0, queue);
	ASSERT_EQ(0, edu_attach(edu, vm->abort));
	EXPECT_EQ(NOWHERE, edu_lands(edu, vm, IPA(PAGE_B)));
	ASSERT_EQ(0, edu_attach(edu, vm->bypass));
	EXPECT_EQ(PAGE_C, edu_lands(edu, vm, IPA(PAGE_C)));

	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, edu, &vm->s1_hwpt));
	EXPECT_EQ(-ENOENT, edu_attach(edu, vm->s1_hwpt));
	EXPECT_EQ(PAGE_C, edu_lands(edu, vm, IPA(PAGE_C)));
	ASSERT_EQ(0, vdevice_alloc(vm, edu, vm->viommu, VSID, &vm->vdevice));
	ASSERT_EQ(0, edu_attach(edu, vm->s1_hwpt));
	EXPECT_EQ(PAGE_A, edu_lands(edu, vm, IOVA));
	ASSERT_EQ(0, fault(edu, UNMAPPED, 1));
	wrong = expect_event(queue, 0, F_TRANSLATION | EVT_0_SID(VSID),
			     EVT_1_CLASS_IN, UNMAPPED);
	EXPECT_EQ(NULL, wrong) {
		TH_LOG("%s", wrong);
	}

	ASSERT_EQ(0, edu_attach(edu, vm->s2));
	EXPECT_EQ(PAGE_B, edu_lands(edu, vm, IPA(PAGE_B)));
	close(queue);
	EXPECT_EQ(0, destroy(vm, queue_id));
	EXPECT_EQ(0, destroy(vm, vm->s1_hwpt));
	EXPECT_EQ(0, destroy(vm, vm->vdevice));
	EXPECT_EQ(0, destroy(vm, vm->bypass));
	EXPECT_EQ(0, destroy(vm, vm->abort));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	ASSERT_EQ(0, edu_detach(edu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	EXPECT_EQ(0, destroy(vm, vm->ioas));
}

TEST_HARNESS_MAIN
