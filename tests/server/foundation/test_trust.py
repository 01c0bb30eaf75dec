"""The trust service: what it takes, what it refuses, and that python-tuf's client agrees."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import TRUST_CHUNK_BYTES
from farhand_protocol.tokens import Token, parse_enrolment_token
from farhand_protocol.trust import ROSTER_PATH, Operator, Roster, decode_document
from farhand_server.app import Relay
from farhand_server.trust.registrations import make_registrations
from farhand_server.trust.service import TrustService, make_trust
from tests.server.relays import TENANT, ManualClock, SignIn
from tests.server.trust_roots import Admin

pytestmark = pytest.mark.either_store


@pytest.fixture
def admin(relay: Relay) -> Admin:
    # python-tuf's client asks the real clock, so the metadata is made for both.
    return Admin(TENANT, relay.signer.public_key, relay.now())


@pytest.fixture
def trust(relay: Relay) -> TrustService:
    return relay.service(make_trust)


async def _init(trust: TrustService, admin: Admin) -> None:
    files = admin.roster()
    await trust.publish(root=admin.root(), targets=admin.targets(files), files=files, actor="admin")


async def _counts(trust: TrustService, relay: Relay) -> tuple[int, int, int, int]:
    async with relay.db.read() as c:
        status = await trust.status(c)
    return (
        status.root_version,
        status.targets_version,
        status.snapshot_version,
        status.timestamp_version,
    )


class _ServiceFetcher(FetcherInterface):
    """Lets python-tuf's client, which is synchronous, ask the service from a thread."""

    def __init__(self, trust: TrustService, loop: asyncio.AbstractEventLoop) -> None:
        self._trust = trust
        self._loop = loop

    def _fetch(self, url: str) -> Any:
        kind, _, name = url.partition("/")
        pieces = []
        offset = 0
        while True:
            work = self._trust.fetch(kind, name, offset)  # type: ignore[arg-type]
            total, piece = asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
            if total < 0:
                raise DownloadHTTPError("not there", 404)
            pieces.append(piece)
            offset += len(piece)
            if offset >= total:
                return iter(pieces)


async def _client(trust: TrustService, folder: Path, root: bytes, path: str) -> bytes:
    """Verify with python-tuf's own client and return a target."""
    fetcher = _ServiceFetcher(trust, asyncio.get_running_loop())

    def work() -> bytes:
        (folder / "metadata").mkdir(parents=True, exist_ok=True)
        (folder / "targets").mkdir(exist_ok=True)
        updater = Updater(
            str(folder / "metadata"),
            "metadata/",
            str(folder / "targets"),
            "target/",
            fetcher,
            bootstrap=root,
        )
        updater.refresh()
        info = updater.get_targetinfo(path)
        assert info is not None
        return Path(updater.download_target(info)).read_bytes()

    return await asyncio.to_thread(work)


async def test_pythons_tuf_client_verifies_what_is_served(
    relay: Relay, trust: TrustService, admin: Admin, clock: ManualClock, tmp_path: Path
) -> None:
    _to_the_present(clock, admin)
    root = admin.root()
    files = admin.roster() | {"manifests/check.x/1.json": b"{}", "scripts/big": b"x" * 1_300_000}
    await trust.publish(root=root, targets=admin.targets(files), files=files, actor="admin")
    assert await _client(trust, tmp_path / "tuf", root, "scripts/big") == files["scripts/big"]
    # A next version, and a root rotation to another admin, reach the same client.
    more = {"manifests/check.x/2.json": b"{ }"}
    await trust.publish(root=None, targets=admin.targets(more), files=more, actor="admin")
    body = await _client(trust, tmp_path / "tuf", root, "manifests/check.x/2.json")
    assert body == more["manifests/check.x/2.json"]
    other = Admin(TENANT, relay.signer.public_key, relay.now(), seed=2)
    other.root_version, other.targets_version = admin.root_version, admin.targets_version
    other.files = dict(admin.files)
    await trust.publish(
        root=other.root(signed_by=[admin, other]), targets=other.targets(), files={}, actor="admin"
    )
    assert await _client(trust, tmp_path / "tuf", root, ROSTER_PATH) == files[ROSTER_PATH]
    assert await _counts(trust, relay) == (2, 3, 3, 3)


