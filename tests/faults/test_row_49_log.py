"""Row 49, the log's part: a commit whose fsync failed is in the log whole, and still not there after a kill."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.durable.records import Put, Records
from engine.durable.store import Store

from .nth_call import Calls

# A reader keeps the log from being deleted with the connection, as the queues' does.
REFUSED = """
from pathlib import Path
from engine.durable.folder import StoreError
from engine.durable.records import Put, Records
from engine.durable.store import Store
store = Store(Path(sys.argv[1]), [Records()])
reader = store.reader()
reader.execute("SELECT count(*) FROM records").fetchall()
def commit(*names):
    return store.commit([Put("p", "t", "o", name, b"x" * 3000) for name in names])
for n in range(int(sys.argv[2])): commit(f"before-{n}").result(10)
print("ready", flush=True)
sys.stdin.readline()
for count in (9, 5, 2):
    try: commit(*(f"refused-{n}" for n in range(count))).result(10)
    except StoreError: print("refused", flush=True)
    else: print("done", flush=True)
sys.stdin.readline()
if sys.argv[3] == "goes on": commit("after").result(10)
print("over", flush=True)
sys.stdin.read()
"""


@pytest.mark.promise(106)
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("then", ["is killed", "goes on"])
def test_row_49_what_was_refused_is_not_there_after_a_kill(
    script: Callable[[str], list[str]], tmp_path: Path, before: int, then: str
) -> None:
    state = tmp_path / "state"
    Store(state, [Records()]).close()
    calls = Calls(tmp_path, state)
    process = subprocess.Popen(
        [*script(REFUSED), str(state), str(before), then],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env={**os.environ, **calls.environment},
    )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        with calls.failing("sync", 1, errno.EIO, rest=True):
            process.stdin.write("go\n")
            assert [process.stdout.readline() for _ in range(3)] == ["refused\n"] * 3
            if then == "is killed":
                process.send_signal(signal.SIGKILL)
                process.wait(20)
        if then != "is killed":
            process.stdin.write("go on\n")
            assert process.stdout.readline() == "over\n"
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    calls.close()
    store = Store(state, [Records()])
    try:
        found = {id for *_, id, _ in store.load(Records())}
        assert found == {f"before-{n}" for n in range(before)} | ({"after"} if then == "goes on" else set())
        store.commit([Put("p", "t", "o", "more", b"")]).result(10)
    finally:
        store.close()
