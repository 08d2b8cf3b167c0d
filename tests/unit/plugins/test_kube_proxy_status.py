# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy says about itself. Expected values: kube-proxy's source (metrics.go, proxy_health.go, types.go, defaults.go)."""

from __future__ import annotations

import http.server
import ipaddress
import json
import socket
import struct
import threading
import typing as t
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_status as status
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_status_cert as cert
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_status_gather as gather
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_status_http as web
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_status_link as link
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_status_read as node
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Answer, Endpoint
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_report import Wanted, ask, report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kube_proxy"
START = "process_start_time_seconds 1.79534699947e+09\n"
BUILD = (
    'kubernetes_build_info{build_date="2026-11-01T00:00:00Z",git_commit="",git_tree_state="",git_version="v1.37.2",'
    'go_version="go1.26.1",major="1",minor="37",platform="linux/amd64"} 1\n'
)
OTHER = "# HELP kubeproxy_sync_proxy_rules_service_changes_total [ALPHA] x\nkubeproxy_sync_proxy_rules_service_changes_total 4\n"


def gauge(name: str, **families: float) -> str:
    return "".join(
        f'kubeproxy_sync_proxy_rules_last_{name}_seconds{{ip_family="{family}"}} {value:.9e}\n'
        for family, value in families.items()
    )


def sync(text: str, health: t.Sequence[str] = (), required: t.Sequence[str] = ()) -> status.Sync:
    return status.read_sync(status.parse_metrics(text), health, required)


AFTER, BEFORE = 1.795347100e9, 1.795346000e9


@pytest.mark.parametrize(
    ("text", "synced"),
    [
        (gauge("timestamp", IPv4=AFTER, IPv6=AFTER), True),
        (gauge("timestamp", IPv4=AFTER), True),
        # dual stack is queued for both before the first sync of either
        (gauge("queued_timestamp", IPv4=AFTER, IPv6=AFTER) + gauge("timestamp", IPv4=AFTER), False),
        (gauge("timestamp", IPv4=AFTER, IPv6=0), False),
        (gauge("timestamp", IPv4=BEFORE), False),
        ("", False),
        (f"kubeproxy_sync_proxy_rules_last_timestamp_seconds {AFTER:e}\n", True),
        ("kubeproxy_sync_proxy_rules_last_timestamp_seconds 0\n", False),
        (gauge("timestamp", IPv4=AFTER).replace(f"{AFTER:.9e}", "NaN"), False),
    ],
)
def test_synced(text: str, synced: bool) -> None:
    assert sync(START + OTHER + text).synced is synced


def test_synced_is_unknown_where_metrics_do_not_tell() -> None:
    assert sync("").synced is None
    assert sync(OTHER + gauge("timestamp", IPv4=AFTER)).synced is None
    assert sync("# somebody else\n" + START + "http_requests_total 4\n").synced is None


def test_families_by_health_or_by_the_caller() -> None:
    text = START + OTHER + gauge("timestamp", IPv4=AFTER)
    assert sync(text, health=("ipv4", "ipv6")).synced is False
    assert sync(text, health=("ipv4", "ipv6"), required=("ipv4",)).synced is True
    assert sync(text, required=("ipv6",)).synced is False
    assert sync(text, health=("ipv4", "ipv6")).last_sync == {"ipv4": AFTER, "ipv6": None}


def test_version_and_start() -> None:
    found = sync(BUILD + START)
    assert found.version == "v1.37.2"
    assert found.process_start_time == 1795346999.47


def test_the_text_format_of_prometheus() -> None:
    text = 'kubernetes_build_info{a="q\\"uo}te",b="back\\\\slash",c="new\\nline"} 1 1395066363000\nkubernetes_build_info nonsense here it is\n'
    (sample,) = status.parse_metrics(text)
    assert sample.labels == {"a": 'q"uo}te', "b": "back\\slash", "c": "new\nline"}
    assert sample.value == 1


# Names and labels: pkg/proxy/metrics/metrics.go of 1.37; the format of counters: prometheus text format 0.0.4.
FAILURES = """\
# HELP kubeproxy_sync_proxy_rules_iptables_restore_failures_total [ALPHA] Cumulative proxy iptables restore failures
# TYPE kubeproxy_sync_proxy_rules_iptables_restore_failures_total counter
kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 3
kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv6"} 1.2e+01
kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1
kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total{ip_family="IPv4"} 2
"""


