"""sys.stdout in a worker is a text stream like any other, though print() goes straight to the lane."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import Engine

CODE = """
import io, sys

def printed(event, context):
    print("a", 1, "é \\ud800", sep="-", end="!\\n")
    return sys.stdout.write("twelve chars")

def refused(event, context):
    try:
        sys.stdout.write(b"bytes")
    except TypeError as error:
        return str(error)

class Own(str):
    def encode(self, *how):
        return b"never asked"

def derived(event, context):
    return sys.stdout.write(Own("a str of its own"))

def reconfigured(event, context):
    sys.stdout.reconfigure(encoding="latin-1", errors="replace", line_buffering=True)
    print("é€")
    sys.stdout.reconfigure(encoding="utf-8")
    print("é€")

def closed(event, context):
    sys.stderr.close()
    try:
        sys.stderr.write("x")
    except ValueError as error:
        return str(error)

def detached(event, context):
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), "utf-8", write_through=True)
    print("by another wrapper")

def is_one(event, context):
    return [isinstance(each, io.TextIOWrapper) for each in (sys.stdout, sys.stderr, sys.__stdout__)]
"""


@pytest.fixture
def raw(tmp_path: Path) -> Any:
    (tmp_path / "app.py").write_text(CODE)
    with Engine() as engine:
        yield lambda name: engine.function(f"app:{name}", code=tmp_path).invoke_raw(b"null")


def own(reply: Any) -> str:
    """What it printed."""
    lines = reply.log_tail.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("START ", "END ", "REPORT ")))


Raw = Callable[[str], Any]


def test_what_print_writes(raw: Raw) -> None:
    reply = raw("printed")
    assert own(reply) == "a-1-é \\ud800!\ntwelve chars" and reply.payload == b"12"


def test_bytes_are_refused_as_anywhere(raw: Raw) -> None:
    with pytest.raises(TypeError) as error:
        io.TextIOWrapper(io.BytesIO()).write(b"bytes")  # type: ignore[arg-type]
    assert raw("refused").payload.decode().strip('"') == str(error.value)


def test_a_str_s_own_methods_are_not_asked(raw: Raw) -> None:
    reply = raw("derived")
    assert own(reply) == "a str of its own" and reply.payload == b"16"


def test_another_encoding(raw: Raw) -> None:
    """What is no UTF-8 is shown as the log shows it."""
    assert own(raw("reconfigured")).endswith("?\né€")


def test_a_closed_one(raw: Raw) -> None:
    assert b"closed file" in raw("closed").payload


def test_what_is_below_it_is_there(raw: Raw) -> None:
    assert own(raw("detached")) == "by another wrapper"


def test_it_is_one(raw: Raw) -> None:
    assert raw("is_one").payload == b"[true,true,true]"
