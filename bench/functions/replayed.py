"""Takes the time that an invocation of a trace took, in seconds, but SPEED times shorter and MOST at most.

The same under several names, so that a trace has several functions to ask.
"""

import os
import time
from typing import Any

SPEED = float(os.environ.get("SPEED") or 1)
MOST = float(os.environ.get("MOST") or "inf")


def one(event: Any, context: Any) -> Any:
    time.sleep(min(MOST, event["duration"] / SPEED))
    return event


two = three = four = five = six = seven = eight = one
