"""The relay's home on disk: made by `init`, opened by everything else.

    config.toml   settings (config.py)          relay.key   32-byte seed, 0600
    tls/          own certificate, if any        farhand.db  the SQLite database, if none is named
    lock          held by a running relay on SQLite

`make_home` builds the home beside its place and moves it there when all of it stands, so a failed
`init` leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import insert, select

from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.keys import SeedSigner
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.tokens import make_tokens
from farhand_server.app import assemble
from farhand_server.bus.bus import Bus
from farhand_server.bus.local import LocalBus
from farhand_server.certificate import make_self_signed, pinned_fingerprint
from farhand_server.clock import SystemClock
from farhand_server.config import (
    KEY_NAME,
    Settings,
    check_not_foreign,
    check_url,
    is_loopback,
    parse_listen,
    write_settings,
)
from farhand_server.relay import Relay
from farhand_server.store.database import Database
from farhand_server.store.schema import tenants
from farhand_server.store.transfer import adopt
from farhand_server.tasks import Tasks

__all__ = [
    "MadeHome",
    "beside",
    "check_vacant",
    "check_writable",
    "lock_home",
    "make_home",
    "open_bus",
    "open_relay",
    "read_signer",
    "tls_fingerprint",
    "write_private",
]

_SEED_BYTES = 32
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound


class MadeHome(msgspec.Struct, frozen=True, kw_only=True):
    """What `init` prints."""

    url: str
    admin: str
    signin_token: str
    relay_key: bytes

    def __repr__(self) -> str:
        return f"MadeHome(url={self.url!r})"


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read, safely on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_signer(home: Path) -> SeedSigner:
    """Read the relay key.

    Raises:
        FarhandError: `relay-key-missing`, `relay-key-malformed`.
    """
    try:
        seed = (home / KEY_NAME).read_bytes()
    except OSError as error:
        raise FarhandError(
            "relay-key-missing",
            f"the relay's key {home / KEY_NAME} cannot be read",
            hint="restore it from a backup; devices know this relay by it",
            detail=str(error),
        ) from error
    if len(seed) != _SEED_BYTES:
        raise FarhandError("relay-key-malformed", f"{home / KEY_NAME} is not a key of 32 bytes")
    return SeedSigner(seed)


def _plan(
    home: Path,
    *,
    org: str,
    listen: str,
    url: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    proxied: bool,
    database: str | None,
    bus: str | None,
) -> Settings:
    """Check what `init` was given and return the settings to write."""
    host, port = parse_listen(listen)
    if port == 0:
        raise UsageError(
            "listen-port", "a relay needs a fixed port, because tokens carry its address"
        )
    if not org.strip() or len(org) > 200 or not org.isprintable():
        raise UsageError(
            "org-name", "the organisation's name has 1 to 200 characters, all of them printable"
        )
    if url is None:
        if host in _EVERYWHERE:
            raise UsageError(
                "url-needed",
                "a relay that listens everywhere must be told the address devices dial",
                hint="--url https://HOST:PORT",
            )
        shown = f"[{host}]" if ":" in host else host
        url = f"{'http' if is_loopback(host) else 'https'}://{shown}:{port}"
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("tls-files", "--tls-cert and --tls-key go together")
    return Settings(
        home=str(home),
        tenant=make_id("n", secrets.token_bytes(10)),
        org=org.strip(),
        url=check_url(url),
        listen=listen,
        database=database or "",
        bus=bus or "",
        tls_cert=str(Path(tls_cert).absolute()) if tls_cert else "",
        tls_key=str(Path(tls_key).absolute()) if tls_key else "",
        proxied=proxied,
    )


async def make_home(
    home: Path,
    *,
    org: str,
    admin: str,
    listen: str,
    url: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    proxied: bool = False,
    database: str | None = None,
    bus: str | None = None,
) -> MadeHome:
    """Make a relay's home with its key, its database and the first admin.

    Raises:
        UsageError: what `_plan` refuses; FarhandError: `home-exists`, `home-foreign`,
            `home-unwritable`, `tls-certificate`, what the database raises.
    """
    home = home.absolute()
    check_vacant(home)
    settings = _plan(
        home,
        org=org,
        listen=listen,
        url=url,
        tls_cert=tls_cert,
        tls_key=tls_key,
        proxied=proxied,
        database=database,
        bus=bus,
    )
    with beside(home) as draft:
        settings = _with_certificate(draft, settings)
        write_private(draft / KEY_NAME, secrets.token_bytes(_SEED_BYTES))
        write_settings(draft, settings)
        return await _first_admin(msgspec.structs.replace(settings, home=str(draft)), admin)


def check_vacant(home: Path) -> None:
    """Check that a home can be made here: nothing is there, or an empty folder.

    Raises:
        FarhandError: `home-foreign`, `home-exists`, `home-unwritable`.
    """
    try:
        taken = home.exists() and (not home.is_dir() or any(home.iterdir()))
    except OSError as error:
        raise _unwritable(home, error) from error
    if taken:
        check_not_foreign(home)
        raise FarhandError(
            "home-exists", f"{home} is there already and is not empty", hint="name another folder"
        )


def check_writable(settings: Settings) -> None:
    """Check that the home can be written where the database is kept in it.

    Raises:
        FarhandError: `home-unwritable`.
    """
    if settings.database:
        return
    try:
        # Tried, because mode bits say nothing of a file system that is mounted read-only.
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        raise _unwritable(Path(settings.home), error) from error


def _unwritable(path: Path, error: OSError) -> FarhandError:
    return FarhandError(
        "home-unwritable",
        f"{path} cannot be written: {error.strerror or error}",
        hint="look at its permissions, its mount and the space on its disk",
    )


@contextlib.contextmanager
def beside(home: Path) -> Iterator[Path]:
    """Yield a folder next to `home` that takes its place on success and vanishes otherwise."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    except OSError as error:
        raise _unwritable(home, error) from error
    try:
        yield draft
        try:
            os.rename(draft, home)
        except OSError as error:
            raise _unwritable(home, error) from error
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _with_certificate(draft: Path, settings: Settings) -> Settings:
    """Make a certificate where https is served here and none was given."""
    parts = urlsplit(settings.url)
    if parts.scheme != "https" or settings.proxied:
        return settings
    if settings.tls_cert:
        pinned_fingerprint(Path(settings.tls_cert))
        return settings
    certificate, key = make_self_signed(str(parts.hostname), now=SystemClock().now())
    (draft / "tls").mkdir(mode=0o700)
    write_private(draft / "tls" / "cert.pem", certificate)
    write_private(draft / "tls" / "key.pem", key)
    return msgspec.structs.replace(settings, tls_cert="tls/cert.pem", tls_key="tls/key.pem")


