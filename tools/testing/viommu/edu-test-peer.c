// SPDX-License-Identifier: GPL-2.0
/*
 * A device that accesses the BAR of another device of its VM
 *
 * The peer's BAR is a dma-buf, mapped into the IOAS of the VM. One edu writes to
 * the liveness register of the other, which then reads as the inverse.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edu-test-fixtures.h"
#include "../selftests/iommu/map_file_utils.h"

#define BAR_IPA		0x03800000UL
#define BAR_SIZE	0x100000UL
#define LIVENESS	4
#define PEER_IOVA	(IOVA + 16 * PAGE_SIZE)

FIXTURE(peer)
{
	struct vm vm;
	struct edu edu;
	struct edu peer;
	int bar;
	int kmsg;
};

static int export_all(struct edu *edu)
{
	const struct vfio_region_dma_range all = { .length = BAR_SIZE };

	return edu_export_bar(edu, 0, O_RDWR | O_CLOEXEC, &all, 1);
}

/* Whether a DMA write to the address of the register arrives */
static int reaches(FIXTURE_DATA(peer) *self, uint64_t iova)
{
	volatile uint32_t *reg = (void *)(self->peer.bar + LIVENESS);
	int rc;

	*reg = 0;
	if (*reg != ~0U)
		return -EIO;
	rc = edu_dma(&self->edu, true, iova + LIVENESS, sizeof(*reg));
	if (rc)
		return rc;
	if (*reg == ~(uint32_t)self->edu.token)
		return 1;
	return *reg == ~0U ? 0 : -EIO;
}

static void build(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self)
{
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
	ASSERT_EQ(0, edu_open(&self->peer, 1));
	ASSERT_EQ(0, edu_bind(&self->peer, self->vm.fd));
	s1_map(&self->vm.s1, &self->vm, PEER_IOVA, BAR_IPA, PTE_PAGE);
	self->bar = export_all(&self->peer);
	ASSERT_LE(0, self->bar);
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   self->bar, 0, BAR_SIZE, BAR_IPA));
}

FIXTURE_SETUP(peer)
{
	ASSERT_LE(2, edu_count());
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	build(_metadata, self);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->bar);
	edu_close(&self->peer);
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
}

/* Through both stages, through the second alone, in both directions */
TEST_F(peer, dma)
{
	uint32_t id = *(volatile uint32_t *)self->peer.bar;

	EXPECT_EQ(1, reaches(self, PEER_IOVA));
	ASSERT_EQ(0, edu_dma(&self->edu, false, PEER_IOVA, sizeof(id)));
	*(volatile uint32_t *)vm_page(&self->vm, PAGE_A) = 0;
	ASSERT_EQ(0, edu_dma(&self->edu, true, IOVA, sizeof(id)));
	EXPECT_EQ(id, *(volatile uint32_t *)vm_page(&self->vm, PAGE_A));

	ASSERT_EQ(0, edu_attach(&self->edu, self->vm.bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu, &self->vm));
	EXPECT_EQ(1, reaches(self, BAR_IPA));
	ASSERT_EQ(0, edu_attach(&self->edu, self->vm.s2));
	EXPECT_EQ(1, reaches(self, BAR_IPA));
	/* The dma-buf may be closed: the mapping has its own reference */
	close(self->bar);
	EXPECT_EQ(1, reaches(self, BAR_IPA));
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA, BAR_SIZE));
	EXPECT_EQ(0, reaches(self, BAR_IPA));
	self->bar = open("/dev/null", O_RDONLY);
}

