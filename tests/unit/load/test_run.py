"""A run from its scenario to its result: what is found, and when it means nothing; a target made real."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served

from engine.errors import InitError
from engine.hosting.archives import pack
from engine.load import conclude, machine
from engine.load.generate.record import Record, Response
from engine.load.machine import Meter
from engine.load.result import Result
from engine.load.run import opened, run
from engine.load.scenario.scenario import scenario

pytestmark = pytest.mark.slow
MS = 1_000_000
ECHO = "def handler(event, context):\n    return event\n"
SLOW = "import time\ndef handler(event, context):\n    time.sleep(0.005)\n    return event\n"


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., Result]:
    """What a run with these settings finds."""

    def made(
        target: str = "app:handler", *, source: str = ECHO, watch: Any = None, **settings: Any
    ) -> Result:
        (tmp_path / "app.py").write_text(source)
        if ":handler" in target:
            settings.setdefault("code", str(tmp_path))
        return asyncio.run(run(scenario(target, settings, tmp_path), watch))

    return made


class Seen:
    """A watch that counts."""

    pid = None

    def __init__(self) -> None:
        self.phases: list[tuple[str, float]] = []
        self.updates = 0

    def phase(self, name: str, seconds: float) -> None:
        self.phases.append((name, seconds))

    def update(self, record: Record, elapsed: float) -> None:
        self.updates += 1


def test_a_run_of_an_embedded_function(found: Callable[..., Result]) -> None:
    seen = Seen()
    result = found(
        rate=200, duration=3, warmup=1, seed=4, template='{"n": {{number}}}', expect="echo", watch=seen
    )
    assert [name for name, _ in seen.phases] == ["self-check", "noise", "noise", "run"]
    assert seen.phases[-1] == ("run", 3.0)
    assert seen.updates > 3
    assert (result.duration, result.warmup, result.seed, result.loop) == (3.0, 1.0, 4, "open")
    assert sum(result.series.offered[1:]) == result.offered == sum(result.ended.values())
    assert result.ended == {"ok": result.offered}
    assert result.rate == result.goodput == result.offered / 2
    assert result.latency.count == result.lag.count == result.warm.count == result.offered
    assert result.cold.count == 0
    assert set(result.parts) == {"queue", "dispatch", "execute", "reply"}
    assert result.noise is not None
    assert result.noise.p50 >= 1
    cpu = result.cpu
    assert cpu.generator is not None
    assert cpu.engine is not None
    assert cpu.workers is not None
    assert min(cpu.generator, cpu.workers) > 0
    assert result.stages == []
    assert result.knee is None
    assert "kernel" in result.machine


def test_the_same_seed_offers_the_same(found: Callable[..., Result]) -> None:
    offered = [found(rate=300, duration=1, seed=seed, noise=False).series.offered for seed in (1, 1, 2)]
    assert offered[0] == offered[1] != offered[2]


@pytest.mark.promise(81)
def test_a_generator_that_cannot_keep_up_makes_the_run_void(found: Callable[..., Result]) -> None:
    """Two million a second: no Python program sends that many."""
    result = found(rate=2_000_000, constant=True, duration=0.1, noise=False)
    assert result.lag.p99 > conclude.LAG
    assert result.void[0].startswith("the generator slipped: a request in a hundred was sent ")
    assert result.void[1].startswith("it does so without any target, too (")


def test_a_ramp_finds_the_knee(found: Callable[..., Result]) -> None:
    """200 a second at most, and no more than ten may wait."""
    result = found(source=SLOW, ramp="40:440:80", dwell=1, waiting=10, noise=False)
    assert [stage.rate for stage in result.stages] == [40, 120, 200, 280, 360, 440]
    assert sum(stage.offered for stage in result.stages) == sum(result.series.offered)
    assert result.knee is not None
    assert result.knee.kept in (0, 40, 120, 200)
    assert result.knee.lost is not None
    assert result.ended["throttle"] > 0
    assert result.refused.count == result.ended["throttle"]


def test_a_closed_loop(found: Callable[..., Result]) -> None:
    result = found(source=SLOW, closed=2, duration=1, concurrency=2, noise=False)
    assert result.loop == "closed"
    assert result.most_in_flight == 2
    assert result.ended["ok"] == result.offered > 0
    assert result.latency.p50 > 5 * MS


def test_what_fails_is_told(found: Callable[..., Result]) -> None:
    result = found(
        source="def handler(event, context):\n    raise KeyError('x')\n", rate=50, duration=1, noise=False
    )
    assert set(result.ended) == {"error"}
    assert result.wrong == result.offered
    assert result.reasons == {"error": {"KeyError: 'x'": result.offered}}
    assert "no request was answered rightly" in result.void


def test_a_generator_that_polls_keeps_off_the_workers_core(found: Callable[..., Result]) -> None:
    cores: dict[str, set[int]] = {}

    class Placed(Seen):
        def phase(self, name: str, seconds: float) -> None:
            cores[name] = os.sched_getaffinity(0)

    before, seen = os.sched_getaffinity(0), Placed()
    result = found(rate=2000, duration=0.5, noise=False, poll=True, watch=seen)
    assert result.polled and not found(rate=100, duration=0.2, noise=False).polled
    assert result.ended == {"ok": result.offered}
    assert result.cpu.engine is None  # all of a core is the generator's
    assert len(before) == 1 or cores["run"] == before - {max(before)}
    assert cores["self-check"] == before == os.sched_getaffinity(0)


def test_a_function_on_an_endpoint_of_this_machine(found: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ECHO)
    server = Served(tmp_path / "state")
    server.client().create_function(
        FunctionName="echo", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )  # fmt: skip
    try:
        result = found(
            "echo", endpoint=server.url, rate=100, duration=2, expect="echo", payload='{"a":1}', noise=False
        )
    finally:
        status = server.stop()
    assert status == 0
    assert result.ended == {"ok": result.offered}
    assert result.cpu.engine is not None
    assert result.cpu.engine > 0
    assert set(result.parts) == {"execute"}


def test_nobody_there(found: Callable[..., Result]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=f"no connection to 127.0.0.1:{port}"):
            found(f"http://127.0.0.1:{port}/", rate=1, duration=1, noise=False)


def recorded(*latencies: int, lag: int = 0, ending: Any = "ok") -> Record:
    record = Record()
    for latency in latencies:
        record.send(0, lag)
        record.receive(0, latency, Response(ending))
    return record


@pytest.mark.promise(81)
def test_why_a_run_is_void() -> None:
    def why(record: Record, steal: float = 0.0, alone: Record | None = None) -> list[str]:
        return conclude.void(record, MS, steal, alone)

    assert why(recorded(5)) == []
    assert len(why(recorded(5, lag=2 * MS), alone=recorded(5, lag=0))) == 1
    assert len(why(recorded(5, lag=2 * MS), alone=recorded(5, lag=3 * MS))) == 2
    assert why(recorded(5), steal=0.5) == ["the hypervisor took 50% of the CPU time: more than 5%"]
    assert why(recorded(5, ending="timeout")) == ["no request was answered rightly"]
    assert why(recorded(5, ending="throttle")) == []  # that is what an overload looks like
    assert why(Record()) == ["nothing was sent after the warm-up"]


def test_noise_is_the_larger_over_the_smaller() -> None:
    noise = conclude.noise(recorded(100, 100, 300), recorded(100, 200, 600), 2.0)
    assert noise is not None
    assert noise.p50 == pytest.approx(2.0, rel=0.01)
    assert noise.p99 == pytest.approx(2.0, rel=0.01)
    assert conclude.noise(recorded(), recorded(1), 2.0) is None


def test_who_listens_on_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert machine.listeners(port) == [os.getpid()]
    assert machine.listeners(port) == []


def test_apart_from_who_is_pinned() -> None:
    mine = os.sched_getaffinity(0)
    with machine.apart([os.getpid(), 2**22 + 1]):
        inner = os.sched_getaffinity(0)
        assert inner == mine  # who may run anywhere is in nobody's way
        with machine.apart([]):
            assert os.sched_getaffinity(0) == inner
    os.sched_setaffinity(0, {min(mine)})
    try:
        with machine.apart([os.getpid()]):  # there is no other core
            assert os.sched_getaffinity(0) == {min(mine)}
    finally:
        os.sched_setaffinity(0, mine)


def test_cpu_time_of_another_machine_is_not_known() -> None:
    meter = Meter([])
    cpu = meter.spent(meter.look(), meter.look(), 10, 5.0)
    assert (cpu.engine, cpu.workers) == (None, None)
    assert meter.spent(meter.look(), meter.look(), 0, None).generator is None


HANDLER = """
import os
def handler(event, context):
    return {"event": event, "size": os.environ.get("SIZE"), "memory": context.memory_limit_in_mb, "pid": os.getpid()}
