/* A handler's threads log while its first thread replies: each record is whole, and none is lost that had room. */
#include "check.h"

enum { THREADS = 3, LINES = 200, LINE = 96, INVOCATIONS = 20 };

static stk_worker *worker;
static pthread_barrier_t begins, ended;
static int over;
static uint8_t late[THREADS * LINES * LINE];

static void *logs(void *number) {
    uint8_t line[LINE];
    memset(line, 'a' + *(int *)number, LINE);
    for (;;) {
        pthread_barrier_wait(&begins);
        if (over) return NULL;
        for (int i = 0; i < LINES; i++) stk_worker_log(worker, line, LINE);
        pthread_barrier_wait(&ended);
    }
}

/* The log is lines, each of one letter. */
static void check_lines(const uint8_t *log, uint64_t len) {
    CHECK(len % LINE == 0);
    for (uint64_t at = 0; at < len; at += LINE)
        for (int i = 0; i < LINE; i++) CHECK(log[at + (uint64_t)i] == log[at]);
}

int main(void) {
    rig r = rig_open(0, 10 * SECOND, 10);
    uint32_t lane;
    pthread_t threads[THREADS];
    int numbers[THREADS];
    uint64_t logged = 0;
    worker = worker_ready(&r, &lane);
    pthread_barrier_init(&begins, NULL, THREADS + 1);
    pthread_barrier_init(&ended, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, logs, &numbers[i]) == 0);
    }
    for (uint64_t token = 1; token <= INVOCATIONS; token++) {
        stk_outcome o;
        done d;
        submit(&r, token, "event", 5);
        worker_takes(worker, "event", 5);
        pthread_barrier_wait(&begins);
        CHECK(stk_worker_reply(worker, STK_RESULT, (const uint8_t *)"result", 6) == 0); /* in the midst of them */
        pthread_barrier_wait(&ended);
        while (!reap_one(&r, &d)) {
        }
        CHECK(d.token == token && d.status == STK_OK && d.len == 6);
        if (d.extra) {
            CHECK(stk_outcome_of(r.e, d.ticket, &o) && memcmp(o.data, "result", 6) == 0);
            check_lines(o.log, o.log_len);
            logged += o.log_len;
            stk_call_free(r.e, d.ticket);
        } else {
            CHECK(memcmp(d.data, "result", 6) == 0);
        }
        CHECK(stk_lane_drain(r.e, lane) == 0); /* what came behind the reply */
        uint64_t len = stk_lane_orphan_log(r.e, lane, late, sizeof late);
        check_lines(late, len);
        logged += len;
    }
    CHECK(logged + worker->up->dropped == (uint64_t)INVOCATIONS * THREADS * LINES * LINE);
    over = 1;
    pthread_barrier_wait(&begins);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(worker_dies(&r, worker, lane) == 0);
    rig_close(&r);
    return 0;
}
