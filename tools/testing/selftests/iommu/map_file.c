// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU_IOAS_MAP_FILE: what is mapped, refused, pinned and charged
 *
 * Each kind of file is tested with a domain, which pins all pages at once, and
 * without, where only accesses of the kernel pin some.
 */
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "iommufd_utils.h"
#include "map_file_utils.h"
#include "race.h"

#define HUGE_SIZE (2UL << 20)
#define IOVA (MOCK_APERTURE_START + HUGE_SIZE)
#define MEMINFO "/proc/meminfo"
#define HUGE_POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static __attribute__((constructor)) void setup_sizes(void)
{
	PAGE_SIZE = sysconf(_SC_PAGE_SIZE);
}

static long huge_pages(const char *which)
{
	char path[200], text[30] = "";
	int fd;

	snprintf(path, sizeof(path), HUGE_POOL "%s_hugepages", which);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	close(fd);
	return text[0] ? atol(text) : -1;
}

/* How often pages are pinned, in the whole system */
static long pinned_pages(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		return -1;
	close(fd);
	return number_in("/proc/vmstat", "nr_foll_pin_acquired") -
	       number_in("/proc/vmstat", "nr_foll_pin_released");
}

FIXTURE(map_file)
{
	int fd;
	int file;
	size_t size;
	uint8_t *mem;
	__u32 ioas;
	__u32 stdev;
	__u32 hwpt;
	long reserved;
	long free;
};

FIXTURE_VARIANT(map_file)
{
	unsigned int memfd_flags;
	/* Instead of a memfd */
	const char *fstype;
	size_t page;
	bool domain;
};

FIXTURE_VARIANT_ADD(map_file, memfd)
{
	.domain = true,
};

FIXTURE_VARIANT_ADD(map_file, memfd_no_domain)
{
};

FIXTURE_VARIANT_ADD(map_file, huge_memfd)
{
	.memfd_flags = MFD_HUGETLB | MFD_HUGE_2MB,
	.page = HUGE_SIZE,
	.domain = true,
};

FIXTURE_VARIANT_ADD(map_file, huge_memfd_no_domain)
{
	.memfd_flags = MFD_HUGETLB | MFD_HUGE_2MB,
	.page = HUGE_SIZE,
};

FIXTURE_VARIANT_ADD(map_file, tmpfs)
{
	.fstype = "tmpfs",
	.domain = true,
};

FIXTURE_VARIANT_ADD(map_file, hugetlbfs)
{
	.fstype = "hugetlbfs",
	.page = HUGE_SIZE,
	.domain = true,
};

FIXTURE_SETUP(map_file)
{
	size_t page = variant->page ?: PAGE_SIZE;

	self->size = 4 * (page > 16 * PAGE_SIZE ? page : 16 * PAGE_SIZE);
	self->reserved = huge_pages("resv");
	self->free = huge_pages("free");
	if (variant->fstype) {
		mkdir("/tmp/map_file", 0700);
		ASSERT_EQ(0, mount("none", "/tmp/map_file", variant->fstype, 0,
				   variant->page ? "pagesize=2M,size=16M" :
						   "size=16M"));
		self->file = open("/tmp/map_file/mem", O_RDWR | O_CREAT, 0600);
		ASSERT_LE(0, self->file);
		ASSERT_EQ(0, ftruncate(self->file, self->size));
	} else {
		self->file = memfd(variant->memfd_flags, self->size);
		ASSERT_LE(0, self->file);
	}

	self->fd = open("/dev/iommu", O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &self->ioas));
	if (variant->domain)
		test_cmd_mock_domain(self->ioas, &self->stdev, &self->hwpt,
				     NULL);
}

FIXTURE_TEARDOWN(map_file)
{
	close(self->fd);
	if (self->mem)
		munmap(self->mem, self->size);
	close(self->file);
	if (variant->fstype) {
		ASSERT_EQ(0, unlink("/tmp/map_file/mem"));
		ASSERT_EQ(0, umount("/tmp/map_file"));
	}
	/* Nothing of the pool of huge pages is lost, or promised twice */
	ASSERT_EQ(self->reserved, huge_pages("resv"));
	ASSERT_EQ(self->free, huge_pages("free"));
}

