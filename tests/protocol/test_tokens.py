from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from farhand_protocol.envelopes import open_payload, seal, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.tokens import (
    Confirmation,
    Enrolment,
    EnrolmentToken,
    SigninToken,
    format_enrolment_token,
    format_signin_token,
    parse_enrolment_token,
    parse_signin_token,
)
from tests.protocol.samples import enrolment, enrolment_token, registration, signer, signin_token


def test_tokens_come_back_as_they_were() -> None:
    assert parse_enrolment_token(format_enrolment_token(enrolment_token())) == enrolment_token()
    assert parse_signin_token(format_signin_token(signin_token())) == signin_token()
    pinned = signin_token(root_version=2, root_sha256=bytes(32), tls_sha256=bytes(32))
    assert parse_signin_token(format_signin_token(pinned)) == pinned


def test_a_token_may_be_broken_over_lines() -> None:
    text = format_enrolment_token(enrolment_token())
    assert parse_enrolment_token(f"  {text[:70]}\r\n{text[70:]}\n") == enrolment_token()


def test_tokens_do_not_show_their_secrets() -> None:
    token = enrolment_token()
    assert "seed" not in repr(token)
    assert token.url in repr(token)
    assert repr(signin_token()) == "SigninToken(hidden)"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "fh2:" + text[4:],
        lambda text: text[:-4],
        lambda text: text + "AAAA",
        lambda text: text[:10] + "!" + text[11:],
        lambda text: text[:10] + "\u00e9" + text[11:],
        lambda text: text + "A" * 5000,
        lambda text: text + " " * 10_000,
        lambda text: "fh1:",
        lambda text: "fh1:" + "kZGR" * 1000,
    ],
)
def test_a_damaged_token_is_refused(damage: Callable[[str], str]) -> None:
    with pytest.raises(FarhandError, match="token-malformed"):
        parse_enrolment_token(damage(format_enrolment_token(enrolment_token())))


@pytest.mark.parametrize(
    "changes",
    [
        {"relay_key": b"short"},
        {"tls_sha256": b"short"},
        {"seed": b"short"},
        {"root_sha256": b"short"},
        {"url": "relay.example"},
        {"url": "https://relay\x1b[2J"},
        {"url": "https://" + "x" * 512},
        {"tenant": "x" * 33},
        {"tenant": "\u00e9"},
        {"token": "a b"},
        {"group": "x" * 65},
        {"root_version": -1},
        {"targets_version": 2**31},
    ],
)
def test_a_token_with_a_value_that_is_not_allowed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FarhandError, match="token-malformed"):
        parse_enrolment_token(format_enrolment_token(enrolment_token(**changes)))


@pytest.mark.parametrize(
    "changes", [{"secret": b""}, {"root_sha256": b"x"}, {"tenant": "a b"}, {"relay_key": b""}]
)
def test_a_signin_token_with_such_a_value_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FarhandError, match="token-malformed"):
        parse_signin_token(format_signin_token(signin_token(**changes)))


def test_a_token_of_the_other_kind_is_refused() -> None:
    text = format_signin_token(signin_token())
    with pytest.raises(FarhandError, match="token-malformed"):
        parse_enrolment_token(text)
    with pytest.raises(FarhandError, match="token-malformed"):
        parse_enrolment_token("fh1:" + text.removeprefix("fhl1:"))


def test_the_seed_gives_the_key_that_the_admin_signed() -> None:
    token = enrolment_token()
    by = SeedSigner(token.seed)
    assert by.public_key == registration().key
    envelope = seal(enrolment(), by, signer("device"))
    assert len(signers(envelope, [registration().key, enrolment().device_key])) == 2
    assert open_payload(envelope, Enrolment) == enrolment()


def test_a_confirmation_is_a_statement() -> None:
    made = Confirmation(
        tenant="t", device="d", device_key=bytes(32), group="g", at="2026-11-22T08:00:00Z"
    )
    assert open_payload(seal(made, signer("admin")), Confirmation) == made


def test_tokens_are_arrays_so_that_they_stay_short() -> None:
    assert isinstance(msgspec.msgpack.decode(msgspec.msgpack.encode(signin_token())), list)
    assert len(EnrolmentToken.__struct_fields__) == 10
    assert len(SigninToken.__struct_fields__) == 6
