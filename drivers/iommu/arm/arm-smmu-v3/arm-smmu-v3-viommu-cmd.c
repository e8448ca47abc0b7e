// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's commands: their translation, and the way of an array of them to the
 * command queue
 *
 * The arm_smmu_vcmd_*() functions are pure: no object, no lock, no hardware.
 * Values that a guest chooses reach the command queue only through them, and
 * only in fields named here. The arm_smmu_viommu_batch_*() functions do the
 * rest: they copy from user space, look up devices, issue and count. Section
 * numbers refer to the SMMUv3 architecture, Arm IHI 0070.
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
#define VCMD_TLBI_1_FIELDS						\
	(CMDQ_TLBI_1_LEAF | VCMD_TLBI_1_RANGE | CMDQ_TLBI_1_VA_MASK)

static u64 arm_smmu_vcmd_tlbi_all(u16 vmid)
{
	return FIELD_PREP(CMDQ_0_OP, CMDQ_OP_TLBI_NH_ALL) |
	       FIELD_PREP(CMDQ_TLBI_0_VMID, vmid);
}

/* The largest SCALE to compute with; a larger one exceeds every limit anyway */
#define VCMD_SCALE_LIMIT	16

/**
 * arm_smmu_vcmd_repeat() - How often to send a TLBI without its range
 * @caps: Commands that the hardware supports
 * @cmd: The guest's command. The result is undefined for a command that
 *	 arm_smmu_vcmd_to_host() refuses.
 * @step: Bytes from one address to the next
 *
 * Without range invalidation in hardware a short range is sent address by
 * address, in steps of its granule (4.4.1.1).
 *
 * Return: the number of commands to send, of which arm_smmu_vcmd_to_host()
 * makes the first; 1 if that is the only one.
 */
u32 arm_smmu_vcmd_repeat(const struct arm_smmu_vcmd_caps *caps, const u64 *cmd,
			 u64 *step)
{
	u64 op = FIELD_GET(CMDQ_0_OP, cmd[0]);
	u64 tg = FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]);
	u64 scale = FIELD_GET(CMDQ_TLBI_0_SCALE, cmd[0]);
	u64 n;

	if (caps->ril || !tg ||
	    (op != CMDQ_OP_TLBI_NH_VA && op != CMDQ_OP_TLBI_NH_VAA))
		return 1;

	/* TG is 1, 2, 3 for 4K, 16K, 64K */
	*step = BIT_ULL(10 + 2 * tg);
	n = (FIELD_GET(CMDQ_TLBI_0_NUM, cmd[0]) + 1)
	    << min_t(u64, scale, VCMD_SCALE_LIMIT);
	/*
	 * The architecture does not define the start of a range for all
	 * addresses
	 */
	if (cmd[1] & CMDQ_TLBI_1_VA_MASK & (*step - 1))
		n++;
	if (n > ARM_SMMU_VCMD_REPEAT_MAX || (cmd[0] & VCMD_TLBI_0_SCALE_DS))
		return 1;
	return n;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_repeat);

/*
 * 4.4.1.1: hints and ranges belong together, and some of their combinations are
 * reserved. Without RIL a short range becomes its first address, which the
 * caller repeats. A long range becomes all entries of the VM, not those of the
 * ASID: NH_VA hits global entries as well, NH_ASID does not.
 */
static int arm_smmu_vcmd_tlbi_range(const struct arm_smmu_vcmd_caps *caps,
				    u16 vmid, u64 *cmd)
{
	u64 range = cmd[0] & VCMD_TLBI_0_RANGE;
	u64 ttl = FIELD_GET(CMDQ_TLBI_1_TTL, cmd[1]);
	u64 tg = FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]);
	u64 step;

	if ((range & VCMD_TLBI_0_SCALE_DS) && !caps->ds)
		return -EIO;
	if (!tg && (range || ttl))
		return -EIO;
	if (tg && !range && !ttl)
		return -EIO;
	/* TG 2 is 16K, which has no level 1 block without DS */
	if (tg == 2 && ttl == 1 && !caps->ds)
		return -EIO;

	if (!caps->ril && range &&
	    arm_smmu_vcmd_repeat(caps, cmd, &step) == 1) {
		cmd[0] = arm_smmu_vcmd_tlbi_all(vmid);
		cmd[1] = 0;
	} else if (!caps->ril) {
		cmd[0] &= ~VCMD_TLBI_0_RANGE;
		cmd[1] &= ~VCMD_TLBI_1_RANGE;
	}
	return ARM_SMMU_VCMD_TLBI;
}

