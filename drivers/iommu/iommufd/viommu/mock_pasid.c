// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs of iommufd's mock devices, and what kselftests do with them
 *
 * A mock device remembers which domain translates each of its PASIDs, as a
 * PASID table does, and complains if the core replaces or removes another
 * domain than that. Guarded by the mutex of the IOMMU group, as all calls to
 * drivers are.
 */
#include <linux/bug.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>

#include "../../iommu-priv.h"
#include "mock.h"

/* Every other set of this PASID fails, from the second on */
#define MOCK_PASID_ALTERNATES 1024

void mock_pasids_init(struct mock_pasids *pasids)
{
	xa_init(&pasids->domains);
}

void mock_pasids_destroy(struct mock_pasids *pasids)
{
	WARN_ON(!xa_empty(&pasids->domains));
}

int mock_set_dev_pasid(struct iommu_domain *domain, struct device *dev,
		       ioasid_t pasid, struct iommu_domain *old)
{
	struct mock_pasids *pasids = mock_dev_pasids(dev);
	void *entry;

	if (iommufd_should_fail())
		return -ENOMEM;
	if (pasid == MOCK_PASID_ALTERNATES) {
		pasids->fails = !pasids->fails;
		if (!pasids->fails)
			return -ENOMEM;
	}

	if (WARN_ON(xa_load(&pasids->domains, pasid) != old))
		return -EINVAL;
	entry = xa_store(&pasids->domains, pasid, domain, GFP_KERNEL);
	return xa_err(entry);
}

void mock_remove_dev_pasid(struct device *dev, ioasid_t pasid,
			   struct iommu_domain *domain)
{
	struct mock_pasids *pasids = mock_dev_pasids(dev);

	if (pasid == MOCK_PASID_ALTERNATES)
		pasids->fails = false;
	WARN_ON(xa_erase(&pasids->domains, pasid) != domain);
}

/* Do the core and the device agree that @hwpt_id, or 0, translates @pasid? */
static int mock_check_pasid(struct iommufd_ucmd *ucmd,
			    struct iommufd_device *idev, ioasid_t pasid,
			    u32 hwpt_id)
{
	struct mock_pasids *pasids = mock_dev_pasids(idev->dev);
	struct iommu_domain *domain = NULL, *attached = NULL;
	struct iommufd_hw_pagetable *hwpt = NULL;
	struct iommu_attach_handle *handle;
	int rc = 0;

	if (hwpt_id) {
		struct iommufd_object *obj;

		obj = iommufd_get_object(ucmd->ictx, hwpt_id, IOMMUFD_OBJ_ANY);
		if (IS_ERR(obj))
			return PTR_ERR(obj);
		hwpt = container_of(obj, struct iommufd_hw_pagetable, obj);
		if (obj->type != IOMMUFD_OBJ_HWPT_PAGING &&
		    obj->type != IOMMUFD_OBJ_HWPT_NESTED) {
			rc = -EINVAL;
			goto out_put;
		}
		domain = hwpt->domain;
	}

	mutex_lock(&idev->igroup->lock);
	handle = iommu_attach_handle_get(idev->igroup->group, pasid, 0);
	if (!IS_ERR(handle))
		attached = handle->domain;
	if (attached != domain || xa_load(&pasids->domains, pasid) != domain)
		rc = -EINVAL;
	mutex_unlock(&idev->igroup->lock);

out_put:
	if (hwpt)
		iommufd_put_object(ucmd->ictx, &hwpt->obj);
	return rc;
}

int mock_pasid_test(struct iommufd_ucmd *ucmd, struct iommufd_device *idev)
{
	struct iommu_test_cmd *cmd = ucmd->cmd;

	switch (cmd->op) {
	case IOMMU_TEST_OP_PASID_ATTACH:
		return iommufd_device_attach_pasid(idev,
						   cmd->pasid_attach.pasid,
						   cmd->pasid_attach.pt_id);
	case IOMMU_TEST_OP_PASID_REPLACE:
		return iommufd_device_replace_pasid(idev,
						    cmd->pasid_replace.pasid,
						    cmd->pasid_replace.pt_id);
	case IOMMU_TEST_OP_PASID_DETACH:
		iommufd_device_detach_pasid(idev, cmd->pasid_detach.pasid);
		return 0;
	case IOMMU_TEST_OP_PASID_CHECK_HWPT:
		return mock_check_pasid(ucmd, idev, cmd->pasid_check.pasid,
					cmd->pasid_check.hwpt_id);
	default:
		return -EOPNOTSUPP;
	}
}
