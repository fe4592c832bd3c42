/* A handler's calls of other functions: a record in the worker's own lane, and the end of it in the engine's memory. */
#define _GNU_SOURCE
#include "shared/doorbell.h"
#include "worker/lock.h"
#include "worker/worker.h"

static int ended(stk_worker *w) { return stk_load(&w->down->returned, STK_ACQUIRE) == w->calls; }

void stk_worker_call_over(stk_worker *w, const stk_return *out) {
    if (w->holder != out) return;
    w->holder = NULL;
    stk_unlock(&w->calling);
}

int stk_worker_call_wait(stk_worker *w, stk_return *out, const uint8_t **data) {
    while (!ended(w)) {
        if (!w->busy || w->event.seq != w->caller) { /* a thread that its handler left behind */
            stk_worker_call_over(w, out);
            return STK_W_OVER;
        }
        if (!stk_worker_wait(w, ended, STK_FOR_RETURN)) return STK_W_SIGNAL;
    }
    *out = w->down->end;
    *data = stk_returned_at(w->down, w->large);
    return 0;
}

int stk_worker_call(stk_worker *w, const uint8_t *id, uint32_t hint, uint32_t flags, const uint8_t *name, uint64_t name_len,
                    const uint8_t *event, uint64_t len, stk_return *out, const uint8_t **data) {
    if (w->forked) return STK_W_OVER;
    if (stk_lock_or_signal(&w->calling) < 0) return STK_W_QUEUED;
    w->holder = out;
    stk_record *r = NULL;
    stk_lock(&w->writing);
    int over = !w->busy || memcmp(w->event.id, id, sizeof w->event.id) != 0;
    if (!over) r = stk_worker_reserve(w, STK_CALL, name_len + len);
    if (!r) {
        stk_unlock(&w->writing);
        stk_worker_call_over(w, out);
        return over ? STK_W_OVER : STK_W_BROKEN;
    }
    uint8_t *to = r->flags & STK_LARGE ? stk_large_at(w->up) : (uint8_t *)(r + 1);
    memcpy(to, name, name_len);
    if (len) memcpy(to + name_len, event, len);
    r->flags |= flags;
    r->t0 = name_len;
    r->t1 = ++w->calls;
    w->caller = w->event.seq;
    r->aux = hint;
    stk_worker_commit(w);
    stk_unlock(&w->writing);
    stk_worker_doorbell(w);
    return stk_worker_call_wait(w, out, data);
}
