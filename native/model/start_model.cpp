/* Model: starting against revoking: an invocation counted as withdrawn never starts, and none is lost.
 *
 * FLAG weakens the protocol: the engine raises its sleep flag for the SKIPPED only after it has revoked.
 */
#include "model_atomics.h"

#include "harness.h"

struct start_test : rl::test_suite<start_test, 2> {
    enum { CALLS = 2 };
    lane_model lane;
    int withdrawn[CALLS], ran[CALLS], skipped[CALLS];

    void before() {
        lane.reset();
        model_watched = nullptr;
        for (int i = 0; i < CALLS; i++) withdrawn[i] = ran[i] = skipped[i] = 0;
        for (uint32_t i = 0; i < CALLS; i++) RL_ASSERT(put(&lane.engine_tx, STK_INVOKE, i));
    }
    void thread(unsigned index) {
        if (index == 0) { /* the newest first, as stk_steal does */
            for (uint32_t i = CALLS; i-- > 0;) withdrawn[i] = stk_revoke(&lane.down, &lane.up, i);
            return;
        }
        stk_record r;
        for (uint32_t i = 0; i < CALLS; i++) {
            RL_ASSERT(get(&lane.worker_rx, &r) && r.seq == i);
            if (stk_start(&lane.up, &lane.down, r.seq))
                ran[i]++;
            else
                skipped[i]++;
        }
    }
    void after() {
        for (int i = 0; i < CALLS; i++) {
            RL_ASSERT(ran[i] + skipped[i] == 1);      /* never both, never neither */
            RL_ASSERT(!(withdrawn[i] && ran[i]));     /* the promise */
        }
    }
};

/* No flag was up on this lane; the engine must still be rung for the SKIPPED that frees it. */
struct skipped_test : rl::test_suite<skipped_test, 2> {
    lane_model lane;
    void before() {
        lane.reset();
        model_watched = nullptr;
        RL_ASSERT(put(&lane.engine_tx, STK_INVOKE, 0));
    }
    int revoke() {
        if (!weak("FLAG")) return stk_revoke(&lane.down, &lane.up, 0);
        stk_store(&lane.down.revoked[0], (uint64_t)1, STK_RELAXED);
        STK_FENCE_REVOKE();
        if (stk_has_started(stk_load(&lane.up.started, STK_RELAXED), 0)) return 0;
        stk_or(&lane.down.asleep, STK_RING_LOOP, STK_RELAXED);
        return 1;
    }
    void thread(unsigned index) {
        stk_record r;
        if (index == 0) {
            if (!revoke()) return;
            while (!get(&lane.engine_rx, &r)) lane.event.wait_and_clear();
            RL_ASSERT(r.kind == STK_SKIPPED);
            return;
        }
        RL_ASSERT(get(&lane.worker_rx, &r));
        RL_ASSERT(put(&lane.worker_tx, stk_start(&lane.up, &lane.down, r.seq) ? STK_RESULT : STK_SKIPPED, r.seq));
        if (stk_must_wake(&lane.down.asleep) & STK_RING_LOOP) lane.event.ring();
    }
};

int main(int argc, char **argv) {
    const scenario_entry scenarios[] = {
        {"start", explore<start_test, search::all>},
        {"skipped", explore<skipped_test, search::all>},
    };
    return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
