"""What goes into a bundle: collected, cleaned, bounded.  Nothing is written here.

    about.json          the agent's version, the system's name, what the agent is connected to
    inventory.json      as `farhand-agent inventory --json`
    checks.json         as `farhand-agent checks --json`
    patches.json        as `farhand-agent patches --json`
    crashes.json        crash reports by name
    logs/NAME.txt       excerpts

Every part is collected by itself: what fails becomes a sentence in `omitted`, never the end of the
bundle.  Secrets are taken out of everything first, then names are replaced as asked.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from farhand_agent.bundle.crashes import list_crashes
from farhand_agent.bundle.logs import LOGS, collect_log
from farhand_agent.bundle.names import NameCleaner
from farhand_agent.bundle.secrets import SecretFilter
from farhand_agent.checks.runner import run_checks
from farhand_agent.config import Home, load_settings
from farhand_agent.inventory.command import to_json
from farhand_agent.inventory.runner import collect_all
from farhand_agent.patches.command import list_all
from farhand_agent.platforms.current import is_privileged
from farhand_protocol.bundles import MAX_BUNDLE_FILES, MAX_UNPACKED_BYTES, BundleFile
from farhand_protocol.errors import FarhandError

__all__ = ["PARTS", "Contents", "Wanted", "collect"]

# What can be left out by name; sections and logs have words of their own.
PARTS: Final = ("checks", "patches", "crashes")

_AGENT_VERSION: Final = "0.1.0"
# The manifest has its place too.
_ROOM_BYTES: Final = MAX_UNPACKED_BYTES - 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for.

    Attributes:
        sections: of the inventory; None for all, empty for none.
        logs: names of `LOGS`.
        hours: how far back logs go.
        personal: False keeps values back that say something about a person.
        without: of `PARTS`.
    """

    sections: tuple[str, ...] | None = None
    logs: tuple[str, ...] = ()
    hours: int = 48
    personal: bool = True
    without: frozenset[str] = frozenset()


@dataclass(slots=True)
class Contents:
    """Cleaned files by name, and what is not there.

    Attributes:
        files: name to content.
        about: name to a few words.
        omitted: sentences.
        secrets_removed: how many secrets were taken out.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)
    secrets_removed: int = 0

    def entries(self) -> list[BundleFile]:
        """Return the files as the manifest names them."""
        return [
            BundleFile(
                name=name,
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                about=self.about[name],
            )
            for name, data in sorted(self.files.items())
        ]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(map(len, self.files.values()))


class _Collector:
    def __init__(self, cleaner: NameCleaner) -> None:
        self.contents = Contents()
        self._secrets = SecretFilter()
        self._cleaner = cleaner

    def json(self, name: str, about: str, make: Callable[[], Any]) -> None:
        """Add what `make` returns as a file of JSON."""
        try:
            value = msgspec.to_builtins(make())
            data = msgspec.json.encode(self._clean(value), order="sorted")
        except (FarhandError, OSError) as error:
            self.omit(f"{name}: {error}")
            return
        except Exception as error:  # a bug in one part must not cost the others
            self.omit(f"{name}: {type(error).__name__}: {error}")
            return
        self._add(name, about, msgspec.json.format(data, indent=1) + b"\n")

    def text(self, name: str, about: str, text: str) -> None:
        """Add a text."""
        self._add(
            name, about, self._cleaner.text(self._secrets.text(text)).encode("utf-8", "replace")
        )

    def omit(self, sentence: str) -> None:
        """Say what is not there."""
        self.contents.omitted.append(str(self._clean(sentence))[:300])

    def finished(self) -> Contents:
        """Return what was collected."""
        self.contents.secrets_removed = self._secrets.removed
        return self.contents

    def _clean(self, value: Any) -> Any:
        return self._cleaner.value(self._secrets.value(value))

    def _add(self, name: str, about: str, data: bytes) -> None:
        contents = self.contents
        if len(contents.files) >= MAX_BUNDLE_FILES or contents.size_bytes + len(data) > _ROOM_BYTES:
            self.omit(f"{name}: there is no room for it in one bundle")
            return
        contents.files[name] = data
        contents.about[name] = about


def collect(
    home: Home,
    wanted: Wanted,
    cleaner: NameCleaner,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Contents:
    """Collect everything that was asked for.

    Args:
        home: of the agent; it may never have been enrolled.
        wanted: what to collect.
        cleaner: replaces names.
        progress: told what is collected now.
    """
    collector = _Collector(cleaner)
    progress("about this device")
    collector.json("about.json", "the agent and the system", lambda: _about(home))
    if wanted.sections is None or wanted.sections:
        progress("inventory")
        collector.json(
            "inventory.json",
            "what this device is made of",
            lambda: to_json(collect_all(wanted.sections, personal=wanted.personal), _device(home)),
        )
    if "checks" not in wanted.without:
        progress("checks")
        collector.json("checks.json", "what was checked and found", lambda: _items(run_checks()))
    if "patches" not in wanted.without:
        progress("updates")
        collector.json(
            "patches.json",
            "the updates that this device lacks",
            lambda: _items(one.to_json() for one in list_all()),
        )
    if "crashes" not in wanted.without:
        progress("crash reports")
        collector.json("crashes.json", "crash reports by name", lambda: _crashes(collector))
    for name in wanted.logs:
        progress(f"log {name}")
        excerpt = collect_log(name, hours=wanted.hours)
        if excerpt.text:
            collector.text(f"logs/{name}.txt", LOGS[name].about, excerpt.text)
        else:
            collector.omit(f"logs/{name}.txt: {excerpt.reason}")
    return collector.finished()


def _items(results: Iterable[Any]) -> dict[str, Any]:
    return {"items": list(results), "next": None}


def _crashes(collector: _Collector) -> dict[str, Any]:
    items, denied = list_crashes()
    for sentence in denied:
        collector.omit(f"crashes.json: {sentence}")
    return _items(items)


def _device(home: Home) -> str | None:
    return load_settings(home).device if home.is_enrolled else None


def _about(home: Home) -> dict[str, Any]:
    known: dict[str, Any] = {
        "agent": _AGENT_VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "host_name": platform.node(),
        "privileged": is_privileged(),
        "enrolled": home.is_enrolled,
    }
    if home.is_enrolled:
        settings = load_settings(home)
        known |= {name: getattr(settings, name) for name in ("device", "name", "group", "url")}
    return known
