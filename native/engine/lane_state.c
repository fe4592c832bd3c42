/* A lane's state for the control loop: idle or busy since when, and output outside any invocation. */
#define _GNU_SOURCE
#include "engine/internal.h"

int stk_corrupt(stk_engine *e, uint32_t *out, int max) {
    int n = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_lanes && n < max; i++)
        if (e->lanes[i]->corrupt && e->lanes[i]->state != LANE_FREE) out[n++] = i;
    pthread_mutex_unlock(&e->lock);
    return n;
}

uint32_t stk_lane_state(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    uint32_t state = e->lanes[lane]->state;
    pthread_mutex_unlock(&e->lock);
    return state;
}

uint64_t stk_lane_idle_since(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t since = 0;
    if (l->state == LANE_READY && l->idle_at != STK_ABSENT) since = l->t_idle = l->t_idle ? l->t_idle : stk_now();
    pthread_mutex_unlock(&e->lock);
    return since;
}

uint64_t stk_lane_busy_since(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    uint64_t since = e->lanes[lane]->t_head;
    pthread_mutex_unlock(&e->lock);
    return since;
}

uint64_t stk_lane_orphan_log(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t n = l->orphan_len < cap ? l->orphan_len : cap;
    if (n) memcpy(out, l->orphan_log, n);
    l->orphan_len = 0;
    if (l->up) {
        uint64_t dropped = stk_load(&l->up->dropped, STK_RELAXED);
        e->functions[l->fn]->log_dropped += dropped - l->log_seen;
        l->log_seen = dropped;
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

uint64_t stk_lane_init_error(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t n = l->init_error ? (l->init_error_len < cap ? l->init_error_len : cap) : 0;
    if (n) memcpy(out, l->init_error, n);
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* A worker drains its pipe before it begins the next invocation: the pipe's content belongs to the head once the
 * head has begun, and to an earlier invocation before that. */
uint64_t stk_lane_running(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_call *c = l->state != LANE_FREE && lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL;
    uint64_t ticket = c && stk_has_started(stk_load(&l->up->started, STK_ACQUIRE), l->first) ? c->ticket : 0;
    pthread_mutex_unlock(&e->lock);
    return ticket;
}

int stk_lane_append_log(stk_engine *e, uint32_t lane, uint64_t ticket, const uint8_t *data, uint64_t len) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    stk_call *c = l->state != LANE_FREE && lane_depth(l) ? l->queue[l->first % STK_DEPTH] : NULL;
    if (c && c->ticket != ticket) c = NULL;
    if (c) call_log(e, c, data, len);
    else if (!bytes_append(&l->orphan_log, &l->orphan_len, &l->orphan_cap, data, len, ORPHAN_KEEP))
        e->functions[l->fn]->log_dropped += len;
    pthread_mutex_unlock(&e->lock);
    return c != NULL;
}
