"""The resident agent as a real process: ready, orders, inventory, reconnecting, stopping."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from farhand_agent import local
from farhand_agent.config import Home, load_settings
from farhand_agent.enrolment import enrol
from farhand_agent.errors import AgentNotRunning
from farhand_agent.hostname import host_name
from farhand_agent.journal import Journal
from farhand_agent.late_modules import LATE
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import decode_section
from farhand_protocol.messages import (
    CancelOrder,
    OfferOrder,
    OrderProgress,
    Present,
    Reconnect,
    Redirect,
    ReportSections,
    Resend,
    ResultReport,
    SessionReport,
    TrustNotice,
)
from farhand_protocol.orders import Result
from farhand_protocol.placements import Placements
from farhand_protocol.tokens import parse_enrolment_token
from farhand_protocol.trust import Roster
from tests.agent.agents import Resident, agent, resident
from tests.agent.organisation import Organisation, now
from tests.agent.relay import TestRelay


def read_result(home: Home, message: ResultReport) -> Result:
    """Return a reported result, checked against the device's key."""
    key = load_settings(home).device_key_raw
    envelope = decode_envelope(message.envelope)
    assert signers(envelope, [key]) == {key}
    return open_payload(envelope, Result)


def of_order(order: str) -> Callable[[ResultReport], bool]:
    """Return what tells the reports of one order from others."""
    return lambda report: report.order == order


async def ordered(relay: TestRelay, home: Home, order: str, data: bytes) -> Result:
    """Offer an order and return the device's final word."""
    await relay.send(OfferOrder(order=order, envelope=data))
    report = await relay.first(ResultReport, lambda one: one.order == order)
    return read_result(home, report)


@pytest.fixture
def with_scripts(organisation: Organisation) -> Organisation:
    """The organisation with a script that prints and fails."""
    organisation.hello = organisation.add_script(  # type: ignore[attr-defined]
        b"echo hello; echo trouble >&2; exit 3\n", id="check.hello"
    )
    organisation.publish()
    return organisation


async def test_ready_follows_the_relays_welcome(relay: TestRelay, enrolled: Home) -> None:
    async with resident(enrolled.path) as running:
        line = await running.line("ready")
        assert line == f"farhand-agent: ready {load_settings(enrolled).device}"
        (present,) = relay.of(Present)
        assert present.host_name == socket.gethostname()
        answer = await agent("status", "--home", str(enrolled.path), "--json")
        assert answer.json["running"]
        assert answer.json["connected"]
        assert answer.json["device"] == load_settings(enrolled).device
        second = await agent("run", "--home", str(enrolled.path))
        assert second.status == 1
        assert "error: already-running:" in second.stderr
        assert await running.stop() == 0
    resting = await agent("--home", str(enrolled.path), "status", "--json")
    assert not resting.json["running"]
    with pytest.raises(AgentNotRunning):
        local.ask(enrolled, {"do": "status"})


async def test_an_order_is_run_and_its_result_sealed(
    relay: TestRelay, enrolled: Home, with_scripts: Organisation
) -> None:
    script = with_scripts.hello  # type: ignore[attr-defined]
    device = load_settings(enrolled).device
    order, data = with_scripts.order(script, device, socket.gethostname())
    async with resident(enrolled.path) as running:
        # The device has older trust than the signer saw; it fetches and looks again.
        result = await ordered(relay, enrolled, order, data)
        assert (result.state, result.exit_code) == ("failed", 3), result
        assert (result.stdout, result.stderr) == (b"hello\n", b"trouble\n")
        assert result.tenant == with_scripts.tenant
        states = [one.state for one in relay.of(OrderProgress) if one.order == order]
        assert states == ["accepted", "running"]
        # Offered again, it is reported again and not run again.
        before = len(relay.of(ResultReport))
        await relay.send(OfferOrder(order=order, envelope=data))
        await relay.until(lambda: len(relay.of(ResultReport)) > before)
        assert relay.of(ResultReport)[-1].envelope == relay.of(ResultReport)[0].envelope
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(local.ask, enrolled, {"do": "status"}))["outbox"]:
                pass  # the acknowledgement is on its way into the journal
        await running.stop()
    journal = Journal(enrolled.journal)
    kinds = [record.kind for record in journal.latest_log_records(100)]
    assert kinds.count("order-running") == 1
    assert journal.outbox() == []
    journal.close()
    done = await agent("log", "--home", str(enrolled.path), "--verify", "--json")
    assert [one["kind"] for one in done.json["items"]] == kinds


