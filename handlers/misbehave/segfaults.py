"""Sin: reads from address 0 (SIGSEGV)."""

import ctypes
from typing import Any


def handler(event: Any, context: Any) -> Any:
    ctypes.string_at(0)
