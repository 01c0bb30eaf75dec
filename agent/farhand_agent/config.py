"""The agent's home: where its files are, what config.toml holds, how files are written.

    config.toml   relay, tenant, device; written last by an enrolment, so its presence is the fact
    device.key    32-byte seed of the device key, 0600        relay.pem   the pinned certificate
    journal.db    farhand_agent.journal                        trust/      verified metadata
    orders/ sessions/   locks and grants of running children   receipts/   what the user keeps
    recordings/   sealed chunks that the relay has not witnessed yet
    policy.toml   the device's own policy                      lock        held by `run`
    versions/     updates of the agent (updates/state.py)      runtime-folder   of its socket

Not for secrets in memory: no key is read here.  A missing `config.toml` means a guest home.
Files are replaced whole (temporary file, fsync, rename, fsync of the folder), never edited.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from farhand_agent.errors import HomeForeign, HomeUnusable, NotEnrolled
from farhand_protocol.complaints import plain_reason
from farhand_protocol.errors import FarhandError

__all__ = [
    "PROGRAM",
    "Home",
    "Settings",
    "load_settings",
    "read_limited",
    "write_atomically",
    "write_settings",
]

PROGRAM: Final = "farhand-agent"
_MAX_CONFIG_BYTES = 64 * 1024
_FOREIGN_FILES: Final = ("farhand.db", "relay.key", "operator.key")


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one home; nothing is created until `make`."""

    path: Path

    @classmethod
    def at(cls, folder: str | Path) -> Home:
        """Return the home at a folder, its path made absolute."""
        return cls(Path(folder).expanduser().absolute())

    @property
    def config(self) -> Path:
        """config.toml."""
        return self.path / "config.toml"

    @property
    def device_key(self) -> Path:
        """The seed of the device key."""
        return self.path / "device.key"

    @property
    def certificate(self) -> Path:
        """The relay's pinned certificate."""
        return self.path / "relay.pem"

    @property
    def journal(self) -> Path:
        """The SQLite journal."""
        return self.path / "journal.db"

    @property
    def trust(self) -> Path:
        """Folder of verified trust metadata and targets."""
        return self.path / "trust"

    @property
    def orders(self) -> Path:
        """Folder of the locks of running orders."""
        return self.path / "orders"

    @property
    def sessions(self) -> Path:
        """Folder of session locks and offered grants."""
        return self.path / "sessions"

    @property
    def receipts(self) -> Path:
        """Folder of receipts, one file per session."""
        return self.path / "receipts"

    @property
    def recordings(self) -> Path:
        """Folder of the sealed chunks that the relay has not witnessed, one folder per session."""
        return self.path / "recordings"

    @property
    def policy(self) -> Path:
        """The device's own policy, which may be absent."""
        return self.path / "policy.toml"

    @property
    def lock(self) -> Path:
        """The lock of the resident process."""
        return self.path / "lock"

    def order_lock(self, order: str) -> Path:
        """Return the lock that the runner of an order holds."""
        return self.orders / f"{order}.lock"

    @property
    def desktop_lock(self) -> Path:
        """Lock that the process of the person's page holds."""
        return self.path / "desktop.lock"

    def session_lock(self, session: str) -> Path:
        """Return the lock that the process of a session holds."""
        return self.sessions / f"{session}.lock"

    def session_approvals(self, session: str) -> Path:
        """Return where the approvals of a session's grant are, one to a line."""
        return self.sessions / f"{session}.approvals"

    def session_actions(self, session: str) -> Path:
        """Return the file of what was done in an open session."""
        return self.sessions / f"{session}.actions"

    def session_before(self, session: str) -> Path:
        """Return where the inventory before an open session is kept."""
        return self.sessions / f"{session}.before"

    @property
    def is_enrolled(self) -> bool:
        """Whether an enrolment was finished here."""
        return self.config.exists()

    def make(self) -> None:
        """Create the home, owner-only, if it is not there.

        Raises:
            HomeForeign: it belongs to another program; nothing was created.
            HomeUnusable: it cannot be created.
        """
        self.refuse_foreign()
        try:
            for folder in (self.path, self.orders, self.sessions, self.receipts):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(
                f"{self.path} cannot be used as a home", detail=str(error)
            ) from error

    def refuse_foreign(self) -> None:
        """Check that this is no console's and no relay's home, before anything is done there.

        Raises:
            HomeForeign: it is.
        """
        try:
            values = tomllib.loads(read_limited(self.config, _MAX_CONFIG_BYTES).decode())
        except (OSError, ValueError, FarhandError):
            values = {}  # what is wrong with it is said by whoever needs it
        program = values.get("program")
        if program == PROGRAM:
            return
        # A relay's config.toml names no program, but its organisation.
        if (
            program is not None
            or values.keys() & {"org", "tenant"}
            or any((self.path / name).exists() for name in _FOREIGN_FILES)
        ):
            raise HomeForeign(str(self.path))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """config.toml of an enrolled device.

    Attributes:
        url: the relay's address, from the token.
        relay_key, device_key: raw Ed25519 public keys, base64.
        tls: `none` (http on loopback), `pinned` (relay.pem alone) or `public` (the system's CAs).
        tls_sha256: hex SHA-256 of the pinned certificate, else empty.
        tenant, device, name, group: who this device is, to whom.
        root_version, root_sha256: the TUF root that the token pinned.
        targets_floor: lowest targets version to accept.
        inventory_interval_s: seconds between looks at the inventory's sections of pace
            `security`, 60 to 86400; the other paces keep their proportion to it.
        inventory_leave_out: sections that this device keeps to itself, neither collected nor sent.
    """

    program: Literal["farhand-agent"]
    url: str
    relay_key: str
    tls: Literal["none", "pinned", "public"]
    tls_sha256: str
    tenant: str
    device: str
    device_key: str
    name: str
    group: str
    root_version: int
    root_sha256: str
    targets_floor: int
    inventory_interval_s: int = 3600
    inventory_leave_out: tuple[str, ...] = ()

    @property
    def relay_key_raw(self) -> bytes:
        """The relay's key as 32 bytes."""
        return _raw_key(self.relay_key)

    @property
    def device_key_raw(self) -> bytes:
        """The device's public key as 32 bytes."""
        return _raw_key(self.device_key)


