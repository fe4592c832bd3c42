"""A mapping of a stream's consumer: enhanced fan-out, through a split of its shard, a restart and a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from fan_out import CONSUMER, FanOutStub, Shard
from mapped import Fed
from served import Served
from support import until


@pytest.mark.promise(276)
def test_children_come_after_their_parent_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    stub = FanOutStub()
    stub.shards["shard-0"] = Shard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_KINESIS", stub.url)
        served = Served(tmp_path / "state")
        try:
            fed = Fed(served, tmp_path)
            uuid = fed.map(CONSUMER, StartingPosition="TRIM_HORIZON", BatchSize=2)
            stub.put("shard-0", "1", "2", "fail 3")
            until(lambda: len(fed.records()) >= 3, 60, "the first records")
            stub.split("shard-0", "shard-1")
            stub.put("shard-1", "4")
            until(lambda: fed.result(uuid).startswith("PROBLEM: Function call failed"), 60, "the problem")
            assert "4" not in keys(fed)
            served.process.kill()
            served.process.wait()
            fed.gate.touch()
            served = Served(tmp_path / "state")
            until(lambda: "4" in keys(fed), 60, "the child's record")
            order = list(dict.fromkeys(keys(fed)))
            assert order == ["1", "2", "fail 3", "4"]
            record = fed.records()[0]
            assert record["eventID"].startswith("shard-0:")
        finally:
            assert served.stop() == 0
            stub.close()


def keys(fed: Fed) -> list[str]:
    return [record["kinesis"]["partitionKey"] for record in fed.records()]
