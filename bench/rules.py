"""Event patterns: events a second matched against 10, 1,000 and 10,000 rules, beside a loop over patterns and moto's.

Ten kinds of rules in equal parts (values, prefixes, suffixes, ranges, without case, wildcards, networks, $or with
anything-but, absent fields, arrays of objects), each with a source that a seventh of all share. Each event matches one
rule, whatever their number. The loop asks our compiled patterns one after the other; moto's EventPattern does so in
its own environment (MOTO_PYTHON says where; left out where there is none). All take turns; medians, of CPU time.

python -m bench.rules [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.routing.grammar import compiled
from engine.routing.rules import Rules

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10, 1_000, 10_000)
EVENTS = 2_000
WITHIN = 3.0  # times the cost with ten rules
TIMES = 100.0  # the rate of the loop
MOTO = """
import json, sys, time
from moto.events.models import EventPattern
given = json.load(sys.stdin)
patterns = [EventPattern(None, each) for each in given["patterns"]]
begin = time.process_time()
matched = [sum(each.matches_event(event) for each in patterns) for event in given["events"]]
print(json.dumps([(time.process_time() - begin) / len(matched), matched]))
"""


def rule(n: int) -> dict[str, Any]:
    detail: dict[str, Any] = [
        {"tenant": [f"t-{n}"]},
        {"path": [{"prefix": f"/data/{n:05}/"}]},
        {"file": [{"suffix": f".{n:05}.csv"}]},
        {"number": [{"numeric": [">=", n * 10, "<", n * 10 + 10]}]},
        {"title": [{"equals-ignore-case": f"Order {n} PLACED"}]},
        {"key": [{"wildcard": f"tenant-{n}/*/done"}]},
        {"ip": [{"cidr": f"10.{n >> 8}.{n & 255}.0/24"}]},
        {
            "$or": [{"tenant": [f"t-{n}"]}, {"owner": [f"o-{n}"]}],
            "state": [{"anything-but": ["failed", "lost"]}],
        },
        {"tenant": [f"t-{n}"], "error": [{"exists": False}]},
        {"items": {"sku": [f"sku-{n}"], "quantity": [{"numeric": [">", 1]}]}},
    ][n % 10]
    return {"source": [f"shop.{n % 7}"], "detail": detail}


def event(n: int) -> dict[str, Any]:
    return {
        "version": "0", "id": f"{n:032x}", "detail-type": "order", "source": f"shop.{n % 7}",
        "account": "123456789012", "time": "2026-01-01T00:00:00Z", "region": "us-east-1", "resources": [],
        "detail": {
            "tenant": f"t-{n}", "path": f"/data/{n:05}/x", "file": f"a.{n:05}.csv", "number": n * 10 + 5,
            "title": f"order {n} placed", "key": f"tenant-{n}/2026/done", "ip": f"10.{n >> 8}.{n & 255}.7",
            "owner": f"o-{n}", "state": "done",
            "items": [{"sku": f"sku-{n}", "quantity": 2}, {"sku": "other", "quantity": 1}],
        },
    }  # fmt: skip


def timed(match: Callable[[dict[str, Any]], int], events: list[dict[str, Any]]) -> float:
    """Seconds an event."""
    begin = time.process_time()
    for each in events:
        assert match(each) == 1
    return (time.process_time() - begin) / len(events)


def of_moto(patterns: list[dict[str, Any]], events: list[dict[str, Any]]) -> float | None:
    python = os.environ.get("MOTO_PYTHON") or str(ROOT / "build/clients/moto/bin/python")
    if not Path(python).exists():
        return None
    given = json.dumps({"patterns": patterns, "events": events})
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", MOTO], input=given, capture_output=True, text=True, check=True, env=environment
    )
    seconds, _ = json.loads(done.stdout)
    return float(seconds)


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.rules", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    patterns = [rule(n) for n in range(SIZES[-1])]
    begin = time.process_time()
    known = [compiled(each) for each in patterns]
    parsed = time.process_time()
    indexes = {size: Rules(enumerate(known[:size])) for size in SIZES}
    built = time.process_time()
    events = [event(n % SIZES[0]) for n in range(EVENTS)]
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for size, index in indexes.items():
            found.setdefault(f"{size:>6,} rules, indexed", []).append(
                timed(lambda each, index=index: len(index.match(each)), events)  # type: ignore[misc]
            )
        name = f"{SIZES[-1]:>6,} rules, a loop over patterns"
        found.setdefault(name, []).append(
            timed(lambda each: sum(pattern.matches(each) for pattern in known), events[: SIZES[0]])
        )
        if (seconds := of_moto(patterns, events[: SIZES[0]])) is not None:
            found.setdefault(f"{SIZES[-1]:>6,} rules, moto's EventPattern", []).append(seconds)
    names = list(found)
    for name in names:
        seconds = statistics.median(found[name])
        print(f"{name:<40} {1 / seconds:>12,.1f} events/s   {seconds * 1e6:>12,.1f} µs an event")
    few, many, loop = (found[name] for name in (names[0], names[2], names[3]))
    cost = statistics.median(b / a for a, b in zip(few, many, strict=True))
    gain = statistics.median(b / a for a, b in zip(many, loop, strict=True))
    print(f"10,000 rules cost {cost:.2f} times what 10 cost (promised: at most {WITHIN:g})")
    print(f"10,000 rules are matched {gain:,.0f} times as fast as by the loop (promised: at least {TIMES:g})")
    print(
        f"compiled: {(parsed - begin) / len(known) * 1e6:.1f} µs a rule; all three indexes: {built - parsed:.2f} s"
    )
    return 0 if cost <= WITHIN and gain >= TIMES else 1


if __name__ == "__main__":
    sys.exit(main())
