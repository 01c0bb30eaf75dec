"""Trust metadata under a hostile relay that holds the online key and the database.

Each attempt is served to a running agent; the verified copy that was in force must stay in force,
byte for byte, and the agent must say the stable code.  The device keeps answering throughout.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from farhand_agent.trust.verified import load_verified
from farhand_protocol.envelopes import Envelope
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import FetchTrust, TrustFile
from farhand_protocol.trust import (
    POLICY_PATH,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    GroupPolicy,
    Operator,
    Policy,
    Revocations,
    Roster,
    encode_document,
)
from tests.agent.organisation import PERMISSIONS
from tests.security.conftest import MakeDevice
from tests.support.faults.environment import fault_environment
from tests.support.hostile_devices import COMMAND, Device, Program, running_program
from tests.support.hostile_organisation import HostileOrganisation, now, signer, tuf_signer
from tests.support.hostile_relay import HostileRelay

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVE = signer()
Attack = Callable[[HostileOrganisation], object]


def roster_with_eve(organisation: HostileOrganisation) -> bytes:
    """Return the roster with an operator whom the relay made up."""
    eve = Operator(name="eve", keys=[EVE.public_key], permissions=PERMISSIONS)
    return encode_document(
        Roster(tenant=organisation.tenant, operators=[*organisation.roster.operators, eve])
    )


def open_policy(organisation: HostileOrganisation) -> bytes:
    """Return a policy that lets everybody in and names an audit key of the relay's."""
    rules = GroupPolicy(unattended=True, consent="notify", recording="on", audit_keys=["age1evil"])
    return encode_document(
        Policy(
            tenant=organisation.tenant,
            approvals=organisation.policy.approvals,
            groups={"*": rules},
        )
    )


def edited_in_place(path: str, make: Callable[[HostileOrganisation], bytes]) -> Attack:
    """Change a target and its entry in the signed targets without signing them anew."""

    def attack(organisation: HostileOrganisation) -> None:
        version = organisation.version
        body = make(organisation)
        organisation.forge_targets({path: body}, by=organisation.online_key, keep_signatures=True)
        name = ("metadata", f"{organisation.version}.targets.json")
        metadata = msgspec.json.decode(organisation.files[name])
        honest = msgspec.json.decode(organisation.files["metadata", f"{version}.targets.json"])
        metadata["signatures"] = honest["signatures"]
        organisation.files[name] = msgspec.json.encode(metadata)

    return attack


def signed_online(path: str, make: Callable[[HostileOrganisation], bytes]) -> Attack:
    return lambda organisation: organisation.forge_targets(
        {path: make(organisation)}, by=organisation.online_key
    )


def signed_by_stranger(organisation: HostileOrganisation) -> None:
    organisation.forge_targets(
        {ROSTER_PATH: roster_with_eve(organisation)}, by=tuf_signer(os.urandom(32))
    )


def made_up_root(organisation: HostileOrganisation) -> None:
    mine = tuf_signer(os.urandom(32))
    organisation.forge_targets({ROSTER_PATH: roster_with_eve(organisation)}, by=mine)
    organisation.forge_root(by=mine)


# Every device of this module enrolled at version 2 or later.
def old_timestamp(organisation: HostileOrganisation) -> None:
    organisation.forge_online(timestamp=1, snapshot=1, targets=1)


def old_snapshot(organisation: HostileOrganisation) -> None:
    organisation.forge_online(snapshot=1)


def old_targets(organisation: HostileOrganisation) -> None:
    organisation.forge_online(targets=1)


def older_targets_renamed(organisation: HostileOrganisation) -> None:
    """Mix and match: an older, honestly signed targets file under the newest version's name."""
    files, newest = organisation.files, organisation.version + 1
    files["metadata", f"{newest}.targets.json"] = files["metadata", "2.targets.json"]
    organisation.version = newest
    organisation.sign_online()


def expired_timestamp(organisation: HostileOrganisation) -> None:
    organisation.version += 1
    organisation.files["metadata", f"{organisation.version}.targets.json"] = organisation.files[
        "metadata", f"{organisation.version - 1}.targets.json"
    ]
    organisation.forge_online(expire=timedelta(seconds=-1))


def expired_targets(organisation: HostileOrganisation) -> None:
    organisation.targets_expire = timedelta(seconds=-1)
    organisation.publish()
    organisation.targets_expire = timedelta(days=30)


def other_tenant(organisation: HostileOrganisation) -> None:
    honest = organisation.roster
    organisation.roster = Roster(tenant="n-other2345672", operators=honest.operators)
    organisation.publish()
    organisation.roster = honest


def no_roster(organisation: HostileOrganisation) -> None:
    organisation.publish(leave_out=(ROSTER_PATH,))


def not_metadata(organisation: HostileOrganisation) -> None:
    organisation.files["metadata", "timestamp.json"] = b"\x00" * 1000


