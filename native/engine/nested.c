/* What handlers call: a record in a lane becomes an invocation of another function, whose end goes back into that lane.
 *
 * Such an invocation is owned by the lane of the handler that made it, which waits for it and for nothing else. So the
 * invocations below one that somebody outside waits for are a chain: call_root is its upper end, call_frontier the lower
 * one, where all that runs is. Whoever waits for the root drains the frontier's lane.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "shared/doorbell.h"
#include "engine/internal.h"

stk_call *call_root_of(const stk_engine *e, stk_call *c) {
    while (c->owner == OWNER_LANE) {
        stk_call *head = lane_head(e->lanes[c->token]);
        if (!head) break; /* no memory for its stand-in: stk_cell_abandon */
        c = head;
    }
    return c;
}

stk_call *call_frontier_of(const stk_engine *e, stk_call *c) {
    while (c->state == CALL_IN_LANE) {
        const stk_lane *l = e->lanes[c->lane];
        if (!l->call || lane_head(l) != c) break;
        c = l->call;
    }
    return c;
}

/* To the handler that waits in this lane. */
static void give(stk_engine *e, stk_lane *l, stk_return end, const uint8_t *data) {
    if (l->state == LANE_FREE || l->state == LANE_DOOMED) return;
    if (end.len) memcpy(stk_returned_at(l->down, e->large), data, end.len);
    l->touched = end.len > l->touched ? end.len : l->touched;
    l->down->end = end;
    stk_store(&l->down->returned, l->call_number, STK_RELEASE);
    lane_ring(l);
}

static void detach(stk_engine *e, stk_lane *l) {
    l->call = NULL;
    e->calling--;
}

static stk_return returned(const stk_engine *e, int32_t status, uint32_t fn) {
    stk_return end = {.status = status, .fn = fn};
    if (fn != STK_ABSENT) {
        const stk_function *f = e->functions[fn];
        end.raw = f->raw;
        end.timeout_ns = f->timeout_ns;
        end.max_payload = f->max_payload;
    }
    return end;
}

void lane_call_done(stk_engine *e, stk_call *c) {
    stk_lane *l = e->lanes[c->token];
    stk_return end = returned(e, (int32_t)c->status, c->fn);
    end.detail = c->detail;
    end.len = c->out_len;
    memcpy(end.id, c->id, sizeof end.id);
    call_notify(e, c); /* who waited where it ran has to wait elsewhere */
    if (call_root(e, c)->owner == OWNER_THREAD) stk_and(&l->down->asleep, ~STK_RING_LOOP, STK_RELAXED);
    detach(e, l);
    give(e, l, end, c->out);
    c->owner = OWNER_NONE;
    if (!c->log_len && !c->log_dropped) {
        call_recycle(e, c);
        return;
    }
    c->next = e->logged;
    e->logged = c;
    e->armed = 1;
    stk_ring_eventfd(e->control_fd);
}

int32_t stk_logged(stk_engine *e, stk_outcome *out) {
    pthread_mutex_lock(&e->lock);
    stk_call *c = e->logged;
    if (c) {
        e->logged = c->next;
        c->next = NULL;
        call_outcome(c, out);
    }
    int32_t fn = c ? (int32_t)c->fn : -1;
    pthread_mutex_unlock(&e->lock);
    return fn;
}

void lane_call_end(stk_engine *e, stk_lane *l) {
    stk_call *c = l->call;
    detach(e, l);
    c->owner = OWNER_NONE;
    if (c->state == CALL_WAITING) {
        line_remove(e, e->functions[c->fn], c);
        complete(e, c, STK_CANCELLED, 0);
        return;
    }
    stk_lane *other = e->lanes[c->lane];
    if (!other->filling && lane_withdraw(e, other, c->seq)) {
        e->functions[c->fn]->in_lanes--;
        if (c->len > STK_INLINE) other->large_out = 0;
        complete(e, c, STK_CANCELLED, 0);
    }
    lane_abandoned(e, other);
}

static int is_named(const stk_function *f, const uint8_t *name, uint64_t len) {
    return f && f->name && f->name_len == len && memcmp(f->name, name, len) == 0;
}

/* hint: where the caller found it the last time. */
static uint32_t find(const stk_engine *e, uint32_t hint, const uint8_t *name, uint64_t len) {
    if (hint < e->n_functions && is_named(e->functions[hint], name, len)) return hint;
    for (uint32_t i = 0; i < e->n_live; i++)
        if (is_named(e->functions[e->order[i]], name, len)) return e->order[i];
    return STK_ABSENT;
}

static int accept(stk_engine *e, stk_lane *l, const stk_record *r, const uint8_t *data, uint32_t fn) {
    if (fn == STK_ABSENT) return STK_NO_FUNCTION;
    if (!(r->flags & STK_RAW) != !e->functions[fn]->raw) return STK_OTHER_CODEC;
    stk_call *c = call_new(e);
    if (!c) return STK_NO_MEMORY;
    call_identify(e, c);
    c->owner = OWNER_LANE;
    c->token = l->index;
    c->fn = fn;
    c->flags = r->flags & STK_EXTRAS;
    c->payload = data + r->t0;
    c->len = r->len - r->t0;
    l->call = c;
    e->calling++;
    int rc = call_accept(e, c);
    if (rc < 0) {
        detach(e, l);
        call_recycle(e, c);
    }
    return rc;
}

void lane_call(stk_engine *e, stk_lane *l, const stk_record *r, const uint8_t *data) {
    int large = (r->flags & STK_LARGE) != 0;
    stk_call *head = lane_head(l);
    if ((large && r->len > e->large) || r->t0 > r->len || (l->filling && l->first + 1 == l->last)) {
        l->corrupt = 1;
        return;
    }
    if (!head || r->seq != l->first || r->ticket != head->ticket) {
        e->lost++;
    } else {
        if (large) data = stk_large_at(l->up);
        lane_call_drop(e, l); /* one that its handler has given up */
        l->call_number = r->t1;
        uint32_t fn = find(e, r->aux, data, r->t0);
        int rc = accept(e, l, r, data, fn);
        if (rc < 0) give(e, l, returned(e, rc, fn), data);
        else if (running(e) + 1 >= e->cores) /* what runs and who waits for it need them */
            stk_store(&l->down->spin_ns, 0, STK_RELAXED); 
        call_notify(e, head); /* who waits for this lane's head has to wait elsewhere, */
        if (l->call) stk_or(&l->down->asleep, STK_RING_LOOP, STK_RELAXED); /* and does not see that its handler goes on all the same */
        STK_FENCE_SLEEP();
    }
    if (large) stk_large_free(l->down);
}
