"""What the console believes about the relay's jump port."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farhand_console.home import Home, Settings
from farhand_console.relay import Relay
from farhand_console.relay.answers import JumpAddress, JumpKeyAnswer
from farhand_console.session.jump import prepare_jump
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import public_key_line
from farhand_protocol.jump import jump_statement
from farhand_protocol.keys import SeedSigner

RELAY = SeedSigner(bytes(range(32)))
PORT_KEY = SeedSigner(bytes(range(32, 64))).public_key


class _Relay:
    """Answers the two calls, truthfully or not."""

    def __init__(self, address: JumpAddress | None) -> None:
        self.address = address
        self.registered: list[bytes] = []

    def get(self, path: str, kind: Any) -> Any:
        assert path == "/jump"
        if self.address is None:
            raise FarhandError("not-found", "there is no jump port")
        return self.address

    def post(self, path: str, kind: Any, body: dict[str, bytes]) -> JumpKeyAnswer:
        assert path == "/jump/keys"
        self.registered.append(body["key"])
        return JumpKeyAnswer(expires_at="2030-01-01T00:00:00Z")


def _settings() -> Settings:
    return Settings(
        url="http://127.0.0.1:1",
        relay_key=RELAY.public_key.hex(),
        tls_sha256="",
        tenant="t-one",
        organisation="Example",
        account="tess",
        role="technician",
        api_token="x",
    )


def _address(signer: SeedSigner = RELAY, *, port: int = 2222, **said: Any) -> JumpAddress:
    signature = signer.sign(jump_statement("t-one", "relay.example", port, PORT_KEY))
    fields: dict[str, Any] = {"host": "relay.example", "port": port, "host_key": PORT_KEY}
    return JumpAddress(**{**fields, "signature": signature, **said})


def _prepare(home: Path, relay: _Relay) -> Any:
    return prepare_jump(Home(home), _settings(), cast(Relay, relay))


@pytest.mark.parametrize(
    "address",
    [
        _address(SeedSigner(bytes(32))),
        _address(host="elsewhere.example"),
        _address(port=2222, signature=b"\0" * 64),
        _address(host_key=bytes(range(64, 96))),
    ],
    ids=["another-key", "another-host", "no-signature", "another-host-key"],
)
def test_an_address_that_the_relay_key_did_not_sign_is_refused(
    tmp_path: Path, address: JumpAddress
) -> None:
    relay = _Relay(address)
    with pytest.raises(FarhandError) as caught:
        _prepare(tmp_path, relay)
    assert caught.value.code == "jump-unproved"
    assert relay.registered == []
    assert not (tmp_path / "ssh" / "jump_known_hosts").exists()


def test_an_address_out_of_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FarhandError) as caught:
        _prepare(tmp_path, _Relay(_address(host="two words")))
    assert caught.value.code == "jump-malformed"


def test_a_relay_without_one(tmp_path: Path) -> None:
    with pytest.raises(FarhandError) as caught:
        _prepare(tmp_path, _Relay(None))
    assert caught.value.code == "jump-unavailable"


@pytest.mark.parametrize(("port", "name"), [(22, "relay.example"), (2222, "[relay.example]:2222")])
def test_one_key_is_made_and_kept(tmp_path: Path, port: int, name: str) -> None:
    relay = _Relay(_address(port=port))
    first, second = _prepare(tmp_path, relay), _prepare(tmp_path, relay)
    assert first == second
    assert relay.registered[0] == relay.registered[1]
    key = serialization.load_ssh_private_key(first.key_file.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.public_key().public_bytes_raw() == relay.registered[0]
    assert first.key_file.stat().st_mode & 0o777 == 0o600
    assert first.known_hosts.read_text() == f"{name} {public_key_line(PORT_KEY)}\n"


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff" * 100])
def test_a_key_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "jump").write_bytes(content)
    with pytest.raises(FarhandError) as caught:
        _prepare(tmp_path, _Relay(_address()))
    assert caught.value.code == "home-unreadable"
