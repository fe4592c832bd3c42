/* A worker that says SKIPPED of what nobody revoked is lying: its deadline must not start anew each time (fault 5). */
#include "check.h"

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane, bad[2];
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    worker_takes(w, "a", 1);
    CHECK(stk_worker_reply(w, STK_SKIPPED, NULL, 0) == 0);
    CHECK(stk_lane_drain(r.e, lane) == -1);
    CHECK(stk_corrupt(r.e, bad, 2) == 1 && bad[0] == lane);
    CHECK(worker_dies(&r, w, lane) == 1);
    reaps(&r, 1, STK_CRASH);
    rig_close(&r);
    return 0;
}
