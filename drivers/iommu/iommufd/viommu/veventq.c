// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vEVENTQ object: events of a physical IOMMU for a VM
 *
 * Owns:	a ring of records, of the depth that user space asked for and
 *		charged to it as a whole when it is allocated; a file; a
 *		reference on the vIOMMU.
 * Held by:	its file, by one reference until the file is closed.
 * Locks:	the ring's, see veventq.h; read_lock serializes readers and is
 *		held across accesses to user memory. Only readers take it.
 * Dies:	by IOMMU_DESTROY once the file is closed, or with the iommufd,
 *		which the file keeps open.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <trace/events/iommufd_viommu.h>

#include "private.h"

#define IOMMUFD_VEVENTQ_MAX_DEPTH	BIT(19)

/* Copies the first record, which may report a loss; returns its size or 0 */
static size_t iommufd_vevent_peek(struct iommufd_vevent_ring *ring,
				  struct iommufd_vevent_header *record)
{
	size_t size = 0;

	spin_lock_irq(&ring->lock);
	if (ring->count) {
		size = ring->size;
		memcpy(record, iommufd_vevent_at(ring, 0), size);
	} else if (ring->lost) {
		size = sizeof(*record);
		record->flags = IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
		record->sequence = ring->lost_sequence;
	}
	spin_unlock_irq(&ring->lock);
	return size;
}

/*
 * Drops the record that iommufd_vevent_peek() has copied. If more events were
 * lost meanwhile the loss is reported again; if one was queued meanwhile its
 * sequence number shows the loss.
 */
static void iommufd_vevent_drop(struct iommufd_vevent_ring *ring,
				const struct iommufd_vevent_header *record)
{
	spin_lock_irq(&ring->lock);
	if (record->flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) {
		if (ring->lost_sequence == record->sequence)
			ring->lost = false;
	} else {
		ring->head++;
		if (ring->head == ring->depth)
			ring->head = 0;
		ring->count--;
	}
	spin_unlock_irq(&ring->lock);
}

static ssize_t iommufd_veventq_fops_read(struct file *filep, char __user *buf,
					 size_t count, loff_t *ppos)
{
	u8 record[IOMMUFD_VEVENT_MAX_SIZE] __aligned(8);
	struct iommufd_veventq_obj *veventq = filep->private_data;
	struct iommufd_vevent_header *header = (void *)record;
	size_t done = 0;
	size_t size;
	int rc = 0;

	if (count < sizeof(struct iommufd_vevent_header))
		return -EINVAL;

	if (mutex_lock_interruptible(&veventq->read_lock))
		return -ERESTARTSYS;
	while ((size = iommufd_vevent_peek(&veventq->ring, header))) {
		if (size > count - done) {
			rc = -EINVAL;
			break;
		}
		if (copy_to_user(buf + done, record, size)) {
			rc = -EFAULT;
			break;
		}
		iommufd_vevent_drop(&veventq->ring, header);
		done += size;
		/*
		 * The report of a loss ends a read(), even if events have
		 * followed
		 */
		if (header->flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS)
			break;
		cond_resched();
	}
	mutex_unlock(&veventq->read_lock);
	return done ?: rc;
}

static __poll_t iommufd_veventq_fops_poll(struct file *filep,
					  struct poll_table_struct *wait)
{
	struct iommufd_veventq_obj *veventq = filep->private_data;
	struct iommufd_vevent_ring *ring = &veventq->ring;
	__poll_t mask = 0;

	poll_wait(filep, &ring->wait, wait);
	spin_lock_irq(&ring->lock);
	if (ring->count || ring->lost)
		mask = EPOLLIN | EPOLLRDNORM;
	spin_unlock_irq(&ring->lock);
	return mask;
}

static int iommufd_veventq_fops_release(struct inode *inode, struct file *filep)
{
	struct iommufd_veventq_obj *veventq = filep->private_data;
	struct iommufd_ctx *ictx = veventq->ictx;

	/* The object may be freed once this reference is dropped */
	refcount_dec(&veventq->obj.users);
	iommufd_ctx_put(ictx);
	return 0;
}

/* Open for writing too, so that write() fails with EINVAL */
static const struct file_operations iommufd_veventq_fops = {
	.owner		= THIS_MODULE,
	.read		= iommufd_veventq_fops_read,
	.poll		= iommufd_veventq_fops_poll,
	.release	= iommufd_veventq_fops_release,
};

void iommufd_veventq_destroy(struct iommufd_object *obj)
{
	struct iommufd_veventq_obj *veventq =
		container_of(obj, struct iommufd_veventq_obj, obj);
	struct iommufd_viommu *viommu = &veventq->viommu_obj->viommu;

	trace_iommufd_veventq_destroy(obj->id, veventq->viommu_obj->obj.id);
	spin_lock_irq(&viommu->vevents_lock);
	list_del(&veventq->ring.item);
	spin_unlock_irq(&viommu->vevents_lock);

	kvfree(veventq->ring.records);
	mutex_destroy(&veventq->read_lock);
	refcount_dec(&veventq->viommu_obj->obj.users);
}

