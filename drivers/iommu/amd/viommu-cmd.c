// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the AMD IOMMU: a guest's commands and those of the host
 *
 *	guest's command --> amd_vcmd --> host's commands
 *
 * Pure functions, which own nothing and take no lock. No bit of a guest reaches
 * the command buffer but an address, S, PDE, and a PASID in range.
 */
#include "viommu.h"

/* Fields of commands */
#define CMD_OPCODE(cmd)		((cmd)[1] >> 28)
#define CMD_OPERAND1		GENMASK(27, 0)
#define CMD_PREFETCH		0x06
#define CMD_PAGES_PASID		GENMASK(19, 0)
#define CMD_RANGE_FLAGS		GENMASK(11, 0)
#define CMD_SET_OPCODE(cmd, op)	((cmd)->data[1] |= (u32)(op) << 28)

static bool amd_vcmd_pasid_ok(u64 efr, u32 pasid)
{
	return !(pasid >> (FIELD_GET(FEATURE_PASMAX, efr) + 1));
}

/* Address and S; a size beyond all of the address space is all of it */
static u64 amd_vcmd_range(const u32 *cmd)
{
	u64 range = (u64)cmd[3] << 32 | (cmd[2] & ~CMD_RANGE_FLAGS) |
		    (cmd[2] & CMD_INV_IOMMU_PAGES_SIZE_MASK);

	if ((range & CMD_INV_IOMMU_PAGES_SIZE_MASK) &&
	    (range | CMD_RANGE_FLAGS) == ~0ULL)
		return AMD_VCMD_ALL;
	return range;
}

static int amd_vcmd_check_devtab(const u32 *cmd, struct amd_vcmd *vcmd)
{
	if ((cmd[0] & ~U16_MAX) || (cmd[1] & CMD_OPERAND1) || cmd[2] || cmd[3])
		return -EIO;
	vcmd->scope = AMD_VCMD_DEVTAB;
	vcmd->id = cmd[0];
	return 0;
}

static int amd_vcmd_check_pages(u64 efr, const u32 *cmd, struct amd_vcmd *vcmd)
{
	const u32 flags = CMD_INV_IOMMU_PAGES_SIZE_MASK |
			  CMD_INV_IOMMU_PAGES_PDE_MASK |
			  CMD_INV_IOMMU_PAGES_GN_MASK;

	if ((cmd[0] & ~CMD_PAGES_PASID) || (cmd[1] & CMD_OPERAND1 & ~U16_MAX) ||
	    (cmd[2] & CMD_RANGE_FLAGS & ~flags))
		return -EIO;

	vcmd->id = cmd[1];
	/* What the guest takes for its host tables is not in the TLB as such */
	if (!(cmd[2] & CMD_INV_IOMMU_PAGES_GN_MASK)) {
		vcmd->scope = AMD_VCMD_DOMAIN;
		return 0;
	}
	vcmd->scope = AMD_VCMD_PASID;
	vcmd->pasid = cmd[0];
	vcmd->pde = cmd[2] & CMD_INV_IOMMU_PAGES_PDE_MASK;
	vcmd->range = amd_vcmd_range(cmd);
	return amd_vcmd_pasid_ok(efr, vcmd->pasid) ? 0 : -EIO;
}

/* QueueID and Maxpend are the host's */
static int amd_vcmd_check_iotlb(u64 efr, const u32 *cmd, struct amd_vcmd *vcmd)
{
	const u32 flags = CMD_INV_IOMMU_PAGES_SIZE_MASK |
			  CMD_INV_IOMMU_PAGES_GN_MASK;

	if (cmd[2] & CMD_RANGE_FLAGS & ~flags)
		return -EIO;

	vcmd->id = cmd[0];
	vcmd->range = amd_vcmd_range(cmd);
	if (!(cmd[2] & CMD_INV_IOMMU_PAGES_GN_MASK)) {
		vcmd->scope = AMD_VCMD_DEV;
		return 0;
	}
	vcmd->scope = AMD_VCMD_DEV_PASID;
	vcmd->pasid = (cmd[1] >> 24 & 0xf) << 16 | (cmd[0] >> 16 & 0xff) << 8 |
		      (cmd[1] >> 16 & 0xff);
	return amd_vcmd_pasid_ok(efr, vcmd->pasid) ? 0 : -EIO;
}

