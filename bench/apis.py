"""Requests/s through an API of API Gateway beside a bare function URL: the same function, the same client, by turns.

python -m bench.apis [SECONDS]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import boto3
import uvloop
from botocore.config import Config

from engine.hosting.archives import pack
from engine.load.generate.http_client import Client, HttpResponse

ROUNDS = 5
AT_ONCE = 16
REGION, ACCOUNT = "us-east-1", "000000000000"
SOURCE = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'hello'}\n"


async def rate(url: str, host: str, path: str, seconds: float) -> float:
    """Requests per second of so many at once. Raises RuntimeError for a response that is none of the function's."""
    client = Client(url)
    head = client.request("GET", path, {"Host": host})
    count, end = 0, time.perf_counter() + seconds
    over = asyncio.get_running_loop().create_future()
    left = AT_ONCE

    def done(response: HttpResponse | str) -> None:
        nonlocal count, left
        if isinstance(response, str) or (response.status, response.body) != (200, b"hello"):
            if not over.done():
                over.set_exception(RuntimeError(f"{host}{path}: {response}"))
            return
        count += 1
        if time.perf_counter() < end:
            client.send(head, b"", done)
            return
        left -= 1
        if not left and not over.done():
            over.set_result(None)

    began = time.perf_counter()
    for _ in range(AT_ONCE):
        client.send(head, b"", done)
    await over
    return count / (time.perf_counter() - began)


def deployed(url: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Hosts and paths that lead to one function."""

    def client(service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=url, region_name=REGION, config=Config(), **keys)

    code = folder / "app.py"
    code.write_text(SOURCE)
    lambda_, http, rest = client("lambda"), client("apigatewayv2"), client("apigateway")
    arn = lambda_.create_function(
        FunctionName="f", Runtime=f"python3.{sys.version_info[1]}", Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="app.handler", Code={"ZipFile": pack(code)},
    )["FunctionArn"]  # fmt: skip
    lambda_.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0})
    lambda_.add_permission(
        FunctionName="f",
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    bare = lambda_.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
    out = {"function URL": (url.removeprefix("http://"), bare.removeprefix(url))}
    for version in ("2.0", "1.0"):
        api = http.create_api(Name="a", ProtocolType="HTTP")["ApiId"]
        http.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
        target = http.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion=version
        )["IntegrationId"]
        http.create_route(ApiId=api, RouteKey="GET /pets/{id}", Target=f"integrations/{target}")
        out[f"HTTP API, format {version}"] = (f"{api}.execute-api.{REGION}.localhost", "/pets/1")
    made = rest.create_rest_api(name="r")
    at = {"restApiId": made["id"], "resourceId": made["rootResourceId"], "httpMethod": "GET"}
    rest.put_method(**at, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"
    rest.put_integration(**at, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    rest.create_deployment(restApiId=made["id"], stageName="prod")
    out["REST API"] = (f"{made['id']}.execute-api.{REGION}.localhost", "/prod")
    return out


async def compare(url: str, targets: dict[str, tuple[str, str]], seconds: float) -> None:
    rates: dict[str, list[float]] = {name: [] for name in targets}
    for number in range(ROUNDS + 1):
        for name, (host, path) in targets.items():
            found = await rate(url, host, path, seconds)
            if number:  # the first is for warming up
                rates[name].append(found)
    bare = rates["function URL"]
    print(f"{AT_ONCE} requests at once, medians of {ROUNDS} rounds of {seconds:g} s")
    for name, found in rates.items():
        ratio = median(one / other for one, other in zip(found, bare, strict=True))
        print(f"{name:22} {median(found):8.0f} requests/s   {ratio:5.0%}")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        command = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(state)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().split()[-1]
                uvloop.run(compare(url, deployed(url, Path(folder)), seconds))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
