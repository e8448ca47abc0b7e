/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vIOMMU with a vDEVICE and at most one vEVENTQ, and functions to check
 * events
 */
#ifndef __SELFTEST_VEVENTQ_UTILS
#define __SELFTEST_VEVENTQ_UTILS

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <sys/syscall.h>

#include "viommu_utils.h"

#define LAST 0x7fffffff
#define MAX_DEPTH 0x80000

#define HEADER sizeof(struct iommufd_vevent_header)
#define RECORD sizeof(struct vevent_record)

/* read() that returns the size or -errno, as the ioctl functions do */
static int read_events(int fd, void *buf, size_t len)
{
	int rc = read(fd, buf, len);

	return rc < 0 ? -errno : rc;
}

/* Raise @num events for the device */
static int trigger(int fd, __u32 dev, unsigned int num)
{
	int rc = 0;

	while (!rc && num--)
		rc = mock_trigger_vevent(fd, dev);
	return rc;
}

/* The number of the next event */
static int set_sequence(int fd, __u32 dev, __u32 sequence)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_VEVENT_SEQUENCE,
		.vevent_sequence = { .dev_id = dev, .sequence = sequence },
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

static bool is_event(const void *at, __u32 sequence)
{
	struct vevent_record r;

	memcpy(&r, at, sizeof(r));
	return !r.header.flags && r.header.sequence == sequence &&
	       r.event.virt_id == VIRT_ID;
}

static bool is_loss(const void *at, __u32 sequence)
{
	struct iommufd_vevent_header h;

	memcpy(&h, at, sizeof(h));
	return h.flags == IOMMU_VEVENTQ_FLAG_LOST_EVENTS &&
	       h.sequence == sequence;
}

/* Expect @num events, numbered from @sequence */
static bool are_events(const void *at, unsigned int num, __u32 sequence)
{
	unsigned int i;

	for (i = 0; i < num; i++)
		if (!is_event(at + i * RECORD, sequence + i))
			return false;
	return true;
}

/* Returns what poll() reports without waiting */
static int poll_now(int fd)
{
	struct pollfd p = {
		.fd = fd,
		.events = POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDHUP,
	};

	return poll(&p, 1, 0) < 0 ? -errno : p.revents;
}

/* The number that the next open() returns */
static int next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

FIXTURE(veventq)
{
	struct vm vm;
	__u32 vdevice;
	int fd;
	/* At most one queue */
	__u32 queue;
	int events;
	/* A page followed by an unmapped one */
	void *page;
	size_t page_size;
};

FIXTURE_SETUP(veventq)
{
	self->events = -1;
	self->queue = 0;
	self->vm.fd = -1;
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
	self->page_size = sysconf(_SC_PAGE_SIZE);
	self->page = mmap(NULL, 2 * self->page_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	OK(munmap(self->page + self->page_size, self->page_size));
}

FIXTURE_TEARDOWN(veventq)
{
	if (self->events >= 0)
		close(self->events);
	if (self->vm.fd >= 0) {
		/* A leaked reference shows here */
		if (self->queue)
			EXPECT_EQ(0, destroy(self->fd, self->queue));
		EXPECT_EQ(0, destroy(self->fd, self->vdevice));
		EXPECT_EQ(0, vm_take_apart(&self->vm));
	}
	vm_close(&self->vm);
	NOTHING_LEFT();
}

#define QUEUE(_depth)                                                       \
	OK(veventq_alloc(self->fd, self->vm.viommu, _depth, &self->queue,   \
			 &self->events))
#define TRIGGER(_num) OK(trigger(self->fd, self->vm.dev, _num))

#define UNQUEUE()                                        \
	({                                               \
		close(self->events);                     \
		self->events = -1;                       \
		OK(destroy(self->fd, self->queue));      \
		self->queue = 0;                         \
	})

#define READABLE (POLLIN | POLLRDNORM)

struct sleeper {
	int fd;
	atomic_int tid;
	int rc;
};

static void *sleep_in_poll(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	s->tid = syscall(SYS_gettid);
	s->rc = poll(&p, 1, 20000);
	s->rc = s->rc == 1 ? p.revents : -errno;
	return NULL;
}

static void nap(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Returns 0 as soon as thread @tid sleeps, or -ETIMEDOUT */
static int wait_asleep(atomic_int *tid)
{
	char path[100], line[300];
	int try;
	FILE *f;

	for (try = 0; try < 5000; try++) {
		nap(1);
		if (!*tid)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *tid);
		f = fopen(path, "r");
		if (!f)
			return -ENOENT;
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
		if (strstr(line, ") S ") || strstr(line, ") D "))
			return 0;
	}
	return -ETIMEDOUT;
}

FIXTURE(overflow)
{
};

FIXTURE_VARIANT(overflow)
{
	unsigned int depth;
};

FIXTURE_VARIANT_ADD(overflow, depth_1)
{
	.depth = 1,
};

FIXTURE_VARIANT_ADD(overflow, depth_2)
{
	.depth = 2,
};

FIXTURE_VARIANT_ADD(overflow, depth_7)
{
	.depth = 7,
};

FIXTURE_SETUP(overflow)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(overflow)
{
	NOTHING_LEFT();
}

#endif
