/* The worker's side: events in, replies, logs and errors out; log bytes that do not fit are counted. */
#include "check.h"

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    stk_outcome o;
    done d;

    submit(&r, 1, "ping", 4);
    worker_takes(w, "ping", 4);
    CHECK(stk_worker_reply(w, STK_RESULT, (const uint8_t *)"pong!", 5) == 0);
    CHECK(reap_one(&r, &d) && d.token == 1 && d.status == STK_OK && !d.extra && d.len == 5);
    CHECK(memcmp(d.data, "pong!", 5) == 0);

    submit(&r, 2, NULL, 0); /* an empty event, an error, and output before it */
    worker_takes(w, "", 0);
    stk_worker_log(w, (const uint8_t *)"hello ", 6);
    stk_worker_log(w, (const uint8_t *)"log", 3);
    CHECK(stk_worker_reply(w, STK_ERROR, (const uint8_t *)"{}", 2) == 0);
    CHECK(reap_one(&r, &d) && d.token == 2 && d.status == STK_FAULT && d.extra);
    CHECK(stk_outcome_of(r.e, d.ticket, &o) && o.len == 2 && o.log_len == 9 && memcmp(o.log, "hello log", 9) == 0);
    CHECK(o.t_submit <= o.t_dispatch && o.t_dispatch <= o.t_start && o.t_start <= o.t_end && o.t_end <= o.t_done);
    stk_call_free(r.e, d.ticket);

    submit(&r, 3, "x", 1); /* more log than the ring holds, and no reader */
    worker_takes(w, "x", 1);
    static uint8_t flood[2 * STK_RING];
    memset(flood, 'l', sizeof flood);
    stk_worker_log(w, flood, sizeof flood);
    uint64_t dropped = w->up->dropped;
    CHECK(dropped > STK_RING / 2 && dropped < sizeof flood);
    CHECK(stk_lane_drain(r.e, lane) == 0);
    CHECK(stk_worker_reply(w, STK_INVALID, (const uint8_t *)"[]", 2) == 0);
    CHECK(reap_one(&r, &d) && d.status == STK_BAD_EVENT);
    CHECK(stk_outcome_of(r.e, d.ticket, &o) && o.log_len == sizeof flood - dropped);
    stk_call_free(r.e, d.ticket);

    submit(&r, 4, "y", 1); /* many small writes are one record, which nobody sees before the reply */
    worker_takes(w, "y", 1);
    uint64_t tail = w->up->tail;
    for (int i = 0; i < 1000; i++) stk_worker_log(w, (const uint8_t *)"0123456789" + i % 8, 2);
    CHECK(w->up->tail == tail && w->log->len == 2000);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    CHECK(reap_one(&r, &d) && stk_outcome_of(r.e, d.ticket, &o) && o.log_len == 2000);
    for (int i = 0; i < 1000; i++) CHECK(memcmp(o.log + i * 2, "0123456789" + i % 8, 2) == 0);
    stk_call_free(r.e, d.ticket);

    CHECK(idle_busy_total(&r) == 1);
    CHECK(worker_dies(&r, w, lane) == 0);
    CHECK(idle_busy_total(&r) == 0);
    rig_close(&r);
    return 0;
}
