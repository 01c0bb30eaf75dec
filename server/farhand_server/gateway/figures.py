"""The gateway's figures as Prometheus reads them, each with its help text.

`Gateway.figures` has the numbers; here stand their names, kinds and words.  Refusals are one
counter with the stable code as its label, and codes are ours, so there are only so many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["REFUSED", "GatewayFigures"]

REFUSED: Final = "refused_"
_Kind = Literal["gauge", "counter"]
_FIGURES: Final[dict[str, tuple[_Kind, str]]] = {
    "connections": ("gauge", "Websockets open on this node, of all kinds."),
    "unproved": ("gauge", "Websockets that have not proved a key or a token yet."),
    "links": ("gauge", "Device links that were admitted: resident, enrolling and of sessions."),
    "devices": ("gauge", "Devices whose resident link is on this node."),
    "key_conflicts": ("counter", "Times that a device's key was alive on two links at once."),
    "pipes": ("gauge", "Session pipes that wait for a side or are joined."),
    "pipe_bytes": ("counter", "Bytes copied between the two sides of pipes."),
    "pipes_refused": ("counter", "Attempts to attach to a pipe that were refused."),
    "inbound_bytes": ("gauge", "Bytes of device messages that wait to be handled."),
}
_REFUSED_WORDS: Final = "Links and connections that were refused, by code."


class GatewayFigures(Collector):
    """Reads the figures at each scrape.

    Args:
        figures: returns a number for each name; those that begin with `REFUSED` end in a code.
    """

    def __init__(self, figures: Callable[[], Mapping[str, int]]) -> None:
        self._figures = figures

    def describe(self) -> Iterator[Metric]:
        """Name no metric ahead, so that registering reads nothing."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield one metric for each figure.

        Raises:
            KeyError: a figure has no help text here (a bug of ours).
        """
        refused = CounterMetricFamily("farhand_refused", _REFUSED_WORDS, labels=["code"])
        for name, value in self._figures().items():
            if name.startswith(REFUSED):
                refused.add_metric([name.removeprefix(REFUSED)], value)
                continue
            kind, words = _FIGURES[name]
            make = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
            yield make(f"farhand_{name}", words, value=value)
        yield refused
