// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the HW queue object of iommufd and of mmap() of a vIOMMU's
 * registers, on the mock driver
 *
 * The hardware must read what user space wrote, and user space must map what
 * the driver published. Memory and registers must stay for as long as they are
 * used, and no longer.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "race.h"
#include "viommu_utils.h"

#define BASE ((__u64)MOCK_APERTURE_START)
#define RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
/* An IOVA that vm_open() does not map */
#define ELSEWHERE (BASE + (64 << 20))
#define HUGE_SIZE (2 << 20)

static size_t page_size;

static __attribute__((constructor)) void page_size_setup(void)
{
	page_size = sysconf(_SC_PAGE_SIZE);
}

/* The byte that hardware reads at @offset of a queue, or -errno */
static int hw_queue_byte(int fd, __u32 id, __u64 offset)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_HW_QUEUE_READ,
		.id = id,
		.hw_queue_read.offset = offset,
	};
	int rc = iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);

	return rc ?: (int)cmd.hw_queue_read.out_byte;
}

FIXTURE(queue)
{
	struct vm vm;
	int fd;
	__u32 ioas;
	__u32 viommu;
	unsigned long pinned;
};

FIXTURE_SETUP(queue)
{
	size_t i;

	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	self->ioas = self->vm.ioas;
	self->viommu = self->vm.viommu;
	self->pinned = vm_pinned_kb();
	for (i = 0; i < vm_memory_size; i++)
		vm_memory[i] = i / page_size * 16 + i % 13;
}

FIXTURE_TEARDOWN(queue)
{
	vm_close(&self->vm);
	NOTHING_LEFT();
}

TEST_F(queue, hardware_reads_what_the_guest_wrote)
{
	const __u64 offsets[] = { 0, 1, page_size / 2, page_size - 1,
				  5 * page_size, 5 * page_size + 3 };
	unsigned int i, j;
	__u64 length;
	__u32 id;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		length = page_size - offsets[i] % page_size;
		OK(hw_queue_alloc(self->fd, self->viommu, 0, BASE + offsets[i],
				  length, &id));
		EXPECT_EQ(HELD(1, 0, 0) + HELD_HW_QUEUES(1),
			  mock_held(self->fd));
		for (j = 0; j < length; j += 97)
			ASSERT_EQ(vm_memory[offsets[i] + j],
				  hw_queue_byte(self->fd, id, j));
		vm_memory[offsets[i]] = 0xa5;
		EXPECT_EQ(0xa5, hw_queue_byte(self->fd, id, 0));
		EXPECT_EQ(-EINVAL, hw_queue_byte(self->fd, id, length));
		EXPECT_EQ(self->pinned, vm_pinned_kb());
		OK(destroy(self->fd, id));
		EXPECT_EQ(HELD(1, 0, 0), mock_held(self->fd));
	}
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(queue, many_pages)
{
	unsigned char *huge;
	unsigned long i;
	__u32 id, id1;

	huge = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (huge == MAP_FAILED)
		SKIP(return, "needs a huge page");
	for (i = 0; i < HUGE_SIZE; i++)
		huge[i] = i / 4096 + i;
	OK(ioas_map(self->fd, self->ioas, RW, huge, HUGE_SIZE, ELSEWHERE));

	OK(hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE + 100,
			  HUGE_SIZE - 200, &id));
	for (i = 0; i < HUGE_SIZE - 200; i += 4093)
		ASSERT_EQ(huge[100 + i], hw_queue_byte(self->fd, id, i));
	/* The memory of two queues may overlap */
	OK(hw_queue_alloc(self->fd, self->viommu, 1, ELSEWHERE, HUGE_SIZE,
			  &id1));
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, ELSEWHERE, HUGE_SIZE));
	OK(destroy(self->fd, id1));
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, ELSEWHERE, HUGE_SIZE));
	OK(destroy(self->fd, id));
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE, HUGE_SIZE));
	OK(munmap(huge, HUGE_SIZE));
}

