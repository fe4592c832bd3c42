/* Where a pinned worker runs: on its own core while calls come one after the other, on its caller's after a pause.
 *
 * A call after a pause is two wakes. On one core they cost a switch each; another core that sleeps takes some 50 us to
 * come, and a virtual one always does. So a worker that had to wait long goes to sleep on the core of the thread that
 * waited for it; that thread sleeps as soon as it has called, and so gives it up. When the next call comes sooner, or
 * from somebody who does not sleep for it, the worker goes back to its own core, where both may spin.
 *
 * It is pinned to one core at any time, and to none that its handler has not left it on.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "worker/worker.h"

/* What is further apart is a pause. A worker moves aside at most once in ASIDE_NS: that costs some 10 us, more than a call
 * that shares its caller's core. A function that takes longer is not worth a move. */
static const uint64_t PAUSE_NS = 500000, ASIDE_NS = 1000000, SHORT_NS = 200000;

static int pin(uint32_t core) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core - 1, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

void stk_place_own(stk_worker *w, int core) {
    if (core >= 0 && pin((uint32_t)core + 1)) /* fails when the core went offline: then any core will do */
        w->home = w->place = (uint32_t)core + 1;
}

static void go(stk_worker *w, uint32_t core) {
    cpu_set_t now;
    if (sched_getaffinity(0, sizeof now, &now) != 0) return;
    if (CPU_COUNT(&now) != 1 || !CPU_ISSET(w->place - 1, &now)) w->home = 0; /* the handler's own choice: it is kept */
    else if (pin(core)) w->place = core;
}

/* Another core than `core`, of all that it may have. An unpinned worker's: the kernel often wakes both on one core. */
static void go_aside(uint32_t core) {
    cpu_set_t all, others;
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    others = all;
    CPU_CLR(core - 1, &others);
    if (CPU_COUNT(&others) && sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof all, &all);
}

int stk_place_apart(stk_worker *w, uint64_t now) {
    uint32_t core = stk_say_core(&w->up->core);
    int soon = now < w->waited_at + PAUSE_NS && now >= w->moved_at + ASIDE_NS;
    if (soon && w->place != w->home) {
        w->moved_at = now;
        go(w, w->home);
    } else if (soon && !w->home && !stk_is_elsewhere(core, &w->down->caller_core)) {
        w->moved_at = now;
        go_aside(core);
    }
    return stk_is_elsewhere(stk_say_core(&w->up->core), &w->down->caller_core);
}

void stk_place_asleep(stk_worker *w, uint64_t now) {
    uint32_t waiter = stk_load(&w->down->waiter, STK_RELAXED);
    w->slept_at = now;
    if (w->home && w->paused && waiter && waiter != w->place && w->took < SHORT_NS) {
        go(w, waiter);
        stk_say_core(&w->up->core);
    }
}

void stk_place_awake(stk_worker *w) {
    w->paused = stk_now() >= w->slept_at + PAUSE_NS;
    if (w->place != w->home && stk_load(&w->down->waiter, STK_RELAXED) != w->place) go(w, w->home);
}
