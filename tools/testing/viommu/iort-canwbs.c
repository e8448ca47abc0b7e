// SPDX-License-Identifier: GPL-2.0
/*
 * Set CANWBS in an IORT: PCI devices cannot bypass the cache attributes that
 * the IOMMU gives their accesses. The kernel requires that before it nests a
 * guest's stage 1 in a stage 2.
 *
 *	iort-canwbs IN OUT
 *
 * OUT is IN with the flag set in each root complex node, a new checksum, and an
 * OEM revision that is one higher, so that the kernel's ACPI table upgrade
 * takes it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_LENGTH		4
#define TABLE_CHECKSUM		9
#define TABLE_OEM_REVISION	24
#define IORT_NODE_COUNT		36
#define IORT_NODE_OFFSET	40
#define IORT_HEADER_SIZE	48

#define NODE_TYPE		0
#define NODE_LENGTH		1
#define NODE_HEADER_SIZE	16
#define NODE_ROOT_COMPLEX	2
#define RC_MEMORY_FLAGS		23
#define RC_MEMORY_FLAGS_CANWBS	0x4

static unsigned char table[1 << 16];

static uint32_t get32(const unsigned char *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(unsigned char *p, uint32_t val)
{
	int i;

	for (i = 0; i < 4; i++)
		p[i] = val >> 8 * i;
}

static unsigned char sum(size_t len)
{
	unsigned char s = 0;

	while (len)
		s += table[--len];
	return s;
}

static void fail(const char *file, const char *what)
{
	fprintf(stderr, "iort-canwbs: %s: %s\n", file, what);
	exit(1);
}

int main(int argc, char **argv)
{
	uint32_t len, count, at, i;
	int changed = 0;
	FILE *f;

	if (argc != 3) {
		fprintf(stderr, "usage: iort-canwbs IN OUT\n");
		return 2;
	}

	f = fopen(argv[1], "rb");
	if (!f)
		fail(argv[1], "cannot open");
	len = fread(table, 1, sizeof(table), f);
	fclose(f);
	if (len < IORT_HEADER_SIZE || memcmp(table, "IORT", 4) ||
	    get32(table + TABLE_LENGTH) != len)
		fail(argv[1], "not an IORT");
	if (sum(len))
		fail(argv[1], "wrong checksum");

	count = get32(table + IORT_NODE_COUNT);
	at = get32(table + IORT_NODE_OFFSET);
	for (i = 0; i < count; i++) {
		unsigned char *node = table + at;
		uint32_t left = at < len ? len - at : 0, size;

		if (left < NODE_HEADER_SIZE)
			fail(argv[1], "a node is outside the table");
		size = node[NODE_LENGTH] | node[NODE_LENGTH + 1] << 8;
		if (size < NODE_HEADER_SIZE || size > left)
			fail(argv[1], "a node has a wrong length");
		if (node[NODE_TYPE] == NODE_ROOT_COMPLEX) {
			if (size <= RC_MEMORY_FLAGS)
				fail(argv[1], "a root complex node is too short");
			node[RC_MEMORY_FLAGS] |= RC_MEMORY_FLAGS_CANWBS;
			changed++;
		}
		at += size;
	}
	if (!changed)
		fail(argv[1], "no root complex node");

	put32(table + TABLE_OEM_REVISION, get32(table + TABLE_OEM_REVISION) + 1);
	table[TABLE_CHECKSUM] = 0;
	table[TABLE_CHECKSUM] = -sum(len);

	f = fopen(argv[2], "wb");
	if (!f || fwrite(table, 1, len, f) != len || fclose(f))
		fail(argv[2], "cannot write");
	return 0;
}
