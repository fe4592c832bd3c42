/* A template's memory in huge pages, where it can be: a fork then copies one entry for each two MiB instead of 512, and
 * its children miss fewer translations. A child that writes to one splits it and copies four KiB, as ever.
 *
 * MADV_COLLAPSE (Linux 6.1) does it now and whatever the system's setting, where memory is to be had; elsewhere nothing
 * changes. What is mostly holes is left alone: to fill them would be memory that nobody asked for.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/proc.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { PAGE = 4096, PAGES = 512, MOST = PAGES * 7 / 8 };
#define PRESENT (1ull << 63)
static const unsigned long long HUGE = (unsigned long long)PAGES * PAGE;

static int mostly_there(int pagemap, unsigned long long at) {
    uint64_t entries[PAGES];
    int there = 0;
    if (pread(pagemap, entries, sizeof entries, (off_t)(at / PAGE * sizeof *entries)) != (ssize_t)sizeof entries) return 0;
    for (int i = 0; i < PAGES; i++) there += (entries[i] & PRESENT) != 0;
    return there >= MOST;
}

int stk_collapse(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], mode[5];
    unsigned long long from, to, inode;
    int done = 0, pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    while (maps && pagemap >= 0 && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx %4s %*s %*s %llu", &from, &to, mode, &inode) != 4) continue;
        if (inode || strcmp(mode, "rw-p") != 0 || strstr(line, "[stack]")) continue;
        to &= ~(HUGE - 1);
        for (from = (from + HUGE - 1) & ~(HUGE - 1); from < to; from += HUGE)
            done += mostly_there(pagemap, from) && madvise((void *)(uintptr_t)from, HUGE, MADV_COLLAPSE) == 0;
    }
    if (maps) fclose(maps);
    if (pagemap >= 0) close(pagemap);
    return done;
}
