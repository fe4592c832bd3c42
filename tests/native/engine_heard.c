/* Whoever waits in line hears of a reply that nobody else is waiting for: the worker's doorbell goes to the loop. */
#include "check.h"

static int rung(const stk_worker *w) {
    uint64_t count;
    return read(w->event_fd, &count, sizeof count) == sizeof count;
}

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    uint64_t words[4];
    uint8_t bytes[64];
    stk_box *other = stk_box_new(r.e, 0, words, 1, bytes, sizeof bytes);
    CHECK(other);
    rung(w);

    /* The first one's owner is awake and busy elsewhere: it asks for no bell, and need not. */
    submit(&r, 1, "a", 1);
    worker_takes(w, "a", 1);
    /* Now somebody else waits behind it. */
    CHECK(stk_submit(other, r.fn, 2, 0, (const uint8_t *)"b", 1) > 0);
    CHECK(r.e->functions[r.fn]->waiting == 1);
    CHECK(stk_reap_wait(other, 1000) == 0);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    CHECK(rung(w));

    CHECK(stk_lane_drain(r.e, lane) == 0); /* what the loop does then: the line moves */
    worker_takes(w, "b", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 1, STK_OK);
    CHECK(stk_reap(other) == 1 && words[0] == 2);
    stk_box_free(other);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
