"""`stoker dev` at a terminal: what is saved is live, what is wrong is shown, and each invocation is a line."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from served import REGION, ROOT, RUNTIME, Served
from support import until
from terminals import Terminal

TEMPLATE = f"""\
Transform: AWS::Serverless-2016-10-31
Globals: {{Function: {{Runtime: {RUNTIME}, Handler: app.handler}}}}
Resources:
  Hello: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: hello, FunctionName: hello}}}}
  Twin: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: twin, FunctionName: twin}}}}
  Aliased:
    Type: AWS::Serverless::Function
    Properties: {{CodeUri: aliased, FunctionName: aliased, AutoPublishAlias: live}}
"""
CODE = """\
def handler(event, context):
    print("it got", event)
    if event.get("fail"):
        raise ValueError("so be it")
    return WORD
"""


def code(word: str) -> str:
    return f"WORD = {word!r}\n\n\n{CODE}"


class Project:
    """A folder under `stoker dev`, and its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "template.yaml").write_text(TEMPLATE)
        for name in ("hello", "twin", "aliased"):
            (folder / name).mkdir()
            (folder / name / "app.py").write_text(code("first"))
        (folder / "editor.py").write_text(
            "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\n"
            "path.write_text(path.read_text().replace('edit me', 'edited'))\n"
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "engine.cli", "dev", "template.yaml", "--stack", "project"]
        environment = {name: text for name, text in os.environ.items() if name != "STOKER_ENDPOINT"}
        editor = f"{sys.executable} {folder / 'editor.py'}"
        environment |= {"PYTHONPATH": str(ROOT), "EDITOR": editor, "VISUAL": "", "TERM": "xterm"}
        self.terminal = Terminal([*command, "--port", str(self.port)], folder, environment)
        self.terminal.wait("watching")
        self.api = boto3.client(
            "lambda", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    @property
    def shown(self) -> int:
        return len(self.terminal.text)

    def invoke(self, name: str = "hello", **event: Any) -> Any:
        response = self.api.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        return json.load(response["Payload"])

    def save(self, text: str, name: str = "hello/app.py") -> int:
        """Where what is shown of it begins."""
        before = self.shown
        (self.folder / name).write_text(text)
        return before


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("project"))
    yield made
    made.terminal.type("q")
    assert made.terminal.ended() == 0
    with socket.socket() as probe:  # the server that it started has ended with it
        assert probe.connect_ex(("127.0.0.1", made.port)) != 0


