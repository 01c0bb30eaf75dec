"""Devices and operators for the fleet's tests: real keys, real signatures, no network."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import insert

from farhand_protocol import messages
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.identity import device_id, make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.inventory import SectionReport, encode_section, section_hash
from farhand_protocol.keys import SeedSigner
from farhand_protocol.orders import Order, Result
from farhand_protocol.tokens import Enrolment, Token
from farhand_server.clock import stamp
from farhand_server.fleet.intake import Intake, make_intake
from farhand_server.relay import Relay
from farhand_server.sessions.control import device_subject
from farhand_server.store.schema import devices, enrolment_tokens

DIGEST = "ab" * 32


def b64(data: bytes) -> str:
    """Write bytes as the API takes them."""
    return base64.b64encode(data).decode()


class FakeLink:
    """What the fleet sees of a link; keeps what was sent."""

    def __init__(self, key: bytes, role: str = "device") -> None:
        self.role = role
        self.device_key = key
        self.device = device_id(key)
        self.sent: list[messages.RelayMessage] = []
        self.is_open = True

    def send(self, message: messages.RelayMessage) -> bool:
        if self.is_open:
            self.sent.append(message)
        return self.is_open


class TokenKit:
    """A registered token and its seed's key."""

    def __init__(self, *, group: str = "default") -> None:
        self.signer = SeedSigner(secrets.token_bytes(32))
        self.id = make_id("t", secrets.token_bytes(10))
        self.group = group

    async def register(
        self, relay: Relay, *, uses: int = 1, signed_by: str = "admin", ttl_s: float = 3600.0
    ) -> TokenKit:
        expires = relay.now() + timedelta(seconds=ttl_s)
        statement = Token(
            tenant=relay.tenant,
            id=self.id,
            key=self.signer.public_key,
            group=self.group,
            uses=uses,
            created_at=format_instant(relay.now()),
            expires=format_instant(expires),
        )
        admin = SeedSigner(secrets.token_bytes(32))
        async with relay.db.write() as c:
            await c.execute(
                insert(enrolment_tokens).values(
                    tenant=relay.tenant,
                    id=self.id,
                    key=self.signer.public_key,
                    envelope=encode_envelope(seal(statement, admin)),
                    signed_by=signed_by,
                    device_group=self.group,
                    uses=uses,
                    uses_left=uses,
                    created_by="admin",
                    created_at=relay.stamp(),
                    expires_at=stamp(expires),
                )
            )
        return self


