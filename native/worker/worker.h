/* The worker's side of its lane: wait for an invocation, reply, append to the log. */
#ifndef STK_WORKER_H
#define STK_WORKER_H

#include "shared/lane.h"

typedef struct stk_worker {
    stk_down *down;
    stk_up *up;
    stk_ring rx, tx;
    stk_record event;         /* of the current invocation, while `busy`; Python reads the three as one header */
    const uint8_t *payload;
    uint64_t t_start;
    uint64_t large, large_used;
    uint64_t max_reply;
    uint64_t waited_at;       /* when it last began to wait with a permit to spin */
    uint64_t moved_at;        /* when it last went to another core than its caller's */
    uint32_t home, place;     /* its own core and where it is pinned, as stk_core() has them; 0: nowhere */
    uint64_t slept_at, took;  /* when it last went to sleep; what its last invocation took */
    uint64_t carried;         /* bytes of its last event and reply */
    int paused;               /* had it long to wait for the last one? */
    uint64_t rung_at;         /* the engine's cursor when a log that fills up last rang it */
    stk_record *log;          /* a record of the log that grows, not committed; NULL: none */
    uint64_t room;            /* bytes that it may have */
    int busy, stdio_due;
    int event_fd, stdio_fd;
    int forked;               /* a process that the handler forked: the lane is its parent's */
    /* The lane's ring has one producer: who holds this. A handler's threads log and call, in C without Python's lock, while
     * the first thread replies. (`event` changes without it: what a thread logs that its handler left behind may count
     * as of the invocation before, the one after, or none.) */
    stk_a32 writing;
    stk_a32 calling;          /* a lock for the threads of a handler, over a whole call */
    const stk_return *holder; /* whose it is */
    uint64_t calls;           /* the handler's calls of other functions, over all its invocations */
    uint32_t caller;          /* the invocation, by its number, that the last one is of */
} stk_worker;

_Static_assert(offsetof(stk_worker, payload) == offsetof(stk_worker, event) + sizeof(stk_record) &&
                   offsetof(stk_worker, t_start) == offsetof(stk_worker, payload) + 8,
               "the header that engine/worker/context.py reads");

enum { STK_W_SHUTDOWN = -1, STK_W_LARGE = -2, STK_W_BROKEN = -3, STK_W_SIGNAL = -4, STK_W_EXTRAS = -5, STK_W_QUEUED = -6, STK_W_OVER = -7 };

/* Map a lane. NULL with errno set. `large`: bytes of the large area. stdio_fd: the read end of the
 * pipe behind this process's stdout and stderr, or -1. */
stk_worker *stk_worker_open(int down_fd, int up_fd, int event_fd, int stdio_fd, uint64_t large, uint64_t max_reply);
/* After the fork: die with the parent; a session and limits of its own. */
void stk_worker_prepare(uint64_t data_bytes, int parent);
/* Then, in an engine whose callers are its own threads: take the core in short turns. */
void stk_worker_short_turns(void);
/* Then: pin to the core (-1: any), redirect the output, map the lane; takes ownership of the descriptors. NULL: errno. */
stk_worker *stk_worker_born(int down_fd, int up_fd, int event_fd, int stdio_r, int stdio_w, int core, uint64_t large,
                            uint64_t max_reply);
/* A worker over private memory that holds this many invocations of the event {}, then SHUTDOWN: see rehearsal.c. */
stk_worker *stk_worker_rehearsal(uint32_t invocations, uint64_t max_reply);
void stk_worker_close(stk_worker *w);

/* Wait for the next invocation. >= 0: offset << 20 | length of a payload in the down mapping;
 * STK_W_LARGE: read w->payload and w->event.len instead; STK_W_EXTRAS: the same, and the event has STK_EXTRAS;
 * STK_W_SHUTDOWN; STK_W_BROKEN: the lane is unusable; STK_W_SIGNAL: a signal arrived, call again. */
int64_t stk_worker_next(stk_worker *w);

/* Reply to the current invocation (kind: STK_RESULT, STK_ERROR, STK_INVALID), or send STK_READY or STK_INIT_ERROR
 * without one. 0 or STK_W_BROKEN. Waits while the engine has not made room. */
int stk_worker_reply(stk_worker *w, uint32_t kind, const uint8_t *data, uint64_t len);

/* Both, for the warm path: one call from Python per invocation. */
int64_t stk_worker_reply_next(stk_worker *w, const uint8_t *data, uint64_t len);

/* Where a large reply may be written before it is given to one of these, which then copies nothing: `large` bytes. NULL
 * while the engine reads the last one. For a worker whose handler makes no calls. */
uint8_t *stk_worker_place(stk_worker *w);

/* In a child that the handler forked, first of all: it must leave the lane alone. What returns from the handler there ends
 * (exit status 0), what it logs is dropped: it has descriptors 1 and 2. */
void stk_worker_forked(stk_worker *w);

/* Append to the log, from any thread; never waits for room: what does not fit is counted in up->dropped. */
void stk_worker_log(stk_worker *w, const uint8_t *data, uint64_t len);

/* The handler calls another function, which it waits for; one thread of it at a time. call: 0 when it has ended: *out,
 * and its payload at *data until stk_worker_call_over. STK_W_SIGNAL: a signal came: wait on with stk_worker_call_wait.
 * STK_W_QUEUED: the same, with nothing sent yet: call again. STK_W_OVER: the invocation of that request id has ended, or
 * this is another process. hint: the index that the name had the last time. */
int stk_worker_call(stk_worker *w, const uint8_t *id, uint32_t hint, uint32_t flags, const uint8_t *name, uint64_t name_len,
                    const uint8_t *event, uint64_t len, stk_return *out, const uint8_t **data);
int stk_worker_call_wait(stk_worker *w, stk_return *out, const uint8_t **data);
void stk_worker_call_over(stk_worker *w, const stk_return *out); /* as often as one likes */

/* place.c. own: pins it (-1: not). asleep, awake: around each sleep for want of an invocation. apart: before it spins; is it
 * on another core than its caller? */
void stk_place_own(stk_worker *w, int core);
void stk_place_asleep(stk_worker *w, uint64_t now);
void stk_place_awake(stk_worker *w);
int stk_place_apart(stk_worker *w, uint64_t now);

/* Of worker.c, for calls.c. */
int stk_worker_wait(stk_worker *w, int (*ready)(stk_worker *), uint32_t flag);

/* The steps of a reply, for tests that stop between them: handlers/misbehave does, too. */
stk_record *stk_worker_reserve(stk_worker *w, uint32_t kind, uint64_t len);
void stk_worker_commit(stk_worker *w);
void stk_worker_doorbell(stk_worker *w);

#endif
