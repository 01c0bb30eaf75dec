"""Enrolment: from one token to a home that knows its relay, its organisation and its own key.

Everything is prepared in a folder beside the final places; only when the relay has stored the
sealed enrolment are the files moved into the home, `config.toml` last.  A home either has a
`config.toml` and with it all the rest, or it is not enrolled.

A link that is lost after the enrolment was sent leaves open whether the relay took it, and a token
of one use with it.  So the same enrolment, of the same key, is sent again for a while; a relay that
has it says yes again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from farhand_agent.config import (
    PROGRAM,
    Home,
    Settings,
    load_settings,
    write_atomically,
    write_settings,
)
from farhand_agent.errors import AlreadyRunning, HomeUnusable, LinkLost
from farhand_agent.hostname import host_name
from farhand_agent.journal import Journal
from farhand_agent.keeper import create_key
from farhand_agent.link import (
    KeeperProver,
    Link,
    RelayAddress,
    RelayUnavailable,
    check_url,
    open_link,
    origin,
)
from farhand_agent.locks import try_lock
from farhand_agent.reconnect import Backoff
from farhand_agent.trust.fetching import fetch_root, update_trust
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, RemoteError, UsageError
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import Ack, Enrol, Nack
from farhand_protocol.tokens import Enrolment, EnrolmentToken

__all__ = ["AGAIN_S", "enrol", "fetch_certificate"]

MAX_NAME_CHARS = 64
_TLS_TIMEOUT_S = 20.0
# How long an enrolment is sent again whose answer was lost; a relay restarts within seconds.
AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What an enrolment has made, in its own folder, before anything is final."""

    folder: Path
    settings: Settings


async def fetch_certificate(url: str) -> bytes:
    """Return the relay's TLS certificate (DER), unverified; the caller compares its hash.

    Raises:
        RelayUnavailable: no TLS answer from there.
    """
    _, host, port = origin(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_TLS_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError, EOFError) as error:
        raise RelayUnavailable(f"{type(error).__name__}: {error}") from error
    return bytes(shown or b"")


async def _pin(token: EnrolmentToken, folder: Path) -> RelayAddress:
    """Check the certificate against the token and keep it."""
    check_url(token.url)
    if not token.url.startswith("https://") or not token.tls_sha256:
        return RelayAddress(token.url)
    shown = await fetch_certificate(token.url)
    if hashlib.sha256(shown).digest() != token.tls_sha256:
        raise RemoteError(
            "tls-pin-mismatch",
            "the relay shows another certificate than the one the token names",
            hint="ask whoever gave you the token for a fresh one, and tell them this",
        )
    path = folder / "relay.pem"
    write_atomically(path, ssl.DER_cert_to_PEM_cert(shown).encode(), mode=0o644)
    return RelayAddress(token.url, path, token.tls_sha256)


def _check_name(name: str) -> str:
    if len(name) > MAX_NAME_CHARS or not name.strip() or not name.isprintable():
        raise UsageError(
            "name-malformed", f"a device name has 1 to {MAX_NAME_CHARS} printable characters"
        )
    return name