def broken(event, context):
    raise ValueError("no")
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "bad.py").write_text("import nothing_like_it\n")
    return tmp_path


def responses(target: str, base: Path, functions: int = 1, **settings: Any) -> list[Response]:
    """The responses of a target's functions."""

    async def main() -> list[Response]:
        made = scenario(target, settings if target.endswith(".toml") else {"rate": 1, **settings}, base)
        async with opened(made.target) as real:
            assert real.functions == functions
            responses = []
            for number in range(functions):
                future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
                real.send(b'{"n": 1}', number, future.set_result)
                responses.append(await asyncio.wait_for(future, 30))
            return responses

    return asyncio.run(main())


def test_an_embedded_function_has_what_was_said_of_it(code: Path) -> None:
    [response] = responses("app:handler", code, memory=256, environment={"SIZE": "64"}, warm=0)
    assert response.ending == "ok"
    reply = json.loads(response.payload)
    assert (reply["event"], reply["size"], reply["memory"]) == ({"n": 1}, "64", "256")


def test_the_same_function_twice_is_two(code: Path) -> None:
    (code / "two.toml").write_text(
        """
        [[target.function]]
        reference = "app:handler"
        [[target.function]]
        reference = "app:handler"
        environment = { SIZE = "2" }
        [[target.function]]
        reference = "app:broken"
        [arrivals]
        rate = 1
        """
    )
    first, second, third = responses("two.toml", code, 3)
    one, two = json.loads(first.payload), json.loads(second.payload)
    assert (one["size"], two["size"]) == (None, "2")
    assert one["pid"] != two["pid"]
    assert (third.ending, third.why) == ("error", "ValueError: no")