async def test_a_refused_order_says_why_and_stays_refused(
    relay: TestRelay, enrolled: Home, with_scripts: Organisation
) -> None:
    script = with_scripts.hello  # type: ignore[attr-defined]
    device = load_settings(enrolled).device
    order, data = with_scripts.order(script, device, "another-host")
    async with resident(enrolled.path) as running:
        result = await ordered(relay, enrolled, order, data)
        assert (result.state, result.refusal) == ("refused", "order-wrong-host")
        garbage = await ordered(relay, enrolled, "o-aaaaaaaaaaaaaaaaaaaa", b"garbage")
        assert (garbage.state, garbage.refusal) == ("refused", "order-malformed")
        early, sealed = with_scripts.order(
            script,
            device,
            socket.gethostname(),
            not_before=format_instant(now() + timedelta(minutes=10)),
        )
        waiting = await ordered(relay, enrolled, early, sealed)
        assert (waiting.state, waiting.refusal) == ("eligible", "order-early")
        await running.stop()
    journal = Journal(enrolled.journal)
    assert journal.order(order) is None
    assert journal.open_orders() == []
    journal.close()


async def test_a_cancelled_order_does_not_start(
    relay: TestRelay, organisation: Organisation, enrolled: Home, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    body = f"while [ ! -e {gate} ]; do sleep 0.05; done\n"
    script = organisation.add_script(body.encode(), id="check.wait")
    organisation.publish()
    device = load_settings(enrolled).device
    orders = [organisation.order(script, device, socket.gethostname()) for _ in range(3)]
    async with resident(enrolled.path) as running:
        for order, data in orders:
            await relay.send(OfferOrder(order=order, envelope=data))
        await relay.until(
            lambda: sum(one.state == "running" for one in relay.of(OrderProgress)) == 2
        )
        started = {one.order for one in relay.of(OrderProgress) if one.state == "running"}
        await relay.first(OrderProgress, lambda one: one.order not in started)
        (third,) = {order for order, _ in orders} - started
        await relay.send(CancelOrder(order=third))
        report = await relay.first(ResultReport, lambda one: one.order == third)
        assert read_result(enrolled, report).state == "cancelled"
        # A body that has started is not touched by a cancellation.
        await relay.send(CancelOrder(order=next(iter(started))))

        gate.touch()
        for order in started:
            report = await relay.first(ResultReport, of_order(order))
            assert read_result(enrolled, report).state == "succeeded"
        await running.stop()


async def test_inventory_is_sent_once_and_again_only_on_request(
    relay: TestRelay, enrolled: Home
) -> None:
    async with resident(enrolled.path) as running:
        first = await relay.first(ReportSections)
        names = {decode_section(blob).name for blob in first.changed}
        assert "system" in names
        assert set(first.hashes) >= names
        assert "updates" not in first.hashes  # this device keeps it to itself
        await relay.send(Resend(sections=["system"]))
        # Only what was asked for; the others wait for their own pace.
        again = await relay.first(ReportSections, lambda one: set(one.hashes) == {"system"})
        assert [decode_section(blob).name for blob in again.changed] == ["system"]
        await running.stop()


async def test_it_comes_back_after_a_lost_link(relay: TestRelay, enrolled: Home) -> None:
    async with resident(enrolled.path) as running:
        await running.line("ready")
        await relay.links.pop("device").close()
        await running.line("connected again")
        relay.links.pop("device", None)
        assert relay.roles.count("device") == 2
        await running.stop()


async def test_a_poisoned_report_is_set_aside_and_the_link_stays(
    relay: TestRelay, enrolled: Home
) -> None:
    bad = [
        msgspec.msgpack.encode({"session": "s-long", "state": "ended", "note": "x" * 20_000}),
        msgspec.msgpack.encode({"session": "s-ctrl", "state": "ended", "note": "a\x1b[2J"}),
        msgspec.msgpack.encode({"session": "s-key", "state": "ended", "unknown": 1}),
        b"\xc1",
    ]
    good = msgspec.msgpack.encode({"session": "s-good", "state": "ended", "note": "fine"})
    # As an older agent would have left them: posting judges them too.
    with closing(sqlite3.connect(enrolled.journal)) as database, database:
        database.executemany(
            "INSERT INTO outbox (kind, subject, body) VALUES ('session', 's-x', ?)",
            [(body,) for body in (*bad, good)],
        )
    async with resident(enrolled.path) as running:
        report = await relay.first(SessionReport)
        assert (report.session, report.note) == ("s-good", "fine")
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(local.ask, enrolled, {"do": "status"}))["outbox"]:
                pass  # the acknowledgement is on its way into the journal
        assert await running.stop() == 0
    assert relay.roles.count("device") == 1
    assert len(relay.of(SessionReport)) == 1
    journal = Journal(enrolled.journal)
    kinds = [record.kind for record in journal.latest_log_records(50)]
    assert kinds.count("report-malformed") == len(bad)
    assert journal.outbox() == []
    journal.close()
    with closing(sqlite3.connect(enrolled.journal)) as database:
        kept = database.execute("SELECT kind, body FROM outbox ORDER BY seq").fetchall()
    assert kept == [("aside-session", body) for body in bad]


