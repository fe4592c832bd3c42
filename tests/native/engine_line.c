/* The waiting line: first come first served, a cap that refuses, a new lane takes its head. */
#include "check.h"

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 3);
    uint32_t lane;
    char text[8];
    for (uint64_t i = 0; i < 3; i++) submit(&r, i, text, (uint64_t)snprintf(text, sizeof text, "e%d", (int)i));
    CHECK(stk_submit(r.box, r.fn, 9, 0, NULL, 0) == STK_THROTTLED);
    CHECK(stk_submit(r.box, 77, 9, 0, NULL, 0) == STK_NO_FUNCTION);
    memset(text, 'z', sizeof text); /* the ones in line have a copy */

    stk_worker *w = worker_new(&r, &lane);
    stk_lane_take(r.e, lane);
    CHECK(stk_ring_ready(&w->rx)); /* before READY: a cold start's event is there already */
    CHECK(stk_worker_reply(w, STK_READY, NULL, 0) == 0);
    worker_takes(w, "e0", 2);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    done d; /* a cold start has an outcome to read */
    stk_outcome o;
    CHECK(reap_one(&r, &d) && d.token == 0 && d.status == STK_OK && d.extra);
    CHECK(stk_outcome_of(r.e, d.ticket, &o) && o.cold && o.len == 0);
    stk_call_free(r.e, d.ticket);
    CHECK(stk_lane_state(r.e, lane) == LANE_READY && idle_busy_total(&r) == 1);
    for (uint64_t i = 1; i < 3; i++) {
        snprintf(text, sizeof text, "e%d", (int)i);
        worker_takes(w, text, 2);
        CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
        reaps(&r, i, STK_OK);
    }
    stk_function_stats s;
    stk_function_stats_read(r.e, r.fn, &s);
    CHECK(s.throttles == 1 && s.invocations == 3 && s.cold_starts == 1 && s.waiting == 0 && s.idle == 1);

    stk_engine_close(r.e);
    CHECK(stk_submit(r.box, r.fn, 9, 0, NULL, 0) == STK_SHUT);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
