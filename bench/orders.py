"""What one order costs each side, beside one bare Ed25519 verification.

The device's whole check of an order; and of the console, which signs thousands in a row, the look
at a device's proofs (the first time, and when it remembers them) and the signing.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.report import Figure
from farhand_agent.scripts.check import Facts, check_order
from farhand_agent.trust.verified import TargetEntry, Verified
from farhand_console.home import Home
from farhand_console.trust.devices import DeviceCheck
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner, verify
from farhand_protocol.trust import GroupPolicy
from tests.agent.organisation import TENANT, Organisation
from tests.console.organisation import Organisation as FleetOrganisation

__all__ = ["run"]


def _each_us(work: Callable[[], object], count: int) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - start) / count * 1e6)
    return best


def run(*, quick: bool) -> list[Figure]:
    """Measure signing one order, checking one (R0, two signatures on the manifest), and devices."""
    count = 20 if quick else 300
    signer = SeedSigner(bytes(range(32)))
    message = bytes(600)
    signature = signer.sign(message)
    bare = _each_us(lambda: verify(signer.public_key, signature, message), count)
    checked, sealed = _order_costs(count)
    first, again = _device_costs(count)
    name = "one bare verification"
    return [
        Figure("one order signed", sealed, "us", name, bare),
        Figure("one order checked", checked, "us", name, bare),
        Figure("orders signed in a second", 1e6 / sealed, "orders/s"),
        Figure("orders checked in a second", 1e6 / checked, "orders/s"),
        Figure("one device verified by a console", first, "us", name, bare),
        Figure("the same device again", again, "us", name, bare),
    ]


def _device_costs(count: int) -> tuple[float, float]:
    """Return what a device costs whose token is known: its proofs new, and remembered."""
    organisation = FleetOrganisation()
    answer = organisation.answer()
    with tempfile.TemporaryDirectory() as folder:
        new = DeviceCheck(organisation.trust)
        new.check(answer)
        first = _each_us(lambda: new.check(answer), count)
        remembering = DeviceCheck(organisation.trust, Home(Path(folder)))
        remembering.check(answer)
        return first, _each_us(lambda: remembering.check(answer), count)


def _order_costs(count: int) -> tuple[float, float]:
    organisation = Organisation()
    script = organisation.add_script(b"true\n", by=(organisation.author, organisation.boss))
    organisation.publish()
    device = device_id(SeedSigner(bytes(32)).public_key)
    host = socket.gethostname()
    _, data = organisation.order(script, device, host)
    now = datetime.now(UTC)
    later = format_instant(now + timedelta(days=1))
    trust = Verified(
        format=1,
        root_version=1,
        targets_version=organisation.version,
        snapshot_version=organisation.version,
        timestamp_version=organisation.version,
        root_expires=later,
        targets_expires=later,
        snapshot_expires=later,
        timestamp_expires=later,
        roster=organisation.roster,
        policy=organisation.policy,
        revocations=organisation.revocations,
        floors=organisation.floors,
        targets={
            path: TargetEntry(hashlib.sha256(body).hexdigest(), len(body))
            for path, body in organisation.targets.items()
        },
    )
    facts = Facts(
        tenant=TENANT,
        device=device,
        host_name=host,
        group=organisation.group,
        platform="linux",
        interpreters=frozenset({"sh", "python"}),
        is_root=True,
    )

    def check() -> object:
        return check_order(
            data,
            trust=trust,
            read_target=organisation.targets.get,
            facts=facts,
            policy=GroupPolicy(),
            is_known=lambda _order: False,
            now=now,
        )

    checked = _each_us(check, count)
    sealed = _each_us(lambda: organisation.order(script, device, host), count)
    return checked, sealed
