"""Every parser holds to its documented errors, on a bounded and fixed number of cases.

`python -m tests.fuzz TARGET --seconds N` goes on for longer.
"""

from __future__ import annotations

import itertools

import pytest

from farhand_protocol.errors import FarhandError
from tests.fuzz.mutation import MAX_CASE_BYTES, cases
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_parser_holds_to_its_errors(name: str) -> None:
    target = TARGETS[name]
    accepted = refused = 0
    for number, case in enumerate(itertools.islice(cases(target.seeds, name), target.count)):
        try:
            target.run(case)
            accepted += 1
        except FarhandError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name} case {number}: {case[:400].hex()}") from error
    assert refused > target.count // 10
    assert accepted or name == "pairing"


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"pairing", "pipe"}))
def test_the_seeds_are_good_inputs(name: str) -> None:
    # The two left out start from recorded runs of both ends; one end cannot hear it all.
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


def test_the_cases_follow_from_the_seed() -> None:
    def some(seed: str) -> list[bytes]:
        return list(itertools.islice(cases([b"abc", b"{}"], seed), 200))

    assert some("x") == some("x")
    assert some("x") != some("y")
    assert max(map(len, some("x"))) <= MAX_CASE_BYTES


def test_a_parser_that_breaks_is_found() -> None:
    def fragile(data: bytes) -> None:
        if b"\x00" in data:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(map(fragile, itertools.islice(cases([b"abc"], "x"), 1000)))
