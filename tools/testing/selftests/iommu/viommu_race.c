// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of the ioctls of vIOMMUs: everything at once for a bounded time, then
 * nothing may be left
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "race.h"
#include "viommu_utils.h"

#define RACE_MS 1500
#define RACE_SLOTS 8
#define RACE_MAX_THREADS 8

enum {
	PLUG,
	UNPLUG,
	HWPT,
	NESTED,
	DESTROY_NESTED,
	ATTACH,
	ATTACH_IOAS,
	VIOMMU,
	DESTROY_VIOMMU,
	VDEVICE,
	DESTROY_VDEVICE,
	INVALIDATE,
	IOAS,
	DESTROY,
};

#define OP(_op) (1U << (_op))

struct race {
	struct vm vm;
	atomic_bool stop;
	/* The last ID of each type, for other threads to use and destroy */
	atomic_uint stdev;
	atomic_uint dev;
	atomic_uint vdevice;
	atomic_uint viommu;
	atomic_uint nested[RACE_SLOTS];
	struct race_log log;
};

/* Everything except the log */
static void race_forget(struct race *r)
{
	unsigned int i;

	r->stop = false;
	r->vdevice = 0;
	r->viommu = 0;
	for (i = 0; i < RACE_SLOTS; i++)
		r->nested[i] = 0;
}

static void race_init(struct race *r)
{
	*r = (struct race){
		.log.ops = {
			[PLUG].name = "plug",
			[UNPLUG].name = "unplug",
			[HWPT].name = "hwpt_alloc",
			[NESTED].name = "nested_alloc",
			[DESTROY_NESTED].name = "destroy nested",
			[ATTACH].name = "attach",
			[ATTACH_IOAS].name = "attach ioas",
			[VIOMMU].name = "viommu_alloc",
			[DESTROY_VIOMMU].name = "destroy viommu",
			[VDEVICE].name = "vdevice_alloc",
			[DESTROY_VDEVICE].name = "destroy vdevice",
			[INVALIDATE].name = "invalidate",
			[IOAS].name = "ioas_alloc",
			[DESTROY].name = "destroy",
		},
	};
}

/* EBUSY: another thread was using the object */
static void *do_vdevices(void *arg)
{
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		rc = vdevice_alloc(r->vm.fd, r->vm.viommu, r->dev, VIRT_ID,
				   &id);
		if (!rc)
			r->vdevice = id;
		race_note(&r->log, VDEVICE, rc, ENOENT, EEXIST);
	}
	return NULL;
}

static void *do_destroy_vdevice(void *arg)
{
	struct race *r = arg;
	__u32 id;

	while (!r->stop) {
		/* Destroy each object once: nobody may use its ID afterwards */
		id = atomic_exchange(&r->vdevice, 0);
		if (!id)
			continue;
		race_note(&r->log, DESTROY_VDEVICE,
			  destroy_when_free(r->vm.fd, id), ENOENT);
	}
	return NULL;
}

/* Nobody else destroys devices, so this must succeed eventually */
static void *do_unplug(void *arg)
{
	struct race *r = arg;
	__u32 stdev, dev;
	int rc;

	while (!r->stop) {
		rc = destroy(r->vm.fd, r->stdev);
		race_note(&r->log, UNPLUG, rc, EBUSY);
		if (rc)
			continue;
		rc = mock_plug(r->vm.fd, r->vm.ioas, 0, &stdev, &dev);
		race_note(&r->log, PLUG, rc, 0);
		if (rc)
			break;
		r->stdev = stdev;
		r->dev = dev;
		usleep(200);
	}
	return NULL;
}

static void *do_invalidate(void *arg)
{
	struct race *r = arg;

	while (!r->stop)
		race_note(&r->log, INVALIDATE,
			  invalidate_one(r->vm.fd, r->vm.viommu, VIRT_ID, 1),
			  EINVAL);
	return NULL;
}

