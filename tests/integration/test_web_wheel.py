"""A wheel of the console holds the page: `farhand web` runs where only wheels are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from farhand_console.web.assets import is_built
from tests.support.stage import Process, Stage

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns("node_modules", "dist", "__pycache__")


def _wheels(folder: Path) -> list[Path]:
    """Build protocol and console as `make wheels` does, beside the tree that other tests use."""
    for member in ("protocol", "console"):
        shutil.copytree(ROOT / member, folder / member, ignore=LEFT_OUT)
    app = Path("farhand_console/web/app/node_modules")
    (folder / "console" / app).symlink_to(ROOT / "console" / app)
    words = [sys.executable, "-m", "pip", "-q", "wheel", "--no-index", "--no-deps"]
    members = [str(folder / "protocol"), str(folder / "console")]
    done = subprocess.run(
        [*words, "--no-build-isolation", "-w", str(folder / "wheels"), *members],
        env={name: value for name, value in os.environ.items() if name != "FARHAND_SKIP_UI"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted((folder / "wheels").glob("*.whl"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_wheel_serves_the_page(tmp_path: Path) -> None:
    if not is_built():
        if os.environ.get("FARHAND_CI") == "1":
            pytest.fail("the page is not built: make ui", pytrace=False)
        pytest.skip("the page is not built: make ui")
    wheels = _wheels(tmp_path)
    assert [wheel.name.partition("-")[0] for wheel in wheels] == [
        "farhand_console",
        "farhand_protocol",
    ]
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False)
    python = clean / "bin" / "python"
    packages = next(clean.glob("lib/python*/site-packages"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            archive.extractall(packages)
        if wheel.name.startswith("farhand_console"):
            assert "farhand_console/web/dist/index.html" in names
            assert "farhand_console/web/dist/assets/licences.txt" in names
            assert not any("/app/" in name or "node_modules" in name for name in names)
    # Other people's packages are those of this environment; ours come out of the wheels.
    library = sysconfig.get_paths()["purelib"]
    with Stage() as stage:
        _, technician = stage.settle(library=False)
        stage.start_relay()
        env = {**stage.env, "PYTHONPATH": library}
        where = "import farhand_console; print(farhand_console.__file__)"
        found = subprocess.run(
            [python, "-P", "-c", where], env=env, cwd=tmp_path, capture_output=True, check=True
        )
        assert Path(found.stdout.decode().strip()).is_relative_to(packages)
        words = [str(python), "-m", "farhand_console", "--home", str(technician.home), "--json"]
        process = Process([*words, "web", "--no-browser"], env=env)
        try:
            address = str(process.next_json()["url"]).partition("/#")[0]
            with urllib.request.urlopen(f"{address}/queue", timeout=20) as answer:
                page = answer.read().decode()
            assert '<div id="app">' in page
            script = page.partition('src="')[2].partition('"')[0]
            with urllib.request.urlopen(f"{address}{script}", timeout=20) as answer:
                assert len(answer.read()) > 10_000
        finally:
            process.end()
        assert json.loads(technician.run("--json", "whoami").stdout)["account"] == "tess"
