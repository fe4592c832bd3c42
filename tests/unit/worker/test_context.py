"""What a handler sees: its context object, environment variables, place, and randomness."""

from __future__ import annotations

import os
import re
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import FUNCTIONS, until

from engine import Context, Engine
from engine.worker import context as contexts

Function = Callable[..., Any]


def slice_of(pid: int) -> int | None:
    """How long a turn on its core is, in ns; None where the kernel does not say."""
    found = re.search(r"^se\.slice\s*:\s*(\d+)", Path(f"/proc/{pid}/sched").read_text(), re.MULTILINE)
    return int(found[1]) if found else None


class TestTheObject:
    """Without a process: an instance over a header of our own."""

    @staticmethod
    def make(timeout: float = 3.0, started: float = 0.0, **members: str) -> Context:
        header = bytearray(contexts.HEADER_BYTES)
        header[contexts.TIMEOUT_NS] = int(timeout * 1e9).to_bytes(8, sys.byteorder)
        header[contexts.START_NS] = (time.monotonic_ns() + int(started * 1e9)).to_bytes(8, sys.byteorder)
        header[contexts.REQUEST_ID] = uuid.UUID(int=7).bytes
        return contexts.bind(**members)(bytes(header))

    def test_the_request_id(self) -> None:
        assert self.make().aws_request_id == "00000000-0000-0000-0000-000000000007"

    @pytest.mark.parametrize(
        ("timeout", "started", "least", "most"),
        [(3.0, 0.0, 2900, 3000), (900.0, 0.0, 899_000, 900_000), (1.0, -5.0, 0, 0), (2.0, -1.0, 900, 1000)],
    )
    def test_remaining_time(self, timeout: float, started: float, least: int, most: int) -> None:
        left = self.make(timeout, started).get_remaining_time_in_millis()
        assert type(left) is int
        assert least <= left <= most

    def test_members_can_be_set_as_on_lambda(self) -> None:
        context = self.make(function_name="f")
        context.function_name = "other"
        context.extra = 1  # type: ignore[attr-defined]
        assert (context.function_name, self.make(function_name="f").function_name) == ("other", "f")

    def test_log_writes_to_stdout(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.make().log("text")
        self.make().log({"a": 1})
        assert capsys.readouterr().out == "text{'a': 1}"


def test_members(function: Function) -> None:
    members = function("members", name="who", memory=256, timeout=20)
    got = members.invoke()
    raw = members.invoke_raw()
    assert uuid.UUID(got["aws_request_id"]).version == 4
    assert raw.request_id in raw.payload.decode()
    assert got["function_name"] == "who"
    assert got["function_version"] == "$LATEST"
    assert got["memory_limit_in_mb"] == "256"
    assert got["invoked_function_arn"] == "arn:aws:lambda:us-east-1:000000000000:function:who"
    assert got["log_group_name"] == "/aws/lambda/who"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", got["log_stream_name"])
    assert got["tenant_id"] is None
    assert got["client_context"] is None
    assert got["identity"] == [None, None]
    assert 15_000 < got["remaining"] <= 20_000
    assert got["repr"].startswith(f"LambdaContext([aws_request_id={got['aws_request_id']},log_group_name=")
    assert got["repr"].endswith("tenant_id=None])")


def test_the_log_stream_is_the_workers(function: Function) -> None:
    members = function("members")
    other = function("members", name="other")
    first = members.invoke()["log_stream_name"]
    assert members.invoke()["log_stream_name"] == first
    assert other.invoke()["log_stream_name"] != first


def test_the_clock_runs(function: Function) -> None:
    first, second = function("remaining_twice", timeout=10).invoke(20)
    assert 9_000 < first <= 10_000
    assert first - second > 20


class TestEnvironment:
    def test_lambdas_variables(self, function: Function) -> None:
        got = function("environment", name="env", memory=192).invoke()
        expected = {
            "_HANDLER": "app.environment",
            "AWS_REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "env",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/env",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "TZ": ":UTC",
            "PWD": str(FUNCTIONS),
        }
        assert {name: got.get(name) for name in expected} == expected
        assert got["AWS_DEFAULT_REGION"] == got["AWS_REGION"]
        assert os.path.isdir(got["LAMBDA_RUNTIME_DIR"])

    def test_the_log_stream_is_the_contexts(self, function: Function) -> None:
        evaluate = function("evaluate")
        assert evaluate.invoke("os.environ['AWS_LAMBDA_LOG_STREAM_NAME'] == context.log_stream_name") is True

    def test_fresh_init_is_on_demand(self, function: Function) -> None:
        got = function("environment", init="fresh").invoke()
        assert got["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"

    def test_its_own_variables_win(self, function: Function) -> None:
        mine = {"MINE": "ä\n", "TZ": ":Europe/Rome", "AWS_REGION": "eu-south-1", "OMP_NUM_THREADS": "3"}
        got = function("environment", name="own", environment=mine).invoke()
        assert {name: got[name] for name in mine} == mine
        assert got["AWS_DEFAULT_REGION"] == "eu-south-1"

    def test_they_are_there_at_init(self, engine: Any, write: Callable[..., Any]) -> None:
        source = "import os\nSIZE = os.environ['SIZE']\ndef handler(event, context): return SIZE\n"
        sized = engine.function("sized:handler", code=write(sized=source), environment={"SIZE": "128"})
        assert sized.invoke() == "128"

    def test_other_functions_do_not_see_them(self, function: Function) -> None:
        one = function("environment", environment={"ONE": "1"})
        two = function("environment", environment={"TWO": "2"})
        assert "TWO" not in one.invoke()
        assert "ONE" not in two.invoke()
        assert "ONE" not in os.environ

    def test_the_time_zone_is_utc(self, function: Function) -> None:
        assert function("evaluate").invoke("__import__('time').tzname[0]") == "UTC"


class TestPlace:
    def test_the_code_directory(self, function: Function) -> None:
        got = function("place").invoke()
        assert got["cwd"] == str(FUNCTIONS)
        assert got["path0"] == str(FUNCTIONS)
        assert got["session"] is True

    def test_the_current_directory_is_the_default(
        self, engine: Any, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = write(local="import os\ndef handler(event, context): return os.getcwd()\n")
        monkeypatch.chdir(code)
        local = engine.function("local:handler")
        assert local.invoke() == str(code)
        assert local.name == "local"

    def test_a_relative_directory(
        self, engine: Any, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = write(near="def handler(event, context): return 'near'\n")
        monkeypatch.chdir(code.parent)
        assert engine.function("near:handler", code=code.name).invoke() == "near"

    @pytest.mark.promise(12)
    def test_a_worker_has_one_core(self, function: Function) -> None:
        assert len(function("cores").invoke()) == 1

    @pytest.mark.promise(344)
    def test_after_a_pause_it_is_its_callers(self, function: Function) -> None:
        """And its own again once calls come one after the other."""
        before = os.sched_getaffinity(0)
        if len(before) < 2:
            pytest.skip("needs two cores")
        cores = function("cores")
        (own,) = cores.invoke()
        callers = min(before - {own})
        os.sched_setaffinity(0, {callers})
        try:
            until(lambda: cores.invoke() == [callers], what="its caller's core")
            end = time.monotonic() + 10
            while cores.invoke() != [own]:
                assert time.monotonic() < end, "it did not go back"
        finally:
            os.sched_setaffinity(0, before)

    @pytest.mark.promise(12)
    def test_unless_it_is_not_to_be_pinned(self) -> None:
        with Engine(pin=False) as engine:
            assert set(engine.function("app:cores", code=FUNCTIONS).invoke()) == os.sched_getaffinity(0)

    @pytest.mark.promise(351)
    def test_a_worker_has_short_turns_on_its_core(self, function: Function) -> None:
        """What else is woken there does not keep the next event waiting."""
        if slice_of(os.getpid()) is None:
            pytest.skip("this kernel has no turns of a process's own length")
        assert slice_of(function("pid").invoke()) == 100_000

    @pytest.mark.promise(351)
    def test_unless_another_policy_was_chosen_for_it(self) -> None:
        if slice_of(os.getpid()) is None:
            pytest.skip("this kernel has no turns of a process's own length")
        own, usual = os.sched_getscheduler(0), slice_of(os.getpid())
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        try:
            with Engine() as engine:
                fn = engine.function("app:pid", code=FUNCTIONS)
                worker = fn.invoke()
                assert (os.sched_getscheduler(worker), slice_of(worker)) == (os.SCHED_BATCH, usual)
        finally:
            os.sched_setscheduler(0, own, os.sched_param(0))

    def test_workers_share_the_cores_out(self) -> None:
        """In an engine of its own: others' workers that are about to end have cores, too."""
        many = len(os.sched_getaffinity(0))
        with Engine() as engine:
            cores = engine.function("app:cores", code=FUNCTIONS, concurrency=many, warm=many)
            pinned = {tuple(os.sched_getaffinity(pid)) for pid in cores.workers()}
        assert len(pinned) >= min(many, 2)

    @pytest.mark.promise(345)
    def test_what_msgspec_would_import_is_imported_when_a_function_does(
        self, engine: Engine, write: Callable[..., Path]
    ) -> None:
        source = """
import sys
before = "typing_extensions" in sys.modules
import msgspec
from typing_extensions import Annotated, NotRequired, Required, TypedDict
class Both(TypedDict, total=False):
    a: Required[Annotated[int, msgspec.Meta(ge=1)]]
    b: NotRequired[str]
def handler(event, context):
    try:
        return [before, msgspec.convert(event, Both)]
    except msgspec.ValidationError as error:
        return str(error)
"""
        fn = engine.function("typed:handler", code=write(typed=source))
        assert fn.invoke({"a": 1}) == [False, {"a": 1}]
        assert fn.invoke({"a": 2, "b": "c"}) == [False, {"a": 2, "b": "c"}]
        assert "missing required field `a`" in fn.invoke({"b": "c"})
        assert ">= 1" in fn.invoke({"a": 0})
        fn.remove()

    def test_no_event_loop_is_imported_for_it(self, function: Function) -> None:
        unwanted = (
            "[m for m in ('asyncio', 'uvloop', 'concurrent.futures', 'multiprocessing') if m in sys.modules]"
        )
        assert function("evaluate").invoke(unwanted) == []


class TestRandomness:
    def test_each_worker_is_seeded_anew(self, function: Function) -> None:
        facts = function("init_facts", concurrency=3, warm=3)
        numbers = function("init_facts", concurrency=3, warm=3)
        seen = {}
        for one in (facts, numbers):
            first = one.invoke()
            seen[first["worker"]] = first["now"]
        assert len(set(seen.values())) == len(seen) == 2

    @pytest.mark.promise(19)
    def test_workers_of_one_template(self, engine: Any, function: Function) -> None:
        facts = function("init_facts")
        numbers = set()
        for _ in range(5):
            got = facts.invoke()
            numbers.add(got["now"])
            os.kill(got["worker"], 9)
            until(lambda pid=got["worker"]: facts.workers() and pid not in facts.workers())
        assert len(numbers) == 5

    @pytest.mark.promise(19)
    def test_numpys_too(self, engine: Any, write: Callable[..., Any]) -> None:
        """A stand-in for numpy.random, which counts its seedings: the real one is large."""
        random = "seeded = 0\ndef seed():\n    global seeded\n    seeded += 1\n"
        code = write(app="import numpy.random\ndef handler(e, c): return numpy.random.seeded\n")
        (code / "numpy").mkdir()
        (code / "numpy" / "__init__.py").write_text("from . import random\n")
        (code / "numpy" / "random.py").write_text(random)
        assert engine.function("app:handler", code=code, name="numpy").invoke() == 1
