// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HW queue object: guest memory that hardware reads as a queue of the guest
 *
 * Owns:	the pin of its memory, what the driver hangs on it, a user of the
 *		vIOMMU, and if the type is ordered a user of the queue with the
 *		next lower index.
 * Held by:	the queue with the next higher index.
 * Locks:	iommufd_viommu_obj::hw_queues_lock guards the list of queues and
 *		serializes the driver's hw_queue_init and hw_queue_release. Under
 *		it the locks of the IOAS are taken, see pin.c.
 * Dies:	by IOMMU_DESTROY when no queue depends on it (-EBUSY before), or when
 *		the iommufd is closed. The driver stops the hardware before the
 *		memory is let go.
 */
#define pr_fmt(fmt) "iommufd: " fmt

#include <linux/iommu.h>
#include <linux/mm.h>
#include <trace/events/iommufd_viommu.h>

#include "private.h"

static struct iommufd_hw_queue_obj *
iommufd_hw_queue_find(struct iommufd_viommu_obj *viommu_obj, u32 type, u32 index)
{
	struct iommufd_hw_queue_obj *qobj;

	lockdep_assert_held(&viommu_obj->hw_queues_lock);

	list_for_each_entry(qobj, &viommu_obj->hw_queues, item)
		if (qobj->queue.type == type && qobj->queue.index == index)
			return qobj;
	return NULL;
}

/* The hardware did not let go of the memory, so it is never used again */
static void iommufd_hw_queue_lose_pages(struct iommufd_hw_queue *queue)
{
	unsigned long pfn = PHYS_PFN(queue->base);
	unsigned long last = PHYS_PFN(queue->base + queue->length - 1);

	pr_err("a hardware queue of %zu bytes at %pap did not stop, its memory is lost\n",
	       queue->length, &queue->base);
	for (; pfn <= last; pfn++)
		get_page(pfn_to_page(pfn));
}

void iommufd_hw_queue_destroy(struct iommufd_object *obj)
{
	struct iommufd_hw_queue_obj *qobj =
		container_of(obj, struct iommufd_hw_queue_obj, obj);
	struct iommufd_hw_queue *queue = &qobj->queue;
	struct iommufd_viommu_obj *viommu_obj = to_viommu_obj(queue->viommu);

	trace_iommufd_hw_queue_destroy(obj->id, viommu_obj->obj.id);
	mutex_lock(&viommu_obj->hw_queues_lock);
	if (queue->viommu->ops->hw_queue_release(queue))
		iommufd_hw_queue_lose_pages(queue);
	list_del(&qobj->item);
	mutex_unlock(&viommu_obj->hw_queues_lock);

	iommufd_unpin_contig(&viommu_obj->hwpt->ioas->iopt, qobj->iova,
			     queue->length);
	if (qobj->lower)
		refcount_dec(&qobj->lower->obj.users);
	refcount_dec(&viommu_obj->obj.users);
}

/* Takes a user of the queue below, if there has to be one */
static int iommufd_hw_queue_depend(struct iommufd_hw_queue_obj *qobj)
{
	struct iommufd_hw_queue *queue = &qobj->queue;
	struct iommufd_viommu_obj *viommu_obj = to_viommu_obj(queue->viommu);

	if (!queue->viommu->ops->hw_queues_ordered || !queue->index)
		return 0;

	qobj->lower = iommufd_hw_queue_find(viommu_obj, queue->type,
					    queue->index - 1);
	/* It may be on its way out, and wait for hw_queues_lock */
	if (qobj->lower && !refcount_inc_not_zero(&qobj->lower->obj.users))
		qobj->lower = NULL;
	return qobj->lower ? 0 : -EIO;
}

