/* Model: sleeping and waking: every sleeper is woken, on each of the four paths, and when the peer dies.
 *
 * Apart from the fences, a run may weaken the protocol itself: LOOK (the sleeper does not check again after
 * raising its flag) and BELL (it reads the bell only when it is about to wait).
 */
#include "model_atomics.h"

#include "harness.h"

enum { EVENTS = 2 };

/* The wait of worker.c and wait.c: announce, check again, sleep, lower the flag. */
template <class ready_fn>
static void wait_for(stk_a32 *flag, uint32_t bits, stk_a32 *bell, ready_fn ready) {
    uint32_t seen = stk_sleep_announce(flag, bits, bell);
    if (weak("LOOK") || !ready()) {
        if (weak("BELL")) seen = stk_load(bell, STK_ACQUIRE);
        stk_sleep(bell, seen, 0);
    }
    stk_sleep_over(flag, bits);
}

struct lane_test {
    lane_model lane;
    void before() {
        lane.reset();
        model_watched = nullptr;
    }
    /* lanes.c: lane_ring */
    void engine_rings() {
        if (stk_must_wake(&lane.up.asleep)) stk_ring_bell(&lane.down.bell);
    }
    /* worker.c: stk_worker_doorbell */
    void worker_rings() {
        uint32_t sleepers = stk_must_wake(&lane.down.asleep);
        if (sleepers & STK_RING_THREAD) stk_ring_bell(&lane.up.bell);
        if (sleepers & STK_RING_LOOP) lane.event.ring();
    }
    void worker_takes(uint32_t seq) {
        stk_record r;
        while (!get(&lane.worker_rx, &r))
            wait_for(&lane.up.asleep, STK_FOR_EVENT, &lane.down.bell, [&] { return stk_ring_ready(&lane.worker_rx); });
        RL_ASSERT(r.seq == seq);
    }
    void thread_takes(uint32_t seq) {
        stk_record r;
        while (!get(&lane.engine_rx, &r))
            wait_for(&lane.down.asleep, STK_RING_THREAD, &lane.up.bell,
                     [&] { return stk_ring_ready(&lane.engine_rx); });
        RL_ASSERT(r.seq == seq);
    }
};

/* Events come to a worker that sleeps between them. */
struct event_test : lane_test, rl::test_suite<event_test, 2> {
    void before() { lane_test::before(); }
    void thread(unsigned index) {
        for (uint32_t i = 0; i < EVENTS; i++) {
            if (index) {
                worker_takes(i);
            } else {
                RL_ASSERT(put(&lane.engine_tx, STK_INVOKE, i));
                engine_rings();
            }
        }
    }
};

/* Replies come to a thread that sleeps on the lane's bell. */
struct thread_test : lane_test, rl::test_suite<thread_test, 2> {
    void before() { lane_test::before(); }
    void thread(unsigned index) {
        for (uint32_t i = 0; i < EVENTS; i++) {
            if (index) {
                RL_ASSERT(put(&lane.worker_tx, STK_RESULT, i));
                worker_rings();
            } else {
                thread_takes(i);
            }
        }
    }
};

/* Replies come to a loop that sleeps on the eventfd; its flag is down while it is awake, or stays up. */
struct loop_test : lane_test, rl::test_suite<loop_test, 2> {
    void before() { lane_test::before(); }
    void thread(unsigned index) {
        stk_record r;
        for (uint32_t i = 0; i < EVENTS; i++) {
            if (index) {
                RL_ASSERT(put(&lane.worker_tx, STK_RESULT, i));
                worker_rings();
                continue;
            }
            for (;;) {
                stk_raise_for_loop(&lane.down.asleep); /* wait.c: request_bell */
                STK_FENCE_SLEEP();
                if (!weak("LOOK") && get(&lane.engine_rx, &r)) break;
                lane.event.wait_and_clear();
                if (rl::rand(2)) stk_sleep_over(&lane.down.asleep, STK_RING_LOOP);
                if (get(&lane.engine_rx, &r)) break;
            }
            RL_ASSERT(r.seq == i);
        }
    }
};

