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
from . import load_options

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

_SERVE = """\
Serves the Lambda API: boto3, the AWS CLI and SAM work against it when AWS_ENDPOINT_URL names it. What is deployed
is kept in the state directory. Ends with SIGINT or SIGTERM, when what runs has ended.

examples:
  stoker serve
  stoker serve --port 0 --state /var/lib/stoker
  stoker serve --host 0.0.0.0 --auth credentials     what is signed with those keys may come in
  stoker serve --aws-endpoint http://127.0.0.1:5000  all other services are passed on, to moto's server say
"""

_DEPLOY = """\
Packs a directory, or one file, and creates the function or updates it.

examples:
  stoker deploy handlers/echo
  stoker deploy thumbs.py:handler --name thumbnail --memory 512 --url
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

    invoke.add_argument("--endpoint", metavar="URL", help="REF is a function deployed there")

    _remote_commands(commands, raw)
    load_options.add(commands, raw)

    doctor = commands.add_parser(
        "doctor", help="say what this machine offers", description=_DOCTOR, formatter_class=raw
    )
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    return top


def _remote_commands(commands: Any, raw: Any) -> None:
    """The server, and what talks to one."""
    serve = commands.add_parser("serve", help="serve the Lambda API", description=_SERVE, formatter_class=raw)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=9001, help="port, 0 for any (default: 9001)")
    serve.add_argument("--uds", metavar="PATH", help="a Unix socket to listen on instead")
    serve.add_argument(
        "--state", metavar="DIR", default=".stoker", help="where all is kept (default: .stoker)"
    )
    serve.add_argument("--region", default="us-east-1", help="the region in every ARN (default: us-east-1)")
    serve.add_argument(
        "--account", default="000000000000", help="the account in every ARN (default: 000000000000)"
    )
    serve.add_argument(
        "--auth", metavar="FILE", help="credentials, as ~/.aws/credentials has them, to sign with"
    )
    serve.add_argument(
        "--aws-endpoint", metavar="URL", help="where requests for other AWS services are passed on to"
    )
    serve.add_argument(
        "--python",
        metavar="PATH",
        action="append",
        help="another interpreter, for functions of its version: one with msgspec and cffi. Given as often as needed; "
        "python3.11 to python3.14 on the PATH are found without",
    )
    serve.add_argument("--workers", type=int, default=64, help="of one version at most (default: 64)")
    serve.add_argument(
        "--retry-delays",
        metavar="SECONDS,SECONDS",
        default="60,120",
        help="before the second and third attempt of an event that failed (default: AWS's 60,120)",
    )
    deploy = commands.add_parser(
        "deploy", help="deploy a function to a server", description=_DEPLOY, formatter_class=raw
    )
    deploy.add_argument("source", metavar="DIR|FILE.py[:FUNCTION]", help="what to pack")
    deploy.add_argument("--name", help="the function's name (default: the directory's or file's)")
    deploy.add_argument("--handler", help="MODULE.FUNCTION in the directory (default: app.handler)")
    deploy.add_argument("--memory", metavar="MB", type=int, help="its memory limit")
    deploy.add_argument("--timeout", metavar="SECONDS", type=int, help="its timeout")
    deploy.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[], help="an environment variable"
    )
    deploy.add_argument("--url", action="store_true", help="give it a URL of its own, too")
    listing = commands.add_parser("ls", help="list the functions of a server")
    remove = commands.add_parser("rm", help="delete functions from a server")
    remove.add_argument("names", metavar="NAME", nargs="+")
    logs = commands.add_parser("logs", help="print a function's log")
    logs.add_argument("name", metavar="NAME", help="a function, or a log group")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as more is logged")
    logs.add_argument("--since", metavar="AGE", help="not older than this: 90, 15m, 2h, 1d")
    for each in (deploy, listing, remove, logs):
        each.add_argument(
            "--endpoint", metavar="URL", help="the server (default: $STOKER_ENDPOINT, or port 9001 here)"
        )
    completion = commands.add_parser("completion", help="print a completion script for a shell")
    completion.add_argument("shell", choices=("bash", "zsh"), help='use: eval "$(stoker completion bash)"')


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
        if options.command == "serve":  # its loop has signal handlers of its own
            return _run(options)
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
    if options.command == "serve":
        from . import serve

        return serve.run(options)
    if options.command == "completion":
        from . import completion

        return completion.run(options.shell, parser())
    if options.command == "load":
        from . import load

        return load.run(options)
    if options.command != "invoke" or options.endpoint:
        from . import remote

        return remote.run(options)
    from . import invoke

    return invoke.run(options)
