/* The floor of any round trip through shared memory: two threads on two cores that only spin. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "shared/doorbell.h"

/* One cache line for each writer; a pair of lines apart, for the prefetcher fetches two. */
struct cell {
    _Alignas(128) _Atomic uint64_t turn;
};

static struct cell ping, pong;

struct peer {
    uint64_t last;
};

static cpu_set_t only(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return set;
}

static void *responder(void *argument)
{
    const struct peer *peer = argument;
    for (uint64_t turn = 1; turn <= peer->last; turn++) {
        while (atomic_load_explicit(&ping.turn, memory_order_acquire) != turn)
            ;
        atomic_store_explicit(&pong.turn, turn, memory_order_release);
    }
    return NULL;
}

/* Fills samples[0..count) with nanoseconds per round trip; 0, or an errno. The clock's own cost
 * (some 25 ns) is in each sample. Moves the calling thread to its core: its caller moves it back. */
int bench_spin(int core, int other_core, int64_t *samples, uint64_t count)
{
    struct peer peer = {count};
    cpu_set_t mine = only(core), theirs = only(other_core);
    pthread_attr_t attributes;
    pthread_t thread;
    atomic_store(&ping.turn, 0);
    atomic_store(&pong.turn, 0);
    int failed = pthread_setaffinity_np(pthread_self(), sizeof mine, &mine);
    if (failed)
        return failed;
    /* Created on its core: a thread that moves there by itself first waits for ours to be free. */
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof theirs, &theirs);
    failed = pthread_create(&thread, &attributes, responder, &peer);
    pthread_attr_destroy(&attributes);
    if (failed)
        return failed;
    for (uint64_t turn = 1; turn <= count; turn++) {
        int64_t begin = (int64_t)stk_now();
        atomic_store_explicit(&ping.turn, turn, memory_order_release);
        while (atomic_load_explicit(&pong.turn, memory_order_acquire) != turn)
            ;
        samples[turn - 1] = (int64_t)stk_now() - begin;
    }
    return pthread_join(thread, NULL);
}
