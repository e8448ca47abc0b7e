// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that hardware reads by its physical address
 *
 * The pages of an IOAS stay where they are while they are mapped, because the
 * IOAS pins them. So what has to be kept is the mapping: an area is locked, and
 * IOMMU_IOAS_UNMAP of it fails with -EBUSY. Beside that each user pins the pages
 * as an access of the kernel does.
 *
 *	io_pagetable::num_locks   locks of all its areas
 *	iopt_area::num_locks      each one pinned range that touches the area
 *
 * Both are guarded by io_pagetable::iova_rwsem, which is held for writing here:
 * a range is locked as a whole, or not at all.
 */
#include <linux/mm.h>

#include "../io_pagetable.h"
#include "private.h"

/*
 * Is there an area in the range whose mapping must stay? Then none of the range
 * is unmapped, and accesses that were to let go of it may come again.
 */
bool iopt_range_is_locked(struct io_pagetable *iopt, unsigned long start,
			  unsigned long last)
{
	struct iopt_area *area;
	bool locked = false;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	if (!iopt->num_locks)
		return false;
	for (area = iopt_area_iter_first(iopt, start, last); area && !locked;
	     area = iopt_area_iter_next(area, start, last))
		locked = area->num_locks;
	if (!locked)
		return false;
	for (area = iopt_area_iter_first(iopt, start, last); area;
	     area = iopt_area_iter_next(area, start, last))
		area->prevent_access = false;
	return true;
}

static void iopt_unlock_range(struct io_pagetable *iopt, unsigned long iova,
			      unsigned long last_iova)
{
	struct iopt_area_contig_iter iter;
	struct iopt_area *area;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	iopt_for_each_contig_area(&iter, area, iopt, iova, last_iova) {
		unsigned long last = min(last_iova, iopt_area_last_iova(area));

		iopt_area_remove_access(area,
					iopt_area_iova_to_index(area, iter.cur_iova),
					iopt_area_iova_to_index(area, last));
		area->num_locks--;
		iopt->num_locks--;
	}
	WARN_ON(!iopt_area_contig_done(&iter));
}

/*
 * Locks and pins what of the range is in @area. @pages has room for the rest of
 * the range. @next is the physical address that it has to start at, unless it is
 * the first; on return that of what follows.
 */
static int iopt_lock_part(struct iopt_area *area, unsigned long iova,
			  unsigned long last, struct page **pages, bool first,
			  phys_addr_t *next)
{
	unsigned long index = iopt_area_iova_to_index(area, iova);
	unsigned long last_index = iopt_area_iova_to_index(area, last);
	unsigned long i;
	phys_addr_t phys;
	int rc;

	if (area->prevent_access)
		return -EINVAL;
	if (!(area->iommu_prot & IOMMU_READ))
		return -EPERM;
	rc = iopt_area_add_access(area, index, last_index, pages, 0);
	if (rc)
		return rc;

	phys = page_to_phys(pages[0]) +
	       iopt_area_start_byte(area, iova) % PAGE_SIZE;
	rc = first || phys == *next ? 0 : -EFAULT;
	for (i = 1; i <= last_index - index && !rc; i++)
		if (page_to_pfn(pages[i]) != page_to_pfn(pages[0]) + i)
			rc = -EFAULT;
	if (rc) {
		iopt_area_remove_access(area, index, last_index);
		return rc;
	}
	*next = phys + (last - iova) + 1;
	area->num_locks++;
	area->iopt->num_locks++;
	return 0;
}

/**
 * iommufd_pin_contig() - Find physically contiguous memory and keep it there
 * @iopt: The I/O address space; must outlive the pin
 * @iova: Where the memory starts, on any byte
 * @length: Its length in bytes, not 0 and no more than the caller is ready to
 *	    allocate a pointer a page for
 * @phys: Returns the physical address of the first byte
 *
 * The memory may be mapped by several areas. Undo by iommufd_unpin_contig().
 *
 * Return: 0, -EOVERFLOW for a range that wraps around, -ENOENT if part of it is
 * not mapped, -EPERM if it may not be read, -EFAULT if it is not contiguous,
 * -EINVAL if it is about to be unmapped, or what pinning fails with.
 */
int iommufd_pin_contig(struct io_pagetable *iopt, unsigned long iova,
		       unsigned long length, phys_addr_t *phys)
{
	struct iopt_area_contig_iter iter;
	phys_addr_t next = 0;
	unsigned long last_iova;
	struct iopt_area *area;
	struct page **pages;
	int rc = 0;

	if (check_add_overflow(iova, length - 1, &last_iova))
		return -EOVERFLOW;

	/* A range on any byte touches one page more */
	pages = kvcalloc(length / PAGE_SIZE + 2, sizeof(*pages),
			 GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;

	down_write(&iopt->iova_rwsem);
	iopt_for_each_contig_area(&iter, area, iopt, iova, last_iova) {
		bool first = iter.cur_iova == iova;
		unsigned long last = min(last_iova, iopt_area_last_iova(area));

		rc = iopt_lock_part(area, iter.cur_iova, last, pages, first,
				    &next);
		if (rc)
			break;
	}
	if (!rc && !iopt_area_contig_done(&iter))
		rc = -ENOENT;
	if (rc && iova < iter.cur_iova)
		iopt_unlock_range(iopt, iova, iter.cur_iova - 1);
	up_write(&iopt->iova_rwsem);

	kvfree(pages);
	if (!rc)
		*phys = next - length;
	return rc;
}

/**
 * iommufd_unpin_contig() - Undo iommufd_pin_contig()
 * @iopt: As it was
 * @iova: As it was
 * @length: As it was
 */
void iommufd_unpin_contig(struct io_pagetable *iopt, unsigned long iova,
			  unsigned long length)
{
	down_write(&iopt->iova_rwsem);
	iopt_unlock_range(iopt, iova, iova + length - 1);
	up_write(&iopt->iova_rwsem);
}
