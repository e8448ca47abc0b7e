// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_IOAS_CHANGE_PROCESS: a new process takes over the charge for memory of
 * files, as in a live update of a VMM
 *
 * The processes are the test and a child that it forks before it opens
 * anything. The child takes the files from it and does what it is told.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "iommufd_utils.h"
#include "map_file_utils.h"
#include "race.h"

#define IOVA MOCK_APERTURE_START
#define STATUS "/proc/self/status"
#define NOBODY 65534

static __attribute__((constructor)) void setup_sizes(void)
{
	PAGE_SIZE = sysconf(_SC_PAGE_SIZE);
}

enum order {
	CHANGE,
	UNMAP,
	PINNED_KB,
	LOCKED_KB,
	SET_LIMIT,
	SET_USER,
	DROP_CAPS,
	MAP_USER_MEMORY,
	CLOSE,
};

struct message {
	enum order order;
	__u32 ioas;
	long arg;
};

FIXTURE(process)
{
	int fd;
	int file;
	size_t size;
	__u32 ioas;
	__u32 stdev;
	__u32 hwpt;
	int to_child;
	int from_child;
	pid_t pid;
};

FIXTURE_VARIANT(process)
{
	/* The accounting of VFIO, per process */
	bool mm_mode;
};

FIXTURE_VARIANT_ADD(process, user_mode)
{
};

FIXTURE_VARIANT_ADD(process, mm_mode)
{
	.mm_mode = true,
};

static long obey(int *fds, const struct message *m)
{
	struct rlimit limit;

	switch (m->order) {
	case CHANGE:
		return iommufd_ioas_change_process(fds[0]);
	case UNMAP:
		return iommufd_ioas_unmap(fds[0], m->ioas, 0, UINT64_MAX);
	case PINNED_KB:
		return number_in(STATUS, "VmPin");
	case LOCKED_KB:
		return number_in(STATUS, "VmLck");
	case SET_LIMIT:
		limit.rlim_cur = m->arg;
		limit.rlim_max = RLIM_INFINITY;
		return setrlimit(RLIMIT_MEMLOCK, &limit) ? -errno : 0;
	case SET_USER:
		return setresuid(m->arg, m->arg, m->arg) ? -errno : 0;
	case DROP_CAPS:
		return seteuid(NOBODY) ? -errno : 0;
	case MAP_USER_MEMORY:
		return iommufd_ioas_map(fds[0], m->ioas, MAP_RW,
					mmap(NULL, PAGE_SIZE,
					     PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1,
					     0),
					PAGE_SIZE, IOVA + (1 << 30));
	case CLOSE:
		return close(fds[0]) || close(fds[1]) ? -errno : 0;
	}
	return -EINVAL;
}

/* Take files from the parent, then do what it says */
static void child_main(int in, int out)
{
	int parent = syscall(SYS_pidfd_open, getppid(), 0);
	struct message m;
	int fds[2], i;
	long rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(in, fds, sizeof(fds)) != sizeof(fds))
		_exit(1);
	for (i = 0; i < 2; i++) {
		fds[i] = syscall(SYS_pidfd_getfd, parent, fds[i], 0);
		if (fds[i] < 0)
			_exit(1);
	}
	while (read(in, &m, sizeof(m)) == sizeof(m)) {
		rc = obey(fds, &m);
		if (write(out, &rc, sizeof(rc)) != sizeof(rc))
			break;
	}
	_exit(0);
}

static long tell(struct _test_data_process *self, enum order order, long arg)
{
	struct message m = { .order = order, .ioas = self->ioas, .arg = arg };
	long rc;

	if (write(self->to_child, &m, sizeof(m)) != sizeof(m) ||
	    read(self->from_child, &rc, sizeof(rc)) != sizeof(rc))
		return -EPIPE;
	return rc;
}

