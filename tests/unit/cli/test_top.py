"""What `stoker top` makes of two looks."""

from __future__ import annotations

from typing import Any

import pytest

from engine.cli.top import rows

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def look(**functions: tuple[int, int, dict[str, int]]) -> dict[str, Any]:
    return {
        "functions": {
            ARN + name: {
                "invocations": done, "errors": {"failure": errors}, "throttles": {}, "cold_starts": 1, "took": took,
            }
            for name, (done, errors, took) in functions.items()
        },
        "running": {ARN + "f": 3},
    }  # fmt: skip


@pytest.mark.promise(257)
def test_rates_and_percentiles_are_of_the_time_between() -> None:
    before = look(f=(100, 1, {"1": 100}), g=(5, 0, {"2": 5}))
    after = look(f=(300, 5, {"1": 200, "9.5": 100}), g=(5, 0, {"2": 5}), h=(1, 0, {"7": 1}))
    found = rows(before, after, 2.0)
    assert found[0] == ["f", "100.0", "1.00", "9.50", "2.0", "0.0", "3", "1", "300"]
    assert [row[0] for row in found] == ["f", "h", "g"]
    assert found[2][1:4] == ["0.0", "-", "-"]


def test_another_server_answers() -> None:
    (row,) = rows(look(f=(100, 1, {"1": 100})), look(f=(4, 0, {"3": 4})), 2.0)
    assert row[1:4] == ["2.0", "3.00", "3.00"]
