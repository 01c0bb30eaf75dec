"""The console's home folder: settings, keys, pinned devices, sessions and receipts.

    config.toml    relay address and pinned keys, tenant, account, API token
    relay.pem      the relay's certificate where it is self-signed
    operator.key   the operator's key, OpenSSH format
    devices.json   device keys this console has verified and pinned
    proofs.json    digests of the device proofs it has verified, to save doing it again
    trust/         verified TUF metadata and targets; recovery.key until it is moved away
    campaigns/     what was asked for in each campaign that was made or agreed to here
    sessions/ID/   what one open session needs (grant, console key, host key)
    receipts/      receipts this console has countersigned

    audit-heads.jsonl  every head of the relay's audit that this console was shown

A home belongs to one program; another program's home is refused.  Files are replaced whole (write
beside, fsync, rename), so a crash leaves either the old or the new one.  Whoever changes a file by
what is in it holds `Home.locked` meanwhile: several consoles may work on one home.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from farhand_protocol.complaints import plain_reason
from farhand_protocol.errors import FarhandError

__all__ = ["Home", "Settings", "default_home", "write_private"]

_PROGRAM = "farhand"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `farhand login` leaves behind.

    `relay_key` is hex; `tls_sha256` hex of the pinned certificate, empty for a public one;
    `root_version` and `root_sha256` pin the trust root (0 and empty: not pinned yet).
    """

    program: str = _PROGRAM
    url: str
    relay_key: str
    tls_sha256: str
    tenant: str
    organisation: str
    account: str
    role: str
    api_token: str
    root_version: int = 0
    root_sha256: str = ""
    key_file: str = ""

    def __repr__(self) -> str:
        return f"Settings(url={self.url!r}, account={self.account!r})"


def default_home() -> Path:
    """Return FARHAND_HOME, else ~/.config/farhand."""
    given = os.environ.get("FARHAND_HOME")
    return Path(given) if given else Path.home() / ".config" / "farhand"


def write_private(path: Path, data: bytes) -> None:
    """Replace a file atomically, readable by its owner only.

    Raises:
        FarhandError: `home-unwritable` when the disk is full or the folder not writable.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            with contextlib.suppress(OSError):  # the first error says more
                beside.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise FarhandError(
            "home-unwritable", f"cannot write {path}: {error.strerror}", detail=str(error)
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Home:
    """One console home on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def config_file(self) -> Path:
        """Return where the settings are kept."""
        return self.folder / "config.toml"

    @property
    def certificate_file(self) -> Path:
        """Return where a pinned certificate is kept."""
        return self.folder / "relay.pem"

    @contextlib.contextmanager
    def locked(self, name: str, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold one of the home's locks against other consoles; waits for its turn.

        Args:
            name: of what is locked: home, devices, audit-heads, trust, or the opening of a session.
                Not to be taken twice.
            on_wait: called once when another console has it just now.

        Raises:
            FarhandError: `home-unwritable`.
        """
        file = self.folder / f".{name}.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FarhandError(
                "home-unwritable", f"cannot write {file}: {error.strerror}", detail=str(error)
            ) from error
        try:
            if on_wait is not None:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def key_file(self) -> Path:
        """Return the operator's key file."""
        settings = self.settings_or_none()
        if settings and settings.key_file:
            return Path(settings.key_file)
        return self.folder / "operator.key"

    def settings_or_none(self) -> Settings | None:
        """Return the settings, or None before the first login.

        Raises:
            FarhandError: `home-unreadable`, `home-foreign`.
        """
        try:
            raw = self.config_file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FarhandError("home-unreadable", f"cannot read {self.config_file}") from error
        try:
            values = tomllib.loads(raw.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FarhandError("home-unreadable", f"{self.config_file} is damaged") from error
        if values.get("program") != _PROGRAM:
            raise FarhandError(
                "home-foreign",
                f"{self.folder} belongs to another program",
                hint="give the console a folder of its own with --home",
            )
        try:
            return msgspec.convert(values, Settings)
        except msgspec.ValidationError as error:
            raise FarhandError(
                "home-unreadable", f"{self.config_file}: {plain_reason(error)}"
            ) from error

    def settings(self) -> Settings:
        """Return the settings.

        Raises:
            FarhandError: `not-signed-in` before the first login; as `settings_or_none`.
        """
        settings = self.settings_or_none()
        if settings is None:
            raise FarhandError(
                "not-signed-in",
                "this home is not signed in to a relay",
                hint="farhand login URL --token TOKEN",
            )
        return settings

    def save(self, settings: Settings) -> None:
        """Store the settings."""
        # TOML's basic strings are JSON's, but for DEL, which the relay's words may hold.
        lines = [
            f"{name} = {msgspec.json.encode(value).decode()}".replace("\x7f", "\\u007f")
            for name, value in msgspec.to_builtins(settings).items()
        ]
        write_private(self.config_file, ("\n".join(lines) + "\n").encode())

    def update(self, **changes: object) -> Settings:
        """Store the settings with some values changed and return them."""
        with self.locked("home"):
            settings = msgspec.structs.replace(self.settings(), **changes)
            self.save(settings)
        return settings
