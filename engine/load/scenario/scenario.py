"""A scenario: what a load test is to do, whole and checked before anything starts; read from a TOML file, or from
settings that stand side by side as those of a command line or of a call."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from ..generate.arrivals import Schedule, Trace
from ..generate.payloads import Check, Durations, Payloads, PerFunction
from ..words import plain
from .arrivals import Arrivals, Closed, Ramp, Replay, Synthetic, arrivals_of, durations
from .criteria import Criterion, limits_of
from .reading import ScenarioError, Settings, Source, Text, build, seconds
from .target import Payload, Target, Url, payload_of, target_of

__all__ = ["Scenario", "ScenarioError", "number", "read", "scenario"]


class Scenario(Settings, frozen=True, kw_only=True, dict=True):
    """drain: seconds that are waited for responses at the end; noise: whether two runs of the same are compared first;
    poll: whether the generator keeps a core busy, so that no request is late because a core had to wake."""

    name: Text
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    target: Annotated[Target, target_of]
    arrivals: Annotated[Arrivals, arrivals_of]
    payload: Annotated[Payload, payload_of] = Payload()
    drain: Annotated[float, Meta(ge=0, le=3600, description="seconds"), seconds] = 30.0
    noise: bool = True
    poll: bool = False
    limits: Annotated[tuple[Criterion, ...], limits_of] = ()

    def __post_init__(self) -> None:
        """Raises ScenarioError for parts that do not go together."""
        if self.closed is not None and self.functions > 1:
            raise ScenarioError(f"a closed loop asks one function, not {self.functions}")
        replay = isinstance(self.arrivals, Replay)
        if replay and self.weights is not None:
            raise ScenarioError("a trace says itself which function is asked: leave the weights out")
        if not replay and any(each.needs_durations for each in self._each_payload):
            raise ScenarioError(
                "{{duration}} is of a trace's invocations: it needs arrivals of the kind trace"
            )
        if not isinstance(self.arrivals, Replay | Ramp):
            self._check_warmup(self.arrivals.duration)

    def _check_warmup(self, whole: float) -> None:
        if self.warmup and self.warmup >= whole:
            warmup = f"a warm-up of {plain(self.warmup)} s"
            raise ScenarioError(f"{warmup} leaves nothing of {plain(whole)} s: make it shorter")

    @property
    def closed(self) -> Closed | None:
        """The arrivals of a closed loop; None of an open one."""
        return self.arrivals if isinstance(self.arrivals, Closed) else None

    @property
    def functions(self) -> int:
        return len(self.target.functions)

    @property
    def weights(self) -> list[float] | None:
        """Of the functions; None where they are all the same."""
        weights = [each.weight for each in self.target.functions]
        return weights if len(set(weights)) > 1 else None

    @property
    def warmup(self) -> float:
        """Seconds."""
        return self.arrivals.usual_warmup if self.arrivals.warmup is None else self.arrivals.warmup

    @cached_property
    def schedule(self) -> Schedule:
        """Of an open loop. Raises OSError and ValueError for a trace that is none."""
        made = self.arrivals.schedule(self.seed, self.weights, self.functions)
        self._check_warmup(made.duration)
        return made

    def payloads(self) -> Payloads:
        """From the first. Raises OSError and ValueError for a file that cannot be drawn from."""
        each = self._each_payload
        if len(each) == 1:
            return each[0].payloads(self.seed, self._usual, self._durations(each[0]))
        return PerFunction(
            [it.payloads(f"{self.seed} {n}", self._usual, self._durations(it)) for n, it in enumerate(each)]
        )

    def checks(self) -> list[Check]:
        """Of replies: one, or one for each function."""
        usual = "any" if isinstance(self.target, Url) else "json"
        return [each.check(usual) for each in self._each_payload]

    @property
    def target_words(self) -> str:
        return self.target.words

    @property
    def arrivals_words(self) -> str:
        return self.arrivals.words

    @property
    def payload_words(self) -> str:
        each = {it.words(self._usual): None for it in self._each_payload}
        return "; ".join(each) if len(each) <= 3 else f"{len(each)} kinds"

    @property
    def _each_payload(self) -> list[Payload]:
        """One for each function, or one for all."""
        own = [each.payload for each in self.target.functions]
        return [each or self.payload for each in own] if any(own) else [self.payload]

    @property
    def _usual(self) -> bytes:
        return b"" if isinstance(self.target, Url) and self.target.method == "GET" else b"{}"

    def _durations(self, of: Payload) -> Durations | None:
        if not of.needs_durations:
            return None
        schedule = self.schedule
        assert isinstance(schedule, Trace | Synthetic)
        return durations(schedule)


def read(path: Path, overrides: Mapping[str, Any] = {}, spelled: Mapping[str, str] = {}) -> Scenario:
    """Of a TOML file; relative paths start from its directory. overrides: by their full names; spelled: how errors
    spell those. Raises ScenarioError, which names the file; OSError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        for name, value in overrides.items():
            table, _, key = name.rpartition(".")
            inner = document.setdefault(table, {}) if table else document
            if isinstance(inner, dict):  # if not, that is what is wrong
                inner[key] = value
        names = {name: spelled.get(name, name) for name in overrides}
        source = Source(path.absolute().parent, names=lambda name: names.get(name, name))
        return build(Scenario, {"name": path.stem, **document}, source)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path} is not TOML: {error}") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


