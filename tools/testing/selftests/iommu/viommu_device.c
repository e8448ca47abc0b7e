// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the connection between a device and a VM: events of the device, the
 * nested HWPTs that it can attach to, and the destruction of its vDEVICE
 */
#include <pthread.h>
#include <stdatomic.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "viommu_utils.h"

FIXTURE(device)
{
	struct vm vm;
	int fd;
	__u32 nested;
	__u32 queue;
	int events;
};

FIXTURE_SETUP(device)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	OK(nested_alloc(self->fd, self->vm.dev, self->vm.viommu, 0,
			&self->nested));
	OK(veventq_alloc(self->fd, self->vm.viommu, 8, &self->queue,
			 &self->events));
}

FIXTURE_TEARDOWN(device)
{
	close(self->events);
	vm_close(&self->vm);
	NOTHING_LEFT();
}

/* Let the device raise an event as hardware does, in interrupt context */
static int device_event(int fd, __u32 dev)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_DEVICE_EVENT,
		.trigger_vevent.dev_id = dev,
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

/* The virtual ID in the next event, -1 if there is none */
static long long next_event(int events)
{
	struct vevent_record record;

	if (read(events, &record, sizeof(record)) != sizeof(record))
		return -1;
	return record.event.virt_id;
}

TEST_F(device, events_follow_the_attachment)
{
	struct vm *vm = &self->vm;
	__u32 vdevice, other;

	/* Without vDEVICE and nested HWPT, then with one of them */
	FAILS(ENOENT, device_event(self->fd, vm->dev));
	OK(vdevice_alloc(self->fd, vm->viommu, vm->dev, VIRT_ID, &vdevice));
	FAILS(ENOENT, device_event(self->fd, vm->dev));
	EXPECT_EQ(-1, next_event(self->events));

	OK(mock_attach(self->fd, vm->stdev, self->nested));
	OK(device_event(self->fd, vm->dev));
	EXPECT_EQ(VIRT_ID, next_event(self->events));

	/* A replace that fails changes nothing */
	OK(nested_alloc(self->fd, vm->dev, vm->viommu, 0, &other));
	OK(mock_fail(self->fd, MOCK_VIOMMU_FAIL_ATTACH, ENOMEM, 0));
	FAILS(ENOMEM, mock_attach(self->fd, vm->stdev, other));
	OK(device_event(self->fd, vm->dev));
	EXPECT_EQ(VIRT_ID, next_event(self->events));
	OK(mock_attach(self->fd, vm->stdev, other));
	OK(device_event(self->fd, vm->dev));
	EXPECT_EQ(VIRT_ID, next_event(self->events));

	/* Events go to the host again */
	OK(mock_attach(self->fd, vm->stdev, vm->s2));
	FAILS(ENOENT, device_event(self->fd, vm->dev));
	OK(mock_attach(self->fd, vm->stdev, self->nested));
	OK(device_event(self->fd, vm->dev));
	EXPECT_EQ(VIRT_ID, next_event(self->events));
	OK(destroy(self->fd, vdevice));
	FAILS(ENOENT, device_event(self->fd, vm->dev));

	/* The next vDEVICE has another ID */
	OK(vdevice_alloc(self->fd, vm->viommu, vm->dev, VIRT_ID + 1, &vdevice));
	OK(device_event(self->fd, vm->dev));
	EXPECT_EQ(VIRT_ID + 1, next_event(self->events));
	EXPECT_EQ(-1, next_event(self->events));
}

TEST_F(device, attach_needs_the_vdevice_of_the_same_viommu)
{
	struct vm *vm = &self->vm;
	__u32 vdevice, viommu, nested;

	FAILS(ENOENT, mock_attach(self->fd, vm->stdev, self->nested));
	OK(viommu_alloc(self->fd, vm->dev, vm->s2, NULL, &viommu));
	OK(nested_alloc(self->fd, vm->dev, viommu, 0, &nested));
	OK(vdevice_alloc(self->fd, viommu, vm->dev, VIRT_ID, &vdevice));
	FAILS(ENOENT, mock_attach(self->fd, vm->stdev, self->nested));
	OK(mock_attach(self->fd, vm->stdev, nested));

	/* The device is attached to the other vIOMMU and stays there */
	FAILS(ENOENT, mock_attach(self->fd, vm->stdev, self->nested));
	FAILS(EBUSY, destroy(self->fd, nested));
	FAILS(EOPNOTSUPP, device_event(self->fd, vm->dev));
}

/* IOMMU_GET_HW_INFO that stalls in a page fault, with the device in use */
struct stalled {
	int fd;
	__u32 dev;
	void *buf;
	int rc;
};

static void *stalled_hw_info(void *arg)
{
	struct stalled *s = arg;
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = s->dev,
		.data_len = 64,
		.data_uptr = (uintptr_t)s->buf,
	};

	s->rc = iommufd_ioctl(s->fd, IOMMU_GET_HW_INFO, &cmd);
	return NULL;
}

struct unplug {
	int fd;
	__u32 stdev;
	atomic_int done;
	int rc;
};

static void *unplug(void *arg)
{
	struct unplug *u = arg;

	u->rc = destroy(u->fd, u->stdev);
	u->done = 1;
	return NULL;
}

/*
 * An ioctl may hold a device for as long as user space likes, but the device's
 * driver does not wait forever. By then the vDEVICE must be gone, so that no
 * command finds it.
 */
TEST_F(device, vdevice_goes_before_the_device_is_waited_for)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_zeropage zero = {};
	struct stalled s = { .fd = self->fd, .dev = self->vm.dev };
	struct unplug u = { .fd = self->fd, .stdev = self->vm.stdev };
	long page_size = sysconf(_SC_PAGE_SIZE);
	pthread_t stalled, unplugging;
	struct uffd_msg msg;
	unsigned int i;
	__u32 vdevice;
	int uffd, rc;

	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &vdevice));
	OK(invalidate_one(self->fd, self->vm.viommu, VIRT_ID, 0));

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, uffd);
	OK(ioctl(uffd, UFFDIO_API, &api));
	s.buf = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, s.buf);
	reg.range.start = (uintptr_t)s.buf;
	reg.range.len = page_size;
	OK(ioctl(uffd, UFFDIO_REGISTER, &reg));
	OK(pthread_create(&stalled, NULL, stalled_hw_info, &s));
	ASSERT_EQ(sizeof(msg), read(uffd, &msg, sizeof(msg)));

	OK(pthread_create(&unplugging, NULL, unplug, &u));
	/* Well before the kernel stops waiting for the device */
	for (i = 0; i < 3000; i++) {
		rc = invalidate_one(self->fd, self->vm.viommu, VIRT_ID, 0);
		if (rc)
			break;
		usleep(10000);
	}
	EXPECT_EQ(-EINVAL, rc);
	EXPECT_EQ(0, u.done);
	FAILS(ENOENT, destroy(self->fd, vdevice));
	FAILS(ENOENT, vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev,
				    VIRT_ID, &vdevice));

	zero.range = reg.range;
	OK(ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	OK(pthread_join(stalled, NULL));
	OK(pthread_join(unplugging, NULL));
	EXPECT_EQ(0, s.rc);
	EXPECT_EQ(0, u.rc);
	munmap(s.buf, page_size);
	close(uffd);
}

TEST_HARNESS_MAIN
