# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A switch keeps what there was, and a restore goes back to it: objects, sysctls and virtual servers are put back, all else is shown.
Expected values are those of kubectl, sysctl, ipvsadm, iptables and ipset before the switch."""

from __future__ import annotations

import json
import stat
import typing as t
from pathlib import Path

import pytest

from tests.labkit import Lab, Run, killed, succeeded
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import FAMILIES, kinds, verdict, wrong
from tests.labkit.switching import FOREIGN, SERVER, SYSTEM, is_right, mine, modes, procedure, states

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "1"))
NAMES = ("cp1", "w1")
ARP = "net.ipv4.conf.all.arp_ignore"
# A user's chain, which nobody but the user puts back.
LOSE_CHAIN = "iptables -t nat -D PREROUTING -j MY-CHAIN; iptables -t nat -F MY-CHAIN; iptables -t nat -X MY-CHAIN"
LOSE = f"ipvsadm -D -t {SERVER}; sysctl -qw {ARP}=1; {LOSE_CHAIN}"

# What the run does on the controller is no change of the cluster.
KEEPING = {"Have a folder that only its owner can read", "Keep kube-proxy's objects", "Keep the node"}


class Before(t.NamedTuple):
    """How it was, by the nodes' own tools."""

    config: str
    image: str
    mine: list[list[str]]
    sysctls: list[str]


def kube_proxy(cluster: Cluster) -> tuple[str, str]:
    config: str = cluster.get("configmap", *SYSTEM, "kube-proxy")["data"]["config.conf"]
    spec = cluster.get("daemonset", *SYSTEM, "kube-proxy")["spec"]["template"]["spec"]
    return config, str(spec["containers"][0]["image"])


def sysctls(cluster: Cluster) -> list[str]:
    return [node.run(f"sysctl -n {ARP} net.ipv4.conf.all.route_localnet net.ipv4.ip_forward") for node in cluster.nodes]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = Cluster(lab, NAMES)
    run = lab.playbook("playbooks/create_cluster.yml", **FAMILIES)
    assert run.rc == 0, run.output
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    for node in found.nodes:
        node.run(FOREIGN)
    return found


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> Before:
    return Before(*kube_proxy(cluster), [mine(node) for node in cluster.nodes], sysctls(cluster))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


def switch(lab: Lab, folder: Path, **options: t.Any) -> Run:
    return lab.playbook(
        "playbooks/switch_to_nftables.yml",
        switch_strategy="rolling",
        switch_override=["foreign_virtual_servers"],
        switch_snapshot_dir=str(folder),
        **options,
    )


def restore(lab: Lab, snapshot: Path | str, **options: t.Any) -> Run:
    return lab.playbook("playbooks/restore.yml", restore_from=str(snapshot), **options)


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def rules(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("-A")]


def test_a_switch_keeps_what_there_was(lab: Lab, cluster: Cluster, before: Before, folder: Path) -> None:
    shown = succeeded(switch(lab, folder, check=True))
    assert (kept(folder), shown.changed != []) == ([], True)
    saves = {node.name: node.run("iptables-save; ip6tables-save") for node in cluster.nodes}
    run = succeeded(switch(lab, folder))
    (snapshot,) = kept(folder)
    files = {one.name: stat.S_IMODE(one.stat().st_mode) for one in snapshot.iterdir()}
    assert files == {"cluster.json": 0o600, "cp1.json": 0o600, "w1.json": 0o600}
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o700
    assert not KEEPING & {one.partition(" : ")[2] for one in run.changed}
    held = json.loads((snapshot / "cluster.json").read_text(encoding="utf-8"))
    assert held["config_map"]["data"]["config.conf"] == before.config
    assert held["daemon_set"]["spec"]["template"]["spec"]["containers"][0]["image"] == before.image
    assert held["cluster"] == cluster.get("namespace", "kube-system")["metadata"]["uid"]
    for name, saved in saves.items():
        node = json.loads((snapshot / f"{name}.json").read_text(encoding="utf-8"))
        texts = [one["text"] for one in node["iptables"] if one["backend"] == "nft"]
        assert rules("".join(texts)) == rules(saved)
        assert [(one["address"], one["port"]) for one in node["foreign_virtual_servers"]] == [("198.18.0.9", 6443)]
        assert [one["members"] for one in node["ipsets"] if one["name"] == "MY-SET"] == [["192.0.2.7"]]
        assert "table inet mine" in "".join(one["text"] for one in node["nft"])
        assert (node["node_name"], node["unread"]) == (name, [])


