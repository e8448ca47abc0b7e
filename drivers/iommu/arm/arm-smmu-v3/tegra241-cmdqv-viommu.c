// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the Tegra241 CMDQ-V: an SMMUv3 vIOMMU with a VINTF
 *
 *	tegra241_viommu
 *		::smmu    the SMMUv3 vIOMMU
 *		::vintf   <---  tegra241_cmdqv::vintfs, for the interrupt handler
 *		::queues  all queues of the VINTF
 *		::vdevs   the virtual devices by their pair of StreamIDs
 *
 * Owns:	the VINTF; a virtual device owns a pair of StreamIDs, a hardware
 *		queue the LVCMDQ of its index.
 * Held by:	as every vIOMMU, and its mappings in user space: while there is
 *		one the guest can write page 0 of the VINTF at any time.
 * Locks:	the core serializes hardware queues, with each other and with
 *		the end of the vIOMMU. The interrupt handler takes no lock;
 *		freeing a VINTF waits for it. tegra241_cmdqv::vintfs_lock guards
 *		::vdevs, and keeps VINTFs in place for a shutdown, which stops
 *		all of them.
 * Dies:	see the core. A VINTF is freed with its queues empty, without a
 *		base and not allocated, and without StreamIDs. A VINTF that does
 *		not stop is never freed.
 *
 * While the VINTF is enabled, all queues that are not allocated point to the
 * empty page ::parking: the guest can write to a queue as soon as it is allocated,
 * before the kernel can.
 *
 * There is no public manual. The behaviour of the hardware is known from other
 * drivers and from public statements. It replaces the VMID in a guest's
 * commands by that of the VINTF, or refuses a different one: either is safe.
 */
#include <linux/iommu.h>
#include <linux/iommufd_viommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "arm-smmu-v3-viommu.h"
#include "tegra241-cmdqv.h"

/* BASE of a queue of this many bytes; LOG2SIZE counts commands of 16 bytes */
#define VCMDQ_MIN_LENGTH	(2 * CMDQ_ENT_DWORDS * sizeof(u64))
#define VCMDQ_BASE(_addr, _length) \
	((u64)(_addr) | FIELD_PREP(VCMDQ_LOG2SIZE, ilog2(_length) - 4))

/**
 * struct tegra241_queue - A queue of a VM's VINTF, allocated or not
 * @vcmdq: Its registers
 * @held_base: Memory that the queue may still point to. References on its pages
 *	       keep it until the VINTF is reset.
 * @held_length: Length of that memory in bytes, 0 for none
 */
struct tegra241_queue {
	struct tegra241_vcmdq vcmdq;
	phys_addr_t held_base;
	size_t held_length;
};

/**
 * struct tegra241_viommu - An SMMUv3 vIOMMU with a VINTF
 * @smmu: The SMMUv3 vIOMMU, must be first
 * @vintf: The VINTF
 * @vdevs: The virtual devices by their pair of StreamIDs, guarded by
 *	   tegra241_cmdqv::vintfs_lock
 * @parking: An empty page, the base of queues without guest memory
 * @queues: All queues of the VINTF by index, allocated to the guest or not
 * @dead: The VINTF was disabled to stop one of its queues
 * @stuck: The VINTF did not stop when it was disabled
 */
struct tegra241_viommu {
	struct arm_smmu_viommu smmu;
	struct tegra241_vintf vintf;
	struct tegra241_vdevice *vdevs[VINTF_SID_MAX];
	unsigned long parking;
	struct tegra241_queue *queues;
	bool dead;
	bool stuck;
};

/**
 * struct tegra241_vdevice - A device that commands in a VM's queues can name
 * @smmu: The SMMUv3 virtual device, must be first
 * @sidx: Its pair of StreamIDs
 */
struct tegra241_vdevice {
	struct arm_smmu_vdevice smmu;
	int sidx;
};

static struct tegra241_viommu *to_tegra_viommu(struct iommufd_viommu *core)
{
	return container_of(core, struct tegra241_viommu, smmu.core);
}

static struct tegra241_queue *to_queue(struct iommufd_hw_queue *core_queue)
{
	return &to_tegra_viommu(core_queue->viommu)->queues[core_queue->index];
}