async def enrol(
    home: Home,
    token: EnrolmentToken,
    *,
    name: str | None = None,
    again: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Settings:
    """Enrol this device with the relay and organisation that a token names.

    Args:
        home: its home; made if it is not there.
        token: from `farhand token create` or `farhand-server token`.
        name: the device's name; the host name by default.
        again: replace an earlier enrolment; the device gets a new key.
        progress: told what is being done, in words.

    Raises:
        HomeForeign: the folder is another program's.
        UsageError: `already-enrolled`, `name-malformed`, `url-insecure`.
        AlreadyRunning: an agent runs on this home.
        RelayUnavailable: try again later.
        RemoteError: the relay is not the one the token names, or serves wrong trust metadata.
        FarhandError: the relay's refusal (`token-unknown`, `token-expired`, `token-used`, ...).
    """
    home.refuse_foreign()
    chosen = _check_name(host_name() if name is None else name)
    if home.is_enrolled and not again:
        raise UsageError(
            "already-enrolled",
            f"{home.path} is already enrolled",
            hint="use --again to replace that enrolment; the device gets a new key",
        )
    check_url(token.url)
    with _undone_on_failure(home):
        return await _enrol(home, token, chosen, progress)


@contextlib.contextmanager
def _undone_on_failure(home: Home) -> Iterator[None]:
    """Leave no home behind where there was none, if the enrolment fails."""
    missing = [one for one in (home.path, *home.path.parents) if not one.exists()]
    try:
        yield
    except AlreadyRunning:
        raise  # then somebody else has made it in the meantime
    except BaseException:
        if missing:
            shutil.rmtree(home.path, ignore_errors=True)
            # A folder that somebody else uses by now is not empty, and stays.
            with contextlib.suppress(OSError):
                for folder in missing[1:]:
                    folder.rmdir()
        raise


async def _enrol(
    home: Home, token: EnrolmentToken, chosen: str, progress: Callable[[str], None]
) -> Settings:
    home.make()
    lock = try_lock(home.lock)
    if lock is None:
        raise AlreadyRunning
    try:
        folder = Path(tempfile.mkdtemp(dir=home.path, prefix=".enrol-"))
        try:
            prepared = await _prepare(home, token, chosen, folder, progress)
            _make_final(home, prepared)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise HomeUnusable("the enrolment cannot be written", detail=str(error)) from error
    finally:
        lock.release()
    return prepared.settings


async def _prepare(
    home: Home,
    token: EnrolmentToken,
    name: str,
    folder: Path,
    progress: Callable[[str], None],
) -> _Prepared:
    progress(f"asking {token.url}")
    address = await _pin(token, folder)
    key = create_key(str(folder / "device.key"))
    journal = Journal(home.journal, create=True)
    try:
        now = journal.now()
    finally:
        journal.close()

    def connect() -> AbstractAsyncContextManager[Link]:
        return open_link(
            address,
            role="enrol",
            tenant=token.tenant,
            device_key=key.public_key,
            relay_key=token.relay_key,
            prover=KeeperProver(folder / "device.key"),
            present=None,
        )

    async with connect() as link:
        progress("checking the organisation's trust root")
        root = await fetch_root(link.exchange, token.root_version, token.root_sha256.hex())
        await update_trust(
            link.exchange,
            folder=folder / "trust",
            root=root,
            tenant=token.tenant,
            targets_floor=token.targets_version,
            now=now,
        )
        (folder / "trust" / "pinned.root.json").write_bytes(root)
        progress("sending the sealed enrolment")
        envelope = _seal_enrolment(token, key, name, format_instant(now))
        try:
            await _send(link, envelope)
            answered = True
        except LinkLost:
            answered = False
    if not answered:
        progress("the link was lost; sending the enrolment again")
        await _send_again(connect, envelope)
    settings = _as_chosen_here(home, token, key, name)
    return _Prepared(folder, settings)


def _as_chosen_here(home: Home, token: EnrolmentToken, key: SeedSigner, name: str) -> Settings:
    """Return the new settings; what the owner chose under an earlier enrolment stays."""
    settings = Settings(
        program=PROGRAM,
        url=token.url,
        relay_key=base64.b64encode(token.relay_key).decode("ascii"),
        tls="none"
        if token.url.startswith("http://")
        else ("pinned" if token.tls_sha256 else "public"),
        tls_sha256=token.tls_sha256.hex() if token.url.startswith("https://") else "",
        tenant=token.tenant,
        device=device_id(key.public_key),
        device_key=base64.b64encode(key.public_key).decode("ascii"),
        name=name,
        group=token.group,
        root_version=token.root_version,
        root_sha256=token.root_sha256.hex(),
        targets_floor=token.targets_version,
    )
    try:
        before = load_settings(home)
    except FarhandError:
        return settings  # there was none, or it is what this enrolment repairs
    return msgspec.structs.replace(
        settings,
        inventory_interval_s=before.inventory_interval_s,
        inventory_leave_out=before.inventory_leave_out,
    )


def _seal_enrolment(token: EnrolmentToken, key: SeedSigner, name: str, now: str) -> bytes:
    """Sign the enrolment with the token's key and the device's."""
    statement = Enrolment(
        tenant=token.tenant,
        token=token.token,
        device=device_id(key.public_key),
        device_key=key.public_key,
        group=token.group,
        name=name,
        at=now,
    )
    return encode_envelope(seal(statement, SeedSigner(token.seed), key))


async def _send(link: Link, envelope: bytes) -> None:
    answer = await link.exchange(lambda seq: Enrol(seq=seq, envelope=envelope))
    if isinstance(answer, Nack):
        raise FarhandError(answer.code, answer.message)
    if not isinstance(answer, Ack):
        raise RemoteError("message-malformed", "the relay's answer is no answer to an enrolment")


async def _send_again(
    connect: Callable[[], AbstractAsyncContextManager[Link]], envelope: bytes
) -> None:
    """Send an enrolment again that may have arrived, until the relay answers.

    Raises:
        LinkLost, RelayUnavailable: it did not within `AGAIN_S`.
        FarhandError, RemoteError: its answer is no, or none.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + AGAIN_S
    backoff = Backoff(random.random)
    while True:
        await asyncio.sleep(backoff.next_wait_s())
        try:
            async with connect() as link:
                await _send(link, envelope)
                return
        except (LinkLost, RelayUnavailable):
            if loop.time() >= until:
                raise


def _make_final(home: Home, prepared: _Prepared) -> None:
    """Move everything into the home; config.toml last, because its presence is the fact."""
    folder, settings = prepared.folder, prepared.settings
    # From here to the last line the home counts as not enrolled.
    home.config.unlink(missing_ok=True)
    if home.trust.exists():
        shutil.rmtree(home.trust)
    os.replace(folder / "trust", home.trust)
    if (folder / "relay.pem").exists():
        os.replace(folder / "relay.pem", home.certificate)
    else:
        home.certificate.unlink(missing_ok=True)
    os.replace(folder / "device.key", home.device_key)
    journal = Journal(home.journal)
    try:
        # Another relay holds none of our inventory, and gets none of the old device's reports.
        journal.forget_sections(journal.section_hashes())
        journal.set_meta(
            "device",
            settings.device,
            kind="enrolled",
            device=settings.device,
            relay=settings.url,
            tenant=settings.tenant,
            group=settings.group,
        )
    finally:
        journal.close()
    write_settings(home, settings)
