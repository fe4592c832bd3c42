"""A FunctionError that nobody catches shows what the handler raised: traceback, causes, notes, sub-exceptions."""

from __future__ import annotations

import asyncio
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import AsyncEngine, Engine, FunctionError, InitError

SOURCE = """
def inner():
    raise KeyError("missing")

def chained(event, context):
    try:
        inner()
    except KeyError as error:
        error.add_note("of the inner one")
        raise ValueError("outer") from error

def noted(event, context):
    error = ValueError("noted")
    error.add_note("first note")
    error.add_note("second note")
    raise error

def grouped(event, context):
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])

def long(event, context):
    raise ValueError("x" * 1_000_000)

def calls(event, context):
    return context.invoke("noted")

def hidden(event, context):
    class Odd(Exception):
        def __str__(self): raise RuntimeError
    raise Odd
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "raising.py").write_text(SOURCE)
    (folder / "broken.py").write_text("import a_module_that_is_not_there\n")
    return folder


Shown = Callable[[str], tuple[FunctionError, str]]


@pytest.fixture(scope="module")
def engine(code: Path) -> Iterator[Engine]:
    with Engine(logs=False) as made:
        for name in ("chained", "noted", "grouped", "long", "calls", "hidden"):
            made.function(f"raising:{name}", code=code, name=name, memory=256)
        yield made


@pytest.fixture
def shown(engine: Engine, code: Path) -> Shown:
    """What a function raises, and how Python shows that."""

    def raised(name: str) -> tuple[FunctionError, str]:
        with pytest.raises(FunctionError) as caught:
            engine.function(f"raising:{name}", code=code, name=name).invoke()
        return caught.value, "".join(traceback.format_exception(caught.value))

    return raised


@pytest.mark.promise(180)
def test_the_handler_s_frames_and_its_cause(shown: Shown) -> None:
    error, text = shown("chained")
    assert (error.error_type, error.error_message) == ("ValueError", "outer")
    assert (
        text.index("KeyError: 'missing'\nof the inner one\n")
        < text.index("direct cause")
        < text.index("outer")
    )
    for line in ("in inner\n", 'raise KeyError("missing")', "in chained\n", "raise ValueError"):
        assert line in text
    assert "worker.py" not in text.split('"""')[1]  # of the runtime's own frames none


@pytest.mark.promise(180)
def test_notes(shown: Shown) -> None:
    error, text = shown("noted")
    assert error.__notes__ == ["first note", "second note"]
    assert "ValueError: noted\nfirst note\nsecond note\n" in text


@pytest.mark.promise(180)
def test_sub_exceptions(shown: Shown) -> None:
    _, text = shown("grouped")
    assert "ExceptionGroup: several (2 sub-exceptions)" in text
    assert "ValueError: one" in text and "TypeError: two" in text


@pytest.mark.promise(180)
def test_it_is_bounded(shown: Shown) -> None:
    error, text = shown("long")
    assert len(error.error_message) == 1_000_000
    assert "[…]" in text and len(str(error.__cause__)) < 40_000
    _, text = shown("hidden")
    assert "Odd" in text


@pytest.mark.promise(180)
def test_of_a_call_from_a_handler(shown: Shown) -> None:
    error, text = shown("calls")
    assert error.error_type == "FunctionError"
    assert "ValueError: noted" in text and "in calls\n" in text


@pytest.mark.promise(180)
def test_by_every_way(engine: Engine, code: Path) -> None:
    function = engine.function("raising:noted", code=code, name="noted")
    raised = [function.submit().exception()]
    with pytest.raises(FunctionError) as caught:
        list(function.map([1]))
    raised.append(caught.value)

    async def awaited() -> BaseException:
        async with AsyncEngine(logs=False) as other:
            made = await other.function("raising:noted", code=code)
            with pytest.raises(FunctionError) as caught:
                await made.invoke()
            return caught.value

    raised.append(asyncio.run(awaited()))
    for error in raised:
        assert error is not None and "in noted\n" in str(error.__cause__)


@pytest.mark.promise(180)
def test_of_an_init(engine: Engine, code: Path) -> None:
    with pytest.raises(InitError) as caught:
        engine.function("broken:handler", code=code)
    assert 'broken.py", line 1, in <module>' in str(caught.value.__cause__)
    assert "importlib" not in str(caught.value.__cause__)


def test_the_payload_is_lambda_s(engine: Engine, code: Path) -> None:
    reply = engine.function("raising:noted", code=code, name="noted").invoke_raw()
    assert sorted(json.loads(reply.payload)) == ["errorMessage", "errorType", "requestId", "stackTrace"]


def test_it_can_be_pickled(shown: Shown) -> None:
    error, _ = shown("noted")
    again = pickle.loads(pickle.dumps(error))
    assert (again.error_type, again.__notes__) == ("ValueError", ["first note", "second note"])
