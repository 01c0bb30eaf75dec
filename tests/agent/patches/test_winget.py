"""The winget provider, on documents as ConvertTo-Json writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farhand_agent.patches.provider import ProviderError
from farhand_agent.patches.winget_output import classify, parse_packages, parse_upgrades
from farhand_agent.patches.winget_provider import WingetProvider
from tests.agent.patches.replay import Replay, printed

PACKAGES: list[dict[str, Any]] = [
    {
        "id": "Mozilla.Firefox",
        "name": "Mozilla Firefox (x64 de)",
        "installed": "119.0",
        "available": ["120.0"],
        "source": "winget",
        "pinned": False,
    },
    {
        "id": "Notepad++.Notepad++",
        "name": "Notepad++",
        "installed": "",
        "available": "8.6",
        "source": "winget",
        "pinned": True,
    },
    {"id": "--evil", "name": "x", "installed": "1", "available": ["2"], "source": "winget"},
    {"id": "Vendor.Odd", "name": "x", "installed": "1", "available": ["-2; rm"], "source": ""},
]


def test_packages_are_listed_and_nothing_that_looks_like_an_option() -> None:
    firefox, notepad = parse_packages(json.dumps({"packages": PACKAGES}))
    assert (firefox.id, firefox.installed, firefox.available) == (
        "Mozilla.Firefox", "119.0", "120.0",
    )  # fmt: skip
    assert notepad.held
    assert notepad.installed == "-"


def test_one_package_that_was_unwrapped_and_none_at_all() -> None:
    assert len(parse_packages(json.dumps({"packages": PACKAGES[0]}))) == 1
    assert parse_packages('{"packages": null}') == []


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (-1978335189, "", "unknown-update"),  # 0x8A15002B, no applicable update
        (-1978335188, "", "failed"),  # 0x8A15002C
        (-1978335212, "", "unknown-update"),  # 0x8A150014
        (-1978335215, "", "untrusted"),  # 0x8A150011
        (-1978335128, "Package is pinned", "held"),  # 0x8A150068
        (-1978335128, "Application is currently running", "in-use"),  # the same number
        (-1978335127, "", "locked"),  # 0x8A150069
        (-1978335174, "", "blocked"),  # 0x8A15003A
        (0x8A150011, "", "untrusted"),
        (7, "", "failed"),
    ],
)
def test_codes_are_signed_or_not(code: int, words: str, kind: str) -> None:
    error = classify(code, words)
    assert error.code == f"patch-{kind}"
    assert f"0x{code & 0xFFFFFFFF:08X}" in error.message


def upgraded(firefox: int, notepad: int) -> str:
    return json.dumps(
        {
            "results": [
                {"id": "Mozilla.Firefox", "code": firefox, "words": ""},
                {"id": "Notepad++.Notepad++", "code": notepad, "words": "pinned"},
            ]
        }
    )


def test_a_restart_that_finishes_an_upgrade_is_asked_for() -> None:
    replay = Replay({"-EncodedCommand": printed(json.dumps({"packages": PACKAGES}))})
    one = WingetProvider(replay)
    plan = one.plan(["Mozilla.Firefox", "Notepad++.Notepad++"])
    replay.answers["-EncodedCommand"] = printed(upgraded(-1978335114, -1978335128))
    result = one.apply(plan)
    assert (result.done, result.failed) == (("Mozilla.Firefox",), ("Notepad++.Notepad++",))
    assert result.reboot.required is True
    assert result.reboot.reasons == ("Mozilla.Firefox",)
    given = json.loads(replay.environments[-1]["FARHAND_VALUES"])
    assert given["packages"][0] == {"id": "Mozilla.Firefox", "version": "120.0"}


def test_when_all_fail_the_first_is_told() -> None:
    replay = Replay({"-EncodedCommand": printed(json.dumps({"packages": PACKAGES}))})
    one = WingetProvider(replay)
    plan = one.plan(["Mozilla.Firefox"])
    answer = '{"results": {"id": "Mozilla.Firefox", "code": -1978335127, "words": ""}}'
    replay.answers["-EncodedCommand"] = printed(answer)
    with pytest.raises(ProviderError) as caught:
        one.apply(plan)
    assert caught.value.code == "patch-locked"


def test_a_missing_module_is_unsupported_and_not_an_empty_list() -> None:
    for parse in (parse_packages, parse_upgrades):
        with pytest.raises(ProviderError) as caught:
            parse('{"missing": "Microsoft.WinGet.Client"}')
        assert caught.value.state == "unsupported"


def test_what_is_no_document_is_unreadable() -> None:
    for text in ("", "Name  Id  Version", "{}", "[]"):
        with pytest.raises(ProviderError) as caught:
            parse_packages(text)
        assert caught.value.code == "patch-unreadable"
