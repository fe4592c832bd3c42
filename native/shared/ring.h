/* One single-producer single-consumer ring of variable-size, contiguous records.
 *
 * The two cursors count bytes for ever (they never wrap; the offset is cursor % capacity).
 * Each lives in memory that only its owner writes. A side trusts only its own private copy:
 * the peer's cursor is checked against the range that an honest peer could have reached, so
 * a peer that writes garbage causes STK_CORRUPT and never a read out of bounds.
 *
 *   producer: stk_ring_reserve -> fill the payload -> stk_ring_commit
 *   consumer: stk_ring_peek (copies the header once, then checks the copy) -> stk_ring_release
 *
 * Invariant: head <= tail <= head + capacity; bytes in [head, tail) belong to the consumer,
 * the rest to the producer. A reserved record is invisible until its commit stores the tail.
 */
#ifndef STK_RING_H
#define STK_RING_H

#include <stddef.h>
#include <string.h>

#include "shared/barrier.h"

enum { STK_LINE = 64, STK_CORRUPT = -71 /* -EPROTO */ };

/* Kinds of record. Engine to worker: INVOKE, SHUTDOWN. Worker to engine: the rest. */
enum {
    STK_PAD = 0, /* padding at the ring's end, where a record would not be contiguous */
    STK_INVOKE = 1,
    STK_SHUTDOWN = 2,
    STK_READY = 3,
    STK_LOG = 4,
    STK_RESULT = 5,
    STK_ERROR = 6,   /* the handler raised: the payload is Lambda's error object */
    STK_SKIPPED = 7, /* a revoked invocation was not started */
    STK_INVALID = 8, /* the event could not be decoded: the payload is an error object */
    STK_INIT_ERROR = 9,
    STK_CALL = 10 /* the handler invokes another function: its name, then the event */
};

typedef struct {
    uint32_t kind;
    uint32_t flags;
    uint64_t len; /* payload bytes, behind this header or in the lane's large area */
    uint64_t ticket; /* the attempt of the invocation: a late reply does not match */
    uint64_t t0, t1; /* ns: INVOKE: timeout, 0; RESULT: start and end of the handler, CLOCK_MONOTONIC;
                      * CALL: bytes of the name; the worker's own count of calls */
    uint8_t id[16]; /* request id */
    uint32_t seq;   /* INVOKE and SKIPPED: the lane's own count of invocations */
    uint32_t aux;   /* RESULT: peak resident set, KiB; CALL: where the name was found last */
} stk_record;

typedef struct {
    uint8_t *data;
    uint64_t cap;          /* a power of two */
    uint64_t mine;         /* my cursor; published to the peer in *pub */
    uint64_t seen;         /* the peer's cursor as last checked */
    uint64_t size;         /* of the record reserved or peeked, header and padding included */
    stk_a64 *pub, *peer;
} stk_ring;

static inline void stk_ring_init(stk_ring *r, uint8_t *data, uint64_t cap, stk_a64 *pub, stk_a64 *peer) {
    r->data = data;
    r->cap = cap;
    r->mine = r->seen = r->size = 0;
    r->pub = pub;
    r->peer = peer;
}

static inline uint64_t stk_ring_span(uint64_t len) {
    return (sizeof(stk_record) + len + STK_LINE - 1) & ~(uint64_t)(STK_LINE - 1);
}

/* Room for a record of `len` payload bytes, contiguous: the header's address, NULL when the ring
 * is too full now, or NULL with *err = STK_CORRUPT when the peer's cursor is out of range. */
static inline stk_record *stk_ring_reserve(stk_ring *r, uint64_t len, int *err) {
    uint64_t size = stk_ring_span(len), at = r->mine & (r->cap - 1);
    uint64_t pad = at + size > r->cap ? r->cap - at : 0;
    *err = 0;
    if (r->mine + pad + size - r->seen > r->cap) {
        uint64_t head = stk_load(r->peer, STK_ORD_SPACE);
        if (head - r->seen > r->mine - r->seen) {
            *err = STK_CORRUPT;
            return NULL;
        }
        r->seen = head;
        if (r->mine + pad + size - head > r->cap) return NULL;
    }
    if (pad) {
        stk_record *fill = (stk_record *)(r->data + at);
        STK_WRITES(fill, sizeof *fill);
        fill->kind = STK_PAD;
        fill->flags = 0; /* an old payload lies there */
        fill->len = pad - sizeof(stk_record);
        r->mine += pad; /* published with the record behind it */
        at = 0;
    }
    r->size = size;
    return (stk_record *)(r->data + at);
}

