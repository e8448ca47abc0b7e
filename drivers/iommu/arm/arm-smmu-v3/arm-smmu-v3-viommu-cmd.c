// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's commands: their translation, and the way of an array of them to the
 * command queue
 *
 * The arm_smmu_vcmd_*() functions are pure: no object, no lock, no hardware.
 * Values that a guest chooses reach the command queue only through them, and
 * only in fields named here. The arm_smmu_viommu_*() functions do the rest:
 * they copy from user space, look up devices, issue and count. Section numbers
 * refer to the SMMUv3 architecture, Arm IHI 0070.
 */
#include <kunit/visibility.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <uapi/linux/iommufd.h>

#include "arm-smmu-v3-viommu.h"

#define CREATE_TRACE_POINTS
#include <trace/events/arm_smmu_v3_viommu.h>

/* Commands taken from user space at a time, leaves room for a CMD_SYNC */
#define ARM_SMMU_VIOMMU_CHUNK	(CMDQ_BATCH_ENTRIES - 1)

/* The SCALE field is one bit wider with IDR5.DS (4.4.1) */
#define VCMD_TLBI_0_SCALE_DS	BIT_ULL(25)

#define VCMD_TLBI_0_RANGE						\
	(CMDQ_TLBI_0_NUM | CMDQ_TLBI_0_SCALE | VCMD_TLBI_0_SCALE_DS)
#define VCMD_TLBI_1_RANGE	(CMDQ_TLBI_1_TTL | CMDQ_TLBI_1_TG)
#define VCMD_TLBI_1_ADDR	(CMDQ_TLBI_1_LEAF | CMDQ_TLBI_1_VA_MASK)
#define VCMD_ATC_0_PASID						\
	(CMDQ_ATC_0_GLOBAL | CMDQ_0_SSV | CMDQ_ATC_0_SSID)

/**
 * struct arm_smmu_vcmd_row - A command that a guest may send
 * @host_op: The opcode that is sent for it; 0 if a guest may not send it
 * @kind: What is left to do with it
 * @range: It may have the fields of a range and its hints as well
 * @fields: Its fields in each word, without the opcode
 * @free: Those that are passed on unchanged and decide nothing
 */
struct arm_smmu_vcmd_row {
	u8 host_op;
	u8 kind;
	bool range;
	u64 fields[CMDQ_ENT_DWORDS];
	u64 free[CMDQ_ENT_DWORDS];
};

static const struct arm_smmu_vcmd_row arm_smmu_vcmd_rows[] = {
	[CMDQ_OP_CFGI_CD] = {
		.host_op = CMDQ_OP_CFGI_CD,
		.kind = ARM_SMMU_VCMD_CFGI,
		.fields = { CMDQ_CFGI_0_SSID | CMDQ_CFGI_0_SID, CMDQ_CFGI_1_LEAF },
		.free = { CMDQ_CFGI_0_SSID, CMDQ_CFGI_1_LEAF },
	},
	[CMDQ_OP_CFGI_CD_ALL] = {
		.host_op = CMDQ_OP_CFGI_CD_ALL,
		.kind = ARM_SMMU_VCMD_CFGI,
		.fields = { CMDQ_CFGI_0_SID },
	},
	[CMDQ_OP_TLBI_NH_ALL] = {
		.host_op = CMDQ_OP_TLBI_NH_ALL,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMDQ_TLBI_0_VMID },
	},
	[CMDQ_OP_TLBI_NH_ASID] = {
		.host_op = CMDQ_OP_TLBI_NH_ASID,
		.kind = ARM_SMMU_VCMD_TLBI,
		.fields = { CMDQ_TLBI_0_VMID | CMDQ_TLBI_0_ASID },
		.free = { CMDQ_TLBI_0_ASID },
	},
	[CMDQ_OP_TLBI_NH_VA] = {
		.host_op = CMDQ_OP_TLBI_NH_VA,
		.kind = ARM_SMMU_VCMD_TLBI,
		.range = true,
		.fields = { CMDQ_TLBI_0_VMID | CMDQ_TLBI_0_ASID, VCMD_TLBI_1_ADDR },
		.free = { CMDQ_TLBI_0_ASID, VCMD_TLBI_1_ADDR },
	},
	[CMDQ_OP_TLBI_NH_VAA] = {
		.host_op = CMDQ_OP_TLBI_NH_VAA,
		.kind = ARM_SMMU_VCMD_TLBI,
		.range = true,
		.fields = { CMDQ_TLBI_0_VMID, VCMD_TLBI_1_ADDR },
		.free = { 0, VCMD_TLBI_1_ADDR },
	},
	/* On the host this affects every VM; the guest means itself */
	[CMDQ_OP_TLBI_NSNH_ALL] = {
		.host_op = CMDQ_OP_TLBI_NH_ALL,
		.kind = ARM_SMMU_VCMD_TLBI,
	},
	[CMDQ_OP_ATC_INV] = {
		.host_op = CMDQ_OP_ATC_INV,
		.kind = ARM_SMMU_VCMD_ATC,
		.fields = { CMDQ_ATC_0_SID | VCMD_ATC_0_PASID,
			    CMDQ_ATC_1_SIZE | CMDQ_ATC_1_ADDR_MASK },
		.free = { CMDQ_ATC_0_SSID, CMDQ_ATC_1_ADDR_MASK },
	},
};

