"""Scenarios: what a file may say and what comes of it; every mistake is called by its name."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.load.generate.arrivals import Stage
from engine.load.scenario import scenario
from engine.load.scenario.arrivals import Constant, MadeUp, Replay, Steady, Synthetic
from engine.load.scenario.reading import Source, build
from engine.load.scenario.scenario import Scenario, ScenarioError
from engine.load.scenario.target import Embedded, Endpoint, Url

ECHO = Path(__file__).resolve().parents[3] / "handlers" / "echo"
TRACE = "app,func,end_timestamp,duration\na,quick,11,1\na,slow,12,4.5\na,quick,21,2\n"
TARGET = f'target = {{ function = "app:handler", code = "{ECHO}" }}\n'
URL = 'target = { url = "http://127.0.0.1:1/" }\n'
RATE = "arrivals = { rate = 100 }\n"

EVERYTHING = """
name = "steady state"
seed = 7
drain = "500ms"
noise = false
[target]
code = "code"
memory = 256
timeout = 2.5
environment = { SIZE = "64" }
[[target.function]]
reference = "app:handler"
weight = 80
concurrency = 2
warm = 1
[[target.function]]
reference = "app.other"
weight = 20
init = "fresh"
memory = 512
payload = { fixed = '{"n": 1}', expect = { n = 1 } }
[arrivals]
kind = "constant"
rate = 2000
duration = "1.5m"
warmup = "2s"
[payload]
template = "@template.json"
expect = "echo"
[limits]
"p99.9" = "5ms"
errors = "1%"
throttles = 10
goodput = "900/s"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "template.json").write_text('{"id": "{{uuid}}"}')
    (tmp_path / "trace.csv").write_text(TRACE)
    (tmp_path / "lines.jsonl").write_text("1\n2\n")
    (tmp_path / "latin.json").write_bytes(b"\xe9")
    return tmp_path


def read(folder: Path, toml: str) -> Scenario:
    path = folder / "the-test.toml"
    path.write_text(toml)
    return scenario.read(path)


def test_everything_that_a_file_may_say(folder: Path) -> None:
    made = read(folder, EVERYTHING)
    assert (made.name, made.seed, made.drain, made.noise) == ("steady state", 7, 0.5, False)
    assert isinstance(made.target, Embedded)
    first, second = made.target.functions
    assert (first.reference, first.memory, first.weight, first.init) == ("app:handler", 256, 80, "snapshot")
    assert (second.reference, second.memory, second.weight, second.init) == ("app.other", 512, 20, "fresh")
    assert first.options == {
        "code": folder / "code", "memory": 256, "timeout": 2.5, "concurrency": 2, "warm": 1, "waiting": 1000,
        "init": "snapshot", "environment": {"SIZE": "64"},
    }  # fmt: skip
    assert second.options["warm"] == second.options["concurrency"] == 1
    assert made.arrivals == Constant(rate=2000, duration=90, warmup=2)
    assert made.warmup == 2
    assert [(it.measure, it.sign, it.value, it.share) for it in made.limits] == [
        ("p99.9", "<=", 5e6, False), ("errors", "<=", 0.01, True), ("throttles", "<=", 10, False),
        ("goodput", ">=", 900, False),
    ]  # fmt: skip
    assert made.target_words == "app:handler 80 %, app.other 20 %, embedded, 3 workers"
    assert made.arrivals_words == "constant, 2,000/s for 90 s"
    assert made.payload_words == "template of 18 characters; 8 bytes, the same each time"


def test_what_is_usual(folder: Path) -> None:
    made = read(folder, TARGET + RATE)
    assert (made.name, made.seed, made.drain, made.noise, made.limits) == ("the-test", 1, 30.0, True, ())
    assert made.arrivals == Steady(rate=100)
    assert (made.warmup, made.schedule.duration, made.closed, made.weights) == (1.0, 10.0, None, None)
    assert made.payloads().make(0, 0) == b"{}"
    assert made.checks()[0](b"{}", b"<html>").startswith("not JSON")
    assert made.payload_words == "2 bytes, the same each time"


