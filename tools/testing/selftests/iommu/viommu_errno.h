/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wrong input: tables of one member set to one value in a command that works
 *
 * Values that are only known at run time are placeholders, OBJ(x) and MEM(x).
 */
#ifndef __SELFTEST_VIOMMU_ERRNO
#define __SELFTEST_VIOMMU_ERRNO

#include "viommu_utils.h"

enum {
	OBJ_IOAS,
	OBJ_DEV,
	OBJ_STDEV,
	OBJ_AUTO, /* the HWPT that an IOAS allocates by itself */
	OBJ_PLAIN, /* a paging HWPT that is no nesting parent */
	OBJ_S2,
	OBJ_VIOMMU,
	OBJ_NESTED,
	OBJ_DEV_VDEV, /* the device with a vDEVICE */
	OBJ_VDEVICE,
	OBJ_DEV_OTHER, /* behind the other IOMMU */
	OBJ_FAULT,
	OBJ_DEAD, /* a vDEVICE that was destroyed with its device */
	OBJ_FREED,
	MEM_NONE,
	MEM_RO,
	OBJ_NUM,
};

#define PLACEHOLDER 0x1dea0000ULL
#define OBJ(x) (PLACEHOLDER << 32 | OBJ_##x)
#define MEM(x) (PLACEHOLDER << 32 | MEM_##x)

/* Stands for every ID without an object */
#define NO_OBJECT (PLACEHOLDER << 32 | OBJ_NUM)

struct wrong {
	const char *what;
	void *member;
	size_t size;
	__u64 value;
	int rc;
};

/* Set one member of a command that works to a value, and expect rc */
#define WRONG(_member, _value, _rc)                                   \
	{                                                             \
		.what = #_member " = " #_value, .member = &(_member), \
		.size = sizeof(_member), .value = _value, .rc = _rc,  \
	}

/* All objects by @id; a command that fails changes neither @held nor @next */
struct wrong_vm {
	int fd;
	int held;
	__u32 next;
	__u64 id[OBJ_NUM];
};

FIXTURE(wrong)
{
	struct wrong_vm w;
	struct vm vm;
	int fd;
	int fault_fd;
	__u32 stdev2;
	__u32 stdev3;
	void *page;
};

FIXTURE_SETUP(wrong)
{
	size_t page = sysconf(_SC_PAGE_SIZE);
	struct vm *vm = &self->vm;
	__u32 stdev, id, dev2, dev3;
	int fd;

	NOTHING_LEFT();
	OK(vm_open(vm));
	fd = vm->fd;
	self->fd = fd;
	self->w.fd = fd;
	self->w.id[OBJ_IOAS] = vm->ioas;
	self->w.id[OBJ_DEV] = vm->dev;
	self->w.id[OBJ_STDEV] = vm->stdev;
	self->w.id[OBJ_S2] = vm->s2;
	self->w.id[OBJ_VIOMMU] = vm->viommu;

	/* Two objects that die; later ones must not get the ID of the first */
	OK(mock_plug(fd, vm->ioas, 0, &stdev, &dev2));
	OK(vdevice_alloc(fd, vm->viommu, dev2, 1, &id));
	OK(destroy(fd, stdev));
	self->w.id[OBJ_DEAD] = id;

	OK(hwpt_alloc(fd, vm->dev, vm->ioas, 0, &id));
	self->w.id[OBJ_PLAIN] = id;
	OK(nested_alloc(fd, vm->dev, vm->viommu, 0, &id));
	self->w.id[OBJ_NESTED] = id;
	OK(mock_plug(fd, vm->ioas, 0, &self->stdev2, &dev2));
	self->w.id[OBJ_DEV_VDEV] = dev2;
	OK(vdevice_alloc(fd, vm->viommu, dev2, VIRT_ID, &id));
	self->w.id[OBJ_VDEVICE] = id;
	OK(mock_plug(fd, vm->ioas, MOCK_FLAGS_DEVICE_SECOND_IOMMU,
		     &self->stdev3, &dev3));
	self->w.id[OBJ_DEV_OTHER] = dev3;
	OK(fault_queue_alloc(fd, &id, &self->fault_fd));
	self->w.id[OBJ_FAULT] = id;
	OK(ioas_alloc(fd, &id));
	OK(destroy(fd, id));
	self->w.id[OBJ_FREED] = id;
	{
		struct iommu_test_cmd cmd = {
			.size = sizeof(cmd),
			.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
			.id = vm->stdev,
			.mock_domain_replace.pt_id = vm->ioas,
		};

		OK(iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd));
		self->w.id[OBJ_AUTO] = cmd.mock_domain_replace.pt_id;
	}

	self->page = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	OK(munmap(self->page + page, page));
	self->w.id[MEM_NONE] = (uintptr_t)self->page + page;
	memset(self->page, 0, page);
	OK(mprotect(self->page, page, PROT_READ));
	self->w.id[MEM_RO] = (uintptr_t)self->page;
	self->w.held = mock_held(fd);
	ASSERT_EQ(HELD(1, 1, 1), self->w.held);
	self->w.next = next_id(fd);
}

FIXTURE_TEARDOWN(wrong)
{
	static const int order[] = { OBJ_VDEVICE, OBJ_NESTED, OBJ_PLAIN,
				     OBJ_FAULT };
	unsigned int i;

	/* A reference that a wrong command has leaked shows here */
	close(self->fault_fd);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		OK(destroy(self->fd, self->w.id[order[i]]));
	FAILS(ENOENT, destroy(self->fd, self->w.id[OBJ_DEAD]));
	EXPECT_EQ(0, destroy(self->fd, self->stdev2));
	EXPECT_EQ(0, destroy(self->fd, self->stdev3));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
	vm_close(&self->vm);
	NOTHING_LEFT();
}

