"""Handlers of their libraries' documentation, deployed by boto3: they work, and nothing else is in their logs."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from clients import needs_sdks, sdks_layer
from served import REGION, Served, url_id
from support import until

pytestmark = needs_sdks

Deploy = Callable[..., str]
FASTAPI = """
from fastapi import Cookie, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from mangum import Mangum

app = FastAPI()

@app.get("/")
def read_root():
    return {"Hello": "World"}

@app.get("/items/{item_id}")
def read_item(item_id: int, q: str | None = None, seen: str | None = Cookie(None)):
    return {"item_id": item_id, "q": q, "seen": seen}

@app.get("/users/")
def users(request: Request):
    return {"url": str(request.url), "base": str(request.base_url)}

@app.post("/login")
def login(response: Response):
    response = RedirectResponse("/items/7?q=redirected", status_code=303)
    response.set_cookie("seen", "yes", httponly=True)
    response.set_cookie("other", "too")
    return response

handler = Mangum(app, lifespan="off")
"""
TRACER = """
from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

tracer = Tracer()

@tracer.capture_method
def collect_payment(charge_id: str) -> str:
    tracer.put_annotation(key="PaymentId", value=charge_id)
    return f"dummy payment collected for charge: {charge_id}"

@tracer.capture_lambda_handler
def handler(event: dict, context: LambdaContext) -> str:
    return collect_payment(charge_id=event.get("charge_id", ""))
"""
LOGGER = """
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()

@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
def handler(event: dict, context: LambdaContext) -> str:
    logger.info("Collecting payment", request_id="1123")
    return "hello world"
"""
BATCH = """
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

processor = BatchProcessor(event_type=EventType.SQS)
tracer = Tracer()
logger = Logger()

@tracer.capture_method
def record_handler(record: SQSRecord):
    payload: dict = record.json_body
    logger.info(payload)
    if payload.get("fails"):
        raise ValueError("asked for")

@logger.inject_lambda_context
@tracer.capture_lambda_handler
def handler(event, context: LambdaContext):
    return process_partial_response(event=event, record_handler=record_handler, processor=processor, context=context)
"""
SENTRY = """
import os
import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

sentry_sdk.init(
    dsn=os.environ["SENTRY_DSN"],
    send_default_pii=True,
    traces_sample_rate=1.0,
    integrations=[AwsLambdaIntegration(timeout_warning=True)],
)

def handler(event, context):
    if event.get("fails"):
        raise ValueError("asked for")
    return {"did": event}
"""
PLATFORM = ("INIT_START", "START", "END", "REPORT")


@pytest.fixture(scope="module")
def layers(api: Any) -> list[str]:
    return sdks_layer(api, {})


@pytest.fixture
def run(api: Any, deploy: Deploy, layers: list[str]) -> Callable[..., str]:
    """Deploys a source; the function's name."""
    settings = {"Layers": layers, "Timeout": 30, "MemorySize": 512, "TracingConfig": {"Mode": "Active"}}
    return lambda source, **variables: deploy(
        source, Environment={"Variables": {"POWERTOOLS_SERVICE_NAME": "payment", **variables}}, **settings
    )


def invoke(api: Any, name: str, event: Any) -> Any:
    return json.loads(api.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())


def own_lines(server: Served, name: str, invocations: int) -> list[str]:
    """What it logged itself, once so many invocations have been reported."""
    logs = server.client("logs")

    def messages() -> list[str] | None:
        try:
            page = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
        except logs.exceptions.ResourceNotFoundException:
            return None
        found = [event["message"] for event in page["events"]]
        return found if sum(message.startswith("REPORT") for message in found) >= invocations else None

    return [message for message in until(messages) if not message.startswith(PLATFORM)]


