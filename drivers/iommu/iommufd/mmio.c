// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of devices: BARs that other devices access
 *
 * The driver of a device that user space owns, like vfio-pci, exports parts of
 * its BARs as dma-bufs, and user space maps them by IOMMU_IOAS_MAP_FILE. There
 * are no pages to pin. Instead the driver can take all mappings away at any
 * time, and does so before the BAR stops to be there.
 *
 *	struct iommufd_mmio	one for each device. References: the driver,
 *				until iommufd_mmio_close(), and each dma-buf.
 *	struct mmio_buf		one for each dma-buf, lives as long as it.
 *	iopt_pages::dmabuf	a reference of the dma-buf, until the last area
 *				is gone.
 *	struct mmio_map		an area in a domain, mapped or not. The area and
 *				the domain outlive it: both remove it first.
 *
 * iommufd_mmio::lock guards all but what is constant. The driver may hold locks
 * of its own around it; in it nest those of the IOMMU's driver only. In iommufd
 * it nests in iopt_pages::mutex.
 */
#include <linux/dma-buf.h>
#include <linux/iommufd.h>
#include <linux/iommufd_mmio.h>
#include <linux/kref.h>
#include <linux/module.h>

#include "io_pagetable.h"

/**
 * struct iommufd_mmio - What a device exports
 * @kref: References, see above
 * @lock: Guards the members below, and whether a map is mapped
 * @maps: All struct mmio_map of the device
 * @enabled: The device answers at the addresses of its BARs
 * @closed: It never will again for this user
 */
struct iommufd_mmio {
	struct kref kref;
	/* All but kref */
	struct mutex lock;
	struct list_head maps;
	bool enabled;
	bool closed;
};

/**
 * struct mmio_buf - The private data of a dma-buf
 * @mmio: The device
 * @size: Sum of the lengths of all ranges, in bytes
 * @num: Number of ranges
 * @ranges: What the dma-buf consists of, in order. Constant.
 */
struct mmio_buf {
	struct iommufd_mmio *mmio;
	size_t size;
	unsigned int num;
	struct iommufd_mmio_range ranges[] __counted_by(num);
};

/**
 * struct mmio_map - An area in a domain
 * @of_mmio: Entry of iommufd_mmio::maps
 * @of_area: Entry of iopt_area::mmio_maps
 * @buf: What is mapped
 * @domain: Where
 * @iova: The first address
 * @offset: Offset into @buf, in bytes
 * @length: Number of bytes
 * @prot: IOMMU_READ, IOMMU_WRITE, ...
 * @mapped: Whether it is mapped now
 */
struct mmio_map {
	struct list_head of_mmio;
	struct list_head of_area;
	struct mmio_buf *buf;
	struct iommu_domain *domain;
	unsigned long iova;
	size_t offset;
	size_t length;
	int prot;
	bool mapped;
};

static void mmio_free(struct kref *kref)
{
	struct iommufd_mmio *mmio = container_of(kref, struct iommufd_mmio,
						 kref);

	WARN_ON(!list_empty(&mmio->maps));
	mutex_destroy(&mmio->lock);
	kfree(mmio);
}

static void mmio_unmap(struct mmio_map *map)
{
	lockdep_assert_held(&map->buf->mmio->lock);

	if (map->mapped)
		WARN_ON(iommu_unmap(map->domain, map->iova, map->length) !=
			map->length);
	map->mapped = false;
}

static int mmio_map(struct mmio_map *map)
{
	struct mmio_buf *buf = map->buf;
	size_t skip = map->offset;
	size_t done = 0;
	unsigned int i;
	int rc;

	lockdep_assert_held(&buf->mmio->lock);

	for (i = 0; done != map->length; i++) {
		size_t length;

		if (WARN_ON(i == buf->num))
			return -EINVAL;
		if (skip >= buf->ranges[i].length) {
			skip -= buf->ranges[i].length;
			continue;
		}
		length = min(buf->ranges[i].length - skip, map->length - done);
		rc = iommufd_should_fail() ? -ENOMEM :
			iommu_map(map->domain, map->iova + done,
				  buf->ranges[i].start + skip, length,
				  map->prot, GFP_KERNEL_ACCOUNT);
		cond_resched();
		if (rc) {
			if (done)
				iommu_unmap(map->domain, map->iova, done);
			return rc;
		}
		done += length;
		skip = 0;
	}
	map->mapped = true;
	return 0;
}

/**
 * iopt_pages_set_dmabuf() - Let pages be the memory of a device
 * @pages: Pages that were just allocated, for an offset instead of an address
 * @dmabuf: From iommufd_mmio_get_dmabuf(); the pages take a reference
 */
void iopt_pages_set_dmabuf(struct iopt_pages *pages, struct dma_buf *dmabuf)
{
	get_dma_buf(dmabuf);
	pages->dmabuf = dmabuf;
}

