/* Large payloads, both ways: intact, held until they are freed, and one at a time. */
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

    /* An in-place reply is read where it lies; until then the area stays taken, or the reply is copied out. */
    for (uint64_t at = 0; at < 3; at++) {
        uint64_t len = LARGE - 2 * at;
        submit(&r, 30, event, LARGE);
        worker_takes(w, event, LARGE);
        CHECK(stk_worker_reply(w, STK_RESULT, w->payload + at, len) == 0);
        if (at == 0) CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &o));
        submit(&r, 31, reply, LARGE);
        if (at == 0) { /* reaped, so it may be in use: the next one waits */
            CHECK(o.data == stk_large_at(r.e->lanes[lane]->down) && o.len == len && r.e->lanes[lane]->large_out);
            submit(&r, 32, reply, LARGE);
            CHECK(memcmp(o.data, event, len) == 0);
            stk_call_free(r.e, d.ticket);
            worker_takes(w, reply, LARGE);
            CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0 && reap_one(&r, &d) && d.token == 31);
        } else { /* unread: it was copied out, and the next one is in its place */
            CHECK(reap_one(&r, &d) && d.token == 30 && d.extra && stk_outcome_of(r.e, d.ticket, &o));
            CHECK(o.data != stk_large_at(r.e->lanes[lane]->down) + at);
            CHECK(o.len == len && memcmp(o.data, event + at, len) == 0);
            stk_call_free(r.e, d.ticket);
        }
        worker_takes(w, reply, LARGE);
        CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0 && reap_one(&r, &d));
    }
    CHECK(!r.e->lanes[lane]->large_out && r.e->lanes[lane]->refs == 0);

    /* Nor does an unread reply keep the worker from its next. */
    uint64_t next;
    uint32_t late[1];
    submit(&r, 40, "x", 1);
    submit(&r, 41, "y", 1);
    worker_takes(w, "x", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, reply, LARGE) == 0);
    CHECK(stk_lane_drain(r.e, lane) == 0);
    worker_takes(w, "y", 1);
    CHECK(!stk_large_ready(w->down, w->large_used));
    CHECK(stk_expire(r.e, stk_now() + SECOND, late, 1, &next) == 0 && stk_large_ready(w->down, w->large_used));
    CHECK(stk_worker_reply(w, STK_RESULT, event, LARGE) == 0);
    CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &o) && memcmp(o.data, reply, LARGE) == 0);
    stk_call_free(r.e, d.ticket);
    CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &o) && memcmp(o.data, event, LARGE) == 0);
    stk_call_free(r.e, d.ticket);

    /* Written in its place before: not copied, and the place is taken until it is read. Who frees it wakes a worker that waits
     * for that, and none that waits for an event. A small one of that place is copied. */
    for (int i = 0; i < 3; i++) {
        uint64_t len = i == 2 ? STK_INLINE : LARGE;
        submit(&r, 50, "x", 1);
        worker_takes(w, "x", 1);
        uint8_t *place = stk_worker_place(w);
        CHECK(place == stk_large_at(w->up));
        memcpy(place, i ? event : reply, len);
        CHECK(stk_worker_reply(w, STK_RESULT, place, len) == 0 && (stk_worker_place(w) == NULL) == (i < 2));
        CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &o));
        CHECK(o.len == len && memcmp(o.data, i ? event : reply, len) == 0);
        uint32_t bell = stk_load(&w->down->bell, STK_RELAXED), flag = i ? STK_FOR_EVENT : STK_FOR_SPACE | STK_FOR_EVENT;
        stk_or(&w->up->asleep, flag, STK_RELAXED);
        stk_call_free(r.e, d.ticket);
        stk_sleep_over(&w->up->asleep, flag);
        CHECK(stk_load(&w->down->bell, STK_RELAXED) == bell + (i == 0) && stk_worker_place(w));
    }

    /* Idle, and all payloads freed: the pages are freed too; a payload that is still held keeps them. */
    CHECK(stk_lane_trim(r.e, lane) >= LARGE && stk_lane_trim(r.e, lane) == 0);
    submit(&r, 20, "x", 1);
    worker_takes(w, "x", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, reply, LARGE) == 0);
    CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &held));
    CHECK(stk_lane_trim(r.e, lane) == 0 && memcmp(held.data, reply, LARGE) == 0);

    /* The worker dies; its reply stays readable until it is freed. */
    worker_dies(&r, w, lane);
    CHECK(memcmp(held.data, reply, LARGE) == 0 && r.e->lanes[lane]->up);
    stk_call_free(r.e, d.ticket);
    CHECK(!r.e->lanes[lane]->up);

    free(event);
    free(reply);
    rig_close(&r);
    return 0;
}
