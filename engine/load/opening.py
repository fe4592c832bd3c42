"""A scenario's target, open for as long as a run needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..config import configure
from .generate.signing import found
from .generate.targets import Embedded, LambdaEndpoint, PlainUrl
from .scenario import target_kinds as kinds


@asynccontextmanager
async def opened(wanted: kinds.Target) -> AsyncIterator[Embedded | LambdaEndpoint | PlainUrl]:
    """A scenario's target, for as long as it is needed: an engine of its own with the functions started, or a client.
    Raises EngineError, OSError and ValueError for what cannot be opened."""
    if isinstance(wanted, kinds.Embedded):
        from ..aio import AsyncEngine

        engine = AsyncEngine(logs=False)
        try:
            names: list[str] = []
            for number, each in enumerate(wanted.functions):
                name = configure(each.reference, **each.options).name
                names.append(name if name not in names else f"{name[:50]}-{number}")
                await engine.function(each.reference, name=names[-1], **each.options)
            yield Embedded(engine, names)
        finally:
            await engine.close(0.0)  # what was to be waited for has been
        return
    target = (
        PlainUrl(wanted.url, wanted.method)
        if isinstance(wanted, kinds.Url)
        else LambdaEndpoint(
            wanted.endpoint, [each.name for each in wanted.functions], found() if wanted.sign else None
        )
    )
    try:
        await target.reach()
        yield target
    finally:
        await target.close()
