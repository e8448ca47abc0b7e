// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the AMD IOMMU: the part of an IOMMU that a VM uses
 *
 *	protection_domain (nesting parent)  <--s2--  amd_viommu
 *		::viommus                             |     |
 *			      ::domids, by the guest's ID   ::devs, attached
 *				amd_vdomid            |     |
 *				   ^                  |   iommu_dev_data
 *				   |                  |     |::nested
 *			    amd_viommu_domain (guest's DTE) <
 *
 * Hardware does not read the device table of a guest. The VMM passes on each
 * entry that the guest wants in force as a nested HWPT, and attaches that to the
 * device.
 *
 * Owns:	a vIOMMU owns its buffers for invalidations, and the DomainIDs of
 *		the host that stand for those of the guest. No other VM uses
 *		these at the same time. A DomainID goes back to the driver with
 *		the last HWPT that has it, when no device is attached to one:
 *		its last device took what the TLB had of it.
 * Held by:	the core holds the nesting parent for the vIOMMU, and the vIOMMU
 *		for each nested domain and virtual device. The nesting parent
 *		counts the IOMMU of the vIOMMU as one that it is attached to, so
 *		it waits for that in its flushes.
 * Locks:	the mutex of a device's group, iommu_dev_data::mutex,
 *		amd_viommu::lock, protection_domain::lock of the nesting parent,
 *		iommu_dev_data::dte_lock, amd_iommu::lock; each of them is taken
 *		before those after it. For invalidations see viommu-inv.c, for
 *		events viommu-event.c. What they guard is in viommu.h.
 * Dies:	see the core. A device is attached, and on ::devs, until its
 *		entry in the device table is another one.
 *
 * A device that is attached to a nested domain has no iommu_dev_data::domain. So
 * it is on no list of the nesting parent whose users write the device table for
 * a domain that translates alone.
 */
#define pr_fmt(fmt)	"AMD-Vi: " fmt

#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <uapi/linux/iommufd.h>

#include <asm/iommu.h>

#include "viommu.h"

/*
 * Whether INVALIDATE_IOMMU_PAGES without GN drops the entries of PASIDs, among them
 * all of GIOV, cannot be found out. The rest of the driver assumes that it does.
 */
bool amd_viommu_flush_all;
#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "amd_iommu."
module_param_named(viommu_flush_all, amd_viommu_flush_all, bool, 0444);
MODULE_PARM_DESC(viommu_flush_all,
		 "Flush the whole TLB where a DomainID of a vIOMMU is flushed");

/* Nesting parents */

/* The nesting parent and the GCR3 table pointer must be what a guest needs */
static bool amd_viommu_nests(struct amd_iommu *iommu)
{
	return check_feature(FEATURE_GT) && check_feature(FEATURE_GIOSUP) &&
	       check_feature2(FEATURE_GCR3TRPMODE) && !amd_iommu_snp_en &&
	       FIELD_GET(FEATURE_HATS, amd_iommu_efr) != FEATURE_HATS_NONE &&
	       (readq(iommu->mmio_base + MMIO_CONTROL_OFFSET) &
		BIT_ULL(CONTROL_GCR3TRPMODE));
}

/**
 * amd_viommu_check_parent() - Check whether a device's IOMMU can nest
 * @dev: The device
 *
 * Return: 0, or -EOPNOTSUPP.
 */
int amd_viommu_check_parent(struct device *dev)
{
	return amd_viommu_nests(get_amd_iommu_from_dev(dev)) ? 0 : -EOPNOTSUPP;
}

/**
 * amd_viommu_init_parent() - Make a new domain with a v1 table a nesting parent
 * @pdom: The domain, empty and attached to nothing
 *
 * The table gets the number of levels that it keeps: growing would change the
 * root, and with it the DTE of each device.
 */
void amd_viommu_init_parent(struct protection_domain *pdom)
{
	struct iommu_domain *domain = &pdom->domain;

	pdom->nest_parent = true;
	INIT_LIST_HEAD(&pdom->viommus);
	pdom->iop.mode = PAGE_MODE_4_LEVEL;
	domain->geometry.aperture_end = BIT_ULL(AMD_VIOMMU_S2_BITS) - 1;
	domain->pgsize_bitmap &= domain->geometry.aperture_end;
}

/**
 * amd_viommu_flush_parent() - Flush what vIOMMUs have cached of a domain
 * @pdom: The domain; the caller holds its lock, and waits afterwards
 *
 * What the TLBs have does not tell the guest physical address, so everything
 * goes.
 *
 * Return: 0, or the error of the command buffer.
 */
int amd_viommu_flush_parent(struct protection_domain *pdom)
{
	struct iommu_dev_data *dev_data;
	struct amd_vdomid *domid;
	struct amd_viommu *viommu;
	struct iommu_cmd cmd;
	unsigned int bucket;
	int ret = 0;

	lockdep_assert_held(&pdom->lock);

	if (!pdom->nest_parent)
		return 0;
	list_for_each_entry(viommu, &pdom->viommus, node) {
		hash_for_each(viommu->domids, bucket, domid, node) {
			if (!domid->devs)
				continue;
			amd_viommu_make_flush(&cmd, domid->host);
			ret |= iommu_queue_command(viommu->iommu, &cmd);
		}
		list_for_each_entry(dev_data, &viommu->devs, list) {
			if (!dev_data->ats_enabled)
				continue;
			amd_vcmd_make_iotlb(&cmd, dev_data->devid,
					    dev_data->ats_qdep, AMD_VCMD_ALL);
			ret |= iommu_queue_command(viommu->iommu, &cmd);
		}
	}
	return ret;
}

/**
 * amd_viommu_flush_complete() - Complete the flush of device TLBs
 * @pdom: The domain; the caller holds its lock, and has waited for the IOMMUs
 */
void amd_viommu_flush_complete(struct protection_domain *pdom)
{
	struct iommu_dev_data *dev_data;
	struct amd_viommu *viommu;

	lockdep_assert_held(&pdom->lock);

	if (!pdom->nest_parent)
		return;
	list_for_each_entry(viommu, &pdom->viommus, node)
		list_for_each_entry(dev_data, &viommu->devs, list)
			amd_iommu_restart_ats(dev_data);
}

/* DomainIDs */

/* Everything of a DomainID of the host leaves the TLB */
static int amd_viommu_flush_domid(struct amd_viommu *viommu, u16 host)
{
	struct iommu_cmd cmd;

	amd_viommu_make_flush(&cmd, host);
	return iommu_queue_command(viommu->iommu, &cmd) ?:
	       iommu_completion_wait(viommu->iommu);
}

/* A device is no longer attached with @domid */
static void amd_viommu_domid_put_dev(struct amd_viommu *viommu,
				     struct amd_vdomid *domid)
{
	struct protection_domain *s2 = viommu->s2;
	unsigned long flags;

	lockdep_assert_held(&viommu->lock);

	if (!domid)
		return;
	/* It counts until nothing of it is left for the nesting parent to flush */
	if (domid->devs == 1 && amd_viommu_flush_domid(viommu, domid->host))
		domid->stuck = true;
	spin_lock_irqsave(&s2->lock, flags);
	domid->devs--;
	spin_unlock_irqrestore(&s2->lock, flags);
}

static struct amd_vdomid *amd_viommu_get_domid(struct amd_viommu *viommu,
					       u16 guest)
{
	struct protection_domain *s2 = viommu->s2;
	struct amd_vdomid *domid;
	unsigned long flags;

	lockdep_assert_held(&viommu->lock);

	hash_for_each_possible(viommu->domids, domid, node, guest) {
		if (domid->guest == guest) {
			domid->users++;
			return domid;
		}
	}

	if (viommu->nr_domids == AMD_VIOMMU_DOMIDS)
		return ERR_PTR(-ENOSPC);
	domid = kzalloc(sizeof(*domid), GFP_KERNEL_ACCOUNT);
	if (!domid)
		return ERR_PTR(-ENOMEM);
	domid->host = domain_id_alloc();
	if (!domid->host) {
		kfree(domid);
		return ERR_PTR(-ENOSPC);
	}
	domid->guest = guest;
	domid->users = 1;
	viommu->nr_domids++;
	spin_lock_irqsave(&s2->lock, flags);
	hash_add(viommu->domids, &domid->node, guest);
	spin_unlock_irqrestore(&s2->lock, flags);
	return domid;
}

static void amd_viommu_put_domid(struct amd_viommu *viommu,
				 struct amd_vdomid *domid)
{
	struct protection_domain *s2 = viommu->s2;
	unsigned long flags;

	lockdep_assert_held(&viommu->lock);

	if (--domid->users)
		return;
	WARN_ON(domid->devs);
	spin_lock_irqsave(&s2->lock, flags);
	hash_del(&domid->node);
	spin_unlock_irqrestore(&s2->lock, flags);
	viommu->nr_domids--;
	if (!domid->stuck)
		domain_id_free(domid->host);
	kfree(domid);
}

/* Attached devices */

struct amd_vdte_write {
	const struct amd_vdte *vdte;
	struct amd_vdte_host host;
};

/* The half that @step changes */
static void amd_vdte_store(struct dev_table_entry *dte,
			   const struct amd_vdte_step *step)
{
	struct dev_table_entry new = step->to;

	if (step->upper)
		write_dte_upper128(dte, &new);
	else
		write_dte_lower128(dte, &new);
}

static void amd_vdte_write_rid(struct amd_iommu *iommu,
			       struct iommu_dev_data *rid, void *data)
{
	struct dev_table_entry *dte = &get_dev_table(iommu)[rid->devid];
	struct amd_vdte_step steps[AMD_VDTE_STEPS];
	const struct amd_vdte_write *write = data;
	struct dev_table_entry new;
	unsigned int i, n;

	spin_lock(&rid->dte_lock);
	amd_vdte_make(write->vdte, &write->host, dte, &new);
	n = amd_vdte_plan(dte, &new, steps);
	for (i = 0; i < n; i++) {
		amd_vdte_store(dte, &steps[i]);
		if (steps[i].settle)
			iommu_flush_dte_sync(iommu, rid->devid);
	}
	spin_unlock(&rid->dte_lock);
}

/*
 * Let the DTE of a device and of its aliases do what @vdte says. With NULL the
 * nesting parent alone translates.
 */
static void amd_viommu_write_dte(struct iommu_dev_data *dev_data,
				 struct protection_domain *s2,
				 const struct amd_vdte *vdte,
				 const struct amd_vdomid *domid)
{
	static const struct amd_vdte parent = {
		.kind = AMD_VDTE_BYPASS,
		.q0 = DTE_FLAG_IR | DTE_FLAG_IW,
	};
	struct amd_vdte_write write = {
		.vdte = vdte ?: &parent,
		.host = {
			.s2 = iommu_virt_to_phys(s2->iop.root) |
			      (u64)s2->iop.mode << DEV_ENTRY_MODE_SHIFT,
			.domid = domid ? domid->host : s2->id,
			.ats = dev_data->ats_enabled,
			.dirty = s2->dirty_tracking,
		},
	};

	lockdep_assert_held(&s2->lock);

	amd_iommu_for_all_rids(dev_data, amd_vdte_write_rid, &write);
}

/* The DTEs of a device and its aliases, and the TLB of the device */
static void amd_viommu_flush_dev(struct amd_viommu *viommu,
				 struct iommu_dev_data *dev_data)
{
	device_flush_dte(dev_data);
	iommu_completion_wait(viommu->iommu);
	amd_iommu_restart_ats(dev_data);
}

/**
 * amd_viommu_set_dirty() - Set dirty tracking for devices with a nested domain
 * @pdom: The domain; the caller holds its lock, and flushes the TLB
 * @enable: Whether the hardware writes dirty bits
 *
 * Return: whether there are such devices.
 */
bool amd_viommu_set_dirty(struct protection_domain *pdom, bool enable)
{
	bool old = pdom->dirty_tracking;
	struct iommu_dev_data *dev_data;
	struct amd_viommu *viommu;
	bool found = false;

	lockdep_assert_held(&pdom->lock);

	if (!pdom->nest_parent)
		return false;
	pdom->dirty_tracking = enable;
	list_for_each_entry(viommu, &pdom->viommus, node) {
		list_for_each_entry(dev_data, &viommu->devs, list) {
			amd_viommu_write_dte(dev_data, pdom,
					     &dev_data->nested->vdte,
					     dev_data->nested->domid);
			device_flush_dte(dev_data);
			found = true;
		}
	}
	pdom->dirty_tracking = old;
	return found;
}

static void amd_viommu_count_silent(struct amd_viommu *viommu)
{
	struct iommu_dev_data *dev_data;

	lockdep_assert_held(&viommu->lock);

	viommu->silent = 0;
	list_for_each_entry(dev_data, &viommu->devs, list)
		viommu->silent += dev_data->ats_enabled &&
				  !dev_data->nested->vdte.ats;
}

/* From the first one on there is memory for what each needs */
static void amd_viommu_prepare_rid(struct amd_iommu *iommu,
				   struct iommu_dev_data *rid, void *data)
{
}

static void amd_viommu_set_vapic(struct iommu_dev_data *dev_data)
{
#ifdef CONFIG_IRQ_REMAP
	if (AMD_IOMMU_GUEST_IR_VAPIC(amd_iommu_guest_ir))
		dev_data->use_vapic = 1;
#endif
}

/*
 * From another nested domain of the vIOMMU, and from the nesting parent, DMA
 * goes on. From all others it is blocked first, as by any attach of this driver.
 */
int amd_viommu_attach_dev(struct iommu_domain *domain, struct device *dev)
{
	struct amd_viommu_domain *nested = to_amd_viommu_domain(domain);
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_viommu *viommu = nested->viommu;
	struct protection_domain *s2 = viommu->s2;
	struct amd_viommu_domain *old;
	unsigned long flags;
	bool from_s2;

	if (get_amd_iommu_from_dev(dev) != viommu->iommu)
		return -EINVAL;
	if (dev_data->gcr3_info.pasid_cnt)
		return -EBUSY;
	if (dev_data->nested == nested)
		return 0;
	if (amd_iommu_for_all_rids(dev_data, amd_viommu_prepare_rid, NULL))
		return -ENOMEM;

	dev_data->defer_attach = false;
	if (dev_data->nested && dev_data->nested->viommu != viommu)
		amd_viommu_detach(dev);
	else if (dev_data->domain && dev_data->domain != s2)
		amd_iommu_detach_pdom(dev);

	mutex_lock(&dev_data->mutex);
	mutex_lock(&viommu->lock);
	old = dev_data->nested;
	from_s2 = dev_data->domain;
	spin_lock_irqsave(&s2->lock, flags);
	/* Under the lock, as who flushes looks whether the device uses ATS */
	if (dev_is_pci(dev))
		amd_iommu_enable_guest_caps(to_pci_dev(dev));
	if (nested->domid)
		nested->domid->devs++;
	if (from_s2)
		list_del(&dev_data->list);
	if (!old) {
		list_add(&dev_data->list, &viommu->devs);
		if (!viommu->nr_devs++)
			list_add(&viommu->node, &s2->viommus);
	}
	dev_data->domain = NULL;
	dev_data->nested = nested;
	amd_viommu_write_dte(dev_data, s2, &nested->vdte, nested->domid);
	spin_unlock_irqrestore(&s2->lock, flags);

	amd_viommu_flush_dev(viommu, dev_data);
	if (old)
		amd_viommu_domid_put_dev(viommu, old->domid);
	amd_viommu_count_silent(viommu);
	mutex_unlock(&viommu->lock);
	amd_viommu_set_vapic(dev_data);
	mutex_unlock(&dev_data->mutex);

	if (from_s2)
		pdom_detach_iommu(viommu->iommu, s2);
	return 0;
}

/* Takes a device off its nested domain; then @pdom translates, or it blocks */
static void amd_viommu_leave(struct iommu_dev_data *dev_data,
			     struct protection_domain *pdom)
{
	static const struct amd_vdte blocked = { .kind = AMD_VDTE_BLOCKED };
	struct amd_viommu_domain *old = dev_data->nested;
	struct amd_viommu *viommu = old->viommu;
	struct protection_domain *s2 = viommu->s2;
	unsigned long flags;

	lockdep_assert_held(&dev_data->mutex);

	mutex_lock(&viommu->lock);
	spin_lock_irqsave(&s2->lock, flags);
	/*
	 * A change of the nesting parent finds the device on the list of the
	 * vIOMMU until there is nothing of the guest's tables left in its TLB.
	 * One that may be gone need not answer: ATS off empties it as well.
	 */
	if (!pdom && dev_is_pci(dev_data->dev))
		amd_iommu_disable_guest_caps(to_pci_dev(dev_data->dev));
	amd_viommu_write_dte(dev_data, s2, pdom ? NULL : &blocked, NULL);
	amd_viommu_flush_dev(viommu, dev_data);
	if (pdom && dev_is_pci(dev_data->dev))
		amd_iommu_disable_guest_pasids(to_pci_dev(dev_data->dev));
	list_del(&dev_data->list);
	if (pdom)
		list_add(&dev_data->list, &pdom->dev_list);
	dev_data->domain = pdom;
	dev_data->nested = NULL;
	spin_unlock_irqrestore(&s2->lock, flags);

	amd_viommu_domid_put_dev(viommu, old->domid);
	/* A change of the nesting parent finds the DomainID until now */
	spin_lock_irqsave(&s2->lock, flags);
	if (!--viommu->nr_devs)
		list_del(&viommu->node);
	spin_unlock_irqrestore(&s2->lock, flags);
	amd_viommu_count_silent(viommu);
	mutex_unlock(&viommu->lock);
}

/**
 * amd_viommu_detach() - Block a device that is attached to a nested domain
 * @dev: The device
 */
void amd_viommu_detach(struct device *dev)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);

	mutex_lock(&dev_data->mutex);
	amd_viommu_leave(dev_data, NULL);
	mutex_unlock(&dev_data->mutex);
}

