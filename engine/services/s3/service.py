"""Amazon S3 as a service of the endpoint: requests go on to where buckets are; what they do to objects is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from ...aws.clients import CallFailed, Clients
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.names import Place
from ...aws.service import Caller
from ...aws.streams import Receive, Send, StreamedService, read_whole, respond
from ...durable.folder import StoreError
from ...durable.queue import Queues
from ...durable.state import States
from ...durable.store import Store
from ...hosting.permissions import may_invoke
from ...observe.records import FunctionOutput
from ...routing.targets import Targets
from . import bodies, configurations
from .addressing import Target, target
from .delivery import Delivery, Permitted
from .faults import error, no_bucket, xml
from .folder_requests import FolderRequests
from .folders import Folder
from .notifying import Notifications, Publish
from .observing import EVENTS, READ, happened
from .records import Bucket, Cause
from .watching import Watch

PRINCIPAL = "s3.amazonaws.com"  # as whom functions' policies know S3
BODY_BYTES = 1 << 20  # of a notification configuration
# Passes a request on to where buckets are, on behalf of a place.
Forward = Callable[..., Any]


class S3(StreamedService):
    """Belongs to one event loop; call `start` in it, and `aclose`."""

    name = signing_name = "s3"
    unsigned_paths = re.compile("/")  # what is signed by nothing and nobody's else: forms, and public buckets

    def __init__(
        self,
        states: States,
        queues: Queues,
        targets: Targets,
        clients: Clients,
        publish: Publish,
        forward: Forward,
        log: Callable[[FunctionOutput], object],
        store: Store,
        folders: Mapping[Bucket, Folder],
        upstream: bool,
    ) -> None:
        """folders: what lies on this machine; upstream: is there anywhere else where buckets are?"""
        self._clients = clients
        self._forward = forward
        permitted = _permitted(states)
        self._delivery = Delivery(queues, targets, permitted, log)
        self._notifications = Notifications(states, targets, self._delivery, permitted, publish)
        self._upstream = upstream
        self._own = {bucket.name: bucket for bucket in folders}
        self._watches = [
            Watch(bucket, folder, store, states, self._notifications.notify)
            for bucket, folder in folders.items()
        ]
        self._folders = {
            bucket.name: FolderRequests(bucket, folder, watch)
            for (bucket, folder), watch in zip(folders.items(), self._watches, strict=True)
        }

    async def start(self) -> None:
        """Go on with what the last run left. Raises StoreError."""
        self._delivery.start()
        for watch in self._watches:
            await watch.start()

    async def aclose(self) -> None:
        await asyncio.gather(*(watch.aclose() for watch in self._watches))
        self._delivery.close()
        self._notifications.close()

    async def stream(self, request: Request, receive: Receive, send: Send, caller: Caller) -> None:
        about = target(request)
        try:
            if about.operation == "PutBucketNotificationConfiguration":
                await respond(send, await self._configure(request, about, receive, caller))
            elif about.operation == "GetBucketNotificationConfiguration":
                await respond(send, await self._configured(about, caller))
            elif about.bucket in self._folders:
                await self._folders[about.bucket].stream(request, about, receive, send, caller)
            elif about.operation == "ListBuckets" and self._own and not self._upstream:
                await respond(send, self._listed(caller))
            else:
                await self._pass_on(request, receive, send, about, caller)
        except Fault as fault:
            await respond(send, self.error(request, fault))
        except StoreError as refusal:
            text = f"We encountered an internal error. Please try again. ({refusal})"
            await respond(send, self.error(request, Fault("InternalError", text)))

    def _listed(self, caller: Caller) -> Response:
        account = caller.place.account
        buckets = [{"Name": name, "CreationDate": 0} for name in sorted(self._own)]
        members = {"Buckets": buckets, "Owner": {"ID": account}}
        text = bodies.rendered("ListBucketsOutput", members)
        return xml(200, f"<ListAllMyBucketsResult>{text}</ListAllMyBucketsResult>".encode())

    def error(self, request: Request, fault: Fault) -> Response:
        return error(fault, request.path, head=request.method == "HEAD")

    async def _pass_on(
        self, request: Request, receive: Receive, send: Send, about: Target, caller: Caller
    ) -> None:
        """What may be told of gets its response once that is durable. Raises Fault."""
        key = None if about.operation in READ else about.key
        events = EVENTS.get(about.operation, ())
        if about.operation != "DeleteBucket" and not self._notifications.wanted(about.bucket, events, key):
            await self._forward(request, receive, send, caller.place, service=_named(about))
            return
        held = _Held(receive, READ.get(about.operation, 0))
        await self._forward(request, held.receive, held.send, caller.place, service=_named(about))
        if held.succeeded and about.operation == "DeleteBucket":
            await self._notifications.forget(about.bucket)
        elif held.succeeded:

            async def described(key: str, version: str) -> Mapping[str, Any]:
                return await self._described(about.bucket, key, version, caller.place)

            found = await happened(request, about, bytes(held.sent), held.headers, held.body, described)
            ids = held.headers.get("x-amz-request-id", ""), held.headers.get("x-amz-id-2", "")
            await self._notifications.notify(about.bucket, found, Cause.of(caller, request.client, *ids))
        for message in held.messages:
            await send(message)

    async def _described(self, bucket: str, key: str, version: str, place: Place) -> Mapping[str, Any]:
        members = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        try:
            return await self._clients.call("s3", "HeadObject", members, place, upstream=True)
        except CallFailed:
            return {}  # it is gone already, or a delete marker

    async def _configure(self, request: Request, about: Target, receive: Receive, caller: Caller) -> Response:
        members = configurations.parsed(await read_whole(request, receive, BODY_BYTES))
        bucket = await self._bucket(about.bucket, caller)
        trusted = request.header("x-amz-skip-destination-validation").lower() == "true"
        await self._notifications.configure(bucket, members, Cause.of(caller, request.client), trusted)
        return xml(200, b"")

    async def _configured(self, about: Target, caller: Caller) -> Response:
        await self._bucket(about.bucket, caller)
        found = self._notifications.find(about.bucket)
        return xml(200, configurations.rendered(found[1] if found else {}))

    async def _bucket(self, name: str, caller: Caller) -> Bucket:
        """Raises Fault: there is none, or it is not the caller's."""
        if name in self._own:
            return self._own[name]
        known = self._notifications.find(name)
        try:
            found = await self._clients.call(
                "s3", "HeadBucket", {"Bucket": name}, caller.place, upstream=True
            )
        except CallFailed as failed:
            if failed.code in ("404", "NoSuchBucket", "NotFound"):
                raise no_bucket(name) from failed
            code = "AccessDenied" if failed.code == "403" else failed.code
            raise Fault(code if code.isalpha() else "ServiceUnavailable", failed.message) from failed
        if known:
            return known[0]
        return Bucket(name, Place(found.get("BucketRegion") or caller.place.region, caller.place.account))


