"""Whether a server's functions run in sandboxes (worker/sandbox.py), and what of the machine these have."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .._native import lib
from ..errors import InvalidConfiguration


@dataclass(frozen=True, slots=True)
class Sandboxing:
    """hidden: files and directories that no function sees; shared: directories that all see and may write to; visible:
    what all see."""

    hidden: Sequence[str]
    shared: Sequence[str]
    visible: Sequence[str] = ()


def sandboxing(
    mode: str, hidden: Sequence[str], shared: Sequence[str], visible: Sequence[str] = ()
) -> Sandboxing | None:
    """mode: auto (where the machine can), on, off. None: no sandboxes. Raises InvalidConfiguration for a directory that
    cannot be shared, and when sandboxes must be and cannot."""
    for path in shared:
        if not os.path.isdir(path) or path in ("/", "/tmp"):
            raise InvalidConfiguration(
                f"--share {path}: name a directory that is there, and neither / nor /tmp"
            )
    if mode == "off":
        return None
    failed: int = -lib.stk_namespaces_probe()
    if failed and mode == "on":
        raise InvalidConfiguration(
            f"--sandbox on: this machine has no user namespaces to be had ({os.strerror(failed)}); "
            "`stoker doctor` says how to get them"
        )
    return None if failed else Sandboxing(hidden, shared, visible)
