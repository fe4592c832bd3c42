/* Spin, sleep and wake: see doorbell.h. */
#define _GNU_SOURCE
#include "shared/doorbell.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int stk_sleep(stk_a32 *word, uint32_t seen, uint64_t ns) {
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    if (syscall(SYS_futex, (void *)word, FUTEX_WAIT, seen, ns ? &t : NULL, NULL, 0) == 0) return 0;
    return errno == EAGAIN ? 0 : -errno;
}

void stk_wake(stk_a32 *word) { syscall(SYS_futex, (void *)word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0); }

int stk_ring_eventfd(int fd) {
    uint64_t one = 1;
    for (;;) {
        if (write(fd, &one, sizeof one) == (ssize_t)sizeof one || errno == EAGAIN) return 0;
        if (errno != EINTR) return -errno;
    }
}

void stk_clear_eventfd(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}
