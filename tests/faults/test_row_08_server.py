"""Row 8: the server is killed while it creates, updates, publishes, deletes, accepts: what it acknowledged is done."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from served import ROLE, RUNTIME, Served

from engine.hosting.archives import pack

from .conftest import marked, wait_until

KILLS = int(os.environ.get("STOKER_KILLS", "6"))
LOST = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
NOTE = "def handler(event, context):\n    with open(event['file'], 'a') as f: f.write(event['id'] + '\\n')\n"


class Acknowledged:
    """What the server acknowledged."""

    def __init__(self) -> None:
        self.shas: dict[
            str, set[str]
        ] = {}  # by function: code that was acknowledged, or requested and maybe done
        self.sure: dict[str, str] = {}  # by function: the last acknowledged code
        self.versions: dict[str, int] = {}
        self.events: set[str] = set()
        self.deleted: set[str] = set()
        self.count = 0  # acknowledgements, roughly


def work(
    api: Any, acknowledged: Acknowledged, numbers: Callable[[], int], tmp_path: Path, note: Path
) -> None:
    """Functions, one after the other, until the server is gone."""
    while True:
        if not life(api, acknowledged, numbers, tmp_path, note, f"f{numbers()}"):
            return


def life(
    api: Any, acknowledged: Acknowledged, numbers: Callable[[], int], tmp_path: Path, note: Path, mine: str
) -> bool:
    """A function's life, its deletion included. False: the server is gone."""
    file = tmp_path / mine / "app.py"
    file.parent.mkdir()
    events: set[str] = set()
    with contextlib.suppress(*LOST):
        for _ in range(3):
            number = numbers()
            file.write_text(f"N = {number}\n{NOTE}")
            archive = pack(file)
            if mine not in acknowledged.sure:
                response = api.create_function(
                    FunctionName=mine,
                    Runtime=RUNTIME,
                    Role=ROLE,
                    Handler="app.handler",
                    Code={"ZipFile": archive},
                )
            else:
                acknowledged.shas[mine] = {acknowledged.sure[mine]}
                response = api.update_function_code(FunctionName=mine, ZipFile=archive)
            if "CodeSha256" not in response:
                return False  # killed behind the head of the response: boto3 makes an empty one of it
            acknowledged.sure[mine] = response["CodeSha256"]
            acknowledged.count += 1
            while api.get_function_configuration(FunctionName=mine).get("LastUpdateStatus") != "Successful":
                pass
            acknowledged.versions[mine] = int(api.publish_version(FunctionName=mine)["Version"])
            for _ in range(3):
                event = f"e{numbers()}"
                payload = f'{{"file": "{note}", "id": "{event}"}}'
                api.invoke(FunctionName=mine, InvocationType="Event", Payload=payload)
                acknowledged.events.add(event)
                events.add(event)
                acknowledged.count += 1
        # What of its events has not run goes with it; whether it is there is not known until it is acknowledged.
        acknowledged.events -= events
        del acknowledged.sure[mine], acknowledged.versions[mine]
        api.delete_function(FunctionName=mine)
        acknowledged.deleted.add(mine)
        acknowledged.count += 1
        return True
    return False


def kept(api: Any, acknowledged: Acknowledged) -> None:
    """Everything that was acknowledged is there."""
    for name, sha in acknowledged.sure.items():
        found = api.get_function(FunctionName=name)["Configuration"]
        assert found["State"] == "Active"
        # What was under way when it died may have been done, and not been acknowledged.
        newer = int(found["CodeSha256"] != sha)
        pages = api.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        versions = [v for page in pages for v in page["Versions"]]
        numbers = {int(v["Version"]) for v in versions if v["Version"] != "$LATEST"}
        assert set(range(1, acknowledged.versions.get(name, 0) + 1)) <= numbers
        assert newer <= 1
        acknowledged.sure[name] = found["CodeSha256"]
    pages = api.get_paginator("list_functions").paginate()
    assert not acknowledged.deleted & {each["FunctionName"] for page in pages for each in page["Functions"]}


@pytest.mark.promise(66)
@pytest.mark.timeout(900)
def test_row_08_a_server_that_is_killed_again_and_again(nothing_is_left: str, tmp_path: Path) -> None:
    acknowledged, numbers, chance = Acknowledged(), itertools.count(1).__next__, random.Random(8)
    note, state = tmp_path / "note", tmp_path / "state"
    note.touch()
    for _ in range(KILLS):
        server = Served(state)
        kept(server.client(), acknowledged)
        threads = [
            threading.Thread(target=work, args=(server.client(), acknowledged, numbers, tmp_path, note))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        enough = acknowledged.count + chance.randrange(40)
        wait_until(lambda enough=enough: acknowledged.count >= enough, 60.0)
        threads[0].join(chance.uniform(0.0, 0.1))
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        for thread in threads:
            thread.join()
        wait_until(lambda: not marked(nothing_is_left), 10.0)
    server = Served(state)
    kept(server.client(), acknowledged)
    wait_until(lambda: acknowledged.events <= set(note.read_text().split()), 60.0)
    assert server.stop() == 0
    versions = sum(acknowledged.versions.values())
    counts = f"{len(acknowledged.sure)} functions, {versions} versions, {len(acknowledged.events)} events"
    counts += f", {len(acknowledged.deleted)} deletions"
    print(f"{KILLS} kills: {counts}")
