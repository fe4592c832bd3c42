/* A forked worker's first acts: see stk_worker_prepare and stk_worker_born in worker.h. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/proc.h"
#include "worker/worker.h"

enum { OUT_OF_THE_WAY = 200 }; /* of a handler that closes and opens low descriptors */

void stk_worker_prepare(uint64_t data_bytes, int parent) {
    struct rlimit none = {0, 0}, data;
    stk_pdeathsig(SIGKILL);
    if (getppid() != parent) _exit(1); /* it died before we asked to be told */
    setsid();
    stk_subreaper(); /* what the handler starts and loses ends with this process */
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_DATA, &data) == 0 && data_bytes < data.rlim_max) {
        data.rlim_cur = data.rlim_max = data_bytes;
        setrlimit(RLIMIT_DATA, &data);
    }
}

stk_worker *stk_worker_born(int down_fd, int up_fd, int event_fd, int stdio_r, int stdio_w, int core, uint64_t large,
                            uint64_t max_reply) {
    if (core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(core, &set);
        sched_setaffinity(0, sizeof set, &set); /* it may have gone offline: then anywhere */
    }
    dup2(stdio_w, 1);
    dup2(stdio_w, 2);
    close(stdio_w);
    int high = stk_raise_fd(event_fd, OUT_OF_THE_WAY);
    if (high >= 0) event_fd = high;
    high = stk_raise_fd(stdio_r, OUT_OF_THE_WAY);
    if (high >= 0) stdio_r = high;
    stk_worker *w = stk_worker_open(down_fd, up_fd, event_fd, stdio_r, large, max_reply);
    close(down_fd);
    close(up_fd);
    return w;
}
