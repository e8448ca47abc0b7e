/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the model of VT-d's scalable mode itself, which hardware does not
 * have: counters, and what to do wrong. They are at physical address VTDM_BASE, behind
 * the page of the emulated VT-d; a program reaches them by mmap() of /dev/mem. 32
 * bits each unless stated otherwise, little endian. (w) marks those that can be
 * written. Those of the second unit, like its VT-d registers, are VTDM_STRIDE higher
 * than the first one's, and so on. Plain C: both the model in vtd.c and test programs
 * include this file.
 */
#ifndef VTD_MODEL_H
#define VTD_MODEL_H

#define VTDM_BASE		0xfed91000
#define VTDM_SIZE		0x3000
#define VTDM_STRIDE		0x4000
#define VTDM_UNITS		8		/* at most */

#define VTDM_ID			0x000		/* VTDM_ID_VALUE, to recognize the model */
#define VTDM_ID_VALUE		0x4d445456
#define VTDM_RESET		0x004		/* (w) any value: resets all counters and the log, disarms VTDM_INJECT */
/*
 * (w) An error that the invalidation queue reports: 7:0 VTDM_INJECT_*, 15:8 the
 * type of descriptor at which, 0 is any, 31:16 how many such descriptors are first
 * executed without an error. Once; VTDM_INJECT_NONE disarms.
 */
#define VTDM_INJECT		0x008
#define VTDM_INJECT_NONE	0
#define VTDM_INJECT_IQE		1		/* the descriptor is invalid: the queue stops at it */
#define VTDM_INJECT_ITE		2		/* a device TLB that does not answer, as PEDU_INV_SILENT */
#define VTDM_INJECT_ICE		3		/* a completion error of a device TLB */
/* (w) Entries of the IOTLB kept at most; when there are more, all are dropped */
#define VTDM_IOTLB_SIZE		0x00c

/* Counters: VTDM_COUNTER(VTDM_*) */
#define VTDM_COUNTER(c)		(0x040 + 4 * (c))
enum vtd_model_counter {
	/* Cache lookups */
	VTDM_CONTEXT_HITS,
	VTDM_CONTEXT_MISSES,
	VTDM_PASID_HITS,
	VTDM_PASID_MISSES,
	VTDM_IOTLB_HITS,
	VTDM_IOTLB_MISSES,
	/* Of the hits, those that differ from what memory says now */
	VTDM_CONTEXT_STALE,
	VTDM_PASID_STALE,
	VTDM_IOTLB_STALE,
	/* Entries now in the caches; VTDM_RESET does not reset them */
	VTDM_CONTEXT_ENTRIES,
	VTDM_PASID_ENTRIES,
	VTDM_IOTLB_ENTRIES,
	/* Entries that invalidations removed */
	VTDM_CONTEXT_DROPPED,
	VTDM_PASID_DROPPED,
	VTDM_IOTLB_DROPPED,
	VTDM_IOTLB_OVERFLOWS,		/* of the IOTLB, see VTDM_IOTLB_SIZE */
	/* Requests by the PASID-table entry's type: translated without a fault */
	VTDM_FIRST_STAGE,
	VTDM_SECOND_STAGE,
	VTDM_NESTED,
	VTDM_PASS_THROUGH,
	/* Requests by kind */
	VTDM_UNTRANSLATED,
	VTDM_UNTRANSLATED_PASID,
	VTDM_TRANSLATION,		/* translation requests (ATS) */
	VTDM_TRANSLATED,
	/* Faults */
	VTDM_FAULTS,			/* recorded */
	VTDM_FAULTS_LOST,		/* overflow: PFO is or was set */
	VTDM_FAULTS_MERGED,		/* equal to one that is still recorded */
	VTDM_FAULTS_DISABLED,		/* by FPD */
	VTDM_FAULTS_ATS,		/* answers to translation requests without any permission */
	VTDM_LAST_FAULT,		/* reason of the last one, recorded or not */
	/* A/D bits written */
	VTDM_FIRST_STAGE_AD,
	VTDM_SECOND_STAGE_AD,
	/*
	 * Legal descriptors that may be a driver's mistake: type 6 for a (DID,
	 * PASID) whose entry in the PASID cache is for the second stage only, which
	 * it does not invalidate; descriptors with a DID that no cached entry has;
	 * a device TLB invalidated while the IOTLB holds a stale entry that would
	 * refill it; a device TLB invalidation for a function that has none.
	 */
	VTDM_TYPE6_SECOND_STAGE,
	VTDM_UNKNOWN_DID,
	VTDM_DEVICE_TLB_EARLY,
	VTDM_DEVICE_TLB_NONE,
	/* Errors of the queue */
	VTDM_IQE,
	VTDM_ITE,
	VTDM_ICE,
	VTDM_COUNTERS
};

/*
 * Descriptors executed, by type (1 to 9) and granularity: bits 5:4 of the
 * descriptor; for types 3 and 8 S, plus 2 for G of type 8; for type 5 and others 0.
 */
#define VTDM_DESCRIPTORS(type, g)	(0x200 + 16 * (type) + 4 * (g))

/* The last PASID-table entry that was read from memory: SID, PASID, and its 8 quadwords */
#define VTDM_ENTRY_SID		0x300
#define VTDM_ENTRY_PASID	0x304
#define VTDM_ENTRY(i)		(0x308 + 8 * (i))	/* 64 bits */

/* The last fault, recorded or not: 64 bits each, as in a fault recording register */
#define VTDM_FAULT_LO		0x350
#define VTDM_FAULT_HI		0x358

/*
 * The last VTDM_LOG_ENTRIES descriptors, in the order in which they were executed:
 * number n, counted from VTDM_RESET on, is at VTDM_LOG(n % VTDM_LOG_ENTRIES); the
 * first two quadwords, 64 bits each.
 */
#define VTDM_LOG_COUNT		0x3f0
#define VTDM_LOG_ENTRIES	512
#define VTDM_LOG(n)		(0x1000 + 16 * (n))

#endif
