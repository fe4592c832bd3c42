"""Counts outcomes at random with the extension of a folder: python outcome_records.py FOLDER SEED."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROUNDS = 60


def a_record(draw: random.Random, alias: str) -> Any:
    return SimpleNamespace(
        at=draw.choice((6e13, 1.7e12)) + draw.randrange(10**6), took=draw.getrandbits(draw.randrange(1, 56)),
        status=draw.choice(("success", "failure")), alias=alias, provisioned=draw.randrange(3),
    )  # fmt: skip


def main(folder: str, seed: str) -> None:
    place = importlib.util.spec_from_file_location("engine._observe", Path(folder, "_observe.so"))
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    draw = random.Random(int(seed))
    counts = module.OutcomeCounts()
    for each in range(ROUNDS):
        aliases = ["".join(draw.choices("aé😀", k=draw.randrange(9))) for _ in range(draw.randrange(1, 40))]
        records = [a_record(draw, draw.choice(aliases)) for _ in range(draw.randrange(3_000))]
        throttles = [SimpleNamespace(at=draw.random() * 1e9, alias=draw.choice(aliases)) for _ in range(9)]
        counts.ended(records)
        counts.throttled(throttles)
        for wrong in (object(), SimpleNamespace(at=float("nan"), took=1, status="", alias="", provisioned=0)):
            try:
                counts.ended([wrong])
            except (AttributeError, ValueError):
                continue
            raise AssertionError(wrong)
        if each % 7 == 6:
            counts = module.OutcomeCounts()  # the other is freed with what is in it
            continue
        rows = counts.take()
        found: Counter[str] = Counter()
        for _, alias, invocations, *_, values in rows:
            assert sum(values[3].values()) == invocations
            found[alias] += invocations
        assert +found == Counter(record.alias for record in records)
        assert sum(row[4] for row in rows) == len(throttles)


if __name__ == "__main__":
    main(*sys.argv[1:])
