// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of races between the attachments of two devices: two members of one
 * group, and two groups that share a stage 2.
 *
 * Each race prints its seed; SEED=number in the environment sets it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"

#define TROUBLE			KERNEL_TROUBLE "|refcount_t:"
#define SECOND			1000000000ULL

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static unsigned int race_seed(void)
{
	const char *seed = getenv("SEED");

	return seed ? strtoul(seed, NULL, 0) : now_ns() / 1000;
}

static unsigned int race_random(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
}

/* Let another thread get slightly ahead */
static void race_delay(unsigned int *seed, unsigned int most)
{
	unsigned int i;

	for (i = race_random(seed, most); i; i--)
		atomic_signal_fence(memory_order_seq_cst);
}

/* Two functions without isolation form one group */
#define GROUP_FIRST		2

FIXTURE(members)
{
	struct vm vm;
	struct edu edu[2];
	uint32_t ioas[2];
	uint32_t hwpt[2];
	int kmsg;
};

/* The kinds of the two HWPTs between which the group moves */
enum { NESTED, SAME_IOAS, TWO_IOAS };

FIXTURE_VARIANT(members)
{
	int hwpts;
};

FIXTURE_VARIANT_ADD(members, nested) { .hwpts = NESTED };
FIXTURE_VARIANT_ADD(members, same_ioas) { .hwpts = SAME_IOAS };
FIXTURE_VARIANT_ADD(members, two_ioas) { .hwpts = TWO_IOAS };

FIXTURE_SETUP(members)
{
	struct vm *vm = &self->vm;

	if (!edu_same_group(GROUP_FIRST, GROUP_FIRST + 1))
		SKIP(return, "needs two edu functions in one group");
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(vm, &self->edu[0], GROUP_FIRST, VM_VIOMMU));
	ASSERT_EQ(0, edu_open(&self->edu[1], GROUP_FIRST + 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], vm->fd));
	self->ioas[0] = vm->ioas;
	self->ioas[1] = vm->ioas;
	if (variant->hwpts == TWO_IOAS)
		ASSERT_EQ(0, iommufd_ioas_alloc(vm->fd, &self->ioas[1]));
}

FIXTURE_TEARDOWN(members)
{
	edu_close(&self->edu[1]);
	vm_close(&self->vm, &self->edu[0]);
	EXPECT_EQ(0, kmsg_count(self->kmsg, TROUBLE));
}

static int hwpt_of_kind(int kind, struct vm *vm, struct edu *edu, uint32_t ioas,
			uint32_t *id)
{
	if (kind == NESTED)
		return nested_alloc(vm, edu, vm->viommu, STE_BYPASS, 0, id);
	return hwpt_alloc(vm, edu, ioas, 0, id);
}

struct member {
	struct edu *edu;
	const uint32_t *hwpt;
	unsigned int seed;
	atomic_bool stop;
	atomic_uint attached;
	atomic_uint refused;
	atomic_uint detached;
	atomic_int rc;
};

/* Guesses what the group is attached to, joins it and leaves */
static void *come_and_go(void *arg)
{
	struct member *m = arg;
	int rc;

	while (!m->stop && !m->rc) {
		rc = edu_attach(m->edu, m->hwpt[race_random(&m->seed, 2)]);
		if (rc == -EINVAL) {
			m->refused++;
			continue;
		}
		if (!rc) {
			m->attached++;
			race_delay(&m->seed, 2000);
			rc = edu_detach(m->edu);
			m->detached += !rc;
		}
		m->rc = rc;
	}
	return NULL;
}

/*
 * One member joins and leaves while the other moves the group from one HWPT to
 * the other. At the end nothing holds either HWPT, or the addresses that
 * devices reserve in an IOAS.
 */
