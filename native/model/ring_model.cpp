/* Model: the ring and the large area: order, one delivery, no byte read early or overwritten unread. */
#include "model_atomics.h"

#include "harness.h"

enum { RECORDS = 5 };
/* Spans of 1 and 2 lines in a ring of 4: it wraps, pads and fills. */
static uint32_t payload_bytes(uint32_t i) { return i % 2 ? 40u : 0u; }

struct ring_test : rl::test_suite<ring_test, 2> {
    alignas(64) uint8_t data[RING_BYTES];
    stk_a64 tail, head;
    stk_ring tx, rx;
    model_shadow shadow;
    uint32_t delivered;

    void before() {
        stk_store(&tail, 0, STK_RELAXED);
        stk_store(&head, 0, STK_RELAXED);
        memset(data, 0xee, sizeof data);
        shadow.base = data;
        model_watched = &shadow;
        stk_ring_init(&tx, data, RING_BYTES, &tail, &head);
        stk_ring_init(&rx, data, RING_BYTES, &head, &tail);
        delivered = 0;
    }
    void thread(unsigned index) {
        if (index == 0)
            produce();
        else
            consume();
    }
    void produce() {
        for (uint32_t i = 0; i < RECORDS; i++) {
            uint32_t len = payload_bytes(i);
            int err;
            stk_record *r;
            while (!(r = stk_ring_reserve(&tx, len, &err))) {
                RL_ASSERT(err == 0);
                rl::yield(1, $);
            }
            STK_WRITES(r, stk_ring_span(len));
            memset((void *)r, 0, sizeof *r);
            r->kind = STK_INVOKE;
            r->len = len;
            r->seq = i;
            memset(r + 1, (int)i, len);
            stk_ring_commit(&tx);
        }
    }
    void consume() {
        while (delivered < RECORDS) {
            stk_record r;
            const uint8_t *payload = nullptr;
            int rc = stk_ring_peek(&rx, &r, &payload);
            RL_ASSERT(rc >= 0);
            if (rc == 0) {
                rl::yield(1, $);
                continue;
            }
            RL_ASSERT(r.kind == STK_INVOKE && r.seq == delivered && r.len == payload_bytes(delivered));
            STK_READS(payload - sizeof r, stk_ring_span(r.len));
            for (uint64_t i = 0; i < r.len; i++) RL_ASSERT(payload[i] == delivered);
            delivered++;
            stk_ring_release(&rx);
        }
    }
    void after() {
        RL_ASSERT(delivered == RECORDS && !stk_ring_ready(&rx));
        model_watched = nullptr;
    }
};

/* One large area, three payloads: each is read before the next one overwrites it. */
struct large_test : rl::test_suite<large_test, 2> {
    enum { PAYLOADS = 3 };
    lane_model lane;
    rl::var<uint32_t> area;

    void before() { lane.reset(); }
    void thread(unsigned index) {
        uint64_t used = 0;
        stk_record r;
        for (uint32_t i = 0; i < PAYLOADS; i++) {
            if (index == 0) {
                while (!stk_large_ready(&lane.down, used)) rl::yield(1, $);
                area($) = i;
                used++;
                while (!put(&lane.worker_tx, STK_RESULT, i)) rl::yield(1, $);
            } else {
                const uint8_t *payload;
                int rc;
                while ((rc = stk_ring_peek(&lane.engine_rx, &r, &payload)) == 0) rl::yield(1, $);
                RL_ASSERT(rc == 1 && r.seq == i && (uint32_t)area($) == i);
                stk_large_free(&lane.down); /* before the ring's own cursor: it must stand by itself */
                stk_ring_release(&lane.engine_rx);
            }
        }
    }
};

int main(int argc, char **argv) {
    const scenario_entry scenarios[] = {
        {"ring", explore<ring_test, search::bounded>},
        {"large", explore<large_test, search::bounded>},
    };
    return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
