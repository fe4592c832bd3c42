"""An embedded engine's functions consume topics of Kafka and queues of RabbitMQ.

A member of a consumer group waits for seconds until it has its partitions: what most tests consume begins together.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from brokered import SOURCE, records, text
from certificates import Authority
from kafka_and_rabbitmq import Kafka, Rabbit, free_port
from kafka_door import Behind, Door, fill
from served import ROOT
from support import until

from engine import Consumption, Engine
from engine.consume import Source, kafka, rabbitmq

VALUE = {"value": {"n": [1]}}
# By the topic's name: how it is consumed.
TOPICS: dict[str, dict[str, Any]] = {
    "order": {"batch_size": 2},
    "given-up": {"batch_size": 4, "retries": 1, "bisect": True, "dead_letters": "dead"},
    "to-a-topic": {"retries": 0, "dead_letters": "kafka://letters"},
    "reports": {"report_failures": True},
    "filters": {"filters": [VALUE]},
    "latest": {"start": "LATEST"},
}


class Noted:
    """A function's code, and what it was invoked with."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.note, self.gate = name, folder / f"{name}.note", folder / f"{name}.gate"
        self.note.touch()
        self.code = folder / name
        self.code.mkdir()
        paths = {"NOTE": repr(str(self.note)), "GATE": repr(str(self.gate))}
        source = SOURCE
        for each, path in paths.items():
            source = source.replace(each, path)
        (self.code / "app.py").write_text(source)

    def consume(self, engine: Engine, source: Source, **wanted: Any) -> Consumption:
        return engine.consume(
            engine.function("app:handler", code=self.code, name=self.name), source, **wanted
        )

    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.note.read_text().splitlines() if line.endswith("}")]

    def batches(self) -> list[list[str]]:
        return [[text(record) for record in records(event)] for event in self.events()]

    def texts(self) -> list[str]:
        return [each for batch in self.batches() for each in batch]

    def wait(self, count: int) -> None:
        until(lambda: len(self.texts()) >= count, what=f"{count} records")


@pytest.fixture(scope="module")
def kafka_server() -> Iterator[Kafka]:
    made = Kafka()
    made.start()
    made.create("letters")
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


PROGRAM = """
import json, sys, time
from engine import Engine
from engine.consume import Source
state, code, source = sys.argv[1:]
with Engine(state=state) as engine:
    function = engine.function("app:handler", code=code, name="noted", timeout=900)
    engine.consume(function, Source(**json.loads(source)), batch_size=10)
    time.sleep(600)
"""