class FakeDevice:
    """A device with its key; `link` is its resident link."""

    def __init__(self, relay: Relay, name: str = "kiosk", *, seed: bytes | None = None) -> None:
        self.relay = relay
        self.name = name
        self.signer = SeedSigner(seed or secrets.token_bytes(32))
        self.id = device_id(self.signer.public_key)
        self.link = FakeLink(self.signer.public_key)
        self.heard: list[messages.RelayMessage] = []
        self.on_heard: Callable[[], None] = lambda: None
        self.group = "default"
        self._seq = 0

    @property
    def intake(self) -> Intake:
        return self.relay.service(make_intake)

    def seq(self) -> int:
        self._seq += 1
        return self._seq

    def enrolment(self, token: TokenKit, /, **changes: Any) -> Enrolment:
        said = Enrolment(
            tenant=self.relay.tenant,
            token=token.id,
            device=self.id,
            device_key=self.signer.public_key,
            group=token.group,
            name=self.name,
            at=format_instant(self.relay.now()),
        )
        return msgspec.structs.replace(said, **changes)

    async def enrol(self, token: TokenKit | None = None) -> FakeDevice:
        token = token or await TokenKit().register(self.relay)
        self.group = token.group
        blob = encode_envelope(seal(self.enrolment(token), token.signer, self.signer))
        link = FakeLink(self.signer.public_key, role="enrol")
        message = messages.Enrol(seq=self.seq(), envelope=blob)
        answer = await self.intake.on_enrol(link, message)
        assert answer == messages.Ack(seq=message.seq)
        return self

    async def present(self, **changes: Any) -> list[messages.RelayMessage]:
        """Say what runs here; returns what the relay said at once."""
        said = {"agent_version": "0.1.0", "host_name": f"{self.name}.lan", "os": "Debian 12"}
        self.link.sent.clear()
        await self.intake.on_present(self.link, messages.Present(**{**said, **changes}))
        return list(self.link.sent)

    async def connect(self) -> None:
        """Hold the device's bus subject, as the node with its link does."""

        async def hear(data: bytes) -> bytes:
            self.heard.append(messages.decode_relay_message(data))
            self.on_heard()
            return b""

        subject = device_subject(self.relay.tenant, self.id)
        self.subscription = await self.relay.bus.subscribe(subject, hear)

    async def report(
        self,
        sections: dict[str, list[dict[str, Any]]],
        *,
        hashes: dict[str, str] | None = None,
        status: str = "ok",
    ) -> list[messages.RelayMessage]:
        blobs, short = [], {}
        for name, items in sections.items():
            section = section_report(self.relay, name, items, status=status)
            blobs.append(encode_section(section))
            short[name] = section.hash[:16]
        self.link.sent.clear()
        message = messages.ReportSections(
            seq=self.seq(), changed=blobs, hashes={**short, **(hashes or {})}
        )
        answer = await self.intake.on_sections(self.link, message)
        assert answer == messages.Ack(seq=message.seq)
        return list(self.link.sent)

    async def progress(self, order: Order, state: Any) -> None:
        message = messages.OrderProgress(
            seq=self.seq(), order=order.id, state=state, at=format_instant(self.relay.now())
        )
        await self.intake.on_progress(self.link, message)

    def result(self, order: Order, /, **changes: Any) -> bytes:
        said = Result(
            tenant=order.tenant,
            device=self.id,
            order=order.id,
            script=order.script,
            version=order.version,
            digest=order.digest,
            state="succeeded",
            exit_code=0,
            signal=None,
            stdout=b"fine\n",
            stdout_bytes=5,
            stdout_truncated=False,
            stderr=b"",
            stderr_bytes=0,
            stderr_truncated=False,
            sealed_output=None,
            refusal=None,
            words=None,
            started_at=format_instant(self.relay.now()),
            ended_at=format_instant(self.relay.now()),
        )
        return encode_envelope(seal(msgspec.structs.replace(said, **changes), self.signer))

    async def send_result(self, order: Order, blob: bytes | None = None, /, **changes: Any) -> None:
        message = messages.ResultReport(
            seq=self.seq(), order=order.id, envelope=blob or self.result(order, **changes)
        )
        answer = await self.intake.on_result(self.link, message)
        assert answer == messages.Ack(seq=message.seq)


def section_report(
    relay: Relay, name: str, items: list[dict[str, Any]], *, status: Any = "ok"
) -> SectionReport:
    return SectionReport(
        name=name,
        status=status,
        reason="",
        items=items,
        hash=section_hash(status, items),
        collected_at=format_instant(relay.now()),
        duration_ms=3,
    )


class Operator:
    """Somebody who signs orders."""

    def __init__(self, relay: Relay, name: str) -> None:
        self.relay = relay
        self.name = name
        self.signer = SeedSigner(secrets.token_bytes(32))

    def order(self, device: FakeDevice, /, **changes: Any) -> Order:
        now = self.relay.now()
        said = Order(
            tenant=self.relay.tenant,
            id=make_id("o", secrets.token_bytes(10)),
            device=device.id,
            host_name=f"{device.name}.lan",
            group=device.group,
            script="check.disk.space",
            version=1,
            risk="R0",
            digest=DIGEST,
            parameters={},
            operator=self.name,
            ticket=None,
            campaign=None,
            ring=None,
            targets_version=1,
            issued_at=format_instant(now),
            not_before=format_instant(now),
            expires=format_instant(now + timedelta(hours=1)),
        )
        return msgspec.structs.replace(said, **changes)

    def seal(self, order: Order) -> bytes:
        return encode_envelope(seal(order, self.signer))


async def plant_devices(relay: Relay, count: int, *, group: str = "default") -> Sequence[str]:
    """Put many device rows into the table without enrolling each."""
    ids = [device_id(secrets.token_bytes(32)) for _ in range(count)]
    row = {
        "tenant": relay.tenant,
        "device_group": group,
        "token": "t-none",
        "enrolment": b"",
        "confirmed": True,
        "os": "Debian 12",
        "host_name": "host",
        "agent_version": "0.1.0",
        "enrolled_at": relay.stamp(),
    }
    rows = [
        {**row, "id": one, "key": one.encode(), "name": f"pc-{n:05d}"} for n, one in enumerate(ids)
    ]
    async with relay.db.write() as c:
        await c.execute(insert(devices), rows)
    return ids
