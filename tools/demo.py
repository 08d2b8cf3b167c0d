# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo: three bare nodes, a kubeadm cluster made by this collection, moved to IPVS by its playbook, and the proof on the screen.

C(make demo). The lab stays up afterwards, so that the reader can look around: C(lab/lab ssh cp1), C(lab/lab down).
"""

from __future__ import annotations

import sys
import time

from tests.labkit import Lab, Run
from tests.labkit.cluster import Cluster
from tests.labkit.tutorial import Tutorial, claim

LAB = Lab("kubelab", ("--workers", "2"))


def say(text: str) -> None:
    print(text, flush=True)


def chapter(title: str) -> None:
    say(f"\n=== {time.strftime('%H:%M:%S')} {title}")


def play(playbook: str, diff: bool = False) -> Run:
    say(f"$ ansible-playbook -i inventory/lab {playbook}{' --diff' if diff else ''}")
    run = LAB.playbook(playbook, diff=diff, follow=True)
    claim(run.rc == 0, f"{playbook} failed")
    say(f"({run.seconds:.0f} s, {run.tasks} tasks, {len(run.changed)} changes)")
    return run


def main() -> None:
    chapter("Three bare nodes")
    LAB.bare(follow=True)
    chapter("A kubeadm cluster, made by the roles node and cluster")
    play("playbooks/create_cluster.yml")
    tutorial = Tutorial(Cluster(LAB, ("cp1", "w1", "w2")), say)
    chapter('The tutorial\'s start: mode "", a Service over three pods')
    tutorial.start()
    tutorial.point_1_iptables_chains()
    tutorial.point_1_masquerade()
    chapter("The switch")
    run = play("switch-to-ipvs.yml", diff=True)
    chapter("The proof, from the nodes' own tools")
    tutorial.point_4_switched(run)
    tutorial.point_3_modules()
    tutorial.point_5_ipvs()
    tutorial.point_6_node_port()
    tutorial.point_5_flush()
    chapter("The same by the role check, and a second run")
    play("playbooks/check.yml")
    again = play("switch-to-ipvs.yml")
    claim(not again.changed, f"the second run changed {again.changed}")
    chapter("Every node is in ipvs mode, kernel and API agree. Look around: lab/lab ssh cp1. Clean up: lab/lab down")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"\nThe demo stopped: {error}")
