/* An abandoned call leaves nothing behind: its reply is drained although none waits for it, even one that was committed
 * just before and rang no bell. */
#include "check.h"
#include "engine/internal.h"

enum { FORGOTTEN, BOX_FREED, WAYS };

static void abandons(int way) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    uint64_t words[4];
    uint8_t bytes[STK_CELL_BYTES];
    stk_worker *w = worker_ready(&r, &lane);
    stk_box *box = stk_box_new(r.e, 0, words, 1, bytes, sizeof bytes);
    CHECK(box);
    int64_t ticket = stk_submit(box, r.fn, 5, 0, (const uint8_t *)"a", 1);
    worker_takes(w, "a", 1);
    CHECK(r.e->lanes[lane]->down->asleep == 0); /* its owner is awake: no bell */
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    if (way == FORGOTTEN) CHECK(stk_forget(r.e, (uint64_t)ticket) == 5);
    stk_box_free(box);
    CHECK(lane_depth(r.e->lanes[lane]) == 0 && r.e->functions[r.fn]->n_idle == 1);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

int main(void) {
    for (int way = FORGOTTEN; way < WAYS; way++) abandons(way);
    return 0;
}