static void *do_hwpts(void *arg)
{
	struct race *r = arg;
	unsigned int seed = race_thread_seed(&r->log);
	unsigned int slot;
	__u32 id;
	int rc;

	while (!r->stop) {
		slot = race_random(&seed, RACE_SLOTS);
		rc = nested_alloc(r->vm.fd, r->dev, r->vm.viommu, 0, &id);
		race_note(&r->log, NESTED, rc, ENOENT);
		if (rc)
			continue;
		rc = mock_attach(r->vm.fd, r->stdev, id);
		race_note(&r->log, ATTACH, rc, ENOENT, EINVAL);
		/*
		 * The thread that takes an ID out of its slot destroys the
		 * object
		 */
		id = atomic_exchange(&r->nested[slot], id);
		if (!id)
			continue;
		do {
			rc = destroy(r->vm.fd, id);
			if (rc == -EBUSY)
				race_note(&r->log, ATTACH_IOAS,
					  mock_attach(r->vm.fd, r->stdev,
						      r->vm.ioas),
					  ENOENT, EINVAL);
		} while (rc == -EBUSY && !r->stop);
		race_note(&r->log, DESTROY_NESTED, rc, EBUSY);
	}
	return NULL;
}

static void *do_viommus(void *arg)
{
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		rc = viommu_alloc(r->vm.fd, r->vm.dev, r->vm.s2, NULL, &id);
		race_note(&r->log, VIOMMU, rc, 0);
		if (rc)
			break;
		r->viommu = id;
		race_note(&r->log, DESTROY_VIOMMU,
			  destroy_when_free(r->vm.fd, id), 0);
	}
	return NULL;
}

static void *do_viommu_children(void *arg)
{
	struct race *r = arg;
	__u32 id;
	int rc;

	while (!r->stop) {
		rc = nested_alloc(r->vm.fd, r->vm.dev, r->viommu, 0, &id);
		race_note(&r->log, NESTED, rc, EINVAL);
		if (!rc)
			race_note(&r->log, DESTROY_NESTED,
				  destroy_when_free(r->vm.fd, id), 0);
		rc = vdevice_alloc(r->vm.fd, r->viommu, r->vm.dev, VIRT_ID,
				   &id);
		race_note(&r->log, VDEVICE, rc, ENOENT, EEXIST);
		if (!rc) {
			race_note(&r->log, INVALIDATE,
				  invalidate_one(r->vm.fd, r->viommu, VIRT_ID,
						 0),
				  ENOENT, EINVAL);
			race_note(&r->log, DESTROY_VDEVICE,
				  destroy_when_free(r->vm.fd, id), 0);
		}
	}
	return NULL;
}

/*
 * Any command on any ID: the results do not matter, only the kernel's own
 * checks
 */
static void *do_anything(void *arg)
{
	struct race *r = arg;
	unsigned int seed = race_thread_seed(&r->log);
	int fd = r->vm.fd;
	__u32 id[4], out, out2;
	unsigned int i, op;
	int rc;

	while (!r->stop) {
		for (i = 0; i < ARRAY_SIZE(id); i++)
			id[i] = race_random(&seed, 40);
		op = race_random(&seed, DESTROY);
		switch (op) {
		case PLUG:
			rc = mock_plug(fd, id[0], race_random(&seed, 2) << 31,
				       &out, &out2);
			break;
		case HWPT:
			rc = hwpt_alloc(fd, id[0], id[1],
					IOMMU_HWPT_ALLOC_NEST_PARENT, &out);
			break;
		case VIOMMU:
			rc = viommu_alloc(fd, id[0], id[1], NULL, &out);
			break;
		case VDEVICE:
			rc = vdevice_alloc(fd, id[0], id[1], id[2] % 4, &out);
			break;
		case NESTED:
			rc = nested_alloc(fd, id[0], id[1], 0, &out);
			break;
		case ATTACH:
			rc = mock_attach(fd, id[0], id[1]);
			break;
		case INVALIDATE:
			rc = invalidate_one(fd, id[0], id[1] % 4, 0);
			break;
		case IOAS:
			rc = ioas_alloc(fd, &out);
			break;
		default:
			continue;
		}
		race_note(&r->log, op, rc, ANY_ERROR);
		for (i = 0; i < ARRAY_SIZE(id); i++)
			if (!race_random(&seed, 3))
				race_note(&r->log, DESTROY, destroy(fd, id[i]),
					  ANY_ERROR);
	}
	return NULL;
}

