"""A campaign as the console signs it: page by page, each target by itself, all of it accounted for.

The relay here is a stand-in that answers from lists; what a real one does with the orders is tested
against one (tests/integration, tests/server/fleet).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from farhand_console.cli import campaign_signing as campaigns
from farhand_console.cli.base import Context
from farhand_console.cli.campaign_report import report_of
from farhand_console.cli.campaign_request import Request, keep_request, order_id
from farhand_console.cli.campaign_signing import start_campaign
from farhand_console.home import Home
from farhand_console.relay.answers import FilledOrder, FilledOrders, OrderView
from farhand_console.relay.campaign_answers import Campaign, CampaignReport, Target
from farhand_console.trust import devices as trust_devices
from farhand_console.trust.devices import DeviceCheck, pins
from farhand_protocol.campaigns import stable_rank
from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id, make_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import Order, Result
from tests.console.organisation import (
    TENANT,
    Organisation,
    approved_manifest,
    settings,
    signer,
)

CAMPAIGN = "c-aaaaaaaaaaaaaaaa"


class Fleet:
    """Devices of an organisation, and a relay that says so."""

    def __init__(self, organisation: Organisation, count: int) -> None:
        self.organisation = organisation
        self.manifest = approved_manifest(organisation, expires="2100-01-01T00:00:00Z")
        self.keys = sorted(
            (signer() for _ in range(count)), key=lambda key: stable_rank(device_id(key.public_key))
        )
        token = organisation.token()
        self.targets = [self.target(key, number, token) for number, key in enumerate(self.keys)]
        self.posted: list[list[Order]] = []
        self.started: list[dict[str, str]] | None = None
        self.answer: Callable[[Order], FilledOrder] = lambda order: FilledOrder(
            order=order.id, state="eligible"
        )
        self.orders: list[OrderView] = []
        self.asked: list[str] = []

    def target(self, key: SeedSigner, number: int, token: bytes) -> Target:
        device, name = device_id(key.public_key), f"pc-{number}"
        said = {"device": device, "device_key": key.public_key, "name": name}
        return Target(
            order=make_id("o", os.urandom(10)),
            state="planned",
            device=device,
            name=name,
            host_name=f"{name}.lan",
            group="office",
            key=key.public_key,
            enrolment=self.organisation.enrolment(self.organisation.token_key, key, **said),
            token_envelope=token,
        )

    # The calls that the console makes.

    def get(self, path: str, _kind: Any, **_query: Any) -> Any:
        self.asked.append(path)
        if path.endswith("/report"):
            return CampaignReport(
                campaign=CAMPAIGN, state="finished", counts={}, rings=[], causes=[]
            )
        return self.plan()

    def plan(self) -> Campaign:
        return Campaign(
            campaign=CAMPAIGN,
            name="test",
            state="draft",
            script="check.test",
            version=1,
            digest=manifest_digest(self.manifest),
            query="*",
            parameters={"count": 3, "mode": "fast"},
            ttl_s=3600,
            targets=len(self.targets),
        )

    def pages(self, path: str, _kind: Any, **query: Any) -> Iterator[Any]:
        self.asked.append(path)
        if path == "/orders":
            assert query == {"campaign": CAMPAIGN, "results": "true"}
            return iter(self.orders)
        return iter(self.targets)

    def post(self, path: str, _kind: Any, body: Any, **_wait: Any) -> Any:
        if path.endswith("/start"):
            self.started = body["skipped"]
            return msgspec.structs.replace(self.plan(), state="running")
        orders = [self.order(item["envelope"]) for item in body["items"]]
        self.posted.append(orders)
        return FilledOrders(items=[self.answer(order) for order in orders])

    def order(self, sealed: bytes) -> Order:
        envelope: Envelope = decode_envelope(sealed)
        assert signers(envelope, [self.organisation.technician.public_key])
        return open_payload(envelope, Order)


@pytest.fixture
def open_console(home: Home, organisation: Organisation) -> Callable[[Fleet], Context]:
    """Open the technician's console on a fleet; each call is a command of its own."""
    settings(home)

    return lambda fleet: opened_on(home, organisation, fleet)


