/* An invocation's record: its ids, its log, its outcome, and the one way out: complete(). */
#define _GNU_SOURCE
#include <stdlib.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

enum { KEEP_BUFFER = 4096 };

static uint64_t random64(stk_engine *e) { /* xorshift128+: unique, not secret */
    uint64_t a = e->rng[0], b = e->rng[1];
    e->rng[0] = b;
    a ^= a << 23;
    e->rng[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return e->rng[1] + b;
}

stk_call *call_new(stk_engine *e) {
    stk_call *c = e->free_calls;
    if (c) {
        e->free_calls = c->next;
        c->next = NULL;
        return c;
    }
    if (e->n_calls == e->cap_calls) {
        uint32_t cap = e->cap_calls ? e->cap_calls * 2 : 64;
        stk_call **more = realloc(e->calls, cap * sizeof *more);
        if (!more) return NULL;
        e->calls = more;
        e->cap_calls = cap;
    }
    c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->index = e->n_calls;
    e->calls[e->n_calls++] = c;
    return c;
}

void call_identify(stk_engine *e, stk_call *c) {
    uint64_t hi = random64(e), lo = random64(e);
    c->ticket = (hi & 0x7fffffff00000000u) | c->index;
    hi = (hi & ~(uint64_t)0xf0000000000000u) | 0x40000000000000u; /* byte 6, as stored below: version 4 */
    lo = (lo & ~(uint64_t)0xc0u) | 0x80u;                         /* byte 8: the RFC's variant */
    memcpy(c->id, &hi, 8);
    memcpy(c->id + 8, &lo, 8);
}

stk_call *call_find(stk_engine *e, uint64_t ticket) {
    uint32_t index = (uint32_t)ticket;
    if (index >= e->n_calls) return NULL;
    stk_call *c = e->calls[index];
    return c->state != CALL_FREE && c->ticket == ticket ? c : NULL;
}

static void drop_owned(stk_call *c) {
    if (!c->owned) return; /* a call that does nothing is one all the same */
    free(c->owned);
    c->owned = NULL;
}

void call_reset(stk_call *c) {
    drop_owned(c);
    if (c->log) free(c->log);
    c->log = NULL;
    c->log_len = c->log_cap = 0;
    c->log_dropped = 0;
    c->payload = c->large = NULL;
    if (c->out_cap > KEEP_BUFFER && !c->out_foreign) {
        free(c->out);
        c->out = NULL;
        c->out_cap = 0;
    }
    c->out_len = c->born = c->t_dispatch = c->t_start = c->t_end = c->t_done = 0;
    c->cold = c->peak_kib = c->woke = c->attempts = 0;
    c->timeout_ns = 0;
    c->sleeping = SLEEPS_NOT;
    c->prev = c->next = NULL;
    c->box = NULL;
}

void call_recycle(stk_engine *e, stk_call *c) {
    if (c->large) lane_large_free(e, c);
    call_reset(c);
    c->state = CALL_FREE;
    c->next = e->free_calls;
    e->free_calls = c;
}

int bytes_append(uint8_t **buf, uint32_t *len, uint32_t *cap, const uint8_t *data, uint64_t n, uint32_t limit) {
    if (n == 0) return 1;
    if (n > limit - *len) return 0;
    if (*len + n > *cap) {
        uint32_t more = *cap ? *cap : 1024;
        while (more < *len + n) more *= 2;
        uint8_t *grown = realloc(*buf, more);
        if (!grown) return 0;
        *buf = grown;
        *cap = more;
    }
    memcpy(*buf + *len, data, n);
    *len += (uint32_t)n;
    return 1;
}

void call_log(stk_engine *e, stk_call *c, const uint8_t *data, uint64_t len) {
    uint64_t most = LOG_KEEP - c->log_len, kept = len;
    if (len > most) { /* whole lines of it */
        const uint8_t *line = memrchr(data, '\n', most);
        kept = line ? (uint64_t)(line + 1 - data) : 0;
    }
    if (!bytes_append(&c->log, &c->log_len, &c->log_cap, data, kept, LOG_KEEP)) kept = 0;
    c->log_dropped += len - kept;
    e->functions[c->fn]->log_dropped += len - kept;
}

int call_output(stk_call *c, const uint8_t *data, uint64_t len) {
    if (len > c->out_cap) {
        uint8_t *larger = malloc(len > 256 ? len : 256);
        if (!larger) return 0;
        if (!c->out_foreign) free(c->out);
        c->out_foreign = 0;
        c->out = larger;
        c->out_cap = len > 256 ? len : 256;
    }
    if (len) memcpy(c->out, data, len);
    c->out_len = len;
    return 1;
}

void call_outcome(const stk_call *c, stk_outcome *o) {
    o->ticket = c->ticket;
    o->token = c->token;
    o->status = c->status;
    o->detail = c->detail;
    o->data = c->large ? c->large : c->out;
    o->len = c->out_len;
    o->log = c->log;
    o->log_len = c->log_len;
    o->log_dropped = c->log_dropped;
    o->t_submit = c->t_submit;
    o->t_dispatch = c->t_dispatch;
    o->t_start = c->t_start;
    o->t_end = c->t_end;
    o->t_done = c->t_done;
    o->peak_kib = c->peak_kib;
    o->cold = c->cold;
    o->born = c->born;
    memcpy(o->id, c->id, sizeof o->id);
}

static void count(stk_function *f, const stk_call *c) {
    if (c->status == STK_CANCELLED || c->status == STK_CLOSED) {
        f->cancelled++;
        return;
    }
    f->invocations++;
    if (c->status != STK_OK) f->errors++;
    if (c->status == STK_TIMEOUT) f->timeouts++;
    if (c->status == STK_CRASH || c->status == STK_MEMORY) f->crashes++;
    if (c->cold) f->cold_starts++;
    stk_histogram_add(&f->latency, c->t_done - c->t_submit);
    if (c->t_end) stk_histogram_add(&f->duration, c->t_end - c->t_start);
}

void call_notify(stk_engine *e, stk_call *c) {
    c = call_root(e, c);
    if (c->owner != OWNER_THREAD) return;
    stk_add(&c->word, 1, STK_RELEASE); /* the thread may be spinning on it */
    if (c->sleeping == SLEEPS_ON_WORD) {
        stk_wake(&c->word);
    } else if (c->sleeping == SLEEPS_ON_LANE) { /* the thread holds a reference: the lane is mapped */
        stk_lane *l = e->lanes[c->sleep_lane];
        stk_ring_bell(&l->up->bell);
    }
    c->sleeping = SLEEPS_NOT;
}

void complete(stk_engine *e, stk_call *c, uint32_t status, int32_t detail) {
    complete_at(e, c, status, detail, stk_now());
}

void complete_at(stk_engine *e, stk_call *c, uint32_t status, int32_t detail, uint64_t now) {
    c->status = status;
    c->detail = detail;
    c->t_done = now;
    c->state = CALL_DONE;
    e->in_flight--;
    drop_owned(c);
    c->payload = NULL;
    count(e->functions[c->fn], c);
    if (c->owner == OWNER_THREAD) {
        call_notify(e, c);
        return;
    }
    if (c->owner == OWNER_LANE) {
        lane_call_done(e, c);
        return;
    }
    if (c->owner == OWNER_NONE) {
        call_recycle(e, c);
        return;
    }
    stk_box *box = c->box;
    c->next = NULL;
    if (box->tail)
        box->tail->next = c;
    else
        box->head = c;
    box->tail = c;
    box->ready++;
    if (box->asleep) {
        box->asleep = 0;
        if (box->is_loop) {
            stk_ring_eventfd(e->loop_fd);
        } else {
            stk_add(&box->word, 1, STK_RELEASE);
            stk_wake(&box->word);
        }
    }
}
