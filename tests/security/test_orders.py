"""Orders under a hostile relay: only what an operator ordered and enough people approved runs.

Every forged order would run a script that makes a file; the file must not be there, and the
device's signed result must name the stable refusal.  The first tests show that the same script does
run when everything is as it should be.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyrage
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    sign_again,
)
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import Manifest
from farhand_protocol.messages import CancelOrder, OfferOrder, ResultReport
from farhand_protocol.orders import Exemption
from farhand_protocol.outputs import decode_output
from farhand_protocol.trust import Floors
from tests.security.conftest import MakeDevice
from tests.support.hostile_devices import Device, Program
from tests.support.hostile_organisation import HostileOrganisation, now, signer
from tests.support.hostile_relay import HostileRelay

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = socket.gethostname()
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[a-z]{1,8}$"}},
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the scripts of this module make."""
    return tmp_path_factory.mktemp("place") / "ran"


@pytest.fixture(scope="module")
def scripts(organisation: HostileOrganisation, place: Path) -> dict[str, Envelope]:
    """Approved and not so approved scripts, all of which make the file `place`."""
    body = f"echo ran >> {place}\n".encode()
    add = organisation.add_script
    ada, bo, cy, low = (
        organisation.author,
        organisation.boss,
        organisation.second,
        organisation.low,
    )
    made = {
        "good": add(body, id="check.good", parameters=SCHEMA),
        "change": add(body + b"# 1\n", id="remedy.change", risk="R2"),
        "author-alone": add(body + b"# 2\n", id="check.alone", by=(ada,)),
        "one-of-two": add(body + b"# 3\n", id="remedy.one", by=(ada, bo), risk="R2"),
        "wrong-permission": add(body + b"# 4\n", id="remedy.low", by=(ada, low), risk="R1"),
        "stranger": add(body + b"# 5\n", id="check.stranger", by=(ada, signer())),
        "unknown-author": add(body + b"# 6\n", id="check.eve", author="eve", by=(bo, cy)),
        "unsigned-author": add(body + b"# 7\n", id="check.unsigned", by=(bo, cy)),
        "windows": add(body + b"# 8\n", id="check.windows", platforms=["windows"]),
        "old": add(body + b"# 9\n", id="check.old"),
        "revoked": add(body + b"# 10\n", id="check.revoked"),
        "expired": add(
            body + b"# 11\n", id="check.expired", expires=format_instant(now() - timedelta(days=1))
        ),
        "sensitive": add(
            body + b"# 12\necho 'the secret'; echo 'more of it' >&2\n",
            id="crash.sensitive",
            sensitive=True,
        ),
        "linked": add(body + b"# 13\n", id="remedy.linked", detect="check.revoked"),
    }
    organisation.floors = Floors(tenant=organisation.tenant, scripts={"check.old": 2})
    organisation.revoke("script", "check.revoked")
    organisation.publish()
    return made


@pytest.fixture
def target(
    relay: HostileRelay, scripts: dict[str, Envelope], device: Device, agent: Program
) -> Device:
    """The device, with the scripts published and its agent running."""
    assert scripts
    assert agent.process.returncode is None
    return device


@pytest.fixture(autouse=True)
def nothing_ran(place: Path) -> None:
    """Begin without the file."""
    place.unlink(missing_ok=True)


def make_order(
    target: Device, sealed: Envelope, *, by: SeedSigner | None = None, **fields: Any
) -> tuple[str, bytes]:
    """Return an order for the device; fields say what is wrong with it."""
    return target.relay.organisation.order(
        sealed, target.id, HOST, by=by, change=lambda values: values.update(fields)
    )


async def refused(device: Device, order: str, data: bytes, code: str, place: Path) -> None:
    result = await device.outcome(order, data)
    assert (result.state, result.refusal) == ("refused", code), result
    assert result.started_at is None
    assert not place.exists()
    assert device.logged("order-refused")[-1]["code"] == code


