/* What the files of the engine's side share. Every function here is called with the lock held. */
#ifndef STK_INTERNAL_H
#define STK_INTERNAL_H

#include "engine/queue.h"

enum { SLEEPS_NOT = 0, SLEEPS_ON_WORD = 1, SLEEPS_ON_LANE = 2 };
/* Bytes of output kept, of one invocation's and of what belongs to none; the rest is counted. */
enum { LOG_KEEP = 256 * 1024, ORPHAN_KEEP = 64 * 1024 };

/* calls.c: an invocation from acceptance to completion */
stk_call *call_new(stk_engine *e);
void call_reset(stk_call *c); /* give back what its outcome holds */
void call_recycle(stk_engine *e, stk_call *c);
stk_call *call_find(stk_engine *e, uint64_t ticket);
void call_name(stk_engine *e, stk_call *c); /* ticket and request id */
void call_log(stk_engine *e, stk_call *c, const uint8_t *data, uint64_t len);
int call_output(stk_call *c, const uint8_t *data, uint64_t len);
void call_outcome(const stk_call *c, stk_outcome *out);
void call_rouse(stk_engine *e, stk_call *c); /* something happened to it: its thread must look */
void complete_at(stk_engine *e, stk_call *c, uint32_t status, int32_t detail, uint64_t now);
void complete(stk_engine *e, stk_call *c, uint32_t status, int32_t detail);
int bytes_append(uint8_t **buf, uint32_t *len, uint32_t *cap, const uint8_t *data, uint64_t n, uint32_t limit);

/* line.c: who waits, who is idle, who gets what */
int line_push(stk_engine *e, stk_function *f, stk_call *c, int front); /* 0, or STK_NO_MEMORY */
void line_remove(stk_engine *e, stk_function *f, stk_call *c);
void idle_push(stk_engine *e, stk_lane *l);
void idle_remove(stk_engine *e, stk_lane *l);
void busy_add(stk_engine *e, stk_lane *l);
void busy_remove(stk_engine *e, stk_lane *l);
int line_full(const stk_function *f);
/* Read what its workers have said: one may be done and not have been read yet. */
void line_read(stk_engine *e, stk_function *f);
stk_lane *line_pick(stk_engine *e, stk_function *f, const stk_call *c, uint64_t now);
int call_accept(stk_engine *e, stk_call *c); /* queue.c: 0: in a lane or in line; else why not */
void line_refill(stk_engine *e, stk_lane *l); /* from the line into a lane that has room; idle if nothing waits */
void line_pump(stk_engine *e, stk_function *f); /* idle lanes to waiting invocations */
uint32_t line_heir(const stk_engine *e, uint32_t fn); /* who has a function's line now: itself, or who took its name */
void line_put_back(stk_engine *e, stk_call *c); /* to its head, what did not begin; or away, when nobody wants it */
void kick(stk_engine *e, stk_function *f);
void arm(stk_engine *e);

/* lane_memory.c */
void lane_unref(stk_engine *e, stk_lane *l);
void lane_release(stk_engine *e, stk_lane *l); /* all that it has; its mappings once nobody refers to them */
void lane_drop_spare(stk_engine *e);

/* lanes.c: what goes in and what comes out */
int lane_place(stk_engine *e, stk_lane *l, stk_call *c, uint64_t now, int may_unlock); /* 1: it is no longer the caller's */
int lane_ring(stk_lane *l); /* 1: it slept */
void lane_shut(stk_lane *l); /* SHUTDOWN, behind what is in it */
int lane_drain(stk_engine *e, stk_lane *l);
void lane_abandoned(stk_engine *e, stk_lane *l); /* nobody waits for what is in it: the loop must hear of it */
void lane_large_read(stk_engine *e, stk_call *c); /* its large result has been read: the area is free again */
int lane_large_moved(stk_engine *e, stk_lane *l, int in_place); /* 1: a result nobody came for has left the area */
void lane_log_lost(stk_engine *e, stk_lane *l, stk_call *c);

/* lane_end.c: leaving it without a reply */
int lane_withdraw(stk_engine *e, stk_lane *l, uint32_t seq); /* 1: that invocation will not start */
static inline uint32_t lane_depth(const stk_lane *l) { return l->last - l->first; }

#endif
