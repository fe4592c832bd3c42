"""A version's record as the engine's configuration: its code and layers laid out, its environment put together."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .. import limits, wire
from ..aws.names import LATEST, Place
from ..config import FunctionConfig, Reference, parse_reference
from ..errors import InitError
from ..observe.lines import ON_DEMAND
from . import disk, environment
from .interpreters import OWN, RUNTIMES, prepared
from .packages import Packages, merged_name
from .sandboxing import Sandboxing

_TASK, _OPT = "/var/task", "/opt"  # in a sandbox
_TMP_MB = 512  # AWS's default
DEBUG = "STOKER_DEBUG"  # a variable of a function that a debugger is in: it has no timeout
_DEBUG_MB, _DEBUG_SECONDS = 512, 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Layout:
    """What Runtime.start needs to know of one version."""

    config: FunctionConfig
    version: str
    arn: str
    log_group: str
    log_stream: str
    path_first: list[str]
    base: dict[str, str]
    initialization: str  # of AWS_LAMBDA_INITIALIZATION_TYPE
    python: str
    sandbox: wire.Sandbox | None
    fresh: bool
    strict_imports: bool


class Uses(Protocol):
    """Packages, as who runs versions sees them."""

    def use(self, names: Iterable[str]) -> None: ...

    def release(self, names: Iterable[str]) -> None: ...


class LaysOut(Protocol):
    """Layouts, or what asks another process for them."""

    @property
    def packages(self) -> Uses: ...

    def of(self, place: Place, record: Mapping[str, Any], reserved: int | None, warm: int) -> Layout: ...


@dataclass(frozen=True, slots=True)
class Layouts:
    """Lays versions out. `variables`: what a function of a place, by its record, finds in its environment beside
    the region, unless its own configuration has another value (the endpoint's URL, credentials). `pythons`: the
    interpreter of each runtime. `passed`: names of variables that are passed on from the server's own environment,
    beside the usual ones. `strict_imports`: functions import what they could on AWS. Blocks on the disk: not for the
    event loop."""

    packages: Packages
    folder: Path
    variables: Callable[[Place, Mapping[str, Any]], Mapping[str, str]]
    pythons: Mapping[str, str]
    workers: int
    sandboxing: Sandboxing | None = None
    passed: Sequence[str] = ()
    strict_imports: bool = False

    def of(self, place: Place, record: Mapping[str, Any], reserved: int | None, warm: int) -> Layout:
        """The layout of a version's record. reserved: its function's reserved concurrency; warm: workers that are
        kept. Raises OSError, InitError."""
        runtime = record["Runtime"]
        python = self.pythons[runtime] if runtime in self.pythons else prepared(runtime)
        if not python and runtime != OWN:
            text = f"The runtime {runtime} cannot be run here: this server runs {', '.join(self.pythons)}. "
            text += (
                f"`stoker python add {runtime.removeprefix('python')}` prepares a Python of this machine for it, and "
                "`stoker serve --python PATH` takes one as it is"
                if runtime in RUNTIMES
                else "It runs no other languages, and no older Pythons"
            )
            raise InitError("Runtime.InvalidRuntime", text)
        layers = record.get("_layers") or ()
        for digest in (record["_digest"], *layers):
            self.packages.verify(digest, again=self.sandboxing is None)
        task, opt = str(self.packages.tree(record["_digest"])), ""
        if layers:
            opt = str(self._merged(layers))
        # The dynamic linker looks at LD_LIBRARY_PATH when a program starts.
        fresh = _has_libraries(task, f"{task}/lib", f"{opt}/lib" if opt else "")
        fresh = fresh or any(name.startswith(limits.VARIABLES_AT_START) for name in self.passed)
        sandbox = self._sandbox(task, opt, record.get("EphemeralStorage", {}).get("Size", _TMP_MB))
        if sandbox is not None:
            task, opt = _TASK, opt and _OPT
        base = self._base(place, record, task, opt)
        path_first: list[str] = []
        if opt:
            path_first = [f"{opt}/python/lib/{runtime}/site-packages", f"{opt}/python"]
        logging = record.get("LoggingConfig", {})
        if logging.get("LogFormat") == "JSON":
            base["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
            base["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
        initialization = _initialization(record, warm)
        variables = record.get("Environment", {}).get("Variables", {})
        # A debugger takes its time, wants one worker, and needs memory of its own.
        debugged = DEBUG in variables
        config = FunctionConfig(
            reference=_reference(record["Handler"]),
            name=record["FunctionName"],
            code=task,
            memory=record["MemorySize"] + (_DEBUG_MB if debugged else 0),
            timeout=_DEBUG_SECONDS if debugged else float(record["Timeout"]),
            concurrency=1 if debugged else max(min(self.workers, reserved or self.workers), warm),
            warm=warm,
            snapshot=True,
            environment=dict(variables),
            raw=False,
            waiting=limits.CONCURRENCY_MAX,
            keep_alive=limits.KEEP_ALIVE,
            init_timeout=_init_timeout(record, initialization),
        )
        return Layout(
            config=config,
            version=record["Version"],
            arn=record["FunctionArn"],
            log_group=logging.get("LogGroup") or f"/aws/lambda/{record['FunctionName']}",
            log_stream=f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{record['Version']}]{os.urandom(16).hex()}",
            path_first=path_first,
            base=base,
            initialization=initialization,
            python=python,
            sandbox=sandbox,
            fresh=fresh,
            strict_imports=self.strict_imports,
        )

    def _sandbox(self, task: str, opt: str, tmp_mb: int) -> wire.Sandbox | None:
        if self.sandboxing is None:
            return None
        certificates = [os.environ[name] for name in environment.CERTIFICATES if name in os.environ]
        hidden, shared = list(self.sandboxing.hidden), list(self.sandboxing.shared)
        visible = [*certificates, *self.sandboxing.visible]
        return wire.Sandbox(task, opt, tmp_mb, hidden, shared, visible)

    def _base(self, place: Place, record: Mapping[str, Any], task: str, opt: str) -> dict[str, str]:
        """What a function's environment has beside Lambda's variables and its own."""
        base = environment.of_functions()
        if self.sandboxing is None and "TMPDIR" in os.environ:  # a sandbox has nothing of where this leads to
            base["TMPDIR"] = os.environ["TMPDIR"]
        base["LD_LIBRARY_PATH"] = f"{task}:{task}/lib"
        if opt:
            base["PATH"] += f":{opt}/bin"
            base["LD_LIBRARY_PATH"] += f":{opt}/lib"
        base["AWS_REGION"] = base["AWS_DEFAULT_REGION"] = place.region
        given, passed = dict(self.variables(place, record)), environment.present(self.passed)
        if environment.KEY in passed:
            for name in environment.CREDENTIALS:  # the user's own are whole, or wrong, without one of ours
                given.pop(name, None)
        return {**base, **given, **passed}

    def _merged(self, layers: Sequence[str]) -> Path:
        """The layers one over the other, as Lambda has them under /opt: a later one's file replaces an earlier's.
        Made once, of hard links, and then shared."""
        place = self.folder / merged_name(layers)
        if place.exists():
            return place
        made = Path(f"{place}.{uuid.uuid4().hex}.new")
        made.mkdir(parents=True)
        for digest in layers:
            _over(self.packages.tree(digest), made)
        disk.seal(made)
        try:
            made.rename(place)
        except OSError:  # another thread was quicker
            disk.remove(made)
            if not place.exists():
                raise
        return place


def _has_libraries(*folders: str) -> bool:
    """Is there a shared library that programs find by LD_LIBRARY_PATH?"""
    for folder in filter(os.path.isdir, folders):
        if any(name.startswith("lib") and ".so" in name for name in os.listdir(folder)):
            return True
    return False


def _over(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        there = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            if there.is_symlink() or there.is_file():
                there.unlink()
            there.mkdir(exist_ok=True)
            _over(Path(entry.path), there)
            continue
        if there.is_dir() and not there.is_symlink():
            shutil.rmtree(there)
        there.unlink(missing_ok=True)
        if entry.is_symlink():
            there.symlink_to(os.readlink(entry.path))
        else:
            os.link(entry.path, there)


def _initialization(record: Mapping[str, Any], warm: int) -> str:
    if record.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions" and record["Version"] != LATEST:
        return "snap-start"
    return "provisioned-concurrency" if warm else ON_DEMAND


def _init_timeout(record: Mapping[str, Any], initialization: str) -> float:
    """Seconds: what is initialised before it is invoked has more time for it."""
    timeout = float(record["Timeout"])
    return limits.INIT_TIMEOUT if initialization == ON_DEMAND else max(limits.INIT_TIMEOUT_AHEAD, timeout)


def _reference(handler: str) -> Reference:
    """A handler string as the worker will look for it. A wrong one is the init's error, as on Lambda."""
    module, found, attribute = handler.rpartition(".")
    if not found:
        return Reference(handler, "")
    try:
        return parse_reference(handler)
    except ValueError:
        return Reference(module, attribute)
