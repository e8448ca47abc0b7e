// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the AMD IOMMU: execution of a guest's commands
 *
 *	guest's commands --> amd_vcmd --> host's commands --> command buffer
 *
 * A guest names its own DomainIDs and DeviceIDs. A DomainID of the guest stands
 * for one of the host, which only this vIOMMU has, a DeviceID for a virtual
 * device. So a guest reaches its own cache entries only.
 *
 * The IOMMU executes commands in order, so they keep the guest's: the TLB of a
 * device fills from that of the IOMMU, which the guest has invalidated before. A
 * guest that does not know that a device uses ATS does not invalidate the TLB of
 * it; for such a device each command for its DomainID has one for it as well.
 *
 * Locks:	amd_viommu::call_lock for a call, and in it amd_viommu::lock for
 *		a chunk: from the lookups until the commands are complete. An
 *		attach takes that as well, so neither a DomainID nor a device
 *		goes in between.
 */
#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/linux/iommufd.h>

#include "viommu.h"

#define AMD_VCMD_SIZE	sizeof(struct iommu_viommu_amd_invalidate)

/*
 * The most commands in one submission that a device has to answer. All who use the
 * IOMMU wait for that, and not longer than 100 ms.
 */
#define AMD_VCMD_DEVS	16

/**
 * struct amd_vcmd_batch - Buffers for one call
 * @taken: Commands of the guest that were translated
 * @done: Commands of the guest that are complete
 * @broken: The last submission failed
 * @n: Commands of the host that were not submitted
 * @devs: How many of them a device has to answer
 * @of: For each the command of the guest that it is for
 * @cmds: The commands
 * @run: Lower half of a guest's command that has one command of the host
 * @run_host: The same of that; 0 if there is no @run
 * @run_flags: The guest's bits 11:1 of the upper half
 * @guest: A chunk of the guest's commands
 *
 * Commands of the guest are counted from the start of the call.
 */
struct amd_vcmd_batch {
	u32 taken;
	u32 done;
	bool broken;
	u32 n;
	u32 devs;
	u32 of[AMD_VCMD_CHUNK];
	struct iommu_cmd cmds[AMD_VCMD_CHUNK];
	u64 run;
	u64 run_host;
	u32 run_flags;
	u64 guest[AMD_VCMD_CHUNK][2];
};

struct amd_vcmd_batch *amd_vcmd_batch_alloc(void)
{
	return kvzalloc(sizeof(struct amd_vcmd_batch), GFP_KERNEL_ACCOUNT);
}

void amd_vcmd_batch_free(struct amd_vcmd_batch *batch)
{
	kvfree(batch);
}

/* Complete what was translated */
static int amd_vcmd_flush(struct amd_viommu *viommu)
{
	struct amd_vcmd_batch *batch = viommu->batch;
	u32 done;
	int ret;

	lockdep_assert_held(&viommu->lock);

	batch->done = batch->taken;
	if (!batch->n)
		return 0;

	if (viommu->hung && amd_viommu_hangs(viommu->iommu, viommu->hung)) {
		done = 0;
		ret = -ETIMEDOUT;
	} else {
		ret = amd_viommu_submit(viommu->iommu, batch->cmds, batch->n,
					&done);
		viommu->hung = ret == -ETIMEDOUT ?
			READ_ONCE(viommu->iommu->cmd_sem_val) : 0;
	}
	batch->n = 0;
	batch->devs = 0;
	batch->broken = ret;
	if (ret)
		batch->done = batch->of[done];
	return ret;
}

/* A place for a command of the host; a full list is submitted */
static struct iommu_cmd *amd_vcmd_next(struct amd_viommu *viommu, int *ret)
{
	struct amd_vcmd_batch *batch = viommu->batch;

	if (batch->n == AMD_VCMD_CHUNK) {
		*ret = amd_vcmd_flush(viommu);
		if (*ret)
			return NULL;
	}
	batch->of[batch->n] = batch->taken;
	return &batch->cmds[batch->n++];
}

