/* A lane's memory and descriptors: allocated, handed over to a worker, released. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/internal.h"

static int grow(uint32_t **list, uint32_t *cap, uint32_t need) {
    if (need <= *cap) return 1;
    uint32_t more = *cap ? *cap * 2 : 8;
    uint32_t *grown = realloc(*list, more * sizeof **list);
    if (!grown) return 0;
    *list = grown;
    *cap = more;
    return 1;
}

static int grow_watch(stk_engine *e) {
    if (e->n_lanes <= e->cap_watch) return 1;
    uint32_t more = e->cap_watch ? e->cap_watch * 2 : 8;
    stk_watch *grown = realloc(e->watch, more * sizeof *grown);
    if (!grown) return 0;
    e->watch = grown;
    e->cap_watch = more;
    return 1;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void unmap(stk_engine *e, stk_lane *l) {
    if (l->down) munmap(l->down, (size_t)stk_down_bytes(e->large));
    if (l->up) munmap(l->up, (size_t)stk_up_bytes(e->large));
    l->down = NULL;
    l->up = NULL;
}

void lane_unref(stk_engine *e, stk_lane *l) {
    if (--l->refs == 0 && l->state == LANE_FREE) unmap(e, l);
}

/* A sealed memfd of the lane's size, mapped for writing; neither side can resize it. */
static void *shared(const char *name, uint64_t size, int *fd) {
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)size) < 0 || fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return NULL;
    void *base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    return base == MAP_FAILED ? NULL : base;
}

static int lane_map(stk_engine *e, stk_lane *l) {
    char path[32];
    int pipes[2];
    l->down_fd = l->down_ro_fd = l->up_fd = l->event_fd = l->stdio_r = l->stdio_w = -1;
    l->down = shared("stoker-down", stk_down_bytes(e->large), &l->down_fd);
    l->up = l->down ? shared("stoker-up", stk_up_bytes(e->large), &l->up_fd) : NULL;
    if (!l->up) return -errno;
    if (e->large >= STK_HUGE) madvise(l->down, (size_t)stk_down_bytes(e->large), MADV_HUGEPAGE);
    /* Reopened read-only: a mapping of this description can never be made writable. A write seal
     * would do the same, but would forbid freeing pages (MADV_REMOVE). */
    snprintf(path, sizeof path, "/proc/self/fd/%d", l->down_fd);
    l->down_ro_fd = open(path, O_RDONLY | O_CLOEXEC);
    l->event_fd = l->down_ro_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0 || pipe2(pipes, O_CLOEXEC) < 0) return -errno;
    l->stdio_r = pipes[0];
    fcntl(l->stdio_r, F_SETFL, O_NONBLOCK); /* both sides read it: neither may block on bytes that the other took */
    l->stdio_w = pipes[1];
    close_fd(&l->down_fd);
    stk_ring_init(&l->tx, stk_ring_at(l->down), STK_RING, &l->down->tail, &l->up->head);
    stk_ring_init(&l->rx, stk_ring_at(l->up), STK_RING, &l->down->head, &l->up->tail);
    return 0;
}

void lane_drop_replies(stk_engine *e, stk_lane *l) {
    madvise(stk_large_at(l->up), (size_t)stk_area_bytes(e->large), MADV_REMOVE);
    e->replied -= l->replied;
    l->replied = 0;
}

void lane_release(stk_engine *e, stk_lane *l) {
    close_fd(&l->down_fd);
    close_fd(&l->down_ro_fd);
    close_fd(&l->up_fd);
    close_fd(&l->event_fd);
    close_fd(&l->stdio_r);
    close_fd(&l->stdio_w);
    free(l->orphan_log);
    free(l->init_error);
    l->orphan_log = l->init_error = NULL;
    if (l->refs == 0) unmap(e, l);
}

