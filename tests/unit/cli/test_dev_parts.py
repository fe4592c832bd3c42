"""`stoker dev` without a server: what a saved file is to a template, and how an invocation is shown."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import RUNTIME

from engine.cli.sources import Sources, Watcher
from engine.cli.tail import Printer, Screen
from engine.deploy.packaging import packaged


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Two functions and a layer, each in a folder."""
    resources: dict[str, Any] = {}
    for name in ("one", "two"):
        properties = {"CodeUri": name, "Runtime": RUNTIME, "Handler": "app.handler"}
        resources[name.title()] = {"Type": "AWS::Serverless::Function", "Properties": properties}
    resources["Layer"] = {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "layer"}}
    for name in ("one", "two", "layer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text("x = 1\n")
    (tmp_path / "template.json").write_text("{}")
    found = Sources(tmp_path / "template.json")
    found.packed = packaged({"Resources": resources}, tmp_path, lambda data: "0" * 64, print)
    return found


@pytest.fixture
def saved(sources: Sources) -> Iterator[Any]:
    """Gives the files that were saved, once `wanted` is among them."""
    told: queue.Queue[set[Path]] = queue.Queue()
    watcher = Watcher(told.put)
    watcher.follow(sources.folders())

    def wait(wanted: Path) -> set[Path]:
        found: set[Path] = set()
        while wanted not in found:
            found |= told.get(timeout=30)
        watcher.follow(sources.folders())
        return found

    yield wait
    watcher.close()


def test_a_saved_file_is_its_functions(sources: Sources, saved: Any, tmp_path: Path) -> None:
    path = tmp_path / "one/app.py"
    path.write_text("x = 2\n")
    fresh = sources.fresh(saved(path))
    change = sources.change(fresh)
    assert ([source.logical for source in change.functions], change.whole, change.broken) == (
        ["One"],
        False,
        {},
    )
    assert sources.fresh({path}) == set()  # it has only been read


def test_a_folder_that_is_new_is_watched(sources: Sources, saved: Any, tmp_path: Path) -> None:
    (tmp_path / "two/more").mkdir()
    saved(tmp_path / "two/more")
    path = tmp_path / "two/more/m.py"
    path.write_text("y = 1\n")
    change = sources.change(saved(path))
    assert [source.logical for source in change.functions] == ["Two"]


@pytest.mark.parametrize(
    "name", ["template.json", "layer/app.py", "one/requirements.txt", "one/pyproject.toml"]
)
def test_what_takes_a_deployment(sources: Sources, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("# {}\n")
    assert sources.change({tmp_path / name}).whole


@pytest.mark.parametrize("name", ["README.md", ".stoker/x", "one/__pycache__/app.pyc", "one/.venv/x.py"])
def test_what_is_nothing_to_it(sources: Sources, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    change = sources.change({tmp_path / name})
    assert (change.whole, change.functions, change.files) == (False, [], set())


@pytest.mark.parametrize(
    ("text", "why"),
    [("x = (\n", "was never closed"), ("\tx\n", "unexpected indent"), ("x = 'a\n", "unterminated")],
)
def test_what_cannot_be_compiled(sources: Sources, tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "one/app.py"
    path.write_text(text)
    assert why in sources.change({path}).broken[path]


def test_what_is_being_written_is_not_there_yet(sources: Sources, tmp_path: Path) -> None:
    path = tmp_path / "one/app.py"
    with path.open("w") as file:
        file.write("x = (")
        file.flush()
        begun = threading.Event()

        def finish() -> None:
            begun.wait()
            file.write("1)\n")
            file.close()

        writer = threading.Thread(target=finish)
        writer.start()
        begun.set()
        assert sources.change({path}).broken == {}
        writer.join()


@pytest.fixture
def printer(tmp_path: Path) -> Printer:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text("")
    made = Printer(Screen(os.environ), tmp_path)
    made.names, made.sources = {"project-Hello-1": "Hello"}, {"Hello": tmp_path / "src"}
    return made


FAILED = """\
[ERROR] ValueError: so be it
Traceback (most recent call last):
  File "/var/task/app.py", line 7, in handler
    raise ValueError("so be it")
  File "/var/task/gone.py", line 1, in it
after it
"""


def test_an_invocation_is_a_line(printer: Printer, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"function": "project-Hello-1", "ms": 4.21, "cold": True, "initMs": 38.2, "status": "success"}
    printer.show({**line, "output": "one\ntwo\n"})
    head, *rest = capsys.readouterr().out.splitlines()
    assert head[8:] == "  Hello  4.2 ms  cold, init 38 ms"
    assert rest == ["  one", "  two"]
    printer.show(
        {**line, "cold": False, "ms": 0.05, "status": "failure", "errorType": "ValueError", "output": FAILED}
    )
    head, *rest = capsys.readouterr().out.splitlines()
    assert head[8:] == "  Hello  50 µs  warm  failure: ValueError"
    assert rest[2] == '    File "src/app.py", line 7, in handler'
    assert rest[4] == '    File "/var/task/gone.py", line 1, in it'  # which is no file of the sources
    printer.logs = False
    printer.show({**line, "status": "failure", "errorType": "ValueError", "output": f"before\n{FAILED}"})
    shown = capsys.readouterr().out
    assert "so be it" in shown
    assert "before" not in shown
    assert "after it" not in shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ({"dropped": 7}, "7 more lines"),
        (
            {"function": "f", "throttled": "ReservedFunctionConcurrentInvocationLimitExceeded"},
            "f  throttled: Reserved",
        ),
        (
            {"function": "f", "status": "timeout", "ms": 3000, "cold": False},
            "f  3.00 s  warm  timeout: it did not end",
        ),
        ({"function": "f", "output": "printed by an init\n"}, "printed by an init"),
    ],
)
def test_other_lines(
    printer: Printer, capsys: pytest.CaptureFixture[str], line: dict[str, Any], shown: str
) -> None:
    printer.show(line)
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize("text", ["/var/task/app.py", f"/srv/state/code/{'a' * 64}/app.py"])
def test_paths_of_deployed_code(printer: Printer, text: str) -> None:
    assert printer.mapped(f'File "{text}", line 7', "project-Hello-1") == 'File "src/app.py", line 7'
    assert printer.mapped(f'"stackTrace": ["File \\"{text}\\""]', "project-Hello-1").count("src/app.py") == 1
    assert printer.mapped(text, "another") == text
