"""Orders as they are signed here, and results as they are believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from farhand_console.orders import OrderDraft, parse_parameters, sign_order, verify_result
from farhand_console.trust.devices import VerifiedDevice
from farhand_protocol.envelopes import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_payload,
    seal,
    signers,
)
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.identity import device_id
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import Order, Result
from tests.console.organisation import (
    NOW,
    TENANT,
    Organisation,
    approved_manifest,
    manifest,
    signer,
)


def draft(organisation: Organisation, **changes: Any) -> OrderDraft:
    envelope = approved_manifest(organisation, **changes)
    return OrderDraft(organisation.trust, envelope, {"mode": "fast"}, operator="tess", now=NOW)


def device(organisation: Organisation) -> VerifiedDevice:
    key = organisation.device_key.public_key
    return VerifiedDevice(
        id=device_id(key), key=key, name="reception", group="office", host_name="vm"
    )


def test_an_order_says_what_its_signer_saw(organisation: Organisation) -> None:
    envelope = approved_manifest(organisation)
    made = draft(organisation)
    name, sealed = sign_order(
        made, device(organisation), organisation.technician, now=NOW, ttl_s=60, ticket="FH-1"
    )
    opened = decode_envelope(sealed)
    assert signers(opened, [organisation.technician.public_key])
    order = open_payload(opened, Order)
    assert order.id == name
    assert (order.device, order.host_name, order.group) == (
        device(organisation).id, "vm", "office",
    )  # fmt: skip
    assert order.digest == manifest_digest(envelope)
    assert order.parameters == {"count": 3, "mode": "fast"}
    assert order.targets_version == 7
    assert order.expires == format_instant(NOW + timedelta(seconds=60))


def test_no_order_lives_longer_than_its_week(organisation: Organisation) -> None:
    week = timedelta(days=7)
    for begins, ttl_s in ((NOW, 7 * 86_400), (NOW + timedelta(days=6), 86_400)):
        _, sealed = sign_order(
            draft(organisation),
            device(organisation),
            organisation.technician,
            now=NOW,
            begins=begins,
            ttl_s=ttl_s,
        )
        order = open_payload(decode_envelope(sealed), Order)
        assert parse_instant(order.expires) == NOW + week
        assert parse_instant(order.expires) - parse_instant(order.not_before) <= week


def test_what_may_not_run_is_not_signed(organisation: Organisation) -> None:
    with pytest.raises(RefusedError, match="script-not-approved"):
        OrderDraft(organisation.trust, seal(manifest(), signer()), {}, operator="tess", now=NOW)
    with pytest.raises(FarhandError, match="script-author-unknown"):
        draft(organisation, author="mallory")
    with pytest.raises(FarhandError, match="manifest-invalid"):
        draft(organisation, tenant="n-other")
    with pytest.raises(RefusedError, match="script-expired"):
        draft(organisation, expires=format_instant(NOW))
    for lifetime in (0, -1, 7 * 86_400 + 1):
        with pytest.raises(FarhandError, match="order-lifetime"):
            sign_order(
                draft(organisation),
                device(organisation),
                organisation.technician,
                now=NOW,
                ttl_s=lifetime,
            )
    organisation.trust.revoke("script", manifest_digest(approved_manifest(organisation)))
    with pytest.raises(RefusedError, match="script-revoked"):
        draft(organisation)


def test_parameters_take_the_types_of_the_schema() -> None:
    assert parse_parameters(manifest(), {"count": "4", "mode": "4"}) == {"count": 4, "mode": "4"}
    assert parse_parameters(manifest(), {"unknown": "x"}) == {"unknown": "x"}
    for text in ("four", "", "4 5", "[", "\x1b"):
        with pytest.raises(FarhandError, match="parameters-invalid"):
            parse_parameters(manifest(), {"count": text})


def test_a_remedy_whose_check_nobody_could_use_is_not_signed(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(expires: str | None) -> None:
        def manifest(name: str) -> Envelope:
            if expires is None:
                raise FarhandError("script-unknown", f"{name} is not a published script")
            return approved_manifest(organisation, id=name, expires=expires)

        monkeypatch.setattr(organisation.trust, "manifest", manifest, raising=False)

    link(None)
    for links in ({"detect": "check.other"}, {"verify": "check.other"}):
        with pytest.raises(RefusedError, match="script-link"):
            draft(organisation, **links)
    link(format_instant(NOW + timedelta(days=1)))
    assert draft(organisation, detect="check.other").manifest.detect == "check.other"
    link(format_instant(NOW))
    with pytest.raises(RefusedError, match="script-link"):
        draft(organisation, detect="check.other")


@pytest.mark.parametrize(
    "given",
    [{"count": 0}, {"count": "3"}, {"count": True}, {"mode": "-x"}, {"mode": "x"}, {"other": 1}],
)
def test_parameters_outside_the_schema(organisation: Organisation, given: dict[str, Any]) -> None:
    with pytest.raises(FarhandError, match="parameters-invalid"):
        OrderDraft(
            organisation.trust,
            approved_manifest(organisation),
            given,
            operator="tess",
            now=NOW,
        )


def result(organisation: Organisation, by: SeedSigner | None = None, **changes: Any) -> bytes:
    made = Result(
        tenant=TENANT,
        device=device(organisation).id,
        order="o-1",
        script="check.test",
        version=1,
        digest="0" * 64,
        state="succeeded",
        exit_code=0,
        signal=None,
        stdout=b"out",
        stdout_bytes=3,
        stdout_truncated=False,
        stderr=b"",
        stderr_bytes=0,
        stderr_truncated=False,
        sealed_output=None,
        refusal=None,
        words=None,
        started_at=None,
        ended_at=format_instant(NOW),
    )
    made = msgspec.structs.replace(made, **changes)
    return encode_envelope(seal(made, by or organisation.device_key))


def believed(organisation: Organisation, data: bytes) -> Result:
    key = organisation.device_key.public_key
    return verify_result(data, tenant=TENANT, order="o-1", device=device_id(key), device_key=key)


def test_a_result_counts_by_its_devices_signature(organisation: Organisation) -> None:
    assert believed(organisation, result(organisation)).stdout == b"out"
    forged = [
        result(organisation, signer()),
        result(organisation, organisation.admin),
        result(organisation, order="o-2"),
        result(organisation, device="d-other"),
        result(organisation, tenant="n-other"),
        result(organisation, state="running"),
        result(organisation).replace(b"payloadType", b"payloadtype"),
        organisation.token(organisation.device_key),
        b"",
    ]
    for data in forged:
        with pytest.raises(FarhandError, match="result-forged"):
            believed(organisation, data)
