# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job: a three-node cluster made in iptables mode, moved to IPVS as the README says, proven to be there."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import jsonschema
import pytest

from tests.labkit import ROOT, Lab, Run, as_typed, succeeded, wait_for
from tests.labkit.api_account import may, reader, requests_counted
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import ADVICE as EVER
from tests.labkit.load import load
from tests.labkit.reports import CHECK, check
from tests.labkit.state import state_of
from tests.labkit.tutorial import KUBE_SVC, Tutorial

LAB = Lab("kubelab-e2e", ("--workers", "2"))
NAMES = ("cp1", "w1", "w2")
CREATE = "playbooks/create_cluster.yml"
SWITCH = "switch-to-ipvs.yml"
ADVICE = EVER["ipvs"]
FILES = {
    "Have the report as JSON on the controller",
    "Have the report as JUnit XML on the controller",
    "Have the node's metrics for node_exporter",
}
# What the account of the role check must not be able to do, in the words of kubectl auth can-i.
FORBIDDEN = (
    "get secrets -A",
    "list secrets -A",
    "list configmaps -n kube-system",
    "get configmaps/kubeadm-config -n kube-system",
    "list pods -A",
    "get pods --subresource=log -n kube-system",
    "watch services -A",
    *(f"{verb} {one} -A" for verb in ("create", "update", "patch", "delete") for one in ("services", "pods", "nodes")),
    "update configmaps/kube-proxy -n kube-system",
    "patch daemonsets.apps/kube-proxy -n kube-system",
    "create pods --subresource=exec -n kube-system",
    "create serviceaccounts --subresource=token -n kube-system",
)
PERMITTED = ("list services -A", "list endpointslices.discovery.k8s.io -A", "get configmaps/kube-proxy -n kube-system")
# Read once for all nodes of a check, whatever their number.
LISTS = (
    "/api/v1/services",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/networking.k8s.io/v1/servicecidrs",
    "/api/v1/namespaces/kube-system/pods",
)
# By kube_proxy_mode, too.
READ_TWICE = ("/api/v1/nodes", "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy")
# By kube_proxy_mode twice: to know whose it is, and to plan from.
CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return Cluster(lab, NAMES)


@pytest.fixture(scope="module")
def tutorial(cluster: Cluster) -> Tutorial:
    return Tutorial(cluster, print)


def measured(run: Run) -> dict[str, t.Any]:
    return {"seconds": round(run.seconds), "tasks": run.tasks, "changed": len(run.changed)}


def configured(cluster: Cluster) -> str:
    text: str = cluster.get("configmap", "-n", "kube-system", "kube-proxy")["data"]["config.conf"]
    return text


def write_config(cluster: Cluster, text: str) -> None:
    config_map = cluster.get("configmap", "-n", "kube-system", "kube-proxy")
    config_map["data"]["config.conf"] = text
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(config_map))


def states(cluster: Cluster) -> list[str]:
    """What check mode may not change: every node, and what the API holds of kube-proxy."""
    config_map = cluster.get("configmap", "-n", "kube-system", "kube-proxy")
    pods = sorted(p["metadata"]["uid"] for p in cluster.kube_proxy_pods())
    return [state_of(node) for node in cluster.nodes] + [json.dumps(config_map), json.dumps(pods)]


def test_a_cluster_is_made_of_bare_nodes(lab: Lab, cluster: Cluster, figures: dict[str, t.Any]) -> None:
    figures["create_cluster, first run"] = measured(succeeded(lab.playbook(CREATE)))
    nodes = cluster.get("nodes")["items"]
    assert sorted(n["metadata"]["name"] for n in nodes) == sorted(NAMES)
    for node in nodes:
        ready = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert ready["Ready"] == "True"


def test_the_second_card_is_the_node(cluster: Cluster) -> None:
    for node in cluster.get("nodes")["items"]:
        internal = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        assert [a.startswith("10.34.0.") for a in internal] == [True], internal
    arguments = cluster.control_plane.run("cat /etc/kubernetes/manifests/kube-apiserver.yaml")
    assert "--advertise-address=10.34.0." in arguments


