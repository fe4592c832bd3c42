"""What functions say outside their invocations: whole lines, in the order in which they came, in the right log."""

from __future__ import annotations

import asyncio

from engine.hosting.outside import Outside

Sent = list[tuple[str, str, str]]


async def after(*pieces: tuple[str, str], wait: bool = False) -> Sent:
    """What is sent once these pieces, each of a function, were taken; after a pause, even."""
    loop, sent = asyncio.get_running_loop(), Sent()
    done = asyncio.Event()

    def send(group: str, stream: str, at: int, text: str) -> None:
        assert at > 1_700_000_000_000
        sent.append((group, stream, text))
        done.set()

    outside = Outside(loop, lambda name: (f"/aws/lambda/{name}", "s"), send)
    for function, text in pieces:
        await asyncio.to_thread(outside, function, "", text)
    await asyncio.sleep(0)
    if wait:
        await asyncio.wait_for(done.wait(), 10)
    return sent


def test_pieces_are_put_together() -> None:
    sent = asyncio.run(after(("f", "one"), ("f", "\ntwo\nthr"), ("g", "other\n"), ("f", "ee\n")))
    assert sent == [
        ("/aws/lambda/f", "s", "one\n"),
        ("/aws/lambda/f", "s", "two\n"),
        ("/aws/lambda/g", "s", "other\n"),
        ("/aws/lambda/f", "s", "three\n"),
    ]


def test_a_line_without_an_end_is_not_kept_forever() -> None:
    assert asyncio.run(after(("f", "no end"))) == []
    assert asyncio.run(after(("f", "no end"), wait=True)) == [("/aws/lambda/f", "s", "no end")]
