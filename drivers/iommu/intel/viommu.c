// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on VT-d: the part of a unit that a VM uses
 *
 *	dmar_domain (second stage)  <--s2--  intel_viommu
 *		::s1_domains   |                ::nested, by the guest's DID
 *			      \/                /
 *			    intel_viommu_domain (guest's PASID table entry)
 *
 * Hardware does not read the PASID tables of a guest. The VMM passes on each
 * entry that the guest wants in force as a nested HWPT, and attaches that to
 * the device or to a PASID of it.
 *
 * Owns:	a vIOMMU owns its buffers for invalidations. It has no ID in
 *		hardware: each nested domain has a domain ID of its own, which
 *		no other VM uses at the same time.
 * Held by:	the core holds the second stage for the vIOMMU, and the vIOMMU
 *		for each nested domain and virtual device.
 * Locks:	call_lock, then lock, then the locks of a domain, see
 *		viommu-inv.c. The list of virtual devices for faults has its
 *		own, see viommu-fault.c. Attaches hold the mutex of the device's
 *		group and none of these.
 * Dies:	see the core. A nested domain is on ::nested for as long as it
 *		exists, so no invalidation misses one that is attached.
 */
#include <linux/pci.h>
#include <linux/slab.h>
#include <uapi/linux/iommufd.h>

#include "viommu.h"

/* Nested domains */

static void intel_viommu_domain_free(struct iommu_domain *domain)
{
	struct intel_viommu_domain *nested = to_intel_viommu_domain(domain);
	struct intel_viommu *viommu = nested->viommu;

	mutex_lock(&viommu->lock);
	hash_del(&nested->node);
	if (nested->kind != INTEL_VPE_BLOCKED)
		viommu->nr_dids--;
	mutex_unlock(&viommu->lock);
	intel_nested_domain_exit(&nested->domain);
	kfree(nested);
}

static const struct iommu_domain_ops intel_viommu_nested_ops = {
	.attach_dev = intel_nested_attach_dev,
	.set_dev_pasid = intel_nested_set_dev_pasid,
	.free = intel_viommu_domain_free,
};

const struct iommu_domain_ops intel_viommu_bypass_ops = {
	.attach_dev = intel_nested_attach_dev,
	.set_dev_pasid = intel_nested_set_dev_pasid,
	.free = intel_viommu_domain_free,
};

static int intel_viommu_attach_dev_blocked(struct iommu_domain *domain,
					   struct device *dev)
{
	device_block_translation(dev);
	return 0;
}

/* There is no entry, so no cache has anything, and nothing to record */
static int intel_viommu_set_dev_pasid_blocked(struct iommu_domain *domain,
					      struct device *dev,
					      ioasid_t pasid,
					      struct iommu_domain *old)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	int ret;

	ret = intel_iommu_check_pasid(dev);
	if (ret)
		return ret;
	if (!old || intel_viommu_blocks(old))
		return 0;

	intel_pasid_tear_down_entry(info->iommu, dev, pasid, false);
	domain_leave_pasid(old, dev, pasid);
	return 0;
}

const struct iommu_domain_ops intel_viommu_blocked_ops = {
	.attach_dev = intel_viommu_attach_dev_blocked,
	.set_dev_pasid = intel_viommu_set_dev_pasid_blocked,
	.free = intel_viommu_domain_free,
};

/**
 * intel_viommu_make_bypass() - Make the entry of a nested domain that bypasses
 * the first stage
 * @iommu: The unit, which the domain has an ID on
 * @domain: The domain
 * @pte: The entry
 */
void intel_viommu_make_bypass(struct intel_iommu *iommu,
			      struct dmar_domain *domain,
			      struct pasid_entry *pte)
{
	struct dmar_domain *s2 = domain->s2_domain;

