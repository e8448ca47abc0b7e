// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of files: memfds, shmem and hugetlbfs
 *
 * A struct iopt_pages with a file takes its pages from the page cache of that
 * file instead of from an mm, and needs no process that maps the file. All
 * else is as for user memory: areas, domains, accesses, charges.
 *
 *	iopt_pages::file   a reference, from iopt_pages_set_file() until the
 *			   last area is gone. If the pages are writable, the
 *			   file also counts one more shared writable mapping,
 *			   so nobody can seal it against writes.
 *	iopt_pages::uptr   the offset of the first page in the file
 *
 * Nobody keeps the file from being truncated. Pinned pages stay what they are,
 * and are freed after the unmap. Pages past the end cannot be pinned.
 *
 * iopt_pages::mutex is held while pages are pinned, and the lock of the inode
 * nests in it.
 */
#include <linux/dma-buf.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/iommufd.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagevec.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>

#include "io_pagetable.h"

static unsigned int file_seals(struct file *file)
{
#ifdef CONFIG_HUGETLBFS
	if (is_file_hugepages(file))
		return HUGETLBFS_I(file->f_mapping->host)->seals;
#endif
	return SHMEM_I(file->f_mapping->host)->seals;
}

/* As mmap() of a shared mapping checks it */
static int file_check(struct file *file, u64 size, u64 start, u64 length,
		      bool writable)
{
	if (!(file->f_mode & FMODE_READ))
		return -EACCES;
	if (writable && !(file->f_mode & FMODE_WRITE))
		return -EACCES;
	if (start > size || length > size - start)
		return -EINVAL;
	return 0;
}

