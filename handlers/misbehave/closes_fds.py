"""Sin: closes every file descriptor it can find."""

import os
from typing import Any


def handler(event: Any, context: Any) -> Any:
    os.closerange(0, 4096)
    return "closed"
