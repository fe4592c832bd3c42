/* Retiring: the lane's invocations are finished first, then SHUTDOWN; a record that is being filled is not overwritten. */
#include "check.h"

int main(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t lane, doomed[2];
    uint64_t next;
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    stk_lane_retire(r.e, lane);
    worker_takes(w, "a", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 1, STK_OK);
    CHECK(stk_worker_next(w) == STK_W_SHUTDOWN);
    submit(&r, 2, "b", 1); /* not into that lane any more */
    CHECK(!stk_ring_ready(&w->rx) || w->event.kind == STK_SHUTDOWN);
    CHECK(r.e->lanes[lane]->first == r.e->lanes[lane]->last);
    worker_dies(&r, w, lane);

    /* A thread copies a large event into the lane, outside the lock, while the lane retires. */
    w = worker_ready(&r, &lane);
    worker_takes(w, "b", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 2, STK_OK);
    r.e->lanes[lane]->filling = 1;
    uint64_t before = r.e->lanes[lane]->tx.mine;
    stk_lane_retire(r.e, lane);
    CHECK(r.e->lanes[lane]->tx.mine == before);
    r.e->lanes[lane]->filling = 0;
    stk_lane_retire(r.e, lane); /* again, after the copy */
    CHECK(stk_worker_next(w) == STK_W_SHUTDOWN);
    worker_dies(&r, w, lane);

    /* Retired while it starts: its one event still has a deadline. */
    submit(&r, 3, "c", 1);
    w = worker_new(&r, &lane);
    stk_lane_take(r.e, lane);
    stk_lane_retire(r.e, lane);
    CHECK(stk_worker_reply(w, STK_READY, NULL, 0) == 0);
    worker_takes(w, "c", 1);
    CHECK(stk_lane_drain(r.e, lane) == 0);
    CHECK(stk_expire(r.e, stk_now() + 2 * SECOND, doomed, 2, &next) == 1);
    reaps(&r, 3, STK_TIMEOUT);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
