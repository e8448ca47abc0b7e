// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection into each vIOMMU ioctl
 *
 * The kernel lets the n-th allocation, user access or lookup of a thread fail
 * (/proc/self/task/TID/fail-nth). A step runs with n = 1, 2, ... until no fault
 * is hit any more. If the step fails it must have changed nothing: the driver
 * holds the same objects as before, the step succeeds when it is repeated, and
 * afterwards all objects can be destroyed one by one. The step may also succeed
 * in spite of the fault.
 *
 * The kernel's own checks count as well, so run this with panic_on_warn and
 * kmemleak.
 */
#include "viommu_utils.h"
#include "fail_nth.h"

struct step_vm {
	struct vm vm;
	/*
	 * Objects that the step allocated; destroyed after it in reverse order
	 */
	__u32 id[4];
	__u32 num;
	/* Prepared for steps that need it */
	__u32 nested;
	__u32 vdevice;
	__u32 fault;
	int fault_fd;
	__u32 queue;
	int event_fd;
	__u32 mapped_viommu;
	__u64 map_offset;
	__u64 map_length;
};

FIXTURE(fail_nth)
{
	struct step_vm s;
	int nth_fd;
};

/* Bits: the objects that a step needs */
#define WITH_VDEVICE 1
#define WITH_NESTED 2
#define WITH_FAULT 4
#define WITH_ATTACHED 8
/* A queue with two events */
#define WITH_EVENTS 16
/* A vIOMMU whose registers can be mapped */
#define WITH_REGION 32

typedef int (*step_fn)(struct step_vm *s);

static int step_prepare(struct step_vm *s, unsigned int with)
{
	struct iommu_viommu_selftest data = {};
	struct vm *vm = &s->vm;
	int rc;

	s->num = 0;
	s->nested = 0;
	s->vdevice = 0;
	s->fault = 0;
	s->queue = 0;
	s->mapped_viommu = 0;
	rc = vm_open(vm);
	if (!rc && with & WITH_VDEVICE)
		rc = vdevice_alloc(vm->fd, vm->viommu, vm->dev, VIRT_ID,
				   &s->vdevice);
	if (!rc && with & WITH_FAULT)
		rc = fault_queue_alloc(vm->fd, &s->fault, &s->fault_fd);
	if (!rc && with & WITH_NESTED)
		rc = nested_alloc(vm->fd, vm->dev, vm->viommu, s->fault,
				  &s->nested);
	if (!rc && with & WITH_ATTACHED)
		rc = mock_attach(vm->fd, vm->stdev, s->nested);
	if (!rc && with & WITH_EVENTS)
		rc = veventq_alloc(vm->fd, vm->viommu, 4, &s->queue,
				   &s->event_fd);
	if (!rc && with & WITH_EVENTS)
		rc = mock_trigger_vevent(vm->fd, vm->dev);
	if (!rc && with & WITH_EVENTS)
		rc = mock_trigger_vevent(vm->fd, vm->dev);
	if (!rc && with & WITH_REGION)
		rc = viommu_alloc(vm->fd, vm->dev, vm->s2, &data,
				  &s->mapped_viommu);
	s->map_offset = data.out_mmap_offset;
	s->map_length = data.out_mmap_length;
	return rc;
}

/* Every object can be destroyed at once, one by one */
static int step_clean(struct step_vm *s)
{
	struct vm *vm = &s->vm;
	int rc = 0;

	if (vm->stdev)
		rc = mock_attach(vm->fd, vm->stdev, vm->ioas);
	while (!rc && s->num)
		rc = destroy(vm->fd, s->id[--s->num]);
	if (!rc && s->nested)
		rc = destroy(vm->fd, s->nested);
	if (!rc && s->fault) {
		close(s->fault_fd);
		rc = destroy(vm->fd, s->fault);
	}
	if (!rc && s->queue) {
		close(s->event_fd);
		rc = destroy(vm->fd, s->queue);
	}
	if (!rc && s->vdevice)
		rc = destroy(vm->fd, s->vdevice);
	if (!rc && s->mapped_viommu)
		rc = destroy(vm->fd, s->mapped_viommu);
	if (!rc && !vm->stdev) {
		/*
		 * It was unplugged, but the teardown needs something to destroy
		 */
		rc = mock_plug(vm->fd, vm->ioas, 0, &vm->stdev, &vm->dev);
	}
	if (!rc)
		rc = vm_take_apart(vm);
	vm_close(vm);
	return rc;
}

