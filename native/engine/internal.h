/* What the files of the engine's side share. Every function here is called with the lock held.
 *
 * lanes.c, line.c and calls.c call each other: a reply that is read (lanes.c) ends an invocation (calls.c) and frees its
 * worker, which takes the next one from the waiting line (line.c), which is placed in the lane (lanes.c). That
 * circle is declared here, in one header that includes none of them; the headers themselves have none.
 */
#ifndef STK_INTERNAL_H
#define STK_INTERNAL_H

#include "engine/queue.h"
#include "engine/spin.h"

enum { SLEEPS_NOT = 0, SLEEPS_ON_WORD = 1, SLEEPS_ON_LANE = 2 };
/* Bytes of output kept of one invocation, and of a lane outside any invocation; the rest is only counted. */
enum { LOG_KEEP = 256 * 1024, ORPHAN_KEEP = 64 * 1024 };

/* calls.c: an invocation from acceptance to completion */
stk_call *call_new(stk_engine *e);
void call_reset(stk_call *c); /* free what its outcome holds */
void call_recycle(stk_engine *e, stk_call *c);
stk_call *call_find(stk_engine *e, uint64_t ticket);
void call_identify(stk_engine *e, stk_call *c); /* ticket and request id */
static inline uint64_t call_timeout(const stk_engine *e, const stk_call *c) { /* ns that it may run */
    return c->timeout_ns ? c->timeout_ns : e->functions[c->fn]->timeout_ns;
}
void call_log(stk_engine *e, stk_call *c, const uint8_t *data, uint64_t len);
int call_output(stk_call *c, const uint8_t *data, uint64_t len);
void call_outcome(const stk_call *c, stk_outcome *out);
void call_notify(stk_engine *e, stk_call *c); /* wake its thread, if it has one: its state changed */
void complete_at(stk_engine *e, stk_call *c, uint32_t status, int32_t detail, uint64_t now);
void complete(stk_engine *e, stk_call *c, uint32_t status, int32_t detail);
int bytes_append(uint8_t **buf, uint32_t *len, uint32_t *cap, const uint8_t *data, uint64_t n, uint32_t limit);

/* line.c: the waiting line, the idle stack, the busy list */
int line_push(stk_engine *e, stk_function *f, stk_call *c, int front); /* 0, or STK_NO_MEMORY */
void line_remove(stk_engine *e, stk_function *f, stk_call *c);
void spin_withdraw(stk_engine *e); /* idle workers spin no more: the cores are needed */
void idle_push(stk_engine *e, stk_lane *l);
void idle_remove(stk_engine *e, stk_lane *l);
void busy_add(stk_engine *e, stk_lane *l);
void busy_remove(stk_engine *e, stk_lane *l);
int line_full(const stk_function *f);
/* Drain all its lanes: a reply may be committed and not read yet. */
void line_drain(stk_engine *e, stk_function *f);
stk_lane *line_pick(stk_engine *e, stk_function *f, const stk_call *c, uint64_t now);
int call_accept(stk_engine *e, stk_call *c); /* queue.c: 0: in a lane or in line; else a negative STK_* */
void line_refill(stk_engine *e, stk_lane *l); /* from the line into a lane that has room; idle if nothing waits */
void line_pump(stk_engine *e, stk_function *f); /* idle lanes to waiting invocations */
uint32_t line_owner(const stk_engine *e, uint32_t fn); /* the function that has its line now: itself, or its successor */
void line_requeue(stk_engine *e, stk_call *c); /* to the head of the line; cancelled when it, or that, has no owner */
void kick(stk_engine *e, stk_function *f);
void arm(stk_engine *e);

/* functions.c */
void function_drop(stk_engine *e, uint32_t fn); /* its memory, and its slot */

/* lane_memory.c */
void lane_unref(stk_engine *e, stk_lane *l);
void lane_release(stk_engine *e, stk_lane *l); /* its descriptors and buffers now, its mappings with the last reference */
void lane_drop_spare(stk_engine *e);

