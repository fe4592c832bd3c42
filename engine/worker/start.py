"""The zygote's first steps: what workers need is imported, and no more than that."""

from __future__ import annotations

import sys
from typing import NoReturn


def main(sock_fd: int, engine_pidfd: int) -> NoReturn:
    """Be the zygote."""
    # msgspec has a few names from this where it is installed, and else the same ones from typing, which is quicker.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]
    from . import zygote

    zygote.main(sock_fd, engine_pidfd)
