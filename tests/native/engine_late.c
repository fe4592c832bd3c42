/* A reply that matches no invocation in flight is dropped and counted, and completes none (fault 7). */
#include "check.h"

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    done d;
    stk_worker *w = worker_ready(&r, &lane);

    CHECK(stk_worker_reply(w, STK_RESULT, (const uint8_t *)"?", 1) == 0); /* no invocation is in flight */
    CHECK(!reap_one(&r, &d));
    stk_lane_drain(r.e, lane);
    CHECK(stk_engine_lost(r.e) == 1);

    submit(&r, 1, "a", 1);
    worker_takes(w, "a", 1);
    w->event.ticket ^= (uint64_t)1 << 40; /* an earlier attempt's generation */
    CHECK(stk_worker_reply(w, STK_RESULT, (const uint8_t *)"?", 1) == 0);
    CHECK(!reap_one(&r, &d) && stk_engine_lost(r.e) == 2);
    w->event.ticket ^= (uint64_t)1 << 40;
    w->busy = 1;
    w->rx.size = 0; /* released already */
    CHECK(stk_worker_reply(w, STK_RESULT, (const uint8_t *)"!", 1) == 0);
    reaps(&r, 1, STK_OK);
    CHECK(stk_worker_reply(w, STK_RESULT, (const uint8_t *)"!", 1) == 0); /* twice */
    stk_lane_drain(r.e, lane);
    CHECK(!reap_one(&r, &d) && stk_engine_lost(r.e) == 3);
    CHECK(idle_busy_total(&r) == 1);

    uint64_t ticket = submit(&r, 2, "b", 1); /* its result is discarded */
    worker_takes(w, "b", 1);
    stk_forget(r.e, ticket);
    CHECK(stk_worker_reply(w, STK_RESULT, (const uint8_t *)"!", 1) == 0);
    CHECK(!reap_one(&r, &d) && stk_engine_pending(r.e) == 0 && idle_busy_total(&r) == 1);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
