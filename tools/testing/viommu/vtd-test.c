// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of iommufd on VT-d from the outside, without a VMM: an edu device moves
 * data through the page tables of HWPTs. Every way to a vIOMMU is refused and
 * leaves nothing behind.
 *
 * vIOMMUs are refused because QEMU's VT-d has scalable mode but no nesting: it
 * walks a second stage or, with its option fsts, a first stage, never both.
 * Linux 6.12 only makes HWPTs of a second stage. Without one the device is
 * assigned through a VFIO container, as in the tests first_stage.
 *
 * Expects an edu device (1234:11e8) bound to vfio-pci, see tests/edu.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"

/* Registers and their fields, by the names of the VT-d specification */
#define ECAP			0x10
#define RTADDR			0x20
#define RTADDR_MODE		GENMASK(11, 10)
#define RTADDR_SCALABLE		BIT(10)
#define ECAP_SC			BIT(7)
#define ECAP_NEST		BIT(26)
#define ECAP_SMTS		BIT(43)
#define ECAP_SSADS		BIT(45)
#define ECAP_SSTS		BIT(46)
#define ECAP_FSTS		BIT(47)

/* Requests to this window are interrupts, which no page table translates */
#define INTERRUPTS		0xfee00000UL

/* More objects than an iommufd of these tests ever has */
#define MAX_ID			64

#define VTD_TROUBLE		"WARNING:|BUG:|VT-d detected"
#define VTD_FAULT		"DMAR: \\[DMA (Read|Write) .* fault addr "

#define ASSERT_LANDS(page, iova) \
	ASSERT_EQ(page, edu_lands(&self->edu, &self->vm, iova))
#define EXPECT_LANDS(page, iova) \
	EXPECT_EQ(page, edu_lands(&self->edu, &self->vm, iova))

/* What the device reads at @iova, as it writes it to the last page */
static uint64_t edu_fetch(struct edu *edu, struct vm *vm, uint64_t iova)
{
	volatile uint64_t *found = vm_page(vm, GUEST_PAGES - 1);
	int rc;

	rc = edu_dma(edu, false, iova, sizeof(*found));
	if (!rc)
		rc = edu_dma(edu, true, IPA(GUEST_PAGES - 1), sizeof(*found));
	return rc ? 0 : *found;
}

/* The kernel reports a blocked DMA from an interrupt, which may come late */
static bool fault_reported(int kmsg, uint64_t iova)
{
	char regex[80];
	int i;

	snprintf(regex, sizeof(regex), VTD_FAULT "%#llx ",
		 (unsigned long long)iova);
	for (i = 0; i < 20000; i++) {
		if (kmsg_count(kmsg, regex) > 0)
			return true;
		usleep(1000);
	}
	return false;
}

/*
 * A register of the IOMMU; all ones, which is no valid value, if it cannot be
 * read
 */
static uint64_t vtd_register(unsigned int offset)
{
	FILE *f = fopen("/sys/class/iommu/dmar0/intel-iommu/address", "r");
	int mem = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
	void *regs = MAP_FAILED;
	uint64_t value = ~0ULL;
	unsigned long base;

	if (f && fscanf(f, "%lx", &base) == 1)
		regs = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, mem, base);
	if (regs != MAP_FAILED) {
		value = *(volatile uint64_t *)(regs + offset);
		munmap(regs, PAGE_SIZE);
	}
	if (f)
		fclose(f);
	close(mem);
	return value;
}

/* Destroy every object except the device; returns their number */
static int destroy_all(struct vm *vm, struct edu *edu)
{
	int count = 0;
	uint32_t id;

	for (id = 1; id < MAX_ID; id++)
		if (id != edu->id && destroy(vm, id) != -ENOENT)
			count++;
	return count;
}

FIXTURE(vtd)
{
	struct vm vm;
	struct edu edu;
	uint32_t hwpt;
	int kmsg;
	int faults;
};

FIXTURE_SETUP(vtd)
{
	struct vm *vm = &self->vm;

	if (!(vtd_register(ECAP) & ECAP_SSTS))
		SKIP(return, "no second stage");
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->faults = kmsg_open();
	ASSERT_LE(0, self->faults);
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_BOUND));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, 0, &self->hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, self->hwpt));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_LANDS(PAGE_B, IPA(PAGE_B));
}

