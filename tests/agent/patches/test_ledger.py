"""The ledger, the turn, and the words for failures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from farhand_agent.patches import places
from farhand_agent.patches.ledger import MAX_RECORDS, Ledger
from farhand_agent.patches.provider import (
    LOG_TAIL_BYTES,
    ApplyResult,
    Change,
    Plan,
    ProviderError,
    Reboot,
    Update,
)
from farhand_agent.patches.refusals import refusal, text_tail
from farhand_agent.patches.turn import packages_turn

PLAN = Plan(provider="apt", updates=(Update(id="a", name="a", installed="1", available="2"),))
DONE = ApplyResult(
    provider="apt", exit_code=0, done=("a",), failed=(), log_tail="",
    changes=(Change(id="a", name="a", before="1", after="2"),),
    reboot=Reboot(required=True, reasons=("kernel",)),
)  # fmt: skip


class Clock:
    """A clock that tests move."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def ledger(tmp_path: Path, clock: Callable[[], float], booted_at: float = 0.0) -> Ledger:
    return Ledger(tmp_path / "changes", now=clock, booted_at=lambda: booted_at)


def test_a_change_is_written_before_it_happens_and_again_after(tmp_path: Path) -> None:
    clock = Clock()
    one = ledger(tmp_path, clock)
    record = one.begin(PLAN, order="o-1")
    (found,) = one.records()
    assert (found.order, found.ended_at, found.exit_code) == ("o-1", None, None)
    # Cut off here, the plan is what a way back starts from.
    assert one.find(None).changes == [Change(id="a", name="a", before="1", after="2")]
    clock.now += 60
    one.end(record, DONE)
    (found,) = one.records()
    assert (found.ended_at, found.exit_code) == ("2027-01-15T08:01:00Z", 0)
    assert (tmp_path / "changes").stat().st_mode & 0o077 == 0


def test_after_an_error_nothing_was_changed(tmp_path: Path) -> None:
    one = ledger(tmp_path, Clock())
    record = one.begin(PLAN)
    one.end(record, ProviderError("patch-locked", "x", tool_exit_code=100))
    (found,) = one.records()
    assert (found.changes, found.failed, found.exit_code) == ([], ["a"], 100)
    with pytest.raises(ProviderError) as caught:
        one.find(None)
    assert caught.value.code == "patch-no-rollback"


def test_a_restart_that_was_asked_for_counts_until_there_was_one(tmp_path: Path) -> None:
    clock = Clock()
    one = ledger(tmp_path, clock)
    one.end(one.begin(PLAN), DONE)
    before = Reboot(required=False, reasons=())
    assert one.with_memory("apt", before) == Reboot(
        required=True, reasons=("kernel",), since="2027-01-15T08:00:00Z"
    )
    assert one.with_memory("dnf", before) == before
    after = ledger(tmp_path, clock, booted_at=clock.now + 1)
    assert after.with_memory("apt", before) == before


def test_a_way_back_reaches_no_further_than_it_is_told(tmp_path: Path) -> None:
    clock = Clock()
    one = ledger(tmp_path, clock)
    earlier = one.end(one.begin(PLAN), DONE)
    clock.now += 60
    failed = one.begin(PLAN)
    one.end(failed, ProviderError("patch-locked", "x", tool_exit_code=100))
    assert one.find(None, provider="apt").id == earlier.id
    with pytest.raises(ProviderError) as caught:
        one.find(None, provider="apt", since=failed.started_at)
    assert caught.value.code == "patch-no-rollback"
    assert one.find(None, since=earlier.started_at).id == earlier.id


def test_the_oldest_records_go_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    clock = Clock()
    one = ledger(tmp_path, clock)
    first = one.begin(PLAN)
    for _ in range(MAX_RECORDS):
        clock.now += 1
        last = one.begin(PLAN)
    (tmp_path / "changes" / f"{int(clock.now)}-apt-00000000.json").write_text('{"id": 3}')
    (tmp_path / "changes" / "strange.json").write_text("{}")
    found = one.records()
    assert len(found) == MAX_RECORDS
    assert found[0].id == last.id
    with pytest.raises(ProviderError):
        one.find(first.id)
    assert one.find(last.id, provider="apt").id == last.id


def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "changes").touch()
    with pytest.raises(ProviderError) as caught:
        ledger(tmp_path, Clock()).begin(PLAN)
    assert caught.value.code == "patch-denied"


def test_one_turn_at_a_time_and_it_ends_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from pathlib import Path\n"
            "from farhand_agent.patches.turn import packages_turn\n"
            "with packages_turn(Path(sys.argv[1])):\n"
            "    print('mine', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mine\n"
        with pytest.raises(ProviderError) as caught, packages_turn(tmp_path, wait_s=0):
            pass
        assert (caught.value.code, caught.value.state) == ("patch-locked", "locked")
        holder.kill()
    with packages_turn(tmp_path, wait_s=0):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is another one elsewhere")
@pytest.mark.parametrize("privileged", [True, False])
def test_root_remembers_for_the_system_and_others_for_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, privileged: bool
) -> None:
    monkeypatch.setattr(places, "is_privileged", lambda: privileged)
    monkeypatch.setenv("HOME", str(tmp_path))
    mine = tmp_path / ".local/state/farhand/patches"
    assert places.state_folder() == (Path("/var/lib/farhand/patches") if privileged else mine)


def test_the_last_64_kib_are_kept_and_no_half_character() -> None:
    output = ("ä" * LOG_TAIL_BYTES).encode()
    kept = text_tail(b"x" + output)
    assert len(kept.encode()) <= LOG_TAIL_BYTES
    assert set(kept) == {"ä"}
    assert len(text_tail(output[:-1]).encode()) <= LOG_TAIL_BYTES
    error = refusal("tool", 3, "é" * 100_000, ())
    assert (error.code, error.tool_exit_code, error.state) == ("patch-failed", 3, "error")
    assert len(error.log_tail.encode()) <= LOG_TAIL_BYTES


def test_exit_codes_go_before_words() -> None:
    rows = (("lock", "patch-locked"),)
    assert refusal("t", 5, "lock", rows, {5: "patch-denied"}).code == "patch-denied"
    assert refusal("t", 6, "lock", rows, {5: "patch-denied"}).retryable


@pytest.mark.parametrize(
    ("done", "failed", "outcome"),
    [(["a"], [], "done"), (["a"], ["b"], "partly"), ([], ["b"], "failed"), ([], [], "nothing")],
)
def test_what_is_installed_afterwards_is_the_outcome(
    done: list[str], failed: list[str], outcome: str
) -> None:
    result = ApplyResult(
        provider="apt", exit_code=0, done=tuple(done), failed=tuple(failed), log_tail="",
        reboot=Reboot(required=None),
    )  # fmt: skip
    assert result.to_json()["outcome"] == outcome
