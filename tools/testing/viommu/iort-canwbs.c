// SPDX-License-Identifier: GPL-2.0
/*
 * Set CANWBS in an IORT: PCI devices cannot bypass the cache attributes that
 * the IOMMU gives their accesses. The kernel requires that before it nests a
 * guest's stage 1 in a stage 2.
 *
 *	iort-canwbs [-a RID=ID] IN OUT
 *
 * OUT is IN with the flag set in each root complex node, a new checksum, and an
 * OEM revision that is one higher, so that the kernel's ACPI table upgrade
 * takes it.
 *
 * With -a the root complex node maps the requester ID to this ID; other IDs
 * keep their mapping. The node must be the only one of its type and the last
 * node.
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
#define NODE_MAPPING_COUNT	8
#define NODE_MAPPING_OFFSET	12
#define NODE_HEADER_SIZE	16
#define NODE_ROOT_COMPLEX	2
#define RC_MEMORY_FLAGS		23
#define RC_MEMORY_FLAGS_CANWBS	0x4

/* Input base, IDs but one, output base, output reference, flags */
#define MAPPING_INPUT		0
#define MAPPING_COUNT		4
#define MAPPING_OUTPUT		8
#define MAPPING_SIZE		20

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

/*
 * Append a mapping of @n IDs from @input to the last node, otherwise as in
 * @like
 */
static void add_mapping(unsigned char *node, uint32_t *len, uint32_t input,
			uint32_t n, uint32_t output, const unsigned char *like)
{
	unsigned char *map = table + *len;

	if (!n)
		return;
	memcpy(map, like, MAPPING_SIZE);
	put32(map + MAPPING_INPUT, input);
	put32(map + MAPPING_COUNT, n - 1);
	put32(map + MAPPING_OUTPUT, output);
	put32(node + NODE_MAPPING_COUNT, get32(node + NODE_MAPPING_COUNT) + 1);
	*len += MAPPING_SIZE;
}

/*
 * Map @rid to @id in the node at @at, which is the last one and ends in its
 * mappings
 */
static void alias(const char *file, uint32_t at, uint32_t *len, uint32_t rid,
		  uint32_t id)
{
	unsigned char *node = table + at;
	uint32_t count = get32(node + NODE_MAPPING_COUNT);
	uint32_t offset = get32(node + NODE_MAPPING_OFFSET);
	static unsigned char old[sizeof(table)];
	uint32_t end = *len, found = 0, i;

	if (offset > end - at || count * MAPPING_SIZE != end - at - offset)
		fail(file, "the root complex node does not end with its mappings");
	memcpy(old, node + offset, count * MAPPING_SIZE);

	*len = at + offset;
	put32(node + NODE_MAPPING_COUNT, 0);
	for (i = 0; i < count; i++) {
		const unsigned char *map = old + i * MAPPING_SIZE;
		uint32_t input = get32(map + MAPPING_INPUT);
		uint32_t n = get32(map + MAPPING_COUNT) + 1;
		uint32_t output = get32(map + MAPPING_OUTPUT);
		uint32_t before = rid - input;

		if (rid < input || before >= n) {
			add_mapping(node, len, input, n, output, map);
			continue;
		}
		add_mapping(node, len, input, before, output, map);
		add_mapping(node, len, rid, 1, id, map);
		add_mapping(node, len, rid + 1, n - before - 1,
			    output + before + 1, map);
		found++;
	}
	if (found != 1)
		fail(file, "not one mapping of the root complex node has the requester ID");
	node[NODE_LENGTH] = *len - at;
	node[NODE_LENGTH + 1] = (*len - at) >> 8;
	put32(table + TABLE_LENGTH, *len);
}

int main(int argc, char **argv)
{
	unsigned int rid = 0, id = 0;
	uint32_t len, count, at, last = 0, i;
	int changed = 0, aliased = 0;
	char junk;
	FILE *f;

	if (argc == 5 && !strcmp(argv[1], "-a") &&
	    sscanf(argv[2], "%i=%i%c", (int *)&rid, (int *)&id, &junk) == 2) {
		aliased = 1;
		argc -= 2;
		argv += 2;
	}
	if (argc != 3) {
		fprintf(stderr, "usage: iort-canwbs [-a RID=ID] IN OUT\n");
		return 2;
	}

	f = fopen(argv[1], "rb");
	if (!f)
		fail(argv[1], "cannot open");
	len = fread(table, 1, sizeof(table) - 2 * MAPPING_SIZE, f);
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
		last = at;
		at += size;
	}
	if (!changed)
		fail(argv[1], "no root complex node");
	if (aliased) {
		if (changed != 1 || table[last + NODE_TYPE] != NODE_ROOT_COMPLEX || at != len)
			fail(argv[1], "the last node is not the only root complex node");
		alias(argv[1], last, &len, rid, id);
	}

	put32(table + TABLE_OEM_REVISION, get32(table + TABLE_OEM_REVISION) + 1);
	table[TABLE_CHECKSUM] = 0;
	table[TABLE_CHECKSUM] = -sum(len);

	f = fopen(argv[2], "wb");
	if (!f || fwrite(table, 1, len, f) != len || fclose(f))
		fail(argv[2], "cannot write");
	return 0;
}
