"""Programs of another user of this computer, for real: processes with her user id.

Python itself may lie where only root goes, so everything is imported before the id is given up; the
templates and words in the checkout are read afterwards, which must be everybody's to read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import farhand_agent

_BECOME = """
import os, sys
uid = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
assert os.getresuid() == (uid, uid, uid)
"""
_PROGRAM = f"""
import asyncio.unix_events, concurrent.futures.thread, encodings.ascii, encodings.idna
import encodings.latin_1, encodings.unicode_escape, grp, http.server, pwd, stringprep, webbrowser
import jinja2.ext, click.shell_completion
import farhand_agent.cli, farhand_agent.desktop.command, farhand_agent.desktop.process
import farhand_agent.help_request, farhand_agent.receipts, farhand_agent.session.command
{_BECOME}
farhand_agent.cli.main()
"""
# A browser with scripts off: it begins a code, tells it, says yes, and presses Stop when told to.
_BROWSER = f"""
import encodings.ascii, encodings.idna, http.client, re, time
from urllib.parse import urlencode, urlsplit
{_BECOME}
way_in = urlsplit(sys.argv[1])
link = http.client.HTTPConnection(way_in.netloc, timeout=60)
cookie = ""

def ask(method, path, fields=()):
    global cookie
    headers = {{"Cookie": cookie, "Origin": f"http://{{way_in.netloc}}"}}
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    link.request(method, path, urlencode(fields) if method == "POST" else None, headers)
    answer = link.getresponse()
    html = answer.read().decode()
    cookie = (answer.getheader("Set-Cookie") or cookie).partition(";")[0]
    return (answer.getheader("Location") or path) if answer.status == 303 else html

def until(pattern):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := re.search(pattern, html := ask("GET", place), re.S):
            return found, html
        time.sleep(0.1)
    raise SystemExit(f"{{pattern}} never came: {{html}}")

def tell(*words):
    print(*words, flush=True)

base = ask("GET", f"{{way_in.path}}?{{way_in.query}}")
tell("home", "no sound" in ask("GET", base + "home"))
place = ask("POST", base + "code")
tell("code", until('id="the-code"[^>]*>([^<]*)<')[0][1])
found, html = until('name="ask" value="([0-9]+)"')
fields = [("scope", one) for one in re.findall('name="scope" value="([a-z]+)"', html)]
fields += [("ask", found[1]), ("decision", "allow")]
while 'name="ask"' in ask("GET", place):
    ask("POST", place + "/answer", fields)
    time.sleep(0.3)
until(f'{{place}}/stop')
tell("open")
sys.stdin.readline()
ask("POST", place + "/stop")
tell("receipt", until("([^ <>]+) agreed at this computer")[0][1])
"""


def why_not() -> str:
    """Return why this cannot be tried here; empty where it can."""
    if os.geteuid() != 0:
        return "only root becomes another user"
    folder = Path(farhand_agent.__file__).parent
    shut = [one for one in (folder, *folder.parents) if not one.stat().st_mode & 0o001]
    return f"{shut[0]} is not everybody's to read" if shut else ""


def command(uid: int, *arguments: str) -> list[str]:
    """Return how that user's `farhand-agent` is started."""
    return [sys.executable, "-P", "-c", _PROGRAM, str(uid), *arguments]


def browser(uid: int, url: str) -> list[str]:
    """Return how that user's browser is started."""
    return [sys.executable, "-P", "-c", _BROWSER, str(uid), url]


@contextmanager
def surroundings(uid: int) -> Iterator[dict[str, str]]:
    """Make that user a runtime folder; yields the environment of her programs."""
    folder = Path(tempfile.mkdtemp(prefix="user-", dir="/tmp"))
    os.chown(folder, uid, uid)
    names = ("PATH", "PYTHONPATH", "FARHAND_TEST_SESSION", "PYTEST_CURRENT_TEST")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    try:
        yield {**kept, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "FARHAND_LANG": "en"}
    finally:
        shutil.rmtree(folder)


def run(uid: int, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run that user's `farhand-agent` to its end."""
    done = subprocess.run(
        command(uid, *arguments), env=env, cwd="/", capture_output=True, text=True, check=False,
        timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done