/**
 * iopt_mmio_set_area() - Let an area be memory of a device
 * @area: A new area, with its iommu_prot
 * @pages: Its pages
 */
void iopt_mmio_set_area(struct iopt_area *area, struct iopt_pages *pages)
{
	area->mmio = pages->dmabuf;
	INIT_LIST_HEAD(&area->mmio_maps);
	area->iommu_prot &= ~IOMMU_CACHE;
	area->iommu_prot |= IOMMU_MMIO;
}

/**
 * iopt_mmio_fill() - Map an area into a domain, as far as the device is there
 * @area: An area of device memory
 * @pages: Its pages
 * @domain: A domain that does not have it yet
 *
 * Return: 0 or a negative error
 */
int iopt_mmio_fill(struct iopt_area *area, struct iopt_pages *pages,
		   struct iommu_domain *domain)
{
	struct mmio_buf *buf = pages->dmabuf->priv;
	struct iommufd_mmio *mmio = buf->mmio;
	struct mmio_map *map;
	int rc = 0;

	lockdep_assert_held(&pages->mutex);

	map = kzalloc(sizeof(*map), GFP_KERNEL_ACCOUNT);
	if (!map)
		return -ENOMEM;
	map->buf = buf;
	map->domain = domain;
	map->iova = iopt_area_iova(area);
	map->offset = (uintptr_t)pages->uptr +
		      iopt_area_start_byte(area, map->iova);
	map->length = iopt_area_length(area);
	map->prot = area->iommu_prot;

	mutex_lock(&mmio->lock);
	if (mmio->enabled)
		rc = mmio_map(map);
	if (!rc) {
		list_add(&map->of_mmio, &mmio->maps);
		list_add(&map->of_area, &area->mmio_maps);
	}
	mutex_unlock(&mmio->lock);
	if (rc)
		kfree(map);
	return rc;
}

/**
 * iopt_mmio_unfill() - Undo iopt_mmio_fill()
 * @area: The area
 * @domain: The domain
 */
void iopt_mmio_unfill(struct iopt_area *area, struct iommu_domain *domain)
{
	struct mmio_buf *buf = area->mmio->priv;
	struct iommufd_mmio *mmio = buf->mmio;
	struct mmio_map *map, *found = NULL;

	mutex_lock(&mmio->lock);
	list_for_each_entry(map, &area->mmio_maps, of_area)
		if (map->domain == domain)
			found = map;
	if (!WARN_ON(!found)) {
		mmio_unmap(found);
		list_del(&found->of_area);
		list_del(&found->of_mmio);
	}
	mutex_unlock(&mmio->lock);
	kfree(found);
}

/**
 * iopt_mmio_fill_domains() - Map an area into all domains of its IOAS
 * @area: A new area of device memory
 * @pages: Its pages
 *
 * Return: 0 or a negative error
 */
int iopt_mmio_fill_domains(struct iopt_area *area, struct iopt_pages *pages)
{
	struct iommu_domain *domain;
	unsigned long index, undo;
	int rc = 0;

	lockdep_assert_held(&area->iopt->domains_rwsem);

	mutex_lock(&pages->mutex);
	xa_for_each(&area->iopt->domains, index, domain) {
		rc = iopt_mmio_fill(area, pages, domain);
		if (rc)
			goto err_unfill;
	}
	area->storage_domain = xa_load(&area->iopt->domains, 0);
	interval_tree_insert(&area->pages_node, &pages->domains_itree);
	mutex_unlock(&pages->mutex);
	return 0;

err_unfill:
	xa_for_each(&area->iopt->domains, undo, domain) {
		if (undo == index)
			break;
		iopt_mmio_unfill(area, domain);
	}
	mutex_unlock(&pages->mutex);
	return rc;
}

static int mmio_dmabuf_attach(struct dma_buf *dmabuf,
			      struct dma_buf_attachment *attachment)
{
	/* Nothing but iommufd can let go of a mapping at any time */
	return -EOPNOTSUPP;
}

static struct sg_table *mmio_dmabuf_map(struct dma_buf_attachment *attachment,
					enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void mmio_dmabuf_unmap(struct dma_buf_attachment *attachment,
			      struct sg_table *table,
			      enum dma_data_direction dir)
{
}

static void mmio_dmabuf_release(struct dma_buf *dmabuf)
{
	struct mmio_buf *buf = dmabuf->priv;

	kref_put(&buf->mmio->kref, mmio_free);
	kfree(buf);
}

static const struct dma_buf_ops mmio_dmabuf_ops = {
	.attach = mmio_dmabuf_attach,
	.map_dma_buf = mmio_dmabuf_map,
	.unmap_dma_buf = mmio_dmabuf_unmap,
	.release = mmio_dmabuf_release,
};

/**
 * iommufd_mmio_get_dmabuf() - Look a dma-buf up that iommufd can map
 * @fd: A file descriptor of user space
 *
 * Return: the dma-buf with a reference; NULL if it is none;
 * ERR_PTR(-EBADF); ERR_PTR(-EINVAL) for a dma-buf of another exporter.
 */
struct dma_buf *iommufd_mmio_get_dmabuf(int fd)
{
	struct dma_buf *dmabuf = dma_buf_get(fd);

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf) == -EINVAL ? NULL : dmabuf;
	if (dmabuf->ops != &mmio_dmabuf_ops) {
		dma_buf_put(dmabuf);
		return ERR_PTR(-EINVAL);
	}
	return dmabuf;
}

