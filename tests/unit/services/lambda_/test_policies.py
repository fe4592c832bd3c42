"""Policies in the control plane: what AWS was recorded to response, statement for statement and word for word."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from control_plane import ACCOUNT, ARN, Plane, conflict, invalid, not_found
from hypothesis import given, settings
from hypothesis import strategies as st

FUNCTION = f"{ARN}function:f"
BUCKET = "arn:aws:s3:::bucket"
ABSENT = not_found("The resource you requested does not exist.")
UNATTACHED = not_found("No policy is associated with the given resource.")
WRONG = "00000000-0000-4000-8000-ffffffffffff"


def stale(operation: str) -> tuple[str, str]:
    return (
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {operation} API to retrieve the latest Revision Id",
    )


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """f, its version 1, and the alias live of it."""
    plane.create(Publish=True)
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    return plane


def permission(sid: str = "s3", **more: Any) -> dict[str, Any]:
    return {
        "FunctionName": "f",
        "StatementId": sid,
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
        **more,
    }


def add(plane: Plane, **request: Any) -> dict[str, Any]:
    response = plane.call("AddPermission", **permission(**request))
    assert response.keys() == {"Statement"}
    found: dict[str, Any] = json.loads(response["Statement"])
    return found


def policy(plane: Plane, **request: Any) -> tuple[dict[str, Any], str]:
    response = plane.call("GetPolicy", FunctionName="f", **request)
    assert response.keys() == {"Policy", "RevisionId"}
    return json.loads(response["Policy"]), response["RevisionId"]


def test_a_service_may_invoke_from_one_bucket(plane: Plane) -> None:
    response = plane.call("AddPermission", **permission(SourceArn=BUCKET))
    # The order of the members is AWS's too.
    assert response["Statement"] == (
        '{"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction",'
        f'"Resource":"{FUNCTION}","Condition":{{"ArnLike":{{"AWS:SourceArn":"{BUCKET}"}}}}}}'
    )
    text = plane.call("GetPolicy", FunctionName="f")["Policy"]
    assert text == f'{{"Version":"2012-10-17","Id":"default","Statement":[{response["Statement"]}]}}'


@pytest.mark.parametrize(
    ("request_", "principal", "condition"),
    [
        ({"Principal": "*", "SourceAccount": ACCOUNT}, "*", {"StringEquals": {"AWS:SourceAccount": ACCOUNT}}),
        (
            {"Principal": "lambda.amazonaws.com", "SourceAccount": ACCOUNT},
            {"Service": "lambda.amazonaws.com"},
            {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        ),
        ({"Principal": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, None),
        (
            {"Principal": f"arn:aws:iam::{ACCOUNT}:user/somebody", "SourceAccount": ACCOUNT},
            {"AWS": f"arn:aws:iam::{ACCOUNT}:user/somebody"},
            {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        ),
        (
            {
                "Action": "lambda:InvokeFunctionUrl",
                "Principal": "*",
                "SourceArn": BUCKET,
                "SourceAccount": ACCOUNT,
                "PrincipalOrgID": "o-1234567890",
                "FunctionUrlAuthType": "NONE",
            },
            "*",
            {
                "StringEquals": {
                    "AWS:SourceAccount": ACCOUNT,
                    "lambda:FunctionUrlAuthType": "NONE",
                    "aws:PrincipalOrgID": "o-1234567890",
                },
                "ArnLike": {"AWS:SourceArn": BUCKET},
            },
        ),
        (
            {"Principal": "*", "EventSourceToken": "amzn1.ask.skill.x"},
            "*",
            {"StringEquals": {"lambda:EventSourceToken": "amzn1.ask.skill.x"}},
        ),
        (
            {"Principal": "alexa-appkit.amazon.com"},
            {"Service": "alexa-appkit.amazon.com"},
            None,
        ),
    ],
)
def test_principals_and_conditions(
    plane: Plane, request_: dict[str, Any], principal: Any, condition: dict[str, Any] | None
) -> None:
    action = request_.get("Action", "lambda:InvokeFunction")
    expected = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": principal,
        "Action": action,
        "Resource": FUNCTION,
    }
    assert add(plane, sid="s", **request_) == expected | ({"Condition": condition} if condition else {})


def test_many_statements_come_and_go(plane: Plane) -> None:
    one, two = add(plane, sid="logs", Principal="logs.amazonaws.com"), add(plane, sid="s3")
    document, revision = policy(plane)
    assert document == {"Version": "2012-10-17", "Id": "default", "Statement": [one, two]}
    missing = plane.refused("RemovePermission", FunctionName="f", StatementId="non-existent")
    assert missing == not_found("Statement non-existent is not found in resource policy.")
    assert plane.call("RemovePermission", FunctionName="f", StatementId="s3") == {}
    document, after = policy(plane)
    assert document["Statement"] == [one] and after != revision
    wrong = plane.refused("RemovePermission", FunctionName="f", StatementId="logs", RevisionId=revision)
    assert wrong == stale("GetPolicy")
    plane.call("RemovePermission", FunctionName="f", StatementId="logs", RevisionId=after)
    assert plane.refused("GetPolicy", FunctionName="f") == ABSENT


def test_each_qualifier_has_a_policy_of_its_own(plane: Plane) -> None:
    add(plane)
    before = policy(plane)
    assert plane.refused("GetPolicy", FunctionName="f", Qualifier="1") == ABSENT
    assert add(plane, FunctionName="f:1", Qualifier="1")["Resource"] == f"{FUNCTION}:1"
    assert add(plane, FunctionName="f:live")["Resource"] == f"{FUNCTION}:live"
    assert policy(plane, Qualifier="live")[0]["Statement"][0]["Resource"] == f"{FUNCTION}:live"
    assert policy(plane) == before
    plane.call("DeleteAlias", FunctionName="f", Name="live")
    assert plane.refused("GetPolicy", FunctionName="f", Qualifier="live") == ABSENT
    assert policy(plane) == before


def test_revisions(plane: Plane) -> None:
    """Without a policy, the revision is that of what it is to belong to; then it is the policy's own."""
    alias = plane.call("GetAlias", FunctionName="f", Name="live")["RevisionId"]
    wrong = plane.refused("AddPermission", **permission(Qualifier="live", RevisionId="wrong"))
    assert wrong == stale("GetPolicy")
    add(plane, Qualifier="live", RevisionId=alias)
    assert plane.call("GetAlias", FunctionName="f", Name="live")["RevisionId"] == alias
    _, revision = policy(plane, Qualifier="live")
    again = permission(sid="s3_2", Qualifier="live", RevisionId=alias)
    assert plane.refused("AddPermission", **again) == stale("GetPolicy")
    add(plane, sid="s3_2", Qualifier="live", RevisionId=revision)
    assert len(policy(plane, Qualifier="live")[0]["Statement"]) == 2


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (
            {"sid": "example.com"},
            (
                "ValidationException",
                "1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)",
            ),
        ),
        (
            {"FunctionName": "f:alias-not-42", "Qualifier": "42"},
            invalid("The derived qualifier from the function name does not match the specified qualifier."),
        ),
        (
            {"FunctionName": "f:$LATEST", "Qualifier": "$LATEST"},
            invalid("We currently do not support adding policies for $LATEST."),
        ),
        (
            {"Principal": "invalid.nonaws.com"},
            invalid("The provided principal was invalid. Please check the principal and try again."),
        ),
        ({"FunctionName": "doesnotexist"}, not_found(f"Function not found: {ARN}function:doesnotexist")),
        ({"FunctionName": "f:absent"}, not_found(f"Cannot find alias arn: {FUNCTION}:absent")),
        ({"Qualifier": "42"}, not_found(f"Function not found: {FUNCTION}:42")),
        (
            {"Qualifier": "valid-with-$-but-doesnotexist"},
            not_found(f"Function not found: {FUNCTION}:valid-with-$-but-doesnotexist"),
        ),
    ],
)
def test_add_refuses(plane: Plane, request_: dict[str, Any], fault: tuple[str, str]) -> None:
    assert plane.refused("AddPermission", **permission(**request_)) == fault
    assert plane.refused("GetPolicy", FunctionName="f") == ABSENT