/* A domain in which all of the file is mapped without CAP_IPC_LOCK */
FIXTURE_SETUP(process)
{
	struct iommu_option option = {
		.size = sizeof(option),
		.option_id = IOMMU_OPTION_RLIMIT_MODE,
		.op = IOMMU_OPTION_OP_SET,
		.val64 = variant->mm_mode,
	};
	int to[2], from[2];

	self->size = 64 * PAGE_SIZE;
	ASSERT_EQ(0, pipe(to));
	ASSERT_EQ(0, pipe(from));
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid) {
		close(to[1]);
		close(from[0]);
		child_main(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	self->to_child = to[1];
	self->from_child = from[0];

	self->file = memfd(0, self->size);
	ASSERT_LE(0, self->file);
	self->fd = open("/dev/iommu", O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, iommufd_ioctl(self->fd, IOMMU_OPTION, &option));
	ASSERT_EQ(sizeof(int[2]), write(self->to_child,
					(int[]){ self->fd, self->file },
					sizeof(int[2])));
	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &self->ioas));
	test_cmd_mock_domain(self->ioas, &self->stdev, &self->hwpt, NULL);
	ASSERT_EQ(0, tell(self, SET_LIMIT, RLIM_INFINITY));
	ASSERT_EQ(0, seteuid(NOBODY));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
}

FIXTURE_TEARDOWN(process)
{
	int status;

	EXPECT_EQ(0, seteuid(0));
	if (self->fd >= 0)
		close(self->fd);
	close(self->file);
	close(self->to_child);
	close(self->from_child);
	EXPECT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, number_in(STATUS, "VmPin"));
	EXPECT_EQ(0, number_in(STATUS, "VmLck"));
}

#define expect_here(_kb)                                                      \
	({                                                                    \
		long _want = _kb;                                             \
									      \
		EXPECT_EQ(_want, number_in(STATUS, "VmPin"));                 \
		EXPECT_EQ(variant->mm_mode ? _want : 0,                       \
			  number_in(STATUS, "VmLck"));                        \
	})
#define expect_child(_kb)                                                     \
	({                                                                    \
		long _want = _kb;                                             \
									      \
		EXPECT_EQ(_want, tell(self, PINNED_KB, 0));                   \
		EXPECT_EQ(variant->mm_mode ? _want : 0,                       \
			  tell(self, LOCKED_KB, 0));                          \
	})

/* The child takes over, the first process leaves, the device stays attached */
TEST_F(process, takes_over)
{
	long kb = self->size / 1024;
	uint8_t *mem;
	struct iommu_test_cmd check = {
		.size = sizeof(check),
		.op = IOMMU_TEST_OP_MD_CHECK_MAP,
		.id = self->hwpt,
		.check_map = { .iova = IOVA, .length = self->size },
	};

	expect_here(kb);
	expect_child(0);
	ASSERT_EQ(0, tell(self, CHANGE, 0));
	expect_here(0);
	expect_child(kb);
	/* Twice changes nothing */
	ASSERT_EQ(0, tell(self, CHANGE, 0));
	expect_child(kb);

	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   self->file, 0);
	ASSERT_NE(MAP_FAILED, mem);
	check.check_map.uptr = (uintptr_t)mem;
	EXPECT_EQ(0, iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &check));
	munmap(mem, self->size);

	close(self->fd);
	self->fd = -1;
	expect_child(kb);
	ASSERT_EQ(0, tell(self, UNMAP, 0));
	expect_child(0);
}

/* There and back */
TEST_F(process, comes_back)
{
	long kb = self->size / 1024;

	ASSERT_EQ(0, tell(self, CHANGE, 0));
	ASSERT_EQ(0, iommufd_ioas_change_process(self->fd));
	expect_here(kb);
	expect_child(0);
	ASSERT_EQ(0, tell(self, UNMAP, 0));
	expect_here(0);
	expect_child(0);
}

