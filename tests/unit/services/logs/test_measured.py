"""What events say of metrics, however they are written."""

from __future__ import annotations

import json
from typing import Any

from engine.services.logs.disk import Raw
from engine.services.logs.measured import measured


def event(**members: Any) -> Raw:
    about = {
        "Timestamp": 60_000,
        "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["d"]], "Metrics": [{"Name": "m"}]}],
    }
    return 60_000, 60_000, "s", json.dumps({"_aws": about, "d": "x", "m": 2, **members})


def test_what_is_no_text_keeps_no_other_event_from_being_measured() -> None:
    """A lone surrogate can be printed, but neither be sent on nor be a name."""
    (found,) = measured([event(d="\ud800"), event(), event(m="many"), event(m=5)], [])
    assert (found.namespace, found.name, found.dimensions, found.stamp) == ("N", "m", (("d", "x"),), 60)
    assert (found.point.count, found.point.sum) == (2, 7)
