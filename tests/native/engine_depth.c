/* Several invocations in one lane: run in order, skipped in order when withdrawn; and the waiting line behind it. */
#include "check.h"
#include "engine/internal.h"

static void warm_up(rig *r, stk_worker *w) {
    submit(r, 99, "w", 1);
    worker_takes(w, "w", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(r, 99, STK_OK);
}

/* A function whose invocations are short, however slow this build is: it may have several in one lane. */
static uint64_t submit_ahead(rig *r, uint32_t lane, uint64_t token, const char *text) {
    if (r->e->lanes[lane]->t_head) r->e->lanes[lane]->t_head = stk_now() + SECOND; /* not stuck, however slow this is */
    r->e->functions[r->fn]->ewma_ns = 1000;
    return submit(r, token, text, strlen(text));
}

static void finish(rig *r, stk_worker *w, const char *text, uint64_t token) {
    worker_takes(w, text, strlen(text));
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(r, token, STK_OK);
}

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane, other;
    uint64_t t[4];
    stk_worker *w = worker_ready(&r, &lane);
    warm_up(&r, w);

    for (uint64_t i = 0; i < 3; i++) submit_ahead(&r, lane, i, "abc" + i);
    CHECK(lane_depth(r.e->lanes[lane]) == 3);
    finish(&r, w, "abc", 0);
    finish(&r, w, "bc", 1);
    finish(&r, w, "c", 2);

    /* Cancel: an invocation that waits in the lane is withdrawn, one that has begun is not. */
    for (uint64_t i = 0; i < 3; i++) t[i] = submit_ahead(&r, lane, i, "abc" + i);
    worker_takes(w, "abc", 3);
    CHECK(stk_cancel(r.e, t[0]) == 0 && stk_cancel(r.e, t[1]) == 1 && stk_cancel(r.e, t[1]) == 0);
    reaps(&r, 1, STK_CANCELLED);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 0, STK_OK);
    worker_takes(w, "c", 1); /* and sends SKIPPED for the second */
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 2, STK_OK);
    CHECK(lane_depth(r.e->lanes[lane]) == 0 && idle_busy_total(&r) == 1);

    /* Steal: the head is slow; the ones behind it move to another lane, in order, and do not start here. */
    for (uint64_t i = 0; i < 3; i++) t[i] = submit_ahead(&r, lane, i, "abc" + i);
    worker_takes(w, "abc", 3);
    CHECK(stk_steal(r.e, r.e->lanes[lane]->t_head + 10, 100) == 0); /* patience */
    stk_worker *v = worker_ready(&r, &other);
    CHECK(stk_steal(r.e, r.e->lanes[lane]->t_head + 1000, 100) == 2);
    finish(&r, v, "bc", 1);
    if (!stk_ring_ready(&v->rx)) stk_lane_drain(r.e, other);
    finish(&r, v, "c", 2);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 0, STK_OK);
    submit_ahead(&r, lane, 7, "g"); /* to either; the first lane's skips are read first */
    stk_worker *next = stk_ring_ready(&v->rx) ? v : w;
    finish(&r, next, "g", 7);
    CHECK(stk_engine_lost(r.e) == 0);
    worker_dies(&r, v, other);

    /* A submission moves the line, too: the worker need not wait for a reap. */
    stk_function *f = r.e->functions[r.fn];
    f->ewma_ns = 4 * STK_STUCK_NS; /* one at a time */
    submit(&r, 0, "abc", 3);
    submit(&r, 1, "bc", 2);
    worker_takes(w, "abc", 3);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0 && !stk_ring_ready(&w->rx));
    f->t_read = 0; /* long ago */
    submit(&r, 2, "c", 1);
    CHECK(f->waiting == 1 && f->t_read != 0);
    worker_takes(w, "bc", 2);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 0, STK_OK);
    reaps(&r, 1, STK_OK);
    finish(&r, w, "c", 2);

    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
