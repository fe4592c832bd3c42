/* The ring: a record that does not fit before the end starts at the beginning, whatever was in the gap. */
#include "check.h"

int main(void) {
    ring_pair p;
    int err;
    ring_pair_open(&p, 512); /* all bytes 0xff: a pad header must not take its flags from old payloads */
    CHECK(ring_put(&p.tx, 0, 320 - 64, 1) && ring_get(&p.rx, 0, 320 - 64, 1));
    stk_record *r = stk_ring_reserve(&p.tx, 192, &err); /* 256 bytes, and 192 to the end */
    CHECK(r && err == 0 && (uint8_t *)r == p.data);
    CHECK(!stk_ring_ready(&p.rx)); /* reserved is not published, nor is its padding */
    memset(r, 0, sizeof *r);
    r->kind = STK_RESULT;
    r->len = 192;
    r->seq = 1;
    memset(r + 1, 7, 192);
    stk_ring_commit(&p.tx);
    CHECK(ring_get(&p.rx, 1, 192, 7));
    CHECK(!stk_ring_ready(&p.rx) && p.head == p.tail);
    ring_pair_close(&p);
    return 0;
}
