/* Who spins, and where: the decisions as tables, and that neither side spins on the core of the other. */
#include "check.h"

#include "engine/internal.h"

static const uint8_t AB[] = "ab";

static void decisions(void) {
    static const struct {
        uint32_t in_flight, spinning, cores;
        int fits;
    } load[] = {
        {0, 0, 2, 1},   {1, 0, 2, 1},  /* one caller: itself and the worker */
        {1, 1, 2, 0},   {2, 0, 2, 0},  /* two invocations take both cores */
        {16, 0, 2, 0},  {1, 0, 1, 0},  /* one core: never */
        {16, 0, 64, 1}, {40, 23, 64, 1}, {40, 24, 64, 0}, {64, 0, 64, 0},
    };
    for (size_t i = 0; i < sizeof load / sizeof *load; i++)
        CHECK(spin_fits(load[i].in_flight, load[i].spinning, load[i].cores) == load[i].fits);
    CHECK(spin_pays(0, 20000) && spin_pays(79999, 20000) && !spin_pays(80000, 20000) && !spin_pays(0, 0));
    CHECK(spin_until(1000, 50, 0) == 1050 && spin_until(1000, 50, 1) == 1200);
    CHECK(spin_workers(1) == 0 && spin_workers(2) == 1 && spin_workers(65) == 64 && spin_workers(1000) == 64);
}

static void in_flight_is_what_has_not_ended(void) {
    rig r = rig_open(20000, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    stk_cell *cell = stk_cell_new(r.e);
    submit(&r, 1, "a", 1);
    uint64_t second = submit(&r, 2, "b", 1);
    CHECK(r.e->in_flight == 2);
    CHECK(stk_cancel(r.e, second) && r.e->in_flight == 1);
    reaps(&r, 2, STK_CANCELLED);
    worker_takes(w, "a", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, AB, 1) == 0);
    reaps(&r, 1, STK_OK);
    CHECK(r.e->in_flight == 0);
    CHECK(stk_submit(r.box, r.fn + 1, 3, 0, AB, 1) == STK_NO_FUNCTION && r.e->in_flight == 0);
    stk_cell_free(cell);
    worker_dies(&r, w, lane);
    CHECK(r.e->in_flight == 0);
    rig_close(&r);
}

static void *waits(void *arg) {
    stk_worker *w = arg;
    CHECK(stk_worker_next(w) >= 0);
    return NULL;
}

/* A worker with a permit of ten seconds: asleep at once where its caller is, awake where it is not. */
static void a_worker_spins_apart_from_its_caller(int together) {
    rig r = rig_open(10 * SECOND, 10 * SECOND, 10);
    uint32_t lane;
    pthread_t thread;
    cpu_set_t before, one;
    stk_worker *w = worker_ready(&r, &lane);
    stk_down *down = r.e->lanes[lane]->down;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    CPU_ZERO(&one);
    CPU_SET(stk_core() - 1, &one);
    sched_setaffinity(0, sizeof one, &one);
    CHECK(stk_load(&down->spin_ns, STK_ACQUIRE) == 10 * SECOND);
    stk_store(&down->caller_core, together ? stk_core() : stk_core() + 1, STK_RELEASE);
    CHECK(pthread_create(&thread, NULL, waits, w) == 0); /* it inherits the core */
    if (together) {
        while (stk_load(&w->up->asleep, STK_ACQUIRE) != STK_FOR_EVENT) sched_yield();
    } else {
        while (stk_load(&w->up->core, STK_ACQUIRE) != stk_core()) sched_yield();
        CHECK(stk_load(&w->up->asleep, STK_ACQUIRE) == 0);
    }
    submit(&r, 1, "a", 1);
    stk_store(&down->caller_core, 0, STK_RELEASE);
    CHECK(stk_reap_spin(r.box, 1000) == 0);
    CHECK(stk_load(&down->caller_core, STK_ACQUIRE) == stk_core()); /* who polls says where it is */
    pthread_join(thread, NULL);
    CHECK(stk_load(&w->up->core, STK_ACQUIRE) == stk_core());
    CHECK(stk_worker_reply(w, STK_RESULT, AB, 1) == 0);
    reaps(&r, 1, STK_OK);
    sched_setaffinity(0, sizeof before, &before);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

typedef struct {
    rig *r;
    int64_t got;
} caller;

static void *calls(void *arg) {
    caller *c = arg;
    stk_cell *cell = stk_cell_new(c->r->e);
    do c->got = cell_call(cell, c->r->fn, 0, AB, 1);
    while (c->got == STK_SIGNALLED);
    stk_cell_free(cell);
    return NULL;
}

/* A thread with ten seconds to spin: it raises its flag to be woken at once where its worker is. */
static void a_thread_sleeps_where_its_worker_is(void) {
    rig r = rig_open(10 * SECOND, 10 * SECOND, 10);
    uint32_t lane;
    pthread_t thread;
    cpu_set_t before, one;
    stk_worker *w = worker_ready(&r, &lane);
    stk_down *down = r.e->lanes[lane]->down;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    CPU_ZERO(&one);
    CPU_SET(stk_core() - 1, &one);
    sched_setaffinity(0, sizeof one, &one);
    stk_store(&w->up->core, stk_core(), STK_RELEASE);
    caller c = {.r = &r};
    CHECK(pthread_create(&thread, NULL, calls, &c) == 0);
    while (!(stk_load(&down->asleep, STK_ACQUIRE) & STK_RING_THREAD)) sched_yield();
    CHECK(stk_load(&down->caller_core, STK_ACQUIRE) == stk_core());
    worker_takes(w, "a", 1);
    CHECK(stk_worker_reply(w, STK_RESULT, AB, 2) == 0);
    pthread_join(thread, NULL);
    CHECK(c.got == 2);
    sched_setaffinity(0, sizeof before, &before);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

/* A call that holds the interpreter: done within a short spin, or handed back with the invocation accepted. */
static void a_try_does_not_wait(void) {
    rig r = rig_open(10 * SECOND, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    stk_cell *cell = stk_cell_new(r.e);
    uint64_t begin = stk_now();
    CHECK(stk_cell_try(cell, r.fn, 0, AB, 2, UINT64_MAX) == STK_PENDING && r.e->in_flight == 1);
    CHECK(stk_now() - begin < SECOND);
    worker_takes(w, "ab", 2);
    CHECK(stk_worker_reply(w, STK_RESULT, AB, 1) == 0);
    CHECK(stk_cell_wait(cell) == 1 && r.e->in_flight == 0);
    CHECK(stk_cell_try(cell, r.fn, 0, AB, 2, 0) == STK_PENDING); /* it is time to let others in */
    worker_takes(w, "ab", 2);
    CHECK(stk_worker_reply(w, STK_RESULT, AB, 2) == 0);
    CHECK(stk_cell_wait(cell) == 2);
    CHECK(stk_cell_try(cell, r.fn + 1, 0, AB, 2, UINT64_MAX) == STK_NO_FUNCTION);
    stk_cell_free(cell);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

/* The third of its calls in a row that finds its worker at home on the caller's core, and no other within a millisecond. */
static void a_caller_leaves_its_workers_core_in_the_end(void) {
    rig r = rig_open(10 * SECOND, 10 * SECOND, 10);
    uint32_t lane, core = stk_core();
    uint64_t now = stk_now();
    stk_worker *w = worker_ready(&r, &lane);
    stk_lane *l = r.e->lanes[lane];
    l->core = core - 1;
    stk_store(&w->up->core, core, STK_RELAXED);
    CHECK(!caller_beside(l, now) && !caller_beside(l, now + 1000));
    CHECK(!caller_beside(l, now + SECOND) && !caller_beside(l, now + SECOND + 1000)); /* it slept in between */
    CHECK(caller_beside(l, now + SECOND + 2000) == core);
    for (int i = 3; i < 9; i++) CHECK(!caller_beside(l, now + SECOND + (uint64_t)i * 1000));
    CHECK(caller_beside(l, now + SECOND + 1100000) == 0); /* a pause again */
    stk_store(&w->up->core, core + 1, STK_RELAXED); /* it came to the caller and will go home */
    for (uint64_t i = 0; i < 9; i++) CHECK(!caller_beside(l, now + 3 * SECOND + i * 1000));
    worker_dies(&r, w, lane);
    rig_close(&r);

    cpu_set_t before, after, one;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    CPU_ZERO(&one);
    CPU_SET(core - 1, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0 && stk_core() == core);
    CHECK(!caller_aside(core)); /* it may have no other */
    CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
    CHECK(caller_aside(core) == (CPU_COUNT(&before) > 1));
    CHECK(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&before, &after));
}

static rig line;

/* The nth core of those it may run on; whether there is one. */
static int runs_on(int n) {
    cpu_set_t may, one;
    CHECK(sched_getaffinity(0, sizeof may, &may) == 0);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &may) || n--) continue;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0;
    }
    return 0;
}

