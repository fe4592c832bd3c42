"""What the control loop does, it does on either event loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from engine import Engine
from engine.control import supervisor
from engine.control.loop import SmallLoop


@pytest.fixture(
    scope="module", autouse=True, params=[uvloop.new_event_loop, SmallLoop], ids=["uvloop", "small"]
)
def event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "new_loop", request.param)
        yield


@pytest.fixture(scope="module")
def engine(logs: Any, event_loop: None) -> Iterator[Any]:
    with Engine(logs=logs) as made:
        yield made
