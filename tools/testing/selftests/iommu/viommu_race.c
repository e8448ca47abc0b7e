// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of the ioctls of vIOMMUs: everything at once for a bounded time, then
 * nothing may be left
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "viommu_utils.h"

#define RACE_MS 1500
#define RACE_SLOTS 8
#define RACE_MAX_THREADS 8

struct race {
	struct vm vm;
	atomic_bool stop;
	/* The last ID of each type, for other threads to use and destroy */
	atomic_uint stdev;
	atomic_uint dev;
	atomic_uint vdevice;
	atomic_uint viommu;
	atomic_uint nested[RACE_SLOTS];
	/* The number of successes, and the first unexpected error */
	atomic_ulong worked;
	atomic_bool bad;
	const char *bad_what;
	int bad_rc;
};

#define ERR(e) (1ULL << (e))

/* Record the result @rc of @what; the errors in @allowed are fine */
static void race_note(struct race *r, const char *what, int rc,
		      unsigned long long allowed)
{
	if (!rc) {
		atomic_fetch_add(&r->worked, 1);
	} else if ((-rc >= 64 || !(ERR(-rc) & allowed)) &&
		   !atomic_exchange(&r->bad, true)) {
		r->bad_what = what;
		r->bad_rc = rc;
	}
}

static unsigned int race_random(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
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
		race_note(r, "vdevice_alloc", rc, ERR(ENOENT) | ERR(EEXIST));
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
		race_note(r, "destroy vdevice",
			  destroy_when_free(r->vm.fd, id), ERR(ENOENT));
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
		race_note(r, "unplug", rc, ERR(EBUSY));
		if (rc)
			continue;
		rc = mock_plug(r->vm.fd, r->vm.ioas, 0, &stdev, &dev);
		race_note(r, "plug", rc, 0);
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
		race_note(r, "invalidate",
			  invalidate_one(r->vm.fd, r->vm.viommu, VIRT_ID, 1),
			  ERR(EINVAL));
	return NULL;
}

