"""Where what a deployment brings along is on the server: a bucket that is none of S3's; and many files as one body."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

BUCKET = "stoker-artifacts"
PATH = "/_stoker/artifacts/"
SWAPS = "/_stoker/swaps"
BATCH = 8 << 20  # bytes of files that one request has, if it has more than one


def batches(files: Mapping[str, bytes], names: Iterable[str]) -> Iterator[dict[str, bytes]]:
    """Those of these names, in as few requests as may be."""
    batch: dict[str, bytes] = {}
    size = 0
    for name in names:
        if batch and size + len(files[name]) > BATCH:
            yield batch
            batch, size = {}, 0
        batch[name] = files[name]
        size += len(files[name])
    if batch:
        yield batch


def bundled(files: Mapping[str, bytes]) -> bytes:
    """Files in one body: a line of JSON with their names and sizes, then their contents."""
    sizes = {name: len(data) for name, data in files.items()}
    return b"".join([json.dumps(sizes).encode(), b"\n", *files.values()])


def unbundled(body: bytes) -> dict[str, bytes]:
    """Raises ValueError."""
    line, _, rest = body.partition(b"\n")
    sizes = json.loads(line)
    if not isinstance(sizes, dict) or not all(isinstance(size, int) and size >= 0 for size in sizes.values()):
        raise ValueError("no names and sizes")
    found, at = {}, 0
    for name, size in sizes.items():
        found[name] = rest[at : at + size]
        at += size
    if at != len(rest):
        raise ValueError("the sizes are not those of the contents")
    return found
