"""Responses as AWS's runtime for Python writes them: for deployed functions, where a test of what comes back, or of
what cannot be sent back, must find what it would on AWS.

What is different: a Decimal of more digits than a float has loses them, and a named tuple is an array.
"""

from __future__ import annotations

import decimal
import json.encoder
import os
from collections.abc import Callable
from typing import Any

from .._json import dumps


def only_ascii() -> bool:
    """Does this worker's runtime escape all other characters?"""
    return os.environ.get("AWS_EXECUTION_ENV") == "AWS_Lambda_python3.11"


def marshaller(only_ascii: bool) -> Callable[[Any], bytes]:
    """What it returns raises TypeError, ValueError or RecursionError for what is no JSON,
    with the words that AWS puts behind "Unable to marshal response: "."""
    text = json.encoder.encode_basestring_ascii if only_ascii else json.encoder.encode_basestring
    # What needs code of Python's, as a Decimal does, is for json itself. JSONEncoder.encode makes one of these each
    # time, which takes longer than a small response does.
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        encode = json.JSONEncoder(default=_default, ensure_ascii=only_ascii).encode
        return lambda response: (
            response if type(response) is bytes else dumps(response, only_ascii) or encode(response).encode()
        )
    above: dict[int, Any] = {}  # the containers that one is in
    chunks = make(above, _default, text, None, ": ", ", ", False, False, True)

    def marshal(response: Any) -> bytes:
        if type(response) is bytes:
            return response
        written = dumps(response, only_ascii)
        if written is not None:
            return written
        try:
            return "".join(chunks(response, 0)).encode()
        except BaseException:
            above.clear()
            raise

    return marshal


def _default(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
