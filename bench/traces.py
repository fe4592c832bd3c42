"""python -m bench.traces: an invocation over HTTP, traced and not: the server's CPU time, in turns."""

from __future__ import annotations

import http.client
import statistics
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from served import ECHO, ROLE, RUNTIME, Served, zipped

from .metrics import cpu

ROUNDS, CALLS = 20, 1_000
WAYS = {"not traced": "PassThrough", "traced": "Active"}


def calls(server: Served, name: str) -> None:
    at = urlsplit(server.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
    for _ in range(CALLS):
        connection.request("POST", f"/2015-03-31/functions/{name}/invocations", b"{}")
        assert connection.getresponse().read() == b"{}"
    connection.close()


def main() -> int:
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    code = {"ZipFile": zipped(**{"app.py": ECHO})}
    with tempfile.TemporaryDirectory() as folder:
        server = Served(Path(folder) / "state")
        for mode in WAYS.values():
            server.client().create_function(
                FunctionName=mode, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code,
                TracingConfig={"Mode": mode},
            )  # fmt: skip
            calls(server, mode)
        for turn in range(ROUNDS):
            for way, mode in list(WAYS.items())[:: 1 if turn % 2 else -1]:
                before = cpu(server.process.pid)
                calls(server, mode)
                took[way].append((cpu(server.process.pid) - before) / CALLS * 1e6)
        server.stop()
    for way, found in took.items():
        print(
            f"{way}: {statistics.median(found):.1f} µs of CPU an invocation ({min(found):.1f} to {max(found):.1f})"
        )
    ratios = [on / off for on, off in zip(took["traced"], took["not traced"], strict=True)]
    print(
        f"traced / not traced: {statistics.median(ratios):.2f} (median of {ROUNDS} rounds of {CALLS} invocations)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
