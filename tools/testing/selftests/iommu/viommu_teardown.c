// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the teardown of vIOMMUs: objects, devices and processes disappear in
 * any order
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "viommu_utils.h"

/* Teardown, in every order */

FIXTURE(take_apart)
{
};

FIXTURE_SETUP(take_apart)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(take_apart)
{
	NOTHING_LEFT();
}

enum { T_STDEV, T_NESTED, T_VDEVICE, T_VIOMMU, T_S2, T_IOAS, T_NUM };

struct full_vm {
	struct vm vm;
	__u32 id[T_NUM];
};

/* All objects, with the device attached to the nested HWPT */
static int full_vm_open(struct full_vm *f)
{
	struct vm *vm = &f->vm;
	int rc;

	rc = vm_open(vm);
	if (rc)
		return rc;
	f->id[T_STDEV] = vm->stdev;
	f->id[T_VIOMMU] = vm->viommu;
	f->id[T_S2] = vm->s2;
	f->id[T_IOAS] = vm->ioas;
	rc = nested_alloc(vm->fd, vm->dev, vm->viommu, 0, &f->id[T_NESTED]);
	if (!rc)
		rc = vdevice_alloc(vm->fd, vm->viommu, vm->dev, VIRT_ID,
				   &f->id[T_VDEVICE]);
	if (!rc)
		rc = mock_attach(vm->fd, vm->stdev, f->id[T_NESTED]);
	return rc;
}

/* The expected result of DESTROY after the objects of set @gone */
static int destroy_expect(int what, unsigned int gone)
{
	static const unsigned int users[T_NUM] = {
		[T_NESTED] = 1 << T_STDEV,
		[T_VIOMMU] = 1 << T_NESTED | 1 << T_VDEVICE,
		[T_S2] = 1 << T_VIOMMU,
		[T_IOAS] = 1 << T_S2,
	};

	if (gone & 1 << what)
		return -ENOENT;
	return users[what] & ~gone ? -EBUSY : 0;
}

/* Permutation number @n of 0..T_NUM-1 */
static void permute(unsigned int n, int *order)
{
	int i, j, at;

	for (i = 0; i < T_NUM; i++) {
		at = n % (i + 1);
		n /= i + 1;
		for (j = i; j > at; j--)
			order[j] = order[j - 1];
		order[at] = i;
	}
}

/*
 * For each of the 720 orders destroy in this order until nothing is left. Every
 * seventh order closes the iommufd in the middle instead.
 */
TEST_F_TIMEOUT(take_apart, in_every_order, 600)
{
	unsigned int n, pass, gone, done;
	struct full_vm f;
	int order[T_NUM];
	int i, rc;

	for (n = 0; n < 720; n++) {
		permute(n, order);
		gone = 0;
		done = 0;
		OK(full_vm_open(&f));
		for (pass = 0; pass < T_NUM; pass++) {
			for (i = 0; i < T_NUM; i++) {
				if (n % 7 == 0 && done++ == n / 7 % 13)
					goto next;
				rc = destroy(f.vm.fd, f.id[order[i]]);
				ASSERT_EQ(destroy_expect(order[i], gone), rc) {
					TH_LOG("order %u pass %u object %d", n,
					       pass, order[i]);
				}
				if (rc)
					continue;
				gone |= 1 << order[i];
				/* It is destroyed with its device */
				if (order[i] == T_STDEV)
					gone |= 1 << T_VDEVICE;
			}
		}
		ASSERT_EQ((1 << T_NUM) - 1, gone);
		OK(mock_held(f.vm.fd));
next:
		vm_close(&f.vm);
	}
}

/* A device is closed while it has a vDEVICE */

FIXTURE(unplug)
{
	struct full_vm f;
	struct vm *vm;
	int fd;
	__u32 vdevice;
};

FIXTURE_VARIANT(unplug)
{
	bool attached;
};

FIXTURE_VARIANT_ADD(unplug, attached)
{
	.attached = true,
};

FIXTURE_VARIANT_ADD(unplug, not_attached)
{
	.attached = false,
};

