"""A message of this server's queues is in an event as ReceiveMessage would show it, though nothing asks that."""

from __future__ import annotations

import json

import pytest

from engine.services.sqs.messages import Meta, Wanted, decode, encode, made, received, sequence
from engine.sources.sqs.records import encoded, of_own, record

ARN, REGION = "arn:aws:sqs:us-east-1:000000000000:q", "us-east-1"
ATTRIBUTES = {
    "text": {"DataType": "String", "StringValue": 'a "b"'},
    "bytes": {"DataType": "Binary.png", "BinaryValue": b"\xff\x00"},
}
FIFO = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}


@pytest.mark.promise(339)
@pytest.mark.parametrize("members", [{}, {"MessageAttributes": ATTRIBUTES}])
@pytest.mark.parametrize("suffix", ["", ".fifo"])
@pytest.mark.parametrize("trace", ["", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"])
@pytest.mark.parametrize(
    "meta", [Meta(1), Meta(7, 2, 0, 1_700_000_000_000, bytes(range(16)), "arn:aws:sqs:us-east-1:0:dead")]
)
def test_a_message_is_shown_as_it_is_received(members: dict, suffix: str, trace: str, meta: Meta) -> None:
    members = {"MessageBody": '{"text": "ü\\n"}\t\U0001f600', **members, **(FIFO if suffix else {})}
    lying = encode(made(members, "sender", 1_600_000_000_123, trace))
    shown = received(
        decode(lying), meta, 3, sequence(17) if suffix else None, "handle", Wanted(["All"], ["All"])
    )
    expected = encoded(shown, None, record(shown, ARN + suffix, REGION))
    found = of_own(decode(lying), meta, 17, 3, None, "handle", ARN + suffix, REGION)
    assert json.loads(found.json) == json.loads(expected.json)
    assert list(json.loads(found.json)) == list(json.loads(expected.json)), "in the same order"
    for name in ("id", "group", "trace", "sent"):
        assert getattr(found, name) == getattr(expected, name)
