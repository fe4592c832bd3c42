/* Scheduling: the waiting line (first come, first served), the stack of idle workers (last used, first taken: its
 * caches are warm) and the list of busy ones. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

/* A lane may hold as many invocations as its worker finishes in this time: a short one then does not pay for a wake of
 * its own, and a long one does not block others behind it. While they are short it holds one more than runs, so that a
 * busy worker never waits for the engine. What is blocked behind a slow head all the same is stolen back. */
static const uint64_t AHEAD_NS = 200000;
static const uint64_t SHORT_NS = 50000;

int line_push(stk_engine *e, stk_function *f, stk_call *c, int front) {
    if (c->owner != OWNER_THREAD && !c->owned && c->len) { /* a thread's payload outlives its call */
        c->owned = malloc(c->len);
        if (!c->owned) return STK_NO_MEMORY;
        memcpy(c->owned, c->payload, c->len);
        c->payload = c->owned;
    }
    c->state = CALL_WAITING;
    c->lane = STK_ABSENT;
    c->next = front ? f->head : NULL; /* behind those that came before it: several lanes may give back theirs at once */
    while (c->next && c->next->t_submit < c->t_submit) c->next = c->next->next;
    c->prev = c->next ? c->next->prev : f->tail;
    if (c->prev)
        c->prev->next = c;
    else
        f->head = c;
    if (c->next)
        c->next->prev = c;
    else
        f->tail = c;
    f->waiting++;
    e->waiting_bytes += c->len;
    return 0;
}

void line_remove(stk_engine *e, stk_function *f, stk_call *c) {
    if (c->prev)
        c->prev->next = c->next;
    else
        f->head = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        f->tail = c->prev;
    c->prev = c->next = NULL;
    f->waiting--;
    e->waiting_bytes -= c->len;
}

void spin_withdraw(stk_engine *e) {
    while (e->n_spinners) {
        stk_lane *l = e->lanes[e->spinner[--e->n_spinners]];
        if (l->state != LANE_FREE) stk_store(&l->down->spin_ns, 0, STK_RELAXED);
    }
}

/* It is the first that may spin; the others behind it, one a core. */
static void spins_first(stk_engine *e, const stk_lane *l) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->n_spinners; i++) {
        stk_lane *o = e->lanes[e->spinner[i]];
        if (o == l) continue;
        if (o->state == LANE_FREE || o->core == l->core || kept + 1 >= e->max_spinners) {
            if (o->state != LANE_FREE) stk_store(&o->down->spin_ns, 0, STK_RELAXED);
            continue;
        }
        e->spinner[kept++] = o->index;
    }
    for (uint32_t i = kept; i > 0; i--) e->spinner[i] = e->spinner[i - 1];
    e->spinner[0] = l->index;
    e->n_spinners = kept + 1;
}

/* At most max_spinners idle workers spin: the most recently used ones, one a core; none while other workers and threads
 * take all cores. What waits for a turn of theirs does not count: one that sleeps is what it would wait for. */
static void grant_spin(stk_engine *e, stk_lane *l) {
    if (!e->max_spinners) return;
    if (!spin_fits(running(e), e->spinning, e->cores)) {
        spin_withdraw(e);
        if (stk_load(&l->down->spin_ns, STK_RELAXED)) stk_store(&l->down->spin_ns, 0, STK_RELAXED);
        return;
    }
    if (e->n_spinners != 1 || e->spinner[0] != l->index) spins_first(e, l);
    if (stk_load(&l->down->spin_ns, STK_RELAXED) != e->spin_ns) stk_store(&l->down->spin_ns, e->spin_ns, STK_RELAXED);
}

void idle_push(stk_engine *e, stk_lane *l) {
    stk_function *f = e->functions[l->fn];
    l->idle_at = f->n_idle;
    f->idle[f->n_idle++] = l->index;
    l->t_head = 0;
    l->t_idle = 0; /* set by the control loop's tick: no clock on the hot path */
    if (stk_load(&l->down->asleep, STK_RELAXED)) stk_store(&l->down->asleep, 0, STK_RELAXED);
    grant_spin(e, l);
}

void idle_remove(stk_engine *e, stk_lane *l) {
    stk_function *f = e->functions[l->fn];
    if (l->idle_at == STK_ABSENT) return;
    for (uint32_t i = l->idle_at; i + 1 < f->n_idle; i++) { /* the top, nearly always */
        f->idle[i] = f->idle[i + 1];
        e->lanes[f->idle[i]]->idle_at = i;
    }
    f->n_idle--;
    l->idle_at = STK_ABSENT;
}

void busy_add(stk_engine *e, stk_lane *l) {
    if (l->busy_at != STK_ABSENT) return;
    l->busy_at = e->n_busy;
    e->watch[e->n_busy] = (stk_watch){&l->up->tail, l->rx.mine};
    e->busy[e->n_busy++] = l->index;
}

