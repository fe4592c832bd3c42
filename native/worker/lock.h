/* A lock for the threads of one process, which costs two exchanges when nobody waits. In memory that was zeroed.
 *
 * 0: free, 1: taken, 2: taken, and somebody sleeps. Who has slept takes it as 2, since others may sleep still. */
#ifndef STK_LOCK_H
#define STK_LOCK_H

#include <errno.h>

#include "shared/doorbell.h"

/* 0: taken; -EINTR: a signal came first. */
static inline int stk_lock_or_signal(stk_a32 *lock) {
    uint32_t was = 0;
    if (stk_swap_if(lock, &was, 1)) return 0;
    while (stk_swap(lock, 2) != 0)
        if (stk_sleep(lock, 2, 0) == -EINTR) return -EINTR;
    return 0;
}

static inline void stk_lock(stk_a32 *lock) {
    while (stk_lock_or_signal(lock) < 0) {
    }
}

static inline void stk_unlock(stk_a32 *lock) {
    if (stk_swap(lock, 0) != 1) stk_wake(lock);
}

#endif
