/* One lane: the shared memory between the engine and one worker, as each side sees it.
 *
 * Two memfds. `down` (engine to worker) is written by the engine alone: the worker's descriptor is
 * opened read-only, so it cannot be mapped writable there. `up` is written by the worker; the
 * engine writes one word of it, the bell. Each side's cursor and sleep flag live in the
 * memory that it writes, one cache-line pair per writer and purpose (128 bytes: the spatial
 * prefetcher fetches pairs).
 *
 *   down: control page | ring (STK_RING bytes) | large area (one payload at a time) | the end of the handler's own call
 *   up:   control page | ring (STK_RING bytes) | large area (one payload at a time)
 *
 * Sleeping, both ways: the sleeper reads the bell, raises its flag, FENCE, checks again, then
 * waits for the bell to change; the waker publishes, FENCE, and rings only if the flag is up.
 * Each of the two fences is needed: without either, both may read the old value of the other's
 * word, and a wake is lost.
 *
 * Cores: each side says where it runs, and neither spins where the other one is: what it waits for could not happen
 * before it is preempted. Both are hints; whoever does not spin sleeps, as above.
 *
 * Starting and revoking: the worker stores `started` = the record's sequence number, FENCE, reads
 * revoked[seq]; the engine stores revoked[seq], FENCE, reads `started`. At least one of
 * them sees the other, so an invocation that the engine counts as withdrawn never starts. The
 * worker sends SKIPPED for one that it saw revoked, and the engine waits for that record.
 */
#ifndef STK_LANE_H
#define STK_LANE_H

#include "shared/doorbell.h"
#include "shared/ring.h"

#define STK_PAGE 4096u
#define STK_RING (128u * 1024u)
#define STK_DEPTH 32u                 /* invocations in one lane, the running one included */
#define STK_HUGE (64u << 20)          /* a large area of at least this much asks for huge pages: it is filled in half the time */
#define STK_INLINE (STK_RING / 8u)    /* a payload larger than this goes through the large area */
#define STK_LARGE 1u                  /* record flag: the payload is in the large area */
#define STK_IN_PLACE 4u               /* with STK_LARGE: the reply is a part of its own large event; id[0..7]: the offset */
#define STK_WANT_TAIL 2u              /* record flag: the caller asks for the whole log and the peak memory */
#define STK_EXTRAS 8u                 /* record flag: the context's extras precede the event (wire.attach) */
#define STK_RAW 16u                   /* record flag of a call: its event is bytes, for a function that takes those */
#define STK_RING_THREAD 1u            /* sleep flag: a thread waits on the bell */
#define STK_RING_LOOP 2u              /* sleep flag: an event loop waits on the eventfd */
#define STK_EXIT_NO_DOORBELL 70       /* exit status of a worker whose handler closed its eventfd */
#define STK_FOR_EVENT 1u              /* sleep flag of a worker: it waits for an invocation */
#define STK_FOR_SPACE 2u              /* sleep flag of a worker: it waits for the engine to free space */
#define STK_FOR_RETURN 4u             /* sleep flag of a worker: its handler waits for the end of a call */

/* How a handler's call of another function ended: what it returned or raised, or why it was not accepted. */
typedef struct {
    int32_t status; /* STK_OK and the like; negative: it was not accepted */
    int32_t detail;
    uint32_t fn, raw; /* the function's index, and whether it takes bytes */
    uint64_t len, timeout_ns, max_payload; /* of the payload; the function's */
    uint8_t id[16];
    uint64_t spare;
} stk_return;

typedef struct {
    _Alignas(128) stk_a64 tail;       /* of the down ring */
    stk_a64 spin_ns;                  /* how long this worker may spin before it sleeps */
    stk_a32 caller_core;              /* stk_core() of who waits for this worker's replies */
    stk_a32 waiter;                   /* of the thread that called last, and sleeps until its reply; 0: it does not */
    _Alignas(128) stk_a64 head;       /* of the up ring */
    stk_a64 large_free;               /* large payloads of the worker that have been read */
    _Alignas(128) stk_a32 asleep;     /* STK_RING_THREAD | STK_RING_LOOP */
    _Alignas(128) stk_a32 bell;
    _Alignas(128) stk_a64 revoked[STK_DEPTH]; /* sequence number + 1 */
    _Alignas(128) stk_a64 returned;   /* number of the handler's call that ended last */
    stk_return end;                   /* how */
} stk_down;

typedef struct {
    _Alignas(128) stk_a64 tail;       /* of the up ring */
    _Alignas(128) stk_a64 head;       /* of the down ring */
    _Alignas(128) stk_a32 asleep;
    stk_a32 core;                     /* stk_core() of the worker: a hint, it may write anything */
    _Alignas(128) stk_a64 started;    /* sequence number + 1 of the newest invocation begun */
    _Alignas(128) stk_a32 bell;       /* the engine writes it too, to wake a thread that waits */
    _Alignas(128) stk_a64 dropped;    /* bytes of log that did not fit */
    stk_a64 written;                  /* how far log reaches that is not committed: stk_ring_left */
} stk_up;

