/* A worker that scribbles over all memory it can write: each call ends all the same (fault 5). */
#include "check.h"

static void scribbles(uint64_t seed) {
    rig r = rig_open(0, 10 * SECOND, 64);
    uint32_t lane, bad[4];
    stk_worker *w = worker_ready(&r, &lane);
    uint64_t ended = 0;
    done d;
    for (uint64_t i = 0; i < 8; i++) submit(&r, i, "event", 5);
    for (int round = 0; round < 200 && stk_corrupt(r.e, bad, 4) == 0; round++) {
        uint64_t what = next_random(&seed);
        uint64_t value = what & 1 ? next_random(&seed) : next_random(&seed) % 4096;
        uint64_t records = w->tx.mine % STK_RING / 64 * 64; /* near the record that is read next */
        switch (what >> 8 & 7) {
        case 0: stk_store(&w->up->tail, value, STK_RELAXED); break;
        case 1: stk_store(&w->up->tail, (w->tx.mine + 64 * (value % 9)), STK_RELAXED); break;
        case 2: stk_store(&w->up->head, value, STK_RELAXED); break;
        case 3: stk_store(&w->up->started, value, STK_RELAXED); break;
        case 4: stk_store(&w->up->asleep, (uint32_t)value, STK_RELAXED); break;
        case 5: stk_store(&w->up->bell, (uint32_t)value, STK_RELAXED); break;
        default: { /* a record that looks nearly right */
            stk_record rec = {.kind = (uint32_t)(value % 12), .flags = (uint32_t)(value >> 4 & 3), .len = value % 700,
                              .ticket = (what & 64) ? ((stk_record *)stk_ring_at(w->down))->ticket : value,
                              .t0 = value, .t1 = ~value, .seq = (uint32_t)(value >> 8 & 1)};
            if (value & 1) rec.len = next_random(&seed);
            memcpy(stk_ring_at(w->up) + records, &rec, sizeof rec);
            stk_store(&w->up->tail, w->tx.mine + stk_ring_span(rec.len % 700), STK_RELEASE);
        }
        }
        stk_lane_drain(r.e, lane);
        w->tx.mine = r.e->lanes[lane]->rx.mine;
        while (reap_one(&r, &d)) {
            ended++;
            if (d.extra) stk_call_free(r.e, d.ticket);
        }
    }
    stk_lane_dead(r.e, lane, STK_CRASH, -9); /* found corrupt, or harmless by chance */
    worker_close(w);
    stk_function_fail(r.e, r.fn, STK_INIT, 0, NULL, 0);
    while (reap_one(&r, &d)) {
        ended++;
        if (d.extra) stk_call_free(r.e, d.ticket);
    }
    CHECK(ended == 8 && stk_engine_pending(r.e) == 0);
    rig_close(&r);
}

int main(void) {
    for (uint64_t seed = 1; seed < 60; seed++) scribbles(seed * 7919);
    return 0;
}
