"""What `stoker serve` was asked for, and whether it can be done safely."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from .. import errors
from ..aws.moto import check_installed
from ..durable.queue import MAX_BYTES
from ..hosting.quota import PROCESSES
from ..routing.retry import DELAYS
from ..services.s3.folders import parse_bucket
from . import budget

ENVIRONMENTS = 64  # of one version at most in each process, unless its function reserves less


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
    aws: str | None = None  # "moto", "real"
    aws_endpoint: str | None = None
    bucket: tuple[str, ...] = ()  # NAME=directory:///PATH
    workers: int = 1  # processes that accept connections
    environments: int = ENVIRONMENTS
    retry_delays: tuple[float, ...] = DELAYS
    queue_bytes: int = MAX_BYTES
    python: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    sandbox: str = "auto"
    share: tuple[str, ...] = ()
    inflight: int = budget.DEFAULT // budget.MIB  # MB
    strict: bool = False
    strict_imports: bool = False
    metrics: bool = True  # AWS's own
    otlp: str | None = None  # an OpenTelemetry receiver's URL
    max_connections: int | None = None  # None: as many as descriptors allow, within reason


def check(options: Options) -> None:
    """Raises InvalidConfiguration when this would not be safe, or makes no sense."""
    if options.auth is None and options.uds is None and not is_loopback(options.host):
        raise errors.InvalidConfiguration(
            f"--host {options.host}: whoever can reach it could run code here. Add --auth FILE, with the "
            "credentials that requests must be signed with, or stay on 127.0.0.1"
        )
    if options.aws and options.aws_endpoint:
        raise errors.InvalidConfiguration(
            f"--aws {options.aws} and --aws-endpoint: the other services are at one of them"
        )
    if options.aws == "moto":
        check_installed()
    names = [parse_bucket(each)[0] for each in options.bucket]
    if len(names) > len(set(names)):
        raise errors.InvalidConfiguration(f"--bucket {', '.join(names)}: a bucket is one folder")
    if names and importlib.util.find_spec("watchfiles") is None:
        raise errors.InvalidConfiguration(
            "--bucket: watchfiles is not installed: pip install 'stoker[watch]'"
        )
    if options.otlp:
        if not options.otlp.startswith(("http://", "https://")):
            raise errors.InvalidConfiguration(f"--otlp {options.otlp}: a URL, as http://127.0.0.1:4318")
        if importlib.util.find_spec("opentelemetry") is None:
            raise errors.InvalidConfiguration(
                "--otlp: opentelemetry is not installed: pip install 'stoker[otel]'"
            )
    if len(options.account) != 12 or not options.account.isdigit():
        raise errors.InvalidConfiguration(f"--account {options.account}: an account id has twelve digits")
    if not 1 <= options.workers <= PROCESSES:
        raise errors.InvalidConfiguration(f"--workers {options.workers}: 1 to {PROCESSES} processes")
    if options.workers > 1 and options.uds:
        raise errors.InvalidConfiguration(
            f"--workers {options.workers} and --uds: several processes accept on a port only"
        )
    if options.workers > 1 and options.otlp:
        raise errors.InvalidConfiguration(
            f"--workers {options.workers} and --otlp: every invocation is traced then, which only one process does"
        )
    least = budget.LEAST // budget.MIB * options.workers
    if options.inflight < least:
        raise errors.InvalidConfiguration(
            f"--inflight {options.inflight}: {least} MB are the least"
            + (f" for {options.workers} processes, which have a part each" if options.workers > 1 else "")
        )
    if options.max_connections is not None and options.max_connections < options.workers:
        least_text = "one is the least" if options.workers == 1 else "one for each process is the least"
        raise errors.InvalidConfiguration(f"--max-connections {options.max_connections}: {least_text}")


def is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
