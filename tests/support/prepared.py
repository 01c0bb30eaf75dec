"""A relay with its first admin, trust root and one technician, made once and copied for each stage.

Making them takes ten commands and several seconds of a processor; copying their homes takes none.
They were made by those commands, in the order in which people give them (`Stage.first_admin`,
`Stage.technician`); only the address in the configurations is another in each copy.  A relay that
is started on the copy with `--database` takes its rows over, as it would from any SQLite home.

All test processes of one run share what was made: tests/conftest.py names the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FOLDER", "copy_prepared"]

FOLDER = "TEST_PREPARED_HOMES"
_ADDRESS = "address"


def copy_prepared(
    name: str, make: Callable[[Path], str], *, relay: Path, consoles: Path, url: str, listen: str
) -> bool:
    """Copy prepared homes, making them first where they are not there yet.

    Args:
        name: which.
        make: makes `relay`, `console-*` and people's `*.pub` in the folder that it gets, and
            returns the HOST:PORT that they were made with.
        relay: where the relay's home goes.
        consoles: the folder that the consoles' homes go to.
        url, listen: the stage's address, and HOST:PORT.

    Returns:
        False where nobody named a folder to keep them in (outside the tests).
    """
    kept = os.environ.get(FOLDER)
    if kept is None:
        return False
    source = Path(kept) / name
    with _alone(source.with_suffix(".lock")):
        if not source.exists():
            fresh = source.with_suffix(".fresh")
            shutil.rmtree(fresh, ignore_errors=True)  # of one that failed
            fresh.mkdir(mode=0o700)
            (fresh / _ADDRESS).write_text(make(fresh))
            fresh.rename(source)
    before = (source / _ADDRESS).read_text()
    for one in source.iterdir():
        if one.suffix == ".pub":
            shutil.copy(one, consoles)
        elif one.is_dir():
            target = relay if one.name == "relay" else consoles / one.name
            shutil.copytree(one, target)
            config = target / "config.toml"
            text = config.read_text().replace(f"http://{before}", url).replace(before, listen)
            config.write_text(text)
    return True


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other test processes out."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