def test_failures() -> None:
    assert status.read_failures(status.parse_metrics(OTHER + FAILURES)) == {
        "iptables_restore_failures": {"ipv4": 3, "ipv6": 12},
        "iptables_partial_restore_failures": {"ipv4": 1},
        "nftables_localhost_nodeport_listener_creation_failures": {"ipv4": 2},
    }
    assert status.read_failures(status.parse_metrics(OTHER)) == {}
    # releases before 1.33 have one counter for both families
    unlabelled = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total 4\n"
    assert status.read_failures(status.parse_metrics(unlabelled)) == {"nftables_sync_failures": {"all": 4}}


def test_failures_are_unknown_where_metrics_do_not_tell() -> None:
    assert report(ask(None, None, web.get), Wanted())["failures"] is None
    assert report(ask(METRICS, None, served()), Wanted())["failures"] == {}
    found = report(ask(METRICS, None, served(metrics=START + OTHER + FAILURES)), Wanted())["failures"]
    assert found["iptables_restore_failures"] == {"ipv4": 3, "ipv6": 12}
    assert report(ask(METRICS, None, served(metrics="# somebody else\n")), Wanted())["failures"] is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    status.read_failures(status.parse_metrics(f"kubeproxy_sync_proxy_rules_iptables_restore_failures_total{text}"))
    status.parse_metrics(text)
    status.parse_metrics(f"kubeproxy_sync_proxy_rules_last_timestamp_seconds{text}")
    status.parse_mode(text)
    status.parse_mapping(text)


@pytest.mark.parametrize(("text", "mode"), [("ipvs", "ipvs"), ("iptables\n", "iptables"), ("<html>", None), ("", None)])
def test_modes(text: str, mode: str | None) -> None:
    assert status.parse_mode(text) == mode


HEALTH = json.dumps(
    {
        "lastUpdated": "2026-11-22T20:00:00Z",
        "currentTime": "2026-11-22T20:00:00Z",
        "nodeEligible": True,
        "healthy": True,
        "status": {"IPv4": {"lastUpdated": "2026-11-22T20:00:00Z", "healthy": True}, "IPv6": {"healthy": True}},
    }
)
CONFIGZ = json.dumps(
    {"kubeproxy.config.k8s.io": {"kind": "KubeProxyConfiguration", "mode": "ipvs", "ipvs": {"scheduler": "rr"}}}
)


def served(**replaced: t.Any) -> web.Get:
    bodies = {
        "proxyMode": "ipvs",
        "metrics": BUILD + START + OTHER + gauge("timestamp", IPv4=AFTER, IPv6=AFTER),
        "configz": CONFIGZ,
    }
    bodies.update({"healthz": HEALTH, "livez": HEALTH, **replaced})

    def get(endpoint: Endpoint, path: str) -> Answer:
        body = bodies[path[1:]]
        return body if isinstance(body, Answer) else Answer(f"http://{endpoint}{path}", 200, body)

    return get


METRICS, HEALTHZ = Endpoint("127.0.0.1", 10249), Endpoint("127.0.0.1", 10256)


def test_report_of_a_running_kube_proxy() -> None:
    found = report(ask(METRICS, HEALTHZ, served()), Wanted("ipvs", {"ipvs": {"scheduler": "wrr"}}))
    assert (found["reachable"], found["problems"], found["running_mode"], found["synced"]) == (True, [], "ipvs", True)
    assert found["version"] == "v1.37.2"
    assert found["last_sync"] == {"ipv4": AFTER, "ipv6": AFTER}
    assert found["health"]["healthz"]["ok"] is True
    assert found["differences"] == [{"field": "ipvs.scheduler", "wanted": "wrr", "running": "rr"}]


def recorded(mode: str) -> web.Get:
    def get(endpoint: Endpoint, path: str) -> Answer:
        name = path[1:]
        file = {"metrics": f"metrics-1.37.2-{mode}.txt", "configz": f"configz-1.37.2-{mode}.json"}.get(name)
        body = mode if name == "proxyMode" else (FIXTURES / (file or f"{name}-1.37.2-iptables.json")).read_text()
        return Answer(f"http://{endpoint}{path}", 200, body)

    return get


