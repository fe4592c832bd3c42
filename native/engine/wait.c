/* A thread's invocation, in its cell: accepted, waited for, abandoned.
 *
 * A waiter also drains lanes and so completes any invocation whose reply is there. A thread spins for at most
 * the engine's spin budget, only while the machine has a core for it (spin.h) and never on the core of the worker
 * that it waits for; then it sleeps on a futex: its lane's bell (the worker rings it) or, while its invocation waits
 * in line, the invocation's own word.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

/* A caller keeps the interpreter from others for a function as short as QUICK_NS; for up to TRY_NS, as its worker may be
 * kept from its core by a thread that only wakes to wait on; and for so many invocations in front of its own. */
static const uint64_t QUICK_NS = 10000, TRY_NS = 30000;
enum { SHORT_LINE = 8 };
static int worth_spinning(const stk_engine *e, const stk_call *c) {
    return may_spin(e) && spin_pays(e->functions[c->fn]->ewma_ns, e->spin_ns);
}

/* Spin outside the lock until the lane's worker has written something, the call's state has changed, or it does not
 * pay any more. */
static void spin_for(stk_engine *e, stk_lane *l, stk_call *c, uint32_t word, uint64_t until) {
    uint64_t seen = l->rx.mine;
    stk_a64 *tail = &l->up->tail;
    l->refs++;
    e->spinning++;
    stk_ring_warm(&l->tx);
    pthread_mutex_unlock(&e->lock);
    for (unsigned n = 1; stk_load(tail, STK_ACQUIRE) == seen && stk_load(&c->word, STK_ACQUIRE) == word; n++) {
        stk_relax();
        if ((n & 63) == 0 && (stk_now() >= until || !stk_is_elsewhere(stk_core(), &l->up->core))) break;
    }
    pthread_mutex_lock(&e->lock);
    e->spinning--;
    lane_unref(e, l);
}

/* Look once more at what is in front, a moment later. */
static void help(stk_engine *e) {
    e->spinning++;
    pthread_mutex_unlock(&e->lock);
    for (unsigned n = 0; n < 8; n++) stk_relax();
    pthread_mutex_lock(&e->lock);
    e->spinning--;
    drain_busy(e);
}

/* Wait, the lock held on entry and on return, until c is done. 0, or STK_SIGNALLED. */
static int wait_done(stk_engine *e, stk_call *c) {
    uint64_t until = spin_until(c->t_submit, e->spin_ns, (int)c->woke);
    int rc = 0, spun = 0; /* the first round needs no clock */
    for (;;) {
        stk_call *part = call_frontier(e, c); /* what its handler called, if it did: its progress comes from there */
        stk_lane *l = part->state == CALL_IN_LANE ? e->lanes[part->lane] : NULL;
        if (l) lane_drain(e, l);
        if (c->state == CALL_DONE) return 0;
        /* At a timeout as well: a signal that arrives during a spin interrupts no system call. */
        if (rc == -EINTR || rc == -ETIMEDOUT) return STK_SIGNALLED;
        stk_call *before = part;
        part = call_frontier(e, c);
        if (part != before || (part->state == CALL_IN_LANE && e->lanes[part->lane] != l)) {
            if (c->owner == OWNER_THREAD && e->spin_ns) until = spin_until(stk_now(), e->spin_ns, (int)part->woke);
            continue; /* elsewhere meanwhile */
        }
        uint32_t word = stk_load(&c->word, STK_RELAXED);
        int elsewhere = l && stk_is_elsewhere(stk_say_core(&l->down->caller_core), &l->up->core);
        if (elsewhere && l->state == LANE_READY && worth_spinning(e, part) && (!spun || stk_now() < until)) {
            spun = 1;
            spin_for(e, l, c, word, until);
        } else if (l) {
            uint32_t bell = stk_sleep_announce(&l->down->asleep, STK_RING_THREAD, &l->up->bell);
            if (!stk_ring_ready(&l->rx) || l->corrupt) {
                c->sleeping = SLEEPS_ON_LANE;
                c->sleep_lane = l->index;
                l->refs++;
                pthread_mutex_unlock(&e->lock);
                rc = stk_sleep(&l->up->bell, bell, RECHECK_NS);
                pthread_mutex_lock(&e->lock);
                c->sleeping = SLEEPS_NOT;
                if (l->down) stk_sleep_over(&l->down->asleep, STK_RING_THREAD);
                lane_unref(e, l);
            } else {
                stk_sleep_over(&l->down->asleep, STK_RING_THREAD);
            }
        } else if (worth_spinning(e, part) && e->n_busy && stk_now() < until) {
            help(e); /* in line, behind short ones: so that the line moves */
        } else {
            if (!e->loop_hot && e->n_busy) { /* the owners of what is in front may be asleep or busy */
                request_bell(e);
                drain_busy(e);
                if (call_frontier(e, c)->state != CALL_WAITING) continue;
            }
            c->sleeping = SLEEPS_ON_WORD;
            pthread_mutex_unlock(&e->lock);
            rc = stk_sleep(&c->word, word, RECHECK_NS);
            pthread_mutex_lock(&e->lock);
            c->sleeping = SLEEPS_NOT;
        }
    }
}

