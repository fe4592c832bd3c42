/* Limits that hold over several processes: quota.h has the invariants. */
#define _GNU_SOURCE
#include "engine/quota.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static stk_quota *slot_of(void *memory, uint32_t slot)
{
    return (stk_quota *)memory + slot;
}

uint64_t stk_quota_bytes(uint32_t slots)
{
    return (uint64_t)slots * sizeof(stk_quota);
}

int stk_quota_new(void *memory, uint32_t slot)
{
    pthread_mutexattr_t kind;
    if (pthread_mutexattr_init(&kind))
        return -1;
    int failed = pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED) ||
                 pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST) ||
                 pthread_mutex_init(&slot_of(memory, slot)->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    return failed ? -1 : 0;
}

static int64_t sum(stk_quota *q)
{
    int64_t all = 0;
    for (int i = 0; i < STK_QUOTA_PROCESSES; i++)
        all += stk_load(&q->used[i], STK_ACQUIRE);
    return all;
}

static int enter(stk_quota *q)
{
    int error = pthread_mutex_trylock(&q->lock);
    if (error == EBUSY) {
        struct timespec end;
        clock_gettime(CLOCK_REALTIME, &end);
        uint64_t ns = (uint64_t)end.tv_nsec + STK_QUOTA_WAIT_NS;
        end.tv_sec += (time_t)(ns / 1000000000u);
        end.tv_nsec = (long)(ns % 1000000000u);
        error = pthread_mutex_timedlock(&q->lock, &end);
    }
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&q->lock);
    return error;
}

int stk_quota_take(void *memory, uint32_t slot, uint32_t process, int64_t limit)
{
    stk_quota *q = slot_of(memory, slot);
    if (enter(q))
        return 0;
    int taken = sum(q) < limit;
    if (taken)
        stk_store(&q->used[process], stk_load(&q->used[process], STK_RELAXED) + 1, STK_RELEASE);
    pthread_mutex_unlock(&q->lock);
    return taken;
}

int64_t stk_quota_used(void *memory, uint32_t slot)
{
    return sum(slot_of(memory, slot));
}

void stk_quota_clear(void *memory, uint32_t slots, uint32_t process)
{
    for (uint32_t slot = 0; slot < slots; slot++)
        stk_store(&slot_of(memory, slot)->used[process], 0, STK_RELEASE);
}

void stk_word_publish(void *word, uint64_t value)
{
    stk_store((stk_a64 *)word, value, STK_RELEASE);
}

uint64_t stk_word_read(const void *word)
{
    return stk_load((stk_a64 *)word, STK_ACQUIRE);
}
