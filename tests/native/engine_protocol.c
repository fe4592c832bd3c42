/* A worker that breaks the lane's protocol is found corrupt, and its call ends with the worker (fault 5). */
#include "check.h"

enum { SKIPPED_UNREVOKED, REPLIED_UNSENT, IN_NO_EVENT, TOO_LARGE, BREACHES };

static void breaks(int breach) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane, bad[2];
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    worker_takes(w, "a", 1);
    if (breach == SKIPPED_UNREVOKED) { /* it would put its deadline off each time */
        CHECK(stk_worker_reply(w, STK_SKIPPED, NULL, 0) == 0);
    } else if (breach == REPLIED_UNSENT) { /* the event is still being copied into the lane */
        r.e->lanes[lane]->filling = 1;
        CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    } else if (breach == IN_NO_EVENT) { /* an in-place reply to a small event */
        stk_record *rec = stk_worker_reserve(w, STK_RESULT, 0);
        rec->flags = STK_LARGE | STK_IN_PLACE;
        rec->len = 1;
        memset(rec->id, 0, sizeof rec->id);
        stk_worker_commit(w);
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

/* In its event, but beyond its end, or so far that the sum wraps. */
static void points_outside(uint64_t at, uint64_t len) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    static uint8_t event[STK_INLINE + 100];
    submit(&r, 1, event, sizeof event);
    worker_takes(w, event, sizeof event);
    stk_record *rec = stk_worker_reserve(w, STK_RESULT, 0);
    rec->flags = STK_LARGE | STK_IN_PLACE;
    rec->len = len;
    memcpy(rec->id, &at, sizeof at);
    stk_worker_commit(w);
    CHECK(stk_lane_drain(r.e, lane) == -1);
    CHECK(worker_dies(&r, w, lane) == 1);
    reaps(&r, 1, STK_CRASH);
    rig_close(&r);
}

int main(void) {
    points_outside(101, STK_INLINE);
    points_outside(STK_INLINE + 101, 0);
    points_outside(UINT64_MAX, 2);
    points_outside(0, UINT64_MAX);
    for (int breach = SKIPPED_UNREVOKED; breach < BREACHES; breach++) breaks(breach);
    return 0;
}