/* Mappings of the two halves of a page are contiguous only in this order */
TEST_F(queue, several_mappings)
{
	size_t half = page_size / 2;
	__u32 id;

	OK(ioas_map(self->fd, self->ioas, RW, vm_memory, half, ELSEWHERE));
	OK(ioas_map(self->fd, self->ioas, RW, vm_memory + half, half,
		    ELSEWHERE + half));
	OK(ioas_map(self->fd, self->ioas, RW, vm_memory, half,
		    ELSEWHERE + 2 * half));

	OK(hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE + 3,
			  page_size - 5, &id));
	EXPECT_EQ(vm_memory[3], hw_queue_byte(self->fd, id, 0));
	EXPECT_EQ(vm_memory[half], hw_queue_byte(self->fd, id, half - 3));
	/* Each mapping that it touches stays; the next one can be unmapped */
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, ELSEWHERE, half));
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, ELSEWHERE + half, half));
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE + 2 * half, half));
	OK(destroy(self->fd, id));

	OK(ioas_map(self->fd, self->ioas, RW, vm_memory, half,
		    ELSEWHERE + 2 * half));
	FAILS(EFAULT, hw_queue_alloc(self->fd, self->viommu, 0,
				     ELSEWHERE + half, page_size, &id));
	FAILS(EFAULT, hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE,
				     page_size + 1, &id));
	FAILS(ENOENT, hw_queue_alloc(self->fd, self->viommu, 0,
				     ELSEWHERE + 2 * half, half + 1, &id));
	/* A failure in a later mapping has released the first ones */
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE, page_size + half));
}

TEST_F(queue, memory_must_be_contiguous)
{
	unsigned char *scattered;
	__u32 id;

	/* The same page of memory, three times */
	scattered = mmap(NULL, 3 * page_size, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)scattered);
	ASSERT_EQ((void *)scattered,
		  mremap(vm_memory, 0, page_size,
			 MREMAP_MAYMOVE | MREMAP_FIXED, scattered));
	ASSERT_EQ((void *)scattered + page_size,
		  mremap(vm_memory, 0, page_size,
			 MREMAP_MAYMOVE | MREMAP_FIXED, scattered + page_size));
	OK(ioas_map(self->fd, self->ioas, RW, scattered, 2 * page_size,
		    ELSEWHERE));
	FAILS(EFAULT, hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE,
				     2 * page_size, &id));
	FAILS(EFAULT, hw_queue_alloc(self->fd, self->viommu, 0,
				     ELSEWHERE + page_size - 1, 2, &id));
	OK(hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE + page_size,
			  page_size, &id));
	OK(destroy(self->fd, id));
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE, 2 * page_size));
	OK(munmap(scattered, 3 * page_size));
}

TEST_F(queue, memory_must_be_readable)
{
	__u32 id;

	OK(ioas_map(self->fd, self->ioas, IOMMU_IOAS_MAP_WRITEABLE, vm_memory,
		    page_size, ELSEWHERE));
	FAILS(EPERM, hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE,
				    page_size, &id));
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE, page_size));

	/* Hardware only reads it */
	OK(ioas_map(self->fd, self->ioas, IOMMU_IOAS_MAP_READABLE, vm_memory,
		    page_size, ELSEWHERE));
	OK(hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE, page_size,
			  &id));
	OK(destroy(self->fd, id));
}