class Browser:
    """Asks a function's host, follows redirects wherever they lead on it, and keeps cookies."""

    def __init__(self, server: Served, api: Any, name: str) -> None:
        url = api.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        api.add_permission(
            FunctionName=name, StatementId="public", Action="lambda:InvokeFunctionUrl", Principal="*",
            FunctionUrlAuthType="NONE",
        )  # fmt: skip
        self.address = urlsplit(server.url)
        self.host = f"{url_id(url)}.lambda-url.{REGION}.localhost:{self.address.port}"
        self.cookies: dict[str, str] = {}
        self.visited: list[tuple[int, str]] = []

    def ask(self, method: str, target: str) -> Any:
        connection = http.client.HTTPConnection(str(self.address.hostname), self.address.port, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(
            method, target, headers={"Host": self.host, **({"Cookie": cookies} if cookies else {})}
        )
        response = connection.getresponse()
        body = response.read()
        self.visited.append((response.status, target))
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        location = response.headers.get("Location")
        if location is None:
            return json.loads(body)
        there = urlsplit(location)
        assert there.netloc in ("", self.host), location
        assert there.scheme in ("", "http"), location
        return self.ask(
            "GET" if response.status == 303 else method,
            f"{there.path}{'?' if there.query else ''}{there.query}",
        )


@pytest.mark.promise(195)
def test_fastapi_behind_mangum(server: Served, api: Any, run: Callable[..., str]) -> None:
    name = run(FASTAPI)
    browser = Browser(server, api, name)
    assert browser.ask("GET", "/") == {"Hello": "World"}
    assert browser.ask("GET", "/items/5?q=some%20query") == {"item_id": 5, "q": "some query", "seen": None}
    assert browser.ask("GET", "/items/five")["detail"][0]["loc"] == ["path", "item_id"]
    browser.visited.clear()
    assert browser.ask("POST", "/login") == {"item_id": 7, "q": "redirected", "seen": "yes"}
    assert browser.cookies == {"seen": "yes", "other": "too"}
    # Starlette's redirect to the path with its slash names the host itself.
    there = browser.ask("GET", "/users")
    assert urlsplit(there["url"]).netloc == browser.host
    assert browser.visited == [
        (303, "/login"),
        (200, "/items/7?q=redirected"),
        (307, "/users"),
        (200, "/users/"),
    ]
    assert own_lines(server, name, 7) == []


@pytest.mark.promise(195)
def test_powertools_tracer(server: Served, api: Any, run: Callable[..., str]) -> None:
    name = run(TRACER)
    for charge in ("a", "b"):
        assert invoke(api, name, {"charge_id": charge}) == f"dummy payment collected for charge: {charge}"
    assert own_lines(server, name, 2) == []


@pytest.mark.promise(195)
def test_powertools_logger(server: Served, api: Any, run: Callable[..., str]) -> None:
    name = run(LOGGER)
    for n in range(2):
        assert invoke(api, name, {"requestContext": {"requestId": f"correlated-{n}"}}) == "hello world"
    lines = [json.loads(line) for line in own_lines(server, name, 2)]
    assert [(line["level"], line["message"], line["request_id"]) for line in lines] == [
        ("INFO", "Collecting payment", "1123")
    ] * 2
    assert [line["cold_start"] for line in lines] == [True, False]
    assert {line["function_name"] for line in lines} == {name}
    assert [line["correlation_id"] for line in lines] == ["correlated-0", "correlated-1"]
    assert all(line["xray_trace_id"].startswith("1-") and line["service"] == "payment" for line in lines)


@pytest.mark.promise(195)
def test_powertools_batch(server: Served, api: Any, sqs: Any, run: Callable[..., str]) -> None:
    """By a queue and a mapping of it: what failed comes again, alone, and is dead in the end."""
    name = run(BATCH)
    arns = {}
    for queue in (f"{name}-dead", name):
        policy = {"deadLetterTargetArn": arns.get(f"{name}-dead"), "maxReceiveCount": 2}
        settings = {"VisibilityTimeout": "30", **({"RedrivePolicy": json.dumps(policy)} if arns else {})}
        url = sqs.create_queue(QueueName=queue, Attributes=settings)["QueueUrl"]
        arns[queue] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
    for n in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"n": n, "fails": n == 1}))
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30"})
    api.create_event_source_mapping(
        FunctionName=name, EventSourceArn=arns[name], FunctionResponseTypes=["ReportBatchItemFailures"]
    )

    def left() -> dict[str, str]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"])

    until(lambda: sorted(left().values()) in (["0", "0"], ["0", "1"]))
    lines = [json.loads(line) for line in own_lines(server, name, 1)]
    assert {line["message"]["n"] for line in lines if line["level"] == "INFO"} == {0, 1, 2}
    assert all(
        line["level"] == "INFO" or "asked for" in line.get("exception", line["message"]) for line in lines
    ), lines


@pytest.fixture
def collected() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server of Sentry's: where it is, and the items that came to it."""
    items: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = zlib.decompress(body, 31)
            lines = body.split(b"\n")
            for head, payload in zip(lines[1::2], lines[2::2], strict=False):
                if head.strip():
                    items.append({"type": json.loads(head)["type"], **json.loads(payload)})
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"127.0.0.1:{served.server_port}", items
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.mark.promise(195)
def test_sentrys_integration(
    server: Served, api: Any, run: Callable[..., str], collected: tuple[str, list[dict[str, Any]]]
) -> None:
    where, items = collected
    name = run(SENTRY, SENTRY_DSN=f"http://key@{where}/1")
    assert invoke(api, name, {"n": 1}) == {"did": {"n": 1}}
    assert invoke(api, name, {"fails": True})["errorType"] == "ValueError"
    error = until(lambda: next((item for item in items if item["type"] == "event"), None))
    assert error["exception"]["values"][-1]["value"] == "asked for"
    assert error["extra"]["lambda"]["function_name"] == name
    assert error["extra"]["cloudwatch logs"]["log_group"] == f"/aws/lambda/{name}"
    transaction = next(item for item in items if item["type"] == "transaction")
    assert transaction["transaction"] == name
    (line,) = own_lines(server, name, 2)
    assert line.startswith("[ERROR] ValueError: asked for")
