"""native/http."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from .http.quick import Known

T = TypeVar("T")
Scanned = tuple[str, bytes, list[tuple[bytes, bytes]], bytes, bytes | None] | tuple[Known, bytes]

def scan(
    data: bytes, known: dict[bytes, T], /
) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes, bytes | None] | tuple[T, bytes] | None: ...
def begins(data: bytes, known: dict[bytes, T], /) -> tuple[T, int, int] | None: ...
def bind(stk_outcome_of: int, stk_call_free: int, clock: int, /) -> None: ...
def answer(
    engine: int,
    calls: list[tuple[int, int, T]],
    before: bytes,
    middle: bytes,
    number: int,
    noted: Callable[[bytes, bytes], object],
    room: int,
    /,
) -> tuple[list[int], list[tuple[int, bytes]], int]: ...
def send_all(
    before: bytes, receivers: Sequence[tuple[int, bytes, object]], after: bytes, /
) -> list[tuple[int, int]]: ...
