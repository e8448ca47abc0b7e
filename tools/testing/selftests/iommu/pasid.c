// SPDX-License-Identifier: GPL-2.0-only
/*
 * HWPTs on PASIDs
 *
 * The mock driver compares what the core replaces and removes with what the
 * device has, and warns if they differ. After each mistake the tests check that
 * nothing has changed.
 */
#include <poll.h>

#include "pasid.h"
#include "fail_nth.h"

FIXTURE(pasid)
{
	struct pasid_vm p;
	int fd;
	__u32 stdev;
	__u32 dev;
};

FIXTURE_SETUP(pasid)
{
	NOTHING_LEFT();
	OK(pasid_vm_open(&self->p));
	self->fd = self->p.vm.fd;
	self->stdev = self->p.vm.stdev;
	self->dev = self->p.vm.dev;
}

FIXTURE_TEARDOWN(pasid)
{
	EXPECT_EQ(0, pasid_vm_close(&self->p));
	NOTHING_LEFT();
}

#define ATTACHED(_pasid, _pt) \
	EXPECT_EQ(0, pasid_check(self->fd, self->stdev, _pasid, _pt))

TEST_F(pasid, attach_replace_detach)
{
	const __u32 pasids[] = { 1, 2, 77, PASID_ALTERNATES - 1, MAX_PASIDS - 1 };
	struct pasid_vm *p = &self->p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pasids); i++) {
		ATTACHED(pasids[i], 0);
		OK(pasid_attach(self->fd, self->stdev, pasids[i],
				i & 1 ? p->b : p->a));
	}
	for (i = 0; i < ARRAY_SIZE(pasids); i++)
		ATTACHED(pasids[i], i & 1 ? p->b : p->a);
	FAILS(EBUSY, destroy(self->fd, p->a));
	FAILS(EBUSY, destroy(self->fd, p->b));

	for (i = 0; i < ARRAY_SIZE(pasids); i++)
		OK(pasid_replace(self->fd, self->stdev, pasids[i], p->b));
	for (i = 0; i < ARRAY_SIZE(pasids); i++)
		ATTACHED(pasids[i], p->b);
	/* The one that is there */
	OK(pasid_replace(self->fd, self->stdev, pasids[0], p->b));

	for (i = 0; i < ARRAY_SIZE(pasids); i++) {
		OK(pasid_detach(self->fd, self->stdev, pasids[i]));
		ATTACHED(pasids[i], 0);
	}
	/* Again: nothing happens */
	OK(pasid_detach(self->fd, self->stdev, pasids[0]));
	/* HWPTs are used by nothing now, as pasid_vm_close() finds out */
}

TEST_F(pasid, wrong_pasid)
{
	const __u32 wrong[] = { 0, MAX_PASIDS, MAX_PASIDS + 1, 0x7fffffff,
				0x80000001, 0xffffffff };
	struct pasid_vm *p = &self->p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		FAILS(EINVAL, pasid_attach(self->fd, self->stdev, wrong[i],
					   p->a));
		FAILS(EINVAL, pasid_replace(self->fd, self->stdev, wrong[i],
					    p->a));
		OK(pasid_detach(self->fd, self->stdev, wrong[i]));
	}
	/* The device itself is where it was */
	FAILS(EBUSY, destroy(self->fd, p->rid));
}

TEST_F(pasid, wrong_object)
{
	struct pasid_vm *p = &self->p;
	const struct {
		__u32 id;
		int error;
	} wrong[] = {
		{ NO_ID, ENOENT },
		{ 0, ENOENT },
		{ p->vm.ioas, EINVAL },
		{ p->vm.viommu, EINVAL },
		{ p->vm.dev, EINVAL },
		{ p->plain, EINVAL },
		{ p->plain_s2, EINVAL },
	};
	unsigned int i;

	OK(pasid_attach(self->fd, self->stdev, 5, p->a));
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		FAILS(wrong[i].error, pasid_attach(self->fd, self->stdev, 4,
						   wrong[i].id));
		FAILS(wrong[i].error, pasid_replace(self->fd, self->stdev, 5,
						    wrong[i].id));
		ATTACHED(4, 0);
		ATTACHED(5, p->a);
	}
}

