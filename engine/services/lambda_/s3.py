"""Code that lies in S3: fetched from the S3 that this server has, or knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...aws.clients import CallFailed, Clients
from ...aws.faults import Fault
from ...aws.names import Place

Fetch = Callable[[str, str, str | None], bytes]


def fetcher(clients: Clients, place: Place, loop: asyncio.AbstractEventLoop) -> Fetch:
    """Fetches (bucket, key, version) on behalf of a place, in any thread but the loop's, raising Fault."""

    def fetch(bucket: str, key: str, version: str | None) -> bytes:
        wanted = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        call = clients.call("s3", "GetObject", wanted, place)
        try:
            return bytes(asyncio.run_coroutine_threadsafe(call, loop).result()["Body"])
        except CallFailed as failed:
            text = f"S3 Error Code: {failed.code}. S3 Error Message: {failed.message}"
        raise Fault("InvalidParameterValueException", f"Error occurred while GetObject. {text}", Type="User")

    return fetch
