"""Recordings at the relay: taken in, countersigned, listed, fetched, erased; on both stores."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import func, select

from farhand_protocol import messages
from farhand_protocol.keys import SeedSigner
from farhand_protocol.recording import (
    Chunk,
    RecordingChain,
    Witness,
    check_witness,
    open_head,
)
from farhand_server.sessions import recordings
from farhand_server.sessions.recordings import make_recordings
from farhand_server.store.schema import audit, recording_chunks
from tests.protocol.recordings import make_chunks, resigned
from tests.server.gateway.nodes import Device, LinkEnd, Node
from tests.server.relays import TENANT, ManualClock, SignIn
from tests.server.sessions.meeting import active_by_code, report, show_code

BODIES = [b"sealed one", b"sealed two", b"sealed three"]
DAY_S = 86_400.0


def chunks_of(device: Device, session: str, **more: Any) -> list[Chunk]:
    bodies = more.pop("bodies", BODIES)
    return make_chunks(
        bodies,
        **{"session": session, "tenant": TENANT, "device": device.signer, "relay": None, **more},
    )


async def put(link: LinkEnd, session: str, chunk: Chunk, seq: int = 5) -> Any:
    """Send a chunk; return the relay's answer."""
    await link.send(
        messages.RecordingChunk(
            seq=seq, session=session, head=chunk.head, ciphertext=chunk.ciphertext
        )
    )
    answer = await link.receive(messages.Witnessed | messages.Nack)  # type: ignore[arg-type]
    assert answer.seq == seq
    return answer


async def refused(link: LinkEnd, session: str, chunk: Chunk) -> str:
    answer = await put(link, session, chunk)
    assert isinstance(answer, messages.Nack), answer
    return answer.code


async def fetch(web: httpx.AsyncClient, who: dict[str, str], session: str) -> list[Chunk]:
    """Fetch every chunk as a console does."""
    chunks: list[Chunk] = []
    params: dict[str, str] = {}
    while True:
        answer = await web.get(f"/api/v1/recordings/{session}/chunks", params=params, headers=who)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for item in page["items"]:
            witness = Witness(
                at=item["witnessed_at"],
                relay_key=b"",
                signature=base64.b64decode(item["witness"]),
            )
            chunks.append(
                Chunk(
                    head=base64.b64decode(item["head"]),
                    ciphertext=base64.b64decode(item["ciphertext"]),
                    witness=witness,
                )
            )
        if page["next"] is None:
            return chunks
        params = {"cursor": page["next"]}


