"""Logs Insights' language: AWS's documented samples, each command, each function, and what is refused where."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from engine.observe.lines import end_line, report_line, start_line
from engine.services.logs.disk import StoredEvent
from engine.services.logs.insights import aggregates, regexes
from engine.services.logs.insights.aggregates import CountDistinct, Percentile
from engine.services.logs.insights.pipeline import Query
from engine.services.logs.insights.record import Record, source
from engine.services.logs.insights.tree import Malformed
from engine.services.logs.insights.values import Time, rank, text

BEGIN = 1_700_000_000_000  # 2023-11-14 22:13:20
LAMBDA = "/aws/lambda/shop"
Events = Iterable[tuple[int, str]]  # ms after BEGIN


def run(query: str, events: Events, group: str = LAMBDA, most: int = 10_000) -> list[dict[str, str]]:
    made = Query(query, most)
    of = source("000000000000", group)
    for sequence, (at, message) in enumerate(events, 1):
        made.push(Record(StoredEvent(BEGIN + at, BEGIN + at + 7, "stream", message, sequence), of))
    made.finish()
    return [{each["field"]: each["value"] for each in row if each["field"] != "@ptr"} for row in made.rows]


def objects(*documents: Any) -> list[tuple[int, str]]:
    return [(n, json.dumps(document)) for n, document in enumerate(documents)]


def invocations(count: int = 12) -> list[tuple[int, str]]:
    """One a minute: cold each fourth, an error each third, 128 MB of which 30 MB and more are used."""
    found: list[tuple[int, str]] = []
    for n in range(count):
        at, number = n * 60_000, str(uuid.UUID(int=n))
        found.append((at, start_line(number, "$LATEST")))
        found.append((at + 1, f"[INFO]\t2023-11-14T22:13:20.000Z\t{number}\torder {n}\n"))
        if n % 3 == 0:
            found.append((at + 2, f"[ERROR] Exception: no stock for order {n}\n"))
        found.append((at + 5, end_line(number)))
        init = 250.5 if n % 4 == 0 else None
        found.append((at + 5, report_line(number, 10.0 + n, 11 + n, 128, 30 + n, init)))
    return found


def first(count: int, query: str, *expected: str) -> tuple[str, int, tuple[str, ...]]:
    return query, count, expected


# AWS's "Sample queries" of the CloudWatch Logs user guide and of Lambda's operator guide: how many rows, and the first.
SAMPLES = [
    first(25, "fields @timestamp, @message | sort @timestamp desc | limit 25", "2023-11-14 22:24:20.005"),
    first(1, """filter @message like /Exception/ | stats count(*) as exceptionCount by bin(1h)
        | sort exceptionCount desc""", "2023-11-14 22:00:00.000", "4"),
    first(48, "fields @message | filter @message not like /Exception/"),
    first(1, """filter @type = "REPORT"
        | stats max(@memorySize / 1000 / 1000) as provisonedMemoryMB,
            min(@maxMemoryUsed / 1000 / 1000) as smallestMemoryRequestMB,
            avg(@maxMemoryUsed / 1000 / 1000) as avgMemoryUsedMB,
            max(@maxMemoryUsed / 1000 / 1000) as maxMemoryUsedMB,
            provisonedMemoryMB - maxMemoryUsedMB as overProvisionedMB""", "128.0", "30.0", "35.5", "41.0", "87.0"),
    first(3, 'filter @type = "REPORT" | stats avg(@duration), max(@duration), min(@duration) by bin(5m)',
          "2023-11-14 22:20:00.000", "19.0", "21.0", "17.0"),
    first(12, 'filter @type = "REPORT" | fields @requestId, @billedDuration | sort by @billedDuration desc',
          str(uuid.UUID(int=11)), "22.0"),
    first(4, "filter @message like /(?i)(Exception|error|fail)/ | fields @timestamp, @message | sort @timestamp desc",
          "2023-11-14 22:22:20.002"),
    first(3, """filter @type = "REPORT" | stats sum(strcontains(@message, "Init Duration")) / count(*) * 100
        as coldStartPct, avg(@duration) by bin(5m)""", "2023-11-14 22:20:00.000", "20.0", "19.0"),
    first(1, """filter @type = "REPORT" | stats avg(@billedDuration) as Average, percentile(@billedDuration, 99) as
        NinetyNinth, percentile(@billedDuration, 95) as NinetyFifth, percentile(@billedDuration, 90) as Ninetieth
        by bin(30m)""", "2023-11-14 22:00:00.000", "16.5", "22.0", "22.0", "21.0"),
    first(1, """filter @type = "REPORT" and @maxMemoryUsed < @memorySize | stats count_distinct(@requestId)""", "12"),
    first(1, """filter @type="REPORT" | fields @memorySize / 1000000 as memorySize
        | filter @message like /(?i)(Init Duration)/ | parse @message /^REPORT.*Init Duration: (?<initDuration>.*) ms.*/
        | parse @log /^.*\\/aws\\/lambda\\/(?<functionName>.*)/
        | stats count() as coldStarts, median(initDuration) as avgInitDuration, max(initDuration) as maxInitDuration
        by functionName, memorySize""", "shop", "128.0", "3", "250.5", "250.50"),
    first(3, "filter ispresent(@initDuration) | stats count(*) as cold by bin(5m) # cold starts",
          "2023-11-14 22:20:00.000"),
    first(1, "filter @type = 'REPORT' | stats pct(@duration, 50) as p50, pct(@duration, 99) as p99, stddev(@duration)",
          "15.0", "21.0", "3.4521"),
]  # fmt: skip


@pytest.mark.promise(288)
@pytest.mark.parametrize(("query", "count", "expected"), SAMPLES)
def test_awss_samples_for_lambda(query: str, count: int, expected: tuple[str, ...]) -> None:
    rows = run(query, invocations())
    assert len(rows) == count
    assert tuple(rows[0].values())[: len(expected)] == expected


FLOWS = [
    {"srcAddr": f"192.0.2.{n % 3}", "dstAddr": "10.0.0.1", "packets": n, "bytes": n * 100,
     "protocol": 17 if n % 2 else 6, "logStatus": "SKIPDATA" if n == 5 else "OK"} for n in range(10)
]  # fmt: skip
TRAIL = [
    {"eventSource": "ec2.amazonaws.com", "eventName": "StartInstances", "awsRegion": "us-east-2",
     "requestParameters": {"instancesSet": {"items": [{"instanceId": "i-abcde123"}]}}},
    {"eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "awsRegion": "us-east-1",
     "requestParameters": {"userName": "Bob"}, "responseElements": {"user": {"arn": "arn:aws:iam::1:user/Bob"}}},
    {"eventSource": "cloudtrail.amazonaws.com", "eventName": "UpdateTrail", "awsRegion": "us-east-1",
     "errorCode": "TrailNotFoundException", "errorMessage": "Unknown trail"},
]  # fmt: skip


@pytest.mark.promise(288)
@pytest.mark.parametrize(
    ("query", "documents", "rows"),
    [
        ("stats sum(packets) as packetsTransferred by srcAddr, dstAddr | sort packetsTransferred desc | limit 15",
         FLOWS, [["192.0.2.0", "10.0.0.1", "18"], ["192.0.2.2", "10.0.0.1", "15"], ["192.0.2.1", "10.0.0.1", "12"]]),
        ("filter isIpv4InSubnet(srcAddr, '192.0.2.0/31') | stats sum(bytes) as b by dstAddr | sort b desc", FLOWS,
         [["10.0.0.1", "3000"]]),
        ("filter protocol=17 | stats count(*) by srcAddr | sort srcAddr", FLOWS,
         [["192.0.2.0", "2"], ["192.0.2.1", "2"], ["192.0.2.2", "1"]]),
        ('filter logStatus="SKIPDATA" | stats count(*) by bin(1h) as t | sort t', FLOWS,
         [["2023-11-14 22:00:00.000", "1"]]),
        ("stats count(*) by eventSource, eventName, awsRegion | sort eventSource | limit 1", TRAIL,
         [["cloudtrail.amazonaws.com", "UpdateTrail", "us-east-1", "1"]]),
        ('filter (eventName="StartInstances" or eventName="StopInstances") and awsRegion="us-east-2"'
         "| display requestParameters.instancesSet.items.0.instanceId", TRAIL, [["i-abcde123"]]),
        ('filter eventName="CreateUser" | fields awsRegion, requestParameters.userName, responseElements.user.arn',
         TRAIL, [["us-east-1", "Bob", "arn:aws:iam::1:user/Bob"]]),
        ('filter eventName="UpdateTrail" and ispresent(errorCode) | stats count(*) by errorCode, errorMessage', TRAIL,
         [["TrailNotFoundException", "Unknown trail", "1"]]),
    ],
)  # fmt: skip
def test_awss_samples_for_other_logs(query: str, documents: list[Any], rows: list[list[str]]) -> None:
    assert [list(row.values()) for row in run(query, objects(*documents), "flows")] == rows


def test_parse_as_aws_documents_it() -> None:
    events = [
        (0, "user=anna, method:GET, latency := 12"),
        (1, "user=anna, method:GET, latency := 18"),
        (2, "other"),
    ]
    query = """parse @message "user=*, method:*, latency := *" as @user, @method, @latency
        | filter ispresent(@user) | stats avg(@latency) by @method, @user"""
    assert run(query, events) == [{"@method": "GET", "@user": "anna", "avg(@latency)": "15.0"}]
    query = (
        r"parse @message /user=(\w+).*:= (\d+)/ as who, took | fields took * 2 as twice | display who, twice"
    )
    assert run(query, events) == [{}, {"who": "anna", "twice": "36"}, {"who": "anna", "twice": "24"}]
    shown = run("parse @message '*=*,' as a, b | limit 1 | filter a = 'user'", events[:1])
    assert list(shown[0]) == ["@timestamp", "@message", "a", "b"]


def test_fields_of_json() -> None:
    document = {
        "a": {"b": [{"c": 1}, {"c": "x"}]},
        "yes": True,
        "no": False,
        "none": None,
        "@x": 5,
        "d.e": "dot",
        "h-i": 7,
    }
    query = "fields a.b.0.c, a.b.1.c, yes, no, none, @@x, d.e, `h-i`, a.b, a.b.2.c"
    assert run(query, objects(document), "g") == [
        {"a.b.0.c": "1", "a.b.1.c": "x", "yes": "1", "no": "0", "@@x": "5", "d.e": "dot", "h-i": "7"}
    ]
    within = [(0, 'INFO {not} then {"level": "warn", "deep": {"er": 1}} {"level": "second"}')]
    assert run("fields level, deep.er", within) == [{"level": "warn", "deep.er": "1"}]
    assert run("fields level", within, "elsewhere") == [{}]


def test_fields_that_logs_have() -> None:
    row = run("fields @timestamp, @ingestionTime, @logStream, @log, @message", [(0, "m")])[0]
    assert list(row.values()) == [
        "2023-11-14 22:13:20.000", "2023-11-14 22:13:20.007", "stream", "000000000000:/aws/lambda/shop", "m",
    ]  # fmt: skip
    assert run("filter @type = 'START' | fields @requestId | limit 1", invocations(1)) == [
        {"@requestId": str(uuid.UUID(int=0))}
    ]
    query = "filter @message like 'order' | fields @requestId, @type | sort @timestamp | limit 1"
    assert run(query, invocations(1)) == [
        {"@requestId": str(uuid.UUID(int=0))}
    ]  # fmt: skip


EXPRESSIONS = [
    ("1 + 2 * 3", "7"), ("(1 + 2) * 3", "9"), ("2 ^ 3 ^ 2", "512"), ("10 % 3", "1"), ("-7 % 3", "-1"), ("7 / 2", "3.5"),
    ("1 / 0", None), ("n / absent", None), ("1 / 3", "0.3333"), ("128 * 1000000 / 1", "1.28E8"), ("-n", "-4"),
    ("abs(-3)", "3"), ("ceil(1.2)", "2"), ("floor(-1.2)", "-2"), ("greatest(1, n, 3)", "4"),
    ("least(2, '1', 'x')", "1"),
    ("log(1)", "0.0"), ("sqrt(16)", "4.0"), ("sqrt(-1)", None), ("log(0)", None), ("9 ^ 9 ^ 9", None),
    ("bin(5m)", "2023-11-14 22:10:00.000"), ("bin(1d)", "2023-11-14 00:00:00.000"),
    ("bin(1mo)", "2023-11-01 00:00:00.000"),
    ("bin(1q)", "2023-10-01 00:00:00.000"), ("bin(1y)", "2023-01-01 00:00:00.000"),
    ("datefloor(@timestamp, 1h)", "2023-11-14 22:00:00.000"), ("dateceil(@timestamp, 1h)", "2023-11-14 23:00:00.000"),
    ("dateceil(@timestamp, 1y)", "2024-01-01 00:00:00.000"), ("fromMillis(0)", "1970-01-01 00:00:00.000"),
    ("toMillis(@timestamp)", str(BEGIN)), ("now() > 1700000000", "1"), ("ispresent(n)", "1"),
    ("isPresent(absent)", "0"),
    ("coalesce(absent, t)", "text"), ("isempty(absent)", "1"), ("isempty(t)", "0"), ("isblank('  ')", "1"),
    ("concat(t, '-', n)", "text-4"), ("ltrim('xyZfooxyZ', 'xyZ')", "fooxyZ"), ("rtrim('xyZfooxyZ', 'xyZ')", "xyZfoo"),
    ("trim('xyZfooxyZ', 'xyZ')", "foo"), ("trim('  a ')", "a"), ("strlen('äöü')", "3"), ("toupper(t)", "TEXT"),
    ("tolower('AbC')", "abc"), ("substr('xyZfooxyZ', 3, 3)", "foo"), ("substr('xyZfooxyZ', 6)", "xyZ"),
    ("replace('foo', 'o', '0')", "f00"), ("strcontains(t, 'ex')", "1"), ("strcontains(absent, 'ex')", "0"),
    ("isValidIp('::1')", "1"), ("isValidIpv4('::1')", "0"), ("isValidIpv6('::1')", "1"), ("isValidIp('1.2.3')", "0"),
    ("isIpInSubnet('10.1.2.3', '10.0.0.0/8')", "1"), ("isIpv4InSubnet('11.1.2.3', '10.0.0.0/8')", "0"),
    ("isIpv6InSubnet('fe80::1', 'fe80::/10')", "1"), ("isIpv6InSubnet('10.1.2.3', '10.0.0.0/8')", "0"),
    ("n = 4 and t = 'text'", "1"), ("not n = 4 or n != 4", "0"), ("n in [1, '4']", "1"), ("t not in ['a', 'b']", "1"),
    ("absent = absent", "0"), ("absent != 1", "1"), ("absent < 1", "0"), ("'10' > '9'", "1"), ("'a10' > 'a9'", "0"),
    ("t like 'ex'", "1"), ("t like /^T/", "0"), ("t =~ /(?i)^T/", "1"), ("t not like /x/", "0"),
    ("t like /[a-z&&[^b-z]]/", "0"), ("absent not like /x/", "1"), ("n == 4", "1"), ("true", "1"),
    ("n >= 4 and n <= 4.0", "1"),
    ("jsonParse('{\"a\": [1, 2]}')", '{"a":[1,2]}'), ("jsonStringify(n)", "4"), ("jsonParse('{')", None),
    ("\"a\\\"b\\tc\"", 'a"b\tc'), ("0.00012345", "1.0E-4"),
    ("5.0", "5.0"), ("12345678.9", "1.23456789E7"),
]  # fmt: skip


@pytest.mark.promise(288)
@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS)
def test_expressions(expression: str, value: str | None) -> None:
    assert run(f"fields {expression} as v", objects({"n": 4, "t": "text"})) == [
        {} if value is None else {"v": value}
    ]


def test_sorting_is_awss() -> None:
    """The example of its documentation, in its order."""
    listed = [
        "!:",
        "#",
        "*%04",
        "0#",
        "5A",
        "111A",
        "2345_",
        "@",
        "@_",
        "A",
        "A9876fghj",
        "a12345hfh",
        "0",
        "01",
        "2",
        "3",
    ]
    events = objects(*({"v": each} for each in sorted(listed, key=hash)), {"w": 1})
    assert [row.get("v") for row in run("fields v | sort v asc", events)] == [None, *listed]
    assert [row.get("v") for row in run("fields v | sort v desc", events)] == [*reversed(listed), None]
    events = objects({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 0, "b": 3})
    assert [row["b"] for row in run("fields b | sort a desc, b asc", events)] == ["1", "2", "3"]
    assert [row["b"] for row in run("fields b | sort a desc", events)] == [
        "2",
        "1",
        "3",
    ]  # the latest first, otherwise


def test_dedup_keeps_the_first_by_order_and_what_has_no_value() -> None:
    events = objects({"s": "a", "n": 1}, {"s": "b", "n": 2}, {"n": 3}, {"s": "a", "n": 4}, {"n": 5})
    assert [row["n"] for row in run("fields n | dedup s", events)] == ["5", "4", "3", "2"]
    assert [row["n"] for row in run("fields n | sort n asc | dedup s | limit 2", events)] == ["1", "2"]


def test_dedup_of_more_than_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    events = objects(*({"s": n % 5000, "n": n} for n in range(10_000)))
    assert [row["n"] for row in run("fields n | dedup s | limit 3", events)] == ["9999", "9998", "9997"]
    assert [row["n"] for row in run("fields n | sort n | dedup s | limit 3", events)] == ["0", "1", "2"]


def test_stats_of_stats_and_of_nothing() -> None:
    events = objects(*({"s": "ab"[n % 2], "n": n} for n in range(10)))
    query = "stats count(*) as c, sum(n) as total by s, n > 4 as high"
    query += " | stats max(total), count(*) as groups by s | sort s"
    assert run(query, events) == [
        {"s": "a", "max(total)": "14", "groups": "2"}, {"s": "b", "max(total)": "21", "groups": "2"},
    ]  # fmt: skip
    assert run("stats count(*), sum(n), avg(n), max(n)", []) == [{"count(*)": "0", "sum(n)": "0"}]
    assert run("stats count(*) by n", []) == []
    assert run("stats earliest(n), latest(n), sortsFirst(n), sortsLast(n)", events) == [
        {"earliest(n)": "0", "latest(n)": "9", "sortsFirst(n)": "0", "sortsLast(n)": "9"}
    ]


def test_unnest_makes_a_row_of_each_item() -> None:
    query = "fields jsonParse(@message) as j | unnest j.items into item"
    query += " | stats sum(item.price) as total by item.name | sort total"
    documents = objects(
        {"items": [{"name": "a", "price": 1}, {"name": "b", "price": 5}]},
        {"items": [{"name": "a", "price": 2}]},
    )
    assert run(query, documents) == [{"item.name": "a", "total": "3"}, {"item.name": "b", "total": "5"}]


@pytest.mark.promise(289)
@pytest.mark.parametrize(
    ("query", "message", "wrong"),
    [
        ("fields @timestamp, x | count()", "mismatched input 'count' expecting {K_FIELDS", "count"),
        ("", "mismatched input '<EOF>'", ""),
        ("fields a |", "mismatched input '<EOF>'", ""),
        ("filter a = ", "unexpected symbol found <EOF> at line 1 and position 11", ""),
        ("fields a\n| filter b == )", "unexpected symbol found ) at line 2 and position 14", ")"),
        ("fields `a", "unexpected symbol found ` at line 1 and position 7", "`"),
        ("filter a like /x", "unexpected symbol found / at line 1 and position 14", "/"),
        ("filter a like /(/", "invalid regular expression: ", "/(/"),
        ("fields nope(a)", "unknown function nope", "nope(a)"),
        ("fields abs()", "abs takes 1 arguments, and has 0", "abs()"),
        ("fields bin(5)", "bin takes a period such as 5m", "bin(5)"),
        ("filter count(*) > 1", "unknown function count", "count(*)"),
        ("stats n by m", "n is neither a function of stats nor what it groups by", "n"),
        ("stats pct(n)", "pct takes a field and a percentage", "pct(n)"),
        ("stats pct(n, 101)", "pct takes a field and a percentage", "pct(n, 101)"),
        ("stats sum(a, b)", "sum takes 1 argument, and has 2", "sum(a, b)"),
        ("limit 0", "limit must be from 1 to 100000", "0"),
        ("limit many", "unexpected symbol found many", "many"),
        ("parse @message '* *' as a", "the pattern has 2 captures, and 1 names are given to them", "'* *' as a"),
        ("parse @message /a/", "the pattern has 0 captures", "/a/"),
        ("dedup a | fields b", "dedup can be followed by limit only", "fields"),
        ("fields @message | pattern @message", "the command pattern is not supported here", "pattern"),
        ("fields " + "(" * 60 + "a" + ")" * 60, "the expression is nested too deep", "("),
        ("fields " + "-" * 5000 + "1", "the expression is nested too deep", "-"),
        ("fields " + "2^" * 3000 + "1", "the expression is nested too deep", "2"),
    ],
)  # fmt: skip
def test_what_is_malformed_and_where(query: str, message: str, wrong: str) -> None:
    with pytest.raises(Malformed) as raised:
        Query(query, 10)
    assert raised.value.message.startswith(message)
    assert query[raised.value.start : raised.value.end] == wrong


def test_long_chains_are_no_depth() -> None:
    assert run(
        "filter n = 1" + " or n = 1" * 900 + " | fields n + 0" + " + 0" * 100 + " as v", objects({"n": 1})
    ) == [{"v": "1"}]


def test_comments_and_blanks() -> None:
    query = "# first\nfields n # 'second' | limit 1\n  | filter s = '#' # third"
    assert run(query, objects({"n": 1, "s": "#"}, {"n": 2})) == [{"n": "1"}]


def test_no_more_rows_than_are_wanted() -> None:
    events = objects(*({"n": n} for n in range(9000)))
    assert [row["n"] for row in run("fields n", events, most=3)] == ["8999", "8998", "8997"]
    assert [row["n"] for row in run("fields n | sort n | limit 4000", events, most=2)] == ["0", "1"]
    assert run("fields n | limit 20 | stats count(*) as c, min(n)", events) == [{"c": "20", "min(n)": "8980"}]


def test_percentiles_of_many_values_are_close() -> None:
    whole, few = Percentile(90), Percentile(90)
    for n in range(aggregates.EXACT * 3):
        whole.add(n * 7919 % 30_011, ())
    for n in range(1000):
        few.add(n, ())
    assert few.result() == 899
    assert whole.result() == pytest.approx(27_000, rel=0.02)


def test_distinct_values_are_counted_in_little_memory() -> None:
    many, few = CountDistinct(), CountDistinct()
    for n in range(200_000):
        many.add(n % 100_000, ())
        few.add(n % 1000, ())
    assert few.result() == 1000
    assert many.result() == pytest.approx(100_000, rel=0.05)
    assert len(many._hashes) <= 2 * aggregates.DISTINCT


@pytest.mark.promise(291)
def test_a_regular_expression_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regexes.search, "__defaults__", (0.05,))
    evil = "x" * 30 + "y"
    with pytest.raises(TimeoutError):
        run(r"filter @message like /^(x|x?)+(x|xx)*(x?x)*$/", [(0, evil * 200)])


def test_times_and_numbers_as_text() -> None:
    assert text(Time(-1)) == "-1"
    assert text(1 << 70) == "1.1805916207174113E21"
    assert re.fullmatch(r"\d{4}-.*\.000", text(Time(0)))
    assert sorted([3, "x2", None, "x10", 1.5, "x"], key=rank) == [None, "x", "x2", "x10", 1.5, 3]
