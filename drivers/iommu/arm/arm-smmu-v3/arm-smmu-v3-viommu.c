// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the SMMUv3: the part of an SMMU that a VM uses
 *
 *	arm_smmu_domain (stage 2)  <---  arm_smmu_viommu (a use of it, a VMID)
 *		::devices, under ::devices_lock     ^
 *			master, nested               \
 *					    arm_smmu_nested_domain (guest STE)
 *
 * Owns:	a vIOMMU owns its VMID. Each vIOMMU of a guest has its own
 *		ASIDs, which the guest assigns, so vIOMMUs never share a VMID.
 * Held by:	the core holds the stage 2 for the vIOMMU and the vIOMMU for
 *		each nested domain and virtual device. STEs with the VMID exist
 *		only while a device is attached to a nested domain.
 * Locks:	arm_smmu_asid_lock orders attaches of all devices, as elsewhere
 *		in the driver; streams_mutex keeps a master while its event is
 *		reported. For changes of the stage 2 see
 *		arm-smmu-v3-viommu-s2.c.
 * Dies:	see the core; the VMID is flushed before it is freed.
 */
#include <kunit/visibility.h>
#include <linux/io-pgtable.h>
#include <linux/iommu.h>
#include <uapi/linux/iommufd.h>

#include "arm-smmu-v3-viommu.h"

/*
 * A guest's stage 1 must not be able to make DMA incoherent: either stage 2
 * decides the memory type, or the root complex keeps all accesses coherent.
 */
static bool arm_smmu_nesting_coherent(struct arm_smmu_master *master,
				      struct arm_smmu_domain *s2)
{
	return (io_pgtable_ops_to_pgtable(s2->pgtbl_ops)->cfg.quirks &
		IO_PGTABLE_QUIRK_ARM_S2FWB) ||
	       arm_smmu_master_canwbs(master);
}

/* Nested domains */

struct arm_smmu_domain *arm_smmu_nested_parent(struct iommu_domain *domain)
{
	if (domain->type != IOMMU_DOMAIN_NESTED)
		return NULL;
	return to_smmu_nested_domain(domain)->viommu->s2_parent;
}

static void arm_smmu_make_nested_domain_ste(struct arm_smmu_ste *target,
					    struct arm_smmu_master *master,
					    struct arm_smmu_nested_domain *nested,
					    bool ats_enabled)
{
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_ste s2 __uninitialized;
	bool force_s1stalld;

	/* Only with this STALL_MODEL can a guest's CD stall the stream */
	force_s1stalld = (smmu->features & ARM_SMMU_FEAT_STALLS) &&
			 !master->stall_enabled;

	arm_smmu_make_s2_domain_ste(&s2, master, nested->viommu->s2_parent,
				    ats_enabled);
	s2.data[2] &= ~cpu_to_le64(STRTAB_STE_2_S2VMID);
	s2.data[2] |= cpu_to_le64(FIELD_PREP(STRTAB_STE_2_S2VMID,
					     nested->viommu->use.vmid));
	arm_smmu_make_nested_ste(target, &s2, nested->ste, force_s1stalld);
}

bool arm_smmu_viommu_nested_translates(struct iommu_domain *domain)
{
	__le64 word0 = to_smmu_nested_domain(domain)->ste[0];

	return FIELD_GET(STRTAB_STE_0_CFG, le64_to_cpu(word0)) ==
	       STRTAB_STE_0_CFG_S1_TRANS;
}

static int arm_smmu_attach_dev_nested(struct iommu_domain *domain,
				      struct device *dev)
{
	struct arm_smmu_nested_domain *nested = to_smmu_nested_domain(domain);
	struct arm_smmu_viommu *viommu = nested->viommu;
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_attach_state state = {
		.master = master,
		.ssid = IOMMU_NO_PASID,
		.disable_ats = !nested->enable_ats,
	};
	struct arm_smmu_ste ste __uninitialized;
	int ret;

	if (viommu->use.smmu != master->smmu ||
	    !arm_smmu_nesting_coherent(master, viommu->s2_parent))
		return -EINVAL;
	if (arm_smmu_ssids_in_use(&master->cd_table))
		return -EBUSY;

	mutex_lock(&arm_smmu_asid_lock);
	ret = arm_smmu_attach_prepare(&state, domain);
	if (ret)
		goto out_unlock;

	arm_smmu_make_nested_domain_ste(&ste, master, nested,
					state.ats_enabled);
	arm_smmu_install_ste_for_dev(master, &ste);
	arm_smmu_attach_commit(&state);
out_unlock:
	mutex_unlock(&arm_smmu_asid_lock);
	if (!ret)
		arm_smmu_clear_cd(master, IOMMU_NO_PASID);
	return ret;
}

static void arm_smmu_domain_nested_free(struct iommu_domain *domain)
{
	kfree(to_smmu_nested_domain(domain));
}