	memset(pte, 0, sizeof(*pte));
	pasid_set_domain_id(pte, domain_id_iommu(domain, iommu));
	pasid_set_slptr(pte, virt_to_phys(s2->pgd));
	pasid_set_address_width(pte, s2->agaw);
	pasid_set_translation_type(pte, PASID_ENTRY_PGTT_SL_ONLY);
	pasid_set_fault_enable(pte);
	pasid_set_page_snoop(pte, !!ecap_smpwc(iommu->ecap));
	pasid_set_present(pte);
}

static struct iommu_domain *
intel_viommu_alloc_nested(struct iommufd_viommu *core, struct device *dev,
			  u32 flags, const struct iommu_user_data *user_data)
{
	static const struct iommu_domain_ops *const ops[] = {
		[INTEL_VPE_BLOCKED] = &intel_viommu_blocked_ops,
		[INTEL_VPE_BYPASS] = &intel_viommu_bypass_ops,
		[INTEL_VPE_NESTED] = &intel_viommu_nested_ops,
	};
	struct intel_viommu *viommu = to_intel_viommu(core);
	struct intel_viommu_domain *nested;
	struct iommu_hwpt_intel_vtd arg;
	struct intel_vpe vpe;
	int ret;

	if (flags & ~IOMMU_HWPT_ALLOC_PASID)
		return ERR_PTR(-EOPNOTSUPP);
	if ((flags & IOMMU_HWPT_ALLOC_PASID) &&
	    !pasid_supported(viommu->iommu))
		return ERR_PTR(-EOPNOTSUPP);

	ret = iommu_copy_struct_from_user(&arg, user_data,
					  IOMMU_HWPT_DATA_INTEL_VTD, pe);
	if (ret)
		return ERR_PTR(ret);
	ret = intel_vpe_check(viommu->iommu->cap, viommu->iommu->ecap, arg.pe,
			      &vpe);
	if (ret)
		return ERR_PTR(ret);

	nested = kzalloc(sizeof(*nested), GFP_KERNEL_ACCOUNT);
	if (!nested)
		return ERR_PTR(-ENOMEM);
	nested->viommu = viommu;
	nested->kind = vpe.kind;
	nested->guest_did = vpe.did;

	mutex_lock(&viommu->lock);
	if (vpe.kind != INTEL_VPE_BLOCKED) {
		/* The other VMs and the host need some, too */
		if (viommu->nr_dids == viommu->max_dids) {
			mutex_unlock(&viommu->lock);
			kfree(nested);
			return ERR_PTR(-ENOSPC);
		}
		viommu->nr_dids++;
	}
	intel_nested_domain_init(&nested->domain, viommu->s2, &vpe.s1,
				 ops[vpe.kind]);
	hash_add(viommu->nested, &nested->node, nested->guest_did);
	mutex_unlock(&viommu->lock);
	return &nested->domain.domain;
}

static bool intel_viommu_nested_translates(struct iommu_domain *domain)
{
	return to_intel_viommu_domain(domain)->kind == INTEL_VPE_NESTED;
}

/* Virtual devices */

static int intel_viommu_count_alias(struct pci_dev *pdev, u16 alias, void *data)
{
	unsigned int *n = data;

	return ++*n > 1;
}

static int intel_viommu_vdevice_init(struct iommufd_vdevice *core)
{
	struct intel_vdevice *vdev = container_of(core, struct intel_vdevice,
						  core);
	unsigned int aliases = 0;

	if (core->virt_id > U16_MAX)
		return -EINVAL;
	/* Its descriptors and faults must name it and nothing else */
	if (!dev_is_pci(core->dev) ||
	    pci_real_dma_dev(to_pci_dev(core->dev)) != to_pci_dev(core->dev))
		return -EOPNOTSUPP;
	if (pci_for_each_dma_alias(to_pci_dev(core->dev),
				   intel_viommu_count_alias, &aliases))
		return -EOPNOTSUPP;

	vdev->info = dev_iommu_priv_get(core->dev);
	intel_viommu_faults_add(vdev);
	return 0;
}