/* Hardware queues */

static int tegra241_hw_queue_check(struct iommufd_viommu *core, u32 type,
				   u32 index, u64 length)
{
	struct tegra241_cmdqv *cmdqv = to_tegra_viommu(core)->vintf.cmdqv;
	u32 cmdqs = FIELD_GET(IDR1_CMDQS,
			      readl_relaxed(cmdqv->smmu.base + ARM_SMMU_IDR1));

	if (index >= cmdqv->num_lvcmdqs_per_vintf)
		return -EINVAL;
	if (!is_power_of_2(length) || length < VCMDQ_MIN_LENGTH ||
	    length > (u64)CMDQ_ENT_DWORDS * sizeof(u64) << cmdqs)
		return -EINVAL;
	return 0;
}

/*
 * Hardware may ignore a base that is written while the queue is enabled. Returns
 * whether the queue reads back as pointing to @base.
 */
static bool tegra241_vcmdq_set_base(struct tegra241_vcmdq *vcmdq, u64 base)
{
	writeq(base, REG_VCMDQ_PAGE1(vcmdq, BASE));
	writeq(0, REG_VCMDQ_PAGE1(vcmdq, CONS_INDX_BASE));
	return (readq(REG_VCMDQ_PAGE1(vcmdq, BASE)) &
		(VCMDQ_ADDR | VCMDQ_LOG2SIZE)) == base &&
	       !readq(REG_VCMDQ_PAGE1(vcmdq, CONS_INDX_BASE));
}

static u64 tegra241_viommu_parking(struct tegra241_viommu *viommu)
{
	return VCMDQ_BASE(virt_to_phys((void *)viommu->parking),
			  VCMDQ_MIN_LENGTH);
}

static void tegra241_vcmdq_clear(struct tegra241_vcmdq *vcmdq)
{
	writel(0, REG_VCMDQ_PAGE0(vcmdq, PROD));
	writel(0, REG_VCMDQ_PAGE0(vcmdq, CONS));
	writel(readl(REG_VCMDQ_PAGE0(vcmdq, GERROR)),
	       REG_VCMDQ_PAGE0(vcmdq, GERRORN));
}

/*
 * Take the memory away from a queue that the guest can enable and disable at any
 * time. Once the new base reads back, a queue that is enabled later uses the empty
 * page; a queue that reads as disabled after that has left its old memory.
 * CONFIG.EN changes immediately; STATUS follows. Returns true if all of this reads
 * back.
 */
static bool tegra241_vcmdq_stop(struct tegra241_viommu *viommu,
				struct tegra241_vcmdq *vcmdq)
{
	return !tegra241_vcmdq_write_config(vcmdq, 0) &&
	       tegra241_vcmdq_set_base(vcmdq,
				       tegra241_viommu_parking(viommu)) &&
	       !(readl(REG_VCMDQ_PAGE0(vcmdq, CONFIG)) & VCMDQ_EN) &&
	       !(readl(REG_VCMDQ_PAGE0(vcmdq, STATUS)) & VCMDQ_ENABLED);
}

/*
 * A queue may still point to its memory. Disable the VINTF, which the guest cannot
 * re-enable, and keep the memory. The end of the vIOMMU resets the queue, when the
 * guest can no longer access it.
 */
static int tegra241_hw_queue_abandon(struct iommufd_hw_queue *core_queue)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(core_queue->viommu);
	struct tegra241_queue *queue = to_queue(core_queue);
	unsigned long pfn;

	queue->held_base = core_queue->base;
	queue->held_length = core_queue->length;
	for (pfn = PHYS_PFN(core_queue->base);
	     pfn <= PHYS_PFN(core_queue->base + core_queue->length - 1); pfn++)
		get_page(pfn_to_page(pfn));

	viommu->dead = true;
	if (tegra241_vintf_write_config(&viommu->vintf, 0)) {
		viommu->stuck = true;
		return -ETIMEDOUT;
	}
	return 0;
}

