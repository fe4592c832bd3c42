/* The native code as Python sees it, in cffi's dialect: what Python uses and no more, explained in the headers. */
typedef ... stk_engine;
typedef ... stk_box;
typedef ... stk_down;

enum { STK_RESULT, STK_ERROR, STK_INVALID, STK_READY, STK_INIT_ERROR, STK_INVOKE, STK_SHUTDOWN, ... };
#define STK_WANT_TAIL ...
#define STK_EXTRAS ...
#define STK_RAW ...
#define STK_DEPTH ...
#define STK_EXIT_NO_DOORBELL ...
#define STK_INLINE ...
#define STK_RING ...
enum { STK_OK, STK_FAULT, STK_BAD_EVENT, STK_TIMEOUT, STK_CRASH, STK_INIT, STK_CANCELLED, STK_CLOSED, STK_MEMORY, ... };
enum { STK_THROTTLED, STK_TOO_LARGE, STK_NO_FUNCTION, STK_SHUT, STK_NO_MEMORY, STK_SIGNALLED, STK_DEADLOCK, STK_OTHER_CODEC, ... };
enum { LANE_READY, LANE_RETIRING, ... };
enum { STK_W_SHUTDOWN, STK_W_LARGE, STK_W_BROKEN, STK_W_SIGNAL, STK_W_EXTRAS, STK_W_QUEUED, ... };

typedef struct {
    uint32_t kind, flags;
    uint64_t len, ticket, t0, t1;
    uint8_t id[16];
    uint32_t seq, aux;
    ...;
} stk_record;

typedef struct {
    int32_t status, detail;
    uint32_t fn, raw;
    uint64_t len, timeout_ns, max_payload;
    uint8_t id[16];
    ...;
} stk_return;

typedef struct {
    stk_down *down;
    stk_record event;
    const uint8_t *payload;
    uint64_t t_start;
    ...;
} stk_worker;

typedef struct {
    uint64_t ticket, token;
    uint32_t status;
    int32_t detail;
    const uint8_t *data;
    uint64_t len;
    const uint8_t *log;
    uint64_t log_len, log_dropped;
    uint64_t t_submit, t_dispatch, t_start, t_end, t_done;
    uint32_t peak_kib, cold;
    uint64_t born;
    uint8_t id[16];
} stk_outcome;

typedef struct {
    stk_outcome outcome;
    uint8_t data[4096];
    ...;
} stk_cell;

typedef struct {
    uint64_t timeout_ns, max_payload, waiting, in_lanes, lanes, idle, busy, starting, ewma_ns, oldest_ns;
    uint64_t invocations, errors, timeouts, crashes, throttles, cold_starts, late, skipped, cancelled, log_dropped;
    uint64_t p50, p90, p99, p999, max, mean, d50, d99;
} stk_function_stats;

typedef struct {
    uint64_t waiting, lanes, idle, busy, starting, stuck, ewma_ns, oldest_ns;
} stk_load_now;

typedef struct {
    int32_t down_fd, up_fd, event_fd, stdio_r, stdio_w;
} stk_lane_fds;

