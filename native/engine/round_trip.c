/* Round trips between two threads, measured: see round_trip.h. */
#define _GNU_SOURCE
#include "engine/round_trip.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "shared/doorbell.h"

enum { MAX_ROUNDS = 20000 };

typedef struct {
    _Alignas(128) stk_a32 ping;
    _Alignas(128) stk_a32 pong;
    int rounds, core, sleeps;
} exchange;

static void pin(int core) {
    cpu_set_t set;
    if (core < 0) return;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void wait_for(stk_a32 *word, uint32_t turn, int sleeps) {
    for (uint32_t now; (now = stk_load(word, STK_ACQUIRE)) != turn;) {
        if (sleeps)
            stk_sleep(word, now, 1000000000);
        else
            stk_relax();
    }
}

static void publish(stk_a32 *word, uint32_t turn, int sleeps) {
    stk_store(word, turn, STK_RELEASE);
    if (sleeps) stk_wake(word);
}

static void *responder(void *arg) {
    exchange *x = arg;
    pin(x->core);
    for (int i = 1; i <= x->rounds; i++) {
        wait_for(&x->ping, (uint32_t)i, x->sleeps);
        publish(&x->pong, (uint32_t)i, x->sleeps);
    }
    return NULL;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t round_trip(int rounds, int core_a, int core_b, int sleeps) {
    pthread_t thread;
    cpu_set_t before;
    exchange x = {0};
    if (rounds < 1 || rounds > MAX_ROUNDS) return 0;
    x.rounds = rounds;
    x.core = core_b;
    x.sleeps = sleeps;
    uint64_t *took = calloc((size_t)rounds, sizeof *took);
    if (!took) return 0;
    sched_getaffinity(0, sizeof before, &before);
    if (pthread_create(&thread, NULL, responder, &x) != 0) {
        free(took);
        return 0;
    }
    pin(core_a);
    for (int i = 1; i <= rounds; i++) {
        uint64_t start = stk_now();
        publish(&x.ping, (uint32_t)i, sleeps);
        wait_for(&x.pong, (uint32_t)i, sleeps);
        took[i - 1] = stk_now() - start;
    }
    pthread_join(thread, NULL);
    sched_setaffinity(0, sizeof before, &before);
    qsort(took, (size_t)rounds, sizeof *took, by_value);
    uint64_t median = took[rounds / 2];
    free(took);
    return median;
}

uint64_t stk_wake_cost(int rounds, int core_a, int core_b) { return round_trip(rounds, core_a, core_b, 1); }
uint64_t stk_spin_cost(int rounds, int core_a, int core_b) { return round_trip(rounds, core_a, core_b, 0); }
