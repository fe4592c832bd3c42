/* How often a core is taken from a thread that only reads the clock. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>

#include "shared/doorbell.h"

/* Watches that core for `span` ns and fills lengths[0..most) with the ns of each pause of at least `least`: how many
 * there were, or a negative errno. Moves the calling thread to its core: its caller moves it back. */
int64_t bench_pauses(int core, int64_t span, int64_t least, int64_t *lengths, uint64_t most)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    int failed = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (failed)
        return -failed;
    uint64_t found = 0;
    int64_t before = (int64_t)stk_now(), end = before + span;
    while (before < end && found < most) {
        int64_t then = (int64_t)stk_now();
        if (then - before >= least)
            lengths[found++] = then - before;
        before = then;
    }
    return (int64_t)found;
}
