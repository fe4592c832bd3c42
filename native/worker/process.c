/* A worker's process, right after the fork: bound to its parent, with limits, a core, turns and descriptors of its own. */
#define _GNU_SOURCE
#include "worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/worker.h"

enum { HIGH_FD = 200 }; /* above what a handler that closes and opens low descriptors gets at */
static const uint64_t SLICE_NS = 100000; /* the shortest that the kernel gives */

typedef struct { /* sched_attr of sched(7), which not every libc declares */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} scheduling;

int stk_pdeathsig(int signal) { return prctl(PR_SET_PDEATHSIG, signal) < 0 ? -errno : 0; }

int stk_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0; }

/* Take the core in short turns (Linux 6.12 and later; before, the kernel does not listen). What else is woken on a worker's
 * core, as daemons are once in a while, runs for some milliseconds if it may, and all events that come meanwhile wait. A
 * process of shorter turns is let in when its next event comes. Its share of the core is what it was, and so is its niceness;
 * who chose another policy than the usual one for it knows better. Not for a server's workers: its client may be another
 * process on this core, which would wait until such a worker has spun its time. */
void stk_worker_short_turns(void) {
    scheduling now;
    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0) return;
    if (now.policy != SCHED_OTHER) return;
    now.size = sizeof now;
    now.runtime = SLICE_NS;
    syscall(SYS_sched_setattr, 0, &now, 0);
}

void stk_worker_prepare(uint64_t data_bytes, int parent) {
    struct rlimit none = {0, 0}, data;
    stk_pdeathsig(SIGKILL);
    if (getppid() != parent) _exit(1); /* the parent died before the signal was set */
    setsid();
    stk_subreaper(); /* orphans of the handler end with this process */
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_DATA, &data) == 0 && data_bytes < data.rlim_max) {
        data.rlim_cur = data.rlim_max = data_bytes;
        setrlimit(RLIMIT_DATA, &data);
    }
}

/* The descriptor moved above HIGH_FD, close-on-exec; itself when that fails. */
static int raise_fd(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (high < 0) return fd;
    close(fd);
    return high;
}

stk_worker *stk_worker_born(int down_fd, int up_fd, int event_fd, int stdio_r, int stdio_w, int core, uint64_t large,
                            uint64_t max_reply) {
    dup2(stdio_w, 1);
    dup2(stdio_w, 2);
    close(stdio_w);
    event_fd = raise_fd(event_fd);
    stdio_r = raise_fd(stdio_r);
    stk_worker *w = stk_worker_open(down_fd, up_fd, event_fd, stdio_r, large, max_reply);
    close(down_fd);
    close(up_fd);
    if (w) stk_place_own(w, core);
    return w;
}
