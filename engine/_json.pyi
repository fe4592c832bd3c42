"""native/json/encode.c."""

from typing import Any

def dumps(value: Any, only_ascii: bool, /) -> bytes | None: ...
