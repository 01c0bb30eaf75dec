"""What changed, added up; software packed and unpacked. No database."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.inventory import canonical_json
from farhand_server.fleet.changes import Bags, changes_between, identity_of, net, paired
from farhand_server.fleet.history import (
    MAX_BAGS_BYTES,
    decode_bags,
    differences,
    differences_of_page,
    encode_bags,
)
from farhand_server.fleet.packages import Known
from farhand_server.fleet.software import (
    OWN_FIELDS,
    details_of,
    installed_of,
    is_packed,
    item_of,
    pack,
    subtract,
    unpack,
    versions_of,
)

Item = dict[str, Any]


def package(name: str, version: str) -> Item:
    return {"source": "dpkg", "name": name, "version": version, "arch": "amd64"}


def kinds(section: str, before: list[Item], after: list[Item]) -> list[tuple[str, str]]:
    found = paired(section, changes_between(before, after))
    return [(one.change, one.identity) for one in found]


def test_a_package_that_changed_its_version_is_changed() -> None:
    before = [package("bash", "1"), package("vim", "1")]
    after = [package("bash", "2"), package("curl", "1")]
    assert kinds("software", before, after) == [
        ("changed", "dpkg bash amd64"),
        ("added", "dpkg curl amd64"),
        ("removed", "dpkg vim amd64"),
    ]


def test_two_versions_side_by_side_are_two_things() -> None:
    one, two = package("kernel", "1"), package("kernel", "2")
    assert kinds("software", [one], [one, two]) == [("added", "dpkg kernel amd64")]
    three = package("kernel", "3")
    assert kinds("software", [one, two], [two, three]) == [("changed", "dpkg kernel amd64")]


def test_a_section_of_one_item_changes_and_nameless_items_are_their_content() -> None:
    assert kinds("system", [{"kernel": "6.1"}], [{"kernel": "6.6"}]) == [("changed", "")]
    many = kinds("x", [{"a": 1}, {"a": 2}, {"a": 3}], [{"a": 3}, {"a": 4}, {"a": 5}])
    assert many == [("added", "")] * 2 + [("removed", "")] * 2


def test_what_names_an_item() -> None:
    assert identity_of("network", {"record": "interface", "name": "eth0", "mac": "x"}) == (
        "interface eth0"
    )
    assert identity_of("unheard.of", {"size": 1, "path": "/x"}) == "/x"
    assert identity_of("unheard.of", {"size": 1}) == ""
    assert len(identity_of("users", {"name": "x" * 10_000})) == 200


ITEMS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc"), "v": st.integers(0, 2)}), max_size=6
)


def bag(items: list[Item]) -> Counter[bytes]:
    return Counter(map(canonical_json, items))


@given(st.lists(ITEMS, min_size=1, max_size=6))
def test_the_sum_of_changes_is_the_change_from_first_to_last(states: list[list[Item]]) -> None:
    steps = [changes_between(a, b) for a, b in itertools.pairwise(states)]
    stored = [decode_bags(encode_bags(one)) for one in steps]
    total, direct = net(stored), changes_between(states[0], states[-1])
    assert bag(total.removed) == bag(direct.removed)
    assert bag(total.added) == bag(direct.added)
    # And it does what it says.
    assert bag(states[0]) - bag(total.removed) + bag(total.added) == bag(states[-1])
    shown = paired("users", total)
    assert bag([one.before for one in shown if one.before]) == bag(total.removed)
    assert bag([one.after for one in shown if one.after]) == bag(total.added)


def test_what_is_too_much_is_counted_only() -> None:
    chance = random.Random(1)
    items = [{"name": f"{chance.getrandbits(400):x}"} for _ in range(10_000)]
    assert encode_bags(Bags([], items)) == b""
    assert encode_bags(Bags([], [])) is None
    assert 0 < len(encode_bags(Bags([], items[:100])) or b"") < MAX_BAGS_BYTES


def row(name: str, bags: Bags | None, before: str | None = "ok", status: str = "ok") -> Any:
    body = b"" if bags is None else encode_bags(bags)
    return {
        "name": name,
        "body": body,
        "status_before": before,
        "status": status,
        "collected_at": "2026-11-22T10:00:00.000000Z",
    }


def test_pages_of_differences() -> None:
    rows = [
        row("users", Bags([], [{"name": f"u{n}"} for n in range(5)])),
        row("services", Bags([], []), "ok", "timeout"),
        row("disks", Bags([{"name": "sda"}], [])),
        row("volumes", Bags([{"mount": "/"}], [{"mount": "/", "size": 1}])),
        row("volumes", Bags([{"mount": "/", "size": 1}], [{"mount": "/"}])),
        row("software", None),
    ]
    sums = differences(rows)
    assert [(one.name, len(one.changes), one.is_whole) for one in sums] == [
        ("disks", 1, True),
        ("services", 0, True),
        ("software", 0, False),
        ("users", 5, True),
    ], "what came back is no change"
    for limit in (1, 2, 3, 100):
        names: list[str] = []
        start: int | None = 0
        while start is not None:
            page, start = differences_of_page(sums, start=start, limit=limit)
            for one in page:
                names += [one.name] * max(1, len(one.added) + len(one.removed))
                if one.name == "users":
                    assert one.added_count == 5
        assert names == ["disks", "services", "software", *["users"] * 5], limit


# Software.

TEXTS = st.text(alphabet="ab1.-~\u00e4", max_size=4)
PACKAGES: st.SearchStrategy[Item] = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["dpkg", "rpm"]),
        "name": st.sampled_from(["bash", "vim", "x" * 300, "esc\x1b"]),
        "version": TEXTS,
        "arch": st.sampled_from(["amd64", ""]),
    },
    optional={
        "installed_at": st.sampled_from(["2026-01-01T00:00:00Z", None]),
        "held": st.booleans(),
        "automatic": st.one_of(st.none(), st.just({"odd": []})),
        "size_bytes": st.integers(0, 2),
    },
)


@given(st.lists(PACKAGES, max_size=8), st.lists(PACKAGES, max_size=8))
def test_packed_software_is_what_the_device_reported(first: list[Item], then: list[Item]) -> None:
    known = {
        one: Known(number, one, detail)
        for number, (one, detail) in enumerate(details_of(first).items(), start=7)
    }
    for items in (first, then):
        entries = installed_of(items, known)
        body = pack(entries)
        assert is_packed(body)
        again = unpack(body)
        assert again == entries
        numbers = {one.number: one for one in known.values()}
        assert [item_of(one, numbers) for one in again] == items
        assert versions_of(again) <= numbers.keys()
    old, new = installed_of(first, known), installed_of(then, known)
    numbers = {one.number: one for one in known.values()}
    bags = changes_between(first, then)
    assert bag([item_of(one, numbers) for one in subtract(old, new)]) == bag(bags.removed)
    assert bag([item_of(one, numbers) for one in subtract(new, old)]) == bag(bags.added)


def test_a_usual_list_packs_small() -> None:
    items = [
        package(f"lib{n}", "1.2-3")
        | {"size_bytes": n, "held": False, "installed_at": "2026-11-01T08:00:00Z"}
        for n in range(3_000)
    ]
    details = details_of(items)
    known = {one: Known(n, one, detail) for n, (one, detail) in enumerate(details.items(), 1)}
    entries = installed_of(items, known)
    assert not any(one.odd for one in entries)
    assert len(pack(entries)) < 3_000
    assert "installed_at" in OWN_FIELDS
