// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the vEVENTQ object of iommufd, on its mock driver
 *
 * A VMM must be able to tell what it was told and what it has missed: each
 * event is read once, in order, or its number is missing. And a VMM that reads
 * badly or not at all troubles nobody else.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <linux/limits.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "viommu_utils.h"

#define VIRT_ID 0x1234
#define NO_ID 0x7ffffff0
#define LAST 0x7fffffff
#define MAX_DEPTH 0x80000

#define HEADER sizeof(struct iommufd_vevent_header)
#define RECORD sizeof(struct vevent_record)

/* read() as the ioctls: the size, or -errno */
static int read_events(int fd, void *buf, size_t len)
{
	int rc = read(fd, buf, len);

	return rc < 0 ? -errno : rc;
}

/* @num events for the device */
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

/* Events @sequence and up, @num of them */
static bool are_events(const void *at, unsigned int num, __u32 sequence)
{
	unsigned int i;

	for (i = 0; i < num; i++)
		if (!is_event(at + i * RECORD, sequence + i))
			return false;
	return true;
}

/* What poll() says, without a wait */
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
	/* A page, and behind it none */
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
		/* A reference that something has leaked shows here */
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

/* Allocation */

TEST_F(veventq, alloc_errno)
{
	const struct iommu_veventq_alloc right = {
		.size = sizeof(right),
		.viommu_id = self->vm.viommu,
		.type = IOMMU_VEVENTQ_TYPE_SELFTEST,
		.veventq_depth = 1,
	};
	__u32 plain;
	struct {
		size_t member;
		__u32 value;
		int rc;
	} table[] = {
#define ROW(_member, _value, _rc) \
	{ offsetof(struct iommu_veventq_alloc, _member), _value, -(_rc) }
		ROW(flags, 1, EOPNOTSUPP),
		ROW(flags, 1U << 31, EOPNOTSUPP),
		ROW(flags, ~0U, EOPNOTSUPP),
		ROW(viommu_id, 0, ENOENT),
		ROW(viommu_id, NO_ID, ENOENT),
		ROW(viommu_id, ~0U, ENOENT),
		ROW(viommu_id, self->vm.dev, ENOENT),
		ROW(viommu_id, self->vm.stdev, ENOENT),
		ROW(viommu_id, self->vm.ioas, ENOENT),
		ROW(viommu_id, self->vm.s2, ENOENT),
		ROW(viommu_id, self->vdevice, ENOENT),
		ROW(type, IOMMU_VEVENTQ_TYPE_DEFAULT, EOPNOTSUPP),
		ROW(type, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, EOPNOTSUPP),
		ROW(type, IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV, EOPNOTSUPP),
		ROW(type, IOMMU_VEVENTQ_TYPE_SELFTEST - 1, EOPNOTSUPP),
		ROW(type, IOMMU_VEVENTQ_TYPE_SELFTEST + 1, EOPNOTSUPP),
		ROW(type, ~0U, EOPNOTSUPP),
		ROW(veventq_depth, 0, EINVAL),
		ROW(veventq_depth, MAX_DEPTH + 1, EINVAL),
		ROW(veventq_depth, 1U << 31, EINVAL),
		ROW(veventq_depth, ~0U, EINVAL),
		ROW(__reserved, 1, EOPNOTSUPP),
		ROW(__reserved, ~0U, EOPNOTSUPP),
		ROW(size, 0, EINVAL),
		ROW(size, sizeof(right) - 1, EINVAL),
		/* Right ones */
		ROW(out_veventq_id, ~0U, 0),
		ROW(out_veventq_fd, ~0U, 0),
		ROW(veventq_depth, MAX_DEPTH, 0),
#undef ROW
	};
	struct iommu_veventq_alloc *cmd = self->page;
	struct rlimit limit, none;
	int fd = next_fd();
	unsigned int i;

	/* Where there is no queue and no vDEVICE there is no event */
	FAILS(EOPNOTSUPP, mock_trigger_vevent(self->fd, self->vm.dev));

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		*cmd = right;
		memcpy(self->page + table[i].member, &table[i].value,
		       sizeof(__u32));
		EXPECT_EQ(table[i].rc,
			  iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd)) {
			TH_LOG("row %u: %#x at %zu", i, table[i].value,
			       table[i].member);
		}
		if (!table[i].rc) {
			EXPECT_EQ(fd, cmd->out_veventq_fd);
			close(cmd->out_veventq_fd);
			OK(destroy(self->fd, cmd->out_veventq_id));
		}
		ASSERT_EQ(fd, next_fd());
	}

	/* Larger than known: fine with zeros */
	*cmd = right;
	cmd->size += 8;
	memset(cmd + 1, 0, 8);
	OK(iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));
	close(cmd->out_veventq_fd);
	OK(destroy(self->fd, cmd->out_veventq_id));
	memset(cmd + 1, 1, 8);
	FAILS(E2BIG, iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));

	/* No type of event comes from a vIOMMU that has no driver */
	OK(viommu_alloc_default(self->fd, self->vm.dev, self->vm.s2, &plain));
	for (i = 0; i < 3; i++) {
		*cmd = right;
		cmd->viommu_id = plain;
		cmd->type = i ?: IOMMU_VEVENTQ_TYPE_SELFTEST;
		FAILS(EOPNOTSUPP,
		      iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));
	}
	OK(destroy(self->fd, plain));

	/* The file cannot be opened, the result cannot be returned */
	*cmd = right;
	OK(getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = fd;
	OK(setrlimit(RLIMIT_NOFILE, &none));
	FAILS(EMFILE, iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));
	OK(setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(fd, next_fd());
	OK(mprotect(self->page, self->page_size, PROT_READ));
	FAILS(EFAULT, iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));
	ASSERT_EQ(fd, next_fd());
	FAILS(EOPNOTSUPP, mock_trigger_vevent(self->fd, self->vm.dev));

	/* None of these has left a queue; one more cannot be */
	QUEUE(1);
	ASSERT_EQ(fd, self->events);
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->events, F_GETFD));
	OK(mprotect(self->page, self->page_size, PROT_READ | PROT_WRITE));
	FAILS(EEXIST, iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));
	cmd->veventq_depth = MAX_DEPTH;
	FAILS(EEXIST, iommufd_ioctl(self->fd, IOMMU_VEVENTQ_ALLOC, cmd));
	ASSERT_EQ(fd + 1, next_fd());
}