void busy_remove(stk_engine *e, stk_lane *l) {
    if (l->busy_at == STK_ABSENT) return;
    uint32_t last = --e->n_busy;
    if (last != l->busy_at) {
        e->busy[l->busy_at] = e->busy[last];
        e->watch[l->busy_at] = e->watch[last];
        e->lanes[e->busy[last]]->busy_at = l->busy_at;
    }
    l->busy_at = STK_ABSENT;
}

static uint32_t depth_allowed(const stk_function *f) {
    if (!f->ewma_ns || f->ewma_ns > STK_STUCK_NS) return 1;
    uint64_t depth = AHEAD_NS / f->ewma_ns;
    return depth < 2 ? 2 : depth > STK_DEPTH ? STK_DEPTH : (uint32_t)depth;
}

/* Each worker runs one; those behind it in its lane count as waiting. */
int line_full(const stk_function *f) { return f->waiting + f->in_lanes >= f->max_waiting + f->n_lanes; }

void line_drain(stk_engine *e, stk_function *f) {
    for (uint32_t i = 0; i < f->n_lanes; i++) {
        stk_lane *l = e->lanes[f->lanes[i]];
        if (lane_depth(l)) lane_drain(e, l);
    }
}

/* A wake costs more than a few microseconds of work, and gains nothing while every core is taken: a short invocation
 * then joins a running worker. */
static int worth_a_wake(const stk_engine *e, const stk_function *f) {
    return !f->ewma_ns || f->ewma_ns > SHORT_NS || running(e) + 1 < e->cores || !running(e);
}

stk_lane *line_pick(stk_engine *e, stk_function *f, const stk_call *c, uint64_t now) {
    uint32_t allowed = goes_alone(c) ? 1 : depth_allowed(f);
    if (f->n_idle && (allowed == 1 || worth_a_wake(e, f))) return e->lanes[f->idle[f->n_idle - 1]];
    line_drain(e, f);
    if (f->n_idle && (allowed == 1 || worth_a_wake(e, f))) return e->lanes[f->idle[f->n_idle - 1]];
    stk_lane *best = NULL;
    for (uint32_t i = 0; allowed > 1 && i < f->n_lanes; i++) {
        stk_lane *l = e->lanes[f->lanes[i]];
        if (l->state != LANE_READY || l->filling || lane_depth(l) >= allowed) continue;
        if (l->t_head && now > l->t_head + STK_STUCK_NS) continue; /* head-of-line blocking */
        if (!lane_depth(l) || l->call) continue; /* an idle one; one that waits itself */
        if (!best || lane_depth(l) < lane_depth(best)) best = l;
    }
    return best || !f->n_idle ? best : e->lanes[f->idle[f->n_idle - 1]];
}

void line_refill(stk_engine *e, stk_lane *l) {
    stk_function *f = e->functions[l->fn];
    if (l->state != LANE_READY || l->filling) return;
    while (f->head) {
        stk_call *c = f->head;
        if (lane_depth(l) >= (goes_alone(c) ? 1 : depth_allowed(f))) break;
        line_remove(e, f, c);
        if (!lane_place(e, l, c, stk_now(), 0)) {
            line_push(e, f, c, 1); /* its payload is copied already: cannot fail */
            break;
        }
        free(c->owned);
        c->owned = NULL;
        call_notify(e, c); /* it now waits for this lane */
    }
    if (lane_depth(l) == 0 && l->idle_at == STK_ABSENT) {
        busy_remove(e, l);
        idle_push(e, l);
    }
}

void line_pump(stk_engine *e, stk_function *f) {
    while (f->head && f->n_idle) {
        uint32_t before = f->waiting;
        line_refill(e, e->lanes[f->idle[f->n_idle - 1]]);
        if (f->waiting == before) break;
    }
    if (f->head) kick(e, f);
}

void kick(stk_engine *e, stk_function *f) {
    if (f->kicked) return;
    f->kicked = 1;
    e->armed = 1;
    stk_ring_eventfd(e->control_fd);
}

void arm(stk_engine *e) {
    if (e->armed) return;
    e->armed = 1;
    stk_ring_eventfd(e->control_fd);
}

uint32_t line_owner(const stk_engine *e, uint32_t fn) {
    uint32_t successor = e->functions[fn]->successor;
    return successor ? successor - 1 : fn;
}

void line_requeue(stk_engine *e, stk_call *c) {
    c->fn = line_owner(e, c->fn);
    if (c->owner == OWNER_NONE || e->functions[c->fn]->ended)
        complete(e, c, STK_CANCELLED, 0);
    else if (line_push(e, e->functions[c->fn], c, 1) < 0)
        complete(e, c, STK_CRASH, -ENOMEM);
    else
        call_notify(e, c);
}