def test_a_statement_is_added_once(plane: Plane) -> None:
    add(plane)
    assert plane.refused("AddPermission", **permission()) == conflict(
        "The statement id (s3) provided already exists. "
        "Please provide a new statement id, or remove the existing statement."
    )


def test_get_and_remove_refuse(plane: Plane) -> None:
    assert plane.refused("GetPolicy", FunctionName="doesnotexist") == ABSENT
    assert plane.refused("GetPolicy", FunctionName="f", Qualifier="77") == ABSENT
    remove = "RemovePermission"
    assert plane.refused(remove, FunctionName="f", StatementId="s3") == UNATTACHED
    assert plane.refused(remove, FunctionName="doesnotexist", StatementId="s3") == not_found(
        f"No policy found for: {ARN}function:doesnotexist"
    )
    assert plane.refused(remove, FunctionName="f", StatementId="s3", Qualifier="absent") == not_found(
        f"Cannot find alias arn: {FUNCTION}:absent"
    )


def test_a_policy_is_at_most_20_kb(plane: Plane) -> None:
    arn = f"{BUCKET}/" + "x" * 9000
    add(plane, sid="one", SourceArn=arn)
    add(plane, sid="two", SourceArn=arn)
    code, message = plane.refused("AddPermission", **permission(sid="three", SourceArn=arn))
    assert code == "PolicyLengthExceededException"
    assert message is not None and message.endswith("is bigger than the limit (20480).")
    assert len(policy(plane)[0]["Statement"]) == 2


