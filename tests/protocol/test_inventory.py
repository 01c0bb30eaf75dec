"""Section reports: canonical form, bounds, and what a hostile device could send."""

from __future__ import annotations

import json
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farhand_protocol import inventory
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_SECTION_BYTES,
    MAX_STRING_BYTES,
    SectionReport,
    canonical_json,
    decode_section,
    encode_section,
    section_hash,
    validate_section,
)

AT = "2026-11-22T01:00:00Z"


def report(items: list[dict[str, Any]] | None = None, **changes: Any) -> SectionReport:
    items = [{"name": "lo", "mtu": 65536}] if items is None else items
    fields: dict[str, Any] = {
        "name": "network",
        "status": "ok",
        "reason": "",
        "items": items,
        "hash": "",
        "collected_at": AT,
        "duration_ms": 12,
    } | changes
    if not fields["hash"]:
        fields["hash"] = section_hash(fields["status"], fields["items"])
    return SectionReport(**fields)


def code_of(call: Any, *args: Any) -> str:
    with pytest.raises(FarhandError) as caught:
        call(*args)
    return caught.value.code


def test_a_report_survives_the_journey() -> None:
    sent = report([{"b": 1, "a": [True, None, 1.5, "ä\u202e"]}])
    assert decode_section(encode_section(sent)) == sent


def test_canonical_json_is_sorted_compact_utf8() -> None:
    assert canonical_json({"b": [1, {"d": 2, "c": "ä"}], "a": None}) == (
        '{"a":null,"b":[1,{"c":"ä","d":2}]}'.encode()
    )


def test_canonical_json_agrees_with_the_standard_library() -> None:
    value = {"items": [{"z": "\u2028", "a": -1, "ö": [1, 2]}], "status": "ok"}
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_json(value) == expected.encode()


def test_the_hash_covers_status_and_items_and_nothing_else() -> None:
    first = report()
    later = report(collected_at="2027-01-01T00:00:00Z", duration_ms=99, reason="x")
    assert first.hash == later.hash
    assert section_hash("ok", []) != section_hash("unsupported", [])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Network"},
        {"name": "a"},
        {"name": "a" * 42},
        {"name": "network\n"},
        {"status": "empty"},
        {"reason": "x" * 2001},
        {"duration_ms": -1},
        {"duration_ms": 10**12},
        {"duration_ms": True},
        {"collected_at": "yesterday"},
        {"collected_at": "yesterdayZ"},
        {"collected_at": "2026-11-22T01:00:00"},
        {"collected_at": "2026-11-22T01:00:00+02:00"},
        {"hash": "0" * 64},
        {"hash": "ABC"},
    ],
)
def test_a_broken_field_is_malformed(changes: dict[str, Any]) -> None:
    assert code_of(validate_section, report(**changes)) == "inventory-malformed"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


def test_depth_is_bounded() -> None:
    validate_section(report([nested(MAX_DEPTH)]))
    assert code_of(validate_section, report([nested(MAX_DEPTH + 1)])) == "inventory-malformed"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_numbers_fit_64_bits(value: int) -> None:
    broken = report([{"n": value}], hash="0" * 64)
    assert code_of(validate_section, broken) == "inventory-malformed"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object(), "\ud800"])
def test_values_that_json_cannot_hold_are_malformed(value: object) -> None:
    broken = report([{"v": value}], hash="0" * 64)
    assert code_of(validate_section, broken) == "inventory-malformed"