FIXTURE_SETUP(unplug)
{
	NOTHING_LEFT();
	OK(full_vm_open(&self->f));
	self->vm = &self->f.vm;
	self->fd = self->vm->fd;
	self->vdevice = self->f.id[T_VDEVICE];
	if (!variant->attached)
		OK(mock_attach(self->fd, self->vm->stdev, self->vm->ioas));
}

FIXTURE_TEARDOWN(unplug)
{
	vm_close(&self->f.vm);
	NOTHING_LEFT();
}

TEST_F(unplug, id_is_dead_and_not_reused)
{
	struct vm *vm = self->vm;
	int fd = self->fd;
	unsigned int i;
	__u32 id;

	OK(destroy(fd, vm->stdev));
	EXPECT_EQ(HELD(1, 0, 1), mock_held(fd));
	FAILS(ENOENT, destroy(fd, self->vdevice));
	FAILS(ENOENT, destroy(fd, self->vdevice));
	FAILS(EINVAL, invalidate_one(fd, vm->viommu, VIRT_ID, 0));

	/* Any object gets the smallest free ID */
	for (i = 0; i < 300; i++) {
		OK(ioas_alloc(fd, &id));
		ASSERT_NE(self->vdevice, id);
	}
	FAILS(ENOENT, destroy(fd, self->vdevice));

	OK(destroy(fd, self->f.id[T_NESTED]));
	OK(destroy(fd, vm->viommu));
	OK(destroy(fd, vm->s2));
	OK(destroy(fd, vm->ioas));
}

TEST_F(unplug, another_device_takes_the_virtual_id)
{
	struct vm *vm = self->vm;
	__u32 vdevice, dead = self->vdevice;
	int fd = self->fd;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		OK(destroy(fd, vm->stdev));
		FAILS(ENOENT, destroy(fd, dead));
		OK(mock_plug(fd, vm->ioas, 0, &vm->stdev, &vm->dev));
		OK(vdevice_alloc(fd, vm->viommu, vm->dev, VIRT_ID, &vdevice));
		/* Each time one ID becomes unusable, and only then */
		ASSERT_NE(dead, vdevice);
		dead = vdevice;
		if (variant->attached)
			OK(mock_attach(fd, vm->stdev, self->f.id[T_NESTED]));
		OK(invalidate_one(fd, vm->viommu, VIRT_ID, 1));
		EXPECT_EQ(0xd, mock_cached(fd, vm->dev));
		EXPECT_EQ(HELD(1, 1, 1), mock_held(fd));
	}
	OK(mock_attach(fd, vm->stdev, vm->ioas));
	OK(destroy(fd, self->f.id[T_NESTED]));
	OK(destroy(fd, vdevice));
	EXPECT_EQ(0, vm_take_apart(vm));
}

TEST_F(unplug, then_close)
{
	OK(destroy(self->fd, self->vm->stdev));
}

TEST_F(unplug, by_close)
{
}

TEST_F(unplug, after_destroy)
{
	OK(destroy(self->fd, self->vdevice));
	OK(destroy(self->fd, self->vm->stdev));
	FAILS(ENOENT, destroy(self->fd, self->vdevice));
}

/* A process that dies at any stage leaves nothing behind */

FIXTURE(death)
{
};

FIXTURE_SETUP(death)
{
	NOTHING_LEFT();
}

FIXTURE_TEARDOWN(death)
{
	NOTHING_LEFT();
}

/* @rc is the result of a stage; after the last one the process dies */
static int stage(int *left, int rc)
{
	if (!rc && !(*left)--)
		kill(getpid(), SIGKILL);
	return rc;
}

/* The same for a stage that must fail with ENOENT */
static int stage_enoent(int *left, int rc)
{
	return stage(left, rc == -ENOENT ? 0 : -EPROTO);
}

/*
 * Live for @n stages, then die. The process has its own user, which may only
 * pin the memory of one VM, so memory that stayed pinned would be missing.
 * Returns the error of a stage, or 0 after all stages.
 */