async def test_reconnect_and_redirect(relay: TestRelay, enrolled: Home) -> None:
    async with resident(enrolled.path) as running:
        await running.line("ready")
        await relay.send(Redirect(url="https://elsewhere.example:8443"))
        await running.line("a redirect to an address that the token does not name was refused")
        await relay.send(Reconnect(window_s=0.1))
        await running.line("connected again")
        assert await running.stop() == 0
    journal = Journal(enrolled.journal)
    kinds = [record.kind for record in journal.latest_log_records(50)]
    assert "redirect-refused" in kinds
    journal.close()


async def test_a_relay_that_falls_silent_is_left(relay: TestRelay, enrolled: Home) -> None:
    relay.ping_s = 1
    async with resident(enrolled.path) as running:
        await running.line("ready")
        # This relay sends no pings at all.
        await running.line("the relay fell silent")
        await running.line("connected again")
        await running.stop()


async def test_a_relay_that_says_later_is_asked_later(relay: TestRelay, enrolled: Home) -> None:
    relay.http_status, relay.retry_after = 503, "3600"
    async with resident(enrolled.path) as running:
        await running.line("relay-unavailable")
        assert await running.stop() == 0
    assert relay.attempts == 2  # the enrolment and one more


@pytest.mark.parametrize("standing", ["unknown", "retired"])
async def test_a_device_that_the_relay_does_not_count_is_not_ready(
    relay: TestRelay, enrolled: Home, standing: str
) -> None:
    relay.standing = standing
    async with resident(enrolled.path) as running:
        told = await running.line(f"device-{standing}")
        assert ("was retired" in told, "trying again" in told) == (
            (True, False) if standing == "retired" else (False, True)
        )
        await running.stop()
        assert not any("ready" in line for line in running.lines)


async def test_a_relay_with_another_key_gets_nothing(relay: TestRelay, enrolled: Home) -> None:
    from tests.agent.organisation import signer

    relay.key = relay.signing_key = signer()
    async with resident(enrolled.path) as running:
        await running.line("relay-key-mismatch")
        await running.stop()
    assert relay.of(Present) == []


async def test_moves_people_and_revocation_are_announced(
    relay: TestRelay, organisation: Organisation, enrolled: Home
) -> None:
    device = load_settings(enrolled).device
    async with resident(enrolled.path) as running:
        await running.line("ready")
        organisation.placements = Placements(tenant=organisation.tenant, groups={device: "lab"})
        organisation.roster = Roster(
            tenant=organisation.tenant, operators=organisation.roster.operators[:2]
        )
        organisation.publish()
        await relay.send(TrustNotice(timestamp_version=organisation.version))
        await running.line("moved this device from group default to lab")
        await running.line("cy may not act here any more")
        script = organisation.add_script(b"echo here\n")
        organisation.publish()
        order, data = organisation.order(script, device, host_name(), group="lab")
        assert (await ordered(relay, enrolled, order, data)).stdout == b"here\n"
        order, data = organisation.order(script, device, host_name())
        assert (await ordered(relay, enrolled, order, data)).refusal == "order-wrong-group"
        assert (await asyncio.to_thread(local.ask, enrolled, {"do": "status"}))["group"] == "lab"
        organisation.revoke("device", device)
        organisation.publish()
        await relay.send(TrustNotice(timestamp_version=organisation.version))
        await running.line("the organisation revoked this device's key")
        order, data = organisation.order(script, device, host_name(), group="lab")
        assert (await ordered(relay, enrolled, order, data)).refusal == "device-revoked"
        assert await running.stop() == 0
    told = (await agent("status", "--json", "--home", str(enrolled.path))).json
    assert (told["group"], [one["code"] for one in told["warnings"]]) == ("lab", ["device-revoked"])
    journal = Journal(enrolled.journal, read_only=True)
    kinds = [record.kind for record in journal.log_records()]
    assert {"group-changed", "roster-changed", "device-revoked"} <= set(kinds)
    journal.close()