TEST_F(queue, memory_stays_mapped)
{
	const __u64 next = ELSEWHERE + page_size;
	__u32 id, ids[2];

	OK(ioas_map(self->fd, self->ioas, RW, vm_memory, page_size, ELSEWHERE));
	OK(ioas_map(self->fd, self->ioas, RW, vm_memory + page_size, page_size,
		    next));
	OK(hw_queue_alloc(self->fd, self->viommu, 0, next, page_size, &id));

	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, next, page_size));
	/* All or nothing */
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, ELSEWHERE,
				2 * page_size));
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, 0, ~0ULL));
	FAILS(EEXIST, ioas_map(self->fd, self->ioas, RW, vm_memory, page_size,
			       ELSEWHERE));
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE, page_size));
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, next, page_size / 2));
	EXPECT_EQ(vm_memory[page_size], hw_queue_byte(self->fd, id, 0));

	/* One page for two queues */
	OK(destroy(self->fd, id));
	OK(hw_queue_alloc(self->fd, self->viommu, 0, next, 16, &ids[0]));
	OK(hw_queue_alloc(self->fd, self->viommu, 1, next + 16, 16, &ids[1]));
	OK(destroy(self->fd, ids[1]));
	FAILS(EBUSY, ioas_unmap(self->fd, self->ioas, next, page_size));
	OK(destroy(self->fd, ids[0]));
	OK(ioas_unmap(self->fd, self->ioas, next, page_size));
	EXPECT_EQ(self->pinned, vm_pinned_kb());
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(queue, go_in_the_opposite_order)
{
	__u32 ids[2], id, viommu, other;

	FAILS(EIO, hw_queue_alloc(self->fd, self->viommu, 1, BASE, 64, &id));
	OK(hw_queue_alloc(self->fd, self->viommu, 0, BASE, 64, &ids[0]));
	FAILS(EEXIST, hw_queue_alloc(self->fd, self->viommu, 0, BASE, 64, &id));
	OK(hw_queue_alloc(self->fd, self->viommu, 1, BASE, 64, &ids[1]));
	FAILS(EEXIST, hw_queue_alloc(self->fd, self->viommu, 1, BASE, 64, &id));
	EXPECT_EQ(HELD(1, 0, 0) + HELD_HW_QUEUES(2), mock_held(self->fd));

	/* Another vIOMMU has its own queues */
	OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, NULL, &viommu));
	FAILS(EIO, hw_queue_alloc(self->fd, viommu, 1, BASE, 64, &other));
	OK(hw_queue_alloc(self->fd, viommu, 0, BASE, 64, &other));
	FAILS(EBUSY, destroy(self->fd, viommu));
	OK(destroy(self->fd, other));
	OK(destroy(self->fd, viommu));

	FAILS(EBUSY, destroy(self->fd, self->viommu));
	FAILS(EBUSY, destroy(self->fd, self->vm.s2));
	FAILS(EBUSY, destroy(self->fd, ids[0]));
	OK(destroy(self->fd, ids[1]));
	FAILS(EBUSY, destroy(self->fd, self->viommu));
	OK(hw_queue_alloc(self->fd, self->viommu, 1, BASE, 64, &ids[1]));
	FAILS(EBUSY, destroy(self->fd, ids[0]));
	OK(destroy(self->fd, ids[1]));
	OK(destroy(self->fd, ids[0]));
	FAILS(ENOENT, destroy(self->fd, ids[0]));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(queue, outlives_its_device)
{
	__u32 id;

	OK(hw_queue_alloc(self->fd, self->viommu, 0, BASE, 64, &id));
	OK(destroy(self->fd, self->vm.stdev));
	EXPECT_EQ(vm_memory[5], hw_queue_byte(self->fd, id, 5));
	OK(destroy(self->fd, id));
	OK(destroy(self->fd, self->viommu));
}

TEST_F(queue, close_ends_all)
{
	__u32 id;

	OK(hw_queue_alloc(self->fd, self->viommu, 0, BASE, 64, &id));
	OK(hw_queue_alloc(self->fd, self->viommu, 1, BASE, page_size, &id));
}

TEST_F(queue, default_type_has_none)
{
	__u32 viommu, id;

	OK(viommu_alloc_default(self->fd, self->vm.dev, self->vm.s2, &viommu));
	FAILS(EOPNOTSUPP, hw_queue_alloc(self->fd, viommu, 0, BASE, 64, &id));
	OK(destroy(self->fd, viommu));
}

