"""A trace as what is asked of it sees it: its segments, who called whom, and its summary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ... import wire
from .documents import Document, end_of, parts, tree

_EXCEPTIONS = 5  # of a root cause


class Service(NamedTuple):
    """A node of the graph."""

    name: str
    kind: str  # "AWS::Lambda::Function", or "remote"; "" where its segment says none
    account: str = ""

    @property
    def members(self) -> dict[str, Any]:
        found = {"Name": self.name, "Names": [self.name]}
        return {
            **found,
            **({"AccountId": self.account} if self.account else {}),
            **({"Type": self.kind} if self.kind else {}),
        }


class Segment:
    """One segment, or what a subsegment says of a service that sent none: then it is inferred. above: the segment that
    called it."""

    __slots__ = ("above", "document", "inferred", "service")

    def __init__(self, document: Document, above: Segment | None, inferred: bool = False) -> None:
        self.document = document
        self.above = above
        self.inferred = inferred
        account = str((document.get("aws") or {}).get("account_id") or "")
        kind = str(document.get("origin") or "")
        if inferred:
            aws = document.get("namespace") == "aws"
            kind = f"AWS::{document['name']}" if aws else "remote"
        self.service = Service(document["name"], kind, account)

    @property
    def start(self) -> float:
        return float(self.document["start_time"])

    @property
    def end(self) -> float:
        return end_of(self.document)

    @property
    def duration(self) -> float:
        return max(0.0, self.end - self.start)

    def entities(self) -> Iterator[Document]:
        """It and its subsegments."""
        yield self.document
        if not self.inferred:
            yield from parts(self.document)

    def has(self, flag: str) -> bool:
        return any(each.get(flag) for each in self.entities())


class Trace:
    """Its documents as they are on the disk."""

    def __init__(self, id: str, found: Iterable[bytes]) -> None:
        self.id = id
        self.documents = tree(wire.decode(each) for each in found)

    @cached_property
    def segments(self) -> list[Segment]:
        """In order of time."""
        owners: dict[str, Segment] = {}
        made = []
        for document in self.documents:
            segment = Segment(document, None)
            made.append(segment)
            owners[document["id"]] = segment
            for part in parts(document):
                owners.setdefault(part["id"], segment)
        called = set()
        for segment in made:
            parent = segment.document.get("parent_id") or ""
            above = owners.get(parent)
            if above is not segment:
                segment.above = above
            called.add(parent)
        inferred = [
            Segment(part, segment, True)
            for segment in made
            for part in parts(segment.document)
            if part.get("namespace") in ("aws", "remote") and part["id"] not in called
        ]
        return sorted([*made, *inferred], key=lambda each: each.start)

    @property
    def root(self) -> Segment:
        """That which no other called, and began first."""
        return next((each for each in self.segments if each.above is None), self.segments[0])

    @property
    def start(self) -> float:
        return min(each.start for each in self.segments)

    @property
    def end(self) -> float:
        return max(each.end for each in self.segments)

    @property
    def duration(self) -> float:
        return self.end - self.start

    def summary(self) -> dict[str, Any]:
        segments, root = self.segments, self.root
        documents = [each for segment in segments for each in segment.entities()]
        services = list(dict.fromkeys(each.service for each in segments))
        return {
            "Id": self.id, "StartTime": self.start, "Duration": round(self.duration, 3),
            "ResponseTime": round(root.duration, 3), "HasFault": any(each.has("fault") for each in segments),
            "HasError": any(each.has("error") for each in segments),
            "HasThrottle": any(each.has("throttle") for each in segments),
            "IsPartial": any(each.get("in_progress") for each in documents), "Http": http_of(segments),
            "Annotations": _annotations(segments), "Users": _users(segments),
            "ServiceIds": [each.members for each in services],
            "ResourceARNs": [{"ARN": each} for each in _named(segments, "resource_arn")],
            "InstanceIds": [{"Id": each} for each in _named(segments, "aws", "ec2", "instance_id")],
            "AvailabilityZones": [{"Name": each} for each in _named(segments, "aws", "ec2", "availability_zone")],
            "EntryPoint": root.service.members,
            "FaultRootCauses": _causes(segments, "fault"), "ErrorRootCauses": _causes(segments, "error"),
            "ResponseTimeRootCauses": [], "Revision": 0, "MatchedEventTime": self.start,
        }  # fmt: skip


def http_of(segments: Sequence[Segment]) -> dict[str, Any]:
    """Of the first segment that says something."""
    for segment in segments:
        http = segment.document.get("http") or {}
        asked, replied = _object(http.get("request")), _object(http.get("response"))
        found = {
            "HttpURL": asked.get("url"), "HttpMethod": asked.get("method"), "UserAgent": asked.get("user_agent"),
            "ClientIp": asked.get("client_ip"), "HttpStatus": _whole(replied.get("status")),
        }  # fmt: skip
        if any(value is not None for value in found.values()):
            return {
                name: str(value) if name != "HttpStatus" else value
                for name, value in found.items()
                if value is not None
            }
    return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def exceptions_of(document: Document) -> list[dict[str, Any]]:
    """Those of its cause."""
    found = _object(document.get("cause")).get("exceptions")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _named(segments: Iterable[Segment], *path: str) -> list[str]:
    found: dict[str, None] = {}
    for segment in segments:
        value: Any = segment.document
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            found[value] = None
    return list(found)


def _annotations(segments: Iterable[Segment]) -> dict[str, list[dict[str, Any]]]:
    values: dict[str, dict[Any, dict[Service, None]]] = {}
    for segment in segments:
        for each in segment.entities():
            for name, value in (each.get("annotations") or {}).items():
                if isinstance(value, bool | int | float | str):
                    key = type(value) is bool, value
                    values.setdefault(name, {}).setdefault(key, {})[segment.service] = None
    return {
        name: [
            {"AnnotationValue": _annotation(*key), "ServiceIds": [each.members for each in services]}
            for key, services in found.items()
        ]
        for name, found in values.items()
    }


def _annotation(boolean: bool, value: Any) -> dict[str, Any]:
    member = "BooleanValue" if boolean else "StringValue" if isinstance(value, str) else "NumberValue"
    return {member: value}


def _users(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    found: dict[str, dict[Service, None]] = {}
    for segment in segments:
        user = segment.document.get("user")
        if isinstance(user, str):
            found.setdefault(user, {})[segment.service] = None
    return [
        {"UserName": name, "ServiceIds": [each.members for each in services]}
        for name, services in found.items()
    ]


def _causes(segments: Sequence[Segment], flag: str) -> list[dict[str, Any]]:
    """The deepest services that failed, each with the way to it."""
    failed = [each for each in segments if each.has(flag)]
    above = {id(each.above) for each in failed}
    found = []
    for segment in failed:
        if id(segment) in above:
            continue
        way: list[Segment] = []
        at: Segment | None = segment
        while at is not None and at not in way:
            way.insert(0, at)
            at = at.above
        services = [
            {**each.service.members, "Inferred": each.inferred, "EntityPath": [_entity(each, flag)]}
            for each in way
        ]
        found.append({"Services": services, "ClientImpacting": way[0].has(flag)})
    return found


def _entity(segment: Segment, flag: str) -> dict[str, Any]:
    found = [one for each in segment.entities() if each.get(flag) for one in exceptions_of(each)]
    shown = [{"Name": str(one.get("type") or ""), "Message": str(one.get("message") or "")} for one in found]
    return {"Name": segment.document["name"], "Exceptions": shown[:_EXCEPTIONS], "Remote": segment.inferred}
