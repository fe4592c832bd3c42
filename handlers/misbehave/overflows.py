"""Sin: overflows the native stack (SIGSEGV)."""

import ctypes
import functools
import sys
from typing import Any

COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def handler(event: Any, context: Any) -> Any:
    # qsort calls back into Python, which calls qsort: native frames pile up.
    sys.setrecursionlimit(1 << 30)
    libc = ctypes.CDLL(None)
    pair = (ctypes.c_int * 2)(2, 1)

    @COMPARE
    def again(_a: Any, _b: Any) -> int:
        libc.qsort(pair, 2, 4, again)
        return 0

    functools.partial(libc.qsort, pair, 2, 4, again)()