def test_functions_on_an_endpoint(folder: Path) -> None:
    target = 'target = { endpoint = "http://127.0.0.1:9001", functions = ["a", "b"], sign = true }\n'
    made = read(folder, target + RATE)
    assert isinstance(made.target, Endpoint)
    assert [it.name for it in made.target.functions] == ["a", "b"]
    assert made.weights is None
    assert made.target_words == "a 50 %, b 50 % on http://127.0.0.1:9001, signed"
    assert Counter(number for _, number in made.schedule).keys() == {0, 1}


def test_a_url(folder: Path) -> None:
    made = read(folder, URL.replace("}", ', method = "GET" }') + RATE)
    assert made.target == Url(url="http://127.0.0.1:1/", method="GET")
    assert made.target_words == "GET http://127.0.0.1:1/"
    assert made.payloads().make(0, 0) == b""
    assert made.checks()[0](b"", b"<html>") == ""


def test_one_function_is_said_with_its_directory(folder: Path) -> None:
    root = folder.resolve()
    made = read(folder, 'target = { function = "app:handler", code = "code", concurrency = 2 }\n' + RATE)
    assert made.target_words == f"app:handler in {root}/code, embedded, 2 workers"


@pytest.mark.parametrize(
    ("arrivals", "words", "duration", "warmup"),
    [
        ("rate = 0.5", "Poisson, 0.5/s for 10 s", 10, 1),
        ('rate = 20000, duration = "2m"', "Poisson, 20,000/s for 120 s", 120, 2),
        (
            'kind = "ramp", first = 100, last = 300, step = 100, dwell = "2s"',
            "ramp from 100/s to 300/s by 100, 2 s each, Poisson", 6, 0.2,
        ),
        (
            'kind = "bursts", rate = 10, peak = 1000, every = "10s", length = "1s", duration = 30, '
            'process = "constant"',
            "constant, 10/s with bursts of 1,000/s for 1 s every 10 s, 30 s", 30, 2,
        ),
        ('kind = "trace", trace = "trace.csv"', "trace trace.csv", 11.5, 0),
        ('kind = "trace", trace = "trace.csv", speed = 5', "trace trace.csv, 5 times as fast", 2.3, 0),
        (
            'kind = "trace", trace = "synthetic:50:1000:1h", speed = 60',
            "made-up trace of 50 functions, 1,000 invocations in 3,600 s, 60 times as fast", 60, 0,
        ),
        ('kind = "closed", callers = 8, warmup = 0', "closed loop, 8 callers for 10 s", None, 0),
        ('kind = "closed", callers = 1', "closed loop, 1 caller for 10 s", None, 1),
    ],
)  # fmt: skip
def test_arrivals(folder: Path, arrivals: str, words: str, duration: float | None, warmup: float) -> None:
    made = read(folder, f"{TARGET}arrivals = {{ {arrivals} }}\n")
    assert made.arrivals_words == words
    assert made.warmup == pytest.approx(warmup)
    assert (made.closed is not None) == (duration is None) == (made.arrivals.loop == "closed")
    if duration is not None:
        assert made.schedule.duration == pytest.approx(duration)
        assert made.schedule is made.schedule  # a trace is read once


def test_bursts_and_ramps_are_made_of_stages(folder: Path) -> None:
    made = read(
        folder,
        TARGET + 'arrivals = {kind = "bursts", rate = 0, peak = 5, every = 3, length = 1, duration = 6}\n',
    )
    assert made.schedule.stages == [Stage(0, 2, 0), Stage(2, 3, 5), Stage(3, 5, 0), Stage(5, 6, 5)]


MIXED = """
payload = {{ sample = "lines.jsonl" }}
arrivals = {{ rate = 1000, duration = 20 }}
[target]
endpoint = "http://127.0.0.1:1"
[[target.function]]
name = "a"
weight = 75
payload = {{ template = '["{{{{uuid}}}}", {{{{function}}}}]', expect = "echo" }}
[[target.function]]
name = "b"
weight = 25
[[target.function]]
name = "c"
weight = {c}
payload = {{ template = '["{{{{uuid}}}}", {{{{function}}}}]', expect = {{ ok = true }} }}
"""