def opened_on(home: Home, organisation: Organisation, fleet: Fleet) -> Context:
    """Open a console that remembers what the fleet's campaign was when it was first opened."""
    context = Context(home, as_json=True)
    trust: Any = organisation.trust
    trust.manifest = lambda _script, _version=None: fleet.manifest
    relay: Any = fleet
    context._relay, context._trust, context._signer = relay, trust, organisation.technician
    if not (home.folder / "campaigns").exists():
        keep_request(home, Request.told(fleet.plan()))
    return context


Open = Callable[[Fleet], Context]


def test_every_device_gets_one_order_of_its_own(
    open_console: Open, organisation: Organisation, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    monkeypatch.setattr(campaigns, "_BATCH", 3)
    fleet = Fleet(organisation, 8)
    told = start_campaign(open_console(fleet), CAMPAIGN)
    assert told == {
        "campaign": CAMPAIGN,
        "state": "running",
        "signed": 8,
        "signed_before": 0,
        "skipped": [],
    }
    assert [len(batch) for batch in fleet.posted] == [3, 3, 2]
    orders = [order for batch in fleet.posted for order in batch]
    assert [(one.id, one.device, one.host_name, one.group) for one in orders] == [
        (order_id(CAMPAIGN, target.device), target.device, target.host_name, "office")
        for target in fleet.targets
    ]
    assert pins(home) == {one.device: one.key.hex() for one in fleet.targets}


def test_requests_are_bounded_in_bytes(
    open_console: Open, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "_BATCH_BYTES", 1)
    fleet = Fleet(organisation, 3)
    assert start_campaign(open_console(fleet), CAMPAIGN)["signed"] == 3
    assert [len(batch) for batch in fleet.posted] == [1, 1, 1]


def test_what_was_left_out_is_named(
    open_console: Open, organisation: Organisation, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(organisation, 4)
    forged, taken, refused, fine = fleet.targets
    fleet.targets[0] = msgspec.structs.replace(forged, name="server")
    organisation.trust.revoke("device", taken.device)

    def answer(order: Order) -> FilledOrder:
        if order.device == refused.device:
            return FilledOrder(order="", state="", code="order-final")
        return FilledOrder(order=order.id, state="eligible")

    fleet.answer = answer
    told = start_campaign(open_console(fleet), CAMPAIGN)
    assert told["signed"] == 1
    wanted = [
        {"device": forged.device, "code": "device-unverified"},
        {"device": taken.device, "code": "device-revoked"},
        {"device": refused.device, "code": "order-final"},
    ]
    assert told["skipped"] == fleet.started == wanted
    assert [order.device for order in fleet.posted[0]] == [refused.device, fine.device]
    words = capsys.readouterr().err
    assert "order-final" in words
    assert "device-revoked" in words


def test_an_order_that_the_relay_forgets_is_noticed(
    open_console: Open, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(organisation, 3)
    fleet.answer = lambda _order: FilledOrder(order=fleet.targets[0].order, state="eligible")
    with pytest.raises(FarhandError, match="relay-answer"):
        start_campaign(open_console(fleet), CAMPAIGN)
    assert fleet.started is None
    monkeypatch.setattr(fleet, "post", lambda *_words, **_more: FilledOrders(items=[]))
    with pytest.raises(FarhandError, match="relay-answer"):
        start_campaign(open_console(fleet), CAMPAIGN)


def test_a_start_that_was_cut_short_goes_on(open_console: Open, organisation: Organisation) -> None:
    fleet = Fleet(organisation, 3)
    fleet.targets[0] = msgspec.structs.replace(fleet.targets[0], state="eligible")
    told = start_campaign(open_console(fleet), CAMPAIGN)
    assert (told["signed"], told["signed_before"], told["skipped"]) == (2, 1, [])
    fleet.targets = [msgspec.structs.replace(one, state="eligible") for one in fleet.targets]
    told = start_campaign(open_console(fleet), CAMPAIGN)
    assert (told["signed"], told["signed_before"]) == (0, 3)


def test_nobody_to_sign_for(open_console: Open, organisation: Organisation) -> None:
    fleet = Fleet(organisation, 1)
    organisation.trust.revoke("device", fleet.targets[0].device)
    with pytest.raises(FarhandError, match="no-targets"):
        start_campaign(open_console(fleet), CAMPAIGN)
    assert fleet.started is None


def result_of(fleet: Fleet, number: int, /, **changes: Any) -> OrderView:
    """Return an order that ended, with the result that its device signed."""
    target, key = fleet.targets[number], fleet.keys[number]
    order = order_id(CAMPAIGN, target.device)
    said = Result(
        tenant=TENANT,
        device=target.device,
        order=order,
        script="check.test",
        version=1,
        digest=manifest_digest(fleet.manifest),
        state="succeeded",
        exit_code=0,
        signal=None,
        stdout=b"fine\n",
        stdout_bytes=5,
        stdout_truncated=False,
        stderr=b"",
        stderr_bytes=0,
        stderr_truncated=False,
        sealed_output=None,
        refusal=None,
        words=None,
        started_at="2026-11-22T12:00:00Z",
        ended_at="2026-11-22T12:00:01Z",
    )
    sealed = encode_envelope(seal(msgspec.structs.replace(said, **changes), key))
    return OrderView(order=order, device=target.device, state="succeeded", result=sealed)


def test_a_report_reads_results_in_pages_and_believes_signed_ones_only(
    open_console: Open, organisation: Organisation
) -> None:
    fleet = Fleet(organisation, 3)
    fleet.orders = [
        result_of(fleet, 0),
        msgspec.structs.replace(result_of(fleet, 1), result=result_of(fleet, 0).result),
        OrderView(order=fleet.targets[2].order, device=fleet.targets[2].device, state="expired"),
    ]
    report = report_of(open_console(fleet), CAMPAIGN)
    rows = report["results"]
    assert (rows[0]["state"], rows[0]["stdout"], rows[0]["name"]) == ("succeeded", "fine\n", "pc-0")
    assert [row.get("unverified") for row in rows] == [None, True, None]
    assert report["unverified"] == 1
    assert len(fleet.asked) == 4, "no call for each order"


# Proofs that were verified once.


def test_a_proof_is_verified_once(
    open_console: Open, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(organisation, 3)
    start_campaign(open_console(fleet), CAMPAIGN)

    def unexpected(*_words: Any) -> set[bytes]:
        raise AssertionError("verified again")

    monkeypatch.setattr(trust_devices, "signers", unexpected)
    assert start_campaign(open_console(fleet), CAMPAIGN)["signed"] == 3
    # One byte of it is another proof.
    one = fleet.targets[0]
    for changes in (
        {"name": "pc-x"},
        {"enrolment": fleet.targets[1].enrolment},
        {"token_envelope": None},
        {"confirmation": b"{}"},
    ):
        changed = msgspec.structs.replace(one, **changes)
        check = DeviceCheck(organisation.trust, open_console(fleet).home)
        with pytest.raises((AssertionError, FarhandError)):
            check.check(campaigns.device_answer(changed))


def test_a_remembered_proof_opens_nothing_that_is_closed(
    home: Home, organisation: Organisation
) -> None:
    def group(**changes: Any) -> str:
        check = DeviceCheck(organisation.trust, home)
        try:
            return check.check(organisation.answer(**changes)).group
        except FarhandError as error:
            return error.code
        finally:
            check.save()

    answer = {"enrolment": organisation.enrolment(), "token_envelope": organisation.token()}
    assert group(**answer) == "office"
    assert group(**answer, retired_at="2026-11-22T00:00:00Z") == "device-retired"
    assert group(**answer, key=signer().public_key) == "device-unverified"
    # Another device cannot borrow the words that are remembered for this one.
    other = signer()
    borrowed = {"id": device_id(other.public_key), "key": other.public_key}
    assert group(**answer, **borrowed) == "device-unverified"
    damaged = home.folder / "proofs.json"
    for data in (b"", b"{", b'{"trust": 1}', b"\xff" * 20):
        damaged.write_bytes(data)
        assert group(**answer) == "office"
    # The admin who signed the token is one no more.
    organisation.trust.roster.operators[0].permissions.remove("admin")
    assert group(**answer) == "device-unconfirmed"
    organisation.trust.roster.operators[0].permissions.append("admin")
    organisation.trust.revoke("device", device_id(organisation.device_key.public_key))
    assert group(**answer) == "device-revoked"
