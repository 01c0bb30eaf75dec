"""Routes of the relay's foundation: signing in, accounts, trust, enrolment tokens.

The first admin is made by `farhand-server init` on the host; no route here can: adding an account
needs an admin who is signed in.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.authorisation import PUBLIC, Role, allowed
from farhand_server.accounts.directory import Account, make_directory
from farhand_server.accounts.signin import (
    Organisation,
    PendingSignIn,
    SignedIn,
    Who,
    make_signin,
)
from farhand_server.accounts.steps import make_steps
from farhand_server.accounts.tokens import make_tokens
from farhand_server.api.address import caller_address
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.health import healthz, metrics
from farhand_server.api.idempotency import forget_old_keys
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.signing_in import sign_in_answer
from farhand_server.errors import not_found
from farhand_server.relay import Relay
from farhand_server.trust.registrations import Registration, make_registrations
from farhand_server.trust.releases import MAX_PIECE_BYTES
from farhand_server.trust.service import TrustStatus, make_trust

__all__ = ["AREA"]

_log = logging.getLogger(__name__)

_SWEEP_EVERY_S = 3600.0
_NOTE_EVERY_S = 60.0
_METADATA = "application/json"
_BYTES = "application/octet-stream"
# Versioned files never change; what a browser or proxy keeps is checked by TUF anyway.
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_NEVER = {"Cache-Control": "no-store"}

_Anything = Request[Any, Any, Any]


class SignInRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `token` (one use, `fhl1:...`), or `name` and `password`."""

    token: str | None = None
    name: str | None = None
    password: str | None = None


class PasswordRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The new password, and the current one if there is one."""

    password: str
    current: str | None = None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, where, and what the token allows.

    `may` are the actions that are not refused (pages offer no others), `barred` the parts of them
    that need a higher tier, such as `session.open:terminal`.
    """

    account: Who
    organisation: Organisation
    scopes: list[str]
    may: list[str]
    barred: list[str]


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account to add."""

    name: str
    role: Role


class AddedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account, and the one-use token to hand to its owner."""

    id: str
    name: str
    role: Role
    signin_token: str


class Upload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New trust metadata, signed offline; `files` are new targets by path."""

    root: bytes | None = None
    targets: bytes | None = None
    files: dict[str, bytes] = msgspec.field(default_factory=dict)


class Piece(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a release's file: whole pieces at `offset`."""

    path: str
    sha256: str
    offset: int
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_PIECE_BYTES)]


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next version of the role `releases`, with one's own signature."""

    metadata: bytes


class Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A canonical DSSE envelope."""

    envelope: bytes


class SignInController(Controller):
    """Signing in and out, and one's own account."""

    @post("/sign-in", action=PUBLIC, status_code=200, keep_answer=False)
    async def sign_in(
        self, request: _Anything, relay: FromRelay, data: JSONBody[SignInRequest]
    ) -> Response[SignedIn | PendingSignIn]:
        """Exchange a one-use token, or name and password, for an API token.

        Where the account has a second factor the answer is 202, and `/sign-in/second` goes on.
        """
        service = relay.service(make_signin)
        address = caller_address(request, relay)
        match data:
            case SignInRequest(token=str(token), name=None, password=None):
                answer = await service.with_token(token, address=address)
            case SignInRequest(token=None, name=str(name), password=str(password)):
                answer = await service.with_password(name, password, address=address)
            case _:
                raise UsageError("invalid", "give a token, or a name and a password")
        return sign_in_answer(answer)

    @get("/me", action="me.read")
    async def me(self, relay: FromRelay, actor: FromActor) -> Me:
        """Return who is signed in."""
        return Me(
            account=Who(id=actor.account, name=actor.name, role=actor.role),
            organisation=Organisation(tenant=relay.tenant, name=relay.settings.org),
            scopes=sorted(actor.scopes),
            may=allowed(actor),
            barred=sorted(one for one in actor.barred if ":" in one),
        )

    @post("/me/password", action="me.write", status_code=204)
    async def set_password(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[PasswordRequest]
    ) -> None:
        """Set one's password; one's other sign-ins end."""
        await relay.service(make_signin).set_password(actor, data.password, data.current)

    @post("/sign-out", action="me.write", status_code=204)
    async def sign_out(self, relay: FromRelay, actor: FromActor) -> None:
        """End this sign-in."""
        await relay.service(make_signin).sign_out(actor)


class AccountController(Controller):
    """Accounts of the organisation."""

    path = "/accounts"

    @get("/", action="account.read")
    async def list_accounts(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT
    ) -> Page[Account]:
        """Return the accounts by name."""
        after = decode_cursor(cursor, str)
        async with relay.db.read() as c:
            rows = await relay.service(make_directory).page(
                c, after=after[0] if after else None, limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.name,))

    @post("/", action="account.write", keep_answer=False)
    async def add(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[NewAccount]
    ) -> Response[AddedAccount]:
        """Add an account and return its one-use sign-in token."""
        async with relay.db.write() as c:
            account = await relay.service(make_directory).add(
                c, name=data.name, role=data.role, actor=actor.name
            )
            token = await relay.service(make_tokens).issue_signin(c, account.id)
        added = AddedAccount(
            id=account.id, name=account.name, role=account.role, signin_token=token
        )
        return Response(added, status_code=201, headers=_NEVER)

    @post("/{name:str}/signin", action="account.write", status_code=200, keep_answer=False)
    async def new_signin(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str]
    ) -> Response[AddedAccount]:
        """Return a new one-use sign-in token for an account whose owner lost hers."""
        async with relay.db.write() as c:
            account = await relay.service(make_directory).new_signin(c, name, actor=actor.name)
            token = await relay.service(make_tokens).issue_signin(c, account.id)
        shown = AddedAccount(
            id=account.id, name=account.name, role=account.role, signin_token=token
        )
        return Response(shown, status_code=200, headers=_NEVER)

    @post("/{name:str}/disable", action="account.write", status_code=200)
    async def disable(self, relay: FromRelay, actor: FromActor, name: FromPath[str]) -> Account:
        """Disable an account; its tokens end at once."""
        async with relay.db.write() as c:
            return await relay.service(make_directory).disable(c, name, actor=actor.name)


