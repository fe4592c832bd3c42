"""A stub of Kinesis's enhanced fan-out: shards in memory, pushed over the event-stream protocol in chunks."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from engine.aws.eventstream import message

CONSUMER = "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1764419401"


class Shard:
    def __init__(self, *parents: str) -> None:
        self.parents = parents
        self.records: list[dict[str, Any]] = []
        self.children: list[str] = []  # of one that is closed


class FanOutStub:
    """lasts: events of a subscription, after which it ends by itself."""

    def __init__(self, lasts: int = 1000) -> None:
        self.shards: dict[str, Shard] = {}
        self.lasts = lasts
        self.asked: list[dict[str, Any]] = []  # SubscribeToShard requests
        self.failures: list[tuple[int, str]] = []  # of the next ones: status and code
        self.changed = threading.Condition()
        self._number = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                operation = self.headers["x-amz-target"].partition(".")[2]
                if operation == "SubscribeToShard":
                    stub.subscribed(self, asked)
                else:
                    self.whole(200, getattr(stub, operation)(asked))

            def whole(self, status: int, body: Any) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def piece(self, content: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                self.wfile.flush()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        with self.changed:
            self.lasts = 0
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def put(self, shard: str, *texts: str) -> None:
        with self.changed:
            for text in texts:
                self._number += 1
                self.shards[shard].records.append(
                    {
                        "SequenceNumber": f"{self._number:020}", "PartitionKey": text,
                        "Data": base64.b64encode(text.encode()).decode(), "ApproximateArrivalTimestamp": time.time(),
                    }
                )  # fmt: skip
            self.changed.notify_all()

    def split(self, shard: str, *children: str) -> None:
        with self.changed:
            self.shards |= {child: Shard(shard) for child in children}
            self.shards[shard].children = list(children)
            self.changed.notify_all()

    # Operations.

    def ListShards(self, _asked: Any) -> Any:
        return {"Shards": [
            {"ShardId": id, **({"ParentShardId": each.parents[0]} if each.parents else {})}
            for id, each in self.shards.items()
        ]}  # fmt: skip

    def DescribeStreamConsumer(self, asked: Any) -> Any:
        return {"ConsumerDescription": {"ConsumerARN": asked["ConsumerARN"], "ConsumerStatus": "ACTIVE"}}

    def subscribed(self, handler: Any, asked: Any) -> None:
        self.asked.append(asked)
        if self.failures:
            status, code = self.failures.pop(0)
            handler.whole(status, {"__type": code, "message": "not now"})
            return
        shard, position = self.shards[asked["ShardId"]], asked["StartingPosition"]
        with self.changed:
            at = len(shard.records) if position["Type"] == "LATEST" else 0
            if position["Type"] == "AFTER_SEQUENCE_NUMBER":
                at = sum(each["SequenceNumber"] <= position["SequenceNumber"] for each in shard.records)
            elif position["Type"] == "AT_TIMESTAMP":
                at = sum(
                    each["ApproximateArrivalTimestamp"] < position["Timestamp"] for each in shard.records
                )
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        handler.piece(message({":message-type": "event", ":event-type": "initial-response"}, b"{}"))
        last = position.get("SequenceNumber", "0" * 20)
        for _ in range(self.lasts):
            with self.changed:
                while not (len(shard.records) > at or shard.children or not self.lasts):
                    self.changed.wait()
                records, at = shard.records[at:], len(shard.records)
                children = shard.children
            last = records[-1]["SequenceNumber"] if records else last
            event = {"Records": records, "ContinuationSequenceNumber": last, "MillisBehindLatest": 0}
            if children:
                event["ChildShards"] = [
                    {"ShardId": each, "ParentShards": [asked["ShardId"]], "HashKeyRange": {}}
                    for each in children
                ]
            frame = message(
                {":message-type": "event", ":event-type": "SubscribeToShardEvent"}, json.dumps(event).encode()
            )
            try:
                handler.piece(frame[:7])  # in two pieces, as the network likes
                handler.piece(frame[7:])
            except OSError:
                return
            if children:
                break
        try:
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            return