/*
 * The functions up to __arm_smmu_vcmd_translate() are inline, because calls show
 * in the cost of a single command.
 */

/* The fields of a row in word 0 that are reserved on this hardware */
static __always_inline u64
arm_smmu_vcmd_absent(const struct arm_smmu_vcmd_caps *caps, u8 kind)
{
	/* With 8-bit ASIDs the upper half of the field is reserved */
	if (kind == ARM_SMMU_VCMD_TLBI)
		return caps->asid16 ? 0 :
		       FIELD_PREP(CMDQ_TLBI_0_ASID, 0xff00);
	if (kind == ARM_SMMU_VCMD_ATC && !caps->ssid_bits)
		return VCMD_ATC_0_PASID;
	/* The SubstreamID is at the same position in CFGI and ATC_INV */
	return CMDQ_CFGI_0_SSID &
	       ~FIELD_PREP(CMDQ_CFGI_0_SSID, BIT_ULL(caps->ssid_bits) - 1);
}

/* The largest SCALE to compute with; a larger one exceeds every limit anyway */
#define VCMD_SCALE_LIMIT	16

/*
 * Without range invalidation in hardware a short range is sent address by
 * address, in steps of its granule (4.4.1.1). A long range becomes all entries
 * of the VM, not those of the ASID: NH_VA hits global entries as well, NH_ASID
 * does not. No field is free here.
 */
static __always_inline void
arm_smmu_vcmd_range_without_ril(u64 *cmd, struct arm_smmu_vcmd *vcmd)
{
	u64 scale = FIELD_GET(CMDQ_TLBI_0_SCALE, cmd[0]);
	u64 n = (FIELD_GET(CMDQ_TLBI_0_NUM, cmd[0]) + 1)
		<< min_t(u64, scale, VCMD_SCALE_LIMIT);

	/* TG is 1, 2, 3 for 4K, 16K, 64K */
	vcmd->step = BIT_ULL(10 + 2 * FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]));
	vcmd->free[0] = 0;
	vcmd->free[1] = 0;

	/*
	 * The architecture does not define the start of a range for all
	 * addresses
	 */
	if (cmd[1] & CMDQ_TLBI_1_VA_MASK & (vcmd->step - 1))
		n++;
	if (n > ARM_SMMU_VCMD_REPEAT_MAX || (cmd[0] & VCMD_TLBI_0_SCALE_DS)) {
		cmd[0] = FIELD_PREP(CMDQ_0_OP, CMDQ_OP_TLBI_NH_ALL);
		cmd[1] = 0;
		return;
	}
	vcmd->repeat = n;
	cmd[0] &= ~VCMD_TLBI_0_RANGE;
	cmd[1] &= ~VCMD_TLBI_1_RANGE;
}

