// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vIOMMU of the mock driver, for tools/testing/selftests/iommu
 *
 * It has no hardware to program. Its state shows user space that the core has
 * called it, with which arguments and in which order:
 *
 *  - data of IOMMU_VIOMMU_ALLOC that it copies back,
 *  - four cache entries for each mock device, which a command invalidates by
 *    virtual ID and which IOMMU_TEST_OP_DEV_CHECK_CACHE compares,
 *  - two pages to map, which come with the data of IOMMU_VIOMMU_ALLOC,
 *  - two hardware queues, of which the second needs the first, and the contents
 *    of their memory, IOMMU_TEST_OP_HW_QUEUE_READ,
 *  - two more that are written, and need neither order nor contiguous memory,
 *  - the number of existing objects, IOMMU_TEST_OP_VIOMMU_COUNT,
 *  - failures on request, IOMMU_TEST_OP_VIOMMU_FAIL.
 *
 * It also warns if the core breaks what include/linux/iommufd_viommu.h promises
 * to drivers.
 *
 * State outside the objects is global, so tests that count objects or request
 * failures must not run at the same time.
 */
#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "mock.h"
#include "private.h"

#define MOCK_VIOMMU_PAGES_ORDER	1

/**
 * struct mock_viommu - A vIOMMU
 * @core: The core's part
 * @nested: Number of nested domains on it
 * @pages: The pages that user space can map, 0 without user data
 * @hw_queues: The existing queues by index; guarded by the lock that the core
 *	       holds when it calls the operations of a queue
 */
struct mock_viommu {
	struct iommufd_viommu core;
	atomic_t nested;
	unsigned long pages;
	struct iommufd_hw_queue *hw_queues[MOCK_HW_QUEUE_NUM];
};

/**
 * struct mock_vdevice - A virtual device
 * @core: The core's part
 * @cache: The cache of the device
 */
struct mock_vdevice {
	struct iommufd_vdevice core;
	struct mock_dev_cache *cache;
};

static atomic_t mock_viommus;
static atomic_t mock_vdevices;
static atomic_t mock_nested_domains;
static atomic_t mock_hw_queues;

static struct mock_viommu *to_mock_viommu(struct iommufd_viommu *viommu)
{
	return container_of(viommu, struct mock_viommu, core);
}

/* Requested failures, each of one call */

static DEFINE_SPINLOCK(mock_fail_lock);
static struct {
	int error;
	u32 skip;
} mock_fail[MOCK_VIOMMU_FAIL_NUM];

static int mock_viommu_fail(unsigned int call)
{
	int error;

	spin_lock(&mock_fail_lock);
	error = mock_fail[call].error;
	if (error && mock_fail[call].skip) {
		mock_fail[call].skip--;
		error = 0;
	} else {
		mock_fail[call].error = 0;
	}
	spin_unlock(&mock_fail_lock);
	return error;
}

static int mock_viommu_order_failure(u32 call, u32 error, u32 skip)
{
	if (call >= MOCK_VIOMMU_FAIL_NUM || error > MAX_ERRNO)
		return -EINVAL;

	spin_lock(&mock_fail_lock);
	mock_fail[call].error = -(int)error;
	mock_fail[call].skip = skip;
	spin_unlock(&mock_fail_lock);
	return 0;
}

/* The driver operations */

static int mock_viommu_supported(struct device *dev)
{
	return mock_viommu_fail(MOCK_VIOMMU_FAIL_SUPPORTED);
}

static int mock_viommu_answer(struct iommufd_viommu *viommu,
			      const struct iommu_user_data *user_data)
{
	struct mock_viommu *mock = to_mock_viommu(viommu);
	struct iommu_viommu_selftest data;
	int rc;

	rc = iommu_copy_struct_from_user(&data, user_data,
					 IOMMU_VIOMMU_TYPE_SELFTEST, out_data);
	if (rc)
		return rc;

	mock->pages = __get_free_pages(GFP_KERNEL_ACCOUNT | __GFP_ZERO,
				       MOCK_VIOMMU_PAGES_ORDER);
	if (!mock->pages)
		return -ENOMEM;
	*(u32 *)mock->pages = data.in_data;
	viommu->mmio_base = virt_to_phys((void *)mock->pages);
	viommu->mmio_length = PAGE_SIZE << MOCK_VIOMMU_PAGES_ORDER;

	data.out_data = data.in_data;
	data.out_mmap_offset = viommu->mmap_offset;
	data.out_mmap_length = viommu->mmio_length;
	rc = iommufd_copy_data_to_user(user_data, &data, sizeof(data));
	if (rc)
		free_pages(mock->pages, MOCK_VIOMMU_PAGES_ORDER);
	return rc;
}