/* Pages that several areas of several IOASes share count once */
TEST_F(process, copies_count_once)
{
	long kb = self->size / 1024;
	__u32 other, stdev;

	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &other));
	test_cmd_mock_domain(other, &stdev, NULL, NULL);
	ASSERT_EQ(0, iommufd_ioas_copy(self->fd, other, IOVA, self->ioas, IOVA,
				       self->size, MAP_RW));
	ASSERT_EQ(0, iommufd_ioas_copy(self->fd, other, IOVA + self->size,
				       self->ioas, IOVA, self->size, MAP_RW));
	expect_here(kb);
	ASSERT_EQ(0, tell(self, CHANGE, 0));
	expect_here(0);
	expect_child(kb);
	/* Another mapping of the same file is charged on its own */
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, other, MAP_RW, self->file,
					   0, PAGE_SIZE, IOVA + 4 * self->size));
	expect_here(PAGE_SIZE / 1024);
	expect_child(kb);
	test_ioctl_destroy(stdev);
	test_ioctl_destroy(other);
	expect_here(0);
	expect_child(kb);
}

/* Memory of another kind anywhere, with or without a domain */
TEST_F(process, other_memory)
{
	long kb = self->size / 1024;
	__u32 other;

	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &other));
	ASSERT_EQ(0, tell(self, MAP_USER_MEMORY, 0));
	EXPECT_EQ(-EINVAL, tell(self, CHANGE, 0));
	EXPECT_EQ(-EINVAL, iommufd_ioas_change_process(self->fd));
	expect_here(kb);
	/* Mapped with CAP_IPC_LOCK: no limit, so only counted */
	EXPECT_EQ(PAGE_SIZE / 1024, tell(self, PINNED_KB, 0));
	ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA + (1 << 30),
					PAGE_SIZE));
	ASSERT_EQ(0, iommufd_ioas_map(self->fd, other, MAP_RW,
				      mmap(NULL, PAGE_SIZE,
					   PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
				      PAGE_SIZE, IOVA));
	EXPECT_EQ(-EINVAL, tell(self, CHANGE, 0));
	expect_here(kb);
	test_ioctl_destroy(other);
	EXPECT_EQ(0, tell(self, CHANGE, 0));
	expect_child(kb);
	ASSERT_EQ(0, tell(self, UNMAP, 0));
}

/* Above the limit of another user, nothing moves */
TEST_F(process, limits)
{
	long kb = self->size / 1024;

	ASSERT_EQ(0, tell(self, SET_LIMIT, self->size - PAGE_SIZE));
	ASSERT_EQ(0, tell(self, SET_USER, 1234));
	EXPECT_EQ(-ENOMEM, tell(self, CHANGE, 0));
	expect_here(kb);
	expect_child(0);
	ASSERT_EQ(0, tell(self, SET_LIMIT, self->size));
	EXPECT_EQ(0, tell(self, CHANGE, 0));
	expect_here(0);
	expect_child(kb);
	ASSERT_EQ(0, tell(self, UNMAP, 0));
	expect_child(0);
	/* All of the limit is there again */
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	EXPECT_EQ(0, tell(self, CHANGE, 0));
	expect_child(kb);
}

/* The same user needs no room for twice the memory, but mm_mode has two limits */
TEST_F(process, same_user_at_the_limit)
{
	struct rlimit old, limit;

	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &old));
	limit = old;
	limit.rlim_cur = self->size;
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, tell(self, SET_LIMIT, self->size));
	ASSERT_EQ(0, tell(self, DROP_CAPS, 0));
	EXPECT_EQ(0, tell(self, CHANGE, 0));
	expect_child(self->size / 1024);
	/* User mode: the user has nothing left. Else this process has all. */
	EXPECT_EQ(variant->mm_mode ? 0 : -ENOMEM,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, 0, self->size,
					IOVA + self->size));
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &old));
}

