"""REST with JSON: a method and a path name the operation; members are in path, query, headers and the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.model import ServiceModel, Shape, StructureShape

from ... import wire
from ..faults import Fault
from ..messages import Request, Response
from ..shapes import HTTP_DATE, Reader, to_json, to_text
from .base import Base, Operation

_RETRY_SECONDS = 1
# What AWS responds with to a path or method that no operation has: 404 and this, without a content type.
_UNKNOWN = b"<UnknownOperationException/>\n"


@dataclass(slots=True)
class _Node:
    """A place in the tree of paths."""

    literals: dict[str, _Node] = field(default_factory=dict)
    label: _Node | None = None
    rest: _Node | None = None  # of a greedy label, which takes all that is left of a path
    operations: dict[str, list[tuple[Operation, tuple[str, ...]]]] = field(default_factory=dict)  # by method


class RestJson(Base):
    """Lambda's protocol."""

    def __init__(self, model: ServiceModel, operations: Mapping[str, Operation]) -> None:
        super().__init__(model, operations)
        self._reader = Reader()
        self._root = _Node()
        for operation in operations.values():
            self._place(operation)

    def _place(self, operation: Operation) -> None:
        node, labels = self._root, []
        for part in _parts(operation.path):
            if part.startswith("{"):
                labels.append(part.strip("{}+"))
                if part.endswith("+}"):
                    node.rest = node = node.rest or _Node()
                else:
                    node.label = node = node.label or _Node()
            else:
                node = node.literals.setdefault(part, _Node())
        entry = (operation, tuple(labels))
        same = node.operations.setdefault(operation.method, [])
        same.insert(0, entry) if operation.fixed else same.append(entry)

    def match(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """The operation, and the path's labels decoded. A slash at a path's end means nothing, as on AWS.

        Raises Fault: UnknownOperationException, for a path that has operations of another method too.
        """
        values: list[str] = []
        node = self._root
        parts = _parts(request.path)
        for n, part in enumerate(parts):
            below = node.literals.get(part)
            if below is None and part:
                below = node.label
                if below is not None:
                    values.append(unquote(part))
                elif node.rest is not None:
                    values.append(unquote("/".join(parts[n:])))
                    node = node.rest
                    break
            if below is None:
                raise _unknown()
            node = below
        query = request.query.split("&")
        for operation, labels in node.operations.get(request.method, ()):
            if all(f"{name}={value}" in query for name, value in operation.fixed.items()):
                return operation, dict(zip(labels, values, strict=True))
        raise _unknown()

    def parse(self, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
        if operation.input is None:
            return {}
        out: dict[str, Any] = {}
        query: dict[str, list[str]] = {}
        for name, text in parse_qsl(request.query, keep_blank_values=True, errors="replace"):
            query.setdefault(name, []).append(text)
        headers = dict(request.headers)
        payload = operation.input.serialization.get("payload")
        inside: dict[str, Shape] = {}
        for name, member in operation.input.members.items():
            place, key = member.serialization.get("location"), member.serialization.get("name", name)
            if place == "uri":
                out[name] = self._reader.text(member, labels[key])
            elif place == "querystring" and member.type_name == "map":  # of all that no other member is
                left = query.keys() - operation.fixed.keys() - self._named(operation.input)
                out[name] = {each: self._reader.text(member.value, query[each][-1]) for each in sorted(left)}
            elif place == "querystring":
                if key in query and member.type_name == "list":
                    out[name] = [self._reader.text(member.member, text) for text in query[key]]
                elif key in query:
                    out[name] = self._reader.text(member, query[key][-1])
            elif place == "header":
                if key.lower() in headers:
                    out[name] = self._reader.text(member, headers[key.lower()])
            elif name != payload:
                inside[name] = member
            elif member.type_name in ("blob", "string"):
                out[name] = (
                    request.body if member.type_name == "blob" else request.body.decode("utf-8", "replace")
                )
            elif request.body:
                out[name] = self._reader.value(member, self._reader.document(request.body))
        if inside and payload is None and request.body.strip():
            out |= self._reader.members(inside, self._reader.document(request.body))
        return out

    @staticmethod
    def _named(shape: StructureShape) -> set[str]:
        """The query's parameters that are members."""
        found = shape.members.items()
        return {
            member.serialization.get("name", name)
            for name, member in found
            if member.serialization.get("location") == "querystring" and member.type_name != "map"
        }

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
        response = self.response(operation.status, b"", request_id)
        if operation.output is None:
            return response
        payload = operation.output.serialization.get("payload")
        body: dict[str, Any] = {}
        has_body = False
        for name, member in operation.output.members.items():
            place, key = member.serialization.get("location"), member.serialization.get("name", name)
            has_body |= place is None and payload is None
            value = result.get(name)
            if value is None:
                continue
            if place == "statusCode":
                response.status = value
            elif place == "header":
                response.headers.append(
                    (key.lower().encode(), to_text(member, value, HTTP_DATE).encode("latin-1"))
                )
            elif name == payload:
                response.body = value if isinstance(value, bytes) else wire.encode(to_json(member, value))
            else:
                body[key] = to_json(member, value)
        if has_body:
            response.body = wire.encode(body)
        if response.status == 204:
            response.body = b""
        return response

    def error(self, fault: Fault, request_id: str) -> Response:
        response = self.response(self.status(fault), wire.encode(self.members(fault)), request_id)
        response.headers.append((b"x-amzn-errortype", fault.code.encode()))
        if fault.code == "UnknownOperationException":
            return Response(404, response.headers[1:], _UNKNOWN)
        shape = self.errors.get(fault.code)
        for name, member in shape.members.items() if shape else ():
            if member.serialization.get("location") == "header":
                value = fault.members.get(name, _RETRY_SECONDS)
                if value is not None:
                    response.headers.append(
                        (member.serialization["name"].lower().encode(), str(value).encode())
                    )
        return response


def _parts(path: str) -> list[str]:
    return path.strip("/").split("/")


def _unknown() -> Fault:
    return Fault("UnknownOperationException", None)
