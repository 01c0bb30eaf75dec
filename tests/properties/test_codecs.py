"""Laws of every codec: what is written is read back, and what is changed is noticed."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from farhand_protocol import frames, identity, messages
from farhand_protocol.audit import head_mark
from farhand_protocol.codes import (
    ALPHABET,
    format_code,
    nameplate_from_random,
    parse_code,
    secret_from_random,
)
from farhand_protocol.envelopes import (
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.grants import Action, RecordingMark
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.link import ROLES, DeviceHandshake, RelayHandshake, Role
from farhand_protocol.orders import Order
from farhand_protocol.parameters import check_schema, check_value
from farhand_protocol.patterns import PatternError, compile_pattern
from farhand_protocol.receipts import verify_receipt
from farhand_protocol.tokens import (
    EnrolmentToken,
    SigninToken,
    format_enrolment_token,
    format_signin_token,
    parse_enrolment_token,
    parse_signin_token,
)
from tests.protocol.samples import grant, grant_approval, order, receipt, signer, widening

key = st.binary(min_size=32, max_size=32)
plain = st.text(st.characters(codec="ascii", exclude_characters=" ", categories=["L", "N", "P"]))


@given(st.integers(1000, 999_999), st.text(ALPHABET, min_size=6, max_size=6), st.data())
def test_codes(number: int, secret: str, data: st.DataObject) -> None:
    text = format_code(str(number), secret)
    assert parse_code(text) == (str(number), secret)
    assert parse_code(text.lower().replace(" ", "").replace("-", "")) == (str(number), secret)
    at = data.draw(st.integers(0, len(text)))
    assert parse_code(text[:at] + data.draw(st.sampled_from(" -\t\u00a0")) + text[at:]) == (
        str(number),
        secret,
    )


@given(st.text(max_size=70))
def test_any_text_is_a_code_or_is_refused(text: str) -> None:
    try:
        nameplate, secret = parse_code(text)
    except FarhandError as error:
        assert error.code == "code-malformed"  # noqa: PT017 - or none
    else:
        assert parse_code(format_code(nameplate, secret)) == (nameplate, secret)


@given(st.binary(min_size=32, max_size=64), st.integers(4, 6))
def test_drawn_codes_are_codes(random: bytes, digits: int) -> None:
    try:
        nameplate, secret = nameplate_from_random(random, digits), secret_from_random(random)
    except ValueError:
        assume(False)
    assert len(nameplate) == digits
    assert parse_code(format_code(nameplate, secret)) == (nameplate, secret)


@given(
    st.builds(
        EnrolmentToken,
        url=plain.map(lambda text: "https://" + text[:500]),
        relay_key=key,
        tls_sha256=st.just(b"") | key,
        tenant=plain.map(lambda text: text[:32]),
        token=plain.map(lambda text: text[:64]),
        group=plain.map(lambda text: text[:64]),
        root_version=st.integers(0, 2**31 - 1),
        root_sha256=key,
        targets_version=st.integers(0, 2**31 - 1),
        seed=key,
    ),
    st.builds(SigninToken, relay_key=key, tls_sha256=key, tenant=st.just("t"), secret=key),
)
def test_tokens(enrolment: EnrolmentToken, signin: SigninToken) -> None:
    assert parse_enrolment_token(format_enrolment_token(enrolment)) == enrolment
    assert parse_signin_token(format_signin_token(signin)) == signin


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_instants(at: datetime) -> None:
    at = at.replace(tzinfo=UTC)
    assert parse_instant(format_instant(at)) == at


@given(key, st.text(max_size=40))
def test_key_lines(raw: bytes, comment: str) -> None:
    line = identity.public_key_line(raw, comment)
    assert len(line.splitlines()) == 1
    assert identity.parse_public_key_line(line) == raw
    assert identity.is_device_id(identity.device_id(raw))


@given(st.binary(min_size=10, max_size=16), st.sampled_from(["device", "console"]), st.data())
def test_attachments(random: bytes, side: frames.Side, data: st.DataObject) -> None:
    session = identity.make_id("s", random)
    frame = frames.write_attach(side, session, bytes(16))
    assert frames.parse_attach(frame) == (side, session, bytes(16))
    at = data.draw(st.integers(0, len(frame) - 1))
    changed = frame[:at] + data.draw(st.binary(min_size=1, max_size=1)) + frame[at + 1 :]
    try:
        again = frames.write_attach(*frames.parse_attach(changed))
    except RemoteError:
        return
    assert again == changed


@given(st.sampled_from(ROLES), plain.map(lambda text: text[:32]), key, key, key, st.data())
def test_link_frames(
    role: Role, tenant: str, device_key: bytes, nonce: bytes, relay_key: bytes, data: st.DataObject
) -> None:
    device = DeviceHandshake(role, tenant, device_key, relay_key, nonce=nonce)
    relay = RelayHandshake(relay_key, nonce=nonce)
    message = relay.receive_hello(device.hello())
    assert (relay.role, relay.tenant, relay.device_key) == (role, tenant, device_key)
    # Turn over any bit of the hello: it is refused, or another message is signed.
    bit = data.draw(st.integers(0, len(device.hello()) * 8 - 1))
    changed = bytearray(device.hello())
    changed[bit // 8] ^= 1 << bit % 8
    try:
        assert RelayHandshake(relay_key, nonce=nonce).receive_hello(bytes(changed)) != message
    except RemoteError:
        pass  # refused, which is as good
    # And any bit of the challenge: another key, or another message to sign.
    challenge = relay.challenge(bytes(64))
    key_, _, said = device.receive_challenge(challenge)
    assert (key_, said) == (relay_key, message)
    twin = DeviceHandshake(role, tenant, device_key, None, nonce=nonce)
    bit = data.draw(st.integers(0, len(challenge) * 8 - 1))
    changed = bytearray(challenge)
    changed[bit // 8] ^= 1 << bit % 8
    twin.receive_challenge(bytes(changed))
    assert twin.message_to_sign() != device.message_to_sign()


ENVELOPE = seal(order(), signer("carol"))
TEXT = encode_envelope(ENVELOPE)
CAROL = signer("carol").public_key


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_a_changed_byte_of_an_envelope_is_noticed(at: int, byte: int) -> None:
    assume(TEXT[at] != byte)
    try:
        changed = decode_envelope(TEXT[:at] + bytes([byte]) + TEXT[at + 1 :])
    except FarhandError as error:
        assert error.code == "envelope-malformed"  # noqa: PT017 - or none
    else:
        assert signers(changed, [CAROL]) == set()


# A receipt with one of everything that it can hold.
RECEIPT = encode_envelope(
    seal(
        receipt(
            scopes=["view", "forward"],
            actions=[
                Action(
                    at="2026-11-22T08:02:00Z",
                    kind="file-write",
                    detail="/tmp/ä",
                    size_bytes=7,
                    sha256="ab" * 32,
                )
            ],
            widened=[seal(widening(), signer("carol"))],
            approvals=[seal(grant_approval(), signer("bob"))],
            joined=[
                seal(
                    grant(
                        id="s-bbbbbbbbbbbbbbbb",
                        operator="bob",
                        operator_key=signer("bob").public_key,
                        joins="s-aaaaaaaaaaaaaaaa",
                        mode="observer",
                    ),
                    signer("bob"),
                )
            ],
            recording=RecordingMark(
                id="s-aaaaaaaaaaaaaaaa", head_sha256="cd" * 32, chunks=3, complete=True
            ),
            audit_head=head_mark(17, "ef" * 32),
        ),
        signer("device"),
        signer("console"),
    )
)


@given(st.integers(0, len(RECEIPT) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_a_changed_byte_of_a_receipt_is_noticed(at: int, byte: int) -> None:
    assume(RECEIPT[at] != byte)
    with pytest.raises(FarhandError, match="receipt-"):
        verify_receipt(RECEIPT[:at] + bytes([byte]) + RECEIPT[at + 1 :])


@pytest.mark.parametrize("bit", [0, 6])
def test_no_single_byte_of_a_receipt_can_change(bit: int) -> None:
    assert not verify_receipt(RECEIPT).one_sided
    for at, byte in enumerate(RECEIPT):
        with pytest.raises(FarhandError, match="receipt-"):
            verify_receipt(RECEIPT[:at] + bytes([byte ^ (1 << bit)]) + RECEIPT[at + 1 :])


@given(st.integers(0, len(RECEIPT) - 1), st.binary(max_size=3))
def test_nothing_can_be_put_into_a_receipt_or_cut_from_it(at: int, put: bytes) -> None:
    with pytest.raises(FarhandError, match="receipt-"):
        verify_receipt(RECEIPT[:at] + put + RECEIPT[at + len(put) + 1 :])


values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.text(max_size=20),
)


@given(st.dictionaries(st.text(max_size=10), values, max_size=6), st.text(), st.integers(0, 9))
def test_statements(parameters: dict[str, Any], name: str, ring: int) -> None:
    assume(all(abs(value) < 1e300 for value in parameters.values() if isinstance(value, float)))
    made = order(parameters=parameters, host_name=name, ring=ring)
    envelope = decode_envelope(encode_envelope(seal(made, signer("carol"))))
    assert open_payload(envelope, Order) == made
    assert signers(envelope, [CAROL]) == {CAROL}


def values_of(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Return all values that a message field of this type may hold."""
    if isinstance(kind, msgspec.inspect.IntType):
        return st.integers(kind.ge, kind.le if kind.lt is None else kind.lt - 1)
    if isinstance(kind, msgspec.inspect.FloatType):
        return st.floats(kind.ge, kind.le)
    if isinstance(kind, msgspec.inspect.StrType):
        return st.text(max_size=min(kind.max_length or 80, 80))
    if isinstance(kind, msgspec.inspect.BytesType):
        return st.binary(min_size=kind.min_length or 0, max_size=min(kind.max_length or 80, 80))
    if isinstance(kind, msgspec.inspect.ListType):
        return st.lists(values_of(kind.item_type), max_size=5)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(values_of(kind.key_type), values_of(kind.value_type), max_size=5)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of([values_of(one) for one in kind.types])
    assert isinstance(kind, msgspec.inspect.NoneType)
    return st.none()