static void sweep(struct __test_metadata *_metadata, int nth_fd,
		  struct step_vm *s, step_fn step, unsigned int with)
{
	unsigned int n, failures = 0;
	int hit, held, rc;
	__u32 next;

	for (n = 0; n < NTH_LIMIT; n++) {
		OK(step_prepare(s, with));
		held = mock_held(s->vm.fd);
		next = next_id(s->vm.fd);
		/* First it must succeed without faults */
		if (n)
			OK(nth_arm(nth_fd, n));
		rc = step(s);
		hit = nth_disarm(nth_fd);
		ASSERT_LE(0, hit);
		if (!n)
			OK(rc);
		if (rc) {
			ASSERT_EQ(1, hit);
			failures++;
			ASSERT_EQ(held, mock_held(s->vm.fd)) {
				TH_LOG("n = %u: %s", n, strerror(-rc));
			}
			/* An attach may succeed but fail to report it */
			ASSERT_GE(next, next_id(s->vm.fd));
			rc = step(s);
			ASSERT_EQ(0, rc) {
				TH_LOG("n = %u: not repeatable: %s", n,
				       strerror(-rc));
			}
		}
		rc = step_clean(s);
		ASSERT_EQ(0, rc) {
			TH_LOG("n = %u: clean up: %s", n, strerror(-rc));
		}
		ASSERT_STREQ("nothing", left_behind() ?: "nothing") {
			TH_LOG("n = %u", n);
		}
		if (n && !hit)
			break;
	}
	ASSERT_GT(NTH_LIMIT, n);
	/* The command is copied from user space, so at least this can fail */
	ASSERT_LT(0, failures);
	TH_LOG("%u points, %u failures", n - 1, failures);
}

FIXTURE_SETUP(fail_nth)
{
	self->s.vm.fd = -1;
	self->nth_fd = -1;
	if (!have_fault_injection)
		SKIP(return, "fault injection is not enabled in the kernel");
	NOTHING_LEFT();
	self->nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	ASSERT_NE(-1, self->nth_fd);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->nth_fd);
	vm_close(&self->s.vm);
	if (have_fault_injection)
		NOTHING_LEFT();
}

static int made(struct step_vm *s, int rc, __u32 id)
{
	if (!rc)
		s->id[s->num++] = id;
	return rc;
}

