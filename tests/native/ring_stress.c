/* The ring: two threads, a million stamped records: order, no loss, no double, no torn byte. */
#include "check.h"

enum { CAP = 4096 };
static ring_pair ring;
static uint32_t records = 1000000;

static uint64_t length_of(uint32_t i) { return (i * 2654435761u) >> 24; }

static void *produce(void *unused) {
    for (uint32_t i = 0; i < records;) {
        uint64_t len = length_of(i);
        int err;
        stk_record *r = stk_ring_reserve(&ring.tx, len, &err);
        CHECK(err == 0);
        if (!r) {
            sched_yield();
            continue;
        }
        memset(r, 0, sizeof *r);
        r->kind = STK_RESULT;
        r->len = len;
        r->seq = i;
        r->ticket = ~(uint64_t)i;
        memset(r + 1, (int)(i & 0xff), len);
        stk_ring_commit(&ring.tx);
        i++;
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t producer;
    if (argc > 1) records = (uint32_t)atoi(argv[1]);
    ring_pair_open(&ring, CAP);
    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0);
    for (uint32_t i = 0; i < records;) {
        stk_record r;
        const uint8_t *payload;
        int rc = stk_ring_peek(&ring.rx, &r, &payload);
        CHECK(rc >= 0);
        if (rc == 0) {
            sched_yield();
            continue;
        }
        CHECK(r.seq == i && r.ticket == ~(uint64_t)i && r.len == length_of(i));
        if (r.len) CHECK(payload[0] == (i & 0xff) && payload[r.len / 2] == (i & 0xff) && payload[r.len - 1] == (i & 0xff));
        stk_ring_release(&ring.rx);
        i++;
    }
    pthread_join(producer, NULL);
    CHECK(!stk_ring_ready(&ring.rx));
    ring_pair_close(&ring);
    return 0;
}