static const struct iommufd_veventq_type *
iommufd_veventq_find_type(const struct iommufd_viommu_ops *ops, u32 type)
{
	const struct iommufd_veventq_type *t = ops->veventq_types;

	for (; t && t->payload_size; t++)
		if (t->type == type)
			return t;
	return NULL;
}

/* Allows one queue for each type; from here on the queue takes events */
static int iommufd_veventq_link(struct iommufd_viommu *viommu,
				struct iommufd_vevent_ring *new)
{
	struct iommufd_vevent_ring *ring;
	int rc = 0;

	spin_lock_irq(&viommu->vevents_lock);
	list_for_each_entry(ring, &viommu->vevents, item) {
		if (ring->type == new->type) {
			rc = -EEXIST;
			break;
		}
	}
	if (!rc)
		list_add_tail(&new->item, &viommu->vevents);
	spin_unlock_irq(&viommu->vevents_lock);
	return rc;
}

static struct iommufd_veventq_obj *
iommufd_veventq_create(struct iommufd_ctx *ictx,
		       struct iommufd_viommu_obj *viommu_obj,
		       const struct iommufd_veventq_type *type, u32 depth)
{
	struct iommufd_veventq_obj *veventq;
	struct iommufd_vevent_ring *ring;
	int rc;

	if (WARN_ON_ONCE(type->payload_size > IOMMUFD_VEVENT_MAX_PAYLOAD))
		return ERR_PTR(-EOPNOTSUPP);

	veventq = iommufd_object_alloc(ictx, veventq, IOMMUFD_OBJ_VEVENTQ);
	if (IS_ERR(veventq))
		return veventq;
	veventq->ictx = ictx;
	veventq->viommu_obj = viommu_obj;
	mutex_init(&veventq->read_lock);

	ring = &veventq->ring;
	ring->id = veventq->obj.id;
	ring->type = type->type;
	ring->size = sizeof(struct iommufd_vevent_header) + type->payload_size;
	ring->depth = depth;
	init_waitqueue_head(&ring->wait);
	spin_lock_init(&ring->lock);

	rc = -ENOMEM;
	/* User space chooses the depth, so do not log a failure */
	ring->records = kvcalloc(depth, ring->size,
				 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!ring->records)
		goto err_abort;

	rc = iommufd_veventq_link(&viommu_obj->viommu, ring);
	if (rc)
		goto err_free;
	refcount_inc(&viommu_obj->obj.users);
	trace_iommufd_veventq_alloc(veventq->obj.id, viommu_obj->obj.id, type->type,
				    depth);
	return veventq;

err_free:
	kvfree(ring->records);
err_abort:
	mutex_destroy(&veventq->read_lock);
	iommufd_object_abort(ictx, &veventq->obj);
	return ERR_PTR(rc);
}

static int iommufd_veventq_open(struct iommufd_veventq_obj *veventq)
{
	struct file *filep;

	filep = anon_inode_getfile("[iommufd-viommu-event]",
				   &iommufd_veventq_fops, veventq, O_RDWR);
	if (IS_ERR(filep))
		return PTR_ERR(filep);
	/* Events have no position, so readers do not share one either */
	stream_open(file_inode(filep), filep);

	refcount_inc(&veventq->obj.users);
	iommufd_ctx_get(veventq->ictx);
	veventq->filep = filep;
	return 0;
}

int iommufd_veventq_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_veventq_alloc *cmd = ucmd->cmd;
	const struct iommufd_veventq_type *type;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_veventq_obj *veventq;
	int fdno;
	int rc;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->type == IOMMU_VEVENTQ_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	if (!cmd->veventq_depth ||
	    cmd->veventq_depth > IOMMUFD_VEVENTQ_MAX_DEPTH)
		return -EINVAL;

	viommu_obj = iommufd_get_viommu(ucmd, cmd->viommu_id);
	if (IS_ERR(viommu_obj))
		return PTR_ERR(viommu_obj);

	type = iommufd_veventq_find_type(viommu_obj->viommu.ops, cmd->type);
	if (!type) {
		rc = -EOPNOTSUPP;
		goto out_put_viommu;
	}

	veventq = iommufd_veventq_create(ucmd->ictx, viommu_obj, type,
					 cmd->veventq_depth);
	if (IS_ERR(veventq)) {
		rc = PTR_ERR(veventq);
		goto out_put_viommu;
	}
	rc = iommufd_veventq_open(veventq);
	if (rc)
		goto out_abort;

	fdno = get_unused_fd_flags(O_CLOEXEC);
	if (fdno < 0) {
		rc = fdno;
		goto out_abort;
	}

	cmd->out_veventq_id = veventq->obj.id;
	cmd->out_veventq_fd = fdno;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		goto out_put_fdno;

	iommufd_object_finalize(ucmd->ictx, &veventq->obj);
	fd_install(fdno, veventq->filep);
	goto out_put_viommu;

out_put_fdno:
	put_unused_fd(fdno);
out_abort:
	iommufd_object_abort_and_destroy(ucmd->ictx, &veventq->obj);
out_put_viommu:
	iommufd_put_object(ucmd->ictx, &viommu_obj->obj);
	return rc;
}
