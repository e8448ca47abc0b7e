// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move the charge for the memory of files to another process
 *
 * iopt_pages::source_* name the process that is charged for pinned pages. Only
 * pages of files can change it: others come out of the mm of that process. The
 * memory of devices is charged to nobody.
 *
 * iommufd_ctx::account_lock guards source_* and last_npinned, which is the
 * number of pages that are charged. The order of locks is io_pagetable::
 * iova_rwsem -> iopt_pages::mutex -> account_lock -> mmap_lock. Pages that are
 * pinned meanwhile are charged to the process that source_* names at the end.
 */
#include <linux/iommufd.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/sched/user.h>

#include "io_pagetable.h"

static struct iommufd_ioas *next_ioas(struct iommufd_ctx *ictx,
				      unsigned long *id)
{
	struct iommufd_object *obj;

	xa_lock(&ictx->objects);
	xa_for_each_start(&ictx->objects, *id, obj, *id)
		if (obj->type == IOMMUFD_OBJ_IOAS && iommufd_lock_obj(obj))
			break;
	xa_unlock(&ictx->objects);
	return obj ? container_of(obj, struct iommufd_ioas, obj) : NULL;
}

/* Add the pages of an IOAS to @all, each once and with a reference */
static int collect_ioas(struct iommufd_ioas *ioas, struct xarray *all)
{
	struct io_pagetable *iopt = &ioas->iopt;
	struct iopt_area *area;
	int rc = 0;

	down_read(&iopt->iova_rwsem);
	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX)) {
		struct iopt_pages *pages = area->pages;

		/* Somebody is still setting it up, or tears it down */
		if (!pages)
			continue;
		if (!iopt_pages_is_file(pages) && !iopt_pages_is_mmio(pages)) {
			rc = -EINVAL;
			break;
		}
		rc = xa_insert(all, (uintptr_t)pages, pages, GFP_KERNEL);
		if (!rc)
			kref_get(&pages->kref);
		else if (rc != -EBUSY)
			break;
		rc = 0;
	}
	up_read(&iopt->iova_rwsem);
	return rc;
}

static int collect(struct iommufd_ctx *ictx, struct xarray *all)
{
	struct iommufd_ioas *ioas;
	unsigned long id;
	int rc = 0;

	for (id = 0; !rc && (ioas = next_ioas(ictx, &id)); id++) {
		rc = collect_ioas(ioas, all);
		iommufd_put_object(ictx, &ioas->obj);
	}
	return rc;
}

/*
 * How a charge moves: what both processes have in common stays as it is, so
 * that a user at the limit can hand memory to another process of hers.
 */
static unsigned int charge_mode(struct iopt_pages *from, struct iopt_pages *to)
{
	if (from->account_mode == IOPT_PAGES_ACCOUNT_USER &&
	    from->source_user == to->source_user)
		return IOPT_PAGES_ACCOUNT_NONE;
	return from->account_mode;
}

static int charge(struct iopt_pages *whom, unsigned int mode,
		  unsigned long npages, bool inc)
{
	struct iopt_pages like = {
		.account_mode = mode,
		.source_task = whom->source_task,
		.source_mm = whom->source_mm,
		.source_user = whom->source_user,
	};

	if (!npages)
		return 0;
	return iopt_pages_account(&like, npages, inc);
}

static void move_pages_to(struct iopt_pages *pages, struct iopt_pages *to)
{
	/* Fails if the mm is gone, and its charges with it */
	charge(pages, charge_mode(pages, to), pages->last_npinned, false);

	put_task_struct(pages->source_task);
	mmdrop(pages->source_mm);
	free_uid(pages->source_user);

	pages->source_task = get_task_struct(to->source_task);
	mmgrab(to->source_mm);
	pages->source_mm = to->source_mm;
	pages->source_user = get_uid(to->source_user);
}

static int move_all_to(struct xarray *all, struct iopt_pages *to)
{
	static const u8 modes[] = { IOPT_PAGES_ACCOUNT_NONE,
				    IOPT_PAGES_ACCOUNT_USER,
				    IOPT_PAGES_ACCOUNT_MM };
	unsigned long npages[ARRAY_SIZE(modes)] = {};
	struct iopt_pages *pages;
	unsigned long index;
	int rc, i;

	xa_for_each(all, index, pages)
		if (pages->source_mm != to->source_mm ||
		    pages->source_user != to->source_user)
			npages[charge_mode(pages, to)] += pages->last_npinned;

	for (i = 0; i != ARRAY_SIZE(modes); i++) {
		rc = charge(to, modes[i], npages[modes[i]], true);
		if (rc)
			goto err_uncharge;
	}

	xa_for_each(all, index, pages)
		if (pages->source_mm != to->source_mm ||
		    pages->source_user != to->source_user)
			move_pages_to(pages, to);
	return 0;

err_uncharge:
	while (i--)
		charge(to, modes[i], npages[modes[i]], false);
	return rc;
}

/**
 * iommufd_ioas_change_process() - ioctl(IOMMU_IOAS_CHANGE_PROCESS)
 * @ucmd: The call, with a struct iommu_ioas_change_process
 *
 * Return: 0 or a negative error, see the structure
 */
int iommufd_ioas_change_process(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_change_process *cmd = ucmd->cmd;
	struct iommufd_ctx *ictx = ucmd->ictx;
	struct iopt_pages to = {
		.source_task = current->group_leader,
		.source_mm = current->mm,
		.source_user = current_user(),
	};
	struct iopt_pages *pages;
	unsigned long index;
	struct xarray all;
	int rc;

	if (cmd->__reserved)
		return -EOPNOTSUPP;

	xa_init(&all);
	rc = collect(ictx, &all);
	if (!rc) {
		mutex_lock(&ictx->account_lock);
		rc = move_all_to(&all, &to);
		mutex_unlock(&ictx->account_lock);
	}

	xa_for_each(&all, index, pages)
		iopt_put_pages(pages);
	xa_destroy(&all);
	return rc;
}
