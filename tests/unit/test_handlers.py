"""The sample functions, called directly: each one's responses to its own events."""

import base64
import hashlib
import importlib.util
import io
import json
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from PIL import Image

HANDLERS = Path(__file__).resolve().parents[2] / "handlers"
SAMPLES = ["access-log", "echo", "http-api", "ledger", "numbers", "orders", "thumbnail"]


@dataclass(frozen=True)
class Context:
    """As much of Lambda's context object as a sample could ask for."""

    function_name: str
    aws_request_id: str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "128"
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:sample"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def load(name: str) -> ModuleType:
    # All are named app, so they are loaded by path, under names that cannot clash.
    spec = importlib.util.spec_from_file_location(
        f"sample_{name.replace('-', '_')}", HANDLERS / name / "app.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(name: str, file: str) -> Any:
    return json.loads((HANDLERS / name / "events" / f"{file}.json").read_text(encoding="utf-8"))


def invoke(name: str, payload: Any) -> Any:
    """Call a fresh copy of the sample, its response taken through JSON as an invocation would."""
    payload = event(name, payload) if isinstance(payload, str) else payload
    return json.loads(json.dumps(load(name).handler(payload, Context(name))))


# All of them


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_has_a_readme_of_three_lines_whose_command_names_a_real_event(name: str) -> None:
    lines = (HANDLERS / name / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    command = re.fullmatch(r"Run: `stoker invoke app:handler @(\S+) --code (\S+)`", lines[2])
    assert command is not None
    assert command[2] == f"handlers/{name}"
    assert (HANDLERS.parent / command[1]).parent == HANDLERS / name / "events"
    assert (HANDLERS.parent / command[1]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_a_plain_lambda_function_that_starts_no_thread_and_keeps_no_socket(name: str) -> None:
    # In a process of its own: what this one has open says nothing about the sample.
    code = (
        "import sys, os, app\n"
        "assert 'engine' not in sys.modules, 'a sample knows nothing of what runs it'\n"
        "paths = [f'/proc/self/fd/{fd}' for fd in range(3, 64)]\n"
        "links = [os.readlink(path) for path in paths if os.path.islink(path)]\n"
        "print(len(os.listdir('/proc/self/task')), sum(link.startswith('socket:') for link in links))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        check=False,
        cwd=HANDLERS / name,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["1", "0"]), done.stderr


# echo


@pytest.mark.parametrize("file", ["hello", "text"])
def test_echo_gives_its_event_back(file: str) -> None:
    assert invoke("echo", file) == event("echo", file)


# thumbnail


def picture(response: dict[str, Any]) -> tuple[bytes, Image.Image]:
    data = base64.b64decode(response["data"], validate=True)
    return data, Image.open(io.BytesIO(data))


def photograph(key: str) -> Path:
    spec = importlib.util.find_spec("imageio")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / key


def test_thumbnail_describes_the_photograph_and_keeps_its_proportions() -> None:
    cat, portrait = invoke("thumbnail", "two")["thumbnails"]
    assert (cat["bucket"], cat["key"]) == ("imageio", "resources/images/chelsea.png")
    assert cat["source"] == {"format": "PNG", "width": 451, "height": 300, "bytes": 221294}
    assert portrait["source"] == {"format": "PNG", "width": 512, "height": 512, "bytes": 791555}
    assert [(t["thumbnail"]["width"], t["thumbnail"]["height"]) for t in (cat, portrait)] == [
        (128, 85),
        (128, 128),
    ]


def test_thumbnail_is_a_small_jpeg_of_the_same_picture() -> None:
    response = invoke("thumbnail", "cat")["thumbnails"][0]["thumbnail"]
    data, image = picture(response)
    assert image.format == "JPEG"
    assert image.size == (response["width"], response["height"]) == (128, 85)
    assert len(data) == response["bytes"] < 6000
    assert hashlib.sha256(data).hexdigest() == response["sha256"]
    # Another way down to the same size: the mean of each block. A wrong picture is dozens of levels away.
    with Image.open(photograph("resources/images/chelsea.png")) as source:
        expected = np.asarray(source.convert("RGB").resize((128, 85), Image.Resampling.BOX), dtype=float)
    actual = np.asarray(image.convert("RGB"), dtype=float)
    assert np.abs(actual - expected).mean() < 4
    assert np.abs(actual[:, ::-1] - expected).mean() > 20


def test_thumbnail_size_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "48")
    assert picture(invoke("thumbnail", "cat")["thumbnails"][0]["thumbnail"])[1].size == (48, 32)


def test_thumbnail_turns_a_photograph_upright_out_of_a_bucket_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "holiday").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    with Image.open(photograph("resources/images/chelsea.png")) as source:
        source.convert("RGB").save(tmp_path / "holiday" / "my cat.jpg", exif=exif)
    monkeypatch.setenv("BUCKET_ROOT", str(tmp_path))
    payload = event("thumbnail", "cat")
    payload["Records"][0]["s3"]["bucket"]["name"] = "holiday"
    payload["Records"][0]["s3"]["object"]["key"] = "my+cat.jpg"
    response = invoke("thumbnail", payload)["thumbnails"][0]
    assert (response["key"], response["source"]["format"]) == ("my cat.jpg", "JPEG")
    assert (response["thumbnail"]["width"], response["thumbnail"]["height"]) == (85, 128)


@pytest.mark.parametrize(
    ("bucket", "key", "message"),
    [
        (
            "imageio",
            "resources/images/no+such+cat.png",
            "NoSuchKey: imageio/resources/images/no such cat.png",
        ),
        ("imageio", "../numpy/__init__.py", "NoSuchKey"),
        ("imageio", "/etc/hostname", "NoSuchKey"),
        ("no_such_bucket", "a.png", "NoSuchBucket: no_such_bucket"),
        ("..", "a.png", "NoSuchBucket"),
    ],
)
def test_thumbnail_refuses_what_is_not_in_a_bucket(bucket: str, key: str, message: str) -> None:
    payload = event("thumbnail", "bad-no-such-key")
    payload["Records"][0]["s3"]["bucket"]["name"] = bucket
    payload["Records"][0]["s3"]["object"]["key"] = key
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        invoke("thumbnail", payload)


def test_thumbnail_bucket_cannot_climb_out_of_the_bucket_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    monkeypatch.setenv("BUCKET_ROOT", str(tmp_path / "root"))
    payload = event("thumbnail", "cat")
    payload["Records"][0]["s3"]["bucket"]["name"] = "../outside"
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        invoke("thumbnail", payload)


# access-log


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


# orders


def test_orders_sends_back_only_the_messages_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    response = invoke("orders", "batch")
    ids = [record["messageId"] for record in event("orders", "batch")["Records"]]
    assert response == {"batchItemFailures": [{"itemIdentifier": ids[place]} for place in (3, 4, 5, 6)]}
    priced = {line["orderId"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [line["messageId"] for line in priced.values()] == [ids[place] for place in (0, 1, 2, 7, 8, 9)]
    # Worked out by hand: net, tax, shipping, total.
    assert {order: (p["net"], p["tax"], p["shipping"], p["total"]) for order, p in priced.items()} == {
        "A-1001": ("17.80", "1.25", "5.90", "24.95"),
        "A-1002": ("64.00", "12.16", "0.00", "76.16"),
        "A-1003": ("87.08", "14.61", "0.00", "101.69"),
        "A-1008": ("213.75", "44.89", "0.00", "258.64"),
        "A-1009": ("2249.22", "157.44", "0.00", "2406.66"),
        "A-1010": ("24.30", "2.19", "5.90", "32.39"),
    }


def test_orders_fails_as_a_whole_when_every_message_does() -> None:
    with pytest.raises(BatchProcessingError, match="unknown article: 'MUG-STONE-05'"):
        invoke("orders", "bad-all")


def test_orders_keeps_nothing_from_the_batch_before(capsys: pytest.CaptureFixture[str]) -> None:
    orders = load("orders")
    good = event("orders", "batch")
    good["Records"] = good["Records"][:3]
    assert len(orders.handler(event("orders", "batch"), Context("orders"))["batchItemFailures"]) == 4
    assert orders.handler(good, Context("orders")) == {"batchItemFailures": []}
    assert len(capsys.readouterr().out.splitlines()) == 6 + 3


def order(**changes: Any) -> dict[str, Any]:
    return {
        "orderId": "A-1",
        "country": "DE",
        "lines": [{"sku": "POT-CAST-09", "quantity": 1}],
        "total": "76.16",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"country": "XX"}, "unknown country: 'XX'"),
        ({"coupon": "FREE100"}, "unknown coupon: 'FREE100'"),
        ({"lines": []}, "at least one line"),
        ({"lines": [{"sku": "POT-CAST-09", "quantity": True}]}, "quantity out of range: True"),
        ({"lines": [{"sku": "POT-CAST-09", "quantity": 1001}]}, "quantity out of range: 1001"),
        ({"lines": [{"sku": ["POT-CAST-09"], "quantity": 1}]}, "unknown article"),
        ({"total": "76.15"}, "the buyer was shown '76.15', the order comes to 76.16"),
        ({"total": 76.16}, "the buyer was shown 76.16"),
    ],
)
def test_orders_says_what_is_wrong_with_an_order(changes: dict[str, Any], message: str) -> None:
    orders = load("orders")
    assert orders.price(order())["total"] == "76.16"
    with pytest.raises(orders.InvalidOrderError, match=re.escape(message)):
        orders.price(order(**changes))


