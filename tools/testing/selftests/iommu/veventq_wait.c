// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of waiting for events, and of readers that are stuck
 *
 * A VMM that reads badly or not at all must not affect others.
 */
#include <linux/userfaultfd.h>
#include <sys/epoll.h>

#include "veventq_utils.h"

/* Waiting */

TEST_F(veventq, poll)
{
	unsigned char buf[100];

	QUEUE(2);
	EXPECT_EQ(0, poll_now(self->events));
	TRIGGER(1);
	EXPECT_EQ(READABLE, poll_now(self->events));
	EXPECT_EQ(READABLE, poll_now(self->events));
	/* Neither a full queue nor a loss is an error */
	TRIGGER(1);
	EXPECT_EQ(READABLE, poll_now(self->events));
	TRIGGER(1);
	EXPECT_EQ(READABLE, poll_now(self->events));
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	EXPECT_EQ(READABLE, poll_now(self->events));
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	/* A header is left to read */
	EXPECT_EQ(READABLE, poll_now(self->events));
	FAILS(EFAULT, read_events(self->events, self->page + self->page_size,
				  RECORD));
	EXPECT_EQ(READABLE, poll_now(self->events));
	ASSERT_EQ(HEADER, read_events(self->events, buf, RECORD));
	EXPECT_EQ(0, poll_now(self->events));
}

TEST_F(veventq, epoll)
{
	struct epoll_event level = { .events = EPOLLIN | EPOLLOUT, .data.u32 = 1 };
	struct epoll_event edge = { .events = EPOLLIN | EPOLLET };
	struct epoll_event got;
	unsigned char buf[100];
	int ep, ep_edge;

	QUEUE(1);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ep_edge = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, ep);
	ASSERT_LE(0, ep_edge);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, self->events, &level));
	OK(epoll_ctl(ep_edge, EPOLL_CTL_ADD, self->events, &edge));

	EXPECT_EQ(0, epoll_wait(ep, &got, 1, 0));
	EXPECT_EQ(0, epoll_wait(ep_edge, &got, 1, 0));
	TRIGGER(1);
	EXPECT_EQ(1, epoll_wait(ep, &got, 1, 0));
	EXPECT_EQ(EPOLLIN, got.events);
	EXPECT_EQ(1, epoll_wait(ep, &got, 1, 0));
	EXPECT_EQ(1, epoll_wait(ep_edge, &got, 1, 0));
	EXPECT_EQ(0, epoll_wait(ep_edge, &got, 1, 0));
	/* Each event is an edge, even a lost one */
	TRIGGER(1);
	EXPECT_EQ(1, epoll_wait(ep, &got, 1, 0));
	EXPECT_EQ(EPOLLIN, got.events);
	EXPECT_EQ(1, epoll_wait(ep_edge, &got, 1, 0));
	EXPECT_EQ(0, epoll_wait(ep_edge, &got, 1, 0));
	ASSERT_EQ(RECORD + HEADER, read_events(self->events, buf, 100));
	EXPECT_EQ(0, epoll_wait(ep, &got, 1, 0));
	TRIGGER(1);
	EXPECT_EQ(1, epoll_wait(ep_edge, &got, 1, 0));

	/* The queue's file is closed while it is watched */
	UNQUEUE();
	EXPECT_EQ(0, epoll_wait(ep, &got, 1, 0));
	close(ep);
	close(ep_edge);
}

/* An event wakes all poll() calls */
TEST_F(veventq, poll_is_woken)
{
	struct sleeper s[3] = {};
	pthread_t thread[3];
	unsigned char buf[100];
	int round, i;

	QUEUE(1);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 3; i++) {
			s[i].fd = self->events;
			s[i].tid = 0;
			OK(pthread_create(&thread[i], NULL, sleep_in_poll,
					  &s[i]));
		}
		for (i = 0; i < 3; i++)
			OK(wait_asleep(&s[i].tid));
		TRIGGER(1);
		for (i = 0; i < 3; i++) {
			OK(pthread_join(thread[i], NULL));
			ASSERT_EQ(POLLIN, s[i].rc);
		}
		ASSERT_EQ(RECORD, read_events(self->events, buf, 100));
	}
}

TEST_F(veventq, close_with_a_reader_in_poll)
{
	struct sleeper s = {};
	pthread_t thread;

	QUEUE(1);
	s.fd = self->events;
	OK(pthread_create(&thread, NULL, sleep_in_poll, &s));
	OK(wait_asleep(&s.tid));
	close(self->events);
	self->events = -1;
	/* poll() holds the file */
	FAILS(EBUSY, destroy(self->fd, self->queue));
	TRIGGER(1);
	OK(pthread_join(thread, NULL));
	/* It wakes up and looks up the file descriptor again */
	EXPECT_EQ(POLLNVAL, s.rc);
	OK(destroy(self->fd, self->queue));
	self->queue = 0;

	/*
	 * Everything is freed when the reader exits, which also has the iommufd
	 */
	QUEUE(1);
	s.tid = 0;
	s.fd = self->events;
	self->fd = dup(self->fd);
	vm_close(&self->vm);
	OK(pthread_create(&thread, NULL, sleep_in_poll, &s));
	OK(wait_asleep(&s.tid));
	close(self->events);
	self->events = -1;
	TRIGGER(1);
	close(self->fd);
	OK(pthread_join(thread, NULL));
	EXPECT_EQ(POLLNVAL, s.rc);
}

struct stalled {
	int fd;
	void *buf;
	size_t len;
	atomic_int tid;
	int rc;
};

static void *stalled_read(void *arg)
{
	struct stalled *s = arg;

	s->tid = syscall(SYS_gettid);
	s->rc = read_events(s->fd, s->buf, s->len);
	return NULL;
}

/* A reader that is stuck in a page fault delays neither reporters nor poll() */
TEST_F(veventq, reader_stuck_in_a_page_fault)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = {};
	struct stalled s = { .len = 100 };
	struct uffd_msg msg;
	unsigned char buf[100];
	pthread_t thread;
	int uffd;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		SKIP(return, "the kernel has no userfaultfd");
	OK(ioctl(uffd, UFFDIO_API, &api));
	s.buf = mmap(NULL, self->page_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, s.buf);
	reg.range.start = (uintptr_t)s.buf;
	reg.range.len = self->page_size;
	OK(ioctl(uffd, UFFDIO_REGISTER, &reg));

	QUEUE(2);
	TRIGGER(1);
	s.fd = self->events;
	OK(pthread_create(&thread, NULL, stalled_read, &s));
	/* The fault has happened, so the reader is in the copy */
	ASSERT_EQ(sizeof(msg), read(uffd, &msg, sizeof(msg)));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
	OK(wait_asleep(&s.tid));

	/* One event is being read, one fits, two are lost */
	TRIGGER(3);
	EXPECT_EQ(READABLE, poll_now(self->events));
	FAILS(EBUSY, destroy(self->fd, self->queue));
	FAILS(EINVAL, read_events(self->events, buf, HEADER - 1));

	zero.range = reg.range;
	OK(ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	OK(pthread_join(thread, NULL));
	ASSERT_EQ(2 * RECORD + HEADER, s.rc);
	EXPECT_TRUE(are_events(s.buf, 2, 0));
	EXPECT_TRUE(is_loss(s.buf + 2 * RECORD, 3));
	munmap(s.buf, self->page_size);
	close(uffd);
}

TEST_HARNESS_MAIN
