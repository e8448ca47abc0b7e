// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains of user space on PASIDs of the AMD IOMMU
 *
 *	iommu_dev_data ── gcr3_info: the GCR3 table, a DomainID of its own
 *	                    [0]      pgd of ::domain     requests without PASID
 *	                    [PASID]  pgd of the domain that lists a pdom_dev_data
 *
 * Only v2 tables, in the format of a guest's, can be entries of a GCR3 table. A
 * domain that user space allocates for PASIDs has one. It also translates the
 * requests without PASID of a device, so both can be attached side by side.
 *
 * What requests leave in the TLB has the tag (DomainID of the device, PASID). A
 * change of an entry of the GCR3 table flushes that tag, and the PASID in the TLB
 * of the device, so nothing is left of a domain that is replaced. A change of the
 * mappings of a domain flushes for both its lists: dev_list has the devices with
 * it as ::domain, dev_data_list the PASIDs.
 *
 * As long as PASIDs of a device are attached its GCR3 table stays, and GCR3[0] and
 * GIOV in the DTE decide about its requests without PASID, see
 * amd_iommu_change_rid(). To block them, ::domain becomes rid_blocked.
 *
 * Not possible here: dirty tracking, which v2 tables do not have; PASIDs beside a
 * v1 table, which includes nesting parents; enforced cache coherency. A v2 table
 * has no bit for the latter, so requests with No-Snoop are not snooped. The driver
 * claims otherwise, as it does for all v2 tables.
 *
 * Locks: the core holds the mutex of the group while it attaches and removes, also
 * PASIDs. The lock of a domain protects its two lists.
 */
#define pr_fmt(fmt)	"AMD-Vi: " fmt

#include <linux/io-pgtable.h>
#include <linux/iommu.h>

#include "amd_iommu.h"

/* No entry is present */
static u64 rid_blocked_pgd[PTRS_PER_PGD] __aligned(PAGE_SIZE);

/* Blocks the requests without PASID of devices with PASIDs attached */
static struct protection_domain rid_blocked = {
	.domain.type	= IOMMU_DOMAIN_UNMANAGED,
	.pd_mode	= PD_MODE_V2,
	.iop.pgd	= rid_blocked_pgd,
	.lock		= __SPIN_LOCK_UNLOCKED(rid_blocked.lock),
	.iommu_array	= XARRAY_INIT(rid_blocked.iommu_array, 0),
	.dev_list	= LIST_HEAD_INIT(rid_blocked.dev_list),
	.dev_data_list	= LIST_HEAD_INIT(rid_blocked.dev_data_list),
};

static bool pdom_is_v2(struct protection_domain *pdom)
{
	return pdom->pd_mode == PD_MODE_V2;
}

/**
 * amd_iommu_domain_alloc_pasid() - Allocate a domain for PASIDs
 * @dev: The device
 *
 * Return: the domain, -EOPNOTSUPP if the IOMMU does not support PASIDs together
 * with v2 tables for requests without one, or -ENOMEM.
 */
struct iommu_domain *amd_iommu_domain_alloc_pasid(struct device *dev)
{
	struct amd_iommu *iommu = get_amd_iommu_from_dev(dev);
	struct protection_domain *pdom;
	struct iommu_domain *domain;

	if (!amd_iommu_pasid_supported() || !check_feature(FEATURE_GIOSUP))
		return ERR_PTR(-EOPNOTSUPP);

	/* One without a page table */
	pdom = protection_domain_alloc(IOMMU_DOMAIN_SVA, dev_to_node(dev));
	if (!pdom)
		return ERR_PTR(-ENOMEM);
	if (!alloc_io_pgtable_ops(AMD_IOMMU_V2, &pdom->iop.pgtbl.cfg, pdom)) {
		protection_domain_free(pdom);
		return ERR_PTR(-ENOMEM);
	}
	pdom->pd_mode = PD_MODE_V2;

