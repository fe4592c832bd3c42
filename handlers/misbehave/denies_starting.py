"""Sin: clears its `started` word and exits (event: a file to note the attempt in)."""

import ctypes
import os
from typing import Any

from _lane import mapped

STARTED = 384


def handler(event: Any, context: Any) -> Any:
    with open(event, "a") as file:
        file.write("x")
    ctypes.c_uint64.from_address(mapped("up") + STARTED).value = 0
    os._exit(9)
