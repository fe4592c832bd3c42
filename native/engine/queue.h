/* The engine's own side: functions with a line of waiting invocations and a stack of idle workers,
 * lanes, and the invocations themselves. Process-local; no worker can hold its lock.
 *
 * Locking
 *   One mutex guards every structure here. It is held for a few stores or a copy of at most STK_COPY_LOCKED
 *   bytes, never for a wait. A larger payload is copied outside the lock by the submitting thread, which
 *   reserves the lane meanwhile (`filling`); only one that had to wait in line is copied under the lock.
 *   Waiters drain: any thread may read any lane's replies under the lock and so complete any invocation;
 *   a waiter spins on a producer cursor outside the lock and drains when it moves.
 *
 * Invariants (checked by tests/queue_machine.py)
 *   accepted = waiting + in lanes + completed: an invocation leaves through complete() exactly once;
 *   a lane with an empty queue and state READY is on its function's idle stack, and no other lane is;
 *   at any time, for each lane with work, a thread spins on it, or the thread flag is up and a thread sleeps
 *   on its bell, or the loop flag is up, or the loop is hot;
 *   a function's waiting line is empty or none of its READY lanes is idle.
 */
#ifndef STK_QUEUE_H
#define STK_QUEUE_H

#include <pthread.h>

#include "shared/lane.h"
#include "engine/stats.h"

enum { STK_STUCK_NS = 1000000 };
enum { STK_COPY_LOCKED = 64 * 1024, STK_CELL_BYTES = 4096, STK_ABSENT = 0xffffffffu };

/* How an invocation ended. */
enum {
    STK_OK = 0,
    STK_FAULT = 1,     /* the handler raised: payload = error object */
    STK_BAD_EVENT = 2, /* the event could not be decoded: payload = error object */
    STK_TIMEOUT = 3,
    STK_CRASH = 4,     /* detail: exit status, or -signal; INT32_MIN when unknown */
    STK_INIT = 5,      /* the function could not be initialised: payload = error object */
    STK_CANCELLED = 6,
    STK_CLOSED = 7,
    STK_MEMORY = 8     /* ended for exceeding its memory; detail: KiB seen */
};

/* How submitting failed: nothing was accepted. */
enum { STK_THROTTLED = -11, STK_TOO_LARGE = -90, STK_NO_FUNCTION = -2, STK_SHUT = -108, STK_NO_MEMORY = -12, STK_SIGNALLED = -4,
       STK_DEADLOCK = -35, STK_OTHER_CODEC = -91, STK_PENDING = -115 };

enum { LANE_FREE = 0, LANE_STARTING, LANE_READY, LANE_RETIRING, LANE_DOOMED };
enum { CALL_FREE = 0, CALL_WAITING, CALL_IN_LANE, CALL_DONE };
enum { OWNER_THREAD = 0, OWNER_BOX = 1, OWNER_NONE = 2, OWNER_LANE = 3 }; /* a lane: its handler called; token: its index */

struct stk_box;

typedef struct stk_call {
    uint64_t ticket; /* a random attempt number << 32 | index */
    uint32_t index;  /* in the engine's table; STK_ABSENT: a cell's */
    uint32_t state, fn, lane, owner, flags, sleeping, sleep_lane;
    stk_a32 word; /* a futex: incremented when the state of a call that waits in line changes */
    struct stk_call *prev, *next;
    struct stk_box *box;
    uint64_t token;
    const uint8_t *payload;
    uint8_t *owned; /* the payload's copy, while it waits in line */
    uint64_t len;
    uint8_t id[16];
    uint64_t timeout_ns; /* its own; 0: its function's */
    uint64_t t_submit, t_dispatch, t_start, t_end, t_done;
    uint64_t born; /* its lane's */
    uint32_t seq, cold, peak_kib;
    uint32_t woke;     /* its worker slept when it was placed */
    uint32_t attempts; /* weighted count of ready workers that died with it at the head: out_of_attempts */
    /* outcome */
    uint32_t status;
    int32_t detail;
    uint8_t *out; /* the cell's buffer, or one of its own */
    uint64_t out_cap, out_len;
    int out_foreign;       /* `out` is the cell's: not to be freed or grown */
    const uint8_t *large;  /* the payload, where it lies in lane `held` */
    uint32_t held;
    int in_place; /* `large` is a part of its own event, in `down` */
    uint8_t *log;
    uint32_t log_len, log_cap;
    uint64_t log_dropped;
} stk_call;

