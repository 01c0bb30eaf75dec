"""An order by file on the device: the same questions as online, at most one body, one result."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from farhand_agent.cli import cli
from farhand_agent.config import Home, load_settings
from farhand_agent.journal import Journal
from farhand_agent.trust.verified import load_verified
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload, signers
from farhand_protocol.instants import format_instant
from farhand_protocol.order_files import OrderFile, pack_order
from farhand_protocol.orders import Result as OrderResult
from tests.agent.organisation import Organisation, now

HOST = socket.gethostname()


class Stick:
    """What is carried between an organisation and one device; nothing of it is on a network."""

    def __init__(self, organisation: Organisation, home: Home, folder: Path) -> None:
        self.organisation = organisation
        self.home = home
        self.folder = folder
        self.device = load_settings(home).device
        self.ran = folder / "ran"
        self._count = 0

    def script(self, **fields: Any) -> Envelope:
        """A script that leaves a line each time it runs."""
        body = f"echo ran >> {self.ran}\necho done\n".encode()
        script = self.organisation.add_script(body, **fields)
        self.organisation.publish()
        return script

    def order(self, script: Envelope, **fields: Any) -> bytes:
        """An order for this device."""
        return self.organisation.order(script, self.device, HOST, **fields)[1]

    async def carry(
        self, sealed: bytes, *, trust: Organisation | None = None
    ) -> tuple[Result, Path]:
        """Bring an order with somebody's trust metadata to the device and run it there."""
        files = (trust or self.organisation).files
        named = {f"{kind}/{name}": data for (kind, name), data in files.items()}
        self._count += 1
        order = self.folder / f"{self._count}.fho"
        out = self.folder / f"{self._count}.fhr"
        order.write_bytes(pack_order(OrderFile(order=sealed, trust=named)))
        words = ["order", str(order), "--out", str(out), "--home", str(self.home.path), "--json"]
        return await asyncio.to_thread(CliRunner().invoke, cli, words), out

    def result(self, path: Path) -> OrderResult:
        """What the device sealed."""
        envelope = decode_envelope(path.read_bytes())
        key = load_settings(self.home).device_key_raw
        assert signers(envelope, [key]) == {key}
        return open_payload(envelope, OrderResult)

    @property
    def bodies(self) -> int:
        """How many bodies ran."""
        return self.ran.read_text().count("ran") if self.ran.exists() else 0


@pytest.fixture
def stick(organisation: Organisation, enrolled: Home, tmp_path: Path) -> Stick:
    return Stick(organisation, enrolled, tmp_path)


def code(done: Result) -> str:
    return str(getattr(done.exception, "code", done.exception))


async def test_trust_comes_along_and_the_body_runs_once(stick: Stick) -> None:
    # Newer than all that the device has heard of, and above what stale metadata would allow.
    script = stick.script(risk="R1")
    sealed = stick.order(script)
    done, out = await stick.carry(sealed)
    assert done.exception is None, done.output
    assert (stick.result(out).state, stick.result(out).stdout) == ("succeeded", b"done\n")
    trust = load_verified(stick.home)
    assert trust is not None
    assert trust.targets_version == stick.organisation.version
    again, same = await stick.carry(sealed)
    assert code(again) == "order-replayed"
    assert same.read_bytes() == out.read_bytes()
    assert stick.bodies == 1
    journal = Journal(stick.home.journal, read_only=True)
    try:
        kinds = [record.kind for record in journal.latest_log_records(20)]
        assert [one.kind for one in journal.outbox()][-1] == "result"
    finally:
        journal.close()
    assert [kind for kind in kinds if kind.startswith("order-")] == [
        "order-accepted", "order-running", "order-final",
    ]  # fmt: skip


async def test_what_is_refused_online_is_refused_by_file(stick: Stick) -> None:
    script = stick.script()
    other = Organisation()
    forged = stick.order(script, by=other.boss)
    done, out = await stick.carry(forged)
    assert code(done) == "order-signature"
    assert stick.result(out).refusal == "order-signature"
    # The refusal is remembered like any other.
    again, same = await stick.carry(forged)
    assert code(again) == "order-replayed"
    assert same.read_bytes() == out.read_bytes()

    foreign, out = await stick.carry(stick.order(script), trust=other)
    assert "were not taken" in foreign.stderr
    assert foreign.exception is None, "the copy in force was new enough by then"
    assert stick.bodies == 1

    stick.organisation.revoke("script", "check.test")
    stick.organisation.publish()
    done, out = await stick.carry(stick.order(script))
    assert (code(done), stick.result(out).state) == ("script-revoked", "refused")
    assert stick.bodies == 1


async def test_an_order_that_waits_or_cannot_be_read_leaves_no_file(stick: Stick) -> None:
    script = stick.script()
    in_an_hour = format_instant(now() + timedelta(hours=1))
    in_two = format_instant(now() + timedelta(hours=2))
    early, out = await stick.carry(stick.order(script, not_before=in_an_hour, expires=in_two))
    assert code(early) == "order-early"
    assert not out.exists()
    broken, out = await stick.carry(b"not an order")
    assert code(broken) == "order-malformed"
    assert not out.exists()
    assert stick.bodies == 0
