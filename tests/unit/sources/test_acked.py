"""What is held of a broker's stream, where a consumer group begins, and sources that AWS has not."""

from __future__ import annotations

import json

import pytest
from nats.aio.msg import Msg

from engine.aws.faults import Fault
from engine.aws.names import Place
from engine.services.lambda_ import own_sources
from engine.sources.acked.broker import Held
from engine.sources.acked.jetstream import About, JetStream
from engine.sources.acked.redis_streams import RedisStream, _before, _order, _previous, _seen, _texts
from engine.sources.settings import Settings
from engine.sources.streams.api import Position


def test_what_is_held_is_known_by_the_order_in_which_it_was_read() -> None:
    held: Held[str] = Held()
    assert [held.add(id, f"first {id}") for id in ("3", "1", "2")] == [True, True, True]
    assert held.add("1", "second 1") is False  # it came twice: the newer handle counts
    assert held.until("1") == {"3": "first 3", "1": "second 1"}
    assert held.until("9") == {}
    held.drop(held.until("1"))
    assert (held.ids, len(held), "3" in held) == (["2"], 1, False)


def test_ids_are_numbers() -> None:
    assert _order("10-2") > _order("9-30")
    assert _order("") < _order("0-1")
    assert [_previous("5-1"), _previous("5-0"), _previous("0-0")] == [
        "5-0", "4-18446744073709551615", "0-0",
    ]  # fmt: skip


def test_where_a_group_begins() -> None:
    assert [_before(Position()), _before(Position("LATEST"))] == ["0-0", "$"]
    assert _before(Position("AT_TIMESTAMP", 1.5)) == "1499-18446744073709551615"


def test_fields_are_texts_and_filters_see_objects() -> None:
    assert _texts([b"a", "ü".encode(), b"b", b"\xff"]) == ({"a": "ü", "b": "/w=="}, ["b"])
    assert [_seen('{"n": 1}'), _seen("{no"), _seen("[1]")] == [{"n": 1}, "{no", "[1]"]


@pytest.mark.promise(234)
def test_secrets_are_kept_and_not_shown() -> None:
    source = {"Type": "redis", "Url": "rediss://u:secret@host:7000/2?x=secret", "Stream": "s"}
    found = own_sources.members(source, Place("us-east-1", "000000000000"))
    assert found["_source"] == source
    assert found["Source"]["Url"] == "rediss://***@host:7000/2"
    assert found["EventSourceArn"] == "arn:aws-stoker:redis:us-east-1:000000000000:host:7000/2/s"


@pytest.mark.promise(236)
def test_a_source_is_of_a_known_type_with_its_members() -> None:
    right = {"Type": "nats", "Url": "nats://host", "Stream": "S", "Subject": "a.>"}
    assert own_sources.kind_of(right) == "nats"
    assert own_sources.address("nats", "tls://u:p@host") == "host:4222"
    assert own_sources.address("redis", "unix:///run/redis.sock") == "/run/redis.sock"
    for wrong in (
        {"Type": "mqtt"},
        {"Url": "redis://host"},
        {"Url": "nats://"},
        {"Stream": ""},
        {"Group": "g"},
    ):
        with pytest.raises(Fault):
            own_sources.kind_of({**right, **wrong})


@pytest.mark.promise(321)
@pytest.mark.parametrize("fields", [{b"body": b'{"n": "%d"}'}, {b"%b": b"\xff", b'"': b"text"}])
def test_an_event_has_entries_of_redis_as_they_are_described(fields: dict[bytes, bytes]) -> None:
    stream = 'a "%s" stream'
    settings = Settings.of(
        Place("us-east-1", "000000000000"),
        {
            "UUID": "u", "_kind": "redis", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "BatchSize": 10, "EventSourceArn": "arn:%s", "_source": {"Url": "redis://h", "Stream": stream},
            "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
        },
    )  # fmt: skip
    flat = [part for pair in fields.items() for part in pair]
    raw = RedisStream(settings)._raw(b"1526919030474-7", "1526919030474-7", flat, b"2")
    texts, binary = _texts(flat)
    own = {
        "stream": stream, "group": "stoker-u", "id": "1526919030474-7", "deliveries": 2,
        "approximateArrivalTimestamp": 1526919030.474, "fields": texts, **({"binary": binary} if binary else {}),
    }  # fmt: skip
    about = {
        "eventSource": "stoker:redis", "eventVersion": "1.0", "eventID": f"{stream}:1526919030474-7",
        "eventName": "stoker:redis:entry", "eventSourceARN": "arn:%s",
    }  # fmt: skip
    assert json.loads(raw.json) == {"redis": own, **about}
    assert raw.seen is not None
    assert raw.seen() == {**about, **own, "fields": {name: _seen(text) for name, text in texts.items()}}


@pytest.mark.promise(337)
@pytest.mark.parametrize("domain", ["", "hub.ACCOUNT."])
@pytest.mark.parametrize("headers", [None, {"Nats-Msg-Id": '"1"'}])
def test_an_event_has_messages_of_nats_as_they_are_described(
    domain: str, headers: dict[str, str] | None
) -> None:
    stream = "ORDERS%s"
    settings = Settings.of(
        Place("us-east-1", "000000000000"),
        {
            "UUID": "u", "_kind": "nats", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "BatchSize": 10, "EventSourceArn": "arn:%s", "_source": {"Url": "nats://h", "Stream": stream},
            "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
        },
    )  # fmt: skip
    tail = ".4.token" if domain else ".4"
    reply = f"$JS.ACK.{domain}{stream}.stoker-u.2.17.9.1526919030474000000{tail}"
    message = Msg(None, "orders.%d", reply, b"\xff{}", headers)  # type: ignore[arg-type]
    raw = JetStream(settings)._raw(message, About.of(reply))
    own = {
        "stream": stream, "consumer": "stoker-u", "subject": "orders.%d", "sequence": 17, "deliveries": 2,
        "approximateArrivalTimestamp": 1526919030.474, "headers": headers or {}, "data": "/3t9",
    }  # fmt: skip
    about = {
        "eventSource": "stoker:nats", "eventVersion": "1.0", "eventID": f"{stream}:17",
        "eventName": "stoker:nats:message", "eventSourceARN": "arn:%s",
    }  # fmt: skip
    assert json.loads(raw.json) == {"nats": own, **about}
    assert raw.seen is not None
    assert raw.seen() == {**about, **own}
    assert (raw.id, raw.group, raw.arrived, raw.data) == ("17", "orders.%d", 1526919030.474, b"\xff{}")
    metadata = message.metadata  # as the client library reads it
    assert About.of(reply)[:2] == (metadata.num_delivered, metadata.sequence.stream)