TEST_F(queue, driver_fails)
{
	__u32 ids[2], id, next = next_id(self->fd);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		OK(mock_fail(self->fd, MOCK_VIOMMU_FAIL_HW_QUEUE_INIT, EINVAL,
			     0));
		FAILS(EINVAL, hw_queue_alloc(self->fd, self->viommu, i, BASE,
					     64, &id));
		/* It pins no memory and does not hold the queue below */
		if (i) {
			OK(destroy(self->fd, ids[0]));
			OK(hw_queue_alloc(self->fd, self->viommu, 0, BASE, 64,
					  &ids[0]));
		}
		if (!i) {
			OK(ioas_unmap(self->fd, self->ioas, BASE,
				      vm_memory_size));
			OK(ioas_map_memory(self->fd, self->ioas));
			EXPECT_EQ(next, next_id(self->fd));
		}
		OK(hw_queue_alloc(self->fd, self->viommu, i, BASE, 64,
				  &ids[i]));
	}
	OK(destroy(self->fd, ids[1]));
	OK(destroy(self->fd, ids[0]));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

/* The objects are destroyed, the memory is not freed: nobody else may get it */
TEST_F(queue, hardware_does_not_stop)
{
	unsigned char *lost;
	__u32 id;

	lost = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)lost);
	lost[0] = 1;
	OK(ioas_map(self->fd, self->ioas, RW, lost, page_size, ELSEWHERE));
	OK(hw_queue_alloc(self->fd, self->viommu, 0, ELSEWHERE, page_size,
			  &id));
	OK(mock_fail(self->fd, MOCK_VIOMMU_FAIL_HW_QUEUE_RELEASE, ETIMEDOUT,
		     0));
	OK(destroy(self->fd, id));
	FAILS(ENOENT, destroy(self->fd, id));
	OK(ioas_unmap(self->fd, self->ioas, ELSEWHERE, page_size));
	OK(munmap(lost, page_size));
	EXPECT_EQ(self->pinned, vm_pinned_kb());
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

/* mmap() */

/* The first word of the region */
#define REGION_WORD 0x600df00d

FIXTURE(map)
{
	struct vm vm;
	int fd;
	__u32 viommu;
	size_t length;
	__u64 offset;
};

FIXTURE_SETUP(map)
{
	struct iommu_viommu_selftest data = { .in_data = REGION_WORD };

	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, &data,
			&self->viommu));
	self->offset = data.out_mmap_offset;
	self->length = data.out_mmap_length;
	EXPECT_EQ(2 * page_size, self->length);
	EXPECT_LE(page_size, self->offset);
	EXPECT_EQ(0, self->offset % page_size);
}

FIXTURE_TEARDOWN(map)
{
	vm_close(&self->vm);
	NOTHING_LEFT();
}

/* Returns 0 or -errno; unmaps again without @at */
static int map_region(int fd, size_t length, int prot, int flags, __u64 offset,
		      unsigned char **at)
{
	void *map = mmap(NULL, length, prot, flags, fd, offset);

	if (at)
		*at = map;
	else if (map != MAP_FAILED)
		munmap(map, length);
	return map == MAP_FAILED ? -errno : 0;
}

#define MAP(_at) \
	map_region(self->fd, self->length, PROT_READ | PROT_WRITE, MAP_SHARED, \
		   self->offset, _at)

