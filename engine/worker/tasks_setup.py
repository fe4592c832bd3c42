"""What an Executor tells its workers, once."""

from __future__ import annotations

import os
import pickle
from typing import NamedTuple

VARIABLE = "STOKER_TASKS"  # names the file that has the setup's pickle


class Setup(NamedTuple):
    """main: the embedder's script, as main_module.install() takes it; imported: modules that the first task needs,
    which all workers then share; initializer: pickled, with its arguments; tasks: a worker is replaced after so many,
    0: never; key: multiprocessing's, of the embedder's process."""

    main: tuple[str, str] | None
    imported: list[str]
    initializer: bytes | None
    tasks: int
    key: bytes


def read() -> Setup:
    """In a worker's environment; where there is none, nothing is set up."""
    path = os.environ.pop(VARIABLE, None)
    if path is None:
        return Setup(None, [], None, 0, b"")
    with open(path, "rb") as file:
        return Setup(*pickle.load(file))


class NamedFd:
    """A descriptor of the embedder's, as multiprocessing's queues want it: what it leads to is opened anew."""

    def __init__(self, path: str, flags: int) -> None:
        self._path = path
        self._flags = flags

    def detach(self) -> int:
        return os.open(self._path, self._flags | os.O_CLOEXEC)
