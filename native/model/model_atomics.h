/* barrier.h's names on the model checker's atomics, and the plain bytes and futexes that it watches.
 *
 * The headers under test are compiled as they are; each order and fence that they name keeps production's
 * meaning unless the run weakens it, so one binary serves for the proof and for all its mutants.
 */
#ifndef STK_MODEL_ATOMICS_H
#define STK_MODEL_ATOMICS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <relacy/relacy.hpp>

#define _Alignas(n) /* layout is no part of the model */

typedef rl::atomic<uint64_t> stk_a64;
typedef rl::atomic<uint32_t> stk_a32;

#define STK_RELAXED rl::mo_relaxed
#define STK_ACQUIRE rl::mo_acquire
#define STK_RELEASE rl::mo_release

#define stk_load(p, order) (p)->load((order), $)
#define stk_store(p, v, order) (p)->store((v), (order), $)
#define stk_add(p, v, order) (p)->fetch_add((v), (order), $)
#define stk_or(p, v, order) (p)->fetch_or((v), (order), $)
#define stk_and(p, v, order) (p)->fetch_and((v), (order), $)
#define stk_fence() rl::atomic_thread_fence(rl::mo_seq_cst, $)

/* Records are plain memory. Each line of it has a shadow that the checker watches: touching it without the
 * order that protects it is a data race. */
enum { SHADOW_LINES = 8 };
struct model_shadow {
    const uint8_t *base = nullptr;
    rl::var<uint32_t> line[SHADOW_LINES];
    void touch(const void *p, uint64_t n, bool write) {
        uint64_t from = (uint64_t)((const uint8_t *)p - base) / 64, to = from + (n + 63) / 64;
        for (uint64_t i = from; i < to; i++) {
            RL_ASSERT(i < SHADOW_LINES);
            if (write)
                line[i]($) = 1;
            else
                (void)(uint32_t)line[i]($);
        }
    }
};
static model_shadow *model_watched; /* set anew before each execution */
#define STK_READS(p, n) (model_watched ? model_watched->touch((p), (n), false) : (void)0)
#define STK_WRITES(p, n) (model_watched ? model_watched->touch((p), (n), true) : (void)0)

#endif
