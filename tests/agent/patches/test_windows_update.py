"""The Windows Update provider, on documents as Windows PowerShell 5 writes them as JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from farhand_agent.patches.powershell import command_line, script_text, values
from farhand_agent.patches.provider import ProviderError
from farhand_agent.patches.windows_update_output import (
    classify_hresult,
    parse_installation,
    parse_search,
)
from farhand_agent.patches.windows_update_provider import WindowsUpdateProvider
from tests.agent.patches.replay import Replay, printed

CUMULATIVE = "2B7E1A4F-9C3D-4E5A-8F60-71829A3B4C5D"
DEFINITION = "11111111-2222-3333-4444-555555555555"
UPDATES: list[dict[str, Any]] = [
    {
        "id": CUMULATIVE,
        "revision": 200,
        "title": "2026-11 Cumulative Update for Windows 11 (KB5070000)",
        "kb": ["5070000"],
        "severity": None,
        "categories": ["0fa1201d-4330-4fa8-8ae9-b877473b6441"],
        "size": "734003200",
        "hidden": False,
        "reboot": 2,
        "asks": False,
        "cves": [],
    },
    {
        "id": DEFINITION,
        "revision": 1,
        "title": "Security Intelligence Update",
        "kb": "2267602",
        "severity": None,
        "categories": "e0789628-ce08-4437-be74-2495b842f43b",
        "size": "1",
        "hidden": False,
        "reboot": 0,
        "asks": False,
        "cves": None,
    },
    {
        "id": "99999999-2222-3333-4444-555555555555",
        "revision": 3,
        "title": "Feature update",
        "kb": {"value": ["1", "2"], "Count": 2},
        "severity": "Important",
        "categories": ["3689bdc8-b205-4af4-8d4a-a63924c5e9d5"],
        "size": "x",
        "hidden": True,
        "reboot": 1,
        "asks": True,
        "cves": ["CVE-2026-1"],
    },
]


def search(**changes: Any) -> str:
    return json.dumps(
        {
            "code": 2,
            "updates": UPDATES,
            "searched_at": "2026-11-20T01:02:03Z",
            "reboot": False,
            "reasons": [],
        }
        | changes
    )


def test_kind_comes_from_categories_and_severity() -> None:
    cumulative, definition, feature = parse_search(search()).updates
    assert cumulative.id == f"{CUMULATIVE.lower()}.200"
    assert (cumulative.kind, cumulative.severity) == ("security", "unknown")
    assert cumulative.requires_reboot
    assert cumulative.size_bytes == 734003200
    assert cumulative.advisories == ("KB5070000",)
    assert (definition.kind, definition.advisories) == ("security", ("KB2267602",))
    assert (feature.kind, feature.severity) == ("security", "important")
    assert feature.held
    assert feature.kept_back
    assert feature.advisories == ("KB1", "KB2")
    assert feature.cves == ("CVE-2026-1",)
    assert feature.size_bytes is None


def test_a_list_of_one_that_was_unwrapped_and_null_lists() -> None:
    assert len(parse_search(search(updates=UPDATES[0])).updates) == 1
    assert parse_search(search(updates=None)).updates == ()
    assert parse_search("\ufeff" + search(updates=[])).updates == ()


@pytest.mark.parametrize(
    ("reboot", "reasons", "required"),
    [
        (False, [], False),
        (True, [], True),
        (False, ["pending-file-rename"], False),
        (False, ["pending-file-rename", "servicing-RebootPending"], True),
        (False, "computer-name", True),
    ],
)
def test_a_weak_reason_alarms_nobody_alone(reboot: bool, reasons: Any, required: bool) -> None:
    found = parse_search(search(reboot=reboot, reasons=reasons)).reboot
    assert found.required is required
    assert len(found.reasons) == (1 if isinstance(reasons, str) else len(reasons))


@pytest.mark.parametrize("code", [0, 1, 4, 5, None, "2", True])
def test_a_search_that_did_not_succeed_is_no_empty_list(code: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        parse_search(search(code=code))
    assert caught.value.code == "patch-failed"


@pytest.mark.parametrize(
    ("hresult", "code"),
    [
        (-2145124330, "reboot-first"),  # 0x80240016 as a signed number
        (0x80240016, "reboot-first"),
        (-2145107924, "network"),  # 0x8024402C
        (-2147023838, "blocked"),  # 0x80070422
        (-2145124284, "denied"),  # 0x80240044
        (-2147024891, "denied"),  # E_ACCESSDENIED, what remote logons get
        (-2145124322, "interrupted"),  # 0x8024001E
        (-2147023293, "failed"),  # 0x80070643
        (12345, "failed"),
    ],
)
def test_codes_come_with_either_sign(hresult: int, code: str) -> None:
    error = classify_hresult(hresult)
    assert error.code == f"patch-{code}"
    assert f"0x{hresult & 0xFFFFFFFF:08X}" in error.message


def test_an_error_of_the_script_is_classified_not_unreadable() -> None:
    with pytest.raises(ProviderError) as caught:
        parse_search(json.dumps({"error": -2145107924, "words": "\x1b[2J"}))
    assert caught.value.code == "patch-network"
    assert caught.value.retryable is True


@pytest.mark.parametrize("text", ["", "[]", "{", '{"updates": []}', 'Exception calling "Search"'])
def test_what_is_no_document_is_unreadable(text: str) -> None:
    for parse in (parse_search, parse_installation):
        with pytest.raises(ProviderError) as caught:
            parse(text)
        assert caught.value.code == "patch-unreadable"


def installation(code: int, *results: tuple[str, int, int, int], reboot: bool = True) -> str:
    return json.dumps(
        {
            "code": code,
            "reboot": reboot,
            "results": [
                {"id": one, "revision": revision, "code": result, "hresult": hresult}
                for one, revision, result, hresult in results
            ],
        }
    )


def test_what_the_installer_did_not_do_is_not_done() -> None:
    replay = Replay({"-EncodedCommand": printed(search())})
    one = WindowsUpdateProvider(replay)
    plan = one.plan(None)
    assert [update.id for update in plan.updates] == [
        f"{CUMULATIVE.lower()}.200",
        f"{DEFINITION}.1",
    ]
    answer = installation(3, (CUMULATIVE, 200, 2, 0), (DEFINITION, 1, 4, -2147023293))
    replay.answers["-EncodedCommand"] = printed(answer)
    result = one.apply(plan)
    assert result.done == (f"{CUMULATIVE.lower()}.200",)
    assert result.failed == (f"{DEFINITION}.1",)
    assert result.reboot.required is True
    # Values travel in the environment, never in the script.
    given = json.loads(replay.environments[-1]["FARHAND_VALUES"])
    assert given["updates"][0] == {"id": CUMULATIVE.lower(), "revision": 200}


def test_when_all_fail_the_first_code_is_told() -> None:
    replay = Replay({"-EncodedCommand": printed(search())})
    one = WindowsUpdateProvider(replay)
    plan = one.plan(None)
    answer = installation(4, (CUMULATIVE, 200, 4, -2145124330), (DEFINITION, 1, 4, -2145124330))
    replay.answers["-EncodedCommand"] = printed(answer, exit_code=0)
    with pytest.raises(ProviderError) as caught:
        one.apply(plan)
    assert caught.value.code == "patch-reboot-first"


def test_a_script_finds_what_windows_looks_for_and_no_modules_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMP", "T")
    monkeypatch.setenv("PSModulePath", "evil")
    found = values({"online": True})
    assert found["TEMP"] == "T"
    assert "PSModulePath" not in found
    assert found["PATH"].endswith("System32")
    assert json.loads(found["FARHAND_VALUES"]) == {"online": True}


def test_a_script_goes_in_whole_and_as_it_is() -> None:
    for name in (
        "windows_update_search.ps1", "windows_update_apply.ps1", "winget_list.ps1",
        "winget_apply.ps1",
    ):  # fmt: skip
        text = script_text(name)
        argv = command_line(text)
        assert base64.b64decode(argv[-1]).decode("utf-16-le") == text
        assert text.isascii()
        # Windows' bound for a command line.
        assert sum(map(len, argv)) < 32_000
        assert text.count("{") == text.count("}")
        assert text.count("(") == text.count(")")
        assert "OutputEncoding" in text
