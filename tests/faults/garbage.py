"""`stoker` with Python's collector off: at SIGUSR1 it collects, and writes how many objects of each type it found
to the file that GARBAGE names, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from engine.cli.main import main


def _collect(*_: object) -> None:
    gc.collect()
    found = Counter(type(each).__qualname__ for each in gc.garbage)
    gc.garbage.clear()
    file = Path(os.environ["GARBAGE"])
    new = file.with_suffix(".new")
    new.write_text(json.dumps(found))
    new.replace(file)


if __name__ == "__main__":
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    signal.signal(signal.SIGUSR1, _collect)
    sys.exit(main())
