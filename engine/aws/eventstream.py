"""AWS's event stream encoding, as far as InvokeWithResponseStream needs it: framed messages with string headers."""

from __future__ import annotations

import struct
from binascii import crc32

from .. import wire

_CHUNK = 1024 * 1024
_STRING = 7  # the type of a header's value


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message: two lengths and their checksum, headers, payload, and a checksum of it all."""
    encoded = bytearray()
    for name, value in headers.items():
        text = value.encode()
        encoded += (
            struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(text)) + text
        )
    prelude = struct.pack(">II", 16 + len(encoded) + len(payload), len(encoded))
    whole = prelude + struct.pack(">I", crc32(prelude)) + bytes(encoded) + payload
    return whole + struct.pack(">I", crc32(whole))


def response(payload: bytes, failed: bool, log: bytes = b"") -> bytes:
    """A function's response as PayloadChunks and an InvokeComplete; a failure as the latter's ErrorCode. log: its
    tail in Base64, where the request wants it."""
    out = []
    if not failed:
        for at in range(0, len(payload), _CHUNK):
            headers = {
                ":event-type": "PayloadChunk",
                ":content-type": "application/octet-stream",
                ":message-type": "event",
            }
            out.append(message(headers, payload[at : at + _CHUNK]))
    end: dict[str, str] = {}
    if failed:
        error = wire.decode(payload)
        end = {"ErrorCode": str(error.get("errorType", "Unhandled")), "ErrorDetails": payload.decode()}
    if log:
        end["LogResult"] = log.decode()
    headers = {":event-type": "InvokeComplete", ":content-type": "application/json", ":message-type": "event"}
    out.append(message(headers, wire.encode(end)))
    return b"".join(out)
