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
	__u32 pages;
	void *mem;
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

static int unmap_all(struct _test_data_fail_nth *self)
{
	return iommufd_ioas_unmap(self->fd, self->ioas, 0, UINT64_MAX);
}

/* The steps return 0 or -errno. The last ones do not fail. */
struct steps {
	int (*before)(struct _test_data_fail_nth *self);
	int (*step)(struct _test_data_fail_nth *self);
	/* After a failure, if it may have changed something after all */
	int (*repair)(struct _test_data_fail_nth *self);
	int (*undo)(struct _test_data_fail_nth *self);
	/* Pages that are pinned for this process before and after the step */
	long before_pages;
	long after_pages;
};

#define EXPECT_PINNED(_pages)                                                 \
	ASSERT_EQ((_pages) * (long)PAGE_SIZE / 1024,                          \
		  number_in("/proc/self/status", "VmPin"))

static void sweep(struct __test_metadata *_metadata,
		  struct _test_data_fail_nth *self, const struct steps *s)
{
	unsigned int n, failures = 0;
	int hit = 1, rc;

	for (n = 1; n < NTH_LIMIT && hit; n++) {
		if (s->before)
			ASSERT_EQ(0, s->before(self));
		ASSERT_EQ(0, nth_arm(self->nth_fd, n));
		rc = s->step(self);
		hit = nth_disarm(self->nth_fd);
		ASSERT_LE(0, hit);
		if (rc) {
			ASSERT_EQ(1, hit) {
				TH_LOG("n = %u: %s", n, strerror(-rc));
			}
			failures++;
			if (s->repair)
				s->repair(self);
			EXPECT_PINNED(s->before_pages);
			ASSERT_EQ(0, s->step(self)) {
				TH_LOG("repeated after n = %u", n);
			}
		}
		EXPECT_PINNED(s->after_pages);
		ASSERT_EQ(0, s->undo(self));
	}
	ASSERT_GT(NTH_LIMIT, n);
	ASSERT_LT(0, failures);
	TH_LOG("%u points, %u failures", n - 2, failures);
}

static int empty_file(struct _test_data_fail_nth *self)
{
	if (ftruncate(self->file, 0) || ftruncate(self->file, self->size))
		return -errno;
	return 0;
}

static int map_file(struct _test_data_fail_nth *self)
{
	return iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW, self->file,
				     0, self->size, IOVA);
}

/* Into two domains, of a file that is empty each time */
TEST_F_TIMEOUT(fail_nth, map_file, 600)
{
	sweep(_metadata, self, &(struct steps){
		.before = empty_file,
		.step = map_file,
		.undo = unmap_all,
		.after_pages = self->size / PAGE_SIZE,
	});
	EXPECT_PINNED(0);
}

static int copy(struct _test_data_fail_nth *self)
{
	return iommufd_ioas_copy(self->fd, self->other, IOVA, self->ioas, IOVA,
				 self->size, MAP_RW);
}

static int unmap_copy(struct _test_data_fail_nth *self)
{
	return iommufd_ioas_unmap(self->fd, self->other, 0, UINT64_MAX);
}

TEST_F_TIMEOUT(fail_nth, copy, 600)
{
	ASSERT_EQ(0, map_file(self));
	sweep(_metadata, self, &(struct steps){
		.step = copy,
		/* It may have copied, and failed to report where to */
		.repair = unmap_copy,
		.undo = unmap_copy,
		.before_pages = self->size / PAGE_SIZE,
		.after_pages = self->size / PAGE_SIZE,
	});
}

#define SOME_PAGES 4

static int pin_some(struct _test_data_fail_nth *self)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_ACCESS_PAGES,
		.id = self->access,
		.access_pages = {
			.iova = IOVA,
			.length = SOME_PAGES * PAGE_SIZE,
			.uptr = (uintptr_t)self->mem,
		},
	};
	int rc = iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &cmd);

	self->pages = cmd.access_pages.out_access_pages_id;
	return rc;
}

static int unpin_some(struct _test_data_fail_nth *self)
{
	return _test_cmd_destroy_access_pages(self->fd, self->access,
					      self->pages);
}

/* No domain: the access pins the pages */
TEST_F_TIMEOUT(fail_nth, access, 600)
{
	__u32 ioas;

	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &ioas));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, ioas, MAP_RW, self->file,
					   0, self->size, IOVA));
	test_cmd_create_access(ioas, &self->access,
			       MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES);
	self->mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->file, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	sweep(_metadata, self, &(struct steps){
		.step = pin_some,
		.undo = unpin_some,
		.after_pages = SOME_PAGES,
	});
	test_cmd_destroy_access(self->access);
	munmap(self->mem, self->size);
}

/* By a process that is gone afterwards */
static int map_elsewhere(struct _test_data_fail_nth *self)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(map_file(self) ? 1 : 0);
	return waitpid(pid, &status, 0) == pid && !status ? 0 : -EIO;
}

static int change_process(struct _test_data_fail_nth *self)
{
	return iommufd_ioas_change_process(self->fd);
}

TEST_F_TIMEOUT(fail_nth, change_process, 600)
{
	sweep(_metadata, self, &(struct steps){
		.before = map_elsewhere,
		.step = change_process,
		.undo = unmap_all,
		.after_pages = self->size / PAGE_SIZE,
	});
	EXPECT_PINNED(0);
}

TEST_HARNESS_MAIN