typedef struct {
    uint32_t index, state, fn, core;
    uint64_t born; /* tells its worker from earlier and later ones of the function: the engine's caller says how */
    stk_down *down;
    stk_up *up;
    stk_ring tx, rx;
    int down_fd, down_ro_fd, up_fd, event_fd, stdio_r, stdio_w;
    uint32_t refs; /* threads and large results that still use the mapping */
    uint32_t first, last; /* sequence numbers: [first, last) are in the lane */
    stk_call *queue[STK_DEPTH]; /* NULL: revoked, its SKIPPED is still to be read */
    uint64_t t_head; /* when the head began, as far as the engine knows; 0: not yet */
    uint64_t t_idle; /* since when it is idle */
    uint64_t log_seen; /* of up->dropped: counted already */
    uint32_t idle_at; /* place in the idle stack, or STK_ABSENT */
    uint32_t busy_at; /* place in the busy list, or STK_ABSENT */
    int filling, large_out, corrupt, retire_sent, draining;
    stk_call *call; /* what its handler called and waits for: nested.c */
    uint64_t call_number;
    uint8_t *orphan_log; /* output outside any invocation in flight */
    uint32_t orphan_len, orphan_cap;
    uint8_t *init_error; /* the error object of an init that failed in the worker */
    uint32_t init_error_len;
    stk_call *unread[2]; /* owner of the large result in `up`; in `down` */
    uint64_t touched; /* longest large payload since the pages were last freed */
    uint64_t replied; /* longest of its large replies since then */
} stk_lane;

typedef struct { /* what its slot's life depends on: functions.c */
    uint32_t at;           /* its place in the engine's order of slots */
    uint32_t successor;    /* index + 1 of the function that replaced it, which has no successor itself; 0: none */
    uint32_t predecessors; /* functions whose successor it is */
    int held, open;        /* its owner refers to it; submissions are taken */
    int ended;             /* it gets no worker any more: what comes back to its line is cancelled */
    uint64_t timeout_ns, max_payload;
    uint32_t max_waiting, max_lanes;
    char *name; /* by which handlers call it; NULL: none */
    uint64_t name_len;
    uint32_t raw; /* it takes and returns bytes */
    stk_call *head, *tail;
    uint32_t waiting, in_lanes;
    uint32_t *lanes, n_lanes, cap_lanes;
    uint32_t *idle, n_idle, cap_idle;
    uint64_t ewma_ns;
    uint64_t t_read; /* when a submission last drained its lanes for what waits in line */
    int kicked; /* the control loop was rung: this function has work and no idle worker */
    /* counters */
    uint64_t invocations, errors, timeouts, crashes, throttles, cold_starts, late, skipped, cancelled, log_dropped;
    stk_histogram latency, duration;
} stk_function;

typedef struct stk_box { /* the completion queue of a consumer with many invocations in flight */
    struct stk_engine *engine;
    uint64_t *words; /* the consumer's memory: four for each of `max` completions, */
    uint8_t *buf;    /* and `cap` bytes for their payloads */
    uint64_t cap;
    int max;
    stk_call *head, *tail;
    uint32_t ready, open; /* finished, not yet reaped; accepted, not yet reaped */
    stk_a32 word;
    int asleep, is_loop;
} stk_box;

typedef struct { /* where a busy lane's worker publishes, and what of that was read: one pass over these finds who wrote */
    stk_a64 *tail;
    uint64_t read;
} stk_watch;