@pytest.mark.parametrize("file", ["batch", "bad-all"])
def test_orders_events_carry_the_digest_of_each_body(file: str) -> None:
    for record in event("orders", file)["Records"]:
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()


# ledger


def change(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """The event of one change; whole numbers are N, texts S."""

    def image(item: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {"N": str(value)} if isinstance(value, int) else {"S": value}
            for name, value in item.items()
        }

    record = event("ledger", "batch")["Records"][0]
    images = {"OldImage": old, "NewImage": new}
    described = {name: image(item) for name, item in images.items() if item is not None}
    keys = {"account": {"S": "ada"}}
    return {"Records": [{**record, "dynamodb": {"Keys": keys, "SequenceNumber": "111", **described}}]}


def account(balance: int, version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "account": "ada",
        "currency": "EUR",
        "balance": balance,
        "version": version,
        "overdraft": 500,
        **more,
    }


def test_ledger_enters_what_keeps_to_the_rules_and_reports_the_rest() -> None:
    response = invoke("ledger", "batch")
    records = event("ledger", "batch")["Records"]
    sequences = [record["dynamodb"]["SequenceNumber"] for record in records]
    failed = [item["itemIdentifier"] for item in response["batchItemFailures"]]
    assert failed == [sequences[place] for place in (18, 19, 21)]
    entries = response["entries"]
    assert [entry["sequence"] for entry in entries] == [
        number
        for number, record in zip(sequences, records, strict=True)
        if "transfer" in record["dynamodb"].get("NewImage", {}) and number not in failed
        and record["dynamodb"]["OldImage"]["balance"] != record["dynamodb"]["NewImage"]["balance"]
    ]  # fmt: skip
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[entry["account"]] += entry["amount"]
    # Worked out by hand; the shop's balance is 500 more, which came without a transfer.
    assert sums == {"bank": -431071, "ada": 241060, "grace": 181250, "old-savings": 0, "shop": 201261}
    assert response["uneven"] == {"t-1006": 190000, "t-1007": 2500}  # the other parts of which failed


def test_ledger_fails_as_a_whole_when_every_change_does() -> None:
    with pytest.raises(BatchProcessingError, match="shop changed from EUR to USD"):
        invoke("ledger", "bad-all")


@pytest.mark.parametrize(
    ("old", "new", "amount"),
    [
        (None, account(700, transfer="t"), 700),
        (account(700), account(-500, 2, transfer="t"), -1200),
        (account(-900, transfer="s"), account(-800, 2, transfer="t"), 100),  # still overdrawn, but less
        (account(700), account(700, 2, owner="Ada"), None),
        (account(0), None, None),
    ],
)
def test_ledger_enters_a_change(old: Any, new: Any, amount: int | None) -> None:
    entries = invoke("ledger", change(old, new))["entries"]
    assert [entry["amount"] for entry in entries] == ([] if amount is None else [amount])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (account(1), None, "ada was closed with 1 in it"),
        (account(1), account(2, 3, transfer="t"), "ada has version 3 after 1"),
        (account(1), account(2, 2), "ada changed by 1 without a transfer"),
        (account(1, transfer="t"), account(2, 2, transfer="t"), "ada changed by 1 without a transfer"),
        (None, account(1), "ada changed by 1 without a transfer"),
        (account(1), account(-501, 2, transfer="t"), "ada is overdrawn: -501"),
        (account(1), account(1, 2, currency="USD"), "ada changed from EUR to USD"),
        (None, None, "the stream has no images"),
    ],
)
def test_ledger_says_what_is_wrong_with_a_change(old: Any, new: Any, message: str) -> None:
    with pytest.raises(BatchProcessingError, match=re.escape(message)):
        invoke("ledger", change(old, new))


