/* Spin, sleep and wake: futex towards workers and threads, eventfd towards an event loop. */
#ifndef STK_DOORBELL_H
#define STK_DOORBELL_H

#include "barrier.h"

uint64_t stk_now(void); /* ns, CLOCK_MONOTONIC */
void stk_relax(void);   /* one turn of a spin loop */

/* Sleep until *word is no longer `seen`, a wake, a signal, or the time is over (ns; 0: for ever).
 * 0: look again; -EINTR: a signal came; -ETIMEDOUT. The word may be shared between processes. */
int stk_sleep(stk_a32 *word, uint32_t seen, uint64_t ns);
void stk_wake(stk_a32 *word); /* everyone who sleeps on it */
int stk_ring_eventfd(int fd); /* 0, or -errno; a full counter counts as rung */
void stk_clear_eventfd(int fd);

#endif