def test_a_function_that_cannot_be_started_leaves_nothing(code: Path) -> None:
    with pytest.raises(InitError, match="nothing_like_it"):
        responses("bad:handler", code)


def test_nobody_listens(code: Path) -> None:
    with pytest.raises(OSError, match="no connection to 127.0.0.1:1: "):
        responses("http://127.0.0.1:1/", code)
    with pytest.raises(OSError, match="no connection to 127.0.0.1:1: "):
        responses("one", code, endpoint="http://127.0.0.1:1")


@pytest.mark.slow
def test_a_server_that_wants_signatures(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpcore", reason="pip install stoker[serve]")
    keys = code / "keys"
    keys.write_text("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = its/secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(code / "none"))
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    served = Served(code / "state", "--auth", str(keys))
    try:
        api = served.client(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="its/secret")
        api.create_function(
            FunctionName="one", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
            Code={"ZipFile": pack(code / "app.py")},
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName="one", WaiterConfig={"Delay": 0})
        [refused] = responses("one", code, endpoint=served.url)
        assert refused.ending == "failure"
        assert refused.why == "403 Missing Authentication Token"
        [response] = responses("one:$LATEST", code, endpoint=served.url, sign=True)
        assert (response.ending, response.why) == ("ok", "")
        assert json.loads(response.payload)["event"] == {"n": 1}
    finally:
        assert served.stop() == 0
