"""`stoker event`: a sample event, as the service sends it. The data files in events/ have them, with placeholders.

A placeholder is ${OPTION} or ${OPTION|FILTER|…}; a text that is one, with "int" last, is a number. {"$gzip": X} is X as
log events are sent, {"$text": X} X as JSON within a text, {"$json": OPTION} an option that is JSON itself.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from .status import OK, UsageError, option

_FOLDER = Path(__file__).parent / "events"
_HOLDER = re.compile(r"\$\{([\w-]+)((?:\|\w+)*)\}")
_DESCRIPTION = """\
Prints a sample event, for a function to be tried with. Without SERVICE or EVENT: what there is.

examples:
  stoker event s3 put --bucket pictures --key cat.jpg
  stoker event sqs receive-message --body '{"n": 1}' | stoker invoke app:handler -
"""


PARSER = {"help": "print a sample event", "description": _DESCRIPTION}
OPTIONS = (
    option("words", metavar="SERVICE EVENT [--OPTION VALUE]", help="which one", nargs=argparse.REMAINDER),
)


def services() -> dict[str, dict[str, Any]]:
    """Events by service and name: {"help", "options", "event"}."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(_FOLDER.glob("*.json"))}


def run(options: argparse.Namespace) -> int:
    service, name, *rest = [*options.words, "", ""][: max(2, len(options.words))]
    found = services()
    if not service or not name:
        for each in [service] if service else found:
            for event, about in _of(found, each).items():
                print(f"{each:<15} {event:<26} {about['help']}")
        return OK
    about = _of(found, service).get(name)
    if about is None:
        raise UsageError(f"{service} has no event {name}: there are {', '.join(found[service])}")
    parser = argparse.ArgumentParser(
        f"stoker event {service} {name}", description=f"Prints an event: {about['help']}."
    )
    for each, default in about["options"].items():
        parser.add_argument(
            f"--{each}", dest=each, default=default, help=f"default: {default}".replace("%", "%%")
        )
    print(json.dumps(event_of(about["event"], vars(parser.parse_args(rest))), indent=2, ensure_ascii=False))
    return OK


def event_of(template: Any, values: dict[str, str]) -> Any:
    """An event with its options in it. Raises UsageError."""
    return _filled(template, {"time": f"{time.time():.3f}", **values})


def _of(found: dict[str, dict[str, Any]], service: str) -> dict[str, Any]:
    if service not in found:
        raise UsageError(f"there are no events of {service}: there are those of {', '.join(found)}")
    return found[service]


def _filled(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    if isinstance(value, dict):
        if "$gzip" in value:
            return base64.b64encode(
                gzip.compress(_compact(_filled(value["$gzip"], values)).encode(), mtime=0)
            ).decode()
        if "$text" in value:
            return _compact(_filled(value["$text"], values))
        if "$json" in value:
            text = values[value["$json"]]
            try:
                return json.loads(text)
            except ValueError:
                raise UsageError(f"--{value['$json']} {text}: that is not JSON") from None
        return {_filled(key, values): _filled(each, values) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    whole = _HOLDER.fullmatch(value)
    text = _HOLDER.sub(lambda found: _filtered(found, values), value)
    filters = whole[2].split("|") if whole else []
    if filters and filters[-1] in ("int", "s", "seconds"):
        try:
            return float(text) if filters[-1] == "seconds" else int(text)
        except ValueError:
            raise UsageError(f"--{whole[1]} {text}: that is no number" if whole else text) from None
    return text


def _filtered(found: re.Match[str], values: dict[str, str]) -> str:
    text = values[found[1]]
    for name in found[2].split("|")[1:]:
        text = _FILTERS[name](text)
    return text


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _at(form: str) -> Callable[[str], str]:
    return lambda text: time.strftime(form, time.gmtime(float(text)))


_FILTERS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "clf": _at("%d/%b/%Y:%H:%M:%S +0000"),
    "int": lambda text: text,
    "iso": lambda text: f"{_at('%Y-%m-%dT%H:%M:%S')(text)}.{text[-3:]}Z",
    "iso0": _at("%Y-%m-%dT%H:%M:%SZ"),
    "iso3": lambda text: f"{_at('%Y-%m-%dT%H:%M:%S')(text)}.{text[-3:]}",
    "md5": lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
    "ms": lambda text: text.replace(".", ""),
    "s": lambda text: text.partition(".")[0],
    "seconds": lambda text: text,
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "url": lambda text: quote_plus(text, safe="/"),
}
