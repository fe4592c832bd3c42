/* A thread's call: it sleeps on its lane's bell, on its own word while in line, and is woken by replies, deaths and
 * signals alike. */
#include "check.h"

#include <signal.h>

static rig r;
static uint32_t lane;

static void *echo(void *arg) {
    stk_worker *w = arg;
    for (;;) {
        int64_t rc = stk_worker_next(w);
        if (rc == STK_W_SIGNAL) continue;
        if (rc == STK_W_SHUTDOWN) break;
        CHECK(rc >= 0 || rc == STK_W_LARGE);
        CHECK(stk_worker_reply(w, STK_RESULT, w->payload, w->event.len) == 0);
    }
    worker_close(w);
    return NULL;
}

/* Sleeps until there is an event, keeps it, and ends: a worker that died in its handler. */
static void *takes_and_dies(void *arg) {
    while (stk_worker_next(arg) < 0) {
    }
    CHECK(stk_lane_dead(r.e, lane, STK_CRASH, -9) == 1);
    worker_close(arg);
    return NULL;
}

static void *interrupt(void *arg) {
    usleep(20000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}
static void nothing(int signal) { (void)signal; }

static void calls(uint64_t spin_ns) {
    pthread_t worker;
    r = rig_open(spin_ns, 10 * SECOND, 10);
    stk_cell *cell = stk_cell_new(r.e);
    stk_worker *w = worker_ready(&r, &lane);
    CHECK(cell && pthread_create(&worker, NULL, echo, w) == 0);
    static uint8_t big[LARGE];
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t sent = i * 3;
        CHECK(cell_call(cell, r.fn, 0, (uint8_t *)&sent, sizeof sent) == sizeof sent);
        CHECK(memcmp(cell->data, &sent, sizeof sent) == 0);
    }
    big[77] = 5;
    for (int i = 0; i < 3; i++) {
        CHECK(cell_call(cell, r.fn, 0, big, sizeof big) == -1);
        CHECK(cell->outcome.status == STK_OK && cell->outcome.len == sizeof big && cell->outcome.data[77] == 5);
        stk_cell_clear(cell);
    }
    stk_lane_retire(r.e, lane);
    pthread_join(worker, NULL);
    stk_lane_dead(r.e, lane, STK_CRASH, 0);

    /* A death while the thread sleeps on that worker's lane. */
    w = worker_ready(&r, &lane);
    CHECK(pthread_create(&worker, NULL, takes_and_dies, w) == 0);
    CHECK(cell_call(cell, r.fn, 0, (const uint8_t *)"x", 1) == -1);
    CHECK(cell->outcome.status == STK_CRASH && cell->outcome.detail == -9);
    stk_cell_clear(cell);
    pthread_join(worker, NULL);

    /* A signal while it waits in line, then while it waits for a worker that does not reply. */
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self(), other;
    CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
    CHECK(cell_call(cell, r.fn, 0, (const uint8_t *)"x", 1) == STK_SIGNALLED);
    pthread_join(other, NULL);
    w = worker_ready(&r, &lane);
    CHECK(r.e->functions[r.fn]->waiting == 0);
    CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
    CHECK(stk_cell_wait(cell) == STK_SIGNALLED);
    pthread_join(other, NULL);
    worker_takes(w, "x", 1);
    stk_cell_abandon(cell); /* it runs on without an owner */
    CHECK(stk_engine_pending(r.e) == 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    CHECK(stk_engine_pending(r.e) == 0 && idle_busy_total(&r) == 1);
    worker_dies(&r, w, lane);

    stk_cell_free(cell);
    rig_close(&r);
}

int main(void) {
    calls(0);
    calls(50000);
    return 0;
}