def _permitted(states: States) -> Permitted:
    """Does a function's policy let S3 in?"""

    def permitted(arn: str, bucket: Bucket) -> bool:
        region, account, _, name, *qualifier = arn.split(":")[3:]
        state = states.of(Place(region, account).partition)
        return may_invoke(state, name, "".join(qualifier), PRINCIPAL, bucket.arn, bucket.place.account)

    return permitted


def _named(about: Target) -> str | None:
    """A form says nowhere that it is for S3."""
    return "s3" if about.operation == "PostObject" else None


class _Held:
    """A request that is passed on: the beginning of its body, and its response, which waits here."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._complete = False
        self.sent = bytearray()
        self.messages: list[Any] = []

    async def receive(self) -> Any:
        if self._complete:  # it is carried out, and told of, also when the client leaves now
            await asyncio.Event().wait()
        message = await self._receive()
        self._complete = message["type"] == "http.request" and not message.get("more_body", False)
        self.sent += message.get("body", b"")[: max(0, self._most - len(self.sent))]
        return message

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def succeeded(self) -> bool:
        """A form's response may be a redirection."""
        return bool(self.messages) and self.messages[0]["status"] in (*range(200, 300), 303)

    @property
    def headers(self) -> dict[str, str]:
        found: list[tuple[bytes, bytes]] = self.messages[0]["headers"]
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in found}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])
