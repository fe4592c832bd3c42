"""native/call/invoke.c."""

from collections.abc import Callable
from typing import Any

class Cell:
    def __init__(self, engine: int, /) -> None: ...
    @property
    def address(self) -> int: ...

def bind(
    new_cell: int,
    free_cell: int,
    try_call: int,
    wait_call: int,
    encode: Callable[[Any], bytes],
    decode: Callable[[bytes], Any],
    decode_again: Callable[[bytes], Any],
    /,
) -> None: ...
def invoke(cells: list[Cell], index: int, event: Any, /) -> Any: ...
def invoke_bytes(cells: list[Cell], index: int, event: bytes, /) -> Any: ...
def record(cells: list[Cell], index: int, event: bytes, /) -> Any: ...
def put_back(cells: list[Cell], cell: Cell, /) -> None: ...