# http-api


def call(payload: Any) -> tuple[int, Any]:
    response = invoke("http-api", payload)
    assert response["isBase64Encoded"] is False
    assert response["headers"]["Content-Type"] == "application/json"
    return response["statusCode"], json.loads(response["body"])


def test_http_api_finds_books_by_author() -> None:
    status, body = call("list")
    assert status == 200
    assert (body["count"], [book["title"] for book in body["books"]]) == (1, ["The Pragmatic Programmer"])


def test_http_api_without_a_query_lists_all_books_by_title() -> None:
    payload = event("http-api", "list")
    del payload["queryStringParameters"]
    payload["rawQueryString"] = ""
    titles = [book["title"] for book in call(payload)[1]["books"]]
    assert len(titles) == 5
    assert titles == sorted(titles)


def test_http_api_answers_an_old_isbn_with_the_same_book() -> None:
    assert call("book") == (
        200,
        {
            "isbn": "9780131103627",
            "title": "The C Programming Language",
            "author": "Kernighan, Ritchie",
            "price": "59.90",
        },
    )


@pytest.mark.parametrize("file", ["basket", "basket-base64"])
def test_http_api_prices_a_basket_with_its_discount(file: str) -> None:
    status, body = call(file)
    assert status == 201
    assert [(line["title"], line["copies"], line["amount"]) for line in body["lines"]] == [
        ("Design Patterns", 2, "109.90"),
        ("Designing Data-Intensive Applications", 1, "47.99"),
    ]
    assert (body["discount"], body["total"]) == ("7.89", "150.00")
    assert invoke("http-api", file)["headers"]["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "the body is not JSON"),
        ("[]", "a basket needs items"),
        ('{"items": [{"isbn": "9780201633610", "copies": 0}]}', "copies: 1 to 99"),
        ('{"items": [{"isbn": "020163361X"}]}', "not an ISBN: 020163361X"),
    ],
)
def test_http_api_says_what_is_wrong_with_a_basket(body: str, message: str) -> None:
    assert call({**event("http-api", "basket"), "body": body}) == (
        400,
        {"statusCode": 400, "message": message},
    )