/* Ends an invocation as soon as another one waits in line behind it, and then that one. */
static void *ends_what_is_waited_for(void *arg) {
    stk_worker *w = arg;
    stk_function_stats s;
    CHECK(runs_on(1));
    for (int64_t rc; (rc = stk_worker_next(w)) != STK_W_SHUTDOWN;) {
        CHECK(rc >= 0);
        if (w->payload[0] == 'a')
            do
                stk_function_stats_read(line.e, line.fn, &s);
            while (!s.waiting);
        CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    }
    worker_close(w);
    return NULL;
}

/* A call in line behind a short one helps that to its end, and is done within the same try. The machine may have other
 * things to do: once in 500 times at least, and what a delay made of the function's mean is not kept. */
static void a_try_helps_what_is_in_front(void) {
    cpu_set_t before;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    if (CPU_COUNT(&before) < 2) return;
    line = rig_open(10 * SECOND, 10 * SECOND, 10);
    uint32_t lane;
    pthread_t worker;
    stk_worker *w = worker_ready(&line, &lane);
    stk_cell *cell = stk_cell_new(line.e);
    CHECK(pthread_create(&worker, NULL, ends_what_is_waited_for, w) == 0);
    CHECK(runs_on(0));
    int64_t n = STK_PENDING;
    for (int i = 0; i < 500 && n == STK_PENDING; i++) {
        pthread_mutex_lock(&line.e->lock);
        line.e->functions[line.fn]->ewma_ns = 1000;
        pthread_mutex_unlock(&line.e->lock);
        submit(&line, 1, "a", 1);
        n = stk_cell_try(cell, line.fn, 0, (const uint8_t *)"b", 1, UINT64_MAX);
        while (n == STK_PENDING && stk_cell_wait(cell) == STK_SIGNALLED) {
        }
        reaps(&line, 1, STK_OK);
    }
    CHECK(n == 0);
    stk_cell_free(cell);
    stk_lane_retire(line.e, lane);
    pthread_join(worker, NULL);
    stk_lane_dead(line.e, lane, STK_CRASH, 0);
    rig_close(&line);
    CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
}

int main(void) {
    decisions();
    in_flight_is_what_has_not_ended();
    a_worker_spins_apart_from_its_caller(1);
    a_worker_spins_apart_from_its_caller(0);
    a_thread_sleeps_where_its_worker_is();
    a_try_does_not_wait();
    a_caller_leaves_its_workers_core_in_the_end();
    a_try_helps_what_is_in_front();
    return 0;
}
