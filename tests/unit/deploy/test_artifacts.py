"""Files that go to a server together, by their digests."""

from __future__ import annotations

import pytest

from engine.deploy.artifacts import BATCH, batches, bundled, unbundled


@pytest.mark.promise(169)
def test_a_bundle_is_its_files() -> None:
    files = {"a": b"", "b": b"\n{}\n", "c": bytes(range(256))}
    assert unbundled(bundled(files)) == files
    assert unbundled(bundled({})) == {}


@pytest.mark.parametrize(
    "body", [b"", b"[]\n", b'{"a": 2}\nx', b'{"a": 0}\nx', b'{"a": -1}\n', b'{"a": "1"}\nx', b"{\n"]
)
def test_what_is_no_bundle(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unbundled(body)


def test_small_files_are_few_requests_and_a_large_one_is_alone() -> None:
    files = {f"small {n}": b"x" * 1000 for n in range(100)} | {"large": b"x" * (BATCH + 1), "last": b"x"}
    found = list(batches(files, files))
    assert [len(each) for each in found] == [100, 1, 1]
    assert list(batches(files, ["last"])) == [{"last": b"x"}]
    assert list(batches(files, [])) == []