/*
 * 4.4.1.1: hints and ranges belong together, and some of their combinations are
 * reserved.
 */
static __always_inline int
arm_smmu_vcmd_range(const struct arm_smmu_vcmd_caps *caps, u64 *cmd,
		    struct arm_smmu_vcmd *vcmd)
{
	u64 range = cmd[0] & VCMD_TLBI_0_RANGE;
	u64 ttl = FIELD_GET(CMDQ_TLBI_1_TTL, cmd[1]);
	u64 tg = FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]);

	if ((range & VCMD_TLBI_0_SCALE_DS) && !caps->ds)
		return -EIO;
	if (!tg || (!range && !ttl))
		return -EIO;
	/* TG 2 is 16K, which has no level 1 block without DS */
	if (tg == 2 && ttl == 1 && !caps->ds)
		return -EIO;

	if (!caps->ril)
		arm_smmu_vcmd_range_without_ril(cmd, vcmd);
	else if (ttl)
		/* With a level no length is reserved */
		vcmd->free[0] |= CMDQ_TLBI_0_NUM | CMDQ_TLBI_0_SCALE;
	return 0;
}

static __always_inline int
__arm_smmu_vcmd_translate(const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			  u64 *cmd, struct arm_smmu_vcmd *vcmd)
{
	u64 op = FIELD_GET(CMDQ_0_OP, cmd[0]);
	const struct arm_smmu_vcmd_row *row;
	u64 other0, other1, absent;

	if (op >= ARRAY_SIZE(arm_smmu_vcmd_rows))
		return -EIO;
	row = &arm_smmu_vcmd_rows[op];
	if (!row->host_op)
		return -EIO;

	absent = arm_smmu_vcmd_absent(caps, row->kind);
	vcmd->repeat = 1;
	vcmd->free[0] = row->free[0] & ~absent;
	vcmd->free[1] = row->free[1];

	/* Any other bit may stop the queue of all users (4.1.3) */
	other0 = cmd[0] & ~((row->fields[0] & ~absent) | CMDQ_0_OP);
	other1 = cmd[1] & ~row->fields[1];
	u64p_replace_bits(&cmd[0], row->host_op, CMDQ_0_OP);
	if (other0 | other1) {
		if (!row->range || (other0 & ~VCMD_TLBI_0_RANGE) ||
		    (other1 & ~VCMD_TLBI_1_RANGE))
			return -EIO;
		if (arm_smmu_vcmd_range(caps, cmd, vcmd))
			return -EIO;
	}

	if (row->kind == ARM_SMMU_VCMD_TLBI) {
		u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
	} else if (row->kind == ARM_SMMU_VCMD_ATC) {
		if (!caps->ats ||
		    FIELD_GET(CMDQ_ATC_1_SIZE, cmd[1]) > ATC_INV_SIZE_ALL)
			return -EIO;
	}
	return row->kind;
}

/**
 * arm_smmu_vcmd_translate() - Translate a command of a guest's command queue
 * @caps: Commands that the hardware supports
 * @vmid: The VMID of the vIOMMU
 * @cmd: The command, changed in place; not to be used after an error
 * @vcmd: How to send it, and what may follow it; undefined after an error
 *
 * The scope is never narrower than the guest's, and never reaches another VM.
 * Harmless fields are not checked: an address beyond the input size hits
 * nothing (4.1.7).
 *
 * Return: enum arm_smmu_vcmd_kind, or -EIO for a command that a guest of a
 * stage 1 SMMU may not send or that the hardware may take for illegal.
 */
int arm_smmu_vcmd_translate(const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			    u64 *cmd, struct arm_smmu_vcmd *vcmd)
{
	return __arm_smmu_vcmd_translate(caps, vmid, cmd, vcmd);
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_translate);

/**
 * arm_smmu_vcmd_follow() - Translate commands like the one before them
 * @free: The bits that may differ, &arm_smmu_vcmd.free
 * @guest: The guest's command before them
 * @host: The host's command for @guest
 * @cmds: Commands of the guest, changed in place
 * @n: Number of @cmds
 *
 * Return: the number of translated commands: all up to the first that differs.
 */
