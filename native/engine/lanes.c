/* Both directions of a lane: invocations placed, replies and logs drained. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

int lane_ring(stk_lane *l) {
    if (!stk_must_wake(&l->up->asleep)) return 0;
    stk_ring_bell(&l->down->bell);
    return 1;
}

/* Must the worker ring the loop for this reply? Not while the loop polls, nor when a thread waits for it. */
static int wants_loop(const stk_engine *e, stk_call *c) {
    c = call_root(e, c);
    if (c->owner == OWNER_THREAD) return 0;
    if (c->owner != OWNER_BOX || c->box->asleep) return 1;
    return c->box->is_loop && !e->loop_hot;
}

/* Not while a payload is being copied in: lane_place does it then. */
void lane_shut(stk_lane *l) {
    int err;
    if (l->retire_sent || l->filling) return;
    stk_record *r = stk_ring_reserve(&l->tx, 0, &err);
    if (!r) return;
    memset(r, 0, sizeof *r);
    r->kind = STK_SHUTDOWN;
    stk_ring_commit(&l->tx);
    lane_ring(l);
    l->retire_sent = 1;
}

/* Pages of replies that were read are kept for the next ones, and go when the worker is idle. Beyond this many bytes in
 * all lanes together they go at once: else many busy workers would keep as many of the largest replies. */
#define REPLIES_KEPT (16u << 20)

static void large_release(stk_engine *e, stk_lane *l, stk_call *c) {
    l->unread[c->in_place] = NULL;
    if (l->state != LANE_FREE && c->in_place) {
        l->large_out = 0;
    } else if (l->state != LANE_FREE) {
        if (e->replied > REPLIES_KEPT) lane_drop_replies(e, l);
        stk_large_free(l->down);
        if (stk_must_wake(&l->up->asleep) & STK_FOR_SPACE) stk_ring_bell(&l->down->bell); /* it waits for that, not for an event */
    }
    c->in_place = 0;
    c->large = NULL;
    lane_unref(e, l);
}

/* An unread result must not keep others from the area: it is copied to a buffer of its own. */
int lane_large_evict(stk_engine *e, stk_lane *l, int in_place) {
    stk_call *c = l->unread[in_place];
    if (!c || c->owner != OWNER_BOX || !c->box || !call_output(c, c->large, c->out_len)) return 0;
    large_release(e, l, c);
    return 1;
}

void lane_large_free(stk_engine *e, stk_call *c) {
    stk_lane *l = e->lanes[c->held];
    int may_wait = c->in_place && l->state != LANE_FREE && e->functions[l->fn]->head != NULL;
    large_release(e, l, c);
    if (may_wait && l->state == LANE_READY) line_refill(e, l); /* the head of the line may have waited for the area */
}

int lane_place(stk_engine *e, stk_lane *l, stk_call *c, uint64_t now, int may_unlock) {
    int err, big = c->len > STK_INLINE;
    if (lane_depth(l) >= STK_DEPTH || l->filling || (big && l->large_out && !lane_large_evict(e, l, 1))) return 0;
    stk_record *r = stk_ring_reserve(&l->tx, big ? 0 : c->len, &err);
    if (!r) {
        l->corrupt |= err != 0;
        return 0;
    }
    if (lane_depth(l) == 0) {
        idle_remove(e, l);
        busy_add(e, l);
        l->t_head = l->state == LANE_STARTING ? 0 : now;
    }
    stk_function *f = e->functions[l->fn];
    memset(r, 0, sizeof *r);
    r->kind = STK_INVOKE;
    r->flags = c->flags | (big ? STK_LARGE : 0);
    r->len = c->len;
    r->ticket = c->ticket;
    r->t0 = call_timeout(e, c);
    r->seq = l->last;
    memcpy(r->id, c->id, sizeof r->id);
    uint8_t *to = big ? stk_large_at(l->down) : (uint8_t *)(r + 1);
    c->state = CALL_IN_LANE;
    c->lane = l->index;
    c->seq = l->last;
    c->t_dispatch = now;
    c->born = l->born;
    l->queue[l->last++ % STK_DEPTH] = c;
    f->in_lanes++;
    uint32_t waiter = c->owner == OWNER_THREAD ? stk_core() : 0;
    if (stk_load(&l->down->waiter, STK_RELAXED) != waiter) stk_store(&l->down->waiter, waiter, STK_RELAXED);
    if (wants_loop(e, c)) stk_or(&l->down->asleep, STK_RING_LOOP, STK_RELAXED);
    if (may_unlock && c->len > STK_COPY_LOCKED) { /* `filling` reserves the lane, so the lock can go */
        const uint8_t *from = c->payload; /* without the lock the lane's death may requeue the call */
        uint64_t len = c->len;
        l->filling = 1;
        l->refs++;
        pthread_mutex_unlock(&e->lock);
        memcpy(to, from, len);
        pthread_mutex_lock(&e->lock);
        l->filling = 0;
        lane_unref(e, l);
        if (l->state == LANE_FREE || l->state == LANE_DOOMED) return 1; /* it died meanwhile; the call is back in line */
    } else if (c->len) {
        memcpy(to, c->payload, c->len);
    }
    if (c->owner != OWNER_THREAD) c->payload = to;
    if (big) {
        l->large_out = 1;
        l->touched = c->len > l->touched ? c->len : l->touched;
    }
    stk_ring_commit(&l->tx);
    c->woke = (uint32_t)lane_ring(l);
    if (l->state == LANE_RETIRING) lane_shut(l);
    return 1;
}

