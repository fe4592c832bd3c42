/* Linux process primitives: see proc.h. */
#define _GNU_SOURCE
#include "shared/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shared/doorbell.h"

int stk_pdeathsig(int signal) { return prctl(PR_SET_PDEATHSIG, signal) < 0 ? -errno : 0; }

int stk_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0; }

int stk_raise_fd(int fd, int floor) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, floor);
    if (high < 0) return -errno;
    close(fd);
    return high;
}

enum { MAX_ROUNDS = 20000 };

typedef struct {
    _Alignas(128) stk_a32 ping;
    _Alignas(128) stk_a32 pong;
    int rounds, core, sleeps;
} court;

static void pin(int core) {
    cpu_set_t set;
    if (core < 0) return;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void await_turn(stk_a32 *word, uint32_t turn, int sleeps) {
    for (uint32_t now; (now = stk_load(word, STK_ACQUIRE)) != turn;) {
        if (sleeps)
            stk_sleep(word, now, 1000000000);
        else
            stk_relax();
    }
}

static void take_turn(stk_a32 *word, uint32_t turn, int sleeps) {
    stk_store(word, turn, STK_RELEASE);
    if (sleeps) stk_wake(word);
}

static void *returner(void *arg) {
    court *c = arg;
    pin(c->core);
    for (int i = 1; i <= c->rounds; i++) {
        await_turn(&c->ping, (uint32_t)i, c->sleeps);
        take_turn(&c->pong, (uint32_t)i, c->sleeps);
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
    court c = {0};
    if (rounds < 1 || rounds > MAX_ROUNDS) return 0;
    c.rounds = rounds;
    c.core = core_b;
    c.sleeps = sleeps;
    uint64_t *took = calloc((size_t)rounds, sizeof *took);
    if (!took) return 0;
    sched_getaffinity(0, sizeof before, &before);
    if (pthread_create(&thread, NULL, returner, &c) != 0) {
        free(took);
        return 0;
    }
    pin(core_a);
    for (int i = 1; i <= rounds; i++) {
        uint64_t start = stk_now();
        take_turn(&c.ping, (uint32_t)i, sleeps);
        await_turn(&c.pong, (uint32_t)i, sleeps);
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