def test_report_of_a_real_kube_proxy() -> None:
    found = report(ask(METRICS, HEALTHZ, recorded("iptables")), Wanted("ipvs", {"ipvs": {"scheduler": "wrr"}}))
    assert (found["version"], found["running_mode"], found["synced"]) == ("v1.37.2", "iptables", True)
    assert found["process_start_time"] == 1795378660.73
    assert found["last_sync"] == {"ipv4": 1795378690.846561, "ipv6": 1795378691.7502115}
    assert found["health"]["healthz"]["answer"]["nodeEligible"] is True
    assert [item["field"] for item in found["differences"]] == ["ipvs.scheduler", "mode"]


def test_report_of_a_real_kube_proxy_in_ipvs_mode() -> None:
    wanted = Wanted("ipvs", {"ipvs": {"scheduler": "rr", "syncPeriod": "0s"}, "iptables": {"syncPeriod": "10s"}})
    found = report(ask(METRICS, HEALTHZ, recorded("ipvs")), wanted)
    assert (found["running_mode"], found["synced"], found["differences"]) == ("ipvs", True, [])
    assert set(found["last_sync"]) == {"ipv4", "ipv6"}


def test_report_when_nobody_answers() -> None:
    asked: list[str] = []

    def refuse(endpoint: Endpoint, path: str) -> Answer:
        asked.append(path)
        return Answer(f"http://{endpoint}{path}", error="Connection refused")

    found = report(ask(METRICS, HEALTHZ, refuse), Wanted("ipvs", {}))
    assert asked == ["/proxyMode", "/healthz"]
    assert found["reachable"] is False
    assert found["problems"] == [
        "GET http://127.0.0.1:10249/proxyMode: Connection refused",
        "GET http://127.0.0.1:10256/healthz: Connection refused",
    ]
    assert (found["running_mode"], found["synced"], found["configz"], found["differences"]) == (None, None, None, [])
    assert found["health"]["healthz"] == {"ok": False, "status": None, "answer": None}


def test_report_with_metrics_off() -> None:
    found = report(ask(None, HEALTHZ, served()), Wanted())
    assert (found["reachable"], found["synced"], found["running_mode"]) == (False, None, None)
    assert found["problems"] == ["metrics are off (metrics_address is empty)"]
    assert found["health"]["livez"]["ok"] is True


def test_not_well_is_an_answer_and_a_stranger_is_a_problem() -> None:
    not_well = Answer("u", 503, json.dumps({"healthy": False}))
    found = report(
        ask(METRICS, HEALTHZ, served(healthz=not_well, proxyMode="<html>hello", configz=Answer("u", 404))), Wanted()
    )
    assert found["health"]["healthz"] == {"ok": False, "status": 503, "answer": {"healthy": False}}
    assert found["problems"] == [
        "GET http://127.0.0.1:10249/proxyMode: '<html>hello' is not a mode of kube-proxy",
        "GET u: status 404",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:10249", "127.0.0.1:10249"),
        ("0.0.0.0:10249", "127.0.0.1:10249"),
        ("[::]:10249", "[::1]:10249"),
        ("[fd00::5]:1", "[fd00::5]:1"),
        ("10.0.0.1", "10.0.0.1:10249"),
        ("fd00::5", "[fd00::5]:10249"),
        ("localhost:9", "localhost:9"),
        ("", "None"),
    ],
)
def test_endpoints(text: str, expected: str) -> None:
    assert str(web.parse_endpoint("metrics_address", text, 10249)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "http://127.0.0.1:10249",
        "[10.0.0.1:1",
        "[nonsense]:1",
        "a b:1",
        "1.2.3.4:x",
        ":1",
    ],
)
def test_bad_endpoints(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"metrics_address: .* is not an address with a port"):
        web.parse_endpoint("metrics_address", text, 10249)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/garbage":
            self.wfile.write(b"\x00\x01 not http\r\n")
            return
        self.send_response(503 if self.path == "/healthz" else 302 if self.path == "/away" else 200)
        self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()
        self.wfile.write(b"ipvs\xff")

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> t.Iterator[Endpoint]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Endpoint("127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def test_get_ignores_proxies_and_does_not_follow(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    assert web.get(endpoint, "/proxyMode") == Answer(f"http://{endpoint}/proxyMode", 200, "ipvs\ufffd")
    assert web.get(endpoint, "/healthz").status == 503
    assert web.get(endpoint, "/away").status == 302
    assert "not HTTP" in web.get(endpoint, "/garbage").error


def test_get_says_why_nobody_answered() -> None:
    assert web.get(Endpoint("127.0.0.1", 1), "/").problem == "GET http://127.0.0.1:1/: Connection refused"


@pytest.mark.parametrize(
    ("file", "name"),
    [("kubelet-client-ec.pem", "worker-1"), ("kubelet-client-rsa.pem", "node-7.example.org"), ("not-a-node.pem", None)],
)
def test_node_names(file: str, name: str | None) -> None:
    text = (FIXTURES / file).read_text()
    assert cert.node_name_in_pem("-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n" + text) == name


DER = cert.certificate_in_pem((FIXTURES / "kubelet-client-ec.pem").read_text())


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        ("", "no PEM certificate"),
        ("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----", "not base64"),
        ("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----", "ends too early"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----", "ends too early"),
        ("-----BEGIN CERTIFICATE-----\nMAMxAQA=\n-----END CERTIFICATE-----", "tag 0x31 where 0x30 should be"),
        ((FIXTURES / "no-common-name.pem").read_text(), "no common name"),
    ],
)
def test_bad_certificates(pem: str, words: str) -> None:
    with pytest.raises(cert.NotACertificate, match=words):
        cert.node_name_in_pem(pem)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255), st.integers(0, len(DER)))
