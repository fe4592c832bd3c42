/* Where a pinned worker runs: its own core, after a pause its caller's, and one only; its handler's choice is kept. */
#include "check.h"

static stk_worker *w;
static stk_down *down;
static uint32_t own, callers; /* as stk_core() has them */

static uint32_t pinned_to(void) {
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    if (CPU_COUNT(&set) != 1) return 0;
    uint32_t core = 1;
    while (!CPU_ISSET(core - 1, &set)) core++;
    return core;
}

/* An invocation for which it waited that long, by a thread that sleeps on that core (0: by none). */
static void invoked(uint64_t after, uint32_t waiter, uint64_t took) {
    stk_store(&down->waiter, waiter, STK_RELAXED);
    w->slept_at = stk_now() - after;
    stk_place_awake(w);
    w->took = took;
}

static void sleeps(uint32_t expected) {
    stk_place_asleep(w, stk_now());
    CHECK(pinned_to() == expected && w->place == expected && stk_core() == expected);
}

int main(void) {
    cpu_set_t all, before;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    if (CPU_COUNT(&before) < 2) {
        fprintf(stderr, "needs two cores\n");
        return 77;
    }
    for (uint32_t core = 1; core <= CPU_SETSIZE && !callers; core++)
        if (CPU_ISSET(core - 1, &before)) {
            callers = own ? core : 0;
            own = own ? own : core;
        }
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    w = worker_ready(&r, &lane);
    down = r.e->lanes[lane]->down;
    stk_place_own(w, (int)own - 1);
    sleeps(own);

    invoked(1000, callers, 1000); /* it had not long to wait */
    sleeps(own);
    invoked(SECOND, callers, SECOND); /* it takes long */
    sleeps(own);
    invoked(SECOND, 0, 1000); /* nobody sleeps for it */
    sleeps(own);
    invoked(SECOND, callers, 1000);
    sleeps(callers);

    invoked(SECOND, callers, 1000);
    CHECK(pinned_to() == callers); /* where the caller has just gone to sleep */
    invoked(SECOND, 0, 1000);
    CHECK(pinned_to() == own); /* this one has not */
    invoked(SECOND, callers, 1000);
    sleeps(callers);
    stk_store(&down->caller_core, callers, STK_RELAXED);
    uint64_t now = stk_now();
    w->waited_at = now - SECOND;
    CHECK(!stk_place_apart(w, now) && pinned_to() == callers); /* it did wait long */
    w->waited_at = now - 1000;
    CHECK(stk_place_apart(w, now) && pinned_to() == own); /* calls come one after the other */

    CHECK(sched_setaffinity(0, sizeof before, &before) == 0); /* the handler does */
    invoked(SECOND, callers, 1000);
    stk_place_asleep(w, stk_now());
    invoked(SECOND, callers, 1000);
    stk_place_asleep(w, stk_now());
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0 && CPU_EQUAL(&all, &before));
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
