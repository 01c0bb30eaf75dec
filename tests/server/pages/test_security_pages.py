"""Second factors on pages: added, asked for at the sign-in, wrong, lost, and demanded."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator

import httpx
import pyotp
import pytest

from farhand_server.accounts.signin import FACTOR_ROLES
from farhand_server.people.settings import set_setting
from farhand_server.relay import Relay
from tests.server.accounts.authenticator import SoftwareKey
from tests.server.pages.browsing import browsing, links, looked_at, make_mia, sign_in_mia
from tests.server.relays import SignIn

on_sqlite = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)


@pytest.fixture
async def browser(relay: Relay) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(relay) as client:
        yield client


def hidden(answer: httpx.Response, *, script: bool = False, status: int = 200) -> dict[str, str]:
    """Return the hidden fields of a page, the last of each name."""
    page = looked_at(answer, status, script=script)
    return {
        str(one["name"]): str(one["value"])
        for one in page.of("input")
        if one.get("type") == "hidden"
    }


def options(answer: httpx.Response) -> dict[str, object]:
    (form,) = [one for one in looked_at(answer, script=True).of("form") if "data-options" in one]
    found: dict[str, object] = json.loads(str(form["data-options"]))
    return found


async def by_link(browser: httpx.AsyncClient, relay: Relay) -> httpx.Response:
    """Go as far as a link leads; returns the answer to its button."""
    relay.clock.advance(3600)  # type: ignore[attr-defined]
    await browser.post("/sign-in", data={"mail": "mia@example.org"})
    token = (await links(relay, "sign-in"))[-1].rpartition("/")[2]
    return await browser.post("/sign-in/use", data={"token": token})


async def add_app(browser: httpx.AsyncClient, relay: Relay) -> tuple[pyotp.TOTP, list[str]]:
    """Add an app to whoever is signed in; returns it and the recovery codes."""
    shown = await browser.post("/my/security/app", data={"label": "Phone"})
    factor = hidden(shown)["factor"]
    secret = re.findall(r'<pre class="command" translate="no">([A-Z2-7]+)</pre>', shown.text)[0]
    app = pyotp.TOTP(secret)
    wrong = await browser.post(
        "/my/security/app/confirm", data={"factor": factor, "code": "000000"}
    )
    looked_at(wrong, 403)
    made = await browser.post(
        "/my/security/app/confirm", data={"factor": factor, "code": app.at(relay.now())}
    )
    looked_at(made)
    return app, re.findall(r'<code translate="no">([A-Z0-9-]+)</code>', made.text)


@on_sqlite
async def test_an_app_is_added_and_asked_for(browser: httpx.AsyncClient, relay: Relay) -> None:
    assert (await browser.get("/my/security")).headers["location"] == "/sign-in"
    await make_mia(relay)
    await sign_in_mia(browser, relay)
    looked_at(await browser.get("/my/security"))
    app, codes = await add_app(browser, relay)
    assert len(codes) == 10
    assert "10 codes are left." in (await browser.get("/my/security")).text
    # Nothing changes without a code now.
    looked_at(await browser.post("/my/security/app", data={"label": "Second"}), 403)
    await browser.post("/sign-out", data={})
    asked = await by_link(browser, relay)
    assert "set-cookie" not in asked.headers
    fields = hidden(asked)
    assert fields["kinds"] == "recovery totp" or fields["kinds"] == "totp recovery"
    again = await browser.post("/sign-in/second", data=fields | {"code": "123"})
    assert hidden(again, status=403)["pending"] == fields["pending"]
    assert (await browser.get("/my")).headers["location"] == "/sign-in"
    right = fields | {"code": app.at(relay.now())}
    done = await browser.post("/sign-in/second", data=right)
    assert (done.status_code, done.headers["location"]) == (303, "/my")
    looked_at(await browser.get("/my"))
    looked_at(await browser.post("/sign-in/second", data=right), 410)
    # A recovery code does it once.
    await browser.post("/sign-out", data={})
    fields = hidden(await by_link(browser, relay))
    used = await browser.post("/sign-in/second", data=fields | {"code": codes[0].lower()})
    assert used.status_code == 303
    assert "9 codes are left." in (await browser.get("/my/security")).text
    page = await browser.get("/my/security")
    factor = hidden(page)["factor"]
    fresh = await browser.post("/my/security/recovery", data={"code": codes[1]})
    assert codes[2] not in fresh.text
    new = re.findall(r'<code translate="no">([A-Z0-9-]+)</code>', fresh.text)
    removed = await browser.post("/my/security/remove", data={"factor": factor, "code": new[0]})
    assert removed.headers["location"] == "/my/security"
    assert hidden(await browser.get("/my/security")) == {}


@on_sqlite
async def test_five_wrong_codes_end_a_sign_in(browser: httpx.AsyncClient, relay: Relay) -> None:
    await make_mia(relay)
    await sign_in_mia(browser, relay)
    app, _ = await add_app(browser, relay)
    await browser.post("/sign-out", data={})
    fields = hidden(await by_link(browser, relay))
    for _ in range(5):
        looked_at(await browser.post("/sign-in/second", data=fields | {"code": "1"}), 403)
    right = fields | {"code": app.at(relay.now())}
    looked_at(await browser.post("/sign-in/second", data=right), 410)


@on_sqlite
async def test_a_security_key_is_added_and_signs(browser: httpx.AsyncClient, relay: Relay) -> None:
    await make_mia(relay)
    await sign_in_mia(browser, relay)
    key = SoftwareKey()
    asked = await browser.post("/my/security/key", data={"label": "Blue <b>"})
    fields = hidden(asked, script=True)
    answer = json.dumps(key.create(options(asked)))
    for wrong in ("", "[]", "{" * 5000, "{}"):
        answered = await browser.post(
            "/my/security/key/finish", data={"step": "none", "credential": wrong}
        )
        looked_at(answered, 403 if wrong == "{}" else 422)
    made = await browser.post("/my/security/key/finish", data=fields | {"credential": answer})
    looked_at(made)
    assert "Recovery codes" in made.text
    shown = await browser.get("/my/security")
    assert html.escape("Blue <b>") in shown.text
    await browser.post("/sign-out", data={})
    second = await by_link(browser, relay)
    pending = hidden(second)
    challenge = await browser.post("/sign-in/key", data=pending)
    fields = hidden(challenge, script=True)
    assert fields["pending"] == pending["pending"]
    signed = json.dumps(key.get(options(challenge)))
    done = await browser.post("/sign-in/second", data=fields | {"credential": signed})
    assert (done.status_code, done.headers["location"]) == (303, "/my")
    # The same answer is not taken twice.
    again = await browser.post("/sign-in/second", data=fields | {"credential": signed})
    looked_at(again, 410)


@on_sqlite
async def test_who_must_have_a_factor_gets_one_first(
    browser: httpx.AsyncClient, relay: Relay
) -> None:
    await make_mia(relay)
    async with relay.db.write() as c:
        await set_setting(c, relay, FACTOR_ROLES, ["requester"], "root")
    entered = await by_link(browser, relay)
    assert (entered.status_code, entered.headers["location"]) == (303, "/my/security")
    assert (await browser.get("/my")).headers["location"] == "/my/security"
    looked_at(await browser.get("/my/new"), 403)
    assert "asks for a second factor" in (await browser.get("/my/security")).text
    app, codes = await add_app(browser, relay)
    assert codes
    looked_at(await browser.get("/my/new"), 403)
    await browser.post("/sign-out", data={})
    fields = hidden(await by_link(browser, relay))
    done = await browser.post("/sign-in/second", data=fields | {"code": app.at(relay.now())})
    assert done.headers["location"] == "/my"
    looked_at(await browser.get("/my/new"))


@on_sqlite
async def test_a_lost_password_is_asked_for(
    browser: httpx.AsyncClient, relay: Relay, sign_in: SignIn
) -> None:
    looked_at(await browser.get("/forgot"))
    await sign_in("technician", name="ann")
    answers = [
        looked_at(await browser.post("/forgot", data={"name": name})).tags
        for name in ("ann", "nobody", "<b>", "")
    ]
    assert all(one == answers[0] for one in answers)
    evil = {"Origin": "https://evil.example"}
    looked_at(await browser.post("/forgot", data={"name": "ann"}, headers=evil), 403)
