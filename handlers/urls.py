"""The sample http-api, initiated by a request to its function's URL."""

from __future__ import annotations

import base64
import json
import urllib.request

from run import EXPECTED, HERE, event_of, short
from server import Connect

SAMPLE = "http-api"


def run(connect: Connect) -> str:
    """Send the request that the sample's event describes. What was wrong, or an empty string."""
    url = connect("lambda").create_function_url_config(FunctionName=SAMPLE, AuthType="NONE")["FunctionUrl"]
    event = json.loads(event_of(HERE / SAMPLE).read_bytes())
    http = event["requestContext"]["http"]
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    query = f"?{event['rawQueryString']}" if event.get("rawQueryString") else ""
    request = urllib.request.Request(
        url.rstrip("/") + event["rawPath"] + query,
        data or None,
        {"content-type": event["headers"].get("content-type", "application/json")},
        method=http["method"],
    )
    with urllib.request.urlopen(request) as response:
        text = response.read().decode()
        print(f"{SAMPLE}  ({http['method']} {url})\n  {response.status} {short(text)}")
        wanted = EXPECTED[SAMPLE]["statusCode"]
        return "" if response.status == wanted else f"the status at its URL was {response.status}"
