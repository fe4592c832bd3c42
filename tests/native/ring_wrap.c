/* The ring: records of every size keep their order, their bytes and their contiguity over many laps. */
#include "check.h"

static void many_laps(uint64_t cap, uint64_t longest, uint64_t seed) {
    ring_pair p;
    uint32_t sent = 0, got = 0;
    uint64_t sizes = seed, again = seed, when = seed * 977 + 1;
    ring_pair_open(&p, cap);
    uint64_t want = 0;
    int have = 0;
    while (got < 5000) {
        while (next_random(&when) & 3) {
            if (!have) want = next_random(&sizes) % (longest + 1);
            have = 1;
            if (!ring_put(&p.tx, sent, want, (uint8_t)(sent | 1))) break;
            CHECK(p.tx.mine % STK_LINE == 0 && p.tx.mine - p.rx.mine <= cap);
            have = 0;
            sent++;
        }
        while (got < sent && (next_random(&when) & 3)) {
            uint64_t len = next_random(&again) % (longest + 1);
            CHECK(ring_get(&p.rx, got, len, (uint8_t)(got | 1)));
            got++;
        }
    }
    ring_pair_close(&p);
}

int main(void) {
    many_laps(256, 64, 1);
    many_laps(1024, 400, 2);
    many_laps(4096, 1900, 3);
    many_laps(131072, 16384, 4);
    return 0;
}
