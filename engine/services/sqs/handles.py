"""Receipt handles: which row of which queue was received, the how manieth time, and when; nobody can make one up."""

from __future__ import annotations

import base64
import binascii
import struct
from hashlib import blake2b
from typing import NamedTuple

from .faults import invalid_handle

_FORM = struct.Struct(">QIQI")
_SIGNED = 16


class Handle(NamedTuple):
    """receive: the row's attempts then; at: nanoseconds of the service clock; run: a number of that run's own."""

    id: int
    receive: int
    at: int
    run: int


def encode(secret: bytes, handle: Handle) -> str:
    data = _FORM.pack(*handle)
    return base64.b64encode(data + blake2b(data, key=secret, digest_size=_SIGNED).digest()).decode()


def decode(secret: bytes, text: str) -> Handle:
    """Raises Fault for what is no handle of the queue that has this secret."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise invalid_handle(text) from None
    body = data[: _FORM.size]
    if (
        len(data) != _FORM.size + _SIGNED
        or blake2b(body, key=secret, digest_size=_SIGNED).digest() != data[_FORM.size :]
    ):
        raise invalid_handle(text)
    return Handle(*_FORM.unpack(body))