stk_cell *stk_cell_new(stk_engine *e) {
    stk_cell *cell = calloc(1, sizeof *cell);
    if (!cell) return NULL;
    engine_ref(e);
    cell->engine = e;
    cell->call.index = STK_ABSENT;
    cell->call.out = cell->data;
    cell->call.out_cap = STK_CELL_BYTES;
    cell->call.out_foreign = 1;
    return cell;
}

void stk_cell_clear(stk_cell *cell) {
    stk_engine *e = cell->engine;
    pthread_mutex_lock(&e->lock);
    stk_call *c = &cell->call;
    if (c->large) lane_large_free(e, c);
    call_reset(c);
    if (!c->out_foreign) {
        free(c->out);
        c->out = cell->data;
        c->out_cap = STK_CELL_BYTES;
        c->out_foreign = 1;
    }
    c->state = CALL_FREE;
    pthread_mutex_unlock(&e->lock);
}

void stk_cell_free(stk_cell *cell) {
    if (cell->engine->disowned) return;
    if (cell->call.state == CALL_WAITING || cell->call.state == CALL_IN_LANE) stk_cell_abandon(cell);
    if (cell->call.state == CALL_DONE) stk_cell_clear(cell);
    engine_unref(cell->engine);
    free(cell);
}

static int64_t cell_result(stk_cell *cell) {
    stk_call *c = &cell->call;
    int plain = c->status == STK_OK && c->out_foreign && !c->large && !c->log_len && !c->log_dropped;
    if (!plain || c->flags & STK_WANT_TAIL) call_outcome(c, &cell->outcome);
    if (!plain) return -1;
    c->state = CALL_FREE;
    return (int64_t)c->out_len;
}

int64_t stk_cell_wait(stk_cell *cell) {
    stk_engine *e = cell->engine;
    pthread_mutex_lock(&e->lock);
    int rc = wait_done(e, &cell->call);
    pthread_mutex_unlock(&e->lock);
    return rc < 0 ? rc : cell_result(cell);
}

static int cell_accept(stk_engine *e, stk_call *c, uint32_t fn, uint32_t flags, const uint8_t *data, uint64_t len) {
    c->owner = OWNER_THREAD;
    c->fn = fn;
    c->flags = flags;
    c->payload = data;
    c->len = len;
    c->cold = c->peak_kib = c->woke = c->attempts = 0;
    c->out_len = c->t_start = c->t_end = 0;
    call_identify(e, c);
    return call_accept(e, c);
}

