"""Messages to HTTP endpoints: one POST each, at the rate that the policy allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ...aws.clients import CallFailed
from ...aws.outbound import Outbound
from .notifications import CONFIRMATION, Published

TIMEOUT = 15.0  # seconds, AWS's
CONNECTIONS_MOST = 50
_EXTENSIONS = {"timeout": {"connect": TIMEOUT, "read": TIMEOUT, "write": TIMEOUT, "pool": 30.0}}
_AGENT = "Amazon Simple Notification Service Agent"
_TURNS = 10_000  # subscriptions whose turn is remembered


class Posts:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._outbound = Outbound(CONNECTIONS_MOST, keepalive=5.0)
        self._next: dict[str, float] = {}  # by subscription: when the next may go, monotonic

    async def aclose(self) -> None:
        await self._outbound.aclose()

    async def send(
        self,
        url: str,
        body: bytes,
        message: Published,
        subscription: str,
        policy: Mapping[str, Any],
        *,
        raw: bool,
    ) -> None:
        """Done once the endpoint took it. Raises CallFailed."""
        await self._pace(
            subscription, (policy.get("defaultThrottlePolicy") or {}).get("maxReceivesPerSecond")
        )
        headers = {
            "x-amz-sns-message-type": message.kind, "x-amz-sns-message-id": message.id,
            "x-amz-sns-topic-arn": message.topic,
            "Content-Type": policy["defaultRequestPolicy"]["headerContentType"], "User-Agent": _AGENT,
        }  # fmt: skip
        if message.kind != CONFIRMATION:
            headers["x-amz-sns-subscription-arn"] = subscription
        if raw:
            headers["x-amz-sns-rawdelivery"] = "true"
        if message.trace.isascii() and message.trace.isprintable() and message.trace:
            headers["x-amzn-trace-id"] = message.trace
        pool = await self._outbound.pool()
        import httpcore

        try:
            async with asyncio.timeout(2 * TIMEOUT):
                response = await pool.request(
                    "POST", url, headers=list(headers.items()), content=body, extensions=_EXTENSIONS
                )
        except (TimeoutError, httpcore.TimeoutException) as error:
            text = f"{url}: no response within {TIMEOUT:g} s"
            raise CallFailed("Timeout", text, retriable=True) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise CallFailed("EndpointConnectionError", f"{url}: {error}", retriable=True) from error
        except httpcore.UnsupportedProtocol as error:
            raise CallFailed("InvalidEndpoint", f"{url}: {error}", retriable=False) from error
        if not 200 <= response.status < 300:
            retriable = response.status == 429 or response.status >= 500
            text = f"{url} responded with status {response.status}"
            raise CallFailed(str(response.status), text, retriable=retriable)

    async def _pace(self, subscription: str, rate: float | None) -> None:
        """What is above the limit waits its turn."""
        if not rate:
            return
        now = time.monotonic()
        turn = max(now, self._next.get(subscription, 0.0))
        if len(self._next) > _TURNS:
            self._next = {name: at for name, at in self._next.items() if at > now}
        self._next[subscription] = turn + 1.0 / rate
        await asyncio.sleep(turn - now)
