/* SPDX-License-Identifier: GPL-2.0 */
/* A VM with an event queue, its records, and threads that wait for them */
#ifndef EDU_TEST_EVENT_H
#define EDU_TEST_EVENT_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"

enum {
	C_BAD_STE = 0x04,
	C_BAD_CD = 0x0a,
	F_TRANSLATION = 0x10,
	F_ADDR_SIZE = 0x11,
	F_ACCESS = 0x12,
	F_PERMISSION = 0x13,
};

#define EVT_0_SID(n)		((uint64_t)(n) << 32)
#define EVT_1_READ		BIT(35)
#define EVT_1_CLASS_IN		(2ULL << 40)

#define STE_0_S1CDMAX(n)	((uint64_t)(n) << 59)
#define CD_0_V			BIT(31)
#define CD_0_AA64		BIT(41)

/* Never mapped. A DMA has at most STORM words. */
#define UNMAPPED		(IOVA + 64 * PAGE_SIZE)
#define WORD			4
#define STORM			1024U

struct record {
	struct iommufd_vevent_header header;
	uint64_t evt[4];
};

_Static_assert(sizeof(struct record) == 40, "a record is 40 bytes");

FIXTURE(event)
{
	struct vm vm;
	struct edu edu;
	uint32_t queue_id;
	int queue;
	int kmsg;
};

FIXTURE_SETUP(event)
{
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
	ASSERT_EQ(PAGE_A, edu_lands(&self->edu, &self->vm, IOVA));
	self->queue = veventq_alloc(&self->vm, 2 * STORM, &self->queue_id);
	ASSERT_LE(0, self->queue);
}

FIXTURE_TEARDOWN(event)
{
	if (self->queue >= 0)
		close(self->queue);
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

/* Replace the queue */
#define REQUEUE(depth)								\
	do {									\
		ASSERT_EQ(0, close(self->queue));				\
		ASSERT_EQ(0, destroy(&self->vm, self->queue_id));		\
		self->queue = veventq_alloc(&self->vm, depth, &self->queue_id);	\
		ASSERT_LE(0, self->queue);					\
	} while (0)

/*
 * A line of /proc about a thread, valid until the next call; NULL if it is gone
 */
static inline const char *thread_stat(const char *path)
{
	static char line[256];
	FILE *f = fopen(path, "r");

	if (!f)
		return NULL;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	return line;
}

/* Returns 0 if all interrupt threads sleep, otherwise -EAGAIN */
static inline int irq_threads_sleep(void)
{
	const char *line;
	int rc = -ENOENT;
	glob_t stats;
	size_t i;

	if (glob("/proc/[0-9]*/stat", 0, NULL, &stats))
		return -ENOENT;
	for (i = 0; i < stats.gl_pathc && rc != -EAGAIN; i++) {
		line = thread_stat(stats.gl_pathv[i]);
		if (line && strstr(line, " (irq/"))
			rc = strstr(line, ") S ") ? 0 : -EAGAIN;
	}
	globfree(&stats);
	return rc;
}

/*
 * Wait until the kernel has handled the events of all finished DMAs. A CPU
 * takes its pending interrupts before it runs this, so their thread is awake by
 * then, or asleep again.
 */
static inline int settle(void)
{
	cpu_set_t all, one;
	int cpu, try, rc;

	if (sched_getaffinity(0, sizeof(all), &all))
		return -errno;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			return -errno;
	}
	if (sched_setaffinity(0, sizeof(all), &all))
		return -errno;
	for (try = 0; try < 10000; try++) {
		rc = irq_threads_sleep();
		if (rc != -EAGAIN)
			return rc;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

/*
 * Cause @n events with addresses from @iova up, and wait until they are
 * reported
 */
static inline int fault(struct edu *edu, uint64_t iova, unsigned int n)
{
	int rc = edu_dma(edu, true, iova, n * WORD);

	return rc ? rc : settle();
}

static inline int wait_in(int queue, int ms)
{
	struct pollfd in = { .fd = queue, .events = POLLIN };

	return poll(&in, 1, ms) < 0 ? -errno : in.revents;
}

static inline ssize_t try_read(int fd, void *buf, size_t count)
{
	ssize_t len = read(fd, buf, count);

	return len < 0 ? -errno : len;
}

/* Read the next record; returns its size, or 0 if there is none for a while */
static inline ssize_t next_record(int queue, struct record *record)
{
	memset(record, 0xee, sizeof(*record));
	wait_in(queue, 20000);
	return try_read(queue, record, sizeof(*record));
}

/* Expect an event with this number as the next record; returns what is wrong */
static inline const char *expect_event(int queue, uint32_t sequence, uint64_t w0,
				uint64_t w1, uint64_t w2)
{
	static char wrong[256];
	struct record got;
	ssize_t len = next_record(queue, &got);

	if (len != sizeof(got)) {
		snprintf(wrong, sizeof(wrong), "read() gives %zd", len);
		return wrong;
	}
	if (!got.header.flags && got.header.sequence == sequence &&
	    got.evt[0] == w0 && got.evt[1] == w1 && got.evt[2] == w2 && !got.evt[3])
		return NULL;
	snprintf(wrong, sizeof(wrong), "flags %#x, number %u, %#llx %#llx %#llx %#llx",
		 got.header.flags, got.header.sequence,
		 (unsigned long long)got.evt[0], (unsigned long long)got.evt[1],
		 (unsigned long long)got.evt[2], (unsigned long long)got.evt[3]);
	return wrong;
}

#define EXPECT_EVENT(sequence, id, w1, w2)					\
	do {									\
		const char *wrong = expect_event(self->queue, sequence,		\
			(id) | EVT_0_SID(VSID), w1, w2);			\
										\
		EXPECT_EQ(NULL, wrong) {					\
			TH_LOG("number %d, event %#x: %s", sequence, id, wrong);\
		}								\
	} while (0)

/* A stage-1 fault on a write */
#define EXPECT_FAULT(sequence, iova) \
	EXPECT_EVENT(sequence, F_TRANSLATION, EVT_1_CLASS_IN, iova)

struct sleeper {
	int queue;
	atomic_int tid;
	atomic_int events;
};

/* Wait until it does */
static inline int sleeps(struct sleeper *sleeper)
{
	const char *line;
	char path[64];
	int try;

	for (try = 0; try < 20000; try++) {
		usleep(1000);
		if (!sleeper->tid)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", sleeper->tid);
		line = thread_stat(path);
		if (!line)
			return -ENOENT;
		if (strstr(line, ") S "))
			return 0;
	}
	return -ETIMEDOUT;
}

static inline void *sleep_in_epoll(void *arg)
{
	struct sleeper *sleeper = arg;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET }, got = {};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, sleeper->queue, &event))
		return NULL;
	sleeper->tid = gettid();
	if (epoll_wait(epoll, &got, 1, 20000) == 1)
		sleeper->events = got.events;
	close(epoll);
	return NULL;
}

static inline void *sleep_in_poll(void *arg)
{
	struct sleeper *sleeper = arg;

	sleeper->tid = gettid();
	sleeper->events = wait_in(sleeper->queue, 20000);
	return NULL;
}

#endif
