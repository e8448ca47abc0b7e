// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the mock driver's own interface
 *
 * Other test programs use the mock too, with its numbers compiled in. So these
 * tests use numbers where the header has names.
 */
#include "viommu_utils.h"

#define MOCK_VIOMMU 0xdeadbeef
#define MOCK_INVALIDATION 0xdeadbeef
#define MOCK_NO_INVALIDATION 0xdadbeef
#define MOCK_EVENT 0xbeefbeef
#define MOCK_QUEUE 0xdeadbeef
#define MOCK_CACHED 0xbaddad

FIXTURE(mock)
{
	struct vm vm;
	__u32 vdevice;
	int fd;
};

FIXTURE_SETUP(mock)
{
	NOTHING_LEFT();
	OK(vm_open(&self->vm));
	self->fd = self->vm.fd;
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
}

FIXTURE_TEARDOWN(mock)
{
	EXPECT_EQ(0, destroy(self->fd, self->vdevice));
	EXPECT_EQ(0, vm_take_apart(&self->vm));
	vm_close(&self->vm);
	NOTHING_LEFT();
}

/* An operation with two words after the header */
static int mock_op(int fd, __u32 op, __u32 id, __u32 word0, __u32 word1)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = op,
		.id = id,
		.check_dev_cache = { .id = word0, .cache = word1 },
	};

	return iommufd_ioctl(fd, IOMMU_TEST_CMD, &cmd);
}

TEST_F(mock, numbers)
{
	const __u32 base = IOMMU_TEST_OP_TRIGGER_IOPF;
	__u32 op;

	EXPECT_EQ(_IO(';', 0x80 + 32), IOMMU_TEST_CMD);
	EXPECT_EQ(base + 1, IOMMU_TEST_OP_DEV_CHECK_CACHE);
	EXPECT_EQ(base + 2, IOMMU_TEST_OP_TRIGGER_VEVENT);
	EXPECT_EQ(base + 3, IOMMU_TEST_OP_PASID_ATTACH);
	EXPECT_EQ(base + 4, IOMMU_TEST_OP_PASID_REPLACE);
	EXPECT_EQ(base + 5, IOMMU_TEST_OP_PASID_DETACH);
	EXPECT_EQ(base + 6, IOMMU_TEST_OP_PASID_CHECK_HWPT);
	EXPECT_EQ(1 << 2, MOCK_FLAGS_DEVICE_PASID);
	EXPECT_EQ(MOCK_VIOMMU, IOMMU_VIOMMU_TYPE_SELFTEST);
	EXPECT_EQ(MOCK_INVALIDATION, IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST);
	EXPECT_EQ(MOCK_NO_INVALIDATION,
		  IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID);
	EXPECT_EQ(MOCK_EVENT, IOMMU_VEVENTQ_TYPE_SELFTEST);
	EXPECT_EQ(MOCK_QUEUE, IOMMU_HW_QUEUE_TYPE_SELFTEST);
	EXPECT_EQ(MOCK_CACHED, IOMMU_TEST_DEV_CACHE_DEFAULT);
	EXPECT_EQ(24, sizeof(struct iommu_viommu_selftest));
	EXPECT_EQ(12, sizeof(struct iommu_viommu_invalidate_selftest));
	EXPECT_EQ(4, sizeof(struct iommu_viommu_event_selftest));
	EXPECT_EQ(4, offsetof(struct iommu_hwpt_selftest, pagetable_type));

	/* Two operations without a meaning here */
	for (op = base + 7; op < base + 9; op++)
		FAILS(EOPNOTSUPP, mock_op(self->fd, op, self->vm.dev, 0, 0));
}

TEST_F(mock, device_cache)
{
	__u32 i;

	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, mock_op(self->fd, IOMMU_TEST_OP_DEV_CHECK_CACHE,
				     self->vm.dev, i, MOCK_CACHED));
		FAILS(EINVAL, mock_op(self->fd, IOMMU_TEST_OP_DEV_CHECK_CACHE,
				      self->vm.dev, i, 0));
	}
	FAILS(EINVAL, mock_op(self->fd, IOMMU_TEST_OP_DEV_CHECK_CACHE,
			      self->vm.dev, 4, MOCK_CACHED));
}

