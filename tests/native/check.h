/* What the tests share: checks with file and line, a ring with both ends, an engine and workers in one process. */
#ifndef STK_CHECK_H
#define STK_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/doorbell.h"
#include "engine/queue.h"
#include "worker/worker.h"

#define CHECK(x)                                                                     \
    do {                                                                             \
        if (!(x)) {                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);           \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static const uint64_t SECOND = 1000000000u;

/* A small generator of our own, so that a failing run can be repeated. */
static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

typedef struct { /* a ring in private memory: exactly `cap` bytes, so that a sanitizer sees one too many */
    stk_a64 tail, head;
    uint8_t *data;
    stk_ring tx, rx;
} ring_pair;

static inline void ring_pair_open(ring_pair *p, uint64_t cap) {
    memset(p, 0, sizeof *p);
    p->data = aligned_alloc(64, cap);
    CHECK(p->data);
    memset(p->data, 0xff, cap); /* nothing may rely on zeroed memory */
    stk_ring_init(&p->tx, p->data, cap, &p->tail, &p->head);
    stk_ring_init(&p->rx, p->data, cap, &p->head, &p->tail);
}

static inline void ring_pair_close(ring_pair *p) { free(p->data); }

/* One record whose payload is `len` times the byte `stamp`; 0 when there is no room. */
static inline int ring_put(stk_ring *tx, uint32_t seq, uint64_t len, uint8_t stamp) {
    int err;
    stk_record *r = stk_ring_reserve(tx, len, &err);
    CHECK(err == 0);
    if (!r) return 0;
    memset(r, 0, sizeof *r);
    r->kind = STK_RESULT;
    r->len = len;
    r->seq = seq;
    memset(r + 1, stamp, len);
    stk_ring_commit(tx);
    return 1;
}

static inline int ring_get(stk_ring *rx, uint32_t seq, uint64_t len, uint8_t stamp) {
    stk_record r;
    const uint8_t *payload;
    int rc = stk_ring_peek(rx, &r, &payload);
    CHECK(rc >= 0);
    if (rc == 0) return 0;
    CHECK(r.kind == STK_RESULT && r.seq == seq && r.len == len);
    for (uint64_t i = 0; i < len; i++) CHECK(payload[i] == stamp);
    stk_ring_release(rx);
    return 1;
}

enum { LARGE = 1 << 20 };

typedef struct {
    stk_engine *e;
    stk_box *box;
    uint32_t fn;
    int control_fd, loop_fd;
} rig;

static uint64_t rig_words[4]; /* one outcome at a time */
static uint8_t rig_bytes[STK_CELL_BYTES];

static inline rig rig_open(uint64_t spin_ns, uint64_t timeout_ns, uint32_t max_waiting) {
    rig r = {.control_fd = eventfd(0, EFD_NONBLOCK), .loop_fd = eventfd(0, EFD_NONBLOCK)};
    r.e = stk_engine_new(LARGE, 2, spin_ns, 64u << 20, r.control_fd, r.loop_fd);
    CHECK(r.e);
    r.fn = (uint32_t)stk_function_new(r.e, timeout_ns, LARGE, max_waiting);
    r.box = stk_box_new(r.e, 0, rig_words, 1, rig_bytes, sizeof rig_bytes);
    CHECK(r.box);
    return r;
}

static inline uint64_t idle_busy_total(rig *r) {
    stk_function_stats s;
    stk_function_stats_read(r->e, r->fn, &s);
    CHECK(s.idle + s.busy + s.starting == s.lanes);
    return s.lanes;
}

/* Every lane is dead already; every call must be on the free list. */
static inline void rig_close(rig *r) {
    uint32_t free_calls = 0;
    CHECK(stk_engine_pending(r->e) == 0);
    stk_box_free(r->box);
    for (stk_call *c = r->e->free_calls; c; c = c->next) free_calls++;
    CHECK(free_calls == r->e->n_calls);
    CHECK(r->e->n_busy == 0 && r->e->in_flight == 0 && r->e->spinning == 0 && r->e->waiting_bytes == 0);
    for (uint32_t i = 0; i < r->e->n_lanes; i++) CHECK(r->e->lanes[i]->refs == 0 && !r->e->lanes[i]->up);
    stk_function_free(r->e, r->fn);
    CHECK(stk_functions_live(r->e) == 0);
    stk_engine_free(r->e);
    close(r->control_fd);
    close(r->loop_fd);
}

/* A lane and its worker, not READY yet. Both sides are in one process, each with mappings and descriptors of its
 * own. */
static inline stk_worker *worker_new(rig *r, uint32_t *lane) {
    stk_lane_fds fds;
    int32_t index = stk_lane_new(r->e, r->fn, 0, 0, &fds);
    CHECK(index >= 0);
    stk_worker *w = stk_worker_open(fds.down_fd, fds.up_fd, dup(fds.event_fd), -1, LARGE, LARGE);
    CHECK(w);
    stk_lane_handed_over(r->e, (uint32_t)index);
    *lane = (uint32_t)index;
    return w;
}

static inline stk_worker *worker_ready(rig *r, uint32_t *lane) {
    stk_worker *w = worker_new(r, lane);
    CHECK(stk_worker_reply(w, STK_READY, NULL, 0) == 0);
    CHECK(stk_lane_drain(r->e, *lane) == 0);
    CHECK(stk_lane_state(r->e, *lane) == LANE_READY);
    return w;
}

static inline void worker_close(stk_worker *w) {
    close(w->event_fd);
    stk_worker_close(w);
}

static inline int worker_dies(rig *r, stk_worker *w, uint32_t lane) {
    int ended = stk_lane_dead(r->e, lane, STK_CRASH, -9);
    worker_close(w);
    return ended;
}

/* A thread's whole call, from acceptance to its end. */
static inline int64_t cell_call(stk_cell *cell, uint32_t fn, uint32_t flags, const uint8_t *data, uint64_t len) {
    int64_t n = stk_cell_try(cell, fn, flags, data, len, 0);
    return n == STK_PENDING ? stk_cell_wait(cell) : n;
}

static inline uint64_t submit(rig *r, uint64_t token, const void *data, uint64_t len) {
    int64_t ticket = stk_submit(r->box, r->fn, token, 0, data, len);
    CHECK(ticket > 0);
    return (uint64_t)ticket;
}

/* The worker's next invocation is exactly this one. (With an empty ring stk_worker_next would sleep.) */
static inline void worker_takes(stk_worker *w, const void *data, uint64_t len) {
    CHECK(stk_ring_ready(&w->rx));
    int64_t rc = stk_worker_next(w);
    CHECK(rc >= 0 || rc == STK_W_LARGE);
    CHECK(w->event.len == len && memcmp(w->payload, data, len) == 0);
    CHECK(rc == STK_W_LARGE ||
          (uint64_t)rc == ((uint64_t)(w->payload - (const uint8_t *)w->down) << 20 | len));
}

typedef struct {
    uint64_t token, ticket, len;
    const uint8_t *data; /* until the next is reaped */
    uint32_t status;
    int extra;
} done;

/* One completion; 0 when there is none. One with extras is left for stk_outcome_of and stk_call_free. */
static inline int reap_one(rig *r, done *d) {
    int n = stk_reap(r->box);
    CHECK(n >= 0);
    if (n == 0) return 0;
    d->token = rig_words[0];
    d->status = (uint32_t)(rig_words[1] & 0xff);
    d->extra = (int)(rig_words[1] >> 8 & 1);
    d->len = rig_words[1] >> 32;
    d->data = rig_bytes + rig_words[2];
    d->ticket = rig_words[3];
    return 1;
}

/* The next completion, with this token and this status; freed. */
static inline void reaps(rig *r, uint64_t token, uint32_t status) {
    done d;
    CHECK(reap_one(r, &d));
    CHECK(d.token == token && d.status == status);
    if (d.extra) stk_call_free(r->e, d.ticket);
}

#endif