static uint8_t *map_mem(struct _test_data_map_file *self)
{
	size_t i;

	self->mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->file, 0);
	if (self->mem == MAP_FAILED) {
		self->mem = NULL;
		return NULL;
	}
	for (i = 0; i < self->size; i++)
		self->mem[i] = (i >> 12) * 7 + i;
	return self->mem;
}

static int check_map(struct _test_data_map_file *self, const void *mem,
		     size_t length, __u64 iova)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_MD_CHECK_MAP,
		.id = self->hwpt,
		.check_map = {
			.iova = iova,
			.length = length,
			.uptr = (uintptr_t)mem,
		},
	};

	return iommufd_ioctl(self->fd, IOMMU_TEST_CMD, &cmd);
}

static int access_rw(int iommufd, __u32 access, __u32 flags, __u64 iova,
		     void *data, size_t length)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_ACCESS_RW,
		.id = access,
		.access_rw = {
			.iova = iova,
			.length = length,
			.uptr = (uintptr_t)data,
			.flags = flags,
		},
	};

	return iommufd_ioctl(iommufd, IOMMU_TEST_CMD, &cmd);
}

static int access_pages(int iommufd, __u32 access, __u64 iova, void *mem,
			size_t length, __u32 *id)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_ACCESS_PAGES,
		.id = access,
		.access_pages = {
			.flags = MOCK_FLAGS_ACCESS_WRITE,
			.iova = iova,
			.length = length,
			.uptr = (uintptr_t)mem,
		},
	};
	int rc = iommufd_ioctl(iommufd, IOMMU_TEST_CMD, &cmd);

	if (!rc)
		*id = cmd.access_pages.out_access_pages_id;
	return rc;
}

/* The pages of the file are in the domain, whoever touched them first */
TEST_F(map_file, maps_the_pages_of_the_file)
{
	size_t half = self->size / 2;

	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, half, half, IOVA));
	ASSERT_NE(NULL, map_mem(self));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, half, IOVA + half));
	if (variant->domain) {
		EXPECT_EQ(0, check_map(self, self->mem + half, half, IOVA));
		EXPECT_EQ(0, check_map(self, self->mem, half, IOVA + half));
		EXPECT_EQ(-EINVAL, check_map(self, self->mem, half, IOVA));
	}
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA, half));
	EXPECT_EQ(-ENOENT,
		  iommufd_ioas_unmap(self->fd, self->ioas, IOVA, half));
	if (variant->domain)
		EXPECT_EQ(0, check_map(self, self->mem, half, IOVA + half));
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0, UINT64_MAX));
}

/* A domain that comes later, any page as the first, any number of them */
TEST_F(map_file, maps_any_part)
{
	size_t pages = 16, first, num, start, length;
	__u32 stdev, hwpt;

	ASSERT_NE(NULL, map_mem(self));
	for (first = 0; first < pages; first += 3) {
		for (num = 1; first + num <= pages; num += 4) {
			start = first * PAGE_SIZE;
			length = num * PAGE_SIZE;
			ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas,
							   MAP_RW, self->file,
							   start, length,
							   IOVA));
			if (!variant->domain) {
				test_cmd_mock_domain(self->ioas, &stdev, &hwpt,
						     NULL);
				self->hwpt = hwpt;
			}
			ASSERT_EQ(0, check_map(self, self->mem + start, length,
					       IOVA));
			if (!variant->domain)
				test_ioctl_destroy(stdev);
			ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas,
							IOVA, length));
		}
	}
}

/* Where the caller leaves the IOVA to the kernel */
TEST_F(map_file, chooses_an_iova)
{
	struct iommu_ioas_map_file cmd = {
		.size = sizeof(cmd),
		.flags = MAP_RW,
		.ioas_id = self->ioas,
		.fd = self->file,
		.start = PAGE_SIZE,
		.length = self->size - PAGE_SIZE,
	};

	ASSERT_NE(NULL, map_mem(self));
	ASSERT_EQ(0, iommufd_ioctl(self->fd, IOMMU_IOAS_MAP_FILE, &cmd));
	EXPECT_NE(0, cmd.iova);
	if (variant->domain)
		EXPECT_EQ(0, check_map(self, self->mem + PAGE_SIZE,
				       self->size - PAGE_SIZE, cmd.iova));
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, cmd.iova,
					self->size - PAGE_SIZE));
}

