"""A service as botocore models it: its operations, and its protocol's way to read requests and write responses."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, StructureShape

from .faults import Fault
from .messages import Request, Response
from .protocols import protocol_of
from .protocols.base import Operation
from .validate import Validator, Wording

__all__ = ["Model", "Operation", "description", "service_model"]

_loader = Loader()  # one, since each looks through all services that botocore has, which takes 30 ms


def description(name: str) -> dict[str, Any]:
    """The newest that botocore has of a service, as it lies there; not to be changed in place."""
    found: dict[str, Any] = _loader.load_service_model(name, "service-2")
    return found


@functools.cache
def service_model(name: str) -> ServiceModel:
    """Of a service by botocore's name of it ("sqs"); one for all who ask."""
    return ServiceModel(description(name), name)


class Model:
    """The operations of one service. wording: its complaints, where they are not as the model has them; protocol: one
    of those that the model names."""

    def __init__(
        self, model: ServiceModel, wording: Wording | None = None, protocol: str | None = None
    ) -> None:
        self.service_model = model
        self.operations = {name: _operation(model, name) for name in model.operation_names}
        self._protocol = protocol_of(model, self.operations, protocol)
        self._validator = Validator(wording or Wording())

    @classmethod
    def load(cls, name: str, wording: Wording | None = None, protocol: str | None = None) -> Model:
        """The newest model that botocore has of a service."""
        return cls(service_model(name), wording, protocol)

    @property
    def names(self) -> list[str]:
        return list(self.operations)

    @property
    def name(self) -> str:
        return str(self.service_model.service_name)

    @property
    def signing_name(self) -> str:
        return str(self.service_model.signing_name)

    @property
    def target_prefixes(self) -> tuple[str, ...]:
        """Of X-Amz-Target: one in the JSON protocols, none in the others."""
        prefix = self.service_model.metadata.get("targetPrefix")
        return (prefix,) if prefix else ()

    @property
    def errors(self) -> dict[str, StructureShape]:
        """The error shapes by their names, which are the codes of faults."""
        return {shape.name: shape for shape in self.service_model.error_shapes}

    def operation(self, name: str) -> Operation:
        return self.operations[name]

    def match(self, request: Request) -> tuple[Operation, dict[str, str]]:
        """The operation of a request, and the labels that `parse` wants. Raises Fault when there is none."""
        return self._protocol.match(request)

    def parse(self, operation: Operation, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
        """A request's typed members by their names in the model. Raises Fault: SerializationException."""
        try:
            return self._protocol.parse(operation, labels, request)
        except RecursionError:
            raise Fault("SerializationException", None) from None

    def validate(self, operation: Operation, members: Mapping[str, Any]) -> None:
        """Raises Fault, in AWS's words, for members that break the model's rules."""
        if operation.input is not None:
            try:
                self._validator.check(operation.input, members)
            except RecursionError:
                raise Fault("SerializationException", None) from None

    def render(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> Response:
        """A result as an HTTP response."""
        return self._protocol.render(operation, result, request_id)

    def error(self, fault: Fault, request_id: str) -> Response:
        """A fault as an HTTP response."""
        return self._protocol.error(fault, request_id)


def _operation(model: ServiceModel, name: str) -> Operation:
    described = model.operation_model(name)
    path, _, query = described.http["requestUri"].partition("?")
    fixed = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    shapes = described.input_shape, described.output_shape
    return Operation(
        name, described.http["method"], path, fixed, *shapes, described.http.get("responseCode", 200)
    )
