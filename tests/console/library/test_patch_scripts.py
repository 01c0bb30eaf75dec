"""The shipped patch scripts and the agent's patch providers belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from farhand_agent.patches.readiness import Limits
from farhand_agent.patches.registry import every_provider
from farhand_agent.patches.reporting import ReportingProvider
from farhand_console.cli import patch
from farhand_console.library.catalogue import shipped
from farhand_protocol.errors import FarhandError
from farhand_protocol.parameters import check_parameters

SCRIPTS = {script.id: script for script in shipped() if script.id.startswith("patch.")}
PROVIDERS = {one.name: one for one in every_provider()}
CHANGING = [name for name, one in PROVIDERS.items() if not isinstance(one, ReportingProvider)]
LABELLED = {"apt", "dnf", "yum", "zypper", "windows-update"}


def test_who_can_install_unattended_has_a_script_and_nobody_else() -> None:
    assert set(SCRIPTS) == {f"patch.{name}.apply" for name in CHANGING} | {
        "patch.check",
        "patch.revert",
    }
    assert set(patch._PROVIDERS) == set(CHANGING)
    assert set(PROVIDERS) - set(CHANGING) == {"softwareupdate", "pip", "npm"}


@pytest.mark.parametrize("name", CHANGING)
def test_a_script_applies_with_the_provider_that_it_is_named_after(name: str) -> None:
    script = SCRIPTS[f"patch.{name}.apply"]
    assert f'apply_main("{name}", script_parameters)' in script.body.decode()
    assert (script.risk, script.run_as, script.verify) == ("R2", "root", "check.updates.pending")
    filled = check_parameters(script.parameters, {})
    assert filled["dry_run"] is False
    # What a device must have is the same whether the script or the agent fills it in.
    assert Limits.from_parameters(filled) == Limits()
    # Security only is the default where the sources can tell, and no choice where they cannot.
    assert filled.get("scope") == ("security" if name in LABELLED else None)


def test_ids_of_every_provider_pass_and_options_do_not() -> None:
    schema = SCRIPTS["patch.apt.apply"].parameters
    for ids in (
        "lib:amd64 app",
        "org.example.App/x86_64/stable",
        "formula:openssl@3 cask:firefox",
        "2b7e1a4f-9c3d-4e5a-8f60-71829a3b4c5d.200",
        "Notepad++.Notepad++",
        "libstdc++6 gcc-12-base",
    ):
        assert check_parameters(schema, {"ids": ids})["ids"] == ids
    for ids in ("-o x", "", "a;b", "a$(b)", "a\nb", "\u202ea"):
        with pytest.raises(FarhandError):
            check_parameters(schema, {"ids": ids})


def test_a_record_is_named_as_the_ledger_names_it() -> None:
    schema = SCRIPTS["patch.revert"].parameters
    check_parameters(schema, {"record": "1800000000-windows-update-0a1b2c3d"})
    with pytest.raises(FarhandError):
        check_parameters(schema, {"record": "../../etc/passwd"})


def test_how_far_back_a_way_back_reaches_is_an_instant() -> None:
    schema = SCRIPTS["patch.revert"].parameters
    check_parameters(schema, {"provider": "apt", "since": "2026-11-22T12:00:00Z"})
    for since in ("yesterday", "2026-11-22", "2026-11-22T12:00:00.5Z", "2026-11-22T12:00:00+01:00"):
        with pytest.raises(FarhandError):
            check_parameters(schema, {"since": since})


def test_the_page_tells_of_every_package_manager() -> None:
    page = (Path(__file__).parents[3] / "docs/operations/patches.md").read_text("utf-8")
    assert all(f"`{name}`" in page for name in PROVIDERS)
