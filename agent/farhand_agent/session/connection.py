"""One SSH connection of a session: who may open it, and what it may ask for.

Scopes count from `auth_completed` on, when possession of a known key is proved, and are asked at
each request, so that a scope withdrawn closes on open connections too.  Every refusal is noted
among the session's actions.
"""

from __future__ import annotations

import hmac
from typing import Any, Protocol

import asyncssh

from farhand_agent.session.actions import ACTING
from farhand_agent.session.channel import SessionChannel
from farhand_agent.session.channel_process import ChannelProcess, Host
from farhand_agent.session.forwarding import DESKTOP_TO, Forwarded, dial
from farhand_agent.session.pipes import PipeDriver
from farhand_agent.session.roll import Member
from farhand_protocol.errors import RefusedError
from farhand_protocol.grants import SSH_USER
from farhand_protocol.identity import public_key_line

__all__ = ["MAX_CHANNELS", "MAX_KEY_TRIES", "ConnectionHost", "SessionConnection"]

MAX_CHANNELS = 16
MAX_KEY_TRIES = 6


class ConnectionHost(Host, Protocol):
    """What a connection needs of its session's host."""

    def met(self, server: SessionConnection, *, gone: bool) -> None:
        """Note a connection that begins or has ended."""


class SessionConnection(asyncssh.SSHServer):
    """One connection's decisions."""

    def __init__(self, host: ConnectionHost, driver: PipeDriver) -> None:
        self.host = host
        self.terms = host.terms
        self.driver = driver
        self.channels = 0
        self._connection: asyncssh.SSHServerConnection | None = None
        self._open = False
        self._tries = 0
        self.member: Member | None = None
        line = public_key_line(host.terms.console_key)
        self._console_key = asyncssh.import_public_key(line).public_data

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self.host.met(self, gone=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.host.met(self, gone=True)

    def disconnect(self, why: str) -> None:
        """End the connection, saying why."""
        if self._connection is not None:
            self._connection.disconnect(asyncssh.DISC_SERVICE_NOT_AVAILABLE, why)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        # Asked before the signature is checked, and again after: nothing opens here.
        self._tries += 1
        if self._tries > MAX_KEY_TRIES and self._connection is not None:
            self._connection.disconnect(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many keys"
            )
            return False
        known = hmac.compare_digest(key.public_data, self._console_key)
        # The last key that was looked at is the one whose signature counts.
        self.member = None if known else self.terms.roll.find(key.public_data)
        known = known and self.terms.roll.leads(None)
        return (known or self.member is not None) and username in (self.terms.session, SSH_USER)

    def auth_completed(self) -> None:
        self._open = True

    def may(self, scope: str) -> bool:
        """Tell whether a scope is open on this connection now."""
        reaches = self.terms.roll.reaches(self.member, scope)
        return self._open and reaches and self.terms.scopes.allows(scope)

    def may_ask(self, least: str) -> bool:
        """Tell whether a subsystem that is for `least` and above is for this connection."""
        if not self._open:
            return False
        if self.member is None or self.terms.roll.leads(self.member):
            return self.terms.roll.leads(self.member)
        return least in ("observer", self.member.mode)

    @property
    def by(self) -> str:
        """The operator who joined and has this connection; empty for the session's own."""
        return self.member.operator if self.member is not None else ""

    async def ready(self, scope: str, what: str) -> bool:
        """Wait until a scope's cool-down is over; False when it was closed meanwhile."""
        if left := self.terms.scopes.cooling_s(scope):
            self.terms.on_wait(scope, what, left)
        return await self.terms.scopes.ready(scope)

    def denied(self, what: str, message: str = "denied-request", **facts: str) -> None:
        """Note something that was refused, in English and as a sentence of farhand_agent.deeds."""
        facts = facts or ({"name": what} if message == "denied-request" else {})
        self.terms.actions.add("denied", what, by=self.by, message=message, facts=facts)

    def take_channel(self) -> None:
        """Count one more channel.

        Raises:
            asyncssh.ChannelOpenError: there are too many, or nothing is open yet.
        """
        if not self._open:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not signed in"
            )
        if self.channels >= MAX_CHANNELS:
            self.denied("channel: too many at once", "denied-channels")
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many channels")
        self.channels += 1

    def session_requested(self) -> Any:
        assert self._connection is not None
        self.take_channel()
        channel = SessionChannel(self._connection, self.denied)
        return channel, ChannelProcess(self)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Any:
        destination = f"{dest_host.lower()}:{dest_port}"
        scope = self._scope_to(destination)
        if scope is None:
            self.denied(f"forward to {destination}", "denied-forward", to=destination)
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "this destination was not granted"
            )
        assert self._connection is not None
        self.take_channel()
        channel = self._connection.create_tcp_channel()
        return channel, self._forward(channel, dest_host, dest_port, scope)

    def _scope_to(self, destination: str) -> str | None:
        """Return the scope that leads to a destination now; None where none does."""
        if destination in DESKTOP_TO and self.may("desktop"):
            return "desktop"
        leads = destination in self.terms.forward_to and self.may("forward")
        return "forward" if leads else None

    async def _forward(
        self, channel: asyncssh.SSHTCPChannel[bytes], host: str, port: int, scope: str
    ) -> Forwarded:
        destination = f"{host.lower()}:{port}"
        ACTING.set(self.by)
        try:
            if not await self.ready(scope, destination):
                raise RefusedError("scope-missing", "forwarding was withdrawn")
            self.terms.actions.add("forward", destination)
            peer = await dial(host, port, relay=self.terms.relay)
        except RefusedError as error:
            self.channels -= 1
            words = f"forward to {destination}: {error.message}"
            self.denied(words, "denied-forward-why", to=destination, reason=error.code)
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, error.message
            ) from error
        except BaseException:
            self.channels -= 1
            raise

        def closed(sent: int, received: int) -> None:
            forget()
            self.channels -= 1
            self.terms.actions.add(
                "forward",
                f"{destination} closed: {sent} bytes there, {received} bytes back",
                size_bytes=sent + received,
                by=self.by,
                message="forward-closed",
                facts={"to": destination, "sent": sent, "received": received},
            )

        forget = self.terms.scopes.hold(scope, channel.abort)
        stalled_by = self.terms.prompts if destination in DESKTOP_TO else None
        return Forwarded(peer, closed, stalled_by=stalled_by)

    def unix_connection_requested(self, dest_path: str) -> bool:
        self.denied(f"connect to socket {dest_path}", "denied-socket", path=dest_path)
        return False

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        at = f"{listen_host}:{listen_port}"
        self.denied(f"listen on {at}", "denied-listen", at=at)
        return False

    def unix_server_requested(self, listen_path: str) -> bool:
        self.denied(f"listen on socket {listen_path}", "denied-listen", at=listen_path)
        return False

    def tun_requested(self, unit: int | None) -> bool:
        self.denied("network tunnel", "denied-tunnel")
        return False

    def tap_requested(self, unit: int | None) -> bool:
        self.denied("network tunnel", "denied-tunnel")
        return False