FIXTURE(race)
{
	struct race r;
	struct vm *vm;
};

FIXTURE_SETUP(race)
{
	NOTHING_LEFT();
	race_init(&self->r);
	self->vm = &self->r.vm;
	OK(vm_open(self->vm));
	self->r.stdev = self->vm->stdev;
	self->r.dev = self->vm->dev;
}

FIXTURE_TEARDOWN(race)
{
	vm_close(self->vm);
	NOTHING_LEFT();
}

/* The function of a thread, and which of its operations must have succeeded */
struct actor {
	void *(*fn)(void *arg);
	unsigned int ops;
};

static const struct actor vdevices = { do_vdevices, OP(VDEVICE) };

static const struct actor destroy_vdevice = {
	do_destroy_vdevice, OP(DESTROY_VDEVICE)
};

static const struct actor unplug = { do_unplug, OP(UNPLUG) | OP(PLUG) };

static const struct actor invalidations = { do_invalidate, OP(INVALIDATE) };

static const struct actor hwpts = {
	do_hwpts, OP(NESTED) | OP(ATTACH) | OP(DESTROY_NESTED)
};

static const struct actor viommus = {
	do_viommus, OP(VIOMMU) | OP(DESTROY_VIOMMU)
};

static const struct actor viommu_children = {
	do_viommu_children,
	OP(NESTED) | OP(DESTROY_NESTED) | OP(VDEVICE) | OP(DESTROY_VDEVICE) |
		OP(INVALIDATE)
};

static const struct actor anything = {
	do_anything, OP(PLUG) | OP(IOAS) | OP(DESTROY)
};

static int race_start(struct race *r, const struct actor *const *actors,
		      unsigned int num, pthread_t *threads)
{
	unsigned int i;
	int rc;

	for (i = 0; i < num; i++) {
		rc = pthread_create(&threads[i], NULL, actors[i]->fn, r);
		if (rc)
			return -rc;
	}
	return 0;
}

static unsigned int race_ops(const struct actor *const *actors,
			     unsigned int num)
{
	unsigned int i, ops = 0;

	for (i = 0; i < num; i++)
		ops |= actors[i]->ops;
	return ops;
}

static void race_run(struct __test_metadata *_metadata, struct race *r,
		     const struct actor *const *actors, unsigned int num)
{
	pthread_t threads[RACE_MAX_THREADS];
	unsigned int i;

	ASSERT_GE(RACE_MAX_THREADS, num);
	OK(race_start(r, actors, num, threads));
	race_wait(&r->log, RACE_MS, race_ops(actors, num));
	r->stop = true;
	for (i = 0; i < num; i++)
		OK(pthread_join(threads[i], NULL));
	RACE_EXPECT(&r->log, race_ops(actors, num));
}

TEST_F(race, vdevice_alloc_destroy_unplug)
{
	static const struct actor *const actors[] = {
		&vdevices, &destroy_vdevice, &unplug, &invalidations,
	};

	race_run(_metadata, &self->r, actors, ARRAY_SIZE(actors));
	/* In any case the device goes away and its vDEVICE with it */
	OK(destroy(self->vm->fd, self->r.stdev));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
	OK(destroy(self->vm->fd, self->vm->viommu));
	OK(destroy(self->vm->fd, self->vm->s2));
	OK(destroy(self->vm->fd, self->vm->ioas));
}