/* Tests leave only the HWPT and the IOAS behind */
FIXTURE_TEARDOWN(vtd)
{
	struct vm *vm = &self->vm;

	EXPECT_EQ(0, edu_detach(&self->edu));
	EXPECT_EQ(0, destroy(vm, self->hwpt));
	EXPECT_EQ(0, destroy(vm, vm->ioas));
	EXPECT_EQ(0, destroy_all(vm, &self->edu));
	vm_close(vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

TEST_F(vtd, hw_info)
{
	uint64_t data[4];
	const struct iommu_hw_info_vtd *info = (void *)data;
	struct iommu_hw_info good = {
		.size = sizeof(good),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.dev_id = self->edu.id,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)data,
		.in_data_type = IOMMU_HW_INFO_TYPE_INTEL_VTD,
	};
	struct iommu_hw_info cmd = good;
	int bit;

	memset(data, 0xff, sizeof(data));
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, cmd.out_data_type);
	EXPECT_EQ(24, cmd.data_len);
	EXPECT_EQ(0, cmd.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING);
	EXPECT_EQ(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
		  cmd.out_capabilities & IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	EXPECT_EQ(IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17, info->flags);
	EXPECT_EQ(0, info->__reserved);
	/* the rest of a larger buffer is cleared */
	EXPECT_EQ(0, data[3]);

	/* Scalable mode, there and in use, with a second stage */
	EXPECT_EQ(RTADDR_SCALABLE, vtd_register(RTADDR) & RTADDR_MODE);
	EXPECT_EQ(ECAP_SMTS | ECAP_SSTS | ECAP_SC,
		  info->ecap_reg & (ECAP_SMTS | ECAP_SSTS | ECAP_SC));
	/* If the emulation supports this there is much more to test */
	EXPECT_EQ(0, info->ecap_reg & ECAP_NEST);
	EXPECT_EQ(0, info->ecap_reg & ECAP_SSADS);

	/* With type 0 or without a requested type the driver chooses */
	cmd = good;
	cmd.in_data_type = IOMMU_HW_INFO_TYPE_DEFAULT;
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, cmd.out_data_type);
	cmd = good;
	cmd.flags = 0;
	cmd.in_data_type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, cmd.out_data_type);

	cmd = good;
	cmd.data_len = 8;
	data[1] = 0x5a5a5a5a;
	ASSERT_EQ(0, xioctl(self->vm.fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(24, cmd.data_len);
	EXPECT_EQ(0x5a5a5a5a, data[1]);

	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type,
		       IOMMU_HW_INFO_TYPE_ARM_SMMUV3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type, 3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type, 4);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, in_data_type, 0xdeadbeef);
	for (bit = 1; bit < 32; bit++)
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_GET_HW_INFO, good, flags, BIT(bit));
	EXPECT_REFUSED(ENOENT, IOMMU_GET_HW_INFO, good, dev_id, self->vm.ioas);
}

/* Data */

TEST_F(vtd, sysfs)
{
	char bits[8];

	EXPECT_STREQ("\n", edu_iommu_file(0, "types"));
	EXPECT_STREQ("0\n", edu_iommu_file(0, "nesting"));
	EXPECT_STREQ("0\n", edu_iommu_file(0, "ats"));
	/* ECAP.PASID, and ECAP.PSS: one less than the bits that it has */
	EXPECT_EQ(1, vtd_register(ECAP) >> 40 & 1);
	snprintf(bits, sizeof(bits), "%u\n",
		 (unsigned int)(vtd_register(ECAP) >> 35 & 0x1f) + 1);
	EXPECT_STREQ(bits, edu_iommu_file(0, "max_pasid_log2"));
}

TEST_F(vtd, copy)
{
	struct vm *vm = &self->vm;
	uint32_t *from = vm_page(vm, PAGE_C), *to = vm_page(vm, PAGE_D);
	uint8_t *edge = vm_page(vm, PAGE_F);
	const uint8_t zeroes[GRANULE] = {};
	int i;

	/* The whole buffer of the device */
	for (i = 0; i < (int)(GRANULE / sizeof(*from)); i++)
		from[i] = 0x9e3779b9 * (i + 1);
	ASSERT_EQ(0, edu_dma(&self->edu, false, IPA(PAGE_C), GRANULE));
	ASSERT_EQ(0, edu_dma(&self->edu, true, IPA(PAGE_D), GRANULE));
	EXPECT_EQ(0, memcmp(from, to, GRANULE));

	/* Across two pages that are not mapped to adjacent ones */
	ASSERT_EQ(0, ioas_map(vm, PAGE_F, 1, SPARE_IPA));
	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA + PAGE_SIZE));
	ASSERT_EQ(0, edu_dma(&self->edu, true, SPARE_IPA + PAGE_SIZE - 32, 64));
	EXPECT_EQ(0, memcmp(edge + PAGE_SIZE - 32, from, 32));
	EXPECT_EQ(0, memcmp(vm_page(vm, PAGE_E), (uint8_t *)from + 32, 32));
	EXPECT_EQ(0, memcmp(edge, zeroes, PAGE_SIZE - 32));
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));
}