def test_mixed_functions_have_shares_payloads_and_expectations_of_their_own(folder: Path) -> None:
    made = read(folder, MIXED.format(c=100))
    arrivals = list(made.schedule)
    shares = Counter(number for _, number in arrivals)
    assert [shares[n] / len(arrivals) for n in range(3)] == pytest.approx([0.375, 0.125, 0.5], abs=0.02)
    other = read(folder, MIXED.format(c=1))
    assert [at for at, _ in other.schedule] == [at for at, _ in arrivals]  # the times stay what they are

    def sent(of: Scenario) -> list[bytes]:
        payloads = of.payloads()
        return [payloads.make(number, function) for number, (_, function) in enumerate(arrivals[:300])]

    assert sent(made) == sent(made)
    by_function: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for (_, function), payload in zip(arrivals, sent(made), strict=False):
        by_function[function].append(json.loads(payload))
    assert {it[1] for it in by_function[0]} == {0}
    assert {it[1] for it in by_function[2]} == {2}
    assert set(by_function[1]) == {1, 2}
    ids = [it[0] for it in by_function[0] + by_function[2]]
    assert len(set(ids)) == len(ids)  # the same template, and drawn apart
    echo, usual, members = made.checks()
    assert echo(b"[1]", b"[2]")
    assert usual(b"[1]", b"[2]") == ""
    assert (members(b"[1]", b'{"ok": true}'), bool(members(b"[1]", b"[2]"))) == ("", True)
    assert made.payload_words == "template of 26 characters; lines of lines.jsonl"


def test_a_template_says_how_long_a_traces_invocation_took(folder: Path) -> None:
    toml = 'arrivals = { kind = "trace", trace = "trace.csv", speed = 2 }\n'
    toml += 'payload.template = "{{duration}} {{duration}}"\n'
    made = read(folder, TARGET + toml)
    payloads = made.payloads()
    in_order = ["4.5 4.5", "1.0 1.0", "2.0 2.0"]  # by their begin
    assert [payloads.make(n, 0).decode() for n in range(4)] == [*in_order, "4.5 4.5"]
    payloads = made.payloads()  # from the first again, and some are not asked for
    assert [payloads.make(n, 0).decode() for n in (1, 2)] == in_order[1:]


