"""The sockets that the server listens on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from urllib.parse import urlsplit

from .. import errors
from ..services.urls.service import PATH as LAMBDA_URL
from .options import Options, is_loopback


def listen(options: Options) -> list[socket.socket]:
    """The sockets to serve on, one for each accepting process: the kernel divides connections among them. Raises
    InvalidConfiguration when they cannot be had."""
    with contextlib.ExitStack() as failed:
        first = failed.enter_context(_bound(options, options.port))
        found = [first]
        if options.workers > 1:
            # What listens without SO_REUSEPORT shows that nobody else does; then it makes place for those that share.
            port = first.getsockname()[1]
            first.close()
            found = [
                failed.enter_context(_bound(options, port, together=True)) for _ in range(options.workers)
            ]
        for sock in found:
            sock.listen(1024)
        failed.pop_all()
        return found


def _bound(options: Options, port: int, together: bool = False) -> socket.socket:
    uds, host = options.uds, options.host
    family = socket.AF_UNIX if uds else socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as failed:
        sock = failed.enter_context(socket.socket(family, socket.SOCK_STREAM))
        try:
            if uds:
                _free(uds)
                sock.bind(uds)
                os.chmod(uds, 0o600)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if together:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind((host, port))
                if not together:
                    sock.listen(1024)  # two that share an address by SO_REUSEADDR cannot both
        except OSError as error:
            remedy = "" if uds else ". Is another server there? --port 0 takes any port that is free"
            reason = f"cannot listen on {uds or f'{host}:{port}'}: {error.strerror or error}{remedy}"
            raise errors.InvalidConfiguration(reason) from None
        failed.pop_all()
        return sock


def _free(path: str) -> None:
    """A stale socket is removed; one that another server answers on is left alone."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise errors.InvalidConfiguration(f"--uds {path} is there, and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise errors.InvalidConfiguration(f"--uds {path}: another server answers there")


def url_of(options: Options, sock: socket.socket) -> str:
    if options.uds:
        return "http://localhost"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{sock.getsockname()[1]}"


def hosts_resolve() -> bool:
    """Do names below localhost lead to this machine here? RFC 6761 says so, not every resolver does."""
    try:
        found = socket.getaddrinfo("any.lambda-url.localhost", None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(is_loopback(str(address[0])) for *_, address in found)


def function_url(base: str, url_id: str, region: str, by_host: bool) -> str:
    """A function URL: a host of its own, as on AWS, where that leads to a server on this machine; else a path."""
    parts = urlsplit(base)
    if by_host and parts.port and is_loopback(parts.hostname or ""):
        return f"http://{url_id}.lambda-url.{region}.localhost:{parts.port}/"
    return f"{base}{LAMBDA_URL}{url_id}/"


def host_below(base: str, name: str, kind: str) -> str:
    """An API's or a load balancer's name: a host of its own, which leads here as all below .localhost do."""
    port = urlsplit(base).port
    return f"{name}.{kind}.localhost{f':{port}' if port else ''}"
