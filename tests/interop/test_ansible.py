"""Ansible on three devices at once: ping, copy and a command, with nothing set up on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.interop.reach import NAMES, Reach

_PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
    - ansible.builtin.copy:
        content: "for {{ inventory_hostname }}"
        dest: "{{ folder }}/{{ inventory_hostname }}"
        mode: "0600"
    - ansible.builtin.command: cat {{ folder }}/{{ inventory_hostname }}
      register: shown
    - ansible.builtin.assert:
        that: shown.stdout == 'for ' ~ inventory_hostname
"""


def test_ping_copy_and_command(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(_PLAY)
    common = f"-F {reach.config}"
    (tmp_path / "hosts.ini").write_text("\n".join(NAMES) + "\n")
    landed = tmp_path / "landed"
    landed.mkdir()
    done = subprocess.run(
        [
            sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts.ini"),
            "--ssh-common-args", common,
            "-e", json.dumps({"folder": str(landed), "ansible_python_interpreter": sys.executable}),
            str(tmp_path / "play.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **reach.field.stage.env,
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        },
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES:
        assert (landed / name).read_text() == f"for {name}"
        assert f"{name} " in done.stdout
    assert done.stdout.count("failed=0") == len(NAMES)
    assert done.stdout.count("changed=2") == len(NAMES)