static int mock_viommu_init_one(struct iommufd_viommu *viommu,
				struct device *dev,
				const struct iommu_user_data *user_data)
{
	int rc;

	rc = mock_viommu_fail(MOCK_VIOMMU_FAIL_INIT);
	if (rc)
		return rc;
	WARN_ON(viommu->iommu_dev != dev->iommu->iommu_dev);

	if (user_data) {
		rc = mock_viommu_answer(viommu, user_data);
		if (rc)
			return rc;
	}

	atomic_set(&to_mock_viommu(viommu)->nested, 0);
	atomic_inc(&mock_viommus);
	return 0;
}

static void mock_viommu_release(struct iommufd_viommu *viommu)
{
	struct mock_viommu *mock = to_mock_viommu(viommu);
	unsigned int i;

	for (i = 0; i < MOCK_HW_QUEUE_NUM; i++)
		WARN_ON(mock->hw_queues[i]);
	/* Nobody has them mapped any more */
	free_pages(mock->pages, MOCK_VIOMMU_PAGES_ORDER);
	WARN_ON(atomic_read(&to_mock_viommu(viommu)->nested));
	WARN_ON(!xa_empty(&viommu->vdevs));
	atomic_dec(&mock_viommus);
}

static struct iommu_domain *
mock_viommu_alloc_nested(struct iommufd_viommu *viommu, struct device *dev,
			 u32 flags, const struct iommu_user_data *user_data)
{
	struct iommu_domain *domain;
	int rc;

	rc = mock_viommu_fail(MOCK_VIOMMU_FAIL_ALLOC_NESTED);
	if (rc)
		return ERR_PTR(rc);
	WARN_ON(viommu->iommu_dev != dev->iommu->iommu_dev);

	if (flags & ~(IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID))
		return ERR_PTR(-EOPNOTSUPP);
	domain = mock_domain_alloc_nested(viommu->parent, viommu, user_data);
	if (!IS_ERR(domain)) {
		atomic_inc(&to_mock_viommu(viommu)->nested);
		atomic_inc(&mock_nested_domains);
	}
	return domain;
}

/* A nested domain of this vIOMMU was freed */
void mock_viommu_free_nested(struct iommufd_viommu *viommu)
{
	atomic_dec(&to_mock_viommu(viommu)->nested);
	atomic_dec(&mock_nested_domains);
}

/* Check whether a nested domain of a vIOMMU may be attached */
int mock_viommu_attach(void)
{
	return mock_viommu_fail(MOCK_VIOMMU_FAIL_ATTACH);
}

static bool mock_viommu_nested_translates(struct iommu_domain *domain)
{
	return true;
}

static int mock_viommu_invalidate(struct iommufd_viommu *viommu,
				  const struct iommu_viommu_invalidate_selftest *cmd)
{
	struct iommufd_vdevice *vdev;
	struct mock_dev_cache *cache;
	unsigned long irqflags;
	unsigned int i;
	int rc = 0;

	if (cmd->flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL)
		return -EOPNOTSUPP;
	if (cmd->cache_id > MOCK_DEV_CACHE_ID_MAX &&
	    !(cmd->flags & IOMMU_TEST_INVALIDATE_FLAG_ALL))
		return -EINVAL;

	irqflags = iommufd_viommu_lock_vdevs(viommu);
	vdev = iommufd_viommu_find_vdevice(viommu, cmd->vdev_id);
	if (vdev) {
		cache = container_of(vdev, struct mock_vdevice, core)->cache;
		for (i = 0; i < MOCK_DEV_CACHE_NUM; i++)
			if (i == cmd->cache_id ||
			    cmd->flags & IOMMU_TEST_INVALIDATE_FLAG_ALL)
				WRITE_ONCE(cache->entry[i], 0);
	} else {
		rc = -EINVAL;
	}
	iommufd_viommu_unlock_vdevs(viommu, irqflags);
	return rc;
}

static int mock_viommu_cache_invalidate(struct iommufd_viommu *viommu,
					struct iommu_user_data_array *array)
{
	struct iommu_viommu_invalidate_selftest cmd;
	u32 done = 0;
	int rc = 0;

