/* Spin, sleep and wake: futex towards workers and threads, eventfd towards an event loop. */
#ifndef STK_DOORBELL_H
#define STK_DOORBELL_H

#include <sched.h>
#include <time.h>

#include "shared/barrier.h"

/* ns, CLOCK_MONOTONIC */
static inline uint64_t stk_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The core that this thread runs on, + 1; 0: not known. No system call where the C library has registered rseq. */
static inline uint32_t stk_core(void) { return (uint32_t)(sched_getcpu() + 1); }

/* One turn of a spin loop. */
static inline void stk_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); /* yield is a no-op on most cores */
#endif
}

/* FUTEX_WAIT until *word differs from `seen`, a wake, a signal, or the timeout (ns; 0: none).
 * 0: check again; -EINTR: a signal arrived; -ETIMEDOUT. The word may be shared between processes. */
int stk_sleep(stk_a32 *word, uint32_t seen, uint64_t ns);
void stk_wake(stk_a32 *word); /* all that sleep on it */
int stk_ring_eventfd(int fd); /* 0 or -errno; a full counter is as good as rung */
void stk_clear_eventfd(int fd);

#endif
