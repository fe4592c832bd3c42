/* A template's memory in huge pages: a fork then copies one page table entry for each 2 MiB instead of 512, and its
 * children miss the TLB less often. A child that writes to a huge page splits it and copies 4 KiB, as with small pages.
 *
 * MADV_COLLAPSE (Linux 6.1) works at once and whatever the system's setting; where it fails nothing changes. Ranges that
 * are mostly holes are left alone: filling the holes would cost memory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/process.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { PAGE = 4096, PAGES = 512, MOSTLY = PAGES * 7 / 8 };
#define PRESENT (1ull << 63)
static const unsigned long long HUGE = (unsigned long long)PAGES * PAGE;
/* What is larger is address space that somebody reserved (a sanitizer 15 TB): looking at each 2 MiB of it would take long. */
static const unsigned long long RESERVED = 8ull << 30;

static int mostly_resident(int pagemap, unsigned long long at) {
    uint64_t entries[PAGES];
    int resident = 0;
    if (pread(pagemap, entries, sizeof entries, (off_t)(at / PAGE * sizeof *entries)) != (ssize_t)sizeof entries) return 0;
    for (int i = 0; i < PAGES; i++) resident += (entries[i] & PRESENT) != 0;
    return resident >= MOSTLY;
}

int stk_collapse(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], mode[5];
    unsigned long long from, to, inode;
    int done = 0, pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    while (maps && pagemap >= 0 && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx %4s %*s %*s %llu", &from, &to, mode, &inode) != 4) continue;
        if (to - from > RESERVED) continue;
        if (inode || strcmp(mode, "rw-p") != 0 || strstr(line, "[stack]")) continue;
        to &= ~(HUGE - 1);
        for (from = (from + HUGE - 1) & ~(HUGE - 1); from < to; from += HUGE)
            done += mostly_resident(pagemap, from) && madvise((void *)(uintptr_t)from, HUGE, MADV_COLLAPSE) == 0;
    }
    if (maps) fclose(maps);
    if (pagemap >= 0) close(pagemap);
    return done;
}
