// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the events that a VM gets from its SMMU, from the outside as in
 * edu-test.c. A DMA of the edu device causes faults. QEMU moves data that it
 * cannot translate four bytes at a time, so one DMA causes an event for each
 * word.
 *
 * One thread of the kernel delivers the events in order. So the next event
 * shows that something was not reported.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "edu-test-event.h"

/* The interface */

TEST_F(event, errno_alloc)
{
	struct vm *vm = &self->vm;
	struct iommu_veventq_alloc good = {
		.size = sizeof(good),
		.type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
		.veventq_depth = 1,
	};
	uint32_t viommu;
	int bit;

	ASSERT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &viommu));
	good.viommu_id = viommu;

	for (bit = 0; bit < 32; bit++)
		EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VEVENTQ_ALLOC, good, flags, BIT(bit));
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VEVENTQ_ALLOC, good, __reserved, 1);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VEVENTQ_ALLOC, good, type,
		       IOMMU_VEVENTQ_TYPE_DEFAULT);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VEVENTQ_ALLOC, good, type,
		       IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VEVENTQ_ALLOC, good, type, 3);
	EXPECT_REFUSED(EOPNOTSUPP, IOMMU_VEVENTQ_ALLOC, good, type, 0xdeadbeef);
	EXPECT_REFUSED(EINVAL, IOMMU_VEVENTQ_ALLOC, good, veventq_depth, 0);
	EXPECT_REFUSED(EINVAL, IOMMU_VEVENTQ_ALLOC, good, veventq_depth, (1 << 19) + 1);
	EXPECT_REFUSED(EINVAL, IOMMU_VEVENTQ_ALLOC, good, veventq_depth, ~0U);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, 0);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, 0xffff);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, vm->ioas);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, vm->s2);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, vm->vdevice);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, self->edu.id);
	EXPECT_REFUSED(ENOENT, IOMMU_VEVENTQ_ALLOC, good, viommu_id, self->queue_id);
	EXPECT_REFUSED(EEXIST, IOMMU_VEVENTQ_ALLOC, good, viommu_id, vm->viommu);

	/* Refused calls have left nothing behind */
	EXPECT_EQ(0, destroy(vm, viommu));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(0, UNMAPPED);
}

TEST_F(event, errno_sizes)
{
	struct vm *vm = &self->vm;
	struct iommu_veventq_alloc good = {
		.type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
		.veventq_depth = 1,
	};
	const uint32_t size = sizeof(good);

	ASSERT_EQ(32, size);
	ASSERT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &good.viommu_id));
	EXPECT_EQ(-EINVAL, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, 0, 0));
	EXPECT_EQ(-EINVAL, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, 27, 0));
	EXPECT_EQ(-E2BIG, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, size + 1, 1));
	EXPECT_EQ(-E2BIG, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, 256, 1));
	EXPECT_EQ(0, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, 256, 0));
	EXPECT_EQ(-EEXIST, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, 28, 0));
	EXPECT_EQ(-EEXIST, resized(vm->fd, IOMMU_VEVENTQ_ALLOC, &good, size, size, 0));
}

TEST_F(event, errno_destroy)
{
	const uint32_t depths[] = { 1, 1 << 19, 3 };
	struct vm *vm = &self->vm, second = *vm;
	uint32_t id, other;
	unsigned int i;
	int queue;

	ASSERT_EQ(0, viommu_alloc(vm, &self->edu, vm->s2, &second.viommu));
	for (i = 0; i < ARRAY_SIZE(depths); i++) {
		queue = veventq_alloc(&second, depths[i], &id);
		ASSERT_LE(0, queue);
		EXPECT_EQ(FD_CLOEXEC, fcntl(queue, F_GETFD));
		EXPECT_EQ(-EEXIST, veventq_alloc(&second, 1, &other));
		EXPECT_EQ(-EBUSY, destroy(vm, second.viommu));
		EXPECT_EQ(-EBUSY, destroy(vm, id));
		EXPECT_EQ(0, close(queue));
		EXPECT_EQ(-EBUSY, destroy(vm, second.viommu));
		EXPECT_EQ(0, destroy(vm, id));
		EXPECT_EQ(-ENOENT, destroy(vm, id));
	}
	EXPECT_EQ(0, destroy(vm, second.viommu));
}