def deep_metadata(organisation: HostileOrganisation) -> None:
    organisation.files["metadata", "timestamp.json"] = b"[" * 12_000


def missing_targets(organisation: HostileOrganisation) -> None:
    organisation.publish()
    del organisation.files["metadata", f"{organisation.version}.targets.json"]


def cut_short(organisation: HostileOrganisation) -> None:
    organisation.publish()
    name = ("metadata", f"{organisation.version}.targets.json")
    organisation.files[name] = organisation.files[name][:-200]


def huge_timestamp(organisation: HostileOrganisation) -> None:
    organisation.files["metadata", "timestamp.json"] += b" " * 100_000


ATTACKS: dict[str, tuple[set[str], Attack]] = {
    "an-operator-signed-in-with-the-online-key": (
        {"trust-signature"},
        signed_online(ROSTER_PATH, roster_with_eve),
    ),
    "a-policy-with-an-audit-key-signed-with-the-online-key": (
        {"trust-signature"},
        signed_online(POLICY_PATH, open_policy),
    ),
    "an-operator-edited-into-the-signed-roster": (
        {"trust-signature"},
        edited_in_place(ROSTER_PATH, roster_with_eve),
    ),
    "a-policy-edited-in-the-database": (
        {"trust-signature"},
        edited_in_place(POLICY_PATH, open_policy),
    ),
    "revocations-edited-away": (
        {"trust-signature"},
        edited_in_place(
            REVOCATIONS_PATH,
            lambda one: encode_document(Revocations(tenant=one.tenant, revoked=[])),
        ),
    ),
    "targets-signed-by-a-made-up-key": ({"trust-signature"}, signed_by_stranger),
    "a-root-made-up": ({"trust-signature"}, made_up_root),
    "a-rolled-back-timestamp": ({"trust-rollback"}, old_timestamp),
    "a-rolled-back-snapshot": ({"trust-rollback"}, old_snapshot),
    "rolled-back-targets": ({"trust-rollback"}, old_targets),
    "older-targets-under-a-newer-name": ({"trust-rollback"}, older_targets_renamed),
    "an-expired-timestamp": ({"trust-stale"}, expired_timestamp),
    "expired-targets": ({"trust-expired"}, expired_targets),
    "a-roster-of-another-organisation": ({"trust-wrong-tenant"}, other_tenant),
    "targets-without-a-roster": ({"trust-incomplete"}, no_roster),
    "something-that-is-no-metadata": ({"trust-invalid"}, not_metadata),
    "metadata-nested-without-end": ({"trust-invalid"}, deep_metadata),
    "a-withheld-file": ({"trust-incomplete"}, missing_targets),
    "a-truncated-file": ({"trust-invalid"}, cut_short),
    "a-huge-timestamp": ({"trust-too-large"}, huge_timestamp),
}


async def rejected(device: Device, agent: Program, codes: set[str]) -> str:
    """Let the agent look, wait for its complaint, and return the code."""
    before = (device.home.trust / "verified.json").read_bytes()
    since = len(agent.lines)
    await device.relay.notice(device.id)
    line = await agent.line("trust was not updated: ", since=since)
    code = line.split("trust was not updated: ")[1].split(":")[0]
    assert code in codes, line
    assert (device.home.trust / "verified.json").read_bytes() == before
    trust = load_verified(device.home)
    assert trust is not None
    assert trust.roster.find("eve") is None
    assert not trust.policy.for_group("default").unattended
    assert trust.policy.for_group("default").audit_keys == []
    return code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(make_device: MakeDevice) -> AsyncIterator[list[tuple[Device, Program]]]:
    """Three devices that take turns, since each pauses two seconds between updates."""
    devices = [await make_device() for _ in range(3)]
    async with AsyncExitStack() as stack:
        programs = [await stack.enter_async_context(one.resident()) for one in devices]
        yield list(zip(devices, programs, strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
async def test_forged_trust_is_not_taken(
    attack: str, agents: list[tuple[Device, Program]], organisation: HostileOrganisation
) -> None:
    codes, act = ATTACKS[attack]
    device, agent = agents[list(ATTACKS).index(attack) % len(agents)]
    # Past whatever the last attack left behind; not told to the agent.
    organisation.version += 10
    organisation.files.pop(("metadata", "2.root.json"), None)
    organisation.publish()
    act(organisation)
    await rejected(device, agent, codes)
    assert agent.process.returncode is None


async def test_honest_trust_is_taken_again_afterwards(
    agents: list[tuple[Device, Program]], organisation: HostileOrganisation, relay: HostileRelay
) -> None:
    device, agent = agents[0]
    organisation.files.pop(("metadata", "2.root.json"), None)
    organisation.version += 100
    organisation.publish()
    organisation.allow(scopes=["view"])
    organisation.publish()
    since = len(agent.lines)
    await relay.notice(device.id)
    await agent.line("a session may use: view", since=since)
    trust = load_verified(device.home)
    assert trust is not None
    assert trust.targets_version == organisation.version


async def test_endless_data_is_cut_off(
    agents: list[tuple[Device, Program]], organisation: HostileOrganisation, relay: HostileRelay
) -> None:
    """The relay goes on sending pieces of a file for as long as it is asked."""
    device, agent = agents[1]
    organisation.publish()
    pieces: list[int] = []

    def endless(link: object, message: object) -> list[TrustFile] | None:
        if isinstance(message, FetchTrust) and message.name == "timestamp.json":
            pieces.append(message.offset)
            total = 8 * 1024 * 1024
            return [TrustFile(seq=message.seq, total=total, body=b" " * 500_000)]
        return None

    relay.answer = endless  # type: ignore[assignment]
    try:
        await rejected(device, agent, {"trust-too-large", "trust-invalid"})
    finally:
        relay.answer = lambda link, message: None
    assert len(pieces) < 20


async def test_a_file_announced_as_gigabytes_is_not_fetched(
    agents: list[tuple[Device, Program]], relay: HostileRelay
) -> None:
    device, agent = agents[2]
    relay.total = lambda name, length: 2**40
    try:
        since = len(agent.lines)
        await relay.notice(device.id)
        line = await agent.line("trust", since=since)
        assert "trust-too-large" in line
    finally:
        relay.total = lambda name, length: length


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"root_sha256": b"\x01" * 32}, "trust-root-mismatch"),
        ({"targets_version": 2**30}, "trust-rollback"),
        ({"relay_key": EVE.public_key}, "relay-key-mismatch"),
    ],
    ids=["another-root", "older-targets-than-the-token", "another-relay-key"],
)
async def test_enrolment_refuses_a_relay_that_is_not_the_tokens(
    relay: HostileRelay, tmp_path: Path, lie: dict[str, object], code: str
) -> None:
    words = (*COMMAND, "enrol", "--home", str(tmp_path / "home"), relay.token(**lie))
    async with running_program(*words) as program:
        assert await program.wait() == 1
    assert any(f"error: {code}:" in line for line in program.lines), program.lines
    assert not (tmp_path / "home" / "config.toml").exists()
    assert not (tmp_path / "home" / "device.key").exists()


