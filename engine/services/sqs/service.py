"""Amazon SQS as a service of the endpoint: requests of both protocols to the operations, on the loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ... import wire
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model, Operation
from ...aws.names import Place
from ...aws.service import Caller, Service
from ...durable.queue import Queues as Rows
from ...durable.state import States
from ...durable.store import Store
from .call import Call
from .deduplication import Deduplication, TakenRows
from .faults import missing, no_queue
from .messages import new_id
from .moves import Moves
from .operations import Operations
from .protocols import json_error, query_fault, query_model, rendered, tidy
from .queues import Catalog, Queue
from .receiving import Receiving
from .sending import Sending

BODY_BYTES = 8 << 20  # a batch of 1 MiB, however it is escaped
_SWEEP = 60.0  # seconds
_PATH = re.compile(r"/(\d{12})/([A-Za-z0-9_-]{1,80}(?:\.fifo)?)/?", re.ASCII)
OnQueue = Callable[[Queue, Mapping[str, Any], Call], Awaitable[Any]]
OnPlace = Callable[[Mapping[str, Any], Call], Awaitable[Any]]


class Sqs(Service):
    """SQS of every region and account. Belongs to one event loop; call `start` in it, and `close`."""

    name = "sqs"
    signing_name = "sqs"
    target_prefixes = ("AmazonSQS",)
    unsigned_paths = re.compile(r"/\d{12}/[A-Za-z0-9_-]+(\.fifo)?/?\Z", re.ASCII)
    body_bytes = BODY_BYTES

    def __init__(self, store: Store, states: States, rows: Rows) -> None:
        """store: opened with TakenRows, before its first commit. Raises StoreError."""
        self._json, self._query = Model.load("sqs"), query_model()
        self._kinds = {name: _kinds(self._json.operation(name).input) for name in self._json.names}
        self.catalog = Catalog(states, rows)
        self.deduplication = Deduplication(store.load(TakenRows()), rows.now)
        self.sending = Sending(rows, self.deduplication)
        self.receiving = Receiving(self.catalog, rows)
        self.moves = Moves(self.catalog, rows)
        self._sweeper: asyncio.Task[None] | None = None
        on = Operations(self.catalog, rows, self.deduplication)
        self._allowed = on.allowed
        self._on_place: dict[str, OnPlace] = {
            "CancelMessageMoveTask": self.moves.cancel,
            "CreateQueue": on.create_queue,
            "GetQueueUrl": on.get_queue_url,
            "ListMessageMoveTasks": self.moves.listed,
            "ListQueues": on.list_queues,
            "StartMessageMoveTask": self.moves.start,
        }
        self._on_queue: dict[str, OnQueue] = {
            "AddPermission": on.add_permission,
            "ChangeMessageVisibility": self.receiving.change,
            "ChangeMessageVisibilityBatch": self.receiving.change_batch,
            "DeleteMessage": self.receiving.delete,
            "DeleteMessageBatch": self.receiving.delete_batch,
            "DeleteQueue": on.delete_queue,
            "GetQueueAttributes": on.get_queue_attributes,
            "ListDeadLetterSourceQueues": on.list_dead_letter_source_queues,
            "ListQueueTags": on.list_queue_tags,
            "PurgeQueue": on.purge_queue,
            "ReceiveMessage": self.receiving.receive,
            "RemovePermission": on.remove_permission,
            "SendMessage": self.sending.send,
            "SendMessageBatch": self.sending.send_batch,
            "SetQueueAttributes": on.set_queue_attributes,
            "TagQueue": on.tag_queue,
            "UntagQueue": on.untag_queue,
        }

    @property
    def implemented(self) -> set[str]:
        """The operations of the model that are carried out."""
        return {*self._on_place, *self._on_queue}

    def start(self) -> None:
        """Go on with what the last run left."""
        self.catalog.start()
        self.moves.resume()
        self._sweeper = asyncio.ensure_future(self._sweep())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            await self.receiving.sweep()

    def drain(self) -> None:
        for queue in self.catalog:
            queue.polls.end()

    def close(self) -> None:
        self.drain()
        self.moves.close()
        self.catalog.close()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def call(self, request: Request, caller: Caller) -> Response:
        model = self._model(request)
        operation, members = self._parsed(model, request)
        call = Call(caller.place, base_of(request), request.header("x-amzn-trace-id"), request.left)
        result = await self.perform(operation, members, call) or {}
        if model is self._json:
            return rendered(operation, result, new_id())
        return model.render(operation, result, new_id())

    def _model(self, request: Request) -> Model:
        return self._json if request.header("x-amz-target") else self._query

    def _parsed(self, model: Model, request: Request) -> tuple[Operation, dict[str, Any]]:
        if model is self._json:
            operation, labels = model.match(request)
            members = self._plain(operation, request.body)
            if members is None:
                members = model.parse(operation, labels, request)
        else:
            operation, form = model.match(request)
            members = model.parse(operation, tidy(form), request)
        shape = operation.input
        assert shape is not None
        if "QueueUrl" in shape.members and not members.get("QueueUrl") and _PATH.fullmatch(request.path):
            members["QueueUrl"] = request.path
        for name in shape.required_members:
            if members.get(name) is None:
                if model is self._json or shape.members[name].type_name != "list":
                    raise missing(name)
                members[name] = []  # a form cannot say that a list is empty
        return operation, members

    def _plain(self, operation: Operation, body: bytes) -> dict[str, Any] | None:
        """The members of a body with nothing but text and whole numbers, also in entries of a batch, as most are.
        None: another one."""
        try:
            members = wire.fast_decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the parser has the words for it
            return None
        return members if _is_plain(self._kinds[operation.name], members) else None

    async def perform(self, operation: Operation, members: Mapping[str, Any], call: Call) -> Any:
        """An operation with its members by their names in the model. Raises Fault."""
        name = operation.name
        if (on_place := self._on_place.get(name)) is not None:
            return await on_place(members, call)
        return await self._on_queue[name](self._queue(members["QueueUrl"], call, name), members, call)

    def _queue(self, url: str, call: Call, action: str) -> Queue:
        """Raises Fault."""
        queue = self.catalog.get(*_named(url, call.place))
        if queue is None:
            raise no_queue()
        if not self._allowed(queue, call, action):
            raise Fault(
                "AccessDeniedException",
                f"User: arn:aws:iam::{call.place.account}:root is not authorized to perform: sqs:{action.lower()} on "
                f"resource: {queue.arn} because no resource-based policy allows the sqs:{action.lower()} action",
            )
        return queue

    def error(self, request: Request, fault: Fault) -> Response:
        id = new_id()
        if self._model(request) is self._query:
            return self._query.error(query_fault(fault), id)
        return json_error(fault, self._json.error(fault, id).status, id)

    def operation(self, request: Request) -> str:
        try:
            return self._model(request).match(request)[0].name
        except Fault:
            return ""


def _kinds(shape: Any) -> dict[str, Any]:
    """A structure's scalar members, with what JSON makes of them, and the kinds of its lists of structures."""
    kinds: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.type_name in ("string", "integer"):
            kinds[name] = str if member.type_name == "string" else int
        elif member.type_name == "list" and member.member.type_name == "structure":
            kinds[name] = _kinds(member.member)
    return kinds


def _is_plain(kinds: dict[str, Any], members: Any) -> bool:
    if type(members) is not dict:
        return False
    for name, value in members.items():
        kind = kinds.get(name)
        if type(value) is list:
            if type(kind) is not dict or not all(_is_plain(kind, each) for each in value):
                return False
        elif type(value) is not kind:
            return False
    return True


@lru_cache(4096)
def _named(url: str, place: Place) -> tuple[Place, str]:
    """Where the queue of a URL is, and its name; AWS takes a name, too."""
    try:
        path = _PATH.fullmatch(url if url.startswith("/") else urlsplit(url).path)
    except ValueError:
        path = None
    return (Place(place.region, path[1]), path[2]) if path else (place, url)


def base_of(request: Request) -> str:
    """The URL that the client knows the server by."""
    host = request.header("host") or f"127.0.0.1:{request.port}"
    return f"{request.scheme}://{host}"
