"""An editor's remote mode: Emacs (TRAMP) opens, changes and saves a file, lists and runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.interop.reach import Reach

# TRAMP takes an ssh program, not its options; so the configuration is named in a program of ours.
_WRAPPER = '#!/bin/sh\nexec ssh -F {config} "$@"\n'
_WORK = """
(progn
  (require 'tramp)
  (setq tramp-use-ssh-controlmaster-options nil)
  (let ((method (cdr (assoc "ssh" tramp-methods))))
    (setcdr (assq 'tramp-login-program method) (list {ssh})))
  (find-file {file})
  (goto-char (point-max))
  (insert "two\\n")
  (save-buffer)
  (princ (format "%S" (directory-files {folder})))
  (let ((default-directory {folder}))
    (princ (shell-command-to-string "cat text; pwd"))))
"""


@pytest.mark.needs("emacs", "ssh")
def test_emacs_edits_a_file_on_the_device(reach: Reach, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(_WRAPPER.format(config=reach.config))
    ssh.chmod(0o755)
    folder = tmp_path / "far"
    folder.mkdir()
    text = folder / "text"
    text.write_text("one\n")
    far = f"/ssh:{reach.device}:"
    places = {"ssh": ssh, "file": f"{far}{text}", "folder": f"{far}{folder}/"}
    work = _WORK.format(**{name: json.dumps(str(place)) for name, place in places.items()})
    done = subprocess.run(
        ["emacs", "-Q", "--batch", "--eval", work],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
        env={**reach.field.stage.env, "HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert text.read_text() == "one\ntwo\n"
    said = done.stdout.decode()
    assert '"text"' in said
    assert said.endswith(f"one\ntwo\n{folder}\n")
