/* A worker's rehearsal: before the fork its loop runs over a lane in private memory.
 *
 * A fork copies each page that the child writes to. The interpreter writes even when it only runs code (inline
 * caches, type caches, first allocations), so the template runs the worker's loop over a few made-up invocations
 * and its children inherit pages that are written already.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "worker/worker.h"

static void feed(stk_ring *down, uint32_t kind, uint32_t seq) {
    int err;
    stk_record *r = stk_ring_reserve(down, 2, &err);
    if (!r) return;
    memset(r, 0, sizeof *r);
    r->kind = kind;
    r->seq = seq;
    r->len = 2;
    r->t0 = 1000000000;
    memcpy(r + 1, "{}", 2);
    stk_ring_commit(down);
}

stk_worker *stk_worker_rehearsal(uint32_t invocations, uint64_t max_reply) {
    stk_worker *w = calloc(1, sizeof *w);
    size_t size = (size_t)stk_down_bytes(0);
    uint8_t *both = mmap(NULL, size * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!w || both == MAP_FAILED) {
        free(w);
        return NULL;
    }
    w->down = (stk_down *)both;
    w->up = (stk_up *)(both + size);
    w->max_reply = max_reply;
    w->event_fd = w->stdio_fd = -1;
    w->rung_at = UINT64_MAX;
    stk_ring_init(&w->rx, stk_ring_at(w->down), STK_RING, &w->up->head, &w->down->tail);
    stk_ring_init(&w->tx, stk_ring_at(w->up), STK_RING, &w->up->tail, &w->down->head);
    stk_ring engine;
    stk_ring_init(&engine, stk_ring_at(w->down), STK_RING, &w->down->tail, &w->up->head);
    for (uint32_t i = 0; i < invocations; i++) feed(&engine, STK_INVOKE, i);
    feed(&engine, STK_SHUTDOWN, invocations);
    return w;
}
