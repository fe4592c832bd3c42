"""A server of the tests' own, in a process of its own, and clients of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from engine.functions.packages import pack

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
ROLE = "arn:aws:iam::000000000000:role/test"
REGION = "us-east-1"


class Served:
    """A running server."""

    def __init__(self, state: Path, *options: str) -> None:
        command = [
            sys.executable,
            "-m",
            "engine.cli",
            "serve",
            "--port",
            "0",
            "--state",
            str(state),
            *options,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.log = state.with_suffix(".log")
        log = self.log.open("w")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http" in line or "unix:" in line, line
        self.url = line.split()[-1]

    def client(self, service: str = "lambda", **more: Any) -> Any:
        config = Config(retries={"max_attempts": 0}, read_timeout=60)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", **more}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, config=config, **keys)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(40)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("state"))
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="session")
def api(server: Served) -> Any:
    return server.client()


@pytest.fixture
def named(api: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test has; what is called so is deleted afterwards."""
    name = request.node.name.replace("[", "-").replace("]", "").replace("_", "-")[-60:]
    yield name
    with contextlib.suppress(api.exceptions.ResourceNotFoundException):
        api.delete_function(FunctionName=name)


ECHO = "def handler(event, context):\n    return event\n"


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
