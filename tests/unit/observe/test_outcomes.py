"""The stream of outcomes: batches by deployment, in order, to every subscriber."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from engine.observe.counters import Counters
from engine.observe.outcomes import OutcomeBatch, Outcomes, Publisher, Throttle
from engine.observe.records import DeploymentInfo, InvocationRecord, deployment_info


def info(name: str, log_group: str = "g") -> DeploymentInfo:
    record = {"FunctionName": name, "FunctionArn": f"arn:{name}", "Version": "7", "MemorySize": 128}
    return deployment_info(record, "eu-west-1", "111111111111", log_group, "s")


def record(id: str, **members: Any) -> InvocationRecord:
    return InvocationRecord(id, 0.0, 1_000, 0, **members)


async def published() -> tuple[list[OutcomeBatch], Counters, list[str]]:
    errors: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(str(context["exception"])))
    outcomes, counters, batches = Outcomes(loop), Counters(), list[OutcomeBatch]()

    def broken(batch: OutcomeBatch) -> None:
        raise ValueError(batch.deployment.function_name)

    for subscriber in (broken, counters, batches.append):
        outcomes.subscribe(subscriber)
    one, other = Publisher(outcomes, info("one", "")), Publisher(outcomes, info("other"))
    one.ended(record("1", status="error", cold=True))
    other.ended(record("2"))
    one.throttled(Throttle(1.0, "why"))
    one.describe(info("one"))
    one.ended(record("3"))
    await asyncio.sleep(0.2)
    assert len(batches) == 3
    other.ended(record("4", status="timeout"))
    outcomes.flush()
    outcomes.flush()
    return batches, counters, errors


def test_what_is_gone_counts_in_the_totals_only() -> None:
    _, counters, _ = asyncio.run(published())
    before = counters.totals()
    assert before == {
        "invocations": 4, "errors": {"failure": 0, "error": 1, "timeout": 1}, "throttles": {"why": 1},
        "cold_starts": 1, "duration_ns": 4_000, "events": {},
    }  # fmt: skip
    counters.keep_only(lambda arn: arn == "arn:other")
    assert set(counters.read()) == {"arn:other"}
    counters.keep_only(lambda arn: False)
    assert counters.read() == {}
    assert counters.totals() == before


def test_batches_and_counts() -> None:
    batches, counters, errors = asyncio.run(published())
    assert [(b.deployment.function_name, b.deployment.log_group) for b in batches] == [
        ("one", ""), ("other", "g"), ("one", "g"), ("other", "g"),
    ]  # fmt: skip
    assert [[r.request_id for r in b.records] for b in batches] == [["1"], ["2"], ["3"], ["4"]]
    assert [len(b.throttles) for b in batches] == [1, 0, 0, 0]
    assert errors == ["one", "other", "one", "other"], "the others have had them all the same"
    assert counters.read() == {
        "arn:one": {
            "invocations": 2, "errors": {"failure": 0, "error": 1, "timeout": 0}, "throttles": {"why": 1},
            "cold_starts": 1, "duration_ns": 2_000, "events": {},
        },
        "arn:other": {
            "invocations": 2, "errors": {"failure": 0, "error": 0, "timeout": 1}, "throttles": {}, "cold_starts": 0,
            "duration_ns": 2_000, "events": {},
        },
    }  # fmt: skip


@pytest.mark.promise(329)
def test_who_had_a_mark_is_told_what_changed_since() -> None:
    """Whoever asks however often, what it knows is what there is."""
    draw = random.Random(5)
    counters, known, marks = Counters(), list[dict[str, Any]]([{}, {}, {}]), ["", "x-1", "-"]
    for _ in range(600):
        for _ in range(draw.randrange(3)):
            counters.event(f"arn:{draw.randrange(20)}", "end")
        if draw.random() < 0.02:
            counters.keep_only(lambda arn: draw.random() < 0.8)
        who = draw.randrange(3)
        marks[who], changed = counters.since(marks[who])
        found = counters.read(changed)
        if changed is not None:
            assert set(found) == set(changed)
            assert all(known[who].get(arn) != counts for arn, counts in found.items()), "these had changed"
        known[who] = found if changed is None else {**known[who], **found}
        assert known[who] == counters.read()
    assert counters.since(marks[0])[1] is not None
