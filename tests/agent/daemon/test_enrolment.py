"""Enrolment against a relay over the real wire: what is pinned, what is refused, what is left."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from farhand_agent.cli import main
from farhand_agent.config import Home, load_settings
from farhand_agent.enrolment import enrol
from farhand_agent.journal import Journal
from farhand_agent.trust.verified import load_verified
from farhand_protocol.envelopes import decode_envelope, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import Enrol
from farhand_protocol.tokens import Enrolment, parse_enrolment_token
from tests.agent.agents import agent
from tests.agent.relay import TestRelay


async def test_a_device_enrols(relay: TestRelay, tmp_path: Path) -> None:
    text = relay.token()
    done = await agent("enrol", "--home", str(tmp_path / "d"), text, "--name", "desk-1", "--json")
    assert done.status == 0, done.stderr
    home = Home.at(tmp_path / "d")
    settings = load_settings(home)
    assert done.json == {"device": settings.device, "name": "desk-1", "group": "default"}
    assert settings.device == device_id(settings.device_key_raw)
    assert home.device_key.stat().st_mode & 0o777 == 0o600
    (message,) = relay.of(Enrol)
    envelope = decode_envelope(message.envelope)
    statement = open_payload(envelope, Enrolment)
    token_key = SeedSigner(parse_enrolment_token(text).seed).public_key
    both = [token_key, settings.device_key_raw]
    assert signers(envelope, both) == set(both)
    assert statement.device_key == settings.device_key_raw
    trust = load_verified(home)
    assert trust is not None
    assert [one.name for one in trust.roster.operators] == ["ada", "bo", "cy"]
    assert relay.roles == ["enrol"]


async def test_a_second_enrolment_needs_again_and_takes_a_new_key(
    relay: TestRelay, enrolled: Home
) -> None:
    before = load_settings(enrolled)
    refused = await agent("--home", str(enrolled.path), "enrol", relay.token())
    assert refused.status == 2
    assert "error: already-enrolled:" in refused.stderr
    assert load_settings(enrolled) == before
    again = await agent("--home", str(enrolled.path), "enrol", relay.token(), "--again")
    assert again.status == 0, again.stderr
    assert load_settings(enrolled).device != before.device
    assert load_settings(enrolled).inventory_leave_out == before.inventory_leave_out
    assert "updates" in before.inventory_leave_out
    journal = Journal(enrolled.journal)
    assert journal.meta("device") == load_settings(enrolled).device
    journal.close()


def nothing_is_left(home: Home) -> None:
    assert not home.config.exists()
    assert not home.device_key.exists()
    assert not home.trust.exists()
    assert not list(home.path.glob(".enrol-*"))


async def refusal(relay: TestRelay, tmp_path: Path, token: str) -> FarhandError:
    home = Home.at(tmp_path / "d")
    with pytest.raises(FarhandError) as caught:
        await enrol(home, parse_enrolment_token(token))
    nothing_is_left(home)
    return caught.value


async def test_another_relay_key_than_the_tokens_is_refused(
    relay: TestRelay, tmp_path: Path
) -> None:
    token = relay.token(relay_key=SeedSigner(b"x" * 32).public_key)
    assert (await refusal(relay, tmp_path, token)).code == "relay-key-mismatch"
    assert relay.of(Enrol) == []


async def test_a_relay_without_its_key_is_refused(relay: TestRelay, tmp_path: Path) -> None:
    relay.signing_key = SeedSigner(b"y" * 32)
    assert (await refusal(relay, tmp_path, relay.token())).code == "relay-signature-wrong"
    assert relay.of(Enrol) == []


async def test_another_root_than_the_tokens_is_refused(relay: TestRelay, tmp_path: Path) -> None:
    token = relay.token(root_sha256=hashlib.sha256(b"other").digest())
    assert (await refusal(relay, tmp_path, token)).code == "trust-root-mismatch"
    assert relay.of(Enrol) == []


async def test_metadata_older_than_the_token_is_refused(relay: TestRelay, tmp_path: Path) -> None:
    token = relay.token(targets_version=7)
    assert (await refusal(relay, tmp_path, token)).code == "trust-rollback"
    assert relay.of(Enrol) == []


async def test_the_relays_refusal_keeps_its_code(relay: TestRelay, tmp_path: Path) -> None:
    relay.nack[Enrol] = "token-used"
    assert (await refusal(relay, tmp_path, relay.token())).code == "token-used"


async def test_nobody_there(relay: TestRelay, tmp_path: Path) -> None:
    relay.http_status = 503
    assert (await refusal(relay, tmp_path, relay.token())).code == "relay-unavailable"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://192.0.2.1:8443", "url-insecure"),
        ("http://relay.example", "url-insecure"),
        ("http://127.0.0.1.example", "url-insecure"),
        ("https://user@relay.example", "url-malformed"),
        ("https://:443", "url-malformed"),
    ],
)
async def test_addresses_that_are_refused(
    relay: TestRelay, tmp_path: Path, url: str, code: str
) -> None:
    assert (await refusal(relay, tmp_path, relay.token(url=url))).code == code


async def test_a_damaged_token_is_one_line_on_stderr(tmp_path: Path) -> None:
    done = await agent("enrol", "--home", str(tmp_path), "fh1:AAAA")
    assert done.status == 2
    assert done.stderr.startswith("farhand-agent: error: token-malformed: ")
    assert "farhand-agent: hint: " in done.stderr
    assert not done.stdout


async def test_a_name_that_could_steer_a_terminal_is_refused(
    relay: TestRelay, tmp_path: Path
) -> None:
    done = await agent("enrol", "--home", str(tmp_path / "d"), relay.token(), "--name", "a\x1b[2J")
    assert done.status == 2
    assert "error: name-malformed:" in done.stderr


async def test_an_empty_name_is_no_name(relay: TestRelay, tmp_path: Path) -> None:
    for name in ("", "  "):
        done = await agent("enrol", "--home", str(tmp_path / "d"), relay.token(), "--name", name)
        assert done.status == 2
        assert "error: name-malformed:" in done.stderr
    assert not (tmp_path / "d").exists()


async def test_a_failed_enrolment_leaves_no_folder(relay: TestRelay, tmp_path: Path) -> None:
    relay.nack[Enrol] = "token-used"
    with pytest.raises(FarhandError, match="token-used"):
        await enrol(Home.at(tmp_path / "a" / "b"), parse_enrolment_token(relay.token()))
    assert relay.of(Enrol)
    assert not (tmp_path / "a").exists()
    # A folder that was there stays, and what the guest that lived there had.
    kept = Home.at(tmp_path / "guest")
    kept.make()
    (kept.receipts / "s-1.json").touch()
    with pytest.raises(FarhandError, match="token-used"):
        await enrol(kept, parse_enrolment_token(relay.token()))
    assert (kept.receipts / "s-1.json").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.toml", 'program = "farhand"\nurl = "http://127.0.0.1:1"\n'),
        ("config.toml", 'tenant = "t-1"\norg = "Acme"\nurl = "http://127.0.0.1:1"\n'),
        ("operator.key", ""),
    ],
    ids=["console", "relay", "console-before-login"],
)
def test_another_programs_home_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    token = "fh1:AAAA"  # never looked at
    commands = [
        ["enrol", token], ["enrol", token, "--again"], ["run"], ["code"], ["status"], ["stop"],
        ["log"], ["policy"], ["receipts"], ["inventory"], ["checks"], ["patches"],
    ]  # fmt: skip
    for command in commands:
        with pytest.raises(SystemExit) as left:
            main([*command, "--home", str(tmp_path)])
        assert left.value.code == 1, command
        assert "farhand-agent: error: home-foreign: " in capsys.readouterr().err, command
    with pytest.raises(FarhandError, match="home-foreign"):
        Home.at(tmp_path).make()
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == text


async def test_without_arguments_the_help_is_shown() -> None:
    done = await agent()
    assert done.status == 2
    assert done.stderr.startswith("Usage: farhand-agent [OPTIONS] COMMAND")
    assert "\n  enrol " in done.stderr
    assert "\\x0a" not in done.stderr
