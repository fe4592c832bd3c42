"""Calls through an engine whose native code is built with sanitizers, in the caller and in its workers alike.

sanitized_calls.py PACKAGE_FOLDER SEED; a sanitizer ends the process, and a worker's end fails its call.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from pathlib import Path

CALLS = 1000
CODE = """
import os
def handler(event, context):
    if event is None:
        raise ValueError("none")
    if event.get("print"):
        for n in range(event["print"]): print("line", n, "\\u00e9")
    if event.get("end"):
        os._exit(3)
    if event.get("object"):
        return object()
    return event.get("text", "") * event.get("times", 1)
def raw(event, context):
    return bytes(event)
def caller(event, context):
    return context.invoke("handler", event)
"""


def calls(functions: tuple, errors, seed: int, kept: list[BaseException]) -> None:
    handler, raw, caller = functions
    draw = random.Random(seed)
    try:
        for _ in range(CALLS):
            size = draw.choice([0, 1, 40, 4095, 4096, 4097, 16_383, 16_384, 16_385, 100_000])
            kind = draw.randrange(10)
            if kind < 2:
                data = draw.randbytes(size)
                assert raw.invoke(data) == data
            elif kind < 4:
                assert handler.invoke({"text": "x" * size}) == "x" * size
            elif kind == 4:
                times = draw.choice([1, 3000])
                assert (
                    handler.invoke({"text": "ab", "times": times, "print": draw.randrange(900)})
                    == "ab" * times
                )
            elif kind == 5:
                assert caller.invoke({"text": "y" * size}) == "y" * size
            elif kind == 6:
                size = 700_000 if draw.random() < 0.1 else 1
                for event, expected in (
                    (b"no JSON", "unmarshal"), (b'{"object": 1}', "Runtime.MarshalError"),
                    (b'{"text": "0123456789", "times": %d}' % size, "ResponseSizeTooLarge" if size > 1 else "0123"),
                ):  # fmt: skip
                    try:
                        found = str(handler.invoke_raw(event).payload)
                    except errors.InvalidEvent as error:
                        found = str(error)
                    assert expected in found, found
            elif kind == 7:
                assert raw.invoke(b"") == b""
            else:
                ends = draw.random() < 0.02
                try:
                    handler.invoke({"end": True} if ends else None)
                except errors.FunctionError as error:
                    assert isinstance(error, errors.FunctionCrashed) == ends, error
                    continue
                raise AssertionError("it did not fail")
    except BaseException as error:
        kept.append(error)


async def awaits(folder: Path, seed: int) -> None:
    """A loop's mailbox: plain results and others, small and large, and callers that leave."""
    from engine import AsyncEngine, errors

    draw = random.Random(seed)
    async with AsyncEngine(logs=False) as stoker:
        options = {"code": folder, "concurrency": 2, "memory": 2048, "timeout": 120, "waiting": 1000}
        handler = await stoker.function("sample:handler", name="handler", **options)
        raw = await stoker.function("sample:raw", codec="raw", **options)

        async def caller() -> None:
            for _ in range(CALLS // 50):
                data = draw.randbytes(draw.choice([0, 40, 4097, 16_385, 100_000]))
                function, event = draw.choice([(raw, data), (handler, {"text": data.hex()}), (handler, None)])
                call = asyncio.ensure_future(function.invoke(event))
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                if draw.random() < 0.3:
                    call.cancel()
                try:
                    result = await call
                except (errors.FunctionError, asyncio.CancelledError):
                    continue
                assert result == (event if function is raw else event["text"])

        await asyncio.gather(*(caller() for _ in range(100)))
        assert stoker._reaping()._mailbox.waiting == 0


def main(seed: int) -> None:
    import engine
    from engine import Engine, errors

    package = Path(sys.argv[1]).resolve()
    assert Path(engine.__file__).resolve().is_relative_to(package), engine.__file__
    (package / "sample.py").write_text(CODE)
    with Engine(logs=False) as stoker:
        options = {"code": package, "concurrency": 2, "memory": 2048, "timeout": 120}
        functions = (
            stoker.function("sample:handler", name="handler", **options),
            stoker.function("sample:raw", codec="raw", **options),
            stoker.function("sample:caller", **options),
        )
        kept: list[BaseException] = []
        threads = [
            threading.Thread(target=calls, args=(functions, errors, seed * 10 + n, kept)) for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if kept:
            raise kept[0]
    asyncio.run(awaits(package, seed))
    from engine import _call

    for call in (_call.invoke, _call.invoke_bytes, _call.record):
        for wrong in ((), (1, 2), ("a", 0, b""), ([0], 0, b""), ([], "a", b"")):
            try:
                call(*wrong)
            except TypeError:
                continue
            raise AssertionError(wrong)
        assert call([], 0, b"") == ()


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main(int(sys.argv[2]))
