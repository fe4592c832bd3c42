/* When waiting awake pays: decisions from numbers alone. tests/native/engine_spin.c has them as tables.
 *
 * A thread or worker that spins takes a core. A thread may while there is one for it and for each invocation in flight,
 * its own included, an idle worker while there is one besides those that run: else spinning only keeps from them what is
 * waited for. It is decided anew with each look, not once a wait.
 */
#ifndef STK_SPIN_H
#define STK_SPIN_H

#include <stdint.h>

/* A function that takes longer than this many spin budgets is not worth spinning for. */
enum { SPIN_WORTH = 4 };
/* A worker that slept wakes first, which takes longer the longer its core was idle. A thread that sleeps just before
 * the reply pays for two such wakes: for a worker that slept it spins this many budgets. */
enum { SPIN_WOKEN = 4 };

/* in_flight: invocations that run or wait (of an idle worker: workers that run); spinning: threads and idle workers that spin already. */
static inline int spin_fits(uint32_t in_flight, uint32_t spinning, uint32_t cores) { return in_flight + spinning < cores; }

/* took: what the function's invocations take, ns; 0: not known. */
static inline int spin_pays(uint64_t took, uint64_t budget) { return budget && took < budget * SPIN_WORTH; }

static inline uint64_t spin_until(uint64_t now, uint64_t budget, int woken) {
    return now + budget * (woken ? SPIN_WOKEN : 1);
}

/* How many idle workers may spin, besides the thread that invokes. */
static inline uint32_t spin_workers(uint32_t cores) { return cores > 65 ? 64 : cores - 1; }

#endif
