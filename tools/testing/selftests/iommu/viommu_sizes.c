// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the sizes that the ioctls of vIOMMUs accept
 *
 * The minimum is the size of the structure's first release, so that programs
 * built for it still work. The kernel writes nothing beyond the size in the
 * command.
 */
#include "viommu_utils.h"

FIXTURE(sizes)
{
	struct vm vm;
	int fd;
};

FIXTURE_SETUP(sizes)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
}

FIXTURE_TEARDOWN(sizes)
{
	EXPECT_EQ(0, vm_take_apart(&self->vm));
	vm_close(&self->vm);
	NOTHING_LEFT();
}

#define GUARD 0xa5
#define LARGEST 200

/**
 * struct sized - A command that creates an object, without data beyond @min
 * @nr: The ioctl
 * @cmd: The structure, as this kernel knows it
 * @size: Its size
 * @min: The minimum size
 * @out_id: Offset of the object's ID
 * @out_fd: Offset of the file descriptor, 0 if there is none
 */
struct sized {
	unsigned int nr;
	const void *cmd;
	size_t size;
	size_t min;
	size_t out_id;
	size_t out_fd;
};

/* The number of bytes of @buf from @at on that are not @value */
static unsigned int changed(const unsigned char *buf, size_t at,
			    unsigned char value)
{
	unsigned int num = 0;

	for (; at < LARGEST; at++)
		num += buf[at] != value;
	return num;
}

/* The command of @len bytes in @buf, followed by a guard */
static int run_sized(int fd, const struct sized *s, unsigned char *buf,
		     __u32 len)
{
	memset(buf, GUARD, LARGEST);
	memset(buf, 0, len);
	memcpy(buf, s->cmd, len < s->size ? len : s->size);
	memcpy(buf, &len, len < sizeof(len) ? len : sizeof(len));
	return iommufd_ioctl(fd, s->nr, buf);
}

static void expect_sizes(struct __test_metadata *_metadata, int fd,
			 const struct sized *s)
{
	unsigned char buf[LARGEST], before[LARGEST];
	__u32 len, id, held = mock_held(fd), next = next_id(fd);
	int event_fd;

	for (len = sizeof(__u32); len < s->min; len++) {
		ASSERT_EQ(-EINVAL, run_sized(fd, s, buf, len)) {
			TH_LOG("size %u", len);
		}
		ASSERT_EQ(0, memcmp(buf + sizeof(len),
				    (char *)s->cmd + sizeof(len),
				    len - sizeof(len)));
		ASSERT_EQ(0, changed(buf, len, GUARD));
	}

	for (; len < LARGEST; len++) {
		ASSERT_EQ(0, run_sized(fd, s, buf, len)) {
			TH_LOG("size %u", len);
		}
		ASSERT_EQ(0, changed(buf, len, GUARD)) {
			TH_LOG("size %u", len);
		}
		memcpy(&id, buf + s->out_id, sizeof(id));
		if (s->out_fd) {
			memcpy(&event_fd, buf + s->out_fd, sizeof(event_fd));
			OK(close(event_fd));
		}
		OK(destroy(fd, id));
	}

	/* Each byte beyond the known ones */
	for (len = s->size + 1; len < LARGEST; len++) {
		memset(buf, 0, sizeof(buf));
		memcpy(buf, s->cmd, s->size);
		memcpy(buf, &len, sizeof(len));
		buf[len - 1] = 1;
		memcpy(before, buf, sizeof(buf));
		ASSERT_EQ(-E2BIG, iommufd_ioctl(fd, s->nr, buf)) {
			TH_LOG("size %u", len);
		}
		ASSERT_EQ(0, memcmp(before, buf, sizeof(buf)));
		buf[len - 1] = 0;
		buf[s->size] = 0x80;
		ASSERT_EQ(-E2BIG, iommufd_ioctl(fd, s->nr, buf));
	}
	EXPECT_EQ(held, mock_held(fd));
	EXPECT_EQ(next, next_id(fd));
}

TEST_F(sizes, viommu_alloc)
{
	const struct iommu_viommu_alloc cmd = {
		.type = IOMMU_VIOMMU_TYPE_SELFTEST,
		.dev_id = self->vm.dev,
		.hwpt_id = self->vm.s2,
	};
	const struct sized s = {
		.nr = IOMMU_VIOMMU_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = 24,
		.out_id = offsetof(typeof(cmd), out_viommu_id),
	};

	ASSERT_EQ(s.min, s.out_id + sizeof(cmd.out_viommu_id));
	ASSERT_LE(40, s.size);
	expect_sizes(_metadata, self->fd, &s);
}

TEST_F(sizes, vdevice_alloc)
{
	const struct iommu_vdevice_alloc cmd = {
		.viommu_id = self->vm.viommu,
		.dev_id = self->vm.dev,
		.virt_id = VIRT_ID,
	};
	const struct sized s = {
		.nr = IOMMU_VDEVICE_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = 24,
		.out_id = offsetof(typeof(cmd), out_vdevice_id),
	};

	ASSERT_EQ(24, s.size);
	expect_sizes(_metadata, self->fd, &s);
}

TEST_F(sizes, veventq_alloc)
{
	const struct iommu_veventq_alloc cmd = {
		.viommu_id = self->vm.viommu,
		.type = IOMMU_VEVENTQ_TYPE_SELFTEST,
		.veventq_depth = 1,
	};
	const struct sized s = {
		.nr = IOMMU_VEVENTQ_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = 28,
		.out_id = offsetof(typeof(cmd), out_veventq_id),
		.out_fd = offsetof(typeof(cmd), out_veventq_fd),
	};

	ASSERT_EQ(s.min, s.out_fd + sizeof(cmd.out_veventq_fd));
	ASSERT_EQ(32, s.size);
	expect_sizes(_metadata, self->fd, &s);
}

TEST_F(sizes, hw_queue_alloc)
{
	const struct iommu_hw_queue_alloc cmd = {
		.viommu_id = self->vm.viommu,
		.type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
		.nesting_parent_iova = MOCK_APERTURE_START,
		.length = 64,
	};
	const struct sized s = {
		.nr = IOMMU_HW_QUEUE_ALLOC,
		.cmd = &cmd,
		.size = sizeof(cmd),
		.min = 40,
		.out_id = offsetof(typeof(cmd), out_hw_queue_id),
	};

	ASSERT_EQ(40, s.size);
	expect_sizes(_metadata, self->fd, &s);
}

TEST_HARNESS_MAIN
