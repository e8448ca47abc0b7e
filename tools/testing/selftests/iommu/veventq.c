// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the vEVENTQ object of iommufd, on its mock driver
 *
 * Which vIOMMU can have one, whose events it gets, and its teardown.
 */
#include <signal.h>
#include <linux/limits.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "veventq_utils.h"

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
		ROW(size, offsetof(typeof(right), __reserved) - 1, EINVAL),
		/* Valid ones */
		ROW(out_veventq_id, ~0U, 0),
		ROW(out_veventq_fd, ~0U, 0),
		ROW(veventq_depth, MAX_DEPTH, 0),
#undef ROW
	};
	struct iommu_veventq_alloc *cmd = self->page;
	struct rlimit limit, none;
	int fd = next_fd();
	unsigned int i;

	/* Without a queue or a vDEVICE there are no events */
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

	/* A vIOMMU without a driver has no events */
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

	/* None of these has left a queue behind; a second queue is refused */
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

	/* Without a file the queue still takes events and holds its vIOMMU */
	close(copy);
	self->events = -1;
	TRIGGER(3);
	FAILS(EBUSY, destroy(self->fd, self->vm.viommu));
	OK(destroy(self->fd, self->queue));
	FAILS(ENOENT, destroy(self->fd, self->queue));
	FAILS(EOPNOTSUPP, mock_trigger_vevent(self->fd, self->vm.dev));

	/* The next queue starts empty */
	QUEUE(3);
	EXPECT_EQ(0, poll_now(self->events));
	TRIGGER(1);
	EXPECT_EQ(RECORD, read_events(self->events, &r, sizeof(r)));
	EXPECT_TRUE(is_event(&r, 0));
}

/* Each VM gets its own events, with the virtual ID that it has set */
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

	/* Queued events can be read after the device is gone */
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

/* The end */

/* The file holds the iommufd, and can be read */
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
	/* The teardown expects nothing to be left after close() */
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

/* The largest queue is charged its memory in advance, and no more later */
TEST_F_TIMEOUT(veventq, largest_depth, 600)
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

	/* Fill it, starting in the middle */
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

TEST_HARNESS_MAIN