static void intel_viommu_vdevice_release(struct iommufd_vdevice *core)
{
	struct intel_viommu *viommu = to_intel_viommu(core->viommu);

	intel_viommu_faults_del(container_of(core, struct intel_vdevice, core));
	/* An invalidation that has found it is complete after this */
	mutex_lock(&viommu->lock);
	mutex_unlock(&viommu->lock);
}

/* The vIOMMU */

static int intel_viommu_supported(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_iommu *iommu = info->iommu;

	if (!iommu->qi || !ecap_flts(iommu->ecap) || !ecap_slts(iommu->ecap))
		return -EOPNOTSUPP;
	return 0;
}

static bool intel_viommu_offered(struct iommu_device *iommu_dev)
{
	struct intel_iommu *iommu =
		container_of(iommu_dev, struct intel_iommu, iommu);

	return iommu->qi && ecap_flts(iommu->ecap) && ecap_slts(iommu->ecap);
}

/* In each case a nesting parent allocated for this unit would work */
static bool intel_viommu_s2_fits(struct dmar_domain *s2,
				 struct intel_iommu *iommu)
{
	int width = min_t(int, agaw_to_width(iommu->agaw),
			  cap_mgaw(iommu->cap));
	unsigned long large = s2->domain.pgsize_bitmap;

	if (s2->agaw > iommu->agaw ||
	    s2->domain.geometry.aperture_end >> 1 > (1ULL << (width - 1)) - 1)
		return false;
	if (((large & SZ_2M) && !(cap_super_page_val(iommu->cap) & BIT(0))) ||
	    ((large & SZ_1G) && !(cap_super_page_val(iommu->cap) & BIT(1))))
		return false;
	/* The host would not write its changes back to memory */
	if (s2->iommu_coherency && !ecap_smpwc(iommu->ecap))
		return false;
	if (s2->force_snooping && !ecap_sc_support(iommu->ecap))
		return false;
	return !s2->domain.dirty_ops || ssads_supported(iommu);
}

static int intel_viommu_init(struct iommufd_viommu *core, struct device *dev,
			     const struct iommu_user_data *user_data)
{
	struct intel_viommu *viommu = to_intel_viommu(core);
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *s2 = to_dmar_domain(core->parent);
	int ret;

	if (!intel_viommu_s2_fits(s2, info->iommu))
		return -EINVAL;
	ret = intel_viommu_faults_alloc(info->iommu);
	if (ret)
		return ret;

	viommu->batch = intel_vinv_batch_alloc();
	if (!viommu->batch)
		return -ENOMEM;
	viommu->iommu = info->iommu;
	viommu->s2 = s2;
	mutex_init(&viommu->call_lock);
	mutex_init(&viommu->lock);
	hash_init(viommu->nested);
	viommu->max_dids = cap_ndoms(viommu->iommu->cap) / INTEL_VIOMMU_DID_SHARE;
	return 0;
}

static void intel_viommu_release(struct iommufd_viommu *core)
{
	intel_vinv_batch_free(to_intel_viommu(core)->batch);
}

static const struct iommufd_veventq_type intel_viommu_veventq_types[] = {
	{ IOMMU_VEVENTQ_TYPE_INTEL_VTD, sizeof(struct iommu_vevent_intel_vtd) },
	{}
};

const struct iommufd_viommu_ops intel_viommu_ops = {
	.type = IOMMU_VIOMMU_TYPE_INTEL_VTD,
	.takes_vm = true,
	.viommu_size = IOMMUFD_EMBED_SIZE(struct intel_viommu, core),
	.vdevice_size = IOMMUFD_EMBED_SIZE(struct intel_vdevice, core),
	.veventq_types = intel_viommu_veventq_types,
	.supported = intel_viommu_supported,
	.offered = intel_viommu_offered,
	.init = intel_viommu_init,
	.release = intel_viommu_release,
	.alloc_nested = intel_viommu_alloc_nested,
	.nested_translates = intel_viommu_nested_translates,
	.cache_invalidate = intel_viommu_cache_invalidate,
	.vdevice_init = intel_viommu_vdevice_init,
	.vdevice_release = intel_viommu_vdevice_release,
};