static void *do_hwpts(void *arg)
{
	struct race *r = arg;
	unsigned int seed = (uintptr_t)&seed;
	unsigned int slot;
	__u32 id;
	int rc;

	while (!r->stop) {
		slot = race_random(&seed, RACE_SLOTS);
		rc = nested_alloc(r->vm.fd, r->dev, r->vm.viommu, 0, &id);
		race_note(r, "nested_alloc", rc, ERR(ENOENT));
		if (rc)
			continue;
		rc = mock_attach(r->vm.fd, r->stdev, id);
		race_note(r, "attach", rc, ERR(ENOENT) | ERR(EINVAL));
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
				race_note(r, "attach ioas",
					  mock_attach(r->vm.fd, r->stdev,
						      r->vm.ioas),
					  ERR(ENOENT) | ERR(EINVAL));
		} while (rc == -EBUSY && !r->stop);
		race_note(r, "destroy nested", rc, ERR(EBUSY));
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
		race_note(r, "viommu_alloc", rc, 0);
		if (rc)
			break;
		r->viommu = id;
		race_note(r, "destroy viommu",
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
		race_note(r, "nested_alloc", rc, ERR(EINVAL));
		if (!rc)
			race_note(r, "destroy nested",
				  destroy_when_free(r->vm.fd, id), 0);
		rc = vdevice_alloc(r->vm.fd, r->viommu, r->vm.dev, VIRT_ID,
				   &id);
		race_note(r, "vdevice_alloc", rc, ERR(ENOENT) | ERR(EEXIST));
		if (!rc) {
			race_note(r, "invalidate",
				  invalidate_one(r->vm.fd, r->viommu, VIRT_ID,
						 0),
				  ERR(ENOENT) | ERR(EINVAL));
			race_note(r, "destroy vdevice",
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
	unsigned int seed = (uintptr_t)&seed;
	int fd = r->vm.fd;
	__u32 id[4], out, out2;
	unsigned int i;

	while (!r->stop) {
		for (i = 0; i < ARRAY_SIZE(id); i++)
			id[i] = race_random(&seed, 40);
		switch (race_random(&seed, 12)) {
		case 0:
			mock_plug(fd, id[0], race_random(&seed, 2) << 31, &out,
				  &out2);
			break;
		case 1:
			hwpt_alloc(fd, id[0], id[1],
				   IOMMU_HWPT_ALLOC_NEST_PARENT, &out);
			break;
		case 2:
		case 3:
			viommu_alloc(fd, id[0], id[1], NULL, &out);
			break;
		case 4:
			vdevice_alloc(fd, id[0], id[1], id[2] % 4, &out);
			break;
		case 5:
		case 6:
			nested_alloc(fd, id[0], id[1], 0, &out);
			break;
		case 7:
		case 8:
			mock_attach(fd, id[0], id[1]);
			break;
		case 9:
			invalidate_one(fd, id[0], id[1] % 4, 0);
			break;
		case 10:
			if (race_random(&seed, 4))
				ioas_alloc(fd, &out);
			break;
		}
		for (i = 0; i < ARRAY_SIZE(id); i++)
			if (!race_random(&seed, 3))
				destroy(fd, id[i]);
		atomic_fetch_add(&r->worked, 1);
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
	memset(&self->r, 0, sizeof(self->r));
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

typedef void *(*race_fn)(void *arg);

static int race_start(struct race *r, const race_fn *fns, unsigned int num,
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
		     const race_fn *fns, unsigned int num)
{
	pthread_t threads[RACE_MAX_THREADS];
	unsigned int i;

	ASSERT_GE(RACE_MAX_THREADS, num);
	OK(race_start(r, fns, num, threads));
	usleep(RACE_MS * 1000);
	r->stop = true;
	for (i = 0; i < num; i++)
		OK(pthread_join(threads[i], NULL));
	EXPECT_FALSE(r->bad) {
		TH_LOG("%s: %s", r->bad_what, strerror(-r->bad_rc));
	}
	EXPECT_LT(10, r->worked);
}

TEST_F(race, vdevice_alloc_destroy_unplug)
{
	static const race_fn fns[] = { do_vdevices, do_destroy_vdevice,
				       do_unplug, do_invalidate };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	/* In any case the device goes away and its vDEVICE with it */
	OK(destroy(self->vm->fd, self->r.stdev));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
	OK(destroy(self->vm->fd, self->vm->viommu));
	OK(destroy(self->vm->fd, self->vm->s2));
	OK(destroy(self->vm->fd, self->vm->ioas));
}

TEST_F(race, unplug_against_alloc)
{
	static const race_fn fns[] = { do_vdevices, do_vdevices, do_unplug };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	OK(destroy(self->vm->fd, self->r.stdev));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
}

TEST_F(race, attach_destroy_unplug)
{
	static const race_fn fns[] = { do_hwpts,    do_hwpts,
				       do_vdevices, do_destroy_vdevice,
				       do_unplug,   do_invalidate };
	unsigned int i;

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	OK(destroy(self->vm->fd, self->r.stdev));
	for (i = 0; i < RACE_SLOTS; i++)
		if (self->r.nested[i])
			OK(destroy(self->vm->fd, self->r.nested[i]));
}

TEST_F(race, attach_invalidate_steady_device)
{
	static const race_fn fns[] = { do_hwpts, do_hwpts, do_vdevices,
				       do_destroy_vdevice, do_invalidate };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
}

TEST_F(race, viommu_destroy_against_children)
{
	static const race_fn fns[] = { do_viommus, do_viommus,
				       do_viommu_children, do_viommu_children };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
	EXPECT_EQ(HELD(1, 0, 0), mock_held(self->vm->fd));
}

TEST_F(race, anything)
{
	static const race_fn fns[] = { do_anything, do_anything, do_anything,
				       do_anything };

	race_run(_metadata, &self->r, fns, ARRAY_SIZE(fns));
}

/* The iommufd is closed, or its process killed, in the middle */
static void race_end(struct __test_metadata *_metadata, bool by_kill)
{
	static const race_fn fns[] = {
		do_vdevices, do_destroy_vdevice, do_unplug,
		do_hwpts,    do_invalidate,
	};
	pthread_t threads[RACE_MAX_THREADS];
	unsigned int i, round;
	int status;
	pid_t pid;

	for (round = 0; round < 20; round++) {
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid) {
			struct race r = {};

			if (vm_open(&r.vm))
				_exit(1);
			r.stdev = r.vm.stdev;
			r.dev = r.vm.dev;
			if (race_start(&r, fns, ARRAY_SIZE(fns), threads))
				_exit(2);
			usleep(5000 + round * 3000);
			if (by_kill)
				kill(getpid(), SIGKILL);
			close(r.vm.fd);
			r.stop = true;
			for (i = 0; i < ARRAY_SIZE(fns); i++)
				pthread_join(threads[i], NULL);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(by_kill ? SIGKILL : 0, status);
		NOTHING_LEFT();
	}
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

TEST_F_TIMEOUT(race_end, by_close, 120)
{
	race_end(_metadata, false);
}

TEST_F_TIMEOUT(race_end, by_kill, 120)
{
	race_end(_metadata, true);
}

TEST_HARNESS_MAIN
