/* A lane's life on the engine's side: its memory, what is put in, what comes out, its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "doorbell.h"
#include "internal.h"

/* A large result that nobody has come for after this long is moved out of its lane. */
static const uint64_t LARGE_KEPT_NS = 10000000;
enum { ORPHAN_KEEP = 64 * 1024, MAX_SUSPECTS = 3, SUSPECT = 16 };

static int grow(uint32_t **list, uint32_t *cap, uint32_t need) {
    if (need <= *cap) return 1;
    uint32_t more = *cap ? *cap * 2 : 8;
    uint32_t *grown = realloc(*list, more * sizeof **list);
    if (!grown) return 0;
    *list = grown;
    *cap = more;
    return 1;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void unmap(stk_engine *e, stk_lane *l) {
    if (l->down) munmap(l->down, (size_t)stk_lane_bytes(e->large));
    if (l->up) munmap(l->up, (size_t)stk_lane_bytes(e->large));
    l->down = NULL;
    l->up = NULL;
}

/* A sealed memfd of the lane's size, mapped for writing; neither side can shrink it under the other. */
static void *shared(const char *name, uint64_t size, int *fd) {
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)size) < 0 || fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return NULL;
    void *base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    return base == MAP_FAILED ? NULL : base;
}

static int lane_map(stk_engine *e, stk_lane *l) {
    char path[32];
    int pipes[2];
    uint64_t size = stk_lane_bytes(e->large);
    l->down_fd = l->down_ro_fd = l->up_fd = l->event_fd = l->stdio_r = l->stdio_w = -1;
    l->down = shared("stoker-down", size, &l->down_fd);
    l->up = l->down ? shared("stoker-up", size, &l->up_fd) : NULL;
    if (!l->up) return -errno;
    /* Opened anew for reading: a mapping of this description can never be made writable. A write
     * seal would do the same, but would keep us from giving pages back. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", l->down_fd);
    l->down_ro_fd = open(path, O_RDONLY | O_CLOEXEC);
    l->event_fd = l->down_ro_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0 || pipe2(pipes, O_CLOEXEC) < 0) return -errno;
    l->stdio_r = pipes[0];
    fcntl(l->stdio_r, F_SETFL, O_NONBLOCK); /* both sides read it: neither may wait for what the other took */
    l->stdio_w = pipes[1];
    close_fd(&l->down_fd);
    stk_ring_init(&l->tx, stk_ring_at(l->down), STK_RING, &l->down->tail, &l->up->head);
    stk_ring_init(&l->rx, stk_ring_at(l->up), STK_RING, &l->down->head, &l->up->tail);
    return 0;
}

static void lane_close(stk_engine *e, stk_lane *l) {
    unmap(e, l);
    close_fd(&l->down_fd);
    close_fd(&l->down_ro_fd);
    close_fd(&l->up_fd);
    close_fd(&l->event_fd);
    close_fd(&l->stdio_r);
    close_fd(&l->stdio_w);
    free(l->orphan_log);
    free(l->init_error);
    l->orphan_log = l->init_error = NULL;
}

static stk_lane *lane_slot(stk_engine *e) {
    for (uint32_t i = 0; i < e->n_lanes; i++)
        if (e->lanes[i]->state == LANE_FREE && e->lanes[i]->refs == 0) return e->lanes[i];
    if (e->n_lanes == e->cap_lanes) {
        uint32_t cap = e->cap_lanes ? e->cap_lanes * 2 : 8;
        stk_lane **more = realloc(e->lanes, cap * sizeof *more);
        if (!more) return NULL;
        e->lanes = more;
        e->cap_lanes = cap;
    }
    stk_lane *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->index = e->n_lanes;
    e->lanes[e->n_lanes++] = l;
    return l;
}

