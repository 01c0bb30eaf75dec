"""Every page, full of hostile words, in every language: what stands there is inert and translated.

What a browser makes of the same pages is in tests/browser/pages.
"""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from farhand_server.pages.visitor import SESSION_COOKIE
from farhand_server.pages.wording import wording_in
from farhand_server.people.organisations import LOCALES
from farhand_server.relay import Relay
from tests.server.pages.browsing import browsing, looked_at
from tests.server.pages.house import furnish

# Pages that name a script.
_SCRIPTED = ("/talk",)


def words_of(answer: httpx.Response) -> set[str]:
    """Return the texts of headings, labels, buttons and links of a page."""
    found = re.findall(
        r"<(?:h1|h2|label[^>]*|button[^>]*|th[^>]*|legend|summary)>([^<>]+)<", answer.text
    )
    return {unescape(one).strip() for one in found}


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_every_page_in_every_language(relay: Relay) -> None:
    async with browsing(relay) as browser:
        house = await furnish(relay, browser)
        relay.clock.advance(60)  # type: ignore[attr-defined]
        walk = [(path, False) for path in [*house.public, *house.links]]
        walk += [(path, True) for path in house.hers]
        for path, is_hers in walk:
            seen: dict[str, set[str]] = {}
            for language in LOCALES:
                relay.clock.advance(5)  # type: ignore[attr-defined]
                cookies = {"farhand_language": language}
                if is_hers:
                    cookies[SESSION_COOKIE] = house.cookie
                browser.cookies = httpx.Cookies(cookies)
                answer = await browser.get(path)
                where = f"{path} in {language}: {answer.status_code}"
                status = 404 if path in ("/kb/nothing-here", "/my/FH-999") else 200
                assert answer.status_code == status, f"{where} {answer.text[:300]}"
                page = looked_at(answer, status, script=path.endswith(_SCRIPTED))
                assert page.of("html")[0]["lang"] == language, where
                assert len(page.of("h1")) == 1, where
                assert not [
                    one for one in page.of("a") if str(one.get("href")).startswith("javascript")
                ], where
                for tag in ("img", "iframe", "script", "link", "form"):
                    for one in page.of(tag):
                        at = one.get("src") or one.get("href") or one.get("action") or "/"
                        assert at.startswith("/"), f"{where}: {tag} {at}"
                seen[language] = words_of(answer)
            for language in set(LOCALES) - {"en"}:
                translate = wording_in(language)
                left = {one for one in seen["en"] & seen[language] if translate(one) != one}
                assert not left, f"{path} in {language} says in English: {left}"
        browser.cookies = httpx.Cookies({SESSION_COOKIE: house.cookie})
        own = await browser.get(house.mail)
        policy = own.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "sandbox" in policy
        assert "frame-ancestors 'self'" in policy
        assert 'src="data:image/png;base64,' in own.text
        assert "evil.example/t.png" not in own.text
        for tag in ("<script", "<form", "<input", "onerror"):
            assert tag not in own.text.partition("<body>")[2]
        browser.cookies = httpx.Cookies()
        assert (await browser.get(house.mail)).headers["location"] == "/sign-in"
