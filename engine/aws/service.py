"""A service of the endpoint: how its requests are recognised, what they need, and how one is carried out.

A service that a botocore model describes is a ModelService: it has functions for the model's operations, and the model
does the rest in whichever protocol it names. Any other derives from Service itself.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .faults import Fault
from .messages import Request, Response
from .model import Model
from .names import Place
from .sessions import Session
from .traces import CURRENT

BODY_BYTES = 70_167_211  # AWS's limit of a request to its control planes: CreateFunction's


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: whose resources it is about, the access key that it names ("" for none), and the session that
    this is of, of those that the server made."""

    place: Place
    key: str = ""
    session: Session | None = None


class Access(Enum):
    """What a request needs, where the server asks for signatures at all."""

    SIGNED = "signed"
    OPEN = "open"


class Service:
    """What the registry knows of a service. A request is for the service whose `paths` or `hosts` match it; else for
    the one whose signing name, target prefix or endpoint host it carries; a request that carries none of these, for
    the one whose `unsigned_paths` match. The defaults: recognised by nothing, every request signed."""

    name: str = ""
    signing_name: str = (
        ""  # what signatures are scoped to, and the first label of AWS's endpoints; "" for none
    )
    target_prefixes: tuple[str, ...] = ()  # of X-Amz-Target
    paths: re.Pattern[str] | None = None  # "GET /path", whatever the request carries
    hosts: re.Pattern[str] | None = None
    unsigned_paths: re.Pattern[str] | None = None
    signed_for: str = ""  # what its signatures are scoped to, where that is not its own signing name
    body_bytes: int = BODY_BYTES  # a larger body is refused
    copies: int = 3  # of a body that are in memory at once: as it came, as text, decoded
    cross_site: bool = False  # web pages of other sites may call it: it has rules of its own for them

    def access(self, request: Request) -> Access:
        """What the request's operation needs. Its body is not there yet."""
        return Access.SIGNED

    async def call(self, request: Request, caller: Caller) -> Response:
        """Carry it out, on the event loop. Raises Fault."""
        raise NotImplementedError

    def upgrade(self, request: Request, enter: Callable[[], Caller]) -> asyncio.Protocol | None:
        """What the connection of a request that asks for `Upgrade: websocket` is handed to, with all that still comes;
        None: such requests are as any other. enter: lets the request in; raises Fault."""
        return None

    def drain(self) -> None:
        """The server is to end: who waits for something that may come has his response now."""

    def error(self, request: Request, fault: Fault) -> Response:
        """A fault in the form that the service's clients read."""
        raise NotImplementedError

    def too_large(self, request: Request) -> Response:
        """For a body of more than `body_bytes`; what was read of it is gone."""
        message = f"Request must be smaller than {self.body_bytes} bytes"
        if operation := self.operation(request):
            message += f" for the {operation} operation"
        return self.error(request, Fault("RequestEntityTooLargeException", message, Type="User"))

    def operation(self, request: Request) -> str:
        """The name of the operation that a request without its body is for, "" where that is not known."""
        return ""


def operations_of(owner: object, *others: str) -> dict[str, Callable[..., Any]]:
    """An object's public methods but `others`, by the operations that they are: create_alias is CreateAlias."""
    names = (name for name in vars(type(owner)) if not name.startswith("_") and name not in others)
    return {name.title().replace("_", ""): getattr(owner, name) for name in names}


# Members by their names in the model, and the caller; returns the result's members, or an awaitable of them.
Handler = Callable[[dict[str, Any], Caller], Any]


class ModelService(Service):
    """A service by botocore's model of it. `operations`: by the model's names; the rest are refused as not implemented.
    `open_operations`: those that need no signature."""

    open_operations: frozenset[str] = frozenset()

    def __init__(self, model: Model, operations: Mapping[str, Handler]) -> None:
        self.model = model
        self.operations = operations
        self.name = model.name
        self.signing_name = model.signing_name
        self.target_prefixes = model.target_prefixes

    def access(self, request: Request) -> Access:
        return Access.OPEN if self.operation(request) in self.open_operations else Access.SIGNED

    def model_of(self, request: Request) -> Model:
        """The model, as the request's protocol has it."""
        return self.model

    async def call(self, request: Request, caller: Caller) -> Response:
        model = self.model_of(request)
        operation, labels = model.match(request)
        handler = self.operations.get(operation.name)
        if handler is None:
            raise self.not_implemented(operation.name)
        members = model.parse(operation, labels, request)
        model.validate(operation, members)
        before = CURRENT.set(request.header("x-amzn-trace-id"))
        try:
            result = handler(members, caller)
            if inspect.isawaitable(result):
                result = await result
        finally:
            CURRENT.reset(before)
        return model.render(operation, result, str(uuid.uuid4()))

    def not_implemented(self, operation: str) -> Fault:
        return Fault(
            "NotImplementedException", f"{operation} is not implemented by this endpoint.", Type="User"
        )

    def error(self, request: Request, fault: Fault) -> Response:
        return self.model_of(request).error(fault, str(uuid.uuid4()))

    def operation(self, request: Request) -> str:
        try:
            return self.model_of(request).match(request)[0].name
        except Fault:
            return ""
