// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that interferes with functions of the guest's kernel, so that a
 * test need not wait for a rare race or for an error. Arguments, with addresses and
 * values in hexadecimal, times in microseconds:
 *
 *   delay=START:END:TIME	a CPU sleeps each time that it begins a translation
 *				block from START up to, not including, END. A block
 *				begins behind each branch and call.
 *   return=START:VALUE		the function at START returns VALUE at once
 *   callers=START:NAME		prints how often each caller called the function at
 *				START, when QEMU ends: a line `callers: NAME ADDRESS
 *				COUNT` for each return address
 *
 * The board passes them, see its options --delay, --stretch, --return and --callers.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of GLib, which is part of QEMU's process */
typedef struct {
	uint8_t *data;
	unsigned int len;
} GByteArray;

typedef struct {
	char *data;
	unsigned int len;
} GArray;

GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_append(GByteArray *array, const void *data, unsigned int len);
uint8_t *g_byte_array_free(GByteArray *array, int free_segment);
char *g_array_free(GArray *array, int free_segment);

/* QEMU's interface to plugins, version 7. Its header is in QEMU's source only. */
#define EXPORT	__attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_register;

enum { CB_NO_REGS, CB_R_REGS, CB_RW_REGS, CB_RW_REGS_PC };

struct reg_descriptor {
	struct qemu_plugin_register *handle;
	const char *name;
	const char *feature;
	bool is_readonly;
};

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(struct qemu_plugin_tb *tb, void *data),
					   void *data);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned int cpu, void *data),
					  int flags, void *data);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
GArray *qemu_plugin_get_registers(void);
bool qemu_plugin_read_register(struct qemu_plugin_register *handle, GByteArray *buf);
bool qemu_plugin_read_memory_vaddr(uint64_t addr, GByteArray *buf, size_t len);
bool qemu_plugin_write_register(struct qemu_plugin_register *handle, GByteArray *buf);
void qemu_plugin_set_pc(uint64_t vaddr);

EXPORT int qemu_plugin_version = 7;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

struct poke {
	uint64_t start;
	uint64_t end;
	uint64_t value;	/* to return, or the time */
	char name[64];
	void (*act)(unsigned int cpu, void *data);
	int flags;
};

struct caller {
	const struct poke *function;
	uint64_t addr;
	unsigned int count;
};

static struct poke pokes[16];
static unsigned int npokes;
static bool is_arm;
static struct caller callers[256];
static pthread_mutex_t callers_lock = PTHREAD_MUTEX_INITIALIZER;

static void nap(unsigned int cpu, void *data)
{
	const struct poke *poke = data;

	usleep(poke->value);
}

static struct qemu_plugin_register *find(const GArray *regs, const char *name)
{
	const struct reg_descriptor *reg = (void *)regs->data;
	unsigned int i;

	for (i = 0; i < regs->len; i++)
		if (!strcmp(reg[i].name, name))
			return reg[i].handle;
	fprintf(stderr, "poke: no register %s\n", name);
	exit(1);
}

static uint64_t get(const GArray *regs, const char *name)
{
	GByteArray *buf = g_byte_array_new();
	uint64_t value = 0;

	qemu_plugin_read_register(find(regs, name), buf);
	memcpy(&value, buf->data, sizeof(value));
	g_byte_array_free(buf, 1);
	return value;
}

static void set(const GArray *regs, const char *name, uint64_t value)
{
	GByteArray *buf = g_byte_array_new();

	g_byte_array_append(buf, &value, sizeof(value));
	qemu_plugin_write_register(find(regs, name), buf);
	g_byte_array_free(buf, 1);
}

/* At the start of a function: its return address, and on x86 the stack pointer */
static uint64_t return_address(const GArray *regs, uint64_t *stack)
{
	GByteArray *buf;
	uint64_t to;

	if (is_arm)
		return get(regs, "x30");
	*stack = get(regs, "rsp");
	buf = g_byte_array_new();
	qemu_plugin_read_memory_vaddr(*stack, buf, sizeof(to));
	memcpy(&to, buf->data, sizeof(to));
	g_byte_array_free(buf, 1);
	return to;
}

static void give_back(unsigned int cpu, void *data)
{
	const struct poke *poke = data;
	GArray *regs = qemu_plugin_get_registers();
	uint64_t stack, to;

	to = return_address(regs, &stack);
	if (is_arm) {
		set(regs, "x0", poke->value);
	} else {
		set(regs, "rsp", stack + sizeof(to));
		set(regs, "rax", poke->value);
	}
	g_array_free(regs, 1);
	qemu_plugin_set_pc(to);
}

static void note_caller(unsigned int cpu, void *data)
{
	const struct poke *poke = data;
	GArray *regs = qemu_plugin_get_registers();
	uint64_t stack, from = return_address(regs, &stack);
	unsigned int i;

	g_array_free(regs, 1);
	pthread_mutex_lock(&callers_lock);
	for (i = 0; i < 256 && callers[i].count; i++)
		if (callers[i].function == poke && callers[i].addr == from)
			break;
	if (i < 256) {
		callers[i].function = poke;
		callers[i].addr = from;
		callers[i].count++;
	}
	pthread_mutex_unlock(&callers_lock);
}

static __attribute__((destructor)) void print_callers(void)
{
	unsigned int i;

	for (i = 0; i < 256 && callers[i].count; i++)
		fprintf(stderr, "callers: %s %016" PRIx64 " %u\n", callers[i].function->name,
			callers[i].addr, callers[i].count);
}

static void translate(struct qemu_plugin_tb *tb, void *data)
{
	uint64_t addr = qemu_plugin_tb_vaddr(tb);
	unsigned int i;

	for (i = 0; i < npokes; i++)
		if (addr >= pokes[i].start && addr < pokes[i].end)
			qemu_plugin_register_vcpu_tb_exec_cb(tb, pokes[i].act, pokes[i].flags, &pokes[i]);
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	/* The first member of *info is the name of the target */
	is_arm = !strcmp(*(const char *const *)info, "aarch64");
	for (; npokes < (unsigned int)argc && npokes < 16; npokes++) {
		struct poke *poke = &pokes[npokes];

		if (sscanf(argv[npokes], "delay=%" SCNx64 ":%" SCNx64 ":%" SCNu64,
			   &poke->start, &poke->end, &poke->value) == 3) {
			poke->act = nap;
			poke->flags = CB_NO_REGS;
			continue;
		}
		if (sscanf(argv[npokes], "return=%" SCNx64 ":%" SCNx64, &poke->start, &poke->value) == 2) {
			poke->act = give_back;
			poke->flags = CB_RW_REGS_PC;
		} else if (sscanf(argv[npokes], "callers=%" SCNx64 ":%63s", &poke->start, poke->name) == 2) {
			poke->act = note_caller;
			poke->flags = CB_R_REGS;
		} else {
			return -1;
		}
		poke->end = poke->start + 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate, NULL);
	return 0;
}
