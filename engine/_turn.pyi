"""native/turn/turn.c."""

from collections.abc import Callable
from typing import Any

NEXT: int
UNDECODABLE: int
FAILED: int
UNENCODABLE: int
TOO_LARGE: int

def bind(
    reply: int,
    next: int,
    lane: int,
    decode: Callable[[bytes], Any] | None,
    make_context: Callable[[bytes], Any],
    encode: Callable[[Any], Any],
    most: int,
    /,
) -> None: ...
def serve(handler: Callable[[Any, Any], Any], number: int, /) -> tuple[int, Any]: ...
