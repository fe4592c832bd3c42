/* Slots of functions: used again once nothing refers to them, and not before; callers that name a function which is
 * replaced again and again reach its last successor. */
#include "check.h"

enum { CALLERS = 3, REPLACED = 400 };

static uint32_t function_new(rig *r) {
    int32_t fn = stk_function_new(r->e, SECOND, LARGE, 10);
    CHECK(fn >= 0);
    return (uint32_t)fn;
}

static void removed(rig *r, uint32_t fn) { /* as the control loop does it, then its owner */
    stk_function_close(r->e, fn);
    stk_function_end(r->e, fn);
    stk_function_free(r->e, fn);
}

static void a_slot_is_used_again(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t indices[4], found[8];
    for (int turn = 0; turn < 100; turn++) {
        for (int i = 0; i < 4; i++) indices[i] = function_new(&r);
        CHECK(stk_functions_live(r.e) == 5);
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < i; k++) CHECK(indices[i] != indices[k] && indices[i] != r.fn);
        for (int i = 0; i < 4; i++) removed(&r, indices[(turn + i) % 4]);
        CHECK(stk_functions_live(r.e) == 1 && r.e->n_functions == 5);
    }
    CHECK(stk_pressed(r.e, found, 8) == 0);
    CHECK(stk_submit(r.box, indices[0], 1, 0, NULL, 0) == STK_NO_FUNCTION);
    CHECK(stk_submit(r.box, 77, 1, 0, NULL, 0) == STK_NO_FUNCTION);
    rig_close(&r);
}

static void a_name_held_reaches_the_last_successor(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t first = r.fn, lane;
    submit(&r, 1, "a", 1);
    for (int i = 0; i < 100; i++) {
        uint32_t before = r.fn;
        r.fn = function_new(&r);
        stk_function_move(r.e, before, r.fn);
        stk_function_close(r.e, before);
        stk_function_end(r.e, before);
        if (before != first) stk_function_free(r.e, before);
        CHECK(stk_functions_live(r.e) == 2 && r.e->n_functions <= 3);
    }
    stk_worker *w = worker_ready(&r, &lane);
    worker_takes(w, "a", 1); /* what waited has come along */
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 1, STK_OK);
    CHECK(stk_submit(r.box, first, 2, 0, (const uint8_t *)"b", 1) > 0); /* the caller has not heard of any of it */
    worker_takes(w, "b", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 2, STK_OK);
    worker_dies(&r, w, lane);
    removed(&r, r.fn); /* the name is held: both slots stay */
    CHECK(stk_functions_live(r.e) == 2 && stk_submit(r.box, first, 3, 0, NULL, 0) == STK_NO_FUNCTION);
    r.fn = first;
    rig_close(&r);
}

static void what_comes_back_to_an_ended_successor_is_cancelled(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t lane, after = function_new(&r);
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1); /* in the lane; the worker never takes it */
    stk_function_move(r.e, r.fn, after);
    stk_function_close(r.e, r.fn);
    removed(&r, after);
    CHECK(stk_functions_live(r.e) == 2); /* its predecessor's lane may bring something back */
    worker_dies(&r, w, lane);
    reaps(&r, 1, STK_CANCELLED);
    rig_close(&r); /* which looks that no slot is left */
}

static void a_line_moved_to_an_ended_function_is_cancelled(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t after = function_new(&r);
    submit(&r, 1, "a", 1);
    stk_function_close(r.e, after);
    stk_function_end(r.e, after);
    stk_function_move(r.e, r.fn, after);
    reaps(&r, 1, STK_CANCELLED);
    stk_function_free(r.e, after);
    rig_close(&r);
}

/* Callers on other threads, while their function is replaced. */

typedef struct {
    uint32_t fn, lane;
    int refs; /* under `names`: who may name it */
    stk_worker *w;
    pthread_t thread;
} version;

static rig r;
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static version *current;
static int over;

static void forget(version *v) {
    pthread_mutex_lock(&names);
    int left = --v->refs;
    pthread_mutex_unlock(&names);
    if (left) return;
    stk_function_free(r.e, v->fn);
    free(v);
}

static void *serve(void *arg) {
    version *v = arg;
    CHECK(stk_worker_reply(v->w, STK_READY, NULL, 0) == 0);
    for (;;) {
        int64_t at = stk_worker_next(v->w);
        if (at == STK_W_SHUTDOWN) return NULL;
        if (at != STK_W_SIGNAL) CHECK(stk_worker_reply(v->w, STK_RESULT, v->w->payload, v->w->event.len) == 0);
    }
}

static version *version_new(void) {
    version *v = calloc(1, sizeof *v);
    CHECK(v);
    v->refs = 2; /* the control loop's, and the name's */
    v->fn = function_new(&r);
    rig its = r;
    its.fn = v->fn;
    v->w = worker_new(&its, &v->lane);
    CHECK(pthread_create(&v->thread, NULL, serve, v) == 0);
    return v;
}

static void version_over(version *v, version *next) {
    stk_steal(r.e, stk_now(), 0);
    if (next) stk_function_move(r.e, v->fn, next->fn);
    stk_function_close(r.e, v->fn);
    stk_lane_retire(r.e, v->lane);
    pthread_join(v->thread, NULL);
    stk_lane_dead(r.e, v->lane, STK_CRASH, 0);
    worker_close(v->w);
    stk_function_end(r.e, v->fn);
    forget(v);
}

static void *call(void *arg) {
    stk_cell *cell = stk_cell_new(r.e);
    CHECK(cell);
    for (uint64_t i = (uint64_t)(uintptr_t)arg;; i += CALLERS) {
        pthread_mutex_lock(&names);
        version *v = current;
        int stop = over;
        v->refs++;
        pthread_mutex_unlock(&names);
        for (int k = 0; k < 5 && !stop; k++) { /* it may have been replaced long ago */
            int64_t rc = cell_call(cell, v->fn, 0, (uint8_t *)&i, sizeof i);
            while (rc == STK_SIGNALLED) rc = stk_cell_wait(cell);
            CHECK(rc == sizeof i && memcmp(cell->data, &i, sizeof i) == 0);
        }
        forget(v);
        if (stop) break;
    }
    stk_cell_free(cell);
    return NULL;
}

static void callers_go_on_while_it_is_replaced(void) {
    pthread_t threads[CALLERS];
    r = rig_open(0, 30 * SECOND, 100);
    current = version_new();
    for (int i = 0; i < CALLERS; i++) CHECK(pthread_create(&threads[i], NULL, call, (void *)(uintptr_t)i) == 0);
    for (int i = 0; i < REPLACED; i++) {
        version *next = version_new(), *before;
        pthread_mutex_lock(&names);
        before = current;
        current = next;
        pthread_mutex_unlock(&names);
        version_over(before, next);
        forget(before);
        CHECK(stk_engine_pending(r.e) <= CALLERS);
    }
    pthread_mutex_lock(&names);
    over = 1;
    pthread_mutex_unlock(&names);
    for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
    CHECK(stk_functions_live(r.e) == 2 && r.e->n_functions <= 4 + 2 * CALLERS);
    version *last = current;
    version_over(last, NULL);
    forget(last);
    rig_close(&r);
}

int main(void) {
    a_slot_is_used_again();
    a_name_held_reaches_the_last_successor();
    what_comes_back_to_an_ended_successor_is_cancelled();
    a_line_moved_to_an_ended_function_is_cancelled();
    callers_go_on_while_it_is_replaced();
    return 0;
}
