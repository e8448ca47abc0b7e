/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NVIDIA Tegra241 CMDQ-V: registers and structures
 *
 * A virtual command queue (VCMDQ) is a command queue of the SMMUv3 with its own
 * registers. A virtual interface (VINTF) groups queues of one owner. A queue of
 * a VINTF is called a logical queue (LVCMDQ) and has a local index there.
 */
#ifndef _TEGRA241_CMDQV_H
#define _TEGRA241_CMDQV_H

#include <linux/bitfield.h>
#include <linux/idr.h>
#include <linux/sizes.h>

#include "arm-smmu-v3.h"

/* The parts of the register space */
#define TEGRA241_CMDQV_CONFIG_BASE	(0)
#define TEGRA241_CMDQV_CONFIG_SIZE	(SZ_64K)
#define TEGRA241_VCMDQ_PAGE0_BASE	(TEGRA241_CMDQV_CONFIG_BASE + SZ_64K)
#define TEGRA241_VCMDQ_PAGE1_BASE	(TEGRA241_VCMDQ_PAGE0_BASE + SZ_64K)
#define TEGRA241_VINTF_PAGE_BASE	(TEGRA241_VCMDQ_PAGE1_BASE + SZ_64K)

/* Registers of the CMDQ-V as a whole */
#define TEGRA241_CMDQV_CONFIG		0x0000
#define  CMDQV_EN			BIT(0)

#define TEGRA241_CMDQV_PARAM		0x0004
#define  CMDQV_NUM_SID_PER_VM_LOG2	GENMASK(15, 12)
#define  CMDQV_NUM_VINTF_LOG2		GENMASK(11, 8)
#define  CMDQV_NUM_VCMDQ_LOG2		GENMASK(7, 4)
#define  CMDQV_VER			GENMASK(3, 0)

#define TEGRA241_CMDQV_STATUS		0x0008
#define  CMDQV_ENABLED			BIT(0)

#define TEGRA241_CMDQV_VINTF_ERR_MAP	0x0014
#define TEGRA241_CMDQV_VINTF_INT_MASK	0x001C
#define TEGRA241_CMDQV_CMDQ_ERR_MAP(m)  (0x0024 + 0x4 * (m))

#define TEGRA241_CMDQV_CMDQ_ALLOC(q)	(0x0200 + 0x4 * (q))
#define  CMDQV_CMDQ_ALLOC_VINTF		GENMASK(20, 15)
#define  CMDQV_CMDQ_ALLOC_LVCMDQ	GENMASK(7, 1)
#define  CMDQV_CMDQ_ALLOCATED		BIT(0)

/* Registers of a VINTF */
#define TEGRA241_VINTF(v)		(0x1000 + 0x100 * (v))

#define TEGRA241_VINTF_CONFIG		0x0000
#define  VINTF_HYP_OWN			BIT(17)
#define  VINTF_VMID			GENMASK(16, 1)
#define  VINTF_EN			BIT(0)

#define TEGRA241_VINTF_STATUS		0x0004
#define  VINTF_STATUS			GENMASK(3, 1)
#define  VINTF_ENABLED			BIT(0)

#define TEGRA241_VINTF_SID_MATCH(s)	(0x0040 + 0x4 * (s))
#define  VINTF_SID_MATCH_VSID		GENMASK(20, 1)
#define  VINTF_SID_MATCH_EN		BIT(0)
#define TEGRA241_VINTF_SID_REPLACE(s)	(0x0080 + 0x4 * (s))
#define  VINTF_SID_REPLACE_SID		GENMASK(19, 0)
/* As many as fit */
#define  VINTF_SID_MAX			16

#define TEGRA241_VINTF_LVCMDQ_ERR_MAP_64(m) \
					(0x00C0 + 0x8 * (m))
#define  LVCMDQ_ERR_MAP_NUM_64		2

/*
 * Registers of a queue: page 0 has no addresses and may be mapped by a VM, page
 * 1 has
 */
#define TEGRA241_VCMDQ_PAGE0(q)		(TEGRA241_VCMDQ_PAGE0_BASE + 0x80 * (q))

#define TEGRA241_VCMDQ_CONS		0x00000
#define  VCMDQ_CONS_ERR			GENMASK(30, 24)

#define TEGRA241_VCMDQ_PROD		0x00004

#define TEGRA241_VCMDQ_CONFIG		0x00008
#define  VCMDQ_EN			BIT(0)

#define TEGRA241_VCMDQ_STATUS		0x0000C
#define  VCMDQ_ENABLED			BIT(0)

#define TEGRA241_VCMDQ_GERROR		0x00010
#define TEGRA241_VCMDQ_GERRORN		0x00014

#define TEGRA241_VCMDQ_PAGE1(q)		(TEGRA241_VCMDQ_PAGE1_BASE + 0x80 * (q))
#define  VCMDQ_ADDR			GENMASK(47, 5)
#define  VCMDQ_LOG2SIZE			GENMASK(4, 0)

#define TEGRA241_VCMDQ_BASE		0x00000
#define TEGRA241_VCMDQ_CONS_INDX_BASE	0x00008

/* The same through the VINTF that the queue is allocated to */
#define TEGRA241_VINTF_PAGE0(i)		(TEGRA241_VINTF_PAGE_BASE + SZ_128K * (i))
#define TEGRA241_VINTF_PAGE1(i)		(TEGRA241_VINTF_PAGE0(i) + SZ_64K)
#define TEGRA241_LVCMDQ_PAGE0(i, q)	(TEGRA241_VINTF_PAGE0(i) + 0x80 * (q))
#define TEGRA241_LVCMDQ_PAGE1(i, q)	(TEGRA241_VINTF_PAGE1(i) + 0x80 * (q))

