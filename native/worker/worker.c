/* The worker's side of its lane: see worker.h and lane.h. */
#define _GNU_SOURCE
#include "worker/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/doorbell.h"
#include "worker/lock.h"

/* The next event of a caller that copies large payloads comes later by some ns for each byte: so does the end of a spin, by
 * up to this many budgets. Else who has large ones would pay for a wake each time, and, slower for it, for the next. */
enum { SPIN_CARRIED = 3 };
enum { LOG_CHUNK = 8192 };

stk_worker *stk_worker_open(int down_fd, int up_fd, int event_fd, int stdio_fd, uint64_t large, uint64_t max_reply) {
    size_t down_size = (size_t)stk_down_bytes(large), up_size = (size_t)stk_up_bytes(large);
    stk_worker *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    void *down = mmap(NULL, down_size, PROT_READ, MAP_SHARED, down_fd, 0);
    void *up = mmap(NULL, up_size, PROT_READ | PROT_WRITE, MAP_SHARED, up_fd, 0);
    if (down == MAP_FAILED || up == MAP_FAILED) {
        if (down != MAP_FAILED) munmap(down, down_size);
        if (up != MAP_FAILED) munmap(up, up_size);
        free(w);
        return NULL;
    }
    if (large >= STK_HUGE) madvise(up, up_size, MADV_HUGEPAGE);
    w->down = down;
    w->up = up;
    w->large = large;
    w->max_reply = max_reply;
    w->event_fd = event_fd;
    w->stdio_fd = stdio_fd;
    w->rung_at = UINT64_MAX;
    stk_ring_init(&w->rx, stk_ring_at(down), STK_RING, &w->up->head, &w->down->tail);
    stk_ring_init(&w->tx, stk_ring_at(up), STK_RING, &w->up->tail, &w->down->head);
    return w;
}

void stk_worker_close(stk_worker *w) {
    if (!w) return;
    munmap(w->down, (size_t)stk_down_bytes(w->large));
    munmap(w->up, (size_t)stk_up_bytes(w->large));
    free(w);
}

void stk_worker_doorbell(stk_worker *w) {
    uint32_t sleepers = stk_must_wake(&w->down->asleep);
    if (sleepers & STK_RING_THREAD) stk_ring_bell(&w->up->bell);
    /* A handler that closed our descriptors: the engine would not be woken for the replies. Exit: it then sees
     * the death, reads what is committed and starts another worker. */
    if ((sleepers & STK_RING_LOOP) && stk_ring_eventfd(w->event_fd) < 0) _exit(STK_EXIT_NO_DOORBELL);
}

/* What an invocation logs grows in one record (stk_ring_grow), committed when the next text does not fit or something else
 * is to be written: for each small write the engine's side would be disturbed, and fetch two cache lines. */
static int begin_log(stk_worker *w, uint64_t len) {
    int err;
    w->room = LOG_CHUNK;
    stk_record *r = stk_ring_reserve(&w->tx, w->room, &err);
    if (!r && !(r = stk_ring_reserve(&w->tx, w->room = len < LOG_CHUNK ? len : LOG_CHUNK, &err))) return 0;
    memset(r, 0, sizeof *r);
    r->kind = STK_LOG;
    r->ticket = w->event.ticket;
    memcpy(r->id, w->event.id, sizeof r->id);
    w->log = r;
    return 1;
}

static void commit_log(stk_worker *w) {
    w->tx.size = stk_ring_span(w->log->len);
    w->log = NULL;
    stk_ring_commit(&w->tx);
    /* More than half full: have the engine read it; once for each value of the engine's cursor. */
    uint64_t head = stk_load(&w->down->head, STK_RELAXED);
    if (w->tx.mine - head > STK_RING / 2 && head != w->rung_at) {
        w->rung_at = head;
        stk_ring_eventfd(w->event_fd);
    }
}

void stk_worker_log(stk_worker *w, const uint8_t *data, uint64_t len) {
    if (w->forked) return;
    stk_lock(&w->writing);
    while (len) {
        if (w->log && len > w->room - w->log->len) commit_log(w); /* a text is dropped whole, or not at all */
        if (!w->log && !begin_log(w, len)) break;
        stk_record *r = w->log;
        uint64_t some = len < w->room ? len : w->room;
        memcpy((uint8_t *)(r + 1) + r->len, data, some);
        r->len += some;
        stk_ring_grow(&w->tx, r->len, &w->up->written);
        data += some;
        len -= some;
        if (!w->busy) commit_log(w); /* between two invocations nothing else would */
    }
    if (len) stk_add(&w->up->dropped, len, STK_RELAXED);
    stk_unlock(&w->writing);
}