void stk_lane_take(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_function *f = e->functions[l->fn];
    stk_call *c = f->head;
    if (c && l->state == LANE_STARTING && lane_depth(l) == 0) {
        line_remove(e, f, c);
        if (!lane_place(e, l, c, stk_now(), 0)) {
            line_push(e, f, c, 1);
        } else {
            c->cold = 1;
            free(c->owned);
            c->owned = NULL;
            call_notify(e, c); /* it now waits for this lane */
        }
    }
    pthread_mutex_unlock(&e->lock);
}

void lane_abandoned(stk_engine *e, stk_lane *l) {
    stk_or(&l->down->asleep, STK_RING_LOOP, STK_RELAXED);
    STK_FENCE_SLEEP(); /* its reply may have been committed just before, without a ring */
    lane_drain(e, l);
    if (l->call && l->call->state == CALL_IN_LANE) lane_abandoned(e, e->lanes[l->call->lane]); /* and for that one's */
}

/* Where in c's event this in-place reply lies; NULL: outside it. */
static const uint8_t *in_event(const stk_lane *l, const stk_call *c, const stk_record *r) {
    uint64_t at;
    memcpy(&at, r->id, sizeof at);
    if (c->len <= STK_INLINE || at > c->len || r->len > c->len - at) return NULL;
    return stk_large_at(l->down) + at;
}

static void log_record(stk_engine *e, stk_lane *l, const stk_record *r, const uint8_t *data) {
    uint64_t len = r->flags & STK_LARGE ? 0 : r->len;
    for (uint32_t i = l->first; i != l->last; i++) {
        stk_call *c = l->queue[i % STK_DEPTH];
        if (c && c->ticket == r->ticket) {
            call_log(e, c, data, len);
            return;
        }
    }
    if (!bytes_append(&l->orphan_log, &l->orphan_len, &l->orphan_cap, data, len, ORPHAN_KEEP))
        e->functions[l->fn]->log_dropped += len;
}

/* Log bytes that the worker dropped are charged to its head. */
void lane_log_lost(stk_engine *e, stk_lane *l, stk_call *c) {
    uint64_t dropped = stk_load(&l->up->dropped, STK_RELAXED), more = dropped - l->log_seen;
    l->log_seen = dropped;
    c->log_dropped += more;
    e->functions[l->fn]->log_dropped += more;
}

/* Pop the lane's head: the next one begins now. */
static void head_done(stk_lane *l, uint64_t now) {
    stk_call *c = l->queue[l->first % STK_DEPTH];
    if (c && c->len > STK_INLINE) l->large_out = 0;
    l->queue[l->first++ % STK_DEPTH] = NULL;
    l->t_head = lane_depth(l) ? now : 0;
}

