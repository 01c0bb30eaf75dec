"""Security keys and passkeys as second factors (WebAuthn, W3C level 3, through py_webauthn).

    options (a challenge, kept as a step) -> the browser asks the key -> the answer uses the step up

So a challenge is answered once or never.  The answer must name this relay's origin and the host of
its address as the relying party; a signature counter that does not go up is refused, because it
means a copy of the key (keys that count nothing answer 0 for ever, and are taken).  Browsers allow
keys only on https:// and on localhost, and never for a bare IP address.
"""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    UserVerificationRequirement,
)

from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import make_id
from farhand_server.accounts.factors import make_factors, wrong_factor
from farhand_server.accounts.steps import make_steps
from farhand_server.relay import Relay
from farhand_server.store.schema import second_factors

__all__ = ["MAX_CREDENTIAL_CHARS", "Challenge", "SecurityKeys", "make_security_keys"]

MAX_CREDENTIAL_CHARS: Final = 16_000
_CHALLENGE_TTL: Final = timedelta(minutes=5)
_CHALLENGE_BYTES: Final = 32
_WISH: Final = UserVerificationRequirement.PREFERRED


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser is asked; `step` goes back with its answer, `options` is WebAuthn's JSON."""

    step: str
    options: dict[str, Any]


def make_security_keys(relay: Relay) -> SecurityKeys:
    """Return the relay's security keys."""
    return SecurityKeys(relay)


class SecurityKeys:
    """Registers security keys and checks their answers, inside the caller's transactions."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._steps = relay.service(make_steps)
        self._factors = relay.service(make_factors)
        parts = urlsplit(relay.settings.url)
        self._party = parts.hostname or "localhost"
        self._origin = f"{parts.scheme}://{parts.netloc}"

    async def begin(self, c: AsyncConnection, *, account: str, name: str, label: str) -> Challenge:
        """Ask for a new key.

        Raises:
            FarhandError: `factors-full`, `invalid` for the label.
        """
        label = await self._factors.check_room(c, account, label)
        is_first = not await self._factors.of(c, account)
        challenge = self._relay.random(_CHALLENGE_BYTES)
        options = generate_registration_options(
            rp_id=self._party,
            rp_name=self._relay.settings.org,
            user_name=name,
            user_id=account.encode(),
            challenge=challenge,
            exclude_credentials=await self._credentials(c, account),
            authenticator_selection=AuthenticatorSelectionCriteria(user_verification=_WISH),
        )
        step = await self._steps.make(
            c,
            "webauthn-new",
            ttl=_CHALLENGE_TTL,
            account=account,
            state={"challenge": _text(challenge), "label": label, "is_first": is_first},
        )
        return Challenge(step=step, options=msgspec.json.decode(options_to_json(options)))

    async def finish(
        self, c: AsyncConnection, *, account: str, name: str, step: str, credential: dict[str, Any]
    ) -> list[str]:
        """Take a new key's answer.

        Returns: recovery codes, where the account had none yet.

        Raises:
            FarhandError: `factor-wrong`, `factor-taken` for a key that is known already.
        """
        asked = await self._steps.use(c, "webauthn-new", step)
        if asked is None or asked.account != account:
            raise wrong_factor()
        if asked.state.get("is_first", True) and await self._factors.of(c, account):
            # Begun before there was a factor: nobody was asked for a code of it.
            raise wrong_factor()
        try:
            made = verify_registration_response(
                credential=credential,
                expected_challenge=_bytes(asked.state["challenge"]),
                expected_rp_id=self._party,
                expected_origin=self._origin,
            )
        except _NOT_AN_ANSWER as error:
            raise _refused(error) from error
        factor = make_id("f", self._relay.random(10))
        try:
            async with c.begin_nested():
                await c.execute(
                    insert(second_factors).values(
                        tenant=self._relay.tenant,
                        id=factor,
                        account=account,
                        kind="webauthn",
                        label=asked.state["label"],
                        secret=made.credential_public_key,
                        credential=_text(made.credential_id),
                        counter=made.sign_count,
                        created_at=self._relay.stamp(),
                    )
                )
        except IntegrityError as error:
            raise FarhandError("factor-taken", "this security key is known already") from error
        return await self._factors.proved(c, account=account, name=name, factor=factor)

    async def ask(self, c: AsyncConnection, *, account: str) -> Challenge:
        """Ask one of an account's keys to sign."""
        challenge = self._relay.random(_CHALLENGE_BYTES)
        options = generate_authentication_options(
            rp_id=self._party,
            challenge=challenge,
            allow_credentials=await self._credentials(c, account),
            user_verification=_WISH,
        )
        step = await self._steps.make(
            c,
            "webauthn",
            ttl=_CHALLENGE_TTL,
            account=account,
            state={"challenge": _text(challenge)},
        )
        return Challenge(step=step, options=msgspec.json.decode(options_to_json(options)))

    async def check(
        self, c: AsyncConnection, *, account: str, step: str, credential: dict[str, Any]
    ) -> bool:
        """Tell whether a key of this account answered the challenge, which is used up by that."""
        asked = await self._steps.use(c, "webauthn", step)
        if asked is None or asked.account != account:
            return False
        mine = (
            second_factors.c.tenant == self._relay.tenant,
            second_factors.c.account == account,
            second_factors.c.credential == str(credential.get("id", ""))[:1400],
            second_factors.c.confirmed_at.is_not(None),
        )
        row = (await c.execute(select(second_factors).where(*mine))).first()
        if row is None:
            return False
        try:
            proof = verify_authentication_response(
                credential=credential,
                expected_challenge=_bytes(asked.state["challenge"]),
                expected_rp_id=self._party,
                expected_origin=self._origin,
                credential_public_key=row.secret,
                credential_current_sign_count=row.counter,
            )
        except _NOT_AN_ANSWER:
            return False
        counts = second_factors.c.counter < proof.new_sign_count
        if proof.new_sign_count == 0:
            counts = second_factors.c.counter == 0
        taken = await c.execute(
            update(second_factors)
            .where(*mine, counts)
            .values(counter=proof.new_sign_count, used_at=self._relay.stamp())
        )
        return taken.rowcount == 1

    async def _credentials(
        self, c: AsyncConnection, account: str
    ) -> list[PublicKeyCredentialDescriptor]:
        query = select(second_factors.c.credential).where(
            second_factors.c.tenant == self._relay.tenant,
            second_factors.c.account == account,
            second_factors.c.kind == "webauthn",
        )
        return [PublicKeyCredentialDescriptor(id=_bytes(one)) for one in await c.scalars(query)]


# What the library raises for an answer that is none: its own errors, and those of Python that its
# reading of CBOR, JSON and base64 lets through.
_NOT_AN_ANSWER = (
    WebAuthnException,
    binascii.Error,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def _refused(error: Exception) -> FarhandError:
    refusal = wrong_factor()
    return type(refusal)(
        refusal.code,
        "the security key's answer does not fit",
        hint="begin again; a key works only on this relay's own address",
        detail=str(error),
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
