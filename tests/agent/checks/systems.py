"""Made-up systems for checks: files below a root, recorded commands, sections of the inventory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from farhand_agent.checks.context import CheckContext
from farhand_agent.checks.history import History
from farhand_agent.checks.registry import checks
from farhand_agent.checks.runner import run_check
from farhand_agent.inventory.context import Unsupported
from farhand_agent.patches.provider import Kind, PatchList, Reboot, Update
from farhand_agent.platforms.commands import CommandMissing, Outcome
from farhand_protocol.errors import FarhandError
from farhand_protocol.inventory import SectionReport, Status, section_hash

# Sunday 2026-11-22 08:00:00 UTC.
NOW = 1_795_334_400.0
DAY = 86_400

Answer = Outcome | Exception | str


class Answers:
    """Answers commands by their words, the longest known beginning first."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, argv: Sequence[str], **_: Any) -> Outcome:
        self.asked.append(" ".join(argv))
        for length in range(len(argv), 0, -1):
            answer = self.answers.get(" ".join(argv[:length]))
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer if isinstance(answer, Outcome) else Outcome(0, answer.encode(), b"")
        raise CommandMissing(argv[0])


def report(name: str, items: list[dict[str, Any]] | Status) -> SectionReport:
    """Return a section with these items, or one of another status."""
    status: Status = items if isinstance(items, str) else "ok"
    rows = [] if isinstance(items, str) else items
    return SectionReport(
        name=name,
        status=status,
        reason="" if status == "ok" else "because",
        items=rows,
        hash=section_hash(status, rows),
        collected_at="2026-11-22T08:00:00Z",
        duration_ms=1,
    )


def write_files(root: Path, files: Mapping[str, str]) -> None:
    """Write files below a root."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def system(
    root: Path,
    files: Mapping[str, str] | None = None,
    commands: Mapping[str, Answer] | None = None,
    lists: Sequence[PatchList] = (),
    *,
    sections: Mapping[str, list[dict[str, Any]] | Status] | None = None,
    platform: str = "linux",
    history: History | None = None,
    home: Path | None = None,
    pause: Callable[[float], None] = lambda seconds: None,
    **parameters: object,
) -> CheckContext:
    """Return the context of a made-up system at `NOW`."""
    write_files(root, files or {})
    known = sections or {}
    return CheckContext(
        root=root,
        runner=Answers(commands or {}),
        parameters=parameters,
        patches=lambda: list(lists),
        platform=platform,
        sections=lambda name: report(name, known.get(name, "unsupported")),
        history=history,
        now=lambda: NOW,
        pause=pause,
        home=home,
    )


def found(updates: Sequence[Update] = (), **changes: Any) -> PatchList:
    """Return what a patch provider says."""
    fields: dict[str, Any] = {
        "provider": "apt",
        "status": "ok",
        "updates": tuple(updates),
        "security_labelled": True,
        "refreshed_at": "2026-11-22T00:00:00Z",
        "reboot": Reboot(required=False),
    } | changes
    return PatchList(**fields)


def update(name: str, kind: Kind = "unknown", **changes: Any) -> Update:
    """Return one update."""
    return Update(id=name, name=name, installed="1", available="2", kind=kind, **changes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A made-up system, and what a check has to say of it.

    `said` is which of the check's sentences: its state's unless told.  `later` are files that
    change while the check pauses; `series` is what the history holds.
    """

    check: str
    state: str
    said: str | None = None
    value: float | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    later: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()
    commands: Mapping[str, Answer] = field(default_factory=dict)
    sections: Mapping[str, list[dict[str, Any]] | Status] = field(default_factory=dict)
    lists: Sequence[PatchList] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    series: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    home: Mapping[str, str] | None = None
    platform: str = "linux"
    prepare: Callable[[Path], None] | None = None
    patches: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.check}-{self.said or self.state}-{self.platform}"


@contextlib.contextmanager
def made(case: Case) -> Iterator[CheckContext]:
    """Make the system of a case, for as long as it is looked at."""
    root = Path(tempfile.mkdtemp(prefix="fh-check-"))
    try:
        for folder in case.folders:
            (root / folder.lstrip("/")).mkdir(parents=True)
        home = root / "farhand-home" if case.home is not None else None
        if home is not None:
            home.mkdir()
            write_files(home, case.home or {})
        history = History()
        for series, samples in case.series.items():
            for at, value in samples:
                history.add(series, at, value)
        context = system(
            root,
            case.files,
            case.commands,
            case.lists,
            sections=case.sections,
            platform=case.platform,
            history=history,
            home=home,
            pause=lambda seconds: write_files(root, case.later),
        )
        if case.prepare:
            case.prepare(root)
        with contextlib.ExitStack() as stack:
            for target, stand_in in case.patches.items():
                stack.enter_context(patch(target, stand_in))
            yield context
    finally:
        shutil.rmtree(root)


def sentence_of(case: Case) -> str:
    """Return which of the check's sentences its function chose."""
    check = checks()[case.check]
    if case.platform not in check.platforms:
        return "unsupported"
    with made(case) as context:
        try:
            finding = check.function(context.for_check(check.limits, check.words, case.parameters))
        except (CommandMissing, Unsupported):
            return "unsupported"
        except (FarhandError, PermissionError):
            return "unknown"
    return finding.sentence or finding.state


def result_of(case: Case, language: str = "en") -> Any:
    """Return what `run_check` answers."""
    with made(case) as context:
        return run_check(case.check, case.parameters, language, context=context)
