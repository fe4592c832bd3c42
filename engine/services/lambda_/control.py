"""What every operation of the control plane works with, and what each family of operations is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...aws.names import Place
from ...aws.service import operations_of
from ...durable.state import Record, State
from ...hosting.packages import Packages
from .records import discard

# Members by their names in the service's model.
Request = dict[str, Any]
Response = dict[str, Any]
Operation = Callable[[Request], Response]  # raises Fault


class Sources(Protocol):
    """What polls for event source mappings, asked in the control thread."""

    def check(self, kind: str, source: str, timeout: int) -> None:
        """Raises Fault for a source that AWS would refuse for a function with this timeout, in seconds."""

    def check_own(self, kind: str, source: Mapping[str, Any], arn: str) -> None:
        """Raises Fault for a source that AWS has not, if it is known not to be there."""

    def reached(self, record: Record) -> bool:
        """Does it do what this record of a mapping says?"""

    def progress(self, record: Record) -> Mapping[str, Any]:
        """A mapping's members that change by themselves."""


@dataclass(frozen=True, slots=True)
class Control:
    """One region's and account's records, and the means that operations on them need.

    runtimes: what this server can run. fetch: S3's (bucket, key, version) to bytes, None without an S3.
    base_url: of this server; function_url: of a function URL's id. warmed: how many workers a (name, qualifier) has,
    None if it cannot be initialised; as many as requested, without it. exists: is there what an ARN names, as far as
    that can be asked? sources: None: mappings are kept, and nothing polls. vpc_of: the VPC of these subnets, "" where
    there is no EC2 to be asked. warn: tells who runs the server. now: epoch seconds."""

    state: State
    place: Place
    packages: Packages
    runtimes: tuple[str, ...]
    fetch: Callable[[str, str, str | None], bytes] | None = None
    base_url: Callable[[], str] = lambda: "http://127.0.0.1"
    function_url: Callable[[str], str] = lambda url_id: f"http://127.0.0.1/lambda-url/{url_id}/"
    warmed: Callable[[str, str], int | None] | None = None
    exists: Callable[[str], bool] = lambda arn: True
    sources: Sources | None = None
    vpc_of: Callable[[list[str]], str] = lambda subnets: ""
    warn: Callable[[str], None] = lambda text: None
    now: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())


class Operations:
    """A family of operations on one region's and account's records: its public methods, by their names."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.state = control.state
        self.place = control.place

    def operations(self) -> dict[str, Operation]:
        """By name."""
        return operations_of(self, "settle")

    def put(self, table: str, owner: str, id: str, record: Record) -> None:
        """Keep one record: a change of its own."""
        with self.state.change() as change:
            change.put(table, owner, id, record)

    def discard(self, table: str, owner: str, id: str = "") -> None:
        """Delete one record, if it is there: a change of its own."""
        with self.state.change() as change:
            discard(self.state, change, table, owner, id)

    def by_owner(self, table: str) -> dict[str, Record]:
        """The records of a table that has one for each owner."""
        return {
            owner: record for owner in self.state.owners(table) if (record := self.state.get(table, owner))
        }

    def settle(self) -> None:
        """Moves on what the operations left pending; most leave nothing."""
