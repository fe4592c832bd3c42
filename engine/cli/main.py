"""`stoker`: reads the command line, runs a command, turns signals and errors into exit statuses.

A command is a module of its name with run(), OPTIONS, and PARSER: the settings of its parser. GROUPS are more options
under titles. TRAITS are what else main must know: `own_signals`, if it handles signals itself; `elsewhere`, its status
where there is no Linux, if that is not USAGE. Only the command that runs is imported, and what it needs of the engine
only when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import Any

from .. import __version__
from ..errors import EngineError
from .status import USAGE, Option, Stopped, UsageError
from .terminal import guarded

# As --help lists them.
COMMANDS = (
    "invoke", "serve", "new", "dev", "event", "deploy", "diff", "delete", "ls", "rm", "source", "logs", "metrics",
    "top", "python", "completion", "load", "doctor",
)  # fmt: skip

LINUX_ONLY = (
    "stoker runs on Linux only for now, it needs futexes, memfds and pidfds: "
    "use a Linux machine or virtual machine (on Windows, WSL 2)"
)

_DESCRIPTION = "AWS Lambda's programming model in isolated, warm processes, at microseconds a call."
_MORE = "stoker COMMAND --help explains a command."


class _Parser(argparse.ArgumentParser):
    """Takes an optional positional after an option, too (REF --code DIR EVENT); argparse alone does not."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = super().parse_known_args(args, namespace)
        for action in self._get_positional_actions():
            missing = action.nargs == argparse.OPTIONAL and getattr(options, action.dest) is None
            if missing and rest and rest[0][:2] != "--":
                setattr(options, action.dest, rest.pop(0))
        return options, rest


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, with these commands."""
    top = _Parser("stoker", description=_DESCRIPTION, epilog=_MORE)
    top.add_argument("--version", action="version", version=f"stoker {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        module = import_module(f".{name}", __package__)
        command = commands.add_parser(
            name, formatter_class=argparse.RawDescriptionHelpFormatter, **module.PARSER
        )
        add_options(command, module.OPTIONS)
        for title, options in getattr(module, "GROUPS", {}).items():
            add_options(command.add_argument_group(title), options)
        command.set_defaults(run=module.run, **getattr(module, "TRAITS", {}))
    top.set_defaults(parser=parser)  # for a command that reads all of it
    return top


def add_options(to: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    for names, settings in options:
        to.add_argument(*names, **settings)


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
        before.clear()  # later signals stay ignored
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Its exit status."""
    with guarded():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    options = _parse(arguments)
    if not sys.platform.startswith("linux"):
        print(f"stoker: {LINUX_ONLY}", file=sys.stderr)
        return int(getattr(options, "elsewhere", USAGE))
    try:
        with contextlib.nullcontext() if hasattr(options, "own_signals") else stoppable():
            status: int = options.run(options)
            sys.stdout.flush()
            return status
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    except (UsageError, EngineError) as error:
        print(f"stoker {options.command}: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # the reader of our output has gone: write nothing more, at exit neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    arguments = sys.argv[1:] if arguments is None else arguments
    top = parser([name for name in COMMANDS if name in arguments[:1]] or COMMANDS)
    options, rest = top.parse_known_args(arguments)
    if rest:
        top.error(f"unrecognized arguments: {' '.join(rest)} (see stoker {options.command} --help)")
    return options
