"""The query protocol, where botocore does not go: forms that name no operation, or cannot be read, and their errors."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from model_shapes import SERVICES, request

from engine.aws.faults import Fault

STS, SNS = SERVICES["sts"], SERVICES["sns"]
ID = "11111111-2222-3333-4444-555555555555"
VERSION = "&Version=2010-03-31"


@pytest.mark.parametrize(
    ("form", "code", "message"),
    [
        ("", "MissingAction", "The request is missing an action or a required parameter."),
        (
            "Action=&Version=2011-06-15",
            "MissingAction",
            "The request is missing an action or a required parameter.",
        ),
        ("Action=A&Action=GetCallerIdentity&Version=2011-06-15", "MissingAction", None),
        ("&a=1" * 5000, "MissingAction", None),
        (
            "Action=Other&Version=2011-06-15",
            "InvalidAction",
            "Could not find operation Other for version 2011-06-15",
        ),
        (
            "Action=GetCallerIdentity",
            "InvalidAction",
            "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED",
        ),
    ],
)
def test_what_names_no_operation(form: str, code: str, message: str | None) -> None:
    for sent in (request("POST", "/", body=form.encode()), request("GET", "/", form)):
        with pytest.raises(Fault) as caught:
            STS.match(sent)
        assert caught.value.code == code
        assert message in (None, caught.value.message)


def test_a_form_may_stand_in_the_query() -> None:
    operation, labels = STS.match(request("GET", "/", "Action=GetCallerIdentity&Version=2011-06-15"))
    assert operation.name == "GetCallerIdentity"
    assert STS.parse(operation, labels, request("GET", "/")) == {}


def parsed(form: str) -> object:
    sent = request("POST", "/", body=(form + VERSION).encode())
    operation, labels = SNS.match(sent)
    return SNS.parse(operation, labels, sent)


def test_members_are_in_the_order_of_their_numbers() -> None:
    form = "Action=TagResource&Tags.member.10.Key=j&Tags.member.2.Key=b&Tags.member.x.Key=n&ResourceArn=a%26%C3%A9"
    assert parsed(form) == {"ResourceArn": "a&é", "Tags": [{"Key": "b"}, {"Key": "j"}]}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            "Action=Subscribe&Endpoint.EndpointArn=x",
            "Start of list found where not expected",
        ),  # as AWS has it
        ("Action=Subscribe&Attributes=x", "Expected map or null"),
        ("Action=TagResource&Tags=x", "Expected list or null"),
        ("Action=TagResource&Tags.member.1=x", "Expected null"),
        ("Action=ListSMSSandboxPhoneNumbers&MaxResults=x", "STRING_VALUE can not be converted to an Integer"),
        ("Action=Subscribe&ReturnSubscriptionArn=x", "STRING_VALUE can not be converted to an Boolean"),
    ],
)
def test_what_cannot_be_read(form: str, message: str) -> None:
    with pytest.raises(Fault) as caught:
        parsed(form)
    assert caught.value.message == message
    response = SNS.error(caught.value, ID)
    assert response.status == 400
    assert ElementTree.fromstring(response.body).findtext(".//{*}Code") == "MalformedInput"


@pytest.mark.parametrize(
    ("code", "status", "side", "named"),
    [
        ("InvalidSignatureException", 403, "Sender", "SignatureDoesNotMatch"),
        ("NotImplementedException", 501, "Receiver", "NotImplemented"),
        ("ServiceException", 500, "Receiver", "InternalFailure"),
        ("InvalidAction", 400, "Sender", "InvalidAction"),
    ],
)
def test_errors_of_the_front_door(code: str, status: int, side: str, named: str) -> None:
    response = STS.error(Fault(code, "a\x00b<\ud800"), ID)
    root = ElementTree.fromstring(response.body)
    assert response.status == status
    assert (root.findtext(".//{*}Type"), root.findtext(".//{*}Code")) == (side, named)
    assert root.findtext(".//{*}Message") == "a\ufffdb<\ufffd"
