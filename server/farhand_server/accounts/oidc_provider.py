"""The OpenID provider as the relay sees it: its metadata, its keys, and what its tokens prove.

Everything it answers is bounded, read without redirects, and believed only as far as it is signed:
an ID token must be signed (never `none`, never with a shared secret) by a key of the provider's own
set, name this issuer, this client and the nonce of this very sign-in, and be fresh.  A key that is
not in the set makes the relay fetch the set again, at most once a minute: providers change keys.
Source: OpenID Connect Core 1.0 s3.1.3.7, Discovery 1.0 s4.3, RFC 7636.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.oidc_settings import OidcSettings, client_secret
from farhand_server.config import is_loopback
from farhand_server.relay import Relay

__all__ = ["MAX_ANSWER_BYTES", "Claims", "Provider"]

MAX_ANSWER_BYTES: Final = 256 * 1024
_TIMEOUT_S: Final = 10.0
_KEYS_REST_S: Final = 60.0
_METADATA_S: Final = 3600.0
_LEEWAY_S: Final = 60
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")


class _Metadata(msgspec.Struct, frozen=True, kw_only=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = msgspec.field(
        default_factory=lambda: ["client_secret_basic"]
    )


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What an ID token said that the relay goes by."""

    subject: str
    mail: str
    is_verified: bool
    name: str


class Provider:
    """One provider, with its metadata and keys in memory; made anew when the settings change.

    Args:
        relay: the wiring.
        settings: of this provider.
        redirect: the relay's own address that the browser comes back to.
    """

    def __init__(self, relay: Relay, settings: OidcSettings, redirect: str) -> None:
        self.settings = settings
        self._relay = relay
        self._redirect = redirect
        self._metadata: _Metadata | None = None
        self._metadata_at = 0.0
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")
        self._lock = asyncio.Lock()

    async def address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return where the browser is sent to sign in.

        Raises:
            FarhandError: `oidc-provider`.
        """
        metadata = await self._know()
        return str(
            prepare_grant_uri(
                metadata.authorization_endpoint,
                self.settings.client_id,
                "code",
                redirect_uri=self._redirect,
                scope="openid email profile",
                state=state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
            )
        )

    async def claims(self, *, code: str, nonce: str, verifier: str) -> Claims:
        """Exchange a code and return what the provider vouches for.

        Raises:
            FarhandError: `oidc-provider`, `oidc-secret`, `oidc-refused` for a token that proves
                nothing.
        """
        metadata = await self._know()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "client_id": self.settings.client_id,
            "code_verifier": verifier,
        }
        secret = await asyncio.to_thread(client_secret, self._relay, self.settings)
        auth = None
        if secret and "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            auth = httpx.BasicAuth(self.settings.client_id, secret)
        elif secret:
            form["client_secret"] = secret
        answer = await self._fetch("POST", metadata.token_endpoint, data=form, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise _refused("the provider gave no ID token")
        access = answer.get("access_token")
        return await self._check(token, nonce, access if isinstance(access, str) else None)

    async def _check(self, token: str, nonce: str, access: str | None) -> Claims:
        read = await self._verify(token)
        claims = CodeIDToken(
            read.claims,
            read.header,
            options={
                "iss": {"essential": True, "value": self.settings.issuer},
                "aud": {"essential": True, "value": self.settings.client_id},
                "sub": {"essential": True},
            },
            params={
                "nonce": nonce,
                "client_id": self.settings.client_id,
                "access_token": access,
            },
        )
        try:
            claims.validate(now=int(self._relay.now().timestamp()), leeway=_LEEWAY_S)
        except Exception as error:
            # Two families of errors of two libraries, and Python's own for claims of odd types.
            raise _refused("the provider's token is not for this sign-in", error) from error
        subject, mail = claims.get("sub"), claims.get("email", "")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or "\0" in subject:
            raise _refused("the provider's token names nobody")
        name = claims.get("name", "")
        return Claims(
            subject=subject,
            mail=mail if isinstance(mail, str) else "",
            is_verified=claims.get("email_verified") is True,
            name=name if isinstance(name, str) else "",
        )

    async def _verify(self, token: str) -> Any:
        """Check the signature; with an unknown key, once more with the keys of now."""
        for fresh in (False, True):
            keys = await self._known_keys(fresh=fresh)
            try:
                return jwt.decode(token, keys, algorithms=list(_ALGORITHMS))
            except (JoseError, ValueError, KeyError, TypeError) as error:
                if fresh:
                    raise _refused("the provider's token is not signed by it", error) from error
        raise AssertionError("unreachable: the second round returns or raises")

    # What the provider publishes.

    async def _know(self) -> _Metadata:
        now = self._relay.clock.monotonic()
        async with self._lock:
            if self._metadata is None or now - self._metadata_at > _METADATA_S:
                where = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
                told = await self._fetch("GET", where)
                try:
                    metadata = msgspec.convert(told, _Metadata)
                except msgspec.ValidationError as error:
                    raise _unwell("its metadata cannot be read", error) from error
                if metadata.issuer != self.settings.issuer:
                    raise _unwell("it calls itself by another name than the settings do")
                for one in (
                    metadata.authorization_endpoint,
                    metadata.token_endpoint,
                    metadata.jwks_uri,
                ):
                    _check_endpoint(one)
                self._metadata, self._metadata_at = metadata, now
            return self._metadata

    async def _known_keys(self, *, fresh: bool) -> KeySet:
        metadata = await self._know()
        now = self._relay.clock.monotonic()
        async with self._lock:
            may_ask = now - self._keys_at >= _KEYS_REST_S
            if self._keys is None or (fresh and may_ask):
                told = await self._fetch("GET", metadata.jwks_uri)
                try:
                    self._keys = KeySet.import_key_set(told)  # type: ignore[arg-type]
                except (JoseError, ValueError, KeyError, TypeError) as error:
                    raise _unwell("its keys cannot be read", error) from error
                self._keys_at = now
            return self._keys

    async def _fetch(
        self,
        method: str,
        address: str,
        *,
        data: dict[str, str] | None = None,
        auth: httpx.Auth | None = None,
    ) -> dict[str, Any]:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                httpx.AsyncClient(
                    verify=_authorities(),
                    timeout=_TIMEOUT_S,
                    follow_redirects=False,
                    trust_env=False,
                ) as client,
                client.stream(method, address, data=data, auth=auth) as answer,
            ):
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise _unwell("its answer is too large")
            told = msgspec.json.decode(bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _unwell("it cannot be reached", error) from error
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise _unwell("its answer cannot be read", error) from error
        if answer.status_code != 200 or not isinstance(told, dict):
            raise _refused(f"the provider answered {answer.status_code}")
        return told


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are believed; read once, for that takes longer than a call and waits."""
    return httpx.create_ssl_context(trust_env=False)


def _check_endpoint(address: str) -> None:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError as error:
        raise _unwell("it names an endpoint that is no address", error) from error
    if not host or not (parts.scheme == "https" or is_loopback(host)):
        raise _unwell("it names an endpoint that is not https://")


def _unwell(words: str, error: Exception | None = None) -> FarhandError:
    detail = f"{type(error).__name__}: {error}"[:300] if error is not None else None
    return FarhandError(
        "oidc-provider",
        f"the provider does not answer as one: {words}",
        hint="try again; an admin looks at farhand account settings",
        detail=detail,
    )


def _refused(words: str, error: Exception | None = None) -> FarhandError:
    detail = type(error).__name__ if error is not None else None
    return FarhandError("oidc-refused", words, hint="begin to sign in anew", detail=detail)
