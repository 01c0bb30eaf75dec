"""`farhand-agent checks`, and the body of every shipped `check.*` script."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from farhand_agent.checks import registry
from farhand_agent.checks.finding import CheckResult
from farhand_agent.checks.history import History
from farhand_agent.checks.plugins import EXIT_CODES, plugin_answer, plugin_failure, run_plugin
from farhand_agent.checks.registry import CheckContext
from farhand_agent.checks.runner import run_check, run_checks
from farhand_agent.errors import HomeForeign
from farhand_agent.home_option import chosen_home, default_home
from farhand_agent.terminal import printable, table
from farhand_agent.wording import LANGUAGES, chosen_language
from farhand_protocol.errors import FarhandError

__all__ = ["HISTORY", "checks", "script_main", "script_parameters"]

# In the agent's home: what was measured before.
HISTORY: Final = "checks.json"
_MAX_PARAMETERS_BYTES: Final = 1024 * 1024
_MAX_ERROR_CHARS: Final = 4000  # the ids of all checks fit
_COLOURS: Final = {"ok": "green", "warning": "yellow", "critical": "red", "unknown": "magenta"}
_WIDEST: Final = max(map(len, EXIT_CODES))


def _home(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Path | None:
    """Return the agent's home, which is only read; None where FARHAND_HOME is another program's."""
    try:
        return chosen_home(ctx, parameter, value).path
    except HomeForeign:
        if value is not None:
            raise
        return None


@click.command("checks")
@click.argument("names", nargs=-1, metavar="[ID]...")
@click.option("--id", "ids", multiple=True, help="Only this check; repeatable.")
@click.option("--list", "only_list", is_flag=True, help="Show which checks there are.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Language of the sentences.")
@click.option(
    "--param", "given", multiple=True, metavar="ID.NAME=VALUE",
    help="Override a threshold or a word of one check; repeatable.",
)  # fmt: skip
@click.option(
    "--all", "everything", is_flag=True, help="Show what is not there on this device too."
)
@click.option("--plugin", is_flag=True, help="Answer as monitoring plugins do; exit 0, 1, 2 or 3.")
@click.option(
    "--run-plugin", "foreign", metavar="PATH",
    help="Run a monitoring plugin (its arguments stand behind --) and show its answer.",
)  # fmt: skip
@click.option(
    "--home", metavar="DIR", callback=_home, help="The agent's home; FARHAND_HOME is the default."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def checks(
    names: tuple[str, ...],
    ids: tuple[str, ...],
    only_list: bool,
    lang: str | None,
    given: tuple[str, ...],
    everything: bool,
    plugin: bool,
    foreign: str | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Check whether this device is well.  A problem found is a result, not an error."""
    if only_list:
        _list_checks(as_json)
        return
    language = lang or chosen_language(os.environ)
    try:
        if foreign is not None:
            results = [run_plugin([os.path.abspath(foreign), *names], timeout_s=60.0)]
        else:
            chosen = [*ids, *names] or None
            results = _run(chosen, _parameters(given), language, home)
    except FarhandError as error:
        click.echo(f"farhand-agent: error: {printable(error, _MAX_ERROR_CHARS)}", err=True)
        if error.hint:
            click.echo(f"farhand-agent: hint: {printable(error.hint, _MAX_ERROR_CHARS)}", err=True)
        if plugin:
            # Monitoring reads stdout only.
            click.echo(plugin_failure(str(error)))
        sys.exit(EXIT_CODES["unknown"] if plugin else 2)
    if plugin:
        answer, code = plugin_answer(results)
        click.echo(answer)
        sys.exit(code)
    if as_json:
        items = [msgspec.to_builtins(result) for result in results]
        click.echo(json.dumps({"items": items, "next": None}))
        return
    _show(results, everything=everything, named=bool(ids or names or foreign))


def _run(
    ids: list[str] | None,
    parameters: dict[str, dict[str, Any]],
    language: str,
    home: Path | None,
) -> list[CheckResult]:
    context = CheckContext(history=_history(home), home=home)
    # A closed one is None.
    shown = sys.stderr is not None and sys.stderr.isatty()

    def progress(done: int, of: int) -> None:
        if shown:
            click.echo(f"\r{done} of {of} checks", err=True, nl=False)

    try:
        return run_checks(ids, parameters, language, context=context, progress=progress)
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _history(home: Path | None) -> History | None:
    # Only the agent's own runs write its history; a person's look at it changes nothing.
    return History(home / HISTORY, read_only=True) if home else None


