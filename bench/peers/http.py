"""HTTP peers: each in an environment and a process of its own, serving the same echo on a loopback port."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from bench.compiled import library
from bench.harness import Series, WrongResult
from bench.peers.base import Unavailable
from engine.load import machine

ROOT = Path(__file__).resolve().parents[2]
VENVS = ROOT / "build" / "peers"
TEXT = b"x" * 85  # must come back, however its JSON is spaced
EVENT = json.dumps({"message": TEXT.decode()}, separators=(",", ":")).encode()  # 100 bytes
INVOKE = "/2015-03-31/functions/{name}/invocations"
HANDLER = "def handler(event, context):\n    return event\n"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment(name: str, packages: Sequence[str]) -> Path:
    """A virtual environment with these packages, made once. Raises Unavailable."""
    venv = VENVS / name
    python = venv / "bin" / "python"
    done = venv / "installed"
    if not done.exists():
        VENVS.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
            subprocess.run([python, "-m", "pip", "-q", "install", *packages], check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            raise Unavailable(
                f"{name} cannot be installed: {(error.stderr or b'').decode()[-300:]}"
            ) from None
        done.touch()
    return python


def closed_loop(
    name: str, port: int, request: bytes, expected: bytes, connections: int, seconds: float, most: int = 0
) -> Series:
    """Each connection sends the request again as soon as its response came, which has `expected` in it. most: requests
    in all, 0 for any number."""
    call = ctypes.CDLL(str(library("http_load"))).http_load
    call.restype = ctypes.c_long
    cap = most or int(seconds * 100_000)
    samples = array("q", bytes(8 * cap))
    address, _ = samples.buffer_info()
    begin = time.perf_counter_ns()
    n = call(
        port, request, ctypes.c_size_t(len(request)), expected, ctypes.c_size_t(len(expected)),
        connections, ctypes.c_uint64(int(seconds * 1e9)), ctypes.c_void_p(address), ctypes.c_long(cap),
    )  # fmt: skip
    elapsed = time.perf_counter_ns() - begin
    if n < 0:
        reasons = {-1: "cannot connect", -2: "a wrong response", -3: "a connection was lost"}
        raise WrongResult(f"{name}, {connections} connections: {reasons[n]}")
    return Series(samples[:n], n, elapsed, machine.Ticks.now().steal)


class HttpPeer:
    """A server in a process of its own."""

    name = "peer"
    path = "/"

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def command(self) -> list[str]:
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        return {}

    def prepare(self) -> None:
        """Deploys to the server, once it listens."""

    def start(self) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [str(part) for part in self.command()],
            env={**os.environ, **self.variables()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._until_up()
            self.prepare()
            if TEXT not in self.request("POST", self.path, EVENT):
                raise WrongResult(f"{self.name} does not echo")
        except BaseException:
            self.close()
            raise

    def _until_up(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                    raise Unavailable(f"{self.name} does not start") from None
                time.sleep(0.05)

    def request(self, method: str, path: str, body: bytes | None) -> bytes:
        message = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(message, timeout=60) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            raise Unavailable(f"{self.name}: {method} {path}: {error} {error.read()[:300]!r}") from None

    def load(self, connections: int, seconds: float) -> Series:
        """A closed loop with this many connections."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(EVENT)}\r\n\r\n"
        ).encode()
        return closed_loop(self.name, self.port, head + EVENT, TEXT, connections, seconds)

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Served(HttpPeer):
    """stoker serve."""

    name = "Stoker"
    path = INVOKE.format(name="echo")

    def command(self) -> list[Any]:
        self.state = VENVS / f"state-{os.getpid()}-{id(self)}"
        return [sys.executable, "-m", "engine.cli", "serve", "--port", self.port, "--state", self.state]

    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def prepare(self) -> None:
        self.deploy("echo")

    def deploy(self, name: str, source: str = HANDLER, handler: str = "app.handler") -> None:
        import base64
        import io

        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", source)
        request = {
            "FunctionName": name,
            "Runtime": f"python{sys.version_info[0]}.{sys.version_info[1]}",
            "Role": "arn:aws:iam::000000000000:role/r",
            "Handler": handler,
            "Timeout": 60,
            "Code": {"ZipFile": base64.b64encode(content.getvalue()).decode()},
        }
        self.request("POST", "/2015-03-31/functions", json.dumps(request).encode())

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.state, ignore_errors=True)


class BareUvicorn(HttpPeer):
    """uvicorn (httptools, uvloop) and an ASGI application of ten lines: what HTTP itself costs with it."""

    name = "bare uvicorn echo"

    def command(self) -> list[Any]:
        return [
            sys.executable, "-m", "uvicorn", "bench.functions.asgi_echo:app", "--port", self.port, "--http",
            "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "error", "--lifespan", "off",
        ]  # fmt: skip

    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}


class Rie(HttpPeer):
    """AWS's runtime interface emulator with its Python runtime client. One invocation at a time."""

    name = "RIE"
    path = INVOKE.format(name="function")

    def command(self) -> list[Any]:
        python = environment("rie", ["awslambdaric>=3,<5"])
        binary = VENVS / "rie" / "aws-lambda-rie"
        if not binary.exists():
            wheels = VENVS / "rie" / "wheels"
            subprocess.run(
                [python, "-m", "pip", "-q", "download", "--no-deps", "-d", wheels, "aws-sam-cli"], check=True
            )
            with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
                binary.write_bytes(wheel.read("samcli/local/rapid/aws-lambda-rie-x86_64"))
            binary.chmod(0o755)
        (VENVS / "rie" / "app.py").write_text(HANDLER)
        runtime = free_port()
        return [
            binary, "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}", "--runtime-api-address",
            f"127.0.0.1:{runtime}", python, "-m", "awslambdaric", "app.handler",
        ]  # fmt: skip

    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(VENVS / "rie"), "AWS_LAMBDA_FUNCTION_TIMEOUT": "30"}


class FunctionsFramework(HttpPeer):
    """Google's functions-framework for Python with its own production server."""

    name = "functions-framework"

    def command(self) -> list[Any]:
        python = environment("functions-framework", ["functions-framework>=3,<4"])
        source = VENVS / "functions-framework" / "echo.py"
        source.write_text(
            "import functions_framework\n\n@functions_framework.http\ndef handler(request):\n"
            "    return request.get_data(), 200, {'content-type': 'application/json'}\n"
        )
        return [
            python, "-m", "functions_framework", "--target", "handler", "--source", source, "--port", self.port,
            "--host", "127.0.0.1",
        ]  # fmt: skip


class Ministack(HttpPeer):
    """The AWS emulator that pip installs; its Lambda, in its own executor."""

    name = "ministack"
    path = INVOKE.format(name="echo")

    def command(self) -> list[Any]:
        environment("ministack", ["ministack"])
        return [VENVS / "ministack" / "bin" / "ministack"]

    def variables(self) -> dict[str, str]:
        return {"GATEWAY_PORT": str(self.port), "EDGE_PORT": str(self.port), "LAMBDA_EXECUTOR": "local"}

    prepare = Served.prepare
    deploy = Served.deploy
