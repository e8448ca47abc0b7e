// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of the calls that make and use a vIOMMU of VT-d or of the AMD IOMMU
 * fails once. A call that fails has no effect: it then works, so does everything after
 * it, and all objects can be destroyed. The kernel's own checks count as well, so run
 * this on one with KASAN and kmemleak.
 *
 * Expects a pasid-edu device bound to vfio-pci, see tests/vtd and tests/pasid-edu.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vtd-test-lib.h"
#include "../selftests/iommu/fail_nth.h"

#define MEMORY_TROUBLE	"WARNING:|BUG:|QI HEAD|Completion-Wait loop|ILLEGAL_"

/* The page with the GCR3 table of an AMD IOMMU */
#define T_GCR3		100
/* A device table entry: V, TV, GIOV, GV, IR, IW */
#define DTE_GUEST	(BIT(0) | BIT(1) | BIT(54) | BIT(55) | BIT(61) | BIT(62))

/* IOVA that is mapped and unmapped */
#define HERE		0x30000000UL

/* What a step of the life of a vIOMMU needs, and makes */
struct life {
	struct vm vm;
	struct device dev;
	bool amd;
	uint64_t root;		/* of the guest's tables */
	uint32_t bypass;
	uint32_t nested;
	uint32_t veventq;
	int event_fd;
};

FIXTURE(memory)
{
	struct life life;
	int nth_fd;
	int kmsg;
	int domains;
};

/* How many domain IDs all VT-d units have in use; constant on an AMD IOMMU */
static int domains_used(void)
{
	int sum = 0, used;
	glob_t found;
	size_t i;

	if (glob("/sys/class/iommu/dmar*/intel-iommu/domains_used", 0, NULL, &found))
		return 0;
	for (i = 0; i < found.gl_pathc; i++) {
		FILE *f = fopen(found.gl_pathv[i], "r");

		if (f && fscanf(f, "%d", &used) == 1)
			sum += used;
		if (f)
			fclose(f);
	}
	globfree(&found);
	return sum;
}

static int parent_alloc(struct life *l)
{
	return hwpt_alloc(&l->vm, &l->dev.edu, l->vm.ioas,
			  IOMMU_HWPT_ALLOC_NEST_PARENT |
			  (l->amd ? 0 : IOMMU_HWPT_ALLOC_PASID), &l->vm.s2);
}

static int viommu_new(struct life *l)
{
	return iommufd_viommu_alloc(l->vm.fd, l->dev.edu.id, l->vm.s2,
				    l->amd ? IOMMU_VIOMMU_TYPE_AMD :
					     IOMMU_VIOMMU_TYPE_INTEL_VTD,
				    NULL, 0, &l->vm.viommu);
}

static int bypass_alloc(struct life *l)
{
	const struct iommu_hwpt_amd_guest dte = { };

	if (!l->amd)
		return entry_alloc(&l->vm, &l->dev, PE_P | PE_PGTT(4), 1, 0,
				   &l->bypass);
	return iommufd_nested_alloc(l->vm.fd, l->dev.edu.id, l->vm.viommu, 0,
				    IOMMU_HWPT_DATA_AMD_GUEST, &dte,
				    sizeof(dte), &l->bypass);
}

static int guest_alloc(struct life *l)
{
	const uint64_t gcr3 = IPA(T_GCR3);
	const struct iommu_hwpt_amd_guest dte = {
		.dte = {
			DTE_GUEST | (gcr3 >> 12 & 7) << 58,
			VDID | (gcr3 >> 15 & 0xffff) << 16 | (gcr3 >> 31) << 43,
		},
	};

	if (!l->amd)
		return entry_alloc(&l->vm, &l->dev, PE_P | PE_PGTT(1), VDID,
				   l->root, &l->nested);
	return iommufd_nested_alloc(l->vm.fd, l->dev.edu.id, l->vm.viommu, 0,
				    IOMMU_HWPT_DATA_AMD_GUEST, &dte,
				    sizeof(dte), &l->nested);
}

static int queue_alloc(struct life *l)
{
	return iommufd_veventq_alloc(l->vm.fd, l->vm.viommu,
				     l->amd ? IOMMU_VEVENTQ_TYPE_AMD :
					      IOMMU_VEVENTQ_TYPE_INTEL_VTD,
				     8, &l->veventq, &l->event_fd);
}

static int vdevice_new(struct life *l)
{
	return iommufd_vdevice_alloc(l->vm.fd, l->vm.viommu, l->dev.edu.id,
				     VRID, &l->vm.vdevice);
}

