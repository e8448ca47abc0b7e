// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of reading a vEVENTQ
 *
 * A VMM must know which events it has read and which it has missed: it reads
 * each event once and in order, or the event's number is missing.
 */
#include <linux/limits.h>
#include <sys/uio.h>

#include "veventq_utils.h"

/* Reading */

#define GUARD 0xa5

/* The number of bytes of @buf from @at on that have changed */
static unsigned int overwritten(const unsigned char *buf, size_t at, size_t end)
{
	unsigned int num = 0;

	for (; at < end; at++)
		num += buf[at] != GUARD;
	return num;
}

TEST_F(veventq, read_sizes)
{
	const unsigned int depth = 20;
	unsigned char buf[400];
	unsigned int next = 0;
	int len, want, rc;

	QUEUE(depth);
	for (len = 0; len <= 200; len++) {
		memset(buf, GUARD, sizeof(buf));
		want = len < (int)HEADER ? -EINVAL : 0;
		ASSERT_EQ(want, read_events(self->events, buf + 100, len));
		ASSERT_EQ(0, overwritten(buf, 0, sizeof(buf)));
	}

	TRIGGER(depth);
	for (len = 0; len <= 200; len++) {
		memset(buf, GUARD, sizeof(buf));
		want = len < (int)RECORD ? -EINVAL : len - len % (int)RECORD;
		rc = read_events(self->events, buf + 100, len);
		ASSERT_EQ(want, rc) {
			TH_LOG("len %d", len);
		}
		rc = rc < 0 ? 0 : rc;
		ASSERT_EQ(0, overwritten(buf, 0, 100));
		ASSERT_EQ(0, overwritten(buf, 100 + rc, sizeof(buf)));
		ASSERT_TRUE(are_events(buf + 100, rc / RECORD, next));
		next += rc / RECORD;
		/* Full again, without a loss */
		TRIGGER(rc / RECORD);
	}
	rc = read_events(self->events, buf, sizeof(buf));
	ASSERT_EQ(depth * RECORD, rc);
	ASSERT_TRUE(are_events(buf, depth, next));
}

/* The same with a header without payload at the end */
TEST_F(veventq, read_sizes_lost)
{
	unsigned char buf[60];
	unsigned int seq = 0;
	int len, want, rc;

	QUEUE(2);
	for (len = 0; len <= 40; len++) {
		TRIGGER(3);
		memset(buf, GUARD, sizeof(buf));
		want = len < (int)RECORD		? -EINVAL :
		       len < 2 * (int)RECORD		? RECORD :
		       len < 2 * (int)(RECORD + HEADER / 2) ? 2 * RECORD :
							  2 * RECORD + HEADER;
		rc = read_events(self->events, buf, len);
		ASSERT_EQ(want, rc) {
			TH_LOG("len %d", len);
		}
		rc = rc < 0 ? 0 : rc;
		ASSERT_EQ(0, overwritten(buf, rc, sizeof(buf)));
		rc += read_events(self->events, buf + rc, sizeof(buf) - rc);
		ASSERT_EQ(2 * RECORD + HEADER, rc);
		ASSERT_TRUE(are_events(buf, 2, seq));
		ASSERT_TRUE(is_loss(buf + 2 * RECORD, seq + 2));
		ASSERT_EQ(0, poll_now(self->events));
		seq += 3;
	}

	/* It fits into a buffer that is too small for an event */
	for (len = 0; len <= 20; len++) {
		TRIGGER(3);
		ASSERT_EQ(2 * RECORD,
			  read_events(self->events, buf, 2 * RECORD));
		memset(buf, GUARD, sizeof(buf));
		if (len < (int)HEADER) {
			FAILS(EINVAL, read_events(self->events, buf, len));
			ASSERT_EQ(0, overwritten(buf, 0, sizeof(buf)));
			ASSERT_EQ(HEADER,
				  read_events(self->events, buf, HEADER));
		} else {
			ASSERT_EQ(HEADER, read_events(self->events, buf, len));
		}
		ASSERT_EQ(0, overwritten(buf, HEADER, sizeof(buf)));
		ASSERT_TRUE(is_loss(buf, seq + 2));
		ASSERT_EQ(0, read_events(self->events, buf, sizeof(buf)));
		seq += 3;
	}
}