TEST_F(event, read_counts)
{
	const size_t size = sizeof(struct record);
	uint8_t buf[256];
	uint32_t sequence = 0;
	size_t count, want, i;

	for (count = 0; count <= 200; count++)
		EXPECT_EQ(count < 8 ? -EINVAL : 0, try_read(self->queue, buf, count));

	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, STORM));
	for (count = 0; count < size; count++)
		EXPECT_EQ(-EINVAL, try_read(self->queue, buf, count));
	for (count = size; count <= 200; count++) {
		memset(buf, 0x5a, sizeof(buf));
		want = count / size * size;
		ASSERT_EQ(want, try_read(self->queue, buf, count)) {
			TH_LOG("count %zu", count);
		}
		for (i = 0; i < want; i += size) {
			struct record *record = (void *)(buf + i);

			EXPECT_EQ(0, record->header.flags);
			EXPECT_EQ(sequence, record->header.sequence);
			EXPECT_EQ(UNMAPPED + sequence * WORD, record->evt[2]);
			sequence++;
		}
		for (i = want; i < sizeof(buf); i++)
			ASSERT_EQ(0x5a, buf[i]);
	}
}

/* A buffer that ends where the mapping does */
TEST_F(event, read_faults)
{
	const size_t size = sizeof(struct record);
	uint32_t sequence = 0;
	uint8_t *end;
	size_t there;

	end = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += PAGE_SIZE;
	ASSERT_EQ(0, munmap(end, PAGE_SIZE));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 3 * size));

	for (there = 0; there < size; there++) {
		struct record *whole = (void *)(end - there - size);

		/* The first record does not fit */
		EXPECT_EQ(-EFAULT, try_read(self->queue, end - there, size));
		EXPECT_EQ(-EFAULT, try_read(self->queue, end - there, 2 * size));
		EXPECT_FAULT(sequence, UNMAPPED + sequence * WORD);
		sequence++;
		/* The second does not */
		EXPECT_EQ(size, try_read(self->queue, whole, 2 * size));
		EXPECT_EQ(sequence, whole->header.sequence);
		EXPECT_EQ(UNMAPPED + sequence * WORD, whole->evt[2]);
		sequence++;
		EXPECT_FAULT(sequence, UNMAPPED + sequence * WORD);
		sequence++;
	}
	EXPECT_EQ(0, try_read(self->queue, end - size, size));
}

TEST_F(event, not_a_file)
{
	uint8_t buf[64] = {};
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-1, pread(self->queue, buf, sizeof(buf), 8));
		EXPECT_EQ(ESPIPE, errno);
		EXPECT_EQ(-1, pread(self->queue, buf, sizeof(buf), sizeof(struct record)));
		EXPECT_EQ(ESPIPE, errno);
		EXPECT_EQ(-1, write(self->queue, buf, sizeof(buf)));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, write(self->queue, buf, 0));
		EXPECT_EQ(EINVAL, errno);
		if (!i)
			ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
		EXPECT_EQ(i ? 0 : POLLIN, wait_in(self->queue, i ? 0 : 3000));
		if (i)
			break;
		EXPECT_FAULT(0, UNMAPPED);
	}
}

static int poll_all(int queue)
{
	struct pollfd all = {
		.fd = queue,
		.events = POLLIN | POLLRDNORM | POLLPRI | POLLOUT | POLLWRNORM |
			  POLLRDHUP,
	};

	return poll(&all, 1, 0) < 0 ? -errno : all.revents;
}

TEST_F(event, polls)
{
	struct record record;

	EXPECT_EQ(0, poll_all(self->queue));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 2));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_all(self->queue));
	EXPECT_EQ(POLLIN, wait_in(self->queue, 0));
	EXPECT_FAULT(0, UNMAPPED);
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_all(self->queue));
	EXPECT_FAULT(1, UNMAPPED + WORD);
	EXPECT_EQ(0, poll_all(self->queue));

	/* A loss is readable and not an error */
	REQUEUE(1);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 3));
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_all(self->queue));
	EXPECT_FAULT(0, UNMAPPED);
	EXPECT_EQ(POLLIN | POLLRDNORM, poll_all(self->queue));
	EXPECT_EQ(sizeof(record.header), next_record(self->queue, &record));
	EXPECT_EQ(0, poll_all(self->queue));
}

TEST_F(event, wakes)
{
	void *(*const waits[])(void *) = { sleep_in_epoll, sleep_in_poll };
	struct sleeper sleeper;
	pthread_t thread;
	int i;

	for (i = 0; i < 4; i++) {
		sleeper = (struct sleeper){ .queue = self->queue };
		ASSERT_EQ(0, pthread_create(&thread, NULL, waits[i % 2], &sleeper));
		ASSERT_EQ(0, sleeps(&sleeper));
		EXPECT_EQ(0, sleeper.events);
		ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
		pthread_join(thread, NULL);
		EXPECT_EQ(POLLIN, sleeper.events);
		EXPECT_FAULT(i, UNMAPPED);
	}
}

