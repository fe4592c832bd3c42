"""What stands for a place in a list or a log: the tokens of pages, and the ids of events."""

from __future__ import annotations

import base64
from typing import Any

from ... import wire
from ...aws.faults import Fault
from .disk import Key

_POSITION = 10**43  # a position's 56 digits: epoch ms, then the sequence


def position(key: Key) -> str:
    """Of an event; its id, too."""
    return f"{key[0] * _POSITION + key[1]:056d}"


def read_position(token: str) -> Key:
    """Of a token of GetLogEvents. Raises Fault."""
    digits = token[2:]
    if token[:2] not in ("f/", "b/") or len(digits) != 56 or not (digits.isascii() and digits.isdigit()):
        raise _invalid()
    return divmod(int(digits), _POSITION)


def token(*parts: int | str) -> str:
    return base64.urlsafe_b64encode(wire.encode(parts)).decode()


def untoken(token: str | None, *kinds: type) -> list[Any]:
    """A token's parts; of none, none. Raises Fault."""
    if token is None:
        return []
    try:
        found = wire.decode(base64.urlsafe_b64decode(token))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or [type(f) for f in found] != list(kinds):
        raise _invalid()
    return found


def _invalid() -> Fault:
    return Fault("InvalidParameterException", "The specified nextToken is invalid.")
