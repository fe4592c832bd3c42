"""A library under which the n-th system call of a kind, on a path below a directory, fails: for LD_PRELOAD.

It is in force in the process that is started with it, not in that one's children. What fails is set, and how many calls
there were is read, while that process runs: by a file that both map (Calls).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

KINDS = ("write", "sync", "rename", "unlink", "truncate", "open", "mkdir")
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
enum kind { NONE, WRITE, SYNC, RENAME, UNLINK, TRUNCATE, OPEN, MKDIR };
struct calls { atomic_int kind, n, error, rest, count, failed; char path[232]; };
static struct calls *calls;
static char under[PATH_MAX];
static size_t length;

__attribute__((constructor)) static void begin(void) {
    const char *control = getenv("NTH_CALLS"), *folder = getenv("NTH_UNDER");
    unsetenv("LD_PRELOAD");
    if (!control || !folder) return;
    length = (size_t)snprintf(under, sizeof under, "%s", folder);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC, 0);
    void *mapped = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (mapped != MAP_FAILED) calls = mapped;
}

/* Does this call fail? Then errno says why. */
static int fails(const char *path) {
    if (strncmp(path, under, length) || (path[length] && path[length] != '/')) return 0;
    int count = atomic_fetch_add(&calls->count, 1) + 1, n = atomic_load(&calls->n);
    if (count < n || (count > n && !atomic_load(&calls->rest))) return 0;
    if (!atomic_fetch_add(&calls->failed, 1)) snprintf(calls->path, sizeof calls->path, "%s", path);
    errno = atomic_load(&calls->error);
    return 1;
}

static int armed(enum kind kind) { return calls && atomic_load(&calls->kind) == (int)kind; }

static int of_fd(enum kind kind, int fd) {
    char link[64], path[PATH_MAX];
    if (!armed(kind)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(path);
}

static int of_path(enum kind kind, int folder, const char *name) {
    char link[64], path[PATH_MAX + NAME_MAX];
    if (!armed(kind) || !name) return 0;
    if (name[0] == '/') return fails(name);
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (size < 0) return 0;
    snprintf(path + size, sizeof path - (size_t)size, "/%s", name);
    return fails(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALL(type, name, parameters, arguments, condition) \
    type name parameters { \
        static __typeof__(&name) next; \
        if (condition) return -1; \
        if (!next) next = NEXT(name); \
        return next arguments; \
    }
CALL(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), of_fd(WRITE, fd))
CALL(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), of_fd(WRITE, fd))
CALL(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), of_fd(WRITE, fd))
CALL(ssize_t, writev, (int fd, const struct iovec *data, int count), (fd, data, count), of_fd(WRITE, fd))
CALL(int, fsync, (int fd), (fd), of_fd(SYNC, fd))
CALL(int, fdatasync, (int fd), (fd), of_fd(SYNC, fd))
CALL(int, syncfs, (int fd), (fd), of_fd(SYNC, fd))
CALL(int, rename, (const char *old, const char *new), (old, new), of_path(RENAME, AT_FDCWD, new))
CALL(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new),
     of_path(RENAME, to, new))
CALL(int, link, (const char *old, const char *new), (old, new), of_path(RENAME, AT_FDCWD, new))
CALL(int, linkat, (int from, const char *old, int to, const char *new, int flags), (from, old, to, new, flags),
     of_path(RENAME, to, new))
CALL(int, unlink, (const char *path), (path), of_path(UNLINK, AT_FDCWD, path))
CALL(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), of_path(UNLINK, folder, path))
CALL(int, rmdir, (const char *path), (path), of_path(UNLINK, AT_FDCWD, path))
CALL(int, ftruncate, (int fd, off_t size), (fd, size), of_fd(TRUNCATE, fd))
CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), of_fd(TRUNCATE, fd))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), of_path(MKDIR, AT_FDCWD, path))
CALL(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), of_path(MKDIR, folder, path))

static int opened(int folder, const char *path, int flags, va_list rest) {
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && of_path(OPEN, folder, path)) return -1;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}
#define OPENS(name, parameters, folder) \
    int name parameters { \
        va_list rest; \
        va_start(rest, flags); \
        int fd = opened(folder, path, flags, rest); \
        va_end(rest); \
        return fd; \
    }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int folder, const char *path, int flags, ...), folder)
OPENS(openat64, (int folder, const char *path, int flags, ...), folder)
"""
_INTS = struct.Struct("6i")


class Calls:
    """The calls of a process that is started under `environment`. Skips the test where there is no compiler."""

    def __init__(self, folder: Path, under: Path) -> None:
        """folder: for the library and the file; under: the directory whose files' calls are counted."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler")
        source, library, control = folder / "nth_call.c", folder / "nth_call.so", folder / "nth_calls"
        source.write_text(_SOURCE)
        warnings = ("-Wall", "-Wextra", "-Werror")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", *warnings, "-o", library, source, "-ldl"], check=True
        )
        control.write_bytes(bytes(256))
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 256)
        self.environment = {
            "LD_PRELOAD": str(library), "NTH_CALLS": str(control), "NTH_UNDER": str(under.resolve()),
        }  # fmt: skip

    @contextlib.contextmanager
    def failing(self, kind: str, n: int, error: int, rest: bool = False) -> Iterator[None]:
        """Meanwhile the n-th call from now on fails; rest: and all after it."""
        self._map[24:] = bytes(232)
        _INTS.pack_into(self._map, 0, 0, n, error, rest, 0, 0)
        self._map[:4] = struct.pack("i", KINDS.index(kind) + 1)
        try:
            yield
        finally:
            self._map[:4] = bytes(4)

    @property
    def failed(self) -> int:
        """How many calls failed since `failing` began."""
        return int(_INTS.unpack_from(self._map)[5])

    @property
    def path(self) -> str:
        """Of the first one that failed."""
        return os.fsdecode(self._map[24:].rstrip(b"\0"))

    def close(self) -> None:
        self._map.close()
