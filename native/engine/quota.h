/* How many invocations several processes have begun of what has a limit, in memory that they share.
 *
 * A slot (a function, or all functions of a place that reserve nothing) is a lock and a column for each process:
 *
 *   a column is raised by its own process alone, and with a limit only under the lock, by one, when all columns
 *     together are below the limit: so they are never above it
 *   a column falls at any time: by its own process, or to 0 by whoever has seen that process dead. So a sum that is
 *     taken under the lock is no lower than the true one at its end, and no higher than the true one at its
 *     beginning: who is let in may be, and who is refused was refused rightly at that moment
 *   the lock is robust: who dies under it has raised its own column by one, or not yet. Nothing is to be mended but
 *     that column, which is zeroed with the rest of its process's
 *
 * A process lowers its column by a plain store of its one thread that writes there (engine/hosting/quota.py), and so it
 * raises it where there is no limit: a limit holds for those who have one. A process that is stopped under the lock
 * keeps others waiting for STK_QUOTA_WAIT_NS, and then they are refused. The columns are a slot's last words. */
#ifndef STK_QUOTA_H
#define STK_QUOTA_H

#include "shared/barrier.h"

#include <pthread.h>
#include <stdint.h>

enum { STK_QUOTA_PROCESSES = 64, STK_QUOTA_SLOTS = 16384 };
#define STK_QUOTA_WAIT_NS 500000000ull

typedef struct {
    _Alignas(64) pthread_mutex_t lock;
    _Alignas(64) stk_a32 used[STK_QUOTA_PROCESSES];
} stk_quota;

uint64_t stk_quota_bytes(uint32_t slots);
int stk_quota_new(void *memory, uint32_t slot);                                       /* 0, or -1: no lock to be had */
int stk_quota_take(void *memory, uint32_t slot, uint32_t process, int64_t limit); /* 1: taken; 0 */
int64_t stk_quota_used(void *memory, uint32_t slot);
void stk_quota_clear(void *memory, uint32_t slots, uint32_t process); /* what a dead one had */

/* A word that says how far plain memory before it is written, for a reader in another process. */
void stk_word_publish(void *word, uint64_t value);
uint64_t stk_word_read(const void *word);

#endif
