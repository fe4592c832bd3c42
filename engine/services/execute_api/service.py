"""Requests to APIs, at hosts called ID.execute-api.…: which API and stage each is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.service import Access, Caller, Service
from ...durable.state import Change
from ...hosting.placements import Hosting, Placement
from ..apigatewayv2.catalog import APIS, DEFAULT, KINDS
from . import http_api, responses
from .exchange import Exchange
from .functions import Functions
from .http_api import HttpApis, HttpStage
from .outgoing import BODY_BYTES, Outgoing
from .responses import Refused

PATH = "/_aws/execute-api/"
_TABLES = frozenset({APIS, *KINDS})


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

    def __init__(self, hosting: Hosting, guarded: bool, resets: Mapping[tuple[str, str], int]) -> None:
        """guarded: the server verifies signatures; else one that is there is believed. resets: how often the cache of
        an API's and stage's authorizers was emptied."""
        self._hosting = hosting
        self._resets = resets
        self._outgoing = Outgoing()
        self._http = HttpApis(Functions(hosting), self._outgoing, guarded)
        self._stages: dict[str, dict[str, HttpStage]] = {}  # by API
        hosting.watchers.append(self._changed)

    async def aclose(self) -> None:
        await self._outgoing.aclose()

    def _changed(self, placement: Placement, change: Change) -> None:
        for table, owner, *_ in change.steps:
            if table in _TABLES:
                self._stages.pop(owner, None)

    def _of(self, api_id: str) -> Mapping[str, HttpStage]:
        """An API's stages, by name; none of an API that is not there."""
        found = self._stages.get(api_id)
        if found is None:
            for placement in self._hosting.all():
                record = placement.state.get(APIS, api_id)
                if record is not None:
                    found = self._stages[api_id] = http_api.stages(placement.state, placement.place, record)
                    break
        return found or {}

    def _find(self, request: Request) -> tuple[HttpStage | None, str, str]:
        """The stage, the path with the stage where the request names it, and the path behind it."""
        api_id, path = _target(request)
        stages = self._of(api_id)
        first, _, rest = path[1:].partition("/")
        stage = stages.get(unquote(first)) if first != DEFAULT else None
        if stage is not None:
            return stage, path, f"/{rest}"
        return stages.get(DEFAULT), path, path

    def access(self, request: Request) -> Access:
        stage, _, rest = self._find(request)
        return Access.SIGNED if stage is not None and stage.signed(request, rest) else Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        stage, path, rest = self._find(request)
        if stage is None:
            return responses.response(responses.of_http_api(Refused("RESOURCE_NOT_FOUND")))
        exchange = Exchange(
            request, caller, stage.place, stage.api_id, stage.name, stage.variables, unquote(path), rest
        )
        return await self._http.serve(stage, exchange, self._resets.get((stage.api_id, stage.name), 0))

    def error(self, request: Request, fault: Fault) -> Response:
        kinds = {"ServiceException": "API_CONFIGURATION_ERROR", "ServiceUnavailableException": "THROTTLED"}
        return self._refused(Refused(kinds.get(fault.code, "ACCESS_DENIED")))

    def too_large(self, request: Request) -> Response:
        return self._refused(Refused("REQUEST_TOO_LARGE"))

    def _refused(self, refusal: Refused) -> Response:
        return responses.response(responses.of_http_api(refusal))


def _target(request: Request) -> tuple[str, str]:
    """An API's id, and the path behind it."""
    if request.path.startswith(PATH):
        api_id, slash, rest = request.path[len(PATH) :].partition("/")
        return api_id, slash + rest or "/"
    return request.header("host").split(".", 1)[0].lower(), request.path
