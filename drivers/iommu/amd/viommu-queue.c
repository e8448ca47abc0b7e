// SPDX-License-Identifier: GPL-2.0-only
/*
 * vIOMMU on the AMD IOMMU: many commands in one submission
 *
 * Owns:	nothing.
 * Locks:	amd_iommu::lock guards the command buffer. It is held while the
 *		commands are written, not while they are executed.
 *
 * A submission takes a stretch of the command buffer at once and ends with a
 * COMPLETION_WAIT. So commands of others are before or behind it.
 */
#include <linux/delay.h>
#include <linux/sched.h>

#include "viommu.h"

/* Spin for so long before giving way */
#define AMD_VQUEUE_SPIN		32

/*
 * How often to look, with a microsecond in between. The driver's own waits are a
 * tenth of this: they are with a lock held. A device TLB that does not answer,
 * somebody else's perhaps, holds up all that is behind it for longer.
 */
#define AMD_VQUEUE_TRIES	(10 * LOOP_TIMEOUT)

static bool amd_vqueue_has_room(struct amd_iommu *iommu, u32 n)
{
	/*
	 * A quarter is for others, so that they need not wait for a guest's
	 * commands to get a place
	 */
	u32 need = n * sizeof(struct iommu_cmd) + CMD_BUFFER_SIZE / 4;
	u32 used = sizeof(struct iommu_cmd) + iommu->cmd_buf_tail;

	lockdep_assert_held(&iommu->lock);

	if ((iommu->cmd_buf_head - used) % CMD_BUFFER_SIZE >= need)
		return true;
	iommu->cmd_buf_head = readl(iommu->mmio_base + MMIO_CMD_HEAD_OFFSET);
	return (iommu->cmd_buf_head - used) % CMD_BUFFER_SIZE >= need;
}

static struct iommu_cmd *amd_vqueue_slot(struct amd_iommu *iommu, u32 at)
{
	return (struct iommu_cmd *)(iommu->cmd_buf + at % CMD_BUFFER_SIZE);
}

static void amd_vqueue_write(struct amd_iommu *iommu,
			     const struct iommu_cmd *cmds, u32 n)
{
	u32 tail = iommu->cmd_buf_tail;
	u32 first = min_t(u32, n, (CMD_BUFFER_SIZE - tail) / sizeof(*cmds));

	memcpy(iommu->cmd_buf + tail, cmds, first * sizeof(*cmds));
	memcpy(iommu->cmd_buf, cmds + first, (n - first) * sizeof(*cmds));
	iommu->cmd_buf_tail = (tail + n * sizeof(*cmds)) % CMD_BUFFER_SIZE;
}

static int amd_vqueue_wait(struct amd_iommu *iommu, u64 seq)
{
	unsigned int i;

	for (i = 0; i < AMD_VQUEUE_TRIES; i++) {
		if ((s64)(READ_ONCE(*iommu->cmd_sem) - seq) >= 0)
			return 0;
		if (i < AMD_VQUEUE_SPIN) {
			cpu_relax();
		} else {
			udelay(1);
			cond_resched();
		}
	}
	return -ETIMEDOUT;
}

/*
 * The IOMMU has not completed the @n commands from @start on. If it has stopped
 * since it takes one of them for illegal, let it skip that and the rest, so
 * that what others have queued is executed.
 */
static bool amd_vqueue_skip(struct amd_iommu *iommu, u32 start, u32 n, u32 *done)
{
	struct iommu_cmd *cmd;
	unsigned long flags;
	bool ours = false;
	u32 at, i;

	raw_spin_lock_irqsave(&iommu->lock, flags);
	if (readl(iommu->mmio_base + MMIO_STATUS_OFFSET) &
	    MMIO_STATUS_CMDBUF_RUN_MASK)
		goto out;
	at = (readl(iommu->mmio_base + MMIO_CMD_HEAD_OFFSET) - start) %
	     CMD_BUFFER_SIZE / sizeof(*cmd);
	if (at >= n)
		goto out;

	for (i = at; i < n; i++) {
		cmd = amd_vqueue_slot(iommu, start + i * sizeof(*cmd));
		/* One that stores nothing */
		memset(cmd, 0, sizeof(*cmd));
		cmd->data[1] = CMD_COMPL_WAIT << 28;
	}
	*done = at;
	amd_iommu_resume_command_buffer(iommu);
	ours = true;
out:
	raw_spin_unlock_irqrestore(&iommu->lock, flags);
	return ours;
}

/**
 * amd_viommu_hangs() - Is the IOMMU still busy with commands that timed out?
 * @iommu: The IOMMU
 * @seq: Number of a COMPLETION_WAIT behind them
 *
 * Return: whether more commands would only fill the command buffer.
 */
bool amd_viommu_hangs(struct amd_iommu *iommu, u64 seq)
{
	unsigned long flags;
	bool hangs;

	raw_spin_lock_irqsave(&iommu->lock, flags);
	hangs = (s64)(READ_ONCE(*iommu->cmd_sem) - seq) < 0 &&
		readl(iommu->mmio_base + MMIO_CMD_HEAD_OFFSET) !=
		iommu->cmd_buf_tail;
	raw_spin_unlock_irqrestore(&iommu->lock, flags);
	return hangs;
}

/**
 * amd_viommu_submit() - Execute commands, and wait for their completion
 * @iommu: The IOMMU
 * @cmds: The commands
 * @n: How many there are, up to AMD_VCMD_CHUNK
 * @done: Set to how many are complete, on failure
 *
 * Return: 0; -EIO if the IOMMU refuses a command, then none from @done on was
 * started; or -ETIMEDOUT, then all may have been, and @done is 0.
 */
int amd_viommu_submit(struct amd_iommu *iommu, const struct iommu_cmd *cmds,
		      u32 n, u32 *done)
{
	struct iommu_cmd wait;
	unsigned int tries = 0;
	unsigned long flags;
	u32 start;
	u64 seq;

	*done = 0;
	for (;;) {
		raw_spin_lock_irqsave(&iommu->lock, flags);
		if (amd_vqueue_has_room(iommu, n + 1))
			break;
		raw_spin_unlock_irqrestore(&iommu->lock, flags);
		if (++tries == LOOP_TIMEOUT)
			return -ETIMEDOUT;
		udelay(1);
		cond_resched();
	}

	start = iommu->cmd_buf_tail;
	amd_vqueue_write(iommu, cmds, n);
	seq = get_cmdsem_val(iommu);
	build_completion_wait(&wait, iommu, seq);
	amd_vqueue_write(iommu, &wait, 1);
	/* Whoever has queued something before can wait for this one */
	iommu->need_sync = false;
	writel(iommu->cmd_buf_tail, iommu->mmio_base + MMIO_CMD_TAIL_OFFSET);
	raw_spin_unlock_irqrestore(&iommu->lock, flags);

	if (!amd_vqueue_wait(iommu, seq))
		return 0;
	if (amd_vqueue_skip(iommu, start, n, done)) {
		if (!amd_vqueue_wait(iommu, seq))
			return -EIO;
		*done = 0;
		return -ETIMEDOUT;
	}
	/* Whoever else's command was refused may let the IOMMU skip that */
	return amd_vqueue_wait(iommu, seq);
}