static int attach_bypass(struct life *l)
{
	return edu_attach(&l->dev.edu, l->bypass);
}

static int attach_nested(struct life *l)
{
	return edu_attach(&l->dev.edu, l->nested);
}

static int attach_parent(struct life *l)
{
	return edu_attach(&l->dev.edu, l->vm.s2);
}

/* On an AMD IOMMU the guest's GCR3 table is all it takes */
static int attach_pasid(struct life *l)
{
	return l->amd ? 0 : attach(&l->dev, PASID, l->nested);
}

/* The parent's tables grow */
static int map_here(struct life *l)
{
	return ioas_map(&l->vm, PAGE_B, 1, HERE);
}

static int unmap_here(struct life *l)
{
	return ioas_unmap(&l->vm, HERE, PAGE_SIZE);
}

static int flush_all(struct life *l)
{
	const struct iommu_viommu_amd_invalidate all = { .cmd = { 8ULL << 60 } };
	uint32_t num = 1;

	if (!l->amd)
		return send_desc(&l->vm, D_IOTLB_GLOBAL);
	return iommufd_invalidate(l->vm.fd, l->vm.viommu,
				  IOMMU_VIOMMU_INVALIDATE_DATA_AMD, &all,
				  sizeof(all), &num);
}

static int hw_info(struct life *l)
{
	uint64_t data[8];
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = l->dev.edu.id,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)data,
	};
	int rc = xioctl(l->vm.fd, IOMMU_GET_HW_INFO, &cmd);

	l->amd = cmd.out_data_type == IOMMU_HW_INFO_TYPE_AMD;
	return rc;
}

/* In the order of a VMM */
enum {
	HW_INFO,
	PARENT_ALLOC,
	VIOMMU_ALLOC,
	BYPASS_ALLOC,
	ATTACH_BYPASS,
	NESTED_ALLOC,
	VEVENTQ_ALLOC,
	VDEVICE_ALLOC,
	ATTACH_NESTED,
	ATTACH_PARENT,
	ATTACH_AGAIN,
	ATTACH_PASID,
	MAP,
	UNMAP,
	FLUSH,
	STEPS
};

/* @failures: at least so many allocations can fail */
static const struct step {
	int (*take)(struct life *l);
	unsigned int failures;
} steps[] = {
	[HW_INFO] = { hw_info, 1 },
	[PARENT_ALLOC] = { parent_alloc, 1 },
	[VIOMMU_ALLOC] = { viommu_new, 1 },
	[BYPASS_ALLOC] = { bypass_alloc, 1 },
	[ATTACH_BYPASS] = { attach_bypass, 1 },
	[NESTED_ALLOC] = { guest_alloc, 1 },
	[VEVENTQ_ALLOC] = { queue_alloc, 1 },
	[VDEVICE_ALLOC] = { vdevice_new, 1 },
	[ATTACH_NESTED] = { attach_nested, 1 },
	[ATTACH_PARENT] = { attach_parent, 1 },
	[ATTACH_AGAIN] = { attach_nested, 1 },
	[ATTACH_PASID] = { attach_pasid, 0 },
	[MAP] = { map_here, 1 },
	[UNMAP] = { unmap_here, 0 },
	[FLUSH] = { flush_all, 0 },
};

/*
 * Steps from @from up to @to, without it, without failures. Returns the number of
 * the one that failed, or @to.
 */
static unsigned int take_steps(struct life *l, unsigned int from, unsigned int to)
{
	while (from < to && !steps[from].take(l))
		from++;
	return from;
}

/* What requests do: those for the guest's tables, for the parent's, with a PASID */
struct seen {
	int page[3];
};

static struct seen look(struct life *l)
{
	return (struct seen) { {
		lands_at(&l->dev, &l->vm, NO_PASID, 0, WHERE),
		lands_at(&l->dev, &l->vm, NO_PASID, 0, IPA(PAGE_C)),
		lands_at(&l->dev, &l->vm, PASID, 0, WHERE),
	} };
}

static int life_end(struct life *l)
{
	struct vm *vm = &l->vm;
	uint32_t ids[] = { vm->vdevice, l->veventq, l->nested, l->bypass,
			   vm->viommu, vm->s2 };
	unsigned int i;
	int rc = l->amd ? 0 : detach(&l->dev, PASID);

	if (!rc)
		rc = edu_detach(&l->dev.edu);
	close(l->event_fd);
	for (i = 0; !rc && i < sizeof(ids) / sizeof(ids[0]); i++)
		rc = destroy(vm, ids[i]);
	return rc;
}

