"""Functions whose environment must be there when their interpreter starts: their template is a new program, by exec.

So PYTHONPATH, PYTHONHASHSEED, LD_PRELOAD and their kind have their effect, and AWS_LAMBDA_EXEC_WRAPPER runs: for that a
fork of the zygote would be too late. It costs such a function an interpreter's start, once.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from typing import NoReturn

from .. import limits, wire

_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
_BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")
_DESCRIPTORS = "STOKER_TEMPLATE"  # which bootstrap.py reads
_LIBRARIES = "LD_LIBRARY_PATH"


def needs(spec: wire.FunctionSpec) -> bool:
    """Must its template be a new program?"""
    return spec.deployed.fresh or any(name.startswith(limits.VARIABLES_AT_START) for name in spec.environment)


def become(spec: wire.FunctionSpec, variables: dict[str, str], sock_fd: int) -> NoReturn:
    """Replace this process by such a program, with these variables, which runs bootstrap.py."""
    fd = os.memfd_create("stoker-template", 0)
    os.write(fd, json.dumps({"path": sys.path, "spec": wire.encode(spec).decode()}).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(sock_fd, True)
    variables[_DESCRIPTORS] = f"{sock_fd} {fd}"
    # This interpreter may need them to start.
    if spec.deployed.base is not None and _LIBRARIES in os.environ:
        variables[_LIBRARIES] = f"{variables.get(_LIBRARIES, '')}:{os.environ[_LIBRARIES]}".strip(":")
    command = [sys.executable, _BOOTSTRAP]
    wrapper = variables.get(_WRAPPER)
    if wrapper:
        _check(wrapper)
        command.insert(0, wrapper)
    try:
        os.execve(command[0], command, variables)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script that does not say what runs it
            os.execve("/bin/sh", ["/bin/sh", *command], variables)
        _end(f"{command[0]}: {error.strerror}", 126)


def _check(wrapper: str) -> None:
    """In the words, and with the status, of AWS's runtime."""
    try:
        mode = os.stat(wrapper).st_mode
    except OSError:
        _end(f"{wrapper}: does not exist", 127)
    if not stat.S_ISREG(mode) or not os.access(wrapper, os.X_OK):
        _end(f"{wrapper}: is not an executable", 126)


def _end(message: str, status: int) -> NoReturn:
    os.write(2, f"{message}\n".encode())
    os._exit(status)
