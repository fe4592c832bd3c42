"""Kills while objects are put: what was acknowledged, and what lies in the folder, is told of."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from delivered import queue
from served import Served
from support import until

KILLS, OBJECTS = 8, 400
CREATED = "ObjectCreated:Put"


@pytest.mark.soak
@pytest.mark.promise(141, 144)
@pytest.mark.timeout(600)
def test_objects_under_kills(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    folder = tmp_path / "bucket"
    folder.mkdir()
    options = ["--bucket", f"bucket=directory://{folder}"]
    server = Served(tmp_path / "state", *options)
    port = server.url.rpartition(":")[2]
    s3 = server.client("s3")
    url, arn = queue(server.client("sqs"), "told")
    configuration = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(Bucket="bucket", NotificationConfiguration=configuration)
    acknowledged: set[str] = set()
    done = threading.Event()

    def put() -> None:
        for n in range(OBJECTS):
            (folder / f"file-{n}").write_bytes(b"x" * n)
            acknowledged.add(f"file-{n}")
            while not done.is_set():
                try:
                    s3.put_object(Bucket="bucket", Key=f"object-{n}", Body=b"x" * n)
                    acknowledged.add(f"object-{n}")
                    break
                except (BotoCoreError, ClientError):
                    time.sleep(0.05)  # the server is being started
        done.set()

    thread = threading.Thread(target=put)
    thread.start()
    try:
        for kill in range(KILLS):
            until(lambda kill=kill: len(acknowledged) >= 2 * OBJECTS * (kill + 1) // (KILLS + 1), 120)
            server.process.kill()
            server.process.communicate()
            server = Served(tmp_path / "state", *options, "--port", port)
        until(done.is_set, 120)
    finally:
        done.set()
        thread.join()
    found: set[str] = set()
    sqs: Any = server.client("sqs")

    def all_told() -> bool:
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", ())
        for each in got:
            for record in json.loads(each["Body"]).get("Records", ()):
                assert record["eventName"] == CREATED
                found.add(record["s3"]["object"]["key"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return acknowledged <= found

    until(all_told, 120, "word of every object")
    print(f"{len(acknowledged)} objects, {KILLS} kills: all told of")
    assert server.stop() == 0
