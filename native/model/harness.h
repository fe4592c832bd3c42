/* What the models share: empty lanes, futexes, an eventfd, and the command line. */
#ifndef STK_MODEL_HARNESS_H
#define STK_MODEL_HARNESS_H

#include <cstdio>
#include <cstdlib>

#include "weaken.h"

#include "shared/lane.h"

/* As in the kernel: no wake is missed between comparing the word and sleeping. */
int stk_sleep(stk_a32 *word, uint32_t seen, uint64_t) {
    rl::context &c = rl::ctx();
    c.sched();
    if (word->debug_value() == seen)
        word->wait(c, false, false, $); /* for ever: no timeout hides a lost wake */
    else
        rl::yield(1, $); /* a store becomes visible in the end */
    return 0;
}
void stk_wake(stk_a32 *word) {
    rl::ctx().sched();
    word->wake(rl::ctx(), 1000, $);
}

struct eventfd {
    stk_a32 count;
    void ring() {
        stk_add(&count, 1, STK_RELEASE);
        stk_wake(&count);
    }
    void wait_and_clear() {
        while (stk_and(&count, 0, STK_ACQUIRE) == 0) stk_sleep(&count, 0, 0);
    }
};

enum { RING_LINES = 4, RING_BYTES = RING_LINES * STK_LINE };

struct lane_model { /* both ends of one lane, with rings of four lines */
    stk_down down;
    stk_up up;
    eventfd event;
    alignas(64) uint8_t down_ring[RING_BYTES], up_ring[RING_BYTES];
    stk_ring engine_tx, engine_rx, worker_tx, worker_rx;

    void reset() {
        stk_a64 *wide[] = {&down.tail, &down.head, &down.large_free, &down.spin_ns, &up.tail, &up.head, &up.started};
        stk_a32 *narrow[] = {&down.asleep, &down.bell, &up.asleep, &up.bell, &event.count};
        for (stk_a64 *p : wide) stk_store(p, 0, STK_RELAXED);
        for (stk_a32 *p : narrow) stk_store(p, 0, STK_RELAXED);
        for (uint32_t i = 0; i < 2; i++) stk_store(&down.revoked[i], 0, STK_RELAXED);
        memset(down_ring, 0xee, sizeof down_ring);
        memset(up_ring, 0xee, sizeof up_ring);
        stk_ring_init(&engine_tx, down_ring, RING_BYTES, &down.tail, &up.head);
        stk_ring_init(&worker_rx, down_ring, RING_BYTES, &up.head, &down.tail);
        stk_ring_init(&worker_tx, up_ring, RING_BYTES, &up.tail, &down.head);
        stk_ring_init(&engine_rx, up_ring, RING_BYTES, &down.head, &up.tail);
    }
};

/* A record without a payload; false when there is no room. */
static bool put(stk_ring *ring, uint32_t kind, uint32_t seq) {
    int err;
    stk_record *r = stk_ring_reserve(ring, 0, &err);
    RL_ASSERT(err == 0);
    if (!r) return false;
    memset((void *)r, 0, sizeof *r);
    r->kind = kind;
    r->seq = seq;
    stk_ring_commit(ring);
    return true;
}

/* The next record's header, already released; false when there is none. */
static bool get(stk_ring *ring, stk_record *out) {
    const uint8_t *payload;
    int rc = stk_ring_peek(ring, out, &payload);
    RL_ASSERT(rc >= 0);
    if (rc == 1) stk_ring_release(ring);
    return rc == 1;
}

/* Searches a scenario; prints the verdict and the number of executions.
 *   all      every interleaving: for the smallest scenarios
 *   bounded  every interleaving with at most so many preemptions, then random ones, which may read stale values */
enum class search { all, bounded };
template <class scenario>
static bool passes(rl::scheduler_type_e how, unsigned count, const char *name) {
    rl::test_params p;
    rl::ostringstream report;
    p.output_stream = p.progress_stream = &report;
    p.search_type = how;
    p.context_bound = how == rl::sched_bound ? count : 1;
    p.iteration_count = how == rl::sched_random ? count : 1000;
    p.execution_depth_limit = 4000;
    rl::simulate<scenario>(p);
    printf("%s %s %s %llu\n", name, *model_weak ? model_weak : "-", rl::test_result_str(p.test_result),
           (unsigned long long)p.stop_iteration);
    if (getenv("STK_MODEL_TRACE")) fputs(report.str().c_str(), stdout);
    return p.test_result == rl::test_result_success;
}
template <class scenario, search how>
static int explore(const char *name) {
    if (how == search::all) return !passes<scenario>(rl::sched_full, 0, name);
    return !(passes<scenario>(rl::sched_bound, 3, name) && passes<scenario>(rl::sched_random, 100000, name));
}

struct scenario_entry {
    const char *name;
    int (*run)(const char *name);
};

/* MODEL SCENARIO [WEAKENED]: 0: nothing found; 1: a failure, named on stdout; 2: usage. */
static int model_main(int argc, char **argv, const scenario_entry *scenarios, size_t n) {
    if (argc > 2) model_weak = argv[2];
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) return scenarios[i].run(scenarios[i].name);
    fprintf(stderr, "usage: %s SCENARIO [WEAKENED]\n", argv[0]);
    return 2;
}

#endif