void stk_worker_forked(stk_worker *w) {
    w->forked = 1;
    stk_store(&w->writing, 0, STK_RELAXED); /* another thread may have held it, which is not in this process */
    stk_store(&w->calling, 0, STK_RELAXED);
}

/* Moves what native code and child processes wrote to stdout and stderr into the log. Bytes; < 0: the pipe is closed. */
static int64_t drain_stdio(stk_worker *w) {
    int waiting = 0, rc = 0;
    int64_t moved = 0;
    uint8_t chunk[LOG_CHUNK];
    if (w->stdio_fd < 0) return 0;
    while ((rc = ioctl(w->stdio_fd, FIONREAD, &waiting)) == 0 && waiting > 0) {
        ssize_t n = read(w->stdio_fd, chunk, sizeof chunk);
        if (n <= 0) break;
        stk_worker_log(w, chunk, (uint64_t)n);
        moved += n;
    }
    return rc < 0 ? rc : moved;
}

/* Wait until `ready` holds: spin for as long as the engine allows and its caller is elsewhere, then sleep on the engine's bell with this sleep
 * flag raised. 1: it holds; 0: a signal came first. */
int stk_worker_wait(stk_worker *w, int (*ready)(stk_worker *), uint32_t flag) {
    uint64_t budget = stk_load(&w->down->spin_ns, STK_RELAXED);
    if (budget) {
        uint64_t now = stk_now(), end = now + budget + (w->carried < SPIN_CARRIED * budget ? w->carried : SPIN_CARRIED * budget);
        int together = !ready(w) && !stk_place_apart(w, now);
        w->waited_at = now;
        for (unsigned n = 1;; n++) {
            if (ready(w)) return 1;
            if (together) break;
            stk_relax();
            if ((n & 15) == 0) { /* the engine withdraws the permit by storing 0 */
                if (stk_load(&w->down->spin_ns, STK_RELAXED) == 0 || stk_now() >= end) break;
                together = !stk_is_elsewhere(stk_say_core(&w->up->core), &w->down->caller_core);
            }
        }
    }
    int rc = 0;
    if (flag == STK_FOR_EVENT) stk_place_asleep(w, stk_now());
    uint32_t bell = stk_sleep_announce(&w->up->asleep, flag, &w->down->bell);
    if (!ready(w)) rc = stk_sleep(&w->down->bell, bell, 0);
    stk_sleep_over(&w->up->asleep, flag);
    if (flag == STK_FOR_EVENT) stk_place_awake(w);
    stk_say_core(&w->up->core); /* it may have woken elsewhere */
    return rc != -EINTR || ready(w);
}

static int event_ready(stk_worker *w) { return stk_ring_ready(&w->rx); }
static int large_ready(stk_worker *w) { return stk_large_ready(w->down, w->large_used); }
static int space_ready(stk_worker *w) {
    return w->tx.mine + stk_ring_span(STK_INLINE) * 2 - stk_load(&w->down->head, STK_ORD_SPACE) <= STK_RING;
}

uint8_t *stk_worker_place(stk_worker *w) { return large_ready(w) ? stk_large_at(w->up) : NULL; }

stk_record *stk_worker_reserve(stk_worker *w, uint32_t kind, uint64_t len) {
    int err, big = len > STK_INLINE;
    if (w->log) commit_log(w);
    if (big && len > w->large) return NULL;
    if (big)
        while (!large_ready(w)) {
            stk_worker_doorbell(w);
            stk_worker_wait(w, large_ready, STK_FOR_SPACE);
        }
    stk_record *r;
    while (!(r = stk_ring_reserve(&w->tx, big ? 0 : len, &err))) {
        if (err) return NULL;
        if (stk_ring_eventfd(w->event_fd) < 0) _exit(STK_EXIT_NO_DOORBELL); /* wake a reader that makes room */
        stk_worker_wait(w, space_ready, STK_FOR_SPACE);
    }
    memset(r, 0, sizeof *r);
    r->kind = kind;
    r->len = len;
    if (big) {
        r->flags = STK_LARGE;
        w->large_used++;
    }
    if (w->busy) {
        r->ticket = w->event.ticket;
        r->seq = w->event.seq;
        memcpy(r->id, w->event.id, sizeof r->id);
    }
    return r;
}

void stk_worker_commit(stk_worker *w) { stk_ring_commit(&w->tx); }

