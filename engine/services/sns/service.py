"""Amazon SNS as a service of the endpoint: its operations, and what delivers beside them."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Callable
from typing import Any

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model
from ...aws.service import Access, Caller, Handler, ModelService
from ...aws.validate import Wording
from ...durable.changes import Changes
from ...durable.queue import Queues
from ...durable.state import States
from ...durable.store import Store
from ...observe.records import FunctionOutput
from ...observe.tally import Tally
from ...routing.targets import Targets
from ..sqs.deduplication import Deduplication
from .catalog import Catalog
from .delivery import Delivery
from .elsewhere import refused
from .measuring import TopicMetrics
from .notifications import LINK
from .publishing import Publishing
from .subscriptions import Subscriptions
from .topics import Topics

BODY_BYTES = 4 << 20  # a batch of 256 KiB, however it is escaped
_BY_LINK = ("ConfirmSubscription", "Unsubscribe")


class Sns(ModelService):
    """SNS of every region and account. Belongs to one event loop; call `start` in it, and `aclose`."""

    body_bytes = BODY_BYTES
    unsigned_paths = re.compile(rf"{LINK}\Z")

    def __init__(
        self,
        store: Store,
        states: States,
        queues: Queues,
        targets: Targets,
        deduplication: Deduplication,
        log: Callable[[FunctionOutput], object],
        base: Callable[[], str],
        tally: Tally,
    ) -> None:
        """deduplication: SQS's, of whose kind FIFO topics' is. base: the server's URL."""
        self._changes = Changes("sns")
        catalog = Catalog(states, self._changes)
        self._delivery = Delivery(queues, targets, log, base, TopicMetrics(tally))
        self._subscriptions = Subscriptions(catalog, self._delivery)
        publishing = Publishing(catalog, self._delivery, store, deduplication)
        model = Model.load("sns", Wording(code="ValidationError"))
        found: dict[str, Handler] = {}
        for owner in (Topics(catalog), self._subscriptions, publishing):
            found |= {
                name.title().replace("_", ""): getattr(owner, name)
                for name in vars(type(owner))
                if not name.startswith("_")
            }
        found = {name: handler for name, handler in found.items() if name in model.operations}
        super().__init__(model, {**found, **refused(model.names, found)})

    def start(self) -> None:
        """Go on with what the last run left."""
        self._delivery.start()

    async def aclose(self) -> None:
        await self._delivery.aclose()
        self._changes.close()

    def access(self, request: Request) -> Access:
        """Who follows a message's link need not sign."""
        if _is_link(request) and self.operation(dataclasses.replace(request, body=b"")) in _BY_LINK:
            return Access.OPEN
        return Access.SIGNED

    async def call(self, request: Request, caller: Caller) -> Response:
        if not _is_link(request):
            return await super().call(request, caller)
        request = dataclasses.replace(request, body=b"")  # what lets one in is in the query
        operation, labels = self.model.match(request)
        if operation.name not in _BY_LINK:
            raise Fault("InvalidAction", f"{operation.name} is no action of a link")
        members = self.model.parse(operation, labels, request)
        self.model.validate(operation, members)
        result: dict[str, Any] = {}
        if operation.name == "Unsubscribe":
            await self._subscriptions.unsubscribe_by_link(members, caller)
        else:
            result = await self._subscriptions.confirm_subscription(members, caller)
        return self.model.render(operation, result, str(uuid.uuid4()))


def _is_link(request: Request) -> bool:
    return request.path == LINK and request.method == "GET"
