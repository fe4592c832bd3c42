"""Code on its way in, held there: everybody else's operations and invocations go on."""

from __future__ import annotations

import http.server
import io
import json
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from served import ECHO, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

FILES = 2_000


def large(note: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("app.py", ECHO + note)
        for n in range(FILES):
            zipped.writestr(f"lib/p{n // 200}/m{n}.py", f"VALUE = {n}\n")
    return out.getvalue()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    it = Served(tmp_path / "state")
    yield it
    assert it.stop() == 0


def request(name: str, code: dict[str, Any]) -> dict[str, Any]:
    return {"FunctionName": name, "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Code": code}


def unpacking(server: Served) -> list[int]:
    """The processes that unpack for a server."""
    found = []
    for task in os.listdir(f"/proc/{server.process.pid}/task"):
        try:
            children = Path(f"/proc/{server.process.pid}/task/{task}/children").read_text().split()
            lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        except OSError:
            continue
        found += [int(pid) for pid, line in lines.items() if b"engine.hosting.unpacking" in line]
    return found


def held(server: Served) -> int:
    """The process that unpacks, stopped."""
    (pid,) = until(lambda: unpacking(server))
    os.kill(pid, signal.SIGSTOP)
    return pid


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def everything_else_goes_on(api: Any, tmp_path: Path) -> None:
    """A small function's whole life."""
    (tmp_path / "app.py").write_text(ECHO)
    archive = pack(tmp_path / "app.py")
    api.create_function(**request("small", {"ZipFile": archive}))
    api.get_waiter("function_active_v2").wait(FunctionName="small", WaiterConfig={"Delay": 0})
    assert json.loads(api.invoke(FunctionName="small", Payload=b"[1]")["Payload"].read()) == [1]
    (tmp_path / "app.py").write_text(ECHO + "\n")
    api.update_function_code(FunctionName="small", ZipFile=pack(tmp_path / "app.py"))
    api.publish_layer_version(LayerName="small", Content={"ZipFile": archive})
    assert [each["FunctionName"] for each in api.list_functions()["Functions"]] == ["small"]
    api.delete_function(FunctionName="small")


@pytest.mark.promise(92)
def test_a_large_package_that_is_being_unpacked(served: Served, tmp_path: Path) -> None:
    wanted = request(
        "large", {"ZipFile": large()}
    )  # made twice, the archives may differ in their files' times
    with ThreadPoolExecutor(2) as threads:
        creates = [threads.submit(served.client().create_function, **wanted)]
        pid = held(served)
        # The same bytes once more wait for the first; the same name as well, and comes too late.
        creates.append(threads.submit(served.client().create_function, **wanted))
        everything_else_goes_on(served.client(), tmp_path)
        assert not any(create.done() for create in creates)
        assert unpacking(served) == [pid]
        os.kill(pid, signal.SIGCONT)
        errors = [create.exception() for create in creates]
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "ResourceConflictException"]
    api = served.client()
    api.get_waiter("function_active_v2").wait(FunctionName="large", WaiterConfig={"Delay": 0})
    assert json.loads(api.invoke(FunctionName="large", Payload=b"[2]")["Payload"].read()) == [2]
    api.delete_function(FunctionName="large")


def test_an_unpacking_process_that_dies_is_an_error_and_leaves_nothing(served: Served) -> None:
    with ThreadPoolExecutor(1) as threads:
        create = threads.submit(served.client().create_function, **request("large", {"ZipFile": large()}))
        os.kill(held(served), signal.SIGKILL)
        error: Any = create.exception()
    assert error.response["Error"]["Code"] == "ServiceException"
    assert "unpacking ended with status -9" in error.response["Error"]["Message"]
    assert served.client().list_functions()["Functions"] == []
    assert list((Path(served.log).with_suffix("") / "code").iterdir()) == []
    served.client().create_function(**request("large", {"ZipFile": large()}))


def test_a_server_that_is_killed_while_it_unpacks(tmp_path: Path) -> None:
    """The process ends with it, what it made goes at the next start, and nothing is set aside."""
    state = tmp_path / "state"
    server = Served(state)
    with ThreadPoolExecutor(1) as threads:
        create: Future[Any] = threads.submit(
            server.client().create_function, **request("large", {"ZipFile": large()})
        )
        until(lambda: [path for path in (state / "code").iterdir() if path.is_dir()])  # it has begun
        pid = held(server)
        assert {path.suffix for path in (state / "code").iterdir()} == {".new"}
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.communicate()
        assert create.exception() is not None
    until(lambda: not runs(pid))
    server = Served(state)
    assert list((state / "code").iterdir()) == []
    assert server.stop() == 0


@pytest.mark.promise(92)
def test_code_that_s3_is_slow_to_send(tmp_path: Path) -> None:
    go = threading.Event()
    asked = threading.Event()
    (tmp_path / "app.py").write_text(ECHO)
    archive = pack(tmp_path / "app.py")

    class Bucket(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            go.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", str(len(archive)))
            self.end_headers()
            self.wfile.write(archive)

        def log_message(self, *_: Any) -> None:
            return

    bucket = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=bucket.serve_forever, daemon=True).start()
    server = Served(tmp_path / "state", "--aws-endpoint", f"http://127.0.0.1:{bucket.server_port}")
    try:
        with ThreadPoolExecutor(1) as threads:
            code = {"S3Bucket": "bucket", "S3Key": "k"}
            create = threads.submit(server.client().create_function, **request("fetched", code))
            try:
                until(asked.is_set)
                everything_else_goes_on(server.client(), tmp_path)
                assert not create.done()
            finally:
                go.set()
            assert create.result()["FunctionName"] == "fetched"
    finally:
        assert server.stop() == 0
        bucket.shutdown()
        bucket.server_close()


def test_what_is_not_kept_leaves_the_disk(served: Served, tmp_path: Path) -> None:
    """A dry run, and an operation that is refused once its code is there."""
    api, code = served.client(), Path(served.log).with_suffix("") / "code"
    (tmp_path / "app.py").write_text(ECHO)
    api.create_function(**request("f", {"ZipFile": pack(tmp_path / "app.py")}))
    api.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0})
    kept = {path.name for path in code.iterdir()}
    attempts: list[Callable[[bytes], Any]] = [
        lambda archive: api.update_function_code(FunctionName="f", ZipFile=archive, DryRun=True),
        lambda archive: api.create_function(**request("g", {"ZipFile": archive}), Layers=["no such"]),
        lambda archive: api.create_function(**request("g", {"ZipFile": archive + b"x" * 70_000})),
    ]
    for n, attempt in enumerate(attempts):
        (tmp_path / "app.py").write_text(f"{ECHO}# {n}")
        try:
            attempt(pack(tmp_path / "app.py"))
            assert n == 0
        except api.exceptions.ClientError:
            assert n
        until(lambda: {path.name for path in code.iterdir()} == kept)
