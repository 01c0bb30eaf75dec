"""Pictures of every main page, light, dark and narrow: `make screenshots`.

    python -m tests.screenshots [--out FOLDER]

Makes a desk with people, devices, requests, a campaign and a session, walks every page of the web
console and of the relay's public pages in a real browser, keeps a picture of each under
docs/screenshots/all (which git leaves alone), and three small ones beside it for the README.  Each
page is held to the automatic check of layout on the way; what it finds is printed, and ends the
program with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.support.browser import DESKTOP, PHONE, chromium, layout_faults, settle
from tests.support.stage import ConsoleHome, Stage

_OUT = Path(__file__).parents[1] / "docs" / "screenshots"
_PUBLIC = ("/", "/help", "/kb", "/contact", "/status", "/sign-in")
_REQUESTS = (
    ("The printer in the corridor is offline", "anna.ilie@acme.example", "high"),
    ("Laptop restarts when the lid closes", "bruno.reis@acme.example", "medium"),
    ("Please give me access to the finance folder", "carla.weiss@acme.example", "low"),
    ("Mail arrives an hour late", "dmitri.orlov@acme.example", "medium"),
    ("Second screen stays black", "elena.popa@acme.example", "low"),
    ("VPN asks for a certificate that I do not have", "bruno.reis@acme.example", "high"),
    ("Invoice program says its licence is over", "anna.ilie@acme.example", "high"),
    ("New colleague on Monday: laptop and account", "carla.weiss@acme.example", "medium"),
)
# For the README: page, scheme, width in pixels.
_SHOWN = {"ticket": "light", "session": "dark", "campaign": "light"}
_SHOWN_WIDTH = 900


def _fill(stage: Stage, admin: ConsoleHome) -> dict[str, str]:
    """Fill a desk; return the address of each page."""
    rules = ("--unattended", "--consent", "notify")
    admin.json("trust", "policy", "office", *rules)
    devices = []
    for name in ("reception", "finance-03", "workshop-12", "laptop-anna", "laptop-bruno"):
        agent = stage.agent(name)
        agent.enrol(admin.json("token", "create", "--group", "office")["token"])
        if name in ("reception", "finance-03", "laptop-anna"):
            agent.start()
        devices.append(agent)
    numbers = [
        admin.json(
            *("ticket", "new", "--title", title, "--requester", requester),
            *("--impact", impact, "--device", devices[n % len(devices)].device),
        )["number"]
        for n, (title, requester, impact) in enumerate(_REQUESTS)
    ]
    first = str(numbers[0])
    admin.run("ticket", "reply", first, "Good morning Anna, is the light at its front on?")
    admin.run("ticket", "note", first, "The tray of this model sticks when it is hot.")
    admin.json("kb", "import", "--starter")
    article = admin.json("kb", "list")["items"][0]["slug"]
    opened = admin.json("session", "open", "--device", devices[0].device, "--ticket", first)
    admin.run("exec", opened["session"], "--", "uname -a; df -h /")
    campaign = admin.json(
        *("campaign", "create", "--script", "check.disk.space", "--query", "*"),
        *("--name", "Disks of November"),
    )["campaign"]
    admin.json("campaign", "start", campaign)
    admin.run("run", "check.disk.space", "--device", devices[0].device, "--ticket", first, "--wait")
    return {
        "queue": "/queue?view=all",
        "ticket": f"/tickets/{first}",
        "devices": "/devices",
        "device": f"/devices/{devices[0].device}",
        "inventory": f"/devices/{devices[0].device}?tab=inventory",
        "sessions": "/sessions",
        "session": f"/sessions/{opened['session']}",
        "campaigns": "/campaigns",
        "campaign": f"/campaigns/{campaign}",
        "scripts": "/scripts",
        "script": "/scripts/check.disk.space",
        "knowledge": "/knowledge",
        "article": f"/knowledge/{article}",
        "reports": "/reports",
        "admin": "/admin",
    }


def _picture(page: Page, name: str, out: Path) -> list[str]:
    settle(page)
    page.screenshot(path=out / f"{name}.png")
    return [f"{name}: {fault}" for fault in layout_faults(page)]


def _looks() -> list[tuple[str, tuple[int, int], str]]:
    return [("light", DESKTOP, "light"), ("dark", DESKTOP, "dark"), ("narrow", PHONE, "light")]


def _console(browser: Browser, link: str, places: dict[str, str], out: Path) -> list[str]:
    address, _, token = link.partition("/#")
    faults: list[str] = []
    context = browser.new_context()
    context.new_page().goto(f"{address}/queue#{token}")
    context.pages[0].locator("main h1").first.wait_for()
    state = context.storage_state()
    context.close()
    for look, (width, height), scheme in _looks():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            storage_state=state,
            reduced_motion="reduce",
        )
        page = context.new_page()
        for name, path in places.items():
            page.goto(f"{address}{path}")
            page.locator("main h1").first.wait_for()
            if name == "session":
                page.locator(".xterm-helper-textarea").first.focus()
                page.keyboard.type("df -h /; nproc; uptime -p\n")
            faults += _picture(page, f"{name}-{look}", out)
        context.close()
    return faults


def _public(browser: Browser, address: str, out: Path) -> list[str]:
    faults: list[str] = []
    for look, (width, height), scheme in _looks():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=True,
        )
        page = context.new_page()
        for path in _PUBLIC:
            page.goto(f"{address}{path}")
            name = re.sub(r"\W+", "-", path).strip("-") or "home"
            faults += _picture(page, f"public-{name}-{look}", out)
        context.close()
    return faults


def _shrink(everything: Path, out: Path) -> None:
    """Make the small ones that the README shows."""
    for name, look in _SHOWN.items():
        with Image.open(everything / f"{name}-{look}.png") as picture:
            height = round(picture.height * _SHOWN_WIDTH / picture.width)
            small = picture.convert("RGB").resize((_SHOWN_WIDTH, height), Image.Resampling.LANCZOS)
            small.quantize(128).save(out / f"{name}.png", optimize=True)


def main() -> int:
    """Take them all."""
    parser = argparse.ArgumentParser(prog="screenshots")
    parser.add_argument("--out", type=Path, default=_OUT)
    out: Path = parser.parse_args().out
    everything = out / "all"
    everything.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stage = stack.enter_context(Stage())
        stage.init_relay()
        stage.start_relay()
        admin = stage.first_admin()
        places = _fill(stage, admin)
        link = str(admin.start("web", "--no-browser").next_json()["url"])
        browser = stack.enter_context(chromium())
        faults = _console(browser, link, places, everything)
        faults += _public(browser, stage.url, everything)
    _shrink(everything, out)
    for fault in faults:
        print(fault)
    print(f"{len(list(everything.glob('*.png')))} pictures in {everything}; {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
