"""Texts that several commands read or write: an event, NAME=VALUE, a duration."""

from __future__ import annotations

import os
import sys

from .status import UsageError


def read_event(text: str, raw: bool) -> bytes:
    """The bytes of the event that the argument names or is. Raises UsageError."""
    if text == "-":
        data, origin = sys.stdin.buffer.read(), "stdin"
    elif text.startswith("@"):
        origin = text[1:]
        try:
            with open(origin, "rb") as file:
                data = file.read()
        except OSError as error:
            raise UsageError(f"cannot read the event from {origin}: {error.strerror}") from None
    else:
        data, origin = text.encode("utf-8", "surrogateescape"), "the argument"
    if raw:
        return data
    from .. import wire

    try:
        wire.decode(data)
    except (ValueError, RecursionError) as error:
        right = """for example '{"name": "Ada"}'"""
        if os.path.exists(text):
            right = f"write @{text} to read that file"
        raise UsageError(f"the event ({origin}) is not JSON: {error}; {right}") from None
    return data


def pair(option: str, text: str) -> tuple[str, str]:
    """NAME=VALUE, the option's argument, in two. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} {text}: write NAME=VALUE")
    return name, value


def microseconds(ns: float) -> str:
    """A duration in the unit that suits it."""
    if ns >= 1e9:
        return f"{ns / 1e9:.2f} s"
    if ns >= 1e6:
        return f"{ns / 1e6:.2f} ms"
    return f"{ns / 1e3:.1f} µs" if ns >= 1000 else f"{ns:.0f} ns"
