// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the Tegra241 CMDQ-V: an SMMUv3 vIOMMU with a VINTF
 *
 *	tegra241_viommu
 *		::smmu    the SMMUv3 vIOMMU
 *		::vintf   <---  tegra241_cmdqv::vintfs, for the interrupt handler
 *		::vcmdqs  the registers of all queues of the VINTF
 *		::sids    the allocated pairs of StreamIDs
 *
 * Owns:	the VINTF; a virtual device owns a pair of StreamIDs, a hardware
 *		queue the LVCMDQ of its index.
 * Held by:	as every vIOMMU, and its mappings in user space: while there is
 *		one the guest can write page 0 of the VINTF at any time.
 * Locks:	the core serializes hardware queues, with each other and with
 *		the end of the vIOMMU; ::sids has its own lock. The interrupt
 *		handler takes no lock; freeing a VINTF waits for it. A shutdown
 *		stops all VINTFs, and keeps them in place with
 *		tegra241_cmdqv::vintfs_lock.
 * Dies:	see the core. A VINTF is freed with its queues empty, without a
 *		base and not allocated, and without StreamIDs. A VINTF that does
 *		not stop is never freed.
 *
 * There is no public manual. The behaviour of the hardware is known from other
 * drivers and from public statements. It replaces the VMID in a guest's
 * commands by that of the VINTF, or refuses a different one: either is safe.
 */
#include <linux/iommu.h>
#include <linux/iommufd_viommu.h>
#include <linux/log2.h>
#include <linux/uaccess.h>

#include "arm-smmu-v3-viommu.h"
#include "tegra241-cmdqv.h"

/* BASE of a queue of this many bytes; LOG2SIZE counts commands of 16 bytes */
#define VCMDQ_MIN_LENGTH	(2 * CMDQ_ENT_DWORDS * sizeof(u64))
#define VCMDQ_BASE(_addr, _length) \
	((u64)(_addr) | FIELD_PREP(VCMDQ_LOG2SIZE, ilog2(_length) - 4))

/**
 * struct tegra241_viommu - An SMMUv3 vIOMMU with a VINTF
 * @smmu: The SMMUv3 vIOMMU, must be first
 * @vintf: The VINTF
 * @sids: The allocated pairs of StreamIDs
 * @parking: An empty page, the base of queues without guest memory
 * @vcmdqs: All queues of the VINTF by index, allocated to the guest or not
 * @dead: The VINTF was disabled to stop one of its queues
 * @stuck: The VINTF did not stop when it was disabled
 */
struct tegra241_viommu {
	struct arm_smmu_viommu smmu;
	struct tegra241_vintf vintf;
	struct ida sids;
	unsigned long parking;
	struct tegra241_vcmdq *vcmdqs;
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

static struct tegra241_vcmdq *to_vcmdq(struct iommufd_hw_queue *core)
{
	return &to_tegra_viommu(core->viommu)->vcmdqs[core->index];
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
 * Make the queue empty and point it to an empty page, whatever the guest writes
 */
static void tegra241_vcmdq_park(struct tegra241_viommu *viommu,
				struct tegra241_vcmdq *vcmdq)
{
	phys_addr_t parking = virt_to_phys((void *)viommu->parking);