static int iommufd_hw_queue_start(struct iommufd_hw_queue_obj *qobj)
{
	struct iommufd_hw_queue *queue = &qobj->queue;
	struct iommufd_viommu_obj *viommu_obj = to_viommu_obj(queue->viommu);
	struct io_pagetable *iopt = &viommu_obj->hwpt->ioas->iopt;
	int rc;

	lockdep_assert_held(&viommu_obj->hw_queues_lock);

	if (iommufd_hw_queue_find(viommu_obj, queue->type, queue->index))
		return -EEXIST;
	rc = iommufd_hw_queue_depend(qobj);
	if (rc)
		return rc;
	rc = iommufd_pin_contig(iopt, qobj->iova, queue->length, &queue->base);
	if (rc)
		goto err_lower;
	rc = queue->viommu->ops->hw_queue_init(queue);
	if (rc)
		goto err_unpin;

	list_add(&qobj->item, &viommu_obj->hw_queues);
	refcount_inc(&viommu_obj->obj.users);
	trace_iommufd_hw_queue_alloc(qobj->obj.id, viommu_obj->obj.id,
				     queue->type, queue->index);
	return 0;

err_unpin:
	iommufd_unpin_contig(iopt, qobj->iova, queue->length);
err_lower:
	if (qobj->lower)
		refcount_dec(&qobj->lower->obj.users);
	return rc;
}

/* What no driver could take is refused before memory is spent on it */
static struct iommufd_hw_queue_obj *
iommufd_hw_queue_create(struct iommufd_ctx *ictx,
			struct iommufd_viommu_obj *viommu_obj,
			const struct iommu_hw_queue_alloc *cmd)
{
	const size_t size = offsetof(struct iommufd_hw_queue_obj, queue);
	struct iommufd_viommu *viommu = &viommu_obj->viommu;
	const struct iommufd_viommu_ops *ops = viommu->ops;
	struct iommufd_hw_queue_obj *qobj;
	struct iommufd_object *obj;
	u64 last;
	int rc;

	if (!ops->hw_queue_init)
		return ERR_PTR(-EOPNOTSUPP);
	if (!cmd->length)
		return ERR_PTR(-EINVAL);
	if (check_add_overflow(cmd->nesting_parent_iova, cmd->length - 1,
			       &last) || last > ULONG_MAX)
		return ERR_PTR(-EOVERFLOW);
	rc = ops->hw_queue_check(viommu, cmd->type, cmd->index, cmd->length);
	if (rc)
		return ERR_PTR(rc);

	obj = _iommufd_object_alloc(ictx, size + ops->hw_queue_size,
				    IOMMUFD_OBJ_HW_QUEUE);
	if (IS_ERR(obj))
		return ERR_CAST(obj);
	qobj = container_of(obj, struct iommufd_hw_queue_obj, obj);
	qobj->iova = cmd->nesting_parent_iova;
	qobj->queue.viommu = viommu;
	qobj->queue.type = cmd->type;
	qobj->queue.index = cmd->index;
	qobj->queue.length = cmd->length;
	return qobj;
}

int iommufd_hw_queue_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_hw_queue_alloc *cmd = ucmd->cmd;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_hw_queue_obj *qobj;
	int rc;

	if (cmd->flags || cmd->type == IOMMU_HW_QUEUE_TYPE_DEFAULT)
		return -EOPNOTSUPP;

	viommu_obj = iommufd_get_viommu(ucmd, cmd->viommu_id);
	if (IS_ERR(viommu_obj))
		return PTR_ERR(viommu_obj);

	qobj = iommufd_hw_queue_create(ucmd->ictx, viommu_obj, cmd);
	if (IS_ERR(qobj)) {
		rc = PTR_ERR(qobj);
		goto out_put_viommu;
	}

	cmd->out_hw_queue_id = qobj->obj.id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		goto out_abort;

	/* A queue can be depended on once it has started: nothing fails then */
	mutex_lock(&viommu_obj->hw_queues_lock);
	rc = iommufd_hw_queue_start(qobj);
	if (!rc)
		iommufd_object_finalize(ucmd->ictx, &qobj->obj);
	mutex_unlock(&viommu_obj->hw_queues_lock);

out_abort:
	if (rc)
		iommufd_object_abort(ucmd->ictx, &qobj->obj);

out_put_viommu:
	iommufd_put_object(ucmd->ictx, &viommu_obj->obj);
	return rc;
}
