"""Sin: writes without end to its output, and never a newline (event: through what, and how many bytes)."""

import ctypes
import logging
import os
import subprocess
import sys
from typing import Any

CHUNK = 1 << 16


def handler(event: Any, context: Any) -> Any:
    through, size = event
    text = "x" * CHUNK
    match through:
        case "print":
            for _ in range(size // CHUNK):
                print(text, end="")
        case "stderr":
            for _ in range(size // CHUNK):
                sys.stderr.write(text)
        case "logging":
            for _ in range(size // CHUNK):
                logging.getLogger().error(text)
        case "descriptor":
            data = text.encode()
            for _ in range(size // CHUNK):
                at = 0
                while at < CHUNK:
                    at += os.write(1, data[at:])
        case "native":
            libc = ctypes.CDLL(None)
            for _ in range(size // CHUNK):
                libc.printf(b"%s", text.encode())
            libc.fflush(None)
        case "child":
            subprocess.run(["head", "-c", str(size), "/dev/zero"], check=True)
    return "said it all"
