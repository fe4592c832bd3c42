"""Every command under a terminal: what functions, servers and arguments hold is shown there, and not obeyed."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import engine
from engine.cli import main, terminal

ESCAPE = "\x1b]0;owned\x07"  # sets a terminal's title
HOSTILE = f"a{ESCAPE}b\x9b31mc\u202ed\u2066e\x7ff"
SHOWN = r"a\x1b]0;owned\x07b\x9b31mc\u202ed\u2066e\x7ff"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
HANDLER = f"""\
import os
HOSTILE = {HOSTILE!r}
def handler(event, context):
    print("printed", HOSTILE)
    os.write(2, ("written " + HOSTILE + "\\n").encode())
    return HOSTILE
def raw(event, context):
    return ("raw " + HOSTILE).encode() + b"\\xff"
def fails(event, context):
    raise ValueError(HOSTILE)
print("at init", HOSTILE)
"""


class Hostile(BaseHTTPRequestHandler):
    """A server that puts it wherever a client may print it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        headers, status = {}, 200
        if self.path.endswith("/functions/"):
            names = dict.fromkeys(["FunctionName", "Runtime", "LastModified"], HOSTILE)
            body = json.dumps(
                {"Functions": [{**names, "MemorySize": 1, "Timeout": 1, "CodeSize": 1}]}
            ).encode()
        elif "x-amz-target" in self.headers:
            event = {"eventId": "1", "timestamp": 1, "message": HOSTILE + "\n"}
            body = json.dumps({"events": [event]}).encode()
        elif self.path.endswith("/good/invocations"):
            headers = {"x-amz-log-result": base64.b64encode(HOSTILE.encode()).decode()}
            body = HOSTILE.encode()
        else:
            status, headers = 400, {"x-amzn-errortype": "InvalidParameterValueException"}
            body = json.dumps({"message": HOSTILE}).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("code")
    (directory / "app.py").write_text(HANDLER)
    (directory / f"e{HOSTILE}").mkdir()
    return directory


def environment() -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "PYTHONUTF8": "1", "TERM": "xterm"}
    return {**os.environ, **keys, "PYTHONPATH": os.path.dirname(engine.__path__[0])}


def under_a_terminal(*arguments: str) -> str:
    """What a command prints on a terminal that changes nothing itself."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    command = [sys.executable, "-m", "engine.cli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment()) as process:
        os.close(theirs)
        read = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the last descriptor of the other side is closed
                more = b""
            if not more:
                break
            read += more
        process.wait(60)
    os.close(ours)
    return read.decode()


# By command: arguments with which it prints what others wrote. {url}: a hostile server; {code}: functions.
CASES: dict[str, list[list[str]]] = {
    "invoke": [
        ["app:handler", "--code", "{code}"],
        ["app:raw", "--raw", "--code", "{code}"],
        ["app:fails", "--code", "{code}"],
        ["good", "--endpoint", "{url}"],
        ["bad", "--endpoint", "{url}"],
    ],
    "serve": [["--host", HOSTILE, "--port", "0"], ["--retry-delays", HOSTILE]],
    "deploy": [["{code}", "--endpoint", "{url}"], [HOSTILE]],
    "new": [["name", "--template", HOSTILE]],
    "dev": [[HOSTILE]],
    "event": [[HOSTILE], ["s3", HOSTILE], ["s3", "put", "--size", HOSTILE]],
    "diff": [[HOSTILE]],
    "delete": [["name", "--endpoint", "{url}"]],
    "ls": [["--endpoint", "{url}"]],
    "rm": [["name", "--endpoint", "{url}"]],
    "logs": [["name", "--endpoint", "{url}"], ["name", "--since", HOSTILE]],
    "source": [["ls", "--endpoint", "{url}"], ["add", "name", HOSTILE]],
    "python": [["add", f"/{HOSTILE}"]],
    "metrics": [["name", "--endpoint", "{url}"]],
    "top": [["--once", "--every", "0.1", "--endpoint", "{url}"]],
    "completion": [["bash", HOSTILE]],
    "load": [
        ["{url}/any", "--rate", "50", "--duration", "0.3", "--warmup", "0", "--no-noise", "--name", HOSTILE],
        ["app:fails", "--code", "{code}", "--rate", "20", "--duration", "0.3", "--no-noise"],
        ["compare", HOSTILE, HOSTILE],
    ],
    "doctor": [[HOSTILE]],
}


@pytest.mark.promise(95)
@pytest.mark.parametrize(
    ("command", "arguments"),
    [(command, arguments) for command in main.COMMANDS for arguments in CASES[command]],
)
def test_a_terminal_is_not_made_to_obey(command: str, arguments: list[str], hostile: str, code: Path) -> None:
    filled = [text.replace("{url}", hostile).replace("{code}", str(code)) for text in arguments]
    printed = under_a_terminal(command, *filled)
    assert re.search(r"(\\x1b|\\\\u001b)]0;owned|·|]0;owned\\x07", printed), "it is shown"
    # The live view of a load test draws by escape sequences of its own; what it was given is none of them.
    ours = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", printed) if command == "load" else printed
    assert not OBEYED.findall(ours), printed


@pytest.mark.promise(95)
def test_what_is_shown_is_what_was_written(hostile: str) -> None:
    assert under_a_terminal("logs", "name", "--endpoint", hostile) == SHOWN + "\n"


@pytest.mark.promise(95)
@pytest.mark.parametrize("run", [under_a_terminal, None], ids=["raw", "piped"])
def test_raw_and_piped_output_are_as_they_were_written(run: Callable[..., str] | None, hostile: str) -> None:
    arguments = ["logs", "name", "--endpoint", hostile]
    if run is not None:
        assert run(*arguments, "--raw") == HOSTILE + "\n"
        return
    command = [sys.executable, "-m", "engine.cli", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == HOSTILE + "\n"


def test_each_character() -> None:
    for number in [*range(0x3000), *range(0xD7F0, 0xE010), 0x1F600]:
        shown = terminal.visible(chr(number))
        surrogate = 0xD800 <= number <= 0xDFFF
        assert (shown != chr(number)) == bool(OBEYED.match(chr(number)) or surrogate), hex(number)
        assert shown.isascii() or shown == chr(number)
    assert terminal.visible("a\tb\nc é 漢") == "a\tb\nc é 漢"


def test_no_command_writes_past_it() -> None:
    """All of them print: what is written to a stream's buffer would reach the terminal as it is."""
    for path in Path(terminal.__file__).parent.glob("*.py"):
        if path.name != "terminal.py":
            assert not re.search(r"std(out|err)\.buffer|__std(out|err)__|os\.write\(", path.read_text()), (
                path.name
            )
