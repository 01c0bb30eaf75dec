"""A relay, one device and one open session, as processes, for the session suites."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farhand_console.cli.base import Context
from farhand_console.home import Home
from farhand_console.session.record import SessionRecord, load
from tests.support.front import Front
from tests.support.stage import AgentHome, ConsoleHome, Process, Stage

__all__ = ["Opened", "open_session"]


@dataclass
class Opened:
    """What a suite works with."""

    stage: Stage
    console: ConsoleHome
    agent: AgentHome
    helper: Process
    session: str

    def context(self) -> Context:
        """Return the console's relay connection."""
        return Context(Home(self.console.home), as_json=True)

    def record(self) -> SessionRecord:
        """Return what the console keeps of the session."""
        return load(Home(self.console.home), self.session)

    def pids(self) -> dict[str, int]:
        """Return the device's session process and the relay."""
        assert self.stage.relay is not None
        return {"session": _child_of(self.helper.popen.pid), "relay": self.stage.relay.popen.pid}


@contextlib.contextmanager
def open_session(
    *,
    scopes: str = "view,terminal,files",
    forward_to: str = "",
    policy: tuple[str, ...] = (),
    front: Front | None = None,
) -> Iterator[Opened]:
    """Open one session by code.

    Args:
        scopes: asked for and offered.
        forward_to: HOST:PORT for the scope forward.
        policy: options of `trust policy` for the device's group.
        front: what everybody dials instead of the relay.
    """
    with Stage() as stage:
        if front is None:
            stage.init_relay()
        else:
            front.devices_go_to = front.others_go_to = stage.port
            stage.url = front.url
            stage.init_relay(url=front.url)
        stage.start_relay()
        console = stage.first_admin(library=False)
        if policy:
            console.json("trust", "policy", "bench", *policy)
        agent = stage.agent("bench")
        agent.enrol(console.json("token", "create", "--group", "bench")["token"])
        agent.start()
        helper = agent.code("--yes", "--scope", scopes)
        code = helper.next_json()["code"]
        to = ("--forward-to", forward_to) if forward_to else ()
        opened = console.json("session", "open", "--code", code, "--scope", scopes, *to)
        yield Opened(stage, console, agent, helper, opened["session"])


def _child_of(parent: int) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                status = (folder / "stat").read_text()
            except OSError:
                continue  # not a process, or gone a moment ago
            its_parent = int(status.rsplit(")", 1)[1].split()[1])
            if its_parent == parent and b"farhand_agent.session" in words:
                return int(folder.name)
        time.sleep(0.1)
    raise AssertionError("the session has no process")
