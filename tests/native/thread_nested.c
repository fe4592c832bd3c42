/* A handler that calls another function by its lane: a thread waits for the whole, and each call ends exactly once. */
#include "check.h"

static rig r;
static uint32_t inner_fn;

static stk_worker *ready_of(uint32_t fn, uint32_t *lane) {
    rig other = r;
    other.fn = fn;
    return worker_ready(&other, lane);
}

static void *echo(void *arg) {
    stk_worker *w = arg;
    for (int64_t rc; (rc = stk_worker_next(w)) != STK_W_SHUTDOWN;) {
        if (rc == STK_W_SIGNAL) continue;
        CHECK(stk_worker_reply(w, STK_RESULT, w->payload, w->event.len) == 0);
    }
    worker_close(w);
    return NULL;
}

/* Sends its event on to "inner" and replies with what comes back; a refusal's status if it is refused. */
static void *sends_on(void *arg) {
    stk_worker *w = arg;
    stk_return end;
    const uint8_t *data;
    for (int64_t rc; (rc = stk_worker_next(w)) != STK_W_SHUTDOWN;) {
        if (rc == STK_W_SIGNAL) continue;
        const char *name = w->event.len == 3 ? "outer" : "inner";
        CHECK(stk_worker_call(w, w->event.id, STK_ABSENT, 0, (const uint8_t *)name, 5, w->payload, w->event.len, &end,
                              &data) == 0);
        const uint8_t *reply = end.status < 0 ? (const uint8_t *)&end.status : data;
        CHECK(stk_worker_reply(w, STK_RESULT, reply, end.status < 0 ? sizeof end.status : end.len) == 0);
        stk_worker_call_over(w, &end);
    }
    worker_close(w);
    return NULL;
}

static int again; /* how often the thread was not woken within 100 ms: a busy machine, or a wake that was lost */

static int64_t call(stk_cell *cell, const void *data, uint64_t len) {
    int64_t n = cell_call(cell, r.fn, 0, data, len);
    for (; n == STK_SIGNALLED; again++) n = stk_cell_wait(cell);
    return n;
}

static void calls(uint64_t spin_ns) {
    pthread_t threads[2];
    uint32_t outer, inner;
    static uint8_t big[LARGE / 2];
    r = rig_open(spin_ns, 10 * SECOND, 10);
    inner_fn = (uint32_t)stk_function_new(r.e, 10 * SECOND, LARGE, 10);
    CHECK(stk_function_name(r.e, inner_fn, (const uint8_t *)"inner", 5, 1, 0) == 0);
    CHECK(stk_function_name(r.e, r.fn, (const uint8_t *)"outer", 5, 1, 0) == 0);
    stk_worker *w = worker_ready(&r, &outer), *v = ready_of(inner_fn, &inner);
    CHECK(pthread_create(&threads[0], NULL, sends_on, w) == 0 && pthread_create(&threads[1], NULL, echo, v) == 0);
    stk_cell *cell = stk_cell_new(r.e);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t sent = i * 7;
        CHECK(call(cell, &sent, sizeof sent) == sizeof sent);
        CHECK(memcmp(cell->data, &sent, sizeof sent) == 0);
    }
    big[77] = 5;
    CHECK(call(cell, big, sizeof big) == -1);
    CHECK(cell->outcome.status == STK_OK && cell->outcome.len == sizeof big && cell->outcome.data[77] == 5);
    stk_cell_clear(cell);
    int32_t refused; /* it called itself, and has one worker */
    CHECK(call(cell, "xyz", 3) == sizeof refused);
    memcpy(&refused, cell->data, sizeof refused);
    CHECK(refused == STK_DEADLOCK);
    CHECK(r.e->n_busy == 0 && r.e->calling == 0);

    /* The callee dies: its caller learns of that, and what it is a part of ends. */
    stk_lane_retire(r.e, inner);
    pthread_join(threads[1], NULL);
    stk_lane_dead(r.e, inner, STK_CRASH, 0);
    uint64_t token = submit(&r, 9, "eightbit", 8);
    CHECK(token);
    for (int n = 0; r.e->calling == 0 && n < 5000; n++) {
        stk_drain_all(r.e);
        usleep(1000);
    }
    stk_function_end(r.e, inner_fn); /* its line is cancelled */
    done d = {0};
    for (int n = 0; !reap_one(&r, &d) && n < 5000; n++) usleep(1000);
    CHECK(d.token == 9 && d.status == STK_OK);
    if (d.extra) stk_call_free(r.e, d.ticket);
    stk_lane_retire(r.e, outer);
    pthread_join(threads[0], NULL);
    stk_lane_dead(r.e, outer, STK_CRASH, 0);
    stk_cell_free(cell);
    stk_function_free(r.e, inner_fn);
    rig_close(&r);
}

int main(void) {
    calls(0);
    calls(50000);
    CHECK(again < 100); /* of 600 */
    return 0;
}
