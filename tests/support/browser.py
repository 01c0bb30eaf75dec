"""A real browser for tests: Debian's Chromium, driven by Playwright, with nothing outside.

chromium()        one browser, ended with the block; Playwright's sync interface, so tests that
                  use it are plain functions, and it is closed before a module of async tests
Watched           one page that notes whatever must not happen: a violation of the page's
                  policy, an error on its console, a failed script, a call to another machine
axe_faults        what axe-core finds serious or critical on the page as it stands
look              the same page in another size or other colours
layout_faults     text that is cut off or lies over other text, and pages that scroll sideways
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

__all__ = [
    "AXE",
    "DESKTOP",
    "PHONE",
    "ZOOMED",
    "Scheme",
    "Watched",
    "axe_faults",
    "chromium",
    "layout_faults",
    "look",
    "settle",
    "watched",
]

_ROOT: Final = Path(__file__).parents[2]
_APP: Final = _ROOT / "console/farhand_console/web/app"
_LAYOUT: Final = Path(__file__).with_name("layout.js")
AXE: Final = _APP / "node_modules/axe-core/axe.min.js"
DESKTOP: Final = (1280, 800)
PHONE: Final = (375, 800)
# A laptop of 1280 by 800 whose reader takes everything twice as large.
ZOOMED: Final = (640, 400)
Scheme = Literal["light", "dark"]
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Generous: three workers share two processors.
PATIENCE_MS: Final = 60_000
_HERE: Final = ("127.0.0.1", "localhost", "[::1]", "::1")


def _absent(reason: str) -> None:
    if os.environ.get("FARHAND_CI") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Run a headless Chromium; skips (in CI: fails) where there is none.

    Args:
        arguments: further ones of its command line.
    """
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        _absent("Chromium is not installed (see .ci/apt.txt)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*_ARGUMENTS, *arguments], timeout=60_000
        )
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page and what went wrong on it; `check` fails with the list."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        # Beginnings of console lines that a test brings about on purpose.
        self.expected: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.faults.append(f"script failed: {error}"))
        page.on("console", self._said)
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text[:500]}")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in _HERE:
            self.faults.append(f"another machine was asked: {url[:200]}")

    def expect(self, *beginnings: str) -> None:
        """Let the console say these, such as a failed load that the test brings about."""
        self.expected += [f"console: {words}" for words in beginnings]

    def check(self) -> None:
        """Fail where anything went wrong that was not expected."""
        unexpected = [
            fault for fault in self.faults if not fault.startswith(tuple(self.expected) or ("\0",))
        ]
        self.faults.clear()
        assert not unexpected, "\n".join(unexpected)


@contextmanager
def watched(
    browser: Browser,
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: Scheme = "light",
    javascript: bool = True,
    locale: str = "en-GB",
) -> Iterator[Watched]:
    """Yield a page of a context of its own; fail at the end where anything went wrong."""
    context: BrowserContext = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        java_script_enabled=javascript,
        locale=locale,
        reduced_motion="reduce",
        accept_downloads=True,
    )
    try:
        one = Watched(context.new_page())
        yield one
        one.check()
    finally:
        context.close()


_KINDS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def axe_faults(page: Page, *, within: str = "html", rules: Sequence[str] = ()) -> list[str]:
    """Return what axe-core finds serious or critical, a line each; skips where it is absent.

    Args:
        within: a selector; the last that fits it is looked at.
        rules: names of axe's rules, where not all are wanted.
    """
    if not AXE.is_file():
        _absent("axe-core is not there: make ui")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(f"() => {{ {AXE.read_text()} }}")
    found: dict[str, Any] = page.evaluate(
        "([within, runOnly]) => axe.run([...document.querySelectorAll(within)].at(-1), "
        "{resultTypes: ['violations'], runOnly})",
        [within, list(rules or _KINDS)],
    )
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]} -- "
        + " ".join(check["message"] for check in node["any"] + node["all"] + node["none"])[:200]
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


# Nothing was added or taken away for a while; what only counts or blinks is no unrest.
_REST = """(quiet) => new Promise((over) => {
  const WAITS = /^(Loading|Opening|Verifying|Reading|Looking|Asking)\\b.*…$/m;
  const end = performance.now() + 45000;
  let last = performance.now();
  const observer = new MutationObserver(() => { last = performance.now(); });
  observer.observe(document.body, {childList: true, subtree: true});
  const look = () => {
    const now = performance.now();
    const loads = WAITS.test(document.body.innerText);
    if ((now - last > quiet && !loads) || now > end) { observer.disconnect(); over(!loads); }
    else setTimeout(look, 50);
  };
  setTimeout(look, 100);
})"""


def settle(page: Page, *, quiet_ms: int = 250) -> None:
    """Wait until a page has come to rest; fails where it is still loading after 45 seconds."""
    assert page.evaluate(_REST, quiet_ms), f"{page.url} is still loading"


def look(page: Page, *, size: tuple[int, int] | None = None, scheme: Scheme | None = None) -> None:
    """Give a page another size or other colours, and wait until it has taken them."""
    if size is not None:
        page.set_viewport_size({"width": size[0], "height": size[1]})
    if scheme is not None:
        page.emulate_media(color_scheme=scheme)
    # What is drawn follows a frame behind; a virtual table measures itself in between.
    page.evaluate(_FRAMES)
    settle(page, quiet_ms=60)


_FRAMES = """() => new Promise((over) => {
  let left = 3;
  const next = () => (left-- ? requestAnimationFrame(next) : over());
  next();
})"""


def layout_faults(page: Page) -> list[str]:
    """Return what is cut off, outside the window or over other text, one line each."""
    found: list[str] = page.evaluate(_LAYOUT.read_text())
    return found
