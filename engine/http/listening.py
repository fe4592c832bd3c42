"""The socket that the server listens on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from .server import Options


def listen(options: Options) -> socket.socket:
    """The socket to serve on. Raises InvalidConfiguration when it cannot be had."""
    uds, host, port = options.uds, options.host, options.port
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
                sock.bind((host, port))
            sock.listen(1024)
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