static int amd_vcmd_check_all(u64 efr, const u32 *cmd, struct amd_vcmd *vcmd)
{
	if (!(efr & FEATURE_IA) || cmd[0] || (cmd[1] & CMD_OPERAND1) || cmd[2] ||
	    cmd[3])
		return -EIO;
	vcmd->scope = AMD_VCMD_VM;
	return 0;
}

/**
 * amd_vcmd_check() - Validate a guest's command
 * @efr: The extended feature register
 * @cmd: The command, 4 words
 * @vcmd: Result
 *
 * Return: 0, or -EIO if the kernel does not execute it for a guest.
 */
int amd_vcmd_check(u64 efr, const u32 *cmd, struct amd_vcmd *vcmd)
{
	memset(vcmd, 0, sizeof(*vcmd));
	switch (CMD_OPCODE(cmd)) {
	case CMD_INV_DEV_ENTRY:
		return amd_vcmd_check_devtab(cmd, vcmd);
	case CMD_INV_IOMMU_PAGES:
		return amd_vcmd_check_pages(efr, cmd, vcmd);
	case CMD_INV_IOTLB_PAGES:
		return amd_vcmd_check_iotlb(efr, cmd, vcmd);
	case CMD_PREFETCH:
		/* A hint, which is not sent */
		return efr & FEATURE_PREFETCH ? 0 : -EIO;
	case CMD_INV_ALL:
		return amd_vcmd_check_all(efr, cmd, vcmd);
	default:
		return -EIO;
	}
}

/* Commands of the host */

void amd_vcmd_make_devtab(struct iommu_cmd *cmd, u16 devid)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->data[0] = devid;
	CMD_SET_OPCODE(cmd, CMD_INV_DEV_ENTRY);
}

/* A range of @vcmd->pasid */
void amd_vcmd_make_pages(struct iommu_cmd *cmd, u16 domid,
			 const struct amd_vcmd *vcmd)
{
	cmd->data[0] = vcmd->pasid;
	cmd->data[1] = domid;
	cmd->data[2] = lower_32_bits(vcmd->range) | CMD_INV_IOMMU_PAGES_GN_MASK;
	cmd->data[3] = upper_32_bits(vcmd->range);
	if (vcmd->pde)
		cmd->data[2] |= CMD_INV_IOMMU_PAGES_PDE_MASK;
	CMD_SET_OPCODE(cmd, CMD_INV_IOMMU_PAGES);
}

/*
 * Everything of a DomainID. With @all everything that the IOMMU has, for hardware
 * where the command for a DomainID leaves what has a PASID.
 */
void amd_vcmd_make_domain(struct iommu_cmd *cmd, u16 domid, bool all)
{
	if (all) {
		memset(cmd, 0, sizeof(*cmd));
		CMD_SET_OPCODE(cmd, CMD_INV_ALL);
		return;
	}
	cmd->data[0] = 0;
	cmd->data[1] = domid;
	cmd->data[2] = lower_32_bits(AMD_VCMD_ALL) |
		       CMD_INV_IOMMU_PAGES_PDE_MASK;
	cmd->data[3] = upper_32_bits(AMD_VCMD_ALL);
	CMD_SET_OPCODE(cmd, CMD_INV_IOMMU_PAGES);
}

/* A range of requests without PASID */
void amd_vcmd_make_iotlb(struct iommu_cmd *cmd, u16 devid, int qdep, u64 range)
{
	cmd->data[0] = devid | (u32)(qdep & 0xff) << 24;
	cmd->data[1] = devid;
	cmd->data[2] = lower_32_bits(range);
	cmd->data[3] = upper_32_bits(range);
	CMD_SET_OPCODE(cmd, CMD_INV_IOTLB_PAGES);
}

/* A range of requests with a PASID */
void amd_vcmd_make_iotlb_pasid(struct iommu_cmd *cmd, u16 devid, int qdep,
			       u64 range, u32 pasid)
{
	amd_vcmd_make_iotlb(cmd, devid, qdep, range);
	cmd->data[0] |= (pasid >> 8 & 0xff) << 16;
	cmd->data[1] |= (pasid & 0xff) << 16 | (pasid >> 16 & 0xf) << 24;
	cmd->data[2] |= CMD_INV_IOMMU_PAGES_GN_MASK;
}
