"""Whom a function's resource policy lets invoke it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine.durable.state import State
from engine.hosting.permissions import may_invoke

SOURCE = "arn:aws:logs:us-east-1:000000000000:log-group:/g:*"


class Policies:
    """A state with one policy."""

    def __init__(self, statement: Any) -> None:
        self.record = {"Document": {"Statement": statement}}

    def get(self, table: str, owner: str, id: str = "") -> Any:
        return self.record if (table, owner, id) == ("policy", "f", "live") else None


def allowed(*statements: dict[str, Any], qualifier: str = "live") -> bool:
    state = cast(State, Policies(list(statements) if len(statements) > 1 else statements[0]))
    return may_invoke(state, "f", qualifier, "logs.amazonaws.com", SOURCE, "000000000000")


def statement(**more: Any) -> dict[str, Any]:
    made = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Principal": {"Service": "logs.amazonaws.com"},
    }
    return {**made, **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"Action": "lambda:*"}, True),
        ({"Action": ["lambda:GetFunction", "LAMBDA:invokefunction"]}, True),
        ({"Action": "lambda:GetFunction"}, False),
        ({"Principal": {"Service": ["sns.amazonaws.com", "logs.eu-west-1.amazonaws.com"]}}, True),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"Principal": {"Service": "catalogs.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::000000000000:root"}}, False),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": "*"}, True),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:logs:*:*:log-group:/g:*"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:logs:*:*:log-group:/h:*"}}}, False),
        ({"Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:logs:*"}}}, False),
        ({"Condition": {"ArnLikeIfExists": {"aws:SourceArn": SOURCE}}}, True),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": "000000000000"}}}, True),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": "0000*"}}}, False),
        ({"Condition": {"StringLike": {"AWS:SourceAccount": ["1", "0000*"]}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, False),
        ({"Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}}, False),
        ({"Effect": "Deny"}, False),
    ],
)  # fmt: skip
def test_one_statement(given: dict[str, Any], expected: bool) -> None:
    assert allowed(statement(**given)) is expected


def test_several() -> None:
    assert allowed(statement(Action="x:y"), statement())
    assert not allowed(statement(), statement(Effect="Deny"))
    assert not allowed(statement(), qualifier="")


def test_what_is_not_known_lets_nobody_in_and_keeps_out_whom_it_denies() -> None:
    unknown = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}
    assert not allowed(statement(**unknown), statement(Effect="Deny", **unknown))
    assert not allowed(statement(), statement(Effect="Deny", **unknown))
