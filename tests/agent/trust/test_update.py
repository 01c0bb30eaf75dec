"""The trust update against a relay that misbehaves: what was verified stays in force."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from farhand_agent.config import Home, load_settings
from farhand_agent.link import KeeperProver, RelayAddress, open_link
from farhand_agent.trust.fetching import update_trust
from farhand_agent.trust.verified import current_group, load_verified, read_target
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.placements import Placements
from farhand_protocol.trust import Floors, Roster, manifest_path
from tests.agent.organisation import TENANT, Organisation, now
from tests.agent.relay import TestRelay


async def update(relay: TestRelay, home: Home, *, later: timedelta = timedelta(0)) -> None:
    """Update a device's trust over a link of its own."""
    settings = load_settings(home)
    async with open_link(
        RelayAddress.of(home, settings),
        role="device",
        tenant=settings.tenant,
        device_key=settings.device_key_raw,
        relay_key=settings.relay_key_raw,
        prover=KeeperProver(home.device_key),
        present=None,
    ) as link:
        await update_trust(
            link.exchange,
            folder=home.trust,
            root=(home.trust / "pinned.root.json").read_bytes(),
            tenant=settings.tenant,
            targets_floor=settings.targets_floor,
            now=now() + later,
        )


async def test_a_new_version_is_taken_with_its_scripts(
    relay: TestRelay, organisation: Organisation, enrolled: Home
) -> None:
    relay.chunk_bytes = 700
    organisation.add_script(b"true\n", id="check.first")
    organisation.publish()
    await update(relay, enrolled)
    trust = load_verified(enrolled)
    assert trust is not None
    assert trust.targets_version == 2
    path = manifest_path("check.first", 1)
    assert read_target(enrolled, trust, path) == organisation.targets[path]
    assert read_target(enrolled, trust, "manifests/check.none/1.json") is None
    (enrolled.trust / "targets" / trust.targets[path].sha256).write_bytes(b"{}")
    with pytest.raises(FarhandError, match="target-damaged"):
        read_target(enrolled, trust, path)
    # The next update notices and mends it.
    await update(relay, enrolled)
    assert read_target(enrolled, trust, path) == organisation.targets[path]


def expired_targets(relay: TestRelay, organisation: Organisation) -> None:
    organisation.targets_expire = timedelta(seconds=-1)
    organisation.publish()


def expired_timestamp(relay: TestRelay, organisation: Organisation) -> None:
    organisation.timestamp_expire = timedelta(seconds=-1)
    organisation.publish()


def expired_snapshot(relay: TestRelay, organisation: Organisation) -> None:
    organisation.snapshot_expire = timedelta(seconds=-1)
    organisation.publish()