/*
 * A range of an attached device: of requests without PASID unless @vcmd has one. The
 * device knows those that GIOV makes requests of PASID 0 as ones without.
 */
static int amd_vcmd_iotlb(struct amd_viommu *viommu,
			  struct iommu_dev_data *dev_data,
			  const struct amd_vcmd *vcmd)
{
	bool gn = vcmd->scope != AMD_VCMD_DEV;
	struct iommu_cmd *cmd;
	int ret = 0;

	/* There is nothing in its TLB */
	if (!dev_data->ats_enabled)
		return 0;
	if (viommu->batch->devs >= AMD_VCMD_DEVS) {
		ret = amd_vcmd_flush(viommu);
		if (ret)
			return ret;
	}
	if (!gn || !vcmd->pasid) {
		cmd = amd_vcmd_next(viommu, &ret);
		if (!cmd)
			return ret;
		amd_vcmd_make_iotlb(cmd, dev_data->devid, dev_data->ats_qdep,
				    vcmd->range);
		viommu->batch->devs++;
	}
	if (gn && dev_data->pasid_enabled) {
		cmd = amd_vcmd_next(viommu, &ret);
		if (!cmd)
			return ret;
		amd_vcmd_make_iotlb_pasid(cmd, dev_data->devid,
					  dev_data->ats_qdep, vcmd->range,
					  vcmd->pasid);
		viommu->batch->devs++;
	}
	return 0;
}

/* Everything of an attached device */
static int amd_vcmd_iotlb_all(struct amd_viommu *viommu,
			      struct iommu_dev_data *dev_data)
{
	const struct amd_vcmd all = {
		.scope = AMD_VCMD_DEV,
		.range = AMD_VCMD_ALL,
	};
	int ret;

	if (!dev_data->ats_enabled || !dev_data->pasid_enabled)
		return amd_vcmd_iotlb(viommu, dev_data, &all);
	/* It must not fill from what is in the TLB of the IOMMU */
	ret = amd_vcmd_flush(viommu);
	if (!ret)
		amd_iommu_restart_ats(dev_data);
	return ret;
}

/* The TLBs of devices whose guest does not know that they have one */
static int amd_vcmd_silent(struct amd_viommu *viommu,
			   const struct amd_vdomid *domid,
			   const struct amd_vcmd *vcmd)
{
	struct iommu_dev_data *dev_data;
	int ret;

	if (!viommu->silent)
		return 0;
	list_for_each_entry(dev_data, &viommu->devs, list) {
		if (dev_data->nested->domid != domid ||
		    dev_data->nested->vdte.ats)
			continue;
		ret = vcmd->scope == AMD_VCMD_PASID ?
			      amd_vcmd_iotlb(viommu, dev_data, vcmd) :
			      amd_vcmd_iotlb_all(viommu, dev_data);
		if (ret)
			return ret;
	}
	return 0;
}

/* Otherwise nothing of the VM is in its TLB */
static bool amd_vcmd_is_attached(struct amd_viommu *viommu,
				 struct iommu_dev_data *dev_data)
{
	struct iommu_dev_data *pos;

	list_for_each_entry(pos, &viommu->devs, list)
		if (pos == dev_data)
			return true;
	return false;
}

static int amd_vcmd_domain(struct amd_viommu *viommu,
			   const struct amd_vdomid *domid,
			   const struct amd_vcmd *vcmd)
{
	struct iommu_cmd *cmd;
	int ret = 0;

	cmd = amd_vcmd_next(viommu, &ret);
	if (!cmd)
		return ret;
	if (vcmd->scope == AMD_VCMD_PASID)
		amd_vcmd_make_pages(cmd, domid->host, vcmd);
	else
		amd_viommu_make_flush(cmd, domid->host);
	return amd_vcmd_silent(viommu, domid, vcmd);
}

static int amd_vcmd_domains(struct amd_viommu *viommu,
			    const struct amd_vcmd *vcmd)
{
	struct amd_vdomid *domid;

	hash_for_each_possible(viommu->domids, domid, node, vcmd->id)
		if (domid->guest == vcmd->id)
			return amd_vcmd_domain(viommu, domid, vcmd);
	return 0;
}

