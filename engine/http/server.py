"""The server: a state directory, an engine, the catalog and the endpoint put together, started, and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import signal
import socket
import stat
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop

from .. import errors, limits
from ..aws.model import Model
from ..aws.names import Place
from ..aws.sigv4 import Verifier, load_credentials
from ..calls.reaper import Reaper
from ..control import cores as core_map
from ..durable.state import Change, State
from ..durable.store import Store
from ..hosting.deployments import Fleet
from ..hosting.events import DELAYS, Events
from ..hosting.interpreters import interpreters
from ..hosting.invoker import Invoker
from ..hosting.layout import Layouts
from ..hosting.outside import Outside
from ..hosting.packages import Packages
from ..runtime import Runtime
from ..services.lambda_ import catalog
from ..services.lambda_.s3 import fetcher
from ..services.lambda_.wording import WORDING
from ..services.logs.process import InvocationsEnded, LogsProcess, OtherOutput
from ..services.sts import Sts
from .app import LAMBDA_URL, App, Parts
from .invoke import Endpoint
from .passthrough import Passthrough
from .protocol import Header, Protocol

WORKERS = 64  # of one version at most, unless its function reserves less
KEEP = 600.0  # seconds that a version nobody invokes stays up
SWEEP = 15.0
SPIN = (
    100e-6  # seconds that loop and workers stay awake: a client on a connection asks again sooner than that
)
GRACE = 30  # seconds that requests in flight have at the end
EXTRAS_BYTES = 16 * 1024  # beyond the event: what its context says


@dataclass(frozen=True, slots=True)
class Options:
    """What `stoker serve` was asked for. port 0: any that is free."""

    host: str = "127.0.0.1"
    port: int = 9001
    uds: str | None = None
    state: Path = Path(".stoker")
    region: str = "us-east-1"
    account: str = "000000000000"
    auth: Path | None = None
    aws_endpoint: str | None = None
    workers: int = WORKERS
    retry_delays: tuple[float, ...] = DELAYS
    python: tuple[str, ...] = ()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, but for signals: it would raise them again before anything else could end in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def stop(self) -> None:
        """Accept nothing more, let what runs end, then return. Asked twice, it does not wait."""
        self.force_exit = self.should_exit
        self.should_exit = True


class Server:
    """One server. `url` is known once `serve` has called `ready`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.url = ""

    def run(self, ready: Callable[[Server], None]) -> None:
        """Serve until SIGINT or SIGTERM. Raises EngineError when it cannot start."""
        check(self.options)
        uvloop.run(self.serve(ready))

    async def serve(self, ready: Callable[[Server], None]) -> None:
        """The server's life in the running loop."""
        async with contextlib.AsyncExitStack() as stack:
            sock = stack.enter_context(contextlib.closing(listen(self.options)))
            self.url = url_of(self.options, sock)
            config = await self._assemble(stack)
            server = _Uvicorn(config)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, server.stop)
            task = asyncio.create_task(server.serve(sockets=[sock]))
            while not server.started and not task.done():
                await asyncio.sleep(0.005)
            if not task.done():
                ready(self)
            await task

    async def _assemble(self, stack: contextlib.AsyncExitStack) -> uvicorn.Config:
        options, loop = self.options, asyncio.get_running_loop()
        place = Place(options.region, options.account)
        store = stack.enter_context(contextlib.closing(Store(options.state)))
        state = State(store, options.region, options.account)
        packages = Packages(options.state / "code")
        logs = LogsProcess(options.state / "logs", options.region, options.account)
        await logs.start()
        stack.push_async_callback(logs.close)
        control = ThreadPoolExecutor(1, thread_name_prefix="stoker-catalog")
        stack.callback(control.shutdown)

        def log_of(name: str) -> tuple[str, str]:
            return fleet.log_of(name)

        outside = Outside(loop, log_of, lambda *said: logs.send(OtherOutput(*said)))
        stack.callback(outside.flush)
        spin = SPIN if core_map.spinners(core_map.usable()) > 1 else None
        runtime = Runtime(
            payload_limit=limits.EVENT_BYTES + EXTRAS_BYTES, logs=outside, pin=True, spin=spin,
            waiting_bytes=limits.WAITING_BYTES, reply_limit=limits.REPLY_BYTES,
        )  # fmt: skip
        reaper = Reaper(runtime.dispatch, loop, runtime.data_epoll, runtime.spin_ns)
        stack.push_async_callback(_end, runtime, reaper)
        pythons = await loop.run_in_executor(control, interpreters, options.python)
        layouts = Layouts(packages, options.state / "opt", self._variables(), pythons, options.workers)
        fleet = Fleet(runtime, reaper, layouts, KEEP)
        invoker = Invoker(state, place, fleet, lambda about, ended: logs.send(InvocationsEnded(about, ended)))
        stack.callback(invoker.flush_logs)
        events = Events(store, state, invoker, delays=options.retry_delays)
        stack.callback(events.close)

        def changed(change: Change) -> None:
            loop.call_soon_threadsafe(invoker.changed, change)

        state.watchers.append(changed)
        operations, settle = catalog.assemble(
            catalog.Control(
                state=state,
                place=place,
                packages=packages,
                runtimes=tuple(pythons),
                fetch=fetcher(options.aws_endpoint),
                base_url=lambda: self.url,
                warmed=invoker.warmed,
                function_url=lambda url_id: f"{self.url}{LAMBDA_URL}{url_id}/",
            )
        )
        await loop.run_in_executor(control, settle)
        packages.keep_only(catalog.digests(state))
        verifier = Verifier(load_credentials(options.auth), region=options.region) if options.auth else None
        service = Model.load("lambda", WORDING)
        passthrough = Passthrough(options.aws_endpoint)
        stack.push_async_callback(passthrough.aclose)
        endpoint = Endpoint(
            invoker,
            place,
            check=lambda request: service.validate(service.operation("Invoke"), request),
            render=service.error,
            accept=events.accept,
            verify=_verify(verifier) if verifier else None,
        )
        app = App(
            Parts(
                service, operations, settle, control, state, packages, invoker, events.accept, logs,
                Sts(options.account), passthrough, verifier,
            )
        )  # fmt: skip
        invoker.start()
        events.start()
        sweeper = loop.create_task(_sweep(invoker))
        stack.callback(sweeper.cancel)
        # What lives as long as the server is not looked at again, and short lives rarely make work.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        return uvicorn.Config(
            app,
            http=type("ServerProtocol", (Protocol,), {"endpoint": endpoint}),
            loop="none",
            ws="none",
            lifespan="off",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_level="warning",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE,
        )

    def _variables(self) -> dict[str, str]:
        """What every function finds in its environment: the way back here, and credentials that are good enough."""
        given = {"AWS_REGION": self.options.region, "AWS_DEFAULT_REGION": self.options.region}
        if not self.options.uds:
            given["AWS_ENDPOINT_URL"] = self.url
        if "AWS_ACCESS_KEY_ID" not in os.environ:
            given |= {"AWS_ACCESS_KEY_ID": "stoker", "AWS_SECRET_ACCESS_KEY": "stoker"}
        return given