/**
 * iommufd_mmio_alloc() - Prepare to export the BARs of a device
 * @enabled: The device answers at the addresses of its BARs
 *
 * Undo with iommufd_mmio_close().
 *
 * Return: the object, or ERR_PTR(-ENOMEM)
 */
struct iommufd_mmio *iommufd_mmio_alloc(bool enabled)
{
	struct iommufd_mmio *mmio = kzalloc(sizeof(*mmio), GFP_KERNEL_ACCOUNT);

	if (!mmio)
		return ERR_PTR(-ENOMEM);
	kref_init(&mmio->kref);
	mutex_init(&mmio->lock);
	INIT_LIST_HEAD(&mmio->maps);
	mmio->enabled = enabled;
	return mmio;
}
EXPORT_SYMBOL_NS_GPL(iommufd_mmio_alloc, IOMMUFD);

/**
 * iommufd_mmio_set_enabled() - The device begins or stops to answer
 * @mmio: The object
 * @enabled: Whether the device answers at the addresses of its BARs
 *
 * After a return with @enabled false no DMA reaches the device through a
 * mapping. With true the mappings come back. One for which there is no memory
 * for page tables stays away until the next such call, with a message.
 */
void iommufd_mmio_set_enabled(struct iommufd_mmio *mmio, bool enabled)
{
	struct mmio_map *map;

	mutex_lock(&mmio->lock);
	mmio->enabled = enabled && !mmio->closed;
	list_for_each_entry(map, &mmio->maps, of_mmio) {
		if (!mmio->enabled)
			mmio_unmap(map);
		else if (!map->mapped && mmio_map(map))
			pr_warn_ratelimited("no memory to map a BAR again\n");
		cond_resched();
	}
	mutex_unlock(&mmio->lock);
}
EXPORT_SYMBOL_NS_GPL(iommufd_mmio_set_enabled, IOMMUFD);

/**
 * iommufd_mmio_close() - Stop exporting the BARs of a device for ever
 * @mmio: The object, which the caller must not use again
 *
 * After the return no DMA reaches the device through a mapping. The dma-bufs
 * stay until user space closes them, and map nothing.
 */
void iommufd_mmio_close(struct iommufd_mmio *mmio)
{
	iommufd_mmio_set_enabled(mmio, false);
	mutex_lock(&mmio->lock);
	mmio->closed = true;
	mutex_unlock(&mmio->lock);
	kref_put(&mmio->kref, mmio_free);
}
EXPORT_SYMBOL_NS_GPL(iommufd_mmio_close, IOMMUFD);

/**
 * iommufd_mmio_export() - Export parts of BARs as a dma-buf
 * @mmio: The device
 * @ranges: The parts, page aligned
 * @num: Their number, at least 1
 * @flags: O_CLOEXEC and the access mode
 *
 * Return: a file descriptor, or a negative error: -EINVAL if @ranges are not
 * page aligned or too large, -ENOMEM, -EMFILE.
 */
int iommufd_mmio_export(struct iommufd_mmio *mmio,
			const struct iommufd_mmio_range *ranges,
			unsigned int num, int flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;
	struct mmio_buf *buf;
	unsigned int i;
	int fd;

	buf = kzalloc(struct_size(buf, ranges, num), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	buf->num = num;
	for (i = 0; i != num; i++) {
		buf->ranges[i] = ranges[i];
		if (!ranges[i].length ||
		    !PAGE_ALIGNED(ranges[i].start | ranges[i].length) ||
		    check_add_overflow(buf->size, ranges[i].length,
				       &buf->size)) {
			kfree(buf);
			return -EINVAL;
		}
	}
	buf->mmio = mmio;

	info.ops = &mmio_dmabuf_ops;
	info.size = buf->size;
	info.flags = flags & O_ACCMODE;
	info.priv = buf;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		kfree(buf);
		return PTR_ERR(dmabuf);
	}
	kref_get(&mmio->kref);

	fd = dma_buf_fd(dmabuf, flags & O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(dmabuf);
	return fd;
}
EXPORT_SYMBOL_NS_GPL(iommufd_mmio_export, IOMMUFD);

MODULE_IMPORT_NS(DMA_BUF);