static __u64 resolve(const __u64 *ids, __u64 value)
{
	return value >> 32 == PLACEHOLDER ? ids[(__u32)value] : value;
}

/**
 * struct command - A command that works, to be varied
 * @nr: The ioctl
 * @cmd: The structure
 * @size: Its size
 * @min: The smallest size that the kernel accepts
 * @out_id: The member with the ID of the object that it creates, or NULL
 * @out_count: The member with the number of complete commands, or NULL
 */
struct command {
	unsigned int nr;
	void *cmd;
	size_t size;
	size_t min;
	__u32 *out_id;
	__u32 *out_count;
};

static void run_one(struct __test_metadata *_metadata, struct wrong_vm *vm,
		    const struct command *c, const struct wrong *w, __u64 value)
{
	unsigned char right[256];
	int rc;

	ASSERT_GE(sizeof(right), c->size);
	memcpy(right, c->cmd, c->size);
	if (w->size == sizeof(__u64))
		*(__u64 *)w->member = value;
	else if (w->size == sizeof(__u32))
		*(__u32 *)w->member = value;
	else
		*(__u8 *)w->member = value;

	rc = iommufd_ioctl(vm->fd, c->nr, c->cmd);
	EXPECT_EQ(w->rc, rc) {
		TH_LOG("%s", w->what);
	}
	if (!rc && c->out_id) {
		EXPECT_EQ(0, destroy(vm->fd, *c->out_id)) {
			TH_LOG("%s", w->what);
		}
	}
	if (rc && c->out_count) {
		EXPECT_EQ(0, *c->out_count) {
			TH_LOG("%s", w->what);
		}
	}
	EXPECT_EQ(vm->held, mock_held(vm->fd)) {
		TH_LOG("%s", w->what);
	}
	EXPECT_EQ(vm->next, next_id(vm->fd)) {
		TH_LOG("%s", w->what);
	}
	memcpy(c->cmd, right, c->size);
}

static void run_table(struct __test_metadata *_metadata, struct wrong_vm *vm,
		      const struct command *c, const struct wrong *table,
		      size_t rows)
{
	const __u64 none[] = {
		0,
		NO_ID,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		vm->id[OBJ_DEAD],
		vm->id[OBJ_FREED],
	};
	unsigned int i, j;

	for (i = 0; i < rows; i++) {
		if (table[i].value != NO_OBJECT) {
			run_one(_metadata, vm, c, &table[i],
				resolve(vm->id, table[i].value));
			continue;
		}
		for (j = 0; j < ARRAY_SIZE(none); j++)
			run_one(_metadata, vm, c, &table[i], none[j]);
	}
}

/* A command with the size @len and the last byte @last */
static int run_size(struct wrong_vm *vm, const struct command *c, void *memory,
		    __u32 len, size_t at, unsigned char last)
{
	memcpy(memory, c->cmd, c->size);
	memcpy(memory, &len, sizeof(len));
	if (at)
		((unsigned char *)memory)[at] = last;
	return iommufd_ioctl(vm->fd, c->nr, memory);
}

/*
 * The sizes of a command: EINVAL below the smallest, E2BIG above its own unless
 * the excess is zero. Also commands in memory that cannot be read or written.
 */
static void run_sizes(struct __test_metadata *_metadata, struct wrong_vm *vm,
		      const struct command *c)
{
	static const size_t excess[] = { 1, 2, 4, 7, 8, 64, 1000, 3000 };
	size_t page = sysconf(_SC_PAGE_SIZE);
	size_t out = c->out_id ? (void *)c->out_id - c->cmd : 0;
	char *memory, *end;
	unsigned int i;
	__u32 len, id;

	memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)memory);

	for (len = 0; len < c->min; len++)
		FAILS(EINVAL, run_size(vm, c, memory, len, 0, 0));
	for (i = 0; i < ARRAY_SIZE(excess); i++) {
		len = c->size + excess[i];
		memset(memory, 0, page);
		OK(run_size(vm, c, memory, len, 0, 0));
		if (out) {
			memcpy(&id, memory + out, sizeof(id));
			OK(destroy(vm->fd, id));
		}
		FAILS(E2BIG, run_size(vm, c, memory, len, c->size, 1));
		FAILS(E2BIG, run_size(vm, c, memory, len, len - 1, 0x80));
	}
	memset(memory, 0, page);
	ASSERT_NE(0, run_size(vm, c, memory, 0x7fffffff, 0, 0));
	ASSERT_NE(0, run_size(vm, c, memory, 0xffffffff, 0, 0));

	/*
	 * One byte of it is missing, at either end of the size; then all of it
	 */
	end = memory + page;
	OK(munmap(end, page));
	FAILS(EFAULT, run_size(vm, c, end - c->size, c->size + 1, 0, 0));
	memcpy(end - c->size + 1, c->cmd, c->size - 1);
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, end - c->size + 1));
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, end));
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, NULL));

	/* If the result cannot be returned there must be none */
	memcpy(memory, c->cmd, c->size);
	OK(mprotect(memory, page, PROT_READ));
	FAILS(EFAULT, iommufd_ioctl(vm->fd, c->nr, memory));
	EXPECT_EQ(vm->held, mock_held(vm->fd));
	EXPECT_EQ(vm->next, next_id(vm->fd));
	munmap(memory, page);
}

#endif