TEST_F(map, is_one_region)
{
	unsigned char *map[2];
	__u32 word;
	size_t i;

	OK(MAP(&map[0]));
	OK(MAP(&map[1]));
	memcpy(&word, map[0], sizeof(word));
	EXPECT_EQ(REGION_WORD, word);
	for (i = sizeof(word); i < self->length; i++)
		ASSERT_EQ(0, map[0][i]);
	for (i = 0; i < self->length; i++)
		map[0][i] = i * 7;
	for (i = 0; i < self->length; i++)
		ASSERT_EQ((unsigned char)(i * 7), map[1][i]);

	FAILS(EBUSY, destroy(self->fd, self->viommu));
	OK(munmap(map[0], self->length));
	FAILS(EBUSY, destroy(self->fd, self->viommu));
	EXPECT_EQ(0, map[1][0]);
	EXPECT_EQ(7, map[1][1]);
	OK(munmap(map[1], self->length));
	OK(destroy(self->fd, self->viommu));
	FAILS(ENXIO, MAP(NULL));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(map, wrong_calls)
{
	const int rw = PROT_READ | PROT_WRITE;
	const __u64 at = self->offset;
	const size_t length = self->length;
	struct iommu_viommu_selftest data = {};
	__u32 id;
	int fd;

	FAILS(EINVAL, map_region(self->fd, length, rw, MAP_PRIVATE, at, NULL));
	FAILS(EPERM, map_region(self->fd, length, rw | PROT_EXEC, MAP_SHARED,
				at, NULL));
	FAILS(EPERM, map_region(self->fd, length, PROT_EXEC, MAP_SHARED, at,
				NULL));
	FAILS(ENXIO, map_region(self->fd, length / 2, rw, MAP_SHARED, at,
				NULL));
	FAILS(ENXIO, map_region(self->fd, length + page_size, rw, MAP_SHARED,
				at, NULL));
	FAILS(ENXIO, map_region(self->fd, 2 * length, rw, MAP_SHARED, at,
				NULL));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED, 0, NULL));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				at + page_size, NULL));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				at - page_size, NULL));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				at + 2 * page_size, NULL));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				at - 2 * page_size, NULL));
	FAILS(ENXIO, map_region(self->fd, page_size, rw, MAP_SHARED,
				at + page_size, NULL));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				0x7fffffff00000000, NULL));
	/* A vIOMMU without registers, another object, another iommufd */
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				(at >> 32) - 1 ? at - (1ULL << 32) : 0, NULL));
	fd = open("/dev/iommu", O_RDWR);
	ASSERT_LE(0, fd);
	FAILS(ENXIO, map_region(fd, length, rw, MAP_SHARED, at, NULL));
	close(fd);
	/* Not writable */
	fd = open("/dev/iommu", O_RDONLY);
	ASSERT_LE(0, fd);
	FAILS(EINVAL, map_region(fd, length, PROT_READ, MAP_SHARED, at, NULL));
	FAILS(EACCES, map_region(fd, length, rw, MAP_SHARED, at, NULL));
	close(fd);

	/* Each vIOMMU has its own */
	OK(viommu_alloc(self->fd, self->vm.dev, self->vm.s2, &data, &id));
	ASSERT_NE(at, data.out_mmap_offset);
	OK(map_region(self->fd, length, rw, MAP_SHARED, data.out_mmap_offset,
		      NULL));
	OK(destroy(self->fd, id));
	FAILS(ENXIO, map_region(self->fd, length, rw, MAP_SHARED,
				data.out_mmap_offset, NULL));
	OK(destroy(self->fd, self->viommu));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
}