TEST_F_TIMEOUT(members, detach_while_replaced, 600)
{
	struct member m = { .edu = &self->edu[1], .hwpt = self->hwpt, .seed = race_seed() };
	unsigned int i, round, replaced = 0, seed = m.seed + 1;
	struct vm *vm = &self->vm;
	pthread_t thread;
	uint64_t start;

	TH_LOG("SEED=%u", m.seed);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 2; i++)
			ASSERT_EQ(0, hwpt_of_kind(variant->hwpts, vm, &self->edu[0],
						  self->ioas[i], &self->hwpt[i]));
		ASSERT_EQ(0, edu_attach(&self->edu[0], self->hwpt[0]));
		m.stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, come_and_go, &m));
		start = now_ns();
		for (i = 1; !m.rc; i++) {
			if (now_ns() > start + SECOND && m.detached >= 20 * (round + 1))
				break;
			ASSERT_EQ(0, edu_attach(&self->edu[0], self->hwpt[i % 2]));
			replaced++;
			race_delay(&seed, 2000);
		}
		m.stop = true;
		pthread_join(thread, NULL);
		ASSERT_EQ(0, m.rc);
		ASSERT_EQ(0, edu_detach(&self->edu[0]));

		for (i = 0; i < 2; i++) {
			EXPECT_EQ(0, destroy(vm, self->hwpt[i])) {
				TH_LOG("round %u, HWPT %u", round, i);
			}
			vm->ioas = self->ioas[i];
			EXPECT_EQ(0, ioas_map(vm, PAGE_D, 1, MSI_WINDOW)) {
				TH_LOG("round %u, IOAS %u", round, i);
			}
			EXPECT_EQ(0, ioas_unmap(vm, MSI_WINDOW, PAGE_SIZE));
		}
	}
	TH_LOG("attached %u, refused %u, detached %u, replaced %u", m.attached, m.refused,
	       m.detached, replaced);
	EXPECT_LT(0U, m.attached);
	EXPECT_LT(0U, m.refused);
	EXPECT_EQ(m.attached, m.detached);
	EXPECT_LT(0U, replaced);
}

/* Moves the group to an existing HWPT */
static void *move_away(void *arg)
{
	struct member *m = arg;

	while (!m->stop && !m->rc) {
		m->rc = edu_attach(m->edu, m->hwpt[race_random(&m->seed, 2)]);
		m->attached++;
		race_delay(&m->seed, 2000);
	}
	return NULL;
}

/*
 * One member moves the group to an HWPT that the kernel allocates for an IOAS.
 * The other moves it away, possibly before the new HWPT has its ID.
 */
TEST_F_TIMEOUT(members, replaced_while_made, 400)
{
	struct member m = { .edu = &self->edu[1], .hwpt = self->hwpt, .seed = race_seed() };
	unsigned int i, made, left = 0, seed = m.seed + 1;
	struct vm *vm = &self->vm;
	pthread_t thread;
	uint64_t start;
	int rc;

	TH_LOG("SEED=%u", m.seed);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, hwpt_of_kind(variant->hwpts, vm, &self->edu[0],
					  self->ioas[i], &self->hwpt[i]));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, edu_attach(&self->edu[i], self->hwpt[0]));
	ASSERT_EQ(0, pthread_create(&thread, NULL, move_away, &m));
	start = now_ns();
	for (made = 0; !m.rc && (made < 100 || now_ns() < start + 2 * SECOND); made++) {
		struct vfio_device_attach_iommufd_pt cmd = {
			.argsz = sizeof(cmd),
			.pt_id = self->ioas[made % 2],
		};

		ASSERT_EQ(0, xioctl(self->edu[0].fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd));
		race_delay(&seed, 2000);
		/*
		 * If the group has moved on too early, user space must destroy
		 * the HWPT
		 */
		rc = destroy(vm, cmd.pt_id);
		if (rc && rc != -ENOENT && rc != -EBUSY)
			ASSERT_EQ(0, rc);
		left += !rc;
	}
	m.stop = true;
	pthread_join(thread, NULL);
	ASSERT_EQ(0, m.rc);
	TH_LOG("made %u, left %u, moved away %u", made, left, m.attached);
	EXPECT_LT(0U, m.attached);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, edu_detach(&self->edu[i]));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, destroy(vm, self->hwpt[i]));
	if (variant->hwpts == TWO_IOAS)
		EXPECT_EQ(0, destroy(vm, self->ioas[1]));
}

/*
 * Two devices in separate groups, and an IOAS on which HWPTs are allocated
 * quickly
 */
FIXTURE(groups)
{
	struct vm vm;
	struct edu edu[2];
	uint32_t ioas;
	int kmsg;
};

/*
 * What they attach to: nested HWPTs, or the parent itself, which makes a round
 * shorter
 */
FIXTURE_VARIANT(groups)
{
	bool nested;
};

FIXTURE_VARIANT_ADD(groups, nested) { .nested = true };
FIXTURE_VARIANT_ADD(groups, parent) { .nested = false };

FIXTURE_SETUP(groups)
{
	if (edu_count() < 2)
		SKIP(return, "needs two edu devices");
	ASSERT_FALSE(edu_same_group(0, 1));
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	ASSERT_EQ(0, vm_build(&self->vm, &self->edu[0], 0, VM_BOUND));
	ASSERT_EQ(0, edu_open(&self->edu[1], 1));
	ASSERT_EQ(0, edu_bind(&self->edu[1], self->vm.fd));
	ASSERT_EQ(0, iommufd_ioas_alloc(self->vm.fd, &self->ioas));
}

FIXTURE_TEARDOWN(groups)
{
	edu_close(&self->edu[1]);
	vm_close(&self->vm, &self->edu[0]);
	EXPECT_EQ(0, kmsg_count(self->kmsg, TROUBLE));
}

