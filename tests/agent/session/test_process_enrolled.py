"""The session process of an enrolled device: its own relay, the roster, policy, grants alone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farhand_agent.config import Home, Settings, write_settings
from farhand_agent.hostname import host_name
from farhand_agent.journal import Journal
from farhand_agent.keeper import create_key
from farhand_agent.session.events import Asked, CodeShown, Ended, Failed, Opened, Refused
from farhand_agent.trust.verified import Verified
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.placements import Placements
from farhand_protocol.receipts import verify_receipt
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    Floors,
    GroupPolicy,
    Operator,
    Policy,
    Revocation,
    Revocations,
    Roster,
)
from tests.agent.session.code_console import OPERATOR, SESSION, CodeConsole, make_grant
from tests.agent.session.running import Run, open_session
from tests.support.session_relay import RELAY_SEED, running_relay

TENANT = "n-test"


@dataclass
class Enrolment:
    """What an enrolled home holds, to be changed by a test before it is written."""

    path: Path
    relay_key: bytes = field(default_factory=lambda: SeedSigner(RELAY_SEED).public_key)
    permissions: list[str] = field(default_factory=lambda: ["session:*@*"])
    policy: GroupPolicy = field(default_factory=GroupPolicy)
    targets_version: int = 1
    expires: str = "2090-01-01T00:00:00Z"
    trust: bool = True
    group: str = "default"
    revoked: bool = False
    own_policy: str = ""
    others: list[Operator] = field(default_factory=list)

    def write(self, url: str) -> SeedSigner:
        home = Home.at(self.path)
        home.make()
        signer = create_key(str(home.device_key))
        Journal(home.journal, create=True).close()
        write_settings(
            home,
            Settings(
                program="farhand-agent",
                url=url,
                relay_key=base64.b64encode(self.relay_key).decode(),
                tls="none",
                tls_sha256="",
                tenant=TENANT,
                device=device_id(signer.public_key),
                device_key=base64.b64encode(signer.public_key).decode(),
                name="desk-1",
                group="default",
                root_version=1,
                root_sha256="0" * 64,
                targets_floor=1,
            ),
        )
        home.trust.mkdir()
        if self.own_policy:
            home.policy.write_text(self.own_policy)
        if self.trust:
            verified = self._verified(device_id(signer.public_key))
            (home.trust / "verified.json").write_bytes(msgspec.json.encode(verified))
        return signer

    def _verified(self, device: str) -> Verified:
        at = "2026-11-22T08:00:00Z"
        revocation = Revocation(kind="device", subject=device, reason="stolen", at=at)
        operator = Operator(name="bob", keys=[OPERATOR.public_key], permissions=self.permissions)
        return Verified(
            format=1,
            root_version=1,
            targets_version=self.targets_version,
            snapshot_version=1,
            timestamp_version=1,
            root_expires="2090-01-01T00:00:00Z",
            targets_expires=self.expires,
            snapshot_expires="2090-01-01T00:00:00Z",
            timestamp_expires="2090-01-01T00:00:00Z",
            roster=Roster(tenant=TENANT, operators=[operator, *self.others]),
            policy=Policy(
                tenant=TENANT, approvals=DEFAULT_APPROVALS, groups={"default": self.policy}
            ),
            revocations=Revocations(tenant=TENANT, revoked=[revocation] if self.revoked else []),
            floors=Floors(tenant=TENANT, scripts={}),
            targets={},
            placements=Placements(tenant=TENANT, groups={device: self.group}),
        )


@asynccontextmanager
async def enrolled(tmp_path: Path, **changes: Any) -> AsyncIterator[Run]:
    grant = changes.pop("grant", None)
    can_ask = changes.pop("can_ask", True)
    consent_s = changes.pop("consent_s", 60.0)
    url = changes.pop("url", None)
    scopes = changes.pop("scopes", None)
    enrolment = Enrolment(tmp_path / "home", **changes)
    async with running_relay() as relay, asyncio.TaskGroup() as group:
        relay.standing = "enrolled"
        signer = enrolment.write(relay.url)
        options: dict[str, Any] = {"url": url, "scopes": scopes}
        if grant is not None:
            fields = {
                "device": device_id(signer.public_key),
                "host_name": host_name(),
                "tenant": TENANT,
                **grant,
            }
            path = enrolment.path / "sessions" / f"{SESSION}.grant"
            path.write_bytes(encode_envelope(seal(make_grant(**fields), OPERATOR)))
            options["grant"] = path
        run = Run(relay, Home.at(enrolment.path), can_ask=can_ask, consent_s=consent_s, **options)
        run.status = group.create_task(run.process.run())
        try:
            yield run
        finally:
            run.process.stop("stopped")
            await run.end()


async def test_the_roster_name_is_shown_and_the_policy_narrows(tmp_path: Path) -> None:
    policy = GroupPolicy(scopes=["view", "terminal"], minutes_max=15)
    async with enrolled(
        tmp_path, policy=policy, own_policy='scopes = ["terminal", "files"]'
    ) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code, operator="The Relay's Word")
        assert console.offer is not None
        assert (console.offer.guest, console.offer.scopes) == (False, ["terminal"])
        assert (console.offer.tenant, console.offer.group) == (TENANT, "default")
        assert console.offer.minutes_max == 15
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(console.ask(pairing))
            asked = await run.next(Asked)
            run.process.answer(True)
            decision = await asking
        assert (asked.operator, asked.guest, asked.minutes) == ("bob", False, 15)
        assert asked.scopes == ["terminal"]
        assert asked.shortened == ["view", "files"]
        assert decision.scopes == ["terminal"]
        async with console.ssh() as connection:
            assert (await connection.run("echo hi")).stdout == "hi\n"


async def test_another_relay_than_its_own_is_refused(tmp_path: Path) -> None:
    async with enrolled(tmp_path, url="http://127.0.0.1:1") as run:
        assert (await run.next(Failed)).code == "url-other-relay"
        assert await run.end() == 2


async def test_a_relay_with_another_key_is_refused(tmp_path: Path) -> None:
    async with enrolled(tmp_path, relay_key=bytes(32)) as run:
        assert (await run.next(Failed)).code == "relay-key-mismatch"
        assert await run.end() == 1


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("no-trust", {"trust": False}, {}, "policy-refused"),
    ("expired-trust", {"expires": "2020-01-01T00:00:00Z"}, {}, "trust-expired"),
    ("newer-trust", {}, {"targets_version": 2}, "trust-behind"),
    ("revoked", {"revoked": True}, {}, "device-revoked"),
    ("moved", {"group": "servers"}, {"group": "default"}, "grant-wrong-group"),
    (
        "moved-out-of-reach",
        {"group": "servers", "permissions": ["session:*@default"]},
        {},
        "grant-not-permitted",
    ),
    ("stranger", {}, {"operator": "mallory"}, "grant-operator-unknown"),
    ("strangers-key", {}, {"operator_key": bytes(32)}, "grant-operator-unknown"),
    ("other-tenant", {}, {"tenant": "n-other"}, "grant-wrong-tenant"),
    ("no-permission", {"permissions": ["order", "admin"]}, {}, "grant-not-permitted"),
    (
        "permission-elsewhere",
        {"permissions": ["session:*@servers"]},
        {},
        "grant-not-permitted",
    ),
    (
        "one-scope-too-many",
        {"permissions": ["session:view@*", "session:files@default"]},
        {},
        "grant-not-permitted",
    ),
    ("signed-for-a-console", {}, {"operator": "", "operator_key": bytes(32)}, "grant-malformed"),
]


@pytest.mark.parametrize(
    ("changes", "grant", "code"), [pytest.param(*row[1:], id=row[0]) for row in REFUSALS]
)
async def test_a_grant_that_the_trust_root_does_not_carry_is_refused(
    tmp_path: Path, changes: dict[str, Any], grant: dict[str, Any], code: str
) -> None:
    async with enrolled(tmp_path, **changes) as run:
        if code == "policy-refused":
            assert (await run.next(Refused)).reason == code
            assert await run.end() == 3
            return
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        decision = await console.ask(pairing, **grant)
        assert (decision.granted, decision.code) == (False, code)
        assert await run.end() == 3
        assert not any(isinstance(event, Asked) for event in run.seen)


async def test_a_device_that_allows_no_attended_session_shows_no_code(tmp_path: Path) -> None:
    async with enrolled(tmp_path, own_policy="attended = false") as run:
        assert (await run.next(Refused)).reason == "policy-refused"
        assert await run.end() == 3


async def test_a_broken_policy_file_allows_nothing(tmp_path: Path) -> None:
    async with enrolled(tmp_path, own_policy="scopes = 7") as run:
        assert (await run.next(Refused)).reason == "policy-refused"


async def test_forward_needs_scope_grant_and_policy(tmp_path: Path) -> None:
    policy = GroupPolicy(forward_to=["127.0.0.1:81", "127.0.0.1:82"])
    scopes = ("forward", "terminal")
    async with enrolled(tmp_path, policy=policy, scopes=scopes) as run:
        console = CodeConsole(run.relay)
        pairing = await console.pair((await run.next(CodeShown)).code)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(
                console.ask(pairing, scopes=["forward"], forward=["127.0.0.1:82", "127.0.0.1:22"])
            )
            asked = await run.next(Asked)
            run.process.answer(False)
            await asking
        assert asked.forward == ["127.0.0.1:82"]


async def test_a_grant_alone_opens_where_policy_allows_it(tmp_path: Path) -> None:
    policy = GroupPolicy(unattended=True, consent="notify")
    async with enrolled(tmp_path, policy=policy, grant={}, can_ask=False) as run:
        opened = await run.next(Opened)
        assert opened.operator == "bob"
        active = await run.relay.reports.get()
        assert active.state == "active"
        assert active.scopes == ["view", "terminal", "files"]
        assert [present.session for present in run.relay.presents] == [SESSION]
        console = CodeConsole(run.relay)
        console.device_key = run.relay.devices[0]
        async with console.ssh() as connection:
            assert (await connection.run("echo alone")).stdout == "alone\n"
            signed, answer = await console.farewell(connection, "done")
        assert answer == {"ok": True}
        assert await run.end() == 0
        receipt, one_sided, _ = verify_receipt(encode_envelope(signed), console.device_key)
        assert (one_sided, receipt.guest, receipt.tenant) == (False, False, TENANT)
        assert list((tmp_path / "home" / "sessions").iterdir()) == []


ALONE: list[tuple[str, GroupPolicy, dict[str, Any], str]] = [
    ("not-unattended", GroupPolicy(), {}, "policy-refused"),
    (
        "must-be-recorded",
        GroupPolicy(unattended=True, consent="notify", recording="required"),
        {},
        "recording-impossible",
    ),
    ("nobody-to-ask", GroupPolicy(unattended=True), {}, "consent-timeout"),
    (
        "over-a-pairing",
        GroupPolicy(unattended=True, consent="notify"),
        {"transcript": bytes(32)},
        "grant-transcript",
    ),
    (
        "for-another-session",
        GroupPolicy(unattended=True, consent="notify"),
        {"id": "s-bbbbbbbbbbbbbbbb"},
        "grant-wrong-session",
    ),
]


@pytest.mark.parametrize(
    ("policy", "grant", "code"), [pytest.param(*row[1:], id=row[0]) for row in ALONE]
)
async def test_a_grant_alone_is_refused_otherwise(
    tmp_path: Path, policy: GroupPolicy, grant: dict[str, Any], code: str
) -> None:
    async with enrolled(tmp_path, policy=policy, grant=grant, can_ask=False) as run:
        report = await asyncio.wait_for(run.relay.reports.get(), 30)
        assert (report.state, report.reason) == ("refused", code)
        assert await run.end() == 3


async def test_an_unattended_device_that_asks_is_asked(tmp_path: Path) -> None:
    policy = GroupPolicy(unattended=True, consent="ask")
    async with enrolled(tmp_path, policy=policy, grant={}) as run:
        asked = await run.next(Asked)
        assert asked.words == []
        run.process.answer(True)
        await run.next(Opened)


async def test_the_reason_that_the_journal_holds_is_the_receipts(tmp_path: Path) -> None:
    async with enrolled(tmp_path) as run:
        await open_session(run)
        journal = Journal(tmp_path / "home" / "journal.db")
        journal.stop_session(SESSION, "operator-removed")
        journal.close()
        run.process.stop("shutdown")
        ended = await run.next(Ended)
        assert ended.reason == "operator-removed"
        assert ended.receipt is not None
        assert verify_receipt(Path(ended.receipt).read_bytes()).receipt.reason == ended.reason