/* The process that was charged dies first; its child inherits nothing */
TEST_F(process, charged_process_is_gone)
{
	ASSERT_EQ(0, tell(self, CHANGE, 0));
	ASSERT_EQ(0, tell(self, CLOSE, 0));
	kill(self->pid, SIGKILL);
	ASSERT_EQ(self->pid, waitpid(self->pid, NULL, 0));
	ASSERT_EQ(0, iommufd_ioas_change_process(self->fd));
	expect_here(self->size / 1024);
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA,
					self->size));
	expect_here(0);
	/* For the teardown */
	self->pid = fork();
	if (!self->pid)
		_exit(0);
}

/* What was unpinned after its death is charged to nobody */
TEST_F(process, unpinned_after_death)
{
	ASSERT_EQ(0, tell(self, CHANGE, 0));
	ASSERT_EQ(0, tell(self, CLOSE, 0));
	kill(self->pid, SIGKILL);
	ASSERT_EQ(self->pid, waitpid(self->pid, NULL, 0));
	test_ioctl_destroy(self->stdev);
	ASSERT_EQ(0, iommufd_ioas_change_process(self->fd));
	expect_here(0);
	test_cmd_mock_domain(self->ioas, &self->stdev, &self->hwpt, NULL);
	expect_here(self->size / 1024);
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA,
					self->size));
	expect_here(0);
	/* For the teardown */
	self->pid = fork();
	if (!self->pid)
		_exit(0);
}

TEST_F(process, sizes)
{
	struct iommu_ioas_change_process cmd = { .size = sizeof(cmd) };
	int empty;

	EXPECT_EQ(-EINVAL,
		  iommufd_resized(self->fd, IOMMU_IOAS_CHANGE_PROCESS, &cmd,
				  sizeof(cmd), 4, 0));
	EXPECT_EQ(-E2BIG,
		  iommufd_resized(self->fd, IOMMU_IOAS_CHANGE_PROCESS, &cmd,
				  sizeof(cmd), 16, 1));
	EXPECT_EQ(0, iommufd_resized(self->fd, IOMMU_IOAS_CHANGE_PROCESS, &cmd,
				     sizeof(cmd), 16, 0));
	cmd.__reserved = 1;
	EXPECT_EQ(-EOPNOTSUPP,
		  iommufd_ioctl(self->fd, IOMMU_IOAS_CHANGE_PROCESS, &cmd));

	ASSERT_EQ(0, seteuid(0));
	empty = open("/dev/iommu", O_RDWR);
	ASSERT_LE(0, empty);
	EXPECT_EQ(0, iommufd_ioas_change_process(empty));
	close(empty);
}

/* Mapped and unmapped by threads of one process while both take over */

enum { OP_MAP, OP_UNMAP, OP_CHANGE, OP_CHILD };

struct change_race {
	struct race_log log;
	int fd;
	int file;
	size_t size;
	__u32 ioas;
	atomic_bool stop;
	atomic_uint slot;
};

static void *race_map(void *arg)
{
	struct change_race *r = arg;
	__u64 iova = IOVA + (1 + atomic_fetch_add(&r->slot, 1)) * r->size;

	while (!atomic_load(&r->stop)) {
		if (race_note(&r->log, OP_MAP,
			      iommufd_ioas_map_file(r->fd, r->ioas, MAP_RW,
						    r->file, 0, r->size, iova),
			      0))
			race_note(&r->log, OP_UNMAP,
				  iommufd_ioas_unmap(r->fd, r->ioas, iova,
						     r->size),
				  0);
	}
	return NULL;
}

static void *race_change(void *arg)
{
	struct change_race *r = arg;

	while (!atomic_load(&r->stop))
		race_note(&r->log, OP_CHANGE,
			  iommufd_ioas_change_process(r->fd), 0);
	return NULL;
}