def test_a_whole_policy(plane: Plane) -> None:
    """The resource policy and the permissions are one policy."""
    named = {"ResourceArn": FUNCTION}
    assert plane.refused("GetResourcePolicy", **named) == ABSENT
    assert plane.refused("DeleteResourcePolicy", **named) == ABSENT
    add(plane)
    document = {
        "Version": "2012-10-17",
        "Id": "mine",
        "Statement": [
            {
                "Sid": "deny",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "lambda:InvokeFunction",
                "Resource": FUNCTION,
            }
        ],
    }
    _, revision = policy(plane)
    request = {**named, "Policy": json.dumps(document)}
    wrong = plane.refused("PutResourcePolicy", **request, RevisionId=WRONG)
    assert wrong == stale("GetResourcePolicy")
    put = plane.call("PutResourcePolicy", **request, RevisionId=revision)
    assert put == plane.call("GetResourcePolicy", **named)
    assert policy(plane) == (json.loads(put["Policy"]), put["RevisionId"])
    assert json.loads(put["Policy"]) == document
    added = add(plane)
    after, _ = policy(plane)
    assert after == {**document, "Statement": [*document["Statement"], added]}
    wrong = plane.refused("DeleteResourcePolicy", **named, RevisionId=put["RevisionId"])
    assert wrong == stale("GetResourcePolicy")
    assert plane.call("DeleteResourcePolicy", **named) == {}
    assert plane.refused("GetPolicy", FunctionName="f") == ABSENT


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '"s"', '{"Statement":[1]}', '{"Statement":[{"Effect":"Maybe"}]}']
)
def test_what_is_no_policy(plane: Plane, text: str) -> None:
    code, _ = plane.refused("PutResourcePolicy", ResourceArn=FUNCTION, Policy=text)
    assert code == "InvalidParameterValueException"


def test_policies_survive_and_go_with_the_function(plane: Plane) -> None:
    add(plane)
    add(plane, Qualifier="live")
    before = policy(plane), policy(plane, Qualifier="live")
    plane.close()
    again = Plane(plane.folder)
    assert (policy(again), policy(again, Qualifier="live")) == before
    again.call("DeleteFunction", FunctionName="f")
    again.create(Publish=True)
    assert again.refused("GetPolicy", FunctionName="f") == ABSENT
    assert again.refused("GetPolicy", FunctionName="f", Qualifier="live") == ABSENT
    again.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), max_size=12))
def test_any_order_of_adding_and_removing(steps: list[tuple[bool, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plane = Plane(Path(folder))
        plane.create()
        there: list[str] = []
        for adding, sid in steps:
            if adding and sid not in there:
                add(plane, sid=sid)
                there.append(sid)
            elif adding:
                assert plane.refused("AddPermission", **permission(sid))[0] == "ResourceConflictException"
            elif sid in there:
                plane.call("RemovePermission", FunctionName="f", StatementId=sid)
                there.remove(sid)
            else:
                code, _ = plane.refused("RemovePermission", FunctionName="f", StatementId=sid)
                assert code == "ResourceNotFoundException"
            if there:
                assert [each["Sid"] for each in policy(plane)[0]["Statement"]] == there
            else:
                assert plane.refused("GetPolicy", FunctionName="f") == ABSENT
        plane.close()