def test_sizes_are_bounded() -> None:
    validate_section(report([{"s": "x" * MAX_STRING_BYTES}]))
    broken: list[list[dict[str, Any]]] = [
        [{"s": "ä" * (MAX_STRING_BYTES // 2 + 1)}],
        [{}] * (MAX_ITEMS + 1),
        [{"s": "x" * MAX_STRING_BYTES}] * (MAX_SECTION_BYTES // MAX_STRING_BYTES),
    ]
    for items in broken:
        assert code_of(validate_section, report(items)) == "inventory-too-large"


def test_a_section_at_the_bound_is_valid_and_its_report_too_large_to_send() -> None:
    empty = len(canonical_json({"items": [], "status": "ok"}))
    whole, rest = divmod(MAX_SECTION_BYTES - empty, MAX_STRING_BYTES)
    items: list[dict[str, Any]] = [{"s": "x" * (MAX_STRING_BYTES - len('{"s":""},'))}] * whole
    # The last item has no comma behind it.
    items.append({"s": "x" * (rest - len('{"s":""}'))})
    brim = report(items)
    assert len(canonical_json({"items": items, "status": "ok"})) == MAX_SECTION_BYTES
    validate_section(brim)
    assert code_of(encode_section, brim) == "inventory-too-large"


@pytest.mark.parametrize("items", ["text", [1], [{1: 2}]])
def test_items_of_another_shape_are_malformed(items: Any) -> None:
    assert code_of(validate_section, report(items, hash="0" * 64)) == "inventory-malformed"


def test_what_has_no_json_form_is_malformed() -> None:
    assert code_of(canonical_json, object()) == "inventory-malformed"


def test_software_items_carry_the_four_keys() -> None:
    good = {"source": "dpkg", "name": "bash", "version": "5.2", "arch": "amd64"}
    validate_section(report([good], name="software"))
    for key in good:
        bad = {k: v for k, v in good.items() if k != key}
        broken = report([bad], name="software")
        assert code_of(validate_section, broken) == "inventory-malformed"


def test_a_zip_bomb_is_never_inflated_past_the_bound() -> None:
    bomb = zlib.compress(b"[" + b" " * (64 * 1024 * 1024))
    assert len(bomb) < 100_000
    assert code_of(decode_section, bomb) == "inventory-too-large"


def test_a_blob_of_many_tiny_objects_is_refused_before_they_exist() -> None:
    body = canonical_json(report())
    crowd = body.replace(b'[{"mtu":65536,"name":"lo"}]', b"[" + b"{}," * 1_500_000 + b"{}]")
    assert len(crowd) < MAX_SECTION_BYTES
    assert code_of(decode_section, zlib.compress(crowd)) == "inventory-too-large"


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    body = b'{"items":[{"x":' + b"[" * 400_000 + b"]" * 400_000 + b"}]}"
    assert code_of(decode_section, zlib.compress(body)) == "inventory-malformed"


@pytest.mark.parametrize("change", [b"", b"x", b"\x78\x9c"])
def test_cut_off_or_extended_blobs_are_malformed(change: bytes) -> None:
    blob = encode_section(report())
    assert code_of(decode_section, blob[:-3] + change) == "inventory-malformed"
    assert code_of(decode_section, blob + b"more") == "inventory-malformed"


def test_unknown_keys_are_refused() -> None:
    fields = msgspec.to_builtins(report()) | {"extra": 1}
    blob = zlib.compress(msgspec.json.encode(fields))
    assert code_of(decode_section, blob) == "inventory-malformed"


def test_an_oversized_blob_is_refused_unread() -> None:
    blob = bytes(inventory.MAX_BLOB_BYTES + 1)
    assert code_of(decode_section, blob) == "inventory-too-large"


def documented(call: Any, *args: Any) -> Any:
    """Return what the call returns, or None when it fails in a documented way."""
    try:
        return call(*args)
    except FarhandError as error:
        if error.code not in ("inventory-malformed", "inventory-too-large"):
            raise
        return None


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=5), max_size=5))
@settings(deadline=None)
def test_any_json_items_either_travel_unchanged_or_are_refused(items: list[dict[str, Any]]) -> None:
    sent = report(items)
    blob = documented(encode_section, sent)
    assert blob is None or decode_section(blob) == sent


@given(st.binary(max_size=400), st.booleans())
@settings(deadline=None)
def test_arbitrary_blobs_raise_only_documented_errors(data: bytes, compress: bool) -> None:
    documented(decode_section, zlib.compress(data) if compress else data)


@given(st.recursive(json_values, lambda v: st.fixed_dictionaries({"items": st.lists(v)})))
@settings(deadline=None)
def test_arbitrary_json_documents_raise_only_documented_errors(value: Any) -> None:
    base = msgspec.to_builtins(report())
    document = base | value if isinstance(value, dict) else value
    documented(decode_section, zlib.compress(msgspec.json.encode(document)))