/* With 8-bit ASIDs the upper half of the field is reserved */
static u64 arm_smmu_vcmd_asid(const struct arm_smmu_vcmd_caps *caps)
{
	return caps->asid16 ? CMDQ_TLBI_0_ASID :
			      FIELD_PREP(CMDQ_TLBI_0_ASID, U8_MAX);
}

/* The field is at the same position in CFGI and ATC_INV */
static u64 arm_smmu_vcmd_ssid(const struct arm_smmu_vcmd_caps *caps)
{
	return FIELD_PREP(CMDQ_CFGI_0_SSID, BIT_ULL(caps->ssid_bits) - 1);
}

/* Any other bit may make the hardware stop the queue of all users (4.1.3) */
static bool arm_smmu_vcmd_has_only(const u64 *cmd, u64 fields0, u64 fields1)
{
	return !((cmd[0] & ~(fields0 | CMDQ_0_OP)) | (cmd[1] & ~fields1));
}

/**
 * arm_smmu_vcmd_to_host() - Translate a command of a guest's command queue
 * @caps: What the hardware takes
 * @vmid: The VMID of the vIOMMU
 * @cmd: The command, changed in place; not to be used after an error
 *
 * The scope is never narrower than the guest's, and never reaches another VM.
 * Harmless fields are not checked: an address beyond the input size hits
 * nothing (4.1.7).
 *
 * Return: enum arm_smmu_vcmd_kind, or -EIO for a command that a guest of a
 * stage 1 SMMU may not send or that the hardware may take for illegal.
 */
int arm_smmu_vcmd_to_host(const struct arm_smmu_vcmd_caps *caps, u16 vmid,
			  u64 *cmd)
{
	u64 asid = 0;
	u64 fields0;

	switch (FIELD_GET(CMDQ_0_OP, cmd[0])) {
	case CMDQ_OP_TLBI_NSNH_ALL:
		/* On the host this affects every VM; the guest means itself */
		if (!arm_smmu_vcmd_has_only(cmd, 0, 0))
			return -EIO;
		cmd[0] = arm_smmu_vcmd_tlbi_all(vmid);
		return ARM_SMMU_VCMD_TLBI;
	case CMDQ_OP_TLBI_NH_ASID:
		asid = arm_smmu_vcmd_asid(caps);
		fallthrough;
	case CMDQ_OP_TLBI_NH_ALL:
		if (!arm_smmu_vcmd_has_only(cmd, asid | CMDQ_TLBI_0_VMID, 0))
			return -EIO;
		u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
		return ARM_SMMU_VCMD_TLBI;
	case CMDQ_OP_TLBI_NH_VA:
		asid = arm_smmu_vcmd_asid(caps);
		fallthrough;
	case CMDQ_OP_TLBI_NH_VAA:
		fields0 = asid | CMDQ_TLBI_0_VMID;
		if (arm_smmu_vcmd_has_only(cmd, fields0,
					   CMDQ_TLBI_1_LEAF | CMDQ_TLBI_1_VA_MASK)) {
			u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
			return ARM_SMMU_VCMD_TLBI;
		}
		if (!arm_smmu_vcmd_has_only(cmd, fields0 | VCMD_TLBI_0_RANGE,
					    VCMD_TLBI_1_FIELDS))
			return -EIO;
		u64p_replace_bits(&cmd[0], vmid, CMDQ_TLBI_0_VMID);
		return arm_smmu_vcmd_tlbi_range(caps, vmid, cmd);
	case CMDQ_OP_CFGI_CD:
		fields0 = arm_smmu_vcmd_ssid(caps) | CMDQ_CFGI_0_SID;
		if (!arm_smmu_vcmd_has_only(cmd, fields0, CMDQ_CFGI_1_LEAF))
			return -EIO;
		return ARM_SMMU_VCMD_CFGI;
	case CMDQ_OP_CFGI_CD_ALL:
		if (!arm_smmu_vcmd_has_only(cmd, CMDQ_CFGI_0_SID, 0))
			return -EIO;
		return ARM_SMMU_VCMD_CFGI;
	case CMDQ_OP_ATC_INV:
		fields0 = CMDQ_ATC_0_SID;
		if (caps->ssid_bits)
			fields0 |= CMDQ_ATC_0_GLOBAL | CMDQ_0_SSV |
				   arm_smmu_vcmd_ssid(caps);
		if (!arm_smmu_vcmd_has_only(cmd, fields0, CMDQ_ATC_1_SIZE |
							  CMDQ_ATC_1_ADDR_MASK))
			return -EIO;
		if (!caps->ats ||
		    FIELD_GET(CMDQ_ATC_1_SIZE, cmd[1]) > ATC_INV_SIZE_ALL)
			return -EIO;
		return ARM_SMMU_VCMD_ATC;
	}
	return -EIO;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_to_host);