def test_what_kube_proxys_start_removed_is_there_again_and_named(
    lab: Lab, cluster: Cluster, before: Before, folder: Path
) -> None:
    assert [mine(node) for node in cluster.nodes] == before.mine
    assert modes(cluster) == dict.fromkeys(NAMES, "nftables")
    # The check says of each node that it will not last.
    assert [kinds(wrong(verdict(cluster, node))) for node in cluster.nodes] == [{"foreign_virtual_server"}] * 2
    again = succeeded(switch(lab, folder))
    assert (again.changed, len(kept(folder))) == ([], 1)
    cluster.restart_kube_proxy()
    cluster.wait_for_mode("nftables")
    for node in cluster.nodes:
        node.wait("kube-proxy to have emptied IPVS", f"! ipvsadm -Sn | grep -F {SERVER}")


def test_check_mode_shows_all_and_changes_nothing(lab: Lab, cluster: Cluster, folder: Path) -> None:
    cluster.set_mode_text("nftables", "ipvs")
    cluster.nodes[1].run(LOSE.partition(";")[2])
    (snapshot,) = kept(folder)
    state = states(cluster)
    run = succeeded(restore(lab, snapshot, check=True, diff=True))
    assert states(cluster) == state
    assert run.changed
    for words in (
        "-mode: ipvs",
        "+mode: iptables",
        "kube-proxy on w1 starts anew, in iptables mode",
        f"-{ARP} = 1",
        f"+{ARP} = 0",
        f"+-A -t {SERVER} -s wlc",
        "- iptables-nft -t nat -N MY-CHAIN",
        "- iptables-nft -t nat -A MY-CHAIN -s 10.9.0.0/16 -j RETURN",
    ):
        assert words in run.output, f"{words}: {run.output}"


def test_it_goes_back_and_shows_what_it_leaves_to_people(
    lab: Lab, cluster: Cluster, before: Before, folder: Path
) -> None:
    (snapshot,) = kept(folder)
    run = succeeded(restore(lab, snapshot))
    assert kube_proxy(cluster) == (before.config, before.image)
    assert sysctls(cluster) == before.sysctls
    worker = cluster.nodes[1]
    assert "MY-CHAIN" not in worker.run("iptables-save -t nat")
    shown = [line for one in run.results if "Show what else" in one.task for line in one.result["msg"]]
    for command in [line[2:] for line in shown if line.startswith("- iptables-nft") and "MY-CHAIN" in line]:
        worker.run(command)
    is_right(cluster, "iptables", [sorted(lines) for lines in before.mine], sorted)


def test_again_it_changes_nothing(lab: Lab, folder: Path) -> None:
    assert succeeded(restore(lab, kept(folder)[0])).changed == []


def test_what_cannot_be_meant_is_refused(lab: Lab, cluster: Cluster, folder: Path) -> None:
    (snapshot,) = kept(folder)
    state = states(cluster)
    nothing = restore(lab, "", switch_snapshot_dir=str(folder))
    assert any(str(snapshot) in one for one in nothing.failures), nothing.output
    other = folder.parent / "other"
    other.mkdir()
    text = (snapshot / "cluster.json").read_text(encoding="utf-8")
    (other / "cluster.json").write_text(json.dumps({**json.loads(text), "cluster": "another"}), encoding="utf-8")
    wrong = restore(lab, other)
    assert any("the snapshot of another cluster; nothing was changed" in one for one in wrong.failures), wrong.output
    assert states(cluster) == state


def test_in_the_middle_of_a_switch_it_waits_for_the_way_back(
    lab: Lab, cluster: Cluster, before: Before, folder: Path
) -> None:
    run = switch(lab, folder, at=("Have what other modes left removed", killed))
    assert run.rc == -9, run.output
    first, second = kept(folder)
    assert modes(cluster)["w1"] == "nftables"
    refused = restore(lab, first)
    assert any("A switch node by node is under way; nothing was changed" in one for one in refused.failures), (
        refused.output
    )
    # The run that goes on, or back, keeps nothing: what it would see has lost something already.
    succeeded(switch(lab, folder, switch_action="rollback"))
    assert (kept(folder), procedure(cluster)) == ([first, second], [])
    assert succeeded(restore(lab, second)).changed
    is_right(cluster, "iptables", [sorted(lines) for lines in before.mine], sorted)
    assert succeeded(restore(lab, second)).changed == []
