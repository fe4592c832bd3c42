"""What every command shares with main: exit statuses, the exceptions that end it, and what it is added to."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

OK, FAILED, USAGE = 0, 1, 2

Commands: TypeAlias = "argparse._SubParsersAction[Any]"


class UsageError(Exception):
    """The arguments make no sense; the message says what would."""


class Stopped(KeyboardInterrupt):
    """A signal ends the command. A KeyboardInterrupt, so that the engine closes without draining."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
