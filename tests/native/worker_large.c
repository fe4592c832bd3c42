/* Large payloads, both ways: intact, held until they are given back, and one at a time. */
#include "check.h"

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    uint8_t *event = malloc(LARGE), *reply = malloc(LARGE);
    stk_outcome o, held;
    done d;
    uint64_t sizes[] = {STK_INLINE, STK_INLINE + 1, STK_COPY_LOCKED, STK_COPY_LOCKED + 1, LARGE};
    CHECK(event && reply);
    for (int i = 0; i < LARGE; i++) event[i] = (uint8_t)(i * 7), reply[i] = (uint8_t)(i * 11 + 3);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        submit(&r, i, event, sizes[i]);
        worker_takes(w, event, sizes[i]);
        CHECK(stk_worker_reply(w, STK_RESULT, reply, sizes[i]) == 0);
        CHECK(reap_one(&r, &d) && d.status == STK_OK && d.extra);
        CHECK(stk_outcome_of(r.e, d.ticket, &o) && o.len == sizes[i] && memcmp(o.data, reply, sizes[i]) == 0);
        stk_call_free(r.e, d.ticket);
        CHECK(!stk_outcome_of(r.e, d.ticket, &o));
    }
    CHECK(stk_submit(r.box, r.fn, 9, 0, event, LARGE + 1) == STK_TOO_LARGE);
    CHECK(stk_worker_reserve(w, STK_RESULT, LARGE + 1) == NULL);

    /* Idle, and everything given back: the pages go too; a payload that is still held keeps them. */
    CHECK(stk_lane_trim(r.e, lane) >= LARGE && stk_lane_trim(r.e, lane) == 0);
    submit(&r, 20, "x", 1);
    worker_takes(w, "x", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, reply, LARGE) == 0);
    CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &held));
    CHECK(stk_lane_trim(r.e, lane) == 0 && memcmp(held.data, reply, LARGE) == 0);

    /* The worker dies; what it returned stays readable until its reader is through. */
    worker_dies(&r, w, lane);
    CHECK(memcmp(held.data, reply, LARGE) == 0 && r.e->lanes[lane]->up);
    stk_call_free(r.e, d.ticket);
    CHECK(!r.e->lanes[lane]->up);

    free(event);
    free(reply);
    rig_close(&r);
    return 0;
}