static int tegra241_hw_queue_release(struct iommufd_hw_queue *core_queue)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(core_queue->viommu);
	struct tegra241_vcmdq *vcmdq = &to_queue(core_queue)->vcmdq;

	if (viommu->dead || !tegra241_vcmdq_stop(viommu, vcmdq))
		return tegra241_hw_queue_abandon(core_queue);

	tegra241_cmdqv_flush(viommu->vintf.cmdqv);
	tegra241_vcmdq_clear(vcmdq);
	tegra241_vcmdq_set_allocated(vcmdq, false);
	return 0;
}

static int tegra241_hw_queue_init(struct iommufd_hw_queue *core_queue)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(core_queue->viommu);
	struct tegra241_vcmdq *vcmdq = &to_queue(core_queue)->vcmdq;

	if ((core_queue->base & ~VCMDQ_ADDR) || !IS_ALIGNED(core_queue->base, core_queue->length))
		return -EINVAL;
	if (viommu->dead)
		return -EIO;

	/* The guest can access the queue from here on, and may have enabled it */
	tegra241_vcmdq_set_allocated(vcmdq, true);
	if (tegra241_vcmdq_stop(viommu, vcmdq)) {
		tegra241_vcmdq_clear(vcmdq);
		if (tegra241_vcmdq_set_base(vcmdq, VCMDQ_BASE(core_queue->base,
							      core_queue->length)))
			return 0;
	}

	/* The guest enabled the queue */
	tegra241_hw_queue_abandon(core_queue);
	return -EIO;
}

/* Virtual devices */

/*
 * ATC_INV is the only command with a StreamID that a VINTF without HYP_OWN takes.
 * A device with ATS off need not answer: the guest's queue would wait for the
 * timeout, and so would the CMD_SYNC that follows when the queue is stopped. So
 * enable the match only while ATS is on. Without a match the command is an error
 * in the guest's queue, like one for an unknown device. A command that matched
 * just before ATS is disabled still reaches the device, as those in the host's
 * queues do.
 */
static void tegra241_vdevice_match(struct tegra241_vdevice *vdev, bool ats)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(vdev->smmu.core_vdev.viommu);
	u32 match = 0;

	lockdep_assert_held(&viommu->vintf.cmdqv->vintfs_lock);

	if (ats)
		match = FIELD_PREP(VINTF_SID_MATCH_VSID,
				   vdev->smmu.core_vdev.virt_id) |
			VINTF_SID_MATCH_EN;
	writel(match, REG_VINTF(&viommu->vintf, SID_MATCH(vdev->sidx)));
}

/**
 * tegra241_viommu_set_ats() - Match the StreamID of a device while it has ATS
 * @master: The device
 * @enabled: Whether ATS is enabled; false is set before ATS is disabled
 *
 * Context: Takes tegra241_cmdqv::vintfs_lock, under arm_smmu_asid_lock.
 */
void tegra241_viommu_set_ats(struct arm_smmu_master *master, bool enabled)
{
	struct tegra241_cmdqv *cmdqv = to_cmdqv(master->smmu);
	struct tegra241_viommu *viommu;
	struct tegra241_vdevice *vdev;
	u16 idx, sidx;

	mutex_lock(&cmdqv->vintfs_lock);
	for (idx = 1; idx < cmdqv->num_vintfs; idx++) {
		if (!cmdqv->vintfs[idx])
			continue;
		viommu = container_of(cmdqv->vintfs[idx], struct tegra241_viommu,
				      vintf);
		for (sidx = 0; sidx < cmdqv->num_sids_per_vintf; sidx++) {
			vdev = viommu->vdevs[sidx];
			if (vdev && vdev->smmu.master == master)
				tegra241_vdevice_match(vdev, enabled);
		}
	}
	mutex_unlock(&cmdqv->vintfs_lock);
}

