"""What every command shares with main: exit statuses, the exceptions that end it, and how it declares its options."""

from __future__ import annotations

from typing import Any

OK, FAILED, USAGE = 0, 1, 2

Option = tuple[list[str], dict[str, Any]]


class UsageError(Exception):
    """The arguments make no sense; the message says what would."""


class Stopped(KeyboardInterrupt):
    """The signal of this number ends the command. A KeyboardInterrupt, so that the engine closes without draining."""


def option(usage: str, help: str | None = None, **settings: Any) -> Option:
    """What argparse's add_argument takes, from "--name METAVAR". An option without a METAVAR takes no value."""
    words = usage.split()
    if len(words) > 1 and not words[-1].startswith("-"):
        settings["metavar"] = words.pop()
    elif usage.startswith("-"):
        settings.setdefault("action", "store_true")
    return words, {"help": help, **settings}
