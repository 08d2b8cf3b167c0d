# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test's integration targets (tests/integration) against a bare node of the lab.

What is tested is the collection as Galaxy would install it, and of it the modules that run on a node; those of the API side need a cluster and are
proven by tests/e2e. ansible-test reaches the node by ssh from inside the lab's network
namespace, with a key of its own in a home of its own that is gone afterwards. Arguments are handed to it: names of targets, for instance.
INTEGRATION_LAB names a lab that is kept for the next run.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from tests.labkit import Lab, Node
from tools.published import build, install
from tools.report import ROOT, repository_files

CACHE = ROOT / ".cache" / "integration"
TESTS = Path("tests", "integration")
ADDRESS = "192.168.34.10"
PYTHON = "/usr/bin/python3"


def say(text: str) -> None:
    """A line of progress, in order with what the commands print."""
    print(f"--- {time.strftime('%H:%M:%S')} {text}", flush=True)


def add_tests(collection: Path, root: Path = ROOT) -> None:
    """Put the targets into the installed collection: what is published has no tests."""
    for path in repository_files(root):
        if path.is_relative_to(TESTS):
            (collection / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, collection / path)


def make_key(home: Path) -> str:
    """The key pair where ansible-test looks for its own; the public half."""
    key = home / ".ansible" / "test" / "id_rsa"
    key.parent.mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-C", "ansible-test", "-f", key], check=True)
    return key.with_suffix(".pub").read_text("utf-8")


def prepare(node: Node, public_key: str) -> str:
    """Let ansible-test in; the version of the node's Python as ansible-test wants to be told it."""
    version = shlex.quote("import sys; print('%d.%d' % sys.version_info[:2])")
    return node.run(f"cat >> /root/.ssh/authorized_keys && {PYTHON} -c {version}", public_key).strip()


def inside(namespace: str, uid: int, gid: int) -> list[str]:
    """The words before a command that runs in a lab's network as the user that we are."""
    enter = ["nsenter", f"--net=/run/netns/{namespace}"]
    return enter if uid == 0 else ["sudo", "-n", *enter, f"--setuid={uid}", f"--setgid={gid}"]


def command(collection: Path, home: Path, python: str, arguments: t.Sequence[str]) -> list[str]:
    """ansible-test with its environment: sudo hands none on."""
    programs = Path(sys.executable).parent
    environment = {
        "ANSIBLE_TEST_CONTENT_ROOT": str(collection),
        "HOME": str(home),
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    target = f"ssh:root@{ADDRESS},python={python}@{PYTHON}"
    return [
        "env",
        *(f"{name}={value}" for name, value in environment.items()),
        *(str(programs / "ansible-test"), "integration", "--color", "no", "--allow-destructive", "--target", target),
        *arguments,
    ]


def run(lab: Lab, collection: Path, arguments: t.Sequence[str]) -> int:
    """Run the targets against the lab's node; the exit status of ansible-test."""
    with tempfile.TemporaryDirectory(prefix="integration-") as scratch:
        say("authorising ansible-test's key")
        python = prepare(lab.node("cp1"), make_key(Path(scratch)))
        say(f"ansible-test integration, Python {python} on the node")
        words = inside(lab.name, os.getuid(), os.getgid()) + command(collection, Path(scratch), python, arguments)
        return subprocess.run(words, cwd=collection, stdin=subprocess.DEVNULL, check=False).returncode


def main() -> int:
    """Build, install, boot a node, test."""
    kept = os.environ.get("INTEGRATION_LAB")
    lab = Lab(kept or "kubelab-integration", ("--workers", "0"))
    say("building and installing the collection")
    collection = install(build(CACHE / "build"), CACHE)
    add_tests(collection)
    try:
        say("a bare node")
        lab.bare(follow=True)
        status = run(lab, collection, sys.argv[1:])
    finally:
        if not kept:
            say("the node goes")
            lab.down()
    say(f"ansible-test ended with {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
