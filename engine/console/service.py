"""The console as a service of the endpoint: GET /_stoker/ is the page, below /_stoker/console/ is what it loads and
asks for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import parse_qs

from .. import wire
from ..aws.clients import Clients
from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.names import LATEST, Place
from ..aws.protocols.base import STATUS
from ..aws.service import Access, Caller, Service
from ..hosting.packages import Packages
from ..hosting.placements import Hosting
from . import assets, sources
from .calls import perform, test
from .entrance import Entrance, Visitor
from .feed import Feed
from .map import Map
from .stream import HEADERS

PAGE, BELOW = "/_stoker/", "/_stoker/console/"
_JSON = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_STATUSES = {
    "MissingAuthenticationTokenException": 401, "AccessDeniedException": 403, "ResourceNotFoundException": 404,
}  # fmt: skip
Members = dict[str, Any]


class Console(Service):
    """Belongs to the event loop. Everybody may have the page itself, which has no data; `entrance` says who may have
    that. Whatever changes something is a POST of JSON, which the page of no other origin can send."""

    name = "console"
    paths = re.compile(r"(?:GET|HEAD|POST|DELETE) /_stoker(?:/?\Z|/console/)")
    signed_for = "lambda"

    def __init__(
        self,
        hosting: Hosting,
        packages: Packages,
        clients: Clients,
        feed: Feed,
        entrance: Entrance,
        default: Place,
    ) -> None:
        self._hosting, self._packages, self._clients = hosting, packages, clients
        self._feed, self._entrance, self._default = feed, entrance, default
        self._map = Map(hosting, clients)

    def access(self, request: Request) -> Access:
        return Access.OPEN  # a browser does not sign

    def drain(self) -> None:
        self._feed.close()

    async def call(self, request: Request, caller: Caller) -> Response:
        if request.path == PAGE.rstrip("/"):
            return Response(308, [(b"location", PAGE.encode()), *assets.SAFE], b"")
        name = "index.html" if request.path == PAGE else request.path.removeprefix(BELOW)
        if request.method in ("GET", "HEAD"):
            known = request.header("if-none-match")
            asset = assets.response(name, known, request.method == "HEAD")
            if asset is not None:
                return asset
        if name == "session":
            return self._session(request)
        visitor = self._entrance.visitor(request)
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        place = self._place(visitor, query.get("place", ""))
        if request.method == "GET" and name == "events":
            return Response(200, list(HEADERS), b"", pieces=self._feed.serve(place, visitor))
        if request.method == "GET" and name == "map":
            return _json(await self._map.read(place))
        if request.method == "GET" and name == "code":
            return await self._code(place, query)
        if request.method != "POST":
            raise Fault("ResourceNotFoundException", f"There is no {request.path[:200]} here")
        given = _given(request)
        if name == "follow":
            followed = self._feed.follow(str(given.get("stream")), visitor, str(given.get("group") or ""))
            return _json({"followed": followed})
        if name == "test":
            return await _ended(test(self._hosting, place, given))
        if found := re.fullmatch(r"call/([a-z]+)/([A-Za-z]+)", name):
            return await _ended(perform(self._clients, place, found[1], found[2], given))
        raise Fault("ResourceNotFoundException", f"There is no {request.path[:200]} here")

    def error(self, request: Request, fault: Fault) -> Response:
        status = getattr(fault, "status", None) or _STATUSES.get(fault.code) or STATUS.get(fault.code, 400)
        body = {"code": fault.code, "message": fault.message or fault.code}
        return Response(status, list(_JSON), wire.encode(body))

    def _session(self, request: Request) -> Response:
        if request.method == "POST":
            cookie = self._entrance.enter(request, _given(request))
            return _json({}, (b"set-cookie", cookie.encode("latin-1")))
        if request.method == "DELETE":
            return _json({}, (b"set-cookie", self._entrance.leave(request).encode("latin-1")))
        try:
            visitor = self._entrance.visitor(request)
        except Fault:  # to ask is no error
            return _json({"guarded": True, "places": [], "place": ""})
        places = [each.partition for each in self._places(visitor)]
        return _json({
            "guarded": self._entrance.guarded, "places": places, "place": self._place(visitor, "").partition,
        })  # fmt: skip

    def _places(self, visitor: Visitor) -> list[Place]:
        every = {self._default, *(each.place for each in self._hosting.all())}
        mine = [each for each in every if visitor.account in (None, each.account)]
        return sorted(mine, key=lambda each: each.partition)

    def _place(self, visitor: Visitor, named: str) -> Place:
        """Raises Fault: it is none of the visitor's."""
        if not named:
            return Place(self._default.region, visitor.account or self._default.account)
        found = next((each for each in self._places(visitor) if each.partition == named), None)
        if found is None:
            raise Fault("AccessDeniedException", f"There is nothing of {named[:100]} to be seen here")
        return found

    async def _code(self, place: Place, query: Mapping[str, str]) -> Response:
        state = self._hosting.of(place).state
        name, qualifier = query.get("function", ""), query.get("qualifier") or LATEST
        record = state.get("function", name, qualifier)
        if record is None:
            raise Fault("ResourceNotFoundException", "There is no such function, or version of it")
        tree = self._packages.tree(record["_digest"])
        loop = asyncio.get_running_loop()
        if "path" not in query:
            return _json(await loop.run_in_executor(None, sources.listed, tree))
        found = await loop.run_in_executor(None, sources.text, tree, query["path"])
        if found is None:
            raise Fault("ResourceNotFoundException", "There is no such file in its package")
        return _json(found)


def _json(members: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> Response:
    return Response(200, [*_JSON, *headers], wire.encode(members))


async def _ended(work: Awaitable[Members]) -> Response:
    """`result`, or `fault`."""
    try:
        return _json({"result": await work})
    except Fault as fault:
        return _json({"fault": {"code": fault.code, "message": fault.message or fault.code}})


def _given(request: Request) -> Members:
    """Raises Fault. A form of another page cannot have this content type."""
    if request.header("content-type").partition(";")[0].strip() != "application/json":
        raise Fault("ValidationException", "Content-Type: application/json is needed")
    try:
        found = wire.decode(request.body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Fault("ValidationException", "The body is no JSON object")
    return found