struct mover {
	struct edu *edu;
	unsigned int seed;
	/* The round to prepare, prepared, to start, and done */
	atomic_uint call;
	atomic_uint ready;
	atomic_uint go;
	atomic_uint done;
	atomic_bool stop;
	uint32_t hwpt;
	int rc;
};

static void *move(void *arg)
{
	struct mover *m = arg;
	unsigned int round;

	for (round = 1; ; round++) {
		while (m->call != round) {
			if (m->stop)
				return NULL;
			sched_yield();
		}
		m->ready = round;
		while (m->go != round)
			atomic_signal_fence(memory_order_seq_cst);
		race_delay(&m->seed, 500);
		m->rc = edu_attach(m->edu, m->hwpt);
		m->done = round;
	}
}

#define KMEMLEAK		"/sys/kernel/debug/kmemleak"

/* Objects that kmemleak has reported since "clear", 0 without kmemleak */
static int kmemleak(const char *command)
{
	int fd = open(KMEMLEAK, O_RDWR | O_CLOEXEC);
	char text[4096];
	ssize_t len;
	int n = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (write(fd, command, strlen(command)) < 0)
		n = -errno;
	while (!n && (len = read(fd, text, sizeof(text) - 1)) > 0) {
		text[len] = '\0';
		fprintf(stderr, "%s", text);
		n++;
	}
	close(fd);
	return n;
}

/*
 * The first attach of a stage 2 creates its window for MSIs. Two groups attach
 * to a new stage 2 at the same time in each round. Neither attach may fail, and
 * the stage 2 must have one window.
 */
TEST_F_TIMEOUT(groups, first_attach_of_a_parent, 600)
{
	struct mover m = { .edu = &self->edu[1], .seed = race_seed() };
	unsigned int i, round, moved = 0, refused = 0, seed = m.seed + 1;
	uint32_t home, s2, viommu[2], hwpt[2];
	struct vm *vm = &self->vm;
	pthread_t thread;
	uint64_t start;
	int rc;

	TH_LOG("SEED=%u", m.seed);
	/* Ignore earlier leaks */
	ASSERT_LE(0, kmemleak("scan"));
	ASSERT_EQ(0, kmemleak("clear"));
	ASSERT_EQ(0, hwpt_alloc(vm, &self->edu[0], self->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
				&home));
	/*
	 * From here on an attach in this IOAS takes the shortest possible time
	 */
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, edu_attach(&self->edu[i], home));
	ASSERT_EQ(0, pthread_create(&thread, NULL, move, &m));
	start = now_ns();
	for (round = 1; round <= 200 || now_ns() < start + 10 * SECOND; round++) {
		ASSERT_EQ(0, hwpt_alloc(vm, &self->edu[0], self->ioas,
					IOMMU_HWPT_ALLOC_NEST_PARENT, &s2));
		for (i = 0; i < 2; i++) {
			hwpt[i] = s2;
			if (!variant->nested)
				continue;
			ASSERT_EQ(0, viommu_alloc(vm, &self->edu[i], s2, &viommu[i]));
			ASSERT_EQ(0, nested_alloc(vm, &self->edu[i], viommu[i], STE_BYPASS,
						  0, &hwpt[i]));
		}
		m.hwpt = hwpt[1];
		m.call = round;
		while (m.ready != round)
			sched_yield();
		m.go = round;
		race_delay(&seed, 500);
		rc = edu_attach(&self->edu[0], hwpt[0]);
		while (m.done != round)
			sched_yield();
		moved += !rc + !m.rc;
		refused += !!rc + !!m.rc;
		EXPECT_EQ(0, rc) {
			TH_LOG("round %u", round);
		}
		EXPECT_EQ(0, m.rc) {
			TH_LOG("round %u, the other", round);
		}

		for (i = 0; i < 2; i++)
			ASSERT_EQ(0, edu_attach(&self->edu[i], home));
		for (i = 0; i < 2 && variant->nested; i++) {
			ASSERT_EQ(0, destroy(vm, hwpt[i]));
			ASSERT_EQ(0, destroy(vm, viommu[i]));
		}
		ASSERT_EQ(0, destroy(vm, s2));
	}
	m.stop = true;
	pthread_join(thread, NULL);
	TH_LOG("rounds %u, moved %u, refused %u", round - 1, moved, refused);
	EXPECT_EQ(2 * (round - 1), moved);
	if (!access(KMEMLEAK, F_OK)) {
		/*
		 * kmemleak reports an object some seconds after its last
		 * reference is gone
		 */
		sleep(6);
		ASSERT_LE(0, kmemleak("scan"));
		sleep(1);
		EXPECT_EQ(0, kmemleak("scan"));
	}
}

TEST_HARNESS_MAIN
