"""An init that takes too long is done once more within the first invocation, under the function's own timeout."""

from __future__ import annotations

import json
from pathlib import Path

import hosted
import pytest
from hosted import HERE, Hosted, run

from engine import limits
from engine.hosting.layout import _init_timeout, _initialization
from engine.observe.log import log_events

SLOW = """
import os, time
print("init")
with open(os.environ["NOTES"], "a") as notes: notes.write("init\\n")
time.sleep(float(os.environ["SECONDS"]))
def handler(event, context):
    print("handled")
    return context.get_remaining_time_in_millis()
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INIT_TIMEOUT", 0.4)
    monkeypatch.setattr(hosted, "SOURCE", SLOW)


def environment(folder: Path, seconds: float) -> dict[str, dict[str, str]]:
    return {"Variables": {"NOTES": str(folder / "notes"), "SECONDS": str(seconds)}}


def messages(it: Hosted) -> list[str]:
    it.outcomes.flush()
    return [m for batch in it.batches for _, m in log_events(batch.deployment, batch.records)]


@pytest.mark.promise(175)
def test_it_is_done_again_within_the_invocation(tmp_path: Path) -> None:
    async def body(it: Hosted) -> None:
        it.put(HERE, Timeout=5, Environment=environment(tmp_path, 0.8))
        result = await it.invoke(HERE)
        assert not result.failed
        assert 3000 < json.loads(result.payload) < 4200  # ms of the 5 s that the init has left
        assert (tmp_path / "notes").read_text().count("init") == 2
        again = await it.invoke(HERE)
        assert json.loads(again.payload) > 4500
        init, report, start, own, end, ended, *warm = messages(it)
        assert init.startswith("INIT_START ")
        assert report.startswith("INIT_REPORT Init Duration: 4") or float(report.split()[3]) >= 400
        assert report.endswith(" ms\tPhase: init\tStatus: timeout\n")
        assert start.startswith("START ") and own == "handled\n" and end.startswith("END ")
        assert float(ended.split("Duration: ")[1].split()[0]) >= 800
        assert "Init Duration" not in ended and "Status" not in ended
        assert [m.split()[0] for m in warm] == ["START", "handled", "END", "REPORT"]

    run(tmp_path, body)


@pytest.mark.promise(175)
def test_within_its_timeout_or_the_invocation_times_out(tmp_path: Path) -> None:
    async def body(it: Hosted) -> None:
        it.put(HERE, Timeout=1, Environment=environment(tmp_path, 30))
        result = await it.invoke(HERE)
        assert result.failed
        assert json.loads(result.payload) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds",
        }
        _, first, start, second, end, report = messages(it)
        assert first.endswith("\tPhase: init\tStatus: timeout\n") and start.startswith("START ")
        assert second.endswith("\tPhase: invoke\tStatus: timeout\n") and end.startswith("END ")
        assert "\tDuration: 1000.00 ms\t" in report and report.endswith("Status: timeout\n")

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("record", "warm", "kind", "seconds"),
    [
        ({}, 0, "on-demand", 0.4),
        ({}, 1, "provisioned-concurrency", 130.0),
        ({"Timeout": 900}, 1, "provisioned-concurrency", 900.0),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, 0, "snap-start", 130.0),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}, "Version": "$LATEST"}, 0, "on-demand", 0.4),
        ({"SnapStart": {"ApplyOn": "None"}}, 0, "on-demand", 0.4),
    ],
)
def test_what_is_initialised_ahead_has_more_time(
    record: dict[str, object], warm: int, kind: str, seconds: float
) -> None:
    whole = {"Version": "1", "Timeout": 3, **record}
    assert _initialization(whole, warm) == kind
    assert _init_timeout(whole, kind) == seconds
