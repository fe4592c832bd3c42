"""A scenario's target made real: functions started with what was said of them, a server asked with a signature."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served

pytest.importorskip("uvicorn", reason="pip install stoker[serve]")
from engine.errors import InitError
from engine.hosting.packages import pack
from engine.load.generate.record import Response
from engine.load.run import opened
from engine.load.scenario.scenario import scenario

HANDLER = """
import os
def handler(event, context):
    return {"event": event, "size": os.environ.get("SIZE"), "memory": context.memory_limit_in_mb, "pid": os.getpid()}
def broken(event, context):
    raise ValueError("no")
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "bad.py").write_text("import nothing_like_it\n")
    return tmp_path


def asked(target: str, base: Path, functions: int = 1, **settings: Any) -> list[Response]:
    """What the functions of a target answer."""

    async def main() -> list[Response]:
        made = scenario(target, settings if target.endswith(".toml") else {"rate": 1, **settings}, base)
        async with opened(made.target) as real:
            assert real.functions == functions
            answers = []
            for number in range(functions):
                future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
                real.send(b'{"n": 1}', number, future.set_result)
                answers.append(await asyncio.wait_for(future, 30))
            return answers

    return asyncio.run(main())


def test_an_embedded_function_has_what_was_said_of_it(code: Path) -> None:
    [answer] = asked("app:handler", code, memory=256, environment={"SIZE": "64"}, warm=0)
    assert answer.ending == "ok"
    said = json.loads(answer.payload)
    assert (said["event"], said["size"], said["memory"]) == ({"n": 1}, "64", "256")


def test_the_same_function_twice_is_two(code: Path) -> None:
    (code / "two.toml").write_text(
        """
        [[target.function]]
        reference = "app:handler"
        [[target.function]]
        reference = "app:handler"
        environment = { SIZE = "2" }
        [[target.function]]
        reference = "app:broken"
        [arrivals]
        rate = 1
        """
    )
    first, second, third = asked("two.toml", code, 3)
    one, two = json.loads(first.payload), json.loads(second.payload)
    assert (one["size"], two["size"]) == (None, "2")
    assert one["pid"] != two["pid"]
    assert (third.ending, third.why) == ("error", "ValueError: no")


def test_a_function_that_cannot_be_started_leaves_nothing(code: Path) -> None:
    with pytest.raises(InitError, match="nothing_like_it"):
        asked("bad:handler", code)


def test_nobody_listens(code: Path) -> None:
    with pytest.raises(OSError, match="no connection to 127.0.0.1:1: "):
        asked("http://127.0.0.1:1/", code)
    with pytest.raises(OSError, match="no connection to 127.0.0.1:1: "):
        asked("one", code, endpoint="http://127.0.0.1:1")


@pytest.mark.slow
def test_a_server_that_wants_signatures(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = code / "keys"
    keys.write_text("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = its/secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(code / "none"))
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    served = Served(code / "state", "--auth", str(keys))
    try:
        api = served.client(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="its/secret")
        api.create_function(
            FunctionName="one", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
            Code={"ZipFile": pack(code / "app.py")},
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName="one", WaiterConfig={"Delay": 0})
        [refused] = asked("one", code, endpoint=served.url)
        assert refused.ending == "failure"
        assert refused.why == "403 Missing Authentication Token"
        [answer] = asked("one:$LATEST", code, endpoint=served.url, sign=True)
        assert (answer.ending, answer.why) == ("ok", "")
        assert json.loads(answer.payload)["event"] == {"n": 1}
    finally:
        assert served.stop() == 0
