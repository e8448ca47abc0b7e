/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of pasid-edu, a PCIe function with a DMA engine for tests: its
 * requests can carry a PASID, and it can translate them by ATS and keep the
 * translations in its own TLB. Plain C: both the device in pasid-edu.c and test
 * programs include this file.
 *
 *     -device pasid-edu[,pasid-bits=20][,exec=on][,priv=on][,ats=on][,pri=off][,tlb-entries=256]
 *
 * It needs to be a PCI Express function; on a root port or on the root complex.
 * pasid-bits=0 leaves out the PASID capability, ats=off that of ATS; exec and
 * priv are bits of the PASID capability. pri=on adds the capability of page requests,
 * which the function never sends: the model of an IOMMU may say that it did. FLR and a reset clear all registers,
 * the buffer and the device TLB.
 *
 * BAR 0 has PEDU_BAR_SIZE bytes: registers of 4 or 8 bytes, aligned, little
 * endian, and a buffer of memory from PEDU_BUFFER on, which may be accessed in
 * any size. (w) marks registers that can be written.
 */
#ifndef PASID_EDU_H
#define PASID_EDU_H

#define PEDU_VENDOR_ID		0x1234
#define PEDU_DEVICE_ID		0x11ea

#define PEDU_BAR_SIZE		0x40000
#define PEDU_BUFFER		0x20000		/* offset of the buffer in BAR 0 */
#define PEDU_BUFFER_SIZE	0x20000
#define PEDU_CHANNELS		16

/* Global registers, 32 bits each */
#define PEDU_ID			0x000		/* PEDU_ID_VALUE */
#define PEDU_ID_VALUE		0x50454455
#define PEDU_CONFIG		0x004		/* what is enabled in the configuration space: PEDU_HAS_* */
#define PEDU_HAS_PASID		0x01
#define PEDU_HAS_EXEC		0x02
#define PEDU_HAS_PRIV		0x04
#define PEDU_HAS_ATS		0x08
#define PEDU_HAS_MASTER		0x10		/* bus mastering */
#define PEDU_IRQ_STATUS		0x008		/* (w) bit of each channel that ended; write 1 to clear */
#define PEDU_CONTROL		0x00c		/* (w) PEDU_CONTROL_*, reads as 0 */
#define PEDU_CONTROL_RESET_COUNTERS	0x1	/* of PEDU_COUNTER(*) */
#define PEDU_CONTROL_STOP_ALL		0x2	/* ends the transfers of all channels */
#define PEDU_CONTROL_DROP_TLB		0x4	/* empties the device TLB without being told */

/*
 * How the device answers invalidations of its TLB (w). In PEDU_INV_IGNORE it
 * says that it has, but keeps its entries; in PEDU_INV_SILENT it never answers,
 * and keeps them: the IOMMU runs into its time-out. FLR sets PEDU_INV_OBEY.
 */
#define PEDU_INV_MODE		0x010
#define PEDU_INV_OBEY		0
#define PEDU_INV_IGNORE		1
#define PEDU_INV_SILENT		2

/*
 * The device TLB. Write a number below PEDU_TLB_COUNT to PEDU_TLB_SELECT, then
 * read that entry. Entries are in the order in which they came; an invalidation
 * moves later ones up.
 */
#define PEDU_TLB_COUNT		0x020		/* entries in use */
#define PEDU_TLB_SELECT		0x024		/* (w) */
#define PEDU_TLB_PASID		0x028		/* PEDU_PASID_VALID and the PASID, as PEDU_CH_PASID; all ones if there is no entry */
#define PEDU_TLB_FLAGS		0x02c		/* PEDU_TLB_* */
#define PEDU_TLB_READ		0x01
#define PEDU_TLB_WRITE		0x02
#define PEDU_TLB_EXEC		0x04
#define PEDU_TLB_PRIV		0x08		/* from a request for privileged access */
#define PEDU_TLB_GLOBAL		0x10
#define PEDU_TLB_IOVA		0x030		/* 64 bits */
#define PEDU_TLB_ADDR		0x038		/* 64 bits, where it translates to */
#define PEDU_TLB_SIZE		0x040		/* 64 bits, bytes */

/* The last invalidation of the device TLB */
#define PEDU_INV_PASID		0x048		/* PEDU_PASID_VALID and the PASID for one that carries a PASID, else 0 */
#define PEDU_INV_FLAGS		0x04c		/* PEDU_INV_GLOBAL: for all PASIDs */
#define PEDU_INV_GLOBAL		0x1
#define PEDU_INV_IOVA		0x050		/* 64 bits, aligned to the size */
#define PEDU_INV_SIZE		0x058		/* 64 bits; 0 is all of the address space */

/* The last error of any channel */
#define PEDU_LAST_ERROR		0x060		/* PEDU_ERR_* */
#define PEDU_LAST_PASID		0x064		/* as PEDU_CH_PASID */
#define PEDU_LAST_ADDR		0x068		/* 64 bits, IOVA that failed */

