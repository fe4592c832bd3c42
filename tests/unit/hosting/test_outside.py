"""Output outside of invocations: whole lines, in the order in which they came, in the right log."""

from __future__ import annotations

import asyncio

from engine.aws.names import Place
from engine.frames import framed
from engine.hosting.outside import Outside, stream_arn
from engine.observe.records import FunctionOutput

PLACE = Place("eu-west-1", "111111111111")
Sent = list[tuple[str, str, str]]


async def after(*pieces: tuple[str, str], wait: bool = False) -> Sent:
    """What is sent once these pieces, each of a function, were taken; after a pause, even."""
    loop, sent = asyncio.get_running_loop(), Sent()
    done = asyncio.Event()

    def send(output: FunctionOutput) -> None:
        assert output.at > 1_700_000_000_000
        assert (output.region, output.account) == (PLACE.region, PLACE.account)
        sent.append((output.log_group, output.log_stream, output.text))
        done.set()

    outside = Outside(loop, send)
    for function, text in pieces:
        await asyncio.to_thread(outside, stream_arn(PLACE, f"/aws/lambda/{function}", "s"), "", text)
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


def test_a_record_is_one_event_wherever_it_is_cut() -> None:
    record = framed("[ERROR] one\ntwo", 1_800_000_000)
    for at in range(1, len(record)):
        sent = asyncio.run(after(("f", "before"), ("f", record[:at]), ("f", record[at:] + record)))
        assert [text for *_, text in sent] == ["before", "[ERROR] one\ntwo", "[ERROR] one\ntwo"]


def test_a_line_without_an_end_is_not_kept_forever() -> None:
    assert asyncio.run(after(("f", "no end"))) == []
    assert asyncio.run(after(("f", "no end"), wait=True)) == [("/aws/lambda/f", "s", "no end")]
