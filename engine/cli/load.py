"""`stoker load`: runs a load test, prints its result and writes it to files; compares two results."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EngineError
from . import load_options
from .status import FAILED, OK, UsageError
from .texts import pair

if TYPE_CHECKING:
    from ..load.result import Result
    from ..load.scenario.scenario import Scenario

PARSER, OPTIONS, GROUPS = load_options.PARSER, load_options.OPTIONS, load_options.GROUPS
VOID = 3
_NOT_SETTINGS = ("command", "run", "parser", "target", "json", "html", "quiet")
_NUMBERS = {"rate", "closed", "speed", "memory", "timeout", "concurrency", "warm", "waiting", "seed"}


def run(options: argparse.Namespace) -> int:
    """Exit status; raises UsageError, or an EngineError for what cannot be started."""
    try:
        import hdrh.histogram  # noqa: F401  without it a run would fail at its end
        import httptools  # noqa: F401
    except ImportError as error:
        raise UsageError(f'{error.name} is missing: pip install "stoker[load]"') from None
    first, *others = options.target
    if first == "compare" and not hasattr(options, "endpoint"):
        return compare(options, others)
    if others:
        raise UsageError(
            f"one TARGET at a time, not {' '.join(options.target)}; a scenario's file may mix functions"
        )
    chosen = scenario(options)
    for path in (options.json, options.html):
        if path is not None:
            _can_be_written(path)
    return report(_run(chosen, options.quiet), chosen, options)


def scenario(options: argparse.Namespace) -> Scenario:
    """The scenario that the options describe. Raises UsageError."""
    from ..load.scenario import scenario as scenarios
    from ..load.scenario.criteria import failing

    settings: dict[str, Any] = {key: it for key, it in vars(options).items() if key not in _NOT_SETTINGS}
    for key in _NUMBERS & settings.keys():
        settings[key] = scenarios.number(settings[key])
    if "environment" in settings:
        settings["environment"] = dict(pair("--env", text) for text in settings["environment"])
    if "expect" in settings:
        settings["expect"] = _expected(settings["expect"])
    limits = []
    for text in settings.pop("fail_if", ()):
        try:
            limits.append(failing(text))
        except ValueError as error:
            raise UsageError(f"--fail-if {text}: {error}") from None
    if limits:
        settings["limits"] = tuple(limits)
    [target] = options.target
    try:
        return scenarios.scenario(target, settings, Path.cwd(), option=True)
    except scenarios.ScenarioError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None


def report(result: Result, chosen: Scenario, options: argparse.Namespace) -> int:
    """Print the result, write it to files, and judge it by the limits."""
    from ..load.report import summary
    from ..load.result import write
    from ..load.scenario.criteria import broken

    if not options.quiet:
        print(summary.text(result), end="")
    if options.json is not None:
        write(Path(options.json), result)
    if options.html is not None:
        from ..load.report.page import render

        Path(options.html).write_text(render(result), encoding="utf-8")
    wrong = broken(chosen.limits, result)
    if not result.ended.get("ok"):
        wrong.append("nothing was answered rightly")
    for line in [*(f"the run is void: {why}" for why in result.void), *wrong]:
        print(f"stoker load: {line}", file=sys.stderr)
    return VOID if result.void else FAILED if wrong else OK


def compare(options: argparse.Namespace, names: Sequence[str]) -> int:
    """Compare two results that --json wrote."""
    import msgspec

    from ..load import compare as comparing
    from ..load.result import NotAResult, read

    if len(names) != 2:
        raise UsageError("compare takes two files that --json wrote: stoker load compare A.json B.json")
    if others := [key for key in vars(options) if key not in _NOT_SETTINGS]:
        raise UsageError(f"compare takes two files, --json, --html and --quiet, not {', '.join(others)}")
    try:
        a, b = (read(Path(name)) for name in names)
        found = comparing.compare(a, b)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None
    except (NotAResult, comparing.NotComparable) as error:
        raise UsageError(str(error)) from None
    if not options.quiet:
        print(comparing.text(found), end="")
    if options.json is not None:
        _can_be_written(options.json)
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    if options.html is not None:
        from ..load.report.page import render

        _can_be_written(options.html)
        Path(options.html).write_text(render(b, against=a), encoding="utf-8")
    return found.exit_code


def _run(chosen: Scenario, quiet: bool) -> Result:
    from ..load.report.live import Live
    from ..load.run import run_now

    try:
        with contextlib.nullcontext() if quiet else Live(chosen.name) as watch:
            return run_now(chosen, watch)
    except EngineError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


def _can_be_written(name: str) -> None:
    """Checked before a run rather than after it. Raises UsageError."""
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied")


def _expected(texts: Sequence[str]) -> str | dict[str, Any]:
    """One word, or members of an object: their values are JSON, or texts."""
    import json

    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    members: dict[str, Any] = {}
    for name, value in (pair("--expect", text) for text in texts):
        try:
            members[name] = json.loads(value)
        except ValueError:
            members[name] = value
    return members
