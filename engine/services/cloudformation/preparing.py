"""A request's template: fetched, transformed, checked, and put together with the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ...aws.clients import CallFailed, Clients
from ...aws.faults import Fault
from ...aws.names import Place
from ...deploy import dynamic, extensions, includes, parameters, rules, template
from ...deploy.changes import changes
from ...deploy.documents import BYTES, Missing, load
from ...deploy.intrinsics import UNKNOWN
from ...deploy.journal import Record, attribute_of
from ...deploy.kinds import KINDS
from ...deploy.kinds.base import NotMade
from ...deploy.program import Program, Stack, pseudo
from ...deploy.sam import Transform
from ...deploy.template import Template
from ...routing.targets import Message, Targets
from .artifacts import Artifacts
from .catalog import Catalog
from .responses import Responses

BODY = 51_200  # characters of a TemplateBody
TAGS = 50
NO_UPDATES = "No updates are to be performed."
_AGREED = {
    "CAPABILITY_IAM": {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"},
    "CAPABILITY_NAMED_IAM": {"CAPABILITY_NAMED_IAM"},
}


class ServerAws:
    """What resources are made by: the operations of this server, and of where others are passed on to."""

    def __init__(
        self, clients: Clients, artifacts: Artifacts, responses: Responses, targets: Targets, place: Place
    ) -> None:
        self._clients = clients
        self._artifacts = artifacts
        self._targets = targets
        self.response = responses.expected
        self.place = place
        self.emulated = clients.emulated

    async def call(self, service: str, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        return await self._clients.call(service, operation, members, self.place)

    async def send(self, arn: str, body: bytes, subject: str) -> None:
        await self._targets.send(Message(arn, body, subject=subject))

    def artifact(self, bucket: str, key: str) -> bytes | None:
        return self._artifacts.read(bucket, key)


@dataclass(frozen=True)
class Prepared:
    """A template with its values. record: what the stack's record says of it once it is deployed."""

    template: Template
    values: dict[str, str]
    record: dict[str, Any]


