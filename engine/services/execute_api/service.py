"""Requests to APIs, at hosts called ID.execute-api.…: which API and stage each is for."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.service import Access, Caller, Service
from ...durable.state import Change
from ...hosting.placements import Hosting, Placement
from ...observe.tally import Tally
from ..apigateway.catalog import APIS as REST_APIS
from ..apigateway.catalog import OF_AN_API
from ..apigatewayv2.catalog import APIS, DEFAULT, KINDS, WEBSOCKET
from . import http_api, responses, rest_api, sockets
from .exchange import Exchange
from .functions import Functions
from .http_api import HttpApis, HttpStage
from .measuring import ApiMetrics
from .outgoing import BODY_BYTES, Outgoing
from .responses import Refused
from .rest_api import RestApis, RestStage
from .sockets import SocketStage, WebSocketApis

PATH = "/_aws/execute-api/"
_TABLES = frozenset({APIS, *KINDS, REST_APIS, *OF_AN_API})
Stage = HttpStage | RestStage | SocketStage


class ExecuteApi(Service):
    """Served at hosts called ID.execute-api.… and under /_aws/execute-api/ID/…, as stage and path."""

    name = "APIs"
    signing_name = ""
    paths = re.compile(rf"[A-Z]+ {PATH}")
    hosts = re.compile(r"[a-z0-9]+\.execute-api\.")
    signed_for = "execute-api"
    body_bytes = BODY_BYTES
    copies = 4  # the event has it once more, as Base64
    cross_site = True  # an API's CORS configuration says who may

    def __init__(
        self, hosting: Hosting, guarded: bool, resets: Mapping[tuple[str, str], int], tally: Tally
    ) -> None:
        """guarded: the server verifies signatures; else one that is there is believed. resets: how often the cache of
        an API's and stage's authorizers was emptied."""
        self._hosting = hosting
        self._resets = resets
        self._metrics = ApiMetrics(tally)
        self._outgoing = Outgoing()
        functions = Functions(hosting)
        self._http = HttpApis(functions, self._outgoing, guarded)
        self._rest = RestApis(functions, self._outgoing, guarded, hosting.spans)
        self._sockets = WebSocketApis(functions, guarded, self._socket_stage, self._metrics.socket)
        self._stages: dict[str, Mapping[str, Stage]] = {}  # by API
        hosting.watchers.append(self._changed)

    async def aclose(self) -> None:
        await self._sockets.aclose()
        await self._outgoing.aclose()

    def drain(self) -> None:
        self._sockets.drain()

    def _changed(self, placement: Placement, change: Change) -> None:
        for table, owner, *_ in change.steps:
            if table in _TABLES:
                self._stages.pop(owner, None)

    def _of(self, api_id: str) -> Mapping[str, Stage] | None:
        """An API's stages, by name; None: there is no such API."""
        found = self._stages.get(api_id)
        if found is None:
            for placement in self._hosting.all():
                state, place = placement.state, placement.place
                if (record := state.get(APIS, api_id)) is not None:
                    kind = sockets.stages if record["ProtocolType"] == WEBSOCKET else http_api.stages
                    found = self._stages[api_id] = kind(state, place, record)
                elif (record := state.get(REST_APIS, api_id)) is not None:
                    found = self._stages[api_id] = rest_api.stages(state, place, record)
        return found

    def _socket_stage(self, api_id: str, name: str) -> SocketStage | None:
        stage = (self._of(api_id) or {}).get(name)
        return stage if isinstance(stage, SocketStage) else None

    def upgrade(self, request: Request, enter: Callable[[], Caller]) -> asyncio.Protocol | None:
        stage, path, rest = self._find(request)
        if not isinstance(stage, SocketStage):
            return None
        exchange = self._exchange(request, Caller(stage.place), stage, path, rest)
        return self._sockets.connection(stage, exchange, enter)

    def _find(self, request: Request) -> tuple[Stage | None, str, str]:
        """The stage, the path with the stage where the request names it, and the path behind it."""
        api_id, path = _target(request)
        stages = self._of(api_id) or {}
        first, _, rest = path[1:].partition("/")
        stage = stages.get(unquote(first)) if first != DEFAULT else None
        if stage is not None:
            return stage, path, f"/{rest}"
        return stages.get(DEFAULT), path, path

    def access(self, request: Request) -> Access:
        stage, _, rest = self._find(request)
        return Access.SIGNED if stage is not None and stage.signed(request, rest) else Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        began = time.perf_counter()
        stage, path, rest = self._find(request)
        if stage is None:
            return self._refused(request, Refused("RESOURCE_NOT_FOUND"))
        if isinstance(stage, SocketStage):
            if rest.startswith(sockets.CONNECTIONS):
                return self._sockets.manage(stage, request, rest)
            return responses.response((426, [("upgrade", "websocket")], b'{"message":"Upgrade Required"}'))
        exchange = self._exchange(request, caller, stage, path, rest)
        resets = self._resets.get((stage.api_id, stage.name), 0)
        if isinstance(stage, HttpStage):
            response = await self._http.serve(stage, exchange, resets)
        else:
            state = self._hosting.of(stage.place).state
            response = await self._rest.serve(stage, exchange, state, resets)
        self._metrics.responded(stage, exchange, began, response.status, len(response.body))
        return response

    @staticmethod
    def _exchange(request: Request, caller: Caller, stage: Stage, path: str, rest: str) -> Exchange:
        variables = stage.variables
        return Exchange(
            request, caller, stage.place, stage.api_id, stage.name, variables, unquote(path), rest
        )

    def error(self, request: Request, fault: Fault) -> Response:
        stage, _, rest = self._find(request)
        if isinstance(stage, SocketStage) and rest.startswith(sockets.CONNECTIONS):
            return sockets.failed(Fault("ForbiddenException", fault.message or "Forbidden"))
        kinds = {
            "MissingAuthenticationTokenException": "MISSING_AUTHENTICATION_TOKEN",
            "ServiceException": "API_CONFIGURATION_ERROR", "ServiceUnavailableException": "THROTTLED",
        }  # fmt: skip
        return self._refused(request, Refused(kinds.get(fault.code, "ACCESS_DENIED")))

    def too_large(self, request: Request) -> Response:
        return self._refused(request, Refused("REQUEST_TOO_LARGE"))

    def _refused(self, request: Request, refusal: Refused) -> Response:
        """In the form of the API that the request is for."""
        stages = self._of(_target(request)[0]) or {}
        stage = self._find(request)[0]
        if isinstance(stage, RestStage):
            response = responses.response(rest_api.refused(refusal, stage.responses, None))
            self._metrics.refused(stage, response.status)
            return response
        if any(isinstance(each, RestStage) for each in stages.values()):  # it has no such stage
            return responses.response(rest_api.refused(Refused("WAF_FILTERED"), {}, None))
        response = responses.response(responses.of_http_api(refusal))
        self._metrics.refused(stage, response.status)
        return response


def _target(request: Request) -> tuple[str, str]:
    """An API's id, and the path behind it."""
    if request.path.startswith(PATH):
        api_id, slash, rest = request.path[len(PATH) :].partition("/")
        return api_id, slash + rest or "/"
    return request.header("host").split(".", 1)[0].lower(), request.path
