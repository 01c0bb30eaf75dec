"""The console's build hook: makes the web console's page when a wheel is built.

an editable install        nothing: `make ui` builds in a source tree
FARHAND_SKIP_UI=1          nothing: the wheel then answers `ui-not-built`
dist/ without app/         nothing: an sdist carries the page already
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageBuild(BuildHookInterface[Any]):
    """Runs `ui_build.py` before the files of a wheel are taken."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page where its sources are."""
        root = Path(self.root)
        has_sources = (root / "farhand_console" / "web" / "app" / "package.json").is_file()
        if version == "editable" or os.environ.get("FARHAND_SKIP_UI") == "1" or not has_sources:
            return
        runpy.run_path(str(root / "ui_build.py"), run_name="__main__")
