/* Everything at once: threads that call, submit, cancel, forget and reap; workers that reply, log, print too much,
 * hang and die at any step; a control loop that replaces them. Each accepted invocation ends exactly once. */
#include "check.h"

#include <signal.h>

enum { WORKERS = 3, CALLERS = 4, BOXES = 4, CALLS = 400, IN_FLIGHT = 16 };
enum { ECHO = 0, BIG, LOGS, FAILS, HANGS, DIES_FIRST, DIES_RESERVED, DIES_COMMITTED, DEEDS };

typedef struct {
    uint64_t token;
    uint32_t deed, filler;
} event;

typedef struct {
    pthread_t thread;
    stk_worker *w;
    uint32_t lane;
    int dead, killed; /* under `news`: it has ended; it must end */
} fake;

static rig r;
static fake fakes[WORKERS];
static pthread_mutex_t news = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int callers_left = CALLERS + BOXES;
static uint64_t spin, crashes, timeouts, cancelled, fine;

static void raise_flag(int *flag) {
    pthread_mutex_lock(&news);
    (*flag)++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&news);
}

static int is_raised(const int *flag) {
    pthread_mutex_lock(&news);
    int raised = *flag;
    pthread_mutex_unlock(&news);
    return raised;
}

static int act(fake *f, const event *ev) { /* 0: it died */
    stk_worker *w = f->w;
    static uint8_t noise[40000];
    stk_record *rec;
    switch (ev->deed) {
    case DIES_FIRST:
        return 0;
    case DIES_RESERVED:
    case DIES_COMMITTED:
        rec = stk_worker_reserve(w, STK_RESULT, sizeof *ev);
        if (!rec) return 0;
        memcpy(rec + 1, ev, sizeof *ev);
        if (ev->deed == DIES_COMMITTED) stk_worker_commit(w);
        return 0;
    case HANGS:
        pthread_mutex_lock(&news);
        while (!f->killed) pthread_cond_wait(&changed, &news);
        pthread_mutex_unlock(&news);
        return 0;
    case LOGS:
        stk_worker_log(w, noise, ev->filler % sizeof noise);
        return stk_worker_reply(w, STK_RESULT, (const uint8_t *)ev, sizeof *ev) == 0;
    case FAILS:
        return stk_worker_reply(w, STK_ERROR, (const uint8_t *)ev, sizeof *ev) == 0;
    default:
        return stk_worker_reply(w, STK_RESULT, w->payload, w->event.len) == 0;
    }
}

static void *work(void *arg) {
    fake *f = arg;
    for (int rc = stk_worker_reply(f->w, STK_READY, NULL, 0); rc >= 0;) {
        int64_t at = stk_worker_next(f->w);
        event ev;
        if (at == STK_W_SHUTDOWN || at == STK_W_BROKEN || is_raised(&f->killed)) break;
        if (at == STK_W_SIGNAL) continue;
        CHECK(f->w->event.len >= sizeof ev);
        memcpy(&ev, f->w->payload, sizeof ev);
        if (!act(f, &ev)) break;
    }
    raise_flag(&f->dead);
    return NULL;
}

static void start(fake *f) {
    f->w = worker_new(&r, &f->lane);
    f->dead = f->killed = 0;
    stk_lane_take(r.e, f->lane);
    CHECK(pthread_create(&f->thread, NULL, work, f) == 0);
}

static void bury(fake *f) {
    pthread_join(f->thread, NULL);
    stk_lane_dead(r.e, f->lane, STK_CRASH, -9);
    worker_close(f->w);
}

/* A thread cannot be killed: wake it, wherever it sleeps, until it ends by itself. */
static void put_down(fake *f) {
    stk_lane *l = r.e->lanes[f->lane];
    pthread_kill(f->thread, SIGUSR1);
    pthread_mutex_lock(&r.e->lock);
    int held = l->refs != 0;
    pthread_mutex_unlock(&r.e->lock);
    if (!held && stk_load(&l->up->asleep, STK_ACQUIRE) == STK_FOR_SPACE) { /* its lane is drained no more */
        stk_store(&l->down->head, stk_load(&l->up->tail, STK_ACQUIRE), STK_RELEASE);
        stk_large_free(l->down);
        stk_ring_bell(&l->down->bell);
    }
}
static void wakes(int signal) { (void)signal; }