/* Counters, 32 bits each: PEDU_COUNTER(PEDU_C_*) */
#define PEDU_COUNTER(c)		(0x100 + 4 * (c))
enum pasid_edu_counter {
	PEDU_C_TRANSFERS,	/* transfers that ended without an error */
	PEDU_C_ERRORS,		/* that ended with one */
	PEDU_C_UNTRANSLATED,	/* untranslated requests, one a page */
	PEDU_C_TRANSLATED,	/* translated requests, one a page */
	PEDU_C_ATS_REQUESTS,	/* translation requests */
	PEDU_C_ATS_FAILED,	/* of these, those without a usable answer */
	PEDU_C_TLB_HITS,	/* pages whose translation was in the device TLB */
	PEDU_C_TLB_EVICTED,	/* entries dropped because the TLB was full */
	PEDU_C_INV,		/* invalidations without a PASID */
	PEDU_C_INV_PASID,	/* invalidations for one PASID */
	PEDU_C_INV_GLOBAL,	/* invalidations for all PASIDs */
	PEDU_C_INV_RANGE,	/* of all these, those of more than a page */
	PEDU_C_INV_ALL,		/* of all these, those of the whole address space */
	PEDU_C_INV_DROPPED,	/* entries that they removed */
	PEDU_C_INV_REFUSED,	/* invalidations ignored or not answered, see PEDU_INV_MODE */
	PEDU_C_IRQS,		/* interrupts sent */
	PEDU_COUNTERS
};

/*
 * Channels: each is one DMA engine. Set the other registers, then write
 * PEDU_CH_CMD with PEDU_CMD_START. With PEDU_CH_DELAY 0, the default, the
 * transfer is done when the write to PEDU_CH_CMD returns; otherwise it is done
 * that many microseconds later. A start of a channel that is busy is ignored.
 */
#define PEDU_CH(ch)		(0x1000 + 0x80 * (ch))
#define PEDU_CH_ADDR		0x00		/* (w) 64 bits, IOVA */
#define PEDU_CH_BUFFER		0x08		/* (w) offset into the buffer */
#define PEDU_CH_LENGTH		0x0c		/* (w) bytes, at least 1, at most PEDU_BUFFER_SIZE */
#define PEDU_CH_PASID		0x10		/* (w) PEDU_PASID_VALID and the PASID, or 0: requests without a PASID */
#define PEDU_PASID_VALID	0x80000000u
#define PEDU_PASID_MASK		0x000fffffu
#define PEDU_CH_MODE		0x14		/* (w) PEDU_MODE_* */
#define PEDU_MODE_PRIV		0x01		/* requests for privileged access; needs a PASID */
#define PEDU_MODE_EXEC		0x02		/* reads are for execution; needs a PASID */
#define PEDU_MODE_ATS		0x04		/* by the device TLB, which is filled by ATS; else untranslated */
#define PEDU_MODE_NO_WRITE	0x08		/* ATS asks without write permission (NW) even to write: an entry may turn out read-only */
#define PEDU_MODE_RAW		0x10		/* PEDU_CH_ADDR is sent as an address that is already translated */
#define PEDU_CH_CMD		0x18		/* (w) PEDU_CMD_* */
#define PEDU_CMD_START		0x01
#define PEDU_CMD_TO_MEMORY	0x02		/* from the buffer to memory; else from memory to the buffer */
#define PEDU_CMD_IRQ		0x04		/* interrupt at the end: MSI vector of the channel's number modulo those that are enabled */
#define PEDU_CMD_REPEAT		0x08		/* start again after PEDU_CH_DELAY, of at least 1, until PEDU_CMD_STOP */
#define PEDU_CMD_ENDURE		0x10		/* with REPEAT: go on after an error */
#define PEDU_CMD_LOOKUP		0x20		/* with PEDU_MODE_ATS: fill the TLB and move no data */
#define PEDU_CMD_STOP		0x40		/* end what runs; a busy channel becomes idle */
#define PEDU_CH_STATUS		0x1c		/* PEDU_STATUS_* */
#define PEDU_STATUS_BUSY	0x01
#define PEDU_STATUS_DONE	0x02		/* the last transfer ended */
#define PEDU_STATUS_ERROR	0x04		/* and did with an error */
#define PEDU_STATUS_CODE(s)	(((s) >> 8) & 0xff)	/* PEDU_ERR_* */
#define PEDU_CH_ERROR_ADDR	0x20		/* 64 bits, IOVA of the last error: the first byte that could not be accessed */
#define PEDU_CH_BYTES		0x28		/* bytes moved by the last transfer, also up to an error */
#define PEDU_CH_DELAY		0x2c		/* (w) microseconds */
#define PEDU_CH_ROUNDS		0x30		/* transfers that ended, with or without an error; START without REPEAT and the first of REPEAT count from 0 */
#define PEDU_CH_ERRORS		0x34		/* those with an error */
#define PEDU_CH_XLAT		0x38		/* 64 bits, where the last page of the last transfer by ATS was translated to */

enum pasid_edu_error {
	PEDU_ERR_NONE,
	PEDU_ERR_BLOCKED,	/* an untranslated or raw request: the IOMMU refused it */
	PEDU_ERR_ATS_NONE,	/* translation request: there is no translation */
	PEDU_ERR_ATS_REFUSED,	/* translation request: Unsupported Request or Completer Abort */
	PEDU_ERR_PERMISSION,	/* the device TLB's entry does not permit the access */
	PEDU_ERR_DISABLED,	/* the configuration space does not permit the request, see PEDU_CONFIG */
	PEDU_ERR_RANGE,		/* buffer, length, or a PASID wider than the capability */
	PEDU_ERR_BUS,		/* there is nothing at the address after translation */
};

#endif