TEST_F(veventq, trigger_errno)
{
	__u32 stdev, dev;

	FAILS(ENOENT, set_sequence(self->fd, self->vm.dev, 0));
	QUEUE(4);
	OK(mock_plug(self->fd, self->vm.ioas, 0, &stdev, &dev));
	FAILS(ENOENT, mock_trigger_vevent(self->fd, dev));
	FAILS(ENOENT, set_sequence(self->fd, dev, 0));
	FAILS(ENOENT, mock_trigger_vevent(self->fd, 0));
	FAILS(ENOENT, mock_trigger_vevent(self->fd, NO_ID));
	FAILS(ENOENT, mock_trigger_vevent(self->fd, self->vdevice));
	FAILS(EINVAL, set_sequence(self->fd, self->vm.dev, 1U << 31));
	EXPECT_EQ(0, poll_now(self->events));
	OK(destroy(self->fd, stdev));
}

TEST_F(veventq, destroy_waits_for_the_file)
{
	struct vevent_record r;
	int copy;

	QUEUE(2);
	FAILS(EBUSY, destroy(self->fd, self->queue));
	FAILS(EBUSY, destroy(self->fd, self->vm.viommu));
	TRIGGER(5);
	FAILS(EBUSY, destroy(self->fd, self->queue));
	copy = dup(self->events);
	ASSERT_LE(0, copy);
	close(self->events);
	FAILS(EBUSY, destroy(self->fd, self->queue));
	self->events = copy;
	EXPECT_EQ(RECORD, read_events(copy, &r, sizeof(r)));

	/* Without a file it still takes events and holds its vIOMMU */
	close(copy);
	self->events = -1;
	TRIGGER(3);
	FAILS(EBUSY, destroy(self->fd, self->vm.viommu));
	OK(destroy(self->fd, self->queue));
	FAILS(ENOENT, destroy(self->fd, self->queue));
	FAILS(EOPNOTSUPP, mock_trigger_vevent(self->fd, self->vm.dev));

	/* The next one knows nothing of it */
	QUEUE(3);
	EXPECT_EQ(0, poll_now(self->events));
	TRIGGER(1);
	EXPECT_EQ(RECORD, read_events(self->events, &r, sizeof(r)));
	EXPECT_TRUE(is_event(&r, 0));
}

