/* Functions: their slots in the engine's table, from the first to the last that refers to one.
 *
 * A caller names a function by its index, without a lock and for as long as it likes: a map() that reads its events
 * slowly outlives many redeployments. So an index is nobody else's while anything may name it. A slot is freed when
 *
 *   held = 0          its owner has given it back. Whoever may name the index, callers, the control loop and what is
 *                     queued for it, refers to the owner (engine/calls/dispatch.py, FunctionSlot);
 *   predecessors = 0  no other function forwards to it.
 *
 * Then it has no lane and no invocation either: the control loop's record refers to the owner until each of the
 * function's lanes is dead and its line has been cancelled (`ended`), a closed function takes no submission, and
 * only the lanes of a predecessor could bring one back to its line. What has completed names a function no more.
 *
 * A function that is replaced forwards to its successor: callers that still name it reach that. Successors have none
 * themselves, so that those between the first and the last can go.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "engine/internal.h"

/* One more slot, free. */
static int slots_grow(stk_engine *e) {
    if (e->n_functions == e->cap_functions) {
        uint32_t cap = e->cap_functions ? e->cap_functions * 2 : 8;
        stk_function **functions = realloc(e->functions, cap * sizeof *functions);
        if (!functions) return 0;
        e->functions = functions;
        uint32_t *order = realloc(e->order, cap * sizeof *order);
        if (!order) return 0;
        e->order = order;
        e->cap_functions = cap;
    }
    e->functions[e->n_functions] = NULL;
    e->order[e->n_functions] = e->n_functions;
    e->n_functions++;
    return 1;
}

int32_t stk_function_new(stk_engine *e, uint64_t timeout_ns, uint64_t max_payload, uint32_t max_waiting) {
    pthread_mutex_lock(&e->lock);
    int32_t index = STK_NO_MEMORY;
    stk_function *f = calloc(1, sizeof *f);
    if (f && (e->n_live < e->n_functions || slots_grow(e))) {
        f->held = f->open = 1;
        f->timeout_ns = timeout_ns;
        f->max_payload = max_payload < e->large ? max_payload : e->large;
        f->max_waiting = max_waiting;
        f->max_lanes = UINT32_MAX;
        f->at = e->n_live++;
        index = (int32_t)e->order[f->at];
        e->functions[index] = f;
        e->users++;
    } else {
        free(f);
    }
    pthread_mutex_unlock(&e->lock);
    return index;
}

void function_drop(stk_engine *e, uint32_t fn) {
    stk_function *f = e->functions[fn];
    uint32_t last = e->order[--e->n_live];
    e->order[f->at] = last;
    e->functions[last]->at = f->at;
    e->order[e->n_live] = fn;
    e->functions[fn] = NULL;
    free(f->lanes);
    free(f->idle);
    free(f->name);
    free(f);
}

static void unname(stk_function *f) {
    free(f->name);
    f->name = NULL;
}

int stk_function_name(stk_engine *e, uint32_t fn, const uint8_t *name, uint64_t len, uint32_t max_lanes, uint32_t raw) {
    char *copy = len ? malloc(len) : NULL;
    if (len && !copy) return STK_NO_MEMORY;
    if (len) memcpy(copy, name, len);
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; len && i < e->n_live; i++) {
        stk_function *f = e->functions[e->order[i]];
        if (f->name && f->name_len == len && memcmp(f->name, name, len) == 0) unname(f);
    }
    stk_function *f = e->functions[fn];
    unname(f);
    f->name = copy;
    f->name_len = len;
    f->max_lanes = len ? max_lanes : UINT32_MAX;
    f->raw = raw;
    pthread_mutex_unlock(&e->lock);
    return 0;
}

static void drop_if_unused(stk_engine *e, uint32_t fn) {
    stk_function *f = e->functions[fn];
    if (f->held || f->predecessors || f->n_lanes || f->waiting || f->in_lanes) return; /* the last three: see above */
    uint32_t successor = f->successor;
    function_drop(e, fn);
    if (successor) {
        e->functions[successor - 1]->predecessors--;
        drop_if_unused(e, successor - 1); /* once: a successor has none */
    }
}

void stk_function_free(stk_engine *e, uint32_t fn) {
    if (e->disowned) return;
    pthread_mutex_lock(&e->lock);
    e->functions[fn]->held = 0;
    drop_if_unused(e, fn);
    pthread_mutex_unlock(&e->lock);
    stk_engine_free(e); /* the owner's reference */
}

uint32_t stk_functions_live(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    uint32_t n = e->n_live;
    pthread_mutex_unlock(&e->lock);
    return n;
}

static void forward(stk_engine *e, uint32_t from, uint32_t to) {
    stk_function *f = e->functions[from];
    if (f->successor) e->functions[f->successor - 1]->predecessors--;
    f->successor = to + 1;
    e->functions[to]->predecessors++;
}

void stk_function_move(stk_engine *e, uint32_t from, uint32_t to) {
    pthread_mutex_lock(&e->lock);
    to = line_owner(e, to);
    stk_function *a = e->functions[from], *b = e->functions[to];
    for (uint32_t i = 0; a->predecessors && i < e->n_live; i++)
        if (e->functions[e->order[i]]->successor == from + 1) forward(e, e->order[i], to);
    forward(e, from, to);
    for (stk_call *c; (c = a->tail);) { /* from the back, each to the front: in order */
        line_remove(e, a, c);
        c->fn = to;
        if (b->ended) {
            complete(e, c, STK_CANCELLED, 0);
            continue;
        }
        line_push(e, b, c, 1); /* its payload is copied already: cannot fail */
        call_notify(e, c);
    }
    line_pump(e, b);
    pthread_mutex_unlock(&e->lock);
}

static void fail_line(stk_engine *e, stk_function *f, uint32_t status, int32_t detail, const uint8_t *data, uint64_t len) {
    for (stk_call *c; (c = f->head);) {
        line_remove(e, f, c);
        if (len && c->owner != OWNER_NONE) call_output(c, data, len);
        complete(e, c, status, detail);
    }
}

void stk_function_fail(stk_engine *e, uint32_t fn, uint32_t status, int32_t detail, const uint8_t *data, uint64_t len) {
    pthread_mutex_lock(&e->lock);
    fail_line(e, e->functions[fn], status, detail, data, len);
    pthread_mutex_unlock(&e->lock);
}

void stk_function_close(stk_engine *e, uint32_t fn) {
    pthread_mutex_lock(&e->lock);
    e->functions[fn]->open = 0;
    pthread_mutex_unlock(&e->lock);
}

void stk_function_end(stk_engine *e, uint32_t fn) {
    pthread_mutex_lock(&e->lock);
    stk_function *f = e->functions[fn];
    f->open = f->kicked = 0;
    f->ended = 1;
    fail_line(e, f, STK_CANCELLED, 0, NULL, 0);
    pthread_mutex_unlock(&e->lock);
}
