"""The server: a state directory, an engine, the catalog and the endpoint put together, started, and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import uvloop

from ..aws.clients import Clients
from ..aws.model import Model
from ..aws.moto import MotoServer
from ..aws.names import Place
from ..aws.registry import Registry
from ..aws.service import Service
from ..aws.sessions import Sessions
from ..aws.upstream import Aws, Upstream
from ..calls.reaper import Reaper
from ..console.entrance import Entrance
from ..console.feed import Feed
from ..console.service import Console
from ..console.tailing import Tailing
from ..durable.changes import Changes
from ..durable.queue import Queues
from ..durable.queue_rows import QueueRows
from ..durable.records import Records
from ..durable.state import States
from ..durable.store import Kind, Store
from ..hosting import environment
from ..hosting.allocator import keep_large_buffers_apart
from ..hosting.collection import Collection
from ..hosting.interpreters import interpreters
from ..hosting.layout import Layouts
from ..hosting.outside import Outside
from ..hosting.packages import Packages
from ..hosting.placements import Hosting, Placement
from ..hosting.quota import Quota
from ..hosting.sandboxing import sandboxing
from ..observe.counters import Counters
from ..observe.functions import FunctionMetrics, MappingMetrics
from ..observe.mappings import MappingCounters
from ..observe.outcomes import Outcomes
from ..observe.tally import Tally
from ..routing.destinations import Destinations
from ..routing.earlier import EventRows
from ..routing.endings import Endings
from ..routing.events import Events
from ..routing.targets import Targets
from ..services.apigateway.service import ApiGateway
from ..services.cloudformation.artifacts import Artifacts
from ..services.cloudformation.responses import Responses
from ..services.cloudformation.service import CloudFormation
from ..services.cloudwatch.service import CloudWatch
from ..services.elbv2.requests import LoadBalancers
from ..services.elbv2.service import Elbv2
from ..services.events.archived import ArchivedRows
from ..services.events.service import EventBridge
from ..services.execute_api.service import ExecuteApi
from ..services.health import Health
from ..services.invocations import Invocations
from ..services.lambda_ import own_sources
from ..services.lambda_.archive import CodeArchive
from ..services.lambda_.control import Control
from ..services.lambda_.ec2 import vpc_finder
from ..services.lambda_.s3 import fetcher
from ..services.lambda_.service import Lambda
from ..services.lambda_.wording import WORDING
from ..services.logs.process import LogsProcess, folder_of
from ..services.logs.service import Logs
from ..services.logs.subscriptions import Subscriptions
from ..services.pipes.service import Pipes
from ..services.prometheus import Prometheus
from ..services.s3.folders import Folder, parse_bucket
from ..services.s3.records import Bucket as S3Bucket
from ..services.s3.service import S3
from ..services.scheduler.service import Scheduler
from ..services.sns.service import Sns
from ..services.sqs.deduplication import TakenRows
from ..services.sqs.measuring import QueueMetrics
from ..services.sqs.service import Sqs
from ..services.sts import Sts
from ..services.urls.service import FunctionUrlRequests
from ..services.xray.daemon import Daemon
from ..services.xray.keeper import Keeper as TraceKeeper
from ..services.xray.service import XRay
from ..sources.failures import Failures
from ..sources.mappings import Mappings
from ..sources.pipes.posts import Posts
from ..sources.pipes.runner import PipeRunner
from ..sources.pipes.stages import Stages
from .acceptor import Acceptor
from .acceptors.first import Acceptors, Around
from .app import App
from .inside import Inside
from .invoke import Endpoint
from .listening import function_url, host_below, hosts_resolve, listen, url_of
from .measuring import function_of, keeping, of_logs, sample, sweep
from .options import Options, check
from .parts import GRACE, KEEP, accounts, door_of, end, engine, room, secrets, settled
from .passthrough import Passthrough
from .protocol import Protocol
from .tracing import tracing

POLLS = 4096  # connections of event source mappings, most of which wait in a long poll


class Server:
    """One server. `url` is known once `serve` has called `ready`. services: those beside the engine's own; report:
    gets a line for the user."""

    def __init__(
        self,
        options: Options,
        services: Sequence[Service] = (),
        report: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.options = options
        self.url = ""
        self._services = services
        self._drains: list[Callable[[], None]] = []
        self._inside: Inside
        self._acceptors: Acceptors
        self._daemon: Daemon
        self._entrance: Entrance
        self._sessions = Sessions()
        self._report = report

    @property
    def console(self) -> str:
        """The page's URL, for one visitor where requests must be signed."""
        return f"{self.url}/_stoker/{self._entrance.fragment}"

    def run(self, ready: Callable[[Server], None]) -> None:
        """Serve until SIGINT or SIGTERM. Raises EngineError when it cannot start."""
        check(self.options)
        keep_large_buffers_apart()
        uvloop.run(self.serve(ready))

    async def serve(self, ready: Callable[[Server], None]) -> None:
        """The server's life in the running loop."""
        async with contextlib.AsyncExitStack() as stack:
            sockets = [stack.enter_context(contextlib.closing(each)) for each in listen(self.options)]
            self.url = url_of(self.options, sockets[0])
            acceptor = await self._assemble(stack, sockets[1:])
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._stop, acceptor)
            await acceptor.start([sockets[0], self._inside.socket])
            ready(self)
            await acceptor.serve(GRACE)

    def _stop(self, acceptor: Acceptor) -> None:
        for drain in self._drains:
            drain()
        self._acceptors.stop()
        acceptor.stop()

    async def _assemble(self, stack: contextlib.AsyncExitStack, others: Sequence[socket.socket]) -> Acceptor:
        """The parts, ground first: what is entered last ends first. others: what other processes accept from."""
        options, loop = self.options, asyncio.get_running_loop()
        place = Place(options.region, options.account)
        kinds: list[Kind[object]] = [
            Records(place.partition), QueueRows(), EventRows(place.partition), TakenRows(), ArchivedRows(),
        ]  # fmt: skip
        executor = ThreadPoolExecutor(1, thread_name_prefix="stoker-catalog")
        stack.callback(executor.shutdown)
        probed = loop.run_in_executor(executor, interpreters, options.python)  # takes as long as the store
        named = loop.run_in_executor(None, hosts_resolve)  # function URLs are paths until it is known
        store = stack.enter_context(contextlib.closing(Store(options.state, kinds)))
        upstream = self._upstream()
        stack.push_async_callback(upstream.aclose)
        upstream_started = loop.create_task(upstream.start())  # it takes as long as all the rest
        stack.callback(upstream_started.cancel)
        self._inside = stack.enter_context(contextlib.closing(Inside(options.state)))
        states = States(store)
        self._acceptors = acceptors = Acceptors(states)
        queues = stack.enter_context(contextlib.closing(Queues(store, max_bytes=options.queue_bytes)))
        sqs = stack.enter_context(contextlib.closing(Sqs(store, states, queues)))
        changes = stack.enter_context(contextlib.closing(Changes("sources")))
        packages = Packages(options.state / "code", options.state / "opt")
        stack.callback(packages.close)
        keeper = keeping(stack, options)  # what the log's process says at its end is kept, too
        traced = TraceKeeper(options.state)
        spans, self._daemon = await tracing(stack, traced, self.url, options.otlp)
        logs = LogsProcess(folder_of(options.state, place.account, place.region))
        await logs.start()
        stack.push_async_callback(logs.close)
        outcomes, counters = Outcomes(loop, logs.journal), Counters()
        stack.callback(outcomes.flush)  # what ends with the workers, too, is in the log and the metrics
        watched = Invocations()
        outside = Outside(loop, logs.printed, watched.printed)
        stack.callback(outside.flush)
        runtime = engine(outside, 0, options.workers)
        reaper = Reaper(runtime.dispatch, loop, runtime.data_epoll, runtime.spin_ns, serving=True)
        stack.push_async_callback(end, runtime, reaper)
        outcomes.subscribe(counters)
        outcomes.subscribe(watched.ended)
        logs.gather = acceptors.collect
        keeper.metrics.collect(lambda metrics: acceptors.collect())
        keeper.metrics.collect(lambda metrics: outcomes.flush())  # a response is counted once it is there
        measured, tally = FunctionMetrics(keeper.metrics), Tally(keeper.metrics)
        QueueMetrics(sqs.catalog, queues, keeper.metrics)
        outcomes.subscribe(measured)
        logs.on_measured = partial(of_logs, keeper.metrics)
        pythons = await probed
        hidden = [str(path.resolve()) for path in (options.state, options.auth) if path]
        layouts = Layouts(
            packages, options.state / "opt", self._variables, pythons, options.environments,
            sandboxing(options.sandbox, hidden, options.share, [self._inside.path]), options.pass_env,
            options.strict_imports,
        )  # fmt: skip
        quota = Quota.shared() if others else None
        hosting = Hosting(states, runtime, reaper, layouts, outcomes, KEEP, loop, spans, quota)
        watched.start(hosting)
        endings = Endings(counters, measured, logs.printed)
        events = Events(queues, hosting, endings, workers=options.environments, delays=options.retry_delays)
        stack.callback(events.close)
        clients = Clients(lambda: registry, upstream, own=lambda: self.url)
        stack.push_async_callback(clients.aclose)
        targets = Targets(clients, hosting, events.accept, place)
        destinations = Destinations(queues, targets, hosting, endings)
        stack.callback(destinations.close)
        bus = EventBridge(store, states, queues, targets, logs.printed, tally)
        stack.push_async_callback(bus.aclose)
        scheduler = Scheduler(states, queues, targets, clients, logs.printed, tally)
        stack.push_async_callback(scheduler.aclose)
        subscriptions = Subscriptions(logs, store, states, queues, targets, hosting, logs.printed)
        stack.callback(subscriptions.close)
        topics = Sns(store, states, queues, targets, sqs.deduplication, logs.printed, lambda: self.url, tally)
        stack.push_async_callback(topics.aclose)
        alarms = CloudWatch(keeper, states, queues, targets, hosting, bus.publish, logs.printed)
        stack.callback(alarms.close)
        xray = XRay(traced, states, place)
        stack.callback(xray.close)
        artifacts = Artifacts(options.state / "artifacts")
        responses = Responses(lambda: self.url)
        stacks = CloudFormation(states, clients, artifacts, responses, targets)
        stack.push_async_callback(stacks.aclose)

        passthrough = Passthrough(upstream, self._sessions, options.account)
        stack.push_async_callback(passthrough.aclose)
        folders = {S3Bucket(name, place): Folder(path) for name, path in map(parse_bucket, options.bucket)}
        s3 = S3(
            states, queues, targets, clients, bus.publish, passthrough.forward, logs.printed, store, folders,
            upstream=bool(upstream),
        )  # fmt: skip
        stack.push_async_callback(s3.aclose)

        def control(placement: Placement) -> Control:
            return Control(
                state=placement.state,
                place=placement.place,
                packages=packages,
                runtimes=tuple(pythons),
                fetch=fetcher(clients, placement.place, loop) if upstream or folders else None,
                base_url=lambda: self.url,
                warmed=placement.invoker.warmed,
                exists=lambda arn: asyncio.run_coroutine_threadsafe(targets.exists(arn), loop).result(),
                sources=mappings,
                vpc_of=vpc_finder(clients, placement.place, loop) if upstream else lambda subnets: "",
                warn=lambda text: print(f"stoker: {text}", file=sys.stderr, flush=True),
                function_url=lambda url_id: function_url(
                    self.url, url_id, placement.place.region, named.done() and named.result()
                ),
            )

        model = Model(own_sources.model(), WORDING)
        lambda_ = Lambda(model, hosting, events, executor, control)
        polling = Clients(lambda: registry, upstream, POLLS)
        stack.push_async_callback(polling.aclose)
        mapped = MappingCounters(MappingMetrics(keeper.metrics, partial(function_of, hosting)))
        failures = Failures(queues, targets, mapped)
        stack.callback(failures.close)
        mappings = Mappings(
            hosting, polling, sqs, changes, failures, mapped, options.environments, lambda_.settle_soon
        )
        stack.callback(mappings.close)
        pipes = Pipes(states)
        stack.callback(pipes.close)
        stages = Stages(
            clients, targets, Posts(bus.http, upstream, lambda: self.url, self._hosts("execute-api.{}")).post
        )
        runner = PipeRunner(
            pipes, hosting, polling, sqs, changes, failures, mapped, options.environments, stages, tally
        )
        stack.callback(runner.close)
        await loop.run_in_executor(executor, lambda_.settle)
        Collection(states, packages, loop.call_soon_threadsafe)
        door = door_of(options, place, self._sessions)
        gateway = ApiGateway(states, self._hosts("execute-api.{}"))
        stack.push_async_callback(gateway.aclose)
        apis = ExecuteApi(hosting, door.guarded, gateway.resets, tally)
        stack.push_async_callback(apis.aclose)
        balancing = Elbv2(states, self._hosts("{}.elb"))
        stack.push_async_callback(balancing.aclose)
        held, most = room(options, options.workers)
        feed = Feed(hosting, outcomes, counters, mapped, sqs.catalog, Tailing(logs), held.read)
        self._entrance = Entrance(secrets(options), accounts(options), place)
        services: list[Service] = [
            FunctionUrlRequests(hosting, door.guarded, logs.printed, options.strict, tally),
            apis,
            LoadBalancers(hosting),
            Health(counters, mapped, held.read),
            Prometheus(counters, measured, mapped, hosting, held.read, secrets(options)),
            CodeArchive(packages, model),
            lambda_,
            Logs(logs, subscriptions),
            Sts(),
            sqs,
            bus,
            scheduler,
            pipes,
            topics,
            alarms,
            xray,
            artifacts,
            responses,
            stacks,
            stacks.swaps,
            watched,
            Console(hosting, packages, clients, feed, self._entrance, place),
            gateway,
            balancing,
            *self._services,
            s3,
        ]
        self._drains = [mappings.close, runner.close, *(service.drain for service in services)]
        registry = Registry(services)
        app = App(registry, door, passthrough)
        endpoint = Endpoint(hosting, events, model, door)
        await upstream_started
        keeper.start()
        hosting.start()
        events.start()
        destinations.start()
        sqs.start()
        bus.start()
        scheduler.start()
        topics.start()
        alarms.start()
        xray.start()
        await s3.start()
        subscriptions.start()
        failures.start()
        mappings.start()
        runner.start()
        await stacks.start()
        stack.callback(loop.create_task(sweep(hosting, counters, measured)).cancel)
        stack.callback(loop.create_task(sample(hosting, measured)).cancel)
        acceptor = Acceptor(Protocol, app.respond, endpoint, held, most, app.upgrade)
        if quota is not None:
            around = Around(
                options, self.url, states, hosting, layouts, quota, outcomes, tally,
                (logs.printed, watched.printed),
                lambda sock, came: acceptor.adopt(sock, partial(Protocol, came=came)),
            )  # fmt: skip
            stack.push_async_callback(acceptors.aclose)
            await acceptors.start(around, others)
        settled()
        return acceptor

    def _hosts(self, kind: str) -> Callable[[Place, str], str]:
        return lambda place, name: host_below(self.url, name, kind.format(place.region))

    def _upstream(self) -> Upstream:
        if self.options.aws == "moto":
            return MotoServer(self._report)
        if self.options.aws == "real":
            return Aws(lambda: self.url)
        return Upstream(self.options.aws_endpoint)

    def _variables(self, place: Place, record: Mapping[str, Any]) -> dict[str, str]:
        """What a function of a place finds in its environment: the way back here, and its role's credentials."""
        role = record["Role"].rpartition("/")[2]
        session = self._sessions.issue(place.account, role, record["FunctionName"])
        made = (session.key, session.secret, session.token)
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # there is no streaming-127.0.0.1 for StartLiveTail
            "AWS_LAMBDA_RUNTIME_API": self.url.removeprefix("http://"),
            self._inside.VARIABLE: self._inside.address(self.url),
            **self._daemon.variables,
            **dict(zip(environment.CREDENTIALS, made, strict=True)),
        }
