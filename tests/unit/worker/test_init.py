"""Finding a handler, initialising it once or in every worker, and when a snapshot cannot be forked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import FUNCTIONS, LIBRARY, Logs, script, until

from engine import AsyncEngine, FunctionError, InitError, InvalidConfiguration
from engine.config import Reference, parse_reference

Function = Callable[..., Any]
Write = Callable[..., Path]


class TestReferences:
    @pytest.mark.parametrize(
        ("reference", "result"),
        [
            ("plain:handler", ["plain", 1]),
            ("plain.handler", ["plain", 1]),
            ("pkg.sub.mod:handler", ["pkg.sub.mod", 1]),
            ("pkg.sub.mod.handler", ["pkg.sub.mod", 1]),
            ("pkg/sub/mod.handler", ["pkg.sub.mod", 1]),
            ("pkg/sub/mod:handler", ["pkg.sub.mod", 1]),
            ("pkg.sub.mod:Nested.handler", ["nested", 1]),
        ],
    )
    def test_forms(self, function: Function, reference: str, result: Any) -> None:
        assert function(reference).invoke(1) == result

    @pytest.mark.parametrize(
        ("reference", "name"),
        [("plain:handler", "plain"), ("plain.handler", "plain"), ("pkg/sub/mod.handler", "pkg-sub-mod"),
         ("app:echo", "app-echo"), ("pkg.sub.mod:Nested.handler", "pkg-sub-mod-Nested-handler")],
    )  # fmt: skip
    def test_the_default_name(self, engine: Any, reference: str, name: str) -> None:
        made = engine.function(reference, code=FUNCTIONS)
        assert made.name == name
        made.remove()

    @pytest.mark.parametrize(
        "bad", ["", "handler", ":", "a:", ":b", ".b", "a.", "a b:c", "a:b\n", "m:" + "x" * 127]
    )
    def test_what_is_none(self, bad: str) -> None:
        with pytest.raises(
            InvalidConfiguration, match="bad handler .*: write module:function, for example app:handler"
        ):
            parse_reference(bad)

    @pytest.mark.parametrize("bad", [5, None, b"a:b", ["a:b"]])
    def test_other_types(self, bad: Any) -> None:
        with pytest.raises(InvalidConfiguration, match=f"not {type(bad).__name__}"):
            parse_reference(bad)

    def test_a_callable(self, function: Function) -> None:
        import textwrap

        assert parse_reference(textwrap.indent) == Reference("textwrap", "indent")
        assert parse_reference(Path.home) == Reference("pathlib", "Path.home")
        with pytest.raises(FunctionError):  # it is found and runs; its arguments do not fit
            function(textwrap.shorten).invoke(1)

    def test_a_lambda_or_local_function_cannot_be_imported(self) -> None:
        def local(event: Any, context: Any) -> None: ...

        import functools

        for bad in (lambda e, c: e, local):
            with pytest.raises(InvalidConfiguration, match="define the handler at the top level of a module"):
                parse_reference(bad)
        with pytest.raises(InvalidConfiguration, match=r"functools.partial"):
            parse_reference(functools.partial(print, 1))

    @pytest.mark.slow
    def test_a_function_of_the_script_itself(self, tmp_path: Path) -> None:
        source = (
            "import os, sys\n"
            "from engine import Engine\n"
            "side_effect = sys.argv[1:]\n"
            "def double(event, context): return [event * 2, __name__, os.getpid()]\n"
            "class Group:\n"
            "    @staticmethod\n"
            "    def triple(event, context): return event * 3\n"
            "if __name__ == '__main__':\n"
            "    with Engine() as engine:\n"
            "        double = engine.function(double)\n"
            "        value, name, pid = double.invoke(21)\n"
            "        assert pid != os.getpid() and name != '__main__', name\n"
            "        assert engine.function(Group.triple).invoke(5) == 15\n"
            "        print(value, double.name)\n"
        )
        assert script(source, directory=tmp_path) == "42 main-double\n"

    @pytest.mark.slow
    def test_of_an_interactive_session_there_is_no_file(self, tmp_path: Path) -> None:
        source = (
            "import subprocess, sys\n"
            "code = 'from engine import *\\ndef f(e, c): pass\\ntry: Engine().function(f)\\n'\n"
            "code += 'except InvalidConfiguration as error: print(error)'\n"
            "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout, end='')\n"
        )
        assert "interactive session" in script(source, directory=tmp_path)


class TestSnapshot:
    def test_init_runs_once(self, engine: Any, write: Write, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        source = f"open({str(trace)!r}, 'a').write('x')\nimport os\ndef handler(e, c): return os.getpid()\n"
        once = engine.function("once:handler", code=write(once=source), concurrency=3, warm=3)
        assert len(once.workers()) == 3
        assert trace.read_text() == "x"

    def test_fresh_init_runs_in_every_worker(self, engine: Any, write: Write, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        source = f"open({str(trace)!r}, 'a').write('x')\nimport os\nAT = os.getpid()\ndef handler(e, c): return AT\n"
        each = engine.function("each:handler", code=write(each=source), concurrency=3, warm=3, init="fresh")
        assert trace.read_text() == "xxx"
        assert each.invoke() in each.workers()

    def test_snapshot_state_is_shared_at_birth_only(self, function: Function) -> None:
        facts = function("init_facts")
        first = facts.invoke()
        os.kill(first["worker"], 9)
        until(lambda: facts.workers() not in ([], [first["worker"]]))
        second = facts.invoke()
        assert second["worker"] != first["worker"]
        assert second["pid"] == first["pid"]  # the template's
        assert second["pid"] not in (first["worker"], second["worker"])

    def test_what_init_prints_is_logged_without_a_request(
        self, engine: Any, write: Write, logs: Logs
    ) -> None:
        code = write(says="print('at init')\ndef handler(e, c): return 1\n")
        assert engine.function("says:handler", code=code).invoke() == 1
        assert until(lambda: "\n" in logs.of("says") and logs.by_request("says")) == {"": "at init\n"}

    def test_a_fork_of_the_init_is_left_alone(self, engine: Any, write: Write) -> None:
        """A helper process that init started serves every worker, and ends with the function."""
        source = (
            "import subprocess\nhelper = subprocess.Popen(['sleep', '1000'])\n"
            "def handler(e, c): return helper.pid\n"
        )
        helped = engine.function("helped:handler", code=write(helped=source))
        pid = helped.invoke()
        os.kill(helped.workers()[0], 9)
        assert until(lambda: helped.invoke() if helped.workers() else None) == pid
        assert os.path.exists(f"/proc/{pid}")
        helped.remove()
        until(lambda: not os.path.exists(f"/proc/{pid}"))


UNSAFE = {
    "thread": (
        "import threading, os\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
        "its init left 1 thread running",
    ),
    "threads": (
        "import threading, os\n"
        "for _ in range(3): threading.Thread(target=threading.Event().wait, daemon=True).start()\n",
        "its init left 3 threads running",
    ),
    "socket": ("import socket, os\nkept = socket.socketpair()\n", "its init left a socket open"),
}


class TestForkUnsafe:
    @pytest.mark.promise(20)
    @pytest.mark.parametrize("sin", UNSAFE)
    def test_falls_back_to_init_in_every_worker_and_says_so_once(
        self, engine: Any, write: Write, sin: str
    ) -> None:
        source, reason = UNSAFE[sin]
        source += "AT = os.getpid()\ndef handler(e, c): return [AT, os.getpid()]\n"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            unsafe = engine.function("unsafe:handler", code=write(unsafe=source), name=f"unsafe-{sin}", concurrency=2,
                                     warm=2)  # fmt: skip
            born, pid = unsafe.invoke()
            assert born == pid
            os.kill(pid, 9)
            until(lambda: len([p for p in unsafe.workers() if p != pid]) == 2)
            assert len(set(unsafe.invoke())) == 1
        ours = [w for w in caught if "cannot be forked" in str(w.message)]
        assert [w.category for w in ours] == [RuntimeWarning]
        assert str(ours[0].message).startswith(
            f"stoker: unsafe-{sin}: {reason}, so it cannot be forked after init"
        )

    def test_where_warnings_are_errors_it_still_starts(self, engine: Any, write: Write) -> None:
        source = UNSAFE["thread"][0] + "def handler(e, c): return 'up'\n"
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                unsafe = engine.function("strict:handler", code=write(strict=source))
            except RuntimeWarning:
                return  # the caller gets an error, and nothing hangs: as good
            assert unsafe.invoke() == "up"

    def test_what_init_cleaned_up_is_fine(self, engine: Any, write: Write) -> None:
        source = (
            "import os, socket, threading\nt = threading.Thread(target=print)\nt.start(); t.join()\n"
            "a, b = socket.socketpair(); a.close(); b.close()\nAT = os.getpid()\n"
            "def handler(e, c): return [AT, os.getpid()]\n"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tidy = engine.function("tidy:handler", code=write(tidy=source))
        born, pid = tidy.invoke()
        assert born != pid

    def test_it_does_not_come_back_on_a_second_start(self, engine: Any, write: Write) -> None:
        source = UNSAFE["socket"][0] + "def handler(e, c): return 1\n"
        with pytest.warns(RuntimeWarning, match="left a socket open"):
            for _ in range(10):
                again = engine.function("again:handler", code=write(again=source))
                assert again.invoke() == 1


HOOKS = """
import os
from snapshot_restore_py import register_after_restore, register_before_snapshot