def test_any_damage_is_our_own_error(position: int, byte: int, length: int) -> None:
    for damaged in (DER[:position] + bytes([byte]) + DER[position + 1 :], DER[:length]):
        try:
            cert.common_name(damaged)
        except cert.NotACertificate:
            pass


@given(st.binary())
def test_any_bytes_are_our_own_error(data: bytes) -> None:
    try:
        cert.common_name(data)
    except cert.NotACertificate:
        pass


KUBELET_CONF = """\
apiVersion: v1
users:
- name: default-auth
  user:
    client-certificate: /pki/client.pem
    client-key: /pki/client.pem
"""


def test_node_name_by_the_kubelets_files(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert node.read_node_name(files) is None
    (tmp_path / "etc/kubernetes").mkdir(parents=True)
    (tmp_path / "etc/kubernetes/kubelet.conf").write_text(KUBELET_CONF)
    assert node.read_node_name(files) is None
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki/client.pem").write_text((FIXTURES / "kubelet-client-rsa.pem").read_text())
    assert node.read_node_name(files) == "node-7.example.org"
    (tmp_path / "var/lib/kubelet/pki").mkdir(parents=True)
    (tmp_path / "var/lib/kubelet/pki/kubelet-client-current.pem").write_text(
        (FIXTURES / "kubelet-client-ec.pem").read_text()
    )
    assert node.read_node_name(files) == "worker-1"


def test_node_name_by_data_in_kubelet_conf(tmp_path: Path) -> None:
    import base64

    data = base64.b64encode((FIXTURES / "kubelet-client-ec.pem").read_bytes()).decode()
    (tmp_path / "etc/kubernetes").mkdir(parents=True)
    (tmp_path / "etc/kubernetes/kubelet.conf").write_text(f'users:\n- user:\n    client-certificate-data: "{data}"\n')
    assert node.read_node_name(Files(str(tmp_path))) == "worker-1"


def test_port_ranges() -> None:
    assert gather.parse_port_range("30000-32767") == range(30000, 32768)
    assert gather.parse_port_range(None) is None
    for text in ("", "30000", "32767-30000", "0-5", "1-65536", "a-b"):
        with pytest.raises(
            InvalidInput, match=r"node_port_range: .* is not a range of ports\. Write it as 30000-32767"
        ):
            gather.parse_port_range(text)


def nl(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def attr(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def address(index: int, text: str, scope: int = 0) -> bytes:
    value = ipaddress.ip_address(text).packed
    family = {4: socket.AF_INET, 16: socket.AF_INET6}[len(value)]
    local = attr(2, value) if family == socket.AF_INET else b""
    return nl(20, struct.pack("=BBBBi", family, 8 * len(value), 0x80, scope, index) + attr(1, value) + local)


LINK = nl(
    16, struct.pack("=BBHiII", 0, 0, 1, 7, 0, 0) + attr(3, b"kube-ipvs0\0") + attr(18 | 0x8000, attr(1, b"dummy\0"))
)
DONE = nl(3, struct.pack("=i", 0))
ADDRESSES = address(7, "10.96.0.1") + address(1, "127.0.0.1") + address(7, "fe80::1", 253) + address(7, "fd00:10:96::a")


class FakeSocket:
    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)

    def send(self, data: bytes, /) -> int:
        return len(data)

    def recv(self, bufsize: int, /) -> bytes:
        assert bufsize >= 1 << 15
        return self.replies.pop(0)

    def close(self) -> None:
        pass


def test_a_devices_kind_and_addresses() -> None:
    found = link.read_link("kube-ipvs0", 7, lambda: FakeSocket(LINK, ADDRESSES, DONE))
    assert found == ("dummy", ["10.96.0.1", "fd00:10:96::a"])


def test_an_interrupted_dump_is_read_again() -> None:
    attempts = [
        FakeSocket(LINK, ADDRESSES, nl(3, struct.pack("=i", 0), 0x10)),
        FakeSocket(LINK, address(7, "10.96.0.9") + DONE),
    ]
    assert link.read_link("kube-ipvs0", 7, lambda: attempts.pop(0))[1] == ["10.96.0.9"]


def test_the_kernels_no_is_one_clear_error() -> None:
    refused = nl(2, struct.pack("=i", -19) + bytes(16))
    with pytest.raises(KubeProxyError, match="Cannot read the addresses of kube-ipvs0: No such device"):
        link.read_link("kube-ipvs0", 7, lambda: FakeSocket(refused))
    with pytest.raises(KubeProxyError, match="changed during each of 5 attempts"):
        link.read_link("kube-ipvs0", 7, lambda: FakeSocket(LINK, nl(3, struct.pack("=i", 0), 0x10)))


@given(st.binary())
def test_any_netlink_bytes_are_our_own_error(data: bytes) -> None:
    for replies in ((data, DONE, DONE), (LINK, nl(20, data), DONE), (LINK, data, DONE)):
        try:
            link.read_link("kube-ipvs0", 7, partial(FakeSocket, *replies))
        except KubeProxyError:
            pass


def test_loopback_as_the_real_kernel_has_it() -> None:
    index = socket.if_nametoindex("lo")
    kind, addresses = link.read_link("lo", index)
    assert kind == ""
    assert "127.0.0.1" in addresses


def test_addresses_of_all_devices() -> None:
    mctp = nl(20, struct.pack("=BBBBi", 45, 8, 0x80, 0, 9) + attr(2, b"\x08"))
    found = link.read_addresses(lambda: FakeSocket(ADDRESSES + mctp, DONE))
    assert found == [(7, "10.96.0.1"), (1, "127.0.0.1"), (7, "fd00:10:96::a")]


def test_devices(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert node.read_ipvs_devices(files) == []
    folder = tmp_path / "sys/class/net/kube-ipvs0"
    folder.mkdir(parents=True)
    (folder / "ifindex").write_text("7\n")
    (folder / "operstate").write_text("down\n")
    found = node.read_ipvs_devices(files, lambda name, index: (f"{name} {index}", ["10.96.0.1"]))
    assert found == [{"name": "kube-ipvs0", "kind": "kube-ipvs0 7", "state": "down", "addresses": ["10.96.0.1"]}]


def test_sysctls(tmp_path: Path) -> None:
    for name, value in {
        "net/ipv4/ip_forward": "1\n",
        "net/ipv4/vs/conntrack": "1\n",
        "net/ipv4/vs/sync_threshold": "3\t50\n",
    }.items():
        path = tmp_path / "proc/sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    assert node.read_sysctls(Files(str(tmp_path))) == {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.vs.conntrack": "1",
        "net.ipv4.vs.sync_threshold": "3\t50",
    }
