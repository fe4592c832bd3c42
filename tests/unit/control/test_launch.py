"""The zygote's process, which is begun before there is an engine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import FUNCTIONS

from engine import Engine, InvalidConfiguration, launch
from engine.worker import process_tree


@pytest.mark.promise(343)
@pytest.mark.parametrize("wrong", [{"payload_limit": 0}, {"spin": "much"}, {"waiting_bytes": None}])
def test_an_engine_that_cannot_be_made_leaves_no_process(wrong: dict[str, object]) -> None:
    before = set(process_tree.children(os.getpid()))
    with pytest.raises((InvalidConfiguration, TypeError, ValueError)):
        Engine(**wrong)  # type: ignore[arg-type]
    assert set(process_tree.children(os.getpid())) <= before


def test_one_that_is_abandoned_ends() -> None:
    launched = launch.first()
    pid = launched.pid
    launched.abandon()
    assert pid not in process_tree.children(os.getpid())


@pytest.mark.promise(343)
@pytest.mark.parametrize("ours", ["typing_extensions", "msgspec"])
def test_the_embedders_modules_are_whole(ours: str) -> None:
    """What the engine leaves out while it imports is there for everybody else, before and after."""
    code = (
        f"import engine, {ours} as before; e = engine.Engine(); "
        f"f = e.function('app:echo', code={str(FUNCTIONS)!r}); assert f.invoke(1) == 1; e.close(); "
        "import typing_extensions, msgspec, sys; assert typing_extensions.TypedDict; "
        f"assert sys.modules[{ours!r}] is before; print('whole')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "whole\n", done.stderr
