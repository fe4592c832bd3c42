/* Waiting for replies: a thread for its one invocation, a consumer for many, a loop that may sleep.
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

/* So long may a caller keep the interpreter from others: some times what a short function takes. */
static const uint64_t TRY_NS = 10000;
/* And for as many invocations in front of its own. */
enum { SHORT_LINE = 8 };
/* A sleeper checks again after this long in any case: the worker can write to its lane's bell. */
static const uint64_t RECHECK_NS = 100000000;

static void engine_ref(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    e->users++;
    pthread_mutex_unlock(&e->lock);
}

static void engine_unref(stk_engine *e) { stk_engine_free(e); }

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

static void drain_busy(stk_engine *e) {
    for (uint32_t i = e->n_busy; i-- > 0;) /* backwards: draining may remove entry i */
        if (i < e->n_busy && stk_load(e->watch[i].tail, STK_RELAXED) != e->watch[i].read)
            lane_drain(e, e->lanes[e->busy[i]]);
}

static void request_bell(stk_engine *e) {
    for (uint32_t i = 0; i < e->n_busy; i++) stk_raise_for_loop(&e->lanes[e->busy[i]]->down->asleep);
    STK_FENCE_SLEEP();
}

/* Does a busy worker run on another core than this thread? Those that it would be kept from do not count. Few are busy:
 * else nobody spins. */
static int any_elsewhere(const stk_engine *e) {
    int any = 0;
    for (uint32_t i = 0; i < e->n_busy; i++) {
        const stk_lane *l = e->lanes[e->busy[i]];
        any |= stk_is_elsewhere(stk_say_core(&l->down->caller_core), &l->up->core);
    }
    return any;
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
    if (!spin_pays(f->ewma_ns, e->spin_ns) || f->waiting > SHORT_LINE) return 0;
    uint64_t until = c->t_submit + TRY_NS * (1 + f->waiting);
    while (c->state == CALL_WAITING && any_elsewhere(e) && stk_now() < until) help(e);
    if (c->state != CALL_IN_LANE || c->woke) return c->state == CALL_DONE;
    stk_lane *l = e->lanes[c->lane];
    if (l->state != LANE_READY || !stk_is_elsewhere(stk_say_core(&l->down->caller_core), &l->up->core)) return 0;
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