/* lanes.c: requests placed, replies and logs drained */
int lane_place(stk_engine *e, stk_lane *l, stk_call *c, uint64_t now, int may_unlock); /* 1: placed */
int lane_ring(stk_lane *l); /* 1: the worker slept */
void lane_shut(stk_lane *l); /* send SHUTDOWN, behind the invocations in it */
int lane_drain(stk_engine *e, stk_lane *l);
void lane_abandoned(stk_engine *e, stk_lane *l); /* an invocation in it lost its owner: have the loop rung for its reply */
void lane_large_free(stk_engine *e, stk_call *c); /* its large result has been read: the area is free again */
void lane_drop_replies(stk_engine *e, stk_lane *l); /* frees the pages of its large replies, which were read */
int lane_large_evict(stk_engine *e, stk_lane *l, int in_place); /* 1: an unread result was copied out of the area */
void lane_log_lost(stk_engine *e, stk_lane *l, stk_call *c);

/* nested.c: what handlers call */
void lane_call(stk_engine *e, stk_lane *l, const stk_record *r, const uint8_t *data);
void lane_call_end(stk_engine *e, stk_lane *l);    /* nobody waits for it any more */
void lane_call_done(stk_engine *e, stk_call *c);   /* its end to the handler that waits for it */
stk_call *call_root_of(const stk_engine *e, stk_call *c);     /* what somebody outside waits for, of which it is a part */
stk_call *call_frontier_of(const stk_engine *e, stk_call *c); /* the part of it that runs now */
/* The same where most often no handler calls anything: without a call. */
static inline stk_call *call_root(const stk_engine *e, stk_call *c) {
    return c->owner == OWNER_LANE ? call_root_of(e, c) : c;
}
static inline stk_call *call_frontier(const stk_engine *e, stk_call *c) { return e->calling ? call_frontier_of(e, c) : c; }
static inline void lane_call_drop(stk_engine *e, stk_lane *l) {
    if (l->call) lane_call_end(e, l);
}

/* lane_end.c: leaving a lane without a reply */
int lane_withdraw(stk_engine *e, stk_lane *l, uint32_t seq); /* 1: that invocation will not start */
static inline uint32_t lane_depth(const stk_lane *l) { return l->last - l->first; }
static inline stk_call *lane_head(const stk_lane *l) { return lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL; }
/* Lanes that need a core. */
static inline uint32_t running(const stk_engine *e) { return e->n_busy - e->calling; }
/* May one more thread spin? (A handler that waits for what it called needs no core.) */
static inline int may_spin(const stk_engine *e) { return spin_fits(e->in_flight - e->calling, e->spinning, e->cores); }
/* Never behind another invocation: who waits for it waits for no other. */
static inline int goes_alone(const stk_call *c) { return c->owner == OWNER_THREAD || c->owner == OWNER_LANE; }

/* aside.c */
uint32_t caller_beside(stk_lane *l, uint64_t now); /* the core that this thread is to leave for the worker; 0: none */
int caller_aside(uint32_t core);                   /* this thread has left it; without the lock */

/* What waits of threads and of consumers have in common (wait.c, box.c). */

/* A sleeper checks again after this long in any case: the worker can write to its lane's bell. */
static const uint64_t RECHECK_NS = 100000000;

static inline void engine_ref(stk_engine *e) {
    pthread_mutex_lock(&e->lock);
    e->users++;
    pthread_mutex_unlock(&e->lock);
}

static inline void engine_unref(stk_engine *e) { stk_engine_free(e); }

static inline void drain_busy(stk_engine *e) {
    for (uint32_t i = e->n_busy; i-- > 0;) /* backwards: draining may remove entry i */
        if (i < e->n_busy && stk_load(e->watch[i].tail, STK_RELAXED) != e->watch[i].read)
            lane_drain(e, e->lanes[e->busy[i]]);
}

static inline void request_bell(stk_engine *e) {
    for (uint32_t i = 0; i < e->n_busy; i++) stk_raise_for_loop(&e->lanes[e->busy[i]]->down->asleep);
    STK_FENCE_SLEEP();
}

/* Does a busy worker run on another core than this thread? Those that it would be kept from do not count. Few are busy:
 * else nobody spins. */
static inline int any_elsewhere(const stk_engine *e) {
    int any = 0;
    for (uint32_t i = 0; i < e->n_busy; i++) {
        const stk_lane *l = e->lanes[e->busy[i]];
        any |= stk_is_elsewhere(stk_say_core(&l->down->caller_core), &l->up->core);
    }
    return any;
}

#endif
