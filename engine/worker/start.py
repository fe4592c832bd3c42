"""The zygote's first steps: what workers need is imported, and no more than that."""

from __future__ import annotations

import gc
from typing import NoReturn


def main(sock_fd: int, engine_pidfd: int) -> NoReturn:
    """Be the zygote."""
    gc.disable()  # nothing that is imported here goes again
    from . import zygote

    gc.freeze()  # so no template's collection goes through it
    gc.enable()
    zygote.main(sock_fd, engine_pidfd)
