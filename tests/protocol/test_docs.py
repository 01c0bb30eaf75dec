"""docs/protocol.md names everything that goes over the wire."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from farhand_protocol import (
    deprecations,
    grants,
    inventory,
    messages,
    orders,
    placements,
    tokens,
    trust,
)
from farhand_protocol.bundles import Bundle, BundleFile
from farhand_protocol.manifest import Manifest
from tests.protocol.vector_maker import MAKERS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
WORDS = set(re.findall(r"`([^`\s]+)`", PAGE))
STRUCTS: list[type[msgspec.Struct]] = [
    *messages.message_types(),
    Manifest,
    orders.Order,
    orders.Exemption,
    orders.Result,
    grants.Grant,
    grants.GrantApproval,
    grants.Widening,
    grants.Receipt,
    grants.Action,
    grants.DeviceOffer,
    grants.ConsoleRequest,
    grants.Decision,
    tokens.Token,
    tokens.Enrolment,
    tokens.Confirmation,
    tokens.EnrolmentToken,
    tokens.SigninToken,
    trust.Roster,
    trust.Operator,
    trust.Policy,
    trust.Approval,
    trust.GroupPolicy,
    trust.Revocations,
    trust.Revocation,
    trust.Floors,
    deprecations.Deprecations,
    deprecations.Deprecation,
    placements.Placements,
    inventory.SectionReport,
    Bundle,
    BundleFile,
]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_field_is_written_down(kind: type[msgspec.Struct]) -> None:
    assert set(kind.__struct_encode_fields__) <= WORDS | {"stderr_bytes", "stderr_truncated"}
    tag = kind.__struct_config__.tag
    if tag is not None:
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{tag}` |")]
        assert all(f"`{name}`" in row for name in kind.__struct_encode_fields__)


def test_every_vector_target_path_and_scope_is_named() -> None:
    for name in MAKERS:
        assert f"{name}.json" in WORDS
    paths = {trust.ROSTER_PATH, trust.POLICY_PATH, trust.REVOCATIONS_PATH, trust.FLOORS_PATH}
    paths |= {placements.PLACEMENTS_PATH, deprecations.DEPRECATIONS_PATH}
    assert paths | set(trust.SCOPES) | set(trust.PERMISSIONS) <= WORDS
    assert set(orders.FINAL_STATES) <= WORDS
