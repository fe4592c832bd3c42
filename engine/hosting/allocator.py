"""What the C library's allocator keeps of what was freed, and when it gives it back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import functools

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_APART = 256 * 1024


@functools.cache
def _libc() -> ctypes.CDLL:
    """Once: each is a class of its own, which lies there until Python's collector comes."""
    return ctypes.CDLL(None)


def keep_large_buffers_apart() -> None:
    """Has the allocator map each large buffer by itself, so that all of it goes back to the system when it is freed.
    glibc gives that up after the first of them, and then keeps what is freed between two that are not."""
    with contextlib.suppress(AttributeError):  # another libc
        _libc().mallopt(_M_MMAP_THRESHOLD, _APART)


def give_back() -> None:
    """What was freed between smaller pieces the allocator keeps, however much it is, until it is asked."""
    with contextlib.suppress(AttributeError):
        _libc().malloc_trim(0)
