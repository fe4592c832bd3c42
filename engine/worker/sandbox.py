"""A deployed function's processes see what Lambda's do: a file system of their own, read-only but for /tmp.

A template enters it before it touches the function's code, and its workers are forked inside:

    /var/task       the package            /tmp          a tmpfs of EphemeralStorage's size: each worker has its own
    /opt            the layers             /usr, /etc …  the machine's, without /home, /root, /run, /srv, /var
    the interpreter, the engine and its packages, where they are; directories that the server shares, writable

The root is a new tmpfs that lists what is visible, so what it does not list is not there: the state directory, other
functions' packages. That takes no privilege but user namespaces (user_namespaces(7)): two, one in the other. The outer
one builds the tree. In the inner one every mount of the outer's is locked: user code that gets the inner one's
capabilities back cannot undo a mount, nor write to what is read-only. A worker needs them once, for a /tmp of its own
(a third user namespace for that would cost each cold start 0.2 ms), and drops them before any handler runs.

The user is the server's to the kernel, and Lambda's number (993) inside. So this seals off files; it is no boundary
for processes and the network: a handler can signal processes of the server's user, and connect to loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import wire
from .._native import lib

TASK, OPT, TMP = "/var/task", "/opt", "/tmp"
UID, GID = 993, 990  # of Lambda's user
_USER = f"sbx_user1051:x:{UID}:{GID}::/home/sbx_user1051:/sbin/nologin\n"
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "nix", "gnu")
# What a symbolic link of /etc's leads to.
_RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
_COPIED = (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Sandbox:
    """In the template: what its processes see of the machine."""

    def __init__(self, plan: wire.Sandbox, path: Iterable[str]) -> None:
        """path: the interpreter's search path beside the function's own."""
        self._plan = plan
        self._kept = _outermost([*_python_paths(path), *filter(os.path.exists, plan.visible)])
        self._in_tmp = [each for each in _outermost([*self._kept, *plan.shared]) if _within(each, TMP)]
        self._tmp_used = False

    def enter(self) -> None:
        """From now on this process and its children see no more than that. Raises OSError."""
        _check(lib.stk_enter_namespaces(UID, GID), "a user namespace")
        with contextlib.ExitStack() as stack:
            _build(self._plan, self._kept, stack)
        _check(lib.stk_enter_namespaces(UID, GID), "a user namespace in another")
        _check(lib.stk_use_capabilities(0), "without capabilities")

    def leave_for_exec(self) -> None:
        """The next program of this process has what it needs to make workers. Raises OSError."""
        _check(lib.stk_pass_capabilities(1), "capabilities")

    def enter_again(self) -> None:
        """In a new program of a process that has entered it: the capabilities that workers need for their /tmp are no
        more its children's. Raises OSError."""
        _check(lib.stk_pass_capabilities(0), "without capabilities")

    def initialised(self) -> None:
        """What the init wrote to /tmp, each worker finds there."""
        own = {Path(each).relative_to(TMP).parts[0] for each in self._in_tmp}
        self._tmp_used = any(name not in own for name in os.listdir(TMP))

    def own_tmp(self) -> None:
        """In a new worker: its own /tmp, and no capabilities any more. Raises OSError."""
        _check(lib.stk_use_capabilities(1), "capabilities")
        _check(lib.stk_unshare_mounts(), "a mount namespace")
        with contextlib.ExitStack() as stack:
            kept = [(each, _open(each, stack)) for each in self._in_tmp]
            before = _open(TMP, stack, os.O_RDONLY | os.O_DIRECTORY) if self._tmp_used else -1
            _mount_tmp(TMP, self._plan.tmp_mb)
            for target, fd in kept:
                _bind(fd, target)
            if before >= 0:
                _copy(before, TMP)
        _check(lib.stk_drop_capabilities(), "without capabilities")