	writeq(VCMDQ_BASE(parking, VCMDQ_MIN_LENGTH),
	       REG_VCMDQ_PAGE1(vcmdq, BASE));
	writeq(0, REG_VCMDQ_PAGE1(vcmdq, CONS_INDX_BASE));
}

static void tegra241_vcmdq_clear(struct tegra241_vcmdq *vcmdq)
{
	writel(0, REG_VCMDQ_PAGE0(vcmdq, PROD));
	writel(0, REG_VCMDQ_PAGE0(vcmdq, CONS));
	writel(readl(REG_VCMDQ_PAGE0(vcmdq, GERROR)),
	       REG_VCMDQ_PAGE0(vcmdq, GERRORN));
}

/*
 * Take the memory away from a queue. The guest may enable the queue at any time
 * while the slot is allocated: before the new base is written, which is
 * detected afterwards, or later, when the queue points to an empty page. In the
 * first case disable the VINTF, which the guest cannot re-enable.
 */
static int tegra241_vcmdq_stop(struct tegra241_viommu *viommu,
			       struct tegra241_vcmdq *vcmdq)
{
	if (!viommu->dead && !tegra241_vcmdq_write_config(vcmdq, 0)) {
		tegra241_vcmdq_park(viommu, vcmdq);
		/* CONFIG.EN changes immediately; STATUS follows */
		if (!(readl(REG_VCMDQ_PAGE0(vcmdq, CONFIG)) & VCMDQ_EN) &&
		    !(readl(REG_VCMDQ_PAGE0(vcmdq, STATUS)) & VCMDQ_ENABLED))
			return 0;
	}

	viommu->dead = true;
	if (tegra241_vintf_write_config(&viommu->vintf, 0)) {
		viommu->stuck = true;
		return -ETIMEDOUT;
	}
	tegra241_vcmdq_park(viommu, vcmdq);
	return 0;
}

static int tegra241_hw_queue_release(struct iommufd_hw_queue *core)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(core->viommu);
	struct tegra241_vcmdq *vcmdq = to_vcmdq(core);
	int ret;