TEST_F(map, stays_what_it_is)
{
	unsigned char *map, *moved;

	OK(MAP(&map));
	ASSERT_EQ(-1, mprotect(map, self->length,
			       PROT_READ | PROT_WRITE | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(MAP_FAILED, mremap(map, self->length, 2 * self->length,
				     MREMAP_MAYMOVE));
	OK(mprotect(map, self->length, PROT_READ));
	OK(mprotect(map, self->length, PROT_READ | PROT_WRITE));
	map[9] = 9;

	/* The whole mapping may move */
	moved = mremap(map, self->length, self->length,
		       MREMAP_MAYMOVE | MREMAP_FIXED,
		       mmap(NULL, self->length, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, (void *)moved);
	EXPECT_EQ(9, moved[9]);
	FAILS(EBUSY, destroy(self->fd, self->viommu));
	OK(munmap(moved, self->length));
	OK(destroy(self->fd, self->viommu));
}

TEST_F(map, fork_and_close_in_any_order)
{
	unsigned char *map;
	int status, pipe_fd[2];
	pid_t pid;
	char c;

	OK(MAP(&map));
	OK(pipe(pipe_fd));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (!pid) {
		close(pipe_fd[1]);
		map[1] = 0x55;
		/* Until the parent has checked */
		_exit(read(pipe_fd[0], &c, 1) == 1 && map[2] == 0x66 ? 0 : 1);
	}
	OK(munmap(map, self->length));
	FAILS(EBUSY, destroy(self->fd, self->viommu));
	OK(MAP(&map));
	map[2] = 0x66;
	ASSERT_EQ(1, write(pipe_fd[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0x55, map[1]);
	OK(munmap(map, self->length));
	OK(destroy(self->fd, self->viommu));
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

TEST_F(map, keeps_the_iommufd)
{
	unsigned char *map;

	OK(MAP(&map));
	close(self->fd);
	self->vm.fd = -1;
	map[3] = 3;
	EXPECT_EQ(3, map[3]);
	self->fd = open("/dev/iommu", O_RDWR);
	EXPECT_EQ(HELD(2, 0, 0), mock_held(self->fd));
	OK(munmap(map, self->length));
	EXPECT_EQ(HELD(0, 0, 0), mock_held(self->fd));
	close(self->fd);
}

/* Races: everything at once for a bounded time, then nothing may be left */

enum {
	QUEUE_0,
	QUEUE_1,
	DESTROY_QUEUE,
	IN_VAIN,
	UNMAP,
	MAP_AGAIN,
	MMAP,
	VIOMMU,
	DESTROY_VIOMMU,
};

#define OP(_op) (1U << (_op))

struct race {
	struct vm vm;
	__u64 offset;
	size_t length;
	atomic_bool stop;
	struct race_log log;
};

static void *do_queue(struct race *r, int index)
{
	__u32 id = 0;

	while (!r->stop) {
		/* EINVAL: the memory is being unmapped */
		if (!race_note(&r->log, QUEUE_0 + index,
			       hw_queue_alloc(r->vm.fd, r->vm.viommu, index,
					      BASE, 64, &id),
			       EIO, EEXIST, ENOENT, EINVAL))
			continue;
		race_note(&r->log, DESTROY_QUEUE,
			  destroy_when_free(r->vm.fd, id), 0);
	}
	return NULL;
}

/* If its ID cannot be returned nobody may find the queue */
static void *do_queue_0_in_vain(void *arg)
{
	struct race *r = arg;
	struct iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = r->vm.viommu,
		.type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
		.nesting_parent_iova = BASE,
		.length = 64,
	};
	void *page;

	page = mmap(NULL, page_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, &cmd, sizeof(cmd));
	mprotect(page, page_size, PROT_READ);
	while (!r->stop) {
		int rc = iommufd_ioctl(r->vm.fd, IOMMU_HW_QUEUE_ALLOC, page);

		race_note(&r->log, IN_VAIN, rc == -EFAULT ? 0 : -EPROTO, 0);
	}
	munmap(page, page_size);
	return NULL;
}

static void *do_queue_0(void *arg)
{
	return do_queue(arg, 0);
}

static void *do_queue_1(void *arg)
{
	return do_queue(arg, 1);
}

static void *do_unmap(void *arg)
{
	struct race *r = arg;

	while (!r->stop) {
		if (race_note(&r->log, UNMAP,
			      ioas_unmap(r->vm.fd, r->vm.ioas, BASE,
					 vm_memory_size), EBUSY))
			race_note(&r->log, MAP_AGAIN,
				  ioas_map_memory(r->vm.fd, r->vm.ioas), 0);
		usleep(50);
	}
	return NULL;
}

/* Guess the ID of a vIOMMU that another thread creates and destroys */
static void *do_map(void *arg)
{
	struct race *r = arg;
	unsigned char *map;

	while (!r->stop) {
		size_t length = r->length;

		if (!race_note(&r->log, MMAP,
			       map_region(r->vm.fd, length,
					  PROT_READ | PROT_WRITE, MAP_SHARED,
					  r->offset, &map),
			       ENXIO))
			continue;
		map[0]++;
		munmap(map, length);
	}
	return NULL;
}

static void *do_viommu(void *arg)
{
	struct iommu_viommu_selftest data = {};
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		if (!race_note(&r->log, VIOMMU,
			       viommu_alloc(r->vm.fd, r->vm.dev, r->vm.s2,
					    &data, &id), 0))
			continue;
		r->length = data.out_mmap_length;
		r->offset = data.out_mmap_offset;
		race_note(&r->log, DESTROY_VIOMMU,
			  destroy_when_free(r->vm.fd, id), 0);
		/* The result cannot be returned: nobody may have mapped it */
		rc = viommu_alloc(r->vm.fd, r->vm.dev, r->vm.s2, (void *)1, &id);
		race_note(&r->log, IN_VAIN, rc == -EFAULT ? 0 : -EPROTO, 0);
	}
	return NULL;
}

FIXTURE(race)
{
	struct race r;
};

FIXTURE_SETUP(race)
{
	NOTHING_LEFT();
	self->r = (struct race){
		.log.ops = {
			[QUEUE_0].name = "queue 0",
			[QUEUE_1].name = "queue 1",
			[DESTROY_QUEUE].name = "destroy queue",
			[IN_VAIN].name = "alloc without an answer",
			[UNMAP].name = "unmap",
			[MAP_AGAIN].name = "map",
			[MMAP].name = "mmap",
			[VIOMMU].name = "viommu_alloc",
			[DESTROY_VIOMMU].name = "destroy viommu",
		},
		.length = 2 * page_size,
	};
	OK(vm_open(&self->r.vm));
}

FIXTURE_TEARDOWN(race)
{
	vm_close(&self->r.vm);
	NOTHING_LEFT();
}

static void race(struct __test_metadata *_metadata, struct race *r,
		 void *(*const *threads)(void *), unsigned int num,
		 unsigned int ops)
{
	pthread_t ids[4];
	unsigned int i;

	for (i = 0; i < num; i++)
		OK(pthread_create(&ids[i], NULL, threads[i], r));
	race_wait(&r->log, 1500, ops);
	r->stop = true;
	for (i = 0; i < num; i++)
		OK(pthread_join(ids[i], NULL));
	RACE_EXPECT(&r->log, ops);
	EXPECT_EQ(0, vm_take_apart(&r->vm));
}

TEST_F(race, queues_against_unmap)
{
	void *(*const threads[])(void *) = { do_queue_0, do_queue_1, do_unmap,
					     do_queue_0 };

	race(_metadata, &self->r, threads, ARRAY_SIZE(threads),
	     OP(QUEUE_0) | OP(QUEUE_1) | OP(DESTROY_QUEUE) | OP(UNMAP) |
		     OP(MAP_AGAIN));
}

TEST_F(race, queue_on_one_that_fails)
{
	void *(*const threads[])(void *) = { do_queue_0_in_vain, do_queue_1,
					     do_queue_1 };

	race(_metadata, &self->r, threads, ARRAY_SIZE(threads), OP(IN_VAIN));
	EXPECT_LT(0, self->r.log.ops[QUEUE_1].tried);
	EXPECT_EQ(0, self->r.log.ops[QUEUE_1].worked);
}

TEST_F(race, map_against_destroy)
{
	void *(*const threads[])(void *) = { do_map, do_viommu, do_map };

	race(_metadata, &self->r, threads, ARRAY_SIZE(threads),
	     OP(MMAP) | OP(VIOMMU) | OP(DESTROY_VIOMMU) | OP(IN_VAIN));
}

TEST_HARNESS_MAIN
