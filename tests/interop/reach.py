"""Devices with open sessions as stock SSH tools see them, by proxy or through the jump port."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.stage import ConsoleHome, Stage, free_port

NAMES = ("alpha", "beta", "gamma")
WAYS = ("proxy", "jump")
_SCOPES = "view,terminal,files,forward"


@dataclass(frozen=True)
class Field:
    """A relay with a jump port, one technician, and three devices that let her in."""

    stage: Stage
    admin: ConsoleHome
    technician: ConsoleHome
    devices: dict[str, str]
    sessions: dict[str, str]
    forward_to: int
    jump_port: int

    def open_session(self, name: str) -> None:
        """Have a device let the technician in, by a code."""
        shown = self.stage.agent(name).code("--yes", "--scope", _SCOPES)
        opened = self.technician.json(
            "session", "open", "--code", shown.next_json()["code"],
            "--scope", _SCOPES, "--forward-to", f"127.0.0.1:{self.forward_to}",
        )  # fmt: skip
        self.devices[name], self.sessions[name] = opened["device"], opened["session"]

    def config(self, way: str, folder: Path) -> Path:
        """Write ssh's configuration for `proxy` or `jump` and return its path."""
        options = ("--jump",) if way == "jump" else ()
        path = folder / f"config-{way}"
        path.write_text(self.technician.json("ssh-config", *options)["config"])
        return path


def open_field(stage: Stage, forward_to: int) -> Field:
    """Start everything; `forward_to` is a port that sessions may be forwarded to."""
    admin, technician = stage.settle(library=False)
    jump_port = free_port()
    stage.start_relay("--jump", f"127.0.0.1:{jump_port}")
    admin.run("trust", "policy", "*", "--forward-to", f"127.0.0.1:{forward_to}")
    field = Field(stage, admin, technician, {}, {}, forward_to, jump_port)
    for name in NAMES:
        agent = stage.agent(name)
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        field.open_session(name)
    return field


@dataclass(frozen=True)
class Reach:
    """One way to the devices."""

    field: Field
    way: str
    config: Path

    @property
    def device(self) -> str:
        """Return the id of the first device."""
        return self.field.devices["alpha"]

    def ssh(
        self, program: str, *arguments: str, stdin: bytes = b"", expect: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a stock program with the configuration."""
        done = subprocess.run(
            [program, "-F", str(self.config), *arguments],
            input=stdin,
            capture_output=True,
            timeout=90,
            env=self.field.stage.env,
            check=False,
        )
        assert done.returncode == expect, done.stderr.decode(errors="replace")
        return done