typedef struct stk_engine {
    pthread_mutex_t lock;
    stk_lane **lanes;
    uint32_t n_lanes, cap_lanes;
    stk_lane spare; /* memory and descriptors for the next lane, made ahead of time */
    stk_function **functions; /* by index; NULL: a free slot */
    uint32_t *order;          /* the indices of all slots: those of the n_live functions, then the free ones */
    uint32_t n_functions, n_live, cap_functions;
    stk_call **calls;
    uint32_t n_calls, cap_calls;
    stk_call *free_calls;
    uint32_t *busy, n_busy, cap_busy;
    stk_watch *watch; /* of each of those, at the same place */
    uint32_t cap_watch;
    uint32_t in_flight; /* invocations that are accepted and have not ended */
    uint32_t calling; /* of those: lanes whose handler waits for what it called */
    stk_call *logged; /* calls of handlers that ended with output, newest first */
    uint64_t waiting_bytes, max_waiting_bytes, large;
    uint64_t replied; /* of all lanes */
    uint32_t cores, spinning, n_spinners, max_spinners;
    uint32_t caller_core; /* stk_core() of who last waited for a worker to come */
    uint32_t spinner[64];
    uint64_t spin_ns, rng[2];
    uint32_t users; /* references: the owner's, each cell's, each box's, each held function's */
    int closed, disowned, loop_hot, armed, control_fd, loop_fd;
    uint64_t lost; /* replies dropped: late, or of no invocation in flight */
} stk_engine;

/* A finished invocation as its caller sees it. Pointers are valid until it is freed. */
typedef struct {
    uint64_t ticket, token;
    uint32_t status;
    int32_t detail;
    const uint8_t *data;
    uint64_t len;
    const uint8_t *log;
    uint64_t log_len, log_dropped;
    uint64_t t_submit, t_dispatch, t_start, t_end, t_done; /* ns, CLOCK_MONOTONIC; 0: did not happen */
    uint32_t peak_kib, cold;
    uint64_t born; /* its lane's; 0 also when it came into none */
    uint8_t id[16];
} stk_outcome;

typedef struct { /* a thread's reusable slot for one invocation */
    stk_engine *engine;
    stk_call call;
    stk_outcome outcome;
    uint8_t data[STK_CELL_BYTES];
} stk_cell;

typedef struct {
    uint64_t timeout_ns, max_payload, waiting, in_lanes, lanes, idle, busy, starting, ewma_ns, oldest_ns;
    uint64_t invocations, errors, timeouts, crashes, throttles, cold_starts, late, skipped, cancelled, log_dropped;
    uint64_t p50, p90, p99, p999, max, mean, d50, d99; /* ns: submit to done; handler duration */
} stk_function_stats;

typedef struct { /* what scaling decides on; stuck: busy with one invocation for more than STK_STUCK_NS */
    uint64_t waiting, lanes, idle, busy, starting, stuck, ewma_ns, oldest_ns;
} stk_load_now;

typedef struct {
    int32_t down_fd, up_fd, event_fd, stdio_r, stdio_w; /* down_fd is read-only */
} stk_lane_fds;

/* large: bytes of each lane's large area. control_fd, loop_fd: eventfds to ring for the control loop
 * and for the loop that reaps. NULL when out of memory. */
stk_engine *stk_engine_new(uint64_t large, uint32_t cores, uint64_t spin_ns, uint64_t max_waiting_bytes, int control_fd,
                           int loop_fd);
void stk_engine_close(stk_engine *e); /* accept no more invocations */
void stk_engine_disown(stk_engine *e); /* in a forked child: the lanes are the parent's and must not be touched */
void stk_engine_free(stk_engine *e);  /* every lane must be dead; freed with the last cell, box and held function */
uint64_t stk_engine_pending(stk_engine *e);
uint64_t stk_engine_lost(stk_engine *e);

/* Its index, which is its owner's until stk_function_free, and may be another function's after that. */
int32_t stk_function_new(stk_engine *e, uint64_t timeout_ns, uint64_t max_payload, uint32_t max_waiting);
/* From now on handlers that call this name call this function; it has at most so many workers, and takes bytes if `raw`.
 * An empty name: it has none. 0 or STK_NO_MEMORY. */
