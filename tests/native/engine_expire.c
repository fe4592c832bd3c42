/* Deadlines: a head past its deadline ends once as a timeout, its lane is doomed, and its late reply is dropped. */
#include "check.h"

int main(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t lane, doomed[4];
    uint64_t next = 0;
    stk_worker *w = worker_ready(&r, &lane);
    CHECK(stk_expire(r.e, stk_now() + 100 * SECOND, doomed, 4, &next) == 0 && next == 0); /* idle: no deadline */

    submit(&r, 1, "a", 1);
    submit(&r, 2, "b", 1); /* in line: the function's duration is not known yet */
    uint64_t head = r.e->lanes[lane]->t_head;
    CHECK(stk_expire(r.e, head + SECOND - 1, doomed, 4, &next) == 0 && next == head + SECOND);
    worker_takes(w, "a", 1);
    stk_worker_log(w, (const uint8_t *)"it ", 3); /* what it has logged by then is there, committed or not */
    stk_worker_log(w, (const uint8_t *)"takes", 5);
    CHECK(stk_expire(r.e, head + SECOND, doomed, 4, &next) == 1 && doomed[0] == lane && next == 0);
    done d;
    stk_outcome o;
    CHECK(reap_one(&r, &d) && d.token == 1 && d.status == STK_TIMEOUT);
    CHECK(stk_outcome_of(r.e, d.ticket, &o) && o.log_len == 8 && memcmp(o.log, "it takes", 8) == 0);
    stk_call_free(r.e, d.ticket);
    CHECK(stk_expire(r.e, head + 9 * SECOND, doomed, 4, &next) == 0);
    CHECK(stk_lane_state(r.e, lane) == LANE_DOOMED && idle_busy_total(&r) == 0);

    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0); /* not killed yet, and it replies */
    CHECK(stk_lane_drain(r.e, lane) == 0 && !reap_one(&r, &d));
    CHECK(worker_dies(&r, w, lane) == 0 && !reap_one(&r, &d));

    w = worker_ready(&r, &lane);
    worker_takes(w, "b", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 2, STK_OK);
    stk_function_stats s;
    stk_function_stats_read(r.e, r.fn, &s);
    CHECK(s.timeouts == 1 && s.errors == 1 && s.invocations == 2);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