static int tegra241_vdevice_init(struct iommufd_vdevice *core_vdev)
{
	struct tegra241_vdevice *vdev =
		container_of(core_vdev, struct tegra241_vdevice, smmu.core_vdev);
	struct tegra241_viommu *viommu = to_tegra_viommu(core_vdev->viommu);
	struct tegra241_cmdqv *cmdqv = viommu->vintf.cmdqv;
	u16 sidx = 0;
	int ret;

	if (core_vdev->virt_id > FIELD_MAX(VINTF_SID_MATCH_VSID))
		return -EINVAL;
	ret = arm_smmu_viommu_vdevice_init(core_vdev);
	if (ret)
		return ret;
	if (vdev->smmu.sid > FIELD_MAX(VINTF_SID_REPLACE_SID))
		return -EOPNOTSUPP;

	mutex_lock(&cmdqv->vintfs_lock);
	while (sidx < cmdqv->num_sids_per_vintf && viommu->vdevs[sidx])
		sidx++;
	if (sidx == cmdqv->num_sids_per_vintf) {
		ret = -ENOSPC;
		goto out_unlock;
	}
	viommu->vdevs[sidx] = vdev;
	vdev->sidx = sidx;
	writel(FIELD_PREP(VINTF_SID_REPLACE_SID, vdev->smmu.sid),
	       REG_VINTF(&viommu->vintf, SID_REPLACE(sidx)));
	tegra241_vdevice_match(vdev, vdev->smmu.master->ats_enabled);
out_unlock:
	mutex_unlock(&cmdqv->vintfs_lock);
	return ret;
}

static void tegra241_vdevice_release(struct iommufd_vdevice *core_vdev)
{
	struct tegra241_vdevice *vdev =
		container_of(core_vdev, struct tegra241_vdevice, smmu.core_vdev);
	struct tegra241_viommu *viommu = to_tegra_viommu(core_vdev->viommu);
	struct tegra241_cmdqv *cmdqv = viommu->vintf.cmdqv;

	mutex_lock(&cmdqv->vintfs_lock);
	tegra241_vdevice_match(vdev, false);
	writel(0, REG_VINTF(&viommu->vintf, SID_REPLACE(vdev->sidx)));
	viommu->vdevs[vdev->sidx] = NULL;
	mutex_unlock(&cmdqv->vintfs_lock);
	arm_smmu_viommu_vdevice_release(core_vdev);
}

/* Events */

/*
 * Called in the threaded interrupt handler. The guest acknowledges the error.
 * Returns -EOPNOTSUPP if the VM has no queue for it.
 */
int tegra241_viommu_handle_error(struct tegra241_vintf *vintf)
{
	struct tegra241_viommu *viommu =
		container_of(vintf, struct tegra241_viommu, vintf);
	struct iommu_vevent_tegra241_cmdqv event;
	unsigned int i;
	u64 all = 0, map;

	for (i = 0; i < LVCMDQ_ERR_MAP_NUM_64; i++) {
		map = readq_relaxed(REG_VINTF(vintf, LVCMDQ_ERR_MAP_64(i)));
		event.lvcmdq_err_map[i] = cpu_to_le64(map);
		all |= map;
	}
	if (!all)
		return 0;
	return iommufd_viommu_report_event(&viommu->smmu.core,
					   IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
					   &event, sizeof(event));
}

/* vIOMMUs */

/*
 * Are there VINTFs for VMs, can page 0 be mapped by itself, and does the
 * hardware read memory coherently?
 */
static bool tegra241_cmdqv_has_user_vintf(struct arm_smmu_device *smmu)
{
	if (!(smmu->options & ARM_SMMU_OPT_TEGRA241_CMDQV) ||
	    !(smmu->features & ARM_SMMU_FEAT_COHERENCY))
		return false;
	return to_cmdqv(smmu)->num_vintfs > 1 &&
	       PAGE_ALIGNED(to_cmdqv(smmu)->base_phys);
}

static int tegra241_viommu_supported(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);

	if (!tegra241_cmdqv_has_user_vintf(master->smmu))
		return -EOPNOTSUPP;
	return arm_smmu_viommu_supported(dev);
}

static bool tegra241_viommu_offered(struct iommu_device *iommu)
{
	struct arm_smmu_device *smmu =
		container_of(iommu, struct arm_smmu_device, iommu);

	return tegra241_cmdqv_has_user_vintf(smmu) &&
	       arm_smmu_viommu_offered(iommu);
}

/*
 * Stop all queues and point them to @base, 0 for none. Nobody has the registers
 * mapped, so queues that are reset here stay reset.
 */