def test_a_made_up_trace_needs_no_file_and_is_the_same_for_the_same_seed() -> None:
    def made(seed: int) -> list[tuple[float, int]]:
        return list(Replay(trace=MadeUp(20, 500, 60.0), speed=6).schedule(seed, None, 1))

    arrivals = made(1)
    assert arrivals == made(1) != made(2)
    assert len(arrivals) == 500
    assert arrivals == sorted(arrivals, key=lambda it: it[0])
    assert {number for _, number in arrivals} == set(range(20))
    assert all(0 <= at < 10 for at, _ in arrivals)
    schedule = Synthetic(20, 5, 60.0, 6, 1)
    assert (schedule.functions, schedule.duration, schedule.stages) == (5, 10, [Stage(0, 10, 0.5)])
    assert list(itertools.islice(Synthetic(3, 10**9, 1e6, 1, 1), 3))  # never held whole


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", "target is missing"),
        (TARGET, "arrivals is missing"),
        ("target = 5\n" + RATE, "target = 5: use a table"),
        ("nam = 1", "nam: there is no such setting. Did you mean name? There are: name, seed, target, arrivals"),
        ("bogus = 1", "bogus: there is no such setting. There are: name"),
        ("name = ''\n", "name = '': use a text that is not empty"),
        ("seed = 1.5\n" + TARGET + RATE, "seed = 1.5: use a whole number from 0 to"),
        ("seed = true\n" + TARGET + RATE, "seed = True: use a whole number"),
        ("seed = -1\n", "seed = -1: use a whole number from 0 to 9,223,372,036,854,775,807"),
        ("noise = 1\n", "noise = 1: use true or false"),
        ("drain = '1 week'\n", "drain = '1 week': write a duration: 90 (seconds), 90s, 1.5m, 500ms or 2h"),
        ("drain = '2h'\n", "drain = '2h': use a number from 0 to 3,600 seconds"),
        ("[target]\n", "it takes one of function, functions or url"),
        ("[target]\nfunction = 'a:b'\nfunctions = ['a:b']\n", "it takes one of function, functions or url"),
        ("[target]\nfunctions = []\n", "target.functions = []: use a text, a list of them"),
        ("[target]\nfunctions = [5]\n", "target.functions = [5]: use a text, a list of them"),
        ("[target]\nfunction = 'app'\n", "target: bad handler 'app': write module:function"),
        ("[target]\nfunction = 'localhost:90'\n", "localhost:90 is no function: write http://localhost:90"),
        ("[target]\nfunction = 'app:x-y'\n", "target: bad handler 'app:x-y': x-y is no name of a function"),
        ("[target]\nfunction = 'a:b'\nmemori = 1\n",
         "target.memori: there is no such setting. Did you mean target.memory?"),
        ("[target]\nfunction = 'a:b'\nweight = 1\n", "target.weight: there is no such setting"),
        ("[target]\nfunction = 'a:b'\nmemory = 64\n", "target.memory = 64: use a whole number from 128 to 10,240 MB"),
        ("[target]\nfunction = 'a:b'\nmemory = '1'\n", "target.memory = '1': use a whole number"),
        ("[target]\nfunction = 'a:b'\nwarm = 2\n", "target: warm=2: use a whole number from 0 to 1"),
        ("[target]\nfunction = 'a:b'\ninit = 'slow'\n", "target.init = 'slow': use snapshot or fresh"),
        ("[target]\nfunction = 'a:b'\ncode = 'none'\n", "target.code = 'none': there is no such directory"),
        ("[target]\nfunction = 'a:b'\nenvironment = { A = 1 }\n",
         "target.environment = {'A': 1}: use a table of texts"),
        ("[target]\nfunction = 'a:b'\nenvironment = { _HANDLER = '1' }\n", "target: environment: bad name '_HANDLER'"),
        ("[[target.function]]\nreference = 'a:b'\n[[target.function]]\nreference = 'a:b'\nweight = 0\n",
         "target.function[1].weight = 0: use a number above 0"),
        ("[[target.function]]\nweight = 1\n", "target.function[0].reference is missing"),
        ("[[target.function]]\nreference = 'a:b'\npayload = { fixd = '' }\n",
         "target.function[0].payload.fixd: there is no such setting. Did you mean target.function[0].payload.fixed?"),
        ("[target]\nendpoint = 'http://x'\n", "with an endpoint, function or functions by their names"),
        ("[target]\nendpoint = 'https://x'\nfunction = 'a'\n", "target.endpoint = 'https://x': use an http:// URL"),
        ("[target]\nendpoint = 'http://x:99999'\nfunction = 'a'\n", "use an http:// URL"),
        ("[target]\nendpoint = 'http://x y'\nfunction = 'a'\n", "use an http:// URL"),
        ("[target]\nendpoint = 'http://x'\nfunction = 'a b'\n", "target: 'a b' is no function's name"),
        ("[target]\nendpoint = 'http://x'\nfunction = 'a'\nmemory = 128\n", "target.memory: there is no such setting"),
        ("[target]\nurl = 'ftp://x'\n", "target.url = 'ftp://x': use an http:// URL"),
        ("[target]\nurl = 'http://x'\nfunction = 'a:b'\n", "target.function: there is no such setting"),
        ("[target]\nurl = 'http://x'\nmethod = 'BREW'\n", "target.method = 'BREW': use POST or GET or PUT"),
        (TARGET + "arrivals = 5\n", "arrivals = 5: use a table"),
        (TARGET + "arrivals.kind = 'uniform'\n", "arrivals.kind = 'uniform': use poisson, constant, ramp"),
        (TARGET + "arrivals.kind = ['a']\n", "arrivals.kind = ['a']: use poisson"),
        (TARGET + "arrivals = {}\n", "arrivals.rate is missing"),
        (TARGET + "arrivals = { rate = 0 }\n",
         "arrivals.rate = 0: use a number above 0 and at most 10,000,000 per second"),
        (TARGET + "arrivals = { rate = nan }\n", "arrivals.rate = nan: use a number above 0"),
        (TARGET + "arrivals = { rate = inf }\n", "arrivals.rate = inf"),
        (TARGET + "arrivals = { rate = 1, duration = 0 }\n", "arrivals.duration = 0: use a number above 0"),
        (TARGET + "arrivals = { rate = 1, duration = inf }\n", "arrivals.duration = inf: write a duration"),
        (TARGET + "arrivals = { rate = 1, warmup = '10s' }\n",
         "a warm-up of 10 s leaves nothing of 10 s: make it shorter"),
        (TARGET + "arrivals = { rate = 1, dwell = 1 }\n", "arrivals.dwell: there is no such setting"),
        (TARGET + "arrivals = { kind = 'ramp', first = 5, last = 1, step = 1 }\n",
         "arrivals: a ramp goes up: from 5.0 to 1.0 by 1.0 it does not"),
        (TARGET + "arrivals = { kind = 'ramp', first = 1, last = 1e6, step = 1 }\n",
         "arrivals: a ramp has at most 10,000 steps"),
        (TARGET + "arrivals = { kind = 'bursts', rate = 1, peak = 2, every = 1, length = 1 }\n",
         "arrivals: a burst of 1.0 s every 1.0 s: it must be shorter than that"),
        (TARGET + "arrivals = { kind = 'bursts', rate = 1, peak = 2, every = '1ms', length = 0.0001, duration = 10 }\n",
         "arrivals: there are at most 10,000 bursts"),
        (TARGET + "arrivals = { kind = 'trace', trace = 'none.csv' }\n",
         "arrivals.trace = 'none.csv': there is no such file"),
        (TARGET + "arrivals = { kind = 'trace', trace = 'synthetic:1:2' }\n",
         "arrivals.trace = 'synthetic:1:2': write synthetic:FUNCTIONS:INVOCATIONS:SECONDS"),
        (TARGET + "arrivals = { kind = 'trace', trace = 'synthetic:0:2:1' }\n", "write synthetic:FUNCTIONS"),
        (TARGET + "arrivals = { kind = 'trace', trace = 'trace.csv', speed = 0 }\n",
         "arrivals.speed = 0: use a number above 0"),
        (TARGET + "arrivals = { kind = 'closed', callers = 1.5 }\n",
         "arrivals.callers = 1.5: use a whole number from 1"),
        ("[target]\nfunctions = ['a:b', 'c:d']\n[arrivals]\nkind = 'closed'\ncallers = 1\n",
         "a closed loop asks one function, not 2"),
        ("[[target.function]]\nreference = 'a:b'\n[[target.function]]\nreference = 'a:b'\nweight = 3\n"
         "[arrivals]\nkind = 'trace'\ntrace = 'trace.csv'\n", "a trace says itself which function is asked"),
        (TARGET + RATE + "payload = 'x'\n", "payload = 'x': use a table"),
        (TARGET + RATE + "payload = { fixed = 1 }\n", "payload.fixed = 1: use a text, or @FILE to read it from there"),
        (TARGET + RATE + "payload = { fixed = '@none' }\n", "payload.fixed = '@none': there is no such file"),
        (TARGET + RATE + "payload = { fixed = '', template = '' }\n",
         "payload: fixed and template at once: use one of fixed, template, sample"),
        (TARGET + RATE + "payload = { template = '{{now}}' }\n",
         "payload.template = '{{now}}': no such field: {{now}}"),
        (TARGET + RATE + "payload = { template = '@latin.json' }\n", "a template is a text in UTF-8"),
        (TARGET + RATE + "payload = { template = '{{duration}}' }\n", "it needs arrivals of the kind trace"),
        (TARGET + RATE + "payload = { sample = 'none' }\n", "payload.sample = 'none': there is no such file"),
        (TARGET + RATE + "payload = { expect = 'html' }\n", "payload.expect = 'html': no such expectation: 'html'"),
        (TARGET + RATE + "payload = { expect = 5 }\n", "payload.expect = 5: use json, echo, any, or a table"),
        (TARGET + RATE + "limits = 5\n", "limits = 5: use a table"),
        (TARGET + RATE + "limits = { p98 = '1ms' }\n", "limits.p98: there is no such setting. Did you mean limits.p9"),
        (TARGET + RATE + "limits = { p99 = 5 }\n", "limits.p99 = 5: write a latency and its unit"),
        (TARGET + RATE + "limits = { p99 = true }\n", "limits.p99 = True: write a value, as in p99<5ms"),
        (TARGET + RATE + "limits = { errors = '1ms' }\n", "limits.errors = '1ms': write a share or a number: 1% or 10"),
        (TARGET + RATE + "limits = { errors = '101%' }\n", "limits.errors = '101%'"),
        (TARGET + RATE + "limits = { goodput = '5%' }\n", "limits.goodput = '5%': write a rate: 900/s"),
        ("name = ", "is not TOML: Invalid value"),
        ("a = " + "[" * 5000, "is not TOML"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(folder: Path, toml: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(folder, toml)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder / "the-test.toml"))