/* One turn of the control loop: workers past their deadline are killed, dead ones replaced. */
static void look_after(void) {
    uint32_t doomed[WORKERS];
    uint64_t next;
    CHECK(stk_drain_all(r.e) == 0);
    int n = stk_expire(r.e, stk_now(), doomed, WORKERS, &next);
    for (int i = 0; i < WORKERS; i++) {
        fake *f = &fakes[i];
        for (int k = 0; k < n; k++)
            if (doomed[k] == f->lane) raise_flag(&f->killed);
        if (is_raised(&f->dead)) {
            bury(f);
            start(f);
        } else if (is_raised(&f->killed)) {
            put_down(f);
        }
    }
}

static void control(void) {
    for (unsigned turn = 0; is_raised(&callers_left) > 0; turn++) {
        look_after();
        stk_steal(r.e, stk_now(), 500000);
        if (turn % 64 == 63) stk_lane_retire(r.e, fakes[turn / 64 % WORKERS].lane);
        usleep(200);
    }
}

static uint64_t make(uint8_t *buf, uint64_t token, uint64_t *random) {
    uint64_t dice = next_random(random) % 100;
    event ev = {.token = token, .filler = (uint32_t)next_random(random)};
    ev.deed = dice < 80 ? ECHO : dice < 88 ? BIG : dice < 94 ? LOGS : dice < 96 ? FAILS : DIES_FIRST + dice % 3;
    if (token % 397 == 396) ev.deed = HANGS;
    uint64_t len = sizeof ev + (ev.deed == BIG ? ev.filler % 200000 : ev.filler % 300);
    memset(buf, (int)(ev.filler & 0xff), len);
    memcpy(buf, &ev, sizeof ev);
    return len;
}

static void judge(uint64_t token, uint32_t status, const uint8_t *data, uint64_t len, uint32_t deed) {
    event ev;
    if (status == STK_OK || status == STK_FAULT) {
        CHECK(len >= sizeof ev && deed != HANGS && deed != DIES_FIRST && deed != DIES_RESERVED);
        memcpy(&ev, data, sizeof ev);
        CHECK(ev.token == token && ev.deed == deed && (status == STK_FAULT) == (deed == FAILS));
        if (len > sizeof ev) CHECK(data[len - 1] == (ev.filler & 0xff));
    }
    uint64_t *counter = status == STK_CRASH ? &crashes : status == STK_TIMEOUT ? &timeouts : status == STK_CANCELLED ? &cancelled : &fine;
    pthread_mutex_lock(&news);
    ++*counter;
    pthread_mutex_unlock(&news);
}

static void *calls(void *arg) {
    uint64_t random = 12345 + (uint64_t)(uintptr_t)arg;
    stk_cell *cell = stk_cell_new(r.e);
    uint8_t *buf = malloc(300000);
    CHECK(cell && buf);
    for (uint64_t i = 0; i < CALLS; i++) {
        uint64_t len = make(buf, i, &random);
        int64_t rc = i % 2 ? stk_cell_try(cell, r.fn, 0, buf, len, UINT64_MAX) : cell_call(cell, r.fn, 0, buf, len);
        while (rc == STK_SIGNALLED || rc == STK_PENDING) rc = stk_cell_wait(cell);
        if (rc == STK_THROTTLED) continue;
        CHECK(rc >= -1);
        if (rc >= 0) {
            judge(i, STK_OK, cell->data, (uint64_t)rc, ((event *)buf)->deed);
        } else {
            judge(i, cell->outcome.status, cell->outcome.data, cell->outcome.len, ((event *)buf)->deed);
            stk_cell_clear(cell);
        }
    }
    stk_cell_free(cell);
    free(buf);
    pthread_mutex_lock(&news);
    callers_left--;
    pthread_mutex_unlock(&news);
    return NULL;
}

enum { UNKNOWN = 0, ACCEPTED, FORGOTTEN, ENDED };