u32 arm_smmu_vcmd_follow(const u64 *free, const u64 *guest, const u64 *host,
			 u64 *cmds, u32 n)
{
	const u64 fixed0 = ~free[0], guest0 = guest[0];
	const u64 fixed1 = ~free[1], guest1 = guest[1];
	const u64 flip0 = guest[0] ^ host[0];
	const u64 flip1 = guest[1] ^ host[1];
	u32 i;

	for (i = 0; i < n; i++, cmds += CMDQ_ENT_DWORDS) {
		u64 word0 = cmds[0];
		u64 word1 = cmds[1];

		if (((word0 ^ guest0) & fixed0) | ((word1 ^ guest1) & fixed1))
			break;
		cmds[0] = word0 ^ flip0;
		cmds[1] = word1 ^ flip1;
	}
	return i;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_follow);

/*
 * How many commands of one caller may wait in the queue without a CMD_SYNC. All
 * users of the queue wait for the commands in front of their own.
 */
#define ARM_SMMU_VIOMMU_IN_FLIGHT	4096

/**
 * struct arm_smmu_viommu_batch - Progress in an array of guest commands
 * @viommu: The vIOMMU
 * @len: Size of an entry of the array in bytes
 * @cmds: A chunk of commands, guest's or host's
 * @taken: Number of translated commands of this chunk
 * @issued: Number of issued commands of this chunk; at most @taken
 * @done: Number of commands of the array that are complete in hardware
 * @pending: Number of commands of the array that were issued but are not
 *           complete
 * @in_flight: Number of commands in the queue that @pending stands for
 * @oldest: The lowest kind among the taken commands that are not complete
 * @kinds: Number of taken commands of each kind; only used for the tracepoint
 * @vsid_known: @vsid and @sid are valid
 * @vsid: The last virtual StreamID that was looked up
 * @sid: Its physical StreamID
 */
struct arm_smmu_viommu_batch {
	struct arm_smmu_viommu *viommu;
	size_t len;
	u64 cmds[ARM_SMMU_VIOMMU_CHUNK][CMDQ_ENT_DWORDS];
	u32 taken;
	u32 issued;
	u32 done;
	u32 pending;
	u32 in_flight;
	enum arm_smmu_vcmd_kind oldest;
	u32 kinds[ARM_SMMU_VCMD_ATC + 1];
	bool vsid_known;
	u32 vsid;
	u32 sid;
};

static int arm_smmu_viommu_batch_issue(struct arm_smmu_viommu_batch *batch,
				       bool sync)
{
	struct arm_smmu_device *smmu = batch->viommu->use.smmu;
	u32 n = batch->taken - batch->issued;
	int ret;

	if (batch->in_flight >= ARM_SMMU_VIOMMU_IN_FLIGHT)
		sync = true;
	if (!n && !(sync && batch->pending))
		return 0;

	/* Extra queues may not accept all of these commands */
	ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq,
					  batch->cmds[batch->issued], n, sync);
	batch->issued += n;
	batch->pending += n;
	batch->in_flight += n;
	if (ret || !sync)
		return ret;

	batch->done += batch->pending;
	batch->pending = 0;
	batch->in_flight = 0;
	batch->oldest = ARM_SMMU_VCMD_ATC;
	return 0;
}

/*
 * The device may go once this returns. A CFGI command to its StreamID then makes
 * the SMMU read an unchanged configuration again.
 */
static int arm_smmu_viommu_find_sid(struct arm_smmu_viommu *viommu, u32 vsid,
				    u32 *sid)
{
	struct iommufd_viommu *core = &viommu->core;
	struct iommufd_vdevice *vdev;
	unsigned long flags;

	flags = iommufd_viommu_lock_vdevs(core);
	vdev = iommufd_viommu_find_vdevice(core, vsid);
	if (vdev)
		*sid = container_of(vdev, struct arm_smmu_vdevice, core_vdev)->sid;
	iommufd_viommu_unlock_vdevs(core, flags);
	return vdev ? 0 : -EIO;
}

