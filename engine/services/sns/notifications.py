"""What a published message is, as it lies in the queue, and as each protocol shows it to its endpoint. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from ...aws.times import iso

NOTIFICATION, CONFIRMATION, UNSUBSCRIBED = (
    "Notification",
    "SubscriptionConfirmation",
    "UnsubscribeConfirmation",
)
# Messages are not signed: the text stands where AWS has a signature, so that whoever verifies one fails.
SIGNATURE = base64.b64encode(b"This endpoint does not sign its messages.").decode()
LINK = "/_stoker/sns"  # the path of links in messages, that whoever has one may follow
VERSION = "2010-03-31"  # of the API
_TEXTS = {
    CONFIRMATION: "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the "
    "SubscribeURL included in this message.",
    UNSUBSCRIBED: "You have chosen to deactivate subscription {}.\nTo cancel this operation and restore the "
    "subscription, visit the SubscribeURL included in this message.",
}  # fmt: skip


class Published(msgspec.Struct, array_like=True):
    """topic: its ARN; at: epoch seconds; attributes: type and value by name, binary ones in base64; structure: the
    text for each protocol, where it differs; group, deduplication, sequence: of a FIFO topic's, "" of others; token: of
    a confirmation."""

    id: str
    topic: str
    at: float
    text: str
    subject: str | None = None
    attributes: dict[str, tuple[str, str]] = {}
    structure: dict[str, str] = {}
    group: str = ""
    deduplication: str = ""
    sequence: str = ""
    kind: str = NOTIFICATION
    token: str = ""
    signature_version: str = "1"
    trace: str = ""  # X-Amzn-Trace-Id

    def body(self, protocol: str) -> str:
        return self.structure.get(protocol, self.text)


def confirmation(kind: str, topic: str, named: str, token: str, id: str, at: float) -> Published:
    """A message about a subscription. named: the ARN that its text has."""
    return Published(id, topic, at, _TEXTS[kind].format(named), kind=kind, token=token)


def link(base: str, action: str, **parameters: str) -> str:
    return f"{base}{LINK}?{urlencode({'Action': action, 'Version': VERSION, **parameters})}"


def document(message: Published, subscription: str, protocol: str, base: str) -> dict[str, Any]:
    """The JSON that queues and HTTP endpoints get. base: the server's URL."""
    found: dict[str, Any] = {"Type": message.kind, "MessageId": message.id}
    if message.sequence:
        found["SequenceNumber"] = message.sequence
    if message.token:
        found["Token"] = message.token
    found["TopicArn"] = message.topic
    if message.subject is not None:
        found["Subject"] = message.subject
    found["Message"] = message.body(protocol)
    if message.token:
        found["SubscribeURL"] = link(base, "ConfirmSubscription", TopicArn=message.topic, Token=message.token)
    found["Timestamp"] = iso(message.at)
    if not message.sequence:  # those of FIFO topics have none on AWS either
        found |= {
            "SignatureVersion": message.signature_version, "Signature": SIGNATURE,
            "SigningCertURL": _certificate(message.topic),
        }  # fmt: skip
    if message.kind == NOTIFICATION:
        found["UnsubscribeURL"] = link(base, "Unsubscribe", SubscriptionArn=subscription)
        if message.attributes:
            found["MessageAttributes"] = _attributes(message.attributes)
    return found


def envelope(message: Published, subscription: str, protocol: str, base: str) -> bytes:
    """The document as AWS prints it."""
    found = document(message, subscription, protocol, base)
    return json.dumps(found, indent=2, separators=(",", " : "), ensure_ascii=False).encode("utf-8", "replace")


def function_event(message: Published, subscription: str, base: str) -> bytes:
    """What a function gets."""
    record: dict[str, Any] = {
        "Type": NOTIFICATION, "MessageId": message.id, "TopicArn": message.topic, "Subject": message.subject,
        "Message": message.body("lambda"), "Timestamp": iso(message.at),
        "SignatureVersion": message.signature_version, "Signature": SIGNATURE,
        "SigningCertUrl": _certificate(message.topic),
        "UnsubscribeUrl": link(base, "Unsubscribe", SubscriptionArn=subscription),
        "MessageAttributes": _attributes(message.attributes),
    }  # fmt: skip
    event = {
        "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription, "Sns": record,
    }  # fmt: skip
    return msgspec.json.encode({"Records": [event]})


def _certificate(topic: str) -> str:
    return f"https://sns.{topic.split(':')[3]}.amazonaws.com/SimpleNotificationService-0000000000000000000000.pem"


def _attributes(attributes: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"Type": kind, "Value": value} for name, (kind, value) in attributes.items()}