def test_making_it_again_changes_nothing(lab: Lab, figures: dict[str, t.Any]) -> None:
    run = succeeded(lab.playbook(CREATE))
    figures["create_cluster, second run"] = measured(run)
    assert run.changed == []


def test_check_passes_in_iptables_mode(cluster: Cluster, tmp_path: Path) -> None:
    cluster.wait_for_mode("iptables")
    found = check(cluster, tmp_path)
    succeeded(found.run)
    # The files are new, and nothing else.
    assert {name.rpartition(" : ")[2] for name in found.run.changed} == FILES
    assert found.groups == [("iptables", "iptables", ["iptables"], list(NAMES))]
    for name in NAMES:
        assert re.search(rf"- {name} +iptables +iptables +iptables ", found.run.output), found.run.output


def test_the_tutorial_starts_with_an_empty_mode(tutorial: Tutorial) -> None:
    tutorial.start()


def test_tutorial_1_chains(tutorial: Tutorial) -> None:
    tutorial.point_1_iptables_chains()


def test_tutorial_1_masquerade(tutorial: Tutorial) -> None:
    tutorial.point_1_masquerade()


def test_a_service_without_endpoints_leaves_reject_rules(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.wait("the REJECT rule of lateservice", "iptables-save -t filter | grep 'lateservice.*has no endpoints'")


def test_check_mode_before_changes_nothing(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    run = succeeded(lab.playbook(SWITCH, check=True, diff=True))
    assert re.search(r"- CLUSTER +iptables->ipvs", run.output), run.output
    assert re.search(r"~ restart kube-proxy", run.output), run.output
    assert run.changed, "check mode predicts nothing"
    assert re.search(r"^\+\s*mode: \"?ipvs", run.output, re.MULTILINE), run.output
    assert states(cluster) == before


def test_a_node_outside_the_play_stops_it(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    run = lab.playbook(SWITCH, arguments=["--limit", "cp1,w1"])
    assert run.rc != 0
    assert any("w2" in f and "no host of the play" in f and "switch_absent_nodes" in f for f in run.failures), (
        run.output
    )
    assert states(cluster) == before


def test_a_foreign_virtual_server_stops_it(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    node = cluster.nodes[1]
    node.run("ipvsadm -A -t 203.0.113.9:6443 -s rr && ipvsadm -a -t 203.0.113.9:6443 -r 203.0.113.10:6443 -m")
    try:
        report = tmp_path / "preflight.json"
        run = lab.playbook(SWITCH, switch_report_file=as_typed(report))
        assert run.rc != 0
        found = json.loads(report.read_text(encoding="utf-8"))
        jsonschema.validate(found, json.loads((ROOT / "docs" / "preflight.schema.json").read_text(encoding="utf-8")))
        assert {row["node"]: row["passed"] for row in found["nodes"]} == {"cp1": True, "w1": False, "w2": True}
        assert any("203.0.113.9" in f and "excludeCIDRs" in f for f in run.failures), run.output
        assert "203.0.113.9:6443" in node.run("ipvsadm -Sn")
        assert 'mode: ""' in cluster.get("configmap", "-n", "kube-system", "kube-proxy")["data"]["config.conf"]
    finally:
        node.run("ipvsadm -D -t 203.0.113.9:6443")


def test_a_module_that_cannot_load_stops_it(lab: Lab, cluster: Cluster) -> None:
    run = lab.playbook(SWITCH, switch_settings={"ipvs": {"scheduler": "wrr"}}, switch_mode="userspace")
    assert run.rc != 0
    assert any("userspace" in f and "ipvs" in f for f in run.failures), run.output
    node = cluster.nodes[1]
    node.run("echo 'install ip_vs_sh /bin/true' > /etc/modprobe.d/forbidden.conf; modprobe -r ip_vs_sh")
    try:
        run = lab.playbook(SWITCH)
        assert run.rc != 0
        assert any("ip_vs_sh" in f and "/etc/modprobe.d/forbidden.conf" in f for f in run.failures), run.output
        assert 'mode: ""' in cluster.get("configmap", "-n", "kube-system", "kube-proxy")["data"]["config.conf"]
    finally:
        node.run("rm /etc/modprobe.d/forbidden.conf")


@pytest.mark.proof
def test_requests_while_nothing_changes(
    lab: Lab, cluster: Cluster, tutorial: Tutorial, figures: dict[str, t.Any]
) -> None:
    """What the machine itself loses while Ansible works on the nodes, to hold the switch against."""
    with load(cluster, cluster.nodes[1], f"{tutorial.address()}:80", rate=50) as requests:
        succeeded(lab.playbook(SWITCH, check=True))
    figures["requests during check mode"] = requests.values
    assert requests.values["sent"] > 500, requests.values


def test_the_switch(lab: Lab, cluster: Cluster, tutorial: Tutorial, figures: dict[str, t.Any]) -> None:
    with load(cluster, cluster.nodes[1], f"{tutorial.address()}:80", rate=50) as requests:
        run = succeeded(lab.playbook(SWITCH, diff=True))
    figures["switch-to-ipvs.yml, first run"] = measured(run)
    figures["requests during the switch"] = requests.values
    tutorial.point_4_switched(run)
    assert requests.values["sent"] > 500, requests.values


def test_tutorial_3_modules(tutorial: Tutorial) -> None:
    tutorial.point_3_modules()


def test_tutorial_5_ipvs(tutorial: Tutorial) -> None:
    tutorial.point_5_ipvs()


def test_nothing_of_iptables_mode_is_left(cluster: Cluster) -> None:
    """Facts 4.6 and issue 102314 of Kubernetes: looked at with the node's own tools, both families."""
    gone = ("KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-CANARY", "kubernetes load balancer firewall")
    for node in cluster.nodes:
        for tool in ("iptables-save", "ip6tables-save"):
            rules = node.run(tool)
            assert KUBE_SVC.search(rules) is None
            assert [name for name in gone if name in rules] == []
            assert ":KUBE-SERVICES" not in node.run(f"{tool} -t filter")
            assert ":KUBE-POSTROUTING" in rules
        assert ":KUBE-FIREWALL" in node.run("iptables-save")


def test_a_service_that_gets_endpoints_late_answers(cluster: Cluster, tutorial: Tutorial) -> None:
    pod = cluster.get("pods", "-l", "app=http")["items"][0]["metadata"]["name"]
    cluster.kubectl("label", "pod", pod, "late=yes")
    cluster.kubectl("patch", "service", "lateservice", "-p", '{"spec": {"selector": {"app": "http", "late": "yes"}}}')
    wait_for("endpoints of lateservice", lambda: cluster.endpoints("lateservice"))
    for node in cluster.nodes:
        node.wait("lateservice to answer", f"curl -s -f -m 5 http://{tutorial.address('lateservice')}/hostname")


def test_tutorial_6_node_port(tutorial: Tutorial) -> None:
    tutorial.point_6_node_port()


def test_a_load_balancer_address_is_served(cluster: Cluster) -> None:
    cluster.kubectl("patch", "service", "httpservice", "-p", '{"spec": {"type": "LoadBalancer"}}')
    status = '{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.80"}]}}}'
    cluster.kubectl("patch", "service", "httpservice", "--subresource=status", "--type=merge", "-p", status)
    for node in cluster.nodes:
        node.wait("its virtual server", "ipvsadm -Ln | grep '203.0.113.80:80 rr'")
        node.wait("its address", "ip -br address show kube-ipvs0 | grep 203.0.113.80/32")
        node.wait("an answer", "curl -s -f -m 5 http://203.0.113.80/hostname")


def test_every_pod_reaches_the_service_in_every_way(cluster: Cluster, tutorial: Tutorial) -> None:
    port = cluster.service("httpservice")["spec"]["ports"][0]["nodePort"]
    for node in cluster.nodes:
        own = node.run("ip -4 -j address show vec1 | jq -r '.[0].addr_info[0].local'").strip()
        for host in ("httpservice", "httpservice.default.svc.cluster.local", tutorial.address(), f"{own}:{port}"):
            name = cluster.from_pod(node, f"curl -s -m 20 http://{host}/hostname")
            assert name.startswith("http-"), f"a pod on {node.name} got {name!r} from {host}"


def test_flushing_nat_does_not_break_it(tutorial: Tutorial) -> None:
    tutorial.point_5_flush()


def test_check_passes(lab: Lab, figures: dict[str, t.Any]) -> None:
    run = succeeded(lab.playbook(CHECK))
    figures["check.yml"] = measured(run)
    assert run.changed == []


def test_switching_again_changes_nothing(lab: Lab, cluster: Cluster, figures: dict[str, t.Any]) -> None:
    before = states(cluster)
    run = succeeded(lab.playbook(SWITCH))
    figures["switch-to-ipvs.yml, second run"] = measured(run)
    assert run.changed == []
    assert states(cluster) == before


def test_the_api_side_works_on_the_controller(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    """With a kubeconfig and no help from a control-plane host; the check with an account that may only read."""
    kubeconfig = tmp_path / "admin.conf"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(cluster.control_plane.run("cat /etc/kubernetes/admin.conf"), encoding="utf-8")
    path = str(kubeconfig)
    switched = succeeded(lab.playbook(SWITCH, inside=True, switch_api_host="localhost", switch_kubeconfig=path))
    account = str(reader(cluster, tmp_path))
    told = may(cluster, (*FORBIDDEN, *PERMITTED))
    assert [one for one in FORBIDDEN if told[one] != "no"] == []
    assert [one for one in PERMITTED if told[one] != "yes"] == []
    checked = succeeded(lab.playbook(CHECK, inside=True, check_api_host="localhost", check_kubeconfig=account))
    assert switched.changed + checked.changed == []
    for name in NAMES:
        assert re.search(rf"- {name} +ipvs +ipvs +ipvs ", checked.output), checked.output


def test_an_account_that_may_not_read_all_is_told_what_it_lacks(cluster: Cluster) -> None:
    """The rights are those of the test before."""
    config = {"kubeconfig": "/root/check/check.conf"}
    taken = '[{"op": "replace", "path": "/rules/0/resources", "value": ["nodes"]}]'
    cluster.kubectl("patch", "clusterrole", "kube-proxy-check", "--type=json", "-p", taken)
    try:
        words = cluster.control_plane.module_fails("cluster_services_info", config)
    finally:
        cluster.kubectl("delete", "-f", "/root/check/roles/check/files/reader.yml")
    assert "Could not read the Services" in words
    assert 'User "system:serviceaccount:kube-system:kube-proxy-check" cannot list resource "services"' in words
    assert "Give this user that right" in words


@pytest.mark.proof
def test_the_api_is_asked_once_however_many_nodes_there_are(cluster: Cluster, tmp_path: Path) -> None:
    with requests_counted(cluster) as (config, asked):
        succeeded(check(cluster, tmp_path, limit=["w1"], check_kubeconfig=config).run)
        of_one = asked()
        succeeded(check(cluster, tmp_path, check_kubeconfig=config).run)
        of_three = asked()
    assert of_three == of_one
    assert of_one == {**dict.fromkeys(LISTS, 1), **dict.fromkeys(READ_TWICE, 2), CONFIG_MAP: 3, "/version": 1}


@pytest.mark.proof
def test_check_mode_after_changes_nothing(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    for playbook in (SWITCH, CHECK, CREATE):
        run = lab.playbook(playbook, check=True, diff=True, cluster_proxy_mode="ipvs")
        assert run.rc == 0, run.output
        assert run.changed == []
    assert states(cluster) == before


@pytest.mark.proof
def test_the_role_cluster_never_switches(lab: Lab, cluster: Cluster) -> None:
    run = lab.playbook(CREATE)
    assert run.rc != 0
    assert any("does not switch a running cluster" in f for f in run.failures), run.output
    cluster.wait_for_mode("ipvs")


@pytest.mark.parametrize(
    ("damage", "kind", "services"),
    [
        pytest.param("ipvsadm -D -t {address}:80", "vip_missing", [], marks=pytest.mark.proof),
        (
            "ip address del {address}/32 dev kube-ipvs0; ipvsadm -D -u {dns}:53",
            "address_missing",
            ["default/httpservice"],
        ),
        pytest.param("ipvsadm -A -t {address}:81 -s rr", "vip_dead", [], marks=pytest.mark.proof),
    ],
)
def test_check_says_what_is_wrong(
    cluster: Cluster, tutorial: Tutorial, tmp_path: Path, damage: str, kind: str, services: list[str]
) -> None:
    """kube-proxy repairs some of it at its next sync: it is held still, so that what is seen is the damage. That is an error too."""
    node, address = cluster.nodes[2], tutorial.address()
    dns = cluster.service("kube-dns", "kube-system")["spec"]["clusterIP"]
    with node.held_still("kube-proxy"):
        node.run(damage.format(address=address, dns=dns))
        found = check(cluster, tmp_path, limit=["cp1", "w2"], check_services=services)
    whole = f"ip address show dev kube-ipvs0 | grep -q {address}/32 && ipvsadm -Ln | grep -q {address}:80"
    repaired = f"ipvsadm -Ln | grep -q '^UDP *{dns}:53' && ! ipvsadm -Ln | grep -q {address}:81"
    node.wait("kube-proxy to have repaired it", f"{whole} && {repaired}")
    assert found.run.rc != 0, found.run.output
    assert any("kube_proxy_unreachable" in f for f in found.run.failures), found.run.output
    assert re.search(rf"(ERROR|WARNING) {kind} ", found.run.output), found.run.output
    assert found.report["services"] == services
    # One that is stopped does not tell which mode's objects are leftovers.
    assert found.kinds("w2") - ADVICE == {kind, "kube_proxy_unreachable", "unread"}
    assert found.kinds("cp1") - ADVICE == set()
    assert found.groups == [("ipvs", "ipvs", ["ipvs"], ["cp1"]), ("ipvs", None, ["ipvs"], ["w2"])]
    assert "Mixed modes" in found.run.output


@pytest.mark.proof
def test_check_says_what_another_mode_left(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    """Only a kube-proxy that says its mode tells what another one's is, and in ipvs mode it leaves a chain of iptables mode alone.
    Nothing leads to this one: good to know, and no failure."""
    node = cluster.nodes[2]
    node.run("iptables -t nat -N KUBE-SVC-AAAAAAAAAAAAAAAA")
    try:
        shown = succeeded(lab.playbook(CHECK))
        strict = check(cluster, tmp_path, check_fail_on="info").run
    finally:
        node.run("iptables -t nat -X KUBE-SVC-AAAAAAAAAAAAAAAA")
    assert re.search(r"INFO leftover iptables chains of iptables mode on w2\b", shown.output), shown.output
    assert any(f.startswith("w2 ") and "leftover" in f for f in strict.failures), strict.output


def test_a_changed_configmap_is_carried_to_the_nodes(lab: Lab, cluster: Cluster) -> None:
    """Somebody edits the ConfigMap and restarts nothing: check says so, and the switch sees that kube-proxy runs otherwise."""
    before = configured(cluster)
    assert 'scheduler: ""' in before, before
    write_config(cluster, before.replace('scheduler: ""', "scheduler: wrr"))
    run = lab.playbook(CHECK, check_fail_on="warning")
    assert run.rc != 0
    assert "WARNING setting_not_loaded ipvs.scheduler" in run.output, run.output
    assert any("scheduler_wrong" in f for f in run.failures), run.output
    run = succeeded(lab.playbook(SWITCH))
    assert any("restarted" in name for name in run.changed), run.changed
    for node in cluster.nodes:
        assert " wrr" in node.run("ipvsadm -Ln")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"switch_kubeconfig": "/nonexistent/admin.conf"}, ["/nonexistent/admin.conf", "kubeconfig"]),
        ({"switch_settings": {"ipvs": {"scheduler": "roundrobin"}}}, ["roundrobin", "scheduler"]),
        ({"switch_settings": {"ipvs": {"sheduler": "rr"}}}, ["sheduler"]),
        ({"switch_strategy": "hasty"}, ["switch_strategy", "fast"]),
    ],
)
def test_wrong_input_is_refused(lab: Lab, cluster: Cluster, variables: dict[str, t.Any], words: list[str]) -> None:
    before = configured(cluster)
    run = lab.playbook(SWITCH, **variables)
    assert run.rc != 0
    assert any(all(word in f for word in words) for f in run.failures), run.output
    assert configured(cluster) == before


def test_an_unreachable_api_is_named(lab: Lab, cluster: Cluster) -> None:
    cluster.control_plane.run("sed 's/:6443/:6444/' /etc/kubernetes/admin.conf > /root/closed.conf")
    run = lab.playbook(SWITCH, switch_kubeconfig="/root/closed.conf")
    assert run.rc != 0
    assert any(":6444" in f and "refused" in f for f in run.failures), run.output


def test_an_invalid_configmap_is_named_and_kept(lab: Lab, cluster: Cluster) -> None:
    good = configured(cluster)
    broken = good + "\n  mode: [unclosed\n"
    write_config(cluster, broken)
    try:
        run = lab.playbook(SWITCH)
        assert run.rc != 0
        assert any("config.conf" in f and "YAML" in f for f in run.failures), run.output
        assert configured(cluster) == broken
    finally:
        write_config(cluster, good)


def test_a_missing_configmap_is_named(lab: Lab, cluster: Cluster) -> None:
    config_map = cluster.get("configmap", "-n", "kube-system", "kube-proxy")
    for key in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
        config_map["metadata"].pop(key, None)
    cluster.kubectl("delete", "configmap", "-n", "kube-system", "kube-proxy")
    try:
        run = lab.playbook(SWITCH)
        assert run.rc != 0
        assert any("kube-system/kube-proxy" in f for f in run.failures), run.output
    finally:
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(config_map))


@pytest.mark.proof
def test_a_kube_proxy_that_never_gets_ready_stops_the_run(lab: Lab, cluster: Cluster) -> None:
    """The image of the DaemonSet is one that no node has; OnDelete keeps the other nodes' pods out of it."""
    daemon_set = cluster.get("daemonset", "-n", "kube-system", "kube-proxy")
    image = daemon_set["spec"]["template"]["spec"]["containers"][0]["image"]
    pods = {p["spec"]["nodeName"]: p["metadata"]["uid"] for p in cluster.kube_proxy_pods()}
    cluster.kubectl(
        "patch", "daemonset", "-n", "kube-system", "kube-proxy", "-p", _strategy("OnDelete", image + "-broken")
    )
    try:
        run = lab.playbook(SWITCH, switch_settings={"ipvs": {"scheduler": "rr"}}, switch_wait_seconds=40)
        assert run.rc != 0
        assert any("not Ready" in f and "40 s" in f for f in run.failures), run.output
        kept = {p["spec"]["nodeName"]: p["metadata"]["uid"] for p in cluster.kube_proxy_pods()}
        assert len({name for name in pods if kept.get(name) != pods[name]}) == 1, "more than one node was touched"
    finally:
        cluster.kubectl(
            "patch", "daemonset", "-n", "kube-system", "kube-proxy", "-p", _strategy("RollingUpdate", image)
        )
    run = succeeded(lab.playbook(SWITCH, switch_settings={"ipvs": {"scheduler": "rr"}}))
    assert any("restarted" in name for name in run.changed), "the interrupted run was not finished by the next"
    succeeded(lab.playbook(CHECK))


def _strategy(kind: str, image: str) -> str:
    update = {"type": kind, **({"rollingUpdate": None} if kind == "OnDelete" else {})}
    containers = [{"name": "kube-proxy", "image": image}]
    return json.dumps({"spec": {"updateStrategy": update, "template": {"spec": {"containers": containers}}}})