/**
 * amd_viommu_attach_parent() - Attach a device that has a nested domain to a
 * paging domain
 * @dev: The device
 * @pdom: The domain
 *
 * To the nesting parent DMA goes on. For others the device becomes blocked, and
 * the caller attaches it.
 *
 * Return: 0 if the device is attached, -ENODEV if it is blocked now, or -ENOMEM,
 * and the nested domain is in force.
 */
int amd_viommu_attach_parent(struct device *dev, struct protection_domain *pdom)
{
	struct iommu_dev_data *dev_data = dev_iommu_priv_get(dev);
	struct amd_viommu *viommu = dev_data->nested->viommu;
	int ret;

	if (pdom != viommu->s2) {
		amd_viommu_detach(dev);
		return -ENODEV;
	}
	ret = pdom_attach_iommu(viommu->iommu, pdom);
	if (ret)
		return ret;
	mutex_lock(&dev_data->mutex);
	amd_viommu_leave(dev_data, pdom);
	mutex_unlock(&dev_data->mutex);
	return 0;
}

/* Nested domains */

static void amd_viommu_domain_free(struct iommu_domain *domain)
{
	struct amd_viommu_domain *nested = to_amd_viommu_domain(domain);
	struct amd_viommu *viommu = nested->viommu;

	if (nested->domid) {
		mutex_lock(&viommu->lock);
		amd_viommu_put_domid(viommu, nested->domid);
		mutex_unlock(&viommu->lock);
	}
	kfree(nested);
}