static int memfd_check(struct file *file, u64 start, u64 length, bool writable)
{
	int rc;

	if (!shmem_file(file) && !is_file_hugepages(file))
		return -EINVAL;
	rc = file_check(file, round_up(i_size_read(file_inode(file)), PAGE_SIZE),
			start, length, writable);
	if (rc)
		return rc;
	if (writable &&
	    file_seals(file) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	return 0;
}

/**
 * iopt_pages_set_file() - Take pages from a file
 * @pages: Pages that were just allocated, for an offset instead of an address
 * @file: A file that iommufd_ioas_map_file() accepts
 *
 * Return: 0, or -EPERM if the pages are writable and the file was sealed.
 */
int iopt_pages_set_file(struct iopt_pages *pages, struct file *file)
{
	int rc;

	if (pages->writable) {
		rc = mapping_map_writable(file->f_mapping);
		if (rc)
			return rc;
	}
	pages->file = get_file(file);
	return 0;
}

/**
 * iopt_pages_put_file() - Drop the file or dma-buf of pages
 * @pages: Pages of any kind that nobody uses any more
 */
void iopt_pages_put_file(struct iopt_pages *pages)
{
	if (pages->dmabuf)
		dma_buf_put(pages->dmabuf);
	if (!pages->file)
		return;
	if (pages->writable)
		mapping_unmap_writable(pages->file->f_mapping);
	fput(pages->file);
}

/**
 * iopt_pages_pin_file() - Pin pages of a file
 * @pages: Pages of a file
 * @start_index: The first page
 * @last_index: The last page
 * @runs: Filled with what is pinned, in order and without a hole
 * @max_runs: Size of @runs, at least 1
 *
 * A run is a part of one folio. Counts the pages in iopt_pages::npinned, but
 * charges nobody.
 *
 * Return: the number of runs, at least 1, or a negative error: -EINVAL if the
 * file is too short by now, -EHWPOISON, -ENOMEM, -EINTR.
 */
int iopt_pages_pin_file(struct iopt_pages *pages, unsigned long start_index,
			unsigned long last_index, struct iopt_run *runs,
			unsigned int max_runs)
{
	unsigned long first = (uintptr_t)pages->uptr / PAGE_SIZE;
	unsigned long npages = last_index - start_index + 1;
	struct inode *inode = file_inode(pages->file);
	/* memfd_pin_folios() looks that many up at once */
	struct folio *folios[PAGEVEC_SIZE];
	unsigned long total;
	pgoff_t offset;
	long nfolios;
	int rc, i;

	lockdep_assert_held(&pages->mutex);

	if (fatal_signal_pending(current))
		return -EINTR;
	if (iommufd_should_fail())
		return -EFAULT;

again:
	total = 0;
	/*
	 * Truncation and hole punching drop reservations of huge pages, so keep
	 * them away. The last page may be cut short: name its first byte.
	 */
	inode_lock_shared(inode);
	nfolios = memfd_pin_folios(pages->file,
				   (loff_t)(first + start_index) * PAGE_SIZE,
				   (loff_t)(first + last_index) * PAGE_SIZE,
				   folios,
				   min_t(unsigned int, max_runs,
					 ARRAY_SIZE(folios)),
				   &offset);
	inode_unlock_shared(inode);
	if (nfolios < 0)
		return nfolios;
	if (!nfolios)
		return -EFAULT;

	for (i = 0; i != nfolios; i++) {
		unsigned long skip = i ? 0 : offset / PAGE_SIZE;

		/* It skips a folio that reclaim is just moving to swap */
		rc = -EAGAIN;
		if (folios[i]->index + skip != first + start_index + total)
			goto err_unpin;
		rc = -EHWPOISON;
		if (folio_contain_hwpoisoned_page(folios[i]))
			goto err_unpin;

		runs[i].pfn = folio_pfn(folios[i]) + skip;
		runs[i].npages = min(folio_nr_pages(folios[i]) - skip,
				     npages - total);
		/* iommufd unpins page by page */
		rc = folio_add_pins(folios[i], runs[i].npages - 1);
		if (rc)
			goto err_unpin;
		total += runs[i].npages;
	}
	pages->npinned += total;
	cond_resched();
	return nfolios;

err_unpin:
	unpin_folios(folios + i, nfolios - i);
	while (i--)
		unpin_user_page_range_dirty_lock(pfn_to_page(runs[i].pfn),
						 runs[i].npages, false);
	cond_resched();
	if (rc == -EAGAIN && !fatal_signal_pending(current))
		goto again;
	return rc == -EAGAIN ? -EINTR : rc;
}

/**
 * iommufd_ioas_map_file() - ioctl(IOMMU_IOAS_MAP_FILE)
 * @ucmd: The call, with a struct iommu_ioas_map_file
 *
 * Return: 0 or a negative error, see the structure
 */
int iommufd_ioas_map_file(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_map_file *cmd = ucmd->cmd;
	bool writable = cmd->flags & IOMMU_IOAS_MAP_WRITEABLE;
	unsigned long iova = cmd->iova;
	struct iommufd_ioas *ioas;
	unsigned long unmapped;
	unsigned int flags = 0;
	struct file *file = NULL;
	struct dma_buf *dmabuf;
	u64 end;
	int rc;

	if (cmd->flags &
	    ~(IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
	      IOMMU_IOAS_MAP_READABLE))
		return -EOPNOTSUPP;
	if (cmd->iova >= ULONG_MAX || cmd->length >= ULONG_MAX ||
	    check_add_overflow(cmd->start, cmd->length, &end) ||
	    end > min_t(u64, MAX_LFS_FILESIZE, ULONG_MAX))
		return -EOVERFLOW;
	if (!(cmd->flags &
	      (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)))
		return -EINVAL;

	ioas = iommufd_get_ioas(ucmd->ictx, cmd->ioas_id);
	if (IS_ERR(ioas))
		return PTR_ERR(ioas);

	dmabuf = iommufd_mmio_get_dmabuf(cmd->fd);
	if (IS_ERR(dmabuf)) {
		rc = PTR_ERR(dmabuf);
		goto out_put;
	}
	if (dmabuf) {
		rc = file_check(dmabuf->file, dmabuf->size, cmd->start,
				cmd->length, writable);
	} else {
		file = fget(cmd->fd);
		rc = file ? memfd_check(file, cmd->start, cmd->length,
					writable) : -EBADF;
	}
	if (rc)
		goto out_fput;

	if (!(cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA))
		flags = IOPT_ALLOC_IOVA;
	rc = iopt_map_file_pages(ucmd->ictx, &ioas->iopt, &iova, file,
				 dmabuf, cmd->start, cmd->length,
				 iommufd_conv_iommu_prot(cmd->flags), flags);
	if (rc)
		goto out_fput;

	cmd->iova = iova;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		iopt_unmap_iova(&ioas->iopt, iova, cmd->length, &unmapped);
out_fput:
	if (file)
		fput(file);
	if (dmabuf)
		dma_buf_put(dmabuf);
out_put:
	iommufd_put_object(ucmd->ictx, &ioas->obj);
	return rc;
}
