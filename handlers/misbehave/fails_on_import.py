"""Sin: its import fails (environment SIN: how; SIN_NOTE: a file that gets a line for each try)."""

import ctypes
import os
import signal
import threading
from typing import Any

if "SIN_NOTE" in os.environ:
    with open(os.environ["SIN_NOTE"], "a") as file:
        file.write(f"{os.getpid()}\n")

match os.environ["SIN"]:
    case "missing":
        import a_module_that_does_not_exist  # type: ignore[import-not-found]  # noqa: F401
    case "raises":
        raise LookupError("not today")
    case "hangs":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Event().wait()
    case "exits":
        os._exit(3)
    case "exits cleanly":
        os._exit(0)
    case "sys.exit":
        raise SystemExit(4)
    case "segfaults":
        ctypes.string_at(0)
    case "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    case "recovers":  # fails while this file exists
        if os.path.exists(os.environ["SIN_WHILE"]):
            raise LookupError("not yet")

not_callable = 1


def handler(event: Any, context: Any) -> Any:
    return event