static const struct iommu_domain_ops amd_viommu_nested_ops = {
	.attach_dev = amd_viommu_attach_dev,
	.free = amd_viommu_domain_free,
};

static struct iommu_domain *
amd_viommu_alloc_nested(struct iommufd_viommu *core, struct device *dev,
			u32 flags, const struct iommu_user_data *user_data)
{
	struct amd_viommu *viommu = to_amd_viommu(core);
	struct amd_viommu_domain *nested;
	struct iommu_hwpt_amd_guest arg;
	struct amd_vdomid *domid;
	int ret;

	if (flags)
		return ERR_PTR(-EOPNOTSUPP);
	ret = iommu_copy_struct_from_user(&arg, user_data,
					  IOMMU_HWPT_DATA_AMD_GUEST, dte);
	if (ret)
		return ERR_PTR(ret);

	nested = kzalloc(sizeof(*nested), GFP_KERNEL_ACCOUNT);
	if (!nested)
		return ERR_PTR(-ENOMEM);
	ret = amd_vdte_check(amd_iommu_efr, arg.dte, &nested->vdte);
	if (ret)
		goto err_free;

	if (nested->vdte.kind == AMD_VDTE_NESTED) {
		mutex_lock(&viommu->lock);
		domid = amd_viommu_get_domid(viommu, nested->vdte.domid);
		mutex_unlock(&viommu->lock);
		if (IS_ERR(domid)) {
			ret = PTR_ERR(domid);
			goto err_free;
		}
		nested->domid = domid;
	}
	nested->viommu = viommu;
	nested->domain.type = IOMMU_DOMAIN_NESTED;
	nested->domain.ops = &amd_viommu_nested_ops;
	return &nested->domain;

err_free:
	kfree(nested);
	return ERR_PTR(ret);
}

