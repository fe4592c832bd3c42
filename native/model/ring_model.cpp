/* Model: the ring and the large area: order, one delivery, no byte read early or overwritten unread; and text that grows
 * uncommitted: whoever takes it at the end has all of it up to some moment, once.
 *
 * LATE weakens the last: how far the text reaches is read only after what is committed.
 */
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

/* Two records of text, the first behind padding, each with as many lines as bits; the producer may be seen at any step. */
struct text_test : rl::test_suite<text_test, 2> {
    enum { LINES = SHADOW_LINES, BYTES = LINES * STK_LINE, BITS = 2, LEAST = 6 };
    alignas(64) uint8_t data[BYTES];
    stk_a64 tail, head, written;
    stk_ring tx, rx;
    model_shadow shadow;

    void before() {
        for (stk_a64 *p : {&tail, &head, &written}) stk_store(p, 0, STK_RELAXED);
        memset(data, 0xee, sizeof data);
        shadow.base = data;
        model_watched = nullptr;
        stk_ring_init(&tx, data, BYTES, &tail, &head);
        stk_ring_init(&rx, data, BYTES, &head, &tail);
        stk_record r;
        for (uint32_t i = 0; i < LEAST; i++) RL_ASSERT(put(&tx, STK_RESULT, i) && get(&rx, &r));
        model_watched = &shadow;
    }
    void thread(unsigned index) {
        if (index == 0)
            produce();
        else
            consume();
    }
    void produce() {
        int err;
        for (uint8_t first = 0; first < 2 * BITS; first += BITS) {
            stk_record *r = stk_ring_reserve(&tx, BITS * STK_LINE, &err);
            RL_ASSERT(r);
            STK_WRITES(r, STK_LINE);
            memset((void *)r, 0, sizeof *r);
            r->kind = STK_LOG;
            for (uint8_t bit = 0; bit < BITS; bit++) {
                uint8_t *to = (uint8_t *)(r + 1) + r->len;
                STK_WRITES(to, STK_LINE);
                memset(to, first + bit, STK_LINE);
                stk_ring_grow(&tx, r->len += STK_LINE, &written);
            }
            tx.size = stk_ring_span(r->len);
            stk_ring_commit(&tx);
        }
    }
    void take(const uint8_t *text, uint64_t len, uint8_t *next) {
        RL_ASSERT(len % STK_LINE == 0);
        STK_READS(text, len);
        for (; len; len -= STK_LINE, text += STK_LINE) RL_ASSERT(text[0] == (*next)++ && text[STK_LINE - 1] == text[0]);
    }
    void consume() {
        stk_record r;
        const uint8_t *text;
        uint8_t next = 0;
        uint64_t reaches = weak("LATE") ? 0 : stk_load(&written, STK_ORD_LEFT);
        while (stk_ring_peek(&rx, &r, &text) == 1) {
            take(text, r.len, &next);
            stk_ring_release(&rx);
        }
        if (weak("LATE")) reaches = stk_load(&written, STK_ORD_LEFT);
        uint64_t left = stk_ring_left(&rx, reaches, &text);
        if (left) take(text, left, &next);
        RL_ASSERT(stk_ring_left(&rx, rx.mine, &text) == 0);
        uint64_t bits = reaches ? (reaches - (LINES + 1) * STK_LINE) / STK_LINE : 0; /* behind the padding and a header */
        RL_ASSERT(next >= (bits > BITS ? bits - 1 : bits));
    }
    void after() { model_watched = nullptr; }
};

int main(int argc, char **argv) {
    const scenario_entry scenarios[] = {
        {"ring", explore<ring_test, search::bounded>},
        {"large", explore<large_test, search::bounded>},
        {"text", explore<text_test, search::bounded>},
    };
    return model_main(argc, argv, scenarios, sizeof scenarios / sizeof *scenarios);
}
