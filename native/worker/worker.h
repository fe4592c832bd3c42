/* The worker's side of its lane: wait for an event, reply, append to the log. */
#ifndef STK_WORKER_H
#define STK_WORKER_H

#include "shared/lane.h"

typedef struct stk_worker {
    stk_down *down;
    stk_up *up;
    stk_ring rx, tx;
    stk_record event;         /* the invocation in hand; valid while `busy` */
    const uint8_t *payload;
    uint64_t t_start;
    uint64_t large, large_used;
    uint64_t rung_at;         /* the engine's cursor when a filling log last rang it */
    uint64_t max_reply;
    int busy, stdio_due;
    int event_fd, stdio_fd;
} stk_worker;

enum { STK_W_SHUTDOWN = -1, STK_W_LARGE = -2, STK_W_BROKEN = -3, STK_W_SIGNAL = -4, STK_W_EXTRAS = -5 };

/* Map a lane. NULL with errno set. `large`: bytes of the large area. stdio_fd: the read end of the
 * pipe behind this process's stdout and stderr, or -1. */
stk_worker *stk_worker_open(int down_fd, int up_fd, int event_fd, int stdio_fd, uint64_t large, uint64_t max_reply);
/* The first act of a forked worker: end with the parent, a session and limits of its own. */
void stk_worker_prepare(uint64_t data_bytes, int parent);
/* The second: core (-1: any) and output of its own, and the lane, of these descriptors, which are consumed. NULL: errno. */
stk_worker *stk_worker_born(int down_fd, int up_fd, int event_fd, int stdio_r, int stdio_w, int core, uint64_t large,
                            uint64_t max_reply);
/* A worker over private memory that holds so many invocations of the event {}, then SHUTDOWN: see rehearsal.c. */
stk_worker *stk_worker_rehearsal(uint32_t invocations, uint64_t max_reply);
void stk_worker_close(stk_worker *w);

/* Wait for the next invocation. >= 0: offset << 20 | length of a payload in the down mapping;
 * STK_W_LARGE: read w->payload and w->event.len instead; STK_W_EXTRAS: the same, and the event has STK_EXTRAS;
 * STK_W_SHUTDOWN; STK_W_BROKEN: the lane is unusable; STK_W_SIGNAL: a signal arrived, call again. */
int64_t stk_worker_next(stk_worker *w);

/* Answer the invocation in hand (kind: STK_RESULT, STK_ERROR, STK_INVALID), or say STK_READY /
 * STK_INIT_ERROR without one. 0 or STK_W_BROKEN. Waits while the engine has not made room. */
int stk_worker_reply(stk_worker *w, uint32_t kind, const uint8_t *data, uint64_t len);

/* Both, for the warm path: one call from Python per invocation. */
int64_t stk_worker_reply_next(stk_worker *w, const uint8_t *data, uint64_t len);

/* Append to the log; never waits: what does not fit is counted in up->dropped. */
void stk_worker_log(stk_worker *w, const uint8_t *data, uint64_t len);
/* What native code and children wrote, into the log. < 0: the pipe is closed. */
int stk_worker_drain_stdio(stk_worker *w);

/* The steps of a reply, apart, for tests that stop between them. */
stk_record *stk_worker_reserve(stk_worker *w, uint32_t kind, uint64_t len);
void stk_worker_commit(stk_worker *w);
void stk_worker_doorbell(stk_worker *w);

#endif
