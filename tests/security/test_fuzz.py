"""Fuzzing what reads requests: the model's layer in this process, and a whole server over its socket.

STOKER_FUZZ_SECONDS says how long (default: 4; `make fuzz`: a minute).
"""

from __future__ import annotations

import os
import random
import socket
import time
from pathlib import Path

import botocore.session
import pytest
from botocore.serialize import create_serializer
from served import Served

from engine.aws.faults import Fault
from engine.aws.messages import Request
from engine.aws.model import Model
from engine.services.lambda_.wording import WORDING

SECONDS = float(os.environ.get("STOKER_FUZZ_SECONDS", "4"))
MODEL = botocore.session.get_session().get_service_model("lambda")
SPICE = [
    b"\0", b"\r\n", b"\r\n\r\n", b"%00", b"%2e%2e%2f", b"../", b"{", b"}", b"[", b'"', b"\\ud800", b"\xff",
    b"\xf0\x9f\x92\xa9", b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"[" * 3000, b"A" * 5000, b"?Qualifier=",
    b"&", b";", b":", b"$LATEST",
    b"content-length: 99999999999999999999", b"transfer-encoding: chunked", b"expect: 100-continue", b"HTTP/1.1",
]  # fmt: skip
KNOWN = {
    "FunctionName": "f",
    "Name": "a",
    "LayerName": "l",
    "UUID": "u",
    "Arn": "arn:aws:lambda:us-east-1:000000000000:layer:l:1",
}


def seeds() -> list[tuple[str, str, str, bytes]]:
    """What a client sends for each operation: method, path, query, body."""
    serializer = create_serializer("rest-json", include_validation=False)
    found = []
    for name in MODEL.operation_names:
        operation = MODEL.operation_model(name)
        shape = operation.input_shape
        members = {}
        for member, described in (shape.members if shape else {}).items():
            value = {
                "string": KNOWN.get(member, "x"),
                "integer": 1,
                "long": 1,
                "boolean": True,
                "double": 0.5,
            }
            if described.type_name in value:
                members[member] = value[described.type_name]
            elif described.type_name == "map":
                members[member] = {"k": "v"}
            elif described.type_name == "list":
                members[member] = ["x"] if described.member.type_name == "string" else []
            elif described.type_name == "blob":
                members[member] = b"zip"
        request = serializer.serialize_to_request(members, operation)
        body = request["body"] if isinstance(request["body"], bytes) else str(request["body"] or "").encode()
        query = "&".join(f"{k}={v}" for k, v in request["query_string"].items())
        found.append((request["method"], request["url_path"], query, body))
    return found


def mutated(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(5):
            case 0 if out:
                out[at % len(out)] ^= 1 << chance.randrange(8)
            case 1:
                out[at:at] = chance.choice(SPICE)
            case 2:
                del out[at : at + chance.randint(1, 12)]
            case 3 if out:
                end = chance.randrange(len(out) + 1)
                out[at:at] = out[min(at, end) : max(at, end)][:2000]
            case _:
                out[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
    return bytes(out)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_the_models_layer_raises_nothing_but_faults() -> None:
    service, chance, examples = Model.load("lambda", WORDING), random.Random(), seeds()
    seed = chance.randrange(1 << 32)
    chance.seed(seed)
    end, tried = time.monotonic() + SECONDS / 2, 0
    while time.monotonic() < end:
        method, path, query, body = chance.choice(examples)
        which = chance.randrange(4)
        path = mutated(path.encode(), chance).decode("latin-1") if which == 0 else path
        query = mutated(query.encode(), chance).decode("latin-1") if which == 1 else query
        body = mutated(body, chance) if which >= 2 else body
        headers = [
            ("x-amz-invocation-type", "Event"),
            (mutated(b"x-amz-log-type", chance).decode("latin-1"), "Tail"),
        ]
        tried += 1
        try:
            request = Request(method, path, query, headers, body)
            operation, labels = service.match(request)
            service.validate(operation, service.parse(operation, labels, request))
        except Fault as fault:
            assert 400 <= service.error(fault, "id").status < 500, (seed, tried, fault)
        except Exception as error:
            raise AssertionError(
                f"seed {seed}, try {tried}: {method} {path!r} ? {query!r}: {body!r}"
            ) from error
    print(f"{tried:,} requests, seed {seed}")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_a_server_answers_or_hangs_up(tmp_path: Path) -> None:
    served, chance, examples = Served(tmp_path / "state"), random.Random(), seeds()
    seed = chance.randrange(1 << 32)
    chance.seed(seed)
    port = int(served.url.rsplit(":", 1)[1])
    end, tried = time.monotonic() + SECONDS / 2, 0
    while time.monotonic() < end:
        method, path, query, body = chance.choice(examples)
        whole = (
            f"{method} {path}?{query} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(mutated(whole, chance))
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := sock.recv(65536):
                received += chunk
        tried += 1
        assert received == b"" or received.startswith(b"HTTP/1.1 "), (seed, tried, received[:200])
        status = received[9:12]
        assert not status.startswith(b"5") or status == b"501", (seed, tried, whole, received[:500])
    served.client().list_functions()
    assert served.stop() == 0
    log = served.log.read_text()
    assert "Traceback" not in log, (seed, tried, log[log.index("Traceback") :][:4000])
    print(f"{tried:,} requests over sockets, seed {seed}")
