"""What the first process makes of an acceptor's journal is what the acceptor noted."""

from __future__ import annotations

import asyncio
import os
import random

from engine.http.acceptors.noting import Noting
from engine.observe.counters import Counters
from engine.observe.journal import Journal, JournalReader, Step, shared
from engine.observe.metrics import Metrics
from engine.observe.outcomes import OutcomeBatch, Outcomes, Publisher
from engine.observe.records import DeploymentInfo, InvocationRecord, deployment_info
from engine.observe.tally import Tally


def info(name: str) -> DeploymentInfo:
    record = {"FunctionName": name, "FunctionArn": f"arn:{name}", "Version": "7", "MemorySize": 128}
    return deployment_info(record, "eu-west-1", "111111111111", "g", "s")


async def passed_on(draw: random.Random) -> None:
    """Of deployments that come and go, quietly or not, taken in steps as they come."""
    loop, steps, memories = asyncio.get_running_loop(), list[Step](), [shared(), shared()]
    theirs = Outcomes(loop, Journal(memories[0], steps.append, whole=True))
    ours = Outcomes(loop, Journal(memories[1], lambda step: None))
    counters, batches = Counters(), list[OutcomeBatch]()
    ours.subscribe(counters)
    ours.subscribe(batches.append)
    noting, reader = Noting(ours, Tally(Metrics()), []), JournalReader(memories[0])
    publishers = [Publisher(theirs, info(name)) for name in "abc"]
    noted: list[tuple[str, str, float, int]] = []
    for id in range(400):
        publisher, took, micros = draw.choice(publishers), draw.randrange(10**6), draw.randrange(10**15)
        name, at = publisher.info.function_name, micros / 1e3
        if draw.random() < 0.7:
            line = b'[6,"%d",%d.%03d,%d,1,2,0,%d]\n' % (
                id,
                micros // 1000,
                micros % 1000,
                took,
                publisher.number(),
            )
            publisher.quiet(line, micros.to_bytes(8, "little") + took.to_bytes(8, "little"))
        else:
            publisher.ended(InvocationRecord(str(id), at, took, 1, "failure"))
        noted.append((name, str(id), at, took))
        if draw.random() < 0.05:
            theirs.flush()
        if draw.random() < 0.05:
            ours.flush()
        while steps:
            noting.note(reader.take(steps.pop(0)))
    theirs.flush()
    while steps:
        noting.note(reader.take(steps.pop(0)))
    ours.flush()
    found = [
        (batch.deployment.function_name, each.request_id, each.at, each.took)
        for batch in batches
        for each in batch.records
    ]
    assert sorted(found) == sorted(noted)
    assert any(batch.quiet for batch in batches) and any(batch.ended for batch in batches)
    counted = counters.read()
    for name in "abc":
        took = [each[3] for each in noted if each[0] == name]
        counts = counted[f"arn:{name}"]
        assert (counts["invocations"], counts["duration_ns"]) == (len(took), sum(took))
    lines = list(JournalReader(memories[1]).rest())
    assert sum(getattr(each, "request_id", "") != "" for each in lines) == 400
    for memory in memories:
        os.close(memory)


def test_it_is_passed_on_as_it_was() -> None:
    for seed in range(5):
        asyncio.run(passed_on(random.Random(seed)))