TEST_F(pasid, wrong_order)
{
	struct pasid_vm *p = &self->p;

	FAILS(EINVAL, pasid_replace(self->fd, self->stdev, 1, p->a));
	OK(pasid_attach(self->fd, self->stdev, 1, p->a));
	FAILS(EBUSY, pasid_attach(self->fd, self->stdev, 1, p->a));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 1, p->b));
	ATTACHED(1, p->a);
	OK(pasid_detach(self->fd, self->stdev, 1));
	FAILS(EINVAL, pasid_replace(self->fd, self->stdev, 1, p->a));
	ATTACHED(1, 0);
}

/* What the device itself is attached to, and the HWPTs of its PASIDs */
TEST_F(pasid, with_the_device)
{
	struct pasid_vm *p = &self->p;

	OK(pasid_attach(self->fd, self->stdev, 9, p->a));
	FAILS(EINVAL, mock_attach(self->fd, self->stdev, p->plain));
	FAILS(EINVAL, mock_attach(self->fd, self->stdev, p->vm.ioas));
	OK(mock_attach(self->fd, self->stdev, p->b));
	OK(mock_attach(self->fd, self->stdev, p->s2));
	OK(mock_attach(self->fd, self->stdev, p->a));
	ATTACHED(9, p->a);
	OK(pasid_detach(self->fd, self->stdev, 9));

	OK(mock_attach(self->fd, self->stdev, p->plain));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 9, p->a));
	OK(mock_attach(self->fd, self->stdev, p->vm.ioas));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 9, p->a));
	ATTACHED(9, 0);
	OK(mock_attach(self->fd, self->stdev, p->rid));
	OK(pasid_attach(self->fd, self->stdev, 9, p->a));
}

TEST_F(pasid, device_without_pasids)
{
	struct pasid_vm *p = &self->p;
	__u32 stdev, dev;

	OK(mock_plug(self->fd, p->vm.ioas, 0, &stdev, &dev));
	OK(mock_attach(self->fd, stdev, p->rid));
	FAILS(EINVAL, pasid_attach(self->fd, stdev, 1, p->a));
	OK(destroy(self->fd, stdev));
}

/* Two devices use one number for different things */
TEST_F(pasid, two_devices)
{
	struct pasid_vm *p = &self->p;
	__u32 stdev, dev;

	OK(mock_plug(self->fd, p->rid, MOCK_FLAGS_DEVICE_PASID, &stdev, &dev));
	OK(pasid_attach(self->fd, self->stdev, 3, p->a));
	OK(pasid_attach(self->fd, stdev, 3, p->b));
	ATTACHED(3, p->a);
	OK(pasid_check(self->fd, stdev, 3, p->b));
	OK(pasid_detach(self->fd, self->stdev, 3));
	ATTACHED(3, 0);
	OK(pasid_check(self->fd, stdev, 3, p->b));
	OK(destroy(self->fd, stdev));
}

TEST_F(pasid, driver_refuses)
{
	struct pasid_vm *p = &self->p;
	int round;

	for (round = 0; round < 3; round++) {
		OK(pasid_attach(self->fd, self->stdev, PASID_ALTERNATES, p->a));
		FAILS(ENOMEM, pasid_replace(self->fd, self->stdev,
					    PASID_ALTERNATES, p->b));
		ATTACHED(PASID_ALTERNATES, p->a);
		/* It holds what is attached, and not what was refused */
		FAILS(EBUSY, destroy(self->fd, p->a));
		OK(pasid_replace(self->fd, self->stdev, PASID_ALTERNATES,
				 p->b));
		ATTACHED(PASID_ALTERNATES, p->b);
		FAILS(ENOMEM, pasid_replace(self->fd, self->stdev,
					    PASID_ALTERNATES, p->a));
		ATTACHED(PASID_ALTERNATES, p->b);
		OK(pasid_detach(self->fd, self->stdev, PASID_ALTERNATES));
		ATTACHED(PASID_ALTERNATES, 0);
	}
}