class Program:
    """One that consumes what is there already, 300 records in batches of 10, until it is killed within one."""

    def __init__(self, folder: Path, source: Source, put: Callable[..., Any]) -> None:
        self.source, self.put = source, put
        self.texts = [*map(str, range(300))]
        self.texts[155] = "wait"
        put(*self.texts)
        self.noted, self.state = Noted(folder, "noted"), folder / "state"
        described = json.dumps({"kind": source.kind, "options": dict(source.options)})
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.state), str(self.noted.code), described],
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def kafka_program(kafka_server: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    kafka_server.create("program")
    source = kafka(kafka_server.servers, "program")
    made = Program(
        tmp_path_factory.mktemp("kafka"), source, lambda *texts: kafka_server.put("program", *texts)
    )
    yield made
    made.kill()


@pytest.fixture(scope="module")
def rabbitmq_program(rabbit: Rabbit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    rabbit.declare("program")
    source = rabbitmq(rabbit.url, "program")
    made = Program(tmp_path_factory.mktemp("program"), source, lambda *texts: rabbit.send("program", *texts))
    yield made
    made.kill()


class Consumed:
    def __init__(self, noted: Noted, consumption: Consumption) -> None:
        self.noted, self.consumption = noted, consumption


@pytest.fixture(scope="module")
def consumed(
    engine: Engine, kafka_server: Kafka, kafka_program: Program, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Consumed]:
    folder = tmp_path_factory.mktemp("topics")

    def begun(topic: str) -> Consumed:
        noted, source = Noted(folder, topic), kafka(kafka_server.servers, topic, group=f"{topic}-group")
        return Consumed(noted, noted.consume(engine, source, **TOPICS[topic]))

    for topic in TOPICS:
        kafka_server.create(topic, 2)
        kafka_server.put(topic, "before", partition=0)
    with ThreadPoolExecutor(len(TOPICS)) as threads:
        return dict(zip(TOPICS, threads.map(begun, TOPICS), strict=True))


@pytest.mark.promise(301)
def test_a_partition_is_in_order_and_its_offset_behind_what_is_done(
    consumed: dict[str, Consumed], kafka_server: Kafka
) -> None:
    order = consumed["order"]
    kafka_server.put("order", *map(str, range(20)), partition=1)
    order.noted.wait(21)
    events = order.noted.events()
    assert [len(batch) for batch in order.noted.batches() if batch != ["before"]] == [2] * 10
    first = [text(each) for event in events for each in records(event) if each["partition"] == 1]
    assert first == [*map(str, range(20))]
    (event,) = [event for event in events if "order-0" in event["records"]]
    assert (event["eventSource"], event["bootstrapServers"]) == ("aws:SelfManagedKafka", kafka_server.servers)
    until(lambda: kafka_server.committed("order", "order-group", 2) == {0: 1, 1: 20}, what="the offsets")
    stats = order.consumption.stats()
    assert (stats["state"], stats["result"], stats["InvokedEventCount"]) == ("running", "OK", 21)


@pytest.mark.promise(301)
def test_a_batch_that_fails_comes_again_is_split_and_given_up(
    consumed: dict[str, Consumed], engine: Engine, kafka_server: Kafka
) -> None:
    noted = consumed["given-up"].noted
    noted.wait(1)
    kafka_server.put("given-up", "a", "fail", "b", partition=0)
    dead = engine.queue("dead")
    (letter,) = until(lambda: dead.receive(1, wait=1), what="the dead letter")
    noted.wait(3)
    until(lambda: "b" in noted.texts(), what="what comes after it")
    assert letter.value["requestContext"]["condition"] == "RetryAttemptsExhausted"
    (info,) = letter.value["KafkaBatchInfo"]["recordsInfo"].values()
    assert (info["firstRecordOffset"], info["lastRecordOffset"]) == ("2", "2")
    assert [text(each) for each in records(letter.value["payload"])] == ["fail"]
    assert noted.batches().count(["fail"]) == 2
    assert [*dict.fromkeys(each for each in noted.texts() if each != "fail")] == ["before", "a", "b"]


@pytest.mark.promise(301)
def test_what_is_given_up_goes_to_a_topic(consumed: dict[str, Consumed], kafka_server: Kafka) -> None:
    noted = consumed["to-a-topic"].noted
    noted.wait(1)
    kafka_server.put("to-a-topic", {"key": "k", "value": "fail"}, partition=0)
    (written,) = kafka_server.read("letters", 1)
    assert (written.key, json.loads(written.value)["KafkaBatchInfo"]["recordInfo"]["offset"]) == (b"k", "1")


@pytest.mark.promise(301)
def test_a_report_filters_and_where_it_begins(consumed: dict[str, Consumed], kafka_server: Kafka) -> None:
    reports, filters, latest = (consumed[name].noted for name in ("reports", "filters", "latest"))
    reports.wait(1)
    kafka_server.put("reports", "a", "bad", "b", partition=0)
    kafka_server.put("filters", '{"n": 2}', '{"n": 1}', partition=0)
    kafka_server.put("latest", "after", partition=0)
    until(lambda: reports.texts().count("bad") > 1, what="another attempt")
    reports.gate.touch()
    until(lambda: reports.texts()[-1] == "b" and reports.texts().count("bad") > 2, what="what is behind it")
    until(lambda: kafka_server.committed("reports", "reports-group") == {0: 4}, what="the offset of all")
    assert reports.texts().count("a") == 1
    filters.wait(2)
    until(lambda: consumed["filters"].consumption.stats().get("FilteredOutEventCount") == 1, what="the count")
    assert filters.texts() == ["before", '{"n": 1}']  # text is no other value, but none: as on AWS
    latest.wait(1)
    assert latest.texts() == ["after"]


@pytest.mark.promise(302)
def test_a_queue_of_a_virtual_host_by_its_url(engine: Engine, rabbit: Rabbit, tmp_path: Path) -> None:
    host, user, password = "v/1", "us@er", "p:/%?w"
    everything = dict.fromkeys(("configure", "read", "write"), ".*")
    definitions = {
        "vhosts": [{"name": host}],
        "users": [{"name": user, "password": password, "tags": ""}],
        "permissions": [{"user": each, "vhost": host, **everything} for each in (user, "guest")],
    }
    (tmp_path / "definitions").write_text(json.dumps(definitions))
    rabbit.control("import_definitions", str(tmp_path / "definitions"))
    rabbit.declare("q", host)
    rabbit.send("q", *map(str, range(30)), vhost=host)
    noted = Noted(tmp_path, "vhost")
    url = f"amqp://us%40er:p%3A%2F%25%3Fw@127.0.0.1:{rabbit.port}/v%2F1?heartbeat=30"
    consumption = noted.consume(engine, rabbitmq(url, "q"), batch_size=10, window=300.0)
    noted.wait(30)
    assert [len(batch) for batch in noted.batches()] == [10, 10, 10]
    assert noted.texts() == [*map(str, range(30))]
    event = noted.events()[0]
    assert [*event["rmqMessagesByQueue"]] == ["q::v/1"]
    where = f"arn:aws-stoker:rabbitmq:::127.0.0.1:{rabbit.port}/v%2F1/q"
    assert (event["eventSource"], event["eventSourceArn"]) == ("aws:rmq", where)
    until(lambda: consumption.stats().get("DeletedEventCount") == 30, what="the acknowledgements")
    consumption.close()


@pytest.mark.promise(302)
def test_a_batch_of_messages_that_fails_comes_again_before_the_rest(
    engine: Engine, rabbit: Rabbit, tmp_path: Path, name: str
) -> None:
    rabbit.declare(name)
    rabbit.send(name, "fail", *"1234")
    noted = Noted(tmp_path, "again")
    consumption = noted.consume(
        engine, rabbitmq(rabbit.url, name), batch_size=2, filters=[{"data": ["fail", "1", "3", "4"]}]
    )
    until(lambda: len(noted.texts()) > 4, what="another attempt")
    assert set(noted.texts()) == {"fail", "1"}
    assert consumption.stats()["result"] == "PROBLEM: Function call failed"
    noted.gate.touch()
    until(lambda: consumption.stats()["result"] == "OK" and noted.texts()[-1] == "4", what="the last")
    consumption.close()
    assert [*dict.fromkeys(noted.texts())] == ["fail", "1", "3", "4"]
    assert rabbit.length(name) == 0


@pytest.mark.promise(303)
@pytest.mark.parametrize("kind", ["kafka", "rabbitmq"])
def test_the_next_program_goes_on_pauses_resumes_and_closes(
    kind: str, request: pytest.FixtureRequest
) -> None:
    program: Program = request.getfixturevalue(f"{kind}_program")
    noted, put = program.noted, program.put
    until(lambda: "wait" in noted.texts(), what="the batch that it is killed in")
    program.kill()
    had = noted.batches()
    count = sum(map(len, had))
    assert noted.texts() == program.texts[:count]
    noted.gate.touch()
    with Engine(state=program.state) as engine:
        consumption = noted.consume(engine, program.source, batch_size=10)
        until(lambda: noted.texts()[-1] == "299", what="all of them")
        rest = noted.texts()[count:]
        assert rest == program.texts[-len(rest) :]
        assert len(rest) >= 300 - count + len(had[-1])  # the batch that it had comes again
        noted.gate.unlink()
        put("wait", "1000")
        until(lambda: noted.texts()[-1:] in (["wait"], ["1000"]), what="a batch in flight")
        with ThreadPoolExecutor(1) as threads:
            pausing = threads.submit(consumption.pause)
            until(lambda: consumption.stats()["state"] == "paused", what="the pause")
            assert not pausing.done()
            noted.gate.touch()
            pausing.result()
        before = noted.texts()
        put("1001")
        consumption.resume()
        until(lambda: noted.texts()[-1] == "1001", what="what came meanwhile")
        again = noted.texts()[len(before) :]
        assert again in (["1001"], ["1000", "1001"])  # what was settled does not come again
        until(lambda: consumption.stats()["result"] == "OK", what="OK")
        consumption.close()
        assert repr(consumption) == "<Consumption closed>"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.promise(304)
def test_credentials_are_given_with_the_source(
    engine: Engine, rabbit: Rabbit, authority: Authority, tmp_path: Path, name: str
) -> None:
    ca, certificate, key = (tmp_path / each for each in ("ca", "certificate.pem", "key.pem"))
    signed = authority.sign("client")
    for path, pem in zip((ca, certificate, key), (authority.certificate, *signed), strict=True):
        path.write_text(pem)
    trusting = ssl.create_default_context(cadata=authority.certificate)
    trusting.load_cert_chain(certificate, key)
    (tmp_path / "doors").mkdir()
    behind = Behind(tmp_path / "doors", authority)
    files: dict[str, Any] = {"ca_file": ca, "cert_file": certificate, "key_file": key}
    try:
        scram, plain = behind.door("SCRAM-SHA-512", tls=True, mutual=True), behind.door("PLAIN")
        login = {"sasl_plain_username": "u", "sasl_plain_password": "right"}
        fill(
            scram, security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", ssl_context=trusting, **login
        )
        fill(plain, security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", **login)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(behind.folder / "certificate", behind.folder / "key")
        behind.open.append(Door(free_port(), rabbit.port, tls=context))
        secured = f"amqps://guest:guest@127.0.0.1:{behind.open[-1].port}"
        rabbit.declare(name)
        rabbit.send(name, "1")
        sources = {
            "scram": kafka(scram, "topic", sasl="SCRAM-SHA-512", username="u", password="right", **files),
            "plain": kafka(plain, "topic", sasl="PLAIN", username="u", password="right"),
            "secured": rabbitmq(secured, name, ca_file=ca),
            "wrong": kafka(plain, "topic", sasl="PLAIN", username="u", password="wrong"),
            "strange": kafka(scram, "topic", sasl="SCRAM-SHA-512", username="u", password="right", tls=True),
            "guest": rabbitmq(f"amqp://guest:wrong@127.0.0.1:{rabbit.port}", name),
            "untrusted": rabbitmq(secured, name),
            "absent": rabbitmq(rabbit.url, "absent"),
        }
        noted = {each: Noted(tmp_path, each) for each in sources}
        with ThreadPoolExecutor(len(sources)) as threads:
            begun = dict(
                zip(
                    sources,
                    threads.map(lambda each: noted[each].consume(engine, sources[each]), sources),
                    strict=True,
                )
            )
        for each, words in {
            "wrong": "PROBLEM: SASL authentication failed.",
            "strange": "PROBLEM: Lambda failed to authenticate server.",
            "guest": "PROBLEM: Broker failed to authenticate Lambda.",
            "untrusted": "PROBLEM: Lambda failed to authenticate server.",
            "absent": "PROBLEM: Event source not found: queue absent in the virtual host / does not exist.",
        }.items():
            until(lambda each=each, words=words: begun[each].stats()["result"].startswith(words), what=words)
        for each in ("scram", "plain", "secured"):
            noted[each].wait(1)
            assert noted[each].texts() == ["1"]
        rabbit.declare("absent")  # it is waited for
        rabbit.send("absent", "1")
        noted["absent"].wait(1)
        for consumption in begun.values():
            consumption.close()
    finally:
        behind.close()