seen = []

@register_before_snapshot
def first():
    seen.append(["before 1", os.getpid()])

def note(*args, **kwargs):
    seen.append([*args, kwargs, os.getpid()])

register_before_snapshot(note, "before 2", b=2)
register_after_restore(note, "after 1", a=1)

@register_after_restore
def second():
    seen.append(["after 2", os.getpid()])

def handler(event, context):
    return seen, os.getpid()
"""
# The library's own interface, where the real one is not installed.


class TestHooks:
    @pytest.fixture(params=["real", "stand-in"])
    def library(self, request: pytest.FixtureRequest) -> dict[str, str]:
        if request.param == "real":
            pytest.importorskip("snapshot_restore_py", reason="pip install snapshot-restore-py")
            return {}
        return {"snapshot_restore_py": LIBRARY}

    def test_before_runs_once_backwards_after_in_each_worker(
        self, engine: Any, write: Write, library: dict[str, str]
    ) -> None:
        code = write(hooked=HOOKS, **library)
        hooked = engine.function("hooked:handler", code=code, concurrency=2, warm=2)
        seen, pid = hooked.invoke()
        template = seen[0][-1]
        assert seen == [
            ["before 2", {"b": 2}, template],
            ["before 1", template],
            ["after 1", {"a": 1}, pid],
            ["after 2", pid],
        ]
        assert template != pid
        os.kill(pid, 9)
        until(lambda: len([p for p in hooked.workers() if p != pid]) == 2)
        seen, other = hooked.invoke()
        assert [entry[-1] for entry in seen] == [template, template, other, other]

    def test_without_a_snapshot_none_runs(self, engine: Any, write: Write, library: dict[str, str]) -> None:
        code = write(hooked=HOOKS, **library)
        assert engine.function("hooked:handler", code=code, init="fresh").invoke()[0] == []

    def test_one_that_fails_before(self, engine: Any, write: Write, library: dict[str, str]) -> None:
        source = (
            "import snapshot_restore_py as s\ns.register_before_snapshot(int, 'x')\ndef handler(e, c): pass\n"
        )
        with pytest.raises(InitError) as caught:
            engine.function("bad:handler", code=write(bad=source, **library))
        assert caught.value.error_type == "Runtime.BeforeSnapshotError"
        assert "invalid literal" in caught.value.error_message

    def test_one_that_fails_after(self, engine: Any, write: Write, library: dict[str, str]) -> None:
        source = (
            "import snapshot_restore_py as s\ns.register_after_restore(int, 'x')\ndef handler(e, c): pass\n"
        )
        with pytest.raises(InitError) as caught:
            engine.function("bad:handler", code=write(bad=source, **library))
        assert caught.value.error_type == "Runtime.AfterRestoreError"


def test_an_async_engine_falls_back_too(write: Write) -> None:
    import asyncio

    async def main() -> str:
        async with AsyncEngine(logs=False) as engine:
            code = write(unsafe=UNSAFE["thread"][0] + "def handler(e, c): return 'up'\n")
            unsafe = await engine.function("unsafe:handler", code=code)
            return await unsafe.invoke()

    with pytest.warns(RuntimeWarning, match="cannot be forked"):
        assert asyncio.run(main()) == "up"
