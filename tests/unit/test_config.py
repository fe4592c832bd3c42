"""What a user may configure, and the messages about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import AsyncEngine, Engine, InvalidConfiguration, limits
from engine.config import configure

HERE = Path(__file__).resolve().parent


def test_defaults() -> None:
    config = configure("app:handler", code=HERE)
    assert (config.name, config.code) == ("app", str(HERE))
    assert (config.memory, config.timeout, config.concurrency, config.warm) == (128, 30.0, 1, 1)
    assert (config.snapshot, config.raw, config.environment) == (True, False, {})
    assert (config.waiting, config.keep_alive, config.init_timeout) == (1000, 60.0, 10.0)


def test_the_defaults_are_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three places that state them agree."""
    import inspect

    defaults = {}
    for function in (configure, Engine.function, AsyncEngine.function):
        parameters = inspect.signature(function).parameters
        defaults[function.__qualname__] = {
            name: p.default for name, p in parameters.items() if name != "self"
        }
    assert defaults["configure"] == defaults["Engine.function"] == defaults["AsyncEngine.function"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"memory": 127}, "memory=127: use a whole number from 128 to 10240 MB"),
    ({"memory": 10241}, "memory=10241: use a whole number"),
    ({"memory": 128.5}, "memory=128.5: use a whole number"),
    ({"memory": "512"}, "memory='512': use a whole number"),
    ({"memory": True}, "memory=True: use"),
    ({"memory": None}, "memory=None: use"),
    ({"memory": float("nan")}, "memory=nan: use"),
    ({"memory": float("inf")}, "memory=inf: use"),
    ({"timeout": 0}, "timeout=0: use a number from 0.001 to 900 seconds"),
    ({"timeout": -1}, "timeout=-1: use"),
    ({"timeout": 900.1}, "timeout=900.1: use"),
    ({"concurrency": 0}, "concurrency=0: use a whole number from 1 to 1000 workers"),
    ({"concurrency": 1001}, "concurrency=1001: use"),
    ({"warm": -1}, "warm=-1: use a whole number from 0 to 1 workers"),
    ({"warm": 2}, r"warm=2: use a whole number from 0 to 1 workers \(at most the concurrency\)"),
    ({"concurrency": 4, "warm": 5}, "warm=5: use a whole number from 0 to 4 workers"),
    ({"waiting": -1}, "waiting=-1: use"),
    ({"keep_alive": -0.1}, "keep_alive=-0.1: use"),
    ({"init_timeout": 0}, "init_timeout=0: use"),
    ({"init": "lazy"}, "init='lazy': use \"snapshot\""),
    ({"codec": "pickle"}, 'codec=\'pickle\': use "json" or "raw"'),
    ({"name": ""}, "bad name '': use 1 to 64 letters, digits, hyphens and underscores"),
    ({"name": "a b"}, "bad name 'a b'"),
    ({"name": "a\n"}, r"bad name 'a\\n'"),
    ({"name": "n" * 65}, "bad name 'nnn"),
    ({"name": "ü"}, "bad name 'ü'"),
    ({"name": 5}, "bad name 5"),
    ({"code": "/no/such/directory"}, "code='/no/such/directory' is not a directory"),
    ({"code": __file__}, "is not a directory"),
    ({"environment": {"A": 1}}, "environment: 'A'=1: names and values are strings"),
    ({"environment": {1: "a"}}, "environment: 1='a': names and values are strings"),
    (
        {"environment": {"1A": "x"}},
        "environment: bad name '1A': use a letter, then letters, digits or underscores, two or more in all",
    ),
    ({"environment": {"A-B": "x"}}, "environment: bad name 'A-B'"),
    ({"environment": {"AB\n": "x"}}, "environment: bad name"),
    ({"environment": {"": "x"}}, "environment: bad name ''"),
    (
        {"environment": {"AWS_LAMBDA_FUNCTION_NAME": "x"}},
        "AWS_LAMBDA_FUNCTION_NAME is reserved: Lambda sets it",
    ),
    ({"environment": {"LAMBDA_TASK_ROOT": "x"}}, "LAMBDA_TASK_ROOT is reserved"),
    ({"environment": {"AB": "x\0y"}}, "the value of AB holds a NUL character"),
    ({"environment": {"AB": "x" * 4096}}, "environment: 4105 bytes as JSON exceed the 4KB limit"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_what_makes_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message) as caught:
        configure("app:handler", **{"code": HERE, **options})
    assert isinstance(caught.value, ValueError)


EDGES: list[dict[str, Any]] = [
    {"memory": 128}, {"memory": 10240}, {"memory": 512.0}, {"timeout": 0.001}, {"timeout": 900},
    {"concurrency": 1000, "warm": 1000}, {"warm": 0}, {"waiting": 0}, {"keep_alive": 0}, {"name": "n" * 64},
    {"name": "A-_9"}, {"environment": {"AB": "x" * (4096 - 9)}}, {"environment": {"MINE_1": ""}},
    {"environment": {"AWS_REGION": "eu-west-1", "TZ": ":UTC"}},
]  # fmt: skip


@pytest.mark.parametrize("options", EDGES, ids=[str(n) for n in range(len(EDGES))])
def test_what_just_does(options: dict[str, Any]) -> None:
    config = configure("app:handler", **{"code": HERE, **options})
    for name, value in options.items():
        assert getattr(config, name) == value


def test_numbers_come_out_in_one_type() -> None:
    config = configure("app:handler", code=HERE, memory=256.0, timeout=3, keep_alive=1)  # type: ignore[arg-type]
    assert [type(v) for v in (config.memory, config.timeout, config.keep_alive)] == [int, float, float]


def test_the_environment_is_copied() -> None:
    mine = {"AB": "1"}
    config = configure("app:handler", code=HERE, environment=mine)
    mine["AB"] = "2"
    assert config.environment == {"AB": "1"}


def test_a_long_default_name_is_cut_in_front() -> None:
    assert configure("m" * 60 + ":" + "a" * 60, code=HERE).name == "mmm-" + "a" * 60


@pytest.mark.parametrize("size", [0, -1, 1.5, (1 << 30) + 1, "6"])
def test_the_engines_payload_limit(size: Any) -> None:
    for kind in (Engine, AsyncEngine):
        with pytest.raises(InvalidConfiguration, match="payload_limit=.*: use 1 byte to 1 GiB"):
            kind(payload_limit=size)


def test_the_limits_are_awss() -> None:
    assert limits.EVENT_BYTES == 6_291_456
    assert limits.REPLY_BYTES == 6_291_556
    assert (limits.TIMEOUT_DEFAULT, limits.TIMEOUT_MAX, limits.INIT_TIMEOUT) == (3.0, 900.0, 10.0)
    assert (limits.MEMORY_MIN, limits.MEMORY_DEFAULT, limits.MEMORY_MAX) == (128, 128, 10_240)
    assert (limits.ENVIRONMENT_BYTES, limits.LOG_TAIL_BYTES, limits.NAME_CHARS) == (4096, 4096, 64)