@pytest.mark.promise(209)
def test_what_is_saved_is_live(project: Project) -> None:
    for word in ("second", "third"):
        before = project.save(code(word))
        until(lambda word=word: project.invoke() == word, what="the new code")  # type: ignore[misc]
        project.terminal.wait("hello/app.py: Hello live after ", before)
    # The stack knows: a deployment of what was there before the last save is a change.
    cloud = boto3.client(
        "cloudformation", endpoint_url=f"http://127.0.0.1:{project.port}", region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    digest = project.api.get_function_configuration(FunctionName="hello")["CodeSha256"]
    body = cloud.get_template(StackName="project")["TemplateBody"]
    kept = body if isinstance(body, dict) else json.loads(body)
    key = kept["Resources"]["Hello"]["Properties"]["CodeUri"]["Key"]
    assert bytes.fromhex(key) == base64.b64decode(digest)


@pytest.mark.promise(209)
def test_a_new_module_in_a_new_folder(project: Project) -> None:
    word = uuid.uuid4().hex
    (project.folder / "twin/more").mkdir()
    project.save(f"WORD = {word!r}\n", "twin/more/words.py")
    project.save(f"from more.words import WORD\n\n\n{CODE}", "twin/app.py")
    until(lambda: project.invoke("twin") == word, what="the new module")
    project.save("WORD = 'another'\n", "twin/more/words.py")
    until(lambda: project.invoke("twin") == "another", what="the changed module")


@pytest.mark.promise(209)
def test_a_version_for_each_code_takes_a_deployment(project: Project) -> None:
    before = project.save(code("published"), "aliased/app.py")
    project.terminal.wait("project updated", before)
    assert project.invoke("aliased:live") == "published"


@pytest.mark.promise(210)
def test_a_syntax_error_is_shown_and_the_old_version_goes_on(project: Project) -> None:
    project.save(code("right"))
    until(lambda: project.invoke() == "right", what="the right code")
    before = project.save("WORD = = 1\n")
    project.terminal.wait("hello/app.py cannot be compiled: the version before goes on", before)
    project.terminal.wait("SyntaxError: invalid syntax", before)
    assert project.invoke() == "right"
    project.save(code("mended"))
    until(lambda: project.invoke() == "mended", what="the mended code")


@pytest.mark.promise(211)
def test_a_changed_template_updates_the_stack(project: Project) -> None:
    path = project.folder / "template.yaml"
    text = path.read_text()
    before = project.save(
        text.replace("FunctionName: twin", "FunctionName: twin, MemorySize: 256"), path.name
    )
    project.terminal.wait("UPDATE_COMPLETE  AWS::Lambda::Function                Twin", before)
    project.terminal.wait("project updated", before)
    assert project.api.get_function_configuration(FunctionName="twin")["MemorySize"] == 256
    before = project.save("Resources: [", path.name)
    project.terminal.wait("YAML not well-formed", before)
    before = project.save(text, path.name)
    project.terminal.wait("project updated", before)


@pytest.mark.promise(212)
def test_an_invocation_is_a_line_and_its_traceback_leads_to_the_sources(project: Project) -> None:
    before = project.save(code("lines"))
    until(lambda: project.invoke() == "lines", what="the code")
    end = project.terminal.wait("Hello  ", before)
    project.terminal.wait("cold, init", end)
    before = project.shown
    project.invoke(n="warm now")
    project.terminal.wait("it got {'n': 'warm now'}", before)
    project.terminal.wait("  warm", before)
    before = project.shown
    assert project.invoke(fail=True)["errorType"] == "ValueError"
    project.terminal.wait("failure: ValueError", before)
    project.terminal.wait('File "hello/app.py", line 7, in handler', before)
    assert "/var/task" not in project.terminal.text[before:]
    assert "\x1b[31m" in project.terminal.raw


@pytest.mark.promise(213)
def test_keys(project: Project) -> None:
    marker = uuid.uuid4().hex
    project.invoke(n=f"edit me {marker}")
    before = project.terminal.wait(f"it got {{'n': 'edit me {marker}'}}")
    project.terminal.type("r")
    project.terminal.wait("Hello once more", before)
    before = project.terminal.wait(f"it got {{'n': 'edit me {marker}'}}", before)
    project.terminal.type("e")
    before = project.terminal.wait(f"it got {{'n': 'edited {marker}'}}", before)
    project.terminal.type("l")
    before = project.terminal.wait("logs off", before)
    project.invoke(n=f"quiet {marker}")
    project.invoke("twin", fail=True)
    before = project.terminal.wait("ValueError: so be it", before)  # errors are shown all the same
    assert f"quiet {marker}" not in project.terminal.text
    project.terminal.type("l")
    project.terminal.wait("logs on", before)


@pytest.mark.promise(214)
def test_no_request_fails_because_of_a_save(project: Project) -> None:
    ended, wrong, done = threading.Event(), [], 0
    before = project.save(code("started"))
    until(lambda: project.invoke() == "started", what="the code")

    def invoke() -> None:
        nonlocal done
        while not ended.is_set():
            body = project.invoke()
            done += 1
            if not isinstance(body, str):
                wrong.append(body)

    client = threading.Thread(target=invoke)
    client.start()
    for n in range(10):
        project.save(code(f"n{n}"))
        until(lambda n=n: project.invoke() == f"n{n}", what="the code")  # type: ignore[misc]
    ended.set()
    client.join()
    assert not wrong
    assert done
    assert "FAILED" not in project.terminal.text[before:]


def test_without_a_terminal_there_are_no_colours_and_no_keys(server: Served, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text(code("plain"))
    name = f"t-{uuid.uuid4().hex[:12]}"
    properties = {"CodeUri": "src", "Handler": "app.handler", "Runtime": RUNTIME, "FunctionName": name}
    resources = {"F": {"Type": "AWS::Serverless::Function", "Properties": properties}}
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}
    (tmp_path / "template.json").write_text(json.dumps(template))
    command = [sys.executable, "-m", "engine.cli", "dev", "template.json", "--stack", name]
    with subprocess.Popen(
        [*command, "--endpoint", server.url], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("watching"):
                break
        assert server.client().invoke(FunctionName=name, Payload=b'{"n": 1}')["StatusCode"] == 200
        lines.append(process.stdout.readline())
        process.terminate()
        assert process.wait(30) == 143
    assert "cold" in lines[-1]
    assert "\x1b" not in "".join(lines)
    assert "rerun" not in "".join(lines)
    assert server.client().get_function(FunctionName=name)  # a server that was there stays as it is


@pytest.mark.promise(215)
def test_a_debugger_is_awaited_without_a_timeout(server: Served, tmp_path: Path) -> None:
    """A debugger attaches once the function's timeout is over, and the invocation goes on."""
    pytest.importorskip("debugpy")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text(code("debugged"))
    name = f"t-{uuid.uuid4().hex[:12]}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    properties = {
        "CodeUri": "src",
        "Handler": "app.handler",
        "Runtime": RUNTIME,
        "FunctionName": name,
        "Timeout": 1,
    }
    resources = {"Slow": {"Type": "AWS::Serverless::Function", "Properties": properties}}
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}
    (tmp_path / "template.json").write_text(json.dumps(template))
    command = [sys.executable, "-m", "engine.cli", "dev", "template.json", "--stack", name]
    command += ["--endpoint", server.url, "--debug", f"Slow:{port}"]
    terminal = Terminal(command, tmp_path, {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"})
    terminal.wait(f"Slow waits at its first event for a debugger on 127.0.0.1:{port}")
    terminal.wait("watching")
    results: list[Any] = []
    api = server.client()

    def invoke() -> None:
        results.append(json.load(api.invoke(FunctionName=name, Payload=b"{}")["Payload"]))

    client = threading.Thread(target=invoke)
    client.start()

    def connected() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except OSError:
            return None

    with until(connected, what="the debugger's port") as connection:
        client.join(1.5)  # longer than the function's timeout
        assert client.is_alive()
        adapter = connection.makefile("rwb")
        request(adapter, 1, "initialize", {"adapterID": "test"})
        request(adapter, 2, "attach", {})
        awaited(adapter, "event", "initialized")
        request(adapter, 3, "configurationDone", {})
        client.join(30)
        assert results == ["debugged"]
    terminal.type("q")
    assert terminal.ended() == 0


def request(adapter: Any, number: int, command: str, arguments: dict[str, Any]) -> None:
    """Of the Debug Adapter Protocol."""
    body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
    adapter.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    adapter.flush()


def awaited(adapter: Any, kind: str, name: str) -> dict[str, Any]:
    while True:
        length = 0
        while (line := adapter.readline().strip()) or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message: dict[str, Any] = json.loads(adapter.read(length))
        if message["type"] == kind and name in (message.get("event"), message.get("command")):
            return message