def test_a_file_that_is_no_text_and_one_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ScenarioError, match="is not TOML"):
        scenario.read(folder / "latin.json")
    with pytest.raises(FileNotFoundError):
        scenario.read(folder / "none.toml")


def test_a_warmup_longer_than_a_trace_is_seen_when_the_trace_is_read(folder: Path) -> None:
    made = read(folder, TARGET + "arrivals = { kind = 'trace', trace = 'trace.csv', warmup = 13 }\n")
    with pytest.raises(ScenarioError, match="a warm-up of 13 s leaves nothing of 11.5 s"):
        made.schedule  # noqa: B018


VALID = tomllib.loads(EVERYTHING)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates() | st.datetimes()
    | st.sampled_from(["poisson", "ramp", "trace", "closed", "90s", "5ms", "1%", "@x", "synthetic:1:1:1", "{{a}}"])
    | st.just("a:b")
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["kind", "rate", "first", "function", "url", "endpoint", "fixed", "p99", "trace", "name", "x"]),
    inner, max_size=4), max_leaves=6)  # fmt: skip
PLACES = [
    ("name",), ("seed",), ("drain",), ("noise",), ("target",), ("arrivals",), ("payload",), ("limits",),
    ("target", "function"), ("target", "functions"), ("target", "url"), ("target", "endpoint"), ("target", "memory"),
    ("target", "environment"), ("target", "code"), ("target", "function", 0, "reference"),
    ("target", "function", 1, "payload"), ("target", "function", 1, "weight"),
    ("arrivals", "kind"), ("arrivals", "rate"), ("arrivals", "duration"), ("arrivals", "warmup"), ("arrivals", "trace"),
    ("payload", "template"), ("payload", "sample"), ("payload", "expect"), ("limits", "p99"), ("limits", "goodput"),
]  # fmt: skip


@given(place=st.sampled_from(PLACES), value=VALUES, drop=st.sampled_from([*PLACES[4:8], None]))
def test_any_value_anywhere_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any, drop: Any
) -> None:
    """Never anything but a ScenarioError."""
    base = tmp_path_factory.getbasetemp()
    (base / "code").mkdir(exist_ok=True)
    (base / "template.json").write_text("{}")
    document = tomllib.loads(EVERYTHING)
    if drop is not None and drop[0] != place[0]:
        del document[drop[0]]
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        made = build(Scenario, document, Source(base))
    except ScenarioError as error:
        assert str(error)
    else:
        assert made.target_words
        assert made.arrivals_words
        assert made.payload_words
