/* Where an event loop's thread runs: on another core than the workers that it waits for. */
#define _GNU_SOURCE
#include <sched.h>

#include "engine/internal.h"

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
    cpu_set_t all, others;
    if (!all_here(box->engine) || sched_getaffinity(0, sizeof all, &all) != 0) return 0;
    others = all;
    CPU_CLR(stk_core() - 1, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return 0;
    sched_setaffinity(0, sizeof all, &all);
    return 1;
}
