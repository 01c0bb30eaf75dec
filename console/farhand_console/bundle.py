"""Opens a device's support bundle: decrypts, checks every byte against the manifest, sums up.

Whatever is inside came from a device and is hostile: sizes are bounded before anything is unpacked,
only what the manifest names is read, names cannot leave a folder, and what is shown is escaped
where it is shown.

    signed       what it means
    device       by the key that this console knows to be that device's
    unknown-key  by the key inside, which nobody vouched for here
    unsigned     by nobody: the device was never enrolled
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from farhand_console.session.recording_keys import Opener
from farhand_protocol.bundles import (
    MANIFEST_NAME,
    MAX_BUNDLE_BYTES,
    Bundle,
    open_bundle_manifest,
)
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES, decode_envelope, signers
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["OpenedBundle", "check_bundle", "open_bundle", "summary_lines", "unpack_into"]

_SHOWN_TROUBLES: Final = 20
_BAD: Final = ("critical", "warning")
# What zipfile raises on archives that somebody made up.
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
)


class OpenedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle whose every file is the one that its manifest names.

    Attributes:
        manifest: what the device says is in it.
        signed: whose word that is, as in the module's text.
        sha256: of the sealed file.
        files: content by name.
    """

    manifest: Bundle
    signed: Literal["device", "unknown-key", "unsigned"]
    sha256: str
    files: dict[str, bytes]

    def document(self, name: str) -> Any:
        """Return a JSON file's value; None where it is not there or cannot be read."""
        try:
            return msgspec.json.decode(self.files[name])
        except (KeyError, msgspec.MsgspecError, RecursionError, ValueError):
            return None

    def troubles(self) -> list[dict[str, str]]:
        """Return the checks that found something, the worst first."""
        document = self.document("checks.json")
        items = document.get("items") if isinstance(document, dict) else None
        found = [
            {
                "id": str(one.get("id"))[:100],
                "state": state,
                "summary": str(one.get("summary"))[:300],
            }
            for one in (items if isinstance(items, list) else [])
            if isinstance(one, dict) and (state := str(one.get("state"))) in _BAD
        ]
        return sorted(found, key=lambda one: _BAD.index(one["state"]))


def open_bundle(
    path: Path, opener: Opener, *, known_key: Callable[[str], bytes | None]
) -> OpenedBundle:
    """Read and check a bundle.

    Args:
        path: of the sealed file.
        opener: the keys that may open it.
        known_key: returns the key that this console knows a device by.

    Raises:
        FarhandError: `bundle-unreadable`, `bundle-malformed`, `bundle-forged`; `bundle-identity`
            where none of the keys opens it.
    """
    sealed = _read(path)
    try:
        plain = opener.open(sealed)
    except FarhandError as error:
        if error.code == "recording-damaged":
            raise FarhandError(
                "bundle-malformed", f"{path} is damaged, or no bundle at all", detail=error.detail
            ) from error
        raise FarhandError(
            "bundle-identity",
            "none of these keys opens the bundle",
            hint="name the key that it was sealed to with --identity FILE",
            detail=error.detail,
        ) from error
    return check_bundle(plain, sha256=hashlib.sha256(sealed).hexdigest(), known_key=known_key)


def check_bundle(
    plain: bytes, *, sha256: str, known_key: Callable[[str], bytes | None]
) -> OpenedBundle:
    """Check what was inside a sealed file.

    Args:
        plain: decrypted.
        sha256: of the sealed file.
        known_key: returns the key that this console knows a device by.

    Raises:
        FarhandError: `bundle-malformed`, `bundle-forged`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(plain)) as archive:
            envelope = decode_envelope(_entry(archive, MANIFEST_NAME, MAX_ENVELOPE_BYTES))
            manifest = open_bundle_manifest(envelope)
            names = sorted(info.filename for info in archive.infolist())
            if names != sorted([MANIFEST_NAME, *(one.name for one in manifest.files)]):
                raise FarhandError(
                    "bundle-malformed", "the bundle holds other files than its manifest names"
                )
            files = {one.name: _entry(archive, one.name, one.size_bytes) for one in manifest.files}
    except _UNREADABLE as error:
        raise FarhandError("bundle-malformed", "what is inside is no bundle") from error
    except FarhandError as error:
        if error.code != "envelope-malformed":
            raise
        raise FarhandError("bundle-malformed", "the bundle's manifest cannot be read") from error
    for one in manifest.files:
        data = files[one.name]
        if len(data) != one.size_bytes or hashlib.sha256(data).hexdigest() != one.sha256:
            raise FarhandError(
                "bundle-forged", f"{one.name} is not the file that the manifest names"
            )
    signed: Literal["device", "unknown-key", "unsigned"] = "unsigned"
    if envelope.signatures or manifest.device_key:
        if not signers(envelope, [manifest.device_key]):
            raise FarhandError("bundle-forged", "the manifest is not signed by the key it names")
        known = known_key(manifest.device)
        if known is not None and known != manifest.device_key:
            raise FarhandError("bundle-forged", f"{manifest.device} is known by another key")
        signed = "device" if known is not None else "unknown-key"
    return OpenedBundle(manifest=manifest, signed=signed, sha256=sha256, files=files)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise FarhandError(
            "bundle-unreadable", f"{path} cannot be read: {error.strerror}"
        ) from error
    if len(data) > MAX_BUNDLE_BYTES:
        raise FarhandError("bundle-malformed", f"{path} is larger than a bundle may be")
    return data


def _entry(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Return an entry's content; what it says of its own size counts for nothing."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise FarhandError("bundle-malformed", f"there is no {name} in it") from error
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FarhandError("bundle-malformed", f"{name} is packed as no bundle's file is")
    with archive.open(info) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise FarhandError("bundle-malformed", f"{name} is larger than it may be")
    return data


def unpack_into(bundle: OpenedBundle, folder: Path) -> list[str]:
    """Write all files into a new folder, readable by its owner only; returns their paths.

    Raises:
        UsageError: `file-exists`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise UsageError("file-exists", f"there is a folder {folder} already") from error
    paths = []
    for name, data in bundle.files.items():
        place = folder / name
        place.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        paths.append(str(place))
    return paths


def summary_lines(bundle: OpenedBundle) -> list[str]:
    """Return what a technician wants to know first; also the note that goes into a ticket."""
    manifest = bundle.manifest
    whose = {
        "device": f"signed by {manifest.device}",
        "unknown-key": f"signed by a key that says it is {manifest.device}; nobody vouched for it",
        "unsigned": "not signed: the device was never enrolled",
    }[bundle.signed]
    lines = [
        f"Support bundle of {manifest.made_at}, {whose}",
        f"SHA-256 {bundle.sha256}",
        f"cleaned: {', '.join(manifest.cleaned) or 'nothing'};"
        f" secrets taken out: {manifest.secrets_removed}",
    ]
    lines += [f"{one.name}: {one.size_bytes} bytes, {one.about}" for one in manifest.files]
    lines += [f"not in it: {sentence}" for sentence in manifest.omitted[:_SHOWN_TROUBLES]]
    troubles = bundle.troubles()
    lines.append(f"checks that found something: {len(troubles)}")
    lines += [
        f"{one['state']}: {one['id']}: {one['summary']}" for one in troubles[:_SHOWN_TROUBLES]
    ]
    return lines
