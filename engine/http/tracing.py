"""A server's tracing put together: the stream of spans, who gets it, and the X-Ray daemon's address."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from ..observe.losses import Losses
from ..observe.otlp_spans import OtlpSpans
from ..observe.spans import Spans
from ..services.xray.daemon import Daemon
from ..services.xray.keeper import Keeper


async def tracing(
    stack: contextlib.AsyncExitStack, keeper: Keeper, url: str, otlp: str | None, losses: Losses
) -> tuple[Spans, Daemon]:
    """Ends with the stack. url: the server's, whose port the daemon has, too; otlp: a receiver's."""
    stack.push_async_callback(keeper.aclose)
    spans = Spans(asyncio.get_running_loop(), every=otlp is not None)
    spans.subscribe(keeper.take)
    losses.watch("spans", lambda: spans.dropped + keeper.dropped)
    if otlp:
        exported = OtlpSpans(otlp)
        stack.callback(exported.close)
        spans.subscribe(exported)
        losses.watch("exports", lambda: exported.dropped)
    stack.callback(spans.flush)
    daemon = await Daemon.listen(keeper, urlsplit(url).port or 0)
    stack.callback(daemon.close)
    return spans, daemon
