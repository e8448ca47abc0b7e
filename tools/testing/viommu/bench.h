/* SPDX-License-Identifier: GPL-2.0 */
/* Time on a board whose virtual counter counts instructions */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

static inline uint64_t now(void)
{
	uint64_t ticks;

	asm volatile("isb; mrs %0, cntvct_el0; isb" : "=r"(ticks) :: "memory");
	return ticks;
}

/* Instructions a tick, by the counter's frequency: -icount shift=0 is 1 GHz */
static inline double per_tick(void)
{
	uint64_t hz;

	asm volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return 1e9 / hz;
}

#endif
