// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of VF tokens: who may open a PF and its VFs that are bound to vfio-pci, by
 * their device files and by their groups.
 *
 * Expects a PF with two VFs and an edu device bound to vfio-pci, and a VF of another
 * PF that is bound to pci-pf-stub, see tests/vf-token.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "edu-test-lib.h"

/* The size of struct vfio_device_bind_iommufd before it had a token */
#define BIND_SIZE_V1		16

struct dev {
	char bdf[16];
	char cdev[32];
	char group[32];
};

struct token {
	uint8_t uuid[16];
};

static const struct token right = { {
	0xbd, 0x8d, 0x9d, 0x2b, 0x5a, 0x5f, 0x4f, 0x5a,
	0xa2, 0x11, 0xf5, 0x91, 0x51, 0x4b, 0xa1, 0xf3,
} };
/* Differs in the last bit only */
static const struct token other = { {
	0xbd, 0x8d, 0x9d, 0x2b, 0x5a, 0x5f, 0x4f, 0x5a,
	0xa2, 0x11, 0xf5, 0x91, 0x51, 0x4b, 0xa1, 0xf2,
} };

/* The device with this directory in sysfs, or the first one if it is a pattern */
static int dev_find(struct dev *dev, const char *pattern)
{
	char path[PATH_MAX], link[PATH_MAX];
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		return -ENODEV;
	if (!realpath(found.gl_pathv[0], path))
		return -errno;
	globfree(&found);
	snprintf(dev->bdf, sizeof(dev->bdf), "%s", strrchr(path, '/') + 1);

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", dev->bdf);
	if (!realpath(link, path))
		return -errno;
	snprintf(dev->group, sizeof(dev->group), "/dev/vfio%s", strrchr(path, '/'));

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/vfio-dev/vfio*", dev->bdf);
	if (glob(link, 0, NULL, &found))
		return -ENODEV;
	snprintf(dev->cdev, sizeof(dev->cdev), "/dev/vfio/devices%s",
		 strrchr(found.gl_pathv[0], '/'));
	globfree(&found);
	return 0;
}

/* BIND with @token, which may be NULL */
static int dev_bind(int fd, int iommufd, const struct token *token)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.flags = token ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0,
		.iommufd = iommufd,
		.token_uuid_ptr = (uintptr_t)token,
	};

	return xioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

/* Returns the file of the open device, or a negative errno */
static int cdev_open(const struct dev *dev, const struct token *token)
{
	int fd = open(dev->cdev, O_RDWR | O_CLOEXEC);
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	int rc;

	if (fd < 0 || iommufd < 0)
		return -ENODEV;
	rc = dev_bind(fd, iommufd, token);
	close(iommufd);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

/* The same for the group path; each device has a container of its own */
static int group_open(const struct dev *dev, const struct token *token)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int group = open(dev->group, O_RDWR | O_CLOEXEC);
	char name[80];
	int i, len, fd;

	if (container < 0 || group < 0 ||
	    ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -ENODEV;
	len = sprintf(name, "%s", dev->bdf);
	if (token) {
		len += sprintf(name + len, " vf_token=");
		for (i = 0; i < 16; i++)
			len += sprintf(name + len, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				       token->uuid[i]);
	}
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd < 0)
		fd = -errno;
	close(group);
	close(container);
	return fd;
}

