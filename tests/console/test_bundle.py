"""Opening support bundles: whose word they are, and what a hostile one may not do."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner

from farhand_console.bundle import (
    OpenedBundle,
    check_bundle,
    open_bundle,
    summary_lines,
    unpack_into,
)
from farhand_console.cli.entry import farhand
from farhand_console.session.recording_keys import Opener
from farhand_protocol import bundles
from farhand_protocol.bundles import Bundle, BundleFile
from farhand_protocol.envelopes import (
    Envelope,
    encode_envelope,
    encode_payload,
    payload_type_of,
    seal,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from tests.fuzz.mutation import cases

SIGNER = SeedSigner(bytes(range(32)))
OTHER = SeedSigner(bytes(range(1, 33)))
IDENTITY = pyrage.x25519.Identity.generate()
CHECKS = {"items": [{"id": "disk.space", "state": "warning", "summary": "91 % \x1b[31m"},
                    {"id": "cpu.load", "state": "ok", "summary": "fine"},
                    {"id": "disk.health", "state": "critical", "summary": "failing"}]}  # fmt: skip


class Maker:
    """Makes a bundle; tests change one thing about it."""

    def __init__(self) -> None:
        self.files = {"checks.json": json.dumps(CHECKS).encode(), "logs/system.txt": b"line\n"}
        self.fields: dict[str, Any] = {}
        self.signer: SeedSigner | None = SIGNER
        self.entries: dict[str, bytes] = {}
        self.compression = zipfile.ZIP_DEFLATED

    def write(self, folder: Path) -> Path:
        path = folder / "one.bundle"
        path.write_bytes(pyrage.encrypt(self.packed(), [IDENTITY.to_public()]))
        return path

    def packed(self) -> bytes:
        described = [
            BundleFile(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(),
                       about="words")
            for name, data in self.files.items()
        ]  # fmt: skip
        values: dict[str, Any] = {
            "tenant": "t-1",
            "device": device_id(SIGNER.public_key),
            "device_key": SIGNER.public_key,
            "made_at": "2026-11-22T08:00:00Z",
            "cleaned": ["hostname"],
            "secrets_removed": 2,
            "files": described,
            "omitted": ["logs/kernel.txt: nobody wrote it"],
        }
        manifest = Bundle(**values | self.fields)
        envelope = (
            seal(manifest, self.signer)
            if self.signer
            else Envelope(
                payload=encode_payload(manifest),
                payload_type=payload_type_of(Bundle),
                signatures=[],
            )
        )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", self.compression) as archive:
            inside = {"manifest.json": encode_envelope(envelope)} | self.files | self.entries
            for name, data in inside.items():
                archive.writestr(name, data)
        return packed.getvalue()


def opened(path: Path, *, known: bytes | None = None) -> OpenedBundle:
    return open_bundle(path, Opener([IDENTITY]), known_key=lambda _: known)


def test_whose_word_it_is(tmp_path: Path) -> None:
    maker = Maker()
    path = maker.write(tmp_path)
    assert opened(path, known=SIGNER.public_key).signed == "device"
    assert opened(path).signed == "unknown-key"
    maker.signer, maker.fields = None, {"device": "", "device_key": b""}
    assert opened(maker.write(tmp_path)).signed == "unsigned"


def no_signature(maker: Maker) -> None:
    maker.signer = None


def another_signature(maker: Maker) -> None:
    maker.signer = OTHER


def another_byte(maker: Maker) -> None:
    maker.entries = {"logs/system.txt": b"lime\n"}


def longer(maker: Maker) -> None:
    maker.entries = {"logs/system.txt": b"line\n" * 100}


def one_more(maker: Maker) -> None:
    maker.entries = {"extra.txt": b"x"}


def out_of_the_folder(maker: Maker) -> None:
    maker.files = {"../../up.txt": b"x"}


def packed_oddly(maker: Maker) -> None:
    maker.compression = zipfile.ZIP_LZMA


def no_statement(maker: Maker) -> None:
    maker.entries = {"manifest.json": b"{}"}


def a_key_of_another(maker: Maker) -> None:
    maker.fields = {"device": "d-aaaaaaaaaaaaaaaaaaaaaaaaaa"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (no_signature, "bundle-forged"),
        (another_signature, "bundle-forged"),
        (another_byte, "bundle-forged"),
        (longer, "bundle-malformed"),
        (one_more, "bundle-malformed"),
        (out_of_the_folder, "bundle-malformed"),
        (packed_oddly, "bundle-malformed"),
        (no_statement, "bundle-malformed"),
        (a_key_of_another, "bundle-malformed"),
    ],
)
def test_what_is_not_as_signed_is_not_opened(
    change: Callable[[Maker], None], code: str, tmp_path: Path
) -> None:
    maker = Maker()
    change(maker)
    with pytest.raises(FarhandError) as caught:
        opened(maker.write(tmp_path))
    assert caught.value.code == code


def test_a_device_that_is_known_by_another_key(tmp_path: Path) -> None:
    with pytest.raises(FarhandError) as caught:
        opened(Maker().write(tmp_path), known=OTHER.public_key)
    assert caught.value.code == "bundle-forged"


def test_another_key_a_missing_file_and_no_bundle_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Maker().write(tmp_path)
    stranger = Opener([pyrage.x25519.Identity.generate()])
    with pytest.raises(FarhandError, match="bundle-identity"):
        open_bundle(path, stranger, known_key=lambda _: None)
    with pytest.raises(FarhandError, match="bundle-unreadable"):
        opened(tmp_path / "none")
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), whole[:100], b"", b"PK"):
        path.write_bytes(damaged)
        with pytest.raises(FarhandError, match="bundle-malformed"):
            opened(path)
    path.write_bytes(pyrage.encrypt(b"PK no zip", [IDENTITY.to_public()]))
    with pytest.raises(FarhandError, match="bundle-malformed"):
        opened(path)
    monkeypatch.setattr("farhand_console.bundle.MAX_BUNDLE_BYTES", 10)
    with pytest.raises(FarhandError, match="bundle-malformed"):
        opened(path)


def test_made_up_archives_are_refused_and_nothing_else_happens() -> None:
    maker = Maker()
    maker.compression = zipfile.ZIP_STORED
    seed = maker.packed()
    accepted, codes = 0, set()
    for case in itertools.islice(cases([seed], "bundle"), 1500):
        try:
            check_bundle(case, sha256="", known_key=lambda _: None)
            accepted += 1
        except FarhandError as error:
            codes.add(error.code)
    assert codes <= {"bundle-malformed", "bundle-forged"}
    assert accepted < 1000


def test_a_file_that_swells_is_given_up(tmp_path: Path) -> None:
    maker = Maker()
    # 64 MiB of zeros in 64 KiB; the manifest says five bytes, and no more than those are unpacked.
    maker.entries = {"logs/system.txt": bytes(64 * 1024 * 1024)}
    with pytest.raises(FarhandError, match="larger than it may be"):
        opened(maker.write(tmp_path))
    assert bundles.MAX_UNPACKED_BYTES < 2**30


def test_the_worst_comes_first_and_foreign_words_hold_no_surprise(tmp_path: Path) -> None:
    bundle = opened(Maker().write(tmp_path))
    assert [one["id"] for one in bundle.troubles()] == ["disk.health", "disk.space"]
    lines = summary_lines(bundle)
    assert f"SHA-256 {bundle.sha256}" in lines
    assert "not in it: logs/kernel.txt: nobody wrote it" in lines
    for rubbish in (b"[]", b"{", b'{"items": 3}', b'{"items": [3, null]}'):
        maker = Maker()
        maker.files = {"checks.json": rubbish}
        assert opened(maker.write(tmp_path)).troubles() == []


def test_it_is_unpacked_for_its_owner_alone(tmp_path: Path) -> None:
    bundle = opened(Maker().write(tmp_path))
    paths = unpack_into(bundle, tmp_path / "out")
    assert sorted(Path(path).name for path in paths) == ["checks.json", "system.txt"]
    assert all(Path(path).stat().st_mode & 0o077 == 0 for path in paths)
    with pytest.raises(FarhandError, match="file-exists"):
        unpack_into(bundle, tmp_path / "out")


def test_the_command_needs_no_relay(tmp_path: Path) -> None:
    path = Maker().write(tmp_path)
    identity = tmp_path / "identity"
    identity.write_text(f"{IDENTITY}\n")
    words = ["--home", str(tmp_path / "home"), "bundle", "open", str(path),
             "--identity", str(identity), "--device-key", SIGNER.public_key.hex()]  # fmt: skip
    told = CliRunner().invoke(farhand, ["--json", *words])
    assert told.exit_code == 0, told.output
    answer = json.loads(told.stdout)
    assert (answer["signed"], answer["device"]) == ("device", device_id(SIGNER.public_key))
    assert "\x1b" not in told.stdout
    shown = CliRunner().invoke(farhand, words)
    assert "critical: disk.health: failing" in shown.stdout
    assert "\x1b" not in shown.stdout
