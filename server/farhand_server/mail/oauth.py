"""Access tokens for mail servers that take no password: OAuth 2, said over XOAUTH2.

What is needed is one file in the relay's home, mode 0600, which a server's settings only name.  It
says where tokens are had and to which mail servers they may be shown, so that whoever stole an
admin's sign-in can lead neither the secret nor a token to another place.

    token_url, client_id, client_secret, scope                   client credentials (RFC 6749 s4.4)
    the same with refresh_token; client_secret may be missing    refresh (RFC 6749 s6)
    token_file                                                   somebody else puts a token there

A refresh token that the provider replaces is kept beside the file (`FILE.refresh`), and read from
there from then on.  A token is kept in memory until a minute before its end, and forgotten when the
mail server refuses it.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.mail.mailboxes import Server
from farhand_server.outbox.calling import call, check_address
from farhand_server.relay import Relay

__all__ = ["MAX_TOKEN_CHARS", "Credential", "MailTokens", "OAuthFile", "mail_tokens"]

MAX_TOKEN_CHARS: Final = 16_000
_MAX_FILE_BYTES: Final = 64 * 1024
_EARLY_S: Final = 60.0
_UNSAID_S: Final = 300.0
_LONGEST_S: Final = 86_400.0
# RFC 6750 s2.1, and nothing that ends a field of XOAUTH2.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+\Z", re.ASCII)

_Text = Annotated[str, msgspec.Meta(max_length=2000)]
_Long = Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_CHARS)]


class OAuthFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file; `servers` are the mail servers that a token is shown to."""

    servers: Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=10)]
    token_url: _Text = ""
    client_id: _Text = ""
    client_secret: _Long = ""
    refresh_token: _Long = ""
    scope: _Text = ""
    token_file: _Text = ""
    allow_private: bool = False

    def __repr__(self) -> str:
        return f"OAuthFile(servers={self.servers!r})"


class Credential(NamedTuple):
    """What a mail server is shown: a password, or a token."""

    secret: str
    is_token: bool = False

    def __repr__(self) -> str:
        return "Credential(hidden)"


class _Granted(msgspec.Struct, frozen=True):
    """A provider's answer (RFC 6749 s5.1)."""

    access_token: _Long
    token_type: str = "Bearer"  # noqa: S105 - the kind of token, RFC 6749 s7.1
    expires_in: float | None = None
    refresh_token: _Long = ""

    def __repr__(self) -> str:
        return "_Granted(hidden)"


class _Refused(msgspec.Struct, frozen=True):
    """A provider's refusal (RFC 6749 s5.2); its words are shown to an admin."""

    error: str = ""
    error_description: str = ""


def mail_tokens(relay: Relay) -> MailTokens:
    """Return the relay's tokens; made once, with `relay.service(mail_tokens)`."""
    return MailTokens(relay)