async def test_enrolment_refuses_a_root_made_up_by_the_relay(
    relay: HostileRelay, organisation: HostileOrganisation, tmp_path: Path
) -> None:
    token = relay.token()
    relay.tamper = lambda kind, name, body: (
        body.replace(b'"version"', b'"versiom"', 1) if name == "1.root.json" else body
    )
    try:
        words = (*COMMAND, "enrol", "--home", str(tmp_path / "home"), token)
        async with running_program(*words) as program:
            assert await program.wait() == 1
    finally:
        relay.tamper = lambda kind, name, body: body
    assert any("error: trust-root-mismatch:" in line for line in program.lines)


# With the clock moved: see tests/support/faults.


async def ordered_at(device: Device, script: Envelope, hours: float) -> tuple[str, str | None]:
    """Order a script as of so many hours from now, and return (state, refusal)."""
    at = now() + timedelta(hours=hours)
    order, data = device.relay.organisation.order(
        script,
        device.id,
        socket.gethostname(),
        id=make_id("o", os.urandom(12)),
        targets_version=1,
        issued_at=format_instant(at - timedelta(seconds=60)),
        not_before=format_instant(at - timedelta(seconds=60)),
        expires=format_instant(at + timedelta(hours=1)),
    )
    result = await device.outcome(order, data)
    return result.state, result.refusal


async def test_expired_metadata_leaves_reading_first_and_then_nothing(
    make_device: MakeDevice,
    relay: HostileRelay,
    organisation: HostileOrganisation,
    tmp_path: Path,
    marker: Path,
) -> None:
    """A relay that freezes its metadata: after a day R0 only, after thirty days nothing at all."""
    body = f"echo ran >> {marker}\n".encode()
    read = organisation.add_script(body, id="check.read")
    change = organisation.add_script(body + b"#\n", id="remedy.change", risk="R1")
    organisation.publish()
    device = await make_device()
    clock = tmp_path / "clock"
    clock.write_text("0")
    device.env = fault_environment(clock=clock)
    async with device.resident():
        assert (await ordered_at(device, change, 0))[0] == "succeeded"
        clock.write_text(str(2 * 86_400))
        assert await ordered_at(device, change, 48) == ("refused", "trust-stale")
        assert (await ordered_at(device, read, 48))[0] == "succeeded"
        assert marker.read_text() == "ran\nran\n"
        clock.write_text(str(31 * 86_400))
        assert await ordered_at(device, read, 31 * 24) == ("refused", "trust-expired")
        # Setting the clock back does not bring the time back: the highest one seen counts.
        clock.write_text("0")
        assert await ordered_at(device, read, 31 * 24) == ("refused", "trust-expired")
        assert await ordered_at(device, read, 0) == ("refused", "trust-expired")
    assert marker.read_text() == "ran\nran\n"