static int live(int n)
{
	struct rlimit limit = { vm_memory_size, vm_memory_size };
	struct iommu_viommu_selftest data = {};
	__u32 fault, nested, old, vdevice;
	struct vm vm = {};
	int fault_fd, rc;

	vm.fd = open("/dev/iommu", O_RDWR);
	rc = stage(&n, vm.fd < 0 ? -errno : 0);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534))
		return -errno;

	/* To a nested HWPT that is attached */
	rc = rc ?: stage(&n, ioas_alloc(vm.fd, &vm.ioas));
	rc = rc ?: stage(&n, ioas_map_memory(vm.fd, vm.ioas));
	rc = rc ?: stage(&n, mock_plug(vm.fd, vm.ioas, 0, &vm.stdev, &vm.dev));
	if (!rc && vm_pinned_kb() * 1024 != vm_memory_size)
		rc = -EPROTO;
	rc = rc	   ?:
		     stage(&n,
			   hwpt_alloc(vm.fd, vm.dev, vm.ioas,
				      IOMMU_HWPT_ALLOC_NEST_PARENT, &vm.s2));
	rc = rc	   ?:
		     stage(&n, viommu_alloc(vm.fd, vm.dev, vm.s2, &data,
					    &vm.viommu));
	rc = rc ?: stage(&n, fault_queue_alloc(vm.fd, &fault, &fault_fd));
	rc = rc	   ?:
		     stage(&n,
			   nested_alloc(vm.fd, vm.dev, vm.viommu, fault, &old));
	rc = rc	   ?:
		     stage(&n, vdevice_alloc(vm.fd, vm.viommu, vm.dev, VIRT_ID,
					     &vdevice));
	rc = rc ?: stage(&n, mock_attach(vm.fd, vm.stdev, old));

	/* To another one, and back to the S2 */
	rc = rc	   ?:
		     stage(&n,
			   nested_alloc(vm.fd, vm.dev, vm.viommu, 0, &nested));
	rc = rc ?: stage(&n, mock_attach(vm.fd, vm.stdev, nested));
	rc = rc ?: stage(&n, invalidate_one(vm.fd, vm.viommu, VIRT_ID, 0));
	rc = rc ?: stage(&n, destroy(vm.fd, old));
	rc = rc ?: stage(&n, mock_attach(vm.fd, vm.stdev, vm.s2));
	rc = rc ?: stage(&n, destroy(vm.fd, nested));

	/* To another device */
	rc = rc ?: stage(&n, destroy(vm.fd, vm.stdev));
	rc = rc ?: stage_enoent(&n, destroy(vm.fd, vdevice));
	rc = rc ?: stage(&n, mock_plug(vm.fd, vm.ioas, 0, &vm.stdev, &vm.dev));
	rc = rc	   ?:
		     stage(&n, vdevice_alloc(vm.fd, vm.viommu, vm.dev, VIRT_ID,
					     &vdevice));
	return rc ?: stage(&n, destroy(vm.fd, vdevice));
}

TEST_F_TIMEOUT(death, at_each_stage, 480)
{
	int stages, status, last = 0;
	pid_t pid;

	for (stages = 0; !last; stages++) {
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid)
			_exit(-live(stages));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		last = WIFEXITED(status);
		ASSERT_EQ(last ? 0 : SIGKILL, status) {
			TH_LOG("stage %d", stages);
		}
		ASSERT_STREQ("nothing", left_behind() ?: "nothing") {
			TH_LOG("stage %d", stages);
		}
	}
	ASSERT_LT(20, stages);
}

/* An iommufd that two processes share lives until both are gone */
TEST_F(death, of_one_of_two_owners)
{
	struct full_vm f;
	int status;
	pid_t pid;

	OK(full_vm_open(&f));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (!pid) {
		int rc = invalidate_one(f.vm.fd, f.vm.viommu, VIRT_ID, 0);

		_exit(rc ? 1 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	OK(status);
	EXPECT_EQ(HELD(1, 1, 1), mock_held(f.vm.fd));
	EXPECT_EQ(0xe, mock_cached(f.vm.fd, f.vm.dev));
	vm_close(&f.vm);
}

TEST_HARNESS_MAIN