TEST_F(pasid, nested)
{
	struct pasid_vm *p = &self->p;
	struct iommu_hwpt_invalidate_selftest inv = {
		.flags = IOMMU_TEST_INVALIDATE_FLAG_ALL,
	};
	__u32 on_s2, on_viommu, plain, vdevice, num = 1;

	OK(pasid_nested_alloc(self->fd, self->dev, p->s2, 0, &on_s2));
	OK(pasid_nested_alloc(self->fd, self->dev, p->vm.viommu, 0,
			      &on_viommu));
	OK(nested_alloc(self->fd, self->dev, p->vm.viommu, 0, &plain));
	FAILS(EOPNOTSUPP, hwpt_alloc(self->fd, self->dev, p->vm.ioas, 0x10,
				     &num));

	OK(pasid_attach(self->fd, self->stdev, 1, on_s2));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 2, plain));
	/* A stage 1 of a vIOMMU needs a virtual device there */
	FAILS(ENOENT, pasid_attach(self->fd, self->stdev, 2, on_viommu));
	FAILS(ENOENT, pasid_replace(self->fd, self->stdev, 1, on_viommu));
	ATTACHED(1, on_s2);
	ATTACHED(2, 0);
	OK(vdevice_alloc(self->fd, p->vm.viommu, self->dev, VIRT_ID, &vdevice));
	OK(pasid_attach(self->fd, self->stdev, 2, on_viommu));
	OK(pasid_replace(self->fd, self->stdev, 1, on_viommu));
	ATTACHED(1, on_viommu);
	ATTACHED(2, on_viommu);
	FAILS(EBUSY, destroy(self->fd, on_viommu));
	FAILS(EBUSY, destroy(self->fd, p->vm.viommu));

	num = 1;
	OK(iommufd_invalidate(self->fd, on_viommu,
			      IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, &inv,
			      sizeof(inv), &num));
	EXPECT_EQ(1, num);

	OK(pasid_detach(self->fd, self->stdev, 1));
	OK(pasid_detach(self->fd, self->stdev, 2));
	OK(destroy(self->fd, vdevice));
	OK(destroy(self->fd, on_viommu));
	OK(destroy(self->fd, on_s2));
	OK(destroy(self->fd, plain));
}

/* A device that is on a vIOMMU by its PASIDs only gets its events there */
TEST_F(pasid, one_viommu)
{
	struct pasid_vm *p = &self->p;
	__u32 viommu2, nested, nested2, on_default, vdevice, queue, num;
	struct vevent_record record;
	int event_fd;

	OK(viommu_alloc(self->fd, self->dev, p->s2, NULL, &viommu2));
	OK(pasid_nested_alloc(self->fd, self->dev, p->vm.viommu, 0, &nested));
	OK(pasid_nested_alloc(self->fd, self->dev, viommu2, 0, &nested2));
	OK(viommu_alloc_default(self->fd, self->dev, p->s2, &num));
	OK(pasid_nested_alloc(self->fd, self->dev, num, 0, &on_default));
	OK(vdevice_alloc(self->fd, p->vm.viommu, self->dev, VIRT_ID, &vdevice));
	OK(veventq_alloc(self->fd, p->vm.viommu, 4, &queue, &event_fd));

	FAILS(ENOENT, mock_trigger_vevent(self->fd, NO_ID));
	OK(pasid_attach(self->fd, self->stdev, 1, nested));
	OK(pasid_attach(self->fd, self->stdev, 2, nested));
	/* Of another vIOMMU, even one that wants no virtual device */
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 3, nested2));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 3, on_default));
	FAILS(EINVAL, pasid_replace(self->fd, self->stdev, 2, on_default));
	FAILS(EINVAL, mock_attach(self->fd, self->stdev, on_default));
	FAILS(EINVAL, mock_attach(self->fd, self->stdev, nested2));
	ATTACHED(2, nested);
	ATTACHED(3, 0);

	OK(mock_trigger_vevent(self->fd, self->dev));
	ASSERT_EQ(sizeof(record), read(event_fd, &record, sizeof(record)));
	EXPECT_EQ(VIRT_ID, record.event.virt_id);

	/* By the device itself as well, then by it alone, then not at all */
	OK(mock_attach(self->fd, self->stdev, nested));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 3, on_default));
	OK(pasid_detach(self->fd, self->stdev, 1));
	OK(pasid_detach(self->fd, self->stdev, 2));
	FAILS(EINVAL, pasid_attach(self->fd, self->stdev, 3, on_default));
	OK(mock_attach(self->fd, self->stdev, p->rid));
	OK(pasid_attach(self->fd, self->stdev, 3, on_default));
	OK(pasid_detach(self->fd, self->stdev, 3));

	close(event_fd);
	OK(destroy(self->fd, queue));
	OK(destroy(self->fd, vdevice));
	OK(destroy(self->fd, nested));
	OK(destroy(self->fd, nested2));
	OK(destroy(self->fd, on_default));
	OK(destroy(self->fd, num));
	OK(destroy(self->fd, viommu2));
}