int stk_function_name(stk_engine *e, uint32_t fn, const uint8_t *name, uint64_t len, uint32_t max_lanes, uint32_t raw);
void stk_function_free(stk_engine *e, uint32_t fn); /* its owner forgets it: nobody names it any more */
uint32_t stk_functions_live(stk_engine *e);
void stk_function_move(stk_engine *e, uint32_t from, uint32_t to); /* its waiting line and later submissions */
void stk_function_fail(stk_engine *e, uint32_t fn, uint32_t status, int32_t detail, const uint8_t *data, uint64_t len);
void stk_function_close(stk_engine *e, uint32_t fn); /* no more submissions */
void stk_function_end(stk_engine *e, uint32_t fn);   /* closed, and its last lane is dead: what waits is cancelled */
void stk_function_load(stk_engine *e, uint32_t fn, stk_load_now *out);
/* Functions with waiting invocations, or with several in one lane; how many. */
int stk_pressed(stk_engine *e, uint32_t *out, int max);
void stk_function_stats_read(stk_engine *e, uint32_t fn, stk_function_stats *out);

/* Lanes. -errno on failure. `take` places the head of the line in the new lane at once, so that a
 * cold start's event is there before its worker. */
int stk_lane_prepare(stk_engine *e); /* make the next lane's memory now; 0 or -errno */
/* born: what each outcome of its worker has. */
int32_t stk_lane_new(stk_engine *e, uint32_t fn, uint32_t core, uint64_t born, stk_lane_fds *fds);
void stk_lane_take(stk_engine *e, uint32_t lane);
void stk_lane_handed_over(stk_engine *e, uint32_t lane); /* the worker has its descriptors: close ours */
void stk_lane_retire(stk_engine *e, uint32_t lane);      /* finish its invocations, then SHUTDOWN */
/* Its worker ended. The invocation that had begun ends with `status`, the others go back to the head of the
 * line. Returns how many ended (0 or 1). */
int stk_lane_dead(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail);
int stk_lane_drain(stk_engine *e, uint32_t lane); /* -1: corrupt, the worker must be killed */
uint32_t stk_lane_state(stk_engine *e, uint32_t lane);
uint64_t stk_lane_idle_since(stk_engine *e, uint32_t lane); /* 0: not idle */
uint64_t stk_lane_busy_since(stk_engine *e, uint32_t lane); /* 0: not running */
uint64_t stk_lane_orphan_log(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap);
uint64_t stk_lane_init_error(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap);
uint64_t stk_lane_running(stk_engine *e, uint32_t lane); /* the head's ticket once it has begun, else 0 */
/* Output to that invocation's log if it is the head, else to the lane's own. */
int stk_lane_append_log(stk_engine *e, uint32_t lane, uint64_t ticket, const uint8_t *data, uint64_t len);
uint64_t stk_lane_trim(stk_engine *e, uint32_t lane); /* free an idle lane's large pages: their bytes */

/* End the invocation that a lane runs and doom the lane: its worker must be killed. 0: it had begun none; what it was
 * to run goes back to the line. */
int stk_lane_doom(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail);
/* End heads past their deadline and doom their lanes; the lanes' indices to out. A head that its worker has not begun
 * for long, or until then, goes back to the line instead, and its lane is doomed, too. *next: the earliest such time
 * of the others, ns, 0: none. */
int stk_expire(stk_engine *e, uint64_t now, uint32_t *out, int max, uint64_t *next);
/* Work stealing: take invocations that have not begun out of lanes whose head has run for longer than `patience` ns,
 * and out of starting lanes while others are idle. Returns how many were moved. */
int stk_steal(stk_engine *e, uint64_t now, uint64_t patience);
int stk_corrupt(stk_engine *e, uint32_t *out, int max); /* lanes with a record or cursor that cannot be */

