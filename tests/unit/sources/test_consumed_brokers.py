"""What an embedded engine is told of Kafka and RabbitMQ, as the settings of their consumers have it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from certificates import Authority

from engine import InvalidConfiguration
from engine.consume import Source, Wanted, kafka, rabbitmq
from engine.consume.wanted import settings
from engine.sources.kafka.cluster import find
from engine.sources.rabbitmq.broker import vhost
from engine.sources.settings import Settings

LOGIN: dict[str, Any] = {"username": "u", "password": "p"}
URL = "the URL of a RabbitMQ is amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://…"


def made(source: Source, **wanted: Any) -> Settings:
    return settings(source, "orders", cast(Wanted, wanted), "here")


@pytest.mark.promise(304)
@pytest.mark.parametrize(("wrong", "words"), [
    ({"servers": "broker"}, "'broker' is no server of Kafka: HOST:PORT"),
    ({"servers": "a:1,,b:1"}, "'' is no server of Kafka: HOST:PORT"),
    ({"servers": "kafka://a:1"}, "'kafka://a:1' is no server of Kafka: HOST:PORT"),
    ({"servers": []}, "Kafka's servers: HOST:PORT, at least one"),
    ({"topic": "a/b"}, "'a/b' is no topic's name: up to 249 letters, digits, dots, - and _"),
    ({"topic": ".."}, "'..' is no topic's name: up to 249 letters, digits, dots, - and _"),
    ({"group": ""}, "group is a text that is not empty"),
    ({"sasl": "GSSAPI", **LOGIN}, "sasl='GSSAPI': PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or None"),
    ({"sasl": "PLAIN", "username": "u"}, "sasl='PLAIN' needs username and password"),
    ({"sasl": "PLAIN", "username": "u", "password": 7}, "password is a text that is not empty"),
    (LOGIN, "username and password are for sasl: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
    ({"cert_file": "c"}, "cert_file and key_file go together"),
    ({"key_password": "p"}, "key_password is for key_file"),
    ({"tls": False, "ca_file": "c"}, "ca_file and cert_file are for TLS, which tls=False forbids"),
])  # fmt: skip
def test_a_kafka_that_cannot_be_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        kafka(**{"servers": "a:9092", "topic": "t", **wrong})
    assert str(refused.value) == words


@pytest.mark.promise(304)
@pytest.mark.parametrize(("url", "more", "words"), [
    ("http://a", {}, URL), ("amqp://", {}, URL), ("amqp://secret@a", {}, URL), ("amqp://a:none", {}, URL),
    ("amqp://:secret@a", {}, URL), (b"amqp://a", {}, URL),
    ("amqp://a", {"queue": ""}, "'' is no queue's name: up to 255 bytes"),
    ("amqp://a", {"ca_file": "c"}, "ca_file is for TLS: amqps://…"),
])  # fmt: skip
def test_a_rabbitmq_that_cannot_be_is_refused(url: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        rabbitmq(url, **{"queue": "q", **more})
    assert str(refused.value) == words


@pytest.mark.promise(304)
@pytest.mark.parametrize(("source", "wanted", "words"), [
    (kafka("a:1", "t"), {"parallel": 2}, "parallel is for kinesis, dynamodb, redis, nats, not for kafka"),
    (kafka("a:1", "t"), {"tumbling": 2}, "tumbling is for kinesis, dynamodb, not for kafka"),
    (kafka("a:1", "t"), {"concurrency": 2}, "concurrency is for sqs, not for kafka"),
    (kafka("a:1", "t"), {"start": "NOW"}, "start='NOW': TRIM_HORIZON, LATEST, or epoch seconds"),
    (kafka("a:1", "t"), {"dead_letters": "kafka://t"},
     "dead_letters='kafka://t': a queue's name, or of Kafka kafka://ANOTHER-TOPIC"),
    (rabbitmq("amqp://a", "q"), {"retries": 2},
     "retries is for kinesis, dynamodb, kafka, redis, nats, not for rabbitmq"),
    (rabbitmq("amqp://a", "q"), {"start": "LATEST"},
     "start is for kinesis, dynamodb, kafka, redis, nats, not for rabbitmq"),
    (rabbitmq("amqp://a", "q"), {"report_failures": True},
     "report_failures is for sqs, kinesis, dynamodb, kafka, redis, nats, not for rabbitmq"),
    (rabbitmq("amqp://a", "q"), {"batch_size": 65_536}, "batch_size=65536: up to 65535 of rabbitmq"),
    (kafka("a:1", "t", ca_file="/absent"), {}, "ca_file='/absent': No such file or directory"),
    (kafka("a:1", "t", ca_file="/dev/null"), {}, "ca_file='/dev/null': certificates in PEM"),
    (kafka("a:1", "t", cert_file="/dev/null", key_file="/dev/null"), {},
     "cert_file='/dev/null', key_file='/dev/null': a certificate and its key in PEM, with its key_password"),
])  # fmt: skip
def test_what_they_cannot_do_is_refused(source: Source, wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        made(source, **wanted)
    assert str(refused.value) == words


@pytest.mark.promise(304)
def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for source, module, package in (
        (kafka("a:1", "t"), "aiokafka", "aiokafka"), (rabbitmq("amqp://a", "q"), "aiormq", "aio-pika"),
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InvalidConfiguration) as refused:
            made(source)
        assert str(refused.value) == f'{package} is not installed: pip install "stoker[{source.kind}]"'


@pytest.mark.promise(303)
def test_a_group_keeps_its_name_when_servers_come_and_go() -> None:
    first, other = made(kafka("a:1", "t")), made(kafka(["b:1", "[::1]:2"], "t"))
    assert (first.group, first.member) == (other.group, other.member) == (first.uuid, f"{first.uuid}-here")
    assert other.servers == ("b:1", "[::1]:2")
    named = made(kafka("a:1", "t", group="g"))
    assert (named.group, named.uuid == first.uuid) == ("g", False)
    assert made(kafka("a:1", "t"), name="n").group == "n"


@pytest.mark.promise(304)
def test_a_password_goes_over_tls_but_to_this_machine() -> None:
    def protocol(servers: str, **more: Any) -> Any:
        found = asyncio.run(find(cast(Any, None), made(kafka(servers, "t", **more))))
        return found.options["security_protocol"]

    sasl = {"sasl": "PLAIN", **LOGIN}
    assert protocol("a:1", **sasl) == "SASL_SSL"
    assert protocol("127.0.0.1:1", **sasl) == "SASL_PLAINTEXT"
    assert protocol("127.0.0.1:1", tls=True, **sasl) == "SASL_SSL"
    assert protocol("a:1", tls=False, **sasl) == "SASL_PLAINTEXT"
    assert (protocol("a:1"), protocol("a:1", tls=True)) == ("PLAINTEXT", "SSL")


@pytest.mark.promise(304)
def test_passwords_are_not_shown(tmp_path: Path) -> None:
    certificate, key = Authority().sign("client")
    (tmp_path / "c").write_text(certificate)
    (tmp_path / "k").write_text(key)
    for source in (
        kafka("a:1", "t", sasl="PLAIN", username="u", password="secret", cert_file=tmp_path / "c",
              key_file=tmp_path / "k"),
        rabbitmq("amqp://u:secret@a", "q"),
    ):  # fmt: skip
        shown = repr(source) + repr(made(source))
        assert "secret'" not in shown and "secret@" not in shown and "PRIVATE KEY" not in shown


@pytest.mark.promise(302)
def test_the_parts_of_a_url() -> None:
    found = made(rabbitmq("amqp://us%40er:p%2Fw@host:1/v%2F1?heartbeat=9", "q"))
    assert found.secrets == {"login": {"username": "us@er", "password": "p/w"}}
    assert (vhost(found), found.servers) == ("v/1", ("amqp://host:1?heartbeat=9",))
    assert found.source == "arn:aws-stoker:rabbitmq:::host:1/v%2F1/q"
    plain = made(rabbitmq("amqps://host", "q"))
    assert plain.secrets == {"login": {"username": "guest", "password": "guest"}}
    assert (vhost(plain), plain.source) == ("/", "arn:aws-stoker:rabbitmq:::host:5671/%2F/q")
    assert vhost(made(rabbitmq("amqp://host/", "q"))) == "/"