TEST_F(mock, viommu_data)
{
	const size_t page = sysconf(_SC_PAGE_SIZE);
	const __u32 in_data = 0xc0ffee;
	__u64 data[3] = { in_data };
	__u32 id, *region;
	void *map;
	int shift;

	/* in_data and out_data, offset, length */
	OK(iommufd_viommu_alloc(self->fd, self->vm.dev, self->vm.s2,
				MOCK_VIOMMU, data, sizeof(data), &id));
	EXPECT_EQ((__u64)in_data << 32 | in_data, data[0]);
	ASSERT_EQ(2 * page, data[2]);

	region = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		      self->fd, data[1]);
	ASSERT_NE(MAP_FAILED, region);
	EXPECT_EQ(in_data, region[0]);
	FAILS(EBUSY, destroy(self->fd, id));
	region[page / sizeof(*region)] = 7;
	EXPECT_EQ(in_data, region[0]);
	OK(munmap(region, 2 * page));

	for (shift = -2; shift <= 2; shift++) {
		map = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, self->fd,
			   data[1] + shift * (long)page);
		if (!shift) {
			ASSERT_NE(MAP_FAILED, map);
			munmap(map, 2 * page);
			continue;
		}
		ASSERT_EQ(MAP_FAILED, map);
		EXPECT_EQ(ENXIO, errno);
	}
	ASSERT_EQ(MAP_FAILED, mmap(NULL, page, PROT_READ, MAP_SHARED, self->fd,
				   data[1]));
	EXPECT_EQ(ENXIO, errno);
	ASSERT_EQ(MAP_FAILED, mmap(NULL, 4 * page, PROT_READ, MAP_SHARED,
				   self->fd, data[1]));
	EXPECT_EQ(ENXIO, errno);
	OK(destroy(self->fd, id));

	/* Without data there is nothing to map */
	OK(iommufd_viommu_alloc(self->fd, self->vm.dev, self->vm.s2,
				MOCK_VIOMMU, NULL, 0, &id));
	OK(destroy(self->fd, id));
}

TEST_F(mock, nested_hwpt)
{
	struct iommu_hwpt_selftest data = { .iotlb = MOCK_CACHED };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HWPT_FAULT_ID_VALID,
		.dev_id = self->vm.dev,
		.pt_id = self->vm.viommu,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(data),
		.data_uptr = (uintptr_t)&data,
		.fault_id = NO_ID,
	};
	__u32 fault, unknown;
	int fault_fd;

	FAILS(ENOENT, iommufd_ioctl(self->fd, IOMMU_HWPT_ALLOC, &cmd));
	OK(fault_queue_alloc(self->fd, &fault, &fault_fd));
	cmd.fault_id = fault;
	for (unknown = 1U << 31; unknown > 1U << 3; unknown >>= 1) {
		cmd.flags = IOMMU_HWPT_FAULT_ID_VALID | unknown;
		FAILS(EOPNOTSUPP, iommufd_ioctl(self->fd, IOMMU_HWPT_ALLOC,
						&cmd));
	}
	cmd.flags = IOMMU_HWPT_FAULT_ID_VALID;
	OK(iommufd_ioctl(self->fd, IOMMU_HWPT_ALLOC, &cmd));

	/* Attaching needs a vDEVICE */
	OK(destroy(self->fd, self->vdevice));
	FAILS(ENOENT, mock_attach(self->fd, self->vm.stdev, cmd.out_hwpt_id));
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
	OK(mock_attach(self->fd, self->vm.stdev, cmd.out_hwpt_id));
	OK(mock_attach(self->fd, self->vm.stdev, self->vm.ioas));
	OK(destroy(self->fd, cmd.out_hwpt_id));
	close(fault_fd);
	OK(destroy(self->fd, fault));
}

