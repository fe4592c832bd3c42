"""ReportBatchItemFailures: what each response means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.reports import failed

IDS = {"a", "b", "c"}


def items(*ids: object) -> bytes:
    return json.dumps({"batchItemFailures": [{"itemIdentifier": id} for id in ids]}).encode()


@pytest.mark.promise(155)
@pytest.mark.parametrize(
    "response",
    [b"", b"null", b"{}", b"[]", b'""', b'{"batchItemFailures": null}', b'{"batchItemFailures": []}', b'{"else": 1}',
     b'{"batchItemFailures": [], "state": {}}'],
)  # fmt: skip
def test_the_whole_batch_succeeded(response: bytes) -> None:
    assert failed(response, IDS) == set()


@pytest.mark.promise(155)
@pytest.mark.parametrize(
    "response",
    [b"{", b"nonsense", b'"text"', b"1", b"true", b"[1]", b'{"batchItemFailures": "a"}', b'{"batchItemFailures": {}}',
     b'{"batchItemFailures": ["a"]}', b'{"batchItemFailures": [{"foo": "a"}]}', b'{"batchItemFailures": [{}]}',
     b'{"batchItemFailures": [null]}', items(""), items(None), items("unknown"), items("a", "unknown"), items("a", ""),
     items(1), items(["a"]), items({"a": 1}), b"\xff"],
)  # fmt: skip
def test_the_whole_batch_failed(response: bytes) -> None:
    assert failed(response, IDS) is None


@given(st.lists(st.sampled_from(sorted(IDS))))
def test_the_items_that_are_named_failed(ids: list[str]) -> None:
    assert failed(items(*ids), IDS) == set(ids)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
KEYS = st.sampled_from(["batchItemFailures", "itemIdentifier", "x"])


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner)))
def test_any_response_has_a_meaning(response: object) -> None:
    found = failed(json.dumps(response).encode(), IDS)
    assert found is None or found <= IDS