int stk_lane_prepare(stk_engine *e) {
    stk_lane fresh = {0};
    pthread_mutex_lock(&e->lock);
    int have = e->spare.down != NULL;
    pthread_mutex_unlock(&e->lock);
    if (have) return 0;
    int rc = lane_map(e, &fresh);
    if (rc == 0) {
        fresh.tx.data[0] = fresh.rx.data[0] = 0; /* have the pages that the first invocation will touch */
        stk_store(&fresh.down->tail, 0, STK_RELAXED);
        stk_store(&fresh.up->tail, 0, STK_RELAXED);
        pthread_mutex_lock(&e->lock);
        have = e->spare.down != NULL || e->closed;
        if (!have) e->spare = fresh;
        pthread_mutex_unlock(&e->lock);
    }
    if (rc < 0 || have) lane_close(e, &fresh);
    return rc;
}

void lane_drop_spare(stk_engine *e) {
    if (e->spare.down) lane_close(e, &e->spare);
}

int32_t stk_lane_new(stk_engine *e, uint32_t fn, uint32_t core, stk_lane_fds *fds) {
    pthread_mutex_lock(&e->lock);
    stk_lane fresh = e->spare;
    memset(&e->spare, 0, sizeof e->spare);
    pthread_mutex_unlock(&e->lock);
    int rc = fresh.down ? 0 : lane_map(e, &fresh); /* a dozen system calls: not under the lock */
    if (rc < 0) {
        lane_close(e, &fresh);
        return rc;
    }
    pthread_mutex_lock(&e->lock);
    stk_function *f = e->functions[fn];
    stk_lane *l = lane_slot(e);
    rc = -ENOMEM;
    if (l && grow(&e->busy, &e->cap_busy, e->n_lanes) && grow(&f->lanes, &f->cap_lanes, f->n_lanes + 1) &&
        grow(&f->idle, &f->cap_idle, f->n_lanes + 1)) {
        uint32_t index = l->index;
        *l = fresh;
        l->index = index;
        l->state = LANE_STARTING;
        l->fn = fn;
        l->core = core;
        l->idle_at = l->busy_at = STK_ABSENT;
        f->lanes[f->n_lanes++] = index;
        busy_add(e, l); /* its READY is to be read */
        *fds = (stk_lane_fds){l->down_ro_fd, l->up_fd, l->event_fd, l->stdio_r, l->stdio_w};
        rc = (int)index;
    }
    pthread_mutex_unlock(&e->lock);
    if (rc < 0) lane_close(e, &fresh);
    return rc;
}

void stk_lane_handed_over(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    close_fd(&l->down_ro_fd);
    close_fd(&l->up_fd);
    close_fd(&l->stdio_w);
    pthread_mutex_unlock(&e->lock);
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
            call_rouse(e, c); /* it now waits for this lane */
        }
    }
    pthread_mutex_unlock(&e->lock);
}

int lane_ring(stk_lane *l) {
    if (!stk_must_wake(&l->up->asleep)) return 0;
    stk_ring_bell(&l->down->bell);
    return 1;
}

/* Does a loop have to be rung for this one? Not when it polls, nor when a thread does. */
static int wants_loop(const stk_engine *e, const stk_call *c) {
    if (c->by == BY_THREAD) return 0;
    if (c->by == BY_NOBODY || c->box->asleep) return 1;
    return c->box->is_loop && !e->loop_hot;
}