class MailTokens:
    """Access tokens by the name of their file, until shortly before they end."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._kept: dict[str, tuple[str, float]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def credential(self, server: Server, password: str) -> Credential:
        """Return what to show a server: its password, or a token where it names a file.

        Raises:
            FarhandError: `mail-oauth`, `mail-unreachable`.
        """
        if not server.oauth:
            return Credential(password)
        async with self._one_at_a_time:
            file = await asyncio.to_thread(self._read, server.oauth)
            if server.host not in file.servers:
                raise _wrong(f"{server.oauth} does not name {server.host} among its servers")
            if file.token_file:
                path = self._home / file.token_file
                token = await asyncio.to_thread(_read_secret, path, file.token_file)
                return Credential(_checked(token), is_token=True)
            now = self._relay.clock.monotonic()
            kept, until = self._kept.get(server.oauth, ("", now))
            if until <= now:
                kept, until = await self._granted(server.oauth, file, now)
                self._kept[server.oauth] = (kept, until)
            return Credential(kept, is_token=True)

    def forget(self, server: Server) -> None:
        """Take a new token next time: the server refused this one."""
        self._kept.pop(server.oauth, None)

    @property
    def _home(self) -> Path:
        return Path(self._relay.settings.home)

    def _read(self, name: str) -> OAuthFile:
        text = _read_secret(self._home / name, name)
        try:
            file = msgspec.toml.decode(text, type=OAuthFile)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
            raise _wrong(f"{name} is not understood: {str(error)[:200]}") from error
        if bool(file.token_url) == bool(file.token_file):
            raise _wrong(f"{name} names either token_url or token_file")
        if file.token_url and not (file.client_id and (file.client_secret or file.refresh_token)):
            raise _wrong(f"{name} needs client_id, and client_secret or refresh_token")
        replaced = self._home / f"{name}.refresh"
        if file.refresh_token and replaced.exists():
            newer = _read_secret(replaced, replaced.name)
            file = msgspec.structs.replace(file, refresh_token=newer)
        return file

    async def _granted(self, name: str, file: OAuthFile, now: float) -> tuple[str, float]:
        """Ask the provider for a token; returns it, and until when it is shown."""
        asked = {"grant_type": "client_credentials", "client_id": file.client_id}
        if file.refresh_token:
            asked |= {"grant_type": "refresh_token", "refresh_token": file.refresh_token}
        if file.client_secret:
            asked["client_secret"] = file.client_secret
        if file.scope:
            asked["scope"] = file.scope
        try:
            answer = await call(
                "POST",
                check_address(file.token_url),
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                content=urlencode(asked).encode(),
                allow_private=file.allow_private,
            )
        except UsageError as error:
            raise _wrong(f"{name}: {error.message}") from error
        except FarhandError as error:
            raise FarhandError(
                "mail-unreachable", f"no token for the mail server: {error.message}"
            ) from error
        if answer.status != 200:
            raise FarhandError(
                "mail-unreachable",
                f"no token for the mail server: {_words(answer.status, answer.body)}",
            )
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted)
        except msgspec.MsgspecError as error:
            raise _wrong("the provider's answer holds no token") from error
        if granted.token_type.lower() != "bearer":
            raise _wrong("the provider's token is not for its bearer")
        if granted.refresh_token not in ("", file.refresh_token) and file.refresh_token:
            path = self._home / f"{name}.refresh"
            await asyncio.to_thread(_write_secret, path, granted.refresh_token)
        lasts = _UNSAID_S if granted.expires_in is None else granted.expires_in
        return _checked(granted.access_token), now + min(max(lasts, 0.0), _LONGEST_S) - _EARLY_S


def _checked(token: str) -> str:
    if len(token) > MAX_TOKEN_CHARS or _TOKEN.match(token) is None:
        raise _wrong("a token has letters that none has")
    return token


def _words(status: int, body: bytes) -> str:
    """Return why a provider gave no token: its own words, never what was sent to it."""
    try:
        said = msgspec.json.decode(body, type=_Refused)
    except msgspec.MsgspecError:
        said = _Refused()
    words = f"{status} {said.error} {said.error_description}"
    return " ".join("".join(one if one.isprintable() else " " for one in words).split())[:200]


def _read_secret(path: Path, name: str) -> str:
    try:
        with path.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            raw = opened.read(_MAX_FILE_BYTES + 1)
        text = raw.decode().strip()
    except (OSError, UnicodeError) as error:
        raise _wrong(f"{name} cannot be read in the relay's home") from error
    if mode & 0o077:
        raise _wrong(f"{name} must be mode 0600")
    if not text or len(raw) > _MAX_FILE_BYTES:
        raise _wrong(f"{name} is empty or too large")
    return text


def _write_secret(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(path)
    except OSError as error:
        raise _wrong(f"{path.name} cannot be written in the relay's home") from error


def _wrong(words: str) -> FarhandError:
    return FarhandError("mail-oauth", words)
