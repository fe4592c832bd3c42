"""The zygote's first steps: what workers need is imported, and no more than that."""

from __future__ import annotations

from typing import NoReturn

from .. import typed


def main(sock_fd: int, engine_pidfd: int) -> NoReturn:
    """Be the zygote."""
    typed.load()
    from . import zygote

    zygote.main(sock_fd, engine_pidfd)
