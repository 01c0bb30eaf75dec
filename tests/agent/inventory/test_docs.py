"""docs/inventory.md and the registry say the same, on every platform."""

from __future__ import annotations

import pytest

from farhand_agent.inventory.catalogue import CATALOGUE, INTERVALS_S, PACES
from farhand_agent.inventory.registry import PLATFORMS, _registered, sections
from tests.agent.inventory.field_tables import DOCUMENT, described


def test_every_section_has_its_table_and_every_table_its_section() -> None:
    assert set(described()) == set(CATALOGUE)
    assert {name: one.pace for name, one in described().items()} == CATALOGUE
    assert all(one.fields for one in described().values())
    assert set(INTERVALS_S) == set(PACES)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_registered_is_what_is_written(platform: str) -> None:
    known = sections(platform)
    written = described()
    for name, of in _registered:
        if of != platform or name not in CATALOGUE:
            continue
        assert known[name].volatile == written[name].volatile, name
        assert known[name].opt_in == written[name].opt_in, name
        assert set(known[name].personal) <= written[name].personal, name


def test_the_document_names_each_section_once() -> None:
    text = DOCUMENT.read_text()
    assert [text.count(f"\n## {name}\n") for name in CATALOGUE] == [1] * len(CATALOGUE)
