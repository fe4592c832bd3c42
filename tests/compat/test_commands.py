"""The commands that talk to a server: what they do, and their messages when they fail."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from served import Run, Served

from engine.cli import logs
from engine.cli.main import main

HANDLER = "def handler(event, context):\n    print('it says', event)\n    return event\n"


def invoked(run: Run, url: str, name: str, event: str = "{}") -> Any:
    status, out, _ = run("invoke", name, event, "--endpoint", url)
    assert status == 0
    return json.loads(out)


def test_a_directory_from_its_deployment_to_its_end(run: Run, server: Served, tmp_path: Path) -> None:
    source = tmp_path / "a place.d"
    source.mkdir()
    (source / "app.py").write_text(HANDLER)
    assert run("deploy", "a place.d") == (0, "a-place-d created\n", "")
    assert invoked(run, server.url, "a-place-d", '{"n": 1}') == {"n": 1}
    (source / "app.py").write_text("def other(event, context):\n    return 'new'\n")
    done = run(
        "deploy",
        "a place.d",
        "--handler",
        "app.other",
        "--memory",
        "256",
        "--env",
        "AB=c=d",
        "--timeout",
        "9",
    )
    assert done == (0, "a-place-d updated\n", "")
    assert invoked(run, server.url, "a-place-d") == "new"
    status, out, _ = run("ls")
    assert status == 0
    [line] = [line.split("  ") for line in out.splitlines() if line.startswith("a-place-d ")]
    assert "256 MB" in [cell.strip() for cell in line] and "9 s" in [cell.strip() for cell in line]
    configuration = server.client().get_function_configuration(FunctionName="a-place-d")
    assert configuration["Environment"] == {"Variables": {"AB": "c=d"}}
    assert run("rm", "a-place-d") == (0, "a-place-d deleted\n", "")
    status, out, err = run("rm", "a-place-d")
    assert (status, out) == (2, "")
    assert err.startswith("stoker rm: ResourceNotFoundException: Function not found: arn:aws:lambda:")


def test_a_file_and_a_function_in_it(run: Run, server: Served, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def first(e, c):\n    return 1\ndef second(e, c):\n    return 2\n")
    assert run("deploy", "one.py:first", "--name", "of-a-file")[1] == "of-a-file created\n"
    assert invoked(run, server.url, "of-a-file") == 1
    assert (
        run("deploy", "one.py", "--handler", "one.second", "--name", "of-a-file")[1] == "of-a-file updated\n"
    )
    assert invoked(run, server.url, "of-a-file") == 2
    run("rm", "of-a-file")


def test_nothing_has_changed_when_something_is_refused(run: Run, server: Served, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text(HANDLER)
    run("deploy", "same.py")
    before = server.client().get_function_configuration(FunctionName="same")
    (tmp_path / "same.py").write_text(HANDLER + "# more\n")
    status, _, err = run("deploy", "same.py", "--memory", "5")
    assert status == 2
    assert "ValidationException: 1 validation error detected: Value '5' at 'memorySize'" in err
    after = server.client().get_function_configuration(FunctionName="same")
    assert after["CodeSha256"] == before["CodeSha256"]
    run("rm", "same")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("deploy nowhere", "nowhere is neither a directory nor a .py file"),
        ("deploy notes.txt", "notes.txt is neither a directory nor a .py file"),
        ("deploy empty", "which function of empty is the handler? Say --handler MODULE.FUNCTION"),
        ("deploy empty:handler", "empty:handler: write empty --handler MODULE.FUNCTION"),
        ("deploy app.py:one --handler app.two", "app.py:one: write app.py --handler MODULE.FUNCTION"),
        ("deploy app.py --env A", "--env A: write NAME=VALUE, NAME being two or more letters, digits or underscores"),
        ("deploy app.py --env =1", "--env =1: write NAME=VALUE, NAME being two or more letters, digits or underscores"),
        ("deploy app.py --endpoint nonsense", "the endpoint nonsense is no URL: write it as http://127.0.0.1:9001"),
        ("ls --endpoint http://", "the endpoint http:// is no URL: write it as http://127.0.0.1:9001"),
        ("ls --endpoint http://h:x", "the endpoint http://h:x is no URL: write it as http://127.0.0.1:9001"),
        ("logs f --since nan", "--since nan: write 90, 90s, 15m, 2h or 1d"),
        ("logs f --since=-5", "--since -5: write 90, 90s, 15m, 2h or 1d"),
        ("logs f --since 1e400d", "--since 1e400d: write 90, 90s, 15m, 2h or 1d"),
        ("logs nobody-at-all", "nobody-at-all has logged nothing yet"),
        ("invoke f --memory 128 --endpoint http://127.0.0.1:1",
         "--memory is for a function that runs here: leave it out, or leave --endpoint out"),
        ("ls --endpoint http://127.0.0.1:1", 'Could not connect to the endpoint URL: "http://127.0.0.1:1/2015-03-31/functions"'
         " Is the server running? Start it with: stoker serve"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(run: Run, tmp_path: Path, arguments: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "app.py").write_text(HANDLER)
    command = arguments.split(maxsplit=1)[0]
    assert run(*arguments.split()) == (2, "", f"stoker {command}: {message}\n")


def test_a_package_that_is_too_large_is_not_sent(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "noise").write_bytes(os.urandom(2 << 20))
    monkeypatch.setattr("engine.limits.ZIPPED_BYTES", 1 << 20)
    status, _, err = run("deploy", ".", "--endpoint", "http://127.0.0.1:1")
    assert status == 2
    assert err == "stoker deploy: . is 2.0 MiB when packed: Lambda takes 1 MiB at most\n"


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_upload_is_watched_on_a_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "noise").write_bytes(os.urandom(1 << 20))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run("deploy", ".", "--name", "watched")[:2] == (0, "watched created\n")
    drawn = terminal.getvalue().split("\r")[1:]
    assert drawn[-1].startswith("uploading [############################] 100% of 1")
    percents = [int(each.split("] ")[1].split("%")[0]) for each in drawn]
    assert percents == sorted(set(percents))  # drawn once, and forwards
    assert len(percents) > 5
    assert terminal.getvalue().count("\n") == 1
    terminal.truncate(0)
    assert run("deploy", ".", "--name", "watched", "--endpoint", "http://127.0.0.1:1")[0] == 2
    assert "Is the server running?" in terminal.getvalue()
    run("rm", "watched")


def test_a_log_is_followed(run: Run, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chatty.py").write_text(HANDLER)
    run("deploy", "chatty.py")
    invoked(run, server.url, "chatty", '"first"')
    seen: list[str] = []

    def pause(_seconds: float) -> None:
        """Between two reads of the log: logs more the first time, and ends `stoker logs` after that."""
        text = sys.stdout.getvalue()  # type: ignore[attr-defined]
        seen.append(text)
        if text.count("REPORT ") == 2:
            raise KeyboardInterrupt
        if text.count("REPORT ") == 1 and "REPORT" not in "".join(seen[:-1]):
            server.client().invoke(FunctionName="chatty", Payload='"second"')

    monkeypatch.setattr(logs.time, "sleep", pause)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        main(["logs", "chatty", "-f", "--since", "1h"])
    lines = seen[-1].splitlines()
    assert [line for line in lines if line.startswith("it says")] == ["it says first", "it says second"]
    assert len(lines) == len([line for line in lines if line]) == 9  # INIT_START, and twice four
    server.client().delete_function(FunctionName="chatty")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_completion_is_a_script(run: Run, shell: str) -> None:
    status, out, err = run("completion", shell)
    assert (status, err) == (0, "")
    assert "deploy) words=" in out and "--handler" in out
