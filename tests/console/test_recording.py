"""Recordings at the console: checked, opened, exported, and shown without harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyrage
import pytest
from click.testing import CliRunner, Result

from farhand_console.cli.entry import farhand
from farhand_console.home import Home
from farhand_console.keys import create_key
from farhand_console.session.recording_keys import (
    create_audit_key,
    is_recipient,
    load_identities,
)
from farhand_console.session.recording_screen import ScreenFilter, play_stream
from farhand_console.session.recording_source import read_file
from farhand_console.session.recording_streams import read_streams
from farhand_console.trust.devices import pin
from farhand_protocol.casts import (
    CastEvent,
    CastHeader,
    Origin,
    Term,
    encode_cast_event,
    encode_cast_header,
)
from farhand_protocol.envelopes import encode_envelope
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Action, RecordingMark
from farhand_protocol.identity import device_id, public_key_line
from farhand_protocol.recording import Chunk, open_head
from tests.console.organisation import settings
from tests.console.test_ending import Case
from tests.protocol.recordings import AT, DEVICE, RELAY, SESSION, make_chunks, sealed_file


def header(stream: int, kind: Any, title: str = "shell") -> CastHeader:
    return CastHeader(
        version=3,
        term=Term(cols=100, rows=30, type="xterm"),
        timestamp=1_780_000_000,
        title=title,
        farhand=Origin(kind=kind, session=SESSION, stream=stream, at_s=stream * 2.5),
    )


ACTION = msgspec.json.encode(
    Action(at=AT, kind="exec", detail="rm \x1b[2J", size_bytes=None, sha256=None)
).decode()
PLAIN = [
    encode_cast_header(0, header(0, "events", "what was done"))
    + encode_cast_header(1, header(1, "terminal"))
    + encode_cast_event(1, 0.5, "o", "$ ls\r\n")
    + encode_cast_event(0, 0.6, "e", ACTION),
    encode_cast_header(2, header(2, "exec", "ls -l"))
    + encode_cast_event(2, 0.25, "o", "a\nb\n")
    + encode_cast_event(1, 40.0, "o", "\x1b]52;c;ZXZpbA==\x07done\r\n")
    + encode_cast_event(1, 0.5, "r", "80x24")
    + encode_cast_event(2, 0.0, "b", "AAECAw==")
    + encode_cast_event(2, 0.25, "x", "3"),
    b"",
]


@pytest.fixture
def audit_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "")  # a passphrase costs a second each time
    return create_audit_key(home.folder / "audit.key")


def sealed_to(*recipients: Any, plain: list[bytes] | None = None, **more: Any) -> list[Chunk]:
    bodies = [pyrage.encrypt(one, list(recipients)) for one in plain or PLAIN]
    return make_chunks(bodies, **more)


@pytest.fixture
def sealed(home: Home, audit_key: str, tmp_path: Path) -> Path:
    """A sealed file of a pinned device, for this home's audit key."""
    pin(home, device_id(DEVICE.public_key), DEVICE.public_key)
    path = tmp_path / f"{SESSION}.sealed"
    path.write_bytes(sealed_file(sealed_to(pyrage.x25519.Recipient.from_str(audit_key))))
    return path


def run(home: Home, *words: str) -> Result:
    return CliRunner().invoke(farhand, ["--home", str(home.folder), *words])


def answer(home: Home, *words: str) -> dict[str, Any]:
    done = run(home, "--json", *words)
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def refused(home: Home, *words: str) -> str:
    done = run(home, *words)
    assert done.exit_code in (1, 2), done.output
    return done.stderr.split(": ")[2]