static inline void stk_ring_commit(stk_ring *r) {
    r->mine += r->size;
    stk_store(r->pub, r->mine, STK_ORD_PUBLISH);
}

/* Producer, while it waits: own the next record's first lines, which the peer read a lap ago. */
static inline void stk_ring_warm(const stk_ring *r) {
    const uint8_t *at = r->data + (r->mine & (r->cap - 1));
    for (unsigned line = 0; line < 3; line++) stk_soon_written(at + line * STK_LINE);
}

/* Is there a record to peek at? One load when there is none. */
static inline int stk_ring_ready(const stk_ring *r) {
    return r->seen != r->mine || stk_load(r->peer, STK_ORD_PEEK) != r->mine;
}

/* The next record: its header copied to *out and checked, its payload's address returned through
 * *payload. 1: there is one; 0: empty; STK_CORRUPT: not a record that an honest peer writes. */
static inline int stk_ring_peek(stk_ring *r, stk_record *out, const uint8_t **payload) {
    for (;;) {
        if (r->seen == r->mine) {
            uint64_t tail = stk_load(r->peer, STK_ORD_PEEK);
            if (tail == r->mine) return 0;
            if (tail - r->mine > r->cap || (tail & (STK_LINE - 1))) return STK_CORRUPT;
            r->seen = tail;
        }
        uint64_t at = r->mine & (r->cap - 1), there = r->seen - r->mine;
        stk_soon_read(r->data + at + STK_LINE); /* a small payload's lines, fetched together with the header's */
        stk_soon_read(r->data + at + STK_LINE * 2);
        STK_READS(r->data + at, sizeof *out);
        memcpy(out, r->data + at, sizeof *out); /* copied once: the checked copy is the one used */
        uint64_t inline_len = out->flags & 1u ? 0 : out->len; /* bit 0: the payload is in the large area */
        if (inline_len > r->cap) return STK_CORRUPT;
        uint64_t size = stk_ring_span(inline_len);
        if (size > there || at + size > r->cap) return STK_CORRUPT;
        r->size = size;
        if (out->kind == STK_PAD) {
            if (at == 0 || at + size != r->cap) return STK_CORRUPT; /* else a peer could pad for ever */
            r->mine += size;
            continue;
        }
        *payload = r->data + at + sizeof(stk_record);
        return 1;
    }
}

static inline void stk_ring_release(stk_ring *r) {
    r->mine += r->size;
    stk_store(r->pub, r->mine, STK_ORD_FREE);
}

/* Text that grows: a record is reserved, filled bit by bit and committed late, so that its reader is not disturbed for each
 * bit. Who reads after a death takes what was not committed, too:
 *
 *   producer: writes some bytes, then how far they reach in *written (a cursor, like the tail)
 *   consumer: reads *written first, then all that is committed; stk_ring_left is what is there beyond that
 *
 * In that order, since the producer may be alive: what it wrote before a commit that the consumer has not seen reaches
 * no further than that commit. Nothing is ever taken back, so text is never read twice, and none is lost. */
static inline void stk_ring_grow(const stk_ring *r, uint64_t len, stk_a64 *written) {
    stk_store(written, (r->mine + sizeof(stk_record) + len), STK_ORD_WRITTEN);
}

/* The bytes at *text. The record lies in one lap, maybe behind padding. Whatever *written says, they lie in the ring. */
static inline uint64_t stk_ring_left(const stk_ring *r, uint64_t written, const uint8_t **text) {
    if (written - r->mine - 1 >= r->cap) return 0; /* not beyond what was read, or not possible */
    uint64_t lap = (written - 1) & ~(r->cap - 1), from = (r->mine < lap ? lap : r->mine) + sizeof(stk_record);
    if (written <= from) return 0;
    *text = r->data + (from & (r->cap - 1));
    STK_READS(*text, written - from);
    return written - from;
}

#endif
