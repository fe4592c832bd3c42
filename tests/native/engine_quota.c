/* Limits over several processes: never exceeded, not even while processes are killed at any point, and nothing that a
 * dead one held is lost. */
#include "check.h"

#include "engine/quota.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PROCESSES = 4, LIMIT = 2, TURNS = 20000, KILLS = 60 };

typedef struct {
    stk_a32 inside, most, taken; /* how many are within the limit's room, by a count that the quota knows nothing of */
} seen;

static void give(void *memory, uint32_t slot, uint32_t process) { /* as the process's loop does it */
    stk_a32 *column = &((stk_quota *)memory)[slot].used[process];
    stk_store(column, stk_load(column, STK_RELAXED) - 1, STK_RELEASE);
}

static void *shared(uint64_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void turns(void *memory, seen *s, uint32_t process, int forever) {
    for (int i = 0; forever || i < TURNS; i++) {
        if (!stk_quota_take(memory, 1, process, LIMIT)) {
            sched_yield();
            continue;
        }
        uint32_t now = stk_add(&s->inside, 1, STK_RELEASE) + 1, most = stk_load(&s->most, STK_RELAXED);
        while (now > most && !stk_swap_if(&s->most, &most, now)) continue;
        stk_add(&s->taken, 1, STK_RELAXED);
        stk_add(&s->inside, (uint32_t)-1, STK_RELEASE);
        give(memory, 1, process);
    }
    _exit(0);
}

static pid_t begin(void *memory, seen *s, uint32_t process, int forever) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) turns(memory, s, process, forever);
    return pid;
}

static void never_exceeded(void *memory) {
    seen *s = shared(sizeof *s);
    pid_t pids[PROCESSES];
    for (uint32_t i = 0; i < PROCESSES; i++) pids[i] = begin(memory, s, i, 0);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
    CHECK(stk_load(&s->most, STK_ACQUIRE) <= LIMIT && stk_load(&s->taken, STK_ACQUIRE) > 0);
    CHECK(stk_quota_used(memory, 1) == 0);
}

static void killed_at_any_point(void *memory) {
    seen *s = shared(sizeof *s);
    pid_t pids[PROCESSES];
    uint64_t random = 88172645463325252u;
    for (uint32_t i = 0; i < PROCESSES; i++) pids[i] = begin(memory, s, i, 1);
    for (int k = 0; k < KILLS; k++) {
        uint32_t victim = (uint32_t)(next_random(&random) % PROCESSES), before = stk_load(&s->taken, STK_ACQUIRE);
        usleep((useconds_t)(next_random(&random) % 2000));
        CHECK(kill(pids[victim], SIGKILL) == 0 && waitpid(pids[victim], NULL, 0) == pids[victim]);
        stk_quota_clear(memory, 2, victim);
        pids[victim] = begin(memory, s, victim, 1);
        while (stk_load(&s->taken, STK_ACQUIRE) == before) sched_yield(); /* the others, and the lock, go on */
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        CHECK(kill(pids[i], SIGKILL) == 0 && waitpid(pids[i], NULL, 0) == pids[i]);
        stk_quota_clear(memory, 2, i);
    }
    CHECK(stk_quota_used(memory, 1) == 0);
    for (int i = 0; i < LIMIT; i++) CHECK(stk_quota_take(memory, 1, 0, LIMIT));
    CHECK(!stk_quota_take(memory, 1, 1, LIMIT));
    give(memory, 1, 0);
    CHECK(stk_quota_take(memory, 1, 1, LIMIT) && stk_quota_used(memory, 1) == LIMIT);
}

int main(void) {
    void *memory = shared(stk_quota_bytes(2));
    CHECK(stk_quota_new(memory, 0) == 0 && stk_quota_new(memory, 1) == 0);
    never_exceeded(memory);
    killed_at_any_point(memory);
    uint64_t word = 0;
    stk_word_publish(&word, 7);
    CHECK(stk_word_read(&word) == 7);
    return 0;
}
