/* Boxes: the completion queue of a consumer with many invocations in flight, which may be a loop that sleeps elsewhere. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

stk_box *stk_box_new(stk_engine *e, int is_loop, uint64_t *words, int max, uint8_t *buf, uint64_t cap) {
    stk_box *box = calloc(1, sizeof *box);
    if (box) {
        engine_ref(e);
        box->engine = e;
        box->words = words;
        box->max = max;
        box->buf = buf;
        box->cap = cap;
        box->is_loop = is_loop;
        box->asleep = is_loop;
    }
    return box;
}

void stk_box_free(stk_box *box) {
    stk_engine *e = box->engine;
    if (e->disowned) return;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_calls; i++) {
        stk_call *c = e->calls[i];
        if (c->state == CALL_FREE || c->box != box) continue;
        if (c->state == CALL_WAITING) {
            line_remove(e, e->functions[c->fn], c);
            e->functions[c->fn]->cancelled++;
            e->in_flight--;
            call_recycle(e, c);
        } else if (c->state == CALL_IN_LANE) {
            stk_lane *l = e->lanes[c->lane];
            c->owner = OWNER_NONE;
            c->box = NULL;
            if (!l->filling && lane_withdraw(e, l, c->seq)) {
                e->functions[c->fn]->in_lanes--;
                if (c->len > STK_INLINE) l->large_out = 0;
                complete(e, c, STK_CANCELLED, 0);
            }
            lane_abandoned(e, l); /* may complete other invocations of this box: its list must be valid until then */
        }
    }
    for (uint32_t i = 0; i < e->n_calls; i++) {
        stk_call *c = e->calls[i];
        if (c->state == CALL_DONE && c->box == box) call_recycle(e, c);
    }
    free(box);
    pthread_mutex_unlock(&e->lock);
    engine_unref(e);
}

static int reap(stk_engine *e, stk_box *box) {
    uint64_t used = 0, *out = box->words;
    int n = 0;
    while (n < box->max && box->head) {
        stk_call *c = box->head;
        int extra = c->status != STK_OK || c->large || c->log_len || c->log_dropped || c->cold ||
                    (c->flags & STK_WANT_TAIL) || c->out_len > STK_CELL_BYTES;
        if (!extra && used + c->out_len > box->cap) break;
        box->head = c->next;
        if (!box->head) box->tail = NULL;
        box->ready--;
        box->open--;
        out[n * 4] = c->token;
        out[n * 4 + 1] = c->status | (uint64_t)extra << 8 | c->out_len << 32;
        out[n * 4 + 2] = used;
        out[n * 4 + 3] = c->ticket;
        n++;
        c->box = NULL;
        c->next = NULL;
        if (extra) continue;
        if (c->out_len) memcpy(box->buf + used, c->out, c->out_len);
        used += c->out_len;
        call_recycle(e, c);
    }
    return n;
}

int stk_reap(stk_box *box) {
    stk_engine *e = box->engine;
    pthread_mutex_lock(&e->lock);
    drain_busy(e);
    int n = reap(e, box);
    pthread_mutex_unlock(&e->lock);
    return n;
}

int stk_reap_spin(stk_box *box, uint64_t ns) {
    stk_engine *e = box->engine;
    uint64_t until = 0;
    int n;
    for (;;) {
        pthread_mutex_lock(&e->lock);
        drain_busy(e);
        n = reap(e, box);
        /* Cores that run workers now, not what is in flight: so short a look finds several replies at once when many are,
         * and counts no core. With may_spin(e) 16 and 64 awaited calls were a fifth slower. */
        int pays = !n && ns && e->spin_ns && running(e) + e->spinning <= e->cores && any_elsewhere(e);
        pthread_mutex_unlock(&e->lock);
        if (!pays) return n;
        uint64_t now = stk_now();
        if (!until) until = now + ns;
        if (now >= until) return 0;
        for (unsigned i = 0; i < 4; i++) stk_relax();
    }
}

int stk_reap_wait(stk_box *box, uint64_t ns) {
    stk_engine *e = box->engine;
    uint64_t start = stk_now(), until = start + e->spin_ns;
    int n = 0, rc = 0;
    pthread_mutex_lock(&e->lock);
    for (;;) {
        drain_busy(e);
        if ((n = reap(e, box))) break;
        uint64_t now = stk_now();
        if (now - start >= ns) break;
        if (rc == -EINTR || rc == -ETIMEDOUT) {
            n = STK_SIGNALLED;
            break;
        }
        if (e->spin_ns && may_spin(e) && now < until && any_elsewhere(e)) {
            e->spinning++;
            pthread_mutex_unlock(&e->lock);
            for (unsigned i = 0; i < 4; i++) stk_relax();
            pthread_mutex_lock(&e->lock);
            e->spinning--;
            continue;
        }
        uint32_t word = stk_load(&box->word, STK_RELAXED);
        box->asleep = 1;
        request_bell(e);
        drain_busy(e);
        if (!box->head) {
            uint64_t left = ns - (now - start);
            pthread_mutex_unlock(&e->lock);
            rc = stk_sleep(&box->word, word, left < RECHECK_NS ? left : RECHECK_NS);
            pthread_mutex_lock(&e->lock);
        }
        box->asleep = 0;
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

int stk_loop_cold(stk_box *box) {
    stk_engine *e = box->engine;
    pthread_mutex_lock(&e->lock);
    e->loop_hot = 0;
    box->asleep = 1;
    request_bell(e);
    drain_busy(e);
    int ready = box->head != NULL;
    if (ready) {
        box->asleep = 0;
        e->loop_hot = 1;
    }
    pthread_mutex_unlock(&e->lock);
    return ready;
}

void stk_loop_hot(stk_box *box) {
    stk_engine *e = box->engine;
    pthread_mutex_lock(&e->lock);
    e->loop_hot = 1;
    box->asleep = 0;
    for (uint32_t i = 0; i < e->n_busy; i++) {
        stk_a32 *asleep = &e->lanes[e->busy[i]]->down->asleep;
        if (stk_load(asleep, STK_RELAXED) & STK_RING_LOOP) stk_and(asleep, ~STK_RING_LOOP, STK_RELAXED);
    }
    pthread_mutex_unlock(&e->lock);
}