async def test_the_honest_order_runs(
    target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    order, data = make_order(target, scripts["good"])
    result = await target.outcome(order, data)
    assert (result.state, result.exit_code) == ("succeeded", 0), result
    assert place.read_text() == "ran\n"
    order, data = make_order(target, scripts["change"])
    assert (await target.outcome(order, data)).state == "succeeded"


async def test_what_a_sensitive_script_prints_is_for_its_operator_alone(
    target: Device, organisation: HostileOrganisation, scripts: dict[str, Envelope], place: Path
) -> None:
    """The relay sees every byte of every message; neither output nor its lengths are in them."""
    order, data = make_order(target, scripts["sensitive"])
    result = await target.outcome(order, data)
    assert (result.state, result.exit_code) == ("succeeded", 0), result
    assert place.read_text() == "ran\n"
    assert (result.stdout, result.stdout_bytes, result.stderr, result.stderr_bytes) == (
        b"", 0, b"", 0,
    )  # fmt: skip
    (report,) = (one for one in target.relay.of(ResultReport) if one.order == order)
    for kept in (report.envelope, decode_envelope(report.envelope).payload):
        assert b"secret" not in kept
    assert result.sealed_output is not None
    assert b"secret" not in result.sealed_output
    opened = decode_output(pyrage.decrypt(result.sealed_output, [identity(organisation.boss)]))
    assert (opened.order, opened.stdout, opened.stderr) == (order, b"the secret\n", b"more of it\n")
    for other in (signer(), target.relay.key):
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(result.sealed_output, [identity(other)])


def identity(key: SeedSigner) -> pyrage.ssh.Identity:
    """Return a signer's key as age takes it."""
    pem = key._private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return pyrage.ssh.Identity.from_buffer(pem)


async def test_a_replayed_order_runs_once(
    target: Device, scripts: dict[str, Envelope], place: Path, relay: HostileRelay
) -> None:
    order, data = make_order(target, scripts["good"])
    first = await target.outcome(order, data)
    assert first.state == "succeeded"
    for _ in range(3):
        again = await target.outcome(order, data)
        assert again == first
    assert place.read_text() == "ran\n"


async def test_an_order_signed_anew_under_a_used_id_does_not_run(
    target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    order, data = make_order(target, scripts["good"])
    first = await target.outcome(order, data)
    assert first.state == "succeeded"
    place.unlink()
    _, other = make_order(target, scripts["good"], id=order, ticket="FH-2")
    # Nor does the device ever sign that the one which ran was refused.
    for offered, code in ((other, "order-replayed"), (b"rubbish", "order-malformed")):
        assert await target.outcome(order, offered) == first
        assert target.logged("order-refused")[-1] == {"order": order, "code": code}
    assert not place.exists()


async def test_a_replayed_refusal_stays_refused(
    target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    order, data = make_order(target, scripts["good"], group="other")
    await refused(target, order, data, "order-wrong-group", place)
    await refused(target, order, data, "order-wrong-group", place)


Forge = Callable[[Device, dict[str, Envelope]], tuple[str, bytes]]


def _stranger(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    return make_order(device, scripts["good"], by=signer())


def _relay_key(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    return make_order(device, scripts["good"], by=device.relay.key)


def _as_admin(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    """The author of the shipped scripts is not an operator."""
    return make_order(device, scripts["good"], by=device.relay.key, operator="farhand")


def _edited(field: str, value: Any) -> Forge:
    """Change a signed order and keep the signature."""

    def forge(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
        _, data = make_order(device, scripts["good"])
        envelope = decode_envelope(data)
        fields = json.loads(envelope.payload)
        fields[field] = value
        payload = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        forged = Envelope(
            payload=payload, payload_type=envelope.payload_type, signatures=envelope.signatures
        )
        return str(fields["id"]), encode_envelope(forged)

    return forge


def _with(published: str = "good", **fields: Any) -> Forge:
    def forge(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
        return make_order(device, scripts[published], **fields)

    return forge


def _by_low(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    return make_order(device, scripts["good"], by=device.relay.organisation.low, operator="low")


def _borrowed_signature(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    """Show the operator's signature over a manifest as one over an order."""
    order, data = make_order(device, scripts["good"], by=signer())
    envelope = decode_envelope(data)
    forged = Envelope(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=scripts["good"].signatures,
    )
    return order, encode_envelope(forged)


def _manifest_as_order(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    return make_id("o", os.urandom(12)), encode_envelope(scripts["good"])


def _another_name(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
    """A signed order under an id that the relay draws, to get it past the list of used ids."""
    return make_id("o", os.urandom(12)), make_order(device, scripts["good"])[1]


def _carrying(kind: Literal["trial", "break-glass"], *, operator: str, by_relay: bool) -> Forge:
    """An order that brings its own script along, which nobody approved."""

    def forge(device: Device, scripts: dict[str, Envelope]) -> tuple[str, bytes]:
        organisation = device.relay.organisation
        body = b"echo ran\n"
        sealed = seal(organisation.manifest(body, id="check.carried"), organisation.author)
        exemption = Exemption(
            kind=kind, manifest=encode_envelope(sealed), body=body, reason="an emergency"
        )
        keys = {"ada": organisation.author, "bo": organisation.boss}
        signed_by = device.relay.key if by_relay else keys[operator]
        expires = format_instant(now() + timedelta(minutes=30))
        fields = {"operator": operator, "exemption": exemption, "expires": expires}
        return make_order(device, sealed, by=signed_by, **fields)

    return forge


FORGERIES: dict[str, tuple[str, Forge]] = {
    "carrying-its-script-with-the-relay-key": (
        "order-signature",
        _carrying("break-glass", operator="bo", by_relay=True),
    ),
    "an-emergency-of-one-person": (
        "exemption-unsigned",
        _carrying("break-glass", operator="bo", by_relay=False),
    ),
    "a-draft-of-its-author-outside-the-lab": (
        "exemption-refused",
        _carrying("trial", operator="ada", by_relay=False),
    ),
    "made-up-by-a-stranger": ("order-signature", _stranger),
    "made-up-with-the-relay-key": ("order-signature", _relay_key),
    "in-the-name-of-the-project": ("order-operator-unknown", _as_admin),
    "with-a-signature-over-something-else": ("order-signature", _borrowed_signature),
    "a-manifest-shown-as-an-order": ("order-malformed", _manifest_as_order),
    "under-another-id": ("order-malformed", _another_name),
    "for-another-device": ("order-wrong-device", _with(device="d-" + "a" * 26)),
    "for-another-host-name": ("order-wrong-host", _with(host_name="elsewhere")),
    "for-another-group": ("order-wrong-group", _with(group="servers")),
    "for-another-tenant": ("order-wrong-tenant", _with(tenant="n-other2345672")),
    "with-changed-parameters": ("order-signature", _edited("parameters", {"name": "evil"})),
    "with-a-longer-life": ("order-signature", _edited("expires", "2099-01-01T00:00:00Z")),
    "released-from-not-before": ("order-signature", _edited("not_before", "2020-01-01T00:00:00Z")),
    "for-another-version": ("order-signature", _edited("version", 7)),
    "expired": (
        "order-expired",
        _with(
            issued_at=format_instant(now() - timedelta(hours=2)),
            not_before=format_instant(now() - timedelta(hours=2)),
            expires=format_instant(now() - timedelta(hours=1)),
        ),
    ),
    "too-long-lived": (
        "order-lifetime",
        _with(expires=format_instant(now() + timedelta(days=8))),
    ),
    "by-an-operator-without-permission": ("order-not-permitted", _by_low),
    "of-an-unpublished-version": ("script-unknown", _with(version=2)),
    "of-an-unpublished-script": ("script-unknown", _with(script="check.nowhere")),
    "with-another-digest": ("script-changed", _with(digest="0" * 64)),
    "with-a-lower-risk-than-the-script": ("script-changed", _with("change", risk="R0")),
    "approved-by-its-author-only": ("script-not-approved", _with("author-alone")),
    "approved-by-one-of-two": ("script-not-approved", _with("one-of-two")),
    "approved-without-the-permission": ("script-not-approved", _with("wrong-permission")),
    "approved-by-a-stranger": ("script-not-approved", _with("stranger")),
    "of-an-author-whom-nobody-knows": ("script-author-unknown", _with("unknown-author")),
    "not-signed-by-its-author": ("script-author-unknown", _with("unsigned-author")),
    "below-the-floor": ("script-below-floor", _with("old")),
    "revoked": ("script-revoked", _with("revoked")),
    "of-an-expired-script": ("script-expired", _with("expired")),
    "for-another-platform": ("script-wrong-platform", _with("windows")),
    "of-a-script-whose-check-is-revoked": ("script-link", _with("linked")),
    "with-a-parameter-outside-its-pattern": (
        "parameters-invalid",
        _with(parameters={"name": "$(touch x)"}),
    ),
    "with-an-unknown-parameter": ("parameters-invalid", _with(parameters={"other": "a"})),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_an_order_does_not_run(
    forgery: str, target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    code, forge = FORGERIES[forgery]
    order, data = forge(target, scripts)
    await refused(target, order, data, code, place)
    assert (order, code) in [(one["order"], one["code"]) for one in target.logged("order-refused")]


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"null", b"\xff" * 100, b"[" * 100_000, b'{"payload":"' + b"A" * 500_000],
    ids=["empty", "object", "null", "binary", "nested", "cut-short"],
)
async def test_rubbish_offered_as_an_order(target: Device, place: Path, data: bytes) -> None:
    await refused(target, make_id("o", os.urandom(12)), data, "order-malformed", place)


async def test_a_relay_that_releases_an_order_early_gets_no_run(
    target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    order, data = make_order(
        target, scripts["good"], not_before=format_instant(now() + timedelta(minutes=30))
    )
    for _ in range(2):
        result = await target.outcome(order, data)
        assert (result.state, result.refusal) == ("eligible", "order-early")
    assert not place.exists()


async def test_an_order_over_trust_that_the_relay_withholds_does_not_run(
    target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    order, data = make_order(
        target, scripts["good"], targets_version=target.relay.organisation.version + 5
    )
    await refused(target, order, data, "trust-behind", place)


async def test_a_second_signature_does_not_heal_a_forged_order(
    target: Device, scripts: dict[str, Envelope], place: Path
) -> None:
    order, data = make_order(target, scripts["good"], by=signer())
    more = encode_envelope(sign_again(decode_envelope(data), target.relay.key))
    await refused(target, order, more, "order-signature", place)


async def test_orders_of_a_removed_operator_stop(
    target: Device,
    agent: Program,
    organisation: HostileOrganisation,
    scripts: dict[str, Envelope],
    place: Path,
) -> None:
    order, data = make_order(target, scripts["good"], by=organisation.gone, operator="gone")
    assert (await target.outcome(order, data)).state == "succeeded"
    place.unlink()
    organisation.remove("gone")
    organisation.publish()
    # What the operator signs after having been removed names the newest targets.
    order, data = make_order(target, scripts["good"], by=organisation.gone, operator="gone")
    await refused(target, order, data, "order-operator-unknown", place)


async def test_a_script_edited_in_the_relays_database_does_not_run(
    target: Device, organisation: HostileOrganisation, place: Path
) -> None:
    """The relay serves another body of the same length under the signed name."""
    evil = f"echo ran >> {place}\n".encode()
    body = b"true".ljust(len(evil) - 1) + b"\n"
    script = organisation.add_script(body, id="check.edited")
    organisation.publish()
    digest = hashlib.sha256(body).hexdigest()
    name = f"scripts/{digest}.{digest}"
    relay = target.relay
    served: list[bytes] = []

    def tamper(kind: str, asked: str, honest: bytes) -> bytes:
        if asked != name:
            return honest
        served.append(evil)
        return evil

    # Nothing is awaited since `publish`, so the honest body was never served.
    relay.tamper = tamper
    try:
        order, data = make_order(target, script)
        # The update that would bring the script is refused whole, so the device stays behind.
        await refused(target, order, data, "trust-behind", place)
    finally:
        relay.tamper = lambda kind, asked, honest: honest
    assert served, "the agent was given the edited script"
    assert "trust-mismatch" in [one["code"] for one in target.logged("trust-not-updated")]


async def test_a_manifest_swapped_in_the_relays_database_does_not_run(
    target: Device, organisation: HostileOrganisation, scripts: dict[str, Envelope], place: Path
) -> None:
    """The relay names another, approved script's manifest under this script's path."""
    script = organisation.add_script(b"true # swapped\n", id="check.swapped")
    organisation.publish()
    other = encode_envelope(scripts["good"])
    relay = target.relay
    relay.tamper = lambda kind, asked, honest: (
        other if asked.startswith("manifests/check.swapped/") else honest
    )
    try:
        order, data = make_order(target, script)
        await refused(target, order, data, "trust-behind", place)
    finally:
        relay.tamper = lambda kind, asked, honest: honest


async def test_a_script_edited_on_the_devices_own_disk_does_not_run(
    make_device: MakeDevice, scripts: dict[str, Envelope], place: Path
) -> None:
    device = await make_device()
    manifest = open_payload(scripts["good"], Manifest)
    (device.home.trust / "targets" / manifest.sha256).write_bytes(b"true; touch elsewhere\n")
    # The resident agent would fetch the damaged file anew; the check alone is asked here.
    order, data = make_order(device, scripts["good"])
    from farhand_agent.scripts.runner import Desk

    journal = device.journal()
    try:
        desk = Desk(device.home, device.settings, journal)
        answer = desk.offer(order, data, retried=True)
    finally:
        journal.close()
    assert answer == {"state": "refused", "code": "script-changed"}
    assert not place.exists()


async def test_no_relay_message_makes_an_unknown_order_run(
    target: Device, agent: Program, place: Path
) -> None:
    """Cancelling, repeating and naming orders that never were does nothing."""
    link = await target.relay.link()
    for order in ("o-" + "a" * 20, "../../../etc/passwd", "x" * 64, ""):
        await link.send(CancelOrder(order=order))
    before = len(target.relay.of(ResultReport))
    await link.send(OfferOrder(order="../../up", envelope=b"x"))
    await target.relay.until(lambda: len(target.relay.of(ResultReport)) > before)
    assert target.relay.of(ResultReport)[-1].order == "../../up"
    assert not place.exists()


async def test_a_result_made_up_by_the_relay_is_not_believed(
    target: Device, scripts: dict[str, Envelope]
) -> None:
    """The console's own check of a device's signed result."""
    from farhand_console.orders import verify_result
    from farhand_protocol.errors import FarhandError

    order, data = make_order(target, scripts["good"])
    result = await target.outcome(order, data)
    honest = [one for one in target.relay.of(ResultReport) if one.order == order][-1].envelope
    named = {
        "tenant": target.settings.tenant,
        "order": order,
        "device": target.id,
        "device_key": target.settings.device_key_raw,
    }
    assert verify_result(honest, **named) == result  # type: ignore[arg-type]
    statement = open_payload(decode_envelope(honest), type(result))
    for forged in (
        encode_envelope(seal(statement, target.relay.key)),
        honest.replace(b"A", b"B", 1),
        b"{}",
    ):
        with pytest.raises(FarhandError) as caught:
            verify_result(forged, **named)  # type: ignore[arg-type]
        assert caught.value.code == "result-forged"
    with pytest.raises(FarhandError) as caught:
        verify_result(honest, **(named | {"order": "o-" + "b" * 20}))  # type: ignore[arg-type]
    assert caught.value.code == "result-forged"


async def test_no_made_up_operator_is_in_the_devices_own_log(target: Device) -> None:
    accepted = target.logged("order-accepted")
    assert {one["operator"] for one in accepted} <= {"bo", "gone"}
