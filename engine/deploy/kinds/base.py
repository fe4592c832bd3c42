"""What a type of resources is: how one is made, changed and deleted by its service's operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from ...aws.clients import CallFailed
from ...aws.names import Place
from ...errors import EngineError
from ..shaping import known, shaped, text

GONE = {
    "404", "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "NoSuchEntity", "NoSuchEntityException",
    "NotFound", "NotFoundException", "ParameterNotFound", "QueueDoesNotExist", "ResourceNotFound",
    "ResourceNotFoundException", "RepositoryNotFoundException", "StateMachineDoesNotExist", "UserPoolNotFound",
}  # fmt: skip
NOT_SERVED = "EndpointNotFound"  # no such service here, and none that requests are passed on to
_FIRST_PAUSE, _LAST_PAUSE = (
    0.001,
    0.02,
)  # seconds between two looks at what is not ready yet: each twice the one before


class NotMade(EngineError):
    """A resource could not be made, changed or deleted; the message is what its event says. id: of what may be there
    all the same."""

    def __init__(self, message: str, *, id: str = "") -> None:
        super().__init__(message)
        self.id = id


class Awaited(Protocol):
    """A response that somebody else is to send."""

    url: str  # where to

    async def within(self, seconds: float) -> dict[str, Any]:
        """It, once it is there. Raises TimeoutError."""


class Aws(Protocol):
    """Calls operations in the stack's place. emulated: services that are not here are not AWS's either."""

    place: Place
    emulated: bool

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """The result's members. service: botocore's name of it. Raises CallFailed."""

    def artifact(self, bucket: str, key: str) -> bytes | None:
        """Code that was uploaded here, None for any other bucket. Raises NotMade."""

    async def send(self, arn: str, body: bytes, subject: str) -> None:
        """To a function, asynchronously, or to a topic. Raises CallFailed."""

    def response(self, id: str) -> AbstractAsyncContextManager[Awaited]:
        """One that is to come for this id, which nobody can guess."""


@dataclass(frozen=True)
class Wanted:
    """A resource as it is to be. name: what it is called, its template's name for it or a generated one."""

    logical: str
    stack: str
    stack_id: str
    name: str
    properties: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        return self.properties.get(name, default)

    def without(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self.properties.items() if name not in names}


@dataclass
class Made:
    """A resource as it is. id: what Ref gives. note: what its event says. logical, stack_id: whose it is, of one that a
    stack has already."""

    id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    logical: str = ""
    stack_id: str = ""


class Kind:
    """One type. The defaults fit a resource that is called by one of its properties and that has one operation each
    for making, changing and deleting it."""

    type: str = ""
    service: str = ""
    name: str = ""  # the property that has its name; "" if a service gives it an id
    longest: int = 64  # characters of a generated name
    fixed: frozenset[str] = frozenset()  # properties that need another resource when they change
    renames: ClassVar[bool] = False  # an update may end in another resource
    # An operation that finds one of its name, and the member that the physical id goes into.
    probe: tuple[str, str] = ("", "")

    def call_it(self, name: str, aws: Aws) -> str:
        """The physical id of one that will be called so."""
        return name

    def replaced_by(self, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        """Does the change need another resource? Always, of a type that cannot be changed."""
        if type(self).update is Kind.update:
            return True
        names = set(self.fixed) | ({self.name} if self.name else set())
        return any(before.get(name) != wanted.get(name) for name in names)

    def probed(self, aws: Aws, wanted: Wanted) -> dict[str, Any]:
        """The members of the probe's request."""
        return {self.probe[1]: self.call_it(wanted.name, aws)}

    async def exists(self, aws: Aws, wanted: Wanted) -> bool:
        """Is there one of that name, which is not this stack's?"""
        operation, _ = self.probe
        if not operation:
            return False
        try:
            await aws.call(self.service, operation, self.probed(aws, wanted))
        except CallFailed as error:
            if error.code in GONE:
                return False
            raise
        return True

    async def lost(self, aws: Aws, wanted: Wanted) -> str:
        """The id of one that was made but never heard of: the server ended before its response. "" for none."""
        return ""

    async def create(self, aws: Aws, wanted: Wanted) -> Made:
        raise NotImplementedError

    async def update(self, aws: Aws, wanted: Wanted, before: Made) -> Made:
        raise NotImplementedError

    async def delete(self, aws: Aws, before: Made) -> None:
        raise NotImplementedError


async def send(aws: Aws, service: str, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """An operation, with properties as its members. Raises CallFailed, Unsupported."""
    return await aws.call(service, operation, shaped(service, operation, properties))


async def send_known(aws: Aws, service: str, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The same, of those properties that the operation has."""
    return await send(aws, service, operation, known(service, operation, properties))


def tags(properties: Mapping[str, Any]) -> dict[str, str]:
    """A list of Key and Value, or an object, as an object."""
    given = properties.get("Tags") or {}
    if isinstance(given, list):
        return {str(each["Key"]): text(each.get("Value", "")) for each in given}
    return {str(key): text(value) for key, value in given.items()}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


async def retag(
    before: Mapping[str, Any], wanted: Mapping[str, Any],
    put: Callable[[dict[str, str]], Awaitable[Any]], drop: Callable[[list[str]], Awaitable[Any]],
) -> None:  # fmt: skip
    """Change a resource's tags from the one properties' to the other's."""
    old, new = tags(before), tags(wanted)
    if gone := sorted(set(old) - set(new)):
        await drop(gone)
    if fresh := {key: value for key, value in new.items() if old.get(key) != value}:
        await put(fresh)


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    pause = _FIRST_PAUSE
    while not await ready():
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)


def with_defaults(
    wanted: Mapping[str, Any], before: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """What to send to change one: what is wanted, and the default of what no longer is."""
    return {name: value for name, value in defaults.items() if name in before} | dict(wanted)
