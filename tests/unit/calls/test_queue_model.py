"""The C engine's side against a model (tests/queue_machine.py): by chance, and by what chance found."""

from __future__ import annotations

import os

import pytest
from engine._native import lib
from hypothesis import HealthCheck, settings
from queue_machine import QueueMachine


@pytest.mark.promise(1)
def test_a_worker_that_was_retired_before_it_was_ready_has_begun_nothing() -> None:
    """However many die so: what was placed with them goes on elsewhere."""
    machine = QueueMachine()
    machine.start()
    try:
        machine.submit_several(function=0, sizes=[0, 0])
        for _ in range(5):
            machine.new_lane(function=0, take=True)
            [worker] = machine.workers
            lib.stk_lane_retire(machine.engine, worker.lane)
            worker.retired = True
            machine.bury(worker, lib.STK_CRASH, -9)
            machine.adds_up()
    finally:
        machine.teardown()


@pytest.mark.promise(3)
def test_what_several_lanes_give_back_at_once_keeps_its_order() -> None:
    machine = QueueMachine()
    machine.start()
    try:
        machine.new_lane(function=0, take=False)
        machine.submit_several(function=0, sizes=[0, 0])
        machine.new_lane(function=0, take=True)
        for worker in machine.workers:
            assert lib.stk_worker_reply(worker.end, lib.STK_READY, b"", 0) == 0
            worker.ready = True
            machine.adds_up()
        machine.deadlines_pass()
        for _ in range(2):  # each takes the first one in line
            machine.new_lane(function=0, take=True)
            machine.adds_up()
    finally:
        machine.teardown()


TestQueue = pytest.mark.promise(1)(QueueMachine.TestCase)
TestQueue.settings = settings(
    max_examples=int(os.environ.get("STOKER_MODEL_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    derandomize="STOKER_MODEL_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