def check(options: Options) -> None:
    """Raises InvalidConfiguration when this would not be safe, or makes no sense."""
    if options.auth is None and options.uds is None and not _loopback(options.host):
        raise errors.InvalidConfiguration(
            f"--host {options.host}: whoever can reach it could run code here. Add --auth FILE, with the "
            "credentials that requests must be signed with, or stay on 127.0.0.1"
        )
    if not (len(options.account) == 12 and options.account.isdigit()):
        raise errors.InvalidConfiguration(f"--account {options.account}: an account id has twelve digits")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(options: Options) -> socket.socket:
    """The socket to serve on. Raises InvalidConfiguration when it cannot be had."""
    if options.uds:
        return _listen_unix(options.uds)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((options.host, options.port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise errors.InvalidConfiguration(
            f"cannot listen on {options.host}:{options.port}: {error.strerror or error}. Is another server there? "
            "--port 0 takes any port that is free"
        ) from None
    return sock


def _listen_unix(path: str) -> socket.socket:
    """A stale socket is taken over; one that somebody answers on is left alone."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise errors.InvalidConfiguration(f"--uds {path} is there, and is no socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
                else:
                    raise errors.InvalidConfiguration(f"--uds {path}: another server answers there")
        sock.bind(path)
        os.chmod(path, 0o600)
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise errors.InvalidConfiguration(f"cannot listen on {path}: {error.strerror or error}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def url_of(options: Options, sock: socket.socket) -> str:
    if options.uds:
        return "http://localhost"
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{sock.getsockname()[1]}"


def _verify(verifier: Verifier) -> Callable[[str, str, str, Sequence[Header], bytes], object]:
    def verify(method: str, path: str, query: str, headers: Sequence[Header], body: bytes) -> str:
        text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        return verifier.verify(method, path, query, text, body)

    return verify


async def _sweep(invoker: Invoker) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        invoker.sweep()


async def _end(runtime: Runtime, reaper: Reaper) -> None:
    """What runs has its time; then every process ends."""
    await asyncio.get_running_loop().run_in_executor(None, runtime.close_processes, float(GRACE))
    reaper.flush()
    reaper.close()
    runtime.close(0.0)
