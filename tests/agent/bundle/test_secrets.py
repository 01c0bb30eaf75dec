"""Secrets leave every text by their form; what is none stays."""

from __future__ import annotations

import pytest

from farhand_agent.bundle.secrets import SecretFilter

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n" * 4
    + "-----END OPENSSH PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"before\n{KEY}\nafter", "b3BlbnNz"),
        ("-----BEGIN RSA PRIVATE KEY-----\ncut off here", "cut off"),
        ("AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ", "1QQQQ"),
        ("farhand-agent enrol fh1:abcdefghijklmnopqrstuvwx", "abcdefgh"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.sflKxwRJSMeKKF2QT4", "eyJzdWI"),
        ("remote: ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abc"),
        ("hook xoxb-1234567890-abcdef", "xoxb"),
        ("AKIAIOSFODNN7EXAMPLE is mine", "AKIAIOS"),
        ("root:$6$saltsalt$abcdefghijklmnopqrst:19000", "saltsalt"),
        ("GET https://ada:hunter2@example.org/x", "hunter2"),
        ("Authorization: Bearer abc.def-ghi", "abc.def"),
        ("Cookie: sid=0123456789", "0123456789"),
        ("mysql --password=hunter2 -h db", "hunter2"),
        ("mount -o user=ada,password=hunter2,rw", "hunter2"),
        ('{"db_password": "hunter2 is long"}', "hunter2"),
        ("api_key: hunter2hunter2", "hunter2"),
        ("wpa-psk='hunter2 too'", "hunter2"),
        ("export AWS_SECRET_ACCESS_KEY=hunter2", "hunter2"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, secret: str) -> None:
    found = SecretFilter()
    cleaned = found.text(text)
    assert secret in text
    assert secret not in cleaned
    assert "[removed: " in cleaned
    assert found.removed >= 1


@pytest.mark.parametrize(
    "text",
    [
        "password authentication failed for user ada",
        "the token bucket is empty",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "https://example.org:8443/path?x=1",
        "secrets: 3",
        "eyJ is short",
        "systemd[1]: Started session-1.scope.",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    found = SecretFilter()
    assert found.text(text) == text
    assert found.removed == 0


def test_what_stands_around_a_key_stays() -> None:
    assert SecretFilter().text(f"before\n{KEY}\nafter") == "before\n[removed: private key]\nafter"


def test_values_under_a_secret_name_go_whatever_they_hold() -> None:
    found = SecretFilter()
    value = {
        "name": "db",
        "password": "correct horse",
        "nested": [{"apiKey": "x", "count": 3, "token": ""}],
        "psk": ["a", "b"],
    }
    assert found.value(value) == {
        "name": "db",
        "password": "[removed: password]",
        "nested": [{"apiKey": "[removed: password]", "count": 3, "token": ""}],
        "psk": ["[removed: password]", "[removed: password]"],
    }
    assert found.removed == 4


@pytest.mark.parametrize(
    "hostile",
    [
        "-----BEGIN PRIVATE KEY-----" * 2000,
        "password=" * 5000,
        "a_" * 20000 + "password",
        "https://" + "a" * 40000,
        "eyJ" * 20000,
        "Cookie: " * 5000,
        "--a-" * 10000,
    ],
    ids=["keys", "passwords", "names", "address", "tokens", "cookies", "options"],
)
@pytest.mark.timeout(60)
def test_hostile_text_is_read_in_linear_time(hostile: str) -> None:
    # A quadratic pattern takes longer than the limit above; a linear one no time at all.
    assert isinstance(SecretFilter().text(hostile * 5), str)
