"""`person export` puts the pages of a dossier together, and follows no relay for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farhand_console.cli.entry import farhand
from farhand_console.home import Home, Settings
from farhand_console.relay import calls

FIRST = {
    "person": [{"id": "p1", "name": "Ann"}],
    "mails": [{"raw": "aa"}, {"raw": None}],
    "rows": {"notes": [{"said": 1}]},
}


def ticket(number: int, *files: str) -> dict[str, Any]:
    return {"number": f"FH-{number}", "files": [{"sha256": one} for one in files], "rows": {}}


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what runs the command before a relay that answers these pages, and reads its file."""
    home = Home(tmp_path / "home")
    home.save(
        Settings(
            relay_key="00" * 32, tls_sha256="", tenant="acme", role="admin",
            url="http://127.0.0.1:9", account="ada", organisation="Acme", api_token="t",
        )
    )  # fmt: skip

    def run(pages: dict[str, dict[str, Any]]) -> Any:
        asked: list[str] = []

        def call(_self: object, _method: str, path: str, **more: Any) -> bytes:
            assert len(asked) < 10, "it goes on and on"
            asked.append(path)
            if "/files/" in path:
                return path.encode()
            return json.dumps(pages[more["params"].get("after", "")]).encode()

        monkeypatch.setattr(calls.Relay, "_call", call)
        out = tmp_path / "out.json"
        words = ["person", "export", "p1", "-o", str(out), "--force"]
        farhand.main([f"--home={home.folder}", *words], prog_name="farhand", standalone_mode=False)
        return json.loads(out.read_bytes())

    return run


def test_all_pages_and_files_are_in_it(export: Callable[..., Any]) -> None:
    written = export(
        {
            "": {**FIRST, "tickets": [ticket(1, "bb")], "next": 1},
            "1": {"tickets": [ticket(2, "cc")], "next": 2},
            "2": {"tickets": [ticket(3)], "next": None},
        }
    )
    assert [one["number"] for one in written["tickets"]] == ["FH-1", "FH-2", "FH-3"]
    assert sorted(written["contents"]) == ["aa", "bb", "cc"]
    assert written["rows"] == FIRST["rows"]  # what nobody reads here goes along
    assert written["tickets"][0]["rows"] == {}
    assert "next" not in written


@pytest.mark.parametrize(
    "page",
    [
        {"tickets": [ticket(2)], "next": 1},  # the same again
        {"tickets": [ticket(2)], "next": 0},  # back
        {"tickets": [], "next": 2},  # on, with nothing
    ],
)
def test_a_relay_that_never_ends_is_refused(
    export: Callable[..., Any], capsys: pytest.CaptureFixture[str], page: dict[str, Any]
) -> None:
    pages = {str(number): page for number in range(20)}
    pages[""] = {**FIRST, "tickets": [ticket(1)], "next": 1}
    with pytest.raises(SystemExit):
        export(pages)
    assert "farhand: error: relay-answer:" in capsys.readouterr().err


@pytest.mark.parametrize("lacks", ["person", "mails", "tickets", "next"])
def test_half_a_dossier_is_no_dossier(
    export: Callable[..., Any], capsys: pytest.CaptureFixture[str], lacks: str
) -> None:
    whole = {**FIRST, "tickets": [ticket(1)], "next": None}
    with pytest.raises(SystemExit):
        export({"": {name: value for name, value in whole.items() if name != lacks}})
    assert "farhand: error: relay-answer:" in capsys.readouterr().err
