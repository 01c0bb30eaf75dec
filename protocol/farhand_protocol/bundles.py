"""Support bundles: what a device writes down about itself into one file for whoever helps.

A bundle is an age file; inside is a zip whose first entry, `manifest.json`, is the envelope of a
`Bundle`: names, sizes and hashes of all other entries, signed by the device key.  A device that was
never enrolled has no key; then the envelope bears no signature, and says so by that.

The relay never sees more of a bundle than what its reader chooses to write into a ticket.  Packing,
encrypting and reading are done where files are: `farhand_agent.bundle`, `farhand_console.bundle`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from farhand_protocol.envelopes import Envelope, Statement, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id

__all__ = [
    "MANIFEST_NAME",
    "MAX_BUNDLE_BYTES",
    "MAX_BUNDLE_FILES",
    "MAX_UNPACKED_BYTES",
    "Bundle",
    "BundleFile",
    "open_bundle_manifest",
]

MANIFEST_NAME: Final = "manifest.json"
MAX_BUNDLE_BYTES: Final = 50 * 1024 * 1024
# Text shrinks to a tenth; what grows to more than this is no bundle of ours.
MAX_UNPACKED_BYTES: Final = 256 * 1024 * 1024
MAX_BUNDLE_FILES: Final = 200
_NAME: Final = re.compile(r"(?:[a-z0-9][a-z0-9_-]{0,39}/)?[a-z0-9][a-z0-9_-]{0,59}\.(?:json|txt)")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class BundleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a bundle; `about` says in a few words what it is."""

    name: str
    size_bytes: int
    sha256: str
    about: str


class Bundle(Statement, frozen=True, kw_only=True):
    """What is in a bundle, sealed by the device key.

    `tenant` is empty and `device_key` too on a device that was never enrolled.  `cleaned` names
    what was replaced by tokens; secrets always are, `secrets_removed` of them.  `omitted` says, a
    sentence each, what was asked for and is not here.
    """

    tenant: str
    device: str
    device_key: bytes
    made_at: str
    cleaned: list[str]
    secrets_removed: int
    files: list[BundleFile]
    omitted: list[str]


def open_bundle_manifest(envelope: Envelope) -> Bundle:
    """Read a manifest and check that it could be one; says nothing about who signed it.

    Raises:
        FarhandError: `bundle-malformed`.
    """
    try:
        bundle = open_payload(envelope, Bundle)
    except FarhandError as error:
        raise FarhandError(
            "bundle-malformed", "the bundle's manifest cannot be read", detail=str(error)
        ) from error
    names = [file.name for file in bundle.files]
    if len(names) > MAX_BUNDLE_FILES or len(set(names)) != len(names):
        raise FarhandError("bundle-malformed", "the bundle names too many files, or one twice")
    for file in bundle.files:
        if not _NAME.fullmatch(file.name) or file.name == MANIFEST_NAME:
            raise FarhandError("bundle-malformed", "the bundle names a file as none may be named")
        if not _HASH.fullmatch(file.sha256) or file.size_bytes < 0:
            raise FarhandError("bundle-malformed", f"{file.name} has no size or no hash")
    if sum(file.size_bytes for file in bundle.files) > MAX_UNPACKED_BYTES:
        raise FarhandError("bundle-malformed", "the bundle's files are too large together")
    if bundle.device_key and (
        len(bundle.device_key) != 32 or device_id(bundle.device_key) != bundle.device
    ):
        raise FarhandError("bundle-malformed", "the bundle's key is not that of its device")
    return bundle
