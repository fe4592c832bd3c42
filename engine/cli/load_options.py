"""The options of `stoker load`, and its help."""

from __future__ import annotations

import argparse

from .status import Commands

_USAGE = """\
stoker load SCENARIO.toml | TARGET  --rate N | --ramp A:B:STEP | --trace FILE | --closed N  [options]
       stoker load compare A.json B.json [--json FILE] [--html FILE]"""

_LOAD = """\
Sends requests at the times of a schedule, whatever becomes of them, and says how long each took from the
time at which it was meant to be sent: a target that stalls gets its requests all the same, and each that
had to wait is counted.

TARGET is one of
  app:handler     a function that runs in an engine of this process (app.handler will do, too)
  NAME            a function on a Lambda endpoint, with --endpoint URL: Stoker's, AWS's emulator, any
  http://...      a URL, which is sent each payload

A scenario's file has all of that, for mixed functions too. --name, --seed, --rate, --duration, --warmup,
--drain, --poll and --no-noise override what it has; --fail-if adds to its limits.

Durations are seconds, or 90s, 1.5m, 500ms, 2h.
"""

_MORE = """\
payload templates:
  {{number}} and {{function}} of the request, {{uuid}}, {{integer:1:6}}, {{text:100}}, {{choice:red|green}};
  with --trace, {{duration}}: how many seconds the invocation took in the original.

examples:
  stoker load app:handler --code handlers/echo --rate 2000 --duration 20 --expect echo
  stoker load app:handler --code handlers/echo --ramp 1000:20000:1000 --dwell 3 --html knee.html
  stoker load echo --endpoint http://127.0.0.1:9001 --rate 500 --burst 5000:10s:1s --duration 1m
  stoker load http://127.0.0.1:8080/ --rate 200 --payload @event.json --fail-if "p99>5ms" --fail-if "errors>1%"
  stoker load app:handler --trace synthetic:500:100000:3600 --speed 60 --template '{"seconds": {{duration}}}'
  stoker load bench/scenarios/steady.toml --json new.json && stoker load compare old.json new.json

exit status:
  0  all is well; compare: nothing is worse
  1  a limit was broken (--fail-if, [limits]), or nothing was answered rightly; compare: something is worse
  2  nothing was run: a wrong argument or scenario, a target that cannot be started or reached;
     compare: a file that is no result, or two that cannot be held against each other
  3  the run is void: the generator did not keep to its schedule, so the figures mean nothing
  130, 143 and so on: ended by a signal (128 + its number)
"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """The command's parser. An option that is left out is not in the namespace, but for --json, --html and --quiet."""
    load: argparse.ArgumentParser = commands.add_parser(
        "load",
        help="put a function under load",
        usage=_USAGE,
        description=_LOAD,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    load.add_argument("target", metavar="TARGET", nargs="+", help=argparse.SUPPRESS)

    arrivals = load.add_argument_group("how requests arrive (one of the first four)")
    arrivals.add_argument("--rate", metavar="N", help="N per second, by independent callers (Poisson)")
    arrivals.add_argument(
        "--ramp", metavar="A:B:STEP", help="from A to B per second, to see where the knee is"
    )
    arrivals.add_argument(
        "--trace",
        metavar="FILE",
        help="as a trace says: a CSV of app,func,end_timestamp,duration; or "
        "synthetic:FUNCTIONS:INVOCATIONS:SECONDS, made up in the shape of a real one",
    )
    arrivals.add_argument(
        "--closed", metavar="N", help="N callers, each of which sends its next request at a response"
    )
    arrivals.add_argument(
        "--constant", action="store_true", help="with --rate or --ramp: equal gaps, not Poisson"
    )
    arrivals.add_argument(
        "--burst",
        metavar="PEAK:EVERY:LENGTH",
        help="with --rate: PEAK per second for LENGTH of each EVERY seconds",
    )
    arrivals.add_argument("--dwell", metavar="TIME", help="with --ramp: at each step (default: 5)")
    arrivals.add_argument("--speed", metavar="N", help="with --trace: N times as fast (default: 1)")
    arrivals.add_argument(
        "--duration", metavar="TIME", help="with --rate or --closed: of the whole (default: 10)"
    )
    arrivals.add_argument(
        "--warmup",
        metavar="TIME",
        help="of that, left out of the figures (default: a tenth, 2 at most; none of a trace)",
    )

    payload = load.add_argument_group("what is sent, and what is to come back")
    payload.add_argument("--payload", metavar="TEXT|@FILE", help="the same each time (default: {})")
    payload.add_argument("--template", metavar="TEXT|@FILE", help="filled in anew for each request")
    payload.add_argument("--sample", metavar="FILE", help="lines of a file, drawn")
    payload.add_argument(
        "--expect",
        metavar="WHAT",
        action="append",
        help="json (default), echo (what was sent), any (default of a URL), or KEY=VALUE, a member of a JSON object "
        "(repeatable). Any other reply is an error",
    )

    embedded = load.add_argument_group("a function in this process")
    embedded.add_argument(
        "--code", metavar="DIR", help="where the module is (default: the current directory)"
    )
    embedded.add_argument("--memory", metavar="MB", help="its memory limit (default: 128)")
    embedded.add_argument("--timeout", metavar="SECONDS", help="its timeout (default: 30)")
    embedded.add_argument("--concurrency", metavar="N", help="workers at most (default: 1)")
    embedded.add_argument(
        "--warm", metavar="N", help="workers that are there from the start (default: all of them)"
    )
    embedded.add_argument("--waiting", metavar="N", help="invocations that may wait for one (default: 1000)")
    embedded.add_argument(
        "--init", metavar="HOW", help="snapshot: initialise once and fork after it (default); or fresh"
    )
    embedded.add_argument(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        dest="environment",
        help="an environment variable of it (repeatable)",
    )

    elsewhere = load.add_argument_group("a function or a URL elsewhere")
    elsewhere.add_argument("--endpoint", metavar="URL", help="TARGET is a function deployed there")
    elsewhere.add_argument(
        "--sign",
        action="store_true",
        help="sign each request (SigV4) with the credentials that botocore finds",
    )
    elsewhere.add_argument("--method", metavar="METHOD", help="of a URL: POST (default), PUT or GET")

    run = load.add_argument_group("the run, and what is made of it")
    run.add_argument("--name", help="what it is called in reports (default: TARGET, or the file's name)")
    run.add_argument(
        "--seed", metavar="N", help="of times and payloads: the same gives the same (default: 1)"
    )
    run.add_argument(
        "--drain", metavar="TIME", help="how long to wait for responses at the end (default: 30)"
    )
    run.add_argument(
        "--poll",
        action="store_true",
        help="keep a core busy rather than sleep between requests, so that none is late because a core had to wake",
    )
    run.add_argument(
        "--no-noise",
        action="store_false",
        dest="noise",
        help="do not compare two runs of the same first, which shows the machine's noise",
    )
    run.add_argument(
        "--fail-if",
        metavar="LIMIT",
        action="append",
        help='exit with 1 if so (repeatable): "p99>5ms"; p50, p90, p99, p99.9 and max in ns, us, ms or s; errors and '
        "throttles in %% or how many; goodput<900/s",
    )
    run.add_argument("--json", metavar="FILE", default=None, help="write the result there, for compare")
    run.add_argument("--html", metavar="FILE", default=None, help="write a page with pictures there")
    run.add_argument("--quiet", action="store_true", default=False, help="print nothing but what is wrong")
    return load
