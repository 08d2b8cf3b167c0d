# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to the nodes of a kind cluster, which are containers: no sshd, no sudo, everything as root.

For inventory/kind only, and not published. ansible-core has no such connection of its own, and this collection depends on no other one.
"""

from __future__ import annotations

import shlex
import subprocess
import typing as t
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: docker_exec
short_description: Run tasks in a container by docker exec
description: Runs the docker command of the controller, which finds its daemon by DOCKER_HOST and by its contexts.
author: netops.kube_proxy authors (@netops)
options:
  remote_addr:
    description: The name of the container.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
"""

# What the docker command says by itself, and no program in the container does. Its exit status alone does not tell.
OWN_WORDS = (
    b"Error response from daemon:",
    b"Error: No such container:",
    b"Cannot connect to the Docker daemon",
    b"error during connect:",
)


class Connection(ConnectionBase):
    transport = "docker_exec"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command with the node's shell; a container that cannot be entered makes the host unreachable."""
        name = self._container()
        try:
            done = subprocess.run(
                ["docker", "exec", "--interactive", name, "/bin/sh", "-c", cmd],
                input=in_data or b"",
                capture_output=True,
                check=False,
            )
        except OSError as error:
            raise AnsibleConnectionFailure(f"docker could not be run: {error}") from error
        if done.returncode and done.stderr.startswith(OWN_WORDS):
            words = done.stderr.decode("utf-8", "replace").strip()
            raise AnsibleConnectionFailure(f"{name} cannot be entered: {words} (docker ps --all shows what there is)")
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Have the file of the controller in the container."""
        self._transfer(f"cat > {shlex.quote(out_path)}", Path(in_path).read_bytes())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Have the file of the container on the controller."""
        Path(out_path).write_bytes(self._transfer(f"cat {shlex.quote(in_path)}"))

    def close(self) -> None:
        """Nothing is held between two commands."""
        self._connected = False

    def _container(self) -> str:
        return str(t.cast("t.Any", self).get_option("remote_addr"))

    def _transfer(self, command: str, content: bytes = b"") -> bytes:
        status, out, err = self.exec_command(command, content, sudoable=False)
        if status:
            raise AnsibleError(f"{command!r} ended with {status}: {err.decode('utf-8', 'replace').strip()}")
        return out

    if t.TYPE_CHECKING:
        _connected: bool
