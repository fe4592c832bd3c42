"""Targets that are real: an engine's functions, a server's, and a URL; each ending as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served

pytest.importorskip("httpcore", reason="pip install stoker[serve]")
from engine import AsyncEngine
from engine.hosting.archives import pack
from engine.load.generate.arrivals import steady
from engine.load.generate.generator import OpenLoop
from engine.load.generate.payloads import Template, expectation
from engine.load.generate.record import Record, Response
from engine.load.generate.targets import SAMPLED, Embedded, LambdaEndpoint, PlainUrl, Sampling

HANDLER = """
import time
def handler(event, context):
    if isinstance(event, dict) and "raise" in event:
        raise ValueError(event["raise"])
    if isinstance(event, dict) and "sleep" in event:
        time.sleep(event["sleep"])
    return event
"""


async def one(target: Any, payload: Any, function: int = 0) -> Response:
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    target.send(json.dumps(payload).encode(), function, future.set_result)
    return await asyncio.wait_for(future, 30)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(HANDLER)
    return tmp_path


def in_an_engine(code: Path, work: Callable[[AsyncEngine, Any], Any], **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncEngine(logs=False) as engine:
            await engine.function("app:handler", code=code, name="one", **options)
            await engine.function("app:handler", code=code, name="two")
            return await work(engine, Embedded(engine, ["one", "two"]))

    return asyncio.run(main())


@pytest.mark.slow
def test_every_ending_of_an_embedded_function(code: Path) -> None:
    async def work(engine: AsyncEngine, target: Embedded) -> None:
        assert target.functions == 2
        response = await one(target, {"n": 1})
        assert (response.ending, json.loads(response.payload)) == ("ok", {"n": 1})
        response = await one(target, {"raise": "no"}, 1)
        assert (response.ending, response.why) == ("error", "ValueError: no")
        response = await one(target, {"sleep": 5})
        assert response.ending == "timeout"
        assert (await one(target, {"n": 2})).ending == "ok"  # the killed worker's successor is there
        both = await asyncio.gather(*(one(target, {"sleep": 0.3}) for _ in range(3)))
        assert sorted(it.ending for it in both) == ["ok", "ok", "throttle"]
        engine._runtime.remove("two")
        while (response := await one(target, 1, 1)).ending == "ok":
            pass
        assert (response.ending, response.why) == ("failure", "FunctionNotFound: the function was removed")

    in_an_engine(code, work, timeout=1.0, waiting=1)


def test_some_say_where_their_time_went(code: Path) -> None:
    async def work(engine: AsyncEngine, target: Embedded) -> None:
        responses = [await one(target, {"sleep": 0.01}) for _ in range(SAMPLED * 2)]
        timed = [it for it in responses if it.parts is not None]
        assert len(timed) == 2
        for response in timed:
            assert response.parts is not None
            assert response.parts["execute"] > 10_000_000
            assert response.cold is False

    in_an_engine(code, work)


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        (200, 1 / 17, 1 / 15),
        (3_000, 1 / 17, 1 / 15),
        (100_000, 1 / 1025, 1 / 300),
        (10_000_000, 1 / 1025, 1 / 900),
    ],
)
def test_fewer_say_so_of_more(rate: int, least: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0
    monkeypatch.setattr("engine.load.generate.targets.time.monotonic_ns", lambda: now)
    sampling, due, count = Sampling(), 0, 100_000
    for number in range(count):
        now = number * 1_000_000_000 // rate
        due += sampling.due()
    assert least <= due / count <= most


def test_every_cold_start_is_known(code: Path) -> None:
    async def work(engine: AsyncEngine, target: Embedded) -> None:
        responses = await asyncio.gather(*(one(target, {"sleep": 0.2}) for _ in range(3)))
        assert sorted(it.cold for it in responses) == [False, True, True]
        assert (await one(target, {})).cold is False

    in_an_engine(code, work, concurrency=3)


@pytest.mark.slow
def test_a_run_against_an_engine(code: Path) -> None:
    async def work(engine: AsyncEngine, target: Embedded) -> Record:
        schedule = steady(500, 1, seed=3, functions=2)
        payloads = Template('{"n": {{number}}, "id": "{{uuid}}"}', seed=3)
        run = OpenLoop(target, schedule, payloads, expectation("echo"), Record())
        await run.run(30)
        return run.record

    record = in_an_engine(code, work)
    assert record.ended == {"ok": len(list(steady(500, 1, seed=3)))}
    assert record.in_flight == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("state"))
    folder = tmp_path_factory.mktemp("code")
    (folder / "app.py").write_text(HANDLER)
    api = served.client()
    for name in ("one", "two"):
        api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=1,
            Code={"ZipFile": pack(folder / "app.py")},
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
    yield served
    assert served.stop() == 0


@pytest.mark.slow
def test_every_ending_on_a_lambda_endpoint(server: Served) -> None:
    async def main() -> None:
        target = LambdaEndpoint(server.url, ["one", "two", "three"])
        response = await one(target, {"n": 1})
        assert (response.ending, json.loads(response.payload)) == ("ok", {"n": 1})
        response = await one(target, {"raise": "no"}, 1)
        assert (response.ending, response.why) == ("error", "ValueError: no")
        response = await one(target, {"sleep": 5})
        assert response.ending == "timeout"
        response = await one(target, {}, 2)
        assert response.ending == "failure"
        assert response.why.startswith("404 Function not found: arn:aws:lambda:")
        await target.close()

    server.client().put_function_concurrency(FunctionName="two", ReservedConcurrentExecutions=0)

    async def throttled() -> Response:
        target = LambdaEndpoint(server.url, ["two"])
        try:
            return await one(target, {})
        finally:
            await target.close()

    response = asyncio.run(throttled())
    assert (response.ending, response.why) == ("throttle", "Rate Exceeded.")
    server.client().delete_function_concurrency(FunctionName="two")
    asyncio.run(main())


@pytest.mark.slow
def test_some_say_how_long_they_ran_on_a_lambda_endpoint(server: Served) -> None:
    async def main() -> list[Response]:
        target = LambdaEndpoint(server.url, ["one"])
        responses = [await one(target, {"sleep": 0.01}) for _ in range(SAMPLED * 2)]
        await target.close()
        return responses

    timed = [it for it in asyncio.run(main()) if it.parts is not None]
    assert len(timed) == 2
    assert all(it.parts is not None and 10e6 < it.parts["execute"] < 5e9 for it in timed)
    assert [it.cold for it in timed][1:] == [False]


@pytest.mark.slow
def test_a_run_against_a_function_url(server: Served) -> None:
    api = server.client()
    url = api.create_function_url_config(FunctionName="one", AuthType="NONE")["FunctionUrl"]

    async def main() -> Record:
        target = PlainUrl(url)
        schedule, check = steady(100, 0.5, process="constant"), expectation({"version": "2.0"})
        run = OpenLoop(target, schedule, Template('{"n": {{number}}}'), check, Record())
        await run.run(30)
        await target.close()
        return run.record

    assert asyncio.run(main()).ended == {"ok": 50}


@pytest.mark.slow
def test_a_url_that_answers_with_errors(server: Served) -> None:
    async def main() -> Response:
        target = PlainUrl(f"{server.url}/nothing/here?x=1", "GET")
        try:
            return await one(target, {})
        finally:
            await target.close()

    response = asyncio.run(main())
    assert response.ending == "error"
    assert response.why.startswith("501 The service that this request is for is not served here")
