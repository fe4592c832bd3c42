/* The ring: a peer that writes garbage is found corrupt; no access is out of bounds (faults 5 and 6). */
#include "check.h"

enum { CAP = 1024 };

static int peek(ring_pair *p, stk_record *r) {
    const uint8_t *payload = NULL;
    int rc = stk_ring_peek(&p->rx, r, &payload);
    if (rc == 1) {
        uint64_t len = r->flags & STK_LARGE ? 0 : r->len;
        CHECK(payload >= p->data && payload + len <= p->data + CAP);
        uint8_t sum = 0;
        for (uint64_t i = 0; i < len; i++) sum ^= payload[i];
        (void)sum;
    }
    return rc;
}

static void tail_jumps(uint64_t to) {
    ring_pair p;
    stk_record r;
    ring_pair_open(&p, CAP);
    CHECK(ring_put(&p.tx, 0, 10, 1) && ring_put(&p.tx, 1, 10, 1));
    CHECK(ring_get(&p.rx, 0, 10, 1) && ring_get(&p.rx, 1, 10, 1));
    p.tail = to;
    CHECK(peek(&p, &r) == STK_CORRUPT);
    ring_pair_close(&p);
}

static void head_jumps(uint64_t to) {
    ring_pair p;
    int err = 0;
    ring_pair_open(&p, CAP);
    for (uint32_t i = 0; i < 4; i++) CHECK(ring_put(&p.tx, i, 0, 0) && ring_get(&p.rx, i, 0, 0));
    p.head = 0;
    for (uint32_t i = 0; i < CAP / 64 - 4; i++) ring_put(&p.tx, i, 0, 0);
    while (ring_put(&p.tx, 0, 0, 0)) CHECK(p.tx.mine <= CAP); /* to the brim, the head still at 0 */
    p.tx.seen = 128;                                          /* it was seen further ahead already */
    p.head = to;
    CHECK(stk_ring_reserve(&p.tx, CAP - 128, &err) == NULL && err == STK_CORRUPT);
    ring_pair_close(&p);
}

static void header_has(uint32_t kind, uint32_t flags, uint64_t len, int want) {
    ring_pair p;
    stk_record r;
    ring_pair_open(&p, CAP);
    CHECK(ring_put(&p.tx, 0, 100, 1));
    stk_record *h = (stk_record *)p.data;
    h->kind = kind;
    h->flags = flags;
    h->len = len;
    CHECK(peek(&p, &r) == want);
    ring_pair_close(&p);
}

static void header_changes_after_the_check(void) {
    ring_pair p;
    stk_record r;
    const uint8_t *payload;
    ring_pair_open(&p, CAP);
    CHECK(ring_put(&p.tx, 7, 100, 1));
    CHECK(stk_ring_peek(&p.rx, &r, &payload) == 1);
    stk_record *h = (stk_record *)p.data;
    h->len = UINT64_MAX;
    h->kind = 99;
    h->seq = 8;
    CHECK(r.len == 100 && r.kind == STK_RESULT && r.seq == 7); /* the private copy decides */
    stk_ring_release(&p.rx);
    CHECK(p.rx.mine == 192 && p.head == 192);
    ring_pair_close(&p);
}

static void padding_without_end(void) { /* a zeroed line is a pad of one line: each peek must end all the same */
    ring_pair p;
    stk_record r;
    ring_pair_open(&p, CAP);
    memset(p.data, 0, CAP);
    p.tail = CAP;
    CHECK(peek(&p, &r) == STK_CORRUPT && p.rx.mine == 0);
    ring_pair_close(&p);
}

static void anything_goes(uint64_t seed) { /* random memory and cursors: a verdict, and never out of bounds */
    ring_pair p;
    stk_record r;
    int err;
    ring_pair_open(&p, CAP);
    for (int round = 0; round < 3000; round++) {
        uint64_t what = next_random(&seed);
        uint8_t *at = p.data + what % (CAP - 8);
        uint64_t value = what & 1 ? next_random(&seed) : next_random(&seed) % (2 * CAP);
        memcpy(at, &value, 8);
        if (what & 2) p.tail = p.rx.mine + (next_random(&seed) % (CAP + 200) & ~(uint64_t)(what & 4 ? 0 : 63));
        if (what & 8) p.head = what & 16 ? next_random(&seed) : p.tx.seen + next_random(&seed) % CAP;
        if (peek(&p, &r) == 1) stk_ring_release(&p.rx);
        stk_record *w = stk_ring_reserve(&p.tx, next_random(&seed) % 300, &err);
        if (w) {
            CHECK((uint8_t *)w >= p.data && (uint8_t *)w + p.tx.size <= p.data + CAP);
            memset(w, 0x55, p.tx.size);
        }
        CHECK(p.rx.mine % 64 == 0 && p.tx.mine % 64 == 0);
        if (round % 100 == 99) {
            ring_pair_close(&p);
            ring_pair_open(&p, CAP);
        }
    }
    ring_pair_close(&p);
}

int main(void) {
    tail_jumps(0);               /* backwards */
    tail_jumps(64);              /* backwards, aligned, into what was read */
    tail_jumps(256 + CAP + 64);  /* further than the ring is long */
    tail_jumps(UINT64_MAX);      /* everything */
    tail_jumps(256 + 32);        /* no line boundary */
    head_jumps(64);              /* backwards: before what was seen */
    head_jumps(CAP + 64);        /* past what was written */
    head_jumps(UINT64_MAX - 63);
    header_has(STK_RESULT, 0, UINT64_MAX, STK_CORRUPT);
    header_has(STK_RESULT, 0, UINT64_MAX - 127, STK_CORRUPT); /* wraps when rounded up */
    header_has(STK_RESULT, 0, CAP, STK_CORRUPT);
    header_has(STK_RESULT, 0, 129, STK_CORRUPT);              /* past the tail by one byte */
    header_has(STK_RESULT, 0, 128, 1);                        /* as far as the tail: shorter than ours, still in */
    header_has(STK_RESULT, STK_LARGE, UINT64_MAX, 1);         /* elsewhere: its reader checks that length */
    header_has(STK_PAD, 0, 128, STK_CORRUPT);                 /* a pad that does not end the ring */
    header_changes_after_the_check();
    padding_without_end();
    for (uint64_t seed = 1; seed < 20; seed++) anything_goes(seed);
    return 0;
}
