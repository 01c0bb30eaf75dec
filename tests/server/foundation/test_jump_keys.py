"""Jump keys on the relay: registered, renewed, bounded, ended with their account."""

from __future__ import annotations

import base64
import dataclasses

import httpx
import msgspec
import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.jump import jump_statement
from farhand_protocol.keys import verify
from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.jump_keys import JUMP_KEY_TTL, MAX_JUMP_KEYS, make_jump_keys
from farhand_server.app import Relay
from farhand_server.gateway.jump_host import make_jump_host
from tests.server.relays import ManualClock, SignIn


def _key(number: int) -> bytes:
    return bytes([number]) * 32


async def _register(web: httpx.AsyncClient, who: dict[str, str], key: bytes) -> httpx.Response:
    body = {"key": base64.b64encode(key).decode()}
    return await web.post("/api/v1/jump/keys", json=body, headers=who)


async def test_a_key_is_its_accounts_and_may_only_attach(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tess, otto = await sign_in("technician", name="tess"), await sign_in("technician", name="otto")
    assert (await _register(web, tess, _key(1))).status_code == 201
    actor = await relay.service(make_jump_keys).actor_of(_key(1))
    assert actor is not None
    assert (actor.name, actor.scopes) == ("tess", frozenset({"session.attach"}))
    taken = await _register(web, otto, _key(1))
    assert (taken.status_code, taken.json()["code"]) == (409, "jump-key-taken")
    assert await relay.service(make_jump_keys).actor_of(_key(2)) is None


async def test_it_ends_with_its_time_and_may_be_renewed(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    tess = await sign_in("technician", name="tess")
    await _register(web, tess, _key(1))
    clock.advance(JUMP_KEY_TTL.total_seconds() / 2)
    await _register(web, await sign_in("technician", name="tess"), _key(1))
    clock.advance(JUMP_KEY_TTL.total_seconds() - 1)
    assert await relay.service(make_jump_keys).actor_of(_key(1)) is not None
    clock.advance(2)
    assert await relay.service(make_jump_keys).actor_of(_key(1)) is None


async def test_it_ends_with_its_account(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await _register(web, await sign_in("technician", name="tess"), _key(1))
    async with relay.db.write() as c:
        await relay.service(make_directory).disable(c, "tess", actor="test")
    assert await relay.service(make_jump_keys).actor_of(_key(1)) is None


@pytest.mark.parametrize("way", ["all ended", "own password", "reset"])
@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_it_ends_with_every_sign_in(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, way: str
) -> None:
    root, tess = await sign_in("admin", name="root"), await sign_in("technician", name="tess")
    otto = await sign_in("technician", name="otto")
    await _register(web, tess, _key(1))
    await _register(web, otto, _key(2))
    new = {"password": "a new long password"}
    if way == "all ended":
        path = "/api/v1/accounts/tess/sign-ins/all/end"
        answer = await web.post(path, headers=root)
    elif way == "own password":
        answer = await web.post("/api/v1/me/password", headers=tess, json=new)
        assert (await web.get("/api/v1/me", headers=tess)).status_code == 200
    else:
        made = await web.post("/api/v1/accounts/tess/reset", headers=root)
        token = made.json()["token"]
        answer = await web.post("/api/v1/sign-in/reset", json=new | {"token": token})
    assert answer.status_code == 204
    assert await relay.service(make_jump_keys).actor_of(_key(1)) is None
    assert await relay.service(make_jump_keys).actor_of(_key(2)) is not None, "somebody else's"


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_a_tier_holds_it(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> None:
    root, tess = await sign_in("admin", name="root"), await sign_in("technician", name="tess")
    for number, who in enumerate((tess, root)):
        await _register(web, who, _key(number))
    wish = {"tier_rights": {"session.attach": 3}}
    assert (await web.post("/api/v1/sign-in-settings", headers=root, json=wish)).is_success
    keys = relay.service(make_jump_keys)
    with pytest.raises(FarhandError) as caught:
        await keys.actor_of(_key(0))
    assert caught.value.code == "not-permitted"
    assert await keys.actor_of(_key(1)) is not None, "no tier holds an admin"
    path = "/api/v1/accounts/tess/tier"
    assert (await web.post(path, headers=root, json={"tier": 3})).is_success
    assert await keys.actor_of(_key(0)) is not None


async def test_the_oldest_gives_way(
    relay: Relay, web: httpx.AsyncClient, sign_in: SignIn, clock: ManualClock
) -> None:
    tess = await sign_in("technician", name="tess")
    for number in range(MAX_JUMP_KEYS + 2):
        await _register(web, tess, _key(number))
        clock.advance(1)
    keys = relay.service(make_jump_keys)
    known = [await keys.actor_of(_key(number)) is not None for number in range(MAX_JUMP_KEYS + 2)]
    assert known == [False, False, *[True] * MAX_JUMP_KEYS]


async def test_a_key_of_another_length(web: httpx.AsyncClient, sign_in: SignIn) -> None:
    answer = await _register(web, await sign_in("technician"), b"short")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_where_the_port_is(relay: Relay, web: httpx.AsyncClient, sign_in: SignIn) -> None:
    tess = await sign_in("technician")
    missing = await web.get("/api/v1/jump", headers=tess)
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    settings = msgspec.structs.replace(
        relay.settings, jump="127.0.0.1:2222", url="https://relay.example"
    )
    there = dataclasses.replace(relay, settings=settings, _services={})
    address = await there.service(make_jump_host).address()
    assert address is not None
    assert (address.host, address.port) == ("relay.example", 2222)
    said = jump_statement(relay.tenant, "relay.example", 2222, address.host_key)
    assert verify(relay.signer.public_key, address.signature, said)
    again = await dataclasses.replace(there, _services={}).service(make_jump_host).address()
    assert again == address, "the host key is kept in the home"