TEST_F(mock, invalidation)
{
	const __u32 good[2][3] = {
		/* flags, virtual ID, index in the cache */
		{ 0, VIRT_ID, 0 },
		{ 0, VIRT_ID, 1 },
	};
	const struct {
		__u32 type;
		__u32 len;
		__u32 entry[3];
		bool null;
		int rc;
	} table[] = {
		{ MOCK_NO_INVALIDATION, 12, { 0, VIRT_ID }, false, -EINVAL },
		{ MOCK_INVALIDATION, 0, { 0, VIRT_ID }, false, -EINVAL },
		{ MOCK_INVALIDATION, 11, { 0, VIRT_ID }, false, -EINVAL },
		{ MOCK_INVALIDATION, 13, { 0, VIRT_ID }, false, -EINVAL },
		{ MOCK_INVALIDATION, 12, {}, true, -EINVAL },
		{ MOCK_INVALIDATION, 12, { 0, VIRT_ID, 4 }, false, -EINVAL },
		{ MOCK_INVALIDATION, 12, { 0, VIRT_ID + 1 }, false, -EINVAL },
		{ MOCK_INVALIDATION, 12, { 2, VIRT_ID }, false, -EOPNOTSUPP },
		{ MOCK_INVALIDATION, 12, { 3, VIRT_ID }, false, -EOPNOTSUPP },
	};
	__u32 entry[2][3], num;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		memset(entry, 0, sizeof(entry));
		memcpy(entry, table[i].entry, sizeof(table[i].entry));
		num = 1;
		EXPECT_EQ(table[i].rc,
			  iommufd_invalidate(self->fd, self->vm.viommu,
					     table[i].type,
					     table[i].null ? NULL : entry,
					     table[i].len, &num)) {
			TH_LOG("row %u", i);
		}
		EXPECT_EQ(0, num);
	}
	EXPECT_EQ(0xf, mock_cached(self->fd, self->vm.dev));

	num = 2;
	OK(iommufd_invalidate(self->fd, self->vm.viommu, MOCK_INVALIDATION,
			      good, sizeof(good[0]), &num));
	EXPECT_EQ(2, num);
	EXPECT_EQ(0xc, mock_cached(self->fd, self->vm.dev));

	/* Flag 0 covers the whole device; the second command is wrong */
	memset(entry, 0, sizeof(entry));
	entry[0][0] = 1;
	entry[0][1] = VIRT_ID;
	entry[0][2] = 9;
	num = 2;
	FAILS(EINVAL, iommufd_invalidate(self->fd, self->vm.viommu,
					 MOCK_INVALIDATION, entry,
					 sizeof(entry[0]), &num));
	EXPECT_EQ(1, num);
	EXPECT_EQ(0, mock_cached(self->fd, self->vm.dev));
}

TEST_F(mock, hw_queues)
{
	const __u64 page = sysconf(_SC_PAGE_SIZE);
	const __u64 iova = MOCK_APERTURE_START + (64 << 20);
	const __u32 rw = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
	__u32 ids[2], viommu = self->vm.viommu, id;
	int fd = self->fd, i;

	for (i = 0; i < 2; i++)
		OK(ioas_map(fd, self->vm.ioas, rw, vm_memory + i * page, page,
			    iova + i * page));
	FAILS(EINVAL, iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 2, iova,
					     64, &id));
	FAILS(EIO, iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 1, iova, 64,
					  &id));
	FAILS(EINVAL, iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 0, iova,
					     0, &id));
	FAILS(EOVERFLOW, iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 0,
						~0ULL, page, &id));
	FAILS(ENOENT, iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 0,
					     iova + 2 * page, page, &id));
	OK(iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 0, iova + page / 2,
				  page / 2, &ids[0]));
	FAILS(EEXIST, iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 0, iova,
					     64, &id));
	OK(iommufd_hw_queue_alloc(fd, viommu, MOCK_QUEUE, 1, iova, 64,
				  &ids[1]));
	FAILS(EBUSY, ioas_unmap(fd, self->vm.ioas, iova, page));
	OK(ioas_unmap(fd, self->vm.ioas, iova + page, page));
	FAILS(EBUSY, destroy(fd, ids[0]));
	OK(destroy(fd, ids[1]));
	OK(destroy(fd, ids[0]));
	OK(ioas_unmap(fd, self->vm.ioas, iova, page));
}

TEST_F(mock, event)
{
	__u32 record[3], queue;
	int events;

	OK(iommufd_veventq_alloc(self->fd, self->vm.viommu, MOCK_EVENT, 2,
				 &queue, &events));
	FAILS(ENOENT, mock_op(self->fd, IOMMU_TEST_OP_TRIGGER_VEVENT, 0, NO_ID,
			      0));
	OK(mock_op(self->fd, IOMMU_TEST_OP_TRIGGER_VEVENT, 0, self->vm.dev, 0));
	/* Flags, sequence, virtual ID */
	ASSERT_EQ(sizeof(record), read(events, record, sizeof(record)));
	EXPECT_EQ(0, record[0]);
	EXPECT_EQ(0, record[1]);
	EXPECT_EQ(VIRT_ID, record[2]);
	ASSERT_EQ(0, read(events, record, sizeof(record)));
	close(events);
	OK(destroy(self->fd, queue));
}

TEST_HARNESS_MAIN