class Preparing:
    """Belongs to the event loop."""

    def __init__(
        self, catalog: Catalog, clients: Clients, artifacts: Artifacts, responses: Responses, targets: Targets
    ) -> None:
        self._catalog = catalog
        self._responses = responses
        self._targets = targets
        self._clients = clients
        self._artifacts = artifacts
        self._transform = Transform()

    async def aclose(self) -> None:
        await self._transform.aclose()

    def aws(self, place: Place) -> ServerAws:
        return ServerAws(self._clients, self._artifacts, self._responses, self._targets, place)

    async def text(self, members: Mapping[str, Any], record: Record | None, place: Place) -> str:
        """A request's template. Raises Fault."""
        body, url = members.get("TemplateBody"), members.get("TemplateURL")
        if (body and url) or not (body or url or members.get("UsePreviousTemplate")):
            raise Fault("ValidationError", "Either Template URL or Template Body must be specified.")
        if body:
            if len(body) > BODY:
                shown = f"{body[:100]}…"
                raise Fault(
                    "ValidationError",
                    f"1 validation error detected: Value '{shown}' at 'templateBody' failed to satisfy constraint: "
                    f"Member must have length less than or equal to {BODY}",
                )
            return str(body)
        if url:
            return await self._fetched(str(url), place)
        if record is None or "_body" not in record:
            raise Fault("ValidationError", "There is no previous template to use.")
        return str(record["_body"])

    async def template(
        self, document: dict[str, Any], values: Mapping[str, str], resolved: Mapping[str, str], place: Place
    ) -> Template:
        """Transformed and checked. values: of its parameters, and resolved: those with what SSM has. Raises Fault."""

        async def fetch(location: str) -> str:
            bucket, _, key = location.removeprefix("s3://").partition("/")
            return await self._object(bucket, key, place)

        document = await includes.fetched(document, fetch)
        if template.EXTENSIONS in template.transforms(document):
            document = extensions.expanded(document, resolved, pseudo(place))
        if template.SAM in template.transforms(document):
            try:
                document = await self._transform(document, values, place.region)
            except Missing as error:
                raise Fault("ValidationError", str(error)) from None
        found = template.of({name: each for name, each in document.items() if name != "Transform"})
        found.check()
        return found

    async def prepare(self, members: Mapping[str, Any], record: Record | None, place: Place) -> Prepared:
        """Raises Fault."""
        text = await self.text(members, record, place)
        document = document_of(text)
        looped = template.EXTENSIONS in template.transforms(document)
        declared = template.of(document, looped=looped).parameters
        given: dict[str, str | None] = {
            each["ParameterKey"]: None if each.get("UsePreviousValue") else each.get("ParameterValue", "")
            for each in members.get("Parameters") or ()
        }
        before = record or {}
        values = parameters.values(declared, given, before.get("_values") or {})
        resolved = await dynamic.parameters(declared, values, self.aws(place))
        rules.check(document, resolved, pseudo(place))
        if before.get("_body") == text and before.get("_resolved") == resolved and "_processed" in before:
            found = Template(before["_processed"])
        else:
            found = await self.template(document, values, resolved, place)
        program = Program(Stack(members["StackName"], "", place), found, resolved, lambda name: None)
        found.check_kinds(program.resources(program.scope(lambda name, attribute: UNKNOWN)), KINDS)
        agreed = set(members.get("Capabilities") or ())
        for needed in found.capabilities():
            if not agreed & _AGREED[needed]:
                raise Fault("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")
        tags = members.get("Tags")
        if tags is None:
            tags = before.get("Tags") or []
        if len(tags) > TAGS:
            raise Fault("ValidationError", f"Tags cannot be more than {TAGS}")
        fresh = {
            "_body": text, "_processed": found.document, "_values": values, "_resolved": resolved, "Tags": tags,
            "Parameters": parameters.shown(declared, values), "Capabilities": sorted(agreed),
            "Description": found.description, "RoleARN": members.get("RoleARN"),
            "NotificationARNs": members.get("NotificationARNs") or [],
        }  # fmt: skip
        return Prepared(found, resolved, fresh)

    def program(self, prepared: Prepared, record: Record, place: Place) -> Program:
        catalog, id = self._catalog, record["StackId"]

        def exported(name: str) -> Any:
            return next((value for each, value, _ in catalog.exports(place) if each == name), None)

        def exporters(name: str) -> list[str]:
            there = (each for each in catalog.exports(place) if each[0] == name)
            return [owner["StackName"] for _, _, owner in there if owner["StackId"] != id]

        def importers(name: str) -> list[str]:
            return [each for each in catalog.importers(place, name) if each != record["StackName"]]

        return Program(
            Stack(record["StackName"], id, place), prepared.template, prepared.values, exported, exporters, importers,
            notifications=prepared.record["NotificationARNs"],
        )  # fmt: skip

    def differences(self, prepared: Prepared, record: Record, place: Place) -> list[dict[str, Any]] | None:
        """As DescribeChangeSet shows them; None where there is nothing to do. Raises Fault."""
        records = self._catalog.resources(place, record)
        same = (
            record.get("_processed") == prepared.template.document
            and record.get("_resolved") == prepared.values
        )
        if same and record.get("Tags", []) == prepared.record["Tags"]:
            return None
        program = self.program(prepared, record, place)
        found = [each.shown() for each in changes(program, records)]
        if found:
            return found
        scope = program.scope(lambda name, attribute: attribute_of(records[name], attribute))
        outputs = program.outputs(scope) != (record.get("Outputs") or [])
        return [] if outputs or record.get("Tags", []) != prepared.record["Tags"] else None

    async def _fetched(self, url: str, place: Place) -> str:
        try:
            body = self._artifacts.of_url(url)
        except NotMade as error:
            raise Fault("ValidationError", f"S3 error: {error}") from None
        return _text(body) if body is not None else await self._object(*_object(url), place)

    async def _object(self, bucket: str, key: str, place: Place) -> str:
        """An object's text. Raises Fault."""
        try:
            body = self._artifacts.read(bucket, key)
            if body is None:
                found = await self._clients.call("s3", "GetObject", {"Bucket": bucket, "Key": key}, place)
                body = bytes(found["Body"])
        except (CallFailed, NotMade) as error:
            raise Fault("ValidationError", f"S3 error: {error}") from None
        return _text(body)


def _text(body: bytes) -> str:
    if len(body) > BYTES:
        raise Fault("ValidationError", f"Template may not exceed {BYTES} bytes in size.")
    return body.decode("utf-8", "replace")


def document_of(text: str) -> dict[str, Any]:
    """A template as it was sent. Raises Fault."""
    try:
        return load(text)
    except Missing as error:
        raise Fault("ValidationError", str(error)) from None


def _object(url: str) -> tuple[str, str]:
    """Bucket and key of an S3 URL, in either style. Raises Fault."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("http", "https") or not host or not path:
        raise Fault("ValidationError", "TemplateURL must be a supported URL.")
    bucket, dot, rest = host.partition(".")
    if dot and rest.startswith("s3") and not bucket.startswith("s3"):
        return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key