async def _first_admin(settings: Settings, admin: str) -> MadeHome:
    async with open_relay(settings, adopting=False) as relay:
        async with relay.db.write() as c:
            await c.execute(
                insert(tenants).values(id=relay.tenant, name=settings.org, created_at=relay.stamp())
            )
            account = await relay.service(make_directory).add(
                c, name=admin, role="admin", actor="cli"
            )
            token = await relay.service(make_tokens).issue_signin(c, account.id)
        return MadeHome(
            url=settings.url,
            admin=admin,
            signin_token=token,
            relay_key=relay.signer.public_key,
        )


def tls_fingerprint(settings: Settings) -> bytes:
    """Return what tokens pin: empty without an own, self-signed certificate."""
    if not settings.tls_cert:
        return b""
    return pinned_fingerprint(settings.path(settings.tls_cert))


@contextlib.asynccontextmanager
async def open_relay(
    settings: Settings, *, connect_bus: bool = False, adopting: bool = True
) -> AsyncIterator[Relay]:
    """Wire the relay of a home, with its database migrated; close everything at the end.

    Args:
        settings: from `load_settings`.
        connect_bus: connect the bus that the settings name; else it is in-process, which is
            enough for the command line.
        adopting: require the organisation in the database, and move the rows of the home's own
            SQLite database into another, empty one.

    Raises:
        FarhandError: `home-unwritable`, `store-tenant`, what database and bus raise.
    """
    signer = read_signer(Path(settings.home))
    check_writable(settings)
    tasks = Tasks()
    async with contextlib.AsyncExitStack() as stack:
        db = Database(settings.database_url)
        stack.push_async_callback(db.close)
        await db.migrate()
        if adopting:
            await adopt(db, Path(settings.home) / "farhand.db")
            await _require_tenant(db, settings)
        bus: Bus = LocalBus(tasks)
        if connect_bus and settings.bus:
            bus = await open_bus(settings.bus, tasks)
        stack.push_async_callback(bus.close)
        stack.push_async_callback(tasks.aclose)
        yield assemble(
            settings,
            db=db,
            bus=bus,
            signer=signer,
            tasks=tasks,
            tls_sha256=tls_fingerprint(settings),
        )


async def open_bus(url: str, tasks: Tasks) -> Bus:
    """Connect to NATS; raises `bus-unreachable`, UsageError `extra-missing`."""
    try:
        # Late, because NATS is an extra that a relay on one machine does not install.
        from farhand_server.bus.nats import connect_nats
    except ModuleNotFoundError as error:
        raise UsageError(
            "extra-missing",
            "NATS needs the package nats-py",
            hint="pip install 'farhand-server[nats]'",
        ) from error
    return await connect_nats(url, tasks)


async def _require_tenant(db: Database, settings: Settings) -> None:
    async with db.read() as c:
        found = (await c.execute(select(tenants.c.id))).scalars().all()
    if list(found) != [settings.tenant]:
        raise FarhandError(
            "store-tenant",
            "this database does not belong to this home",
            hint="check --database, or restore a backup",
        )


@contextlib.contextmanager
def lock_home(settings: Settings) -> Iterator[None]:
    """Hold the home for one running relay; several nodes share only a PostgreSQL database.

    Raises:
        FarhandError: `home-locked`, `home-unwritable`.
    """
    if settings.database_url.startswith("postgresql"):
        yield
        return
    path = Path(settings.home) / "lock"
    try:
        file = path.open("w")
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FarhandError("home-locked", f"another relay runs on {settings.home}") from error
        yield
