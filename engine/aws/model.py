"""A rest-json service of AWS's, by botocore's model: which operation a request is for, and how to talk to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape, StructureShape

from . import parse, render, validate
from .faults import Fault

Headers = Sequence[tuple[str, str]]
Rendered = tuple[int, list[tuple[bytes, bytes]], bytes]


@dataclass(slots=True)
class Operation:
    """One operation of the model. fixed: query parameters that belong to its path."""

    name: str
    method: str
    path: str
    fixed: dict[str, str]
    input: StructureShape | None
    output: StructureShape | None
    status: int
    check: Callable[[dict[str, Any]], None] | None = None  # made when first needed


@dataclass(slots=True)
class _Node:
    """A place in the tree of paths."""

    literals: dict[str, _Node] = field(default_factory=dict)
    label: _Node | None = None
    rest: _Node | None = None  # of a greedy label, which takes all that is left of a path
    operations: dict[str, list[tuple[Operation, tuple[str, ...]]]] = field(default_factory=dict)  # by method


class Service:
    """The operations of one service."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._operations: dict[str, Operation] = {}
        self._root = _Node()
        for name in model.operation_names:
            described = model.operation_model(name)
            path, _, query = described.http["requestUri"].partition("?")
            fixed = dict(pair.split("=", 1) for pair in query.split("&") if pair)
            operation = Operation(
                name,
                described.http["method"],
                path,
                fixed,
                described.input_shape,
                described.output_shape,
                described.http.get("responseCode", 200),
            )
            self._operations[name] = operation
            self._place(operation)
        errors = {shape.name: shape for shape in model.error_shapes}
        self._errors: Mapping[str, Shape] = errors

    @classmethod
    def load(cls, name: str) -> Service:
        """The newest model that botocore has of a service."""
        return cls(ServiceModel(Loader().load_service_model(name, "service-2"), name))

    @property
    def names(self) -> list[str]:
        return list(self._operations)

    def operation(self, name: str) -> Operation:
        return self._operations[name]

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

    def match(self, method: str, raw_path: str, raw_query: str) -> tuple[Operation, dict[str, str]]:
        """The operation of a request, and its labels decoded. A slash at a path's end means nothing, as on AWS.

        Raises Fault: UnknownOperationException, for a path that is known by another method too.
        """
        values: list[str] = []
        node = self._root
        parts = _parts(raw_path)
        for n, part in enumerate(parts):
            found = node.literals.get(part)
            if found is None and part:
                found = node.label
                if found is not None:
                    values.append(unquote(part))
                elif node.rest is not None:
                    values.append(unquote("/".join(parts[n:])))
                    node = node.rest
                    break
            if found is None:
                raise _unknown()
            node = found
        for operation, labels in node.operations.get(method, ()):
            if all(f"{name}={value}" in raw_query.split("&") for name, value in operation.fixed.items()):
                return operation, dict(zip(labels, values, strict=True))
        raise _unknown()

    def parse(
        self, operation: Operation, labels: Mapping[str, str], raw_query: str, headers: Headers, body: bytes
    ) -> dict[str, Any]:
        """A request's members by their names in the model. Raises Fault: SerializationException."""
        if operation.input is None:
            return {}
        return parse.request(operation.input, labels, raw_query, headers, body)

    def validate(self, operation: Operation, request: dict[str, Any]) -> None:
        """Raises Fault: ValidationException, in AWS's words."""
        if operation.input is None:
            return
        if operation.check is None:
            operation.check = validate.compiled(operation.input)
        operation.check(request)

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Rendered:
        """A result as an HTTP response."""
        return render.response(operation.output, operation.status, result, request_id)

    def error(self, fault: Fault, request_id: str) -> Rendered:
        """A fault as an HTTP response."""
        return render.error(self._errors.get(fault.code), fault, request_id)


def _parts(path: str) -> list[str]:
    return path.strip("/").split("/")


def _unknown() -> Fault:
    return Fault("UnknownOperationException", None)