/* The mappings go with memory decode, and come back */
TEST_F_TIMEOUT(peer, memory_decode, 240)
{
	uint32_t other, id;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, reaches(self, PEER_IOVA));
		ASSERT_EQ(0, edu_memory_decode(&self->peer, false));
		ASSERT_EQ(0, edu_dma(&self->edu, true, PEER_IOVA + LIVENESS, 4));
		ASSERT_EQ(0, edu_memory_decode(&self->peer, true));
		/* Nothing has arrived meanwhile */
		EXPECT_EQ(~0U ^ (uint32_t)self->edu.token,
			  *(volatile uint32_t *)(self->peer.bar + LIVENESS));
	}
	/* What is mapped, copied or attached meanwhile appears later */
	ASSERT_EQ(0, edu_memory_decode(&self->peer, false));
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA, BAR_SIZE));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   self->bar, 0, BAR_SIZE, BAR_IPA));
	ASSERT_EQ(0, iommufd_ioas_alloc(self->vm.fd, &other));
	ASSERT_EQ(0, iommufd_ioas_copy(self->vm.fd, other, BAR_IPA,
				       self->vm.ioas, BAR_IPA, BAR_SIZE,
				       MAP_RW));
	ASSERT_EQ(0, hwpt_alloc(&self->vm, &self->edu, other, 0, &id));
	ASSERT_EQ(0, edu_memory_decode(&self->peer, true));
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
	ASSERT_EQ(0, edu_attach(&self->edu, id));
	EXPECT_EQ(1, reaches(self, BAR_IPA));
	ASSERT_EQ(0, edu_memory_decode(&self->peer, false));
	ASSERT_EQ(0, edu_attach(&self->edu, self->vm.s1_hwpt));
	ASSERT_EQ(0, destroy(&self->vm, id));
	ASSERT_EQ(0, destroy(&self->vm, other));
	ASSERT_EQ(0, edu_memory_decode(&self->peer, true));
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
}

struct toggler {
	struct edu *peer;
	atomic_bool stop;
	atomic_uint rounds;
	atomic_int rc;
};

static void *toggle(void *arg)
{
	struct toggler *t = arg;

	while (!atomic_load(&t->stop) && !atomic_load(&t->rc)) {
		atomic_store(&t->rc, edu_memory_decode(t->peer, false));
		if (!atomic_load(&t->rc))
			atomic_store(&t->rc, edu_memory_decode(t->peer, true));
		atomic_fetch_add(&t->rounds, 1);
	}
	return NULL;
}

/* Decode goes on and off while DMA runs and the BAR is mapped and unmapped */
TEST_F_TIMEOUT(peer, revoked_under_dma, 240)
{
	struct toggler t = { .peer = &self->peer };
	pthread_t thread;
	unsigned int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle, &t));
	for (i = 0; i < 30; i++) {
		edu_dma_start(&self->edu, true, PEER_IOVA + LIVENESS, 4);
		ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas,
						   MAP_RW, self->bar, 0,
						   BAR_SIZE,
						   BAR_IPA + BAR_SIZE));
		ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA + BAR_SIZE,
					BAR_SIZE));
		ASSERT_EQ(0, edu_dma_wait(&self->edu));
	}
	atomic_store(&t.stop, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, atomic_load(&t.rc));
	TH_LOG("%u rounds", atomic_load(&t.rounds));
	EXPECT_LT(30, atomic_load(&t.rounds));
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
}

/* The next user of the device has nothing to do with the mapping */
TEST_F(peer, closed)
{
	ASSERT_EQ(1, reaches(self, PEER_IOVA));
	edu_close(&self->peer);
	ASSERT_EQ(0, edu_dma(&self->edu, true, PEER_IOVA + LIVENESS, 4));

	ASSERT_EQ(0, edu_open(&self->peer, 1));
	ASSERT_EQ(0, edu_bind(&self->peer, self->vm.fd));
	EXPECT_EQ(0, reaches(self, PEER_IOVA));
	/* Nor has the old dma-buf */
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA, BAR_SIZE));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   self->bar, 0, BAR_SIZE, BAR_IPA));
	EXPECT_EQ(0, reaches(self, PEER_IOVA));
	ASSERT_EQ(0, edu_memory_decode(&self->peer, false));
	ASSERT_EQ(0, edu_memory_decode(&self->peer, true));
	EXPECT_EQ(0, reaches(self, PEER_IOVA));
	/* A new one works */
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA, BAR_SIZE));
	close(self->bar);
	self->bar = export_all(&self->peer);
	ASSERT_LE(0, self->bar);
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   self->bar, 0, BAR_SIZE, BAR_IPA));
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
}

