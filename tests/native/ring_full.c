/* The ring: full is full to the last line, padding counts, and reading makes room again. */
#include "check.h"

int main(void) {
    ring_pair p;
    int err;
    ring_pair_open(&p, 256);
    for (uint32_t i = 0; i < 4; i++) CHECK(ring_put(&p.tx, i, 0, 0));
    CHECK(!ring_put(&p.tx, 4, 0, 0));
    CHECK(ring_get(&p.rx, 0, 0, 0));
    CHECK(ring_put(&p.tx, 4, 0, 0) && !ring_put(&p.tx, 5, 0, 0));
    for (uint32_t i = 1; i < 5; i++) CHECK(ring_get(&p.rx, i, 0, 0));
    CHECK(!ring_get(&p.rx, 5, 0, 0));

    /* three lines are free to the end and one before: a record of two lines behind one of two needs the gap too */
    CHECK(ring_put(&p.tx, 5, 64, 5) && ring_get(&p.rx, 5, 64, 5)); /* now at line 3 of 4 */
    CHECK(ring_put(&p.tx, 6, 64 * 2, 6));                          /* pads one, takes three: full */
    CHECK(stk_ring_reserve(&p.tx, 0, &err) == NULL && err == 0);
    CHECK(ring_get(&p.rx, 6, 64 * 2, 6));
    CHECK(stk_ring_reserve(&p.tx, 256, &err) == NULL && err == 0); /* larger than the ring: never */
    ring_pair_close(&p);
    return 0;
}
