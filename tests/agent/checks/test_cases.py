"""Every check against made-up systems: each sentence that it can say has a system where it does."""

from __future__ import annotations

import pytest

from farhand_agent.checks.finding import STATES
from farhand_agent.checks.registry import checks
from farhand_agent.wording import wording_in
from tests.agent.checks import (
    cases_devices,
    cases_network,
    cases_probes,
    cases_security,
    cases_system,
)
from tests.agent.checks.systems import Case, result_of, sentence_of

# Those that look at something else than this device have servers to look at beside their own tests.
OWN = [check_id for check_id in checks() if not check_id.startswith("probe.")]
CASES = [
    *cases_system.CASES,
    *cases_network.CASES,
    *cases_devices.CASES,
    *cases_security.CASES,
    *cases_probes.CASES,
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_system_is_judged(case: Case) -> None:
    assert sentence_of(case) == (case.said or case.state)
    result = result_of(case)
    assert result.state == case.state, result.summary
    assert "check failed" not in result.summary
    assert 0 < len(result.summary) <= 200
    assert "{" not in result.plain
    if case.value is not None:
        assert result.value == pytest.approx(case.value)
    assert (result.value is None) <= (result.unit is None)
    troubled = result.state in ("warning", "critical")
    assert (result.risk is not None) == (result.advice is not None) == troubled
    assert result.remedy is None or troubled


@pytest.mark.parametrize("check_id", OWN)
def test_whatever_a_check_can_say_is_tried(check_id: str) -> None:
    check = checks()[check_id]
    own = [case for case in CASES if case.check == check_id]
    said = {case.said or case.state for case in own}
    assert set(check.plain) <= said
    # Thresholds that can be reached are: a state without a sentence would be said as unknown.
    assert {case.state for case in own} & {"warning", "critical"} <= {
        state for state in STATES if state in check.plain
    } | {case.state for case in own if case.said}
    assert len({case.state for case in own}) >= 2


def test_numbers_are_written_as_the_language_does() -> None:
    (full,) = [one for one in CASES if one.check == "disk.space" and one.value == 95]
    assert "0.3 GB" in result_of(full).plain
    assert "0,3 GB" in result_of(full, "de").plain
    assert result_of(full, "xx").language == "en"
    assert wording_in("ru").decimal(1234.56) == "1\u00a0234,6"
    assert wording_in("en").decimal(1234.56, 0) == "1,235"
