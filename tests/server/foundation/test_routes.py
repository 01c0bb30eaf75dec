"""Every route of the application, with every role and with nobody."""

from __future__ import annotations

import re
import typing
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar, get
from litestar.routes import HTTPRoute

from farhand_server.accounts.authorisation import ACTIONS, PUBLIC, ROLES
from farhand_server.api.area import Area
from farhand_server.api.areas import AREAS
from farhand_server.app import Relay, build_app
from farhand_server.gateway.node import make_gateway
from tests.server.relays import SignIn, serving

# Who may ask what, and how an answer looks, is decided before any store is asked.
pytestmark = pytest.mark.either_store

# A path for each kind of parameter; no such thing exists, so nothing is changed by the walk.
_PARAMETERS = {"str": "none", "int": "999999", "path": "none", "uuid": "0" * 32}


def routes(app: Litestar) -> list[tuple[str, str, Any]]:
    """Return (method, path, handler) of every HTTP route."""
    found: list[tuple[str, str, Any]] = []
    for route in app.routes:
        assert isinstance(route, HTTPRoute), f"{route.path} is not HTTP"
        for handler in route.route_handlers:
            path = re.sub(r"\{\w+:(\w+)\}", lambda match: _PARAMETERS[match[1]], route.path)
            found += [
                (str(m), path, handler) for m in sorted(handler.http_methods) if m != "OPTIONS"
            ]
    return found


async def test_every_route_declares_a_known_action(relay: Relay) -> None:
    with serving(relay) as app:
        walked = routes(app)
    assert len(walked) > 10
    for method, path, handler in walked:
        action = handler.opt.get("action")
        assert action == PUBLIC or action in ACTIONS, f"{method} {path} declares {action!r}"


# Pages of people who ask for help; those below /my look for the sign-in of the browser.
PAGES = {
    "GET /",
    "GET /help",
    "GET /language/none",
    "GET /kb",
    "GET /kb/none",
    "GET /kb/none/files/none",
    "POST /kb/none/vote",
    "GET /contact",
    "GET /status",
    "GET /pages/style.css",
    "GET /pages/logo",
    "GET /pages/icon.svg",
    "GET /pages/scripts/none",
    "GET /questions",
    "GET /questions/ask",
    "POST /questions/ask",
    "GET /questions/999999",
    "POST /questions/999999/answers",
    "POST /questions/999999/accept",
    "GET /chat",
    "POST /chat",
    "GET /my/none/chat",
    "GET /my/none/talk",
    "POST /my/none/say",
    "GET /t/none/chat",
    "GET /t/none/talk",
    "POST /t/none/say",
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/none",
    "POST /sign-in/use",
    "POST /sign-in/second",
    "POST /sign-in/key",
    "POST /sign-out",
    "GET /forgot",
    "POST /forgot",
    "GET /get-agent",
    "GET /get-agent/none",
    "GET /my/contract",
    "GET /my/devices",
    "GET /my/data",
    "POST /my/data",
    "GET /my/security",
    "POST /my/security/app",
    "POST /my/security/app/confirm",
    "POST /my/security/key",
    "POST /my/security/key/finish",
    "POST /my/security/recovery",
    "POST /my/security/remove",
    "GET /verify/none",
    "POST /verify",
    "GET /reset/none",
    "POST /reset",
    "GET /csat/none",
    "POST /csat",
    "GET /my",
    "GET /my/new",
    "POST /my/new",
    "GET /my/none",
    "GET /my/none/files/999999/999999",
    "POST /my/none/reply",
    "POST /my/none/solved",
    "POST /my/none/content",
    "GET /my/none/mail/999999",
    "GET /my/none/mail/999999/own",
    "GET /t/none",
    "GET /t/none/files/999999/999999",
    "GET /t/none/mail/999999",
    "GET /t/none/mail/999999/own",
    "POST /t/none/reply",
    "POST /t/none/solved",
    "POST /t/none/content",
}


async def test_the_public_routes_are_these(relay: Relay) -> None:
    with serving(relay) as app:
        walked = routes(app)
    public = {
        f"{method} {path}"
        for method, path, handler in walked
        if handler.opt.get("action") == PUBLIC and method != "HEAD"
    }
    assert (
        public
        == {
            "POST /api/v1/sign-in",
            "POST /api/v1/sign-in/forgot",
            "POST /api/v1/sign-in/link",
            "POST /api/v1/sign-in/link/use",
            "POST /api/v1/sign-in/reset",
            "POST /api/v1/sign-in/second",
            "POST /api/v1/sign-in/second/key",
            "POST /api/v1/verify",
            "GET /api/v1/verify/none",
            "GET /api/v1/card",
            "POST /api/v1/connectors/none/events",  # whoever signs with the connector's secret
            "POST /api/v1/hooks/none",  # whoever shows the hook's secret
            "GET /api/v1/sign-in/oidc/begin/none",
            "GET /api/v1/sign-in/oidc/callback",
            "POST /api/v1/sign-in/oidc",
            "POST /api/v1/sign-in/oidc/finish",
            "GET /api",
            "GET /api/openapi.json",
            "GET /api/none",  # the answer to any other page there: 404
            "POST /api/v1/assistant/ask",
            "POST /api/v1/assistant/talks/none/person",
            "GET /api/v1/knowledge/suggest",
            "GET /api/v1/knowledge/public",
            "GET /api/v1/knowledge/public/none",
            "GET /api/v1/knowledge/public/none/files/none",
            "POST /api/v1/knowledge/public/none/vote",
            "GET /api/v1/knowledge/questions",
            "POST /api/v1/knowledge/questions",
            "GET /api/v1/knowledge/questions/999999",
            "POST /api/v1/knowledge/questions/999999/answers",
            "GET /api/v1/rate-card",
            "GET /api/v1/csat/none",
            "POST /api/v1/csat/none",
            "POST /api/v1/calls/hook",  # whoever shows the telephone system's token
            "GET /healthz",
            "GET /metrics",
        }
        | PAGES
    )


