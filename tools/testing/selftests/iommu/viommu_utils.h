/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the tests of vIOMMUs on the mock driver: ioctls with its types, its
 * own operations, and checks that nothing is left behind. Functions return 0 or
 * -errno unless stated otherwise.
 */
#ifndef __SELFTEST_VIOMMU_UTILS
#define __SELFTEST_VIOMMU_UTILS

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#define __EXPORTED_HEADERS__
#include <linux/types.h>

#include "../kselftest_harness.h"
#include "../../../../drivers/iommu/iommufd/iommufd_test.h"
#include "viommu_ioctl.h"

#define VIRT_ID 0x1234
/* No object has this ID */
#define NO_ID 0x7ffffff0

/* Each of these is one statement, also after an if */
#define OK(_call) ({ ASSERT_EQ(0, _call); })
#define FAILS(_errno, _call) ({ EXPECT_EQ(-(_errno), _call); })
#define NOTHING_LEFT()                                              \
	({                                                          \
		const char *_left = left_behind();                  \
								    \
		EXPECT_STREQ("nothing", _left ? _left : "nothing"); \
	})

/* The memory mapped into each IOAS, shared with child processes */
static unsigned char *vm_memory;
static size_t vm_memory_size;

static __attribute__((constructor)) void vm_memory_setup(void)
{
	vm_memory_size = 16 * sysconf(_SC_PAGE_SIZE);
	vm_memory = mmap(NULL, vm_memory_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm_memory == MAP_FAILED)
		exit(KSFT_FAIL);
}

/* Shorter names for the shared wrappers that need no type of the mock */
#define destroy(...) iommufd_destroy(__VA_ARGS__)
#define ioas_alloc(...) iommufd_ioas_alloc(__VA_ARGS__)
#define ioas_map(...) iommufd_ioas_map(__VA_ARGS__)
#define ioas_unmap(...) iommufd_ioas_unmap(__VA_ARGS__)
#define hwpt_alloc(...) iommufd_hwpt_alloc(__VA_ARGS__)
#define vdevice_alloc(...) iommufd_vdevice_alloc(__VA_ARGS__)

/*
 * Other threads may hold the object for a moment: they use it, or got its ID
 * when that was the ID of another object.
 */
static int destroy_when_free(int fd, __u32 id)
{
	int rc;

	do {
		rc = destroy(fd, id);
	} while (rc == -EBUSY);
	return rc;
}

/* The next ID: a different one means that an ID was left reserved */
static __u32 next_id(int fd)
{
	__u32 id = 0;

	if (!ioas_alloc(fd, &id))
		destroy(fd, id);
	return id;
}

static int ioas_map_memory(int fd, __u32 ioas)
{
	return ioas_map(fd, ioas,
			IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
			vm_memory, vm_memory_size, MOCK_APERTURE_START);
}

static int fault_queue_alloc(int fd, __u32 *id, int *fault_fd)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd) };
	int rc = iommufd_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &cmd);

	if (!rc) {
		*id = cmd.out_fault_id;
		*fault_fd = cmd.out_fault_fd;
	}
	return rc;
}

/* A nested HWPT, @fault is 0 for none */
static int nested_alloc(int fd, __u32 dev, __u32 pt, __u32 fault, __u32 *id)
{
	struct iommu_hwpt_selftest data = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };

	return iommufd_nested_alloc(fd, dev, pt, fault,
				    IOMMU_HWPT_DATA_SELFTEST, &data,
				    sizeof(data), id);
}

/* @data may be NULL */
static int viommu_alloc(int fd, __u32 dev, __u32 hwpt,
			struct iommu_viommu_selftest *data, __u32 *id)
{
	return iommufd_viommu_alloc(fd, dev, hwpt, IOMMU_VIOMMU_TYPE_SELFTEST,
				    data, data ? sizeof(*data) : 0, id);
}

/* The type that needs no driver support */
static int viommu_alloc_default(int fd, __u32 dev, __u32 hwpt, __u32 *id)
{
	return iommufd_viommu_alloc(fd, dev, hwpt, IOMMU_VIOMMU_TYPE_DEFAULT,
				    NULL, 0, id);
}

static int veventq_alloc(int fd, __u32 viommu, __u32 depth, __u32 *id,
			 int *event_fd)
{
	return iommufd_veventq_alloc(fd, viommu, IOMMU_VEVENTQ_TYPE_SELFTEST,
				     depth, id, event_fd);
}

static int hw_queue_alloc(int fd, __u32 viommu, __u32 index, __u64 iova,
			  __u64 length, __u32 *id)
{
	return iommufd_hw_queue_alloc(fd, viommu, IOMMU_HW_QUEUE_TYPE_SELFTEST,
				      index, iova, length, id);
}

/* The record of an event */
struct vevent_record {
	struct iommufd_vevent_header header;
	struct iommu_viommu_event_selftest event;
};

/* On return @num is the number of commands that are complete */
static int invalidate(int fd, __u32 id,
		      const struct iommu_viommu_invalidate_selftest *cmds,
		      __u32 *num)
{
	return iommufd_invalidate(fd, id, IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
				  cmds, sizeof(*cmds), num);
}

static int invalidate_one(int fd, __u32 id, __u32 vdev_id, __u32 cache_id)
{
	struct iommu_viommu_invalidate_selftest cmd = {
		.vdev_id = vdev_id,
		.cache_id = cache_id,
	};
	__u32 num = 1;
	int rc = invalidate(fd, id, &cmd, &num);

	/* The count and the result agree */
	if (num != (rc ? 0 : 1))
		return -EPROTO;
	return rc;
}

