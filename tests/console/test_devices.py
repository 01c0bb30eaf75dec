"""Whose key a device's is: every lie a relay could tell about it."""

from __future__ import annotations

from typing import Any

import pytest

from farhand_console.home import Home
from farhand_console.trust.devices import pin, pins, verify_device
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import device_id
from tests.console.organisation import Organisation, signer


def refused(home: Home, organisation: Organisation, code: str, **changes: Any) -> None:
    """Expect this code, and nothing pinned."""
    with pytest.raises(FarhandError) as caught:
        verify_device(home, organisation.trust, organisation.answer(**changes))
    assert caught.value.code == code
    assert pins(home) == {}


def test_an_honest_answer_is_verified_and_pinned(home: Home, organisation: Organisation) -> None:
    device = verify_device(home, organisation.trust, organisation.answer())
    assert (device.name, device.group, device.host_name) == ("reception", "office", "vm")
    assert pins(home) == {device.id: organisation.device_key.public_key.hex()}
    for asked in (device.id, device.id.upper(), "reception", " reception "):
        verify_device(home, organisation.trust, organisation.answer(), asked=asked)


def test_another_device_than_the_one_asked_for(home: Home, organisation: Organisation) -> None:
    other = device_id(signer().public_key)
    for asked in ("workshop", other, "Reception", ""):
        with pytest.raises(FarhandError, match="device-unverified"):
            verify_device(home, organisation.trust, organisation.answer(), asked=asked)
    assert pins(home) == {}


def test_a_token_that_no_admin_signed(home: Home, organisation: Organisation) -> None:
    for by in (signer(), organisation.technician, organisation.token_key):
        refused(home, organisation, "device-unconfirmed", token_envelope=organisation.token(by))
    refused(home, organisation, "device-unconfirmed", token_envelope=None)


def test_a_forged_enrolment(home: Home, organisation: Organisation) -> None:
    stranger = signer()
    code = "device-unverified"
    for by in ((stranger,), (organisation.token_key,), (organisation.token_key, stranger)):
        refused(home, organisation, code, enrolment=organisation.enrolment(*by))
    # The device alone, without the token's seed.
    alone = organisation.enrolment(organisation.device_key)
    refused(home, organisation, code, enrolment=alone)
    for change in (
        {"tenant": "n-other"},
        {"token": "t-other"},
        {"group": "servers"},
        {"name": "workshop"},
        {"device": "d-other"},
        {"device_key": stranger.public_key},
    ):
        refused(home, organisation, code, enrolment=organisation.enrolment(**change))


def test_the_relays_own_words_must_agree(home: Home, organisation: Organisation) -> None:
    refused(home, organisation, "device-unverified", name="workshop")
    refused(home, organisation, "device-unverified", key=signer().public_key)
    refused(home, organisation, "device-unverified", id=device_id(signer().public_key))
    refused(home, organisation, "device-unverified", key=b"")
    # Its group is the one that was signed, whatever the relay says.
    device = verify_device(home, organisation.trust, organisation.answer(group="servers"))
    assert device.group == "office"


def test_what_cannot_be_read(home: Home, organisation: Organisation) -> None:
    for change in ({"id": 3}, {"key": "?"}, {"enrolment": None}, {"name": None}):
        refused(home, organisation, "relay-answer", **change)
    for blob in (b"", b"{}", organisation.token()):
        refused(home, organisation, "envelope-malformed", enrolment=blob)
    with pytest.raises(FarhandError, match="relay-answer"):
        verify_device(home, organisation.trust, [])


def test_an_admins_confirmation(home: Home, organisation: Organisation) -> None:
    by_relay = organisation.token(signer())
    answer = organisation.answer(token_envelope=by_relay, confirmation=organisation.confirmation())
    assert verify_device(home, organisation.trust, answer).group == "lab"


def test_a_signed_move_goes_before_both(home: Home, organisation: Organisation) -> None:
    device = device_id(organisation.device_key.public_key)
    organisation.trust.placements.groups[device_id(signer().public_key)] = "elsewhere"
    assert verify_device(home, organisation.trust, organisation.answer()).group == "office"
    organisation.trust.placements.groups[device] = "servers"
    for confirmation in (None, organisation.confirmation()):
        answer = organisation.answer(confirmation=confirmation)
        assert verify_device(home, organisation.trust, answer).group == "servers"
    # It is an admin's word for the key, whoever signed the token; the name is the device's own.
    by_relay = organisation.token(signer())
    answer = organisation.answer(token_envelope=by_relay)
    assert verify_device(home, organisation.trust, answer).group == "servers"
    renamed = organisation.answer(token_envelope=by_relay, name="workshop")
    with pytest.raises(FarhandError, match="device-unverified"):
        verify_device(home, organisation.trust, renamed)


def test_a_forged_confirmation(home: Home, organisation: Organisation) -> None:
    code = "device-unverified"
    for by in (signer(), organisation.technician):
        refused(home, organisation, code, confirmation=organisation.confirmation(by))
    for change in (
        {"tenant": "n-other"},
        {"device": "d-other"},
        {"device_key": signer().public_key},
    ):
        forged = organisation.confirmation(**change)
        refused(home, organisation, code, confirmation=forged)


def test_retired_and_revoked(home: Home, organisation: Organisation) -> None:
    refused(home, organisation, "device-retired", retired_at="2026-11-22T12:00:00Z")
    organisation.trust.revoke("device", device_id(organisation.device_key.public_key))
    refused(home, organisation, "device-revoked")


def test_a_pinned_device_comes_back_with_another_key(
    home: Home, organisation: Organisation
) -> None:
    pin(home, device_id(organisation.device_key.public_key), b"x" * 32)
    with pytest.raises(RefusedError, match="device-key-changed"):
        verify_device(home, organisation.trust, organisation.answer())
