# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual servers for people and for modules: lines and options. Private to this collection.

The lines are those of C(ipvsadm -Sn), letter by letter, with the thresholds besides, which it leaves out.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FORWARD_METHODS,
    IPV6,
    ONE_PACKET,
    PERSISTENT,
    TUNNEL,
    TUNNEL_FLAGS,
    TUNNEL_TYPES,
    WHOLE_ADDRESS,
    RealServer,
    ServerKey,
    Servers,
    Table,
    VirtualServer,
    address_text,
    flag_names,
    name_of,
    netmask_text,
    protocol_name,
)

_SERVICE_SWITCHES = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
_FORWARD_SWITCHES = {"masquerade": "-m", "tunnel": "-i", "direct": "-g"}


def render(servers: Servers) -> str:
    """One line a virtual server and one a destination, sorted, so that two texts compare."""
    return "".join(f"{line}\n" for key in sorted(servers) for line in server_lines(servers[key]))


def render_table(table: Table) -> str:
    """As L(render), with the timeouts as C(ipvsadm --set) takes them."""
    timeouts = f"--set {' '.join(map(str, table.timeouts))}\n" if table.timeouts else ""
    return timeouts + render(table.servers)


def server_lines(server: VirtualServer) -> t.Iterator[str]:
    name = service_switch(server.key)
    yield f"-A {name} -s {server.scheduler}{_server_settings(server)}"
    for real in sorted(server.real_servers):
        yield f"-a {name} -r {real}{_real_settings(real)}"


def service_switch(key: ServerKey) -> str:
    """A virtual server as C(ipvsadm) takes it: C(-t 10.96.0.1:443)."""
    if key.fwmark:
        return f"-f {key.fwmark}" + (" -6" if key.family == IPV6 else "")
    protocol = protocol_name(key.protocol)
    endpoint = str(key).rsplit(" ", 1)[-1]
    return f"{_SERVICE_SWITCHES.get(protocol, protocol)} {endpoint}"


def _server_settings(server: VirtualServer) -> str:
    text = ""
    if server.flags & PERSISTENT:
        text = f" -p {server.timeout}"
        if server.netmask != WHOLE_ADDRESS[server.key.family]:
            text += f" -M {netmask_text(server)}"
    if server.engine:
        text += f" --pe {server.engine}"
    if server.flags & ONE_PACKET:
        text += " -o"
    scheduler_flags = flag_names(server.scheduler, server.flags & ~ONE_PACKET)
    return f"{text} -b {','.join(scheduler_flags)}" if scheduler_flags else text


def _real_settings(real: RealServer) -> str:
    method = name_of(real.forward_method, FORWARD_METHODS)
    text = f" {_FORWARD_SWITCHES.get(method, method)} -w {real.weight}"
    if real.upper_threshold or real.lower_threshold:
        text += f" -x {real.upper_threshold} -y {real.lower_threshold}"
    return text + _tunnel_settings(real) if real.forward_method == TUNNEL else text


def _tunnel_settings(real: RealServer) -> str:
    text = f" --tun-type {name_of(real.tunnel_type, TUNNEL_TYPES)}"
    if real.tunnel_port:
        text += f" --tun-port {real.tunnel_port}"
    if real.tunnel_flags or real.tunnel_type:
        text += f" --tun-{name_of(real.tunnel_flags, TUNNEL_FLAGS)}"
    return text


def _tunnel(real: RealServer) -> dict[str, t.Any]:
    """What a tunnel needs besides its method, as options; nothing for a plain one."""
    if real.forward_method != TUNNEL or not (real.tunnel_type or real.tunnel_port or real.tunnel_flags):
        return {}
    options: dict[str, t.Any] = {"tunnel_type": name_of(real.tunnel_type, TUNNEL_TYPES)}
    if real.tunnel_port:
        options["tunnel_port"] = real.tunnel_port
    if real.tunnel_flags:
        options["tunnel_flags"] = name_of(real.tunnel_flags, TUNNEL_FLAGS)
    return options


def as_options(server: VirtualServer) -> dict[str, t.Any]:
    """The virtual server as an item of the option C(virtual_servers) of C(ipvs_virtual_server)."""
    key = server.key
    options: dict[str, t.Any]
    if key.fwmark:
        options = {"fwmark": key.fwmark, "family": "ipv6" if key.family == IPV6 else "ipv4"}
    else:
        options = {"address": address_text(key.address), "port": key.port, "protocol": protocol_name(key.protocol)}
    options.update(
        scheduler=server.scheduler,
        flags=flag_names(server.scheduler, server.flags),
        persistence_timeout=server.timeout if server.flags & PERSISTENT else 0,
        real_servers=[_real_as_options(real) for real in sorted(server.real_servers)],
    )
    if server.flags & PERSISTENT:
        options["persistence_netmask"] = netmask_text(server)
    if server.engine:
        options["persistence_engine"] = server.engine
    return options


def _real_as_options(real: RealServer) -> dict[str, t.Any]:
    return {
        "address": address_text(real.address),
        "port": real.port,
        "weight": real.weight,
        "forward_method": name_of(real.forward_method, FORWARD_METHODS),
        "upper_threshold": real.upper_threshold,
        "lower_threshold": real.lower_threshold,
        **_tunnel(real),
    }