TEST_F(map_file, copies_to_another_ioas)
{
	__u32 other, stdev, hwpt;

	ASSERT_NE(NULL, map_mem(self));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	ASSERT_EQ(0, iommufd_ioas_alloc(self->fd, &other));
	test_cmd_mock_domain(other, &stdev, &hwpt, NULL);
	ASSERT_EQ(0, iommufd_ioas_copy(self->fd, other, IOVA, self->ioas, IOVA,
				       self->size, MAP_RW));
	/* The pages stay pinned for the copy */
	ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA, self->size));
	self->hwpt = hwpt;
	EXPECT_EQ(0, check_map(self, self->mem, self->size, IOVA));
	test_ioctl_destroy(stdev);
	test_ioctl_destroy(other);
}

/* The kernel's accesses read and write the file */
TEST_F(map_file, accesses)
{
	__u32 access, first, second;
	uint8_t data[100];
	size_t i;

	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	test_cmd_create_access(self->ioas, &access,
			       MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES);
	memset(data, 0x5a, sizeof(data));
	/* Into memory that nobody has touched, and over the end of a page */
	ASSERT_EQ(0, access_rw(self->fd, access, MOCK_ACCESS_RW_WRITE,
			       IOVA + PAGE_SIZE - 50, data, sizeof(data)));
	self->mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->file, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	EXPECT_EQ(0, self->mem[PAGE_SIZE - 51]);
	for (i = 0; i < sizeof(data); i++)
		ASSERT_EQ(0x5a, self->mem[PAGE_SIZE - 50 + i]);
	EXPECT_EQ(0, self->mem[PAGE_SIZE + 50]);

	self->mem[self->size - 1] = 0x33;
	ASSERT_EQ(0, access_rw(self->fd, access, 0, IOVA + self->size - 1, data,
			       1));
	EXPECT_EQ(0x33, data[0]);
	ASSERT_EQ(0, access_rw(self->fd, access, MOCK_ACCESS_RW_SLOW_PATH,
			       IOVA + PAGE_SIZE - 1, data, 2));
	EXPECT_EQ(0x5a, data[0]);
	EXPECT_EQ(0x5a, data[1]);

	ASSERT_EQ(0, access_pages(self->fd, access, IOVA + PAGE_SIZE,
				  self->mem + PAGE_SIZE, 3 * PAGE_SIZE,
				  &first));
	ASSERT_EQ(0, access_pages(self->fd, access, IOVA + 2 * PAGE_SIZE,
				  self->mem + 2 * PAGE_SIZE,
				  self->size - 2 * PAGE_SIZE, &second));
	test_cmd_destroy_access_pages(access, first);
	test_cmd_destroy_access_pages(access, second);
	test_cmd_destroy_access(access);
}

/* Pages are pinned as often as they are mapped, and not one time more */
TEST_F(map_file, unpins_what_it_pinned)
{
	unsigned int i;
	long pinned;

	ASSERT_NE(NULL, map_mem(self));
	pinned = pinned_pages();
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
						   self->file, 0, self->size,
						   IOVA + i * self->size));
	EXPECT_EQ(pinned + (variant->domain ? 3 * self->size / PAGE_SIZE : 0),
		  pinned_pages());
	ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0, UINT64_MAX));
	EXPECT_EQ(pinned, pinned_pages());
}

/* Mapped pages stay; past the new end nothing can be pinned */
TEST_F(map_file, truncation)
{
	__u32 access, stdev, hwpt;
	uint8_t data = 0;

	ASSERT_NE(NULL, map_mem(self));
	self->mem[PAGE_SIZE] = 0x77;
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	test_cmd_create_access(self->ioas, &access, 0);
	munmap(self->mem, self->size);
	self->mem = NULL;
	ASSERT_EQ(0, ftruncate(self->file, 0));

	if (variant->domain) {
		ASSERT_EQ(0, access_rw(self->fd, access, 0, IOVA + PAGE_SIZE,
				       &data, 1));
		EXPECT_EQ(0x77, data);
		ASSERT_EQ(0, access_rw(self->fd, access, MOCK_ACCESS_RW_WRITE,
				       IOVA + PAGE_SIZE, &data, 1));
	} else {
		EXPECT_EQ(-EINVAL, access_rw(self->fd, access, 0,
					     IOVA + PAGE_SIZE, &data, 1));
		test_err_mock_domain(EINVAL, self->ioas, &stdev, &hwpt);
	}
	EXPECT_EQ(-EINVAL,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, 0, PAGE_SIZE,
					IOVA + self->size));

	/* The file grows again, with other pages */
	ASSERT_EQ(0, ftruncate(self->file, self->size));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, PAGE_SIZE,
					   IOVA + self->size));
	ASSERT_EQ(0, access_rw(self->fd, access, 0, IOVA + self->size, &data,
			       1));
	EXPECT_EQ(0, data);
	test_cmd_destroy_access(access);
	ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0, UINT64_MAX));
}