/* A fault at any byte neither loses nor repeats anything */
TEST_F(veventq, read_into_unmapped_memory)
{
	void *end = self->page + self->page_size;
	unsigned int room, seq = 0, whole;
	unsigned char buf[100];
	int rc;

	QUEUE(3);
	for (room = 0; room <= 3 * RECORD + HEADER; room++) {
		/* Three events and the record of a loss */
		TRIGGER(5);
		whole = room == 3 * RECORD + HEADER ? room :
						      room - room % RECORD;
		memset(self->page, GUARD, self->page_size);
		rc = read_events(self->events, end - room, sizeof(buf));
		ASSERT_EQ(whole ?: -EFAULT, rc) {
			TH_LOG("room %u", room);
		}
		ASSERT_EQ(0, overwritten(self->page, 0,
					 self->page_size - room));
		memcpy(buf, end - room, whole);
		rc = read_events(self->events, buf + whole,
				 sizeof(buf) - whole);
		ASSERT_EQ(3 * RECORD + HEADER - whole, rc);
		ASSERT_TRUE(are_events(buf, 3, seq)) {
			TH_LOG("room %u", room);
		}
		ASSERT_TRUE(is_loss(buf + 3 * RECORD, seq + 4)) {
			TH_LOG("room %u", room);
		}
		ASSERT_EQ(0, read_events(self->events, buf, sizeof(buf)));
		seq += 5;
	}

	/* Memory that is unmapped, read-only or not user memory */
	TRIGGER(1);
	FAILS(EFAULT, read_events(self->events, end, 100));
	FAILS(EFAULT, read_events(self->events, (void *)(1UL << 63), 100));
	OK(mprotect(self->page, self->page_size, PROT_READ));
	FAILS(EFAULT, read_events(self->events, self->page, 100));
	FAILS(EINVAL, read_events(self->events, end, HEADER - 1));
	ASSERT_EQ(RECORD, read_events(self->events, buf, sizeof(buf)));
	ASSERT_TRUE(is_event(buf, seq));
}

TEST_F(veventq, file_operations)
{
	char a[RECORD], b[RECORD], buf[100] = "";
	struct iovec iov[] = { { a, sizeof(a) }, { b, sizeof(b) } };
	static const off_t offsets[] = { 0, 1, 8, 12, 4096, 1L << 40 };
	unsigned int i;

	QUEUE(4);
	TRIGGER(3);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(-1, pread(self->events, buf, 100, offsets[i]));
		EXPECT_EQ(ESPIPE, errno);
		EXPECT_EQ(-1, preadv(self->events, iov, 2, offsets[i]));
		EXPECT_EQ(ESPIPE, errno);
		EXPECT_EQ(-1, lseek(self->events, offsets[i], SEEK_SET));
		EXPECT_EQ(ESPIPE, errno);
	}
	for (i = 0; i < sizeof(buf); i++) {
		EXPECT_EQ(-1, write(self->events, buf, i));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page_size, PROT_READ, MAP_SHARED,
				   self->events, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ioctl(self->events, IOMMU_VEVENTQ_ALLOC, buf));
	EXPECT_EQ(ENOTTY, errno);

	/* No event is lost */
	EXPECT_EQ(2 * RECORD, readv(self->events, iov, 2));
	EXPECT_TRUE(is_event(a, 0));
	EXPECT_TRUE(is_event(b, 1));
	EXPECT_EQ(RECORD, read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(is_event(buf, 2));
}

/* Overflow */