static void tegra241_viommu_clean_queues(struct tegra241_viommu *viommu,
					 u64 base)
{
	u16 num = viommu->vintf.cmdqv->num_lvcmdqs_per_vintf;
	struct tegra241_vcmdq *vcmdq;
	u16 lidx;

	for (lidx = 0; lidx < num; lidx++)
		tegra241_vcmdq_set_allocated(&viommu->queues[lidx].vcmdq, true);
	while (lidx--) {
		vcmdq = &viommu->queues[lidx].vcmdq;
		tegra241_vcmdq_hw_deinit(vcmdq);
		/* Its VINTF must not run again */
		if (vcmdq->enabled || !tegra241_vcmdq_set_base(vcmdq, base)) {
			viommu->stuck = true;
			return;
		}
		tegra241_vcmdq_set_allocated(vcmdq, false);
	}
}

/* No queue has a base any more */
static void tegra241_viommu_put_held(struct tegra241_viommu *viommu)
{
	struct tegra241_queue *queue = viommu->queues;
	unsigned long pfn;
	u16 lidx;

	for (lidx = 0; lidx < viommu->vintf.cmdqv->num_lvcmdqs_per_vintf;
	     lidx++, queue++) {
		if (!queue->held_length)
			continue;
		for (pfn = PHYS_PFN(queue->held_base);
		     pfn <= PHYS_PFN(queue->held_base + queue->held_length - 1);
		     pfn++)
			put_page(pfn_to_page(pfn));
	}
}

static void tegra241_viommu_stop(struct tegra241_viommu *viommu)
{
	struct tegra241_vintf *vintf = &viommu->vintf;
	struct tegra241_cmdqv *cmdqv = vintf->cmdqv;
	bool leaked;

	if (!viommu->stuck)
		tegra241_viommu_clean_queues(viommu, 0);
	tegra241_vintf_hw_deinit(vintf);
	leaked = viommu->stuck || vintf->enabled;
	if (leaked) {
		dev_err(cmdqv->dev, "VINTF%u is leaked\n", vintf->idx);
		/* Keep its index allocated, so that nobody else gets it */
		tegra241_cmdqv_unpublish_vintf(cmdqv, vintf->idx);
	} else {
		tegra241_cmdqv_deinit_vintf(cmdqv, vintf->idx);
		/* A VINTF that did not stop may still read these */
		tegra241_viommu_put_held(viommu);
		free_page(viommu->parking);
	}
	kfree(viommu->queues);
}

static int tegra241_viommu_start(struct tegra241_viommu *viommu,
				 struct tegra241_cmdqv *cmdqv)
{
	struct tegra241_vintf *vintf = &viommu->vintf;
	u16 lidx;
	int ret;

	viommu->parking = get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!viommu->parking)
		return -ENOMEM;
	viommu->queues = kcalloc(cmdqv->num_lvcmdqs_per_vintf,
				 sizeof(*viommu->queues), GFP_KERNEL_ACCOUNT);
	if (!viommu->queues) {
		ret = -ENOMEM;
		goto err_parking;
	}

	vintf->vmid = viommu->smmu.use.vmid;
	ret = tegra241_cmdqv_init_vintf(cmdqv, cmdqv->num_vintfs - 1, vintf);
	if (ret < 0)
		goto err_queues;
	for (lidx = 0; lidx < cmdqv->num_lvcmdqs_per_vintf; lidx++)
		tegra241_vintf_init_lvcmdq(vintf, lidx,
					   &viommu->queues[lidx].vcmdq);

	/*
	 * Remove the state of the last owner, also firmware or another kernel
	 */
	ret = tegra241_vintf_write_config(vintf, 0);
	if (ret)
		goto err_stop;
	tegra241_viommu_clean_queues(viommu, tegra241_viommu_parking(viommu));
	if (viommu->stuck) {
		ret = -ETIMEDOUT;
		goto err_stop;
	}

	ret = tegra241_vintf_hw_init(vintf, false);
	if (ret)
		goto err_stop;
	/* A guest must not have a VINTF that does not filter commands */
	if (vintf->hyp_own) {
		ret = -EIO;
		goto err_stop;
	}
	return 0;

