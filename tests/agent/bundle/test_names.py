"""Names become stable tokens; addresses are told by their form, names by what the device knows."""

from __future__ import annotations

import re

import pytest

from farhand_agent.bundle.names import KINDS, KnownNames, NameCleaner, known_names

KNOWN = KnownNames(
    hosts=("desk-7.office.example.org", "desk-7"),
    domains=("office.example.org", "example.org"),
    users=("ada lovelace", "ada"),
)
TOKEN = re.compile(r"(host|domain|address|mac|user)-[a-z2-7]{8}")


def cleaner(*kinds: str, key: bytes = b"k" * 32) -> NameCleaner:
    return NameCleaner(frozenset(kinds or KINDS), KNOWN, key)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Desk-7 says hello", "host says hello"),
        ("desk-7.office.example.org.", "host."),
        ("mail.office.example.org", "mail.domain"),
        ("desk-70 and mydesk-7", "desk-70 and mydesk-7"),
        ("from 192.168.7.20:22 to 127.0.0.1", "from address:22 to 127.0.0.1"),
        ("fe80::1%eth0 and ::1 and 2001:db8::7", "address%eth0 and ::1 and address"),
        ("at 12:34:56 nothing", "at 12:34:56 nothing"),
        ("lladdr 52:54:00:12:34:56 REACHABLE", "lladdr mac REACHABLE"),
        ("52-54-00-12-34-56", "mac"),
        ("session opened for Ada (uid=1000)", "session opened for user (uid=1000)"),
        ("Ada Lovelace logged in", "user logged in"),
        ("adapter and armada", "adapter and armada"),
        ("/home/grace/.bashrc", "/home/user/.bashrc"),
        ("C:\\Users\\Grace\\x", "C:\\Users\\user\\x"),
        ("/Users/Shared/x", "/Users/Shared/x"),
        ("0.0.0.0:443 and 300.1.1.1", "0.0.0.0:443 and 300.1.1.1"),
        ("1.2.3.4.5 is an oid", "1.2.3.4.5 is an oid"),
    ],
)
def test_what_is_a_name(text: str, shape: str) -> None:
    assert TOKEN.sub(lambda found: found[1], cleaner().text(text)) == shape


def test_a_value_has_one_token_and_each_device_its_own() -> None:
    one = cleaner()
    assert one.text("10.1.2.3") == one.text("10.1.2.3") == cleaner().text("10.1.2.3")
    assert one.text("10.1.2.3") != one.text("10.1.2.4")
    assert one.text("10.1.2.3") != cleaner(key=b"j" * 32).text("10.1.2.3")
    assert one.text("52:54:00:12:34:56") == one.text("52-54-00-12-34-56")
    assert one.text("/home/ada/x").split("/")[2] == one.text("ada")


def test_only_what_was_asked_for_is_replaced() -> None:
    text = "desk-7 10.1.2.3 52:54:00:12:34:56 ada"
    assert cleaner("mac").text(text).startswith("desk-7 10.1.2.3 mac-")
    assert cleaner("user").text(text).startswith("desk-7 10.1.2.3 52:54:00:12:34:56 user-")
    assert NameCleaner(frozenset(), KNOWN, b"k" * 32).text(text) == text


def test_versions_are_no_addresses() -> None:
    cleaned = cleaner().value(
        {"version": "8.0.40.1", "installed": "1.2.3.4", "peer": "8.0.40.1", "desk-7": [{"a": 1}]}
    )
    assert (cleaned["version"], cleaned["installed"]) == ("8.0.40.1", "1.2.3.4")
    assert cleaned["peer"].startswith("address-")
    assert any(key.startswith("host-") for key in cleaned)


def test_what_this_machine_knows_of_itself_is_no_common_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUDO_USER", "grace")
    known = known_names()
    assert "grace" in known.users
    assert "root" not in known.users
    assert not {"localhost", "localdomain", "com"} & {*known.hosts, *known.domains}
    assert all(len(name) >= 3 for name in (*known.hosts, *known.domains, *known.users))
