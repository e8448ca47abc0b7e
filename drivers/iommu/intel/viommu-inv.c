// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on VT-d: execution of a guest's invalidation descriptors
 *
 *	guest's descriptors --> intel_vinv --> host's descriptors --> queue
 *	                                       caches | device TLBs
 *
 * A guest names its own domain IDs, its PASIDs and its requester IDs. One of
 * its domain IDs stands for any number of nested domains, each with a domain ID
 * of the host that is only in use for that domain. The cache tags of a domain
 * say under which IDs and PASIDs, and in which devices, something of it can be
 * cached. So a guest reaches its own cache entries only.
 *
 * Device TLBs fill from the caches of the IOMMU, so a chunk of the guest's
 * descriptors first goes to those, and then to device TLBs. The kernel does not
 * know whether the guest has enabled ATS. So the device TLBs of a domain are
 * invalidated with it, as on a nested HWPT.
 *
 * Locks:	intel_viommu::call_lock for a call, and in it
 *		intel_viommu::lock for a chunk; in that the cache_lock of a
 *		domain.
 *
 * A domain has its tags from before an entry of the PASID table refers to it
 * until no cache has anything of it. An attach or a detach that runs at the
 * same time does no harm: what the caches get of a domain that is attached
 * after its tags were looked at comes from tables that the guest has already
 * changed; and if a domain ID is freed and used again before the descriptor is
 * executed, the new user loses cache entries that fill again. Devices do not
 * lose their virtual device while a descriptor for them is in the queue.
 */
#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/linux/iommufd.h>

#include "viommu.h"

/*
 * Descriptors that are copied from user space at once: mostly the host has one
 * for each, so this makes one submission
 */
#define INTEL_VINV_CHUNK	INTEL_VINV_DESCS

/* A size in bytes that the guest's queue can have */
#define INTEL_VINV_SHORT	16

/* How often a device that does not answer is asked */
#define INTEL_VINV_TRIES	3

/* How often descriptors are repeated as another sender's device does not answer */
#define INTEL_VINV_REPEATS	64

/**
 * struct intel_vinv_list - Descriptors of the host for one submission
 * @n: How many there are
 * @of: For each the guest's descriptor that it is for
 * @descs: The descriptors
 */
struct intel_vinv_list {
	u32 n;
	u32 of[INTEL_VINV_DESCS];
	struct qi_desc descs[INTEL_VINV_DESCS];
};

/**
 * struct intel_vinv_batch - Buffers for one call
 * @taken: Descriptors of the guest that were translated
 * @done: Descriptors of the guest that are complete
 * @broken: The last submission failed
 * @bad: The guest's descriptor that it failed at
 * @nr_caches: Descriptors of the host for the caches of the IOMMU so far
 * @nr_devs: The same for device TLBs, with those that were dropped as repeated
 * @caches: Those for the caches of the IOMMU that were not submitted
 * @devs: Those for device TLBs that were not submitted
 * @run: Quad word 0 of a guest's descriptor that has one descriptor of the host
 * @run_host: Quad word 0 of that; 0 if there is no @run
 * @max_am: The greatest order of a range that the unit takes
 * @guest: A chunk of the guest's descriptors
 *
 * Descriptors of the guest are counted from the start of the call.
 */
struct intel_vinv_batch {
	u32 taken;
	u32 done;
	bool broken;
	u32 bad;
	u32 nr_caches;
	u32 nr_devs;
	struct intel_vinv_list caches;
	struct intel_vinv_list devs;
	u64 run;
	u64 run_host;
	u8 max_am;
	u64 guest[INTEL_VINV_CHUNK][4];
};

struct intel_vinv_batch *intel_vinv_batch_alloc(void)
{
	return kvzalloc(sizeof(struct intel_vinv_batch), GFP_KERNEL_ACCOUNT);
}

void intel_vinv_batch_free(struct intel_vinv_batch *batch)
{
	kvfree(batch);
}

/* Everything before the first descriptor that still waits is complete */
static void intel_vinv_count(struct intel_vinv_batch *batch)
{
	batch->done = batch->taken;
	if (batch->devs.n)
		batch->done = min(batch->done, batch->devs.of[0]);
	if (batch->caches.n)
		batch->done = min(batch->done, batch->caches.of[0]);
}

