"""Manifests of support bundles: what one may say, and who may have signed it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from farhand_protocol.bundles import MAX_BUNDLE_FILES, Bundle, BundleFile, open_bundle_manifest
from farhand_protocol.envelopes import Envelope, encode_payload, payload_type_of, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner

SIGNER = SeedSigner(bytes(range(32)))
FILE = BundleFile(name="inventory.json", size_bytes=2, sha256="0" * 64, about="inventory")


def bundle(**fields: Any) -> Bundle:
    values: dict[str, Any] = {
        "tenant": "t-1",
        "device": device_id(SIGNER.public_key),
        "device_key": SIGNER.public_key,
        "made_at": "2026-11-22T08:00:00Z",
        "cleaned": ["hostname"],
        "secrets_removed": 3,
        "files": [FILE],
        "omitted": [],
    }
    return Bundle(**values | fields)


def named(name: str, **fields: Any) -> BundleFile:
    return msgspec.structs.replace(FILE, name=name, **fields)


def test_a_manifest_is_read_signed_or_not() -> None:
    assert open_bundle_manifest(seal(bundle(), SIGNER)) == bundle()
    nobody = bundle(tenant="", device="", device_key=b"", files=[FILE, named("logs/system.txt")])
    payload = encode_payload(nobody)
    unsigned = Envelope(payload=payload, payload_type=payload_type_of(Bundle), signatures=[])
    assert open_bundle_manifest(unsigned) == nobody


@pytest.mark.parametrize(
    "fields",
    [
        {"files": [FILE, FILE]},
        {"files": [named(f"a{n}.txt") for n in range(MAX_BUNDLE_FILES + 1)]},
        {"files": [named("../up.txt")]},
        {"files": [named("/etc/passwd.txt")]},
        {"files": [named("a/b/c.txt")]},
        {"files": [named("run.sh")]},
        {"files": [named("a.txt\n")]},
        {"files": [named("manifest.json")]},
        {"files": [named("a.txt", sha256="0" * 63)]},
        {"files": [named("a.txt", size_bytes=-1)]},
        {"files": [named("a.txt", size_bytes=2**28), named("b.txt", size_bytes=1)]},
        {"device_key": b"short"},
        {"device": "d-aaaaaaaaaaaaaaaaaaaaaaaaaa"},
    ],
)
def test_what_could_be_no_bundle_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FarhandError) as caught:
        open_bundle_manifest(seal(bundle(**fields), SIGNER))
    assert caught.value.code == "bundle-malformed"


def test_another_statement_is_no_manifest() -> None:
    payload = encode_payload(bundle())
    other = Envelope(payload=payload, payload_type="application/json", signatures=[])
    with pytest.raises(FarhandError) as caught:
        open_bundle_manifest(other)
    assert caught.value.code == "bundle-malformed"
