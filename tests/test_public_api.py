"""The public face, frozen: a change here is a change for users, and is made on purpose."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import engine

NAMES = [
    "AsyncBus", "AsyncConsumption", "AsyncEngine", "AsyncFunction", "AsyncQueue", "AsyncRule", "Bus", "Consumption",
    "Context", "Engine", "EngineClosed", "EngineError", "Executor", "Function",
    "FunctionCrashed", "FunctionError", "FunctionNotFound", "FunctionStats", "FunctionTimeout", "InitError",
    "InvalidConfiguration", "InvalidEvent", "Message", "PayloadTooLarge", "Queue", "QueueFull", "Reply", "Rule",
    "StoreError",
    "Timings", "TooManyRequests",
    "UnsupportedPlatform", "__version__",
]  # fmt: skip

ENGINE = (
    "(self, *, payload_limit: 'int' = 6291456, logs: 'LogSink | bool' = True, pin: 'bool' = True, "
    "spin: 'float | None' = None, waiting_bytes: 'int' = 268435456, "
    "state: 'str | os.PathLike[str] | None' = None) -> 'None'"
)
FUNCTION = (
    "(self, handler: 'str | Callable[..., Any]', *, code: 'str | os.PathLike[str] | None' = None, "
    "name: 'str | None' = None, memory: 'int' = 128, timeout: 'float' = 30.0, concurrency: 'int' = 1, "
    "warm: 'int' = 1, init: \"Literal['snapshot', 'fresh']\" = 'snapshot', "
    "environment: 'Mapping[str, str] | None' = None, codec: \"Literal['json', 'raw']\" = 'json', "
    "waiting: 'int' = 1000, keep_alive: 'float' = 60.0, init_timeout: 'float' = 10.0) -> '{}'"
)

QUEUE = "(self, name: 'str', *, max_receives: 'int | None' = None, dead_letters: 'str | None' = None) -> '{}'"
POLICY = (
    "retries: 'int' = 2, retry_delays: 'Sequence[float]' = (60.0, 120.0), max_age: 'float' = 21600.0, "
    "dead_letters: 'str | None' = None"
)
ON = f"(self, pattern: 'Mapping[str, Any]', function: '{{}} | str', *, {POLICY}) -> '{{}}'"
SCHEDULE = (
    "(self, expression: 'str', function: '{} | str', *, event: 'Any' = None, zone: 'str' = 'UTC', "
    f"name: 'str | None' = None, {POLICY}) -> '{{}}'"
)
CONSUME = "(self, function: '{} | str', source: 'Source', **wanted: 'Unpack[Wanted]') -> '{}'"
PUT = "(self, value: 'Any', *, delay: 'float' = 0.0) -> 'int'"
RECEIVE = "(self, n: 'int' = 1, *, wait: 'float' = 0.0, lease: 'float' = 30.0) -> 'list[Message]'"

SIGNATURES = {
    "Engine.__init__": ENGINE,
    "Engine.function": FUNCTION.format("Function"),
    "Engine.stats": "(self) -> 'dict[str, FunctionStats]'",
    "Engine.close": "(self, drain: 'float' = 30.0) -> 'None'",
    "Engine.drain_on_signal": "(self, *signals: 'signal.Signals') -> 'None'",
    "Function.invoke": "(self, event: 'Any' = None) -> 'Any'",
    "Function.invoke_raw": "(self, payload: 'bytes | bytearray | memoryview' = b'null') -> 'Reply'",
    "Function.submit": "(self, event: 'Any' = None) -> 'Future[Any]'",
    "Function.map": "(self, events: 'Iterable[Any]', *, ahead: 'int' = 64, "
    "return_exceptions: 'bool' = False, ordered: 'bool' = True) -> 'Iterator[Any]'",
    "Function.workers": "(self) -> 'list[int]'",
    "Function.remove": "(self) -> 'None'",
    "Executor.__init__": (
        "(self, max_workers: 'int | None' = None, mp_context: 'Any' = None, "
        "initializer: 'Callable[..., Any] | None' = None, initargs: 'Iterable[Any]' = (), *, "
        "max_tasks_per_child: 'int | None' = None, timeout: 'float | None' = None, "
        "memory: 'int | None' = None) -> 'None'"
    ),
    "Executor.submit": "(self, fn: 'Callable[..., Any]', /, *args: 'Any', **kwargs: 'Any') -> 'TaskFuture'",
    "Executor.schedule": (
        "(self, fn: 'Callable[..., Any]', args: 'Iterable[Any]' = (), kwargs: 'dict[str, Any] | None' = None, *, "
        "timeout: 'float | None' = None) -> 'TaskFuture'"
    ),
    "Executor.map": (
        "(self, fn: 'Callable[..., Any]', *iterables: 'Iterable[Any]', timeout: 'float | None' = None, "
        "chunksize: 'int' = 1, buffersize: 'int | None' = None) -> 'Iterator[Any]'"
    ),
    "Executor.shutdown": "(self, wait: 'bool' = True, *, cancel_futures: 'bool' = False) -> 'None'",
    "Executor.workers": "(self) -> 'list[int]'",
    "AsyncEngine.__init__": ENGINE,
    "AsyncEngine.function": FUNCTION.format("AsyncFunction"),
    "AsyncEngine.stats": "(self) -> 'dict[str, FunctionStats]'",
    "AsyncEngine.close": "(self, drain: 'float' = 30.0) -> 'None'",
    "AsyncFunction.invoke": "(self, event: 'Any' = None) -> 'Any'",
    "AsyncFunction.invoke_raw": "(self, payload: 'bytes | bytearray | memoryview' = b'null') -> 'Reply'",
    "AsyncFunction.map": "(self, events: 'Iterable[Any] | Any', *, ahead: 'int' = 64, "
    "return_exceptions: 'bool' = False, ordered: 'bool' = True) -> 'AsyncIterator[Any]'",
    "AsyncFunction.workers": "(self) -> 'list[int]'",
    "AsyncFunction.remove": "(self) -> 'None'",
    "FunctionError.__init__": (
        "(self, error_type: 'str', error_message: 'str', stack_trace: 'list[str] | None' = None, "
        "request_id: 'str' = '') -> 'None'"
    ),
    "FunctionTimeout.__init__": "(self, request_id: 'str', timeout: 'float') -> 'None'",
    "FunctionCrashed.__init__": (
        "(self, request_id: 'str', exit_status: 'int | None', signal: 'str | None', oom: 'bool' = False) -> 'None'"
    ),
    "Context.get_remaining_time_in_millis": "(self) -> 'int'",
    "Engine.queue": QUEUE.format("Queue"),
    "AsyncEngine.queue": QUEUE.format("AsyncQueue"),
    "Engine.bus": "(self) -> 'Bus'",
    "Engine.on": ON.format("Function", "Rule"),
    "Engine.schedule": SCHEDULE.format("Function", "Rule"),
    "AsyncEngine.bus": "(self) -> 'AsyncBus'",
    "AsyncEngine.on": ON.format("AsyncFunction", "AsyncRule"),
    "AsyncEngine.schedule": SCHEDULE.format("AsyncFunction", "AsyncRule"),
    "Engine.consume": CONSUME.format("Function", "Consumption"),
    "AsyncEngine.consume": CONSUME.format("AsyncFunction", "AsyncConsumption"),
    "Consumption.pause": "(self) -> 'None'",
    "Consumption.resume": "(self) -> 'None'",
    "Consumption.stats": "(self) -> 'dict[str, Any]'",
    "Consumption.close": "(self) -> 'None'",
    "Bus.put": "(self, event: 'Mapping[str, Any]') -> 'int'",
    "AsyncBus.put": "(self, event: 'Mapping[str, Any]') -> 'int'",
    "Rule.remove": "(self) -> 'None'",
    "AsyncRule.remove": "(self) -> 'None'",
    "Queue.put": PUT,
    "Queue.receive": RECEIVE,
    "Queue.delete": "(self, *messages: 'Message') -> 'None'",
    "Queue.extend": "(self, message: 'Message', lease: 'float' = 30.0) -> 'bool'",
    "Queue.release": "(self, message: 'Message', *, delay: 'float' = 0.0) -> 'None'",
    "Queue.purge": "(self) -> 'int'",
    "Queue.depth": "(self) -> 'int'",
    "AsyncQueue.put": PUT,
    "AsyncQueue.receive": RECEIVE,
    "AsyncQueue.delete": "(self, *messages: 'Message') -> 'None'",
    "AsyncQueue.extend": "(self, message: 'Message', lease: 'float' = 30.0) -> 'bool'",
    "AsyncQueue.release": "(self, message: 'Message', *, delay: 'float' = 0.0) -> 'None'",
    "AsyncQueue.purge": "(self) -> 'int'",
    "AsyncQueue.depth": "(self) -> 'int'",
    "Context.invoke": "(self, name: 'str', event: 'Any' = None) -> 'Any'",
    "Context.log": "(self, message: 'Any') -> 'None'",
}

# Public members of each class, its dataclass fields among them.
MEMBERS = {
    "Engine": "bus close consume drain_on_signal function on queue schedule stats",
    "Function": "invoke invoke_raw map name remove submit workers",
    "Executor": "map schedule shutdown submit workers",
    "AsyncEngine": "bus close consume function on queue schedule stats",
    "Consumption": "close pause resume stats",
    "AsyncConsumption": "close pause resume stats",
    "Bus": "put",
    "AsyncBus": "put",
    "Rule": "remove",
    "AsyncRule": "remove",
    "Queue": "delete depth extend name purge put receive release",
    "AsyncQueue": "delete depth extend name purge put receive release",
    "Message": "age attempts id value",
    "AsyncFunction": "invoke invoke_raw map name remove submit workers",
    "Context": (
        "aws_request_id client_context function_name function_version get_remaining_time_in_millis identity "
        "invoke invoked_function_arn log log_group_name log_stream_name memory_limit_in_mb tenant_id"
    ),
    "Reply": "cold function_error log_tail memory payload request_id timings version",
    "Timings": "dispatch execute queue reply total",
    "FunctionStats": (
        "cancelled cold_starts concurrency crashes duration_p50 duration_p99 errors idle in_flight invocations "
        "late_replies latency_max latency_mean latency_p50 latency_p90 latency_p99 latency_p999 log_bytes_dropped "
        "queue_depth read starting throttles timeouts"
    ),
}

ERRORS = {
    "EngineError": ["Exception"],
    "FunctionError": ["EngineError"],
    "FunctionTimeout": ["FunctionError", "TimeoutError"],
    "FunctionCrashed": ["FunctionError"],
    "InitError": ["FunctionError"],
    "TooManyRequests": ["EngineError"],
    "PayloadTooLarge": ["EngineError"],
    "InvalidEvent": ["EngineError"],
    "InvalidConfiguration": ["EngineError", "ValueError"],
    "FunctionNotFound": ["EngineError", "LookupError"],
    "EngineClosed": ["EngineError"],
    "UnsupportedPlatform": ["EngineError"],
}


def find(path: str) -> Any:
    found: Any = engine
    for name in path.split("."):
        found = getattr(found, name)
    return found


def test_names() -> None:
    assert sorted(engine.__all__) == NAMES
    assert dir(engine) == NAMES
    for name in NAMES:
        assert getattr(engine, name) is not None


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'engine' has no attribute 'engines'"):
        find("engines")


@pytest.mark.parametrize("path", SIGNATURES)
def test_signatures(path: str) -> None:
    assert str(inspect.signature(find(path))) == SIGNATURES[path]


@pytest.mark.parametrize("name", MEMBERS)
def test_members(name: str) -> None:
    assert [member for member in dir(find(name)) if not member.startswith("_")] == MEMBERS[name].split()


@pytest.mark.parametrize("name", ERRORS)
def test_the_error_tree(name: str) -> None:
    assert [base.__name__ for base in find(name).__bases__] == ERRORS[name]


def test_every_error_is_in_the_tree() -> None:
    from engine import errors

    defined = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert defined - {"_RemoteTraceback"} == set(
        ERRORS
    )  # which is a cause's text, as the standard pool has it
    assert all(name in (errors.__doc__ or "") for name in ERRORS)


@pytest.mark.parametrize("name", [*MEMBERS, *ERRORS])
def test_everything_public_is_explained(name: str) -> None:
    thing = find(name)
    assert thing.__doc__
    for member, value in vars(thing).items():
        if inspect.isfunction(value) and not member.startswith("_"):
            assert value.__doc__, f"{name}.{member}"


# What `from engine import Engine` loads of the engine.
NAMED = {"errors", "launch", "limits", "routing", "routing.retry", "sync"}
SLOW = {
    "typing",
    "asyncio",
    "uvloop",
    "ssl",
    "msgspec",
    "_cffi_backend",
    "logging",
    "concurrent",
    "dataclasses",
    "inspect",
}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running it, and had not before."""
    program = f"import sys; sys.path[:0] = {sys.path!r}; b = set(sys.modules); {code}; print(*(set(sys.modules) - b))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.promise(64)
def test_importing_it_is_light() -> None:
    assert loaded_by("import engine") == {"engine", "engine.errors", "__future__"}


@pytest.mark.promise(316)
def test_naming_the_engine_imports_what_starts_its_first_process() -> None:
    """The rest is imported while that starts."""
    loaded = loaded_by("from engine import Engine")
    ours = {name for name in loaded if name.split(".")[0] == "engine"}
    assert ours == {"engine", *(f"engine.{name}" for name in NAMED)}
    assert {name.split(".")[0] for name in loaded} & SLOW == set()


def test_the_errors_need_no_native_part() -> None:
    loaded = loaded_by("from engine import FunctionError, TooManyRequests")
    assert "engine._native" not in loaded


def test_an_engine_brings_what_it_needs_and_no_more() -> None:
    loaded = {name.split(".")[0] for name in loaded_by("from engine import Engine, AsyncEngine")}
    assert {"uvloop", "msgspec", "asyncio"} <= loaded
    assert loaded & {"numpy", "boto3", "requests", "yaml", "pytest", "setuptools"} == set()


def test_the_version_is_the_packages() -> None:
    import tomllib
    from pathlib import Path

    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == engine.__version__
