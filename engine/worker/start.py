"""The zygote's first steps: what workers need is imported, and no more than that."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

# From here msgspec takes, if it is there, what typing has as well: get_type_hints(include_extras=True), Required and
# NotRequired. To import it takes a fifth of all else. A function may import it as any other module.
_NOT_NEEDED = "typing_extensions"


def main(sock_fd: int, engine_pidfd: int) -> NoReturn:
    """Be the zygote."""
    gc.disable()  # nothing that is imported here goes again
    _import_msgspec()
    from . import zygote

    gc.freeze()  # so no template's collection goes through it
    gc.enable()
    zygote.main(sock_fd, engine_pidfd)


def _import_msgspec() -> None:
    if _NOT_NEEDED not in sys.modules:
        sys.modules[_NOT_NEEDED] = None  # type: ignore[assignment]
        try:
            import msgspec  # noqa: F401
        finally:
            del sys.modules[_NOT_NEEDED]