#ifndef STK_MODEL
_Static_assert(sizeof(stk_record) == STK_LINE && sizeof(stk_return) == STK_LINE, "a header is one cache line");
_Static_assert(offsetof(stk_down, head) == 128 && offsetof(stk_down, asleep) == 256 &&
                   offsetof(stk_down, bell) == 384 && offsetof(stk_down, revoked) == 512,
               "one line pair per purpose");
_Static_assert(offsetof(stk_up, head) == 128 && offsetof(stk_up, asleep) == 256 && offsetof(stk_up, started) == 384 &&
                   offsetof(stk_up, bell) == 512 && offsetof(stk_up, dropped) == 640,
               "one line pair per writer and purpose");
_Static_assert(sizeof(stk_down) <= STK_PAGE && sizeof(stk_up) <= STK_PAGE, "control fits its page");
_Static_assert((STK_RING & (STK_RING - 1)) == 0, "a power of two");
#endif

/* The protocols above, step by step, so that the model checker runs what production runs. */

/* Sleeper: raise my flag. The caller checks its condition again, then waits for the bell to differ from the
 * value returned; stk_sleep_over when it is awake again. */
static inline uint32_t stk_sleep_announce(stk_a32 *flag, uint32_t bits, stk_a32 *bell) {
    uint32_t seen = stk_load(bell, STK_ACQUIRE); /* first: a ring after it ends the wait */
    stk_or(flag, bits, STK_RELAXED);
    STK_FENCE_SLEEP();
    return seen;
}
/* Raise the loop's flag, which may be up from an earlier wait: only the engine writes it, so it is not written again then.
 * FENCE and a check follow in any case. */
static inline void stk_raise_for_loop(stk_a32 *flag) {
    if (!(stk_load(flag, STK_RELAXED) & STK_RING_LOOP)) stk_or(flag, STK_RING_LOOP, STK_RELAXED);
}

/* Say where I run: stored when it is another core than the last time. */
static inline uint32_t stk_say_core(stk_a32 *where) {
    uint32_t core = stk_core();
    if (stk_load(where, STK_RELAXED) != core) stk_store(where, core, STK_RELAXED);
    return core;
}
static inline int stk_is_elsewhere(uint32_t core, stk_a32 *other) { return stk_load(other, STK_RELAXED) != core || !core; }
static inline void stk_sleep_over(stk_a32 *flag, uint32_t bits) { stk_and(flag, ~bits, STK_RELAXED); }

/* Waker, after it published: the peer's sleep flags; 0: it is awake and will see it. */
static inline uint32_t stk_must_wake(stk_a32 *flag) {
    STK_FENCE_WAKE();
    return stk_load(flag, STK_RELAXED);
}
static inline void stk_ring_bell(stk_a32 *bell) {
    stk_add(bell, 1, STK_RELEASE);
    stk_wake(bell);
}

/* `started` is a sequence number + 1; both wrap at 32 bits. */
static inline int stk_has_started(uint64_t started, uint32_t seq) { return (int32_t)((uint32_t)started - seq) > 0; }

/* Worker: begin that invocation. 0: it was revoked, send SKIPPED instead. */
static inline int stk_start(stk_up *up, stk_down *down, uint32_t seq) {
    stk_store(&up->started, (uint64_t)seq + 1, STK_RELAXED);
    STK_FENCE_START();
    return stk_load(&down->revoked[seq % STK_DEPTH], STK_RELAXED) != (uint64_t)seq + 1;
}

/* Engine: withdraw that invocation. 1: it will not start, and its SKIPPED rings the loop: the flag goes up before
 * the fence, so a worker that has not started yet sees it. */
static inline int stk_revoke(stk_down *down, stk_up *up, uint32_t seq) {
    stk_store(&down->revoked[seq % STK_DEPTH], (uint64_t)seq + 1, STK_RELAXED);
    stk_or(&down->asleep, STK_RING_LOOP, STK_RELAXED);
    STK_FENCE_REVOKE();
    return !stk_has_started(stk_load(&up->started, STK_RELAXED), seq);
}

/* The worker's large area holds one payload: the worker counts those it wrote, the engine those that were read.
 *
 * A raw handler may return its large event, or a slice of it: the reply is then read in place, in `down`, which stays
 * taken until then. The worker cannot write there, so it cannot change what was checked. */
static inline void stk_large_free(stk_down *down) { stk_add(&down->large_free, 1, STK_ORD_FREE); }
static inline int stk_large_ready(stk_down *down, uint64_t used) {
    return stk_load(&down->large_free, STK_ORD_SPACE) == used;
}

static inline uint64_t stk_area_bytes(uint64_t large) { return (large + STK_PAGE - 1) & ~(uint64_t)(STK_PAGE - 1); }
static inline uint64_t stk_up_bytes(uint64_t large) { return STK_PAGE + STK_RING + stk_area_bytes(large); }
static inline uint64_t stk_down_bytes(uint64_t large) { return stk_up_bytes(large) + stk_area_bytes(large); }
static inline uint8_t *stk_ring_at(void *base) { return (uint8_t *)base + STK_PAGE; }
static inline uint8_t *stk_large_at(void *base) { return (uint8_t *)base + STK_PAGE + STK_RING; }
static inline uint8_t *stk_returned_at(void *down, uint64_t large) { return stk_large_at(down) + stk_area_bytes(large); }

#endif
