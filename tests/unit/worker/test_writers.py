"""Who else writes than the worker's first thread: a handler's threads, and the processes that it forks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import until

from engine import Engine, FunctionCrashed, FunctionTimeout

INVOCATIONS = 5
LINES = 5000
THREADS = """
import sys, threading
def handler(event, context):
    def work(name):
        for n in range(event):
            sys.stdout.write(f"<{name} {n}>" + "." * (n % 90) + "\\n")
    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads: thread.start()
    work("main")
    for thread in threads: thread.join()
    return "whole"
"""
LEFT = """
import threading
going = None
def handler(event, context):
    global going
    if going is None:
        def work():
            while True: print("left behind")
        going = threading.Thread(target=work, daemon=True)
        going.start()
    return event
"""
FORKS = """
import multiprocessing, os, subprocess, sys
def work(name, count):
    for n in range(count): sys.stdout.write(f"<{name} {n}>\\n")
def handler(event, context):
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=work, args=(name, event)) for name in "abc"]
    for child in children: child.start()
    work("main", event)
    for child in children: child.join()
    return [child.exitcode for child in children]
def returns(event, context):
    child = os.fork()
    if not child: return "the child's"
    return os.waitpid(child, 0)[1]
def calls(event, context):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try: context.invoke("other", 1)
        except Exception as error: os.write(write, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(read, 1000).decode()
"""


LAST = """
import os, time
def handler(event, context):
    for n in range(300): print(n, "of 300")
    print("the last, without an end of line", end="")
    time.sleep(event) if event else os.kill(os.getpid(), 9)
"""
ODD = """
import sys
class Text(str): pass
def handler(event, context):
    counts = [sys.stdout.write(text) for text in ("é ", "\\udc80 ", Text("own "), "", "\\0\\n")]
    try: sys.stdout.write(b"bytes")
    except TypeError: print("none")
    sys.stdout.reconfigure(errors="replace")
    print("\\udc80")
    return counts
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name, source in (
        ("threads", THREADS),
        ("left", LEFT),
        ("forks", FORKS),
        ("last", LAST),
        ("odd", ODD),
    ):
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def stoker(lines: list[str]) -> Iterator[Engine]:
    with Engine(logs=lambda name, id, text: lines.append(text)) as engine:
        yield engine


def logged(lines: list[str]) -> list[str]:
    """Each line that was printed, whole: none is within another."""
    text = re.sub(r"\[stoker\] .* dropped\n", "", "".join(lines))
    found = text.splitlines()
    assert [line for line in found if not re.fullmatch(r"<\w+ \d+>\.*", line)] == []
    return found


@pytest.mark.promise(36)
def test_threads_of_a_handler_print_at_once(stoker: Engine, code: Path, lines: list[str]) -> None:
    """More than the lane holds is dropped, and counted; nothing else is amiss."""
    fn = stoker.function("threads:handler", code=code, timeout=60)
    for _ in range(INVOCATIONS):
        assert fn.invoke(LINES) == "whole"
    assert [stats.crashes for stats in stoker.stats().values()] == [0]
    assert len(logged(lines)) > LINES


@pytest.mark.promise(36)
def test_a_thread_that_prints_for_ever_disturbs_no_later_invocation(stoker: Engine, code: Path) -> None:
    fn = stoker.function("left:handler", code=code)
    assert [fn.invoke(n) for n in range(200)] == list(range(200))


@pytest.mark.promise(36)
def test_children_of_a_handler_print_and_nothing_is_lost(
    stoker: Engine, code: Path, lines: list[str]
) -> None:
    fn = stoker.function("forks:handler", code=code, timeout=60)
    for _ in range(INVOCATIONS):
        assert fn.invoke(50) == [0, 0, 0]
    expected = sorted(f"<{name} {n}>" for name in ("a", "b", "c", "main") for n in range(50)) * INVOCATIONS
    until(lambda: len("".join(lines).splitlines()) >= len(expected), what="every line")
    assert sorted(logged(lines)) == sorted(expected)


@pytest.mark.promise(36)
def test_a_child_that_returns_from_the_handler_replies_to_nobody(stoker: Engine, code: Path) -> None:
    fn = stoker.function("forks:returns", code=code)
    assert [fn.invoke(None) for _ in range(3)] == [0, 0, 0]


@pytest.mark.promise(36)
def test_a_child_cannot_invoke_by_its_parents_lane(stoker: Engine, code: Path) -> None:
    stoker.function("left:handler", code=code, name="other")
    fn = stoker.function("forks:calls", code=code)
    assert "another process's" in fn.invoke(None)


@pytest.mark.promise(342)
@pytest.mark.parametrize("seconds", [0, 60], ids=["killed", "timed out"])
def test_the_last_words_of_a_worker_are_logged(
    stoker: Engine, code: Path, lines: list[str], seconds: int
) -> None:
    fn = stoker.function("last:handler", code=code, timeout=1)
    with pytest.raises((FunctionCrashed, FunctionTimeout)):
        fn.invoke(seconds)
    until(lambda: bool(lines), what="the log")
    expected = "".join(f"{n} of 300\n" for n in range(300)) + "the last, without an end of line"
    assert "".join(lines).startswith(expected)


@pytest.mark.promise(36)
def test_what_is_not_plainly_text_is_written_as_any_stream_does(
    stoker: Engine, code: Path, lines: list[str]
) -> None:
    assert stoker.function("odd:handler", code=code).invoke(None) == [2, 2, 4, 0, 2]
    assert "".join(lines) == "é \\udc80 own \0\nnone\n?\n"