static const struct iommu_domain_ops arm_smmu_nested_ops = {
	.attach_dev = arm_smmu_attach_dev_nested,
	.free = arm_smmu_domain_nested_free,
};

struct iommu_domain *
arm_smmu_viommu_alloc_nested(struct iommufd_viommu *core, struct device *dev,
			     u32 flags, const struct iommu_user_data *user_data)
{
	struct arm_smmu_nested_domain *nested;
	struct iommu_hwpt_arm_smmuv3 arg;
	bool enable_ats;
	int ret;

	/* The host handles stalls of a guest; none goes to a fault object */
	if (flags)
		return ERR_PTR(-EOPNOTSUPP);

	ret = iommu_copy_struct_from_user(&arg, user_data,
					  IOMMU_HWPT_DATA_ARM_SMMUV3, ste);
	if (ret)
		return ERR_PTR(ret);
	ret = arm_smmu_vste_check(arg.ste, &enable_ats);
	if (ret)
		return ERR_PTR(ret);

	nested = kzalloc(sizeof(*nested), GFP_KERNEL_ACCOUNT);
	if (!nested)
		return ERR_PTR(-ENOMEM);

	nested->domain.type = IOMMU_DOMAIN_NESTED;
	nested->domain.ops = &arm_smmu_nested_ops;
	nested->viommu = to_smmu_viommu(core);
	nested->enable_ats = enable_ats;
	nested->ste[0] = arg.ste[0];
	nested->ste[1] = arg.ste[1];
	return &nested->domain;
}

/* Events */

static void arm_smmu_vevent_set_virt_id(void *payload, u64 virt_id)
{
	struct iommu_vevent_arm_smmuv3 *vevent = payload;

	vevent->evt[0] |= cpu_to_le64(FIELD_PREP(EVTQ_0_SID, virt_id));
}

/**
 * arm_smmu_viommu_handle_evt() - Report an event to the VM that it belongs to
 * @smmu: The SMMU
 * @evt: The event record
 *
 * Return: 0 if the VM got the event or its queue was full; an error if the
 * event is for the host.
 */
int arm_smmu_viommu_handle_evt(struct arm_smmu_device *smmu, const u64 *evt)
{
	struct iommu_vevent_arm_smmuv3 vevent;
	const struct iommufd_device_event event = {
		.type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
		/* All PASIDs of a nested domain belong to the guest */
		.pasid = IOMMU_NO_PASID,
		.payload = &vevent,
		.len = sizeof(vevent),
		.set_virt_id = arm_smmu_vevent_set_virt_id,
	};
	struct arm_smmu_master *master;
	int ret = -ENOENT;

	if (!arm_smmu_event_to_guest(evt, vevent.evt))
		return -EOPNOTSUPP;

	mutex_lock(&smmu->streams_mutex);
	master = arm_smmu_find_master(smmu, FIELD_GET(EVTQ_0_SID, evt[0]));
	if (master)
		ret = iommufd_device_report_event(master->dev, &event);
	mutex_unlock(&smmu->streams_mutex);
	return ret;
}

/* The objects */

static int arm_smmu_master_supported(struct arm_smmu_master *master)
{
	struct arm_smmu_device *smmu = master->smmu;

	if (!(smmu->features & ARM_SMMU_FEAT_NESTING))
		return -EOPNOTSUPP;
	/* The erratum needs CMD_SYNCs that a guest's batch does not have */
	if (smmu->options & ARM_SMMU_OPT_CMDQ_FORCE_SYNC)
		return -EOPNOTSUPP;
	if (!(smmu->features & ARM_SMMU_FEAT_S2FWB) &&
	    !arm_smmu_master_canwbs(master))
		return -EOPNOTSUPP;
	return 0;
}

int arm_smmu_viommu_supported(struct device *dev)
{
	return arm_smmu_master_supported(dev_iommu_priv_get(dev));
}

u32 arm_smmu_viommu_caps(struct iommu_device *iommu)
{
	struct arm_smmu_device *smmu =
		container_of(iommu, struct arm_smmu_device, iommu);
	u32 caps = 0;

	if (smmu->features & ARM_SMMU_FEAT_NESTING)
		caps |= IOMMUFD_VIOMMU_CAP_NESTING;
	if (smmu->features & ARM_SMMU_FEAT_ATS)
		caps |= IOMMUFD_VIOMMU_CAP_ATS;
	if (smmu->features & ARM_SMMU_FEAT_BTM)
		caps |= IOMMUFD_VIOMMU_CAP_BROADCAST_TLB;
	return caps;
}

bool arm_smmu_viommu_offered(struct iommu_device *iommu)
{
	struct arm_smmu_device *smmu =
		container_of(iommu, struct arm_smmu_device, iommu);
	struct arm_smmu_stream *stream;
	struct rb_node *node;
	bool offered = false;

	mutex_lock(&smmu->streams_mutex);
	for (node = rb_first(&smmu->streams); node && !offered;
	     node = rb_next(node)) {
		stream = rb_entry(node, struct arm_smmu_stream, node);
		offered = !arm_smmu_master_supported(stream->master);
	}
	mutex_unlock(&smmu->streams_mutex);
	return offered;
}