_TARGETS = {  # the settings that go with each kind of target
    "embedded": ("code", "memory", "timeout", "concurrency", "warm", "waiting", "init", "environment"),
    "endpoint": ("endpoint", "sign"),
    "url": ("method",),
}
_ARRIVALS = {  # and with each way to arrive
    "rate": ("constant", "burst", "duration"),
    "ramp": ("constant", "dwell"),
    "trace": ("speed",),
    "closed": ("duration",),
}
_PAYLOADS = ("payload", "template", "sample")
_ALWAYS = ("name", "seed", "drain", "noise", "poll", "limits")
_OTHERS = (*_ARRIVALS, "warmup", *_PAYLOADS, "expect", *_ALWAYS)
_SETTINGS = tuple(dict.fromkeys(itertools.chain(*_TARGETS.values(), *_ARRIVALS.values(), _OTHERS)))
_OF_A_FILE = {  # what overrides a scenario's file, and its name there
    **{name: name for name in ("name", "seed", "drain", "noise", "poll")},
    **{name: f"arrivals.{name}" for name in ("rate", "duration", "warmup")},
}
_FLAT = {  # how a scenario's settings are spelled here, where it is not the last part of their name
    **dict.fromkeys(("target", "arrivals", "payload"), ""),
    **dict.fromkeys(("target.function", "target.reference", "target.name", "target.url"), "target"),
    "payload.fixed": "payload",
    "arrivals.callers": "closed",
    "arrivals.first": "ramp (A)", "arrivals.last": "ramp (B)", "arrivals.step": "ramp (STEP)",
    "arrivals.peak": "burst (PEAK)", "arrivals.every": "burst (EVERY)", "arrivals.length": "burst (LENGTH)",
}  # fmt: skip


def scenario(target: str, settings: Mapping[str, Any], base: Path, option: bool = False) -> Scenario:
    """Of settings for a target, or that override those of a scenario's file. base: what relative paths start from;
    option: errors speak of a command line's options. Raises ScenarioError; OSError for a file that cannot be read."""
    return _Flat(settings, base, option).scenario(target)


