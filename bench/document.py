"""docs/benchmarks.md has two writers: bench.run of all but the open-loop section, bench.load of that."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- open loop: begin -->", "<!-- open loop: end -->"


def section(text: str) -> str:
    """The open-loop section of a document, its markers included; "" where there is none."""
    _, begin, rest = text.partition(BEGIN)
    inner, end, _ = rest.partition(END)
    return begin + inner + end if end else ""


def with_section(text: str, new: str) -> str:
    """A document with its section replaced by this one, or with this one at its end."""
    if not new:
        return text
    old = section(text)
    if old:
        return text.replace(old, new, 1)
    return f"{text.rstrip()}\n\n{new}\n".lstrip()
