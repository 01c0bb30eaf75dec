"""Orders whose bodies leave a trace, and the laws that hold whatever was killed in between."""

from __future__ import annotations

import socket
from pathlib import Path

from farhand_agent.audit import verify_chain
from farhand_protocol.envelopes import Envelope
from farhand_protocol.messages import OrderProgress, ResultReport
from farhand_protocol.orders import FINAL_STATES
from tests.support.hostile_devices import Device
from tests.support.hostile_organisation import HostileOrganisation

__all__ = ["Orders", "tracing_script"]


def tracing_script(organisation: HostileOrganisation, place: Path, work: str = "") -> Envelope:
    """Publish a script that appends one line to a file named after its order."""
    body = f'echo start >> "{place}/$FARHAND_ORDER"\n{work}\n'
    sealed = organisation.add_script(body.encode(), id="check.trace")
    organisation.publish()
    return sealed


class Orders:
    """The orders of one test, by id, and what may be said about them in the end."""

    def __init__(self, device: Device, script: Envelope, place: Path) -> None:
        self.device = device
        self.script = script
        self.place = place
        self.sealed: dict[str, bytes] = {}

    def make(self) -> tuple[str, bytes]:
        """Sign one more."""
        organisation = self.device.relay.organisation
        order, data = organisation.order(self.script, self.device.id, socket.gethostname())
        self.sealed[order] = data
        return order, data

    def results(self, order: str) -> set[bytes]:
        """Return the distinct final words that the relay got about an order."""
        return {one.envelope for one in self.device.relay.of(ResultReport) if one.order == order}

    def unfinished(self) -> list[str]:
        """Return the orders about which the relay has no final word."""
        return [order for order in self.sealed if not self.results(order)]

    def check(self) -> dict[str, str]:
        """Hold every law; returns the final state of each order.

        Each accepted order ended once in a final state that the device signed; no body started
        twice; one that succeeded started; nothing that was told as accepted was lost; and the
        device's log chains from its first record to its last.
        """
        journal = self.device.journal()
        try:
            rows = {one: row for one in self.sealed if (row := journal.order(one)) is not None}
            records = journal.log_records(limit=100_000)
            assert journal.open_orders() == []
        finally:
            journal.close()
        verify_chain(records)
        told = {one.order for one in self.device.relay.of(OrderProgress)}
        assert told & self.sealed.keys() <= rows.keys()
        states: dict[str, str] = {}
        for order in self.sealed:
            results = self.results(order)
            assert len(results) == 1, (order, len(results))
            report = next(one for one in self.device.relay.of(ResultReport) if one.order == order)
            state = self.device.result(report).state
            assert state in FINAL_STATES
            assert rows[order].state == state
            trace = self.place / order
            starts = trace.read_text().count("start") if trace.exists() else 0
            assert starts <= 1, (order, state, starts)
            assert starts == 1 or state != "succeeded", (order, state)
            assert state in ("succeeded", "interrupted"), (order, state)
            begun = [
                one for one in records if one.kind == "order-running" and f'"{order}"' in one.detail
            ]
            assert len(begun) <= 1
            states[order] = state
        return states