def test_http_api_health_and_refusals() -> None:
    health = event("http-api", "list")
    health["rawPath"] = health["requestContext"]["http"]["path"] = "/health"
    assert call(health) == (200, {"status": "ok", "books": 5})
    assert call("bad-isbn") == (400, {"statusCode": 400, "message": "not an ISBN: 9780131103628"})
    assert call("bad-route") == (404, {"statusCode": 404, "message": "Not found"})
    unknown = event("http-api", "book")
    unknown["rawPath"] = unknown["requestContext"]["http"]["path"] = "/books/9780306406157"
    assert call(unknown) == (404, {"statusCode": 404, "message": "no book has ISBN 9780306406157"})


# numbers


def test_numbers_gives_the_published_regression_on_the_waist() -> None:
    response = invoke("numbers", "one-predictor")
    waist, intercept = response["coefficients"]["abdom"], response["coefficients"]["intercept"]
    assert response["observations"] == 252
    assert intercept["estimate"] == pytest.approx(-39.28018, abs=1e-5)
    assert intercept["std_error"] == pytest.approx(2.66034, abs=1e-5)
    assert waist["estimate"] == pytest.approx(0.63130, abs=1e-5)
    assert waist["std_error"] == pytest.approx(0.02855, abs=1e-5)
    assert waist["t"] == pytest.approx(22.11, abs=0.01)
    assert response["r_squared"] == pytest.approx(0.6617, abs=1e-4)
    assert response["residual_std_error"] == pytest.approx(4.877, abs=1e-3)
    assert response["f_statistic"] == pytest.approx(488.9, abs=0.1)
    assert response["influential"][0]["row"] == 38  # the heaviest man of the data


