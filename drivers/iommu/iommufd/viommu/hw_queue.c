// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HW queue object: guest memory that hardware accesses as a queue of the
 * guest
 *
 * Owns:	the pin of its memory, the driver's state, a reference on the
 *		vIOMMU, and if the type is ordered a reference on the queue with
 *		the next lower index.
 * Held by:	the queue with the next higher index.
 * Locks:	iommufd_viommu_obj::hw_queues_lock guards the list of queues and
 *		serializes the driver's hw_queue_init and hw_queue_release.
 *		Under it the locks of the IOAS are taken, see pin.c.
 * Dies:	by IOMMU_DESTROY when no queue depends on it (-EBUSY before), or
 *		when the iommufd is closed. The driver stops the hardware before
 *		the memory is released.
 */
#define pr_fmt(fmt) "iommufd: " fmt

#include <linux/iommu.h>
#include <linux/mm.h>
#include <trace/events/iommufd_viommu.h>

#include "private.h"

static struct iommufd_hw_queue_obj *
iommufd_hw_queue_find(struct iommufd_viommu_obj *viommu_obj, u32 type, u32 index)
{
	struct iommufd_hw_queue_obj *queue_obj;

	lockdep_assert_held(&viommu_obj->hw_queues_lock);

	list_for_each_entry(queue_obj, &viommu_obj->hw_queues, item)
		if (queue_obj->queue.type == type && queue_obj->queue.index == index)
			return queue_obj;
	return NULL;
}

/*
 * The hardware may still access the memory, so leak it. A queue that is
 * accessed through the stage 2 loses access when that unmaps the memory.
 */
static void iommufd_hw_queue_lose_pages(struct iommufd_hw_queue *queue)
{
	unsigned long pfn = PHYS_PFN(queue->base);
	unsigned long last = PHYS_PFN(queue->base + queue->length - 1);

	if (!queue->base)
		return;
	pr_err("a hardware queue of %zu bytes at %pap did not stop, its memory is leaked\n",
	       queue->length, &queue->base);
	for (; pfn <= last; pfn++)
		get_page(pfn_to_page(pfn));
}

void iommufd_hw_queue_destroy(struct iommufd_object *obj)
{
	struct iommufd_hw_queue_obj *queue_obj =
		container_of(obj, struct iommufd_hw_queue_obj, obj);
	struct iommufd_hw_queue *queue = &queue_obj->queue;
	struct iommufd_viommu_obj *viommu_obj = to_viommu_obj(queue->viommu);

	trace_iommufd_hw_queue_destroy(obj->id, viommu_obj->obj.id);
	mutex_lock(&viommu_obj->hw_queues_lock);
	if (queue->viommu->ops->hw_queue_release(queue))
		iommufd_hw_queue_lose_pages(queue);
	list_del(&queue_obj->item);
	mutex_unlock(&viommu_obj->hw_queues_lock);

	iommufd_unpin_range(&viommu_obj->hwpt->ioas->iopt, queue->iova,
			    queue->length);
	if (queue_obj->lower)
		refcount_dec(&queue_obj->lower->obj.users);
	refcount_dec(&viommu_obj->obj.users);
}

/* Takes a reference on the queue below, if the type is ordered */
static int iommufd_hw_queue_depend(struct iommufd_hw_queue_obj *queue_obj)
{
	struct iommufd_hw_queue *queue = &queue_obj->queue;
	struct iommufd_viommu_obj *viommu_obj = to_viommu_obj(queue->viommu);

	if (!queue_obj->type->ordered || !queue->index)
		return 0;

	queue_obj->lower = iommufd_hw_queue_find(viommu_obj, queue->type,
						 queue->index - 1);
	/* It may be in destruction, waiting for hw_queues_lock */
	if (queue_obj->lower && !refcount_inc_not_zero(&queue_obj->lower->obj.users))
		queue_obj->lower = NULL;
	return queue_obj->lower ? 0 : -EIO;
}