/* Unbinding the device takes all PASIDs off: by destroy and by close */
TEST_F(pasid, unbind)
{
	struct pasid_vm *p = &self->p;
	__u32 stdev, dev, pasid, nested, vdevice;

	OK(mock_plug(self->fd, p->rid, MOCK_FLAGS_DEVICE_PASID, &stdev, &dev));
	OK(pasid_nested_alloc(self->fd, dev, p->vm.viommu, 0, &nested));
	OK(vdevice_alloc(self->fd, p->vm.viommu, dev, VIRT_ID, &vdevice));
	for (pasid = 1; pasid < 300; pasid++)
		OK(pasid_attach(self->fd, stdev, pasid,
				pasid & 1 ? p->a : nested));
	OK(destroy(self->fd, stdev));
	OK(destroy(self->fd, nested));
	/* The virtual device went with it */
	FAILS(ENOENT, destroy(self->fd, vdevice));

	OK(pasid_vm_close(p));
	NOTHING_LEFT();
	OK(pasid_vm_open(p));
	for (pasid = 1; pasid < 300; pasid++)
		OK(pasid_attach(p->vm.fd, p->vm.stdev, pasid, p->a));
	vm_close(&p->vm);
	NOTHING_LEFT();
	OK(pasid_vm_open(p));
}

struct fault_queue {
	__u32 id;
	int fd;
};

static int next_fault(struct fault_queue *queue, struct iommu_hwpt_pgfault *fault)
{
	struct pollfd pollfd = { .fd = queue->fd, .events = POLLIN };
	ssize_t rc;

	if (poll(&pollfd, 1, 0) != 1)
		return -ENOENT;
	rc = read(queue->fd, fault, sizeof(*fault));
	return rc == sizeof(*fault) ? 0 : -EIO;
}

static int answer(struct fault_queue *queue, __u32 cookie)
{
	struct iommu_hwpt_page_response response = {
		.cookie = cookie,
		.code = IOMMUFD_PAGE_RESP_SUCCESS,
	};

	return write(queue->fd, &response, sizeof(response)) ==
		       sizeof(response) ? 0 : -errno;
}

TEST_F(pasid, page_requests)
{
	struct pasid_vm *p = &self->p;
	struct iommu_hwpt_pgfault fault;
	struct fault_queue qa, qb;
	__u32 a, b;

	OK(fault_queue_alloc(self->fd, &qa.id, &qa.fd));
	OK(fault_queue_alloc(self->fd, &qb.id, &qb.fd));
	OK(pasid_nested_alloc(self->fd, self->dev, p->s2, qa.id, &a));
	OK(pasid_nested_alloc(self->fd, self->dev, p->s2, qb.id, &b));
	OK(pasid_attach(self->fd, self->stdev, 10, a));
	OK(pasid_attach(self->fd, self->stdev, 20, b));
	FAILS(EBUSY, pasid_attach(self->fd, self->stdev, 20, b));

	/* Each to its own queue, with its PASID; others to none */
	OK(pasid_page_request(self->fd, self->dev, 20, 1));
	OK(pasid_page_request(self->fd, self->dev, 10, 2));
	pasid_page_request(self->fd, self->dev, 30, 3);
	pasid_page_request(self->fd, self->dev, 0, 4);
	OK(next_fault(&qa, &fault));
	EXPECT_EQ(10, fault.pasid);
	EXPECT_EQ(IOMMU_PGFAULT_FLAGS_PASID_VALID,
		  fault.flags & IOMMU_PGFAULT_FLAGS_PASID_VALID);
	EXPECT_EQ(self->dev, fault.dev_id);
	EXPECT_EQ(2, fault.grpid);
	OK(answer(&qa, fault.cookie));
	OK(next_fault(&qb, &fault));
	EXPECT_EQ(20, fault.pasid);
	EXPECT_EQ(1, fault.grpid);
	OK(answer(&qb, fault.cookie));
	FAILS(ENOENT, next_fault(&qa, &fault));
	FAILS(ENOENT, next_fault(&qb, &fault));

	/* A replace answers what the old one has, delivered or not */
	OK(pasid_page_request(self->fd, self->dev, 10, 5));
	OK(pasid_page_request(self->fd, self->dev, 10, 6));
	OK(next_fault(&qa, &fault));
	OK(pasid_replace(self->fd, self->stdev, 10, b));
	FAILS(EINVAL, answer(&qa, fault.cookie));
	FAILS(ENOENT, next_fault(&qa, &fault));
	OK(pasid_page_request(self->fd, self->dev, 10, 7));
	OK(next_fault(&qb, &fault));
	EXPECT_EQ(10, fault.pasid);
	EXPECT_EQ(7, fault.grpid);

	/* To one without a queue and back */
	OK(pasid_replace(self->fd, self->stdev, 10, p->a));
	FAILS(EINVAL, answer(&qb, fault.cookie));
	pasid_page_request(self->fd, self->dev, 10, 8);
	FAILS(ENOENT, next_fault(&qb, &fault));
	OK(pasid_replace(self->fd, self->stdev, 10, a));
	OK(pasid_page_request(self->fd, self->dev, 10, 9));

	/* The end with a request in the queue */
	OK(pasid_detach(self->fd, self->stdev, 10));
	FAILS(ENOENT, next_fault(&qa, &fault));
	pasid_page_request(self->fd, self->dev, 10, 10);
	FAILS(ENOENT, next_fault(&qa, &fault));
	OK(pasid_detach(self->fd, self->stdev, 20));

	OK(destroy(self->fd, a));
	OK(destroy(self->fd, b));
	close(qa.fd);
	close(qb.fd);
	OK(destroy(self->fd, qa.id));
	OK(destroy(self->fd, qb.id));
}

