"""Ansible on three devices at once: ping, copy and a command, with nothing set up on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.interop.reach import NAMES, WAYS, Field

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
      failed_when: shown.stdout != 'for ' ~ inventory_hostname
"""


def test_ping_copy_and_command(field: Field, tmp_path: Path) -> None:
    """Three devices, each by proxy and through the jump port, in one run."""
    inventory = []
    for way in WAYS:
        inventory.append(f"[{way}]")
        inventory += [f"{name}-{way} ansible_host={name}" for name in NAMES]
        inventory += [f"[{way}:vars]", f"ansible_ssh_common_args=-F {field.config(way, tmp_path)}"]
    (tmp_path / "hosts.ini").write_text("\n".join(inventory) + "\n")
    (tmp_path / "play.yml").write_text(_PLAY)
    landed = tmp_path / "landed"
    landed.mkdir()
    done = subprocess.run(
        [
            sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts.ini"),
            "-e", json.dumps({"folder": str(landed), "ansible_python_interpreter": sys.executable}),
            str(tmp_path / "play.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        env={
            **field.stage.env,
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",  # one ssh a task instead of five; what is copied is copied
            "LC_ALL": "C.UTF-8",
        },
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    hosts = [f"{name}-{way}" for way in WAYS for name in NAMES]
    for host in hosts:
        assert (landed / host).read_text() == f"for {host}"
        assert f"{host} " in done.stdout
    assert done.stdout.count("failed=0") == len(hosts)
    assert done.stdout.count("changed=2") == len(hosts)
