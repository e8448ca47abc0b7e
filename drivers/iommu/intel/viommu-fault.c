// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on VT-d: faults of a VM's devices
 *
 *	dmar_fault() --> ring --> work --> event queue of the VM | host's log
 *
 * The fault handler runs in hard interrupt context, where no device can be
 * looked up. It puts the records that may be for a guest into a ring, and a
 * work finds the virtual device by the source ID.
 *
 * Owns:	each unit that had a vIOMMU has a ring, until the unit goes.
 * Locks:	ring_lock guards the ring, in hard interrupts too. vdevs_lock
 *		guards the list of virtual devices; while it is held they stay,
 *		and with them their devices.
 *
 * A device that faults without end costs the host the interrupts that it did
 * before, and a full ring every INTEL_FAULT_PERIOD: the work runs no sooner
 * again. Records beyond that go to the host's log, which has its own limit.
 */
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <uapi/linux/iommufd.h>

#include "viommu.h"

#define INTEL_FAULT_RING	64
#define INTEL_FAULT_PERIOD	(HZ / 100 ?: 1)

/**
 * struct intel_viommu_faults - Faults of one unit that may be for a guest
 * @iommu: The unit
 * @work: Reports them
 * @last_run: When it ran last, in jiffies
 * @ring_lock: Guards the next three members
 * @first: Index of the oldest record
 * @count: The number of records
 * @ring: The records as in the registers, lower and upper quad word
 * @vdevs_lock: Guards @vdevs
 * @vdevs: List of struct intel_vdevice
 */
struct intel_viommu_faults {
	struct intel_iommu *iommu;
	struct delayed_work work;
	unsigned long last_run;
	raw_spinlock_t ring_lock; /* guards the ring */
	u32 first;
	u32 count;
	u64 ring[INTEL_FAULT_RING][2];
	struct mutex vdevs_lock; /* guards vdevs */
	struct list_head vdevs;
};

static void intel_vfault_set_virt_id(void *payload, u64 virt_id)
{
	struct iommu_vevent_intel_vtd *vevent = payload;

	vevent->rec[1] |= cpu_to_le64(virt_id);
}

static int intel_viommu_report(struct intel_viommu_faults *faults, u64 lo,
			       u64 hi)
{
	struct iommu_vevent_intel_vtd vevent;
	const struct iommufd_device_event event = {
		.type = IOMMU_VEVENTQ_TYPE_INTEL_VTD,
		.pasid = dma_frcd_pasid_present(hi) ?
			 dma_frcd_pasid_value(hi >> 32) : IOMMU_NO_PASID,
		.payload = &vevent,
		.len = sizeof(vevent),
		.set_virt_id = intel_vfault_set_virt_id,
	};
	struct intel_vdevice *vdev;
	int ret = -ENOENT;

	if (!intel_vfault_to_guest(lo, hi, vevent.rec))
		return -EOPNOTSUPP;

	mutex_lock(&faults->vdevs_lock);
	list_for_each_entry(vdev, &faults->vdevs, node) {
		if (PCI_DEVID(vdev->info->bus, vdev->info->devfn) !=
		    dma_frcd_source_id(hi))
			continue;
		ret = iommufd_device_report_event(vdev->core.dev, &event);
		break;
	}
	mutex_unlock(&faults->vdevs_lock);
	return ret;
}

static bool intel_viommu_next_fault(struct intel_viommu_faults *faults,
				    u64 *lo, u64 *hi)
{
	bool found;

	raw_spin_lock_irq(&faults->ring_lock);
	found = faults->count;
	if (found) {
		*lo = faults->ring[faults->first][0];
		*hi = faults->ring[faults->first][1];
		faults->first = (faults->first + 1) % INTEL_FAULT_RING;
		faults->count--;
	}
	raw_spin_unlock_irq(&faults->ring_lock);
	return found;
}

