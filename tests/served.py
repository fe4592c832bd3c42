"""A server in a process of its own, and clients of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
ROLE = "arn:aws:iam::000000000000:role/test"
REGION = "us-east-1"
Run = Callable[..., tuple[int, str, str]]  # runs `stoker`: its exit status, stdout and stderr
ECHO = "def handler(event, context):\n    return event\n"


def zipped(**files: str) -> bytes:
    """An archive of these files' texts, by name."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def url_id(url: str) -> str:
    """Of a function URL, whose host or path has it."""
    host = url.split("/")[2]
    return host.partition(".")[0] if ".lambda-url." in host else url.rstrip("/").rpartition("/")[2]


def _path() -> str:
    """Without pyenv's shims: to ask these shell programs for their versions is a quarter of a server's start."""
    return os.pathsep.join(
        each for each in os.environ["PATH"].split(os.pathsep) if Path(each).name != "shims"
    )


class Served:
    """A running server. program: what Python runs as `stoker`; python: what runs that."""

    def __init__(
        self,
        state: Path,
        *options: str,
        program: tuple[str, ...] = ("-m", "engine.cli"),
        python: str = sys.executable,
    ) -> None:
        command = [
            python,
            *program,
            "serve",
            "--port",
            "0",
            "--state",
            str(state),
            "--share",
            str(state.parent),  # where a test's functions leave notes for it
            *options,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": _path()}
        self.log = state.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http" in line or "unix:" in line, line
        self.url = line.split()[-1]

    def client(self, service: str = "lambda", region: str = REGION, **more: Any) -> Any:
        config = Config(retries={"max_attempts": 0}, read_timeout=60)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", **more}
        return boto3.client(service, endpoint_url=self.url, region_name=region, config=config, **keys)

    def stop(self) -> int:
        self.process.terminate()
        with self.process:  # closes its output, too
            return self.process.wait(40)
