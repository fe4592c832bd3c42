"""The files that a template is made of, watched: which functions a change is of, and whether their code can be read."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from .status import UsageError

if TYPE_CHECKING:
    from ..deploy.packaging import Packaged, Source

STEP_MS = 5  # between two looks of the watcher: what happens within one is one change
_GROUP_MS = 50  # that changes are gathered at most
_LOOK_MS = 100  # between two looks of the watcher's thread at whether it is to end
_WRITTEN = 1.0  # seconds that a file may be open for writing until it is read as it is
_PAUSE = 0.002
_OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_COMPILE = "import sys; compile(sys.stdin.buffer.read(), sys.argv[1], 'exec', dont_inherit=True)"


@dataclass
class Change:
    """What saved files are. whole: of the template, or of what only a deployment of it can bring; functions: whose code
    is another; broken: their files that cannot be compiled, and why."""

    whole: bool = False
    functions: list[Source] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)


class Sources:
    """Those of one template, as it was deployed last."""

    def __init__(self, template: Path) -> None:
        self.template = template
        self.packed: Packaged | None = None
        self._seen: dict[Path, tuple[int, ...]] = {}

    def folders(self) -> set[Path]:
        """The directories to watch, each by itself: a file that is replaced is another one, and what no archive has
        (a state directory, an environment) may change all the time."""
        found = {self.template.parent}
        if self.packed is not None:
            found |= {path.parent for path in self.packed.documents}
            for path in {each.path for each in self.packed.sources}:
                found.add(path if path.is_dir() else path.parent)
                if path.is_dir():
                    found |= set(_folders_in(path))
        return found

    def fresh(self, files: Iterable[Path]) -> set[Path]:
        """Those of these that are not as they were the last time: the others have only been read."""
        found = set()
        for path in files:
            state = _state(path)
            if self._seen.get(path) != state:
                self._seen[path] = state
                found.add(path)
        return found

    def change(self, files: Iterable[Path]) -> Change:
        """What these files are to the template."""
        from ..deploy.building import REQUIREMENTS

        found = Change()
        packed = self.packed
        for path in files:
            if path == self.template or (packed is not None and path in packed.documents):
                found.whole = True
                found.files.add(path)
            for source in packed.sources if packed is not None else ():
                if not _within(path, source):
                    continue
                found.files.add(path)
                if not source.function or path.name in REQUIREMENTS:
                    found.whole = True
                elif source not in found.functions:
                    found.functions.append(source)
                if path.suffix == ".py" and (why := _fault(path, source.runtime)):
                    found.broken[path] = why
        return found


def _state(path: Path) -> tuple[int, ...]:
    """What is another one once a file was written or replaced."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _within(path: Path, source: Source) -> bool:
    from ..hosting.archives import packs

    if path == source.path:
        return True
    return path.is_relative_to(source.path) and packs(path.relative_to(source.path).parts)


def _fault(path: Path, runtime: str) -> str:
    """Why it cannot be compiled, "" if it can; or if the runtime's Python is not here to say so."""
    _await_writer(path)
    try:
        text = path.read_bytes()
    except OSError:  # it has gone
        return ""
    if runtime in ("", _OWN):
        try:
            compile(text, str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:  # ValueError: null bytes
            return "".join(traceback.format_exception_only(error)).rstrip()
        return ""
    python = shutil.which(runtime)
    if python is None:
        return ""
    done = subprocess.run(
        [python, "-I", "-c", _COMPILE, str(path)], input=text, capture_output=True, check=False
    )
    lines = done.stderr.decode("utf-8", "replace").rstrip().splitlines()
    return "\n".join(lines[lines.index(first) :] if (first := _first(lines)) else lines)


def _first(lines: list[str]) -> str:
    """The line of an error that says where it is, behind those of whoever compiled."""
    return next((line for line in reversed(lines) if line.startswith("  File ")), "")


def _await_writer(path: Path) -> None:
    """Until nobody has it open for writing: what is half written is not there yet."""
    until = time.monotonic() + _WRITTEN
    while time.monotonic() < until:
        try:
            with path.open("rb") as file:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:  # no leases here, or no file any more
            return


def _folders_in(root: Path) -> Iterator[Path]:
    from ..hosting.archives import packs

    for folder, names, _ in os.walk(root):
        names[:] = [name for name in names if packs([name])]
        yield from (Path(folder, name) for name in names)


class Watcher:
    """Tells of files that were saved, from a thread of its own. Raises UsageError where watchfiles is not installed."""

    def __init__(self, tell: Callable[[set[Path]], object]) -> None:
        try:
            from watchfiles import watch
        except ImportError:
            raise UsageError('this needs watchfiles: pip install "stoker[dev]"') from None
        self._watch = watch
        self._tell = tell
        self._ended = Event()
        self._thread: Thread | None = None
        self.folders: set[Path] = set()

    def follow(self, folders: set[Path]) -> None:
        """These, from now on."""
        if folders == self.folders:
            return
        self.close()
        self.folders, self._ended = folders, Event()
        ready = Event()
        self._thread = Thread(target=self._run, args=(folders, self._ended, ready), daemon=True)
        self._thread.start()
        ready.wait(10)

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, folders: set[Path], ended: Event, ready: Event) -> None:
        try:
            for found in self._watch(
                *folders, watch_filter=None, step=STEP_MS, debounce=_GROUP_MS, rust_timeout=_LOOK_MS,
                yield_on_timeout=True, stop_event=ended, recursive=False,
            ):  # fmt: skip
                ready.set()
                if found:
                    self._tell({Path(name) for _, name in found})
        except FileNotFoundError as error:  # a folder has gone: whoever follows asks again
            self.folders = set()
            self._tell({Path(str(error.filename or error))})
        finally:
            ready.set()