/* The records */

TEST_F(event, translation_faults)
{
	const struct {
		int id;
		uint64_t ipa;
		uint64_t attrs;
		bool reads;
	} cases[] = {
		{ F_TRANSLATION, 0, 0, true },
		{ F_ADDR_SIZE, BIT(40), PTE_PAGE, true },
		{ F_ACCESS, IPA(PAGE_B), PTE_PAGE & ~PTE_ACCESSED, true },
		{ F_PERMISSION, IPA(PAGE_B), PTE_PAGE | PTE_READONLY, false },
	};
	struct vm *vm = &self->vm;
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t page = IOVA + (8 + i) * PAGE_SIZE, iova = page + 0x5a4;

		s1_map(&vm->s1, vm, page, cases[i].ipa, cases[i].attrs);
		ASSERT_EQ(0, edu_dma(&self->edu, true, iova, WORD));
		EXPECT_EVENT(n, cases[i].id, EVT_1_CLASS_IN, iova);
		n++;
		ASSERT_EQ(0, edu_dma(&self->edu, false, iova, WORD));
		if (!cases[i].reads)
			continue;
		EXPECT_EVENT(n, cases[i].id, EVT_1_CLASS_IN | EVT_1_READ, iova);
		n++;
	}
	/* In a row across a page boundary */
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED - 2 * WORD, 4));
	for (i = 0; i < 4; i++)
		EXPECT_FAULT(n + i, UNMAPPED - 2 * WORD + i * WORD);
	EXPECT_EQ(0, wait_in(self->queue, 200));
}

TEST_F(event, bad_cd)
{
	const uint64_t bits[] = { CD_0_V, CD_0_AA64 };
	struct vm *vm = &self->vm;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		vm->s1.cd[0] ^= bits[i];
		ASSERT_EQ(0, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
		ASSERT_EQ(0, fault(&self->edu, IOVA, 1));
		EXPECT_EVENT(i, C_BAD_CD, 0, 0);
		vm->s1.cd[0] ^= bits[i];
	}
	ASSERT_EQ(0, invalidate_one(vm, CFGI_CD | CMD_0_SID(VSID), 0));
	EXPECT_EQ(PAGE_A, edu_lands(&self->edu, vm, IOVA));
	EXPECT_EQ(0, wait_in(self->queue, 200));
}

/* QEMU has no SubstreamIDs and treats an STE with some as bad */
TEST_F(event, bad_ste)
{
	struct vm *vm = &self->vm;
	uint32_t bad;

	ASSERT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu,
				  STE_S1 | vm->s1.cd_ipa | STE_0_S1CDMAX(1),
				  STE_1_CD_CACHED, &bad));
	ASSERT_EQ(0, edu_attach(&self->edu, bad));
	ASSERT_EQ(0, edu_dma(&self->edu, true, IOVA, WORD));
	EXPECT_EVENT(0, C_BAD_STE, 0, 0);
	ASSERT_EQ(0, edu_dma(&self->edu, false, IOVA, WORD));
	EXPECT_EVENT(1, C_BAD_STE, 0, 0);
	/* The device has not read its token */
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, edu_load_token(&self->edu, vm));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	EXPECT_EQ(PAGE_A, edu_lands(&self->edu, vm, IOVA));
	EXPECT_EQ(0, wait_in(self->queue, 200));
}

TEST_F(event, abort_is_silent)
{
	struct vm *vm = &self->vm;
	uint32_t invalid;

	ASSERT_EQ(0, nested_alloc(vm, &self->edu, vm->viommu, 0, 0, &invalid));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->abort));
	ASSERT_EQ(0, fault(&self->edu, IPA(PAGE_A), 2));
	ASSERT_EQ(0, edu_dma(&self->edu, false, IOVA, WORD));
	ASSERT_EQ(0, edu_attach(&self->edu, invalid));
	ASSERT_EQ(0, fault(&self->edu, IOVA, 2));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(0, UNMAPPED);
	EXPECT_EQ(0, kmsg_count(self->kmsg, SMMU_EVENT "|" KERNEL_TROUBLE));
}

/* Events that stay on the host */

/* The kernel limits what it logs, 10 events in 5 seconds */
static void let_the_log_rest(void)
{
	usleep(5100 * 1000);
}

/* The level 2 table of stage 1 */
static uint64_t *s1_level_2(struct vm *vm)
{
	return (void *)(vm->mem + (vm->s1.root[0] & PTE_ADDR) - GUEST_IPA);
}

/*
 * Stage-2 faults. QEMU reports a fault on a fetch of a stage-1 table with S2=0,
 * as if it were the guest's; CLASS shows the difference.
 */