static bool amd_viommu_nested_translates(struct iommu_domain *domain)
{
	return to_amd_viommu_domain(domain)->vdte.kind == AMD_VDTE_NESTED;
}

/* Virtual devices */

static int amd_viommu_vdevice_init(struct iommufd_vdevice *core)
{
	struct amd_vdevice *vdev = container_of(core, struct amd_vdevice, core);
	struct amd_viommu *viommu = to_amd_viommu(core->viommu);

	if (core->virt_id > U16_MAX)
		return -EINVAL;

	vdev->dev_data = dev_iommu_priv_get(core->dev);
	if (amd_iommu_for_all_rids(vdev->dev_data, amd_viommu_prepare_rid, NULL))
		return -ENOMEM;
	mutex_lock(&viommu->lock);
	list_add(&vdev->node, &viommu->vdevs);
	mutex_unlock(&viommu->lock);
	amd_viommu_events_add(vdev);
	return 0;
}

static void amd_viommu_vdevice_release(struct iommufd_vdevice *core)
{
	struct amd_vdevice *vdev = container_of(core, struct amd_vdevice, core);
	struct amd_viommu *viommu = to_amd_viommu(core->viommu);

	amd_viommu_events_del(vdev);
	/* An invalidation that has found it is complete after this */
	mutex_lock(&viommu->lock);
	list_del(&vdev->node);
	mutex_unlock(&viommu->lock);
}