class _Flat:
    """Settings side by side, to be made a scenario's tables."""

    def __init__(self, settings: Mapping[str, Any], base: Path, option: bool) -> None:
        self._settings = settings
        self._base = base
        self._spell: Callable[[str], str] = _as_option if option else str
        names = lambda key: self._spell(_FLAT.get(key, key.split(".")[-1]))  # noqa: E731
        self._source = Source(base, sign=" " if option else "=", names=names)

    def scenario(self, target: str) -> Scenario:
        for key in self._settings:
            if key not in _SETTINGS:
                raise self._source.unknown(key, _SETTINGS)
        if target.endswith(".toml"):
            return self._of_file(self._base / target)
        tables = {"target": self._target(target), "arrivals": self._arrivals(), "payload": self._payload()}
        return build(Scenario, {"name": target, **tables, **self._subset(_ALWAYS)}, self._source)

    def _of_file(self, path: Path) -> Scenario:
        """Limits are added to the file's."""
        for key in self._settings:
            if key not in _OF_A_FILE and key != "limits":
                why = f"{path.name} says that. Of a file only {self._list(_OF_A_FILE)} can be said anew"
                raise ScenarioError(f"{self._spell(key)}: {why}")
        overrides = {_OF_A_FILE[key]: it for key, it in self._settings.items() if key != "limits"}
        made = read(path, overrides, {name: self._spell(key) for key, name in _OF_A_FILE.items()})
        more = limits_of(self._settings.get("limits", {}), self._source.within("limits"))
        return replace(made, limits=(*made.limits, *more))

    def _target(self, target: str) -> dict[str, Any]:
        if "://" in target:
            kind, what = "url", f"{target}, a URL"
        elif "endpoint" in self._settings:
            kind, what = "endpoint", f"{target} on {self._settings['endpoint']}"
        else:
            kind, what = "embedded", f"{target}, a function in this process"
        fits = _TARGETS[kind]
        for key in itertools.chain(*_TARGETS.values()):
            if key in self._settings and key not in fits:
                raise ScenarioError(
                    f"{self._spell(key)} does not go with {what}, which takes {self._list(fits)}"
                )
        if kind == "embedded" and (
            (":" not in target and "." not in target) or os.sep in target.rpartition(":")[2]
        ):
            raise ScenarioError(f"{target or 'an empty text'} is no target: {self._instead(target)}")
        return {"url" if kind == "url" else "function": target, **self._subset(fits)}

    def _instead(self, target: str) -> str:
        if target and "\0" not in target and (self._base / target).is_dir():
            return f"for a function in that directory write app:handler and {self._spell('code')} {target}"
        server = f"its name and {self._spell('endpoint')} for one on a server"
        return f"write module:function for one in this process, {server}, an http:// URL, or a scenario's file (.toml)"

    def _arrivals(self) -> dict[str, Any]:
        settings = self._settings
        way = self._one(_ARRIVALS)
        if way is None:
            raise ScenarioError(f"nothing says how requests arrive: use one of {self._list(_ARRIVALS)}")
        for key in settings:
            fits = [self._spell(it) for it, more in _ARRIVALS.items() if key in more]
            if fits and key not in _ARRIVALS[way]:
                takers = " or ".join(fits)
                raise ScenarioError(f"{self._spell(key)} goes with {takers}, not with {self._spell(way)}")
        made = self._subset(("warmup", "duration", "dwell", "speed"))
        process = "constant" if settings.get("constant") else "poisson"
        if way == "ramp":
            parts = self._triple("ramp", ("first", "last", "step"), "A:B:STEP, as in 500:5000:500")
            return {"kind": "ramp", **parts, "process": process, **made}
        if way == "trace":
            return {"kind": "trace", "trace": settings["trace"], **made}
        if way == "closed":
            return {"kind": "closed", "callers": settings["closed"], **made}
        if "burst" not in settings:
            return {"kind": process, "rate": settings["rate"], **made}
        parts = self._triple("burst", ("peak", "every", "length"), "PEAK:EVERY:LENGTH, as in 5000:10s:1s")
        return {"kind": "bursts", "rate": settings["rate"], **parts, "process": process, **made}

    def _triple(self, key: str, names: Sequence[str], form: str) -> dict[str, Any]:
        value = self._settings[key]
        parts = value.split(":") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or len(parts) != 3:
            raise self._source.wrong(key, value, f"write {form}")
        return {name: number(part) for name, part in zip(names, parts, strict=True)}

    def _payload(self) -> dict[str, Any]:
        self._one(_PAYLOADS)
        made = self._subset((*_PAYLOADS, "expect"))
        return {"fixed" if key == "payload" else key: it for key, it in made.items()}

    def _one(self, keys: Iterable[str]) -> str | None:
        """The only one of these that there is."""
        several = list(self._subset(keys))
        if len(several) > 1:
            both = " and ".join(map(self._spell, several))
            raise ScenarioError(f"{both} at once: use one of {self._list(keys)}")
        return several[0] if several else None

    def _subset(self, keys: Iterable[str]) -> dict[str, Any]:
        return {key: self._settings[key] for key in keys if key in self._settings}

    def _list(self, keys: Iterable[str]) -> str:
        return ", ".join(map(self._spell, keys))


def number(value: Any) -> Any:
    """A text that is a number as one; anything else as it is."""
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else value
        except ValueError:
            pass
    return value


def _as_option(key: str) -> str:
    """A setting as an option. What stands in brackets is a part of its value."""
    key, *part = key.split(" ", 1)
    names = {"": "", "target": "TARGET", "environment": "--env", "noise": "--no-noise", "limits": "--fail-if"}
    return " ".join([names.get(key, f"--{key.replace('_', '-')}"), *part])
