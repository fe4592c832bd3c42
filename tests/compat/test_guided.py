"""`stoker deploy --guided` at a terminal: what it asks, and what it keeps."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from served import ROOT, Run, Served
from stacks import outputs
from terminals import Terminal

TEMPLATE = {
    "Parameters": {
        "Stage": {"Type": "String", "AllowedValues": ["dev", "prod"], "Default": "dev"},
        "Word": {"Type": "String"},
        "Secret": {"Type": "String", "NoEcho": True, "Default": "none"},
    },
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"All": {"Value": {"Fn::Sub": "${Stage} ${Word}"}}, "Secret": {"Value": {"Ref": "Secret"}}},
}


def guided(server: Served, folder: Path) -> Terminal:
    command = [
        sys.executable,
        "-m",
        "engine.cli",
        "deploy",
        "template.json",
        "--guided",
        "--endpoint",
        server.url,
    ]
    return Terminal(command, folder, {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"})


@pytest.mark.promise(218)
def test_questions_and_what_is_kept(run: Run, server: Served, cloud: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "template.json").write_text(json.dumps(TEMPLATE))
    terminal = guided(server, tmp_path)
    terminal.wait("Stack name [")
    terminal.type(f"{name}\n")
    terminal.wait("Stage (one of dev, prod) [dev]: ")
    terminal.type("\n")
    place = terminal.wait("Word (String): ")
    terminal.type("\n")  # it has no default: it is asked for again
    terminal.wait("Word (String): ", place)
    terminal.type('a "b" c\n')
    terminal.wait("Secret [kept]: ")
    terminal.type("hush\n")
    terminal.wait("Keep this in stoker.toml (y or n) [y]: ")
    terminal.type("\n")
    assert terminal.ended() == 0
    assert f"{name} created" in terminal.text
    assert outputs(cloud, name) == {"All": 'dev a "b" c', "Secret": "hush"}
    kept = tomllib.loads((tmp_path / "stoker.toml").read_text())
    assert kept == {"deploy": {"stack": name, "parameters": {"Stage": "dev", "Word": 'a "b" c'}}}
    # Kept, it needs no more to be said; what is said goes before.
    assert run("deploy", "template.json")[1] == f"{name} unchanged: it is what template.json says\n"
    assert run("deploy", "template.json", "--parameter", "Stage=prod")[0] == 0
    assert outputs(cloud, name)["All"] == 'prod a "b" c'
    # Asked again, the stack's own values are offered.
    terminal = guided(server, tmp_path)
    terminal.wait(f"Stack name [{name}]: ")
    terminal.type("\n")
    terminal.wait("Stage (one of dev, prod) [dev]: ")
    terminal.type("\n")
    terminal.wait('Word (String) [a "b" c]: ')
    terminal.type("\n")
    terminal.wait("Secret [kept]: ")
    terminal.type("\n")
    terminal.wait("(y or n) [y]: ")
    terminal.type("n\n")
    assert terminal.ended() == 0
    assert outputs(cloud, name) == {"All": 'dev a "b" c', "Secret": "hush"}
    assert run("delete", name)[0] == 0


def test_without_a_terminal_it_asks_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "template.json").write_text(json.dumps(TEMPLATE))
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        done, _, err = run("deploy", "template.json", "--guided")
    assert (done, err) == (2, "stoker deploy: --guided asks questions: it needs a terminal\n")
    (tmp_path / "stoker.toml").write_text("[deploy]\nstack = 7\n")
    assert "write [deploy] with stack" in run("deploy", "template.json")[2]
