"""python handlers/run.py: every sample on its real input, through one engine, its responses checked."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

from engine import Engine, Function, Reply

HERE = Path(__file__).resolve().parent
CALLS_LEAST, CALLS_MOST, SECONDS = 200, 2000, 1.5
PRINTED = 96  # characters of a response

# Members that each response must have; others may be anything. Numbers: to seven digits.
EXPECTED: dict[str, Any] = {
    "echo": {"message": "hello", "n": 1, "nested": {"list": [1, 2.5, True, None], "text": "naïve ☃"}},
    "thumbnail": {
        "thumbnails": [
            {
                "key": "resources/images/chelsea.png",
                "source": {"format": "PNG", "width": 451, "height": 300},
                "thumbnail": {"format": "JPEG", "width": 128, "height": 85},
            }
        ]
    },
    "access-log": {
        "requests": 300,
        "rejected": [],
        "statuses": {
            "200": 238,
            "206": 5,
            "301": 8,
            "302": 2,
            "304": 19,
            "401": 2,
            "403": 2,
            "404": 20,
            "405": 3,
            "416": 1,
        },
        "bytes": {"total": 3058773, "max": 231679},
    },
    "orders": {
        "batchItemFailures": [
            {"itemIdentifier": "153812ae-5fea-4b73-a011-bf28bd7cea93"},
            {"itemIdentifier": "2396a125-6ac4-41c6-a49c-931ddb8018bd"},
            {"itemIdentifier": "b5f2031e-b62e-47c6-a382-87b38f83afea"},
            {"itemIdentifier": "e341fcc4-8893-4e25-a895-6254b5b7de15"},
        ]
    },
    "ledger": {
        "batchItemFailures": [
            {"itemIdentifier": "271100000000036295176"},
            {"itemIdentifier": "271100000000036295247"},
            {"itemIdentifier": "271100000000036295340"},
        ],
        "turnover": 633940,
        "uneven": {"t-1006": 190000, "t-1007": 2500},
    },
    "http-api": {"statusCode": 201, "headers": {"Content-Type": "application/json"}},
    "numbers": {
        "observations": 252,
        "r_squared": 0.7417229175,
        "coefficients": {"abdom": {"estimate": 0.9192021203}, "wrist": {"estimate": -1.5248373198}},
    },
}


def wrong(response: Any, expected: Any, where: str = "") -> str:
    """What is wrong with a response, in one line, or an empty string."""
    if isinstance(expected, dict):
        if not isinstance(response, dict):
            return f"{where or 'the response'} is not an object: {response!r}"
        for key, value in expected.items():
            if key not in response:
                return f"{where}.{key} is missing"
            if found := wrong(response[key], value, f"{where}.{key}"):
                return found
        return ""
    if isinstance(expected, list) and isinstance(response, list) and len(response) == len(expected):
        pairs = enumerate(zip(response, expected, strict=True))
        return next((found for n, (a, e) in pairs if (found := wrong(a, e, f"{where}[{n}]"))), "")
    if isinstance(expected, float) and isinstance(response, float | int):
        same = math.isclose(response, expected, rel_tol=1e-7)
    else:
        same = response == expected
    return "" if same else f"{where or 'the response'} is {response!r}, should be {expected!r}"


def event_of(sample: Path) -> Path:
    """The event that the third line of a sample's README names."""
    command = (sample / "README.md").read_text(encoding="utf-8").splitlines()[2]
    found = re.search(r"@(\S+)", command)
    if found is None:
        raise SystemExit(f"{sample.name}/README.md: its third line names no event")
    return HERE.parent / found[1]


def warm(function: Function, event: Any, first: Any) -> tuple[list[int], str]:
    """How long each of many invocations took (ns, sorted), and what was wrong with one of them."""
    took: list[int] = []
    now = time.perf_counter_ns
    end = now() + int(SECONDS * 1e9)
    while len(took) < CALLS_LEAST or (len(took) < CALLS_MOST and now() < end):
        begin = now()
        response = function.invoke(event)
        took.append(now() - begin)
        if response != first:
            return sorted(took), f"invocation {len(took)} had another response: {short(json.dumps(response))}"
    return sorted(took), ""


def short(text: str) -> str:
    return text if len(text) <= PRINTED else f"{text[:PRINTED]}… ({len(text):,} characters)"


def duration(ns: float) -> str:
    return f"{ns / 1e6:.2f} ms" if ns >= 1e6 else f"{ns / 1e3:.1f} µs"


def report_line(reply: Reply) -> str:
    return reply.log_tail[reply.log_tail.rindex("REPORT RequestId:") :].strip()


def run(engine: Engine, sample: Path) -> str:
    """Run and print one sample. What was wrong, or an empty string."""
    path = event_of(sample)
    event = path.read_bytes()
    # warm=0: the first invocation is a cold start, so that its REPORT has the duration of the init.
    function = engine.function("app:handler", code=sample, name=sample.name, warm=0)
    reply = function.invoke_raw(event)
    print(f"{sample.name}  ({path.relative_to(HERE.parent)}, {len(event):,} bytes)")
    print(f"  {short(reply.payload.decode())}")
    print(f"  {report_line(reply)}")
    if reply.function_error:
        return f"it failed: {reply.payload.decode()}"
    first = json.loads(reply.payload)
    fault = wrong(first, EXPECTED[sample.name])
    if not fault:
        took, fault = warm(function, json.loads(event), first)
        alone = engine.stats()[sample.name].duration_p50 * 1e9
        print(
            f"  warm p50 {duration(took[len(took) // 2])}, p99 {duration(took[len(took) * 99 // 100])} "
            f"over {len(took):,} invocations; the handler alone p50 {duration(alone)}"
        )
    return fault


def main() -> int:
    faults = []
    with Engine(logs=False) as engine:
        for name in EXPECTED:
            fault = run(engine, HERE / name)
            if fault:
                faults.append(name)
                print(f"  WRONG: {fault}")
            print(flush=True)
    print(f"{len(EXPECTED) - len(faults)} of {len(EXPECTED)} samples answered as they should")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
