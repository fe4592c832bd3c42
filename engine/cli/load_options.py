"""The options of `stoker load`, and its help."""

from __future__ import annotations

import argparse

from .status import option

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


PARSER = {
    "help": "put a function under load",
    "usage": _USAGE,
    "description": _LOAD,
    "epilog": _MORE,
    "argument_default": argparse.SUPPRESS,  # an option that is left out is not in the namespace
}
OPTIONS = (option("target TARGET", argparse.SUPPRESS, nargs="+"),)
GROUPS = {
    "how requests arrive (one of the first four)": (
        option("--rate N", "N per second, by independent callers (Poisson)"),
        option("--ramp A:B:STEP", "from A to B per second, to see where the knee is"),
        option(
            "--trace FILE",
            "as a trace says: a CSV of app,func,end_timestamp,duration; or "
            "synthetic:FUNCTIONS:INVOCATIONS:SECONDS, made up in the shape of a real one",
        ),
        option("--closed N", "N callers, each of which sends its next request at a response"),
        option("--constant", "with --rate or --ramp: equal gaps, not Poisson"),
        option("--burst PEAK:EVERY:LENGTH", "with --rate: PEAK per second for LENGTH of each EVERY seconds"),
        option("--dwell TIME", "with --ramp: at each step (default: 5)"),
        option("--speed N", "with --trace: N times as fast (default: 1)"),
        option("--duration TIME", "with --rate or --closed: of the whole (default: 10)"),
        option(
            "--warmup TIME", "of that, left out of the figures (default: a tenth, 2 at most; none of a trace)"
        ),
    ),
    "what is sent, and what is to come back": (
        option("--payload TEXT|@FILE", "the same each time (default: {})"),
        option("--template TEXT|@FILE", "filled in anew for each request"),
        option("--sample FILE", "lines of a file, drawn"),
        option(
            "--expect WHAT",
            "json (default), echo (what was sent), any (default of a URL), or KEY=VALUE, a member of a JSON object "
            "(repeatable). Any other reply is an error",
            action="append",
        ),
    ),
    "a function in this process": (
        option("--code DIR", "where the module is (default: the current directory)"),
        option("--memory MB", "its memory limit (default: 128)"),
        option("--timeout SECONDS", "its timeout (default: 30)"),
        option("--concurrency N", "workers at most (default: 1)"),
        option("--warm N", "workers that are there from the start (default: all of them)"),
        option("--waiting N", "invocations that may wait for one (default: 1000)"),
        option("--init HOW", "snapshot: initialise once and fork after it (default); or fresh"),
        option(
            "--env NAME=VALUE",
            "an environment variable of it (repeatable)",
            action="append",
            dest="environment",
        ),
    ),
    "a function or a URL elsewhere": (
        option("--endpoint URL", "TARGET is a function deployed there"),
        option("--sign", "sign each request (SigV4) with the credentials that botocore finds"),
        option("--method METHOD", "of a URL: POST (default), PUT or GET"),
    ),
    "the run, and what is made of it": (
        option("--name NAME", "what it is called in reports (default: TARGET, or the file's name)"),
        option("--seed N", "of times and payloads: the same gives the same (default: 1)"),
        option("--drain TIME", "how long to wait for responses at the end (default: 30)"),
        option(
            "--poll",
            "keep a core busy rather than sleep between requests, so that none is late because a core had to wake",
        ),
        option(
            "--no-noise",
            "do not compare two runs of the same first, which shows the machine's noise",
            action="store_false",
            dest="noise",
        ),
        option(
            "--fail-if LIMIT",
            'exit with 1 if so (repeatable): "p99>5ms"; p50, p90, p99, p99.9 and max in ns, us, ms or s; errors and '
            "throttles in %% or how many; goodput<900/s",
            action="append",
        ),
        option("--json FILE", "write the result there, for compare", default=None),
        option("--html FILE", "write a page with pictures there", default=None),
        option("--quiet", "print nothing but what is wrong", default=False),
    ),
}
