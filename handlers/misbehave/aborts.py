"""Sin: calls abort() (SIGABRT)."""

import os
from typing import Any


def handler(event: Any, context: Any) -> Any:
    os.abort()
