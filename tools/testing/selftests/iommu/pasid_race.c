// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of attaches, replaces and detaches of PASIDs with page requests, the
 * destruction of HWPTs, changes of the device's own HWPT and its removal
 *
 * The mock driver warns if the core and the device do not agree, KASAN if a page
 * request uses a handle that is gone.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "race.h"
#include "pasid.h"

#define RACE_MS 1500
#define RACE_PASIDS 4
#define RACE_HWPTS 3
#define RACE_MAX_THREADS 8

enum {
	ATTACH,
	REPLACE,
	DETACH,
	RID,
	NESTED,
	DESTROY_NESTED,
	PAGE_REQUEST,
	READ_FAULT,
	ANSWER,
	UNPLUG,
	PLUG,
};

#define OP(_op) (1U << (_op))

struct race {
	struct pasid_vm p;
	atomic_bool stop;
	/* The device is to go, which is EBUSY while an ioctl uses it */
	atomic_bool pause;
	atomic_uint stdev;
	atomic_uint dev;
	__u32 fault;
	int fault_fd;
	/* Without a fault queue, and two with it that come and go */
	atomic_uint hwpt[RACE_HWPTS];
	struct race_log log;
};

static void race_init(struct race *r)
{
	*r = (struct race){
		.log.ops = {
			[ATTACH].name = "attach",
			[REPLACE].name = "replace",
			[DETACH].name = "detach",
			[RID].name = "attach device",
			[NESTED].name = "nested_alloc",
			[DESTROY_NESTED].name = "destroy nested",
			[PAGE_REQUEST].name = "page request",
			[READ_FAULT].name = "read fault",
			[ANSWER].name = "answer",
			[UNPLUG].name = "unplug",
			[PLUG].name = "plug",
		},
	};
}

static int race_open(struct race *r)
{
	int rc = pasid_vm_open(&r->p);

	if (rc)
		return rc;
	r->stdev = r->p.vm.stdev;
	r->dev = r->p.vm.dev;
	r->hwpt[0] = r->p.a;
	rc = fault_queue_alloc(r->p.vm.fd, &r->fault, &r->fault_fd);
	if (!rc)
		fcntl(r->fault_fd, F_SETFL, O_NONBLOCK);
	return rc;
}

/* Returns whether to go on; the threads that use the device ask before each ioctl */
static bool race_runs(struct race *r)
{
	while (r->pause && !r->stop)
		usleep(100);
	return !r->stop;
}

/*
 * ENOENT: unplugged, or the HWPT is gone. EINVAL: attached to something else, or
 * no longer attached. EBUSY: attached already.
 */
static void *do_pasids(void *arg)
{
	struct race *r = arg;
	unsigned int seed = race_thread_seed(&r->log);

	while (race_runs(r)) {
		const __u32 pasid = 1 + race_random(&seed, RACE_PASIDS);
		const __u32 pt = r->hwpt[race_random(&seed, RACE_HWPTS)];

		switch (race_random(&seed, 4)) {
		case 0:
			race_note(&r->log, ATTACH,
				  pasid_attach(r->p.vm.fd, r->stdev, pasid, pt),
				  ENOENT, EINVAL, EBUSY);
			break;
		case 1:
			race_note(&r->log, DETACH,
				  pasid_detach(r->p.vm.fd, r->stdev, pasid),
				  ENOENT);
			break;
		default:
			race_note(&r->log, REPLACE,
				  pasid_replace(r->p.vm.fd, r->stdev, pasid,
						pt),
				  ENOENT, EINVAL);
		}
	}
	return NULL;
}

static void *do_rid(void *arg)
{
	struct race *r = arg;
	const __u32 pts[] = { r->p.rid, r->p.s2, r->p.plain, r->p.b };
	unsigned int i;

	for (i = 0; race_runs(r); i++)
		race_note(&r->log, RID,
			  mock_attach(r->p.vm.fd, r->stdev, pts[i % 4]),
			  ENOENT, EINVAL);
	return NULL;
}

static void *do_hwpts(void *arg)
{
	struct race *r = arg;
	unsigned int slot = 1;
	__u32 id;
	int rc;

	while (race_runs(r)) {
		rc = pasid_nested_alloc(r->p.vm.fd, r->dev, r->p.s2, r->fault,
					&id);
		race_note(&r->log, NESTED, rc, ENOENT);
		if (rc)
			continue;
		slot = slot % (RACE_HWPTS - 1) + 1;
		id = atomic_exchange(&r->hwpt[slot], id);
		if (!id)
			continue;
		/* The others cannot attach it any more, but it may be attached */
		do {
			rc = destroy(r->p.vm.fd, id);
			if (rc == -EBUSY)
				pasid_detach(r->p.vm.fd, r->stdev,
					     1 + slot % RACE_PASIDS);
			slot++;
		} while (rc == -EBUSY && race_runs(r));
		race_note(&r->log, DESTROY_NESTED, rc, EBUSY);
	}
	return NULL;
}

static void *do_page_requests(void *arg)
{
	struct race *r = arg;
	__u32 n;

	for (n = 0; race_runs(r); n++)
		race_note(&r->log, PAGE_REQUEST,
			  pasid_page_request(r->p.vm.fd, r->dev,
					     1 + n % RACE_PASIDS, n & 511),
			  ENOENT);
	return NULL;
}

