"""AWS's protocols: how a request names its operation and has its members, and how results and faults are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from botocore.model import ServiceModel

from ..faults import Fault
from ..messages import Request, Response
from .base import Operation
from .json import Json
from .query import Query
from .rest_json import RestJson
from .rpc_v2 import RpcV2Cbor


class ServiceProtocol(Protocol):
    """A protocol, for the operations of one model."""

    def match(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """The operation of a request, and the labels that name its members outside of the body. Raises Fault."""

    def parse(self, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
        """A request's typed members by their names in the model. Raises Fault: SerializationException."""

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
        """A result by its members' names in the model; what is None or absent is left out."""

    def error(self, fault: Fault, request_id: str) -> Response:
        """A fault, with the status and the spelling of its error shape."""


_PROTOCOLS: dict[str, Callable[[ServiceModel, Mapping[str, Operation]], ServiceProtocol]] = {
    "rest-json": RestJson,
    "json": Json,
    "query": Query,
    "smithy-rpc-v2-cbor": RpcV2Cbor,
}


def protocol_of(
    model: ServiceModel, operations: Mapping[str, Operation], protocol: str | None = None
) -> ServiceProtocol:
    """protocol: one of the model's, or the first of them that is implemented here."""
    named = [protocol] if protocol else model.metadata.get("protocols") or [model.metadata["protocol"]]
    return next(_PROTOCOLS[name] for name in named if name in _PROTOCOLS)(model, operations)
