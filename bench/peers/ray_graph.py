"""Ray's Compiled Graph (optional: where ray is installed): one actor, a shared-memory channel each way."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from bench.peers.base import Peer, Unavailable


class RayGraph(Peer):
    name = "Ray Compiled Graph"

    def start(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise Unavailable("not installed")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.dag import InputNode

        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")

        @ray.remote
        class Echo:
            def echo(self, event: Any) -> Any:
                return event

        self.ray = ray
        self.actor = Echo.remote()
        with InputNode() as event:
            graph = self.actor.echo.bind(event)
        self.graph = graph.experimental_compile()
        self.call(None)

    def call(self, event: Any) -> Any:
        return self.ray.get(self.graph.execute(event))

    def close(self) -> None:
        self.graph.teardown()
        self.ray.shutdown()