TEST_F(vtd, unmap)
{
	struct vm *vm = &self->vm;
	const uint64_t secret = 0x5ec2e75ec2e75ec2;

	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);
	*(uint64_t *)vm_page(vm, PAGE_C) = secret;
	EXPECT_EQ(secret, edu_fetch(&self->edu, vm, SPARE_IPA));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));

	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_LANDS(NOWHERE, SPARE_IPA);
	EXPECT_TRUE(fault_reported(self->faults, SPARE_IPA));
	*(uint64_t *)vm_page(vm, PAGE_C) = secret;
	EXPECT_NE(secret, edu_fetch(&self->edu, vm, SPARE_IPA));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));

	/* Another page at the address of the old one */
	ASSERT_EQ(0, ioas_map(vm, PAGE_D, 1, SPARE_IPA));
	EXPECT_LANDS(PAGE_D, SPARE_IPA);
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

/* Each of a row of faults is in the log, if there were none for a while before */
TEST_F(vtd, faults)
{
	int i, found = 0;

	sleep(6);
	kmsg_count(self->faults, VTD_FAULT);
	for (i = 0; i < 8; i++)
		EXPECT_LANDS(NOWHERE, SPARE_IPA + i * PAGE_SIZE);
	for (i = 0; i < 10000 && found < 8; i++) {
		found += kmsg_count(self->faults, VTD_FAULT);
		usleep(1000);
	}
	EXPECT_EQ(8, found);
}

TEST_F(vtd, replace)
{
	struct vm *vm = &self->vm;
	const uint32_t ioas = vm->ioas;
	uint32_t twin, other;

	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, ioas, 0, &twin));
	ASSERT_EQ(0, edu_attach(&self->edu, twin));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);
	EXPECT_EQ(-EINVAL, ioas_map(vm, PAGE_A, 1, INTERRUPTS));
	EXPECT_EQ(-EBUSY, destroy(vm, twin));
	EXPECT_EQ(-ENOENT, edu_attach(&self->edu, MAX_ID));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);

	ASSERT_EQ(0, iommufd_ioas_alloc(vm->fd, &other));
	vm->ioas = other;
	EXPECT_EQ(0, ioas_map(vm, PAGE_D, 1, SPARE_IPA));
	vm->ioas = ioas;
	/* The HWPT that this creates is destroyed with the attachment */
	ASSERT_EQ(0, edu_attach(&self->edu, other));
	EXPECT_EQ(0, destroy(vm, twin));
	EXPECT_LANDS(PAGE_D, SPARE_IPA);
	EXPECT_LANDS(NOWHERE, IPA(PAGE_B));

	ASSERT_EQ(0, edu_attach(&self->edu, self->hwpt));
	EXPECT_EQ(0, destroy(vm, other));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);
	ASSERT_EQ(0, edu_detach(&self->edu));
	EXPECT_LANDS(NOWHERE, SPARE_IPA);
	ASSERT_EQ(0, edu_attach(&self->edu, self->hwpt));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : 0;

	if (!rc && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		rc = -EIO;
	close(fd);
	return rc;
}

/*
 * Let the @nth allocation of this thread fail, or none any more with 0. Returns
 * whether the one of the last call has failed. The file stays open, as closing
 * it allocates as well.
 */
static int fail_nth(int nth)
{
	static int fd = -1;
	char text[16] = "";
	bool failed;
	int len;

	if (fd < 0)
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, text, sizeof(text) - 1, 0) < 1)
		return -EIO;
	failed = atoi(text) == 0;
	len = snprintf(text, sizeof(text), "%d", nth);
	return pwrite(fd, text, len, 0) == len ? failed : -EIO;
}