def _parameters(given: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    known = registry.checks()
    parameters: dict[str, dict[str, Any]] = {}
    for text in given:
        path, equals, value = text.partition("=")
        check_id, _, name = path.rpartition(".")
        if not equals or check_id not in known:
            raise FarhandError(
                "check-parameters",
                f"{text[:80]!r} is not of the form ID.NAME=VALUE",
                hint="such as disk.space.warning_percent=90",
            )
        is_word = name in known[check_id].words
        parameters.setdefault(check_id, {})[name] = value if is_word else _number(value)
    return parameters


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # refused, with words, by the check that it is for


def _show(results: list[CheckResult], *, everything: bool, named: bool) -> None:
    shown = [one for one in results if everything or named or one.state != "unsupported"]
    # Coloured behind the padding, so that the columns stand; without colours in a pipe.
    widest = max((len(one.id) for one in shown), default=5)
    for one in shown:
        state = click.style(one.state.ljust(_WIDEST), fg=_COLOURS.get(one.state))
        click.echo(f"{state}  {printable(one.id, 100).ljust(widest)}  {printable(one.summary)}")
    told = [one for one in results if named or one.state in ("warning", "critical")]
    if told:
        click.echo("")
    for one in told:
        click.echo(f"{printable(one.id, 100)}: {printable(one.plain, 600)}")
        if one.advice:
            script = f"; script {printable(one.remedy)}" if one.remedy else ""
            click.echo(f"    {printable(one.advice)} ({one.risk}{script})")
    hidden = len(results) - len(shown)
    if hidden:
        click.echo(f"\n{hidden} checks do not apply to this device (--all shows them)", err=True)


def _list_checks(as_json: bool) -> None:
    known = registry.checks().values()
    if as_json:
        items = [
            {
                "id": c.id,
                "title": c.title,
                "unit": c.unit,
                "platforms": list(c.platforms),
                "risk": c.risk,
                "advice": c.advice,
                "remedies": list(c.remedies),
                "thresholds": {
                    name: {"warning": t.warning, "critical": t.critical, "rising": t.rising}
                    for name, t in c.limits.items()
                },
                "words": {name: word.description for name, word in c.words.items()},
            }
            for c in known
        ]
        click.echo(json.dumps({"items": items, "next": None}))
        return
    click.echo(table(("check", "title"), [(c.id, c.title) for c in known]))


def script_main() -> int:
    """Run one check as a shipped script and print its finding as one JSON object.

    Parameters come as one JSON document from the file that FARHAND_PARAMETERS names.  `check` among
    them is the check's id: a manifest admits just its own, so that all the scripts share one body
    and a device fetches it once.  `language` chooses the language of the sentence.
    FARHAND_PROBE_TO holds the machines that policy lets this device look at, with commas between.

    Returns:
        0 for any finding, 1 when the check itself failed or its parameters cannot be used.
    """
    try:
        parameters = script_parameters()
        check_id = parameters.pop("check", None)
        if not isinstance(check_id, str):
            raise FarhandError("check-parameters", "the parameters name no check")
        language = parameters.pop("language", None) or chosen_language(os.environ)
        home = default_home()
        allowed = os.environ.get("FARHAND_PROBE_TO", "").split(",")
        context = CheckContext(
            history=_history(home),
            home=home,
            may_probe=lambda target: target in allowed,
        )
        result = run_check(check_id, parameters, str(language), context=context)
    except FarhandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return 0


def script_parameters() -> dict[str, Any]:
    """Return the parameters that the script runner left for this process; {} where it left none.

    Raises:
        FarhandError: `check-parameters` when the file cannot be read or is no JSON object.
    """
    name = os.environ.get("FARHAND_PARAMETERS")
    if not name:
        return {}
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MAX_PARAMETERS_BYTES + 1)
        parameters = json.loads(data) if len(data) <= _MAX_PARAMETERS_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise FarhandError("check-parameters", "the parameters cannot be read") from error
    if not isinstance(parameters, dict):
        raise FarhandError("check-parameters", "the parameters are not one JSON object")
    return parameters
