"""A server of the tests' own, in a process of its own, and clients of it."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import moto_server
from kafka_and_rabbitmq import Rabbit
from served import ECHO, ROLE, ROOT, RUNTIME, Run, Served

from engine.cli.main import main
from engine.hosting.archives import pack

__all__ = ["ROOT"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("state"))
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="session")
def api(server: Served) -> Any:
    return server.client()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def sqs(server: Served) -> Any:
    return server.client("sqs")


@pytest.fixture(scope="module")
def events(server: Served) -> Any:
    return server.client("events")


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    made = Rabbit(tmp_path_factory.mktemp("rabbit"))
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def xray(server: Served) -> Any:
    return server.client("xray")


@pytest.fixture(scope="module")
def sns(server: Served) -> Any:
    return server.client("sns")


@pytest.fixture(scope="module")
def cloud(server: Served) -> Any:
    return server.client("cloudformation")


@pytest.fixture
def run(
    server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Runs `stoker` in a directory of the test's own: exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOKER_ENDPOINT", server.url)

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as left:
            status = int(left.code or 0)
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return status, output.out, output.err

    return command


@pytest.fixture
def name() -> str:
    """Of whatever the test makes: no other test has it."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def named(api: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test has; a function of that name is deleted afterwards."""
    name = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[-60:].strip("-")
    yield name
    with contextlib.suppress(api.exceptions.ResourceNotFoundException):
        api.delete_function(FunctionName=name)


@pytest.fixture
def deploy(api: Any, named: str, tmp_path: Path) -> Callable[..., str]:
    """Creates the test's function from source text; waits until it is active. Its name."""

    def deployed(source: str = ECHO, **more: Any) -> str:
        file = tmp_path / "app.py"
        file.write_text(source)
        api.create_function(
            **{
                "FunctionName": named,
                "Runtime": RUNTIME,
                "Role": ROLE,
                "Handler": "app.handler",
                "Code": {"ZipFile": pack(file)},
                **more,
            }
        )
        api.get_waiter("function_active_v2").wait(FunctionName=named, WaiterConfig={"Delay": 0})
        return named

    return deployed
