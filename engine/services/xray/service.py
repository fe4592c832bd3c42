"""AWS X-Ray as a service of the endpoint: its operations, and those that are refused."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from functools import partial
from typing import Any

from ...aws.faults import Fault
from ...aws.model import Model
from ...aws.names import Place
from ...aws.service import Caller, Handler, ModelService, operations_of
from ...durable.changes import Changes
from ...durable.folder import StoreError
from ...durable.state import States
from .documents import Unprocessed, read
from .faults import invalid, not_here
from .keeper import Keeper
from .reading import Reading
from .sampling import Sampling

SEGMENTS = 50  # of one PutTraceSegments: what AWS's daemon sends
_WHAT = (
    ("Insight", "Insights are"), ("Group", "Groups of your own are"), ("ResourcePolic", "Resource policies are"),
    ("Encryption", "Encryption by a key is"), ("Retriev", "Transaction Search is"), ("Indexing", "Indexing rules are"),
    ("SegmentDestination", "Other destinations of segments are"), ("Tag", "Tags are"),
)  # fmt: skip
Members = dict[str, Any]


class XRay(ModelService):
    """Every region and account's. Belongs to one event loop; call `start` in it, and `close`."""

    # SDKs ask the daemon without a signature.
    unsigned_paths = re.compile(
        r"/(?:TraceSegments|TelemetryRecords|TraceSummaries|Traces|TraceGraph|ServiceGraph|SamplingTargets|"
        r"(?:Get|Create|Update|Delete)SamplingRules?)/?\Z"
    )

    def __init__(self, keeper: Keeper, states: States, default: Place) -> None:
        """default: the place of what came without one."""
        self._keeper = keeper
        self._changes = Changes("xray")
        model = Model.load("xray")
        operations: dict[str, Handler] = {
            "PutTraceSegments": self._put, "PutTelemetryRecords": lambda members, caller: {},
            "GetGroups": _groups, "GetGroup": _group, "GetEncryptionConfig": _encryption,
        }  # fmt: skip
        for owner in (Reading(keeper, default), Sampling(states, self._changes)):
            operations |= operations_of(owner)
        super().__init__(model, {**operations, **_refused(model.names, operations)})

    def start(self) -> None:
        self._keeper.start()

    def close(self) -> None:
        self._changes.close()

    async def _put(self, members: Members, caller: Caller) -> Members:
        texts = members["TraceSegmentDocuments"]
        if len(texts) > SEGMENTS:
            raise invalid(f"TraceSegmentDocuments: there may be {SEGMENTS} at most.")
        taken, unprocessed = [], []
        for text in texts:
            try:
                taken.append(read(text))
            except Unprocessed as error:
                unprocessed.append(error.members)
        if taken:
            try:
                await self._keeper.put(caller.place, taken)
            except StoreError as error:
                raise Fault("ServiceException", f"The segments could not be stored: {error}") from error
        return {"UnprocessedTraceSegments": unprocessed}


def _default_group(place: Place) -> Members:
    return {
        "GroupName": "Default", "GroupARN": f"arn:aws:xray:{place.region}:{place.account}:group/Default",
        "InsightsConfiguration": {"InsightsEnabled": False, "NotificationsEnabled": False},
    }  # fmt: skip


def _groups(members: Members, caller: Caller) -> Members:
    return {"Groups": [_default_group(caller.place)]}


def _group(members: Members, caller: Caller) -> Members:
    found = _default_group(caller.place)
    if members.get("GroupName") == "Default" or members.get("GroupARN") == found["GroupARN"]:
        return {"Group": found}
    raise invalid("The group does not exist.")


def _encryption(members: Members, caller: Caller) -> Members:
    return {"EncryptionConfig": {"Status": "ACTIVE", "Type": "NONE"}}


def _refused(names: Iterable[str], found: Container[str]) -> dict[str, Handler]:
    """Those of the model's operations that `found` has not."""
    return {name: partial(_refuse, name) for name in names if name not in found}


def _refuse(name: str, _members: Members, _caller: Caller) -> Any:
    raise not_here(next((text for part, text in _WHAT if part in name), f"{name} is"))