/* Its reply after one short spin, if its worker is awake, elsewhere and quick: however much is in flight, since a thread
 * that sleeps instead has two wakes and a turn for the interpreter before it. What is in line before it is helped to its
 * end: threads whose calls have once met in line would sleep and wake each other from then on. */
static int done_soon(stk_engine *e, stk_call *c) {
    const stk_function *f = e->functions[c->fn];
    if (!spin_pays(f->ewma_ns, e->spin_ns) || f->ewma_ns > QUICK_NS || f->waiting > SHORT_LINE) return 0;
    uint64_t until = c->t_submit + TRY_NS + QUICK_NS * f->waiting;
    while (c->state == CALL_WAITING && any_elsewhere(e) && stk_now() < until) help(e);
    if (c->state != CALL_IN_LANE) return c->state == CALL_DONE;
    stk_lane *l = e->lanes[c->lane];
    if (l->state != LANE_READY) return 0;
    if (!stk_is_elsewhere(stk_say_core(&l->down->caller_core), &l->up->core)) {
        uint32_t core = caller_beside(l, c->t_submit);
        if (!core) return 0;
        pthread_mutex_unlock(&e->lock);
        int moved = caller_aside(core);
        pthread_mutex_lock(&e->lock);
        if (!moved || c->state != CALL_IN_LANE || e->lanes[c->lane] != l) return c->state == CALL_DONE;
        stk_say_core(&l->down->caller_core);
        until = stk_now() + TRY_NS;
    } else if (c->woke) {
        return 0;
    }
    spin_for(e, l, c, stk_load(&c->word, STK_RELAXED), until);
    if (c->state == CALL_IN_LANE && e->lanes[c->lane] == l) lane_drain(e, l);
    return c->state == CALL_DONE;
}

int64_t stk_cell_try(stk_cell *cell, uint32_t fn, uint32_t flags, const uint8_t *data, uint64_t len, uint64_t until) {
    stk_engine *e = cell->engine;
    stk_call *c = &cell->call;
    pthread_mutex_lock(&e->lock);
    int rc = cell_accept(e, c, fn, flags, data, len);
    if (rc == 0 && c->state != CALL_DONE && (c->t_submit >= until || !done_soon(e, c))) rc = STK_PENDING;
    pthread_mutex_unlock(&e->lock);
    return rc < 0 ? rc : cell_result(cell);
}

void stk_cell_abandon(stk_cell *cell) {
    stk_engine *e = cell->engine;
    stk_call *c = &cell->call;
    pthread_mutex_lock(&e->lock);
    if (c->state == CALL_WAITING) {
        line_remove(e, e->functions[c->fn], c);
        e->functions[c->fn]->cancelled++;
        e->in_flight--;
    } else if (c->state == CALL_IN_LANE) {
        stk_lane *l = e->lanes[c->lane];
        if (lane_withdraw(e, l, c->seq)) {
            e->functions[c->fn]->in_lanes--;
            e->functions[c->fn]->cancelled++;
            e->in_flight--;
            if (c->len > STK_INLINE) l->large_out = 0;
        } else { /* it runs: a stand-in without an owner takes its place in the lane */
            stk_call *o = call_new(e);
            if (o) {
                o->ticket = c->ticket;
                memcpy(o->id, c->id, sizeof o->id);
                o->state = CALL_IN_LANE;
                o->fn = c->fn;
                o->lane = c->lane;
                o->seq = c->seq;
                o->flags = c->flags;
                o->len = c->len;
                o->owner = OWNER_NONE;
                o->t_submit = c->t_submit;
                o->t_dispatch = c->t_dispatch;
            }
            l->queue[c->seq % STK_DEPTH] = o; /* out of memory: the reply is dropped as late */
            if (!o) e->functions[c->fn]->in_lanes--, e->in_flight--;
            lane_abandoned(e, l);
        }
    }
    c->state = CALL_DONE;
    c->payload = NULL;
    pthread_mutex_unlock(&e->lock);
    stk_cell_clear(cell);
}
