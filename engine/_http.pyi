"""native/http/request.c."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

def scan(
    data: bytes, known: dict[bytes, T], /
) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes, bytes | None] | tuple[T, bytes] | None: ...
def send_all(
    before: bytes, receivers: Sequence[tuple[int, bytes, object]], after: bytes, /
) -> list[tuple[int, int]]: ...
