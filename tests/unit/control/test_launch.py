"""The zygote's process, which is begun before there is an engine."""

from __future__ import annotations

import os

import pytest

from engine import Engine, InvalidConfiguration, launch
from engine.worker import process_tree


@pytest.mark.promise(318)
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