/* SHUTDOWN, behind what is in the lane. Not while a payload is being copied in: lane_place does it then. */
static void lane_shut(stk_lane *l) {
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

static void large_over(stk_engine *e, stk_lane *l, stk_call *c) {
    l->unread[c->in_place] = NULL;
    if (l->state != LANE_FREE && c->in_place) {
        l->large_out = 0;
    } else if (l->state != LANE_FREE) {
        stk_large_read(l->down);
        lane_ring(l);
    }
    c->in_place = 0;
    c->large = NULL;
    lane_unref(e, l);
}

/* A result that its consumer has not come for must not keep others from the area: it gets a place of its own. */
static int large_moved(stk_engine *e, stk_lane *l, int in_place) {
    stk_call *c = l->unread[in_place];
    if (!c || c->by != BY_BOX || !c->box || !call_output(c, c->large, c->out_len)) return 0;
    large_over(e, l, c);
    return 1;
}

int lane_place(stk_engine *e, stk_lane *l, stk_call *c, uint64_t now, int may_unlock) {
    int err, big = c->len > STK_INLINE;
    if (lane_depth(l) >= STK_DEPTH || l->filling || (big && l->large_out && !large_moved(e, l, 1))) return 0;
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
    r->t0 = f->timeout_ns;
    r->seq = l->last;
    memcpy(r->id, c->id, sizeof r->id);
    uint8_t *to = big ? stk_large_at(l->down) : (uint8_t *)(r + 1);
    c->state = CALL_IN_LANE;
    c->lane = l->index;
    c->seq = l->last;
    c->t_dispatch = now;
    l->queue[l->last++ % STK_DEPTH] = c;
    f->in_lanes++;
    if (wants_loop(e, c)) stk_or(&l->down->asleep, STK_RING_LOOP, STK_RELAXED);
    if (may_unlock && c->len > STK_COPY_LOCKED) { /* the lane is ours until the copy is done: let others go on */
        const uint8_t *from = c->payload; /* outside the lock a lane's death may move the call */
        uint64_t len = c->len;
        l->filling = 1;
        l->refs++;
        pthread_mutex_unlock(&e->lock);
        memcpy(to, from, len);
        pthread_mutex_lock(&e->lock);
        l->filling = 0;
        l->refs--;
        if (l->state == LANE_FREE || l->state == LANE_DOOMED) { /* it died meanwhile; the call is back in the line */
            if (l->refs == 0 && l->state == LANE_FREE) unmap(e, l);
            return 1;
        }
    } else if (c->len) {
        memcpy(to, c->payload, c->len);
    }
    if (c->by != BY_THREAD) c->payload = to;
    if (big) {
        l->large_out = 1;
        l->touched = c->len > l->touched ? c->len : l->touched;
    }
    stk_ring_commit(&l->tx);
    c->woke = (uint32_t)lane_ring(l);
    if (l->state == LANE_RETIRING) lane_shut(l);
    return 1;
}

void lane_abandoned(stk_engine *e, stk_lane *l) {
    stk_or(&l->down->asleep, STK_RING_LOOP, STK_RELAXED);
    STK_FENCE_SLEEP(); /* its reply may have come just before, and rung nobody */
    lane_drain(e, l);
}

void lane_unref(stk_engine *e, stk_lane *l) {
    if (--l->refs == 0 && l->state == LANE_FREE) unmap(e, l);
}

void lane_large_read(stk_engine *e, stk_call *c) {
    stk_lane *l = e->lanes[c->held];
    int may_wait = c->in_place && l->state != LANE_FREE && e->functions[l->fn]->head != NULL;
    large_over(e, l, c);
    if (may_wait && l->state == LANE_READY) line_refill(e, l); /* for just that */
}

/* The reply to c that this record says lies in its event, or NULL. */
static const uint8_t *lies_in_event(const stk_lane *l, const stk_call *c, const stk_record *r) {
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

/* What the worker could not put into its log is its head's loss. */
static void log_lost(stk_engine *e, stk_lane *l, stk_call *c) {
    uint64_t dropped = stk_load(&l->up->dropped, STK_RELAXED), more = dropped - l->log_seen;
    l->log_seen = dropped;
    c->log_dropped += more;
    e->functions[l->fn]->log_dropped += more;
}

/* The lane's head is over: the next one begins now. */
static void head_over(stk_lane *l, uint64_t now) {
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
        l->corrupt = 1; /* more than its area holds, or an answer to what it has not been sent */
        return;
    }
    if (!c || r->seq != l->first || c->ticket != r->ticket) {
        f->late++;
        e->lost++;
        if (large) stk_large_read(l->down);
        if (lane_depth(l) && !c && r->seq == l->first) head_over(l, stk_now());
        return;
    }
    if (in_place && !lies_in_event(l, c, r)) {
        l->corrupt = 1;
        return;
    }
    uint64_t now = stk_now();
    c->t_start = r->t0 < c->t_dispatch || r->t0 > now ? c->t_dispatch : r->t0;
    c->t_end = r->t1 < c->t_start || r->t1 > now ? now : r->t1;
    c->peak_kib = r->aux;
    if (c->log_len) log_lost(e, l, c);
    uint32_t status = r->kind == STK_RESULT ? STK_OK : r->kind == STK_ERROR ? STK_FAULT : STK_BAD_EVENT;
    int read_later = (large || in_place) && c->by != BY_NOBODY;
    if (read_later) {
        c->large = in_place ? lies_in_event(l, c, r) : stk_large_at(l->up);
        c->in_place = in_place;
        c->held = l->index;
        c->out_len = r->len;
        l->unread[in_place] = c;
        l->refs++;
        l->touched = r->len > l->touched ? r->len : l->touched;
        if (c->by == BY_BOX) arm(e); /* see to it that it does not lie there for long: stk_expire */
    } else if (large) {
        stk_large_read(l->down);
    } else if (!in_place && c->by != BY_NOBODY && !call_output(c, data, r->len)) {
        status = STK_CRASH; /* no memory for its result */
    }
    uint64_t took = c->t_end - c->t_start;
    f->ewma_ns = f->ewma_ns ? (f->ewma_ns * 7 + took) / 8 + 1 : took + 1;
    head_over(l, now);
    if (read_later && in_place) l->large_out = 1; /* until it is read */
    l->served++;
    f->in_lanes--;
    complete_at(e, c, status, 0, now);
}

/* Who has a function's line now: itself, or who took its name. */
static uint32_t heir(const stk_engine *e, uint32_t fn) {
    while (e->functions[fn]->successor) fn = e->functions[fn]->successor - 1;
    return fn;
}

/* Back to the head of the line, what did not begin; or away with it, when nobody wants it any more. */
static void put_back(stk_engine *e, stk_call *c) {
    c->fn = heir(e, c->fn);
    if (c->by == BY_NOBODY)
        complete(e, c, STK_CANCELLED, 0);
    else if (line_push(e, e->functions[c->fn], c, 1) < 0)
        complete(e, c, STK_CRASH, -ENOMEM);
    else
        call_rouse(e, c);
}

static void skipped_record(stk_engine *e, stk_lane *l, const stk_record *r) {
    stk_function *f = e->functions[l->fn];
    if (!lane_depth(l) || r->seq != l->first) {
        e->lost++;
        return;
    }
    if (stk_load(&l->down->revoked[r->seq % STK_DEPTH], STK_RELAXED) != (uint64_t)r->seq + 1) {
        l->corrupt = 1; /* it was never told to: saying so again and again would put its deadline off */
        return;
    }
    stk_call *c = l->queue[l->first % STK_DEPTH];
    head_over(l, stk_now());
    f->skipped++;
    if (c) { /* the withdrawal came too late for us to count on, but the worker saw it: start it again */
        f->in_lanes--;
        put_back(e, c);
        if (f->successor) line_pump(e, e->functions[heir(e, l->fn)]);
    }
}

int lane_drain(stk_engine *e, stk_lane *l) {
    stk_record r;
    const uint8_t *data;
    int rc = 0, any = 0;
    if (l->state == LANE_FREE || l->state == LANE_DOOMED || l->corrupt) return l->corrupt ? -1 : 0;
    uint64_t before = l->rx.mine; /* at most a ring's worth: a worker that never stops writing must not keep us */
    while (l->rx.mine - before < STK_RING && (rc = stk_ring_peek(&l->rx, &r, &data)) == 1) {
        any = 1;
        switch (r.kind) {
        case STK_RESULT:
        case STK_ERROR:
        case STK_INVALID:
            reply_record(e, l, &r, data);
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
                l->t_head = lane_depth(l) ? stk_now() : 0; /* its time runs from here, retiring or not */
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
    if (rc < 0) {
        l->corrupt = 1;
        e->armed = 1;
        stk_ring_eventfd(e->control_fd);
        return -1;
    }
    if (any) {
        if (stk_must_wake(&l->up->asleep) == STK_FOR_SPACE) stk_ring_bell(&l->down->bell);
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

/* What is left in a lane goes back to the head of the line, in its order. */
static void give_back(stk_engine *e, stk_lane *l) {
    stk_function *f = e->functions[l->fn];
    while (l->last != l->first) {
        stk_call *c = l->queue[--l->last % STK_DEPTH];
        l->queue[l->last % STK_DEPTH] = NULL;
        if (!c) continue;
        f->in_lanes--;
        put_back(e, c);
    }
    if (f->successor) line_pump(e, e->functions[heir(e, l->fn)]);
    l->t_head = 0;
}

static int end_head(stk_engine *e, stk_lane *l, uint32_t status, int32_t detail) {
    if (!lane_depth(l)) return 0;
    stk_call *c = l->queue[l->first % STK_DEPTH];
    if (c && l->t_head && !c->t_start) c->t_start = l->t_head;
    l->queue[l->first++ % STK_DEPTH] = NULL;
    if (!c) return 0;
    e->functions[l->fn]->in_lanes--;
    c->t_end = stk_now();
    if (c->log_len) log_lost(e, l, c);
    complete(e, c, status, detail);
    return 1;
}

/* A worker says itself whether it began: what kills each one that denies it must not be tried for ever. One that
 * was not ready cannot have read it. One whose exit status says that it ended by itself, between two invocations,
 * is believed more often: a function that breaks each worker it runs in would take those behind it along. */
static int tried_enough(const stk_lane *l, int32_t detail) {
    stk_call *c = l->queue[l->first % STK_DEPTH];
    if (!c || l->state == LANE_STARTING) return 0;
    c->attempts += detail == STK_EXIT_NO_DOORBELL ? 1 : SUSPECT;
    return c->attempts >= MAX_SUSPECTS * SUSPECT;
}

int stk_lane_dead(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail) {
    int ended = 0;
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_function *f = e->functions[l->fn];
    if (l->state != LANE_FREE) {
        if (l->state != LANE_DOOMED) {
            lane_drain(e, l); /* what it committed before it died counts */
            lane_leave(e, l);
            uint64_t started = stk_load(&l->up->started, STK_ACQUIRE);
            if (lane_depth(l) && (stk_has_started(started, l->first) || tried_enough(l, detail)))
                ended = end_head(e, l, status, detail);
            give_back(e, l);
        }
        l->state = LANE_FREE;
        for (uint32_t i = 0; i < e->n_spinners; i++)
            if (e->spinner[i] == lane) {
                e->spinner[i] = e->spinner[--e->n_spinners];
                break;
            }
        close_fd(&l->down_ro_fd);
        close_fd(&l->up_fd);
        close_fd(&l->event_fd);
        close_fd(&l->stdio_r);
        close_fd(&l->stdio_w);
        free(l->orphan_log);
        free(l->init_error);
        l->orphan_log = l->init_error = NULL;
        if (l->refs == 0) unmap(e, l);
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
        lane_drain(e, l);
        lane_leave(e, l);
        uint64_t started = stk_load(&l->up->started, STK_ACQUIRE);
        if (l->t_head || stk_has_started(started, l->first)) ended = end_head(e, l, status, detail);
        l->state = LANE_DOOMED;
        give_back(e, l);
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
    for (uint32_t i = e->n_busy; i-- > 0;) { /* backwards: draining may remove the one at i */
        if (i >= e->n_busy) continue;
        stk_lane *l = e->lanes[e->busy[i]];
        lane_drain(e, l);
        stk_call *unread = l->unread[0];
        if (unread && now > unread->t_done + LARGE_KEPT_NS)
            large_moved(e, l, 0);
        else if (unread && (!*next || unread->t_done + LARGE_KEPT_NS < *next))
            *next = unread->t_done + LARGE_KEPT_NS + 1;
        if (!lane_depth(l) || !l->t_head || (l->state != LANE_READY && l->state != LANE_RETIRING)) continue;
        stk_function *f = e->functions[l->fn];
        uint64_t end = l->t_head + f->timeout_ns;
        if (now < end || n == max) {
            if (!*next || end < *next) *next = end;
            continue;
        }
        lane_leave(e, l);
        end_head(e, l, STK_TIMEOUT, 0);
        l->state = LANE_DOOMED;
        give_back(e, l);
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
        for (uint32_t seq = l->last; seq-- > from;) { /* the newest first: each goes before the last */
            stk_call *c = l->queue[seq % STK_DEPTH];
            if (!c || !lane_withdraw(e, l, seq)) continue;
            f->in_lanes--;
            c->cold = 0;
            if (c->len > STK_INLINE) l->large_out = 0;
            put_back(e, c);
            moved++;
        }
        line_pump(e, e->functions[heir(e, l->fn)]);
    }
    pthread_mutex_unlock(&e->lock);
    return moved;
}

int stk_corrupt(stk_engine *e, uint32_t *out, int max) {
    int n = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_lanes && n < max; i++)
        if (e->lanes[i]->corrupt && e->lanes[i]->state != LANE_FREE) out[n++] = i;
    pthread_mutex_unlock(&e->lock);
    return n;
}

uint32_t stk_lane_state(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    uint32_t state = e->lanes[lane]->state;
    pthread_mutex_unlock(&e->lock);
    return state;
}

uint64_t stk_lane_idle_since(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t since = 0;
    if (l->state == LANE_READY && l->idle_at != STK_ABSENT) since = l->t_idle = l->t_idle ? l->t_idle : stk_now();
    pthread_mutex_unlock(&e->lock);
    return since;
}

uint64_t stk_lane_busy_since(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    uint64_t since = e->lanes[lane]->t_head;
    pthread_mutex_unlock(&e->lock);
    return since;
}

int stk_lane_head(stk_engine *e, uint32_t lane, uint64_t *ticket, uint8_t *id) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_call *c = lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL;
    if (c) {
        *ticket = c->ticket;
        memcpy(id, c->id, sizeof c->id);
    }
    pthread_mutex_unlock(&e->lock);
    return c != NULL;
}

uint64_t stk_lane_orphan_log(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t n = l->orphan_len < cap ? l->orphan_len : cap;
    if (n) memcpy(out, l->orphan_log, n);
    l->orphan_len = 0;
    if (l->up) {
        uint64_t dropped = stk_load(&l->up->dropped, STK_RELAXED);
        e->functions[l->fn]->log_dropped += dropped - l->log_seen;
        l->log_seen = dropped;
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

uint64_t stk_lane_init_error(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t n = l->init_error ? (l->init_error_len < cap ? l->init_error_len : cap) : 0;
    if (n) memcpy(out, l->init_error, n);
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* A worker empties its pipe before it begins the next invocation: what the pipe holds belongs to the head once that
 * has begun, and to an earlier one before. */
uint64_t stk_lane_running(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_call *c = l->state != LANE_FREE && lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL;
    uint64_t ticket = c && stk_has_started(stk_load(&l->up->started, STK_ACQUIRE), l->first) ? c->ticket : 0;
    pthread_mutex_unlock(&e->lock);
    return ticket;
}

int stk_lane_append_log(stk_engine *e, uint32_t lane, uint64_t ticket, const uint8_t *data, uint64_t len) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_call *c = l->state != LANE_FREE && lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL;
    if (c && c->ticket != ticket) c = NULL;
    if (c) call_log(e, c, data, len);
    else if (!bytes_append(&l->orphan_log, &l->orphan_len, &l->orphan_cap, data, len, ORPHAN_KEEP))
        e->functions[l->fn]->log_dropped += len;
    pthread_mutex_unlock(&e->lock);
    return c != NULL;
}

uint64_t stk_lane_trim(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t given = 0;
    if (l->state == LANE_READY && l->idle_at != STK_ABSENT && l->touched && l->refs == 0) {
        given = l->touched;
        madvise(stk_large_at(l->down), (size_t)(stk_lane_bytes(e->large) - STK_PAGE - STK_RING), MADV_REMOVE);
        madvise(stk_large_at(l->up), (size_t)(stk_lane_bytes(e->large) - STK_PAGE - STK_RING), MADV_REMOVE);
        l->touched = 0;
    }
    pthread_mutex_unlock(&e->lock);
    return given;
}