	domain = &pdom->domain;
	domain->type = IOMMU_DOMAIN_UNMANAGED;
	domain->ops = iommu->iommu.ops->default_domain_ops;
	domain->pgsize_bitmap = pdom->iop.pgtbl.cfg.pgsize_bitmap;
	/* Addresses of requests with PASID are sign-extended: lower half only */
	domain->geometry.aperture_end =
		(1ULL << (PM_LEVEL_SHIFT(amd_iommu_gpt_level) - 1)) - 1;
	domain->geometry.force_aperture = true;
	return domain;
}

/*
 * Changes what translates the requests without PASID of a device with PASIDs
 * attached. Meanwhile one of the two domains translates them, and both flush for
 * the device.
 *
 * The identity domain is the absence of GIOV: the IOMMU then uses the GCR3 table
 * for requests with PASID only.
 */
static int amd_iommu_change_rid(struct device *dev,
				struct protection_domain *pdom)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_iommu *iommu = get_amd_iommu_from_dev_data(dev_data);
	struct protection_domain *old = dev_data->domain;
	/* Locks of domains nest in the order of their addresses */
	struct protection_domain *outer = min(old, pdom);
	struct protection_domain *inner = max(old, pdom);
	bool giov = pdom_is_v2(pdom);
	unsigned long gcr3 = 0;
	unsigned long flags;
	int ret;

	if (giov)
		gcr3 = iommu_virt_to_phys(pdom->iop.pgd);
	else if (pdom->domain.type != IOMMU_DOMAIN_IDENTITY)
		return -EBUSY;

	/*
	 * Blocking cannot fail: an empty domain has nothing to flush, and
	 * without a GCR3[0] the requests are blocked, too.
	 */
	ret = pdom_attach_iommu(iommu, pdom);
	if (ret && pdom != &rid_blocked)
		return ret;
	if (giov && !__get_gcr3_pte(&dev_data->gcr3_info, 0, true) &&
	    pdom != &rid_blocked) {
		pdom_detach_iommu(iommu, pdom);
		return -ENOMEM;
	}

	mutex_lock(&dev_data->mutex);
	if (!giov)
		amd_iommu_dev_set_giov(dev_data, false);

	spin_lock_irqsave(&outer->lock, flags);
	spin_lock_nested(&inner->lock, SINGLE_DEPTH_NESTING);
	update_gcr3(dev_data, 0, gcr3, giov);
	/* Who unmaps from @old finds the device until its TLB is empty */
	if (giov && pdom_is_v2(old))
		amd_iommu_dev_set_giov(dev_data, true);
	list_move(&dev_data->list, &pdom->dev_list);
	dev_data->domain = pdom;
	spin_unlock(&inner->lock);
	spin_unlock_irqrestore(&outer->lock, flags);

	if (giov)
		amd_iommu_dev_set_giov(dev_data, true);
	mutex_unlock(&dev_data->mutex);

	pdom_detach_iommu(iommu, old);
	return 0;
}

/**
 * amd_iommu_attach_beside_pasids() - Attach a domain to a device with PASIDs
 * @dev: The device
 * @pdom: The domain for its requests without PASID, or NULL to block them
 *
 * Return: 0; -ENODEV if no PASID of the device is attached, and nothing is
 * done; -EBUSY if @pdom has a v1 table, which excludes PASIDs; -ENOMEM. After
 * an error the old domain is in force.
 */
int amd_iommu_attach_beside_pasids(struct device *dev,
				   struct protection_domain *pdom)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);

	if (!dev_data->gcr3_info.pasid_cnt)
		return -ENODEV;
	if (!pdom)
		pdom = &rid_blocked;
	if (dev_data->domain == pdom)
		return 0;
	return amd_iommu_change_rid(dev, pdom);
}

/* Without PASIDs, a device with its other requests blocked needs no GCR3 table */
static void amd_iommu_block_unused(struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);

	if (dev_data->domain == &rid_blocked &&
	    !dev_data->gcr3_info.pasid_cnt)
		amd_iommu_detach_pdom(dev);
}

/*
 * Takes a PASID off the list of a domain that no longer translates it. Returns
 * whether it was there: not if the device joined the group after the attach.
 */
