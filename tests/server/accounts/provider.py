"""An OpenID provider on a free port of this machine: its own RSA keys, and every lie a test wants.

The browser's part (`authorise`) is called by the test; what the relay fetches comes over HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.server.relays import ManualClock


def _plain(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@functools.cache
def rsa_key(kid: str, _number: int = 0) -> RSAKey:
    """Return a key of this name, made once; `_number` is another one of the same name."""
    return RSAKey.generate_key(2048, {"kid": kid})


class TestProvider:
    """Answers for one client, `relay`, whose secret is `hush`.

    Attributes:
        claims: what the next token says besides, or instead of, the truth.
        alg: how it is signed.
        codes: what was asked with each code.
    """

    __test__ = False

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.key = rsa_key("one")
        self.published = [self.key]
        self.claims: dict[str, Any] = {}
        self.alg = "RS256"
        self.codes: dict[str, dict[str, str]] = {}
        self.metadata: dict[str, Any] = {}
        self.flood = False
        self.asked: list[str] = []
        self.issuer = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> TestProvider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.issuer = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def authorise(self, address: str, subject: str, mail: str, **more: Any) -> tuple[str, str]:
        """Sign somebody in at the address that the relay sent the browser to.

        Returns: code and state, as the browser carries them back.
        """
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.issuer}/authorize?")
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        self.claims = {"sub": subject, "email": mail, "email_verified": True, **more}
        return code, asked["state"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(
                line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
            )
            body = (await reader.readexactly(int(fields.get("content-length", "0")))).decode()
            path = head.split(" ")[1]
            self.asked.append(path)
            status, answer = self._answer(path, body, head)
            data = json.dumps(answer).encode() if not self.flood else b" " * 300_000
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
                + data
            )
            await writer.drain()
        except ConnectionError:
            pass  # the relay stopped reading, as it should when flooded
        finally:
            writer.close()

    def _answer(self, path: str, body: str, head: str) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                **self.metadata,
            }
        if path == "/keys":
            return 200, {"keys": [key.as_dict(private=False) for key in self.published]}
        if path == "/token":
            return self._token({k: v[0] for k, v in parse_qs(body).items()}, head)
        return 404, {}

    def _token(self, form: dict[str, str], head: str) -> tuple[int, Any]:
        asked = self.codes.pop(form.get("code", ""), None)
        basic = base64.b64encode(b"relay:hush").decode()
        if asked is None or f"Basic {basic}" not in head:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": "relay",
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.alg, "kid": str(self.key.kid)}
        if self.alg == "none":
            token = f"{_plain(header)}.{_plain(claims)}."
        elif self.alg == "HS256":
            signed = f"{_plain(header)}.{_plain(claims)}"
            mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            token = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        else:
            token = jwt.encode(header, claims, self.key)
        return 200, {"id_token": token, "access_token": "x", "token_type": "Bearer"}
