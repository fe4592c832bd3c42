"""`stoker`: reads the command line, runs a command, turns signals and errors into exit statuses.

Light to import: a command's own imports (the engine's) happen when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from .. import __version__
from ..errors import EngineError

OK, FAILED, USAGE = 0, 1, 2

LINUX_ONLY = (
    "stoker runs on Linux only for now, it needs futexes, memfds and pidfds: "
    "use a Linux machine or virtual machine (on Windows, WSL 2)"
)

_DESCRIPTION = "AWS Lambda's programming model in isolated, warm processes, at microseconds a call."
_MORE = "stoker COMMAND --help explains a command."

_INVOKE = """\
Starts the function, invokes it once and ends. The response goes to stdout; START, what the function
logged, END and REPORT go to stderr.

examples:
  stoker invoke app:handler
  stoker invoke app:handler '{"name": "Ada"}' --code handlers/echo
  stoker invoke app:handler @event.json --timeout 3 --memory 256 --env SIZE=64
  generate-event | stoker invoke app.handler - --repeat 10000

exit status:
  0  the response is on stdout
  1  the function failed: Lambda's error object is on stdout
  2  it was not invoked: a wrong argument, a bad reference, an event that is not JSON
  130, 143 and so on: ended by a signal (128 + its number)
"""

_DOCTOR = """\
Measures and lists what this machine offers the engine: cores, what a wake and a spin cost, kernel
features, limits; and how to get what is missing.

exit status:
  0  the engine can run here
  1  it cannot; the lines marked MISSING say why
"""


class UsageError(Exception):
    """What the user asked for makes no sense; the message says what would."""


class Stopped(KeyboardInterrupt):
    """A signal asked us to end. A KeyboardInterrupt, so that the engine closes without draining."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser("stoker", description=_DESCRIPTION, epilog=_MORE)
    top.add_argument("--version", action="version", version=f"stoker {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    raw = argparse.RawDescriptionHelpFormatter

    invoke = commands.add_parser(
        "invoke", help="invoke a function on one event", description=_INVOKE, formatter_class=raw
    )
    invoke.add_argument("reference", metavar="REF", help="module:function, or Lambda's module.function")
    invoke.add_argument("event", metavar="EVENT", nargs="?", help="JSON, @FILE, or - for stdin (default: {})")
    invoke.add_argument("--code", metavar="DIR", help="where the module is (default: the current directory)")
    invoke.add_argument("--name", help="the function's name (default: from REF)")
    invoke.add_argument("--memory", metavar="MB", type=int, help="its memory limit (default: 128)")
    invoke.add_argument("--timeout", metavar="SECONDS", type=float, help="its timeout (default: 30)")
    invoke.add_argument(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an environment variable of it (repeatable)",
    )
    invoke.add_argument(
        "--init",
        choices=("snapshot", "fresh"),
        default="snapshot",
        help="initialise once and fork after it (default), or in the worker",
    )
    invoke.add_argument("--raw", action="store_true", help="bytes in, bytes out: no JSON is read or written")
    invoke.add_argument(
        "--repeat",
        metavar="N",
        type=int,
        default=0,
        help="invoke N times more, logs left out, and print the latencies on stderr",
    )

    doctor = commands.add_parser(
        "doctor", help="say what this machine offers", description=_DOCTOR, formatter_class=raw
    )
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    return top


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises Stopped; later ones change nothing."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except Stopped:
        raise
    except BaseException:
        _restore(before)
        raise
    _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Its exit status."""
    options = _parse(arguments)
    if not sys.platform.startswith("linux"):
        print(f"stoker: {LINUX_ONLY}", file=sys.stderr)
        return FAILED if options.command == "doctor" else USAGE
    try:
        with stoppable():
            status = _run(options)
            sys.stdout.flush()
            return status
    except Stopped as stopped:
        return 128 + stopped.number
    except (UsageError, EngineError) as error:
        print(f"stoker {options.command}: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # whoever read our output has left: nothing more to say, at exit neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    top = parser()
    options, rest = top.parse_known_args(arguments)
    # argparse gives an optional positional up when an option stands before it: REF --code DIR EVENT
    if options.command == "invoke" and options.event is None and rest and rest[0][:2] != "--":
        options.event = rest.pop(0)
    if rest:
        top.error(f"unrecognized arguments: {' '.join(rest)} (see stoker {options.command} --help)")
    return options


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from . import doctor

        return doctor.run(as_json=options.json)
    from . import invoke

    return invoke.run(options)