/* A replace that fails, at whichever allocation, has no effect */
TEST_F(vtd, replace_without_memory)
{
	struct vm *vm = &self->vm;
	const uint32_t ioas = vm->ioas;
	uint32_t twin, other;
	int nth, rc, failures = 0;

	ASSERT_EQ(0, write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, write_file("/sys/kernel/debug/failslab/verbose", "0"));

	ASSERT_EQ(0, ioas_map(vm, PAGE_C, 1, SPARE_IPA));
	ASSERT_EQ(0, iommufd_ioas_alloc(vm->fd, &other));
	vm->ioas = other;
	EXPECT_EQ(0, ioas_map(vm, PAGE_D, 1, SPARE_IPA));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, other, 0, &twin));
	vm->ioas = ioas;

	for (nth = 1; nth < 100; nth++) {
		ASSERT_LE(0, fail_nth(nth));
		rc = edu_attach(&self->edu, twin);
		if (!fail_nth(0))
			break;
		if (!rc) {
			/* It could do without */
			ASSERT_LANDS(PAGE_D, SPARE_IPA);
			ASSERT_EQ(0, edu_attach(&self->edu, self->hwpt));
			continue;
		}
		EXPECT_EQ(-ENOMEM, rc);
		ASSERT_LANDS(PAGE_C, SPARE_IPA);
		failures++;
	}
	ASSERT_EQ(0, rc);
	/* In iommufd, and for the domain ID and the cache tags */
	EXPECT_LE(3, failures);
	EXPECT_LANDS(PAGE_D, SPARE_IPA);
	EXPECT_EQ(0, kmsg_count(self->faults, VTD_FAULT));

	ASSERT_EQ(0, edu_attach(&self->edu, self->hwpt));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);
	EXPECT_EQ(0, destroy(vm, twin));
	EXPECT_EQ(0, destroy(vm, other));
}

TEST_F(vtd, msi)
{
	int event = eventfd(0, EFD_NONBLOCK);

	ASSERT_LE(0, event);
	ASSERT_EQ(0, edu_irq_eventfd(&self->edu, event));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	EXPECT_EQ(1, edu_irq_raise(&self->edu, event, true));
	close(event);
}

/* The errno contract */

TEST_F(vtd, errno_nesting_parent)
{
	struct vm *vm = &self->vm;
	struct iommu_hwpt_alloc good = {
		.size = sizeof(good),
		.dev_id = self->edu.id,
		.pt_id = vm->ioas,
	};
	int bit;

	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags,
		       IOMMU_HWPT_ALLOC_NEST_PARENT);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags,
		       IOMMU_HWPT_ALLOC_NEST_PARENT |
		       IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	for (bit = 0; bit < 32; bit++)
		if (BIT(bit) != IOMMU_HWPT_ALLOC_PASID)
			EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags,
				       BIT(bit));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

/* An HWPT for PASIDs also translates requests without one */
TEST_F(vtd, pasid_hwpt)
{
	struct vm *vm = &self->vm;
	uint32_t hwpt;

	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu, vm->ioas, IOMMU_HWPT_ALLOC_PASID,
				&hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, hwpt));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	ASSERT_EQ(0, edu_attach(&self->edu, self->hwpt));
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	EXPECT_EQ(0, destroy(vm, hwpt));
}

/* Refused, and the HWPT that the call named can be destroyed at once */
#define EXPECT_NO_VIOMMU(err, field, value)					\
	do {									\
		struct iommu_viommu_alloc good = {				\
			.size = sizeof(good),					\
			.type = IOMMU_VIOMMU_TYPE_DEFAULT,			\
			.dev_id = self->edu.id,					\
		};								\
		uint32_t hwpt;							\
										\
		ASSERT_EQ(0, hwpt_alloc(&self->vm, &self->edu, self->vm.ioas,	\
					0, &hwpt));				\
		good.hwpt_id = hwpt;						\
		EXPECT_REFUSED(err, IOMMU_VIOMMU_ALLOC, good, field, value);	\
		EXPECT_EQ(0, destroy(&self->vm, hwpt));				\
	} while (0)

