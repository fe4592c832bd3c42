/* A caller that sleeps in line is woken by a reply that none waits for: the worker's doorbell goes to the loop. */
#include "check.h"

#include <signal.h>

enum { CONSUMER, THREAD, WAITERS };

static int rung(const stk_worker *w) {
    uint64_t count;
    return read(w->event_fd, &count, sizeof count) == sizeof count;
}

static void *interrupt(void *arg) {
    usleep(20000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}
static void nothing(int signal) { (void)signal; }

static void waits(int waiter) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    uint64_t words[4];
    uint8_t bytes[STK_CELL_BYTES];
    pthread_t self = pthread_self(), other;
    stk_worker *w = worker_ready(&r, &lane);
    stk_box *box = stk_box_new(r.e, 0, words, 1, bytes, sizeof bytes);
    stk_cell *cell = stk_cell_new(r.e);
    CHECK(box && cell);

    submit(&r, 1, "a", 1); /* its owner is awake and busy elsewhere: no flag is up */
    worker_takes(w, "a", 1);
    rung(w);
    if (waiter == CONSUMER) {
        CHECK(stk_submit(box, r.fn, 2, 0, (const uint8_t *)"b", 1) > 0);
        CHECK(stk_reap_wait(box, 20000000) == 0);
    } else { /* it sleeps until the signal */
        CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
        CHECK(cell_call(cell, r.fn, 0, (const uint8_t *)"b", 1) == STK_SIGNALLED);
        pthread_join(other, NULL);
    }
    CHECK(r.e->functions[r.fn]->waiting == 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    CHECK(rung(w));

    CHECK(stk_lane_drain(r.e, lane) == 0); /* as the loop does then: the line moves */
    worker_takes(w, "b", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    if (waiter == CONSUMER)
        CHECK(stk_reap(box) == 1 && words[0] == 2);
    else
        CHECK(stk_cell_wait(cell) == 0);
    reaps(&r, 1, STK_OK);
    stk_box_free(box);
    stk_cell_free(cell);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

int main(void) {
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, NULL);
    for (int waiter = CONSUMER; waiter < WAITERS; waiter++) waits(waiter);
    return 0;
}
