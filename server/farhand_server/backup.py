"""Backups: one tar file with the home's keys and settings, and the database.

    manifest.json     {"version", "made_at", "tenant", "revision", "files": {NAME: SHA-256}}
    config.toml  relay.key  tls/...          as they are in the home; jump.key where a jump port was
    farhand.db        SQLite: a consistent copy (SQLite's online backup), or
    rows.jsonl        PostgreSQL: all rows (store.transfer), from one snapshot

The file is 0600: it holds the relay's key.  `restore` checks every hash before it writes anything
and only ever makes a new home.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import msgspec
from sqlalchemy import func, select

from farhand_protocol.errors import FarhandError
from farhand_server.clock import SystemClock, stamp
from farhand_server.config import CONFIG_NAME, JUMP_KEY_NAME, KEY_NAME, Settings, load_settings
from farhand_server.home import beside, check_vacant, check_writable, read_signer
from farhand_server.store.database import Database
from farhand_server.store.revisions import newest_revision
from farhand_server.store.schema import tenants
from farhand_server.store.transfer import dump_rows, load_rows

__all__ = ["make_backup", "restore_backup"]

_VERSION = 1
_DATABASE = "farhand.db"
_ROWS = "rows.jsonl"
_MANIFEST = "manifest.json"
_HOME_FILES = (CONFIG_NAME, KEY_NAME, JUMP_KEY_NAME, "tls/cert.pem", "tls/key.pem")
_ALLOWED = {*_HOME_FILES, _DATABASE, _ROWS, _MANIFEST}
_MAX_SMALL_BYTES = 1024 * 1024


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in a backup."""

    version: int
    made_at: str
    tenant: str
    revision: str
    files: dict[str, str]


async def make_backup(settings: Settings, file: Path) -> Manifest:
    """Write a backup of a home; the relay may be running.

    Raises:
        FarhandError: `backup-exists`, `backup-unwritable`, `home-unwritable`, what the database
            raises.
    """
    home = Path(settings.home)
    read_signer(home)
    check_writable(settings)
    db = Database(settings.database_url)
    try:
        await db.require_current()
        with tempfile.TemporaryDirectory(prefix=".backup.", dir=home) as folder:
            if db.dialect == "sqlite":
                rows = Path(folder) / _DATABASE
                source = Path(str(db.url.database))
                await anyio.to_thread.run_sync(_copy_sqlite, source, rows)
            else:
                rows = Path(folder) / _ROWS
                with rows.open("wb") as out:
                    async with db.read() as c:
                        async for line in dump_rows(c):
                            out.write(line)
            parts = {rows.name: rows} | _home_files(home)
            return await anyio.to_thread.run_sync(_pack, settings, file, parts)
    finally:
        await db.close()


def _home_files(home: Path) -> dict[str, Path]:
    return {name: home / name for name in _HOME_FILES if (home / name).exists()}


def _copy_sqlite(source: Path, target: Path) -> None:
    try:
        with (
            contextlib.closing(sqlite3.connect(source)) as reading,
            contextlib.closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as error:
        raise FarhandError(
            "backup-unwritable", f"the database cannot be copied: {error}"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(settings: Settings, file: Path, parts: dict[str, Path]) -> Manifest:
    manifest = Manifest(
        version=_VERSION,
        made_at=stamp(SystemClock().now()),
        tenant=settings.tenant,
        revision=newest_revision(),
        files={name: _sha256(path) for name, path in sorted(parts.items())},
    )
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if file.exists():
            raise FarhandError(
                "backup-exists", f"{file} is there already", hint="name another file"
            )
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as archive:
                body = msgspec.json.format(msgspec.json.encode(manifest))
                with tempfile.TemporaryFile() as text:
                    text.write(body)
                    text.seek(0)
                    archive.addfile(_entry(_MANIFEST, len(body)), text)
                for name, path in sorted(parts.items()):
                    with path.open("rb") as content:
                        archive.addfile(_entry(name, path.stat().st_size), content)
            out.flush()
            os.fsync(out.fileno())
        os.rename(draft, file)
    except OSError as error:
        raise FarhandError(
            "backup-unwritable", f"{file} cannot be written: {error.strerror or error}"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o600
    return entry


async def restore_backup(home: Path, file: Path, *, database: str | None = None) -> Manifest:
    """Make a home from a backup; all hashes are checked first.

    Args:
        home: must be missing or empty.
        file: from `make_backup`.
        database: for a backup of PostgreSQL, the empty database to fill, if it is another than
            the one in its config.toml.

    Raises:
        FarhandError: `home-exists`, `home-foreign`, `backup-missing`, `backup-malformed`,
            `backup-newer`, `backup-database`, `home-unwritable`, what the database raises.
    """
    home = home.absolute()
    check_vacant(home)
    with beside(home) as draft:
        manifest = await anyio.to_thread.run_sync(_unpack, file, draft)
        settings = load_settings(draft, {"database": database})
        read_signer(draft)
        if settings.tenant != manifest.tenant:
            raise _malformed("the settings in it are of another organisation")
        rows = draft / _ROWS
        db = Database(settings.database_url)
        try:
            await db.migrate()
            if rows.exists():
                await _fill(db, rows)
                rows.unlink()
        finally:
            await db.close()
    return manifest


async def _fill(db: Database, rows: Path) -> None:
    with rows.open("rb") as lines:
        async with db.write() as c:
            if await c.scalar(select(func.count()).select_from(tenants)):
                raise FarhandError(
                    "backup-database",
                    "the database to restore into is not empty",
                    hint="name an empty one with --database",
                )
            await load_rows(c, lines)


def _malformed(words: str) -> FarhandError:
    return FarhandError("backup-malformed", f"this is not a whole backup: {words}")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, mode="r:") as archive:
            yield archive
    except FileNotFoundError as error:
        raise FarhandError("backup-missing", f"there is no file {file}") from error
    except (tarfile.TarError, EOFError) as error:
        raise _malformed("it cannot be read as a tar file") from error


def _unpack(file: Path, draft: Path) -> Manifest:
    with _opened(file) as archive:
        first = archive.next()
        if first is None or first.name != _MANIFEST or first.size > _MAX_SMALL_BYTES:
            raise _malformed("it does not begin with a manifest")
        content = archive.extractfile(first)
        try:
            manifest = msgspec.json.decode(content.read() if content else b"", type=Manifest)
        except msgspec.MsgspecError as error:
            raise _malformed("its manifest cannot be read") from error
        if manifest.version != _VERSION or manifest.revision > newest_revision():
            raise FarhandError("backup-newer", "a newer relay made this backup")
        if not manifest.files.keys() <= _ALLOWED - {_MANIFEST}:
            raise _malformed("it names files that a relay does not have")
        seen: set[str] = set()
        while (entry := archive.next()) is not None:
            if entry.name not in manifest.files or entry.name in seen or not entry.isfile():
                raise _malformed(f"it holds {entry.name[:80]!r}, which its manifest does not name")
            seen.add(entry.name)
            _extract(archive, entry, draft / entry.name, manifest.files[entry.name])
        missing = manifest.files.keys() - seen
        if missing:
            raise _malformed(f"{min(missing)} is missing")
    return manifest


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path, sha256: str) -> None:
    content = archive.extractfile(entry)
    if content is None:
        raise _malformed(f"{entry.name} is not a file")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "wb") as out:
        while piece := content.read(1024 * 1024):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != sha256:
        raise _malformed(f"{entry.name} was changed")