def _build(plan: wire.Sandbox, kept: list[str], stack: contextlib.ExitStack) -> None:
    """The new root, and into it."""
    sources = _sources(plan, kept, stack)
    links = [(name, os.readlink(f"/{name}")) for name in _SYSTEM if os.path.islink(f"/{name}")]
    users = Path("/etc/passwd").read_text(errors="replace") if os.path.exists("/etc/passwd") else ""
    # What is needed of the old one is open.
    _check(lib.stk_mount_new(b"tmpfs", TMP.encode(), b"mode=755,size=1m"), "a root")
    os.chdir(TMP)
    for name, leads_to in links:
        os.symlink(leads_to, name)
    _devices(stack, sources)
    hidden = [(path, -1, True) for path in plan.hidden]
    for path, fd, read_only in sorted([*sources, *hidden], key=_depth):
        target = path.lstrip("/")
        if path == TMP:
            os.makedirs(target, exist_ok=True)
            _mount_tmp(target, plan.tmp_mb)
        elif fd >= 0:
            _bind(fd, target)
            if read_only:
                _check(lib.stk_mount_read_only(os.fsencode(target), 1), path)
        elif os.path.isdir(target):  # of what is visible, a part that is not to be
            _check(lib.stk_mount_new(b"tmpfs", os.fsencode(target), b"mode=000,size=4k"), path)
        elif os.path.isfile(target):
            _check(lib.stk_mount_bind(b"dev/null", os.fsencode(target)), path)
    for path in _READ_ONLY:
        if os.path.exists(path[1:]):
            _check(lib.stk_mount_bind(os.fsencode(path[1:]), os.fsencode(path[1:])), path)
            _check(lib.stk_mount_read_only(os.fsencode(path[1:]), 1), path)
    if users:
        Path("passwd").write_text(users + _USER)
        _check(lib.stk_mount_bind(b"passwd", b"etc/passwd"), "/etc/passwd")
        _check(lib.stk_mount_read_only(b"etc/passwd", 0), "/etc/passwd")
        os.unlink("passwd")
    os.makedirs(OPT[1:], exist_ok=True)
    _check(lib.stk_enter_root(), "a new root")
    _check(lib.stk_mount_read_only(b"/", 0), "a read-only root")


def _depth(mount: tuple[str, int, bool]) -> tuple[int, bool]:
    """What is above comes first, and /dev/null before what it hides."""
    path, fd, _ = mount
    return (0 if path.startswith("/dev/") else path.count("/"), fd < 0)


def _sources(plan: wire.Sandbox, kept: list[str], stack: contextlib.ExitStack) -> list[tuple[str, int, bool]]:
    """(path inside, descriptor of what is to be there, read-only?), all opened before anything is covered."""
    inside: dict[str, tuple[str, bool]] = {TASK: (plan.task, True)}
    if plan.opt:
        inside[OPT] = (plan.opt, True)
    for name in _SYSTEM:
        if os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}"):
            inside[f"/{name}"] = (f"/{name}", True)
    inside["/proc"] = ("/proc", False)
    inside[TMP] = ("", False)
    for path in (*kept, *filter(os.path.isdir, _RESOLVERS)):
        if not any(_within(path, f"/{name}") for name in _SYSTEM):
            inside[path] = (path, True)
    for path in plan.shared:
        inside[path] = (path, False)
    return [
        (path, _open(source, stack) if source else -1, read_only)
        for path, (source, read_only) in inside.items()
    ]


def _devices(stack: contextlib.ExitStack, sources: list[tuple[str, int, bool]]) -> None:
    os.mkdir("dev")
    for name in _DEVICES:
        sources.append((f"/dev/{name}", _open(f"/dev/{name}", stack), False))
    os.symlink("/proc/self/fd", "dev/fd")
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{fd}", f"dev/{name}")


def _python_paths(path: Iterable[str]) -> Iterator[str]:
    """What the interpreter and the engine are made of, under each name that it has."""
    executable = os.path.dirname(sys.executable)
    for each in (
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        sys.base_exec_prefix,
        executable,
        _PACKAGE,
        *path,
    ):
        if each and os.path.exists(each):
            yield os.path.abspath(each)
            yield os.path.realpath(each)


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without those inside another one."""
    found: list[str] = []
    for path in sorted(set(paths) - {"/"}):
        if not any(_within(path, each) for each in found):
            found.append(path)
    return found


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _open(path: str, stack: contextlib.ExitStack, flags: int = os.O_PATH) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _bind(fd: int, target: str) -> None:
    """What is open as fd, at `target`. Where that is not there, it is made."""
    if not os.path.lexists(target):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _check(lib.stk_mount_bind(f"/proc/self/fd/{fd}".encode(), os.fsencode(target)), target)


def _mount_tmp(target: str, megabytes: int) -> None:
    _check(lib.stk_mount_new(b"tmpfs", target.encode(), f"mode=1777,size={megabytes}m".encode()), TMP)


def _copy(folder: int, target: str) -> None:
    """A folder's content, but for what is mounted in it, sockets and pipes."""
    device = os.fstat(folder).st_dev

    def left_out(place: str, names: list[str]) -> list[str]:
        found = [(name, os.lstat(f"{place}/{name}")) for name in names]
        return [name for name, it in found if it.st_dev != device or stat.S_IFMT(it.st_mode) not in _COPIED]

    shutil.copytree(f"/proc/self/fd/{folder}", target, symlinks=True, ignore=left_out, dirs_exist_ok=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, f"{os.strerror(-result)}: {what}")
