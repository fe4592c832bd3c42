"""What a machine offers, one probe a function: each tries the thing itself where that leaves no trace."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

_SYS_CLOSE_RANGE, _SYS_LANDLOCK = 436, 444  # the same on every architecture
_PR_GET_PDEATHSIG, _PR_GET_SUBREAPER = 2, 37
_LANDLOCK_VERSION = 1
_CLONE_NEWUSER = 0x10000000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a machine has or lacks. needed: without it the engine cannot run."""

    name: str
    ok: bool
    detail: str
    needed: bool = False
    remedy: str = ""  # how to get it, when it is not ok


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _tried(attempt: Callable[[], str]) -> tuple[bool, str]:
    """Whether the attempt worked, and the detail: its result or its error."""
    try:
        return True, attempt()
    except (OSError, ValueError) as error:
        return False, str(error)


def _yes(ok: bool) -> str:
    """For a system call just made through ctypes."""
    return "yes" if ok else os.strerror(ctypes.get_errno())


# What the engine stands on.


def memfd() -> Check:
    """Shared memory that has no name, cannot be shrunk under a reader, and needs no /dev/shm."""

    def attempt() -> str:
        fd = os.memfd_create("stoker-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, 4096)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC))
        finally:
            os.close(fd)
        return "memfd, sealed; /dev/shm is not used"

    ok, detail = _tried(attempt)
    return Check("shared memory", ok, detail, True, "Linux 3.17 or later, with /proc mounted")


def pidfd() -> Check:
    """A process's end, noticed without a race."""

    def attempt() -> str:
        fd = os.pidfd_open(os.getpid())
        try:
            signal.pidfd_send_signal(fd, 0)  # no signal: may we?
        finally:
            os.close(fd)
        return "pidfd_open, pidfd_send_signal"

    ok, detail = _tried(attempt)
    remedy = "Linux 5.3 or later; in a container, a seccomp profile that allows it"
    return Check("pidfd", ok, detail, True, remedy)


def eventfd() -> Check:
    def attempt() -> str:
        os.close(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        return "yes"

    ok, detail = _tried(attempt)
    return Check("eventfd", ok, detail, True, "a kernel with CONFIG_EVENTFD")


def parent_death() -> Check:
    """No worker outlives its parent."""
    value = ctypes.c_int()
    ok = _libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(value)) == 0
    return Check("PDEATHSIG", ok, _yes(ok), True, "Linux 2.6 or later")


def subreaper() -> Check:
    """What a handler starts and loses is adopted, and ended with it."""
    value = ctypes.c_int()
    ok = _libc.prctl(_PR_GET_SUBREAPER, ctypes.byref(value)) == 0
    return Check("subreaper", ok, _yes(ok), True, "Linux 3.4 or later")


def children() -> Check:
    path = f"/proc/self/task/{os.getpid()}/children"
    ok = os.access(path, os.R_OK)
    remedy = "a kernel with CONFIG_PROC_CHILDREN, and /proc mounted without hidepid"
    return Check("/proc children", ok, "readable" if ok else f"{path} is not readable", True, remedy)


def data_limit() -> Check:
    """RLIMIT_DATA bounds what a worker allocates at once; a watch over its resident memory does the rest."""

    def attempt() -> str:
        soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
        return "unlimited here" if soft == resource.RLIM_INFINITY else f"{soft >> 20} MiB here"

    ok, detail = _tried(attempt)
    release = platform.release().split("-")[0].split(".")
    ok = ok and tuple(int(n) for n in release[:2] if n.isdigit()) >= (4, 7)
    return Check("RLIMIT_DATA", ok, detail, False, "Linux 4.7 or later (before, it does not count mmap)")


def close_range() -> Check:
    """Closing many descriptors at once, at a fork. Python falls back to one by one."""
    top = ctypes.c_uint(0xFFFFFFFF)
    ok = _libc.syscall(_SYS_CLOSE_RANGE, top, top, 0) == 0
    return Check("close_range", ok, _yes(ok), False, "Linux 5.9 or later")


# What bounds a function from outside, and what could isolate it further.


def _cgroup_directories() -> dict[str, tuple[str, str]]:
    """Per controller: the version ("v1", "v2") and directory of the control group we are in."""
    found: dict[str, tuple[str, str]] = {}
    groups = [line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines()]
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, mount = before.split(" ")[3:5]
        if kind not in ("cgroup", "cgroup2"):
            continue
        for _, controllers, path in groups:
            inside = path.removeprefix(root) if root != "/" else path
            directory = os.path.normpath(f"{mount}/{inside}")
            if kind == "cgroup2" and controllers == "":
                for name in _read(f"{directory}/cgroup.controllers").split():
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


def user_namespaces() -> Check:
    # In a process of its own: there is no way back out of a namespace.
    code = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
        f"raise SystemExit(libc.unshare({_CLONE_NEWUSER}) and ctypes.get_errno())"
    )
    try:
        status = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False, timeout=10).returncode
    except (OSError, subprocess.SubprocessError) as error:
        return Check("user namespaces", False, str(error))
    remedy = (
        "sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 (Debian), "
        "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); "
        "in a container a seccomp profile that allows unshare"
    )
    detail = "yes" if status == 0 else os.strerror(max(0, status))
    return Check("user namespaces", status == 0, detail, remedy=remedy)


def seccomp() -> Check:
    actions = _read("/proc/sys/kernel/seccomp/actions_avail").split()
    ok = "errno" in actions
    return Check("seccomp filters", ok, "yes" if ok else "no", remedy="a kernel with CONFIG_SECCOMP_FILTER")


def landlock() -> Check:
    version = _libc.syscall(_SYS_LANDLOCK, None, ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_VERSION))
    ok = version > 0
    detail = f"ABI {version}" if ok else os.strerror(ctypes.get_errno())
    return Check("landlock", ok, detail, remedy="Linux 5.13 or later, booted with landlock in its lsm= list")


def yama() -> Check:
    """May a process trace another of the same user?"""
    scope = _read("/proc/sys/kernel/yama/ptrace_scope")
    ok = scope.isdigit() and int(scope) >= 1
    detail = f"ptrace_scope {scope}" if scope else "not in this kernel"
    remedy = "sysctl kernel.yama.ptrace_scope=1, in a kernel with CONFIG_SECURITY_YAMA"
    return Check("yama", ok, detail, remedy=remedy)


NEEDED = (memfd, pidfd, eventfd, parent_death, subreaper, children, data_limit, close_range)


def needed() -> list[Check]:
    """What the engine uses."""
    return [probe() for probe in NEEDED]


def isolation() -> list[Check]:
    """What further bounds could be built of. The engine runs without any of it."""
    return [cgroup("memory"), cgroup("pids"), user_namespaces(), seccomp(), landlock(), yama()]
