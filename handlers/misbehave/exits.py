"""Sin: ends its process in the middle (event: how, and with what)."""

import os
import sys
from typing import Any


class Unheard(BaseException):
    """Not an Exception, so `except Exception` misses it."""


def handler(event: Any, context: Any) -> Any:
    how, what = event
    if how == "os._exit":
        os._exit(what)
    if how == "sys.exit":
        sys.exit(what)
    raise {"BaseException": Unheard, "KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit}[
        how
    ](what)
