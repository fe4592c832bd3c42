/* A worker that never stops writing: draining its lane ends all the same, for the reader holds the lock (fault 5). */
#include "check.h"

static int stop; /* under `lock` */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *flood(void *arg) {
    stk_worker *w = arg;
    for (int over = 0; !over;) {
        int err;
        stk_record *rec = stk_ring_reserve(&w->tx, 0, &err);
        CHECK(err == 0);
        if (rec) {
            rec->kind = STK_LOG;
            rec->flags = 0;
            rec->len = 0;
            rec->ticket = 0;
            stk_ring_commit(&w->tx);
        }
        pthread_mutex_lock(&lock);
        over = stop;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    pthread_t flooding;
    stk_worker *w = worker_ready(&r, &lane);
    CHECK(pthread_create(&flooding, NULL, flood, w) == 0);
    stk_ring *rx = &r.e->lanes[lane]->rx;
    for (int i = 0; i < 200; i++) { /* at most one lap a drain */
        uint64_t before = rx->mine;
        CHECK(stk_lane_drain(r.e, lane) == 0);
        CHECK(rx->mine - before <= STK_RING);
        while (stk_load(rx->peer, STK_ACQUIRE) - rx->mine < STK_RING / 2) sched_yield();
    }
    pthread_mutex_lock(&lock);
    stop = 1;
    pthread_mutex_unlock(&lock);
    pthread_join(flooding, NULL);
    worker_dies(&r, w, lane);
    rig_close(&r);
    return 0;
}
