"""What is refused, closed, in another loop or not picklable says so in words; map() keeps failures and any order."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import until

from engine import (
    AsyncEngine,
    Engine,
    EngineClosed,
    EngineError,
    FunctionError,
    InvalidConfiguration,
    TooManyRequests,
)

SOURCE = """
import os, time
def echo(event, context): return event
def variable(event, context): return os.environ.get(event)
def raw(event, context): return memoryview(bytes(event))[::2]
def held(event, context):
    while not os.path.exists(event): time.sleep(0.001)
    return event
def odd_fails(event, context):
    if event % 2: raise ValueError(event)
    return event
def waits(event, context):
    while event[1] and not os.path.exists(event[1]): time.sleep(0.001)
    return event[0]
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "words.py").write_text(SOURCE)
    return folder


@pytest.fixture(scope="module")
def engine(code: Path) -> Iterator[Callable[..., Any]]:
    with Engine(logs=False) as made:
        yield lambda name, **more: made.function(f"words:{name}", code=code, **more)


@pytest.mark.promise(181)
def test_what_finds_no_room_says_the_limits(engine: Callable[..., Any], tmp_path: Path) -> None:
    function = engine("held", waiting=1, concurrency=1)
    futures = []
    with pytest.raises(TooManyRequests) as caught:
        while True:
            futures.append(function.submit(str(tmp_path / "go")))
    for part in ("words-held: its worker is busy (concurrency=1)", "(waiting=1)", "map()"):
        assert part in str(caught.value)
    until(futures[0].running)
    assert repr(futures[0]) == "<Future of words-held, running>"
    (tmp_path / "go").touch()
    assert len(concurrent.futures.wait(futures, 30).done) == len(futures)
    assert set(concurrent.futures.as_completed(futures, 30)) == set(futures)
    assert repr(futures[0]) == "<Future of words-held, finished>"


@pytest.mark.promise(181)
def test_the_environment_is_followed(engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    engine("echo")
    monkeypatch.setenv("STOKER_TEST_LATER", "there")
    assert engine("variable").invoke("STOKER_TEST_LATER") == "there"
    assert engine("variable").invoke("HOME") == os.environ.get("HOME")
    monkeypatch.delenv("STOKER_TEST_LATER")
    monkeypatch.delenv("HOME", raising=False)
    again = engine("variable")
    assert [again.invoke("STOKER_TEST_LATER"), again.invoke("HOME")] == [None, None]


@pytest.mark.promise(181)
def test_arrays_need_not_lie_in_one_piece(engine: Callable[..., Any]) -> None:
    function = engine("raw", codec="raw")
    assert function.invoke(memoryview(b"abcdefgh")[::2]) == b"ae"
    assert function.invoke(b"abcd") == b"ac"
    assert function.invoke(b"") == b""


@pytest.mark.promise(181)
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"handler": "words.py:echo"}, "name the module, not its file: words:echo"),
        ({"handler": "./pkg/words.py:echo"}, "name the module, not its file: pkg.words:echo"),
        ({"handler": "words.py"}, "name the module, not its file: words:handler"),
        (
            {"handler": "words:echo", "environment": {"A": "1"}},
            "bad name 'A': use a letter, .*, two or more in all",
        ),
    ],
)
def test_what_is_written_wrong(engine: Any, code: Path, members: dict[str, Any], message: str) -> None:
    from engine.config import configure

    with pytest.raises(InvalidConfiguration, match=message):
        configure(**members, code=code)


@pytest.mark.promise(181)
def test_nothing_is_pickled(engine: Callable[..., Any]) -> None:
    function = engine("echo")
    for each in (function, function._engine):
        with pytest.raises(TypeError, match=r"cannot be pickled: .*context.invoke\(name, event\)"):
            pickle.dumps(each)
    assert "words-echo" in repr(function._engine)