/* A file that ends within a page, as mmap() takes it */
TEST_F(map_file, a_page_that_is_cut_short)
{
	if (variant->page)
		return;
	ASSERT_EQ(0, ftruncate(self->file, self->size - 100));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	EXPECT_EQ(-EINVAL,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, self->size, PAGE_SIZE,
					IOVA + self->size));
}

TEST_F(map_file, seals)
{
	if (variant->fstype)
		return;
	/* Nobody seals what may be written */
	ASSERT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	EXPECT_EQ(-1, fcntl(self->file, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(EBUSY, errno);
	ASSERT_EQ(0, fcntl(self->file, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	EXPECT_EQ(-EPERM,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, 0, self->size,
					IOVA + self->size));
	EXPECT_EQ(-EPERM,
		  iommufd_ioas_map_file(self->fd, self->ioas,
					IOMMU_IOAS_MAP_WRITEABLE, self->file, 0,
					self->size, IOVA + self->size));
	ASSERT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA, self->size));

	ASSERT_EQ(0, fcntl(self->file, F_ADD_SEALS,
			   F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
	EXPECT_EQ(-EPERM,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, 0, self->size, IOVA));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas,
					   IOMMU_IOAS_MAP_READABLE, self->file,
					   0, self->size, IOVA));
	/* No way round through a copy */
	EXPECT_EQ(-EPERM,
		  iommufd_ioas_copy(self->fd, self->ioas, IOVA + self->size,
				    self->ioas, IOVA, self->size, MAP_RW));
}

/* The mode of the file */
TEST_F(map_file, open_mode)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->file);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW, fd, 0,
					self->size, IOVA));
	EXPECT_EQ(-EACCES,
		  iommufd_ioas_map_file(self->fd, self->ioas,
					IOMMU_IOAS_MAP_WRITEABLE, fd, 0,
					self->size, IOVA));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas,
					   IOMMU_IOAS_MAP_READABLE, fd, 0,
					   self->size, IOVA));
	close(fd);

	if (!variant->page) {
		fd = open(path, O_WRONLY);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EACCES,
			  iommufd_ioas_map_file(self->fd, self->ioas,
						IOMMU_IOAS_MAP_WRITEABLE, fd, 0,
						self->size, IOVA + self->size));
		close(fd);
	}
	fd = open(path, O_PATH);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF,
		  iommufd_ioas_map_file(self->fd, self->ioas,
					IOMMU_IOAS_MAP_READABLE, fd, 0,
					self->size, IOVA + self->size));
	close(fd);
}

