"""A bucket's NotificationConfiguration: read, checked as AWS checks it, written, and what of it an event matches."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from ...aws.model import service_model
from ...aws.names import Place
from .faults import invalid, malformed

CONFIGURATIONS = 100  # of a bucket
VALUE_BYTES = 1024  # of a filter rule's
ID_CHARACTERS = 255
# By the list that a configuration stands in, its member that names the destination, and that one's form.
KINDS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>[a-z]+):(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>.+)", re.ASCII
)
_SERVICES = {"TopicArn": "sns", "QueueArn": "sqs", "LambdaFunctionArn": "lambda"}
DESTINATIONS = "Unable to validate the following destination configurations"
Members = dict[str, Any]


class Configuration(NamedTuple):
    """One destination's."""

    id: str
    argument: str  # the member that names the destination
    arn: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def takes(self, event: str, key: str | None) -> bool:
        """event: "ObjectCreated:Put"; key: None where it is not known yet."""
        event = f"s3:{event}"
        if event not in self.events and f"{event.rpartition(':')[0]}:*" not in self.events:
            return False
        return key is None or (key.startswith(self.prefix) and key.endswith(self.suffix))


def parsed(body: bytes) -> Members:
    """A request's body. Raises Fault."""
    try:
        found: Members = create_parser("rest-xml").parse(
            {"status_code": 200, "headers": {}, "body": body},
            _model("GetBucketNotificationConfiguration").output_shape,
        )
    except Exception as error:  # whatever botocore's parser trips over
        raise malformed() from error
    found.pop("ResponseMetadata", None)
    if b"<EventBridgeConfiguration" in body:  # it has no members: the parser leaves it out
        found["EventBridgeConfiguration"] = {}
    return found


def rendered(members: Mapping[str, Any]) -> bytes:
    written = create_serializer("rest-xml").serialize_to_request(
        {"Bucket": "bucket", "NotificationConfiguration": dict(members)},
        _model("PutBucketNotificationConfiguration"),
    )
    body: bytes = written["body"]
    return body


def checked(members: Members, place: Place) -> Members:
    """The configuration with ids, and its rules' names as AWS writes them. place: the bucket's. Raises Fault."""
    kept: Members = {}
    for kind, argument in KINDS.items():
        found = [_checked(each, argument, place) for each in members.get(kind, ())]
        if found:
            kept[kind] = found
    if "EventBridgeConfiguration" in members:
        kept["EventBridgeConfiguration"] = {}
    each = list(configurations(kept))
    if len(each) > CONFIGURATIONS:
        text = f"The notification configuration has more than {CONFIGURATIONS} configurations"
        raise invalid(text, "NotificationConfiguration", str(len(each)))
    ids = [one.id for one in each]
    for id in ids:
        if ids.count(id) > 1:
            raise invalid("Same ID used for multiple configurations. IDs must be unique", "Id", id)
    for one, other in itertools.combinations(each, 2):
        _check_overlap(one, other)
    return kept


def configurations(members: Mapping[str, Any]) -> Iterator[Configuration]:
    for kind, argument in KINDS.items():
        for each in members.get(kind, ()):
            rules = {rule["Name"]: rule["Value"] for rule in _rules(each)}
            prefix, suffix = rules.get("Prefix", ""), rules.get("Suffix", "")
            yield Configuration(each["Id"], argument, each[argument], tuple(each["Events"]), prefix, suffix)


def _checked(each: Members, argument: str, place: Place) -> Members:
    arn = each.get(argument) or ""
    found = _ARN.fullmatch(arn)
    if found is None or found["service"] != _SERVICES[argument]:
        raise invalid("The ARN could not be parsed", argument, arn)
    if found["region"] != place.region:
        text = "The notification destination service region is not valid for the bucket location constraint"
        raise invalid(text, argument, arn)
    if found["name"].endswith(".fifo"):
        raise invalid(DESTINATIONS, arn, "FIFO queues and topics are no destinations")
    id = each.get("Id") or str(uuid.uuid4())
    if len(id) > ID_CHARACTERS:
        raise invalid(f"The ID is longer than {ID_CHARACTERS} characters", "Id", id)
    if not each.get("Events"):
        raise malformed()
    events = service_model("s3").shape_for("Event").enum
    for event in each["Events"]:
        if event not in events:
            raise invalid("A specified event is not supported for notifications", "Event", event)
    kept = {"Id": id, argument: arn, "Events": each["Events"]}
    rules = [_checked_rule(rule) for rule in _rules(each)]
    for name in ("Prefix", "Suffix"):
        if sum(rule["Name"] == name for rule in rules) > 1:
            text = f"Cannot specify more than one {name.lower()} rule in a filter."
            raise invalid(text, "FilterRule.Name", name)
    return {**kept, "Filter": {"Key": {"FilterRules": rules}}} if rules else kept


def _checked_rule(rule: Members) -> Members:
    name, value = str(rule.get("Name") or ""), str(rule.get("Value") or "")
    if name.lower() not in ("prefix", "suffix"):
        raise invalid("filter rule name must be either prefix or suffix", name, value)
    if not value:
        raise invalid("filter value cannot be empty", name.capitalize(), value)
    if len(value.encode()) > VALUE_BYTES:
        text = f"Size of filter rule value cannot exceed {VALUE_BYTES} bytes in UTF-8 representation"
        raise invalid(text, name.capitalize(), value)
    return {"Name": name.capitalize(), "Value": value}


def _check_overlap(one: Configuration, other: Configuration) -> None:
    """Raises Fault for two that one event could match both."""
    shared = [(a, b) for a in one.events for b in other.events if _same_event(a, b)]
    a, b = one, other
    prefixes = a.prefix.startswith(b.prefix) or b.prefix.startswith(a.prefix)
    suffixes = a.suffix.endswith(b.suffix) or b.suffix.endswith(a.suffix)
    if not shared or not prefixes or not suffixes:
        return
    text = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
    if a.prefix or a.suffix or b.prefix or b.suffix:
        text = (
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
            "overlapping for the same event type."
        )
    raise invalid(text, "Event", ", ".join(shared[0]))


def _same_event(one: str, other: str) -> bool:
    if one == other:
        return True
    either = {one.rpartition(":")[2], other.rpartition(":")[2]}
    return "*" in either and one.rpartition(":")[0] == other.rpartition(":")[0]


def _rules(each: Mapping[str, Any]) -> list[Members]:
    found: list[Members] = ((each.get("Filter") or {}).get("Key") or {}).get("FilterRules") or []
    return found


def _model(operation: str) -> OperationModel:
    return service_model("s3").operation_model(operation)