/* The vIOMMU */

static int amd_viommu_supported(struct device *dev)
{
	return amd_viommu_check_parent(dev);
}

static int amd_viommu_init(struct iommufd_viommu *core, struct device *dev,
			   const struct iommu_user_data *user_data)
{
	struct protection_domain *s2 = to_pdomain(core->parent);
	struct amd_viommu *viommu = to_amd_viommu(core);
	struct amd_iommu *iommu = get_amd_iommu_from_dev(dev);
	int ret;

	if (!s2->nest_parent)
		return -EINVAL;
	if (s2->domain.dirty_ops && !(iommu->features & FEATURE_HDSUP))
		return -EINVAL;

	viommu->batch = amd_vcmd_batch_alloc();
	if (!viommu->batch)
		return -ENOMEM;
	ret = pdom_attach_iommu(iommu, s2);
	if (ret) {
		amd_vcmd_batch_free(viommu->batch);
		return ret;
	}
	viommu->iommu = iommu;
	viommu->s2 = s2;
	mutex_init(&viommu->call_lock);
	mutex_init(&viommu->lock);
	hash_init(viommu->domids);
	INIT_LIST_HEAD(&viommu->devs);
	INIT_LIST_HEAD(&viommu->vdevs);
	return 0;
}

static void amd_viommu_release(struct iommufd_viommu *core)
{
	struct amd_viommu *viommu = to_amd_viommu(core);
	struct protection_domain *s2 = viommu->s2;

	WARN_ON(viommu->nr_devs);
	/* Devices had the DomainID of the nesting parent, and left without this */
	amd_viommu_flush_domid(viommu, s2->id);
	pdom_detach_iommu(viommu->iommu, s2);
	amd_vcmd_batch_free(viommu->batch);
}