static void *submits(void *arg) {
    uint64_t random = 999 + (uint64_t)(uintptr_t)arg, out[4 * IN_FLIGHT], tickets[CALLS], sent = 0, ended = 0, open = 0;
    uint8_t *buf = malloc(300000), *results = malloc(IN_FLIGHT * STK_CELL_BYTES), state[CALLS] = {0};
    uint32_t deeds[CALLS];
    stk_box *box = stk_box_new(r.e, 0, out, IN_FLIGHT, results, IN_FLIGHT * STK_CELL_BYTES);
    CHECK(buf && results && box);
    while (sent < CALLS || open) {
        while (sent < CALLS && open < IN_FLIGHT) {
            uint64_t len = make(buf, sent, &random);
            int64_t rc = stk_submit(box, r.fn, sent, sent % 50 == 7 ? STK_WANT_TAIL : 0, buf, len);
            if (rc == STK_THROTTLED) break;
            CHECK(rc > 0);
            deeds[sent] = ((event *)buf)->deed;
            tickets[sent] = (uint64_t)rc;
            state[sent++] = ACCEPTED;
            open++;
            uint64_t dice = next_random(&random) % 40, which = sent - 1 - next_random(&random) % (sent < 6 ? sent : 6);
            if (dice == 0) stk_cancel(r.e, tickets[which]); /* it may have ended long ago */
            if (dice == 1 && state[sent - 1] == ACCEPTED && deeds[sent - 1] != ECHO) {
                stk_forget(r.e, tickets[sent - 1]); /* one that is done already is reaped all the same */
                state[sent - 1] = FORGOTTEN;
            }
        }
        int n = stk_reap_wait(box, 50000000);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++) {
            uint64_t token = out[4 * i], len = out[4 * i + 1] >> 32;
            CHECK(token < sent && (state[token] == ACCEPTED || state[token] == FORGOTTEN));
            state[token] = ENDED;
            ended++;
            if (out[4 * i + 1] >> 8 & 1) {
                stk_outcome o;
                CHECK(stk_outcome_of(r.e, out[4 * i + 3], &o) && o.token == token);
                judge(token, o.status, o.data, o.len, deeds[token]);
                stk_call_free(r.e, out[4 * i + 3]);
            } else {
                judge(token, STK_OK, results + out[4 * i + 2], len, deeds[token]);
            }
        }
        pthread_mutex_lock(&r.e->lock);
        open = box->open; /* by the engine's count: a forgotten one is no longer open */
        pthread_mutex_unlock(&r.e->lock);
    }
    for (uint64_t i = 0; i < sent; i++) CHECK(state[i] == ENDED || state[i] == FORGOTTEN);
    stk_box_free(box);
    free(buf);
    free(results);
    pthread_mutex_lock(&news);
    callers_left--;
    pthread_mutex_unlock(&news);
    return NULL;
}

static void all_at_once(void) {
    pthread_t threads[CALLERS + BOXES];
    stk_function_stats s;
    r = rig_open(spin, 30 * SECOND / 1000, 40);
    callers_left = CALLERS + BOXES;
    for (int i = 0; i < WORKERS; i++) start(&fakes[i]);
    for (int i = 0; i < CALLERS + BOXES; i++)
        CHECK(pthread_create(&threads[i], NULL, i < CALLERS ? calls : submits, (void *)(uintptr_t)(i * 7 + 1)) == 0);
    control();
    for (int i = 0; i < CALLERS + BOXES; i++) pthread_join(threads[i], NULL);

    /* Forgotten invocations still end; then every lane is idle and the counters agree. */
    do {
        look_after();
        usleep(200);
        stk_function_stats_read(r.e, r.fn, &s);
    } while (stk_engine_pending(r.e) || s.idle < WORKERS);
    CHECK(s.idle == s.lanes && s.busy == 0 && s.starting == 0 && s.waiting == 0 && s.in_lanes == 0);
    for (int i = 0; i < WORKERS; i++) {
        stk_lane_retire(r.e, fakes[i].lane);
        while (!is_raised(&fakes[i].dead)) {
            stk_drain_all(r.e);
            stk_lane_retire(r.e, fakes[i].lane);
            usleep(100);
        }
        bury(&fakes[i]);
    }
    rig_close(&r);
}

int main(void) {
    struct sigaction action = {.sa_handler = wakes};
    sigaction(SIGUSR1, &action, NULL);
    for (spin = 0; spin <= 20000; spin += 20000) all_at_once();
    printf("fine %llu, crashed %llu, timed out %llu, cancelled %llu\n", (unsigned long long)fine, (unsigned long long)crashes,
           (unsigned long long)timeouts, (unsigned long long)cancelled);
    return 0;
}
