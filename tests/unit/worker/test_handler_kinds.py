"""Async handlers run, in one loop a worker; what could fail only at its calls is refused when it is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionError, FunctionTimeout, InvalidConfiguration

SOURCE = """
import asyncio, functools, os

async def doubled(event, context):
    await asyncio.sleep(0)
    return event * 2

class Service:
    async def __call__(self, event, context):
        return [event, context.function_name]

service = Service()
partial = functools.partial(doubled, context=None)
seen = []

async def of_the_loop(event, context):
    loop = asyncio.get_running_loop()
    seen.append(loop)
    return [os.getpid(), seen.count(loop), len(seen)]

tasks = []

async def leaves_a_task(event, context):
    if event == "leave":
        tasks.append(asyncio.create_task(asyncio.sleep(0, "done")))
        return None
    return await tasks[0]

async def fails(event, context):
    raise LookupError("from within")

async def sleeps(event, context):
    await asyncio.sleep(60)

async def raw(event, context):
    return bytes(event)[::-1]

def generator(event, context): yield event
async def async_generator(event, context): yield event
def one(event): return event
def three(event, context, more): return event
def keyword(event, *, context): return event
def defaults(event, context, more=1): return event
def any_number(*arguments): return len(arguments)
class Group:
    @staticmethod
    def static(event, context): return event
    def bound(self, event, context): return event
bound = Group().bound
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "kinds.py").write_text(SOURCE)
    with Engine(logs=False) as made:
        yield lambda handler, **more: made.function(f"kinds:{handler}", code=folder, **more)


@pytest.mark.promise(179)
@pytest.mark.parametrize("init", ["snapshot", "fresh"])
def test_async_handlers_run(engine: Callable[..., Any], init: str) -> None:
    assert engine("doubled", init=init).invoke(21) == 42
    assert engine("service", init=init, name="s").invoke(1) == [1, "s"]
    assert engine("raw", init=init, codec="raw").invoke(b"abc") == b"cba"


@pytest.mark.promise(179)
def test_a_worker_has_one_loop(engine: Callable[..., Any]) -> None:
    function = engine("of_the_loop", concurrency=1)
    pid = function.invoke()[0]
    assert [function.invoke() for _ in range(3)] == [[pid, n, n] for n in (2, 3, 4)]


@pytest.mark.promise(179)
def test_a_task_goes_on_with_the_next_event(engine: Callable[..., Any]) -> None:
    function = engine("leaves_a_task")
    function.invoke("leave")
    assert function.invoke("then") == "done"


@pytest.mark.promise(179)
def test_they_fail_and_time_out_as_others(engine: Callable[..., Any]) -> None:
    with pytest.raises(FunctionError, match="LookupError: from within") as caught:
        engine("fails").invoke()
    assert [line.split("in ")[-1].split("\n")[0] for line in caught.value.stack_trace][-1] == "fails"
    with pytest.raises(FunctionTimeout):
        engine("sleeps", timeout=0.1).invoke()


@pytest.mark.promise(179)
@pytest.mark.parametrize("init", ["snapshot", "fresh"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "generator",
            "kinds.generator is a generator function: a handler returns its result, so return a list",
        ),
        ("async_generator", "kinds.async_generator is a generator function"),
        (
            "one",
            r"kinds.one\(event\) cannot be called with an event and a context: write def one\(event, context\)",
        ),
        ("three", r"kinds.three\(event, context, more\) cannot be called"),
        ("keyword", r"kinds.keyword\(event, \*, context\) cannot be called"),
    ],
)
def test_what_is_no_handler_is_refused(
    engine: Callable[..., Any], name: str, message: str, init: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        engine(name, init=init)


@pytest.mark.parametrize(
    ("name", "result"), [("defaults", 1), ("any_number", 2), ("Group.static", 1), ("bound", 1)]
)
def test_what_can_be_called_is_one(engine: Callable[..., Any], name: str, result: int) -> None:
    assert engine(name).invoke(1) == result


@pytest.mark.promise(179)
def test_a_callable_is_refused_alike(tmp_path: Path) -> None:
    import textwrap

    with (
        Engine(logs=False) as made,
        pytest.raises(InvalidConfiguration, match=r"textwrap.dedent\(text\) cannot"),
    ):
        made.function(textwrap.dedent, code=tmp_path)
