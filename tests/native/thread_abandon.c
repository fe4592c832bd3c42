/* A thread abandons its call just as the worker starts it, and the worker sees the revocation after all: the call
 * ends there, and is not run anew from an event that is gone with its thread. */
#include "check.h"

#include <signal.h>

static void *interrupt(void *arg) {
    usleep(20000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}
static void nothing(int signal) { (void)signal; }

static void *work(void *arg) {
    CHECK(stk_worker_next(arg) == STK_W_SHUTDOWN); /* SKIPPED on the way */
    return NULL;
}

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    pthread_t self = pthread_self(), other;
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, NULL);
    stk_worker *w = worker_ready(&r, &lane);
    stk_cell *cell = stk_cell_new(r.e);
    CHECK(cell && pthread_create(&other, NULL, interrupt, &self) == 0);
    CHECK(cell_call(cell, r.fn, 0, (const uint8_t *)"event", 5) == STK_SIGNALLED);
    pthread_join(other, NULL);

    stk_store(&w->up->started, 1, STK_RELAXED); /* the worker's store comes first, its read of the revocation last */
    stk_cell_abandon(cell);
    stk_lane_retire(r.e, lane);
    CHECK(pthread_create(&other, NULL, work, w) == 0);
    pthread_join(other, NULL);
    CHECK(stk_engine_pending(r.e) == 0 && r.e->functions[r.fn]->skipped == 1);

    stk_lane_dead(r.e, lane, STK_CRASH, 0);
    worker_close(w);
    stk_cell_free(cell);
    rig_close(&r);
    return 0;
}
