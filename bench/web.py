"""The web console beside a bare page of the same rows, in the same headless browser.

    load        from the address to the first row on the screen; bare: 5,000 rows of plain HTML
    live table  frames a second while devices change once a second; bare: the same rows, untouched
    campaign    frames a second while 500 of 5,000 targets change each second
    terminal    from a key to its letter on the screen, through relay and agent; bare: a page that
                writes the key itself
    screen      pictures a second of a window in motion that stand in the page, through relay, SSH,
                websocket and noVNC; bare: what the agent's screen process alone gives to a viewer
                that unpacks them and draws nothing

Load, table and campaign stand before a relay of this process that answers from memory, so that what
is measured is backend, browser and page.  Frames are counted by requestAnimationFrame; a headless
browser draws at most 60 a second.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Page, expect

from bench.report import Figure, percentile
from bench.screen import in_motion, pictures_of_agent
from tests.console.web.backend import Answer, Backend, backend, json_answer
from tests.support.browser import chromium
from tests.support.stage import Stage
from tests.support.xvfb import xvfb

__all__ = ["run"]

_NOW = "2026-11-22T12:00:00Z"
_PAGE = 500
_FRAMES = """(seconds) => new Promise((over) => {
  let count = 0, worst = 0, last = performance.now();
  const end = last + seconds * 1000;
  const tick = (now) => {
    count += 1; worst = Math.max(worst, now - last); last = now;
    now < end ? requestAnimationFrame(tick) : over([count / seconds, worst]);
  };
  requestAnimationFrame(tick);
})"""


class _Fleet:
    """What the relay of this process answers: devices that come and go, a campaign that runs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._began = time.monotonic()

    def _turn(self) -> int:
        return int(time.monotonic() - self._began)

    def _device(self, n: int) -> dict[str, Any]:
        return {
            "id": f"d-{n:026d}",
            "name": f"office-{n:05d}",
            "group": f"group-{n % 7}",
            "tags": ["laptop"] if n % 3 else [],
            "online": (n + self._turn()) % 5 > 0,
            "confirmed": True,
            "os": "linux",
            "host_name": f"office-{n:05d}",
            "agent_version": "0.1.0",
            "enrolled_at": _NOW,
            "last_seen": _NOW,
            "retired_at": None,
            "warning": None,
            "warning_at": None,
            "kind": "agent",
            "address": None,
            "merged_into": None,
        }

    def _target(self, n: int) -> dict[str, Any]:
        one = self._device(n)
        same = {name: one[name] for name in ("name", "host_name", "group", "confirmed")}
        return same | {
            "order": f"o-{n:026d}",
            "state": "eligible",
            "ring": n % 2,
            "device": one["id"],
            "key": "",
            "enrolment": "",
            "token_envelope": None,
            "token_signed_by": None,
            "confirmation": None,
        }

    def _paged(self, make: Callable[[int], Any], query: dict[str, list[str]]) -> Answer:
        start = int(query.get("cursor", ["0"])[0])
        most = int(query.get("limit", ["100"])[0])
        end = min(self.size, start + most)
        items = [make(n) for n in range(start, end)]
        return json_answer({"items": items, "next": str(end) if end < self.size else None})

    def _events(self, query: dict[str, list[str]]) -> Answer:
        """Return a tenth of the targets' steps for each second since the last call."""
        done = int(query.get("cursor", ["0"])[0])
        reached = min(10 * self.size, self._turn() * self.size // 10)
        states = ("accepted", "running", "succeeded", "no_change")
        items = [
            {
                "seq": n,
                "at": _NOW,
                "state": states[n // self.size % 4],
                "order": f"o-{n % self.size:026d}",
                "device": f"d-{n % self.size:026d}",
                "ring": n % 2,
                "detail": {},
            }
            for n in range(done, min(reached, done + _PAGE))
        ]
        return json_answer({"items": items, "next": str(done + len(items)), "state": "running"})

    def _campaign(self) -> dict[str, Any]:
        rings = [{"name": name, "percent": 50} for name in ("canary", "all")]
        return {
            "campaign": "c-1",
            "name": "Disks",
            "state": "running",
            "script": "check.disk.space",
            "version": 1,
            "digest": "0" * 64,
            "risk": "R0",
            "query": "*",
            "parameters": {},
            "ttl_s": 3600,
            "plan": {"rings": rings},
            "target_set": None,
            "source": None,
            "reason": None,
            "open_ring": 1,
            "targets": self.size,
            "counts": {"running": self.size},
            "created_by": "tess",
            "created_at": _NOW,
            "started_at": _NOW,
            "ended_at": None,
        }

    def answer(self, method: str, address: str) -> Answer:
        """Answer a call to the API."""
        parts = urlsplit(address)
        path, query = parts.path.removeprefix("/api/v1"), parse_qs(parts.query)
        if path == "/me":
            account = {"id": "a-1", "name": "tess", "role": "technician"}
            return json_answer(
                {
                    "account": account,
                    "organisation": {"tenant": "acme", "name": "Acme"},
                    "scopes": [],
                }
            )
        if path == "/devices":
            return self._paged(self._device, query)
        if path == "/campaigns/c-1":
            return json_answer(self._campaign())
        if path == "/campaigns/c-1/report":
            campaign = self._campaign()
            kept = {name: campaign[name] for name in ("campaign", "state", "reason", "counts")}
            return json_answer(kept | {"rings": [], "causes": []})
        if path == "/campaigns/c-1/targets":
            return self._paged(self._target, query)
        if path == "/campaigns/c-1/events":
            return self._events(query)
        return json_answer({"items": [], "next": None})


@contextmanager
def _console(fleet: _Fleet) -> Iterator[str]:
    """Run the backend before the fleet's relay, on a loop of its own thread; yields a link."""
    ready: Future[tuple[Backend, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve(folder: Path) -> None:
        over = asyncio.Event()
        async with backend(folder) as one:
            one.relay.answers = fleet.answer
            ready.set_result((one, asyncio.get_running_loop(), over))
            await over.wait()

    with tempfile.TemporaryDirectory(prefix="fh-bench-") as folder:
        thread = threading.Thread(target=lambda: asyncio.run(serve(Path(folder))))
        thread.start()
        one, loop, over = ready.result(60)
        try:
            yield f"{one.origin}/PATH#token={one.gate.new_token()}"
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()


def _bare(page: Page, fleet: _Fleet) -> None:
    """Show the same rows as plain HTML."""
    rows = "".join(
        f"<tr><td>{one['name']}<td>{one['group']}<td>{one['os']}<td>{one['last_seen']}</tr>"
        for one in (fleet._device(n) for n in range(fleet.size))
    )
    page.set_content(f"<!doctype html><title>bare</title><table><tbody>{rows}</table>")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _pages(browser: Browser, *, size: int, seconds: int, loads: int) -> list[Figure]:
    fleet = _Fleet(size)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(120_000)
    bare_page = context.new_page()
    bare_page.set_default_timeout(120_000)

    def bare() -> None:
        _bare(bare_page, fleet)
        bare_page.locator("tr").first.wait_for()

    row = page.get_by_role("link", name="office-00000")

    def again() -> None:
        page.reload(wait_until="commit")
        row.wait_for()

    with _console(fleet) as link:
        page.goto(link.replace("PATH", "devices"))
        row.wait_for()
        own_s, bare_s = [], []
        for _ in range(loads):
            own_s.append(_timed(again))
            bare_s.append(_timed(bare))
        bare_page.bring_to_front()
        bare_fps, _ = bare_page.evaluate(_FRAMES, seconds)
        page.bring_to_front()
        box = page.locator(".rows").first
        while page.get_by_role("link", name=f"office-{size - 1:05d}").count() == 0:
            box.evaluate("(e) => e.scrollTo(0, e.scrollHeight)")
            page.wait_for_timeout(50)
        table_fps, table_worst = page.evaluate(_FRAMES, seconds)
        page.goto(f"{urlsplit(link).scheme}://{urlsplit(link).netloc}/campaigns/c-1")
        expect(page.get_by_text("office-00000").first).to_be_visible()
        page.wait_for_timeout(2000)
        campaign_fps, campaign_worst = page.evaluate(_FRAMES, seconds)
    context.close()
    of = f"bare page of {size} rows"
    own, plain = percentile(own_s, 0.5), percentile(bare_s, 0.5)
    return [
        Figure(
            "devices: to the first row, median", 1000 * own, "ms", of, 1000 * plain, at_most=1.0
        ),
        Figure(f"devices: live table of {size}", table_fps, "fps", of, bare_fps, at_least=0.9),
        Figure("devices: longest frame", table_worst, "ms", at_most=100),
        Figure(
            f"campaign: {size} targets, a tenth new each second",
            campaign_fps,
            "fps",
            of,
            bare_fps,
            at_least=0.9,
        ),
        Figure("campaign: longest frame", campaign_worst, "ms", at_most=100),
    ]


_BARE_ECHO = """<!doctype html><title>bare</title><pre id=p></pre><script>
addEventListener("keydown", (e) => { p.textContent += e.key; });</script>"""
# From the key to the first frame that shows it.
_SHOWN = """([selector, letter]) => new Promise((over) => {
  const start = performance.now();
  const look = () => {
    const text = document.querySelector(selector)?.textContent ?? "";
    text.includes(letter) ? over(performance.now() - start) : requestAnimationFrame(look);
  };
  look();
})"""


def _echo(page: Page, selector: str, count: int) -> list[float]:
    """Type letters one by one and return the milliseconds until each stands on the page."""
    taken = []
    for n in range(count):
        # A word that was on the page before would be found at once.
        mark = f"{chr(97 + n % 26)}{n}q"
        for letter in mark[:-1]:
            page.keyboard.press(letter)
        page.wait_for_timeout(60)
        start = time.perf_counter()
        page.keyboard.press(mark[-1])
        page.evaluate(_SHOWN, [selector, mark])
        taken.append(1000 * (time.perf_counter() - start))
        page.keyboard.press("Enter")
        page.wait_for_timeout(40)
    return taken


@contextmanager
def _session(display: str) -> Iterator[tuple[Stage, str, str]]:
    """Run a stage with an open session on a screen; yields stage, link and session."""
    with Stage() as stage:
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin(library=False)
        scopes = "view,terminal,files,screen,control"
        words = ("trust", "policy", "default", "--unattended", "--consent", "notify")
        admin.json(*words, "--scope", scopes)
        agent = stage.agent("reception")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start(env={**stage.env, "DISPLAY": display})
        opened = admin.json("session", "open", "--device", agent.device, "--scope", scopes)
        web = admin.start("web", "--json", "--no-browser")
        yield stage, str(web.next_json()["url"]), str(opened["session"])


# The window in motion, and a square in it: pixels that differ from one picture to the next.
_BOX: Final = (40, 40, 640, 360)
_SEEN: Final = [200, 200, 16, 16]
# As a film moves: whatever draws more often takes the processor from what is measured.
_EACH_S: Final = 1 / 30


def _streams(browser: Browser, *, keys: int, seconds: int) -> list[Figure]:
    with xvfb(1280, 720) as display, _session(display) as (_, link, session):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(60_000)
        figures = [
            _terminal(page, link, session, keys=keys),
            _screen(page, link, session, display, seconds=seconds),
        ]
        context.close()
        return figures


def _terminal(page: Page, link: str, session: str, *, keys: int) -> Figure:
    address, _, token = link.partition("/#")
    page.goto(f"{address}/sessions/{session}#{token}")
    page.locator(".xterm-rows").wait_for()
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("cat\n")
    page.wait_for_timeout(500)
    own = _echo(page, ".xterm-rows", keys)
    bare = page.context.new_page()
    bare.set_content(_BARE_ECHO)
    plain = _echo(bare, "#p", keys)
    bare.close()
    words = "a bare page that writes it"
    own_ms, plain_ms = percentile(own, 0.5), percentile(plain, 0.5)
    return Figure("terminal: key to letter, median", own_ms, "ms", words, plain_ms, at_most=12)


# How often a square of the canvas is another one than at the last frame.
_DRAWN = """([box, seconds]) => new Promise((over) => {
  const context = document.querySelector("canvas").getContext("2d");
  let before = "", count = 0;
  const end = performance.now() + seconds * 1000;
  const look = () => {
    const now = context.getImageData(...box).data.join();
    if (now !== before) count += 1;
    before = now;
    performance.now() < end ? requestAnimationFrame(look) : over(count / seconds);
  };
  look();
})"""


# The machine may have other work: each is the best of so many, in turns.
_ROUNDS: Final = 3


def _screen(page: Page, link: str, session: str, display: str, *, seconds: int) -> Figure:
    page.goto(f"{link.partition('/#')[0]}/sessions/{session}?tab=screen")
    # Behind another page it would be drawn once a second.
    page.bring_to_front()
    drawn, alone = 0.0, 0.0
    for _ in range(_ROUNDS):
        page.get_by_role("button", name="Show the screen").click()
        page.locator("canvas").wait_for()
        with in_motion(display, _BOX, each_s=_EACH_S):
            page.wait_for_timeout(1000)
            drawn = max(drawn, page.evaluate(_DRAWN, [_SEEN, seconds]))
        page.get_by_role("button", name="Close the screen").click()
        with in_motion(display, _BOX, each_s=_EACH_S), ThreadPoolExecutor(1) as beside:
            # Playwright has this thread's event loop.
            watching = beside.submit(asyncio.run, pictures_of_agent(display, seconds))
            alone = max(alone, watching.result()[0])
    return Figure("screen: pictures", drawn, "1/s", "the agent alone", alone, at_least=0.5)


def run(*, quick: bool) -> list[Figure]:
    """Measure all of it."""
    size, seconds, loads, keys = (500, 2, 2, 5) if quick else (5000, 10, 7, 40)
    with chromium() as browser:
        figures = _pages(browser, size=size, seconds=seconds, loads=loads)
        figures += _streams(browser, keys=keys, seconds=seconds)
    return figures
