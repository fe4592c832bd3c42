/* A worker's death at each step of its reply: the result or an error, once; invocations that had not begun run
 * elsewhere (faults 1, 2 and 3). */
#include "check.h"
#include "engine/internal.h"

enum { BEFORE_START, IN_HANDLER, RESERVED, COMMITTED, RUNG, STEPS };

static void dies_at(int step) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane, other;
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 9, "w", 1);
    worker_takes(w, "w", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 9, STK_OK);
    r.e->functions[r.fn]->ewma_ns = 1000;

    for (uint64_t i = 0; i < 3; i++) {
        if (r.e->lanes[lane]->t_head) r.e->lanes[lane]->t_head = stk_now() + SECOND; /* not stuck, however slow this is */
        submit(&r, i, "abc" + i, 3 - i);
    }
    CHECK(lane_depth(r.e->lanes[lane]) == 3);
    if (step > BEFORE_START) worker_takes(w, "abc", 3);
    if (step >= IN_HANDLER) stk_worker_log(w, (const uint8_t *)"last words", 10);
    if (step >= RESERVED) {
        stk_record *rec = stk_worker_reserve(w, STK_RESULT, 2);
        CHECK(rec);
        memcpy(rec + 1, "ok", 2);
    }
    if (step >= COMMITTED) stk_worker_commit(w);
    if (step >= RUNG) stk_worker_doorbell(w);

    done d;
    stk_outcome o;
    int ended = worker_dies(&r, w, lane);
    CHECK(ended == (step == IN_HANDLER || step == RESERVED));
    CHECK(stk_lane_dead(r.e, lane, STK_CRASH, -9) == 0); /* the second report changes nothing */
    if (step == BEFORE_START) {
        CHECK(!reap_one(&r, &d));
    } else {
        CHECK(reap_one(&r, &d) && d.token == 0);
        CHECK(d.status == (step >= COMMITTED ? STK_OK : STK_CRASH));
        CHECK(stk_outcome_of(r.e, d.ticket, &o));
        CHECK(o.log_len == 10 && memcmp(o.log, "last words", 10) == 0);
        CHECK(step >= COMMITTED ? o.len == 2 : o.detail == -9 && o.len == 0);
        stk_call_free(r.e, d.ticket);
    }
    stk_worker *v = worker_ready(&r, &other); /* takes the rest, in order */
    for (uint64_t i = step == BEFORE_START ? 0 : 1; i < 3; i++) {
        if (!stk_ring_ready(&v->rx)) stk_lane_drain(r.e, other);
        worker_takes(v, "abc" + i, 3 - i);
        CHECK(stk_worker_reply(v, STK_RESULT, NULL, 0) == 0);
        reaps(&r, i, STK_OK);
    }
    CHECK(idle_busy_total(&r) == 1 && !reap_one(&r, &d));
    worker_dies(&r, v, other);
    rig_close(&r);
}

int main(void) {
    for (int step = BEFORE_START; step < STEPS; step++) dies_at(step);
    return 0;
}