#define REG_CMDQV(_cmdqv, _regname) \
	((_cmdqv)->base + TEGRA241_CMDQV_##_regname)
#define REG_VINTF(_vintf, _regname) \
	((_vintf)->base + TEGRA241_VINTF_##_regname)
#define REG_VCMDQ_PAGE0(_vcmdq, _regname) \
	((_vcmdq)->page0 + TEGRA241_VCMDQ_##_regname)
#define REG_VCMDQ_PAGE1(_vcmdq, _regname) \
	((_vcmdq)->page1 + TEGRA241_VCMDQ_##_regname)

/**
 * struct tegra241_vcmdq - A virtual command queue
 * @idx: Its index in the hardware
 * @lidx: Its index in @vintf
 * @enabled: Whether the hardware says that it is enabled
 * @cmdqv: The hardware
 * @vintf: Its owner
 * @cmdq: Its memory and indices; not used in a queue of a VM
 * @page0: Its registers of page 0
 * @page1: Its registers of page 1
 */
struct tegra241_vcmdq {
	u16 idx;
	u16 lidx;

	bool enabled;

	struct tegra241_cmdqv *cmdqv;
	struct tegra241_vintf *vintf;
	struct arm_smmu_cmdq cmdq;

	void __iomem *page0;
	void __iomem *page1;
};

/**
 * struct tegra241_vintf - A virtual interface
 * @idx: Its index in the hardware
 * @vmid: The VMID of the commands in its queues, without @hyp_own
 * @enabled: Whether the hardware says that it is enabled
 * @hyp_own: Whether the hardware says that it is the hypervisor's
 * @cmdqv: The hardware
 * @lvcmdqs: Its queues by their local index; not those of a VM
 * @base: Its registers
 */
struct tegra241_vintf {
	u16 idx;
	u16 vmid;

	bool enabled;
	bool hyp_own;

	struct tegra241_cmdqv *cmdqv;
	struct tegra241_vcmdq **lvcmdqs;

	void __iomem *base;
};

/**
 * struct tegra241_cmdqv - The CMDQ-V of an SMMU
 * @smmu: The SMMU
 * @dev: The device of the CMDQ-V
 * @base: Its registers
 * @base_phys: The physical address of @base
 * @irq: Its interrupt, 0 for none
 * @num_vintfs: Number of VINTFs
 * @num_vcmdqs: Number of queues
 * @num_lvcmdqs_per_vintf: Number of queues of each VINTF
 * @num_sids_per_vintf: Number of pairs of StreamIDs of each VINTF
 * @version: The version that the hardware reports
 * @vintf_ids: The VINTFs that have an owner
 * @vintfs: The VINTFs that have an owner, by index. The interrupt handler reads
 *	    them without a lock.
 * @vintfs_lock: Taken to change @vintfs, and to keep its entries in place; also
 *		 guards tegra241_viommu::vdevs
 */
struct tegra241_cmdqv {
	struct arm_smmu_device smmu;
	struct device *dev;

	void __iomem *base;
	phys_addr_t base_phys;
	int irq;

	u16 num_vintfs;
	u16 num_vcmdqs;
	u16 num_lvcmdqs_per_vintf;
	u16 num_sids_per_vintf;
	u8 version;

	struct ida vintf_ids;

	struct tegra241_vintf **vintfs;
	struct mutex vintfs_lock; /* guards vintfs against changes */
};

static inline struct tegra241_cmdqv *to_cmdqv(struct arm_smmu_device *smmu)
{
	return container_of(smmu, struct tegra241_cmdqv, smmu);
}

#ifdef CONFIG_ARM_SMMU_V3_IOMMUFD
/* The functions of tegra241-cmdqv.c that tegra241-cmdqv-viommu.c calls */
int tegra241_vintf_write_config(struct tegra241_vintf *vintf, u32 regval);
int tegra241_vcmdq_write_config(struct tegra241_vcmdq *vcmdq, u32 regval);
void tegra241_vcmdq_set_allocated(struct tegra241_vcmdq *vcmdq, bool allocated);
void tegra241_vcmdq_hw_deinit(struct tegra241_vcmdq *vcmdq);
void tegra241_cmdqv_flush(struct tegra241_cmdqv *cmdqv);
int tegra241_vintf_init_lvcmdq(struct tegra241_vintf *vintf, u16 lidx,
			       struct tegra241_vcmdq *vcmdq);
int tegra241_vintf_hw_init(struct tegra241_vintf *vintf, bool hyp_own);
void tegra241_vintf_hw_deinit(struct tegra241_vintf *vintf);
int tegra241_cmdqv_init_vintf(struct tegra241_cmdqv *cmdqv, u16 max_idx,
			      struct tegra241_vintf *vintf);
void tegra241_cmdqv_unpublish_vintf(struct tegra241_cmdqv *cmdqv, u16 idx);
void tegra241_cmdqv_deinit_vintf(struct tegra241_cmdqv *cmdqv, u16 idx);

/* The functions of tegra241-cmdqv-viommu.c that tegra241-cmdqv.c calls */
int tegra241_viommu_handle_error(struct tegra241_vintf *vintf);
void tegra241_viommu_set_ats(struct arm_smmu_master *master, bool enabled);
#else
static inline int tegra241_viommu_handle_error(struct tegra241_vintf *vintf)
{
	return -EOPNOTSUPP;
}
#endif

#endif /* _TEGRA241_CMDQV_H */