/**
 * arm_smmu_vcmd_free_bits() - The bits in which following commands may differ
 * @caps: What the hardware takes
 * @cmd: The guest's command, legal
 * @free: The bits of each word that arm_smmu_vcmd_to_host() passes on
 *	  unchanged, and that decide nothing there while all others stay the
 *	  same
 *
 * A guest that unmaps a buffer sends many commands that only differ in the
 * address.
 *
 * Return: whether commands that differ in no other bits can be translated as
 * @cmd was.
 */
bool arm_smmu_vcmd_free_bits(const struct arm_smmu_vcmd_caps *caps,
			     const u64 *cmd, u64 *free)
{
	free[0] = 0;
	free[1] = 0;
	switch (FIELD_GET(CMDQ_0_OP, cmd[0])) {
	case CMDQ_OP_TLBI_NH_ASID:
		free[0] = arm_smmu_vcmd_asid(caps);
		break;
	case CMDQ_OP_TLBI_NH_VA:
		free[0] = arm_smmu_vcmd_asid(caps);
		fallthrough;
	case CMDQ_OP_TLBI_NH_VAA:
		if ((cmd[1] & CMDQ_TLBI_1_TG) && !caps->ril)
			return false;
		/* With a level no length is reserved */
		if (cmd[1] & CMDQ_TLBI_1_TTL)
			free[0] |= CMDQ_TLBI_0_NUM | CMDQ_TLBI_0_SCALE;
		free[1] = CMDQ_TLBI_1_LEAF | CMDQ_TLBI_1_VA_MASK;
		break;
	case CMDQ_OP_CFGI_CD:
		free[0] = arm_smmu_vcmd_ssid(caps);
		free[1] = CMDQ_CFGI_1_LEAF;
		break;
	case CMDQ_OP_ATC_INV:
		free[0] = arm_smmu_vcmd_ssid(caps);
		free[1] = CMDQ_ATC_1_ADDR_MASK;
		break;
	}
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(arm_smmu_vcmd_free_bits);

/**
 * arm_smmu_vcmd_follow() - Translate commands like the one before them
 * @free: The bits that may differ, from arm_smmu_vcmd_free_bits()
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

/**
 * struct arm_smmu_viommu_batch - Progress in an array of guest commands
 * @viommu: The vIOMMU
 * @cmds: A chunk of commands, guest's or host's
 * @taken: Number of translated commands of this chunk
 * @issued: Number of issued commands of this chunk; at most @taken
 * @done: Number of commands of the array that are complete in hardware
 * @pending: Number of commands of the array that were issued but are not
 *           complete
 * @oldest: The lowest kind among the taken commands that are not complete
 * @kinds: Number of taken commands of each kind; only used for the tracepoint
 * @vsid_known: @vsid, @sid and @ats are valid
 * @vsid: The last virtual StreamID that was looked up
 * @sid: Its physical StreamID
 * @ats: Whether that stream may have translations in an ATC
 */
struct arm_smmu_viommu_batch {
	struct arm_smmu_viommu *viommu;
	u64 cmds[ARM_SMMU_VIOMMU_CHUNK][CMDQ_ENT_DWORDS];
	u32 taken;
	u32 issued;
	u32 done;
	u32 pending;
	enum arm_smmu_vcmd_kind oldest;
	u32 kinds[ARM_SMMU_VCMD_ATC + 1];
	bool vsid_known;
	bool ats;
	u32 vsid;
	u32 sid;
};

static int arm_smmu_viommu_batch_issue(struct arm_smmu_viommu_batch *batch,
				       bool sync)
{
	struct arm_smmu_device *smmu = batch->viommu->use.smmu;
	u32 n = batch->taken - batch->issued;
	int ret;

	if (!n && !(sync && batch->pending))
		return 0;

	/* Extra queues may not accept all of these commands */
	ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq,
					  batch->cmds[batch->issued], n, sync);
	batch->issued += n;
	batch->pending += n;
	if (ret || !sync)
		return ret;

	batch->done += batch->pending;
	batch->pending = 0;
	batch->oldest = ARM_SMMU_VCMD_ATC;
	return 0;
}

