"""Puts the agent's service into a system and takes it out again; done twice, it changes nothing.

With another root than "/" (an image, a test) only files are written: no account is made, no service
manager is called, and the answer says so.  Every step says what it did: `made`, `changed`, `kept`,
`removed` or `skipped`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from farhand_agent.config import write_atomically
from farhand_agent.install.launchd import LABEL, plist_bytes, user_commands
from farhand_agent.install.places import Places
from farhand_agent.install.systemd import UNIT_NAME, drop_in_text, unit_text
from farhand_agent.install.windows import SERVICE_NAME, install_commands, remove_commands
from farhand_agent.platforms.commands import CommandMissing, Runner, run
from farhand_protocol.errors import FarhandError

__all__ = ["Installation", "Step", "StepState"]

StepState = Literal["made", "changed", "kept", "removed", "skipped"]
_COMMAND_S: Final = 60.0
_SYSTEMD: Final = Path("/run/systemd/system")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, or found done."""

    what: str
    state: StepState


@dataclass(slots=True)
class Installation:
    """One installation.

    Args:
        platform: as `platform_name` says.
        places: where its parts are.
        program: how the installed agent is started, without its subcommand.
        user: name of its account.
        privileges: by name; None leaves what an earlier call granted.
        runner: starts commands.
    """

    platform: str
    places: Places
    program: Sequence[str]
    user: str
    privileges: Sequence[str] | None = None
    runner: Runner = run
    steps: list[Step] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether this is the running system itself."""
        return self.places.root == Path("/")

    @property
    def home(self) -> Path:
        """Where the home is now."""
        return self.places.under(self.places.home)

    @property
    def is_enrolled(self) -> bool:
        """Whether the device is enrolled in that home."""
        return (self.home / "config.toml").exists()

    # Installing.

    def install(self) -> bool:
        """Make account, home and service; start it where the device is enrolled.

        Returns:
            Whether it was started.

        Raises:
            FarhandError: `install-failed`.
        """
        try:
            self._make_user()
            self._make_home()
            if self.platform == "windows":
                return self._install_windows()
            changed = self._write_service()
            return self._start(changed=changed)
        except OSError as error:
            raise FarhandError(
                "install-failed",
                f"{error.filename or 'a file'}: {error.strerror}",
                hint="installing needs root",
            ) from error

    def _make_user(self) -> None:
        what = f"account {self.user}"
        if self.platform == "windows":
            return  # the service manager makes virtual accounts by itself
        if not self.is_live:
            self._did(what, "skipped")
        elif _user_id(self.user) is not None:
            self._did(what, "kept")
        elif self.platform == "macos":
            for argv in user_commands(self.user, self.places.home, taken=_taken_ids()):
                self._call(argv)
            self._did(what, "made")
        else:
            # A shell, because a technician's terminal is one; no password, so nobody signs in.
            self._call(
                ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/sh",
                 "--home-dir", self.places.home, "--comment", "Farhand agent", self.user]
            )  # fmt: skip
            self._did(what, "made")

    def _make_home(self) -> None:
        home = self.home
        state: StepState = "kept"
        if not home.is_dir():
            home.mkdir(mode=0o700, parents=True)
            state = "made"
        if self.is_live and self.platform != "windows":
            import pwd  # there is none on Windows

            owner = "root" if "root" in (self.privileges or ()) else self.user
            entry = pwd.getpwnam(owner)
            # An existing one belongs to whom an earlier call gave it; systemd hands it over.
            if state == "made":
                os.chown(home, entry.pw_uid, entry.pw_gid)
        self._did(f"home {self.places.home}", state)

    def _write_service(self) -> bool:
        places, home = self.places, self.places.home
        changed = False
        packaged = places.packaged_service
        if packaged is not None and places.under(packaged).exists():
            self._did(f"service {packaged}", "kept")
        else:
            assert places.service is not None
            data = (
                plist_bytes(self.program, user=self._service_user(), home=home)
                if self.platform == "macos"
                else unit_text(self.program, user=self.user, home=home).encode()
            )
            changed = self._write(places.service, data)
        if places.drop_in is not None and self.privileges is not None:
            if self.privileges:
                changed |= self._write(places.drop_in, drop_in_text(self.privileges).encode())
            else:
                changed |= self._remove(places.drop_in)
        return changed

    def _service_user(self) -> str:
        return "root" if "root" in (self.privileges or ()) else self.user

    def _start(self, *, changed: bool) -> bool:
        if not self.is_live:
            self._did("starting", "skipped")
            return False
        if self.platform == "macos":
            domain, path = "system", self.places.service or ""
            if changed:
                self._call(["launchctl", "bootout", f"{domain}/{LABEL}"], may_fail=True)
            self._call(["launchctl", "bootstrap", domain, path], may_fail=not changed)
            self._did("starting", "made" if changed else "kept")
            return self.is_enrolled
        if not _SYSTEMD.is_dir():
            self._did("starting (systemd does not run here)", "skipped")
            return False
        if changed:
            self._call(["systemctl", "daemon-reload"])
        self._call(["systemctl", "enable", "--quiet", UNIT_NAME])
        if not self.is_enrolled:
            self._did("starting (not enrolled yet)", "skipped")
            return False
        self._call(["systemctl", "restart" if changed else "start", UNIT_NAME])
        self._did("starting", "changed" if changed else "kept")
        return True

    def _install_windows(self) -> bool:
        if not self.is_live:
            self._did("service", "skipped")
            return False
        exists = self._call(["sc.exe", "query", SERVICE_NAME], may_fail=True)
        for argv in install_commands(
            self.program[0],
            home=self.places.home,
            is_root="root" in (self.privileges or ()),
            exists=exists,
        ):
            self._call(argv)
        self._did(f"service {SERVICE_NAME}", "changed" if exists else "made")
        return self.is_enrolled and self._call(["sc.exe", "start", SERVICE_NAME], may_fail=True)

    # Taking away.

    def uninstall(self, *, purge: bool) -> None:
        """Stop and remove the service; with `purge` the home and the account too.

        Raises:
            FarhandError: `install-failed`.
        """
        places = self.places
        try:
            if self.platform == "windows":
                if self.is_live:
                    for argv in remove_commands():
                        self._call(argv, may_fail=True)
                self._did(f"service {SERVICE_NAME}", "removed" if self.is_live else "skipped")
            else:
                self._stop()
                for path in (places.drop_in, places.service):
                    if path is not None:
                        self._remove(path)
                if self.is_live and self.platform == "linux" and _SYSTEMD.is_dir():
                    self._call(["systemctl", "daemon-reload"])
            if purge:
                self._purge()
        except OSError as error:
            raise FarhandError(
                "install-failed",
                f"{error.filename or 'a file'}: {error.strerror}",
                hint="this needs root",
            ) from error

    def _stop(self) -> None:
        if not self.is_live:
            return
        if self.platform == "macos":
            self._call(["launchctl", "bootout", f"system/{LABEL}"], may_fail=True)
        elif _SYSTEMD.is_dir():
            self._call(["systemctl", "disable", "--now", "--quiet", UNIT_NAME], may_fail=True)

    def _purge(self) -> None:
        if self.home.is_dir():
            shutil.rmtree(self.home)
            self._did(f"home {self.places.home}", "removed")
        if self.is_live and self.platform == "linux" and _user_id(self.user) is not None:
            self._call(["userdel", self.user])
            self._did(f"account {self.user}", "removed")

    # What both need.

    def _did(self, what: str, state: StepState) -> None:
        self.steps.append(Step(what, state))

    def _write(self, path: str, data: bytes) -> bool:
        place = self.places.under(path)
        try:
            before: bytes | None = place.read_bytes()
        except FileNotFoundError:
            before = None
        if before == data:
            self._did(path, "kept")
            return False
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomically(place, data, mode=0o644)
        self._did(path, "made" if before is None else "changed")
        return True

    def _remove(self, path: str) -> bool:
        place = self.places.under(path)
        if not place.exists():
            return False
        place.unlink()
        if place.parent.name.endswith(".d") and not any(place.parent.iterdir()):
            place.parent.rmdir()
        self._did(path, "removed")
        return True

    def _call(self, argv: Sequence[str], *, may_fail: bool = False) -> bool:
        """Run a command of the system; returns whether it succeeded.

        Raises:
            FarhandError: `install-failed`, unless it may fail.
        """
        try:
            done = self.runner(argv, timeout_s=_COMMAND_S)
        except CommandMissing:
            if may_fail:
                return False
            raise
        if done.exit_code and not may_fail:
            said = (done.error_text or done.text).strip()[-300:]
            raise FarhandError(
                "install-failed", f"{argv[0]} ended with {done.exit_code}", detail=said, hint=said
            )
        return done.exit_code == 0


def _user_id(name: str) -> int | None:
    import pwd  # there is none on Windows

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _taken_ids() -> frozenset[int]:
    # There are none on Windows.
    import grp
    import pwd

    return frozenset(
        [entry.pw_uid for entry in pwd.getpwall()] + [group.gr_gid for group in grp.getgrall()]
    )
