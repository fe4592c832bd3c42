"""The sample access-log: aggregates of a web server's lines."""

import base64
import re
import statistics
from collections import Counter

import pytest
from sample_functions import event, invoke


def log_lines() -> list[str]:
    records = event("access-log", "batch")["Records"]
    return "".join(base64.b64decode(record["kinesis"]["data"]).decode() for record in records).splitlines()


def test_access_log_aggregates_of_the_real_lines() -> None:
    response = invoke("access-log", "batch")
    assert response["requests"] == len(log_lines()) == 300
    assert response["rejected"] == []
    assert response["statuses"] == {
        "200": 238,
        "206": 5,
        "301": 8,
        "302": 2,
        "304": 19,
        "401": 2,
        "403": 2,
        "404": 20,
        "405": 3,
        "416": 1,
    }
    assert response["methods"] == {"DELETE": 1, "GET": 285, "HEAD": 11, "OPTIONS": 1, "POST": 1, "PUT": 1}
    assert response["error_rate"] == 0.0933  # 28 of 300
    assert (response["from"], response["to"]) == ("2026-11-23T21:22:05+00:00", "2026-11-23T21:22:19+00:00")
    assert response["bytes"] == {"total": 3058773, "p50": 1088, "p95": 49610, "max": 231679}
    assert response["top_paths"][0] == ["/robots.txt", 14]
    assert response["clients"] == 19


def test_access_log_agrees_with_a_count_made_by_splitting_at_blanks() -> None:
    response = invoke("access-log", "batch")
    fields = [line.split(" ") for line in log_lines()]
    sizes = sorted(int(field[9].replace("-", "0")) for field in fields)  # '-' is no body
    paths = Counter(field[6].split("?")[0] for field in fields)
    assert response["statuses"] == dict(sorted(Counter(field[8] for field in fields).items()))
    assert response["bytes"]["total"] == sum(sizes)
    assert response["bytes"]["p50"] == statistics.median_low(sizes)
    assert response["bytes"]["p95"] == sizes[284]  # the 285th of 300
    assert dict(response["top_paths"]) == {path: paths[path] for path, _ in response["top_paths"]}
    assert [n for _, n in response["top_paths"]] == sorted(paths.values(), reverse=True)[:5]
    assert response["busiest_second"] == max(Counter(field[3] for field in fields).values())
    robots = [
        line
        for line in log_lines()
        if re.search(r"bot\b|crawl|spider|slurp", line.split(" ")[0] + line.split('"')[5])
    ]
    assert response["robots"] == len(robots) > 0


def test_access_log_sets_broken_lines_aside_by_their_sequence_number() -> None:
    response = invoke("access-log", "bad-lines")
    records = event("access-log", "bad-lines")["Records"]
    assert response["requests"] == 2
    assert response["rejected"] == [records[place]["kinesis"]["sequenceNumber"] for place in (1, 2)]
    assert response["bytes"] == {"total": 126858, "p50": 34, "p95": 126824, "max": 126824}


@pytest.mark.parametrize(
    ("line", "status", "size", "path"),
    [
        ('::1 - ann [01/Jan/2026:00:00:00 +0100] "GET / HTTP/1.1" 304 -', "304", 0, "/"),
        (
            r'h - - [01/Jan/2026:00:00:00 +0100] "GET /a\"b?q=1 HTTP/1.1" 200 7 "-" "A \"quoted\" agent"',
            "200",
            7,
            r"/a\"b",
        ),
        ('h - - [01/Jan/2026:12:00:00 +1300] "GET /c HTTP/1.0" 200 5 "-" "A" "-" 0.004', "200", 5, "/c"),
    ],
)
def test_access_log_reads_the_formats_odd_corners(line: str, status: str, size: int, path: str) -> None:
    payload = event("access-log", "bad-lines")
    payload["Records"] = payload["Records"][:1]
    payload["Records"][0]["kinesis"]["data"] = base64.b64encode(line.encode()).decode()
    response = invoke("access-log", payload)
    assert response["rejected"] == []
    assert response["from"] == "2025-12-31T23:00:00+00:00"
    assert (response["statuses"], response["bytes"]["total"], response["top_paths"]) == (
        {status: 1},
        size,
        [[path, 1]],
    )


@pytest.mark.parametrize(
    ("client", "agent", "robots"),
    [("crawler.example.net", "Mozilla/5.0", 1), ("h", "Examplebot/2.1", 1), ("h", "Bottle/0.12", 0)],
)
def test_access_log_knows_robots_by_agent_or_host(client: str, agent: str, robots: int) -> None:
    payload = event("access-log", "bad-lines")
    line = f'{client} - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "{agent}"'
    payload["Records"] = payload["Records"][:1]
    payload["Records"][0]["kinesis"]["data"] = base64.b64encode(line.encode()).decode()
    assert invoke("access-log", payload)["robots"] == robots


def test_access_log_of_an_empty_batch_is_all_zero() -> None:
    response = invoke("access-log", {"Records": []})
    assert (response["requests"], response["from"], response["bytes"]["p95"], response["error_rate"]) == (
        0,
        None,
        0,
        0.0,
    )
