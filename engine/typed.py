"""msgspec, imported quickly."""

from __future__ import annotations

import sys


def load() -> None:
    """Import it without typing_extensions, which takes most of the time: it has a few names from there where that is
    installed, and else the same ones from typing. Not beside other threads, whose imports would miss it."""
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules or len(sys._current_frames()) > 1:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]
