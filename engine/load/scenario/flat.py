"""A scenario from settings that stand side by side: those of a command line, or of a call."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import file as scenario_file
from .criteria import limits_of
from .reading import ScenarioError, Source, build
from .scenario import Scenario

_EMBEDDED = ("code", "memory", "timeout", "concurrency", "warm", "waiting", "init", "environment")
_ENDPOINT = ("endpoint", "sign")
_URL = ("method",)
_ARRIVALS = {  # the settings that go with each way to arrive; `warmup` goes with all of them
    "rate": ("constant", "burst", "duration"),
    "ramp": ("constant", "dwell"),
    "trace": ("speed",),
    "closed": ("duration",),
}
_PAYLOAD = ("payload", "template", "sample", "expect")
_ALL = ("name", "seed", "drain", "noise", "poll", "limits")
_OF_A_FILE = {  # what may be said anew of a scenario's file, and its name there
    "name": "name",
    "seed": "seed",
    "drain": "drain",
    "noise": "noise",
    "poll": "poll",
    "rate": "arrivals.rate",
    "duration": "arrivals.duration",
    "warmup": "arrivals.warmup",
}
_FLAT = {  # what a scenario's settings are called here, where it is not the last part of their name
    "target": "",
    "arrivals": "",
    "payload": "",
    "target.function": "target",
    "target.reference": "target",
    "target.name": "target",
    "target.url": "target",
    "payload.fixed": "payload",
    "arrivals.callers": "closed",
    "arrivals.kind": "constant",
    "arrivals.first": "ramp (A)",
    "arrivals.last": "ramp (B)",
    "arrivals.step": "ramp (STEP)",
    "arrivals.peak": "burst (PEAK)",
    "arrivals.every": "burst (EVERY)",
    "arrivals.length": "burst (LENGTH)",
}
SETTINGS = tuple(
    dict.fromkeys(
        (
            *_EMBEDDED,
            *_ENDPOINT,
            *_URL,
            *_ARRIVALS,
            *itertools.chain(*_ARRIVALS.values()),
            "warmup",
            *_PAYLOAD,
            *_ALL,
        )
    )
)


def scenario(target: str, given: Mapping[str, Any], base: Path, option: bool = False) -> Scenario:
    """What is given for a target, or anew for a scenario's file: no setting but what was said.

    base: what relative paths start from; option: errors speak of the options of a command line. Raises ScenarioError;
    OSError for a file that cannot be read.
    """
    spoken = _spelled if option else str
    source = Source(
        base, sign=" " if option else "=", names=lambda key: spoken(_FLAT.get(key, key.split(".")[-1]))
    )
    for key in given:
        if key not in SETTINGS:
            raise source.unknown(key, SETTINGS)
    if target.endswith(".toml"):
        return _of_file(base / target, given, spoken, source)
    document = {
        "name": target,
        "target": _target(target, given, base, spoken),
        "arrivals": _arrivals(given, spoken, source),
        "payload": _payload(given, spoken),
        **_some(given, _ALL),
    }
    return build(Scenario, document, source)


def _of_file(path: Path, given: Mapping[str, Any], spoken: Any, source: Source) -> Scenario:
    """With the limits besides those that it has."""
    anew = {}
    for key, value in given.items():
        if key in _OF_A_FILE:
            anew[_OF_A_FILE[key]] = value
        elif key != "limits":
            allowed = ", ".join(map(spoken, _OF_A_FILE))
            raise ScenarioError(
                f"{spoken(key)}: {path.name} says that. Of a file only {allowed} can be said anew"
            )
    made = scenario_file.read(path, anew, {there: spoken(here) for here, there in _OF_A_FILE.items()})
    more = limits_of(given.get("limits", {}), source.within("limits"))
    return replace(made, limits=(*made.limits, *more))


def _target(target: str, given: Mapping[str, Any], base: Path, spoken: Any) -> dict[str, Any]:
    if "://" in target:
        _only(given, _URL, (*_EMBEDDED, *_ENDPOINT), f"{target}, a URL", spoken)
        return {"url": target, **_some(given, _URL)}
    if "endpoint" in given:
        _only(given, _ENDPOINT, (*_EMBEDDED, *_URL), f"{target} on {given['endpoint']}", spoken)
        return {"function": target, **_some(given, _ENDPOINT)}
    _only(given, _EMBEDDED, (*_ENDPOINT, *_URL), f"{target}, a function in this process", spoken)
    if (":" not in target and "." not in target) or os.sep in target.rpartition(":")[2]:
        raise ScenarioError(f"{target or 'an empty text'} is no target: {_instead(target, base, spoken)}")
    return {"function": target, **_some(given, _EMBEDDED)}


def _instead(target: str, base: Path, spoken: Any) -> str:
    if target and "\0" not in target and (base / target).is_dir():
        return f"for a function in that directory write app:handler and {spoken('code')} {target}"
    return (
        "write module:function for one in this process, its name and "
        f"{spoken('endpoint')} for one on a server, an http:// URL, or a scenario's file (.toml)"
    )


def _arrivals(given: Mapping[str, Any], spoken: Any, source: Source) -> dict[str, Any]:
    ways = [way for way in _ARRIVALS if way in given]
    if len(ways) != 1:
        names = ", ".join(map(spoken, _ARRIVALS))
        said = f"{' and '.join(map(spoken, ways))} at once" if ways else "nothing says how requests arrive"
        raise ScenarioError(f"{said}: use one of {names}")
    [way] = ways
    allowed = _ARRIVALS[way]
    for key in given:
        fits = [spoken(it) for it, more in _ARRIVALS.items() if key in more]
        if fits and key not in allowed:
            raise ScenarioError(f"{spoken(key)} goes with {' or '.join(fits)}, not with {spoken(way)}")
    made = _some(given, ("warmup", "duration", "dwell", "speed"))
    process = "constant" if given.get("constant") else "poisson"
    if way == "ramp":
        parts = _parts(given["ramp"], "ramp", "A:B:STEP, as in 500:5000:500", source)
        return {
            "kind": "ramp",
            **dict(zip(("first", "last", "step"), parts, strict=True)),
            "process": process,
            **made,
        }
    if way == "trace":
        return {"kind": "trace", "trace": given["trace"], **made}
    if way == "closed":
        return {"kind": "closed", "callers": given["closed"], **made}
    if "burst" not in given:
        return {"kind": process, "rate": given["rate"], **made}
    parts = _parts(given["burst"], "burst", "PEAK:EVERY:LENGTH, as in 5000:10s:1s", source)
    burst = dict(zip(("peak", "every", "length"), parts, strict=True))
    return {"kind": "bursts", "rate": given["rate"], **burst, "process": process, **made}


def _parts(value: Any, key: str, form: str, source: Source) -> list[Any]:
    parts = value.split(":") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 3:
        raise source.wrong(key, value, f"write {form}")
    return [plain(part) for part in parts]


def plain(value: Any) -> Any:
    """A text that is a number as one; anything else as it is."""
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else value
        except ValueError:
            pass
    return value


def _payload(given: Mapping[str, Any], spoken: Any) -> dict[str, Any]:
    sources = _PAYLOAD[:-1]
    if len(said := [spoken(key) for key in sources if key in given]) > 1:
        raise ScenarioError(f"{' and '.join(said)} at once: use one of {', '.join(map(spoken, sources))}")
    return {"fixed" if key == "payload" else key: it for key, it in _some(given, _PAYLOAD).items()}


def _some(given: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: given[key] for key in keys if key in given}


def _only(
    given: Mapping[str, Any], fits: Iterable[str], others: Iterable[str], what: str, spoken: Any
) -> None:
    for key in others:
        if key in given:
            names = ", ".join(map(spoken, fits))
            raise ScenarioError(f"{spoken(key)} does not go with {what}, which takes {names}")


def _spelled(key: str) -> str:
    """A setting as an option. What stands in brackets is a part of its value."""
    key, *part = key.split(" ", 1)
    names = {"": "", "target": "TARGET", "environment": "--env", "noise": "--no-noise", "limits": "--fail-if"}
    name = names.get(key, f"--{key.replace('_', '-')}")
    return " ".join([name, *part])