#define ASSERT_OPENS(fd, expr)							\
	do {									\
		fd = (expr);							\
		ASSERT_LE(0, fd) {						\
			TH_LOG("%s: %s", #expr, strerror(-fd));			\
		}								\
	} while (0)

/* A PF without users, whose token is @right, and its VFs */
struct vf_token {
	struct dev pf;
	struct dev vf[2];
	int kmsg;
};

FIXTURE(token)
{
	struct vf_token set;
	int (*open)(const struct dev *dev, const struct token *token);
};

FIXTURE_VARIANT(token)
{
	int (*open)(const struct dev *dev, const struct token *token);
};

FIXTURE_VARIANT_ADD(token, cdev) { .open = cdev_open };
FIXTURE_VARIANT_ADD(token, group) { .open = group_open };

static int set_up(struct vf_token *set)
{
	char path[PATH_MAX];
	int rc, fd, i;

	set->kmsg = kmsg_open();
	if (set->kmsg < 0)
		return set->kmsg;
	rc = dev_find(&set->pf, "/sys/bus/pci/drivers/vfio-pci/*/virtfn0/physfn");
	for (i = 0; i < 2 && !rc; i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/virtfn%d",
			 set->pf.bdf, i);
		rc = dev_find(&set->vf[i], path);
	}
	if (rc)
		return rc;
	fd = group_open(&set->pf, &right);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

FIXTURE_SETUP(token)
{
	self->open = variant->open;
	ASSERT_EQ(0, set_up(&self->set));
}

FIXTURE_TEARDOWN(token)
{
	EXPECT_EQ(0, kmsg_count(self->set.kmsg, "WARNING:|BUG:"));
}

TEST_F(token, vf)
{
	const struct dev *vf = self->set.vf;
	int fd[2];

	EXPECT_EQ(-EACCES, self->open(&vf[0], NULL));
	EXPECT_EQ(-EACCES, self->open(&vf[0], &other));
	ASSERT_OPENS(fd[0], self->open(&vf[0], &right));

	/* A VF in use makes no difference to another */
	EXPECT_EQ(-EACCES, self->open(&vf[1], NULL));
	EXPECT_EQ(-EACCES, self->open(&vf[1], &other));
	ASSERT_OPENS(fd[1], self->open(&vf[1], &right));
	close(fd[1]);
	close(fd[0]);

	EXPECT_EQ(-EACCES, self->open(&vf[0], NULL));
	ASSERT_OPENS(fd[0], self->open(&vf[0], &right));
	close(fd[0]);
}

TEST_F(token, pf)
{
	const struct dev *pf = &self->set.pf, *vf = self->set.vf;
	int pf_fd, vf_fd;

	ASSERT_OPENS(vf_fd, self->open(&vf[0], &right));
	EXPECT_EQ(-EACCES, self->open(pf, NULL));
	EXPECT_EQ(-EACCES, self->open(pf, &other));
	ASSERT_OPENS(pf_fd, self->open(pf, &right));
	close(pf_fd);
	close(vf_fd);

	/* Without users of VFs none is needed, and none changes nothing */
	ASSERT_OPENS(pf_fd, self->open(pf, NULL));
	EXPECT_EQ(-EACCES, self->open(&vf[0], NULL));
	EXPECT_EQ(-EACCES, self->open(&vf[0], &other));
	ASSERT_OPENS(vf_fd, self->open(&vf[0], &right));
	close(vf_fd);
	close(pf_fd);

	/* A token becomes the PF's, and outlives this user of the PF */
	ASSERT_OPENS(pf_fd, self->open(pf, &other));
	EXPECT_EQ(-EACCES, self->open(&vf[0], &right));
	close(pf_fd);
	EXPECT_EQ(-EACCES, self->open(&vf[0], &right));
	ASSERT_OPENS(vf_fd, self->open(&vf[0], &other));
	EXPECT_EQ(-EACCES, self->open(pf, &right));
	close(vf_fd);
}

TEST_F(token, feature)
{
	const struct dev *vf = self->set.vf;
	struct {
		struct vfio_device_feature header;
		struct token token;
	} feature = {
		.header.argsz = sizeof(feature),
		.header.flags = VFIO_DEVICE_FEATURE_PCI_VF_TOKEN |
				VFIO_DEVICE_FEATURE_SET,
		.token = other,
	};
	int pf_fd, vf_fd;

	ASSERT_OPENS(pf_fd, self->open(&self->set.pf, NULL));
	ASSERT_EQ(0, xioctl(pf_fd, VFIO_DEVICE_FEATURE, &feature));
	EXPECT_EQ(-EACCES, self->open(&vf[0], &right));
	ASSERT_OPENS(vf_fd, self->open(&vf[0], &other));
	close(vf_fd);
	close(pf_fd);
}

/* A token is no use for a device without VFs, and for a VF of a kernel driver */
TEST_F(token, without_use)
{
	struct dev dev;
	int fd;

	ASSERT_EQ(0, dev_find(&dev, "/sys/bus/pci/drivers/pci-pf-stub/*/virtfn0"));
	EXPECT_EQ(-EINVAL, self->open(&dev, &right));
	ASSERT_OPENS(fd, self->open(&dev, NULL));
	close(fd);
}

/* VFIO_DEVICE_BIND_IOMMUFD itself */
FIXTURE(bind)
{
	struct vf_token set;
	int iommufd;
	int pf;
	int vf;
};

FIXTURE_SETUP(bind)
{
	ASSERT_EQ(0, set_up(&self->set));
	self->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->iommufd);
	self->pf = open(self->set.pf.cdev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->pf);
	self->vf = open(self->set.vf[0].cdev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->vf);
}

