"""The sample order-pipeline, as `make run` has it: by boto3 alone, through bus, topic, queue, schedule and redrive."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from served import ROOT, Served


@pytest.mark.slow
@pytest.mark.promise(151)
def test_orders_go_their_way(server: Served) -> None:
    command = [sys.executable, str(ROOT / "handlers/pipeline.py"), server.url, "12"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from put to the handler of check, by the bus: p50 " in done.stdout
    assert "from put to the handler of ship, by bus, check, topic and queue: p50 " in done.stdout
    assert "11 orders shipped; one that no carrier takes is a dead letter" in done.stdout
    assert "a schedule redrove the dead letter: order 6 went by Post" in done.stdout