def rolled_back(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish(version=1)


def targets_by_the_relay(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish(by=organisation.online_key)


def roster_swapped(relay: TestRelay, organisation: Organisation) -> None:
    organisation.roster = Roster(
        tenant=organisation.tenant, operators=organisation.roster.operators[:2]
    )
    organisation.publish()
    relay.tamper = lambda kind, name, body: (
        body.replace(b'"bo"', b'"me"') if "roster" in name else body
    )


def metadata_garbled(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish()
    relay.tamper = lambda kind, name, body: (
        body.replace(b'"version"', b'"versiom"') if "snapshot" in name else body
    )


def metadata_changed(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish()
    relay.tamper = lambda kind, name, body: (
        body.replace(b'"version": 2', b'"version": 3') if "targets" in name else body
    )


def document_missing(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish(leave_out=("roster.json",))


def file_missing(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish()
    del organisation.files["metadata", "2.targets.json"]


def timestamp_too_long(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish()
    relay.tamper = lambda kind, name, body: (
        body + b" " * 100_000 if name == "timestamp.json" else body
    )


def endless_file(relay: TestRelay, organisation: Organisation) -> None:
    organisation.publish()
    relay.tamper = lambda kind, name, body: (
        b" " * (9 * 1024 * 1024) if name == "timestamp.json" else body
    )


def another_tenant(relay: TestRelay, organisation: Organisation) -> None:
    organisation.roster = Roster(tenant="n-other", operators=[])
    organisation.publish()


BAD: list[tuple[Callable[[TestRelay, Organisation], None], str]] = [
    (expired_targets, "trust-expired"),
    (expired_timestamp, "trust-stale"),
    (expired_snapshot, "trust-stale"),
    (rolled_back, "trust-rollback"),
    (targets_by_the_relay, "trust-signature"),
    (roster_swapped, "trust-mismatch"),
    (metadata_garbled, "trust-invalid"),
    (metadata_changed, "trust-signature"),
    (document_missing, "trust-incomplete"),
    (file_missing, "trust-incomplete"),
    (timestamp_too_long, "trust-too-large"),
    (endless_file, "trust-too-large"),
    (another_tenant, "trust-wrong-tenant"),
]


@pytest.mark.parametrize(("spoil", "code"), BAD, ids=[one.__name__ for one, _ in BAD])
async def test_what_cannot_be_verified_changes_nothing(
    relay: TestRelay,
    organisation: Organisation,
    enrolled: Home,
    spoil: Callable[[TestRelay, Organisation], None],
    code: str,
) -> None:
    if spoil is rolled_back:
        organisation.publish()
        await update(relay, enrolled)
    before = (enrolled.trust / "verified.json").read_bytes()
    spoil(relay, organisation)
    with pytest.raises(FarhandError) as caught:
        await update(relay, enrolled)
    assert caught.value.code == code
    assert (enrolled.trust / "verified.json").read_bytes() == before
    trust = load_verified(enrolled)
    assert trust is not None
    for path in trust.targets:
        assert read_target(enrolled, trust, path) is not None


async def test_a_device_whose_clock_was_set_back_still_sees_expiry(
    relay: TestRelay, organisation: Organisation, enrolled: Home
) -> None:
    with pytest.raises(FarhandError) as caught:
        await update(relay, enrolled, later=timedelta(days=2))
    assert caught.value.code == "trust-stale"
    with pytest.raises(FarhandError) as caught:
        await update(relay, enrolled, later=timedelta(days=31))
    assert caught.value.code == "trust-expired"


async def test_a_moved_device_is_where_the_admin_put_it(
    relay: TestRelay, organisation: Organisation, enrolled: Home
) -> None:
    settings = load_settings(enrolled)
    other = device_id(bytes(32))
    organisation.placements = Placements(tenant=organisation.tenant, groups={other: "servers"})
    organisation.publish()
    await update(relay, enrolled)
    assert current_group(settings, load_verified(enrolled)) == "default"
    for group in ("servers", "default", "lab"):
        moved = {other: "servers", settings.device: group}
        organisation.placements = Placements(tenant=organisation.tenant, groups=moved)
        organisation.publish()
        await update(relay, enrolled)
        assert current_group(settings, load_verified(enrolled)) == group


@pytest.mark.parametrize(
    ("placements", "code"),
    [
        (None, "trust-incomplete"),
        (Placements(tenant="n-other", groups={}), "trust-wrong-tenant"),
        (Placements(tenant=TENANT, groups={"d-short": "lab"}), "trust-malformed"),
        (Placements(tenant=TENANT, groups={device_id(bytes(32)): "../x"}), "trust-malformed"),
    ],
    ids=["gone", "another-tenant", "no-device", "no-group"],
)
async def test_placements_that_are_not_taken(
    relay: TestRelay,
    organisation: Organisation,
    enrolled: Home,
    placements: Placements | None,
    code: str,
) -> None:
    settings = load_settings(enrolled)
    organisation.placements = Placements(tenant=TENANT, groups={settings.device: "lab"})
    organisation.publish()
    await update(relay, enrolled)
    organisation.placements = placements
    organisation.publish()
    with pytest.raises(FarhandError) as caught:
        await update(relay, enrolled)
    assert caught.value.code == code
    assert current_group(settings, load_verified(enrolled)) == "lab"


async def test_revocations_stick_and_floors_only_rise(
    relay: TestRelay, organisation: Organisation, enrolled: Home
) -> None:
    organisation.revoke("script", "check.bad")
    organisation.floors = Floors(tenant=organisation.tenant, scripts={"check.a": 5, "check.b": 1})
    organisation.publish()
    await update(relay, enrolled)
    organisation.revocations = type(organisation.revocations)(
        tenant=organisation.tenant, revoked=[]
    )
    organisation.floors = Floors(tenant=organisation.tenant, scripts={"check.a": 2, "check.c": 3})
    organisation.publish()
    await update(relay, enrolled)
    trust = load_verified(enrolled)
    assert trust is not None
    assert [one.subject for one in trust.revocations.revoked] == ["check.bad"]
    assert trust.floors.scripts == {"check.a": 5, "check.b": 1, "check.c": 3}