	if (array->type != IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST)
		rc = -EINVAL;

	while (!rc && done < array->entry_num) {
		rc = mock_viommu_fail(MOCK_VIOMMU_FAIL_CACHE_INVALIDATE);
		if (rc)
			break;
		rc = iommu_copy_struct_from_user_array(&cmd, array, array->type,
						       done, cache_id);
		if (rc)
			break;
		rc = mock_viommu_invalidate(viommu, &cmd);
		if (!rc)
			done++;
	}
	array->entry_num = done;
	return rc;
}

/* Does the ID of the virtual device stand for one? */
static bool mock_virt_id_is_found(struct iommufd_vdevice *vdev)
{
	unsigned long flags;
	bool found;

	flags = iommufd_viommu_lock_vdevs(vdev->viommu);
	found = iommufd_viommu_find_vdevice(vdev->viommu, vdev->virt_id);
	iommufd_viommu_unlock_vdevs(vdev->viommu, flags);
	return found;
}

static int mock_vdevice_init(struct iommufd_vdevice *vdev)
{
	struct mock_vdevice *mock = container_of(vdev, struct mock_vdevice, core);
	int rc;

	rc = mock_viommu_fail(MOCK_VIOMMU_FAIL_VDEVICE_INIT);
	if (rc)
		return rc;
	WARN_ON(mock_virt_id_is_found(vdev));

	/* A command has 32 bits for the ID */
	if (vdev->virt_id > U32_MAX)
		return -EINVAL;
	mock->cache = mock_dev_cache(vdev->dev);
	atomic_inc(&mock_vdevices);
	return 0;
}

static void mock_vdevice_release(struct iommufd_vdevice *vdev)
{
	struct mock_vdevice *mock = container_of(vdev, struct mock_vdevice, core);

	WARN_ON(mock_virt_id_is_found(vdev));
	WARN_ON(mock->cache != mock_dev_cache(vdev->dev));
	mock->cache = NULL;
	atomic_dec(&mock_vdevices);
}

static int mock_hw_queue_check(struct iommufd_viommu *viommu, u32 type,
			       u32 index, u64 length)
{
	if (index >= MOCK_HW_QUEUE_NUM || length > MOCK_HW_QUEUE_MAX_LENGTH)
		return -EINVAL;
	return 0;
}

/* The properties of a queue besides its number */
static bool mock_hw_queue_is_ordered(struct iommufd_hw_queue *queue)
{
	bool ordered = queue->type == IOMMU_HW_QUEUE_TYPE_SELFTEST;

	WARN_ON(ordered != !!queue->base);
	return ordered;
}

static int mock_hw_queue_init(struct iommufd_hw_queue *queue)
{
	struct mock_viommu *mock = to_mock_viommu(queue->viommu);
	int rc;

	rc = mock_viommu_fail(MOCK_VIOMMU_FAIL_HW_QUEUE_INIT);
	if (rc)
		return rc;
	atomic_inc(&mock_hw_queues);
	if (!mock_hw_queue_is_ordered(queue))
		return 0;
	WARN_ON(mock->hw_queues[queue->index]);
	WARN_ON(queue->index && !mock->hw_queues[queue->index - 1]);
	mock->hw_queues[queue->index] = queue;
	return 0;
}

static int mock_hw_queue_release(struct iommufd_hw_queue *queue)
{
	struct mock_viommu *mock = to_mock_viommu(queue->viommu);

	atomic_dec(&mock_hw_queues);
	if (mock_hw_queue_is_ordered(queue)) {
		WARN_ON(mock->hw_queues[queue->index] != queue);
		WARN_ON(queue->index + 1 < MOCK_HW_QUEUE_NUM &&
			mock->hw_queues[queue->index + 1]);
		mock->hw_queues[queue->index] = NULL;
	}
	return mock_viommu_fail(MOCK_VIOMMU_FAIL_HW_QUEUE_RELEASE);
}

static const struct iommufd_veventq_type mock_veventq_types[] = {
	{ IOMMU_VEVENTQ_TYPE_SELFTEST,
	  sizeof(struct iommu_viommu_event_selftest) },
	{ }
};

static const struct iommufd_hw_queue_type mock_hw_queue_types[] = {
	{
		.type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
		.size = sizeof(struct iommufd_hw_queue),
		.ordered = true,
		.contiguous = true,
	},
	{
		.type = IOMMU_HW_QUEUE_TYPE_SELFTEST_WRITTEN,
		.size = sizeof(struct iommufd_hw_queue),
		.written = true,
	},
	{ }
};

