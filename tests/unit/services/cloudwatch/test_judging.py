"""What datapoints mean for an alarm: the tables of CloudWatch's documentation, X breaching, 0 not, - missing."""

from __future__ import annotations

import pytest

from engine.services.cloudwatch.judging import judge
from engine.services.cloudwatch.rules import parse

PERIODS = [300, 240, 180, 120, 60]  # newest first
KEPT = "kept"
# Points from the oldest to the newest, and the state where missing points are missing, ignore, breaching, notBreaching.
OF_3 = [
    ("0-X-X", "ALARM", 2), ("0-X-X", "OK OK OK OK", 3), ("0----", "OK OK OK OK", 3),
    ("-----", f"INSUFFICIENT_DATA {KEPT} ALARM OK", 3), ("0XX-X", "ALARM ALARM ALARM ALARM", 3),
    ("--X--", f"ALARM {KEPT} ALARM OK", 3), ("00X0X", "ALARM ALARM ALARM ALARM", 2), ("0-X--", "OK OK ALARM OK", 2),
    ("----0", "OK OK ALARM OK", 2), ("---X-", f"ALARM {KEPT} ALARM OK", 2), ("XXX00", "OK OK OK OK", 2),
]  # fmt: skip


@pytest.mark.promise(253)
@pytest.mark.parametrize(("points", "states", "needed"), OF_3)
def test_missing_points(points: str, states: str, needed: int) -> None:
    treatments = ("missing", "ignore", "breaching", "notBreaching")
    wanted = states.split() * (4 if " " not in states else 1)
    values = {
        at: 9.0 if point == "X" else 0.0
        for at, point in zip(reversed(PERIODS), points, strict=True)
        if point != "-"
    }
    for treatment, state in zip(treatments, wanted, strict=True):
        alarm = {
            "EvaluationPeriods": 3, "DatapointsToAlarm": needed, "TreatMissingData": treatment, "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
        }  # fmt: skip
        judged = judge(alarm, values, PERIODS, "OK")
        assert (judged.state or KEPT) == state, treatment
        assert judged.state is None or judged.reason


@pytest.mark.promise(253)
def test_a_composite_alarms_rule() -> None:
    states = {"a": "ALARM", "b c": "OK", "d": "INSUFFICIENT_DATA"}
    rule, names = parse('ALARM(a) AND (NOT ALARM("b c") OR FALSE) AND INSUFFICIENT_DATA(d)')
    assert rule(states.get) and names == ["a", "b c", "d"]
    for broken in (
        "",
        "ALARM",
        "ALARM(a",
        "ALARM(a) AND",
        "(ALARM(a)",
        "ALARM(a) OK(a)",
        "AND",
        "NOT" * 1000,
    ):
        with pytest.raises(Exception, match="AlarmRule"):
            parse(broken)