FIXTURE_VARIANT(memory)
{
	unsigned int step;
};

FIXTURE_VARIANT_ADD(memory, hw_info)
{
	.step = HW_INFO,
};

FIXTURE_VARIANT_ADD(memory, parent_alloc)
{
	.step = PARENT_ALLOC,
};

FIXTURE_VARIANT_ADD(memory, viommu_alloc)
{
	.step = VIOMMU_ALLOC,
};

FIXTURE_VARIANT_ADD(memory, bypass_alloc)
{
	.step = BYPASS_ALLOC,
};

FIXTURE_VARIANT_ADD(memory, attach_bypass)
{
	.step = ATTACH_BYPASS,
};

FIXTURE_VARIANT_ADD(memory, nested_alloc)
{
	.step = NESTED_ALLOC,
};

FIXTURE_VARIANT_ADD(memory, veventq_alloc)
{
	.step = VEVENTQ_ALLOC,
};

FIXTURE_VARIANT_ADD(memory, vdevice_alloc)
{
	.step = VDEVICE_ALLOC,
};

FIXTURE_VARIANT_ADD(memory, attach_nested)
{
	.step = ATTACH_NESTED,
};

FIXTURE_VARIANT_ADD(memory, attach_parent)
{
	.step = ATTACH_PARENT,
};

FIXTURE_VARIANT_ADD(memory, attach_again)
{
	.step = ATTACH_AGAIN,
};

FIXTURE_VARIANT_ADD(memory, attach_pasid)
{
	.step = ATTACH_PASID,
};

FIXTURE_VARIANT_ADD(memory, map)
{
	.step = MAP,
};

FIXTURE_SETUP(memory)
{
	struct life *l = &self->life;
	struct first_stage fs;
	struct edu none;

	memset(l, 0, sizeof(*l));
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_TRUE(have_fault_injection);
	self->nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->nth_fd);
	ASSERT_EQ(0, vm_build(&l->vm, &none, 0, VM_MEMORY));
	ASSERT_EQ(0, device_open(&l->dev, l->vm.fd, 0));
	first_stage_init(&fs, &l->vm);
	first_stage_map(&fs, &l->vm, WHERE, PAGE_A);
	l->root = fs.ipa;
	*(volatile uint64_t *)vm_page(&l->vm, T_GCR3) = l->root | 1;
	self->domains = domains_used();
}

FIXTURE_TEARDOWN(memory)
{
	struct life *l = &self->life;

	EXPECT_EQ(self->domains, domains_used());
	device_close(&l->dev);
	close(l->vm.fd);
	munmap(l->vm.mem, GUEST_PAGES * PAGE_SIZE);
	EXPECT_EQ(0, kmsg_count(self->kmsg, MEMORY_TROUBLE));
	close(self->kmsg);
	close(self->nth_fd);
}

TEST_F(memory, fails)
{
	const unsigned int at = variant->step;
	struct life *l = &self->life;
	unsigned int n, i, failures = 0;
	struct seen before, after;
	int hit, rc;

	for (n = 1; n < NTH_LIMIT; n++) {
		ASSERT_EQ(at, take_steps(l, 0, at));
		before = look(l);
		ASSERT_EQ(0, nth_arm(self->nth_fd, n));
		rc = steps[at].take(l);
		hit = nth_disarm(self->nth_fd);
		ASSERT_LE(0, hit);
		if (rc) {
			ASSERT_EQ(-ENOMEM, rc);
			ASSERT_EQ(1, hit);
			failures++;
			after = look(l);
			for (i = 0; i < 3; i++)
				ASSERT_EQ(before.page[i], after.page[i]);
			ASSERT_EQ(0, steps[at].take(l));
		}
		ASSERT_EQ(STEPS, take_steps(l, at + 1, STEPS));
		ASSERT_EQ(PAGE_A, lands_at(&l->dev, &l->vm, NO_PASID, 0, WHERE));
		ASSERT_EQ(0, life_end(l));
		ASSERT_EQ(BLOCKED, lands_at(&l->dev, &l->vm, NO_PASID, 0, WHERE));
		if (!hit)
			break;
	}
	TH_LOG("%u allocations, %u failures", n - 1, failures);
	EXPECT_LE(steps[at].failures, failures);
}

TEST_HARNESS_MAIN
