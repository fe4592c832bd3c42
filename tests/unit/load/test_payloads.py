"""Payloads: filled in, drawn, and the same for the same seed. Replies: right or wrong, and why."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.load.generate.payloads import Fixed, PerFunction, Sampled, Template, expectation

TEMPLATE = (
    '{"n": {{number}}, "f": {{function}}, "id": "{{uuid}}", "die": {{ integer:1:6 }}, "pad": "{{text:100}}", '
    '"colour": "{{choice:red|green blue|ü}}", "braces": "{not} a {field}"}'
)


def test_a_template_is_filled_in() -> None:
    template = Template(TEMPLATE, seed=1)
    made = [json.loads(template.make(number, number % 3)) for number in range(600)]
    assert [it["n"] for it in made] == list(range(600))
    assert [it["f"] for it in made] == [number % 3 for number in range(600)]
    assert {uuid.UUID(it["id"]).version for it in made} == {4}
    assert len({it["id"] for it in made}) == len({it["pad"] for it in made}) == 600
    assert set(Counter(it["die"] for it in made)) == {1, 2, 3, 4, 5, 6}
    assert {len(it["pad"]) for it in made} == {100}
    assert {it["colour"] for it in made} == {"red", "green blue", "ü"}
    assert {it["braces"] for it in made} == {"{not} a {field}"}


def test_braces_of_json_are_not_fields() -> None:
    assert Template('{"a": {"n": {{number}}}}').make(5, 0) == b'{"a": {"n": 5}}'
    assert Template('{"a": {"b": {}}}').make(5, 0) == b'{"a": {"b": {}}}'


def test_the_same_seed_gives_the_same_payloads(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(f'{{"line": {n}}}\n' for n in range(50)))

    def made(seed: int) -> list[bytes]:
        template, sampled = Template(TEMPLATE, seed), Sampled(file, seed)
        return [it.make(number, 0) for number in range(50) for it in (template, sampled)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_every_line_of_a_file_is_drawn(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"a": 1}\n\n[2]\r\n  \n3')
    sampled = Sampled(file)
    assert {sampled.make(number, 0) for number in range(100)} == {b'{"a": 1}', b"[2]", b"3"}
    file.write_bytes(b"\n \n")
    with pytest.raises(ValueError, match="no line to send"):
        Sampled(file)


def test_each_function_has_payloads_of_its_own() -> None:
    payloads = PerFunction([Fixed(b"a"), Template("{{number}} {{function}}")])
    assert [payloads.make(n, n) for n in range(4)] == [b"a", b"1 1", b"a", b"3 3"]


def test_a_duration_is_that_of_the_request() -> None:
    template = Template('{"seconds": {{duration}}}', durations=lambda number: number / 4)
    assert [json.loads(template.make(n, 0)) for n in (1, 2)] == [{"seconds": 0.25}, {"seconds": 0.5}]
    with pytest.raises(ValueError, match="{{duration}} is of a trace's invocations, and there is no trace"):
        Template("{{duration}}")


def test_fixed_bytes_stay_what_they_are() -> None:
    assert Fixed(b"{{number}}").make(3, 4) == b"{{number}}"


@pytest.mark.parametrize(
    "text",
    [
        "{{now}}", "{{integer:2:1}}", "{{integer:x:1}}", "{{text:-1}}", "{{number:1}}", "{{choice:}}", "a {{ b",
        "{{duration:1}}",
        "{{a {{uuid}}",
    ],
)  # fmt: skip
def test_a_field_that_there_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="There are number"):
        Template(text)


@pytest.mark.parametrize(
    ("expected", "came", "message"),
    [
        ("json", b"[1]", ""),
        ("json", b"[1", "not JSON"),
        ("any", b"\xff", ""),
        ("echo", b'{"a": 1, "b": "x"}', ""),
        ("echo", b'{"b":"x","a":1}', ""),
        ("echo", b'{"a": 2, "b": "x"}', "not what was sent"),
        ("echo", b"\xff", "not what was sent"),
        ({"ok": True}, b'{"ok": true, "more": 1}', ""),
        ({"ok": True}, b'{"ok": false}', "'ok' is False, not True"),
        ({"ok": True}, b"{}", "without 'ok'"),
        ({"ok": True}, b"[]", "not an object"),
        ({"ok": True}, b"<html>", "not JSON"),
    ],
)
def test_a_reply_is_right_or_it_is_said_why_not(expected: Any, came: bytes, message: str) -> None:
    why = expectation(expected)(b'{"a": 1, "b": "x"}', came)
    assert why.startswith(message)
    assert bool(why) == bool(message)
    assert len(why) < 300


def test_an_expectation_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="There are json, echo, any"):
        expectation("text")
