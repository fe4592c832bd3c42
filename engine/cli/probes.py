"""What a machine offers, one probe a function: each tries the thing itself where that leaves no trace."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass

_SYS_CLOSE_RANGE, _SYS_LANDLOCK = 436, 444  # the same on every architecture
_PR_GET_PDEATHSIG, _PR_GET_SUBREAPER = 2, 37
_LANDLOCK_VERSION = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a machine has or lacks. needed: without it the engine cannot run."""

    name: str
    ok: bool
    detail: str
    needed: bool = False
    remedy: str = ""  # how to get it, when it is not ok


Attempt = Callable[[], str]
Probe = Callable[[], Check]


def read(path: str) -> str:
    """A file of the kernel's; "" when there is none."""
    with contextlib.suppress(OSError), open(path) as file:
        return file.read().strip()
    return ""


def _probe(name: str, remedy: str, needed: bool = False) -> Callable[[Attempt], Probe]:
    """Makes a check of an attempt, which returns the detail, or raises OSError or ValueError."""

    def decorate(attempt: Attempt) -> Probe:
        def check() -> Check:
            try:
                return Check(name, True, attempt(), needed, remedy)
            except (OSError, ValueError) as error:
                return Check(name, False, str(error), needed, remedy)

        return check

    return decorate


def _succeeded(ok: bool, detail: str = "yes") -> str:
    """For a system call just made through ctypes. Raises OSError with its error."""
    if not ok:
        raise OSError(os.strerror(ctypes.get_errno()))
    return detail


# What the engine stands on.


@_probe("shared memory", "Linux 3.17 or later, with /proc mounted", needed=True)
def memfd() -> str:
    """Shared memory that has no name, cannot be shrunk under a reader, and needs no /dev/shm."""
    fd = os.memfd_create("stoker-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, 4096)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC))
    finally:
        os.close(fd)
    return "memfd, sealed; /dev/shm is not used"


@_probe("pidfd", "Linux 5.3 or later; in a container, a seccomp profile that allows it", needed=True)
def pidfd() -> str:
    """A process's end, noticed without a race."""
    fd = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(fd, 0)  # no signal: may we?
    finally:
        os.close(fd)
    return "pidfd_open, pidfd_send_signal"


@_probe("eventfd", "a kernel with CONFIG_EVENTFD", needed=True)
def eventfd() -> str:
    os.close(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
    return "yes"


@_probe("PDEATHSIG", "Linux 2.6 or later", needed=True)
def parent_death() -> str:
    """No worker outlives its parent."""
    return _succeeded(_libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(ctypes.c_int())) == 0)


@_probe("subreaper", "Linux 3.4 or later", needed=True)
def subreaper() -> str:
    """What a handler starts and loses is adopted, and ended with it."""
    return _succeeded(_libc.prctl(_PR_GET_SUBREAPER, ctypes.byref(ctypes.c_int())) == 0)


@_probe(
    "/proc children", "a kernel with CONFIG_PROC_CHILDREN, and /proc mounted without hidepid", needed=True
)
def children() -> str:
    path = f"/proc/self/task/{os.getpid()}/children"
    if not os.access(path, os.R_OK):
        raise OSError(f"{path} is not readable")
    return "readable"


@_probe("RLIMIT_DATA", "Linux 4.7 or later (before, it does not count mmap)")
def data_limit() -> str:
    """RLIMIT_DATA bounds what a worker allocates at once; a watch over its resident memory does the rest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    detail = "unlimited here" if soft == resource.RLIM_INFINITY else f"{soft >> 20} MiB here"
    release = platform.release().split("-")[0].split(".")
    if tuple(int(n) for n in release[:2] if n.isdigit()) < (4, 7):
        raise OSError(detail)
    return detail


@_probe("close_range", "Linux 5.9 or later")
def close_range() -> str:
    """Closing many descriptors at once, at a fork. Python falls back to one by one."""
    top = ctypes.c_uint(0xFFFFFFFF)
    return _succeeded(_libc.syscall(_SYS_CLOSE_RANGE, top, top, 0) == 0)


# What bounds a function from outside, and what could isolate it further.


def _cgroup_directories() -> dict[str, tuple[str, str]]:
    """Per controller: the version ("v1", "v2") and directory of the control group we are in."""
    found: dict[str, tuple[str, str]] = {}
    groups = [line.split(":", 2) for line in read("/proc/self/cgroup").splitlines()]
    for line in read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, mount = before.split(" ")[3:5]
        if kind not in ("cgroup", "cgroup2"):
            continue
        for _, controllers, path in groups:
            directory = os.path.normpath(f"{mount}/{path.removeprefix(root)}")
            if kind == "cgroup2" and controllers == "":
                for name in read(f"{directory}/cgroup.controllers").split():
                    found[name] = ("v2", directory)
            elif kind == "cgroup" and set(controllers.split(",")) & set(options.split(",")):
                for name in controllers.split(","):
                    found.setdefault(name, ("v1", directory))
    return found


def cgroup(controller: str) -> Check:
    """Could we make a control group of our own, to bound a worker by?"""
    version, directory = _cgroup_directories().get(controller, ("", ""))
    remedy = (
        "delegate a control group: systemd-run --user --scope -p Delegate=yes stoker …, "
        "or in a container mount /sys/fs/cgroup writable"
    )
    name = f"cgroup {controller}"
    if not version:
        return Check(name, False, "no such controller here", remedy=remedy)
    ok = os.access(directory, os.W_OK)
    return Check(name, ok, f"{version}, {'writable' if ok else 'not writable'}: {directory}", remedy=remedy)


def sandboxes() -> Check:
    """Can a deployed function have a file system of its own?"""
    from .._native import lib

    failed: int = -lib.stk_namespaces_probe()
    remedy = (
        "sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 (Debian), "
        "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); "
        "in a container a seccomp profile that allows unshare"
    )
    detail = f"no user namespaces: {os.strerror(failed)}; packages are verified instead"
    return Check(
        "sandboxes", not failed, detail if failed else "deployed functions run in them", remedy=remedy
    )


@_probe("seccomp filters", "a kernel with CONFIG_SECCOMP_FILTER")
def seccomp() -> str:
    if "errno" not in read("/proc/sys/kernel/seccomp/actions_avail").split():
        raise OSError("no")
    return "yes"


@_probe("landlock", "Linux 5.13 or later, booted with landlock in its lsm= list")
def landlock() -> str:
    version = _libc.syscall(_SYS_LANDLOCK, None, ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_VERSION))
    return _succeeded(version > 0, f"ABI {version}")


@_probe("yama", "sysctl kernel.yama.ptrace_scope=1, in a kernel with CONFIG_SECURITY_YAMA")
def yama() -> str:
    """May a process trace another of the same user?"""
    scope = read("/proc/sys/kernel/yama/ptrace_scope")
    if scope in ("", "0"):
        raise OSError("ptrace_scope 0" if scope else "not in this kernel")
    return f"ptrace_scope {scope}"


def needed() -> list[Check]:
    """What the engine uses."""
    probes = (memfd, pidfd, eventfd, parent_death, subreaper, children, data_limit, close_range)
    return [probe() for probe in probes]


def isolation() -> list[Check]:
    """What bounds functions beyond their processes, and what further bounds could be built of."""
    return [cgroup("memory"), cgroup("pids"), sandboxes(), seccomp(), landlock(), yama()]
