"""A function URL is a host of its own where names below localhost lead to this machine; else a path."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from engine.http.listening import function_url, hosts_resolve


@pytest.mark.promise(189)
@pytest.mark.parametrize(
    ("base", "by_host", "url"),
    [
        ("http://127.0.0.1:9001", True, "http://abc.lambda-url.eu-west-1.localhost:9001/"),
        ("http://[::1]:9001", True, "http://abc.lambda-url.eu-west-1.localhost:9001/"),
        ("http://localhost:80", True, "http://abc.lambda-url.eu-west-1.localhost:80/"),
        ("http://127.0.0.1:9001", False, "http://127.0.0.1:9001/lambda-url/abc/"),
        ("http://10.0.0.1:9001", True, "http://10.0.0.1:9001/lambda-url/abc/"),
        ("http://localhost", True, "http://localhost/lambda-url/abc/"),
    ],
)
def test_which_it_is(base: str, by_host: bool, url: str) -> None:
    assert function_url(base, "abc", "eu-west-1", by_host) == url


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1"], True),
        (["::1", "127.0.0.1"], True),
        (["127.0.0.1", "10.0.0.1"], False),
        (None, False),
        ([], False),
    ],
)
def test_what_a_resolver_says(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str] | None, expected: bool
) -> None:
    def resolved(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if addresses is None:
            raise socket.gaierror("not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    assert hosts_resolve() is expected