static int arm_smmu_viommu_batch_sid(struct arm_smmu_viommu_batch *batch,
				     u64 *cmd)
{
	u32 vsid = FIELD_GET(CMDQ_CFGI_0_SID, cmd[0]);
	int ret;

	if (!batch->vsid_known || batch->vsid != vsid) {
		ret = arm_smmu_viommu_find_sid(batch->viommu, vsid,
					       &batch->sid);
		batch->vsid_known = !ret;
		batch->vsid = vsid;
		if (ret)
			return ret;
	}

	u64p_replace_bits(&cmd[0], batch->sid, CMDQ_CFGI_0_SID);
	return 0;
}

/* Send a range address by address */
static noinline_for_stack int
arm_smmu_viommu_batch_repeat(struct arm_smmu_viommu_batch *batch,
			     const u64 *cmd, const struct arm_smmu_vcmd *vcmd)
{
	struct arm_smmu_device *smmu = batch->viommu->use.smmu;
	u64 cmds[ARM_SMMU_VCMD_REPEAT_MAX][CMDQ_ENT_DWORDS];
	int ret;
	u32 i;

	ret = arm_smmu_viommu_batch_issue(batch, false);
	if (ret)
		return ret;

	for (i = 0; i < vcmd->repeat; i++) {
		cmds[i][0] = cmd[0];
		cmds[i][1] = cmd[1] + i * vcmd->step;
	}
	ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmds[0],
					  vcmd->repeat, false);
	if (ret)
		return ret;

	batch->taken++;
	batch->issued++;
	batch->pending++;
	batch->in_flight += vcmd->repeat;
	return 0;
}

/*
 * A device with ATS off need not answer, and would hold up the queue of all
 * users. Its ATC is empty, so there is nothing to send. ATS does not change
 * until the commands are complete. What the host cannot order against this is a
 * reset of the device, by its driver in the VM or by VFIO: a command that comes
 * while that lasts costs all users of the queue one ATC invalidation timeout.
 */
static int arm_smmu_viommu_inv_atc(struct arm_smmu_master *master, u64 *cmds,
				   u32 n)
{
	struct arm_smmu_device *smmu = master->smmu;
	int ret = 0;

	down_read(&master->atc_rwsem);
	if (master->ats_on)
		ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmds, n,
						  true);
	up_read(&master->atc_rwsem);
	return ret;
}

/*
 * Take CMD_ATC_INVs of one device: those of the @n in the chunk that follow
 * @guest, which was translated to @cmd.
 *
 * A device that does not answer stops the queue at the next CMD_SYNC, whoever
 * sent that. So these come in one list with a CMD_SYNC of their own, and what
 * goes wrong is told to this caller alone.
 */
static int arm_smmu_viommu_batch_atc(struct arm_smmu_viommu_batch *batch,
				     const u64 *guest, u64 *cmd,
				     const struct arm_smmu_vcmd *vcmd, u32 n)
{
	struct arm_smmu_viommu *viommu = batch->viommu;
	u32 vsid = FIELD_GET(CMDQ_ATC_0_SID, guest[0]);
	struct arm_smmu_vdevice *smmu_vdev;
	struct iommufd_vdevice *vdev;
	unsigned long flags;
	u32 run;
	int ret;

	ret = arm_smmu_viommu_batch_issue(batch, true);
	if (ret)
		return ret;

	/* Keeps the device from going */
	down_read(&viommu->atc_rwsem);
	flags = iommufd_viommu_lock_vdevs(&viommu->core);
	vdev = iommufd_viommu_find_vdevice(&viommu->core, vsid);
	iommufd_viommu_unlock_vdevs(&viommu->core, flags);
	if (!vdev) {
		ret = -EIO;
		goto out_unlock;
	}

	smmu_vdev = container_of(vdev, struct arm_smmu_vdevice, core_vdev);
	u64p_replace_bits(&cmd[0], smmu_vdev->sid, CMDQ_ATC_0_SID);
	run = 1 + arm_smmu_vcmd_follow(vcmd->free, guest, cmd,
				       cmd + CMDQ_ENT_DWORDS,
				       n - batch->taken - 1);
	ret = arm_smmu_viommu_inv_atc(smmu_vdev->master, cmd, run);
	batch->taken += run;
	batch->issued += run;
	if (!ret)
		batch->done += run;
out_unlock:
	up_read(&viommu->atc_rwsem);
	return ret;
}

