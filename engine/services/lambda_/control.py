"""What every operation of the control plane works with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...aws.names import Place
from ...durable.state import State
from ...hosting.packages import Packages

# Members by their names in the service's model, in and out. Raises Fault.
Operation = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Control:
    """runtimes: what this server can run. fetch: S3's (bucket, key, version) to bytes, None without an S3.
    base_url: of this server; function_url: of a function URL's id."""

    state: State
    place: Place
    packages: Packages
    runtimes: tuple[str, ...]
    fetch: Callable[[str, str, str | None], bytes] | None = None
    base_url: Callable[[], str] = field(default=lambda: "http://127.0.0.1")
    function_url: Callable[[str], str] = field(
        default=lambda url_id: f"http://127.0.0.1/lambda-url/{url_id}/"
    )
    # workers there are of a name and qualifier, or that it cannot be initialised; None: nobody counts
    warmed: Callable[[str, str], int | None] | None = None
    now: Callable[[], float] = time.time  # epoch seconds
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