/* Parts of a BAR, in another order, and an offset into them */
TEST_F(peer, ranges)
{
	const struct vfio_region_dma_range ranges[] = {
		{ .offset = 8 * PAGE_SIZE, .length = 2 * PAGE_SIZE },
		{ .offset = 0, .length = PAGE_SIZE },
		{ .offset = BAR_SIZE - PAGE_SIZE, .length = PAGE_SIZE },
	};
	int fd = edu_export_bar(&self->peer, 0, O_RDWR, ranges, 3);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA, BAR_SIZE));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   fd, 0, 4 * PAGE_SIZE,
					   BAR_IPA - 2 * PAGE_SIZE));
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA - 2 * PAGE_SIZE,
				4 * PAGE_SIZE));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW,
					   fd, 2 * PAGE_SIZE, 2 * PAGE_SIZE,
					   BAR_IPA));
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
	EXPECT_EQ(-EINVAL,
		  iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW, fd,
					2 * PAGE_SIZE, 3 * PAGE_SIZE,
					BAR_IPA + BAR_SIZE));
	close(fd);
}

/* Read-only mappings and files, and what is refused */
TEST_F(peer, refusals)
{
	const struct vfio_region_dma_range all = { .length = BAR_SIZE };
	struct vfio_region_dma_range bad[65] = {};
	int fd;

	fd = edu_export_bar(&self->peer, 0, O_RDONLY, &all, 1);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES,
		  iommufd_ioas_map_file(self->vm.fd, self->vm.ioas, MAP_RW, fd,
					0, BAR_SIZE, BAR_IPA + BAR_SIZE));
	ASSERT_EQ(0, ioas_unmap(&self->vm, BAR_IPA, BAR_SIZE));
	ASSERT_EQ(0, iommufd_ioas_map_file(self->vm.fd, self->vm.ioas,
					   IOMMU_IOAS_MAP_READABLE, fd, 0,
					   BAR_SIZE, BAR_IPA));
	EXPECT_EQ(0, reaches(self, PEER_IOVA));
	close(fd);

#define REFUSED(_err, _index, _flags, _num) \
	EXPECT_EQ(-(_err), edu_export_bar(&self->peer, _index, _flags, bad, _num))
	bad[0] = all;
	REFUSED(EINVAL, 1, O_RDWR, 1);
	REFUSED(EINVAL, VFIO_PCI_ROM_REGION_INDEX, O_RDWR, 1);
	REFUSED(EINVAL, VFIO_PCI_CONFIG_REGION_INDEX, O_RDWR, 1);
	REFUSED(EINVAL, 100, O_RDWR, 1);
	REFUSED(EINVAL, 0, O_RDWR | O_NONBLOCK, 1);
	REFUSED(EINVAL, 0, O_RDWR, 0);
	REFUSED(EINVAL, 0, O_RDWR, 65);
	bad[0].length = BAR_SIZE + PAGE_SIZE;
	REFUSED(EINVAL, 0, O_RDWR, 1);
	bad[0].length = PAGE_SIZE / 2;
	REFUSED(EINVAL, 0, O_RDWR, 1);
	bad[0].length = 0;
	REFUSED(EINVAL, 0, O_RDWR, 1);
	bad[0].offset = 1;
	bad[0].length = PAGE_SIZE;
	REFUSED(EINVAL, 0, O_RDWR, 1);
	bad[0].offset = BAR_SIZE;
	REFUSED(EINVAL, 0, O_RDWR, 1);
	bad[0].offset = -PAGE_SIZE;
	bad[0].length = 2 * PAGE_SIZE;
	REFUSED(EINVAL, 0, O_RDWR, 1);
#undef REFUSED
	/* No way for the CPU */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, BAR_SIZE, PROT_READ, MAP_SHARED,
				   self->bar, 0));
}

/* A process dies with all of it open and a DMA under way */
TEST_F(peer, process_death)
{
	pid_t child;
	int status;

	close(self->bar);
	edu_close(&self->peer);
	vm_close(&self->vm, &self->edu);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		build(_metadata, self);
		edu_dma_start(&self->edu, true, PEER_IOVA + LIVENESS, 4);
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	build(_metadata, self);
	EXPECT_EQ(1, reaches(self, PEER_IOVA));
}

TEST_HARNESS_MAIN
