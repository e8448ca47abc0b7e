/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Races: several threads call the kernel for a bounded time
 *
 * A race proves nothing if one of its sides never made progress. So each kind
 * of operation is counted, and one that never succeeded is a failure. Random
 * choices of threads come from a seed that is printed; TEST_SEED=number in the
 * environment repeats them.
 */
#ifndef __SELFTEST_IOMMU_RACE
#define __SELFTEST_IOMMU_RACE

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/random.h>

#define RACE_OPS 16

/**
 * struct race_op - One kind of operation
 * @name: Its name in the log
 * @tried: How often threads have tried it
 * @worked: How often it has succeeded
 */
struct race_op {
	const char *name;
	atomic_ulong tried;
	atomic_ulong worked;
};

/**
 * struct race_log - The results of the threads of a race
 * @ops: The kinds of operations; one without a name ends them
 * @threads: Number of threads that have asked for a seed
 * @bad: An operation has failed with an unexpected error
 * @bad_op: The first such operation
 * @bad_rc: Its error
 */
struct race_log {
	struct race_op ops[RACE_OPS];
	atomic_uint threads;
	atomic_bool bad;
	unsigned int bad_op;
	int bad_rc;
};

#define ANY_ERROR (-1)

static inline bool race_note_list(struct race_log *log, unsigned int op, int rc,
				  const int *allowed, unsigned int num)
{
	unsigned int i;

	atomic_fetch_add(&log->ops[op].tried, 1);
	if (!rc) {
		atomic_fetch_add(&log->ops[op].worked, 1);
		return true;
	}
	for (i = 0; i < num; i++)
		if (allowed[i] == -rc || allowed[i] == ANY_ERROR)
			return false;
	if (!atomic_exchange(&log->bad, true)) {
		log->bad_op = op;
		log->bad_rc = rc;
	}
	return false;
}

/*
 * Record the result @_rc of an operation, and return whether it succeeded. The
 * allowed errors follow, 0 for none.
 */
#define race_note(_log, _op, _rc, ...)                                        \
	race_note_list(_log, _op, _rc, (const int[]){ __VA_ARGS__ },          \
		       sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

/* The seed of this process */
static inline unsigned int race_seed(void)
{
	static unsigned int seed;
	const char *wanted = getenv("TEST_SEED");

	if (!seed) {
		if (wanted)
			seed = strtoul(wanted, NULL, 0);
		else if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
			seed = time(NULL);
		seed |= 1;
	}
	return seed;
}

/* The start of a thread's random numbers, in the order of the calls */
static inline unsigned int race_thread_seed(struct race_log *log)
{
	return race_seed() + 0x9e3779b9 * atomic_fetch_add(&log->threads, 1);
}

static inline unsigned int race_random(unsigned int *state, unsigned int below)
{
	*state = *state * 1103515245 + 12345;
	return (*state >> 16) % below;
}

/* Returns whether each operation of the set @expected has succeeded */
static inline bool race_complete(const struct race_log *log,
				 unsigned int expected)
{
	unsigned int op;

	for (op = 0; op < RACE_OPS; op++)
		if (expected & 1U << op && !log->ops[op].worked)
			return false;
	return true;
}

/*
 * Let threads run for @ms. If the machine is too slow for that, let them run up
 * to ten times as long, until each operation of the set @expected has
 * succeeded.
 */
static inline void race_wait(const struct race_log *log, unsigned int ms,
			     unsigned int expected)
{
	unsigned int i;

	for (i = 0; i < 10 && (!i || !race_complete(log, expected)); i++)
		usleep(ms * 1000);
}

/* Print the seed, and how often each operation succeeded and was tried */
static inline const char *race_summary(const struct race_log *log)
{
	static char text[1024];
	const struct race_op *op;
	size_t len;

	len = snprintf(text, sizeof(text), "TEST_SEED=%u", race_seed());
	for (op = log->ops; op->name && len < sizeof(text); op++)
		if (op->tried)
			len += snprintf(text + len, sizeof(text) - len,
					", %s %lu of %lu", op->name, op->worked,
					op->tried);
	return text;
}

/* The end of a test: each operation of the set @expected must have succeeded */
#define RACE_EXPECT(_log, _expected)                                          \
	({                                                                    \
		const struct race_log *_l = (_log);                           \
		unsigned int _op;                                             \
									      \
		TH_LOG("%s", race_summary(_l));                               \
		EXPECT_FALSE(_l->bad) {                                       \
			TH_LOG("%s: %s", _l->ops[_l->bad_op].name,            \
			       strerror(-_l->bad_rc));                        \
		}                                                             \
		for (_op = 0; _op < RACE_OPS; _op++) {			      \
			if (!((_expected) & 1U << _op))			      \
				continue;				      \
			EXPECT_LT(0, _l->ops[_op].worked) {		      \
				TH_LOG("never worked: %s",		      \
				       _l->ops[_op].name);		      \
			}						      \
		}							      \
	})

#endif