@given(st.sampled_from(messages.message_types()), st.data())
@settings(max_examples=300)
def test_messages(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    made: Any = kind(**{one.name: data.draw(values_of(one.type)) for one in described.fields})
    encoded = messages.encode_message(made)
    from_device = kind in get_args(messages.DeviceMessage)
    read = messages.decode_device_message if from_device else messages.decode_relay_message
    assert read(encoded) == made


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_are_refused(data: bytes) -> None:
    for read in (messages.decode_device_message, messages.decode_relay_message):
        try:
            read(data)
        except RemoteError as error:
            assert error.code == "message-malformed"  # noqa: PT017 - or none


# Patterns: one grammar, two judges.

symbol = st.sampled_from(
    ["a", "b", "-", "_", ".", "\\.", "\\d", "\\W", "[a-c]", "[^b_]", "[\\dx-]"]
)
part = st.recursive(
    symbol,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join).map("({})".format),
        st.lists(inner, min_size=1, max_size=3).map("|".join).map("(?:{})".format),
        st.tuples(
            inner.filter(lambda text: text[-1] not in "*+?}"),
            st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"]),
        ).map("".join),
    ),
    max_leaves=8,
)


@given(st.lists(part, max_size=4).map("".join), st.text("ab-_.1x\n", max_size=8))
@settings(max_examples=300)
def test_patterns_match_as_re_does(pattern: str, value: str) -> None:
    try:
        compiled = compile_pattern(f"^{pattern}$")
    except PatternError:
        assume(False)
    matches = re.fullmatch(pattern, value, re.ASCII) is not None
    assert compiled.matches(value) is matches
    if matches and value:
        assert compiled.may_begin_with(value[0])


@given(st.text(max_size=30))
def test_any_pattern_that_is_accepted_re_accepts_too(text: str) -> None:
    try:
        compiled = compile_pattern(f"^{text}$")
    except PatternError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert bool(re.fullmatch(text, "x", re.ASCII)) is compiled.matches("x")


rules = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-5, 5), "maximum": st.integers(-5, 5)},
    ),
    st.just({"type": "boolean"}),
    st.fixed_dictionaries(
        {"type": st.just("string"), "pattern": st.sampled_from(["^[a-z]*$", "^(ab|c)+$"])},
        optional={"minLength": st.integers(0, 3), "maxLength": st.integers(0, 3)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(st.sampled_from("abc"), min_size=1)}
    ),
)


@given(rules, values | st.sampled_from(["a", "ab", "abc", "--"]))
@settings(max_examples=300)
def test_whatever_parameters_accept_jsonschema_accepts(rule: dict[str, Any], value: Any) -> None:
    check_schema({"type": "object", "additionalProperties": False, "properties": {"p": rule}})
    try:
        check_value(rule, value)
    except FarhandError:
        return
    jsonschema.Draft202012Validator(rule).validate(value)
