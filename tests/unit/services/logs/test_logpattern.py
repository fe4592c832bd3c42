"""CloudWatch Logs' filter patterns, most of them from AWS's own documentation."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.services.logs.pattern import InvalidPattern, compile_pattern

ACCESS = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
EVENT = json.dumps(
    {
        "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "SomeObject": None, "on": True,
        "arrayKey": ["value", "another value"], "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "cluster.name": "c", "ratio": 0.5, "deep": {"er": {"code": 404}},
    }
)  # fmt: skip

USERS = json.dumps(
    {
        "user": {"id": 1, "email": "John.Stiles@example.com"},
        "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
        "actions": ["GET", "PUT", "DELETE"], "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("ERROR", "[error 400] bad request", False),
        ("ERROR ARGUMENTS", "ERROR MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "ERROR", False),
        ("?ERROR ?WARN", "a WARN", True),
        ("?ERROR ?WARN", "an INFO", False),
        ("?ERROR INFO", "INFO", True),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ('"SERVER INTERNAL"', "INTERNAL SERVER", False),
        ("ERROR -ARGUMENTS", "ERROR x", True),
        ("ERROR -ARGUMENTS", "ERROR ARGUMENTS", False),
        ('-"a b"', "a c", True),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ("%^a[0-9]+$%", "a12", True),
        ('{ $.eventType = "UpdateTrail" }', EVENT, True),
        ('{ $.eventType = "Update*" }', EVENT, True),
        ("{ $.eventType = UpdateTrail }", EVENT, True),
        ('{ $.eventType = "Trail" }', EVENT, False),
        ("{ $.sourceIPAddress != 123.123.* }", EVENT, True),
        ("{ $.sourceIPAddress = 111.111.* }", EVENT, True),
        ("{ $.eventType = %^Up[a-z]+T% }", EVENT, True),
        ('{ $.arrayKey[0] = "value" }', EVENT, True),
        ('{ $.arrayKey[5] = "value" }', EVENT, False),
        ('{ $.arrayKey[*] = "another value" }', EVENT, True),
        ("{ $.objectList[1].id = 2 }", EVENT, True),
        ("{ $.SomeObject IS NULL }", EVENT, True),
        ("{ $.other IS NULL }", EVENT, False),
        ("{ $.other NOT EXISTS }", EVENT, True),
        ("{ $.on IS TRUE }", EVENT, True),
        ("{ $.on IS FALSE }", EVENT, False),
        ("{ $.['cluster.name'] = \"c\" }", EVENT, True),
        ("{ $.ratio >= 0.5 && $.deep.er.code < 405 }", EVENT, True),
        ("{ ($.deep.er.code = 500 || $.ratio = 5e-1) && $.on IS TRUE }", EVENT, True),
        ("{ $.deep.er.code = 500 || $.deep.er.code = 501 }", EVENT, False),
        ('{ $.other != "x" }', EVENT, False),  # what is not there differs from nothing
        ('{ $.eventType = "UpdateTrail" }', "no json", False),
        ("[ip, server, username, timestamp, request, status_code, bytes]", ACCESS, True),
        ("[ip, server, username, timestamp, request, status_code]", ACCESS, False),
        ("[ip, ..., status_code=4*, bytes]", ACCESS, True),
        ("[..., status_code >= 400 && status_code < 404, bytes]", ACCESS, False),
        ('[ip, server != "Prod", ...]', ACCESS, False),
        ("[ip, server=Test || server=Prod, ...]", ACCESS, True),
        ('[ip, s, u, t, request="*html*", ...]', ACCESS, True),
        ("[...]", ACCESS, True),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', USERS, True),
        (
            '{ $.user.id = 1 || $.coordinates[0][1] = "x" && $.actions[2] = "x" }',
            USERS,
            True,
        ),  # && binds tighter
        ('{ ($.user.id = 1 || $.coordinates[0][1] = "x") && $.actions[2] = "x" }', USERS, False),
        ("{ $.coordinates[1][2] = 6 }", USERS, True),
        ("[ip=%127\\.0\\.0\\.[1-9]%, ...]", ACCESS, True),
        ("[w1!=%WARN%, w2]", "ERROR x", True),
        ('?ERROR ?"exact phrase"', "an exact phrase", True),
    ],
)
def test_a_pattern(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


@pytest.mark.parametrize(
    "pattern",
    ["a-b", "error:", '"open', "{ $.a }", "{ $.a = }", "{ a = 1 }", "{ ($.a = 1 }", "{ $.a = 1", "[a, b", "%(a)%",
     "%[%", "{ $.a < b }", "[..., ...]", "{ $.a IS }", "{ " + "(" * 5000],
)  # fmt: skip
def test_what_is_none(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compile_pattern(pattern)


@given(st.text(alphabet='ab $.[]{}()"%=!<>&|*?-,0é', max_size=60), st.text(max_size=40))
def test_nothing_else_is_raised(pattern: str, message: str) -> None:
    try:
        matches = compile_pattern(pattern)
    except InvalidPattern:
        return
    assert matches(message) in (True, False)
    assert matches(EVENT) in (True, False)


def test_a_regular_expression_that_takes_long_is_given_up() -> None:
    """It is matched where logs are written."""
    matches = compile_pattern("%a*a*a*a*a*a*[bc]$%")
    assert matches("aab")
    begun = time.process_time()
    assert not any(matches("a" * 3000) for _ in range(100))
    assert time.process_time() - begun < 10
    assert not matches("aab")
    assert compile_pattern("%a*a*a*a*a*a*[bc]$%")("aab")