static int arm_smmu_viommu_batch_sid(struct arm_smmu_viommu_batch *batch,
				     u64 *cmd)
{
	struct iommufd_viommu *core = &batch->viommu->core;
	u32 vsid = FIELD_GET(CMDQ_CFGI_0_SID, cmd[0]);
	struct iommufd_vdevice *vdev;
	struct arm_smmu_vdevice *smmu_vdev;
	unsigned long flags;

	if (!batch->vsid_known || batch->vsid != vsid) {
		flags = iommufd_viommu_lock_vdevs(core);
		vdev = iommufd_viommu_find_vdevice(core, vsid);
		if (vdev) {
			smmu_vdev = container_of(vdev, struct arm_smmu_vdevice,
						 core);
			batch->sid = smmu_vdev->sid;
			batch->ats = READ_ONCE(smmu_vdev->master->ste_ats_enabled);
		}
		iommufd_viommu_unlock_vdevs(core, flags);
		batch->vsid_known = vdev;
		batch->vsid = vsid;
		if (!vdev)
			return -EIO;
	}

	u64p_replace_bits(&cmd[0], batch->sid, CMDQ_CFGI_0_SID);
	return 0;
}

/*
 * Send a range address by address: @n commands from @cmd on, @step bytes apart
 */
static noinline_for_stack int
arm_smmu_viommu_batch_repeat(struct arm_smmu_viommu_batch *batch,
			     const u64 *cmd, u32 n, u64 step)
{
	struct arm_smmu_device *smmu = batch->viommu->use.smmu;
	u64 cmds[ARM_SMMU_VCMD_REPEAT_MAX][CMDQ_ENT_DWORDS];
	int ret;
	u32 i;

	ret = arm_smmu_viommu_batch_issue(batch, false);
	if (ret)
		return ret;

	for (i = 0; i < n; i++) {
		cmds[i][0] = cmd[0];
		cmds[i][1] = cmd[1] + i * step;
	}
	ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmds[0], n, false);
	if (ret)
		return ret;

	batch->taken++;
	batch->issued++;
	batch->pending++;
	return 0;
}

/*
 * Take a command and its followers among the @n of the chunk; returns their
 * kind
 */
static int arm_smmu_viommu_batch_take(struct arm_smmu_viommu_batch *batch, u32 n)
{
	const struct arm_smmu_vcmd_caps *caps = &batch->viommu->caps;
	u64 *cmd = batch->cmds[batch->taken];
	const u64 guest[CMDQ_ENT_DWORDS] = { cmd[0], cmd[1] };
	u64 free[CMDQ_ENT_DWORDS], step;
	u32 repeat;
	int ret, kind;

	kind = arm_smmu_vcmd_to_host(caps, batch->viommu->use.vmid, cmd);
	if (kind < 0)
		return kind;

	/*
	 * The guest's CMD_SYNCs, which the batch does not have, would order
	 * these
	 */
	if (kind > batch->oldest) {
		ret = arm_smmu_viommu_batch_issue(batch, true);
		if (ret)
			return ret;
	}

	if (kind != ARM_SMMU_VCMD_TLBI) {
		ret = arm_smmu_viommu_batch_sid(batch, cmd);
		if (ret)
			return ret;
	}
	batch->oldest = min_t(enum arm_smmu_vcmd_kind, batch->oldest, kind);

	/*
	 * A device with ATS off need not answer, and would delay the queue of
	 * all users. Its ATC is empty, so send a command without effect on the
	 * guest instead.
	 */
	if (kind == ARM_SMMU_VCMD_ATC && !batch->ats) {
		cmd[0] = FIELD_PREP(CMDQ_0_OP, CMDQ_OP_CFGI_CD_ALL) |
			 FIELD_PREP(CMDQ_CFGI_0_SID, batch->sid);
		cmd[1] = 0;
		batch->taken++;
		return kind;
	}

	if (!caps->ril) {
		repeat = arm_smmu_vcmd_repeat(caps, guest, &step);
		if (repeat > 1) {
			ret = arm_smmu_viommu_batch_repeat(batch, cmd, repeat,
							   step);
			return ret ?: kind;
		}
	}

	batch->taken++;
	if (batch->taken < n && arm_smmu_vcmd_free_bits(caps, guest, free))
		batch->taken += arm_smmu_vcmd_follow(free, guest, cmd,
						     cmd + CMDQ_ENT_DWORDS,
						     n - batch->taken);
	return kind;
}

