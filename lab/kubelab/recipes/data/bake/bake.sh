#!/bin/sh
# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Import images/*.tar into the containerd store of the tree $TREE with the containerd in $CONTAINERD.
# Runs in mount and process namespaces of its own: /run is ours, and the daemon ends with this script.
set -eu
mount -t tmpfs tmpfs /run
cat > /run/config.toml <<CONFIG
version = 3
root = '$TREE/var/lib/containerd'
state = '/run/containerd'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime']
[grpc]
  address = '/run/containerd.sock'
[ttrpc]
  address = '/run/containerd.sock.ttrpc'
CONFIG
PATH=$CONTAINERD:$PATH
export PATH CONTAINERD_ADDRESS=/run/containerd.sock CONTAINERD_NAMESPACE=k8s.io
containerd --config /run/config.toml &
daemon=$!
until ctr version > /dev/null 2>&1; do
	kill -0 $daemon
	sleep 0.2
done
for archive in images/*.tar; do
	ctr images import "$archive"
done
ctr images list
kill $daemon
wait $daemon || true