static void intel_viommu_faults_work(struct work_struct *work)
{
	struct intel_viommu_faults *faults =
		container_of(to_delayed_work(work), struct intel_viommu_faults,
			     work);
	unsigned int n;
	u64 lo, hi;

	WRITE_ONCE(faults->last_run, jiffies);
	for (n = 0; n < INTEL_FAULT_RING; n++) {
		if (!intel_viommu_next_fault(faults, &lo, &hi))
			return;
		if (intel_viommu_report(faults, lo, hi))
			dmar_fault_log(faults->iommu, lo, hi);
	}
	queue_delayed_work(system_unbound_wq, &faults->work,
			   INTEL_FAULT_PERIOD);
}

/**
 * intel_viommu_take_fault() - Take a fault that may be for a guest
 * @iommu: The unit
 * @lo: The lower quad word of its record
 * @hi: The upper quad word
 *
 * In any context. A fault that turns out not to be for a guest goes to
 * dmar_fault_log().
 *
 * Return: true if it was taken.
 */
bool intel_viommu_take_fault(struct intel_iommu *iommu, u64 lo, u64 hi)
{
	struct intel_viommu_faults *faults;
	unsigned long flags, delay = 0;
	bool taken = false;
	__le64 rec[2];
	u32 at;

	/* Pairs with the release in intel_viommu_faults_alloc() */
	faults = smp_load_acquire(&iommu->viommu_faults);
	if (!faults || !intel_vfault_to_guest(lo, hi, rec))
		return false;

	raw_spin_lock_irqsave(&faults->ring_lock, flags);
	if (faults->count < INTEL_FAULT_RING) {
		at = (faults->first + faults->count++) % INTEL_FAULT_RING;
		faults->ring[at][0] = lo;
		faults->ring[at][1] = hi;
		taken = true;
	}
	raw_spin_unlock_irqrestore(&faults->ring_lock, flags);

	if (time_before(jiffies, READ_ONCE(faults->last_run) +
				 INTEL_FAULT_PERIOD))
		delay = INTEL_FAULT_PERIOD;
	queue_delayed_work(system_unbound_wq, &faults->work, delay);
	return taken;
}

/* Prepare a unit for virtual devices */
int intel_viommu_faults_alloc(struct intel_iommu *iommu)
{
	struct intel_viommu_faults *faults;

	/* Pairs with the release below */
	if (smp_load_acquire(&iommu->viommu_faults))
		return 0;

	faults = kzalloc(sizeof(*faults), GFP_KERNEL);
	if (!faults)
		return -ENOMEM;
	faults->iommu = iommu;
	faults->last_run = jiffies - INTEL_FAULT_PERIOD;
	INIT_DELAYED_WORK(&faults->work, intel_viommu_faults_work);
	raw_spin_lock_init(&faults->ring_lock);
	mutex_init(&faults->vdevs_lock);
	INIT_LIST_HEAD(&faults->vdevs);
	if (cmpxchg_release(&iommu->viommu_faults, NULL, faults))
		kfree(faults);
	return 0;
}

/**
 * intel_viommu_faults_free() - Undo intel_viommu_faults_alloc()
 * @iommu: The unit, which has no vIOMMUs and no fault interrupt any more
 */
void intel_viommu_faults_free(struct intel_iommu *iommu)
{
	struct intel_viommu_faults *faults = iommu->viommu_faults;

	if (!faults)
		return;
	cancel_delayed_work_sync(&faults->work);
	iommu->viommu_faults = NULL;
	kfree(faults);
}

/* From here on faults of the device are reported */
void intel_viommu_faults_add(struct intel_vdevice *vdev)
{
	struct intel_viommu_faults *faults = vdev->info->iommu->viommu_faults;

	mutex_lock(&faults->vdevs_lock);
	list_add(&vdev->node, &faults->vdevs);
	mutex_unlock(&faults->vdevs_lock);
}

/* When this returns, no report uses the virtual device or its device */
void intel_viommu_faults_del(struct intel_vdevice *vdev)
{
	struct intel_viommu_faults *faults = vdev->info->iommu->viommu_faults;

	mutex_lock(&faults->vdevs_lock);
	list_del(&vdev->node);
	mutex_unlock(&faults->vdevs_lock);
}
