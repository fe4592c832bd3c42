"""The metrics of APIs, namespace AWS/ApiGateway: under the names and dimensions that each kind of API has on AWS."""

from __future__ import annotations

import time
from functools import lru_cache

from ...aws.names import Place
from ...observe.tally import Dimensions, Subject, Tally
from .exchange import Exchange
from .http_api import HttpStage
from .rest_api import RestStage
from .sockets import SocketStage

NAMESPACE = "AWS/ApiGateway"
Stage = HttpStage | RestStage | SocketStage


class ApiMetrics:
    """Belongs to the event loop."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def responded(self, stage: Stage, exchange: Exchange, began: float, status: int, size: int) -> None:
        """began: by time.perf_counter; size: the response's body's."""
        if not self._tally.wanted or isinstance(stage, SocketStage):
            return
        found: dict[str, float] = {**_counts(stage, status), "Latency": (time.perf_counter() - began) * 1e3}
        if exchange.integration is not None:
            found["IntegrationLatency"] = exchange.integration * 1e3
        if isinstance(stage, HttpStage):
            found["DataProcessed"] = len(exchange.request.body) + size
        self._tally.add(_subject_of(stage, exchange.route, exchange.request.method), found)

    def refused(self, stage: Stage | None, status: int) -> None:
        """Before it came to the API's own."""
        if self._tally.wanted and isinstance(stage, HttpStage | RestStage):
            self._tally.add(_subject_of(stage, "", ""), _counts(stage, status))

    def socket(self, stage: SocketStage, route: str, **values: float) -> None:
        """Of a WebSocket API: ConnectCount, MessageCount, IntegrationLatency, IntegrationError, ExecutionError and
        ClientError."""
        if self._tally.wanted:
            self._tally.add(_subject_of(stage, route, ""), values)


def _counts(stage: HttpStage | RestStage, status: int) -> dict[str, float]:
    """Errors as 0 or 1, so that their average is a rate."""
    client, server = ("4XXError", "5XXError") if isinstance(stage, RestStage) else ("4xx", "5xx")
    return {"Count": 1, client: int(400 <= status < 500), server: int(status >= 500)}


def _subject_of(stage: Stage, route: str, method: str) -> Subject:
    if isinstance(stage, RestStage):
        own = ("ApiName", stage.api_name)
        wanted = route and stage.detailed & {"*/*", f"{route}/{method}".strip("/")}
        more: Dimensions = (("Method", method), ("Resource", route)) if wanted else ()
    else:
        own = ("ApiId", stage.api_id)
        more = (("Route", route),) if route and stage.details(route) else ()
    return _subject(stage.place, own, stage.name, more)


@lru_cache(1000)
def _subject(place: Place, api: tuple[str, str], stage: str, more: Dimensions) -> Subject:
    of_stage = ("Stage", stage)
    sets: list[Dimensions] = [(api,), (api, of_stage)]
    if more:
        sets.append(tuple(sorted((api, *more, of_stage))))
    return Subject(place.region, place.account, NAMESPACE, *sets)
