"""Which interpreters run functions: the server's own, and others of this machine that have what the engine needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable

from ..errors import InvalidConfiguration

OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"
NEEDS = "msgspec cffi"  # what `pip install` puts there for the engine
_CANDIDATES = tuple(f"python3.{minor}" for minor in range(11, 15))
_STANDS_IN = re.compile(r"python3\.\d+=", re.ASCII)
_PROBE_SECONDS = 20.0
_PROBE = """
import sys
if sys.version_info < (3, 11) or sys.implementation.name != "cpython":
    sys.exit(f"it is {sys.implementation.name} {sys.version.split()[0]}, not CPython 3.11 or later")
try:
    import msgspec, _cffi_backend
except ImportError as error:
    sys.exit(f"it has no {error.name}")
print(f"python{sys.version_info[0]}.{sys.version_info[1]}")
"""


def interpreters(configured: Iterable[str] = ()) -> dict[str, str]:
    """By runtime ("python3.12"), the interpreter ("": this one). Configured ones come before those on the PATH; one of
    the PATH that cannot run functions is left out. A configured one is a path, or RUNTIME=PATH: it stands in for a
    runtime that is another version. Raises InvalidConfiguration for a configured one that cannot run functions."""
    own: list[str] = []  # each once
    stands_in: dict[str, list[str]] = {}
    for each in configured:
        if _STANDS_IN.match(each):
            alias, _, path = each.partition("=")
            stands_in.setdefault(path, []).append(alias)
        else:
            path = each
        if path not in own:
            own.append(path)
    others = [there for python in _CANDIDATES if python != OWN and (there := shutil.which(python))]
    found = {OWN: ""}
    for python, probe in [(python, _probe(python)) for python in (*own, *others)]:  # all of them at once
        runtime, why = _runtime(probe)
        if runtime:
            for name in stands_in.get(python, [runtime]):
                found.setdefault(name, python)
        elif python in own:
            raise InvalidConfiguration(
                f"--python {python} cannot run functions: {why}. It must be a CPython 3.11 or later in which "
                f"`python -m pip install {NEEDS}` was done"
            )
    return found


def _probe(python: str) -> subprocess.Popen[str] | OSError:
    try:
        return subprocess.Popen(
            [python, "-P", "-c", _PROBE],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    except OSError as error:
        return error


def _runtime(probe: subprocess.Popen[str] | OSError) -> tuple[str, str]:
    """The runtime, or why there is none."""
    if isinstance(probe, OSError):
        return "", probe.strerror or str(probe)
    with probe:
        try:
            output, complaint = probe.communicate(timeout=_PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            probe.kill()
            return "", f"it did not answer within {_PROBE_SECONDS:.0f} s"
    lines = complaint.strip().splitlines()
    if probe.returncode:
        return "", lines[-1] if lines else f"it ended with status {probe.returncode}"
    runtime = output.strip()
    return (runtime, "") if runtime.startswith("python3.") else ("", "it is no Python")