TEST_F(map_file, refusals)
{
	struct iommu_ioas_map_file cmd = {
		.size = sizeof(cmd),
		.flags = MAP_RW,
		.ioas_id = self->ioas,
		.fd = self->file,
		.length = PAGE_SIZE,
	};
	int other;

#define map_err(_flags, _ioas, _fd, _start, _length, _iova)                  \
	iommufd_ioas_map_file(self->fd, _ioas, _flags, _fd, _start, _length, \
			      _iova)
	EXPECT_EQ(-EOPNOTSUPP, map_err(MAP_RW | (1 << 3), self->ioas,
				       self->file, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-EOPNOTSUPP, map_err(MAP_RW | (1U << 31), self->ioas,
				       self->file, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-EINVAL,
		  map_err(0, self->ioas, self->file, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-ENOENT,
		  map_err(MAP_RW, 0, self->file, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-ENOENT,
		  map_err(MAP_RW, 12345, self->file, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-EBADF, map_err(MAP_RW, self->ioas, -1, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-EBADF,
		  map_err(MAP_RW, self->ioas, 12345, 0, PAGE_SIZE, IOVA));
	EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->file, 0, 0, IOVA));
	EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->file, 0,
				   self->size + PAGE_SIZE, IOVA));
	EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->file, self->size,
				   PAGE_SIZE, IOVA));
	EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->file, 1ULL << 62,
				   PAGE_SIZE, IOVA));
	EXPECT_EQ(-EOVERFLOW, map_err(MAP_RW, self->ioas, self->file,
				      UINT64_MAX, PAGE_SIZE, IOVA));
	EXPECT_EQ(-EOVERFLOW, map_err(MAP_RW, self->ioas, self->file,
				      UINT64_MAX & -PAGE_SIZE, PAGE_SIZE,
				      IOVA));
	EXPECT_EQ(-EOVERFLOW, map_err(MAP_RW, self->ioas, self->file, 0,
				      UINT64_MAX, IOVA));
	EXPECT_EQ(-EOVERFLOW, map_err(MAP_RW, self->ioas, self->file, PAGE_SIZE,
				      UINT64_MAX & -PAGE_SIZE, IOVA));
	EXPECT_EQ(-EOVERFLOW, map_err(MAP_RW, self->ioas, self->file, 0,
				      PAGE_SIZE, UINT64_MAX));
	if (variant->domain) {
		EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->file, 1,
					   PAGE_SIZE, IOVA));
		EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->file, 0,
					   PAGE_SIZE, IOVA + 1));
	}
	ASSERT_EQ(0, map_err(MAP_RW, self->ioas, self->file, 0, PAGE_SIZE,
			     IOVA));
	EXPECT_EQ(-EEXIST, map_err(MAP_RW, self->ioas, self->file, 0, PAGE_SIZE,
				   IOVA));

	/* Files of other kinds */
	other = open("/proc/version", O_RDONLY);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EINVAL, map_err(IOMMU_IOAS_MAP_READABLE, self->ioas, other,
				   0, PAGE_SIZE, IOVA + PAGE_SIZE));
	close(other);
	other = open("/dev/zero", O_RDWR);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, other, 0, PAGE_SIZE,
				   IOVA + PAGE_SIZE));
	close(other);
	EXPECT_EQ(-EINVAL, map_err(MAP_RW, self->ioas, self->fd, 0, PAGE_SIZE,
				   IOVA + PAGE_SIZE));
#undef map_err

	EXPECT_EQ(-EINVAL,
		  iommufd_resized(self->fd, IOMMU_IOAS_MAP_FILE, &cmd,
				  sizeof(cmd), sizeof(cmd) - 1, 0));
	EXPECT_EQ(-E2BIG,
		  iommufd_resized(self->fd, IOMMU_IOAS_MAP_FILE, &cmd,
				  sizeof(cmd), sizeof(cmd) + 8, 1));
	EXPECT_EQ(0, iommufd_resized(self->fd, IOMMU_IOAS_MAP_FILE, &cmd,
				     sizeof(cmd), sizeof(cmd) + 8, 0));
}

/* A range that fails half-way leaves nothing mapped, pinned or charged */
TEST_F(map_file, above_the_limit)
{
	struct rlimit unlimited, limit = {};
	long pages = self->size / PAGE_SIZE;

	if (!variant->domain)
		return;
	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &unlimited));
	limit = unlimited;
	limit.rlim_cur = self->size;
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	/* Without CAP_IPC_LOCK, which decides when something is mapped */
	ASSERT_EQ(0, seteuid(65534));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	EXPECT_EQ(-ENOMEM,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, 0, PAGE_SIZE,
					IOVA + self->size));
	EXPECT_EQ(pages * PAGE_SIZE / 1024,
		  number_in("/proc/self/status", "VmPin"));
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA, self->size));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmPin"));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, IOVA, self->size));
	limit.rlim_cur = self->size - PAGE_SIZE;
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(-ENOMEM,
		  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					self->file, 0, self->size, IOVA));
	EXPECT_EQ(0, number_in("/proc/self/status", "VmPin"));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &unlimited));
}