static stk_lane *lane_slot(stk_engine *e) {
    for (uint32_t i = 0; i < e->n_lanes; i++)
        if (e->lanes[i]->state == LANE_FREE && e->lanes[i]->refs == 0) return e->lanes[i];
    if (e->n_lanes == e->cap_lanes) {
        uint32_t cap = e->cap_lanes ? e->cap_lanes * 2 : 8;
        stk_lane **more = realloc(e->lanes, cap * sizeof *more);
        if (!more) return NULL;
        e->lanes = more;
        e->cap_lanes = cap;
    }
    stk_lane *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->index = e->n_lanes;
    e->lanes[e->n_lanes++] = l;
    return l;
}

int stk_lane_prepare(stk_engine *e) {
    stk_lane fresh = {0};
    pthread_mutex_lock(&e->lock);
    int have = e->spare.down != NULL;
    pthread_mutex_unlock(&e->lock);
    if (have) return 0;
    int rc = lane_map(e, &fresh);
    if (rc == 0) {
        fresh.tx.data[0] = fresh.rx.data[0] = 0; /* fault in the pages that the first invocation touches */
        stk_store(&fresh.down->tail, 0, STK_RELAXED);
        stk_store(&fresh.up->tail, 0, STK_RELAXED);
        pthread_mutex_lock(&e->lock);
        have = e->spare.down != NULL || e->closed;
        if (!have) e->spare = fresh;
        pthread_mutex_unlock(&e->lock);
    }
    if (rc < 0 || have) lane_release(e, &fresh);
    return rc;
}

void lane_drop_spare(stk_engine *e) {
    if (e->spare.down) lane_release(e, &e->spare);
}

int32_t stk_lane_new(stk_engine *e, uint32_t fn, uint32_t core, uint64_t born, stk_lane_fds *fds) {
    pthread_mutex_lock(&e->lock);
    stk_lane fresh = e->spare;
    memset(&e->spare, 0, sizeof e->spare);
    pthread_mutex_unlock(&e->lock);
    int rc = fresh.down ? 0 : lane_map(e, &fresh); /* a dozen system calls: not under the lock */
    if (rc < 0) {
        lane_release(e, &fresh);
        return rc;
    }
    pthread_mutex_lock(&e->lock);
    stk_function *f = e->functions[fn];
    stk_lane *l = lane_slot(e);
    rc = -ENOMEM;
    if (l && grow(&e->busy, &e->cap_busy, e->n_lanes) && grow_watch(e) && grow(&f->lanes, &f->cap_lanes, f->n_lanes + 1) &&
        grow(&f->idle, &f->cap_idle, f->n_lanes + 1)) {
        uint32_t index = l->index;
        *l = fresh;
        l->index = index;
        l->state = LANE_STARTING;
        l->fn = fn;
        l->core = core;
        l->born = born;
        l->idle_at = l->busy_at = STK_ABSENT;
        f->lanes[f->n_lanes++] = index;
        busy_add(e, l); /* so that its READY is read */
        *fds = (stk_lane_fds){l->down_ro_fd, l->up_fd, l->event_fd, l->stdio_r, l->stdio_w};
        rc = (int)index;
    }
    pthread_mutex_unlock(&e->lock);
    if (rc < 0) lane_release(e, &fresh);
    return rc;
}

void stk_lane_handed_over(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    close_fd(&l->down_ro_fd);
    close_fd(&l->up_fd);
    close_fd(&l->stdio_w);
    pthread_mutex_unlock(&e->lock);
}

uint64_t stk_lane_trim(stk_engine *e, uint32_t lane) {
    pthread_mutex_lock(&e->lock);
    stk_lane *l = e->lanes[lane];
    uint64_t freed = 0;
    if (l->state == LANE_READY && l->idle_at != STK_ABSENT && l->touched && l->refs == 0) {
        freed = l->touched;
        madvise(stk_large_at(l->down), (size_t)stk_area_bytes(e->large) * 2, MADV_REMOVE); /* both areas */
        lane_drop_replies(e, l);
        l->touched = 0;
    }
    pthread_mutex_unlock(&e->lock);
    return freed;
}
