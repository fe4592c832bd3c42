"""Sin: its init leaves a thread running, so it cannot be forked after init."""

import threading
from typing import Any

started = threading.Event()
threading.Thread(target=lambda: (started.set(), threading.Event().wait()), daemon=True).start()
started.wait()


def handler(event: Any, context: Any) -> Any:
    return [event, threading.active_count()]
