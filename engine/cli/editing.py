"""Single keys from a terminal, and a text changed in the user's editor."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

_EDITOR = "vi"


@contextlib.contextmanager
def single_keys() -> Iterator[bool]:
    """Meanwhile stdin gives each key as it is pressed, and shows none. False: it is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield False
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def edited(event: str, say: Callable[[str], object]) -> str | None:
    """An event as it is after $VISUAL, or $EDITOR, was at it; None: it is not to be sent. Of single_keys()."""
    import termios
    import tty

    with contextlib.suppress(ValueError):
        event = json.dumps(json.loads(event), indent=2, ensure_ascii=False)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR
    descriptor = sys.stdin.fileno()
    keys = termios.tcgetattr(descriptor)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "event.json")
        path.write_text(event)
        lines = list(keys)
        lines[3] |= termios.ICANON | termios.ECHO
        termios.tcsetattr(descriptor, termios.TCSADRAIN, lines)
        try:
            done = subprocess.run([*shlex.split(editor), str(path)], check=False)
        except OSError as error:
            say(f"the editor {editor} cannot be run: {error.strerror}")
            return None
        finally:
            tty.setcbreak(descriptor)
        text = path.read_text()
    try:
        json.loads(text)
    except ValueError as error:
        say(f"that is not JSON: {error}")
        return None
    return text if done.returncode == 0 else None