/* After each overflow the whole depth is available again, at any position */
TEST_F_TIMEOUT(overflow, and_drain, 480)
{
	const unsigned int depth = variant->depth;
	unsigned char buf[200];
	unsigned int round, seq = 0, lost, part;
	__u32 vdevice, queue;
	struct vm vm;
	int events;

	OK(vm_open(&vm));
	OK(vdevice_alloc(vm.fd, vm.viommu, vm.dev, VIRT_ID, &vdevice));
	OK(veventq_alloc(vm.fd, vm.viommu, depth, &queue, &events));

	for (round = 0; round < 1000; round++) {
		lost = 1 + round % 5;
		OK(trigger(vm.fd, vm.dev, depth + lost));
		/* Two reads, with buffers that end anywhere in a record */
		part = round % (depth + 1);
		if (part)
			ASSERT_EQ(part * RECORD,
				  read_events(events, buf,
					      part * RECORD + round % HEADER));
		ASSERT_EQ((depth - part) * RECORD + HEADER,
			  read_events(events, buf + part * RECORD,
				      sizeof(buf) - part * RECORD));
		ASSERT_TRUE(are_events(buf, depth, seq));
		ASSERT_TRUE(is_loss(buf + depth * RECORD,
				    seq + depth + lost - 1));
		seq += depth + lost;
		ASSERT_EQ(0, read_events(events, buf, sizeof(buf)));

		OK(trigger(vm.fd, vm.dev, depth));
		ASSERT_EQ(depth * RECORD,
			  read_events(events, buf, sizeof(buf)));
		ASSERT_TRUE(are_events(buf, depth, seq));
		seq += depth;
		/* Not a multiple of the depth, so that the position moves */
		OK(trigger(vm.fd, vm.dev, 1));
		ASSERT_EQ(RECORD, read_events(events, buf, sizeof(buf)));
		ASSERT_TRUE(is_event(buf, seq));
		seq++;
	}
	close(events);
	OK(destroy(vm.fd, queue));
	OK(destroy(vm.fd, vdevice));
	EXPECT_EQ(0, vm_take_apart(&vm));
	vm_close(&vm);
}

TEST_F(veventq, loss_is_told_once)
{
	unsigned char buf[100];

	QUEUE(3);
	TRIGGER(4);
	/* One header at the end reports it, with the last number */
	TRIGGER(5);
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	ASSERT_EQ(2 * RECORD + HEADER,
		  read_events(self->events, buf + RECORD, 100 - RECORD));
	EXPECT_TRUE(are_events(buf, 3, 0));
	EXPECT_TRUE(is_loss(buf + 3 * RECORD, 8));
	EXPECT_EQ(0, read_events(self->events, buf, sizeof(buf)));

	/*
	 * With a later event its number shows the loss and there is no header
	 */
	TRIGGER(5);
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	EXPECT_TRUE(is_event(buf, 9));
	TRIGGER(1);
	ASSERT_EQ(3 * RECORD, read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(are_events(buf, 2, 10));
	EXPECT_TRUE(is_event(buf + 2 * RECORD, 14));

	/* Another loss after such a gap */
	TRIGGER(4);
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	TRIGGER(3);
	ASSERT_EQ(3 * RECORD + HEADER,
		  read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(are_events(buf, 2, 16));
	EXPECT_TRUE(is_event(buf + 2 * RECORD, 19));
	EXPECT_TRUE(is_loss(buf + 3 * RECORD, 21));

	/*
	 * With the events read but not the header the number shows the loss as
	 * well
	 */
	TRIGGER(4);
	ASSERT_EQ(3 * RECORD, read_events(self->events, buf, 3 * RECORD));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_now(self->events));
	TRIGGER(1);
	ASSERT_EQ(RECORD, read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(is_event(buf, 26));
	EXPECT_EQ(0, poll_now(self->events));
}

TEST_F(veventq, sequence_wraps)
{
	unsigned char buf[100];
	__u32 lost;

	QUEUE(4);
	OK(set_sequence(self->fd, self->vm.dev, LAST - 1));
	TRIGGER(4);
	ASSERT_EQ(4 * RECORD, read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(are_events(buf, 2, LAST - 1));
	EXPECT_TRUE(are_events(buf + 2 * RECORD, 2, 0));

	/* Reads while events are lost, at each point in time */
	for (lost = 1; lost < 5; lost++) {
		OK(set_sequence(self->fd, self->vm.dev, LAST - 5));
		TRIGGER(4 + lost);
		ASSERT_EQ(4 * RECORD + HEADER,
			  read_events(self->events, buf, sizeof(buf)));
		EXPECT_TRUE(are_events(buf, 4, LAST - 5));
		EXPECT_TRUE(is_loss(buf + 4 * RECORD,
				    lost < 3 ? LAST - 2 + lost : lost - 3));
		TRIGGER(1);
		ASSERT_EQ(RECORD, read_events(self->events, buf, sizeof(buf)));
		EXPECT_TRUE(is_event(buf, lost < 2 ? LAST : lost - 2));
	}
}

TEST_HARNESS_MAIN
