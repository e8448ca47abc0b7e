// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that hardware accesses while it belongs to the guest
 *
 * An IOAS pins its pages, so they stay in place while they are mapped. It is
 * the mapping that must be kept: IOMMU_IOAS_UNMAP of a pinned area fails with
 * -EBUSY. In addition each pin is an access of the kernel to the pages.
 *
 *	io_pagetable::num_pins    pins of all its areas
 *	iopt_area::num_pins       pinned ranges that touch the area
 *	io_pagetable::num_unmaps  running calls of IOMMU_IOAS_UNMAP
 *
 * io_pagetable::iova_rwsem guards all of them. It is held for writing here: a
 * range is pinned as a whole or not at all. An unmap drops that lock on its
 * way, so a pin waits for all unmaps that have started. Then an unmap only
 * needs to check for pins when it starts.
 */
#include <linux/iommufd.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "../io_pagetable.h"
#include "private.h"

static DECLARE_WAIT_QUEUE_HEAD(iopt_unmap_wait);

/**
 * iopt_unmap_begin() - Make new pins wait for an unmap
 * @iopt: The I/O address space
 * @start: The first address to unmap
 * @last: The last address to unmap
 *
 * Undo with iopt_unmap_end() if it succeeds.
 *
 * Return: 0, or -EBUSY if a mapping in the range is pinned.
 */
int iopt_unmap_begin(struct io_pagetable *iopt, unsigned long start,
		     unsigned long last)
{
	struct iopt_area *area = NULL;
	int rc = 0;

	down_write(&iopt->iova_rwsem);
	if (iopt->num_pins)
		area = iopt_area_iter_first(iopt, start, last);
	for (; area && !rc; area = iopt_area_iter_next(area, start, last))
		if (area->num_pins)
			rc = -EBUSY;
	if (!rc)
		iopt->num_unmaps++;
	up_write(&iopt->iova_rwsem);
	return rc;
}

/**
 * iopt_unmap_end() - Undo iopt_unmap_begin()
 * @iopt: As passed to iopt_unmap_begin()
 */
void iopt_unmap_end(struct io_pagetable *iopt)
{
	bool last;

	down_write(&iopt->iova_rwsem);
	last = !--iopt->num_unmaps;
	up_write(&iopt->iova_rwsem);
	if (last)
		wake_up_all(&iopt_unmap_wait);
}

/* Takes the lock for writing while no unmap is running */
static int iopt_lock_without_unmaps(struct io_pagetable *iopt)
{
	down_write(&iopt->iova_rwsem);
	while (iopt->num_unmaps) {
		up_write(&iopt->iova_rwsem);
		if (wait_event_killable(iopt_unmap_wait,
					!READ_ONCE(iopt->num_unmaps)))
			return -EINTR;
		down_write(&iopt->iova_rwsem);
	}
	return 0;
}

static void iopt_unpin_range(struct io_pagetable *iopt, unsigned long iova,
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
		area->num_pins--;
		iopt->num_pins--;
	}
	WARN_ON(!iopt_area_contig_done(&iter));
}

/*
 * Pins the part of the range that is in @area. @pages has room for the rest of
 * the range. @next is the physical address at which the part must start, unless
 * it is the @first; on return it is that of the next part. It is NULL if the
 * part may be anywhere.
 */
static int iopt_pin_part(struct iopt_area *area, unsigned long iova,
			 unsigned long last, struct page **pages, bool write,
			 bool first, phys_addr_t *next)
{
	unsigned long index = iopt_area_iova_to_index(area, iova);
	unsigned long last_index = iopt_area_iova_to_index(area, last);
	int prot = write ? IOMMU_READ | IOMMU_WRITE : IOMMU_READ;
	unsigned long i;
	phys_addr_t phys;
	int rc;

	if (area->prevent_access)
		return -EINVAL;
	if ((area->iommu_prot & prot) != prot)
		return -EPERM;
	rc = iopt_area_add_access(area, index, last_index, pages,
				  write ? IOMMUFD_ACCESS_RW_WRITE : 0);
	if (rc)
		return rc;

	if (next) {
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
	}
	area->num_pins++;
	area->iopt->num_pins++;
	return 0;
}

/**
 * iommufd_pin_range() - Keep memory mapped and pinned
 * @iopt: The I/O address space; must outlive the pin
 * @iova: Where the memory starts, on any byte
 * @length: Its length in bytes, not 0. A pointer is allocated for each page, so
 *	    the caller must limit it.
 * @write: The hardware writes to the memory
 * @phys: Returns the physical address of the first byte of contiguous memory;
 *	  NULL if the memory need not be contiguous
 *
 * Several areas may map the memory. Undo with iommufd_unpin_range().
 *
 * Return: 0, -EOVERFLOW for a range that wraps around, -ENOENT if part of it is
 * not mapped, -EPERM if it may not be read or written, -EFAULT if it is not
 * contiguous, -EINVAL if it is being unmapped, -EINTR, or the error of pinning.
 */
int iommufd_pin_range(struct io_pagetable *iopt, unsigned long iova,
		      unsigned long length, bool write, phys_addr_t *phys)
{
	struct iopt_area_contig_iter iter;
	unsigned long last_iova;
	struct iopt_area *area;
	struct page **pages;
	phys_addr_t next = 0;
	int rc;

	if (check_add_overflow(iova, length - 1, &last_iova))
		return -EOVERFLOW;

	/* A range that starts within a page touches one page more */
	pages = kvcalloc(length / PAGE_SIZE + 2, sizeof(*pages),
			 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!pages)
		return -ENOMEM;

	rc = iopt_lock_without_unmaps(iopt);
	if (rc)
		goto out_free;
	iopt_for_each_contig_area(&iter, area, iopt, iova, last_iova) {
		bool first = iter.cur_iova == iova;
		unsigned long last = min(last_iova, iopt_area_last_iova(area));

		rc = iopt_pin_part(area, iter.cur_iova, last, pages, write,
				   first, phys ? &next : NULL);
		if (rc)
			break;
	}
	if (!rc && !iopt_area_contig_done(&iter))
		rc = -ENOENT;
	if (rc && iova < iter.cur_iova)
		iopt_unpin_range(iopt, iova, iter.cur_iova - 1);
	up_write(&iopt->iova_rwsem);
	if (!rc && phys)
		*phys = next - length;

out_free:
	kvfree(pages);
	return rc;
}

/**
 * iommufd_unpin_range() - Undo iommufd_pin_range()
 * @iopt: As passed to iommufd_pin_contig()
 * @iova: As passed to iommufd_pin_contig()
 * @length: As passed to iommufd_pin_contig()
 */
void iommufd_unpin_range(struct io_pagetable *iopt, unsigned long iova,
			 unsigned long length)
{
	down_write(&iopt->iova_rwsem);
	iopt_unpin_range(iopt, iova, iova + length - 1);
	up_write(&iopt->iova_rwsem);
}
