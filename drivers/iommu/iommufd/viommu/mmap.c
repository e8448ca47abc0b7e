// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap() on the iommufd: registers that a vIOMMU gives to its VM
 *
 * A vIOMMU has at most one such region, which exists from the driver's init on
 * and does not change. The object's ID gives the region's offset. So no table
 * is needed, and mmap() finds the region exactly when other calls find the
 * object: not before it is complete, and not after it is destroyed.
 *
 * Each VMA holds a reference on the vIOMMU and on the file, so no iommufd is
 * closed while a region is mapped.
 */
#include <linux/mm.h>

#include "private.h"

static void iommufd_viommu_vma_open(struct vm_area_struct *vma)
{
	struct iommufd_viommu_obj *viommu_obj = vma->vm_private_data;

	refcount_inc(&viommu_obj->obj.users);
}

static void iommufd_viommu_vma_close(struct vm_area_struct *vma)
{
	struct iommufd_viommu_obj *viommu_obj = vma->vm_private_data;

	refcount_dec(&viommu_obj->obj.users);
}

/* Regions are only mapped as a whole, so unmapping a part is refused */
static int iommufd_viommu_vma_may_split(struct vm_area_struct *vma,
					unsigned long addr)
{
	return -EINVAL;
}

static const struct vm_operations_struct iommufd_viommu_vma_ops = {
	.open = iommufd_viommu_vma_open,
	.close = iommufd_viommu_vma_close,
	.may_split = iommufd_viommu_vma_may_split,
};

int iommufd_fops_mmap(struct file *filp, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	struct iommufd_ctx *ictx = filp->private_data;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_object *obj;
	int rc;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;

	obj = iommufd_get_object(ictx, offset >> IOMMUFD_VIOMMU_MMAP_SHIFT,
				 IOMMUFD_OBJ_VIOMMU);
	if (IS_ERR(obj))
		return -ENXIO;
	viommu_obj = container_of(obj, struct iommufd_viommu_obj, obj);
	if (!viommu_obj->viommu.mmio_length || offset != viommu_obj->viommu.mmap_offset ||
	    vma->vm_end - vma->vm_start != viommu_obj->viommu.mmio_length) {
		rc = -ENXIO;
		goto out_put;
	}

	vm_flags_clear(vma, VM_MAYEXEC);
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vma->vm_private_data = viommu_obj;
	vma->vm_ops = &iommufd_viommu_vma_ops;
	rc = io_remap_pfn_range(vma, vma->vm_start,
				PHYS_PFN(viommu_obj->viommu.mmio_base),
				viommu_obj->viommu.mmio_length, vma->vm_page_prot);
	if (!rc)
		iommufd_viommu_vma_open(vma);

out_put:
	iommufd_put_object(ictx, obj);
	return rc;
}
