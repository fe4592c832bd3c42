/* How invocations leave a lane without a reply: deadlines, deaths, stealing, retirement. */
#define _GNU_SOURCE
#include <signal.h>

#include "engine/internal.h"

/* A large result that is unread after this long is moved out of its lane. */
static const uint64_t LARGE_KEPT_NS = 10000000;
enum { MAX_SUSPECTS = 3, SUSPECT = 16 };
/* A worker that is awake takes its next invocation within microseconds, on a machine that is far too busy within tenths
 * of a second. One that has not after this long is stopped, or its function's code keeps it between two invocations. */
static const uint64_t UNBEGUN_NS = 2000000000;

static void lane_leave(stk_engine *e, stk_lane *l) { /* out of every list */
    stk_function *f = e->functions[l->fn];
    idle_remove(e, l);
    busy_remove(e, l);
    for (uint32_t i = 0; i < f->n_lanes; i++)
        if (f->lanes[i] == l->index) {
            f->lanes[i] = f->lanes[--f->n_lanes];
            break;
        }
}

/* The invocations left in a lane go back to the head of the line, in their order. */
static void requeue_all(stk_engine *e, stk_lane *l) {
    stk_function *f = e->functions[l->fn];
    lane_call_drop(e, l);
    while (l->last != l->first) {
        stk_call *c = l->queue[--l->last % STK_DEPTH];
        l->queue[l->last % STK_DEPTH] = NULL;
        if (!c) continue;
        f->in_lanes--;
        line_requeue(e, c);
    }
    if (f->successor) line_pump(e, e->functions[line_owner(e, l->fn)]);
    l->t_head = 0;
}

/* Drain a lane whose head may be ended without a reply. Returns how far text reached that was not committed then. */
static uint64_t drain_last(stk_engine *e, stk_lane *l) {
    uint64_t written = stk_load(&l->up->written, STK_ORD_LEFT);
    lane_drain(e, l);
    return written;
}

static int end_head(stk_engine *e, stk_lane *l, uint64_t written, uint32_t status, int32_t detail) {
    if (!lane_depth(l)) return 0;
    lane_call_drop(e, l);
    stk_call *c = l->queue[l->first % STK_DEPTH];
    if (c && l->t_head && !c->t_start) c->t_start = l->t_head;
    l->queue[l->first++ % STK_DEPTH] = NULL;
    if (!c) return 0;
    e->functions[l->fn]->in_lanes--;
    c->t_end = stk_now();
    const uint8_t *text;
    uint64_t left = l->corrupt ? 0 : stk_ring_left(&l->rx, written, &text);
    if (left) call_log(e, c, text, left);
    if (c->log_len) lane_log_lost(e, l, c);
    complete(e, c, status, detail);
    return 1;
}

/* `started` is the worker's own claim: an invocation that kills each worker which claims not to have begun it must not
 * be retried for ever. A worker that was not ready cannot have read it and does not count. One whose exit status says
 * that it ended by itself, between two invocations, counts for less: a function that breaks each worker it runs in
 * would otherwise fail the invocations behind it too. */
static int out_of_attempts(const stk_lane *l, int32_t detail) {
    stk_call *c = l->queue[l->first % STK_DEPTH];
    if (!c || !l->t_head) return 0;
    c->attempts += detail == STK_EXIT_NO_DOORBELL ? 1 : SUSPECT;
    return c->attempts >= MAX_SUSPECTS * SUSPECT;
}

/* By the worker's own claim. */
static int head_begun(const stk_lane *l) { return stk_has_started(stk_load(&l->up->started, STK_ACQUIRE), l->first); }

/* The head has not begun, and will not any more; it is still in the lane. What a worker claims that has written nonsense
 * counts for nothing: an invocation that was handed to it may well have done that. */
static int head_withheld(const stk_lane *l) {
    if (l->corrupt && l->t_head) return 0;
    return !head_begun(l) && (!l->queue[l->first % STK_DEPTH] || stk_revoke(l->down, l->up, l->first));
}

int stk_lane_dead(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail) {
    int ended = 0;
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_function *f = e->functions[l->fn];
    if (l->state != LANE_FREE) {
        if (l->state != LANE_DOOMED) {
            uint64_t written = drain_last(e, l); /* replies committed before the death are valid */
            lane_leave(e, l);
            if (lane_depth(l) && (head_begun(l) || out_of_attempts(l, detail)))
                ended = end_head(e, l, written, status, detail);
            requeue_all(e, l);
        }
        l->state = LANE_FREE;
        for (uint32_t i = 0; i < e->n_spinners; i++)
            if (e->spinner[i] == lane) {
                e->spinner[i] = e->spinner[--e->n_spinners];
                break;
            }
        e->replied -= l->replied;
        lane_release(e, l);
        line_pump(e, f);
    }
    pthread_mutex_unlock(&e->lock);
    return ended;
}

