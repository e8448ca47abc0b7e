/* SPDX-License-Identifier: GPL-2.0 */
/*
 * QEMU without a CPU: a test program accesses the machine by QEMU's protocol for tests,
 * over QEMU's standard input and output. The file that includes this one has defined the
 * type Machine, with these members:
 *
 *	pid_t qemu;
 *	FILE *in, *out;		from and to QEMU
 *	uint64_t next_table;	where memory for tables is free
 *
 * QEMU runs from start_machine() to stop_machine(). If it ends before, so does the test.
 */
#ifndef TEST_QTEST_H
#define TEST_QTEST_H

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static inline uint64_t ask(Machine *m, const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vfprintf(m->out, format, args);
	va_end(args);
	fputc('\n', m->out);
	fflush(m->out);
	do {
		if (!fgets(line, sizeof(line), m->in)) {
			printf("# QEMU ended\n");
			_exit(1);
		}
	} while (!strncmp(line, "IRQ", 3));
	if (strncmp(line, "OK", 2)) {
		printf("# QEMU: %s", line);
		_exit(1);
	}
	return line[2] == ' ' ? strtoull(line + 3, NULL, 0) : 0;
}

static inline void put64(Machine *m, uint64_t at, uint64_t value)
{
	ask(m, "writeq 0x%llx 0x%llx", (unsigned long long)at, (unsigned long long)value);
}

static inline void put32(Machine *m, uint64_t at, uint32_t value)
{
	ask(m, "writel 0x%llx 0x%x", (unsigned long long)at, value);
}

static inline void put16(Machine *m, uint64_t at, uint16_t value)
{
	ask(m, "writew 0x%llx 0x%x", (unsigned long long)at, value);
}

static inline uint64_t get64(Machine *m, uint64_t at)
{
	return ask(m, "readq 0x%llx", (unsigned long long)at);
}

static inline uint32_t get32(Machine *m, uint64_t at)
{
	return ask(m, "readl 0x%llx", (unsigned long long)at);
}

static inline uint16_t get16(Machine *m, uint64_t at)
{
	return ask(m, "readw 0x%llx", (unsigned long long)at);
}

static inline uint64_t new_table(Machine *m)
{
	uint64_t table = m->next_table;

	m->next_table += 0x1000;
	return table;
}

/* @options: QEMU's own, up to a NULL, on top of those for a machine without devices */
static inline void start_machine(Machine *m, const char *const *options)
{
	const char *argv[64] = {
		getenv("QEMU"), "-M", "q35", "-accel", "qtest", "-qtest", "stdio", "-qtest-log", "none",
		"-m", "128M", "-display", "none", "-nodefaults",
		"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
		"-L", getenv("FIRMWARE") ?: ".",
	};
	int in[2], out[2], n = 0;

	while (argv[n])
		n++;
	while (*options && n < 63)
		argv[n++] = *options++;
	if (*options || !argv[0] || pipe(in) || pipe(out))
		_exit(1);
	m->qemu = fork();
	if (!m->qemu) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	m->out = fdopen(in[1], "w");
	m->in = fdopen(out[0], "r");
}

static inline void stop_machine(Machine *m)
{
	fclose(m->out);
	fclose(m->in);
	kill(m->qemu, SIGTERM);
	waitpid(m->qemu, NULL, 0);
}

#endif
