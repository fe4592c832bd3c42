"""Programs that tests have as clients and neighbours, each in an environment of its own: they pin other versions."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import RUNTIME
from support import until

CLIENTS = Path(__file__).resolve().parents[1] / "build/clients"
AWS_CLI = CLIENTS / "awscli/bin/aws"
MOTO_PYTHON = Path(os.environ.get("MOTO_PYTHON") or CLIENTS / "moto/bin/python")
SDKS = next((CLIENTS / "sdks/lib").glob("python3.*/site-packages"), CLIENTS / "sdks/absent")
CDK, SERVERLESS, SAM = CLIENTS / "cdk", CLIENTS / "serverless", CLIENTS / "sam/bin/sam"
AXE = CLIENTS / "axe/axe_playwright_python/axe.min.js"
ABSENT = "make test installs it"
ABSENT_FRAMEWORK = "make frameworks installs it, with npm for two of them"
_NOT_OF_FUNCTIONS = ("pip", "setuptools", "pkg_resources", "botocore", "_distutils_hack", "wrapt-stubs")

needs_sdks = pytest.mark.skipif(not SDKS.exists(), reason=f"there are no SDKs here ({ABSENT})")
needs_axe = pytest.mark.skipif(not AXE.exists(), reason=f"there is no axe-core here ({ABSENT})")
needs_aws_cli = pytest.mark.skipif(not AWS_CLI.exists(), reason=f"there is no AWS CLI here ({ABSENT})")


def sdks_layer(api: Any, more: Mapping[str, str]) -> list[str]:
    """A layer of all SDKs, and these files, which can be executed; its ARN."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in SDKS.rglob("*"):
            inside = path.relative_to(SDKS)
            if (
                path.is_file()
                and "__pycache__" not in inside.parts
                and not inside.parts[0].startswith(_NOT_OF_FUNCTIONS)
            ):
                archive.write(path, f"python/lib/{RUNTIME}/site-packages/{inside}")
        for name, text in more.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)
    made = api.publish_layer_version(LayerName="sdks", Content={"ZipFile": out.getvalue()})
    return [made["LayerVersionArn"]]


@contextmanager
def moto_server(keep: bool = True) -> Iterator[str]:
    """moto's server, standing in for the services that are not Stoker's; its URL. Skips where there is no moto.

    keep: it is emptied afterwards, for the next test of this process that wants one; else it ends.
    """
    moto = _IDLE.pop() if keep and _IDLE else _Moto()
    try:
        yield moto.url
    except BaseException:
        moto.end()
        raise
    if keep:
        moto.empty()
        _IDLE.append(moto)
    else:
        moto.end()


class _Moto:
    def __init__(self) -> None:
        if not MOTO_PYTHON.exists():
            pytest.skip(f"there is no moto here ({ABSENT})")
        with tempfile.TemporaryFile("w+") as log:
            command = [str(MOTO_PYTHON), "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

            def listens() -> re.Match[str] | None:
                output = os.pread(log.fileno(), 1 << 16, 0).decode()
                assert self._process.poll() is None, output
                return re.search(r"Running on (http://127\.0\.0\.1:\d+)", output)

            try:
                self.url = str(until(listens, 60, "moto's server").group(1))
            except BaseException:
                self.end()
                raise

    def empty(self) -> None:
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/moto-api/reset", method="POST"), timeout=60
        )

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()


_IDLE: list[_Moto] = []


def end_all() -> None:
    """What is kept for the next test: there is none."""
    while _IDLE:
        _IDLE.pop().end()
