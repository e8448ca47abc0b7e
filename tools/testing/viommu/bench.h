/* SPDX-License-Identifier: GPL-2.0 */
/* Time on a board whose counter counts instructions */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#ifdef __x86_64__
static inline uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) :: "memory");
	return (uint64_t)high << 32 | low;
}

/* The emulated TSC counts instructions with -icount shift=0 */
static inline double per_tick(void)
{
	return 1;
}
#else
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

#endif