/*
 * Take a command and its followers among the @n of the chunk; returns their
 * kind
 */
static int arm_smmu_viommu_batch_take(struct arm_smmu_viommu_batch *batch, u32 n)
{
	u64 *cmd = batch->cmds[batch->taken];
	const u64 guest[CMDQ_ENT_DWORDS] = { cmd[0], cmd[1] };
	struct arm_smmu_vcmd vcmd __uninitialized;
	int ret, kind;

	kind = arm_smmu_vcmd_translate(&batch->viommu->caps,
				       batch->viommu->use.vmid, cmd, &vcmd);
	if (kind < 0)
		return kind;
	if (kind == ARM_SMMU_VCMD_ATC)
		return arm_smmu_viommu_batch_atc(batch, guest, cmd, &vcmd, n) ?:
		       kind;

	/*
	 * The guest's CMD_SYNCs, which the batch does not have, would order
	 * these
	 */
	if (kind > batch->oldest) {
		ret = arm_smmu_viommu_batch_issue(batch, true);
		if (ret)
			return ret;
	}

	if (kind == ARM_SMMU_VCMD_CFGI) {
		ret = arm_smmu_viommu_batch_sid(batch, cmd);
		if (ret)
			return ret;
	}
	batch->oldest = min_t(enum arm_smmu_vcmd_kind, batch->oldest, kind);

	if (vcmd.repeat > 1)
		return arm_smmu_viommu_batch_repeat(batch, cmd, &vcmd) ?: kind;

	batch->taken++;
	if (batch->taken < n)
		batch->taken += arm_smmu_vcmd_follow(vcmd.free, guest, cmd,
						     cmd + CMDQ_ENT_DWORDS,
						     n - batch->taken);
	return kind;
}

/* Returns how many of @n commands at @uptr there are; why not all in @err */
static u32 arm_smmu_viommu_batch_copy(struct arm_smmu_viommu_batch *batch,
				      const void __user *uptr, u32 n, int *err)
{
	const size_t size = sizeof(batch->cmds[0]);
	u32 i;

	if (batch->len == size && !copy_from_user(batch->cmds, uptr, n * size))
		return n;

	/* The fault position is not exact to the byte */
	for (i = 0; i < n; i++) {
		*err = copy_struct_from_user(batch->cmds[i], size,
					     uptr + i * batch->len, batch->len);
		if (*err)
			break;
	}
	return i;
}

/*
 * Take up to a chunk of @left commands at @uptr; issue them except the last
 * chunk
 */
static int arm_smmu_viommu_batch_chunk(struct arm_smmu_viommu_batch *batch,
				       const void __user *uptr, u32 left)
{
	u32 want = min_t(u32, left, ARM_SMMU_VIOMMU_CHUNK);
	int ret, err = 0;
	u32 i, n;

	batch->taken = 0;
	batch->issued = 0;
	batch->vsid_known = false;

	n = arm_smmu_viommu_batch_copy(batch, uptr, want, &err);
	for (i = 0; i < n; i++) {
		le64_to_cpus(&batch->cmds[i][0]);
		le64_to_cpus(&batch->cmds[i][1]);
	}

	while (batch->taken < n) {
		u32 before = batch->taken;

		ret = arm_smmu_viommu_batch_take(batch, n);
		if (ret < 0)
			return ret;
		if (trace_arm_smmu_viommu_cmds_enabled())
			batch->kinds[ret] += batch->taken - before;
	}
	if (n < want)
		return err;
	return want < left ? arm_smmu_viommu_batch_issue(batch, false) : 0;
}

