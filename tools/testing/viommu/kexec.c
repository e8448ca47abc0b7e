// SPDX-License-Identifier: GPL-2.0
/*
 * For the guest of `make run`: load its next kernel, or start the loaded one.
 *
 *	kexec [-p] KERNEL INITRD COMMAND-LINE	load it; -p for the case of a crash
 *	kexec -e				start it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <sys/syscall.h>

static int failed(const char *what)
{
	fprintf(stderr, "kexec: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	unsigned long flags = 0;
	int kernel, initrd;

	if (argc == 2 && !strcmp(argv[1], "-e")) {
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			LINUX_REBOOT_CMD_KEXEC, NULL);
		return failed("start");
	}
	if (argc > 1 && !strcmp(argv[1], "-p")) {
		flags = KEXEC_FILE_ON_CRASH;
		argv++;
		argc--;
	}
	if (argc != 4) {
		fputs("usage: kexec [-p] KERNEL INITRD COMMAND-LINE | kexec -e\n", stderr);
		return 2;
	}
	kernel = open(argv[1], O_RDONLY);
	if (kernel < 0)
		return failed(argv[1]);
	initrd = open(argv[2], O_RDONLY);
	if (initrd < 0)
		return failed(argv[2]);
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1,
		    argv[3], flags))
		return failed("load");
	return 0;
}