/* Returns how many of @n commands at @uptr there are */
static u32 arm_smmu_viommu_batch_copy(struct arm_smmu_viommu_batch *batch,
				      const void __user *uptr, u32 n)
{
	const size_t size = sizeof(batch->cmds[0]);
	u32 i;

	if (!copy_from_user(batch->cmds, uptr, n * size))
		return n;

	/* The fault position is not exact to the byte */
	for (i = 0; i < n; i++)
		if (copy_from_user(batch->cmds[i], uptr + i * size, size))
			break;
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
	u32 i, n;
	int ret;

	batch->taken = 0;
	batch->issued = 0;
	batch->vsid_known = false;

	n = arm_smmu_viommu_batch_copy(batch, uptr, want);
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
		return -EFAULT;
	return want < left ? arm_smmu_viommu_batch_issue(batch, false) : 0;
}

static noinline_for_stack int
arm_smmu_viommu_batch_all(struct arm_smmu_viommu *viommu,
			  const void __user *uptr, u32 left, u32 *done)
{
	/* Clearing the commands would cost more than most calls do */
	struct arm_smmu_viommu_batch batch __uninitialized;
	int sync_ret;
	int ret;

	batch.viommu = viommu;
	batch.done = 0;
	batch.pending = 0;
	batch.oldest = ARM_SMMU_VCMD_ATC;
	memset(batch.kinds, 0, sizeof(batch.kinds));

	for (;;) {
		ret = arm_smmu_viommu_batch_chunk(&batch, uptr, left);
		left -= batch.taken;
		if (ret || !left)
			break;
		uptr += sizeof(batch.cmds);
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
 * The fast path for a single TLBI: a VMM that passes on each command separately
 * mostly sends these. Returns false if the command is not a TLBI.
 */
static bool arm_smmu_viommu_tlbi(struct arm_smmu_viommu *viommu,
				 const void __user *uptr, int *ret)
{
	struct arm_smmu_device *smmu = viommu->use.smmu;
	u64 cmd[CMDQ_ENT_DWORDS], step;

	if (copy_from_user(cmd, uptr, sizeof(cmd)))
		return false;
	le64_to_cpus(&cmd[0]);
	le64_to_cpus(&cmd[1]);
	if (!viommu->caps.ril &&
	    arm_smmu_vcmd_repeat(&viommu->caps, cmd, &step) > 1)
		return false;
	if (arm_smmu_vcmd_to_host(&viommu->caps, viommu->use.vmid, cmd) !=
	    ARM_SMMU_VCMD_TLBI)
		return false;

	*ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmd, 1, true);
	trace_arm_smmu_viommu_cmds(smmu->dev, viommu->use.vmid, 0, 1, 0, !*ret,
				   *ret);
	return true;
}

int arm_smmu_viommu_cache_invalidate(struct iommufd_viommu *core,
				     struct iommu_user_data_array *array)
{
	struct arm_smmu_viommu *viommu = to_smmu_viommu(core);
	u32 num = array->entry_num;
	int ret;

	array->entry_num = 0;
	if (array->type != IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3)
		return -EINVAL;
	if (!num)
		return 0;
	if (array->entry_len != sizeof(struct iommu_viommu_arm_smmuv3_invalidate))
		return -EINVAL;

	if (num == 1 && arm_smmu_viommu_tlbi(viommu, array->uptr, &ret)) {
		array->entry_num = !ret;
		return ret;
	}
	return arm_smmu_viommu_batch_all(viommu, array->uptr, num,
					 &array->entry_num);
}