TEST_F(process, race)
{
	struct change_race r = {
		.log.ops = { [OP_MAP] = { "map" }, [OP_UNMAP] = { "unmap" },
			     [OP_CHANGE] = { "change" },
			     [OP_CHILD] = { "change by the child" } },
		.fd = self->fd,
		.file = self->file,
		.size = self->size,
		.ioas = self->ioas,
	};
	time_t end = time(NULL) + 3;
	pthread_t threads[3];
	unsigned int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, race_map, &r));
	ASSERT_EQ(0, pthread_create(&threads[2], NULL, race_change, &r));
	while (time(NULL) < end)
		race_note(&r.log, OP_CHILD, tell(self, CHANGE, 0), 0);
	atomic_store(&r.stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	RACE_EXPECT(&r.log, 1U << OP_MAP | 1U << OP_UNMAP | 1U << OP_CHANGE |
				1U << OP_CHILD);

	/* Whoever is charged at the end is charged for all */
	ASSERT_EQ(0, iommufd_ioas_change_process(self->fd));
	expect_here(self->size / 1024);
	expect_child(0);
}

/*
 * Two VMs of one user. Who opens their iommufds, with the privilege to do so,
 * decides whether each has a limit of its own.
 */
FIXTURE(two_vms)
{
	int fd[2];
	int file;
	size_t size;
	__u32 ioas[2];
	pid_t pid[2];
};

FIXTURE_VARIANT(two_vms)
{
	bool mm_mode;
};

FIXTURE_VARIANT_ADD(two_vms, user_mode)
{
};

FIXTURE_VARIANT_ADD(two_vms, mm_mode)
{
	.mm_mode = true,
};

FIXTURE_SETUP(two_vms)
{
	struct iommu_option option = {
		.size = sizeof(option),
		.option_id = IOMMU_OPTION_RLIMIT_MODE,
		.op = IOMMU_OPTION_OP_SET,
		.val64 = variant->mm_mode,
	};
	unsigned int i;

	self->size = 16 * PAGE_SIZE;
	self->file = memfd(0, self->size);
	ASSERT_LE(0, self->file);
	for (i = 0; i < 2; i++) {
		self->fd[i] = open("/dev/iommu", O_RDWR);
		ASSERT_LE(0, self->fd[i]);
		ASSERT_EQ(0, iommufd_ioctl(self->fd[i], IOMMU_OPTION, &option));
		ASSERT_EQ(0, iommufd_ioas_alloc(self->fd[i], &self->ioas[i]));
		ASSERT_EQ(0, _test_cmd_mock_domain(self->fd[i], self->ioas[i],
						   NULL, NULL, NULL));
	}
}

FIXTURE_TEARDOWN(two_vms)
{
}

TEST_F(two_vms, limits_of_one_user)
{
	const struct rlimit limit = { self->size, self->size };
	unsigned int i;
	int status, pipe_fds[2];

	ASSERT_EQ(0, pipe(pipe_fds));
	for (i = 0; i < 2; i++) {
		int want = i && !variant->mm_mode ? -ENOMEM : 0;
		char byte;

		self->pid[i] = fork();
		ASSERT_LE(0, self->pid[i]);
		if (!self->pid[i]) {
			int rc = -EIO;

			if (!setrlimit(RLIMIT_MEMLOCK, &limit) &&
			    !setresuid(2345, 2345, 2345))
				rc = iommufd_ioas_map_file(self->fd[i],
							   self->ioas[i],
							   MAP_RW, self->file,
							   0, self->size, IOVA);
			byte = rc == want;
			if (write(pipe_fds[1], &byte, 1) != 1)
				_exit(1);
			/* Its mm holds the charge until it is killed */
			pause();
			_exit(0);
		}
		ASSERT_EQ(1, read(pipe_fds[0], &byte, 1));
		EXPECT_EQ(1, byte) {
			TH_LOG("process %u", i);
		}
	}
	for (i = 0; i < 2; i++) {
		kill(self->pid[i], SIGKILL);
		ASSERT_EQ(self->pid[i], waitpid(self->pid[i], &status, 0));
		close(self->fd[i]);
	}
}

TEST_HARNESS_MAIN
