"""A handler's HTTP connections to the server that runs it go by a Unix socket: no TCP, and the sandbox shows it.

What boto3, urllib3 and http.client open to the endpoint's own host and port is connected to the socket instead; every
request, whatever the operation, is the same. So is what boto3 opens by HTTPS to the host of an API of API Gateway: the
events of WebSocket APIs have that address, for their @connections. Only where the environment names a socket, and only
in these modules once the function has imported them; whatever else opens connections goes by TCP.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

VARIABLE = "STOKER_ENDPOINT"  # "HOST:PORT PATH"
_NO_TIMEOUT: object = vars(socket)["_GLOBAL_DEFAULT_TIMEOUT"]  # what both modules have for none given


def route() -> None:
    """In a template, before its function is loaded."""
    address, _, path = os.environ.get(VARIABLE, "").partition(" ")
    host, _, port = address.rpartition(":")
    if not path or not port.isdigit():
        return
    routes = _Routes((host.strip("[]"), int(port)), path)
    patches: dict[str, Callable[[Any], None]] = {
        "http.client": routes.into_http_client,
        "urllib3.connection": routes.into_urllib3,
    }
    sys.meta_path.insert(0, _Finder(patches))
    for name in [name for name in patches if name in sys.modules]:
        patches.pop(name)(sys.modules[name])


class _Routes:
    """To one address, by one socket."""

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self._address = address
        self._path = path

    def _connected(self, connection: Any, api: bool = False) -> socket.socket | None:
        """None: it leads elsewhere, or the socket is gone. api: it may lead to an API, too."""
        here = _of_api(connection) if api else (connection.host, connection.port) == self._address
        if not here or getattr(connection, "_tunnel_host", None):
            return None
        with contextlib.ExitStack() as failed, contextlib.suppress(OSError):
            sock = failed.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            if connection.timeout is not _NO_TIMEOUT:
                sock.settimeout(connection.timeout)
            sock.connect(self._path)
            failed.pop_all()
            return sock
        return None

    def into_http_client(self, module: Any) -> None:
        by_tcp: Callable[[Any], None] = module.HTTPConnection.connect

        def connect(connection: Any) -> None:
            sock = self._connected(connection)
            if sock is None:
                by_tcp(connection)
            else:
                connection.sock = sock

        module.HTTPConnection.connect = connect

    def into_urllib3(self, module: Any) -> None:
        by_tcp: Callable[[Any], socket.socket] = module.HTTPConnection._new_conn

        def new_conn(connection: Any) -> socket.socket:
            return self._connected(connection) or by_tcp(connection)

        module.HTTPConnection._new_conn = new_conn
        secured: Callable[[Any], None] = module.HTTPSConnection.connect

        def connect(connection: Any) -> None:
            sock = self._connected(connection, api=True)
            if sock is None:
                secured(connection)
            else:
                connection.sock = sock
                connection.is_verified = True  # nobody listens

        module.HTTPSConnection.connect = connect


def _of_api(connection: Any) -> bool:
    """Is it boto3's, to an API's host?"""
    host = connection.host
    return (
        ".execute-api." in host
        and host.endswith((".amazonaws.com", ".localhost"))
        and type(connection).__module__.startswith("botocore.")
    )


class _Finder:
    """Changes modules once, as they are imported."""

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        patch = self._patches.pop(name, None)
        spec = importlib.util.find_spec(name) if patch is not None else None
        if patch is None or spec is None or spec.loader is None:
            return None
        load: Callable[[Any], None] = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