int stk_lane_doom(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    int ended = 0;
    if (l->state != LANE_FREE && l->state != LANE_DOOMED) {
        uint64_t written = drain_last(e, l);
        lane_leave(e, l);
        if (lane_depth(l) && (!head_withheld(l) || out_of_attempts(l, detail)))
            ended = end_head(e, l, written, status, detail);
        l->state = LANE_DOOMED;
        requeue_all(e, l);
        line_pump(e, e->functions[l->fn]);
    }
    pthread_mutex_unlock(&e->lock);
    return ended;
}

void stk_lane_retire(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    if (l->state == LANE_STARTING || l->state == LANE_READY) {
        idle_remove(e, l);
        l->state = LANE_RETIRING;
    }
    if (l->state == LANE_RETIRING) lane_shut(l);
    pthread_mutex_unlock(&e->lock);
}

int lane_withdraw(stk_engine *e, stk_lane *l, uint32_t seq) {
    (void)e;
    if (!stk_revoke(l->down, l->up, seq)) return 0;
    l->queue[seq % STK_DEPTH] = NULL;
    return 1;
}

int stk_expire(stk_engine *e, uint64_t now, uint32_t *out, int max, uint64_t *next) {
    int n = 0;
    *next = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = e->n_busy; i-- > 0;) { /* backwards: draining may remove entry i */
        if (i >= e->n_busy) continue;
        stk_lane *l = e->lanes[e->busy[i]];
        uint64_t written = drain_last(e, l);
        stk_call *unread = l->unread[0];
        if (unread && now > unread->t_done + LARGE_KEPT_NS)
            lane_large_evict(e, l, 0);
        else if (unread && (!*next || unread->t_done + LARGE_KEPT_NS < *next))
            *next = unread->t_done + LARGE_KEPT_NS + 1;
        if (!lane_depth(l) || !l->t_head || (l->state != LANE_READY && l->state != LANE_RETIRING)) continue;
        stk_function *f = e->functions[l->fn];
        stk_call *head = l->queue[l->first % STK_DEPTH];
        uint64_t end = l->t_head + (head ? call_timeout(e, head) : f->timeout_ns), unbegun = l->t_head + UNBEGUN_NS;
        if (head_begun(l) || end < unbegun) unbegun = end;
        int withheld = now >= unbegun && n < max && head_withheld(l);
        if (!withheld && (now < end || n == max)) {
            if (now >= unbegun) unbegun = end; /* it began just now */
            if (!*next || unbegun < *next) *next = unbegun;
            continue;
        }
        lane_leave(e, l);
        if (!withheld) end_head(e, l, written, STK_TIMEOUT, 0);
        else if (out_of_attempts(l, 0)) end_head(e, l, written, STK_CRASH, -SIGKILL);
        l->state = LANE_DOOMED;
        requeue_all(e, l);
        line_pump(e, f);
        out[n++] = l->index;
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

int stk_steal(stk_engine *e, uint64_t now, uint64_t patience) {
    int moved = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = e->n_busy; i-- > 0;) {
        if (i >= e->n_busy) continue;
        stk_lane *l = e->lanes[e->busy[i]];
        lane_drain(e, l);
        stk_function *f = e->functions[l->fn];
        uint32_t from;
        if (l->filling || !lane_depth(l)) continue;
        if (l->state == LANE_STARTING && f->n_idle)
            from = l->first;
        else if (l->t_head && lane_depth(l) > 1 && now > l->t_head + patience)
            from = l->first + 1;
        else
            continue;
        for (uint32_t seq = l->last; seq-- > from;) { /* newest first: each is put before the one moved last */
            stk_call *c = l->queue[seq % STK_DEPTH];
            if (!c || !lane_withdraw(e, l, seq)) continue;
            f->in_lanes--;
            c->cold = 0;
            if (c->len > STK_INLINE) l->large_out = 0;
            line_requeue(e, c);
            moved++;
        }
        line_pump(e, e->functions[line_owner(e, l->fn)]);
    }
    pthread_mutex_unlock(&e->lock);
    return moved;
}
