"""The aws-chunked encoding, however it is cut up on its way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.chunked import decoded, is_chunked
from engine.aws.faults import Fault

BODY = (
    b"5;chunk-signature=ab\r\nhello\r\nB\r\n\r\nworld\r\n\r\n\r\n0;chunk-signature=cd\r\n"
    b"x-amz-checksum-crc32:AA==\r\n\r\n"
)


def read(*pieces: bytes) -> bytes:
    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def joined() -> bytes:
        return b"".join([piece async for piece in decoded(sent())])

    return asyncio.run(joined())


@given(st.lists(st.integers(0, len(BODY))))
def test_any_pieces_of_it_are_the_same_body(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[start:end] for start, end in itertools.pairwise(ends)]
    assert read(*pieces) == b"hello\r\nworld\r\n\r\n"


@pytest.mark.parametrize(
    "body", [b"", b"5\r\nhello\r\n", b"5\r\nhelloX", b"x\r\n", b"\r\n", b"-1\r\n", b"5\r\nhel", b"1" * 9000]
)
def test_what_is_not_so_encoded_is_refused(body: bytes) -> None:
    with pytest.raises(Fault, match="IncompleteBody"):
        read(body)


def test_headers_say_whether_it_is() -> None:
    assert is_chunked([("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")])
    assert not is_chunked([("x-amz-content-sha256", "UNSIGNED-PAYLOAD")])