/*
 * If a device does not answer, hardware aborts all that it has read from the
 * queue. Only a device of this guest uses up the tries. Another sender's causes a
 * delay; the number of repeats is a bound that it does not reach in practice.
 */
static int intel_vinv_try(struct intel_iommu *iommu, struct intel_vinv_list *list,
			  u32 *done)
{
	unsigned int tries = 0, repeats = 0;
	int ret;

	for (;;) {
		ret = qi_submit_partial(iommu, list->descs, list->n, done);
		if (ret == -ETIME && ++tries < INTEL_VINV_TRIES)
			continue;
		if (ret != -EAGAIN || ++repeats == INTEL_VINV_REPEATS)
			break;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	/* Refused by the hardware */
	if (ret == -EINVAL)
		return -EIO;
	return ret == -EAGAIN || ret == -ETIME ? -ETIMEDOUT : ret;
}

static int intel_vinv_submit(struct intel_viommu *viommu,
			     struct intel_vinv_list *list)
{
	struct intel_vinv_batch *batch = viommu->batch;
	u32 done = 0;
	int ret;

	lockdep_assert_held(&viommu->lock);

	if (!list->n)
		return 0;

	ret = intel_vinv_try(viommu->iommu, list, &done);
	list->n = 0;
	intel_vinv_count(batch);
	batch->broken = ret;
	if (ret) {
		batch->bad = list->of[done];
		batch->done = min(batch->done, batch->bad);
	}
	return ret;
}

/*
 * If a descriptor is refused, those before it must be complete, so their device
 * TLBs are invalidated.
 */
static int intel_vinv_submit_caches(struct intel_viommu *viommu)
{
	struct intel_vinv_batch *batch = viommu->batch;
	struct intel_vinv_list *devs = &batch->devs;
	u32 bad;
	int ret;

	ret = intel_vinv_submit(viommu, &batch->caches);
	if (!ret)
		return 0;

	bad = batch->bad;
	while (devs->n && devs->of[devs->n - 1] >= bad)
		devs->n--;
	ret = intel_vinv_submit(viommu, devs) ?: ret;
	batch->done = min(bad, batch->done);
	batch->broken = true;
	return ret;
}

/* Complete everything, in the order in which caches fill from each other */
static int intel_vinv_flush(struct intel_viommu *viommu)
{
	int ret;

	ret = intel_vinv_submit_caches(viommu);
	if (!ret)
		ret = intel_vinv_submit(viommu, &viommu->batch->devs);
	if (!ret)
		intel_vinv_count(viommu->batch);
	return ret;
}

/* A place for a descriptor of the host; full lists are submitted */
static struct qi_desc *intel_vinv_cache_desc(struct intel_viommu *viommu,
					     int *ret)
{
	struct intel_vinv_batch *batch = viommu->batch;
	struct intel_vinv_list *list = &batch->caches;

	if (list->n == INTEL_VINV_DESCS) {
		*ret = intel_vinv_submit_caches(viommu);
		if (*ret)
			return NULL;
	}
	batch->nr_caches++;
	list->of[list->n] = batch->taken;
	return &list->descs[list->n++];
}

static struct qi_desc *intel_vinv_dev_desc(struct intel_viommu *viommu,
					   int *ret)
{
	struct intel_vinv_batch *batch = viommu->batch;
	struct intel_vinv_list *list = &batch->devs;

	if (list->n == INTEL_VINV_DESCS) {
		*ret = intel_vinv_flush(viommu);
		if (*ret)
			return NULL;
	}
	batch->nr_devs++;
	list->of[list->n] = batch->taken;
	return &list->descs[list->n++];
}

/* Invalidate everything of a domain ID of the host */
static int intel_vinv_did(struct intel_viommu *viommu, u16 did)
{
	struct qi_desc *desc;
	int ret = 0;

	desc = intel_vinv_cache_desc(viommu, &ret);
	if (desc)
		qi_desc_iotlb(viommu->iommu, did, 0, 0, DMA_TLB_DSI_FLUSH, desc);
	return ret;
}

static int intel_vinv_pasid(struct intel_viommu *viommu, u16 did, u32 pasid,
			    const struct intel_vinv *inv)
{
	unsigned long npages = inv->order == INTEL_VINV_ALL ? -1 :
							      1UL << inv->order;
	struct qi_desc *desc;
	int ret = 0;

	desc = intel_vinv_cache_desc(viommu, &ret);
	if (desc) {
		qi_desc_piotlb(did, pasid, inv->addr, npages, inv->ih, desc);
		desc->qw2 = 0;
		desc->qw3 = 0;
	}
	return ret;
}

/*
 * Invalidate a range in a device. A guest with ATS sends such a descriptor
 * after the one that has already caused it, so drop one that repeats the last.
 */
static int intel_vinv_dev(struct intel_viommu *viommu,
			  struct device_domain_info *info,
			  const struct intel_vinv *inv)
{
	struct intel_vinv_list *list = &viommu->batch->devs;
	u16 sid = PCI_DEVID(info->bus, info->devfn);
	struct qi_desc new = {}, *desc;
	unsigned int i;
	int ret = 0;

	/* There is nothing in its TLB */
	if (!info->ats_enabled || !(viommu->iommu->gcmd & DMA_GCMD_TE) ||
	    pci_dev_is_disconnected(to_pci_dev(info->dev)))
		return 0;
	if (inv->scope == INTEL_VINV_DEV) {
		qi_desc_dev_iotlb(sid, info->pfsid, info->ats_qdep, inv->addr,
				  inv->order, &new);
	} else {
		if (!info->pasid_enabled ||
		    (inv->scope == INTEL_VINV_DEV_PASID &&
		     inv->pasid >= info->dev->iommu->max_pasids))
			return 0;
		qi_desc_dev_iotlb_pasid(sid, info->pfsid, inv->pasid,
					info->ats_qdep, inv->addr, inv->order,
					&new);
		if (inv->scope == INTEL_VINV_DEV_PASIDS)
			new.qw1 |= QI_DEV_IOTLB_GRAN_ALL;
	}

	/* It counts nevertheless, for what the next ones of a run must have */
	if (list->n && !memcmp(&list->descs[list->n - 1], &new, sizeof(new))) {
		viommu->batch->nr_devs++;
		return 0;
	}
	for (i = 0; i <= info->dtlb_extra_inval; i++) {
		desc = intel_vinv_dev_desc(viommu, &ret);
		if (!desc)
			break;
		*desc = new;
	}
	return ret;
}

/* Invalidate a range in the device of a tag, for the PASID of the tag */
static int intel_vinv_dev_tag(struct intel_viommu *viommu,
			      const struct cache_tag *tag,
			      const struct intel_vinv *inv)
{
	const struct intel_vinv dev_inv = {
		.scope = tag->pasid == IOMMU_NO_PASID ? INTEL_VINV_DEV :
							INTEL_VINV_DEV_PASID,
		.pasid = tag->pasid,
		.addr = inv->addr,
		.order = inv->order,
	};

	return intel_vinv_dev(viommu, dev_iommu_priv_get(tag->dev), &dev_inv);
}

/* Invalidate what the caches have of a domain */
static int intel_vinv_domain(struct intel_viommu *viommu,
			     struct intel_viommu_domain *nested,
			     const struct intel_vinv *inv)
{
	bool by_pasid = inv->scope == INTEL_VINV_PASID;
	struct dmar_domain *domain = &nested->domain;
	struct cache_tag *tag;
	u16 did_done = 0;
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&domain->cache_lock, flags);
	list_for_each_entry(tag, &domain->cache_tags, node) {
		if (by_pasid && tag->pasid != inv->pasid)
			continue;
		if (tag->type == CACHE_TAG_DEVTLB) {
			ret = intel_vinv_dev_tag(viommu, tag, inv);
		} else if (by_pasid && nested->kind == INTEL_VPE_NESTED) {
			ret = intel_vinv_pasid(viommu, tag->domain_id,
					       tag->pasid, inv);
		} else if (tag->domain_id != did_done) {
			/* Mostly all have the same, see cache_tag_assign_next() */
			ret = intel_vinv_did(viommu, tag->domain_id);
			did_done = tag->domain_id;
		}
		if (ret)
			break;
	}
	spin_unlock_irqrestore(&domain->cache_lock, flags);
	return ret;
}

