/* A worker that does not begin what it was handed (stopped, say): the invocation goes to another one, never to both, and
 * not for ever; its lane is doomed. What has begun has its whole time. */
#include "check.h"

#include <signal.h>

static const uint64_t LONG = 60ull * 1000000000u;
static uint32_t doomed[4];
static uint64_t next;

static int expire(rig *r, uint64_t at) { return stk_expire(r->e, at, doomed, 4, &next); }

static void it_goes_to_another(void) {
    rig r = rig_open(0, LONG, 10);
    uint32_t first, second;
    stk_worker *stopped = worker_ready(&r, &first);
    submit(&r, 1, "a", 1);
    uint64_t head = r.e->lanes[first]->t_head;
    CHECK(expire(&r, head + SECOND) == 0 && next > head + SECOND && next < head + LONG);
    CHECK(expire(&r, next) == 1 && doomed[0] == first && stk_lane_state(r.e, first) == LANE_DOOMED);
    stk_worker *other = worker_ready(&r, &second);
    worker_takes(other, "a", 1);
    CHECK(!stk_start(stopped->up, stopped->down, 0)); /* it wakes before it is killed */
    CHECK(stk_worker_reply(other, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 1, STK_OK);
    CHECK(worker_dies(&r, stopped, first) == 0);
    worker_dies(&r, other, second);
    rig_close(&r);
}

static void its_deadline_is_sooner(void) {
    rig r = rig_open(0, SECOND, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    uint64_t head = r.e->lanes[lane]->t_head;
    CHECK(expire(&r, head + SECOND) == 1 && stk_engine_pending(r.e) == 1);
    done d;
    CHECK(!reap_one(&r, &d)); /* it waits for a worker: it never ran, so it cannot have timed out */
    worker_dies(&r, w, lane);
    w = worker_ready(&r, &lane);
    worker_takes(w, "a", 1);
    CHECK(expire(&r, r.e->lanes[lane]->t_head + SECOND) == 1);
    reaps(&r, 1, STK_TIMEOUT);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

static void what_has_begun_has_its_time(void) {
    rig r = rig_open(0, LONG, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    worker_takes(w, "a", 1);
    uint64_t head = r.e->lanes[lane]->t_head;
    CHECK(expire(&r, head + LONG - 1) == 0 && next == head + LONG);
    CHECK(stk_worker_reply(w, STK_RESULT, NULL, 0) == 0);
    reaps(&r, 1, STK_OK);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

static void not_for_ever(void) {
    rig r = rig_open(0, LONG, 10);
    submit(&r, 1, "a", 1);
    submit(&r, 2, "b", 1);
    for (int turn = 0; turn < 3; turn++) {
        uint32_t lane;
        stk_worker *w = worker_ready(&r, &lane);
        CHECK(expire(&r, r.e->lanes[lane]->t_head + LONG) == 1);
        worker_dies(&r, w, lane);
    }
    reaps(&r, 1, STK_CRASH);
    CHECK(stk_engine_pending(r.e) == 1);
    stk_function_fail(r.e, r.fn, STK_CLOSED, 0, NULL, 0);
    reaps(&r, 2, STK_CLOSED);
    rig_close(&r);
}

static void nor_does_a_doomed_one_end_it(void) {
    rig r = rig_open(0, LONG, 10);
    uint32_t lane;
    stk_worker *w = worker_ready(&r, &lane);
    submit(&r, 1, "a", 1);
    CHECK(stk_lane_doom(r.e, lane, STK_MEMORY, 9) == 0);
    worker_dies(&r, w, lane);
    w = worker_ready(&r, &lane);
    worker_takes(w, "a", 1);
    CHECK(stk_lane_doom(r.e, lane, STK_MEMORY, 9) == 1);
    reaps(&r, 1, STK_MEMORY);
    worker_dies(&r, w, lane);
    rig_close(&r);
}

int main(void) {
    it_goes_to_another();
    its_deadline_is_sooner();
    what_has_begun_has_its_time();
    not_for_ever();
    nor_does_a_doomed_one_end_it();
    return 0;
}
