"""A function URL that anybody may call needs a policy that says so: always on AWS, and here with --strict."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import ECHO, ROLE, RUNTIME, Served, url_id

from engine.hosting.archives import pack


def create(api: Any, folder: Path) -> str:
    """A function with a URL; the path of that."""
    (folder / "app.py").write_text(ECHO)
    api.create_function(
        FunctionName="open",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": pack(folder / "app.py")},
    )  # fmt: skip
    url = api.create_function_url_config(FunctionName="open", AuthType="NONE")["FunctionUrl"]
    return f"/lambda-url/{url_id(url)}/"


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Served]:
    return lambda *options: Served(tmp_path / "state", *options)


@pytest.mark.promise(189)
def test_strictly_it_is_a_403(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve("--strict")
    try:
        api = served.client()
        url = served.url + create(api, tmp_path)
        assert status(url) == 403
        add = {"FunctionName": "open", "Principal": "*", "Action": "lambda:InvokeFunctionUrl"}
        api.add_permission(StatementId="iam", FunctionUrlAuthType="AWS_IAM", **add)
        assert status(url) == 403
        api.add_permission(StatementId="all", FunctionUrlAuthType="NONE", **add)
        assert status(url) == 200
    finally:
        assert served.stop() == 0


@pytest.mark.promise(189)
def test_else_one_line_says_so(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    try:
        url = served.url + create(served.client(), tmp_path)
        assert [status(url), status(url)] == [200, 200]
    finally:
        assert served.stop() == 0
    assert served.log.read_text().count("has no policy that lets anybody call its URL") == 1