static int iommufd_hw_queue_start(struct iommufd_hw_queue_obj *queue_obj)
{
	struct iommufd_hw_queue *queue = &queue_obj->queue;
	struct iommufd_viommu_obj *viommu_obj = to_viommu_obj(queue->viommu);
	struct io_pagetable *iopt = &viommu_obj->hwpt->ioas->iopt;
	int rc;

	lockdep_assert_held(&viommu_obj->hw_queues_lock);

	if (iommufd_hw_queue_find(viommu_obj, queue->type, queue->index))
		return -EEXIST;
	rc = iommufd_hw_queue_depend(queue_obj);
	if (rc)
		return rc;
	rc = iommufd_pin_range(iopt, queue->iova, queue->length,
			       queue_obj->type->written,
			       queue_obj->type->contiguous ? &queue->base : NULL);
	if (rc)
		goto err_lower;
	rc = queue->viommu->ops->hw_queue_init(queue);
	if (rc)
		goto err_unpin;

	list_add(&queue_obj->item, &viommu_obj->hw_queues);
	refcount_inc(&viommu_obj->obj.users);
	trace_iommufd_hw_queue_alloc(queue_obj->obj.id, viommu_obj->obj.id,
				     queue->type, queue->index);
	return 0;

err_unpin:
	iommufd_unpin_range(iopt, queue->iova, queue->length);
err_lower:
	if (queue_obj->lower)
		refcount_dec(&queue_obj->lower->obj.users);
	return rc;
}

static const struct iommufd_hw_queue_type *
iommufd_hw_queue_find_type(const struct iommufd_viommu_ops *ops, u32 type)
{
	const struct iommufd_hw_queue_type *t = ops->hw_queue_types;

	for (; t && t->size; t++)
		if (t->type == type)
			return t;
	return NULL;
}

/* Refuse what no driver can accept before allocating memory */
static struct iommufd_hw_queue_obj *
iommufd_hw_queue_create(struct iommufd_ctx *ictx,
			struct iommufd_viommu_obj *viommu_obj,
			const struct iommu_hw_queue_alloc *cmd)
{
	const size_t size = offsetof(struct iommufd_hw_queue_obj, queue);
	struct iommufd_viommu *viommu = &viommu_obj->viommu;
	const struct iommufd_viommu_ops *ops = viommu->ops;
	const struct iommufd_hw_queue_type *type;
	struct iommufd_hw_queue_obj *queue_obj;
	struct iommufd_object *obj;
	u64 last;
	int rc;

	type = iommufd_hw_queue_find_type(ops, cmd->type);
	if (!type)
		return ERR_PTR(-EOPNOTSUPP);
	if (!cmd->length)
		return ERR_PTR(-EINVAL);
	if (check_add_overflow(cmd->nesting_parent_iova, cmd->length - 1,
			       &last) || last > ULONG_MAX)
		return ERR_PTR(-EOVERFLOW);
	rc = ops->hw_queue_check(viommu, cmd->type, cmd->index, cmd->length);
	if (rc)
		return ERR_PTR(rc);

	obj = _iommufd_object_alloc(ictx, size + type->size,
				    IOMMUFD_OBJ_HW_QUEUE);
	if (IS_ERR(obj))
		return ERR_CAST(obj);
	queue_obj = container_of(obj, struct iommufd_hw_queue_obj, obj);
	queue_obj->type = type;
	queue_obj->queue.viommu = viommu;
	queue_obj->queue.iova = cmd->nesting_parent_iova;
	queue_obj->queue.type = cmd->type;
	queue_obj->queue.index = cmd->index;
	queue_obj->queue.length = cmd->length;
	return queue_obj;
}

int iommufd_hw_queue_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_hw_queue_alloc *cmd = ucmd->cmd;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_hw_queue_obj *queue_obj;
	int rc;

	if (cmd->flags || cmd->type == IOMMU_HW_QUEUE_TYPE_DEFAULT)
		return -EOPNOTSUPP;

	viommu_obj = iommufd_get_viommu(ucmd, cmd->viommu_id);
	if (IS_ERR(viommu_obj))
		return PTR_ERR(viommu_obj);

	queue_obj = iommufd_hw_queue_create(ucmd->ictx, viommu_obj, cmd);
	if (IS_ERR(queue_obj)) {
		rc = PTR_ERR(queue_obj);
		goto out_put_viommu;
	}

	cmd->out_hw_queue_id = queue_obj->obj.id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		goto out_abort;

	/*
	 * Other queues may depend on it once it has started; nothing fails
	 * after that
	 */
	mutex_lock(&viommu_obj->hw_queues_lock);
	rc = iommufd_hw_queue_start(queue_obj);
	if (!rc)
		iommufd_object_finalize(ucmd->ictx, &queue_obj->obj);
	mutex_unlock(&viommu_obj->hw_queues_lock);

out_abort:
	if (rc)
		iommufd_object_abort(ucmd->ictx, &queue_obj->obj);

out_put_viommu:
	iommufd_put_object(ucmd->ictx, &viommu_obj->obj);
	return rc;
}