/* A thread's invocation. try: accept it and, if a short spin suffices, its result: STK_PENDING when it needs more, or
 * began after `until` (CLOCK_MONOTONIC, ns; 0: at once): then stk_cell_wait, without the interpreter. Other negative
 * numbers of try: not accepted. Of both: >= 0: OK, that many bytes in cell->data, no log; with the flag STK_WANT_TAIL
 * the rest is in cell->outcome. -1: ended, see cell->outcome, then stk_cell_clear. STK_SIGNALLED: a signal arrived:
 * stk_cell_wait again, or stk_cell_abandon. */
stk_cell *stk_cell_new(stk_engine *e);
void stk_cell_free(stk_cell *cell);
int64_t stk_cell_try(stk_cell *cell, uint32_t fn, uint32_t flags, const uint8_t *data, uint64_t len, uint64_t until);
int64_t stk_cell_wait(stk_cell *cell);
void stk_cell_abandon(stk_cell *cell);
void stk_cell_clear(stk_cell *cell);

/* Submission and completion for one consumer. submit: a ticket, or a negative STK_*. reap: how many completions
 * it wrote to the box's words, four each: token; status | extra << 8 | length << 32; offset in buf; ticket.
 * extra: read the rest with stk_outcome_of, then stk_call_free; without extra it is freed already. */
stk_box *stk_box_new(stk_engine *e, int is_loop, uint64_t *words, int max, uint8_t *buf, uint64_t cap);
void stk_box_free(stk_box *box); /* invocations still in flight are abandoned */
int64_t stk_submit(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *data, uint64_t len);
/* The same with the caller's request id (16 bytes, or NULL): a retry keeps the id of the first attempt; and with a
 * timeout of its own, ns (0: the function's). */
int64_t stk_submit_as(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *id, uint64_t timeout_ns,
                      const uint8_t *data, uint64_t len);
/* With a timeout alone. */
int64_t stk_submit_within(stk_box *box, uint32_t fn, uint64_t token, uint64_t timeout_ns, const uint8_t *data,
                          uint64_t len);
int stk_reap(stk_box *box);
/* The same, polling for up to ns: for a loop that is kept hot. */
int stk_reap_spin(stk_box *box, uint64_t ns);
/* The same, waiting up to ns for the first (a thread's box). STK_SIGNALLED on a signal. */
int stk_reap_wait(stk_box *box, uint64_t ns);
int stk_outcome_of(stk_engine *e, uint64_t ticket, stk_outcome *out);
void stk_call_free(stk_engine *e, uint64_t ticket);
/* Withdraw an invocation that has not begun. 1: withdrawn (it completes as CANCELLED); 0: too late. */
int stk_cancel(stk_engine *e, uint64_t ticket);
int stk_begun(stk_engine *e, uint64_t ticket); /* does it run now, as far as its worker claims? */
uint64_t stk_forget(stk_engine *e, uint64_t ticket); /* discard its result; it runs on. Its token, or 0 */

/* Go to another core where every busy worker is on this thread's, so that neither runs while the other one does: the
 * kernel leaves both where they are, as each sleeps in between. 1: it went, which takes some 10 us. */
int stk_loop_aside(stk_box *box);
/* The loop that reaps goes to sleep: 0, or 1 when there is something to reap first. */
int stk_loop_cold(stk_box *box);
void stk_loop_hot(stk_box *box);
uint32_t stk_busy_lanes(stk_engine *e);
int stk_may_spin(stk_engine *e); /* does what is in flight leave a core to poll on? */
/* Output of a call that a handler made, whose function this is; -1: there is none. Then stk_call_free. */
int32_t stk_logged(stk_engine *e, stk_outcome *out);
int32_t stk_caller_core(stk_engine *e); /* of who last waited for a worker to come; -1: not known */
/* Drain every lane, idle ones too (output that came after a reply). How many are corrupt. */
int stk_drain_all(stk_engine *e);
void stk_armed(stk_engine *e, int armed); /* the control loop has its timer running */
void stk_unkick(stk_engine *e, uint32_t fn);

#endif