/* A pipe, whose other end sees whether the file is held */
static bool mock_is_vm(struct file *file)
{
	return S_ISFIFO(file_inode(file)->i_mode);
}

static const struct iommufd_viommu_ops mock_viommu_ops = {
	.type = IOMMU_VIOMMU_TYPE_SELFTEST,
	.viommu_size = IOMMUFD_EMBED_SIZE(struct mock_viommu, core),
	.vdevice_size = IOMMUFD_EMBED_SIZE(struct mock_vdevice, core),
	.data_len = offsetofend(struct iommu_viommu_selftest, out_data),
	.data_optional = true,
	.takes_vm = true,
	.is_vm = mock_is_vm,
	.hw_queue_types = mock_hw_queue_types,
	.veventq_types = mock_veventq_types,
	.supported = mock_viommu_supported,
	.init = mock_viommu_init_one,
	.release = mock_viommu_release,
	.alloc_nested = mock_viommu_alloc_nested,
	.nested_translates = mock_viommu_nested_translates,
	.cache_invalidate = mock_viommu_cache_invalidate,
	.vdevice_init = mock_vdevice_init,
	.vdevice_release = mock_vdevice_release,
	.hw_queue_check = mock_hw_queue_check,
	.hw_queue_init = mock_hw_queue_init,
	.hw_queue_release = mock_hw_queue_release,
};

static const struct iommufd_viommu_ops *const mock_viommu_types[] = {
	&mock_viommu_ops,
	NULL
};

static u32 mock_viommu_caps(struct iommu_device *iommu)
{
	return IOMMUFD_VIOMMU_CAP_NESTING;
}

const struct iommufd_viommu_driver mock_viommu_driver = {
	.types = mock_viommu_types,
	.caps = mock_viommu_caps,
};

/* IOMMU_TEST_CMD */

void mock_dev_cache_init(struct mock_dev_cache *cache)
{
	unsigned int i;

	for (i = 0; i < MOCK_DEV_CACHE_NUM; i++)
		cache->entry[i] = IOMMU_TEST_DEV_CACHE_DEFAULT;
}

static int mock_dev_check_cache(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u32 id = cmd->check_dev_cache.id;
	struct mock_dev_cache *cache;
	struct iommufd_device *idev;
	int rc = 0;

	idev = iommufd_get_device(ucmd, cmd->id);
	if (IS_ERR(idev))
		return PTR_ERR(idev);
	cache = mock_dev_cache(idev->dev);
	if (!cache || id > MOCK_DEV_CACHE_ID_MAX ||
	    READ_ONCE(cache->entry[id]) != cmd->check_dev_cache.cache)
		rc = -EINVAL;
	iommufd_put_object(ucmd->ictx, &idev->obj);
	return rc;
}

static void mock_vevent_set_virt_id(void *payload, u64 virt_id)
{
	struct iommu_viommu_event_selftest *event = payload;

	event->virt_id = virt_id;
}

/* For any attachment of the device */
static int mock_vevent_report(struct iommufd_vdevice *vdev)
{
	struct iommu_viommu_event_selftest event = {
		.virt_id = vdev->virt_id,
	};

	return iommufd_viommu_report_event(vdev->viommu,
					   IOMMU_VEVENTQ_TYPE_SELFTEST, &event,
					   sizeof(event));
}

/* As from an interrupt handler */
static int mock_device_event(struct device *dev)
{
	struct iommu_viommu_event_selftest payload = {};
	const struct iommufd_device_event event = {
		.type = IOMMU_VEVENTQ_TYPE_SELFTEST,
		.pasid = IOMMU_NO_PASID,
		.payload = &payload,
		.len = sizeof(payload),
		.set_virt_id = mock_vevent_set_virt_id,
	};
	unsigned long flags;
	int rc;

	local_irq_save(flags);
	rc = iommufd_device_report_event(dev, &event);
	local_irq_restore(flags);
	return rc;
}

