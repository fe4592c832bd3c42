/* One thread polls while many workers are busy and none has replied: what a poll costs then. Arguments: polls, lanes. */
#include "check.h"

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    uint32_t lanes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 16;
    uint64_t words[4], begin;
    uint8_t bytes[STK_CELL_BYTES];
    rig r = rig_open(0, 10 * SECOND, lanes);
    stk_worker **w = calloc(lanes, sizeof *w);
    uint32_t *lane = calloc(lanes, sizeof *lane);
    stk_box *box = stk_box_new(r.e, 1, words, 1, bytes, sizeof bytes);
    CHECK(w && lane && box);
    stk_loop_hot(box);
    for (uint32_t i = 0; i < lanes; i++) w[i] = worker_ready(&r, &lane[i]);
    for (uint32_t i = 0; i < lanes; i++) CHECK(stk_submit(box, r.fn, i, 0, (const uint8_t *)"e", 1) > 0);
    CHECK(stk_busy_lanes(r.e) == lanes);
    begin = stk_now();
    for (unsigned long i = 0; i < n; i++) CHECK(stk_reap(box) == 0);
    printf("%lu ns a poll, %u lanes busy\n", (unsigned long)((stk_now() - begin) / n), lanes);
    for (uint32_t i = 0; i < lanes; i++) { /* each reply is found by the poll behind it, whichever lane it is in */
        uint32_t at = (i * 7 + 3) % lanes; /* 7 and a power of two have no common factor */
        CHECK(stk_worker_next(w[at]) >= 0 && stk_worker_reply(w[at], STK_RESULT, w[at]->payload, 1) == 0);
        CHECK(stk_reap(box) == 1 && stk_busy_lanes(r.e) == lanes - i - 1);
    }
    stk_box_free(box);
    for (uint32_t i = 0; i < lanes; i++) worker_dies(&r, w[i], lane[i]);
    free(w);
    free(lane);
    rig_close(&r);
    return 0;
}