# Who may do what is decided before any store is asked.
@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_every_route_with_every_role(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    with serving(relay) as app:
        walked = routes(app)
    for role in (None, *ROLES):
        headers = await sign_in(role, name=f"walk-{role}") if role else {}
        for method, path, handler in walked:
            action = handler.opt["action"]
            answer = await web.request(method, path, headers=headers, json={})
            where = f"{role}: {method} {path} ({action}) answered {answer.status_code}"
            if action == PUBLIC:
                assert answer.status_code not in {401, 403}, where
            elif role is None:
                assert answer.status_code == 401, where
                assert answer.json()["code"] == "not-signed-in", where
            elif role in ACTIONS[action]:
                assert answer.status_code not in {401, 403}, where
                assert answer.status_code < 500, where
            else:
                assert answer.status_code == 403, where
                assert answer.json()["code"] == "not-permitted", where
            if path.endswith("/sign-out") and role is not None:
                headers = await sign_in(role, name=f"walk-{role}")


def _fields(of: Any) -> set[str]:
    """Return the names of every field that a value of this type may hold, at any depth."""
    seen: set[Any] = set()
    names: set[str] = set()
    waiting = [of]
    while waiting:
        one = waiting.pop()
        waiting += typing.get_args(one)
        base = typing.get_origin(one) or one
        if isinstance(base, type) and issubclass(base, msgspec.Struct) and one not in seen:
            seen.add(one)
            fields = msgspec.structs.fields(one)
            names |= {field.name for field in fields}
            waiting += [field.type for field in fields]
    return names


_SECRET = re.compile(r"(\A|_)(secret|token|codes)\Z")
# What stands in a field of such a name there is no secret, or none any more.
NOTHING_TO_KEEP_BACK = {
    # The id of the token that a device enrolled with.
    "POST /api/v1/devices",
    "POST /api/v1/devices/none/confirm",
    "POST /api/v1/devices/none/retire",
    # Empty after the first answer.
    "POST /api/v1/hooks/none/remove",
    "POST /api/v1/webhooks/none/enabled",
    "POST /api/v1/webhooks/none/remove",
    # For one attachment, within a minute; a kept answer is of no use after that.
    "POST /api/v1/sessions/none/pipes",
    "POST /api/v1/sessions/none/pipes/999999",
}


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_no_answer_with_a_secret_is_kept(relay: Relay) -> None:
    with serving(relay) as app:
        walked = routes(app)
    kept: set[str] = set()
    bare: set[str] = set()
    for method, path, handler in walked:
        names = _fields(handler.parsed_fn_signature.return_type.annotation)
        if method != "POST" or not any(map(_SECRET.search, names)):
            continue
        (kept if handler.opt.get("keep_answer", True) else bare).add(f"{method} {path}")
    assert {"POST /api/v1/accounts", "POST /api/v1/webhooks", "POST /api/v1/hooks"} <= bare
    assert kept == NOTHING_TO_KEEP_BACK


async def test_scopes_narrow_a_token(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    one = await sign_in("admin", scopes="account.read")
    noun = await sign_in("admin", scopes="account.* trust.read")
    none = await sign_in("admin", scopes="")
    for headers, path, status in (
        (one, "/api/v1/accounts", 200),
        (one, "/api/v1/trust", 403),
        (noun, "/api/v1/accounts", 200),
        (noun, "/api/v1/trust", 200),
        (noun, "/api/v1/audit", 403),
        (none, "/api/v1/accounts", 403),
    ):
        assert (await web.get(path, headers=headers)).status_code == status, path
    answer = await web.post("/api/v1/accounts", headers=one, json={"name": "x", "role": "admin"})
    assert answer.status_code == 403


async def test_a_route_without_an_action_is_closed(relay: Relay, sign_in: SignIn) -> None:
    @get("/forgotten")
    async def forgotten() -> str:
        return "open"

    app: Any = build_app(relay, [*AREAS, Area(name="test", controllers=[forgotten])])
    headers = await sign_in("admin")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        answer = await client.get("/api/v1/forgotten", headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "header",
    ["Basic YTpi", "Bearer", "Bearer ", "Bearer fhs_wrong", "Bearer " + "x" * 5000, "\xff\xfe"],
)
async def test_bad_authorization_headers(web: httpx.AsyncClient, header: str) -> None:
    headers = {b"Authorization": header.encode("latin-1")}
    answer = await web.get("/api/v1/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "not-signed-in")
    assert answer.headers["www-authenticate"] == "Bearer"
    # A stale token must not keep anybody from signing in.
    answer = await web.post("/api/v1/sign-in", headers=headers, json={"token": "fhl1:x"})
    assert answer.json()["code"] == "sign-in-failed"


async def test_openapi_names_no_other_server(web: httpx.AsyncClient) -> None:
    answer = await web.get("/api/openapi.json")
    assert answer.status_code == 200
    document = answer.json()
    assert "/api/v1/sign-in" in document["paths"]
    assert "https://" not in answer.text.replace("https://spec.openapis.org", "")
    for path in ("/api/swagger", "/api/redoc", "/api/elements", "/schema"):
        assert (await web.get(path)).status_code == 404


async def test_problems(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    headers = await sign_in("admin")
    cases: list[tuple[httpx.Response, int, str]] = [
        (await web.get("/api/v1/nothing"), 404, "not-found"),
        (await web.delete("/api/v1/accounts", headers=headers), 405, "method-not-allowed"),
        (await web.post("/api/v1/accounts", headers=headers, content=b"{"), 422, "invalid"),
        (await web.post("/api/v1/accounts", headers=headers, json={"name": 1}), 422, "invalid"),
        (
            await web.post("/api/v1/sign-in", json={"token": "x", "other": 1}),
            422,
            "invalid",
        ),
        (
            await web.post("/api/v1/trust", headers=headers, content=b" " * (8 * 2**20 + 1)),
            413,
            "body-too-large",
        ),
        (await web.get("/api/v1/accounts?limit=501", headers=headers), 422, "invalid"),
    ]
    for answer, status, code in cases:
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status)
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert problem["type"] == "about:blank"
        assert problem["title"]
        assert problem["detail"]


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_body_nested_too_deep_is_invalid_everywhere(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    with serving(relay) as app:
        walked = [
            (m, path, handler)
            for m, path, handler in routes(app)
            if m not in {"GET", "HEAD"} and path.startswith("/api/")  # pages read forms
        ]
    headers = await sign_in("admin", name="deep")
    taken = 0
    for method, path, handler in walked:
        for body in (b"[" * 5000, b'{"a":' * 5000, b"[" * 5000 + b"]" * 5000):
            kind = {"Content-Type": "application/json"}
            sent = {} if handler.opt["action"] == PUBLIC else headers
            answer = await web.request(method, path, headers=sent | kind, content=body)
            assert answer.status_code < 500, f"{method} {path}: {answer.text}"
            if answer.status_code == 422:
                assert answer.json()["code"] == "invalid", f"{method} {path}: {answer.text}"
                taken += 1
        if path.endswith("/sign-out"):
            headers = await sign_in("admin", name="deep")
    assert taken > len(walked), "most routes read their body"


async def test_a_recursion_of_our_own_stays_a_bug(relay: Relay) -> None:
    @get("/broken", action=PUBLIC)
    async def broken() -> str:
        raise RecursionError("ours")

    app: Any = build_app(relay, [Area(name="test", controllers=[broken])])
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        answer = await client.get("/api/v1/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


async def test_a_bug_shows_nothing_of_itself(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    @get("/broken", action=PUBLIC)
    async def broken() -> str:
        raise KeyError("secret words")

    app: Any = build_app(relay, [Area(name="test", controllers=[broken])])
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        answer = await client.get("/api/v1/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "secret words" in caplog.text


# Each store and each bus says in its own way that it is well.
@pytest.mark.parametrize("relay_parts", ["sqlite", "postgresql"], indirect=True)
async def test_health_and_metrics(relay: Relay, web: httpx.AsyncClient) -> None:
    answer = await web.get("/healthz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "store": "ok", "bus": "ok"},
    )
    assert (await web.get("/metrics")).status_code == 404
    app: Any = build_app(relay)
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as here:
        await here.get("/api/v1/me")
        text = (await here.get("/metrics")).text
    assert 'farhand_http_requests_total{method="GET",route="/api/v1/me",status="401"}' in text
    gateway = relay.service(make_gateway)
    gateway.doorway.refused["relay-full"] += 2
    gateway.links.count("device-unknown")
    gateway.presence.came("d-1")
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as here:
        lines = (await here.get("/metrics")).text.splitlines()
    assert "farhand_devices 1.0" in lines
    assert 'farhand_refused_total{code="relay-full"} 2.0' in lines
    assert 'farhand_refused_total{code="device-unknown"} 1.0' in lines
    for name in gateway.figures():
        metric = f"farhand_{'refused' if name.startswith('refused_') else name}"
        helped = [one for one in lines if one.split()[:2] == ["#", "HELP"] and metric in one]
        assert helped, name
    await relay.bus.close()
    answer = await web.get("/healthz")
    assert (answer.status_code, answer.json()["bus"]) == (503, "bus-unreachable")
