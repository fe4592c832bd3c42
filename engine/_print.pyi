"""native/print/write.c."""

from collections.abc import Callable

def writer(log: int, lane: int, write: Callable[[str], int], /) -> Callable[[str], int]: ...