TEST_F(vtd, errno_viommu_alloc)
{
	struct vm *vm = &self->vm;
	uint64_t data = 0;
	int bit;

	/* EINVAL, "another parent helps", must not be returned for these */
	EXPECT_NO_VIOMMU(EOPNOTSUPP, type, IOMMU_VIOMMU_TYPE_DEFAULT);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, hwpt_id, self->hwpt);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, data_len, sizeof(data));
	EXPECT_NO_VIOMMU(EOPNOTSUPP, type, IOMMU_VIOMMU_TYPE_ARM_SMMUV3);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, type, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, type, 3);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, type, 0xdeadbeef);
	/* bit 31 is an extension */
	for (bit = 0; bit < 31; bit++)
		EXPECT_NO_VIOMMU(EOPNOTSUPP, flags, BIT(bit));
	EXPECT_NO_VIOMMU(EOPNOTSUPP, __reserved, 1);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, hwpt_id, 0);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, hwpt_id, MAX_ID);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, hwpt_id, vm->ioas);
	EXPECT_NO_VIOMMU(EOPNOTSUPP, hwpt_id, self->edu.id);

	EXPECT_NO_VIOMMU(ENOENT, dev_id, 0);
	EXPECT_NO_VIOMMU(ENOENT, dev_id, MAX_ID);
	EXPECT_NO_VIOMMU(ENOENT, dev_id, vm->ioas);
	EXPECT_NO_VIOMMU(ENOENT, dev_id, self->hwpt);
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vtd, errno_nested_alloc)
{
	struct vm *vm = &self->vm;
	const struct iommu_hwpt_vtd_s1 s1 = { .addr_width = 48 };
	struct iommu_hwpt_alloc good = {
		.size = sizeof(good),
		.dev_id = self->edu.id,
		.pt_id = self->hwpt,
		.data_type = IOMMU_HWPT_DATA_VTD_S1,
		.data_len = sizeof(s1),
		.data_uptr = (uintptr_t)&s1,
	};

	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, flags, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, data_type,
		       IOMMU_HWPT_DATA_ARM_SMMUV3);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, data_len, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, pt_id, self->edu.id);
	EXPECT_REFUSED(EINVAL, IOMMU_HWPT_ALLOC, good, pt_id, MAX_ID);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, pt_id, vm->ioas);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_HWPT_ALLOC, good, flags,
		       IOMMU_HWPT_ALLOC_NEST_PARENT);
	EXPECT_REFUSED(ENOENT, IOMMU_HWPT_ALLOC, good, dev_id, self->hwpt);
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

/* Calls that need a vIOMMU, with other objects */
TEST_F(vtd, errno_no_viommu)
{
	struct vm *vm = &self->vm;
	const struct iommu_hwpt_vtd_s1_invalidate inv = { .npages = -1 };
	const uint32_t others[] = { 0, MAX_ID, vm->ioas, self->hwpt, self->edu.id };
	struct iommu_vdevice_alloc vdevice = {
		.size = sizeof(vdevice),
		.dev_id = self->edu.id,
		.virt_id = 1,
	};
	struct iommu_veventq_alloc veventq = {
		.size = sizeof(veventq),
		.type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
		.veventq_depth = 1,
	};
	struct iommu_hwpt_invalidate invalidate = {
		.size = sizeof(invalidate),
		.data_uptr = (uintptr_t)&inv,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
		.entry_len = sizeof(inv),
		.entry_num = 1,
	};
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(others); i++) {
		EXPECT_REFUSED(ENOENT, IOMMU_VDEVICE_ALLOC, vdevice, viommu_id,
			       others[i]);
		EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, veventq, viommu_id,
			       others[i]);
		EXPECT_REFUSED(i < 2 ? ENOENT : EINVAL, IOMMU_HWPT_INVALIDATE,
			       invalidate, hwpt_id, others[i]);
	}
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

TEST_F(vtd, errno_sizes)
{
	const int fd = self->vm.fd;
	const struct iommu_viommu_alloc viommu = {
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = self->edu.id,
		.hwpt_id = self->hwpt,
	};
	const struct iommu_vdevice_alloc vdevice = { .dev_id = self->edu.id };
	const struct {
		unsigned long request;
		const void *good;
		size_t least;
		size_t size;
		int rc;
	} ioctls[] = {
		{ IOMMU_VIOMMU_ALLOC, &viommu, 24, sizeof(viommu), -EOPNOTSUPP },
		{ IOMMU_VDEVICE_ALLOC, &vdevice, 24, 24, -ENOENT },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		const void *good = ioctls[i].good;
		unsigned long request = ioctls[i].request;
		size_t least = ioctls[i].least, size = ioctls[i].size;

		EXPECT_EQ(-EINVAL, resized(fd, request, good, size, 0, 0));
		EXPECT_EQ(-EINVAL, resized(fd, request, good, size, least - 1, 0));
		EXPECT_EQ(ioctls[i].rc, resized(fd, request, good, size, least, 0));
		EXPECT_EQ(-E2BIG, resized(fd, request, good, size, 256, 1));
		EXPECT_EQ(ioctls[i].rc, resized(fd, request, good, size, size, 0));
		EXPECT_EQ(ioctls[i].rc, resized(fd, request, good, size, 256, 0));
	}
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
}

