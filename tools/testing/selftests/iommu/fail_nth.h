/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection: let the n-th allocation, user access or lookup of a thread
 * fail (/proc/thread-self/fail-nth). Include this after the kselftest harness.
 */
#ifndef __SELFTEST_IOMMU_FAIL_NTH
#define __SELFTEST_IOMMU_FAIL_NTH

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The limit of n; a step that reaches it is longer than expected */
#define NTH_LIMIT 1000

static bool have_fault_injection;

static int write_file(const char *path, const char *value)
{
	ssize_t len = strlen(value);
	ssize_t rc;
	int fd;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	rc = write(fd, value, len);
	close(fd);
	return rc == len ? 0 : -EIO;
}

/* Let every allocation fail, without a message */
static __attribute__((constructor)) void fault_injection_setup(void)
{
	static const char *const quiet[] = {
		"failslab",
		"fail_page_alloc",
		"fail_usercopy",
		"fail_iommufd",
	};
	char path[100];
	unsigned int i;

	if (write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	    access("/proc/thread-self/fail-nth", W_OK))
		return;
	write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	for (i = 0; i < sizeof(quiet) / sizeof(*quiet); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose",
			 quiet[i]);
		write_file(path, "0");
	}
	have_fault_injection = true;
}

/* From here on the n-th operation fails */
static int nth_arm(int nth_fd, unsigned int n)
{
	char buf[20];
	int len = snprintf(buf, sizeof(buf), "%u", n);

	return pwrite(nth_fd, buf, len, 0) == len ? 0 : -errno;
}

/* Stop injecting faults. Returns 1 if one was hit, 0 if not, or an error. */
static int nth_disarm(int nth_fd)
{
	char buf[20] = "";
	int try;

	/* Copying n may fail too; no fault was hit before that */
	if (pread(nth_fd, buf, sizeof(buf) - 1, 0) < 0 && errno != EFAULT)
		return -errno;
	for (try = 0; try < 3; try++)
		if (pwrite(nth_fd, "0", 1, 0) == 1)
			return buf[0] == '0';
	return -errno;
}

#endif