static int step_viommu_alloc(struct step_vm *s)
{
	__u32 id = 0;
	int rc = viommu_alloc(s->vm.fd, s->vm.dev, s->vm.s2, NULL, &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, viommu_alloc)
{
	sweep(_metadata, self->nth_fd, &self->s, step_viommu_alloc, 0);
}

static int step_viommu_alloc_data(struct step_vm *s)
{
	struct iommu_viommu_selftest data = { .in_data = 3 };
	__u32 id = 0;
	int rc = viommu_alloc(s->vm.fd, s->vm.dev, s->vm.s2, &data, &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, viommu_alloc_data)
{
	sweep(_metadata, self->nth_fd, &self->s, step_viommu_alloc_data, 0);
}

static int step_vdevice_alloc(struct step_vm *s)
{
	__u32 id = 0;
	int rc = vdevice_alloc(s->vm.fd, s->vm.viommu, s->vm.dev, VIRT_ID, &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, vdevice_alloc)
{
	sweep(_metadata, self->nth_fd, &self->s, step_vdevice_alloc, 0);
}

/* A virtual ID that needs an xarray of several levels */
static int step_vdevice_alloc_sparse(struct step_vm *s)
{
	__u32 id = 0;
	int rc = vdevice_alloc(s->vm.fd, s->vm.viommu, s->vm.dev, 0xfffffff0,
			       &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, vdevice_alloc_sparse)
{
	sweep(_metadata, self->nth_fd, &self->s, step_vdevice_alloc_sparse, 0);
}

static int step_hw_queue_alloc(struct step_vm *s)
{
	__u32 id = 0;
	int rc = hw_queue_alloc(s->vm.fd, s->vm.viommu, s->num,
				MOCK_APERTURE_START, 64, &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, hw_queue_alloc)
{
	sweep(_metadata, self->nth_fd, &self->s, step_hw_queue_alloc, 0);
}

/* With a queue below it */
static int step_hw_queue_alloc_two(struct step_vm *s)
{
	int rc = s->num ? 0 : step_hw_queue_alloc(s);

	if (!rc)
		rc = step_hw_queue_alloc(s);
	/* All or nothing */
	if (rc && s->num)
		destroy(s->vm.fd, s->id[--s->num]);
	return rc;
}

TEST_F(fail_nth, hw_queue_alloc_two)
{
	sweep(_metadata, self->nth_fd, &self->s, step_hw_queue_alloc_two, 0);
}

/* Pinned for writing, and in several pieces */
static int step_hw_queue_alloc_written(struct step_vm *s)
{
	__u32 id = 0;
	int rc = iommufd_hw_queue_alloc(s->vm.fd, s->vm.viommu,
					IOMMU_HW_QUEUE_TYPE_SELFTEST_WRITTEN, 0,
					MOCK_APERTURE_START, vm_memory_size,
					&id);

	return made(s, rc, id);
}

TEST_F(fail_nth, hw_queue_alloc_written)
{
	sweep(_metadata, self->nth_fd, &self->s, step_hw_queue_alloc_written,
	      0);
}

static int step_map(struct step_vm *s)
{
	size_t length = s->map_length;
	void *map;

	map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, s->vm.fd,
		   s->map_offset);
	if (map == MAP_FAILED)
		return -errno;
	while (munmap(map, length))
		;
	return 0;
}

TEST_F(fail_nth, map)
{
	sweep(_metadata, self->nth_fd, &self->s, step_map, WITH_REGION);
}

static int step_nested_alloc(struct step_vm *s)
{
	__u32 id = 0;
	int rc = nested_alloc(s->vm.fd, s->vm.dev, s->vm.viommu, s->fault, &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, nested_alloc)
{
	sweep(_metadata, self->nth_fd, &self->s, step_nested_alloc, 0);
}

TEST_F(fail_nth, nested_alloc_with_fault_queue)
{
	sweep(_metadata, self->nth_fd, &self->s, step_nested_alloc, WITH_FAULT);
}

static int step_attach(struct step_vm *s)
{
	return mock_attach(s->vm.fd, s->vm.stdev, s->nested);
}

TEST_F(fail_nth, attach)
{
	sweep(_metadata, self->nth_fd, &self->s, step_attach,
	      WITH_VDEVICE | WITH_NESTED);
}

TEST_F(fail_nth, attach_with_fault_queue)
{
	sweep(_metadata, self->nth_fd, &self->s, step_attach,
	      WITH_VDEVICE | WITH_NESTED | WITH_FAULT);
}

static int step_attach_s2(struct step_vm *s)
{
	return mock_attach(s->vm.fd, s->vm.stdev, s->vm.s2);
}

TEST_F(fail_nth, attach_s2_in_place_of_nested)
{
	sweep(_metadata, self->nth_fd, &self->s, step_attach_s2,
	      WITH_VDEVICE | WITH_NESTED | WITH_ATTACHED);
}

static int step_invalidate(struct step_vm *s)
{
	const struct iommu_viommu_invalidate_selftest cmds[] = {
		{ .vdev_id = VIRT_ID, .cache_id = 0 },
		{ .vdev_id = VIRT_ID, .cache_id = 1 },
		{ .vdev_id = VIRT_ID, .cache_id = 2 },
	};
	__u32 num = ARRAY_SIZE(cmds);
	int rc = invalidate(s->vm.fd, s->vm.viommu, cmds, &num);

	return !rc && num != ARRAY_SIZE(cmds) ? -EPROTO : rc;
}

TEST_F(fail_nth, invalidate)
{
	sweep(_metadata, self->nth_fd, &self->s, step_invalidate, WITH_VDEVICE);
}

static int step_hw_info(struct step_vm *s)
{
	struct iommu_test_hw_info info[2];
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
		.dev_id = s->vm.dev,
		.data_len = sizeof(info),
		.data_uptr = (uintptr_t)info,
		.in_data_type = IOMMU_HW_INFO_TYPE_SELFTEST,
	};

	return iommufd_ioctl(s->vm.fd, IOMMU_GET_HW_INFO, &cmd);
}

TEST_F(fail_nth, hw_info)
{
	sweep(_metadata, self->nth_fd, &self->s, step_hw_info, 0);
}

/* Core code alone */
static int step_viommu_alloc_default(struct step_vm *s)
{
	__u32 id = 0;
	int rc = viommu_alloc_default(s->vm.fd, s->vm.dev, s->vm.s2, &id);

	return made(s, rc, id);
}

TEST_F(fail_nth, viommu_alloc_default)
{
	sweep(_metadata, self->nth_fd, &self->s, step_viommu_alloc_default, 0);
}

static int step_veventq_alloc(struct step_vm *s)
{
	__u32 id = 0;
	int event_fd;
	/* The kernel must not complain of a failure of a large queue either */
	int rc = veventq_alloc(s->vm.fd, s->vm.viommu, 1 << 15, &id, &event_fd);

	if (!rc)
		close(event_fd);
	return made(s, rc, id);
}

TEST_F(fail_nth, veventq_alloc)
{
	sweep(_metadata, self->nth_fd, &self->s, step_veventq_alloc, 0);
}

/* Read all queued events in order */
static int read_all_events(struct step_vm *s)
{
	struct vevent_record r[4];
	size_t have = 0;
	unsigned int i;
	ssize_t rc;

	/* A fault after the first record makes the first read short */
	do {
		rc = read(s->event_fd, (void *)r + have, sizeof(r) - have);
		if (rc < 0)
			return have ? -EPROTO : -errno;
		have += rc;
	} while (rc && have < sizeof(r));

	for (i = 0; i < have / sizeof(*r); i++)
		if (r[i].header.flags || r[i].header.sequence != i ||
		    r[i].event.virt_id != VIRT_ID)
			return -EPROTO;
	return have;
}

static int step_read_events(struct step_vm *s)
{
	int rc = read_all_events(s);

	if (rc < 0)
		return rc;
	return rc == 2 * sizeof(struct vevent_record) ? 0 : -EPROTO;
}

TEST_F(fail_nth, read_events)
{
	sweep(_metadata, self->nth_fd, &self->s, step_read_events,
	      WITH_VDEVICE | WITH_EVENTS);
}

static int step_report_event(struct step_vm *s)
{
	int rc = mock_trigger_vevent(s->vm.fd, s->vm.dev);

	if (rc)
		return rc;
	/* There were two events; the fault may also hit the read */
	rc = read_all_events(s);
	if (rc == -EFAULT)
		rc = read_all_events(s);
	if (rc < 0)
		return rc;
	return rc == 3 * sizeof(struct vevent_record) ? 0 : -EPROTO;
}

TEST_F(fail_nth, report_event)
{
	sweep(_metadata, self->nth_fd, &self->s, step_report_event,
	      WITH_VDEVICE | WITH_EVENTS);
}

/* DESTROY can fail as well, before it has done anything */
static int step_destroy_one(struct step_vm *s, __u32 *id)
{
	int rc = destroy(s->vm.fd, *id);

	/* For step_clean(), and for the number of objects held */
	if (!rc)
		*id = 0;
	return rc;
}

static int step_destroy_vdevice(struct step_vm *s)
{
	return step_destroy_one(s, &s->vdevice);
}

TEST_F(fail_nth, destroy_vdevice)
{
	sweep(_metadata, self->nth_fd, &self->s, step_destroy_vdevice,
	      WITH_VDEVICE);
}

static int step_destroy_nested(struct step_vm *s)
{
	return step_destroy_one(s, &s->nested);
}

TEST_F(fail_nth, destroy_nested)
{
	sweep(_metadata, self->nth_fd, &self->s, step_destroy_nested,
	      WITH_NESTED);
}

/* The device is closed while it is attached and has a vDEVICE */
static int step_unplug(struct step_vm *s)
{
	int rc = step_destroy_one(s, &s->vm.stdev);

	if (!rc && s->vdevice) {
		rc = destroy(s->vm.fd, s->vdevice);
		/* The fault may hit this too */
		if (rc == -EFAULT)
			rc = destroy(s->vm.fd, s->vdevice);
		if (rc != -ENOENT)
			return -EPROTO;
		s->vdevice = 0;
		rc = 0;
	}
	return rc;
}

TEST_F(fail_nth, unplug)
{
	sweep(_metadata, self->nth_fd, &self->s, step_unplug, WITH_VDEVICE);
}

TEST_F(fail_nth, unplug_attached)
{
	sweep(_metadata, self->nth_fd, &self->s, step_unplug,
	      WITH_VDEVICE | WITH_NESTED | WITH_ATTACHED);
}

TEST_F(fail_nth, unplug_attached_with_fault_queue)
{
	sweep(_metadata, self->nth_fd, &self->s, step_unplug,
	      WITH_VDEVICE | WITH_NESTED | WITH_ATTACHED | WITH_FAULT);
}

/*
 * The whole life of a VM in one step. Wherever it fails, closing the iommufd
 * cleans up. Nothing is repeated: one of many ioctls fails.
 */
static int whole_life(struct vm *vm)
{
	struct iommu_viommu_selftest data = {};
	__u32 fault, vdev, queue, nested[2];
	int fault_fd = -1, event_fd = -1;
	int rc;

	vm->fd = open("/dev/iommu", O_RDWR);
	rc = vm->fd < 0 ? -errno : 0;
	rc = rc ?: ioas_alloc(vm->fd, &vm->ioas);
	rc = rc ?: ioas_map_memory(vm->fd, vm->ioas);
	rc = rc ?: mock_plug(vm->fd, vm->ioas, 0, &vm->stdev, &vm->dev);
	rc = rc	   ?:
		     hwpt_alloc(vm->fd, vm->dev, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT, &vm->s2);
	rc = rc ?: viommu_alloc(vm->fd, vm->dev, vm->s2, &data, &vm->viommu);
	rc = rc ?: fault_queue_alloc(vm->fd, &fault, &fault_fd);
	rc = rc ?: nested_alloc(vm->fd, vm->dev, vm->viommu, 0, &nested[0]);
	rc = rc ?: nested_alloc(vm->fd, vm->dev, vm->viommu, fault, &nested[1]);
	rc = rc ?: vdevice_alloc(vm->fd, vm->viommu, vm->dev, VIRT_ID, &vdev);
	rc = rc ?: veventq_alloc(vm->fd, vm->viommu, 1, &queue, &event_fd);
	rc = rc ?: mock_attach(vm->fd, vm->stdev, nested[0]);
	rc = rc ?: mock_trigger_vevent(vm->fd, vm->dev);
	rc = rc ?: mock_attach(vm->fd, vm->stdev, nested[1]);
	rc = rc ?: destroy(vm->fd, nested[0]);
	rc = rc ?: invalidate_one(vm->fd, vm->viommu, VIRT_ID, 0);
	rc = rc ?: mock_attach(vm->fd, vm->stdev, vm->s2);
	rc = rc ?: destroy(vm->fd, nested[1]);
	if (fault_fd >= 0)
		close(fault_fd);
	if (event_fd >= 0)
		close(event_fd);
	rc = rc ?: destroy(vm->fd, fault);
	rc = rc ?: destroy(vm->fd, queue);
	rc = rc ?: destroy(vm->fd, vm->stdev);
	rc = rc ?: destroy(vm->fd, vm->viommu);
	rc = rc ?: destroy(vm->fd, vm->s2);
	return rc ?: destroy(vm->fd, vm->ioas);
}

TEST_F_TIMEOUT(fail_nth, whole_life_then_close, 600)
{
	unsigned int n, failures = 0;
	int hit = 1, rc;

	for (n = 1; n < 4 * NTH_LIMIT && hit; n++) {
		OK(nth_arm(self->nth_fd, n));
		rc = whole_life(&self->s.vm);
		hit = nth_disarm(self->nth_fd);
		ASSERT_LE(0, hit);
		if (rc) {
			ASSERT_EQ(1, hit) {
				TH_LOG("n = %u: %s", n, strerror(-rc));
			}
			failures++;
		}
		vm_close(&self->s.vm);
		ASSERT_STREQ("nothing", left_behind() ?: "nothing") {
			TH_LOG("n = %u", n);
		}
	}
	OK(hit);
	ASSERT_LT(20, failures);
	TH_LOG("%u points, %u failures", n - 2, failures);
}

TEST_HARNESS_MAIN
