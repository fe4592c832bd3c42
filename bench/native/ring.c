/* The ring alone: records written, published, read and released, by one thread and between two cores. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "shared/doorbell.h"
#include "shared/ring.h"

enum { CAPACITY = 128 * 1024, LONGEST = 16 * 1024 }; /* a lane's ring, and what it holds inline */

static struct {
    _Alignas(128) stk_a64 tail; /* apart as in a lane: one pair of cache lines for each writer */
    _Alignas(128) stk_a64 head;
    _Alignas(128) stk_ring tx;
    _Alignas(128) stk_ring rx;
    _Alignas(128) uint8_t data[CAPACITY];
} lane;

static uint8_t event[LONGEST], copy[LONGEST];

struct work {
    uint64_t len, count;
};

static void open_ring(void)
{
    stk_store(&lane.tail, 0, STK_RELAXED);
    stk_store(&lane.head, 0, STK_RELAXED);
    stk_ring_init(&lane.tx, lane.data, CAPACITY, &lane.tail, &lane.head);
    stk_ring_init(&lane.rx, lane.data, CAPACITY, &lane.head, &lane.tail);
    memset(event, 'e', sizeof event);
}

static int put(uint64_t n, uint64_t len)
{
    int error;
    stk_record *record = stk_ring_reserve(&lane.tx, len, &error);
    if (!record)
        return error;
    memset(record, 0, sizeof *record);
    record->kind = STK_RESULT;
    record->len = len;
    record->ticket = n;
    memcpy(record + 1, event, len);
    stk_ring_commit(&lane.tx);
    return 1;
}

/* The payload is copied out: a reader has to read it, and its lines have to come across. */
static int get(uint64_t n, uint64_t len)
{
    stk_record record;
    const uint8_t *payload;
    int got = stk_ring_peek(&lane.rx, &record, &payload);
    if (got != 1)
        return got;
    if (record.ticket != n || record.len != len)
        return STK_CORRUPT;
    memcpy(copy, payload, len);
    stk_ring_release(&lane.rx);
    return copy[0] == 'e' && copy[len - 1] == 'e' ? 1 : STK_CORRUPT;
}

/* Both return nanoseconds per record, or a negative errno. */

double bench_ring_alone(uint64_t len, uint64_t count)
{
    if (!len || len > LONGEST || !count)
        return -EINVAL;
    open_ring();
    int64_t begin = (int64_t)stk_now();
    for (uint64_t n = 0; n < count; n++)
        if (put(n, len) != 1 || get(n, len) != 1)
            return STK_CORRUPT;
    return (double)((int64_t)stk_now() - begin) / (double)count;
}

static void *produce(void *argument)
{
    const struct work *work = argument;
    int done = 1;
    for (uint64_t n = 0; n < work->count && done >= 0; n += done == 1)
        done = put(n, work->len); /* 0: full */
    return NULL;
}

/* Moves the calling thread to its core: its caller moves it back. */
double bench_ring_two(int core, int other_core, uint64_t len, uint64_t count)
{
    if (!len || len > LONGEST || count < 2)
        return -EINVAL;
    struct work work = {len, count};
    cpu_set_t mine, theirs;
    pthread_attr_t attributes;
    pthread_t producer;
    CPU_ZERO(&mine);
    CPU_SET(core, &mine);
    CPU_ZERO(&theirs);
    CPU_SET(other_core, &theirs);
    open_ring();
    int failed = pthread_setaffinity_np(pthread_self(), sizeof mine, &mine);
    if (failed)
        return -failed;
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof theirs, &theirs);
    failed = pthread_create(&producer, &attributes, produce, &work);
    pthread_attr_destroy(&attributes);
    if (failed)
        return -failed;
    int64_t begin = 0;
    int got = 1;
    for (uint64_t n = 0; n < count && got >= 0; n += got == 1) {
        got = get(n, len);
        if (n == 0 && got == 1)
            begin = (int64_t)stk_now(); /* the thread has started by then */
    }
    int64_t took = (int64_t)stk_now() - begin;
    if (got < 0)
        stk_store(&lane.head, UINT64_MAX, STK_RELAXED); /* out of range: ends a producer that waits for room */
    pthread_join(producer, NULL);
    return got < 0 ? got : (double)took / (double)(count - 1);
}
