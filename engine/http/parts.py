"""What each process that serves has: an engine, a door, bounds of connections and bytes, and its figures."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys

from .. import limits
from ..aws.names import Place
from ..aws.sessions import Sessions
from ..aws.sigv4 import Verifier, load_credentials
from ..calls.dispatch import LogSink
from ..calls.reaper import Reaper
from ..control import cores as core_map
from ..hosting import environment
from ..runtime import Runtime
from .browsers import Browsers
from .budget import MIB, Budget
from .door import Door
from .options import Options

KEEP = 600.0  # seconds that a version nobody invokes stays up
SPIN = 100e-6  # seconds that loop and workers stay awake: a client on a connection asks again sooner
SWITCH = 0.0001  # seconds after which a thread that wants the interpreter gets it from one that is busy
GRACE = 30  # seconds that requests in flight have at the end
CONNECTIONS = 1024  # by default: every synchronous invocation of an account at once, and some
EXTRAS_BYTES = 16 * 1024  # beyond the event: what its context says


def engine(logs: LogSink, number: int = 0, processes: int = 1) -> Runtime:
    """number: of the process, of how many. A core that several would keep awake is left to sleep."""
    awake = core_map.spinners(core_map.usable()) // processes > 1
    return Runtime(
        payload_limit=limits.EVENT_BYTES + EXTRAS_BYTES, logs=logs, pin=True,
        spin=SPIN if awake else None if processes == 1 else 0.0,
        waiting_bytes=limits.WAITING_BYTES, reply_limit=limits.REPLY_BYTES,
        variables=environment.of_zygotes(), turn=(number, processes),
    )  # fmt: skip


def door_of(options: Options, place: Place, sessions: Sessions | None = None) -> Door:
    """sessions: whose temporary credentials are known, too."""
    auth = options.auth
    browsers = Browsers((options.host, *options.allow_host), addresses=auth is not None)
    if auth is None:
        return Door(place, None, {}, browsers, sessions)
    verifier = Verifier(load_credentials(auth), region=None, sessions=sessions)
    return Door(place, verifier, accounts(options), browsers)


def accounts(options: Options) -> dict[str, str]:
    """By access key, of those that have one of their own."""
    found = load_credentials(options.auth) if options.auth is not None else {}
    return {key: each.account for key, each in found.items() if each.account}


def secrets(options: Options) -> dict[str, str] | None:
    """By access key; None where nobody has to sign."""
    auth = options.auth
    return None if auth is None else {key: each.secret for key, each in load_credentials(auth).items()}


def room(options: Options, processes: int = 1) -> tuple[Budget, int]:
    """A process's part of the bytes in flight, and of the connections."""
    most = options.max_connections or min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    return Budget(options.inflight * MIB // processes), max(1, most // processes)


def settled() -> None:
    """What lives as long as the process is not looked at again, and short lives rarely make work."""
    gc.collect()
    gc.freeze()
    # The store's thread needs the interpreter a few times for each commit: it does not wait 5 ms for it each time.
    sys.setswitchinterval(SWITCH)
    gc.set_threshold(50_000, 20, 100)


async def end(runtime: Runtime, reaper: Reaper) -> None:
    """What runs has its time; then every process ends."""
    await asyncio.get_running_loop().run_in_executor(None, runtime.close_processes, float(GRACE))
    reaper.flush()
    reaper.close()
    runtime.close(0.0)
