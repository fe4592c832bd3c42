"""A function of an embedded engine, as consumers invoke it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from .. import errors, wire
from ..calls.dispatch import OK, Outcome, failure, uuid_text
from ..calls.reaper import Reaper
from ..hosting.invoker import new_id
from ..hosting.usage import Usage
from ..observe.spans import Arrival
from ..runtime import Runtime
from ..sources import words
from ..sources.function import Function, How, Invoked

_PATIENCE = 1.0  # seconds after which a function that is not there is looked for again


class EmbeddedFunction(Function):
    """By its name. Belongs to a loop of its own, or the reaper's."""

    def __init__(self, runtime: Runtime, reaper: Reaper, name: str) -> None:
        super().__init__()
        self._runtime, self._reaper, self._name = runtime, reaper, name
        self._usage = Usage(None)

    def problem(self) -> str:
        return "" if self._name in self._runtime.entries else words.no_function(self._name)

    def full(self) -> Usage | None:
        """As many as it has workers, of this consumer's: others wait in the same line."""
        entry = self._runtime.entries.get(self._name)
        return self._usage if entry is not None and self._usage.in_flight >= entry.workers else None

    async def changed(self, usage: Usage | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if usage is not None else _PATIENCE):
                await super().changed(usage)

    async def invoke(self, event: bytes, trace: str = "", arrival: Arrival | None = None) -> Invoked:
        entry = self._runtime.entries.get(self._name)
        if entry is None:
            return Invoked(How.GONE, b"", words.no_function(self._name))
        loop, id = asyncio.get_running_loop(), new_id()
        ended: asyncio.Future[tuple[Outcome | None, Any]] = loop.create_future()

        def end(outcome: Outcome | None, value: Any) -> None:
            if not ended.done():
                ended.set_result((outcome, value))

        def done(outcome: Outcome | None, value: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                loop.call_soon_threadsafe(end, outcome, value)

        self._usage.in_flight += 1
        try:
            self._reaper.submit(entry, event, done, id=id)
            self._reaper.heat()
            outcome, value = await ended
        except (errors.PayloadTooLarge, errors.InvalidEvent) as error:  # the engine's limit
            return Invoked(How.FAILED, wire.encode({"errorMessage": str(error)}), words.FAILED, uuid_text(id))
        except errors.EngineError:
            return Invoked(How.REFUSED, b"", words.THROTTLED)
        finally:
            self._usage.in_flight -= 1
            self._usage.wake()
        if outcome is not None:
            self._runtime.dispatch.log(entry, outcome)
            if outcome.status != OK:
                return _failed(failure(entry, outcome), uuid_text(id))
            value = outcome.data
        return Invoked(How.DONE, _payload(value), words.OK, uuid_text(id))


def _failed(error: errors.EngineError, id: str) -> Invoked:
    if isinstance(error, errors.FunctionError):
        return Invoked(How.FAILED, wire.encode(error.payload()), words.FAILED, id)
    return Invoked(How.REFUSED, b"", words.THROTTLED)


def _payload(value: Any) -> bytes:
    """A result as JSON; a raw one should be that."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else wire.encode(value)
