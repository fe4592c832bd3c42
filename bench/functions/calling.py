"""Functions that invoke another one, many times, and return how long each took, in nanoseconds."""

from __future__ import annotations

import http.client
import json
import os
import time
from typing import Any


def by_lane(event: Any, context: Any) -> list[int]:
    """{"name": …, "calls": …}"""
    invoke, name, now, samples = context.invoke, event["name"], time.perf_counter_ns, []
    for n in range(event["calls"]):
        value = {"n": n}
        begin = now()
        result = invoke(name, value)
        samples.append(now() - begin)
        assert result == value
    return samples


def by_socket(event: Any, context: Any) -> list[int]:
    """{"path": …, "body": …, "calls": …}, to the endpoint of this function's own server."""
    connection = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"))
    samples = calls(connection, event["path"], event["body"].encode(), event["calls"])
    family = connection.sock.family.name
    connection.close()
    assert family == "AF_UNIX", family
    return samples


def calls(connection: http.client.HTTPConnection, path: str, body: bytes, number: int) -> list[int]:
    """The same from anywhere."""
    samples, expected = [], json.loads(body)
    for _ in range(number):
        begin = time.perf_counter_ns()
        connection.request("POST", path, body)
        response = connection.getresponse()
        data = response.read()
        samples.append(time.perf_counter_ns() - begin)
        assert response.status == 200
        assert json.loads(data) == expected, data
    return samples
