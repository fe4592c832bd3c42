"""A library under which the wall clock of a whole tree of processes is another one: for LD_PRELOAD."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = """
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
OFFSET
int clock_gettime(clockid_t clock, struct timespec *t) {
    long failed = syscall(SYS_clock_gettime, clock, t);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += offset();
    return (int)failed;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""
# A day back or forth at each look at it.
JUMPING = """
static atomic_long looks;
static long offset(void) { return (atomic_fetch_add(&looks, 1) % 3 - 1) * 86400L; }
"""
# WALL_OFFSET seconds, of the environment.
SHIFTED = """
static long offset(void) { const char *text = getenv("WALL_OFFSET"); return text ? atol(text) : 0; }
"""


def wall_clock(folder: Path, offset: str) -> Path:
    """The library, made in a folder. Skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = folder / "wall_clock.c", folder / "wall_clock.so"
    source.write_text(_SOURCE.replace("OFFSET\n", offset))
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library