def test_a_sealed_file_is_verified_offline(home: Home, sealed: Path) -> None:
    told = answer(home, "recording", "verify", str(sealed))
    assert (told["valid"], told["session"], told["complete"]) == (True, SESSION, True)
    assert (told["chunks"], told["witnessed"], told["device_key_pinned"]) == (3, 3, True)
    assert told["relay_key_pinned"] is False
    data = bytearray(sealed.read_bytes())
    data[len(data) // 2] ^= 1
    sealed.write_bytes(data)
    assert refused(home, "recording", "verify", str(sealed)).startswith("recording-")


def test_another_device_key_is_noticed(home: Home, sealed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sealed"
    recipient = pyrage.x25519.Identity.generate().to_public()
    other.write_bytes(sealed_file(sealed_to(recipient, device=RELAY)))
    # Whoever has a key pair and the public audit key could have made it.
    done = run(home, "--json", "recording", "verify", str(other))
    assert (done.exit_code, json.loads(done.stdout)["valid"]) == (1, False)
    out = tmp_path / "out"
    for words in (("verify",), ("export", "--sealed", "--out", str(out))):
        assert refused(home, "recording", *words, str(other)) == "recording-device"
    assert not out.exists() or list(out.iterdir()) == []
    told = answer(home, "recording", "verify", str(other), "--unknown-device")
    assert (told["valid"], told["device_key_pinned"]) == (True, False)
    key = DEVICE.public_key.hex()
    code = refused(home, "recording", "verify", str(other), "--device-key", key)
    assert code == "recording-signature"


def test_a_missing_end_is_told(home: Home, audit_key: str, tmp_path: Path) -> None:
    pin(home, device_id(DEVICE.public_key), DEVICE.public_key)
    recipient = pyrage.x25519.Recipient.from_str(audit_key)
    path = tmp_path / "cut.sealed"
    path.write_bytes(sealed_file(sealed_to(recipient, final=False, dropped=7, relay=None)))
    assert refused(home, "recording", "verify", str(path)) == "recording-tail"
    assert refused(home, "recording", "export", str(path), "--out", str(tmp_path)) == (
        "recording-tail"
    )
    assert list(tmp_path.glob("*cut*")) == [path]  # nothing half-written is left
    done = run(home, "recording", "verify", str(path), "--open-end", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["complete"], told["dropped_bytes"], told["witnessed"]) == (False, 21, 0)
    assert "the end of the recording is missing" in done.stderr
    assert "lost 21 bytes" in done.stderr


def keep_receipt(home: Home, head_sha256: str) -> None:
    """Keep a countersigned receipt that names this end of the recording."""
    receipt = Case(home).receipt(
        session=SESSION,
        device=device_id(DEVICE.public_key),
        device_key=DEVICE.public_key,
        recording=RecordingMark(id=SESSION, head_sha256=head_sha256, chunks=3, complete=True),
        by=DEVICE,
    )
    folder = home.folder / "receipts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{SESSION}.json").write_bytes(encode_envelope(receipt))


def test_the_receipt_is_compared_whatever_end_is_taken(home: Home, sealed: Path) -> None:
    chunks = list(read_file(sealed))
    assert answer(home, "recording", "verify", str(sealed))["receipt_agrees"] is None
    keep_receipt(home, open_head(chunks[-1].head).digest)
    for words in ((), ("--open-end",)):
        told = answer(home, "recording", "verify", str(sealed), *words)
        assert (told["valid"], told["receipt_agrees"]) == (True, True)
    keep_receipt(home, "0" * 64)
    for words in ((), ("--open-end",)):
        done = run(home, "--json", "recording", "verify", str(sealed), *words)
        assert (done.exit_code, done.stderr.split(": ")[2]) == (1, "recording-tail")
        told = json.loads(done.stdout)
        assert (told["valid"], told["receipt_agrees"]) == (False, False)
        assert refused(home, "recording", "play", str(sealed), *words) == "recording-tail"
    # Without its end there is nothing to compare, and nothing is claimed.
    sealed.write_bytes(sealed_file(chunks[:-1]))
    told = answer(home, "recording", "verify", str(sealed), "--open-end")
    assert (told["complete"], told["receipt_agrees"]) == (False, None)


@pytest.mark.parametrize("tenant", ["n-test", ""], ids=["enrolled", "guest"])
def test_countersignatures_cannot_be_left_out(
    home: Home, audit_key: str, tmp_path: Path, tenant: str
) -> None:
    settings(home, relay_key=RELAY.public_key.hex())
    pin(home, device_id(DEVICE.public_key), DEVICE.public_key)
    chunks = sealed_to(pyrage.x25519.Recipient.from_str(audit_key), tenant=tenant)
    path = tmp_path / "stripped.sealed"
    path.write_bytes(sealed_file(chunks))
    assert answer(home, "recording", "verify", str(path))["valid"] is True
    bare = [Chunk(head=one.head, ciphertext=one.ciphertext) for one in chunks]
    for left in (bare, [*bare[:1], *chunks[1:]]):
        path.write_bytes(sealed_file(left))
        done = run(home, "--json", "recording", "verify", str(path))
        assert (done.exit_code, done.stderr.splitlines()[-2].split(": ")[2]) == (
            1,
            "recording-unwitnessed",
        )
        assert json.loads(done.stdout)["valid"] is False
        out = tmp_path / "out"
        to_out = ("--out", str(out))
        for words in (("play",), ("export", *to_out), ("export", "--sealed", *to_out)):
            done = run(home, "recording", *words, str(path))
            assert done.exit_code == 1
            assert "recording-unwitnessed" in done.stderr
        assert not out.exists() or list(out.iterdir()) == []
        told = answer(home, "recording", "verify", str(path), "--unwitnessed")
        assert (told["valid"], told["relay_key_pinned"]) == (True, True)


def test_what_is_played_is_harmless(home: Home, sealed: Path) -> None:
    done = run(home, "recording", "play", str(sealed))
    assert done.exit_code == 0, done.stderr
    assert "$ ls\n" in done.stdout
    assert "done\n" in done.stdout
    assert "a\nb\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert "ZXZpbA" not in done.stdout
    assert "exec  rm \\x1b[2J" in done.stdout
    told = answer(home, "recording", "play", str(sealed), "--stream", "1")
    (row,) = told["streams"]
    assert (row["kind"], row["at_s"], row["duration_s"]) == ("terminal", 2.5, 41.0)
    assert run(home, "recording", "play", str(sealed), "--stream", "9").exit_code == 2


def test_it_needs_a_key_that_it_was_sealed_to(home: Home, sealed: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.key"
    create_audit_key(stranger)
    words = ("recording", "play", str(sealed), "--identity", str(stranger))
    assert refused(home, *words) == "recording-identity"
    stranger.write_text("neither")
    assert refused(home, *words) == "key-malformed"
    stranger.write_text("# nothing\n")
    assert refused(home, *words) == "key-malformed"
    with pytest.raises(FarhandError, match="recording-identity"):
        load_identities(Home(tmp_path / "empty"), None)


def test_damage_is_told_apart_from_a_wrong_key_and_names_the_chunk(
    home: Home, sealed: Path, tmp_path: Path, audit_key: str
) -> None:
    data = sealed.read_bytes()
    broken = tmp_path / "broken.sealed"
    starts = [at for at in range(len(data)) if data.startswith(b"age-encryption.org/v1", at)]
    for at, rest, code, words in (
        (starts[1], data[starts[1] + 1 :], "recording-changed", "chunk 1 was changed"),
        (starts[2] - 5, data[starts[2] - 4 :], "recording-malformed", "signature on chunk 2"),
        (starts[1], b"", "recording-malformed", "ends within chunk 1"),
    ):
        broken.write_bytes(data[:at] + bytes([data[at] ^ 1]) + rest)
        for what in ("verify", "play"):
            done = run(home, "recording", what, str(broken))
            assert f"error: {code}: " in done.stderr
            assert words in done.stderr
    # Signed as it is: only opening shows it.
    recipient = pyrage.x25519.Recipient.from_str(audit_key)
    bodies = [pyrage.encrypt(one, [recipient]) for one in PLAIN]
    for index, at in ((0, 0), (1, 40), (1, -1)):
        odd = [bytearray(one) for one in bodies]
        odd[index][at] ^= 1
        broken.write_bytes(sealed_file(make_chunks([bytes(one) for one in odd])))
        done = run(home, "recording", "play", str(broken))
        assert "error: recording-damaged: " in done.stderr
        assert f"chunk {index} " in done.stderr
        assert run(home, "recording", "verify", str(broken)).exit_code == 0


def test_an_operators_own_key_opens_what_a_guest_sealed_to_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "correct horse")
    create_key(home.key_file(), "tess")
    public = home.key_file().with_name(home.key_file().name + ".pub").read_text()
    recipient = pyrage.ssh.Recipient.from_str(" ".join(public.split()[:2]))
    path = tmp_path / "guest.sealed"
    path.write_bytes(sealed_file(sealed_to(recipient, tenant="")))
    key = DEVICE.public_key.hex()
    assert "$ ls" in run(home, "recording", "play", str(path), "--device-key", key).stdout


@pytest.mark.parametrize("version", [3, 2])
def test_exports_are_what_players_read(
    home: Home, sealed: Path, tmp_path: Path, version: int
) -> None:
    out = tmp_path / "out"
    words = ["recording", "export", str(sealed), "--out", str(out)]
    told = answer(home, *words, *(["--v2"] if version == 2 else []))
    assert [row["stream"] for row in told["files"]] == [0, 1, 2]
    events, terminal, command = (
        [json.loads(line) for line in Path(row["path"]).read_text().splitlines()]
        for row in told["files"]
    )
    assert terminal[0]["version"] == version
    size = terminal[0]["term"] if version == 3 else terminal[0]
    assert size["cols" if version == 3 else "width"] == 100
    times = [0.5, 40.0, 0.5] if version == 3 else [0.5, 40.5, 41.0]
    assert [one[0] for one in terminal[1:]] == times
    assert [one[1] for one in terminal[1:]] == ["o", "o", "r"]
    assert command[1][2] == "a\r\nb\r\n"
    assert [one[1] for one in command[1:]] == ["o", "o", *(["x"] if version == 3 else [])]
    assert command[2][2] == "[4 bytes that are no text]\r\n"
    assert events[1][2].endswith("exec  rm \\x1b[2J\r\n")
    assert Path(told["files"][0]["path"]).stat().st_mode & 0o077 == 0
    # What is there is never written over.
    assert refused(home, *words) == "recording-export"


def test_a_sealed_export_is_the_same_file_again(home: Home, sealed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("recording", "export", str(sealed), "--sealed", "--out", str(out))
    told = answer(home, *words)
    assert Path(told["files"][0]["path"]).read_bytes() == sealed.read_bytes()
    assert refused(home, *words) == "recording-export"
    assert run(home, *words, "--stream", "1").exit_code == 2


def test_an_audit_key_is_made_once_and_locked(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARHAND_PASSPHRASE", "correct horse")
    recipient = answer(home, "recording", "key", "new")["recipient"]
    assert refused(home, "recording", "key", "new") == "key-exists"
    file = home.folder / "audit.key"
    assert file.stat().st_mode & 0o077 == 0
    assert b"AGE-SECRET-KEY" not in file.read_bytes()
    sealed = pyrage.encrypt(b"shown", [pyrage.x25519.Recipient.from_str(recipient)])
    assert load_identities(home, None).open(sealed) == b"shown"
    monkeypatch.setenv("FARHAND_PASSPHRASE", "wrong")
    with pytest.raises(FarhandError, match="key-passphrase"):
        load_identities(home, None)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("age1nonsense", False),
        ("ssh-rsa AAAAB3NzaC1yc2E", False),
        ("ssh-ed25519 AAAA", False),
        ("ssh-ed25519", False),
        ("", False),
        (str(pyrage.x25519.Identity.generate().to_public()), True),
        (public_key_line(DEVICE.public_key, "somebody"), True),
    ],
    # The key is drawn at random, and xdist wants the same names in every worker.
    ids=["nonsense", "ssh-rsa", "cut", "no-key", "empty", "age", "ssh-ed25519"],
)
def test_a_policy_takes_only_keys_that_devices_can_seal_to(text: str, sound: bool) -> None:
    assert is_recipient(text) is sound


HOSTILE = [
    "\x1b]0;title\x07",
    "\x1b]52;c;AAAA\x1b\\",
    "\x9d0;title\x9c",
    "\x1bP$q\x1b\\",
    "\x1b_apc\x1b\\",
    "\x1b^pm\x1b\\",
    "\x1bXsos\x1b\\",
    "\x1b[6n",
    "\x1b[c",
    "\x1b[>c",
    "\x1b[?6n",
    "\x9b6n",
    "\x1b[21t",
    "\x1b[5i",
    "\x1b[?1000h",
    "\x1b[?2004h",
    "\x1b[?1004;25h",
    "\x1bZ",
    "\x1bc",
    "\x1b[!p",
    "\x1b[?u",
    "\x1b[>4;1m",
    "\x1b[2 q",
    "\x05",
    "\x07",
    "\x1b#8",
    "\x1b%G",
    "\u202e",
    "\x1b\x1b[6n",
    "\x1b[1\x1b[6n",
    "\x1b]0;x\x1b]52;c;A\x07",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_makes_a_terminal_act_goes_through(text: str) -> None:
    for whole in (True, False):
        screen = ScreenFilter()
        pieces = [f"a{text}b"] if whole else list(f"a{text}b")
        shown = "".join(map(screen.feed, pieces))
        assert "\x1b" not in shown
        assert not any("\x80" <= one < "\xa0" or one in "\x05\x07\u202e" for one in shown)
        assert shown.startswith("a")
        assert shown.endswith("b")


@pytest.mark.parametrize(
    "text",
    [
        "plain ä 漢 \u2500\r\n\t\b",
        "\x1b[1;31mred\x1b[0m",
        "\x1b[38:2:1:2:3m",
        "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[?25l\x1b[?25h\x1b[?1049h\x1b[?7l",
        "\x1b7\x1b8\x1bM\x1b=\x1b>\x1b(0\x1b(B",
        "\x1b[1;20r\x1b[3S\x1b[2L\x1b[4P\x1b[4@\x1b[5X",
    ],
)
def test_what_draws_goes_through(text: str) -> None:
    assert ScreenFilter().feed(text) == text
    screen = ScreenFilter()
    assert "".join(map(screen.feed, text)) == text


def test_pauses_are_cut_and_divided() -> None:
    slept: list[float] = []
    shown: list[str] = []
    lines: Iterator[tuple[int, CastHeader | CastEvent]] = iter(
        [
            (1, header(1, "terminal")),
            (1, CastEvent(0.5, "o", "a")),
            (1, CastEvent(3600.0, "o", "b")),
            (1, CastEvent(0.0, "i", "typed")),
        ]
    )
    (stream,) = read_streams(lines).values()
    play_stream(stream, speed=2.0, idle_limit_s=3.0, write=shown.append, sleep=slept.append)
    assert (slept, shown) == ([0.25, 1.5], ["a", "b"])


def test_lines_of_no_stream_are_refused() -> None:
    with pytest.raises(FarhandError, match="recording-plaintext"):
        read_streams([(4, CastEvent(0.0, "o", "x"))])
