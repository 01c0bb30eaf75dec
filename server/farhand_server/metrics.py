"""What Prometheus reads: counters of this relay, in a registry of its own.

Labels are bounded: routes by their template, never by path.  Other parts add their own metrics with
`relay.service(make_metrics).registry`.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from farhand_server.relay import Relay

__all__ = ["Metrics", "make_metrics"]


def make_metrics(relay: Relay) -> Metrics:
    """Return the relay's metrics."""
    return Metrics(relay)


class Metrics:
    """The registry and the HTTP counters."""

    def __init__(self, relay: Relay) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "farhand_http_requests",
            "Answered HTTP requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        tasks = Gauge("farhand_tasks", "Background tasks running.", registry=self.registry)
        tasks.set_function(lambda: float(len(relay.tasks)))
        failures = Gauge(
            "farhand_task_failures", "Background tasks that failed.", registry=self.registry
        )
        failures.set_function(lambda: float(relay.tasks.failures))

    async def count(self, message: Any, scope: Any) -> None:
        """Count an answer; a Litestar `before_send` hook."""
        if message["type"] == "http.response.start":
            route = scope.get("path_template") or "none"
            self._requests.labels(scope["method"], route, str(message["status"])).inc()

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