/* A first stage */

/* The range of one command cannot cross a multiple of this: CAP.MAMV is 18 */
#define COMMAND_LIMIT		0x40000000UL

/*
 * The device in a VFIO container with the guest's memory, with its token loaded
 */
FIXTURE(first_stage)
{
	struct vm vm;		/* for its memory */
	struct edu edu;
	int container;
	int group;
	int kmsg;
};

/* The path of the only match */
static int find(const char *pattern, char *path, size_t len)
{
	glob_t found;
	int rc;

	if (glob(pattern, 0, NULL, &found))
		return -ENOENT;
	rc = found.gl_pathc == 1 ? 0 : -ENOTUNIQ;
	snprintf(path, len, "%s", found.gl_pathv[0]);
	globfree(&found);
	return rc;
}

static int container_map(int container, struct vm *vm, unsigned int page,
			 unsigned int npages, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map cmd = {
		.argsz = sizeof(cmd),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)vm_page(vm, page),
		.iova = iova,
		.size = npages * PAGE_SIZE,
	};

	return xioctl(container, VFIO_IOMMU_MAP_DMA, &cmd);
}

static int container_unmap(int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap cmd = {
		.argsz = sizeof(cmd),
		.iova = iova,
		.size = size,
	};
	int rc = xioctl(container, VFIO_IOMMU_UNMAP_DMA, &cmd);

	return rc || cmd.size == size ? rc : -EBADMSG;
}

FIXTURE_SETUP(first_stage)
{
	struct vm *vm = &self->vm;
	char path[200];

	if (!(vtd_register(ECAP) & ECAP_FSTS))
		SKIP(return, "no first stage");
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_MEMORY));

	self->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->container);
	ASSERT_EQ(0, find("/dev/vfio/[0-9]*", path, sizeof(path)));
	self->group = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->group);
	ASSERT_EQ(0, xioctl(self->group, VFIO_GROUP_SET_CONTAINER,
			    &self->container));
	ASSERT_EQ(0, ioctl(self->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	ASSERT_EQ(0, container_map(self->container, vm, 0, GUEST_PAGES, GUEST_IPA));

	ASSERT_EQ(0, find("/sys/bus/pci/drivers/vfio-pci/*:*", path, sizeof(path)));
	self->edu.fd = ioctl(self->group, VFIO_GROUP_GET_DEVICE_FD,
			     strrchr(path, '/') + 1);
	ASSERT_LE(0, self->edu.fd);
	self->edu.token = 0xed0d0c0ffee00000ULL;
	ASSERT_EQ(0, edu_enable(&self->edu));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_LANDS(PAGE_B, IPA(PAGE_B));
}

FIXTURE_TEARDOWN(first_stage)
{
	EXPECT_LANDS(PAGE_B, IPA(PAGE_B));
	vm_close(&self->vm, &self->edu);
	close(self->group);
	close(self->container);
	EXPECT_EQ(0, kmsg_count(self->kmsg, VTD_TROUBLE));
}

TEST_F(first_stage, unmap)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, container_map(self->container, vm, PAGE_C, 1, SPARE_IPA));
	EXPECT_LANDS(PAGE_C, SPARE_IPA);
	ASSERT_EQ(0, container_unmap(self->container, SPARE_IPA, PAGE_SIZE));
	EXPECT_LANDS(NOWHERE, SPARE_IPA);
	ASSERT_EQ(0, container_map(self->container, vm, PAGE_D, 1, SPARE_IPA));
	EXPECT_LANDS(PAGE_D, SPARE_IPA);
}

TEST_F(first_stage, unmap_more_than_a_command_takes)
{
	const uint64_t start = COMMAND_LIMIT - PAGE_SIZE;
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, container_map(self->container, vm, PAGE_C, 2, start));
	EXPECT_LANDS(PAGE_C, start);
	EXPECT_LANDS(PAGE_D, COMMAND_LIMIT);
	ASSERT_EQ(0, container_unmap(self->container, start, 2 * PAGE_SIZE));
	EXPECT_LANDS(NOWHERE, start);
	EXPECT_LANDS(NOWHERE, COMMAND_LIMIT);
	ASSERT_EQ(0, container_map(self->container, vm, PAGE_E, 2, start));
	EXPECT_LANDS(PAGE_E, start);
	EXPECT_LANDS(PAGE_F, COMMAND_LIMIT);
}

TEST_HARNESS_MAIN