def _to_the_present(clock: ManualClock, admin: Admin) -> None:

    clock.advance((datetime.now(UTC) - clock.now()).total_seconds())
    admin.now = clock.now()


async def test_status_before_and_after(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, admin: Admin
) -> None:
    headers = await sign_in("admin")
    empty = (await web.get("/api/v1/trust", headers=headers)).json()
    assert (empty["root_version"], empty["expires"]) == (0, {})
    assert base64.b64decode(empty["online_key"]) == relay.signer.public_key
    files = admin.roster()
    upload = {
        "root": base64.b64encode(admin.root()).decode(),
        "targets": base64.b64encode(admin.targets(files)).decode(),
        "files": {path: base64.b64encode(body).decode() for path, body in files.items()},
    }
    answer = await web.post("/api/v1/trust", headers=headers, json=upload)
    assert answer.status_code == 200, answer.text
    assert answer.json()["timestamp_version"] == 1
    digest = hashlib.sha256(files[ROSTER_PATH]).hexdigest()
    for path in (
        "metadata/1.root.json",
        "metadata/1.targets.json",
        "metadata/1.snapshot.json",
        "metadata/timestamp.json",
    ):
        assert (await web.get(f"/api/v1/trust/{path}", headers=headers)).status_code == 200, path
    got = await web.get(f"/api/v1/trust/targets/{digest}.roster.json", headers=headers)
    assert got.content == files[ROSTER_PATH]
    for path in ("metadata/2.root.json", "metadata/..%2Frelay.key", "targets/roster.json"):
        assert (await web.get(f"/api/v1/trust/{path}", headers=headers)).status_code == 404, path
    again = await web.post("/api/v1/trust", headers=headers, json=upload)
    assert (again.status_code, again.json()["code"]) == (409, "trust-conflict")


async def test_everybody_is_told(relay: Relay, trust: TrustService, admin: Admin) -> None:
    told = asyncio.Event()
    heard: list[bytes] = []

    async def hear(data: bytes) -> None:
        heard.append(data)
        told.set()

    await relay.bus.subscribe(f"trust.{TENANT}", hear)
    await _init(trust, admin)
    async with asyncio.timeout(5):
        await told.wait()
    assert heard == [b"1"]


def _refusals(admin: Admin, relay: Relay) -> dict[str, tuple[dict[str, Any], str]]:
    stranger = Admin(TENANT, relay.signer.public_key, relay.now(), seed=9)
    stranger.root_version, stranger.targets_version = 1, 1
    body = {"x/1": b"one"}
    return {
        "nothing": ({}, "trust-invalid"),
        "garbage root": ({"root": b"{}"}, "trust-invalid"),
        "not json": ({"root": b"\xff"}, "trust-invalid"),
        "deep json": ({"root": b"[" * 100_000}, "trust-invalid"),
        "targets as root": ({"root": admin.targets(version=2)}, "trust-invalid"),
        "same root": ({"root": admin.root(version=1)}, "trust-conflict"),
        "root skips": ({"root": admin.root(version=3)}, "trust-conflict"),
        "root of a stranger": ({"root": stranger.root(version=2)}, "trust-invalid"),
        "expired root": ({"root": admin.root(version=2, days=-1)}, "trust-invalid"),
        "not consistent": ({"root": admin.root(version=2, consistent=False)}, "trust-invalid"),
        "another relay": (
            {"root": admin.root(version=2, online=b"\x00" * 31 + b"\x02")},
            "trust-invalid",
        ),
        "same targets": ({"targets": admin.targets(version=1)}, "trust-conflict"),
        "targets skip": ({"targets": admin.targets(version=3)}, "trust-conflict"),
        "targets of a stranger": ({"targets": stranger.targets(version=2)}, "trust-invalid"),
        "expired targets": ({"targets": admin.targets(version=2, days=-1)}, "trust-invalid"),
        "files alone": ({"root": admin.root(version=2), "files": body}, "trust-invalid"),
        "unnamed file": ({"targets": admin.targets(version=2), "files": body}, "trust-invalid"),
    }


