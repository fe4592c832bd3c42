/* A worker that says what cannot be is found out and killed for it, and its call ends at once (fault 5). */
#include "check.h"

enum { SKIPPED_UNREVOKED, ANSWERED_UNSENT, TOO_LARGE, LIES };

static void lies(int lie) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane, bad[2];
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    worker_takes(w, "a", 1);
    if (lie == SKIPPED_UNREVOKED) { /* its deadline must not start anew each time */
        CHECK(stk_worker_reply(w, STK_SKIPPED, NULL, 0) == 0);
    } else if (lie == ANSWERED_UNSENT) { /* the event is still being copied into the lane; it looked at the header */
        r.e->lanes[lane]->filling = 1;
        CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    } else { /* more than the large area holds */
        stk_record *rec = stk_worker_reserve(w, STK_RESULT, 0);
        rec->flags = STK_LARGE;
        rec->len = LARGE + 1;
        stk_worker_commit(w);
    }
    CHECK(stk_lane_drain(r.e, lane) == -1);
    r.e->lanes[lane]->filling = 0;
    CHECK(stk_corrupt(r.e, bad, 2) == 1 && bad[0] == lane);
    CHECK(worker_dies(&r, w, lane) == 1);
    reaps(&r, 1, STK_CRASH);
    rig_close(&r);
}

int main(void) {
    for (int lie = SKIPPED_UNREVOKED; lie < LIES; lie++) lies(lie);
    return 0;
}