/* Sets the number of the queue's next event, to test how numbers wrap */
static int mock_vevent_sequence(struct iommufd_vdevice *vdev, u32 sequence)
{
	struct iommufd_viommu *viommu = vdev->viommu;
	struct iommufd_vevent_ring *ring;
	int rc = -ENOENT;

	if (sequence > INT_MAX)
		return -EINVAL;

	spin_lock_irq(&viommu->vevents_lock);
	list_for_each_entry(ring, &viommu->vevents, item) {
		spin_lock(&ring->lock);
		ring->sequence = sequence;
		spin_unlock(&ring->lock);
		rc = 0;
	}
	spin_unlock_irq(&viommu->vevents_lock);
	return rc;
}

/* Acts as an interrupt handler for a device, on behalf of user space */
static int mock_vevent(struct iommufd_ucmd *ucmd, u32 dev_id)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	struct iommufd_device *idev;
	int rc = -ENOENT;

	idev = iommufd_get_device(ucmd, dev_id);
	if (IS_ERR(idev))
		return PTR_ERR(idev);

	/* Keeps the virtual device */
	mutex_lock(&idev->igroup->lock);
	if (cmd->op == IOMMU_TEST_OP_DEVICE_EVENT)
		rc = mock_device_event(idev->dev);
	else if (idev->vdev && cmd->op == IOMMU_TEST_OP_TRIGGER_VEVENT)
		rc = mock_vevent_report(&idev->vdev->vdev);
	else if (idev->vdev)
		rc = mock_vevent_sequence(&idev->vdev->vdev,
					  cmd->vevent_sequence.sequence);
	mutex_unlock(&idev->igroup->lock);

	iommufd_put_object(ucmd->ictx, &idev->obj);
	return rc;
}

/* What the hardware would read from a queue */
static int mock_hw_queue_read(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;
	u64 offset = cmd->hw_queue_read.offset;
	struct iommufd_hw_queue *queue;
	struct iommufd_object *obj;
	phys_addr_t phys;
	int rc = -EINVAL;
	void *addr;

	obj = iommufd_get_object(ucmd->ictx, cmd->id, IOMMUFD_OBJ_HW_QUEUE);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	queue = &container_of(obj, struct iommufd_hw_queue_obj, obj)->queue;
	if (offset < queue->length) {
		phys = queue->base + offset;
		addr = kmap_local_page(pfn_to_page(PHYS_PFN(phys)));
		cmd->hw_queue_read.out_byte = *(u8 *)(addr + offset_in_page(phys));
		kunmap_local(addr);
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	iommufd_put_object(ucmd->ictx, obj);
	return rc;
}

static int mock_viommu_count(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;

	cmd->viommu_count.out_viommus = atomic_read(&mock_viommus);
	cmd->viommu_count.out_vdevices = atomic_read(&mock_vdevices);
	cmd->viommu_count.out_nested = atomic_read(&mock_nested_domains);
	cmd->viommu_count.out_hw_queues = atomic_read(&mock_hw_queues);
	return iommufd_ucmd_respond(ucmd, sizeof(*cmd));
}

int mock_viommu_test(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;

	switch (cmd->op) {
	case IOMMU_TEST_OP_DEV_CHECK_CACHE:
		return mock_dev_check_cache(ucmd);
	case IOMMU_TEST_OP_TRIGGER_VEVENT:
		return mock_vevent(ucmd, cmd->trigger_vevent.dev_id);
	case IOMMU_TEST_OP_DEVICE_EVENT:
		return mock_vevent(ucmd, cmd->trigger_vevent.dev_id);
	case IOMMU_TEST_OP_VEVENT_SEQUENCE:
		return mock_vevent(ucmd, cmd->vevent_sequence.dev_id);
	case IOMMU_TEST_OP_VIOMMU_FAIL:
		return mock_viommu_order_failure(cmd->viommu_fail.call,
						 cmd->viommu_fail.error,
						 cmd->viommu_fail.skip);
	case IOMMU_TEST_OP_HW_QUEUE_READ:
		return mock_hw_queue_read(ucmd);
	case IOMMU_TEST_OP_VIOMMU_COUNT:
		return mock_viommu_count(ucmd);
	default:
		return -EOPNOTSUPP;
	}
}

/* Devices with MOCK_FLAGS_DEVICE_SECOND_IOMMU are behind it */
struct iommu_device mock_second_iommu;

int mock_viommu_init(struct device *parent, const struct iommu_ops *ops)
{
	mock_second_iommu.ops = ops;
	return iommu_device_sysfs_add(&mock_second_iommu, parent, NULL,
				      "%s.second", dev_name(parent));
}

void mock_viommu_exit(void)
{
	iommu_device_sysfs_remove(&mock_second_iommu);
}