struct amd_vcmd_rid {
	struct amd_viommu *viommu;
	int ret;
};

static void amd_vcmd_devtab_rid(struct amd_iommu *iommu,
				struct iommu_dev_data *rid, void *data)
{
	struct amd_vcmd_rid *arg = data;
	struct iommu_cmd *cmd;

	if (arg->ret)
		return;
	cmd = amd_vcmd_next(arg->viommu, &arg->ret);
	if (cmd)
		amd_vcmd_make_devtab(cmd, rid->devid);
}

static int amd_vcmd_devtab(struct amd_viommu *viommu,
			   struct iommu_dev_data *dev_data)
{
	struct amd_vcmd_rid arg = { .viommu = viommu };

	amd_iommu_for_all_rids(dev_data, amd_vcmd_devtab_rid, &arg);
	return arg.ret;
}

static int amd_vcmd_device(struct amd_viommu *viommu,
			   const struct amd_vcmd *vcmd)
{
	struct iommu_dev_data *dev_data = NULL;
	struct iommufd_vdevice *vdev;
	unsigned long flags;

	/* viommu->lock keeps the virtual device, and with it the device */
	flags = iommufd_viommu_lock_vdevs(&viommu->core);
	vdev = iommufd_viommu_find_vdevice(&viommu->core, vcmd->id);
	if (vdev)
		dev_data = container_of(vdev, struct amd_vdevice, core)->dev_data;
	iommufd_viommu_unlock_vdevs(&viommu->core, flags);
	if (!dev_data)
		return -EIO;

	if (vcmd->scope == AMD_VCMD_DEVTAB)
		return amd_vcmd_devtab(viommu, dev_data);
	if (!amd_vcmd_is_attached(viommu, dev_data))
		return 0;
	return amd_vcmd_iotlb(viommu, dev_data, vcmd);
}

