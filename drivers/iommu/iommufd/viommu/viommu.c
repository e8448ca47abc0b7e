// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vIOMMU object: the part of one physical IOMMU that one VM uses
 *
 * Owns:	the driver's state (such as a VMID), the table of its virtual
 *		devices, a reference on the nesting parent, a reference on the
 *		VM's file if user space has passed one.
 * Held by:	its children (nested HWPTs, virtual devices, event queues and
 *		hardware queues), one reference each. They access it without a
 *		lock, because it outlives them. Also by each mapping of its
 *		registers.
 * Locks:	none of its own but that of the virtual device table, see
 *		vdevice.c, that of the list of event queues, see
 *		builtin/driver.c, and that of the list of hardware queues, see
 *		hw_queue.c; everything else is constant once the object is
 *		visible.
 * Dies:	by IOMMU_DESTROY when it has no children (-EBUSY before), or
 *		when the iommufd is closed. It outlives devices.
 */
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#if IS_ENABLED(CONFIG_KVM)
#include <linux/kvm_host.h>
#endif
#include <linux/module.h>
#include <trace/events/iommufd_viommu.h>

#include "../../iommu-priv.h"
#include "private.h"

/* NULL if the IOMMU of @dev cannot nest or does not have the type */
static const struct iommufd_viommu_ops *
iommufd_viommu_find_ops(struct device *dev, u32 type)
{
	const struct iommufd_viommu_driver *driver = dev_iommu_ops(dev)->viommu;
	const struct iommufd_viommu_ops *const *ops;

	if (!driver || !(driver->caps(dev->iommu->iommu_dev) &
			 IOMMUFD_VIOMMU_CAP_NESTING))
		return NULL;
	if (type == IOMMU_VIOMMU_TYPE_DEFAULT)
		return driver->no_default ? NULL : &iommufd_viommu_default_ops;

	for (ops = driver->types; ops && *ops; ops++)
		if ((*ops)->type == type)
			return *ops;
	return NULL;
}

/* The only place that decides about the errno for bad type specific data */
static int iommufd_viommu_check_data(const struct iommufd_viommu_ops *ops,
				     size_t len)
{
	if (!ops->data_len)
		return len ? -EOPNOTSUPP : 0;
	if (!len && ops->data_optional)
		return 0;
	/* A driver clears what it does not know: not without a bound */
	return len < ops->data_len || len > PAGE_SIZE ? -EINVAL : 0;
}

#if IS_ENABLED(CONFIG_KVM)
/* The file pins the modules of KVM, so the symbol need not be held longer */
static bool iommufd_file_is_vm(struct file *file)
{
	bool (*is_kvm)(struct file *file) = symbol_get(file_is_kvm);
	bool is_vm;

	if (!is_kvm)
		return false;
	is_vm = is_kvm(file);
	symbol_put(file_is_kvm);
	return is_vm;
}
#else
static bool iommufd_file_is_vm(struct file *file)
{
	return false;
}
#endif

/*
 * Takes a reference on the VM: on its file, since that, unlike one on the VM,
 * keeps the modules of KVM.
 */
static struct file *iommufd_viommu_get_vm(const struct iommufd_viommu_ops *ops,
					  int fd)
{
	struct file *vm;

	if (!ops->takes_vm || (!IS_ENABLED(CONFIG_KVM) && !ops->is_vm))
		return ERR_PTR(-EOPNOTSUPP);
	vm = fget(fd);
	if (!vm)
		return ERR_PTR(-EBADF);
	if (ops->is_vm ? ops->is_vm(vm) : iommufd_file_is_vm(vm))
		return vm;
	fput(vm);
	return ERR_PTR(-EINVAL);
}

void iommufd_viommu_destroy(struct iommufd_object *obj)
{
	struct iommufd_viommu_obj *viommu_obj =
		container_of(obj, struct iommufd_viommu_obj, obj);
	struct iommufd_viommu *viommu = &viommu_obj->viommu;

	trace_iommufd_viommu_destroy(obj->id, obj->id);
	WARN_ON(!xa_empty(&viommu->vdevs));
	WARN_ON(!list_empty(&viommu_obj->hw_queues));
	if (viommu->ops->release)
		viommu->ops->release(viommu);
	xa_destroy(&viommu->vdevs);
	if (viommu->vm)
		fput(viommu->vm);
	refcount_dec(&viommu_obj->hwpt->common.obj.users);
}

/*
 * Allocates a complete vIOMMU for the IOMMU of @dev that is not visible yet. On
 * success takes a reference on @hwpt and takes over the reference on @vm.
 */
static struct iommufd_viommu_obj *
iommufd_viommu_create(struct iommufd_ctx *ictx,
		      const struct iommufd_viommu_ops *ops, struct device *dev,
		      struct iommufd_hwpt_paging *hwpt, struct file *vm,
		      const struct iommu_user_data *user_data)
{
	const size_t size = offsetof(struct iommufd_viommu_obj, viommu);
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_viommu *viommu;
	struct iommufd_object *obj;
	int rc;

	obj = _iommufd_object_alloc(ictx, size + ops->viommu_size,
				    IOMMUFD_OBJ_VIOMMU);
	if (IS_ERR(obj))
		return ERR_CAST(obj);
	viommu_obj = container_of(obj, struct iommufd_viommu_obj, obj);
	viommu_obj->hwpt = hwpt;
	INIT_LIST_HEAD(&viommu_obj->hw_queues);
	mutex_init(&viommu_obj->hw_queues_lock);

	viommu = &viommu_obj->viommu;
	viommu->ops = ops;
	viommu->iommu_dev = dev->iommu->iommu_dev;
	viommu->parent = hwpt->common.domain;
	viommu->vm = vm;
	xa_init_flags(&viommu->vdevs, XA_FLAGS_LOCK_IRQ | XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&viommu->vevents);
	spin_lock_init(&viommu->vevents_lock);
	viommu->mmap_offset = (u64)obj->id << IOMMUFD_VIOMMU_MMAP_SHIFT;

	rc = ops->init(viommu, dev, user_data);
	if (rc) {
		iommufd_object_abort(ictx, obj);
		return ERR_PTR(rc);
	}
	refcount_inc(&hwpt->common.obj.users);
	trace_iommufd_viommu_alloc(obj->id, ops->type, hwpt->common.obj.id,
				   viommu->iommu_dev->dev);
	return viommu_obj;
}

