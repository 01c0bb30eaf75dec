"""Papers, vendors, the card, skills, notices, and what is known of whose ticket it is."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from farhand_protocol.errors import UsageError
from farhand_server.care.notices import notice_of_fix
from farhand_server.care.papers import check_web_address
from farhand_server.people.people import PersonTerms, add_address, create_person
from farhand_server.relay import Relay
from farhand_server.store.schema import device_products, devices, tickets
from tests.server.care.callers import Caller
from tests.server.care.conftest import Letters
from tests.server.relays import ManualClock, SignIn

AT = "2026-11-22T12:00:00.000000Z"


async def put_device(relay: Relay, name: str = "laptop", group: str = "sales") -> str:
    """Keep a device that somebody enrolled; returns its id."""
    device = "d-" + name.ljust(26, "a")
    async with relay.db.write() as c:
        await c.execute(
            insert(devices).values(
                tenant=relay.tenant,
                id=device,
                key=name.encode(),
                name=name,
                device_group=group,
                token="t",
                enrolment=b"",
                confirmed=True,
                os="linux",
                host_name=name,
                agent_version="1",
                enrolled_at=AT,
            )
        )
        await c.execute(
            insert(device_products).values(
                tenant=relay.tenant,
                device=device,
                make="Maker",
                model="M1",
                serial="SN-77",
                warranty_ends_on="2027-03-31",
                revision=1,
                updated_by="ann",
                updated_at=AT,
            )
        )
    return device


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://x.example/",
        "https://",
        "https://user:pass@x.example/",
        "https://x.example/<script>",
        'https://x.example/"',
        "//x.example",
        "https://x.example:99999/",
        "http://[::1/",
    ],
)
def test_only_plain_web_addresses_are_links(url: str) -> None:
    with pytest.raises(UsageError):
        check_web_address(url)


def test_a_plain_web_address_stays_as_it_is() -> None:
    assert check_web_address(" https://x.example/a?b=1 ") == "https://x.example/a?b=1"
    assert check_web_address(" ") == ""


async def test_papers_are_found_by_their_number(ann: Caller, mia: Caller) -> None:
    await ann.post("/tickets", title="screen", requester="mia")
    await ann.post("/tickets", title="theft", security=True, requester="mia")
    for ticket, kind, number in (
        ("FH-1", "order", "PO 2026-17"),
        ("FH-1", "invoice", "R/9"),
        ("FH-2", "order", "po-202617"),
    ):
        await ann.post(f"/tickets/{ticket}/papers", kind=kind, number=number)
    again = await ann.post(
        "/tickets/FH-1/papers", kind="order", number="po202617", url="https://shop.example/17"
    )
    assert [(p["kind"], p["number"], p["url"]) for p in again["items"]] == [
        ("invoice", "R/9", ""),
        ("order", "po202617", "https://shop.example/17"),
    ]
    found = (await ann.get("/papers", number="PO-2026/17"))["items"]
    assert [one["ticket"] for one in found] == ["FH-2", "FH-1"]
    assert len((await mia.get("/tickets/FH-1/papers"))["items"]) == 2
    assert await mia.missing("/papers", number="po202617") == "not-permitted"
    for wrong in ({"number": "--"}, {"number": "1", "url": "javascript:x"}, {"number": "a\nb"}):
        assert await ann.refused("/tickets/FH-1/papers", kind="order", **wrong) == "invalid"
    left = await ann.post("/tickets/FH-1/papers/remove", kind="order", number="PO 2026 17")
    assert [one["kind"] for one in left["items"]] == ["invoice"]
    gone = await ann.refused("/tickets/FH-1/papers/remove", kind="order", number="PO 2026 17")
    assert gone == "not-found"


async def test_papers_of_a_guarded_ticket_are_not_found_by_others(ada: Caller, ann: Caller) -> None:
    await ada.post("/tickets", title="theft", security=True)
    await ada.post("/tickets/FH-1/papers", kind="order", number="17")
    assert (await ann.get("/papers", number="17"))["items"] == []
    assert len((await ada.get("/papers", number="17"))["items"]) == 1


async def test_a_ticket_goes_to_a_vendor_and_waits(
    relay: Relay, ada: Caller, ann: Caller, mia: Caller, letters: Letters
) -> None:
    device = await put_device(relay)
    loaner = await put_device(relay, "loaner")
    await ada.post("/organisations/maker", title="Maker Service")
    await ann.post(
        "/tickets",
        title="screen dead",
        device=device,
        requester="mia",
        body="It flickers, then nothing.",
        steps_tried="another cable",
    )
    assert await ann.refused("/tickets/FH-1/vendor", to="maker") == "vendor-unreachable"
    assert await ann.refused("/tickets/FH-1/vendor", to="nobody") == "not-found"
    person = {"kind": "vendor", "organisation": "maker"}
    carl = await ann.post(
        "/people", name="Carl", addresses=[{"value": "rma@maker.example"}], **person
    )
    made = await ann.post("/tickets/FH-1/vendor", to="maker", note="urgent", rma_no="R-1")
    assert (made["vendor_name"], made["contact"], made["rma_no"]) == ("maker", carl["id"], "R-1")
    ticket = await ann.get("/tickets/FH-1")
    assert (ticket["state"], ticket["state_reason"]) == ("waiting", "vendor")
    assert ticket["participants"] == []
    (letter,) = await letters()
    assert (letter["to"], letter["ticket"]) == (["rma@maker.example"], 1)
    assert letter["subject"] == "[FH-1] screen dead"
    for words in ("M1", "SN-77", "It flickers", "another cable", "urgent", "R-1", "2027-03-31"):
        assert words in letter["text"]
    assert "mia" not in letter["text"]
    # The desk sees what was sent; whoever asked for help does not.
    assert any("urgent" in one["body"] for one in ticket["messages"])
    shown = await mia.get("/tickets/FH-1")
    assert not any("urgent" in one["body"] for one in shown["messages"])

    path = f"/tickets/FH-1/vendor/{made['id']}"
    after = await ann.post(
        path, carrier="DHL", tracking="1Z", sent_on="2026-11-23", loaner="loaner"
    )
    assert (after["carrier"], after["loaner"], after["rma_no"]) == ("DHL", loaner, "R-1")
    assert await ann.refused(path, received_on="2026-11-01") == "invalid"
    assert await ann.refused(path, received_on="tomorrow") == "invalid"
    assert await ann.refused("/tickets/FH-1/vendor/rf-none", carrier="x") == "not-found"
    done = await ann.post(path, received_on="2026-11-30", outcome="new panel", loaner=None)
    assert (done["received_on"], done["loaner"], done["revision"]) == ("2026-11-30", None, 3)
    assert (await ann.get("/referrals", rma_no="R-1"))["items"][0]["ticket"] == "FH-1"
    kinds = [one["kind"] for one in (await ann.get("/tickets/FH-1/events"))["items"]]
    assert kinds == ["created", "waiting", "referred", "referral", "referral"]


async def test_a_vendor_takes_part_only_where_that_is_asked_for(
    relay: Relay, ada: Caller, ann: Caller
) -> None:
    await ada.post("/organisations/maker", title="Maker")
    await ann.post(
        "/people",
        name="Carl",
        kind="vendor",
        organisation="maker",
        addresses=[{"value": "rma@maker.example"}],
    )
    mia = await ann.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    await ann.post("/tickets", title="screen dead")
    assert await ann.refused("/tickets/FH-1/vendor", to=mia["id"]) == "invalid"
    await ann.post("/tickets/FH-1/vendor", to="rma@maker.example", participant=True)
    parts = (await ann.get("/tickets/FH-1"))["participants"]
    assert [(one["name"], one["part"]) for one in parts] == [("rma@maker.example", "vendor")]
    await ann.post("/tickets", title="closed one")
    await ann.post("/tickets/FH-2/resolve", note="done")
    assert await ann.refused("/tickets/FH-2/vendor", to="maker") == "ticket-state"
    assert (await ann.get("/tickets/FH-2/vendor"))["items"] == []


async def test_the_card_is_for_anybody_and_says_whether_it_is_open(
    ada: Caller, ann: Caller, clock: ManualClock
) -> None:
    nobody = Caller(ann.web, {})
    card = await nobody.get("/card")
    assert card["hours"] == {"open": True, "until": None, "zone": "UTC", "calendar": "always"}
    week = [[[540, 720], [720, 1020]]] * 5 + [[], []]
    for name in ("office", "south"):
        await ada.post(f"/calendars/{name}", zone="Europe/Lisbon", week=week)
    assert await ada.refused("/card", calendar="none such") == "not-found"
    assert await ada.refused("/card", portal="javascript:x") == "invalid"
    assert await ann.refused("/card", phone="1") == "not-permitted"
    await ada.post("/card", phone="+351 21 000", mail="help@x.example", calendar="office")
    # It is Sunday noon; Lisbon opens on Monday at nine.
    card = await nobody.get("/card")
    assert (card["phone"], card["hours"]["open"]) == ("+351 21 000", False)
    assert card["hours"]["until"] == "2026-11-23T09:00:00.000000Z"
    clock.advance(86_400)
    card = await nobody.get("/card")
    assert card["hours"]["open"] is True
    assert card["hours"]["until"] == "2026-11-23T17:00:00.000000Z"


async def test_an_organisation_has_a_card_of_its_own(ada: Caller, ann: Caller) -> None:
    await ada.post("/card", phone="1", mail="help@x.example")
    await ada.post("/organisations/acme", title="Acme")
    await ada.post("/organisations/acme/card", phone="2")
    card = await ann.get("/organisations/acme/card")
    assert (card["phone"], card["mail"]) == ("2", "help@x.example")
    assert await Caller(ann.web, {}).missing("/organisations/acme/card") == "not-signed-in"


async def test_who_has_the_skill_and_the_fewest_tickets_is_proposed(
    ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    for name in ("bob", "cat", "dan"):
        await sign_in("technician", name=name)
    await sign_in("requester", name="mia")
    for account, ends_on in (("ann", None), ("bob", "2026-11-22"), ("cat", "2026-11-21")):
        skill = {"account": account, "skill": " Printers  HP ", "ends_on": ends_on}
        await ada.post("/skills", certificate="C-1", **skill)
    await ada.post("/skills", account="dan", skill="printers hp")
    assert await ada.refused("/skills", account="mia", skill="x") == "invalid"
    assert await ada.refused("/skills", account="ann", skill="x", ends_on="soon") == "invalid"
    assert await ann.refused("/skills", account="ann", skill="x") == "not-permitted"
    await ann.post("/tickets", title="one")
    await ann.post("/tickets/FH-1/assign", owner="ann")
    await ann.post("/tickets", title="about dan", kind="complaint", complained_about="dan")
    owners = (await ann.get("/tickets/FH-2/owners", skill="PRINTERS hp"))["items"]
    assert [(one["account"], one["open_tickets"]) for one in owners] == [("bob", 0), ("ann", 1)]
    await ada.post("/accounts/bob/disable")
    owners = (await ann.get("/tickets/FH-1/owners", skill="printers hp"))["items"]
    assert [one["account"] for one in owners] == ["dan", "ann"]
    ending = (await ann.get("/skills", ending_days=30))["items"]
    assert [(one["account"], one["holds"]) for one in ending] == [("bob", True), ("cat", False)]
    await ada.post("/skills/remove", account="cat", skill="Printers HP")
    assert await ada.refused("/skills/remove", account="cat", skill="printers hp") == "not-found"


async def _person(relay: Relay, name: str, organisation: str | None = None) -> str:
    async with relay.db.write() as c:
        terms = PersonTerms(name=name, organisation=organisation, locale="de")
        made = await create_person(c, relay, terms=terms, actor="ann")
        await add_address(
            c, relay, person=made.id, kind="mail", value=f"{name}@x.example", actor="ann"
        )
    return made.id


async def test_a_notice_is_mailed_once_to_each_whom_it_is_for(
    relay: Relay, ada: Caller, ann: Caller, mia: Caller, letters: Letters
) -> None:
    await ada.post("/organisations/acme", title="Acme")
    people = {name: await _person(relay, name, "acme") for name in ("one", "two")}
    await _person(relay, "else")
    await ada.post(f"/people/{people['one']}", account="mia")
    given = {"title": "2.0 is here", "body": "Better.", "link": "https://x.example/2"}
    made = await ada.post("/notices", audience="organisation", target="acme", **given)
    assert made["published_at"] is None
    assert (await mia.get("/notices"))["items"] == []
    assert await letters() == []
    assert await ann.refused(f"/notices/{made['id']}/publish") == "not-permitted"
    for _ in range(2):
        await ada.post(f"/notices/{made['id']}/publish")
    assert sorted(one["to"][0] for one in await letters()) == ["one@x.example", "two@x.example"]
    assert (await letters())[0]["text"] == "Better.\n\nMehr dazu: https://x.example/2"
    assert [one["title"] for one in (await mia.get("/notices"))["items"]] == ["2.0 is here"]
    stranger = await ada.post("/notices", audience="organisation", target="acme", **given)
    await ada.post(f"/people/{people['one']}", organisation=None)
    assert (await mia.get("/notices"))["items"] == []
    await ada.post(f"/notices/{made['id']}/end")
    assert (await ann.get("/notices"))["items"] == []
    everything = (await ann.get("/notices", everything="true"))["items"]
    assert {one["id"] for one in everything} == {made["id"], stranger["id"]}
    assert await ada.refused(f"/notices/{made['id']}/publish") == "notice-ended"
    for wrong in ({"link": "javascript:x"}, {"target": "x"}, {"until": AT}):
        assert await ada.refused("/notices", title="t", body="b", **wrong) == "invalid"


async def test_a_notice_reaches_many_people_page_by_page(
    relay: Relay, ada: Caller, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_server.care.notices._PAGE", 2)
    names = [f"p{number}" for number in range(5)]
    for name in names:
        await _person(relay, name)
    made = await ada.post("/notices", title="t", body="b")
    await ada.post(f"/notices/{made['id']}/publish")
    assert sorted(one["to"][0] for one in await letters()) == [f"{n}@x.example" for n in names]


async def test_a_group_is_whoever_asked_for_help_with_its_devices_and_a_fix_is_a_draft(
    relay: Relay, ada: Caller, ann: Caller, letters: Letters
) -> None:
    device = await put_device(relay, group="sales")
    one, two = await _person(relay, "one"), await _person(relay, "two")
    for title in ("a", "b"):
        await ann.post("/tickets", title=title, device=device)
    await ann.post("/tickets", title="c")
    async with relay.db.write() as c:
        for number, person in ((1, one), (2, one), (3, two)):
            mine = (tickets.c.tenant == relay.tenant, tickets.c.number == number)
            await c.execute(tickets.update().where(*mine).values(person=person))
    made = await ada.post("/notices", title="t", body="b", audience="group", target="sales")
    await ada.post(f"/notices/{made['id']}/publish")
    assert [one["to"] for one in await letters()] == [["one@x.example"]]

    async with relay.db.write() as c:
        told = {"bug": "b1", "title": "it crashed", "fixed_in": "2.1"}
        draft = await notice_of_fix(c, relay, numbers=[2, 3], actor="monitor", **told)
        again = await notice_of_fix(c, relay, numbers=[2, 3], actor="monitor", **told)
        nobody = await notice_of_fix(
            c, relay, bug="b2", title="t", fixed_in="1", numbers=[], actor="x"
        )
    assert draft is not None
    assert (draft.published_at, again, nobody) == (None, None, None)
    assert len(await letters()) == 1
    await ada.post(f"/notices/{draft.id}/publish")
    assert sorted(one["to"][0] for one in await letters()) == [
        "one@x.example",
        "one@x.example",
        "two@x.example",
    ]


async def test_the_panel_shows_whose_ticket_it_is(
    relay: Relay, ada: Caller, ann: Caller, mia: Caller
) -> None:
    device = await put_device(relay)
    await ada.post("/organisations/acme", title="Acme", locale="de", notes="VIP")
    person = await _person(relay, "mia", "acme")
    await ada.post(f"/people/{person}", account="mia", notes="<i>kind</i>")
    for number in range(7):
        await ann.post("/tickets", title=f"t{number}", requester="mia", device=device)
    await ada.post("/tickets", title="guarded", requester="mia", security=True)
    await ann.post("/tickets", title="somebody else's", requester="bob")
    panel = await ann.get("/tickets/FH-7/person")
    assert (panel["person"]["id"], panel["person"]["notes"]) == (person, "<i>kind</i>")
    assert (panel["organisation"]["name"], panel["organisation"]["hours"]["open"]) == ("acme", True)
    assert (panel["language"], panel["contract"]["contract"]) == ("de", "included")
    assert (panel["device"]["serial"], panel["device"]["warranty"]) == ("SN-77", "ok")
    assert [one["number"] for one in panel["tickets"]] == ["FH-6", "FH-5", "FH-4", "FH-3", "FH-2"]
    assert "FH-8" in [one["number"] for one in (await ada.get("/tickets/FH-7/person"))["tickets"]]
    stranger = await ann.get("/tickets/FH-9/person")
    assert (stranger["person"], stranger["requester"], stranger["device"]) == (None, "bob", None)
    assert await mia.missing("/tickets/FH-7/person") == "not-permitted"