	ret = tegra241_vcmdq_stop(viommu, vcmdq);
	if (ret)
		return ret;
	tegra241_cmdqv_flush(viommu->vintf.cmdqv);
	tegra241_vcmdq_clear(vcmdq);
	tegra241_vcmdq_set_allocated(vcmdq, false);
	return 0;
}

static int tegra241_hw_queue_init(struct iommufd_hw_queue *core)
{
	struct tegra241_viommu *viommu = to_tegra_viommu(core->viommu);
	struct tegra241_vcmdq *vcmdq = to_vcmdq(core);
	int ret;

	if ((core->base & ~VCMDQ_ADDR) || !IS_ALIGNED(core->base, core->length))
		return -EINVAL;
	if (viommu->dead)
		return -EIO;

	tegra241_vcmdq_set_allocated(vcmdq, true);

	/* The guest can access the queue from here on */
	ret = tegra241_vcmdq_stop(viommu, vcmdq);
	if (ret)
		return ret;
	if (viommu->dead) {
		tegra241_vcmdq_set_allocated(vcmdq, false);
		return -EIO;
	}
	tegra241_vcmdq_clear(vcmdq);
	writeq(VCMDQ_BASE(core->base, core->length),
	       REG_VCMDQ_PAGE1(vcmdq, BASE));
	return 0;
}

/* Virtual devices */

static int tegra241_vdevice_init(struct iommufd_vdevice *core)
{
	struct tegra241_vdevice *vdev =
		container_of(core, struct tegra241_vdevice, smmu.core);
	struct tegra241_viommu *viommu = to_tegra_viommu(core->viommu);
	struct tegra241_vintf *vintf = &viommu->vintf;
	int ret;

	if (core->virt_id > FIELD_MAX(VINTF_SID_MATCH_VSID))
		return -EINVAL;
	ret = arm_smmu_viommu_vdevice_init(core);
	if (ret)
		return ret;
	if (vdev->smmu.sid > FIELD_MAX(VINTF_SID_REPLACE_SID))
		return -EOPNOTSUPP;

	ret = ida_alloc_max(&viommu->sids, vintf->cmdqv->num_sids_per_vintf - 1,
			    GFP_KERNEL_ACCOUNT);
	if (ret < 0)
		return ret;
	vdev->sidx = ret;

	writel(FIELD_PREP(VINTF_SID_REPLACE_SID, vdev->smmu.sid),
	       REG_VINTF(vintf, SID_REPLACE(vdev->sidx)));
	writel(FIELD_PREP(VINTF_SID_MATCH_VSID, core->virt_id) |
	       VINTF_SID_MATCH_EN, REG_VINTF(vintf, SID_MATCH(vdev->sidx)));
	return 0;
}

static void tegra241_vdevice_release(struct iommufd_vdevice *core)
{
	struct tegra241_vdevice *vdev =
		container_of(core, struct tegra241_vdevice, smmu.core);
	struct tegra241_viommu *viommu = to_tegra_viommu(core->viommu);

	writel(0, REG_VINTF(&viommu->vintf, SID_MATCH(vdev->sidx)));
	writel(0, REG_VINTF(&viommu->vintf, SID_REPLACE(vdev->sidx)));
	ida_free(&viommu->sids, vdev->sidx);
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
 * Nobody has the registers mapped, so queues that are reset here stay reset. A
 * guest can enable a queue as soon as it is allocated: with @park it points to
 * an empty page until then.
 */
static void tegra241_viommu_clean_queues(struct tegra241_viommu *viommu,
					 bool park)
{
	u16 num = viommu->vintf.cmdqv->num_lvcmdqs_per_vintf;
	struct tegra241_vcmdq *vcmdq;
	u16 lidx;

	for (lidx = 0; lidx < num; lidx++)
		tegra241_vcmdq_set_allocated(&viommu->vcmdqs[lidx], true);
	while (lidx--) {
		vcmdq = &viommu->vcmdqs[lidx];
		tegra241_vcmdq_hw_deinit(vcmdq);
		/* Its VINTF must not run again */
		if (vcmdq->enabled) {
			viommu->stuck = true;
			return;
		}
		if (park)
			tegra241_vcmdq_park(viommu, vcmdq);
		tegra241_vcmdq_set_allocated(vcmdq, false);
	}
}

static void tegra241_viommu_stop(struct tegra241_viommu *viommu)
{
	struct tegra241_vintf *vintf = &viommu->vintf;
	struct tegra241_cmdqv *cmdqv = vintf->cmdqv;
	bool lost;

	if (!viommu->stuck)
		tegra241_viommu_clean_queues(viommu, false);
	tegra241_vintf_hw_deinit(vintf);
	lost = viommu->stuck || vintf->enabled;
	if (lost) {
		dev_err(cmdqv->dev, "VINTF%u is lost\n", vintf->idx);
		/* Keep its index allocated, so that nobody else gets it */
		tegra241_cmdqv_unpublish_vintf(cmdqv, vintf->idx);
	} else {
		tegra241_cmdqv_deinit_vintf(cmdqv, vintf->idx);
	}
	kfree(viommu->vcmdqs);
	/* A VINTF that did not stop may still read it */
	if (!lost)
		free_page(viommu->parking);
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
	viommu->vcmdqs = kcalloc(cmdqv->num_lvcmdqs_per_vintf,
				 sizeof(*viommu->vcmdqs), GFP_KERNEL_ACCOUNT);
	if (!viommu->vcmdqs) {
		ret = -ENOMEM;
		goto err_parking;
	}

	vintf->vmid = viommu->smmu.use.vmid;
	ret = tegra241_cmdqv_init_vintf(cmdqv, cmdqv->num_vintfs - 1, vintf);
	if (ret < 0)
		goto err_vcmdqs;
	for (lidx = 0; lidx < cmdqv->num_lvcmdqs_per_vintf; lidx++)
		tegra241_vintf_init_lvcmdq(vintf, lidx, &viommu->vcmdqs[lidx]);

	/*
	 * Remove the state of the last owner, also firmware or another kernel
	 */
	ret = tegra241_vintf_write_config(vintf, 0);
	if (ret)
		goto err_stop;
	tegra241_viommu_clean_queues(viommu, true);
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

err_vcmdqs:
	kfree(viommu->vcmdqs);
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
	ida_init(&viommu->sids);
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
	.viommu_size = IOMMUFD_EMBED_SIZE(struct tegra241_viommu, smmu.core,
					  struct iommufd_viommu),
	.vdevice_size = IOMMUFD_EMBED_SIZE(struct tegra241_vdevice, smmu.core,
					   struct iommufd_vdevice),
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