static int amd_vcmd_vm(struct amd_viommu *viommu)
{
	const struct amd_vcmd all = { .scope = AMD_VCMD_DOMAIN };
	struct iommu_dev_data *dev_data;
	struct amd_vdomid *domid;
	struct amd_vdevice *vdev;
	unsigned int bucket;
	int ret;

	hash_for_each(viommu->domids, bucket, domid, node) {
		ret = amd_vcmd_domain(viommu, domid, &all);
		if (ret)
			return ret;
	}
	list_for_each_entry(vdev, &viommu->vdevs, node) {
		ret = amd_vcmd_devtab(viommu, vdev->dev_data);
		if (ret)
			return ret;
	}
	list_for_each_entry(dev_data, &viommu->devs, list) {
		ret = amd_vcmd_iotlb_all(viommu, dev_data);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Note that @guest has become one command of the host, the last one. A guest
 * that unmaps a buffer sends many that only differ in the range.
 */
static void amd_vcmd_start_run(struct amd_vcmd_batch *batch, const u64 *guest)
{
	const struct iommu_cmd *last = &batch->cmds[batch->n - 1];

	batch->run = guest[0];
	batch->run_host = (u64)last->data[1] << 32 | last->data[0];
	batch->run_flags = guest[1] & GENMASK(11, 1);
}

/* Takes @guest if it is one more of a run */
static bool amd_vcmd_follow(struct amd_vcmd_batch *batch, const u64 *guest)
{
	u64 *host;

	if (guest[0] != batch->run || !batch->run_host ||
	    (guest[1] & GENMASK(11, 1)) != batch->run_flags ||
	    batch->n == AMD_VCMD_CHUNK || (guest[1] | GENMASK(11, 1)) == ~0ULL)
		return false;

	batch->of[batch->n] = batch->taken;
	host = (u64 *)&batch->cmds[batch->n++];
	host[0] = batch->run_host;
	host[1] = guest[1];
	return true;
}

static int amd_vcmd_take(struct amd_viommu *viommu, const u64 *guest)
{
	struct amd_vcmd_batch *batch = viommu->batch;
	u32 n = batch->n;
	struct amd_vcmd vcmd;
	int ret;

	batch->run_host = 0;
	ret = amd_vcmd_check(amd_iommu_efr, (const u32 *)guest, &vcmd);
	if (ret)
		return ret;

	switch (vcmd.scope) {
	case AMD_VCMD_NONE:
		return 0;
	case AMD_VCMD_DOMAIN:
		return amd_vcmd_domains(viommu, &vcmd);
	case AMD_VCMD_PASID:
		ret = amd_vcmd_domains(viommu, &vcmd);
		if (!ret && batch->n == n + 1 && !viommu->silent)
			amd_vcmd_start_run(batch, guest);
		return ret;
	case AMD_VCMD_VM:
		return amd_vcmd_vm(viommu);
	default:
		return amd_vcmd_device(viommu, &vcmd);
	}
}

/* Returns how many of @n commands at @uptr there are; why not all in @err */
static u32 amd_vcmd_copy(struct amd_vcmd_batch *batch, const void __user *uptr,
			 size_t len, u32 n, int *err)
{
	u32 i;

	*err = 0;
	if (len == AMD_VCMD_SIZE &&
	    !copy_from_user(batch->guest, uptr, n * AMD_VCMD_SIZE))
		return n;

	/* The fault position is not exact to the byte */
	for (i = 0; i < n; i++) {
		*err = copy_struct_from_user(batch->guest[i], AMD_VCMD_SIZE,
					     uptr + i * len, len);
		if (*err)
			break;
	}
	return i;
}

/*
 * Take up to a chunk of @left commands at @uptr. On success all that were taken
 * are complete; on failure @batch->done are.
 */
static int amd_vcmd_chunk(struct amd_viommu *viommu, const void __user *uptr,
			  size_t len, u32 left)
{
	u32 want = min_t(u32, left, AMD_VCMD_CHUNK);
	struct amd_vcmd_batch *batch = viommu->batch;
	int flush_ret, ret = 0, err;
	u32 i, n;

	n = amd_vcmd_copy(batch, uptr, len, want, &err);

	mutex_lock(&viommu->lock);
	batch->run_host = 0;
	batch->broken = false;
	for (i = 0; i < n; i++, batch->taken++) {
		if (amd_vcmd_follow(batch, batch->guest[i]))
			continue;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = amd_vcmd_take(viommu, batch->guest[i]);
		if (ret)
			break;
	}
	/*
	 * The ones before a bad one count as done, so they must be complete. If
	 * that fails, report it rather than the guest's error.
	 */
	if (!batch->broken) {
		flush_ret = amd_vcmd_flush(viommu);
		ret = flush_ret ?: ret;
	}
	mutex_unlock(&viommu->lock);
	return ret ?: err;
}

int amd_viommu_cache_invalidate(struct iommufd_viommu *core,
				struct iommu_user_data_array *array)
{
	struct amd_viommu *viommu = to_amd_viommu(core);
	const void __user *uptr = array->uptr;
	struct amd_vcmd_batch *batch = viommu->batch;
	u32 num = array->entry_num;
	int ret;

	array->entry_num = 0;
	if (array->type != IOMMU_VIOMMU_INVALIDATE_DATA_AMD)
		return -EINVAL;
	if (!num)
		return 0;
	if (array->entry_len < AMD_VCMD_SIZE)
		return -EINVAL;

	mutex_lock(&viommu->call_lock);
	batch->taken = 0;
	batch->done = 0;
	for (;;) {
		ret = amd_vcmd_chunk(viommu, uptr, array->entry_len,
				     num - batch->taken);
		if (ret || batch->taken == num)
			break;
		uptr += array->entry_len * AMD_VCMD_CHUNK;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	batch->n = 0;
	batch->devs = 0;
	array->entry_num = batch->done;
	mutex_unlock(&viommu->call_lock);
	return ret;
}
