"""AWS STS over its query protocol, as far as one needs it to ask who one is: GetCallerIdentity.

Every caller is the account's root: there are no users here. Nothing hands out credentials, since nothing would honour
them; those operations are refused, unless the server passes them on to another endpoint (see `answers`).
"""

from __future__ import annotations

from urllib.parse import parse_qs
from uuid import uuid4
from xml.sax.saxutils import escape

from botocore.loaders import Loader

VERSION = "2011-06-15"
NAMESPACE = f"https://sts.amazonaws.com/doc/{VERSION}/"
Response = tuple[int, list[tuple[str, str]], bytes]


class Sts:
    """STS of the account whose number is given (12 digits)."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._known = frozenset(Loader().load_service_model("sts", "service-2")["operations"])

    def answers(self, body: bytes, raw_query: str = "") -> bool:
        """Whether the request is for an operation that is answered here, rather than refused."""
        return _action(body, raw_query)[0] == "GetCallerIdentity"

    def call(self, body: bytes, raw_query: str = "") -> Response:
        """Status, headers and XML for a request: its parameters are in the body, or in the query of a GET."""
        request_id = str(uuid4())
        action, version = _action(body, raw_query)
        if action and version != VERSION:
            told = f"Could not find operation {action} for version {version or 'NO_VERSION_SPECIFIED'}"
            return _error(400, "InvalidAction", told, request_id)
        if action == "GetCallerIdentity":
            return self._caller_identity(request_id)
        if action in self._known:
            return _error(501, "NotImplemented", f"{action} is not implemented by this endpoint.", request_id)
        if action:
            return _error(
                400, "InvalidAction", f"Could not find operation {action} for version {version}", request_id
            )
        return _error(
            400, "MissingAction", "The request is missing an action or a required parameter.", request_id
        )

    def _caller_identity(self, request_id: str) -> Response:
        account = escape(self._account)
        return _xml(
            200,
            f'<GetCallerIdentityResponse xmlns="{NAMESPACE}">\n  <GetCallerIdentityResult>\n'
            f"    <Arn>arn:aws:iam::{account}:root</Arn>\n    <UserId>{account}</UserId>\n"
            f"    <Account>{account}</Account>\n  </GetCallerIdentityResult>\n"
            f"  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n"
            "</GetCallerIdentityResponse>\n",
            request_id,
        )


def _action(body: bytes, raw_query: str) -> tuple[str, str]:
    """The request's Action and Version, "" where it has none, or several."""
    text = body.decode("utf-8", "replace") if body else raw_query
    try:
        form = parse_qs(text, max_num_fields=1000)
    except ValueError:
        return "", ""
    action, version = form.get("Action", []), form.get("Version", [])
    return action[0] if len(action) == 1 else "", version[0] if len(version) == 1 else ""


def _error(status: int, code: str, message: str, request_id: str) -> Response:
    kind = "Sender" if status < 500 else "Receiver"
    return _xml(
        status,
        f'<ErrorResponse xmlns="{NAMESPACE}">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{code}</Code>\n'
        f"    <Message>{escape(_printable(message))}</Message>\n  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
        request_id,
    )


def _printable(text: str) -> str:
    """Without what XML cannot express, and no longer than a message should be."""
    return "".join(c if c.isprintable() else "?" for c in text[:300])


def _xml(status: int, text: str, request_id: str) -> Response:
    return status, [("content-type", "text/xml"), ("x-amzn-requestid", request_id)], text.encode()
