/* The engine's own API: its life, submission, cancellation, counters. */
#define _GNU_SOURCE
#include "engine/queue.h"

#include <stdlib.h>
#include <sys/random.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

/* While invocations wait in line, a submission drains its function's lanes if none did for this long: a caller that
 * submits many before it reaps must not leave workers idle. Draining at each would cost more than it gains. */
static const uint64_t READ_NS = 20000;

stk_engine *stk_engine_new(uint64_t large, uint32_t cores, uint64_t spin_ns, uint64_t max_waiting_bytes, int control_fd,
                           int loop_fd) {
    stk_engine *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    pthread_mutex_init(&e->lock, NULL);
    e->users = 1;
    e->large = large;
    e->cores = cores;
    e->spin_ns = cores > 1 ? spin_ns : 0;
    e->max_spinners = e->spin_ns ? spin_workers(cores) : 0;
    e->max_waiting_bytes = max_waiting_bytes;
    e->control_fd = control_fd;
    e->loop_fd = loop_fd;
    if (getrandom(e->rng, sizeof e->rng, 0) != sizeof e->rng) e->rng[0] = stk_now();
    e->rng[1] |= 1;
    return e;
}

void stk_engine_close(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    e->closed = 1;
    lane_drop_spare(e);
    pthread_mutex_unlock(&e->lock);
}