static void *do_answers(void *arg)
{
	struct race *r = arg;
	struct iommu_hwpt_pgfault fault;
	ssize_t rc;

	while (!r->stop) {
		struct pollfd pollfd = { .fd = r->fault_fd, .events = POLLIN };
		struct iommu_hwpt_page_response response = {
			.code = IOMMUFD_PAGE_RESP_SUCCESS,
		};

		if (poll(&pollfd, 1, 10) < 1)
			continue;
		rc = read(r->fault_fd, &fault, sizeof(fault));
		if (rc != sizeof(fault))
			continue;
		race_note(&r->log, READ_FAULT, 0, 0);
		response.cookie = fault.cookie;
		rc = write(r->fault_fd, &response, sizeof(response));
		race_note(&r->log, ANSWER,
			  rc == sizeof(response) ? 0 : -errno, EINVAL);
	}
	return NULL;
}

static void *do_unplug(void *arg)
{
	struct race *r = arg;
	unsigned int tries = 0;
	__u32 stdev, dev;
	int rc;

	while (!r->stop) {
		usleep(3000);
		rc = destroy(r->p.vm.fd, r->stdev);
		race_note(&r->log, UNPLUG, rc, EBUSY);
		/* On a busy machine others may have it each time */
		if (!rc)
			r->pause = false;
		else if (++tries % 8 == 0)
			r->pause = true;
		if (rc)
			continue;
		rc = mock_plug(r->p.vm.fd, r->p.rid, MOCK_FLAGS_DEVICE_PASID,
			       &stdev, &dev);
		race_note(&r->log, PLUG, rc, 0);
		if (rc)
			break;
		r->stdev = stdev;
		r->dev = dev;
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
	race_init(&self->r);
	OK(race_open(&self->r));
}

FIXTURE_TEARDOWN(race)
{
	close(self->r.fault_fd);
	vm_close(&self->r.p.vm);
	NOTHING_LEFT();
}

typedef void *(*thread_fn)(void *arg);

static int race_start(struct race *r, const thread_fn *fns, unsigned int num,
		      pthread_t *threads)
{
	unsigned int i;
	int rc;

	for (i = 0; i < num; i++) {
		rc = pthread_create(&threads[i], NULL, fns[i], r);
		if (rc)
			return -rc;
	}
	return 0;
}

static void race_run(struct __test_metadata *_metadata, struct race *r,
		     const thread_fn *fns, unsigned int num, unsigned int ops)
{
	pthread_t threads[RACE_MAX_THREADS];
	unsigned int i;

	ASSERT_GE(RACE_MAX_THREADS, num);
	OK(race_start(r, fns, num, threads));
	race_wait(&r->log, RACE_MS, ops);
	r->stop = true;
	for (i = 0; i < num; i++)
		OK(pthread_join(threads[i], NULL));
	RACE_EXPECT(&r->log, ops);

	/* One by one everything can go */
	OK(destroy(r->p.vm.fd, r->stdev));
	for (i = 1; i < RACE_HWPTS; i++)
		if (r->hwpt[i])
			OK(destroy(r->p.vm.fd, r->hwpt[i]));
	OK(destroy(r->p.vm.fd, r->p.a));
	OK(destroy(r->p.vm.fd, r->p.rid));
}

static const thread_fn steady[] = {
	do_pasids, do_pasids, do_hwpts, do_page_requests, do_answers,
};

static const thread_fn with_rid[] = { do_pasids, do_pasids, do_rid };

static const thread_fn with_unplug[] = {
	do_pasids, do_pasids, do_hwpts, do_page_requests, do_answers, do_unplug,
};

#define PASID_OPS (OP(ATTACH) | OP(REPLACE) | OP(DETACH))
#define FAULT_OPS (OP(NESTED) | OP(DESTROY_NESTED) | OP(PAGE_REQUEST) | \
		   OP(READ_FAULT) | OP(ANSWER))

TEST_F(race, page_requests)
{
	race_run(_metadata, &self->r, steady, ARRAY_SIZE(steady),
		 PASID_OPS | FAULT_OPS);
}

TEST_F(race, device)
{
	race_run(_metadata, &self->r, with_rid, ARRAY_SIZE(with_rid),
		 PASID_OPS | OP(RID));
}

TEST_F(race, unplug)
{
	race_run(_metadata, &self->r, with_unplug, ARRAY_SIZE(with_unplug),
		 PASID_OPS | FAULT_OPS | OP(UNPLUG) | OP(PLUG));
}

/* The process is killed in the middle */
TEST(kill_process)
{
	pthread_t threads[RACE_MAX_THREADS];
	struct race *r;
	int round, status;
	pid_t pid;

	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, r);
	for (round = 0; round < 10; round++) {
		race_init(r);
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid) {
			if (race_open(r) ||
			    race_start(r, with_unplug, ARRAY_SIZE(with_unplug),
				       threads))
				_exit(1);
			usleep(20000 + round * 5000);
			kill(getpid(), SIGKILL);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(SIGKILL, status);
		NOTHING_LEFT();
	}
	munmap(r, sizeof(*r));
}

TEST_HARNESS_MAIN
