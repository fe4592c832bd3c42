"""Memory is collapsed into huge pages, what lies in it stays, and what cannot be collapsed is left as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import mmap, re, sys
sys.path[:0] = {path!r}
from engine._native import lib
size = 16 << 20
area = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, size // 2, 4096):  # the other half stays without pages
    area[at:at + 8] = at.to_bytes(8, "little")
shared = mmap.mmap(-1, size)
shared[:4] = b"here"
done = lib.stk_collapse()
with open("/proc/self/smaps") as file:
    huge = sum(int(kib) for kib in re.findall(r"AnonHugePages: +(\\d+) kB", file.read()))
whole = all(area[at:at + 8] == at.to_bytes(8, "little") for at in range(0, size // 2, 4096))
print(done, huge, whole, area[size - 8:] == bytes(8), shared[:4] == b"here")
"""


def test_it_collapses_what_there_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(path=sys.path)], capture_output=True, text=True, check=True
    )
    count, huge, *kept = done.stdout.split()
    assert kept == ["True"] * 3
    if not int(count):
        pytest.skip("this kernel has no MADV_COLLAPSE, or no huge page to give")
    assert 2 <= int(count) <= 12  # the half that has pages, and some of the interpreter's own
    assert 2048 * 2 <= int(huge) <= 2048 * int(count)
