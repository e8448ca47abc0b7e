/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the model of AMD's nested translation itself, which hardware does not
 * have: counters, what to do wrong, and how to read what is not known of the hardware.
 * They are at physical address AMDM_BASE, behind the registers of the emulated IOMMU; a
 * program reaches them by mmap() of /dev/mem. 32 bits each unless stated otherwise,
 * little endian. (w) marks those that can be written. Those of a second unit, like its
 * registers of an IOMMU, are AMDM_STRIDE higher. Plain C: both the model in amd.c and
 * test programs include this file.
 */
#ifndef AMD_MODEL_H
#define AMD_MODEL_H

#define AMDM_BASE		0xfed84000
#define AMDM_SIZE		0x3000
#define AMDM_STRIDE		0x8000
#define AMDM_UNITS		2		/* at most */

#define AMDM_ID			0x000		/* AMDM_ID_VALUE, to recognize the model */
#define AMDM_ID_VALUE		0x4d444d41
#define AMDM_RESET		0x004		/* (w) any value: resets all counters and the log, disarms AMDM_INJECT */
/*
 * (w) An error of the command ring: 7:0 AMDM_INJECT_*, 15:8 the opcode at which, 0 is
 * any, 31:16 how many such commands are first executed without an error. Once, except
 * that a ring that AMDM_INJECT_STALL has stopped goes on at AMDM_INJECT_NONE only.
 */
#define AMDM_INJECT		0x008
#define AMDM_INJECT_NONE	0
#define AMDM_INJECT_ILLEGAL	1		/* the command is illegal */
#define AMDM_INJECT_TIMEOUT	2		/* op 4: a device TLB that does not answer, as PEDU_INV_SILENT */
#define AMDM_INJECT_STALL	3		/* the ring stops before the command, without an event */
/* (w) Entries of the TLB kept at most; when there are more, all are dropped */
#define AMDM_TLB_SIZE		0x00c
/*
 * (w) AMDM_KNOB_*. 0 is what drivers assume, or the stricter reading where they assume
 * nothing. AMDM_RESET does not change them.
 */
#define AMDM_KNOBS		0x010
#define AMDM_KNOB_GN0_KEEPS	0x01		/* op 3 with GN = 0 drops no entry of a PASID */
#define AMDM_KNOB_IOTLB_PASIDS	0x02		/* op 4 with GN = 0 drops the entries of PASIDs too */
#define AMDM_KNOB_EVENT_DOMAIN	0x04		/* faults of GIOV requests in the first stage: GN = 0, DomainID */
#define AMDM_KNOB_NO_DTE_CACHE	0x08		/* every request reads the DTE: shows updates that are not ordered */
#define AMDM_KNOB_NO_TABLES	0x10		/* no cache of page-directory entries: PDE has no effect */
#define AMDM_KNOB_HOLD		0x20		/* a device TLB that does not answer holds up the ring until the knob is cleared */

/* Counters: AMDM_COUNTER(AMDM_*) */
#define AMDM_COUNTER(c)		(0x040 + 4 * (c))
enum amd_model_counter {
	/* Cache lookups; those of the TLB also for the tables of a first stage */
	AMDM_DTE_HITS,
	AMDM_DTE_MISSES,
	AMDM_TLB_HITS,
	AMDM_TLB_MISSES,
	AMDM_TABLE_HITS,
	/* Of the hits, those that differ from what memory says now */
	AMDM_DTE_STALE,
	AMDM_TLB_STALE,
	AMDM_TABLE_STALE,
	/* Entries now in the caches; AMDM_RESET does not reset them */
	AMDM_DTE_ENTRIES,
	AMDM_TLB_ENTRIES,
	AMDM_TABLE_ENTRIES,
	/* Entries that commands removed */
	AMDM_DTE_DROPPED,
	AMDM_TLB_DROPPED,
	AMDM_TABLE_DROPPED,
	AMDM_TLB_OVERFLOWS,		/* see AMDM_TLB_SIZE */
	/* Requests by what the DTE says for them: translated without a fault */
	AMDM_PASS_THROUGH,
	AMDM_HOST,			/* host (v1) table only */
	AMDM_GUEST,			/* guest (v2) table only */
	AMDM_NESTED,
	/* Requests by kind */
	AMDM_UNTRANSLATED,
	AMDM_UNTRANSLATED_PASID,
	AMDM_TRANSLATION,		/* translation requests (ATS) */
	AMDM_TRANSLATED,
	/* Events */
	AMDM_EVENTS,			/* logged */
	AMDM_EVENTS_LOST,		/* overflow, or the log is off */
	AMDM_EVENTS_SUPPRESSED,		/* by SA and SE of the DTE */
	AMDM_FAULTS_ATS,		/* answers to translation requests without any permission */
	/* A/D bits written */
	AMDM_GUEST_AD,
	AMDM_HOST_AD,
	/*
	 * Assertions. A hit in the TLB of an entry that came through another host
	 * table: a DomainID that two VMs share, or that was not flushed before its
	 * next use. A DTE that a request finds changed where no command dropped it.
	 */
	AMDM_FOREIGN_HITS,
	/*
	 * Legal commands that may be a driver's mistake: op 3 for a DomainID, and op 2
	 * for a device, that no cache knows; a device TLB invalidated while the TLB
	 * holds a stale entry that would refill it; op 4 for a function without a
	 * device TLB or whose DTE has I = 0, or with another QueueID, or with Maxpend 0.
	 */
	AMDM_UNKNOWN_DOMAIN,
	AMDM_UNKNOWN_DEVICE,
	AMDM_DEVICE_TLB_EARLY,
	AMDM_DEVICE_TLB_NONE,
	AMDM_QUEUE_ID,
	/* Errors of the ring */
	AMDM_ILLEGAL,
	AMDM_TIMEOUTS,
	AMDM_STALLS,
	/* Page requests, see AMDM_PPR */
	AMDM_PPRS,			/* logged */
	AMDM_PPRS_LOST,			/* overflow, or the log is off */
	AMDM_PPRS_INVALID,		/* made an event */
	AMDM_PPRS_PENDING,		/* not answered; AMDM_RESET does not reset it */
	AMDM_PPR_UNKNOWN,		/* op 7 that answers none of these */
	AMDM_COUNTERS
};

/* Commands executed, by opcode, 0 to 15 */
#define AMDM_COMMANDS(op)	(0x200 + 4 * (op))

/* The last DTE that was read from memory: DeviceID, and its 4 quadwords of 64 bits */
#define AMDM_DTE_ID		0x300
#define AMDM_DTE(i)		(0x308 + 8 * (i))

/* The last event, logged or not: 64 bits each */
#define AMDM_EVENT(i)		(0x340 + 8 * (i))

/*
 * (w) A page request, as if the function with that DeviceID had sent it. Set the address,
 * then write quadword 0 of an entry of the PPR log, whose type does not matter. 64 bits
 * each, in one access. A request with AMDM_PPR_LAST is pending until op 7 answers it.
 */
#define AMDM_PPR_ADDR		0x350
#define AMDM_PPR		0x358
#define AMDM_PPR_LAST		0x20000000000ULL

/*
 * The last AMDM_LOG_ENTRIES commands, in the order in which they were executed: number
 * n, counted from AMDM_RESET on, is at AMDM_LOG(n % AMDM_LOG_ENTRIES); two quadwords.
 */
#define AMDM_LOG_COUNT		0x3f0
#define AMDM_LOG_ENTRIES	512
#define AMDM_LOG(n)		(0x1000 + 16 * (n))

#endif