static void reply_record(stk_engine *e, stk_lane *l, const stk_record *r, const uint8_t *data) {
    stk_function *f = e->functions[l->fn];
    stk_call *c = lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL;
    int in_place = (r->flags & STK_LARGE) && (r->flags & STK_IN_PLACE), large = (r->flags & STK_LARGE) && !in_place;
    if ((large && r->len > e->large) || (c && l->filling && l->first + 1 == l->last)) {
        l->corrupt = 1; /* larger than its area, or a reply to an event that is still being copied in */
        return;
    }
    if (!c || r->seq != l->first || c->ticket != r->ticket) {
        f->late++;
        e->lost++;
        if (large) stk_large_free(l->down);
        if (lane_depth(l) && !c && r->seq == l->first) head_done(l, stk_now());
        return;
    }
    if (in_place && !in_event(l, c, r)) {
        l->corrupt = 1;
        return;
    }
    uint64_t now = stk_now();
    c->t_start = r->t0 < c->t_dispatch || r->t0 > now ? c->t_dispatch : r->t0;
    c->t_end = r->t1 < c->t_start || r->t1 > now ? now : r->t1;
    c->peak_kib = r->aux;
    if (c->log_len) lane_log_lost(e, l, c);
    uint32_t status = r->kind == STK_RESULT ? STK_OK : r->kind == STK_ERROR ? STK_FAULT : STK_BAD_EVENT;
    int read_later = (large || in_place) && (c->owner == OWNER_THREAD || c->owner == OWNER_BOX);
    if (read_later) {
        c->large = in_place ? in_event(l, c, r) : stk_large_at(l->up);
        c->in_place = in_place;
        c->held = l->index;
        c->out_len = r->len;
        l->unread[in_place] = c;
        l->refs++;
        l->touched = r->len > l->touched ? r->len : l->touched;
        if (large && r->len > l->replied) {
            e->replied += r->len - l->replied;
            l->replied = r->len;
        }
        if (c->owner == OWNER_BOX) arm(e); /* stk_expire moves it out when it stays unread */
    } else {
        if (large) data = stk_large_at(l->up);
        if (in_place) data = in_event(l, c, r);
        if (c->owner != OWNER_NONE && !call_output(c, data, r->len)) status = STK_CRASH; /* no memory for its result */
        if (large) stk_large_free(l->down);
    }
    uint64_t took = c->t_end - c->t_start;
    f->ewma_ns = f->ewma_ns ? (f->ewma_ns * 7 + took) / 8 + 1 : took + 1;
    lane_call_drop(e, l);
    head_done(l, now);
    if (read_later && in_place) l->large_out = 1; /* until the result is read */
    f->in_lanes--;
    complete_at(e, c, status, 0, now);
}

static void skipped_record(stk_engine *e, stk_lane *l, const stk_record *r) {
    stk_function *f = e->functions[l->fn];
    if (!lane_depth(l) || r->seq != l->first) {
        e->lost++;
        return;
    }
    if (stk_load(&l->down->revoked[r->seq % STK_DEPTH], STK_RELAXED) != (uint64_t)r->seq + 1) {
        l->corrupt = 1; /* it was not revoked: repeated SKIPPEDs would put its deadline off */
        return;
    }
    stk_call *c = l->queue[l->first % STK_DEPTH];
    head_done(l, stk_now());
    f->skipped++;
    if (c) { /* not counted as withdrawn, but the worker saw the revocation: run it anew */
        f->in_lanes--;
        line_requeue(e, c);
        if (f->successor) line_pump(e, e->functions[line_owner(e, l->fn)]);
    }
}

int lane_drain(stk_engine *e, stk_lane *l) {
    stk_record r;
    const uint8_t *data;
    int rc = 0, any = 0;
    if (l->state == LANE_FREE || l->state == LANE_DOOMED || l->corrupt) return l->corrupt ? -1 : 0;
    if (l->draining) return 0; /* a call in it is being placed */
    l->draining = 1;
    uint64_t before = l->rx.mine; /* at most one lap: a worker that never stops writing must not hold the reader */
    while (l->rx.mine - before < STK_RING && (rc = stk_ring_peek(&l->rx, &r, &data)) == 1) {
        any = 1;
        switch (r.kind) {
        case STK_RESULT:
        case STK_ERROR:
        case STK_INVALID:
            reply_record(e, l, &r, data);
            break;
        case STK_CALL:
            lane_call(e, l, &r, data);
            break;
        case STK_LOG:
            log_record(e, l, &r, data);
            break;
        case STK_SKIPPED:
            skipped_record(e, l, &r);
            break;
        case STK_READY:
            if (l->state == LANE_STARTING || (l->state == LANE_RETIRING && !l->t_head)) {
                if (l->state == LANE_STARTING) l->state = LANE_READY;
                l->t_head = lane_depth(l) ? stk_now() : 0; /* its deadline counts from here, retiring or not */
                e->armed = 1;
                stk_ring_eventfd(e->control_fd);
            }
            break;
        case STK_INIT_ERROR:
            if (!l->init_error && !(r.flags & STK_LARGE) && (l->init_error = malloc(r.len + 1))) {
                memcpy(l->init_error, data, r.len);
                l->init_error_len = (uint32_t)r.len;
            }
            break;
        default:
            e->lost++;
        }
        stk_ring_release(&l->rx);
        if (l->corrupt) rc = STK_CORRUPT;
        if (rc < 0) break;
    }
    l->draining = 0;
    if (l->busy_at != STK_ABSENT) e->watch[l->busy_at].read = l->rx.mine;
    if (rc < 0) {
        l->corrupt = 1;
        e->armed = 1;
        stk_ring_eventfd(e->control_fd);
        return -1;
    }
    if (any) {
        if (stk_must_wake(&l->up->asleep) & STK_FOR_SPACE) stk_ring_bell(&l->down->bell);
        line_refill(e, l);
    }
    return 0;
}

int stk_lane_drain(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    int rc = lane_drain(e, e->lanes[lane]);
    pthread_mutex_unlock(&e->lock);
    return rc;
}
