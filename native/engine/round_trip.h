/* What a wake and a spin cost on this machine: it decides how long to spin before sleeping. */
#ifndef STK_ROUND_TRIP_H
#define STK_ROUND_TRIP_H

#include <stdint.h>

/* Median ns of a round trip between two threads on two cores (-1: not pinned), both sleeping on futexes, or both
 * spinning on shared memory. 0 when it cannot be measured. */
uint64_t stk_wake_cost(int rounds, int core_a, int core_b);
uint64_t stk_spin_cost(int rounds, int core_a, int core_b);

#endif