/* Each VM gets its own events, by the virtual ID that it has given */
TEST_F(veventq, events_reach_their_vm)
{
	__u32 stdev[2], dev[2], vdevice[2], viommu, queue;
	struct vevent_record r[4];
	int fd = self->fd;
	int events, i;

	QUEUE(8);
	OK(viommu_alloc(fd, self->vm.dev, self->vm.s2, NULL, &viommu));
	OK(veventq_alloc(fd, viommu, 8, &queue, &events));
	for (i = 0; i < 2; i++)
		OK(mock_plug(fd, self->vm.ioas, 0, &stdev[i], &dev[i]));
	OK(vdevice_alloc(fd, self->vm.viommu, dev[0], 0, &vdevice[0]));
	OK(vdevice_alloc(fd, viommu, dev[1], 0xffffffff, &vdevice[1]));

	OK(mock_trigger_vevent(fd, dev[1]));
	EXPECT_EQ(0, poll_now(self->events));
	OK(mock_trigger_vevent(fd, dev[0]));
	TRIGGER(1);
	EXPECT_EQ(2 * RECORD, read_events(self->events, r, sizeof(r)));
	EXPECT_EQ(0, r[0].event.virt_id);
	EXPECT_EQ(0, r[0].header.sequence);
	EXPECT_TRUE(is_event(&r[1], 1));
	EXPECT_EQ(RECORD, read_events(events, r, sizeof(r)));
	EXPECT_EQ(0xffffffff, r[0].event.virt_id);
	EXPECT_EQ(0, r[0].header.flags);
	EXPECT_EQ(0, r[0].header.sequence);

	/* What was queued can be read when the device is gone */
	OK(mock_trigger_vevent(fd, dev[1]));
	OK(destroy(fd, stdev[1]));
	FAILS(ENOENT, mock_trigger_vevent(fd, dev[1]));
	EXPECT_EQ(RECORD, read_events(events, r, sizeof(r)));
	EXPECT_EQ(0xffffffff, r[0].event.virt_id);
	EXPECT_EQ(1, r[0].header.sequence);

	close(events);
	OK(destroy(fd, queue));
	OK(destroy(fd, viommu));
	OK(destroy(fd, stdev[0]));
}

/* Reading */

#define GUARD 0xa5

/* Bytes of @buf from @at on that are not what they were */
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
		/* Full again; it has not lost any */
		TRIGGER(rc / RECORD);
	}
	rc = read_events(self->events, buf, sizeof(buf));
	ASSERT_EQ(depth * RECORD, rc);
	ASSERT_TRUE(are_events(buf, depth, next));
}

/* The same where the tail is a header without payload */
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

	/* It fits where no event does */
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