_REFUSALS = (
    "nothing",
    "garbage root",
    "not json",
    "deep json",
    "targets as root",
    "same root",
    "root skips",
    "root of a stranger",
    "expired root",
    "not consistent",
    "another relay",
    "same targets",
    "targets skip",
    "targets of a stranger",
    "expired targets",
    "files alone",
    "unnamed file",
)


@pytest.mark.parametrize("case", _REFUSALS)
async def test_bad_uploads_change_nothing(
    relay: Relay, trust: TrustService, admin: Admin, case: str
) -> None:
    await _init(trust, admin)
    upload, code = _refusals(admin, relay)[case]
    whole = {"root": None, "targets": None, "files": {}} | upload
    with pytest.raises(FarhandError) as caught:
        await trust.publish(actor="admin", **whole)
    assert caught.value.code == code
    assert await _counts(trust, relay) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("x/1", None),
        ("x/1", b"other"),
        ("../relay.key", b"one"),
        ("/etc/passwd", b"one"),
        ("x//1", b"one"),
        ("X", b"one"),
    ],
)
async def test_bad_target_files_change_nothing(
    relay: Relay, trust: TrustService, admin: Admin, path: str, sent: bytes | None
) -> None:
    await _init(trust, admin)
    targets = admin.targets({path: b"one"})
    files = {path: sent} if sent is not None else {}
    with pytest.raises(FarhandError, match="trust-invalid"):
        await trust.publish(root=None, targets=targets, files=files, actor="admin")
    assert await _counts(trust, relay) == (1, 1, 1, 1)


async def test_targets_come_after_a_root(trust: TrustService, admin: Admin) -> None:
    with pytest.raises(FarhandError, match="no-trust-root"):
        await trust.publish(root=None, targets=admin.targets(), files={}, actor="admin")


async def test_a_new_root_must_keep_the_targets_valid(
    relay: Relay, trust: TrustService, admin: Admin
) -> None:
    await _init(trust, admin)
    other = Admin(TENANT, relay.signer.public_key, relay.now(), seed=2)
    other.root_version = 1
    # The old targets are signed by `admin`, whom this root no longer names.
    with pytest.raises(FarhandError, match="trust-invalid"):
        await trust.publish(
            root=other.root(signed_by=[admin, other]), targets=None, files={}, actor="admin"
        )
    assert await _counts(trust, relay) == (1, 1, 1, 1)


async def test_online_files_are_signed_anew_at_half_life(
    relay: Relay, trust: TrustService, admin: Admin, clock: ManualClock
) -> None:
    assert not await trust.refresh_if_due()
    await _init(trust, admin)
    clock.advance(11 * 3600)
    assert not await trust.refresh_if_due()
    clock.advance(2 * 3600)
    assert await trust.refresh_if_due()
    assert await _counts(trust, relay) == (1, 1, 1, 2)
    assert not await trust.refresh_if_due()
    clock.advance(4 * 86400)
    assert await trust.refresh_if_due()
    assert await _counts(trust, relay) == (1, 1, 2, 3)
    total, _ = await trust.fetch("metadata", "timestamp.json")
    assert total > 0


async def test_pieces(relay: Relay, trust: TrustService, admin: Admin) -> None:
    body = bytes(range(256)) * 5000
    files = admin.roster() | {"scripts/big": body}
    await trust.publish(root=admin.root(), targets=admin.targets(files), files=files, actor="admin")
    name = f"scripts/{hashlib.sha256(body).hexdigest()}.big"
    total, first = await trust.fetch("target", name)
    assert (total, len(first)) == (len(body), TRUST_CHUNK_BYTES)
    assert await trust.fetch("target", name, len(body) - 3) == (len(body), body[-3:])
    assert await trust.fetch("target", name, len(body) + 9) == (len(body), b"")
    for bad in ("", "timestamp.json/..", "0.root.json", "01.root.json", "x.root.json", "a" * 9000):
        assert await trust.fetch("metadata", bad) == (-1, b"")
        assert await trust.fetch("target", bad) == (-1, b"")
    assert await trust.fetch("target", name, -1) == (-1, b"")