TEST_F(event, stage_2_is_the_hosts)
{
	const uint64_t leaf = IOVA + PAGE_SIZE, table = IOVA + 0x200000;
	struct vm *vm = &self->vm;
	int words = kmsg_open();

	ASSERT_LE(0, words);
	s1_map(&vm->s1, vm, leaf, SPARE_IPA, PTE_PAGE);
	s1_level_2(vm)[table >> 21] = SPARE_IPA | PTE_TABLE;
	let_the_log_rest();

	ASSERT_EQ(0, fault(&self->edu, leaf, 1));
	EXPECT_EQ(1, kmsg_count(self->kmsg, "arm-smmu-v3.*event 0x.. received"));
	/* S2=1, CLASS=IN */
	EXPECT_EQ(1, kmsg_count(words, "arm-smmu-v3.*0x0000028000000000$"));

	/* S2=0, CLASS=TT */
	ASSERT_EQ(0, fault(&self->edu, table, 1));
	EXPECT_EQ(1, kmsg_count(self->kmsg, "arm-smmu-v3.*event 0x.. received"));
	EXPECT_EQ(1, kmsg_count(words, "arm-smmu-v3.*0x0000010000000000$"));

	EXPECT_EQ(0, wait_in(self->queue, 0));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(0, UNMAPPED);
	EXPECT_EQ(0, kmsg_count(self->kmsg, SMMU_EVENT "|" KERNEL_TROUBLE));
}

TEST_F(event, nobody_wants_it)
{
	struct vm *vm = &self->vm;

	let_the_log_rest();

	/* No queue */
	ASSERT_EQ(0, close(self->queue));
	ASSERT_EQ(0, destroy(vm, self->queue_id));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_EQ(1, kmsg_count(self->kmsg, SMMU_EVENT ".*0x10"));

	/* A new queue, whose numbers start again */
	self->queue = veventq_alloc(vm, 4, &self->queue_id);
	ASSERT_LE(0, self->queue);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(0, UNMAPPED);

	/* No vDEVICE */
	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	ASSERT_EQ(0, destroy(vm, vm->vdevice));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_EQ(1, kmsg_count(self->kmsg, SMMU_EVENT ".*0x10"));

	/* Not attached through the vIOMMU */
	ASSERT_EQ(0, vdevice_alloc(vm, &self->edu, vm->viommu, VSID, &vm->vdevice));
	ASSERT_EQ(0, edu_attach(&self->edu, vm->s2));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_EQ(1, kmsg_count(self->kmsg, SMMU_EVENT ".*0x10"));
	EXPECT_EQ(0, wait_in(self->queue, 0));

	ASSERT_EQ(0, edu_attach(&self->edu, vm->s1_hwpt));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(1, UNMAPPED);
	EXPECT_EQ(0, kmsg_count(self->kmsg, SMMU_EVENT "|" KERNEL_TROUBLE));
}

/* Teardown */

TEST_F(event, close_under_a_sleeper)
{
	/* A number that no file opened meanwhile gets */
	struct sleeper sleeper = { .queue = dup2(self->queue, 500) };
	struct vm *vm = &self->vm;
	pthread_t thread;

	ASSERT_EQ(500, sleeper.queue);
	ASSERT_EQ(0, close(self->queue));
	ASSERT_EQ(0, pthread_create(&thread, NULL, sleep_in_poll, &sleeper));
	ASSERT_EQ(0, sleeps(&sleeper));
	EXPECT_EQ(0, close(sleeper.queue));
	/*
	 * poll() holds the file: the queue lives and wakes poll(), which finds
	 * no file then
	 */
	EXPECT_EQ(-EBUSY, destroy(vm, self->queue_id));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	pthread_join(thread, NULL);
	EXPECT_EQ(POLLNVAL, sleeper.events);
	EXPECT_EQ(0, destroy(vm, self->queue_id));
	self->queue = veventq_alloc(vm, 1, &self->queue_id);
	ASSERT_LE(0, self->queue);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(0, UNMAPPED);
}

/* The file is the last remainder of a VM */
TEST_F(event, queue_outlives_vm)
{
	struct record record;

	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 3));
	edu_close(&self->edu);
	ASSERT_EQ(0, close(self->vm.fd));
	self->vm.fd = -1;
	EXPECT_FAULT(0, UNMAPPED);
	EXPECT_EQ(POLLIN, wait_in(self->queue, 0));
	ASSERT_EQ(0, close(self->queue));

	ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
	self->queue = veventq_alloc(&self->vm, 1, &self->queue_id);
	ASSERT_LE(0, self->queue);
	EXPECT_EQ(0, try_read(self->queue, &record, sizeof(record)));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(0, UNMAPPED);
}