async def test_a_device_whose_key_is_in_use_elsewhere_says_so(
    relay: TestRelay, enrolled: Home
) -> None:
    async with resident(enrolled.path) as running:
        await running.line("ready")
        for _ in range(2):  # said once, however often the two take each other's place
            await relay.until(lambda: "device" in relay.links)
            await relay.links.pop("device").close(1008, "device-key-conflict")
        await running.line("another machine uses the key of this device")
        await relay.until(lambda: "device" in relay.links)
        told = await asyncio.to_thread(local.ask, enrolled, {"do": "status"})
        assert [one["code"] for one in told["warnings"]] == ["device-key-conflict"]
        assert await running.stop() == 0
        assert sum("another machine" in line for line in running.lines) == 1
    shown = await agent("status", "--home", str(enrolled.path))
    assert "warning: device-key-conflict: another machine" in shown.stdout


async def test_a_policy_change_is_announced(
    relay: TestRelay, organisation: Organisation, enrolled: Home
) -> None:
    async with resident(enrolled.path) as running:
        await running.line("ready")
        organisation.allow(scopes=["view"], minutes_max=5)
        organisation.publish()
        await relay.send(TrustNotice(timestamp_version=organisation.version))
        await running.line("the policy of this device changed")
        await running.line("a session may use: view")
        await running.stop()
    shown = await agent("policy", "--home", str(enrolled.path), "--json")
    assert shown.json["policy"]["scopes"] == ["view"]
    journal = Journal(enrolled.journal)
    assert [r.kind for r in journal.latest_log_records(50)].count("policy-changed") == 2
    journal.close()


async def test_without_its_journal_a_device_must_enrol_again(
    relay: TestRelay, enrolled: Home
) -> None:
    for path in enrolled.path.glob("journal.db*"):
        path.unlink()
    done = await agent("run", "--home", str(enrolled.path))
    assert done.status == 1
    assert "error: journal-missing:" in done.stderr


def certificate(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """Make a self-signed certificate as `farhand-server init` does."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "farhand relay")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, made.fingerprint(hashes.SHA256())


async def test_tls_is_pinned_to_the_tokens_certificate(
    organisation: Organisation, tmp_path: Path
) -> None:
    tls, fingerprint = certificate(tmp_path / "tls")
    other_tls, _ = certificate(tmp_path / "other-tls")
    home = Home.at(tmp_path / "device")
    relay = TestRelay(organisation)
    async with relay.running(tls=tls):
        wrong = parse_enrolment_token(relay.token(tls_sha256=b"x" * 32))
        with pytest.raises(Exception, match="tls-pin-mismatch"):
            await enrol(home, wrong)
        await enrol(home, parse_enrolment_token(relay.token(tls_sha256=fingerprint)))
        async with resident(home.path) as running:
            await running.line("ready")
            await running.stop()
        port = relay.port
    before = len(relay.received)
    async with relay.running(tls=other_tls, port=port):
        async with resident(home.path) as running:
            await running.line("tls-pin-mismatch")
            await running.stop()
    assert len(relay.received) == before


async def test_nothing_heavy_is_resident(relay: TestRelay, enrolled: Home, tmp_path: Path) -> None:
    """The resident process imports no cryptography, no SSH and no TUF, even after an order.

    Nor does it read what its libraries import and it never uses.
    """
    wrapper = (
        "import runpy, sys\n"
        f"out = open({str(tmp_path / 'modules')!r}, 'w')\n"
        "try: runpy.run_module('farhand_agent.resident', run_name='__main__')\n"
        "finally:\n"
        "    from farhand_agent.late_modules import is_late\n"
        "    read = [name for name, one in sys.modules.items() if one and not is_late(one)]\n"
        "    out.write('\\n'.join(sorted(read))); out.close()\n"
    )
    script = relay.organisation.add_script(b"true\n")
    relay.organisation.publish()
    device = load_settings(enrolled).device
    order, data = relay.organisation.order(script, device, socket.gethostname())
    import sys

    async with resident(
        enrolled.path, sys.executable, "-P", "-c", wrapper, str(enrolled.path)
    ) as running:
        result = await ordered(relay, enrolled, order, data)
        assert result.state == "succeeded"
        await relay.first(ReportSections)
        assert await running.stop() == 0
    modules = set((tmp_path / "modules").read_text().split("\n"))
    names = {line.partition(".")[0] for line in modules}
    heavy = {"cryptography", "asyncssh", "spake2", "tuf", "securesystemslib", "psutil"}
    heavy |= {"jsonschema", "click", "rich", "requests", "urllib3", "uvloop", "multiprocessing"}
    heavy |= {"email", "tempfile", "shutil", "zipfile", "bz2", "lzma", "csv", "ast", "dis"}
    assert names & heavy == set()
    assert modules & (LATE | {"http.client", "importlib.resources"}) == set()
    outside = {name for name in names if name not in sys.stdlib_module_names and name[:1] != "_"}
    assert outside <= {"msgspec", "websockets"} | {
        name for name in outside if name.startswith(("farhand", "sitecustomize", "distutils"))
    }
    assert isinstance(running, Resident)
