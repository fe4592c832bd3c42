"""A disk that refuses what a request changes: an error, not a response that never comes; and the change is not lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqs_opened import Opened, run

from engine.services.sqs import stored


@contextmanager
def refusing(opened: Opened) -> Iterator[None]:
    """Meanwhile nothing can be written."""
    real = opened.store._write

    def refuse(group: Any) -> list[int | None]:
        raise sqlite3.OperationalError("disk I/O error")

    opened.store._write = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        opened.store._write = real  # type: ignore[method-assign]


@pytest.mark.promise(106)
@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_what_cannot_be_stored_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(stored, "PATIENCE", 0.05)
    more = {"MessageGroupId": "g"} if name.endswith(".fifo") else {}

    async def body(it: Opened) -> None:
        url = await it.create(name, **({"ContentBasedDeduplication": "true"} if more else {}))
        for n in range(3):
            await it.send(url, str(n), **more)
        first, *others = await it.take(url)
        handles = [each["ReceiptHandle"] for each in others]
        with refusing(it):
            for operation, members in (
                ("DeleteMessage", {"ReceiptHandle": first["ReceiptHandle"]}),
                ("ChangeMessageVisibility", {"ReceiptHandle": handles[1], "VisibilityTimeout": 0}),
                ("PurgeQueue", {}),
            ):
                code, text = await it.refused(operation, QueueUrl=url, **members)
                assert code == "ServiceException" and "could not be stored" in str(text)
        await it.written()
        await asyncio.gather(*(purged for _, purged in it.rows._writer.purging.values()))
        assert await it.counts(url) == (0, 0, 0)
        await it.send(url, "later", **more)
        assert await it.bodies(url) == ["later"]

    run(tmp_path, body)


@pytest.mark.promise(106)
def test_a_group_goes_on_when_a_deletion_that_was_refused_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PATIENCE", 0.05)

    async def body(it: Opened) -> None:
        url = await it.create("q.fifo", ContentBasedDeduplication="true")
        for n in range(2):
            await it.send(url, str(n), MessageGroupId="g")
        (first,) = await it.take(url, 1)
        waiting = asyncio.ensure_future(it.bodies(url, WaitTimeSeconds=20))
        with refusing(it):
            entry = {"Id": "a", "ReceiptHandle": first["ReceiptHandle"]}
            found = await it("DeleteMessageBatch", QueueUrl=url, Entries=[entry])
            assert [(each["Id"], each["SenderFault"]) for each in found["Failed"]] == [("a", False)]
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, 10) == ["1"]

    run(tmp_path, body)