/* A fault at any byte loses and repeats nothing */
TEST_F(veventq, read_into_unmapped_memory)
{
	void *end = self->page + self->page_size;
	unsigned int room, seq = 0, whole;
	unsigned char buf[100];
	int rc;

	QUEUE(3);
	for (room = 0; room <= 3 * RECORD + HEADER; room++) {
		/* Three events and the mark of a loss */
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

	/* None of it is there, or may be written, or is user memory */
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
	static const off_t offsets[] = { 1, 8, 12, 4096, 1L << 40 };
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

	/* Not one event is gone */
	EXPECT_EQ(2 * RECORD, readv(self->events, iov, 2));
	EXPECT_TRUE(is_event(a, 0));
	EXPECT_TRUE(is_event(b, 1));
	EXPECT_EQ(RECORD, read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(is_event(buf, 2));
}

/* Overflow */

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

/* After each overflow the whole depth is there again, and at any position */
TEST_F_TIMEOUT(overflow, and_drain, 120)
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
		/* In two reads; the buffer ends anywhere in a record */
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
		/* Not a multiple of the depth, for the position */
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
	/* Told of in one header, which is the tail and has the last number */
	TRIGGER(5);
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	ASSERT_EQ(2 * RECORD + HEADER,
		  read_events(self->events, buf + RECORD, 100 - RECORD));
	EXPECT_TRUE(are_events(buf, 3, 0));
	EXPECT_TRUE(is_loss(buf + 3 * RECORD, 8));
	EXPECT_EQ(0, read_events(self->events, buf, sizeof(buf)));

	/* An event follows: the number says it, and there is no header */
	TRIGGER(5);
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	EXPECT_TRUE(is_event(buf, 9));
	TRIGGER(1);
	ASSERT_EQ(3 * RECORD, read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(are_events(buf, 2, 10));
	EXPECT_TRUE(is_event(buf + 2 * RECORD, 14));

	/* Lost once more behind such a jump */
	TRIGGER(4);
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	TRIGGER(3);
	ASSERT_EQ(3 * RECORD + HEADER,
		  read_events(self->events, buf, sizeof(buf)));
	EXPECT_TRUE(are_events(buf, 2, 16));
	EXPECT_TRUE(is_event(buf + 2 * RECORD, 19));
	EXPECT_TRUE(is_loss(buf + 3 * RECORD, 21));

	/* The events read, the header not yet: again the number says it */
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

	/* While events are lost, at each point around it */
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

/* Waiting */

#define READABLE (POLLIN | POLLRDNORM)

TEST_F(veventq, poll)
{
	unsigned char buf[100];

	QUEUE(2);
	EXPECT_EQ(0, poll_now(self->events));
	TRIGGER(1);
	EXPECT_EQ(READABLE, poll_now(self->events));
	EXPECT_EQ(READABLE, poll_now(self->events));
	/* A full queue and one that has lost are no error */
	TRIGGER(1);
	EXPECT_EQ(READABLE, poll_now(self->events));
	TRIGGER(1);
	EXPECT_EQ(READABLE, poll_now(self->events));
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	EXPECT_EQ(READABLE, poll_now(self->events));
	ASSERT_EQ(RECORD, read_events(self->events, buf, RECORD));
	/* There is a header yet */
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
	/* Each event is an edge, a lost one too */
	TRIGGER(1);
	EXPECT_EQ(1, epoll_wait(ep, &got, 1, 0));
	EXPECT_EQ(EPOLLIN, got.events);
	EXPECT_EQ(1, epoll_wait(ep_edge, &got, 1, 0));
	EXPECT_EQ(0, epoll_wait(ep_edge, &got, 1, 0));
	ASSERT_EQ(RECORD + HEADER, read_events(self->events, buf, 100));
	EXPECT_EQ(0, epoll_wait(ep, &got, 1, 0));
	TRIGGER(1);
	EXPECT_EQ(1, epoll_wait(ep_edge, &got, 1, 0));

	/* The queue's file goes, by itself, while it is watched */
	UNQUEUE();
	EXPECT_EQ(0, epoll_wait(ep, &got, 1, 0));
	close(ep);
	close(ep_edge);
}

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

/* 0 as soon as thread @tid sleeps, -ETIMEDOUT if it does not */
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

/* An event wakes each poll() there is */
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
	/* It has the file */
	FAILS(EBUSY, destroy(self->fd, self->queue));
	TRIGGER(1);
	OK(pthread_join(thread, NULL));
	/* It is woken, and looks for the file by its number again */
	EXPECT_EQ(POLLNVAL, s.rc);
	OK(destroy(self->fd, self->queue));
	self->queue = 0;

	/* All of it goes when the reader does, who has the iommufd as well */
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

/* Several readers */

#define SHARED_EVENTS 20000

struct shared {
	int fd;
	atomic_bool stop;
	atomic_uchar seen[SHARED_EVENTS];
	atomic_uint wrong;
	atomic_uint losses;
};

/* Reads up to three records at a time, in the order in which they come */
static void *share_queue(void *arg)
{
	struct pollfd p = { .events = POLLIN };
	struct shared *s = arg;
	unsigned char buf[3 * RECORD];
	struct vevent_record r;
	__s64 last = -1;
	bool stop;
	int rc, at;

	p.fd = s->fd;
	for (;;) {
		stop = s->stop;
		if (poll(&p, 1, 5) < 0)
			s->wrong++;
		rc = read_events(s->fd, buf, sizeof(buf));
		if (rc < 0)
			s->wrong++;
		if (!rc && stop)
			break;
		for (at = 0; at < rc; at += RECORD) {
			memset(&r, 0, sizeof(r));
			memcpy(&r, buf + at, rc - at < (int)RECORD ? HEADER :
								     RECORD);
			if (r.header.sequence >= SHARED_EVENTS) {
				s->wrong++;
				break;
			}
			if (r.header.flags) {
				/* Events may follow it, then they are apart */
				s->losses++;
				at -= RECORD - HEADER;
				if (r.header.sequence <= last)
					s->wrong++;
				continue;
			}
			if (r.header.sequence <= last ||
			    r.event.virt_id != VIRT_ID)
				s->wrong++;
			last = r.header.sequence;
			s->seen[r.header.sequence]++;
		}
	}
	return NULL;
}

static int run_shared(struct vm *vm, unsigned int depth, struct shared *s)
{
	pthread_t thread[2];
	__u32 queue;
	int rc, i;

	memset(s, 0, sizeof(*s));
	rc = veventq_alloc(vm->fd, vm->viommu, depth, &queue, &s->fd);
	if (rc)
		return rc;
	for (i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, share_queue, s))
			return -EAGAIN;
	rc = trigger(vm->fd, vm->dev, SHARED_EVENTS);
	s->stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (poll_now(s->fd) || s->wrong)
		rc = -EPROTO;
	close(s->fd);
	return rc ?: destroy(vm->fd, queue);
}

TEST_F_TIMEOUT(veventq, two_readers, 120)
{
	struct shared *s = malloc(sizeof(*s));
	unsigned int i, read;

	ASSERT_NE(NULL, s);
	OK(run_shared(&self->vm, SHARED_EVENTS, s));
	EXPECT_EQ(0, s->losses);
	for (i = 0; i < SHARED_EVENTS; i++)
		ASSERT_EQ(1, s->seen[i]) {
			TH_LOG("event %u", i);
		}

	/* And where events are lost all the time */
	OK(run_shared(&self->vm, 2, s));
	for (i = 0, read = 0; i < SHARED_EVENTS; i++) {
		ASSERT_GE(1, s->seen[i]) {
			TH_LOG("event %u", i);
		}
		read += s->seen[i];
	}
	TH_LOG("%u of %u events read, %u losses told", read, SHARED_EVENTS,
	       s->losses);
	EXPECT_LT(0, read);
	free(s);
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

/* A reader that is stuck in a page fault delays nobody who reports or polls */
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
	/* The fault is there: the reader has got as far as the copy */
	ASSERT_EQ(sizeof(msg), read(uffd, &msg, sizeof(msg)));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);
	OK(wait_asleep(&s.tid));

	/* One is being read, one fits, two are lost */
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

/* The end */

/* The file keeps the iommufd, and can be read */
TEST_F(veventq, file_outlives_the_iommufd)
{
	unsigned char buf[100];

	QUEUE(2);
	TRIGGER(3);
	vm_close(&self->vm);
	EXPECT_EQ(2 * RECORD + HEADER, read_events(self->events, buf, 100));
	EXPECT_TRUE(are_events(buf, 2, 0));
	EXPECT_TRUE(is_loss(buf + 2 * RECORD, 2));
	EXPECT_EQ(0, poll_now(self->events));
	EXPECT_EQ(1, mock_devices());
	/* The teardown wants nothing left after close() */
}

static int die_with_queue(unsigned int depth, bool asleep)
{
	struct sleeper s = {};
	__u32 vdevice, queue;
	pthread_t thread;
	struct vm vm;
	int rc;

	rc = vm_open(&vm);
	rc = rc ?: vdevice_alloc(vm.fd, vm.viommu, vm.dev, VIRT_ID, &vdevice);
	rc = rc ?: veventq_alloc(vm.fd, vm.viommu, depth, &queue, &s.fd);
	if (!rc && asleep) {
		rc = pthread_create(&thread, NULL, sleep_in_poll, &s);
		rc = rc ?: wait_asleep(&s.tid);
	} else {
		rc = rc ?: trigger(vm.fd, vm.dev, depth + 1);
	}
	if (!rc)
		kill(getpid(), SIGKILL);
	return rc;
}

TEST_F(overflow, process_dies)
{
	int i, status;
	pid_t pid;

	for (i = 0; i < 10; i++) {
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid)
			_exit(-die_with_queue(variant->depth, i % 2));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(SIGKILL, status);
		ASSERT_STREQ("nothing", left_behind() ?: "nothing");
	}
}

static long meminfo_kb(const char *what)
{
	char line[200];
	long kb = -1;
	FILE *f;

	f = fopen("/proc/meminfo", "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, what, strlen(what)))
			kb = atol(line + strlen(what));
	fclose(f);
	return kb;
}

/* The largest queue costs its memory, whether it is used or not, and no more */
TEST_F_TIMEOUT(veventq, largest_depth, 300)
{
	const long kb = MAX_DEPTH * RECORD / 1024;
	long before, during = 0, after;
	unsigned char *buf;
	unsigned int i;

	before = meminfo_kb("VmallocUsed:");
	ASSERT_LE(0, before);
	for (i = 0; i < 200; i++) {
		QUEUE(MAX_DEPTH);
		during = meminfo_kb("VmallocUsed:");
		TRIGGER(1);
		UNQUEUE();
	}
	after = meminfo_kb("VmallocUsed:");
	EXPECT_LE(kb, during - before);
	EXPECT_GE(kb + 512, during - before);
	EXPECT_GE(512, after - before);

	/* All of it, from somewhere in the middle */
	QUEUE(MAX_DEPTH);
	buf = malloc((MAX_DEPTH + 1) * RECORD);
	ASSERT_NE(NULL, buf);
	TRIGGER(1000);
	ASSERT_EQ(1000 * RECORD, read_events(self->events, buf, 1001 * RECORD));
	TRIGGER(MAX_DEPTH + 1);
	ASSERT_EQ(MAX_DEPTH * RECORD + HEADER,
		  read_events(self->events, buf, (MAX_DEPTH + 1) * RECORD));
	EXPECT_TRUE(are_events(buf, MAX_DEPTH, 1000));
	EXPECT_TRUE(is_loss(buf + MAX_DEPTH * RECORD, 1000 + MAX_DEPTH));
	free(buf);
}

/* Everything at the same time */

struct storm {
	int fd;
	struct vm *vm;
	atomic_bool stop;
	atomic_uint queues;
	atomic_uint events;
	atomic_uint wrong;
};

static void *storm_trigger(void *arg)
{
	struct storm *s = arg;
	int rc;

	while (!s->stop) {
		rc = mock_trigger_vevent(s->fd, s->vm->dev);
		if (!rc)
			s->events++;
		else if (rc != -EOPNOTSUPP && rc != -ENOENT)
			s->wrong++;
	}
	return NULL;
}

static void *storm_queue(void *arg)
{
	unsigned char buf[10 * RECORD];
	struct storm *s = arg;
	__u32 queue;
	int rc, events, i;

	while (!s->stop) {
		rc = veventq_alloc(s->fd, s->vm->viommu, 3, &queue, &events);
		if (rc == -EEXIST)
			continue;
		if (rc) {
			s->wrong++;
			continue;
		}
		s->queues++;
		for (i = 0; i < 4; i++) {
			rc = read_events(events, buf, sizeof(buf));
			if (rc < 0 || poll_now(events) & ~READABLE)
				s->wrong++;
		}
		rc = destroy(s->fd, queue);
		if (rc != -EBUSY)
			s->wrong++;
		close(events);
		if (destroy(s->fd, queue))
			s->wrong++;
	}
	return NULL;
}

static void *storm_vdevice(void *arg)
{
	struct storm *s = arg;
	__u32 vdevice;

	while (!s->stop) {
		if (vdevice_alloc(s->fd, s->vm->viommu, s->vm->dev, VIRT_ID,
				  &vdevice)) {
			s->wrong++;
			continue;
		}
		nap(1);
		if (destroy(s->fd, vdevice))
			s->wrong++;
	}
	return NULL;
}

TEST_F_TIMEOUT(veventq, all_at_once, 60)
{
	static void *(*const what[])(void *) = {
		storm_trigger, storm_trigger, storm_queue,
		storm_queue,   storm_vdevice,
	};
	struct storm s = { .fd = self->fd, .vm = &self->vm };
	pthread_t thread[ARRAY_SIZE(what)];
	unsigned int i;

	OK(destroy(self->fd, self->vdevice));
	for (i = 0; i < ARRAY_SIZE(what); i++)
		OK(pthread_create(&thread[i], NULL, what[i], &s));
	nap(3000);
	s.stop = true;
	for (i = 0; i < ARRAY_SIZE(what); i++)
		OK(pthread_join(thread[i], NULL));
	EXPECT_EQ(0, s.wrong);
	EXPECT_LT(0, s.queues);
	EXPECT_LT(0, s.events);
	TH_LOG("%u queues, %u events", s.queues, s.events);
	/* For the teardown */
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
}

TEST_HARNESS_MAIN