/* queue.h */
stk_engine *stk_engine_new(uint64_t large, uint32_t cores, uint64_t spin_ns, uint64_t max_waiting_bytes, int control_fd, int loop_fd);
void stk_engine_close(stk_engine *e);
void stk_engine_disown(stk_engine *e);
void stk_engine_free(stk_engine *e);
uint64_t stk_engine_pending(stk_engine *e);
uint64_t stk_engine_lost(stk_engine *e);
int32_t stk_function_new(stk_engine *e, uint64_t timeout_ns, uint64_t max_payload, uint32_t max_waiting);
int stk_function_name(stk_engine *e, uint32_t fn, const uint8_t *name, uint64_t len, uint32_t max_lanes, uint32_t raw);
void stk_function_free(stk_engine *e, uint32_t fn);
uint32_t stk_functions_live(stk_engine *e);
void stk_function_move(stk_engine *e, uint32_t from, uint32_t to);
void stk_function_fail(stk_engine *e, uint32_t fn, uint32_t status, int32_t detail, const uint8_t *data, uint64_t len);
void stk_function_close(stk_engine *e, uint32_t fn);
void stk_function_end(stk_engine *e, uint32_t fn);
void stk_function_load(stk_engine *e, uint32_t fn, stk_load_now *out);
int stk_pressed(stk_engine *e, uint32_t *out, int max);
void stk_function_stats_read(stk_engine *e, uint32_t fn, stk_function_stats *out);
int stk_lane_prepare(stk_engine *e);
int32_t stk_lane_new(stk_engine *e, uint32_t fn, uint32_t core, uint64_t born, stk_lane_fds *fds);
void stk_lane_take(stk_engine *e, uint32_t lane);
void stk_lane_handed_over(stk_engine *e, uint32_t lane);
void stk_lane_retire(stk_engine *e, uint32_t lane);
int stk_lane_dead(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail);
int stk_lane_drain(stk_engine *e, uint32_t lane);
uint32_t stk_lane_state(stk_engine *e, uint32_t lane);
uint64_t stk_lane_idle_since(stk_engine *e, uint32_t lane);
uint64_t stk_lane_busy_since(stk_engine *e, uint32_t lane);
uint64_t stk_lane_orphan_log(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap);
uint64_t stk_lane_init_error(stk_engine *e, uint32_t lane, uint8_t *out, uint64_t cap);
uint64_t stk_lane_running(stk_engine *e, uint32_t lane);
int stk_lane_append_log(stk_engine *e, uint32_t lane, uint64_t ticket, const uint8_t *data, uint64_t len);
uint64_t stk_lane_trim(stk_engine *e, uint32_t lane);
int stk_lane_doom(stk_engine *e, uint32_t lane, uint32_t status, int32_t detail);
int stk_expire(stk_engine *e, uint64_t now, uint32_t *out, int max, uint64_t *next);
int stk_steal(stk_engine *e, uint64_t now, uint64_t patience);
int stk_corrupt(stk_engine *e, uint32_t *out, int max);
stk_cell *stk_cell_new(stk_engine *e);
void stk_cell_free(stk_cell *cell);
int64_t stk_cell_try(stk_cell *cell, uint32_t fn, uint32_t flags, const uint8_t *data, uint64_t len, uint64_t until);
int64_t stk_cell_wait(stk_cell *cell);
void stk_cell_abandon(stk_cell *cell);
void stk_cell_clear(stk_cell *cell);
stk_box *stk_box_new(stk_engine *e, int is_loop, uint64_t *words, int max, uint8_t *buf, uint64_t cap);
void stk_box_free(stk_box *box);
int64_t stk_submit(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *data, uint64_t len);
int64_t stk_submit_as(stk_box *box, uint32_t fn, uint64_t token, uint32_t flags, const uint8_t *id, uint64_t timeout_ns, const uint8_t *data, uint64_t len);
int64_t stk_submit_within(stk_box *box, uint32_t fn, uint64_t token, uint64_t timeout_ns, const uint8_t *data, uint64_t len);
int stk_reap(stk_box *box);
int stk_reap_spin(stk_box *box, uint64_t ns);
int stk_reap_wait(stk_box *box, uint64_t ns);
int stk_outcome_of(stk_engine *e, uint64_t ticket, stk_outcome *out);
void stk_call_free(stk_engine *e, uint64_t ticket);
int stk_cancel(stk_engine *e, uint64_t ticket);
int stk_begun(stk_engine *e, uint64_t ticket);
uint64_t stk_forget(stk_engine *e, uint64_t ticket);
int stk_loop_aside(stk_box *box);
int stk_loop_cold(stk_box *box);
void stk_loop_hot(stk_box *box);
uint32_t stk_busy_lanes(stk_engine *e);
int stk_may_spin(stk_engine *e);
int32_t stk_logged(stk_engine *e, stk_outcome *out);
int32_t stk_caller_core(stk_engine *e);
int stk_drain_all(stk_engine *e);
void stk_armed(stk_engine *e, int armed);
void stk_unkick(stk_engine *e, uint32_t fn);

/* worker.h */
stk_worker *stk_worker_open(int down_fd, int up_fd, int event_fd, int stdio_fd, uint64_t large, uint64_t max_reply);
void stk_worker_prepare(uint64_t data_bytes, int parent);
void stk_worker_short_turns(void);
stk_worker *stk_worker_born(int down_fd, int up_fd, int event_fd, int stdio_r, int stdio_w, int core, uint64_t large, uint64_t max_reply);
stk_worker *stk_worker_rehearsal(uint32_t invocations, uint64_t max_reply);
void stk_worker_close(stk_worker *w);
int64_t stk_worker_next(stk_worker *w);
int stk_worker_reply(stk_worker *w, uint32_t kind, const uint8_t *data, uint64_t len);
int64_t stk_worker_reply_next(stk_worker *w, const uint8_t *data, uint64_t len);
uint8_t *stk_worker_place(stk_worker *w);
void stk_worker_forked(stk_worker *w);
void stk_worker_log(stk_worker *w, const uint8_t *data, uint64_t len);
int stk_worker_call(stk_worker *w, const uint8_t *id, uint32_t hint, uint32_t flags, const uint8_t *name, uint64_t name_len, const uint8_t *event, uint64_t len, stk_return *out, const uint8_t **data);
int stk_worker_call_wait(stk_worker *w, stk_return *out, const uint8_t **data);
void stk_worker_call_over(stk_worker *w, const stk_return *out);
stk_record *stk_worker_reserve(stk_worker *w, uint32_t kind, uint64_t len);
void stk_worker_commit(stk_worker *w);
void stk_worker_doorbell(stk_worker *w);

/* process.h */
int stk_pdeathsig(int signal);
int stk_subreaper(void);
int stk_collapse(void);

/* namespace.h */
int stk_enter_namespaces(int uid, int gid);
int stk_unshare_mounts(void);
int stk_mount_new(const char *type, const char *target, const char *options);
int stk_mount_bind(const char *source, const char *target);
int stk_mount_read_only(const char *target, int recursive);
int stk_enter_root(void);
int stk_use_capabilities(int all);
int stk_pass_capabilities(int on);
int stk_drop_capabilities(void);
int stk_namespaces_probe(void);

/* round_trip.h */
uint64_t stk_wake_cost(int rounds, int core_a, int core_b);
uint64_t stk_spin_cost(int rounds, int core_a, int core_b);

/* quota.h */
enum { STK_QUOTA_PROCESSES = ..., STK_QUOTA_SLOTS = ... };
uint64_t stk_quota_bytes(uint32_t slots);
int stk_quota_new(void *memory, uint32_t slot);
int stk_quota_take(void *memory, uint32_t slot, uint32_t process, int64_t limit);
int64_t stk_quota_used(void *memory, uint32_t slot);
void stk_quota_clear(void *memory, uint32_t slots, uint32_t process);
void stk_word_publish(void *word, uint64_t value);
uint64_t stk_word_read(const void *word);

/* doorbell.h */
uint64_t stk_now(void);
void stk_clear_eventfd(int fd);
