"""Every page, full of hostile words, in a real browser: nothing runs, nothing overflows, all reads.

Chromium shows each page at two widths in the light and in the dark; axe-core looks for what is
serious or critical, and any violation of a page's own policy fails (`Watched`).
"""

from __future__ import annotations

import pytest

from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.relay import Relay
from tests.browser.pages.conftest import OpenPages, Portal
from tests.support.browser import DESKTOP, PHONE, Scheme, axe_faults, layout_faults

# Many pages in one browser, beside whatever else the machine does.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

_MISSING = ("/kb/nothing-here", "/my/FH-999")


def _paths(portal: Portal) -> list[tuple[str, bool]]:
    house = portal.house
    return [(path, False) for path in [*house.public, *house.links]] + [
        (path, True) for path in house.hers
    ]


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["wide-light", "phone-dark"]
)
def test_every_page_reads_and_fits(
    portal: Portal, open_pages: OpenPages, size: tuple[int, int], scheme: Scheme
) -> None:
    anybody = open_pages(size=size, scheme=scheme)
    mia = open_pages(size=size, scheme=scheme, signed_in=True)
    faults: list[str] = []
    for path, is_hers in _paths(portal):
        seen = mia if is_hers else anybody
        if path in _MISSING:
            seen.expect("Failed to load resource: the server responded with a status of 404")
        portal.do(_forgive)
        seen.page.goto(portal.url + path)
        found = [*axe_faults(seen.page), *layout_faults(seen.page)]
        faults += [f"{path}: {one}" for one in found]
    assert not faults, "\n".join(faults)
    background = anybody.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")


async def _forgive(relay: Relay) -> None:
    """Forget how often this browser asked: one person reads no hundred pages a minute."""
    relay.service(make_public_rates).reads.forgive("127.0.0.1")


def test_a_mails_own_looks_fetch_nothing_and_run_nothing(
    portal: Portal, open_pages: OpenPages
) -> None:
    seen = open_pages(signed_in=True)
    page = seen.page
    page.goto(portal.url + portal.house.mail.removesuffix("/own"))
    frame = page.frame_locator("iframe.mail")
    picture = frame.locator("img[src^='data:image/png']")
    picture.wait_for()
    assert picture.evaluate("one => one.naturalWidth") == 1
    assert frame.locator("form, script, input").count() == 0
    # The frame may not even run what somebody would put into it.
    assert page.locator("iframe.mail").get_attribute("sandbox") == ""