def test_numbers_agrees_with_fits_made_the_long_way() -> None:
    payload = event("numbers", "body-fat")
    response = invoke("numbers", payload)
    numbers = load("numbers")
    y = numbers.columns([payload["response"]])[:, 0]
    x = np.column_stack([np.ones(len(y)), numbers.columns(payload["predictors"])])
    beta, rss, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    assert rank == 8
    names = ["intercept", *payload["predictors"]]
    assert list(response["coefficients"]) == names
    estimates = [response["coefficients"][name]["estimate"] for name in names]
    assert estimates == pytest.approx(beta.tolist(), rel=1e-8)
    assert response["r_squared"] == pytest.approx(1 - rss[0] / ((y - y.mean()) ** 2).sum(), rel=1e-10)

    # Leaving out each man in turn: what the predicted R squared and Cook's distance are shortcuts for.
    fits = [np.linalg.lstsq(np.delete(x, i, 0), np.delete(y, i), rcond=None)[0] for i in range(len(y))]
    press = sum((y[i] - x[i] @ fits[i]) ** 2 for i in range(len(y)))
    assert response["predicted_r_squared"] == pytest.approx(1 - press / ((y - y.mean()) ** 2).sum(), rel=1e-9)
    shifts = [((x @ (beta - b)) ** 2).sum() / (8 * response["residual_std_error"] ** 2) for b in fits]
    worst = sorted(range(len(y)), key=lambda i: -shifts[i])[:3]
    assert [entry["row"] for entry in response["influential"]] == worst
    assert [entry["cooks_distance"] for entry in response["influential"]] == pytest.approx(
        [shifts[i] for i in worst]
    )

    # A variance inflation factor is 1 / (1 - R squared) of one predictor on the others.
    others = [name for name in payload["predictors"] if name != "weight"]
    r_squared = invoke("numbers", {"response": "weight", "predictors": others})["r_squared"]
    assert response["coefficients"]["weight"]["vif"] == pytest.approx(1 / (1 - r_squared), rel=1e-8)


def test_numbers_predicts_at_a_point() -> None:
    payload = event("numbers", "body-fat")
    response = invoke("numbers", payload)
    by_hand = response["coefficients"]["intercept"]["estimate"] + sum(
        response["coefficients"][name]["estimate"] * payload["at"][name] for name in payload["predictors"]
    )
    assert response["prediction"]["value"] == pytest.approx(by_hand)
    assert (
        response["residual_std_error"]
        < response["prediction"]["std_error"]
        < response["residual_std_error"] * 1.05
    )


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("bad-name", "no such measurement: shoe size; there are brozek, siri"),
        ({"predictors": []}, "at least one measurement"),
        ({"predictors": ["age", "age"]}, "not independent"),
        ({"predictors": ["age", "knee"], "at": {"age": 30}}, "a prediction needs knee"),
    ],
)
def test_numbers_refuses_what_it_cannot_fit(payload: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invoke("numbers", payload)