void stk_engine_free(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    uint32_t left = --e->users;
    pthread_mutex_unlock(&e->lock);
    if (left) return; /* a cell, a box or a function still refers to it: the last one frees */
    lane_drop_spare(e);
    for (uint32_t i = 0; i < e->n_lanes; i++) free(e->lanes[i]);
    while (e->n_live) function_drop(e, e->order[0]);
    for (uint32_t i = 0; i < e->n_calls; i++) {
        call_reset(e->calls[i]);
        if (!e->calls[i]->out_foreign) free(e->calls[i]->out);
        free(e->calls[i]);
    }
    free(e->lanes);
    free(e->functions);
    free(e->order);
    free(e->calls);
    free(e->busy);
    free(e->watch);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void stk_engine_disown(stk_engine *e) {
    pthread_mutex_init(&e->lock, NULL); /* its holder is not in this process */
    e->closed = 1;
    e->disowned = 1;
}

uint64_t stk_engine_pending(stk_engine *e) {
    uint64_t n = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_busy; i++) lane_drain(e, e->lanes[e->busy[i]]);
    for (uint32_t i = 0; i < e->n_live; i++) {
        const stk_function *f = e->functions[e->order[i]];
        n += f->waiting + f->in_lanes;
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

uint64_t stk_engine_lost(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    uint64_t lost = e->lost;
    pthread_mutex_unlock(&e->lock);
    return lost;
}

void stk_function_stats_read(stk_engine *e, uint32_t fn, stk_function_stats *s) {
    pthread_mutex_lock(&e->lock);
    stk_function *f = e->functions[fn];
    for (uint32_t i = 0; i < f->n_lanes; i++) lane_drain(e, e->lanes[f->lanes[i]]);
    memset(s, 0, sizeof *s);
    s->timeout_ns = f->timeout_ns;
    s->max_payload = f->max_payload;
    s->waiting = f->waiting;
    s->in_lanes = f->in_lanes;
    s->lanes = f->n_lanes;
    s->idle = f->n_idle;
    for (uint32_t i = 0; i < f->n_lanes; i++) {
        stk_lane *l = e->lanes[f->lanes[i]];
        if (l->state == LANE_STARTING) s->starting++;
        else if (lane_depth(l)) s->busy++;
    }
    s->ewma_ns = f->ewma_ns;
    s->oldest_ns = f->head ? stk_now() - f->head->t_submit : 0;
    s->invocations = f->invocations;
    s->errors = f->errors;
    s->timeouts = f->timeouts;
    s->crashes = f->crashes;
    s->throttles = f->throttles;
    s->cold_starts = f->cold_starts;
    s->late = f->late;
    s->skipped = f->skipped;
    s->cancelled = f->cancelled;
    s->log_dropped = f->log_dropped;
    s->p50 = stk_histogram_quantile(&f->latency, 0.5);
    s->p90 = stk_histogram_quantile(&f->latency, 0.9);
    s->p99 = stk_histogram_quantile(&f->latency, 0.99);
    s->p999 = stk_histogram_quantile(&f->latency, 0.999);
    s->max = f->latency.max;
    s->mean = f->latency.count ? f->latency.sum / f->latency.count : 0;
    s->d50 = stk_histogram_quantile(&f->duration, 0.5);
    s->d99 = stk_histogram_quantile(&f->duration, 0.99);
    pthread_mutex_unlock(&e->lock);
}

void stk_function_load(stk_engine *e, uint32_t fn, stk_load_now *s) {
    pthread_mutex_lock(&e->lock);
    stk_function *f = e->functions[fn];
    uint64_t now = stk_now();
    memset(s, 0, sizeof *s);
    s->waiting = f->waiting;
    s->lanes = f->n_lanes;
    s->idle = f->n_idle;
    for (uint32_t i = 0; i < f->n_lanes; i++) {
        stk_lane *l = e->lanes[f->lanes[i]];
        s->starting += l->state == LANE_STARTING;
        s->busy += l->state == LANE_READY && lane_depth(l) > 0;
        s->stuck += l->state == LANE_READY && l->t_head && now > l->t_head + STK_STUCK_NS;
    }
    s->ewma_ns = f->ewma_ns;
    s->oldest_ns = f->head ? now - f->head->t_submit : 0;
    pthread_mutex_unlock(&e->lock);
}

int stk_pressed(stk_engine *e, uint32_t *out, int max) {
    int n = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_live && n < max; i++) {
        const stk_function *f = e->functions[e->order[i]];
        if (f->head || f->kicked || f->in_lanes > f->n_lanes - f->n_idle) out[n++] = e->order[i];
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* Does every worker that a function may have wait for something that it called? A call that waited for one of them might
 * be what they wait for. Whoever would close such a circle finds all workers of its function waiting, its own included. */
static int all_call(const stk_engine *e, const stk_function *f) {
    if (f->n_lanes < f->max_lanes) return 0;
    for (uint32_t i = 0; i < f->n_lanes; i++)
        if (!e->lanes[f->lanes[i]]->call) return 0;
    return 1;
}

int call_accept(stk_engine *e, stk_call *c) {
    if (e->closed && c->owner != OWNER_LANE) return STK_SHUT; /* what was accepted may call others to its end */
    if (c->fn >= e->n_functions || !e->functions[c->fn]) return STK_NO_FUNCTION;
    c->fn = line_owner(e, c->fn);
    stk_function *f = e->functions[c->fn];
    if (!f->open) return STK_NO_FUNCTION;
    if (c->len > f->max_payload) return STK_TOO_LARGE;
    uint64_t now = c->t_submit = stk_now();
    if (f->head && (line_full(f) || now > f->t_read + READ_NS)) {
        line_drain(e, f);
        f->t_read = now;
    }
    stk_lane *l = f->head ? NULL : line_pick(e, f, c, now);
    int full = line_full(f);
    e->in_flight++; /* before it is placed: that may let the lock go */
    /* A thread gives up its core while it waits for the turn of a worker that it would only have to wake. */
    if (e->n_spinners && c->owner != OWNER_THREAD && e->in_flight > e->cores) spin_withdraw(e);
    if (l && (l->idle_at != STK_ABSENT || !full) && lane_place(e, l, c, now, c->owner != OWNER_LANE)) {
        arm(e);
        return 0;
    }
    e->in_flight--;
    if (full || e->waiting_bytes + c->len > e->max_waiting_bytes) {
        f->throttles++;
        return STK_THROTTLED;
    }
    if (c->owner == OWNER_LANE && all_call(e, f)) return STK_DEADLOCK;
    e->caller_core = stk_core();
    int rc = line_push(e, f, c, 0);
    e->in_flight += rc == 0;
    if (rc == 0) kick(e, f);
    return rc;
}

static int64_t submit(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *id,
                      uint64_t timeout_ns, const uint8_t *data, uint64_t len) {
    stk_engine *e = box->engine;
    pthread_mutex_lock(&e->lock);
    stk_call *c = call_new(e);
    int64_t rc = STK_NO_MEMORY;
    if (c) {
        call_identify(e, c);
        if (id) memcpy(c->id, id, sizeof c->id);
        c->owner = OWNER_BOX;
        c->box = box;
        c->fn = fn;
        c->token = token;
        c->flags = flags;
        c->timeout_ns = timeout_ns;
        c->payload = data;
        c->len = len;
        uint64_t ticket = c->ticket; /* once accepted it may be reaped before we have the lock again */
        box->open++;
        rc = call_accept(e, c);
        if (rc < 0) {
            box->open--;
            call_recycle(e, c);
        } else {
            rc = (int64_t)ticket;
        }
    }
    pthread_mutex_unlock(&e->lock);
    return rc;
}

int64_t stk_submit(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *data, uint64_t len) {
    return submit(box, fn, token, flags, NULL, 0, data, len);
}

int64_t stk_submit_as(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *id, uint64_t timeout_ns,
                      const uint8_t *data, uint64_t len) {
    return submit(box, fn, token, flags, id, timeout_ns, data, len);
}

int64_t stk_submit_within(stk_box *box, uint32_t fn, uint64_t token, uint64_t timeout_ns, const uint8_t *data,
                          uint64_t len) {
    return submit(box, fn, token, 0, NULL, timeout_ns, data, len);
}

int stk_begun(stk_engine *e, uint64_t ticket) {
    pthread_mutex_lock(&e->lock);
    stk_call *c = call_find(e, ticket);
    int begun = c && c->state == CALL_IN_LANE &&
                stk_has_started(stk_load(&e->lanes[c->lane]->up->started, STK_ACQUIRE), c->seq);
    pthread_mutex_unlock(&e->lock);
    return begun;
}

int stk_cancel(stk_engine *e, uint64_t ticket) {
    int done = 0;
    pthread_mutex_lock(&e->lock);
    stk_call *c = call_find(e, ticket);
    if (c && c->state == CALL_WAITING) {
        line_remove(e, e->functions[c->fn], c);
        done = 1;
    } else if (c && c->state == CALL_IN_LANE) {
        stk_lane *l = e->lanes[c->lane];
        if (!l->filling && lane_withdraw(e, l, c->seq)) {
            e->functions[c->fn]->in_lanes--;
            if (c->len > STK_INLINE) l->large_out = 0;
            done = 1;
        }
    }
    if (done) complete(e, c, STK_CANCELLED, 0);
    pthread_mutex_unlock(&e->lock);
    return done;
}

uint64_t stk_forget(stk_engine *e, uint64_t ticket) {
    uint64_t token = 0;
    pthread_mutex_lock(&e->lock);
    stk_call *c = call_find(e, ticket);
    if (c && c->state != CALL_DONE && c->owner == OWNER_BOX) {
        token = c->token;
        c->owner = OWNER_NONE;
        c->box->open--;
        c->box = NULL;
        if (c->state == CALL_IN_LANE) lane_abandoned(e, e->lanes[c->lane]); /* the loop drains its reply */
    }
    pthread_mutex_unlock(&e->lock);
    return token;
}

int stk_outcome_of(stk_engine *e, uint64_t ticket, stk_outcome *out) {
    pthread_mutex_lock(&e->lock);
    stk_call *c = call_find(e, ticket);
    if (c) call_outcome(c, out);
    pthread_mutex_unlock(&e->lock);
    return c != NULL;
}

void stk_call_free(stk_engine *e, uint64_t ticket) {
    pthread_mutex_lock(&e->lock);
    stk_call *c = call_find(e, ticket);
    if (c && c->state == CALL_DONE) call_recycle(e, c);
    pthread_mutex_unlock(&e->lock);
}

int stk_drain_all(stk_engine *e) {
    int bad = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_lanes; i++) bad += lane_drain(e, e->lanes[i]) < 0;
    pthread_mutex_unlock(&e->lock);
    return bad;
}

uint32_t stk_busy_lanes(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    uint32_t n = e->n_busy;
    pthread_mutex_unlock(&e->lock);
    return n;
}

int stk_may_spin(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    int may = may_spin(e);
    pthread_mutex_unlock(&e->lock);
    return may;
}

void stk_armed(stk_engine *e, int armed) {
    pthread_mutex_lock(&e->lock);
    e->armed = armed;
    pthread_mutex_unlock(&e->lock);
}

void stk_unkick(stk_engine *e, uint32_t fn) {
    pthread_mutex_lock(&e->lock);
    e->functions[fn]->kicked = 0;
    pthread_mutex_unlock(&e->lock);
}

int32_t stk_caller_core(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    int32_t core = (int32_t)e->caller_core - 1;
    pthread_mutex_unlock(&e->lock);
    return core;
}
