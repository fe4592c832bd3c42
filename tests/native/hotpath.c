/* One thread plays both sides of N invocations and never sleeps: its instructions can be counted. */
#include "check.h"

enum { PAYLOAD = 100 };

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    uint64_t words[4];
    uint8_t bytes[STK_CELL_BYTES], event[PAYLOAD], reply[PAYLOAD];
    rig r = rig_open(20000, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    stk_box *box = stk_box_new(r.e, 1, words, 1, bytes, sizeof bytes);
    CHECK(box);
    stk_loop_hot(box);
    memset(event, 'e', sizeof event);
    memset(reply, 'r', sizeof reply);
    for (unsigned long i = 0; i < n; i++) {
        CHECK(stk_submit(box, r.fn, i, 0, event, sizeof event) > 0);
        CHECK(stk_worker_next(w) >= 0);
        CHECK(stk_worker_reply(w, STK_RESULT, reply, sizeof reply) == 0);
        CHECK(stk_reap(box) == 1 && words[0] == i && words[1] == (uint64_t)sizeof reply << 32);
    }
    stk_box_free(box);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