async def test_a_recording_is_stored_countersigned_and_fetched(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(recordings, "PAGE_CHUNKS", 2)
    monkeypatch.setattr("farhand_server.api.recordings.PAGE_CHUNKS", 2)
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    made = chunks_of(device, session, dropped=4)
    key = node.relay.signer.public_key
    for chunk in made:
        answer = await put(link, session, chunk)
        witness = Witness(at=answer.at, relay_key=key, signature=answer.signature)
        check_witness(open_head(chunk.head), witness, relay_key=key)
    # The same again is answered the same, also when the recording is over.
    again = await put(link, session, made[0], seq=6)
    assert again.signature
    listed = (await web.get("/api/v1/recordings", headers=who)).json()["items"]
    (shown,) = listed
    assert (shown["session"], shown["device"], shown["operator"]) == (
        session, device.id, "technician",
    )  # fmt: skip
    assert (shown["chunks"], shown["complete"], shown["dropped_bytes"]) == (3, True, 12)
    assert shown["head_sha256"] == open_head(made[-1].head).digest
    assert shown == (await web.get(f"/api/v1/recordings/{session}", headers=who)).json()
    chain = RecordingChain(device_key=device.signer.public_key, relay_key=key, session=session)
    for chunk in await fetch(web, who, session):
        assert chunk.witness is not None
        known = msgspec.structs.replace(chunk.witness, relay_key=key)
        chain.add(Chunk(head=chunk.head, ciphertext=chunk.ciphertext, witness=known))
    told = chain.finish()
    assert (told.chunks, told.witnessed) == (3, 3)
    async with node.relay.db.read() as c:
        actions = list(
            (
                await c.execute(
                    select(audit.c.action).where(audit.c.subject == session).order_by(audit.c.seq)
                )
            ).scalars()
        )
    assert actions.count("recording.start") == 1
    assert actions.count("recording.read") == 1


async def test_what_does_not_follow_is_refused(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    a, b, c = chunks_of(device, session)
    assert await refused(link, session, b) == "recording-gap"
    assert await refused(link, session, Chunk(head=a.head, ciphertext=b"x")) == "recording-changed"
    assert await refused(link, "s-aaaaaaaaaaaaaaaa", a) == "recording-foreign"
    stranger = SeedSigner(bytes([3]) * 32)
    foreign = make_chunks(BODIES, session=session, tenant=TENANT, device=stranger)[0]
    assert await refused(link, session, foreign) == "recording-foreign"
    other = make_chunks(BODIES, session=session, tenant="n-other", device=device.signer)[0]
    assert await refused(link, session, other) == "recording-foreign"
    unknown = "s-bbbbbbbbbbbbbbbb"
    assert await refused(link, unknown, chunks_of(device, unknown)[0]) == "session-unknown"
    assert isinstance(await put(link, session, a), messages.Witnessed)
    assert await refused(link, session, c) == "recording-gap"
    lie = msgspec.structs.replace(open_head(a.head).head, dropped_bytes=9)
    rewritten = Chunk(head=resigned(lie, device.signer), ciphertext=a.ciphertext)
    assert await refused(link, session, rewritten) == "recording-forked"
    jump = msgspec.structs.replace(open_head(b.head).head, previous="0" * 64)
    assert (
        await refused(
            link, session, Chunk(head=resigned(jump, device.signer), ciphertext=b.ciphertext)
        )
        == "recording-order"
    )
    for chunk in (b, c):
        assert isinstance(await put(link, session, chunk), messages.Witnessed)
    after = msgspec.structs.replace(
        open_head(c.head).head, index=3, previous=open_head(c.head).digest
    )
    late = Chunk(head=resigned(after, device.signer), ciphertext=c.ciphertext)
    assert await refused(link, session, late) == "recording-ended"


async def test_a_recording_has_its_bound(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(recordings, "MAX_RECORDING_BYTES", len(BODIES[0]) + 3)
    link, session = await active_by_code(node, web, await sign_in("technician"), device)
    a, b, _ = chunks_of(device, session)
    assert isinstance(await put(link, session, a), messages.Witnessed)
    assert await refused(link, session, b) == "recording-full"


async def test_a_guests_recording_and_one_that_comes_late(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    who = await sign_in("technician")
    guest = Device(seed=b"\x44" * 32)
    link, nameplate = await show_code(node, guest, guest=True)
    claimed = (
        await web.post("/api/v1/pairings", json={"nameplate": nameplate}, headers=who)
    ).json()
    session = claimed["session"]
    await link.receive(messages.MailboxOpen)
    a, *_ = chunks_of(guest, session, tenant="")
    # Nothing was agreed to yet.
    assert await refused(link, session, a) == "session-unknown"
    link2, enrolled = await active_by_code(node, web, who, device)
    assert await report(node, link2, enrolled, "ended", reason="stopped")
    resident = await device.present(node, "device")
    for chunk in chunks_of(device, enrolled):
        assert isinstance(await put(resident, enrolled, chunk), messages.Witnessed)


async def test_who_may_see_recordings(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device
) -> None:
    tess, bob = await sign_in("technician"), await sign_in("technician", name="bob")
    link, session = await active_by_code(node, web, tess, device)
    await put(link, session, chunks_of(device, session)[0])
    path = f"/api/v1/recordings/{session}"
    for role in ("admin", "auditor"):
        who = await sign_in(role)
        assert len((await web.get("/api/v1/recordings", headers=who)).json()["items"]) == 1
        assert (await web.get(f"{path}/chunks", headers=who)).status_code == 200
    assert (await web.get("/api/v1/recordings", headers=bob)).json()["items"] == []
    for one in (path, f"{path}/chunks"):
        answer = await web.get(one, headers=bob)
        assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")
        answer = await web.get(one, headers=await sign_in("requester"))
        assert answer.status_code == 403
    assert (await web.get(f"{path}x/chunks", headers=tess)).status_code == 404
    found = await web.get("/api/v1/recordings", params={"device": "d-none"}, headers=tess)
    assert found.json()["items"] == []


async def test_retention_erases_and_says_so(
    node: Node, web: httpx.AsyncClient, sign_in: SignIn, device: Device, clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(recordings, "_ERASE_CHUNKS", 2)
    who = await sign_in("technician")
    link, session = await active_by_code(node, web, who, device)
    made = chunks_of(device, session, final=False)
    for chunk in made:
        await put(link, session, chunk)
    service = node.relay.service(make_recordings)
    clock.advance(29 * DAY_S)
    assert await service.sweep() == 0
    clock.advance(2 * DAY_S)
    assert await service.sweep() == 1
    assert await service.sweep() == 0
    async with node.relay.db.read() as c:
        assert await c.scalar(select(func.count()).select_from(recording_chunks)) == 0
        erased = await c.scalar(
            select(func.count()).select_from(audit).where(audit.c.action == "recording.erase")
        )
    assert erased == 1
    who = await sign_in("admin")
    shown = (await web.get(f"/api/v1/recordings/{session}", headers=who)).json()
    assert shown["erased_at"] is not None
    assert (shown["chunks"], shown["size_bytes"]) == (3, 0)
    answer = await web.get(f"/api/v1/recordings/{session}/chunks", headers=who)
    assert (answer.status_code, answer.json()["code"]) == (410, "recording-erased")
