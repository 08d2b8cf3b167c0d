# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machines that Vagrant has up as an Ansible inventory: what C(inventory/vagrant/nodes) prints.

How each one is reached is what C(vagrant ssh-config) says, kept in a file that ssh is given. Runs with whatever python3 there is, on the
standard library alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SSH_CONFIG = ROOT / ".cache" / "vagrant" / "ssh_config"
CONTROL_PLANE = re.compile(r"cp\d+")


class InventoryError(Exception):
    """Why there is no inventory, and the way out."""


def running(status: str) -> list[str]:
    """The machines that run, of C(vagrant status --machine-readable): lines C(time,machine,state,running)."""
    rows = (line.split(",") for line in status.splitlines())
    return [row[1] for row in rows if row[2:] == ["state", "running"]]


def inventory(machines: t.Sequence[str], ssh_config: Path) -> dict[str, t.Any]:
    """Groups by what the Vagrantfile calls the machines."""
    reached = {"ansible_ssh_common_args": f"-F {ssh_config}"}
    control = [name for name in machines if CONTROL_PLANE.fullmatch(name)]
    return {
        "_meta": {"hostvars": dict.fromkeys(machines, reached)},
        "kube_cluster": {"children": ["kube_control_plane", "kube_worker"]},
        "kube_control_plane": {"hosts": control},
        "kube_worker": {"hosts": [name for name in machines if name not in control]},
    }


def vagrant(*arguments: str) -> str:
    """What vagrant prints. InventoryError when it does not end well."""
    try:
        done = subprocess.run(["vagrant", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InventoryError("There is no vagrant here. Install it (Debian: vagrant and vagrant-libvirt).") from error
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())
        raise InventoryError(f"vagrant {arguments[0]} ended with {done.returncode}: {words}")
    return done.stdout


def main() -> int:
    """Print the inventory as JSON."""
    try:
        machines = running(vagrant("status", "--machine-readable"))
        if not machines:
            raise InventoryError("No machine of the Vagrantfile runs. Start them: vagrant up")
        text = vagrant("ssh-config", *machines)
    except InventoryError as error:
        print(error, file=sys.stderr)
        return 1
    SSH_CONFIG.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(SSH_CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    print(json.dumps(inventory(machines, SSH_CONFIG), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
