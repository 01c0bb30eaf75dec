"""One's organisation's contract, one's devices, and the agent that the relay offers."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from farhand_server.contracts.contracts import set_contract
from farhand_server.contracts.terms import Terms
from farhand_server.fleet.agentless import NewAgentless, add_agentless
from farhand_server.pages.downloads import MAX_DOWNLOADS
from farhand_server.people.organisations import OrganisationTerms, create_organisation
from farhand_server.relay import Relay
from tests.server.pages.browsing import browsing, looked_at, make_mia, sign_in_mia
from tests.server.relays import SignIn

on_sqlite = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


@on_sqlite
async def test_she_sees_her_organisations_contract_and_no_others(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    async with relay.db.write() as c:
        ours, theirs = [
            await create_organisation(
                c, relay, name=name, terms=OrganisationTerms(title=name), actor="root"
            )
            for name in ("ours", "theirs")
        ]
        terms = {
            "care": Terms(
                kind="block", organisation=ours.id, title="Care <b>", grant_s=36_000,
                rate_minor=8050, overage="bill", starts="2026-01-01",
            ),
            "secret": Terms(kind="tm", organisation=theirs.id, title="Theirs", rate_minor=1),
            "old": Terms(kind="tm", organisation=ours.id, title="Past", ends="2026-01-01"),
            "offer": Terms(
                kind="subscription", title="Gold", listed=True, fee_minor=123_450, grant_s=7200
            ),
        }  # fmt: skip
        for name, one in terms.items():
            await set_contract(c, relay, name=name, terms=one, actor="root")
    assert (await browser.get("/my/contract")).headers["location"] == "/sign-in"
    await make_mia(relay, ours.id)
    await sign_in_mia(browser, relay)
    shown = await browser.get("/my/contract", headers={"Accept-Language": "de"})
    looked_at(shown)
    text = (await browser.get("/my/contract?lang=de")).text
    assert "Care &lt;b&gt;" in text
    assert "10\u00a0Std." in text
    assert "80,50\u00a0EUR" in text
    assert "1.234,50\u00a0EUR im Monat" in text
    assert "Stunden darüber hinaus werden berechnet." in text
    assert "Theirs" not in text
    assert "Past" not in text


@on_sqlite
async def test_she_sees_her_devices_and_no_more_of_them(
    browser: httpx.AsyncClient, relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    person = await make_mia(relay)
    async with relay.db.write() as c:
        one, other = [
            await add_agentless(
                c, relay, new=NewAgentless(name=name, kind="printer", address="printer.lan"),
                actor="root",
            )
            for name in ("laser <i>", "secret")
        ]  # fmt: skip
    staff = await sign_in("technician", name="ann")
    path = f"/api/v1/devices/{one}/holder"
    assert (await web.get(path, headers=staff)).json()["person"] is None
    given = await web.post(path, headers=staff, json={"person": "mia@example.org"})
    assert (given.json()["person"], given.json()["given_by"]) == (person, "ann")
    product = {"make": "Brother", "model": "HL-L2350", "serial": "S-1", "notes": "stolen once"}
    await web.post(f"/api/v1/devices/{one}/product", headers=staff, json=product)
    assert (await browser.get("/my/devices")).headers["location"] == "/sign-in"
    await sign_in_mia(browser, relay)
    shown = await browser.get("/my/devices")
    looked_at(shown)
    assert "laser &lt;i&gt;" in shown.text
    assert "Brother HL-L2350" in shown.text
    for hidden in ("S-1", "stolen", "printer.lan", one, "secret", other):
        assert hidden not in shown.text
    # A requester may not look herself, let alone give.
    hers = await sign_in("requester", name="eve")
    assert (await web.get(path, headers=hers)).status_code == 403
    assert (await web.post(path, headers=staff, json={"person": "x"})).status_code == 404
    assert (await web.post(path, headers=staff, json={"person": None})).json()["person"] is None
    assert "laser" not in (await browser.get("/my/devices")).text


@on_sqlite
async def test_the_agent_is_offered_as_it_lies_there(
    browser: httpx.AsyncClient, relay: Relay, tmp_path: Path
) -> None:
    shown = await browser.get("/get-agent")
    looked_at(shown)
    assert "nothing to download" in shown.text
    folder = tmp_path / "downloads"
    folder.mkdir()
    deb = folder / "farhand-agent_0.1.0_amd64.deb"
    deb.write_bytes(b"!<arch>\n" * 1000)
    (folder / "farhand-agent.key").write_text("secret")
    (folder / "relay.key").write_text("secret")
    (folder / "farhand-agent-dir.zip").mkdir()
    (tmp_path / "relay.key").write_text("secret")
    (folder / "farhand-agent-link.zip").symlink_to(tmp_path / "relay.key")
    shown = await browser.get("/get-agent")
    page = looked_at(shown)
    offered = [one["href"] for one in page.of("a") if "download" in one]
    assert offered == [f"/get-agent/{deb.name}"]
    assert hashlib.sha256(deb.read_bytes()).hexdigest() in shown.text
    assert "farhand-agent code --home guest --url http://127.0.0.1:8443" in shown.text
    assert "fh1:" not in shown.text
    got = await browser.get(str(offered[0]))
    assert got.content == deb.read_bytes()
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"
    for name in (
        "relay.key", "farhand-agent.key", "farhand-agent-link.zip", "farhand-agent-dir.zip",
        "..%2Frelay.key", "..%2F..%2Fetc%2Fpasswd", "farhand-agent%2F..%2Frelay.zip", "%00",
    ):  # fmt: skip
        assert (await browser.get(f"/get-agent/{name}")).status_code == 404, name
    # Another content is another digest, at once.
    deb.write_bytes(b"!<arch>\n" * 1001)
    assert hashlib.sha256(deb.read_bytes()).hexdigest() in (await browser.get("/get-agent")).text
    for number in range(MAX_DOWNLOADS + 5):
        (folder / f"farhand-agent-{number:02}.pyz").write_bytes(b"x")
    page = looked_at(await browser.get("/get-agent"))
    assert len([one for one in page.of("a") if "download" in one]) == MAX_DOWNLOADS