async def test_a_token_of_the_host_pins_everything(
    relay: Relay, trust: TrustService, admin: Admin
) -> None:

    registrations = relay.service(make_registrations)
    ttl = timedelta(hours=1)
    with pytest.raises(FarhandError, match="no-trust-root"):
        await registrations.make(group="default", uses=1, ttl=ttl, actor="cli")
    await _init(trust, admin)
    made = await registrations.make(group="shop", uses=3, ttl=ttl, actor="cli")
    token = parse_enrolment_token(made.token)
    root = await trust.file("metadata", "1.root.json")
    assert root is not None
    assert token.root_sha256 == hashlib.sha256(root).digest()
    assert (token.root_version, token.targets_version, token.group) == (1, 1, "shop")
    assert (token.tenant, token.relay_key) == (TENANT, relay.signer.public_key)
    async with relay.db.read() as c:
        (row,) = await registrations.page(c, after=None, limit=5)
    assert (row.id, row.uses_left, row.signed_by) == (token.token, 3, "relay")
    for uses, group, seconds in ((0, "a", 60), (1, "Not A Group", 60), (1, "a", -1), (1, "a", 1e8)):
        with pytest.raises(FarhandError, match=r"token-invalid|token-expired"):
            await registrations.make(
                group=group, uses=uses, ttl=timedelta(seconds=seconds), actor="cli"
            )


async def test_tokens_need_a_roster_admins_signature(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, trust: TrustService, admin: Admin
) -> None:
    headers = await sign_in("admin")
    stranger = SeedSigner(b"\x33" * 32)
    technician = SeedSigner(b"\x44" * 32)

    def sealed(by: SeedSigner, **changes: Any) -> dict[str, str]:
        values: dict[str, Any] = {
            "tenant": TENANT,
            "id": "t-abcdefghabcdefgh",
            "key": b"\x05" * 32,
            "group": "default",
            "uses": 1,
            "created_at": format_instant(relay.now()),
            "expires": format_instant(relay.now().replace(year=2026, month=12)),
        }
        envelope = encode_envelope(seal(Token(**values | changes), by))
        return {"envelope": base64.b64encode(envelope).decode()}

    async def send(body: dict[str, str]) -> tuple[int, str]:
        answer = await web.post("/api/v1/tokens", headers=headers, json=body)
        return answer.status_code, answer.json().get("code", "")

    assert await send(sealed(admin.signer)) == (409, "no-trust-root")
    files = admin.roster(
        Operator(name="root", keys=[admin.signer.public_key], permissions=["admin"]),
        Operator(name="ann", keys=[technician.public_key], permissions=["order"]),
    )
    await trust.publish(root=admin.root(), targets=admin.targets(files), files=files, actor="admin")
    async with relay.db.read() as c:
        assert await trust.roster(c) == decode_document(files[ROSTER_PATH], Roster)
    assert await send(sealed(stranger)) == (403, "token-not-signed")
    assert await send(sealed(technician)) == (403, "token-not-signed")
    assert await send(sealed(relay.signer)) == (403, "token-not-signed")  # type: ignore[arg-type]
    assert await send(sealed(admin.signer, tenant="n-other")) == (422, "token-invalid")
    assert await send(sealed(admin.signer, id="x")) == (422, "token-invalid")
    assert await send(sealed(admin.signer, uses=10**6)) == (422, "token-invalid")
    assert await send(sealed(admin.signer, key=b"")) == (422, "token-invalid")
    past = format_instant(relay.now().replace(year=2025))
    assert await send(sealed(admin.signer, expires=past)) == (422, "token-expired")
    assert await send({"envelope": "AAAA"}) == (422, "envelope-malformed")
    assert (await send(sealed(admin.signer)))[0] == 201
    assert await send(sealed(admin.signer)) == (409, "token-exists")
    page = (await web.get("/api/v1/tokens", headers=headers)).json()
    assert [(one["id"], one["signed_by"]) for one in page["items"]] == [
        ("t-abcdefghabcdefgh", "admin")
    ]
