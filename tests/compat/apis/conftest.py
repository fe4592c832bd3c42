"""A server for each module of tests of APIs, and a function of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apis import SOURCE, function
from served import Served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("apis") / "state")
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("functions")


@pytest.fixture(scope="module")
def echo(server: Served, folder: Path) -> str:
    """A function that replies with its event, or as it is asked to."""
    return function(server, "echo", SOURCE, folder)
