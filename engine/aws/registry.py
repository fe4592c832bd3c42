"""Which service a request is for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs

from .messages import Request
from .service import Service

_CREDENTIAL = re.compile(r"/\d{8}/(?:[^/]+/)?([a-z0-9-]+)/aws4_request", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d", re.ASCII)
# Services of the JSON protocol whose targets are not called after them.
_TARGETS = {
    "amazonec2containerservicev20141113": "ecs",
    "amazonsqs": "sqs",
    "amazonssm": "ssm",
    "awsevents": "events",
    "awsstepfunctions": "states",
    "graniteservicevarious": "monitoring",
    "trentservice": "kms",
}


_KEPT, _LONG = 1_000, 200  # routes that are remembered, and the length of a path that is not


class Registry:
    """The services of an endpoint."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = tuple(services)
        self._by_name = {service.signing_name: service for service in self._services if service.signing_name}
        self._by_target = {
            prefix: service for service in self._services for prefix in service.target_prefixes
        }
        self._by_route: dict[tuple[str, str, str], Service | None] = {}

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services)

    def find(self, request: Request) -> Service | None:
        """The service that a request is for; None for one that is not served here."""
        route = request.method, request.path, request.header("host")
        service = self._by_route.get(route) or (None if route in self._by_route else self._routed(route))
        if service is not None:
            return service
        name = signing_name(request)
        if name is None:
            return next(
                (
                    each
                    for each in self._services
                    if each.unsigned_paths and each.unsigned_paths.match(request.path)
                ),
                None,
            )
        return self._by_name.get(name) or self._by_target.get(
            request.header("x-amz-target").partition(".")[0]
        )

    def _routed(self, route: tuple[str, str, str]) -> Service | None:
        """The service whose paths or hosts match a method, path and host."""
        method, path, host = route
        text, name = f"{method} {path}", host.partition(":")[0]
        found = next(
            (
                each
                for each in self._services
                if (each.paths and each.paths.match(text)) or (each.hosts and each.hosts.match(name))
            ),
            None,
        )
        if len(path) + len(host) < _LONG:
            if len(self._by_route) >= _KEPT:
                self._by_route.clear()
            self._by_route[route] = found
        return found


def signing_name(request: Request) -> str | None:
    """The service that a request names, as signatures do ("s3", "sqs"): in the scope of its signature, in X-Amz-Target,
    or in the name of its host. None when it names none."""
    authorization = request.header("authorization")
    scope = _CREDENTIAL.search(authorization)
    if scope is None and "X-Amz-Credential=" in request.query:
        scope = _CREDENTIAL.search(parse_qs(request.query).get("X-Amz-Credential", [""])[0])
    if scope is not None:
        return scope[1]
    if authorization.startswith("AWS ") or (
        "AWSAccessKeyId=" in request.query and "Signature=" in request.query
    ):
        return "s3"  # the one service that still takes signatures of version 2
    if target := request.header("x-amz-target"):
        name = target.partition(".")[0].partition("_")[0].lower()
        return _TARGETS.get(name, name) or None
    return _of_host(request.header("host"))


def _of_host(host: str) -> str | None:
    """The service in a host's name: SERVICE or REST.SERVICE, a region perhaps, and AWS's domain or "localhost"."""
    name = host.lower().partition(":")[0]
    for domain in (".amazonaws.com", ".localhost"):
        if name.endswith(domain):
            labels = name.removesuffix(domain).split(".")
            if len(labels) > 1 and _REGION.fullmatch(labels[-1]):
                labels.pop()
            return labels[-1] or None
    return None