static const struct iommufd_veventq_type amd_viommu_veventq_types[] = {
	{ IOMMU_VEVENTQ_TYPE_AMD, sizeof(struct iommu_vevent_amd) },
	{}
};

const struct iommufd_viommu_ops amd_viommu_ops = {
	.type = IOMMU_VIOMMU_TYPE_AMD,
	.takes_vm = true,
	.viommu_size = IOMMUFD_EMBED_SIZE(struct amd_viommu, core),
	.vdevice_size = IOMMUFD_EMBED_SIZE(struct amd_vdevice, core),
	.veventq_types = amd_viommu_veventq_types,
	.supported = amd_viommu_supported,
	.init = amd_viommu_init,
	.release = amd_viommu_release,
	.alloc_nested = amd_viommu_alloc_nested,
	.nested_translates = amd_viommu_nested_translates,
	.cache_invalidate = amd_viommu_cache_invalidate,
	.vdevice_init = amd_viommu_vdevice_init,
	.vdevice_release = amd_viommu_vdevice_release,
};

static const struct iommufd_viommu_ops *const amd_viommu_types[] = {
	&amd_viommu_ops,
	NULL
};

static u32 amd_viommu_caps(struct iommu_device *iommu_dev)
{
	struct amd_iommu *iommu = container_of(iommu_dev, struct amd_iommu,
					       iommu);
	u32 caps = 0;

	if (amd_viommu_nests(iommu))
		caps |= IOMMUFD_VIOMMU_CAP_NESTING;
	if (amd_iommu_iotlb_sup)
		caps |= IOMMUFD_VIOMMU_CAP_ATS;
	return caps;
}

const struct iommufd_viommu_driver amd_viommu_driver = {
	.types = amd_viommu_types,
	/* A nested domain has a DomainID of its vIOMMU */
	.no_default = true,
	.caps = amd_viommu_caps,
};

/**
 * amd_iommu_hw_info() - Report the hardware to user space
 * @dev: A device
 * @length: Set to the length of the result
 * @type: Set to the type of the result
 *
 * Return: a struct iommu_hw_info_amd, which the caller frees, or -ENOMEM.
 */
void *amd_iommu_hw_info(struct device *dev, u32 *length, u32 *type)
{
	struct iommu_hw_info_amd *info;

	info = kzalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return ERR_PTR(-ENOMEM);
	info->efr = amd_iommu_efr;
	info->efr2 = amd_iommu_efr2;
	*length = sizeof(*info);
	*type = IOMMU_HW_INFO_TYPE_AMD;
	return info;
}
