"""Receipt handles: which row of which queue was received, the how manieth time, and when; nobody can make one up."""

from __future__ import annotations

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


class Signer:
    """A queue's. A keyed state that is copied costs half of what one made anew for each handle does."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = blake2b(key=secret, digest_size=_SIGNED)

    def sign(self, data: bytes) -> bytes:
        signing = self._keyed.copy()
        signing.update(data)
        return signing.digest()


def encode(signer: Signer, handle: Handle) -> str:
    data = _FORM.pack(*handle)
    return binascii.b2a_base64(data + signer.sign(data), newline=False).decode()


def decode(signer: Signer, text: str) -> Handle:
    """Raises Fault for what is no handle of the queue that has this signer."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise invalid_handle(text) from None
    body = data[: _FORM.size]
    if len(data) != _FORM.size + _SIGNED or signer.sign(body) != data[_FORM.size :]:
        raise invalid_handle(text)
    return Handle(*_FORM.unpack(body))
