"""CBOR (RFC 8949), as much of it as Smithy's protocols use: reading untyped, writing by a model's shapes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from botocore.model import Shape

_EPOCH = 1  # the tag of a timestamp
_BREAK = object()
_DEPTH = 200
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}


class CborError(ValueError):
    """Not CBOR, or of a kind that no shape has."""


def decode(data: bytes) -> Any:
    """One item and nothing behind it. Raises CborError."""
    try:
        value, end = _item(data, 0, 0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, OverflowError) as error:
        raise CborError(str(error)) from None
    if value is _BREAK or end != len(data):
        raise CborError("there is more, or less, than one item")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > _DEPTH:
        raise CborError("nested too deeply")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return _simple(data, at, info)
    if info == 31:
        return _indefinite(data, at, major, depth)
    if info < 24:
        number = info
    elif info < 28:
        size = 1 << (info - 24)
        if at + size > len(data):
            raise CborError("cut off")
        number = int.from_bytes(data[at : at + size])
        at += size
    else:
        raise CborError("a reserved length")
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if at + number > len(data):
            raise CborError("cut off")
        piece = data[at : at + number]
        return (piece if major == 2 else piece.decode()), at + number
    if major == 6:  # a timestamp's is its number; of the others no shape makes any use
        return _whole(data, at, depth + 1)
    if number > len(data):  # each element has a byte at least
        raise CborError("cut off")
    if major == 4:
        items = []
        for _ in range(number):
            value, at = _whole(data, at, depth + 1)
            items.append(value)
        return items, at
    found: dict[Any, Any] = {}
    for _ in range(number):
        key, at = _whole(data, at, depth + 1)
        found[key], at = _whole(data, at, depth + 1)
    return found, at


def _whole(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    value, at = _item(data, at, depth)
    if value is _BREAK:
        raise CborError("an end where nothing began")
    return value, at


def _simple(data: bytes, at: int, info: int) -> tuple[Any, int]:
    if info in _FLOATS:
        form, size = _FLOATS[info]
        return struct.unpack_from(form, data, at)[0], at + size
    if info == 31:
        return _BREAK, at
    if info in _SIMPLE:
        return _SIMPLE[info], at
    raise CborError("an unknown simple value")


def _indefinite(data: bytes, at: int, major: int, depth: int) -> tuple[Any, int]:
    items: list[Any] = []
    while True:
        value, at = _item(data, at, depth + 1)
        if value is _BREAK:
            break
        items.append(value)
    if major == 2:
        return b"".join(items), at
    if major == 3:
        return "".join(items), at
    if major == 4:
        return items, at
    if major == 5 and len(items) % 2 == 0:
        return dict(zip(items[::2], items[1::2], strict=True)), at
    raise CborError("an indefinite length where there is none")


def encode(shape: Shape, value: Any) -> bytes:
    """A typed value. Members that are None, or that the model does not have, are left out."""
    out = bytearray()
    _write(out, shape, value)
    return bytes(out)


def encode_plain(value: Mapping[str, Any]) -> bytes:
    """Text, numbers, lists and maps of no shape."""
    out = bytearray()
    _write_plain(out, value)
    return bytes(out)


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            out.append(major << 5 | info)
            out += number.to_bytes(size)
            return
    raise CborError("a number of more than 64 bits")


def _write(out: bytearray, shape: Shape, value: Any) -> None:
    kind = shape.type_name
    if kind == "structure":
        found = [(name, member) for name, member in shape.members.items() if value.get(name) is not None]
        _head(out, 5, len(found))
        for name, member in found:
            _write_plain(out, member.serialization.get("name", name))
            _write(out, member, value[name])
    elif kind == "list":
        _head(out, 4, len(value))
        for each in value:
            _write(out, shape.member, each)
    elif kind == "map":
        _head(out, 5, len(value))
        for key, each in value.items():
            _write_plain(out, key)
            _write(out, shape.value, each)
    elif kind == "timestamp":
        _head(out, 6, _EPOCH)
        _write_plain(out, float(value))
    else:
        _write_plain(out, float(value) if kind in ("double", "float") else value)


def _write_plain(out: bytearray, value: Any) -> None:
    if isinstance(value, bool):
        out.append(0xF5 if value else 0xF4)
    elif value is None:
        out.append(0xF6)
    elif isinstance(value, int):
        _head(out, 0 if value >= 0 else 1, value if value >= 0 else -1 - value)
    elif isinstance(value, float):
        out.append(0xFB)
        out += struct.pack(">d", value)
    elif isinstance(value, bytes):
        _head(out, 2, len(value))
        out += value
    elif isinstance(value, str):
        encoded = value.encode("utf-8", "replace")
        _head(out, 3, len(encoded))
        out += encoded
    elif isinstance(value, Mapping):
        _head(out, 5, len(value))
        for key, each in value.items():
            _write_plain(out, key)
            _write_plain(out, each)
    else:
        _head(out, 4, len(value))
        for each in value:
            _write_plain(out, each)