/* What others have reserved is not taken from them */
TEST_F(map_file, huge_pages_of_others)
{
	long total = huge_pages("free") - huge_pages("resv");
	size_t length = total * HUGE_SIZE, i;
	uint8_t *mem;

	if (!variant->page)
		return;
	ASSERT_LT(0, total);
	mem = mmap(NULL, length, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	if (variant->domain) {
		EXPECT_EQ(-ENOMEM,
			  iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
						self->file, 0, self->size,
						IOVA));
	}
	/* A SIGBUS if it was taken */
	for (i = 0; i < length; i += HUGE_SIZE)
		mem[i] = 1;
	munmap(mem, length);
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, self->size, IOVA));
}

/* A size limit of the file system counts pages once, and forgets them */
TEST_F(map_file, limit_of_the_file_system)
{
	int other;

	if (!variant->fstype)
		return;
	other = open("/tmp/map_file/other", O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, ftruncate(other, 32UL << 20));
	EXPECT_GT(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW, other,
					   0, 32UL << 20, IOVA));
	close(other);
	ASSERT_EQ(0, unlink("/tmp/map_file/other"));
	/* All of its 16 MiB, twice */
	ASSERT_EQ(0, ftruncate(self->file, 16UL << 20));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, 16UL << 20, IOVA));
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0, UINT64_MAX));
	ASSERT_EQ(0, ftruncate(self->file, 0));
	ASSERT_EQ(0, ftruncate(self->file, 16UL << 20));
	EXPECT_EQ(0, iommufd_ioas_map_file(self->fd, self->ioas, MAP_RW,
					   self->file, 0, 16UL << 20, IOVA));
	EXPECT_EQ(0, iommufd_ioas_unmap(self->fd, self->ioas, 0, UINT64_MAX));
}

/*
 * The file loses its pages while they are pinned. The teardown compares the
 * pool of huge pages.
 */

enum { OP_MAP, OP_UNMAP, OP_PUNCH, OP_TRUNCATE };

struct hole_race {
	struct race_log log;
	int fd;
	int file;
	size_t size;
	__u32 ioas;
	atomic_bool stop;
};

static void *race_map(void *arg)
{
	struct hole_race *r = arg;

	while (!atomic_load(&r->stop))
		if (race_note(&r->log, OP_MAP,
			      iommufd_ioas_map_file(r->fd, r->ioas, MAP_RW,
						    r->file, 0, r->size, IOVA),
			      EINVAL))
			race_note(&r->log, OP_UNMAP,
				  iommufd_ioas_unmap(r->fd, r->ioas, IOVA,
						     r->size),
				  0);
	return NULL;
}

static void *race_punch(void *arg)
{
	struct hole_race *r = arg;

	while (!atomic_load(&r->stop))
		race_note(&r->log, OP_PUNCH,
			  fallocate(r->file,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    0, r->size) ? -errno : 0, 0);
	return NULL;
}

static void *race_truncate(void *arg)
{
	struct hole_race *r = arg;

	while (!atomic_load(&r->stop)) {
		race_note(&r->log, OP_TRUNCATE,
			  ftruncate(r->file, 0) ? -errno : 0, 0);
		race_note(&r->log, OP_TRUNCATE,
			  ftruncate(r->file, r->size) ? -errno : 0, 0);
		usleep(1000);
	}
	return NULL;
}

TEST_F(map_file, holes_while_pinning)
{
	struct hole_race r = {
		.log.ops = { [OP_MAP] = { "map" }, [OP_UNMAP] = { "unmap" },
			     [OP_PUNCH] = { "punch a hole" },
			     [OP_TRUNCATE] = { "truncate" } },
		.fd = self->fd,
		.file = self->file,
		.size = self->size,
		.ioas = self->ioas,
	};
	void *(*const sides[])(void *) = { race_map, race_punch, race_truncate };
	pthread_t threads[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, sides[i], &r));
	race_wait(&r.log, 700, 1U << OP_MAP | 1U << OP_PUNCH | 1U << OP_TRUNCATE);
	atomic_store(&r.stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	RACE_EXPECT(&r.log, 1U << OP_MAP | 1U << OP_UNMAP | 1U << OP_PUNCH |
				1U << OP_TRUNCATE);
}

TEST_HARNESS_MAIN