class TrustController(Controller):
    """Trust metadata, signed offline by admins; the relay only keeps it."""

    path = "/trust"

    @get("/", action="trust.read")
    async def status(self, relay: FromRelay) -> TrustStatus:
        """Return the newest versions and the relay's online key."""
        async with relay.db.read() as c:
            return await relay.service(make_trust).status(c)

    @post("/", action="trust.write", status_code=200)
    async def publish(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[Upload]
    ) -> TrustStatus:
        """Store new root or targets metadata after checking it against the current root."""
        return await relay.service(make_trust).publish(
            root=data.root, targets=data.targets, files=data.files, actor=actor.name
        )

    @post("/releases", action="release.publish", status_code=204, keep_answer=False)
    async def publish_releases(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[Draft]
    ) -> None:
        """Take the releases over, signed as the newest targets delegate them."""
        await relay.service(make_trust).publish_releases(data.metadata, actor.name)

    @get("/releases/draft", action="trust.read", media_type=_METADATA)
    async def draft(self, relay: FromRelay) -> Response[bytes]:
        """Return the releases that wait for signatures."""
        body = await relay.service(make_trust).draft()
        if body is None:
            raise not_found("draft of releases", "draft")
        return Response(body, media_type=_METADATA, headers=_NEVER)

    @post("/releases/pieces", action="release.add", status_code=204, keep_answer=False)
    async def add_piece(self, relay: FromRelay, data: JSONBody[Piece]) -> None:
        """Store a part of a release's file."""
        service = relay.service(make_trust)
        await service.add_piece(data.path, data.sha256, data.offset, data.body)

    @post("/releases/draft", action="release.add", status_code=204, keep_answer=False)
    async def add_draft(self, relay: FromRelay, actor: FromActor, data: JSONBody[Draft]) -> None:
        """Hand in the next releases, signed by their author."""
        await relay.service(make_trust).add_draft(data.metadata, actor.name)

    @post("/releases/signatures", action="release.approve", status_code=204, keep_answer=False)
    async def sign_draft(self, relay: FromRelay, actor: FromActor, data: JSONBody[Draft]) -> None:
        """Add one's signature to the releases that wait."""
        await relay.service(make_trust).sign_draft(data.metadata, actor.name)

    @get("/metadata/{file:str}", action="trust.read", media_type=_METADATA)
    async def metadata(self, relay: FromRelay, file: FromPath[str]) -> Response[bytes]:
        """Return a metadata file, exactly as it was signed."""
        body = await relay.service(make_trust).file("metadata", file)
        if body is None:
            raise not_found("metadata file", file)
        headers = _NEVER if file == "timestamp.json" else _FOR_EVER
        return Response(body, media_type=_METADATA, headers=headers)

    @get("/targets/{file:path}", action="trust.read", media_type=_BYTES)
    async def target(self, relay: FromRelay, file: FromPath[str]) -> Response[bytes]:
        """Return a target by its consistent name (`DIGEST.roster.json`)."""
        name = str(file).removeprefix("/")
        body = await relay.service(make_trust).file("target", name)
        if body is None:
            raise not_found("target", name)
        return Response(body, media_type=_BYTES, headers=_FOR_EVER)


class TokenController(Controller):
    """Registrations of enrolment tokens."""

    path = "/tokens"

    @get("/", action="token.read")
    async def list_tokens(
        self, relay: FromRelay, cursor: Cursor = None, limit: Limit = LIMIT_DEFAULT
    ) -> Page[Registration]:
        """Return the registrations, oldest first."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            rows = await relay.service(make_registrations).page(
                c, after=(after[0], after[1]) if after else None, limit=limit + 1
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.created_at, row.id))

    @post("/", action="token.write")
    async def register(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[Sealed]
    ) -> Registration:
        """Register a token that an admin of the roster signed."""
        return await relay.service(make_registrations).register(data.envelope, actor=actor.name)


async def _sweep(relay: Relay) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        await forget_old_keys(relay)
        async with relay.db.write() as c:
            await relay.service(make_steps).sweep(c)


async def _note_uses(relay: Relay) -> None:
    while True:
        await asyncio.sleep(_NOTE_EVERY_S)
        try:
            await relay.service(make_tokens).note_uses()
        except FarhandError as error:
            _log.warning("when sign-ins were last used was not written: %s", error)


async def _start(relay: Relay) -> None:
    trust = relay.service(make_trust)
    relay.tasks.spawn(trust.keep_fresh(), name="trust: keep fresh")
    relay.tasks.spawn(_sweep(relay), name="sweep idempotency keys")
    relay.tasks.spawn(_note_uses(relay), name="note when sign-ins are used")


AREA = Area(
    name="foundation",
    controllers=[
        SignInController,
        AccountController,
        TrustController,
        TokenController,
    ],
    public=[healthz, metrics],
    statuses={"token-not-signed": 403},
    start=_start,
)