int iommufd_viommu_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_viommu_alloc *cmd = ucmd->cmd;
	const struct iommu_user_data user_data = {
		.type = cmd->type,
		.uptr = u64_to_user_ptr(cmd->data_uptr),
		.len = cmd->data_len,
	};
	const struct iommufd_viommu_ops *ops;
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_hwpt_paging *hwpt;
	struct iommufd_device *idev;
	struct file *vm = NULL;
	int rc;

	if ((cmd->flags & ~IOMMU_VIOMMU_ALLOC_KVM_FD) || cmd->__reserved ||
	    cmd->__reserved2)
		return -EOPNOTSUPP;

	idev = iommufd_get_device(ucmd, cmd->dev_id);
	if (IS_ERR(idev))
		return PTR_ERR(idev);

	ops = iommufd_viommu_find_ops(idev->dev, cmd->type);
	if (!ops) {
		rc = -EOPNOTSUPP;
		goto out_put_idev;
	}
	rc = ops->supported(idev->dev);
	if (rc)
		goto out_put_idev;
	rc = iommufd_viommu_check_data(ops, cmd->data_len);
	if (rc)
		goto out_put_idev;

	if (cmd->flags & IOMMU_VIOMMU_ALLOC_KVM_FD) {
		vm = iommufd_viommu_get_vm(ops, cmd->kvm_fd);
		if (IS_ERR(vm)) {
			rc = PTR_ERR(vm);
			goto out_put_idev;
		}
	}

	hwpt = iommufd_get_hwpt_paging(ucmd, cmd->hwpt_id);
	if (IS_ERR(hwpt)) {
		rc = PTR_ERR(hwpt);
		goto out_put_vm;
	}
	if (!hwpt->nest_parent ||
	    hwpt->common.domain->owner != dev_iommu_ops(idev->dev)) {
		rc = -EINVAL;
		goto out_put_hwpt;
	}

	viommu_obj = iommufd_viommu_create(ucmd->ictx, ops, idev->dev, hwpt, vm,
					   user_data.len ? &user_data : NULL);
	if (IS_ERR(viommu_obj)) {
		rc = PTR_ERR(viommu_obj);
		goto out_put_hwpt;
	}
	vm = NULL;

	if (viommu_obj->viommu.shares_vmid)
		cmd->flags |= IOMMU_VIOMMU_ALLOC_SHARED_VMID;
	cmd->out_viommu_id = viommu_obj->obj.id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		iommufd_object_abort_and_destroy(ucmd->ictx, &viommu_obj->obj);
	else
		iommufd_object_finalize(ucmd->ictx, &viommu_obj->obj);

out_put_hwpt:
	iommufd_put_object(ucmd->ictx, &hwpt->common.obj);
out_put_vm:
	if (vm)
		fput(vm);
out_put_idev:
	iommufd_put_object(ucmd->ictx, &idev->obj);
	return rc;
}

/* Not inline, so that the caller has nothing to keep in registers */
static noinline int
iommufd_viommu_invalidate_traced(struct iommufd_viommu_obj *viommu_obj,
				 struct iommu_user_data_array *array)
{
	struct iommufd_viommu *viommu = &viommu_obj->viommu;
	u32 num = array->entry_num;
	int rc;

	rc = viommu->ops->cache_invalidate(viommu, array);
	trace_iommufd_viommu_invalidate(viommu_obj->obj.id, array->type, num,
					array->entry_num, rc);
	return rc;
}

/**
 * iommufd_viommu_invalidate() - IOMMU_HWPT_INVALIDATE on a vIOMMU
 * @obj: The object that user space named
 * @array: The commands; on return, the number of complete ones
 *
 * Return: the result of the driver, -EINVAL if @obj is not a vIOMMU, or
 * -EOPNOTSUPP if its driver executes no commands.
 */
int iommufd_viommu_invalidate(struct iommufd_object *obj,
			      struct iommu_user_data_array *array)
{
	struct iommufd_viommu_obj *viommu_obj;
	struct iommufd_viommu *viommu;

	if (obj->type != IOMMUFD_OBJ_VIOMMU) {
		array->entry_num = 0;
		return -EINVAL;
	}

	viommu_obj = container_of(obj, struct iommufd_viommu_obj, obj);
	viommu = &viommu_obj->viommu;
	if (!viommu->ops->cache_invalidate) {
		array->entry_num = 0;
		return -EOPNOTSUPP;
	}
	if (trace_iommufd_viommu_invalidate_enabled())
		return iommufd_viommu_invalidate_traced(viommu_obj, array);
	return viommu->ops->cache_invalidate(viommu, array);
}
