"""native/http/request.c."""

from typing import TypeVar

T = TypeVar("T")

def scan(
    data: bytes, known: dict[bytes, T], /
) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes, bytes | None] | tuple[T, bytes] | None: ...
def send_all(pairs: list[tuple[int, bytes]], /) -> list[int]: ...