static bool pdom_forget_pasid(struct protection_domain *pdom,
			      struct iommu_dev_data *dev_data, ioasid_t pasid)
{
	struct pdom_dev_data *entry;
	unsigned long flags;
	bool found = false;

	spin_lock_irqsave(&pdom->lock, flags);
	for_each_pdom_dev_data(entry, pdom) {
		if (entry->dev_data == dev_data && entry->pasid == pasid) {
			list_del(&entry->list);
			kfree(entry);
			found = true;
			break;
		}
	}
	spin_unlock_irqrestore(&pdom->lock, flags);
	if (found)
		pdom_detach_iommu(get_amd_iommu_from_dev_data(dev_data), pdom);
	return found;
}

static int pdom_add_pasid(struct protection_domain *pdom,
			  struct iommu_dev_data *dev_data, ioasid_t pasid)
{
	struct amd_iommu *iommu = get_amd_iommu_from_dev_data(dev_data);
	struct pdom_dev_data *entry;
	unsigned long flags;
	int ret;

	entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	if (!entry)
		return -ENOMEM;
	entry->dev_data = dev_data;
	entry->pasid = pasid;

	ret = pdom_attach_iommu(iommu, pdom);
	if (ret)
		goto err_free;

	/* A flush of the domain must not miss the PASID once it translates it */
	spin_lock_irqsave(&pdom->lock, flags);
	ret = update_gcr3(dev_data, pasid, iommu_virt_to_phys(pdom->iop.pgd),
			  true);
	if (!ret)
		list_add(&entry->list, &pdom->dev_data_list);
	spin_unlock_irqrestore(&pdom->lock, flags);
	if (ret)
		goto err_detach;
	return 0;

err_detach:
	pdom_detach_iommu(iommu, pdom);
err_free:
	kfree(entry);
	return ret;
}

/**
 * amd_iommu_set_dev_pasid() - Attach a domain of user space to a PASID
 * @domain: The domain
 * @dev: The device
 * @pasid: The PASID
 * @old: The domain that the PASID has, also of user space, or NULL. One of the
 *       two translates DMA until this returns.
 *
 * The requests without PASID may be blocked, or belong to a v2 table or to the
 * identity domain.
 *
 * Return: 0; -EINVAL if @domain has a v1 table or @dev is attached to one, or if
 * @dev cannot use the PASID; -ENOMEM. After an error @old is in force.
 */
int amd_iommu_set_dev_pasid(struct iommu_domain *domain, struct device *dev,
			    ioasid_t pasid, struct iommu_domain *old)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct protection_domain *pdom = to_pdomain(domain);
	int ret;

	if (!pdom_is_v2(pdom) || !pasid || pasid >= dev_data->max_pasids)
		return -EINVAL;

	if (!dev_data->domain) {
		ret = amd_iommu_attach_pdom(dev, &rid_blocked);
		if (ret)
			return ret;
	}
	if (!dev_data->pasid_enabled || !dev_data->gcr3_info.gcr3_tbl) {
		ret = -EINVAL;
		goto out_block;
	}

	ret = pdom_add_pasid(pdom, dev_data, pasid);
	if (ret)
		goto out_block;
	if (!old || !pdom_forget_pasid(to_pdomain(old), dev_data, pasid))
		dev_data->gcr3_info.pasid_cnt++;
	return 0;

out_block:
	amd_iommu_block_unused(dev);
	return ret;
}

/**
 * amd_iommu_pasid_removed() - Complete the removal of a PASID
 * @dev: The device
 * @pdom: The domain that the PASID had
 * @found: Whether it was on the list of @pdom. It was not if the device joined
 *         the group after the attach, or if the process of @pdom is gone.
 */
void amd_iommu_pasid_removed(struct device *dev, struct protection_domain *pdom,
			     bool found)
{
	if (found && pdom_is_v2(pdom))
		pdom_detach_iommu(get_amd_iommu_from_dev(dev), pdom);
	amd_iommu_block_unused(dev);
}
