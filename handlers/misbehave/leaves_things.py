"""Sin: leaves a thread, an alarm, another directory, a variable, a global, a file behind (event: what to do now)."""

import os
import signal
import tempfile
import threading
from typing import Any

alarms: list[int] = []
calls = 0
signal.signal(signal.SIGALRM, lambda number, frame: alarms.append(number))


def handler(event: Any, context: Any) -> Any:
    global calls
    calls += 1
    match event[0]:
        case "thread":
            threading.Thread(target=threading.Event().wait, daemon=True, name="left").start()
        case "alarm":
            signal.setitimer(signal.ITIMER_REAL, event[1])
        case "deadly alarm":
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, event[1])
        case "directory":
            os.chdir(tempfile.gettempdir())
        case "variable":
            os.environ["LEFT"] = "behind"
    return {
        "calls": calls,
        "threads": [t.name for t in threading.enumerate() if t.name == "left"],
        "alarms": len(alarms),
        "directory": os.getcwd(),
        "variable": os.environ.get("LEFT"),
        "pid": os.getpid(),
    }