/* A VMM with a full queue and a sleeping reader, until it is killed */
static void live(struct vm *vm, struct edu *edu, int ready)
{
	struct sleeper sleeper;
	pthread_t thread;
	uint32_t id;

	if (vm_build(vm, edu, 0, VM_TRANSLATES))
		return;
	sleeper.queue = veventq_alloc(vm, 2, &id);
	if (sleeper.queue < 0 || fault(edu, UNMAPPED, STORM) ||
	    pthread_create(&thread, NULL, sleep_in_epoll, &sleeper))
		return;
	edu_dma_start(edu, true, UNMAPPED, STORM * WORD);
	if (write(ready, "r", 1) == 1)
		pause();
}

TEST_F_TIMEOUT(event, process_dies, 240)
{
	int round, status, ready[2];
	pid_t child;
	char c;

	for (round = 0; round < 5; round++) {
		close(self->queue);
		vm_close(&self->vm, &self->edu);
		ASSERT_EQ(0, pipe(ready));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			live(&self->vm, &self->edu, ready[1]);
			_exit(1);
		}
		close(ready[1]);
		EXPECT_EQ(1, read(ready[0], &c, 1));
		close(ready[0]);
		usleep(round * 30 * 1000);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));

		ASSERT_EQ(0, vm_build(&self->vm, &self->edu, 0, VM_TRANSLATES));
		self->queue = veventq_alloc(&self->vm, 2, &self->queue_id);
		ASSERT_LE(0, self->queue);
		ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
		EXPECT_FAULT(0, UNMAPPED);
	}
}

/* Two VMs, whose devices have the same ID in each */

static int second_vm(struct vm *vm, struct edu *edu)
{
	int rc = vm_build(vm, edu, 1, VM_BYPASS);

	if (!rc)
		rc = vdevice_alloc(vm, edu, vm->viommu, VSID, &vm->vdevice);
	if (rc)
		return rc;
	s1_init(&vm->s1, vm, GUEST_ASID);
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_A), PTE_PAGE);
	rc = s1_hwpt_alloc(&vm->s1, vm, edu, &vm->s1_hwpt);
	return rc ? rc : edu_attach(edu, vm->s1_hwpt);
}

TEST_F_TIMEOUT(event, two_vms, 240)
{
	const uint64_t base[] = { UNMAPPED, UNMAPPED + 0x100000 };
	struct vm vm, *vms[] = { &self->vm, &vm };
	struct edu edu, *edus[] = { &self->edu, &edu };
	int queues[2] = { self->queue };
	unsigned int i, n;
	uint32_t id;

	ASSERT_LE(2, edu_count());
	ASSERT_EQ(0, second_vm(&vm, &edu));
	queues[1] = veventq_alloc(&vm, 2 * STORM, &id);
	ASSERT_LE(0, queues[1]);

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, fault(edus[i], base[i], 1));
		EXPECT_EQ(NULL, expect_event(queues[i], 0,
					     F_TRANSLATION | EVT_0_SID(VSID),
					     EVT_1_CLASS_IN, base[i]));
		EXPECT_EQ(0, wait_in(queues[!i], 200));
	}
	for (i = 0; i < 2; i++)
		edu_dma_start(edus[i], true, base[i], STORM * WORD);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, edu_dma_wait(edus[i]));
	for (i = 0; i < 2; i++) {
		for (n = 0; n < STORM; n++)
			ASSERT_EQ(NULL, expect_event(queues[i], 1 + n,
						     F_TRANSLATION | EVT_0_SID(VSID),
						     EVT_1_CLASS_IN,
						     base[i] + n * WORD));
		EXPECT_EQ(0, wait_in(queues[i], 200));
	}

	/* A VM with a full queue does not affect the other */
	ASSERT_EQ(0, close(self->queue));
	ASSERT_EQ(0, destroy(vms[0], self->queue_id));
	self->queue = veventq_alloc(vms[0], 2, &self->queue_id);
	ASSERT_LE(0, self->queue);
	edu_dma_start(edus[0], true, base[0], STORM * WORD);
	ASSERT_EQ(0, fault(edus[1], base[1], 1));
	EXPECT_EQ(NULL, expect_event(queues[1], 1 + STORM,
				     F_TRANSLATION | EVT_0_SID(VSID),
				     EVT_1_CLASS_IN, base[1]));
	EXPECT_EQ(0, wait_in(queues[1], 200));
	close(queues[1]);
	vm_close(&vm, &edu);
}

TEST_HARNESS_MAIN