err_stop:
	tegra241_viommu_stop(viommu);
	return ret;

err_queues:
	kfree(viommu->queues);
err_parking:
	free_page(viommu->parking);
	return ret;
}

static int tegra241_viommu_init(struct iommufd_viommu *core, struct device *dev,
				const struct iommu_user_data *user_data)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct tegra241_cmdqv *cmdqv = to_cmdqv(master->smmu);
	struct tegra241_viommu *viommu = to_tegra_viommu(core);
	struct iommu_viommu_tegra241_cmdqv data;
	int ret;

	ret = arm_smmu_viommu_init(core, dev, NULL);
	if (ret)
		return ret;
	ret = tegra241_viommu_start(viommu, cmdqv);
	if (ret)
		goto err_release;

	core->mmio_base = cmdqv->base_phys +
			  TEGRA241_VINTF_PAGE0(viommu->vintf.idx);
	core->mmio_length = SZ_64K;

	data.out_vintf_mmap_offset = core->mmap_offset;
	data.out_vintf_mmap_length = core->mmio_length;
	ret = iommufd_copy_data_to_user(user_data, &data, sizeof(data));
	if (ret)
		goto err_stop;
	return 0;

err_stop:
	tegra241_viommu_stop(viommu);
err_release:
	arm_smmu_viommu_release(core);
	return ret;
}

static void tegra241_viommu_release(struct iommufd_viommu *core)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(core);

	tegra241_viommu_stop(viommu);
	arm_smmu_viommu_release(core);
}

static const struct iommufd_veventq_type tegra241_veventq_types[] = {
	{ IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, sizeof(struct iommu_vevent_arm_smmuv3) },
	{ IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
	  sizeof(struct iommu_vevent_tegra241_cmdqv) },
	{ }
};

static const struct iommufd_hw_queue_type tegra241_hw_queue_types[] = {
	{
		.type = IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
		.size = sizeof(struct iommufd_hw_queue),
		.ordered = true,
		.contiguous = true,
	},
	{ }
};

const struct iommufd_viommu_ops tegra241_viommu_ops = {
	.type = IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
	.viommu_size = IOMMUFD_EMBED_SIZE(struct tegra241_viommu, smmu.core),
	.vdevice_size = IOMMUFD_EMBED_SIZE(struct tegra241_vdevice, smmu.core_vdev),
	.takes_vm = true,
	.data_len = sizeof(struct iommu_viommu_tegra241_cmdqv),
	.hw_queue_types = tegra241_hw_queue_types,
	.veventq_types = tegra241_veventq_types,
	.supported = tegra241_viommu_supported,
	.offered = tegra241_viommu_offered,
	.init = tegra241_viommu_init,
	.release = tegra241_viommu_release,
	.alloc_nested = arm_smmu_viommu_alloc_nested,
	.nested_translates = arm_smmu_viommu_nested_translates,
	.cache_invalidate = arm_smmu_viommu_cache_invalidate,
	.vdevice_init = tegra241_vdevice_init,
	.vdevice_release = tegra241_vdevice_release,
	.hw_queue_check = tegra241_hw_queue_check,
	.hw_queue_init = tegra241_hw_queue_init,
	.hw_queue_release = tegra241_hw_queue_release,
};

/* IOMMU_GET_HW_INFO */
void *tegra241_cmdqv_hw_info(struct arm_smmu_device *smmu, u32 *length)
{
	struct iommu_hw_info_tegra241_cmdqv *info;
	struct tegra241_cmdqv *cmdqv;

	if (!(smmu->options & ARM_SMMU_OPT_TEGRA241_CMDQV))
		return ERR_PTR(-EOPNOTSUPP);
	cmdqv = to_cmdqv(smmu);

	info = kzalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return ERR_PTR(-ENOMEM);
	info->version = cmdqv->version;
	info->log2vcmdqs = ilog2(cmdqv->num_lvcmdqs_per_vintf);
	info->log2vsids = ilog2(cmdqv->num_sids_per_vintf);
	*length = sizeof(*info);
	return info;
}