@pytest.mark.promise(181)
def test_what_is_closed_says_so(code: Path) -> None:
    made = Engine(logs=False)
    function = made.function("words:echo", code=code)
    future = function.submit(1)
    made.close()
    assert future.result() == 1 and not future.running() and not future.cancel()
    for use in (
        function.invoke, function.submit, lambda: list(function.map([1])), function.invoke_raw, made.stats,
        function.workers, function.remove, lambda: made.function("words:echo", code=code),
    ):  # fmt: skip
        with pytest.raises(EngineClosed):
            use()
    assert repr(made) == "<Engine closed>"


@pytest.mark.promise(181)
def test_in_another_loop(code: Path) -> None:
    async def begin() -> tuple[AsyncEngine, Any]:
        made = AsyncEngine(logs=False)
        return made, await made.function("words:echo", code=code)

    made, function = asyncio.run(begin())

    async def use(of: str) -> None:
        with pytest.raises(EngineError, match="belongs to one event loop"):
            if of == "map":
                [_ async for _ in function.map([1])]
            elif of == "submit":
                function.submit(1)
            else:
                await getattr(function, of)(b"1" if of == "invoke_raw" else 1)

    for of in ("invoke", "invoke_raw", "map", "submit"):
        asyncio.run(use(of))
    asyncio.run(made.close())


@pytest.mark.promise(182)
def test_failures_are_results(engine: Callable[..., Any], code: Path) -> None:
    function = engine("odd_fails", concurrency=2)
    for ordered in (True, False):
        found = list(function.map(range(100), return_exceptions=True, ordered=ordered))
        assert sum(isinstance(each, FunctionError) for each in found) == 50
        assert sorted(each for each in found if isinstance(each, int)) == list(range(0, 100, 2))
        if ordered:
            assert [each for each in found if isinstance(each, int)] == list(range(0, 100, 2))
            assert [str(found[1]), found[2]] == ["ValueError: 1", 2]
        with pytest.raises(FunctionError):
            list(function.map(range(100), ordered=ordered))


@pytest.mark.promise(182)
def test_results_as_they_come(engine: Callable[..., Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    function = engine("waits", concurrency=2)
    results = function.map([[0, str(gate)], *([n, ""] for n in range(1, 200))], ordered=False, ahead=4)
    first = [next(results) for _ in range(150)]
    assert 0 not in first
    gate.touch()
    assert sorted([*first, *results]) == list(range(200))


@pytest.mark.promise(182)
def test_awaited_alike(code: Path, tmp_path: Path) -> None:
    async def body() -> None:
        async with AsyncEngine(logs=False) as made:
            fails = await made.function("words:odd_fails", code=code, concurrency=2)
            found = [each async for each in fails.map(range(20), return_exceptions=True)]
            assert [isinstance(each, FunctionError) for each in found] == [False, True] * 10
            waits = await made.function("words:waits", code=code, concurrency=2)
            events = [[0, str(tmp_path / "gate")], *([n, ""] for n in range(1, 50))]
            seen = []
            async for each in waits.map(events, ordered=False, ahead=4):
                seen.append(each)
                if len(seen) == 40:
                    (tmp_path / "gate").touch()
            assert 0 not in seen[:40] and sorted(seen) == list(range(50))
            tasks = [fails.submit(n) for n in (2, 3)]
            assert await tasks[0] == 2
            with pytest.raises(FunctionError):
                await tasks[1]
            assert repr(made) == "<AsyncEngine of words-odd_fails, words-waits>"

    asyncio.run(body())


@pytest.mark.promise(181)
def test_replaced_threads_are_refused() -> None:
    source = """
import sys, types
monkey = types.ModuleType("gevent.monkey")
monkey.is_module_patched = lambda name: name == "select"
sys.modules["gevent.monkey"] = monkey
from engine import Engine, UnsupportedPlatform
try: Engine()
except UnsupportedPlatform as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", source], check=True, text=True, stdout=subprocess.PIPE)
    assert done.stdout.startswith("gevent has replaced threads or select")