/* A worker that found its ring full sleeps until the engine has read; the engine's thread sleeps for records. */
struct space_test : lane_test, rl::test_suite<space_test, 2> {
    enum { RECORDS = RING_LINES + 1 };
    void before() { lane_test::before(); }
    bool room() { return lane.worker_tx.mine + STK_LINE - stk_load(&lane.down.head, STK_ORD_SPACE) <= RING_BYTES; }
    void thread(unsigned index) {
        if (index) {
            for (uint32_t i = 0; i < RECORDS; i++) {
                while (!put(&lane.worker_tx, STK_RESULT, i)) {
                    lane.event.ring();
                    wait_for(&lane.up.asleep, STK_FOR_SPACE, &lane.down.bell, [&] { return room(); });
                }
            }
            lane.event.ring();
            return;
        }
        stk_record r;
        for (uint32_t got = 0; got < RECORDS;) {
            lane.event.wait_and_clear();
            bool any = false;
            while (get(&lane.engine_rx, &r)) {
                RL_ASSERT(r.seq == got);
                got++;
                any = true;
            }
            if (any && stk_must_wake(&lane.up.asleep) == STK_FOR_SPACE) stk_ring_bell(&lane.down.bell);
        }
    }
};

/* Both sides sleep, call after call. */
struct trip_test : lane_test, rl::test_suite<trip_test, 2> {
    void before() { lane_test::before(); }
    void thread(unsigned index) {
        for (uint32_t i = 0; i < EVENTS; i++) {
            if (index) {
                worker_takes(i);
                RL_ASSERT(put(&lane.worker_tx, STK_RESULT, i));
                worker_rings();
            } else {
                RL_ASSERT(put(&lane.engine_tx, STK_INVOKE, i));
                engine_rings();
                thread_takes(i);
            }
        }
    }
};

/* The worker dies at any point, its flag up or not, its reply rung for or not. The engine's thread is never left
 * asleep, publishing to the dead lane never blocks, and committed replies are read. */
struct death_test : lane_test, rl::test_suite<death_test, 2> {
    rl::mutex lock; /* the engine's */
    rl::var<int> dead, sleeping;
    int committed;
    void before() {
        lane_test::before();
        dead($) = sleeping($) = 0;
        committed = 0;
    }
    struct killed {};
    void maybe_die() {
        if (rl::rand(3) == 0) throw killed();
    }
    void live() {
        stk_record r;
        maybe_die();
        while (!get(&lane.worker_rx, &r)) {
            uint32_t seen = stk_sleep_announce(&lane.up.asleep, STK_FOR_EVENT, &lane.down.bell);
            maybe_die();
            if (!stk_ring_ready(&lane.worker_rx)) stk_sleep(&lane.down.bell, seen, 0);
            maybe_die();
            stk_sleep_over(&lane.up.asleep, STK_FOR_EVENT);
        }
        maybe_die();
        RL_ASSERT(put(&lane.worker_tx, STK_RESULT, 0));
        committed = 1;
        maybe_die();
        worker_rings();
    }
    void thread(unsigned index) {
        if (index) {
            try {
                live();
            } catch (killed) {
            }
            lock.lock($); /* the control loop sees the death: lane_end.c, stk_lane_dead */
            dead($) = 1;
            if (sleeping($)) stk_ring_bell(&lane.up.bell); /* calls.c: call_notify */
            lock.unlock($);
            return;
        }
        stk_record r;
        RL_ASSERT(put(&lane.engine_tx, STK_INVOKE, 0));
        engine_rings();
        lock.lock($);
        for (;;) { /* wait.c: wait_done */
            if (get(&lane.engine_rx, &r)) break;
            if (dead($)) {
                RL_ASSERT(get(&lane.engine_rx, &r) == (committed != 0)); /* one check after the death */
                break;
            }
            uint32_t seen = stk_sleep_announce(&lane.down.asleep, STK_RING_THREAD, &lane.up.bell);
            if (!stk_ring_ready(&lane.engine_rx)) {
                sleeping($) = 1;
                lock.unlock($);
                stk_sleep(&lane.up.bell, seen, 0);
                lock.lock($);
                sleeping($) = 0;
            }
            stk_sleep_over(&lane.down.asleep, STK_RING_THREAD);
        }
        lock.unlock($);
    }
};

int main(int argc, char **argv) {
    const scenario_entry scenarios[] = {
        {"event", explore<event_test, search::bounded>}, {"thread", explore<thread_test, search::bounded>},
        {"loop", explore<loop_test, search::bounded>},   {"space", explore<space_test, search::bounded>},
        {"trip", explore<trip_test, search::bounded>},   {"death", explore<death_test, search::bounded>},
    };
    return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