/*
 * A mock device attached to @pt: @stdev unplugs it, @dev is its ID in iommufd
 */
static int mock_plug(int fd, __u32 pt, __u32 flags, __u32 *stdev, __u32 *dev)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
		.id = pt,
		.mock_domain_flags.dev_flags = flags,
	};
	int rc = iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);

	if (!rc) {
		*stdev = cmd.mock_domain_flags.out_stdev_id;
		*dev = cmd.mock_domain_flags.out_idev_id;
	}
	return rc;
}

static int mock_attach(int fd, __u32 stdev, __u32 pt)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
		.id = stdev,
		.mock_domain_replace.pt_id = pt,
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

/* 0 if entry @id of the device's cache is @value */
static int mock_check_cache(int fd, __u32 dev, __u32 id, __u32 value)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_DEV_CHECK_CACHE,
		.id = dev,
		.check_dev_cache = { .id = id, .cache = value },
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

/*
 * Bit n is set if entry n of the device's cache is valid; -1 for other values
 */
static int mock_cached(int fd, __u32 dev)
{
	const __u32 valid = IOMMU_TEST_DEV_CACHE_DEFAULT;
	int id, set = 0;

	for (id = 0; id < MOCK_DEV_CACHE_NUM; id++) {
		if (!mock_check_cache(fd, dev, id, valid))
			set |= 1 << id;
		else if (mock_check_cache(fd, dev, id, 0))
			return -1;
	}
	return set;
}

/* Let the device raise an event for its VM */
static int mock_trigger_vevent(int fd, __u32 dev)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_TRIGGER_VEVENT,
		.trigger_vevent.dev_id = dev,
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

/* Let the driver fail once, after @skip more calls */
static int mock_fail(int fd, __u32 call, __u32 error, __u32 skip)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_VIOMMU_FAIL,
		.viommu_fail = { .call = call, .error = error, .skip = skip },
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

/*
 * The objects that the mock driver holds as one number: vIOMMUs, vDEVICEs and
 * nested HWPTs, plus the hardware queues
 */
#define HELD(viommus, vdevices, nested) \
	((viommus) << 20 | (vdevices) << 10 | (nested))
#define HELD_HW_QUEUES(num) ((num) << 28)

static int mock_held(int fd)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_VIOMMU_COUNT,
	};

	if (iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd))
		return -1;
	return HELD(cmd.viommu_count.out_viommus, cmd.viommu_count.out_vdevices,
		    cmd.viommu_count.out_nested) +
	       HELD_HW_QUEUES(cmd.viommu_count.out_hw_queues);
}

static unsigned long vm_pinned_kb(void)
{
	unsigned long kb = ~0UL;
	char line[200];
	FILE *f;

	f = fopen("/proc/self/status", "r");
	if (!f)
		return kb;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %lu", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

static int mock_devices(void)
{
	struct dirent *entry;
	int num = 0;
	DIR *dir;

	dir = opendir("/sys/bus/iommufd_mock/devices");
	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		num += entry->d_name[0] != '.';
	closedir(dir);
	return num;
}

/*
 * With every iommufd closed the driver has no objects, the bus no devices, and
 * no page is pinned. Returns NULL, or what is left.
 */
static const char *left_behind(void)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_MD_CHECK_REFS,
		.check_refs = {
			.length = vm_memory_size,
			.uptr = (uintptr_t)vm_memory,
		},
	};
	const char *what = NULL;
	unsigned int call;
	int fd;

	fd = open("/dev/iommu", O_RDWR);
	if (fd < 0)
		return "no /dev/iommu";
	for (call = 0; call < MOCK_VIOMMU_FAIL_NUM; call++)
		mock_fail(fd, call, 0, 0);
	if (mock_held(fd))
		what = "objects of the driver";
	else if (iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd))
		what = "references to pages";
	else if (mock_devices())
		what = "mock devices";
	else if (vm_pinned_kb())
		what = "VmPin";
	close(fd);
	return what;
}

/*
 * The objects that a VMM has for one device: memory, the device, the nesting
 * parent and a vIOMMU. The device is attached to the IOAS.
 */
struct vm {
	int fd;
	__u32 ioas;
	__u32 stdev;
	__u32 dev;
	__u32 s2;
	__u32 viommu;
};

/* After a failure earlier objects stay; vm_close() removes them */
static int vm_open(struct vm *vm)
{
	int rc;

	vm->fd = open("/dev/iommu", O_RDWR);
	if (vm->fd < 0)
		return -errno;
	rc = ioas_alloc(vm->fd, &vm->ioas);
	if (!rc)
		rc = ioas_map_memory(vm->fd, vm->ioas);
	if (!rc)
		rc = mock_plug(vm->fd, vm->ioas, 0, &vm->stdev, &vm->dev);
	if (!rc)
		rc = hwpt_alloc(vm->fd, vm->dev, vm->ioas,
				IOMMU_HWPT_ALLOC_NEST_PARENT, &vm->s2);
	if (!rc)
		rc = viommu_alloc(vm->fd, vm->dev, vm->s2, NULL, &vm->viommu);
	return rc;
}

static void vm_close(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	vm->fd = -1;
}

/*
 * Destroy the objects of vm_open() one by one. Each must be free at once, so a
 * leaked reference shows here. Returns the first error.
 */
static int vm_take_apart(struct vm *vm)
{
	const __u32 ids[] = { vm->stdev, vm->viommu, vm->s2, vm->ioas };
	unsigned int i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		rc = destroy(vm->fd, ids[i]);
		if (rc)
			return rc;
	}
	return mock_held(vm->fd) ? -EUCLEAN : 0;
}

#endif