TEST_F(pasid, hw_info)
{
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = self->dev,
	};

	OK(iommufd_ioctl(self->fd, IOMMU_GET_HW_INFO, &cmd));
	EXPECT_EQ(20, cmd.out_max_pasid_log2);
}

/* Fault injection: a step that fails has changed nothing */

enum { ATTACH, REPLACE, REPLACE_FAULT, DETACH, NEST, STEPS };

static int step(struct pasid_vm *p, int which, __u32 fault_hwpt, __u32 *nested)
{
	const int fd = p->vm.fd;
	const __u32 stdev = p->vm.stdev;

	switch (which) {
	case ATTACH:
		return pasid_attach(fd, stdev, 70, p->a);
	case REPLACE:
		return pasid_replace(fd, stdev, 70, p->b);
	case REPLACE_FAULT:
		return pasid_replace(fd, stdev, 70, fault_hwpt);
	case DETACH:
		return pasid_detach(fd, stdev, 70);
	default:
		return pasid_nested_alloc(fd, p->vm.dev, p->s2, 0, nested);
	}
}

TEST_F(pasid, fail_nth)
{
	struct pasid_vm *p = &self->p;
	struct fault_queue queue;
	int nth_fd, which;
	__u32 fault_hwpt;

	if (!have_fault_injection)
		SKIP(return, "needs fault injection");
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	ASSERT_LE(0, nth_fd);
	OK(fault_queue_alloc(self->fd, &queue.id, &queue.fd));
	OK(pasid_nested_alloc(self->fd, self->dev, p->s2, queue.id,
			      &fault_hwpt));

	for (which = 0; which < STEPS; which++) {
		unsigned int n, failures = 0;
		int hit = 1;

		for (n = 1; hit; n++) {
			__u32 before = which == ATTACH || which == NEST ? 0 : p->a;
			const __u32 after[] = { p->a, p->b, fault_hwpt, 0, 0 };
			__u32 nested = 0, next;
			int rc;

			ASSERT_GT(NTH_LIMIT, n);
			if (before)
				OK(pasid_attach(self->fd, self->stdev, 70,
						p->a));
			next = next_id(self->fd);
			OK(nth_arm(nth_fd, n));
			rc = step(p, which, fault_hwpt, &nested);
			hit = nth_disarm(nth_fd);
			ASSERT_LE(0, hit);
			if (rc) {
				failures++;
				ASSERT_EQ(1, hit);
				ATTACHED(70, before);
				EXPECT_EQ(next, next_id(self->fd));
				OK(step(p, which, fault_hwpt, &nested));
			}
			ATTACHED(70, after[which]);
			OK(pasid_detach(self->fd, self->stdev, 70));
			if (nested)
				OK(destroy(self->fd, nested));
		}
		/* Nothing can fail in a detach but the copy of the command */
		EXPECT_LE(which == DETACH ? 1 : 2, failures);
	}

	OK(destroy(self->fd, fault_hwpt));
	close(queue.fd);
	OK(destroy(self->fd, queue.id));
	close(nth_fd);
}

TEST_HARNESS_MAIN