/* Is the reply a part of the large event that it replies to? */
static int is_in_place(const stk_worker *w, const uint8_t *data, uint64_t len) {
    const uint8_t *event = stk_large_at(w->down);
    return len > STK_INLINE && w->busy && (w->event.flags & STK_LARGE) && data >= event &&
           data + len <= event + w->event.len;
}

/* The caller holds `writing`. */
static int put(stk_worker *w, uint32_t kind, const uint8_t *data, uint64_t len) {
    uint64_t end = stk_now();
    int in_place = is_in_place(w, data, len);
    stk_record *r = stk_worker_reserve(w, kind, in_place ? 0 : len);
    if (!r) return STK_W_BROKEN;
    if (in_place) {
        uint64_t at = (uint64_t)(data - stk_large_at(w->down));
        r->flags = STK_LARGE | STK_IN_PLACE;
        r->len = len;
        memcpy(r->id, &at, sizeof at);
    } else {
        uint8_t *to = r->flags & STK_LARGE ? stk_large_at(w->up) : (uint8_t *)(r + 1);
        if (len && data != to) memcpy(to, data, len); /* it may be there: stk_worker_place */
    }
    if (w->busy) {
        w->carried = len + w->event.len;
        r->t0 = w->t_start;
        r->t1 = end;
        w->took = end - w->t_start;
        if (w->event.flags & STK_WANT_TAIL) {
            struct rusage u;
            if (getrusage(RUSAGE_SELF, &u) == 0) r->aux = (uint32_t)u.ru_maxrss;
        }
    }
    stk_ring_commit(&w->tx);
    return 0;
}

int stk_worker_reply(stk_worker *w, uint32_t kind, const uint8_t *data, uint64_t len) {
    if (w->forked) _exit(0);
    if (w->busy && (w->event.flags & STK_WANT_TAIL)) drain_stdio(w);
    stk_lock(&w->writing);
    int rc = put(w, kind, data, len);
    if (rc == 0 && w->busy) {
        stk_ring_release(&w->rx);
        w->busy = 0;
        w->stdio_due = 1;
    }
    stk_unlock(&w->writing);
    if (rc < 0) return rc;
    if (kind == STK_INIT_ERROR || (kind == STK_READY && !stk_ring_ready(&w->rx))) {
        if (stk_ring_eventfd(w->event_fd) < 0) _exit(STK_EXIT_NO_DOORBELL);
    } else if (kind != STK_READY) { /* a cold start's READY is read with its reply, or at the engine's next tick */
        stk_worker_doorbell(w);
    }
    return 0;
}

int64_t stk_worker_next(stk_worker *w) {
    if (w->stdio_due) { /* after the reply, where it delays none */
        w->stdio_due = 0;
        int64_t moved = drain_stdio(w);
        /* < 0: the handler closed our descriptors */
        if (moved < 0 || (moved > 0 && stk_ring_eventfd(w->event_fd) < 0)) _exit(STK_EXIT_NO_DOORBELL);
    }
    for (;;) {
        int rc = stk_ring_peek(&w->rx, &w->event, &w->payload);
        if (rc < 0) return STK_W_BROKEN;
        if (rc == 0) {
            if (!stk_worker_wait(w, event_ready, STK_FOR_EVENT)) return STK_W_SIGNAL;
            continue;
        }
        if (w->event.kind == STK_SHUTDOWN) return STK_W_SHUTDOWN;
        if (!stk_start(w->up, w->down, w->event.seq)) {
            w->busy = 1;
            if (stk_worker_reply(w, STK_SKIPPED, NULL, 0) < 0) return STK_W_BROKEN;
            w->stdio_due = 0;
            continue;
        }
        w->busy = 1;
        stk_ring_warm(&w->tx);
        w->t_start = stk_now();
        if (w->event.flags & STK_LARGE) {
            if (w->event.len > w->large) return STK_W_BROKEN;
            w->payload = stk_large_at(w->down);
        }
        if (w->event.flags & (STK_LARGE | STK_EXTRAS))
            return w->event.flags & STK_EXTRAS ? STK_W_EXTRAS : STK_W_LARGE;
        return (int64_t)((uint64_t)(w->payload - (uint8_t *)w->down) << 20 | w->event.len);
    }
}

int64_t stk_worker_reply_next(stk_worker *w, const uint8_t *data, uint64_t len) {
    if (stk_worker_reply(w, STK_RESULT, data, len) < 0) return STK_W_BROKEN;
    return stk_worker_next(w);
}
