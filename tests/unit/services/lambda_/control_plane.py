"""A control plane in a folder: operations called as the server calls them, each response checked against the model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from engine.aws.faults import Fault
from engine.aws.model import Model
from engine.aws.names import Place
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store
from engine.hosting.collection import Collection
from engine.hosting.packages import Packages
from engine.services.lambda_ import catalog
from engine.services.lambda_.code import NotUnpacked
from engine.services.lambda_.records import KINDS
from engine.services.lambda_.wording import WORDING

REGION, ACCOUNT = "eu-west-1", "111111111111"
PLACE = Place(REGION, ACCOUNT)
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda-role"
RUNTIME = "python3.11"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str, "blob": bytes, "boolean": bool, "integer": int, "long": int, "double": (int, float),
    "float": (int, float), "timestamp": (str, int, float),
}  # fmt: skip


@cache
def service() -> Model:
    return Model.load("lambda", WORDING)


def archive(
    source: str = "def handler(event, context):\n    return event\n", name: str = "index.py"
) -> bytes:
    """A zip of one file; the same source makes the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source)
    return out.getvalue()


class Plane:
    """The operations over real state; `clock` is epoch seconds, moved by hand."""

    def __init__(
        self,
        folder: Path,
        fetch: Callable[[str, str, str | None], bytes] | None = None,
        place: Place = PLACE,
    ) -> None:
        self.folder = folder
        self.clock = 1_764_000_000.0
        self.numbers = 0
        self.store = Store(folder, [Records(place.partition)])
        states = States(self.store)
        self.state = states.of(place.partition)
        self.packages = Packages(folder / "code")
        Collection(states, self.packages, lambda run, *args: run(*args))
        self.control = catalog.Control(
            state=self.state,
            place=place,
            packages=self.packages,
            runtimes=(RUNTIME,),
            fetch=fetch,
            base_url=lambda: "http://127.0.0.1:9001",
            now=lambda: self.clock,
            new_id=self._id,
        )
        self.operations, self.settle = catalog.assemble(self.control)
        self.settle()

    def _id(self) -> str:
        self.numbers += 1
        return f"00000000-0000-4000-8000-{self.numbers:012d}"

    def close(self) -> None:
        self.packages.close()
        self.store.close()

    def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """The operation's response, before anything that it left pending moves on."""
        described = service().operation(operation)
        service().validate(described, request)
        try:
            response = self.operations[operation](request)
        except NotUnpacked as error:
            upload = error.upload
            package = upload.make()
            try:
                response = self.operations[operation](upload.with_package(package))
            finally:
                self.packages.release((package.digest,))
        if described.output is None:
            assert response == {}
        else:
            fits(described.output, response, operation)
        return response

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """`ask`, and then what the server does after each operation."""
        try:
            return self.ask(operation, **request)
        finally:
            self.settle()

    def refused(self, operation: str, **request: Any) -> tuple[str, str | None]:
        """The code and message of the fault that it raises; nothing may have changed."""
        before = dict(self._everything())
        try:
            self.ask(operation, **request)
        except Fault as fault:
            assert dict(self._everything()) == before
            return fault.code, fault.message
        raise AssertionError(f"{operation} was not refused")

    def _everything(self) -> dict[tuple[str, str], Any]:
        return {
            (table, owner): self.state.owned(table, owner)
            for table in KINDS
            for owner in self.state.owners(table)
        }

    def create(self, name: str = "f", **more: Any) -> dict[str, Any]:
        return self.call("CreateFunction", **function(name, **more))


def function(name: str = "f", **more: Any) -> dict[str, Any]:
    """A CreateFunction request."""
    return {
        "FunctionName": name,
        "Runtime": RUNTIME,
        "Role": ROLE,
        "Handler": "index.handler",
        "Code": {"ZipFile": archive()},
        **more,
    }


def fits(shape: Shape, value: Any, where: str) -> None:
    """Every member is one of the model's, and of its type."""
    if isinstance(shape, StructureShape):
        assert isinstance(value, dict), where
        assert value.keys() <= shape.members.keys(), f"{where}: {value.keys() - shape.members.keys()}"
        for name, member in value.items():
            assert member is not None, f"{where}.{name}"
            fits(shape.members[name], member, f"{where}.{name}")
    elif isinstance(shape, ListShape):
        assert isinstance(value, list | tuple), where
        for each in value:
            fits(shape.member, each, f"{where}[]")
    elif isinstance(shape, MapShape):
        assert isinstance(value, dict), where
        for key, each in value.items():
            fits(shape.key, key, f"{where} key")
            fits(shape.value, each, f"{where}.{key}")
    else:
        assert isinstance(value, _KINDS[shape.type_name]), f"{where}: {value!r}"


def invalid(message: str) -> tuple[str, str]:
    return "InvalidParameterValueException", message


def not_found(message: str) -> tuple[str, str]:
    return "ResourceNotFoundException", message


def conflict(message: str) -> tuple[str, str]:
    return "ResourceConflictException", message


STALE = (
    "PreconditionFailedException",
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
)
CREATING = {
    "State": "Pending",
    "StateReason": "The function is being created.",
    "StateReasonCode": "Creating",
}
UPDATING = {
    "State": "Active",
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}
DONE = {"State": "Active", "LastUpdateStatus": "Successful"}
PASSING = {*CREATING, *UPDATING}


def settled(response: dict[str, Any]) -> dict[str, Any]:
    """An response without what passes."""
    return {name: value for name, value in response.items() if name not in PASSING | {"RevisionId"}}