FIXTURE_TEARDOWN(bind)
{
	close(self->pf);
	close(self->vf);
	close(self->iommufd);
	EXPECT_EQ(0, kmsg_count(self->set.kmsg, "WARNING:|BUG:"));
}

TEST_F(bind, layout)
{
	EXPECT_EQ(1, VFIO_DEVICE_BIND_FLAG_TOKEN);
	EXPECT_EQ(BIND_SIZE_V1,
		  offsetof(struct vfio_device_bind_iommufd, token_uuid_ptr));
	EXPECT_EQ(BIND_SIZE_V1 + 8, sizeof(struct vfio_device_bind_iommufd));
}

/* Each refused call leaves the file as it was: the next one may succeed */
TEST_F(bind, errno_arguments)
{
	const struct vfio_device_bind_iommufd good = {
		.argsz = sizeof(good),
		.flags = VFIO_DEVICE_BIND_FLAG_TOKEN,
		.iommufd = self->iommufd,
		.token_uuid_ptr = (uintptr_t)&right,
	};
	const size_t page = sysconf(_SC_PAGESIZE);
	struct vfio_device_bind_iommufd bad;
	uint8_t *end;
	int bit;

	for (bit = 1; bit < 32; bit++) {
		bad = good;
		bad.flags |= BIT(bit);
		EXPECT_EQ(-EINVAL, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
		bad.flags = BIT(bit);
		EXPECT_EQ(-EINVAL, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	}

	bad = good;
	bad.argsz = sizeof(bad) - 1;
	EXPECT_EQ(-EINVAL, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	bad.argsz = BIND_SIZE_V1;
	EXPECT_EQ(-EINVAL, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	bad.flags = 0;
	EXPECT_EQ(-EACCES, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	bad.argsz = BIND_SIZE_V1 - 1;
	EXPECT_EQ(-EINVAL, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));

	/* A token, then a structure, that end in memory that is not there */
	end = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)end);
	end += page;
	ASSERT_EQ(0, munmap(end, page));
	bad = good;
	bad.token_uuid_ptr = 0;
	EXPECT_EQ(-EFAULT, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	memcpy(end - 15, &right, 15);
	bad.token_uuid_ptr = (uintptr_t)end - 15;
	EXPECT_EQ(-EFAULT, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	memcpy(end - BIND_SIZE_V1, &good, BIND_SIZE_V1);
	EXPECT_EQ(-EFAULT, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD,
				  end - BIND_SIZE_V1));

	bad = good;
	EXPECT_EQ(0, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &bad));
	EXPECT_NE(0, bad.out_devid);
}

/* A structure without a token, or with more than one behind it, stays valid */
TEST_F(bind, sizes)
{
	uint8_t *end = mmap(NULL, 2 * sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct {
		struct vfio_device_bind_iommufd bind;
		uint64_t more;
	} large = {
		.bind.argsz = sizeof(large),
		.bind.flags = VFIO_DEVICE_BIND_FLAG_TOKEN,
		.bind.iommufd = self->iommufd,
		.bind.token_uuid_ptr = (uintptr_t)&right,
		.more = ~0ULL,
	};
	struct vfio_device_bind_iommufd *small;

	ASSERT_NE(MAP_FAILED, (void *)end);
	end += sysconf(_SC_PAGESIZE);
	ASSERT_EQ(0, munmap(end, sysconf(_SC_PAGESIZE)));
	small = (void *)(end - BIND_SIZE_V1);
	small->argsz = BIND_SIZE_V1;
	small->iommufd = self->iommufd;
	EXPECT_EQ(0, xioctl(self->pf, VFIO_DEVICE_BIND_IOMMUFD, small));
	EXPECT_NE(0, small->out_devid);

	EXPECT_EQ(0, xioctl(self->vf, VFIO_DEVICE_BIND_IOMMUFD, &large));
	EXPECT_NE(0, large.bind.out_devid);
	EXPECT_NE(small->out_devid, large.bind.out_devid);
}

/* After a refusal the same file can be bound, and the group is not blocked */
TEST_F(bind, refused)
{
	int fd;

	EXPECT_EQ(-EACCES, dev_bind(self->vf, self->iommufd, NULL));
	ASSERT_OPENS(fd, group_open(&self->set.vf[0], &right));
	EXPECT_EQ(-EBUSY, dev_bind(self->vf, self->iommufd, &right));
	close(fd);
	EXPECT_EQ(-EACCES, dev_bind(self->vf, self->iommufd, &other));
	EXPECT_EQ(0, dev_bind(self->vf, self->iommufd, &right));
	EXPECT_EQ(-EINVAL, dev_bind(self->vf, self->iommufd, &right));
}

/* A bind of the PF that cannot succeed does not set its token */
TEST_F(bind, pf_token_stays)
{
	int fd = open(self->set.pf.cdev, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, dev_bind(self->pf, 9999, &other));
	EXPECT_EQ(-EBADFD, dev_bind(self->pf, self->vf, &other));
	ASSERT_EQ(0, dev_bind(self->pf, self->iommufd, NULL));
	EXPECT_EQ(-EINVAL, dev_bind(self->pf, self->iommufd, &other));
	EXPECT_EQ(-EINVAL, dev_bind(fd, self->iommufd, &other));
	EXPECT_EQ(-EACCES, dev_bind(self->vf, self->iommufd, &other));
	EXPECT_EQ(0, dev_bind(self->vf, self->iommufd, &right));
	close(fd);
}

/* Users of groups and of device files count alike */
TEST_F(bind, beside_groups)
{
	int fd;

	ASSERT_OPENS(fd, group_open(&self->set.vf[1], &right));
	EXPECT_EQ(-EACCES, dev_bind(self->pf, self->iommufd, NULL));
	EXPECT_EQ(-EACCES, dev_bind(self->pf, self->iommufd, &other));
	close(fd);
	ASSERT_EQ(0, dev_bind(self->vf, self->iommufd, &right));
	EXPECT_EQ(-EACCES, group_open(&self->set.pf, NULL));
	EXPECT_EQ(-EACCES, group_open(&self->set.pf, &other));
	ASSERT_OPENS(fd, group_open(&self->set.pf, &right));
	close(fd);
}

/* A device that is neither PF nor VF */
TEST_F(bind, neither)
{
	struct edu edu = {};

	ASSERT_EQ(0, edu_open(&edu, 0));
	EXPECT_EQ(-EINVAL, dev_bind(edu.fd, self->iommufd, &right));
	EXPECT_EQ(0, dev_bind(edu.fd, self->iommufd, NULL));
	close(edu.fd);
}

TEST_HARNESS_MAIN
