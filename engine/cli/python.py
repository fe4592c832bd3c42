"""`stoker python`: which Pythons of this machine run functions, and one more prepared for it."""

from __future__ import annotations

import argparse

from .status import OK, UsageError, option

_DESCRIPTION = """\
A server runs functions of its own Python's version. Those of another version need a Python of that version, which is
looked for on the PATH and where pyenv and uv have theirs, and two packages that the engine needs there. `add` puts
these into an environment of Stoker's own (~/.local/share/stoker/pythons); the Python itself is left as it is. A server
that runs already finds it, too.

examples:
  stoker python ls
  stoker python add 3.12
  stoker python add /opt/python3.13/bin/python3
"""

PARSER = {"help": "list and prepare Pythons that functions run on", "description": _DESCRIPTION}
OPTIONS = (
    option("action add|ls", "prepare a Python, or list those that there are", choices=("add", "ls")),
    option("wanted VERSION|PATH", "which one to add: 3.12, or the path of an interpreter", nargs="?"),
)
_HEADS = ("RUNTIME", "STATE", "PYTHON")


def run(options: argparse.Namespace) -> int:
    """Raises InvalidConfiguration when there is no such Python, or it cannot be prepared."""
    from ..hosting.interpreters import listed, prepare

    if options.action == "add":
        if not options.wanted:
            raise UsageError("add which? stoker python add 3.12")
        added = prepare(options.wanted)
        state = "is the server's own" if added.state == "own" else "runs functions"
        print(f"{added.runtime} {state}: {added.path}")
        return OK
    rows = [_HEADS]
    for each in listed():
        state = each.state
        if state not in ("own", "ready", "prepared"):
            state = f"add it: stoker python add {each.runtime.removeprefix('python')}"
        rows.append((each.runtime, state, each.path))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return OK
