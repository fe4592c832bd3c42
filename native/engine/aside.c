/* A thread of the caller's side leaves its workers' core.
 *
 * Workers are pinned, callers are not. A thread that waits for the interpreter is often woken on the core where a worker
 * spins. There each of its calls takes two switches, and as it never sleeps the kernel leaves it there for milliseconds,
 * while its own core is idle; likewise an event loop. So one that finds itself beside its worker again and again moves to
 * any other core that it may have: once in ASIDE_NS at most (a loop: as its reaper asks for it), and by an affinity that
 * is put back at once. A worker that came to its caller (worker/place.c) goes by itself.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "engine/internal.h"

enum { AGAIN = 3 };
static const uint64_t PAUSE_NS = 500000, ASIDE_NS = 1000000; /* calls that are further apart sleep in between */

static _Thread_local struct {
    uint64_t beside_at, moved_at;
    uint32_t times;
} own;

uint32_t caller_beside(stk_lane *l, uint64_t now) {
    uint32_t core = stk_load(&l->up->core, STK_RELAXED);
    if (core != l->core + 1) return 0;
    own.times = now < own.beside_at + PAUSE_NS ? own.times + 1 : 1;
    own.beside_at = now;
    if (own.times < AGAIN || now < own.moved_at + ASIDE_NS) return 0;
    own.times = 0;
    own.moved_at = now;
    return core;
}

int caller_aside(uint32_t core) {
    cpu_set_t all, others;
    if (!core || core > CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all) != 0) return 0;
    others = all;
    CPU_CLR(core - 1, &others);
    if (!CPU_COUNT(&others) || sched_setaffinity(0, sizeof others, &others) != 0) return 0;
    sched_setaffinity(0, sizeof all, &all);
    return 1;
}

/* Does every busy worker run on this thread's core? Where each is is a hint. */
static int all_here(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    int here = e->n_busy > 0;
    for (uint32_t i = 0; here && i < e->n_busy; i++)
        here = !stk_is_elsewhere(stk_core(), &e->lanes[e->busy[i]]->up->core);
    pthread_mutex_unlock(&e->lock);
    return here;
}

int stk_loop_aside(stk_box *box) {
    return all_here(box->engine) && caller_aside(stk_core());
}