static void arm_smmu_viommu_init_caps(struct arm_smmu_viommu *viommu)
{
	struct arm_smmu_device *smmu = viommu->use.smmu;
	u32 idr5 = readl_relaxed(smmu->base + ARM_SMMU_IDR5);

	viommu->caps.ril = smmu->features & ARM_SMMU_FEAT_RANGE_INV;
	viommu->caps.ats = smmu->features & ARM_SMMU_FEAT_ATS;
	viommu->caps.ds = idr5 & IDR5_DS;
	viommu->caps.asid16 = smmu->asid_bits == 16;
	viommu->caps.ssid_bits = smmu->ssid_bits;
}

int arm_smmu_viommu_init(struct iommufd_viommu *core, struct device *dev,
			 const struct iommu_user_data *user_data)
{
	struct arm_smmu_domain *s2_parent = to_smmu_domain(core->parent);
	struct arm_smmu_viommu *viommu = to_smmu_viommu(core);
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	int ret;

	/* In each case a nesting parent allocated for this device would work */
	if (!arm_smmu_s2_fits(s2_parent, master->smmu) ||
	    !arm_smmu_nesting_coherent(master, s2_parent))
		return -EINVAL;
	if (READ_ONCE(s2_parent->enforce_cache_coherency) &&
	    !arm_smmu_master_canwbs(master))
		return -EINVAL;

	if (core->vm)
		ret = arm_smmu_vm_vmid_get(master->smmu, core->vm, &viommu->pin);
	else
		ret = arm_smmu_vmid_alloc(master->smmu);
	if (ret < 0)
		return ret;
	core->shares_vmid = core->vm;
	arm_smmu_s2_use_add(s2_parent, &viommu->use, master->smmu, ret, true);

	viommu->s2_parent = s2_parent;
	init_rwsem(&viommu->atc_rwsem);
	arm_smmu_viommu_init_caps(viommu);
	return 0;
}

void arm_smmu_viommu_release(struct iommufd_viommu *core)
{
	struct arm_smmu_viommu *viommu = to_smmu_viommu(core);

	arm_smmu_s2_use_del(viommu->s2_parent, &viommu->use);
	if (core->vm)
		arm_smmu_vm_vmid_put(viommu->use.smmu, viommu->use.vmid,
				     viommu->pin);
	else
		arm_smmu_vmid_free(viommu->use.smmu, viommu->use.vmid);
}

int arm_smmu_viommu_vdevice_init(struct iommufd_vdevice *core_vdev)
{
	struct arm_smmu_vdevice *vdev =
		container_of(core_vdev, struct arm_smmu_vdevice, core_vdev);
	struct arm_smmu_master *master = dev_iommu_priv_get(core_vdev->dev);

	/* A StreamID has 32 bits */
	if (core_vdev->virt_id > U32_MAX)
		return -EINVAL;
	/*
	 * A command for one virtual stream is not multiplied for several
	 * streams
	 */
	if (master->num_streams != 1)
		return -EOPNOTSUPP;

	vdev->master = master;
	vdev->sid = master->streams[0].id;
	return 0;
}

void arm_smmu_viommu_vdevice_release(struct iommufd_vdevice *core_vdev)
{
	struct arm_smmu_viommu *viommu = to_smmu_viommu(core_vdev->viommu);

	/* A CMD_ATC_INV to the device may be on its way */
	down_write(&viommu->atc_rwsem);
	up_write(&viommu->atc_rwsem);
}

static const struct iommufd_veventq_type arm_smmu_veventq_types[] = {
	{ IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, sizeof(struct iommu_vevent_arm_smmuv3) },
	{ }
};

const struct iommufd_viommu_ops arm_smmu_viommu_ops = {
	.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
	.viommu_size = IOMMUFD_EMBED_SIZE(struct arm_smmu_viommu, core),
	.vdevice_size = IOMMUFD_EMBED_SIZE(struct arm_smmu_vdevice, core_vdev),
	.takes_vm = true,
	.veventq_types = arm_smmu_veventq_types,
	.supported = arm_smmu_viommu_supported,
	.offered = arm_smmu_viommu_offered,
	.init = arm_smmu_viommu_init,
	.release = arm_smmu_viommu_release,
	.alloc_nested = arm_smmu_viommu_alloc_nested,
	.nested_translates = arm_smmu_viommu_nested_translates,
	.cache_invalidate = arm_smmu_viommu_cache_invalidate,
	.vdevice_init = arm_smmu_viommu_vdevice_init,
	.vdevice_release = arm_smmu_viommu_vdevice_release,
};
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_viommu_ops);
