/* A switch behind each order and fence of barrier.h: off, it is as in production; on, it is weaker. */
#ifndef STK_MODEL_WEAKEN_H
#define STK_MODEL_WEAKEN_H

#include "shared/barrier.h"

static const char *model_weak = ""; /* the one that this run weakens */
static bool weak(const char *name) { return strcmp(model_weak, name) == 0; }

static rl::memory_order order_publish() { return weak("PUBLISH") ? STK_RELAXED : STK_ORD_PUBLISH; }
static rl::memory_order order_peek() { return weak("PEEK") ? STK_RELAXED : STK_ORD_PEEK; }
static rl::memory_order order_free() { return weak("FREE") ? STK_RELAXED : STK_ORD_FREE; }
static rl::memory_order order_space() { return weak("SPACE") ? STK_RELAXED : STK_ORD_SPACE; }
static rl::memory_order order_written() { return weak("WRITTEN") ? STK_RELAXED : STK_ORD_WRITTEN; }
static rl::memory_order order_left() { return weak("LEFT") ? STK_RELAXED : STK_ORD_LEFT; }
#undef STK_ORD_WRITTEN
#undef STK_ORD_LEFT
#define STK_ORD_WRITTEN order_written()
#define STK_ORD_LEFT order_left()
#undef STK_ORD_PUBLISH
#undef STK_ORD_PEEK
#undef STK_ORD_FREE
#undef STK_ORD_SPACE
#define STK_ORD_PUBLISH order_publish()
#define STK_ORD_PEEK order_peek()
#define STK_ORD_FREE order_free()
#define STK_ORD_SPACE order_space()

/* "NAME": no fence at all. "NAME:acq_rel": one that lets a later load pass an earlier store. */
#define SWITCHED(function, fence, name)                            \
    static void function() {                                       \
        if (weak(name ":acq_rel"))                                 \
            rl::atomic_thread_fence(rl::mo_acq_rel, $);            \
        else if (!weak(name))                                      \
            fence();                                               \
    }
SWITCHED(fence_wake, STK_FENCE_WAKE, "WAKE")
SWITCHED(fence_sleep, STK_FENCE_SLEEP, "SLEEP")
SWITCHED(fence_start, STK_FENCE_START, "START")
SWITCHED(fence_revoke, STK_FENCE_REVOKE, "REVOKE")
#undef STK_FENCE_WAKE
#undef STK_FENCE_SLEEP
#undef STK_FENCE_START
#undef STK_FENCE_REVOKE
#define STK_FENCE_WAKE() fence_wake()
#define STK_FENCE_SLEEP() fence_sleep()
#define STK_FENCE_START() fence_start()
#define STK_FENCE_REVOKE() fence_revoke()

#endif