TEST_F(race, unplug_against_alloc)
{
	static const struct actor *const actors[] = {
		&vdevices, &vdevices, &unplug,
	};

	race_run(_metadata, &self->r, actors, ARRAY_SIZE(actors));
	OK(destroy(self->vm->fd, self->r.stdev));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
}

TEST_F(race, attach_destroy_unplug)
{
	static const struct actor *const actors[] = {
		&hwpts, &hwpts, &vdevices, &destroy_vdevice, &unplug,
		&invalidations,
	};
	unsigned int i;

	race_run(_metadata, &self->r, actors, ARRAY_SIZE(actors));
	OK(destroy(self->vm->fd, self->r.stdev));
	for (i = 0; i < RACE_SLOTS; i++)
		if (self->r.nested[i])
			OK(destroy(self->vm->fd, self->r.nested[i]));
}

TEST_F(race, attach_invalidate_steady_device)
{
	static const struct actor *const actors[] = {
		&hwpts, &hwpts, &vdevices, &destroy_vdevice, &invalidations,
	};

	race_run(_metadata, &self->r, actors, ARRAY_SIZE(actors));
}

TEST_F(race, viommu_destroy_against_children)
{
	static const struct actor *const actors[] = {
		&viommus, &viommus, &viommu_children, &viommu_children,
	};

	race_run(_metadata, &self->r, actors, ARRAY_SIZE(actors));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
}

TEST_F(race, anything)
{
	static const struct actor *const actors[] = {
		&anything, &anything, &anything, &anything,
	};
	static const unsigned int tries[] = {
		HWPT, VIOMMU, VDEVICE, NESTED, ATTACH, INVALIDATE,
	};
	unsigned int op;

	race_run(_metadata, &self->r, actors, ARRAY_SIZE(actors));
	/* The other operations rarely find IDs that they can use */
	for (op = 0; op < ARRAY_SIZE(tries); op++) {
		EXPECT_LT(0, self->r.log.ops[tries[op]].tried) {
			TH_LOG("%s", self->r.log.ops[tries[op]].name);
		}
	}
}

/* The iommufd is closed, or its process killed, in the middle */
static void race_end(struct __test_metadata *_metadata, bool by_kill)
{
	static const struct actor *const actors[] = {
		&vdevices, &destroy_vdevice, &unplug, &hwpts, &invalidations,
	};
	const unsigned int ops = race_ops(actors, ARRAY_SIZE(actors));
	pthread_t threads[RACE_MAX_THREADS];
	struct race *r;
	unsigned int i, round;
	int status;
	pid_t pid;

	/* The counts of a child can be read after its death */
	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, r);
	race_init(r);
	race_seed();
	for (round = 0; round < 20 || (round < 60 && !race_complete(&r->log, ops));
	     round++) {
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid) {
			if (vm_open(&r->vm))
				_exit(1);
			r->stdev = r->vm.stdev;
			r->dev = r->vm.dev;
			if (race_start(r, actors, ARRAY_SIZE(actors), threads))
				_exit(2);
			usleep(5000 + round * 3000);
			if (by_kill)
				kill(getpid(), SIGKILL);
			close(r->vm.fd);
			r->stop = true;
			for (i = 0; i < ARRAY_SIZE(actors); i++)
				pthread_join(threads[i], NULL);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(by_kill ? SIGKILL : 0, status);
		NOTHING_LEFT();
		race_forget(r);
	}
	/* Between close() and the stop each call may fail with EBADF */
	r->log.bad = false;
	RACE_EXPECT(&r->log, ops);
	munmap(r, sizeof(*r));
}

FIXTURE(race_end)
{
};

FIXTURE_SETUP(race_end)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(race_end)
{
	NOTHING_LEFT();
}

TEST_F_TIMEOUT(race_end, by_close, 480)
{
	race_end(_metadata, false);
}

TEST_F_TIMEOUT(race_end, by_kill, 480)
{
	race_end(_metadata, true);
}

TEST_HARNESS_MAIN