static int intel_vinv_domains(struct intel_viommu *viommu,
			      const struct intel_vinv *inv)
{
	struct intel_viommu_domain *nested;
	unsigned int bucket;
	int ret = 0;

	if (inv->scope != INTEL_VINV_VM) {
		hash_for_each_possible(viommu->nested, nested, node, inv->did) {
			if (nested->guest_did == inv->did)
				ret = intel_vinv_domain(viommu, nested, inv);
			if (ret)
				break;
			cond_resched();
		}
		return ret;
	}

	hash_for_each(viommu->nested, bucket, nested, node) {
		ret = intel_vinv_domain(viommu, nested, inv);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

static int intel_vinv_device(struct intel_viommu *viommu,
			     const struct intel_vinv *inv)
{
	struct device_domain_info *info = NULL;
	struct iommufd_vdevice *vdev;
	unsigned long flags;

	/* viommu->lock keeps the virtual device, and with it the device */
	flags = iommufd_viommu_lock_vdevs(&viommu->core);
	vdev = iommufd_viommu_find_vdevice(&viommu->core, inv->sid);
	if (vdev)
		info = container_of(vdev, struct intel_vdevice, core)->info;
	iommufd_viommu_unlock_vdevs(&viommu->core, flags);
	if (!info)
		return -EIO;

	/* It would not answer, and has lost its TLB */
	if (!pci_device_is_present(to_pci_dev(info->dev)))
		return 0;
	return intel_vinv_dev(viommu, info, inv);
}

/*
 * Note that @guest has become one descriptor of the host, the last one. A guest
 * that unmaps a buffer sends many that only differ in the range.
 */
static void intel_vinv_start_run(struct intel_vinv_batch *batch,
				 const u64 *guest)
{
	struct qi_desc *last = &batch->caches.descs[batch->caches.n - 1];

	/* For a domain that passes through it is one for the domain ID */
	if ((last->qw0 & GENMASK_ULL(3, 0)) != QI_EIOTLB_TYPE)
		return;
	batch->run = guest[0];
	batch->run_host = last->qw0;
}

/* Takes those of the @n descriptors at @guest that are more of a run; how many */
static u32 intel_vinv_follow(struct intel_vinv_batch *batch,
			     const u64 (*guest)[4], u32 n)
{
	const u64 run = batch->run, run_host = batch->run_host;
	struct intel_vinv_list *list = &batch->caches;
	struct qi_desc *desc = &list->descs[list->n];
	u32 *of = &list->of[list->n];
	const u32 taken = batch->taken;
	u8 max_am = batch->max_am;
	u32 i;

	if (!run_host)
		return 0;
	n = min(n, INTEL_VINV_DESCS - list->n);
	for (i = 0; i < n; i++) {
		u64 word1 = guest[i][1];
		u8 am = word1 & 0x3f;

		if (((guest[i][0] ^ run) | (word1 & GENMASK_ULL(11, 7)) |
		     guest[i][2] | guest[i][3]) || am > max_am)
			break;
		if (am)
			word1 &= ~(BIT_ULL(VTD_PAGE_SHIFT + am) - BIT_ULL(7));
		of[i] = taken + i;
		desc[i].qw0 = run_host;
		desc[i].qw1 = word1;
		desc[i].qw2 = 0;
		desc[i].qw3 = 0;
	}
	list->n += i;
	batch->taken += i;
	return i;
}

static int intel_vinv_take(struct intel_viommu *viommu, const u64 *guest)
{
	struct intel_vinv_batch *batch = viommu->batch;
	u32 nr_caches = batch->nr_caches, nr_devs = batch->nr_devs;
	struct intel_vinv inv;
	int ret;

	batch->run_host = 0;
	ret = intel_vinv_check(viommu->iommu->cap, viommu->iommu->ecap, guest,
			       &inv);
	if (ret)
		return ret;

	switch (inv.scope) {
	case INTEL_VINV_VM:
	case INTEL_VINV_DID:
	case INTEL_VINV_PASID:
		break;
	default:
		return intel_vinv_device(viommu, &inv);
	}

	ret = intel_vinv_domains(viommu, &inv);
	if (!ret && inv.order != INTEL_VINV_ALL &&
	    batch->nr_caches == nr_caches + 1 && batch->nr_devs == nr_devs)
		intel_vinv_start_run(batch, guest);
	return ret;
}

/* intel_vinv_copy() for descriptors of a queue whose are short */
static u32 intel_vinv_copy_short(struct intel_vinv_batch *batch,
				 const u64 __user *from, u32 n, int *err)
{
	u32 i = 0;

	*err = -EFAULT;
	if (!user_read_access_begin(from, n * INTEL_VINV_SHORT))
		return 0;
	for (; i < n; i++) {
		u64 *desc = batch->guest[i];

		unsafe_get_user(desc[0], from++, fault);
		unsafe_get_user(desc[1], from++, fault);
		desc[2] = 0;
		desc[3] = 0;
	}
	*err = 0;
fault:
	user_read_access_end();
	return i;
}

/* Returns how many of @n descriptors at @uptr there are; why not all in @err */
static u32 intel_vinv_copy(struct intel_vinv_batch *batch,
			   const void __user *uptr, size_t len, u32 n, int *err)
{
	const size_t size = sizeof(batch->guest[0]);
	unsigned long left;
	u32 i;

	if (len == INTEL_VINV_SHORT)
		return intel_vinv_copy_short(batch, uptr, n, err);

	*err = 0;
	if (len == size) {
		left = copy_from_user(batch->guest, uptr, n * size);
		if (left)
			*err = -EFAULT;
		return n - DIV_ROUND_UP(left, size);
	}

	for (i = 0; i < n; i++) {
		*err = copy_struct_from_user(batch->guest[i], size,
					     uptr + i * len, len);
		if (*err)
			break;
	}
	return i;
}

/*
 * Take up to a chunk of @left descriptors at @uptr. On success all that were
 * taken are complete; on failure @batch->done are.
 */
static int intel_vinv_chunk(struct intel_viommu *viommu,
			    const void __user *uptr, size_t len, u32 left)
{
	u32 want = min_t(u32, left, INTEL_VINV_CHUNK);
	struct intel_vinv_batch *batch = viommu->batch;
	int flush_ret, ret = 0, err;
	u32 i, n;

	n = intel_vinv_copy(batch, uptr, len, want, &err);

	mutex_lock(&viommu->lock);
	batch->run_host = 0;
	batch->broken = false;
	for (i = 0; i < n; i++, batch->taken++) {
		i += intel_vinv_follow(batch, batch->guest + i, n - i);
		if (i == n)
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = intel_vinv_take(viommu, batch->guest[i]);
		if (ret)
			break;
	}
	/*
	 * The ones before a bad one count as done, so they must be complete. If
	 * that fails, report it rather than the guest's error.
	 */
	if (!batch->broken) {
		flush_ret = intel_vinv_flush(viommu);
		ret = flush_ret ?: ret;
	}
	mutex_unlock(&viommu->lock);
	return ret ?: err;
}

int intel_viommu_cache_invalidate(struct iommufd_viommu *core,
				  struct iommu_user_data_array *array)
{
	struct intel_viommu *viommu = to_intel_viommu(core);
	const void __user *uptr = array->uptr;
	struct intel_vinv_batch *batch = viommu->batch;
	u32 num = array->entry_num;
	int ret;

	array->entry_num = 0;
	if (array->type != IOMMU_VIOMMU_INVALIDATE_DATA_INTEL_VTD)
		return -EINVAL;
	if (!num)
		return 0;
	if (array->entry_len < INTEL_VINV_SHORT)
		return -EINVAL;

	mutex_lock(&viommu->call_lock);
	batch->taken = 0;
	batch->done = 0;
	batch->nr_caches = 0;
	batch->nr_devs = 0;
	batch->max_am = min_t(u8, cap_max_amask_val(viommu->iommu->cap),
			      INTEL_VINV_ALL - 1);
	for (;;) {
		ret = intel_vinv_chunk(viommu, uptr, array->entry_len,
				       num - batch->taken);
		if (ret || batch->taken == num)
			break;
		uptr += array->entry_len * INTEL_VINV_CHUNK;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	batch->caches.n = 0;
	batch->devs.n = 0;
	array->entry_num = batch->done;
	mutex_unlock(&viommu->call_lock);
	return ret;
}
