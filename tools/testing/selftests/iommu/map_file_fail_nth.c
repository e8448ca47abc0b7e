// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection into the ioctls for memory of files
 *
 * Each step runs with its first, second, ... fault until none is hit. A step
 * that fails must have changed nothing: no page is pinned or charged, and the
 * step succeeds when it is repeated.
 */
#include <sys/wait.h>

#include "iommufd_utils.h"
#include "fail_nth.h"
#include "map_file_utils.h"

#define IOVA MOCK_APERTURE_START
#define HUGE_SIZE (2UL << 20)

static __attribute__((constructor)) void setup_sizes(void)
{
	PAGE_SIZE = sysconf(_SC_PAGE_SIZE);
}

FIXTURE(fail_nth)
{
	int nth_fd;
	int fd;
	int file;
	size_t size;
	__u32 ioas;
	__u32 other;
	__u32 access;
};

FIXTURE_VARIANT(fail_nth)
{
	unsigned int memfd_flags;
	size_t size;
};

FIXTURE_VARIANT_ADD(fail_nth, memfd)
{
	.size = 100 * 4096,
};

FIXTURE_VARIANT_ADD(fail_nth, huge_memfd)
{
	.memfd_flags = MFD_HUGETLB,
	.size = 2 * HUGE_SIZE,
};

FIXTURE_SETUP(fail_nth)
{
	if (!have_fault_injection)
		SKIP(return, "needs fault injection");
	self->nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	ASSERT_LE(0, self->nth_fd);
	self->size = variant->size;
	self->file = memfd(variant->memfd_flags, self->size);
	ASSERT_LE(0, self->file);
	self->fd = open("/dev/iommu", O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &self->ioas));
	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &self->other));
	test_cmd_mock_domain(self->ioas, NULL, NULL, NULL);
	test_cmd_mock_domain(self->ioas, NULL, NULL, NULL);
	test_cmd_mock_domain(self->other, NULL, NULL, NULL);
	/* Several batches for one call */
	test_ioctl_set_temp_memory_limit(256);
}

FIXTURE_TEARDOWN(fail_nth)
{
	if (!have_fault_injection)
		return;
	test_ioctl_set_default_memory_limit();
	close(self->fd);
	close(self->file);
	close(self->nth_fd);
	EXPECT_EQ(0, number_in("/proc/self/status", "VmPin"));
}

/* @step is 0 or -errno, and @undo() undoes it */
#define SWEEP(_step, _before, _after, _undo)                                  \
	({                                                                    \
		unsigned int _n, _failures = 0;                               \
		int _hit = 1, _rc;                                            \
									      \
		for (_n = 1; _n < NTH_LIMIT && _hit; _n++) {                  \
			_before;                                              \
			ASSERT_EQ(0, nth_arm(self->nth_fd, _n));              \
			_rc = _step;                                          \
			_hit = nth_disarm(self->nth_fd);                      \
			ASSERT_LE(0, _hit);                                   \
			if (_rc) {                                            \
				ASSERT_EQ(1, _hit) {                          \
					TH_LOG("n = %u: %s", _n,              \
					       strerror(-_rc));               \
				}                                             \
				_failures++;                                  \
				_after;                                       \
				ASSERT_EQ(0, _step) {                         \
					TH_LOG("repeated after n = %u", _n);  \
				}                                             \
			}                                                     \
			_undo;                                                \
		}                                                             \
		ASSERT_GT(NTH_LIMIT, _n);                                     \
		ASSERT_LT(0, _failures);                                      \
		TH_LOG("%u points, %u failures", _n - 2, _failures);          \
	})

#define EXPECT_PINNED(_pages)                                                 \
	ASSERT_EQ((_pages) * (long)PAGE_SIZE / 1024,                          \
		  number_in("/proc/self/status", "VmPin"))

/* Into two domains, of a file that is empty each time */
TEST_F_TIMEOUT(fail_nth, map_file, 600)
{
	SWEEP(iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW, self->file, 0,
				    self->size, IOVA),
	      ({
		      ASSERT_EQ(0, ftruncate(self->file, 0));
		      ASSERT_EQ(0, ftruncate(self->file, self->size));
	      }),
	      EXPECT_PINNED(0),
	      ({
		      EXPECT_PINNED(self->size / PAGE_SIZE);
		      ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0,
						      UINT64_MAX));
		      EXPECT_PINNED(0);
	      }));
}

TEST_F_TIMEOUT(fail_nth, copy, 600)
{
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	SWEEP(iommufd_ioas_copy(self->fd, self->other, IOVA, self->ioas, IOVA,
				self->size, MAP_RW),
	      , ({
		      /* It may have copied, and failed to report where to */
		      iommufd_ioas_unmap(self->fd, self->other, 0, UINT64_MAX);
		      EXPECT_PINNED(self->size / PAGE_SIZE);
	      }), ({
		      EXPECT_PINNED(self->size / PAGE_SIZE);
		      ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->other, 0,
						      UINT64_MAX));
		      EXPECT_PINNED(self->size / PAGE_SIZE);
	      }));
}

static int pin_some(int fd, __u32 access, void *mem, size_t length, __u32 *id)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_ACCESS_PAGES,
		.id = access,
		.access_pages = {
			.iova = IOVA,
			.length = length,
			.uptr = (uintptr_t)mem,
		},
	};
	int rc = iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);

	*id = cmd.access_pages.out_access_pages_id;
	return rc;
}

/* No domain: the access pins the pages */
TEST_F_TIMEOUT(fail_nth, access, 600)
{
	size_t length = 4 * PAGE_SIZE;
	__u32 ioas, access, id;
	void *mem;

	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, ioas, MAP_RW, self->file,
					   0, self->size, IOVA));
	test_cmd_create_access(ioas, &access,
			       MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES);
	mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   self->file, 0);
	ASSERT_NE(MAP_FAILED, mem);
	SWEEP(pin_some(self->fd, access, mem, length, &id), ,
	      EXPECT_PINNED(0), ({
		      EXPECT_PINNED(4);
		      test_cmd_destroy_access_pages(access, id);
		      EXPECT_PINNED(0);
	      }));
	test_cmd_destroy_access(access);
	munmap(mem, self->size);
}

/* From a process that is gone */
TEST_F_TIMEOUT(fail_nth, change_process, 600)
{
	int status;
	pid_t pid;

	SWEEP(iommufd_ioas_change_process(self->fd), ({
		      pid = fork();
		      ASSERT_LE(0, pid);
		      if (!pid) {
			      status = iommufd_ioas_map_file(
				      self->fd, self->ioas, MAP_RW, self->file,
				      0, self->size, IOVA);
			      _exit(status ? 1 : 0);
		      }
		      ASSERT_EQ(pid, waitpid(pid, &status, 0));
		      ASSERT_EQ(0, status);
	      }),
	      EXPECT_PINNED(0), ({
		      EXPECT_PINNED(self->size / PAGE_SIZE);
		      ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0,
						      UINT64_MAX));
		      EXPECT_PINNED(0);
	      }));
}

TEST_HARNESS_MAIN
