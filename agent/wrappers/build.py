"""Makes what follows from the registry of checks: `make wrappers`.

Each check gets its shipped script, `console/farhand_console/library/check.ID/` (a manifest, and
three lines of Python that all share), and its row in docs/checks.md.  A manifest keeps the version
that it has; whoever changes one that was released raises it by hand.  What is made is checked in;
a test compares.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from farhand_agent.checks.registry import Check, checks
from farhand_agent.wording import LANGUAGES

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "console" / "farhand_console" / "library"
DOCUMENT = ROOT / "docs" / "checks.md"
# One body for all, so that a device fetches and keeps it once: the manifest says which check.
SCRIPT = '''"""The agent's built-in check that the manifest's parameter `check` names."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main())
'''
_BEGIN, _END = "<!-- begin: made by `make wrappers` -->\n", "<!-- end -->\n"
# What a parameter may be at all; the units are those that thresholds are named after.
_BOUNDS = {"percent": (0, 100), "dbm": (-120, 0), "days": (-36_500, 36_500)}
_USUAL_BOUNDS = (0, 1_000_000_000)


def made() -> dict[Path, str]:
    """Return every made file's text by its path."""
    files = {}
    for check in checks().values():
        folder = LIBRARY / f"check.{check.id}"
        files[folder / "manifest.toml"] = manifest(check, _version(folder / "manifest.toml"))
        files[folder / "script.py"] = SCRIPT
    document = DOCUMENT.read_text("utf-8")
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} lacks the lines between which the table stands")
    files[DOCUMENT] = before + begin + table() + end + after
    return files


def manifest(check: Check, version: int) -> str:
    """Return the text of a check's manifest.toml."""
    lines = [
        f"id = {_text('check.' + check.id)}",
        f"version = {version}",
        f"title = {_text(check.title)}",
        f"description = {_text(measures(check))}",
        f"platforms = {json.dumps(list(check.platforms))}",
        'interpreter = "python"',
        'risk = "R0"',
        f"timeout_s = {_timeout_s(check)}",
        'run_as = "agent"',
        "sensitive = false",
        "",
        "[parameters]",
        'type = "object"',
        "additionalProperties = false",
        "",
        "[parameters.properties.check]",
        'type = "string"',
        'description = "Which check this script is."',
        f"default = {_text(check.id)}",
        f"enum = [{_text(check.id)}]",
    ]
    for name, limit in check.limits.items():
        unit = name.replace("_", " ")
        least, most = _BOUNDS.get(name.rpartition("_")[2], _USUAL_BOUNDS)
        if name in ("times", "below"):
            least = -1000
        side = "on" if limit.rising else "down"
        for level, default in (("warning", limit.warning), ("critical", limit.critical)):
            lines += [
                "",
                f"[parameters.properties.{level}_{name}]",
                'type = "number"',
                f'description = "From this many {unit} {side} it is {level}."',
                f"default = {default:.15g}",
                f"minimum = {least}",
                f"maximum = {most}",
            ]
    for name, word in check.words.items():
        lines += ["", f"[parameters.properties.{name}]", 'type = "string"']
        lines += [f"description = {_text(word.description)}"]
        lines += [f"default = {_text(word.default)}"] if word.default else []
        lines += [f"pattern = '{word.pattern}'"]
    lines += [
        "",
        "[parameters.properties.language]",
        'type = "string"',
        'description = "Language of the sentence for the person at the device."',
        f"enum = {json.dumps(list(LANGUAGES))}",
    ]
    return "\n".join(lines) + "\n"


def measures(check: Check) -> str:
    """Return what a check measures: the first sentence of its function's docstring."""
    text = re.sub(r"\s+", " ", (check.function.__doc__ or "").strip())
    return text.partition("  ")[0]


def table() -> str:
    """Return the table of docs/checks.md."""
    lines = [
        "| id | measures | unit | warning / critical | platforms | what helps | risk |",
        "|---|---|---|---|---|---|---|",
    ]
    for check in checks().values():
        limits = "; ".join(
            f"{name} {'≥' if limit.rising else '≤'} {limit.warning:.15g} / {limit.critical:.15g}"
            for name, limit in check.limits.items()
        )
        words = ", ".join(f"`{name}`" for name in check.words)
        more = f" and {len(check.remedies) - 1} more" if len(check.remedies) > 1 else ""
        helps = check.advice + (f" (`{check.remedies[0]}`{more})" if check.remedies else "")
        overridden = "; ".join(filter(None, (limits, words)))
        cells = [f"`{check.id}`", measures(check), check.unit or "", overridden]
        cells += [", ".join(check.platforms), helps, check.risk]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _timeout_s(check: Check) -> int:
    # Windows answers all sections at once, which takes longer than one.
    least = 180 if "windows" in check.platforms else 0
    return max(int(check.timeout_s * 1.5) + 15, least)


def _text(text: str) -> str:
    # A JSON string without control characters is also a TOML basic string.
    return json.dumps(text, ensure_ascii=False)


def _version(path: Path) -> int:
    found = re.search(
        r"^version = ([0-9]+)$", path.read_text("utf-8") if path.exists() else "", re.M
    )
    return int(found[1]) if found else 1


def main() -> None:
    """Make every file anew."""
    for path, text in made().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
