"""Live tail: what a session gets of what is written, in the log's real process and as its event stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from engine.aws.faults import Fault
from engine.aws.messages import Request
from engine.aws.names import Place
from engine.services.logs import live, tails
from engine.services.logs.api import LogsApi
from engine.services.logs.pattern import InvalidPattern
from engine.services.logs.process import LogsProcess
from engine.services.logs.store import LogNotFound, LogStore
from engine.services.logs.tails import Tails

G, H = "/g", "/h"
HERE = Place("us-east-1", "000000000000")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    made = LogStore(tmp_path / "logs")
    made.create_group(G)
    made.create_group(H)
    yield made
    made.close()


@pytest.fixture
def sessions(store: LogStore) -> Tails:
    found = LogsApi(store, HERE.region, HERE.account).tails
    store.on_events = lambda meta, events: found.written(meta.name, events)
    return found


def start(sessions: Tails, groups: list[str], **members: Any) -> str:
    made = sessions.start_live_tail({"logGroupIdentifiers": groups, **members})
    return str(made["responseStream"]["sessionStart"]["sessionId"])


def taken(sessions: Tails, number: str) -> tuple[list[str], bool]:
    found = sessions.taken(number, False)
    assert found is not None
    return [f"{each.group} {each.stream} {each.message}" for each in found[0]], found[1]


def put(store: LogStore, group: str, stream: str, *messages: str) -> None:
    now = int(time.time() * 1000)
    store.append(group, stream, [(now, message) for message in messages])
    store.flush()


@pytest.mark.promise(292)
def test_what_a_session_selects(store: LogStore, sessions: Tails) -> None:
    put(store, G, "s", "before it")
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{G}"
    both = start(sessions, [arn, H])
    errors = start(sessions, [G], logEventFilterPattern='{ $.level = "ERROR" }')
    named = start(sessions, [G], logStreamNames=["s"])
    prefixed = start(sessions, [G], logStreamNamePrefixes=["t", "u"])
    put(store, G, "s", '{"level": "ERROR"}', "two")
    put(store, G, "t1", "three")
    put(store, H, "s", "four")
    assert taken(sessions, both) == (
        [f'{arn} s {{"level": "ERROR"}}', f"{arn} s two", f"{arn} t1 three", "/h s four"], False,
    )  # fmt: skip
    assert taken(sessions, errors) == (['/g s {"level": "ERROR"}'], False)
    assert taken(sessions, named) == (['/g s {"level": "ERROR"}', "/g s two"], False)
    assert taken(sessions, prefixed) == (["/g t1 three"], False)
    assert taken(sessions, both) == ([], False)
    assert sessions.taken(both, True) is not None
    assert sessions.taken(both, False) is None


@pytest.mark.promise(292)
def test_of_too_many_a_sample(store: LogStore, sessions: Tails) -> None:
    number = start(sessions, [G])
    put(store, G, "s", *(f"{n:05}" for n in range(tails.EVENTS)))
    assert taken(sessions, number) == ([f"/g s {n:05}" for n in range(tails.EVENTS)], False)
    for _ in range(10):
        put(store, G, "s", *(f"{n:05}" for n in range(1000)))
    found = sessions.taken(number, False)
    assert found is not None
    events, sampled = found
    assert (len(events), sampled) == (tails.EVENTS, True)
    assert taken(sessions, number) == ([], False)
    whole = [int(each.message) for each in events]
    assert 400 < sum(whole) / len(whole) < 600  # of all of them, not of the first or last


def test_refusals(sessions: Tails, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LogNotFound):
        start(sessions, ["/none"])
    with pytest.raises(InvalidPattern):
        start(sessions, [G], logEventFilterPattern="{ nonsense")
    for members in (
        {"logStreamNames": ["s"], "logStreamNamePrefixes": ["s"]}, {"groups": [G, H], "logStreamNames": ["s"]},
        {"groups": [f"{G}:*"]},
    ):  # fmt: skip
        with pytest.raises(Fault, match="InvalidParameterException"):
            start(sessions, **{"groups": [G], **members})  # type: ignore[arg-type]
    numbers = [start(sessions, [G]) for _ in range(tails.SESSIONS)]
    with pytest.raises(Fault, match=r"LimitExceededException: .* limit of \[15\] reached"):
        start(sessions, [G])
    sessions.taken(numbers[0], True)
    start(sessions, [G])
    monkeypatch.setattr(tails, "IDLE", -1.0)  # nobody asked for any of them
    start(sessions, [G])
    assert sessions.taken(numbers[1], False) is None


class Live:
    """A session over the log's own process."""

    def __init__(self, process: LogsProcess) -> None:
        self.process = process
        self.ended = asyncio.Event()
        self.gone = asyncio.Event()

    async def call(self, operation: str, **members: Any) -> bytes:
        target = f"Logs_20140328.{operation}"
        response = await self.process.request(HERE.account, HERE.region, target, json.dumps(members).encode())
        assert response.status == 200, response.body
        return response.body

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        request = Request("POST", "/", "", [], left=self.gone.wait)
        begun = live.started(await self.call("StartLiveTail", logGroupIdentifiers=[G]))
        buffer = EventStreamBuffer()
        async with contextlib.aclosing(
            live.session(self.process, HERE, request, begun, self.ended)
        ) as pieces:
            async for piece in pieces:
                buffer.add_data(piece)
                for event in buffer:
                    kind = event.headers.get(":event-type") or event.headers[":exception-type"]
                    yield kind, json.loads(event.payload)


def with_process(folder: Path, body: Any) -> None:
    async def inside() -> None:
        process = LogsProcess(folder)
        await process.start()
        try:
            session = Live(process)
            await session.call("CreateLogGroup", logGroupName=G)
            await session.call("CreateLogStream", logGroupName=G, logStreamName="s")
            await asyncio.wait_for(body(session), 60)
        finally:
            await process.close()

    asyncio.run(inside())


@pytest.mark.promise(292)
def test_a_session_is_an_event_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "UPDATE", 0.02)

    async def body(session: Live) -> None:
        found = session.events()
        assert await anext(found) == ("initial-response", {})
        kind, begun = await anext(found)
        assert (kind, begun["logGroupIdentifiers"]) == ("sessionStart", [G])
        event = {"timestamp": int(time.time() * 1000), "message": "m"}
        await session.call("PutLogEvents", logGroupName=G, logStreamName="s", logEvents=[event])
        results: list[Any] = []
        while not results:
            kind, update = await anext(found)
            assert (kind, update["sessionMetadata"]) == ("sessionUpdate", {"sampled": False})
            results = update["sessionResults"]
        ingested = results[0].pop("ingestionTime")
        assert abs(ingested - event["timestamp"]) < 60_000
        assert results == [{"logStreamName": "s", "logGroupIdentifier": G, **event}]
        session.gone.set()  # the client has left
        async for _ in found:
            pass
        session.gone.clear()
        monkeypatch.setattr(live, "SECONDS", 0.0)
        assert [kind async for kind, _ in session.events()][-1] == "SessionTimeoutException"
        monkeypatch.undo()
        session.ended.set()  # the server ends
        assert [kind async for kind, _ in session.events()] == ["initial-response", "sessionStart"]

    with_process(tmp_path, body)


def test_a_session_ends_with_the_logs_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "UPDATE", 0.02)

    async def body(session: Live) -> None:
        found = session.events()
        await anext(found)
        assert session.process._process is not None
        os.kill(session.process._process.pid, signal.SIGKILL)
        kinds = [kind async for kind, _ in found]
        assert kinds[-1] == "SessionStreamingException"

    with_process(tmp_path, body)