static noinline_for_stack int
arm_smmu_viommu_batch_all(struct arm_smmu_viommu *viommu,
			  const void __user *uptr, size_t len, u32 left,
			  u32 *done)
{
	/* Clearing the commands would cost more than most calls do */
	struct arm_smmu_viommu_batch batch __uninitialized;
	int sync_ret;
	int ret;

	batch.viommu = viommu;
	batch.len = len;
	batch.done = 0;
	batch.pending = 0;
	batch.in_flight = 0;
	batch.oldest = ARM_SMMU_VCMD_ATC;
	memset(batch.kinds, 0, sizeof(batch.kinds));

	for (;;) {
		ret = arm_smmu_viommu_batch_chunk(&batch, uptr, left);
		left -= batch.taken;
		if (ret || !left)
			break;
		uptr += len * ARM_SMMU_VIOMMU_CHUNK;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}

	/*
	 * The commands before a bad one count as done, so they must be
	 * complete. If the sync fails, report that rather than the guest's
	 * error.
	 */
	sync_ret = arm_smmu_viommu_batch_issue(&batch, true);
	ret = sync_ret ?: ret;
	*done = batch.done;
	trace_arm_smmu_viommu_cmds(viommu->use.smmu->dev, viommu->use.vmid,
				   batch.kinds[ARM_SMMU_VCMD_CFGI],
				   batch.kinds[ARM_SMMU_VCMD_TLBI],
				   batch.kinds[ARM_SMMU_VCMD_ATC], batch.done,
				   ret);
	return ret;
}

/*
 * The fast path for a single TLBI or CFGI: a VMM that passes on each command
 * separately mostly sends these. Returns false for anything else.
 */
static bool arm_smmu_viommu_single(struct arm_smmu_viommu *viommu,
				   const void __user *uptr, int *ret)
{
	struct arm_smmu_device *smmu = viommu->use.smmu;
	struct arm_smmu_vcmd vcmd __uninitialized;
	u64 cmd[CMDQ_ENT_DWORDS] __uninitialized;
	int kind;
	u32 sid;

	if (copy_from_user(cmd, uptr, sizeof(cmd)))
		return false;
	le64_to_cpus(&cmd[0]);
	le64_to_cpus(&cmd[1]);
	kind = __arm_smmu_vcmd_translate(&viommu->caps, viommu->use.vmid, cmd,
					 &vcmd);
	if (kind < 0 || kind == ARM_SMMU_VCMD_ATC || vcmd.repeat > 1)
		return false;
	if (kind == ARM_SMMU_VCMD_CFGI) {
		if (arm_smmu_viommu_find_sid(viommu,
					     FIELD_GET(CMDQ_CFGI_0_SID, cmd[0]),
					     &sid))
			return false;
		u64p_replace_bits(&cmd[0], sid, CMDQ_CFGI_0_SID);
	}

	*ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmd, 1, true);
	trace_arm_smmu_viommu_cmds(smmu->dev, viommu->use.vmid,
				   kind == ARM_SMMU_VCMD_CFGI,
				   kind == ARM_SMMU_VCMD_TLBI, 0, !*ret, *ret);
	return true;
}

int arm_smmu_viommu_cache_invalidate(struct iommufd_viommu *core,
				     struct iommu_user_data_array *array)
{
	const size_t size = sizeof(struct iommu_viommu_arm_smmuv3_invalidate);
	struct arm_smmu_viommu *viommu = to_smmu_viommu(core);
	u32 num = array->entry_num;
	int ret;

	array->entry_num = 0;
	if (array->type != IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3)
		return -EINVAL;
	if (num == 1 && array->entry_len == size &&
	    arm_smmu_viommu_single(viommu, array->uptr, &ret)) {
		array->entry_num = !ret;
		return ret;
	}

	if (!num)
		return 0;
	if (array->entry_len < size)
		return -EINVAL;
	return arm_smmu_viommu_batch_all(viommu, array->uptr, array->entry_len,
					 num, &array->entry_num);
}