def _raw_key(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HomeUnusable("config.toml holds a key that cannot be read") from error
    if len(raw) != 32:
        raise HomeUnusable("config.toml holds a key of the wrong length")
    return raw


def load_settings(home: Home) -> Settings:
    """Read config.toml.

    Raises:
        NotEnrolled: there is none.
        HomeForeign: it is another program's.
        HomeUnusable: it cannot be read, or has a key that is not known.
    """
    home.refuse_foreign()
    try:
        data = read_limited(home.config, _MAX_CONFIG_BYTES)
    except FileNotFoundError as error:
        raise NotEnrolled(str(home.path)) from error
    except OSError as error:
        raise HomeUnusable("config.toml cannot be read", detail=str(error)) from error
    try:
        settings = msgspec.convert(tomllib.loads(data.decode()), Settings)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise HomeUnusable(f"config.toml is not valid: {plain_reason(error)}") from error
    if not 60 <= settings.inventory_interval_s <= 86_400:
        raise HomeUnusable("config.toml: inventory_interval_s must be 60 to 86400")
    return settings


def write_settings(home: Home, settings: Settings) -> None:
    """Write config.toml, whole and durable."""
    # A JSON string without control characters is also a TOML basic string (TOML 1.0, String).
    lines = [
        f"{name} = {json.dumps(value)}" for name, value in msgspec.to_builtins(settings).items()
    ]
    write_atomically(home.config, ("\n".join(lines) + "\n").encode())


def read_limited(path: Path, max_bytes: int) -> bytes:
    """Read a small file whole.

    Raises:
        OSError: it cannot be read.
        FarhandError: `file-too-large`.
    """
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise FarhandError("file-too-large", f"{path.name} is larger than {max_bytes} bytes")
    return data


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file so that a crash leaves the old content or the new, never a mixture.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file stands.
    """
    # Not by `tempfile`, which would bring shutil and two compressors into the resident agent.
    name = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
